//! Every preset signs what it verifies, and refuses each message that differs from a good one in one respect.

use std::sync::LazyLock;

use hookward::clock::UnixTime;
use hookward::document::{Node, Table};
use hookward::quantity::parse_duration;
use hookward::rejection::Reason;
use hookward::signature::coverage::BodyCoverage;
use hookward::signature::encoding::encode_hex;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use hookward::signature::{Alternative, Message, Signed, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use sha2::{Digest, Sha256};

use crate::support::NOW;
use crate::vectors::judge;

const URL: &str = "https://hooks.example.com/in/source?data.id=Ab12";

const BARE_URL: &str = "https://hooks.example.com/in/source";

/// What JSON schemes read of a body and cannot fill in, and a byte that no scheme reads for itself.
const JSON: &str = r#"{"note":"marker","notificationItems":[{"NotificationRequestItem":{"pspReference":"7914","additionalData":{}}}],"Type":"Notification","SigningCertURL":"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"}"#;

/// The same for the presets of [`FORMS`].
const FORM: &str = "note=marker&amount=12";

/// Presets whose signature covers form fields.
const FORMS: [&str; 4] = ["alipay", "paytm", "robokassa", "twilio"];

/// Headers that name the key, or that are signed: a scheme takes them from the message.
const HEADERS: [(&str, &str); 3] = [
    ("github-public-key-identifier", "main"),
    ("x-gcs-keyid", "main"),
    ("x-contentful-signed-headers", "x-contentful-signed-headers,x-contentful-timestamp"),
];

/// How long the tokens live that we sign.
const TOKEN_LIFETIME: i64 = 300;

/// The leeway of a token scheme that says none.
const TOKEN_LEEWAY: i64 = 30;

/// Two private keys of each kind with their public ones, in PEM: RSA, P-256, Ed25519.
static PAIRS: LazyLock<[[(String, String); 2]; 3]> = LazyLock::new(|| {
    [&PKCS_RSA_SHA256, &PKCS_ECDSA_P256_SHA256, &PKCS_ED25519].map(|algorithm| {
        [(); 2].map(|()| {
            let pair = KeyPair::generate_for(algorithm).expect("a key");
            (pair.serialize_pem(), pair.public_key_pem())
        })
    })
});

/// A secret as the signer has it, and as the operator configures it.
#[derive(Clone)]
struct KeyTexts {
    signing: String,
    verifying: String,
}

/// A preset with two secrets, the second of which signs.
struct Case {
    preset: &'static Preset,
    params: Params,
    secrets: [KeyTexts; 2],
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        Preset::all().map(Self::new)
    }

    fn named(slug: &str) -> Self {
        Self::new(Preset::find(slug).expect("a preset"))
    }

    fn new(preset: &'static Preset) -> Self {
        let scheme = &preset.profile.scheme;
        let params = scheme.params().into_iter().map(|(name, _)| (name.to_owned(), vec![format!("our-{name}")]));
        Self { preset, params: Params::new(params.collect()), secrets: [0, 1].map(|which| key_texts(preset, which)) }
    }

    fn slug(&self) -> &str {
        &self.preset.slug
    }

    fn body(&self) -> &'static str {
        if FORMS.contains(&self.slug()) { FORM } else { JSON }
    }

    /// Good for what either secret signs.
    fn verifier(&self) -> Verifier {
        self.verifier_with(&["other", "main"], &self.secrets, self.params.clone())
    }

    fn verifier_with(&self, names: &[&str], secrets: &[KeyTexts], params: Params) -> Verifier {
        let secret =
            |(name, texts): (&&str, &KeyTexts)| ((*name).to_owned(), Secret::new(texts.verifying.clone().into_bytes()));
        let secrets: Vec<(String, Secret)> = names.iter().zip(secrets).map(secret).collect();
        let verifier = Verifier::new(self.preset.profile.scheme.clone(), &secrets, params, 1 << 20);
        verifier.unwrap_or_else(|(_, why)| panic!("{}: the key {why}", self.slug()))
    }

    /// Where its messages go: with a query, unless the scheme signs form fields and no query.
    fn url(&self) -> &'static str {
        let scheme = &self.preset.profile.scheme;
        if scheme.has_form() && !scheme.signs_url() { BARE_URL } else { URL }
    }

    fn sign(&self, timestamp: i64) -> Signed {
        self.sign_message(self.url(), self.body(), timestamp).unwrap_or_else(|why| panic!("{}: {why}", self.slug()))
    }

    fn sign_message(&self, url: &str, body: &str, timestamp: i64) -> Result<Signed, String> {
        let value = |text| HeaderValue::from_static(text);
        let headers: HeaderMap =
            HEADERS.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect();
        let (id, timestamp) = ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", UnixTime(timestamp));
        let message = Message { id, timestamp, method: "POST", url, headers: &headers, body: body.as_bytes() };
        let secret = Secret::new(self.secrets[1].signing.clone().into_bytes());
        self.preset.profile.scheme.sign(message, &[secret], &self.params)
    }

    /// The alternative that signs.
    fn alternative(&self, signed: &Signed) -> &Alternative {
        let verdict =
            judge(&self.verifier(), "POST", signed, NOW).unwrap_or_else(|why| panic!("{}: {why:?}", self.slug()));
        &self.preset.profile.scheme.alternatives()[verdict.alternative]
    }

    /// Judges what becomes of a good message when its signature's text is changed; `None` removes it.
    fn judge_edited(&self, edit: impl Fn(&Self, &str) -> Option<String>) -> Result<(), Reason> {
        let signed = self.sign(NOW);
        let place = self.alternative(&signed).signature_place();
        let edited = edited(&signed, &place, |text| edit(self, text));
        assert_ne!(edited, signed, "{}", self.slug());
        judge(&self.verifier(), "POST", &edited, NOW).map(|_| ())
    }

    /// The text at `key` of the preset's `[signature]`.
    fn signature_text(&self, key: &str) -> Option<&str> {
        let signature = table(&self.preset.document, "signature")?;
        match &signature.value(key)?.node {
            Node::Text(text) => Some(text),
            Node::List(texts) => texts.iter().find_map(|text| match &text.node {
                Node::Text(text) => Some(text.as_str()),
                _ => None,
            }),
            _ => None,
        }
    }

    /// How many seconds old and how many ahead a message may be, where there is a limit.
    fn limits(&self, alternative: &Alternative) -> (Option<i64>, Option<i64>) {
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).expect("a tolerance");
        let tolerance = alternative.timestamp().map(|timestamp| timestamp.tolerance);
        let past = tolerance.and_then(|tolerance| tolerance.past).map(seconds);
        let future = tolerance.and_then(|tolerance| tolerance.future).map(seconds);
        if !alternative.computation().starts_with("JWT") {
            return (past, future);
        }
        let leeway = self.signature_text("leeway").map(|text| seconds(parse_duration(text).expect("a leeway")));
        let leeway = leeway.unwrap_or(TOKEN_LEEWAY);
        let expired = TOKEN_LIFETIME + leeway;
        (Some(past.map_or(expired, |past| past.min(expired))), Some(future.unwrap_or(leeway)))
    }
}

fn table<'t>(document: &'t Table, key: &str) -> Option<&'t Table> {
    match &document.value(key)?.node {
        Node::Table(table) => Some(table),
        _ => None,
    }
}

/// A secret in the form that the preset wants, another one for each `which`.
fn key_texts(preset: &Preset, which: usize) -> KeyTexts {
    let computation = preset.profile.scheme.alternatives()[0].computation();
    let kinds = [["rsa", "RS256"], ["ecdsa", "ES256"], ["ed25519", "http-message"]];
    let kind = kinds.iter().position(|words| words.iter().any(|word| computation.contains(word)));
    if let Some(kind) = kind {
        let (signing, verifying) = PAIRS[kind][which].clone();
        return KeyTexts { signing, verifying };
    }
    let form = table(&preset.document, "signature").and_then(|signature| signature.value("secret"));
    let form = form.map_or("utf8".to_owned(), |form| form.to_toml());
    let text = match (computation.as_str(), form.trim_matches('"')) {
        // A merchant key is an AES-128 key.
        ("bespoke:paytm", _) => ["0123456789abcdef", "fedcba9876543210"][which],
        (_, "hex") => ["44782DEF547AAA06", "9931F5D5C50A6BFC"][which],
        (_, "base64") => ["MDEyMzQ1Njc4OWFiY2RlZg==", "ZmVkY2JhOTg3NjU0MzIxMA=="][which],
        (_, "whsec") => ["whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "whsec_ZmVkY2JhOTg3NjU0MzIxMA=="][which],
        _ => ["one-secret:0123456789", "two-secret:9876543210"][which],
    };
    KeyTexts { signing: text.to_owned(), verifying: text.to_owned() }
}

/// `signed` with another text at the signature's place, or with nothing there.
fn edited(signed: &Signed, place: &str, edit: impl Fn(&str) -> Option<String>) -> Signed {
    let mut edited = signed.clone();
    let (opening, closing) = match (place.rsplit_once('/'), place.rsplit_once(' ')) {
        (Some((_, name)), _) => (format!("\"{name}\":\""), '"'),
        (None, Some(("form field" | "query parameter", name))) => (format!("{name}="), '&'),
        _ => {
            // The first of several headers.
            let name = place.split([',', ' ']).next().expect("a header").to_ascii_lowercase();
            let text = signed.headers[&name].to_str().expect("visible ASCII");
            let name: HeaderName = name.parse().expect("a header");
            match edit(text) {
                Some(text) => edited.headers.insert(name, HeaderValue::try_from(text).expect("a value")),
                None => edited.headers.remove(name),
            };
            return edited;
        }
    };
    let in_query = place.starts_with("query");
    let mut whole = if in_query { edited.url.clone() } else { String::from_utf8(edited.body).expect("text") };
    let start = whole.find(&opening).expect("a signature") + opening.len();
    let end = whole[start..].find(closing).map_or(whole.len(), |length| start + length);
    match edit(&whole[start..end]) {
        Some(text) => whole.replace_range(start..end, &text),
        // Under another name it is no signature, and what surrounds it stays well-formed.
        None => whole.insert_str(start - opening.len() + usize::from(closing == '"'), "not-"),
    }
    if in_query {
        Signed { url: whole, body: signed.body.clone(), ..edited }
    } else {
        Signed { body: whole.into_bytes(), ..edited }
    }
}

#[test]
fn each_preset_verifies_what_it_signs() {
    // No preset is left out: each can sign, SNS by SHA-256 alone.
    for case in Case::all() {
        let verdict = judge(&case.verifier(), "POST", &case.sign(NOW), NOW);
        assert_eq!(verdict.map(|verdict| verdict.key), Ok(1), "{}", case.slug());
    }
}

#[test]
fn a_changed_body_is_refused_where_it_is_signed() {
    let mut uncovered = Vec::new();
    for case in Case::all() {
        let mut signed = case.sign(NOW);
        let covers = case.alternative(&signed).coverage().body != BodyCoverage::Partial;
        let at = signed.body.windows(6).position(|window| window == b"marker").expect("the marker");
        signed.body[at] ^= 0x20;
        let verdict = judge(&case.verifier(), "POST", &signed, NOW).map(|_| ());
        match verdict {
            Ok(()) if !covers => uncovered.push(case.slug().to_owned()),
            // Of some, what may change unnoticed stands elsewhere: the names of fields, or fields left out.
            verdict => assert_eq!(verdict, Err(Reason::SignatureMismatch), "{}", case.slug()),
        }
    }
    let providers_own = [
        "adyen-payments",
        "aws-sns",
        "dropbox-sign",
        "gitlab",
        "google-pubsub",
        "mailgun",
        "mercadopago",
        "plivo-v2",
        "postmark",
        "robokassa",
        "wechat-official-account",
    ];
    assert_eq!(uncovered, providers_own);
}

#[test]
fn another_secret_is_refused() {
    for case in Case::all() {
        let verifier = case.verifier_with(&["main"], &case.secrets[..1], case.params.clone());
        let verdict = judge(&verifier, "POST", &case.sign(NOW), NOW).map(|_| ());
        assert_eq!(verdict, Err(Reason::SignatureMismatch), "{}", case.slug());
    }
}

#[test]
fn a_missing_signature_is_refused() {
    for case in Case::all() {
        assert_eq!(case.judge_edited(|_, _| None), Err(Reason::SignatureMissing), "{}", case.slug());
    }
}

#[test]
fn an_empty_signature_is_refused() {
    for case in Case::all() {
        assert_eq!(case.judge_edited(|_, _| Some(String::new())), Err(Reason::SignatureMissing), "{}", case.slug());
    }
}

#[test]
fn a_value_without_its_tag_is_refused() {
    for case in Case::all() {
        let verdict = case.judge_edited(|case, text| {
            let (before, after) = case.signature_text("value").unwrap_or("{signature}").split_once("{signature}")?;
            let before = before.rsplit('}').next().expect("a literal");
            let start = text.find(before).expect("the literal") + before.len();
            Some(format!("{}{after}", &text[..start]))
        });
        // Their headers may hold a bare signature as well, which `sha256=` or `Bearer` is a bad one of.
        let bare = ["vpn-enterprise", "livekit"].contains(&case.slug());
        let expected = if bare { Reason::SignatureMalformed } else { Reason::SignatureMissing };
        assert_eq!(verdict, Err(expected), "{}", case.slug());
    }
}

#[test]
fn a_truncated_signature_is_refused() {
    for case in Case::all() {
        let verdict = case.judge_edited(|case, text| {
            let behind = case.signature_text("value").and_then(|value| value.split_once("{signature}"));
            let behind = behind.map_or("", |(_, behind)| behind);
            let tag = text.strip_suffix(behind).expect("what follows the tag");
            Some(format!("{}{behind}", &tag[..tag.len() - 4]))
        });
        let reason = verdict.expect_err(case.slug());
        let computation = case.alternative(&case.sign(NOW)).computation();
        let has_length = ["hmac", "md5", "sha", "ed25519"].iter().any(|word| computation.starts_with(word));
        assert!(
            reason == Reason::SignatureMalformed || !has_length && reason == Reason::SignatureMismatch,
            "{}: {reason:?}",
            case.slug()
        );
    }
}

#[test]
fn a_good_signature_at_a_bad_time_is_refused() {
    let mut limited = 0;
    for case in Case::all() {
        let verifier = case.verifier();
        let (past, future) = case.limits(case.alternative(&case.sign(NOW)));
        let verdict = |age: i64| judge(&verifier, "POST", &case.sign(NOW - age), NOW).map(|_| ());
        if let Some(past) = past {
            assert_eq!(verdict(past), Ok(()), "{} {past} s ago", case.slug());
            assert_eq!(verdict(past + 1), Err(Reason::TimestampStale), "{} {past} + 1 s ago", case.slug());
        }
        if let Some(future) = future {
            assert_eq!(verdict(-future), Ok(()), "{} {future} s ahead", case.slug());
            assert_eq!(verdict(-future - 1), Err(Reason::TimestampFuture), "{} {future} + 1 s ahead", case.slug());
        }
        limited += usize::from(past.is_some() && future.is_some());
    }
    assert_eq!(limited, 33);
}

#[test]
fn headers_of_two_alternatives_conflict() {
    let mut conflicting = Vec::new();
    for case in Case::all() {
        if case.preset.document.value("any_of").is_none() || case.preset.document.value("together").is_some() {
            continue;
        }
        let signed = case.sign(NOW);
        let own = case.alternative(&signed).signature_headers();
        let siblings = case.preset.profile.scheme.alternatives().iter().flat_map(Alternative::signature_headers);
        for name in siblings.filter(|name| !own.contains(name)) {
            let mut both = signed.clone();
            both.headers.insert(name.clone(), signed.headers[&own[0]].clone());
            let verdict = judge(&case.verifier(), "POST", &both, NOW).map(|_| ());
            assert_eq!(verdict, Err(Reason::HeaderConflict), "{} {name}", case.slug());
            conflicting.push(case.slug().to_owned());
        }
    }
    assert_eq!(conflicting, ["clerk", "resend", "svix"]);
}

#[test]
fn a_message_for_another_receiver_is_refused() {
    let mut addressed = Vec::new();
    for case in Case::all().filter(|case| case.params.names().next().is_some()) {
        for name in case.params.names() {
            let values =
                |known: &str| if known == name { vec!["theirs".into()] } else { case.params.values(known).into() };
            let params = Params::new(case.params.names().map(|known| (known.to_owned(), values(known))).collect());
            let verifier = case.verifier_with(&["other", "main"], &case.secrets, params);
            let verdict = judge(&verifier, "POST", &case.sign(NOW), NOW).map(|_| ());
            assert_eq!(verdict, Err(Reason::ClaimMismatch), "{} {name}", case.slug());
            addressed.push(format!("{} {name}", case.slug()));
        }
    }
    assert_eq!(addressed, ["google-pubsub audience", "google-pubsub email", "livekit api_key", "vonage api_key"]);
}

#[test]
fn alternatives_that_do_not_sign_by_default_are_verified() {
    let with_digest = format!("{URL}&bodySHA256={}", encode_hex(&Sha256::digest(JSON)));
    for (signer, verifier, url, body, alternative) in [
        ("standard-webhooks", "svix", URL, JSON, 1),
        ("vinsight-prose", "vinsight", URL, JSON, 1),
        ("mailgun", "mailgun", BARE_URL, FORM, 1),
        ("hubspot-v1", "hubspot", URL, JSON, 1),
        ("twilio", "twilio", &with_digest, JSON, 0),
    ] {
        let (signing, case) = (Case::named(signer), Case::named(verifier));
        let mut signed = signing.sign_message(url, body, NOW).expect("a signature");
        signed.headers.insert("x-hubspot-signature-version", HeaderValue::from_static("v1"));
        let verdict = judge(&case.verifier(), "POST", &signed, NOW).map(|verdict| verdict.alternative);
        assert_eq!(verdict, Ok(alternative), "{signer} {verifier}");
    }
}

#[test]
fn a_good_weak_signature_does_not_save_a_bad_strong_one() {
    let case = Case::named("hubspot");
    let weak = Case::named("hubspot-v1").sign(NOW);
    let mut both = Case::named("hubspot-v3").sign(NOW);
    both.headers.extend(weak.headers);
    both.headers.insert("x-hubspot-signature-version", HeaderValue::from_static("v1"));
    assert_eq!(judge(&case.verifier(), "POST", &both, NOW).map(|verdict| verdict.alternative), Ok(0));
    let url = both.url.replace("Ab12", "Ab13");
    let verdict = judge(&case.verifier(), "POST", &Signed { url, ..both }, NOW).map(|_| ());
    assert_eq!(verdict, Err(Reason::SignatureMismatch));
}

#[test]
fn sns_takes_a_certificate_and_signs_by_sha_256_only() {
    let mut case = Case::named("aws-sns");
    let pair = KeyPair::from_pem(&PAIRS[0][1].0).expect("a key");
    let params = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".into()]).expect("a name");
    case.secrets[1].verifying = params.self_signed(&pair).expect("a certificate").pem();
    let signed = case.sign(NOW);
    assert_eq!(judge(&case.verifier(), "POST", &signed, NOW).map(|verdict| verdict.key), Ok(1));

    let foreign = String::from_utf8(signed.body.clone()).expect("text").replace("amazonaws.com", "amazonaws.example");
    let foreign = Signed { body: foreign.into_bytes(), ..signed };
    let verdict = judge(&case.verifier(), "POST", &foreign, NOW).map(|_| ());
    assert_eq!(verdict, Err(Reason::UntrustedKeyUrl));

    // What a condition wants is filled in, also where it is signed.
    let bare = case.sign_message(URL, &JSON.replacen("\"Type\":\"Notification\",", "", 1), NOW).expect("a signature");
    assert_eq!(judge(&case.verifier(), "POST", &bare, NOW).map(|verdict| verdict.alternative), Ok(0));

    // SHA-1 verifies what topics still send and never signs.
    let version_1 = JSON.replacen('{', r#"{"SignatureVersion":"1","#, 1);
    assert!(case.sign_message(URL, &version_1, NOW).is_err());
}
