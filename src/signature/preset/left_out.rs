//! Providers that people ask for and that have no preset, each with the reason.

/// A line for each: slug, name and reason, tabs between them, by slug.
const LINES: &str = include_str!("../../../presets/left-out.tsv");

/// A provider without a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// What its preset would be called.
    pub slug: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// Why it has none, a sentence without its full stop.
    pub why: &'static str,
}

impl LeftOut {
    /// All of them, by slug.
    pub fn all() -> impl Iterator<Item = Self> {
        LINES.lines().filter_map(|line| {
            let (slug, rest) = line.split_once('\t')?;
            let (name, why) = rest.split_once('\t')?;
            Some(Self { slug, name, why })
        })
    }

    /// The one with this slug.
    pub fn find(slug: &str) -> Option<Self> {
        Self::all().find(|left_out| left_out.slug == slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::preset::Preset;

    #[test]
    fn every_line_says_of_whom_and_why_and_none_has_a_preset() {
        assert_eq!(LeftOut::all().count(), LINES.lines().count());
        let slugs: Vec<&str> = LeftOut::all().map(|left_out| left_out.slug).collect();
        let mut sorted = slugs.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(slugs, sorted);
        for LeftOut { slug, name, why } in LeftOut::all() {
            assert!(!Preset::has(slug), "{slug} has a preset");
            assert!(!name.is_empty() && why.len() > 10 && !why.ends_with('.') && !why.contains('\t'), "{slug}: {why}");
        }
        let one = LeftOut::all().next().expect("a line");
        assert!(Preset::find(one.slug).is_err_and(|why| why.contains(one.why)));
    }
}
