//! Webhooks as customers register, read and change them: the shapes of VPN Enterprise, and what is refused.

use serde_json::{Value, json};

use super::{NOWHERE, id};
use crate::support::telling::{ADMIN, Teller};
use crate::support::upstream::Act;
use crate::support::{Request, Upstream};

const MASK: &str = "***masked***";

/// [`crate::support::NOW`], as it is written.
const NOW_TEXT: &str = "2025-10-09T08:53:20.000Z";

fn stats(of: &Value) -> &Value {
    &of["delivery_stats"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_has_every_field_that_vpn_enterprise_has() {
    let teller = Teller::start("").await;
    let input = json!({
        "url": NOWHERE, "events": ["user.created", "vpn.connected", "billing.invoice.paid"],
        "description": "Production webhook for user and billing events", "active": true,
    });
    let made = teller.post("/webhooks", &input).await;
    made.answers(201);
    assert_eq!(made.json["success"], true);
    let made = &made.json["webhook"];
    assert!(id(made).starts_with("wh_") && !id(made).contains('.'), "{made}");
    for key in ["url", "events", "description", "active"] {
        assert_eq!(made[key], input[key], "{key}");
    }
    let shown = teller.get(&format!("/webhooks/{}", id(made))).await.answers(200).json.clone();
    let listed = teller.get("/webhooks").await.answers(200).json.clone();
    assert_eq!((&listed["success"], &listed["total"], &listed["has_more"]), (&json!(true), &json!(1), &json!(false)));
    assert_eq!((&listed["next_cursor"], &listed["webhooks"][0]), (&Value::Null, &shown["webhook"]));
    let shown = &shown["webhook"];
    assert_eq!(
        *stats(shown),
        json!({
            "total_deliveries": 0, "successful_deliveries": 0, "failed_deliveries": 0, "last_successful_delivery": null,
            "last_failed_delivery": null, "average_response_time_ms": null, "successful": 0, "failed": 0,
            "last_30_days": 0,
        })
    );
    for (key, wanted) in [
        ("status", json!("active")),
        ("secret", json!("whsec_***masked***")),
        ("created_at", json!(NOW_TEXT)),
        ("updated_at", json!(NOW_TEXT)),
        ("last_delivery", Value::Null),
        ("account_id", json!("default")),
        ("provider", json!("standard-webhooks")),
    ] {
        assert_eq!(shown[key], wanted, "{key}");
    }
    teller.pass(60);
    let changed = teller.patch(&format!("/webhooks/{}", id(shown)), &json!({"description": "x"})).await;
    let changed = &changed.answers(200).json["webhook"];
    assert_eq!(
        (&changed["created_at"], &changed["updated_at"]),
        (&json!(NOW_TEXT), &json!("2025-10-09T08:54:20.000Z"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn its_numbers_count_deliveries_and_forget_those_of_the_month_before() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"retry": {"delays": []}})).await;
    receiver.plan([Act::Answer(200), Act::Answer(500)]);
    teller.publish("a", json!(1)).await;
    teller.reach(id(&webhook), "success", 1).await;
    teller.pass(60);
    teller.publish("a", json!(2)).await;
    teller.reach(id(&webhook), "failed", 1).await;
    let show = async || teller.get(&format!("/webhooks/{}", id(&webhook))).await.json["webhook"].clone();
    let shown = show().await;
    let numbers = stats(&shown);
    for (key, wanted) in [
        ("total_deliveries", json!(2)),
        ("successful_deliveries", json!(1)),
        ("failed_deliveries", json!(1)),
        ("successful", json!(1)),
        ("failed", json!(1)),
        ("last_30_days", json!(2)),
    ] {
        assert_eq!(numbers[key], wanted, "{key}");
    }
    assert!(numbers["average_response_time_ms"].is_u64(), "{numbers}");
    assert_eq!(shown["last_delivery"], numbers["last_successful_delivery"]);
    // They end as much later as they took in truth.
    for (key, minute) in
        [("last_successful_delivery", "2025-10-09T08:53"), ("last_failed_delivery", "2025-10-09T08:54")]
    {
        let text = numbers[key].as_str().expect("a time");
        assert!(text.starts_with(minute) && text.ends_with('Z'), "{key}: {text}");
    }
    for (days, recent) in [(29, 2), (1, 0)] {
        teller.pass(days * 86_400);
        let shown = show().await;
        assert_eq!((&stats(&shown)["last_30_days"], &stats(&shown)["total_deliveries"]), (&json!(recent), &json!(2)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_clear_in_the_answer_that_makes_it_and_masked_in_every_other() {
    let teller = Teller::start("").await;
    for (provider, begins, masked) in [
        ("standard-webhooks", "whsec_", "whsec_***masked***"),
        ("stripe", "whsec_", "whsec_***masked***"),
        ("github", "", MASK),
        ("vgs", "", MASK),
        ("vinsight", "", MASK),
    ] {
        let made = teller.register(NOWHERE, json!({ "provider": provider })).await;
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        assert!(secret.starts_with(begins) && secret.len() >= 32 && !secret.contains('*'), "{provider}: {secret}");
        let at = format!("/webhooks/{}", id(&made));
        let input = json!({ "url": NOWHERE, "provider": provider });
        let as_shown = json!({ "url": NOWHERE, "provider": provider, "secret": masked });
        for (method, path, body) in [
            ("GET", at.clone(), None),
            ("PUT", at.clone(), Some(&input)),
            ("PUT", at.clone(), Some(&as_shown)),
            ("PATCH", at.clone(), Some(&json!({ "secret": secret }))),
            ("PATCH", at.clone(), Some(&json!({"description": "new"}))),
            ("POST", format!("{at}/disable"), None),
            ("POST", format!("{at}/enable"), None),
        ] {
            let said = teller.ask(method, &path, ADMIN, &[], body).await;
            said.answers(200);
            assert_eq!(said.json["webhook"]["secret"], masked, "{method} {path}");
            assert!(!said.reply.text().contains(&secret), "{method} {path}");
        }
        assert!(!teller.get("/webhooks").await.reply.text().contains(&secret), "{provider}");
        let refused = teller.patch(&at, &json!({"secret": "another-one-of-theirs"})).await;
        let way_out = if provider == "vinsight" { "/account/secrets/vinsight" } else { "rotate-secret" };
        let detail = refused.refuses(422, "validation").json["detail"].as_str().expect("text");
        assert!(detail.contains(way_out), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_wrong_is_refused_by_its_place_and_its_edge_is_not() {
    let teller = Teller::start("").await;
    let text = |length: usize| "x".repeat(length);
    let many = |count: usize| (0..count).map(|at| format!("e{at}")).collect::<Vec<_>>();
    for (key, bad, pointer, good) in [
        ("evnts", json!([]), "/evnts", Value::Null),
        ("events", json!("a"), "/events", json!(["a", "b.*", "*", "c-d_e.f"])),
        ("events", json!(["a", "b c"]), "/events/1", json!([])),
        ("events", json!(["a.*.b"]), "/events/0", json!(["a.*"])),
        ("events", json!(many(1001)), "/events", json!(many(1000))),
        ("active", json!("yes"), "/active", json!(false)),
        ("description", json!(text(1025)), "/description", json!(text(1024))),
        ("group_id", json!("grp_none"), "/group_id", Value::Null),
        ("provider", json!("nobody"), "/provider", json!("vantastatus")),
        ("secret", json!("short"), "/secret", json!("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")),
        ("secret", json!("whsec_!!!!!!!!!!!!!!!!!!"), "/secret", Value::Null),
        ("headers", json!({"Host": "x"}), "/headers/Host", json!({"x-a": "1"})),
        ("headers", json!({"authorization": "x"}), "/headers/authorization", json!({})),
        ("headers", json!({"webhook-id": "x"}), "/headers/webhook-id", json!({"x-webhook": "x"})),
        ("headers", json!({"x-a": "1\r\nx-b: 2"}), "/headers/x-a", json!({"x-a": "1 2"})),
        ("headers", json!({"x a": "1"}), "/headers/x a", json!({"x-a": ""})),
        ("headers", json!({"x-a": "1", "X-A": "2"}), "/headers/x-a", json!({"x-a": "1", "x-b": "2"})),
        ("headers", json!({"x-a": text(4097)}), "/headers/x-a", json!({"x-a": text(4096)})),
        ("headers", json!({"x-a": MASK}), "/headers/x-a", Value::Null),
        (
            "authorization",
            json!({"type": "basic", "username": "a:b", "password": "c"}),
            "/authorization/username",
            json!({"type": "basic", "username": "a", "password": "b:c"}),
        ),
        ("authorization", json!({"type": "digest"}), "/authorization/type", json!({"type": "splunk", "token": "t"})),
        (
            "authorization",
            json!({"type": "bearer", "token": "a\nb"}),
            "/authorization",
            json!({"type": "custom", "value": "Key k"}),
        ),
        ("authorization", json!({"type": "bearer", "token": MASK}), "/authorization", Value::Null),
        ("filter", json!({"status": 1}), "/filter/status", json!({"/status": 1, "/a/b": null})),
        ("filter", json!({"/a": {}}), "/filter/~1a", json!({"/a": "b"})),
        ("retry", json!({"delays": ["5"]}), "/retry/delays", json!({"delays": ["5s", "5m"]})),
        ("retry", json!({"initial": "0s"}), "/retry/initial", json!({"initial": "1s", "factor": 2.0, "max": "1h"})),
        ("retry", json!({"factor": 0.5}), "/retry/factor", json!({"factor": 1.0})),
        ("retry", json!({"jitter": 1.5}), "/retry/jitter", json!({"jitter": 1.0})),
        ("retry", json!({"window": "31d"}), "/retry/window", json!({"window": "30d"})),
        ("retry", json!({"delay": []}), "/retry/delay", json!({"delays": []})),
        ("timeout", json!("61s"), "/timeout", json!("60s")),
        ("timeout", json!("0s"), "/timeout", json!("1s")),
        ("success", json!([]), "/success", json!([200])),
        ("success", json!([200, 302]), "/success/1", json!([200, 299])),
        ("rate_limit", json!({"per_second": 0}), "/rate_limit/per_second", json!({"per_second": 0.001})),
        ("rate_limit", json!({"per_second": 1, "burst": 0}), "/rate_limit/burst", json!({"per_second": 1, "burst": 1})),
        ("max_in_flight", json!(0), "/max_in_flight", json!(1)),
        ("max_in_flight", json!(1001), "/max_in_flight", json!(1000)),
        ("ordering", json!("lifo"), "/ordering", json!("fifo")),
        ("disable_after", json!("0s"), "/disable_after", json!("never")),
        ("tls", json!({"certificate": "x"}), "/tls/key", json!({})),
        ("tls", json!({"ca": "x"}), "/tls/ca", Value::Null),
        ("metadata", json!({"a": text(1024)}), "/metadata", json!({"a": text(1023)})),
    ] {
        let mut input = json!({ "url": NOWHERE });
        input[key] = bad.clone();
        let said = teller.post("/webhooks", &input).await;
        assert_eq!((said.status, said.pointer()), (422, pointer), "{key} {bad}");
        said.refuses(422, "validation");
        if !good.is_null() {
            input[key] = good.clone();
            let said = teller.post("/webhooks", &input).await;
            assert_eq!(said.status, 201, "{key} {good}: {said:?}");
        }
    }
    let said = teller.post("/webhooks", &json!({"events": []})).await;
    said.refuses(422, "validation");
    assert!(said.json["detail"].as_str().expect("text").contains("url"), "{said:?}");
    let said = teller.post("/webhooks", &json!({"url": NOWHERE, "provider": "twilio"})).await;
    said.refuses(422, "provider_cannot_send");
    assert_eq!(said.pointer(), "/provider");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_refused_as_a_whole_webhook_is() {
    let teller = Teller::start("").await;
    let webhook = teller.register(NOWHERE, json!({"events": ["a"]})).await;
    let at = format!("/webhooks/{}", id(&webhook));
    for (patch, pointer) in [
        (json!({"evnts": []}), "/evnts"),
        (json!({"url": 3}), "/url"),
        (json!({"timeout": "61s"}), "/timeout"),
        (json!({"retry": {"delay": []}}), "/retry/delay"),
        (json!({"secret": "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"}), "/secret"),
        (json!({"status": "active"}), "/status"),
    ] {
        let said = teller.patch(&at, &patch).await;
        said.refuses(422, "validation");
        assert_eq!(said.pointer(), pointer, "{patch}");
    }
    for whole in [json!([]), json!("x"), Value::Null, json!({"url": null})] {
        teller.patch(&at, &whole).await.refuses(422, "validation");
    }
    let said = teller.patch(&at, &json!({"events": null, "description": "d", "metadata": {"a": "1"}})).await;
    let now = &said.answers(200).json["webhook"];
    assert_eq!((&now["events"], &now["description"], &now["url"]), (&json!(["*"]), &json!("d"), &json!(NOWHERE)));
    let said = teller.patch(&at, &json!({"metadata": {"b": "2"}})).await;
    assert_eq!(said.json["webhook"]["metadata"], json!({"a": "1", "b": "2"}));
    let said = teller.patch(&at, &json!({"metadata": {"a": null}})).await;
    assert_eq!(said.json["webhook"]["metadata"], json!({"b": "2"}));
    teller.patch("/webhooks/wh_none", &json!({})).await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_gives_what_is_absent_its_default() {
    let teller = Teller::start("").await;
    let group = teller.post("/groups", &json!({"name": "g"})).await.json["group"]["id"].clone();
    let plain = teller.register(NOWHERE, json!({})).await;
    let rich = teller
        .register(
            "http://127.0.0.1:10/",
            json!({
                "events": ["a"], "description": "d", "active": false, "group_id": group, "headers": {"x-a": "1"},
                "authorization": {"type": "bearer", "token": "t"}, "filter": {"/a": 1}, "retry": {"delays": ["1s"]},
                "timeout": "3s", "success": [200], "rate_limit": {"per_second": 1.0}, "max_in_flight": 3,
                "ordering": "fifo", "disable_after": "1d", "metadata": {"k": "v"},
            }),
        )
        .await;
    let put = teller.put(&format!("/webhooks/{}", id(&rich)), &json!({ "url": NOWHERE })).await;
    let put = put.answers(200).json["webhook"].clone();
    for (key, value) in put.as_object().expect("an object") {
        match key.as_str() {
            "id" => assert_eq!(*value, rich["id"]),
            "secret" => assert_eq!(*value, "whsec_***masked***"),
            _ => assert_eq!(*value, plain[key], "{key}"),
        }
    }
    teller.put(&format!("/webhooks/{}", id(&rich)), &json!({"events": []})).await.refuses(422, "validation");
    teller.put("/webhooks/wh_none", &json!({ "url": NOWHERE })).await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_webhook_is_gone() {
    let teller = Teller::start("").await;
    let webhook = teller.register(NOWHERE, json!({})).await;
    let at = format!("/webhooks/{}", id(&webhook));
    let said = teller.delete(&at).await;
    said.answers(200);
    assert_eq!(
        said.json,
        json!({"success": true, "message": "Webhook deleted successfully", "webhook_id": webhook["id"]})
    );
    for method in ["GET", "DELETE"] {
        teller.ask(method, &at, ADMIN, &[], None).await.refuses(404, "not_found");
    }
    assert_eq!(teller.get("/webhooks").await.json["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_no_more_webhooks_than_it_may() {
    let teller = Teller::start("").await;
    teller.put("/account", &json!({"max_webhooks": 2})).await.answers(200);
    let first = teller.register(NOWHERE, json!({})).await;
    teller.register(NOWHERE, json!({"active": false})).await;
    teller.post("/webhooks", &json!({ "url": NOWHERE })).await.refuses(422, "limit_reached");
    teller.delete(&format!("/webhooks/{}", id(&first))).await.answers(200);
    teller.register(NOWHERE, json!({})).await;
    teller.post("/webhooks", &json!({ "url": NOWHERE })).await.refuses(422, "limit_reached");
    teller.put("/account", &json!({})).await.answers(200);
    teller.register(NOWHERE, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_parts_with_the_total_of_the_whole() {
    let teller = Teller::start("").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(teller.register(NOWHERE, json!({})).await["id"].clone());
        teller.pass(1);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for (count, more) in [(2, true), (2, true), (1, false)] {
        let part = teller.get(&format!("/webhooks?limit=2{cursor}")).await.answers(200).json.clone();
        let webhooks = part["webhooks"].as_array().expect("a list");
        assert_eq!((webhooks.len(), &part["has_more"], &part["total"]), (count, &json!(more), &json!(5)));
        seen.extend(webhooks.iter().map(|webhook| webhook["id"].clone()));
        assert_eq!(part["next_cursor"].is_string(), more);
        cursor = format!("&cursor={}", part["next_cursor"].as_str().unwrap_or_default());
    }
    assert_eq!(seen, made, "the oldest first, each once");
    let exact = teller.get("/webhooks?limit=5").await.json;
    assert_eq!((&exact["has_more"], &exact["next_cursor"]), (&json!(false), &Value::Null));
    for query in ["limit=0", "limit=251", "limit=x", "limti=3", "cursor=nonsense", "status=well"] {
        teller.get(&format!("/webhooks?{query}")).await.refuses(400, "malformed");
    }
    teller.get("/webhooks?limit=250").await.answers(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_can_be_narrowed() {
    let teller = Teller::start("").await;
    let group = teller.post("/groups", &json!({"name": "g"})).await.json["group"]["id"].clone();
    for input in [
        json!({"description": "first", "events": ["user.*"]}),
        json!({"description": "second", "events": ["user.created"], "active": false}),
        json!({"description": "third", "group_id": group}),
        json!({"description": "none", "events": []}),
    ] {
        teller.register(NOWHERE, input).await;
        teller.pass(1);
    }
    let group = group.as_str().expect("an id");
    for (query, wanted) in [
        ("status=inactive", vec!["second"]),
        ("status=active", vec!["first", "third", "none"]),
        ("event=user.created", vec!["first", "second", "third"]),
        ("event=user", vec!["third"]),
        ("q=ir", vec!["first", "third"]),
        ("q=127.0.0.1", vec!["first", "second", "third", "none"]),
        ("status=active&event=user.deleted", vec!["first", "third"]),
        (&format!("group_id={group}"), vec!["third"]),
        ("group_id=grp_none", vec![]),
    ] {
        let found = teller.get(&format!("/webhooks?{query}")).await.answers(200).json.clone();
        let webhooks = found["webhooks"].as_array().expect("a list");
        let names: Vec<&str> = webhooks.iter().map(|one| one["description"].as_str().expect("text")).collect();
        assert_eq!((names, &found["total"]), (wanted.clone(), &json!(wanted.len())), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_masked_and_kept_when_the_mask_is_written_back() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller
        .register(
            &receiver.url(),
            json!({
                "headers": {"x-key": "k-1234567", "x-plain": "p"},
                "authorization": {"type": "basic", "username": "me", "password": "pw-1234567"},
            }),
        )
        .await;
    let at = format!("/webhooks/{}", id(&webhook));
    assert_eq!(webhook["headers"], json!({"x-key": MASK, "x-plain": MASK}));
    assert_eq!(webhook["authorization"], json!({"type": "basic", "username": "me", "password": MASK}));
    let again = json!({
        "url": receiver.url(), "headers": {"x-key": MASK, "x-plain": "new"}, "authorization": webhook["authorization"],
        "secret": "whsec_***masked***",
    });
    let put = teller.put(&at, &again).await;
    put.answers(200);
    assert!(!put.reply.text().contains("1234567"), "{put:?}");
    let patched = teller.patch(&at, &json!({"headers": {"x-key": MASK}, "description": "d"})).await;
    patched.answers(200);
    teller.publish("a", json!({})).await;
    teller.reach(id(&webhook), "success", 1).await;
    let arrived = receiver.only();
    assert_eq!((arrived.header("x-key"), arrived.header("x-plain")), ("k-1234567", "new"));
    assert_eq!(arrived.header("authorization"), "Basic bWU6cHctMTIzNDU2Nw==");
    let other = json!({"headers": {"x-other": MASK}});
    assert_eq!(teller.patch(&at, &other).await.refuses(422, "validation").pointer(), "/headers/x-other");
    let other = json!({"authorization": {"type": "basic", "username": "you", "password": MASK}});
    assert_eq!(teller.patch(&at, &other).await.refuses(422, "validation").pointer(), "/authorization");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_one_is_told_why() {
    let teller = Teller::start("max_body = \"1KiB\"").await;
    let body = json!({ "url": NOWHERE }).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let request = Request::post("/webhooks").header("content-type", kind).body(body.as_bytes());
        teller.send(request).await.refuses(415, "unsupported_media_type");
    }
    teller.send(Request::post("/webhooks").body(body.as_bytes())).await.refuses(415, "unsupported_media_type");
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        let request = Request::post("/webhooks").header("content-type", kind).body(body.as_bytes());
        teller.send(request).await.answers(201);
    }
    for text in ["", "{", "{\"url\": \"x\"} x", "\u{feff}{}"] {
        let request = Request::post("/webhooks").header("content-type", "application/json").body(text.as_bytes());
        teller.send(request).await.refuses(400, "malformed");
    }
    for text in ["null", "3", &format!("[\"{NOWHERE}\"]")] {
        let request = Request::post("/webhooks").header("content-type", "application/json").body(text.as_bytes());
        teller.send(request).await.refuses(422, "validation");
    }
    let json = |path: &str| Request::post(path).header("content-type", "application/json");
    let long = format!("{{\"url\": \"{}\"}}", "x".repeat(1 << 20));
    teller.send(json("/webhooks").body(long.as_bytes())).await.refuses(413, "payload_too_large");
    for (bytes, status) in [(1024, 202), (1025, 413)] {
        let event = format!("{{\"type\": \"a\", \"data\": \"{}\"}}", "x".repeat(bytes - 2));
        assert_eq!(teller.send(json("/events").body(event.as_bytes())).await.status, status, "{bytes}");
    }
    for path in ["/", "/webhook", "/webhooks/", "/webhooks/wh_1/nothing", "/v1", "/v2/webhooks", "/V1/webhooks"] {
        teller.get(path).await.refuses(404, "not_found");
    }
    for (method, path, allowed) in [
        ("DELETE", "/webhooks", ["GET", "POST"].as_slice()),
        ("POST", "/webhooks/wh_1", &["GET", "PUT", "PATCH", "DELETE"]),
        ("GET", "/webhooks/wh_1/enable", &["POST"]),
        ("PUT", "/v1/events", &["GET", "POST"]),
    ] {
        let said = teller.ask(method, path, ADMIN, &[], None).await;
        said.refuses(405, "method_not_allowed");
        let allow = said.reply.header("allow").unwrap_or_else(|| panic!("no Allow: {said:?}"));
        for method in allowed {
            assert!(allow.split(',').any(|one| one.trim() == *method), "{path}: {allow}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_under_v1_too() {
    let teller = Teller::start("").await;
    let made = teller.post("/v1/webhooks", &json!({ "url": NOWHERE })).await;
    made.answers(201);
    let at = format!("/webhooks/{}", id(&made.json["webhook"]));
    assert_eq!(teller.get(&at).await.json, teller.get(&format!("/v1{at}")).await.json);
    for path in ["/events", "/event-types", "/groups", "/account", "/meta", "/openapi.json"] {
        assert_eq!(teller.get(path).await.answers(200).json, teller.get(&format!("/v1{path}")).await.json, "{path}");
    }
}
