//! How messages are signed: one description that verifies and signs.
//!
//! A [`Scheme`] is data, read from a preset or from the operator's file. With secrets it becomes a [`Verifier`].
//! Everything here works on bytes and takes the time as an argument: no runtime, no store, no environment.

pub mod encoding;
pub mod event_id;
pub mod header;
pub mod json;
pub mod preset;
pub mod profile;
pub mod scheme;
pub mod secret;
mod template;
pub mod timestamp;
mod value;
mod verifier;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::clock::UnixTime;
use crate::rejection::Rejection;
use encoding::Encoding;
use event_id::{EventId, IdPlace};
use header::single;
use secret::{Secret, SecretForm};
use template::Template;
use timestamp::{TimestampScheme, parse_seconds};
use value::{SignatureValue, ValueSyntax};
use verifier::{Claim, Keyed};

pub use verifier::{Authentic, Claimed, Verifier};

/// The bytes of a signature: HMAC-SHA256's 32.
pub type Tag = [u8; 32];

/// A part of a message that a scheme may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Body,
    Id,
    Timestamp,
    Secret,
}

/// How a provider's messages are signed: one alternative, or several of which any may match.
///
/// Invariant: at least one alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    alternatives: Vec<Alternative>,
}

/// One way of signing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// What tells it from its siblings, in logs.
    pub name: Option<String>,
    header: HeaderName,
    value: ValueSyntax,
    encoding: Encoding,
    signs: Template,
    key: KeyRole,
    secret: SecretForm,
    /// True where the provider signs only if it was given a secret.
    optional: bool,
    timestamp: Option<TimestampScheme>,
    ids: Vec<IdPlace>,
    /// Headers that only its siblings read: beside this one they would make two messages of one.
    foreign: Vec<HeaderName>,
}

/// What keys the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyRole {
    /// The secret, as everywhere.
    Secret,
    /// The body, with the secret among the signed pieces.
    ///
    /// HMAC pads short keys with zeros and hashes long ones, so a body, the same body with NULs behind it and the
    /// hash of a long body share one tag. Only JSON text is accepted: it has neither.
    Body,
}

/// A message to sign.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub id: &'a str,
    pub timestamp: UnixTime,
    pub body: &'a [u8],
}

impl Scheme {
    /// The alternatives, at least one.
    pub fn alternatives(&self) -> &[Alternative] {
        &self.alternatives
    }

    /// The same scheme with another tolerance. Nothing changes where it has no timestamp.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        for timestamp in self.alternatives.iter_mut().filter_map(|alternative| alternative.timestamp.as_mut()) {
            timestamp.tolerance = tolerance;
        }
        self
    }

    /// The tolerance of its timestamps; `None` where it has none.
    pub fn tolerance(&self) -> Option<Duration> {
        self.alternatives.iter().filter_map(|alternative| Some(alternative.timestamp.as_ref()?.tolerance)).min()
    }

    /// True where the provider signs only if it was given a secret: elsewhere an address list never replaces the
    /// signature.
    pub fn is_optional(&self) -> bool {
        self.alternatives.iter().all(|alternative| alternative.optional)
    }

    /// The event id of a message that something other than a signature vouches for.
    ///
    /// # Errors
    /// `EventIdInvalid` or `HeaderConflict`.
    pub fn unsigned_id<'a>(&self, headers: &'a HeaderMap, body: &'a [u8]) -> Result<Option<EventId<'a>>, Rejection> {
        let id = self.alternatives[0].id(headers, None, body)?;
        Ok(id.map(|id| EventId { signed: false, ..id }))
    }

    /// Judges the time of a message that something other than a signature vouches for: a header that the provider
    /// always sends must be there, and within the tolerance.
    ///
    /// # Errors
    /// `TimestampMissing`, `TimestampMalformed`, `TimestampStale`, `TimestampFuture` or `HeaderConflict`.
    pub fn check_unsigned_time(&self, headers: &HeaderMap, now: UnixTime) -> Result<(), Rejection> {
        let alternative = &self.alternatives[0];
        let Some(scheme @ TimestampScheme { header: Some(name), .. }) = &alternative.timestamp else {
            return Ok(());
        };
        let text = single(headers, name)?.ok_or_else(|| Rejection::TimestampMissing(alternative.timestamp_place()))?;
        scheme.check(parse_seconds(text)?, now)
    }

    /// The headers that carry `message`, signed with each of `secrets` that there is room for. Where a scheme
    /// has alternatives, the first one signs.
    ///
    /// # Errors
    /// Why a secret cannot be a key of this scheme.
    pub fn sign(&self, message: Message<'_>, secrets: &[Secret]) -> Result<Vec<(HeaderName, String)>, &'static str> {
        let alternative = &self.alternatives[0];
        let timestamp = message.timestamp.to_string();
        let mut signatures = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let secret = alternative.secret.derive(secret)?;
            let tag = Keyed::new(alternative, &secret).tag(
                alternative,
                message.id.as_bytes(),
                timestamp.as_bytes(),
                message.body,
            );
            signatures.push(alternative.encoding.encode(&tag));
        }
        let mut headers = Vec::new();
        for place in &alternative.ids {
            if let IdPlace::Header(name) = place {
                headers.push((name.clone(), message.id.to_owned()));
            }
        }
        if let Some(TimestampScheme { header: Some(name), .. }) = &alternative.timestamp {
            headers.push((name.clone(), timestamp.clone()));
        }
        headers.push((alternative.header.clone(), alternative.value.write(&signatures, &timestamp)));
        Ok(headers)
    }
}

impl Alternative {
    /// The header that carries the signature.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Where the timestamp stands and how far it may be from now.
    pub fn timestamp(&self) -> Option<&TimestampScheme> {
        self.timestamp.as_ref()
    }

    /// Where the event id stands, in the order in which the places are tried.
    pub fn ids(&self) -> &[IdPlace] {
        &self.ids
    }

    /// True if the signature covers `piece`.
    pub fn covers(&self, piece: Piece) -> bool {
        self.signs.has(piece) || (piece == Piece::Body && self.key == KeyRole::Body)
    }

    /// True if the signature covers the id that stands at `place`.
    pub fn covers_id(&self, place: &IdPlace) -> bool {
        match place {
            IdPlace::Header(_) => self.covers(Piece::Id),
            IdPlace::Json(_) => self.covers(Piece::Body),
            // A second may see two events, signed or not: only with the body's digest is it an id.
            IdPlace::Timestamp => false,
        }
    }

    /// The headers that it reads.
    fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let timestamp = self.timestamp.iter().filter_map(|timestamp| timestamp.header.as_ref());
        let ids = self.ids.iter().filter_map(|place| match place {
            IdPlace::Header(name) => Some(name),
            _ => None,
        });
        std::iter::once(&self.header).chain(timestamp).chain(ids)
    }

    /// Reads what the head claims under this alternative.
    fn claim(&self, index: usize, headers: &HeaderMap) -> Result<Claim, Rejection> {
        if let Some(name) = self.foreign.iter().find(|name| headers.contains_key(*name)) {
            return Err(Rejection::HeaderConflict(format!("{} and {name} belong to two alternatives", self.header)));
        }
        let value = single(headers, &self.header)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Rejection::SignatureMissing(format!("no header {}", self.header)))?;
        let SignatureValue { tags, timestamp: written } = self.value.read(value, self.encoding)?;
        let timestamp = match &self.timestamp {
            None => None,
            Some(scheme) => {
                let found = match &scheme.header {
                    Some(name) => single(headers, name)?,
                    None => written,
                };
                let text = found.ok_or_else(|| Rejection::TimestampMissing(self.timestamp_place()))?;
                Some((SmallVec::from_slice(text.as_bytes()), parse_seconds(text)?))
            }
        };
        let id = if self.signs.has(Piece::Id) { Some(self.signed_id(headers)?) } else { None };
        Ok(Claim { alternative: index, tags, timestamp, id })
    }

    /// The id that is among the signed pieces, which stands in a header.
    fn signed_id(&self, headers: &HeaderMap) -> Result<HeaderValue, Rejection> {
        for place in &self.ids {
            if let IdPlace::Header(name) = place {
                let missing = || Rejection::EventIdMissing(place.to_string());
                let id = single(headers, name)?.ok_or_else(missing)?;
                if self.signs.is_ambiguous_with(id) {
                    return Err(Rejection::EventIdInvalid("it contains what separates it in the signed bytes"));
                }
                return headers.get(name).cloned().ok_or_else(missing);
            }
        }
        Err(Rejection::EventIdMissing("no header".into()))
    }

    fn timestamp_place(&self) -> String {
        match self.timestamp.as_ref().and_then(|timestamp| timestamp.header.as_ref()) {
            Some(name) => format!("no header {name}"),
            None => format!("none in {}", self.header),
        }
    }

    fn id<'a>(
        &self,
        headers: &'a HeaderMap,
        timestamp: Option<&'a str>,
        body: &'a [u8],
    ) -> Result<Option<EventId<'a>>, Rejection> {
        for place in &self.ids {
            if let Some((kind, text)) = place.read(headers, timestamp, body)? {
                return Ok(Some(EventId { kind, text, signed: self.covers_id(place) }));
            }
        }
        Ok(None)
    }
}
