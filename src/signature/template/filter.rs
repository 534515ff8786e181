//! What becomes of a piece's bytes before they are signed.

use std::borrow::Cow;

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

const FILTERS: [(&str, Filter); 15] = [
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
    ("crc32", Filter::Crc32),
    ("encode-uri", Filter::Encode(&URI)),
    ("encode-component", Filter::Encode(&COMPONENT)),
];

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
            Self::Crc32 => {
                let mut crc = crc32fast::Hasher::new();
                bytes.iter().for_each(|bytes| crc.update(bytes));
                crc.finalize().to_string().into_bytes()
            }
            Self::Encode(set) => percent_encode(&bytes.concat(), set).to_string().into_bytes(),
        }
    }
}
