//! Judges messages: is this signature one of ours, is it fresh, what event is it?

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;
use smallvec::SmallVec;
use subtle::ConstantTimeEq;

use super::event_id::EventId;
use super::secret::Secret;
use super::template::Pieces;
use super::{Alternative, KeyRole, Scheme, Tag, json};
use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// A scheme with the secrets of one source: what verifies its messages.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
    keys: Vec<Key>,
}

/// One secret, ready to use under each alternative.
#[derive(Clone)]
struct Key {
    /// The operator's id for it, or its place in the list from 1.
    name: String,
    /// In the order of the scheme's alternatives.
    keyed: Vec<Keyed>,
}

/// A key, as an alternative uses it.
#[derive(Clone)]
pub(super) enum Keyed {
    /// The HMAC state after its key; cloned for each message.
    Secret(Hmac<Sha256>),
    /// The secret, signed under a key that only the message brings.
    Body(Secret),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a request's head says about its signature, before its body is read.
#[derive(Debug)]
pub struct Claimed {
    claims: SmallVec<[Claim; 1]>,
}

/// What it says under one of the alternatives.
#[derive(Debug)]
pub(super) struct Claim {
    pub alternative: usize,
    pub tags: SmallVec<[Tag; 2]>,
    /// Its text, which is what is signed, and the moment it stands for.
    pub timestamp: Option<(TimestampText, UnixTime)>,
    /// The id that is among the signed pieces.
    pub id: Option<HeaderValue>,
}

/// As many bytes as a timestamp may have, kept in place.
type TimestampText = SmallVec<[u8; 12]>;

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
    /// A scheme with the named secrets of a source.
    ///
    /// # Errors
    /// The index of a secret that cannot be a key of this scheme, and why.
    pub fn new(scheme: Scheme, secrets: &[(String, Secret)]) -> Result<Self, (usize, &'static str)> {
        let mut keys = Vec::with_capacity(secrets.len());
        for (index, (name, text)) in secrets.iter().enumerate() {
            let mut keyed = Vec::with_capacity(scheme.alternatives.len());
            for alternative in &scheme.alternatives {
                let key = alternative.secret.derive(text).map_err(|why| (index, why))?;
                keyed.push(Keyed::new(alternative, &key));
            }
            keys.push(Key { name: name.clone(), keyed });
        }
        Ok(Self { scheme, keys })
    }

    /// The scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The secrets' names, in their order: the operator's id for each, or its place from 1.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str())
    }

    /// Reads what the head claims, so that a request without it is refused before its body is read.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, `TimestampMissing`, `TimestampMalformed`, `EventIdMissing`,
    /// `EventIdInvalid` or `HeaderConflict`: the first alternative that is there at all says why it will not do.
    pub fn inspect(&self, headers: &HeaderMap) -> Result<Claimed, Rejection> {
        let mut claims = SmallVec::new();
        let mut refused = None;
        for (index, alternative) in self.scheme.alternatives.iter().enumerate() {
            match alternative.claim(index, headers) {
                Ok(claim) => claims.push(claim),
                Err(conflict @ Rejection::HeaderConflict(_)) if headers.contains_key(&alternative.header) => {
                    return Err(conflict);
                }
                Err(rejection) if refused.is_none() || headers.contains_key(&alternative.header) => {
                    refused = Some(rejection);
                }
                Err(_) => {}
            }
        }
        match refused {
            Some(rejection) if claims.is_empty() => Err(rejection),
            _ => Ok(Claimed { claims }),
        }
    }

    /// Judges signature, then time, then event id.
    ///
    /// Every candidate is compared with every secret, so the time it takes never tells which one matched.
    ///
    /// # Errors
    /// `SignatureMismatch`, `TimestampStale`, `TimestampFuture`, `EventIdInvalid` or `HeaderConflict`.
    pub fn verify<'a>(
        &'a self,
        claimed: &'a Claimed,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: UnixTime,
    ) -> Result<Authentic<'a>, Rejection> {
        let mut matched = None;
        for claim in &claimed.claims {
            let alternative = &self.scheme.alternatives[claim.alternative];
            let id = claim.id.as_ref().map_or(&[][..], HeaderValue::as_bytes);
            let timestamp = claim.timestamp.as_ref().map_or(&[][..], |(text, _)| text);
            for (place, key) in self.keys.iter().enumerate() {
                let tag = key.keyed[claim.alternative].tag(alternative, id, timestamp, body);
                for candidate in &claim.tags {
                    if bool::from(tag.ct_eq(candidate)) && matched.is_none() {
                        matched = Some((claim, alternative, place));
                    }
                }
            }
        }
        let (claim, alternative, key) = matched.ok_or(Rejection::SignatureMismatch)?;
        if alternative.key == KeyRole::Body && !json::is_json(body) {
            return Err(Rejection::SignatureMismatch);
        }
        if let (Some(scheme), Some((_, timestamp))) = (&alternative.timestamp, &claim.timestamp) {
            scheme.check(*timestamp, now)?;
        }
        let timestamp = claim.timestamp.as_ref().and_then(|(text, _)| std::str::from_utf8(text).ok());
        let id = alternative.id(headers, timestamp, body)?;
        Ok(Authentic { key, alternative: claim.alternative, id })
    }
}

impl Keyed {
    /// The key that `alternative` makes of a derived secret.
    pub fn new(alternative: &Alternative, key: &Secret) -> Self {
        match alternative.key {
            KeyRole::Secret => Self::Secret(keyed_hmac(key.expose())),
            KeyRole::Body => Self::Body(key.clone()),
        }
    }

    /// The tag of a message.
    pub fn tag(&self, alternative: &Alternative, id: &[u8], timestamp: &[u8], body: &[u8]) -> Tag {
        let (mut mac, secret) = match self {
            Self::Secret(mac) => (mac.clone(), &[][..]),
            Self::Body(secret) => (keyed_hmac(body), secret.expose()),
        };
        let pieces = Pieces { body, id, timestamp, secret };
        alternative.signs.feed(pieces, |part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

fn keyed_hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}
