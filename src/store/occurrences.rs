//! Events that repeat, of which an endpoint gets the 1st, the 10th, the 100th and so on within a window.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Begin, NewEvent, Owed};
use crate::clock::UnixMillis;

/// A delivery that is only owed if its event is the 1st, 10th, 100th … of its kind within a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub destination: Arc<str>,
    /// What is counted together: the event's type and what it happened to (already joined and unambiguous). Any text.
    pub of: String,
    /// How long a window lasts that begins with this event.
    pub window: Duration,
    /// The body around the number of the occurrence: the pieces are joined by it.
    pub body: Vec<Bytes>,
    /// The delivery, should it be owed: then it is due. Its variant is given by the store.
    pub owed: Owed,
}

/// By what it is counted: the destination, and a digest, which is short whatever `of` is.
pub(super) type Key<'a> = (&'a str, [u8; 16]);

impl Counted {
    pub(super) fn key(&self) -> Key<'_> {
        let digest: [u8; 32] = Sha256::digest(&self.of).into();
        let (half, _) = digest.split_first_chunk().expect("it has 32 bytes");
        (&self.destination, *half)
    }

    fn body(&self, occurrence: i64) -> Bytes {
        self.body.join(occurrence.to_string().as_bytes()).into()
    }
}

/// How often something has happened in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// When it is over.
    pub until: UnixMillis,
    pub count: i64,
}

/// So long is a window kept that is over: clocks differ, and it goes by that of whoever accepted an event.
pub(super) const WINDOWS_KEPT: Duration = Duration::from_secs(60);

impl Window {
    /// Of what has never happened.
    pub const NEVER: Self = Self { until: UnixMillis(i64::MIN), count: 0 };

    /// Counts one that was accepted `at`, and says which it is. What was accepted before the window began counts into it.
    pub fn count(&mut self, at: UnixMillis, lasts: Duration) -> i64 {
        // One that ends too late was begun by a clock that was ahead, and would last until that moment really comes.
        let is_open = at < self.until && self.until <= at.after(lasts).after(WINDOWS_KEPT);
        *self = if is_open {
            Self { count: self.count.saturating_add(1), ..*self }
        } else {
            Self { until: at.after(lasts), count: 1 }
        };
        self.count
    }
}

/// What an event is told with beyond what was decided before: what is owed by its number, and the bodies with it.
#[derive(Debug)]
pub(super) struct Told {
    next: u16,
    variants: HashMap<Bytes, u16>,
    pub owed: Vec<Owed>,
}

impl Told {
    /// Nothing yet. Variants that no longer fit would have one number, which the tables refuse.
    pub fn of(event: &NewEvent) -> Self {
        let next = u16::try_from(event.variants.len()).unwrap_or(u16::MAX).saturating_add(1);
        Self { next, variants: HashMap::new(), owed: Vec::new() }
    }

    /// Owes it, if this is the occurrence that is told.
    pub fn add(&mut self, counted: &Counted, occurrence: i64) {
        if !is_told(occurrence) {
            return;
        }
        let variant = *self.variants.entry(counted.body(occurrence)).or_insert(self.next);
        if variant == self.next {
            self.next = self.next.saturating_add(1);
        }
        self.owed.push(Owed { variant, begin: Begin::Due, ..counted.owed.clone() });
    }

    /// The bodies, each with its variant.
    pub fn bodies(&self) -> impl Iterator<Item = (u16, &Bytes)> {
        self.variants.iter().map(|(body, variant)| (*variant, body))
    }
}

/// 1, 10, 100 …
fn is_told(occurrence: i64) -> bool {
    occurrence.checked_ilog10().is_some_and(|zeros| occurrence == 10_i64.pow(zeros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_over_at_its_end() {
        let five = Duration::from_millis(300);
        let mut window = Window::NEVER;
        let mut count = |at| window.count(UnixMillis(at), five);
        assert_eq!([1000, 1000, 900, 1299, 1300, 1299, 1600].map(&mut count), [1, 2, 3, 4, 1, 2, 1]);
        assert_eq!(window, Window { until: UnixMillis(1900), count: 1 });
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_window_open() {
        let lasts = Duration::from_secs(300);
        let mut window = Window::NEVER;
        let mut count = |second: i64| window.count(UnixMillis(second * 1000), lasts);
        assert_eq!([1_000_000, 999_941, 999_940].map(&mut count), [1, 2, 3], "as far as clocks may differ");
        assert_eq!([900_000, 900_001].map(&mut count), [1, 2], "it was set back");
    }

    #[test]
    fn powers_of_ten_are_told() {
        let told: Vec<i64> = (-10..=100_000).filter(|number| is_told(*number)).collect();
        assert_eq!(told, [1, 10, 100, 1000, 10_000, 100_000]);
        assert!(!is_told(i64::MAX) && !is_told(i64::MIN) && is_told(10_i64.pow(18)));
    }

    #[test]
    fn bodies_say_the_number_and_are_shared() {
        let counted = |destination: &str, pieces: &[&'static str]| Counted {
            destination: destination.into(),
            of: "t".into(),
            window: Duration::from_secs(300),
            body: pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect(),
            owed: Owed { begin: Begin::Skipped("x"), ..Owed::due(destination.into(), UnixMillis(0)) },
        };
        let mut told = Told { next: 3, variants: HashMap::new(), owed: Vec::new() };
        let all =
            [("a", 10, &["<", ",", ">"][..]), ("b", 9, &["<", ">"]), ("c", 10, &["<", ",", ">"]), ("d", 1, &["x"])];
        for (destination, occurrence, pieces) in all {
            told.add(&counted(destination, pieces), occurrence);
        }
        let owed: Vec<_> = told.owed.iter().map(|owed| (&*owed.destination, owed.variant, &owed.begin)).collect();
        assert_eq!(owed, [("a", 3, &Begin::Due), ("c", 3, &Begin::Due), ("d", 4, &Begin::Due)]);
        let mut bodies: Vec<_> = told.bodies().collect();
        bodies.sort_unstable();
        assert_eq!(bodies, [(3, &Bytes::from_static(b"<10,10>")), (4, &Bytes::from_static(b"x"))]);
    }

    #[test]
    fn what_is_counted_apart_has_another_key() {
        let key = |destination: &str, of: &str| {
            let owed = Owed::due(destination.into(), UnixMillis(0));
            let counted = Counted {
                destination: destination.into(),
                of: of.into(),
                window: Duration::ZERO,
                body: Vec::new(),
                owed,
            };
            (counted.key().0.to_owned(), counted.key().1)
        };
        assert_eq!(key("a", "t\0x"), key("a", "t\0x"));
        assert_ne!(key("a", "t\0x"), key("a", "t\0y"));
        assert_ne!(key("a", "t"), key("b", "t"));
    }
}
