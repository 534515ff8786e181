//! Hookward as a child process that tells events, and as much of its API as registers endpoints.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cost::Mark;
use crate::process::{Process, free_port};
use crate::usage;

/// Hookward as `cargo bench` built it.
const HOOKWARD: &str = env!("CARGO_BIN_EXE_hookward");

/// What every request is allowed by.
pub const TOKEN: &str = "bench-token-0123456789";

/// What its endpoints' secrets are sealed with.
const KEY: &str = "a-key-of-at-least-32-random-bytes-0123456789";

/// The least severe lines that it logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As an operator would leave it: one for each delivery.
    Info,
    Warn,
}

/// A sender. It ends with this value.
pub struct Program {
    process: Process,
    pub port: u16,
    /// The PostgreSQL that it uses.
    server: Option<u32>,
}

impl Program {
    /// Starts one on the store at `url`, which is in the process `server` if it is not in a file.
    pub fn start(folder: &Path, url: &str, server: Option<u32>, level: Level) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = folder.join("hookward.toml");
        fs::write(&config, self::config(port, url, level))?;
        // What it is started by tells it to end should this process be gone before it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", HOOKWARD, "serve", "-c"]).arg(config);
        command.env("BENCH_TOKEN", TOKEN).env("BENCH_KEY", KEY);
        let mut process = Process::spawn(command, &folder.join("hookward.log"))?;
        process.wait_for_answer(port)?;
        Ok(Self { process, port, server })
    }

    /// Registers an endpoint for events of this type, or of all. Its id.
    pub async fn register(&self, url: &str, kind: Option<String>) -> anyhow::Result<String> {
        let mut input = json!({ "url": url });
        if let Some(kind) = kind {
            input["events"] = json!([kind]);
        }
        let body = input.to_string();
        let request = format!(
            "POST /webhooks HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1.1 201"), "an endpoint was not taken: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer has no body")?;
        let body: Value = serde_json::from_str(body)?;
        Ok(body["webhook"]["id"].as_str().context("an endpoint has no id")?.to_owned())
    }

    pub fn mark(&self) -> Mark {
        Mark::of(self.process.id(), self.server)
    }

    /// The memory that is resident now, in bytes.
    pub fn rss(&self) -> u64 {
        usage::rss(self.process.id())
    }

    /// The most memory that ever was resident, in bytes.
    pub fn peak_rss(&self) -> u64 {
        usage::peak_rss(self.process.id())
    }
}

/// As an operator would leave it, but for who may be reached, and how many there may be.
fn config(port: u16, url: &str, level: Level) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
    };
    format!(
        r#"
[sender]
listen = "127.0.0.1:{port}"
max_webhooks = 10000
tokens = [{{ name = "bench", env = "BENCH_TOKEN", role = "admin" }}]
keys = [{{ env = "BENCH_KEY" }}]

[store]
url = "{url}"

[egress]
allow = ["127.0.0.0/8"]
plain_http = true

[log]
level = "{level}"
"#
    )
}
