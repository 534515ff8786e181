//! Why the API does not do what it was asked (RFC 9457), with codes that stay.

use http::StatusCode;
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use crate::database::StoreError;

/// A refusal. `Display` prints its detail.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct Refusal {
    pub code: Code,
    pub detail: String,
    /// Which fields are wrong, and why.
    pub errors: Vec<FieldError>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it stands in the body, as a JSON pointer (RFC 6901).
    #[schema(example = "/url")]
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What programs tell refusals apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Malformed,
    Validation,
    Unauthorized,
    Forbidden,
    NoTokens,
    NotEnabled,
    NotFound,
    SecretAlreadyViewed,
    MethodNotAllowed,
    UnsupportedMediaType,
    DuplicateConflict,
    IdempotencyConflict,
    AlreadyExists,
    Conflict,
    EndpointDisabledPermanently,
    AddressNotAllowed,
    ProviderCannotSend,
    ReachabilityFailed,
    ContentTypeDenied,
    TemplateFailed,
    LimitReached,
    PayloadTooLarge,
    Timeout,
    QueueFull,
    StoreUnavailable,
    Failed,
}

/// A refusal as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: Code,
    /// Always false.
    success: bool,
    /// Which fields are wrong, where fields are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Code {
    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::NoTokens | Self::NotEnabled => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SecretAlreadyViewed => StatusCode::GONE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::DuplicateConflict
            | Self::IdempotencyConflict
            | Self::AlreadyExists
            | Self::Conflict
            | Self::EndpointDisabledPermanently
            | Self::ContentTypeDenied
            | Self::TemplateFailed => StatusCode::CONFLICT,
            Self::Validation
            | Self::AddressNotAllowed
            | Self::ProviderCannotSend
            | Self::ReachabilityFailed
            | Self::LimitReached => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::QueueFull | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Refusal {
    /// One that says `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new() }
    }

    /// One field is wrong. `pointer` is a JSON pointer into the body.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::field_as(Code::Validation, pointer, detail)
    }

    /// The same with a code of its own.
    pub fn field_as(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        let shown = pointer.trim_start_matches('/').replace('/', ".");
        let text = if shown.is_empty() { detail.clone() } else { format!("{shown}: {detail}") };
        Self { code, detail: text, errors: vec![FieldError { pointer, detail }] }
    }

    /// There is no such thing in this account.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} \"{id}\" in this account"))
    }

    /// The same of the field at `pointer`.
    #[must_use]
    pub fn at(self, pointer: &str) -> Self {
        match self.errors.into_iter().next() {
            Some(FieldError { detail, .. }) => Self::field_as(self.code, pointer, detail),
            None => Self::field_as(self.code, pointer, self.detail),
        }
    }

    /// The same under `prefix`: of one part of a larger body; an empty one is the whole.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for error in &mut self.errors {
            error.pointer.insert_str(0, prefix);
        }
        if !self.errors.is_empty() && !prefix.is_empty() {
            let shown = prefix.trim_start_matches('/').replace('/', ".");
            self.detail = format!("{shown}.{}", self.detail);
        }
        self
    }

    /// As it is answered.
    pub fn problem(&self) -> Problem {
        let status = self.code.status();
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            success: false,
            errors: self.errors.clone(),
        }
    }
}

/// Where something stands that serde does not take.
pub fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let text = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&text);
    }
    pointer
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Failed { .. } => Code::Failed,
            StoreError::Full { .. } => Code::QueueFull,
            StoreError::Unreachable { .. } | StoreError::Timeout { .. } => Code::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_where_it_stands() {
        let refusal = Refusal::field("/type", "it is missing").within("/events/3");
        assert_eq!(refusal.errors[0].pointer, "/events/3/type");
        assert_eq!(refusal.detail, "events.3.type: it is missing");
        let text = serde_json::to_value(refusal.problem()).expect("JSON");
        assert_eq!(
            (&text["code"], &text["status"], &text["success"]),
            (&"validation".into(), &422.into(), &false.into())
        );
    }
}
