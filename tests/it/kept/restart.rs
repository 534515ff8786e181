//! The program ends, starts again, and reads its configuration again, with deliveries on its hands.

use std::net::SocketAddr;

use crate::support::Upstream;
use crate::support::child::hookward;
use crate::support::client::send;
use crate::support::crowd::{body, event, wait_until};
use crate::support::site::{Site, own_ip};
use crate::support::upstream::Act;

const STORE: &str = "[store]\nurl = \"sqlite:FOLDER/hookward.db\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_under_way_and_leaves_the_rest_for_the_next_start() {
    const EVENTS: usize = 100;
    let upstream = Upstream::start().await;
    upstream.plan([Act::Hold(200)]);
    let source = format!("mode = \"store\"\nmax_in_flight = 1\nupstream = \"{}/\"", upstream.url());
    let site = Site::new(&source, STORE);
    let serving = site.start_and_wait().await;
    for number in 0..EVENTS {
        assert_eq!(send(site.address, event(&format!("evt_{number}"))).await.status, 200);
    }
    upstream.wait_for(1).await;
    serving.signal("TERM");
    // Once nobody is accepted any more, deliveries are drained; one or two may begin before.
    wait_until("the listener to close", || std::net::TcpStream::connect(site.address).is_err()).await;
    upstream.release();
    let (status, log) = serving.end();
    assert!(status.success(), "{log:#?}");
    let done = upstream.successes().len();
    assert!((1..EVENTS).contains(&done), "the first one and not all: {done}");

    let again = site.start_and_wait().await;
    wait_until("the rest", || upstream.successes().len() == EVENTS).await;
    again.signal("TERM");
    assert!(again.end().0.success());
    assert_eq!(upstream.arrived().len(), EVENTS, "each once");
    assert!(upstream.arrived().iter().all(|arrived| !arrived.is_marked()), "and none in doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_to_where_its_upstream_has_moved() {
    let (nowhere, upstream) = (SocketAddr::from((own_ip(), 8081)), Upstream::start().await);
    let retry = "retry = { initial = \"100ms\", factor = 1, max = \"100ms\", jitter = 0 }";
    let site = Site::new(&format!("mode = \"store\"\nupstream = \"http://{nowhere}/\"\n{retry}"), STORE);
    let mut serving = site.start_and_wait().await;
    assert_eq!(send(site.address, event("a")).await.status, 200);
    serving.wait_for(&["it is tried again"]);
    site.edit(&format!("http://{nowhere}/"), &format!("{}/moved", upstream.url()));
    serving.signal("HUP");
    upstream.wait_for(1).await;
    let arrived = upstream.only();
    assert_eq!((arrived.target.as_str(), &arrived.body[..]), ("/moved", body("a").as_bytes()));
    assert!(!arrived.is_marked(), "the old one never had it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_file_does_not_start() {
    let source = "mode = \"store\"\nupstream = \"http://127.0.0.1:1/\"";
    let first = Site::new(source, STORE);
    let serving = first.start_and_wait().await;
    let same = format!("[store]\nurl = \"sqlite:{}\"", first.path("hookward.db").display());
    let second = Site::new(source, &same);
    let refused = hookward(&["serve", "-c", second.config().to_str().expect("a plain path")])
        .env("SECRET", crate::support::SECRET)
        .output()
        .expect("the program");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("hookward.db is in use by another process"), "{told}");
    serving.signal("TERM");
    assert!(serving.end().0.success(), "the first one does not mind");
}
