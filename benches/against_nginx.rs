//! What a request costs Hookward, beside what it costs an nginx that only passes it on.
//!
//! `cargo bench --bench against_nginx -- --rounds 8 --seconds 2 --scenarios 1k,64k,reject`
//!
//! Core 0 has the load and the upstream, core 1 the proxy: one worker, plain HTTP on loopback, 64 connections that
//! each send their next request when the last one is answered. The figure is the proxy's CPU time for each request,
//! by the scheduler's account. What else runs on the machine moves it by a factor of 2, so the peers take turns within
//! a round, and what counts is the ratio to nginx in the same round, over many rounds.

#[path = "../tests/it/support/everyone.rs"]
mod everyone;
#[path = "against_nginx/load.rs"]
mod load;
#[path = "against_nginx/peer.rs"]
mod peer;
#[path = "against_nginx/process.rs"]
mod process;
#[path = "against_nginx/request.rs"]
mod request;
#[path = "against_nginx/table.rs"]
mod table;
#[path = "against_nginx/tools.rs"]
mod tools;
#[path = "against_nginx/upstream.rs"]
mod upstream;
#[path = "against_nginx/usage.rs"]
mod usage;
#[path = "against_nginx/wire.rs"]
mod wire;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tempfile::TempDir;

use peer::Peer;
use process::{Process, free_port};
use table::{Idle, Run};
use tools::{Core, Tools};

/// Kept ready to be signed for: no proxy here answers more requests a second than these.
const FASTEST_1K: f64 = 120_000.0;
const FASTEST_64K: f64 = 60_000.0;

/// Measures what a request costs Hookward, beside nginx as a pass-through.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    plan: Plan,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the program is when it has started itself.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Load(load::Order),
    #[command(hide = true)]
    Upstream { port: u16 },
}

#[derive(Debug, Args)]
struct Plan {
    /// How often each peer is measured in each scenario
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds that each measurement takes, after a warm-up
    #[arg(long, default_value = "2", value_parser = parse_seconds)]
    seconds: Duration,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scenario::value_variants().to_vec())]
    scenarios: Vec<Scenario>,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Bodies of 1 KiB, all genuine
    #[value(name = "1k")]
    OneKib,
    /// Bodies of 64 KiB, all genuine
    #[value(name = "64k")]
    SixtyFourKib,
    /// Bodies of 1 KiB, every signature wrong; nginx passes them on all the same
    Reject,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::OneKib => "1k",
            Self::SixtyFourKib => "64k",
            Self::Reject => "reject",
        }
    }

    /// In bytes.
    fn body_len(self) -> usize {
        match self {
            Self::OneKib | Self::Reject => 1 << 10,
            Self::SixtyFourKib => 64 << 10,
        }
    }

    /// How many requests are signed, so that a measurement does not run out of them. `None` where they are not to be.
    fn signed(self, seconds: Duration) -> Option<usize> {
        let fastest = match self {
            Self::OneKib => FASTEST_1K,
            Self::SixtyFourKib => FASTEST_64K,
            Self::Reject => return None,
        };
        Some(((seconds + load::WARM_UP).as_secs_f64() * fastest) as usize)
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number from 0.1 to 60".into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.role {
        Some(Role::Load(order)) => load::run(&order).map(|()| true),
        Some(Role::Upstream { port }) => upstream::run(port).map(|()| true),
        None if !cli.bench => {
            eprintln!("Nothing is measured without --bench, which `cargo bench` gives");
            Ok(true)
        }
        None => measure(&cli.plan),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints. False if a peer gave an answer that it should not have.
fn measure(plan: &Plan) -> anyhow::Result<bool> {
    let stand = Stand::new(plan)?;
    let mut runs = Vec::new();
    for round in 0..plan.rounds {
        for &scenario in &plan.scenarios {
            for peer in Peer::in_round(round) {
                let run = stand.run(peer, scenario, round).with_context(|| peer.name())?;
                eprintln!("round {}/{}  {run}", round + 1, plan.rounds);
                runs.push(run);
            }
        }
    }
    let idle = [Peer::Hookward, Peer::HookwardEveryone].map(|peer| stand.idle(peer));
    let idle: Vec<Idle> = idle.into_iter().collect::<Result<_, _>>()?;
    let binary = fs::metadata(peer::HOOKWARD)?.len();
    // A reader that has gone away is no failure of ours.
    let _ = std::io::stdout().write_all(table::render(&plan.scenarios, &runs, &idle, binary).as_bytes());
    Ok(runs.iter().all(|run| run.faults.is_empty()))
}

/// What all measurements share; everything in it is gone when it is dropped.
struct Stand {
    tools: Tools,
    seconds: Duration,
    upstream_port: u16,
    /// Ends with the stand, before its folder goes.
    _upstream: Process,
    folder: TempDir,
}

impl Stand {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let tools = Tools::find()?;
        let folder = tempfile::Builder::new().prefix("against_nginx").tempdir()?;
        for &scenario in &plan.scenarios {
            if let Some(count) = scenario.signed(plan.seconds) {
                eprintln!("signing {count} requests of {}", scenario.name());
                fs::write(signatures_of(folder.path(), scenario), request::sign(count, scenario.body_len()))?;
            }
        }
        let upstream_port = free_port()?;
        let mut command = tools.pinned(Core::LoadAndUpstream, &std::env::current_exe()?);
        command.args(["upstream", &upstream_port.to_string()]);
        let mut upstream = Process::spawn(command, &folder.path().join("upstream.log"))?;
        upstream.wait_for_answer(upstream_port)?;
        Ok(Self { tools, seconds: plan.seconds, upstream_port, _upstream: upstream, folder })
    }

    /// Starts `peer`, loads it and ends it.
    fn run(&self, peer: Peer, scenario: Scenario, round: u32) -> anyhow::Result<Run> {
        let port = free_port()?;
        let command = peer.command(&self.tools, self.folder.path(), port, self.upstream_port)?;
        let mut proxy = Process::spawn(command, &self.folder.path().join("proxy.log"))?;
        proxy.wait_for_answer(port)?;
        let report = self.load(scenario, port, proxy.id())?;
        if report.answers == 0 {
            bail!("no request was answered");
        }
        let expected = peer.expected_status(scenario);
        Ok(Run {
            round,
            scenario,
            peer,
            cpu: report.cpu.div_f64(report.answers as f64),
            requests_per_second: report.answers as f64 / report.elapsed.as_secs_f64(),
            peak_rss: usage::peak_rss(proxy.id()),
            faults: report.faults(expected),
        })
    }

    fn load(&self, scenario: Scenario, port: u16, proxy: u32) -> anyhow::Result<load::Report> {
        let mut command = self.tools.pinned(Core::LoadAndUpstream, &std::env::current_exe()?);
        let order = load::Order {
            port,
            body_len: scenario.body_len(),
            seconds: self.seconds.as_secs_f64(),
            watch: proxy,
            signatures: scenario.signed(self.seconds).map(|_| signatures_of(self.folder.path(), scenario)),
        };
        let output = command.arg("load").args(order.to_args()).output()?;
        if !output.status.success() {
            bail!("load: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("load did not report")
    }

    /// What Hookward is before anything has reached it.
    fn idle(&self, peer: Peer) -> anyhow::Result<Idle> {
        const TRIES: usize = 9;
        let port = free_port()?;
        let log = self.folder.path().join("proxy.log");
        let command = peer.command(&self.tools, self.folder.path(), port, self.upstream_port)?;
        let hookward = Process::spawn(command, &log)?;
        // Not one request: the pages that the first one touches are no part of being idle.
        std::thread::sleep(Duration::from_millis(500));
        let rss = usage::rss(hookward.id());
        drop(hookward);
        let mut times = Vec::with_capacity(TRIES);
        for _ in 0..TRIES {
            times.push(peer.start_up_time(self.folder.path(), self.upstream_port)?);
        }
        times.sort();
        Ok(Idle { peer, rss, start_up: times[TRIES / 2] })
    }
}

fn signatures_of(folder: &Path, scenario: Scenario) -> PathBuf {
    folder.join(format!("{}.signatures", scenario.name()))
}
