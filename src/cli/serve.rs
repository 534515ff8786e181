//! `hookward serve`: the program at its work.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::origin::Origin;
use super::{BAD_CONFIG, FAILURE, USAGE};
use crate::app::{App, Plan};
use crate::clock::Clock;
use crate::config::environment::Environment;
use crate::config::{Config, Sidecar};
use crate::telemetry::logging;

/// Runs until a signal ends it. 78 if the configuration is not good.
pub fn run(path: Option<PathBuf>, sidecar: Box<Sidecar>) -> u8 {
    let origin = match (path, sidecar.is_used()) {
        (Some(_), true) => {
            Err("-c FILE and the flags of the sidecar form (or their HOOKWARD_… variables) exclude each other"
                .to_owned())
        }
        (None, true) => Ok(Origin::Flags(sidecar)),
        (path, false) => Origin::file(path),
    };
    let origin = match origin {
        Ok(origin) => origin,
        Err(why) => {
            eprintln!("error: {why}");
            return USAGE;
        }
    };
    // Kept as it is now: a variable changed later is not ours to see.
    let environment = Environment::system();
    let config = match origin.load(&environment) {
        Ok(config) => config,
        Err(error) => {
            eprint!("{}", error.report());
            return BAD_CONFIG;
        }
    };
    if let Err(error) = logging::start(config.log.level, config.log.format) {
        eprintln!("error: cannot start the log: {error}");
        return FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start a runtime: {error}");
            return FAILURE;
        }
    };
    let code = match runtime.block_on(serve(&origin, &environment, config)) {
        Ok(code) => code,
        Err(error) => {
            error!(error = format!("{error:#}"), "Cannot run");
            eprintln!("error: {error:#}");
            FAILURE
        }
    };
    logging::flush();
    code
}

/// The signals that end the program.
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Listens for them.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one.
    pub async fn recv(&mut self) {
        tokio::select! {
            // Which one it was makes no difference.
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Each webhook needs two connections; the customary limit of 1,024 files would be met at 500 of them.
fn raise_file_limit(config: &Config) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit / 2 < config.gateway.max_connections as u64 => {
            warn!(
                files = limit,
                max_connections = config.gateway.max_connections,
                "The limit of open files (ulimit -n) is too low for max_connections"
            );
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "Cannot raise the limit of open files"),
    }
}

async fn serve(origin: &Origin, environment: &Environment, config: Config) -> anyhow::Result<u8> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut end = EndSignals::new()?;
    warn_of(&config, origin);
    raise_file_limit(&config);
    let mut running = Running::of(&config);
    let mut app = App::start(Plan::from(config), Clock::System)?;
    loop {
        tokio::select! {
            // Each branch is a single event: the ones that lose are still there in the next round.
            _ = hangup.recv() => running = reload(origin, environment, &app, running),
            () = end.recv() => break,
            ended = app.worker_ended() => {
                ended?;
                anyhow::bail!("a worker ended although nobody told it to");
            }
        }
    }
    info!(within_s = running.drain_timeout.as_secs(), "Draining");
    tokio::select! {
        // If the second signal wins, what has not come to its end never will.
        drained = app.drain(running.drain_timeout) => {
            if drained {
                info!("Drained");
                return Ok(0);
            }
            warn!("Ended before everything that had begun came to its end");
            Ok(FAILURE)
        }
        () = end.recv() => {
            warn!("Ended at once");
            Ok(FAILURE)
        }
    }
}

/// What a running program cannot change, and what a drain needs.
struct Running {
    fixed: crate::config::Fixed,
    drain_timeout: std::time::Duration,
}

impl Running {
    fn of(config: &Config) -> Self {
        Self { fixed: config.fixed(), drain_timeout: config.drain_timeout }
    }
}

/// Reads the configuration again. A bad one changes nothing.
fn reload(origin: &Origin, environment: &Environment, app: &App, running: Running) -> Running {
    let successful = &app.gateway().metrics.reload_successful;
    let config = match origin.load(environment) {
        Ok(config) => config,
        Err(refused) => {
            for line in refused.lines() {
                error!(fault = line, "Configuration not taken over");
            }
            successful.set(0);
            return running;
        }
    };
    let changed = config.fixed().differences(&running.fixed);
    if !changed.is_empty() {
        error!(keys = changed.join(", "), "Configuration not taken over: this changes only with a restart");
        successful.set(0);
        return running;
    }
    warn_of(&config, origin);
    let running = Running::of(&config);
    info!(sources = config.gateway.sources.len(), "Took over the configuration");
    let (admin, sender) = (config.admin.map(|admin| admin.tokens), config.sender.map(|sender| sender.tokens));
    app.apply_tokens(admin.unwrap_or_default(), sender.unwrap_or_default());
    app.gateway().apply(config.gateway);
    successful.set(1);
    running
}

fn warn_of(config: &Config, origin: &Origin) {
    for warning in &config.warnings {
        warn!(place = %warning.place, "{}", warning.text);
    }
    if let Origin::Flags(flags) = origin
        && flags.allow.is_empty()
    {
        info!("Clients are accepted from any address: --allow provider or a list narrows that down");
    }
}
