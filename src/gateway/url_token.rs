//! The end of a URL that nobody can guess, for senders that sign nothing.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::signature::secret::Secret;

/// What a source's path goes on with: who does not know it does not find the source.
#[derive(Debug)]
pub struct UrlToken(Secret);

impl UrlToken {
    /// Fewer bytes can be guessed.
    pub const LEAST: usize = 16;

    /// More do not fit into every sender's form.
    pub const MOST: usize = 256;

    /// A token.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn new(secret: Secret) -> Result<Self, &'static str> {
        let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if !secret.expose().iter().all(unreserved) {
            return Err("is not made of letters, digits, '-', '.', '_' and '~'");
        }
        match secret.expose().len() {
            ..Self::LEAST => Err("is shorter than 16 bytes, `openssl rand -hex 24` makes a good one"),
            Self::LEAST..=Self::MOST => Ok(Self(secret)),
            _ => Err("is longer than 256 bytes"),
        }
    }

    /// What `base` goes on with: a slash, unless it ends in one, and the token. For nobody but the provider.
    pub fn after(&self, base: &str) -> String {
        let slash = if base.ends_with('/') { "" } else { "/" };
        // What is made of ASCII is text.
        [base, slash, &String::from_utf8_lossy(self.0.expose())].concat()
    }
}

/// A path that must not be told from others by how long it takes to compare.
#[derive(Debug, PartialEq, Eq)]
pub struct PathDigest([u8; 32]);

impl PathDigest {
    /// Of a whole path.
    pub fn of(path: &str) -> Self {
        Self(Sha256::digest(path).into())
    }

    /// Compares in constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Result<UrlToken, &'static str> {
        UrlToken::new(Secret::new(text.into()))
    }

    #[test]
    fn a_token_is_long_enough_and_needs_no_encoding() {
        assert!(token("0123456789abcdef").is_ok() && token(&"aZ9-._~x".repeat(32)).is_ok());
        assert!(token("0123456789abcde").is_err() && token(&"a".repeat(257)).is_err());
        for bad in ["0123456789abcde/", "0123456789abcde%20", "0123456789abcdé", "0123456789 abcdef", ""] {
            assert!(token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_is_a_segment_of_its_own() {
        let token = token("0123456789abcdef").expect("a token");
        assert_eq!(token.after("/in/jotform"), "/in/jotform/0123456789abcdef");
        assert_eq!(token.after("/"), "/0123456789abcdef");
        assert_eq!(format!("{token:?}"), "UrlToken(Secret(redacted))");
    }

    #[test]
    fn paths_are_compared_whole() {
        let known = PathDigest::of("/in/a/0123456789abcdef");
        assert!(known.is(&PathDigest::of("/in/a/0123456789abcdef")));
        for other in ["/in/a/0123456789abcdee", "/in/a/0123456789abcdef/", "/in/A/0123456789abcdef", "/in/a", ""] {
            assert!(!known.is(&PathDigest::of(other)), "{other}");
        }
    }
}
