//! Reads where things stand.

use http::HeaderName;

use crate::document::{Node, Reader, Table, Value};
use crate::signature::SignaturePlace;
use crate::signature::event_id::IdPlace;
use crate::signature::json::Pointer;
use crate::signature::place::Place;

pub fn read_signature_place(signature: &Reader<'_>) -> Option<SignaturePlace> {
    let before = signature.faults().count();
    let own = |text: &str| Ok::<_, String>(text.to_owned());
    let headers = match signature.value("header") {
        Some(Value { node: Node::List(_), .. }) => {
            let mut names = Vec::new();
            for text in signature.texts("header")? {
                match text.value.parse() {
                    Ok(name) => names.push(name),
                    Err(_) => signature.fault(text.place, format!("header: \"{}\" is not a header's name", text.value)),
                }
            }
            if names.is_empty() && signature.faults().count() == before {
                signature.fault(signature.place_of("header"), "header: an empty list has no signature");
            }
            Some(SignaturePlace::Headers(names))
        }
        Some(_) => signature.parse("header", |text| match text.strip_suffix("{n}") {
            Some(name) if HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                Ok(SignaturePlace::Numbered(name.to_owned()))
            }
            _ => Ok(SignaturePlace::Headers(vec![parse_header(text)?])),
        }),
        None => None,
    };
    let places = [
        headers,
        signature.parse("query", own).map(|name| SignaturePlace::At(Place::Query(name))),
        signature.parse("form", own).map(|name| SignaturePlace::At(Place::Form(name))),
        signature.parse("json", Pointer::parse).map(|pointer| SignaturePlace::At(Place::Json(pointer))),
        signature.choice("in", &[("body", ())]).map(|()| SignaturePlace::Body),
    ];
    let mut places = places.into_iter().flatten();
    let place = places.next();
    if places.next().is_some() {
        signature.fault(signature.place(), "names two places for one signature");
    }
    if place.is_none() && signature.faults().count() == before {
        signature.missing("header", "\"X-Signature\"; or query, form, json, in = \"body\"");
    }
    place
}

/// Where an event says which one it is, and of what type.
#[derive(Default)]
pub struct EventPlaces {
    pub ids: Vec<IdPlace>,
    pub types: Vec<Place>,
}

/// `id` and `type` are one place each or a list of places: `{ header = "…" }`, `{ json = "/…" }`; for the id also
/// `"timestamp"`.
pub fn read_event(event: Reader<'_>) -> EventPlaces {
    let read_place = |key: &'static str, table: &Table| {
        let reader = event.inner(key, table);
        let place = read_whole_place(&reader);
        reader.finish();
        place
    };
    let ids = read_some(&event, "id", |value| match &value.node {
        Node::Text(word) if word == "timestamp" => Some(IdPlace::Timestamp),
        Node::Table(table) => read_place("id", table).map(IdPlace::At),
        _ => {
            let expected = "a place, write { header = \"X-Id\" }, { json = \"/id\" } or \"timestamp\"";
            event.wrong_kind("id", value, expected);
            None
        }
    });
    let types = read_some(&event, "type", |value| match &value.node {
        Node::Table(table) => read_place("type", table),
        _ => {
            event.wrong_kind("type", value, "a place, write { header = \"X-Event\" } or { json = \"/type\" }");
            None
        }
    });
    event.finish();
    EventPlaces { ids, types }
}

/// What stands under a key, be it one or a list.
fn read_some<T>(event: &Reader<'_>, key: &'static str, read: impl FnMut(&Value) -> Option<T>) -> Vec<T> {
    match event.value(key) {
        None => Vec::new(),
        Some(Value { node: Node::List(items), .. }) => items.iter().filter_map(read).collect(),
        Some(value) => std::iter::once(value).filter_map(read).collect(),
    }
}

/// As [`read_place`], for a table that is nothing but a place.
pub fn read_whole_place(reader: &Reader<'_>) -> Option<Place> {
    let before = reader.faults().count();
    let place = read_place(reader);
    if place.is_none() && reader.faults().count() == before {
        reader.fault(
            reader.place(),
            "names no place, write { header = \"X-Id\" }, { query = \"id\" }, { form = \"id\" }, { json = \"/id\" }, { claim = \"jti\" } or { value = \"t\" }",
        );
    }
    place
}

/// The one place that a table names, by `header`, `query`, `form`, `json`, `claim` or `value`. `None` if there is none.
pub fn read_place(reader: &Reader<'_>) -> Option<Place> {
    let own = |text: &str| Ok::<_, String>(text.to_owned());
    let places = [
        header_name(reader, "header").map(Place::Header),
        reader.parse("query", own).map(Place::Query),
        reader.parse("form", own).map(Place::Form),
        reader.parse("json", Pointer::parse).map(Place::Json),
        reader.parse("claim", |name| Ok(Pointer::member(name))).map(Place::Claim),
        reader.parse("value", own).map(Place::Value),
    ];
    let mut places = places.into_iter().flatten();
    let place = places.next();
    if places.next().is_some() {
        reader.fault(reader.place(), "names two places; for both, write a list");
    }
    place
}

/// A header's name.
pub fn header_name(reader: &Reader<'_>, key: &'static str) -> Option<HeaderName> {
    reader.parse(key, parse_header)
}

pub fn parse_header(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("\"{name}\" is not a header's name"))
}
