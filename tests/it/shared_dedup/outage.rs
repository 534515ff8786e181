//! The store freezes, dies, comes back, forgets.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{CONNECTIONS, event, gateway, marks, requests, send};
use crate::support::child::{Serving, file, hookward};
use crate::support::sender::Sender;
use crate::support::services::Redis;
use crate::support::upstream::Act;
use crate::support::{Gateway, Upstream};

/// An operation may take 250 ms; the rest is for a busy machine.
const IN_TIME: Duration = Duration::from_millis(750);

/// How long the store may be back before it is used.
const BACK: Duration = Duration::from_secs(2);

/// Sends new events until one is accepted, and returns how long that took.
async fn until_back(gateway: &Gateway, name: &str) -> Duration {
    let begun = Instant::now();
    for number in 0.. {
        if gateway.send(event(&format!("{name}_{number}"))).await.status == 200 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_frozen_store_is_answered_503_in_time_and_is_back_in_time() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let gateway = gateway(&redis, &upstream, "", "");
    assert_eq!(gateway.send(event("before")).await.status, 200);
    redis.stop();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|sender| {
            let address = gateway.address();
            tokio::spawn(async move {
                let mut connection = Sender::connect(address).await;
                let mut slowest = Duration::ZERO;
                for number in 0..20 {
                    let begun = Instant::now();
                    assert_eq!(connection.send(&event(&format!("frozen_{sender}_{number}"))).await, 503);
                    slowest = slowest.max(begun.elapsed());
                }
                slowest
            })
        })
        .collect();
    for sender in senders {
        let slowest = sender.await.expect("a sender to its end");
        assert!(slowest < IN_TIME, "{slowest:?}");
    }
    let begun = Instant::now();
    let refused = gateway.send(event("frozen")).await;
    assert!(begun.elapsed() < Duration::from_millis(150), "nobody waits for a store that is known to be down");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert!(requests(&gateway, "unavailable", "store_down") > 300.0);
    assert_eq!(gateway.metric("hookward_dedup_store_up"), 0.0);
    assert!(gateway.metric("hookward_dedup_store_errors_total") > 0.0);
    assert_eq!(upstream.arrived().len(), 1, "nothing was forwarded");
    redis.cont();
    let took = until_back(&gateway, "thawed").await;
    assert!(took < BACK, "{took:?}");
    // Claims that were written while nobody answered are given back: their events are not blocked.
    for sender in 0..CONNECTIONS {
        let again = event(&format!("frozen_{sender}_0"));
        let mut connection = Sender::connect(gateway.address()).await;
        assert!(connection.insist_every(Duration::from_millis(50), &again, 40).await, "event {sender} is blocked");
    }
}

#[tokio::test]
async fn a_source_that_fails_open_forwards_and_marks() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let one = || gateway(&redis, &upstream, "store_down = \"fail_open\"", "");
    let (first, second) = (one(), one());
    redis.kill();
    for id in ["a", "b", "a"] {
        let begun = Instant::now();
        assert_eq!(first.send(event(id)).await.status, 200);
        assert!(begun.elapsed() < IN_TIME);
    }
    assert_eq!(marks(&upstream), ["1", "1"], "a copy is still known in this process");
    assert_eq!(first.metric("hookward_dedup_settlements_owed"), 2.0);
    redis.restart();
    let begun = Instant::now();
    while first.metric("hookward_dedup_settlements_owed") > 0.0 || second.metric("hookward_dedup_store_up") < 1.0 {
        assert!(begun.elapsed() < BACK, "what was owed is told");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(second.send(event("a")).await.status, 200);
    assert_eq!(upstream.arrived().len(), 2, "and now the other gateway knows it too");
}

#[tokio::test]
async fn a_success_is_answered_and_told_later() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let one = || gateway(&redis, &upstream, "", "");
    let (first, second) = (one(), one());
    upstream.plan([Act::Hold(202)]);
    let owner = send(first.address(), "a");
    upstream.wait_for(1).await;
    redis.stop();
    upstream.release();
    assert_eq!(owner.await.expect("an answer").status, 202, "the upstream's answer, whatever the store says");
    assert_eq!(first.metric("hookward_dedup_settlements_owed"), 1.0);
    assert_eq!(first.send(event("a")).await.status, 200, "a copy here is a duplicate");
    redis.cont();
    until_back(&second, "later").await;
    while first.metric("hookward_dedup_settlements_owed") > 0.0 {
        sleep(Duration::from_millis(10)).await;
    }
    let before = upstream.arrived().len();
    assert_eq!(second.send(event("a")).await.status, 200);
    assert_eq!(upstream.arrived().len(), before, "and there too");
}

#[tokio::test]
async fn a_client_that_hangs_up_while_the_store_is_asked_changes_nothing() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let gateway = gateway(&redis, &upstream, "", "timeout = \"5s\"");
    redis.stop();
    let mut client = TcpStream::connect(gateway.address()).await.expect("a listener");
    client.write_all(&event("a").bytes()).await.expect("a connection");
    while gateway.metric("hookward_gateway_requests_in_flight") < 1.0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    while gateway.metric("hookward_gateway_connections") > 0.0 {
        tokio::task::yield_now().await;
    }
    redis.cont();
    upstream.wait_for(1).await;
    assert_eq!(gateway.send(event("a")).await.status, 200);
    assert_eq!(upstream.arrived().len(), 1, "the first one went on and was committed");
}

#[tokio::test]
async fn under_load_no_event_is_lost_or_forwarded_twice_while_the_store_dies_and_forgets() {
    const EVENTS: usize = 400;
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let gateway = gateway(&redis, &upstream, "", "");
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|sender| {
            let address = gateway.address();
            tokio::spawn(async move {
                let mut connection = Sender::connect(address).await;
                for number in 0..EVENTS / CONNECTIONS {
                    let event = event(&format!("load_{sender}_{number}"));
                    let accepted = connection.insist_every(Duration::from_millis(50), &event, 200).await;
                    assert!(accepted, "event {sender}/{number} is never accepted");
                    // So that the load lasts as long as the trouble.
                    sleep(Duration::from_millis(60)).await;
                }
            })
        })
        .collect();
    for _ in 0..2 {
        sleep(Duration::from_millis(150)).await;
        redis.flush();
        sleep(Duration::from_millis(150)).await;
        redis.kill();
        sleep(Duration::from_millis(200)).await;
        redis.restart();
        sleep(Duration::from_millis(300)).await;
        redis.ask("SCRIPT FLUSH");
    }
    for sender in senders {
        sender.await.expect("a sender to its end");
    }
    // Each event has one sender that stops at its 2xx, so also a store that forgot everything gives no second forward.
    assert_eq!((upstream.arrived().len(), upstream.successes().len()), (EVENTS, EVENTS));
    assert!(requests(&gateway, "unavailable", "store_down") > 0.0, "the trouble was felt");
}

#[tokio::test]
async fn a_gateway_starts_without_its_store_and_finds_it_later() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    redis.kill();
    let gateway = gateway(&redis, &upstream, "", "");
    assert_eq!(gateway.send(event("a")).await.status, 503);
    redis.restart();
    let took = until_back(&gateway, "found").await;
    assert!(took < BACK, "{took:?}");
}

#[test]
fn the_sidecar_takes_a_url_and_nothing_shows_its_password() {
    let flags = |store: &'static str| {
        let rest = ["--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--dedup", store];
        let mut command = hookward(&[&["serve", "--provider", "stripe", "--secret-env", "SECRET"][..], &rest].concat());
        command.env("SECRET", crate::support::SECRET);
        command
    };
    let mut serving = Serving::start(&mut flags("redis://:hush@127.0.0.1:1/0"));
    let line = serving.wait_for(&["Dedup store cannot be reached yet"]);
    assert!(line.contains("\"level\":\"WARN\""), "{line}");
    serving.wait_for(&["Listening"]);
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success() && log.iter().all(|line| !line.contains("hush")), "{log:#?}");

    let refused = flags("redis://:hush@host:port").output().expect("the program");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{told}");
    assert!(told.contains("--dedup") && told.contains("redis://127.0.0.1:6379/0") && !told.contains("hush"), "{told}");

    let folder = TempDir::new().expect("a folder");
    let text = "[[source]]\nname = \"s\"\npath = \"/\"\nprovider = \"stripe\"\nsecrets = [{ env = \"SECRET\" }]\nallow = \"any\"\nupstream = \"http://127.0.0.1:1\"\n[dedup]\nstore = \"redis://app:hush@cache:6380/2\"\n";
    let file = file(&folder, "h.toml", text);
    let shown = hookward(&["config", "effective", "-c", file.to_str().expect("a plain path")])
        .env("SECRET", crate::support::SECRET)
        .output()
        .expect("the program");
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("store = \"redis://app:***@cache:6380/2\"") && !shown.contains("hush"), "{shown}");
}
