//! Writes down what became of a group of deliveries.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::health::Health;
use super::id;
use crate::clock::UnixMillis;
use crate::database::group::Queue;
use crate::database::postgres::{Connection, Lane};
use crate::store::{Id, Settlement, State, Verdict};

/// A success counts whoever has the lease by now; anything else only from its owner.
const SETTLE: &str = "
    UPDATE deliveries d
    SET state = given.state, due_at = given.due_at, lease_token = NULL, attempts = d.attempts + given.charged,
        possible_duplicate = given.possible_duplicate, reason = given.reason
    FROM unnest($1::bytea[], $2::bigint[], $3::smallint[], $4::bigint[], $5::integer[], $6::boolean[], $7::text[])
        AS given (id, token, state, due_at, charged, possible_duplicate, reason)
    WHERE d.id = given.id
        AND ((given.state = 2 AND d.state <> 2) OR (d.state = 1 AND d.lease_token = given.token))
    RETURNING d.id, d.event";

const LOG: &str = "
    INSERT INTO attempts (delivery, started_at, duration_ms, status, error, charged, exchange)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::boolean[], $7::bytea[])
    ON CONFLICT DO NOTHING";

/// Serves groups until nobody can ask any more.
pub async fn serve(lane: Lane, queue: Arc<Queue<Settlement, bool>>) {
    while let Some((settlements, replies)) = queue.next(weight).await {
        replies.send(lane.run(move |connection| Box::pin(settle(connection, settlements))).await);
    }
}

fn weight(settlement: &Settlement) -> usize {
    size_of::<Settlement>() + settlement.attempt.exchange.as_ref().map_or(0, |exchange| exchange.len())
}

/// Of several for one delivery each waits for what becomes of the one before it.
async fn settle(connection: &mut Connection, settlements: Vec<Settlement>) -> Result<Vec<bool>, Error> {
    let mut outcomes = BTreeMap::new();
    let mut left: Vec<(usize, &Settlement)> = settlements.iter().enumerate().collect();
    // In one order everywhere, so that two nodes never wait for each other.
    left.sort_by_key(|(_, settlement)| settlement.id);
    while !left.is_empty() {
        let mut known = None;
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, settlement)| known.replace(settlement.id) != Some(settlement.id));
        let (places, settlements): (Vec<usize>, Vec<&Settlement>) = now.into_iter().unzip();
        outcomes.extend(places.into_iter().zip(settle_together(connection, &settlements).await?));
        left = later;
    }
    Ok(outcomes.into_values().collect())
}

async fn settle_together(connection: &mut Connection, settlements: &[&Settlement]) -> Result<Vec<bool>, Error> {
    let rows: Vec<Values> = settlements.iter().map(|settlement| Values::of(settlement)).collect();
    let ids: Vec<&[u8]> = settlements.iter().map(|settlement| &settlement.id.0[..]).collect();
    let tokens: Vec<i64> = settlements.iter().map(|settlement| settlement.token).collect();
    let states: Vec<i16> = rows.iter().map(|row| row.state.code()).collect();
    let due: Vec<i64> = rows.iter().map(|row| row.due_at.0).collect();
    let charged: Vec<i32> = settlements.iter().map(|settlement| i32::from(settlement.attempt.charged)).collect();
    let doubts: Vec<bool> = rows.iter().map(|row| row.possible_duplicate).collect();
    let reasons: Vec<Option<&str>> = rows.iter().map(|row| row.reason).collect();

    let (settle, log) = (connection.prepared(SETTLE).await?, connection.prepared(LOG).await?);
    let health = match settlements.iter().any(|settlement| settlement.endpoint.is_some()) {
        true => Some(Health::prepare(connection).await?),
        false => None,
    };
    let transaction = connection.client.transaction().await?;
    let given: [&(dyn ToSql + Sync); 7] = [&ids, &tokens, &states, &due, &charged, &doubts, &reasons];
    let settled = transaction.query(&settle, &given);

    let attempts: Vec<_> = settlements.iter().map(|settlement| &settlement.attempt).collect();
    let started: Vec<i64> = attempts.iter().map(|attempt| attempt.started_at.0).collect();
    let durations: Vec<i64> = attempts.iter().map(|attempt| attempt.millis()).collect();
    let statuses: Vec<Option<i32>> = attempts.iter().map(|attempt| attempt.status.map(i32::from)).collect();
    let errors: Vec<Option<&str>> = attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
    let count: Vec<bool> = attempts.iter().map(|attempt| attempt.charged).collect();
    let exchanges: Vec<Option<&[u8]>> = attempts.iter().map(|attempt| attempt.exchange.as_deref()).collect();
    let given: [&(dyn ToSql + Sync); 7] = [&ids, &started, &durations, &statuses, &errors, &count, &exchanges];
    let logged = transaction.execute(&log, &given);

    let (settled, _) = tokio::try_join!(settled, logged)?;
    let settled: HashMap<Id, Id> = settled.iter().map(|row| (id(row, 0), id(row, 1))).collect();
    if let Some(health) = health {
        let applied = settlements.iter().filter_map(|settlement| Some((*settlement, *settled.get(&settlement.id)?)));
        health.note(&transaction, applied).await?;
    }
    transaction.commit().await?;
    Ok(settlements.iter().map(|settlement| settled.contains_key(&settlement.id)).collect())
}

/// What a verdict writes.
struct Values {
    state: State,
    due_at: UnixMillis,
    possible_duplicate: bool,
    reason: Option<&'static str>,
}

impl Values {
    fn of(settlement: &Settlement) -> Self {
        let due_at = settlement.attempt.ended_at();
        match settlement.verdict {
            Verdict::Delivered => Self { state: State::Delivered, due_at, possible_duplicate: false, reason: None },
            Verdict::Again { due_at, possible_duplicate } => {
                Self { state: State::Waiting, due_at, possible_duplicate, reason: None }
            }
            Verdict::Dead { possible_duplicate, reason, consequence } => {
                Self { state: consequence.state(), due_at, possible_duplicate, reason: Some(reason) }
            }
        }
    }
}
