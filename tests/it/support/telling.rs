//! The program as a sender, with its API at hand and a clock that the test holds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hookward::app::{App, Plan, StartError};
use hookward::clock::Clock;
use hookward::config::Config;
use hookward::config::environment::Environment;
use hookward::egress::Resolver;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{self, PATIENCE, Reply, Request};
use super::{NOW, SECRET};

/// The token that may do everything, in the account `default`.
pub const ADMIN: &str = "admin-token-0123456789";

/// One that may act for any account.
pub const ANY_ACCOUNT: &str = "any-account-token-0123456789";

/// Loopback may be delivered to, also without TLS.
pub const LOOPBACK: &str = "[egress]\nallow = [\"127.0.0.0/8\"]\nplain_http = true\n";

/// A sender in this process.
pub struct Teller {
    pub app: App,
    clock: Arc<AtomicI64>,
    folder: TempDir,
}

/// An answer of the API.
#[derive(Clone)]
pub struct Said {
    pub status: u16,
    pub json: Value,
    pub reply: Reply,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.reply.text())
    }
}

impl Teller {
    /// One that may deliver to loopback and keeps its events in a file; `rest` is added to `[sender]`.
    pub async fn start(rest: &str) -> Self {
        Self::with(rest, LOOPBACK, Resolver::System).await
    }

    /// The same with its own tables beside `[sender]` and `[store]`, and its own names.
    pub async fn with(rest: &str, tables: &str, resolver: Resolver) -> Self {
        Self::start_in(TempDir::new().expect("a folder"), rest, tables, resolver)
    }

    /// The same on a file that may be there already.
    pub fn start_in(folder: TempDir, rest: &str, tables: &str, resolver: Resolver) -> Self {
        let url = format!("sqlite:{}", folder.path().join("hookward.db").display());
        Self::on(&url, folder, rest, tables, resolver)
    }

    /// The same on any store. A server's needs `keys` in `rest`.
    pub fn on(store: &str, folder: TempDir, rest: &str, tables: &str, resolver: Resolver) -> Self {
        let text = Self::text(store, rest, tables);
        Self::begin(&text, folder, NOW, resolver).expect("it starts")
    }

    /// Starts again on the same file at the same time, with something else in `[sender]`.
    ///
    /// # Errors
    /// Why it does not start. The folder is gone then.
    pub async fn restart(self, rest: &str) -> Result<Self, StartError> {
        let now = self.now();
        let folder = self.stop().await;
        let url = format!("sqlite:{}", folder.path().join("hookward.db").display());
        Self::begin(&Self::text(&url, rest, LOOPBACK), folder, now, Resolver::System)
    }

    fn text(store: &str, rest: &str, tables: &str) -> String {
        format!(
            "[sender]\nlisten = \"127.0.0.1:0\"\nmax_webhooks = 10000\ntokens = [\n{}\n]\n{rest}\n[store]\nurl = \"{store}\"\n{tables}\n",
            [
                "{ name = \"admin\", env = \"ADMIN\", role = \"admin\" }",
                "{ name = \"manage\", env = \"MANAGE\", role = \"manage\" }",
                "{ name = \"publish\", env = \"PUBLISH\", role = \"publish\" }",
                "{ name = \"read\", env = \"READ\", role = \"read\" }",
                "{ name = \"any\", env = \"ANY\", role = \"admin\", account = \"*\" }",
            ]
            .join(",\n")
        )
    }

    fn begin(text: &str, folder: TempDir, now: i64, resolver: Resolver) -> Result<Self, StartError> {
        hookward::egress::install_crypto();
        let environment = Environment::from([
            ("ADMIN", ADMIN),
            ("MANAGE", "manage-token-0123456789"),
            ("PUBLISH", "publish-token-0123456789"),
            ("READ", "read-token-0123456789"),
            ("ANY", ANY_ACCOUNT),
            ("SECRET", SECRET),
            ("KEY", "a-key-of-at-least-32-random-bytes-0123456789"),
            ("OTHER_KEY", "another-key-of-at-least-32-random-bytes-0123"),
        ]);
        let (clock, begun) = (Arc::new(AtomicI64::new(now)), Instant::now());
        loop {
            let config = match Config::parse("test.toml", text, &environment) {
                Ok(config) => config,
                Err(faults) => panic!("{text}\n{faults:#?}"),
            };
            let plan = Plan { resolver: resolver.clone(), ..Plan::from(config) };
            match App::start(plan, Clock::Manual(Arc::clone(&clock))) {
                // Whoever had the file before lets go of it in the background.
                Err(StartError::File(_)) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                started => return started.map(|app| Self { app, clock, folder }),
            }
        }
    }

    /// Where its API is.
    pub fn address(&self) -> SocketAddr {
        self.app.sender().expect("a sender")
    }

    /// Where its file is, if it has one.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Moves its clock on. Where an order is looked at there must be a second between: ids are made in order by one
    /// process with one clock, and tests are many.
    pub fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Ends it, and lets what has begun come to its end. Its folder stays.
    pub async fn stop(mut self) -> TempDir {
        assert!(self.app.drain(PATIENCE).await, "it did not come to rest");
        self.folder
    }

    /// Asks with a token, and with more headers.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Said {
        let mut request = Request::post(path).method(method).header("authorization", &format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string().as_bytes());
        }
        Said::of(client::send(self.address(), request).await)
    }

    /// Sends a request as it is, but for the token.
    pub async fn send(&self, request: Request) -> Said {
        let request = request.header("authorization", &format!("Bearer {ADMIN}"));
        Said::of(client::send(self.address(), request).await)
    }

    /// The same without a token.
    pub async fn send_plain(&self, request: Request) -> Said {
        Said::of(client::send(self.address(), request).await)
    }

    pub async fn get(&self, path: &str) -> Said {
        self.ask("GET", path, ADMIN, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Said {
        self.ask("POST", path, ADMIN, &[], Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Said {
        self.ask("PUT", path, ADMIN, &[], Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Said {
        self.ask("PATCH", path, ADMIN, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Said {
        self.ask("DELETE", path, ADMIN, &[], None).await
    }

    /// Registers a webhook that is good; as it is answered, with its secret.
    pub async fn register(&self, url: &str, rest: Value) -> Value {
        let mut input = json!({ "url": url });
        for (key, value) in rest.as_object().expect("an object") {
            input[key] = value.clone();
        }
        let said = self.post("/webhooks", &input).await;
        assert_eq!(said.status, 201, "{said:?}");
        said.json["webhook"].clone()
    }

    /// Publishes an event that is good; as it is answered.
    pub async fn publish(&self, kind: &str, data: Value) -> Value {
        let said = self.post("/events", &json!({ "type": kind, "data": data })).await;
        assert_eq!(said.status, 202, "{said:?}");
        said.json["event"].clone()
    }

    /// The deliveries of a webhook, the latest first, once `done` says so of them.
    pub async fn deliveries(&self, webhook: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let said = self.get(&format!("/webhooks/{webhook}/deliveries?limit=250")).await;
            let all = said.json["deliveries"].as_array().cloned().unwrap_or_else(|| panic!("{said:?}"));
            if done(&all) {
                return all;
            }
            assert!(begun.elapsed() < PATIENCE, "{all:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The same once so many of them are `status`.
    pub async fn reach(&self, webhook: &str, status: &str, wanted: usize) -> Vec<Value> {
        self.deliveries(webhook, |all| all.iter().filter(|delivery| delivery["status"] == status).count() == wanted)
            .await
    }

    /// The number that a line of `/metrics` begins with, after its labels.
    pub fn metric(&self, line: &str) -> f64 {
        let gateway = self.app.gateway();
        let text = gateway.metrics.render(gateway.dedup.stats()).expect("text");
        let found = text.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }
}

impl Said {
    pub fn of(reply: Reply) -> Self {
        let json = serde_json::from_slice(&reply.body).unwrap_or_default();
        Self { status: reply.status, json, reply }
    }

    /// The code of a refusal.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// The first field that a refusal names.
    pub fn pointer(&self) -> &str {
        self.json["errors"][0]["pointer"].as_str().unwrap_or("none")
    }

    /// Checks that it is a refusal, with all that belongs to one (RFC 9457).
    pub fn refuses(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        assert_eq!(self.reply.header("content-type"), Some("application/problem+json"));
        let problem = &self.json;
        assert_eq!((&problem["type"], &problem["success"]), (&json!("about:blank"), &json!(false)));
        assert_eq!(problem["status"], status);
        for text in ["title", "detail"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        self
    }

    /// Checks that it is an answer.
    pub fn answers(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.reply.header("content-type"), Some("application/json"));
        self
    }
}
