//! Reads what a message says of its signature.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::clock::UnixTime;
use crate::rejection::Rejection;
use crate::signature::algorithm::Tag;
use crate::signature::event_id::IdPlace;
use crate::signature::header::single;
use crate::signature::place::{Contents, Context, Params, Place};
use crate::signature::request::Head;
use crate::signature::template::Source;
use crate::signature::value::{MAX_CANDIDATES, SignatureValue, ValueParts};
use crate::signature::{Alternative, KeyId, Mechanism};

/// More candidates than this are not tried with public keys, each of which costs 15 to 50 us.
const MAX_PUBLIC_CANDIDATES: usize = 4;

impl Alternative {
    /// Judges what stands in the head, without any key. False where the alternative is not meant for such a message.
    pub fn inspect(&self, head: Head<'_>, params: &Params) -> Result<bool, Rejection> {
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
            Mechanism::Bespoke(_) | Mechanism::Nothing => {}
        }
        let context = Context { value: &value.parts, ..bare };
        if self.timestamp.as_ref().is_some_and(|scheme| scheme.place.as_ref().is_none_or(Place::is_in_head)) {
            self.read_timestamp(&context)?;
        }
        self.signed_id(&context)?;
        Ok(true)
    }

    /// True if everything holds that it is only for, as far as `readable` places go.
    pub fn is_meant<'s, 'a: 's>(
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

    pub fn not_meant(&self) -> Rejection {
        let name = self.name.as_deref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        Rejection::SignatureMalformed(format!("the request is not what the scheme's alternative{name} is for"))
    }

    /// Takes apart what stands at the signature's place.
    pub fn read_value<'v>(
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
    pub fn decode(&self, value: &SignatureValue<'_>) -> Result<SmallVec<[Tag; 1]>, Rejection> {
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
    pub fn read_timestamp<'s, 'a: 's>(
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
    pub fn signed_id<'a>(&self, context: &Context<'a, '_>) -> Result<Option<&'a str>, Rejection> {
        let Mechanism::Pieces { signs, .. } = &self.mechanism else { return Ok(None) };
        if !signs.has(&Source::Id) {
            return Ok(None);
        }
        for place in &self.ids {
            if let IdPlace::At(Place::Header(name)) = place {
                let id = single(context.contents.head.headers, name)?;
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
    pub fn key_id<'s, 'a: 's>(&'s self, context: &Context<'a, 's>) -> Result<Option<Cow<'s, str>>, Rejection> {
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
