//! Hookward as a child process, with sources that store their events.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cost::Mark;
use crate::event::{SECRET, path, source_name};
use crate::process::{Process, free_port};
use crate::usage;

/// Hookward as `cargo bench` built it.
const HOOKWARD: &str = env!("CARGO_BIN_EXE_hookward");

/// The environment variable with its secret.
const SECRET_VARIABLE: &str = "BENCH_SECRET";

/// A gateway with one source for each upstream. It ends with this value.
pub struct Gateway {
    process: Process,
    pub port: u16,
    /// The PostgreSQL that it uses.
    server: Option<u32>,
}

impl Gateway {
    /// Starts one on the store at `url`, which is in the process `server` if it is not in a file.
    pub fn start(folder: &Path, url: &str, server: Option<u32>, upstreams: &[String]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = folder.join("hookward.toml");
        fs::write(&config, self::config(port, url, upstreams))?;
        // What it is started by tells it to end should this process be gone before it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", HOOKWARD, "serve", "-c"]).arg(config).env(SECRET_VARIABLE, SECRET);
        let mut process = Process::spawn(command, &folder.join("hookward.log"))?;
        process.wait_for_answer(port)?;
        Ok(Self { process, port, server })
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

/// As an operator would leave it, but for the retries: who is down does not come back here.
fn config(port: u16, url: &str, upstreams: &[String]) -> String {
    let mut text =
        format!("[gateway]\nlisten = \"127.0.0.1:{port}\"\ndrain_timeout = \"1s\"\n\n[store]\nurl = \"{url}\"\n");
    for (source, upstream) in upstreams.iter().enumerate() {
        let (name, path) = (source_name(source), path(source));
        // A String takes every character.
        let _ = write!(
            text,
            r#"
[[source]]
name = "{name}"
path = "{path}"
provider = "standard-webhooks"
secrets = [{{ env = "{SECRET_VARIABLE}" }}]
allow = "any"
mode = "store"
upstream = "{upstream}"
"#
        );
    }
    text
}
