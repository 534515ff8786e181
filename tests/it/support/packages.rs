//! What tests bring from npm and PyPI: pinned in `tests/sdk`, installed once for each lock, and kept under `target`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs, io};

use xxhash_rust::xxh3::xxh3_64;

/// Where the locks are.
pub const LOCKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk");

/// `node` with the receiver for npm's libraries. `None` where there is no npm.
pub fn node() -> Option<Command> {
    node_in("", "receiver.mjs")
}

/// `node` with a program of a folder in [`LOCKS`], for the packages of the lock beside it. `None` where there is no npm.
pub fn node_in(folder: &str, program: &str) -> Option<Command> {
    let version = version_of("node", &["--version"])?;
    version_of("npm", &["--version"])?;
    // A module's imports are looked for beside it, so it goes with them.
    let files = ["package.json", "package-lock.json", program].map(|name| Path::new(LOCKS).join(folder).join(name));
    let folder = install("npm", &version, &files, |folder| {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        npm
    })?;
    let mut node = Command::new("node");
    node.arg(folder.join(program));
    Some(node)
}

/// `python3` that finds the packages of a file in [`LOCKS`]. `None` where there is no pip.
pub fn python(requirements: &str) -> Option<Command> {
    let version = version_of("python3", &["-c", "import sys; print(sys.version)"])?;
    version_of("python3", &["-m", "pip", "--version"])?;
    let requirements = Path::new(LOCKS).join(requirements);
    let folder = install("pypi", &version, &[requirements], |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        // Nothing is built, so nobody's setup runs here. The files name all that is needed, and not what some packages
        // ask for and no test does.
        pip.args(["--root-user-action=ignore", "--only-binary", ":all:", "--no-deps", "--no-compile"]);
        pip.arg("--target").arg(folder);
        pip.arg("-r").arg(folder.join("requirements.txt"));
        pip
    })?;
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", folder);
    Some(python)
}

/// Says what is left out, also where `cargo test` shows nothing of tests that pass.
fn skip(what: &str) {
    // Nobody to tell it to is no reason to fail.
    let _ = writeln!(io::stderr(), "SKIPPED: {what}");
}

fn version_of(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => {
            skip(&format!("`{program} {}` does not run, so nothing is asked of its packages", arguments.join(" ")));
            None
        }
    }
}

/// The folder in which `command` has installed what `files` ask for, which stand in it too. Where it cannot, that is a
/// failure on CI, and elsewhere perhaps a want of a network.
fn install(kind: &str, version: &str, files: &[PathBuf], command: impl FnOnce(&Path) -> Command) -> Option<PathBuf> {
    /// One at a time, so that nothing is fetched twice.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock().unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut asked = version.as_bytes().to_vec();
    for file in files {
        asked.extend(fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    let folder = home.join(format!("{kind}-{:016x}", xxh3_64(&asked)));
    if folder.exists() {
        return Some(folder);
    }
    let draft = tempfile::Builder::new().prefix(kind).tempdir_in(home).expect("a folder under target");
    for file in files {
        let name = file.file_name().unwrap_or(OsStr::new("lock"));
        fs::copy(file, draft.path().join(name)).expect("a folder of ours");
    }
    let output = command(draft.path()).output().expect("a program that has just run");
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(env::var_os("CI").is_none(), "{kind}: {said}");
        skip(&format!("the packages of {kind} cannot be installed: {said}"));
        return None;
    }
    // Another process may have been quicker, and has the same.
    let moved = fs::rename(draft.path(), &folder);
    assert!(folder.exists(), "{moved:?}");
    Some(folder)
}
