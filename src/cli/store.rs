//! `hookward store`: how much a store holds, and whether it is sound.

use clap::Subcommand;
use serde_json::Value;

use super::operator::{self, DirectArgs, Failure, Reach, open};
use super::table::{Table, cell, facts};
use super::{FAILURE, print};
use crate::operators::Operation;
use crate::store::Stats;

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Say how much there is, and how much waits for whom
    #[command(after_help = STATS_HELP)]
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Read a store thoroughly, and say everything that is wrong with it; a SQLite file only while no server has it
    #[command(after_help = CHECK_HELP)]
    Check {
        #[command(flatten)]
        direct: DirectArgs,
    },
}

const STATS_HELP: &str = "\
For example, how much waits in the store of the server on this machine:
  hookward store stats";

const CHECK_HELP: &str = "\
For example, after a machine lost its power:
  hookward store check --store sqlite:/var/lib/hookward/hookward.db";

/// Does it. 1 if the store is not sound, or cannot be asked.
pub fn run(command: StoreCommand) -> u8 {
    operator::run(async {
        match command {
            StoreCommand::Stats { json, reach } => {
                let text = reach.operator().await?.ask(Operation::Stats).await?;
                print(&if json { format!("{text}\n") } else { describe(&text)? });
                Ok(0)
            }
            StoreCommand::Check { direct } => check(&direct).await,
        }
    })
}

async fn check(direct: &DirectArgs) -> Result<u8, Failure> {
    let store = open(direct)?;
    let wrong = |error: crate::database::StoreError| Failure::new(error.to_string());
    let found = store.check().await.map_err(wrong)?;
    if !found.is_empty() {
        print(&found.iter().map(|line| format!("{line}\n")).collect::<String>());
        return Ok(FAILURE);
    }
    let stats = store.stats().await.map_err(wrong)?;
    let Stats { waiting, leased, delivered, dead, skipped, cancelled, .. } = stats;
    let deliveries = waiting + leased + delivered + dead + skipped + cancelled;
    print(&format!("The store is sound; events: {}, deliveries: {deliveries}\n", stats.events));
    Ok(0)
}

fn describe(text: &str) -> Result<String, Failure> {
    let stats: Value = serde_json::from_str(text).map_err(|error| Failure::new(error.to_string()))?;
    let names = [
        ("engine", "engine"),
        ("events", "events"),
        ("waiting", "waiting"),
        ("leased", "leased"),
        ("delivered", "delivered"),
        ("dead", "dead"),
        ("skipped", "skipped"),
        ("cancelled", "cancelled"),
        ("dedup keys", "dedup_keys"),
        ("bytes", "bytes"),
        ("oldest due", "oldest_due"),
    ];
    let mut shown = facts(&names.map(|(shown, name)| (shown, cell(&stats, name))));
    let rows = stats["destinations"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> =
        rows.map(|row| ["destination", "waiting", "dead"].map(|name| cell(row, name)).to_vec()).collect();
    if !rows.is_empty() {
        shown.push('\n');
        shown.push_str(&Table::new(&["DESTINATION", "WAITING", "DEAD"]).page(&rows));
    }
    Ok(shown)
}
