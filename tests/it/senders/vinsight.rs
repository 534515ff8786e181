//! Vinsight: webhooks for one event of one entity, a secret for the organisation, the bare entity as the body.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::telling::{ADMIN, ANY_ACCOUNT, Said, Teller};
use crate::support::upstream::{Act, Arrived};
use crate::support::{Gateway, NOW, Request, Upstream, signed_with};

const MANAGE: &str = "manage-token-0123456789";

/// An address that may be delivered to and where nobody is.
const NOWHERE: &str = "http://127.0.0.1:9/hook";

/// The documentation's own example.
const SECRET: &str = "584af7dfa7f130fa3dbe15f5a805bae4";
const BODY: &str = r#"{"test":"json"}"#;
const PUBLISHED: &str = "33ed67a6f675f2dc414c8933657c50c105a6b816108e7a4fed763dc917b9ba06";
/// What comes of it by the documentation's prose.
const BY_PROSE: &str = "07d51dcea20ab37ccccb335e5f1373f3a2f74ef246fe9d4878b1b2d490481235";

/// A webhook that is good, but for `changes`; null takes a field away.
fn input(changes: Value) -> Value {
    let mut input = json!({
        "EntityType": "Contact", "EventType": "Created", "Url": NOWHERE, "ContentType": "json", "IsEnabled": true,
    });
    let fields = input.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    input
}

/// Registers one; its id.
async fn made(teller: &Teller, changes: Value) -> String {
    let said = teller.post("/Webhooks", &input(changes)).await;
    said.answers(201).json["WebhookID"].as_str().expect("an id").to_owned()
}

async fn secret(teller: &Teller) -> String {
    teller.get("/Webhooks/Secret.json").await.answers(200).json["Secret"].as_str().expect("a secret").to_owned()
}

/// HMAC-SHA256 in hex.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length").chain_update(message);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// With its id, as it is answered.
fn shown(id: &str, changes: Value) -> Value {
    let mut shown = input(changes);
    shown["WebhookID"] = json!(id);
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_made_changed_and_removed_at_its_paths() {
    let teller = Teller::start("").await;
    let said = teller.post("/Webhooks", &input(json!({}))).await;
    let id = said.answers(201).json["WebhookID"].as_str().expect("VIN-05: an id").to_owned();
    assert_eq!(said.json, shown(&id, json!({})), "VIN-02, VIN-05");
    let path = format!("/Webhooks/{id}");
    let other = json!({"EntityType": "SALES_order", "EventType": "Updated", "ContentType": "application/json"});
    let now = json!({"EntityType": "SALES_order", "EventType": "Updated"});
    for (number, method, body, wanted, events) in [
        ("VIN-05", "GET", None, json!({}), "contact.created"),
        ("VIN-06", "PUT", Some(other), now.clone(), "sales_order.updated"),
        ("VIN-06", "GET", None, now, "sales_order.updated"),
        (
            "VIN-06",
            "PUT",
            Some(json!({"Url": "http://127.0.0.1:9/b"})),
            json!({"Url": "http://127.0.0.1:9/b"}),
            "contact.created",
        ),
        ("VIN-22", "PUT", Some(json!({"IsEnabled": false})), json!({"IsEnabled": false}), "contact.created"),
        ("VIN-22", "GET", None, json!({"IsEnabled": false}), "contact.created"),
    ] {
        let said = teller.ask(method, &path, ADMIN, &[], body.map(input).as_ref()).await;
        assert_eq!(said.answers(200).json, shown(&id, wanted), "{number} {method}");
        let listed = teller.get("/Webhooks").await.answers(200).json.clone();
        assert_eq!(listed, json!({ "Webhooks": [said.json] }), "{number} {method}");
        let webhook = &teller.get(&format!("/webhooks/{id}")).await.json["webhook"];
        assert_eq!((&webhook["provider"], &webhook["events"]), (&json!("vinsight"), &json!([events])), "VIN-03");
    }
    let gone = teller.delete(&format!("/v1{path}")).await;
    assert_eq!(gone.answers(200).json["WebhookID"], json!(id), "VIN-07");
    teller.delete(&path).await.refuses(404, "not_found");
    teller.put(&path, &input(json!({}))).await.refuses(404, "not_found");
    assert_eq!(teller.get("/v1/Webhooks").await.json, json!({"Webhooks": []}), "VIN-07");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_fields_must_be_there_and_be_right() {
    let teller = Teller::start("").await;
    let path = format!("/Webhooks/{}", made(&teller, json!({})).await);
    for (number, changes, pointers) in [
        ("VIN-02", json!({"EntityType": null}), &["/EntityType"][..]),
        ("VIN-02", json!({"EventType": null}), &["/EventType"]),
        ("VIN-02", json!({"Url": null}), &["/Url"]),
        ("VIN-02", json!({"ContentType": null}), &["/ContentType"]),
        ("VIN-02", json!({"IsEnabled": null}), &["/IsEnabled"]),
        ("VIN-02", json!({"Url": null, "IsEnabled": null}), &["/Url", "/IsEnabled"]),
        ("VIN-02", json!({"EntityType": ""}), &["/EntityType"]),
        ("VIN-02", json!({"Url": ""}), &["/Url"]),
        ("VIN-02", json!({"Url": "no address"}), &["/Url"]),
        ("VIN-02", json!({"ContentType": "xml"}), &["/ContentType"]),
        ("VIN-02", json!({"IsEnabled": "true"}), &["/IsEnabled"]),
        ("VIN-02", json!({"isEnabled": true}), &["/isEnabled"]),
        ("VIN-03", json!({"EntityType": "Sales Order"}), &["/EntityType"]),
        ("VIN-03", json!({"EntityType": "Contact.Address"}), &["/EntityType"]),
        ("VIN-03", json!({"EntityType": "x".repeat(64)}), &["/EntityType"]),
        ("VIN-03", json!({"EventType": "*"}), &["/EventType"]),
        ("VIN-03", json!({"EventType": ["Created", "Updated"]}), &["/EventType"]),
    ] {
        for said in
            [teller.post("/Webhooks", &input(changes.clone())).await, teller.put(&path, &input(changes.clone())).await]
        {
            let errors = said.refuses(422, "validation").json["errors"].as_array().expect("a list").clone();
            let named: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().expect("a pointer")).collect();
            assert_eq!(named, pointers, "{number} {changes}");
        }
    }
    let said = teller.post("/Webhooks", &input(json!({"ContentType": "xml"}))).await;
    let detail = said.json["detail"].as_str().expect("a detail");
    assert!(detail.contains("`json`") && detail.contains("`application/json`"), "it says what goes: {detail}");
    let said = teller.post("/Webhooks", &json!({})).await;
    assert_eq!(
        said.json["detail"],
        "it lacks EntityType, EventType, Url, ContentType, IsEnabled: all five fields must be there"
    );
    let said = teller.post("/Webhooks", &input(json!({"Url": "http://10.0.0.1/"}))).await;
    assert_eq!(said.refuses(422, "address_not_allowed").pointer(), "/Url");
    let longest = "x".repeat(63);
    made(&teller, json!({"EntityType": longest, "EventType": longest})).await;
    let all = teller.get("/Webhooks").await.json["Webhooks"].as_array().expect("a list").len();
    assert_eq!(all, 2, "what was refused is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_paths_are_not_those_of_other_webhooks() {
    let teller = Teller::start("").await;
    let plain = json!({ "url": NOWHERE });
    assert_eq!(teller.post("/webhooks", &input(json!({}))).await.refuses(422, "validation").status, 422, "VIN-08");
    teller.post("/Webhooks", &plain).await.refuses(422, "validation");
    teller.get("/WEBHOOKS").await.refuses(404, "not_found");
    teller.put("/Webhooks/Secret.json", &input(json!({}))).await.refuses(405, "method_not_allowed");
    for (why, rest) in [
        ("another provider's", json!({"events": ["contact.created"]})),
        ("every event", json!({"provider": "vinsight"})),
        ("none", json!({"provider": "vinsight", "events": []})),
        ("two", json!({"provider": "vinsight", "events": ["contact.created", "contact.updated"]})),
        ("a pattern", json!({"provider": "vinsight", "events": ["contact.*"]})),
        ("no pair", json!({"provider": "vinsight", "events": ["contact"]})),
        ("three parts", json!({"provider": "vinsight", "events": ["contact.address.created"]})),
        ("it would be written otherwise", json!({"provider": "vinsight", "events": ["Contact.created"]})),
    ] {
        let webhook = teller.register(NOWHERE, rest).await;
        let path = format!("/Webhooks/{}", webhook["id"].as_str().expect("an id"));
        for said in [teller.get(&path).await, teller.put(&path, &input(json!({}))).await, teller.delete(&path).await] {
            assert_eq!(said.refuses(404, "not_found").status, 404, "VIN-08 {why}");
        }
    }
    assert_eq!(teller.get("/Webhooks").await.json, json!({"Webhooks": []}), "VIN-08");
    assert_eq!(teller.get("/webhooks").await.json["total"], 8, "VIN-08: nothing became of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_elsewhere_stays_and_is_shown_as_it_is() {
    let teller = Teller::start("").await;
    let id = made(&teller, json!({})).await;
    let (ours, theirs) = (format!("/webhooks/{id}"), format!("/Webhooks/{id}"));
    let rest = json!({"description": "for the CRM", "metadata": {"team": "a"}, "retry": {"delays": ["1m"]}});
    teller.patch(&ours, &rest).await.answers(200);
    teller.put(&theirs, &input(json!({"EventType": "deleted"}))).await.answers(200);
    let webhook = &teller.get(&ours).await.json["webhook"];
    assert_eq!((&webhook["description"], &webhook["retry"]["delays"]), (&json!("for the CRM"), &json!(["1m"])));
    assert_eq!(webhook["metadata"], json!({"team": "a", "EntityType": "Contact", "EventType": "deleted"}));
    // Who writes other events beside the names that were given is shown those events.
    teller.patch(&ours, &json!({"events": ["contact.updated"]})).await.answers(200);
    assert_eq!(teller.get(&theirs).await.json, shown(&id, json!({"EventType": "updated"})));
    teller.post(&format!("{ours}/disable"), &json!({})).await.answers(200);
    assert_eq!(teller.get(&theirs).await.json["IsEnabled"], false, "VIN-22");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_switched_off_for_failing_is_switched_on_by_a_put() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let url = json!({"Url": receiver.url()});
    let webhook = made(&teller, url.clone()).await;
    let path = format!("/Webhooks/{webhook}");
    receiver.plan([Act::Answer(500), Act::Answer(410)]);
    teller.publish("contact.created", json!({})).await;
    teller.reach(&webhook, "retrying", 1).await;
    teller.publish("contact.created", json!({})).await;
    // What waits is cancelled in consequence.
    teller.reach(&webhook, "cancelled", 1).await;
    assert_eq!(teller.get(&path).await.json["IsEnabled"], false);
    let off = teller.put(&path, &input(json!({"Url": receiver.url(), "IsEnabled": false}))).await;
    assert_eq!(off.answers(200).json["IsEnabled"], false);
    assert_eq!(teller.put(&path, &input(url)).await.answers(200).json["IsEnabled"], true);
    teller.publish("contact.created", json!({})).await;
    teller.reach(&webhook, "success", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_webhook_and_roles_hold() {
    let teller = Teller::start("").await;
    let key = [("idempotency-key", "k")];
    let post = async |path: &str, body: Value| teller.ask("POST", path, ADMIN, &key, Some(&body)).await;
    let first = post("/Webhooks", input(json!({}))).await;
    let again = post("/v1/Webhooks", input(json!({}))).await;
    assert_eq!(
        (again.answers(201).json.clone(), again.reply.header("idempotent-replayed")),
        (first.json.clone(), Some("true"))
    );
    post("/Webhooks", input(json!({"EventType": "Deleted"}))).await.refuses(409, "idempotency_conflict");
    post("/webhooks", json!({ "url": NOWHERE })).await.answers(201);

    let path = format!("/Webhooks/{}", first.json["WebhookID"].as_str().expect("an id"));
    let whole = input(json!({}));
    for (method, path, body, roles) in [
        ("GET", "/Webhooks", None, [true, false, true]),
        ("GET", &path, None, [true, false, true]),
        ("GET", "/Webhooks/Secret.json", None, [true, false, false]),
        ("POST", "/Webhooks", Some(&whole), [true, false, false]),
        ("PUT", &path, Some(&whole), [true, false, false]),
        ("DELETE", &path, None, [true, false, false]),
    ] {
        // Whoever may do it comes last: afterwards there may be nothing to do it to.
        let tokens = [MANAGE, "publish-token-0123456789", "read-token-0123456789"];
        for (token, may) in tokens.into_iter().zip(roles).rev() {
            let said = teller.ask(method, path, token, &[], body).await;
            match may {
                true => assert!((200..300).contains(&said.status), "{method} {path}: {said:?}"),
                false => _ = said.refuses(403, "forbidden"),
            }
        }
        teller.ask(method, path, "nobody-token-0123456789", &[], body).await.refuses(401, "unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_has_one_secret() {
    let teller = Teller::start("").await;
    let of = async |account: &str| {
        let said =
            teller.ask("GET", "/Webhooks/Secret.json", ANY_ACCOUNT, &[("hookward-account", account)], None).await;
        assert_eq!(said.answers(200).json.as_object().expect("an object").len(), 1, "VIN-09");
        said.json["Secret"].as_str().expect("a secret").to_owned()
    };
    let before = of("default").await;
    assert!(before.len() == 32 && before.bytes().all(|byte| byte.is_ascii_hexdigit()), "VIN-09: {before}");
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    for receiver in [&one, &other] {
        made(&teller, json!({"Url": receiver.url()})).await;
        assert_eq!(of("default").await, before, "VIN-09: at any time");
    }
    teller.publish("contact.created", json!({"ContactID": 1})).await;
    for receiver in [&one, &other] {
        receiver.wait_for(1).await;
        let wanted = hmac(br#"{"ContactID":1}"#, before.as_bytes());
        assert_eq!(receiver.only().header("x-signature"), wanted, "VIN-10: one secret for both");
    }
    assert_ne!(of("acme").await, before, "VIN-10: another organisation has another one");

    let rotate = async |token: &str| {
        let body = json!({"overlap_seconds": 0});
        teller.ask("POST", "/account/secrets/vinsight/rotate", token, &[], Some(&body)).await
    };
    rotate(MANAGE).await.refuses(403, "forbidden");
    assert_eq!(of("default").await, before, "VIN-19: only who runs it issues another one");
    let new = rotate(ADMIN).await.answers(200).json["secret"].clone();
    assert!(new != json!(before) && json!(of("default").await) == new, "VIN-19");
    teller.publish("contact.created", json!({"ContactID": 2})).await;
    for receiver in [&one, &other] {
        receiver.wait_for(2).await;
        let wanted = hmac(br#"{"ContactID":2}"#, new.as_str().expect("a secret").as_bytes());
        assert_eq!(receiver.arrived()[1].header("x-signature"), wanted, "VIN-19: for all of its webhooks");
    }
}

/// True if a gateway takes it as Vinsight's.
async fn is_genuine(secret: &str, arrived: &Arrived) -> bool {
    let gateway = Gateway::start("vinsight", &format!("secrets = [{{ literal = \"{secret}\" }}]")).await;
    let request = Request::post("/in").header("x-signature", arrived.header("x-signature")).body(&arrived.body);
    gateway.send(request).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_arrives_bare_and_signed() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = made(&teller, json!({"Url": receiver.url()})).await;
    let secret = secret(&teller).await;
    for kind in ["contact.updated", "contacts.created", "order.created"] {
        let told = teller.publish(kind, json!({})).await;
        assert_eq!(told["webhook_ids"], json!([]), "VIN-03: {kind} is not its pair");
    }
    // Written as no library writes it, and sent so.
    let contact = "{ \"ContactID\":17,  \"Name\" : \"Zo\\u00eb\", \"Balance\": 1.50, \"Tags\":[ ] }";
    let event = format!("{{\"type\": \"contact.created\", \"data\": {contact}}}");
    let request = Request::post("/events").header("content-type", "application/json").body(event.as_bytes());
    receiver.plan([Act::Answer(500), Act::Answer(200)]);
    teller.send(request).await.answers(202);
    let failed = teller.reach(&webhook, "retrying", 1).await;
    assert_eq!(receiver.arrived().len(), 1, "VIN-01: once something has happened, and not before");
    let resend = format!("/webhooks/{webhook}/deliveries/{}/resend", failed[0]["id"].as_str().expect("an id"));
    teller.post(&resend, &json!({})).await.answers(202);
    teller.reach(&webhook, "success", 1).await;
    let tried = teller.post(&format!("/webhooks/{webhook}/test"), &json!({})).await;
    assert_eq!(tried.answers(200).json["success"], true);
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 3);
    for one in &arrived {
        let (signature, body) = (one.header("x-signature"), &one.body);
        assert_eq!(signature, hmac(body, secret.as_bytes()), "VIN-11, VIN-12, VIN-13: {body:?}");
        assert!(is_genuine(&secret, one).await, "VIN-11");
        assert!(!is_genuine(SECRET, one).await, "VIN-10");
    }
    for one in &arrived[..2] {
        assert_eq!(one.body, contact, "VIN-04: byte for byte, without an envelope");
        assert_eq!((one.method.as_str(), one.header("content-type")), ("POST", "application/json"), "VIN-04");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_example_comes_out_as_it_is_published() {
    for (number, provider, key, message, wanted) in
        [("VIN-14, VIN-15", "vinsight", BODY, SECRET, PUBLISHED), ("VIN-15", "vinsight-prose", SECRET, BODY, BY_PROSE)]
    {
        assert_eq!(hmac(key.as_bytes(), message.as_bytes()), wanted, "{number}");
        assert_eq!(signed_with(SECRET, provider, "", BODY, NOW).value("x-signature"), wanted, "{number}");
    }
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let rotation = json!({"secret": SECRET, "overlap_seconds": 0});
    teller.post("/account/secrets/vinsight/rotate", &rotation).await.answers(200);
    made(&teller, json!({"Url": receiver.url(), "EntityType": "Test", "EventType": "Json"})).await;
    teller.publish("test.json", json!({"test": "json"})).await;
    receiver.wait_for(1).await;
    let arrived = receiver.only();
    assert_eq!((&arrived.body[..], arrived.header("x-signature")), (BODY.as_bytes(), PUBLISHED), "VIN-13, VIN-14");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_one_is_not_enabled_never_arrives() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let (url, off) = (json!({"Url": receiver.url()}), json!({"Url": receiver.url(), "IsEnabled": false}));
    let webhook = made(&teller, off.clone()).await;
    let path = format!("/Webhooks/{webhook}");
    let publish = async |number: u32| teller.publish("contact.created", json!({ "ContactID": number })).await;
    let told = publish(1).await;
    assert_eq!(told["webhook_ids"], json!([]), "VIN-22");
    teller.put(&path, &input(url.clone())).await.answers(200);
    receiver.plan([Act::Answer(500)]);
    publish(2).await;
    teller.reach(&webhook, "retrying", 1).await;
    teller.put(&path, &input(off)).await.answers(200);
    teller.reach(&webhook, "cancelled", 1).await;
    publish(3).await;
    teller.put(&path, &input(url)).await.answers(200);
    teller.pass(7 * 86_400);
    publish(4).await;
    teller.reach(&webhook, "success", 1).await;
    let bodies: Vec<_> = receiver.arrived().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [r#"{"ContactID":2}"#, r#"{"ContactID":4}"#], "VIN-22: also not later");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_kept_for_thirty_days() {
    const KEPT: i64 = 30 * 86_400;
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = made(&teller, json!({"Url": receiver.url()})).await;
    for number in [1, 2] {
        teller.publish("contact.created", json!({ "ContactID": number })).await;
        teller.reach(&webhook, "success", number).await;
        teller.pass(60);
    }
    let log =
        async |teller: &Teller, id: &str| -> Said { teller.get(&format!("/webhooks/{webhook}/deliveries/{id}")).await };
    let kept = teller.deliveries(&webhook, |all| all.len() == 2).await;
    let ids: Vec<_> = kept.iter().rev().map(|one| one["id"].as_str().expect("an id")).collect();
    for (id, arrived) in ids.iter().zip(receiver.arrived()) {
        let said = log(&teller, id).await;
        let delivery = &said.answers(200).json["delivery"];
        assert_eq!(delivery["body"], String::from_utf8_lossy(&arrived.body).as_ref(), "VIN-18: its body");
        let lines = delivery["attempts_log"][0]["exchange"]["request_headers"].as_array().expect("a list");
        for name in ["x-signature", "content-type"] {
            assert!(lines.contains(&json!([name, arrived.header(name)])), "VIN-18: {name} in {lines:?}");
        }
    }
    // Whatever is over goes when it starts: the first is older than thirty days by then, the second is not.
    teller.pass(KEPT - 90);
    let teller = teller.restart("").await.expect("it starts");
    teller.deliveries(&webhook, |all| all.len() == 1).await;
    log(&teller, ids[0]).await.refuses(404, "not_found");
    assert_eq!(log(&teller, ids[1]).await.answers(200).json["delivery"]["body"], r#"{"ContactID":2}"#, "VIN-18");
    teller.pass(60);
    let teller = teller.restart("").await.expect("it starts");
    teller.deliveries(&webhook, <[Value]>::is_empty).await;
    log(&teller, ids[1]).await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_not_promise_is_as_for_everyone() {
    let teller = Teller::start("").await;
    let id = made(&teller, json!({})).await;
    let own = teller.get(&format!("/webhooks/{id}")).await.json["webhook"].clone();
    let standard = teller.register(NOWHERE, json!({})).await;
    for key in ["retry", "timeout", "success", "disable_after", "max_in_flight"] {
        assert_eq!(own[key], standard[key], "VIN-23: {key}");
    }
    let delays = json!(["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "1d"]);
    assert_eq!(
        (&own["retry"]["delays"], &own["timeout"], &own["success"]),
        (&delays, &json!("15s"), &json!([])),
        "VIN-23"
    );
}
