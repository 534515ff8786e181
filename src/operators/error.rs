//! What keeps an operation from being done.

use thiserror::Error;

use crate::database::StoreError;
use crate::store::Id;

/// Why an operation was not done.
#[derive(Debug, Error)]
pub enum OperatorError {
    #[error("there is no event {0}")]
    NoEvent(Id),
    #[error("there is no delivery {0}")]
    NoDelivery(Id),
    /// Nothing would come of it.
    #[error("source \"{source_name}\" has no destination now, so nothing would be delivered")]
    NoDestination { source_name: String },
    /// Nothing is known of earlier ones and there is no configuration to ask, or those that it went to are not in it any more.
    #[error("event {0} was owed to no destination that is there now: name one")]
    NeverOwed(Id),
    /// A delivery to it would wait for ever.
    #[error("source \"{source_name}\" has no destination \"{name}\", it has: {}", .known.join(", "))]
    UnknownDestination { source_name: String, name: String, known: Vec<String> },
    /// Its owner will say what came of it.
    #[error("delivery {0} is under way: wait for what comes of it")]
    Leased(Id),
    /// The destination has it.
    #[error("delivery {0} was delivered: replay its event to deliver it once more")]
    Delivered(Id),
    /// It was skipped or cancelled.
    #[error("delivery {0} was skipped or cancelled: replay its event if it is wanted all the same")]
    Ended(Id),
    /// Somebody else was quicker.
    #[error("delivery {0} has just changed: look at it again")]
    Changed(Id),
    #[error("deliveries that are {0} cannot be retried, only those that are dead or waiting")]
    NotRetryable(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}
