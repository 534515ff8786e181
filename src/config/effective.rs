//! The configuration in force, in its own words: defaults filled in, secrets by where they come from.

use std::fmt::Write;

use super::retry;
use super::source::Described;
use super::{Config, DedupStore, EgressConfig};
use crate::dedup::StoreDown;
use crate::document::quoted;
use crate::gateway::allow::Allow;
use crate::gateway::client::ClientIp;
use crate::gateway::lists::Refresh;
use crate::gateway::source::{Mode, Proof, Source, Upstream};
use crate::quantity::{format_duration, format_size};
use crate::signature::profile::{MissingId, ReplayGuard};
use crate::telemetry::logging::{Format, LEVELS};

/// The whole of it, as TOML.
///
/// `tls` is that table as written, `described` what each source does not know of itself.
pub fn render(config: &Config, tls: Option<&str>, described: &[Described]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if config.listen.is_some() {
        let _ = gateway(&mut text, config, tls);
    }
    for (source, described) in config.gateway.sources.iter().zip(described) {
        let _ = self::source(&mut text, source, described);
    }
    let _ = rest(&mut text, config);
    text
}

fn gateway(text: &mut String, config: &Config, tls: Option<&str>) -> std::fmt::Result {
    let settings = &config.gateway;
    writeln!(text, "[gateway]")?;
    if let Some(listen) = config.listen {
        writeln!(text, "listen = \"{listen}\"")?;
    }
    writeln!(text, "workers = {}", config.workers)?;
    let client_ip = match &settings.client_ip {
        ClientIp::Peer => None,
        ClientIp::XForwardedFor(trusted) => Some(("x-forwarded-for", trusted)),
        ClientIp::Forwarded(trusted) => Some(("forwarded", trusted)),
        ClientIp::ProxyProtocol(trusted) => Some(("proxy-protocol", trusted)),
    };
    if let Some((from, trusted)) = client_ip {
        writeln!(text, "client_ip = {{ from = \"{from}\", trusted_proxies = {trusted} }}")?;
    }
    if let Some(tls) = tls {
        writeln!(text, "tls = {tls}")?;
    }
    writeln!(text, "header_timeout = \"{}\"", format_duration(settings.header_timeout))?;
    writeln!(text, "body_timeout = \"{}\"", format_duration(settings.body_timeout))?;
    writeln!(text, "write_timeout = \"{}\"", format_duration(settings.write_timeout))?;
    writeln!(text, "drain_timeout = \"{}\"", format_duration(config.drain_timeout))?;
    writeln!(text, "max_connections = {}", settings.max_connections)?;
    writeln!(text, "max_buffered = \"{}\"", format_size(settings.max_buffered))
}

fn source(text: &mut String, source: &Source, described: &Described) -> std::fmt::Result {
    writeln!(text, "\n[[source]]")?;
    writeln!(text, "name = \"{}\"", source.name)?;
    writeln!(text, "path = \"{}\"", source.path)?;
    if let Some(origin) = &described.url_token {
        writeln!(text, "url_token = {origin}")?;
    }
    match &described.provider {
        Some(provider) => writeln!(text, "provider = {}", quoted(provider))?,
        None => writeln!(text, "# provider: none, the scheme is its own")?,
    }
    for line in &described.scheme {
        writeln!(text, "{line}")?;
    }
    if let Some(url) = &source.public_url {
        writeln!(text, "public_url = {}", quoted(url))?;
    }
    let methods: Vec<String> = source.methods.iter().map(|method| format!("\"{method}\"")).collect();
    writeln!(text, "methods = [{}]", methods.join(", "))?;
    match &source.proof {
        Proof::Signature(verifier) => {
            // Where the provider publishes its keys there may be none.
            if !described.secrets.is_empty() {
                writeln!(text, "secrets = [{}]", described.secrets.join(", "))?;
            }
            if let Some(tolerance) = verifier.scheme().tolerance() {
                writeln!(text, "tolerance = \"{}\"", format_duration(tolerance))?;
            }
        }
        Proof::Elsewhere(_) => {}
    }
    // Where nothing is signed there may be some for challenges.
    let params = &source.challenges.means().params;
    let params: Vec<String> = params
        .names()
        .map(|name| {
            let values: Vec<String> = params.values(name).iter().map(|value| quoted(value)).collect();
            format!("{name} = [{}]", values.join(", "))
        })
        .collect();
    if !params.is_empty() {
        writeln!(text, "params = {{ {} }}", params.join(", "))?;
    }
    if let Some(origin) = &described.verify_token {
        writeln!(text, "verify_token = {{ {origin} }}")?;
    }
    if let Some(origin) = &described.authorization {
        writeln!(text, "authorization = {origin}")?;
    }
    match &source.allow {
        Allow::Any => writeln!(text, "allow = \"any\"")?,
        Allow::Provider(_) => writeln!(text, "allow = \"provider\"")?,
        Allow::Only(networks) => writeln!(text, "allow = {networks}")?,
    }
    // Where the last route takes every event, it stands among the routes.
    let own = if source.otherwise.name.is_none() { source.otherwise.upstreams() } else { &[] };
    let urls: Vec<String> = own.iter().map(upstream).collect();
    match &source.mode {
        Mode::Proxy => writeln!(text, "mode = \"proxy\"")?,
        Mode::Store { .. } => writeln!(text, "mode = \"store\"")?,
    }
    match (&source.mode, urls.is_empty()) {
        (_, true) => {}
        (Mode::Proxy, false) => writeln!(text, "upstream = {}", urls.join(", "))?,
        (Mode::Store { .. }, false) => writeln!(text, "upstream = [{}]", urls.join(", "))?,
    }
    if let Some(routes) = &described.routes {
        writeln!(text, "route = {routes}")?;
    }
    match &source.mode {
        Mode::Proxy => {}
        Mode::Store { schedule, max_in_flight } => {
            writeln!(text, "retry = {}", retry::describe(schedule))?;
            writeln!(text, "max_in_flight = {max_in_flight}")?;
            writeln!(text, "lease = \"{}\"", format_duration(source.lease))?;
        }
    }
    if let Some(file) = &described.ca_file {
        writeln!(text, "ca_file = {}", quoted(file))?;
    }
    let names: Vec<String> = source.pass_headers.iter().map(|name| format!("\"{name}\"")).collect();
    writeln!(text, "pass_headers = [{}]", names.join(", "))?;
    if let Some(upstream) = own.first() {
        writeln!(text, "upstream_connect_timeout = \"{}\"", format_duration(upstream.connect_timeout))?;
        writeln!(text, "upstream_timeout = \"{}\"", format_duration(upstream.timeout))?;
    }
    writeln!(text, "max_body = \"{}\"", format_size(source.max_body))?;
    match source.accepted {
        Some(status) => writeln!(text, "accepted = {}", status.as_u16())?,
        None => writeln!(text, "# accepted: the upstream's own 2xx, 200 for duplicates")?,
    }
    writeln!(text, "enforce = {}", source.enforce)?;
    writeln!(text, "cross_check = \"{}\"", if source.cross_checks.is_empty() { "off" } else { "enforce" })?;
    match &source.dedup {
        None => writeln!(text, "dedup = \"off\""),
        Some(policy) => {
            let missing_id = MissingId::WORDS.iter().find(|(_, word)| *word == policy.missing_id);
            let replay_guard = ReplayGuard::WORDS.iter().find(|(_, word)| *word == policy.replay_guard);
            writeln!(text, "dedup = \"on\"")?;
            writeln!(text, "dedup_ttl = \"{}\"", format_duration(policy.ttl))?;
            writeln!(text, "missing_id = \"{}\"", missing_id.map_or("", |(word, _)| word))?;
            writeln!(text, "replay_guard = \"{}\"", replay_guard.map_or("", |(word, _)| word))?;
            if let Mode::Proxy = source.mode {
                writeln!(text, "lease = \"{}\"", format_duration(source.lease))?;
            }
            writeln!(text, "wait = \"{}\"", format_duration(source.wait))?;
            let store_down = StoreDown::WORDS.iter().find(|(_, word)| *word == source.store_down);
            writeln!(text, "store_down = \"{}\"", store_down.map_or("", |(word, _)| word))
        }
    }
}

fn network(text: &mut String, refresh: &Refresh) -> std::fmt::Result {
    writeln!(text, "\n[network]")?;
    let every = refresh.every.map_or("off".to_owned(), format_duration);
    writeln!(text, "refresh = \"{every}\"")?;
    if let Some(file) = &refresh.file {
        writeln!(text, "file = {}", quoted(&file.display().to_string()))?;
    }
    match &refresh.ca_file {
        Some(file) => writeln!(text, "ca_file = {}", quoted(file)),
        None => Ok(()),
    }
}

/// A URL, or where it comes from where it is a secret.
fn upstream(upstream: &Upstream) -> String {
    match upstream.alias.as_deref().and_then(|alias| alias.split_once(':')) {
        None => quoted(&upstream.url.to_string()),
        Some((kind, name)) => format!("{{ {kind} = {} }}", quoted(&name.replace("%20", " "))),
    }
}

fn egress(text: &mut String, egress: &EgressConfig) -> std::fmt::Result {
    writeln!(text, "\n[egress]")?;
    writeln!(text, "allow = {}", egress.allow)?;
    writeln!(text, "plain_http = {}", egress.plain_http)?;
    let bind: Vec<String> =
        [egress.bind.v4.map(|v4| format!("\"{v4}\"")), egress.bind.v6.map(|v6| format!("\"{v6}\""))]
            .into_iter()
            .flatten()
            .collect();
    writeln!(text, "bind = [{}]", bind.join(", "))?;
    if let Some(proxy) = &egress.proxy {
        writeln!(text, "proxy = {}", quoted(&proxy.to_string()))?;
    }
    if let Some(ca) = &egress.ca {
        writeln!(text, "ca_file = {}", quoted(&ca.name))?;
    }
    writeln!(text, "connect_timeout = \"{}\"", format_duration(egress.connect_timeout))
}

fn rest(text: &mut String, config: &Config) -> std::fmt::Result {
    if config.listen.is_some() {
        network(text, &config.gateway.refresh)?;
    }
    writeln!(text, "\n[dedup]")?;
    match &config.dedup.store {
        DedupStore::Memory => writeln!(text, "store = \"memory\"")?,
        DedupStore::Database(url) => writeln!(text, "store = \"{url}\"")?,
        DedupStore::Redis(url) => writeln!(text, "store = \"{url}\"")?,
    }
    writeln!(text, "max_entries = {}", config.dedup.max_entries)?;
    writeln!(text, "timeout = \"{}\"", format_duration(config.dedup.timeout))?;
    writeln!(text, "prefix = \"{}\"", config.dedup.prefix)?;
    if let Some(store) = &config.store {
        writeln!(text, "\n[store]")?;
        writeln!(text, "url = \"{}\"", store.url)?;
        writeln!(text, "retention = \"{}\"", format_duration(store.retention))?;
        writeln!(text, "timeout = \"{}\"", format_duration(store.timeout))?;
        writeln!(text, "\n[delivery]")?;
        writeln!(text, "max_in_flight = {}", config.delivery.max_in_flight)?;
    }
    self::egress(text, &config.egress)?;
    if let Some(sender) = &config.sender {
        writeln!(text, "\n[sender]\n{}", sender.describe())?;
    }
    if let Some(admin) = &config.admin {
        writeln!(text, "\n[admin]")?;
        writeln!(text, "listen = \"{}\"", admin.listen)?;
        if !admin.described.is_empty() {
            writeln!(text, "tokens = [{}]", admin.described.join(", "))?;
        }
    }
    let level = LEVELS.iter().find(|(_, level)| *level == config.log.level).map_or("", |(word, _)| word);
    let format = Format::WORDS.iter().find(|(_, format)| *format == config.log.format).map_or("", |(word, _)| word);
    writeln!(text, "\n[log]")?;
    writeln!(text, "level = \"{level}\"")?;
    writeln!(text, "format = \"{format}\"")
}
