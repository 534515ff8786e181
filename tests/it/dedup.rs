//! Nothing twice, nothing lost: what copies of an event get.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, Request, signed};

fn stripe(id: &str) -> Request {
    signed("stripe", "", &format!(r#"{{"id":"{id}"}}"#), NOW)
}

#[tokio::test]
async fn a_finished_event_is_answered_and_not_forwarded() {
    let gateway = Gateway::start("stripe", "").await;
    gateway.upstream.plan([Act::Say(202, vec![("x-app", "1")], "queued")]);
    let first = gateway.send(stripe("evt_1")).await;
    assert_eq!((first.status, first.text().as_str(), first.header("x-app")), (202, "queued", Some("1")));
    let copy = gateway.send(stripe("evt_1")).await;
    assert_eq!((copy.status, copy.text().as_str()), (200, ""));
    assert_eq!(gateway.upstream.arrived().len(), 1);
    assert_eq!(gateway.send(stripe("evt_2")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 2);
}

#[tokio::test]
async fn it_is_remembered_for_as_long_as_it_says() {
    let gateway = Gateway::start("vpn-enterprise", "dedup_ttl = \"1h\"").await;
    let event = || signed("vpn-enterprise", "", r#"{"id":"a"}"#, NOW);
    gateway.send(event()).await;
    gateway.set_now(NOW + 3599);
    gateway.send(event()).await;
    assert_eq!(gateway.upstream.arrived().len(), 1);
    gateway.set_now(NOW + 3600);
    gateway.send(event()).await;
    assert_eq!(gateway.upstream.arrived().len(), 2);
}

#[tokio::test]
async fn an_event_that_the_upstream_did_not_take_is_forwarded_again() {
    let gateway = Gateway::start("stripe", "").await;
    for act in [Act::Answer(500), Act::Answer(404), Act::Answer(302), Act::HangUp] {
        gateway.upstream.plan([act.clone()]);
        assert!(gateway.send(stripe("evt_1")).await.status >= 400, "{act:?}");
    }
    assert_eq!(gateway.send(stripe("evt_1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 5);
    let marks: Vec<_> =
        gateway.upstream.arrived().iter().map(|a| a.header("hookward-possible-duplicate").to_owned()).collect();
    assert_eq!(marks, ["", "", "", "", "1"], "only a connection that broke leaves a doubt");
    assert_eq!(gateway.send(stripe("evt_1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 5);
}

#[tokio::test]
async fn copies_wait_for_the_owner_and_get_its_outcome() {
    for (status, wanted) in [(204, 204), (500, 500)] {
        let gateway = Gateway::start("stripe", "").await;
        gateway.upstream.plan([Act::Hold(status)]);
        let copies: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let address = gateway.address();
                    async move { crate::support::client::send(address, stripe("evt_1")).await.status }
                })
            })
            .collect();
        gateway.upstream.wait_for(1).await;
        let waiting = r#"hookward_gateway_requests_in_flight"#;
        while gateway.metric(waiting) < 8.0 {
            tokio::task::yield_now().await;
        }
        assert!(copies.iter().all(|copy| !copy.is_finished()), "nobody is answered before the owner is");
        gateway.upstream.release();
        for copy in copies {
            assert_eq!(copy.await.expect("an answer"), wanted);
        }
        assert_eq!(gateway.upstream.arrived().len(), 1);
    }
}

#[tokio::test]
async fn a_copy_that_has_waited_long_enough_is_asked_to_come_back() {
    let gateway = Gateway::start("stripe", "wait = \"50ms\"").await;
    gateway.upstream.plan([Act::Hold(200)]);
    let address = gateway.address();
    let owner = tokio::spawn(async move { crate::support::client::send(address, stripe("evt_1")).await.status });
    gateway.upstream.wait_for(1).await;
    let copy = gateway.send(stripe("evt_1")).await;
    assert_eq!((copy.status, copy.header("retry-after")), (503, Some("5")));
    gateway.upstream.release();
    assert_eq!(owner.await.expect("an answer"), 200);
    assert_eq!(gateway.send(stripe("evt_1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn a_sender_that_hangs_up_changes_nothing() {
    let gateway = Gateway::start("stripe", "").await;
    gateway.upstream.plan([Act::Hold(200)]);
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a listener");
    stream.write_all(&stripe("evt_1").bytes()).await.expect("a connection");
    gateway.upstream.wait_for(1).await;
    drop(stream);
    // The gateway sees the end of the connection before the upstream answers.
    while gateway.metric("hookward_gateway_connections") > 0.0 {
        tokio::task::yield_now().await;
    }
    gateway.upstream.release();
    assert_eq!(gateway.send(stripe("evt_1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1, "the first one went on and was committed");
}

#[tokio::test]
async fn forged_copies_claim_nothing() {
    let gateway = Gateway::start("stripe", "").await;
    let forged = stripe("evt_1")
        .without("stripe-signature")
        .header("Stripe-Signature", &format!("t={NOW},v1={}", "ab".repeat(32)));
    assert_eq!(gateway.send(forged).await.status, 401);
    assert_eq!(gateway.send(stripe("evt_1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn an_unsigned_id_cannot_suppress_or_replay() {
    let gateway = Gateway::start("github", "").await;
    let delivery = |id: &str, body: &str| signed("github", id, body, NOW);
    gateway.send(delivery("d1", r#"{"n":1}"#)).await;
    gateway.send(delivery("d1", r#"{"n":2}"#)).await;
    assert_eq!(gateway.upstream.arrived().len(), 2, "another body under a known id is another event");
    assert_eq!(gateway.send(delivery("d2", r#"{"n":1}"#)).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 2, "a known body under another id is a replay");
    gateway.send(delivery("d3", r#"{"n":3}"#).without("x-github-delivery")).await;
    gateway.send(delivery("d4", r#"{"n":3}"#)).await;
    assert_eq!(gateway.upstream.arrived().len(), 3, "also without any id");
}

#[tokio::test]
async fn a_guard_that_reports_forwards_and_marks() {
    let gateway = Gateway::start("github", "replay_guard = \"report\"").await;
    for id in ["d1", "d2"] {
        gateway.send(signed("github", id, "{}", NOW)).await;
    }
    let marks: Vec<_> =
        gateway.upstream.arrived().iter().map(|a| a.header("hookward-possible-duplicate").to_owned()).collect();
    assert_eq!(marks, ["", "1"]);
    assert_eq!(gateway.metric(r#"hookward_gateway_possible_duplicates_total{source="source"}"#), 1.0);
}

#[tokio::test]
async fn another_body_under_a_signed_id_is_a_duplicate_and_noticed() {
    let gateway = Gateway::start("vantastatus", "").await;
    for body in [r#"{"id":"a","n":1}"#, r#"{"id":"a","n":2}"#] {
        assert_eq!(gateway.send(signed("vantastatus", "", body, NOW)).await.status, 200);
    }
    assert_eq!(gateway.upstream.arrived().len(), 1);
    assert_eq!(gateway.metric(r#"hookward_gateway_dedup_conflicts_total{source="source"}"#), 1.0);
}

#[tokio::test]
async fn two_sources_do_not_share_their_ids() {
    let upstream = crate::support::Upstream::start().await;
    let source = |name: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"stripe\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nupstream = \"{}/\"\n",
            upstream.url()
        )
    };
    let text = format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{}{}", source("a"), source("b"));
    let gateway = Gateway::from_text(&text, upstream);
    for target in ["/a", "/b", "/a", "/b"] {
        assert_eq!(gateway.send(stripe("evt_1").target(target)).await.status, 200);
    }
    let sources: Vec<_> = gateway.upstream.arrived().iter().map(|a| a.header("hookward-source").to_owned()).collect();
    assert_eq!(sources, ["a", "b"]);
}

#[tokio::test]
async fn dedup_can_be_off() {
    let gateway = Gateway::start("vinsight", "dedup = \"off\"").await;
    for _ in 0..2 {
        gateway.send(signed("vinsight", "", r#"{"ContactId":1}"#, NOW)).await;
    }
    assert_eq!(gateway.upstream.arrived().len(), 2);
}

#[tokio::test]
async fn waiting_ends_with_the_upstreams_time() {
    let gateway = Gateway::start("stripe", "upstream_timeout = \"100ms\"").await;
    gateway.upstream.plan([Act::Hold(200)]);
    let (owner, copy) = tokio::join!(gateway.send(stripe("evt_1")), async {
        gateway.upstream.wait_for(1).await;
        gateway.send(stripe("evt_1")).await
    });
    assert_eq!(owner.status, 504);
    assert!(copy.status == 504 || copy.status == 503, "{copy:?}");
    let retried = gateway.send(stripe("evt_1")).await;
    assert_eq!(retried.status, 200);
    let last = gateway.upstream.arrived().pop().expect("the retry");
    assert_eq!(last.header("hookward-possible-duplicate"), "1");
}

#[tokio::test]
async fn equal_bodies_of_two_shopify_topics_both_arrive() {
    let gateway = Gateway::start("shopify", "").await;
    for (id, topic) in [("w1", "orders/create"), ("w2", "orders/paid"), ("w2", "orders/paid")] {
        let event = signed("shopify", id, r#"{"id":1}"#, NOW).header("X-Shopify-Topic", topic);
        assert_eq!(gateway.send(event).await.status, 200);
    }
    let marks: Vec<_> =
        gateway.upstream.arrived().iter().map(|a| a.header("hookward-possible-duplicate").to_owned()).collect();
    assert_eq!(marks, ["", "1"], "none is lost, and the second is marked");
    assert_eq!(gateway.metric("hookward_dedup_entries"), 3.0);
}
