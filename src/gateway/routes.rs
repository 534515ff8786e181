//! Which source a path leads to, and this worker's connections to its upstream.

use std::collections::HashMap;
use std::sync::Arc;

use super::Settings;
use super::keep::Keeper;
use super::routing::{Branch, To};
use super::source::{Mode, Source, Upstream};
use super::url_token::PathDigest;
use crate::delivery::rendering::Rendering;
use crate::egress::Pool;
use crate::rejection::Rejection;
use crate::telemetry::metrics::{Metrics, SourceMetrics};

/// The sources as one worker reaches them, for as long as the settings stay the same.
#[derive(Debug)]
pub struct Routes {
    pub settings: Arc<Settings>,
    by_path: HashMap<String, Arc<Route>>,
    /// Those whose paths nobody should be able to find out.
    by_token: Vec<(PathDigest, Arc<Route>)>,
    /// Counts what reaches no source.
    pub nowhere: Arc<SourceMetrics>,
}

/// A source, and the way that its events go.
#[derive(Debug)]
pub struct Route {
    pub source: Arc<Source>,
    /// The way of events that take none of the source's routes.
    pub way: Way,
    /// Those of its routes, in their order.
    pub ways: Vec<Way>,
    pub metrics: Arc<SourceMetrics>,
}

/// Where genuine events go.
#[derive(Debug)]
pub enum Way {
    Forward(Arc<Reach>),
    Keep(Arc<Keeper>),
    Drop,
}

/// An upstream, with this worker's connections to it.
#[derive(Debug)]
pub struct Reach {
    pub upstream: Upstream,
    pub rendering: Option<Arc<Rendering>>,
    pub pool: Pool,
}

impl Routes {
    /// The routes of these settings, without connections yet.
    pub fn new(settings: Arc<Settings>, metrics: &Metrics, keeper: Option<&Arc<Keeper>>) -> Arc<Self> {
        let route = |source: &Arc<Source>| {
            let way = |branch: &Branch| Way::of(branch, &source.mode, keeper);
            let (otherwise, ways) =
                (way(&source.otherwise), source.routes.iter().map(|route| way(&route.branch)).collect());
            let metrics = metrics.source(&source.name);
            Arc::new(Route { source: Arc::clone(source), way: otherwise, ways, metrics })
        };
        let (mut by_path, mut by_token) = (HashMap::new(), Vec::new());
        for source in &settings.sources {
            match &source.url_token {
                None => drop(by_path.insert(source.path.clone(), route(source))),
                Some(token) => by_token.push((PathDigest::of(&token.after(&source.path)), route(source))),
            }
        }
        Arc::new(Self { by_path, by_token, nowhere: metrics.source(""), settings })
    }

    /// The source with this path, letter for letter.
    pub fn find(&self, path: &str) -> Result<&Arc<Route>, Rejection> {
        self.by_path.get(path).or_else(|| self.find_by_token(path)).ok_or(Rejection::UnknownPath)
    }

    /// The same for paths that end in a token. Whatever a path is like, each of them is compared with all of it.
    fn find_by_token(&self, path: &str) -> Option<&Arc<Route>> {
        if self.by_token.is_empty() {
            return None;
        }
        let asked = PathDigest::of(path);
        self.by_token.iter().fold(None, |found, (known, route)| if known.is(&asked) { Some(route) } else { found })
    }
}

impl Route {
    /// The way of events that take the source's route at this place, or none.
    pub fn way(&self, place: Option<usize>) -> &Way {
        place.and_then(|place| self.ways.get(place)).unwrap_or(&self.way)
    }
}

impl Way {
    fn of(branch: &Branch, mode: &Mode, keeper: Option<&Arc<Keeper>>) -> Self {
        let To::Upstreams { upstreams, rendering } = &branch.to else { return Self::Drop };
        match (mode, keeper, upstreams.first()) {
            (Mode::Proxy, _, Some(upstream)) => Self::Forward(Arc::new(Reach {
                upstream: upstream.clone(),
                rendering: rendering.clone(),
                pool: upstream.pool(),
            })),
            (Mode::Store { .. }, Some(keeper), _) => Self::Keep(Arc::clone(keeper)),
            (Mode::Proxy, _, None) => unreachable!("a way that leads somewhere has an upstream"),
            (Mode::Store { .. }, None, _) => unreachable!("a configuration with mode = \"store\" has a [store]"),
        }
    }
}
