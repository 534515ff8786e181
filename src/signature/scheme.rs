//! Reads a [`Scheme`] from the `[signature]`, `[timestamp]`, `[event]` and `[[any_of]]` tables of a document.

use http::HeaderName;

use super::event_id::IdPlace;
use super::json::Pointer;
use super::template::Template;
use super::timestamp::TimestampScheme;
use super::value::ValueSyntax;
use super::{Alternative, Encoding, KeyRole, Piece, Scheme, SecretForm};
use crate::document::{Faults, Node, Place, Reader, Table, Value};
use crate::quantity::parse_duration;

/// The tables that make up an alternative. Each is laid over the one of the same name in the document.
const PARTS: [&str; 3] = ["signature", "timestamp", "event"];

impl Scheme {
    /// Reads the scheme of `document`; what `over` has of the same tables wins over it, key by key.
    ///
    /// `None` if anything was wrong, which `faults` then has.
    pub fn read(document: &Table, over: &Table, faults: &Faults) -> Option<Self> {
        let mut alternatives = Vec::new();
        match document.value("any_of").map(|value| &value.node) {
            Some(Node::List(items)) if !items.is_empty() => {
                for item in items {
                    match &item.node {
                        Node::Table(table) => {
                            let merged = parts_of(document).overlay(&parts_of(table)).overlay(&parts_of(over));
                            let reader = Reader::new(table, "any_of", faults);
                            let name = reader.text("name").map(|name| name.value.to_owned());
                            for part in PARTS {
                                reader.has(part);
                            }
                            reader.finish();
                            alternatives.push(Alternative::read(&merged, name, faults)?);
                        }
                        _ => faults.add(item.place.clone(), "any_of: write a list of tables, as in [[any_of]]"),
                    }
                }
            }
            Some(Node::List(_)) | None => {
                alternatives.push(Alternative::read(&parts_of(document).overlay(&parts_of(over)), None, faults)?);
            }
            Some(_) => {
                faults.add(document.place.clone(), "any_of: write a list of tables, as in [[any_of]]");
                return None;
            }
        }
        Some(Self::new(alternatives))
    }

    /// Works out, for each alternative, which headers only its siblings read.
    fn new(mut alternatives: Vec<Alternative>) -> Self {
        for index in 0..alternatives.len() {
            let own: Vec<HeaderName> = alternatives[index].headers().cloned().collect();
            let foreign = alternatives.iter().flat_map(Alternative::headers).filter(|name| !own.contains(name));
            alternatives[index].foreign = foreign.cloned().collect();
        }
        Self { alternatives }
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

impl Alternative {
    fn read(parts: &Table, name: Option<String>, faults: &Faults) -> Option<Self> {
        let document = Reader::new(parts, "", faults);
        let Some(signature) = document.table("signature") else {
            document.missing("signature", "[signature] header = \"X-Signature\"");
            return None;
        };
        let before = faults.count();
        signature.choice("algorithm", &[("hmac-sha256", ())]);
        if !signature.has("algorithm") {
            signature.missing("algorithm", "\"hmac-sha256\"");
        }
        let header = header_name(&signature, "header");
        if header.is_none() && !signature.has("header") {
            signature.missing("header", "\"X-Signature\"");
        }
        let value = read_value(&signature);
        let encoding = signature.choice("encoding", &Encoding::WORDS).unwrap_or(Encoding::Hex);
        let signs = signature.parse("signs", Template::parse).or_else(|| Template::parse("{body}").ok());
        let key = signature.choice("key", &[("{secret}", KeyRole::Secret), ("{body}", KeyRole::Body)]);
        let key = key.unwrap_or(KeyRole::Secret);
        let secret = signature.choice("secret", &SecretForm::WORDS).unwrap_or(SecretForm::Utf8);
        let optional = signature.boolean("optional").unwrap_or(false);
        let place = signature.place_of("signs");
        signature.finish();

        let (value, signs) = (value?, signs?);
        let timestamp = document.table("timestamp").and_then(|reader| read_timestamp(reader, &value));
        let ids = document.table("event").map(read_ids).unwrap_or_default();
        let alternative = Self {
            name,
            header: header?,
            value,
            encoding,
            signs,
            key,
            secret,
            optional,
            timestamp,
            ids,
            foreign: Vec::new(),
        };
        alternative.check(&place, faults);
        (faults.count() == before).then_some(alternative)
    }

    /// What each part says must hold together.
    fn check(&self, place: &Place, faults: &Faults) {
        let fault = |text: &str| faults.add(place.clone(), format!("[signature]: {text}"));
        if self.signs.has(Piece::Timestamp) && self.timestamp.is_none() {
            fault("signs has {timestamp}, but there is no [timestamp] that says where it stands");
        }
        let in_header = self.ids.iter().any(|place| matches!(place, IdPlace::Header(_)));
        if self.signs.has(Piece::Id) && !in_header {
            fault("signs has {id}, but [event] has no id in a header");
        }
        if !self.covers(Piece::Body) {
            fault("signs must have {body}, or key must be \"{body}\": else anybody could change the body");
        }
        if let Err(wrong) = self.signs.check_unambiguous() {
            fault(wrong);
        }
        if self.signs.has(Piece::Secret) != (self.key == KeyRole::Body) {
            fault("signs has {secret} where key = \"{body}\", and only there");
        }
    }
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
    let separator = signature.choice("separator", &[(",", ','), (" ", ' '), (";", ';')]);
    match ValueSyntax::parse(&forms, separator) {
        Ok(value) => Some(value),
        Err(wrong) => {
            signature.fault(place, format!("value: {wrong}"));
            None
        }
    }
}

fn read_timestamp(reader: Reader<'_>, value: &ValueSyntax) -> Option<TimestampScheme> {
    let header = header_name(&reader, "header");
    let tolerance = reader.parse("tolerance", parse_duration);
    if !reader.has("tolerance") {
        reader.missing("tolerance", "\"5m\"");
    }
    if header.is_some() == value.has_timestamp() {
        let place = reader.place();
        reader.fault(place, "a timestamp stands either in `header` or as {timestamp} in the signature's `value`");
    }
    reader.finish();
    Some(TimestampScheme { header, tolerance: tolerance? })
}

/// `id` is one place or a list of places: `{ header = "…" }`, `{ json = "/…" }`, `"timestamp"`.
fn read_ids(event: Reader<'_>) -> Vec<IdPlace> {
    let read_one = |value: &Value| -> Option<IdPlace> {
        match &value.node {
            Node::Text(word) if word == "timestamp" => Some(IdPlace::Timestamp),
            Node::Table(table) => {
                let reader = event.inner("id", table);
                let header = header_name(&reader, "header").map(IdPlace::Header);
                let json = reader.parse("json", Pointer::parse).map(IdPlace::Json);
                if reader.has("header") == reader.has("json") {
                    reader.fault(
                        reader.place(),
                        "an id stands either in a `header` or in the body's `json`; for both, write a list",
                    );
                }
                reader.finish();
                header.or(json)
            }
            _ => {
                event.wrong_kind(
                    "id",
                    value,
                    "a place, write { header = \"X-Id\" }, { json = \"/id\" } or \"timestamp\"",
                );
                None
            }
        }
    };
    let ids = match event.value("id") {
        None => Vec::new(),
        Some(Value { node: Node::List(items), .. }) => items.iter().filter_map(read_one).collect(),
        Some(value) => read_one(value).into_iter().collect(),
    };
    event.finish();
    ids
}

/// A header's name.
pub(crate) fn header_name(reader: &Reader<'_>, key: &'static str) -> Option<HeaderName> {
    reader.parse(key, |name| {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("\"{name}\" is not a header's name"))
    })
}
