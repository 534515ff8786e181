//! Hookward: a gateway that verifies, deduplicates and forwards webhooks.

pub mod clock;
pub mod document;
pub mod quantity;
pub mod rejection;
pub mod signature;
