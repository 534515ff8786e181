//! The databases beneath `dedup` and `store`: how they are opened, locked, written in groups, and what goes wrong.

pub mod group;
pub mod postgres;
pub mod sqlite;
pub mod url;

use thiserror::Error;

/// Why a store did not do what it was asked. Ours: never charged to a client, an upstream or an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It cannot be reached, or the connection broke: what was asked may have been done.
    #[error("{store} cannot be reached: {cause}")]
    Unreachable { store: &'static str, cause: String },
    /// It did not answer in time: what was asked may have been done.
    #[error("{store} did not answer within {within_ms} ms")]
    Timeout { store: &'static str, within_ms: u64 },
    /// It has no room left.
    #[error("{store} is full: {cause}")]
    Full { store: &'static str, cause: String },
    /// It refused, or what it said makes no sense.
    #[error("{store}: {cause}")]
    Failed { store: &'static str, cause: String },
}
