//! What every store of a role must do, written once and run on each.

mod dedup;
mod store;
