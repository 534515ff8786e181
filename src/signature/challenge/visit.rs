//! A URL that a signed challenge wants visited, and which ones are.

use crate::rejection::Rejection;
use crate::signature::form::{self, Found};
use crate::signature::place::{Contents, Place};
use crate::signature::remote::HostPattern;

/// URLs above this are not visited.
const MAX_URL: usize = 2048;

/// Where the URL stands, and what it must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub place: Place,
    /// At least one.
    pub hosts: Vec<PinnedHost>,
    /// Begins with a slash.
    pub path_begins: String,
    /// A parameter that the URL's query has once, with this value.
    pub parameter: Option<(String, String)>,
}

/// A host that may be visited, on port 443 unless it names another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedHost {
    host: HostPattern,
    port: Option<u16>,
}

impl PinnedHost {
    /// Reads `host` or `host:port`.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or_else(|| format!("\"{text}\" has no port behind its colon"))?))
            }
        };
        Ok(Self { host: HostPattern::parse(host)?, port })
    }

    fn matches(&self, authority: &str) -> bool {
        match (authority.split_once(':'), self.port) {
            (None, None) => self.host.matches(authority),
            (Some((host, port)), Some(wanted)) => self.host.matches(host) && port == wanted.to_string(),
            _ => false,
        }
    }
}

impl Visit {
    /// The URL that `contents` name. `None` if they name none.
    ///
    /// # Errors
    /// `ClaimMismatch` if it is not one of the provider's, `HeaderConflict` if it is there twice.
    pub fn url(&self, contents: Contents<'_>) -> Result<Option<String>, Rejection> {
        match self.place.read_contents(contents)? {
            None => Ok(None),
            Some(url) if self.allows(&url) => Ok(Some(url.into_owned())),
            Some(_) => {
                Err(Rejection::ClaimMismatch("the URL that it wants visited is none of the provider's".to_owned()))
            }
        }
    }

    /// True for `https`, one of the hosts on its port, no user, the path's beginning and the query's parameter.
    fn allows(&self, url: &str) -> bool {
        if url.len() > MAX_URL {
            return false;
        }
        let Some((host, rest)) = url.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
            return false;
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let plain = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
        let segments_are_plain = path.is_empty() || !path.split('/').any(|segment| matches!(segment, "" | "." | ".."));
        let asks = |(name, value): &(String, String)| matches!(form::find(query.as_bytes(), name), Found::Once(found) if found == value.as_str());
        self.hosts.iter().any(|pinned| pinned.matches(host))
            && path.starts_with(self.path_begins.trim_start_matches('/'))
            && segments_are_plain
            && plain(path, b"-._~/")
            && plain(query, b"-._~%=&:/+")
            && self.parameter.as_ref().is_none_or(asks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::json::Pointer;

    fn visit(host: &str) -> Visit {
        Visit {
            place: Place::Json(Pointer::member("u")),
            hosts: vec![PinnedHost::parse(host).expect("a host")],
            path_begins: "/".into(),
            parameter: Some(("Action".into(), "ConfirmSubscription".into())),
        }
    }

    #[test]
    fn only_the_providers_own_urls_are_visited() {
        let sns = visit("sns.{region}.amazonaws.com");
        let good = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:MyTopic&Token=2336412f37";
        assert!(sns.allows(good));
        for bad in [
            "http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
            "https://169.254.169.254/latest/meta-data/?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com:444/?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com:443/?Action=ConfirmSubscription",
            "https://u@sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com.evil.example/?Action=ConfirmSubscription",
            "https://sns.s3.amazonaws.com/?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com/?Action=Publish",
            "https://sns.us-east-1.amazonaws.com/?Action=Publish&Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com/",
            "https://sns.us-east-1.amazonaws.com?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com/../?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com//evil.example/?Action=ConfirmSubscription",
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription#x",
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription\r\nX: y",
            "https://sns.us-east-1.amazonaws.com\\@evil.example/?Action=ConfirmSubscription",
            "",
        ] {
            assert!(!sns.allows(bad), "{bad}");
        }
        let long = format!("{good}&x={}", "a".repeat(MAX_URL - good.len() - 3));
        assert!(sns.allows(&long) && !sns.allows(&format!("{long}a")));
    }

    #[test]
    fn a_port_is_pinned_like_its_host() {
        let own = visit("hooks.example.com:8443");
        assert!(own.allows("https://hooks.example.com:8443/?Action=ConfirmSubscription"));
        for bad in ["hooks.example.com", "hooks.example.com:443", "hooks.example.com:08443", "other.example.com:8443"] {
            assert!(!own.allows(&format!("https://{bad}/?Action=ConfirmSubscription")), "{bad}");
        }
        for bad in ["hooks.example.com:", "hooks.example.com:0", "hooks.example.com:x", "*.example.com", "localhost"] {
            assert!(PinnedHost::parse(bad).is_err(), "{bad}");
        }
    }
}
