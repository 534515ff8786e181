//! `hookward events`: what was accepted and is kept.

mod replay;

use clap::Subcommand;
use serde_json::Value;

use super::listing::{ListArgs, list};
use super::operator::{self, Failure, Reach, parse_moment};
use super::table::{Table, cell, facts, plain};
use super::{deliveries, print};
use crate::clock::UnixMillis;
use crate::operators::Operation;
use crate::store::{EventFilter, Id};

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, the latest first
    #[command(after_help = LIST_HELP)]
    List {
        /// Only those of this source
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// Only those with this id of the provider's
        #[arg(long, value_name = "ID")]
        event_id: Option<String>,
        /// Accepted since: how long ago, or a time, for example 2h or 2026-11-22T08:00:00Z
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        since: Option<UnixMillis>,
        /// Accepted before
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        until: Option<UnixMillis>,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show one event: what was received, and what became of it
    Show {
        /// Its id
        id: Id,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Deliver events once more, whatever became of them
    #[command(after_help = REPLAY_HELP, override_usage = REPLAY_USAGE)]
    Replay(Box<replay::ReplayArgs>),
}

const REPLAY_USAGE: &str = "\
hookward events replay [OPTIONS] <ID>...
       hookward events replay [OPTIONS] <--source NAME | --since TIME | --until TIME>";

const LIST_HELP: &str = "\
For example, what Stripe sent in the last hour, as JSON lines:
  hookward events list --source stripe --since 1h --all --json";

const REPLAY_HELP: &str = "\
Without a server (-c or --store) an event goes where it was owed before, unless --destination names another place.

For example, everything that an app lost yesterday between two and three:
  hookward events replay --source stripe --since 2026-11-21T14:00:00Z --until 2026-11-21T15:00:00Z";

/// Does it. 1 if anything of it could not be done.
pub fn run(command: EventsCommand) -> u8 {
    operator::run(async {
        match command {
            EventsCommand::List { source, event_id, since, until, list: args, reach } => {
                let operator = reach.operator().await?;
                let filter = EventFilter { source, event_id, since, until, ..EventFilter::default() };
                let ask = |after, limit| Operation::Events(EventFilter { after, limit, ..filter.clone() });
                let table = Table::new(&["ID", "SOURCE", "ACCEPTED", "METHOD", "BYTES", "EVENT ID"]);
                list(&operator, &args, ask, table, cells).await.map(|()| 0)
            }
            EventsCommand::Show { id, json, reach } => {
                let text = reach.operator().await?.ask(Operation::Event(id)).await?;
                print(&if json { format!("{text}\n") } else { describe(&text)? });
                Ok(0)
            }
            EventsCommand::Replay(args) => replay::run(*args).await,
        }
    })
}

fn cells(row: &Value) -> Vec<String> {
    ["id", "source", "accepted_at", "method", "body_bytes", "event_id"].iter().map(|name| cell(row, name)).collect()
}

fn describe(text: &str) -> Result<String, Failure> {
    let event: Value = serde_json::from_str(text).map_err(|error| Failure::new(error.to_string()))?;
    let mut shown = facts(&[
        ("id", cell(&event, "id")),
        ("source", cell(&event, "source")),
        ("event id", cell(&event, "event_id")),
        ("accepted", cell(&event, "accepted_at")),
        ("method", cell(&event, "method")),
        ("query", cell(&event, "query")),
    ]);
    let owed: Vec<Vec<String>> = event["deliveries"].as_array().into_iter().flatten().map(deliveries::cells).collect();
    if !owed.is_empty() {
        shown.push('\n');
        shown.push_str(&deliveries::table().page(&owed));
    }
    shown.push('\n');
    for header in event["headers"].as_array().into_iter().flatten() {
        let part = |index: usize| plain(header[index].as_str().unwrap_or_default());
        shown.push_str(&format!("{}: {}\n", part(0), part(1)));
    }
    shown.push('\n');
    match (&event["body"], &event["body_base64"]) {
        (Value::String(body), _) => {
            shown.push_str(&body.lines().map(|line| plain(&line.replace('\t', "    ")) + "\n").collect::<String>())
        }
        (_, Value::String(body)) => shown.push_str(&format!("(no text, in base64) {body}\n")),
        _ => {}
    }
    Ok(shown)
}
