//! What is signed: pieces joined verbatim, as in `{id}.{timestamp}.{body}`.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use smallvec::SmallVec;

use super::algorithm::Hash;
use super::encoding::{Encoding, encode_hex};
use super::fields::Fields;
use super::inflate::inflate;
use super::json::Pointer;
use super::place::{Context, Place};
use super::request::UrlPart;
use crate::rejection::Rejection;

/// The signed bytes of a scheme, as the pieces that make them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Piece(Piece),
    /// `[…]`: left out whole where a piece in it is absent.
    Segment(Template),
}

/// A piece: where its bytes come from, and what becomes of them.
#[derive(Debug, Clone)]
struct Piece {
    source: Source,
    /// Written `{…?}`: empty where it is absent.
    optional: bool,
    filters: Vec<Filter>,
    /// As the scheme writes it, without the braces.
    written: String,
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

/// What becomes of a piece's bytes.
#[derive(Debug, Clone, Copy)]
enum Filter {
    Lower,
    Upper,
    Trim,
    /// The digest in an encoding.
    Digest(Hash, Encoding),
    /// CRC-32 as a decimal number.
    Crc32,
    /// Percent-encoded, but for what the set leaves.
    Encode(&'static AsciiSet),
}

/// What JavaScript's `encodeURIComponent` encodes (ECMA-262, 19.2.6.5).
const COMPONENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What its `encodeURI` encodes (ECMA-262, 19.2.6.4).
const URI: AsciiSet = COMPONENT
    .remove(b';')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',')
    .remove(b'#');

const FILTERS: [(&str, Filter); 15] = [
    ("lower", Filter::Lower),
    ("upper", Filter::Upper),
    ("trim", Filter::Trim),
    ("md5", Filter::Digest(Hash::Md5, Encoding::Hex)),
    ("sha1", Filter::Digest(Hash::Sha1, Encoding::Hex)),
    ("sha256", Filter::Digest(Hash::Sha256, Encoding::Hex)),
    ("sha384", Filter::Digest(Hash::Sha384, Encoding::Hex)),
    ("sha512", Filter::Digest(Hash::Sha512, Encoding::Hex)),
    ("md5-base64", Filter::Digest(Hash::Md5, Encoding::Base64)),
    ("sha1-base64", Filter::Digest(Hash::Sha1, Encoding::Base64)),
    ("sha256-base64", Filter::Digest(Hash::Sha256, Encoding::Base64)),
    ("sha512-base64", Filter::Digest(Hash::Sha512, Encoding::Base64)),
    ("crc32", Filter::Crc32),
    ("encode-uri", Filter::Encode(&URI)),
    ("encode-component", Filter::Encode(&COMPONENT)),
];

/// The pieces that a scheme names itself, in their order.
pub type NamedPieces = Vec<(String, Source)>;

/// What fills the pieces that stand nowhere in the request, or that were read already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'s> {
    pub id: &'s [u8],
    pub timestamp: &'s [u8],
    pub secret: &'s [u8],
}

/// The signed bytes, piece by piece, borrowed where they stand in the request.
pub type Bytes<'s> = SmallVec<[Cow<'s, [u8]>; 8]>;

/// A piece of the signed bytes, told apart for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced<'s> {
    /// As the scheme writes it; `None` for literal text.
    pub piece: Option<&'s str>,
    /// Where it stands, in words.
    pub from: String,
    pub bytes: Vec<u8>,
}

impl Template {
    /// Reads a template: literal text with `{…}` pieces and `[…]` segments; a doubled brace or bracket is literal.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str, named: &NamedPieces) -> Result<Self, String> {
        let mut rest = text;
        let template = Self::parse_until(text, &mut rest, false, named)?;
        if template.parts.iter().all(|part| matches!(part, Part::Literal(_))) {
            return Err(format!("\"{text}\" signs nothing of the message, for example \"{{timestamp}}.{{body}}\""));
        }
        Ok(template)
    }

    /// Reads a template that may be literal text alone: what a value is compared with.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse_expected(text: &str, named: &NamedPieces) -> Result<Self, String> {
        let mut rest = text;
        Self::parse_until(text, &mut rest, false, named)
    }

    fn parse_until(whole: &str, rest: &mut &str, inside: bool, named: &NamedPieces) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        loop {
            let Some(at) = rest.find(['{', '[', ']']) else {
                if inside {
                    return Err(format!("\"{whole}\" has a `[` without its `]`"));
                }
                literal.extend_from_slice(rest.as_bytes());
                *rest = "";
                break;
            };
            let mark = rest.as_bytes()[at];
            literal.extend_from_slice(&rest.as_bytes()[..at]);
            *rest = &rest[at + 1..];
            if rest.as_bytes().first() == Some(&mark) {
                literal.push(mark);
                *rest = &rest[1..];
                continue;
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            match mark {
                b'{' => {
                    let (written, after) =
                        rest.split_once('}').ok_or_else(|| format!("\"{whole}\" has a `{{` without its `}}`"))?;
                    parts.push(Part::Piece(Piece::parse(written, named)?));
                    *rest = after;
                }
                b'[' if inside => return Err(format!("\"{whole}\" has a `[` within a `[`")),
                b'[' => parts.push(Part::Segment(Self::parse_until(whole, rest, true, named)?)),
                _ if inside => break,
                _ => return Err(format!("\"{whole}\" has a `]` without its `[`, write `]]` for the character")),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The template that is the body alone.
    pub fn body() -> Self {
        let piece = Piece { source: Source::Body, optional: false, filters: Vec::new(), written: "body".into() };
        Self { parts: vec![Part::Piece(piece)] }
    }

    /// Where its pieces come from, those of named pieces among them.
    pub fn sources(&self) -> Vec<&Source> {
        let mut sources = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(_) => {}
                Part::Segment(template) => sources.extend(template.sources()),
                Part::Piece(piece) => {
                    sources.push(&piece.source);
                    match &piece.source {
                        Source::Template(template) => sources.extend(template.sources()),
                        Source::Fields(fields) => sources.extend(fields.sources()),
                        _ => {}
                    }
                }
            }
        }
        sources
    }

    /// True if `test` is true of where any of its pieces comes from, as [`Self::sources`] lists them.
    pub fn any(&self, test: &impl Fn(&Source) -> bool) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Literal(_) => false,
            Part::Segment(template) => template.any(test),
            Part::Piece(piece) => {
                test(&piece.source)
                    || match &piece.source {
                        Source::Template(template) => template.any(test),
                        Source::Fields(fields) => fields.any(test),
                        _ => false,
                    }
            }
        })
    }

    /// True if `source` is among its pieces.
    pub fn has(&self, source: &Source) -> bool {
        self.any(&|piece| piece == source)
    }

    /// Where its pieces come from, without those that may be absent.
    pub fn required_sources(&self) -> Vec<&Source> {
        let mut sources = Vec::new();
        for part in &self.parts {
            match part {
                Part::Piece(Piece { source: Source::Template(template), optional: false, .. }) => {
                    sources.extend(template.required_sources());
                }
                Part::Piece(Piece { source: Source::Fields(fields), optional: false, .. }) => {
                    sources.extend(fields.sources());
                }
                Part::Piece(piece) if !piece.optional => sources.push(&piece.source),
                _ => {}
            }
        }
        sources
    }

    /// True if the body is its last piece, so that a longer body begins with the same bytes.
    pub fn ends_in_body(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Piece(Piece { source: Source::Body, filters, .. })) if filters.is_empty())
    }

    /// True if a piece of it is `source` as it is, or a digest of it.
    pub fn binds(&self, source: &Source) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Literal(_) => false,
            Part::Segment(template) => template.binds(source),
            Part::Piece(piece) => {
                let digests = piece.filters.iter().all(|filter| matches!(filter, Filter::Digest(..)));
                digests
                    && match &piece.source {
                        Source::Template(template) => template.binds(source),
                        own => own == source,
                    }
            }
        })
    }

    /// Parameters that it reads, and whether they may be left out.
    pub fn params(&self) -> Vec<(&str, bool)> {
        let mut params = Vec::new();
        for part in &self.parts {
            match part {
                Part::Piece(Piece { source: Source::Param(name), optional, .. }) => {
                    params.push((name.as_str(), *optional))
                }
                Part::Piece(Piece { source: Source::Template(template), .. }) => params.extend(template.params()),
                Part::Segment(template) => params.extend(template.params()),
                _ => {}
            }
        }
        params
    }

    /// The signed bytes of a message.
    ///
    /// # Errors
    /// `SignatureMissing` where a piece is absent that may not be; `HeaderConflict` where one is there twice;
    /// `SignatureMalformed` where one cannot be read.
    pub fn resolve<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
    ) -> Result<Bytes<'s>, Rejection> {
        let mut bytes = Bytes::new();
        match self.resolve_into(context, inputs, &mut bytes)? {
            None => Ok(bytes),
            Some(absent) => Err(Rejection::SignatureMissing(format!("{} is signed and not there", absent.place()))),
        }
    }

    /// As [`Self::resolve`], but that a piece which is absent makes the whole absent: `None`.
    ///
    /// # Errors
    /// As [`Self::resolve`], without `SignatureMissing`.
    pub fn resolve_if_there<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
    ) -> Result<Option<Bytes<'s>>, Rejection> {
        let mut bytes = Bytes::new();
        Ok(self.resolve_into(context, inputs, &mut bytes)?.is_none().then_some(bytes))
    }

    /// Appends the bytes, and gives back the piece that is absent if one is.
    fn resolve_into<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
        bytes: &mut Bytes<'s>,
    ) -> Result<Option<&'s Piece>, Rejection> {
        for (place, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(literal) => bytes.push(Cow::Borrowed(literal)),
                Part::Piece(piece) => {
                    let before = bytes.len();
                    let there = piece.resolve_into(context, inputs, bytes)?;
                    if !there && !piece.optional {
                        return Ok(Some(piece));
                    }
                    piece.refuse_separator(&bytes[before..], self.parts.get(place + 1))?;
                }
                Part::Segment(template) => {
                    let before = bytes.len();
                    if template.resolve_into(context, inputs, bytes)?.is_some() {
                        bytes.truncate(before);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The signed bytes piece by piece, each with where it comes from. Pieces that are absent are left out.
    ///
    /// # Errors
    /// As [`Self::resolve`], without `SignatureMissing`.
    pub fn trace<'s, 'a: 's>(
        &'s self,
        context: &Context<'a, 's>,
        inputs: Inputs<'s>,
    ) -> Result<Vec<Traced<'s>>, Rejection> {
        let mut traced = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => {
                    traced.push(Traced { piece: None, from: "literal text".into(), bytes: literal.clone() });
                }
                Part::Piece(piece) => {
                    let mut bytes = Bytes::new();
                    if piece.resolve_into(context, inputs, &mut bytes)? {
                        traced.push(Traced { piece: Some(&piece.written), from: piece.place(), bytes: bytes.concat() });
                    }
                }
                Part::Segment(template) => {
                    if template.resolve_if_there(context, inputs)?.is_some() {
                        traced.extend(template.trace(context, inputs)?);
                    }
                }
            }
        }
        Ok(traced)
    }

    /// Refuses templates in which two different messages could have the same signed bytes.
    ///
    /// # Errors
    /// What to write instead, as a fragment.
    pub fn check_unambiguous(&self) -> Result<(), &'static str> {
        let mut flat = Vec::new();
        self.flatten(&mut flat);
        for (place, part) in flat.iter().enumerate() {
            match (part, flat.get(place + 1)) {
                (Part::Piece(piece), Some(_)) if piece.is_open() && piece.source == Source::Body => {
                    return Err("{body} must be the last piece of signs: what follows it could be part of a body");
                }
                (Part::Piece(Piece { source: Source::Fields(fields), filters, .. }), _)
                    if fields.join.is_empty() && filters.is_empty() =>
                {
                    return Err("the fields have nothing between them: give the piece a `join`");
                }
                (Part::Piece(piece), Some(Part::Piece(next))) if piece.is_open() && next.is_open() => {
                    return Err("two pieces of signs stand side by side: put a separator such as \".\" between them");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Its parts, with those of segments and of pieces of the scheme's own in their stead.
    fn flatten<'t>(&'t self, flat: &mut Vec<&'t Part>) {
        for part in &self.parts {
            match part {
                Part::Segment(template) => template.flatten(flat),
                Part::Piece(Piece { source: Source::Template(template), filters, .. }) if filters.is_empty() => {
                    template.flatten(flat);
                }
                part => flat.push(part),
            }
        }
    }

    /// True if `id` could swallow what follows it: with `{id}.{timestamp}`, an id that has a dot
    /// would let two different messages have the same signed bytes.
    pub fn is_ambiguous_with(&self, id: &str) -> bool {
        self.parts.windows(2).any(|pair| match pair {
            [Part::Piece(Piece { source: Source::Id, .. }), Part::Literal(next)] => {
                // Also across the id's end: with `{id}::{body}`, an id that ends in a colon has two readings.
                let id = id.as_bytes();
                let reads_on = |at: usize| id[at..].iter().chain(next).take(next.len()).eq(next);
                (0..id.len()).any(|at| next.first() == Some(&id[at]) && reads_on(at))
            }
            _ => false,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(literal) => {
                    for c in String::from_utf8_lossy(literal).chars() {
                        match c {
                            '\n' => f.write_str("\\n")?,
                            '{' | '[' | ']' => write!(f, "{c}{c}")?,
                            _ => write!(f, "{c}")?,
                        }
                    }
                }
                Part::Piece(piece) => write!(f, "{{{}}}", piece.written)?,
                Part::Segment(template) => write!(f, "[{template}]")?,
            }
        }
        Ok(())
    }
}

/// What is written the same is the same, filters included.
impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written && self.source == other.source
    }
}

impl Eq for Piece {}

impl Piece {
    fn parse(written: &str, named: &NamedPieces) -> Result<Self, String> {
        let mut words = written.split('|');
        let name = words.next().unwrap_or_default().trim();
        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        let mut filters = Vec::new();
        for word in words {
            let filter = FILTERS.iter().find(|(known, _)| *known == word.trim());
            filters.push(filter.map(|(_, filter)| *filter).ok_or_else(|| {
                let known: Vec<&str> = FILTERS.iter().map(|(known, _)| *known).collect();
                format!("\"{word}\" is not one of the filters {}", known.join(", "))
            })?);
        }
        Ok(Self { source: Source::parse(name, named)?, optional, filters, written: written.to_owned() })
    }

    /// True if its length is not known beforehand.
    fn is_open(&self) -> bool {
        !matches!(self.filters.last(), Some(Filter::Digest(..)))
    }

    /// Refuses a header or a parameter that holds what separates it from the next piece: it could swallow that.
    fn refuse_separator(&self, bytes: &[Cow<'_, [u8]>], next: Option<&Part>) -> Result<(), Rejection> {
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

    fn place(&self) -> String {
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
    fn resolve_into<'s, 'a: 's>(
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
    fn resolve_into<'s, 'a: 's>(
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

impl Filter {
    fn apply(self, bytes: &[Cow<'_, [u8]>]) -> Vec<u8> {
        match self {
            Self::Lower => bytes.concat().to_ascii_lowercase(),
            Self::Upper => bytes.concat().to_ascii_uppercase(),
            Self::Trim => bytes.concat().trim_ascii().to_vec(),
            Self::Digest(hash, encoding) => {
                let digest = hash.digest(bytes.iter().map(AsRef::as_ref));
                if encoding == Encoding::Hex { encode_hex(&digest) } else { encoding.encode(&digest) }.into_bytes()
            }
            Self::Crc32 => {
                let mut crc = crc32fast::Hasher::new();
                bytes.iter().for_each(|bytes| crc.update(bytes));
                crc.finalize().to_string().into_bytes()
            }
            Self::Encode(set) => percent_encode(&bytes.concat(), set).to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::place::{Contents, Params};
    use crate::signature::request::{Head, PublicUrl};
    use crate::signature::value::ValueParts;
    use http::HeaderMap;

    fn parse(text: &str) -> Result<Template, String> {
        Template::parse(text, &NamedPieces::new())
    }

    /// What a template makes of one message.
    fn filled(text: &str, named: &NamedPieces) -> Result<String, Rejection> {
        let template = Template::parse(text, named).unwrap_or_else(|wrong| panic!("{wrong}"));
        let mut headers = HeaderMap::new();
        headers.insert("x-one", "1".parse().expect("a value"));
        let url = PublicUrl::split("https://h/p%20q?Data.Id=AbC&x=1");
        let head = Head { method: "POST", url, headers: &headers };
        let body = br#"{"n":1.50,"s":"\u00e9","z":null}"#;
        let contents = Contents { head, body, json: body };
        let mut value = ValueParts::default();
        value.add("h", "v").expect("once");
        let params = Params::new(vec![("p".into(), vec!["P".into()])]);
        let context = Context { contents, value: &value, claims: b"", params: &params, max_inflated: 0 };
        let inputs = Inputs { id: b"I", timestamp: b"17", secret: b"S" };
        let bytes = template.resolve(&context, inputs)?.concat();
        let traced = template.trace(&context, inputs)?;
        assert_eq!(traced.iter().flat_map(|traced| traced.bytes.clone()).collect::<Vec<u8>>(), bytes, "{text}");
        Ok(String::from_utf8(bytes).expect("text"))
    }

    fn plain(text: &str) -> String {
        filled(text, &NamedPieces::new()).unwrap_or_else(|rejection| panic!("{text}: {rejection}"))
    }

    #[test]
    fn pieces_are_joined_verbatim() {
        assert_eq!(plain("v0:{timestamp}:{id}"), "v0:17:I");
        assert_eq!(plain("{secret}{method}"), "SPOST");
        assert_eq!(plain("{url}|{url.path}|{url.query}"), "https://h/p%20q?Data.Id=AbC&x=1|/p%20q|Data.Id=AbC&x=1");
        assert_eq!(plain("{header.X-One}{query.x}{json/n}{json/s}{value.h}{param.p}"), "111.50évP");
        assert_eq!(plain("{{{id}[[]]"), "{I[]");
    }

    #[test]
    fn what_is_absent_is_refused_unless_it_may_be() {
        for absent in ["{header.x-two}", "{query.y}", "{json/none}", "{json/z}", "{form.a}", "{value.k}", "{param.q}"] {
            let refused = filled(absent, &NamedPieces::new());
            assert!(matches!(refused, Err(Rejection::SignatureMissing(_))), "{absent}");
            let optional = absent.replace('}', "?}");
            assert_eq!(plain(&format!("a{optional}b{{id}}")), "abI");
            assert_eq!(plain(&format!("[a{absent}b]{{id}}")), "I");
        }
        assert_eq!(plain("[id:{query.Data.Id|lower};]ts:{timestamp};"), "id:abc;ts:17;");
    }

    #[test]
    fn filters_are_applied_from_left_to_right() {
        assert_eq!(plain("{id|sha256|upper}").len(), 64);
        assert_eq!(plain("{id|sha1}"), "ca73ab65568cd125c2d27a22bbd9e863c10b675d");
        assert_eq!(plain("{id|md5-base64}").len(), 24);
        assert_eq!(plain("{id|crc32}"), "3707901625");
        assert_eq!(plain("{url.path|encode-uri}?{url.query|encode-component}"), "/p%2520q?Data.Id%3DAbC%26x%3D1");
    }

    #[test]
    fn pieces_of_ones_own_are_used_by_their_names() {
        let inner = Template::parse("{id}-{timestamp}", &NamedPieces::new()).expect("a template");
        let named = vec![("inner".to_owned(), Source::Template(Box::new(inner)))];
        assert_eq!(filled("{inner}", &named), Ok("I-17".into()));
        assert_eq!(filled("{inner|sha256}{secret}", &named).map(|text| text.len()), Ok(65));
    }

    #[test]
    fn what_is_not_a_template_says_why() {
        for bad in [
            "",
            "plain",
            "{nonsense}",
            "{body",
            "[{body}",
            "{body}]",
            "[[{body}]",
            "[a[{body}]]",
            "{header.}",
            "{header.a b}",
            "{url.port}",
            "{query.}",
            "{body|shout}",
            "{json}",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(Template::parse_expected("plain", &NamedPieces::new()).is_ok());
    }

    #[test]
    fn a_template_is_shown_as_it_is_written() {
        for text in ["{id}.{timestamp}.{body}", "[id:{query.data.id|lower};]{body}", "{{{body}"] {
            assert_eq!(parse(text).map(|template| template.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn two_messages_never_share_their_bytes() {
        let unambiguous = |text| parse(text).expect("a template").check_unambiguous().is_ok();
        assert!(unambiguous("{id}.{timestamp}.{body}"));
        assert!(unambiguous("{body|sha256}{timestamp}"));
        for bad in ["{body}.{timestamp}", "{timestamp}{body}", "{url}{body}"] {
            assert!(!unambiguous(bad), "{bad}");
        }
        let dotted = parse("{id}.{timestamp}.{body}").expect("a template");
        assert!(dotted.is_ambiguous_with("a.1") && !dotted.is_ambiguous_with("a"));
        let colons = parse("{id}::{body}").expect("a template");
        assert!(colons.is_ambiguous_with("a:") && !colons.is_ambiguous_with("a"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in r"[\{\}\[\]|?./a-z]{0,40}") {
            if let Ok(template) = parse(&text) {
                proptest::prop_assert!(!template.to_string().is_empty());
            }
        }
    }
}
