//! The JSON API of the admin listener: looking at events and deliveries, replaying and retrying them.

mod parameters;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use tokio::time::timeout;
use tracing::info;

use super::problem::Problem;
use super::reply;
use crate::access::{Denied, Token, Tokens};
use crate::operators::{Operation, Operators};
use crate::store::MAX_PAGE;
use parameters::{Parameters, id};

const MAX_BODY: usize = 64 << 10;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What the API answers from, and to whom.
#[derive(Debug)]
pub struct Api {
    operators: Option<Arc<Operators>>,
    tokens: ArcSwap<Tokens>,
}

impl Api {
    /// Without `operators` there is nothing to operate on: no store is configured.
    pub fn new(operators: Option<Operators>, tokens: Tokens) -> Arc<Self> {
        Arc::new(Self { operators: operators.map(Arc::new), tokens: ArcSwap::from_pointee(tokens) })
    }

    /// Puts other tokens in force.
    pub fn apply(&self, tokens: Tokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Answers a request for something under `/api`.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut reply = match self.try_answer(request).await {
            Ok(json) => reply(StatusCode::OK, JSON, json),
            Err(Refusal { problem, allow }) => {
                let text = serde_json::to_string(&problem).expect("strings and a number");
                let mut reply = reply(problem.status, PROBLEM, text);
                if problem.status == StatusCode::UNAUTHORIZED {
                    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                if let Some(allow) = allow {
                    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
                }
                reply
            }
        };
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply
    }

    async fn try_answer<B>(&self, request: Request<B>) -> Result<String, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let token = self.authorize(&request)?;
        let (parts, body) = request.into_parts();
        let route = Route::find(parts.uri.path())?;
        if parts.method != route.method() {
            let detail = format!("{} takes {} only", parts.uri.path(), route.method());
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
            let allow = if route.method() == Method::GET { "GET" } else { "POST" };
            return Err(Refusal { problem, allow: Some(allow) });
        }
        let Some(operators) = self.operators.clone() else {
            let detail = "no store is configured, so there are no events and deliveries: write [store] url";
            return Err(Problem::new(StatusCode::NOT_FOUND, "no_store", detail).into());
        };
        let query = Parameters::of_query(parts.uri.query())?;
        let body = read_body(body).await?;
        let operation = route.operation(query, &body)?;
        if !operation.is_change() {
            return operators.answer(operation).await.map_err(|error| Problem::from(error).into());
        }
        // A client that hangs up changes nothing: what has begun comes to its end, and is told of.
        let work = async move {
            let answer = operators.answer(operation.clone()).await;
            if let Ok(answer) = &answer {
                tell(&token, &operation, answer);
            }
            answer
        };
        match tokio::spawn(work).await {
            Ok(answer) => answer.map_err(|error| Problem::from(error).into()),
            Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "it broke off").into()),
        }
    }

    fn authorize<B>(&self, request: &Request<B>) -> Result<Token, Problem> {
        let tokens = self.tokens.load();
        let token = tokens.admit(request.headers()).map_err(|denied| match denied {
            Denied::Closed => Problem::closed(),
            Denied::Unknown => Problem::unauthorized(),
        })?;
        if token.role.may_operate(request.method()) {
            Ok(token.clone())
        } else {
            Err(Problem::forbidden(&token.name, token.role))
        }
    }
}

/// A problem, and what goes with it in the head.
struct Refusal {
    problem: Problem,
    allow: Option<&'static str>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, allow: None }
    }
}

/// What there is under `/api`; ids as they were written.
enum Route<'a> {
    Events,
    Event(&'a str),
    Replay(&'a str),
    Deliveries,
    RetryMany,
    Delivery(&'a str),
    Retry(&'a str),
    Stats,
}

impl<'a> Route<'a> {
    fn find(path: &'a str) -> Result<Self, Problem> {
        let mut segments = path.split('/').skip(2);
        Ok(match [segments.next(), segments.next(), segments.next(), segments.next()] {
            [Some("events"), None, ..] => Self::Events,
            [Some("events"), Some(id), None, _] => Self::Event(id),
            [Some("events"), Some(id), Some("replay"), None] => Self::Replay(id),
            [Some("deliveries"), None, ..] => Self::Deliveries,
            [Some("deliveries"), Some("retry"), None, _] => Self::RetryMany,
            [Some("deliveries"), Some(id), None, _] => Self::Delivery(id),
            [Some("deliveries"), Some(id), Some("retry"), None] => Self::Retry(id),
            [Some("store"), Some("stats"), None, _] => Self::Stats,
            _ => {
                let detail = "there are /api/events, /api/deliveries and /api/store/stats";
                return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
            }
        })
    }

    fn method(&self) -> Method {
        match self {
            Self::Events | Self::Event(_) | Self::Deliveries | Self::Delivery(_) | Self::Stats => Method::GET,
            Self::Replay(_) | Self::RetryMany | Self::Retry(_) => Method::POST,
        }
    }

    fn operation(&self, query: Parameters, body: &[u8]) -> Result<Operation, Problem> {
        let id = |text: &str| id(text).map_err(|wrong| Problem::bad(format!("path: {wrong}")));
        Ok(match self {
            Self::Events => Operation::Events(query.event_filter()?),
            Self::Deliveries => Operation::Deliveries(query.delivery_list()?),
            Self::RetryMany => {
                query.finish()?;
                Operation::RetryMany(Parameters::of_body(body)?.delivery_filter(MAX_PAGE)?)
            }
            Self::Replay(event) => {
                query.finish()?;
                let mut body = Parameters::of_body(body)?;
                let destination = body.text("destination");
                body.finish()?;
                Operation::Replay { event: id(event)?, destination }
            }
            Self::Event(_) | Self::Delivery(_) | Self::Retry(_) | Self::Stats => {
                query.finish()?;
                Parameters::of_body(body)?.finish()?;
                match self {
                    Self::Event(event) => Operation::Event(id(event)?),
                    Self::Delivery(delivery) => Operation::Delivery(id(delivery)?),
                    Self::Retry(delivery) => Operation::Retry(id(delivery)?),
                    _ => Operation::Stats,
                }
            }
        })
    }
}

async fn read_body<B>(body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("the body is longer than {MAX_BODY} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Ok(Err(_)) => Err(Problem::bad("the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body took too long")),
    }
}

/// Who did what, for the log.
fn tell(token: &Token, operation: &Operation, answer: &str) {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    let token = &token.name;
    match operation {
        Operation::Replay { event, .. } => {
            let made = answer["deliveries"].as_array().map_or(0, Vec::len);
            info!(token.name = token, event.id = %event, deliveries = made, "Event replayed by `{token}`");
        }
        Operation::Retry(delivery) => {
            info!(token.name = token, delivery.id = %delivery, "Delivery retried by `{token}`");
        }
        Operation::RetryMany(_) => {
            let retried = answer["retried"].as_u64().unwrap_or(0);
            info!(token.name = token, deliveries = retried, "Deliveries retried by `{token}`");
        }
        _ => {}
    }
}
