//! How the bytes of a signature are written as text.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};

use super::algorithm::Tag;

/// Reads base64url with or without its padding, and writes it without.
pub const BASE64URL: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The longest signature in bytes: RSA with 8192 bits.
const MAX_TAG_LEN: usize = 1024;

/// The text form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Written in lower case, read in either.
    Hex,
    /// The standard alphabet, padded.
    Base64,
    /// The URL-safe alphabet, written without padding, read with or without.
    Base64Url,
    /// The standard base64 of the lower-case hex.
    Base64Hex,
    /// The bytes themselves, which are text.
    Text,
}

impl Encoding {
    /// The words of the scheme language.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("hex", Self::Hex),
        ("base64", Self::Base64),
        ("base64url", Self::Base64Url),
        ("base64-hex", Self::Base64Hex),
        ("text", Self::Text),
    ];

    /// The tag that `text` stands for, of `length` bytes where it is known. `None` if it is not this encoding of one.
    pub fn decode(self, text: &[u8], length: Option<usize>) -> Option<Tag> {
        let tag = match self {
            Self::Hex => decode_hex(text)?,
            Self::Base64 => decode_base64(&STANDARD, text)?,
            Self::Base64Url => decode_base64(&BASE64URL, text)?,
            Self::Base64Hex => decode_hex(&decode_base64(&STANDARD, text)?)?,
            Self::Text if text.len() <= MAX_TAG_LEN => Tag::from_slice(text),
            Self::Text => return None,
        };
        let fits = length.map_or(!tag.is_empty() && tag.len() <= MAX_TAG_LEN, |length| tag.len() == length);
        fits.then_some(tag)
    }

    /// The text that stands for `tag`.
    pub fn encode(self, tag: &[u8]) -> String {
        match self {
            Self::Hex => encode_hex(tag),
            Self::Base64 => STANDARD.encode(tag),
            Self::Base64Url => BASE64URL.encode(tag),
            Self::Base64Hex => STANDARD.encode(encode_hex(tag)),
            Self::Text => String::from_utf8_lossy(tag).into_owned(),
        }
    }
}

fn decode_base64(engine: &GeneralPurpose, text: &[u8]) -> Option<Tag> {
    // Room for a whole group more than is there: the engines ask for it before they know the length.
    let room = text.len() / 4 * 3 + 3;
    if room > MAX_TAG_LEN + 3 {
        return None;
    }
    let mut tag = Tag::from_elem(0, room);
    let length = engine.decode_slice(text, &mut tag).ok()?;
    tag.truncate(length);
    Some(tag)
}

/// The bytes that hex of either case stands for.
pub fn decode_hex(text: &[u8]) -> Option<Tag> {
    if !text.len().is_multiple_of(2) || text.len() > 2 * MAX_TAG_LEN {
        return None;
    }
    let mut bytes = Tag::from_elem(0, text.len() / 2);
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
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

    const TAG: [u8; 32] = [0xfb; 32];

    fn decode(encoding: Encoding, text: &str) -> Option<Tag> {
        encoding.decode(text.as_bytes(), Some(TAG.len()))
    }

    fn binary() -> impl Iterator<Item = Encoding> {
        Encoding::WORDS.iter().map(|(_, encoding)| *encoding).filter(|encoding| *encoding != Encoding::Text)
    }

    #[test]
    fn each_encoding_reads_what_it_writes() {
        for encoding in binary() {
            assert_eq!(decode(encoding, &encoding.encode(&TAG)), Some(Tag::from_slice(&TAG)), "{encoding:?}");
        }
    }

    #[test]
    fn anything_but_one_whole_tag_is_refused() {
        for encoding in binary() {
            let text = encoding.encode(&TAG);
            for bad in ["", "zz", &text[1..], &text[..text.len() - 2], &format!("{text}{text}"), &format!(" {text}")] {
                assert_eq!(decode(encoding, bad), None, "{encoding:?} {bad}");
            }
        }
    }

    #[test]
    fn padding_is_optional_only_in_base64url() {
        let padded = STANDARD.encode(TAG);
        let bare = padded.trim_end_matches('=');
        assert_eq!(decode(Encoding::Base64, bare), None);
        let url = |text: &str| decode(Encoding::Base64Url, &text.replace('+', "-").replace('/', "_"));
        assert_eq!(url(&padded), Some(Tag::from_slice(&TAG)));
        assert_eq!(url(bare), Some(Tag::from_slice(&TAG)));
        assert_eq!(decode(Encoding::Base64Url, &padded), None, "the other alphabet");
    }

    #[test]
    fn hex_is_read_in_either_case() {
        assert_eq!(decode(Encoding::Hex, &encode_hex(&TAG).to_uppercase()), Some(Tag::from_slice(&TAG)));
    }

    #[test]
    fn where_no_length_is_known_any_but_none_will_do() {
        assert_eq!(Encoding::Base64.decode(b"eHg=", None).as_deref(), Some(&b"xx"[..]));
        assert_eq!(Encoding::Text.decode(b"token", None).as_deref(), Some(&b"token"[..]));
        for (_, encoding) in Encoding::WORDS {
            assert_eq!(encoding.decode(b"", None), None);
            assert_eq!(encoding.decode(&[b'a'; 4096], None), None, "{encoding:?}");
        }
    }
}
