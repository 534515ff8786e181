//! Handshakes: each provider's own example is answered to the byte, nothing of them reaches the upstream, and whoever
//! tries to have something else repeated or signed gets nothing.

mod learned;
mod visited;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookward::clock::UnixTime;
use hookward::signature::Message;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use http::HeaderMap;
use rcgen::{KeyPair, PKCS_ED25519};

use crate::support::child::{file, hookward};
use crate::support::{Gateway, NOW, Reply, Request, signed, signed_with};

fn get(query: &str) -> Request {
    Request::post(&format!("/in{query}")).method("GET")
}

fn literal(secret: &str) -> String {
    format!("secrets = [{{ literal = '''{secret}''' }}]\n")
}

/// What an answer must be, and that nobody may take it for something else or keep it.
fn answers(reply: &Reply, content_type: &str, body: &str) {
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some(content_type));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

async fn answered(gateway: &Gateway, request: Request, content_type: &str, body: &str) {
    answers(&gateway.send(request).await, content_type, body);
    assert!(gateway.upstream.arrived().is_empty(), "a challenge reached the upstream");
}

/// Sends what must get nothing but a refusal.
async fn refused(gateway: &Gateway, request: Request, status: u16) {
    let reply = gateway.send(request.clone()).await;
    assert_eq!(reply.status, status, "{request:?}");
    assert!(reply.body.len() < 32 && !reply.text().contains(['<', '{']), "{request:?}: {}", reply.text());
    assert!(gateway.upstream.arrived().is_empty(), "{request:?} reached the upstream");
}

const PLAIN: &str = "text/plain";
const JSON: &str = "application/json";

/// Values of a query that no token is: a message, a tag, an end of line, nothing, and too much.
const HOSTILE: [&str; 7] = [
    "%7B%22forged%22%3A%22event%22%7D",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "a%0d%0aX-Injected:%20b",
    "a%00b",
    "v0%3A1%3Ax",
    "caf%C3%A9",
    "",
];

async fn refuses_hostile_values(gateway: &Gateway, parameter: &str) {
    for value in HOSTILE {
        refused(gateway, get(&format!("?{parameter}={value}")), 400).await;
    }
    refused(gateway, get(&format!("?{parameter}={}", "a".repeat(10 * 1024))), 400).await;
    refused(gateway, get(&format!("?{parameter}=abc&{parameter}=abc")), 400).await;
    let reply = gateway.send(get("?other=abc")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn x_gets_the_mac_of_its_token_and_nobody_the_mac_of_a_message() {
    let secret = "z3ZX4v7mAAUGykl3EcmkqbartmuW8VFOOzCloLx9Q45P0hLrFu";
    let gateway = Gateway::start("x", &literal(secret)).await;
    let challenge = get("?crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553");
    let wanted = r#"{"response_token":"sha256=Cytd4Sq+NvEcV3MMrXxWJGJx5A+y/lXzzU2Maartkx8="}"#;
    answered(&gateway, challenge.clone(), JSON, wanted).await;
    answered(&gateway, challenge, JSON, wanted).await;
    assert_eq!(
        gateway.metric("hookward_gateway_requests_total{source=\"source\",outcome=\"challenge\",reason=\"\"}"),
        2.0
    );
    refuses_hostile_values(&gateway, "crc_token").await;

    // What we sign for anybody is no signature of a message.
    let token = "abcdef0123456789";
    let answer = gateway.send(get(&format!("?crc_token={token}"))).await.text();
    let mac = answer.strip_prefix(r#"{"response_token":""#).and_then(|rest| rest.strip_suffix("\"}")).expect("a MAC");
    let forged = Request::post("/in").body(token.as_bytes()).header("x-twitter-webhooks-signature", mac);
    refused(&gateway, forged, 401).await;
    let genuine = signed_with(secret, "x", "", r#"{"for_user_id":"1"}"#, NOW);
    assert_eq!(gateway.send(genuine).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn zoom_is_answered_once_it_has_signed() {
    let secret = "zoom-secret-token-xyz";
    let gateway = Gateway::start("zoom", &literal(secret)).await;
    let body = |token: &str| {
        format!(
            r#"{{"payload":{{"plainToken":"{token}"}},"event_ts":1654503849680,"event":"endpoint.url_validation"}}"#
        )
    };
    let challenge = signed_with(secret, "zoom", "", &body("pv-plainToken-abc123"), NOW);
    let wanted = r#"{"plainToken":"pv-plainToken-abc123","encryptedToken":"924c76d973084bbe133c17ff1c1a9b6639c74aef8bb34daa05c70361039e7beb"}"#;
    answered(&gateway, challenge.clone(), JSON, wanted).await;
    // It is no event: the same one again is answered again.
    answered(&gateway, challenge.clone(), JSON, wanted).await;
    refused(&gateway, challenge.clone().without("x-zm-signature"), 401).await;
    refused(&gateway, challenge.body(body("other").as_bytes()), 401).await;
    for token in ["v0:1760000000:x", "<b>", r"a\r\nb", "", r#"\"x"#] {
        refused(&gateway, signed_with(secret, "zoom", "", &body(token), NOW), 400).await;
    }
    let event = signed_with(secret, "zoom", "", r#"{"event":"meeting.started","payload":{}}"#, NOW);
    assert_eq!(gateway.send(event).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn braintree_gets_its_mac_behind_the_public_key() {
    let secret = "integration_private_key";
    let rest = format!("{}params = {{ public_key = \"integration_public_key\" }}", literal(secret));
    let gateway = Gateway::start("braintree", &rest).await;
    let challenge = get("?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53");
    let wanted = "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4";
    answered(&gateway, challenge, PLAIN, wanted).await;
    refuses_hostile_values(&gateway, "bt_challenge").await;
    refused(&gateway, get("?bt_challenge=PD94bWw="), 400).await;
    refused(&gateway, get(&format!("?bt_challenge={}", "a".repeat(65))), 400).await;

    let form = |signature: &str, payload: &str| {
        let body = format!("bt_signature={}&bt_payload={payload}", signature.replace('|', "%7C"));
        Request::post("/in").header("Content-Type", "application/x-www-form-urlencoded").body(body.as_bytes())
    };
    refused(&gateway, form(wanted, "20f9f8ed05f77439fe955c977e4c8a53"), 401).await;
    // HMAC-SHA1 of base64 of XML, with the newline at its end that Braintree has.
    let genuine = form(
        "other_key|0000000000000000000000000000000000000000%26integration_public_key|10bf71f9a7343c54ee69013cabea1aad72f18f73",
        "PG5vdGlmaWNhdGlvbi8%2B%0A",
    );
    assert_eq!(gateway.send(genuine).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);

    let without = Gateway::start("braintree", &literal(secret)).await;
    refused(&without, get("?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53"), 405).await;
}

#[tokio::test]
async fn what_is_asked_for_in_the_head_is_echoed() {
    let okta = Gateway::start("okta", "").await;
    let challenge = get("").header("X-Okta-Verification-Challenge", "okta-challenge-abc");
    answered(&okta, challenge.clone(), JSON, r#"{"verification":"okta-challenge-abc"}"#).await;
    refused(&okta, get("").header("X-Okta-Verification-Challenge", "<script>"), 400).await;
    refused(&okta, challenge.header("X-Okta-Verification-Challenge", "again"), 400).await;

    let dropbox = Gateway::start("dropbox", "").await;
    answered(&dropbox, get("?challenge=r4nd0m-Challenge_1"), PLAIN, "r4nd0m-Challenge_1").await;
    refuses_hostile_values(&dropbox, "challenge").await;

    let worldline = Gateway::start("worldline", "").await;
    let challenge = get("").header("X-GCS-Webhooks-Endpoint-Verification", "2c3f5a0e-0b55-4f43-9a33-2d6c2c0bd2a1");
    answered(&worldline, challenge, PLAIN, "2c3f5a0e-0b55-4f43-9a33-2d6c2c0bd2a1").await;

    let trello = Gateway::start("trello", "public_url = \"https://hooks.example.com/in\"").await;
    let reply = trello.send(Request::post("/in").method("HEAD")).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    refused(&trello, get(""), 405).await;
    assert!(trello.upstream.arrived().is_empty());
}

#[tokio::test]
async fn microsoft_graph_gets_its_token_decoded() {
    let gateway = Gateway::start("microsoft-graph", "").await;
    answered(&gateway, Request::post("/in?validationToken=ABC%20123"), PLAIN, "ABC 123").await;
    let text = "Validation: Testing client application reachability for subscription Request-Id: 522a8e7e-096a-494c-aaf1-ac0dcfca45b7";
    let query = format!("/in?validationToken={}", text.replace(": ", "%3a+").replace(' ', "+"));
    answered(&gateway, Request::post(&query).header("Content-Type", "text/plain; charset=utf-8"), PLAIN, text).await;
    for hostile in ["%3Cscript%3E", "%22%7D", "a%0d%0ab", "&validationToken=b", ""] {
        refused(&gateway, Request::post(&format!("/in?validationToken={hostile}")), 400).await;
    }
    let long = Request::post("/in?validationToken=a").body(&[b'x'; 10 * 1024]);
    refused(&gateway, long, 413).await;

    let event = |state: &str| {
        let body = format!(r#"{{"value":[{{"id":"1","clientState":"{state}"}}]}}"#);
        Request::post("/in").body(body.as_bytes()).header("Content-Type", "application/json")
    };
    refused(&gateway, event("other"), 401).await;
    assert_eq!(gateway.send(event(crate::support::SECRET)).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn slack_and_twitch_are_echoed_where_they_signed() {
    let slack = Gateway::start("slack", "").await;
    let body = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let challenge = signed("slack", "", body, NOW);
    answered(&slack, challenge.clone(), PLAIN, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P").await;
    refused(&slack, challenge.without("x-slack-signature"), 401).await;
    refused(&slack, signed("slack", "", body, NOW - 301), 401).await;
    refused(&slack, signed("slack", "", r#"{"type":"url_verification","challenge":"<script>"}"#, NOW), 400).await;
    refused(&slack, get("?challenge=x"), 405).await;
    // Any other message that has a challenge in it is an event.
    assert_eq!(
        slack.send(signed("slack", "", r#"{"type":"event_callback","challenge":"<b>"}"#, NOW)).await.status,
        200
    );
    assert_eq!(slack.upstream.arrived().len(), 1);

    let twitch = Gateway::start("twitch", "").await;
    let body = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387"}}"#;
    let challenge = signed("twitch", "e76c6bd4-55c9-4987-8304-da1588d8988b", body, NOW);
    let challenge = challenge.header("Twitch-Eventsub-Message-Type", "webhook_callback_verification");
    answered(&twitch, challenge.clone(), PLAIN, "pogchamp-kappa-360noscope-vohiyo").await;
    refused(&twitch, challenge.without("twitch-eventsub-message-signature"), 401).await;
}

#[tokio::test]
async fn what_a_customer_writes_into_an_order_makes_it_no_ping_of_woocommerce() {
    let secret = "woocommerce-secret-0123456789";
    let gateway = Gateway::start("woocommerce", &literal(secret)).await;
    let ping = Request::post("/in").body(b"webhook_id=7");
    let form = "application/x-www-form-urlencoded; charset=UTF-8";
    let reply = gateway.send(ping.clone().header("Content-Type", form)).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    refused(&gateway, ping.header("Content-Type", "application/json"), 401).await;
    let order = r#"{"id":1,"customer_note":"leave it at the door &webhook_id=7& thank you"}"#;
    let event = signed_with(secret, "woocommerce", "1", order, NOW);
    assert_eq!(gateway.send(event.header("Content-Type", "application/json")).await.status, 200);
    assert_eq!(gateway.upstream.only().body, order.as_bytes());
}

#[tokio::test]
async fn meta_goes_by_the_verify_token() {
    let gateway = Gateway::start("meta-whatsapp", "verify_token = { env = \"OTHER\" }").await;
    let asked = |token: &str, challenge: &str| {
        get(&format!("?hub.mode=subscribe&hub.verify_token={token}&hub.challenge={challenge}"))
    };
    answered(&gateway, asked("another-secret-0123456789", "1158201444"), PLAIN, "1158201444").await;
    refused(&gateway, asked("wrong", "1158201444"), 401).await;
    refused(&gateway, asked("", "1158201444"), 401).await;
    refused(&gateway, asked("wrong", "%3Cscript%3Ealert(1)%3C/script%3E"), 401).await;
    refused(&gateway, asked("another-secret-0123456789", "%3Cscript%3E"), 400).await;
    refused(&gateway, get("?hub.mode=unsubscribe&hub.verify_token=another-secret-0123456789&hub.challenge=1"), 405)
        .await;

    let without = Gateway::start("meta-whatsapp", "").await;
    refused(&without, asked("another-secret-0123456789", "1158201444"), 405).await;
    refused(&without, asked("", "1158201444"), 405).await;
}

/// A message of `provider`, signed by a private key of the test.
fn signed_by(pair: &KeyPair, provider: &str, body: &str) -> Request {
    let scheme = &Preset::find(provider).expect("a preset").profile.scheme;
    let headers = HeaderMap::new();
    let message =
        Message { id: "", timestamp: UnixTime(NOW), method: "POST", url: "", headers: &headers, body: body.as_bytes() };
    let secret = Secret::new(pair.serialize_pem().into_bytes());
    let signed = scheme.sign(message, &[secret], &Params::default()).expect("a usable key");
    let request = Request::post("/in").body(&signed.body);
    signed
        .headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name.as_str(), value.to_str().expect("visible ASCII")))
}

#[tokio::test]
async fn discord_is_ponged_in_both_of_its_ways() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let gateway = Gateway::start("discord", &literal(&pair.public_key_pem())).await;
    let ping =
        r#"{"application_id":"1","entitlements":[],"id":"2","token":"t","type":1,"user":{"id":"3"},"version":1}"#;
    answered(&gateway, signed_by(&pair, "discord", ping), JSON, r#"{"type":1}"#).await;
    let reply = gateway.send(signed_by(&pair, "discord", r#"{"version":1,"application_id":"1","type":0}"#)).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    let other = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    refused(&gateway, signed_by(&other, "discord", ping), 401).await;
    refused(&gateway, signed_by(&pair, "discord", ping).without("x-signature-ed25519"), 401).await;
    let event = r#"{"version":1,"application_id":"1","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#;
    assert_eq!(gateway.send(signed_by(&pair, "discord", event)).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn ebay_gets_the_hash_of_its_code_the_token_and_the_endpoint() {
    // A key and a signature that openssl made (`openssl dgst -sha1 -sign`).
    let key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQTOHoNc/Yw1MnFqROf12l96JByAH\ns8qwxHY1NUHRFrENmuLDyVMsSy82QJAVC2bHKK8gPDdUY5ZlYetu4jIQxQ==\n-----END PUBLIC KEY-----";
    let signature = "MEYCIQCO72OcKXEkxRucCfmt7+DYJMo0+osih9O9jxysTt/x3QIhANsFc7GNJxHhG+BUDw4FP9G/WUW8RPvPoDqoz21N5ZSc";
    let rest = format!(
        "{}verify_token = {{ literal = \"webhook-co-ebay-verify-token-0123456789abcdef\" }}\npublic_url = \"https://wbhk.my/t/ebay-acct-deletion\"",
        literal(key)
    );
    let gateway = Gateway::start("ebay", &rest).await;
    let challenge = get("?challenge_code=71745723-9b5e-4f8a-bc11-9f0e2a7d4c63");
    let wanted = r#"{"challengeResponse":"d24cd543fe79a6b0b79e99e0b27939b4a01fce883ae11a63ca875183a5a07ba4"}"#;
    answered(&gateway, challenge.clone(), JSON, wanted).await;
    // The endpoint is the one that was given to eBay, whatever a request calls it.
    answered(&gateway, challenge.header("Host", "evil.example"), JSON, wanted).await;
    refuses_hostile_values(&gateway, "challenge_code").await;

    // The signature stands in base64 of JSON.
    let wrapped = STANDARD.encode(format!(
        r#"{{"alg":"ecdsa","kid":"9936261a-7d7b-4621-a0f1-96ccb428af48","signature":"{signature}","digest":"SHA1"}}"#
    ));
    let event =
        |header: &str, body: &str| Request::post("/in").header("X-EBAY-SIGNATURE", header).body(body.as_bytes());
    let body = r#"{"notification":{"notificationId":"n1"}}"#;
    let long = STANDARD.encode(format!(r#"{{"x":"{}","signature":"{signature}"}}"#, "x".repeat(4096)));
    for bad in
        ["", "x", signature, &STANDARD.encode("{}"), &STANDARD.encode(r#"{"signature":"AA=="}"#), &wrapped[4..], &long]
    {
        refused(&gateway, event(bad, body), 401).await;
    }
    refused(&gateway, event(&wrapped, &body.replace("n1", "n2")), 401).await;
    assert_eq!(gateway.send(event(&wrapped, body)).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn event_grid_validates_by_post_and_by_options() {
    let gateway = Gateway::start("azure-event-grid", "").await;
    let body = r#"[{"id":"2d1781af-3a4c-4d7c-bd0c-e34b19da4e66","topic":"/subscriptions/x","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://rp-eastus2.eventgrid.azure.net:553/x"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2022-10-28T04:23:35.1981776Z","metadataVersion":"1","dataVersion":"1"}]"#;
    let post = |secret: &str, body: &str| {
        let request = Request::post(&format!("/in?code={secret}")).body(body.as_bytes());
        request.header("Content-Type", "application/json").header("aeg-event-type", "SubscriptionValidation")
    };
    let wanted = r#"{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}"#;
    answered(&gateway, post(crate::support::SECRET, body), JSON, wanted).await;
    refused(&gateway, post("other", body), 401).await;
    refused(&gateway, post("", body), 401).await;

    let options = |origin: &str| Request::post("/in").method("OPTIONS").header("WebHook-Request-Origin", origin);
    let reply = gateway.send(options("eventgrid.azure.net").header("WebHook-Request-Rate", "120")).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("webhook-allowed-origin"), Some("eventgrid.azure.net"));
    assert_eq!(reply.header("webhook-allowed-rate"), Some("*"));
    for origin in ["evil.example", "eventgrid.azure.net.evil.example", "<script>"] {
        let reply = gateway.send(options(origin)).await;
        assert_eq!((reply.status, reply.header("webhook-allowed-origin")), (405, None), "{origin}");
    }
    assert!(gateway.upstream.arrived().is_empty());
}

#[tokio::test]
async fn xeros_intent_to_receive_is_told_apart() {
    let gateway = Gateway::start("xero", "").await;
    let body = r#"{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4nd0mt3xt"}"#;
    let reply = gateway.send(signed("xero", "", body, NOW)).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let wrong = STANDARD.encode([0; 32]);
    let reply = gateway.send(Request::post("/in").body(body.as_bytes()).header("x-xero-signature", &wrong)).await;
    assert_eq!((reply.status, reply.body.len(), reply.header("content-type")), (401, 0, None));
    let event = r#"{"events":[{"resourceId":"1"}],"lastEventSequence":1,"firstEventSequence":1,"entropy":"x"}"#;
    assert_eq!(gateway.send(signed("xero", "", event, NOW)).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn a_get_that_is_signed_is_verified_first() {
    // Token, timestamp and nonce, sorted and hashed: as in the vectors that wechatpy confirmed.
    let gateway = Gateway::start("wechat-official-account", &literal("8Qp8N8W1GfHEEJ9ex172")).await;
    let query = "?signature=a7c1549105c383541ee207a1ea07db8f41f12263&timestamp=1760000000&nonce=1320562132";
    answered(&gateway, get(&format!("{query}&echostr=7288391737153217361")), PLAIN, "7288391737153217361").await;
    refused(&gateway, get(&format!("{query}&echostr=%3Cxml%3E")), 400).await;
    refused(&gateway, get("?signature=00&timestamp=1760000000&nonce=1320562132&echostr=1"), 401).await;
    refused(&gateway, get("?echostr=1"), 401).await;
}

#[tokio::test]
async fn addresses_and_credentials_come_first() {
    let far = Gateway::start("x", "allow = [\"192.0.2.0/24\"]").await;
    refused(&far, get("?crc_token=abc"), 403).await;
    refused(&far, get("?crc_token=%3Cscript%3E"), 403).await;
    let closed = Gateway::start("dropbox", "authorization = { scheme = \"bearer\", env = \"OTHER\" }").await;
    refused(&closed, get("?challenge=abc"), 401).await;
    let open = get("?challenge=abc").header("Authorization", "Bearer another-secret-0123456789");
    answered(&closed, open, PLAIN, "abc").await;
}

#[tokio::test]
async fn a_source_that_stores_or_only_judges_answers_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = crate::support::Upstream::start().await;
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"slack\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nmode = \"store\"\nupstream = \"{}/app\"\n[store]\nurl = \"sqlite:{}\"\n",
        upstream.url(),
        folder.path().join("store.db").display()
    );
    let stored = Gateway::from_text(&text, upstream);
    let body = r#"{"challenge":"abc","type":"url_verification"}"#;
    for _ in 0..2 {
        answered(&stored, signed("slack", "", body, NOW), PLAIN, "abc").await;
    }

    let judging = Gateway::start("slack", "enforce = false").await;
    answered(&judging, signed("slack", "", body, NOW), PLAIN, "abc").await;
    // What it would refuse is forwarded, as everything is, and never answered as if it were Slack's.
    let unsigned = judging.send(signed("slack", "", body, NOW).without("x-slack-signature")).await;
    assert_eq!((unsigned.status, unsigned.text().as_str()), (200, ""));
    assert_eq!(judging.upstream.only().header("hookward-rejection"), "signature_missing");
    let judging = Gateway::start("x", "enforce = false").await;
    answered(&judging, get("?crc_token=abc").header("X-Request-Id", "1"), JSON, &{
        let secret = hookward::signature::secret::Secret::new(crate::support::SECRET.into());
        format!(r#"{{"response_token":"sha256={}"}}"#, STANDARD.encode(mac_of(&secret, b"abc")))
    })
    .await;
    refused(&judging, get("?crc_token=%3Cscript%3E"), 400).await;
}

fn mac_of(secret: &Secret, text: &[u8]) -> Vec<u8> {
    use hookward::signature::algorithm::{Hash, KeyedHmac};
    KeyedHmac::new(Hash::Sha256, secret.expose()).tag([text].into_iter()).to_vec()
}

#[tokio::test]
async fn what_a_provider_reads_stands_in_place_of_an_upstreams_answer() {
    let gateway = Gateway::start("adyen-payments", &literal("44782DEF547AAA06")).await;
    let preset = Preset::find("adyen-payments").expect("a preset");
    let body = r#"{"notificationItems":[{"NotificationRequestItem":{"pspReference":"7914","additionalData":{}}}]}"#;
    let headers = HeaderMap::new();
    let message =
        Message { id: "", timestamp: UnixTime(NOW), method: "POST", url: "", headers: &headers, body: body.as_bytes() };
    let secret = Secret::new(b"44782DEF547AAA06".to_vec());
    let signed = preset.profile.scheme.sign(message, &[secret], &Params::default()).expect("a usable key");
    let request = Request::post("/in").body(&signed.body).header("Content-Type", "application/json");
    let first = gateway.send(request.clone()).await;
    assert_eq!((first.status, first.text().as_str()), (200, ""), "the upstream's own answer");
    answers(&gateway.send(request).await, PLAIN, "[accepted]");
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[test]
fn check_says_which_challenges_are_answered_and_what_the_others_lack() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |provider: &str, rest: &str| {
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"s\"\npath = \"/in\"\nprovider = \"{provider}\"\nallow = \"any\"\nupstream = \"http://127.0.0.1:9/\"\n{rest}\n"
        );
        let path = file(&folder, "hookward.toml", &text);
        let output = hookward(&["check", "-c", path.to_str().expect("a path")]).output().expect("the program");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let secret = literal("a-secret-of-more-than-16-bytes");
    assert!(check("slack", &secret).contains("answered here and never forwarded: url-verification"));
    assert!(check("meta-whatsapp", &secret).contains("verification is not answered: the source lacks verify_token"));
    let token = "verify_token = { literal = \"a-token-of-more-than-16-bytes\" }\n";
    assert!(check("meta-whatsapp", &format!("{secret}{token}")).contains("never forwarded: verification"));
    assert!(check("aws-sns", "").contains("is not answered: the source lacks params.topic_arn"));
    let stranger = check("slack", &format!("{secret}{token}"));
    assert!(stranger.contains("verify_token: no challenge of this provider has one, leave it out"), "{stranger}");
    let shown = hookward(&["providers", "show", "meta"]).output().expect("the program");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for wanted in [
        "verification: unsigned GET with query parameter hub.mode subscribe and query parameter hub.verify_token {verify_token}; {echo} is query parameter hub.challenge; answered 200, {echo}",
        "verify_token = { env = \"META_WHATSAPP_VERIFY_TOKEN\" }",
    ] {
        assert!(shown.contains(wanted), "{shown}");
    }
    let stranger = check("slack", "secrets = [{ file = \"/nonexistent/x\", learn = true }]\n");
    assert!(stranger.contains("this provider does not bring its secret in a request"), "{stranger}");
}
