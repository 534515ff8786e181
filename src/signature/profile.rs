//! What a provider does, as far as a receiver or a sender of its webhooks must know it.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode};

use super::Scheme;
use super::addresses::Addresses;
use super::challenge::{self, Challenge};
use super::emission::{DeliveryFacts, Emission};
use super::json::Pointer;
use super::scheme::{self, header_name};
use crate::document::{Reader, Table};
use crate::quantity::parse_duration;

/// What a provider does.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// How its messages are signed.
    pub scheme: Scheme,
    /// The methods it uses, at least one.
    pub methods: Vec<Method>,
    /// What it counts as success, where it is pickier than 2xx.
    pub accepted: Option<StatusCode>,
    /// How its events are told apart.
    pub dedup: DedupPolicy,
    /// The addresses it publishes.
    pub addresses: Addresses,
    /// Requests that are answered by the gateway.
    pub challenges: Vec<Challenge>,
    /// What it reads in the answer to what was accepted; empty where it reads nothing.
    pub accepted_body: String,
    /// True where it wants refusals without a body.
    pub bare_refusals: bool,
    /// Headers that repeat a value of the body, which the signature covers and them it does not.
    pub repeats: Vec<(HeaderName, Pointer)>,
    /// What it says of how it delivers.
    pub delivery: DeliveryFacts,
    /// How we deliver as it does.
    pub emission: Emission,
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
    /// By which digest an event is told that has no id, or none that is signed.
    pub digest: DigestOf,
}

/// What an event's digest is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestOf {
    /// The body; what is signed where a body can be written in several ways under one signature.
    Body,
    /// What is signed, although that is not all of the body.
    Signed,
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

impl Profile {
    /// Reads what `document` says of a provider, with `over` winning over its scheme. `root` reads the same document.
    ///
    /// `None` if anything was wrong, which the reader's faults then have.
    pub fn read(root: &Reader<'_>, document: &Table, over: &Table) -> Option<Self> {
        let faults = root.faults();
        for key in scheme::KEYS {
            root.has(key);
        }
        let scheme = Scheme::read(document, over, faults);
        let methods = read_methods(root).unwrap_or_else(|| vec![Method::POST]);
        let accepted =
            root.integer("accepted", 200, 299).and_then(|status| StatusCode::from_u16(status.try_into().ok()?).ok());
        let dedup = DedupPolicy::read(root.table("dedup"));
        let addresses = root.table("network").map(Addresses::read).unwrap_or_default();
        let accepted_body = root.parse("accepted_body", parse_accepted_body).unwrap_or_default();
        let bare_refusals = root.boolean("bare_refusals").unwrap_or(false);
        let repeats = root.tables("repeats").into_iter().filter_map(read_repeat).collect();
        let sender = root.table("sender");
        let challenges = challenge::read_all(root, scheme.as_ref(), &methods);
        let scheme = scheme?;
        let (emission, delivery) = Emission::read(sender, &scheme);
        Some(Self {
            scheme,
            methods,
            accepted,
            dedup,
            addresses,
            challenges,
            accepted_body,
            bare_refusals,
            repeats,
            delivery,
            emission,
        })
    }
}

impl Profile {
    /// The parameters that its scheme and its challenges read, each with whether it may be left out. A challenge for
    /// which one is left out is not answered.
    pub fn params(&self) -> Vec<(&str, bool)> {
        let mut params = self.scheme.params();
        for name in self.challenges.iter().flat_map(Challenge::params) {
            if !params.iter().any(|(known, _)| *known == name) {
                params.push((name, true));
            }
        }
        params
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
        let mut policy = Self {
            missing_id: MissingId::Digest,
            replay_guard: ReplayGuard::Report,
            ttl: Duration::from_secs(86_400),
            digest: DigestOf::Body,
        };
        if let Some(reader) = reader {
            policy.missing_id = reader.choice("missing_id", &MissingId::WORDS).unwrap_or(policy.missing_id);
            policy.replay_guard = reader.choice("replay_guard", &ReplayGuard::WORDS).unwrap_or(policy.replay_guard);
            policy.ttl = reader.parse("ttl", parse_duration).unwrap_or(policy.ttl);
            let words = [("body", DigestOf::Body), ("signed", DigestOf::Signed)];
            policy.digest = reader.choice("digest", &words).unwrap_or(policy.digest);
            reader.finish();
        }
        policy
    }
}

/// A short text, or a JSON object. Nothing that begins a tag.
fn parse_accepted_body(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'<');
    if plain && (1..=256).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not 1 to 256 of visible ASCII and spaces without '<'"))
    }
}

/// `{ header = "X-Event", json = "/event" }`.
fn read_repeat(reader: Reader<'_>) -> Option<(HeaderName, Pointer)> {
    let header = header_name(&reader, "header");
    let json = reader.parse("json", Pointer::parse);
    reader.finish();
    Some((header?, json?))
}
