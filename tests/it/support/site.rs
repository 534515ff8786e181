//! A place where the program runs as a child process, is ended, and runs again.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::child::{Serving, file};
use super::client::{self, Request};

/// A configuration file, and addresses that nobody else takes while the program is away.
pub struct Site {
    folder: TempDir,
    pub address: SocketAddr,
    admin: SocketAddr,
    config: PathBuf,
}

impl Site {
    /// One source called `source` at `/in`, for `vpn-enterprise`. `source` is added to its table, and must say where it
    /// goes; `rest` is more tables, in which `FOLDER` stands for the site's own.
    pub fn new(source: &str, rest: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ip = own_ip();
        let (address, admin) = (SocketAddr::from((ip, 8080)), SocketAddr::from((ip, 9090)));
        let rest = rest.replace("FOLDER", folder.path().to_str().expect("a plain path"));
        let text = format!(
            "[gateway]\nlisten = \"{address}\"\nworkers = 2\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"vpn-enterprise\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\n{source}\n{rest}\n[admin]\nlisten = \"{admin}\"\n[log]\nlevel = \"warn\"\n"
        );
        let config = file(&folder, "hookward.toml", &text);
        Self { folder, address, admin, config }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Writes the configuration anew, with `new` in place of `old`.
    pub fn edit(&self, old: &str, new: &str) {
        let text = fs::read_to_string(&self.config).expect("our file");
        assert!(text.contains(old), "{text}");
        fs::write(&self.config, text.replace(old, new)).expect("our folder");
    }

    /// Starts the program; it need not listen yet.
    pub fn start(&self) -> Serving {
        Serving::with_file(&self.config)
    }

    /// Starts the program and waits until it answers.
    pub async fn start_and_wait(&self) -> Serving {
        let serving = self.start();
        self.wait_until_it_listens().await;
        serving
    }

    pub async fn wait_until_it_listens(&self) {
        super::crowd::wait_until("the program to listen", || std::net::TcpStream::connect(self.admin).is_ok()).await;
    }

    /// The number that a line of `/metrics` begins with, after its labels; 0 if there is none.
    pub async fn metric(&self, line: &str) -> f64 {
        let text = client::send(self.admin, Request::post("/metrics").method("GET")).await.text();
        text.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0.0)
    }
}

/// An address of this machine that nobody else uses: all of 127.0.0.0/8 is there, and others take its first.
pub fn own_ip() -> Ipv4Addr {
    Ipv4Addr::new(127, fastrand::u8(1..), fastrand::u8(..), fastrand::u8(1..255))
}
