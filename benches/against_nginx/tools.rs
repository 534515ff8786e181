//! The programs that processes are started with, and the cores that they are kept on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The programs that everything is run with.
pub struct Tools {
    pub nginx: PathBuf,
    setpriv: PathBuf,
    taskset: PathBuf,
}

/// Which core a process is kept on.
#[derive(Debug, Clone, Copy)]
pub enum Core {
    LoadAndUpstream = 0,
    Proxy = 1,
}

impl Tools {
    /// # Errors
    /// What is missing, and how to get it.
    pub fn find() -> anyhow::Result<Self> {
        Ok(Self {
            nginx: find("nginx", "nginx")?,
            setpriv: find("setpriv", "util-linux")?,
            taskset: find("taskset", "util-linux")?,
        })
    }

    /// `program`, kept on one core, and told to end should this process be gone before it.
    pub fn pinned(&self, core: Core, program: &Path) -> Command {
        let mut command = Command::new(&self.setpriv);
        command.args(["--pdeathsig", "TERM"]).arg(&self.taskset).args(["-c", &(core as u8).to_string()]).arg(program);
        command
    }
}

fn find(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps nginx where only root's PATH leads.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.with_context(|| format!("{program} is not installed: apt-get install {package}"))
}
