//! Which source a path leads to, and this worker's connections to its upstream.

use std::collections::HashMap;
use std::sync::Arc;

use super::Settings;
use super::source::Source;
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

/// A source, with this worker's connections to its upstream.
#[derive(Debug)]
pub struct Route {
    pub source: Arc<Source>,
    pub pool: Pool,
    pub metrics: Arc<SourceMetrics>,
}

impl Routes {
    /// The routes of these settings, without connections yet.
    pub fn new(settings: Arc<Settings>, metrics: &Metrics) -> Arc<Self> {
        let route = |source: &Arc<Source>| {
            let upstream = &source.upstream;
            let pool = Pool::new(upstream.url.target.clone(), upstream.roots.clone(), upstream.connect_timeout);
            let route = Route { source: Arc::clone(source), pool, metrics: metrics.source(&source.name) };
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
