//! Where the configuration comes from: a file or flags.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BAD_CONFIG, USAGE};
use crate::config::environment::Environment;
use crate::config::{Config, Sidecar};
use crate::document::{Fault, Place};

/// The files that are read where none is named, the first that is there.
const DEFAULT_FILES: [&str; 2] = ["hookward.toml", "/etc/hookward/hookward.toml"];

/// Where the configuration comes from, to be read again on SIGHUP.
#[derive(Debug)]
pub enum Origin {
    File(PathBuf),
    Flags(Box<Sidecar>),
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    Unreadable(PathBuf, std::io::Error),
    /// With the file as it was read, to show the lines at fault.
    Faults(Vec<Fault>, Shown),
}

/// The configuration as it was read, by which lines of it are shown.
#[derive(Debug, Default)]
pub struct Shown {
    /// What places in it call it.
    name: String,
    text: String,
}

impl Origin {
    /// The file that is meant where nothing but perhaps its path was said.
    ///
    /// # Errors
    /// What to do where there is none.
    pub fn file(path: Option<PathBuf>) -> Result<Self, String> {
        let found = path.or_else(|| DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists()));
        found.map(Self::File).ok_or_else(|| {
            format!(
                "there is no configuration: neither {}; name one with -c FILE, or try `hookward demo`",
                DEFAULT_FILES.join(" nor ")
            )
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// The file is unreadable, or everything that is wrong with it.
    pub fn load(&self, environment: &Environment) -> Result<Config, LoadError> {
        match self {
            Self::Flags(flags) => {
                Config::from_flags(flags, environment).map_err(|faults| LoadError::Faults(faults, Shown::default()))
            }
            Self::File(path) => {
                let text = fs::read_to_string(path).map_err(|error| LoadError::Unreadable(path.clone(), error))?;
                let name = path.display().to_string();
                Config::parse(&name, &text, environment)
                    .map_err(|faults| LoadError::Faults(faults, Shown { name, text }))
            }
        }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Flags(_) => None,
        }
    }
}

impl LoadError {
    /// For a person at a terminal: each fault with its line of the file.
    pub fn report(&self) -> String {
        match self {
            Self::Unreadable(path, error) => format!("error: {}: cannot be read: {error}\n", path.display()),
            Self::Faults(faults, shown) => {
                let reports = faults.iter().map(|fault| format!("error: {}", shown.with_line(fault)));
                let count = match faults.len() {
                    1 => "1 error".to_owned(),
                    count => format!("{count} errors"),
                };
                format!("{}{count} in the configuration\n", reports.collect::<String>())
            }
        }
    }

    /// For a log: each fault in a line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Unreadable(..) => vec![self.report().trim_end().to_owned()],
            Self::Faults(faults, _) => faults.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Reads the file that is meant, and says on standard error why it cannot be used.
///
/// # Errors
/// The exit code.
pub fn load_file(path: Option<PathBuf>) -> Result<(Origin, Config), u8> {
    let origin = Origin::file(path).map_err(|why| {
        eprintln!("error: {why}");
        USAGE
    })?;
    let config = origin.load(&Environment::system()).map_err(|error| {
        eprint!("{}", error.report());
        BAD_CONFIG
    })?;
    Ok((origin, config))
}

impl Shown {
    /// The file at `path`, as it is now.
    pub fn of(path: &Path) -> Self {
        Self { name: path.display().to_string(), text: fs::read_to_string(path).unwrap_or_default() }
    }

    /// A fault, and below it the line where it is: of this file, or of another one that it names.
    pub fn with_line(&self, fault: &Fault) -> String {
        let Place::File { name, line, column } = &fault.place else {
            return format!("{fault}\n");
        };
        let other = (**name != *self.name).then(|| fs::read_to_string(&**name).unwrap_or_default());
        let text = other.as_ref().unwrap_or(&self.text);
        // A line that may hold a secret is not repeated.
        let showable = |text: &&str| !text.trim().is_empty() && !text.contains("literal") && !text.contains("env =");
        let Some(text) = text.lines().nth(line - 1).filter(showable) else {
            return format!("{fault}\n");
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        format!("{fault}\n  {number} | {text}\n  {margin} | {}^\n", " ".repeat(column - 1))
    }
}
