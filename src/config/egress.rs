//! `[egress]`: what the sender may reach, and how it gets there.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use super::environment::Environment;
use super::gateway::positive;
use super::stores::read_url;
use crate::document::{Fault, Reader};
use crate::egress::{Bind, Exit, Guard, PROXY_LIMITS, Proxy, Roots};
use crate::network::{Networks, parse_net_of_any_size};

/// The address at which clouds hand out credentials to whoever asks from inside.
const METADATA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254));

/// `[egress]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressConfig {
    /// Addresses that endpoints may have although they are not public.
    pub allow: Networks,
    /// True if endpoints may have `http://` URLs.
    pub plain_http: bool,
    /// Where connections come from.
    pub bind: Bind,
    pub proxy: Option<Proxy>,
    /// Certificates that vouch for endpoints beside the system's.
    pub ca: Option<CaFile>,
    pub connect_timeout: Duration,
}

/// A file of PEM certificates, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile {
    pub name: String,
    pem: Bytes,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            allow: Networks::default(),
            plain_http: false,
            bind: Bind::default(),
            proxy: None,
            ca: None,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl EgressConfig {
    pub fn read(reader: Option<Reader<'_>>, environment: &Environment, warnings: &mut Vec<Fault>) -> Self {
        let mut config = Self::default();
        let Some(reader) = reader else { return config };
        config.allow = read_list(&reader, "allow", parse_exception).into();
        if config.allow.contain(METADATA) {
            let text = format!("allow: {METADATA} is among them, where clouds hand out credentials to whoever asks");
            warnings.push(Fault { place: reader.place_of("allow"), text });
        }
        config.plain_http = reader.boolean("plain_http").unwrap_or_default();
        match Bind::new(&read_list(&reader, "bind", parse_address)) {
            Ok(bind) => config.bind = bind,
            Err(wrong) => reader.fault(reader.place_of("bind"), format!("bind: {wrong}")),
        }
        if let Some((proxy, place)) = read_url(&reader, "proxy", environment, warnings, Proxy::parse) {
            warnings.push(Fault { place, text: format!("proxy: {PROXY_LIMITS}") });
            config.proxy = Some(proxy);
        }
        config.ca = reader.parse("ca_file", CaFile::read);
        config.connect_timeout = positive(&reader, "connect_timeout").unwrap_or(config.connect_timeout);
        reader.finish();
        config
    }

    /// The way out to endpoints.
    ///
    /// # Errors
    /// If there are no certificates to trust: neither the system nor `ca_file` has any.
    pub fn exit(&self) -> io::Result<Exit> {
        let roots = match (Roots::system(), &self.ca) {
            (Ok(system), None) => system,
            (Ok(system), Some(ca)) => system.and_pem(&ca.pem)?,
            (Err(_), Some(ca)) => Roots::from_pem(&ca.pem)?,
            (Err(error), None) => return Err(error),
        };
        let guard = Guard { allow: self.allow.clone(), plain_http: self.plain_http, ports: Vec::new() };
        let exit = Exit::guarded(guard, roots, self.connect_timeout);
        Ok(Exit { bind: self.bind, proxy: self.proxy.clone().map(Into::into), ..exit })
    }
}

impl CaFile {
    fn read(name: &str) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("cannot use {name}: {error}");
        let pem = std::fs::read(name).map_err(wrong)?;
        Roots::from_pem(&pem).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), pem: pem.into() })
    }
}

/// A list, empty if it is absent. What is wrong in it is a fault each.
fn read_list<T>(reader: &Reader<'_>, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let mut list = Vec::new();
    for text in reader.texts(key).unwrap_or_default() {
        match parse(text.value) {
            Ok(value) => list.push(value),
            Err(wrong) => reader.fault(text.place, format!("{key}: {wrong}")),
        }
    }
    list
}

fn parse_exception(text: &str) -> Result<IpNet, String> {
    match parse_net_of_any_size(text)? {
        net if net.prefix_len() == 0 => Err(format!(
            "\"{text}\" is every address, nothing would be guarded; name networks such as \"10.20.0.0/16\""
        )),
        net => Ok(net),
    }
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not an address, for example \"203.0.113.7\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const REST: &str = "[gateway]\n[[source]]\nname = \"s\"\npath = \"/in\"\nprovider = \"stripe\"\nsecrets = [{ env = \"SECRET\" }]\nallow = \"any\"\nupstream = \"http://127.0.0.1:1/\"\n";

    fn parse(keys: &str) -> Result<Config, String> {
        let environment =
            Environment::from([("SECRET", "0123456789abcdef"), ("PROXY", "http://u:topsecret@proxy.internal:3128")]);
        let faults = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Config::parse("t.toml", &format!("{REST}[egress]\n{keys}\n"), &environment).map_err(faults)
    }

    #[test]
    fn without_a_word_only_public_addresses_by_https_are_reached() {
        let egress = parse("").expect("a configuration").egress;
        assert_eq!(egress, EgressConfig::default());
        assert!(egress.allow.is_empty() && !egress.plain_http);
    }

    #[test]
    fn what_it_says_is_what_it_was_told() {
        let keys = "allow = [\"10.20.0.0/16\"]\nplain_http = true\nbind = [\"203.0.113.7\", \"2001:db8::7\"]\nproxy = { env = \"PROXY\" }\nconnect_timeout = \"2s\"";
        let config = parse(keys).expect("a configuration");
        let wanted = "[egress]\nallow = [\"10.20.0.0/16\"]\nplain_http = true\nbind = [\"203.0.113.7\", \"2001:db8::7\"]\nproxy = \"http://u:***@proxy.internal:3128\"\nconnect_timeout = \"2s\"\n";
        assert!(config.effective.contains(wanted), "{}", config.effective);
        assert!(!format!("{config:?}").contains("topsecret"));
        assert!(config.warnings.iter().any(|warning| warning.text.contains("resolved by the proxy")));
        assert_ne!(config.egress, EgressConfig::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (keys, wanted) in [
            ("allow = [\"0.0.0.0/0\"]", "\"0.0.0.0/0\" is every address"),
            ("allow = [\"::ffff:0:0/96\"]", "is every address"),
            ("allow = [\"10.20.0.1/16\"]", "write \"10.20.0.0/16\""),
            ("allow = \"any\"", "allow: "),
            ("bind = [\"203.0.113.0/24\"]", "is not an address"),
            ("bind = [\"203.0.113.7\", \"203.0.113.8\"]", "the second of its family"),
            ("proxy = \"proxy:3128\"", "the URL of a proxy is"),
            ("ca_file = \"/nonexistent\"", "cannot use /nonexistent"),
            ("connect_timeout = \"0s\"", "leaves no time"),
            ("allowed = []", "did you mean `allow`?"),
        ] {
            let said = parse(keys).expect_err(keys);
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn it_warns_of_credentials_that_could_be_read() {
        let config = parse("allow = [\"169.254.0.0/16\"]").expect("a configuration");
        assert!(config.warnings.iter().any(|warning| warning.text.contains("clouds hand out credentials")));
    }
}
