//! Providers: the embedded ones by name, an operator's own by the path of its file.

use std::borrow::Cow;
use std::path::Path;

use crate::document::{Fault, Reader};
use crate::signature::preset::Preset;

/// Why there is no such provider.
#[derive(Debug)]
pub enum Unknown {
    /// Nothing is called so, or its file cannot be read. A fragment.
    Name(String),
    /// Everything wrong with its file, each fault with its own place.
    Faults(Vec<Fault>),
}

/// True if what names a provider is the path of a file: it ends in `.toml`, or has a slash.
pub fn is_path(name: &str) -> bool {
    name.ends_with(".toml") || name.contains('/')
}

/// What the provider in a file is called: as the file is, without its ending.
///
/// # Errors
/// If that is no name, as a fragment.
pub fn slug_of(path: &str) -> Result<String, String> {
    const LONGEST: usize = 64;
    let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if stem.len() <= LONGEST && stem.split('-').all(plain) {
        Ok(stem)
    } else {
        Err(format!(
            "a provider is called as its file is, and \"{stem}\" is not 1 to {LONGEST} of a-z, 0-9 and '-' between \
             them, for example \"acme.toml\""
        ))
    }
}

/// The provider that is called `name`, or whose file `name` is.
///
/// # Errors
/// Why there is none.
pub fn find(name: &str) -> Result<Cow<'static, Preset>, Unknown> {
    if is_path(name) {
        return from_file(name).map(Cow::Owned);
    }
    Preset::find(name).map(Cow::Borrowed).map_err(Unknown::Name)
}

/// The provider in a file.
///
/// # Errors
/// Why there is none.
pub fn from_file(path: &str) -> Result<Preset, Unknown> {
    let slug = slug_of(path).map_err(Unknown::Name)?;
    let text = std::fs::read_to_string(path).map_err(|error| Unknown::Name(format!("cannot read {path}: {error}")))?;
    Preset::from_file(&slug, path, &text).map_err(Unknown::Faults)
}

/// `provider` of a source.
pub fn read(reader: &Reader<'_>) -> Option<Cow<'static, Preset>> {
    let name = reader.text("provider")?;
    match find(name.value) {
        Ok(preset) => return Some(preset),
        Err(Unknown::Name(wrong)) => reader.fault(name.place, format!("provider: {wrong}")),
        Err(Unknown::Faults(faults)) => {
            faults.into_iter().for_each(|fault| reader.faults().add(fault.place, fault.text))
        }
    }
    None
}
