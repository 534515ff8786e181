//! Its seven calls, in the shapes that its documentation shows.

use serde_json::{Value, json};

use super::super::journal::{at, retrying, show, tell};
use super::{PROVIDER, anywhere};
use crate::support::telling::Teller;
use crate::support::upstream::Act;
use crate::support::{NOW, Request, Upstream, signed_with};
use crate::telling::{Stage, id};

const MASKED: &str = "whsec_***masked***";

/// Checks that all that is documented is there; there may be more.
fn check_has(found: &Value, documented: &Value, place: &str) {
    match documented {
        Value::Object(members) => {
            for (name, wanted) in members {
                let found = found.get(name).unwrap_or_else(|| panic!("{place}/{name} is not in {found}"));
                check_has(found, wanted, &format!("{place}/{name}"));
            }
        }
        other => assert_eq!(found, other, "{place}"),
    }
}

/// Checks that each time is one of RFC 3339 in UTC, written with a `Z`; how many there are.
fn check_times(found: &Value, place: &str) -> usize {
    let check = |(name, value): (String, &Value)| {
        let place = format!("{place}/{name}");
        let is_time = name.ends_with("_at")
            || name == "last_delivery"
            || name.ends_with("ful_delivery")
            || name.ends_with("failed_delivery");
        match value.as_str().filter(|_| is_time) {
            Some(text) => {
                assert!(text.ends_with('Z') && text.contains('T'), "{place}: {text}");
                text.parse::<hookward::clock::UnixMillis>().unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                1
            }
            None => check_times(value, &place),
        }
    };
    match found {
        Value::Object(members) => members.iter().map(|(name, value)| check((name.clone(), value))).sum(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| check((at.to_string(), value))).sum(),
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_listed_shown_replaced_and_deleted_as_documented() {
    let teller = Teller::with(PROVIDER, "", anywhere()).await;
    // As the documentation has it.
    let input = json!({
        "url": "https://api.myapp.com/webhooks/vpn-enterprise",
        "events": ["user.created", "vpn.connected", "billing.invoice.paid"],
        "description": "Production webhook for user and billing events",
        "active": true
    });
    let made = teller.post("/webhooks", &input).await;
    check_has(&made.answers(201).json, &json!({"success": true, "webhook": input}), "VPN-52");
    let webhook = made.json["webhook"].clone();
    let secret = webhook["secret"].as_str().expect("a secret");
    assert!(
        id(&webhook).starts_with("wh_") && secret.starts_with("whsec_") && !secret.contains('*'),
        "VPN-62: {webhook}"
    );
    let path = format!("/webhooks/{}", id(&webhook));
    teller.pass(60);

    let listed = teller.get("/webhooks").await;
    let item = json!({
        "id": webhook["id"], "url": input["url"], "events": input["events"], "status": "active", "secret": MASKED,
        "created_at": at(0), "last_delivery": null,
        "delivery_stats": {"successful": 0, "failed": 0, "last_30_days": 0},
    });
    check_has(&listed.answers(200).json, &json!({"success": true, "total": 1}), "VPN-50");
    assert_eq!(listed.json["webhooks"].as_array().map(Vec::len), Some(1), "VPN-50");
    check_has(&listed.json["webhooks"][0], &item, "VPN-51");

    let shown = teller.get(&path).await;
    check_has(&shown.answers(200).json, &json!({"success": true, "webhook": item}), "VPN-53");
    let detail = json!({
        "updated_at": at(0), "description": input["description"],
        "delivery_stats": {
            "total_deliveries": 0, "successful_deliveries": 0, "failed_deliveries": 0,
            "last_successful_delivery": null, "last_failed_delivery": null, "average_response_time_ms": null,
        },
    });
    check_has(&shown.json["webhook"], &detail, "VPN-54");

    let four = json!({
        "url": "https://api.myapp.com/webhooks/vpn-enterprise-v2",
        "events": ["user.created", "user.deleted", "vpn.connected", "vpn.disconnected", "billing.invoice.paid"],
        "description": "Updated webhook with additional events",
        "active": true
    });
    let replaced = teller.put(&path, &four).await;
    check_has(&replaced.answers(200).json, &json!({"success": true, "webhook": four}), "VPN-56");
    let kept = json!({"id": webhook["id"], "created_at": at(0), "updated_at": at(60), "provider": "vpn-enterprise"});
    check_has(&replaced.json["webhook"], &kept, "VPN-56");
    let less = json!({"url": four["url"], "events": ["user.login"]});
    let replaced_again = teller.put(&path, &less).await;
    let defaults = json!({"events": ["user.login"], "description": "", "active": true, "status": "active"});
    check_has(&replaced_again.answers(200).json["webhook"], &defaults, "VPN-56");

    for said in [&listed, &shown, &replaced, &replaced_again] {
        let text = said.reply.text();
        assert!(text.contains(MASKED) && !text.contains(secret), "VPN-61: {text}");
        assert_eq!(check_times(&said.json, "VPN-62"), 2);
    }
    let deleted = teller.delete(&path).await;
    let whole = json!({"success": true, "message": "Webhook deleted successfully", "webhook_id": webhook["id"]});
    assert_eq!(deleted.answers(200).json, whole, "VPN-57");
    for (item, method) in [("VPN-53", "GET"), ("VPN-56", "PUT"), ("VPN-57", "DELETE")] {
        let body = (method == "PUT").then_some(&four);
        let said = teller.ask(method, &path, crate::support::telling::ADMIN, &[], body).await;
        assert_eq!(said.refuses(404, "not_found").status, 404, "{item}");
    }
    check_has(&teller.get("/webhooks").await.json, &json!({"success": true, "webhooks": [], "total": 0}), "VPN-50");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_numbers_add_up_and_those_of_thirty_days_end() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"retry": {"delays": []}})).await;
    receiver.plan([Act::Hold(200)]);
    receiver.plan([500, 204, 404, 201].map(Act::Answer));
    for (count, seconds) in (1..=5).zip([0, 60, 60, 60, 60]) {
        teller.pass(seconds);
        teller.publish("user.login", json!({ "n": count })).await;
        if count == 1 {
            receiver.wait_for(1).await;
            // Long enough to be seen in the average, whatever else takes its time.
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            receiver.release();
        }
        teller
            .deliveries(id(&webhook), |all| {
                all.len() == count && all[0]["attempts"] == 1 && all[0]["status"] != "retrying"
            })
            .await;
    }
    let log = teller.reach(id(&webhook), "success", 3).await;
    let times = log
        .iter()
        .filter(|one| one["status"] == "success")
        .map(|one| one["response_time_ms"].as_u64().expect("a time"));
    let average = times.sum::<u64>() / 3;
    assert!(average >= 10, "VPN-54: {average}");
    let shown = show(&teller, &webhook).await;
    let stats = &shown["delivery_stats"];
    let detail = json!({
        "total_deliveries": 5, "successful_deliveries": 3, "failed_deliveries": 2, "average_response_time_ms": average,
    });
    check_has(stats, &detail, "VPN-54");
    let sum = stats["successful_deliveries"].as_u64().zip(stats["failed_deliveries"].as_u64()).map(|(s, f)| s + f);
    assert_eq!(stats["total_deliveries"].as_u64(), sum, "VPN-55");
    // They end as much later as they took in truth.
    for (name, seconds) in [("last_successful_delivery", 240), ("last_failed_delivery", 180)] {
        let time = stats[name].as_str().expect("a time");
        assert_eq!(time[..16], at(seconds)[..16], "VPN-54: {name}");
    }
    assert_eq!(shown["last_delivery"], stats["last_successful_delivery"], "VPN-51");
    assert_eq!(check_times(&shown, "VPN-62"), 5);

    teller.pass(10 * 86_400);
    teller.publish("user.login", json!({})).await;
    teller.reach(id(&webhook), "success", 4).await;
    // Days are those of UTC, and today is one of the thirty. The first five happened on 2025-10-09.
    const MIDNIGHT: i64 = 1_762_560_000;
    teller.pass(MIDNIGHT - 1 - teller.now());
    for (item, now, recent) in [("VPN-51", "2025-11-07T23:59:59", 6), ("VPN-51", "2025-11-08T00:00:00", 1)] {
        assert!(at(teller.now() - NOW).starts_with(now), "{item}");
        let listed = teller.get("/webhooks").await.json["webhooks"][0]["delivery_stats"].clone();
        check_has(&listed, &json!({"successful": 4, "failed": 2, "last_30_days": recent, "total_deliveries": 6}), item);
        teller.pass(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_as_documented() {
    let stage = Stage::start(PROVIDER).await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"events": ["user.created"]})).await;
    let data = "{\"user_id\":\"usr_456\",\"email\":\"newuser@example.com\",\"created_at\":\"2024-12-02T14:19:45Z\"}";
    tell(teller, "user.created", data).await;
    teller.reach(id(&webhook), "success", 1).await;
    receiver.plan([Act::Answer(500)]);
    stage.pass(1).await;
    tell(teller, "user.created", "{}").await;
    retrying(teller, &webhook, 1).await;
    stage.pass(33).await;
    teller.reach(id(&webhook), "success", 2).await;

    let path = format!("/webhooks/{}/deliveries", id(&webhook));
    let said = teller.get(&format!("{path}?limit=2")).await;
    check_has(&said.answers(200).json, &json!({"success": true, "total": 2, "has_more": false}), "VPN-58");
    let item = json!({
        "webhook_id": webhook["id"], "event_type": "user.created", "status": "success", "response_status": 200,
        "attempts": 1,
        "event_data": {"user_id": "usr_456", "email": "newuser@example.com", "created_at": "2024-12-02T14:19:45Z"},
    });
    let (latest, first) = (&said.json["deliveries"][0], &said.json["deliveries"][1]);
    check_has(first, &item, "VPN-59");
    check_has(latest, &json!({"status": "success", "response_status": 200, "attempts": 2, "event_data": {}}), "VPN-59");
    assert!(first["response_time_ms"].is_u64() && id(first).starts_with("del_"), "VPN-62: {first}");
    assert_eq!(first["delivered_at"].as_str().expect("a time")[..16], at(0)[..16], "VPN-59");
    assert_eq!(check_times(&said.json, "VPN-62"), 5);
    let part = teller.get(&format!("{path}?limit=1")).await;
    check_has(&part.answers(200).json, &json!({"success": true, "total": 2, "has_more": true}), "VPN-58");
    assert_eq!(part.json["deliveries"], json!([latest]), "VPN-58: the latest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_carries_what_it_is_given_and_has_no_consequences() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    teller.put("/account", &json!({"strict_event_types": true})).await.answers(200);
    let webhook = teller.register(&receiver.url(), json!({"events": ["user.created"]})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    let data = "{ \"test\" : true,\"timestamp\": \"2024-12-02T15:30:00Z\", \"z\":[1.50, 1e2],\"\\u00e9\":null }";
    for (item, input, sent) in [
        ("VPN-60", format!("{{\"event_type\": \"webhook.test\", \"custom_data\": {data}}}"), data),
        ("VPN-28", "{}".to_owned(), "{\"test\":true}"),
    ] {
        let request = Request::post(&format!("{path}/test")).header("content-type", "application/json");
        let said = teller.send(request.body(input.as_bytes())).await;
        let delivery = json!({
            "webhook_id": webhook["id"], "event_type": "webhook.test", "status": "success", "response_status": 200,
            "attempts": 1, "event_data": serde_json::from_str::<Value>(sent).expect("JSON"),
        });
        check_has(&said.answers(200).json, &json!({"success": true, "delivery": delivery}), item);
        let event = said.json["delivery"]["event_id"].as_str().expect("an id");
        let body =
            format!("{{\"id\":\"{event}\",\"type\":\"webhook.test\",\"timestamp\":\"{}\",\"data\":{sent}}}", at(0));
        let arrived = receiver.arrived().pop().expect("one");
        assert_eq!(String::from_utf8_lossy(&arrived.body), body, "{item}");
        let signed = signed_with(webhook["secret"].as_str().expect("a secret"), "vpn-enterprise", "", &body, NOW);
        assert_eq!(arrived.header("x-vpn-signature"), signed.value("x-vpn-signature"), "{item}");
    }
    receiver.plan([Act::Answer(500)]);
    let failed = teller.post(&format!("{path}/test"), &json!({"event_type": "webhook.test"})).await;
    check_has(&failed.answers(200).json, &json!({"success": false, "delivery": {"response_status": 500}}), "VPN-60");
    let shown = show(&teller, &webhook).await;
    let nothing = json!({
        "status": "active", "failing_since": null, "last_delivery": null,
        "delivery_stats": {"total_deliveries": 0, "last_30_days": 0, "last_failed_delivery": null},
    });
    check_has(&shown, &nothing, "VPN-60");
    let types = teller.get("/event-types").await.answers(200).json.clone();
    let is_test = |kind: &Value| kind["name"] == "webhook.test";
    assert!(!types["event_types"].as_array().expect("a list").iter().any(is_test), "VPN-28");
    teller.get("/event-types/webhook.test").await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_active_gets_nothing() {
    let stage = Stage::start(PROVIDER).await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"events": ["user.login"], "active": false})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    let put =
        |active: bool| json!({"url": receiver.url(), "events": ["user.login"], "description": "", "active": active});
    assert_eq!((&webhook["active"], &webhook["status"]), (&json!(false), &json!("inactive")), "VPN-63");
    teller.publish("user.login", json!({})).await;
    let shown = teller.put(&path, &put(true)).await.answers(200).json["webhook"].clone();
    assert_eq!(shown["status"], "active", "VPN-63");
    stage.pass(1).await;
    receiver.plan([200, 500].map(Act::Answer));
    teller.publish("user.login", json!({"n": 1})).await;
    teller.reach(id(&webhook), "success", 1).await;
    stage.pass(1).await;
    teller.publish("user.login", json!({"n": 2})).await;
    retrying(teller, &webhook, 1).await;
    let shown = teller.put(&path, &put(false)).await.answers(200).json["webhook"].clone();
    assert_eq!((&shown["active"], &shown["status"]), (&json!(false), &json!("inactive")), "VPN-63");
    teller.publish("user.login", json!({"n": 3})).await;
    stage.pass(86_400).await;
    teller.put(&path, &put(true)).await.answers(200);
    stage.pass(86_400).await;
    teller.reach(id(&webhook), "skipped", 2).await;
    teller.reach(id(&webhook), "cancelled", 1).await;
    assert_eq!(receiver.arrived().len(), 2, "VPN-63");
}
