//! Which source a path leads to, and this worker's connections to its upstream.

use std::collections::HashMap;
use std::sync::Arc;

use super::Settings;
use super::keep::Keeper;
use super::source::{Mode, Source, Upstream};
use crate::egress::Pool;
use crate::rejection::Rejection;
use crate::telemetry::metrics::{Metrics, SourceMetrics};

/// The sources as one worker reaches them, for as long as the settings stay the same.
#[derive(Debug)]
pub struct Routes {
    pub settings: Arc<Settings>,
    by_path: HashMap<String, Arc<Route>>,
    /// Counts what reaches no source.
    pub nowhere: Arc<SourceMetrics>,
}

/// A source, and the way that its events go.
#[derive(Debug)]
pub struct Route {
    pub source: Arc<Source>,
    pub way: Way,
    pub metrics: Arc<SourceMetrics>,
}

/// Where genuine events go.
#[derive(Debug)]
pub enum Way {
    Forward(Arc<Reach>),
    Keep(Arc<Keeper>),
}

/// An upstream, with this worker's connections to it.
#[derive(Debug)]
pub struct Reach {
    pub upstream: Upstream,
    pub pool: Pool,
}

impl Routes {
    /// The routes of these settings, without connections yet.
    pub fn new(settings: Arc<Settings>, metrics: &Metrics, keeper: Option<&Arc<Keeper>>) -> Arc<Self> {
        let route = |source: &Arc<Source>| {
            let way = match (&source.mode, keeper) {
                (Mode::Proxy(upstream), _) => {
                    Way::Forward(Arc::new(Reach { upstream: upstream.clone(), pool: upstream.pool() }))
                }
                (Mode::Store { .. }, Some(keeper)) => Way::Keep(Arc::clone(keeper)),
                (Mode::Store { .. }, None) => unreachable!("a configuration with mode = \"store\" has a [store]"),
            };
            let route = Route { source: Arc::clone(source), way, metrics: metrics.source(&source.name) };
            (source.path.clone(), Arc::new(route))
        };
        let by_path = settings.sources.iter().map(route).collect();
        Arc::new(Self { by_path, nowhere: metrics.source(""), settings })
    }

    /// The source with this path, letter for letter.
    pub fn find(&self, path: &str) -> Result<&Arc<Route>, Rejection> {
        self.by_path.get(path).ok_or(Rejection::UnknownPath)
    }
}
