//! What an endpoint's deliveries get that upstreams' do not: a signature, and what belongs to it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::destination::read_headers;
use crate::clock::{UnixMillis, UnixTime};
use crate::egress::Url;
use crate::signature::emission::{AttemptFacts, Emission, Success, TimestampPolicy};
use crate::signature::place::Params;
use crate::signature::secret::Secret;
use crate::signature::{Message, Scheme};
use crate::store::Leased;

/// How an endpoint's deliveries are made.
#[derive(Debug)]
pub struct Signing {
    /// The endpoint's id.
    pub endpoint: Arc<str>,
    pub account: Arc<str>,
    pub scheme: Arc<Scheme>,
    pub emission: Arc<Emission>,
    /// What bodies are that do not say it themselves.
    pub content_type: HeaderValue,
    /// The current one first. None of them where the provider signs only if it was given one.
    pub secrets: Vec<TimedSecret>,
    /// Its owner's. They come after everything else: what is there already they do not replace, but for content type
    /// and user agent.
    pub headers: HeaderMap,
    /// Not sent where the signature itself stands in `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Its own; `None` for the provider's.
    pub success: Option<Success>,
    /// True if 410 says that it wants nothing any more.
    pub heeds_gone: bool,
}

/// A secret, and until when it is signed with.
#[derive(Debug, Clone)]
pub struct TimedSecret {
    pub secret: Secret,
    /// `None` for the current one.
    pub until: Option<UnixMillis>,
}

/// What we call ourselves.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static(concat!("Hookward/", env!("CARGO_PKG_VERSION")));

/// What concerns the connection is nobody's to set.
const OURS: [HeaderName; 8] = [HOST, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING, TE, TRAILER, UPGRADE, EXPECT];

impl Signing {
    /// True if `status` says that the endpoint has the event.
    pub fn is_success(&self, status: StatusCode) -> bool {
        self.success.as_ref().unwrap_or(&self.emission.success).contains(status)
    }

    /// The request of attempt `number`, which begins `now`. The body is the stored one, and not copied.
    ///
    /// # Errors
    /// Why it cannot be made, as a fragment.
    pub fn request(
        &self,
        url: &Url,
        delivery: &Leased,
        number: u32,
        now: UnixMillis,
    ) -> Result<Request<Full<Bytes>>, String> {
        let message = &delivery.message;
        let method = Method::from_bytes(message.method.as_bytes()).map_err(|_| "what is stored is not a request")?;
        let event = match &delivery.event_id {
            Some(id) => Cow::Borrowed(id.as_str()),
            None => Cow::Owned(delivery.event.to_string()),
        };
        let headers = self.unsigned_headers(delivery, &event, number)?;
        let timestamp = match self.emission.timestamp {
            TimestampPolicy::Fresh => now,
            TimestampPolicy::Frozen => delivery.signed_at,
        };
        let host = url.target.host_header();
        let text = whole_url(url, &host);
        let signed = Message {
            id: &event,
            timestamp: UnixTime(timestamp.0.div_euclid(1000)),
            method: method.as_str(),
            url: &text,
            headers: &headers,
            body: &message.body,
        };
        let secrets = self.secrets_at(now);
        if secrets.is_empty() && !self.scheme.is_optional() {
            return Err("it has no secret to sign with".into());
        }
        let mut headers = self.scheme.sign_headers(signed, &secrets, &Params::default())?;
        self.add_own_headers(&mut headers);
        headers.insert(HOST, host);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(message.body.len()));
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = target(url)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// What may be signed among the headers.
    fn unsigned_headers(&self, delivery: &Leased, event: &str, number: u32) -> Result<HeaderMap, String> {
        let stored = match delivery.message.headers.is_empty() {
            true => HeaderMap::new(),
            false => read_headers(&delivery.message.headers).ok_or("what is stored is not a request")?,
        };
        let content_type = stored.get(CONTENT_TYPE).unwrap_or(&self.content_type);
        let mut headers = HeaderMap::with_capacity(16);
        for (name, standard) in [(CONTENT_TYPE, content_type), (USER_AGENT, &AGENT)] {
            let value = self.headers.get(&name).map_or_else(|| standard.clone(), masked);
            headers.insert(name, value);
        }
        let facts = AttemptFacts {
            event,
            kind: delivery.kind.as_deref().unwrap_or_default(),
            account: &self.account,
            endpoint: &self.endpoint,
            number,
        };
        for header in &self.emission.headers {
            headers.insert(header.name.clone(), header.value(&facts));
        }
        Ok(headers)
    }

    fn add_own_headers(&self, headers: &mut HeaderMap) {
        let authorization = self.authorization.iter().map(|value| (AUTHORIZATION, masked(value)));
        for (name, value) in authorization {
            headers.entry(name).or_insert(value);
        }
        for name in self.headers.keys() {
            if OURS.contains(name) || headers.contains_key(name) {
                continue;
            }
            for value in self.headers.get_all(name) {
                headers.append(name, masked(value));
            }
        }
    }

    /// The secrets that are in force, the current one first. Looked at anew for each attempt, so that no old one outlives
    /// its time in a queue.
    fn secrets_at(&self, now: UnixMillis) -> Vec<Secret> {
        let in_force = self.secrets.iter().filter(|secret| secret.until.is_none_or(|until| now < until));
        in_force.map(|secret| secret.secret.clone()).collect()
    }
}

/// A value that the log shows masked.
fn masked(value: &HeaderValue) -> HeaderValue {
    let mut value = value.clone();
    value.set_sensitive(true);
    value
}

/// The URL as people write it: without its scheme's own port.
pub fn whole_url(url: &Url, host: &HeaderValue) -> String {
    let scheme = if url.target.tls { "https" } else { "http" };
    let host = host.to_str().unwrap_or_default();
    let (mark, query) = url.query.as_deref().map_or(("", ""), |query| ("?", query));
    [scheme, "://", host, &url.path, mark, query].concat()
}

/// Path and query.
fn target(url: &Url) -> Result<Uri, String> {
    let target = match &url.query {
        Some(query) => Uri::try_from(format!("{}?{query}", url.path)),
        None => Uri::try_from(url.path.as_str()),
    };
    target.map_err(|_| "its URL is not one".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Verifier;
    use crate::signature::preset::Preset;
    use crate::signature::request::{Head, PublicUrl};
    use crate::store::{Id, Message as Stored};

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
    const BODY: &[u8] = b"{\"id\":\"wh_evt_1\"}";

    fn secret(byte: u8, until: Option<UnixMillis>, preset: &Preset) -> TimedSecret {
        TimedSecret { secret: preset.profile.emission.secret.generate(|random| random.fill(byte)), until }
    }

    fn signing(preset: &Preset) -> Signing {
        Signing {
            endpoint: "wh_1".into(),
            account: "acc".into(),
            scheme: Arc::new(preset.profile.scheme.clone()),
            emission: Arc::new(preset.profile.emission.clone()),
            content_type: preset.profile.emission.content_type.clone(),
            secrets: vec![secret(1, None, preset)],
            headers: HeaderMap::new(),
            authorization: None,
            success: None,
            heeds_gone: true,
        }
    }

    fn delivery() -> Leased {
        Leased {
            id: Id::new(NOW),
            event: Id::new(NOW),
            token: 1,
            destination: "wh_1".into(),
            created_at: NOW,
            signed_at: NOW,
            attempts: 0,
            possible_duplicate: false,
            event_id: Some("wh_evt_1".into()),
            kind: Some("a.b".into()),
            message: Stored { method: "POST".into(), query: None, headers: Bytes::new(), body: BODY.into() },
        }
    }

    fn preset(slug: &str) -> &'static Preset {
        Preset::find(slug).expect("a preset")
    }

    fn headers(signing: &Signing, number: u32, now: UnixMillis) -> HeaderMap {
        let url = Url::parse("https://example.com/in?token=1").expect("a URL");
        let request = signing.request(&url, &delivery(), number, now).expect("a request");
        assert_eq!(request.uri(), "/in?token=1", "the query is its owner's");
        request.headers().clone()
    }

    fn accepts(preset: &Preset, byte: u8, headers: &HeaderMap, now: UnixMillis) -> bool {
        let secrets = [("1".to_owned(), secret(byte, None, preset).secret)];
        let scheme = preset.profile.scheme.clone();
        let verifier = Verifier::new(scheme, &secrets, Params::default(), 1 << 20).expect("a secret of the scheme");
        let head = Head { method: "POST", url: PublicUrl::split("https://example.com/in?token=1"), headers };
        let now = UnixTime(now.0 / 1000);
        verifier.inspect(head).and_then(|claimed| verifier.verify(&claimed, head, BODY, now, None).map(drop)).is_ok()
    }

    #[test]
    fn each_attempt_is_one_that_the_provider_would_have_made() {
        for slug in
            ["standard-webhooks", "vgs", "github", "stripe", "svix", "vantastatus", "vpn-enterprise", "vinsight"]
        {
            let preset = preset(slug);
            for (number, minutes) in [(1, 0), (2, 1), (5, 600)] {
                let now = UnixMillis(NOW.0 + minutes * 60_000);
                let headers = headers(&signing(preset), number, now);
                let frozen = preset.profile.emission.timestamp == TimestampPolicy::Frozen;
                assert!(accepts(preset, 1, &headers, if frozen { NOW } else { now }), "{slug} {number}");
                assert!(!accepts(preset, 2, &headers, now), "{slug}: not under another secret");
                assert_eq!(headers[HOST], "example.com");
                assert_eq!(headers[USER_AGENT], concat!("Hookward/", env!("CARGO_PKG_VERSION")));
                assert_eq!(headers[CONTENT_TYPE], "application/json");
            }
        }
    }

    #[test]
    fn a_frozen_signature_is_the_same_to_the_byte() {
        let vgs = signing(preset("vgs"));
        let signature = |number, now| headers(&vgs, number, now)["vgs-signature"].clone();
        assert_eq!(signature(1, NOW), signature(8, UnixMillis(NOW.0 + 99_305_000)));
    }

    #[test]
    fn an_old_secret_signs_until_its_time_is_over_where_there_is_room() {
        let until = UnixMillis(NOW.0 + 60_000);
        for (slug, both) in [("standard-webhooks", true), ("stripe", true), ("github", false)] {
            let preset = preset(slug);
            let mut signing = signing(preset);
            signing.secrets.push(secret(2, Some(until), preset));
            let last = UnixMillis(until.0 - 1);
            let overlapping = headers(&signing, 1, last);
            assert_eq!([1, 2].map(|key| accepts(preset, key, &overlapping, last)), [true, both], "{slug}");
            let over = headers(&signing, 1, until);
            assert_eq!([1, 2].map(|key| accepts(preset, key, &over, until)), [true, false], "{slug}");
        }
    }

    #[test]
    fn without_a_secret_only_an_optional_signature_is_left_out() {
        let mut cyberark = signing(preset("cyberark-vaas"));
        cyberark.secrets.clear();
        let headers = headers(&cyberark, 1, NOW);
        assert_eq!((headers.get("vaas-signature"), headers["vaas-timestamp"].as_bytes()), (None, &b"1760000000"[..]));
        let mut github = signing(preset("github"));
        github.secrets = vec![secret(1, Some(NOW), preset("github"))];
        let url = Url::parse("https://example.com/").expect("a URL");
        let refused = github.request(&url, &delivery(), 1, NOW).map(drop);
        assert_eq!(refused, Err("it has no secret to sign with".into()));
    }

    #[test]
    fn an_owners_headers_replace_nothing_and_are_masked() {
        let mut vanta = signing(preset("vantastatus"));
        for (name, value) in [
            ("x-own", "1"),
            ("x-vantastatus-signature", "mine"),
            ("x-vantastatus-timestamp", "0"),
            ("host", "evil"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/x"),
        ] {
            vanta.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        vanta.authorization = Some(HeaderValue::from_static("Bearer secret"));
        let headers = headers(&vanta, 3, NOW);
        assert!(accepts(preset("vantastatus"), 1, &headers, NOW));
        assert_eq!((headers[HOST].as_bytes(), headers.get(TRANSFER_ENCODING)), (&b"example.com"[..], None));
        assert_eq!(
            (&headers["x-own"], &headers[CONTENT_TYPE]),
            (&"1".parse().expect("it"), &"text/x".parse().expect("it"))
        );
        assert!(headers["x-own"].is_sensitive() && headers[AUTHORIZATION].is_sensitive());
        assert!(!headers["x-vantastatus-signature"].is_sensitive());
        assert_eq!(headers["x-vantastatus-retry-count"], "2");
    }

    #[test]
    fn what_is_stored_says_what_the_body_is() {
        let url = Url::parse("http://127.0.0.1:3000/").expect("a URL");
        let mut stored = delivery();
        stored.message.headers = Bytes::from_static(b"content-type: text/plain\r\n");
        let request = signing(preset("github")).request(&url, &stored, 1, NOW).expect("a request");
        assert_eq!(
            (&request.headers()[CONTENT_TYPE], request.headers()[HOST].as_bytes()),
            (&"text/plain".parse().expect("it"), &b"127.0.0.1:3000"[..])
        );
        let cloud = HeaderValue::from_static("application/cloudevents+json");
        let own = Signing { content_type: cloud.clone(), ..signing(preset("github")) };
        assert_eq!(headers(&own, 1, NOW)[CONTENT_TYPE], cloud, "where nothing is stored, its provider says it");
        stored.message.method = "NO METHOD".into();
        assert!(signing(preset("github")).request(&url, &stored, 1, NOW).is_err());
    }

    /// How long signing takes: `cargo test --release --lib -- --ignored --nocapture signing_costs`.
    #[test]
    #[ignore = "it measures"]
    fn signing_costs() {
        let signing = signing(preset("standard-webhooks"));
        let url = Url::parse("https://example.com/in?token=1").expect("a URL");
        for size in [1 << 10, 64 << 10] {
            let mut delivery = delivery();
            delivery.message.body = vec![b'x'; size].into();
            let started = std::time::Instant::now();
            for number in 0..10_000 {
                std::hint::black_box(signing.request(&url, &delivery, number, NOW).expect("a request"));
            }
            println!("{size} bytes: {:?} each", started.elapsed() / 10_000);
        }
    }
}
