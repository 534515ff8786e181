//! Gateways that share a store: nothing twice, wherever its copies go.

mod outage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::sender::Sender;
use crate::support::services::{Redis, shared_redis};
use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, Request, Upstream, client, signed};

const CONNECTIONS: usize = 16;

/// A gateway for `upstream` with its dedup in `redis`; `source` is added to its source, `dedup` to `[dedup]`.
fn gateway(redis: &Redis, upstream: &Upstream, source: &str, dedup: &str) -> Gateway {
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"vpn-enterprise\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nupstream = \"{}/\"\n{source}\n[dedup]\nstore = \"{}\"\n{dedup}\n",
        upstream.url(),
        redis.url()
    );
    Gateway::from_text(&text, upstream.clone())
}

/// Two gateways that share a prefix of the shared Redis, and one upstream.
async fn pair(prefix: &str) -> (Gateway, Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let one = || gateway(shared_redis(), &upstream, "", &format!("prefix = \"{prefix}\""));
    (one(), one(), upstream)
}

fn event(id: &str) -> Request {
    signed("vpn-enterprise", "", &format!("{{\"id\":\"{id}\"}}"), NOW)
}

fn marks(upstream: &Upstream) -> Vec<String> {
    upstream.arrived().iter().map(|arrived| arrived.header("hookward-possible-duplicate").to_owned()).collect()
}

fn requests(gateway: &Gateway, outcome: &str, reason: &str) -> f64 {
    let labels = format!("{{source=\"source\",outcome=\"{outcome}\",reason=\"{reason}\"}}");
    gateway.metric(&format!("hookward_gateway_requests_total{labels}"))
}

#[tokio::test]
async fn an_event_that_both_gateways_get_is_forwarded_once() {
    let events = if std::env::var_os("HOOKWARD_LONG").is_some() { 20_000 } else { 2_000 };
    let (first, second, upstream) = pair("once").await;
    // Both copies of an event are sent at the same time, each to its own gateway.
    let next = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (next, addresses) = (Arc::clone(&next), [first.address(), second.address()]);
            tokio::spawn(async move {
                let [mut one, mut other] = [Sender::connect(addresses[0]).await, Sender::connect(addresses[1]).await];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= events {
                        break;
                    }
                    let event = event(&format!("evt_{number}"));
                    let (one, other) = tokio::join!(one.send(&event), other.send(&event));
                    assert_eq!((one, other), (200, 200), "event {number}");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender to its end");
    }
    assert_eq!((upstream.arrived().len(), upstream.successes().len()), (events, events));
    assert!(marks(&upstream).iter().all(String::is_empty), "and none of them in doubt");
}

#[tokio::test]
async fn a_copy_waits_for_the_other_gateway() {
    for (status, wanted, retry_after, reason) in
        [(204, 200, None, "owner_succeeded"), (500, 503, Some("5"), "owner_failed")]
    {
        let (first, second, upstream) = pair(&format!("waits{status}")).await;
        upstream.plan([Act::Hold(status)]);
        let owner = send(first.address(), "a");
        upstream.wait_for(1).await;
        let copies = [send(second.address(), "a"), send(second.address(), "a")];
        while second.metric("hookward_gateway_requests_in_flight") < 2.0 {
            tokio::task::yield_now().await;
        }
        assert!(copies.iter().all(|copy| !copy.is_finished()), "nobody is answered before the owner is");
        upstream.release();
        assert_eq!(owner.await.expect("an answer").status, status);
        for copy in copies {
            let copy = copy.await.expect("an answer");
            assert_eq!((copy.status, copy.header("retry-after")), (wanted, retry_after));
        }
        assert_eq!(requests(&second, "duplicate", reason), 2.0);
        assert_eq!(second.send(event("a")).await.status, 200);
        assert_eq!(upstream.arrived().len(), if status == 204 { 1 } else { 2 });
    }
}

fn send(address: SocketAddr, id: &str) -> tokio::task::JoinHandle<client::Reply> {
    tokio::spawn(client::send(address, event(id)))
}

#[tokio::test]
async fn a_copy_waits_no_longer_than_it_may() {
    let upstream = Upstream::start().await;
    let one = || gateway(shared_redis(), &upstream, "wait = \"100ms\"", "prefix = \"patience\"");
    let (first, second) = (one(), one());
    upstream.plan([Act::Hold(200)]);
    let owner = send(first.address(), "a");
    upstream.wait_for(1).await;
    let copy = second.send(event("a")).await;
    assert_eq!((copy.status, copy.header("retry-after")), (503, Some("5")));
    assert_eq!(requests(&second, "busy", "in_flight"), 1.0);
    upstream.release();
    assert_eq!(owner.await.expect("an answer").status, 200);
    // The one that looked for the copy has ended, or ends now: either way the event is known.
    assert_eq!(second.send(event("a")).await.status, 200);
    assert_eq!(upstream.arrived().len(), 1);
}

#[tokio::test]
async fn a_doubt_and_another_body_are_seen_from_the_other_gateway() {
    let (first, second, upstream) = pair("doubt").await;
    upstream.plan([Act::HangUp]);
    assert_eq!(first.send(event("a")).await.status, 502);
    assert_eq!(second.send(event("a")).await.status, 200);
    assert_eq!(marks(&upstream), ["", "1"]);
    let other_body = signed("vpn-enterprise", "", r#"{"id":"a","n":1}"#, NOW);
    assert_eq!(first.send(other_body).await.status, 200);
    assert_eq!(first.metric(r#"hookward_gateway_dedup_conflicts_total{source="source"}"#), 1.0);
    assert_eq!(upstream.arrived().len(), 2);
}

#[tokio::test]
async fn other_prefixes_are_other_gateways() {
    let upstream = Upstream::start().await;
    for prefix in ["blue", "green"] {
        let gateway = gateway(shared_redis(), &upstream, "", &format!("prefix = \"{prefix}\""));
        assert_eq!(gateway.send(event("a")).await.status, 200);
    }
    assert_eq!(upstream.arrived().len(), 2);
}

#[tokio::test]
async fn a_store_that_may_forget_is_reported() {
    let redis = Redis::start();
    assert_eq!(redis.ask("CONFIG SET maxmemory-policy allkeys-lru"), "+OK\r\n");
    let upstream = Upstream::start().await;
    let gateway = gateway(&redis, &upstream, "", "");
    while gateway.metric("hookward_dedup_store_may_evict") < 1.0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(gateway.metric("hookward_dedup_store_up"), 1.0);
}
