//! How messages are signed: one description that verifies and signs.
//!
//! A [`Scheme`] is data, read from a preset or from the operator's file. With secrets it becomes a [`Verifier`], or it
//! signs. Everything here works on bytes and takes the time as an argument: no runtime, no store, no environment.

pub mod addresses;
pub mod algorithm;
mod bespoke;
pub mod challenge;
mod condition;
pub mod coverage;
pub mod diagnosis;
pub mod emission;
pub mod encoding;
pub mod event_id;
pub mod event_type;
pub mod explain;
mod fields;
mod form;
pub mod header;
mod inflate;
pub mod json;
mod key;
mod media_type;
pub mod place;
pub mod preset;
mod private_key;
pub mod profile;
mod public_key;
mod readings;
pub mod remote;
pub mod request;
pub mod scheme;
pub mod secret;
mod signer;
mod template;
pub mod timestamp;
mod token;
mod value;
mod verifier;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::clock::UnixTime;
use crate::rejection::Rejection;
use algorithm::Algorithm;
use bespoke::Routine;
use condition::Condition;
use coverage::{BodyCoverage, Coverage};
use encoding::Encoding;
use event_id::{EventId, IdPlace};
use header::single;
use json::Pointer;
use place::{Contents, Context, Params, Place};
use remote::RemoteKeys;
use secret::SecretForm;
use template::{Source, Template};
use timestamp::{TimestampScheme, Tolerance};
use token::TokenScheme;
use value::{ValueParts, ValueSyntax};

pub use key::KeySet;
pub use signer::{Message, Signed};
pub use verifier::{Authentic, Claimed, Verifier};

/// How a provider's messages are signed: one alternative, or several.
///
/// Invariant: at least one alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    alternatives: Vec<Alternative>,
    choice: Choice,
}

/// Which of several alternatives counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Any may match; a message that comes with two of them is refused.
    AnyOf,
    /// Any may match, and they may come together.
    Together,
    /// The first one whose signature is there: what is weaker than it is not asked.
    FirstOf,
}

/// One way of signing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// What tells it from its siblings, in logs.
    pub name: Option<String>,
    /// It is only for messages of which these hold.
    when: Vec<Condition>,
    place: SignaturePlace,
    /// Its text is base64 of a JSON object, in which the value stands here.
    wrapped: Option<Pointer>,
    value: ValueSyntax,
    encoding: Encoding,
    mechanism: Mechanism,
    secret: SecretForm,
    key_id: Option<KeyId>,
    /// What must hold beside the signature.
    requires: Vec<Condition>,
    document: Document,
    /// The items of this array are signed each for itself.
    for_each: Option<Pointer>,
    remote: Option<RemoteKeys>,
    /// True where the provider signs only if it was given a secret.
    optional: bool,
    timestamp: Option<TimestampScheme>,
    ids: Vec<IdPlace>,
    /// Where the event's type stands, in the order in which the places are tried.
    types: Vec<Place>,
    /// Headers that only its siblings read: beside this one they would make two messages of one.
    foreign: Vec<HeaderName>,
    coverage: Coverage,
}

/// Where a signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SignaturePlace {
    /// In any of these headers.
    Headers(Vec<HeaderName>),
    /// In headers of this name with a number from 1 behind it.
    Numbered(String),
    /// In a query parameter, a form field or a JSON value.
    At(Place),
    /// It is the whole body.
    Body,
    /// There is none.
    Nowhere,
}

/// How a signature comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mechanism {
    /// An algorithm over the pieces of a template.
    Pieces { algorithm: Algorithm, signs: Template, key: KeyRole },
    /// A token that is signed itself and says what belongs to it.
    Token(TokenScheme),
    /// What no data describes.
    Bespoke(Routine),
    /// The provider signs nothing: what vouches for its messages is the source's affair.
    Nothing,
}

/// What keys the computation.
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

/// Which of the secrets signed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyId {
    /// What stands at a place of the message is the secret's id.
    At(Place),
    /// The `{key_id}` of the signature's value.
    Value,
    /// Always the one with this id, if there is one.
    Fixed(String),
}

/// The JSON that pointers point into.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Document {
    Body,
    /// A field of the form that the body is.
    Form(String),
    /// A part of the multipart form that the body is.
    Multipart(String),
}

/// How many headers with a number behind their name are read.
const MAX_NUMBERED: usize = value::MAX_CANDIDATES;

impl Scheme {
    /// The alternatives, at least one.
    pub fn alternatives(&self) -> &[Alternative] {
        &self.alternatives
    }

    /// The same scheme with another tolerance, both ways. Nothing changes where it has no timestamp.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        for timestamp in self.alternatives.iter_mut().filter_map(|alternative| alternative.timestamp.as_mut()) {
            timestamp.tolerance = Tolerance::both_ways(tolerance);
        }
        self
    }

    /// The same scheme with each alternative changed: what a diagnosis tries.
    fn altered(&self, mut change: impl FnMut(&mut Alternative)) -> Self {
        let mut altered = self.clone();
        altered.alternatives.iter_mut().for_each(&mut change);
        altered
    }

    /// True where it has a timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.alternatives.iter().any(|alternative| alternative.timestamp.is_some())
    }

    /// How old a message may be; `None` where any age will do, or none is known.
    pub fn tolerance(&self) -> Option<Duration> {
        self.alternatives.iter().filter_map(|alternative| alternative.timestamp.as_ref()?.tolerance.past).min()
    }

    /// True where the provider signs only if it was given a secret: elsewhere an address list never replaces the
    /// signature.
    pub fn is_optional(&self) -> bool {
        self.alternatives.iter().all(|alternative| alternative.optional)
    }

    /// True where the provider signs nothing at all, so that there is no secret either.
    pub fn signs_nothing(&self) -> bool {
        self.alternatives.iter().all(|alternative| matches!(alternative.mechanism, Mechanism::Nothing))
    }

    /// True where the keys are fetched, so that no secret need be configured.
    pub fn has_remote_keys(&self) -> bool {
        self.alternatives.iter().any(|alternative| alternative.remote.is_some())
    }

    /// True where strangers' messages name the documents that have the keys.
    pub fn messages_name_keys(&self) -> bool {
        let named =
            |alternative: &Alternative| alternative.remote.as_ref().is_some_and(RemoteKeys::is_named_by_messages);
        self.alternatives.iter().any(named)
    }

    /// True where the body is a form.
    pub fn has_form(&self) -> bool {
        self.alternatives.iter().any(Alternative::reads_form)
    }

    /// True where public keys verify, so that what is configured cannot sign.
    pub fn has_public_keys(&self) -> bool {
        self.alternatives.iter().any(Alternative::wants_public_key)
    }

    /// How the text of a secret becomes its key, in the alternative that signs.
    pub fn secret_form(&self) -> SecretForm {
        self.alternatives[0].secret
    }

    /// True where the URL is signed, so that it must be known as the provider knows it.
    pub fn signs_url(&self) -> bool {
        let is_url = |source: &Source| matches!(source, Source::Url(_));
        self.alternatives.iter().flat_map(Alternative::templates).any(|template| template.any(&is_url))
    }

    /// True where the URL may be signed: some messages say themselves what of them is.
    pub fn may_sign_url(&self) -> bool {
        let routine =
            |alternative: &Alternative| matches!(alternative.mechanism, Mechanism::Bespoke(Routine::HttpMessage));
        self.signs_url() || self.alternatives.iter().any(routine)
    }

    /// The parameters that it reads, each with whether it may be left out.
    pub fn params(&self) -> Vec<(&str, bool)> {
        let mut params: Vec<(&str, bool)> = Vec::new();
        for (name, optional) in self.alternatives.iter().flat_map(Alternative::templates).flat_map(Template::params) {
            match params.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known &= optional,
                None => params.push((name, optional)),
            }
        }
        params
    }

    /// The event id of a message that something other than a signature vouches for.
    ///
    /// # Errors
    /// `EventIdInvalid` or `HeaderConflict`.
    pub fn unsigned_id<'a>(&self, contents: Contents<'a>) -> Result<Option<EventId<'a>>, Rejection> {
        let (value, params) = (ValueParts::default(), Params::default());
        let context = Context { contents, value: &value, claims: &[], params: &params, max_inflated: 0 };
        let id = self.alternatives[0].id(&context, None)?;
        Ok(id.map(|id| EventId { signed: false, ..id }))
    }

    /// Judges the time of a message that something other than a signature vouches for: a header that the provider
    /// always sends must be there, and within the tolerance.
    ///
    /// # Errors
    /// `TimestampMissing`, `TimestampMalformed`, `TimestampStale`, `TimestampFuture` or `HeaderConflict`.
    pub fn check_unsigned_time(&self, headers: &HeaderMap, now: UnixTime) -> Result<(), Rejection> {
        let alternative = &self.alternatives[0];
        let Some(scheme @ TimestampScheme { place: Some(Place::Header(name)), .. }) = &alternative.timestamp else {
            return Ok(());
        };
        let text = single(headers, name)?.ok_or_else(|| Rejection::TimestampMissing(alternative.timestamp_place()))?;
        scheme.tolerance.check(scheme.parse(text)?, now)
    }
}

impl Alternative {
    /// The headers that carry the signature; none where it stands elsewhere.
    pub fn signature_headers(&self) -> &[HeaderName] {
        match &self.place {
            SignaturePlace::Headers(names) => names,
            _ => &[],
        }
    }

    /// Where the signature stands, in words.
    pub fn signature_place(&self) -> String {
        match &self.place {
            SignaturePlace::Headers(names) => names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(" or "),
            SignaturePlace::Numbered(name) => format!("{name}1, {name}2 …"),
            SignaturePlace::At(place) => place.to_string(),
            SignaturePlace::Body => "the whole body".into(),
            SignaturePlace::Nowhere => "none".into(),
        }
    }

    /// True where the signature is a token, which says itself until when it is good.
    pub fn is_token(&self) -> bool {
        matches!(self.mechanism, Mechanism::Token(_))
    }

    /// By what computation it comes about, in words.
    pub fn computation(&self) -> String {
        match &self.mechanism {
            Mechanism::Pieces { algorithm: Algorithm::Equal, .. } => "the secret itself".into(),
            Mechanism::Pieces { algorithm, .. } => algorithm.as_str().into(),
            Mechanism::Token(scheme) => {
                let words: Vec<&str> = scheme.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
                format!("JWT, {}", words.join(" or "))
            }
            Mechanism::Bespoke(routine) => routine.as_str().into(),
            Mechanism::Nothing => "none".into(),
        }
    }

    /// What is signed, as the scheme writes it; `None` where no template says it.
    pub fn signed_content(&self) -> Option<String> {
        self.signs().map(ToString::to_string)
    }

    /// Where the timestamp stands and how far it may be from now.
    pub fn timestamp(&self) -> Option<&TimestampScheme> {
        self.timestamp.as_ref()
    }

    /// Where the event id stands, in the order in which the places are tried.
    pub fn ids(&self) -> &[IdPlace] {
        &self.ids
    }

    /// What the signature covers.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// True if the signature covers the id that stands at `place`, one of [`Self::ids`].
    pub fn covers_id_at(&self, place: &IdPlace) -> bool {
        self.ids.iter().position(|known| known == place).is_some_and(|index| self.coverage.of_id(index))
    }

    /// What the signature is made over; `None` where no template says it.
    fn signs(&self) -> Option<&Template> {
        match &self.mechanism {
            Mechanism::Pieces { algorithm, signs, .. } if *algorithm != Algorithm::Equal => Some(signs),
            _ => None,
        }
    }

    /// Every template of the scheme.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        self.signs().into_iter().chain(self.requires.iter().chain(&self.when).flat_map(|condition| &condition.is))
    }

    /// How many bytes a signature has, where every one has as many.
    fn tag_len(&self) -> Option<usize> {
        match &self.mechanism {
            Mechanism::Pieces { algorithm, .. } => algorithm.tag_len(),
            Mechanism::Token(_) | Mechanism::Bespoke(_) | Mechanism::Nothing => None,
        }
    }

    /// The headers that it reads.
    fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let timestamp = self.timestamp.iter().filter_map(|timestamp| timestamp.place.as_ref());
        let ids = self.ids.iter().filter_map(|place| match place {
            IdPlace::At(place) => Some(place),
            IdPlace::Timestamp => None,
        });
        let places = timestamp.chain(ids).filter_map(|place| match place {
            Place::Header(name) => Some(name),
            _ => None,
        });
        self.signature_headers().iter().chain(places)
    }

    /// The texts at the signature's place, none of them empty.
    fn signature_texts<'a>(&self, contents: Contents<'a>) -> Result<SmallVec<[Cow<'a, str>; 1]>, Rejection> {
        let headers = contents.head.headers;
        let mut texts: SmallVec<[Cow<'a, str>; 1]> = SmallVec::new();
        match &self.place {
            SignaturePlace::Headers(names) => {
                for name in names {
                    texts.extend(single(headers, name)?.map(Cow::Borrowed));
                }
            }
            SignaturePlace::Numbered(name) => {
                for number in 1..=MAX_NUMBERED {
                    let Ok(name) = HeaderName::from_bytes(format!("{name}{number}").as_bytes()) else { break };
                    texts.extend(single(headers, &name)?.map(Cow::Borrowed));
                }
            }
            SignaturePlace::At(place) => texts.extend(place.read_contents(contents)?),
            SignaturePlace::Body => {
                let text = std::str::from_utf8(contents.body);
                let text = text.map_err(|_| Rejection::SignatureMalformed("the body is no text".into()))?;
                texts.push(Cow::Borrowed(text.trim_ascii()));
            }
            SignaturePlace::Nowhere => {}
        }
        texts.retain(|text| !text.is_empty());
        if texts.is_empty() {
            return Err(Rejection::SignatureMissing(format!("no {self}")));
        }
        if let Some(pointer) = &self.wrapped {
            for text in &mut texts {
                let inner = unwrapped(text, pointer).ok_or_else(|| {
                    Rejection::SignatureMalformed(format!("{self} is not base64 of JSON with a text at {pointer}"))
                })?;
                *text = Cow::Owned(inner);
            }
        }
        Ok(texts)
    }

    /// A value as its place has it.
    fn wrap(&self, value: String) -> String {
        match &self.wrapped {
            Some(pointer) => wrapped(&value, pointer),
            None => value,
        }
    }

    /// True if the signature stands where it can be read before the body is.
    fn is_in_head(&self) -> bool {
        match &self.place {
            SignaturePlace::Headers(_) | SignaturePlace::Numbered(_) => true,
            SignaturePlace::At(place) => place.is_in_head(),
            SignaturePlace::Body | SignaturePlace::Nowhere => false,
        }
    }

    fn timestamp_place(&self) -> String {
        match self.timestamp.as_ref().and_then(|timestamp| timestamp.place.as_ref()) {
            Some(place) => format!("no {place}"),
            None => format!("none in {self}"),
        }
    }

    fn id<'s, 'a: 's>(
        &self,
        context: &Context<'a, 's>,
        timestamp: Option<&str>,
    ) -> Result<Option<EventId<'a>>, Rejection> {
        for (index, place) in self.ids.iter().enumerate() {
            if let Some((kind, text)) = place.read(context, timestamp)? {
                return Ok(Some(EventId { kind, text, signed: self.coverage.of_id(index) }));
            }
        }
        Ok(None)
    }
}

/// A text with more characters wraps no signature.
const MAX_WRAPPED: usize = 4096;

/// The text at `pointer` of the JSON that `text` is base64 of.
fn unwrapped(text: &str, pointer: &Pointer) -> Option<String> {
    if text.len() > MAX_WRAPPED {
        return None;
    }
    let document = STANDARD.decode(text).ok()?;
    json::find(&document, pointer).and_then(json::text).filter(|inner| !inner.is_empty()).map(Cow::into_owned)
}

/// `text` as [`unwrapped`] reads it, where the pointer has one step.
fn wrapped(text: &str, pointer: &Pointer) -> String {
    STANDARD.encode(serde_json::json!({ &pointer.steps()[0]: text }).to_string())
}

/// Where the signature stands, in words: `header stripe-signature`.
impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            SignaturePlace::Headers(_) | SignaturePlace::Numbered(_) => write!(f, "header {}", self.signature_place()),
            _ => f.write_str(&self.signature_place()),
        }
    }
}
