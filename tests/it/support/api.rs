//! The sender's API, of a child process by the machine's clock.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;

use super::child::{Serving, file, hookward};
use super::client::{self, Reply, Request};

/// The token of its API, for everything.
pub const TOKEN: &str = "token-of-the-test-0123456789";

/// `hookward serve` with `[sender]` and a store of its own.
pub struct Api {
    pub serving: Serving,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Api {
    /// One with this `[egress]`; `settings` is more in `[sender]`.
    pub fn start(egress: &str, settings: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let store = folder.path().join("hookward.db");
        let text = format!(
            "[sender]\nlisten = \"127.0.0.1:0\"\ntokens = [{{ name = \"test\", env = \"TOKEN\", role = \"admin\" }}]\n{settings}\n[store]\nurl = \"sqlite:{}\"\n[egress]\n{egress}\n",
            store.display()
        );
        let config = file(&folder, "hookward.toml", &text);
        let config = config.to_str().expect("a plain path");
        let mut serving = Serving::start(hookward(&["serve", "-c", config]).env("TOKEN", TOKEN));
        let address = serving.address("sender");
        Self { serving, address, _folder: folder }
    }

    /// What its API answers.
    pub async fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let request = Request::post(path).method(method).header("authorization", &format!("Bearer {TOKEN}"));
        let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
        client::send(self.address, request.body(body.as_bytes())).await
    }

    /// The JSON of an answer that is a success.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let reply = self.send(method, path, body).await;
        assert!((200..300).contains(&reply.status), "{method} {path} {body:.200}: {} {}", reply.status, reply.text());
        serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", reply.text()))
    }
}
