//! Events as an app tells them: who gets them, with which bytes, and once.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{NOWHERE, id};
use crate::support::telling::{ADMIN, Said, Teller};
use crate::support::{Request, Upstream};

/// Publishes with an `Idempotency-Key`.
async fn keyed(teller: &Teller, path: &str, key: &str, body: &Value) -> Said {
    teller.ask("POST", path, ADMIN, &[("idempotency-key", key)], Some(body)).await
}

/// A request with a body byte for byte.
fn verbatim(path: &str, body: &str) -> Request {
    Request::post(path).header("content-type", "application/json").body(body.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_belongs_to_one_type_and_one_content() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    let event = json!({"type": "a", "data": {"n": 1}, "id": "e-1"});
    let first = teller.post("/events", &event).await;
    assert_eq!(first.answers(202).json["event"]["duplicate"], false);
    let again = teller.post("/events", &event).await;
    let told = &again.answers(200).json["event"];
    assert_eq!((&told["duplicate"], &told["id"], &told["webhook_ids"]), (&json!(true), &json!("e-1"), &json!([])));
    for other in [
        json!({"type": "a", "data": {"n": 2}, "id": "e-1"}),
        json!({"type": "b", "data": {"n": 1}, "id": "e-1"}),
        json!({"type": "a", "raw": "{\"n\":1}", "id": "e-1"}),
    ] {
        teller.post("/events", &other).await.refuses(409, "duplicate_conflict");
    }
    teller.reach(id(&webhook), "success", 1).await;
    assert_eq!(receiver.only().header("webhook-id"), "e-1");
    for (outcome, count) in [("kept", 1.0), ("duplicate", 1.0), ("conflict", 3.0)] {
        let line = format!("hookward_sender_events_total{{outcome=\"{outcome}\"}}");
        assert!((teller.metric(&line) - count).abs() < 0.5, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_done_once_and_answered_the_same() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    let event = json!({"type": "a", "data": {"n": 1}});
    let first = keyed(&teller, "/events", "k-1", &event).await;
    assert_eq!(first.answers(202).reply.header("idempotent-replayed"), None);
    for path in ["/events", "/v1/events"] {
        let again = keyed(&teller, path, "k-1", &event).await;
        assert_eq!((&again.answers(202).json, again.reply.header("idempotent-replayed")), (&first.json, Some("true")));
    }
    keyed(&teller, "/events", "k-1", &json!({"type": "a", "data": {"n": 2}}))
        .await
        .refuses(409, "idempotency_conflict");
    let other = keyed(&teller, "/events", "k-2", &event).await;
    assert_ne!(other.answers(202).json["event"]["id"], first.json["event"]["id"]);
    teller.reach(id(&webhook), "success", 2).await;
    assert_eq!(receiver.arrived().len(), 2);
    for bad in ["", &"k".repeat(256)] {
        keyed(&teller, "/events", bad, &event).await.refuses(400, "malformed");
    }
    keyed(&teller, "/events", &"k".repeat(255), &event).await.answers(202);
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    teller.ask("POST", "/events", ADMIN, &twice, Some(&event)).await.refuses(400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_a_day() {
    let teller = Teller::start("").await;
    let input = json!({ "url": NOWHERE });
    let first = keyed(&teller, "/webhooks", "k", &input).await.answers(201).json.clone();
    teller.pass(86_399);
    assert_eq!(keyed(&teller, "/webhooks", "k", &input).await.answers(201).json, first);
    teller.pass(1);
    let later = keyed(&teller, "/webhooks", "k", &input).await;
    assert_eq!(later.answers(201).reply.header("idempotent-replayed"), None);
    assert_ne!(later.json["webhook"]["id"], first["webhook"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_with_a_key_at_the_same_moment_one_is_done() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    let event = json!({"type": "a", "data": {}});
    let all = futures(8, || keyed(&teller, "/events", "k", &event)).await;
    let ids: HashSet<_> = all.iter().map(|said| said.answers(202).json["event"]["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(all.iter().filter(|said| said.reply.header("idempotent-replayed").is_none()).count(), 1);
    let input = json!({ "url": NOWHERE });
    let all = futures(8, || keyed(&teller, "/webhooks", "k", &input)).await;
    let secrets: HashSet<_> = all.iter().map(|said| said.answers(201).json["webhook"]["secret"].to_string()).collect();
    assert_eq!((secrets.len(), teller.get("/webhooks").await.json["total"].clone()), (1, json!(2)));
    teller.reach(id(&webhook), "success", 1).await;
}

/// So many at the same moment.
async fn futures<F: Future>(count: usize, make: impl Fn() -> F) -> Vec<F::Output> {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done: Vec<Option<F::Output>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_answered_again_even_where_it_could_not_be_done_now() {
    let teller = Teller::start("").await;
    teller.put("/account", &json!({"max_webhooks": 1})).await.answers(200);
    let secret = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
    let webhook = keyed(&teller, "/webhooks", "k", &json!({ "url": NOWHERE })).await.json["webhook"].clone();
    let rotate = format!("/webhooks/{}/rotate-secret", id(&webhook));
    for (path, body, status) in [
        ("/webhooks", json!({ "url": NOWHERE }), 201),
        ("/event-types", json!({"name": "a"}), 201),
        ("/groups", json!({"name": "g"}), 201),
        (&rotate, json!({ "secret": secret }), 200),
    ] {
        let first = keyed(&teller, path, "k", &body).await.answers(status).json.clone();
        let again = keyed(&teller, path, "k", &body).await;
        assert_eq!(
            (&again.answers(status).json, again.reply.header("idempotent-replayed")),
            (&first, Some("true")),
            "{path}"
        );
        keyed(&teller, path, "k", &json!({"name": "x", "url": NOWHERE})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holds_across_a_restart() {
    let teller = Teller::start("").await;
    let (input, event) = (json!({ "url": NOWHERE, "events": [] }), json!({"type": "a", "data": {}}));
    let first = keyed(&teller, "/webhooks", "k", &input).await.answers(201).json.clone();
    let told = keyed(&teller, "/events", "k", &event).await.answers(202).json.clone();
    let teller = teller.restart("").await.expect("it starts");
    let again = keyed(&teller, "/webhooks", "k", &input).await;
    assert_eq!((&again.answers(201).json, again.reply.header("idempotent-replayed")), (&first, Some("true")));
    assert_eq!(keyed(&teller, "/events", "k", &event).await.answers(202).json, told);
    let other = json!({ "url": NOWHERE, "events": ["a"] });
    keyed(&teller, "/webhooks", "k", &other).await.refuses(409, "idempotency_conflict");
    assert_eq!(teller.get("/webhooks").await.json["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_says_of_each_event_what_became_of_it() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"events": ["a", "b"]})).await;
    teller.post("/events", &json!({"type": "a", "data": 1, "id": "known"})).await.answers(202);
    let batch = json!({"events": [
        {"type": "a", "data": 1, "id": "new"},
        {"type": "a", "data": 1, "id": "known"},
        {"type": "a", "data": 2, "id": "known"},
        {"type": "a", "data": 1, "id": "new"},
        {"type": "c", "data": 1},
    ]});
    let said = teller.post("/events/batch", &batch).await;
    let items = said.answers(202).json["events"].as_array().expect("a list").clone();
    assert_eq!((items.len(), &said.json["success"]), (5, &json!(false)));
    for (item, duplicate) in [(0, false), (1, true), (3, true), (4, false)] {
        let item = &items[item];
        assert_eq!((&item["success"], &item["event"]["duplicate"]), (&json!(true), &json!(duplicate)), "{item}");
    }
    assert_eq!(
        (&items[0]["event"]["webhook_ids"], &items[4]["event"]["webhook_ids"]),
        (&json!([webhook["id"]]), &json!([]))
    );
    assert_eq!((&items[2]["success"], &items[2]["code"]), (&json!(false), &json!("duplicate_conflict")));
    teller.reach(id(&webhook), "success", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_one_bad_event_is_refused_as_a_whole() {
    let teller = Teller::start("max_body = \"1KiB\"\nstrict_event_types = true\nevent_type = [{ name = \"a\" }]").await;
    let good = json!({"type": "a", "data": 1});
    let long = json!({"type": "a", "data": "x".repeat(1024)});
    for (bad, status, code, pointer) in [
        (json!({"type": "a b", "data": 1}), 422, "validation", "/events/1/type"),
        (json!({"type": "c", "data": 1}), 422, "validation", "/events/1/type"),
        (json!({"type": "a"}), 422, "validation", "/events/1/data"),
        (json!({"type": "a", "data": 1, "dta": 1}), 422, "validation", "/events/1/dta"),
        (json!({"type": "a", "data": 1, "group": "g"}), 422, "validation", "/events/1/group"),
        (json!({"type": "a", "data": 1, "webhook_ids": ["wh_1"]}), 422, "validation", "/events/1/webhook_ids/0"),
        (long, 413, "payload_too_large", "none"),
    ] {
        let said = teller.post("/events/batch", &json!({"events": [good, bad, good]})).await;
        assert_eq!(said.refuses(status, code).pointer(), pointer, "{bad}");
    }
    let one = teller.post("/events/batch", &json!({"events": [{"type": "c", "data": 1}]})).await;
    assert_eq!(one.refuses(422, "validation").pointer(), "/events/0/type", "one of one is one of a batch too");
    for (count, status) in [(0, 422), (1, 202), (100, 202), (101, 422)] {
        let events: Vec<_> = (0..count).map(|_| &good).collect();
        assert_eq!(teller.post("/events/batch", &json!({ "events": events })).await.status, status, "{count}");
    }
    assert_eq!(teller.get("/events").await.json["total"], 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_key_is_done_once() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    let batch = json!({"events": [{"type": "a", "data": 1}, {"type": "a", "data": 1}]});
    let first = keyed(&teller, "/events/batch", "k", &batch).await.answers(202).json.clone();
    assert_ne!(first["events"][0]["event"]["id"], first["events"][1]["event"]["id"]);
    let again = keyed(&teller, "/events/batch", "k", &batch).await;
    assert_eq!((&again.json, again.reply.header("idempotent-replayed")), (&first, Some("true")));
    teller.reach(id(&webhook), "success", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_types_are_strict_only_known_ones_are_told() {
    let teller = Teller::start(
        "strict_event_types = true\nevent_type = [{ name = \"invoice.paid\", description = \"d\", example = '{\"a\":1}' }]",
    )
    .await;
    teller.publish("invoice.paid", json!({})).await;
    let said = teller.post("/events", &json!({"type": "invoice.payd", "data": 1})).await;
    assert_eq!(said.refuses(422, "validation").pointer(), "/type");
    assert!(said.json["detail"].as_str().expect("text").contains("did you mean \"invoice.paid\"?"), "{said:?}");

    let kind = json!({"name": "user.created", "description": "somebody", "category": "Users", "example": {"id": 1}});
    let made = teller.post("/event-types", &kind).await;
    assert_eq!(made.answers(201).json["event_type"]["example"], json!({"id": 1}));
    teller.publish("user.created", json!({})).await;
    teller.post("/event-types", &kind).await.refuses(409, "already_exists");
    let names = |said: &Value| -> Vec<String> {
        said["event_types"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|kind| kind["name"].as_str().expect("it").into())
            .collect()
    };
    assert_eq!(names(&teller.get("/event-types").await.json), ["invoice.paid", "user.created"]);
    for (method, path) in [("DELETE", "/event-types/invoice.paid"), ("PUT", "/event-types/invoice.paid")] {
        let body = json!({"name": "invoice.paid"});
        let body = (method == "PUT").then_some(&body);
        teller.ask(method, path, ADMIN, &[], body).await.refuses(409, "conflict");
    }
    teller.delete("/event-types/user.created").await.answers(200);
    teller.delete("/event-types/user.created").await.refuses(404, "not_found");
    teller.post("/events", &json!({"type": "user.created", "data": 1})).await.refuses(422, "validation");
    teller.put("/account", &json!({"strict_event_types": false})).await.answers(200);
    teller.publish("user.created", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_groups_webhooks_get_what_names_it_or_matches_it() {
    let teller = Teller::start("").await;
    let group = async |name: &str, matches: Value| {
        let said = teller.post("/groups", &json!({"name": name, "match": matches})).await;
        said.answers(201).json["group"]["id"].as_str().expect("an id").to_owned()
    };
    let production = group("production", json!({"/group": "production", "/live": true})).await;
    let staging = group("staging", json!({})).await;
    let mut ids = Vec::new();
    for input in [json!({}), json!({"group_id": production}), json!({"group_id": staging})] {
        ids.push(teller.register(NOWHERE, input).await["id"].clone());
    }
    let named = |name: &str| json!({"type": "a", "data": {}, "group": name});
    let with = |data: Value| json!({"type": "a", "data": data});
    for (event, wanted) in [
        (with(json!({})), vec![0]),
        (with(json!({"group": "production", "live": true})), vec![0, 1]),
        (with(json!({"group": "production", "live": "true"})), vec![0]),
        (with(json!({"group": "staging", "live": true})), vec![0]),
        (named("production"), vec![0, 1]),
        (named(&production), vec![0, 1]),
        (named("staging"), vec![0, 2]),
    ] {
        let wanted: HashSet<String> = wanted.iter().map(|at: &usize| ids[*at].to_string()).collect();
        let told = teller.post("/events", &event).await.answers(202).json["event"]["webhook_ids"].clone();
        let told: HashSet<String> = told.as_array().expect("a list").iter().map(ToString::to_string).collect();
        assert_eq!(told, wanted, "{event}");
    }
    assert_eq!(teller.post("/events", &named("nobody")).await.refuses(422, "validation").pointer(), "/group");
    teller.post("/groups", &json!({"name": "staging"})).await.refuses(409, "already_exists");
    teller.delete(&format!("/groups/{staging}")).await.refuses(409, "conflict");
    let third = ids[2].as_str().expect("an id");
    teller.patch(&format!("/webhooks/{third}"), &json!({"group_id": null})).await.answers(200);
    teller.delete(&format!("/groups/{staging}")).await.answers(200);
    let told = teller.publish("a", json!({})).await;
    assert_eq!(told["webhook_ids"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_get_an_event_that_it_asked_for_learns_why() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let filtered = teller.register(&receiver.url(), json!({"filter": {"/status": "paid", "/n": 1}})).await;
    teller.pass(1);
    let disabled = teller.register(&receiver.url(), json!({"active": false})).await;
    let told = teller.publish("a", json!({"status": "open", "n": 1})).await;
    assert_eq!(told["webhook_ids"], json!([]));
    assert_eq!(
        told["suppressed"],
        json!([
            {"webhook_id": filtered["id"], "reason": "filtered"},
            {"webhook_id": disabled["id"], "reason": "disabled"},
        ])
    );
    for (webhook, reason) in [(&filtered, "filtered"), (&disabled, "disabled")] {
        let log = teller.reach(id(webhook), "skipped", 1).await;
        assert_eq!((&log[0]["reason"], &log[0]["attempts"]), (&json!(reason), &json!(0)));
        assert_eq!((&log[0]["next_attempt_at"], &log[0]["delivered_at"]), (&Value::Null, &Value::Null));
    }
    let shown = teller.get(&format!("/events/{}", id(&told))).await.json["event"].clone();
    assert_eq!(shown["deliveries"], json!({"waiting": 0, "success": 0, "failed": 0, "skipped": 2, "cancelled": 0}));
    teller.post(&format!("/webhooks/{}/enable", id(&disabled)), &json!({})).await.answers(200);
    teller.pass(1);
    let told = teller.publish("a", json!({"status": "paid", "n": 1})).await;
    assert_eq!((&told["suppressed"], told["webhook_ids"].as_array().map(Vec::len)), (&json!([]), Some(2)));
    for webhook in [&filtered, &disabled] {
        let log = teller.reach(id(webhook), "success", 1).await;
        assert_eq!((log.len(), &log[1]["status"]), (2, &json!("skipped")), "what was missed stays so");
    }
    assert_eq!(receiver.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_can_name_who_gets_it() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let one = teller.register(&receiver.url(), json!({"events": []})).await;
    teller.register(&receiver.url(), json!({})).await;
    let event = json!({"type": "a", "data": 1, "webhook_ids": [one["id"], one["id"]]});
    let told = teller.post("/events", &event).await.answers(202).json["event"].clone();
    assert_eq!(told["webhook_ids"], json!([one["id"]]));
    let unknown = json!({"type": "a", "data": 1, "webhook_ids": [one["id"], "wh_none"]});
    assert_eq!(teller.post("/events", &unknown).await.refuses(422, "validation").pointer(), "/webhook_ids/1");
    teller.reach(id(&one), "success", 1).await;
    assert_eq!(receiver.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_body_goes_out_as_it_is() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let text = " <a>\u{fc}\u{1f600}</a>\r\n";
    for provider in ["standard-webhooks", "github", "stripe"] {
        let webhook = teller.register(&receiver.url(), json!({ "provider": provider })).await;
        let only = json!([webhook["id"]]);
        let event =
            json!({"type": "a.b", "raw": text, "content_type": "application/xml; charset=utf-8", "webhook_ids": only});
        teller.post("/events", &event).await.answers(202);
        let log = teller.reach(id(&webhook), "success", 1).await;
        assert_eq!(log[0]["event_data"], text);
        let arrived = receiver.arrived().pop().expect("one");
        assert_eq!(
            (&arrived.body[..], arrived.header("content-type")),
            (text.as_bytes(), "application/xml; charset=utf-8")
        );
        let event = json!({"type": "a.b", "raw": "{\"data\": 7}", "webhook_ids": only});
        teller.pass(1);
        teller.post("/events", &event).await.answers(202);
        let log = teller.reach(id(&webhook), "success", 2).await;
        assert_eq!(log[0]["event_data"], json!({"data": 7}), "all of it, though it looks like an envelope");
        let arrived = receiver.arrived().pop().expect("one");
        assert_eq!((&arrived.body[..], arrived.header("content-type")), (&b"{\"data\": 7}"[..], "application/json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_arrives_byte_for_byte_in_each_providers_envelope() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let data =
        "{ \"n\":1.0e+2, \"big\":12345678901234567890123, \"z\":0.10,\"a\" : \"\\u00e9\u{e9}\u{1f600}\" ,\"n\":2}";
    let mut made = Vec::new();
    for provider in ["github", "github", "standard-webhooks", "svix", "stripe", "vgs"] {
        made.push(teller.register(&format!("{}/{provider}", receiver.url()), json!({ "provider": provider })).await);
    }
    let body =
        format!("{{\"type\":\"a.b\",\"id\":\"e-1\",\"timestamp\":\"2025-10-09T10:00:00+02:00\",\"data\":{data}}}");
    let told = teller.send(verbatim("/events", &body)).await.answers(202).json["event"].clone();
    assert_eq!(told["timestamp"], "2025-10-09T08:00:00.000Z");
    for webhook in &made {
        teller.reach(id(webhook), "success", 1).await;
    }
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 6);
    let standard =
        format!("{{\"id\":\"e-1\",\"type\":\"a.b\",\"timestamp\":\"2025-10-09T08:00:00.000Z\",\"data\":{data}}}");
    for one in arrived {
        let text = String::from_utf8(one.body.to_vec()).expect("text");
        match one.target.as_str() {
            "/github" => assert_eq!((text.as_str(), one.header("x-github-event")), (data, "a.b")),
            "/standard-webhooks" | "/svix" => {
                assert!(
                    text.contains("\"type\":\"a.b\"") && text.ends_with(&format!("\"data\":{data}}}")),
                    "{text} {standard}"
                );
                assert!(text.contains("2025-10-09T08:00:00"), "{text}");
            }
            "/stripe" => assert_eq!(
                text,
                format!(
                    "{{\"id\":\"e-1\",\"object\":\"event\",\"type\":\"a.b\",\"created\":1759996800,\"data\":{{\"object\":{data}}}}}"
                )
            ),
            // Its members stand beside the envelope's own, each value as it was.
            "/vgs" => assert_eq!(
                text,
                "{\"id\":\"e-1\",\"event\":\"a.b\",\"occurrence\":1,\"n\":1.0e+2,\"big\":12345678901234567890123,\"z\":0.10,\"a\":\"\\u00e9\u{e9}\u{1f600}\",\"n\":2}"
            ),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_the_latest_first() {
    let teller = Teller::start("").await;
    let mut ids = Vec::new();
    for kind in ["a", "b", "a"] {
        ids.insert(0, teller.publish(kind, json!({ "kind": kind })).await["id"].clone());
        teller.pass(10);
    }
    let listed = async |query: &str| {
        let said = teller.get(&format!("/events?{query}")).await.answers(200).json.clone();
        let found: Vec<Value> =
            said["events"].as_array().expect("a list").iter().map(|event| event["id"].clone()).collect();
        (found, said)
    };
    let (found, said) = listed("").await;
    assert_eq!((found, &said["total"]), (ids.clone(), &json!(3)));
    assert_eq!((&said["events"][0]["data"], &said["events"][0]["type"]), (&json!({"kind": "a"}), &json!("a")));
    let (first, said) = listed("limit=2").await;
    assert_eq!((&first[..], &said["total"], &said["has_more"]), (&ids[..2], &json!(3), &json!(true)));
    let (rest, said) = listed(&format!("limit=2&cursor={}", said["next_cursor"].as_str().expect("text"))).await;
    assert_eq!((&rest[..], &said["total"], &said["has_more"]), (&ids[2..], &json!(3), &json!(false)));
    assert_eq!(listed("type=a").await.0, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(listed("since=2025-10-09T08:53:30Z&until=2025-10-09T08:53:40Z").await.0, [ids[1].clone()]);
    for query in ["cursor=x", "since=now", "limit=0", "kind=a"] {
        teller.get(&format!("/events?{query}")).await.refuses(400, "malformed");
    }
    teller.get("/events/none").await.refuses(404, "not_found");
}
