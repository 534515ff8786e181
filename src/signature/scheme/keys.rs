//! Reads which key signed, where keys are published, and what a token must be.

use std::time::Duration;

use super::places::{read_place, read_whole_place};
use crate::document::{self, Node, Reader, Value};
use crate::quantity::parse_duration;
use crate::signature::KeyId;
use crate::signature::remote::{HostPattern, KeySource, RemoteKeys};
use crate::signature::token::{TokenAlgorithm, TokenScheme};
use crate::signature::value::ValueSyntax;

/// How far the clock of a token's maker may be from ours, where the scheme does not say.
const LEEWAY: Duration = Duration::from_secs(30);

/// `key_id = { header = "X-Key-Id" }`, `key_id = "primary"`, or the `{key_id}` of the value.
pub fn read_key_id(signature: &Reader<'_>, value: Option<&ValueSyntax>) -> Option<KeyId> {
    match signature.value("key_id") {
        None => value.is_some_and(ValueSyntax::has_key_id).then_some(KeyId::Value),
        Some(Value { node: Node::Text(id), .. }) => Some(KeyId::Fixed(id.clone())),
        Some(Value { node: Node::Table(table), .. }) => {
            let reader = signature.inner("key_id", table);
            let place = read_whole_place(&reader);
            reader.finish();
            place.map(KeyId::At)
        }
        Some(value) => {
            signature.wrong_kind("key_id", value, "a place as { header = \"X-Key-Id\" }, or the id of a secret");
            None
        }
    }
}

pub fn read_token(signature: &Reader<'_>) -> TokenScheme {
    let mut algorithms = Vec::new();
    for text in signature.texts("algorithms").unwrap_or_default() {
        match document::choose(text.value, &TokenAlgorithm::WORDS) {
            Ok(algorithm) => algorithms.push(algorithm),
            Err(wrong) => signature.fault(text.place, format!("algorithms: {wrong}")),
        }
    }
    let leeway = signature.parse("leeway", parse_duration).unwrap_or(LEEWAY);
    let max_lifetime = signature.parse("max_lifetime", parse_duration);
    TokenScheme { algorithms, detached: false, leeway, max_lifetime, issued_is_timestamp: false }
}

pub fn read_remote(reader: Reader<'_>) -> Option<RemoteKeys> {
    let before = reader.faults().count();
    let url = reader.parse("url", |url| match url.strip_prefix("https://") {
        Some(rest) if rest.contains('/') => Ok(KeySource::Url(url.to_owned())),
        _ => Err(format!("\"{url}\" is not an https:// URL")),
    });
    let place = read_place(&reader);
    let mut hosts = Vec::new();
    for text in reader.texts("hosts").unwrap_or_default() {
        match HostPattern::parse(text.value) {
            Ok(host) => hosts.push(host),
            Err(wrong) => reader.fault(text.place, format!("hosts: {wrong}")),
        }
    }
    let path_ends = reader.text("path_ends").map(|text| text.value.to_owned()).unwrap_or_default();
    let path_begins = reader.text("path_begins").map(|text| text.value.to_owned()).unwrap_or_default();
    let source = match (url, place) {
        (Some(url), None) => Some(url),
        (None, Some(place)) if !hosts.is_empty() => Some(KeySource::Message { place, hosts, path_begins, path_ends }),
        _ => {
            reader.fault(
                reader.place(),
                "write { url = \"https://…\" }, or the place that names it with the hosts that will do: { json = \"/CertURL\", hosts = [\"keys.example.com\"] }",
            );
            None
        }
    };
    let faults = reader.faults();
    reader.finish();
    (faults.count() == before).then_some(RemoteKeys { source: source? })
}
