//! A source: who sends webhooks to us, how they prove it, and where they go.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use subtle::ConstantTimeEq;

use super::allow::Allow;
use super::learning::Learning;
pub use super::outgoing::REWRITING;
use super::outgoing::Via;
use super::receive::Received;
use super::routing::{Branch, SourceRoute};
use super::url_token::UrlToken;
use crate::dedup::StoreDown;
use crate::delivery::schedule::Schedule;
use crate::egress::{Pool, Roots, Url};
use crate::rejection::Rejection;
use crate::signature::challenge::{Challenge, Challenges, Met, Wanted};
use crate::signature::json::Pointer;
use crate::signature::place::Contents;
use crate::signature::profile::DedupPolicy;
use crate::signature::request::Head;
use crate::signature::secret::Secret;
use crate::signature::{Claimed, KeySet, Scheme, Verifier};

/// Who sends webhooks to us: path, allowlist, scheme, secrets, upstream.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    /// `hookward-source`: the name as a header's value.
    pub name_header: HeaderValue,
    /// Matched exactly, case-sensitively, without the query.
    pub path: String,
    /// What the path goes on with, where only who knows that may come.
    pub url_token: Option<UrlToken>,
    /// Scheme, host and path that the provider was given, but for the token. Where there is none and the URL is signed,
    /// it is taken from each request.
    pub public_url: Option<String>,
    /// The preset's slug, or `custom`.
    pub provider: String,
    pub methods: Vec<Method>,
    pub allow: Allow,
    pub authorization: Option<Authorization>,
    pub proof: Proof,
    /// `None` where every request is forwarded.
    pub dedup: Option<DedupPolicy>,
    /// What it answers itself.
    pub challenges: Challenges,
    /// Where its secret is still to be brought by its provider.
    pub learning: Option<Learning>,
    /// Headers that must repeat what the signed body says; empty where nobody asked for that.
    pub cross_checks: Vec<(HeaderName, Pointer)>,
    /// In bytes.
    pub max_body: u64,
    /// Replaces any 2xx of the upstream.
    pub accepted: Option<StatusCode>,
    /// What the provider reads where no upstream's body is.
    pub accepted_body: Bytes,
    /// True where refusals have no body.
    pub bare_refusals: bool,
    /// False where requests are judged and forwarded all the same.
    pub enforce: bool,
    /// How long the owner of an event has to settle it.
    pub lease: Duration,
    /// How long a copy waits for the owner.
    pub wait: Duration,
    /// What its requests get while the dedup store cannot be asked.
    pub store_down: StoreDown,
    pub mode: Mode,
    /// Ways for some of its events; the first counts whose conditions hold.
    pub routes: Vec<SourceRoute>,
    /// The way of all others.
    pub otherwise: Branch,
    /// Headers that are passed on although frameworks let a client rewrite the request by them.
    pub pass_headers: Vec<HeaderName>,
    /// `hookward-verified`, by the place of the key that matched.
    pub verified_by: Vec<HeaderValue>,
    /// What was made of the documents that have the provider's keys.
    pub key_memory: KeyMemory,
}

/// Keys made of fetched documents, so that a document is read once and not for every message.
#[derive(Debug, Default)]
pub struct KeyMemory(Mutex<Vec<(Arc<Bytes>, Arc<KeySet>)>>);

impl KeyMemory {
    /// More are not remembered: a provider has one or two at a time.
    const MOST: usize = 8;

    /// The keys of `document`, made by `read` where they are not known yet.
    ///
    /// # Errors
    /// What `read` says.
    pub fn keys<E>(&self, document: &Arc<Bytes>, read: impl FnOnce() -> Result<KeySet, E>) -> Result<Arc<KeySet>, E> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = known.iter().find(|(known, _)| Arc::ptr_eq(known, document)) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(read()?);
        if known.len() >= Self::MOST {
            known.remove(0);
        }
        known.push((Arc::clone(document), Arc::clone(&keys)));
        Ok(keys)
    }
}

/// What proves that a message is the provider's.
#[derive(Debug)]
pub enum Proof {
    Signature(Verifier),
    /// `signature = "none"`: the URL, the address list or the `Authorization` header alone. Ids are read all the same.
    Elsewhere(Scheme),
}

/// What is done with a genuine event.
#[derive(Debug)]
pub enum Mode {
    /// It is forwarded while its sender waits, who gets the upstream's answer.
    Proxy,
    /// It is acknowledged once it is stored, and delivered after, to each upstream for itself.
    Store {
        schedule: Schedule,
        /// Attempts at once, for each upstream.
        max_in_flight: usize,
    },
}

/// The operator's service that a source's messages go to.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub url: Url,
    /// How it is called where its URL is a secret, as in `env:SLACK_URL`.
    pub alias: Option<String>,
    /// Its path, and query where it has one, as a request's target, made once.
    pub path: Uri,
    pub host: HeaderValue,
    pub roots: Option<Roots>,
    pub connect_timeout: Duration,
    /// From forwarding to the end of the answer, connecting included.
    pub timeout: Duration,
}

impl Upstream {
    /// What is shown of it, and told in logs: its URL, unless that is a secret.
    pub fn shown(&self) -> Cow<'_, str> {
        self.alias.as_deref().map_or_else(|| Cow::Owned(self.url.to_string()), Cow::Borrowed)
    }

    /// A pool of connections to it, empty yet.
    pub fn pool(&self) -> Pool {
        Pool::new(self.url.target.clone(), self.roots.clone(), self.connect_timeout)
    }
}

/// The schemes of an `Authorization` header that a source may require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationScheme {
    Bearer,
    /// The secret is `user:password`.
    Basic,
    Splunk,
}

impl AuthorizationScheme {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("bearer", Self::Bearer), ("basic", Self::Basic), ("splunk", Self::Splunk)];
}

/// An `Authorization` header that requests must carry.
#[derive(Debug)]
pub struct Authorization {
    pub scheme: AuthorizationScheme,
    credential: Secret,
    /// True if the header is passed on to the upstream.
    pub pass: bool,
}

impl Authorization {
    /// Requires `secret` under `scheme`.
    pub fn new(scheme: AuthorizationScheme, secret: &Secret, pass: bool) -> Self {
        let credential = match scheme {
            AuthorizationScheme::Basic => Secret::new(STANDARD.encode(secret.expose()).into_bytes()),
            AuthorizationScheme::Bearer | AuthorizationScheme::Splunk => secret.clone(),
        };
        Self { scheme, credential, pass }
    }

    /// Compares in constant time. The scheme's name is matched in any case (RFC 9110).
    ///
    /// # Errors
    /// `CredentialMismatch` if the header is absent, repeated or not this credential.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Rejection::CredentialMismatch);
        };
        let name: &[u8] = match self.scheme {
            AuthorizationScheme::Bearer => b"bearer",
            AuthorizationScheme::Basic => b"basic",
            AuthorizationScheme::Splunk => b"splunk",
        };
        let value = value.as_bytes();
        let credential = match value.split_at_checked(name.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(name) => rest.strip_prefix(b" ").unwrap_or(&[]),
            _ => return Err(Rejection::CredentialMismatch),
        };
        if bool::from(credential.ct_eq(self.credential.expose())) { Ok(()) } else { Err(Rejection::CredentialMismatch) }
    }
}

impl Mode {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, bool); 2] = [("proxy", false), ("store", true)];
}

impl Source {
    /// Everywhere that its events may go.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.branches().flat_map(Branch::upstreams)
    }

    /// What the head claims of its signature, or what it alone can be refused for: no byte of a body is read in vain.
    ///
    /// # Errors
    /// What [`Allow::admit`] says, `CredentialMismatch`, or what [`Verifier::inspect`] says of the signature.
    pub fn admit(&self, client: IpAddr, head: Head<'_>) -> Result<Option<Claimed>, Rejection> {
        self.let_in(client, head.headers)?;
        self.verifier().map(|verifier| verifier.inspect(head)).transpose()
    }

    /// What is asked of every request, challenges included.
    ///
    /// # Errors
    /// What [`Allow::admit`] says, or `CredentialMismatch`.
    pub fn let_in(&self, client: IpAddr, headers: &HeaderMap) -> Result<(), Rejection> {
        self.allow.admit(client)?;
        self.authorization.as_ref().map_or(Ok(()), |authorization| authorization.check(headers))
    }

    /// What judges its signatures, by the secret that was learned where one was; `None` where nothing is signed.
    pub fn verifier(&self) -> Option<&Verifier> {
        match &self.proof {
            Proof::Signature(verifier) => Some(self.learning.as_ref().and_then(Learning::learned).unwrap_or(verifier)),
            Proof::Elsewhere(_) => None,
        }
    }

    /// Scheme, host and path as the provider knows them; empty where no signature needs them.
    pub fn public_base<'r>(&'r self, parts: &Parts, via: &Via) -> Cow<'r, str> {
        match (&self.public_url, &self.proof) {
            (Some(url), _) => self.url_token.as_ref().map_or(Cow::Borrowed(url), |token| Cow::Owned(token.after(url))),
            (None, Proof::Signature(verifier)) if verifier.scheme().may_sign_url() => {
                let scheme = via.proto.to_str().unwrap_or_default();
                let host = via.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
                Cow::Owned(format!("{scheme}://{host}{}", parts.uri.path()))
            }
            (None, _) => Cow::Borrowed(""),
        }
    }

    /// Where the keys for a request are published; `None` where they are configured.
    ///
    /// # Errors
    /// `UntrustedKeyUrl` or `SignatureMissing`, as [`Verifier::key_url`] says.
    pub fn key_url(&self, received: &Received) -> Result<Option<String>, Rejection> {
        match (&self.proof, &received.claimed) {
            (Proof::Signature(verifier), Some(claimed)) => verifier.key_url(claimed, received.head(), &received.body),
            _ => Ok(None),
        }
    }

    /// How many bytes of a body are worth reading after its head was judged.
    ///
    /// # Errors
    /// What the head was refused for, if nothing in a body could make it good.
    pub fn wants_of_body(&self, refused: Option<&Rejection>) -> Result<u64, Rejection> {
        match refused {
            None => Ok(self.max_body),
            Some(_) if !self.enforce => Ok(self.max_body),
            Some(rejection) if self.challenges.stand_in_bodies() && is_about_signature(rejection) => {
                Ok(self.max_body.min(Challenge::MAX_LEN as u64))
            }
            Some(rejection) => Err(rejection.clone()),
        }
    }

    /// The challenge that a request is although it was refused, since challenges of this provider may come without a
    /// signature.
    ///
    /// # Errors
    /// What [`Challenges::unsigned`] says.
    pub fn unsigned_challenge(&self, received: &Received, refused: &Rejection) -> Result<Option<Met>, Rejection> {
        if !is_about_signature(refused) {
            return Ok(None);
        }
        let contents = Contents { head: received.head(), body: &received.body, json: &received.body };
        Ok(self.challenges.unsigned(contents)?.filter(|met| self.still_wants(met)))
    }

    /// The challenge that comes without a signature and is told by its head alone. `None` for what is to be judged like
    /// any other message.
    ///
    /// # Errors
    /// What [`Self::let_in`] and [`Challenges::in_head`] say, or `MethodNotAllowed`. Where the source does not enforce,
    /// only of a method that its events do not have.
    pub fn challenge_in_head(&self, client: IpAddr, head: Head<'_>) -> Result<Option<Met>, Rejection> {
        let is_of_events = self.methods.iter().any(|method| method.as_str() == head.method);
        let asked = self.let_in(client, head.headers).and_then(|()| self.challenges.in_head(head));
        match asked.map(|met| met.filter(|met| self.still_wants(met))) {
            Ok(None) if !is_of_events => Err(Rejection::MethodNotAllowed),
            Err(_) if is_of_events && !self.enforce => Ok(None),
            asked => asked,
        }
    }

    /// False for what brings a secret where one has come already.
    fn still_wants(&self, met: &Met) -> bool {
        !matches!(met.wanted, Wanted::Learn(..)) || self.learning.as_ref().is_some_and(|it| it.learned().is_none())
    }

    /// True for a header that this source keeps from its upstream: the credential that was checked here, and what
    /// lets a client rewrite the request.
    pub fn drops(&self, name: &HeaderName) -> bool {
        (*name == AUTHORIZATION && self.authorization.as_ref().is_some_and(|authorization| !authorization.pass))
            || (REWRITING.contains(name) && !self.pass_headers.contains(name))
    }

    /// What a duplicate is answered, and a challenge that wants no other answer.
    pub fn accepted_status(&self) -> StatusCode {
        self.accepted.unwrap_or(StatusCode::OK)
    }
}

/// True for what is said of a request that was never signed.
fn is_about_signature(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::SignatureMissing(_) | Rejection::TimestampMissing(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scheme: AuthorizationScheme, secret: &str, values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a value"));
        }
        Authorization::new(scheme, &Secret::new(secret.into()), false).check(&headers).is_ok()
    }

    #[test]
    fn each_scheme_wants_its_own_credential() {
        // Seed checklist CYB-20 to CYB-23.
        assert!(check(AuthorizationScheme::Bearer, "token", &["Bearer token"]));
        assert!(check(AuthorizationScheme::Bearer, "token", &["bearer token"]));
        assert!(check(AuthorizationScheme::Basic, "user:password", &["Basic dXNlcjpwYXNzd29yZA=="]));
        assert!(check(AuthorizationScheme::Splunk, "token", &["Splunk token"]));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer token "],
            &["Bearertoken"],
            &["Splunk token"],
            &["Bearer toke"],
            &["Bearer tokenx"],
            &["Bearer token", "Bearer token"],
        ] {
            assert!(!check(AuthorizationScheme::Bearer, "token", bad), "{bad:?}");
        }
    }
}
