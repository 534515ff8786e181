//! PostgreSQL goes away while events are told, and comes back: nothing that was answered is lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Upstream;
use crate::support::crowd::wait_until;
use crate::support::ledger;
use crate::support::node::Node;
use crate::support::publishers::Publishers;
use crate::support::services::Postgres;
use crate::support::stored::Stored;

/// How long the store may be back before events are kept again, and before they are delivered.
const BACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_postgres_crashed_is_delivered_after() {
    const EVENTS: usize = 3000;
    let (postgres, upstream) = (Postgres::start(), Upstream::start().await);
    let node = Node::new(&postgres.url());
    let serving = node.start_and_wait().await;
    node.register(&json!({"url": format!("{}/hook", upstream.url())})).await;
    let publishers = Publishers::start(8, vec![node.address], EVENTS);
    for crash in 1..=2 {
        publishers.reach(EVENTS * crash / 3).await;
        postgres.crash();
        // Each says when to come back, or the publishers would complain.
        let refused = publishers.answers(503);
        wait_until("503s", || publishers.answers(503) > refused + 20).await;
        let answered = publishers.answered();
        postgres.start_again();
        let (begun, arrived) = (Instant::now(), upstream.taken());
        publishers.reach(answered + 1).await;
        wait_until("arrivals", || upstream.taken() > arrived).await;
        assert!(begun.elapsed() < BACK, "{:?}", begun.elapsed());
    }
    assert_eq!(publishers.answers(0), 0, "whoever asks is always answered");
    let promised = publishers.finish().await;
    wait_until("everything to arrive", || ledger::is_settled(&upstream, 1, &promised)).await;
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success(), "{log:#?}");
    assert_eq!(
        ledger::check(&upstream, "/hook", &promised),
        EVENTS,
        "nobody was killed, so there is no need of a repeat"
    );
    let stats = Stored::open(&postgres.url()).stats().await;
    assert_eq!((stats.events, stats.delivered), (EVENTS as u64, EVENTS as u64));
}
