//! From names to addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

/// A function that knows names: host and port in, addresses out.
pub type Names = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Who is asked for a name's addresses.
#[derive(Clone, Default)]
pub enum Resolver {
    /// The system: `/etc/hosts`, DNS, and whatever else it is set up for.
    #[default]
    System,
    /// A function, for tests.
    Fixed(Arc<Names>),
}

impl Resolver {
    /// The addresses of `host`, which nobody is asked for if it is one itself.
    ///
    /// # Errors
    /// What the resolver says; `TimedOut` if it says nothing until `until`.
    pub async fn resolve(&self, host: &str, port: u16, until: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        match self {
            Self::System => match timeout_at(until, lookup_host((host, port))).await {
                Ok(found) => Ok(found?.collect()),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
            Self::Fixed(names) => names(host, port),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Fixed(_) => "Fixed",
        })
    }
}

/// True if a resolver knows for certain that there is no such name, or no address for it.
///
/// std has no kind for the errors of getaddrinfo, and no number either (EAI_SYSTEM alone becomes an errno): all that is
/// left of them is the text of gai_strerror, behind std's own words. It is not translated, for nobody here calls
/// setlocale. A text that is not known here, or that comes to be worded otherwise, counts as a resolver in trouble:
/// then an attempt is not charged that could have been, which is the lesser evil.
pub(super) fn is_unknown_name(error: &io::Error) -> bool {
    const TEXTS: [&str; 4] = [
        // glibc: EAI_NONAME, EAI_NODATA. EAI_AGAIN, which is SERVFAIL and servers that do not answer, reads
        // "Temporary failure in name resolution" there, and "Try again" in musl.
        "Name or service not known",
        "No address associated with hostname",
        // musl: EAI_NONAME, EAI_NODATA.
        "Name does not resolve",
        "Name has no usable address",
    ];
    if error.raw_os_error().is_some() {
        return false;
    }
    let text = error.to_string();
    error.kind() == io::ErrorKind::NotFound || TEXTS.iter().any(|known| text.ends_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_resolver_in_trouble() {
        let said = |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
        for unknown in ["Name or service not known", "No address associated with hostname", "Name does not resolve"] {
            assert!(is_unknown_name(&said(unknown)), "{unknown}");
        }
        for trouble in
            ["Temporary failure in name resolution", "Try again", "Non-recoverable failure in name resolution"]
        {
            assert!(!is_unknown_name(&said(trouble)), "{trouble}");
        }
        assert!(!is_unknown_name(&io::ErrorKind::TimedOut.into()));
        assert!(!is_unknown_name(&io::Error::from_raw_os_error(2)), "EAI_SYSTEM with ENOENT: a missing file of ours");
    }

    /// No server is asked for such a name: a label is too long for DNS.
    #[tokio::test]
    async fn this_systems_own_words_are_known() {
        let host = format!("{}.example", "a".repeat(64));
        let error = Resolver::System.resolve(&host, 1, Instant::now() + std::time::Duration::from_secs(5)).await;
        let error = error.expect_err("no such name");
        assert!(is_unknown_name(&error), "{error}");
    }

    #[tokio::test]
    async fn nobody_is_asked_for_an_address() {
        let resolver = Resolver::Fixed(Arc::new(|_, _| Err(io::ErrorKind::Other.into())));
        let until = Instant::now();
        assert_eq!(
            resolver.resolve("::1", 2, until).await.ok(),
            Some(vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 2))])
        );
        assert!(resolver.resolve("a.example", 2, until).await.is_err());
    }
}
