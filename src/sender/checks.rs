//! What an endpoint's owner says, checked one by one, and in the form that deliveries need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::emitter::Emitter;
use super::endpoint::{Authorization, RateLimit, Settings, Tls};
use super::name;
use super::refusal::{Code, Refusal};
use crate::delivery::rate::Rate;
use crate::egress::{Exit, Guard, Refused, Url};

const MAX_URL: usize = 2048;
const MAX_HEADERS: usize = 32;
const MAX_HEADER: usize = 4096;
const MAX_EVENTS: usize = 1000;
const MAX_METADATA: usize = 64;
const MAX_TEXT: usize = 1024;

/// Headers that a customer does not set: they frame the request, or are ours.
const OURS: [HeaderName; 10] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    COOKIE,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The URL, if the guard lets it be registered.
///
/// # Errors
/// What is wrong with it, without an address that a name comes to.
pub fn check_url(guard: &Guard, settings: &Settings) -> Result<Url, Refusal> {
    if settings.url.len() > MAX_URL {
        return Err(Refusal::field("/url", format!("it is longer than {MAX_URL} bytes")));
    }
    guard.parse(&settings.url).map_err(|refused| {
        let code = match refused {
            Refused::NotUrl(_) => Code::Validation,
            _ => Code::AddressNotAllowed,
        };
        Refusal::field_as(code, "/url", refused.to_string())
    })
}

/// Checks what its provider leaves to an endpoint's owner.
///
/// # Errors
/// The field that says more.
pub fn check_policy(settings: &Settings, emitter: &Emitter) -> Result<(), Refusal> {
    let policy = &emitter.emission.policy;
    if !policy.extra_headers && !settings.headers.is_empty() {
        return Err(Refusal::field("/headers", format!("{} sends no headers but its own", emitter.slug)));
    }
    if let Some(authorization) = &settings.authorization
        && !policy.authorization.contains(&authorization.kind())
    {
        let text = format!("{} sends only: {}", emitter.slug, policy.authorization_words().join(", "));
        return Err(Refusal::field("/authorization/type", text));
    }
    Ok(())
}

/// Checks names and lengths.
///
/// # Errors
/// The field that is wrong.
pub fn check_texts(settings: &Settings) -> Result<(), Refusal> {
    for (at, pattern) in settings.events.iter().flatten().enumerate() {
        let name = pattern.strip_suffix(".*").unwrap_or(pattern);
        if pattern != "*"
            && let Err(wrong) = name::check_event_type(name)
        {
            return Err(Refusal::field(format!("/events/{at}"), wrong));
        }
    }
    if settings.events.as_ref().is_some_and(|events| events.len() > MAX_EVENTS) {
        return Err(Refusal::field("/events", format!("there are more than {MAX_EVENTS}")));
    }
    if settings.description.len() > MAX_TEXT {
        return Err(Refusal::field("/description", format!("it is longer than {MAX_TEXT} bytes")));
    }
    let metadata = &settings.metadata;
    if metadata.len() > MAX_METADATA || metadata.iter().any(|(key, value)| key.len() + value.len() > MAX_TEXT) {
        let text = format!("there are more than {MAX_METADATA} entries, or one is longer than {MAX_TEXT} bytes");
        return Err(Refusal::field("/metadata", text));
    }
    Ok(())
}

/// Its owner's headers.
///
/// # Errors
/// The one that is wrong, or not an owner's to set.
pub fn read_headers(settings: &Settings) -> Result<HeaderMap, Refusal> {
    if settings.headers.len() > MAX_HEADERS {
        return Err(Refusal::field("/headers", format!("there are more than {MAX_HEADERS}")));
    }
    let mut headers = HeaderMap::with_capacity(settings.headers.len());
    for (text, value) in &settings.headers {
        let wrong = |detail: &str| {
            let pointer = format!("/headers/{}", text.replace('~', "~0").replace('/', "~1"));
            Refusal::field(pointer, detail)
        };
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| wrong("it is not a header's name"))?;
        if OURS.contains(&name) {
            let hint = if name == AUTHORIZATION { ": use authorization" } else { "" };
            return Err(wrong(&format!("this header is not a webhook's to set{hint}")));
        }
        if ["webhook-", "hookward-", "svix-", "x-forwarded-", "proxy-"].iter().any(|own| name.as_str().starts_with(own))
        {
            return Err(wrong("headers that begin so are not a webhook's to set"));
        }
        if value.len() > MAX_HEADER {
            return Err(wrong(&format!("it is longer than {MAX_HEADER} bytes")));
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong("it is not a header's value"))?;
        value.set_sensitive(true);
        if headers.insert(name, value).is_some() {
            return Err(wrong("it is there in another case too"));
        }
    }
    Ok(headers)
}

/// The value of `Authorization`.
///
/// # Errors
/// If it cannot stand in a header.
pub fn write_authorization(authorization: &Authorization) -> Result<HeaderValue, Refusal> {
    let text = match authorization {
        Authorization::Bearer { token } => format!("Bearer {token}"),
        Authorization::Basic { username, password } if !username.contains(':') => {
            format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
        }
        Authorization::Basic { .. } => {
            return Err(Refusal::field("/authorization/username", "a colon ends a name here (RFC 7617)"));
        }
        Authorization::Splunk { token } => format!("Splunk {token}"),
        Authorization::Custom { value } => value.clone(),
    };
    let wrong = |detail: &str| Refusal::field("/authorization", detail);
    if text.len() > MAX_HEADER {
        return Err(wrong(&format!("it is longer than {MAX_HEADER} bytes")));
    }
    let mut value = HeaderValue::from_str(&text).map_err(|_| wrong("it is not a header's value"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A way out that trusts whom the owner names, and shows what the owner gave.
///
/// # Errors
/// The certificate or key that is wrong.
pub fn trusting(exit: &Exit, tls: &Tls) -> Result<Exit, Refusal> {
    use crate::egress::Roots;
    let wrong = |at: &str, error: std::io::Error| Refusal::field(format!("/tls/{at}"), error.to_string());
    let mut roots = match (&tls.ca, &exit.roots) {
        (Some(ca), _) => Roots::from_pem(ca.as_bytes()).map_err(|error| wrong("ca", error))?,
        (None, Some(roots)) => roots.clone(),
        (None, None) => return Ok(exit.clone()),
    };
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            roots =
                roots.showing(certificate.as_bytes(), key.as_bytes()).map_err(|error| wrong("certificate", error))?;
        }
        (None, None) => {}
        (Some(_), None) => return Err(Refusal::field("/tls/key", "a certificate needs its key")),
        (None, Some(_)) => return Err(Refusal::field("/tls/certificate", "a key needs its certificate")),
    }
    Ok(Exit { roots: Some(roots), ..exit.clone() })
}

/// The statuses that count as success.
///
/// # Errors
/// The one that is none.
pub fn read_statuses(statuses: &[u16]) -> Result<Vec<StatusCode>, Refusal> {
    if statuses.is_empty() {
        return Err(Refusal::field("/success", "without any status nothing succeeds: leave it out for any 2xx"));
    }
    let read = |(at, status): (usize, &u16)| match StatusCode::from_u16(*status) {
        Ok(status) if status.is_success() => Ok(status),
        _ => Err(Refusal::field(format!("/success/{at}"), format!("{status} is not from 200 to 299"))),
    };
    statuses.iter().enumerate().map(read).collect()
}

/// Checks that a rate can be kept.
///
/// # Errors
/// The field that is wrong.
pub fn check_rate(limit: RateLimit) -> Result<(), Refusal> {
    if !(0.001..=100_000.0).contains(&limit.per_second) {
        return Err(Refusal::field("/rate_limit/per_second", "it is not from 0.001 to 100000"));
    }
    if limit.burst.is_some_and(|burst| !(1..=100_000).contains(&burst)) {
        return Err(Refusal::field("/rate_limit/burst", "it is not from 1 to 100000"));
    }
    Ok(())
}

/// The same as deliveries keep it.
pub fn rate(limit: RateLimit) -> Rate {
    let second = limit.per_second.ceil().clamp(1.0, 100_000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 1 to 100,000")]
    let burst = limit.burst.unwrap_or(second as u32);
    Rate { per_second: limit.per_second, burst }
}
