//! The secrets of webhooks and accounts: made, checked, shown, replaced.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Sender;
use super::answer::{Answer, RequestKey};
use super::destination::secrets_of;
use super::directory::{Copy, Outcome};
use super::emitter::Emitter;
use super::refusal::{Code, Refusal};
use super::secret::Secrets;
use super::webhook::masked;
use crate::clock::UnixMillis;
use crate::signature::emission::{SecretScope, SecretView};
use crate::store::{Change, Record, RecordKind};

/// How long an old secret is signed with, unless somebody says otherwise.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

const MAX_OVERLAP: u64 = 7 * 24 * 3600;

/// A webhook's secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretAnswer {
    /// Always true.
    pub success: bool,
    pub webhook_id: String,
    /// Masked where its provider shows none.
    pub secret: String,
    /// Until when each former one is signed with too.
    pub previous: Vec<PreviousSecret>,
}

/// The secret that an account's webhooks of one provider share.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountSecretAnswer {
    /// Always true.
    pub success: bool,
    pub provider: String,
    /// Masked where its provider shows none.
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
    /// The new one. Made by us if there is none, unless the provider's are always brought.
    #[serde(default)]
    pub secret: Option<String>,
    /// How long the old one is signed with too: 0 to 604800, a day if absent.
    #[serde(default)]
    #[schema(maximum = 604_800)]
    pub overlap_seconds: Option<u64>,
}

impl Rotation {
    fn overlap(&self) -> Result<Duration, Refusal> {
        match self.overlap_seconds {
            Some(seconds) if seconds > MAX_OVERLAP => {
                Err(Refusal::field("/overlap_seconds", format!("it is more than {MAX_OVERLAP}")))
            }
            Some(seconds) => Ok(Duration::from_secs(seconds)),
            None => Ok(OVERLAP),
        }
    }
}

impl Sender {
    /// A webhook's secret, where its provider shows it whenever its owner asks.
    ///
    /// # Errors
    /// If there is no such webhook, it has none, or its provider shows none.
    pub async fn secret(&self, account: &str, id: &str) -> Result<SecretAnswer, Refusal> {
        let known = self.known_now(account, id).await?;
        refuse_hidden(&known.emitter)?;
        let copy = self.directory.read();
        let secrets = secrets_of(&known.endpoint, copy.account(account), &known.emitter);
        match secrets.current() {
            Some(_) => Ok(SecretAnswer::of(id, secrets, &known.emitter)),
            None => Err(Refusal::new(Code::NotFound, format!("webhook \"{id}\" has no secret"))),
        }
    }

    /// Replaces a webhook's secret. For a while both are signed with; when that ends is decided at each signing.
    ///
    /// # Errors
    /// If there is none, the secret is the account's, or the new one cannot be used.
    pub async fn rotate_secret(
        &self,
        account: &Arc<str>,
        id: &str,
        rotation: Rotation,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let overlap = rotation.overlap()?;
        let known = self.known_now(account, id).await?;
        let emitter = &known.emitter;
        let shares = emitter.emission.policy.secret.scope == SecretScope::Account;
        if shares && known.endpoint.secrets.current().is_none() {
            return Err(account_wide(emitter));
        }
        let Some(secret) = new_secret(emitter, rotation.secret)? else { return Err(missing(emitter)) };
        let now = self.clock.millis();
        let decided = self.directory.change(|copy| {
            let mut endpoint = self.find(copy, account, id)?.endpoint.clone();
            endpoint.secrets.rotate(secret.clone(), now, now.after(overlap))?;
            endpoint.updated_at = now.0;
            let answer = Answer::new(StatusCode::OK, &SecretAnswer::of(id, &endpoint.secrets, emitter));
            let change = Change {
                records: vec![self.endpoint_record(&endpoint)],
                idempotent: key.map(|key| answer.keep(key, &self.vault, now)),
                ..self.no_change()
            };
            Ok((change, answer))
        });
        self.outcome(decided.await?, key)
    }

    /// The secret that an account's webhooks of a provider share. Made if there is none yet, so that receivers can be
    /// told before the first webhook is registered.
    ///
    /// # Errors
    /// If the provider has a secret for each webhook, or shows none.
    pub async fn account_secret(&self, account: &Arc<str>, provider: &str) -> Result<AccountSecretAnswer, Refusal> {
        let emitter = self.sharing(provider)?;
        refuse_hidden(&emitter)?;
        self.directory.refresh().await?;
        let made = emitter.new_secret()?;
        let decided = self.directory.change(|copy| {
            let (secrets, records) = self.account_secrets(copy, account, &emitter, &made);
            Ok((Change { records, ..self.no_change() }, secrets))
        });
        match decided.await? {
            Outcome::Done(secrets) => Ok(AccountSecretAnswer::of(&secrets, &emitter)),
            Outcome::Replayed(_) => Err(Refusal::new(Code::Failed, "an answer was kept that nobody asked for")),
        }
    }

    /// Replaces it. For a while both are signed with.
    ///
    /// # Errors
    /// If the provider has a secret for each webhook, or the new one cannot be used.
    pub async fn rotate_account_secret(
        &self,
        account: &Arc<str>,
        provider: &str,
        rotation: Rotation,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let overlap = rotation.overlap()?;
        let emitter = self.sharing(provider)?;
        let Some(secret) = new_secret(&emitter, rotation.secret)? else { return Err(missing(&emitter)) };
        self.directory.refresh().await?;
        let now = self.clock.millis();
        let decided = self.directory.change(|copy| {
            let mut secrets = copy.account(account).secrets(&emitter.slug).clone();
            secrets.rotate(secret.clone(), now, now.after(overlap))?;
            let answer = Answer::new(StatusCode::OK, &AccountSecretAnswer::of(&secrets, &emitter));
            let change = Change {
                records: vec![self.directory.record(RecordKind::Secret, account, &emitter.slug, &secrets)],
                idempotent: key.map(|key| answer.keep(key, &self.vault, now)),
                ..self.no_change()
            };
            Ok((change, answer))
        });
        self.outcome(decided.await?, key)
    }

    /// What an account has for a provider's webhooks; `made`, and what is to be written, where that is nothing yet.
    pub(super) fn account_secrets(
        &self,
        copy: &Copy,
        account: &Arc<str>,
        emitter: &Emitter,
        made: &str,
    ) -> (Secrets, Vec<Record>) {
        let known = copy.account(account).secrets(&emitter.slug);
        if known.current().is_some() {
            return (known.clone(), Vec::new());
        }
        let secrets = Secrets::from(Some(made.to_owned()));
        let record = self.directory.record(RecordKind::Secret, account, &emitter.slug, &secrets);
        (secrets, vec![record])
    }

    /// A provider whose webhooks share a secret.
    fn sharing(&self, provider: &str) -> Result<Arc<Emitter>, Refusal> {
        let emitter = self.directory.builder().emitters().find(provider);
        let emitter = emitter.map_err(|refusal| Refusal::new(Code::NotFound, refusal.detail))?;
        match emitter.emission.policy.secret.scope {
            SecretScope::Account => Ok(Arc::clone(emitter)),
            SecretScope::Endpoint => {
                let detail = format!("{} has a secret for each webhook: see /webhooks/{{id}}", emitter.slug);
                Err(Refusal::new(Code::NotFound, detail))
            }
        }
    }
}

/// The secret of a new webhook, or the one that follows: its owner's, or one that we make; `None` where there may be
/// none.
///
/// # Errors
/// If the owner must bring one, may not, or it cannot be signed with.
pub fn new_secret(emitter: &Emitter, given: Option<String>) -> Result<Option<String>, Refusal> {
    let policy = emitter.emission.policy.secret;
    match given {
        Some(secret) => {
            fits(emitter, &secret)?;
            Ok(Some(secret))
        }
        None if !policy.given => emitter.new_secret().map(Some),
        None if emitter.scheme.is_optional() => Ok(None),
        None => Err(missing(emitter)),
    }
}

/// Refuses a secret that the provider's scheme cannot sign with.
///
/// # Errors
/// What is wrong with it.
pub fn fits(emitter: &Emitter, secret: &str) -> Result<(), Refusal> {
    const SHORTEST: usize = 16;
    const LONGEST: usize = 512;
    if !(SHORTEST..=LONGEST).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = format!("it is not {SHORTEST} to {LONGEST} visible ASCII characters");
        return Err(Refusal::field("/secret", detail));
    }
    emitter.check_secret(secret)
}

/// The secret is not one webhook's.
pub fn account_wide(emitter: &Emitter) -> Refusal {
    let detail = format!(
        "webhooks of {0} share one secret in an account: /account/secrets/{0} shows and replaces it",
        emitter.slug
    );
    Refusal::field("/secret", detail)
}

fn missing(emitter: &Emitter) -> Refusal {
    Refusal::field("/secret", format!("it is missing: a secret of {} is brought, not made", emitter.slug))
}

/// Refuses to show what is shown once, or never.
fn refuse_hidden(emitter: &Emitter) -> Result<(), Refusal> {
    match emitter.emission.policy.secret.view {
        SecretView::Always => Ok(()),
        SecretView::Once => {
            let detail = "it was in the answer that made it, and is shown once: POST …/rotate-secret makes another";
            Err(Refusal::new(Code::SecretAlreadyViewed, detail))
        }
        SecretView::Never => Err(Refusal::new(Code::Forbidden, format!("{} shows no secrets", emitter.slug))),
    }
}

/// A secret in the answer that makes it.
pub fn shown(secrets: &Secrets, emitter: &Emitter) -> String {
    let secret = secrets.current().unwrap_or_default();
    match emitter.emission.policy.secret.view {
        SecretView::Never => masked(secret),
        SecretView::Once | SecretView::Always => secret.to_owned(),
    }
}

impl SecretAnswer {
    fn of(id: &str, secrets: &Secrets, emitter: &Emitter) -> Self {
        Self {
            success: true,
            webhook_id: id.to_owned(),
            secret: shown(secrets, emitter),
            previous: previous(secrets.former()),
        }
    }
}

impl AccountSecretAnswer {
    fn of(secrets: &Secrets, emitter: &Emitter) -> Self {
        Self {
            success: true,
            provider: emitter.slug.clone(),
            secret: shown(secrets, emitter),
            previous: previous(secrets.former()),
        }
    }
}

fn previous(former: impl Iterator<Item = UnixMillis>) -> Vec<PreviousSecret> {
    former.map(|until| PreviousSecret { expires_at: until.to_string() }).collect()
}
