//! Presets: what each provider promises, as TOML data embedded in the binary.

mod embedded;
mod left_out;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::emission::SAMPLE;
use super::json::Pointer;
use super::place::Params;
use super::profile::Profile;
use super::request::{Head, PublicUrl};
use super::{Message, Verifier};
use crate::clock::UnixTime;
use crate::document::{Fault, Faults, Node, Reader, Table};

pub use left_out::LeftOut;

/// A provider as its preset describes it.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its name in configuration: kebab-case, stable.
    pub slug: String,
    /// Other names that go on working.
    pub aliases: Vec<String>,
    /// What people call it.
    pub name: String,
    /// Where its webhooks are described.
    pub docs: String,
    /// The day the description was read.
    pub read: String,
    /// How sure we are of it.
    pub confidence: Confidence,
    /// Whose verdict on real requests it passes, where there is one.
    pub confirmed_by: Option<String>,
    /// Where the operator finds the secret.
    pub secret_hint: String,
    /// What an operator should know before relying on it.
    pub notes: Vec<String>,
    /// Its document, with what it extends below it: an operator's keys are laid over this.
    pub document: Table,
    /// What the document says.
    pub profile: Profile,
}

/// Where a preset's facts come from, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Requests that a library for the provider, its own or another's, signed or confirmed pass.
    Sdk,
    /// The provider's documentation.
    VendorDoc,
    /// Somebody else's code for it.
    Code,
    /// The description that this product was built from, with sample code or a vector that comes out.
    Seed,
    /// The description leaves something open; this is one reading of it.
    Unverified,
}

impl Confidence {
    const WORDS: [(&'static str, Self); 5] = [
        ("sdk", Self::Sdk),
        ("vendor-doc", Self::VendorDoc),
        ("code", Self::Code),
        ("seed", Self::Seed),
        ("unverified", Self::Unverified),
    ];

    /// All of them, the surest first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::WORDS.iter().map(|(_, confidence)| *confidence)
    }

    /// What it says of a preset, a sentence without its full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Sdk => "requests that a library for the provider, its own or another's, signed or confirmed pass",
            Self::VendorDoc => "written from the provider's documentation",
            Self::Code => "written from somebody else's code for it",
            Self::Seed => {
                "written from the description that this product answers to, whose vector or sample code comes out"
            }
            Self::Unverified => "the description leaves something open; this is one reading of it",
        }
    }

    /// The word of the preset language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, confidence)| *confidence == self).map_or("", |(word, _)| word)
    }
}

impl Preset {
    /// Whether our own events can be sent by it: a body is rendered once and is the same on each attempt, and all that
    /// an endpoint has to sign with is a secret.
    ///
    /// # Errors
    /// Why not, as a fragment.
    pub fn can_emit(&self) -> Result<(), String> {
        let Profile { scheme, emission, methods, .. } = &self.profile;
        if scheme.signs_nothing() {
            return Err("it signs nothing".into());
        }
        if scheme.has_public_keys() {
            return Err("it is signed with a private key".into());
        }
        if scheme.params().iter().any(|(_, optional)| !optional) {
            return Err("its signature needs parameters".into());
        }
        if scheme.has_form() {
            return Err("it signs the fields of a form".into());
        }
        if !methods.contains(&Method::POST) {
            return Err("it does not use POST".into());
        }
        let (mut headers, body) = (HeaderMap::new(), emission.envelope.render(&SAMPLE));
        headers.insert(CONTENT_TYPE, emission.content_type.clone());
        let url = "https://hooks.example.com/in/sample";
        let timestamp = UnixTime(SAMPLE.timestamp.0 / 1000);
        let message = Message { id: SAMPLE.id, timestamp, method: "POST", url, headers: &headers, body: &body };
        let secret = emission.secret.generate(|random| random.fill(7));
        let headers = scheme.sign_headers(message, std::slice::from_ref(&secret), &Params::default())?;
        let verifier = Verifier::new(scheme.clone(), &[("sample".into(), secret)], Params::default(), body.len());
        let verifier = verifier.map_err(|(_, why)| format!("the secret {why}"))?;
        let head = Head { method: "POST", url: PublicUrl::split(url), headers: &headers };
        let judged = verifier
            .inspect(head)
            .and_then(|claimed| verifier.verify(&claimed, head, &body, timestamp, None).map(drop));
        judged.map_err(|rejection| format!("its own scheme refuses a sample: {rejection}"))
    }

    /// Where its events have what templates call the data, if it says how they look. `None` where that is all of them.
    pub fn data(&self) -> Option<Pointer> {
        let Node::Table(sender) = &self.document.value("sender")?.node else { return None };
        sender.value("envelope")?;
        let event: Value = serde_json::from_slice(&self.profile.emission.envelope.render(&SAMPLE)).ok()?;
        let data: Value = serde_json::from_slice(SAMPLE.data).ok()?;
        Pointer::parse(&path_to(&data, &event)?).ok()
    }

    /// A preset from a file of the operator's own, which need not say where its facts come from.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn from_file(slug: &str, name: &str, text: &str) -> Result<Self, Vec<Fault>> {
        Self::parse(slug, name, text, false)
    }

    fn read(slug: &str, text: &str) -> Result<Self, String> {
        Self::parse(slug, &format!("presets/{slug}.toml"), text, true)
            .map_err(|faults| faults.first().map_or_else(|| format!("{slug}: incomplete"), ToString::to_string))
    }

    fn parse(slug: &str, file: &str, text: &str, ours: bool) -> Result<Self, Vec<Fault>> {
        let faults = Faults::default();
        let document = load(file, text, &faults);
        let reader = Reader::new(&document, "", &faults);
        let text = |key, default: &str| match reader.text(key) {
            Some(text) => text.value.to_owned(),
            None => {
                if ours {
                    reader.missing(key, "\"…\"");
                }
                default.to_owned()
            }
        };
        let (name, docs, read, secret_hint) =
            (text("name", slug), text("docs", ""), text("read", ""), text("secret_hint", "the provider's settings"));
        let confidence = reader.choice("confidence", &Confidence::WORDS).or((!ours).then_some(Confidence::Unverified));
        let confirmed_by = reader.text("confirmed_by").map(|text| text.value.to_owned());
        if confidence == Some(Confidence::Sdk) && confirmed_by.is_none() {
            reader.missing("confirmed_by", "\"npm:package@version function\"");
        }
        let texts = |key| reader.texts(key).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect();
        let (aliases, notes) = (texts("aliases"), texts("notes"));
        reader.has("extends");
        let profile = Profile::read(&reader, &document, &Table::empty(document.place.clone()));
        reader.finish();
        let faults = faults.into_sorted();
        match (profile, confidence) {
            (Some(profile), Some(confidence)) if faults.is_empty() => Ok(Self {
                slug: slug.to_owned(),
                aliases,
                name,
                docs,
                read,
                confidence,
                confirmed_by,
                secret_hint,
                notes,
                document,
                profile,
            }),
            _ => Err(faults),
        }
    }
}

/// A preset's document, laid over the one that it extends. Aliases, notes and confidence are not inherited.
fn load(file: &str, text: &str, faults: &Faults) -> Table {
    let document = Table::parse(file, text, faults);
    let Some(base) = Reader::new(&document, "", faults).text("extends") else {
        return document;
    };
    let Some((base, text)) = embedded::file(base.value) else {
        let text = format!("extends: \"{}\" is not an embedded preset, `hookward providers` lists them", base.value);
        faults.add(base.place, text);
        return document;
    };
    let mut base = load(&format!("presets/{base}.toml"), text, faults);
    for own in ["aliases", "notes", "confidence", "confirmed_by"] {
        base.take(own);
    }
    base.overlay(&document)
}

/// The pointer to `wanted` in `value`; empty if that is all of it.
fn path_to(wanted: &Value, value: &Value) -> Option<String> {
    if value == wanted {
        return Some(String::new());
    }
    let within = |step: &str, inner| {
        path_to(wanted, inner).map(|path| format!("/{}{path}", step.replace('~', "~0").replace('/', "~1")))
    };
    match value {
        Value::Object(members) => members.iter().find_map(|(name, inner)| within(name, inner)),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, inner)| within(&index.to_string(), inner)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Rejection;
    use crate::signature::emission::{AttemptFacts, TimestampPolicy};
    use crate::signature::place::Place;

    #[test]
    fn the_span_of_a_schedule_is_the_sum_of_its_waits_within_its_window() {
        let span = |slug| Preset::find(slug).expect("a preset").profile.delivery.retry_span.map(|span| span.as_secs());
        assert_eq!(span("vgs"), Some(99_305));
        assert_eq!(span("vantastatus"), Some(4_860));
        assert_eq!(span("vpn-enterprise"), Some(259_200));
    }

    #[test]
    fn every_preset_emits_or_says_why_not() {
        // Why some of no kind cannot be sent.
        let odd = [
            ("contentful", "signature is missing: the scheme's own piece headers is signed and not there"),
            (
                "infisical",
                "its own scheme refuses a sample: timestamp is malformed: 1 to 15 digits, milliseconds since 1970, are wanted",
            ),
            (
                "worldline",
                "its own scheme refuses a sample: signature is missing: no header x-gcs-keyid, which names the key",
            ),
        ];
        let mut mute = Vec::new();
        for preset in Preset::all() {
            let Err(why) = preset.can_emit() else { continue };
            let scheme = &preset.profile.scheme;
            let is_so = match why.as_str() {
                "it signs nothing" => scheme.signs_nothing(),
                "it is signed with a private key" => scheme.has_public_keys(),
                "its signature needs parameters" => scheme.params().iter().any(|(_, optional)| !optional),
                "it signs the fields of a form" => scheme.has_form(),
                "its signature or time is part of the body" | "its signature is part of the URL" => {
                    let alternative = &scheme.alternatives()[0];
                    let signs = alternative.signed_content().unwrap_or_default();
                    let time = alternative.timestamp().and_then(|timestamp| timestamp.place.as_ref());
                    alternative.signature_headers().is_empty()
                        || signs.contains("{json/")
                        || matches!(time, Some(Place::Json(_)))
                }
                why if why.starts_with("the body has no list at") => scheme.alternatives()[0].for_each.is_some(),
                why if why.ends_with("of the signature's value is signed and not there") => {
                    scheme.alternatives()[0].signed_content().is_some_and(|signs| signs.contains("{value."))
                }
                why => odd.contains(&(preset.slug.as_str(), why)),
            };
            assert!(is_so, "{}: {why}", preset.slug);
            mute.push(preset.slug.as_str());
        }
        for slug in
            ["adyen-payments", "alipay", "dropbox-sign", "linear", "livekit", "twilio", "wechat-official-account"]
        {
            assert!(mute.contains(&slug), "{slug}");
        }
        for slug in ["github", "slack", "standard-webhooks", "stripe", "svix", "vantastatus"] {
            assert!(!mute.contains(&slug), "{slug}");
        }
    }

    /// What the preset's own scheme says of a delivery that it emitted: attempt `number`, signed at `signed`.
    fn judged(preset: &Preset, number: u32, signed: UnixTime, now: UnixTime) -> Result<HeaderMap, Rejection> {
        let Profile { scheme, emission, .. } = &preset.profile;
        let secret = emission.secret.generate(|random| random.fill(7));
        let body = emission.envelope.render(&SAMPLE);
        let attempt = AttemptFacts {
            event: SAMPLE.id,
            kind: SAMPLE.kind,
            account: SAMPLE.account,
            endpoint: SAMPLE.endpoint,
            number,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, emission.content_type.clone());
        headers.extend(emission.headers.iter().map(|header| (header.name.clone(), header.value(&attempt))));
        let url = "https://hooks.example.com/in/sample";
        let message = Message { id: SAMPLE.id, timestamp: signed, method: "POST", url, headers: &headers, body: &body };
        let headers =
            scheme.sign_headers(message, std::slice::from_ref(&secret), &Params::default()).expect("a signature");
        let verifier = Verifier::new(scheme.clone(), &[("1".into(), secret)], Params::default(), 1 << 20);
        let verifier = verifier.expect("the secret is one for the scheme");
        let head = Head { method: "POST", url: PublicUrl::split(url), headers: &headers };
        let claimed = verifier.inspect(head)?;
        verifier.verify(&claimed, head, &body, now, None)?;
        Ok(headers.clone())
    }

    #[test]
    fn what_a_preset_emits_its_own_scheme_accepts_at_every_attempt() {
        for preset in Preset::all().filter(|preset| preset.can_emit().is_ok()) {
            let emission = &preset.profile.emission;
            for number in [1, 2, 8] {
                let now = UnixTime(1_760_000_000 + i64::from(number) * 3600);
                let headers = judged(preset, number, now, now).unwrap_or_else(|why| panic!("{}: {why}", preset.slug));
                assert_eq!(headers.get(CONTENT_TYPE), Some(&emission.content_type));
            }
            // A frozen timestamp is the first attempt's: within the tolerance it passes, and beyond it does not.
            if let (TimestampPolicy::Frozen, Some(tolerance)) = (emission.timestamp, preset.profile.scheme.tolerance())
            {
                let (first, within) = (UnixTime(1_760_000_000), UnixTime(1_760_000_000).after(tolerance));
                assert_eq!(judged(preset, 2, first, within).map(drop), Ok(()), "{}", preset.slug);
                assert!(judged(preset, 3, first, UnixTime(within.0 + 1)).is_err(), "{}", preset.slug);
            }
        }
    }

    #[test]
    fn where_the_data_stands_is_as_the_envelope_has_it() {
        let data = |slug| Preset::find(slug).expect("a preset").data().map(|pointer| pointer.to_string());
        assert_eq!(data("vantastatus").as_deref(), Some("/data"));
        assert_eq!(data("stripe").as_deref(), Some("/data/object"));
        assert_eq!(data("cyberark-vaas").as_deref(), Some("/events/0"));
        for all_of_it in ["github", "vgs", "slack"] {
            assert_eq!(data(all_of_it), None, "{all_of_it}");
        }
    }

    #[test]
    fn what_the_seeds_send_is_as_they_describe_it() {
        let body = |slug| {
            let preset = Preset::find(slug).expect("a preset");
            String::from_utf8(preset.profile.emission.envelope.render(&SAMPLE)).expect("text")
        };
        let time = "2025-10-09T08:53:20.000Z";
        for (slug, expected) in [
            ("standard-webhooks", format!(r#"{{"type":"sample.created","timestamp":"{time}","data":{{"id":"sample"}}}}"#)),
            ("github", r#"{"id":"sample"}"#.into()),
            ("vinsight", r#"{"id":"sample"}"#.into()),
            ("cyberark-vaas", r#"{"events":[{"id":"sample"}]}"#.into()),
            (
                "stripe",
                r#"{"id":"wh_evt_sample","object":"event","type":"sample.created","created":1760000000,"data":{"object":{"id":"sample"}}}"#.into(),
            ),
            (
                "vantastatus",
                format!(r#"{{"id":"wh_evt_sample","event":"sample.created","timestamp":"{time}","webhook_id":"wh_sample","account_id":"default","data":{{"id":"sample"}}}}"#),
            ),
        ] {
            assert_eq!(body(slug), expected, "{slug}");
        }
        let preset = |slug| Preset::find(slug).expect("a preset");
        let headers = judged(preset("vantastatus"), 3, UnixTime(1_760_000_000), UnixTime(1_760_000_000)).expect("it");
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!(text("x-vantastatus-event"), "sample.created");
        assert_eq!(text("x-vantastatus-webhook-id"), "wh_sample");
        assert_eq!(text("x-vantastatus-retry-count"), "2");
        assert_eq!(text("x-vantastatus-timestamp"), "1760000000");
        let headers = judged(preset("github"), 1, UnixTime(1_760_000_000), UnixTime(1_760_000_000)).expect("it");
        assert_eq!(headers.get("x-github-delivery").and_then(|id| id.to_str().ok()), Some(SAMPLE.id));
        let secret = |slug| {
            let secret = preset(slug).profile.emission.secret.generate(|random| random.fill(0));
            String::from_utf8(secret.expose().to_vec()).expect("text")
        };
        assert_eq!(secret("svix"), format!("whsec_{}", "A".repeat(32)));
        assert_eq!(secret("vinsight"), "0".repeat(32));
        assert_eq!(secret("vpn-enterprise"), format!("whsec_{}", "0".repeat(64)));
    }
}
