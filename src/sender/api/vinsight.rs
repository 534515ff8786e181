//! Webhooks in the words of Vinsight, for clients that were written for it. Paths tell `/Webhooks` from `/webhooks`.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{Body, Path, Subscriber};
use super::reply::Done;
use crate::access::Permission::{Manage, Read};
use crate::sender::answer::Answer;
use crate::sender::refusal::{Problem, Refusal};
use crate::sender::vinsight::{VinsightInput, VinsightSecret, VinsightWebhook, VinsightWebhooks};

const TAG: &str = "vinsight";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, replace, delete)).routes(routes!(secret))
}

/// Registers a webhook for one event of one entity.
#[utoipa::path(post, path = "/Webhooks", tag = TAG, operation_id = "createVinsightWebhook", request_body = VinsightInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 201, description = "Registered", body = VinsightWebhook),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn create(State(api): State<Api>, caller: Subscriber, body: Body<VinsightInput>) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.create_vinsight_webhook(account, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Lists those that are for one event of one entity, the oldest first.
#[utoipa::path(get, path = "/Webhooks", tag = TAG, operation_id = "listVinsightWebhooks",
    responses((status = 200, description = "All of them", body = VinsightWebhooks),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, caller: Subscriber) -> Result<Done<VinsightWebhooks>, Refusal> {
    api.sender.vinsight_webhooks(caller.may(Read)?).await.map(Done)
}

/// Shows a webhook.
#[utoipa::path(get, path = "/Webhooks/{id}", tag = TAG, operation_id = "showVinsightWebhook",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = VinsightWebhook),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn show(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
) -> Result<Done<VinsightWebhook>, Refusal> {
    api.sender.vinsight_webhook(caller.may(Read)?, &id).await.map(Done)
}

/// Changes a webhook: all five fields. What it has beside them stays.
#[utoipa::path(put, path = "/Webhooks/{id}", tag = TAG, operation_id = "replaceVinsightWebhook", request_body = VinsightInput,
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "As it is now", body = VinsightWebhook),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn replace(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
    body: Body<VinsightInput>,
) -> Result<Done<VinsightWebhook>, Refusal> {
    api.sender.replace_vinsight_webhook(caller.may(Manage)?, &id, body.value).await.map(Done)
}

/// Removes a webhook. What is still owed to it is cancelled.
#[utoipa::path(delete, path = "/Webhooks/{id}", tag = TAG, operation_id = "deleteVinsightWebhook",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "As it was", body = VinsightWebhook),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn delete(
    State(api): State<Api>,
    caller: Subscriber,
    Path(id): Path<String>,
) -> Result<Done<VinsightWebhook>, Refusal> {
    api.sender.delete_vinsight_webhook(caller.may(Manage)?, &id).await.map(Done)
}

/// Shows the secret that all of the account's webhooks share. Made if there is none yet.
#[utoipa::path(get, path = "/Webhooks/Secret.json", tag = TAG, operation_id = "showVinsightSecret",
    responses((status = 200, description = "The secret", body = VinsightSecret),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn secret(State(api): State<Api>, caller: Subscriber) -> Result<Done<VinsightSecret>, Refusal> {
    api.sender.vinsight_secret(caller.may(Manage)?).await.map(Done)
}
