//! Ids of events and deliveries.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Serialize, Serializer};

use crate::clock::UnixMillis;
use crate::signature::encoding::encode_hex;

/// 16 bytes: 48 bits of milliseconds, then 80 random ones. Sorts by time; written in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

/// The latest that was made in this process.
static LATEST: Mutex<u128> = Mutex::new(0);

/// A second. When the clock steps back by less, ids go on from the latest; by more, time wins.
const STEP_BACK: u128 = 1000 << 80;

impl Id {
    /// A new one, later than all that this process made before, unless the clock was set back by a second or more.
    /// Of those made by many within one millisecond, two are alike once in 2^40 times a million of them.
    pub fn new(now: UnixMillis) -> Self {
        let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = next(*latest, now);
        Self(latest.to_be_bytes())
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

/// The id after `latest`: as random as its millisecond allows.
fn next(latest: u128, now: UnixMillis) -> u128 {
    let fresh = u128::from(now.0.max(0).unsigned_abs()) << 80 | fastrand::u128(..1 << 80);
    if fresh <= latest && latest - fresh < STEP_BACK {
        latest.saturating_add(fastrand::u128(1..=1 << 40))
    } else {
        fresh
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
    fn ids_increase_whatever_the_clock_does_within_a_second() {
        let mut latest = next(0, UnixMillis(1_760_000_000_000));
        for back in (0..1000).chain([0; 1000]) {
            let id = next(latest, UnixMillis(1_760_000_000_000 - back));
            assert!(id > latest, "{back} ms back");
            latest = id;
        }
        assert_eq!(Id(latest.to_be_bytes()).made_at(), UnixMillis(1_760_000_000_000));
        let set_back = next(latest, UnixMillis(1_760_000_000_000 - 1001));
        assert_eq!(Id(set_back.to_be_bytes()).made_at(), UnixMillis(1_760_000_000_000 - 1001), "time wins");
    }

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let (first, second) = (Id::new(UnixMillis(1_770_000_000_000)), Id::new(UnixMillis(1_770_000_000_001)));
        assert!(first < second);
        assert_eq!(second.made_at(), UnixMillis(1_770_000_000_001));
        assert!(Id::first_at(UnixMillis(1_770_000_000_001)) <= second);
        assert!(first < Id::first_at(UnixMillis(1_770_000_000_001)));
        assert_eq!(first.to_string().parse(), Ok(first));
        for bad in ["", "1", "+199c82cc0000000000000000000000", "0199c82cc00000000000000000000000g"] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
