//! The REST API: who may ask what, in which shape, and what is answered.

mod catalogues;
mod events;
mod extract;
mod listener;
mod reply;
mod vinsight;
mod webhooks;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;

use super::Sender;
use super::refusal::{Code, Refusal};
use crate::access::Tokens;

pub use listener::Listener;

/// What requests are answered from, and to whom.
#[derive(Debug, Clone)]
pub struct Api {
    sender: Arc<Sender>,
    tokens: Arc<ArcSwap<Tokens>>,
}

/// How many bytes a batch may have for each byte that one event may have.
const EVENTS_IN_BODY: usize = 16;

impl Api {
    /// The API of `sender` for whoever has one of `tokens`.
    pub fn new(sender: Arc<Sender>, tokens: Tokens) -> Self {
        Self { sender, tokens: Arc::new(ArcSwap::from_pointee(tokens)) }
    }

    /// Puts other tokens in force.
    pub fn apply(&self, tokens: Tokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// All routes, at the root and under `/v1`.
    pub fn router(self) -> Router {
        let (routes, document) = routes().split_for_parts();
        let max_body = self.sender.settings.max_body.saturating_mul(EVENTS_IN_BODY).max(1 << 20);
        let text: Arc<str> = document.to_json().expect("plain structs").into();
        let describe = move || {
            let text = Arc::clone(&text);
            async move { ([(http::header::CONTENT_TYPE, "application/json")], text.to_string()) }
        };
        let routes = routes.route("/openapi.json", get(describe));
        Router::new()
            .merge(routes.clone())
            .nest("/v1", routes)
            .fallback(|| async { nothing_here().into_response() })
            .method_not_allowed_fallback(|| async { wrong_method().into_response() })
            .layer(DefaultBodyLimit::max(max_body))
            .with_state(self)
    }
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(describe())
        .merge(webhooks::routes())
        .merge(events::routes())
        .merge(catalogues::routes())
        .merge(vinsight::routes())
}

/// The description of the API, without its routes.
fn describe() -> OpenApi {
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let info = InfoBuilder::new()
        .title("Hookward sender")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Tell Hookward what happened; it tells everyone who asked. A token that may act for any account names one \
             in `Hookward-Account`. A POST with an `Idempotency-Key` is done once: the same request gets the same \
             answer for a day.",
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(ComponentsBuilder::new().security_scheme("token", bearer).build()))
        .security(Some([SecurityRequirement::new("token", [] as [&str; 0])]))
        .build()
}

/// The whole description, as it is served at `/openapi.json`.
pub fn openapi() -> OpenApi {
    routes().split_for_parts().1
}

fn nothing_here() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such path: /openapi.json describes those that there are")
}

fn wrong_method() -> Refusal {
    Refusal::new(Code::MethodNotAllowed, "this path takes other methods: Allow names them")
}
