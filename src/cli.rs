//! The command line: one file for each command.

mod case;
mod check;
mod deliveries;
mod demo;
mod effective;
mod emit;
mod events;
mod health;
mod listing;
mod material;
mod operator;
mod origin;
mod progress;
mod providers;
mod raw_request;
mod secret_args;
mod serve;
mod sign;
mod store;
mod table;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Sidecar;

/// Exit code for a bad configuration (EX_CONFIG of sysexits.h).
const BAD_CONFIG: u8 = 78;
const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// Accepts webhooks for an app: verified, deduplicated, forwarded. Sends those of its own: signed, retried, logged.
#[derive(Debug, Parser)]
#[command(name = "hookward", version, about, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run gateway and sender as a file says, or the gateway as a sidecar from flags alone
    #[command(after_help = SERVE_HELP)]
    Serve {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        sidecar: Box<Sidecar>,
    },
    /// Read the configuration, say everything that is wrong with it, and what to know about each source
    Check {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// See it work: sender, gateway and an app on loopback, events of five providers, and the attacks
    Demo {
        /// Keep it up afterwards, with lines to try by hand, and show each request as it comes
        #[arg(long)]
        stay: bool,
    },
    /// Judge a raw HTTP request from standard input, or recorded ones, and say why
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::VerifyArgs),
    /// Print a message signed as the provider would sign it
    #[command(after_help = SIGN_HELP)]
    Sign(sign::SignArgs),
    /// Sign a message, send it once, and show the exchange
    Send(sign::SendArgs),
    /// List the providers that have a preset, or show one
    Providers {
        #[command(subcommand)]
        command: Option<ProvidersCommand>,
    },
    /// Show the configuration in force
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// List and show the events that are kept, and have them delivered once more
    Events {
        #[command(subcommand)]
        command: events::EventsCommand,
    },
    /// List and show what is owed to whom, and try again what was given up
    Deliveries {
        #[command(subcommand)]
        command: deliveries::DeliveriesCommand,
    },
    /// Tell a sender what happened; it tells everyone who asked
    #[command(after_help = EMIT_HELP)]
    Emit(emit::EmitArgs),
    /// Say how much a store holds, and whether it is sound
    Store {
        #[command(subcommand)]
        command: store::StoreCommand,
    },
    /// Ask a running gateway whether it is ready, for container health checks
    Health {
        /// What to ask
        #[arg(default_value = "http://127.0.0.1:9090/readyz")]
        url: String,
    },
}

const SERVE_HELP: &str = "\
Without -c and without flags the file is ./hookward.toml, else /etc/hookward/hookward.toml.

Signals:
  SIGHUP   read the file, certificates and secret files again; a bad file changes nothing
  SIGTERM  stop accepting, finish what has begun, end; a second one ends at once

For example, in front of an app on port 3000:
  STRIPE_SECRET=whsec_… hookward serve --provider stripe --secret-env STRIPE_SECRET \\
      --upstream http://127.0.0.1:3000/webhooks";

const VERIFY_HELP: &str = "\
For example, why does this captured request not verify?
  STRIPE_SECRET=whsec_… hookward verify --provider stripe --secret-env STRIPE_SECRET --explain < request.txt";

const SIGN_HELP: &str = "\
For example, a signed event to a local gateway:
  STRIPE_SECRET=whsec_… hookward sign --provider stripe --secret-env STRIPE_SECRET --body event.json \\
      --url http://127.0.0.1:8080/in/stripe --format curl | sh";

const EMIT_HELP: &str = "\
For example:
  HOOKWARD_TOKEN=… hookward emit invoice.paid --data '{\"id\": \"in_1\", \"amount\": 4200}'
  HOOKWARD_TOKEN=… hookward emit - < events.jsonl      # {\"type\": \"invoice.paid\", \"data\": {…}} a line";

#[derive(Debug, Clone, Args)]
struct ConfigFile {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ProvidersCommand {
    /// All of them, a line each
    List,
    /// What is known of one, and how to configure it
    Show {
        /// Its slug, another of its names, or a TOML file with a preset of your own
        slug: String,
    },
    /// All that is known of all of them, as Markdown: docs/providers.md
    Page,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// With every default filled in, and secrets by where they come from
    Effective {
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    crate::egress::install_crypto();
    let code = match Cli::parse().command {
        Command::Serve { file, sidecar } => serve::run(file.config, sidecar),
        Command::Check { file } => check::run(file.config),
        Command::Demo { stay } => demo::run(stay),
        Command::Verify(args) => verify::run(&args),
        Command::Sign(args) => sign::sign(&args),
        Command::Send(args) => sign::send(&args),
        Command::Providers { command: None | Some(ProvidersCommand::List) } => providers::list(),
        Command::Providers { command: Some(ProvidersCommand::Page) } => providers::page(),
        Command::Providers { command: Some(ProvidersCommand::Show { slug }) } => providers::show(&slug),
        Command::Config { command: ConfigCommand::Effective { file } } => effective::run(file.config),
        Command::Events { command } => events::run(command),
        Command::Deliveries { command } => deliveries::run(command),
        Command::Emit(args) => emit::run(&args),
        Command::Store { command } => store::run(command),
        Command::Health { url } => health::run(&url),
    };
    ExitCode::from(code)
}

/// Writes to standard output. A reader that has gone away is no failure of ours.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
