//! What customers do with webhooks.

use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::{Answer, RequestKey};
use super::destination::Known;
use super::directory::{Account, Copy, Outcome};
use super::emitter::Emitter;
use super::endpoint::{Endpoint, Ordering, Settings, Status};
use super::refusal::{Code, Refusal};
use super::secret::Secrets;
use super::secrets::{account_wide, fits, new_secret, shown};
use super::webhook::{Numbers, Webhook, WebhookInput, masked};
use super::{Sender, name};
use crate::signature::emission::SecretScope;
use crate::store::{Change, Health, Record, RecordKind, day_of};

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookAnswer {
    /// Always true.
    pub success: bool,
    pub webhook: Webhook,
}

/// A part of the webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookList {
    /// Always true.
    pub success: bool,
    pub webhooks: Vec<Webhook>,
    /// Of the whole list.
    pub total: u64,
    pub has_more: bool,
    /// What to give as `cursor` for the next part.
    pub next_cursor: Option<String>,
}

/// A webhook that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Always true.
    pub success: bool,
    #[schema(example = "Webhook deleted successfully")]
    pub message: &'static str,
    pub webhook_id: String,
}

/// Which webhooks to list.
#[derive(Debug, Default)]
pub struct WebhookFilter {
    pub status: Option<super::endpoint::Status>,
    /// Those that get events of this type.
    pub event: Option<String>,
    pub group: Option<String>,
    /// In URL or description.
    pub text: Option<String>,
    /// The last of the part before.
    pub after: Option<String>,
    pub limit: usize,
}

impl Sender {
    /// Registers a webhook. Its secret is in the answer, this once.
    ///
    /// # Errors
    /// What is wrong with it, or that there is no room for more.
    pub async fn create_webhook(
        &self,
        account: &Arc<str>,
        input: WebhookInput,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let answer = |webhook| Answer::new(StatusCode::CREATED, &WebhookAnswer { success: true, webhook });
        self.register(account, input, key, answer).await
    }

    /// The same, answered as `answer` writes it: so it is kept for `key`.
    pub(super) async fn register(
        &self,
        account: &Arc<str>,
        input: WebhookInput,
        key: Option<RequestKey>,
        answer: impl Fn(Webhook) -> Answer,
    ) -> Result<Answer, Refusal> {
        let now = self.clock.millis();
        let id = name::new_id(name::WEBHOOK, now);
        let given = input.secret.clone();
        let provider = self.provider_of(account);
        let settings = input.into_settings(&provider, None)?;
        let emitter = Arc::clone(self.directory.builder().emitters().find(&settings.provider)?);
        let shares = emitter.emission.policy.secret.scope == SecretScope::Account;
        if shares && given.is_some() {
            return Err(account_wide(&emitter));
        }
        let secret = new_secret(&emitter, given)?;
        let endpoint = Endpoint {
            id,
            account: account.to_string(),
            settings,
            secrets: if shares { Secrets::default() } else { Secrets::from(secret.clone()) },
            disabled: None,
            created_at: now.0,
            updated_at: now.0,
        };
        self.directory.builder().check_address(&endpoint.settings).await?;
        if emitter.emission.policy.creation_test.is_some() {
            // Whoever has been registered already is not asked again, and nobody is for whom there is no room.
            if let Some(kept) = self.kept_answer(key).await? {
                return Ok(kept);
            }
            self.directory.refresh().await?;
            self.check_room(self.directory.read().account(account), account)?;
            self.test_reachability(account, &endpoint).await?;
        }
        let decided = self.directory.change(|copy| {
            let known = copy.account(account);
            self.check_room(known, account)?;
            let built = self.directory.builder().check(&endpoint, known)?;
            let mut webhook = Webhook::of(&endpoint, built.in_force(), &Numbers::default());
            let (secrets, mut records) = match &secret {
                Some(made) if shares => self.account_secrets(copy, account, &emitter, made),
                _ => (endpoint.secrets.clone(), Vec::new()),
            };
            webhook.secret = shown(&secrets, &emitter);
            let answer = answer(webhook);
            records.push(self.endpoint_record(&endpoint));
            let change =
                Change { records, idempotent: key.map(|key| answer.keep(key, &self.vault, now)), ..self.no_change() };
            Ok((change, answer))
        });
        self.outcome(decided.await?, key)
    }

    /// Refuses one webhook more than an account may have.
    fn check_room(&self, known: &Account, account: &str) -> Result<(), Refusal> {
        known.check_enabled(account)?;
        let most = known.settings.max_webhooks.unwrap_or(self.settings.max_webhooks);
        if known.endpoints.len() < most as usize {
            return Ok(());
        }
        let detail = format!("account \"{account}\" has {most} webhooks, which is all that it may have");
        Err(Refusal::new(Code::LimitReached, detail))
    }

    /// The webhooks of an account, the oldest first.
    ///
    /// # Errors
    /// If the store cannot be asked for their numbers.
    pub async fn webhooks(&self, account: &Arc<str>, filter: WebhookFilter) -> Result<WebhookList, Refusal> {
        self.directory.refresh().await?;
        let (page, total, has_more) = {
            let copy = self.directory.read();
            let known = copy.account(account);
            let wanted: Vec<&Arc<Known>> = known.endpoints.values().filter(|known| filter.wants(known)).collect();
            let after = |known: &&&Arc<Known>| filter.after.as_deref().is_none_or(|after| &*known.id > after);
            let rest: Vec<&&Arc<Known>> = wanted.iter().filter(after).collect();
            let page: Vec<Arc<Known>> = rest.iter().take(filter.limit).map(|known| Arc::clone(known)).collect();
            let has_more = rest.len() > page.len();
            (page, wanted.len() as u64, has_more)
        };
        let numbers = self.numbers(page.iter().map(|known| Arc::clone(&known.id)).collect()).await?;
        let nothing = Numbers::default();
        let show = |known: &Arc<Known>| {
            Webhook::of(&known.endpoint, known.in_force(), numbers.get(&known.id).unwrap_or(&nothing))
        };
        let webhooks: Vec<Webhook> = page.iter().map(show).collect();
        let next_cursor = webhooks.last().filter(|_| has_more).map(|last| last.id.clone());
        Ok(WebhookList { success: true, webhooks, total, has_more, next_cursor })
    }

    /// One webhook.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked for its numbers.
    pub async fn webhook(&self, account: &Arc<str>, id: &str) -> Result<WebhookAnswer, Refusal> {
        self.directory.refresh().await?;
        let known = self.known(account, id)?;
        let numbers = self.numbers(vec![Arc::clone(&known.id)]).await?;
        let nothing = Numbers::default();
        let webhook = Webhook::of(&known.endpoint, known.in_force(), numbers.get(&known.id).unwrap_or(&nothing));
        Ok(WebhookAnswer { success: true, webhook })
    }

    /// Gives a webhook other settings: all of them, what is absent has its default.
    ///
    /// # Errors
    /// If there is none, or what is wrong with them.
    pub async fn replace_webhook(
        &self,
        account: &Arc<str>,
        id: &str,
        input: WebhookInput,
    ) -> Result<WebhookAnswer, Refusal> {
        self.rewrite(account, id, |_| Ok(input.clone())).await
    }

    /// Changes some settings of a webhook (RFC 7396).
    ///
    /// # Errors
    /// If there is none, or what is wrong with them.
    pub async fn patch_webhook(&self, account: &Arc<str>, id: &str, patch: &Value) -> Result<WebhookAnswer, Refusal> {
        self.rewrite(account, id, |old| WebhookInput::of(old).patched(patch)).await
    }

    async fn rewrite(
        &self,
        account: &Arc<str>,
        id: &str,
        input: impl Fn(&Settings) -> Result<WebhookInput, Refusal>,
    ) -> Result<WebhookAnswer, Refusal> {
        let provider = self.provider_of(account);
        // Looked at before the change, since it may take a while to ask for a name.
        let known = self.known_now(account, id).await?;
        let wanted = input(&known.endpoint.settings)?.into_settings(&provider, Some(&known.endpoint.settings))?;
        self.directory.builder().check_address(&wanted).await?;
        let old = &known.endpoint.settings;
        if wanted.provider != old.provider {
            self.check_move(&known.endpoint, &wanted)?;
        }
        if (&wanted.url, &wanted.provider) != (&old.url, &old.provider) {
            let moved = Endpoint { settings: wanted.clone(), ..known.endpoint.clone() };
            self.test_reachability(account, &moved).await?;
        }
        let shared = self.directory.read().account(account).secrets(&known.emitter.slug).current().map(str::to_owned);
        self.update(account, id, |endpoint| {
            let input = input(&endpoint.settings)?;
            let own = endpoint.secrets.current();
            let current = own.or(shared.as_deref()).unwrap_or_default();
            if let Some(secret) = &input.secret
                && *secret != current
                && *secret != masked(current)
            {
                if own.is_none() && shared.is_some() {
                    return Err(account_wide(&known.emitter));
                }
                return Err(Refusal::field("/secret", "it stays as it is here: POST …/rotate-secret replaces it"));
            }
            let settings = input.into_settings(&provider, Some(&endpoint.settings))?;
            if (&settings.url, &settings.provider) != (&wanted.url, &wanted.provider) {
                return Err(Refusal::new(Code::Conflict, "somebody else has just changed it: try again"));
            }
            if settings.provider != endpoint.settings.provider {
                self.check_move(endpoint, &settings)?;
            }
            endpoint.settings = settings;
            Ok(())
        })
        .await?;
        self.webhook(account, id).await
    }

    /// Refuses another provider that has no use for an endpoint's secret, or needs one that it does not have.
    fn check_move(&self, endpoint: &Endpoint, settings: &Settings) -> Result<(), Refusal> {
        let emitters = self.directory.builder().emitters();
        let to = emitters.find(&settings.provider)?;
        let shares = |emitter: &Emitter| emitter.emission.policy.secret.scope == SecretScope::Account;
        let shared = emitters.find(&endpoint.settings.provider).is_ok_and(|from| shares(from));
        match endpoint.secrets.current() {
            Some(secret) if !shares(to) => {
                fits(to, secret)?;
                let now = self.clock.millis();
                if endpoint.secrets.in_force(now).all(|known| fits(to, &known.secret).is_ok()) {
                    return Ok(());
                }
                let detail = format!(
                    "a former secret, which is still signed with, is not one of {}: POST …/rotate-secret with \
                     overlap_seconds = 0 ends it",
                    to.slug
                );
                Err(Refusal::field("/provider", detail))
            }
            None if to.scheme.is_optional() && !shared => Ok(()),
            _ => Err(Refusal::field(
                "/provider",
                format!("its secret is not one of {}: register another webhook", to.slug),
            )),
        }
    }

    /// Removes a webhook. What is still owed to it is cancelled in the same step.
    ///
    /// # Errors
    /// If there is none.
    pub async fn delete_webhook(&self, account: &Arc<str>, id: &str) -> Result<Deleted, Refusal> {
        let id: Arc<str> = self.known_now(account, id).await?.id.clone();
        let decided = self.directory.change(|copy| {
            self.find(copy, account, &id)?;
            let gone = Record {
                kind: RecordKind::Endpoint,
                account: Arc::clone(account),
                id: Arc::clone(&id),
                document: None,
            };
            let change = Change {
                records: vec![gone],
                cancel: vec![(Arc::clone(&id), "deleted")],
                health: vec![(Arc::clone(&id), Health::Forgotten)],
                ..self.no_change()
            };
            Ok((change, ()))
        });
        decided.await?;
        Ok(Deleted { success: true, message: "Webhook deleted successfully", webhook_id: id.to_string() })
    }

    /// Switches a webhook on again, whoever switched it off.
    ///
    /// # Errors
    /// If there is none, or it was switched off for good.
    pub async fn enable_webhook(&self, account: &Arc<str>, id: &str) -> Result<WebhookAnswer, Refusal> {
        self.update(account, id, |endpoint| {
            if endpoint.status() == Status::DisabledPermanent {
                let detail = format!("webhook \"{id}\" was switched off for good: register another one");
                return Err(Refusal::new(Code::EndpointDisabledPermanently, detail));
            }
            endpoint.settings.active = true;
            endpoint.disabled = None;
            Ok(())
        })
        .await?;
        self.webhook(account, id).await
    }

    /// Switches a webhook off. What is still owed to it is cancelled.
    ///
    /// # Errors
    /// If there is none.
    pub async fn disable_webhook(&self, account: &Arc<str>, id: &str) -> Result<WebhookAnswer, Refusal> {
        self.update(account, id, |endpoint| {
            endpoint.settings.active = false;
            Ok(())
        })
        .await?;
        self.webhook(account, id).await
    }

    /// What came of a webhook's deliveries.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn numbers(&self, ids: Vec<Arc<str>>) -> Result<HashMap<Arc<str>, Numbers>, Refusal> {
        let month = day_of(self.clock.millis()) - 29;
        let all = self.store.tallies(ids.clone(), None).await?;
        let recent = self.store.tallies(ids.clone(), Some(month)).await?;
        let mut failing: HashMap<Arc<str>, _> =
            self.store.failing().await?.into_iter().map(|failing| (Arc::clone(&failing.endpoint), failing)).collect();
        let numbers = ids.into_iter().map(|id| {
            let numbers = Numbers {
                all: all.get(&id).cloned().unwrap_or_default(),
                recent: recent.get(&id).cloned().unwrap_or_default(),
                failing: failing.remove(&id),
            };
            (id, numbers)
        });
        Ok(numbers.collect())
    }

    /// Changes an endpoint, and what follows from it: one that gets nothing any more is owed nothing, and one that is
    /// switched on again begins anew.
    async fn update(
        &self,
        account: &Arc<str>,
        id: &str,
        change: impl Fn(&mut Endpoint) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.known_now(account, id).await?;
        let now = self.clock.millis();
        let decided = self.directory.change(|copy| {
            let known = self.find(copy, account, id)?;
            let mut endpoint = known.endpoint.clone();
            change(&mut endpoint)?;
            endpoint.updated_at = now.0;
            // A later configuration may not allow what it has. Nobody is kept from switching it off by that.
            let off = Settings { active: false, ..known.endpoint.settings.clone() };
            if endpoint.settings != off {
                self.directory.builder().check(&endpoint, copy.account(account))?;
            }
            let (was, is) = (known.endpoint.is_active(), endpoint.is_active());
            let fifo = |endpoint: &Endpoint| endpoint.settings.ordering == Ordering::Fifo;
            let order =
                if fifo(&endpoint) && !fifo(&known.endpoint) { vec![Arc::clone(&known.id)] } else { Vec::new() };
            let cancel = if is { Vec::new() } else { vec![(Arc::clone(&known.id), "disabled")] };
            let health = if is && !was { vec![(Arc::clone(&known.id), Health::Cleared)] } else { Vec::new() };
            let records = vec![self.endpoint_record(&endpoint)];
            let change = Change { records, cancel, order, health, ..self.no_change() };
            Ok((change, ()))
        });
        decided.await.map(|_| ())
    }

    /// The endpoint, as the copy has it.
    ///
    /// # Errors
    /// If it is not there, or another account's, which is the same.
    pub fn known(&self, account: &str, id: &str) -> Result<Arc<Known>, Refusal> {
        self.find(&self.directory.read(), account, id).cloned()
    }

    /// The same, once the copy was brought up to date.
    ///
    /// # Errors
    /// See [`Self::known`].
    pub async fn known_now(&self, account: &str, id: &str) -> Result<Arc<Known>, Refusal> {
        self.directory.refresh().await?;
        self.known(account, id)
    }

    pub(super) fn find<'c>(&self, copy: &'c Copy, account: &str, id: &str) -> Result<&'c Arc<Known>, Refusal> {
        copy.account(account).endpoints.get(id).ok_or_else(|| Refusal::not_found("webhook", id))
    }

    /// The provider of webhooks that name none.
    fn provider_of(&self, account: &str) -> String {
        let copy = self.directory.read();
        let own = copy.account(account).settings.default_provider.clone();
        own.unwrap_or_else(|| self.settings.provider.clone())
    }

    pub(super) fn endpoint_record(&self, endpoint: &Endpoint) -> Record {
        let account: Arc<str> = endpoint.account.as_str().into();
        self.directory.record(RecordKind::Endpoint, &account, &endpoint.id, endpoint)
    }

    /// A change of nothing, to be filled.
    pub(super) fn no_change(&self) -> Change {
        Change::new(0, self.clock.millis())
    }

    pub(super) fn outcome(&self, outcome: Outcome<Answer>, key: Option<RequestKey>) -> Result<Answer, Refusal> {
        match (outcome, key) {
            (Outcome::Done(answer), _) => Ok(answer),
            (Outcome::Replayed(kept), Some(key)) => Answer::again(&kept, key, &self.vault),
            (Outcome::Replayed(_), None) => Err(Refusal::new(Code::Failed, "an answer was kept that nobody asked for")),
        }
    }
}

impl WebhookFilter {
    fn wants(&self, known: &Known) -> bool {
        let endpoint = &known.endpoint;
        let settings = &endpoint.settings;
        self.status.is_none_or(|status| endpoint.status() == status)
            && self.event.as_ref().is_none_or(|kind| endpoint.wants(kind))
            && self.group.as_ref().is_none_or(|group| settings.group_id.as_ref() == Some(group))
            && self.text.as_ref().is_none_or(|text| settings.url.contains(text) || settings.description.contains(text))
    }
}

/// What an account has is what its customers see.
impl Account {
    /// True if it has this group.
    pub fn has_group(&self, id: &str) -> bool {
        self.groups.contains_key(id)
    }
}
