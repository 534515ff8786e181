//! Webhooks, and what was delivered to them.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{Body, NoBody, OptionalBody, Path, Query, Subscriber, limit};
use super::reply::Done;
use crate::access::Permission::{Manage, Read};
use crate::clock::UnixMillis;
use crate::sender::again::{RecoverInput, Recovered, Replayed};
use crate::sender::answer::Answer;
use crate::sender::endpoint::Status;
use crate::sender::history::{DeliveryAnswer, DeliveryFilter, DeliveryList, DeliveryStatus};
use crate::sender::name;
use crate::sender::refusal::{Code, Problem, Refusal};
use crate::sender::secrets::{Rotation, SecretAnswer};
use crate::sender::trial::TestInput;
use crate::sender::webhook::WebhookInput;
use crate::sender::webhooks::{Deleted, WebhookAnswer, WebhookFilter, WebhookList};

const TAG: &str = "webhooks";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, replace, patch, delete))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(secret))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(recover))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(resend))
}

/// Which webhooks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those in this state.
    status: Option<Status>,
    /// Only those that get events of this type.
    event: Option<String>,
    /// Only those of this group.
    group_id: Option<String>,
    /// Only those with this in URL or description.
    q: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the part before.
    cursor: Option<String>,
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Only those in this state.
    status: Option<DeliveryStatus>,
    /// Only those of events of this type.
    event_type: Option<String>,
    /// Only those whose last attempt was answered so.
    #[param(minimum = 100, maximum = 999)]
    response_status: Option<u16>,
    /// Only those from then on (RFC 3339).
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only those before then (RFC 3339).
    #[param(format = DateTime)]
    until: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the part before.
    cursor: Option<String>,
}

/// Registers a webhook. Its secret is in this answer, and in no other.
#[utoipa::path(post, path = "/webhooks", tag = TAG, operation_id = "createWebhook", request_body = WebhookInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 201, description = "Registered", body = WebhookAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn create(State(api): State<Api>, caller: Subscriber, body: Body<WebhookInput>) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.create_webhook(account, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Lists webhooks, the oldest first.
#[utoipa::path(get, path = "/webhooks", tag = TAG, operation_id = "listWebhooks", params(ListQuery),
    responses((status = 200, description = "A part of the list", body = WebhookList),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn list(
    State(api): State<Api>,
    caller: Subscriber,
    Query(query): Query<ListQuery>,
) -> Result<Done<WebhookList>, Refusal> {
    let account = caller.may(Read)?;
    let filter = WebhookFilter {
        status: query.status,
        event: query.event,
        group: query.group_id,
        text: query.q,
        after: query.cursor.map(|text| cursor(name::is_webhook_id(&text).then_some(text))).transpose()?,
        limit: limit(query.limit)? as usize,
    };
    api.sender.webhooks(account, filter).await.map(Done)
}

/// Shows a webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = TAG, operation_id = "showWebhook",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = WebhookAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn show(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
) -> Result<Done<WebhookAnswer>, Refusal> {
    api.sender.webhook(caller.may(Read)?, &id).await.map(Done)
}

/// Gives a webhook other settings. What is absent gets its default.
#[utoipa::path(put, path = "/webhooks/{id}", tag = TAG, operation_id = "replaceWebhook", request_body = WebhookInput,
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "As it is now", body = WebhookAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn replace(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    body: Body<WebhookInput>,
) -> Result<Done<WebhookAnswer>, Refusal> {
    api.sender.replace_webhook(caller.may(Manage)?, &id, body.value).await.map(Done)
}

/// Changes some settings of a webhook: JSON Merge Patch (RFC 7396), null for the default.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = TAG, operation_id = "patchWebhook",
    params(("id" = String, Path, description = "The webhook")),
    request_body(content = Object, description = "The fields that change", content_type = "application/json"),
    responses((status = 200, description = "As it is now", body = WebhookAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn patch(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    body: Body<Value>,
) -> Result<Done<WebhookAnswer>, Refusal> {
    api.sender.patch_webhook(caller.may(Manage)?, &id, &body.value).await.map(Done)
}

/// Removes a webhook. What is still owed to it is cancelled.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = TAG, operation_id = "deleteWebhook",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "It is gone", body = Deleted),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn delete(State(api): State<Api>, caller: Subscriber, Path(id): Path<String>) -> Result<Done<Deleted>, Refusal> {
    api.sender.delete_webhook(caller.may(Manage)?, &id).await.map(Done)
}

/// Switches a webhook on, whoever switched it off.
#[utoipa::path(post, path = "/webhooks/{id}/enable", tag = TAG, operation_id = "enableWebhook",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "As it is now", body = WebhookAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn enable(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<Done<WebhookAnswer>, Refusal> {
    api.sender.enable_webhook(caller.may(Manage)?, &id).await.map(Done)
}

/// Switches a webhook off. What is still owed to it is cancelled, and what happens meanwhile is never delivered.
#[utoipa::path(post, path = "/webhooks/{id}/disable", tag = TAG, operation_id = "disableWebhook",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "As it is now", body = WebhookAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn disable(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<Done<WebhookAnswer>, Refusal> {
    api.sender.disable_webhook(caller.may(Manage)?, &id).await.map(Done)
}

/// Shows a webhook's secret, where its provider does so.
#[utoipa::path(get, path = "/webhooks/{id}/secret", tag = TAG, operation_id = "showSecret",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The secret", body = SecretAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn secret(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
) -> Result<Done<SecretAnswer>, Refusal> {
    api.sender.secret(caller.may(Manage)?, &id).await.map(Done)
}

/// Replaces a webhook's secret. For a while deliveries are signed with both.
#[utoipa::path(post, path = "/webhooks/{id}/rotate-secret", tag = TAG, operation_id = "rotateSecret",
    request_body(content = Option<Rotation>, content_type = "application/json"),
    params(("id" = String, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 200, description = "The new secret, this once", body = SecretAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn rotate(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    body: OptionalBody<Rotation>,
) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.rotate_secret(account, &id, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Makes one attempt at a test event, now.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = TAG, operation_id = "testWebhook",
    request_body(content = Option<TestInput>, content_type = "application/json"),
    params(("id" = String, Path, description = "The webhook"),
        ("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 200, description = "What came of it: `success` says whether it was taken", body = DeliveryAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn test(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    body: OptionalBody<TestInput>,
) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    api.sender.test_webhook(account, &id, body.value, caller.key(&body.bytes)).await
}

/// Makes deliveries again that failed.
#[utoipa::path(post, path = "/webhooks/{id}/recover", tag = TAG, operation_id = "recoverWebhook", request_body = RecoverInput,
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 202, description = "They are made again", body = Recovered),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn recover(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    body: Body<RecoverInput>,
) -> Result<Answer, Refusal> {
    let recovered = api.sender.recover(caller.may(Manage)?, &id, body.value).await?;
    Ok(Answer::new(http::StatusCode::ACCEPTED, &recovered))
}

/// Lists what was, or is to be, delivered to a webhook, the latest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "deliveries", operation_id = "listDeliveries",
    params(("id" = String, Path, description = "The webhook"), DeliveriesQuery),
    responses((status = 200, description = "A part of the list", body = DeliveryList),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn deliveries(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Done<DeliveryList>, Refusal> {
    let account = caller.may(Read)?;
    let filter = DeliveryFilter {
        status: query.status,
        kind: query.event_type,
        response_status: response_status(query.response_status)?,
        since: time("since", query.since)?,
        until: time("until", query.until)?,
        after: query.cursor.map(|text| cursor(name::delivery_id(&text))).transpose()?,
        limit: limit(query.limit)?,
    };
    api.sender.deliveries(account, &id, filter).await.map(Done)
}

/// Shows a delivery with its attempts.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries/{delivery_id}", tag = "deliveries", operation_id = "showDelivery",
    params(("id" = String, Path, description = "The webhook"), ("delivery_id" = String, Path, description = "The delivery")),
    responses((status = 200, description = "The delivery", body = DeliveryAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn delivery(
    State(api): State<Api>,
    caller: Subscriber,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Done<DeliveryAnswer>, Refusal> {
    api.sender.delivery(caller.may(Read)?, &id, &delivery).await.map(Done)
}

/// Makes a delivery again: one that waits is due at once, any other gets a second one beside it.
#[utoipa::path(post, path = "/webhooks/{id}/deliveries/{delivery_id}/resend", tag = "deliveries", operation_id = "resendDelivery",
    params(("id" = String, Path, description = "The webhook"), ("delivery_id" = String, Path, description = "The delivery"),
        ("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 202, description = "It is made again", body = Replayed),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn resend(
    State(api): State<Api>,
    caller: Subscriber,
    Path((id, delivery)): Path<(String, String)>,
    _: NoBody,
) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(b"");
    let outcome = api.sender.resend(account, &id, &delivery, key).await;
    api.sender.or_before(outcome, key).await
}

/// A status as `DeliveriesQuery` describes it.
fn response_status(given: Option<u16>) -> Result<Option<u16>, Refusal> {
    match given {
        Some(status) if !(100..=999).contains(&status) => {
            Err(Refusal::new(Code::Malformed, "response_status: it is not from 100 to 999"))
        }
        given => Ok(given),
    }
}

/// A moment in a query.
pub fn time(name: &str, text: Option<String>) -> Result<Option<UnixMillis>, Refusal> {
    let read = |text: String| text.parse().map_err(|wrong| Refusal::new(Code::Malformed, format!("{name}: {wrong}")));
    text.map(read).transpose()
}

/// Where a list goes on.
pub fn cursor<T>(read: Option<T>) -> Result<T, Refusal> {
    read.ok_or_else(|| Refusal::new(Code::Malformed, "cursor: it is no next_cursor of such a list"))
}
