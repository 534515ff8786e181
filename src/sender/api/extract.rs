//! What a request says: who asks, for what, with which body. Anything that is not understood is refused.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use tokio::time::timeout;

use super::Api;
use crate::access::{Denied, Permission, Token};
use crate::sender::answer::RequestKey;
use crate::sender::name::{self, DEFAULT_ACCOUNT};
use crate::sender::refusal::{Code, Refusal, pointer};

const ACCOUNT: HeaderName = HeaderName::from_static("hookward-account");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const MAX_KEY: usize = 255;
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Who asks.
#[derive(Debug)]
pub struct Caller {
    pub account: Arc<str>,
    token: Token,
    method: String,
    path: String,
    /// As it came.
    key: Option<Vec<u8>>,
}

impl Caller {
    /// Whose request this is, if it may be made.
    ///
    /// # Errors
    /// If the token's role does not allow it.
    pub fn may(&self, permission: Permission) -> Result<&Arc<str>, Refusal> {
        if self.token.role.may(permission) {
            return Ok(&self.account);
        }
        let (name, role) = (&self.token.name, self.token.role.as_str());
        Err(Refusal::new(Code::Forbidden, format!("the token \"{name}\" has the role {role}, which may not do this")))
    }

    /// Which request this is, where it came with an `Idempotency-Key`.
    pub fn key(&self, body: &[u8]) -> Option<RequestKey> {
        let key = self.key.as_ref()?;
        Some(RequestKey::new(&self.account, &self.method, &self.path, key, body))
    }
}

/// Somebody whose account may have webhooks.
#[derive(Debug)]
pub struct Subscriber(Caller);

impl std::ops::Deref for Subscriber {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequestParts<Api> for Subscriber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, api).await?;
        api.sender.check_enabled(&caller.account)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let tokens = api.tokens.load();
        let token = tokens.admit(&parts.headers).map_err(|denied| match denied {
            Denied::Closed => {
                let detail = "no token is configured, so nobody may use the API: write [sender] \
                    tokens = [{ name = \"app\", env = \"HOOKWARD_TOKEN\", role = \"admin\" }]";
                Refusal::new(Code::NoTokens, detail)
            }
            Denied::Unknown => {
                Refusal::new(Code::Unauthorized, "send one of [sender] tokens as Authorization: Bearer …")
            }
        })?;
        let account = account_of(token, &parts.headers)?;
        let key = match one(&parts.headers, &IDEMPOTENCY_KEY)? {
            Some(key) if key.is_empty() || key.len() > MAX_KEY => {
                return Err(Refusal::new(Code::Malformed, format!("Idempotency-Key has 1 to {MAX_KEY} characters")));
            }
            key => key.map(<[u8]>::to_vec),
        };
        let path = parts.uri.path();
        let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        Ok(Self { account, token: token.clone(), method: parts.method.to_string(), path: path.to_owned(), key })
    }
}

/// The token's account; one that may act for any is told which.
fn account_of(token: &Token, headers: &HeaderMap) -> Result<Arc<str>, Refusal> {
    let named = match one(headers, &ACCOUNT)?.map(std::str::from_utf8) {
        None => None,
        Some(Ok(text)) => {
            name::check_name(text)
                .map_err(|wrong| Refusal::new(Code::Malformed, format!("Hookward-Account: {wrong}")))?;
            Some(text)
        }
        Some(Err(_)) => return Err(Refusal::new(Code::Malformed, "Hookward-Account is no text")),
    };
    match (&token.account, named) {
        (None, named) => Ok(named.unwrap_or(DEFAULT_ACCOUNT).into()),
        (Some(own), None) => Ok(Arc::clone(own)),
        (Some(own), Some(named)) if **own == *named => Ok(Arc::clone(own)),
        (Some(own), Some(_)) => {
            let detail = format!("the token \"{}\" acts for the account \"{own}\" and no other", token.name);
            Err(Refusal::new(Code::Forbidden, detail))
        }
    }
}

/// The value of a header that comes once, or not at all.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Refusal> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        (_, Some(_)) => Err(Refusal::new(Code::Malformed, format!("{name} is given more than once"))),
    }
}

/// A body of JSON, and its bytes.
#[derive(Debug)]
pub struct Body<T> {
    pub value: T,
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        let is_json = is_json(request.headers());
        let bytes = read(request, api).await?;
        if !is_json {
            return Err(Refusal::new(Code::UnsupportedMediaType, "the body's Content-Type must be application/json"));
        }
        Ok(Self { value: parse(&bytes)?, bytes })
    }
}

/// A body of JSON, or none at all or `null`, which is all defaults.
#[derive(Debug)]
pub struct OptionalBody<T> {
    pub value: T,
    pub bytes: Bytes,
}

impl<T: DeserializeOwned + Default> FromRequest<Api> for OptionalBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        let is_json = is_json(request.headers());
        let bytes = read(request, api).await?;
        if bytes.is_empty() {
            return Ok(Self { value: T::default(), bytes });
        }
        if !is_json {
            return Err(Refusal::new(Code::UnsupportedMediaType, "the body's Content-Type must be application/json"));
        }
        if bytes.trim_ascii() == b"null" {
            return Ok(Self { value: T::default(), bytes });
        }
        Ok(Self { value: parse(&bytes)?, bytes })
    }
}

async fn read(request: Request, api: &Api) -> Result<Bytes, Refusal> {
    let late = || Refusal::new(Code::Timeout, "the body took too long");
    let read = timeout(BODY_TIMEOUT, Bytes::from_request(request, api)).await.map_err(|_| late())?;
    read.map_err(|rejection| match rejection.status() {
        http::StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(Code::PayloadTooLarge, "the body is too long"),
        _ => Refusal::new(Code::Malformed, "the body broke off"),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let not_json = |error| Refusal::new(Code::Malformed, format!("the body is not JSON: {error}"));
    // Else serde takes a list for a struct, item by item: `[null]` would be one that is all defaults.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(not_json)?;
        return Err(Refusal::field("", "the body is not an object"));
    }
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if error.classify() != Category::Data {
        return Err(not_json(error));
    }
    // Read once more for the place, which costs nothing where nothing is wrong.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(value) => Ok(value),
        Err(error) => Err(Refusal::field(pointer(error.path()), plain(error.inner()))),
    }
}

/// The error without serde's line and column, which the pointer replaces.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Parameters of the query.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = std::error::Error::source(&rejection).map_or_else(String::new, ToString::to_string);
                Err(Refusal::new(Code::Malformed, format!("the query: {text}")))
            }
        }
    }
}

/// One or more pieces of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        match axum::extract::Path::<T>::from_request_parts(parts, api).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(super::nothing_here()),
        }
    }
}

/// No body, since nobody would read it; an empty object is none.
#[derive(Debug)]
pub struct NoBody;

impl FromRequest<Api> for NoBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        let bytes = read(request, api).await?;
        let text: String =
            bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| char::from(*byte)).collect();
        match text.as_str() {
            "" | "{}" => Ok(Self),
            _ => Err(Refusal::new(Code::Malformed, "this request takes no body")),
        }
    }
}

/// How long a part of a list is.
pub fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    const STANDARD: u32 = 50;
    const MOST: u32 = 250;
    match asked {
        None => Ok(STANDARD),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(Refusal::new(Code::Malformed, format!("limit: it is not from 1 to {MOST}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::event::BatchInput;

    #[test]
    fn what_is_wrong_in_a_body_has_its_place() {
        let wrong = |text: &str| parse::<BatchInput>(text.as_bytes()).map(drop).expect_err(text);
        let refusal = wrong("{\"events\": [{\"type\": \"a\", \"data\": {}}, {\"type\": 3}]}");
        assert_eq!((refusal.code, refusal.errors[0].pointer.as_str()), (Code::Validation, "/events/1/type"));
        let refusal = wrong("{\"events\": [{\"type\": \"a\", \"dta\": 1}]}");
        assert!(refusal.detail.contains("unknown field `dta`"), "{refusal}");
        assert_eq!(wrong("{\"events\": ").code, Code::Malformed);
        assert_eq!(wrong("[]x").code, Code::Malformed);
        assert_eq!(wrong(" [[]]").code, Code::Validation);
    }

    #[test]
    fn json_has_several_media_types() {
        let of =
            |text: &'static str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(text))]));
        assert!(of("application/json") && of("Application/JSON; charset=utf-8") && of("application/merge-patch+json"));
        assert!(!of("text/plain") && !of("application/x-www-form-urlencoded") && !is_json(&HeaderMap::new()));
    }
}
