//! Published examples of signed messages, each with where it was read.
//!
//! Not here, because nothing of a message is signed by them or no scheme can say it: Atlassian's `qsh` (a digest of the
//! canonical query inside a token's claim), Postel's behavioural vectors (signed at run time), all handshakes.

use hookward::clock::UnixTime;
use hookward::document::{Faults, Table};
use hookward::rejection::Reason;
use hookward::signature::coverage::BodyCoverage;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::request::{Head, PublicUrl};
use hookward::signature::secret::Secret;
use hookward::signature::{Message, Scheme, Signed, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::NOW;

/// Who signed a message that was accepted, each by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub key: usize,
    pub alternative: usize,
}

/// Judges a message as the gateway does: first its head, then the whole of it.
pub fn judge(verifier: &Verifier, method: &str, request: &Signed, now: i64) -> Result<Verdict, Reason> {
    let head = Head { method, url: PublicUrl::split(&request.url), headers: &request.headers };
    let claimed = verifier.inspect(head).map_err(|rejection| rejection.reason())?;
    let authentic = verifier.verify(&claimed, head, &request.body, UnixTime(now), None);
    authentic
        .map(|authentic| Verdict { key: authentic.key, alternative: authentic.alternative })
        .map_err(|rejection| rejection.reason())
}

/// The scheme of a preset, or of a document as an operator writes it.
pub fn scheme(text: &str) -> Scheme {
    if !text.contains('[') {
        return Preset::find(text).expect("a preset").profile.scheme.clone();
    }
    let faults = Faults::default();
    let document = Table::parse("inline.toml", text, &faults);
    let read = Scheme::read(&document, &Table::empty(document.place.clone()), &faults);
    read.unwrap_or_else(|| panic!("{text}\n{:#?}", faults.into_sorted()))
}

/// A verifier with named secrets and no parameters.
///
/// # Errors
/// As [`Verifier::new`].
pub fn verifier(scheme: Scheme, secrets: &[(&str, &str)]) -> Result<Verifier, (usize, &'static str)> {
    let secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), Secret::new((*text).into())));
    Verifier::new(scheme, &secrets.collect::<Vec<_>>(), Params::default(), 1 << 20)
}

/// The body of Slack's own example.
const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

/// The token of MessageBird's reference.
const MESSAGEBIRD_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjoxNjI1NDc5MjYwLCJqdGkiOiI5M2U1NTAwNi1hMGU4LTQ1MjYtYTE5MC1mYTVmZjAwZWExMTYiLCJ1cmxfaGFzaCI6IjQxZjA1ZjBkZGQwYTIyYWIyMDlhYzQ2ZjQ3YzQ1NzJkOWNlZmEyNTdlZDc0YjI0MDA0YmFlNzUzZWNlNmMyNjAiLCJwYXlsb2FkX2hhc2giOiJkZmZkNjAyMWJiMmJkNWIwYWY2NzYyOTA4MDllYzNhNTMxOTFkZDgxYzdmNzBhNGIyODY4OGEzNjIxODI5ODZmIn0._H--TOuYFLpeEH39-rg5E3IHVkjHozBcaKVWPRC5m9I";

/// The item of Adyen's example, in the batch that it comes in.
const ADYEN_BODY: &str = r#"{"notificationItems":[{"NotificationRequestItem":{"pspReference":"7914073381342284","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true","additionalData":{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="}}}]}"#;

/// A body that webhookery's vectors share.
const WEBHOOKERY_BODY: &str = r#"{"id":"evt_123","type":"payment_intent.succeeded","event_id":"slack_evt"}"#;

/// The same printed again.
const WEBHOOKERY_TWIN: &str = r#"{"type":"payment_intent.succeeded","id":"evt_123"}"#;

const SENDGRID_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";

/// Without the CRLF that it ends with.
const SENDGRID_BODY: &str = r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#;

const WISE_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwpb91cEYuyJNQepZAVfPZIlPZfNUefH+n6w9SW3fykqKu938cR7WadQv87oF2VuT+fDt7kqeRziTmPSUhqPUys/V2Q1rlfJuXbE+Gga37t7zwd0egQ+KyOEHQOpcTwKmtZ81ieGHynAQzsn1We3jwt760MsCPJ7GMT141ByQM+yW1Bx+4SG3IGjXWyqOWrcXsxAvIXkpUD/jK/L958CgnZEgz0BSEh0QxYLITnW1lLokSx/dTianWPFEhMC9BgijempgNXHNfcVirg1lPSygz7KqoKUN0oHqWLr2U1A+7kqrl6O2nx3CKs1bj1hToT1+p4kcMoHXA7kA+VBLUpEsVwIDAQAB";

const WISE_BODY: &str = r#"{"data":{"resource":{"id":49983981,"profile_id":16055450,"account_id":14124090,"type":"transfer"},"current_state":"incoming_payment_waiting","previous_state":null,"occurred_at":"2021-08-23T10:12:50Z"},"subscription_id":"90aa8e14-4ef1-4a56-861c-f3c9cde097ea","event_type":"transfers#state-change","schema_version":"2.0.0","sent_at":"2021-08-23T10:12:50Z"}"#;

const WISE_SIGNATURE: &str = "wKcKCYXAzxNgiu7xmoDm943NUni7Rz33QN8JkEA9dWSGebgndonabgSj18Y4C08OrwVmueGsED2s00M7DtJVcYKOS1i3G4TMVx+mgM3aL9djMBkQtiYNBFUd6wrPI7ZUNHv/TrlKSjTMc+6JFvUvJ7owY3z85e3I4jLRLJowMFvO8kvCJ60+1pY9wDwZvtZ//WS93LrwGjk9Dvwzpmu0w+P4J75tETT5qC3Uv0y5G2yO8SEoO3yNP/tg/BOli02niHb53vEOUWUb9bly6thnfMoXoiV/osoGxgF20R58RlvkAmezyyl1Sv542TfS2DpiwVnmjjjkCyXeSUcKookYLQ==";

/// As adnanh/webhook's rules have it: `payload-hmac-*` in a header of one's choice.
const PREFIX_LIST: &str = r#"
[signature]
algorithm = "hmac-sha256"
header = "X-Hub-Signature"
value = "sha256={signature}"
separator = ","
"#;

const X: &str = r#"
[signature]
algorithm = "hmac-sha256"
header = "X-Twitter-Webhooks-Signature"
value = "sha256={signature}"
encoding = "base64"
"#;

/// The newer version signs headers too; where it is there, the older one is not asked. Source: [`HOOK0_ORIGIN`].
const HOOK0: &str = r#"
[signature]
algorithm = "hmac-sha256"
header = "X-Hook0-Signature"
separator = ","
[signature.pieces]
values = { from = { headers = { value = "h" } }, separator = " ", sort = "none", each = "{value}", join = "." }
[[first_of]]
name = "v1"
signature = { value = "t={timestamp},h={h},v1={signature}", signs = "{timestamp}.{value.h}.{values}.{body}" }
[[first_of]]
name = "v0"
signature = { value = "t={timestamp},v0={signature}", signs = "{timestamp}.{body}" }
[timestamp]
tolerance = "5m"
"#;

const STANDARD_WEBHOOKS_V1A: &str = r#"
[signature]
algorithm = "ed25519"
header = "webhook-signature"
value = "v1a,{signature}"
separator = " "
encoding = "base64"
signs = "{id}.{timestamp}.{body}"
[timestamp]
header = "webhook-timestamp"
tolerance = "5m"
[event]
id = { header = "webhook-id" }
"#;

const HOOK0_ORIGIN: &str = "hook0/hook0 clients/rust/tests/webhook_verification.rs";
const HOOK0_V0: &str = "v0=1b3d69df55f1e52f05224ba94a5162abeb17ef52cd7f4948c390f810d6a87e98";
const HOOK0_V1: &str = "v1=493c35f05443fdb74cb99fd4f00e0e7653c2ab6b24fbc97f4a7bd4d56b31758a";
const TWILIO_URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
const TWILIO_FORM: &str =
    "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";

/// A message as it was published, with the scheme and the secret that it was signed by.
#[derive(Debug, Clone)]
struct Vector {
    origin: &'static str,
    /// A preset, or a document.
    scheme: String,
    secret: String,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    now: i64,
}

impl Vector {
    /// One whose only header is its signature.
    fn new(origin: &'static str, scheme: &str, secret: &str, header: &'static str, value: &str, body: &str) -> Self {
        Self {
            origin,
            scheme: scheme.to_owned(),
            secret: secret.to_owned(),
            url: "https://hooks.example.com/in".to_owned(),
            headers: Vec::new(),
            body: body.to_owned(),
            now: NOW,
        }
        .header(header, value)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn url(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    fn at(self, now: i64) -> Self {
        Self { now, ..self }
    }

    fn body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    fn judge(&self) -> Result<(), Reason> {
        let verifier = verifier(scheme(&self.scheme), &[("main", &self.secret)]);
        let verifier = verifier.unwrap_or_else(|(_, why)| panic!("{}: the key {why}", self.origin));
        let header = |(name, text): &(&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::try_from(text).expect("a value"))
        };
        let headers: HeaderMap = self.headers.iter().map(header).collect();
        let signed = Signed { url: self.url.clone(), headers, body: self.body.clone().into_bytes() };
        judge(&verifier, "POST", &signed, self.now).map(|_| ())
    }
}

/// A header of one's choice over the body alone.
fn over_body(algorithm: &str, encoding: &str) -> String {
    format!("[signature]\nalgorithm = \"{algorithm}\"\nheader = \"X-Signature\"\nencoding = \"{encoding}\"\n")
}

fn standard_webhooks(origin: &'static str, secret: &str, tag: &str, id: &str, timestamp: i64, body: &str) -> Vector {
    Vector::new(origin, "standard-webhooks", secret, "webhook-signature", tag, body)
        .header("webhook-id", id)
        .header("webhook-timestamp", &timestamp.to_string())
        .at(timestamp)
}

fn slack(origin: &'static str, secret: &str, tag: &str, timestamp: i64, body: &str) -> Vector {
    Vector::new(origin, "slack", secret, "x-slack-signature", tag, body)
        .header("x-slack-request-timestamp", &timestamp.to_string())
        .at(timestamp)
}

fn twilio(origin: &'static str, tag: &str, url: &str, body: &str) -> Vector {
    let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    Vector::new(origin, "twilio", "12345", "x-twilio-signature", tag, body).url(url).header("content-type", kind)
}

fn hook0(value: &str) -> Vector {
    Vector::new(HOOK0_ORIGIN, HOOK0, "secret", "x-hook0-signature", value, "hello !")
        .header("x-test", "val1")
        .header("x-test2", "val2")
        .at(1_636_936_200)
}

/// Signed by a secret of webhookery's over its body.
fn webhookery() -> [Vector; 4] {
    let origin = "aatuh/webhookery internal/provider/testdata/signature_vectors.json";
    let (secret, body) = ("whsec_test", WEBHOOKERY_BODY);
    let stripe = "t=1700000000,v1=9aae435784965c3b24b12c58e70ee43ff01381fd450c94f8a32ce6ea17d4fa46";
    let github = "sha256=d0377f7b5aedf7b5f9d70900dd7d10e4f3a25fdd83350ffbefac41e357848153";
    let shopify = "0Dd/e1rt97X51wkA3X0Q5POiX92DNQ/776xB41eEgVM=";
    let slack_tag = "v0=63d2c60275d7b0eb2c88a6cd88fc3c0942be3b12eb190d42a267fcbfb90c1f14";
    [
        Vector::new(origin, "stripe", secret, "stripe-signature", stripe, body).at(1_700_000_000),
        Vector::new(origin, "github", secret, "x-hub-signature-256", github, body),
        Vector::new(origin, "shopify", secret, "x-shopify-hmac-sha256", shopify, body),
        slack(origin, secret, slack_tag, 1_700_000_000, body),
    ]
}

/// Signed by one secret over a filled and an empty body.
fn adnanh() -> Vec<Vector> {
    let origin = "adnanh/webhook internal/hook/hook_test.go";
    let tags = [
        ("hmac-sha1", r#"{"a": "z"}"#, "b17e04cbb22afa8ffbff8796fc1894ed27badd9e"),
        ("hmac-sha256", r#"{"a": "z"}"#, "f417af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89"),
        (
            "hmac-sha512",
            r#"{"a": "z"}"#,
            "4ab17cc8ec668ead8bf498f87f8f32848c04d5ca3c9bcfcd3db9363f0deb44e580b329502a7fdff633d4d8fca301cc5c94a55a2fec458c675fb0ff2655898324",
        ),
        ("hmac-sha1", "", "25af6174a0fcecc4d346680a72b7ce644b9a88e8"),
        ("hmac-sha256", "", "f9e66e179b6747ae54108f82f8ade8b3c25d76fd30afde6c395822c530196169"),
        (
            "hmac-sha512",
            "",
            "b0e9650c5faf9cd8ae02276671545424104589b3656731ec193b25d01b07561c27637c2d4d68389d6cf5007a8632c26ec89ba80a01c77a6cdd389ec28db43901",
        ),
    ];
    let row = |(algorithm, body, tag): (&str, &str, &str)| {
        Vector::new(origin, &over_body(algorithm, "hex"), "secret", "x-signature", tag, body)
    };
    let list = "sha256=XXX7af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89,sha256=f417af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89";
    let key = "bilFGi4ZVZUdG+C6r0NIM9tuRq6PaG33R3eBUVhLwMAErGBaazvXe4Gq2DcJs5q+";
    let mut vectors: Vec<Vector> = tags.into_iter().map(row).collect();
    vectors.push(Vector::new(origin, PREFIX_LIST, "secret", "x-hub-signature", list, r#"{"a": "z"}"#));
    vectors.push(
        Vector::new(origin, "scalr", key, "x-signature", "48e395e38ac48988929167df531eb2da00063a7d", r#"{"a": "b"}"#)
            .header("date", "Thu 07 Sep 2017 06:30:04 UTC")
            .at(1_504_765_804),
    );
    vectors
}

/// Signed by one secret over one body, in five providers' ways.
fn convoy() -> [Vector; 5] {
    let origin = "frain-dev/convoy pkg/verifier/verifier_test.go";
    let row = |scheme: &str, header, value| Vector::new(origin, scheme, "Convoy", header, value, "Test Payload Body");
    [
        row(
            &over_body("hmac-sha512", "hex"),
            "x-signature",
            "83306382f5361d35351d6de45998f23b52f40bcf96befe4e92f137c0f1bf4a7119388b238d8f9d502ac77e6f1a8849a4778272667ed88d530cac8050bd1fee2d",
        ),
        row(
            &over_body("hmac-sha512", "base64"),
            "x-signature",
            "gzBjgvU2HTU1HW3kWZjyO1L0C8+Wvv5OkvE3wPG/SnEZOIsjjY+dUCrHfm8aiEmkd4JyZn7YjVMMrIBQvR/uLQ==",
        ),
        row("github", "x-hub-signature-256", "sha256=d7a154547e7c35e31c4c820e20237650939c3d34dae136e30a7757ca61abb4cf"),
        row("shopify", "x-shopify-hmac-sha256", "16FUVH58NeMcTIIOICN2UJOcPTTa4TbjCndXymGrtM8="),
        row(X, "x-twitter-webhooks-signature", "sha256=16FUVH58NeMcTIIOICN2UJOcPTTa4TbjCndXymGrtM8="),
    ]
}

/// Messages that a public key verifies.
fn asymmetric() -> [Vector; 3] {
    let discord_key = "79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664";
    let discord = "50db4086e890c41c26b539f0dd95af18b4d8b03d2f4203964d238b4946943ee2cc6fd52c47ddb355d267086a8c4e299d1054d3d655dba6e0f237a779f634800d";
    let sendgrid = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    [
        Vector::new(
            "webhook-co/webhook asymmetric.test.ts",
            "discord",
            discord_key,
            "x-signature-ed25519",
            discord,
            r#"{"type":1}"#,
        )
        .header("x-signature-timestamp", "1610000000")
        .at(1_610_000_000),
        Vector::new(
            "SendGrid's SDK suites, by webhook-co/webhook",
            "sendgrid",
            SENDGRID_KEY,
            "x-twilio-email-event-webhook-signature",
            sendgrid,
            &format!("{SENDGRID_BODY}\r\n"),
        )
        .header("x-twilio-email-event-webhook-timestamp", "1600112502"),
        Vector::new(
            "transferwise/digital-signatures-examples, by webhook-co/webhook asymmetric.test.ts",
            "wise",
            WISE_KEY,
            "x-signature-sha256",
            WISE_SIGNATURE,
            WISE_BODY,
        ),
    ]
}

fn messagebird() -> Vector {
    Vector::new(
        "MessageBird's Go SDK reference.json, by webhook-co/webhook bespoke/messagebird.test.ts",
        "messagebird-jwt",
        "36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb",
        "messagebird-signature-jwt",
        MESSAGEBIRD_TOKEN,
        "Hello, World!",
    )
    .url("https://example.com/path?bar=1&foo=2")
    .at(1_625_479_230)
}

fn adyen() -> Vector {
    // Its signature stands in the body.
    Vector::new(
        "Adyen's documentation, by webhook-co/webhook w3b-adyen.test.ts",
        "adyen-payments",
        "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        "content-type",
        "application/json",
        ADYEN_BODY,
    )
}

fn sanity() -> [Vector; 2] {
    let row = |secret, value, body| {
        let origin = "@sanity/webhook's tests, by webhook-co/webhook w2b-authorize-sanity.test.ts";
        Vector::new(origin, "sanity", secret, "sanity-webhook-signature", value, body)
    };
    [
        row("test", "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0", r#"{"_id":"resume"}"#),
        row(
            "try-me",
            "t=1633518820676,v1=e7C9h2sfbFfc4V7TEz7PSOp4IoNzl0UdVsBV-1wgdeA",
            r#"{"title":"GROQ-Hooks are neat"}"#,
        ),
    ]
}

fn all() -> Vec<Vector> {
    let (form, json) = ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", "a9nBmqA0ju/hNViExpshrM61xv4=");
    let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut vectors = vec![
        standard_webhooks(
            "Standard Webhooks' documentation, by webhook-co/webhook standard-webhooks.test.ts",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        ),
        standard_webhooks(
            "standard-webhooks/standard-webhooks libraries/rust/src/lib.rs test_sign",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
        ),
        Vector::new(
            "GitHub's documentation, Validating webhook deliveries",
            "github",
            "It's a Secret to Everybody",
            "x-hub-signature-256",
            github,
            "Hello, World!",
        ),
        slack(
            "Slack's documentation, by webhook-co/webhook slack.test.ts",
            "8f742231b10e8888abcd99yyyzzz85a5",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            1_531_420_618,
            SLACK_BODY,
        ),
        adyen(),
        Vector::new(
            "square-nodejs-sdk, by webhook-co/webhook w3a-tier2.test.ts",
            "square",
            "asdf1234",
            "x-square-hmacsha256-signature",
            "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=",
            r#"{"hello":"world"}"#,
        )
        .url("https://example.com/webhook"),
        twilio("Twilio's documentation and twilio-python's tests", form, TWILIO_URL, TWILIO_FORM),
        twilio(
            "twilio-python's tests, by webhook-co/webhook bespoke/twilio.test.ts",
            json,
            &format!("{TWILIO_URL}&bodySHA256={digest}"),
            r#"{"property": "value", "boolean": true}"#,
        ),
        messagebird(),
        hook0(&format!("t=1636936200,{HOOK0_V0}")),
        hook0(&format!("t=1636936200,h=x-test x-test2,{HOOK0_V1}")),
        hook0(&format!("t=1636936200,{HOOK0_V0},h=x-test x-test2,{HOOK0_V1}")),
    ];
    vectors.extend(sanity());
    vectors.extend(webhookery());
    vectors.extend(adnanh());
    vectors.extend(convoy());
    vectors.extend(asymmetric());
    vectors
}

#[test]
fn each_is_accepted() {
    let vectors = all();
    assert_eq!(vectors.len(), 34);
    for vector in vectors {
        assert_eq!(vector.judge(), Ok(()), "{vector:#?}");
    }
}

#[test]
fn none_is_accepted_with_a_byte_more_or_another_secret() {
    for vector in all() {
        let scheme = scheme(&vector.scheme);
        let alternative = &scheme.alternatives()[0];
        if alternative.coverage().body != BodyCoverage::Partial {
            let longer = vector.clone().body(&format!("{}x", vector.body));
            assert_eq!(longer.judge(), Err(Reason::SignatureMismatch), "{longer:#?}");
        }
        if ["hmac", "JWT"].iter().any(|word| alternative.computation().starts_with(word)) {
            // Still hex or base64 where it must be, and no zeros, with which HMAC pads a key anyway.
            let other = Vector { secret: format!("{}1111", vector.secret), ..vector };
            assert_eq!(other.judge(), Err(Reason::SignatureMismatch), "{other:#?}");
        }
    }
}

#[test]
fn a_body_that_was_printed_again_is_refused() {
    for vector in webhookery() {
        let twin = vector.body(WEBHOOKERY_TWIN);
        assert_eq!(twin.judge(), Err(Reason::SignatureMismatch), "{twin:#?}");
    }
}

#[test]
fn trailing_whitespace_is_signed_too() {
    let [_, sendgrid, _] = asymmetric();
    let sendgrid = sendgrid.body(SENDGRID_BODY);
    assert_eq!(sendgrid.judge(), Err(Reason::SignatureMismatch));
}

#[test]
fn a_changed_item_of_a_batch_is_refused() {
    for (from, to) in [("1130", "1131"), ("TestMerchant", "TestMerchanT"), ("true", "false")] {
        let adyen = adyen().body(&ADYEN_BODY.replacen(from, to, 1));
        assert_eq!(adyen.judge(), Err(Reason::SignatureMismatch), "{from}");
    }
}

#[test]
fn a_token_is_good_for_its_url_and_its_minute_only() {
    let leeway = 5;
    for (vector, verdict) in [
        (messagebird().url("https://example.com/path?bar=1&foo=3"), Err(Reason::SignatureMismatch)),
        (messagebird().at(1_625_479_200 - leeway), Ok(())),
        (messagebird().at(1_625_479_200 - leeway - 1), Err(Reason::TimestampFuture)),
        (messagebird().at(1_625_479_260 + leeway), Ok(())),
        (messagebird().at(1_625_479_260 + leeway + 1), Err(Reason::TimestampStale)),
    ] {
        assert_eq!(vector.judge(), verdict, "{vector:#?}");
    }
}

#[test]
fn hook0_never_falls_back_from_a_bad_v1() {
    let bad = HOOK0_V1.replace("58a", "58b");
    let names = "h=x-test x-test2";
    for (value, reason) in [
        (format!("t=1636936200,{HOOK0_V0},{names},{bad}"), Reason::SignatureMismatch),
        (format!("t=1636936200,h=x-test2 x-test,{HOOK0_V1}"), Reason::SignatureMismatch),
        (format!("t=1636936200,{HOOK0_V0},h=x-test x-test3,{HOOK0_V1}"), Reason::SignatureMissing),
        (format!("t=1636936200,{HOOK0_V0},{HOOK0_V1}"), Reason::SignatureMissing),
        (format!("t=error,{names},{HOOK0_V1}"), Reason::TimestampMalformed),
        (format!("{names},{HOOK0_V1}"), Reason::TimestampMissing),
        (format!("t=1636936200,{names},{}", &HOOK0_V1[..HOOK0_V1.len() - 1]), Reason::SignatureMalformed),
        (format!("t=1636936200,{names},{}", HOOK0_V1.replace("493", "49x")), Reason::SignatureMalformed),
        ("t=1636936200,v0=ab=cd".into(), Reason::SignatureMalformed),
    ] {
        assert_eq!(hook0(&value).judge(), Err(reason), "{value}");
    }
    let mut without = hook0(&format!("t=1636936200,{HOOK0_V0},{names},{HOOK0_V1}"));
    without.headers.retain(|(name, _)| *name != "x-test2");
    assert_eq!(without.judge(), Err(Reason::SignatureMissing));
}

#[test]
fn a_standard_webhooks_seed_signs_what_its_public_key_verifies() {
    // Source: postel-sh/postel, compliance/vectors/_keys.
    let scheme = scheme(STANDARD_WEBHOOKS_V1A);
    let pairs = [
        ("whsk_zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0=", "whpk_/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic="),
        ("whsk_EhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhI=", "whpk_IEBA42TBDyvsnB/lAKHNTCR8idZQoB7X6CyrqGeHfCE="),
    ];
    let [first, second] = pairs.map(|(_, public)| verifier(scheme.clone(), &[("main", public)]).expect("a public key"));
    for ((seed, _), (its, other)) in pairs.into_iter().zip([(&first, &second), (&second, &first)]) {
        let headers = HeaderMap::new();
        let (url, timestamp) = ("https://hooks.example.com/in", UnixTime(NOW));
        let message = Message { id: "msg_1", timestamp, method: "POST", url, headers: &headers, body: b"{}" };
        let signed = scheme.sign(message, &[Secret::new(seed.into())], &Params::default()).expect("a seed");
        assert_eq!(judge(its, "POST", &signed, NOW), Ok(Verdict { key: 0, alternative: 0 }));
        assert_eq!(judge(other, "POST", &signed, NOW), Err(Reason::SignatureMismatch));
    }
}
