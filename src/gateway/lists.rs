//! Address lists that providers publish: asked for on schedule, judged, and kept.
//!
//! What was good is in force for as long as nothing better can be had: a list that cannot be fetched, or not be believed,
//! changes nothing. Lists outlive a change of settings, and, where there is a file, the process.

mod fetch;
mod file;
mod floor;
mod list;
mod standing;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::interval;
use tracing::{debug, info, warn};

use super::allow::Allow;
use super::source::Source;
use crate::clock::Clock;
use crate::egress::{Resolver, Roots};
use crate::network::Networks;
use crate::telemetry::metrics::{ListMetrics, Metrics};
use crate::telemetry::outcome::RefreshResult;
use fetch::{Failure, WHOLE_TIMEOUT, fetch};
use file::KeptList;
pub use list::List;
use standing::{CONFIRMED_AFTER, Standing, Taken};

/// How often it is looked whether a list is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The wait after the first failure. It doubles with each one that follows, up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(60);

const MAX_RETRY: Duration = Duration::from_secs(3600);

/// Each wait is made longer by up to this part, so that gateways do not ask all at once.
const JITTER: f64 = 0.1;

/// How lists are kept fresh.
#[derive(Debug, Clone, Default)]
pub struct Refresh {
    /// How often they are asked for; `None` where they are not.
    pub every: Option<Duration>,
    /// Where the last good ones are kept.
    pub file: Option<PathBuf>,
    /// The file of `roots`.
    pub ca_file: Option<String>,
    /// Who vouches for the providers' servers, instead of the system's certificates.
    pub roots: Option<Roots>,
}

/// All lists in use.
#[derive(Debug)]
pub struct Lists {
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    refresh: Refresh,
    entries: Vec<Entry>,
}

/// A list, and the sources that go by it.
#[derive(Debug)]
struct Entry {
    /// One for each source, at least one.
    users: Vec<Arc<List>>,
    standing: Standing,
    /// When it is asked for next, on the monotonic clock.
    due: Duration,
    /// How often that came to nothing since it last did.
    failures: u32,
    metrics: ListMetrics,
}

impl Lists {
    /// The lists of these sources: the snapshots, or what the file has that is newer.
    pub fn new(sources: &[Arc<Source>], refresh: &Refresh, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let lists = Self { state: Mutex::default(), metrics, clock };
        lists.adopt(sources, refresh);
        lists.restore();
        lists
    }

    /// Goes over to other sources and settings. What is known of a list that is still in use stays in force.
    pub fn adopt(&self, sources: &[Arc<Source>], refresh: &Refresh) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let mut before = std::mem::take(&mut state.entries);
        state.refresh = refresh.clone();
        for source in sources {
            let Allow::Provider(list) = &source.allow else { continue };
            if let Some(entry) = state.entries.iter_mut().find(|entry| entry.users[0].is_had_like(list)) {
                entry.users.push(Arc::clone(list));
                continue;
            }
            let known = before.iter().position(|entry| entry.users[0].is_had_like(list));
            let (standing, due, failures) = match known.map(|place| before.swap_remove(place)) {
                // Without refreshing it is the snapshot that counts.
                Some(known) if known.standing.fetched && refresh.every.is_some() => {
                    (known.standing, known.due, known.failures)
                }
                _ => (Standing::of(list), now, 0),
            };
            let due = refresh.every.map_or(due, |every| due.min(now + every));
            let (users, metrics) = (vec![Arc::clone(list)], self.metrics.list(&list.provider));
            state.entries.push(Entry { users, standing, due, failures, metrics });
        }
        for entry in &state.entries {
            entry.publish();
        }
        let in_use: HashSet<&str> = state.entries.iter().map(Entry::provider).collect();
        for gone in before.iter().map(Entry::provider).filter(|provider| !in_use.contains(provider)) {
            self.metrics.forget_list(gone);
        }
    }

    /// Asks for lists as they are due, for ever.
    pub async fn run(self: Arc<Self>, resolver: Resolver) {
        let mut fetching = JoinSet::new();
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                // Both branches are single events: the one that loses is still there in the next round.
                _ = look.tick() => {
                    for (list, roots) in self.take_due() {
                        let resolver = resolver.clone();
                        fetching.spawn(async move {
                            let fetched = fetch(&list.addresses.refresh, roots, resolver).await;
                            (list, fetched)
                        });
                    }
                }
                Some(ended) = fetching.join_next(), if !fetching.is_empty() => match ended {
                    Ok((list, fetched)) => if self.settle(&list, fetched) {
                        self.keep().await;
                    },
                    // It counts as a failure already, and is tried again.
                    Err(error) => warn!(%error, "Refreshing a provider's addresses broke off"),
                },
            }
        }
    }

    /// Brings the metrics that change by themselves up to date.
    pub fn measure(&self) {
        let now = self.clock.now();
        for entry in &self.state().entries {
            let age = entry.standing.since.map(|since| now.seconds_since(since).max(0));
            self.metrics.set_list_age(entry.provider(), age);
        }
    }

    /// The lists that are due now. Until something is heard of them, they count as failed.
    fn take_due(&self) -> Vec<(Arc<List>, Option<Roots>)> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let State { refresh, entries } = &mut *state;
        let mut due = Vec::new();
        for entry in entries.iter_mut().filter(|entry| entry.due <= now) {
            let list = &entry.users[0];
            let Some(every) = list.every(refresh) else { continue };
            due.push((Arc::clone(list), refresh.roots.clone()));
            entry.failures = entry.failures.saturating_add(1);
            entry.due = now + WHOLE_TIMEOUT + spread(retry_after(entry.failures).min(every));
        }
        due
    }

    /// Puts in force what was fetched. True if it is worth keeping.
    fn settle(&self, list: &List, fetched: Result<Networks, Failure>) -> bool {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut state = self.state();
        let State { refresh, entries } = &mut *state;
        // A reload may have let go of it, or of refreshing, meanwhile.
        let entry = entries.iter_mut().find(|entry| entry.users[0].is_had_like(list));
        let (Some(every), Some(entry)) = (list.every(refresh), entry) else { return false };
        let provider = list.provider.as_str();
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(failure) => {
                entry.due = monotonic + spread(retry_after(entry.failures).min(every));
                let (result, why) = match &failure {
                    Failure::Unreachable(why) => (RefreshResult::Unreachable, why),
                    Failure::Refused(why) => (RefreshResult::Refused, why),
                };
                entry.metrics.count(result);
                let kept =
                    if entry.standing.networks.is_empty() { "there is none" } else { "the last good one is kept" };
                warn!(%provider, "Cannot refresh a provider's address list: {why}; {kept}");
                return false;
            }
        };
        entry.failures = 0;
        let before = Arc::clone(&entry.standing.networks);
        let published = fetched.len();
        let taken = entry.standing.take(fetched, now, monotonic);
        let wait = if taken == Taken::Doubted { every.min(CONFIRMED_AFTER) } else { every };
        entry.due = monotonic + spread(wait);
        entry.metrics.count(if taken == Taken::Unchanged { RefreshResult::Unchanged } else { RefreshResult::Ok });
        entry.publish();
        let after = &entry.standing.networks;
        let missing = |from: &Networks, of: &Networks| of.iter().filter(|net| !from.cover(net)).count();
        match taken {
            Taken::Unchanged => debug!(%provider, networks = published, "A provider's address list is as it was"),
            Taken::New => info!(
                %provider,
                networks = published,
                added = missing(&before, after),
                dropped = missing(after, &before),
                "Took over a provider's address list"
            ),
            Taken::Doubted => warn!(
                %provider,
                networks = published,
                added = missing(&before, after),
                "A provider's address list drops more than half: what it drops is let in until the list was published for an hour"
            ),
        }
        true
    }

    /// Writes what is in force to the file, if there is one.
    async fn keep(&self) {
        let (file, lists) = {
            let state = self.state();
            let Some(file) = state.refresh.file.clone() else { return };
            (file, state.entries.iter().filter_map(Entry::kept).collect())
        };
        let path = file.clone();
        let written = spawn_blocking(move || file::write(&path, lists)).await;
        if let Err(error) = written.map_err(std::io::Error::other).flatten() {
            warn!(file = %file.display(), %error, "Cannot keep the providers' address lists");
        }
    }

    /// Puts in force what the file has, where it is newer than the snapshot. Nothing in it is fatal.
    fn restore(&self) {
        let mut state = self.state();
        let State { refresh, entries } = &mut *state;
        let (Some(file), true) = (&refresh.file, refresh.every.is_some()) else { return };
        let kept = match file::read(file) {
            Ok(kept) => kept,
            Err(error) => {
                warn!(file = %file.display(), error, "Cannot use the kept address lists, going by the snapshots");
                return;
            }
        };
        for entry in entries {
            let Some(kept) = kept.iter().find(|kept| entry.is_kept_as(kept)) else { continue };
            match kept.read() {
                // A program that was replaced may know better than the list that it kept.
                Ok((_, fetched)) if entry.users[0].read.is_some_and(|read| fetched < read) => {}
                Ok((networks, fetched)) => {
                    entry.standing = Standing::restored(networks, fetched);
                    entry.publish();
                }
                Err(error) => {
                    let (provider, file) = (entry.provider(), file.display());
                    warn!(%provider, %file, error, "Cannot use a kept address list, going by the snapshot");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn provider(&self) -> &str {
        &self.users[0].provider
    }

    /// Puts what is in force before the sources.
    fn publish(&self) {
        for user in &self.users {
            user.put(&self.standing.networks);
        }
        self.metrics.networks.set(self.standing.networks.len().try_into().unwrap_or(i64::MAX));
    }

    fn origins(&self) -> Vec<String> {
        self.users[0].addresses.refresh.iter().map(ToString::to_string).collect()
    }

    fn is_kept_as(&self, kept: &KeptList) -> bool {
        kept.provider == self.provider() && kept.from == self.origins()
    }

    /// As the file has it; `None` where nothing was fetched.
    fn kept(&self) -> Option<KeptList> {
        let Standing { networks, since, fetched, .. } = &self.standing;
        let since = since.filter(|_| *fetched)?;
        Some(KeptList::of(self.provider(), self.origins(), networks, since))
    }
}

/// The wait after so many failures in a row, at least one.
fn retry_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (FIRST_RETRY * (1 << doublings)).min(MAX_RETRY)
}

/// A wait, made longer by chance.
fn spread(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let minutes = |failures| retry_after(failures).as_secs() / 60;
        assert_eq!([1, 2, 3, 6, 7, u32::MAX].map(minutes), [1, 2, 4, 32, 60, 60]);
        let spread = spread(Duration::from_secs(100));
        assert!((100.0..=110.0).contains(&spread.as_secs_f64()), "{spread:?}");
    }
}
