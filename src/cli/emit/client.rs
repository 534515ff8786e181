//! Asks a sender over its API.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use super::SenderArgs;
use crate::cli::operator::Failure;
use crate::config::environment::Environment;
use crate::egress::{Pool, Roots, Url};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(60);

/// A sender that is not there is asked again so often, each time after twice as long.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A sender's API.
pub struct Client {
    url: Url,
    pool: Pool,
    authorization: HeaderValue,
    account: Option<HeaderValue>,
    token_env: String,
}

/// An answer that says no.
pub struct Refused {
    pub status: StatusCode,
    pub problem: Value,
}

impl Client {
    /// The sender that the arguments name.
    ///
    /// # Errors
    /// What cannot be used of them.
    pub fn new(args: &SenderArgs) -> Result<Self, Failure> {
        let environment = Environment::system();
        let text = |name: &str| environment.bytes(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let url = args.sender.clone().or_else(|| text("HOOKWARD_SENDER_URL"));
        let url = url.unwrap_or_else(|| "http://127.0.0.1:8081".to_owned());
        let url = Url::parse(&url).map_err(|wrong| Failure::usage(format!("--sender: {wrong}")))?;
        let token = environment.bytes(&args.token_env).ok_or_else(|| {
            Failure::usage(format!(
                "the environment has no variable {}: set it to one of the sender's [sender] tokens, or name another \
                 with --token-env",
                args.token_env
            ))
        })?;
        let header = |bytes: &[u8], what: &str| {
            HeaderValue::from_bytes(bytes)
                .map_err(|_| Failure::usage(format!("{what} has characters that no header carries")))
        };
        let mut authorization = header(&[b"Bearer ", token.trim_ascii()].concat(), "the token")?;
        authorization.set_sensitive(true);
        let account = args.account.as_ref().map(|name| header(name.as_bytes(), "--account")).transpose()?;
        let roots = match url.target.tls {
            true => Some(Roots::system().map_err(|error| Failure::new(error.to_string()))?),
            false => None,
        };
        let pool = Pool::new(url.target.clone(), roots, CONNECT_WITHIN);
        Ok(Self { url, pool, authorization, account, token_env: args.token_env.clone() })
    }

    /// Publishes one event.
    ///
    /// # Errors
    /// Why it was not, or why nobody knows.
    pub async fn publish(&self, event: &str) -> Result<Value, Failure> {
        self.post("/events", event).await?.map_err(|refused| self.explain(&refused))
    }

    /// Publishes several.
    ///
    /// # Errors
    /// Why the sender cannot be asked; what it refuses is for the caller.
    pub async fn publish_batch(&self, events: &[String]) -> Result<Result<Value, Refused>, Failure> {
        self.post("/events/batch", &format!("{{\"events\":[{}]}}", events.join(","))).await
    }

    /// What a refusal says.
    pub fn explain(&self, refused: &Refused) -> Failure {
        let detail = refused.problem["detail"].as_str();
        Failure::new(match (refused.status, detail) {
            (StatusCode::UNAUTHORIZED, _) => {
                format!("the token in {} is not one that {} knows", self.token_env, self.url.target)
            }
            (_, Some(detail)) => detail.to_owned(),
            (status, None) => format!("{} answered {status}, is it the sender's listener of a Hookward?", self.url),
        })
    }

    /// Asks until there is an answer. The same key goes with each try, so that nothing is emitted twice.
    async fn post(&self, path: &str, body: &str) -> Result<Result<Value, Refused>, Failure> {
        let key = format!("{:032x}", fastrand::u128(..));
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let answer = self.pool.exchange(self.request(path, body, &key), WITHIN).await;
            match answer {
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE && attempt < TRIES => {
                    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    pause = pause.max(Duration::from_secs(asked.unwrap_or(0)).min(WITHIN));
                }
                Ok(answer) => {
                    let value = serde_json::from_slice(answer.body()).unwrap_or_default();
                    return Ok(match answer.status().is_success() {
                        true => Ok(value),
                        false => Err(Refused { status: answer.status(), problem: value }),
                    });
                }
                Err(error) if attempt >= TRIES => {
                    return Err(Failure::new(format!(
                        "{:#}; --sender names the sender's API",
                        anyhow::Error::new(error)
                    )));
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Failure::new("it was not asked"))
    }

    fn request(&self, path: &str, body: &str, key: &str) -> Request<Full<Bytes>> {
        let mut request = Request::post(format!("{}{path}", self.url.path.trim_end_matches('/')))
            .header(HOST, self.url.target.host_header())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .expect("a path from a URL");
        if let Some(account) = &self.account {
            request.headers_mut().insert("hookward-account", account.clone());
        }
        request
    }
}
