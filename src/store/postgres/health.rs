//! What settlements say of endpoints: which of them fail, and what they did.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement, Transaction};

use crate::clock::UnixMillis;
use crate::database::postgres::Connection;
use crate::store::{Attempt, Id, Settlement, Verdict, day_of};

/// In the order of endpoints everywhere, so that two nodes never wait for each other.
const TALLY: &str = "
    INSERT INTO tallies AS t (endpoint, day, delivered, dead, duration_ms, last_delivered_at, last_dead_at)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    ON CONFLICT (endpoint, day) DO UPDATE SET
        delivered = t.delivered + excluded.delivered, dead = t.dead + excluded.dead,
        duration_ms = t.duration_ms + excluded.duration_ms,
        last_delivered_at = greatest(t.last_delivered_at, excluded.last_delivered_at),
        last_dead_at = greatest(t.last_dead_at, excluded.last_dead_at)";

const RECOVERED: &str = "DELETE FROM failing WHERE endpoint = ANY ($1)";

const FAILED: &str = "
    INSERT INTO failing AS f
        (endpoint, since, last_at, attempts, last_status, last_error, last_event, gone, exhausted, warned)
    SELECT given.*, false
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[], $7::bytea[],
        $8::boolean[], $9::boolean[]) AS given
    ON CONFLICT (endpoint) DO UPDATE SET
        since = least(f.since, excluded.since), last_at = greatest(f.last_at, excluded.last_at),
        attempts = f.attempts + excluded.attempts, last_status = excluded.last_status,
        last_error = excluded.last_error, last_event = excluded.last_event, gone = f.gone OR excluded.gone,
        exhausted = f.exhausted OR excluded.exhausted";

/// Writes it down within somebody's transaction.
pub struct Health {
    tally: Statement,
    recovered: Statement,
    failed: Statement,
}

/// What an endpoint did in a day.
#[derive(Default)]
struct Day {
    delivered: i64,
    dead: i64,
    duration_ms: i64,
    last_delivered_at: Option<i64>,
    last_dead_at: Option<i64>,
}

/// What an endpoint is after all of a group.
#[derive(Default)]
struct Standing<'a> {
    /// True if it took something.
    recovered: bool,
    /// What it failed since.
    failed: Option<Failures<'a>>,
}

/// Attempts at an endpoint that failed one after the other.
struct Failures<'a> {
    since: UnixMillis,
    count: i32,
    last: &'a Attempt,
    last_event: Id,
    gone: bool,
    exhausted: bool,
}

impl Health {
    pub async fn prepare(connection: &mut Connection) -> Result<Self, Error> {
        Ok(Self {
            tally: connection.prepared(TALLY).await?,
            recovered: connection.prepared(RECOVERED).await?,
            failed: connection.prepared(FAILED).await?,
        })
    }

    /// Counts settlements that applied, each with its event.
    pub async fn note<'a>(
        &self,
        transaction: &Transaction<'_>,
        settled: impl Iterator<Item = (&'a Settlement, Id)>,
    ) -> Result<(), Error> {
        let mut settled: Vec<(&str, &Settlement, Id)> = settled
            .filter_map(|(settlement, event)| Some((&**settlement.endpoint.as_ref()?, settlement, event)))
            .collect();
        if settled.is_empty() {
            return Ok(());
        }
        settled.sort_by_key(|(_, settlement, _)| settlement.attempt.ended_at());
        let mut days: BTreeMap<(&str, i64), Day> = BTreeMap::new();
        let mut standings: BTreeMap<&str, Standing<'_>> = BTreeMap::new();
        for (endpoint, settlement, event) in settled {
            let day = day_of(settlement.attempt.ended_at());
            // Also where there is nothing to count: whoever has the day of an endpoint may change its standing.
            days.entry((endpoint, day)).or_default().count(settlement);
            standings.entry(endpoint).or_default().note(settlement, event);
        }
        self.tally(transaction, &days).await?;
        let recovered: Vec<&str> =
            standings.iter().filter(|(_, standing)| standing.recovered).map(|(endpoint, _)| *endpoint).collect();
        if !recovered.is_empty() {
            transaction.execute(&self.recovered, &[&recovered]).await?;
        }
        let failed = standings.into_iter().filter_map(|(endpoint, standing)| Some((endpoint, standing.failed?)));
        self.fail(transaction, failed.collect()).await
    }

    async fn tally(&self, transaction: &Transaction<'_>, days: &BTreeMap<(&str, i64), Day>) -> Result<(), Error> {
        let endpoints: Vec<&str> = days.keys().map(|(endpoint, _)| *endpoint).collect();
        let dates: Vec<i64> = days.keys().map(|(_, day)| *day).collect();
        let delivered: Vec<i64> = days.values().map(|day| day.delivered).collect();
        let dead: Vec<i64> = days.values().map(|day| day.dead).collect();
        let durations: Vec<i64> = days.values().map(|day| day.duration_ms).collect();
        let delivered_at: Vec<Option<i64>> = days.values().map(|day| day.last_delivered_at).collect();
        let dead_at: Vec<Option<i64>> = days.values().map(|day| day.last_dead_at).collect();
        let given: [&(dyn ToSql + Sync); 7] =
            [&endpoints, &dates, &delivered, &dead, &durations, &delivered_at, &dead_at];
        transaction.execute(&self.tally, &given).await?;
        Ok(())
    }

    async fn fail(&self, transaction: &Transaction<'_>, failed: Vec<(&str, Failures<'_>)>) -> Result<(), Error> {
        if failed.is_empty() {
            return Ok(());
        }
        let endpoints: Vec<&str> = failed.iter().map(|(endpoint, _)| *endpoint).collect();
        let since: Vec<i64> = failed.iter().map(|(_, failures)| failures.since.0).collect();
        let last_at: Vec<i64> = failed.iter().map(|(_, failures)| failures.last.ended_at().0).collect();
        let counts: Vec<i32> = failed.iter().map(|(_, failures)| failures.count).collect();
        let statuses: Vec<Option<i32>> =
            failed.iter().map(|(_, failures)| failures.last.status.map(i32::from)).collect();
        let errors: Vec<Option<&str>> = failed.iter().map(|(_, failures)| failures.last.error.as_deref()).collect();
        let events: Vec<&[u8]> = failed.iter().map(|(_, failures)| &failures.last_event.0[..]).collect();
        let gone: Vec<bool> = failed.iter().map(|(_, failures)| failures.gone).collect();
        let exhausted: Vec<bool> = failed.iter().map(|(_, failures)| failures.exhausted).collect();
        let given: [&(dyn ToSql + Sync); 9] =
            [&endpoints, &since, &last_at, &counts, &statuses, &errors, &events, &gone, &exhausted];
        transaction.execute(&self.failed, &given).await?;
        Ok(())
    }
}

impl Day {
    fn count(&mut self, settlement: &Settlement) {
        let ended_at = Some(settlement.attempt.ended_at().0);
        match settlement.verdict {
            Verdict::Delivered => {
                self.delivered += 1;
                self.duration_ms = self.duration_ms.saturating_add(settlement.attempt.millis());
                self.last_delivered_at = ended_at;
            }
            Verdict::Dead { .. } => {
                self.dead += 1;
                self.last_dead_at = ended_at;
            }
            Verdict::Again { .. } => {}
        }
    }
}

impl<'a> Standing<'a> {
    /// A success ends what failed before; a failure that is the endpoint's own adds to it.
    fn note(&mut self, settlement: &'a Settlement, event: Id) {
        let attempt = &settlement.attempt;
        if settlement.verdict == Verdict::Delivered {
            *self = Self { recovered: true, failed: None };
        } else if attempt.charged {
            let before = self.failed.take();
            let before = before.as_ref();
            self.failed = Some(Failures {
                since: before.map_or(attempt.started_at, |before| before.since.min(attempt.started_at)),
                count: before.map_or(0, |before| before.count) + 1,
                last: attempt,
                last_event: event,
                gone: settlement.verdict.says_gone() || before.is_some_and(|before| before.gone),
                exhausted: settlement.verdict.disables() || before.is_some_and(|before| before.exhausted),
            });
        }
    }
}
