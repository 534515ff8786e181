//! Where the demo's sender has its store: a folder of its own, gone at the end.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::provider::random_secret;
use crate::config::environment::Environment;

/// A folder that goes with this value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it in `$TMPDIR`, else in `/tmp`, for nobody else to look into.
    pub fn new() -> anyhow::Result<Self> {
        let parent = Environment::system().bytes("TMPDIR").filter(|parent| !parent.is_empty());
        let parent = OsString::from_vec(parent.unwrap_or_else(|| b"/tmp".to_vec()));
        let path = Path::new(&parent).join(random_secret("hookward-demo-"));
        let cannot = || format!("cannot make a folder for the demo, {}: set TMPDIR to where one can", path.display());
        DirBuilder::new().mode(0o700).create(&path).with_context(cannot)?;
        Ok(Self(path))
    }

    /// The URL of the store in it.
    pub fn store(&self) -> anyhow::Result<String> {
        let path = self.0.to_str().context("the path in TMPDIR is not text")?;
        Ok(format!("sqlite:{path}/hookward.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} is left behind: {error}", self.0.display());
        }
    }
}
