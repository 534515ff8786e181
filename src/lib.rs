//! Hookward: a gateway that stands in front of an app and accepts webhooks, and a sender that tells its own.
//!
//! The rooms, in reading order; `docs/ARCHITECTURE.md` has the map.

pub mod cli;

pub mod app;
pub mod config;

pub mod admin;
pub mod gateway;
pub mod operators;
pub mod sender;

pub mod access;
pub mod database;
pub mod dedup;
pub mod delivery;
pub mod egress;
pub mod signature;
pub mod store;
pub mod telemetry;

pub mod clock;
pub mod document;
pub mod name;
pub mod network;
pub mod quantity;
pub mod rejection;
pub mod schedule;
pub mod template;
