//! `[network]`: how the addresses that providers publish are kept fresh.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::Reader;
use crate::egress::Roots;
use crate::gateway::lists::Refresh;
use crate::quantity::parse_duration;

/// A provider that adds an address may send from it at once, and some never try again.
const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Providers are asked no more often than this.
const LEAST: Duration = Duration::from_secs(60);

/// Reads `[network]`.
pub fn read(reader: Option<Reader<'_>>) -> Refresh {
    let mut refresh = Refresh { every: Some(EVERY), ..Refresh::default() };
    let Some(reader) = reader else { return refresh };
    refresh.every = reader.parse("refresh", parse_every).unwrap_or(refresh.every);
    refresh.file = reader.parse("file", parse_file);
    if let Some(file) = reader.text("ca_file") {
        match Roots::from_file(Path::new(file.value)) {
            Ok(roots) => (refresh.ca_file, refresh.roots) = (Some(file.value.to_owned()), Some(roots)),
            Err(error) => reader.fault(file.place, format!("ca_file: cannot use {}: {error}", file.value)),
        }
    }
    reader.finish();
    refresh
}

fn parse_every(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    match parse_duration(text).map_err(|wrong| format!("{wrong}, or \"off\""))? {
        every if every < LEAST => Err(format!("\"{text}\" is more often than anybody changes a list, from \"1m\" on")),
        every => Ok(Some(every)),
    }
}

fn parse_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    if file.file_name().is_none() || text.ends_with('/') || file.is_dir() {
        return Err(format!("\"{text}\" is no file, for example \"/var/lib/hookward/addresses.json\""));
    }
    Ok(file)
}
