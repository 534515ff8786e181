//! Where in a request a value stands.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;

use super::form::{self, Found};
use super::header::single;
use super::json::{self, Pointer};
use super::request::Head;
use super::value::ValueParts;
use crate::rejection::Rejection;

/// Where in a request a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Header(HeaderName),
    /// A parameter of the URL's query, decoded.
    Query(String),
    /// A field of the form that the body is, decoded.
    Form(String),
    /// A value of the JSON document.
    Json(Pointer),
    /// A claim of the token that the signature is.
    Claim(Pointer),
    /// A named part of the signature's value.
    Value(String),
}

/// What can be read of a request.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    pub head: Head<'a>,
    pub body: &'a [u8],
    /// The JSON that pointers point into: the body, or a part of it.
    pub json: &'a [u8],
}

/// A request and what its signature says beside it.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a, 's> {
    pub contents: Contents<'a>,
    pub value: &'s ValueParts<'s>,
    /// The claims of the token, a JSON object; empty where there is no token.
    pub claims: &'s [u8],
    pub params: &'s Params,
    /// Compressed bodies are refused above this many bytes.
    pub max_inflated: usize,
}

/// What the operator says of a source beside its secrets: named in `params`, read by `{param.name}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Vec<String>)>);

impl Params {
    /// Takes over names with their values; a list means any of them.
    pub fn new(params: Vec<(String, Vec<String>)>) -> Self {
        Self(params)
    }

    /// The values of a parameter; none where it is not set.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl Place {
    /// The name of a query parameter.
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::Query(name) => Some(name),
            _ => None,
        }
    }

    /// The name of a form field.
    pub fn form(&self) -> Option<&str> {
        match self {
            Self::Form(name) => Some(name),
            _ => None,
        }
    }

    /// The steps of a pointer into JSON; none elsewhere.
    pub fn json_steps(&self) -> &[String] {
        match self {
            Self::Json(pointer) => pointer.steps(),
            _ => &[],
        }
    }

    /// True if it can be read before the body is.
    pub fn is_in_head(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Query(_))
    }

    /// The text that stands here. `None` if there is none; JSON's `null` is none.
    ///
    /// # Errors
    /// `HeaderConflict` where a header, parameter or field stands there more than once: which one counts would be
    /// anyone's guess.
    pub fn read<'s, 'a: 's>(&self, context: &Context<'a, 's>) -> Result<Option<Cow<'s, str>>, Rejection> {
        match self {
            Self::Claim(pointer) => Ok(json::find(context.claims, pointer).and_then(json::text)),
            Self::Value(name) => Ok(context.value.named(name).map(Cow::Borrowed)),
            _ => self.read_contents(context.contents),
        }
    }

    /// The same for a place that is in the request itself. `None` for a claim or a part of a value.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_contents<'a>(&self, contents: Contents<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
        let once = |found, kind, name: &str| match found {
            Found::Nothing => Ok(None),
            Found::Once(value) => Ok(Some(value)),
            Found::Repeated => Err(Rejection::HeaderConflict(format!("{kind} {name} is repeated"))),
        };
        match self {
            Self::Header(name) => Ok(single(contents.head.headers, name)?.map(Cow::Borrowed)),
            Self::Query(name) => {
                let query = contents.head.url.query.unwrap_or_default();
                once(form::find(query.as_bytes(), name), "query parameter", name)
            }
            Self::Form(name) => once(form::find(contents.body, name), "form field", name),
            Self::Json(pointer) => Ok(json::find(contents.json, pointer).and_then(json::text)),
            Self::Claim(_) | Self::Value(_) => Ok(None),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::Form(name) => write!(f, "form field {name}"),
            Self::Json(pointer) => write!(f, "JSON {pointer}"),
            Self::Claim(pointer) => write!(f, "claim {}", pointer.to_string().trim_start_matches('/')),
            Self::Value(name) => write!(f, "{name} of the signature's value"),
        }
    }
}
