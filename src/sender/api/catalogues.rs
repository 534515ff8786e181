//! Event types, groups, the account itself, and what there is to know of this sender.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{Body, Caller, OptionalBody, Path, Subscriber};
use super::reply::Done;
use crate::access::Permission::{Administer, Manage, Read};
use crate::sender::answer::Answer;
use crate::sender::catalogue::{AccountSettings, EventType, GroupInput};
use crate::sender::catalogues::{AccountAnswer, EventTypeAnswer, EventTypeList, Gone, GroupAnswer, GroupList, Meta};
use crate::sender::refusal::{Problem, Refusal};
use crate::sender::secrets::{AccountSecretAnswer, Rotation};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_event_types, create_event_type))
        .routes(routes!(show_event_type, put_event_type, delete_event_type))
        .routes(routes!(list_groups, create_group))
        .routes(routes!(show_group, put_group, delete_group))
        .routes(routes!(show_account, put_account))
        .routes(routes!(account_secret))
        .routes(routes!(rotate_account_secret))
        .routes(routes!(meta))
}

/// Lists the event types that may be emitted, by name.
#[utoipa::path(get, path = "/event-types", tag = "event types", operation_id = "listEventTypes",
    responses((status = 200, description = "All of them", body = EventTypeList),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn list_event_types(State(api): State<Api>, caller: Caller) -> Result<Done<EventTypeList>, Refusal> {
    api.sender.event_types(caller.may(Read)?).await.map(Done)
}

/// Declares an event type.
#[utoipa::path(post, path = "/event-types", tag = "event types", operation_id = "createEventType", request_body = EventType,
    params(("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 201, description = "Declared", body = EventTypeAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn create_event_type(State(api): State<Api>, caller: Caller, body: Body<EventType>) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.create_event_type(account, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Shows an event type.
#[utoipa::path(get, path = "/event-types/{name}", tag = "event types", operation_id = "showEventType",
    params(("name" = String, Path, description = "The event type")),
    responses((status = 200, description = "The event type", body = EventTypeAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn show_event_type(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Done<EventTypeAnswer>, Refusal> {
    api.sender.find_event_type(caller.may(Read)?, &name).await.map(Done)
}

/// Declares or replaces an event type.
#[utoipa::path(put, path = "/event-types/{name}", tag = "event types", operation_id = "putEventType", request_body = EventType,
    params(("name" = String, Path, description = "The event type")),
    responses((status = 200, description = "As it is now", body = EventTypeAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn put_event_type(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body<EventType>,
) -> Result<Done<EventTypeAnswer>, Refusal> {
    api.sender.put_event_type(caller.may(Manage)?, &name, body.value).await.map(Done)
}

/// Removes an event type. Webhooks may go on asking for it.
#[utoipa::path(delete, path = "/event-types/{name}", tag = "event types", operation_id = "deleteEventType",
    params(("name" = String, Path, description = "The event type")),
    responses((status = 200, description = "It is gone", body = Gone),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn delete_event_type(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Done<Gone>, Refusal> {
    api.sender.delete_event_type(caller.may(Manage)?, &name).await.map(Done)
}

/// Lists groups, the oldest first.
#[utoipa::path(get, path = "/groups", tag = "groups", operation_id = "listGroups",
    responses((status = 200, description = "All of them", body = GroupList),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn list_groups(State(api): State<Api>, caller: Caller) -> Result<Done<GroupList>, Refusal> {
    api.sender.groups(caller.may(Read)?).await.map(Done)
}

/// Makes a group.
#[utoipa::path(post, path = "/groups", tag = "groups", operation_id = "createGroup", request_body = GroupInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 201, description = "Made", body = GroupAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn create_group(State(api): State<Api>, caller: Caller, body: Body<GroupInput>) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.create_group(account, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Shows a group.
#[utoipa::path(get, path = "/groups/{id}", tag = "groups", operation_id = "showGroup",
    params(("id" = String, Path, description = "The group")),
    responses((status = 200, description = "The group", body = GroupAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn show_group(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Done<GroupAnswer>, Refusal> {
    api.sender.group(caller.may(Read)?, &id).await.map(Done)
}

/// Replaces a group.
#[utoipa::path(put, path = "/groups/{id}", tag = "groups", operation_id = "putGroup", request_body = GroupInput,
    params(("id" = String, Path, description = "The group")),
    responses((status = 200, description = "As it is now", body = GroupAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn put_group(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<GroupInput>,
) -> Result<Done<GroupAnswer>, Refusal> {
    api.sender.put_group(caller.may(Manage)?, &id, body.value).await.map(Done)
}

/// Removes a group that no webhook belongs to.
#[utoipa::path(delete, path = "/groups/{id}", tag = "groups", operation_id = "deleteGroup",
    params(("id" = String, Path, description = "The group")),
    responses((status = 200, description = "It is gone", body = Gone),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn delete_group(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Done<Gone>, Refusal> {
    api.sender.delete_group(caller.may(Manage)?, &id).await.map(Done)
}

/// Shows what holds for the account.
#[utoipa::path(get, path = "/account", tag = "account", operation_id = "showAccount",
    responses((status = 200, description = "The account", body = AccountAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn show_account(State(api): State<Api>, caller: Caller) -> Result<Done<AccountAnswer>, Refusal> {
    api.sender.account(caller.may(Read)?).await.map(Done)
}

/// Decides what holds for the account, for which the role admin is needed. What is absent is as the configuration has it.
#[utoipa::path(put, path = "/account", tag = "account", operation_id = "putAccount", request_body = AccountSettings,
    responses((status = 200, description = "As it is now", body = AccountAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn put_account(
    State(api): State<Api>,
    caller: Caller,
    body: Body<AccountSettings>,
) -> Result<Done<AccountAnswer>, Refusal> {
    api.sender.put_account(caller.may(Administer)?, body.value).await.map(Done)
}

/// Shows the secret that the account's webhooks of a provider share. Made if there is none yet.
#[utoipa::path(get, path = "/account/secrets/{provider}", tag = "account", operation_id = "showAccountSecret",
    params(("provider" = String, Path, description = "The provider, such as vinsight")),
    responses((status = 200, description = "The secret", body = AccountSecretAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn account_secret(
    State(api): State<Api>,
    caller: Subscriber,
    Path(provider): Path<String>,
) -> Result<Done<AccountSecretAnswer>, Refusal> {
    api.sender.account_secret(caller.may(Manage)?, &provider).await.map(Done)
}

/// Replaces the secret that the account's webhooks of a provider share. For a while deliveries are signed with both.
#[utoipa::path(post, path = "/account/secrets/{provider}/rotate", tag = "account", operation_id = "rotateAccountSecret",
    request_body(content = Option<Rotation>, content_type = "application/json"),
    params(("provider" = String, Path, description = "The provider, such as vinsight"),
        ("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 200, description = "The new secret", body = AccountSecretAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn rotate_account_secret(
    State(api): State<Api>,
    caller: Subscriber,
    Path(provider): Path<String>,
    body: OptionalBody<Rotation>,
) -> Result<Answer, Refusal> {
    let account = caller.may(Administer)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.rotate_account_secret(account, &provider, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Shows what there is to know of this sender: its version, from where it delivers, what it can send as.
#[utoipa::path(get, path = "/meta", tag = "account", operation_id = "showMeta",
    responses((status = 200, description = "This sender", body = Meta),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn meta(State(api): State<Api>, caller: Caller) -> Result<Done<Meta>, Refusal> {
    caller.may(Read)?;
    Ok(Done(api.sender.meta()))
}
