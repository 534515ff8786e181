//! How the text at a signature's place holds it, read and written from the same template.
//!
//! `sha256={signature}` is one item. With a separator, a value is a list of items: `t={timestamp},v1={signature}`
//! separated by `,` reads each item of the text against each item of the template and ignores the rest. Items without
//! a literal, as in `{timestamp},{signature}`, are told apart by their place; the last one may repeat.

use smallvec::SmallVec;

use crate::rejection::Rejection;

/// More signatures than this in one request are refused: no provider rotates that many secrets.
pub const MAX_CANDIDATES: usize = 16;

/// The forms that a signature's text may have. The first is the one that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueSyntax {
    forms: Vec<Form>,
    separator: Option<char>,
}

/// The items of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    items: Vec<Item>,
    /// True where items are told apart by their place.
    positional: bool,
}

/// One item of a form: literal text and slots in turn, the text between two slots never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    before: String,
    slots: Vec<(Slot, String)>,
}

/// What stands in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Signature,
    Timestamp,
    KeyId,
    /// Something that is signed, or ignored.
    Named(String),
    /// `{_}`: something that nobody reads, which may be there again.
    Ignored,
}

/// What a value says beside its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValueParts<'v> {
    /// The timestamp's text, where the value has a slot for it and the request filled it.
    pub timestamp: Option<&'v str>,
    /// Which key signed.
    pub key_id: Option<&'v str>,
    /// Few schemes have any, and no list of them is kept in place: `SmallVec` would tie the parts to their borrower.
    named: Vec<(&'v str, &'v str)>,
}

impl<'v> ValueParts<'v> {
    /// The parts of a value that says when it was signed, and no more.
    pub fn at(timestamp: &'v str) -> Self {
        Self { timestamp: Some(timestamp), ..Self::default() }
    }

    /// The part called `name`.
    pub fn named(&self, name: &str) -> Option<&'v str> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Adds a part.
    ///
    /// # Errors
    /// `HeaderConflict` if it is there already.
    pub fn add(&mut self, name: &'v str, text: &'v str) -> Result<(), Rejection> {
        if self.named(name).is_some() {
            return Err(Rejection::HeaderConflict(format!("the signature has two values for {name}")));
        }
        self.named.push((name, text));
        Ok(())
    }
}

/// What the texts at a signature's place hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignatureValue<'v> {
    /// The candidates as they are written, 1 to [`MAX_CANDIDATES`], none empty.
    pub candidates: SmallVec<[&'v str; 2]>,
    pub parts: ValueParts<'v>,
}

impl ValueSyntax {
    /// Reads the forms of a value, each with one `{signature}`, and at most one of every other slot.
    ///
    /// # Errors
    /// What is wrong with a form, as a fragment.
    pub fn parse(forms: &[&str], separator: Option<char>) -> Result<Self, String> {
        let forms: Vec<Form> = forms.iter().map(|form| Form::parse(form, separator)).collect::<Result<_, String>>()?;
        if forms.is_empty() {
            return Err("an empty list has no form, for example \"sha256={signature}\"".into());
        }
        Ok(Self { forms, separator })
    }

    /// True if the value itself carries the timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.slots().any(|slot| *slot == Slot::Timestamp)
    }

    /// True if the value itself says which key signed.
    pub fn has_key_id(&self) -> bool {
        self.slots().any(|slot| *slot == Slot::KeyId)
    }

    /// True if the value has a part called `name`.
    pub fn has_named(&self, name: &str) -> bool {
        self.slots().any(|slot| matches!(slot, Slot::Named(known) if known == name))
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.forms[0].items.iter().flat_map(|item| item.slots.iter().map(|(slot, _)| slot))
    }

    /// Reads one text in the first form that it fits, adding to what is `found` already.
    ///
    /// # Errors
    /// `SignatureMissing` where nothing stands in the slot, `SignatureMalformed` for too many signatures,
    /// `HeaderConflict` for a repeated timestamp.
    pub fn read<'v>(&'v self, text: &'v str, found: &mut SignatureValue<'v>) -> Result<(), Rejection> {
        let before = found.candidates.len();
        for form in &self.forms {
            self.read_form(form, text, found)?;
            if found.candidates.len() > before {
                return Ok(());
            }
            found.parts = ValueParts::default();
        }
        Err(Rejection::SignatureMissing("nothing in the header has the scheme's form".into()))
    }

    fn read_form<'v>(&'v self, form: &'v Form, text: &'v str, found: &mut SignatureValue<'v>) -> Result<(), Rejection> {
        let whole = self.separator.is_none().then_some(text);
        let list = self.separator.into_iter().flat_map(|separator| text.split(separator));
        let items = whole.into_iter().chain(list.map(|item| item.trim_matches([' ', '\t'])));
        for (place, item) in items.enumerate() {
            let matching = if form.positional {
                let last = form.items.len() - 1;
                form.items[place.min(last)].read(item)
            } else {
                form.items.iter().find_map(|known| known.read(item))
            };
            for (slot, text) in matching.into_iter().flatten() {
                match slot {
                    Slot::Timestamp if found.parts.timestamp.replace(text).is_some() => {
                        return Err(Rejection::HeaderConflict("the signature header has two timestamps".into()));
                    }
                    Slot::KeyId if found.parts.key_id.replace(text).is_some() => {
                        return Err(Rejection::HeaderConflict("the signature header has two key ids".into()));
                    }
                    Slot::Timestamp | Slot::KeyId | Slot::Ignored => {}
                    Slot::Named(name) => found.parts.add(name, text)?,
                    Slot::Signature if text.is_empty() => {}
                    Slot::Signature if found.candidates.len() == MAX_CANDIDATES => {
                        return Err(Rejection::SignatureMalformed(format!("more than {MAX_CANDIDATES} signatures")));
                    }
                    Slot::Signature => found.candidates.push(text),
                }
            }
        }
        Ok(())
    }

    /// Writes a value that [`Self::read`] reads. Only a list has room for more than one signature.
    pub fn write(&self, signatures: &[String], parts: &ValueParts<'_>) -> String {
        let room = if self.separator.is_some() { signatures.len() } else { 1 };
        let mut items = Vec::new();
        for item in &self.forms[0].items {
            if item.slots.iter().any(|(slot, _)| *slot == Slot::Signature) {
                items.extend(signatures.iter().take(room).map(|signature| item.write(signature, parts)));
            } else {
                items.push(item.write("", parts));
            }
        }
        items.join(self.separator.map(String::from).as_deref().unwrap_or_default())
    }
}

impl Form {
    fn parse(text: &str, separator: Option<char>) -> Result<Self, String> {
        let items: Vec<Item> = match separator {
            Some(separator) => text.split(separator).map(Item::parse).collect::<Result<_, String>>()?,
            None => vec![Item::parse(text)?],
        };
        let mut seen: Vec<&Slot> = Vec::new();
        for slot in items.iter().flat_map(|item| item.slots.iter().map(|(slot, _)| slot)) {
            if seen.contains(&slot) {
                return Err(format!("\"{text}\" has a slot twice"));
            }
            seen.push(slot);
        }
        if !seen.contains(&&Slot::Signature) {
            return Err(format!("\"{text}\" has no {{signature}}, for example \"sha256={{signature}}\""));
        }
        let positional = items.len() > 1 && items.iter().all(|item| item.before.is_empty() && item.slots.len() == 1);
        Ok(Self { items, positional })
    }
}

impl Item {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not literal text and slots in turn, as in \"v1={{signature}}\"");
        let (before, mut rest) = text.split_once('{').ok_or_else(wrong)?;
        let mut slots: Vec<(Slot, String)> = Vec::new();
        loop {
            let (name, after) = rest.split_once('}').ok_or_else(wrong)?;
            let (literal, next) = after.split_once('{').map_or((after, None), |(text, next)| (text, Some(next)));
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let slot = match name {
                "signature" => Slot::Signature,
                "timestamp" => Slot::Timestamp,
                "key_id" => Slot::KeyId,
                "_" => Slot::Ignored,
                name if !name.is_empty() && name.chars().all(plain) => Slot::Named(name.to_owned()),
                _ => return Err(wrong()),
            };
            if literal.is_empty() && next.is_some() {
                return Err(wrong());
            }
            slots.push((slot, literal.to_owned()));
            match next {
                Some(next) => rest = next,
                None => return Ok(Self { before: before.to_owned(), slots }),
            }
        }
    }

    /// What stands in the slots. `None` if the text is not of this form.
    fn read<'v>(&'v self, text: &'v str) -> Option<SmallVec<[(&'v Slot, &'v str); 2]>> {
        let mut rest = if self.before.is_empty() { text } else { text.strip_prefix(self.before.as_str())? };
        let mut found = SmallVec::new();
        let (last, first) = self.slots.split_last()?;
        for (slot, literal) in first {
            let (text, after) = rest.split_once(literal.as_str())?;
            found.push((slot, text));
            rest = after;
        }
        // Most end with the slot; asking libc whether nothing stands there costs more than the rest of this.
        let text = if last.1.is_empty() { rest } else { rest.strip_suffix(last.1.as_str())? };
        found.push((&last.0, text));
        Some(found)
    }

    fn write(&self, signature: &str, parts: &ValueParts<'_>) -> String {
        let mut text = self.before.clone();
        for (slot, literal) in &self.slots {
            text.push_str(match slot {
                Slot::Signature => signature,
                Slot::Timestamp => parts.timestamp.unwrap_or_default(),
                Slot::KeyId => parts.key_id.unwrap_or_default(),
                Slot::Named(name) => parts.named(name).unwrap_or_default(),
                Slot::Ignored => "",
            });
            text.push_str(literal);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Reason;

    fn syntax(forms: &[&str], separator: Option<char>) -> ValueSyntax {
        ValueSyntax::parse(forms, separator).expect("a syntax")
    }

    fn read<'v>(syntax: &'v ValueSyntax, text: &'v str) -> Result<SignatureValue<'v>, Rejection> {
        let mut found = SignatureValue::default();
        syntax.read(text, &mut found)?;
        Ok(found)
    }

    fn reason(syntax: &ValueSyntax, value: &str) -> Option<Reason> {
        read(syntax, value).err().map(|rejection| rejection.reason())
    }

    #[test]
    fn a_value_reads_what_it_writes() {
        let texts = ["aa".to_owned(), "bb".to_owned()];
        let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
        let value = list.write(&texts, &ValueParts::at("17"));
        assert_eq!(value, "t=17,v1=aa,v1=bb");
        let found = read(&list, &value).expect("what we wrote");
        assert_eq!((found.candidates.as_slice(), found.parts.timestamp), (["aa", "bb"].as_slice(), Some("17")));

        let single = syntax(&["sha256={signature}", "{signature}"], None);
        assert_eq!(single.write(&texts, &ValueParts::default()), "sha256=aa");
        assert_eq!(read(&single, "bb").expect("bare").candidates.as_slice(), ["bb"]);
        assert_eq!(read(&single, "sha256=bb").expect("prefixed").candidates.as_slice(), ["bb"]);
    }

    #[test]
    fn a_value_may_say_which_key_signed_and_more() {
        let pairs = syntax(&["{key_id}|{signature}"], Some('&'));
        let found = read(&pairs, "key-1|aa").expect("a pair");
        assert_eq!((found.parts.key_id, found.candidates.as_slice()), (Some("key-1"), ["aa"].as_slice()));
        let named = syntax(&["t={timestamp},h={headers},v1={signature}"], Some(','));
        let found = read(&named, "t=1,h=x-test x-test2,v1=aa").expect("a list");
        assert_eq!(found.parts.named("headers"), Some("x-test x-test2"));
        assert_eq!(reason(&named, "h=a,h=b,v1=aa"), Some(Reason::HeaderConflict));
        let ignored = syntax(&["{_}|{signature}"], Some('&'));
        let found = read(&ignored, "key-1|aa&key-2|bb").expect("two pairs");
        assert_eq!((found.parts.key_id, found.candidates.as_slice()), (None, ["aa", "bb"].as_slice()));
    }

    #[test]
    fn bare_items_are_told_apart_by_their_place() {
        let list = syntax(&["{timestamp},{signature}"], Some(','));
        let found = read(&list, "1700000000,aa,bb").expect("a timestamp and two signatures");
        assert_eq!((found.parts.timestamp, found.candidates.as_slice()), (Some("1700000000"), ["aa", "bb"].as_slice()));
    }

    #[test]
    fn items_that_the_scheme_does_not_know_are_passed_over() {
        let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
        let found = read(&list, "v0=ff, t=17 , x, v1=aa").expect("one v1");
        assert_eq!((found.candidates.as_slice(), found.parts.timestamp), (["aa"].as_slice(), Some("17")));
        assert_eq!(reason(&list, "t=17,v0=aa"), Some(Reason::SignatureMissing));
    }

    #[test]
    fn what_cannot_match_says_why() {
        let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
        assert_eq!(reason(&list, ""), Some(Reason::SignatureMissing));
        assert_eq!(reason(&list, "t=17,v1="), Some(Reason::SignatureMissing));
        assert_eq!(reason(&list, "t=17,t=18,v1=beef"), Some(Reason::HeaderConflict));
        assert_eq!(reason(&list, &"v1=aa,".repeat(MAX_CANDIDATES)), None);
        assert_eq!(reason(&list, &"v1=aa,".repeat(MAX_CANDIDATES + 1)), Some(Reason::SignatureMalformed));
    }

    #[test]
    fn a_value_without_its_signature_is_refused() {
        for bad in ["", "sha256=", "{timestamp}", "{signature}{signature}", "{sig", "{signature} {signature}", "{}"] {
            assert!(ValueSyntax::parse(&[bad], None).is_err(), "{bad:?}");
        }
        assert!(ValueSyntax::parse(&[], None).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_header_breaks_it(value in ".*") {
            for syntax in [
                syntax(&["t={timestamp},v1={signature}"], Some(',')),
                syntax(&["v1,{signature}"], Some(' ')),
                syntax(&["{key_id}|{signature}", "{timestamp}/{signature}"], None),
            ] {
                let _ = read(&syntax, &value);
            }
        }

        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("[0-9a-f]{2,64}", 1..MAX_CANDIDATES), time in "[0-9]{1,12}") {
            let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
            let value = list.write(&texts, &ValueParts::at(&time));
            let found = read(&list, &value).expect("what we wrote");
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            proptest::prop_assert_eq!((found.candidates.as_slice(), found.parts.timestamp), (texts.as_slice(), Some(time.as_str())));
        }
    }
}
