//! Takes typed values out of a table and remembers what was wrong with it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Located, Node, Place, Table, Value};

/// Everything found wrong with a document, and every key that was asked for on the way.
#[derive(Debug, Default)]
pub struct Faults {
    found: RefCell<Vec<Fault>>,
    /// True after a syntax error: what is missing may only have been unreadable.
    incomplete: RefCell<bool>,
    /// Table → keys that a reader knows. The example file is held against it.
    known: RefCell<BTreeMap<String, BTreeSet<&'static str>>>,
}

impl Faults {
    /// Adds one.
    pub fn add(&self, place: Place, text: impl Into<String>) {
        let text = text.into();
        self.found.borrow_mut().push(Fault { place, text });
    }

    pub(super) fn syntax(&self, place: Place, text: String) {
        *self.incomplete.borrow_mut() = true;
        self.add(place, text);
    }

    /// How many were found so far.
    pub fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// All of them, in the order of the document.
    pub fn into_sorted(self) -> Vec<Fault> {
        let mut found = self.found.into_inner();
        found.sort();
        found.dedup();
        found
    }

    /// The keys that readers asked for, by table.
    pub fn known_keys(&self) -> BTreeMap<String, BTreeSet<&'static str>> {
        self.known.borrow().clone()
    }
}

/// Reads one table. Each key it is asked for becomes a known key; [`Reader::finish`] reports the others.
pub struct Reader<'a> {
    table: &'a Table,
    /// The table's name in the document, as in `source.authorization`.
    path: String,
    /// What an operator calls it, as in `source "stripe"`.
    label: RefCell<String>,
    faults: &'a Faults,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    /// A reader of `table`, which the document calls `path`.
    pub fn new(table: &'a Table, path: &str, faults: &'a Faults) -> Self {
        let label = if path.is_empty() { String::new() } else { format!("[{path}]") };
        Self { table, path: path.to_owned(), label: RefCell::new(label), faults, asked: RefCell::default() }
    }

    /// From here on, faults name the table by `label` rather than by its path.
    pub fn relabel(&self, label: String) {
        *self.label.borrow_mut() = label;
    }

    /// The table itself.
    pub fn as_table(&self) -> &'a Table {
        self.table
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.table.place.clone()
    }

    /// Where `key` stands, or the table if it is absent.
    pub fn place_of(&self, key: &str) -> Place {
        self.table.value(key).map_or_else(|| self.place(), |value| value.place.clone())
    }

    /// The faults that this reader adds to.
    pub fn faults(&self) -> &'a Faults {
        self.faults
    }

    /// Reports a fault at `place`, naming the table.
    pub fn fault(&self, place: Place, text: impl std::fmt::Display) {
        let label = self.label.borrow();
        let text = if label.is_empty() { text.to_string() } else { format!("{label}: {text}") };
        self.faults.add(place, text);
    }

    /// Reports that `key` must be there. Says nothing where a syntax error may have swallowed it.
    pub fn missing(&self, key: &str, example: &str) {
        if *self.faults.incomplete.borrow() {
            return;
        }
        let place = self.place();
        let named = match place {
            Place::Flag(_) => format!("--{}", key.replace('_', "-")),
            Place::File { .. } => format!("`{key}`"),
        };
        self.fault(place, format!("{named} is missing, for example {example}"));
    }

    /// The raw value at `key`.
    pub fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(key);
        self.table.value(key)
    }

    /// True if the table has `key`.
    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Says that `value` at `key` is of the wrong kind.
    pub fn wrong_kind(&self, key: &str, value: &Value, wanted: &str) {
        let found = match &value.node {
            Node::Integer(number) => number.to_string(),
            Node::Boolean(yes) => yes.to_string(),
            Node::Other(_, text) => text.clone(),
            other => other.kind().to_owned(),
        };
        self.fault(value.place.clone(), format!("{key}: {found} is not {wanted}"));
    }

    /// A string.
    pub fn text(&self, key: &'static str) -> Option<Located<&'a str>> {
        let value = self.value(key)?;
        self.text_of(key, value)
    }

    /// A string, turned into something better. `parse` says what is wrong as a fragment.
    pub fn parse<T>(&self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        match parse(text.value) {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                self.fault(text.place, format!("{key}: {wrong}"));
                None
            }
        }
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        self.parse(key, |text| choose(text, choices))
    }

    /// A boolean.
    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.node {
            Node::Boolean(yes) => Some(yes),
            _ => {
                self.wrong_kind(key, value, "a boolean, write true or false");
                None
            }
        }
    }

    /// A whole number between two bounds, both included.
    pub fn integer(&self, key: &'static str, low: i64, high: i64) -> Option<i64> {
        let value = self.value(key)?;
        match value.node {
            Node::Integer(number) if (low..=high).contains(&number) => Some(number),
            _ => {
                self.wrong_kind(key, value, &format!("a whole number from {low} to {high}"));
                None
            }
        }
    }

    /// A number between two bounds, both included, with or without a fraction.
    pub fn number(&self, key: &'static str, low: f64, high: f64) -> Option<f64> {
        let value = self.value(key)?;
        let number = match &value.node {
            Node::Integer(number) => number.to_string().parse().ok(),
            Node::Other(_, text) => text.parse().ok(),
            _ => None,
        };
        let good = number.filter(|number| (low..=high).contains(number));
        if good.is_none() {
            self.wrong_kind(key, value, &format!("a number from {low} to {high}"));
        }
        good
    }

    /// A list of strings.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Located<&'a str>>> {
        let value = self.value(key)?;
        let Node::List(items) = &value.node else {
            self.wrong_kind(key, value, "a list of strings");
            return None;
        };
        Some(items.iter().filter_map(|item| self.text_of(key, item)).collect())
    }

    /// A table within this one.
    pub fn table(&self, key: &'static str) -> Option<Reader<'a>> {
        let value = self.value(key)?;
        match &value.node {
            Node::Table(table) => Some(self.inner(key, table)),
            _ => {
                self.wrong_kind(key, value, &format!("a table, as in [{}]", self.path_of(key)));
                None
            }
        }
    }

    /// A list of tables: `[[key]]`, or inline tables in a list.
    pub fn tables(&self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Node::List(items) = &value.node else {
            self.wrong_kind(key, value, &format!("a list of tables, as in [[{}]]", self.path_of(key)));
            return Vec::new();
        };
        let mut readers = Vec::with_capacity(items.len());
        for item in items {
            match &item.node {
                Node::Table(table) => readers.push(self.inner(key, table)),
                _ => self.wrong_kind(key, item, "a table, as in { env = \"NAME\" }"),
            }
        }
        readers
    }

    /// A reader of `table`, which stands at `key` of this one.
    pub fn inner(&self, key: &str, table: &'a Table) -> Reader<'a> {
        let reader = Reader::new(table, &self.path_of(key), self.faults);
        let label = self.label.borrow();
        if !label.starts_with('[') && !label.is_empty() {
            reader.relabel(format!("{label}: {key}"));
        }
        reader
    }

    /// Reports every key that nobody asked for, with the nearest one that somebody did.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        let label = self.label.into_inner();
        for (key, entry) in &self.table.entries {
            if asked.contains(key.as_str()) {
                continue;
            }
            let hint = match nearest(key, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", asked.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            let prefix = if label.is_empty() { String::new() } else { format!("{label}: ") };
            self.faults.add(entry.key_place.clone(), format!("{prefix}unknown key `{key}`, {hint}"));
        }
        self.faults.known.borrow_mut().entry(self.path).or_default().extend(asked);
    }

    fn text_of(&self, key: &str, value: &'a Value) -> Option<Located<&'a str>> {
        match &value.node {
            Node::Text(text) => Some(Located { value: text, place: value.place.clone() }),
            _ => {
                self.wrong_kind(key, value, "a string, put it in quotes");
                None
            }
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The value that stands beside `text` in `choices`.
///
/// # Errors
/// The words that would be right, and the nearest of them if one is near.
pub fn choose<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words = choices.iter().map(|(word, _)| *word);
    Err(match nearest(text, words.clone()) {
        Some(near) => format!("\"{text}\" is not known, did you mean \"{near}\"?"),
        None => {
            let words: Vec<_> = words.map(|word| format!("\"{word}\"")).collect();
            format!("\"{text}\" is not known, write {}", words.join(" or "))
        }
    })
}

/// The candidate that `word` was most likely meant to be, if any is near enough.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: how many characters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str, read: impl FnOnce(&Reader<'_>)) -> Vec<String> {
        let faults = Faults::default();
        let table = Table::parse("t.toml", text, &faults);
        let reader = Reader::new(&table, "", &faults);
        read(&reader);
        reader.finish();
        faults.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_is_reported_in_the_order_of_the_document() {
        let found = faults_of("size = 3\nlisen = 1\non = \"yes\"\nn = 70000", |reader| {
            reader.integer("n", 1, 65_535);
            reader.boolean("on");
            reader.text("size");
            reader.text("listen");
        });
        assert_eq!(
            found,
            [
                "t.toml:1:8: size: 3 is not a string, put it in quotes",
                "t.toml:2:1: unknown key `lisen`, did you mean `listen`?",
                "t.toml:3:6: on: a string is not a boolean, write true or false",
                "t.toml:4:5: n: 70000 is not a whole number from 1 to 65535",
            ]
        );
    }

    #[test]
    fn a_missing_key_is_not_reported_when_the_document_was_unreadable() {
        let found = faults_of("listen = \n", |reader| {
            reader.missing("listen", "\"x\"");
        });
        assert!(found.iter().all(|fault| !fault.contains("is missing")), "{found:?}");
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("tolerence", ["tolerance", "upstream"].into_iter()), Some("tolerance"));
        assert_eq!(nearest("colour", ["tolerance", "upstream"].into_iter()), None);
    }
}
