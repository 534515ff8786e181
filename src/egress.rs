//! The one way out: every connection that Hookward opens is opened here.

pub mod address;
mod dial;
mod exit;
mod guard;
mod pool;
mod proxy;
mod resolver;
mod tls;

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use thiserror::Error;

pub use exit::{Answers, Bind, Exit, PROXY_LIMITS};
pub use guard::{Guard, Refused};
pub use pool::{Exchange, Pool, Remote};
pub use proxy::Proxy;
pub use resolver::{Names, Resolver};
pub use tls::{Roots, install_crypto};

/// Where to connect to: scheme, host and port of an `http://` or `https://` URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name, an IPv4 address or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// A URL that requests are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub target: Target,
    /// Begins with a slash.
    pub path: String,
    /// Without the question mark; `None` where there is none.
    pub query: Option<String>,
}

/// Why an exchange came to nothing.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The guard forbids it: the request was never sent.
    #[error("not sent to {target}")]
    Refused {
        target: Target,
        #[source]
        why: Refused,
    },
    /// The resolver does not say what its name means: the request was never sent.
    #[error("cannot resolve {target}")]
    Resolve {
        target: Target,
        #[source]
        cause: io::Error,
    },
    /// There is no such name, or no address for it: the request was never sent. Only where there is a guard; an
    /// operator's own name that is gone is [`ExchangeError::Resolve`].
    #[error("there is no {target}")]
    UnknownName {
        target: Target,
        #[source]
        cause: io::Error,
    },
    /// The operator's proxy is not there, or does not do its work: the request was never sent.
    #[error("cannot use the proxy {proxy}")]
    Proxy {
        proxy: Target,
        #[source]
        cause: io::Error,
    },
    /// No connection: the request was never sent.
    #[error("cannot connect to {target}")]
    Connect {
        target: Target,
        #[source]
        cause: io::Error,
    },
    /// No connection within the time for one: the request was never sent.
    #[error("no connection to {target} within {} ms", .within.as_millis())]
    ConnectTimeout { target: Target, within: Duration },
    /// No TLS that both sides accept: the request was never handled.
    #[error("no tls with {target}")]
    Tls {
        target: Target,
        #[source]
        cause: io::Error,
    },
    /// The connection ended before the answer: the request may have been handled.
    #[error("{target} ended the connection before its answer")]
    Broken {
        target: Target,
        #[source]
        cause: hyper::Error,
    },
    /// No answer in time: the request may have been handled.
    #[error("no answer from {target} within {} ms", .within.as_millis())]
    Timeout { target: Target, within: Duration },
}

impl ExchangeError {
    /// True if the other side may have acted on the request.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Timeout { .. })
    }

    /// True if it was time that ran out.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::ConnectTimeout { .. } | Self::Timeout { .. } => true,
            Self::Resolve { cause, .. } => cause.kind() == io::ErrorKind::TimedOut,
            Self::Refused { .. }
            | Self::UnknownName { .. }
            | Self::Proxy { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Broken { .. } => false,
        }
    }
}

impl Target {
    /// The `Host` header for this target: the port is left out where it is the scheme's own.
    pub fn host_header(&self) -> HeaderValue {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.tls { 443 } else { 80 };
        let text = if self.port == default { host } else { format!("{host}:{}", self.port) };
        HeaderValue::try_from(text).expect("Url::parse takes only visible ASCII hosts")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Url {
    /// Reads an absolute `http://` or `https://` URL without user or fragment, as an operator writes it.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why| format!("\"{text}\" {why}, for example \"http://127.0.0.1:3000/webhooks\"");
        Self::read(text).map_err(wrong)
    }

    /// The same; what is wrong is said without the URL.
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err("has a fragment");
        }
        let uri: http::Uri = text.parse().map_err(|_| "is not a URL")?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err("is neither http:// nor https://"),
            None => return Err("is not an absolute URL"),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("has a user in it");
        }
        let host = read_host(authority.host()).ok_or("has no host that could be connected to")?;
        let port = match authority.port_u16() {
            _ if authority.port().is_some_and(|port| !port.as_str().bytes().all(|byte| byte.is_ascii_digit())) => {
                return Err("is not a URL");
            }
            Some(0) => return Err("has no port that can be connected to"),
            Some(port) => port,
            None if authority.as_str() != authority.host() => return Err("is not a URL"),
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        let target = Target { host, port, tls };
        Ok(Self { target, path: uri.path().to_owned(), query: uri.query().map(str::to_owned) })
    }

    /// A request for what is there, which says who asks: GitHub answers nobody else.
    ///
    /// # Errors
    /// If the path is none that a request could have.
    pub fn get(&self, accept: &'static str) -> http::Result<Request<Full<Bytes>>> {
        let target = match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        };
        Request::get(target)
            .header(HOST, self.target.host_header())
            .header(ACCEPT, accept)
            .header(USER_AGENT, concat!("hookward/", env!("CARGO_PKG_VERSION")))
            .body(Full::default())
    }
}

/// A host without its brackets. In them stands an IPv6 address and nothing else; outside of them there is none.
fn read_host(host: &str) -> Option<String> {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match inside {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        // Resolvers in private networks know names with an underscore.
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    good.then(|| inside.unwrap_or(host).to_owned())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.target.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.target, self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_where_and_what() {
        let url = Url::parse("https://[2001:db8::1]/a?b=c").expect("a URL");
        assert_eq!((url.target.host.as_str(), url.target.port, url.target.tls), ("2001:db8::1", 443, true));
        assert_eq!((url.path.as_str(), url.query.as_deref()), ("/a", Some("b=c")));
        assert_eq!(url.target.host_header(), "[2001:db8::1]");
        assert_eq!(Url::parse("http://app:3000").map(|url| url.to_string()), Ok("http://app:3000/".into()));
    }

    #[test]
    fn what_is_not_an_absolute_http_url_is_refused() {
        for bad in [
            "",
            "app:3000",
            "/path",
            "ftp://x/",
            "http://",
            "http://u:p@x/",
            "http://x/#f",
            "http://x:0/",
            "http://x:/",
            "http://x y/",
            "http://x:99999/",
            "http://x:+80/",
            "http://[::1/",
            "http://[x]/",
            "http://[fe80::1%25eth0]/",
            "http://::1/",
            "http://x%41/",
            "http://x*/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad:?}");
        }
    }
}
