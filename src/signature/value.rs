//! How a header's value holds a signature, read and written from the same template.
//!
//! `sha256={signature}` is one item. With a separator, a value is a list of items: `t={timestamp},v1={signature}`
//! separated by `,` reads each item of the header against each item of the template and ignores the rest.

use super::Tag;
use super::encoding::Encoding;
use crate::rejection::Rejection;
use smallvec::SmallVec;

/// More signatures than this in one request are refused: no provider rotates that many secrets.
pub const MAX_CANDIDATES: usize = 16;

/// The forms that a signature header's value may have. The first is the one that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueSyntax {
    forms: Vec<Vec<Item>>,
    separator: Option<char>,
}

/// One item of a value: literal text around one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    before: String,
    slot: Slot,
    after: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Signature,
    Timestamp,
}

/// What a header's value holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureValue<'h> {
    /// The candidates, 1 to [`MAX_CANDIDATES`].
    pub tags: SmallVec<[Tag; 2]>,
    /// The timestamp's text, where the value has a slot for it and the header filled it.
    pub timestamp: Option<&'h str>,
}

impl ValueSyntax {
    /// Reads the forms of a value, each with one `{signature}` and at most one `{timestamp}`.
    ///
    /// # Errors
    /// What is wrong with a form, as a fragment.
    pub fn parse(forms: &[&str], separator: Option<char>) -> Result<Self, String> {
        let forms: Vec<Vec<Item>> = forms
            .iter()
            .map(|form| match separator {
                Some(separator) => form.split(separator).map(Item::parse).collect(),
                None => Ok(vec![Item::parse(form)?]),
            })
            .collect::<Result<_, String>>()?;
        let count = |form: &[Item], slot| form.iter().filter(|item| item.slot == slot).count();
        let sound = |form: &Vec<Item>| count(form, Slot::Signature) == 1 && count(form, Slot::Timestamp) <= 1;
        if forms.is_empty() || !forms.iter().all(sound) {
            return Err(
                "a value has one {signature} and at most one {timestamp}, for example \"sha256={signature}\"".into()
            );
        }
        Ok(Self { forms, separator })
    }

    /// True if the value itself carries the timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.forms[0].iter().any(|item| item.slot == Slot::Timestamp)
    }

    /// Reads a header's value in the first form that it fits.
    ///
    /// # Errors
    /// `SignatureMissing` where nothing stands in the slot, `SignatureMalformed` where what stands there is not
    /// an encoded tag, `HeaderConflict` for a repeated timestamp.
    pub fn read<'h>(&self, value: &'h str, encoding: Encoding) -> Result<SignatureValue<'h>, Rejection> {
        let mut malformed = None;
        for form in &self.forms {
            match self.read_form(form, value, encoding) {
                Ok(read) => return Ok(read),
                // What is missing in one form may be there, and wrong, in another.
                Err(Rejection::SignatureMissing(_)) => {}
                Err(rejection) => malformed = Some(rejection),
            }
        }
        Err(malformed.unwrap_or_else(nothing_there))
    }

    fn read_form<'h>(
        &self,
        form: &[Item],
        value: &'h str,
        encoding: Encoding,
    ) -> Result<SignatureValue<'h>, Rejection> {
        let mut tags = SmallVec::new();
        let mut timestamp = None;
        let mut malformed = false;
        let items = value.split(|c| Some(c) == self.separator).map(|item| match self.separator {
            Some(_) => item.trim_matches([' ', '\t']),
            None => item,
        });
        for item in items {
            let Some((slot, text)) = form.iter().find_map(|form| Some((form.slot, form.read(item)?))) else {
                continue;
            };
            match slot {
                Slot::Timestamp if timestamp.replace(text).is_some() => {
                    return Err(Rejection::HeaderConflict("the signature header has two timestamps".into()));
                }
                Slot::Timestamp => {}
                Slot::Signature if text.is_empty() => {}
                Slot::Signature if tags.len() == MAX_CANDIDATES => {
                    return Err(Rejection::SignatureMalformed(format!("more than {MAX_CANDIDATES} signatures")));
                }
                Slot::Signature => match encoding.decode(text.as_bytes()) {
                    Some(tag) => tags.push(tag),
                    None => malformed = true,
                },
            }
        }
        match (tags.is_empty(), malformed) {
            (false, _) => Ok(SignatureValue { tags, timestamp }),
            (true, true) => Err(Rejection::SignatureMalformed("not an encoded signature of the right length".into())),
            (true, false) => Err(nothing_there()),
        }
    }

    /// Writes a value that [`Self::read`] reads. Only a list has room for more than one signature.
    pub fn write(&self, signatures: &[String], timestamp: &str) -> String {
        let room = if self.separator.is_some() { signatures.len() } else { 1 };
        let mut items = Vec::new();
        for item in &self.forms[0] {
            match item.slot {
                Slot::Timestamp => items.push(item.write(timestamp)),
                Slot::Signature => items.extend(signatures.iter().take(room).map(|signature| item.write(signature))),
            }
        }
        items.join(self.separator.map(String::from).as_deref().unwrap_or_default())
    }
}

fn nothing_there() -> Rejection {
    Rejection::SignatureMissing("nothing in the header has the scheme's form".into())
}

impl Item {
    fn parse(text: &str) -> Result<Self, String> {
        let slots = [("{signature}", Slot::Signature), ("{timestamp}", Slot::Timestamp)];
        let found = slots.iter().find_map(|(name, slot)| Some((text.split_once(name)?, *slot)));
        match found {
            Some(((before, after), slot)) if !after.contains('{') && !before.contains('{') => {
                Ok(Self { before: before.to_owned(), slot, after: after.to_owned() })
            }
            _ => Err(format!("\"{text}\" is not literal text around one {{signature}} or {{timestamp}}")),
        }
    }

    fn read<'h>(&self, item: &'h str) -> Option<&'h str> {
        item.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())
    }

    fn write(&self, text: &str) -> String {
        format!("{}{text}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Reason;

    fn syntax(forms: &[&str], separator: Option<char>) -> ValueSyntax {
        ValueSyntax::parse(forms, separator).expect("a syntax")
    }

    fn reason(syntax: &ValueSyntax, value: &str) -> Option<Reason> {
        syntax.read(value, Encoding::Hex).err().map(|rejection| rejection.reason())
    }

    #[test]
    fn a_value_reads_what_it_writes() {
        let tags = [[1; 32], [2; 32]];
        let texts: Vec<String> = tags.iter().map(|tag| Encoding::Hex.encode(tag)).collect();
        let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
        let value = list.write(&texts, "17");
        assert_eq!(value, format!("t=17,v1={},v1={}", texts[0], texts[1]));
        let read = list.read(&value, Encoding::Hex).expect("what we wrote");
        assert_eq!((read.tags.as_slice(), read.timestamp), (tags.as_slice(), Some("17")));

        let single = syntax(&["sha256={signature}", "{signature}"], None);
        assert_eq!(single.write(&texts, ""), format!("sha256={}", texts[0]));
        assert_eq!(single.read(&texts[1], Encoding::Hex).expect("bare").tags.as_slice(), [tags[1]]);
    }

    #[test]
    fn items_that_the_scheme_does_not_know_are_passed_over() {
        let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
        let tag = Encoding::Hex.encode(&[1; 32]);
        let value = format!("v0=ff, t=17 , x, v1={tag}");
        let read = list.read(&value, Encoding::Hex).expect("one v1");
        assert_eq!((read.tags.len(), read.timestamp), (1, Some("17")));
        assert_eq!(reason(&list, &format!("t=17,v0={tag}")), Some(Reason::SignatureMissing));
    }

    #[test]
    fn what_cannot_match_says_why() {
        let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
        assert_eq!(reason(&list, ""), Some(Reason::SignatureMissing));
        assert_eq!(reason(&list, "t=17,v1="), Some(Reason::SignatureMissing));
        assert_eq!(reason(&list, "t=17,v1=beef"), Some(Reason::SignatureMalformed));
        assert_eq!(reason(&list, "t=17,t=18,v1=beef"), Some(Reason::HeaderConflict));
        let tag = format!("v1={},", Encoding::Hex.encode(&[1; 32]));
        assert_eq!(reason(&list, &tag.repeat(MAX_CANDIDATES)), None);
        assert_eq!(reason(&list, &tag.repeat(MAX_CANDIDATES + 1)), Some(Reason::SignatureMalformed));
        let either = syntax(&["sha256={signature}", "{signature}"], None);
        assert_eq!(reason(&either, "sha1=beef"), Some(Reason::SignatureMalformed));
        assert_eq!(reason(&either, "sha256="), Some(Reason::SignatureMalformed));
    }

    #[test]
    fn a_value_without_its_signature_is_refused() {
        for bad in ["", "sha256=", "{timestamp}", "{signature}{signature}", "{sig}"] {
            assert!(ValueSyntax::parse(&[bad], None).is_err(), "{bad:?}");
        }
        assert!(ValueSyntax::parse(&[], None).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_header_breaks_it(value in ".*") {
            for (syntax, _) in [(syntax(&["t={timestamp},v1={signature}"], Some(',')), 0), (syntax(&["v1,{signature}"], Some(' ')), 1)] {
                let _ = syntax.read(&value, Encoding::Base64);
            }
        }

        #[test]
        fn what_is_written_is_read(tags in proptest::collection::vec(proptest::array::uniform32(0u8..), 1..MAX_CANDIDATES), time in "[0-9]{1,12}") {
            let list = syntax(&["t={timestamp},v1={signature}"], Some(','));
            let texts: Vec<String> = tags.iter().map(|tag| Encoding::Base64Url.encode(tag)).collect();
            let value = list.write(&texts, &time);
            let read = list.read(&value, Encoding::Base64Url).expect("what we wrote");
            proptest::prop_assert_eq!((read.tags.as_slice(), read.timestamp), (tags.as_slice(), Some(time.as_str())));
        }
    }
}
