//! Keeps a group of events in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, Transaction};

use crate::clock::UnixMillis;
use crate::database::group::Queue;
use crate::database::postgres::{Connection, Lane};
use crate::store::{Accepted, Id, NewEvent, Remember};

/// What stands in the table before it is written.
const KNOWN: &str = "SELECT key, state, fingerprint, until FROM dedup WHERE key = ANY ($1)";

/// Takes the keys that are free. One that somebody has in flight is taken over: nothing says that it will be handled.
const REMEMBER: &str = "
    INSERT INTO dedup AS d (key, state, token, fingerprint, until)
    SELECT key, 3, 0, fingerprint, until
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS given (key, fingerprint, until) ORDER BY key
    ON CONFLICT (key) DO UPDATE
        SET state = 3, token = 0, fingerprint = excluded.fingerprint, until = excluded.until
        WHERE d.until <= $4 OR d.state <> 3
    RETURNING key";

const EVENTS: &str = "
    INSERT INTO events (id, source, event_id, accepted_at, method, query, headers, body)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[], $8::bytea[])";

const DELIVERIES: &str = "
    INSERT INTO deliveries (id, event, destination, created_at, state, due_at, attempts, possible_duplicate)
    SELECT id, event, destination, created_at, 0, created_at, 0, possible_duplicate
    FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[], $5::boolean[])
        AS given (id, event, destination, created_at, possible_duplicate)";

/// Serves groups until nobody can ask any more.
pub async fn serve(lane: Lane, queue: Arc<Queue<NewEvent, Accepted>>) {
    let weigh = |event: &NewEvent| event.message.headers.len() + event.message.body.len();
    while let Some((events, replies)) = queue.next(weigh).await {
        replies.send(lane.run(move |connection| Box::pin(accept(connection, events))).await);
    }
}

async fn accept(connection: &mut Connection, events: Vec<NewEvent>) -> Result<Vec<Accepted>, Error> {
    let statements = Statements {
        known: connection.prepared(KNOWN).await?,
        remember: connection.prepared(REMEMBER).await?,
        events: connection.prepared(EVENTS).await?,
        deliveries: connection.prepared(DELIVERIES).await?,
    };
    let transaction = connection.client.transaction().await?;
    let now = events.iter().map(|event| event.accepted_at).max().unwrap_or(UnixMillis(0));
    let (keys, guards) = (Keys::of(&events), Keys::of_guards(&events));
    let ((before, mut taken), (guarded, _)) = tokio::try_join!(
        keys.remember(&transaction, &statements, now),
        guards.remember(&transaction, &statements, now),
    )?;
    let judged = events.iter().map(|event| judge(event, &before, &guarded, &mut taken, now));
    let (outcomes, doubts): (Vec<Accepted>, Vec<bool>) = judged.unzip();
    let new = || {
        let all = events.iter().zip(&outcomes).zip(&doubts);
        all.filter(|((_, outcome), _)| **outcome == Accepted::New).map(|((event, _), doubt)| (event, *doubt))
    };
    tokio::try_join!(
        insert_events(&transaction, &statements.events, new().map(|(event, _)| event)),
        insert_deliveries(&transaction, &statements.deliveries, new()),
    )?;
    transaction.commit().await?;
    Ok(outcomes)
}

struct Statements {
    known: Statement,
    remember: Statement,
    events: Statement,
    deliveries: Statement,
}

/// What stood in the table.
struct Before {
    state: i16,
    fingerprint: u64,
    until: UnixMillis,
}

impl Before {
    /// True if somebody had begun with it who is not at it any more, as far as is known.
    fn is_in_doubt(&self, now: UnixMillis) -> bool {
        matches!(self.state, 1 | 4) || (self.state == 2 && now < self.until)
    }
}

type Key = [u8; 16];

/// Keys to be remembered, in one order everywhere, so that two nodes never wait for each other; none twice.
struct Keys(BTreeMap<Key, (u64, UnixMillis)>);

impl Keys {
    fn of(events: &[NewEvent]) -> Self {
        Self::gather(events, |what| Some(what.keys.key.bytes()))
    }

    fn of_guards(events: &[NewEvent]) -> Self {
        Self::gather(events, |what| what.keys.guard.map(|guard| guard.bytes()))
    }

    fn gather(events: &[NewEvent], key: impl Fn(&Remember) -> Option<Key>) -> Self {
        let mut keys = BTreeMap::new();
        for event in events {
            let Some(what) = &event.remember else { continue };
            if let Some(key) = key(what) {
                keys.entry(key).or_insert((what.keys.fingerprint, event.accepted_at.after(what.ttl)));
            }
        }
        Self(keys)
    }

    /// What stood there of them, and which of them are ours now.
    async fn remember(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        now: UnixMillis,
    ) -> Result<(HashMap<Key, Before>, HashSet<Key>), Error> {
        if self.0.is_empty() {
            return Ok(Default::default());
        }
        let keys: Vec<&[u8]> = self.0.keys().map(|key| &key[..]).collect();
        let fingerprints: Vec<i64> = self.0.values().map(|(fingerprint, _)| fingerprint.cast_signed()).collect();
        let untils: Vec<i64> = self.0.values().map(|(_, until)| until.0).collect();
        let asked: [&(dyn ToSql + Sync); 1] = [&keys];
        let given: [&(dyn ToSql + Sync); 4] = [&keys, &fingerprints, &untils, &now.0];
        let known = transaction.query(&statements.known, &asked);
        let taken = transaction.query(&statements.remember, &given);
        let (known, taken) = tokio::try_join!(known, taken)?;
        let key = |row: &Row| Id::from_slice(row.get(0)).0;
        let before = |row: &Row| {
            let fingerprint = row.get::<_, i64>(2).cast_unsigned();
            (key(row), Before { state: row.get(1), fingerprint, until: UnixMillis(row.get(3)) })
        };
        Ok((known.iter().map(before).collect(), taken.iter().map(key).collect()))
    }
}

/// What becomes of an event, and whether its destinations may have had it already. A key is taken once: its next copy in
/// the same group is a duplicate.
fn judge(
    event: &NewEvent,
    before: &HashMap<Key, Before>,
    guarded: &HashMap<Key, Before>,
    taken: &mut HashSet<Key>,
    now: UnixMillis,
) -> (Accepted, bool) {
    let Some(what) = &event.remember else { return (Accepted::New, false) };
    let key = what.keys.key.bytes();
    let stood = before.get(&key);
    if taken.remove(&key) {
        let begun = stood.is_some_and(|stood| stood.is_in_doubt(now));
        let known_body = what.keys.guard.and_then(|guard| guarded.get(&guard.bytes()));
        return (Accepted::New, begun || known_body.is_some_and(|stood| now < stood.until));
    }
    let conflict = stood.is_some_and(|stood| stood.fingerprint != what.keys.fingerprint);
    (Accepted::Duplicate { conflict }, false)
}

async fn insert_events(
    transaction: &Transaction<'_>,
    statement: &Statement,
    events: impl Iterator<Item = &NewEvent>,
) -> Result<(), Error> {
    let events: Vec<&NewEvent> = events.collect();
    let ids: Vec<&[u8]> = events.iter().map(|event| &event.id.0[..]).collect();
    let sources: Vec<&str> = events.iter().map(|event| event.source.as_str()).collect();
    let event_ids: Vec<Option<&str>> = events.iter().map(|event| event.event_id.as_deref()).collect();
    let accepted: Vec<i64> = events.iter().map(|event| event.accepted_at.0).collect();
    let methods: Vec<&str> = events.iter().map(|event| event.message.method.as_str()).collect();
    let queries: Vec<Option<&str>> = events.iter().map(|event| event.message.query.as_deref()).collect();
    let headers: Vec<&[u8]> = events.iter().map(|event| &event.message.headers[..]).collect();
    let bodies: Vec<&[u8]> = events.iter().map(|event| &event.message.body[..]).collect();
    let given: [&(dyn ToSql + Sync); 8] =
        [&ids, &sources, &event_ids, &accepted, &methods, &queries, &headers, &bodies];
    transaction.execute(statement, &given).await?;
    Ok(())
}

async fn insert_deliveries(
    transaction: &Transaction<'_>,
    statement: &Statement,
    events: impl Iterator<Item = (&NewEvent, bool)>,
) -> Result<(), Error> {
    let owed: Vec<(Id, &NewEvent, &str, bool)> = events
        .flat_map(|(event, doubt)| event.owed.iter().map(move |owed| (owed.id, event, &*owed.destination, doubt)))
        .collect();
    let ids: Vec<&[u8]> = owed.iter().map(|(id, ..)| &id.0[..]).collect();
    let events: Vec<&[u8]> = owed.iter().map(|(_, event, ..)| &event.id.0[..]).collect();
    let names: Vec<&str> = owed.iter().map(|(_, _, name, _)| *name).collect();
    let times: Vec<i64> = owed.iter().map(|(_, event, ..)| event.accepted_at.0).collect();
    let doubts: Vec<bool> = owed.iter().map(|(.., doubt)| *doubt).collect();
    let given: [&(dyn ToSql + Sync); 5] = [&ids, &events, &names, &times, &doubts];
    transaction.execute(statement, &given).await?;
    Ok(())
}
