//! `docs/providers.md`, made of the presets.

use std::fmt::Write;

use super::{example, facts};
use crate::quantity::format_duration;
use crate::signature::coverage::BodyCoverage;
use crate::signature::preset::{Confidence, LeftOut, Preset};

/// What is not said of each provider of which it is so.
const USUAL: [(&str, &str); 2] = [("body", "signed, every byte"), ("remembered", "1d")];

/// The whole page.
pub fn markdown() -> String {
    let mut text = format!(
        "# Providers\n\n\
         {} providers have a preset, a short TOML file in [`presets/`](../presets) that both the gateway and the sender read. This page is made of them, by\n\
         `hookward providers page`; `hookward providers show stripe` prints one of its sections. A provider that is not here needs no code:\n\
         [`own-provider.md`](own-provider.md).\n\n\
         How sure we are of each:\n\n| confidence | providers | means |\n|---|---|---|\n",
        Preset::slugs().count()
    );
    for confidence in Confidence::all() {
        let count = Preset::all().filter(|preset| preset.confidence == confidence).count();
        let _ = writeln!(text, "| `{}` | {count} | {} |", confidence.as_str(), confidence.meaning());
    }
    text.push_str(
        "\nA signature covers what its `signs` names and nothing else: of the request's head only the headers, and of the URL only the parts, that stand there.\n\
         Where a section does not say otherwise, every byte of the body is signed, and an event is remembered for a day.\n\n\
         | provider | signature | time | event id | addresses | confidence |\n|---|---|---|---|---|---|\n",
    );
    for preset in Preset::all() {
        row(&mut text, preset);
    }
    for preset in Preset::all() {
        section(&mut text, preset);
    }
    text.push_str("\n## Left out\n\n| provider | why |\n|---|---|\n");
    for LeftOut { slug, name, why } in LeftOut::all() {
        let _ = writeln!(text, "| {} (`{slug}`) | {} |", plain(name), plain(why));
    }
    text
}

fn row(text: &mut String, preset: &Preset) {
    let profile = &preset.profile;
    let first = &profile.scheme.alternatives()[0];
    let time = match (first.timestamp(), first.coverage().timestamp) {
        (None, _) => "none".to_owned(),
        (Some(timestamp), signed) => {
            let past = timestamp.tolerance.past.map_or("any age".to_owned(), format_duration);
            if signed { past } else { format!("{past}, not signed") }
        }
    };
    let id = match first.ids().first() {
        None => "body".to_owned(),
        Some(place) if first.covers_id_at(place) => place.to_string(),
        Some(place) => format!("{place}, not signed"),
    };
    let signature = if profile.scheme.signs_nothing() {
        "none".to_owned()
    } else {
        format!("{} in {}", first.computation(), plain(&first.signature_place()))
    };
    let _ = writeln!(
        text,
        "| [{}](#{}) | {signature} | {time} | {} | {} | {} |",
        plain(&preset.name),
        preset.slug,
        plain(&id),
        if profile.addresses.are_unknown() { "" } else { "published" },
        preset.confidence.as_str(),
    );
}

fn section(text: &mut String, preset: &Preset) {
    let _ = writeln!(text, "\n## {}\n\n{}\n", preset.slug, plain(&preset.name));
    let (label, hint) = facts::secret(preset);
    let secret = (label, plain(&hint));
    let signing = facts::signing(preset)
        .into_iter()
        .filter(|fact| !USUAL.iter().any(|(label, value)| fact.0 == *label && fact.1 == *value));
    let signing = signing.map(|(label, value)| match label {
        "signs" => (label, code(&value)),
        _ => (label, plain(&value)),
    });
    let origin = facts::origin(preset).into_iter().map(|(label, value)| (label, plain(&value)));
    let addresses = facts::grouped(facts::addresses(preset));
    let answers = facts::grouped(facts::answers(preset)).into_iter().map(|(label, value)| (label, plain(&value)));
    let not_covered = ("not covered", not_covered(preset).join("; "));
    for (label, value) in
        std::iter::once(secret).chain(signing).chain([not_covered]).chain(addresses).chain(answers).chain(origin)
    {
        let _ = writeln!(text, "- **{label}**: {value}");
    }
    if !preset.notes.is_empty() {
        let notes: Vec<String> = preset.notes.iter().map(|note| plain(note)).collect();
        let _ = writeln!(text, "\n{}", notes.join(" "));
    }
    let _ = writeln!(text, "\n```toml\n{}```\n", example::source(preset, &preset.slug));
    let _ = match example::request(preset, &preset.slug) {
        Ok(request) => writeln!(text, "```sh\n{request}```"),
        Err(why) => writeln!(text, "{why}"),
    };
}

/// What somebody could change without the signature noticing.
fn not_covered(preset: &Preset) -> Vec<&'static str> {
    let alternatives = preset.profile.scheme.alternatives();
    let mut gaps = Vec::new();
    if preset.profile.scheme.signs_nothing() {
        return vec!["anything: the provider signs nothing"];
    }
    if alternatives.iter().any(|alternative| alternative.computation() == "the secret itself") {
        gaps.push("anything: whoever sees one request can make others");
    } else {
        match alternatives.iter().map(|alternative| alternative.coverage().body).min() {
            Some(BodyCoverage::Partial) => gaps.push("what of the body is not in `signs`"),
            Some(BodyCoverage::Meaning) => gaps.push("how the body is written"),
            _ => {}
        }
    }
    if alternatives.iter().any(|each| each.timestamp().is_none() && !each.is_token()) {
        gaps.push("when it was sent: a captured request is kept out by dedup alone");
    } else if alternatives.iter().any(|each| each.timestamp().is_some() && !each.coverage().timestamp) {
        gaps.push("the timestamp");
    }
    if alternatives.iter().any(|each| each.ids().iter().any(|place| !each.covers_id_at(place))) {
        gaps.push("the event id");
    }
    if gaps.is_empty() {
        gaps.push("headers that `signs` does not name");
    }
    gaps
}

/// Text as Markdown shows it, whatever is in it.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        if matches!(c, '|') || (!in_code && matches!(c, '<' | '*' | '_' | '[' | '\\')) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_presets_say() {
        let written = std::fs::read_to_string("docs/providers.md").unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/providers.md is not what the presets say: cargo run -- providers page > docs/providers.md"
        );
    }
}
