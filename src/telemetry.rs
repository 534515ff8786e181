//! What the program tells its operator: metrics and logs.

pub mod histogram;
pub mod logging;
pub mod metrics;
pub mod outcome;
pub mod sampling;
