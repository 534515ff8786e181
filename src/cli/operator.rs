//! How operators' commands reach what they ask: over the admin API of a server, or by opening the store.

mod direct;
mod remote;

use std::path::PathBuf;

use clap::Args;

use super::{FAILURE, USAGE};
use crate::clock::{Clock, UnixMillis};
use crate::config::environment::Environment;
use crate::operators::{Operation, OperatorError, Operators};
use crate::quantity::parse_duration;
use remote::Remote;

pub use direct::open;

/// Where a command turns to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where to ask")]
pub struct Reach {
    /// Admin listener of a running server [default: $HOOKWARD_ADMIN_URL, else http://127.0.0.1:9090]
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "store"])]
    admin: Option<String>,
    /// Variable that holds one of the server's admin tokens
    #[arg(long, value_name = "NAME", default_value = "HOOKWARD_ADMIN_TOKEN")]
    token_env: String,
    #[command(flatten)]
    direct: DirectArgs,
}

/// A store to be opened without a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where to ask")]
pub struct DirectArgs {
    /// Open the store of this configuration; a SQLite file only while no server has it
    #[arg(short, long, value_name = "FILE", conflicts_with = "store")]
    pub config: Option<PathBuf>,
    /// Open this store, sqlite:PATH or postgres://…; a SQLite file only while no server has it
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
}

/// Whoever answers a command.
#[derive(Debug)]
pub enum Operator {
    Remote(Box<Remote>),
    Direct(Operators),
}

/// Why a command came to nothing, in words for the terminal.
#[derive(Debug)]
pub struct Failure {
    pub text: String,
    pub exit: u8,
    /// True if others than the one that was asked for may fare better.
    pub is_about_one: bool,
}

impl Failure {
    /// Something went wrong.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: FAILURE, is_about_one: false }
    }

    /// What was asked makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { exit: USAGE, ..Self::new(text) }
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        let is_about_one = !matches!(error, OperatorError::Store(_));
        Self { is_about_one, ..Self::new(error.to_string()) }
    }
}

impl Reach {
    /// Whoever is meant. Nothing is asked yet, but a store that is meant is open.
    ///
    /// # Errors
    /// What is wrong with the arguments, or why the store cannot be opened.
    pub async fn operator(&self) -> Result<Operator, Failure> {
        if self.direct.is_given() {
            let store = open(&self.direct)?;
            return Ok(Operator::Direct(Operators { store, deliveries: None, clock: Clock::System }));
        }
        let environment = Environment::system();
        let text = |name: &str| environment.bytes(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let url = self.admin.clone().or_else(|| text("HOOKWARD_ADMIN_URL"));
        let url = url.unwrap_or_else(|| "http://127.0.0.1:9090".to_owned());
        let token = environment.bytes(&self.token_env);
        Remote::new(&url, token, &self.token_env).map(|remote| Operator::Remote(Box::new(remote)))
    }
}

impl DirectArgs {
    fn is_given(&self) -> bool {
        self.config.is_some() || self.store.is_some()
    }
}

impl Operator {
    /// What comes of an operation, as JSON.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn ask(&self, operation: Operation) -> Result<String, Failure> {
        match self {
            Self::Remote(remote) => remote.ask(operation).await,
            Self::Direct(operators) => Ok(operators.answer(operation).await?),
        }
    }
}

/// Does a command's work. Says on standard error why it came to nothing.
pub fn run(work: impl Future<Output = Result<u8, Failure>>) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start a runtime: {error}");
            return FAILURE;
        }
    };
    runtime.block_on(work).unwrap_or_else(|failure| {
        eprintln!("error: {}", failure.text);
        failure.exit
    })
}

/// A moment as people write it: how long ago, or as RFC 3339 has it.
///
/// # Errors
/// What would be right, as a fragment.
pub fn parse_moment(text: &str) -> Result<UnixMillis, String> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(Clock::System.millis().before(ago));
    }
    text.parse().map_err(|_| {
        format!("\"{text}\" is neither how long ago, for example \"2h\", nor a time such as \"2026-11-22T08:00:00Z\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_how_long_ago_or_a_time() {
        assert_eq!(parse_moment("2025-10-09T08:53:20Z"), Ok(UnixMillis(1_760_000_000_000)));
        let hour = UnixMillis::since(Clock::System.millis(), parse_moment("1h").expect("a moment"));
        assert!((3600..3660).contains(&hour.as_secs()), "{hour:?}");
        for bad in ["", "yesterday", "2h ago", "2025-10-09"] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }
}
