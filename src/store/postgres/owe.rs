//! Deliveries as rows, and those that are owed anew.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::answers::Answers;
use super::id;
use crate::clock::UnixMillis;
use crate::database::postgres::Connection;
use crate::store::{Id, Idempotent, Owed, Owing};

/// Locked, they are not purged meanwhile.
const LOCK: &str = "SELECT id FROM events WHERE id = ANY ($1) ORDER BY id FOR SHARE";

const OWE: &str = "
    INSERT INTO deliveries (id, event, destination, created_at, state, due_at, lease_token, possible_duplicate, variant,
        ordered, trigger, reason, signed_at, kind, attempts)
    SELECT given.*, e.kind, 0 FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[], $5::smallint[],
        $6::bigint[], $7::bigint[], $8::boolean[], $9::integer[], $10::boolean[], $11::smallint[], $12::text[],
        $13::bigint[]) AS given (id, event)
    JOIN events e ON e.id = given.event
    RETURNING id";

/// Deliveries by column: all that is written of them at first but the kind of their event.
#[derive(Default)]
pub struct Rows<'a> {
    ids: Vec<&'a [u8]>,
    events: Vec<&'a [u8]>,
    destinations: Vec<&'a str>,
    created_at: Vec<i64>,
    states: Vec<i16>,
    due_at: Vec<i64>,
    tokens: Vec<Option<i64>>,
    doubts: Vec<bool>,
    variants: Vec<i32>,
    ordered: Vec<bool>,
    triggers: Vec<i16>,
    reasons: Vec<Option<&'static str>>,
    signed_at: Vec<Option<i64>>,
}

impl<'a> Rows<'a> {
    pub fn push(&mut self, event: &'a Id, owed: &'a Owed, now: UnixMillis, possible_duplicate: bool) {
        let begun = owed.begin.written(now);
        self.ids.push(&owed.id.0);
        self.events.push(&event.0);
        self.destinations.push(&owed.destination);
        self.created_at.push(now.0);
        self.states.push(begun.state.code());
        self.due_at.push(begun.due_at.0);
        self.tokens.push(begun.token);
        self.doubts.push(possible_duplicate);
        self.variants.push(owed.variant.into());
        self.ordered.push(owed.ordered);
        self.triggers.push(owed.trigger.code());
        self.reasons.push(begun.reason);
        self.signed_at.push(begun.signed_at.map(|at| at.0));
    }

    pub fn columns(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.ids,
            &self.events,
            &self.destinations,
            &self.created_at,
            &self.states,
            &self.due_at,
            &self.tokens,
            &self.doubts,
            &self.variants,
            &self.ordered,
            &self.triggers,
            &self.reasons,
            &self.signed_at,
        ]
    }
}

pub async fn owe(
    connection: &mut Connection,
    deliveries: Vec<(Id, Owed)>,
    now: UnixMillis,
    idempotent: Option<Idempotent>,
) -> Result<Owing, Error> {
    let answers = Answers::prepare(connection).await?;
    let (lock, owe) = (connection.prepared(LOCK).await?, connection.prepared(OWE).await?);
    let transaction = connection.client.transaction().await?;
    let known = answers.claim(&transaction, &idempotent, now).await?;
    if let Some(replayed) = known.into_values().next() {
        transaction.rollback().await?;
        return Ok(Owing::Replayed(replayed));
    }
    let events: BTreeSet<&[u8]> = deliveries.iter().map(|(event, _)| &event.0[..]).collect();
    let events: Vec<&[u8]> = events.into_iter().collect();
    let mut rows = Rows::default();
    for (event, owed) in &deliveries {
        rows.push(event, owed, now, true);
    }
    let (asked, columns): ([&(dyn ToSql + Sync); 1], _) = ([&events], rows.columns());
    let (_, made) = tokio::try_join!(transaction.query(&lock, &asked), transaction.query(&owe, &columns))?;
    if made.is_empty() {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    let made: HashSet<Id> = made.iter().map(|row| id(row, 0)).collect();
    Ok(Owing::Done(deliveries.iter().map(|(_, owed)| made.contains(&owed.id)).collect()))
}
