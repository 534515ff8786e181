//! What a signature covers of a message, worked out once from what is signed.

use super::event_id::IdPlace;
use super::fields::{FieldSource, Fields};
use super::place::Place;
use super::template::Source;
use super::{Alternative, Document, KeyRole, Mechanism, SignaturePlace};

/// What a signature covers of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    pub body: BodyCoverage,
    pub timestamp: bool,
    /// By the places of event ids, in their order.
    ids: Vec<bool>,
    /// By the places of event types, in their order.
    types: Vec<bool>,
}

/// How much of a body a signature covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BodyCoverage {
    /// Nothing, or not all of it.
    #[default]
    Partial,
    /// What it says, but not how it is written: sorted fields, or the bytes before they were compressed.
    Meaning,
    /// Every byte.
    Bytes,
}

impl Coverage {
    /// What `alternative` covers.
    pub fn of(alternative: &Alternative) -> Self {
        let timestamp = alternative.signs_any(|source| *source == Source::Timestamp)
            || alternative
                .timestamp
                .as_ref()
                .and_then(|scheme| scheme.place.as_ref())
                .is_some_and(|place| alternative.covers_place(place))
            || matches!(alternative.mechanism, Mechanism::Bespoke(routine) if routine.covers_timestamp());
        let ids = alternative.ids.iter().map(|place| alternative.covers_id(place)).collect();
        let types = alternative.types.iter().map(|place| alternative.covers_place(place)).collect();
        Self { body: alternative.body_coverage(), timestamp, ids, types }
    }

    /// True if the id at the place with this index is covered.
    pub fn of_id(&self, index: usize) -> bool {
        self.ids.get(index).copied().unwrap_or(false)
    }

    /// True if the type at the place with this index is covered.
    pub fn of_type(&self, index: usize) -> bool {
        self.types.get(index).copied().unwrap_or(false)
    }
}

impl Alternative {
    fn covers_id(&self, place: &IdPlace) -> bool {
        match place {
            IdPlace::At(place @ Place::Header(_)) => {
                self.signs_any(|source| *source == Source::Id) || self.covers_place(place)
            }
            IdPlace::At(place) => self.covers_place(place),
            // A second may see two events, signed or not: only with the body's digest is it an id.
            IdPlace::Timestamp => false,
        }
    }

    fn body_coverage(&self) -> BodyCoverage {
        let bytes = self.place == SignaturePlace::Body
            || self.binds(&Source::Body)
            || match &self.mechanism {
                Mechanism::Pieces { key, .. } => *key == KeyRole::Body,
                Mechanism::Token(scheme) => scheme.detached,
                Mechanism::Bespoke(routine) => routine.covers_body(),
                Mechanism::Nothing => false,
            };
        if bytes {
            return BodyCoverage::Bytes;
        }
        let meaning = self.binds(&Source::Decoded)
            || self.signs_any(|source| matches!(source, Source::Fields(fields) if self.is_whole_body(fields)));
        if meaning { BodyCoverage::Meaning } else { BodyCoverage::Partial }
    }

    /// True if the fields are all that the body says: every one but the signature, with its name.
    fn is_whole_body(&self, fields: &Fields) -> bool {
        let own = match &self.place {
            SignaturePlace::At(Place::Form(name)) => Some(name.as_str()),
            SignaturePlace::At(Place::Json(pointer)) if pointer.steps().len() == 1 => Some(pointer.steps()[0].as_str()),
            _ => None,
        };
        matches!(fields.from, FieldSource::Form | FieldSource::Json)
            && self.document == Document::Body
            && fields.picks_all()
            && fields.each.has_name()
            && !fields.skip_empty
            && fields.except.iter().all(|name| Some(name.as_str()) == own)
    }

    /// True if the signature covers what stands at `place`.
    fn covers_place(&self, place: &Place) -> bool {
        let fields = |from: &FieldSource, name: &str| {
            let picks = |fields: &Fields| fields.from == *from && fields.picks(name) && fields.each.has_name();
            self.signs_any(|source| matches!(source, Source::Fields(fields) if picks(fields)))
        };
        let all_bytes = || self.body_coverage() == BodyCoverage::Bytes;
        // Not in a list that is sorted by value: there it could change places with its neighbour.
        self.signs().is_some_and(|signs| signs.binds(&Source::At(place.clone())))
            || match place {
                Place::Claim(_) => true,
                Place::Form(name) => fields(&FieldSource::Form, name) || all_bytes(),
                Place::Json(pointer) => fields(&FieldSource::Json, &pointer.steps()[0]) || all_bytes(),
                Place::Query(name) => fields(&FieldSource::Query, name) || self.signs_query(),
                Place::Header(_) | Place::Value(_) => false,
            }
    }

    /// True if nobody can change `source` unnoticed: it is signed, or a digest of it is; or it must be what stands at a
    /// place that is signed.
    fn binds(&self, source: &Source) -> bool {
        let signed = match &self.mechanism {
            Mechanism::Pieces { signs, .. } => self.signs_any(|piece| piece == source) && signs.binds(source),
            _ => false,
        };
        signed
            || self.requires.iter().any(|condition| {
                let held = !condition.is.is_empty() && condition.is.iter().all(|is| is.binds(source));
                held && self.covers_place_by_signing(&condition.place)
            })
    }

    /// As [`Self::covers_place`], without asking what is required: a condition cannot vouch for itself.
    fn covers_place_by_signing(&self, place: &Place) -> bool {
        match place {
            Place::Claim(_) => matches!(self.mechanism, Mechanism::Token(_)),
            Place::Query(_) => {
                self.signs_any(|source| matches!(source, Source::At(signed) if signed == place)) || self.signs_query()
            }
            _ => self.signs_any(|source| matches!(source, Source::At(signed) if signed == place)),
        }
    }

    /// True if the signature is made over the query as it stands.
    pub(super) fn signs_query(&self) -> bool {
        self.signs_any(|source| matches!(source, Source::Url(part) if part.has_query()))
    }

    /// True if `test` is true of anything that the signature is made over.
    pub(super) fn signs_any(&self, test: impl Fn(&Source) -> bool) -> bool {
        self.signs().is_some_and(|signs| signs.any(&test))
    }
}
