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

/// The addresses that it publishes.
pub fn addresses(preset: &Preset) -> Vec<(&'static str, String)> {
    let networks = preset.profile.addresses.iter().enumerate();
    networks.map(|(index, net)| (if index == 0 { "addresses" } else { "" }, net.to_string())).collect()
}

/// What is answered here, and never forwarded.
pub fn answers(preset: &Preset) -> Vec<(&'static str, String)> {
    let profile = &preset.profile;
    let challenges = profile.challenges.iter().enumerate();
    let challenges =
        challenges.map(|(index, challenge)| (if index == 0 { "challenges" } else { "" }, challenge.to_string()));
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
