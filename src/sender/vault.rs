//! What is kept of secrets: sealed, so that a copy of the store alone says nothing.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::signature::secret::Secret;

/// How what is sealed is written: this byte, the key's mark, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;

const MARK_LEN: usize = 4;
const HEAD_LEN: usize = 1 + MARK_LEN + NONCE_LEN;

/// The keys of a sender. The first one seals, any of them opens: that is how a key is changed.
pub struct Vault {
    keys: Vec<Key>,
}

struct Key {
    /// By which what it sealed is known.
    mark: [u8; MARK_LEN],
    key: RandomizedNonceKey,
}

/// Why something cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// None of the keys sealed it.
    #[error("it was sealed with another key: add that one to [sender] keys")]
    UnknownKey,
    /// It is not what was sealed, or was sealed for something else.
    #[error("it was changed after it was sealed")]
    Broken,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

impl Vault {
    /// A vault with these keys, at least one. A key is what SHA-256 makes of the secret: let that be 32 random bytes.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let keys = secrets.into_iter().map(Key::new).collect();
        Self { keys }
    }

    /// Seals `plain` for the place that `what` names: moved elsewhere, it does not open.
    pub fn seal(&self, what: &str, plain: &[u8]) -> Vec<u8> {
        let Key { mark, key } = self.keys.first().expect("a vault has a key");
        let mut text = plain.to_vec();
        let nonce =
            key.seal_in_place_append_tag(Aad::from(what), &mut text).expect("it is far below the limit of AES-GCM");
        let mut sealed = Vec::with_capacity(HEAD_LEN + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(mark);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        sealed
    }

    /// Opens what was sealed for `what`.
    ///
    /// # Errors
    /// If no key of ours sealed it, or it was changed since.
    pub fn open(&self, what: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (head, text) = sealed.split_at_checked(HEAD_LEN).ok_or(OpenError::Broken)?;
        let (mark, nonce) = head[1..].split_at(MARK_LEN);
        if head[0] != VERSION {
            return Err(OpenError::Broken);
        }
        let Key { key, .. } = self.keys.iter().find(|key| key.mark == mark).ok_or(OpenError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Broken)?;
        let mut text = text.to_vec();
        let opened = key.open_in_place(nonce, Aad::from(what), &mut text).map_err(|_| OpenError::Broken)?;
        Ok(opened.to_vec())
    }

    /// True if `sealed` would be sealed with another key today.
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        let current = self.keys.first().map(|key| &key.mark[..]);
        sealed.get(1..=MARK_LEN) != current
    }
}

impl Key {
    fn new(secret: &Secret) -> Self {
        let digest = Sha256::digest(secret.expose());
        let key = RandomizedNonceKey::new(&AES_256_GCM, &digest).expect("SHA-256 gives 32 bytes");
        let mark = Sha256::digest([b"hookward key mark", &digest[..]].concat());
        Self { mark: mark[..MARK_LEN].try_into().expect("four bytes"), key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(secrets: &[&str]) -> Vault {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(text.as_bytes().to_vec())).collect();
        Vault::new(&secrets)
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let vault = vault(&["one"]);
        let sealed = vault.seal("endpoint wh_1", b"whsec_x");
        assert!(!sealed.windows(7).any(|part| part == b"whsec_x"));
        assert_eq!(vault.open("endpoint wh_1", &sealed).as_deref(), Ok(&b"whsec_x"[..]));
        assert_eq!(vault.open("endpoint wh_2", &sealed), Err(OpenError::Broken));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("endpoint wh_1", &changed).is_err(), "byte {at}");
            assert!(vault.open("endpoint wh_1", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_old_key_opens_and_a_foreign_one_is_named() {
        let sealed = vault(&["old"]).seal("x", b"y");
        let both = vault(&["new", "old"]);
        assert_eq!(both.open("x", &sealed).as_deref(), Ok(&b"y"[..]));
        assert!(both.is_outdated(&sealed) && !both.is_outdated(&both.seal("x", b"y")));
        assert_eq!(vault(&["new"]).open("x", &sealed), Err(OpenError::UnknownKey));
    }
}
