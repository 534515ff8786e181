//! Destinations that are down for a while, or for ever, or that nobody knows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::client::send;
use crate::support::crowd::{Crowd, body, event, wait_until};
use crate::support::site::{Site, own_ip};
use crate::support::stored::Stored;
use crate::support::upstream::Act;
use crate::support::{Upstream, child};

const STORE: &str = "[store]\nurl = \"sqlite:FOLDER/hookward.db\"";

/// How long an arrival may take where nothing is in its way.
const SOON: Duration = Duration::from_secs(2);

fn stored_to(upstreams: &[String], retry: &str) -> Site {
    let upstreams: Vec<String> = upstreams.iter().map(|url| format!("\"{url}/\"")).collect();
    Site::new(&format!("mode = \"store\"\nupstream = [{}]\nretry = {{ {retry} }}", upstreams.join(", ")), STORE)
}

/// Waits for a number in `/metrics`.
async fn wait_for_metric(site: &Site, line: &str, is_so: impl Fn(f64) -> bool) {
    let begun = Instant::now();
    while !is_so(site.metric(line).await) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{line} is {}", site.metric(line).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn attempts(outcome: &str) -> String {
    format!("hookward_delivery_attempts_total{{source=\"source\",outcome=\"{outcome}\"}}")
}

fn end(serving: child::Serving) {
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success(), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_down_is_left_alone_and_gets_everything_once_it_is_back() {
    let (alive, address) = (Upstream::start().await, SocketAddr::from((own_ip(), 8081)));
    let retry = "initial = \"200ms\", factor = 1, max = \"200ms\", jitter = 0";
    let site = stored_to(&[alive.url(), format!("http://{address}")], retry);
    let serving = site.start_and_wait().await;
    let crowd = Crowd::start(4, site.address, Duration::from_millis(5));
    crowd.go_on(200).await;
    let accepted = crowd.stop().await;
    let begun = Instant::now();
    wait_until("all to arrive at the other", || alive.has_all(&accepted)).await;
    assert!(begun.elapsed() < SOON, "the other one waits for nobody: {:?}", begun.elapsed());
    wait_for_metric(&site, "hookward_delivery_circuits_open", |open| open == 1.0).await;
    let tried = site.metric(&attempts("unreachable")).await;
    assert!(tried < accepted.len() as f64, "an open circuit spares attempts: {tried}");

    let back = Upstream::start_at(address).await;
    wait_until("all to arrive", || back.has_all(&accepted)).await;
    wait_for_metric(&site, "hookward_delivery_circuits_open", |open| open == 0.0).await;
    end(serving);
    for upstream in [alive, back] {
        assert_eq!((upstream.arrived().len(), upstream.successes().len()), (accepted.len(), accepted.len()));
        assert!(upstream.arrived().iter().all(|arrived| !arrived.is_marked()), "it cannot have had any of them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_takes_an_event_leaves_a_dead_letter() {
    let upstream = Upstream::start().await;
    upstream.plan((0..1000).map(|_| Act::Answer(404)));
    let retry = "initial = \"100ms\", factor = 1, max = \"100ms\", window = \"1s\", jitter = 0";
    let site = stored_to(&[upstream.url()], retry);
    let serving = site.start_and_wait().await;
    for id in ["a", "b", "c"] {
        assert_eq!(send(site.address, event(id)).await.status, 200);
    }
    wait_for_metric(&site, &attempts("dead"), |dead| dead == 3.0).await;
    end(serving);
    let store = Stored::open(&format!("sqlite:{}", site.path("hookward.db").display()));
    assert_eq!(store.stats().await.dead, 3);
    for delivery in store.deliveries().await {
        let window = delivery.at.since(delivery.created_at);
        assert!((2..=11).contains(&delivery.attempts), "{delivery:?}");
        assert!(window >= Duration::from_millis(800), "not before its time: {window:?}");
        assert_eq!(delivery.last_status, Some(404));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_name_is_not_resolved_costs_no_attempt() {
    let alive = Upstream::start().await;
    let site = stored_to(&[alive.url(), "http://upstream.invalid".into()], "window = \"1h\"");
    let serving = site.start_and_wait().await;
    assert_eq!(send(site.address, event("a")).await.status, 200);
    wait_for_metric(&site, &attempts("ours"), |ours| ours >= 1.0).await;
    wait_until("the other's", || alive.successes().contains_key(body("a").as_bytes())).await;
    assert_eq!(site.metric("hookward_delivery_circuits_open").await, 0.0);
    end(serving);
    let store = Stored::open(&format!("sqlite:{}", site.path("hookward.db").display()));
    let all = store.deliveries().await;
    let waiting = all.iter().find(|delivery| delivery.destination.contains("invalid")).expect("it is owed");
    assert_eq!(waiting.attempts, 0, "{waiting:?}");
    let error = waiting.last_error.as_deref().expect("an attempt that failed");
    assert!(error.contains("cannot resolve"), "{error}");
}
