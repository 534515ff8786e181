//! A secret, and how its text becomes key bytes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::algorithm::Hash;
use super::encoding::decode_hex;

/// Bytes that must not be shown. Wiped when dropped; `Debug` prints none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Every use of a secret goes through this name.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// How the text that an operator pastes becomes key bytes. Each preset says which; nothing is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// The text's own bytes, whole, whatever it looks like.
    Utf8,
    /// Standard base64.
    Base64,
    /// Hex in either case.
    Hex,
    /// Standard base64 after an optional `whsec_`.
    ///
    /// Source: Standard Webhooks, "Signature scheme" (read 2026-11-21).
    Whsec,
    /// The digest's bytes of the text.
    Digest(Hash),
    /// The text in Unicode's normalization form KD.
    Nfkd,
    /// The text from its last byte to its first.
    Reversed,
}

impl SecretForm {
    /// The words of the scheme language.
    pub const WORDS: [(&'static str, Self); 8] = [
        ("utf8", Self::Utf8),
        ("base64", Self::Base64),
        ("hex", Self::Hex),
        ("whsec", Self::Whsec),
        ("sha1", Self::Digest(Hash::Sha1)),
        ("sha256", Self::Digest(Hash::Sha256)),
        ("nfkd", Self::Nfkd),
        ("reversed", Self::Reversed),
    ];

    /// The word of the scheme language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, form)| *form == self).map_or("", |(word, _)| word)
    }

    /// The key bytes of `text`.
    ///
    /// # Errors
    /// What the text should have been; never the text itself.
    pub fn derive(self, text: &Secret) -> Result<Secret, &'static str> {
        let text = text.expose();
        let key = match self {
            Self::Utf8 => text.to_vec(),
            Self::Base64 => STANDARD.decode(text).map_err(|_| "is not base64, as the provider shows it")?,
            Self::Hex => decode_hex(text).ok_or("is not hex, as the provider shows it")?.to_vec(),
            Self::Whsec => {
                let encoded = text.strip_prefix(b"whsec_").unwrap_or(text);
                STANDARD.decode(encoded).map_err(|_| "is not `whsec_` and base64, as the provider shows it")?
            }
            Self::Digest(_) if text.is_empty() => Vec::new(),
            Self::Digest(hash) => hash.digest([text].into_iter()).to_vec(),
            Self::Nfkd => {
                std::str::from_utf8(text).map_err(|_| "is not UTF-8")?.nfkd().collect::<String>().into_bytes()
            }
            Self::Reversed => text.iter().rev().copied().collect(),
        };
        if key.is_empty() { Err("is empty") } else { Ok(Secret::new(key)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(form: SecretForm, text: &str) -> Result<Vec<u8>, &'static str> {
        form.derive(&Secret::new(text.into())).map(|key| key.expose().to_vec())
    }

    #[test]
    fn utf8_takes_the_text_whole() {
        assert_eq!(derive(SecretForm::Utf8, "whsec_eHg="), Ok(b"whsec_eHg=".to_vec()));
    }

    #[test]
    fn whsec_decodes_what_follows_the_prefix() {
        assert_eq!(derive(SecretForm::Whsec, "whsec_eHg="), Ok(b"xx".to_vec()));
        assert_eq!(derive(SecretForm::Whsec, "eHg="), Ok(b"xx".to_vec()));
        assert!(derive(SecretForm::Whsec, "whsec_not base64").is_err());
        assert_eq!(derive(SecretForm::Whsec, "whsec_"), Err("is empty"));
    }

    #[test]
    fn every_form_decodes_or_says_what_it_wants() {
        assert_eq!(derive(SecretForm::Base64, "eHg="), Ok(b"xx".to_vec()));
        assert_eq!(derive(SecretForm::Hex, "78Aa"), Ok(vec![0x78, 0xaa]));
        assert_eq!(derive(SecretForm::Nfkd, "\u{e9}"), Ok(b"e\xcc\x81".to_vec()));
        assert_eq!(derive(SecretForm::Reversed, "abc"), Ok(b"cba".to_vec()));
        assert_eq!(derive(SecretForm::Digest(Hash::Sha256), "x").map(|key| key.len()), Ok(32));
        assert!(derive(SecretForm::Base64, "eHg").is_err());
        assert!(derive(SecretForm::Hex, "abc").is_err());
        for (_, form) in SecretForm::WORDS {
            assert_eq!(derive(form, ""), Err("is empty"), "{form:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(redacted)");
    }
}
