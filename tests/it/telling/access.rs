//! Who may ask for what: roles, and accounts that know nothing of each other.

use serde_json::{Value, json};

use super::{NOWHERE, id};
use crate::support::telling::{ADMIN, ANY_ACCOUNT, Teller};
use crate::support::{Request, Upstream};

/// The tokens, and what each may: look, publish, change, decide.
const ROLES: [(&str, [bool; 4]); 4] = [
    (ADMIN, [true; 4]),
    ("manage-token-0123456789", [true, true, true, false]),
    ("publish-token-0123456789", [false, true, false, false]),
    ("read-token-0123456789", [true, false, false, false]),
];

const LOOK: usize = 0;
const PUBLISH: usize = 1;
const CHANGE: usize = 2;
const DECIDE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_is_for_and_nothing_else() {
    let teller = Teller::start("").await;
    for (token, may) in ROLES {
        let webhook = teller.register(NOWHERE, json!({})).await;
        let event = teller.publish("a", json!({})).await;
        let group =
            teller.post("/groups", &json!({"name": format!("g{}", token.len())})).await.json["group"]["id"].clone();
        let (webhook, event) = (format!("/webhooks/{}", id(&webhook)), format!("/events/{}", id(&event)));
        let group = format!("/groups/{}", group.as_str().expect("an id"));
        let deliveries = teller.get(&format!("{webhook}/deliveries")).await.json;
        let delivery = format!("{webhook}/deliveries/{}", id(&deliveries["deliveries"][0]));
        let input = json!({ "url": NOWHERE });
        let kind = json!({"name": "k"});
        for (method, path, body, what) in [
            ("GET", "/webhooks".to_owned(), None, LOOK),
            ("GET", webhook.clone(), None, LOOK),
            ("GET", format!("{webhook}/deliveries"), None, LOOK),
            ("GET", delivery.clone(), None, LOOK),
            ("GET", "/events".into(), None, LOOK),
            ("GET", event.clone(), None, LOOK),
            ("GET", "/event-types".into(), None, LOOK),
            ("GET", "/groups".into(), None, LOOK),
            ("GET", group.clone(), None, LOOK),
            ("GET", "/account".into(), None, LOOK),
            ("GET", "/meta".into(), None, LOOK),
            ("POST", "/events".into(), Some(json!({"type": "a", "data": 1})), PUBLISH),
            ("POST", "/events/batch".into(), Some(json!({"events": [{"type": "a", "data": 1}]})), PUBLISH),
            ("POST", "/webhooks".into(), Some(input.clone()), CHANGE),
            ("PUT", webhook.clone(), Some(input.clone()), CHANGE),
            ("PATCH", webhook.clone(), Some(json!({})), CHANGE),
            ("POST", format!("{webhook}/disable"), None, CHANGE),
            ("POST", format!("{webhook}/enable"), None, CHANGE),
            ("POST", format!("{webhook}/rotate-secret"), Some(json!({})), CHANGE),
            ("POST", format!("{webhook}/test"), Some(json!({})), CHANGE),
            ("POST", format!("{webhook}/recover"), Some(json!({"since": "2025-01-01T00:00:00Z"})), CHANGE),
            ("POST", format!("{delivery}/resend"), None, CHANGE),
            ("POST", format!("{event}/replay"), Some(json!({})), CHANGE),
            ("POST", "/event-types".into(), Some(kind.clone()), CHANGE),
            ("PUT", "/event-types/k".into(), Some(kind.clone()), CHANGE),
            ("DELETE", "/event-types/k".into(), None, CHANGE),
            ("POST", "/groups".into(), Some(json!({"name": "h"})), CHANGE),
            ("PUT", group.clone(), Some(json!({"name": "i"})), CHANGE),
            ("DELETE", group.clone(), None, CHANGE),
            ("DELETE", webhook.clone(), None, CHANGE),
            ("PUT", "/account".into(), Some(json!({})), DECIDE),
        ] {
            let said = teller.ask(method, &path, token, &[], body.as_ref()).await;
            if may[what] {
                assert!(!["forbidden", "unauthorized"].contains(&said.code()), "{token} {method} {path}: {said:?}");
                assert!(said.status < 500 && said.status != 404, "{token} {method} {path}: {said:?}");
            } else {
                said.refuses(403, "forbidden");
            }
            let stranger = teller.ask(method, &path, "nobody-token-0123456789", &[], body.as_ref()).await;
            stranger.refuses(401, "unauthorized");
            assert_eq!(stranger.reply.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_bearer_token_lets_in() {
    let teller = Teller::start("").await;
    let ask = || Request::post("/webhooks").method("GET");
    let bearer = format!("Bearer {ADMIN}");
    for request in [
        ask(),
        ask().header("authorization", ADMIN),
        ask().header("authorization", &format!("Basic {ADMIN}")),
        ask().header("authorization", "Bearer "),
        ask().header("authorization", &format!("{bearer}x")),
        ask().header("authorization", &bearer).header("authorization", &bearer),
        ask().target(&format!("/webhooks?token={ADMIN}")),
    ] {
        teller.send_plain(request).await.refuses(401, "unauthorized");
    }
    teller.send_plain(ask().header("Authorization", &format!("bearer {ADMIN}"))).await.answers(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_know_nothing_of_each_other() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let acme = &[("hookward-account", "acme")];
    let theirs = teller
        .ask("POST", "/webhooks", ANY_ACCOUNT, acme, Some(&json!({"url": format!("{}/acme", receiver.url())})))
        .await;
    let theirs = theirs.answers(201).json["webhook"].clone();
    assert_eq!(theirs["account_id"], "acme");
    let own = teller.register(&format!("{}/own", receiver.url()), json!({})).await;
    let event = json!({"type": "a", "data": {}, "id": "same-id"});
    let published = teller.ask("POST", "/events", ANY_ACCOUNT, acme, Some(&event)).await;
    assert_eq!(published.answers(202).json["event"]["webhook_ids"], json!([theirs["id"]]));
    receiver.wait_for(1).await;
    assert_eq!(receiver.only().target, "/acme");

    teller.get("/events/same-id").await.refuses(404, "not_found");
    for list in ["/events", "/groups", "/event-types"] {
        assert_eq!(teller.get(list).await.answers(200).json["total"], 0, "{list}");
    }
    let listed = teller.get("/webhooks").await.json;
    assert_eq!((&listed["total"], &listed["webhooks"][0]["id"]), (&json!(1), &own["id"]));
    let listed = teller.ask("GET", "/webhooks", ANY_ACCOUNT, acme, None).await.json;
    assert_eq!((&listed["total"], &listed["webhooks"][0]["id"]), (&json!(1), &theirs["id"]));

    let log = teller.ask("GET", &format!("/webhooks/{}/deliveries", id(&theirs)), ANY_ACCOUNT, acme, None).await;
    let delivery = id(&log.answers(200).json["deliveries"][0]).to_owned();
    let at = format!("/webhooks/{}", id(&theirs));
    let input = json!({ "url": NOWHERE });
    for (method, path, body) in [
        ("GET", at.clone(), None),
        ("GET", format!("{at}/secret"), None),
        ("GET", format!("{at}/deliveries"), None),
        ("GET", format!("{at}/deliveries/{delivery}"), None),
        ("GET", format!("/webhooks/{}/deliveries/{delivery}", id(&own)), None),
        ("POST", format!("/webhooks/{}/deliveries/{delivery}/resend", id(&own)), None),
        ("POST", format!("{at}/deliveries/{delivery}/resend"), None),
        ("POST", format!("{at}/enable"), None),
        ("POST", format!("{at}/disable"), None),
        ("POST", format!("{at}/test"), None),
        ("POST", format!("{at}/rotate-secret"), None),
        ("POST", format!("{at}/recover"), Some(json!({"since": "2025-01-01T00:00:00Z"}))),
        ("POST", "/events/same-id/replay".into(), None),
        ("PUT", at.clone(), Some(input.clone())),
        ("PATCH", at.clone(), Some(json!({}))),
        ("DELETE", at.clone(), None),
    ] {
        teller.ask(method, &path, ADMIN, &[], body.as_ref()).await.refuses(404, "not_found");
    }
    let direct = json!({"type": "a", "data": {}, "webhook_ids": [theirs["id"]]});
    assert_eq!(teller.post("/events", &direct).await.refuses(422, "validation").pointer(), "/webhook_ids/0");

    // The same id is another account's own.
    let published = teller.post("/events", &json!({"type": "b", "data": 1, "id": "same-id"})).await;
    assert_eq!(published.answers(202).json["event"]["webhook_ids"], json!([own["id"]]));
    let to_theirs = json!({"webhook_ids": [theirs["id"]]});
    teller.post("/events/same-id/replay", &to_theirs).await.refuses(404, "not_found");
    teller.reach(id(&own), "success", 1).await;
    assert_eq!(receiver.arrived().iter().filter(|arrived| arrived.target == "/acme").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_are_an_accounts_own() {
    let teller = Teller::start("").await;
    let key = ("idempotency-key", "k");
    let mut made: Vec<Value> = Vec::new();
    for account in ["a", "b"] {
        let headers = &[key, ("hookward-account", account)];
        let said = teller.ask("POST", "/webhooks", ANY_ACCOUNT, headers, Some(&json!({ "url": NOWHERE }))).await;
        assert_eq!(said.answers(201).reply.header("idempotent-replayed"), None);
        made.push(said.json["webhook"]["secret"].clone());
    }
    assert_ne!(made[0], made[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_acts_for_its_account_or_for_the_one_that_it_names() {
    let teller = Teller::start("").await;
    let account = |name| [("hookward-account", name)];
    let of = async |token, headers: &[(&str, &str)]| teller.ask("GET", "/account", token, headers, None).await;
    for (token, headers, wanted) in [
        (ADMIN, &[][..], "default"),
        (ADMIN, &account("default"), "default"),
        (ANY_ACCOUNT, &[], "default"),
        (ANY_ACCOUNT, &account("acme"), "acme"),
    ] {
        assert_eq!(of(token, headers).await.answers(200).json["account"]["id"], wanted);
    }
    of(ADMIN, &account("acme")).await.refuses(403, "forbidden");
    for bad in ["", "a b", "a/b", &"x".repeat(129)] {
        of(ANY_ACCOUNT, &account(bad)).await.refuses(400, "malformed");
    }
    let twice = [("hookward-account", "a"), ("hookward-account", "a")];
    of(ANY_ACCOUNT, &twice).await.refuses(400, "malformed");
}
