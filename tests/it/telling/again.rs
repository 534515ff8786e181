//! Deliveries that are made again because somebody asks for it: one, an event's, or all that failed.

use hookward::egress::Resolver;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::retries::{at, retrying};
use super::{Stage, id};
use crate::support::Upstream;
use crate::support::services::shared_postgres;
use crate::support::telling::{ADMIN, LOOPBACK, Teller};
use crate::support::upstream::Act;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_made_again_wherever_it_stands() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    let webhook = teller
        .register(
            &receiver.url(),
            json!({"provider": "github", "retry": {"delays": ["1h"], "jitter": 0}, "filter": {"/n": 1}}),
        )
        .await;
    let resend = async |delivery: &Value| {
        teller.pass(1);
        teller.post(&format!("/webhooks/{}/deliveries/{}/resend", id(&webhook), id(delivery)), &json!({})).await
    };
    // Delivered.
    let told = teller.publish("a", json!({"n": 1})).await;
    let delivered = teller.reach(id(&webhook), "success", 1).await[0].clone();
    let said = resend(&delivered).await.answers(202).json.clone();
    assert_eq!(said["event_id"], told["id"]);
    let log = teller.reach(id(&webhook), "success", 2).await;
    assert_eq!(
        (&log[0]["id"], &log[0]["trigger"], &log[1]["trigger"]),
        (&said["delivery_ids"][0], &json!("resend"), &json!("event"))
    );
    assert_eq!(
        (log[0]["event_id"].clone(), receiver.arrived()[0].body.clone()),
        (told["id"].clone(), receiver.arrived()[1].body.clone())
    );

    // Waiting: it is due at once, and there is no second one.
    receiver.plan([Act::Answer(500), Act::Answer(500)]);
    teller.pass(1);
    teller.publish("a", json!({"n": 1})).await;
    let waiting = retrying(teller, &webhook, 1).await;
    assert_eq!(resend(&waiting).await.answers(202).json["delivery_ids"], json!([waiting["id"]]));
    let dead = teller.reach(id(&webhook), "failed", 1).await[0].clone();
    assert_eq!((&dead["id"], &dead["attempts"]), (&waiting["id"], &json!(2)));

    // Dead.
    resend(&dead).await.answers(202);
    teller.reach(id(&webhook), "success", 3).await;

    // Skipped: with its provider's body.
    teller.publish("a", json!({"n": 2})).await;
    let skipped = teller.reach(id(&webhook), "skipped", 1).await[0].clone();
    resend(&skipped).await.answers(202);
    teller.reach(id(&webhook), "success", 4).await;
    assert_eq!(&receiver.arrived().last().expect("one").body[..], b"{\"n\":2}");

    // Under way.
    receiver.plan([Act::Hold(200)]);
    let before = receiver.arrived().len();
    teller.pass(1);
    teller.publish("a", json!({"n": 1})).await;
    receiver.wait_for(before + 1).await;
    let leased = teller.deliveries(id(&webhook), |all| all[0]["status"] == "pending").await[0].clone();
    resend(&leased).await.refuses(409, "conflict");
    receiver.release();
    teller.reach(id(&webhook), "success", 5).await;

    resend(&json!({"id": "del_nothing"})).await.refuses(404, "not_found");
    resend(&json!({"id": "del_0199c82cc000fdea199fa5526c905e50"})).await.refuses(404, "not_found");
    teller.post(&format!("/webhooks/{}/disable", id(&webhook)), &json!({})).await.answers(200);
    resend(&delivered).await.refuses(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_with_a_key_is_made_once() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    teller.publish("a", json!(1)).await;
    let delivery = teller.reach(id(&webhook), "success", 1).await[0].clone();
    let path = format!("/webhooks/{}/deliveries/{}/resend", id(&webhook), id(&delivery));
    let ask = async || teller.ask("POST", &path, ADMIN, &[("idempotency-key", "k")], None).await;
    let first = ask().await.answers(202).json.clone();
    let again = ask().await;
    assert_eq!((&again.answers(202).json, again.reply.header("idempotent-replayed")), (&first, Some("true")));
    assert_eq!(teller.reach(id(&webhook), "success", 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_again_to_those_who_had_it_or_to_those_who_are_named() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let mut all = Vec::new();
    for (path, input) in [
        ("/had", json!({"provider": "github"})),
        ("/filtered", json!({"provider": "github", "filter": {"/n": 2}})),
        ("/new", json!({"provider": "stripe", "events": []})),
        ("/off", json!({"events": [], "active": false})),
    ] {
        all.push(teller.register(&format!("{}{path}", receiver.url()), input).await);
    }
    let event = json!({"type": "a.b", "data": {"n": 1}, "id": "e-1", "timestamp": "2025-10-09T08:00:00Z"});
    teller.post("/events", &event).await.answers(202);
    teller.reach(id(&all[0]), "success", 1).await;
    teller.pass(3600);

    let whole = teller.post("/events/e-1/replay", &json!({})).await.answers(202).json.clone();
    assert_eq!((&whole["event_id"], whole["delivery_ids"].as_array().map(Vec::len)), (&json!("e-1"), Some(2)));
    let log = teller.reach(id(&all[0]), "success", 2).await;
    assert_eq!(log[0]["trigger"], "replay");
    teller.reach(id(&all[1]), "success", 1).await;

    let named = teller.post("/events/e-1/replay", &json!({"webhook_ids": [all[2]["id"], all[2]["id"]]})).await;
    assert_eq!(named.answers(202).json["delivery_ids"].as_array().map(Vec::len), Some(1));
    let log = teller.reach(id(&all[2]), "success", 1).await;
    assert_eq!((&log[0]["event_data"], &log[0]["event_id"]), (&json!({"n": 1}), &json!("e-1")));
    let again = teller.post("/events/e-1/replay", &json!({"webhook_ids": [all[2]["id"]]})).await;
    again.answers(202);
    teller.reach(id(&all[2]), "success", 2).await;
    for arrived in receiver.arrived() {
        let text = std::str::from_utf8(&arrived.body).expect("text");
        match arrived.target.as_str() {
            "/had" | "/filtered" => assert_eq!((text, arrived.header("x-github-event")), ("{\"n\":1}", "a.b")),
            "/new" => assert_eq!(
                text,
                "{\"id\":\"e-1\",\"object\":\"event\",\"type\":\"a.b\",\"created\":1759996800,\"data\":{\"object\":{\"n\":1}}}",
                "it happened when it did"
            ),
            other => panic!("{other}"),
        }
    }
    teller.post("/events/e-1/replay", &json!({"webhook_ids": [all[3]["id"]]})).await.refuses(409, "conflict");
    teller.post("/events/e-1/replay", &json!({"webhook_ids": ["wh_none"]})).await.refuses(404, "not_found");
    teller.post("/events/none/replay", &json!({})).await.refuses(404, "not_found");

    let raw = json!({"type": "a.b", "raw": "{\"x\": 1}", "id": "e-2", "webhook_ids": [all[0]["id"]]});
    teller.post("/events", &raw).await.answers(202);
    teller.reach(id(&all[0]), "success", 3).await;
    teller.post("/events/e-2/replay", &json!({"webhook_ids": [all[2]["id"]]})).await.answers(202);
    teller.reach(id(&all[2]), "success", 3).await;
    assert_eq!(&receiver.arrived().last().expect("one").body[..], b"{\"x\": 1}", "a whole body stays one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_since_is_recovered_once() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    let webhook = teller.register(&receiver.url(), json!({"retry": {"delays": []}})).await;
    receiver.plan([500, 500, 200, 500].map(Act::Answer));
    for (n, seconds) in [(1, 10), (2, 10), (3, 10), (4, 10)] {
        teller.publish("a", json!(n)).await;
        teller.deliveries(id(&webhook), |all| all.len() == n && all[0]["attempts"] == 1).await;
        teller.pass(seconds);
    }
    let recover = async |input: Value| {
        let said = teller.post(&format!("/webhooks/{}/recover", id(&webhook)), &input).await;
        said.answers(202).json["matched"].as_u64().expect("a number")
    };
    // Event 1 is before, and event 4 from the end on.
    assert_eq!(
        recover(json!({"since": at(10), "until": at(30), "states": ["expired", "cancelled", "skipped"]})).await,
        0
    );
    assert_eq!(recover(json!({"since": at(10), "until": at(30)})).await, 1);
    let log = teller.reach(id(&webhook), "success", 2).await;
    assert_eq!((&log[0]["trigger"], &log[0]["event_data"]), (&json!("recover"), &json!(2)));
    assert_eq!(recover(json!({"since": at(10), "until": at(30)})).await, 0, "it was made again since");
    assert_eq!(recover(json!({"since": at(0), "states": ["failed"]})).await, 2);
    teller.reach(id(&webhook), "success", 4).await;
    assert_eq!(recover(json!({"since": at(0)})).await, 0);
    let path = format!("/webhooks/{}/recover", id(&webhook));
    for (bad, pointer) in [
        (json!({}), ""),
        (json!({"since": "yesterday"}), "/since"),
        (json!({"since": at(0), "until": "now"}), "/until"),
        (json!({"since": at(0), "states": ["failed", "success"]}), "/states/1"),
    ] {
        assert_eq!(teller.post(&path, &bad).await.refuses(422, "validation").pointer(), pointer, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_expired_and_skipped_ones_are_recovered_apart() {
    check_recovery(&Teller::start("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_recovers_as_a_file_does() {
    let (url, folder) = (shared_postgres().database().await, TempDir::new().expect("a folder"));
    check_recovery(&Teller::on(&url, folder, "keys = [{ env = \"KEY\" }]", LOOPBACK, Resolver::System)).await;
}

async fn check_recovery(teller: &Teller) {
    let receiver = Upstream::start().await;
    let retry = |retry: Value| json!({ "retry": retry });
    let webhook = teller.register(&receiver.url(), json!({"provider": "github", "retry": {"delays": []}})).await;
    let at_webhook = format!("/webhooks/{}", id(&webhook));
    receiver.plan([500, 500].map(Act::Answer));
    teller.publish("a", json!("failed")).await;
    teller.reach(id(&webhook), "failed", 1).await;
    teller.patch(&at_webhook, &retry(json!({"delays": ["1m"], "window": "5s"}))).await.answers(200);
    teller.publish("a", json!("expired")).await;
    teller.reach(id(&webhook), "expired", 1).await;
    teller.post(&format!("{at_webhook}/disable"), &json!({})).await.answers(200);
    teller.publish("a", json!("skipped")).await;
    let recover = format!("{at_webhook}/recover");
    teller.post(&recover, &json!({"since": at(0)})).await.refuses(409, "conflict");
    teller.post(&format!("{at_webhook}/enable"), &json!({})).await.answers(200);
    for (done, state) in [(1, "failed"), (2, "expired"), (3, "skipped")] {
        teller.pass(1);
        let said = teller.post(&recover, &json!({"since": at(0), "states": [state]})).await;
        assert_eq!(said.answers(202).json["matched"], 1, "{state}");
        let log = teller.reach(id(&webhook), "success", done).await;
        assert_eq!(log[0]["event_data"], state);
        assert_eq!(receiver.arrived().last().expect("one").body, format!("\"{state}\""), "as its provider has it");
    }
}
