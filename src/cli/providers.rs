//! `hookward providers`: what is known of whose webhooks.

mod sending;

use std::fmt::Write;

use super::secret_args::find_preset;
use super::{FAILURE, print};
use crate::config::provider;
use crate::quantity::format_duration;
use crate::signature::coverage::BodyCoverage;
use crate::signature::preset::Preset;

/// All of them, a line each.
pub fn list() -> u8 {
    let mut text = format!("{:<28} {:<12} {:<28} {}\n", "PROVIDER", "CONFIDENCE", "SIGNATURE", "NAME");
    for preset in Preset::all() {
        let header = preset.profile.scheme.alternatives()[0].signature_place();
        let _ =
            writeln!(text, "{:<28} {:<12} {:<28.28} {}", preset.slug, preset.confidence.as_str(), header, preset.name);
    }
    text.push_str("\n`hookward providers show stripe` says more of one.\n");
    print(&text);
    0
}

/// What is known of one, and how to configure it.
pub fn show(name: &str) -> u8 {
    match find_preset(name) {
        Ok(preset) => {
            print(&describe(&preset, if provider::is_path(name) { name } else { &preset.slug }));
            0
        }
        Err(why) => {
            eprintln!("error: {why}");
            FAILURE
        }
    }
}

/// What there is to say of one, whose configured name is `named`.
fn describe(preset: &Preset, named: &str) -> String {
    let mut text = format!("{} ({})\n\n", preset.name, preset.slug);
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<14} {value}");
    };
    // A file of the operator's own need not say where it is from.
    if !preset.docs.is_empty() {
        line("described in", &preset.docs);
    }
    if !preset.read.is_empty() {
        line("read", &format!("{}, confidence: {}", preset.read, preset.confidence.as_str()));
    }
    if let Some(confirmed_by) = &preset.confirmed_by {
        line("confirmed by", confirmed_by);
    }
    line("secret", &preset.secret_hint);
    let profile = &preset.profile;
    for alternative in profile.scheme.alternatives() {
        let name = alternative.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        line("signature", &format!("{} in {alternative}{name}", alternative.computation()));
        if let Some(signed) = alternative.signed_content() {
            line("signs", &signed);
        }
        line(
            "body",
            match alternative.coverage().body {
                BodyCoverage::Bytes => "signed, every byte",
                BodyCoverage::Meaning => "signed, but for how it is written",
                BodyCoverage::Partial => "NOT SIGNED, or not all of it",
            },
        );
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
            let covered = alternative.covers_id_at(place);
            let signed = if covered { "signed" } else { "not signed, counts with the body's digest" };
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
    for (label, value) in sending::describe(preset) {
        line(label, &value);
    }
    for note in &preset.notes {
        let _ = writeln!(text, "\n  {note}");
    }
    text.push_str(&source(preset, named));
    text.push_str(&try_it(preset, named));
    text
}

/// The variable that an example keeps the secret in.
fn variable(preset: &Preset) -> String {
    format!("{}_SECRET", preset.slug.to_uppercase().replace('-', "_"))
}

/// What to configure.
fn source(preset: &Preset, named: &str) -> String {
    let (slug, scheme) = (&preset.slug, &preset.profile.scheme);
    let allow = if preset.profile.addresses.is_empty() { "any" } else { "provider" };
    let mut text =
        format!("\nConfigure it\n\n[[source]]\nname = \"{slug}\"\npath = \"/in/{slug}\"\nprovider = \"{named}\"\n");
    if !scheme.has_remote_keys() {
        let _ = writeln!(text, "secrets = [{{ env = \"{}\" }}]", variable(preset));
    }
    let params: Vec<String> = scheme.params().iter().map(|(name, _)| format!("{name} = \"…\"")).collect();
    if !params.is_empty() {
        let _ = writeln!(text, "params = {{ {} }}", params.join(", "));
    }
    if scheme.signs_url() {
        let _ = writeln!(text, "public_url = \"https://hooks.example.com/in/{slug}\"");
    } else if scheme.has_form() {
        text.push_str(
            "# no query in the URL that the provider gets: the fields of its forms are signed, a query is not\n",
        );
    }
    let _ = writeln!(text, "allow = \"{allow}\"\nupstream = \"http://127.0.0.1:3000/webhooks/{slug}\"");
    text
}

/// A line that sends a signed event to a gateway on this machine.
fn try_it(preset: &Preset, named: &str) -> String {
    let (slug, scheme) = (&preset.slug, &preset.profile.scheme);
    if scheme.has_remote_keys() {
        return "\nOnly the provider can sign for its published keys: try it with one of its own test events.\n".into();
    }
    let secret = if scheme.has_public_keys() {
        // The public key is configured; a private one signs.
        "--secret-file private-key.pem".to_owned()
    } else {
        format!("--secret-env {}", variable(preset))
    };
    let params: String = scheme.params().iter().map(|(name, _)| format!(" --param {name}=…")).collect();
    let url = if scheme.signs_url() {
        format!("https://hooks.example.com/in/{slug}")
    } else {
        format!("http://127.0.0.1:8080/in/{slug}")
    };
    let body = if scheme.has_form() { "form.txt" } else { "event.json" };
    let sign = format!("hookward sign --provider {named} {secret}{params} --body {body}");
    let mut text = format!("\nTry it against a gateway on this machine\n\n{sign} \\\n    --url {url} --format curl");
    // What is signed is the public URL; it is this machine that is asked.
    text.push_str(if scheme.signs_url() {
        " | sed 's|https://hooks.example.com/|http://127.0.0.1:8080/|' | sh\n"
    } else {
        " | sh\n"
    });
    text
}
