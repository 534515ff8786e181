//! A secret that the provider brings in its first request: kept in a file, once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
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

/// Writes the secret where no file is yet, for nobody else to read.
fn keep(learning: &Learning, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&learning.file)?;
    let written = file.write_all(secret.expose()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret is none, and would keep the whole one out.
        let _ = fs::remove_file(&learning.file);
    }
    written
}
