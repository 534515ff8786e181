//! `[sender]`: the API by which events are told, and what holds for all accounts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::EgressConfig;
use super::admin::{Scope, read_tokens};
use super::environment::Environment;
use super::gateway::{count, parse_listen, positive_size};
use super::provider::{self, Unknown};
use super::secrets;
use crate::access::Tokens;
use crate::document::{Fault, Node, Reader, Value, quoted};
use crate::egress::Url;
use crate::quantity::format_duration;
use crate::sender::{DEFAULT_ACCOUNT, Emitters, EventType, check_name};
use crate::signature::preset::Preset;
use crate::signature::secret::Secret;
use crate::template::Template;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);

/// `[sender]`.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    pub listen: SocketAddr,
    /// Who may use the API; nobody if there are none.
    pub tokens: Tokens,
    /// Each token as the file has it, without its secret.
    pub described: Vec<String>,
    /// What secrets are sealed with, the current one first; none for a file beside the store's.
    pub keys: Vec<Secret>,
    /// Where each key comes from.
    pub key_origins: Vec<String>,
    /// The files of the operator's own providers.
    pub providers: Vec<OwnProvider>,
    /// What webhooks may have: those, and the embedded ones.
    pub emitters: Emitters,
    /// The provider of webhooks that name none.
    pub provider: String,
    pub max_webhooks: u32,
    /// Bytes of one event's content.
    pub max_body: usize,
    pub strict_event_types: bool,
    /// A webhook is switched off once it has failed for so long; `None` for never.
    pub disable_after: Option<Duration>,
    /// Attempts at one webhook at once.
    pub max_in_flight: usize,
    /// From where deliveries come, as customers are told.
    pub egress_ips: Vec<IpAddr>,
    pub event_types: Vec<Arc<EventType>>,
    /// Templates of the operator's own.
    pub templates: Vec<OwnTemplate>,
    /// Who is told what becomes of webhooks.
    pub operations: Option<OperationsConfig>,
}

/// One of `[sender] providers`.
#[derive(Debug, Clone)]
pub struct OwnProvider {
    /// As the configuration has it.
    path: String,
    /// What webhooks call it.
    slug: String,
    /// How long a delivery is tried.
    span: Duration,
    /// All that it says, on one line.
    document: String,
}

/// One of `[sender] templates`.
#[derive(Debug, Clone)]
pub struct OwnTemplate {
    pub template: Template,
    pub file: String,
}

/// `[sender] operations`.
#[derive(Debug, Clone)]
pub struct OperationsConfig {
    pub url: Url,
    pub secret: Secret,
    /// Where the secret comes from.
    pub origin: String,
}

impl SenderConfig {
    /// Reads the table; `has_store` is true if the file has a `[store]`, `shared` if other nodes use it too.
    pub fn read(
        reader: Reader<'_>,
        environment: &Environment,
        warnings: &mut Vec<Fault>,
        has_store: bool,
        shared: bool,
    ) -> Self {
        if !has_store {
            let text = "a sender needs a [store], for example url = \"sqlite:/var/lib/hookward/hookward.db\"";
            reader.fault(reader.place(), text);
        }
        let listen = reader.parse("listen", parse_listen).unwrap_or(DEFAULT_LISTEN);
        let (tokens, described) = read_tokens(&reader, environment, warnings, read_scope);
        if described.is_empty() && !reader.has("tokens") {
            let text = "there are no tokens, so nobody may use the API: write \
                tokens = [{ name = \"app\", env = \"HOOKWARD_TOKEN\", role = \"admin\" }]";
            warnings.push(Fault { place: reader.place(), text: text.into() });
        }
        let (keys, key_origins) = read_keys(&reader, environment, warnings);
        if keys.is_empty() && shared {
            let text = "keys: nodes that share a PostgreSQL share what secrets are sealed with too, write \
                keys = [{ env = \"HOOKWARD_KEY\" }]";
            reader.fault(reader.place(), text);
        }
        let found = reader.faults().count();
        let (providers, emitters) = read_providers(&reader);
        let are_all_there = reader.faults().count() == found;
        // Where a file is broken, that its provider is not there is no fault of its own.
        let provider = reader.parse("provider", |text| match parse_provider(text, &emitters) {
            Err(wrong) if are_all_there => Err(wrong),
            parsed => Ok(parsed.unwrap_or_default()),
        });
        let provider = provider.unwrap_or_else(|| "standard-webhooks".into());
        let max_webhooks = count(&reader, "max_webhooks", 1_000_000).and_then(|count| count.try_into().ok());
        let max_body = positive_size(&reader, "max_body").and_then(|size| size.try_into().ok());
        let strict_event_types = reader.boolean("strict_event_types").unwrap_or(false);
        let disable_after = reader.parse("disable_after", parse_disable_after);
        let max_in_flight = count(&reader, "max_in_flight", 1000).unwrap_or(16);
        let egress_ips = read_addresses(&reader);
        let event_types = EventType::read_all(&reader).into_iter().map(Arc::new).collect();
        let templates = read_templates(&reader, warnings);
        let operations = reader.table("operations").and_then(|inner| read_operations(inner, environment, warnings));
        reader.finish();
        Self {
            listen,
            tokens,
            described,
            keys,
            key_origins,
            providers,
            emitters,
            provider,
            max_webhooks: max_webhooks.unwrap_or(20),
            max_body: max_body.unwrap_or(256 << 10),
            strict_event_types,
            disable_after: disable_after.unwrap_or(Some(Duration::from_secs(5 * 24 * 3600))),
            max_in_flight,
            egress_ips,
            event_types,
            templates,
            operations,
        }
    }

    /// What to know of it, a line each.
    pub fn about(&self, egress: &EgressConfig) -> Vec<String> {
        let plain = if egress.plain_http { "https:// and http:// URLs" } else { "https:// URLs" };
        let allowed = if egress.allow.is_empty() { String::new() } else { format!(", and those in {}", egress.allow) };
        let sealed = match self.key_origins.first() {
            Some(origin) => format!("what customers register is sealed with {origin}"),
            None => "what customers register is sealed with a key in a file beside the store's".to_owned(),
        };
        let disabled = match self.disable_after {
            Some(after) => format!("a webhook that takes nothing for {} is switched off", format_duration(after)),
            None => "no webhook is switched off because it fails".to_owned(),
        };
        let told = if self.operations.is_some() { "" } else { ", and nobody is told: operations names no URL" };
        let own = self.providers.iter().map(|own| {
            let span = format_duration(own.span);
            format!("webhooks may have provider \"{}\", from {}: a delivery is tried for {span}", own.slug, own.path)
        });
        let mut lines = vec![format!("endpoints have {plain} of public addresses{allowed}"), sealed];
        lines.extend(own.chain([format!("{disabled}{told}")]));
        lines
    }

    /// As the file would say it.
    pub fn describe(&self) -> String {
        format!("tokens = [{}]\n{}", self.described.join(", "), self.describe_but_tokens())
    }

    /// What of it a running sender keeps: all but tokens, and what the files of its providers say.
    pub fn describe_fixed(&self) -> String {
        let documents: Vec<&str> = self.providers.iter().map(|own| own.document.as_str()).collect();
        format!("{}\n{}", self.describe_but_tokens(), documents.join("\n"))
    }

    fn describe_but_tokens(&self) -> String {
        let list = |items: &[String]| items.join(", ");
        let own: Vec<String> = self.providers.iter().map(|own| quoted(&own.path)).collect();
        let mut lines = vec![
            format!("listen = \"{}\"", self.listen),
            format!("providers = [{}]", list(&own)),
            format!("provider = \"{}\"", self.provider),
            format!("max_webhooks = {}", self.max_webhooks),
            format!("max_body = \"{}\"", crate::quantity::format_size(self.max_body as u64)),
            format!("strict_event_types = {}", self.strict_event_types),
            format!("disable_after = \"{}\"", self.disable_after.map_or("never".into(), format_duration)),
            format!("max_in_flight = {}", self.max_in_flight),
        ];
        if self.key_origins.is_empty() {
            lines.push("# keys: one in a file beside the store's".into());
        } else {
            lines.push(format!("keys = [{}]", list(&self.key_origins)));
        }
        let addresses: Vec<String> = self.egress_ips.iter().map(|address| format!("\"{address}\"")).collect();
        lines.push(format!("egress_ips = [{}]", list(&addresses)));
        if let Some(operations) = &self.operations {
            lines.push(format!("operations = {{ url = \"{}\", {} }}", operations.url, operations.origin));
        }
        if !self.templates.is_empty() {
            let shown = |own: &OwnTemplate| {
                format!("{{ name = {}, file = {} }}", quoted(own.template.name()), quoted(&own.file))
            };
            lines.push(format!("templates = [{}]", list(&self.templates.iter().map(shown).collect::<Vec<_>>())));
        }
        for kind in &self.event_types {
            let kind = serde_json::to_string(&**kind).unwrap_or_default();
            lines.push(format!("# event type {kind}"));
        }
        lines.join("\n")
    }
}

/// `account = "acme"`, or `"*"` for whichever the request names.
fn read_scope(reader: &Reader<'_>) -> Option<Scope> {
    if !reader.has("account") {
        return Some(Scope::Account(DEFAULT_ACCOUNT.into()));
    }
    reader.parse("account", |text| match text {
        "*" => Ok(Scope::AnyAccount),
        text => check_name(text).map(|()| Scope::Account(text.into())),
    })
}

fn read_keys(reader: &Reader<'_>, environment: &Environment, warnings: &mut Vec<Fault>) -> (Vec<Secret>, Vec<String>) {
    let read = reader.tables("keys").into_iter().filter_map(|inner| {
        let key = secrets::read(&inner, environment, warnings);
        inner.finish();
        let (secret, origin, _) = key?;
        Some((secret, format!("{{ {origin} }}")))
    });
    read.unzip()
}

/// `providers = ["acme.toml"]`.
fn read_providers(reader: &Reader<'_>) -> (Vec<OwnProvider>, Emitters) {
    let (mut own, mut emitters) = (Vec::new(), Emitters::default());
    for text in reader.texts("providers").unwrap_or_default() {
        let path = text.value;
        let wrong = |why: String| reader.fault(text.place.clone(), format!("providers: {why}"));
        if !provider::is_path(path) {
            wrong(format!(
                "\"{path}\" is not the path of a file, for example \"acme.toml\"; embedded ones need not be named"
            ));
            continue;
        }
        let preset = match provider::from_file(path) {
            Ok(preset) => preset,
            Err(Unknown::Name(why)) => {
                wrong(why);
                continue;
            }
            Err(Unknown::Faults(faults)) => {
                faults.into_iter().for_each(|fault| reader.faults().add(fault.place, fault.text));
                continue;
            }
        };
        if let Err(why) = emitters.add(&preset) {
            wrong(format!("{path}: {why}"));
            continue;
        }
        let Preset { slug, document, profile, .. } = preset;
        let document = Value { place: document.place.clone(), node: Node::Table(document) }.to_toml();
        own.push(OwnProvider { path: path.to_owned(), slug, span: profile.emission.schedule.span(), document });
    }
    (own, emitters)
}

fn parse_provider(text: &str, emitters: &Emitters) -> Result<String, String> {
    if provider::is_path(text) {
        let slug = provider::slug_of(text)?;
        return Err(format!("\"{text}\" is a file: name it in providers, and write \"{slug}\" here"));
    }
    emitters.find(text).map(|emitter| emitter.slug.clone()).map_err(|refusal| refusal.errors[0].detail.clone())
}

fn parse_disable_after(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "never" => Ok(None),
        text => match crate::quantity::parse_duration(text)? {
            Duration::ZERO => Err(format!("\"{text}\" leaves no time at all, for example \"5d\", or \"never\"")),
            duration => Ok(Some(duration)),
        },
    }
}

fn read_addresses(reader: &Reader<'_>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for text in reader.texts("egress_ips").unwrap_or_default() {
        match text.value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let wrong = format!("egress_ips: \"{}\" is not an address, for example \"203.0.113.7\"", text.value);
                reader.fault(text.place, wrong);
            }
        }
    }
    addresses
}

/// `templates = [{ name = "pager", file = "…" }]`: read once, when the program starts.
fn read_templates(parent: &Reader<'_>, warnings: &mut Vec<Fault>) -> Vec<OwnTemplate> {
    let mut all: Vec<OwnTemplate> = Vec::new();
    for reader in parent.tables("templates") {
        for (key, example) in [("name", "\"pager\""), ("file", "\"/etc/hookward/pager.json.jinja\"")] {
            if !reader.has(key) {
                reader.missing(key, example);
            }
        }
        let name = reader.parse("name", |text| check_name(text).map(|()| text.to_owned()));
        if let Some(name) = name.as_ref().filter(|name| all.iter().any(|own| own.template.name() == **name)) {
            reader.fault(reader.place_of("name"), format!("name: there is another template \"{name}\""));
        }
        let file = reader.text("file").map(|file| file.value.to_owned());
        let template = reader.parse("file", |file| {
            let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
            Template::compile(name.as_deref().unwrap_or_default(), &text).map_err(|wrong| format!("{file}: {wrong}"))
        });
        let place = reader.place_of("file");
        reader.finish();
        let (Some(_), Some(file), Some(template)) = (name, file, template) else { continue };
        if let Err(wrong) = template.try_out() {
            let text = format!(
                "templates: {file}: on an event whose data is {{\"id\": \"sample\"}} it fails: {wrong}; whoever it fails for \
                 does not get the event"
            );
            warnings.push(Fault { place, text });
        }
        all.push(OwnTemplate { template, file });
    }
    all
}

fn read_operations(
    reader: Reader<'_>,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
) -> Option<OperationsConfig> {
    let url = reader.parse("url", Url::parse);
    if !reader.has("url") {
        reader.missing("url", "\"https://alerts.example.com/hookward\"");
    }
    let secret = secrets::read(&reader, environment, warnings);
    if let Some((secret, _, place)) = &secret
        && let Err(wrong) = Emitters::standard().check_secret(&String::from_utf8_lossy(secret.expose()))
    {
        reader.fault(place.clone(), format!("operations: {}", wrong.detail));
    }
    reader.finish();
    let (secret, origin, _) = secret?;
    Some(OperationsConfig { url: url?, secret, origin })
}
