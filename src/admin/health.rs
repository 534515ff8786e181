//! Metrics and health, for which no token is asked.

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::reply;
use crate::gateway::Gateway;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Answers a request for `/livez`, `/readyz` or `/metrics`.
pub fn answer<B>(request: &Request<B>, gateway: &Gateway, draining: bool) -> Response<Full<Bytes>> {
    let (status, kind, body) = match request.uri().path() {
        "/livez" | "/readyz" | "/metrics" if request.method() != Method::GET => {
            let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return reply;
        }
        "/livez" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" if draining => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned()),
        "/readyz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/metrics" => {
            let metrics = &gateway.metrics;
            gateway.measure();
            match metrics.render(gateway.dedup.stats()) {
                Ok(text) => (StatusCode::OK, OPEN_METRICS, text),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
            }
        }
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz, /metrics and /api\n".to_owned()),
    };
    reply(status, kind, body)
}
