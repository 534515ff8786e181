//! The addresses that a provider's webhooks come from: a snapshot, and where it publishes today's.

mod document;

use std::fmt;

pub use document::MAX_ENTRIES;

use super::json::Pointer;
use crate::document::{Node, Reader};
use crate::network::{Networks, parse_net};

/// What a provider says of the addresses that it sends from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of the day on which its description was read; none where nobody wrote them down.
    pub snapshot: Networks,
    /// Where people read them.
    pub published: Option<String>,
    /// Where programs do; the list is all of it together. None where only people can.
    pub refresh: Vec<Origin>,
}

/// Where some of a provider's addresses are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A document at an `https://` URL.
    Document { url: String, form: Form },
    /// The addresses that a name has.
    Name(String),
}

/// How addresses and networks stand in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// In a JSON array.
    Json {
        /// Where the array is; `None` where it is the whole document.
        array: Option<Pointer>,
        /// Where its items are objects: the members that have the address, the first that is there. Else the items are
        /// the addresses.
        fields: Vec<String>,
        /// What an item must have to count: a member that is this text, or a list in which it is.
        only: Vec<(String, String)>,
    },
    /// One a line, with comments from `#` on.
    Lines,
}

impl Addresses {
    /// True where nobody knows of any.
    pub fn are_unknown(&self) -> bool {
        self.snapshot.is_empty() && self.refresh.is_empty()
    }

    /// Reads `[network]`.
    pub fn read(reader: Reader<'_>) -> Self {
        let mut nets = Vec::new();
        for text in reader.texts("allow").unwrap_or_default() {
            match parse_net(text.value) {
                Ok(net) => nets.push(net),
                Err(wrong) => reader.fault(text.place, format!("allow: {wrong}")),
            }
        }
        let published = reader.parse("published", parse_page);
        let refresh = match reader.value("refresh").map(|value| &value.node) {
            None => Vec::new(),
            Some(Node::List(_)) => reader.tables("refresh").into_iter().flat_map(read_origins).collect(),
            Some(_) => reader.table("refresh").map(read_origins).unwrap_or_default(),
        };
        reader.finish();
        Self { snapshot: nets.into(), published, refresh }
    }
}

fn read_origins(reader: Reader<'_>) -> Vec<Origin> {
    let url = reader.parse("url", parse_url);
    let array = reader.parse("json", |text| match text {
        "" => Ok(None),
        text => Pointer::parse(text).map(Some),
    });
    let fields = match reader.value("field").map(|value| &value.node) {
        Some(Node::List(_)) => reader.texts("field").unwrap_or_default(),
        _ => reader.text("field").into_iter().collect(),
    };
    let fields: Vec<String> = fields.into_iter().map(|text| text.value.to_owned()).collect();
    let only = read_only(&reader);
    let lines = reader.boolean("lines").unwrap_or(false);
    let hosts = reader.texts("dns");
    let names_nobody = hosts.as_ref().is_some_and(Vec::is_empty);
    let mut names = Vec::new();
    for text in hosts.unwrap_or_default() {
        match parse_name(text.value) {
            Ok(name) => names.push(Origin::Name(name)),
            Err(wrong) => reader.fault(text.place, format!("dns: {wrong}")),
        }
    }
    let (is_url, is_json, is_dns) = (reader.has("url"), reader.has("json"), reader.has("dns"));
    let of_items = reader.has("field") || reader.has("only");
    let is_one = (is_url && is_json && !lines && !is_dns && (reader.has("field") || !reader.has("only")))
        || (is_url && lines && !is_json && !of_items && !is_dns)
        || (is_dns && !is_url && !is_json && !lines && !of_items);
    if !is_one {
        reader.fault(
            reader.place(),
            "write { url = \"https://…\", json = \"/hooks\" }, where its items are objects with field = \"cidr\"; or { url = \"https://…\", lines = true }; or { dns = [\"out.example.com\"] }",
        );
    } else if names_nobody {
        reader.fault(reader.place_of("dns"), "dns: an empty list has no addresses, name at least one host");
    }
    reader.finish();
    match (url, array) {
        (Some(url), Some(array)) => vec![Origin::Document { url, form: Form::Json { array, fields, only } }],
        (Some(url), None) => vec![Origin::Document { url, form: Form::Lines }],
        (None, _) => names,
    }
}

/// `only = { product = "bitbucket" }`.
fn read_only(reader: &Reader<'_>) -> Vec<(String, String)> {
    let Some(inner) = reader.table("only") else { return Vec::new() };
    let mut only = Vec::new();
    for (member, value) in inner.as_table().entries() {
        match &value.node {
            Node::Text(text) => only.push((member.to_owned(), text.clone())),
            _ => inner.wrong_kind(member, value, "a string, put it in quotes"),
        }
    }
    only
}

/// What people read may begin in the middle of a page.
fn parse_page(text: &str) -> Result<String, String> {
    parse_url(text.split_once('#').map_or(text, |(page, _)| page)).map(|_| text.to_owned())
}

/// An absolute `https://` URL without user or fragment.
fn parse_url(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is not an https:// URL, for example \"https://example.com/ips.json\"");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.authority().map_or("", http::uri::Authority::host);
    let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@')) && !text.contains('#');
    if uri.scheme_str() == Some("https") && !host.is_empty() && is_plain { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// A host of at least two labels.
fn parse_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let is_name = text.len() <= 253 && text.contains('.') && text.split('.').all(label);
    // What ends in digits is an address, or what some take for one.
    let is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_name && !is_number {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not a host in lower case, for example \"out.example.com\""))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { url, form: Form::Lines } => write!(f, "{url}, line by line"),
            Self::Document { url, form: Form::Json { array, fields, only } } => {
                f.write_str(url)?;
                if let Some(array) = array {
                    write!(f, " at {array}")?;
                }
                if !fields.is_empty() {
                    write!(f, ", {} of each", fields.join(" or "))?;
                }
                for (place, (name, wanted)) in only.iter().enumerate() {
                    write!(f, "{} {name} is {wanted}", if place == 0 { " whose" } else { " and" })?;
                }
                Ok(())
            }
            Self::Name(name) => write!(f, "the addresses of {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Faults, Table};

    fn read(text: &str) -> Result<Addresses, String> {
        let faults = Faults::default();
        let table = Table::parse("t.toml", text, &faults);
        let addresses = Addresses::read(Reader::new(&table, "network", &faults));
        match faults.into_sorted().first() {
            None => Ok(addresses),
            Some(fault) => Err(fault.to_string()),
        }
    }

    fn origins(text: &str) -> Vec<String> {
        read(text).unwrap_or_else(|why| panic!("{why}")).refresh.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_form_is_read_and_several_are_one_list() {
        assert_eq!(
            origins(r#"refresh = { url = "https://a.example/meta", json = "/hooks" }"#),
            ["https://a.example/meta at /hooks"]
        );
        assert_eq!(
            origins(
                r#"refresh = [
                    { url = "https://a.example/all.json", json = "", field = ["ip_prefix", "ipv6_prefix"], only = { service = "X" } },
                    { url = "https://a.example/ips.txt?live=1", lines = true },
                    { dns = ["out.a.example", "in.a.example"] },
                ]"#
            ),
            [
                "https://a.example/all.json, ip_prefix or ipv6_prefix of each whose service is X",
                "https://a.example/ips.txt?live=1, line by line",
                "the addresses of out.a.example",
                "the addresses of in.a.example"
            ]
        );
        let both = read("allow = [\"8.8.8.0/24\"]\npublished = \"https://a.example/ips#webhooks\"").expect("a list");
        assert_eq!((both.snapshot.to_string().as_str(), both.refresh.len()), ("[\"8.8.8.0/24\"]", 0));
        assert!(read("").is_ok_and(|none| none.are_unknown()));
    }

    #[test]
    fn what_is_no_list_is_a_fault_at_its_place() {
        for (bad, why) in [
            (r#"refresh = { url = "http://a.example/x", lines = true }"#, "is not an https:// URL"),
            (r#"refresh = { url = "https://u:p@a.example/x", lines = true }"#, "is not an https:// URL"),
            (r#"refresh = { url = "https://a.example/x#y", lines = true }"#, "is not an https:// URL"),
            (r#"refresh = { url = "https:///x", lines = true }"#, "is not an https:// URL"),
            (r#"refresh = { url = "https://a.example/x" }"#, "write { url"),
            (r#"refresh = { url = "https://a.example/x", lines = false }"#, "write { url"),
            (r#"refresh = { url = "https://a.example/x", lines = true, json = "/a" }"#, "write { url"),
            (r#"refresh = { url = "https://a.example/x", lines = true, field = "a" }"#, "write { url"),
            (r#"refresh = { url = "https://a.example/x", json = "/a", only = { a = "b" } }"#, "write { url"),
            (r#"refresh = { json = "/a" }"#, "write { url"),
            (r#"refresh = { dns = ["a.example"], lines = true }"#, "write { url"),
            (r#"refresh = { dns = [] }"#, "an empty list has no addresses"),
            (r#"refresh = { dns = ["127.0.0.1"] }"#, "is not a host in lower case"),
            (r#"refresh = { dns = ["localhost"] }"#, "is not a host in lower case"),
            (r#"refresh = { dns = ["a..example"] }"#, "is not a host in lower case"),
            (r#"refresh = { url = "https://a.example/x", json = "a" }"#, "is not a JSON pointer"),
            (
                r#"refresh = { url = "https://a.example/x", json = "/a", field = "c", only = { b = 1 } }"#,
                "1 is not a string",
            ),
            (r#"refresh = { url = "https://a.example/x", json = "/a", fields = "b" }"#, "did you mean `field`?"),
            (r#"refresh = "https://a.example/x""#, "is not a table"),
            (r#"published = "ips""#, "is not an https:// URL"),
            (r#"allow = ["0.0.0.0/0"]"#, "is every address"),
        ] {
            let found = read(bad).expect_err(bad);
            assert!(found.starts_with("t.toml:1:") && found.contains(why), "{bad}: {found}");
        }
    }
}
