//! Judges messages: is this signature one of ours, is it fresh, what event is it?

mod comparison;
mod judge;
mod reading;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::algorithm::Algorithm;
use super::event_id::EventId;
use super::key::KeySet;
use super::place::{Contents, Context, Params};
use super::request::Head;
use super::secret::Secret;
use super::template::{Bytes, Inputs};
use super::value::ValueParts;
use super::{Choice, Mechanism, Scheme, json};
use crate::clock::UnixTime;
use crate::rejection::Rejection;
use comparison::parts;
use judge::Judge;

pub(super) use comparison::keyless_tag;

/// A scheme with the secrets of one source: what verifies its messages.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
    keys: KeySet,
    params: Params,
    max_inflated: usize,
}

/// Which alternatives a request's head speaks for, before its body is read.
#[derive(Debug)]
pub struct Claimed {
    alternatives: SmallVec<[usize; 2]>,
}

/// A message whose signature and time are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic<'a> {
    /// The place of the secret that matched, from 0.
    pub key: usize,
    /// The place of the alternative that matched, from 0.
    pub alternative: usize,
    /// The event's id; `None` where there is none.
    pub id: Option<EventId<'a>>,
}

impl Verifier {
    /// A scheme with the named secrets of a source, its parameters, and the most bytes that a body may have without
    /// its `Content-Encoding`.
    ///
    /// # Errors
    /// The index of a secret that cannot be a key of this scheme, and why.
    pub fn new(
        scheme: Scheme,
        secrets: &[(String, Secret)],
        params: Params,
        max_inflated: usize,
    ) -> Result<Self, (usize, &'static str)> {
        let keys = KeySet::new(&scheme, secrets)?;
        Ok(Self { scheme, keys, params, max_inflated })
    }

    /// The same with one secret in place of all others.
    ///
    /// # Errors
    /// Why it cannot be a key of this scheme.
    pub fn with_secret(&self, name: &str, secret: &Secret) -> Result<Self, &'static str> {
        let secrets = [(name.to_owned(), secret.clone())];
        Self::new(self.scheme.clone(), &secrets, self.params.clone(), self.max_inflated).map_err(|(_, why)| why)
    }

    /// The scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(super) fn keys(&self) -> &KeySet {
        &self.keys
    }

    pub(super) fn max_inflated(&self) -> usize {
        self.max_inflated
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The keys' names, in their order: the operator's id for each, or its place from 1; `fetched` where all of them
    /// are.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        let fetched = self.keys.is_empty().then_some("fetched");
        self.keys.iter().map(|key| key.name.as_str()).chain(fetched)
    }

    /// Reads what the head claims, so that a request without it is refused before its body is read.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, `TimestampMissing`, `TimestampMalformed`, `EventIdMissing`,
    /// `EventIdInvalid` or `HeaderConflict`: the first alternative that is there at all says why it will not do.
    pub fn inspect(&self, head: Head<'_>) -> Result<Claimed, Rejection> {
        let mut alternatives = SmallVec::new();
        let (mut refused, mut not_meant) = (None, None);
        for (index, alternative) in self.scheme.alternatives.iter().enumerate() {
            match alternative.inspect(head, &self.params) {
                Ok(true) => alternatives.push(index),
                Ok(false) => {
                    not_meant.get_or_insert_with(|| alternative.not_meant());
                    continue;
                }
                Err(conflict @ Rejection::HeaderConflict(_)) => return Err(conflict),
                Err(rejection) if !is_missing(&rejection) && self.scheme.choice == Choice::FirstOf => {
                    return Err(rejection);
                }
                Err(rejection) => keep_worse(&mut refused, rejection),
            }
            if self.scheme.choice == Choice::FirstOf && alternative.is_in_head() && !alternatives.is_empty() {
                break;
            }
        }
        match refused.or(not_meant) {
            Some(rejection) if alternatives.is_empty() => Err(rejection),
            _ => Ok(Claimed { alternatives }),
        }
    }

    /// The URL of the document that has the keys for a message, where they are not configured.
    ///
    /// # Errors
    /// `UntrustedKeyUrl` if it is none that the scheme allows; `SignatureMissing` if the message should name it.
    pub fn key_url(&self, claimed: &Claimed, head: Head<'_>, body: &[u8]) -> Result<Option<String>, Rejection> {
        if !self.keys.is_empty() {
            return Ok(None);
        }
        for alternative in claimed.alternatives.iter().map(|index| &self.scheme.alternatives[*index]) {
            if let Some(remote) = &alternative.remote {
                let json = alternative.document(head, body)?;
                return remote.url(Contents { head, body, json: &json }).map(Some);
            }
        }
        Ok(None)
    }

    /// The SHA-256 of what a message's signature under one alternative is made over, without the secret. `None` where no
    /// template says it.
    pub fn signed_digest(&self, alternative: usize, head: Head<'_>, body: &[u8]) -> Option<[u8; 32]> {
        let mut hash = Sha256::new();
        self.for_each_signed(alternative, head, body, |bytes| {
            hash.update(bytes.iter().map(|bytes| bytes.len()).sum::<usize>().to_be_bytes());
            parts(bytes).for_each(|part| hash.update(part));
        })?;
        Some(hash.finalize().into())
    }

    /// True if `test` is true of what a message's signature under one alternative is made over, or one of its items'.
    pub fn signs_any(
        &self,
        alternative: usize,
        head: Head<'_>,
        body: &[u8],
        test: impl Fn(Algorithm, &[u8]) -> bool,
    ) -> bool {
        let Some(Mechanism::Pieces { algorithm, .. }) =
            self.scheme.alternatives.get(alternative).map(|alternative| &alternative.mechanism)
        else {
            return false;
        };
        let mut any = false;
        // What was signed was there to be read.
        let _ = self.for_each_signed(alternative, head, body, |bytes| any |= test(*algorithm, &bytes.concat()));
        any
    }

    /// Hands on what a message's signature under one alternative is made over, without the secret: once, or for each
    /// of its items. `None` where no template says it.
    fn for_each_signed(
        &self,
        alternative: usize,
        head: Head<'_>,
        body: &[u8],
        mut hand_on: impl FnMut(&Bytes<'_>),
    ) -> Option<()> {
        let alternative = self.scheme.alternatives.get(alternative)?;
        let signs = alternative.signs()?;
        let json = alternative.document(head, body).ok()?;
        let whole = [json.as_ref()];
        let items = match &alternative.for_each {
            Some(pointer) => json::items(&json, pointer)?.into_iter().map(|item| item.get().as_bytes()).collect(),
            None => whole.to_vec(),
        };
        for json in items {
            let nothing = ValueParts::default();
            let contents = Contents { head, body, json };
            let bare = Context {
                contents,
                value: &nothing,
                claims: &[],
                params: &self.params,
                max_inflated: self.max_inflated,
            };
            let texts = alternative.signature_texts(contents).ok()?;
            let value = alternative.read_value(&texts, head).ok()?;
            let context = Context { value: &value.parts, ..bare };
            let timestamp = alternative.read_timestamp(&context).ok()?;
            let id = alternative.signed_id(&context).ok()?.unwrap_or_default();
            let text = timestamp.as_ref().map_or("", |(text, _)| text);
            let inputs = Inputs { id: id.as_bytes(), timestamp: text.as_bytes(), secret: &[] };
            hand_on(&signs.resolve(&context, inputs).ok()?);
        }
        Some(())
    }

    /// Judges signature, then time, then what else the scheme requires, then the event id. `fetched` has the keys
    /// that [`Self::key_url`] asked for.
    ///
    /// Every candidate is compared with every secret, so the time it takes never tells which one matched.
    ///
    /// # Errors
    /// Why it is refused. Where several alternatives might have matched: what the one says that came furthest.
    pub fn verify<'a>(
        &self,
        claimed: &Claimed,
        head: Head<'a>,
        body: &'a [u8],
        now: UnixTime,
        fetched: Option<&KeySet>,
    ) -> Result<Authentic<'a>, Rejection> {
        let keys = match fetched {
            Some(fetched) if self.keys.is_empty() => fetched,
            _ => &self.keys,
        };
        let (mut refused, mut not_meant) = (None, None);
        for &index in &claimed.alternatives {
            let alternative = &self.scheme.alternatives[index];
            let judge = Judge { alternative, index, keys, params: &self.params, max_inflated: self.max_inflated, now };
            match judge.message(head, body) {
                Ok(Some((key, id))) => return Ok(Authentic { key, alternative: index, id }),
                Ok(None) => {
                    not_meant.get_or_insert_with(|| alternative.not_meant());
                }
                Err(rejection) if is_final(&rejection) => return Err(rejection),
                Err(rejection) if self.scheme.choice == Choice::FirstOf && !is_missing(&rejection) => {
                    return Err(rejection);
                }
                Err(rejection) => keep_worse(&mut refused, rejection),
            }
        }
        Err(refused.or(not_meant).unwrap_or_else(|| Rejection::SignatureMissing("nothing was claimed".into())))
    }
}

/// True for what is only said of a message whose signature is good, and for what no other alternative mends.
fn is_final(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::TimestampStale { .. }
            | Rejection::TimestampFuture { .. }
            | Rejection::ClaimMismatch(_)
            | Rejection::EventIdInvalid(_)
            | Rejection::HeaderConflict(_)
            | Rejection::BodyTooLarge
    )
}

fn is_missing(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::SignatureMissing(_))
}

/// Keeps the refusal of the alternative that came further: what does not match over what cannot be read over what is
/// not there.
fn keep_worse(kept: &mut Option<Rejection>, rejection: Rejection) {
    let rank = |rejection: &Rejection| match rejection {
        Rejection::SignatureMissing(_) => 0,
        Rejection::SignatureMismatch => 2,
        _ => 1,
    };
    if kept.as_ref().is_none_or(|kept| rank(kept) < rank(&rejection)) {
        *kept = Some(rejection);
    }
}
