//! Every preset signs what it verifies, and refuses each message that differs from a good one in one respect.

mod sample;

use std::sync::LazyLock;

use hookward::clock::UnixTime;
use hookward::document::Table;
use hookward::quantity::parse_duration;
use hookward::rejection::Reason;
use hookward::signature::coverage::BodyCoverage;
use hookward::signature::encoding::encode_hex;
use hookward::signature::place::Params;
use hookward::signature::preset::{Confidence, Preset};
use hookward::signature::secret::Secret;
use hookward::signature::{Alternative, Message, Signed, Verifier};
use http::{HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use sha2::{Digest, Sha256};

use crate::support::NOW;
use crate::vectors::judge;
use sample::{KEY_ID, MARKER, Sample, table, text};

/// Presets whose messages our signer cannot make: it has nothing for the parts of a signature's value that the provider
/// names itself, and does not sign by RSA or ECDSA with SHA-1.
const UNSIGNABLE: [&str; 5] = ["coinbase-cdp", "ebay", "hygraph", "nmi", "postal"];

/// Confirmed by a library, and recorded under the names of its two ways of signing.
const RECORDED_IN_PARTS: [&str; 1] = ["hubspot"];

/// How many presets there are at least: a file that a merge loses is noticed.
const AT_LEAST: usize = 370;

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

/// Each way of signing of each preset that our signer can take, and takes first for a message of its kind.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    // One that signs nothing has no table for it.
    let with_parts = Preset::all().filter(|preset| has_signature(preset)).flat_map(|preset| {
        let parts = sample::alternatives(&preset.document);
        parts.into_iter().enumerate().map(move |(index, parts)| Case::new(preset, index, parts))
    });
    with_parts.filter(Case::signs).collect()
});

/// True where the provider signs at all: one that does not says so in a word.
fn has_signature(preset: &Preset) -> bool {
    sample::alternatives(&preset.document).iter().all(|parts| table(parts, "signature").is_some())
}

/// A secret as the signer has it, and as the operator configures it.
#[derive(Clone)]
struct KeyTexts {
    signing: String,
    verifying: String,
}

/// One way of signing of a preset, with two secrets, the second of which signs.
struct Case {
    preset: &'static Preset,
    /// Which alternative of its scheme it is.
    index: usize,
    /// The alternative as it is written, with what it shares with others.
    parts: Table,
    sample: Sample,
    params: Params,
    secrets: [KeyTexts; 2],
}

impl Case {
    fn all() -> impl Iterator<Item = &'static Self> {
        CASES.iter()
    }

    fn named(slug: &str) -> &'static Self {
        Self::all().find(|case| case.slug() == slug).expect("a preset that signs")
    }

    fn new(preset: &'static Preset, index: usize, parts: Table) -> Self {
        let params = preset.profile.scheme.params().into_iter();
        let params = Params::new(params.map(|(name, _)| (name.to_owned(), vec![format!("our-{name}")])).collect());
        let secrets = [0, 1].map(|which| key_texts(preset, index, &parts, which));
        Self { preset, index, sample: Sample::of(&parts), parts, params, secrets }
    }

    /// True where the signer can make such a message, and makes it in this way rather than in another.
    fn signs(&self) -> bool {
        let Sample { url, body, .. } = &self.sample;
        let signed = self.sign_message(url, body, NOW);
        let verdict = signed.ok().and_then(|signed| judge(&self.verifier(), "POST", &signed, NOW).ok());
        verdict.is_some_and(|verdict| verdict.alternative == self.index)
    }

    fn slug(&self) -> &str {
        &self.preset.slug
    }

    /// Good for what either secret signs.
    fn verifier(&self) -> Verifier {
        self.verifier_with(&["other", KEY_ID], &self.secrets, self.params.clone())
    }

    fn verifier_with(&self, names: &[&str], secrets: &[KeyTexts], params: Params) -> Verifier {
        let secret =
            |(name, texts): (&&str, &KeyTexts)| ((*name).to_owned(), Secret::new(texts.verifying.clone().into_bytes()));
        let secrets: Vec<(String, Secret)> = names.iter().zip(secrets).map(secret).collect();
        let verifier = Verifier::new(self.preset.profile.scheme.clone(), &secrets, params, 1 << 20);
        verifier.unwrap_or_else(|(_, why)| panic!("{}: the key {why}", self.slug()))
    }

    fn sign(&self, timestamp: i64) -> Signed {
        let Sample { url, body, .. } = &self.sample;
        self.sign_message(url, body, timestamp).unwrap_or_else(|why| panic!("{}: {why}", self.slug()))
    }

    fn sign_message(&self, url: &str, body: &str, timestamp: i64) -> Result<Signed, String> {
        let (id, timestamp) = ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", UnixTime(timestamp));
        let headers = &self.sample.headers;
        let message = Message { id, timestamp, method: "POST", url, headers, body: body.as_bytes() };
        let secret = Secret::new(self.secrets[1].signing.clone().into_bytes());
        self.preset.profile.scheme.sign(message, &[secret], &self.params)
    }

    /// The alternative that signs.
    fn alternative(&self) -> &Alternative {
        &self.preset.profile.scheme.alternatives()[self.index]
    }

    /// Judges what becomes of a good message when its signature's text is changed; `None` removes it.
    fn judge_edited(&self, edit: impl Fn(&Self, &str) -> Option<String>) -> Result<(), Reason> {
        let signed = self.sign(NOW);
        let place = self.alternative().signature_place();
        let edited = edited(&signed, &place, |text| edit(self, text));
        assert_ne!(edited, signed, "{}", self.slug());
        judge(&self.verifier(), "POST", &edited, NOW).map(|_| ())
    }

    /// The text at `key` of its `[signature]`, or the first of the list there.
    fn signature_text(&self, key: &str) -> Option<String> {
        text(table(&self.parts, "signature")?, key)
    }

    /// How many seconds old and how many ahead a message may be, where there is a limit.
    fn limits(&self) -> (Option<i64>, Option<i64>) {
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).expect("a tolerance");
        let tolerance = self.alternative().timestamp().map(|timestamp| timestamp.tolerance);
        let past = tolerance.and_then(|tolerance| tolerance.past).map(seconds);
        let future = tolerance.and_then(|tolerance| tolerance.future).map(seconds);
        // A detached one signs the body and has no claims.
        if self.signature_text("algorithm").as_deref() != Some("jwt") {
            return (past, future);
        }
        let leeway = self.signature_text("leeway").map(|text| seconds(parse_duration(&text).expect("a leeway")));
        let leeway = leeway.unwrap_or(TOKEN_LEEWAY);
        let expired = TOKEN_LIFETIME + leeway;
        (Some(past.map_or(expired, |past| past.min(expired))), Some(future.unwrap_or(leeway)))
    }
}

/// A secret in the form that the alternative wants, another one for each `which`.
fn key_texts(preset: &Preset, index: usize, parts: &Table, which: usize) -> KeyTexts {
    let computation = preset.profile.scheme.alternatives()[index].computation();
    let kinds: [&[&str]; 3] =
        [&["rsa", "RS256", "RS384", "RS512"], &["ecdsa", "ES256"], &["ed25519", "EdDSA", "http-message"]];
    let kind = kinds.iter().position(|words| words.iter().any(|word| computation.contains(word)));
    if let Some(kind) = kind {
        let (signing, verifying) = PAIRS[kind][which].clone();
        return KeyTexts { signing, verifying };
    }
    let form = table(parts, "signature").and_then(|signature| text(signature, "secret"));
    let text = match (computation.as_str(), form.as_deref().unwrap_or("utf8")) {
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
    if place == "the whole body" {
        let text = String::from_utf8(signed.body.clone()).expect("text");
        edited.body = edit(&text).unwrap_or_default().into_bytes();
        return edited;
    }
    let (opening, closing) = match (place.rsplit_once('/'), place.rsplit_once(' ')) {
        (Some((_, name)), _) => (format!("\"{name}\":\""), '"'),
        (None, Some(("form field" | "query parameter", name))) => {
            (format!("{}=", utf8_percent_encode(name, NON_ALPHANUMERIC)), '&')
        }
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
    // In JSON a signature has nothing that is written otherwise.
    let is_json = closing == '"';
    let decoded = percent_decode_str(&whole[start..end]).decode_utf8().expect("text");
    let text = if is_json { whole[start..end].to_owned() } else { decoded.into_owned() };
    match edit(&text) {
        Some(text) if is_json => whole.replace_range(start..end, &text),
        Some(text) => whole.replace_range(start..end, &utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()),
        // Under another name it is no signature, and what surrounds it stays well-formed.
        None => whole.insert_str(start - opening.len() + usize::from(is_json), "not-"),
    }
    if in_query {
        Signed { url: whole, body: signed.body.clone(), ..edited }
    } else {
        Signed { body: whole.into_bytes(), ..edited }
    }
}

#[test]
fn there_are_as_many_as_there_were() {
    let count = Preset::slugs().count();
    assert!(count >= AT_LEAST, "{count}");
}

#[test]
fn none_is_confirmed_by_a_library_without_a_recorded_request() {
    let files = std::fs::read_dir("tests/vectors").expect("the vectors").map(|entry| entry.expect("a file").path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let mut recorded: Vec<String> = Vec::new();
    for text in texts.map(|path| std::fs::read_to_string(path).expect("text")) {
        let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("a request");
        let provider = line["provider"].as_str().expect("a provider");
        recorded.push(Preset::find(provider).expect("a preset").slug.clone());
    }
    let confirmed = Preset::all().filter(|preset| preset.confidence == Confidence::Sdk);
    let without: Vec<&str> = confirmed
        .map(|preset| preset.slug.as_str())
        .filter(|slug| !recorded.iter().any(|known| known == slug))
        .collect();
    assert_eq!(without, RECORDED_IN_PARTS);
}

#[test]
fn each_preset_verifies_what_it_signs() {
    // SNS signs by SHA-256 alone.
    let slugs = Preset::all().filter(|preset| has_signature(preset)).map(|preset| preset.slug.as_str());
    let unsigned: Vec<&str> = slugs.filter(|slug| Case::all().all(|case| case.slug() != *slug)).collect();
    assert!(unsigned.iter().all(|slug| UNSIGNABLE.contains(slug)), "{unsigned:?}");
    for case in Case::all() {
        let verdict = judge(&case.verifier(), "POST", &case.sign(NOW), NOW);
        assert_eq!(verdict.map(|verdict| (verdict.key, verdict.alternative)), Ok((1, case.index)), "{}", case.slug());
    }
}

#[test]
fn a_changed_body_is_refused_where_it_is_signed() {
    for case in Case::all() {
        let mut signed = case.sign(NOW);
        let marker = signed.body.windows(MARKER.len()).position(|window| window == MARKER.as_bytes());
        // A body that is a token has the claims in its middle.
        let at = marker.unwrap_or_else(|| {
            let middle = signed.body.len() / 2;
            middle + signed.body[middle..].iter().position(u8::is_ascii_alphabetic).expect("a letter")
        });
        signed.body[at] ^= 0x20;
        let verdict = judge(&case.verifier(), "POST", &signed, NOW).map(|_| ());
        let covers = case.alternative().coverage().body != BodyCoverage::Partial;
        // Of some, what may change unnoticed stands elsewhere: the names of fields, or fields left out.
        if covers || verdict.is_err() {
            assert_eq!(verdict, Err(Reason::SignatureMismatch), "{}", case.slug());
        } else {
            // What is not signed the preset admits, and `providers show` says so.
            let admits = table(&case.parts, "signature").and_then(|signature| signature.value("unsigned_body"));
            assert_eq!(admits.map(hookward::document::Value::to_toml).as_deref(), Some("true"), "{}", case.slug());
        }
    }
}

#[test]
fn another_secret_is_refused() {
    for case in Case::all() {
        let verifier = case.verifier_with(&[KEY_ID], &case.secrets[..1], case.params.clone());
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
        let value = case.signature_text("value").unwrap_or_else(|| "{signature}".into());
        let (before, after) = value.split_once("{signature}").expect("a signature");
        let verdict = case.judge_edited(|_, text| {
            let before = before.rsplit('}').next().expect("a literal");
            // A form writes it otherwise.
            let before = if before == "|" && !text.contains('|') { "%7C" } else { before };
            let start = text.find(before).expect("the literal") + before.len();
            Some(format!("{}{after}", &text[..start]))
        });
        // Some headers may hold a bare signature as well, which `sha256=` or `Bearer` is a bad one of.
        let bare = sample::may_be_bare(&case.parts);
        let expected = if bare { Reason::SignatureMalformed } else { Reason::SignatureMissing };
        assert_eq!(verdict, Err(expected), "{}", case.slug());
    }
}

#[test]
fn a_truncated_signature_is_refused() {
    for case in Case::all() {
        let verdict = case.judge_edited(|case, text| {
            let value = case.signature_text("value").unwrap_or_else(|| "{signature}".into());
            let (_, behind) = value.split_once("{signature}").expect("a signature");
            let literal = behind.split('{').next().expect("a literal");
            let end = if literal.is_empty() { text.len() } else { text.rfind(literal).expect("what follows the tag") };
            let (tag, rest) = text.split_at(end);
            Some(format!("{}{rest}", &tag[..tag.len() - 4]))
        });
        let reason = verdict.expect_err(case.slug());
        let computation = case.alternative().computation();
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
        let (past, future) = case.limits();
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
    assert!(limited > 30, "{limited}");
}

#[test]
fn headers_of_two_alternatives_conflict() {
    let mut conflicting = Vec::new();
    for case in Case::all() {
        if case.preset.document.value("any_of").is_none() || case.preset.document.value("together").is_some() {
            continue;
        }
        let signed = case.sign(NOW);
        let own = case.alternative().signature_headers();
        let siblings = case.preset.profile.scheme.alternatives().iter().flat_map(Alternative::signature_headers);
        for name in siblings.filter(|name| !own.contains(name)) {
            let mut both = signed.clone();
            both.headers.insert(name.clone(), HeaderValue::from_static("v1,c2lnbmF0dXJl"));
            let verdict = judge(&case.verifier(), "POST", &both, NOW).map(|_| ());
            assert_eq!(verdict, Err(Reason::HeaderConflict), "{} {name}", case.slug());
            conflicting.push(case.slug());
        }
    }
    assert!(["clerk", "resend", "svix"].iter().all(|slug| conflicting.contains(slug)), "{conflicting:?}");
}

#[test]
fn a_message_for_another_receiver_is_refused() {
    let mut addressed = Vec::new();
    for case in Case::all().filter(|case| case.params.names().next().is_some()) {
        for name in case.params.names() {
            let values =
                |known: &str| if known == name { vec!["theirs".into()] } else { case.params.values(known).into() };
            let params = Params::new(case.params.names().map(|known| (known.to_owned(), values(known))).collect());
            let verifier = case.verifier_with(&["other", KEY_ID], &case.secrets, params);
            let verdict = judge(&verifier, "POST", &case.sign(NOW), NOW).map(|_| ());
            // It is compared with a claim, or stands in what is signed.
            let signs = case.alternative().signed_content().unwrap_or_default();
            let signed = signs.contains(&format!("{{param.{name}"));
            let expected = if signed { Reason::SignatureMismatch } else { Reason::ClaimMismatch };
            assert_eq!(verdict, Err(expected), "{} {name}", case.slug());
            addressed.push(format!("{} {name}", case.slug()));
        }
    }
    let known = ["google-pubsub audience", "google-pubsub email", "livekit api_key", "vonage api_key"];
    assert!(known.iter().all(|known| addressed.iter().any(|found| found == known)), "{addressed:?}");
}

#[test]
fn alternatives_that_do_not_sign_by_default_are_verified() {
    for (signer, verifier, alternative) in
        [("standard-webhooks", "svix", 1), ("vinsight-prose", "vinsight", 1), ("hubspot-v1", "hubspot", 1)]
    {
        let (signing, case) = (Case::named(signer), Case::named(verifier));
        let mut signed = signing.sign(NOW);
        signed.headers.insert("x-hubspot-signature-version", HeaderValue::from_static("v1"));
        let verdict = judge(&case.verifier(), "POST", &signed, NOW).map(|verdict| verdict.alternative);
        assert_eq!(verdict, Ok(alternative), "{signer} {verifier}");
    }
    // What the message says of itself only its sender knows.
    let case = Case::named("twilio");
    let json = r#"{"note":"marker"}"#;
    let url = format!("https://hooks.example.com/in/source?bodySHA256={}", encode_hex(&Sha256::digest(json)));
    let signed = case.sign_message(&url, json, NOW).expect("a signature");
    assert_eq!(judge(&case.verifier(), "POST", &signed, NOW).map(|verdict| verdict.alternative), Ok(0));
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
    let case = Case::named("aws-sns");
    let pair = KeyPair::from_pem(&PAIRS[0][1].0).expect("a key");
    let params = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".into()]).expect("a name");
    let mut secrets = case.secrets.clone();
    secrets[1].verifying = params.self_signed(&pair).expect("a certificate").pem();
    let verifier = case.verifier_with(&["other", KEY_ID], &secrets, case.params.clone());
    let signed = case.sign(NOW);
    assert_eq!(judge(&verifier, "POST", &signed, NOW).map(|verdict| verdict.key), Ok(1));

    let foreign = String::from_utf8(signed.body.clone()).expect("text").replace("amazonaws.com", "amazonaws.example");
    let foreign = Signed { body: foreign.into_bytes(), ..signed };
    let verdict = judge(&verifier, "POST", &foreign, NOW).map(|_| ());
    assert_eq!(verdict, Err(Reason::UntrustedKeyUrl));

    // What a condition wants is filled in, also where it is signed.
    let Sample { url, body, .. } = &case.sample;
    let bare = body.replacen(r#""Type":"Notification""#, r#""Kind":"none""#, 1);
    assert_ne!(&bare, body);
    let bare = case.sign_message(url, &bare, NOW).expect("a signature");
    assert_eq!(judge(&verifier, "POST", &bare, NOW).map(|verdict| verdict.alternative), Ok(0));

    // SHA-1 verifies what topics still send and never signs.
    let version_1 = body.replacen(r#""SignatureVersion":"2""#, r#""SignatureVersion":"1""#, 1);
    assert_ne!(&version_1, body);
    assert!(case.sign_message(url, &version_1, NOW).is_err());
}
