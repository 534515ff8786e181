//! The secrets of webhooks: made, checked, replaced.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Sender;
use super::answer::{Answer, RequestKey};
use super::endpoint::{Endpoint, Settings, TimedSecret};
use super::refusal::{Code, Refusal};
use crate::clock::UnixMillis;
use crate::store::Change;

/// How long an old secret is signed with, unless somebody says otherwise.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

const MAX_OVERLAP: u64 = 7 * 24 * 3600;

/// So many secrets of one endpoint at once.
const MAX_SECRETS: usize = 10;

/// A secret, in clear.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretAnswer {
    /// Always true.
    pub success: bool,
    pub webhook_id: String,
    pub secret: String,
    /// Until when each former one is signed with too.
    pub previous: Vec<PreviousSecret>,
}

/// A former secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviousSecret {
    pub expires_at: String,
}

/// How a secret is to be replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The new one. Made by us if there is none.
    #[serde(default)]
    pub secret: Option<String>,
    /// How long the old one is signed with too: 0 to 604800, a day if absent.
    #[serde(default)]
    #[schema(maximum = 604_800)]
    pub overlap_seconds: Option<u64>,
}

impl Sender {
    /// Replaces a webhook's secret. For a while both are signed with; when that ends is decided at each signing.
    ///
    /// # Errors
    /// If there is none, or the new one cannot be used.
    pub async fn rotate_secret(
        &self,
        account: &Arc<str>,
        id: &str,
        rotation: Rotation,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let overlap = match rotation.overlap_seconds {
            Some(seconds) if seconds > MAX_OVERLAP => {
                return Err(Refusal::field("/overlap_seconds", format!("it is more than {MAX_OVERLAP}")));
            }
            Some(seconds) => Duration::from_secs(seconds),
            None => OVERLAP,
        };
        let known = self.known_now(account, id).await?;
        let secret = self.new_secret(&known.endpoint.settings, rotation.secret)?;
        let now = self.clock.millis();
        let decided = self.directory.change(|copy| {
            let mut endpoint = self.find(copy, account, id)?.endpoint.clone();
            endpoint.rotate(secret.clone(), now, now.after(overlap))?;
            endpoint.updated_at = now.0;
            self.directory.builder().check(&endpoint, copy.account(account))?;
            let answer = Answer::new(StatusCode::OK, &secret_answer(&endpoint));
            let change = Change {
                records: vec![self.endpoint_record(&endpoint)],
                idempotent: key.map(|key| answer.keep(key, &self.vault, now)),
                ..self.no_change()
            };
            Ok((change, answer))
        });
        self.outcome(decided.await?, key)
    }

    /// The secret of a new webhook: the customer's, or one that we make.
    pub(super) fn new_secret(&self, settings: &Settings, given: Option<String>) -> Result<String, Refusal> {
        match given {
            Some(secret) => {
                self.fits(settings, &secret)?;
                Ok(secret)
            }
            None => self.emitters().find(&settings.provider)?.new_secret(),
        }
    }

    /// Refuses a secret that the provider's scheme cannot sign with.
    pub(super) fn fits(&self, settings: &Settings, secret: &str) -> Result<(), Refusal> {
        const SHORTEST: usize = 16;
        const LONGEST: usize = 512;
        if !(SHORTEST..=LONGEST).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!("it is not {SHORTEST} to {LONGEST} visible ASCII characters");
            return Err(Refusal::field("/secret", detail));
        }
        self.emitters().find(&settings.provider)?.check_secret(secret)
    }
}

impl Endpoint {
    /// Makes `secret` the current one; the one before goes on until `until`.
    fn rotate(&mut self, secret: String, now: UnixMillis, until: UnixMillis) -> Result<(), Refusal> {
        if self.secrets.iter().any(|known| known.secret == secret) {
            return Err(Refusal::field("/secret", "the webhook has this secret already"));
        }
        self.secrets.retain(|secret| secret.until.is_none_or(|until| now.0 < until));
        for old in &mut self.secrets {
            old.until = Some(old.until.unwrap_or(until.0).min(until.0));
        }
        self.secrets.retain(|secret| secret.until.is_some_and(|until| now.0 < until));
        if self.secrets.len() >= MAX_SECRETS {
            let detail =
                format!("{MAX_SECRETS} former secrets are still signed with: wait, or give overlap_seconds = 0");
            return Err(Refusal::new(Code::LimitReached, detail));
        }
        self.secrets.insert(0, TimedSecret { secret, until: None });
        Ok(())
    }
}

fn secret_answer(endpoint: &Endpoint) -> SecretAnswer {
    let previous = endpoint.secrets.iter().filter_map(|secret| secret.until);
    SecretAnswer {
        success: true,
        webhook_id: endpoint.id.clone(),
        secret: endpoint.secrets.first().map_or_else(String::new, |secret| secret.secret.clone()),
        previous: previous.map(|until| PreviousSecret { expires_at: UnixMillis(until).to_string() }).collect(),
    }
}
