//! A document as a provider publishes it, read whole or not at all.

use std::borrow::Cow;

use ipnet::IpNet;
use serde_json::value::RawValue;

use super::Form;
use crate::network::parse_net_of_any_size;
use crate::signature::json::{self, Pointer};

/// A list has hundreds of entries, the longest we know some thousands; more than this are a mistake.
pub const MAX_ENTRIES: usize = 10_000;

impl Form {
    /// Every address and network in `document`, in its order.
    ///
    /// # Errors
    /// What is wrong with it and where, as a fragment: one entry that cannot be read refuses all of it, since nobody
    /// knows whom it was to let in.
    pub fn read(&self, document: &[u8]) -> Result<Vec<IpNet>, String> {
        match self {
            Self::Lines => read_lines(document),
            Self::Json { array, fields, only } => read_json(document, array.as_ref(), fields, only),
        }
    }
}

fn read_lines(document: &[u8]) -> Result<Vec<IpNet>, String> {
    let text = std::str::from_utf8(document).map_err(|_| "it is no text".to_owned())?;
    let mut nets = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
        if entry.is_empty() {
            continue;
        }
        if nets.len() == MAX_ENTRIES {
            return Err(too_many());
        }
        nets.push(net(entry).map_err(|why| format!("line {number}: {why}"))?);
    }
    Ok(nets)
}

fn read_json(
    document: &[u8],
    array: Option<&Pointer>,
    fields: &[String],
    only: &[(String, String)],
) -> Result<Vec<IpNet>, String> {
    if !json::is_json(document) {
        return Err("it is no JSON".to_owned());
    }
    let items = match array {
        Some(pointer) => json::items(document, pointer).ok_or_else(|| format!("it has no array at {pointer}"))?,
        None => serde_json::from_slice(document).map_err(|_| "it is no array".to_owned())?,
    };
    let place = array.map(ToString::to_string).unwrap_or_default();
    let mut nets = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let entry = match fields {
            [] => Some(text(item)),
            fields => chosen(item, fields, only),
        };
        let Some(entry) = entry else { continue };
        if nets.len() == MAX_ENTRIES {
            return Err(too_many());
        }
        let entry = entry.and_then(|entry| net(&entry));
        nets.push(entry.map_err(|why| format!("{place}/{index}: {why}"))?);
    }
    Ok(nets)
}

/// The entry of an item that is an object; `None` where the item is not among those that count.
fn chosen<'a>(
    item: &'a RawValue,
    fields: &[String],
    only: &[(String, String)],
) -> Option<Result<Cow<'a, str>, String>> {
    let Some(members) = json::members(item.get().as_bytes()) else {
        return Some(Err("it is no object".to_owned()));
    };
    let member = |name: &str| members.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let counts = only.iter().all(|(name, wanted)| member(name).is_some_and(|value| says(value, wanted)));
    if !counts {
        return None;
    }
    match fields.iter().find_map(|field| member(field)) {
        Some(value) => Some(text(value)),
        None => Some(Err(format!("it has no member {}", fields.join(" or ")))),
    }
}

/// True if `value` is the text `wanted`, or a list in which it is.
fn says(value: &RawValue, wanted: &str) -> bool {
    let is_it = |value: &RawValue| json::text(value).is_some_and(|text| text == wanted);
    match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        Ok(items) => items.into_iter().any(is_it),
        Err(_) => is_it(value),
    }
}

fn text(value: &RawValue) -> Result<Cow<'_, str>, String> {
    if value.get().starts_with('"') { json::text(value) } else { None }.ok_or_else(|| "it is no text".to_owned())
}

/// An entry without what would fill a log where it is none at all.
fn net(entry: &str) -> Result<IpNet, String> {
    /// The longest there is: an IPv6 address with an IPv4 one in it, and a prefix.
    const LONGEST: usize = 49;
    if entry.len() > LONGEST || !entry.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it is not an address or a network".to_owned());
    }
    parse_net_of_any_size(entry)
}

fn too_many() -> String {
    format!("it has more than {MAX_ENTRIES} entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(array: &str, fields: &[&str], only: &[(&str, &str)]) -> Form {
        Form::Json {
            array: (!array.is_empty()).then(|| Pointer::parse(array).expect("a pointer")),
            fields: fields.iter().map(ToString::to_string).collect(),
            only: only.iter().map(|(name, is)| ((*name).to_owned(), (*is).to_owned())).collect(),
        }
    }

    fn read(form: &Form, document: &str) -> Result<Vec<String>, String> {
        Ok(form.read(document.as_bytes())?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_form_has_its_entries() {
        let hooks = r#"{"verifiable":true,"hooks":["192.30.252.0/22","2a0a:a440::/29","8.8.8.8"],"web":["x"]}"#;
        let found = ["192.30.252.0/22", "2a0a:a440::/29", "8.8.8.8/32"].map(str::to_owned).to_vec();
        assert_eq!(read(&json("/hooks", &[], &[]), hooks), Ok(found.clone()));
        assert_eq!(read(&json("", &[], &[]), r#"["192.30.252.0/22","2a0a:a440::/29","8.8.8.8"]"#), Ok(found.clone()));
        let lines = "\u{feff}# Ours\r\n192.30.252.0/22\r\n\r\n  2a0a:a440::/29 # six\n8.8.8.8";
        assert_eq!(read(&Form::Lines, lines), Ok(found));
        let items = r#"{"items":[
            {"cidr":"104.192.136.0/21","product":["jira","bitbucket"],"direction":["egress","ingress"]},
            {"cidr":"1.1.1.0/24","product":["jira"],"direction":["egress"]},
            {"cidr":"9.9.9.0/24","product":"bitbucket","direction":["ingress"]}]}"#;
        let only = [("product", "bitbucket"), ("direction", "egress")];
        assert_eq!(read(&json("/items", &["cidr"], &only), items), Ok(vec!["104.192.136.0/21".to_owned()]));
        assert_eq!(read(&json("/items", &["cidr"], &[]), items).map(|all| all.len()), Ok(3));
        let prefixes = r#"{"prefixes":[{"ipv4Prefix":"8.8.4.0/24"},{"ipv6Prefix":"2001:4860::/32"}]}"#;
        assert_eq!(
            read(&json("/prefixes", &["ipv4Prefix", "ipv6Prefix"], &[]), prefixes),
            Ok(vec!["8.8.4.0/24".to_owned(), "2001:4860::/32".to_owned()])
        );
    }

    #[test]
    fn one_bad_entry_refuses_the_document_and_is_named_by_its_place() {
        for (form, document, why) in [
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8","8.8.8.0/33"]}"#, "/a/1: \"8.8.8.0/33\" is not an address"),
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8","8.8.8.1/24"]}"#, "/a/1: \"8.8.8.1/24\" has bits behind"),
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8",134744072]}"#, "/a/1: it is no text"),
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8",null]}"#, "/a/1: it is no text"),
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8\u0000"]}"#, "/a/0: it is not an address"),
            (json("/a", &[], &[]), r#"{"a":"8.8.8.8"}"#, "it has no array at /a"),
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8"]"#, "it is no JSON"),
            (json("/a", &[], &[]), r#"{"a":["8.8.8.8"]} x"#, "it is no JSON"),
            (json("/a", &[], &[]), "<html>sign in</html>", "it is no JSON"),
            (json("", &[], &[]), r#"{"a":["8.8.8.8"]}"#, "it is no array"),
            (json("/a", &["b"], &[]), r#"{"a":["8.8.8.8"]}"#, "/a/0: it is no object"),
            (json("/a", &["b"], &[]), r#"{"a":[{"c":"8.8.8.8"}]}"#, "/a/0: it has no member b"),
            (json("/a", &["b"], &[]), r#"{"a":[{"b":"8.8.8.8","b":"8.8.4.4"}]}"#, "/a/0: it is no object"),
            (Form::Lines, "8.8.8.8\n<html>\n", "line 2: \"<html>\" is not an address"),
            (Form::Lines, "8.8.8.8 8.8.4.4", "line 1: it is not an address"),
        ] {
            let found = read(&form, document).expect_err(document);
            assert!(found.starts_with(why), "{document}: {found}");
        }
        assert!(Form::Lines.read(b"8.8.8.8\n\xff\n").is_err());
    }

    #[test]
    fn a_list_without_end_is_not_read_to_its_end() {
        let line = "8.8.8.8\n";
        assert_eq!(Form::Lines.read(line.repeat(MAX_ENTRIES).as_bytes()).map(|nets| nets.len()), Ok(MAX_ENTRIES));
        assert!(Form::Lines.read(line.repeat(MAX_ENTRIES + 1).as_bytes()).is_err());
        let items = vec!["\"8.8.8.8\""; MAX_ENTRIES + 1].join(",");
        assert!(json("", &[], &[]).read(format!("[{items}]").as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_document_breaks_it(text in "[\\[\\]{}\":,.#a-c0-9/ \n]{0,80}") {
            for form in [Form::Lines, json("/a", &[], &[]), json("/a", &["b"], &[("c", "0")])] {
                let _ = form.read(text.as_bytes());
            }
        }
    }
}
