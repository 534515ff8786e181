//! What names are made of: of event types, accounts and groups, and the ids that customers choose.

const MAX_NAME: usize = 128;

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

/// True if a pattern is an event's type, or all of them: `*`, `user.*` or a whole name.
pub fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
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
    fn names_have_their_alphabet() {
        assert!(check_event_type("vpn.server.created").is_ok());
        assert!(check_event_id("a.b").is_err(), "a full stop separates what is signed");
        for bad in ["", "a b", "é", "a/b", "a\n", &"x".repeat(129)] {
            assert!(check_event_type(bad).is_err() && check_event_id(bad).is_err(), "{bad:?}");
        }
        assert!(check_event_id(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn patterns_are_whole_names_prefixes_or_everything() {
        assert!(matches("*", "a.b") && matches("user.*", "user.created") && matches("user.created", "user.created"));
        assert!(!matches("user.*", "user") && !matches("user.created", "user.created2") && !matches("user", "user.x"));
    }
}
