//! The configuration: a file, or the flags of the sidecar form, turned into values that cannot be wrong.
//!
//! The only room that reads the environment. There is no validation step: what cannot be used is not built, and
//! everything wrong with a file is found in one run.

mod admin;
mod effective;
mod egress;
pub mod environment;
mod gateway;
mod network;
pub mod provider;
mod retry;
mod route;
mod scheme;
mod secrets;
mod sender;
mod sidecar;
mod source;
mod stores;
mod upstream;
mod warnings;

use std::net::SocketAddr;
use std::time::Duration;

use tracing::Level;

use crate::database::url::DatabaseUrl;
use crate::document::{Fault, Faults, Reader, Table};
use crate::gateway::Settings;
use crate::telemetry::logging::{Format, LEVELS};
use environment::Environment;

pub use admin::AdminConfig;
pub use egress::{CaFile, EgressConfig};
pub use sender::{OperationsConfig, SenderConfig};
pub use sidecar::Sidecar;
pub use stores::{DedupConfig, DedupStore, DeliveryConfig, StoreConfig};

/// The program as its operator wants it.
#[derive(Debug)]
pub struct Config {
    /// Where the gateway listens; `None` where there is only a sender.
    pub listen: Option<SocketAddr>,
    /// Threads of the data plane.
    pub workers: usize,
    /// How long requests that have begun may take after the program was told to stop.
    pub drain_timeout: Duration,
    pub gateway: Settings,
    pub dedup: DedupConfig,
    /// Where events are kept; `None` where none are.
    pub store: Option<StoreConfig>,
    pub delivery: DeliveryConfig,
    /// What the sender may reach.
    pub egress: EgressConfig,
    /// `None` where nothing is told.
    pub sender: Option<SenderConfig>,
    /// Where metrics, health and the API are served; `None` where they are not.
    pub admin: Option<AdminConfig>,
    pub log: LogConfig,
    /// What the operator should know, and nothing refuses.
    pub warnings: Vec<Fault>,
    /// What to know of each source, by its name.
    pub about: Vec<(String, String)>,
    /// The same in the configuration's own words, defaults filled in, secrets masked.
    pub effective: String,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    pub level: Level,
    pub format: Format,
}

impl Config {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Everything wrong with it, in file order, so that one run is enough to fix it.
    pub fn parse(name: &str, text: &str, environment: &Environment) -> Result<Self, Vec<Fault>> {
        let faults = Faults::default();
        let document = Table::parse(name, text, &faults);
        Self::read(&document, environment, faults)
    }

    /// Reads the flags of the sidecar form.
    ///
    /// # Errors
    /// Everything wrong with them.
    pub fn from_flags(flags: &Sidecar, environment: &Environment) -> Result<Self, Vec<Fault>> {
        Self::read(&flags.document(), environment, Faults::default())
    }

    fn read(document: &Table, environment: &Environment, faults: Faults) -> Result<Self, Vec<Fault>> {
        let config = Self::build(document, environment, &faults);
        match (config, faults.into_sorted()) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }

    fn build(document: &Table, environment: &Environment, faults: &Faults) -> Option<Self> {
        let root = Reader::new(document, "", faults);
        let mut warnings = Vec::new();
        let gateway = gateway::read(&root, environment, &mut warnings);
        let dedup = DedupConfig::read(root.table("dedup"), environment, &mut warnings);
        let store = StoreConfig::read(root.table("store"), environment, &mut warnings);
        let delivery = DeliveryConfig::read(root.table("delivery"));
        let egress = EgressConfig::read(root.table("egress"), environment, &mut warnings);
        let shared = store.as_ref().is_some_and(|store| matches!(store.url, DatabaseUrl::Postgres(_)));
        let sender = root
            .table("sender")
            .map(|reader| SenderConfig::read(reader, environment, &mut warnings, root.has("store"), shared));
        let admin = root.table("admin").map(|reader| AdminConfig::read(reader, environment, &mut warnings));
        let log = LogConfig::read(root.table("log"));
        root.finish();
        let gateway::GatewayConfig { listen, workers, drain_timeout, settings, tls, described } = gateway?;
        warnings.sort();
        let mut config = Self {
            listen,
            workers,
            drain_timeout,
            gateway: settings,
            dedup,
            store,
            delivery,
            egress,
            sender,
            admin,
            log,
            warnings,
            about: Vec::new(),
            effective: String::new(),
        };
        for (source, described) in config.gateway.sources.iter().zip(&described) {
            config.about.extend(described.about.iter().map(|line| (source.name.clone(), line.clone())));
        }
        config.effective = effective::render(&config, tls.as_deref(), &described);
        Some(config)
    }

    /// The store that a file's text names, without reading the rest: who looks at it needs none of the secrets.
    ///
    /// # Errors
    /// What is wrong with that part.
    pub fn store_of(name: &str, text: &str, environment: &Environment) -> Result<Option<StoreConfig>, Vec<Fault>> {
        let faults = Faults::default();
        let document = Table::parse(name, text, &faults);
        let root = Reader::new(&document, "", &faults);
        let store = StoreConfig::read(root.table("store"), environment, &mut Vec::new());
        match faults.into_sorted() {
            faults if faults.is_empty() => Ok(store),
            faults => Err(faults),
        }
    }

    /// What of it a running program cannot change.
    pub fn fixed(&self) -> Fixed {
        Fixed {
            listen: self.listen,
            workers: self.workers,
            dedup: self.dedup.clone(),
            store: self.store.clone(),
            delivery: self.delivery.clone(),
            egress: self.egress.clone(),
            sender: self.sender.as_ref().map(SenderConfig::describe_fixed),
            admin: self.admin.as_ref().map(|admin| admin.listen),
            log: self.log,
        }
    }
}

/// What a running program stands on: other values for it are refused until a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    listen: Option<SocketAddr>,
    workers: usize,
    dedup: DedupConfig,
    store: Option<StoreConfig>,
    delivery: DeliveryConfig,
    egress: EgressConfig,
    sender: Option<String>,
    admin: Option<SocketAddr>,
    log: LogConfig,
}

impl Fixed {
    /// The names of the keys in which the two differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("gateway.listen", self.listen == other.listen),
            ("gateway.workers", self.workers == other.workers),
            ("[dedup]", self.dedup == other.dedup),
            ("[store]", self.store == other.store),
            ("[delivery]", self.delivery == other.delivery),
            ("[egress]", self.egress == other.egress),
            ("[sender]", self.sender == other.sender),
            ("admin.listen", self.admin == other.admin),
            ("[log]", self.log == other.log),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

impl LogConfig {
    fn read(reader: Option<Reader<'_>>) -> Self {
        let mut config = Self { level: Level::INFO, format: Format::Auto };
        if let Some(reader) = reader {
            config.level = reader.choice("level", &LEVELS).unwrap_or(config.level);
            config.format = reader.choice("format", &Format::WORDS).unwrap_or(config.format);
            reader.finish();
        }
        config
    }
}

/// The keys that the program knows, by table: what `config.example.toml` must show.
pub fn known_keys() -> std::collections::BTreeMap<String, std::collections::BTreeSet<&'static str>> {
    let faults = Faults::default();
    // The smallest file in which every table is read.
    let text = "[gateway]\nclient_ip = {}\ntls = {}\n[[source]]\nprovider = \"stripe\"\nauthorization = {}\nretry = {}\nurl_token = {}\n[[source.route]]\n[network]\n[dedup]\n[store]\n[delivery]\n[egress]\n[sender]\ntokens = [{}]\noperations = {}\ntemplates = [{}]\n[[sender.event_type]]\n[admin]\ntokens = [{}]\n[log]\n";
    let document = Table::parse("", text, &faults);
    Config::build(&document, &Environment::default(), &faults);
    faults.known_keys()
}

#[cfg(test)]
mod tests;
