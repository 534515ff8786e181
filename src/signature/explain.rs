//! What a verifier saw in a message, told piece by piece.

use std::borrow::Cow;

use super::algorithm::{Algorithm, Tag};
use super::key::Keyed;
use super::place::{Contents, Context};
use super::request::Head;
use super::secret::Secret;
use super::template::{Inputs, Traced};
use super::value::ValueParts;
use super::{Alternative, Mechanism, Verifier};
use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// What one alternative made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The alternative's name, where there are several.
    pub alternative: Option<String>,
    /// Where the signature stands, and by what computation it comes about.
    pub place: String,
    pub computation: String,
    /// The signatures as they are written in the request.
    pub candidates: Vec<String>,
    /// What was signed, piece by piece; empty where a routine of its own says it.
    pub pieces: Vec<TracedPiece>,
    /// The timestamp as written and as understood.
    pub timestamp: Option<(String, UnixTime)>,
    /// A token's claims, as JSON.
    pub claims: Option<String>,
    /// What each symmetric key makes of the signed bytes, encoded as in the request: a usable signature.
    pub computed: Vec<(String, Secret)>,
    /// Why nothing more could be told.
    pub stopped: Option<String>,
}

/// A piece of what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedPiece {
    /// As the scheme writes it; `None` for literal text.
    pub piece: Option<String>,
    /// Where it stands, in words.
    pub from: String,
    pub bytes: Vec<u8>,
}

impl Verifier {
    /// What each alternative that is not plainly another message's makes of this one.
    pub fn explain(&self, head: Head<'_>, body: &[u8]) -> Vec<Explanation> {
        let alternatives = self.scheme().alternatives();
        let all = alternatives
            .iter()
            .enumerate()
            .map(|(index, alternative)| (alternative, self.explain_one(index, head, body)));
        let mut explained: Vec<_> = all.collect();
        if explained.iter().any(|(_, explanation)| !explanation.candidates.is_empty()) {
            explained.retain(|(_, explanation)| !explanation.candidates.is_empty());
        }
        explained.into_iter().map(|(_, explanation)| explanation).collect()
    }

    fn explain_one(&self, index: usize, head: Head<'_>, body: &[u8]) -> Explanation {
        let alternative = &self.scheme().alternatives()[index];
        let mut explanation = Explanation {
            alternative: alternative.name.clone(),
            place: alternative.to_string(),
            computation: alternative.computation(),
            candidates: Vec::new(),
            pieces: Vec::new(),
            timestamp: None,
            claims: None,
            computed: Vec::new(),
            stopped: None,
        };
        if let Err(stopped) = self.fill(index, alternative, head, body, &mut explanation) {
            explanation.stopped = Some(stopped);
        }
        explanation
    }

    fn fill(
        &self,
        index: usize,
        alternative: &Alternative,
        head: Head<'_>,
        body: &[u8],
        explanation: &mut Explanation,
    ) -> Result<(), String> {
        let said = |rejection: Rejection| rejection.to_string();
        let document = alternative.document(head, body).map_err(said)?;
        let json = match &alternative.for_each {
            None => document.clone(),
            Some(pointer) => {
                let items = super::json::items(&document, pointer).filter(|items| !items.is_empty());
                let first = items.ok_or_else(|| format!("no items at {pointer}"))?[0];
                Cow::Owned(first.get().as_bytes().to_vec())
            }
        };
        let contents = Contents { head, body, json: &json };
        let nothing = ValueParts::default();
        let bare = Context {
            contents,
            value: &nothing,
            claims: &[],
            params: self.params(),
            max_inflated: self.max_inflated(),
        };
        if !alternative.is_meant(&bare, |_| true).map_err(said)? {
            return Err("the request is not what this alternative is for".into());
        }
        let texts = alternative.signature_texts(contents).map_err(said)?;
        let value = alternative.read_value(&texts, head).map_err(said)?;
        explanation.candidates = value.candidates.iter().map(ToString::to_string).collect();
        let context = Context { value: &value.parts, ..bare };
        match &alternative.mechanism {
            Mechanism::Pieces { algorithm, signs, .. } => {
                let timestamp = alternative.read_timestamp(&context).map_err(said)?;
                explanation.timestamp = timestamp.as_ref().map(|(text, time)| (text.to_string(), *time));
                let text = timestamp.as_ref().map_or("", |(text, _)| text);
                let id = alternative.signed_id(&context).map_err(said)?.unwrap_or_default();
                let inputs = Inputs { id: id.as_bytes(), timestamp: text.as_bytes(), secret: SECRET.as_bytes() };
                if *algorithm == Algorithm::Equal {
                    return Ok(());
                }
                let traced = signs.trace(&context, inputs).map_err(said)?;
                explanation.pieces = traced.into_iter().map(|traced| alternative.traced(traced)).collect();
                for key in self.keys().iter() {
                    if let Some(tag) = alternative.computed(&key.keyed[index], &context, inputs).map_err(said)? {
                        let encoded = alternative.encoding.encode(&tag);
                        explanation.computed.push((key.name.clone(), Secret::new(encoded.into_bytes())));
                    }
                }
            }
            Mechanism::Token(scheme) => {
                let token = scheme.parse(value.candidates[0]).map_err(said)?;
                explanation.claims = Some(String::from_utf8_lossy(&token.claims).into_owned());
                let context = Context { claims: &token.claims, ..context };
                let timestamp = alternative.read_timestamp(&context).map_err(said)?;
                explanation.timestamp = timestamp.map(|(text, time)| (text.into_owned(), time));
            }
            Mechanism::Bespoke(_) | Mechanism::Nothing => {
                let timestamp = alternative.read_timestamp(&context).map_err(said)?;
                explanation.timestamp = timestamp.map(|(text, time)| (text.into_owned(), time));
            }
        }
        Ok(())
    }
}

/// What stands for the secret in what is shown.
const SECRET: &str = "(the secret)";

impl Alternative {
    /// A piece with where it really stands: a template only knows that it is the timestamp, or the id.
    fn traced(&self, traced: Traced<'_>) -> TracedPiece {
        let timestamp = || match self.timestamp.as_ref()?.place.as_ref() {
            Some(place) => Some(place.to_string()),
            None => Some(self.to_string()),
        };
        let from = match traced.piece {
            Some("timestamp") => timestamp(),
            Some("id") => self.ids.first().map(ToString::to_string),
            _ => None,
        };
        let piece = traced.piece.map(str::to_owned);
        TracedPiece { piece, from: from.unwrap_or(traced.from), bytes: traced.bytes }
    }

    /// The tag that a symmetric key makes of a message; `None` for what only a public key verifies.
    fn computed<'s, 'a: 's>(
        &'s self,
        keyed: &'s Keyed,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
    ) -> Result<Option<Tag>, Rejection> {
        let Mechanism::Pieces { algorithm, signs, key } = &self.mechanism else { return Ok(None) };
        let secret = match keyed {
            Keyed::Secret(secret) => secret.expose(),
            _ => &[],
        };
        let bytes = signs.resolve(context, Inputs { secret, ..inputs })?;
        Ok(match keyed {
            Keyed::Hmac(hmac) => Some(hmac.tag(bytes.iter().map(AsRef::as_ref))),
            Keyed::Secret(_) => Some(super::verifier::keyless_tag(*algorithm, *key, &bytes, context.contents.body)),
            _ => None,
        })
    }
}
