//! Dedup in the file of the embedded store: it outlives the process, and belongs to it alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::remote::{Standing, StoreClaim};
use super::{ClaimKeys, DedupKey, Failure};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::sqlite::{Durability, Sqlite};

const IN_FLIGHT: i64 = 1;
const ATTEMPTED: i64 = 2;
const COMMITTED: i64 = 3;
/// In flight, and somebody had begun with it before.
const AGAIN: i64 = 4;

/// For so long after the end of its lease it is known of an event that somebody had begun with it.
const ABANDONED_FOR: Duration = Duration::from_secs(3 * 24 * 3600);

/// The store behind `dedup.store = "sqlite:…"`.
#[derive(Debug)]
pub struct SqliteDedup {
    database: Arc<Sqlite>,
    /// Nobody but this process has the file: what another one had in flight, it can no longer settle.
    boot: i64,
    /// Which part of the keys is swept next.
    slice: AtomicU8,
}

/// What an event that was to be remembered is to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembered {
    /// Not known until now.
    New {
        /// True if its body is known under another id, or somebody had begun with it.
        possible_duplicate: bool,
    },
    /// Committed within its time.
    Known { fingerprint: u64 },
}

impl SqliteDedup {
    /// Dedup in `database`.
    pub fn new(database: Arc<Sqlite>) -> Self {
        Self { database, boot: fastrand::i64(1..), slice: AtomicU8::new(0) }
    }

    /// See [`super::Remote`]. Outlives the process, not a loss of power: then at worst an event is forwarded unmarked.
    pub async fn claim(
        &self,
        keys: ClaimKeys,
        token: u64,
        lease: Duration,
        now: UnixMillis,
    ) -> Result<StoreClaim, StoreError> {
        let boot = self.boot;
        self.database.write(Durability::Process, move |c| claim(c, keys, token.cast_signed(), boot, lease, now)).await
    }

    /// See [`super::Remote`]. It is on the disk when this returns.
    pub async fn commit(&self, keys: ClaimKeys, ttl: Duration, now: UnixMillis) -> Result<(), StoreError> {
        self.database.write(Durability::Disk, move |c| commit(c, keys, now.after(ttl))).await
    }

    /// See [`super::Remote`].
    pub async fn release(
        &self,
        keys: ClaimKeys,
        token: u64,
        failure: Failure,
        ttl: Duration,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let work = move |c: &Connection| release(c, keys, token.cast_signed(), failure, ttl, now);
        self.database.write(Durability::Process, work).await
    }

    /// See [`super::Remote`].
    pub async fn standing(&self, key: DedupKey, now: UnixMillis) -> Result<Standing, StoreError> {
        let row = self.database.read(move |c| find(c, key)).await?;
        Ok(match row {
            Some(row) if row.is_in_flight() && row.boot == self.boot && now < row.until => Standing::InFlight,
            Some(row) if row.is_committed(now) => Standing::Committed,
            Some(row) if row.is_in_doubt(now) => Standing::Attempted,
            _ => Standing::Absent,
        })
    }

    /// See [`super::Remote`]. Writes a row that is no event's: a full disk can still be read.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let write = |c: &Connection| c.execute("INSERT OR REPLACE INTO dedup VALUES (x'', 0, 0, random(), 0, 0)", []);
        self.database.write(Durability::Process, write).await.map(|_| ())
    }

    /// Forgets what is over, in the next 256th part of the keys.
    pub async fn sweep(&self, now: UnixMillis) -> Result<(), StoreError> {
        let slice = self.slice.fetch_add(1, Ordering::Relaxed);
        self.database.write(Durability::Process, move |c| sweep(c, slice, now)).await
    }
}

struct Row {
    state: i64,
    token: i64,
    boot: i64,
    fingerprint: u64,
    until: UnixMillis,
}

impl Row {
    fn is_in_flight(&self) -> bool {
        self.state == IN_FLIGHT || self.state == AGAIN
    }

    fn is_committed(&self, now: UnixMillis) -> bool {
        self.state == COMMITTED && now < self.until
    }

    /// True if it is in flight, or committed.
    fn is_taken(&self, now: UnixMillis) -> bool {
        self.is_in_flight() || self.is_committed(now)
    }

    /// True if somebody had begun with it who is not at it any more.
    fn is_in_doubt(&self, now: UnixMillis) -> bool {
        self.is_in_flight() || (self.state == ATTEMPTED && now < self.until)
    }
}

fn find(connection: &Connection, key: DedupKey) -> Result<Option<Row>> {
    let mut statement =
        connection.prepare_cached("SELECT state, token, boot, fingerprint, until FROM dedup WHERE key = ?1")?;
    statement
        .query_row([key.bytes()], |row| {
            Ok(Row {
                state: row.get(0)?,
                token: row.get(1)?,
                boot: row.get(2)?,
                fingerprint: row.get::<_, i64>(3)?.cast_unsigned(),
                until: UnixMillis(row.get(4)?),
            })
        })
        .optional()
}

fn is_known(connection: &Connection, guard: Option<DedupKey>, now: UnixMillis) -> Result<bool> {
    match guard {
        Some(guard) => Ok(find(connection, guard)?.is_some_and(|row| now < row.until || row.is_in_flight())),
        None => Ok(false),
    }
}

fn put(
    connection: &Connection,
    key: DedupKey,
    state: i64,
    (token, boot): (i64, i64),
    fingerprint: u64,
    until: UnixMillis,
) -> Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO dedup VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![key.bytes(), state, token, boot, fingerprint.cast_signed(), until.0])?;
    Ok(())
}

fn claim(
    connection: &Connection,
    keys: ClaimKeys,
    token: i64,
    boot: i64,
    lease: Duration,
    now: UnixMillis,
) -> Result<StoreClaim> {
    let begun = match find(connection, keys.key)? {
        Some(row) if row.is_committed(now) => return Ok(StoreClaim::Committed { fingerprint: row.fingerprint }),
        Some(row) if row.is_in_flight() && row.token == token => row.state == AGAIN,
        Some(row) if row.is_in_flight() && row.boot == boot && now < row.until => return Ok(StoreClaim::InFlight),
        Some(row) => row.is_in_doubt(now),
        None => false,
    };
    let state = if begun { AGAIN } else { IN_FLIGHT };
    put(connection, keys.key, state, (token, boot), keys.fingerprint, now.after(lease))?;
    Ok(StoreClaim::Granted { possible_duplicate: begun || is_known(connection, keys.guard, now)? })
}

fn commit(connection: &Connection, keys: ClaimKeys, until: UnixMillis) -> Result<()> {
    for key in [Some(keys.key), keys.guard].into_iter().flatten() {
        // One that comes late does not shorten what is remembered.
        let known = find(connection, key)?.filter(|row| row.state == COMMITTED).map_or(until, |row| row.until);
        put(connection, key, COMMITTED, (0, 0), keys.fingerprint, until.max(known))?;
    }
    Ok(())
}

fn release(
    connection: &Connection,
    keys: ClaimKeys,
    token: i64,
    failure: Failure,
    ttl: Duration,
    now: UnixMillis,
) -> Result<()> {
    let row = find(connection, keys.key)?;
    let ours = row.as_ref().filter(|row| row.is_in_flight() && row.token == token);
    match (failure, ours) {
        (Failure::Definite, None) => Ok(()),
        (Failure::Definite, Some(row)) if row.state == IN_FLIGHT => {
            connection.prepare_cached("DELETE FROM dedup WHERE key = ?1")?.execute([keys.key.bytes()])?;
            Ok(())
        }
        // The doubt from before stays.
        (Failure::Definite, Some(_)) => put(connection, keys.key, ATTEMPTED, (0, 0), keys.fingerprint, now.after(ttl)),
        // An event that was forwarded without a claim leaves its doubt where nobody has it.
        (Failure::Ambiguous, _) if ours.is_some() || !row.as_ref().is_some_and(|row| row.is_taken(now)) => {
            put(connection, keys.key, ATTEMPTED, (0, 0), keys.fingerprint, now.after(ttl))?;
            match keys.guard {
                Some(guard) if !is_known(connection, keys.guard, now)? => {
                    put(connection, guard, ATTEMPTED, (0, 0), keys.fingerprint, now.after(ttl))
                }
                _ => Ok(()),
            }
        }
        (Failure::Ambiguous, _) => Ok(()),
    }
}

/// Remembers an event as handled, within the transaction that stores it. One that somebody has in flight is taken over:
/// nothing says that it will be handled.
pub fn remember(connection: &Connection, keys: ClaimKeys, ttl: Duration, now: UnixMillis) -> Result<Remembered> {
    let begun = match find(connection, keys.key)? {
        Some(row) if row.is_committed(now) => return Ok(Remembered::Known { fingerprint: row.fingerprint }),
        Some(row) => row.is_in_doubt(now),
        None => false,
    };
    let possible_duplicate = begun || is_known(connection, keys.guard, now)?;
    commit(connection, keys, now.after(ttl))?;
    Ok(Remembered::New { possible_duplicate })
}

/// Forgets what is over, among the keys that begin with this byte.
pub fn sweep(connection: &Connection, slice: u8, now: UnixMillis) -> Result<()> {
    let (low, high) = ([slice], slice.checked_add(1).map(|next| [next]));
    let mut statement = connection.prepare_cached(
        "DELETE FROM dedup WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND until <= CASE WHEN state IN (1, 4) THEN ?3 ELSE ?4 END",
    )?;
    statement.execute(params![low, high, now.before(ABANDONED_FOR).0, now.0])?;
    Ok(())
}
