//! What a scheme reads of a message, and whether an upstream would read the same.
//!
//! Where every byte is signed, how the upstream reads them is its own affair. Where less is, two readers of one message may find different values in it:
//! a message that allows it is refused.

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;

use super::coverage::BodyCoverage;
use super::fields::FieldSource;
use super::form::{self, Found};
use super::media_type::MediaType;
use super::place::Place;
use super::request::Head;
use super::template::{Source, Template};
use super::{Alternative, Document, SignaturePlace, json};
use crate::rejection::Rejection;

impl Alternative {
    /// True if it reads the form that the body is.
    pub(super) fn reads_form(&self) -> bool {
        self.reads_any(|place| matches!(place, Place::Form(_)), FieldSource::Form)
    }

    /// True if it reads the JSON that the body is.
    fn reads_json(&self) -> bool {
        self.for_each.is_some() || self.reads_any(|place| matches!(place, Place::Json(_)), FieldSource::Json)
    }

    fn reads_any(&self, is: fn(&Place) -> bool, fields: FieldSource) -> bool {
        let listed = |source: &Source| matches!(source, Source::Fields(known) if known.from == fields);
        self.places_read().any(is) || self.templates().any(|template| template.any(&listed))
    }

    /// Every place that it goes by, in the request itself.
    fn places_read(&self) -> impl Iterator<Item = &Place> {
        let signature = match &self.place {
            SignaturePlace::At(place) => Some(place),
            _ => None,
        };
        let timestamp = self.timestamp.as_ref().and_then(|scheme| scheme.place.as_ref());
        let conditions = self.when.iter().chain(&self.requires).map(|condition| &condition.place);
        let signed = self.templates().flat_map(Template::sources).filter_map(|source| match source {
            Source::At(place) => Some(place),
            _ => None,
        });
        signature.into_iter().chain(timestamp).chain(conditions).chain(signed)
    }

    /// The JSON of a message that pointers point into.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed` or `HeaderConflict` where an upstream might read the message otherwise than this scheme does.
    pub(super) fn document<'a>(&self, head: Head<'a>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejection> {
        let covered = self.coverage.body == BodyCoverage::Bytes;
        if covered && self.document == Document::Body {
            return Ok(Cow::Borrowed(body));
        }
        let media = MediaType::of(head.headers)?;
        let document = self.within_form(&media, body)?;
        if !covered {
            self.check_query(head)?;
            if self.reads_form() || self.reads_json() {
                self.check_writing(&media, head)?;
            }
            if self.reads_form() {
                self.check_form(&media, head, body)?;
            }
            if self.reads_json() {
                self.check_json(&media, &document)?;
            }
        }
        Ok(document)
    }

    /// The body, or what of the form that it is has the JSON.
    fn within_form<'a>(&self, media: &MediaType<'_>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejection> {
        match &self.document {
            Document::Body => Ok(Cow::Borrowed(body)),
            Document::Form(_) if !media.is_form() => Err(not_called("the form")),
            Document::Form(name) => match form::find(body, name) {
                Found::Once(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
                Found::Once(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
                Found::Nothing => Ok(Cow::Borrowed(&[])),
                Found::Repeated => Err(Rejection::HeaderConflict(format!("form field {name} is repeated"))),
            },
            Document::Multipart(_) if !media.is_multipart_form() => Err(not_called("the form")),
            Document::Multipart(name) => form::multipart(media.whole, body, name)
                .map(Cow::Borrowed)
                .ok_or_else(|| ambiguous("the multipart form does not have the part once and plainly")),
        }
    }

    fn check_query(&self, head: Head<'_>) -> Result<(), Rejection> {
        let names: Vec<&str> = self.places_read().filter_map(Place::query).collect();
        let query = head.url.query.unwrap_or_default();
        if names.is_empty() || self.signs_query() || form::is_unambiguous(query.as_bytes(), &names) {
            return Ok(());
        }
        Err(ambiguous("the query has names that could be taken for others"))
    }

    /// Checks that what the head says of how the body is written is how it is read here.
    fn check_writing(&self, media: &MediaType<'_>, head: Head<'_>) -> Result<(), Rejection> {
        if !media.is_utf8() {
            return Err(ambiguous("the body is called something else than UTF-8"));
        }
        if head.headers.contains_key(CONTENT_ENCODING) && !self.signs_any(|source| *source == Source::Decoded) {
            return Err(ambiguous("the body is called compressed, and what is signed is not"));
        }
        Ok(())
    }

    fn check_form(&self, media: &MediaType<'_>, head: Head<'_>, body: &[u8]) -> Result<(), Rejection> {
        if !media.is_form() && !body.is_empty() {
            return Err(not_called("the form"));
        }
        // Many frameworks have one list of parameters, in which the query wins.
        if head.url.query.is_some_and(|query| !query.is_empty()) && !self.signs_query() {
            return Err(ambiguous("the fields of the form are signed and the query is not: it must be empty"));
        }
        let names: Vec<&str> = self.places_read().filter_map(Place::form).collect();
        match form::is_unambiguous(body, &names) {
            true => Ok(()),
            false => Err(ambiguous("the form has names that could be taken for others")),
        }
    }

    fn check_json(&self, media: &MediaType<'_>, json: &[u8]) -> Result<(), Rejection> {
        if self.document == Document::Body && media.could_be_form() {
            return Err(not_called("the JSON"));
        }
        let steps = self.places_read().flat_map(Place::json_steps);
        let items = self.for_each.iter().flat_map(|pointer| pointer.steps());
        let names: Vec<&str> = steps.chain(items).map(String::as_str).collect();
        match json::is_unambiguous(json, &names) {
            true => Ok(()),
            false => Err(ambiguous(
                "the body is not one JSON text in which no name is there twice or could be taken for another",
            )),
        }
    }
}

fn ambiguous(why: &str) -> Rejection {
    Rejection::SignatureMalformed(why.to_owned())
}

fn not_called(what: &str) -> Rejection {
    Rejection::SignatureMissing(format!("the body is not called {what} that has it"))
}
