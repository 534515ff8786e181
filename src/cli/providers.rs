//! `hookward providers`: what is known of whose webhooks.

use std::fmt::Write;

use super::{FAILURE, print};
use crate::quantity::format_duration;
use crate::signature::preset::Preset;

/// All of them, a line each.
pub fn list() -> u8 {
    let mut text = format!("{:<28} {:<12} {:<28} {}\n", "PROVIDER", "CONFIDENCE", "SIGNATURE", "NAME");
    for preset in Preset::all() {
        let header = preset.profile.scheme.alternatives()[0].signature_place();
        let _ = writeln!(text, "{:<28} {:<12} {:<28} {}", preset.slug, preset.confidence.as_str(), header, preset.name);
    }
    text.push_str("\n`hookward providers show stripe` says more of one.\n");
    print(&text);
    0
}

/// What is known of one, and how to configure it.
pub fn show(name: &str) -> u8 {
    match Preset::find(name) {
        Ok(preset) => {
            print(&describe(preset));
            0
        }
        Err(why) => {
            eprintln!("error: {why}");
            FAILURE
        }
    }
}

fn describe(preset: &Preset) -> String {
    let mut text = format!("{} ({})\n\n", preset.name, preset.slug);
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<12} {value}");
    };
    line("described in", &preset.docs);
    line("read", &format!("{}, confidence: {}", preset.read, preset.confidence.as_str()));
    line("secret", &preset.secret_hint);
    let profile = &preset.profile;
    for alternative in profile.scheme.alternatives() {
        let name = alternative.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        line("signature", &format!("{} in {alternative}{name}", alternative.computation()));
        if let Some(timestamp) = alternative.timestamp() {
            let place = timestamp.place.as_ref().map_or("the signature's value".to_owned(), ToString::to_string);
            let signed = if alternative.coverage().timestamp { "signed" } else { "not signed" };
            let tolerance = timestamp
                .tolerance
                .past
                .map_or("any age".to_owned(), |past| format!("tolerance {}", format_duration(past)));
            line("timestamp", &format!("in {place}, {signed}, {tolerance}"));
        }
        for place in alternative.ids() {
            let signed =
                if alternative.covers_id_at(place) { "signed" } else { "not signed, counts with the body's digest" };
            line("event id", &format!("{place}, {signed}"));
        }
    }
    if profile.scheme.alternatives().iter().all(|alternative| alternative.ids().is_empty()) {
        line("event id", "none, equal bodies are one event");
    }
    line("remembered", &format_duration(profile.dedup.ttl));
    for (index, net) in profile.addresses.iter().enumerate() {
        line(if index == 0 { "addresses" } else { "" }, &net.to_string());
    }
    for note in &preset.notes {
        let _ = writeln!(text, "\n  {note}");
    }
    let allow = if profile.addresses.is_empty() { "any" } else { "provider" };
    let variable = format!("{}_SECRET", preset.slug.to_uppercase().replace('-', "_"));
    let _ = write!(
        text,
        "\n[[source]]\nname = \"{slug}\"\npath = \"/in/{slug}\"\nprovider = \"{slug}\"\nsecrets = [{{ env = \"{variable}\" }}]\nallow = \"{allow}\"\nupstream = \"http://127.0.0.1:3000/webhooks/{slug}\"\n",
        slug = preset.slug
    );
    text
}
