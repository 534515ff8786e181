//! Asks a running server over its admin API.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::Failure;
use crate::egress::{Exchange, Pool, Roots, Url};
use crate::operators::{Operation, word};
use crate::store::{DeliveryFilter, EventFilter};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(60);

/// An event comes with its body, which JSON may write at six times its length.
const MAX_ANSWER: usize = 256 << 20;

/// A server's admin API.
#[derive(Debug)]
pub struct Remote {
    url: Url,
    pool: Pool,
    authorization: HeaderValue,
    /// The variable that the token comes from.
    token_env: String,
}

/// A request, before it is one.
struct Call {
    method: Method,
    path: String,
    parameters: Vec<(&'static str, String)>,
}

impl Remote {
    /// The API at `url`, asked with `token`.
    ///
    /// # Errors
    /// What cannot be used of them.
    pub fn new(url: &str, token: Option<Vec<u8>>, token_env: &str) -> Result<Self, Failure> {
        let url = Url::parse(url).map_err(|wrong| Failure::usage(format!("--admin: {wrong}")))?;
        if url.query.is_some() {
            return Err(Failure::usage("--admin: the URL has a query, for example \"http://127.0.0.1:9090\""));
        }
        let token = token.ok_or_else(|| {
            Failure::usage(format!(
                "the environment has no variable {token_env}: set it to one of the server's [admin] tokens, or name \
                 another with --token-env; -c FILE or --store URL open the store without a server"
            ))
        })?;
        let mut authorization = HeaderValue::from_bytes(&[b"Bearer ", token.trim_ascii()].concat())
            .map_err(|_| Failure::usage(format!("the token in {token_env} has characters that no header carries")))?;
        authorization.set_sensitive(true);
        let roots = if url.target.tls {
            Some(Roots::system().map_err(|error| Failure::new(error.to_string()))?)
        } else {
            warn_if_exposed(&url, token_env);
            None
        };
        let pool = Pool::new(url.target.clone(), roots, CONNECT_WITHIN).with_max_answer(MAX_ANSWER);
        Ok(Self { url, pool, authorization, token_env: token_env.to_owned() })
    }

    /// What comes of an operation, as JSON.
    ///
    /// # Errors
    /// Why it was not done, or why nobody knows.
    pub async fn ask(&self, operation: Operation) -> Result<String, Failure> {
        let request = self.request(Call::of(operation));
        let answer = self.pool.exchange(request, WITHIN).await.map_err(|error| {
            let error = format!("{:#}", anyhow::Error::new(error));
            Failure::new(format!("{error}; --admin names the server, -c FILE or --store URL open a store without one"))
        })?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        if answer.status() != StatusCode::OK {
            return Err(self.refused(&answer, &text));
        }
        if text.is_empty() {
            return Err(Failure::new(format!("{} broke its answer off, or it is too long", self.url)));
        }
        Ok(text)
    }

    fn request(&self, call: Call) -> Request<Full<Bytes>> {
        let mut target = format!("{}{}", self.url.path.trim_end_matches('/'), call.path);
        let mut body = Bytes::new();
        if call.method == Method::GET {
            for (index, (name, value)) in call.parameters.iter().enumerate() {
                let separator = if index == 0 { '?' } else { '&' };
                target.push_str(&format!("{separator}{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
            }
        } else {
            let fields = call.parameters.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
            body = Value::Object(fields.collect::<Map<_, _>>()).to_string().into();
        }
        Request::builder()
            .method(call.method)
            .uri(target)
            .header(HOST, self.url.target.host_header())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("a path from a URL, and what was encoded")
    }

    fn refused(&self, answer: &Exchange, text: &str) -> Failure {
        let problem: Value = serde_json::from_str(text).unwrap_or_default();
        let (detail, code) = (problem["detail"].as_str(), problem["code"].as_str().unwrap_or_default());
        let Some(detail) = detail else {
            let status = answer.status();
            return Failure::new(format!("{} answered {status}, is it the admin listener of a Hookward?", self.url));
        };
        let text = match answer.status() {
            StatusCode::UNAUTHORIZED => {
                format!("the token in {} is not one that {} knows", self.token_env, self.url.target)
            }
            _ => detail.to_owned(),
        };
        let is_about_one =
            matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::CONFLICT) && code != "no_store";
        Failure { is_about_one, ..Failure::new(text) }
    }
}

impl Call {
    fn of(operation: Operation) -> Self {
        let get = |path: String, parameters| Self { method: Method::GET, path, parameters };
        let post = |path: String, parameters| Self { method: Method::POST, path, parameters };
        match operation {
            Operation::Events(filter) => get("/api/events".into(), of_events(filter)),
            Operation::Event(id) => get(format!("/api/events/{id}"), Vec::new()),
            Operation::Replay { event, destination } => {
                post(format!("/api/events/{event}/replay"), given([("destination", destination)]))
            }
            Operation::Deliveries(filter) => get("/api/deliveries".into(), of_deliveries(filter)),
            Operation::Delivery(id) => get(format!("/api/deliveries/{id}"), Vec::new()),
            Operation::Retry(id) => post(format!("/api/deliveries/{id}/retry"), Vec::new()),
            Operation::RetryMany(filter) => post("/api/deliveries/retry".into(), of_deliveries(filter)),
            Operation::Stats => get("/api/store/stats".into(), Vec::new()),
        }
    }
}

fn of_events(filter: EventFilter) -> Vec<(&'static str, String)> {
    given([
        ("source", filter.source),
        ("event_id", filter.event_id),
        ("since", filter.since.map(|time| time.to_string())),
        ("until", filter.until.map(|time| time.to_string())),
        ("after", filter.after.map(|id| id.to_string())),
        ("limit", Some(filter.limit.to_string())),
    ])
}

fn of_deliveries(filter: DeliveryFilter) -> Vec<(&'static str, String)> {
    given([
        ("state", filter.state.map(|state| word(state).to_owned())),
        ("source", filter.source),
        ("destination", filter.destination),
        ("event", filter.event.map(|id| id.to_string())),
        ("since", filter.since.map(|time| time.to_string())),
        ("until", filter.until.map(|time| time.to_string())),
        ("after", filter.after.map(|id| id.to_string())),
        ("limit", Some(filter.limit.to_string())),
    ])
}

fn given<const N: usize>(parameters: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A token on an open network is everybody's.
fn warn_if_exposed(url: &Url, token_env: &str) {
    let host = &url.target.host;
    let local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if !local {
        eprintln!("warning: the token in {token_env} travels to {host} unencrypted, https:// would hide it");
    }
}
