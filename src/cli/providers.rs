//! `hookward providers`: what is known of whose webhooks.

mod example;
mod facts;
mod page;
mod sending;

use std::fmt::Write;

use super::secret_args::find_preset;
use super::{FAILURE, print};
use crate::config::provider;
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

/// Everything that is known of all of them, as Markdown: `docs/providers.md`.
pub fn page() -> u8 {
    print(&page::markdown());
    0
}

/// What there is to say of one, whose configured name is `named`.
fn describe(preset: &Preset, named: &str) -> String {
    let mut text = format!("{} ({})\n\n", preset.name, preset.slug);
    let facts = facts::origin(preset).into_iter().chain([facts::secret(preset)]).chain(facts::signing(preset));
    let facts = facts.chain(facts::addresses(preset)).chain(facts::answers(preset)).chain(sending::describe(preset));
    for (label, value) in facts {
        let _ = writeln!(text, "  {label:<14} {value}");
    }
    for note in &preset.notes {
        let _ = writeln!(text, "\n  {note}");
    }
    let _ = write!(text, "\nConfigure it\n\n{}", example::source(preset, named));
    let _ = match example::request(preset, named) {
        Ok(request) => write!(text, "\nTry it against a gateway on this machine\n\n{request}"),
        Err(why) => write!(text, "\n{why}\n"),
    };
    text
}
