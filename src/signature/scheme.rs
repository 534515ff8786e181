//! Reads a [`Scheme`] from the `[signature]`, `[timestamp]`, `[event]` and `[[any_of]]` tables of a document.

mod keys;
mod pieces;
mod places;

use http::HeaderName;

use super::algorithm::Algorithm;
use super::condition::Condition;
use super::event_id::IdPlace;
use super::json::Pointer;
use super::place::Place;
use super::template::{NamedPieces, Source, Template};
use super::timestamp::{TimeUnit, TimestampScheme, Tolerance};
use super::token::TokenScheme;
use super::value::ValueSyntax;
use super::{
    Alternative, BodyCoverage, Choice, Coverage, Document, Encoding, KeyRole, Mechanism, Routine, Scheme, SecretForm,
    SignaturePlace,
};
use crate::document::{Faults, Node, Reader, Table, Value};
use crate::quantity::parse_duration;
use keys::{read_key_id, read_remote, read_token};
use pieces::read_pieces;
use places::{EventPlaces, read_event, read_place, read_signature_place};

pub(super) use places::{header_name, parse_header, read_whole_place};

/// The tables that make up an alternative. Each is laid over the one of the same name in the document.
const PARTS: [&str; 3] = ["signature", "timestamp", "event"];

/// Every key of a document that a scheme is read from.
pub const KEYS: [&str; 6] = ["signature", "timestamp", "event", "any_of", "first_of", "together"];

impl Scheme {
    /// Reads the scheme of `document`; what `over` has of the same tables wins over it, key by key.
    ///
    /// `None` if anything was wrong, which `faults` then has.
    pub fn read(document: &Table, over: &Table, faults: &Faults) -> Option<Self> {
        let root = Reader::new(document, "", faults);
        let together = root.boolean("together").unwrap_or(false);
        let (any_of, first_of) = (root.tables("any_of"), root.tables("first_of"));
        if root.has("any_of") && root.has("first_of") {
            root.fault(root.place_of("first_of"), "any_of and first_of exclude each other");
        }
        let choice = match (first_of.is_empty(), together) {
            (false, _) => Choice::FirstOf,
            (true, true) => Choice::Together,
            (true, false) => Choice::AnyOf,
        };
        let mut alternatives = Vec::new();
        for reader in any_of.into_iter().chain(first_of) {
            let merged = parts_of(document).overlay(&parts_of(reader.as_table())).overlay(&parts_of(over));
            let name = reader.text("name").map(|name| name.value.to_owned());
            for part in PARTS {
                reader.has(part);
            }
            reader.finish();
            alternatives.push(Alternative::read(&merged, name, faults)?);
        }
        if alternatives.is_empty() {
            alternatives.push(Alternative::read(&parts_of(document).overlay(&parts_of(over)), None, faults)?);
        }
        Some(Self::new(alternatives, choice))
    }

    /// Works out, for each alternative, which headers only its siblings read.
    fn new(mut alternatives: Vec<Alternative>, choice: Choice) -> Self {
        if choice == Choice::AnyOf {
            for index in 0..alternatives.len() {
                let own: Vec<HeaderName> = alternatives[index].headers().cloned().collect();
                let foreign = alternatives.iter().flat_map(Alternative::headers).filter(|name| !own.contains(name));
                alternatives[index].foreign = foreign.cloned().collect();
            }
        }
        Self { alternatives, choice }
    }
}

/// Just the tables of `document` that describe an alternative.
fn parts_of(document: &Table) -> Table {
    let mut parts = Table::empty(document.place.clone());
    for name in PARTS {
        if let Some(value) = document.value(name) {
            parts.set(name, value.clone());
        }
    }
    parts
}

/// An `algorithm` as it is written.
#[derive(Debug, Clone, Copy)]
enum AlgorithmWord {
    Pieces(Algorithm),
    Token { detached: bool },
    Bespoke(Routine),
}

impl AlgorithmWord {
    fn words() -> Vec<(&'static str, Self)> {
        let pieces = Algorithm::WORDS.iter().map(|(word, algorithm)| (*word, Self::Pieces(*algorithm)));
        let tokens = [("jwt", false), ("jws-detached", true)].map(|(word, detached)| (word, Self::Token { detached }));
        let routines = Routine::WORDS.iter().map(|(word, routine)| (*word, Self::Bespoke(*routine)));
        pieces.chain(tokens).chain(routines).collect()
    }
}

impl Alternative {
    fn read(parts: &Table, name: Option<String>, faults: &Faults) -> Option<Self> {
        let document = Reader::new(parts, "", faults);
        if let Some(Value { node: Node::Text(word), .. }) = document.value("signature")
            && word == "none"
        {
            return Self::read_unsigned(&document, name);
        }
        let Some(signature) = document.table("signature") else {
            document.missing("signature", "[signature] header = \"X-Signature\"");
            return None;
        };
        let before = faults.count();
        let algorithm = signature.choice("algorithm", &AlgorithmWord::words());
        if !signature.has("algorithm") {
            signature.missing("algorithm", "\"hmac-sha256\"");
        }
        let place = read_signature_place(&signature);
        let value = read_value(&signature);
        let wrapped = signature.parse("wrapped", |text| match Pointer::parse(text)? {
            pointer if pointer.steps().len() == 1 => Ok(pointer),
            _ => Err(format!("\"{text}\" has more than one step, write \"/signature\"")),
        });
        let encoding = signature.choice("encoding", &Encoding::WORDS);
        let named = read_pieces(&signature);
        let signs = signature.parse("signs", |text| Template::parse(text, &named));
        let key = signature.choice("key", &[("{secret}", KeyRole::Secret), ("{body}", KeyRole::Body)]);
        let secret = signature.choice("secret", &SecretForm::WORDS).unwrap_or(SecretForm::Utf8);
        let optional = signature.boolean("optional").unwrap_or(false);
        let key_id = read_key_id(&signature, value.as_ref());
        let when = read_conditions(&signature, "when", &named);
        let requires = read_conditions(&signature, "requires", &named);
        let json = read_document(&signature);
        let for_each = signature.parse("for_each", Pointer::parse);
        let remote = signature.table("keys").and_then(read_remote);
        let token = read_token(&signature);
        let unsigned_body = signature.boolean("unsigned_body").unwrap_or(false);
        let unseparated = signature.boolean("unseparated").unwrap_or(false);
        let checks = Checks { unsigned_body, unseparated };

        let timestamp = document.table("timestamp").and_then(|reader| read_timestamp(reader, value.as_ref()));
        let timestamp = timestamp.map(|scheme| TimestampScheme { fixed_width: unseparated, ..scheme });
        let issued = Place::Claim(Pointer::member("iat"));
        let issued_is_timestamp = timestamp.as_ref().is_some_and(|scheme| scheme.place.as_ref() == Some(&issued));
        let mechanism = algorithm.and_then(|algorithm| match algorithm {
            AlgorithmWord::Pieces(algorithm) => {
                let signs = if signature.has("signs") { signs? } else { Template::body() };
                Some(Mechanism::Pieces { algorithm, signs, key: key.unwrap_or(KeyRole::Secret) })
            }
            AlgorithmWord::Token { detached } => {
                if token.algorithms.is_empty() && !signature.has("algorithms") {
                    signature.missing("algorithms", "[\"RS256\"]");
                }
                Some(Mechanism::Token(TokenScheme { detached, issued_is_timestamp, ..token }))
            }
            AlgorithmWord::Bespoke(routine) => Some(Mechanism::Bespoke(routine)),
        });
        let EventPlaces { ids, types } = document.table("event").map(read_event).unwrap_or_default();
        let (Some(mechanism), Some(place), Some(value)) = (mechanism, place, value) else {
            signature.finish();
            return None;
        };
        if signature.has("signs") && matches!(mechanism, Mechanism::Pieces { algorithm: Algorithm::Equal, .. }) {
            signature.fault(
                signature.place_of("signs"),
                "signs: \"equal\" compares the secret itself, nothing is signed, leave it out",
            );
        }
        for key in ["unseparated", "key_id"] {
            if signature.has(key) && matches!(mechanism, Mechanism::Token(_)) {
                signature.fault(signature.place_of(key), format!("{key}: a token says it itself, leave it out"));
            }
        }
        for key in ["signs", "key", "encoding"] {
            if signature.has(key) && !matches!(mechanism, Mechanism::Pieces { .. }) {
                signature
                    .fault(signature.place_of(key), format!("{key}: this algorithm knows it itself, leave it out"));
            }
        }
        for key in ["algorithms", "leeway", "max_lifetime"] {
            if signature.has(key) && !matches!(mechanism, Mechanism::Token(_)) {
                signature.fault(signature.place_of(key), format!("{key}: only a token has that"));
            }
        }
        let text = matches!(mechanism, Mechanism::Pieces { algorithm: Algorithm::Equal, .. } | Mechanism::Token(_));
        let default = if text { Encoding::Text } else { Encoding::Hex };
        let alternative = Self {
            name,
            when,
            place,
            wrapped,
            value,
            encoding: encoding.unwrap_or(default),
            mechanism,
            secret,
            key_id,
            requires,
            document: json,
            for_each,
            remote,
            optional,
            timestamp,
            ids,
            types,
            foreign: Vec::new(),
            coverage: Coverage::default(),
        };
        let alternative = Self { coverage: Coverage::of(&alternative), ..alternative };
        alternative.check(&signature, checks);
        signature.finish();
        (faults.count() == before).then_some(alternative)
    }

    /// `signature = "none"`: the provider signs nothing, and its messages are told from others all the same.
    fn read_unsigned(document: &Reader<'_>, name: Option<String>) -> Option<Self> {
        let before = document.faults().count();
        if document.has("timestamp") {
            let text = "timestamp: where nothing is signed, whoever sends a message writes its time, leave it out";
            document.fault(document.place_of("timestamp"), text);
        }
        let EventPlaces { ids, types } = document.table("event").map(read_event).unwrap_or_default();
        let value = ValueSyntax::parse(&["{signature}"], None).ok()?;
        (document.faults().count() == before).then(|| Self {
            name,
            when: Vec::new(),
            place: SignaturePlace::Nowhere,
            value,
            encoding: Encoding::Text,
            mechanism: Mechanism::Nothing,
            secret: SecretForm::Utf8,
            key_id: None,
            requires: Vec::new(),
            document: Document::Body,
            for_each: None,
            remote: None,
            optional: true,
            timestamp: None,
            ids,
            types,
            wrapped: None,
            foreign: Vec::new(),
            coverage: Coverage::default(),
        })
    }

    /// What each part says must hold together.
    fn check(&self, signature: &Reader<'_>, checks: Checks) {
        let fault = |key: &str, text: &str| signature.fault(signature.place_of(key), text);
        if let Mechanism::Pieces { algorithm, signs, key } = &self.mechanism {
            if signs.has(&Source::Timestamp) && self.timestamp.is_none() {
                fault("signs", "signs has {timestamp}, but there is no [timestamp] that says where it stands");
            }
            let in_header = self.ids.iter().any(|place| matches!(place, IdPlace::At(Place::Header(_))));
            if signs.has(&Source::Id) && !in_header {
                fault("signs", "signs has {id}, but [event] has no id in a header");
            }
            match (checks.unseparated, signs.check_unambiguous()) {
                (false, Err(wrong)) => {
                    let way_out = "; where the provider really signs so, write unseparated = true";
                    fault("signs", &format!("{wrong}{way_out}"));
                }
                (true, Ok(())) => fault("unseparated", "unseparated: the pieces of signs are separated, leave it out"),
                _ => {}
            }
            let wants_secret = *key == KeyRole::Body || matches!(algorithm, Algorithm::Digest(_));
            if signs.has(&Source::Secret) != wants_secret {
                fault(
                    "signs",
                    "signs has {secret} where key = \"{body}\" or the algorithm is a plain hash, and only there",
                );
            }
            if *key == KeyRole::Body && !matches!(algorithm, Algorithm::Hmac(_)) {
                fault("key", "key: only an HMAC has a key of its own");
            }
            for name in signs.sources().iter().filter_map(|source| match source {
                Source::At(Place::Value(name)) => Some(name),
                _ => None,
            }) {
                if !self.value.has_named(name) {
                    fault("signs", &format!("signs has {{value.{name}}}, but value has no {{{name}}}"));
                }
            }
        }
        match (self.coverage.body != BodyCoverage::Partial, checks.unsigned_body) {
            (false, false) => fault(
                "signs",
                "nothing that is signed has {body}: else anybody could change the body; where the provider really leaves it unsigned, write unsigned_body = true",
            ),
            (true, true) => fault("unsigned_body", "unsigned_body: the body is signed, leave it out"),
            _ => {}
        }
    }
}

/// What a scheme admits to.
#[derive(Debug, Clone, Copy)]
struct Checks {
    unsigned_body: bool,
    unseparated: bool,
}

fn read_value(signature: &Reader<'_>) -> Option<ValueSyntax> {
    let place = signature.place_of("value");
    let forms = match signature.value("value") {
        Some(Value { node: Node::List(_), .. }) => {
            signature.texts("value")?.into_iter().map(|form| form.value).collect()
        }
        Some(_) => vec![signature.text("value")?.value],
        None => vec!["{signature}"],
    };
    let separator = signature.choice("separator", &[(",", ','), (" ", ' '), (";", ';'), ("&", '&'), ("|", '|')]);
    match ValueSyntax::parse(&forms, separator) {
        Ok(value) => Some(value),
        Err(wrong) => {
            signature.fault(place, format!("value: {wrong}"));
            None
        }
    }
}

/// `[{ json = "/Type", is = "Notification" }, { claim = "payload_hash", is = "{body|sha256}" }]`.
fn read_conditions(signature: &Reader<'_>, key: &'static str, named: &NamedPieces) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for reader in signature.tables(key) {
        let place = read_whole_place(&reader);
        let texts = match reader.value("is") {
            Some(Value { node: Node::List(items), .. }) if items.is_empty() => {
                reader
                    .fault(reader.place_of("is"), "is: an empty list matches nothing, leave it out to want any value");
                Vec::new()
            }
            Some(Value { node: Node::List(_), .. }) => reader.texts("is").unwrap_or_default(),
            Some(_) => reader.text("is").into_iter().collect(),
            None => Vec::new(),
        };
        let mut is = Vec::with_capacity(texts.len());
        for text in texts {
            match Template::parse_expected(text.value, named) {
                Ok(template) => is.push(template),
                Err(wrong) => reader.fault(text.place, format!("is: {wrong}")),
            }
        }
        let absent_without_body = reader.boolean("absent_without_body").unwrap_or(false);
        reader.finish();
        conditions.extend(place.map(|place| Condition { place, is, absent_without_body }));
    }
    conditions
}

fn read_document(signature: &Reader<'_>) -> Document {
    let Some(reader) = signature.table("document") else { return Document::Body };
    let own = |text: &str| Ok::<_, String>(text.to_owned());
    let (form, multipart) = (reader.parse("form", own), reader.parse("multipart", own));
    if form.is_some() == multipart.is_some() {
        reader.fault(
            reader.place(),
            "the JSON stands in one form field, write { form = \"payload\" } or { multipart = \"json\" }",
        );
    }
    reader.finish();
    form.map(Document::Form).or(multipart.map(Document::Multipart)).unwrap_or(Document::Body)
}

fn read_timestamp(reader: Reader<'_>, value: Option<&ValueSyntax>) -> Option<TimestampScheme> {
    let place = read_place(&reader);
    let unit = reader.choice("unit", &TimeUnit::WORDS).unwrap_or(TimeUnit::Seconds);
    let parse = |text: &str| if text == "off" { Ok(None) } else { parse_duration(text).map(Some) };
    let past = reader.parse("tolerance", parse);
    let future = reader.parse("future", parse);
    if !reader.has("tolerance") {
        reader.missing("tolerance", "\"5m\", or \"off\" where any age will do");
    }
    if value.is_some_and(|value| place.is_some() == value.has_timestamp()) {
        reader.fault(
            reader.place(),
            "a timestamp stands either in a `header`, `query`, `form`, `json` or `claim`, or as {timestamp} in the signature's `value`",
        );
    }
    reader.finish();
    let past = past?;
    let tolerance = Tolerance { past, future: future.unwrap_or(past) };
    Some(TimestampScheme { place, unit, tolerance, fixed_width: false })
}
