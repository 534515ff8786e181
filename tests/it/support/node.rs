//! A sender as a child process, which is killed and runs again.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::SECRET;
use super::child::{Serving, file, hookward};
use super::client::{self, Request};
use super::crowd::wait_until;
use super::site::own_ip;
use super::telling::{ADMIN, LOOPBACK, Said};

/// A configuration file, and an address that nobody else takes while the program is away.
pub struct Node {
    folder: TempDir,
    pub address: SocketAddr,
    config: PathBuf,
}

impl Node {
    /// One that keeps its events in `store`, in which `FOLDER` stands for its own.
    pub fn new(store: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = SocketAddr::from((own_ip(), 8081));
        let store = store.replace("FOLDER", folder.path().to_str().expect("a plain path"));
        let text = format!(
            "[sender]\nlisten = \"{address}\"\ntokens = [{{ name = \"app\", env = \"ADMIN\", role = \"admin\" }}]\nkeys = [{{ env = \"KEY\" }}]\n[store]\nurl = \"{store}\"\n{LOOPBACK}[log]\nlevel = \"error\"\n"
        );
        let config = file(&folder, "hookward.toml", &text);
        Self { folder, address, config }
    }

    /// The store's URL, as others may open it once this one is away.
    pub fn store(&self, url: &str) -> String {
        url.replace("FOLDER", self.folder.path().to_str().expect("a plain path"))
    }

    /// Starts the program; it need not listen yet.
    pub fn start(&self) -> Serving {
        let mut command = hookward(&["serve", "-c", self.config.to_str().expect("a plain path")]);
        let key = "a-key-of-at-least-32-random-bytes-0123456789";
        Serving::start(command.env("ADMIN", ADMIN).env("SECRET", SECRET).env("KEY", key))
    }

    /// Starts the program and waits until it answers.
    pub async fn start_and_wait(&self) -> Serving {
        let serving = self.start();
        self.listens().await;
        serving
    }

    /// Waits until it answers. From then on a signal ends it in order.
    pub async fn listens(&self) {
        wait_until("the sender to listen", || std::net::TcpStream::connect(self.address).is_ok()).await;
    }

    /// Asks its API, which must answer.
    pub async fn post(&self, path: &str, body: &Value) -> Said {
        post(self.address, path, None, body).await.expect("an answer")
    }

    /// Registers a webhook that is good, and returns its id.
    pub async fn register(&self, body: &Value) -> String {
        let said = self.post("/webhooks", body).await;
        assert_eq!(said.status, 201, "{said:?}");
        said.json["webhook"]["id"].as_str().expect("an id").to_owned()
    }
}

/// Asks a sender's API, with an `Idempotency-Key` or without one. `None` if there is no answer, or only a part of one.
pub async fn post(address: SocketAddr, path: &str, key: Option<&str>, body: &Value) -> Option<Said> {
    let mut request = Request::post(path)
        .header("authorization", &format!("Bearer {ADMIN}"))
        .header("content-type", "application/json")
        .body(body.to_string().as_bytes());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let reply = client::try_send(address, request).await?;
    let length: usize = reply.header("content-length")?.parse().ok()?;
    (reply.body.len() == length).then(|| Said::of(reply))
}
