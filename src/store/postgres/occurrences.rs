//! Counts events that repeat, within the transaction that keeps them.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, Transaction};

use crate::clock::UnixMillis;
use crate::database::postgres::Connection;
use crate::store::occurrences::{Key, Told, WINDOWS_KEPT, Window};
use crate::store::{Id, NewEvent};

/// Locks what is counted, in one order everywhere, so that two nodes never wait for each other, and says how far it is.
/// What is not there begins as what has never happened.
const LOCK: &str = "
    INSERT INTO occurrences AS o (destination, of, until, count)
    SELECT destination, of, $3, $4 FROM unnest($1::text[], $2::bytea[]) AS given (destination, of)
    ON CONFLICT (destination, of) DO UPDATE SET count = o.count
    RETURNING destination, of, until, count";

const COUNT: &str = "
    UPDATE occurrences o SET until = given.until, count = given.count
    FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[]) AS given (destination, of, until, count)
    WHERE o.destination = given.destination AND o.of = given.of";

/// What somebody counts is passed over.
const SWEEP: &str = "
    DELETE FROM occurrences o USING (
        SELECT destination, of FROM occurrences WHERE until <= $1 FOR UPDATE SKIP LOCKED
    ) over WHERE o.destination = over.destination AND o.of = over.of";

/// In the order in which they are counted.
pub const FORGET: &str = "
    WITH gone AS (
        SELECT destination, of FROM occurrences WHERE destination = $1 ORDER BY of FOR UPDATE
    )
    DELETE FROM occurrences o USING gone WHERE o.destination = gone.destination AND o.of = gone.of";

/// Counts within somebody's transaction.
pub struct Occurrences {
    lock: Statement,
    count: Statement,
}

/// How far it is with each that is counted, once it is.
pub struct Windows<'a>(BTreeMap<Key<'a>, Window>);

impl Occurrences {
    pub async fn prepare(connection: &mut Connection) -> Result<Self, Error> {
        Ok(Self { lock: connection.prepared(LOCK).await?, count: connection.prepared(COUNT).await? })
    }

    /// Counts events that are new, each after those before it: what follows for each of them, and what is to be written.
    pub async fn count<'a>(
        &self,
        transaction: &Transaction<'_>,
        events: &[&'a NewEvent],
    ) -> Result<(Vec<Told>, Windows<'a>), Error> {
        let mut windows = self.lock(transaction, events).await?;
        let count = |event: &&'a NewEvent| {
            let mut told = Told::of(event);
            for counted in &event.counted {
                let window = windows.0.entry(counted.key()).or_insert(Window::NEVER);
                told.add(counted, window.count(event.accepted_at, counted.window));
            }
            told
        };
        Ok((events.iter().map(count).collect(), windows))
    }

    async fn lock<'a>(&self, transaction: &Transaction<'_>, events: &[&'a NewEvent]) -> Result<Windows<'a>, Error> {
        let keys = events.iter().flat_map(|event| &event.counted).map(|counted| (counted.key(), Window::NEVER));
        let mut windows: BTreeMap<Key<'a>, Window> = keys.collect();
        if windows.is_empty() {
            return Ok(Windows(windows));
        }
        let (destinations, of) = columns(&windows);
        let Window { until, count } = Window::NEVER;
        let given: [&(dyn ToSql + Sync); 4] = [&destinations, &of, &until.0, &count];
        let locked = transaction.query(&self.lock, &given).await?;
        let found = |row: &Row| Window { until: UnixMillis(row.get(2)), count: row.get(3) };
        let key = |row| (Row::get::<_, &str>(row, 0), Id::from_slice(row.get(1)).0);
        let locked: HashMap<Key<'_>, Window> = locked.iter().map(|row| (key(row), found(row))).collect();
        for (key, window) in &mut windows {
            *window = locked.get(key).copied().unwrap_or(*window);
        }
        Ok(Windows(windows))
    }

    pub async fn write(&self, transaction: &Transaction<'_>, windows: &Windows<'_>) -> Result<(), Error> {
        let Windows(windows) = windows;
        if windows.is_empty() {
            return Ok(());
        }
        let (destinations, of) = columns(windows);
        let until: Vec<i64> = windows.values().map(|window| window.until.0).collect();
        let counts: Vec<i64> = windows.values().map(|window| window.count).collect();
        let given: [&(dyn ToSql + Sync); 4] = [&destinations, &of, &until, &counts];
        transaction.execute(&self.count, &given).await?;
        Ok(())
    }
}

fn columns<'w>(windows: &'w BTreeMap<Key<'w>, Window>) -> (Vec<&'w str>, Vec<&'w [u8]>) {
    windows.keys().map(|(destination, of)| (*destination, &of[..])).unzip()
}

/// Forgets windows that are over.
pub async fn sweep(connection: &mut Connection, now: UnixMillis) -> Result<(), Error> {
    let statement = connection.prepared(SWEEP).await?;
    connection.client.execute(&statement, &[&now.before(WINDOWS_KEPT).0]).await?;
    Ok(())
}
