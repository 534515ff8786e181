//! A list of fields as it is signed: taken from somewhere, picked, sorted, joined.

use std::borrow::Cow;

use http::HeaderName;

use super::form;
use super::header::single;
use super::json;
use super::place::{Context, Place};
use super::template::{Inputs, Source, Template};
use crate::rejection::Rejection;

/// A list of fields, as in `{ from = "form", except = ["sign"], each = "{name}={value}", join = "&" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    pub from: FieldSource,
    /// Only these; all where it is empty.
    pub only: Vec<String>,
    /// Only those whose name begins with this, in either case.
    pub prefix: String,
    pub except: Vec<String>,
    /// Headers that must be in the list, in lower case: what is checked beside the signature must be under it.
    pub required: Vec<String>,
    /// True if a field without a value is left out.
    pub skip_empty: bool,
    /// True if a field that is there twice with one value counts once.
    pub distinct: bool,
    pub sort: Sort,
    pub each: Each,
    /// What stands between two of them.
    pub join: String,
}

/// Where fields come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldSource {
    Form,
    Query,
    /// The members of the JSON document.
    Json,
    /// The headers whose names stand at a place, separated by a character.
    Headers {
        names: Place,
        separator: char,
    },
    /// Texts of the scheme's own, each a field without a name.
    Texts(Vec<Template>),
}

/// By what fields are sorted, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// By name, and those of one name by value.
    Name,
    Value,
    /// As they came.
    None,
}

impl Sort {
    /// The words of the scheme language.
    pub const WORDS: [(&'static str, Self); 3] = [("name", Self::Name), ("value", Self::Value), ("none", Self::None)];
}

/// How one field is written: literal text with `{name}` and `{value}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Each {
    parts: Vec<EachPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum EachPart {
    Literal(String),
    Name,
    Value,
}

impl Each {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            parts.push(EachPart::Literal(literal.to_owned()));
            let (part, after) = match (after.strip_prefix("name}"), after.strip_prefix("value}")) {
                (Some(after), _) => (EachPart::Name, after),
                (_, Some(after)) => (EachPart::Value, after),
                _ => return Err(format!("\"{text}\" has a slot that is neither {{name}} nor {{value}}")),
            };
            parts.push(part);
            rest = after;
        }
        parts.push(EachPart::Literal(rest.to_owned()));
        if !parts.contains(&EachPart::Value) {
            return Err(format!("\"{text}\" has no {{value}}, for example \"{{name}}={{value}}\""));
        }
        Ok(Self { parts })
    }

    /// What stands between name and value; empty where nothing does.
    fn between(&self) -> &str {
        let name = self.parts.iter().position(|part| *part == EachPart::Name);
        match name.and_then(|at| self.parts.get(at + 1)) {
            Some(EachPart::Literal(text)) => text,
            _ => "",
        }
    }

    /// True if a field's name is written too.
    pub fn has_name(&self) -> bool {
        self.parts.contains(&EachPart::Name)
    }
}

/// More headers than this are never signed by name.
const MAX_HEADERS: usize = 64;

/// More fields than this are refused: a body of separators would cost far more memory than it has bytes.
const MAX_FIELDS: usize = 1024;

type Field<'f> = (Cow<'f, str>, Cow<'f, str>);

/// Case is no difference: a field that an upstream may take for one of them must be signed with them.
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(prefix))
}

impl Fields {
    /// What they are made from, as far as a template's pieces go.
    pub fn sources(&self) -> Vec<&Source> {
        match &self.from {
            FieldSource::Texts(texts) => texts.iter().flat_map(Template::sources).collect(),
            _ => Vec::new(),
        }
    }

    /// True if `test` is true of any of [`Self::sources`].
    pub fn any(&self, test: &impl Fn(&Source) -> bool) -> bool {
        matches!(&self.from, FieldSource::Texts(texts) if texts.iter().any(|text| text.any(test)))
    }

    /// True if the field called `name` is among them, were it there.
    pub fn picks(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|known| known == name))
            && (self.prefix.is_empty() || has_prefix(name, &self.prefix))
            && !self.except.iter().any(|known| known == name)
    }

    /// True if a value holds what separates two fields, and then what separates a name from its value.
    fn could_be_two(&self, value: &str) -> bool {
        let between = self.each.between();
        !self.join.is_empty()
            && !between.is_empty()
            && value.split_once(self.join.as_str()).is_some_and(|(_, rest)| rest.contains(between))
    }

    /// True if every field is among them but those that are left out by name.
    pub fn picks_all(&self) -> bool {
        self.only.is_empty() && self.prefix.is_empty()
    }

    /// The fields as they are signed. `None` where what they come from is not there.
    ///
    /// # Errors
    /// `SignatureMalformed` for a field that is not UTF-8; what a piece of a text says.
    pub fn resolve<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
    ) -> Result<Option<Vec<u8>>, Rejection> {
        let Some(mut fields) = self.collect(context, inputs)? else { return Ok(None) };
        if fields.len() > MAX_FIELDS {
            return Err(Rejection::SignatureMalformed(format!("more than {MAX_FIELDS} fields")));
        }
        fields.retain(|(name, value)| self.picks(name) && !(self.skip_empty && value.is_empty()));
        match self.sort {
            Sort::Name => fields.sort(),
            Sort::Value => fields.sort_by(|(_, one), (_, other)| one.cmp(other)),
            Sort::None => {}
        }
        if self.distinct {
            fields.dedup();
        }
        let mut text = String::new();
        for (place, (name, value)) in fields.iter().enumerate() {
            if place > 0 {
                text.push_str(&self.join);
            }
            for part in &self.each.parts {
                text.push_str(match part {
                    EachPart::Literal(literal) => literal,
                    EachPart::Name => name,
                    EachPart::Value => value,
                });
            }
        }
        Ok(Some(text.into_bytes()))
    }

    fn collect<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
    ) -> Result<Option<Vec<Field<'s>>>, Rejection> {
        let contents = context.contents;
        let utf8 = || Rejection::SignatureMalformed("a signed field is not UTF-8".into());
        Ok(Some(match &self.from {
            FieldSource::Form => {
                form::fields(contents.body).take(MAX_FIELDS + 1).collect::<Option<_>>().ok_or_else(utf8)?
            }
            FieldSource::Query => {
                let query = contents.head.url.query.unwrap_or_default();
                form::fields(query.as_bytes()).take(MAX_FIELDS + 1).collect::<Option<_>>().ok_or_else(utf8)?
            }
            FieldSource::Json => match json::members(contents.json) {
                Some(members) => {
                    members.into_iter().map(|(name, value)| (name, json::text(value).unwrap_or_default())).collect()
                }
                None => return Ok(None),
            },
            FieldSource::Headers { names, separator } => {
                let wrong = |why: &str| Rejection::SignatureMalformed(format!("the list of signed headers {why}"));
                let Some(listed) = names.read(context)? else { return Ok(None) };
                let mut fields: Vec<Field<'s>> = Vec::new();
                for name in listed.split(*separator).map(|name| name.trim().to_ascii_lowercase()) {
                    let header: HeaderName = name.parse().map_err(|_| wrong("has what is no header"))?;
                    if fields.len() == MAX_HEADERS || fields.iter().any(|(known, _)| *known == name) {
                        return Err(wrong("is too long, or has one twice"));
                    }
                    let Some(value) = single(contents.head.headers, &header)? else { return Ok(None) };
                    if self.could_be_two(value) {
                        return Err(wrong("has one whose value could be read as two"));
                    }
                    fields.push((Cow::Owned(name), Cow::Borrowed(value.trim())));
                }
                if let Some(missing) = self.required.iter().find(|name| !fields.iter().any(|(known, _)| known == *name))
                {
                    return Err(wrong(&format!("lacks {missing}")));
                }
                fields
            }
            FieldSource::Texts(texts) => {
                let mut fields = Vec::new();
                for text in texts {
                    let bytes = text.resolve(context, inputs)?.concat();
                    fields.push((Cow::Borrowed(""), Cow::Owned(String::from_utf8(bytes).map_err(|_| utf8())?)));
                }
                fields
            }
        }))
    }
}
