//! Judges one message under one alternative.

use std::borrow::Cow;

use base64::Engine;
use smallvec::SmallVec;

use super::comparison::{Comparison, same};
use crate::clock::UnixTime;
use crate::rejection::Rejection;
use crate::signature::algorithm::Algorithm;
use crate::signature::encoding::BASE64URL;
use crate::signature::event_id::EventId;
use crate::signature::key::{Key, KeySet, Keyed, TokenKey};
use crate::signature::place::{Contents, Context, Params};
use crate::signature::request::Head;
use crate::signature::template::Inputs;
use crate::signature::token::{Token, TokenScheme};
use crate::signature::value::ValueParts;
use crate::signature::{Alternative, KeyId, KeyRole, Mechanism, json};

/// A batch with more items than this is refused.
const MAX_ITEMS: usize = 1000;

/// Judges one message under one alternative.
pub struct Judge<'j> {
    pub alternative: &'j Alternative,
    /// The alternative's place.
    pub index: usize,
    pub keys: &'j KeySet,
    pub params: &'j Params,
    pub max_inflated: usize,
    pub now: UnixTime,
}

/// The place of the key that signed, and the event's id. `None` where the alternative is not meant for the message.
pub type Judged<'a> = Result<Option<(usize, Option<EventId<'a>>)>, Rejection>;

impl Judge<'_> {
    /// The key that signed a message, and its event's id.
    pub fn message<'a>(&self, head: Head<'a>, body: &'a [u8]) -> Judged<'a> {
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
            Mechanism::Nothing => Err(Rejection::SignatureMissing("this provider signs nothing".into())),
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
