//! What a program costs: its CPU time, and that of the PostgreSQL that works for it.

use std::time::{Duration, Instant};

use crate::usage;

/// What has been used so far.
#[derive(Clone, Copy)]
pub struct Mark {
    pub at: Instant,
    program: Duration,
    /// `None` where there is no server.
    server: Option<Duration>,
}

/// In microseconds for each event.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub program: f64,
    /// NaN where there is no server.
    pub server: f64,
}

impl Mark {
    /// Of these processes, and of those that they started.
    pub fn of(program: u32, server: Option<u32>) -> Self {
        Self { at: Instant::now(), program: usage::cpu_time(program), server: server.map(usage::cpu_time) }
    }
}

impl Cpu {
    /// What `events` took.
    pub fn between(begin: Mark, end: Mark, events: usize) -> Self {
        let each = |begin: Duration, end: Duration| end.saturating_sub(begin).as_secs_f64() * 1e6 / events as f64;
        let server = begin.server.zip(end.server).map_or(f64::NAN, |(begin, end)| each(begin, end));
        Self { program: each(begin.program, end.program), server }
    }
}
