//! Judges messages: is this signature one of ours, is it fresh, what event is it?

use std::borrow::Cow;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use subtle::ConstantTimeEq;

use super::algorithm::{Algorithm, KeyedHmac, Tag};
use super::encoding::BASE64URL;
use super::event_id::{EventId, IdPlace};
use super::key::{Key, KeySet, Keyed, TokenKey};
use super::place::{Contents, Context, Params, Place};
use super::request::Head;
use super::secret::Secret;
use super::template::{Bytes, Inputs, Source, Template};
use super::token::{Token, TokenScheme};
use super::value::{MAX_CANDIDATES, SignatureValue, ValueParts};
use super::{Alternative, Choice, KeyId, KeyRole, Mechanism, Scheme, json};
use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// Fewer candidates than this are tried with public keys, each of which costs a stranger's message 30 to 100 us.
const MAX_PUBLIC_CANDIDATES: usize = 4;

/// A batch with more items than this is refused.
const MAX_ITEMS: usize = 1000;

/// A scheme with the secrets of one source: what verifies its messages.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
    keys: KeySet,
    params: Params,
    max_inflated: usize,
}

/// Which alternatives a request's head speaks for, before its body is read.
#[derive(Debug)]
pub struct Claimed {
    alternatives: SmallVec<[usize; 2]>,
}

/// A message whose signature and time are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic<'a> {
    /// The place of the secret that matched, from 0.
    pub key: usize,
    /// The place of the alternative that matched, from 0.
    pub alternative: usize,
    /// The event's id; `None` where there is none.
    pub id: Option<EventId<'a>>,
}

impl Verifier {
    /// A scheme with the named secrets of a source, its parameters, and the most bytes that a body may have without
    /// its `Content-Encoding`.
    ///
    /// # Errors
    /// The index of a secret that cannot be a key of this scheme, and why.
    pub fn new(
        scheme: Scheme,
        secrets: &[(String, Secret)],
        params: Params,
        max_inflated: usize,
    ) -> Result<Self, (usize, &'static str)> {
        let keys = KeySet::new(&scheme, secrets)?;
        Ok(Self { scheme, keys, params, max_inflated })
    }

    /// The scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(super) fn keys(&self) -> &KeySet {
        &self.keys
    }

    pub(super) fn max_inflated(&self) -> usize {
        self.max_inflated
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The keys' names, in their order: the operator's id for each, or its place from 1; `fetched` where all of them
    /// are.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        let fetched = self.keys.is_empty().then_some("fetched");
        self.keys.iter().map(|key| key.name.as_str()).chain(fetched)
    }

    /// Reads what the head claims, so that a request without it is refused before its body is read.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, `TimestampMissing`, `TimestampMalformed`, `EventIdMissing`,
    /// `EventIdInvalid` or `HeaderConflict`: the first alternative that is there at all says why it will not do.
    pub fn inspect(&self, head: Head<'_>) -> Result<Claimed, Rejection> {
        let mut alternatives = SmallVec::new();
        let (mut refused, mut not_meant) = (None, None);
        for (index, alternative) in self.scheme.alternatives.iter().enumerate() {
            match alternative.inspect(head, &self.params) {
                Ok(true) => alternatives.push(index),
                Ok(false) => {
                    not_meant.get_or_insert_with(|| alternative.not_meant());
                    continue;
                }
                Err(conflict @ Rejection::HeaderConflict(_)) => return Err(conflict),
                Err(rejection) if !is_missing(&rejection) && self.scheme.choice == Choice::FirstOf => {
                    return Err(rejection);
                }
                Err(rejection) => keep_worse(&mut refused, rejection),
            }
            if self.scheme.choice == Choice::FirstOf && alternative.is_in_head() && !alternatives.is_empty() {
                break;
            }
        }
        match refused.or(not_meant) {
            Some(rejection) if alternatives.is_empty() => Err(rejection),
            _ => Ok(Claimed { alternatives }),
        }
    }

    /// The URL of the document that has the keys for a message, where they are not configured.
    ///
    /// # Errors
    /// `UntrustedKeyUrl` if it is none that the scheme allows; `SignatureMissing` if the message should name it.
    pub fn key_url(&self, claimed: &Claimed, head: Head<'_>, body: &[u8]) -> Result<Option<String>, Rejection> {
        if !self.keys.is_empty() {
            return Ok(None);
        }
        for alternative in claimed.alternatives.iter().map(|index| &self.scheme.alternatives[*index]) {
            if let Some(remote) = &alternative.remote {
                let json = alternative.document(head, body)?;
                return remote.url(Contents { head, body, json: &json }).map(Some);
            }
        }
        Ok(None)
    }

    /// The SHA-256 of what a message's signature under one alternative is made over, without the secret. `None` where no
    /// template says it.
    pub fn signed_digest(&self, alternative: usize, head: Head<'_>, body: &[u8]) -> Option<[u8; 32]> {
        let alternative = self.scheme.alternatives.get(alternative)?;
        let signs = alternative.signs()?;
        let json = alternative.document(head, body).ok()?;
        let mut hash = Sha256::new();
        let whole = [json.as_ref()];
        let items = match &alternative.for_each {
            Some(pointer) => json::items(&json, pointer)?.into_iter().map(|item| item.get().as_bytes()).collect(),
            None => whole.to_vec(),
        };
        for json in items {
            let nothing = ValueParts::default();
            let contents = Contents { head, body, json };
            let bare = Context {
                contents,
                value: &nothing,
                claims: &[],
                params: &self.params,
                max_inflated: self.max_inflated,
            };
            let texts = alternative.signature_texts(contents).ok()?;
            let value = alternative.read_value(&texts, head).ok()?;
            let context = Context { value: &value.parts, ..bare };
            let timestamp = alternative.read_timestamp(&context).ok()?;
            let id = alternative.signed_id(&context).ok()?.unwrap_or_default();
            let text = timestamp.as_ref().map_or("", |(text, _)| text);
            let inputs = Inputs { id: id.as_bytes(), timestamp: text.as_bytes(), secret: &[] };
            let bytes = signs.resolve(&context, inputs).ok()?;
            hash.update(bytes.iter().map(|bytes| bytes.len()).sum::<usize>().to_be_bytes());
            parts(&bytes).for_each(|part| hash.update(part));
        }
        Some(hash.finalize().into())
    }

    /// Judges signature, then time, then what else the scheme requires, then the event id. `fetched` has the keys
    /// that [`Self::key_url`] asked for.
    ///
    /// Every candidate is compared with every secret, so the time it takes never tells which one matched.
    ///
    /// # Errors
    /// Why it is refused. Where several alternatives might have matched: what the one says that came furthest.
    pub fn verify<'a>(
        &self,
        claimed: &Claimed,
        head: Head<'a>,
        body: &'a [u8],
        now: UnixTime,
        fetched: Option<&KeySet>,
    ) -> Result<Authentic<'a>, Rejection> {
        let keys = match fetched {
            Some(fetched) if self.keys.is_empty() => fetched,
            _ => &self.keys,
        };
        let (mut refused, mut not_meant) = (None, None);
        for &index in &claimed.alternatives {
            let alternative = &self.scheme.alternatives[index];
            let judge = Judge { alternative, index, keys, params: &self.params, max_inflated: self.max_inflated, now };
            match judge.message(head, body) {
                Ok(Some((key, id))) => return Ok(Authentic { key, alternative: index, id }),
                Ok(None) => {
                    not_meant.get_or_insert_with(|| alternative.not_meant());
                }
                Err(rejection) if is_final(&rejection) => return Err(rejection),
                Err(rejection) if self.scheme.choice == Choice::FirstOf && !is_missing(&rejection) => {
                    return Err(rejection);
                }
                Err(rejection) => keep_worse(&mut refused, rejection),
            }
        }
        Err(refused.or(not_meant).unwrap_or_else(|| Rejection::SignatureMissing("nothing was claimed".into())))
    }
}

/// True for what is only said of a message whose signature is good, and for what no other alternative mends.
fn is_final(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::TimestampStale { .. }
            | Rejection::TimestampFuture { .. }
            | Rejection::ClaimMismatch(_)
            | Rejection::EventIdInvalid(_)
            | Rejection::HeaderConflict(_)
            | Rejection::BodyTooLarge
    )
}

fn is_missing(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::SignatureMissing(_))
}

/// Keeps the refusal of the alternative that came further: what does not match over what cannot be read over what is
/// not there.
fn keep_worse(kept: &mut Option<Rejection>, rejection: Rejection) {
    let rank = |rejection: &Rejection| match rejection {
        Rejection::SignatureMissing(_) => 0,
        Rejection::SignatureMismatch => 2,
        _ => 1,
    };
    if kept.as_ref().is_none_or(|kept| rank(kept) < rank(&rejection)) {
        *kept = Some(rejection);
    }
}

impl Alternative {
    /// Judges what stands in the head, without any key. False where the alternative is not meant for such a message.
    fn inspect(&self, head: Head<'_>, params: &Params) -> Result<bool, Rejection> {
        let contents = Contents { head, body: &[], json: &[] };
        let nothing = ValueParts::default();
        let bare = Context { contents, value: &nothing, claims: &[], params, max_inflated: 0 };
        if !self.is_in_head() {
            return self.is_meant(&bare, Place::is_in_head);
        }
        let texts = self.signature_texts(contents)?;
        if !self.is_meant(&bare, Place::is_in_head)? {
            return Ok(false);
        }
        if let Some(name) = self.foreign.iter().find(|name| head.headers.contains_key(*name)) {
            return Err(Rejection::HeaderConflict(format!("{self} and {name} belong to two alternatives")));
        }
        let value = self.read_value(&texts, head)?;
        match &self.mechanism {
            Mechanism::Pieces { .. } => {
                self.decode(&value)?;
            }
            Mechanism::Token(scheme) => {
                scheme.parse(value.candidates[0])?;
            }
            Mechanism::Bespoke(_) => {}
        }
        let context = Context { value: &value.parts, ..bare };
        if self.timestamp.as_ref().is_some_and(|scheme| scheme.place.as_ref().is_none_or(Place::is_in_head)) {
            self.read_timestamp(&context)?;
        }
        self.signed_id(&context)?;
        Ok(true)
    }

    /// True if everything holds that it is only for, as far as `readable` places go.
    pub(super) fn is_meant<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        readable: fn(&Place) -> bool,
    ) -> Result<bool, Rejection> {
        for condition in self.when.iter().filter(|condition| readable(&condition.place)) {
            if !condition.holds(context)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn not_meant(&self) -> Rejection {
        let name = self.name.as_deref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        Rejection::SignatureMalformed(format!("the request is not what the scheme's alternative{name} is for"))
    }

    /// Takes apart what stands at the signature's place.
    pub(super) fn read_value<'v>(
        &'v self,
        texts: &'v [Cow<'_, str>],
        head: Head<'v>,
    ) -> Result<SignatureValue<'v>, Rejection> {
        let mut value = SignatureValue::default();
        let mut missing = None;
        for text in texts {
            match self.value.read(text, &mut value) {
                Ok(()) => {}
                Err(rejection @ Rejection::SignatureMissing(_)) => missing = Some(rejection),
                Err(rejection) => return Err(rejection),
            }
        }
        if let (true, Some(missing)) = (value.candidates.is_empty(), missing) {
            return Err(missing);
        }
        if let Mechanism::Bespoke(routine) = &self.mechanism {
            routine.read_head(head, &mut value.parts)?;
        }
        Ok(value)
    }

    /// The candidates' bytes, at least one.
    fn decode(&self, value: &SignatureValue<'_>) -> Result<SmallVec<[Tag; 1]>, Rejection> {
        let length = self.tag_len();
        let tags: SmallVec<[Tag; 1]> =
            value.candidates.iter().filter_map(|text| self.encoding.decode(text.as_bytes(), length)).collect();
        let most = if matches!(&self.mechanism, Mechanism::Pieces { algorithm, .. } if algorithm.is_asymmetric()) {
            MAX_PUBLIC_CANDIDATES
        } else {
            MAX_CANDIDATES
        };
        if tags.is_empty() {
            return Err(Rejection::SignatureMalformed("not an encoded signature of the right length".into()));
        }
        if tags.len() > most {
            return Err(Rejection::SignatureMalformed(format!("more than {most} signatures")));
        }
        Ok(tags)
    }

    /// The timestamp's text, which is what is signed, and the moment it stands for. `None` where the scheme has none.
    pub(super) fn read_timestamp<'s, 'a: 's>(
        &self,
        context: &Context<'a, 's>,
    ) -> Result<Option<(Cow<'s, str>, UnixTime)>, Rejection> {
        let Some(scheme) = &self.timestamp else { return Ok(None) };
        let found = match &scheme.place {
            Some(place) => place.read(context)?,
            None => context.value.timestamp.map(Cow::Borrowed),
        };
        let text = found.ok_or_else(|| Rejection::TimestampMissing(self.timestamp_place()))?;
        let time = scheme.parse(&text)?;
        Ok(Some((text, time)))
    }

    /// The id that is among the signed pieces, which stands in a header.
    pub(super) fn signed_id<'a>(&self, context: &Context<'a, '_>) -> Result<Option<&'a str>, Rejection> {
        let Mechanism::Pieces { signs, .. } = &self.mechanism else { return Ok(None) };
        if !signs.has(&Source::Id) {
            return Ok(None);
        }
        for place in &self.ids {
            if let IdPlace::At(Place::Header(name)) = place {
                let id = super::header::single(context.contents.head.headers, name)?;
                let id = id.ok_or_else(|| Rejection::EventIdMissing(place.to_string()))?;
                if signs.is_ambiguous_with(id) {
                    return Err(Rejection::EventIdInvalid("it contains what separates it in the signed bytes"));
                }
                return Ok(Some(id));
            }
        }
        Err(Rejection::EventIdMissing("no header".into()))
    }

    /// Which key the message says it was signed with; `None` where any may have been.
    fn key_id<'s, 'a: 's>(&'s self, context: &Context<'a, 's>) -> Result<Option<Cow<'s, str>>, Rejection> {
        let missing = |what: String| Rejection::SignatureMissing(format!("no {what}, which names the key"));
        match &self.key_id {
            None => Ok(None),
            Some(KeyId::Fixed(id)) => Ok(Some(Cow::Borrowed(id))),
            Some(KeyId::At(place)) => match place.read(context)? {
                Some(id) => Ok(Some(id)),
                None => Err(missing(place.to_string())),
            },
            Some(KeyId::Value) => match context.value.key_id {
                Some(id) => Ok(Some(Cow::Borrowed(id))),
                None => Err(missing("key id in the signature".into())),
            },
        }
    }
}

/// Judges one message under one alternative.
struct Judge<'j> {
    alternative: &'j Alternative,
    /// The alternative's place.
    index: usize,
    keys: &'j KeySet,
    params: &'j Params,
    max_inflated: usize,
    now: UnixTime,
}

/// The place of the key that signed, and the event's id. `None` where the alternative is not meant for the message.
type Judged<'a> = Result<Option<(usize, Option<EventId<'a>>)>, Rejection>;

impl Judge<'_> {
    fn message<'a>(&self, head: Head<'a>, body: &'a [u8]) -> Judged<'a> {
        match self.alternative.document(head, body)? {
            Cow::Borrowed(json) => self.batch(Contents { head, body, json }),
            Cow::Owned(json) => {
                let judged = self.batch(Contents { head, body, json: &json })?;
                Ok(judged.map(|(key, id)| (key, id.map(EventId::into_owned))))
            }
        }
    }

    /// All of a batch must be good; the ids of its items are not the message's.
    fn batch<'a>(&self, contents: Contents<'a>) -> Judged<'a> {
        let Some(pointer) = &self.alternative.for_each else { return self.one(contents) };
        let items = json::items(contents.json, pointer).filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| Rejection::SignatureMissing(format!("no items at {pointer}")))?;
        if items.len() > MAX_ITEMS {
            return Err(Rejection::SignatureMalformed(format!("more than {MAX_ITEMS} items at {pointer}")));
        }
        let mut first = None;
        for item in &items {
            let Some(judged) = self.one(Contents { json: item.get().as_bytes(), ..contents })? else { return Ok(None) };
            first.get_or_insert(judged);
        }
        Ok(first.map(|(key, id)| (key, id.filter(|_| items.len() == 1))))
    }

    fn one<'a>(&self, contents: Contents<'a>) -> Judged<'a> {
        let alternative = self.alternative;
        let nothing = ValueParts::default();
        let bare =
            Context { contents, value: &nothing, claims: &[], params: self.params, max_inflated: self.max_inflated };
        if !alternative.is_meant(&bare, |_| true)? {
            return Ok(None);
        }
        if let Some(remote) = &alternative.remote {
            // Also where the key is configured: a message that names a foreign one is not the provider's.
            remote.url(contents)?;
        }
        let texts = alternative.signature_texts(contents)?;
        let value = alternative.read_value(&texts, contents.head)?;
        let context = Context { value: &value.parts, ..bare };
        match &alternative.mechanism {
            Mechanism::Pieces { algorithm, signs, key: role } => {
                let tags = alternative.decode(&value)?;
                let timestamp = alternative.read_timestamp(&context)?;
                let id = alternative.signed_id(&context)?.unwrap_or_default();
                let text = timestamp.as_ref().map_or("", |(text, _)| text);
                let inputs = Inputs { id: id.as_bytes(), timestamp: text.as_bytes(), secret: &[] };
                let keys = self.keys_for(alternative.key_id(&context)?.as_deref())?;
                let key = Comparison {
                    algorithm: *algorithm,
                    signs,
                    role: *role,
                    tags: &tags,
                    keys: &keys,
                    index: self.index,
                }
                .run(&context, inputs)?;
                // HMAC pads its key, and a plain hash over a secret and what follows can be carried on: neither is JSON.
                let open_ended =
                    *role == KeyRole::Body || (matches!(algorithm, Algorithm::Digest(_)) && signs.ends_in_body());
                if open_ended && !json::is_json(contents.body) {
                    return Err(Rejection::SignatureMismatch);
                }
                self.rest(key, &context, timestamp.as_ref(), inputs)
            }
            Mechanism::Token(scheme) => {
                let token = scheme.parse(value.candidates[0])?;
                let key = self.token_key(scheme, &token, contents.body)?;
                scheme.check_times(&token.claims, self.now)?;
                let context = Context { claims: &token.claims, ..context };
                let timestamp = alternative.read_timestamp(&context)?;
                self.rest(key, &context, timestamp.as_ref(), Inputs::default())
            }
            Mechanism::Bespoke(routine) => {
                let timestamp = alternative.read_timestamp(&context)?;
                let keys = self.keys_for(alternative.key_id(&context)?.as_deref())?;
                let mut matched = None;
                for (place, key) in &keys {
                    for candidate in &value.candidates {
                        if routine.verify(&context, &key.keyed[self.index], candidate)? && matched.is_none() {
                            matched = Some(*place);
                        }
                    }
                }
                self.rest(matched.ok_or(Rejection::SignatureMismatch)?, &context, timestamp.as_ref(), Inputs::default())
            }
        }
    }

    /// What is judged of a message whose signature is good.
    fn rest<'s, 'a: 's>(
        &self,
        key: usize,
        context: &Context<'a, 's>,
        timestamp: Option<&(Cow<'s, str>, UnixTime)>,
        inputs: Inputs<'s>,
    ) -> Judged<'a> {
        let alternative = self.alternative;
        if let (Some(scheme), Some((_, time))) = (&alternative.timestamp, timestamp) {
            scheme.tolerance.check(*time, self.now)?;
        }
        for condition in &alternative.requires {
            condition.require(context, inputs)?;
        }
        let text = timestamp.map(|(text, _)| text.as_ref());
        Ok(Some((key, alternative.id(context, text)?)))
    }

    /// The keys that may have signed, with their places.
    fn keys_for(&self, id: Option<&str>) -> Result<SmallVec<[(usize, &Key); 4]>, Rejection> {
        let usable = |key: &&Key| !matches!(key.keyed[self.index], Keyed::Unusable(_));
        let all = || self.keys.iter().enumerate().filter(|(_, key)| usable(key));
        let Some(id) = id else { return Ok(all().collect()) };
        let named = |key: &Key| key.id.as_deref().unwrap_or(&key.name) == id;
        let found: SmallVec<[(usize, &Key); 4]> = all().filter(|(_, key)| named(key)).collect();
        match (found.is_empty(), &self.alternative.key_id) {
            (false, _) => Ok(found),
            // The operator gave its secrets other names: any may have signed.
            (true, Some(KeyId::Fixed(id))) if !self.keys.iter().any(|key| key.name == *id) => Ok(all().collect()),
            (true, _) => Err(Rejection::UnknownKey),
        }
    }

    /// The place of the key that signed a token.
    fn token_key(&self, scheme: &TokenScheme, token: &Token<'_>, body: &[u8]) -> Result<usize, Rejection> {
        let known = self.keys.iter().any(|key| key.id.is_some());
        let (mut tried, mut matched) = (false, None);
        let named = |key: &Key| match (&key.id, &token.key_id) {
            (Some(id), Some(wanted)) => id == wanted,
            (Some(_), None) | (None, _) => true,
        };
        if known && token.key_id.is_some() && !self.keys.iter().any(named) {
            return Err(Rejection::UnknownKey);
        }
        let encoded;
        let parts: [&[u8]; 3] = match (scheme.detached, token.plain_body) {
            (false, _) => [token.signed.as_bytes(), &[], &[]],
            (true, true) => [token.signed.as_bytes(), &[], body],
            (true, false) => {
                encoded = BASE64URL.encode(body);
                [token.signed.as_bytes(), &[], encoded.as_bytes()]
            }
        };
        for (place, key) in self.keys.iter().enumerate().filter(|(_, key)| named(key)) {
            let Keyed::Token(keys) = &key.keyed[self.index] else { continue };
            for (_, key) in keys.iter().filter(|(algorithm, _)| *algorithm == token.algorithm) {
                tried = true;
                let good = match key {
                    TokenKey::Hmac(hmac) => same(&hmac.tag(parts.into_iter()), &token.signature),
                    TokenKey::Public(key) => key.verify_sig(&parts.concat(), &token.signature).is_ok(),
                };
                if good && matched.is_none() {
                    matched = Some(place);
                }
            }
        }
        match matched {
            Some(place) => Ok(place),
            None if tried => Err(Rejection::SignatureMismatch),
            None => Err(Rejection::AlgorithmNotAllowed),
        }
    }
}

/// The candidates of one message against the keys that may have signed it.
struct Comparison<'c> {
    algorithm: Algorithm,
    signs: &'c Template,
    role: KeyRole,
    tags: &'c [Tag],
    keys: &'c [(usize, &'c Key)],
    index: usize,
}

impl<'c> Comparison<'c> {
    /// The place of the key that matches. No short cut: the number of comparisons never depends on which one it is.
    fn run<'s, 'a: 's>(&self, context: &Context<'a, 's>, inputs: Inputs<'s>) -> Result<usize, Rejection>
    where
        'c: 's,
    {
        let signs: &'c Template = self.signs;
        let shared = if signs.has(&Source::Secret) || self.algorithm == Algorithm::Equal {
            None
        } else {
            Some(signs.resolve(context, inputs)?)
        };
        // Public keys want it in one piece.
        let message: Option<Cow<'_, [u8]>> = match (&shared, self.algorithm.is_asymmetric()) {
            (Some(bytes), true) if bytes.len() == 1 => Some(Cow::Borrowed(&bytes[0])),
            (Some(bytes), true) => Some(Cow::Owned(bytes.concat())),
            _ => None,
        };
        let mut matched = None;
        for (place, key) in self.keys {
            let good = match &key.keyed[self.index] {
                Keyed::Public(public) => self.any_verifies(public, message.as_deref().unwrap_or_default()),
                Keyed::Hmac(hmac) => match &shared {
                    Some(bytes) => self.any_is(&hmac.tag(parts(bytes))),
                    None => self.any_is(&hmac.tag(parts(&signs.resolve(context, inputs)?))),
                },
                Keyed::Secret(secret) if self.algorithm == Algorithm::Equal => self.any_is(secret.expose()),
                Keyed::Secret(secret) => {
                    let bytes = signs.resolve(context, Inputs { secret: secret.expose(), ..inputs })?;
                    self.any_is(&keyless_tag(self.algorithm, self.role, &bytes, context.contents.body))
                }
                Keyed::Token(_) | Keyed::Unusable(_) => false,
            };
            if good && matched.is_none() {
                matched = Some(*place);
            }
        }
        matched.ok_or(Rejection::SignatureMismatch)
    }

    fn any_is(&self, tag: &[u8]) -> bool {
        self.tags.iter().fold(false, |matched, candidate| same(candidate, tag) | matched)
    }

    fn any_verifies(&self, key: &ParsedPublicKey, message: &[u8]) -> bool {
        self.tags.iter().fold(false, |matched, candidate| key.verify_sig(message, candidate).is_ok() | matched)
    }
}

/// The tag of bytes that have the secret among them.
pub(super) fn keyless_tag(algorithm: Algorithm, role: KeyRole, bytes: &Bytes<'_>, body: &[u8]) -> Tag {
    match (algorithm, role) {
        (Algorithm::Hmac(hash), KeyRole::Body) => KeyedHmac::new(hash, body).tag(parts(bytes)),
        (Algorithm::Hmac(hash) | Algorithm::Digest(hash), _) => hash.digest(parts(bytes)),
        _ => Tag::new(),
    }
}

fn parts<'b>(bytes: &'b Bytes<'_>) -> impl Iterator<Item = &'b [u8]> {
    bytes.iter().map(AsRef::as_ref)
}

/// Compares in a time that only tells the lengths.
fn same(one: &[u8], other: &[u8]) -> bool {
    !one.is_empty() && bool::from(one.ct_eq(other))
}
