//! An event in the shape of a template, in place of the request that it came by.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::signing::AGENT;
use crate::clock::UnixMillis;
use crate::signature::Scheme;
use crate::signature::json::{self, Pointer};
use crate::signature::request::Head;
use crate::template::{Facts, Template};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How a source's events are told to somebody who takes messages and no events.
#[derive(Debug, Clone)]
pub struct Rendering {
    pub template: Template,
    /// Where its provider says of what type an event is.
    pub scheme: Scheme,
    /// What of an event's JSON the template calls its data; all of it where nothing stands there.
    pub data: Option<Pointer>,
    /// What the template finds under that name.
    pub metadata: BTreeMap<String, String>,
    /// Whose event it is.
    pub source: String,
}

impl Rendering {
    /// The message that is made of an event, which came at `accepted_at` and is known by `id`.
    ///
    /// # Errors
    /// Why there is none, as a fragment in which nothing of the event stands.
    pub fn body(&self, head: Head<'_>, body: &[u8], id: &str, accepted_at: UnixMillis) -> Result<Bytes, String> {
        let kind = self.scheme.event_type(None, head, body).unwrap_or_default();
        let document = self.scheme.json(None, head, body);
        let data = self.data.as_ref().and_then(|pointer| json::find(&document, pointer));
        let facts = Facts {
            id,
            kind: &kind,
            timestamp: accepted_at,
            account: "",
            endpoint: &self.source,
            metadata: &self.metadata,
            data: data.map_or(&document, |data| data.get().as_bytes()),
        };
        let rendered = self.template.render(&facts);
        rendered.map(Bytes::from).map_err(|why| format!("the template {} fails: {why}", self.template.name()))
    }

    /// The headers of that message. Of those that the event came with none is true of another body, nor meant for whoever
    /// reads it: what is left is what we say ourselves.
    pub fn headers(&self, received: &HeaderMap) -> HeaderMap {
        let ours =
            |name: &HeaderName| name.as_str().starts_with("hookward-") || [&X_REQUEST_ID, &TRACEPARENT].contains(&name);
        let mut headers = HeaderMap::with_capacity(12);
        headers
            .extend(received.iter().filter(|(name, _)| ours(name)).map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, AGENT);
        headers
    }
}
