//! Compares the signatures of a message with what its keys make of it.

use std::borrow::Cow;

use aws_lc_rs::signature::ParsedPublicKey;
use subtle::ConstantTimeEq;

use crate::rejection::Rejection;
use crate::signature::KeyRole;
use crate::signature::algorithm::{Algorithm, KeyedHmac, Tag};
use crate::signature::key::{Key, Keyed};
use crate::signature::place::Context;
use crate::signature::template::{Bytes, Inputs, Source, Template};

/// The candidates of one message against the keys that may have signed it.
pub struct Comparison<'c> {
    pub algorithm: Algorithm,
    pub signs: &'c Template,
    pub role: KeyRole,
    pub tags: &'c [Tag],
    pub keys: &'c [(usize, &'c Key)],
    pub index: usize,
}

impl<'c> Comparison<'c> {
    /// The place of the key that matches. No short cut: the number of comparisons never depends on which one it is.
    pub fn run<'s, 'a: 's>(&self, context: &Context<'a, 's>, inputs: Inputs<'s>) -> Result<usize, Rejection>
    where
        'c: 's,
    {
        let signs: &'c Template = self.signs;
        let shared = if signs.has(&Source::Secret) || self.algorithm == Algorithm::Equal {
            None
        } else {
            Some(signs.resolve(context, inputs)?)
        };
        // Public keys want it in one piece.
        let message: Option<Cow<'_, [u8]>> = match (&shared, self.algorithm.is_asymmetric()) {
            (Some(bytes), true) if bytes.len() == 1 => Some(Cow::Borrowed(&bytes[0])),
            (Some(bytes), true) => Some(Cow::Owned(bytes.concat())),
            _ => None,
        };
        let mut matched = None;
        for (place, key) in self.keys {
            let good = match &key.keyed[self.index] {
                Keyed::Public(public) => self.any_verifies(public, message.as_deref().unwrap_or_default()),
                Keyed::Hmac(hmac) => match &shared {
                    Some(bytes) => self.any_is(&hmac.tag(parts(bytes))),
                    None => self.any_is(&hmac.tag(parts(&signs.resolve(context, inputs)?))),
                },
                Keyed::Secret(secret) if self.algorithm == Algorithm::Equal => self.any_is(secret.expose()),
                Keyed::Secret(secret) => {
                    let bytes = signs.resolve(context, Inputs { secret: secret.expose(), ..inputs })?;
                    self.any_is(&keyless_tag(self.algorithm, self.role, &bytes, context.contents.body))
                }
                Keyed::Token(_) | Keyed::Unusable(_) => false,
            };
            if good && matched.is_none() {
                matched = Some(*place);
            }
        }
        matched.ok_or(Rejection::SignatureMismatch)
    }

    fn any_is(&self, tag: &[u8]) -> bool {
        self.tags.iter().fold(false, |matched, candidate| same(candidate, tag) | matched)
    }

    fn any_verifies(&self, key: &ParsedPublicKey, message: &[u8]) -> bool {
        self.tags.iter().fold(false, |matched, candidate| key.verify_sig(message, candidate).is_ok() | matched)
    }
}

/// The tag of bytes that have the secret among them.
pub fn keyless_tag(algorithm: Algorithm, role: KeyRole, bytes: &Bytes<'_>, body: &[u8]) -> Tag {
    match (algorithm, role) {
        (Algorithm::Hmac(hash), KeyRole::Body) => KeyedHmac::new(hash, body).tag(parts(bytes)),
        (Algorithm::Hmac(hash) | Algorithm::Digest(hash), _) => hash.digest(parts(bytes)),
        _ => Tag::new(),
    }
}

/// Bytes, one piece after the other.
pub fn parts<'b>(bytes: &'b Bytes<'_>) -> impl Iterator<Item = &'b [u8]> {
    bytes.iter().map(AsRef::as_ref)
}

/// Compares in a time that only tells the lengths.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    !one.is_empty() && bool::from(one.ct_eq(other))
}
