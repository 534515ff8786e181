//! What strangers may have us connect to: by default public addresses by `https://`, and nothing else.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::address::{Forbidden, forbidden};
use super::{Target, Url};
use crate::network::Networks;

/// Judges URLs when they are registered, and addresses when they are about to be dialled.
///
/// The second is what protects: a name may mean another address by then. The first only tells whoever registers a URL at
/// once what could never be delivered to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// Addresses that may be reached although they are not public.
    pub allow: Networks,
    /// True if `http://` may be spoken too.
    pub plain_http: bool,
    /// The ports that may be reached at addresses that [`Guard::allow`] does not name; any if there are none.
    pub ports: Vec<u16>,
}

/// Why the guard stops a connection or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("{0}")]
    NotUrl(String),
    #[error("http:// can be read on the way, write https:// (or set [egress] plain_http = true)")]
    PlainHttp,
    /// Neither a name nor an address as every resolver reads it.
    #[error("\"{host}\" {why}")]
    Host { host: String, why: &'static str },
    #[error("\"{0}\" is a name that means another machine in every network, and [egress] allow names none")]
    LocalName(String),
    #[error("{address} is {rule}, which [egress] allow does not name")]
    Address { address: IpAddr, rule: Forbidden },
    #[error("port {port} is not among those that this provider delivers to: {}", list(.ports))]
    Port { port: u16, ports: Vec<u16> },
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Names under these mean something else in every network: RFC 6761, 6762 (and its appendix G), 7686, 8375, and what
/// ICANN reserved in 2024.
const LOCAL_NAMES: [&str; 14] = [
    "alt",
    "corp",
    "domain",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "workgroup",
];

impl Guard {
    /// Reads the URL of an endpoint.
    ///
    /// # Errors
    /// [`Refused`], for what is no URL too.
    pub fn parse(&self, text: &str) -> Result<Url, Refused> {
        let url = Url::read(text)
            .map_err(|why| Refused::NotUrl(format!("it {why}, for example \"https://app.example.com/webhooks\"")))?;
        self.permits_url(&url)?;
        Ok(url)
    }

    /// True unless it is clear from a URL alone that it can never be reached.
    ///
    /// An address must be written as RFC 3986 has it: `2130706433`, `0x7f.1`, `127.1` and their like, which some resolvers
    /// read as 127.0.0.1, are refused however they are meant. Everything else must be a DNS name of letters, digits and
    /// hyphens. Names that are only known inside a network are refused unless [`Guard::allow`] names some of its addresses;
    /// what they resolve to is judged when it is dialled.
    ///
    /// # Errors
    /// [`Refused`] says by which rule.
    pub fn permits_url(&self, url: &Url) -> Result<(), Refused> {
        if !url.target.tls && !self.plain_http {
            return Err(Refused::PlainHttp);
        }
        self.permits_target(&url.target)
    }

    fn permits_target(&self, Target { host, port, .. }: &Target) -> Result<(), Refused> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.permits(SocketAddr::new(address, *port));
        }
        if let Err(why) = check_name(host) {
            return Err(Refused::Host { host: host.to_owned(), why });
        }
        if self.allow.is_empty() && is_local(host) {
            return Err(Refused::LocalName(host.to_owned()));
        }
        // Its addresses may be exceptions: then they are judged when they are known.
        if self.allow.is_empty() { self.permits_port(*port) } else { Ok(()) }
    }

    /// The same for a name that somebody else resolves: no exception is known to be meant.
    ///
    /// # Errors
    /// See [`Self::permits_url`].
    pub(super) fn permits_unresolved(&self, target: &Target) -> Result<(), Refused> {
        self.permits_target(target)?;
        match target.host.parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => self.permits_port(target.port),
        }
    }

    /// Judges an address that is about to be dialled.
    ///
    /// # Errors
    /// [`Refused::Address`] or [`Refused::Port`].
    pub fn permits(&self, address: SocketAddr) -> Result<(), Refused> {
        let (address, port) = (address.ip().to_canonical(), address.port());
        if self.allow.contain(address) {
            return Ok(());
        }
        match forbidden(address) {
            Some(rule) => Err(Refused::Address { address, rule }),
            None => self.permits_port(port),
        }
    }

    /// Judges all addresses of a name. One that is forbidden forbids them all: a name that means a public and a private
    /// address at once is no honest endpoint, and which of them is dialled would be up to chance.
    ///
    /// # Errors
    /// See [`Self::permits`], of the first that is forbidden.
    pub fn permits_all(&self, addresses: &[SocketAddr]) -> Result<(), Refused> {
        addresses.iter().try_for_each(|address| self.permits(*address))
    }

    fn permits_port(&self, port: u16) -> Result<(), Refused> {
        if self.ports.is_empty() || self.ports.contains(&port) {
            return Ok(());
        }
        Err(Refused::Port { port, ports: self.ports.clone() })
    }
}

/// A name as RFC 1123 has it: up to 253 letters, digits and hyphens in labels of up to 63.
fn check_name(host: &str) -> Result<(), &'static str> {
    if host.is_empty() || host.len() > 253 {
        return Err("is no name of 1 to 253 characters");
    }
    if host.ends_with('.') {
        return Err("ends in a dot, leave it out");
    }
    let plain = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(plain) {
        return Err("is neither an address nor a name of letters, digits and hyphens (write others in Punycode)");
    }
    // WHATWG's URL standard, "ends in a number": resolvers read such names as IPv4 addresses, each in its own way.
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    if last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err("ends in a number, but is no address as in \"192.0.2.1\"");
    }
    Ok(())
}

/// True for a name that means another machine in every network: one without a dot, or under one of [`LOCAL_NAMES`].
fn is_local(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let under =
        |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    !name.contains('.') || LOCAL_NAMES.iter().any(under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parse_net;

    const REFUSED: &str = include_str!("../../tests/vectors/ssrf.txt");
    const ALLOWED: &str = include_str!("../../tests/vectors/ssrf-allowed.txt");

    fn permissive() -> Guard {
        Guard { plain_http: true, ..Guard::default() }
    }

    fn allowing(nets: &[&str]) -> Guard {
        let nets: Vec<_> = nets.iter().map(|net| parse_net(net).expect("a network")).collect();
        Guard { allow: nets.into(), plain_http: true, ..Guard::default() }
    }

    /// The lines of a file: section, URL, and the address that its name resolves to.
    fn lines(text: &str) -> Vec<(&str, &str, Option<SocketAddr>)> {
        let mut section = "";
        let mut lines = Vec::new();
        for line in text.lines() {
            match (line.strip_prefix("# "), line.split_once(" -> ")) {
                (Some(name), _) => section = name,
                (None, Some((url, address))) => {
                    lines.push((section, url, Some(SocketAddr::new(address.parse().expect("an address"), 443))));
                }
                (None, None) if line.is_empty() => {}
                (None, None) => lines.push((section, line, None)),
            }
        }
        lines
    }

    #[test]
    fn every_spelling_of_a_forbidden_target_is_refused() {
        let lines = lines(REFUSED);
        let urls: std::collections::HashSet<_> = lines.iter().map(|(_, url, _)| *url).collect();
        assert_eq!(urls.len(), lines.len(), "each line is there once");
        assert!(urls.len() >= 170, "{}", urls.len());
        let mut permitted = Vec::new();
        for (section, url, address) in lines {
            match address {
                Some(address) => {
                    assert!(permissive().parse(url).is_ok(), "{section}: {url}");
                    assert!(matches!(Guard::default().permits(address), Err(Refused::Address { .. })), "{url}");
                }
                None if section == "plain http" => {
                    assert_eq!(Guard::default().parse(url), Err(Refused::PlainHttp), "{url}");
                }
                None if permissive().parse(url).is_ok() => permitted.push((section, url)),
                None => {}
            }
        }
        assert_eq!(permitted, []);
    }

    #[test]
    fn legitimate_endpoints_are_permitted() {
        for (section, url, address) in lines(ALLOWED) {
            let guard = if section.starts_with("plain http") { permissive() } else { Guard::default() };
            if let Err(why) = guard.parse(url) {
                panic!("{section}: {url}: {why}");
            }
            assert_eq!(address.map_or(Ok(()), |address| guard.permits(address)), Ok(()), "{url}");
        }
    }

    #[test]
    fn control_characters_and_blanks_are_refused() {
        for odd in ["\t", "\n", "\r", "\0", " ", "\u{a0}", "\u{200b}", "\u{feff}", "\u{7f}"] {
            for url in [
                format!("https://{odd}example.com/"),
                format!("https://example{odd}.com/"),
                format!("https://example.com{odd}/"),
                format!("{odd}https://example.com/"),
                format!("ht{odd}tps://example.com/"),
            ] {
                assert!(permissive().parse(&url).is_err(), "{url:?}");
            }
        }
    }

    #[test]
    fn exceptions_win_up_to_their_edges() {
        let guard = allowing(&["10.20.0.0/16", "fd00::/64"]);
        for free in ["10.20.0.0", "10.20.255.255", "::ffff:10.20.0.1", "fd00::ffff"] {
            assert_eq!(guard.permits(SocketAddr::new(free.parse().expect("an address"), 80)), Ok(()), "{free}");
        }
        for still in ["10.19.255.255", "10.21.0.0", "127.0.0.1", "fd00:0:0:1::"] {
            assert!(guard.permits(SocketAddr::new(still.parse().expect("an address"), 80)).is_err(), "{still}");
        }
        assert!(guard.parse("https://10.20.0.1/").is_ok() && guard.parse("https://10.21.0.1/").is_err());
        assert!(guard.parse("https://0xa.20.0.1/").is_err(), "however it is meant");
    }

    #[test]
    fn local_names_are_for_those_who_allow_local_addresses() {
        assert!(allowing(&["10.20.0.0/16"]).parse("https://app.corp.internal/").is_ok());
        assert!(allowing(&["10.20.0.0/16"]).parse("http://app:3000/").is_ok());
        assert!(matches!(permissive().parse("http://app:3000/"), Err(Refused::LocalName(_))));
    }

    #[test]
    fn one_forbidden_address_forbids_them_all() {
        let at = |text: &str| SocketAddr::new(text.parse().expect("an address"), 443);
        let guard = Guard::default();
        assert_eq!(guard.permits_all(&[at("8.8.8.8"), at("2606:4700::1111")]), Ok(()));
        assert!(guard.permits_all(&[at("8.8.8.8"), at("10.0.0.1")]).is_err());
    }

    #[test]
    fn ports_hold_where_no_exception_does() {
        let only = |guard: Guard| Guard { ports: vec![443], ..guard };
        let (public, excepted) = (only(permissive()), only(allowing(&["10.20.0.0/16"])));
        assert!(public.parse("https://example.com/").is_ok() && public.parse("https://8.8.8.8/").is_ok());
        for url in ["https://example.com:8443/", "http://example.com/", "https://8.8.8.8:444/"] {
            assert_eq!(public.parse(url).err().map(|why| matches!(why, Refused::Port { .. })), Some(true), "{url}");
        }
        assert!(excepted.parse("https://10.20.0.1:8443/").is_ok() && excepted.parse("https://8.8.8.8:8443/").is_err());
        // What a name comes to is known when it is dialled.
        let name = excepted.parse("https://example.com:8443/").expect("it may be an exception");
        let at = |text: &str| SocketAddr::new(text.parse().expect("an address"), 8443);
        assert!(excepted.permits(at("10.20.0.1")).is_ok() && excepted.permits(at("8.8.8.8")).is_err());
        assert!(excepted.permits_unresolved(&name.target).is_err(), "a proxy would resolve it");
    }

    #[test]
    fn a_refusal_names_the_rule_and_the_key() {
        let said = |url: &str| Guard::default().parse(url).expect_err(url).to_string();
        assert_eq!(said("https://127.0.0.1/"), "127.0.0.1 is loopback (RFC 1122), which [egress] allow does not name");
        assert!(said("http://example.com/").contains("[egress] plain_http = true"));
        assert!(said("https://127.1/").starts_with("\"127.1\" ends in a number"));
        assert!(!said("https://user:topsecret@example.com/").contains("topsecret"));
    }

    proptest::proptest! {
        /// What the guard permits is read as the same address by everyone, or is a name.
        #[test]
        fn no_host_is_an_address_in_disguise(host in "[0-9a-fx.:%\\[\\]-]{1,24}") {
            if let Ok(url) = permissive().parse(&format!("http://{host}/")) {
                let last = url.target.host.rsplit('.').next().unwrap_or_default();
                let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
                proptest::prop_assert!(!numeric || url.target.host.parse::<IpAddr>().is_ok(), "{}", host);
            }
        }
    }
}
