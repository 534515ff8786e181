//! The processes that are started here, and how they are brought to an end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A process that does not answer within this has not started.
const START: Duration = Duration::from_secs(10);

/// A process that has not ended within this is killed.
const END: Duration = Duration::from_secs(5);

/// A port of the loopback address that nobody listens on now.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A process that ends with this value, and what it has started with it.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. What it prints goes to the file `log`, in place of what is there.
    pub fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something answers HTTP on `port`.
    ///
    /// # Errors
    /// If the process ends before, with what it printed, or if it takes too long.
    pub fn wait_for_answer(&mut self, port: u16) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        while !answers(port) {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at its start, {status}: {}", fs::read_to_string(&self.log)?.trim());
            }
            if Instant::now() > deadline {
                bail!("no answer on port {port} within {START:?}: {}", fs::read_to_string(&self.log)?.trim());
            }
            sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Asks it to end, and waits for that. nginx must be asked: its worker outlives a master that is killed.
    fn end(&mut self) -> io::Result<()> {
        // The shell has `kill` built in, where an image may be without the program.
        Command::new("sh").args(["-c", "kill \"$0\"", &self.id().to_string()]).status()?;
        let deadline = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        if let Err(error) = self.end() {
            eprintln!("error: process {} may still run: {error}", self.id());
        }
    }
}

/// True if a request on `port` is answered.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}
