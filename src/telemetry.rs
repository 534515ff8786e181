//! What the program tells its operator: metrics and logs.

pub mod logging;
pub mod metrics;
pub mod sampling;
