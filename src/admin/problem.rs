//! What the API says when it does not do what it was asked (RFC 9457).

use http::StatusCode;
use serde::Serialize;

use crate::access::Role;
use crate::database::StoreError;
use crate::operators::OperatorError;

/// A refusal: its status, a stable `code` for programs, words for people.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    pub status: StatusCode,
    pub detail: String,
    pub code: &'static str,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// One that says `detail`.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self { kind: "about:blank", title, status, detail: detail.into(), code }
    }

    /// A parameter that cannot be used: `what` names it and says what would be right.
    pub fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", what)
    }

    /// Nobody may use the API.
    pub fn closed() -> Self {
        let detail = "no token is configured, so nobody may use the API: write [admin] \
            tokens = [{ name = \"ops\", env = \"HOOKWARD_ADMIN_TOKEN\", role = \"admin\" }]";
        Self::new(StatusCode::FORBIDDEN, "no_tokens", detail)
    }

    /// No token, or one that nobody has.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "send one of [admin] tokens as Authorization: Bearer …")
    }

    /// Not with this role.
    pub fn forbidden(name: &str, role: Role) -> Self {
        let may = match role {
            Role::Admin | Role::Manage => "may do this",
            Role::Read => "may only look",
            Role::Publish => "may only emit events",
        };
        let detail = format!("the token \"{name}\" has the role {}, which {may}", role.as_str());
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        let (status, code) = match &error {
            OperatorError::NoEvent(_) => (StatusCode::NOT_FOUND, "no_event"),
            OperatorError::NoDelivery(_) => (StatusCode::NOT_FOUND, "no_delivery"),
            OperatorError::NoDestination { .. } | OperatorError::NeverOwed(_) => {
                (StatusCode::CONFLICT, "no_destination")
            }
            OperatorError::UnknownDestination { .. } => (StatusCode::NOT_FOUND, "unknown_destination"),
            OperatorError::Leased(_) => (StatusCode::CONFLICT, "leased"),
            OperatorError::Delivered(_) => (StatusCode::CONFLICT, "delivered"),
            OperatorError::Ended(_) => (StatusCode::CONFLICT, "ended"),
            OperatorError::Changed(_) => (StatusCode::CONFLICT, "changed"),
            OperatorError::NotRetryable(_) => (StatusCode::BAD_REQUEST, "bad_parameter"),
            OperatorError::Store(StoreError::Unreachable { .. } | StoreError::Timeout { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unreachable")
            }
            OperatorError::Store(StoreError::Full { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "store_full"),
            OperatorError::Store(StoreError::Failed { .. }) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self::new(status, code, error.to_string())
    }
}
