//! VantaStatus, "Webhooks".

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::receiver::{Answer, Certified, OK, Receiver};
use crate::support::client::Request;
use crate::support::telling::{ANY_ACCOUNT, Teller};
use crate::support::upstream::{Act, Arrived};
use crate::support::{NOW, Upstream};
use crate::telling::{Stage, id};
use crate::templates::{VANTA_DATA, VANTA_SLACK, compact};

const TYPES: [(&str, &str); 6] = [
    ("VAN-35", "endpoint.up"),
    ("VAN-36", "endpoint.down"),
    ("VAN-37", "endpoint.degraded"),
    ("VAN-38", "endpoint.certificate.expiring"),
    ("VAN-39", "endpoint.dns.changed"),
    ("VAN-40", "endpoint.body.changed"),
];

/// So many seconds after [`NOW`], as it is written.
fn at(seconds: i64) -> String {
    hookward::clock::UnixMillis((NOW + seconds) * 1000).to_string()
}

async fn create(teller: &Teller, url: &str, rest: Value) -> Value {
    let mut input = json!({"provider": "vantastatus"});
    for (key, value) in rest.as_object().expect("an object") {
        input[key] = value.clone();
    }
    teller.register(url, input).await
}

/// Tells that the documentation's endpoint is down, in its own bytes.
async fn go_down(teller: &Teller) -> Value {
    let body = format!("{{\"type\":\"endpoint.down\",\"data\":{VANTA_DATA}}}");
    let request = Request::post("/events").header("content-type", "application/json").body(body.as_bytes());
    teller.send(request).await.answers(202).json["event"].clone()
}

fn text(arrived: &Arrived) -> &str {
    std::str::from_utf8(&arrived.body).expect("text")
}

/// The signature of `body`, made without any of ours.
fn tag(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[test]
fn the_signature_of_these_tests_is_the_checklists() {
    let body = format!(
        "{{\"id\":\"wh_evt_9f82a1c4d7e6\",\"event\":\"endpoint.down\",\"timestamp\":\"2025-01-14T08:32:17Z\",\"webhook_id\":\"wh_3b71f092\",\"account_id\":\"acc_vanta_prod_001\",\"data\":{VANTA_DATA}}}"
    );
    let wanted = "sha256=1e70400b845532433de0972b319a35488a9cd488d6352e50558b29237d6ebb99";
    assert_eq!(tag("vanta_kat_secret", &body), wanted, "VAN-60");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_made_at_the_documented_moments_and_say_which_they_are() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let made = create(teller, &receiver.url(), json!({})).await;
    let retry = json!({"delays": ["1m", "5m", "15m", "1h"], "window": "4h", "jitter": 0.0});
    assert_eq!((&made["retry"], &made["timeout"]), (&retry, &json!("30s")), "VAN-03, VAN-70");
    receiver.plan([Act::Answer(500), Act::HangUp, Act::Answer(404), Act::Answer(410), Act::Answer(302)]);
    let told = go_down(teller).await;
    let offsets = [0, 60, 360, 1260, 4860];
    for (number, next) in offsets.iter().skip(1).enumerate() {
        let waits = |all: &[Value]| all[0]["attempts"] == number + 1 && all[0]["next_attempt_at"].is_string();
        let delivery = teller.deliveries(id(&made), waits).await[0].clone();
        assert_eq!(delivery["next_attempt_at"], at(*next), "VAN-03, VAN-04");
        stage.pass(NOW + next - teller.now() - 1).await;
        assert_eq!(receiver.arrived().len(), number + 1, "VAN-04: none before its time");
        stage.pass(1).await;
    }
    let log = teller.reach(id(&made), "failed", 1).await;
    assert_eq!((&log[0]["attempts"], &log[0]["reason"]), (&json!(5), &json!("exhausted")), "VAN-03");
    for seconds in [3600, 14_400 - 4860 - 3600, 1, 86_400] {
        stage.pass(seconds).await;
    }
    let (arrived, secret) = (receiver.arrived(), made["secret"].as_str().expect("a secret"));
    assert_eq!(arrived.len(), 5, "VAN-03, VAN-04: nothing after the fifth");
    for (number, arrived) in arrived.iter().enumerate() {
        assert_eq!(arrived.method, "POST", "VAN-02");
        assert_eq!(arrived.body, receiver.arrived()[0].body, "VAN-41, VAN-83");
        for (item, name, value) in [
            ("VAN-50", "content-type", "application/json".to_owned()),
            ("VAN-51, VAN-60", "x-vantastatus-signature", tag(secret, text(arrived))),
            ("VAN-52", "x-vantastatus-event", "endpoint.down".to_owned()),
            ("VAN-53, VAN-57", "x-vantastatus-timestamp", (NOW + offsets[number]).to_string()),
            ("VAN-54", "x-vantastatus-webhook-id", id(&made).to_owned()),
            ("VAN-55", "x-vantastatus-retry-count", number.to_string()),
        ] {
            assert_eq!(arrived.header(name), value, "{item}: attempt {}", number + 1);
        }
    }
    let body: Value = serde_json::from_slice(&arrived[0].body).expect("JSON");
    assert_eq!((&body["id"], &body["webhook_id"]), (&told["id"], &made["id"]), "VAN-54");
    let shown = teller.get(&format!("/webhooks/{}", id(&made))).await;
    assert_eq!(shown.json["webhook"]["status"], "active", "one event that fails ends no webhook");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_tried_more_than_four_hours_after_its_event() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    // Whoever asks for more time gets what is left.
    let made = create(teller, &receiver.url(), json!({})).await;
    receiver.plan([Act::Say(503, vec![("retry-after", "999999")], ""), Act::Say(503, vec![("retry-after", "60")], "")]);
    go_down(teller).await;
    teller.deliveries(id(&made), |all| all[0]["next_attempt_at"] == at(14_400)).await;
    stage.pass(14_399).await;
    assert_eq!(receiver.arrived().len(), 1, "VAN-04");
    stage.pass(1).await;
    let log = teller.reach(id(&made), "expired", 1).await;
    assert_eq!(log[0]["attempts"], 2, "VAN-03");
    let moment = (NOW + 14_400).to_string();
    assert_eq!(receiver.arrived()[1].header("x-vantastatus-timestamp"), moment, "VAN-04");
    for _ in 0..2 {
        stage.pass(3600).await;
    }
    assert_eq!(receiver.arrived().len(), 2, "VAN-04");

    // Nor is it if nobody was here to try it before, while it is tried late within its time.
    for (late, status) in [(14_399, "success"), (14_411, "expired")] {
        let (begun, before) = (teller.now(), receiver.arrived().len());
        receiver.plan([Act::Answer(500)]);
        go_down(teller).await;
        let due = at(begun - NOW + 60);
        teller.deliveries(id(&made), |all| all[0]["next_attempt_at"] == due).await;
        stage.pass(late).await;
        let log = teller.deliveries(id(&made), |all| all[0]["status"] == status).await;
        let attempts = if status == "success" { 2 } else { 1 };
        assert_eq!((&log[0]["attempts"], receiver.arrived().len()), (&json!(attempts), before + attempts), "VAN-04");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_one_envelope_whenever_it_is_sent() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let account = [("hookward-account", "acc_vanta_prod_001")];
    let ask = async |path: &str, body: Value| {
        let said = teller.ask("POST", path, ANY_ACCOUNT, &account, Some(&body)).await;
        assert!((200..300).contains(&said.status), "{said:?}");
        said.json
    };
    let made = ask("/webhooks", json!({"url": receiver.url(), "provider": "vantastatus"})).await["webhook"].clone();
    // Twelve fields, a null among them, and spaces and numbers as nobody's library writes them.
    let data = VANTA_DATA.replacen("\"failure_count\":3", "\"failure_count\" : 3", 1);
    let told = format!(
        "{{\"type\":\"endpoint.down\",\"id\":\"wh_evt_9f82a1c4d7e6\",\"timestamp\":\"2025-01-14T08:32:17Z\",\"data\":{data}}}"
    );
    for status in [202, 200] {
        let request = Request::post("/events")
            .header("authorization", &format!("Bearer {ANY_ACCOUNT}"))
            .header("hookward-account", "acc_vanta_prod_001")
            .header("content-type", "application/json")
            .body(told.as_bytes());
        let said = teller.send_plain(request).await;
        assert_eq!(said.status, status, "VAN-80: {said:?}");
    }
    let list = format!("/webhooks/{}/deliveries", id(&made));
    let done = async |wanted: usize| {
        receiver.wait_for(wanted).await;
        loop {
            let all = teller.ask("GET", &list, ANY_ACCOUNT, &account, None).await.json["deliveries"].clone();
            let all = all.as_array().expect("a list").clone();
            if all.len() == wanted && all.iter().all(|delivery| delivery["status"] == "success") {
                return all;
            }
            tokio::task::yield_now().await;
        }
    };
    let first = done(1).await[0].clone();
    teller.pass(3600);
    ask(&format!("{list}/{}/resend", id(&first)), json!({})).await;
    done(2).await;
    ask("/events/wh_evt_9f82a1c4d7e6/replay", json!({})).await;
    done(3).await;
    let wanted = format!(
        "{{\"id\":\"wh_evt_9f82a1c4d7e6\",\"event\":\"endpoint.down\",\"timestamp\":\"2025-01-14T08:32:17.000Z\",\"webhook_id\":\"{}\",\"account_id\":\"acc_vanta_prod_001\",\"data\":{data}}}",
        id(&made)
    );
    let secret = made["secret"].as_str().expect("a secret");
    for (arrived, moment) in receiver.arrived().iter().zip([NOW, NOW + 3600, NOW + 3600]) {
        assert_eq!(text(arrived), wanted, "VAN-30, VAN-32, VAN-33, VAN-34, VAN-41, VAN-80, VAN-83");
        assert_eq!(arrived.header("x-vantastatus-signature"), tag(secret, &wanted), "VAN-60");
        assert_eq!(arrived.header("x-vantastatus-timestamp"), moment.to_string(), "VAN-57");
        assert_eq!(arrived.header("x-vantastatus-webhook-id"), id(&made), "VAN-54");
    }
    let body: Value = serde_json::from_str(&wanted).expect("JSON");
    let fields = body["data"].as_object().expect("an object");
    assert_eq!((fields.len(), &fields["last_response_time_ms"]), (12, &Value::Null), "VAN-33, VAN-34");
    let other = json!({"type": "endpoint.down", "id": "wh_evt_9f82a1c4d7e6", "data": {}});
    let said = teller.ask("POST", "/events", ANY_ACCOUNT, &account, Some(&other)).await;
    said.refuses(409, "duplicate_conflict");
    assert_eq!(receiver.arrived().len(), 3, "VAN-41: one id is one payload");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_webhook_gets_the_events_that_it_asked_for_with_its_own_headers() {
    // Only what the provider has may be told.
    let teller = Teller::start("strict_event_types = true\nprovider = \"vantastatus\"").await;
    let (all, jira) = (Upstream::start().await, Upstream::start().await);
    let headers = json!({"Content-Type": "application/json", "X-Team": "ops"});
    let every = teller.register(&all.url(), json!({ "headers": headers })).await;
    let down = teller.register(&format!("{}/create", jira.url()), json!({"events": ["endpoint.down"]})).await;
    let up = teller.register(&format!("{}/done", jira.url()), json!({"events": ["endpoint.up"]})).await;
    for (told, (number, kind)) in (1..).zip(TYPES) {
        teller.pass(1);
        let data =
            if kind == "endpoint.down" { serde_json::from_str(VANTA_DATA).expect("JSON") } else { json!({"of": kind}) };
        let event = teller.publish(kind, data.clone()).await;
        let wanted = 1 + usize::from(kind == "endpoint.down") + usize::from(kind == "endpoint.up");
        assert_eq!(event["webhook_ids"].as_array().map(Vec::len), Some(wanted), "VAN-02, VAN-93: {kind}");
        teller.reach(id(&every), "success", told).await;
        let arrived = all.arrived().pop().expect("one");
        let body: Value = serde_json::from_slice(&arrived.body).expect("JSON");
        assert_eq!((&body["event"], &body["data"]), (&json!(kind), &data), "VAN-01, VAN-31, {number}");
        assert_eq!(arrived.header("x-vantastatus-event"), kind, "VAN-52, {number}");
        assert_eq!(arrived.header("x-team"), "ops", "VAN-02, VAN-05");
        assert_eq!(arrived.header("content-type"), "application/json", "VAN-05, VAN-50");
    }
    let unknown = teller.post("/events", &json!({"type": "endpoint.gone", "data": {}})).await;
    assert_eq!(unknown.refuses(422, "validation").pointer(), "/type");
    for webhook in [&down, &up] {
        teller.reach(id(webhook), "success", 1).await;
    }
    let mut asked: Vec<(String, String)> = jira
        .arrived()
        .iter()
        .map(|arrived| (arrived.target.clone(), arrived.header("x-vantastatus-event").to_owned()))
        .collect();
    asked.sort_unstable();
    let wanted = [("/create", "endpoint.down"), ("/done", "endpoint.up")];
    assert_eq!(asked, wanted.map(|(path, kind)| (path.to_owned(), kind.to_owned())), "VAN-93");

    let path = format!("/webhooks/{}", id(&down));
    for header in ["X-VantaStatus-Signature", "X-VantaStatus-Event", "X-VantaStatus-Timestamp"] {
        let mut headers = json!({});
        headers[header] = json!("forged");
        teller.patch(&path, &json!({ "headers": headers })).await.answers(200);
        teller.pass(1);
        let before = jira.arrived().len();
        go_down(&teller).await;
        jira.wait_for(before + 1).await;
        let arrived = jira.arrived().pop().expect("one");
        assert_ne!(arrived.header(header), "forged", "VAN-05: an owner's header replaces none of ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_urls_of_their_own_and_the_accounts_retry_and_timeout() {
    let teller = Teller::start("").await;
    let group = async |name: &str, more: Value| {
        let mut input = json!({"name": name, "match": {"/group": name}});
        for (key, value) in more.as_object().expect("an object") {
            input[key] = value.clone();
        }
        teller.post("/groups", &input).await.answers(201).json["group"]["id"].clone()
    };
    let production = group("production", json!({})).await;
    let staging = group("staging", json!({"retry": {"delays": ["7s"]}, "timeout": "11s"})).await;
    let (slack, jira, other) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let metadata = json!({"channel": "#prod-incidents"});
    let first =
        create(&teller, &slack.url(), json!({"group_id": production, "template": "slack", "metadata": metadata})).await;
    let second = create(&teller, &jira.url(), json!({"group_id": staging})).await;
    let own = json!({"group_id": staging, "retry": {"delays": ["3s"]}, "timeout": "12s", "events": []});
    let third = create(&teller, &other.url(), own).await;
    let in_force = async |webhook: &Value| {
        let shown = teller.get(&format!("/webhooks/{}", id(webhook))).await.json["webhook"].clone();
        (shown["retry"]["delays"].clone(), shown["timeout"].clone())
    };
    let preset = (json!(["1m", "5m", "15m", "1h"]), json!("30s"));
    assert_eq!(in_force(&first).await, preset, "VAN-21: nobody says otherwise");
    teller.put("/account", &json!({"retry": {"delays": ["2m", "2m"]}, "timeout": "9s"})).await.answers(200);
    for (webhook, delays, timeout) in
        [(&first, json!(["2m", "2m"]), "9s"), (&second, json!(["7s"]), "11s"), (&third, json!(["3s"]), "12s")]
    {
        assert_eq!(in_force(webhook).await, (delays, json!(timeout)), "VAN-21");
    }

    let told = go_down(&teller).await;
    assert_eq!(told["webhook_ids"], json!([first["id"]]), "VAN-20, VAN-22, VAN-94");
    teller.pass(1);
    let told = teller.publish("endpoint.down", json!({"group": "staging", "endpoint_name": "S"})).await;
    assert_eq!(told["webhook_ids"], json!([second["id"]]), "VAN-20, VAN-22, VAN-94");
    let told = teller.publish("endpoint.down", json!({"group": "testing"})).await;
    assert_eq!(told["webhook_ids"], json!([]), "VAN-20");
    for webhook in [&first, &second] {
        teller.reach(id(webhook), "success", 1).await;
    }
    let message: Value = serde_json::from_slice(&slack.only().body).expect("JSON");
    assert_eq!(message["channel"], "#prod-incidents", "VAN-22");
    let envelope: Value = serde_json::from_slice(&jira.only().body).expect("JSON");
    assert_eq!(envelope["data"]["group"], "staging", "VAN-22, VAN-94");
    assert!(other.arrived().is_empty());

    // What is in force is what happens.
    slack.plan([Act::Answer(500)]);
    let begun = teller.now();
    go_down(&teller).await;
    let due = at(begun - NOW + 120);
    teller.deliveries(id(&first), |all| all[0]["next_attempt_at"] == due).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_made_by_us_and_shown_once() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let made = create(&teller, &receiver.url(), json!({})).await;
    let path = format!("/webhooks/{}", id(&made));
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "VAN-61");
    let hidden = async |secret: &str| {
        teller.get(&format!("{path}/secret")).await.refuses(410, "secret_already_viewed");
        for said in [
            teller.get(&path).await,
            teller.get("/webhooks").await,
            teller.patch(&path, &json!({"description": secret.len().to_string()})).await,
            teller.post(&format!("{path}/test"), &json!({})).await,
        ] {
            said.answers(200);
            assert!(!said.reply.text().contains(secret), "VAN-61: {said:?}");
        }
    };
    hidden(&secret).await;
    let said = teller.post(&format!("{path}/rotate-secret"), &json!({})).await;
    let new = said.answers(200).json["secret"].as_str().expect("a secret").to_owned();
    assert!(new.len() == 64 && new != secret, "VAN-61, VAN-102");
    hidden(&new).await;
    go_down(&teller).await;
    teller.reach(id(&made), "success", 3).await;
    let arrived = receiver.arrived();
    for (arrived, secret) in arrived.iter().zip([&secret, &new, &new]) {
        assert_eq!(arrived.header("x-vantastatus-signature"), tag(secret, text(arrived)), "VAN-60, VAN-102");
    }
    let other = create(&teller, &receiver.url(), json!({})).await;
    assert_ne!(other["secret"], new, "VAN-61: each has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_speak_tls_from_1_2_on_with_a_certificate_that_somebody_vouches_for() {
    let (certified, lonely) = (Certified::new(), Certified::self_signed());
    let vouched = json!({"ca": certified.ca});
    let late = certified.server(&[&TLS13]);
    let mut modern = certified.server(&[&TLS12, &TLS13]);
    modern.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    for (server, name, tls, error) in [
        (certified.server(&[&TLS12]), "hooks", &vouched, None),
        (late, "hooks", &vouched, None),
        (modern, "hooks", &vouched, None),
        (certified.server(&[&TLS13]), "others", &vouched, Some("not valid for name")),
        (certified.server(&[&TLS13]), "hooks", &Value::Null, Some("UnknownIssuer")),
        (lonely.server(&[&TLS12, &TLS13]), "hooks", &Value::Null, Some("UnknownIssuer")),
        (lonely.server(&[&TLS13]), "hooks", &vouched, Some("invalid peer certificate")),
    ] {
        let receiver = Receiver::start(OK, Some(server)).await;
        let teller = Teller::with("", "[egress]\nallow = [\"127.0.0.0/8\"]", receiver.names()).await;
        let url = format!("https://{name}.example.com/in");
        let made = create(&teller, &url, json!({"tls": tls, "retry": {"delays": []}})).await;
        go_down(&teller).await;
        match error {
            None => {
                teller.reach(id(&made), "success", 1).await;
                let head = receiver.asked()[0].head.clone();
                assert_eq!(head.lines().next(), Some("POST /in HTTP/1.1"), "VAN-68, VAN-69");
            }
            Some(wanted) => {
                let log = teller.reach(id(&made), "failed", 1).await;
                let error = log[0]["error"].as_str().expect("why");
                assert!(error.contains(wanted), "VAN-68: {error}");
                assert!(receiver.asked().is_empty(), "VAN-68: nothing is said to it");
            }
        }
        let plain = json!({"url": "http://hooks.example.com/", "provider": "vantastatus"});
        teller.post("/webhooks", &plain).await.refuses(422, "address_not_allowed");
        let lax = json!({"url": url, "provider": "vantastatus", "tls": {"insecure": true}});
        teller.post("/webhooks", &lax).await.refuses(422, "validation");
    }
}

/// A server on which every connection has `answer` to what is said first, and nothing more.
async fn raw(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = [0; 4096];
                let _ = stream.read(&mut said).await;
                let _ = stream.write_all(answer).await;
                while stream.read(&mut said).await.is_ok_and(|length| length > 0) {}
            });
        }
    });
    address
}

/// A TLS 1.1 server's hello (RFC 4346, 7.4.1.3): its version, 32 bytes of chance, no session, a cipher suite.
const HELLO_1_1: &[u8] =
    b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02abcdefghijklmnopqrstuvwxyz012345\x00\xc0\x13\x00";

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_has_thirty_seconds_in_all() {
    let webhook = |timeout: &str| json!({"timeout": timeout, "retry": {"delays": []}});
    let teller = Teller::start("").await;
    let made = create(&teller, "http://127.0.0.1:9/", json!({"active": false})).await;
    assert_eq!(made["timeout"], "30s", "VAN-70");

    // An answer that never comes to the end of its head, one that never begins, and a handshake that never ends.
    let slow = Receiver::start(Answer::Dribbled("HTTP/1.1 200 OK\r\nX-Slow: "), None).await;
    let (silent, old) = (raw(b"").await, raw(HELLO_1_1).await);
    for (url, timeout, wanted) in [
        (format!("http://{}/", slow.address), "300ms", " ms"),
        (format!("http://{silent}/"), "300ms", " ms"),
        (format!("https://{silent}/"), "300ms", " ms"),
        (format!("https://{old}/"), "30s", "no tls with"),
    ] {
        let made = create(&teller, &url, webhook(timeout)).await;
        let event = json!({"type": "endpoint.down", "data": {}, "webhook_ids": [made["id"]]});
        teller.post("/events", &event).await.answers(202);
        let log = teller.reach(id(&made), "failed", 1).await;
        let error = log[0]["error"].as_str().expect("why");
        assert!(error.contains(wanted), "VAN-68, VAN-70: {url}: {error}");
        assert_eq!(log[0]["response_status"], Value::Null, "VAN-70: {url}");
    }

    // Its head counts; the rest is not waited for.
    let endless = Receiver::start(Answer::Dribbled("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), None).await;
    let made = create(&teller, &format!("http://{}/", endless.address), webhook("2s")).await;
    go_down(&teller).await;
    let delivery = teller.reach(id(&made), "success", 1).await[0].clone();
    let path = format!("/webhooks/{}/deliveries/{}", id(&made), id(&delivery));
    let attempt = teller.get(&path).await.json["delivery"]["attempts_log"][0].clone();
    assert_eq!(attempt["exchange"]["response_truncated"], true, "VAN-70");
    assert!(attempt["duration_ms"].as_u64().is_some_and(|spent| (2000..30_000).contains(&spent)), "VAN-70: {attempt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_gets_its_blocks_and_jira_the_envelope() {
    let (teller, slack, jira) = (Teller::start("").await, Upstream::start().await, Upstream::start().await);
    let headers = json!({"Content-Type": "application/json"});
    let first = create(&teller, &slack.url(), json!({"template": "slack", "headers": headers})).await;
    let second = create(&teller, &jira.url(), json!({"events": ["endpoint.down"]})).await;
    go_down(&teller).await;
    for webhook in [&first, &second] {
        teller.reach(id(webhook), "success", 1).await;
    }
    let message = slack.only();
    assert_eq!(text(&message), compact(VANTA_SLACK), "VAN-90");
    assert_eq!(message.header("content-type"), "application/json", "VAN-91");
    let secret = first["secret"].as_str().expect("a secret");
    assert_eq!(message.header("x-vantastatus-signature"), tag(secret, text(&message)), "VAN-90");
    let envelope: Value = serde_json::from_slice(&jira.only().body).expect("JSON");
    let data = &envelope["data"];
    let value = |name: &str| data[name].as_str().expect("text").to_owned();
    let summary = format!("{} — {}", value("endpoint_name"), value("current_status"));
    assert_eq!((summary.as_str(), value("group").as_str()), ("MSK-API-PROD — down", "production"), "VAN-92");
    assert_eq!(value("url"), "https://api.example.ru/v2/health", "VAN-92");
    assert_eq!((&data["failure_count"], &data["last_response_code"]), (&json!(3), &json!(502)), "VAN-92");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_looked_at_tried_out_and_switched_off_and_on() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let made = create(&teller, &receiver.url(), json!({})).await;
    let path = format!("/webhooks/{}", id(&made));
    let said = teller.post(&format!("{path}/test"), &json!({"event_type": "endpoint.down"})).await;
    assert_eq!(said.answers(200).json["success"], true, "VAN-101");
    let body: Value = serde_json::from_slice(&receiver.only().body).expect("JSON");
    assert_eq!(body["data"], serde_json::from_str::<Value>(VANTA_DATA).expect("JSON"), "VAN-101: the sample event");
    assert_eq!(receiver.only().header("x-vantastatus-event"), "endpoint.down", "VAN-101");

    receiver.plan([Act::Answer(500)]);
    teller.pass(1);
    go_down(&teller).await;
    let delivery = teller.reach(id(&made), "retrying", 1).await[0].clone();
    teller.pass(60);
    teller.reach(id(&made), "success", 2).await;
    let shown = teller.get(&format!("{path}/deliveries/{}", id(&delivery))).await;
    let log = shown.json["delivery"]["attempts_log"].as_array().expect("a list").clone();
    let statuses: Vec<&Value> = log.iter().map(|attempt| &attempt["response_status"]).collect();
    let moments: Vec<&Value> = log.iter().map(|attempt| &attempt["started_at"]).collect();
    assert_eq!((statuses, moments), (vec![&json!(500), &json!(200)], vec![&json!(at(1)), &json!(at(61))]), "VAN-100");
    assert_eq!(shown.json["delivery"]["body"], text(&receiver.arrived()[2]), "VAN-100");

    let off = teller.post(&format!("{path}/disable"), &json!({})).await;
    assert_eq!(off.answers(200).json["webhook"]["status"], "inactive", "VAN-103");
    let told = go_down(&teller).await;
    assert_eq!(told["suppressed"], json!([{"webhook_id": made["id"], "reason": "disabled"}]), "VAN-103");
    let on = teller.post(&format!("{path}/enable"), &json!({})).await;
    let on = &on.answers(200).json["webhook"];
    assert_eq!(
        (&on["status"], &on["url"], &on["events"]),
        (&json!("active"), &made["url"], &made["events"]),
        "VAN-103"
    );
    teller.pass(1);
    go_down(&teller).await;
    teller.reach(id(&made), "success", 3).await;
    assert_eq!(receiver.arrived().len(), 4, "VAN-103: what was told meanwhile is not sent later");
    let last = receiver.arrived().pop().expect("one");
    let secret = made["secret"].as_str().expect("a secret");
    assert_eq!(
        last.header("x-vantastatus-signature"),
        tag(secret, text(&last)),
        "VAN-103: it has the secret that it had"
    );
}
