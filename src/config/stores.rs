//! `[dedup]`, `[store]` and `[delivery]`: where things are remembered and kept, and how they are delivered.

use std::time::Duration;

use super::environment::Environment;
use super::gateway::{count, positive};
use super::secrets;
use crate::database::url::DatabaseUrl;
use crate::dedup::RedisUrl;
use crate::document::{Fault, Node, Place, Reader, choose};

/// `[dedup]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupConfig {
    pub store: DedupStore,
    /// How many finished events fit in memory.
    pub max_entries: u64,
    /// How long a shared store may take for one operation.
    pub timeout: Duration,
    /// Keeps gateways apart that use one shared store and are not to share their events; empty where there is none.
    pub prefix: String,
}

/// Where events are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DedupStore {
    /// In this process.
    Memory,
    /// In a file of this process, or in a PostgreSQL that gateways share.
    Database(DatabaseUrl),
    /// In a Redis that gateways share.
    Redis(RedisUrl),
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub url: DatabaseUrl,
    /// How long events are kept that nobody is owed any more.
    pub retention: Duration,
    /// How long a database server may take for one operation.
    pub timeout: Duration,
}

/// `[delivery]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Attempts at once, over all destinations.
    pub max_in_flight: usize,
}

impl DedupConfig {
    pub fn read(reader: Option<Reader<'_>>, environment: &Environment, warnings: &mut Vec<Fault>) -> Self {
        let mut config = Self {
            store: DedupStore::Memory,
            max_entries: 1_000_000,
            timeout: Duration::from_millis(250),
            prefix: String::new(),
        };
        let Some(reader) = reader else { return config };
        if let Some((store, place)) = read_url(&reader, "store", environment, warnings, DedupStore::parse) {
            match &store {
                DedupStore::Database(url) => warn_of_url(&reader, "store", url, &place, warnings),
                DedupStore::Redis(_) | DedupStore::Memory => {}
            }
            config.store = store;
        }
        if let Some(max) = reader.integer("max_entries", 1, 1_000_000_000) {
            config.max_entries = max.try_into().unwrap_or(config.max_entries);
        }
        if matches!(config.store, DedupStore::Database(_)) {
            // They wait for a disk, and not only for a network.
            config.timeout = Duration::from_secs(2);
        }
        config.timeout = positive(&reader, "timeout").unwrap_or(config.timeout);
        config.prefix = reader.parse("prefix", parse_prefix).unwrap_or(config.prefix);
        if !config.prefix.is_empty() && !matches!(config.store, DedupStore::Redis(_)) {
            let text = "prefix: only a Redis wants one; give each deployment a file or a database of its own";
            reader.fault(reader.place_of("prefix"), text);
        }
        reader.finish();
        config
    }
}

impl DedupStore {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("redis" | "rediss", _)) => RedisUrl::parse(text).map(Self::Redis),
            Some(("sqlite" | "postgres" | "postgresql", _)) => DatabaseUrl::parse(text).map(Self::Database),
            None => choose(text, &[("memory", ())]).map(|()| Self::Memory),
            // What it is instead is not repeated: there may be a password in it.
            _ => Err("it is neither \"memory\" nor a URL such as \"sqlite:/var/lib/hookward/hookward.db\", \"postgres://db.internal/hookward\" or \"redis://127.0.0.1:6379/0\"".into()),
        }
    }
}

impl StoreConfig {
    /// `None` where there is none, or its URL is a fault.
    pub fn read(reader: Option<Reader<'_>>, environment: &Environment, warnings: &mut Vec<Fault>) -> Option<Self> {
        let reader = reader?;
        if !reader.has("url") {
            reader.missing("url", "\"sqlite:/var/lib/hookward/hookward.db\"");
        }
        let url = read_url(&reader, "url", environment, warnings, DatabaseUrl::parse);
        let retention = positive(&reader, "retention").unwrap_or(Duration::from_secs(30 * 24 * 3600));
        let timeout = positive(&reader, "timeout").unwrap_or(Duration::from_secs(5));
        if let Some((url, place)) = &url {
            warn_of_url(&reader, "url", url, place, warnings);
        }
        reader.finish();
        url.map(|(url, _)| Self { url, retention, timeout })
    }
}

impl DeliveryConfig {
    pub fn read(reader: Option<Reader<'_>>) -> Self {
        let mut config = Self { max_in_flight: 512 };
        if let Some(reader) = reader {
            config.max_in_flight = count(&reader, "max_in_flight", 100_000).unwrap_or(config.max_in_flight);
            reader.finish();
        }
        config
    }
}

/// A URL, written there or named by `{ env = "…" }` or `{ file = "…" }`, since it may have a password in it.
pub(super) fn read_url<T>(
    reader: &Reader<'_>,
    key: &'static str,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<(T, Place)> {
    let value = reader.value(key)?;
    let (text, place) = match &value.node {
        Node::Table(table) => {
            let inner = reader.inner(key, table);
            // A URL is no secret that could be too short.
            let secret = secrets::read(&inner, environment, &mut Vec::new());
            inner.finish();
            let (secret, _, place) = secret?;
            (String::from_utf8_lossy(secret.expose()).into_owned(), place)
        }
        _ => {
            let text = reader.text(key)?;
            if text.value.contains("://") && has_password(text.value) {
                let warning =
                    format!("{key}: the URL has a password in it, write {key} = {{ env = \"…\" }} and keep it there");
                warnings.push(Fault { place: text.place.clone(), text: warning });
            }
            (text.value.to_owned(), text.place)
        }
    };
    match parse(&text) {
        Ok(parsed) => Some((parsed, place)),
        Err(wrong) => {
            reader.fault(place, format!("{key}: {wrong}"));
            None
        }
    }
}

fn has_password(url: &str) -> bool {
    let user = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || url.contains("password=")
}

fn warn_of_url(reader: &Reader<'_>, key: &str, url: &DatabaseUrl, place: &Place, warnings: &mut Vec<Fault>) {
    if url.is_exposed() {
        let text = format!("{key}: what travels to this database can be read on the way, add ?sslmode=require");
        warnings.push(Fault { place: place.clone(), text });
    }
    if let DatabaseUrl::Sqlite(path) = url
        && path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        let text = format!("{key}: there is no folder for {}, make it first", path.display());
        reader.fault(place.clone(), text);
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if text.len() <= 64 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not made of up to 64 letters, digits, '-', '_' and '.', for example \"staging\""))
    }
}
