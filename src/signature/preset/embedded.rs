//! The presets in the binary. Each is read when it is first asked for: most programs want one or two of them.

use std::sync::OnceLock;

use super::{LeftOut, Preset};
use crate::document::nearest;

include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// A file of `presets/`.
struct Embedded {
    slug: &'static str,
    aliases: &'static [&'static str],
    text: &'static str,
    preset: OnceLock<Preset>,
}

impl Embedded {
    const fn new(slug: &'static str, aliases: &'static [&'static str], text: &'static str) -> Self {
        Self { slug, aliases, text, preset: OnceLock::new() }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.slug).chain(self.aliases.iter().copied())
    }

    fn preset(&self) -> &Preset {
        let read = || Preset::read(self.slug, self.text);
        self.preset.get_or_init(|| read().unwrap_or_else(|wrong| panic!("an embedded preset is broken: {wrong}")))
    }
}

/// The file with this slug.
pub(super) fn file(slug: &str) -> Option<(&'static str, &'static str)> {
    EMBEDDED.iter().find(|embedded| embedded.slug == slug).map(|embedded| (embedded.slug, embedded.text))
}

impl Preset {
    /// Every preset, by slug. Reads all of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        EMBEDDED.iter().map(Embedded::preset)
    }

    /// The slug of every preset, in order.
    pub fn slugs() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|embedded| embedded.slug)
    }

    /// True if there is one with this slug or alias.
    pub fn has(name: &str) -> bool {
        EMBEDDED.iter().any(|embedded| embedded.names().any(|known| known == name))
    }

    /// The preset with this slug or alias.
    ///
    /// # Errors
    /// A fragment that names the nearest one, or where they are listed.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        if let Some(embedded) = EMBEDDED.iter().find(|embedded| embedded.names().any(|known| known == name)) {
            return Ok(embedded.preset());
        }
        if let Some(left_out) = LeftOut::find(name) {
            let text = "if you know how it signs, a file of your own describes it, docs/own-provider.md";
            return Err(format!("\"{name}\" has no preset: {}; {text}", left_out.why));
        }
        Err(match nearest(name, EMBEDDED.iter().flat_map(Embedded::names)) {
            Some(near) => format!("\"{name}\" is not a provider, did you mean \"{near}\"?"),
            None => format!("\"{name}\" is not a provider, `hookward providers` lists them"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_sound() {
        let mut slugs: Vec<String> = std::fs::read_dir("presets")
            .expect("the presets")
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        slugs.sort();
        let embedded: Vec<&str> = Preset::all().map(|preset| preset.slug.as_str()).collect();
        assert_eq!(embedded, slugs);
        assert_eq!(Preset::slugs().collect::<Vec<_>>(), slugs);
    }

    #[test]
    fn names_are_found_by_slug_and_alias_and_told_apart() {
        assert_eq!(Preset::find("standardwebhooks").map(|preset| preset.slug.as_str()), Ok("standard-webhooks"));
        assert_eq!(
            Preset::find("strip").err().as_deref(),
            Some("\"strip\" is not a provider, did you mean \"stripe\"?")
        );
        for embedded in &EMBEDDED {
            assert_eq!(embedded.preset().aliases, embedded.aliases, "{}", embedded.slug);
        }
        let mut names: Vec<&str> = EMBEDDED.iter().flat_map(Embedded::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "two presets share a name");
    }
}
