//! What operators do with events and deliveries, over HTTP or at the command line.

mod error;
mod event;

use std::sync::Arc;

use serde::Serialize;

use crate::clock::Clock;
use crate::delivery::Deliveries;
use crate::store::{
    DeliveryDetail, DeliveryFilter, DeliveryRow, EventDetail, EventFilter, EventRow, Id, Page, State, Stats, Store,
};

pub use error::OperatorError;
pub use event::EventView;

/// A store, and who delivers from it.
#[derive(Debug)]
pub struct Operators {
    pub store: Arc<Store>,
    /// `None` where this process delivers nothing, and does not know where to.
    pub deliveries: Option<Arc<Deliveries>>,
    pub clock: Clock,
}

/// Everything that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Events(EventFilter),
    Event(Id),
    /// To one destination, or to all that its source has.
    Replay {
        event: Id,
        destination: Option<String>,
    },
    Deliveries(DeliveryFilter),
    Delivery(Id),
    Retry(Id),
    /// A page of them; dead letters unless the filter says otherwise.
    RetryMany(DeliveryFilter),
    Stats,
}

/// What a replay made.
#[derive(Debug, Serialize)]
pub struct Replayed {
    pub event: Id,
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery that was not there before.
#[derive(Debug, Serialize)]
pub struct NewDelivery {
    pub id: Id,
    pub destination: String,
}

/// A delivery that is due now.
#[derive(Debug, Serialize)]
pub struct Retried {
    pub delivery: Id,
}

/// A part of many.
#[derive(Debug, Serialize)]
pub struct RetriedMany {
    pub retried: usize,
    /// What to give as `after` for the next part; `None` if this was the last.
    pub next: Option<Id>,
}

impl Operation {
    /// True if it changes something.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Replay { .. } | Self::Retry(_) | Self::RetryMany(_))
    }
}

impl Operators {
    /// Does what is asked, and says what came of it as JSON.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn answer(&self, operation: Operation) -> Result<String, OperatorError> {
        Ok(match operation {
            Operation::Events(filter) => json(&self.events(filter).await?),
            Operation::Event(id) => json(&self.event(id).await?),
            Operation::Replay { event, destination } => json(&self.replay(event, destination).await?),
            Operation::Deliveries(filter) => json(&self.list(filter).await?),
            Operation::Delivery(id) => json(&self.delivery(id).await?),
            Operation::Retry(id) => json(&self.retry(id).await?),
            Operation::RetryMany(filter) => json(&self.retry_many(filter).await?),
            Operation::Stats => json(&self.stats().await?),
        })
    }

    /// Events, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn events(&self, filter: EventFilter) -> Result<Page<EventRow>, OperatorError> {
        Ok(self.store.events(filter).await?)
    }

    /// One event, with its message and its deliveries.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked.
    pub async fn event(&self, id: Id) -> Result<EventView, OperatorError> {
        let found = self.store.event(id).await?;
        found.map(EventView::from).ok_or(OperatorError::NoEvent(id))
    }

    /// Owes an event anew: to `destination`, or to every one that its source has. Where nobody here knows which those
    /// are, or each of them gets some events and not others, it goes where it was owed before.
    ///
    /// # Errors
    /// If there is no such event or destination, or the store cannot be asked.
    pub async fn replay(&self, event: Id, destination: Option<String>) -> Result<Replayed, OperatorError> {
        let row = self.store.event(event).await?.ok_or(OperatorError::NoEvent(event))?;
        let to = match &self.deliveries {
            Some(deliveries) => configured(deliveries, &row, destination)?,
            None => owed_before(&row.deliveries, event, destination)?,
        };
        let ids = self.store.replay(event, to.clone(), self.clock.millis()).await?;
        let ids = ids.ok_or(OperatorError::NoEvent(event))?;
        self.wake(&to);
        let made =
            ids.into_iter().zip(to).map(|(id, destination)| NewDelivery { id, destination: destination.to_string() });
        Ok(Replayed { event, deliveries: made.collect() })
    }

    /// Deliveries, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn list(&self, filter: DeliveryFilter) -> Result<Page<DeliveryRow>, OperatorError> {
        Ok(self.store.deliveries(filter).await?)
    }

    /// One delivery, with the log of its attempts.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked.
    pub async fn delivery(&self, id: Id) -> Result<DeliveryDetail, OperatorError> {
        self.store.delivery(id).await?.ok_or(OperatorError::NoDelivery(id))
    }

    /// Makes a delivery due now, with all its attempts before it.
    ///
    /// # Errors
    /// If there is none, it is under way or delivered, or the store cannot be asked.
    pub async fn retry(&self, id: Id) -> Result<Retried, OperatorError> {
        let retried = self.store.retry(vec![id], self.clock.millis()).await?;
        let row = self.delivery(id).await?.row;
        if retried.is_empty() {
            return Err(match row.state {
                State::Leased => OperatorError::Leased(id),
                State::Delivered => OperatorError::Delivered(id),
                State::Skipped | State::Cancelled => OperatorError::Ended(id),
                State::Waiting | State::Dead => OperatorError::Changed(id),
            });
        }
        self.wake(&[row.destination.into()]);
        Ok(Retried { delivery: id })
    }

    /// The same for a page of deliveries. Those that changed in between are left alone and not counted.
    ///
    /// # Errors
    /// If the filter asks for what cannot be retried, or the store cannot be asked.
    pub async fn retry_many(&self, filter: DeliveryFilter) -> Result<RetriedMany, OperatorError> {
        let state = filter.state.unwrap_or(State::Dead);
        if !matches!(state, State::Waiting | State::Dead) {
            return Err(OperatorError::NotRetryable(word(state)));
        }
        let page = self.store.deliveries(DeliveryFilter { state: Some(state), ..filter }).await?;
        let ids = page.data.iter().map(|row| row.id).collect();
        let retried = self.store.retry(ids, self.clock.millis()).await?;
        let mut names: Vec<Arc<str>> = page.data.iter().map(|row| row.destination.as_str().into()).collect();
        names.sort_unstable();
        names.dedup();
        self.wake(&names);
        Ok(RetriedMany { retried: retried.len(), next: page.next })
    }

    /// How much there is.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn stats(&self) -> Result<Stats, OperatorError> {
        Ok(self.store.stats().await?)
    }

    fn wake(&self, destinations: &[Arc<str>]) {
        if let Some(deliveries) = &self.deliveries {
            deliveries.wake(destinations);
        }
    }
}

/// The destinations that the source of `event` has by the configuration in force; with routes, those of them that it went to.
fn configured(
    deliveries: &Deliveries,
    event: &EventDetail,
    asked: Option<String>,
) -> Result<Vec<Arc<str>>, OperatorError> {
    let (source, destinations) = (&*event.row.source, deliveries.destinations());
    let mut names: Vec<Arc<str>> = destinations.of_source(source).map(|known| Arc::clone(&known.name)).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err(OperatorError::NoDestination { source_name: source.to_owned() });
    }
    let Some(name) = asked else {
        if destinations.of_source(source).any(|known| known.routed) {
            names.retain(|name| event.deliveries.iter().any(|row| *row.destination == **name));
        }
        return if names.is_empty() { Err(OperatorError::NeverOwed(event.row.id)) } else { Ok(names) };
    };
    match names.iter().find(|known| ***known == *name) {
        Some(known) => Ok(vec![Arc::clone(known)]),
        None => {
            let known = names.iter().map(ToString::to_string).collect();
            Err(OperatorError::UnknownDestination { source_name: source.to_owned(), name, known })
        }
    }
}

/// Where an event was owed before.
fn owed_before(owed: &[DeliveryRow], event: Id, asked: Option<String>) -> Result<Vec<Arc<str>>, OperatorError> {
    let mut names: Vec<Arc<str>> = match asked {
        Some(name) => vec![name.into()],
        None => owed.iter().map(|row| row.destination.as_str().into()).collect(),
    };
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { Err(OperatorError::NeverOwed(event)) } else { Ok(names) }
}

/// A state as people write it.
pub fn word(state: State) -> &'static str {
    State::WORDS.iter().find(|(_, known)| *known == state).map_or("", |(word, _)| word)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("no map of ours has keys that are no strings")
}
