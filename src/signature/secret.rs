//! A secret, and how its text becomes key bytes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

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
    /// Standard base64 after an optional `whsec_`.
    ///
    /// Source: Standard Webhooks, "Signature scheme" (read 2026-11-21).
    Whsec,
}

impl SecretForm {
    /// The words of the preset language.
    pub const WORDS: [(&'static str, Self); 2] = [("utf8", Self::Utf8), ("whsec", Self::Whsec)];

    /// The key bytes of `text`.
    ///
    /// # Errors
    /// What the text should have been; never the text itself.
    pub fn derive(self, text: &Secret) -> Result<Secret, &'static str> {
        let key = match self {
            Self::Utf8 => text.clone(),
            Self::Whsec => {
                let encoded = text.expose();
                let encoded = encoded.strip_prefix(b"whsec_").unwrap_or(encoded);
                let key =
                    STANDARD.decode(encoded).map_err(|_| "is not `whsec_` and base64, as the provider shows it")?;
                Secret::new(key)
            }
        };
        if key.expose().is_empty() { Err("is empty") } else { Ok(key) }
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
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(redacted)");
    }
}
