//! `[gateway]`, and the sources behind it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::environment::Environment;
use super::network;
use super::source::{self, Described};
use crate::document::{Fault, Place, Reader, Value};
use crate::gateway::Settings;
use crate::gateway::client::ClientIp;
use crate::gateway::source::Source;
use crate::network::Networks;
use crate::network::parse_net;
use crate::quantity::{parse_duration, parse_size};

pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// The gateway, and its sources as the effective configuration describes them.
pub struct GatewayConfig {
    /// `None` where there is only a sender.
    pub listen: Option<SocketAddr>,
    pub workers: usize,
    pub drain_timeout: Duration,
    pub settings: Settings,
    /// The `tls` table as written.
    pub tls: Option<String>,
    pub described: Vec<Described>,
}

/// Reads `[gateway]` and `[[source]]`. `None` if there is a fault in what must be there.
pub fn read(root: &Reader<'_>, environment: &Environment, warnings: &mut Vec<Fault>) -> Option<GatewayConfig> {
    let mut listen = DEFAULT_LISTEN;
    let mut workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut drain_timeout = Duration::from_secs(30);
    let mut settings = Settings {
        client_ip: ClientIp::Peer,
        tls: None,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(15),
        write_timeout: Duration::from_secs(15),
        max_connections: 10_000,
        max_buffered: 256 << 20,
        refresh: network::read(root.table("network")),
        sources: Vec::new(),
    };
    let mut tls = None;
    if let Some(reader) = root.table("gateway") {
        listen = reader.parse("listen", parse_listen).unwrap_or(listen);
        workers = count(&reader, "workers", 1024).unwrap_or(workers);
        drain_timeout = reader.parse("drain_timeout", parse_duration).unwrap_or(drain_timeout);
        settings.client_ip = reader.table("client_ip").and_then(read_client_ip).unwrap_or_default();
        settings.tls = reader.table("tls").and_then(read_tls);
        tls = reader.value("tls").map(Value::to_toml);
        settings.header_timeout = positive(&reader, "header_timeout").unwrap_or(settings.header_timeout);
        settings.body_timeout = positive(&reader, "body_timeout").unwrap_or(settings.body_timeout);
        settings.write_timeout = positive(&reader, "write_timeout").unwrap_or(settings.write_timeout);
        settings.max_connections = count(&reader, "max_connections", 10_000_000).unwrap_or(settings.max_connections);
        settings.max_buffered = positive_size(&reader, "max_buffered").unwrap_or(settings.max_buffered);
        reader.finish();
    }
    let readers = root.tables("source");
    let only_sends = root.has("sender") && !root.has("gateway");
    if readers.is_empty() && !root.has("source") && !only_sends {
        root.missing("source", "[[source]] with name, path, provider, secrets, allow and upstream");
    }
    let mut described = Vec::new();
    let mut names: HashMap<String, Place> = HashMap::new();
    let mut paths = HashMap::new();
    for reader in readers {
        source::label(&reader);
        for (key, seen) in [("name", &mut names), ("path", &mut paths)] {
            let Some(text) = reader.text(key) else { continue };
            if let Some(first) = seen.insert(text.value.to_owned(), text.place.clone()) {
                reader.fault(text.place, format!("{key}: \"{}\" is taken by the source at {first}", text.value));
            }
        }
        if let Some((source, description)) = source::read(&reader, &settings, root.has("store"), environment, warnings)
        {
            check_apart(&reader, &source, &settings.sources);
            settings.sources.push(Arc::new(source));
            described.push(description);
        }
        reader.finish();
    }
    let listen = (!only_sends || !settings.sources.is_empty()).then_some(listen);
    Some(GatewayConfig { listen, workers, drain_timeout, settings, tls, described })
}

/// What no two sources may have: one URL, once their tokens are known, or one file for the secret that each is brought.
fn check_apart(reader: &Reader<'_>, source: &Source, others: &[Arc<Source>]) {
    let whole = |source: &Source| match &source.url_token {
        Some(token) => token.after(&source.path),
        None => source.path.clone(),
    };
    // Where neither has a token it is the same path, which is a fault already.
    let has_token = |other: &&Arc<Source>| source.url_token.is_some() || other.url_token.is_some();
    if let Some(other) = others.iter().filter(has_token).find(|other| whole(other) == whole(source)) {
        let key = if source.url_token.is_some() { "url_token" } else { "path" };
        let text = format!("{key}: with the token it is the URL of the source \"{}\" too", other.name);
        reader.fault(reader.place_of(key), text);
    }
    let file = |source: &Source| source.learning.as_ref().map(|learning| learning.file.clone());
    if let Some(other) = others.iter().find(|other| file(source).is_some() && file(other) == file(source)) {
        let text = format!("secrets: learn: the source \"{}\" is to keep its secret in that file", other.name);
        reader.fault(reader.place_of("secrets"), text);
    }
}

/// An address with its port.
///
/// # Errors
/// What would be right, as a fragment.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not an address with a port, for example \"0.0.0.0:8080\""))
}

/// A duration that must not be zero.
pub fn positive(reader: &Reader<'_>, key: &'static str) -> Option<Duration> {
    reader.parse(key, |text| match parse_duration(text)? {
        Duration::ZERO => Err(format!("\"{text}\" leaves no time at all, for example \"5s\"")),
        duration => Ok(duration),
    })
}

/// A size that must not be zero.
pub fn positive_size(reader: &Reader<'_>, key: &'static str) -> Option<u64> {
    reader.parse(key, |text| match parse_size(text)? {
        0 => Err(format!("\"{text}\" leaves no room at all, for example \"1MiB\"")),
        size => Ok(size),
    })
}

/// A whole number from 1.
pub fn count(reader: &Reader<'_>, key: &'static str, max: i64) -> Option<usize> {
    reader.integer(key, 1, max).and_then(|count| count.try_into().ok())
}

fn read_client_ip(reader: Reader<'_>) -> Option<ClientIp> {
    let trusted = read_networks(&reader, "trusted_proxies");
    if !reader.has("trusted_proxies") {
        reader.missing("trusted_proxies", "[\"10.0.0.0/8\"]");
    }
    type Kind = fn(Networks) -> ClientIp;
    let kinds = [
        ("x-forwarded-for", ClientIp::XForwardedFor as Kind),
        ("forwarded", ClientIp::Forwarded as Kind),
        ("proxy-protocol", ClientIp::ProxyProtocol as Kind),
    ];
    let from = reader.choice("from", &kinds);
    if !reader.has("from") {
        reader.missing("from", "\"x-forwarded-for\", \"forwarded\" or \"proxy-protocol\"");
    }
    reader.finish();
    Some(from?(trusted?))
}

/// A list of addresses and networks, at least one.
pub fn read_networks(reader: &Reader<'_>, key: &'static str) -> Option<Networks> {
    let texts = reader.texts(key)?;
    if texts.is_empty() {
        reader.fault(
            reader.place_of(key),
            format!("{key}: an empty list names nobody, for example [\"203.0.113.0/24\"]"),
        );
        return None;
    }
    let mut nets = Vec::with_capacity(texts.len());
    for text in &texts {
        match parse_net(text.value) {
            Ok(net) => nets.push(net),
            Err(wrong) => reader.fault(text.place.clone(), format!("{key}: {wrong}")),
        }
    }
    (nets.len() == texts.len()).then(|| nets.into())
}

fn read_tls(reader: Reader<'_>) -> Option<Arc<ServerConfig>> {
    let certificates = reader.parse("cert_file", |path| {
        let read = CertificateDer::pem_file_iter(Path::new(path)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match read {
            Ok(certificates) if certificates.is_empty() => Err(format!("{path} holds no PEM certificate")),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        }
    });
    let key = reader.parse("key_file", |path| {
        PrivateKeyDer::from_pem_file(Path::new(path)).map_err(|error| format!("cannot read {path}: {error}"))
    });
    for name in ["cert_file", "key_file"] {
        if !reader.has(name) {
            reader.missing(name, "\"/etc/hookward/tls.pem\"");
        }
    }
    let place = reader.place();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates?, key?);
    let config = match config {
        Ok(mut config) => {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Some(Arc::new(config))
        }
        Err(error) => {
            reader.fault(place, format!("certificate and key cannot be used together: {error}"));
            None
        }
    };
    reader.finish();
    config
}
