//! What is signed: pieces joined verbatim, as in `{id}.{timestamp}.{body}`.

mod filter;
mod piece;

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

use super::place::Context;
use crate::rejection::Rejection;
use filter::Filter;
use piece::Piece;

pub use piece::{NamedPieces, Source};

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

    /// True if a piece of it is `source` as it is, or what tells it from any other: its digest, or its bytes encoded.
    pub fn binds(&self, source: &Source) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Literal(_) => false,
            Part::Segment(template) => template.binds(source),
            Part::Piece(piece) => {
                piece.filters.iter().all(Filter::tells_apart)
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
        assert_eq!(plain("{id|base64}{id|json}"), "SQ==\"I\"");
        assert_eq!(plain("{id|sha256-raw|base64|sha256}"), plain("{id|sha256-base64|sha256}"));
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
