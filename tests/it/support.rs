//! What every test stands on.

pub mod api;
pub mod child;
pub mod client;
pub mod crowd;
pub mod everyone;
pub mod ledger;
pub mod node;
pub mod packages;
pub mod publishers;
pub mod sender;
pub mod services;
pub mod site;
pub mod stored;
pub mod telling;
pub mod tls_site;
pub mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hookward::app::{App, Plan};
use hookward::clock::{Clock, UnixTime};
use hookward::config::Config;
use hookward::config::environment::Environment;
use hookward::egress::Resolver;
use hookward::signature::Message;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use http::{HeaderMap, HeaderValue};

pub use client::{Reply, Request};
pub use upstream::Upstream;

/// The secret of every source, unless a test says otherwise.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// When tests take place.
pub const NOW: i64 = 1_760_000_000;

/// The program in this process, with one source, an upstream of its own and a clock that the test holds.
pub struct Gateway {
    pub app: App,
    pub upstream: Upstream,
    clock: Arc<AtomicI64>,
}

impl Gateway {
    /// One source called `source` at `/in` for `provider`; `rest` is added to its table.
    pub async fn start(provider: &str, rest: &str) -> Self {
        Self::with_settings(provider, "", rest).await
    }

    /// The same with more in `[gateway]`.
    pub async fn with_settings(provider: &str, settings: &str, rest: &str) -> Self {
        let upstream = Upstream::start().await;
        let allow = if rest.contains("allow =") { "" } else { "allow = \"any\"\n" };
        let secrets = if rest.contains("secrets =") || rest.contains("signature = \"none\"") {
            ""
        } else {
            "secrets = [{ env = \"SECRET\" }]\n"
        };
        let target = if rest.contains("upstream =") {
            String::new()
        } else {
            format!("upstream = \"{}/app\"\n", upstream.url())
        };
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n{settings}\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"{provider}\"\n{target}{secrets}{allow}{rest}\n"
        );
        Self::from_text(&text, upstream)
    }

    /// A whole configuration.
    pub fn from_text(text: &str, upstream: Upstream) -> Self {
        Self::with_resolver(text, upstream, Resolver::System)
    }

    /// The same where names mean what a test says.
    pub fn with_resolver(text: &str, upstream: Upstream, resolver: Resolver) -> Self {
        hookward::egress::install_crypto();
        let environment = Environment::from([("SECRET", SECRET), ("OTHER", "another-secret-0123456789")]);
        let config = match Config::parse("test.toml", text, &environment) {
            Ok(config) => config,
            Err(faults) => panic!("{text}\n{faults:#?}"),
        };
        let clock = Arc::new(AtomicI64::new(NOW));
        let plan = Plan { resolver, ..Plan::from(config) };
        let app = App::start(plan, Clock::Manual(Arc::clone(&clock))).expect("a free port");
        Self { app, upstream, clock }
    }

    pub fn address(&self) -> SocketAddr {
        self.app.address().expect("a gateway")
    }

    /// Sets the gateway's clock.
    pub fn set_now(&self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    /// Sends a request and returns its answer.
    pub async fn send(&self, request: Request) -> Reply {
        client::send(self.address(), request).await
    }

    /// The number that a line of `/metrics` begins with, after its labels.
    pub fn metric(&self, line: &str) -> f64 {
        let gateway = self.app.gateway();
        gateway.measure();
        let text = gateway.metrics.render(gateway.dedup.stats()).expect("text");
        let found = text.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }
}

/// A message of `provider` to `/in`, signed under [`SECRET`] at `timestamp`.
pub fn signed(provider: &str, id: &str, body: &str, timestamp: i64) -> Request {
    signed_with(SECRET, provider, id, body, timestamp)
}

/// The same under another secret.
pub fn signed_with(secret: &str, provider: &str, id: &str, body: &str, timestamp: i64) -> Request {
    let scheme = &Preset::find(provider).expect("a preset").profile.scheme;
    let (timestamp, headers) = (UnixTime(timestamp), HeaderMap::new());
    let message = Message { id, timestamp, method: "POST", url: "", headers: &headers, body: body.as_bytes() };
    let signed = scheme.sign(message, &[Secret::new(secret.into())], &Params::default()).expect("a usable secret");
    let request = Request::post("/in").body(&signed.body);
    let text = |value: &HeaderValue| value.to_str().expect("visible ASCII").to_owned();
    signed.headers.iter().fold(request, |request, (name, value)| request.header(name.as_str(), &text(value)))
}
