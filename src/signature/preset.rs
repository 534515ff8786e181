//! Presets: what each provider promises, as TOML data embedded in the binary.

use std::sync::LazyLock;

use super::profile::Profile;
use crate::document::{Fault, Faults, Reader, Table, nearest};

/// Every file in `presets/`, by its slug.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/presets.rs"));

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let presets = FILES.iter().map(|(slug, text)| Preset::read(slug, text));
    presets.collect::<Result<_, _>>().unwrap_or_else(|wrong| panic!("an embedded preset is broken: {wrong}"))
});

/// A provider as its preset describes it.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its name in configuration: kebab-case, stable.
    pub slug: String,
    /// Other names that go on working.
    pub aliases: Vec<String>,
    /// What people call it.
    pub name: String,
    /// Where its webhooks are described.
    pub docs: String,
    /// The day the description was read.
    pub read: String,
    /// How sure we are of it.
    pub confidence: Confidence,
    /// Whose verdict on real requests it passes, where there is one.
    pub confirmed_by: Option<String>,
    /// Where the operator finds the secret.
    pub secret_hint: String,
    /// What an operator should know before relying on it.
    pub notes: Vec<String>,
    /// Its document, with what it extends below it: an operator's keys are laid over this.
    pub document: Table,
    /// What the document says.
    pub profile: Profile,
}

/// Where a preset's facts come from, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Requests that the provider's own library signed or confirmed pass.
    Sdk,
    /// The provider's documentation, with an example or sample code that comes out.
    VendorDoc,
    /// Somebody else's code for it.
    Code,
    /// The description that this product was built from, with sample code or a vector that comes out.
    Seed,
    /// The description leaves bytes open; this is one reading of it.
    Unverified,
}

impl Confidence {
    const WORDS: [(&'static str, Self); 5] = [
        ("sdk", Self::Sdk),
        ("vendor-doc", Self::VendorDoc),
        ("code", Self::Code),
        ("seed", Self::Seed),
        ("unverified", Self::Unverified),
    ];

    /// The word of the preset language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, confidence)| *confidence == self).map_or("", |(word, _)| word)
    }
}

impl Preset {
    /// Every preset, by slug.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset with this slug or alias.
    ///
    /// # Errors
    /// A fragment that names the nearest one, or where they are listed.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        let names = |preset: &'static Self| preset.aliases.iter().chain([&preset.slug]);
        if let Some(preset) = PRESETS.iter().find(|preset| names(preset).any(|known| known == name)) {
            return Ok(preset);
        }
        Err(match nearest(name, PRESETS.iter().flat_map(names).map(String::as_str)) {
            Some(near) => format!("\"{name}\" is not a provider, did you mean \"{near}\"?"),
            None => format!("\"{name}\" is not a provider, `hookward providers` lists them"),
        })
    }

    /// A preset from a file of the operator's own, which need not say where its facts come from.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn from_file(slug: &str, name: &str, text: &str) -> Result<Self, Vec<Fault>> {
        Self::parse(slug, name, text, false)
    }

    fn read(slug: &str, text: &str) -> Result<Self, String> {
        Self::parse(slug, &format!("presets/{slug}.toml"), text, true)
            .map_err(|faults| faults.first().map_or_else(|| format!("{slug}: incomplete"), ToString::to_string))
    }

    fn parse(slug: &str, file: &str, text: &str, ours: bool) -> Result<Self, Vec<Fault>> {
        let faults = Faults::default();
        let document = load(file, text, &faults);
        let reader = Reader::new(&document, "", &faults);
        let text = |key, default: &str| match reader.text(key) {
            Some(text) => text.value.to_owned(),
            None => {
                if ours {
                    reader.missing(key, "\"…\"");
                }
                default.to_owned()
            }
        };
        let (name, docs, read, secret_hint) =
            (text("name", slug), text("docs", ""), text("read", ""), text("secret_hint", "the provider's settings"));
        let confidence = reader.choice("confidence", &Confidence::WORDS).or((!ours).then_some(Confidence::Unverified));
        let confirmed_by = reader.text("confirmed_by").map(|text| text.value.to_owned());
        if confidence == Some(Confidence::Sdk) && confirmed_by.is_none() {
            reader.missing("confirmed_by", "\"npm:package@version function\"");
        }
        let texts = |key| reader.texts(key).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect();
        let (aliases, notes) = (texts("aliases"), texts("notes"));
        reader.has("extends");
        let profile = Profile::read(&reader, &document, &Table::empty(document.place.clone()));
        reader.finish();
        let faults = faults.into_sorted();
        match (profile, confidence) {
            (Some(profile), Some(confidence)) if faults.is_empty() => Ok(Self {
                slug: slug.to_owned(),
                aliases,
                name,
                docs,
                read,
                confidence,
                confirmed_by,
                secret_hint,
                notes,
                document,
                profile,
            }),
            _ => Err(faults),
        }
    }
}

/// A preset's document, laid over the one that it extends. Aliases and notes are not inherited.
fn load(file: &str, text: &str, faults: &Faults) -> Table {
    let document = Table::parse(file, text, faults);
    let Some(base) = Reader::new(&document, "", faults).text("extends") else {
        return document;
    };
    let Some((base, text)) = FILES.iter().find(|(slug, _)| *slug == base.value) else {
        faults.add(base.place, "extends: no such preset");
        return document;
    };
    let mut base = load(&format!("presets/{base}.toml"), text, faults);
    base.take("aliases");
    base.take("notes");
    base.overlay(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_sound() {
        let mut slugs: Vec<String> = std::fs::read_dir("presets")
            .expect("the presets")
            .map(|entry| entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        slugs.sort();
        let embedded: Vec<&str> = Preset::all().iter().map(|preset| preset.slug.as_str()).collect();
        assert_eq!(embedded, slugs);
    }

    #[test]
    fn names_are_found_by_slug_and_alias_and_told_apart() {
        assert_eq!(Preset::find("standardwebhooks").map(|preset| preset.slug.as_str()), Ok("standard-webhooks"));
        assert_eq!(
            Preset::find("strip").err().as_deref(),
            Some("\"strip\" is not a provider, did you mean \"stripe\"?")
        );
        let mut names: Vec<&String> =
            Preset::all().iter().flat_map(|preset| preset.aliases.iter().chain([&preset.slug])).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "two presets share a name");
    }

    #[test]
    fn the_span_of_a_schedule_is_the_sum_of_its_waits_within_its_window() {
        let span = |slug| Preset::find(slug).expect("a preset").profile.delivery.retry_span.map(|span| span.as_secs());
        assert_eq!(span("vgs"), Some(99_305));
        assert_eq!(span("vantastatus"), Some(4_860));
        assert_eq!(span("vpn-enterprise"), Some(259_200));
    }
}
