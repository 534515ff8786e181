//! Why a request was turned away at the door.
//!
//! One closed set, shared by logs, metrics, `hookward verify` and the gateway's answers.

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use crate::quantity::format_duration;

/// A refusal, with what an operator wants to know about it. Never holds a secret, a tag or a body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The connection's claim about its client cannot be read.
    #[error("malformed request: {0}")]
    MalformedRequest(&'static str),
    /// No source has this path.
    #[error("no source has this path")]
    UnknownPath,
    /// The source's provider does not use this method.
    #[error("method is not one the provider uses")]
    MethodNotAllowed,
    /// The client's address is not on the source's list.
    #[error("client {0} is not in the allowlist")]
    ClientNotAllowed(IpAddr),
    /// The source lets in whom its provider publishes, and nobody knows yet who that is.
    #[error("the provider's address list was not fetched yet")]
    AddressesUnavailable,
    /// A header that must be unique is repeated, or two alternatives of a scheme came at once.
    #[error("{0}")]
    HeaderConflict(String),
    /// The `Authorization` header is absent or is not the configured credential.
    #[error("authorization is not the configured credential")]
    CredentialMismatch,
    /// No signature where the scheme has it.
    #[error("signature is missing: {0}")]
    SignatureMissing(String),
    /// A signature that could never match: wrong prefix, encoding or length.
    #[error("signature is malformed: {0}")]
    SignatureMalformed(String),
    /// Well-formed, and not made with one of the source's secrets over these bytes.
    #[error("no signature matches a current secret")]
    SignatureMismatch,
    /// The message names a key that the source does not have.
    #[error("no key has the id that the message names")]
    UnknownKey,
    /// The message wants its key fetched from where the provider does not keep its keys.
    #[error("the URL of the key is none of the provider's")]
    UntrustedKeyUrl,
    /// A token that is signed by another algorithm than the provider uses.
    #[error("the token's algorithm is not one the provider uses")]
    AlgorithmNotAllowed,
    /// Authentic, and for another receiver or from another sender.
    #[error("{0}")]
    ClaimMismatch(String),
    /// A handshake with a value that is not of the shape in which such values come.
    #[error("{0}")]
    ChallengeMalformed(String),
    /// The provider's keys cannot be had now.
    #[error("the provider's keys cannot be fetched now")]
    KeysUnavailable,
    /// No timestamp where the scheme has it.
    #[error("timestamp is missing: {0}")]
    TimestampMissing(String),
    /// A timestamp that is not written as the scheme says.
    #[error("timestamp is malformed: {0}")]
    TimestampMalformed(String),
    /// Authentic, and too old.
    #[error("timestamp is {age} s old, {} allowed", format_duration(*.tolerance))]
    TimestampStale {
        /// Seconds between the timestamp and now.
        age: i64,
        /// What the source allows.
        tolerance: Duration,
    },
    /// Authentic, and too far ahead.
    #[error("timestamp is {ahead} s in the future, {} allowed", format_duration(*.tolerance))]
    TimestampFuture {
        /// Seconds between now and the timestamp.
        ahead: i64,
        /// What the source allows.
        tolerance: Duration,
    },
    /// The provider promises an event id on every request, and there is none.
    #[error("event id is missing: {0}")]
    EventIdMissing(String),
    /// An event id that is null, not a scalar, empty, too long, or has control characters.
    #[error("event id is invalid: {0}")]
    EventIdInvalid(&'static str),
    /// More bytes than the source's `max_body`.
    #[error("body is larger than max_body")]
    BodyTooLarge,
    /// The body did not arrive within `body_timeout`.
    #[error("body did not arrive in time")]
    BodyTimeout,
    /// The gateway's budget of buffered bytes is used up.
    #[error("the budget of buffered bytes is used up")]
    Overloaded,
}

/// A [`Rejection`] without its details, or a refusal that came before there was a request to speak of: the `reason` in logs and metrics. Alerts are built on these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    MalformedRequest,
    HeadersTooLarge,
    UnknownPath,
    MethodNotAllowed,
    ClientNotAllowed,
    AddressesUnavailable,
    HeaderConflict,
    CredentialMismatch,
    SignatureMissing,
    SignatureMalformed,
    SignatureMismatch,
    UnknownKey,
    UntrustedKeyUrl,
    AlgorithmNotAllowed,
    ClaimMismatch,
    ChallengeMalformed,
    KeysUnavailable,
    TimestampMissing,
    TimestampMalformed,
    TimestampStale,
    TimestampFuture,
    EventIdMissing,
    EventIdInvalid,
    BodyTooLarge,
    BodyTimeout,
    Overloaded,
}

impl Reason {
    /// All of them, in the order in which a request meets them.
    pub const ALL: [Self; 26] = [
        Self::MalformedRequest,
        Self::HeadersTooLarge,
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::ClientNotAllowed,
        Self::AddressesUnavailable,
        Self::HeaderConflict,
        Self::CredentialMismatch,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureMismatch,
        Self::UnknownKey,
        Self::UntrustedKeyUrl,
        Self::AlgorithmNotAllowed,
        Self::ClaimMismatch,
        Self::ChallengeMalformed,
        Self::KeysUnavailable,
        Self::TimestampMissing,
        Self::TimestampMalformed,
        Self::TimestampStale,
        Self::TimestampFuture,
        Self::EventIdMissing,
        Self::EventIdInvalid,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::Overloaded,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UnknownPath => "unknown_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::AddressesUnavailable => "addresses_unavailable",
            Self::HeaderConflict => "header_conflict",
            Self::CredentialMismatch => "credential_mismatch",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureMismatch => "signature_mismatch",
            Self::UnknownKey => "unknown_key",
            Self::UntrustedKeyUrl => "untrusted_key_url",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::ClaimMismatch => "claim_mismatch",
            Self::ChallengeMalformed => "challenge_malformed",
            Self::KeysUnavailable => "keys_unavailable",
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampMalformed => "timestamp_malformed",
            Self::TimestampStale => "timestamp_stale",
            Self::TimestampFuture => "timestamp_future",
            Self::EventIdMissing => "event_id_missing",
            Self::EventIdInvalid => "event_id_invalid",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Overloaded => "overloaded",
        }
    }
}

impl Rejection {
    /// The stable name of this refusal.
    pub fn reason(&self) -> Reason {
        match self {
            Self::MalformedRequest(_) => Reason::MalformedRequest,
            Self::UnknownPath => Reason::UnknownPath,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::ClientNotAllowed(_) => Reason::ClientNotAllowed,
            Self::AddressesUnavailable => Reason::AddressesUnavailable,
            Self::HeaderConflict(_) => Reason::HeaderConflict,
            Self::CredentialMismatch => Reason::CredentialMismatch,
            Self::SignatureMissing(_) => Reason::SignatureMissing,
            Self::SignatureMalformed(_) => Reason::SignatureMalformed,
            Self::SignatureMismatch => Reason::SignatureMismatch,
            Self::UnknownKey => Reason::UnknownKey,
            Self::UntrustedKeyUrl => Reason::UntrustedKeyUrl,
            Self::AlgorithmNotAllowed => Reason::AlgorithmNotAllowed,
            Self::ClaimMismatch(_) => Reason::ClaimMismatch,
            Self::ChallengeMalformed(_) => Reason::ChallengeMalformed,
            Self::KeysUnavailable => Reason::KeysUnavailable,
            Self::TimestampMissing(_) => Reason::TimestampMissing,
            Self::TimestampMalformed(_) => Reason::TimestampMalformed,
            Self::TimestampStale { .. } => Reason::TimestampStale,
            Self::TimestampFuture { .. } => Reason::TimestampFuture,
            Self::EventIdMissing(_) => Reason::EventIdMissing,
            Self::EventIdInvalid(_) => Reason::EventIdInvalid,
            Self::BodyTooLarge => Reason::BodyTooLarge,
            Self::BodyTimeout => Reason::BodyTimeout,
            Self::Overloaded => Reason::Overloaded,
        }
    }

    /// The status that the client gets.
    pub fn status(&self) -> StatusCode {
        match self.reason() {
            Reason::MalformedRequest
            | Reason::HeaderConflict
            | Reason::ChallengeMalformed
            | Reason::EventIdMissing
            | Reason::EventIdInvalid => StatusCode::BAD_REQUEST,
            Reason::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::UnknownPath => StatusCode::NOT_FOUND,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::ClientNotAllowed => StatusCode::FORBIDDEN,
            Reason::CredentialMismatch
            | Reason::SignatureMissing
            | Reason::SignatureMalformed
            | Reason::SignatureMismatch
            | Reason::UnknownKey
            | Reason::UntrustedKeyUrl
            | Reason::AlgorithmNotAllowed
            | Reason::ClaimMismatch
            | Reason::TimestampMissing
            | Reason::TimestampMalformed
            | Reason::TimestampStale
            | Reason::TimestampFuture => StatusCode::UNAUTHORIZED,
            Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Reason::AddressesUnavailable | Reason::Overloaded | Reason::KeysUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The text that the client gets. It says no more than the provider needs.
    pub fn phrase(&self) -> &'static str {
        match self.reason() {
            Reason::TimestampStale | Reason::TimestampFuture => "Stale timestamp",
            Reason::TimestampMissing | Reason::TimestampMalformed => "Invalid timestamp",
            Reason::CredentialMismatch
            | Reason::SignatureMissing
            | Reason::SignatureMalformed
            | Reason::SignatureMismatch
            | Reason::UnknownKey
            | Reason::UntrustedKeyUrl
            | Reason::AlgorithmNotAllowed
            | Reason::ClaimMismatch => "Invalid signature",
            _ => self.status().canonical_reason().expect("the statuses above are all registered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_reason_at_its_own_place() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place, "{}", reason.as_str());
        }
    }
}
