//! The sender is killed while events are told: what was answered is delivered, and nothing is owed twice.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;

use crate::support::Upstream;
use crate::support::crowd::wait_until;
use crate::support::ledger;
use crate::support::node::Node;
use crate::support::publishers::Publishers;
use crate::support::services::shared_postgres;
use crate::support::stored::{Stored, end_leases};

const PUBLISHERS: usize = 8;

/// Two endpoints that get the same events in bodies of their own.
const PATHS: [&str; 2] = ["/standard", "/vantastatus"];

/// How long a life lasts that ends before anything was done in it, in milliseconds.
const SHORT: std::ops::Range<u64> = 1..150;

fn is_long() -> bool {
    std::env::var_os("HOOKWARD_LONG").is_some()
}

/// Registers both, which give up on an attempt soon and are tried again at once.
async fn register(node: &Node, upstream: &Upstream) {
    let retry = json!({"initial": "20ms", "factor": 1.0, "max": "20ms", "window": "1h", "jitter": 0.0});
    for path in PATHS {
        let provider = path.trim_start_matches('/').replace("standard", "standard-webhooks");
        let url = format!("{}{path}", upstream.url());
        node.register(&json!({"url": url, "provider": provider, "timeout": "500ms", "retry": retry})).await;
    }
}

/// A fifth of all bodies is refused the first time.
fn fails_at_first(body: &hyper::body::Bytes) -> bool {
    body.iter().rfind(|byte| byte.is_ascii_digit()).is_some_and(|digit| digit.is_multiple_of(5))
}

async fn survives(url: &str) {
    let (events, kills) = if is_long() { (20_000, 100) } else { (400, 6) };
    let seed = std::env::var("HOOKWARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    // Shown if the test fails.
    println!("HOOKWARD_SEED={seed}");
    let mut chance = Rng::with_seed(seed);

    let (node, upstream) = (Node::new(url), Upstream::start().await);
    let mut serving = node.start_and_wait().await;
    register(&node, &upstream).await;
    upstream.fail_first(fails_at_first);
    let publishers = Publishers::start(PUBLISHERS, vec![node.address], events);
    for kill in 1..=kills {
        // Always in the middle, since the last event is told after the last of these.
        publishers.reach(events * kill / (kills + 1)).await;
        sleep(Duration::from_millis(chance.u64(..20))).await;
        serving.kill();
        if chance.u8(..4) == 0 {
            let hasty = node.start();
            sleep(Duration::from_millis(chance.u64(SHORT))).await;
            hasty.kill();
        }
        serving = node.start();
    }
    let (broken, repeated) = (publishers.answers(0), publishers.repeated());
    let promised = publishers.finish().await;
    assert_eq!(promised.len(), events, "each has an id of its own");
    if url.starts_with("postgres") && !is_long() {
        // It would be eleven seconds until the leases of the dead end.
        serving.kill();
        end_leases(url, i64::MAX).await;
        serving = node.start();
    }
    wait_until("everything to arrive", || ledger::is_settled(&upstream, PATHS.len(), &promised)).await;
    // What arrived last may not be written down yet; the last thing that the sender does is to do so.
    node.listens().await;
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success(), "{log:#?}");

    let arrived: Vec<usize> = PATHS.iter().map(|path| ledger::check(&upstream, path, &promised)).collect();
    println!(
        "{events} events, {kills} kills, {broken} requests without an answer, {repeated} repeated, {arrived:?} arrived"
    );
    assert!(broken > 0 && arrived.iter().sum::<usize>() > 2 * events, "it was never killed at work");
    let stats = Stored::open(&node.store(url)).stats().await;
    let rest = stats.waiting + stats.leased + stats.dead + stats.skipped + stats.cancelled;
    assert_eq!(
        (stats.events, stats.delivered, rest),
        (events as u64, 2 * events as u64, 0),
        "each is kept once and owed once to each"
    );
}

/// X-07 of `docs/seeds.md`.
#[tokio::test(flavor = "multi_thread")]
async fn events_told_on_sqlite_survive() {
    survives("sqlite:FOLDER/hookward.db").await;
}

/// X-07 of `docs/seeds.md`.
#[tokio::test(flavor = "multi_thread")]
async fn events_told_on_postgres_survive() {
    survives(&shared_postgres().database().await).await;
}
