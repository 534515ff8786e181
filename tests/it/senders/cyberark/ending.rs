//! How a connector comes to its end: it is tried for a day, switched off, and gets nothing any more.

use std::time::{Duration, Instant};

use hookward::egress::Resolver;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{EXAMPLE, SECRET, at, connector, create, expire, text};
use crate::support::client::PATIENCE;
use crate::support::telling::{LOOPBACK, Teller};
use crate::support::upstream::Act;
use crate::support::{NOW, Upstream};
use crate::telling::{Stage, id};

/// When attempts are made, in seconds after the event: after 30 s, twice as long each time, up to an hour, for 24 hours, and
/// a last one when these end.
fn offsets() -> Vec<i64> {
    let waits = std::iter::successors(Some(30), |wait| Some((wait * 2).min(3600)));
    let offsets = waits.scan(0, |sum, wait| {
        let offset = *sum;
        *sum += wait;
        Some(offset)
    });
    offsets.take_while(|offset| *offset < 86_400).chain([86_400]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_takes_nothing_for_a_day_is_switched_off_for_good() {
    let sink = Upstream::start().await;
    let stage = Stage::start(&format!("operations = {{ url = \"{}/ops\", env = \"SECRET\" }}", sink.url())).await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let input = json!({"secret": SECRET, "retry": {"jitter": 0}});
    let made = create(teller, &receiver.url(), input.clone()).await;
    let retry = json!({"initial": "30s", "factor": 2.0, "max": "1h", "window": "1d", "jitter": 0.0});
    assert_eq!((&made["retry"], &made["success"]), (&retry, &json!([])), "CYB-52");
    let offsets = offsets();
    assert_eq!(offsets[..9], [0, 30, 90, 210, 450, 930, 1890, 3810, 7410], "CYB-52");
    assert_eq!((offsets.len(), &offsets[29..]), (31, &[83_010, 86_400][..]), "CYB-52");
    // Whatever is no 2xx is a failure, and no answer is one too.
    let failures =
        [Act::Answer(500), Act::HangUp, Act::Answer(404), Act::Answer(410), Act::Answer(302), Act::Answer(503)];
    receiver.plan(failures.into_iter().cycle().take(offsets.len()));

    let told = expire(teller).await;
    let path = format!("/webhooks/{}", id(&made));
    for (number, next) in offsets.iter().skip(1).enumerate() {
        let waits = |all: &[Value]| all[0]["attempts"] == number + 1 && all[0]["next_attempt_at"].is_string();
        let delivery = teller.deliveries(id(&made), waits).await[0].clone();
        assert_eq!(delivery["next_attempt_at"], at(*next), "CYB-51, CYB-52: after attempt {}", number + 1);
        let left = NOW + next - teller.now();
        stage.pass(left - 1).await;
        assert_eq!(receiver.arrived().len(), number + 2, "CYB-52: none before its time");
        stage.pass(1).await;
    }
    let log = teller.reach(id(&made), "expired", 1).await;
    assert_eq!((&log[0]["attempts"], &log[0]["reason"]), (&json!(31), &json!("expired")), "CYB-53");
    sink.wait_for(1).await;
    let shown = teller.get(&path).await.json["webhook"].clone();
    assert_eq!((&shown["status"], &shown["active"]), (&json!("disabled_permanent"), &json!(true)), "CYB-53");
    let moments: Vec<String> = offsets.iter().map(|offset| (NOW + offset).to_string()).collect();
    let made_at: Vec<String> =
        receiver.arrived()[1..].iter().map(|arrived| arrived.header("vaas-timestamp").to_owned()).collect();
    assert_eq!(made_at, moments, "CYB-27, CYB-52");
    for arrived in &receiver.arrived()[1..] {
        assert_eq!((arrived.method.as_str(), text(arrived)), ("POST", EXAMPLE), "CYB-35, CYB-50");
    }

    let notice = sink.only();
    let notice: Value = serde_json::from_slice(&notice.body).expect("JSON");
    assert_eq!(
        (&notice["type"], &notice["data"]["webhook_id"], &notice["data"]["reason"], &notice["data"]["url"]),
        (&json!("webhook.disabled"), &made["id"], &json!("exhausted"), &json!(receiver.url())),
        "CYB-57"
    );

    // Nobody switches it on again, and nothing is delivered to it any more.
    let refused = teller.post(&format!("{path}/enable"), &json!({})).await;
    refused.refuses(409, "endpoint_disabled_permanently");
    teller.patch(&path, &json!({"active": false})).await.answers(200);
    for revived in [json!({"active": true}), json!({"description": "x"}), json!({"provider": "cyberark-vaas"})] {
        let said = teller.patch(&path, &revived).await;
        assert_eq!(said.answers(200).json["webhook"]["status"], "disabled_permanent", "CYB-54");
    }
    teller.put(&path, &connector(&receiver.url(), json!({}))).await.answers(200);
    assert_eq!(teller.get(&path).await.json["webhook"]["status"], "disabled_permanent", "CYB-54");
    stage.teller.pass(1);
    let later = expire(teller).await;
    assert_eq!(later["suppressed"], json!([{"webhook_id": made["id"], "reason": "disabled"}]), "CYB-54");
    for again in [
        teller.post(&format!("{path}/deliveries/{}/resend", id(&log[0])), &json!({})).await,
        teller.post(&format!("{path}/recover"), &json!({"since": at(0)})).await,
        teller.post(&format!("/events/{}/replay", id(&told)), &json!({"webhook_ids": [made["id"]]})).await,
    ] {
        let detail = again.refuses(409, "conflict").json["detail"].as_str().expect("text");
        assert!(detail.ends_with("is switched off for good: register another one"), "{detail}");
    }

    // Another one in its place gets what happens from then on.
    let new = create(teller, &receiver.url(), input).await;
    for _ in 0..3 {
        stage.pass(43_200).await;
    }
    assert_eq!(receiver.arrived().len(), 33, "CYB-54, CYB-55, CYB-56: nothing but the new one's test");
    assert_eq!(teller.deliveries(id(&new), |_| true).await, [] as [Value; 0], "CYB-56");
    assert_eq!(teller.deliveries(id(&made), |all| all.len() == 2).await[1]["status"], "expired", "CYB-55");
    expire(teller).await;
    teller.reach(id(&new), "success", 1).await;
    assert_eq!(receiver.arrived().len(), 34, "CYB-54");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_attempt_is_at_the_end_of_the_day_and_none_is_later() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let made = create(teller, &receiver.url(), json!({})).await;
    let retry = json!({"initial": "30s", "factor": 2.0, "max": "1h", "window": "1d", "jitter": 0.1});
    assert_eq!(made["retry"], retry, "CYB-52: with a little chance unless somebody says otherwise");
    receiver.plan([Act::Say(503, vec![("retry-after", "999999")], ""), Act::Answer(500)]);
    expire(teller).await;
    let waits = |all: &[Value]| all[0]["next_attempt_at"] == at(86_400);
    teller.deliveries(id(&made), waits).await;
    stage.pass(86_399).await;
    assert_eq!(receiver.arrived().len(), 2, "CYB-52");
    stage.pass(1).await;
    teller.reach(id(&made), "expired", 1).await;
    assert_eq!(receiver.arrived()[2].header("vaas-timestamp"), (NOW + 86_400).to_string(), "CYB-52");
    for _ in 0..2 {
        stage.pass(3600).await;
    }
    assert_eq!(receiver.arrived().len(), 3, "CYB-55");
    let begun = Instant::now();
    let path = format!("/webhooks/{}", id(&made));
    while teller.get(&path).await.json["webhook"]["status"] != "disabled_permanent" {
        assert!(begun.elapsed() < PATIENCE, "CYB-53: it is not switched off");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_tried_in_time_is_over_and_not_held_against_the_connector() {
    let receiver = Upstream::start().await;
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let made = create(teller, &receiver.url(), json!({"retry": {"jitter": 0}})).await;
    receiver.plan([Act::Answer(500)]);
    expire(teller).await;
    teller.deliveries(id(&made), |all| all[0]["next_attempt_at"] == at(30)).await;
    // As if the machine had been off.
    stage.pass(86_411).await;
    let log = teller.reach(id(&made), "expired", 1).await;
    assert_eq!(log[0]["attempts"], 1, "CYB-55");
    assert_eq!(log[0]["error"], "nobody was here to try it again in its time");
    assert_eq!(receiver.arrived().len(), 2, "CYB-55");
    stage.pass(2).await;
    let shown = teller.get(&format!("/webhooks/{}", id(&made))).await;
    assert_eq!(shown.json["webhook"]["status"], "active", "CYB-53: it was not asked for the full time");
    expire(teller).await;
    teller.reach(id(&made), "success", 1).await;

    // A first attempt is made whenever it can be.
    let folder = TempDir::new().expect("a folder");
    let teller = Teller::start_in(folder, "", LOOPBACK, Resolver::System);
    let made = create(&teller, &receiver.url(), json!({"max_in_flight": 1})).await;
    receiver.plan([Act::Hold(200)]);
    let before = receiver.arrived().len();
    for _ in 0..2 {
        expire(&teller).await;
    }
    receiver.wait_for(before + 1).await;
    teller.pass(90_000);
    receiver.release();
    teller.reach(id(&made), "success", 2).await;
}
