//! Where a source's events go, and when: `mode`, `upstream` and what belongs to them.

use std::path::Path;
use std::time::Duration;

use http::Uri;

use super::gateway::{count, positive};
use super::retry;
use crate::delivery::schedule::Schedule;
use crate::document::{Node, Reader};
use crate::egress::{Roots, Url};
use crate::gateway::source::{Mode, Upstream};

/// What a source says of it.
pub struct Way {
    /// True if events are stored first.
    pub stores: bool,
    pub ca_file: Option<String>,
    /// Empty if there is a fault in them.
    urls: Vec<Url>,
    roots: Option<Roots>,
    connect_timeout: Duration,
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
        let urls = read_upstreams(reader, stores);
        let (roots, ca_file) = read_roots(reader, &urls);
        let connect_timeout = positive(reader, "upstream_connect_timeout").unwrap_or(Duration::from_secs(2));
        let schedule = retry::read(reader.table("retry"));
        let max_in_flight = count(reader, "max_in_flight", 100_000).unwrap_or(64);
        if !stores {
            for key in ["retry", "max_in_flight"].into_iter().filter(|key| reader.has(key)) {
                let text = format!("{key}: it is for mode = \"store\"; in proxy mode the provider tries again");
                reader.fault(reader.place_of(key), text);
            }
        }
        Self { stores, ca_file, urls, roots, connect_timeout, schedule, max_in_flight }
    }

    /// The same as a source has it, with `timeout` for each exchange. `None` if there is nowhere to go.
    pub fn mode(self, timeout: Duration) -> Option<Mode> {
        let upstreams = self.urls.into_iter().map(|url| Upstream {
            path: Uri::try_from(url.path.as_str()).unwrap_or_default(),
            host: url.target.host_header(),
            roots: self.roots.clone().filter(|_| url.target.tls),
            url,
            connect_timeout: self.connect_timeout,
            timeout,
        });
        let mut upstreams: Vec<Upstream> = upstreams.collect();
        match self.stores {
            true if upstreams.is_empty() => None,
            true => Some(Mode::Store { upstreams, schedule: self.schedule, max_in_flight: self.max_in_flight }),
            false => upstreams.pop().map(Mode::Proxy),
        }
    }
}

/// One URL, or several where the events are stored. Empty if there is a fault in them.
fn read_upstreams(reader: &Reader<'_>, stores: bool) -> Vec<Url> {
    let Some(value) = reader.value("upstream") else {
        reader.missing("upstream", "\"http://127.0.0.1:3000/webhooks\"");
        return Vec::new();
    };
    if !matches!(value.node, Node::List(_)) {
        return reader.parse("upstream", parse_upstream).into_iter().collect();
    }
    let texts = reader.texts("upstream").unwrap_or_default();
    if !stores && texts.len() != 1 {
        let text = "upstream: several are for mode = \"store\", which delivers to each; in proxy mode the provider gets one answer";
        reader.fault(value.place.clone(), text);
        return Vec::new();
    }
    if texts.is_empty() {
        reader.fault(value.place.clone(), "upstream: an empty list leads nowhere");
    }
    let mut urls: Vec<Url> = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_upstream(text.value) {
            Ok(url) if urls.contains(&url) => {
                reader.fault(text.place, format!("upstream: \"{url}\" is there twice"));
            }
            Ok(url) => urls.push(url),
            Err(wrong) => reader.fault(text.place, format!("upstream: {wrong}")),
        }
    }
    urls
}

fn read_roots(reader: &Reader<'_>, urls: &[Url]) -> (Option<Roots>, Option<String>) {
    let tls = urls.iter().any(|url| url.target.tls);
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
    if !urls.is_empty() && !tls {
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

fn parse_upstream(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)?;
    if url.query.is_some() {
        return Err(format!("\"{text}\" has a query, but the upstream gets the query of each request"));
    }
    Ok(url)
}
