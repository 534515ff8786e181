//! TOML documents read with places: each value knows its line and column, and every fault is collected.
//!
//! serde stops at its first error. Here a document becomes a tree whose leaves say where they stand, trees
//! can be laid over each other ([`Table::overlay`]), and a [`Reader`] takes typed values out of one.

mod reader;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use reader::{Faults, Reader, choose, nearest};

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A command-line flag, by its name.
    Flag(&'static str),
    /// A line and column of a file, both from 1.
    File {
        /// The file's name as the operator gave it.
        name: Arc<str>,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// Something wrong in a document: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// What was found and what would be right, as a fragment.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// A value of a document, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub node: Node,
}

impl Value {
    /// The value as TOML, on one line.
    pub fn to_toml(&self) -> String {
        match &self.node {
            Node::Text(text) => quoted(text),
            Node::Integer(number) => number.to_string(),
            Node::Boolean(yes) => yes.to_string(),
            Node::Other(_, text) => text.clone(),
            Node::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_toml).collect();
                format!("[{}]", items.join(", "))
            }
            Node::Table(table) => {
                let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let key = |key: &str| if key.chars().all(bare) { key.to_owned() } else { quoted(key) };
                let pairs =
                    table.entries.iter().map(|(name, entry)| format!("{} = {}", key(name), entry.value.to_toml()));
                format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A text as TOML writes it, whatever is in it.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The kinds of values that a document may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Table(Table),
    /// A float or a date: its TOML type and its text.
    Other(&'static str, String),
}

impl Node {
    /// What a reader would call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind, _) => kind,
        }
    }
}

/// A table: keys with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where the table begins.
    pub place: Place,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key_place: Place,
    value: Value,
}

impl Table {
    /// A table without entries.
    pub fn empty(place: Place) -> Self {
        Self { place, entries: BTreeMap::new() }
    }

    /// Reads a document. What is not TOML is a fault each; the rest of the document is read all the same.
    pub fn parse(name: &str, text: &str, faults: &Faults) -> Self {
        let lines = Lines::new(name, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            faults.syntax(lines.place(at), error.message().trim_end().replace('\n', ", "));
        }
        lines.table(root.get_ref(), lines.place(0))
    }

    /// Sets `key`, replacing what was there.
    pub fn set(&mut self, key: &str, value: Value) {
        let key_place = value.place.clone();
        self.entries.insert(key.to_owned(), Entry { key_place, value });
    }

    /// The value at `key`.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Its keys and values, in the order in which they are written.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by(|(_, one), (_, other)| one.key_place.cmp(&other.key_place));
        entries.into_iter().map(|(key, entry)| (key.as_str(), &entry.value))
    }

    /// Removes and returns the value at `key`.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// This document with `over` laid on top: in each of its tables the keys of `over` win one by one. What such a
    /// key holds is replaced whole, so that no half of one thing is mixed with half of another.
    #[must_use]
    pub fn overlay(&self, over: &Self) -> Self {
        let mut merged = self.clone();
        for (key, entry) in &over.entries {
            let value = match (self.value(key).map(|value| &value.node), &entry.value.node) {
                (Some(Node::Table(below)), Node::Table(above)) => {
                    let mut table = below.clone();
                    table.entries.extend(above.entries.clone());
                    Value { place: entry.value.place.clone(), node: Node::Table(table) }
                }
                _ => entry.value.clone(),
            };
            let key_place = entry.key_place.clone();
            merged.entries.insert(key.clone(), Entry { key_place, value });
        }
        merged
    }
}

/// Turns byte offsets into lines and columns.
struct Lines<'a> {
    name: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(name: &str, text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { name: name.into(), text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place::File { name: Arc::clone(&self.name), line, column }
    }

    fn table(&self, table: &DeTable<'_>, place: Place) -> Table {
        let entries = table.iter().map(|(key, value)| {
            let key_place = self.place(key.span().start);
            let value = self.value(value);
            (key.get_ref().to_string(), Entry { key_place, value })
        });
        Table { place, entries: entries.collect() }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let place = self.place(value.span().start);
        let node = match value.get_ref() {
            DeValue::String(text) => Node::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Node::Integer(number),
                Err(_) => Node::Other("a number out of range", number.to_string()),
            },
            DeValue::Boolean(yes) => Node::Boolean(*yes),
            DeValue::Array(items) => Node::List(items.iter().map(|item| self.value(item)).collect()),
            DeValue::Table(table) => Node::Table(self.table(table, place.clone())),
            DeValue::Float(number) => Node::Other("a fraction", number.to_string()),
            DeValue::Datetime(date) => Node::Other("a date", date.to_string()),
        };
        Value { place, node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Table {
        let faults = Faults::default();
        let table = Table::parse("t.toml", text, &faults);
        assert_eq!(faults.into_sorted(), []);
        table
    }

    #[test]
    fn a_value_knows_its_line_and_column() {
        let table = parse("a = 1\n[b]\n\"kéy\" = \"x\"\n");
        let Some(Node::Table(b)) = table.value("b").map(|value| &value.node) else {
            panic!("[b] is a table");
        };
        assert_eq!(b.value("kéy").map(|v| v.place.to_string()), Some("t.toml:3:9".into()));
    }

    #[test]
    fn a_syntax_error_does_not_hide_the_rest() {
        let faults = Faults::default();
        let table = Table::parse("t.toml", "a = \nb = 2\n", &faults);
        assert!(faults.into_sorted()[0].to_string().starts_with("t.toml:1:"));
        assert_eq!(table.value("b").map(|v| &v.node), Some(&Node::Integer(2)));
    }

    #[test]
    fn an_overlay_wins_key_by_key() {
        let merged = parse("[s]\na = 1\nb = { x = 1 }").overlay(&parse("[s]\nb = 2"));
        let Some(Node::Table(s)) = merged.value("s").map(|value| &value.node) else {
            panic!("[s] is a table");
        };
        assert_eq!(s.value("a").map(|v| &v.node), Some(&Node::Integer(1)));
        assert_eq!(s.value("b").map(|v| &v.node), Some(&Node::Integer(2)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "[\\[\\]{}=\",.a-c0-9 \n#é]{0,120}") {
            let faults = Faults::default();
            Table::parse("t.toml", &text, &faults);
            for fault in faults.into_sorted() {
                proptest::prop_assert!(fault.to_string().starts_with("t.toml:"));
            }
        }
    }
}
