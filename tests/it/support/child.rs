//! The program as a child process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

/// Nothing that a test waits for takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// `hookward` with these arguments, without the environment of whoever runs the tests.
pub fn hookward(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// A file in a folder that is gone after the test.
pub fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a writable folder");
    path
}

/// `hookward serve`, running.
pub struct Serving {
    child: Child,
    lines: Receiver<String>,
    /// Everything that it logged so far and the test has looked at.
    pub log: Vec<String>,
}

impl Serving {
    /// Starts it with a configuration file.
    pub fn with_file(path: &Path) -> Self {
        Self::start(hookward(&["serve", "-c", path.to_str().expect("a plain path")]).env("SECRET", super::SECRET))
    }

    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program");
        let stdout = child.stdout.take().expect("a pipe");
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, log: Vec::new() }
    }

    /// Waits for a log line that has all of `parts`, and returns it.
    pub fn wait_for(&mut self, parts: &[&str]) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {parts:?} in {:#?}", self.log));
            self.log.push(line.clone());
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// The address that a listener said it has.
    pub fn address(&mut self, listener: &str) -> SocketAddr {
        let line = self.wait_for(&["Listening", &format!("\"listener\":\"{listener}\"")]);
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
        line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Kills it, which must not have ended before.
    pub fn kill(mut self) {
        if let Some(status) = self.child.try_wait().expect("our child") {
            self.log.extend(self.lines.iter());
            panic!("it ended by itself, {status}: {:#?}", self.log);
        }
        // The rest is what `drop` does.
    }

    /// Waits for its end.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().expect("its end");
        let mut log = std::mem::take(&mut self.log);
        log.extend(self.lines.iter());
        (status, log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
