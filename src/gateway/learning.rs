//! A secret that the provider brings in its first request: kept in a file, once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;
use tracing::info;

use super::source::{Proof, Source};
use crate::signature::Verifier;
use crate::signature::secret::Secret;

/// Where a secret is kept that was not there when the configuration was read, and what verifies by it once it is.
#[derive(Debug)]
pub struct Learning {
    /// Not there yet.
    pub file: PathBuf,
    /// The secret's id, or its place in the list.
    pub name: String,
    verifier: OnceLock<Verifier>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

impl Learning {
    /// A secret called `name` that is still to come, for `file`.
    pub fn new(file: PathBuf, name: String) -> Self {
        Self { file, name, verifier: OnceLock::new(), writing: Mutex::new(()) }
    }

    /// What verifies by the secret, once it came.
    pub fn learned(&self) -> Option<&Verifier> {
        self.verifier.get()
    }
}

impl Source {
    /// Keeps `secret` in its file and puts it in force. The first one counts, and nothing replaces it.
    ///
    /// # Errors
    /// Why it is not kept: then it is not in force either.
    pub fn learn(&self, secret: Secret) -> anyhow::Result<()> {
        let (Some(learning), Proof::Signature(verifier)) = (&self.learning, &self.proof) else {
            anyhow::bail!("no secret is to be learned");
        };
        let _writing = learning.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if learning.learned().is_some() {
            anyhow::bail!(
                "the secret is known already: remove {} and reload to learn another",
                learning.file.display()
            );
        }
        let learned = verifier.with_secret(&learning.name, &secret);
        let learned = learned.map_err(|why| anyhow::anyhow!("what it brings as the secret {why}"))?;
        keep(learning, &secret).with_context(|| format!("cannot write {}", learning.file.display()))?;
        // Nobody else sets it while the lock is held.
        let _ = learning.verifier.set(learned);
        info!(source.name = %self.name, file = %learning.file.display(), "Learned the secret that the provider brought");
        Ok(())
    }
}

/// Writes the secret where no file is yet, for nobody else to read. The file has all of it from the moment on that it is
/// there: a half-written one would keep the whole one out, and the program from starting.
fn keep(learning: &Learning, secret: &Secret) -> io::Result<()> {
    let file = &learning.file;
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let beside = file.with_file_name(format!(".{name}.{}", std::process::id()));
    // What a crash has left there is nobody's.
    let _ = fs::remove_file(&beside);
    let kept = write(&beside, secret).and_then(|()| match fs::hard_link(&beside, file) {
        // Some file systems have no links.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            write(file, secret)
        }
        linked => linked,
    });
    let _ = fs::remove_file(&beside);
    kept?;
    // The provider is told next that its secret is known: it should be there after a loss of power too. Where that cannot
    // be had, the secret is kept all the same.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Writes the secret into a file that is not there yet.
fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(secret.expose()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret is none.
        let _ = fs::remove_file(path);
    }
    written
}
