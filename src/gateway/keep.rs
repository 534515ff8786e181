//! Stores an event and what is owed of it, so that its sender need not wait for anybody else.

use std::sync::Arc;

use tokio::time::timeout;

use super::Gateway;
use super::outgoing::{Via, kept};
use super::record::Record;
use super::respond::{self, Reply};
use super::routes::Route;
use super::routing::Branch;
use super::source::{Mode, Source, Upstream};
use super::verify::Admitted;
use crate::delivery::Deliveries;
use crate::delivery::destination::{Destination, Destinations, Way};
use crate::store::{Accepted, Consequence, Id, NewEvent, Owed, Remember, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::Outcome;

/// Where events are stored, and who delivers them.
#[derive(Debug)]
pub struct Keeper {
    pub store: Arc<Store>,
    pub deliveries: Arc<Deliveries>,
}

/// Stores one event with its deliveries, to where the source's route at this `place` leads, under its dedup key, and
/// acknowledges. Nothing is acknowledged that is not on the disk: where the store fails or takes too long the sender is
/// asked to come back.
pub async fn keep(
    gateway: Arc<Gateway>,
    keeper: Arc<Keeper>,
    route: Arc<Route>,
    place: Option<usize>,
    admitted: Admitted,
    via: Via,
    mut record: Record,
) -> Reply {
    let source = &route.source;
    let (claim, event_id) = match &admitted {
        Admitted::Verified(verified) => {
            let shown = verified.event_id().and_then(|id| id.to_str().ok());
            (verified.claim(), shown.map(str::to_owned))
        }
        Admitted::Shadowed(_) => (None, None),
    };
    let remember = claim.zip(source.dedup.as_ref()).map(|(keys, policy)| Remember { keys, ttl: policy.ttl });
    let (message, share) = kept(source, admitted, via);
    let accepted_at = gateway.clock.millis();
    let branch = source.branch(place);
    let destinations: Vec<Arc<str>> =
        branch.upstreams().iter().map(|upstream| name(source, branch, upstream)).collect();
    let event = NewEvent {
        id: Id::new(accepted_at),
        source: source.name.clone(),
        emitted: None,
        event_id,
        accepted_at,
        message,
        remember,
        variants: Vec::new(),
        counted: Vec::new(),
        owed: destinations.iter().map(|name| Owed::due(Arc::clone(name), accepted_at)).collect(),
    };
    let store = Arc::clone(&keeper.store);
    // A store that hangs still holds the body, and so its share of the budget, when nobody waits for it any more.
    let accepting = tokio::spawn(async move {
        let accepted = store.accept(event).await;
        drop(share);
        accepted
    });
    let accepted = match timeout(source.wait, accepting).await {
        Ok(Ok(accepted)) => Ok(accepted),
        Ok(Err(_)) => return not_stored(&mut record, "storing it broke off".into()),
        Err(late) => Err(late),
    };
    let outcome = match accepted {
        Ok(Ok(Accepted::New)) => {
            keeper.deliveries.wake(&destinations);
            Outcome::Stored
        }
        Ok(Ok(Accepted::Duplicate { conflict })) => {
            if conflict {
                route.metrics.conflicts.inc();
                record.conflict();
            }
            Outcome::Duplicate
        }
        Ok(Err(error)) => return not_stored(&mut record, error.to_string()),
        // It may be stored all the same: then the sender's retry is a duplicate of it.
        Err(_) => return not_stored(&mut record, "the store did not answer in time".into()),
    };
    let reply = respond::accepted(source);
    record.finish(outcome, reply.status(), None);
    reply
}

fn not_stored(record: &mut Record, error: String) -> Reply {
    record.not_done(error);
    let reply = respond::busy();
    record.finish(Outcome::StoreDown, reply.status(), None);
    reply
}

/// Every upstream of the sources that store their events.
pub fn destinations(sources: &[Arc<Source>], metrics: &Metrics) -> Destinations {
    let of_source = |source: &Arc<Source>| {
        let Mode::Store { schedule, max_in_flight } = &source.mode else { return Vec::new() };
        let metrics = metrics.deliveries(&source.name);
        let destination = |branch: &Branch, upstream: &Upstream| Destination {
            name: name(source, branch, upstream),
            source: source.name.clone(),
            url: upstream.url.clone(),
            pool: upstream.pool(),
            way: branch.rendering().map_or(Way::Forward, |rendering| Way::Render(Arc::clone(rendering))),
            routed: !source.routes.is_empty(),
            timeout: upstream.timeout,
            lease: source.lease,
            schedule: schedule.clone(),
            exhausted: Consequence::Fail,
            limit: *max_in_flight,
            ordered: false,
            rate: None,
            metrics: Arc::clone(&metrics),
        };
        let mut all = Vec::new();
        for branch in source.branches() {
            all.extend(branch.upstreams().iter().map(|upstream| destination(branch, upstream)));
        }
        all
    };
    Destinations::new(sources.iter().flat_map(of_source))
}

/// By which deliveries know an upstream in the store: the source's name and the URL, or what is shown of it; and, where it
/// gets messages, by which template and for which route: two may tell one URL different things.
fn name(source: &Source, branch: &Branch, upstream: &Upstream) -> Arc<str> {
    let shown = upstream.shown();
    match branch.rendering() {
        None => format!("{} {shown}", source.name).into(),
        Some(rendering) => {
            let route = branch.name.as_deref().unwrap_or_default();
            format!("{} {shown} as {}, route {route}", source.name, rendering.template.name()).into()
        }
    }
}
