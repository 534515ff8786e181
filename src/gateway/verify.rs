//! From a request as it was sent to one that is known to be the provider's.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::receive::Received;
use super::source::{Proof, Source};
use crate::clock::UnixTime;
use crate::dedup::{ClaimKeys, DedupKey, KeyMaker};
use crate::rejection::Rejection;
use crate::signature::challenge::Met;
use crate::signature::coverage::BodyCoverage;
use crate::signature::encoding::encode_hex;
use crate::signature::event_id::{EventId, IdKind};
use crate::signature::header::single;
use crate::signature::json;
use crate::signature::place::Contents;
use crate::signature::profile::{DedupPolicy, DigestOf, MissingId, ReplayGuard};
use crate::signature::{KeySet, Verifier};

/// A request whose signature, time and event id are good. Only [`verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    received: Received,
    verified_by: HeaderValue,
    event_id: Option<HeaderValue>,
    alternative: Option<usize>,
    claim: Option<ClaimKeys>,
    challenge: Option<Box<Met>>,
}

/// A request that was refused and is forwarded all the same, because its source does not enforce. Carries no proof.
#[derive(Debug)]
pub struct Shadowed {
    received: Received,
    rejection: Rejection,
}

/// What may be forwarded.
#[derive(Debug)]
pub enum Admitted {
    Verified(Verified),
    Shadowed(Shadowed),
}

impl Verified {
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// What the event is remembered by; `None` where dedup is off.
    pub fn claim(&self) -> Option<ClaimKeys> {
        self.claim
    }

    pub fn event_id(&self) -> Option<&HeaderValue> {
        self.event_id.as_ref()
    }

    /// Which of the scheme's alternatives matched.
    pub fn alternative(&self) -> Option<usize> {
        self.alternative
    }

    /// The challenge that it is: then it is answered here, and has neither id nor claim.
    pub fn take_challenge(&mut self) -> Option<Met> {
        self.challenge.take().map(|met| *met)
    }

    /// The request, with what is said of it to the upstream.
    pub fn into_parts(self) -> (Received, HeaderValue, Option<HeaderValue>) {
        (self.received, self.verified_by, self.event_id)
    }
}

impl Shadowed {
    /// Lets a refused request through. `None` where the source enforces.
    pub fn new(source: &Source, received: Received, rejection: Rejection) -> Option<Self> {
        (!source.enforce).then_some(Self { received, rejection })
    }

    pub fn received(&self) -> &Received {
        &self.received
    }

    pub fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    pub fn into_parts(self) -> (Received, Rejection) {
        (self.received, self.rejection)
    }
}

/// Judges a request by its source's scheme. `fetched` has the provider's keys where they are not configured.
///
/// # Errors
/// The request itself and why it is refused.
pub fn verify(
    source: &Source,
    received: Received,
    now: UnixTime,
    keys: &KeyMaker,
    fetched: Option<&KeySet>,
) -> Result<Verified, (Box<Received>, Rejection)> {
    match judge(source, &received, now, keys, fetched) {
        Ok(Judgement { key, alternative, event_id, claim, challenge }) => {
            // Fetched keys have one name for all of them.
            let verified_by = source.verified_by.get(key).or(source.verified_by.first());
            let verified_by = verified_by.expect("a source has at least one").clone();
            Ok(Verified { received, verified_by, event_id, alternative, claim, challenge })
        }
        Err(rejection) => Err((Box::new(received), rejection)),
    }
}

/// What is known of a message that is good.
struct Judgement {
    key: usize,
    alternative: Option<usize>,
    event_id: Option<HeaderValue>,
    claim: Option<ClaimKeys>,
    challenge: Option<Box<Met>>,
}

fn judge(
    source: &Source,
    received: &Received,
    now: UnixTime,
    keys: &KeyMaker,
    fetched: Option<&KeySet>,
) -> Result<Judgement, Rejection> {
    let (headers, body) = (&received.parts.headers, &received.body);
    let (key, alternative, id) = match (&source.proof, source.verifier(), &received.claimed) {
        (Proof::Elsewhere(scheme), _, _) => {
            scheme.check_unsigned_time(headers, now)?;
            (0, None, scheme.unsigned_id(Contents { head: received.head(), body, json: body })?)
        }
        (Proof::Signature(_), Some(verifier), Some(claimed)) => {
            let authentic = verifier.verify(claimed, received.head(), body, now, fetched)?;
            refuse_answers(source, verifier, authentic.alternative, received)?;
            (authentic.key, Some(authentic.alternative), authentic.id)
        }
        (Proof::Signature(_), ..) => return Err(Rejection::SignatureMissing("nothing was claimed".into())),
    };
    // Before anything is asked of its id: a challenge is no event.
    if let Some(met) = source.challenges.genuine(Contents { head: received.head(), body, json: body })? {
        return Ok(Judgement { key, alternative, event_id: None, claim: None, challenge: Some(Box::new(met)) });
    }
    cross_check(source, headers, body)?;
    let of = match (&source.proof, alternative, &source.dedup) {
        (Proof::Signature(verifier), Some(alternative), Some(policy)) => {
            let meaning = verifier.scheme().alternatives()[alternative].coverage().body == BodyCoverage::Meaning;
            (meaning || policy.digest == DigestOf::Signed).then_some((verifier, alternative))
        }
        _ => None,
    };
    let identity = Identity { id, received, of, digest: None };
    let (event_id, claim) = match &source.dedup {
        Some(policy) => identity.claim(&source.name, policy, keys)?,
        None => (identity.id.as_ref().map(|id| visible(&id.text)), None),
    };
    Ok(Judgement { key, alternative, event_id, claim, challenge: None })
}

/// Refuses a message whose signature may be an answer of ours to a challenge: a stranger chose what we signed there.
fn refuse_answers(
    source: &Source,
    verifier: &Verifier,
    alternative: usize,
    received: &Received,
) -> Result<(), Rejection> {
    let ours = |algorithm, text: &[u8]| source.challenges.could_have_signed(algorithm, text);
    if source.challenges.are_keyed() && verifier.signs_any(alternative, received.head(), &received.body, ours) {
        let text = "what is signed is no message: anybody can have it signed by a challenge";
        return Err(Rejection::ClaimMismatch(text.into()));
    }
    Ok(())
}

/// Refuses headers that say otherwise than the body: only the body is signed.
fn cross_check(source: &Source, headers: &HeaderMap, body: &[u8]) -> Result<(), Rejection> {
    for (name, pointer) in &source.cross_checks {
        let Some(header) = single(headers, name)? else { continue };
        let in_body = json::find(body, pointer).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        if in_body.is_none_or(|in_body| in_body != header) {
            return Err(Rejection::HeaderConflict(format!("{name} is not what the body says at {pointer}")));
        }
    }
    Ok(())
}

/// By what an event is told from others: its id, its body's digest, or both.
struct Identity<'a> {
    id: Option<EventId<'a>>,
    received: &'a Received,
    /// The digest is that of the signed bytes under this alternative, not the body's.
    of: Option<(&'a Verifier, usize)>,
    digest: Option<[u8; 32]>,
}

impl Identity<'_> {
    fn digest(&mut self) -> [u8; 32] {
        *self.digest.get_or_insert_with(|| {
            let received = self.received;
            let signed = self.of.and_then(|(verifier, alternative)| {
                verifier.signed_digest(alternative, received.head(), &received.body)
            });
            signed.unwrap_or_else(|| body_digest(received))
        })
    }

    fn keys(&self, key: DedupKey, guard: Option<DedupKey>) -> ClaimKeys {
        ClaimKeys { key, guard, fingerprint: xxh3_64(&self.received.body) }
    }

    /// The event's id as the upstream sees it, and what the event is remembered by.
    ///
    /// A signed id is enough. An unsigned one counts together with the body's digest, so that nobody can suppress an
    /// event by sending its id with another body; the guard on the digest alone finds the same body under a new id.
    fn claim(
        mut self,
        source: &str,
        policy: &DedupPolicy,
        keys: &KeyMaker,
    ) -> Result<(Option<HeaderValue>, Option<ClaimKeys>), Rejection> {
        let source = source.as_bytes();
        let id = match self.id.take() {
            Some(id) => id,
            None if policy.missing_id == MissingId::Reject => {
                return Err(Rejection::EventIdMissing("the provider promises one on every request".into()));
            }
            None => {
                let digest = self.digest();
                let text = format!("sha256:{}", encode_hex(&digest));
                let claim = self.keys(keys.key(&[source, b"digest", &digest]), None);
                return Ok((Some(visible(&text)), Some(claim)));
            }
        };
        let (kind, text) = (kind_tag(id.kind), id.text.as_bytes());
        if id.signed {
            let claim = self.keys(keys.key(&[source, kind, text]), None);
            return Ok((Some(visible(&id.text)), Some(claim)));
        }
        let digest = self.digest();
        let by_digest = keys.key(&[source, b"digest", &digest]);
        let by_both = keys.key(&[source, kind, text, &digest]);
        let claim = match policy.replay_guard {
            ReplayGuard::Enforce => self.keys(by_digest, None),
            ReplayGuard::Report => self.keys(by_both, Some(by_digest)),
            ReplayGuard::Off => self.keys(by_both, None),
        };
        let shown = match id.kind {
            IdKind::Timestamp => Cow::Owned(format!("{}.sha256:{}", id.text, encode_hex(&digest))),
            _ => id.text,
        };
        Ok((Some(visible(&shown)), Some(claim)))
    }
}

/// The body's digest. A request without a body is told from others by its method and query.
fn body_digest(received: &Received) -> [u8; 32] {
    if !received.body.is_empty() {
        return Sha256::digest(&received.body).into();
    }
    let query = received.parts.uri.query().unwrap_or_default();
    Sha256::digest(format!("{}?{query}", received.parts.method)).into()
}

fn kind_tag(kind: IdKind) -> &'static [u8] {
    match kind {
        IdKind::Header => b"header",
        IdKind::Query => b"query",
        IdKind::Form => b"form",
        IdKind::Claim => b"claim",
        IdKind::Value => b"value",
        IdKind::JsonText => b"text",
        IdKind::JsonInteger => b"integer",
        IdKind::Timestamp => b"timestamp",
    }
}

/// `text` as a header's value: visible ASCII as it is, everything else and the percent sign percent-encoded.
fn visible(text: &str) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    if let (true, Ok(value)) = (text.bytes().all(plain), HeaderValue::from_str(text)) {
        return value;
    }
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&encode_hex(&[byte]).to_uppercase());
        }
    }
    HeaderValue::try_from(encoded).expect("only visible ASCII is left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::receive::{Budget, Share};
    use bytes::Bytes;
    use std::time::Duration;

    fn claim(
        id: Option<(IdKind, &str, bool)>,
        body: &str,
        missing_id: MissingId,
        replay_guard: ReplayGuard,
    ) -> Option<(String, ClaimKeys)> {
        let id = id.map(|(kind, text, signed)| EventId { kind, text: Cow::Borrowed(text), signed });
        let (parts, ()) = http::Request::post("/").body(()).expect("a request").into_parts();
        let share = Share::of(&Budget::new(0));
        let body = Bytes::copy_from_slice(body.as_bytes());
        let received = Received { parts, body, public_base: String::new(), claimed: None, share };
        let identity = Identity { id, received: &received, of: None, digest: None };
        let policy = DedupPolicy { missing_id, replay_guard, ttl: Duration::from_secs(1), digest: DigestOf::Body };
        let (shown, claim) = identity.claim("s", &policy, &KeyMaker::new(b"k")).ok()?;
        Some((shown?.to_str().ok()?.to_owned(), claim?))
    }

    #[test]
    fn a_signed_id_alone_is_the_event() {
        let of = |id, body| claim(Some((IdKind::JsonText, id, true)), body, MissingId::Reject, ReplayGuard::Enforce);
        let key = |id, body| of(id, body).map(|(_, keys)| keys.key);
        assert_eq!(key("a", "1"), key("a", "2"));
        assert_ne!(key("a", "1"), key("b", "1"));
        assert_ne!(of("a", "1"), of("a", "2"), "the other body is noticed");
    }

    #[test]
    fn kinds_of_ids_are_kept_apart() {
        let of = |kind| claim(Some((kind, "1", true)), "", MissingId::Reject, ReplayGuard::Off).map(|(_, keys)| keys);
        assert_ne!(of(IdKind::JsonText), of(IdKind::JsonInteger));
        assert_ne!(of(IdKind::JsonText), of(IdKind::Header));
    }

    #[test]
    fn an_unsigned_id_counts_with_the_bodys_digest() {
        let of =
            |id, body, guard| claim(Some((IdKind::Header, id, false)), body, MissingId::Reject, guard).expect("keys").1;
        assert_eq!(of("a", "1", ReplayGuard::Enforce), of("b", "1", ReplayGuard::Enforce), "the same body is a replay");
        assert_ne!(of("a", "1", ReplayGuard::Enforce), of("a", "2", ReplayGuard::Enforce), "another body is not");
        let (first, second) = (of("a", "1", ReplayGuard::Report), of("b", "1", ReplayGuard::Report));
        assert_ne!(first.key, second.key);
        assert_eq!(first.guard, second.guard);
        assert!(first.guard.is_some());
        assert_eq!(of("a", "1", ReplayGuard::Off).guard, None);
        assert_ne!(of("a", "1", ReplayGuard::Off).key, of("a", "2", ReplayGuard::Off).key);
    }

    #[test]
    fn an_event_without_an_id_is_its_digest_or_refused() {
        assert_eq!(claim(None, "1", MissingId::Reject, ReplayGuard::Off), None);
        let (shown, keys) = claim(None, "1", MissingId::Digest, ReplayGuard::Off).expect("keys");
        assert_eq!(shown, "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
        assert_ne!(keys, claim(None, "2", MissingId::Digest, ReplayGuard::Off).expect("keys").1);
    }

    #[test]
    fn ids_are_shown_in_visible_ascii() {
        assert_eq!(visible("evt_1"), "evt_1");
        assert_eq!(visible("a b%é"), "a%20b%25%C3%A9");
    }
}
