//! A Redis that keeps nothing on disk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::process::{Home, free_port, program};

/// `redis-server`, running until it is dropped.
pub struct Redis {
    home: Home,
    port: u16,
}

impl Redis {
    pub fn start() -> Self {
        let home = Home::new("redis");
        for _ in 0..10 {
            let port = free_port();
            if start(&home, port) {
                return Self { home, port };
            }
        }
        panic!("redis-server does not start:\n{}", home.log());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn stop(&self) {
        self.home.signal("STOP");
    }

    /// Thaws it.
    pub fn cont(&self) {
        self.home.signal("CONT");
    }

    /// Ends it at once: what it remembered is gone.
    pub fn kill(&self) {
        self.home.end("KILL");
    }

    /// Starts it again on the same port, after [`Redis::kill`].
    pub fn restart(&self) {
        assert!(start(&self.home, self.port), "redis-server does not start again:\n{}", self.home.log());
    }

    /// Makes it forget everything.
    pub fn flush(&self) {
        assert_eq!(ask(self.port, "FLUSHALL").as_deref(), Some("+OK\r\n"));
    }

    /// Sends it one command, and returns the beginning of its answer as it travels.
    pub fn ask(&self, command: &str) -> String {
        ask(self.port, command).expect("an answer")
    }
}

fn start(home: &Home, port: u16) -> bool {
    let mut command = Command::new(program("redis-server", &["redis-server"]));
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string(), "--dir"]);
    command.arg(home.folder());
    home.start(&mut command, || ask(port, "PING").as_deref() == Some("+PONG\r\n"))
}

fn ask(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}
