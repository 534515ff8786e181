//! Events: told, looked at, told again.

use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{Body, Caller, OptionalBody, Path, Query, limit};
use super::reply::Done;
use super::webhooks::{cursor, time};
use crate::access::Permission::{Manage, Publish, Read};
use crate::sender::again::{ReplayInput, Replayed};
use crate::sender::answer::Answer;
use crate::sender::event::{BatchInput, EventInput};
use crate::sender::history::{EventAnswer, EventList};
use crate::sender::publish::{Published, PublishedBatch};
use crate::sender::refusal::{Problem, Refusal};
use crate::store::SentEventFilter;

const TAG: &str = "events";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, publish))
        .routes(routes!(publish_batch))
        .routes(routes!(show))
        .routes(routes!(replay))
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
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

/// Tells everyone who asked what happened. Once this is answered it is on the disk, with everything that is owed of it.
#[utoipa::path(post, path = "/events", tag = TAG, operation_id = "publishEvent", request_body = EventInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 202, description = "It is kept, and delivered to these", body = Published),
        (status = 200, description = "It was kept before: nothing is delivered again", body = Published),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn publish(State(api): State<Api>, caller: Caller, body: Body<EventInput>) -> Result<Answer, Refusal> {
    let account = caller.may(Publish)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.publish(account, body.value, key).await;
    api.sender.or_before(outcome, key).await
}

/// Tells several events in one step.
#[utoipa::path(post, path = "/events/batch", tag = TAG, operation_id = "publishEvents", request_body = BatchInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 202, description = "What became of each", body = PublishedBatch),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn publish_batch(State(api): State<Api>, caller: Caller, body: Body<BatchInput>) -> Result<Answer, Refusal> {
    let account = caller.may(Publish)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.publish_batch(account, body.value.events, key).await;
    api.sender.or_before(outcome, key).await
}

/// Lists events, the latest first.
#[utoipa::path(get, path = "/events", tag = TAG, operation_id = "listEvents", params(ListQuery),
    responses((status = 200, description = "A part of the list", body = EventList),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Done<EventList>, Refusal> {
    let filter = SentEventFilter {
        account: Arc::clone(caller.may(Read)?),
        kind: query.kind,
        since: time("since", query.since)?,
        until: time("until", query.until)?,
        after: query.cursor.map(|text| cursor(text.parse().ok())).transpose()?,
        limit: limit(query.limit)?,
    };
    api.sender.events(filter).await.map(Done)
}

/// Shows an event.
#[utoipa::path(get, path = "/events/{id}", tag = TAG, operation_id = "showEvent",
    params(("id" = String, Path, description = "The event")),
    responses((status = 200, description = "The event", body = EventAnswer),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Done<EventAnswer>, Refusal> {
    api.sender.event(caller.may(Read)?, &id).await.map(Done)
}

/// Tells an event again, with the same id and the same bytes.
#[utoipa::path(post, path = "/events/{id}/replay", tag = TAG, operation_id = "replayEvent",
    request_body(content = Option<ReplayInput>, content_type = "application/json"),
    params(("id" = String, Path, description = "The event"),
        ("Idempotency-Key" = Option<String>, Header, description = "Does it once", min_length = 1, max_length = 255)),
    responses((status = 202, description = "It is delivered again", body = Replayed),
        (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json")))]
async fn replay(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: OptionalBody<ReplayInput>,
) -> Result<Answer, Refusal> {
    let account = caller.may(Manage)?;
    let key = caller.key(&body.bytes);
    let outcome = api.sender.replay(account, &id, body.value, key).await;
    api.sender.or_before(outcome, key).await
}
