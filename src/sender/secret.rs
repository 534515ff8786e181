//! The secrets that are signed with, of an endpoint or of an account: the current one, and former ones for a while.

use serde::{Deserialize, Serialize};

use super::refusal::{Code, Refusal};
use crate::clock::UnixMillis;

/// So many at once.
const MOST: usize = 10;

/// A secret and how long it is signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedSecret {
    pub secret: String,
    /// `None` for the current one.
    pub until: Option<i64>,
}

/// The current one first; none where nothing is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(Vec<TimedSecret>);

impl std::fmt::Debug for TimedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TimedSecret(redacted)")
    }
}

impl From<Option<String>> for Secrets {
    fn from(secret: Option<String>) -> Self {
        Self(secret.into_iter().map(|secret| TimedSecret { secret, until: None }).collect())
    }
}

impl Secrets {
    /// The current one.
    pub fn current(&self) -> Option<&str> {
        self.0.first().map(|known| known.secret.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TimedSecret> {
        self.0.iter()
    }

    /// Those that are signed with at `now`.
    pub fn in_force(&self, now: UnixMillis) -> impl Iterator<Item = &TimedSecret> {
        self.0.iter().filter(move |known| known.until.is_none_or(|until| now.0 < until))
    }

    /// Until when each former one is signed with.
    pub fn former(&self) -> impl Iterator<Item = UnixMillis> {
        self.0.iter().filter_map(|known| known.until.map(UnixMillis))
    }

    /// Makes `secret` the current one; the one before goes on until `until`.
    ///
    /// # Errors
    /// If it is among them, or too many former ones are still signed with.
    pub fn rotate(&mut self, secret: String, now: UnixMillis, until: UnixMillis) -> Result<(), Refusal> {
        if self.0.iter().any(|known| known.secret == secret) {
            return Err(Refusal::field("/secret", "it is among the secrets already"));
        }
        for old in &mut self.0 {
            old.until = Some(old.until.unwrap_or(until.0).min(until.0));
        }
        self.0.retain(|known| known.until.is_some_and(|until| now.0 < until));
        if self.0.len() >= MOST {
            let detail = format!("{MOST} former secrets are still signed with: wait, or give overlap_seconds = 0");
            return Err(Refusal::new(Code::LimitReached, detail));
        }
        self.0.insert(0, TimedSecret { secret, until: None });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(secrets: &Secrets) -> Vec<(&str, Option<i64>)> {
        secrets.iter().map(|known| (known.secret.as_str(), known.until)).collect()
    }

    #[test]
    fn a_former_one_goes_on_until_its_time_is_over() {
        let mut secrets = Secrets::from(Some("a".to_owned()));
        secrets.rotate("b".into(), UnixMillis(0), UnixMillis(100)).expect("there is room");
        assert_eq!(names(&secrets), [("b", None), ("a", Some(100))]);
        secrets.rotate("c".into(), UnixMillis(50), UnixMillis(80)).expect("there is room");
        assert_eq!(names(&secrets), [("c", None), ("b", Some(80)), ("a", Some(80))], "never longer than it was told");
        assert!(secrets.rotate("b".into(), UnixMillis(60), UnixMillis(80)).is_err(), "it is still one of them");
        secrets.rotate("d".into(), UnixMillis(80), UnixMillis(80)).expect("there is room");
        assert_eq!((names(&secrets), secrets.current()), (vec![("d", None)], Some("d")));
    }

    #[test]
    fn they_are_not_without_number_and_are_never_shown() {
        let mut secrets = Secrets::default();
        for number in 0..MOST {
            secrets.rotate(format!("secret-{number}"), UnixMillis(0), UnixMillis(100)).expect("there is room");
        }
        let full = secrets.rotate("one-more".into(), UnixMillis(0), UnixMillis(100)).expect_err("they are ten");
        assert_eq!(full.code, Code::LimitReached);
        assert!(!format!("{secrets:?}").contains("secret-"));
    }
}
