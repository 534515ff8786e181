//! A PostgreSQL cluster of its own.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::{Home, free_port, is_root, program};

/// `postgres`, running until it is dropped.
pub struct Postgres {
    home: Home,
    port: u16,
    fsync: &'static str,
    databases: AtomicU32,
}

impl Postgres {
    /// One that has on disk what it says it has.
    pub fn start() -> Self {
        Self::with_fsync("on")
    }

    /// One that is faster, for tests that do not pull its plug.
    pub fn start_unsynced() -> Self {
        Self::with_fsync("off")
    }

    fn with_fsync(fsync: &'static str) -> Self {
        let home = Home::new("postgres");
        if is_root() {
            let owned = Command::new("chown").arg("postgres:").arg(home.folder()).status();
            assert!(owned.is_ok_and(|status| status.success()), "there is no user postgres");
        }
        let initdb = tool("initdb", &home)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(home.folder().join("data"))
            .output()
            .expect("initdb");
        assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
        for _ in 0..10 {
            let port = free_port();
            if start(&home, port, fsync) {
                return Self { home, port, fsync, databases: AtomicU32::new(0) };
            }
        }
        panic!("postgres does not start:\n{}", home.log());
    }

    /// The database that every cluster has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A new and empty database, and its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (client, connection) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.expect("a connection");
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        drop(client);
        connection.await.expect("no panic").expect("a clean end");
        self.url_of(&name)
    }

    /// Freezes the process that accepts connections. Those that are open go on.
    pub fn stop(&self) {
        self.home.signal("STOP");
    }

    /// Thaws it.
    pub fn cont(&self) {
        self.home.signal("CONT");
    }

    /// Breaks every connection off and starts again on the same port, as `pg_ctl restart -m immediate` does.
    pub fn restart(&self) {
        self.crash();
        self.start_again();
    }

    /// The first half of that.
    pub fn crash(&self) {
        self.home.end("QUIT");
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.home.end("KILL");
    }

    /// Starts it on the same port, after [`Postgres::kill`].
    pub fn start_again(&self) {
        // Its children need a moment to see that their parent is gone; until then it refuses to start.
        let started = (0..100).any(|_| start(&self.home, self.port, self.fsync));
        assert!(started, "postgres does not start again:\n{}", self.home.log());
    }
}

fn start(home: &Home, port: u16, fsync: &str) -> bool {
    let mut command = tool("postgres", home);
    command.arg("-D").arg(home.folder().join("data")).args(["-p", &port.to_string()]);
    let sockets = format!("unix_socket_directories={}", home.folder().display());
    for setting in ["listen_addresses=127.0.0.1", &sockets, &format!("fsync={fsync}")] {
        command.args(["-c", setting]);
    }
    let port = port.to_string();
    home.start(&mut command, || {
        let mut asked = tool("pg_isready", home);
        asked.args(["-q", "-h", "127.0.0.1", "-p", &port]).status().is_ok_and(|status| status.success())
    })
}

/// One of PostgreSQL's programs, run as the user `postgres` where we are root, whom it refuses.
fn tool(name: &str, home: &Home) -> Command {
    let program = program(name, &["postgresql-15", "postgresql"]);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(home.folder());
    command
}
