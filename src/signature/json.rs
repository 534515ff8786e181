//! One value of a JSON document, found without building the document.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A path into a JSON document, as in `/data/id`.
///
/// Source: RFC 6901.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer of at least one step.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(steps) = text.strip_prefix('/').filter(|steps| !steps.is_empty()) else {
            return Err(format!("\"{text}\" is not a JSON pointer, for example \"/id\""));
        };
        Ok(Self(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The pointer to the member called `name` of the outermost object.
    pub fn member(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// Its steps, at least one.
    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// The text of the value at `pointer`: the first one, if a key is repeated. `None` if there is none, or if what
/// stands before it is not JSON.
///
/// Reading stops at the value: what follows it is neither walked nor judged. The bytes are authentic by then, and
/// walking 64 KiB costs more than their HMAC.
pub fn find<'a>(document: &'a [u8], pointer: &Pointer) -> Option<&'a RawValue> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    // The walk leaves the document in the middle, which is an error to the parser, and what was found stays found.
    let _ = Walk { steps: &pointer.0, found: &mut found }.deserialize(&mut deserializer);
    found
}

/// True if `document` is one JSON text from its first byte to its last.
pub fn is_json(document: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(document).is_ok()
}

/// The text of a value: a string's characters, anything else as it is written. `None` for `null`, and for a string
/// that is not Unicode.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(written).ok().map(|text| text.0),
        _ if written == "null" => None,
        _ => Some(Cow::Borrowed(written)),
    }
}

/// The same for a string, a number or a boolean. `None` for anything that has parts.
pub fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    if value.get().starts_with(['{', '[']) { None } else { text(value) }
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Objects with more members than this are not listed: they would cost far more memory than they have bytes.
const MAX_MEMBERS: usize = 1024;

/// The members of the object that `document` is, in their order. `None` if it is no JSON object, repeats a name or has
/// more than 1024 members.
pub fn members(document: &[u8]) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    struct Members;
    impl<'a> Visitor<'a> for Members {
        type Value = Vec<(Cow<'a, str>, &'a RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((Text(name), value)) = map.next_entry::<Text<'a>, &'a RawValue>()? {
                if members.len() == MAX_MEMBERS {
                    return Err(A::Error::custom("too many members"));
                }
                members.push((name, value));
            }
            Ok(members)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let members = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok()?;
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    (!names.windows(2).any(|pair| pair[0] == pair[1])).then_some(members)
}

/// The items of the array at `pointer`. `None` if there is none.
pub fn items<'a>(document: &'a [u8], pointer: &Pointer) -> Option<Vec<&'a RawValue>> {
    serde_json::from_str(find(document, pointer)?.get()).ok()
}

/// True if `document` is one JSON text that every parser reads alike: no object has a name twice, and none has one that
/// some parsers take for one of `read`, the names that a scheme goes by, since it differs from that only in case.
pub fn is_unambiguous(document: &[u8], read: &[&str]) -> bool {
    let read: Vec<(&str, String)> = read.iter().map(|name| (*name, folded(name))).collect();
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    Unambiguous { read: &read }.deserialize(&mut deserializer).is_ok() && deserializer.end().is_ok()
}

/// A name without its case. Up and down again: what folds to one letter is one, as the long s and the Kelvin sign.
pub fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// More names than this are not kept beside a document.
const MAX_NAMES: usize = 8192;

/// Reads a value whose objects have each name once.
#[derive(Clone, Copy)]
struct Unambiguous<'r> {
    /// Names that nothing else may be taken for, as they are and without their case.
    read: &'r [(&'r str, String)],
}

impl<'a> DeserializeSeed<'a> for Unambiguous<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Unambiguous<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            // Up and down again: what folds to one letter is one, as the long s and the Kelvin sign.
            let without_case = folded(&name);
            if self.read.iter().any(|(read, folded)| *folded == without_case && *read != name) {
                return Err(A::Error::custom("a name could be taken for another"));
            }
            if names.len() == MAX_NAMES || !names.insert(name) {
                return Err(A::Error::custom("a name is there twice, or there are too many"));
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Follows `steps` and leaves what it reaches in `found`.
struct Walk<'p, 'f, 'a> {
    steps: &'p [String],
    found: &'f mut Option<&'a RawValue>,
}

impl<'a> DeserializeSeed<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.steps.is_empty() {
            *self.found = Some(serde::Deserialize::deserialize(deserializer)?);
            return Ok(());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array on the way to the value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(matches) = map.next_key_seed(KeyIs(&self.steps[0]))? {
            if matches {
                return map.next_value_seed(Walk { steps: &self.steps[1..], found: self.found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let index: usize = self.steps[0].parse().map_err(A::Error::custom)?;
        for _ in 0..index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk { steps: &self.steps[1..], found: self.found }).map(|_| ())
    }
}

/// Compares a key, unescaped, without keeping it.
struct KeyIs<'k>(&'k str);

impl<'a> DeserializeSeed<'a> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pointer: &str, document: &str) -> Option<String> {
        let pointer = Pointer::parse(pointer).expect("a pointer");
        find(document.as_bytes(), &pointer).map(|value| value.get().to_owned())
    }

    #[test]
    fn a_pointer_reaches_into_objects_and_arrays() {
        let document = r#"{"x":{"id":1},"data":[{"id":"a"},{"i/d":"b"}],"id":"c"}"#;
        assert_eq!(at("/id", document).as_deref(), Some("\"c\""));
        assert_eq!(at("/data/0/id", document).as_deref(), Some("\"a\""));
        assert_eq!(at("/data/1/i~1d", document).as_deref(), Some("\"b\""));
        assert_eq!(at("/data", r#"{"data": [1, 2] }"#).as_deref(), Some("[1, 2]"));
    }

    #[test]
    fn what_is_not_there_is_none() {
        for document in
            ["", "{}", "[]", "1", "{\"id\"", "\u{feff}{\"id\":1}", "{\"id\":\"\u{0}", "{\"x\":NaN,\"id\":1}"]
        {
            assert_eq!(at("/id", document), None, "{document:?}");
        }
        assert_eq!(at("/data/2", r#"{"data":[1,2]}"#), None);
        assert_eq!(at("/id", &"[".repeat(100_000)), None);
    }

    #[test]
    fn the_first_of_two_keys_counts_and_the_rest_is_not_read() {
        assert_eq!(at("/id", r#"{"id":1,"id":2}"#).as_deref(), Some("1"));
        assert_eq!(at("/id", r#"{"id":1,"x":NaN,}"#).as_deref(), Some("1"));
    }

    #[test]
    fn trailing_bytes_are_not_json() {
        assert!(is_json(b" {\"a\":1}\n"));
        for bad in [&b"{\"a\":1}\0"[..], b"", b"{} x", b"\xff"] {
            assert!(!is_json(bad), "{bad:?}");
        }
    }

    #[test]
    fn members_and_items_are_read_as_they_are_written() {
        let found = members(br#"{"b":"x\u00e9","a":1.50, "n":null,"o":{"p":[1]}}"#).expect("an object");
        let texts: Vec<_> = found.iter().map(|(name, value)| (name.as_ref(), text(value))).collect();
        let wanted = [("b", Some("xé")), ("a", Some("1.50")), ("n", None), ("o", Some(r#"{"p":[1]}"#))];
        assert_eq!(texts, wanted.map(|(name, text)| (name, text.map(Cow::from))));
        for bad in [&b"[]"[..], b"{\"a\":1}x", b"{\"a\":1,\"a\":2}", b""] {
            assert!(members(bad).is_none(), "{bad:?}");
        }
        let pointer = Pointer::parse("/x").expect("a pointer");
        assert_eq!(items(br#"{"x":[1,"2"]}"#, &pointer).map(|items| items.len()), Some(2));
        assert!(items(br#"{"x":{}}"#, &pointer).is_none());
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_found() {
        for good in ["{}", "[1,-2.5,true,null,\"x\"]", r#"{"a":{"b":1},"c":[{"b":2}]}"#] {
            assert!(is_unambiguous(good.as_bytes(), &["a", "s", "color"]), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1,"A":2}"#,
            r#"{"s":1,"ſ":2}"#,
            r#"{"x":{"Color":1,"color":2}}"#,
            r#"[{"x":{"a":1,"a":2}}]"#,
            "{} x",
            "",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert!(!is_unambiguous(bad.as_bytes(), &["a", "s", "color"]), "{bad}");
        }
    }

    #[test]
    fn names_that_nobody_reads_may_differ_in_case() {
        let document = br#"{"Type":"x","MessageAttributes":{"Color":1,"color":2}}"#;
        assert!(is_unambiguous(document, &["Type"]) && !is_unambiguous(document, &["Color"]));
        assert!(!is_unambiguous(br#"{"x":{"a":1,"a":2}}"#, &[]), "but never be the same");
    }

    #[test]
    fn a_pointer_begins_with_a_slash() {
        for bad in ["", "/", "id", "$.id"] {
            assert!(Pointer::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Pointer::parse("/a/b~1c").map(|p| p.to_string()), Ok("/a/b~1c".into()));
    }

    proptest::proptest! {
        #[test]
        fn no_document_breaks_it(document in proptest::collection::vec(0u8.., 0..200), text in r#"[\{\}\[\]":,a-z0-9\\ ]{0,100}"#) {
            let pointer = Pointer::parse("/a/0/b").expect("a pointer");
            let _ = find(&document, &pointer);
            let _ = find(text.as_bytes(), &pointer);
        }

        #[test]
        fn a_value_is_found_wherever_it_stands(before in "[a-z]{1,8}", id in "[ -~]{1,40}") {
            let document = serde_json::json!({ format!("_{before}"): [1, {"id": 2}, null], "id": id, "z": 1 }).to_string();
            let wanted = serde_json::to_string(&id).expect("a string");
            proptest::prop_assert_eq!(at("/id", &document), Some(wanted));
        }
    }
}
