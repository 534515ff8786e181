//! Where a source's events go, and when: `mode`, `upstream` and what belongs to them.

use std::path::Path;
use std::time::Duration;

use http::Uri;

use super::environment::Environment;
use super::gateway::{count, positive};
use super::{retry, secrets};
use crate::delivery::schedule::Schedule;
use crate::document::{Located, Node, Reader, Table, Value};
use crate::egress::{Roots, Url};
use crate::gateway::source::{Mode, Upstream};

/// What is done with a source's events.
pub struct Way {
    /// True if events are stored first.
    pub stores: bool,
    schedule: Schedule,
    max_in_flight: usize,
}

impl Way {
    /// Reads it; `has_store` is true if the file has a `[store]`.
    pub fn read(reader: &Reader<'_>, has_store: bool) -> Self {
        let stores = reader.choice("mode", &Mode::WORDS).unwrap_or(false);
        if stores && !has_store {
            let text = "mode: \"store\" needs a [store], for example url = \"sqlite:/var/lib/hookward/hookward.db\"";
            reader.fault(reader.place_of("mode"), text);
        }
        let schedule = retry::read(reader.table("retry"));
        let max_in_flight = count(reader, "max_in_flight", 100_000).unwrap_or(64);
        if !stores {
            for key in ["retry", "max_in_flight"].into_iter().filter(|key| reader.has(key)) {
                let text = format!("{key}: it is for mode = \"store\"; in proxy mode the provider tries again");
                reader.fault(reader.place_of(key), text);
            }
        }
        Self { stores, schedule, max_in_flight }
    }

    /// The same as a source has it.
    pub fn mode(self) -> Mode {
        match self.stores {
            true => Mode::Store { schedule: self.schedule, max_in_flight: self.max_in_flight },
            false => Mode::Proxy,
        }
    }
}

/// What gets events, as a source and each of its routes name it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'e> {
    /// True if there may be several.
    pub stores: bool,
    /// True if they get messages: then their URLs may have a query, which is theirs.
    pub renders: bool,
    pub environment: &'e Environment,
}

/// Where events go, but for how long it may take.
pub struct Ends {
    pub ca_file: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub timeout: Option<Duration>,
    /// Empty where nothing is named, or if there is a fault in it.
    addresses: Vec<Address>,
    roots: Option<Roots>,
}

/// A URL, and what it is called where it is a secret.
struct Address {
    url: Url,
    alias: Option<String>,
}

impl Ends {
    /// Reads `upstream` and what belongs to it.
    pub fn read(reader: &Reader<'_>, wanted: Wanted<'_>) -> Self {
        let addresses = read_upstreams(reader, wanted);
        let (roots, ca_file) = read_roots(reader, &addresses);
        let connect_timeout = positive(reader, "upstream_connect_timeout");
        let timeout = positive(reader, "upstream_timeout");
        Self { ca_file, connect_timeout, timeout, addresses, roots }
    }

    /// The upstreams; where nothing is said of a time it is `connect_timeout`, or `timeout` for an exchange in all.
    pub fn upstreams(self, connect_timeout: Duration, timeout: Duration) -> Vec<Upstream> {
        let upstream = |Address { url, alias }: Address| Upstream {
            path: target(&url),
            host: url.target.host_header(),
            roots: self.roots.clone().filter(|_| url.target.tls),
            url,
            alias,
            connect_timeout: self.connect_timeout.unwrap_or(connect_timeout),
            timeout: self.timeout.unwrap_or(timeout),
        };
        self.addresses.into_iter().map(upstream).collect()
    }
}

/// Path and query, where there is one.
fn target(url: &Url) -> Uri {
    let text = url.query.as_ref().map(|query| format!("{}?{query}", url.path));
    Uri::try_from(text.as_deref().unwrap_or(&url.path)).unwrap_or_default()
}

/// One URL, or several where the events are stored. Empty if there is a fault in them.
fn read_upstreams(reader: &Reader<'_>, wanted: Wanted<'_>) -> Vec<Address> {
    let Some(value) = reader.value("upstream") else { return Vec::new() };
    let Node::List(items) = &value.node else {
        return read_upstream(reader, value, wanted).into_iter().collect();
    };
    if !wanted.stores && items.len() != 1 {
        let text = "upstream: several are for mode = \"store\", which delivers to each; in proxy mode the provider gets one answer";
        reader.fault(value.place.clone(), text);
        return Vec::new();
    }
    if items.is_empty() {
        reader.fault(value.place.clone(), "upstream: an empty list leads nowhere");
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(items.len());
    for item in items {
        match read_upstream(reader, item, wanted) {
            Some(Address { alias, .. }) if alias.is_some() && addresses.iter().any(|known| known.alias == alias) => {
                reader.fault(item.place.clone(), "upstream: the same secret is there twice");
            }
            Some(Address { url, .. }) if addresses.iter().any(|known| known.url == url) => {
                reader.fault(item.place.clone(), format!("upstream: \"{url}\" is there twice"));
            }
            Some(address) => addresses.push(address),
            None => {}
        }
    }
    addresses
}

/// A URL as it is written, or `{ env = "SLACK_URL" }` where it is a secret.
fn read_upstream<'a>(reader: &Reader<'a>, value: &'a Value, wanted: Wanted<'_>) -> Option<Address> {
    match &value.node {
        Node::Text(text) => match Url::parse(text).and_then(|url| check_query(url, text, wanted)) {
            Ok(url) => Some(Address { url, alias: None }),
            Err(wrong) => {
                reader.fault(value.place.clone(), format!("upstream: {wrong}"));
                None
            }
        },
        Node::Table(table) => read_secret_upstream(reader, table, wanted),
        _ => {
            reader.wrong_kind("upstream", value, "a URL in quotes, or { env = \"NAME\" } where it is a secret");
            None
        }
    }
}

fn check_query(url: Url, text: &str, wanted: Wanted<'_>) -> Result<Url, String> {
    if url.query.is_some() && !wanted.renders {
        return Err(format!("\"{text}\" has a query, but the upstream gets the query of each request"));
    }
    Ok(url)
}

/// Nothing of the URL is ever said, also where it is wrong.
fn read_secret_upstream<'a>(parent: &Reader<'a>, table: &'a Table, wanted: Wanted<'_>) -> Option<Address> {
    let reader = parent.inner("upstream", table);
    if let Some(literal) = reader.text("literal") {
        reader.fault(literal.place, "literal: a URL that is no secret is written as it is, in quotes");
        return None;
    }
    let called = |kind: &str, name: Option<Located<&str>>| Some(format!("{kind}:{}", name?.value.replace(' ', "%20")));
    let alias = called("env", reader.text("env")).or_else(|| called("file", reader.text("file")));
    // A URL is long enough.
    let (secret, origin, place) = secrets::read(&reader, wanted.environment, &mut Vec::new())?;
    reader.finish();
    let text = std::str::from_utf8(secret.expose()).unwrap_or_default();
    let wrong = match Url::parse(text) {
        Ok(url) if url.query.is_none() || wanted.renders => return Some(Address { url, alias }),
        Ok(_) => "is a URL with a query, but the upstream gets the query of each request",
        Err(_) => "is not a URL of http:// or https://",
    };
    parent.fault(place, format!("upstream: what {{ {origin} }} has {wrong}"));
    None
}

fn read_roots(reader: &Reader<'_>, addresses: &[Address]) -> (Option<Roots>, Option<String>) {
    let tls = addresses.iter().any(|address| address.url.target.tls);
    let Some(file) = reader.text("ca_file") else {
        if !tls {
            return (None, None);
        }
        return match Roots::system() {
            Ok(roots) => (Some(roots), None),
            Err(error) => {
                reader.fault(reader.place_of("upstream"), format!("upstream: {error}, name some in ca_file"));
                (None, None)
            }
        };
    };
    if !addresses.is_empty() && !tls {
        reader.fault(file.place, "ca_file: the upstream is plain http://, there is no certificate to check");
        return (None, None);
    }
    match Roots::from_file(Path::new(file.value)) {
        Ok(roots) => (Some(roots), Some(file.value.to_owned())),
        Err(error) => {
            reader.fault(file.place, format!("ca_file: cannot use {}: {error}", file.value));
            (None, None)
        }
    }
}
