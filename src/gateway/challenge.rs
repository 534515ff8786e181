//! What is done about a challenge: it is answered, the URL that it names is visited, or the secret that it brings is kept.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::info;

use super::record::Record;
use super::respond::{self, Reply};
use super::source::Source;
use super::{Gateway, Worker};
use crate::egress::{Pool, Roots, Url};
use crate::signature::challenge::{Met, Wanted};
use crate::telemetry::outcome::Outcome;

/// How long a challenge waits for what it wants visited. Providers wait 15 s and more.
const TIMEOUT: Duration = Duration::from_secs(10);

/// So many URLs are visited in [`WINDOW`], over all sources: a challenge may be sent again by whoever has seen it.
const MAX_VISITS: u32 = 20;

const WINDOW: Duration = Duration::from_secs(60);

/// When the window began on the monotonic clock, and how many URLs were visited in it.
#[derive(Debug, Default)]
pub struct Visits(Mutex<(Duration, u32)>);

impl Visits {
    /// False where there were too many lately.
    fn may_begin(&self, now: Duration) -> bool {
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(visits.0) >= WINDOW {
            *visits = (now, 0);
        }
        visits.1 += 1;
        visits.1 <= MAX_VISITS
    }
}

impl Worker {
    /// Does what a challenge wants, and answers it. Nothing of it is forwarded or remembered.
    pub(super) async fn meet(&self, source: &Source, met: Met, record: &mut Record) -> Reply {
        record.met(&met);
        let done = match met.wanted {
            Wanted::Answer(answer) => Ok(answer),
            Wanted::Visit(url) => visit(&self.gateway, source, &url).await.map(|()| None),
            Wanted::Learn(secret, answer) => source.learn(secret).map(|()| answer),
        };
        let (outcome, reply) = match done {
            Ok(Some(answer)) => (Outcome::Challenge, respond::challenge(answer)),
            Ok(None) => (Outcome::Challenge, respond::accepted(source)),
            Err(why) => {
                record.not_done(format!("{why:#}"));
                (Outcome::Unmet, respond::not_done())
            }
        };
        record.finish(outcome, reply.status(), None);
        reply
    }
}

/// Asks for a URL that a signed challenge names and its preset allows. Redirects are not followed, and what is there is
/// not read.
async fn visit(gateway: &Gateway, source: &Source, url: &str) -> anyhow::Result<()> {
    if !gateway.visits.may_begin(gateway.clock.monotonic()) {
        anyhow::bail!("more than {MAX_VISITS} of them want a URL visited within a minute");
    }
    let url = Url::parse(url).map_err(anyhow::Error::msg)?;
    let pool = Pool::new(url.target.clone(), Some(Roots::system()?), TIMEOUT);
    let answer = pool.exchange(url.get("*/*")?, TIMEOUT).await?;
    if !answer.status().is_success() {
        anyhow::bail!("{} answered {}", url.target, answer.status());
    }
    info!(source.name = %source.name, host = %url.target, "Visited what a challenge of the provider names");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_few_in_each_window() {
        let visits = Visits::default();
        let begun = (0..MAX_VISITS + 5).filter(|_| visits.may_begin(Duration::from_secs(100))).count();
        assert_eq!(begun, MAX_VISITS as usize);
        assert!(!visits.may_begin(Duration::from_secs(100 + 59)));
        assert!(visits.may_begin(Duration::from_secs(100 + 60)));
    }
}
