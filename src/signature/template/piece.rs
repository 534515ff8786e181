//! A piece of what is signed: where its bytes come from.

use std::borrow::Cow;

use super::filter::Filter;
use super::{Bytes, Inputs, Part, Template};
use crate::rejection::Rejection;
use crate::signature::fields::Fields;
use crate::signature::inflate::inflate;
use crate::signature::json::Pointer;
use crate::signature::place::{Context, Place};
use crate::signature::request::UrlPart;

/// A piece: where its bytes come from, and what becomes of them.
#[derive(Debug, Clone)]
pub struct Piece {
    pub source: Source,
    /// Written `{…?}`: empty where it is absent.
    pub optional: bool,
    pub filters: Vec<Filter>,
    /// As the scheme writes it, without the braces.
    pub written: String,
}

/// Where a piece's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Body,
    /// The body without its `Content-Encoding`.
    Decoded,
    Id,
    Timestamp,
    Secret,
    Method,
    Url(UrlPart),
    Param(String),
    At(Place),
    /// A piece of the scheme's own, by its name in `[signature.pieces]`.
    Template(Box<Template>),
    /// A list of fields of the scheme's own.
    Fields(Box<Fields>),
}

/// The pieces that a scheme names itself, in their order.
pub type NamedPieces = Vec<(String, Source)>;

/// What is written the same is the same, filters included.
impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written && self.source == other.source
    }
}

impl Eq for Piece {}

impl Piece {
    pub fn parse(written: &str, named: &NamedPieces) -> Result<Self, String> {
        let mut words = written.split('|');
        let name = words.next().unwrap_or_default().trim();
        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        let mut filters = Vec::new();
        for word in words {
            filters.push(Filter::parse(word.trim())?);
        }
        Ok(Self { source: Source::parse(name, named)?, optional, filters, written: written.to_owned() })
    }

    /// True if its length is not known beforehand.
    pub fn is_open(&self) -> bool {
        !self.filters.last().is_some_and(Filter::has_fixed_length)
    }

    /// Refuses a header or a parameter that holds what separates it from the next piece: it could swallow that.
    pub fn refuse_separator(&self, bytes: &[Cow<'_, [u8]>], next: Option<&Part>) -> Result<(), Rejection> {
        let (Source::At(Place::Header(_) | Place::Query(_)), Some(Part::Literal(next))) = (&self.source, next) else {
            return Ok(());
        };
        if bytes.iter().any(|bytes| bytes.windows(next.len()).any(|window| window == next.as_slice())) {
            return Err(Rejection::SignatureMalformed(format!(
                "{} holds what separates it in the signed bytes",
                self.place()
            )));
        }
        Ok(())
    }

    pub fn place(&self) -> String {
        match &self.source {
            Source::Body => "the body".into(),
            Source::Decoded => "the body without its Content-Encoding".into(),
            Source::Id => "the event id".into(),
            Source::Timestamp => "the timestamp".into(),
            Source::Secret => "the secret".into(),
            Source::Method => "the method".into(),
            Source::Url(_) => "the URL".into(),
            Source::Param(name) => format!("the parameter {name}"),
            Source::At(place) => place.to_string(),
            Source::Template(_) | Source::Fields(_) => format!("the scheme's own piece {}", self.written),
        }
    }

    /// Appends its bytes. False if it is absent.
    pub fn resolve_into<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
        bytes: &mut Bytes<'s>,
    ) -> Result<bool, Rejection> {
        if self.filters.is_empty() {
            return self.source.resolve_into(context, inputs, bytes);
        }
        let mut own = Bytes::new();
        if !self.source.resolve_into(context, inputs, &mut own)? {
            return Ok(false);
        }
        let (first, others) = self.filters.split_first().expect("it has filters");
        let mut filtered = first.apply(&own);
        for filter in others {
            filtered = filter.apply(&[Cow::Owned(filtered)]);
        }
        bytes.push(Cow::Owned(filtered));
        Ok(true)
    }
}

impl Source {
    fn parse(name: &str, named: &NamedPieces) -> Result<Self, String> {
        let text =
            |text: &str| if text.is_empty() { Err(format!("{{{name}}} names nothing")) } else { Ok(text.to_owned()) };
        if let Some((_, source)) = named.iter().find(|(known, _)| known == name) {
            return Ok(source.clone());
        }
        match name {
            "body" => return Ok(Self::Body),
            "body.decoded" => return Ok(Self::Decoded),
            "id" => return Ok(Self::Id),
            "timestamp" => return Ok(Self::Timestamp),
            "secret" => return Ok(Self::Secret),
            "method" => return Ok(Self::Method),
            "url" => return Ok(Self::Url(UrlPart::Full)),
            _ => {}
        }
        if let Some(pointer) = name.strip_prefix("json").filter(|pointer| pointer.starts_with('/')) {
            return Ok(Self::At(Place::Json(Pointer::parse(pointer)?)));
        }
        match name.split_once('.') {
            Some(("header", header)) => {
                let header = header.parse().map_err(|_| format!("\"{header}\" is not a header's name"))?;
                Ok(Self::At(Place::Header(header)))
            }
            Some(("query", name)) => Ok(Self::At(Place::Query(text(name)?))),
            Some(("form", name)) => Ok(Self::At(Place::Form(text(name)?))),
            Some(("claim", name)) => Ok(Self::At(Place::Claim(Pointer::member(&text(name)?)))),
            Some(("value", name)) => Ok(Self::At(Place::Value(text(name)?))),
            Some(("param", name)) => Ok(Self::Param(text(name)?)),
            Some(("url", part)) => {
                let known = UrlPart::WORDS.iter().find(|(word, _)| *word == part);
                known.map(|(_, part)| Self::Url(*part)).ok_or_else(|| {
                    let known: Vec<&str> = UrlPart::WORDS.iter().map(|(word, _)| *word).collect();
                    format!("{{{name}}} is not a part of a URL, which are {}", known.join(", "))
                })
            }
            _ => Err(format!(
                "{{{name}}} is not a piece, write {{body}}, {{id}}, {{timestamp}}, {{secret}}, {{method}}, {{url}}, {{header.X-Name}}, {{query.name}}, {{form.name}}, {{json/pointer}} or one of your own [signature.pieces]"
            )),
        }
    }

    /// Appends its bytes. False if it is absent.
    pub fn resolve_into<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
        bytes: &mut Bytes<'s>,
    ) -> Result<bool, Rejection> {
        let contents = &context.contents;
        bytes.push(match self {
            Self::Body => Cow::Borrowed(contents.body),
            Self::Decoded => inflate(contents.head.headers, contents.body, context.max_inflated)?,
            Self::Id => Cow::Borrowed(inputs.id),
            Self::Timestamp => Cow::Borrowed(inputs.timestamp),
            Self::Secret => Cow::Borrowed(inputs.secret),
            Self::Method => Cow::Borrowed(contents.head.method.as_bytes()),
            Self::Url(UrlPart::Query) if contents.head.url.query.is_none() => return Ok(false),
            Self::Url(part) => {
                bytes.extend(contents.head.url.part(*part).map(|text| Cow::Borrowed(text.as_bytes())));
                return Ok(true);
            }
            Self::Param(name) => match context.params.values(name) {
                [value, ..] => Cow::Borrowed(value.as_bytes()),
                [] => return Ok(false),
            },
            Self::At(place) => match place.read(context)? {
                Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
                Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
                None => return Ok(false),
            },
            Self::Template(template) => return Ok(template.resolve_into(context, inputs, bytes)?.is_none()),
            Self::Fields(fields) => match fields.resolve(context, inputs)? {
                Some(fields) => Cow::Owned(fields),
                None => return Ok(false),
            },
        });
        Ok(true)
    }
}
