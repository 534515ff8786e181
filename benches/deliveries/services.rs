//! Real servers, started as the tests start them.

#![expect(dead_code, reason = "the tests also break their servers, which nobody does here")]

#[path = "../../tests/it/support/services/postgres.rs"]
pub mod postgres;
#[path = "../../tests/it/support/services/process.rs"]
mod process;
#[path = "../../tests/it/support/services/redis.rs"]
pub mod redis;
