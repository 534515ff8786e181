//! With which secrets a command works, under which scheme.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;

use crate::config::environment::Environment;
use crate::config::provider::{self, Unknown};
use crate::signature::place::Params;
use crate::signature::preset::Preset;
use crate::signature::secret::Secret;

#[derive(Debug, Clone, Args)]
pub struct SecretArgs {
    /// Variable that holds a secret, or ID=VARIABLE where messages name their key; may be repeated
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// File that holds a secret or a key, or ID=FILE; may be repeated
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<String>,
    /// What the scheme wants to know beside secrets, as NAME=VALUE; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

/// The same, read.
pub struct Chosen {
    pub preset: Preset,
    /// By the id given for each, else by the name of its variable or file.
    pub secrets: Vec<(String, Secret)>,
    pub params: Params,
}

impl SecretArgs {
    /// Reads the preset of `provider`, a name or a file, and the secrets.
    ///
    /// # Errors
    /// What cannot be read, for the terminal; never a secret.
    pub fn read(&self, provider: &str) -> Result<Chosen, String> {
        let environment = Environment::system();
        let mut secrets = Vec::new();
        for given in &self.secret_env {
            let (id, name) = split_id(given);
            let bytes = environment.bytes(name).ok_or_else(|| format!("the environment has no variable {name}"))?;
            secrets.push((id.to_owned(), usable(name, bytes)?));
        }
        for given in &self.secret_file {
            let (id, file) = split_id(given);
            let bytes = std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
            let bytes = bytes.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(bytes);
            secrets.push((id.to_owned(), usable(file, bytes)?));
        }
        let mut params: Vec<(String, Vec<String>)> = Vec::new();
        for given in &self.params {
            let (name, value) = given.split_once('=').ok_or_else(|| format!("--param {given} is not NAME=VALUE"))?;
            match params.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value.to_owned()),
                None => params.push((name.to_owned(), vec![value.to_owned()])),
            }
        }
        let preset = find_preset(provider)?;
        let known = preset.profile.scheme.params();
        if let Some((name, _)) = params.iter().find(|(name, _)| !known.iter().any(|(known, _)| known == name)) {
            let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(format!("{} has no parameter \"{name}\"; it has: {}", preset.slug, known.join(", ")));
        }
        Ok(Chosen { preset, secrets, params: Params::new(params) })
    }
}

/// A preset by its name, or from a file where the name is a path.
///
/// # Errors
/// Everything wrong with the file, a line each; or that there is no such provider.
pub fn find_preset(name: &str) -> Result<Preset, String> {
    provider::find(name).map(Cow::into_owned).map_err(|unknown| match unknown {
        Unknown::Name(why) => why,
        Unknown::Faults(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n       "),
    })
}

/// `ID=NAME`, or a name that is its own id.
fn split_id(given: &str) -> (&str, &str) {
    match given.split_once('=') {
        Some((id, name)) if !id.is_empty() && !PathBuf::from(given).exists() => (id, name),
        _ => (given, given),
    }
}

fn usable(name: &str, bytes: Vec<u8>) -> Result<Secret, String> {
    if bytes.trim_ascii().is_empty() { Err(format!("the secret in {name} is empty")) } else { Ok(Secret::new(bytes)) }
}
