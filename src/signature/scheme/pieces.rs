//! Reads `[signature.pieces]`: what a scheme names itself.

use super::places::read_whole_place;
use crate::document::{Node, Reader, Value};
use crate::signature::fields::{Each, FieldSource, Fields, Sort};
use crate::signature::template::{NamedPieces, Source, Template};

/// `pieces = { name = "template" }` or `{ name = { from = "form", each = "{name}={value}" } }`, in their order.
pub fn read_pieces(signature: &Reader<'_>) -> NamedPieces {
    let mut named = NamedPieces::new();
    let Some(Value { node: Node::Table(table), .. }) = signature.value("pieces") else {
        if let Some(value) = signature.value("pieces") {
            signature.wrong_kind("pieces", value, "a table of pieces by their names");
        }
        return named;
    };
    for (name, value) in table.entries() {
        let source = match &value.node {
            Node::Text(text) => match Template::parse(text, &named) {
                Ok(template) => Some(Source::Template(Box::new(template))),
                Err(wrong) => {
                    signature.fault(value.place.clone(), format!("pieces.{name}: {wrong}"));
                    None
                }
            },
            Node::Table(table) => {
                read_fields(signature.inner("pieces", table), &named).map(|fields| Source::Fields(Box::new(fields)))
            }
            _ => {
                signature.wrong_kind("pieces", value, "a template, or a table with `from` and `each`");
                None
            }
        };
        named.extend(source.map(|source| (name.to_owned(), source)));
    }
    named
}

pub fn read_fields(reader: Reader<'_>, named: &NamedPieces) -> Option<Fields> {
    let before = reader.faults().count();
    let texts = |key| reader.texts(key).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect();
    let separator = reader.choice("separator", &[(",", ','), (" ", ' '), (";", ';')]).unwrap_or(',');
    let from = match reader.value("from") {
        Some(Value { node: Node::List(_), .. }) => {
            let mut templates = Vec::new();
            for text in reader.texts("from")? {
                match Template::parse(text.value, named) {
                    Ok(template) => templates.push(template),
                    Err(wrong) => reader.fault(text.place, format!("from: {wrong}")),
                }
            }
            Some(FieldSource::Texts(templates))
        }
        Some(Value { node: Node::Table(table), .. }) => {
            let inner = reader.inner("from", table);
            let names = inner.table("headers").and_then(|inner| {
                let place = read_whole_place(&inner);
                inner.finish();
                place
            });
            if !inner.has("headers") {
                inner.missing("headers", "{ header = \"X-Signed-Headers\" }");
            }
            inner.finish();
            names.map(|names| FieldSource::Headers { names, separator })
        }
        Some(_) => reader.choice("from", &[("form", 0), ("query", 1), ("json", 2)]).map(|from| match from {
            0 => FieldSource::Form,
            1 => FieldSource::Query,
            _ => FieldSource::Json,
        }),
        None => {
            reader.missing(
                "from",
                "\"form\", \"query\", \"json\", { headers = { header = \"…\" } } or a list of templates",
            );
            None
        }
    };
    let each = reader.parse("each", Each::parse).or_else(|| Each::parse("{value}").ok());
    let sort = reader.choice("sort", &Sort::WORDS).unwrap_or(Sort::Name);
    let (only, except, required): (Vec<String>, Vec<String>, Vec<String>) =
        (texts("only"), texts("except"), texts("required"));
    let required = required.iter().map(|name| name.to_ascii_lowercase()).collect();
    let prefix = reader.text("prefix").map(|text| text.value.to_owned()).unwrap_or_default();
    let join = reader.text("join").map(|text| text.value.to_owned()).unwrap_or_default();
    let skip_empty = reader.boolean("skip_empty").unwrap_or(false);
    let distinct = reader.boolean("distinct").unwrap_or(false);
    let faults = reader.faults();
    reader.finish();
    let fields = Fields { from: from?, only, prefix, except, required, skip_empty, distinct, sort, each: each?, join };
    (faults.count() == before).then_some(fields)
}
