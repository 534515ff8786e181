//! Two programs on one PostgreSQL: nothing twice, wherever its copies go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::Upstream;
use crate::support::crowd::{body, event, wait_until};
use crate::support::sender::Sender;
use crate::support::services::shared_postgres;
use crate::support::site::Site;
use crate::support::stored::Stored;

const PAIRS: usize = 32;

fn events() -> usize {
    if std::env::var_os("HOOKWARD_LONG").is_some() { 20_000 } else { 2_000 }
}

/// Sends each event to both at the same time, until both have accepted it.
async fn send_to_both(sites: [&Site; 2]) {
    let next = Arc::new(AtomicUsize::new(0));
    let addresses = sites.map(|site| site.address);
    let pairs = (0..PAIRS).map(|_| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            let [mut one, mut other] = [Sender::connect(addresses[0]).await, Sender::connect(addresses[1]).await];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= events() {
                    break;
                }
                let event = event(&format!("evt_{number}"));
                let pause = Duration::from_millis(20);
                let (one, other) =
                    tokio::join!(one.insist_every(pause, &event, 500), other.insist_every(pause, &event, 500));
                assert!(one && other, "event {number} is never accepted");
            }
        })
    });
    for pair in pairs.collect::<Vec<_>>() {
        pair.await.expect("senders to their end");
    }
}

fn check_that_each_arrived_once(upstream: &Upstream) {
    let successes = upstream.successes();
    assert!((0..events()).all(|number| successes.contains_key(body(&format!("evt_{number}")).as_bytes())));
    assert_eq!(upstream.arrived().len(), events(), "exactly once");
    assert!(upstream.arrived().iter().all(|arrived| !arrived.is_marked()), "and none of them in doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_both_proxies_get_is_forwarded_once() {
    let (upstream, url) = (Upstream::start().await, shared_postgres().database().await);
    let site = || Site::new(&format!("upstream = \"{}/\"", upstream.url()), &format!("[dedup]\nstore = \"{url}\""));
    let sites = [site(), site()];
    let _serving = [sites[0].start_and_wait().await, sites[1].start_and_wait().await];
    send_to_both([&sites[0], &sites[1]]).await;
    check_that_each_arrived_once(&upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_both_stores_get_is_delivered_once_and_both_deliver() {
    let (upstream, url) = (Upstream::start().await, shared_postgres().database().await);
    let source = format!("mode = \"store\"\nupstream = \"{}/\"", upstream.url());
    let site = || Site::new(&source, &format!("[store]\nurl = \"{url}\""));
    let sites = [site(), site()];
    let serving = [sites[0].start_and_wait().await, sites[1].start_and_wait().await];
    send_to_both([&sites[0], &sites[1]]).await;
    wait_until("everything to arrive", || upstream.successes().len() == events()).await;
    let mut delivered = Vec::new();
    for site in &sites {
        let line = "hookward_delivery_attempts_total{source=\"source\",outcome=\"delivered\"}";
        delivered.push(site.metric(line).await);
    }
    assert!(delivered.iter().all(|count| *count > events() as f64 / 20.0), "they share the work: {delivered:?}");
    for serving in serving {
        serving.signal("TERM");
        assert!(serving.end().0.success());
    }
    check_that_each_arrived_once(&upstream);
    let stats = Stored::open(&url).stats().await;
    assert_eq!((stats.events, stats.delivered), (events() as u64, events() as u64));
}
