//! Secrets: who is shown them, how they change, and how they are kept.

use serde_json::{Value, json};

use super::{NOWHERE, Stage, id};
use crate::support::telling::Teller;
use crate::support::{NOW, Upstream, signed_with};

const OTHER: &str = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";

async fn rotate(teller: &Teller, webhook: &Value, input: Value) -> Value {
    let said = teller.post(&format!("/webhooks/{}/rotate-secret", id(webhook)), &input).await;
    said.answers(200).json.clone()
}

/// Publishes at `seconds` after [`NOW`] and checks which of `secrets` its delivery is signed with, in this order.
async fn signed_by(teller: &Teller, receiver: &Upstream, webhook: &Value, seconds: i64, secrets: &[&str]) {
    let before = receiver.arrived().len();
    let told = teller.publish("a", json!(seconds)).await;
    teller.reach(id(webhook), "success", before + 1).await;
    let arrived = receiver.arrived().pop().expect("one");
    let body = std::str::from_utf8(&arrived.body).expect("text");
    let sign = |secret: &&str| {
        let request = signed_with(secret, "standard-webhooks", id(&told), body, NOW + seconds);
        request.value("webhook-signature").to_owned()
    };
    let wanted: Vec<String> = secrets.iter().map(sign).collect();
    assert_eq!(arrived.header("webhook-signature"), wanted.join(" "), "at {seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_secret_is_signed_with_until_its_time_is_over() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    let old = webhook["secret"].as_str().expect("a secret");
    signed_by(&teller, &receiver, &webhook, 0, &[old]).await;
    let said = rotate(&teller, &webhook, json!({"overlap_seconds": 100})).await;
    let new = said["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(
        said,
        json!({"success": true, "webhook_id": webhook["id"], "secret": new, "previous": [{"expires_at": "2025-10-09T08:55:00.000Z"}]})
    );
    assert!(new.starts_with("whsec_") && new != old);
    signed_by(&teller, &receiver, &webhook, 0, &[&new, old]).await;
    teller.pass(99);
    signed_by(&teller, &receiver, &webhook, 99, &[&new, old]).await;
    teller.pass(1);
    signed_by(&teller, &receiver, &webhook, 100, &[&new]).await;
    let shown = teller.get(&format!("/webhooks/{}", id(&webhook))).await;
    assert!(!shown.reply.text().contains(&new) && shown.json["webhook"]["secret"] == "whsec_***masked***");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_secret_ends_is_decided_when_an_attempt_is_signed() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let retry = json!({"delays": ["10s", "10s"], "jitter": 0});
    let webhook = teller.register(&receiver.url(), json!({ "retry": retry })).await;
    receiver.plan([500, 500].map(crate::support::upstream::Act::Answer));
    rotate(teller, &webhook, json!({"overlap_seconds": 15})).await;
    teller.publish("a", json!(1)).await;
    for attempt in [1, 2] {
        teller
            .deliveries(id(&webhook), |all| all[0]["attempts"] == attempt && all[0]["next_attempt_at"].is_string())
            .await;
        stage.pass(10).await;
    }
    teller.reach(id(&webhook), "success", 1).await;
    let signatures: Vec<usize> =
        receiver.arrived().iter().map(|one| one.header("webhook-signature").split(' ').count()).collect();
    assert_eq!(signatures, [2, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_provider_must_be_able_to_sign_with_former_secrets_too() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"provider": "vgs", "secret": "no-base64-but-long"})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    rotate(&teller, &webhook, json!({"secret": OTHER, "overlap_seconds": 100})).await;
    let moved = json!({"provider": "standard-webhooks"});
    let refused = teller.patch(&path, &moved).await;
    assert_eq!(refused.refuses(422, "validation").pointer(), "/provider");
    assert!(refused.json["detail"].as_str().expect("text").contains("overlap_seconds = 0"), "{refused:?}");
    teller.pass(100);
    teller.patch(&path, &moved).await.answers(200);
    signed_by(&teller, &receiver, &webhook, 100, &[OTHER]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_overlap_the_former_secret_ends_at_once() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({})).await;
    rotate(&teller, &webhook, json!({"overlap_seconds": 500})).await;
    let said = rotate(&teller, &webhook, json!({"overlap_seconds": 0, "secret": OTHER})).await;
    assert_eq!((&said["secret"], &said["previous"]), (&json!(OTHER), &json!([])));
    signed_by(&teller, &receiver, &webhook, 0, &[OTHER]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_has_its_limits() {
    let teller = Teller::start("").await;
    let webhook = teller.register(NOWHERE, json!({})).await;
    let path = format!("/webhooks/{}/rotate-secret", id(&webhook));
    for (bad, pointer) in [
        (json!({"overlap_seconds": 604_801}), "/overlap_seconds"),
        (json!({"overlap_seconds": -1}), "/overlap_seconds"),
        (json!({"overlap": 1}), "/overlap"),
        (json!({"secret": "short"}), "/secret"),
        (json!({"secret": "whsec_not-base64!!!!!!!"}), "/secret"),
        (json!({"secret": webhook["secret"]}), "/secret"),
    ] {
        assert_eq!(teller.post(&path, &bad).await.refuses(422, "validation").pointer(), pointer, "{bad}");
    }
    let day = rotate(&teller, &webhook, json!({})).await;
    assert_eq!(day["previous"], json!([{"expires_at": "2025-10-10T08:53:20.000Z"}]));
    rotate(&teller, &webhook, json!({"overlap_seconds": 604_800})).await;
    for _ in 0..7 {
        rotate(&teller, &webhook, json!({})).await;
    }
    teller.post(&path, &json!({})).await.refuses(422, "limit_reached");
    rotate(&teller, &webhook, json!({"overlap_seconds": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_secret_must_fit_its_scheme() {
    let teller = Teller::start("").await;
    for (provider, secret, fits) in [
        ("standard-webhooks", OTHER, true),
        ("standard-webhooks", "whsec_%%%%%%%%%%%%%%%%%%", false),
        ("standard-webhooks", "0123456789abcdef", true),
        ("svix", "plain text is none", false),
        ("github", "0123456789abcdef", true),
        ("github", "0123456789abcde", false),
        ("github", "0123456789 abcdef", false),
        ("github", &"x".repeat(512), true),
        ("github", &"x".repeat(513), false),
    ] {
        let said = teller.post("/webhooks", &json!({ "url": NOWHERE, "provider": provider, "secret": secret })).await;
        match fits {
            true => assert_eq!(said.answers(201).json["webhook"]["secret"], secret),
            false => assert_eq!(said.refuses(422, "validation").pointer(), "/secret", "{provider} {secret}"),
        }
    }
    // It stays when the provider changes, so it must fit that one too.
    let webhook = teller.register(NOWHERE, json!({"provider": "github", "secret": "plain-text-is-one"})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    assert_eq!(teller.patch(&path, &json!({"provider": "svix"})).await.refuses(422, "validation").pointer(), "/secret");
    teller.patch(&path, &json!({"provider": "vgs"})).await.answers(200);
}

/// All bytes of the store's files.
fn stored(teller: &Teller) -> Vec<u8> {
    let files = std::fs::read_dir(teller.folder()).expect("a folder").map(|entry| entry.expect("a file").path());
    let of_store = files.filter(|path| path.extension().is_none_or(|end| end != "key"));
    of_store.flat_map(|path| std::fs::read(path).expect("a file")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_store_in_clear() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let input = json!({
        "url": receiver.url(), "secret": OTHER, "headers": {"x-key": "header-credential-1"},
        "authorization": {"type": "basic", "username": "me", "password": "password-credential"},
        "description": "this can be read",
    });
    let key = [("idempotency-key", "k")];
    let admin = crate::support::telling::ADMIN;
    let made = teller.ask("POST", "/webhooks", admin, &key, Some(&input)).await.answers(201).json["webhook"].clone();
    let rotated =
        teller.ask("POST", &format!("/webhooks/{}/rotate-secret", id(&made)), admin, &key, Some(&json!({}))).await;
    let rotated = rotated.answers(200).json["secret"].as_str().expect("a secret").to_owned();
    teller.publish("some.type", json!({"in": "clear"})).await;
    teller.reach(id(&made), "success", 1).await;
    let bytes = stored(&teller);
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("some.type"), "what is looked at is the store");
    for secret in [
        OTHER,
        &OTHER[6..],
        &rotated,
        &rotated[6..],
        "header-credential-1",
        "password-credential",
        "bWU6cGFzc3dvcmQtY3JlZGVudGlhbA==",
    ] {
        assert!(!has(secret), "{secret}");
    }
}

const KEY: &str = "keys = [{ env = \"KEY\" }]";

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_another_key_is_refused_and_says_why() {
    let teller = Teller::start(KEY).await;
    teller.register(NOWHERE, json!({})).await;
    let refused = teller.restart("keys = [{ env = \"OTHER_KEY\" }]").await.err().expect("another key");
    let text = refused.to_string();
    assert!(text.contains("sealed with another key") && text.contains("[sender] keys"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_by_having_both_for_one_start() {
    let receiver = Upstream::start().await;
    let teller = Teller::start(KEY).await;
    let webhook = teller.register(&receiver.url(), json!({})).await;
    let secret = webhook["secret"].as_str().expect("a secret");
    let teller = teller.restart("keys = [{ env = \"OTHER_KEY\" }, { env = \"KEY\" }]").await.expect("both");
    signed_by(&teller, &receiver, &webhook, 0, &[secret]).await;
    let teller = teller.restart("keys = [{ env = \"OTHER_KEY\" }]").await.expect("the former is not needed any more");
    let told = teller.publish("a", json!(2)).await;
    assert_eq!(told["webhook_ids"], json!([webhook["id"]]));
    teller.reach(id(&webhook), "success", 2).await;
}
