//! Answers to requests that may come again: whoever writes one first has answered.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, Transaction};

use crate::clock::UnixMillis;
use crate::database::postgres::Connection;
use crate::store::{Id, Idempotent, Replayed};

/// Takes the keys that are free, in one order everywhere, so that two nodes never wait for each other. Whoever comes
/// second waits for the first one's transaction.
const CLAIM: &str = "
    INSERT INTO answers AS a (key, request, response, until)
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
    ON CONFLICT (key) DO UPDATE
        SET request = excluded.request, response = excluded.response, until = excluded.until WHERE a.until <= $5
    RETURNING key";

/// Another statement than the claim, since it sees what that one waited for.
const READ: &str = "SELECT key, request, response FROM answers WHERE key = ANY ($1)";

const WITHDRAW: &str = "DELETE FROM answers WHERE key = ANY ($1)";

/// Forgets what is over, among the keys from the first to before the second. What somebody writes anew is passed over.
const SWEEP: &str = "
    DELETE FROM answers WHERE key IN (
        SELECT key FROM answers WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) AND until <= $3
        FOR UPDATE SKIP LOCKED
    )";

/// Writes answers within somebody's transaction.
pub struct Answers {
    claim: Statement,
    read: Statement,
    withdraw: Statement,
}

/// What was answered before, by key.
type Known = HashMap<[u8; 16], Replayed>;

impl Answers {
    pub async fn prepare(connection: &mut Connection) -> Result<Self, Error> {
        Ok(Self {
            claim: connection.prepared(CLAIM).await?,
            read: connection.prepared(READ).await?,
            withdraw: connection.prepared(WITHDRAW).await?,
        })
    }

    /// Writes the answers to requests that are new, of which no two have one key. Returns those to the others.
    pub async fn claim(
        &self,
        transaction: &Transaction<'_>,
        asked: impl IntoIterator<Item = &Idempotent>,
        now: UnixMillis,
    ) -> Result<Known, Error> {
        let asked: BTreeMap<[u8; 16], &Idempotent> = asked.into_iter().map(|asked| (asked.key, asked)).collect();
        if asked.is_empty() {
            return Ok(Known::new());
        }
        let keys: Vec<&[u8]> = asked.keys().map(|key| &key[..]).collect();
        let requests: Vec<&[u8]> = asked.values().map(|asked| &asked.request[..]).collect();
        let responses: Vec<&[u8]> = asked.values().map(|asked| &asked.response[..]).collect();
        let untils: Vec<i64> = asked.values().map(|asked| asked.until.0).collect();
        let given: [&(dyn ToSql + Sync); 5] = [&keys, &requests, &responses, &untils, &now.0];
        let ours = transaction.query(&self.claim, &given).await?;
        let ours: HashSet<[u8; 16]> = ours.iter().map(key).collect();
        let theirs: Vec<&[u8]> = asked.keys().filter(|key| !ours.contains(*key)).map(|key| &key[..]).collect();
        if theirs.is_empty() {
            return Ok(Known::new());
        }
        let theirs = transaction.query(&self.read, &[&theirs]).await?;
        Ok(theirs.iter().map(|row| (key(row), replayed(row, 1))).collect())
    }

    /// Takes back answers of ours to what came to nothing.
    pub async fn withdraw(
        &self,
        transaction: &Transaction<'_>,
        vain: impl Iterator<Item = &Idempotent>,
    ) -> Result<(), Error> {
        let keys: Vec<&[u8]> = vain.map(|vain| &vain.key[..]).collect();
        if !keys.is_empty() {
            transaction.execute(&self.withdraw, &[&keys]).await?;
        }
        Ok(())
    }
}

pub async fn answered(connection: &mut Connection, key: [u8; 16], now: UnixMillis) -> Result<Option<Replayed>, Error> {
    let statement = connection.prepared("SELECT request, response FROM answers WHERE key = $1 AND until > $2").await?;
    let found = connection.client.query_opt(&statement, &[&&key[..], &now.0]).await?;
    Ok(found.map(|row| replayed(&row, 0)))
}

/// Forgets what is over, among the keys that begin with this byte.
pub async fn sweep(connection: &mut Connection, slice: u8, now: UnixMillis) -> Result<(), Error> {
    let (low, high) = ([slice], slice.checked_add(1).map(|next| [next]));
    let high = high.as_ref().map(|high| &high[..]);
    let statement = connection.prepared(SWEEP).await?;
    connection.client.execute(&statement, &[&&low[..], &high, &now.0]).await?;
    Ok(())
}

fn key(row: &Row) -> [u8; 16] {
    Id::from_slice(row.get(0)).0
}

/// Digest and response, from column `first` on.
fn replayed(row: &Row, first: usize) -> Replayed {
    Replayed { request: Id::from_slice(row.get(first)).0, response: row.get::<_, Vec<u8>>(first + 1).into() }
}
