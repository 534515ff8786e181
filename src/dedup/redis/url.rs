//! Where a Redis is.

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// `redis://` or `rediss://` (TLS), with user, password, port and number of the database where they are needed.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Reads a URL. What is wrong with it is said without repeating it: there may be a password in it.
    ///
    /// # Errors
    /// A fragment that says what it should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "for example \"redis://127.0.0.1:6379/0\"";
        if !text.starts_with("redis://") && !text.starts_with("rediss://") {
            return Err(format!("the URL of a Redis begins with redis:// or rediss://, {example}"));
        }
        if text.contains(['?', '#']) {
            return Err(format!("the URL of a Redis has no query and no fragment, {example}"));
        }
        match text.into_connection_info() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("this is not the URL of a Redis ({}), {example}", error.category())),
        }
    }

    pub(super) fn connection_info(&self) -> ConnectionInfo {
        self.0.as_str().into_connection_info().expect("parse took it")
    }
}

/// The password is masked.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").expect("parse wants a scheme");
        match rest.rsplit_once('@') {
            Some((user, place)) => {
                let user = user.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:***@{place}")
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://:hush@cache/1", "redis://:***@cache/1"),
            ("rediss://app:hush%40@cache:6380", "rediss://app:***@cache:6380"),
        ] {
            let url = RedisUrl::parse(url).expect("a URL");
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hush"));
        }
        for bad in ["redis://:hush@", "redis://:hush@host:port", "redis://:hush@host/x", "redis://:hush@h?a", "hush"] {
            let wrong = RedisUrl::parse(bad).expect_err(bad);
            assert!(!wrong.contains("hush") && wrong.contains("for example"), "{wrong}");
        }
    }
}
