//! Real Redis and PostgreSQL servers, on ports and in folders of their own.
//!
//! A test that breaks its server starts a private one. The others share one of each kind, and keep apart by a key
//! prefix or a database of their own. Whatever else listens on the default ports of this machine is left alone.

mod postgres;
mod process;
mod redis;

use std::sync::LazyLock;

pub use postgres::Postgres;
pub use redis::Redis;

/// The Redis of all tests that do not break it: each uses a key prefix of its own.
pub fn shared_redis() -> &'static Redis {
    static SHARED: LazyLock<Redis> = LazyLock::new(Redis::start);
    &SHARED
}

/// The PostgreSQL of all tests that do not break it: each takes a [`Postgres::database`] of its own.
pub fn shared_postgres() -> &'static Postgres {
    static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start_unsynced);
    &SHARED
}
