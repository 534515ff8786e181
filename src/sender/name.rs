//! Ids that receivers and customers see, each with a prefix.

use crate::clock::UnixMillis;
use crate::store::Id;

pub use crate::name::{check_event_id, check_event_type, check_name};

/// What an id names, as its prefix.
pub const WEBHOOK: &str = "wh_";
/// See [`WEBHOOK`].
pub const EVENT: &str = "wh_evt_";
/// See [`WEBHOOK`].
pub const DELIVERY: &str = "del_";
/// See [`WEBHOOK`].
pub const GROUP: &str = "grp_";

/// The account of whoever names none.
pub const DEFAULT_ACCOUNT: &str = "default";

/// A new id. No full stop is in it, which separates what is signed.
pub fn new_id(prefix: &str, now: UnixMillis) -> String {
    format!("{prefix}{}", Id::new(now))
}

/// The store's id of a delivery.
pub fn delivery_id(text: &str) -> Option<Id> {
    text.strip_prefix(DELIVERY)?.parse().ok()
}

/// True if this could be a webhook's id.
pub fn is_webhook_id(text: &str) -> bool {
    text.strip_prefix(WEBHOOK).is_some_and(|id| id.parse::<Id>().is_ok())
}

/// As customers see it.
pub fn of_delivery(id: Id) -> String {
    format!("{DELIVERY}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back() {
        let id = Id::new(UnixMillis(1_760_000_000_000));
        assert_eq!(delivery_id(&of_delivery(id)), Some(id));
        assert_eq!(delivery_id("wh_0"), None);
        assert!(check_event_id(&new_id(EVENT, UnixMillis(0))).is_ok());
    }
}
