//! The program is killed again and again: nothing that was acknowledged is lost, and no repeat is unmarked.

use std::collections::HashSet;
use std::time::Duration;

use fastrand::Rng;
use hyper::body::Bytes;
use tokio::time::sleep;

use crate::support::Upstream;
use crate::support::crowd::{Crowd, wait_until};
use crate::support::services::{shared_postgres, shared_redis};
use crate::support::site::Site;
use crate::support::stored::Stored;

const SENDERS: usize = 24;

/// How long the program lives before it is killed, in milliseconds: sometimes it has hardly begun.
const LIVES: std::ops::Range<u64> = 10..700;

/// In which a delivery or a claim is another's soon after its owner was killed.
const SHORT: &str = "upstream_timeout = \"400ms\"\nlease = \"700ms\"\nwait = \"100ms\"";

const STORE: &str = "mode = \"store\"\nretry = { initial = \"50ms\", factor = 1, max = \"50ms\", jitter = 0 }";

/// A fifth of all events is refused the first time.
fn fails_at_first(body: &Bytes) -> bool {
    body.iter().rfind(|byte| byte.is_ascii_digit()).is_some_and(|digit| digit.is_multiple_of(5))
}

/// Kills the program under load and starts it again, many times, and returns what senders were told is accepted.
async fn kill_again_and_again(site: &Site, upstream: &Upstream) -> HashSet<Bytes> {
    let kills = if std::env::var_os("HOOKWARD_LONG").is_some() { 300 } else { 20 };
    let seed = std::env::var("HOOKWARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    // Shown if the test fails.
    println!("HOOKWARD_SEED={seed}");
    let mut chance = Rng::with_seed(seed);
    upstream.fail_first(fails_at_first);
    let crowd = Crowd::start(SENDERS, site.address, Duration::ZERO);
    for _ in 0..kills {
        let serving = site.start();
        sleep(Duration::from_millis(chance.u64(LIVES))).await;
        serving.kill();
    }
    let last = site.start();
    let accepted = crowd.stop().await;
    println!("{} events accepted, {} requests arrived", accepted.len(), upstream.arrived().len());
    wait_until("everything accepted to arrive", || upstream.has_all(&accepted)).await;
    last.signal("TERM");
    let (status, log) = last.end();
    assert!(status.success(), "{log:#?}");
    accepted
}

/// Nothing else than what was accepted arrived, and what arrived again after a success says so.
fn check(upstream: &Upstream, accepted: &HashSet<Bytes>) {
    let unmarked = upstream.unmarked_repeats();
    assert!(unmarked.is_empty(), "{unmarked:?}");
    let successes = upstream.successes();
    assert!(successes.keys().all(|body| accepted.contains(body)), "senders try until they are answered 2xx");
    assert!(upstream.arrived().iter().any(|arrived| arrived.is_marked()), "it was never killed at work");
}

async fn proxied(dedup: &str) {
    let upstream = Upstream::start().await;
    let site = Site::new(&format!("upstream = \"{}/\"\n{SHORT}", upstream.url()), dedup);
    let accepted = kill_again_and_again(&site, &upstream).await;
    check(&upstream, &accepted);
}

async fn stored(url: &str) {
    let upstream = Upstream::start().await;
    let source = format!("upstream = \"{}/\"\n{SHORT}\n{STORE}", upstream.url());
    let site = Site::new(&source, &format!("[store]\nurl = \"{url}\""));
    let accepted = kill_again_and_again(&site, &upstream).await;
    check(&upstream, &accepted);
    let url = url.replace("FOLDER", site.path("").to_str().expect("a plain path"));
    let mut stats = Stored::open(&url).stats().await;
    // On a loaded machine an answer can come too late: its delivery is owed again, although it arrived.
    for _ in 0..10 {
        if stats.waiting + stats.leased == 0 {
            break;
        }
        let serving = site.start();
        sleep(Duration::from_secs(2)).await;
        serving.signal("TERM");
        assert!(serving.end().0.success());
        stats = Stored::open(&url).stats().await;
    }
    let settled = (stats.events, stats.delivered, stats.waiting + stats.leased + stats.dead);
    assert_eq!(settled, (accepted.len() as u64, accepted.len() as u64, 0), "each is stored once");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_proxied_with_dedup_in_sqlite_survive() {
    proxied("[dedup]\nstore = \"sqlite:FOLDER/hookward.db\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_proxied_with_dedup_in_postgres_survive() {
    proxied(&format!("[dedup]\nstore = \"{}\"", shared_postgres().database().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_proxied_with_dedup_in_redis_survive() {
    proxied(&format!("[dedup]\nstore = \"{}\"\nprefix = \"crashes\"", shared_redis().url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_stored_in_sqlite_survive() {
    stored("sqlite:FOLDER/hookward.db").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_stored_in_postgres_survive() {
    stored(&shared_postgres().database().await).await;
}
