//! Keeps a group of batches in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, Transaction};

use super::answers::Answers;
use super::directory::Version;
use super::occurrences::Occurrences;
use super::owe::Rows;
use crate::clock::UnixMillis;
use crate::database::group::Queue;
use crate::database::postgres::{Connection, Lane};
use crate::store::occurrences::Told;
use crate::store::{Accepted, Batch, BatchOutcome, Id, Idempotent, NewEvent, Remember};

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
    INSERT INTO events (id, source, event_id, accepted_at, method, query, headers, body, account, kind)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[],
        $8::bytea[], $9::text[], $10::text[])";

const BODIES: &str = "
    INSERT INTO bodies (event, variant, body) SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bytea[])";

const DELIVERIES: &str = "
    INSERT INTO deliveries (id, event, destination, created_at, state, due_at, lease_token, possible_duplicate, variant,
        ordered, trigger, reason, signed_at, kind, attempts)
    SELECT given.*, 0 FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[], $5::smallint[], $6::bigint[],
        $7::bigint[], $8::boolean[], $9::integer[], $10::boolean[], $11::smallint[], $12::text[], $13::bigint[],
        $14::text[]) AS given";

/// Serves groups until nobody can ask any more.
pub async fn serve(lane: Lane, queue: Arc<Queue<Batch, BatchOutcome>>) {
    while let Some((batches, replies)) = queue.next(weight).await {
        replies.send(lane.run(move |connection| Box::pin(keep(connection, batches))).await);
    }
}

/// The bytes of a batch, with something for each row.
fn weight(batch: &Batch) -> usize {
    let of = |event: &NewEvent| {
        let counted = event.counted.iter().flat_map(|counted| &counted.body);
        let bodies: usize = event.variants.iter().chain(counted).map(|body| body.len()).sum();
        let rows = 1 + event.owed.len() + event.counted.len();
        event.message.headers.len() + event.message.body.len() + bodies + 128 * rows
    };
    batch.events.iter().map(of).sum()
}

/// Of batches with one idempotency key each waits for what becomes of the one before it.
async fn keep(connection: &mut Connection, batches: Vec<Batch>) -> Result<Vec<BatchOutcome>, Error> {
    let mut outcomes = BTreeMap::new();
    let mut left: Vec<(usize, &Batch)> = batches.iter().enumerate().collect();
    while !left.is_empty() {
        let mut keys = HashSet::new();
        let is_first = |batch: &Batch| batch.idempotent.as_ref().is_none_or(|idempotent| keys.insert(idempotent.key));
        let (now, later) = partition(left, is_first);
        let (places, batches): (Vec<usize>, Vec<&Batch>) = now.into_iter().unzip();
        outcomes.extend(places.into_iter().zip(keep_together(connection, &batches).await?));
        left = later;
    }
    Ok(outcomes.into_values().collect())
}

type Placed<'b> = Vec<(usize, &'b Batch)>;

fn partition<'b>(batches: Placed<'b>, mut now: impl FnMut(&Batch) -> bool) -> (Placed<'b>, Placed<'b>) {
    batches.into_iter().partition(|(_, batch)| now(batch))
}

async fn keep_together(connection: &mut Connection, batches: &[&Batch]) -> Result<Vec<BatchOutcome>, Error> {
    let answers = Answers::prepare(connection).await?;
    let keeper = Keeper::prepare(connection).await?;
    let version = Version::prepare_to_stay(connection).await?;
    let transaction = connection.client.transaction().await?;
    let now = batches.iter().map(|batch| batch.at()).max().unwrap_or(UnixMillis(0));
    let asked: Vec<&Idempotent> = batches.iter().filter_map(|batch| batch.idempotent.as_ref()).collect();
    let (known, version) = tokio::try_join!(
        answers.claim(&transaction, asked, now),
        read_version(&transaction, &version, batches.iter().any(|batch| batch.directory.is_some())),
    )?;
    let refused = |batch: &Batch| match batch.idempotent.as_ref().and_then(|asked| known.get(&asked.key)) {
        Some(replayed) => Some(BatchOutcome::Replayed(replayed.clone())),
        None => (batch.directory.is_some() && batch.directory != version).then_some(BatchOutcome::Outdated),
    };
    let refused: Vec<Option<BatchOutcome>> = batches.iter().map(|batch| refused(batch)).collect();
    let wanted: Vec<&NewEvent> = batches
        .iter()
        .zip(&refused)
        .filter(|(_, refused)| refused.is_none())
        .flat_map(|(batch, _)| &batch.events)
        .collect();
    let mut accepted = keeper.keep(&transaction, &wanted).await?.into_iter();
    let kept = |(batch, refused): (&&Batch, Option<BatchOutcome>)| {
        refused.unwrap_or_else(|| BatchOutcome::Kept(accepted.by_ref().take(batch.events.len()).collect()))
    };
    let outcomes: Vec<BatchOutcome> = batches.iter().zip(refused).map(kept).collect();
    // An answer is kept where it says what became of the batch: that all of it is new.
    let untold = |outcome: &BatchOutcome| match outcome {
        BatchOutcome::Kept(accepted) => accepted.iter().any(|accepted| *accepted != Accepted::New),
        BatchOutcome::Outdated => true,
        BatchOutcome::Replayed(_) => false,
    };
    let vain = batches.iter().zip(&outcomes).filter(|(_, outcome)| untold(outcome));
    answers.withdraw(&transaction, vain.filter_map(|(batch, _)| batch.idempotent.as_ref())).await?;
    transaction.commit().await?;
    Ok(outcomes)
}

/// The version of the directory, which stays until the end of the transaction; only if somebody wants to know.
async fn read_version(transaction: &Transaction<'_>, version: &Version, wanted: bool) -> Result<Option<i64>, Error> {
    if !wanted {
        return Ok(None);
    }
    version.read(transaction).await.map(Some)
}

/// Keeps events within somebody's transaction.
pub struct Keeper {
    known: Statement,
    remember: Statement,
    events: Statement,
    bodies: Statement,
    deliveries: Statement,
    occurrences: Occurrences,
}

/// An event that was not known before.
struct New<'a> {
    event: &'a NewEvent,
    /// True if its destinations may have had it all the same.
    doubt: bool,
    told: Told,
}

impl Keeper {
    pub async fn prepare(connection: &mut Connection) -> Result<Self, Error> {
        Ok(Self {
            known: connection.prepared(KNOWN).await?,
            remember: connection.prepared(REMEMBER).await?,
            events: connection.prepared(EVENTS).await?,
            bodies: connection.prepared(BODIES).await?,
            deliveries: connection.prepared(DELIVERIES).await?,
            occurrences: Occurrences::prepare(connection).await?,
        })
    }

    pub async fn keep(&self, transaction: &Transaction<'_>, events: &[&NewEvent]) -> Result<Vec<Accepted>, Error> {
        let now = events.iter().map(|event| event.accepted_at).max().unwrap_or(UnixMillis(0));
        let (keys, guards) = (Keys::of(events), Keys::of_guards(events));
        let ((before, mut taken), (guarded, _)) =
            tokio::try_join!(keys.remember(transaction, self, now), guards.remember(transaction, self, now))?;
        let judged = events.iter().map(|event| judge(event, &before, &guarded, &mut taken, now));
        let (outcomes, doubts): (Vec<Accepted>, Vec<bool>) = judged.unzip();
        let all = events.iter().zip(&outcomes).zip(doubts);
        let new = all.filter(|((_, outcome), _)| **outcome == Accepted::New);
        let (new, doubts): (Vec<&NewEvent>, Vec<bool>) = new.map(|((event, _), doubt)| (*event, doubt)).unzip();
        if !new.is_empty() {
            let (told, windows) = self.occurrences.count(transaction, &new).await?;
            let all = new.into_iter().zip(doubts).zip(told);
            let new: Vec<New<'_>> = all.map(|((event, doubt), told)| New { event, doubt, told }).collect();
            tokio::try_join!(
                insert_events(transaction, &self.events, &new),
                insert_bodies(transaction, &self.bodies, &new),
                insert_deliveries(transaction, &self.deliveries, &new),
                self.occurrences.write(transaction, &windows),
            )?;
        }
        Ok(outcomes)
    }
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
    fn of(events: &[&NewEvent]) -> Self {
        Self::gather(events, |what| Some(what.keys.key.bytes()))
    }

    fn of_guards(events: &[&NewEvent]) -> Self {
        Self::gather(events, |what| what.keys.guard.map(|guard| guard.bytes()))
    }

    fn gather(events: &[&NewEvent], key: impl Fn(&Remember) -> Option<Key>) -> Self {
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
        keeper: &Keeper,
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
        let known = transaction.query(&keeper.known, &asked);
        let taken = transaction.query(&keeper.remember, &given);
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

async fn insert_events(transaction: &Transaction<'_>, statement: &Statement, events: &[New<'_>]) -> Result<(), Error> {
    let events: Vec<&NewEvent> = events.iter().map(|new| new.event).collect();
    let ids: Vec<&[u8]> = events.iter().map(|event| &event.id.0[..]).collect();
    let sources: Vec<&str> = events.iter().map(|event| event.source.as_str()).collect();
    let event_ids: Vec<Option<&str>> = events.iter().map(|event| event.event_id.as_deref()).collect();
    let accepted: Vec<i64> = events.iter().map(|event| event.accepted_at.0).collect();
    let methods: Vec<&str> = events.iter().map(|event| event.message.method.as_str()).collect();
    let queries: Vec<Option<&str>> = events.iter().map(|event| event.message.query.as_deref()).collect();
    let headers: Vec<&[u8]> = events.iter().map(|event| &event.message.headers[..]).collect();
    let bodies: Vec<&[u8]> = events.iter().map(|event| &event.message.body[..]).collect();
    let accounts: Vec<Option<&str>> = events.iter().map(|event| event.account()).collect();
    let kinds: Vec<Option<&str>> = events.iter().map(|event| event.kind()).collect();
    let given: [&(dyn ToSql + Sync); 10] =
        [&ids, &sources, &event_ids, &accepted, &methods, &queries, &headers, &bodies, &accounts, &kinds];
    transaction.execute(statement, &given).await?;
    Ok(())
}

/// The bodies of all variants but the first, which stands with the event.
async fn insert_bodies(transaction: &Transaction<'_>, statement: &Statement, events: &[New<'_>]) -> Result<(), Error> {
    let all = events.iter().flat_map(|New { event, told, .. }| {
        let bodies = (1..).zip(&event.variants);
        let told = told.bodies().map(|(variant, body)| (i32::from(variant), body));
        bodies.chain(told).map(move |(variant, body)| (event, variant, body))
    });
    let bodies: Vec<(&&NewEvent, i32, _)> = all.collect();
    if bodies.is_empty() {
        return Ok(());
    }
    let ids: Vec<&[u8]> = bodies.iter().map(|(event, ..)| &event.id.0[..]).collect();
    let variants: Vec<i32> = bodies.iter().map(|(_, variant, _)| *variant).collect();
    let bodies: Vec<&[u8]> = bodies.iter().map(|(.., body)| &body[..]).collect();
    transaction.execute(statement, &[&ids, &variants, &bodies]).await?;
    Ok(())
}

async fn insert_deliveries(
    transaction: &Transaction<'_>,
    statement: &Statement,
    events: &[New<'_>],
) -> Result<(), Error> {
    let mut rows = Rows::default();
    let mut kinds = Vec::new();
    for New { event, doubt, told } in events {
        for owed in event.owed.iter().chain(&told.owed) {
            rows.push(&event.id, owed, event.accepted_at, *doubt);
            kinds.push(event.kind());
        }
    }
    if kinds.is_empty() {
        return Ok(());
    }
    let kinds: [&(dyn ToSql + Sync); 1] = [&kinds];
    transaction.execute(statement, &[&rows.columns()[..], &kinds].concat()).await?;
    Ok(())
}
