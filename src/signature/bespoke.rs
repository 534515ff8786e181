//! What no data describes: a routine each, named by the presets that need it.

mod http_message;
mod paytm;

use std::fmt;

use http::HeaderMap;

use super::key::Keyed;
use super::place::{Contents, Context};
use super::public_key::PublicKey;
use super::request::Head;
use super::secret::{Secret, SecretForm};
use super::value::ValueParts;
use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// A routine that verifies and signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routine {
    /// HTTP Message Signatures over a Content-Digest: which parts of a request are signed is said in the request.
    HttpMessage,
    /// An encrypted, salted digest of sorted fields: the verifier must decrypt before it can compare.
    Paytm,
}

impl Routine {
    /// The words of the scheme language, after `bespoke:`.
    pub const WORDS: [(&'static str, Self); 2] =
        [("bespoke:http-message-signatures", Self::HttpMessage), ("bespoke:paytm", Self::Paytm)];

    /// The word of the scheme language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, routine)| *routine == self).map_or("", |(word, _)| word)
    }

    /// True where a changed body is noticed.
    pub fn covers_body(self) -> bool {
        // Paytm signs values without their names.
        self == Self::HttpMessage
    }

    /// True where a changed timestamp is noticed.
    pub fn covers_timestamp(self) -> bool {
        self == Self::HttpMessage
    }

    /// True where a public key verifies.
    pub fn wants_public_key(self) -> bool {
        self == Self::HttpMessage
    }

    /// The key that a secret makes.
    pub fn keyed(self, form: &SecretForm, secret: &Secret, public: Option<&PublicKey>) -> Result<Keyed, &'static str> {
        match self {
            Self::HttpMessage => http_message::keyed(public),
            Self::Paytm => paytm::keyed(&form.derive(secret)?),
        }
    }

    /// Reads what other headers say of the signature.
    ///
    /// # Errors
    /// `SignatureMissing` or `SignatureMalformed`.
    pub fn read_head<'v>(self, head: Head<'v>, parts: &mut ValueParts<'v>) -> Result<(), Rejection> {
        match self {
            Self::HttpMessage => http_message::read_head(head, parts),
            Self::Paytm => Ok(()),
        }
    }

    /// True if `candidate` signs the message under `key`.
    ///
    /// # Errors
    /// `SignatureMissing` or `SignatureMalformed`.
    pub fn verify(self, context: &Context<'_, '_>, key: &Keyed, candidate: &str) -> Result<bool, Rejection> {
        match self {
            Self::HttpMessage => http_message::verify(context, key, candidate),
            Self::Paytm => Ok(paytm::verify(context.contents, key, candidate)),
        }
    }

    /// Signs a message: adds the headers that the signature needs beside it, and gives back what stands at its place.
    ///
    /// # Errors
    /// Why the secret will not do, as a fragment.
    pub fn sign(
        self,
        contents: Contents<'_>,
        headers: &mut HeaderMap,
        secret: &Secret,
        now: UnixTime,
    ) -> Result<String, &'static str> {
        match self {
            Self::HttpMessage => http_message::sign(contents, headers, secret, now),
            Self::Paytm => paytm::sign(contents, secret),
        }
    }
}

impl fmt::Display for Routine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
