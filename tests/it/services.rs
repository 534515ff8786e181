//! The servers that other tests stand on do what those tests believe of them.

use std::time::Duration;

use tokio_postgres::NoTls;

use crate::support::services::{Postgres, Redis, shared_postgres, shared_redis};

#[test]
fn redis_freezes_dies_and_comes_back_on_its_port() {
    let redis = Redis::start();
    let url = redis.url();
    assert_eq!(redis.ask("SET a 1"), "+OK\r\n");
    redis.stop();
    redis.cont();
    assert_eq!(redis.ask("GET a"), "$1\r\n1\r\n");
    redis.flush();
    assert_eq!(redis.ask("GET a"), "$-1\r\n");
    redis.kill();
    redis.restart();
    assert_eq!((redis.ask("PING").as_str(), redis.url()), ("+PONG\r\n", url));
}

#[tokio::test]
async fn postgres_keeps_what_it_said_it_has() {
    let postgres = Postgres::start();
    let (client, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    client.batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await.expect("a table");
    postgres.restart();
    assert!(connection.await.expect("no panic").is_err(), "the connection broke");
    postgres.kill();
    postgres.start_again();
    postgres.stop();
    let url = postgres.url();
    let frozen = tokio::time::timeout(Duration::from_millis(100), tokio_postgres::connect(&url, NoTls));
    assert!(frozen.await.is_err(), "nobody answers");
    postgres.cont();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    assert_eq!(client.query("SELECT a FROM t", &[]).await.expect("rows").len(), 1);
}

#[tokio::test]
async fn those_who_share_a_server_keep_apart() {
    assert_eq!(shared_redis().url(), shared_redis().url());
    let postgres = shared_postgres();
    assert_ne!(postgres.database().await, postgres.database().await);
}
