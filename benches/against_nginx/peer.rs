//! Who is measured, and how each is set up.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Scenario;
use crate::everyone::Everyone;
use crate::process::{Process, free_port};
use crate::request::{PATH, SECRET};
use crate::tools::{Core, Tools};

/// Hookward as `cargo bench` built it.
pub const HOOKWARD: &str = env!("CARGO_BIN_EXE_hookward");

/// The environment variable with Hookward's secret.
const SECRET_VARIABLE: &str = "BENCH_SECRET";

/// A proxy in front of the upstream, with one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// nginx, passing everything on.
    Nginx,
    /// Hookward as it logs unless told otherwise, into a file.
    Hookward,
    /// Hookward with warnings only.
    HookwardQuiet,
    /// The same with a source for every other provider too.
    HookwardEveryone,
}

impl Peer {
    pub const ALL: [Self; 4] = [Self::Nginx, Self::Hookward, Self::HookwardQuiet, Self::HookwardEveryone];

    /// All of them, the other way round in every second round: what goes first finds the machine in another state.
    pub fn in_round(round: u32) -> [Self; 4] {
        let mut peers = Self::ALL;
        if round % 2 == 1 {
            peers.reverse();
        }
        peers
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Hookward => "hookward",
            Self::HookwardQuiet => "hookward-quiet",
            Self::HookwardEveryone => "hookward-everyone",
        }
    }

    /// What every request of `scenario` is answered.
    pub fn expected_status(self, scenario: Scenario) -> u16 {
        match (self, scenario) {
            (Self::Nginx, _) | (_, Scenario::OneKib | Scenario::SixtyFourKib) => 200,
            (_, Scenario::Reject) => 401,
        }
    }

    /// Writes its configuration into `folder`, and gives what runs it on the proxies' core.
    pub fn command(self, tools: &Tools, folder: &Path, port: u16, upstream: u16) -> std::io::Result<Command> {
        if self == Self::Nginx {
            let config = folder.join("nginx.conf");
            fs::write(&config, nginx_config(folder, port, upstream))?;
            let mut command = tools.pinned(Core::Proxy, &tools.nginx);
            command.arg("-p").arg(folder).arg("-e").arg(folder.join("nginx.err")).arg("-c").arg(config);
            return Ok(command);
        }
        let mut command = tools.pinned(Core::Proxy, Path::new(HOOKWARD));
        self.serve(&mut command, folder, port, upstream)?;
        Ok(command)
    }

    /// From starting Hookward to its first answer. It is not pinned: what pins would be part of the time.
    pub fn start_up_time(self, folder: &Path, upstream: u16) -> anyhow::Result<Duration> {
        let port = free_port()?;
        let mut command = Command::new(HOOKWARD);
        self.serve(&mut command, folder, port, upstream)?;
        let begin = Instant::now();
        let mut hookward = Process::spawn(command, &folder.join("proxy.log"))?;
        hookward.wait_for_answer(port)?;
        Ok(begin.elapsed())
    }

    /// Writes Hookward's configuration into `folder`, and has `command` serve it.
    fn serve(self, command: &mut Command, folder: &Path, port: u16, upstream: u16) -> std::io::Result<()> {
        let path = folder.join("hookward.toml");
        let mut config = hookward_config(port, upstream);
        if self != Self::Hookward {
            config.push_str("[log]\nlevel = \"warn\"\n");
        }
        if self == Self::HookwardEveryone {
            let everyone = Everyone::in_front_of(&format!("http://127.0.0.1:{upstream}"));
            config.push_str(&everyone.sources);
            command.envs(everyone.environment);
        }
        fs::write(&path, config)?;
        command.args(["serve", "-c"]).arg(path).env(SECRET_VARIABLE, SECRET);
        Ok(())
    }
}

fn hookward_config(port: u16, upstream: u16) -> String {
    format!(
        r#"
[gateway]
listen = "127.0.0.1:{port}"
workers = 1

[[source]]
name = "bench"
path = "{PATH}"
provider = "vantastatus"
secrets = [{{ env = "{SECRET_VARIABLE}" }}]
allow = ["10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24", "127.0.0.0/8"]
upstream = "http://127.0.0.1:{upstream}{PATH}"

"#
    )
}

/// One worker, connections kept on both sides, nothing logged, bodies in memory.
fn nginx_config(folder: &Path, port: u16, upstream: u16) -> String {
    let folder = folder.display();
    format!(
        r#"
worker_processes 1;
worker_rlimit_nofile 65536;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err error;
events {{ worker_connections 4096; use epoll; multi_accept on; }}
http {{
  access_log off;
  server_tokens off;
  keepalive_timeout 300s;
  keepalive_requests 100000000;
  client_body_buffer_size 128k;
  client_max_body_size 1m;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream up {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"#
    )
}
