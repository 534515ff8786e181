//! What a store holds, seen without the program.

use std::time::Duration;

use hookward::database::postgres::{Limits, Postgres, parse_url};
use hookward::database::sqlite::Sqlite;
use hookward::database::url::DatabaseUrl;
use hookward::store::{DeliveryFilter, DeliveryRow, MAX_PAGE, PostgresStore, SqliteStore, Stats, Store};
use tokio::runtime::Handle;

/// A store, opened by a test.
pub struct Stored(Store);

impl Stored {
    /// Opens it. A SQLite file must not be in use.
    pub fn open(url: &str) -> Self {
        Self(match DatabaseUrl::parse(url).expect("a URL") {
            DatabaseUrl::Sqlite(path) => Store::Sqlite(SqliteStore::new(Sqlite::open(&path).expect("a file"))),
            DatabaseUrl::Postgres(url) => {
                let limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(20) };
                let config = parse_url(&url).expect("a URL");
                let database = Postgres::new(config, limits, Handle::current()).expect("no TLS");
                Store::Postgres(Box::new(PostgresStore::new(&database)))
            }
        })
    }

    pub async fn stats(&self) -> Stats {
        self.0.stats().await.expect("an answer")
    }

    /// The first page of what is owed to anybody.
    pub async fn deliveries(&self) -> Vec<DeliveryRow> {
        let filter = DeliveryFilter { limit: MAX_PAGE, ..DeliveryFilter::default() };
        self.0.deliveries(filter).await.expect("an answer").data
    }
}

/// Ends the leases in a PostgreSQL that would end by themselves by `until`, in milliseconds: as time would.
pub async fn end_leases(url: &str, until: i64) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let sql = format!("UPDATE hookward.deliveries SET due_at = 0 WHERE state = 1 AND due_at <= {until}");
    client.batch_execute(&sql).await.expect("our database");
    drop(client);
    connection.await.expect("no panic").expect("a clean end");
}
