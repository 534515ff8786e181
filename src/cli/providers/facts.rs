//! What is known of a provider, a label and a text each.

use crate::quantity::format_duration;
use crate::signature::coverage::BodyCoverage;
use crate::signature::preset::Preset;
use crate::signature::timestamp::TimestampScheme;
use crate::signature::{Alternative, Scheme};

/// Where the description is from, and how sure it is.
pub fn origin(preset: &Preset) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    // A file of the operator's own need not say where it is from.
    if !preset.docs.is_empty() {
        facts.push(("described in", preset.docs.clone()));
    }
    if !preset.read.is_empty() {
        facts.push(("read", format!("{}, confidence: {}", preset.read, preset.confidence.as_str())));
    }
    facts.extend(preset.confirmed_by.iter().map(|by| ("confirmed by", by.clone())));
    facts
}

/// Where the operator finds the secret; where nothing is signed, where the webhook is set up.
pub fn secret(preset: &Preset) -> (&'static str, String) {
    let label = if preset.profile.scheme.signs_nothing() { "set up in" } else { "secret" };
    (label, preset.secret_hint.clone())
}

/// How its messages are signed and told apart.
pub fn signing(preset: &Preset) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let profile = &preset.profile;
    let signs = !profile.scheme.signs_nothing();
    if !signs {
        facts.push(("signature", "none: a source needs url_token, authorization or a list of addresses".into()));
    }
    for alternative in profile.scheme.alternatives() {
        if signs {
            let name = alternative.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            facts.push(("signature", format!("{} in {alternative}{name}", alternative.computation())));
            facts.extend(alternative.signed_content().map(|signed| ("signs", signed)));
            facts.push(("body", body(alternative).into()));
        }
        facts.extend(alternative.timestamp().map(|timestamp| ("timestamp", time(alternative, timestamp))));
        for place in alternative.ids() {
            let covered = alternative.covers_id_at(place);
            let signed = if covered { "signed" } else { "not signed, counts with the body's digest" };
            facts.push(("event id", format!("{place}, {signed}")));
        }
        for place in alternative.types() {
            let signed = if alternative.covers_type_at(place) { "signed" } else { "not signed" };
            facts.push(("event type", format!("{place}, {signed}")));
        }
    }
    if has_no_id(&profile.scheme) {
        facts.push(("event id", "none, equal bodies are one event".into()));
    }
    facts.push(("remembered", format_duration(profile.dedup.ttl)));
    facts
}

/// The addresses that it publishes, and where.
pub fn addresses(preset: &Preset) -> Vec<(&'static str, String)> {
    let addresses = &preset.profile.addresses;
    let snapshot = labelled("addresses", addresses.snapshot.iter());
    let published = addresses.published.iter().map(|page| ("published at", page.clone()));
    snapshot.chain(published).chain(labelled("refreshed from", addresses.refresh.iter())).collect()
}

/// The texts of each label as one.
pub fn grouped(facts: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let mut grouped: Vec<(&'static str, String)> = Vec::new();
    for (label, value) in facts {
        match grouped.last_mut().filter(|_| label.is_empty()) {
            Some((_, values)) => *values = format!("{values}, {value}"),
            None => grouped.push((label, value)),
        }
    }
    grouped
}

/// The label beside the first of several.
fn labelled<T: ToString>(
    label: &'static str,
    all: impl Iterator<Item = T>,
) -> impl Iterator<Item = (&'static str, String)> {
    all.enumerate().map(move |(index, one)| (if index == 0 { label } else { "" }, one.to_string()))
}

/// What is answered here, and never forwarded.
pub fn answers(preset: &Preset) -> Vec<(&'static str, String)> {
    let profile = &preset.profile;
    let challenges = labelled("challenges", profile.challenges.iter());
    let accepted = (!profile.accepted_body.is_empty()).then(|| ("accepted body", profile.accepted_body.clone()));
    challenges.chain(accepted).collect()
}

/// True where no message has an id of its own.
pub fn has_no_id(scheme: &Scheme) -> bool {
    scheme.alternatives().iter().all(|alternative| alternative.ids().is_empty())
}

fn body(alternative: &Alternative) -> &'static str {
    match alternative.coverage().body {
        BodyCoverage::Bytes => "signed, every byte",
        BodyCoverage::Meaning => "signed, but for how it is written",
        BodyCoverage::Partial => "NOT SIGNED, or not all of it",
    }
}

fn time(alternative: &Alternative, timestamp: &TimestampScheme) -> String {
    let place = timestamp.place.as_ref().map_or("the signature's value".to_owned(), ToString::to_string);
    let signed = if alternative.coverage().timestamp { "signed" } else { "not signed" };
    let tolerance =
        timestamp.tolerance.past.map_or("any age".to_owned(), |past| format!("tolerance {}", format_duration(past)));
    format!("in {place}, {signed}, {tolerance}")
}
