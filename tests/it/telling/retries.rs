//! Deliveries that fail, and what becomes of them.

use serde_json::{Value, json};

use super::{Stage, id};
use crate::support::telling::{ADMIN, Teller};
use crate::support::upstream::Act;
use crate::support::{NOW, SECRET, Upstream, signed_with};

/// A webhook's only, or latest, delivery once it waits for its next attempt.
pub async fn retrying(teller: &Teller, webhook: &Value, attempts: u32) -> Value {
    let waits = |all: &[Value]| {
        let latest = &all[0];
        latest["attempts"] == attempts && latest["next_attempt_at"].is_string()
    };
    teller.deliveries(id(webhook), waits).await[0].clone()
}

async fn show(teller: &Teller, webhook: &Value) -> Value {
    teller.get(&format!("/webhooks/{}", id(webhook))).await.answers(200).json["webhook"].clone()
}

/// So many seconds after [`NOW`], as it is written.
pub fn at(seconds: i64) -> String {
    hookward::clock::UnixMillis((NOW + seconds) * 1000).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_has_the_same_bytes_and_a_signature_of_its_moment_unless_that_is_frozen() {
    let stage = Stage::start("").await;
    let (fresh, frozen) = (Upstream::start().await, Upstream::start().await);
    let retry = json!({"delays": ["10s", "1m"], "jitter": 0});
    let standard = stage.teller.register(&fresh.url(), json!({ "retry": retry })).await;
    let vgs = stage.teller.register(&frozen.url(), json!({ "retry": retry, "provider": "vgs" })).await;
    for receiver in [&fresh, &frozen] {
        receiver.plan([Act::Answer(500), Act::HangUp]);
    }
    let told = stage.teller.publish("a", json!({"n": 1.0})).await;
    for (attempts, wait) in [(1, 10), (2, 60)] {
        for webhook in [&standard, &vgs] {
            retrying(&stage.teller, webhook, attempts).await;
        }
        stage.pass(wait - 1).await;
        assert_eq!(
            (fresh.arrived().len(), frozen.arrived().len()),
            (attempts as usize, attempts as usize),
            "too early"
        );
        stage.pass(1).await;
    }
    for webhook in [&standard, &vgs] {
        let log = stage.teller.reach(id(webhook), "success", 1).await;
        assert_eq!(
            (&log[0]["attempts"], &log[0]["next_attempt_at"], &log[0]["error"]),
            (&json!(3), &Value::Null, &Value::Null)
        );
    }
    let (fresh, frozen) = (fresh.arrived(), frozen.arrived());
    assert_eq!((fresh.len(), frozen.len()), (3, 3));
    let secret = standard["secret"].as_str().expect("a secret");
    for (arrived, after) in fresh.iter().zip([0, 10, 70]) {
        assert_eq!((arrived.header("webhook-id"), &arrived.body), (id(&told), &fresh[0].body));
        assert_eq!(arrived.header("webhook-timestamp"), (NOW + after).to_string());
        let body = std::str::from_utf8(&arrived.body).expect("text");
        let wanted = signed_with(secret, "standard-webhooks", id(&told), body, NOW + after);
        assert_eq!(arrived.header("webhook-signature"), wanted.value("webhook-signature"));
    }
    for arrived in &frozen {
        assert!(arrived.header("vgs-signature").starts_with(&format!("t={NOW},v0=")));
        assert_eq!(
            (arrived.header("vgs-signature"), &arrived.body),
            (frozen[0].header("vgs-signature"), &frozen[0].body)
        );
    }
}

/// X-09 of `docs/seeds.md`.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_statuses_that_count_are_success() {
    let teller = Teller::start("").await;
    let elsewhere = Upstream::start().await;
    let elsewhere_url: &'static str = Box::leak(elsewhere.url().into_boxed_str());
    let once = json!({"delays": []});
    for (input, taken, refused, failed) in [
        (json!({"retry": once}), vec![200, 201, 204, 299], vec![300, 304, 400, 404, 500], "failed"),
        (json!({"retry": once, "success": [200, 202]}), vec![200, 202], vec![201, 204], "failed"),
        (json!({"retry": once, "provider": "vgs"}), vec![200], vec![201, 204], "cancelled"),
    ] {
        let receiver = Upstream::start().await;
        let webhook = teller.register(&receiver.url(), input.clone()).await;
        let statuses =
            taken.iter().map(|status| (status, "success")).chain(refused.iter().map(|status| (status, failed)));
        let mut seen = 0;
        for (status, wanted) in statuses {
            receiver.plan([Act::Answer(*status)]);
            teller.pass(1);
            teller.publish("a", json!(status)).await;
            seen += 1;
            let all = teller.deliveries(id(&webhook), |all| all.len() == seen && all[0]["attempts"] == 1).await;
            assert_eq!((&all[0]["status"], &all[0]["response_status"]), (&json!(wanted), &json!(status)), "{input}");
        }
        for status in [301, 302, 303, 307, 308] {
            receiver.plan([Act::Say(status, vec![("location", elsewhere_url)], "")]);
            teller.pass(1);
            teller.publish("a", json!(status)).await;
            seen += 1;
            let all = teller.deliveries(id(&webhook), |all| all.len() == seen && all[0]["attempts"] == 1).await;
            assert_eq!(all[0]["status"], failed, "{status}");
        }
    }
    assert_eq!(elsewhere.arrived().len(), 0, "nobody is sent on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_ask_for_time_up_to_the_end_of_the_window() {
    let teller = Teller::start("").await;
    for (status, asked, wait) in [
        (503, "120", 120),
        (429, "120", 120),
        (503, "5", 10),
        (503, "Thu, 09 Oct 2025 08:54:20 GMT", 60),
        (503, "soon", 10),
        (503, "9999999", 600),
        (500, "120", 10),
        (404, "120", 10),
    ] {
        let receiver = Upstream::start().await;
        let retry = json!({"delays": ["10s", "10s"], "window": "10m", "jitter": 0});
        let webhook = teller.register(&receiver.url(), json!({ "retry": retry, "events": [] })).await;
        receiver.plan([Act::Say(status, vec![("retry-after", asked)], "")]);
        let event = json!({"type": "a", "data": 1, "webhook_ids": [webhook["id"]]});
        teller.post("/events", &event).await.answers(202);
        let delivery = retrying(&teller, &webhook, 1).await;
        assert_eq!(delivery["next_attempt_at"], at(wait), "{status} {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_ends_with_its_attempts_or_with_its_time() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    receiver.plan((0..9).map(|_| Act::Answer(500)));
    for (retry, attempts, status, reason) in [
        (json!({"delays": []}), 1, "failed", "exhausted"),
        (json!({"delays": ["1s", "1s"], "jitter": 0}), 3, "failed", "exhausted"),
        (json!({"delays": ["10s"], "window": "5s"}), 1, "expired", "expired"),
        (json!({"initial": "10s", "factor": 2, "max": "1h", "window": "30s", "jitter": 0}), 3, "expired", "expired"),
    ] {
        let webhook = teller.register(&receiver.url(), json!({ "retry": retry, "events": [] })).await;
        let event = json!({"type": "a", "data": 1, "webhook_ids": [webhook["id"]]});
        teller.post("/events", &event).await.answers(202);
        for attempt in 1..attempts {
            retrying(teller, &webhook, attempt).await;
            stage.pass(if attempt == 2 { 20 } else { 10 }).await;
        }
        let log = teller.reach(id(&webhook), status, 1).await;
        assert_eq!((&log[0]["attempts"], &log[0]["reason"]), (&json!(attempts), &json!(reason)), "{retry}");
        for (query, found) in [(status, 1), (if status == "failed" { "expired" } else { "failed" }, 0), ("success", 0)]
        {
            let listed = teller.get(&format!("/webhooks/{}/deliveries?status={query}", id(&webhook))).await.json;
            assert_eq!(listed["total"], found, "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_owed_nothing_until_it_is_enabled() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    let webhook = teller.register(&receiver.url(), json!({"retry": {"delays": ["1h"], "jitter": 0}})).await;
    receiver.plan([Act::Answer(500), Act::Answer(410)]);
    teller.publish("a", json!(1)).await;
    retrying(teller, &webhook, 1).await;
    teller.pass(1);
    teller.publish("a", json!(2)).await;
    let cancelled = teller.reach(id(&webhook), "cancelled", 1).await;
    assert_eq!((&cancelled[0]["status"], &cancelled[0]["reason"]), (&json!("failed"), &json!("gone")));
    assert_eq!(cancelled[1]["reason"], "gone");
    let shown = show(teller, &webhook).await;
    assert_eq!((&shown["status"], &shown["active"]), (&json!("disabled_gone"), &json!(true)));
    assert!(shown["status_reason"].as_str().expect("a reason").contains("410"), "{shown}");
    let told = teller.publish("a", json!(3)).await;
    assert_eq!(told["suppressed"], json!([{"webhook_id": webhook["id"], "reason": "disabled"}]));
    stage.pass(3600).await;
    assert_eq!(receiver.arrived().len(), 2);
    let enabled = teller.post(&format!("/webhooks/{}/enable", id(&webhook)), &json!({})).await;
    let enabled = &enabled.answers(200).json["webhook"];
    assert_eq!(
        (&enabled["status"], &enabled["status_reason"], &enabled["failing_since"]),
        (&json!("active"), &Value::Null, &Value::Null)
    );
    teller.publish("a", json!(4)).await;
    teller.reach(id(&webhook), "success", 1).await;
    assert_eq!(receiver.arrived().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_for_too_long_is_switched_off_and_somebody_is_told() {
    let sink = Upstream::start().await;
    let stage = Stage::start(&format!("operations = {{ url = \"{}/ops\", env = \"SECRET\" }}", sink.url())).await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    receiver.plan((0..5).map(|_| Act::Answer(500)));
    let retry = json!({"delays": ["30m", "30m", "30m", "30m", "30m", "30m"], "jitter": 0});
    let webhook = teller.register(&receiver.url(), json!({ "retry": retry, "disable_after": "2h" })).await;
    let told = teller.publish("a", json!(1)).await;
    for (attempt, arrived) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        retrying(teller, &webhook, attempt).await;
        let shown = show(teller, &webhook).await;
        assert_eq!((&shown["failing_since"], &shown["disable_at"]), (&json!(at(0)), &json!(at(7200))));
        assert_eq!(shown["status"], "active");
        sink.wait_for(arrived).await;
        stage.pass(1800).await;
    }
    teller.reach(id(&webhook), "cancelled", 1).await;
    sink.wait_for(2).await;
    let shown = show(teller, &webhook).await;
    assert_eq!((&shown["status"], &shown["disable_at"]), (&json!("disabled_failing"), &Value::Null));
    assert_eq!(shown["failing_since"], at(0));
    assert!(shown["status_reason"].as_str().expect("a reason").contains(&at(0)), "{shown}");

    let notices = sink.arrived();
    assert_eq!(notices.len(), 2, "each once");
    for (notice, (kind, seconds)) in notices.iter().zip([("webhook.failing", 3600), ("webhook.disabled", 7200)]) {
        let text = std::str::from_utf8(&notice.body).expect("text");
        let wanted = signed_with(SECRET, "standard-webhooks", notice.header("webhook-id"), text, NOW + seconds);
        assert_eq!(notice.header("webhook-signature"), wanted.value("webhook-signature"), "{kind}");
        let body: Value = serde_json::from_str(text).expect("JSON");
        let data = &body["data"];
        assert_eq!(
            (&body["type"], &data["webhook_id"], &data["reason"]),
            (&json!(kind), &webhook["id"], &json!("failing"))
        );
        assert_eq!((&data["failing_since"], &data["disable_at"]), (&json!(at(0)), &json!(at(7200))));
        assert_eq!((&data["last_status"], &data["secret"]), (&json!(500), &json!("whsec_***masked***")));
        assert_eq!(notice.target, "/ops");
    }
    let enabled = teller.post(&format!("/webhooks/{}/enable", id(&webhook)), &json!({})).await;
    let enabled = &enabled.answers(200).json["webhook"];
    assert_eq!(
        (&enabled["status"], &enabled["failing_since"], &enabled["disable_at"]),
        (&json!("active"), &Value::Null, &Value::Null)
    );
    assert_eq!(teller.get(&format!("/events/{}", id(&told))).await.json["event"]["deliveries"]["cancelled"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_ends_what_failed_before() {
    let stage = Stage::start("").await;
    let receiver = Upstream::start().await;
    receiver.plan([Act::Answer(500)]);
    let webhook = stage.teller.register(&receiver.url(), json!({"retry": {"delays": ["1m"], "jitter": 0}})).await;
    stage.teller.publish("a", json!(1)).await;
    retrying(&stage.teller, &webhook, 1).await;
    assert_eq!(show(&stage.teller, &webhook).await["failing_since"], at(0));
    stage.pass(60).await;
    stage.teller.reach(id(&webhook), "success", 1).await;
    let shown = show(&stage.teller, &webhook).await;
    assert_eq!((&shown["failing_since"], &shown["disable_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_only_fails_is_left_alone_but_for_a_probe() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    receiver.plan((0..10).map(|_| Act::Answer(500)));
    let webhook = teller.register(&receiver.url(), json!({"retry": {"delays": ["1h"], "jitter": 0}})).await;
    let events: Vec<_> = (0..12).map(|n| json!({"type": "a", "data": n})).collect();
    teller.post("/events/batch", &json!({ "events": events })).await.answers(202);
    let tried = |all: &[Value]| all.iter().filter(|delivery| delivery["attempts"] == 1).count();
    teller.deliveries(id(&webhook), |all| tried(all) == 10).await;
    stage.pass(0).await;
    assert_eq!(receiver.arrived().len(), 10, "nothing while its circuit is open");
    stage.pass(2).await;
    teller.reach(id(&webhook), "success", 2).await;
    stage.pass(3600).await;
    teller.reach(id(&webhook), "success", 12).await;
    assert_eq!(receiver.arrived().len(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_no_more_than_its_rate() {
    let stage = Stage::start("").await;
    let receiver = Upstream::start().await;
    let limit = json!({"per_second": 0.5, "burst": 2});
    let webhook = stage.teller.register(&receiver.url(), json!({ "rate_limit": limit })).await;
    let events: Vec<_> = (0..4).map(|n| json!({"type": "a", "data": n})).collect();
    stage.teller.post("/events/batch", &json!({ "events": events })).await.answers(202);
    for (seconds, arrived) in [(0, 2), (1, 2), (1, 3), (2, 4)] {
        stage.pass(seconds).await;
        stage.teller.reach(id(&webhook), "success", arrived).await;
        assert_eq!(receiver.arrived().len(), arrived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_order_one_that_fails_holds_up_those_behind_it_and_nobody_else() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let (ordered, free) = (Upstream::start().await, Upstream::start().await);
    let retry = json!({"delays": ["10s", "10s"], "jitter": 0});
    let fifo = teller.register(&ordered.url(), json!({ "retry": retry, "ordering": "fifo" })).await;
    let other = teller.register(&free.url(), json!({ "retry": retry })).await;
    ordered.plan([500, 500].map(Act::Answer));
    for n in 0..3 {
        teller.publish("a", json!(n)).await;
        teller.deliveries(id(&fifo), |all| all.last().is_some_and(|head| head["next_attempt_at"] == at(10))).await;
        teller.pass(1);
    }
    teller.reach(id(&other), "success", 3).await;
    let tried = |all: &[Value], attempts: u32| all[2]["attempts"] == attempts && all[2]["next_attempt_at"].is_string();
    teller.deliveries(id(&fifo), |all| tried(all, 1)).await;
    stage.pass(6).await;
    assert_eq!(ordered.arrived().len(), 1);
    stage.pass(1).await;
    teller.deliveries(id(&fifo), |all| tried(all, 2)).await;
    assert_eq!(ordered.arrived().len(), 2);
    stage.pass(10).await;
    teller.reach(id(&fifo), "success", 3).await;
    let data: Vec<Value> = ordered
        .arrived()
        .iter()
        .map(|one| serde_json::from_slice::<Value>(&one.body).expect("JSON")["data"].clone())
        .collect();
    assert_eq!(data, [0, 0, 0, 1, 2]);
    assert_eq!(free.arrived().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_already_gets_an_order_with_its_webhook() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    receiver.plan([500, 500, 500].map(Act::Answer));
    let retry = json!({"delays": ["10s", "10s"], "jitter": 0});
    let webhook = teller.register(&receiver.url(), json!({ "retry": retry })).await;
    for n in 0..2 {
        teller.publish("a", json!(n)).await;
        retrying(teller, &webhook, 1).await;
        teller.pass(1);
    }
    teller.patch(&format!("/webhooks/{}", id(&webhook)), &json!({"ordering": "fifo"})).await.answers(200);
    stage.pass(10).await;
    teller.deliveries(id(&webhook), |all| all[1]["attempts"] == 2 && all[1]["next_attempt_at"].is_string()).await;
    stage.pass(0).await;
    assert_eq!(receiver.arrived().len(), 3, "the second one waits for the first");
    stage.pass(10).await;
    teller.reach(id(&webhook), "success", 2).await;
    let data: Vec<Value> = receiver
        .arrived()
        .iter()
        .map(|one| serde_json::from_slice::<Value>(&one.body).expect("JSON")["data"].clone())
        .collect();
    assert_eq!(data, [0, 1, 0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_what_was_sent_and_answered_without_credentials() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receiver = Upstream::start().await;
    let long: &'static str = Box::leak("x".repeat((16 << 10) + 1).into_boxed_str());
    receiver.plan([Act::Say(500, vec![("x-why", "broken")], long), Act::Say(200, vec![], "fine")]);
    let webhook = teller
        .register(
            &format!("{}/hook?a=b", receiver.url()),
            json!({
                "headers": {"x-key": "key-1234567"}, "authorization": {"type": "bearer", "token": "tok-1234567"},
                "retry": {"delays": ["10s"], "jitter": 0},
            }),
        )
        .await;
    teller.publish("a", json!({"n": 1})).await;
    let delivery = retrying(teller, &webhook, 1).await;
    stage.pass(10).await;
    teller.reach(id(&webhook), "success", 1).await;
    let said = teller.get(&format!("/webhooks/{}/deliveries/{}", id(&webhook), id(&delivery))).await;
    let detail = &said.answers(200).json["delivery"];
    assert!(!said.reply.text().contains("1234567"), "{said:?}");
    assert_eq!(detail["body"].as_str().expect("text").as_bytes(), &receiver.arrived()[0].body[..]);
    let log = detail["attempts_log"].as_array().expect("a list");
    assert_eq!(log.len(), 2);
    for (attempt, (seconds, status)) in log.iter().zip([(0, 500), (10, 200)]) {
        assert_eq!((&attempt["started_at"], &attempt["response_status"]), (&json!(at(seconds)), &json!(status)));
        assert_eq!((&attempt["charged"], &attempt["error"]), (&json!(true), &Value::Null));
        let exchange = &attempt["exchange"];
        assert_eq!(
            (&exchange["url"], &exchange["method"]),
            (&json!(format!("{}/hook?a=b", receiver.url())), &json!("POST"))
        );
        let header = |name: &str| {
            let lines = exchange["request_headers"].as_array().expect("a list");
            lines.iter().find(|line| line[0] == name).map_or(Value::Null, |line| line[1].clone())
        };
        assert_eq!((header("x-key"), header("authorization")), (json!("***"), json!("***")));
        assert_eq!(header("webhook-timestamp"), (NOW + seconds).to_string());
        assert_eq!(exchange["remote"], receiver.address().to_string());
    }
    let first = &log[0]["exchange"];
    assert_eq!(first["response_body"].as_str().map(str::len), Some(16 << 10));
    assert_eq!(first["response_truncated"], true);
    assert!(first["response_headers"].as_array().expect("a list").contains(&json!(["x-why", "broken"])), "{first}");
    let second = &log[1]["exchange"];
    assert_eq!((&second["response_body"], &second["response_truncated"]), (&json!("fine"), &json!(false)));
}

/// X-10 of `docs/seeds.md`.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_longer_than_its_timeout_is_none() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    receiver.plan([Act::Hold(200)]);
    let webhook = teller.register(&receiver.url(), json!({"timeout": "200ms", "retry": {"delays": []}})).await;
    teller.publish("a", json!(1)).await;
    let log = teller.reach(id(&webhook), "failed", 1).await;
    assert_eq!((&log[0]["response_status"], &log[0]["attempts"]), (&Value::Null, &json!(1)));
    assert!(log[0]["error"].as_str().expect("why").contains("within 200 ms"), "{}", log[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_to_a_webhook_ends_with_it() {
    for (method, path, reason) in
        [("DELETE", "", "deleted"), ("POST", "/disable", "disabled"), ("PATCH", "", "disabled")]
    {
        let stage = Stage::start("").await;
        let teller = &stage.teller;
        let receiver = Upstream::start().await;
        receiver.plan([Act::Answer(500)]);
        let webhook = teller.register(&receiver.url(), json!({"retry": {"delays": ["10s"], "jitter": 0}})).await;
        let told = teller.publish("a", json!(1)).await;
        retrying(teller, &webhook, 1).await;
        let body = (method == "PATCH").then(|| json!({"active": false}));
        teller.ask(method, &format!("/webhooks/{}{path}", id(&webhook)), ADMIN, &[], body.as_ref()).await.answers(200);
        let counts = teller.get(&format!("/events/{}", id(&told))).await.json["event"]["deliveries"].clone();
        assert_eq!((&counts["cancelled"], &counts["waiting"]), (&json!(1), &json!(0)));
        if method != "DELETE" {
            assert_eq!(teller.reach(id(&webhook), "cancelled", 1).await[0]["reason"], reason);
            teller.post(&format!("/webhooks/{}/enable", id(&webhook)), &json!({})).await.answers(200);
        }
        stage.pass(10).await;
        assert_eq!(receiver.arrived().len(), 1, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_can_be_tried_out_without_consequences() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller
        .register(
            &receiver.url(),
            json!({"provider": "github", "active": false, "events": [], "filter": {"/never": 1}}),
        )
        .await;
    let path = format!("/webhooks/{}/test", id(&webhook));
    teller.post("/event-types", &json!({"name": "a.b", "example": {"from": "example"}})).await.answers(201);
    receiver.plan([200, 200, 200, 500].map(Act::Answer));
    for (input, kind, body) in [
        (json!({}), "webhook.test", "{\"test\":true}"),
        (json!({"event_type": "a.b"}), "a.b", "{\"from\":\"example\"}"),
        (json!({"event_type": "a.b", "custom_data": {"my": "own"}}), "a.b", "{\"my\":\"own\"}"),
    ] {
        let said = teller.post(&path, &input).await.answers(200).json.clone();
        assert_eq!((&said["success"], &said["delivery"]["status"]), (&json!(true), &json!("success")), "{said}");
        assert_eq!((&said["delivery"]["trigger"], &said["delivery"]["event_type"]), (&json!("test"), &json!(kind)));
        let arrived = receiver.arrived().pop().expect("one");
        assert_eq!((std::str::from_utf8(&arrived.body), arrived.header("x-github-event")), (Ok(body), kind));
    }
    let said = teller.post(&path, &json!({})).await.answers(200).json.clone();
    assert_eq!((&said["success"], &said["delivery"]["response_status"]), (&json!(false), &json!(500)));
    assert_eq!(said["delivery"]["attempts_log"].as_array().map(Vec::len), Some(1));
    let shown = show(&teller, &webhook).await;
    assert_eq!((&shown["failing_since"], &shown["delivery_stats"]["total_deliveries"]), (&Value::Null, &json!(0)));
    assert_eq!(shown["status"], "inactive");
    assert_eq!(
        teller.post(&path, &json!({"event_type": "a b"})).await.refuses(422, "validation").pointer(),
        "/event_type"
    );
    teller.post("/webhooks/wh_none/test", &json!({})).await.refuses(404, "not_found");
}
