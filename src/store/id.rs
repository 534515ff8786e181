//! Ids of events and deliveries.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::clock::UnixMillis;
use crate::signature::encoding::encode_hex;

/// 16 bytes: 48 bits of milliseconds, then 80 random ones. Sorts by time; written in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// A new one. Of those made within one millisecond, two are alike once in 2^40 times a million of them.
    pub fn new(now: UnixMillis) -> Self {
        let millis = u128::from(now.0.max(0).unsigned_abs()) << 80;
        Self((millis | fastrand::u128(..1 << 80)).to_be_bytes())
    }

    /// The one in these bytes; all zeros if there are not 16 of them, which no id of ours is.
    pub fn from_slice(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or_default())
    }

    /// When it was made.
    pub fn made_at(&self) -> UnixMillis {
        UnixMillis(i64::try_from(u128::from_be_bytes(self.0) >> 80).unwrap_or(0))
    }

    /// The first id that could have been made at `time`: for lists that begin there.
    pub fn first_at(time: UnixMillis) -> Self {
        Self((u128::from(time.0.max(0).unsigned_abs()) << 80).to_be_bytes())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not an id: 32 hexadecimal digits");
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let (first, second) = (Id::new(UnixMillis(1_760_000_000_000)), Id::new(UnixMillis(1_760_000_000_001)));
        assert!(first < second);
        assert_eq!(second.made_at(), UnixMillis(1_760_000_000_001));
        assert!(Id::first_at(UnixMillis(1_760_000_000_001)) <= second);
        assert!(first < Id::first_at(UnixMillis(1_760_000_000_001)));
        assert_eq!(first.to_string().parse(), Ok(first));
        for bad in ["", "1", "+199c82cc0000000000000000000000", "0199c82cc00000000000000000000000g"] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
