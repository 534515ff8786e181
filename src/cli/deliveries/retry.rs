//! `hookward deliveries retry`: deliveries due once more, by their ids or all that were given up.

use clap::Args;
use serde_json::Value;

use super::Filter;
use crate::cli::listing::PageText;
use crate::cli::operator::{Failure, Operator, Reach};
use crate::cli::progress::Progress;
use crate::cli::table::cell;
use crate::cli::{FAILURE, print};
use crate::operators::Operation;
use crate::store::{DeliveryFilter, Id, MAX_PAGE, State};

/// So many are retried with one request: few enough to show how it goes on.
const CHUNK: u32 = 500;

#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// Ids of deliveries
    #[arg(value_name = "ID", required_unless_present = "dead", conflicts_with_all = ["dead", "source", "destination", "since", "until"])]
    ids: Vec<Id>,
    /// All dead letters, or those of them that the filters leave
    #[arg(long)]
    dead: bool,
    #[command(flatten)]
    filter: Filter,
    /// Say what would be retried, and retry nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Retries what is meant. 1 if anything of it could not be done.
pub async fn run(args: &RetryArgs) -> Result<u8, Failure> {
    let operator = args.reach.operator().await?;
    match (args.dead, args.dry_run) {
        (false, dry_run) => retry_each(&operator, args, dry_run).await,
        (true, false) => retry_dead(&operator, args).await,
        (true, true) => count_dead(&operator, args).await,
    }
}

async fn retry_each(operator: &Operator, args: &RetryArgs, dry_run: bool) -> Result<u8, Failure> {
    let mut code = 0;
    for id in &args.ids {
        let operation = if dry_run { Operation::Delivery(*id) } else { Operation::Retry(*id) };
        match operator.ask(operation).await {
            Ok(text) if args.json => print(&format!("{text}\n")),
            Ok(text) if dry_run => {
                let row: Value = serde_json::from_str(&text).unwrap_or_default();
                print(&format!("{id} is {}\n", cell(&row, "state")));
            }
            Ok(_) => print(&format!("{id} is due now\n")),
            Err(failure) if failure.is_about_one => {
                eprintln!("error: {}", failure.text);
                code = FAILURE;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(code)
}

async fn retry_dead(operator: &Operator, args: &RetryArgs) -> Result<u8, Failure> {
    let filter = DeliveryFilter { state: Some(State::Dead), limit: CHUNK, ..args.filter.clone().into() };
    let mut progress = Progress::new("Retried", None);
    let (mut retried, mut after) = (0, None);
    loop {
        let asked = operator.ask(Operation::RetryMany(DeliveryFilter { after, ..filter.clone() })).await;
        let text = asked.map_err(|failure| {
            progress.clear();
            let text = format!("{}; {retried} were retried before: the same command goes on", failure.text);
            Failure { text, ..failure }
        })?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        retried += answer["retried"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        progress.show(retried);
        after = answer["next"].as_str().map(str::parse).transpose().map_err(Failure::new)?;
        if after.is_none() {
            break;
        }
    }
    drop(progress);
    let json = format!("{{\"retried\":{retried}}}\n");
    print(&if args.json { json } else { format!("Retried {}\n", plural(retried)) });
    Ok(0)
}

async fn count_dead(operator: &Operator, args: &RetryArgs) -> Result<u8, Failure> {
    let filter = DeliveryFilter { state: Some(State::Dead), limit: MAX_PAGE, ..args.filter.clone().into() };
    let mut progress = Progress::new("Counted", None);
    let (mut count, mut after) = (0, None);
    loop {
        let text = operator.ask(Operation::Deliveries(DeliveryFilter { after, ..filter.clone() })).await?;
        let page = PageText::parse(&text)?;
        count += page.data.len();
        progress.show(count);
        after = page.next()?;
        if after.is_none() {
            break;
        }
    }
    drop(progress);
    let json = format!("{{\"would_retry\":{count}}}\n");
    print(&if args.json { json } else { format!("Would retry {}\n", plural(count)) });
    Ok(0)
}

fn plural(count: usize) -> String {
    format!("{count} {}", if count == 1 { "delivery" } else { "deliveries" })
}
