//! The five seed providers, each with an event as its documentation shows it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::app::Seen;
use crate::clock::{Clock, UnixTime};
use crate::document::quoted;
use crate::signature::Message;
use crate::signature::emission::SecretScope;
use crate::signature::place::Params;
use crate::signature::preset::Preset;
use crate::signature::secret::Secret;

/// Stands in each event where other events differ. No id that the sender makes has such letters in it.
const MARK: &str = "demo-1";

/// A provider whose events are sent.
#[derive(Debug)]
pub struct Provider {
    pub preset: &'static Preset,
    /// What its webhook's deliveries are signed with.
    pub secret: String,
    /// The credential of its `Authorization: Bearer`, where it sends one.
    pub bearer: Option<String>,
    /// The type of its event.
    pub kind: &'static str,
    /// What its event says.
    pub data: &'static str,
    /// Its first attempt meets an app that fails.
    pub fails_first: bool,
    events: AtomicU32,
}

/// A message ready to be sent: its headers, in order, and its body.
#[derive(Debug, Clone)]
pub struct Signed {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
}

/// The five of them.
pub fn all() -> Vec<Provider> {
    vec![
        Provider::new(
            "vgs",
            "proxy.upstream_error",
            r#"{"upstream_host":"demo-1.example.com","upstream_error":"connection refused","environment":"LIVE"}"#,
        ),
        Provider {
            fails_first: true,
            ..Provider::new(
                "vpn-enterprise",
                "user.created",
                r#"{"user_id":"usr_456","email":"demo-1@example.com","created_at":"2024-12-02T14:19:45Z"}"#,
            )
        },
        Provider::new(
            "vinsight",
            "contact.created",
            r#"{"ContactId":1001,"FirstName":"Ada","LastName":"Lovelace","EmailAddress":"demo-1@example.com"}"#,
        ),
        Provider {
            bearer: Some(random_secret("token_")),
            ..Provider::new(
                "cyberark-vaas",
                "CertificateExpiration",
                r#"{"eventType":"CertificateExpiration","eventName":"Certificate Expiration","message":"Certificate demo-1.example.com expires on 2025-02-01T00:00:00Z","criticality":1,"createdAt":"2025-01-15T12:45:00Z"}"#,
            )
        },
        Provider::new(
            "vantastatus",
            "endpoint.down",
            r#"{"endpoint_id":"ep_msk_api_04","endpoint_name":"MSK-API-PROD","url":"https://api.example.ru/v2/health","previous_status":"up","current_status":"down","last_success":"2025-01-14T08:27:01Z","first_failure":"2025-01-14T08:32:17Z","failure_count":3,"last_response_code":502,"last_response_time_ms":null,"check_interval_sec":60,"group":"production"}"#,
        ),
    ]
}

/// A secret that means nothing outside this demo.
pub fn random_secret(prefix: &str) -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    format!("{prefix}{:032x}", u128::from_ne_bytes(bytes))
}

impl Provider {
    fn new(slug: &str, kind: &'static str, data: &'static str) -> Self {
        let preset = Preset::find(slug).expect("the seed providers have presets");
        let secret = random_secret("demo_");
        Self { preset, secret, bearer: None, kind, data, fails_first: false, events: AtomicU32::new(2) }
    }

    /// What the demo calls it.
    pub fn title(&self) -> String {
        format!("{} ({})", self.preset.name, self.preset.slug)
    }

    /// Its path on the gateway.
    pub fn path(&self) -> String {
        format!("/in/{}", self.preset.slug)
    }

    /// The id of the event that the sender publishes.
    pub fn event_id(&self) -> String {
        format!("{}-{MARK}", self.preset.slug)
    }

    /// True if all its webhooks of an account have one secret.
    pub fn shares_secret(&self) -> bool {
        self.preset.profile.emission.policy.secret.scope == SecretScope::Account
    }

    /// An address that its provider publishes, or one that stands for it.
    pub fn address(&self) -> IpAddr {
        self.preset.profile.addresses.snapshot.iter().next().map_or(IpAddr::from([203, 0, 113, 7]), ipnet::IpNet::addr)
    }

    /// Its `[[source]]` in the gateway's configuration. Where the provider publishes addresses, loopback is on the list
    /// beside them: that is where the demo's own sender delivers from.
    pub fn source(&self, upstream: SocketAddr) -> String {
        let slug = &self.preset.slug;
        let addresses: Vec<String> =
            self.preset.profile.addresses.snapshot.iter().map(|net| quoted(&net.to_string())).collect();
        let allow = match addresses.as_slice() {
            [] => "\"any\"".to_owned(),
            some => format!("[{}, \"127.0.0.1\"]", some.join(", ")),
        };
        let authorization = self
            .bearer
            .as_ref()
            .map(|token| format!("authorization = {{ scheme = \"bearer\", literal = \"{token}\" }}\n"));
        format!(
            "\n[[source]]\nname = \"{slug}\"\npath = \"{}\"\nprovider = \"{slug}\"\nsecrets = [{{ literal = \"{}\" }}]\nallow = {allow}\nupstream = \"http://{upstream}/webhooks/{slug}\"\n{}",
            self.path(),
            self.secret,
            authorization.unwrap_or_default(),
        )
    }

    /// A request that the app got, as it was on its way to the gateway.
    pub fn on_its_way(&self, seen: &Seen) -> Signed {
        let is_added = |name: &str| {
            ["host", "content-length", "x-request-id", "traceparent"].contains(&name)
                || name.starts_with("hookward-")
                || name.starts_with("x-forwarded-")
        };
        let headers = seen.parts.headers.iter().filter(|(name, _)| !is_added(name.as_str()));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(token) = &self.bearer {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            headers.push((AUTHORIZATION, value.expect("the demo's token is visible ASCII")));
        }
        Signed { headers, body: String::from_utf8_lossy(&seen.body).into_owned() }
    }

    /// Another event of the same kind, which was not sent before, signed as if at a time so many seconds from now.
    pub fn another(&self, like: &Signed, secret: &str, seconds_from_now: i64) -> Signed {
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        self.signed(like, secret, like.body.replace(MARK, &format!("demo-{number}")), seconds_from_now)
    }

    /// `body` with the headers of `like`, but for those that are signed or tell the time.
    pub fn signed(&self, like: &Signed, secret: &str, body: String, seconds_from_now: i64) -> Signed {
        let timestamp = UnixTime(Clock::System.now().0 + seconds_from_now);
        let plain = HeaderMap::new();
        let message = Message { id: "", timestamp, method: "POST", url: "", headers: &plain, body: body.as_bytes() };
        let secret = Secret::new(secret.as_bytes().to_vec());
        let made = self.preset.profile.scheme.sign(message, &[secret], &Params::default());
        let made = made.expect("the demo's secrets are plain text");
        let mut headers = like.headers.clone();
        headers.retain(|(name, _)| !made.headers.contains_key(name));
        headers.extend(made.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Signed { headers, body }
    }
}
