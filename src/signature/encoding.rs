//! How the bytes of a signature are written as text.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};

use super::Tag;

/// Reads base64url with or without its padding, and writes it without.
const BASE64URL: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The text form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Written in lower case, read in either.
    Hex,
    /// The standard alphabet, padded.
    Base64,
    /// The URL-safe alphabet, written without padding, read with or without.
    Base64Url,
}

impl Encoding {
    /// The words of the preset language.
    pub const WORDS: [(&'static str, Self); 3] =
        [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url)];

    /// The tag that `text` stands for. `None` if it is not this encoding of exactly one tag.
    pub fn decode(self, text: &[u8]) -> Option<Tag> {
        // One spare group, as the engines ask for room before they know the length.
        let mut bytes = [0; size_of::<Tag>() + 3];
        let length = match self {
            Self::Hex => decode_hex(text, &mut bytes)?,
            Self::Base64 => STANDARD.decode_slice(text, &mut bytes).ok()?,
            Self::Base64Url => BASE64URL.decode_slice(text, &mut bytes).ok()?,
        };
        bytes[..length].try_into().ok()
    }

    /// The text that stands for `tag`.
    pub fn encode(self, tag: &Tag) -> String {
        match self {
            Self::Hex => encode_hex(tag),
            Self::Base64 => STANDARD.encode(tag),
            Self::Base64Url => BASE64URL.encode(tag),
        }
    }
}

fn decode_hex(text: &[u8], bytes: &mut [u8]) -> Option<usize> {
    if text.len() != 2 * size_of::<Tag>() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(text.len() / 2)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Lower-case hex of any bytes.
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = [0xfb; 32];

    #[test]
    fn each_encoding_reads_what_it_writes() {
        for (_, encoding) in Encoding::WORDS {
            assert_eq!(encoding.decode(encoding.encode(&TAG).as_bytes()), Some(TAG), "{encoding:?}");
        }
    }

    #[test]
    fn anything_but_one_whole_tag_is_refused() {
        for (_, encoding) in Encoding::WORDS {
            let text = encoding.encode(&TAG);
            for bad in ["", "zz", &text[1..], &text[..text.len() - 2], &format!("{text}{text}"), &format!(" {text}")] {
                assert_eq!(encoding.decode(bad.as_bytes()), None, "{encoding:?} {bad}");
            }
        }
    }

    #[test]
    fn padding_is_optional_only_in_base64url() {
        let padded = STANDARD.encode(TAG);
        let bare = padded.trim_end_matches('=');
        assert_eq!(Encoding::Base64.decode(bare.as_bytes()), None);
        let url = |text: &str| Encoding::Base64Url.decode(text.replace('+', "-").replace('/', "_").as_bytes());
        assert_eq!(url(&padded), Some(TAG));
        assert_eq!(url(bare), Some(TAG));
        assert_eq!(Encoding::Base64Url.decode(padded.as_bytes()), None, "the other alphabet");
    }

    #[test]
    fn hex_is_read_in_either_case() {
        assert_eq!(Encoding::Hex.decode(encode_hex(&TAG).to_uppercase().as_bytes()), Some(TAG));
    }
}
