//! The demo's senders: the five seed providers, each with a payload as its documentation shows it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::{Clock, UnixTime};
use crate::signature::Message;
use crate::signature::place::Params;
use crate::signature::preset::Preset;
use crate::signature::secret::Secret;

/// What stands in for an event's number in a payload.
const NUMBER: &str = "{n}";

/// A provider that sends.
#[derive(Debug)]
pub struct Sender {
    pub preset: &'static Preset,
    secret: String,
    /// The credential of its `Authorization: Bearer`, where it sends one.
    bearer: Option<String>,
    payload: &'static str,
    events: AtomicU32,
}

/// A message ready to be sent: its headers, in order, and its body.
#[derive(Debug, Clone)]
pub struct Signed {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
}

/// The five of them.
pub fn all() -> Vec<Sender> {
    vec![
        Sender::new(
            "vgs",
            None,
            r#"{"id":"evt_{n}","event":"proxy.upstream_error","occurrence":10,"upstream_host":"api.example.com","upstream_error":"connection refused","environment":"LIVE"}"#,
        ),
        Sender::new(
            "vpn-enterprise",
            None,
            r#"{"id":"evt_{n}","type":"user.created","data":{"user_id":"usr_456","email":"newuser@example.com","created_at":"2024-12-02T14:19:45Z"}}"#,
        ),
        Sender::new(
            "vinsight",
            None,
            r#"{"ContactId":{n},"FirstName":"Ada","LastName":"Lovelace","EmailAddress":"ada@example.com"}"#,
        ),
        Sender::new(
            "cyberark-vaas",
            Some(random_secret("token_")),
            r#"{"events":[{"eventType":"CertificateExpiration","eventName":"Certificate Expiration","message":"Certificate api-{n}.example.com expires on 2025-02-01T00:00:00Z","criticality":1,"createdAt":"2025-01-15T12:45:00Z"}]}"#,
        ),
        Sender::new(
            "vantastatus",
            None,
            r#"{"id":"wh_evt_{n}","event":"endpoint.down","timestamp":"2025-01-14T08:32:17Z","webhook_id":"wh_3b71f092","account_id":"acc_vanta_prod_001","data":{"endpoint_id":"ep_msk_api_04","endpoint_name":"MSK-API-PROD","url":"https://api.example.ru/v2/health","previous_status":"up","current_status":"down","last_success":"2025-01-14T08:27:01Z","first_failure":"2025-01-14T08:32:17Z","failure_count":3,"last_response_code":502,"last_response_time_ms":null,"check_interval_sec":60,"group":"production"}}"#,
        ),
    ]
}

/// A secret that means nothing outside this demo.
pub fn random_secret(prefix: &str) -> String {
    format!("{prefix}{:032x}", fastrand::u128(..))
}

impl Sender {
    fn new(slug: &str, bearer: Option<String>, payload: &'static str) -> Self {
        let preset = Preset::find(slug).expect("the seed providers have presets");
        Self { preset, secret: random_secret("demo_"), bearer, payload, events: AtomicU32::new(1001) }
    }

    /// What the demo calls it.
    pub fn title(&self) -> String {
        format!("{} ({})", self.preset.name, self.preset.slug)
    }

    /// Its path on the gateway.
    pub fn path(&self) -> String {
        format!("/in/{}", self.preset.slug)
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// An address that its provider publishes, or one that stands for it.
    pub fn address(&self) -> IpAddr {
        self.preset.profile.addresses.iter().next().map_or(IpAddr::from([203, 0, 113, 7]), ipnet::IpNet::addr)
    }

    /// Its `[[source]]` in the gateway's configuration.
    pub fn source(&self, upstream: SocketAddr) -> String {
        let slug = &self.preset.slug;
        let allow = if self.preset.profile.addresses.is_empty() { "any" } else { "provider" };
        let authorization = self
            .bearer
            .as_ref()
            .map(|token| format!("authorization = {{ scheme = \"bearer\", literal = \"{token}\" }}\n"));
        format!(
            "\n[[source]]\nname = \"{slug}\"\npath = \"{}\"\nprovider = \"{slug}\"\nsecrets = [{{ literal = \"{}\" }}]\nallow = \"{allow}\"\nupstream = \"http://{upstream}/webhooks/{slug}\"\n{}",
            self.path(),
            self.secret,
            authorization.unwrap_or_default(),
        )
    }

    /// The body of an event that was not sent before.
    pub fn new_body(&self) -> String {
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        self.payload.replace(NUMBER, &number.to_string())
    }

    /// `body` with headers that are right for it at a time so many seconds from now.
    pub fn sign(&self, body: String, seconds_from_now: i64) -> Signed {
        self.sign_with(&self.secret, body, seconds_from_now)
    }

    /// The same under another secret.
    pub fn sign_with(&self, secret: &str, body: String, seconds_from_now: i64) -> Signed {
        let timestamp = UnixTime(Clock::System.now().0 + seconds_from_now);
        let plain = HeaderMap::new();
        let message = Message { id: "", timestamp, method: "POST", url: "", headers: &plain, body: body.as_bytes() };
        let secret = Secret::new(secret.as_bytes().to_vec());
        let signed = self.preset.profile.scheme.sign(message, &[secret], &Params::default());
        let signed = signed.expect("the demo's secrets are plain text");
        let headers = signed.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        let mut headers: Vec<_> =
            headers.chain([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]).collect();
        if let Some(token) = &self.bearer {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            headers.push((AUTHORIZATION, value.expect("the demo's token is visible ASCII")));
        }
        Signed { headers, body }
    }
}
