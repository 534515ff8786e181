//! Keys, ready to verify.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;

use super::algorithm::{Algorithm, KeyedHmac};
use super::public_key::{EcdsaForm, PublicKey};
use super::secret::Secret;
use super::token::TokenAlgorithm;
use super::{Alternative, KeyRole, Mechanism, Scheme};

/// Keys of one source, or of one document that a provider publishes.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

/// One key, ready to use under each alternative.
#[derive(Clone)]
pub(super) struct Key {
    /// The operator's id for it, or its place in the list from 1.
    pub name: String,
    /// The id that it has in a JWKS.
    pub id: Option<String>,
    /// In the order of the scheme's alternatives.
    pub keyed: Vec<Keyed>,
}

/// A key, as an alternative uses it.
#[derive(Clone)]
pub(super) enum Keyed {
    /// It is a key for another alternative.
    Unusable(&'static str),
    /// The HMAC state after its key; cloned for each message.
    Hmac(Box<KeyedHmac>),
    /// The secret itself: compared with, or signed under a key that only the message brings.
    Secret(Secret),
    Public(Arc<ParsedPublicKey>),
    /// By the token's algorithm.
    Token(Vec<(TokenAlgorithm, TokenKey)>),
}

#[derive(Clone)]
pub(super) enum TokenKey {
    Hmac(Box<KeyedHmac>),
    Public(Arc<ParsedPublicKey>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeySet {
    /// The keys that named secrets make under `scheme`. A JWKS makes several.
    ///
    /// # Errors
    /// The index of a secret that is no key of this scheme, and why.
    pub fn new(scheme: &Scheme, secrets: &[(String, Secret)]) -> Result<Self, (usize, &'static str)> {
        let mut keys = Vec::with_capacity(secrets.len());
        for (index, (name, secret)) in secrets.iter().enumerate() {
            keys.extend(Key::from_secret(scheme, name, secret).map_err(|why| (index, why))?);
        }
        Ok(Self(keys))
    }

    /// The keys of a document that was fetched: a JWKS, or a certificate.
    ///
    /// # Errors
    /// Why there are none in it, as a fragment.
    pub fn fetched(scheme: &Scheme, document: &[u8]) -> Result<Self, &'static str> {
        Ok(Self(Key::from_secret(scheme, "fetched", &Secret::new(document.to_vec()))?))
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

impl Key {
    /// One key, or as many as a JWKS holds that this scheme can use.
    fn from_secret(scheme: &Scheme, name: &str, secret: &Secret) -> Result<Vec<Self>, &'static str> {
        let public_keys = match scheme.has_public_keys() {
            true => PublicKey::read(secret.expose()),
            false => Err(WRONG_KIND),
        };
        let key = |public: Option<&PublicKey>| Self {
            name: name.to_owned(),
            id: public.and_then(|key| key.id.clone()),
            keyed: scheme.alternatives.iter().map(|alternative| Keyed::new(alternative, secret, public)).collect(),
        };
        let keys: Vec<Self> = match &public_keys {
            Ok(public_keys) => public_keys.iter().map(|public| key(Some(public))).collect(),
            Err(_) => vec![key(None)],
        };
        let (usable, useless): (Vec<Self>, Vec<Self>) = keys.into_iter().partition(|key| key.why_useless().is_none());
        if usable.is_empty() {
            let why = useless.first().and_then(Self::why_useless).unwrap_or(WRONG_KIND);
            // What could not be read as a public key says why not, which is more than that it is none.
            return Err(if why == WRONG_KIND { public_keys.err().unwrap_or(why) } else { why });
        }
        Ok(usable)
    }

    /// Why no alternative can use it; `None` if one can.
    fn why_useless(&self) -> Option<&'static str> {
        let reason = |keyed: &Keyed| match keyed {
            Keyed::Unusable(why) => Some(*why),
            _ => None,
        };
        let reasons: Option<Vec<&'static str>> = self.keyed.iter().map(reason).collect();
        reasons?.first().copied()
    }
}

const PUBLIC: &str = "is a public key, which anybody may know, and this algorithm wants a secret";

const WRONG_KIND: &str = "is a key for another algorithm";

impl Keyed {
    /// The key that `alternative` makes of a secret, which may be a public key.
    fn new(alternative: &Alternative, secret: &Secret, public: Option<&PublicKey>) -> Self {
        let wrong_kind = Self::Unusable(WRONG_KIND);
        match &alternative.mechanism {
            Mechanism::Pieces { algorithm, .. } if algorithm.is_asymmetric() => public
                .and_then(|key| key.verifying(*algorithm, EcdsaForm::Der))
                .map_or(wrong_kind, |key| Self::Public(Arc::new(key))),
            Mechanism::Pieces { .. } if PublicKey::is_one(secret.expose()) => Self::Unusable(PUBLIC),
            Mechanism::Pieces { algorithm, key: role, .. } => match alternative.secret.derive(secret) {
                Err(why) => Self::Unusable(why),
                Ok(derived) => match (algorithm, role) {
                    (Algorithm::Hmac(hash), KeyRole::Secret) => {
                        Self::Hmac(Box::new(KeyedHmac::new(*hash, derived.expose())))
                    }
                    _ => Self::Secret(derived),
                },
            },
            Mechanism::Token(scheme) => {
                if !alternative.wants_public_key() && PublicKey::is_one(secret.expose()) {
                    return Self::Unusable(PUBLIC);
                }
                let mut keys = Vec::new();
                for algorithm in &scheme.algorithms {
                    let key = match (algorithm.0, public) {
                        (Algorithm::Hmac(hash), None) if !PublicKey::is_one(secret.expose()) => {
                            match alternative.secret.derive(secret) {
                                Ok(derived) => TokenKey::Hmac(Box::new(KeyedHmac::new(hash, derived.expose()))),
                                Err(why) => return Self::Unusable(why),
                            }
                        }
                        (Algorithm::Hmac(_), _) | (_, None) => continue,
                        (asymmetric, Some(public)) => {
                            let meant =
                                public.token_algorithm.as_deref().is_none_or(|meant| meant == algorithm.as_str());
                            match public.verifying(asymmetric, EcdsaForm::Fixed).filter(|_| meant) {
                                Some(key) => TokenKey::Public(Arc::new(key)),
                                None => continue,
                            }
                        }
                    };
                    keys.push((*algorithm, key));
                }
                if keys.is_empty() { wrong_kind } else { Self::Token(keys) }
            }
            Mechanism::Bespoke(routine) => {
                routine.keyed(&alternative.secret, secret, public).unwrap_or_else(Self::Unusable)
            }
            Mechanism::Nothing => Self::Unusable("has nothing to verify: this provider signs nothing"),
        }
    }
}

impl Alternative {
    /// True where a public key verifies.
    pub(super) fn wants_public_key(&self) -> bool {
        match &self.mechanism {
            Mechanism::Pieces { algorithm, .. } => algorithm.is_asymmetric(),
            Mechanism::Token(scheme) => scheme.algorithms.iter().any(|algorithm| algorithm.0.is_asymmetric()),
            Mechanism::Bespoke(routine) => routine.wants_public_key(),
            Mechanism::Nothing => false,
        }
    }
}
