//! The sidecar form: one source, flags only, no file.

use clap::Args;

use super::provider;
use crate::document::{Node, Place, Table, Value};

/// The flags of `hookward serve` without a file. Each one can be given as a `HOOKWARD_…` variable instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Sidecar form: one source, no file")]
pub struct Sidecar {
    /// Whose webhooks these are: a provider's name (`hookward providers` lists them), or a TOML file with one of your own
    #[arg(long, hide_env_values = true, env = "HOOKWARD_PROVIDER", value_name = "NAME")]
    pub provider: Option<String>,
    /// Name of the environment variable that holds the secret, or ID=NAME; repeat it while rotating
    #[arg(long, hide_env_values = true, env = "HOOKWARD_SECRET_ENV", value_name = "NAME", value_delimiter = ',')]
    pub secret_env: Vec<String>,
    /// File that holds the secret, or ID=FILE; repeat it while rotating
    #[arg(long, hide_env_values = true, env = "HOOKWARD_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub secret_file: Vec<String>,
    /// Name of the environment variable that holds the verify token, where the provider's handshake has one
    #[arg(long, hide_env_values = true, env = "HOOKWARD_VERIFY_TOKEN_ENV", value_name = "NAME")]
    pub verify_token_env: Option<String>,
    /// Name of the environment variable that holds what the path goes on with, where only who knows that may send
    #[arg(long, hide_env_values = true, env = "HOOKWARD_URL_TOKEN_ENV", value_name = "NAME")]
    pub url_token_env: Option<String>,
    /// File that holds the same
    #[arg(long, hide_env_values = true, env = "HOOKWARD_URL_TOKEN_FILE", value_name = "FILE")]
    pub url_token_file: Option<String>,
    /// Where genuine webhooks go, for example http://127.0.0.1:3000/webhooks
    #[arg(long, hide_env_values = true, env = "HOOKWARD_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// Address and port to listen on [default: 0.0.0.0:8080]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Path that webhooks come to [default: /]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_PATH", value_name = "PATH")]
    pub path: Option<String>,
    /// Client addresses: provider, any, or addresses and networks [default: any]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_ALLOW", value_name = "LIST", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// How often the provider's address list is asked for with --allow provider: a duration, or off [default: 6h]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_ADDRESS_REFRESH", value_name = "DURATION")]
    pub address_refresh: Option<String>,
    /// Where the last good address list is kept over a restart [default: nowhere]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_ADDRESS_FILE", value_name = "FILE")]
    pub address_file: Option<String>,
    /// The URL that the provider was given, where it is signed [default: what each request says]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// What the provider's scheme wants to know beside secrets
    #[arg(long, hide_env_values = true, env = "HOOKWARD_PARAM", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub param: Vec<String>,
    /// How far a timestamp may be from now [default: the provider's]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_TOLERANCE", value_name = "DURATION")]
    pub tolerance: Option<String>,
    /// How long a finished event is remembered [default: the provider's]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_DEDUP_TTL", value_name = "DURATION")]
    pub dedup_ttl: Option<String>,
    /// Where events are remembered: memory, redis://…, or off [default: memory]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_DEDUP", value_name = "STORE")]
    pub dedup: Option<String>,
    /// What names the client: x-forwarded-for, forwarded or proxy-protocol [default: the connection]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_CLIENT_IP", value_name = "FROM")]
    pub client_ip: Option<String>,
    /// Proxies that may name the client
    #[arg(long, hide_env_values = true, env = "HOOKWARD_TRUSTED_PROXY", value_name = "LIST", value_delimiter = ',')]
    pub trusted_proxy: Vec<String>,
    /// Address and port for metrics and health [default: none]
    #[arg(long, hide_env_values = true, env = "HOOKWARD_ADMIN", value_name = "ADDRESS")]
    pub admin: Option<String>,
}

impl Sidecar {
    /// True if any flag or its variable was given: then this is the sidecar form.
    pub fn is_used(&self) -> bool {
        *self != Self::default()
    }

    /// The file that would say the same. Faults in it name the flag.
    pub fn document(&self) -> Table {
        let mut gateway = Table::empty(Place::Flag("--listen"));
        set(&mut gateway, "listen", "--listen", self.listen.as_deref());
        if self.client_ip.is_some() || !self.trusted_proxy.is_empty() {
            let mut client_ip = Table::empty(Place::Flag("--client-ip"));
            set(&mut client_ip, "from", "--client-ip", self.client_ip.as_deref());
            if !self.trusted_proxy.is_empty() {
                client_ip.set("trusted_proxies", list("--trusted-proxy", &self.trusted_proxy));
            }
            gateway.set("client_ip", table("--client-ip", client_ip));
        }

        let mut source = Table::empty(Place::Flag("serve"));
        // A source of a provider that stands in a file is called as that is; what cannot be is a fault of the provider.
        let file = self.provider.as_deref().filter(|name| provider::is_path(name));
        let slug = file.map(|path| provider::slug_of(path).unwrap_or_else(|_| "sidecar".to_owned()));
        let name = slug.as_deref().or(self.provider.as_deref()).unwrap_or("sidecar");
        set(&mut source, "name", "--provider", Some(name));
        set(&mut source, "provider", "--provider", self.provider.as_deref());
        set(&mut source, "path", "--path", Some(self.path.as_deref().unwrap_or("/")));
        set(&mut source, "upstream", "--upstream", self.upstream.as_deref());
        set(&mut source, "public_url", "--public-url", self.public_url.as_deref());
        if !self.param.is_empty() {
            let mut params = Table::empty(Place::Flag("--param"));
            for given in &self.param {
                // Without its value it is an empty one, which is a fault.
                let (name, value) = given.split_once('=').unwrap_or((given, ""));
                params.set(name, text("--param", value));
            }
            source.set("params", table("--param", params));
        }
        set(&mut source, "tolerance", "--tolerance", self.tolerance.as_deref());
        set(&mut source, "dedup_ttl", "--dedup-ttl", self.dedup_ttl.as_deref());
        let allow = match self.allow.as_slice() {
            [] => text("--allow", "any"),
            [word] if word == "any" || word == "provider" => text("--allow", word),
            addresses => list("--allow", addresses),
        };
        source.set("allow", allow);
        let by_env = self.secret_env.iter().map(|name| secret("env", "--secret-env", name));
        let by_file = self.secret_file.iter().map(|path| secret("file", "--secret-file", path));
        let secrets: Vec<Value> = by_env.chain(by_file).collect();
        if !secrets.is_empty() {
            source.set("secrets", Value { place: Place::Flag("--secret-env"), node: Node::List(secrets) });
        }

        if let Some(name) = &self.verify_token_env {
            source.set("verify_token", table("--verify-token-env", named("env", "--verify-token-env", name)));
        }
        if self.url_token_env.is_some() || self.url_token_file.is_some() {
            let mut url_token = Table::empty(Place::Flag("--url-token-env"));
            set(&mut url_token, "env", "--url-token-env", self.url_token_env.as_deref());
            set(&mut url_token, "file", "--url-token-file", self.url_token_file.as_deref());
            source.set("url_token", table("--url-token-env", url_token));
        }

        let mut document = Table::empty(Place::Flag("serve"));
        match self.dedup.as_deref() {
            Some("off") => source.set("dedup", text("--dedup", "off")),
            Some(store) => {
                let mut dedup = Table::empty(Place::Flag("--dedup"));
                dedup.set("store", text("--dedup", store));
                document.set("dedup", table("--dedup", dedup));
            }
            None => {}
        }
        let mut network = Table::empty(Place::Flag("--address-refresh"));
        set(&mut network, "refresh", "--address-refresh", self.address_refresh.as_deref());
        set(&mut network, "file", "--address-file", self.address_file.as_deref());
        document.set("network", table("--address-refresh", network));
        document.set("gateway", table("--listen", gateway));
        let sources = vec![table("--provider", source)];
        document.set("source", Value { place: Place::Flag("--provider"), node: Node::List(sources) });
        if let Some(listen) = &self.admin {
            let mut admin = Table::empty(Place::Flag("--admin"));
            admin.set("listen", text("--admin", listen));
            document.set("admin", table("--admin", admin));
        }
        document
    }
}

fn set(into: &mut Table, key: &str, flag: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        into.set(key, text(flag, value));
    }
}

fn text(flag: &'static str, value: &str) -> Value {
    Value { place: Place::Flag(flag), node: Node::Text(value.to_owned()) }
}

fn list(flag: &'static str, values: &[String]) -> Value {
    let items = values.iter().map(|value| text(flag, value)).collect();
    Value { place: Place::Flag(flag), node: Node::List(items) }
}

fn table(flag: &'static str, table: Table) -> Value {
    Value { place: Place::Flag(flag), node: Node::Table(table) }
}

fn named(key: &str, flag: &'static str, value: &str) -> Table {
    let mut named = Table::empty(Place::Flag(flag));
    named.set(key, text(flag, value));
    named
}

fn secret(key: &str, flag: &'static str, value: &str) -> Value {
    let (id, value) = value.split_once('=').map_or((None, value), |(id, value)| (Some(id), value));
    let mut named = named(key, flag, value);
    if let Some(id) = id {
        named.set("id", text(flag, id));
    }
    table(flag, named)
}
