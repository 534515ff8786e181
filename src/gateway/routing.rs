//! Where a source's events go by what they say.

use std::borrow::Cow;
use std::sync::Arc;

use super::source::{Proof, Source, Upstream};
use super::verify::Admitted;
use crate::delivery::rendering::Rendering;
use crate::name::matches;
use crate::signature::Scheme;
use crate::signature::json::{self, Pointer};

/// A way for some of a source's events: `[[source.route]]`.
#[derive(Debug)]
pub struct SourceRoute {
    pub when: Conditions,
    pub branch: Branch,
}

/// Which events a route is for. All of it must hold, and something is asked for.
#[derive(Debug)]
pub struct Conditions {
    /// Patterns of which the event's type matches one; empty where any will do.
    pub types: Vec<String>,
    /// The texts of which one must stand there.
    pub json: Vec<(Pointer, Vec<String>)>,
}

/// Where events go.
#[derive(Debug)]
pub struct Branch {
    /// What logs call it; `None` of the source's own upstream.
    pub name: Option<String>,
    pub to: To,
}

/// The end of a way.
#[derive(Debug)]
pub enum To {
    /// Acknowledged, and nothing else.
    Nowhere,
    Upstreams {
        /// One, or more where they are stored.
        upstreams: Vec<Upstream>,
        /// `None` where they get the request as it came.
        rendering: Option<Arc<Rendering>>,
    },
}

impl Branch {
    /// Where it ends; nothing where it leads nowhere.
    pub fn upstreams(&self) -> &[Upstream] {
        match &self.to {
            To::Nowhere => &[],
            To::Upstreams { upstreams, .. } => upstreams,
        }
    }

    /// In what shape its events arrive, if not as they came.
    pub fn rendering(&self) -> Option<&Arc<Rendering>> {
        match &self.to {
            To::Nowhere => None,
            To::Upstreams { rendering, .. } => rendering.as_ref(),
        }
    }
}

impl Source {
    /// Which of its routes an event takes: the place of the first whose conditions hold; `None` if no route's do.
    pub fn route_of(&self, admitted: &Admitted) -> Option<usize> {
        if self.routes.is_empty() {
            return None;
        }
        let (received, alternative) = match admitted {
            Admitted::Verified(verified) => (verified.received(), verified.alternative()),
            Admitted::Shadowed(shadowed) => (shadowed.received(), None),
        };
        let mut event = Event { scheme: self.scheme(), alternative, kind: None, json: None };
        self.routes.iter().position(|route| event.meets(&route.when, received))
    }

    /// The way of the events that take the route at this place, or none.
    pub fn branch(&self, route: Option<usize>) -> &Branch {
        route.and_then(|place| self.routes.get(place)).map_or(&self.otherwise, |route| &route.branch)
    }

    /// All the ways that its events may go.
    pub fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.routes.iter().map(|route| &route.branch).chain([&self.otherwise])
    }

    /// By which its events are read, whether or not it is they that vouch for them.
    pub fn scheme(&self) -> &Scheme {
        match &self.proof {
            Proof::Signature(verifier) => verifier.scheme(),
            Proof::Elsewhere(scheme) => scheme,
        }
    }
}

/// An event of which something is asked. What it says is read once, and only if a route asks for it.
struct Event<'r> {
    scheme: &'r Scheme,
    alternative: Option<usize>,
    kind: Option<Option<Cow<'r, str>>>,
    json: Option<Cow<'r, [u8]>>,
}

impl<'r> Event<'r> {
    fn meets(&mut self, when: &Conditions, received: &'r super::receive::Received) -> bool {
        let (scheme, alternative) = (self.scheme, self.alternative);
        if !when.types.is_empty() {
            let kind = self.kind.get_or_insert_with(|| scheme.event_type(alternative, received.head(), &received.body));
            if !kind.as_deref().is_some_and(|kind| when.types.iter().any(|pattern| matches(pattern, kind))) {
                return false;
            }
        }
        when.json.is_empty() || {
            let json = self.json.get_or_insert_with(|| scheme.json(alternative, received.head(), &received.body));
            when.json.iter().all(|(pointer, texts)| {
                let found = json::find(json, pointer).and_then(json::scalar);
                found.is_some_and(|found| texts.iter().any(|text| *text == found))
            })
        }
    }
}
