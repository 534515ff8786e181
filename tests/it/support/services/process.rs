//! A server process with a folder, and the end of both, whatever becomes of the tests.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No server takes longer to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder and the server in it.
///
/// A shell watches over both: it reads from a pipe that only this process holds, and when that closes it kills the
/// server and removes the folder. So nothing is left behind, also when the tests panic or are killed themselves.
pub struct Home {
    folder: PathBuf,
    watch: Child,
    server: Mutex<Option<Child>>,
}

impl Home {
    /// A new folder. It stands in `/tmp`, where another user may reach it and the path of a socket is short enough.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("hookward-{name}-")).tempdir_in("/tmp");
        let folder = folder.expect("a writable /tmp").keep();
        let end = "cat >/dev/null; test -f pid && kill -KILL \"$(cat pid)\"; cd /; rm -rf \"$0\" || { sleep 1; rm -rf \"$0\"; }";
        let watch = Command::new("sh")
            .args(["-c", end])
            .arg(&folder)
            .current_dir(&folder)
            // Ctrl-C ends the tests first, and then the watch sees it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { folder, watch, server: Mutex::default() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts the server and waits until it is `ready`. False if it ends before that.
    pub fn start(&self, command: &mut Command, ready: impl Fn() -> bool) -> bool {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("a writable folder");
        let errors = log.try_clone().expect("a file");
        let mut child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("the server's program");
        fs::write(self.pid_file(), child.id().to_string()).expect("a writable folder");
        let begun = Instant::now();
        while !ready() {
            if child.try_wait().expect("our child").is_some() {
                let _ = fs::remove_file(self.pid_file());
                return false;
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("a server does not become ready:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        *self.server() = Some(child);
        true
    }

    /// Sends the server a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.server().as_ref().expect("a server that runs").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// Sends it a signal that ends it, and waits for that.
    pub fn end(&self, signal: &str) {
        self.signal(signal);
        let mut child = self.server().take().expect("a server that runs");
        child.wait().expect("our child");
        let _ = fs::remove_file(self.pid_file());
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        if let Some(mut child) = self.server().take() {
            let _ = child.wait();
        }
        let _ = self.watch.wait();
    }
}

/// A port that nobody listens on now. Somebody else may take it before its server does: then try another.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// True for the user who may install packages, and as whom PostgreSQL does not run.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// A server's program. Where it is missing and we may, the first of `packages` that the system knows is installed.
pub fn program(name: &str, packages: &[&str]) -> PathBuf {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    find(name).or_else(|| install(packages).then(|| find(name))?).unwrap_or_else(|| {
        panic!("these tests need `{name}`: install one of the packages {packages:?}");
    })
}

fn find(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn install(packages: &[&str]) -> bool {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let any = || packages.iter().any(|package| apt(&["install", "-y", "--no-install-recommends", package]));
    is_root() && (any() || (apt(&["update"]) && any()))
}
