//! Where a database is, as an operator writes it.

use std::fmt;
use std::path::PathBuf;

use super::postgres;

/// `sqlite:PATH` or `postgres://…`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    /// As written; it has been read once.
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads a URL. What is wrong with it is said without repeating it: there may be a password in it.
    ///
    /// # Errors
    /// A fragment that says what it should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example =
            "for example \"sqlite:/var/lib/hookward/hookward.db\" or \"postgres://hookward@db.internal/hookward\"";
        match text.split_once(':') {
            Some(("sqlite", path)) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() || path.ends_with('/') || path.contains('?') || path.starts_with(":memory") {
                    return Err(format!("the URL of a SQLite file ends with its path, {example}"));
                }
                Ok(Self::Sqlite(path.into()))
            }
            Some(("postgres" | "postgresql", _)) => postgres::parse_url(text).map(|_| Self::Postgres(text.to_owned())),
            _ => Err(format!("this is not the URL of a store, {example}")),
        }
    }

    /// True if its password stands in it.
    pub fn has_password(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(url) => postgres::parse_url(url).is_ok_and(|config| config.get_password().is_some()),
        }
    }

    /// True if what travels to it can be read on the way.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(url) => postgres::parse_url(url).is_ok_and(|config| postgres::is_exposed(&config)),
        }
    }
}

/// The password is masked, and so is what could hide one.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
                let rest = rest.split('?').next().unwrap_or_default();
                match rest.rsplit_once('@') {
                    Some((user, place)) if user.contains(':') => {
                        let user = user.split(':').next().unwrap_or_default();
                        write!(f, "{scheme}://{user}:***@{place}")
                    }
                    _ => write!(f, "{scheme}://{rest}"),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_has_its_own() {
        for text in ["sqlite:/var/lib/h.db", "sqlite:///var/lib/h.db"] {
            assert_eq!(DatabaseUrl::parse(text), Ok(DatabaseUrl::Sqlite("/var/lib/h.db".into())));
        }
        assert_eq!(DatabaseUrl::parse("sqlite:h.db"), Ok(DatabaseUrl::Sqlite("h.db".into())));
        for bad in ["", "h.db", "sqlite:", "sqlite:/a/", "sqlite::memory:", "sqlite:/a?x", "mysql://h/d", "redis://h"] {
            assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgres://u:topsecret@h:5432/d", "postgresql://u@h/d?password=topsecret"] {
            let url = DatabaseUrl::parse(url).expect("a URL");
            assert!(url.has_password());
            assert!(!format!("{url} {url:?}").contains("topsecret"), "{url}");
            assert!(url.to_string().contains("u") && url.to_string().contains("@h"), "{url}");
        }
        assert!(!DatabaseUrl::parse("postgres://u@h/d").expect("a URL").has_password());
    }
}
