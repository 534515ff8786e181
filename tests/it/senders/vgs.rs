//! VGS, "Webhook Notifications".

mod grouping;

use hookward::egress::Resolver;
use serde_json::{Value, json};

use super::journal::{at, begun, retrying, show, tell};
use super::receiver::{OK, Receiver};
use crate::support::api::Api;
use crate::support::telling::{ANY_ACCOUNT, LOOPBACK, Teller};
use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, Request, SECRET, Upstream, signed_with};
use crate::telling::{NOWHERE, Stage, id};

/// The eight attempts, in seconds after the first.
const OFFSETS: [i64; 8] = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 99_305];

const ROUTE: &[&str] = &["route_id", "route_name", "environment"];
const USER: &[&str] = &["user_ip", "user_email"];
const CARD: &[&str] = &["card_id", "occurred_at"];
const DATED: &[&str] = &["card_id", "old_account_number", "old_expiration_date", "new_expiration_date", "occurred_at"];
const ADVICE: &[&str] = &["card_id", "old_account_number", "old_expiration_date", "occurred_at"];
const REVEAL: &[&str] = &["environment", "storage"];
/// The documentation does not name the field that lists them.
const PERMISSIONS: &[&str] = &["user_email", "org_id", "permissions"];

const EVERY: &str = "every_single";
const SOME: &str = "exp_repeat";

type Row = (&'static str, &'static str, &'static str, Option<&'static str>, &'static str, &'static [&'static str]);

/// Number, name, product, scope, grouping and fields, as the table of the documentation has them.
const EVENTS: [Row; 21] = [
    ("VGS-20", "route.created", "Routes", Some("VAULT"), EVERY, ROUTE),
    ("VGS-21", "route.updated", "Routes", Some("VAULT"), EVERY, ROUTE),
    ("VGS-22", "route.delete", "Routes", Some("VAULT"), EVERY, ROUTE),
    ("VGS-23", "vault.created", "Vaults", Some("ORGANIZATION"), EVERY, &["vault_id", "vault_name", "environment"]),
    ("VGS-24", "au_card.updated", "Account updater", None, EVERY, DATED),
    ("VGS-25", "au_card.expired", "Account updater", None, EVERY, DATED),
    ("VGS-26", "au_card.closed", "Account updater", None, EVERY, &["card_id", "old_account_number", "occurred_at"]),
    ("VGS-27", "au_card.non_participating", "Account updater", None, EVERY, CARD),
    ("VGS-28", "au_card.contact_cardholder_advice", "Account updater", None, EVERY, ADVICE),
    ("VGS-29", "au_card.unknown", "Account updater", None, EVERY, CARD),
    ("VGS-30", "au_card.enrolled", "Account updater", None, EVERY, CARD),
    ("VGS-31", "au_card.opt_out", "Account updater", None, EVERY, CARD),
    ("VGS-32", "user.permissions_updated", "Users", Some("USER"), EVERY, PERMISSIONS),
    ("VGS-33", "user.permissions_deleted", "Users", Some("USER"), EVERY, PERMISSIONS),
    ("VGS-34", "user.logged_in", "Users", Some("USER"), EVERY, USER),
    ("VGS-35", "user.password_updated", "Users", Some("USER"), EVERY, USER),
    ("VGS-36", "user.mfa_created", "Users", Some("USER"), EVERY, USER),
    ("VGS-37", "user.mfa_deleted", "Users", Some("USER"), EVERY, USER),
    (
        "VGS-38",
        "proxy.upstream_error",
        "Proxy",
        Some("VAULT"),
        SOME,
        &["upstream_host", "upstream_error", "environment"],
    ),
    ("VGS-39", "alias.reveal_failed", "Proxy", Some("VAULT"), SOME, REVEAL),
    ("VGS-41", "record.reveal_failed", "Proxy", Some("VAULT"), SOME, REVEAL),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_its_table_is_known_and_reaches_an_app_by_way_of_a_gateway() {
    let (teller, gateway) = (Teller::start("").await, Gateway::start("vgs", "").await);
    teller.put("/account", &json!({"default_provider": "vgs", "strict_event_types": true})).await.answers(200);
    let listed = teller.get("/event-types").await.answers(200).json.clone();
    assert_eq!(listed["total"], 21, "twenty, and one of them by its other name");
    let url = format!("http://{}/in", gateway.address());
    let webhook = teller.register(&url, json!({"secret": SECRET})).await;
    for (number, (item, name, category, scope, grouping, fields)) in EVENTS.into_iter().enumerate() {
        let types = listed["event_types"].as_array().expect("a list");
        let kind = types.iter().find(|kind| kind["name"] == name).unwrap_or_else(|| panic!("{item}: no {name}"));
        assert_eq!((&kind["grouping"], &kind["fields"]), (&json!(grouping), &json!(fields)), "{item}");
        assert_eq!(kind.get("scope"), scope.map(|scope| json!(scope)).as_ref(), "{item}");
        assert_eq!(kind["category"], category, "VGS-06: {item}");
        let member = |field: &&str| match *field {
            "permissions" => "\"permissions\":[\"vaults:read\",\"vaults:write\"]".to_owned(),
            field => format!("\"{field}\":\"{field} of {name}\""),
        };
        let members = fields.iter().map(member).collect::<Vec<_>>().join(",");
        let event = tell(&teller, name, &format!("{{{members}}}")).await;
        teller.reach(id(&webhook), "success", number + 1).await;
        let arrived = gateway.upstream.arrived().pop().expect("it was forwarded");
        let body = format!("{{\"id\":\"{event}\",\"event\":\"{name}\",\"occurrence\":1,{members}}}");
        assert_eq!(String::from_utf8_lossy(&arrived.body), body, "{item}");
        assert_eq!(arrived.header("hookward-event-id"), event, "{item}");
    }
    assert_eq!(gateway.upstream.arrived().len(), 21);
    for (item, name, near) in
        [("VGS-22", "route.deleted", "route.delete"), ("VGS-39", "alias.reveal_fail", "alias.reveal_failed")]
    {
        let said = teller.post("/events", &json!({"type": name, "data": {}})).await;
        said.refuses(422, "validation");
        let detail = said.json["detail"].as_str().expect("text");
        assert!(detail.contains(&format!("did you mean \"{near}\"?")), "{item}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_type_has_scope_grouping_and_fields() {
    let teller = Teller::start("").await;
    let types = [
        json!({"name": "a", "description": "", "scope": "VAULT", "grouping": "every_single", "fields": ["x", "y"]}),
        json!({"name": "b", "description": "", "scope": "ORGANIZATION", "grouping": "exp_repeat", "fields": ["z"]}),
        json!({"name": "c", "description": "", "scope": "USER", "grouping": "every_single", "fields": []}),
        json!({"name": "d", "description": "", "grouping": "exp_repeat", "fields": []}),
    ];
    for kind in &types {
        assert_eq!(teller.post("/event-types", kind).await.answers(201).json["event_type"], *kind, "VGS-40");
    }
    assert_eq!(teller.get("/event-types").await.json["event_types"], json!(types), "VGS-40");
    let bad = json!({"name": "e", "grouping": "EXP_REPEATED"});
    assert_eq!(teller.post("/event-types", &bad).await.refuses(422, "validation").pointer(), "/grouping", "VGS-40");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_valid_url_can_be_a_destination_and_plain_http_where_the_operator_says_so() {
    let anywhere = || Resolver::Fixed(std::sync::Arc::new(|_, port| Ok(vec![([8, 8, 8, 8], port).into()])));
    let strict = Teller::with("provider = \"vgs\"", "", anywhere()).await;
    let plain = Teller::with("provider = \"vgs\"", "[egress]\nplain_http = true", anywhere()).await;
    for (item, url, by_strict, by_plain) in [
        ("VGS-01", "https://hooks.example.com/vgs?team=a%20b&x=1", 201, 201),
        ("VGS-01", "https://hooks.example.com", 201, 201),
        ("VGS-01", "https://8.8.8.8:8443/a/b/c", 201, 201),
        ("VGS-01", "https://xn--bcher-kva.example/", 201, 201),
        ("VGS-01", "http://hooks.example.com/vgs", 422, 201),
        ("VGS-01", "", 422, 422),
        ("VGS-01", "hooks.example.com/vgs", 422, 422),
        ("VGS-01", "https://", 422, 422),
        ("VGS-01", "https://hooks.example.com:99999/", 422, 422),
        ("VGS-01", "https://hooks example.com/", 422, 422),
        ("VGS-12", "ftp://hooks.example.com/", 422, 422),
        ("VGS-12", "mailto:ops@example.com", 422, 422),
        ("VGS-12", "tel:+15551234567", 422, 422),
    ] {
        for (teller, wanted) in [(&strict, by_strict), (&plain, by_plain)] {
            let said = teller.post("/webhooks", &json!({"url": url, "active": false})).await;
            assert_eq!(said.status, wanted, "{item}: {url}: {said:?}");
            assert!(wanted == 201 || said.pointer() == "/url", "{item}: {url}: {said:?}");
        }
    }
    for method in ["type", "method", "channel", "email"] {
        let mut input = json!({"url": "https://hooks.example.com/"});
        input[method] = json!("email");
        let said = plain.post("/webhooks", &input).await;
        assert_eq!(said.refuses(422, "validation").pointer(), format!("/{method}"), "VGS-12");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_is_listed_looked_into_edited_switched_and_deleted() {
    let teller = Teller::start("provider = \"vgs\"").await;
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    assert_eq!(teller.get("/webhooks").await.answers(200).json["total"], 0, "VGS-05");
    let webhook = teller.register(&first.url(), json!({"events": []})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    teller.pass(1);
    teller.register(NOWHERE, json!({"events": []})).await;
    let listed = teller.get("/webhooks").await.answers(200).json.clone();
    assert_eq!((&listed["total"], &listed["webhooks"][0]["id"]), (&json!(2), &webhook["id"]), "VGS-05");
    assert_eq!(show(&teller, &webhook).await["url"], first.url(), "VGS-05");

    assert_eq!(teller.publish("route.created", json!({})).await["webhook_ids"], json!([]), "VGS-02");
    for events in [json!(["route.created"]), json!(["route.created", "user.logged_in"])] {
        let changed = teller.patch(&path, &json!({ "events": events })).await;
        assert_eq!(changed.answers(200).json["webhook"]["events"], events, "VGS-02");
    }
    for (name, told) in [("route.created", true), ("user.logged_in", true), ("user.mfa_created", false)] {
        let event = teller.publish(name, json!({})).await;
        assert_eq!(event["webhook_ids"] == json!([webhook["id"]]), told, "VGS-02: {name}");
    }
    teller.reach(id(&webhook), "success", 2).await;

    let moved = teller.patch(&path, &json!({"url": second.url()})).await;
    assert_eq!(moved.answers(200).json["webhook"]["url"], second.url(), "VGS-09");
    for (switch, status) in [("disable", "inactive"), ("enable", "active")] {
        let said = teller.post(&format!("{path}/{switch}"), &json!({})).await;
        assert_eq!(said.answers(200).json["webhook"]["status"], status, "VGS-05");
        assert_eq!(show(&teller, &webhook).await["active"], status == "active", "VGS-09");
    }
    teller.publish("route.created", json!({})).await;
    teller.reach(id(&webhook), "success", 3).await;
    assert_eq!((first.arrived().len(), second.arrived().len()), (2, 1), "VGS-09");
    teller.delete(&path).await.answers(200);
    teller.get(&path).await.refuses(404, "not_found");
    assert_eq!(teller.get("/webhooks").await.json["total"], 1, "VGS-05");
    assert_eq!(teller.publish("route.created", json!({})).await["webhook_ids"], json!([]), "VGS-09");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_can_be_narrowed_to_its_sources() {
    let teller = Teller::start("provider = \"vgs\"").await;
    let source = |kind: &str, id: &str, environment: &str| json!({"kind": kind, "id": id, "environment": environment});
    let of_route = |kind: &str, id: &str| json!([{"event": "route.created", "kind": kind, "id": id}]);
    let two = json!([{"event": "route.created", "id": "tnt_1"}, {"event": "route.created", "id": "tnt_3"}]);
    let live = json!([{"event": "route.created", "environment": "Live"}]);
    let sandbox = json!([{"event": "route.created", "environment": "Sandbox"}]);
    let exact = json!([{"event": "route.created", "kind": "vault", "id": "tnt_1", "environment": "Sandbox"}]);
    for (item, resources, happened_to, told) in [
        ("VGS-03", json!([]), source("vault", "tnt_1", "Live"), true),
        ("VGS-03", json!([]), Value::Null, true),
        ("VGS-03", of_route("vault", "tnt_1"), source("vault", "tnt_1", "Live"), true),
        ("VGS-03", of_route("vault", "tnt_1"), source("vault", "tnt_2", "Live"), false),
        ("VGS-03", of_route("vault", "tnt_1"), source("user", "tnt_1", "Live"), false),
        ("VGS-03", of_route("vault", "tnt_1"), Value::Null, false),
        ("VGS-03", two.clone(), source("vault", "tnt_3", "Live"), true),
        ("VGS-03", two, source("vault", "tnt_2", "Live"), false),
        ("VGS-07", of_route("cmp_account", "acc_1"), source("cmp_account", "acc_1", "Live"), true),
        ("VGS-07", of_route("cmp_account", "acc_1"), source("cmp_account", "acc_2", "Live"), false),
        ("VGS-07", of_route("user", "usr_1"), source("user", "usr_1", "Live"), true),
        ("VGS-07", of_route("user", "usr_1"), source("user", "usr_2", "Live"), false),
        ("VGS-07", of_route("organization", "org_1"), source("organization", "org_1", "Live"), true),
        ("VGS-07", of_route("organization", "org_1"), source("vault", "org_1", "Live"), false),
        ("VGS-08", live.clone(), source("vault", "tnt_1", "Live"), true),
        ("VGS-08", live, source("vault", "tnt_1", "Sandbox"), false),
        ("VGS-08", sandbox.clone(), source("vault", "tnt_1", "Sandbox"), true),
        ("VGS-08", sandbox, source("vault", "tnt_1", "Live"), false),
        ("VGS-08", exact.clone(), source("vault", "tnt_1", "Sandbox"), true),
        ("VGS-08", exact, source("vault", "tnt_1", "Live"), false),
    ] {
        let input = json!({"resources": resources, "events": ["route.created", "user.logged_in"]});
        let webhook = teller.register(NOWHERE, input).await;
        assert_eq!(show(&teller, &webhook).await["resources"], resources, "{item}");
        let publish = async |kind: &str| {
            let mut event = json!({"type": kind, "data": {}});
            if !happened_to.is_null() {
                event["resource"] = happened_to.clone();
            }
            teller.post("/events", &event).await.answers(202).json["event"].clone()
        };
        let event = publish("route.created").await;
        let suppressed = json!([{"webhook_id": webhook["id"], "reason": "filtered"}]);
        let (ids, suppressed) = if told { (json!([webhook["id"]]), json!([])) } else { (json!([]), suppressed) };
        assert_eq!((&event["webhook_ids"], &event["suppressed"]), (&ids, &suppressed), "{item} {resources} {event}");
        let other = publish("user.logged_in").await;
        assert_eq!(other["webhook_ids"], json!([webhook["id"]]), "VGS-07: only the event that is named");
        teller.delete(&format!("/webhooks/{}", id(&webhook))).await.answers(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_is_not_enabled_is_told_to_contact_support() {
    let teller = Teller::start("provider = \"vgs\"").await;
    let webhook = teller.register(NOWHERE, json!({})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    teller.put("/account", &json!({"notifications_enabled": false})).await.answers(200);
    for (method, path, body) in [
        ("GET", "/webhooks", None),
        ("POST", "/webhooks", Some(json!({ "url": NOWHERE }))),
        ("GET", &path, None),
        ("PUT", &path, Some(json!({ "url": NOWHERE }))),
        ("PATCH", &path, Some(json!({"active": false}))),
        ("DELETE", &path, None),
        ("POST", &format!("{path}/test"), Some(json!({}))),
        ("GET", &format!("{path}/deliveries"), None),
    ] {
        let said = teller.ask(method, path, crate::support::telling::ADMIN, &[], body.as_ref()).await;
        said.refuses(403, "not_enabled");
        let detail = said.json["detail"].as_str().expect("text");
        assert!(detail.contains("not enabled for notifications: contact support"), "VGS-04: {detail}");
    }
    let told = teller.publish("route.created", json!({})).await;
    assert_eq!(told["suppressed"], json!([{"webhook_id": webhook["id"], "reason": "not_enabled"}]), "VGS-04");
    let other = [("hookward-account", "enabled")];
    teller.ask("GET", "/webhooks", ANY_ACCOUNT, &other, None).await.answers(200);
    teller.put("/account", &json!({"notifications_enabled": true})).await.answers(200);
    let listed = teller.get("/webhooks").await;
    assert_eq!(listed.answers(200).json["webhooks"][0]["id"], webhook["id"], "VGS-04");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_an_endpoint_is_disabled_is_never_delivered() {
    let stage = Stage::start("provider = \"vgs\"").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"events": ["route.*"]})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    teller.post(&format!("{path}/disable"), &json!({})).await.answers(200);
    for number in 0..3 {
        let told = teller.publish("route.created", json!({ "n": number })).await;
        assert_eq!(told["suppressed"], json!([{"webhook_id": webhook["id"], "reason": "disabled"}]), "VGS-10");
    }
    let log = teller.reach(id(&webhook), "skipped", 3).await;
    for delivery in &log {
        assert_eq!((&delivery["reason"], &delivery["attempts"]), (&json!("disabled"), &json!(0)), "VGS-10");
        assert_eq!((&delivery["next_attempt_at"], &delivery["delivered_at"]), (&Value::Null, &Value::Null), "VGS-10");
    }
    teller.post(&format!("{path}/enable"), &json!({})).await.answers(200);
    stage.pass(1).await;
    teller.publish("route.created", json!({"n": 3})).await;
    teller.reach(id(&webhook), "success", 1).await;
    for offset in OFFSETS {
        stage.pass(offset).await;
    }
    let said = teller.post(&format!("{path}/recover"), &json!({"since": at(0)})).await;
    assert_eq!(said.answers(202).json["matched"], 0, "VGS-10");
    stage.pass(1).await;
    let log = teller.reach(id(&webhook), "skipped", 3).await;
    assert_eq!((log.len(), receiver.arrived().len()), (4, 1), "VGS-10: {log:#?}");
    let body = String::from_utf8_lossy(&receiver.only().body).into_owned();
    assert!(body.ends_with(",\"n\":3}"), "VGS-10: {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_an_endpoint_is_disabled_is_not_retried() {
    let stage = Stage::start("provider = \"vgs\"").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    receiver.plan([Act::Answer(500)]);
    let webhook = teller.register(&receiver.url(), json!({"events": ["route.*"]})).await;
    teller.publish("route.created", json!({})).await;
    retrying(teller, &webhook, 1).await;
    for switch in ["disable", "enable"] {
        teller.post(&format!("/webhooks/{}/{switch}", id(&webhook)), &json!({})).await.answers(200);
    }
    for offset in OFFSETS {
        stage.pass(offset).await;
    }
    let log = teller.reach(id(&webhook), "cancelled", 1).await;
    assert_eq!((&log[0]["reason"], receiver.arrived().len()), (&json!("disabled"), 1), "VGS-09");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_has_a_secret_of_its_own() {
    let (teller, receiver) = (Teller::start("provider = \"vgs\"").await, Upstream::start().await);
    let mut secrets = Vec::new();
    for number in 0..3 {
        let webhook = teller.register(&format!("{}/{number}", receiver.url()), json!({})).await;
        let secret = webhook["secret"].as_str().expect("a secret").to_owned();
        assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "VGS-11: {secret}");
        assert_eq!(show(&teller, &webhook).await["secret"], "***masked***", "VGS-11");
        assert!(!secrets.contains(&secret), "VGS-11");
        secrets.push(secret);
    }
    teller.publish("route.created", json!({})).await;
    crate::support::crowd::wait_until("three deliveries", || receiver.arrived().len() == 3).await;
    for arrived in receiver.arrived() {
        let body = std::str::from_utf8(&arrived.body).expect("text");
        let signature = |secret: &str| signed_with(secret, "vgs", "", body, NOW).value("vgs-signature").to_owned();
        for (number, secret) in secrets.iter().enumerate() {
            let own = arrived.target == format!("/{number}");
            assert_eq!(arrived.header("vgs-signature") == signature(secret), own, "VGS-11: {}", arrived.target);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_has_twenty_integrations_and_more_where_support_says_so() {
    let api = Api::start("allow = [\"127.0.0.0/8\"]\nplain_http = true", "provider = \"vgs\"");
    let webhook = json!({"url": NOWHERE, "events": []}).to_string();
    let refused = async || {
        let reply = api.send("POST", "/webhooks", &webhook).await;
        let problem: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!((reply.status, &problem["code"]), (422, &json!("limit_reached")), "VGS-13: {problem}");
    };
    assert_eq!(api.ask("GET", "/account", "").await["account"]["max_webhooks"], 20, "VGS-13");
    for _ in 0..20 {
        api.ask("POST", "/webhooks", &webhook).await;
    }
    refused().await;
    api.ask("PUT", "/account", "{\"max_webhooks\": 21}").await;
    api.ask("POST", "/webhooks", &webhook).await;
    refused().await;
    assert_eq!(api.ask("GET", "/webhooks", "").await["total"], 21, "VGS-13");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_attempts_are_made_to_the_second_with_one_signature_and_none_after() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let webhook =
        teller.register(&receiver.url(), json!({"provider": "vgs", "secret": SECRET, "events": ["route.*"]})).await;
    let retry = &webhook["retry"];
    assert_eq!(retry["delays"], json!(["5s", "5m", "30m", "2h", "5h", "10h", "10h"]), "VGS-53");
    assert_eq!(retry["jitter"], 0.0, "VGS-55");
    let elsewhere: &'static str = Box::leak(Upstream::start().await.url().into_boxed_str());
    receiver.plan([500, 201, 410].map(Act::Answer));
    receiver.plan([Act::HangUp, Act::Say(302, vec![("location", elsewhere)], "")]);
    receiver.plan([404, 204, 503].map(Act::Answer));
    let event = tell(teller, "route.created", "{\"route_id\":\"r_1\"}").await;
    for (made, pair) in (1..).zip(OFFSETS.windows(2)) {
        let delivery = retrying(teller, &webhook, made).await;
        assert_eq!(delivery["next_attempt_at"], at(pair[1]), "VGS-54");
        stage.pass(pair[1] - pair[0] - 1).await;
        assert_eq!(receiver.arrived().len(), made, "VGS-54: a second too early");
        stage.pass(1).await;
    }
    let cancelled = teller.reach(id(&webhook), "cancelled", 1).await[0].clone();
    assert_eq!((&cancelled["attempts"], &cancelled["reason"]), (&json!(8), &json!("exhausted")), "VGS-52");
    assert_eq!((&cancelled["next_attempt_at"], &cancelled["delivered_at"]), (&Value::Null, &Value::Null), "VGS-52");
    let shown = show(teller, &webhook).await;
    assert_eq!((&shown["status"], &shown["status_reason"]), (&json!("active"), &Value::Null), "VGS-52");
    assert_eq!(shown["delivery_stats"]["failed"], 1, "VGS-52");
    stage.pass(36_000).await;
    stage.pass(99_305).await;
    assert_eq!(begun(teller, &webhook, &cancelled).await, OFFSETS.map(at), "VGS-54");
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 8, "VGS-50");
    let body = format!("{{\"id\":\"{event}\",\"event\":\"route.created\",\"occurrence\":1,\"route_id\":\"r_1\"}}");
    let signature = signed_with(SECRET, "vgs", "", &body, NOW);
    for one in &arrived {
        assert_eq!(one.header("vgs-signature"), signature.value("vgs-signature"), "VGS-75");
        assert_eq!(one.body, body, "VGS-75");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_200_is_success_and_410_is_a_failure_like_any_other() {
    let (teller, receiver) = (Teller::start("provider = \"vgs\"").await, Upstream::start().await);
    let failures = [201, 202, 203, 204, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 400, 401, 404, 409, 410, 429]
        .into_iter()
        .chain([500, 502, 503, 504, 599]);
    let rows = failures.map(|status| ("VGS-51", Act::Answer(status), "retrying"));
    let others = [
        ("VGS-51", Act::Answer(200), "success"),
        ("VGS-51", Act::HangUp, "retrying"),
        ("VGS-51", Act::Hold(200), "retrying"),
    ];
    for (item, act, status) in rows.chain(others) {
        // Whoever answers does so at once; of a timeout there is one, and it is short.
        let timeout = if matches!(act, Act::Hold(_)) { "200ms" } else { "30s" };
        let webhook = teller.register(&receiver.url(), json!({"events": [], "timeout": timeout})).await;
        receiver.plan([act.clone()]);
        let event = json!({"type": "route.created", "data": {}, "webhook_ids": [webhook["id"]]});
        teller.post("/events", &event).await.answers(202);
        let told = |all: &[Value]| all[0]["attempts"] == 1 && all[0]["status"] == status;
        let delivery = teller.deliveries(id(&webhook), told).await[0].clone();
        let next = if status == "success" { Value::Null } else { json!(at(5)) };
        assert_eq!(delivery["next_attempt_at"], next, "{item}: {act:?}");
        assert_eq!(show(&teller, &webhook).await["status"], "active", "{item}: {act:?}");
    }
}

/// Forty-eight bytes, and what Python and OpenSSL say of them under a secret as long as ours must be.
const BODY: &str = "{\"event\":\"proxy.upstream_error\",\"occurrence\":10}";
const KEY: &str = "vgs_kat_secret_0123456789";
const OF_BODY: &str = "1202c8566bd7451adb344ab1349d3a9ef4b9b2daf63f9a056b7839bf77637976";
const OF_TIME_AND_BODY: &str = "350c452de76d0bb0649d5db0852d54a7fba06343a76f8d8b1f867f3caaf3caa8";
/// SHA-256 of the body, without any secret.
const UNKEYED: &str = "e7aa0ee9f2770be6799150c69887ec0254acee27115b5c8fd588a5ec35a5a4a7";

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_is_an_hmac_of_the_raw_body_beside_its_time() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let (plain, timed) = (Gateway::start("vgs", &key(KEY)).await, Gateway::start("vgs-timestamped", &key(KEY)).await);
    for (count, (item, provider, tag)) in
        (1..).zip([("VGS-72", "vgs", OF_BODY), ("VGS-72", "vgs-timestamped", OF_TIME_AND_BODY)])
    {
        let webhook =
            teller.register(&receiver.url(), json!({"provider": provider, "secret": KEY, "events": []})).await;
        let event = json!({"type": "proxy.upstream_error", "raw": BODY, "webhook_ids": [webhook["id"]]});
        teller.post("/events", &event).await.answers(202);
        teller.reach(id(&webhook), "success", 1).await;
        let arrived = receiver.arrived().pop().expect("one");
        assert_eq!((receiver.arrived().len(), &arrived.body[..]), (count, BODY.as_bytes()), "{item}");
        assert_eq!(arrived.headers.get_all("vgs-signature").iter().count(), 1, "VGS-70");
        assert_eq!(arrived.header("vgs-signature"), format!("t={NOW},v0={tag}"), "VGS-71");
    }
    let rows = [
        ("VGS-70", "vgs-signature", format!("t={NOW},v0={OF_BODY}"), 200, 401),
        ("VGS-70", "VGS-Signature", format!("t={NOW},v0={OF_BODY}"), 200, 401),
        ("VGS-70", "x-vgs-signature", format!("t={NOW},v0={OF_BODY}"), 401, 401),
        ("VGS-71", "vgs-signature", format!("v0={OF_BODY},t={NOW}"), 200, 401),
        ("VGS-71", "vgs-signature", format!("t={NOW}, v0={OF_BODY}, v1=x"), 200, 401),
        ("VGS-71", "vgs-signature", format!("t={NOW},v0={UNKEYED},v0={OF_BODY}"), 200, 401),
        ("VGS-71", "vgs-signature", format!("v0={OF_BODY}"), 401, 401),
        ("VGS-71", "vgs-signature", format!("t={NOW}"), 401, 401),
        ("VGS-72", "vgs-signature", format!("t={NOW},v0={OF_TIME_AND_BODY}"), 401, 200),
        ("VGS-72", "vgs-signature", format!("t={NOW},v0={UNKEYED}"), 401, 401),
    ];
    for (item, header, value, by_plain, by_timed) in rows {
        for (gateway, wanted) in [(&plain, by_plain), (&timed, by_timed)] {
            let request = Request::post("/in").header(header, &value).body(BODY.as_bytes());
            assert_eq!(gateway.send(request).await.status, wanted, "{item}: {header}: {value}");
        }
    }
}

/// What a gateway's source is to have as its secrets.
fn keys(secrets: &[&str]) -> String {
    let all: Vec<_> = secrets.iter().map(|secret| format!("{{ literal = \"{secret}\" }}")).collect();
    format!("secrets = [{}]", all.join(", "))
}

fn key(secret: &str) -> String {
    keys(&[secret])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_signed_with_beside_the_old_one_and_leaves_the_time_as_it_is() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let (old, new) = ("the-old-secret-0123456789", "the-new-secret-0123456789");
    receiver.plan([500, 500, 500].map(Act::Answer));
    let webhook =
        teller.register(&receiver.url(), json!({"provider": "vgs", "secret": old, "events": ["route.*"]})).await;
    teller.publish("route.created", json!({"route_id": "r_1"})).await;
    retrying(teller, &webhook, 1).await;
    let rotation = json!({"secret": new, "overlap_seconds": 305});
    teller.post(&format!("/webhooks/{}/rotate-secret", id(&webhook)), &rotation).await.answers(200);
    for (made, wait) in [(2, 5), (3, 300)] {
        stage.pass(wait).await;
        if made == 2 {
            retrying(teller, &webhook, made).await;
        }
    }
    retrying(teller, &webhook, 3).await;
    let arrived = receiver.arrived();
    let body = std::str::from_utf8(&arrived[0].body).expect("text");
    let tag = |secret: &str| {
        let signed = signed_with(secret, "vgs", "", body, NOW);
        signed.value("vgs-signature").split_once(",v0=").expect("two parts").1.to_owned()
    };
    let (by_old, by_new) = (tag(old), tag(new));
    for (one, wanted) in arrived.iter().zip([
        format!("t={NOW},v0={by_old}"),
        format!("t={NOW},v0={by_new},v0={by_old}"),
        format!("t={NOW},v0={by_new}"),
    ]) {
        assert_eq!(one.header("vgs-signature"), wanted, "VGS-75, X-08");
    }
    for (attempt, secrets, wanted) in [
        (0, &[old][..], 200),
        (0, &[new], 401),
        (1, &[old], 200),
        (1, &[new], 200),
        (1, &[old, new], 200),
        (2, &[old], 401),
        (2, &[new], 200),
    ] {
        let gateway = Gateway::start("vgs", &keys(secrets)).await;
        let signature = arrived[attempt].header("vgs-signature");
        let request = Request::post("/in").header("vgs-signature", signature).body(body.as_bytes());
        assert_eq!(gateway.send(request).await.status, wanted, "X-08: attempt {attempt} with {secrets:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_come_from_the_addresses_that_are_published() {
    let (anywhere, receiver) = (Teller::start("provider = \"vgs\"").await, Receiver::start(OK, None).await);
    assert_eq!(anywhere.get("/meta").await.answers(200).json["egress_ips"], json!([]), "VGS-89");
    let published = "provider = \"vgs\"\negress_ips = [\"127.0.0.9\", \"2600:1f24:64:8000::1\"]";
    let bound = Teller::with(published, &format!("{LOOPBACK}bind = [\"127.0.0.9\"]"), Resolver::System).await;
    let listed = bound.get("/meta").await.answers(200).json["egress_ips"].clone();
    assert_eq!(listed, json!(["127.0.0.9", "2600:1f24:64:8000::1"]), "VGS-89");
    for (teller, from) in [(&anywhere, "127.0.0.1"), (&bound, "127.0.0.9")] {
        let webhook = teller.register(&format!("http://{}/", receiver.address), json!({})).await;
        teller.publish("route.created", json!({})).await;
        teller.reach(id(&webhook), "success", 1).await;
        let peer = receiver.asked().pop().expect("one").peer;
        assert_eq!(peer.ip().to_string(), from, "VGS-89");
    }
}
