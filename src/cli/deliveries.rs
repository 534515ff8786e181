//! `hookward deliveries`: what is owed to whom, and what came of it.

mod retry;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::listing::{ListArgs, list};
use super::operator::{self, Failure, Reach, parse_moment};
use super::print;
use super::table::{Table, cell, facts};
use crate::clock::UnixMillis;
use crate::document::choose;
use crate::operators::Operation;
use crate::store::{DeliveryFilter, Id, State};

#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List deliveries, the latest first
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        filter: Filter,
        /// Only those that are waiting, leased, delivered, dead, skipped or cancelled
        #[arg(long, value_name = "STATE", value_parser = |text: &str| choose(text, &State::WORDS))]
        state: Option<State>,
        /// Only those of this event
        #[arg(long, value_name = "ID")]
        event: Option<Id>,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show one delivery, with the log of its attempts
    Show {
        /// Its id
        id: Id,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Make deliveries due now that were given up or wait, with all their attempts before them
    #[command(after_help = RETRY_HELP, override_usage = RETRY_USAGE)]
    Retry(Box<retry::RetryArgs>),
}

const RETRY_USAGE: &str = "\
hookward deliveries retry [OPTIONS] <ID>...
       hookward deliveries retry [OPTIONS] --dead";

const LIST_HELP: &str = "\
For example, what was given up in the last two hours:
  hookward deliveries list --state dead --since 2h";

const RETRY_HELP: &str = "\
For example, everything that was given up for want of an app since this morning:
  hookward deliveries retry --dead --source stripe --since 2026-11-22T08:00:00Z";

#[derive(Debug, Clone, Args)]
pub struct Filter {
    /// Only those of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Owed since: how long ago, or a time, for example 2h or 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<UnixMillis>,
    /// Owed before
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<UnixMillis>,
}

/// Does it. 1 if anything of it could not be done.
pub fn run(command: DeliveriesCommand) -> u8 {
    operator::run(async {
        match command {
            DeliveriesCommand::List { filter, state, event, list: args, reach } => {
                let operator = reach.operator().await?;
                let filter = DeliveryFilter { state, event, ..filter.into() };
                let ask = |after, limit| Operation::Deliveries(DeliveryFilter { after, limit, ..filter.clone() });
                list(&operator, &args, ask, table(), cells).await.map(|()| 0)
            }
            DeliveriesCommand::Show { id, json, reach } => {
                let text = reach.operator().await?.ask(Operation::Delivery(id)).await?;
                print(&if json { format!("{text}\n") } else { describe(&text)? });
                Ok(0)
            }
            DeliveriesCommand::Retry(args) => retry::run(&args).await,
        }
    })
}

impl From<Filter> for DeliveryFilter {
    fn from(filter: Filter) -> Self {
        let Filter { source, destination, since, until } = filter;
        Self { source, destination, since, until, ..Self::default() }
    }
}

/// The columns of deliveries.
pub fn table() -> Table {
    Table::new(&["ID", "STATE", "SOURCE", "DESTINATION", "EVENT ID", "OWED SINCE", "ATTEMPTS", "LAST"])
}

/// A delivery's row.
pub fn cells(row: &Value) -> Vec<String> {
    let mut cells: Vec<String> = ["id", "state", "source", "destination", "event_id", "created_at", "attempts"]
        .iter()
        .map(|name| cell(row, name))
        .collect();
    cells.push(last(row, "last_status", "last_error"));
    cells
}

/// An answer's status, or what went wrong, or both.
fn last(row: &Value, status: &str, error: &str) -> String {
    match (&row[status], &row[error]) {
        (Value::Null, _) => cell(row, error),
        (_, Value::Null) => cell(row, status),
        _ => format!("{} {}", cell(row, status), cell(row, error)),
    }
}

fn describe(text: &str) -> Result<String, Failure> {
    let delivery: Value = serde_json::from_str(text).map_err(|error| Failure::new(error.to_string()))?;
    let at = match delivery["state"].as_str() {
        Some("waiting") => "due",
        Some("leased") => "lease ends",
        _ => "settled",
    };
    let mut shown = facts(&[
        ("id", cell(&delivery, "id")),
        ("event", cell(&delivery, "event")),
        ("source", cell(&delivery, "source")),
        ("event id", cell(&delivery, "event_id")),
        ("destination", cell(&delivery, "destination")),
        ("state", cell(&delivery, "state")),
        ("reason", cell(&delivery, "reason")),
        ("owed since", cell(&delivery, "created_at")),
        (at, cell(&delivery, "at")),
        ("attempts", cell(&delivery, "attempts")),
    ]);
    let attempts: Vec<Vec<String>> = delivery["log"].as_array().into_iter().flatten().map(attempt).collect();
    if !attempts.is_empty() {
        shown.push('\n');
        shown.push_str(&Table::new(&["STARTED", "TOOK", "COUNTS", "ANSWER"]).page(&attempts));
    }
    Ok(shown)
}

fn attempt(row: &Value) -> Vec<String> {
    let counts = if row["charged"].as_bool().unwrap_or(true) { "yes" } else { "no" };
    let took = format!("{}ms", cell(row, "duration_ms"));
    vec![cell(row, "started_at"), took, counts.to_owned(), last(row, "status", "error")]
}
