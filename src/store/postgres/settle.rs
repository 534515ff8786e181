//! Writes down what became of a group of deliveries.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::database::group::Queue;
use crate::database::postgres::{Connection, Lane};
use crate::store::{Id, Settlement, State, Verdict};

/// A success counts whoever has the lease by now; anything else only from its owner.
const SETTLE: &str = "
    UPDATE deliveries d
    SET state = given.state, due_at = given.due_at, lease_token = NULL, attempts = d.attempts + given.charged,
        possible_duplicate = given.possible_duplicate
    FROM unnest($1::bytea[], $2::bigint[], $3::smallint[], $4::bigint[], $5::integer[], $6::boolean[])
        AS given (id, token, state, due_at, charged, possible_duplicate)
    WHERE d.id = given.id
        AND ((given.state = 2 AND d.state <> 2) OR (d.state = 1 AND d.lease_token = given.token))
    RETURNING d.id";

const LOG: &str = "
    INSERT INTO attempts (delivery, started_at, duration_ms, status, error, charged)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::boolean[])
    ON CONFLICT DO NOTHING";

/// Serves groups until nobody can ask any more.
pub async fn serve(lane: Lane, queue: Arc<Queue<Settlement, bool>>) {
    while let Some((settlements, replies)) = queue.next(|_| size_of::<Settlement>()).await {
        replies.send(lane.run(move |connection| Box::pin(settle(connection, settlements))).await);
    }
}

async fn settle(connection: &mut Connection, mut settlements: Vec<Settlement>) -> Result<Vec<bool>, Error> {
    let asked: Vec<Id> = settlements.iter().map(|settlement| settlement.id).collect();
    // In one order everywhere, so that two nodes never wait for each other.
    settlements.sort_by_key(|settlement| settlement.id);
    let rows: Vec<Values> = settlements.iter().map(Values::of).collect();
    let ids: Vec<&[u8]> = settlements.iter().map(|settlement| &settlement.id.0[..]).collect();
    let tokens: Vec<i64> = settlements.iter().map(|settlement| settlement.token).collect();
    let states: Vec<i16> = rows.iter().map(|row| row.state.code()).collect();
    let due: Vec<i64> = rows.iter().map(|row| row.due_at).collect();
    let charged: Vec<i32> = settlements.iter().map(|settlement| i32::from(settlement.attempt.charged)).collect();
    let doubts: Vec<bool> = rows.iter().map(|row| row.possible_duplicate).collect();

    let (settle, log) = (connection.prepared(SETTLE).await?, connection.prepared(LOG).await?);
    let transaction = connection.client.transaction().await?;
    let given: [&(dyn ToSql + Sync); 6] = [&ids, &tokens, &states, &due, &charged, &doubts];
    let settled = transaction.query(&settle, &given);

    let attempts: Vec<_> = settlements.iter().map(|settlement| &settlement.attempt).collect();
    let started: Vec<i64> = attempts.iter().map(|attempt| attempt.started_at.0).collect();
    let durations: Vec<i64> =
        attempts.iter().map(|attempt| i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX)).collect();
    let statuses: Vec<Option<i32>> = attempts.iter().map(|attempt| attempt.status.map(i32::from)).collect();
    let errors: Vec<Option<&str>> = attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
    let count: Vec<bool> = attempts.iter().map(|attempt| attempt.charged).collect();
    let given: [&(dyn ToSql + Sync); 6] = [&ids, &started, &durations, &statuses, &errors, &count];
    let logged = transaction.execute(&log, &given);

    let (settled, _) = tokio::try_join!(settled, logged)?;
    transaction.commit().await?;
    let settled: HashSet<Id> = settled.iter().map(|row| Id::from_slice(row.get(0))).collect();
    Ok(asked.iter().map(|id| settled.contains(id)).collect())
}

/// What a verdict writes.
struct Values {
    state: State,
    due_at: i64,
    possible_duplicate: bool,
}

impl Values {
    fn of(settlement: &Settlement) -> Self {
        let ended_at = settlement.attempt.started_at.after(settlement.attempt.duration).0;
        match settlement.verdict {
            Verdict::Delivered => Self { state: State::Delivered, due_at: ended_at, possible_duplicate: false },
            Verdict::Again { due_at, possible_duplicate } => {
                Self { state: State::Waiting, due_at: due_at.0, possible_duplicate }
            }
            Verdict::Dead { possible_duplicate, .. } => {
                Self { state: State::Dead, due_at: ended_at, possible_duplicate }
            }
        }
    }
}
