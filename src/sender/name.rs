//! Names that receivers and customers see: ids with a prefix, event types, accounts.

use crate::clock::UnixMillis;
use crate::store::Id;

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

const MAX_NAME: usize = 128;

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

/// Checks an event's id that a customer made.
///
/// # Errors
/// What is wrong with it, as a fragment.
pub fn check_event_id(text: &str) -> Result<(), String> {
    check(text, "_-", "an event's id", "wh_evt_0199c82cc0a0")
}

/// Checks the name of an event type.
///
/// # Errors
/// What is wrong with it, as a fragment.
pub fn check_event_type(text: &str) -> Result<(), String> {
    check(text, "_-.", "an event type", "invoice.paid")
}

/// Checks the name of an account or of a group.
///
/// # Errors
/// What is wrong with it, as a fragment.
pub fn check_name(text: &str) -> Result<(), String> {
    check(text, "_-.", "a name", "acme")
}

fn check(text: &str, also: &str, what: &str, example: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain) {
        return Ok(());
    }
    let marks: Vec<String> = also.chars().map(|mark| format!("'{mark}'")).collect();
    let marks = marks.join(", ");
    Err(format!("it is not {what}: 1 to {MAX_NAME} letters, digits and {marks}, for example \"{example}\""))
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

    #[test]
    fn names_have_their_alphabet() {
        assert!(check_event_type("vpn.server.created").is_ok());
        assert!(check_event_id("a.b").is_err(), "a full stop separates what is signed");
        for bad in ["", "a b", "é", "a/b", "a\n", &"x".repeat(129)] {
            assert!(check_event_type(bad).is_err() && check_event_id(bad).is_err(), "{bad:?}");
        }
        assert!(check_event_id(&"x".repeat(128)).is_ok());
    }
}
