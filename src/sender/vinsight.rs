//! Webhooks as Vinsight's clients write and read them: one entity, one event, one URL.
//!
//! Each is a webhook of the provider `vinsight` that asks for one event type, `contact.created`. How the two names were
//! spelled stands in its metadata. Whatever else such a webhook has was said elsewhere, and stays.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Sender;
use super::answer::{Answer, RequestKey};
use super::endpoint::{Endpoint, Settings};
use super::refusal::{Code, FieldError, Refusal};
use super::webhook::{Webhook, WebhookInput};

const PROVIDER: &str = "vinsight";

/// Where a webhook's metadata has how its names were spelled.
const ENTITY: &str = "EntityType";
/// See [`ENTITY`].
const EVENT: &str = "EventType";

/// Two such names and a full stop are no longer than an event type may be.
const LONGEST: usize = 63;

/// A webhook to be registered, or what one is to become. All five fields must be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct VinsightInput {
    /// To what it happens.
    #[schema(required, value_type = String, example = "Contact", max_length = 63, pattern = "^[A-Za-z0-9_-]+$")]
    entity_type: Option<String>,
    /// What happens to it.
    #[schema(required, value_type = String, example = "Created", max_length = 63, pattern = "^[A-Za-z0-9_-]+$")]
    event_type: Option<String>,
    /// Where it is sent.
    #[schema(required, value_type = String, example = "https://api.example.com/webhooks", max_length = 2048)]
    url: Option<String>,
    /// How its body is written: `json`, or `application/json`, which is the same.
    #[schema(required, value_type = String, example = "json", pattern = "^(application/)?json$")]
    content_type: Option<ContentType>,
    /// Whether anything is sent. What happens while it is not is never sent later.
    #[schema(required, value_type = bool)]
    is_enabled: Option<bool>,
}

/// How bodies are written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = VinsightContentType)]
pub enum ContentType {
    #[serde(rename = "json", alias = "application/json")]
    Json,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VinsightWebhook {
    #[serde(rename = "WebhookID")]
    #[schema(example = "wh_0199c82cc0a01b7d3f5e6a7b8c9d0e1f")]
    id: String,
    #[schema(example = "Contact")]
    entity_type: String,
    #[schema(example = "Created")]
    event_type: String,
    url: String,
    content_type: ContentType,
    /// False too where it failed for too long: true in a PUT switches it on again.
    is_enabled: bool,
}

/// All webhooks, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VinsightWebhooks {
    webhooks: Vec<VinsightWebhook>,
}

/// The secret of all webhooks of the account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VinsightSecret {
    /// Its 32 characters are what is signed with, not the bytes that they stand for.
    #[schema(example = "584af7dfa7f130fa3dbe15f5a805bae4")]
    secret: String,
}

impl Sender {
    /// Registers a webhook.
    ///
    /// # Errors
    /// What is wrong with it, or that there is no room for more.
    pub async fn create_vinsight_webhook(
        &self,
        account: &Arc<str>,
        input: VinsightInput,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let wanted = input.read()?;
        let webhook = WebhookInput::read(wanted.asked())?;
        let answer = |webhook: Webhook| Answer::new(StatusCode::CREATED, &wanted.shown(webhook.id));
        self.register(account, webhook, key, answer).await.map_err(renamed)
    }

    /// The webhooks of an account that Vinsight's clients know, the oldest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn vinsight_webhooks(&self, account: &str) -> Result<VinsightWebhooks, Refusal> {
        self.directory.refresh().await?;
        let copy = self.directory.read();
        let known = copy.account(account).endpoints.values();
        Ok(VinsightWebhooks { webhooks: known.filter_map(|known| VinsightWebhook::of(&known.endpoint)).collect() })
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none, or it is not one that they know.
    pub async fn vinsight_webhook(&self, account: &str, id: &str) -> Result<VinsightWebhook, Refusal> {
        let nothing = || Refusal::not_found("Vinsight webhook", id);
        self.directory.refresh().await?;
        let known = self.known(account, id).map_err(|_| nothing())?;
        VinsightWebhook::of(&known.endpoint).ok_or_else(nothing)
    }

    /// Gives a webhook another pair, URL or state. One that was switched off for failing is switched on by it, for which
    /// Vinsight's clients have no other way.
    ///
    /// # Errors
    /// If there is none, or what is wrong with it.
    pub async fn replace_vinsight_webhook(
        &self,
        account: &Arc<str>,
        id: &str,
        input: VinsightInput,
    ) -> Result<VinsightWebhook, Refusal> {
        self.vinsight_webhook(account, id).await?;
        let wanted = input.read()?;
        self.patch_webhook(account, id, &wanted.asked()).await.map_err(renamed)?;
        let now = self.vinsight_webhook(account, id).await?;
        if now.is_enabled || !wanted.is_enabled {
            return Ok(now);
        }
        self.enable_webhook(account, id).await?;
        self.vinsight_webhook(account, id).await
    }

    /// Removes a webhook. What is still owed to it is cancelled.
    ///
    /// # Errors
    /// If there is none.
    pub async fn delete_vinsight_webhook(&self, account: &Arc<str>, id: &str) -> Result<VinsightWebhook, Refusal> {
        let was = self.vinsight_webhook(account, id).await?;
        self.delete_webhook(account, id).await?;
        Ok(was)
    }

    /// The secret of all webhooks of the account. Made if there is none yet.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn vinsight_secret(&self, account: &Arc<str>) -> Result<VinsightSecret, Refusal> {
        let known = self.account_secret(account, PROVIDER).await?;
        Ok(VinsightSecret { secret: known.secret })
    }
}

/// What a webhook is for, as it is spelled.
struct Pair {
    entity: String,
    event: String,
}

/// An input in which nothing is missing.
struct Wanted {
    pair: Pair,
    url: String,
    is_enabled: bool,
}

impl VinsightInput {
    fn read(self) -> Result<Wanted, Refusal> {
        let there = [
            (ENTITY, self.entity_type.is_some()),
            (EVENT, self.event_type.is_some()),
            ("Url", self.url.is_some()),
            ("ContentType", self.content_type.is_some()),
            ("IsEnabled", self.is_enabled.is_some()),
        ];
        let (Some(entity), Some(event), Some(url), Some(ContentType::Json), Some(is_enabled)) =
            (self.entity_type, self.event_type, self.url, self.content_type, self.is_enabled)
        else {
            return Err(missing(there.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect()));
        };
        for (name, text) in [(ENTITY, &entity), (EVENT, &event)] {
            if !is_name(text) {
                let detail = format!("it is not 1 to {LONGEST} letters, digits, '_' and '-', for example \"Contact\"");
                return Err(Refusal::field(format!("/{name}"), detail));
            }
        }
        Ok(Wanted { pair: Pair { entity, event }, url, is_enabled })
    }
}

impl Wanted {
    /// As a [`WebhookInput`] has it, and a patch of one.
    fn asked(&self) -> Value {
        let Pair { entity, event } = &self.pair;
        json!({
            "provider": PROVIDER,
            "events": [format!("{entity}.{event}").to_ascii_lowercase()],
            "url": self.url,
            "active": self.is_enabled,
            "metadata": { ENTITY: entity, EVENT: event },
        })
    }

    fn shown(&self, id: String) -> VinsightWebhook {
        VinsightWebhook {
            id,
            entity_type: self.pair.entity.clone(),
            event_type: self.pair.event.clone(),
            url: self.url.clone(),
            content_type: ContentType::Json,
            is_enabled: self.is_enabled,
        }
    }
}

impl VinsightWebhook {
    /// None if it is another provider's, or not for one pair.
    fn of(endpoint: &Endpoint) -> Option<Self> {
        let settings = &endpoint.settings;
        let pair = Pair::of(settings).filter(|_| settings.provider == PROVIDER)?;
        let wanted = Wanted { pair, url: settings.url.clone(), is_enabled: endpoint.is_active() };
        Some(wanted.shown(endpoint.id.clone()))
    }
}

impl Pair {
    /// Whoever changes the events elsewhere leaves the spelling of others behind: what does not fit does not count.
    fn of(settings: &Settings) -> Option<Self> {
        let [kind] = settings.events.as_deref()? else { return None };
        let (entity, event) = kind.split_once('.')?;
        if !is_name(entity) || !is_name(event) || kind.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let spelled = |key: &str, name: &str| {
            let given = settings.metadata.get(key).filter(|given| given.eq_ignore_ascii_case(name));
            given.map_or(name, String::as_str).to_owned()
        };
        Some(Self { entity: spelled(ENTITY, entity), event: spelled(EVENT, event) })
    }
}

/// True if event types can be made of it. A full stop would leave open where the entity ends.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain)
}

fn missing(names: Vec<&str>) -> Refusal {
    let detail = format!("it lacks {}: all five fields must be there", names.join(", "));
    let error = |name| FieldError { pointer: format!("/{name}"), detail: "it is missing".into() };
    Refusal { errors: names.into_iter().map(error).collect(), ..Refusal::new(Code::Validation, detail) }
}

/// The refusal of what was asked, by the name that the field has here.
fn renamed(refusal: Refusal) -> Refusal {
    match refusal.errors.first() {
        Some(error) if error.pointer == "/url" => refusal.at("/Url"),
        _ => refusal,
    }
}
