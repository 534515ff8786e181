//! What becomes of a piece's bytes before they are signed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::signature::algorithm::Hash;
use crate::signature::encoding::{Encoding, encode_hex};

/// What becomes of a piece's bytes.
#[derive(Debug, Clone, Copy)]
pub enum Filter {
    Lower,
    Upper,
    Trim,
    /// The digest in an encoding.
    Digest(Hash, Encoding),
    /// The bytes of the digest.
    RawDigest(Hash),
    Base64,
    /// A JSON string, quotes included.
    Json,
    /// CRC-32 as a decimal number.
    Crc32,
    /// Percent-encoded, but for what the set leaves.
    Encode(&'static AsciiSet),
}

/// What JavaScript's `encodeURIComponent` encodes (ECMA-262, 19.2.6.5).
const COMPONENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What its `encodeURI` encodes (ECMA-262, 19.2.6.4).
const URI: AsciiSet = COMPONENT
    .remove(b';')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',')
    .remove(b'#');

const FILTERS: [(&str, Filter); 18] = [
    ("lower", Filter::Lower),
    ("upper", Filter::Upper),
    ("trim", Filter::Trim),
    ("md5", Filter::Digest(Hash::Md5, Encoding::Hex)),
    ("sha1", Filter::Digest(Hash::Sha1, Encoding::Hex)),
    ("sha256", Filter::Digest(Hash::Sha256, Encoding::Hex)),
    ("sha384", Filter::Digest(Hash::Sha384, Encoding::Hex)),
    ("sha512", Filter::Digest(Hash::Sha512, Encoding::Hex)),
    ("md5-base64", Filter::Digest(Hash::Md5, Encoding::Base64)),
    ("sha1-base64", Filter::Digest(Hash::Sha1, Encoding::Base64)),
    ("sha256-base64", Filter::Digest(Hash::Sha256, Encoding::Base64)),
    ("sha512-base64", Filter::Digest(Hash::Sha512, Encoding::Base64)),
    ("sha256-raw", Filter::RawDigest(Hash::Sha256)),
    ("base64", Filter::Base64),
    ("json", Filter::Json),
    ("crc32", Filter::Crc32),
    ("encode-uri", Filter::Encode(&URI)),
    ("encode-component", Filter::Encode(&COMPONENT)),
];

/// The JSON string that JavaScript's `JSON.stringify` makes of a text (ECMA-262, 25.5.2.2). Bytes that are no UTF-8 stay
/// as they are, so that no two inputs come out the same.
fn json_string(bytes: &[u8]) -> Vec<u8> {
    let mut string = Vec::with_capacity(bytes.len() + 2);
    string.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => string.extend([b'\\', *byte]),
            b'\x08' => string.extend(b"\\b"),
            b'\t' => string.extend(b"\\t"),
            b'\n' => string.extend(b"\\n"),
            b'\x0c' => string.extend(b"\\f"),
            b'\r' => string.extend(b"\\r"),
            0..0x20 => string.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => string.push(*byte),
        }
    }
    string.push(b'"');
    string
}

impl Filter {
    /// Reads a word of the scheme language.
    ///
    /// # Errors
    /// The words that there are.
    pub fn parse(word: &str) -> Result<Self, String> {
        FILTERS.iter().find(|(known, _)| *known == word).map(|(_, filter)| *filter).ok_or_else(|| {
            let known: Vec<&str> = FILTERS.iter().map(|(known, _)| *known).collect();
            format!("\"{word}\" is not one of the filters {}", known.join(", "))
        })
    }

    /// True if nothing it is applied to can change unnoticed: other bytes come out otherwise.
    pub fn tells_apart(&self) -> bool {
        matches!(self, Self::Digest(..) | Self::RawDigest(_) | Self::Base64 | Self::Json)
    }

    /// True if what comes out has always as many bytes.
    pub fn has_fixed_length(&self) -> bool {
        matches!(self, Self::Digest(..) | Self::RawDigest(_))
    }

    /// Applies it to bytes, one after the other.
    pub fn apply(self, bytes: &[Cow<'_, [u8]>]) -> Vec<u8> {
        match self {
            Self::Lower => bytes.concat().to_ascii_lowercase(),
            Self::Upper => bytes.concat().to_ascii_uppercase(),
            Self::Trim => bytes.concat().trim_ascii().to_vec(),
            Self::Digest(hash, encoding) => {
                let digest = hash.digest(bytes.iter().map(AsRef::as_ref));
                if encoding == Encoding::Hex { encode_hex(&digest) } else { encoding.encode(&digest) }.into_bytes()
            }
            Self::RawDigest(hash) => hash.digest(bytes.iter().map(AsRef::as_ref)).to_vec(),
            Self::Base64 => STANDARD.encode(bytes.concat()).into_bytes(),
            Self::Json => json_string(&bytes.concat()),
            Self::Crc32 => {
                let mut crc = crc32fast::Hasher::new();
                bytes.iter().for_each(|bytes| crc.update(bytes));
                crc.finalize().to_string().into_bytes()
            }
            Self::Encode(set) => percent_encode(&bytes.concat(), set).to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_string_is_as_javascript_writes_it_and_tells_bytes_apart() {
        let text: String = (0..0x80).filter_map(char::from_u32).chain("é世🎉\u{2028}/".chars()).collect();
        assert_eq!(json_string(text.as_bytes()), serde_json::to_vec(&text).expect("JSON"));
        assert_ne!(json_string(b"\xff"), json_string("\u{fffd}".as_bytes()));
        assert_ne!(json_string(b"\\n"), json_string(b"\n"));
    }
}
