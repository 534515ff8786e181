//! VPN Enterprise, "Webhooks".

mod calls;

use hookward::clock::UnixMillis;
use hookward::egress::Resolver;
use rustls::version::TLS13;
use serde_json::{Value, json};

use super::journal::{at, begun, retrying, show, tell};
use super::receiver::{Certified, OK, Receiver};
use crate::support::telling::Teller;
use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, Request, SECRET, Upstream, signed_with};
use crate::telling::{Stage, id};

const PROVIDER: &str = "provider = \"vpn-enterprise\"";

/// Number, name, group and description, as the table of the documentation has them.
const EVENTS: [(&str, &str, &str, &str); 16] = [
    ("VPN-10", "user.created", "User", "New user registered or invited"),
    ("VPN-11", "user.updated", "User", "User profile or permissions updated"),
    ("VPN-12", "user.deleted", "User", "User removed from organization"),
    ("VPN-13", "user.login", "User", "User successfully authenticated"),
    ("VPN-14", "vpn.connected", "VPN", "VPN connection established"),
    ("VPN-15", "vpn.disconnected", "VPN", "VPN connection terminated"),
    ("VPN-16", "vpn.server.created", "VPN", "New VPN server provisioned"),
    ("VPN-17", "vpn.server.deleted", "VPN", "VPN server decommissioned"),
    ("VPN-18", "database.created", "Database", "Database instance created"),
    ("VPN-19", "database.updated", "Database", "Database configuration changed"),
    ("VPN-20", "database.deleted", "Database", "Database instance deleted"),
    ("VPN-21", "database.backup.completed", "Database", "Database backup finished"),
    ("VPN-22", "billing.invoice.created", "Billing", "New invoice generated"),
    ("VPN-23", "billing.invoice.paid", "Billing", "Invoice payment successful"),
    ("VPN-24", "billing.invoice.failed", "Billing", "Invoice payment failed"),
    ("VPN-25", "billing.subscription.updated", "Billing", "Subscription plan changed"),
];

/// Every name means a public address.
fn anywhere() -> Resolver {
    Resolver::Fixed(std::sync::Arc::new(|_, port| Ok(vec![([8, 8, 8, 8], port).into()])))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_its_table_is_known_and_reaches_an_app_by_way_of_a_gateway() {
    let (teller, gateway) = (Teller::start(PROVIDER).await, Gateway::start("vpn-enterprise", "").await);
    teller.put("/account", &json!({"strict_event_types": true})).await.answers(200);
    let listed = teller.get("/event-types").await.answers(200).json.clone();
    assert_eq!(listed["total"], 16, "VPN-28: webhook.test is none of them");
    let url = format!("http://{}/in", gateway.address());
    let webhook = teller.register(&url, json!({"secret": SECRET})).await;
    for (number, (item, name, group, description)) in EVENTS.into_iter().enumerate() {
        let types = listed["event_types"].as_array().expect("a list");
        let kind = types.iter().find(|kind| kind["name"] == name).unwrap_or_else(|| panic!("{item}: no {name}"));
        assert_eq!((&kind["category"], &kind["description"]), (&json!(group), &json!(description)), "VPN-06: {item}");
        let segments = name.split('.').count();
        assert!([2, 3].contains(&segments), "VPN-26: {name}");
        let data = format!("{{ \"of\" : \"{item}\",\"n\":1.50}}");
        let event = tell(&teller, name, &data).await;
        teller.reach(id(&webhook), "success", number + 1).await;
        let arrived = gateway.upstream.arrived().pop().expect("it was forwarded");
        let body = format!("{{\"id\":\"{event}\",\"type\":\"{name}\",\"timestamp\":\"{}\",\"data\":{data}}}", at(0));
        assert_eq!(String::from_utf8_lossy(&arrived.body), body, "{item}");
        assert_eq!(arrived.header("hookward-event-id"), event, "{item}");
    }
    for (item, name) in [("VPN-28", "webhook.test"), ("VPN-26", "vpn.server"), ("VPN-26", "database.backup.failed")] {
        let said = teller.post("/events", &json!({"type": name, "data": {}})).await;
        assert_eq!(said.refuses(422, "validation").pointer(), "/type", "{item}: {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_as_json_as_soon_as_it_happens() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    let webhook = teller.register(&format!("{}/webhooks/vpn-enterprise", receiver.url()), json!({})).await;
    let event = tell(&teller, "user.login", "{\"user_id\":\"usr_456\"}").await;
    // The clock stands still: it is due at the moment at which it happened.
    let log = teller.reach(id(&webhook), "success", 1).await;
    assert_eq!(begun(&teller, &webhook, &log[0]).await, [at(0)], "VPN-01");
    let arrived = receiver.only();
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("POST", "/webhooks/vpn-enterprise"), "VPN-03");
    assert_eq!(arrived.header("content-type"), "application/json", "VPN-03");
    let body: Value = serde_json::from_slice(&arrived.body).expect("VPN-03: JSON");
    assert_eq!(body["type"], "user.login", "VPN-05");
    assert_eq!((&body["id"], &body["data"]), (&json!(event), &json!({"user_id": "usr_456"})), "VPN-05");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_https() {
    let teller = Teller::with(PROVIDER, "", anywhere()).await;
    for (item, url, status) in [
        ("VPN-02", "https://api.myapp.com/webhooks/vpn-enterprise", 201),
        ("VPN-02", "https://api.myapp.com:8443/", 201),
        ("VPN-02", "http://api.myapp.com/webhooks/vpn-enterprise", 422),
        ("VPN-02", "http://api.myapp.com:443/", 422),
        ("VPN-02", "ws://api.myapp.com/", 422),
    ] {
        let said = teller.post("/webhooks", &json!({ "url": url })).await;
        assert_eq!(said.status, status, "{item}: {url}: {said:?}");
    }
    let certified = Certified::new();
    let receiver = Receiver::start(OK, Some(certified.server(&[&TLS13]))).await;
    let teller = Teller::with(PROVIDER, "[egress]\nallow = [\"127.0.0.0/8\"]", receiver.names()).await;
    let webhook = teller.register("https://hooks.example.com/in", json!({"tls": {"ca": certified.ca}})).await;
    teller.publish("user.login", json!({})).await;
    teller.reach(id(&webhook), "success", 1).await;
    assert_eq!(receiver.asked()[0].head.lines().next(), Some("POST /in HTTP/1.1"), "VPN-02");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_2xx_is_success_and_nothing_else() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    let taken = [200, 201, 202, 203, 204, 206, 226, 299].map(|status| ("VPN-04", status, "success"));
    let failed = [300, 301, 302, 304, 307, 400, 401, 404, 408, 410, 429, 500, 502, 503, 599];
    for (item, status, wanted) in taken.into_iter().chain(failed.map(|status| ("VPN-04", status, "retrying"))) {
        let webhook = teller.register(&receiver.url(), json!({"events": []})).await;
        receiver.plan([Act::Answer(status)]);
        let event = json!({"type": "user.login", "data": {}, "webhook_ids": [webhook["id"]]});
        teller.post("/events", &event).await.answers(202);
        let log = teller.deliveries(id(&webhook), |all| all[0]["attempts"] == 1 && all[0]["status"] == wanted).await;
        assert_eq!(log[0]["response_status"], status, "{item}");
        assert_eq!(show(&teller, &webhook).await["status"], "active", "{item}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_the_names_that_it_lists_and_no_others() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    let names = ["user.created", "vpn.connected", "billing.invoice.paid"];
    let webhook = teller.register(&receiver.url(), json!({ "events": names })).await;
    for (_, name, ..) in EVENTS {
        let told = teller.publish(name, json!({})).await;
        let wanted = if names.contains(&name) { json!([webhook["id"]]) } else { json!([]) };
        assert_eq!(told["webhook_ids"], wanted, "VPN-27: {name}");
    }
    teller.reach(id(&webhook), "success", 3).await;
    let arrived = receiver.arrived();
    let mut kinds: Vec<String> = arrived
        .iter()
        .map(|one| serde_json::from_slice::<Value>(&one.body).expect("JSON")["type"].as_str().expect("text").to_owned())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["billing.invoice.paid", "user.created", "vpn.connected"], "VPN-27");
}

/// From the checklist: computed with Python. The whole text is the key, also what it begins with.
const KEY: &str = "whsec_vpn_kat_secret";
const BODY: &str = r#"{"type":"user.created","data":{"user_id":"usr_456","email":"newuser@example.com"}}"#;
const TAG: &str = "dadaab332341487bc98d1d8cb821365dcaf6c01bbde86c442a7c28949184d209";

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_is_an_hmac_of_the_raw_body_in_lower_case_hex() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({ "secret": KEY })).await;
    let event = json!({"type": "user.created", "raw": BODY});
    teller.post("/events", &event).await.answers(202);
    teller.reach(id(&webhook), "success", 1).await;
    let arrived = receiver.only();
    assert_eq!(arrived.body, BODY);
    assert_eq!(arrived.header("X-VPN-Signature"), format!("sha256={TAG}"), "VPN-30, VPN-31, VPN-32, VPN-33");
    let made = teller.register(&receiver.url(), json!({"events": []})).await;
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "VPN-32: {made}");

    let gateway = Gateway::start("vpn-enterprise", &format!("secrets = [{{ literal = \"{KEY}\" }}]")).await;
    let other =
        |key: &str, body: &str| signed_with(key, "vpn-enterprise", "", body, NOW).value("x-vpn-signature").to_owned();
    for (item, header, value, status) in [
        ("VPN-33", "X-VPN-Signature", format!("sha256={TAG}"), 200),
        ("VPN-33", "X-VPN-Signature", TAG.to_owned(), 200),
        ("VPN-33", "X-VPN-Signature", format!("sha1={TAG}"), 401),
        ("VPN-30", "X-VPN-Signatur", format!("sha256={TAG}"), 401),
        ("VPN-31", "X-VPN-Signature", other(KEY, &format!("{BODY}\n")), 401),
        ("VPN-31", "X-VPN-Signature", format!("sha256={}", &TAG[..62]), 401),
        ("VPN-32", "X-VPN-Signature", other(KEY, BODY), 200),
        ("VPN-32", "X-VPN-Signature", other("vpn_kat_secret", BODY), 401),
    ] {
        let request = Request::post("/in").header(header, &value).body(BODY.as_bytes());
        assert_eq!(gateway.send(request).await.status, status, "{item}: {header}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_from_the_environment_or_from_a_file() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("webhook-secret");
    std::fs::write(&file, format!("{KEY}\n")).expect("a file");
    let from_file = format!("{{ file = \"{}\" }}", file.display());
    for (item, secrets, key, status) in [
        ("VPN-40", "{ env = \"SECRET\" }".to_owned(), SECRET, 200),
        ("VPN-40", "{ env = \"SECRET\" }".to_owned(), KEY, 401),
        ("VPN-40", from_file.clone(), KEY, 200),
        ("VPN-40", from_file.clone(), SECRET, 401),
        ("VPN-40", format!("{{ env = \"SECRET\" }}, {from_file}"), KEY, 200),
    ] {
        let gateway = Gateway::start("vpn-enterprise", &format!("secrets = [{secrets}]")).await;
        let request = signed_with(key, "vpn-enterprise", "", BODY, NOW);
        assert_eq!(gateway.send(request).await.status, status, "{item}: {secrets}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_may_take_ten_seconds_in_all() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    receiver.plan([Act::Hold(200)]);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    assert_eq!(webhook["timeout"], "10s", "VPN-70");
    // The same limit, where nobody has to wait for it.
    let path = format!("/webhooks/{}", id(&webhook));
    teller.patch(&path, &json!({"timeout": "200ms"})).await.answers(200);
    teller.publish("user.login", json!({})).await;
    let delivery = retrying(&teller, &webhook, 1).await;
    assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("retrying"), &Value::Null), "VPN-70");
    assert!(delivery["error"].as_str().expect("why").contains("within 200 ms"), "VPN-70: {delivery}");
}

/// 30 seconds, twice as much each time, and from the twelfth wait on 12 hours; in seconds after the first.
const OFFSETS: [i64; 17] =
    [0, 30, 90, 210, 450, 930, 1_890, 3_810, 7_650, 15_330, 30_690, 61_410, 104_610, 147_810, 191_010, 234_210, WINDOW];

/// Three days.
const WINDOW: i64 = 259_200;

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_ever_more_slowly_for_three_days() {
    let stage = Stage::start(PROVIDER).await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"events": ["user.login"], "retry": {"jitter": 0}})).await;
    let retry = json!({"initial": "30s", "factor": 2.0, "max": "12h", "window": "3d", "jitter": 0.0});
    assert_eq!(webhook["retry"], retry, "VPN-72");
    receiver.plan((0..OFFSETS.len()).map(|made| if made == 3 { Act::HangUp } else { Act::Answer(500) }));
    let event = tell(teller, "user.login", "{}").await;
    for (made, pair) in (1..).zip(OFFSETS.windows(2)) {
        let delivery = retrying(teller, &webhook, made).await;
        assert_eq!(delivery["next_attempt_at"], at(pair[1]), "VPN-72");
        stage.pass(pair[1] - pair[0] - 1).await;
        assert_eq!(receiver.arrived().len(), made, "VPN-72: a second too early");
        stage.pass(1).await;
    }
    let expired = teller.reach(id(&webhook), "expired", 1).await[0].clone();
    assert_eq!((&expired["attempts"], &expired["next_attempt_at"]), (&json!(17), &Value::Null), "VPN-72");
    stage.pass(43_200).await;
    stage.pass(WINDOW / 3).await;
    assert_eq!(begun(teller, &webhook, &expired).await, OFFSETS.map(at), "VPN-72");
    let body = format!("{{\"id\":\"{event}\",\"type\":\"user.login\",\"timestamp\":\"{}\",\"data\":{{}}}}", at(0));
    let signature = signed_with(webhook["secret"].as_str().expect("a secret"), "vpn-enterprise", "", &body, NOW);
    assert_eq!(receiver.arrived().len(), 17, "VPN-72");
    for arrived in receiver.arrived() {
        assert_eq!(arrived.body, body, "VPN-73: it is the same event");
        assert_eq!(arrived.header("x-vpn-signature"), signature.value("x-vpn-signature"), "VPN-73");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_can_begin_when_three_days_end_and_no_later() {
    let stage = Stage::start(PROVIDER).await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    // Whoever asks for more time than there is gets the end of it.
    receiver.plan([Act::Say(503, vec![("retry-after", "999999")], ""), Act::Say(503, vec![("retry-after", "1")], "")]);
    let webhook = teller.register(&receiver.url(), json!({"events": ["user.login"]})).await;
    teller.publish("user.login", json!({})).await;
    assert_eq!(retrying(teller, &webhook, 1).await["next_attempt_at"], at(WINDOW), "VPN-72");
    stage.pass(WINDOW - 1).await;
    assert_eq!(receiver.arrived().len(), 1, "VPN-72");
    stage.pass(1).await;
    let expired = teller.reach(id(&webhook), "expired", 1).await[0].clone();
    assert_eq!(begun(teller, &webhook, &expired).await, [at(0), at(WINDOW)], "VPN-72");
    stage.pass(43_200).await;
    assert_eq!(receiver.arrived().len(), 2, "VPN-72");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_nobody_was_there_to_make_is_not_made_after_three_days() {
    // A worker may be late, by ten seconds.
    for (item, late, status, arrived) in [("VPN-72", 10, "success", 2), ("VPN-72", 11, "expired", 1)] {
        let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
        receiver.plan([Act::Answer(500)]);
        let webhook = teller.register(&receiver.url(), json!({"events": ["user.login"]})).await;
        teller.publish("user.login", json!({})).await;
        retrying(&teller, &webhook, 1).await;
        teller.pass(WINDOW + late);
        let log = teller.reach(id(&webhook), status, 1).await;
        assert_eq!((&log[0]["attempts"], receiver.arrived().len()), (&json!(arrived), arrived), "{item}: {late}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_longer_by_chance_and_never_shorter() {
    let (teller, receiver) = (Teller::start(PROVIDER).await, Upstream::start().await);
    receiver.plan([500; 8].map(Act::Answer));
    for _ in 0..8 {
        let webhook = teller.register(&receiver.url(), json!({"events": []})).await;
        let event = json!({"type": "user.login", "data": {}, "webhook_ids": [webhook["id"]]});
        teller.post("/events", &event).await.answers(202);
        let next = retrying(&teller, &webhook, 1).await["next_attempt_at"].as_str().expect("a time").to_owned();
        let next: UnixMillis = next.parse().expect("a time");
        assert!((30_000..=33_000).contains(&(next.0 - NOW * 1000)), "VPN-72: {next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_delivered_again_is_handled_once_behind_a_gateway() {
    let stage = Stage::start(PROVIDER).await;
    let (teller, gateway) = (&stage.teller, Gateway::start("vpn-enterprise", "").await);
    gateway.upstream.plan([Act::Answer(500)]);
    let url = format!("http://{}/in", gateway.address());
    let input = json!({"events": ["user.login"], "secret": SECRET, "retry": {"jitter": 0}});
    let webhook = teller.register(&url, input).await;
    let event = tell(teller, "user.login", "{\"n\":1}").await;
    retrying(teller, &webhook, 1).await;
    stage.pass(30).await;
    let delivered = teller.reach(id(&webhook), "success", 1).await[0].clone();
    assert_eq!(delivered["attempts"], 2, "VPN-73");
    assert_eq!(gateway.upstream.arrived().len(), 2, "VPN-73: what failed is no duplicate");
    let again = format!("/webhooks/{}/deliveries/{}/resend", id(&webhook), id(&delivered));
    stage.pass(1).await;
    teller.post(&again, &json!({})).await.answers(202);
    let log = teller.reach(id(&webhook), "success", 2).await;
    assert_eq!(log[0]["response_status"], 200, "VPN-73");
    let arrived = gateway.upstream.arrived();
    assert_eq!(arrived.len(), 2, "VPN-73: once it is handled, it is not handled again");
    assert_eq!((&arrived[0].body, arrived[0].header("hookward-event-id")), (&arrived[1].body, &*event), "VPN-73");
}
