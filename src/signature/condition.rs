//! What must hold of a request beside its signature.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json;
use super::place::{Context, Place};
use super::template::{Inputs, Source, Template};
use crate::rejection::Rejection;

/// A value of the request and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub place: Place,
    /// Any of these will do; where there are none, it must only be there.
    pub is: Vec<Template>,
    /// True if a request without a body need not have it.
    pub absent_without_body: bool,
}

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Absent,
    Differs,
}

impl Condition {
    /// True if it holds.
    ///
    /// # Errors
    /// What reading a place says.
    pub fn holds<'s, 'a: 's>(&'s self, context: &Context<'a, 's>) -> Result<bool, Rejection> {
        Ok(self.judge(context, Inputs::default())? == Verdict::Holds)
    }

    /// Refuses a request of which it does not hold.
    ///
    /// # Errors
    /// `SignatureMismatch` where a value that stands for the message is another message's, else `ClaimMismatch`.
    pub fn require<'s, 'a: 's>(&'s self, context: &Context<'a, 's>, inputs: Inputs<'s>) -> Result<(), Rejection> {
        match self.judge(context, inputs)? {
            Verdict::Holds => Ok(()),
            Verdict::Absent if self.absent_without_body && context.contents.body.is_empty() => Ok(()),
            Verdict::Absent => Err(Rejection::ClaimMismatch(format!("there is no {}", self.place))),
            Verdict::Differs if self.binds_message() => Err(Rejection::SignatureMismatch),
            Verdict::Differs => Err(Rejection::ClaimMismatch(format!("{} is not what it must be", self.place))),
        }
    }

    /// True if it compares with something of the message itself, as a digest of the body.
    pub fn binds_message(&self) -> bool {
        self.is.iter().any(|is| {
            is.sources()
                .iter()
                .any(|source| matches!(source, Source::Body | Source::Decoded | Source::Url(_) | Source::Method))
        })
    }

    fn judge<'s, 'a: 's>(&'s self, context: &Context<'a, 's>, inputs: Inputs<'s>) -> Result<Verdict, Rejection> {
        let unset = |is: &Template| is.params().iter().any(|(name, _)| context.params.values(name).is_empty());
        let may_be_unset = |is: &Template| is.params().iter().all(|(_, optional)| *optional);
        if !self.is.is_empty() && self.is.iter().all(|is| unset(is) && may_be_unset(is)) {
            return Ok(Verdict::Holds);
        }
        let Some(found) = self.place.read(context)? else { return Ok(Verdict::Absent) };
        if self.is.is_empty() {
            return Ok(if found.is_empty() { Verdict::Absent } else { Verdict::Holds });
        }
        let list: Vec<Cow<'_, str>> = match &self.place {
            Place::Claim(pointer) => {
                let value =
                    json::find(context.claims, pointer).map(RawValue::get).filter(|value| value.starts_with('['));
                value.and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut holds = false;
        for is in self.is.iter().filter(|is| !unset(is)) {
            match is.params().as_slice() {
                // A parameter may be a list.
                [(name, _)] if is.sources().len() == 1 => {
                    holds |= context
                        .params
                        .values(name)
                        .iter()
                        .any(|value| Self::is_or_has(&found, &list, value.as_bytes()));
                }
                _ => {
                    let expected = is.resolve(context, inputs)?.concat();
                    holds |= Self::is_or_has(&found, &list, &expected);
                }
            }
        }
        Ok(if holds { Verdict::Holds } else { Verdict::Differs })
    }

    /// True if what was found is `expected`. A claim may be a list, one of which is enough (RFC 7519, 4.1.3).
    fn is_or_has(found: &str, list: &[Cow<'_, str>], expected: &[u8]) -> bool {
        found.as_bytes() == expected || list.iter().any(|found| found.as_bytes() == expected)
    }
}
