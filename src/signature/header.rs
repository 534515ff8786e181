//! Headers that a scheme reads.

use http::{HeaderMap, HeaderName};

use crate::rejection::Rejection;

/// The value of a header that may stand there once. `None` if it is absent.
///
/// # Errors
/// `HeaderConflict` if it is repeated: which one counts would be anyone's guess. `MalformedRequest` if it is
/// not visible ASCII.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Rejection::HeaderConflict(format!("header {name} is repeated")));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Rejection::MalformedRequest("a header that the scheme reads is not visible ASCII")),
    }
}
