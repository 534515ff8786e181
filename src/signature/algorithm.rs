//! By which computation a message is signed.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use smallvec::SmallVec;

/// The bytes of a signature: a MAC's in place, an RSA signature's on the heap.
pub type Tag = SmallVec<[u8; 64]>;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How the signed bytes become a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC (RFC 2104).
    Hmac(Hash),
    /// A hash alone, with the secret among what is hashed.
    Digest(Hash),
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 over a hash, the signature in DER.
    EcdsaP256(Hash),
    /// RSA PKCS#1 v1.5 (RFC 8017, 8.2).
    Rsa(Hash),
    /// What stands in the request is the secret itself.
    Equal,
}

impl Algorithm {
    /// The words of the scheme language.
    pub const WORDS: [(&'static str, Self); 18] = [
        ("hmac-sha256", Self::Hmac(Hash::Sha256)),
        ("hmac-sha1", Self::Hmac(Hash::Sha1)),
        ("hmac-sha384", Self::Hmac(Hash::Sha384)),
        ("hmac-sha512", Self::Hmac(Hash::Sha512)),
        ("hmac-md5", Self::Hmac(Hash::Md5)),
        ("sha256", Self::Digest(Hash::Sha256)),
        ("sha1", Self::Digest(Hash::Sha1)),
        ("sha384", Self::Digest(Hash::Sha384)),
        ("sha512", Self::Digest(Hash::Sha512)),
        ("md5", Self::Digest(Hash::Md5)),
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256-sha256", Self::EcdsaP256(Hash::Sha256)),
        ("ecdsa-p256-sha1", Self::EcdsaP256(Hash::Sha1)),
        ("rsa-sha256", Self::Rsa(Hash::Sha256)),
        ("rsa-sha1", Self::Rsa(Hash::Sha1)),
        ("rsa-sha384", Self::Rsa(Hash::Sha384)),
        ("rsa-sha512", Self::Rsa(Hash::Sha512)),
        ("equal", Self::Equal),
    ];

    /// The word of the scheme language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(word, _)| word)
    }

    /// How many bytes a signature has, where every one has as many.
    pub fn tag_len(self) -> Option<usize> {
        match self {
            Self::Hmac(hash) | Self::Digest(hash) => Some(hash.digest_len()),
            Self::Ed25519 => Some(64),
            Self::EcdsaP256(_) | Self::Rsa(_) | Self::Equal => None,
        }
    }

    /// True where a public key verifies, so that who can verify cannot sign.
    pub fn is_asymmetric(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaP256(_) | Self::Rsa(_))
    }
}

impl Hash {
    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `parts`, one after the other.
    pub fn digest<'p>(self, parts: impl Iterator<Item = &'p [u8]>) -> Tag {
        fn run<'p, D: Digest>(parts: impl Iterator<Item = &'p [u8]>) -> Tag {
            let mut state = D::new();
            parts.for_each(|part| state.update(part));
            Tag::from_slice(&state.finalize())
        }
        match self {
            Self::Md5 => run::<Md5>(parts),
            Self::Sha1 => run::<Sha1>(parts),
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha384 => run::<Sha384>(parts),
            Self::Sha512 => run::<Sha512>(parts),
        }
    }
}

/// An HMAC after its key: cloned for each message, so that the key is hashed once.
#[derive(Clone)]
pub enum KeyedHmac {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl KeyedHmac {
    /// The state after `key`, which may have any length.
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        fn keyed<M: KeyInit>(key: &[u8]) -> M {
            M::new_from_slice(key).expect("HMAC takes a key of any length")
        }
        match hash {
            Hash::Md5 => Self::Md5(keyed(key)),
            Hash::Sha1 => Self::Sha1(keyed(key)),
            Hash::Sha256 => Self::Sha256(keyed(key)),
            Hash::Sha384 => Self::Sha384(keyed(key)),
            Hash::Sha512 => Self::Sha512(keyed(key)),
        }
    }

    /// The tag of `parts`, one after the other.
    pub fn tag<'p>(&self, parts: impl Iterator<Item = &'p [u8]>) -> Tag {
        fn run<'p, M: Mac + Clone>(state: &M, parts: impl Iterator<Item = &'p [u8]>) -> Tag {
            let mut state = state.clone();
            parts.for_each(|part| state.update(part));
            Tag::from_slice(&state.finalize().into_bytes())
        }
        match self {
            Self::Md5(state) => run(state, parts),
            Self::Sha1(state) => run(state, parts),
            Self::Sha256(state) => run(state, parts),
            Self::Sha384(state) => run(state, parts),
            Self::Sha512(state) => run(state, parts),
        }
    }
}
