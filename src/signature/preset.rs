//! Presets: what each provider promises, as TOML data embedded in the binary.

use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use super::Scheme;
use super::json::Pointer;
use super::scheme::header_name;
use crate::document::{Faults, Reader, Table, nearest};
use crate::quantity::parse_duration;

/// One line for each file in `presets/`.
const FILES: [(&str, &str); 14] = [
    ("cyberark-vaas", include_str!("../../presets/cyberark-vaas.toml")),
    ("cyberark-vaas-timestamped", include_str!("../../presets/cyberark-vaas-timestamped.toml")),
    ("github", include_str!("../../presets/github.toml")),
    ("shopify", include_str!("../../presets/shopify.toml")),
    ("slack", include_str!("../../presets/slack.toml")),
    ("standard-webhooks", include_str!("../../presets/standard-webhooks.toml")),
    ("stripe", include_str!("../../presets/stripe.toml")),
    ("svix", include_str!("../../presets/svix.toml")),
    ("vantastatus", include_str!("../../presets/vantastatus.toml")),
    ("vgs", include_str!("../../presets/vgs.toml")),
    ("vgs-timestamped", include_str!("../../presets/vgs-timestamped.toml")),
    ("vinsight", include_str!("../../presets/vinsight.toml")),
    ("vinsight-prose", include_str!("../../presets/vinsight-prose.toml")),
    ("vpn-enterprise", include_str!("../../presets/vpn-enterprise.toml")),
];

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let presets = FILES.iter().map(|(slug, text)| Preset::read(slug, text));
    presets.collect::<Result<_, _>>().unwrap_or_else(|wrong| panic!("an embedded preset is broken: {wrong}"))
});

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
    /// Requests that the provider's own library signed or confirmed pass.
    Sdk,
    /// The provider's documentation, with an example or sample code that comes out.
    VendorDoc,
    /// Somebody else's code for it.
    Code,
    /// The description that this product was built from, with sample code or a vector that comes out.
    Seed,
    /// The description leaves bytes open; this is one reading of it.
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

    /// The word of the preset language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, confidence)| *confidence == self).map_or("", |(word, _)| word)
    }
}

/// What a provider does, as far as a receiver must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// How its messages are signed.
    pub scheme: Scheme,
    /// The methods it uses, at least one.
    pub methods: Vec<Method>,
    /// What it counts as success, where it is pickier than 2xx.
    pub accepted: Option<StatusCode>,
    /// How its events are told apart.
    pub dedup: DedupPolicy,
    /// The addresses it publishes; none where it publishes none.
    pub addresses: Vec<IpNet>,
    /// A request by which it only asks whether somebody is there.
    pub challenge: Option<Challenge>,
    /// Headers that repeat a value of the body, which the signature covers and them it does not.
    pub repeats: Vec<(HeaderName, Pointer)>,
    /// How it delivers.
    pub delivery: DeliveryFacts,
}

/// How a provider's events are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupPolicy {
    /// What an event without an id gets.
    pub missing_id: MissingId,
    /// What a known body under a new, unsigned id gets.
    pub replay_guard: ReplayGuard,
    /// How long a finished event is remembered.
    pub ttl: Duration,
}

/// What an event without an id gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingId {
    /// Refused: the provider promises one.
    Reject,
    /// Equal bodies are one event.
    Digest,
}

/// What a body that is known gets under a new id that the signature does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayGuard {
    /// It is a replay: answered as a duplicate.
    Enforce,
    /// It is forwarded and marked as a possible duplicate.
    Report,
    /// It is a new event.
    Off,
}

impl MissingId {
    /// The words of the preset language and of a source.
    pub const WORDS: [(&'static str, Self); 2] = [("reject", Self::Reject), ("digest", Self::Digest)];
}

impl ReplayGuard {
    /// The words of the preset language and of a source.
    pub const WORDS: [(&'static str, Self); 3] =
        [("enforce", Self::Enforce), ("report", Self::Report), ("off", Self::Off)];
}

/// A request by which a provider only asks whether somebody is there. Answered here, never forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    body: serde_json::Value,
    /// False where the provider may leave the signature out of it.
    pub signed: bool,
}

impl Challenge {
    /// Bodies above this are not compared.
    pub const MAX_LEN: usize = 4096;

    /// A body that is one.
    pub fn text(&self) -> String {
        self.body.to_string()
    }

    /// True if `body` is this challenge's, compared as JSON.
    pub fn matches(&self, body: &[u8]) -> bool {
        body.len() <= Self::MAX_LEN
            && serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body == self.body)
    }
}

/// How a provider delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// How long it waits for our answer, where it says so.
    pub timeout: Option<Duration>,
    /// From the first attempt to the last, where it says so.
    pub retry_span: Option<Duration>,
    /// True if a retry carries the first attempt's timestamp.
    pub frozen_timestamp: bool,
}

impl Preset {
    /// Every preset, by slug.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset with this slug or alias.
    ///
    /// # Errors
    /// A fragment that names the nearest one, or where they are listed.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        let names = |preset: &'static Self| preset.aliases.iter().chain([&preset.slug]);
        if let Some(preset) = PRESETS.iter().find(|preset| names(preset).any(|known| known == name)) {
            return Ok(preset);
        }
        Err(match nearest(name, PRESETS.iter().flat_map(names).map(String::as_str)) {
            Some(near) => format!("\"{name}\" is not a provider, did you mean \"{near}\"?"),
            None => format!("\"{name}\" is not a provider, `hookward providers` lists them"),
        })
    }

    fn read(slug: &str, text: &str) -> Result<Self, String> {
        let faults = Faults::default();
        let document = load(slug, text, &faults);
        let reader = Reader::new(&document, "", &faults);
        let text = |key| match reader.text(key) {
            Some(text) => text.value.to_owned(),
            None => {
                reader.missing(key, "\"…\"");
                String::new()
            }
        };
        let (name, docs, read, secret_hint) = (text("name"), text("docs"), text("read"), text("secret_hint"));
        let confidence = reader.choice("confidence", &Confidence::WORDS);
        let texts = |key| reader.texts(key).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect();
        let (aliases, notes) = (texts("aliases"), texts("notes"));
        reader.has("extends");
        let profile = Profile::read(&reader, &document, &Table::empty(document.place.clone()));
        reader.finish();
        match (profile, confidence, faults.into_sorted().first()) {
            (Some(profile), Some(confidence), None) => Ok(Self {
                slug: slug.to_owned(),
                aliases,
                name,
                docs,
                read,
                confidence,
                secret_hint,
                notes,
                document,
                profile,
            }),
            (_, _, fault) => Err(fault.map_or_else(|| format!("{slug}: incomplete"), ToString::to_string)),
        }
    }
}

/// A preset's document, laid over the one that it extends. Aliases and notes are not inherited.
fn load(slug: &str, text: &str, faults: &Faults) -> Table {
    let document = Table::parse(&format!("presets/{slug}.toml"), text, faults);
    let Some(base) = Reader::new(&document, "", faults).text("extends") else {
        return document;
    };
    let Some((base, text)) = FILES.iter().find(|(slug, _)| *slug == base.value) else {
        faults.add(base.place, "extends: no such preset");
        return document;
    };
    let mut base = load(base, text, faults);
    base.take("aliases");
    base.take("notes");
    base.overlay(&document)
}

impl Profile {
    /// Reads what `document` says of a provider, with `over` winning over its scheme. `root` reads the same document.
    ///
    /// `None` if anything was wrong, which the reader's faults then have.
    pub fn read(root: &Reader<'_>, document: &Table, over: &Table) -> Option<Self> {
        let faults = root.faults();
        for part in ["signature", "timestamp", "event", "any_of"] {
            root.has(part);
        }
        let scheme = Scheme::read(document, over, faults);
        let methods = read_methods(root).unwrap_or_else(|| vec![Method::POST]);
        let accepted =
            root.integer("accepted", 200, 299).and_then(|status| StatusCode::from_u16(status.try_into().ok()?).ok());
        let dedup = DedupPolicy::read(root.table("dedup"));
        let addresses = root.table("network").map(read_addresses).unwrap_or_default();
        let challenge = root.table("challenge").and_then(Challenge::read);
        let repeats = root.tables("repeats").into_iter().filter_map(read_repeat).collect();
        let delivery = DeliveryFacts::read(root.table("sender"));
        Some(Self { scheme: scheme?, methods, accepted, dedup, addresses, challenge, repeats, delivery })
    }
}

/// The methods that `reader`'s table names, of a provider or a source. `None` where it names none.
pub fn read_methods(reader: &Reader<'_>) -> Option<Vec<Method>> {
    let names = reader.texts("methods")?;
    let methods: Vec<Method> = names
        .iter()
        .filter_map(|name| match name.value {
            "GET" => Some(Method::GET),
            "POST" => Some(Method::POST),
            "PUT" => Some(Method::PUT),
            "PATCH" => Some(Method::PATCH),
            "DELETE" => Some(Method::DELETE),
            other => {
                let text = format!("methods: \"{other}\" is not one of GET, POST, PUT, PATCH, DELETE");
                reader.fault(name.place.clone(), text);
                None
            }
        })
        .collect();
    if names.is_empty() {
        reader
            .fault(reader.place_of("methods"), "methods: an empty list refuses everything, leave the key out for POST");
    }
    Some(methods)
}

impl DedupPolicy {
    fn read(reader: Option<Reader<'_>>) -> Self {
        let mut policy =
            Self { missing_id: MissingId::Digest, replay_guard: ReplayGuard::Report, ttl: Duration::from_secs(86_400) };
        if let Some(reader) = reader {
            policy.missing_id = reader.choice("missing_id", &MissingId::WORDS).unwrap_or(policy.missing_id);
            policy.replay_guard = reader.choice("replay_guard", &ReplayGuard::WORDS).unwrap_or(policy.replay_guard);
            policy.ttl = reader.parse("ttl", parse_duration).unwrap_or(policy.ttl);
            reader.finish();
        }
        policy
    }
}

/// `{ header = "X-Event", json = "/event" }`.
fn read_repeat(reader: Reader<'_>) -> Option<(HeaderName, Pointer)> {
    let header = header_name(&reader, "header");
    let json = reader.parse("json", Pointer::parse);
    reader.finish();
    Some((header?, json?))
}

fn read_addresses(reader: Reader<'_>) -> Vec<IpNet> {
    let texts = reader.texts("allow").unwrap_or_default();
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_net(text.value) {
            Ok(net) => addresses.push(net),
            Err(wrong) => reader.fault(text.place, format!("allow: {wrong}")),
        }
    }
    reader.finish();
    addresses
}

/// An address or a network, IPv4-mapped IPv6 written as IPv4.
///
/// # Errors
/// What is wrong with it, and what would be right, as a fragment.
pub fn parse_net(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| format!("\"{text}\" is not an address or a network, for example \"203.0.113.0/24\""))?;
    let trunc = net.trunc();
    if trunc != net {
        return Err(format!("\"{text}\" has bits behind its prefix, write \"{trunc}\""));
    }
    let net = match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96 => {
            IpNet::new(v6.addr().to_canonical(), v6.prefix_len() - 96).unwrap_or(net)
        }
        _ => net,
    };
    if net.prefix_len() == 0 {
        return Err(format!("\"{text}\" is every address, write allow = \"any\" if that is meant"));
    }
    Ok(net)
}

impl Challenge {
    fn read(reader: Reader<'_>) -> Option<Self> {
        let body =
            reader.parse("body", |text| serde_json::from_str(text).map_err(|error| format!("not JSON: {error}")));
        let signed = reader.boolean("signed").unwrap_or(true);
        reader.finish();
        Some(Self { body: body?, signed })
    }
}

impl DeliveryFacts {
    fn read(reader: Option<Reader<'_>>) -> Self {
        let Some(reader) = reader else {
            return Self { timeout: None, retry_span: None, frozen_timestamp: false };
        };
        let timeout = reader.parse("timeout", parse_duration);
        let frozen_timestamp = reader.choice("timestamp", &[("fresh", false), ("frozen", true)]).unwrap_or(false);
        let retry_span = reader.table("retry").and_then(|retry| {
            let window = retry.parse("window", parse_duration);
            let delays = retry.texts("delays").map(|delays| {
                let sum = delays.iter().filter_map(|delay| match parse_duration(delay.value) {
                    Ok(delay) => Some(delay),
                    Err(wrong) => {
                        retry.fault(delay.place.clone(), format!("delays: {wrong}"));
                        None
                    }
                });
                sum.sum::<Duration>()
            });
            retry.finish();
            delays.into_iter().chain(window).min()
        });
        reader.finish();
        Self { timeout, retry_span, frozen_timestamp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_sound() {
        let mut slugs: Vec<String> = std::fs::read_dir("presets")
            .expect("the presets")
            .map(|entry| entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        slugs.sort();
        let embedded: Vec<&str> = Preset::all().iter().map(|preset| preset.slug.as_str()).collect();
        assert_eq!(embedded, slugs);
    }

    #[test]
    fn names_are_found_by_slug_and_alias_and_told_apart() {
        assert_eq!(Preset::find("standardwebhooks").map(|preset| preset.slug.as_str()), Ok("standard-webhooks"));
        assert_eq!(
            Preset::find("strip").err().as_deref(),
            Some("\"strip\" is not a provider, did you mean \"stripe\"?")
        );
        let mut names: Vec<&String> =
            Preset::all().iter().flat_map(|preset| preset.aliases.iter().chain([&preset.slug])).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "two presets share a name");
    }

    #[test]
    fn networks_are_written_exactly() {
        assert_eq!(parse_net("192.0.2.1").map(|net| net.to_string()), Ok("192.0.2.1/32".into()));
        assert_eq!(parse_net("::ffff:192.0.2.0/120").map(|net| net.to_string()), Ok("192.0.2.0/24".into()));
        for bad in ["", "192.0.2.1/24", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "192.0.2.0/33", "example.com"] {
            assert!(parse_net(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_span_of_a_schedule_is_the_sum_of_its_waits_within_its_window() {
        let span = |slug| Preset::find(slug).expect("a preset").profile.delivery.retry_span.map(|span| span.as_secs());
        assert_eq!(span("vgs"), Some(99_305));
        assert_eq!(span("vantastatus"), Some(4_860));
        assert_eq!(span("vpn-enterprise"), Some(259_200));
    }
}
