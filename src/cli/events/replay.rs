//! `hookward events replay`: events once more, by their ids or by when they came.

use std::sync::Arc;

use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cli::listing::PageText;
use crate::cli::operator::{Failure, Operator, Reach, parse_moment};
use crate::cli::progress::Progress;
use crate::cli::{FAILURE, print};
use crate::clock::{Clock, UnixMillis};
use crate::operators::Operation;
use crate::store::{EventFilter, Id, MAX_PAGE};

/// So many at once: a store writes them together.
const AT_ONCE: usize = 16;

/// No more reasons than this are printed.
const MAX_REASONS: usize = 20;

#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Ids of events
    #[arg(value_name = "ID", required_unless_present_any = ["since", "until", "source"], conflicts_with_all = ["since", "until", "source"])]
    ids: Vec<Id>,
    /// All of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// All accepted since: how long ago, or a time, for example 2h or 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<UnixMillis>,
    /// All accepted before [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<UnixMillis>,
    /// To this destination only [default: all that the source has]
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Say how many would be replayed, and replay nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Replays what is meant, the oldest first. 1 if anything of it could not be done.
pub async fn run(args: ReplayArgs) -> Result<u8, Failure> {
    let operator = Arc::new(args.reach.operator().await?);
    let ids = if args.ids.is_empty() { find(&operator, &args).await? } else { args.ids.clone() };
    if args.dry_run {
        let json = format!("{{\"would_replay\":{}}}\n", ids.len());
        print(&if args.json { json } else { format!("Would replay {}\n", plural(ids.len(), "event")) });
        return Ok(0);
    }
    let mut replay = Replay { args, operator, total: ids.len(), replayed: 0, made: 0, failed: 0 };
    replay.all(&ids).await
}

/// The events that the filter leaves. What comes in the meantime is not among them.
async fn find(operator: &Operator, args: &ReplayArgs) -> Result<Vec<Id>, Failure> {
    let until = args.until.unwrap_or_else(|| Clock::System.millis());
    let filter = EventFilter {
        source: args.source.clone(),
        since: args.since,
        until: Some(until),
        limit: MAX_PAGE,
        ..EventFilter::default()
    };
    let mut progress = Progress::new("Found", None);
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let text = operator.ask(Operation::Events(EventFilter { after, ..filter.clone() })).await?;
        let page = PageText::parse(&text)?;
        for row in page.rows() {
            ids.push(row["id"].as_str().unwrap_or_default().parse().map_err(Failure::new)?);
        }
        progress.show(ids.len());
        after = page.next()?;
        if after.is_none() {
            ids.reverse();
            return Ok(ids);
        }
    }
}

/// A replay under way.
struct Replay {
    args: ReplayArgs,
    operator: Arc<Operator>,
    total: usize,
    replayed: usize,
    /// Deliveries that came of it.
    made: usize,
    failed: usize,
}

impl Replay {
    async fn all(&mut self, ids: &[Id]) -> Result<u8, Failure> {
        let mut progress = Progress::new("Replayed", Some(self.total));
        for (chunk, some) in ids.chunks(AT_ONCE).enumerate() {
            if let Err(failure) = self.some(some, &mut progress).await {
                progress.clear();
                let rest = ids.get(chunk * AT_ONCE).map(Id::made_at);
                let go_on = rest.map(|time| format!("; --since {time} goes on from there")).unwrap_or_default();
                let go_on = if self.args.ids.is_empty() { go_on } else { String::new() };
                let text = format!("{} after {} of {}{go_on}", failure.text, self.replayed, self.total);
                return Err(Failure { text, ..failure });
            }
            progress.show(self.replayed);
        }
        drop(progress);
        if !self.args.json {
            let made = if self.made == 1 { "1 delivery".to_owned() } else { format!("{} deliveries", self.made) };
            print(&format!("Replayed {}: {made}\n", plural(self.replayed, "event")));
        }
        if self.failed > 0 {
            eprintln!("error: {} could not be replayed", plural(self.failed, "event"));
            return Ok(FAILURE);
        }
        Ok(0)
    }

    /// Replays some at once. Those that cannot be are told of; what concerns all of them ends it.
    async fn some(&mut self, ids: &[Id], progress: &mut Progress) -> Result<(), Failure> {
        let mut asked = JoinSet::new();
        for id in ids {
            let (operator, destination) = (Arc::clone(&self.operator), self.args.destination.clone());
            let operation = Operation::Replay { event: *id, destination };
            asked.spawn(async move { operator.ask(operation).await });
        }
        let mut stopped = Ok(());
        while let Some(answer) = asked.join_next().await {
            match answer.unwrap_or_else(|_| Err(Failure::new("a request broke off"))) {
                Ok(text) => {
                    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
                    self.replayed += 1;
                    self.made += answer["deliveries"].as_array().map_or(0, Vec::len);
                    if self.args.json {
                        print(&format!("{text}\n"));
                    }
                }
                Err(failure) if failure.is_about_one => {
                    self.failed += 1;
                    if self.failed <= MAX_REASONS {
                        progress.clear();
                        eprintln!("error: {}", failure.text);
                    }
                }
                Err(failure) => stopped = Err(failure),
            }
        }
        stopped
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
