//! Keys that a provider publishes, or names in its messages: where they may be fetched from.

use super::place::{Contents, Place};
use crate::rejection::Rejection;

/// Where a scheme's keys are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteKeys {
    pub source: KeySource,
}

/// What names the document that has the keys: a JWKS or a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Always the same.
    Url(String),
    /// The message names it, and only these will do.
    Message { place: Place, hosts: Vec<HostPattern>, path_begins: String, path_ends: String },
}

/// A host, in which `{region}` stands for the name of an AWS region, as in `sns.{region}.amazonaws.com`. Any other wildcard
/// would let in hosts that belong to strangers: a bucket may be called `sns` (`sns.s3.amazonaws.com`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// Reads a host of at least two labels.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let labels: Vec<&str> = text.split('.').collect();
        let plain = |label: &&str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if labels.len() < 2 || !labels.iter().all(|label| *label == REGION || plain(label)) {
            return Err(format!("\"{text}\" is not a host in lower case, for example \"keys.example.com\""));
        }
        Ok(Self(text.to_owned()))
    }

    /// True for a host that it stands for.
    pub(super) fn matches(&self, host: &str) -> bool {
        let (wanted, found) = (self.0.split('.'), host.split('.'));
        wanted.clone().count() == found.clone().count()
            && wanted
                .zip(found)
                .all(|(wanted, found)| if wanted == REGION { is_region(found) } else { wanted == found })
    }
}

const REGION: &str = "{region}";

/// As `us-east-1`, `us-gov-west-1`, `cn-north-1`.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [first, middle @ .., last] if !middle.is_empty() => {
            first.len() == 2
                && letters(first)
                && middle.iter().all(letters)
                && (1..=2).contains(&last.len())
                && last.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

impl RemoteKeys {
    /// True where strangers' messages name the document.
    pub fn is_named_by_messages(&self) -> bool {
        matches!(self.source, KeySource::Message { .. })
    }

    /// The URL of the keys for a message.
    ///
    /// # Errors
    /// `SignatureMissing` if the message does not name one, `UntrustedKeyUrl` if it is not one that the scheme allows:
    /// `https`, one of the hosts, no port, no user, and the path's end.
    pub fn url(&self, contents: Contents<'_>) -> Result<String, Rejection> {
        match &self.source {
            KeySource::Url(url) => Ok(url.clone()),
            KeySource::Message { place, hosts, path_begins, path_ends } => {
                let url = place.read_contents(contents)?;
                let url = url.ok_or_else(|| Rejection::SignatureMissing(format!("no {place}, which names the key")))?;
                let trusted =
                    url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).is_some_and(|(host, path)| {
                        hosts.iter().any(|pattern| pattern.matches(host))
                            && path.starts_with(path_begins.trim_start_matches('/'))
                            && path.ends_with(path_ends.as_str())
                            && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b))
                            && !path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
                    });
                if trusted { Ok(url.into_owned()) } else { Err(Rejection::UntrustedKeyUrl) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::json::Pointer;
    use crate::signature::request::{Head, PublicUrl};

    fn allowed(url: &str) -> bool {
        let place = Place::Json(Pointer::member("u"));
        let hosts = vec![HostPattern::parse("sns.{region}.amazonaws.com").expect("a pattern")];
        let keys = RemoteKeys {
            source: KeySource::Message { place, hosts, path_begins: "/".into(), path_ends: ".pem".into() },
        };
        let headers = http::HeaderMap::new();
        let head = Head { method: "POST", url: PublicUrl::split("https://x/"), headers: &headers };
        let body = serde_json::json!({ "u": url }).to_string();
        keys.url(Contents { head, body: body.as_bytes(), json: body.as_bytes() }).is_ok()
    }

    #[test]
    fn only_pinned_hosts_are_asked() {
        assert!(allowed("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-abc.pem"));
        for bad in [
            "http://sns.us-east-1.amazonaws.com/x.pem",
            "https://evil.example/x.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com:444/x.pem",
            "https://u@sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com/x.pem?y",
            "https://sns.s3.amazonaws.com/x.pem",
            "https://sns.s3-us-west-2.amazonaws.com/x.pem",
            "https://sns.us-east-1a.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com/../x.pem",
            "https://sns.us-east-1.amazonaws.com/./x.pem",
            "https://sns.us-east-1.amazonaws.com//x.pem",
            "https://sns.us-east-1.amazonaws.com/x.txt",
            "https://sns.us-east-1.amazonaws.com",
            "https://sns.evil#.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com\\@evil.example/x.pem",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_pattern_pins_the_end_of_the_name() {
        for bad in ["*", "*.com", "a.*.com", "", "A.b.c", "a..b", "amazonaws", "a.{zone}.c"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
        assert!(HostPattern::parse("keys.example.com").is_ok());
    }
}
