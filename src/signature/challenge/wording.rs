//! Text with pieces in braces: what a challenge compares, signs and answers.

use super::Means;
use crate::document::nearest;

/// Text with pieces in braces; other braces are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wording {
    parts: Vec<Part>,
    written: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Piece(Piece),
}

/// What fills a place in a wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The value that the request asks to have back.
    Echo,
    /// What was computed of it.
    Mac,
    /// The source's `verify_token`.
    VerifyToken,
    /// The URL as the provider was given it, without its query.
    UrlBase,
    /// One of the source's `params`.
    Param(String),
}

/// What fills the pieces. Those of a request are empty where a wording has none.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'f> {
    pub means: &'f Means,
    pub echo: &'f str,
    pub mac: &'f str,
}

impl Piece {
    pub const ECHO: &'static str = "echo";
    pub const MAC: &'static str = "mac";
    pub const VERIFY_TOKEN: &'static str = "verify_token";
    pub const URL_BASE: &'static str = "url.base";
    pub const PARAM: &'static str = "param.name";

    /// The piece that is written so, one of `known`.
    fn parse(word: &str, known: &[&'static str]) -> Result<Self, String> {
        let piece = match word {
            Self::ECHO => Some((Self::ECHO, Self::Echo)),
            Self::MAC => Some((Self::MAC, Self::Mac)),
            Self::VERIFY_TOKEN => Some((Self::VERIFY_TOKEN, Self::VerifyToken)),
            Self::URL_BASE => Some((Self::URL_BASE, Self::UrlBase)),
            _ => word.strip_prefix("param.").map(|name| (Self::PARAM, Self::Param(name.to_owned()))),
        };
        match piece.filter(|(kind, _)| known.contains(kind)) {
            Some((_, piece)) => Ok(piece),
            None => Err(match nearest(word, known.iter().copied()) {
                Some(near) if near != word => format!("{{{word}}} is not known here, did you mean {{{near}}}?"),
                _ => {
                    let known: Vec<String> = known.iter().map(|word| format!("{{{word}}}")).collect();
                    format!("{{{word}}} is not known here, write {}", known.join(" or "))
                }
            }),
        }
    }

    fn bytes<'f>(&self, fill: Fill<'f>) -> Option<&'f [u8]> {
        match self {
            Self::Echo => Some(fill.echo.as_bytes()),
            Self::Mac => Some(fill.mac.as_bytes()),
            Self::VerifyToken => fill.means.verify_token.as_ref().map(|token| token.expose()),
            Self::UrlBase => fill.means.url.as_deref().map(str::as_bytes),
            Self::Param(name) => fill.means.params.values(name).first().map(String::as_bytes),
        }
    }
}

impl Wording {
    /// Reads a wording in which the pieces in `known` may stand.
    ///
    /// # Errors
    /// Which piece is none of them, as a fragment.
    pub fn parse(text: &str, known: &[&'static str]) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            literal.push_str(before);
            let word = after[1..].split_once('}').filter(|(word, _)| is_word(word));
            match word {
                Some((word, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Piece(Piece::parse(word, known)?));
                    rest = after;
                }
                None => {
                    literal.push('{');
                    rest = &after[1..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts, written: text.to_owned() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Its pieces, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Piece(piece) => Some(piece),
        })
    }

    /// The parameter that it is and nothing else.
    pub fn as_param(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Piece(Piece::Param(name))] => Some(name),
            _ => None,
        }
    }

    /// The bytes that it comes to. `None` where the source lacks what a piece stands for.
    pub fn resolve(&self, fill: Fill<'_>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => bytes.extend_from_slice(text.as_bytes()),
                Part::Piece(piece) => bytes.extend_from_slice(piece.bytes(fill)?),
            }
        }
        Some(bytes)
    }

    /// The same as text. `None` also where a piece is none, which only a secret can be.
    pub fn text(&self, fill: Fill<'_>) -> Option<String> {
        String::from_utf8(self.resolve(fill)?).ok()
    }

    /// The same as JSON, in which each piece is a string with its quotes.
    pub fn json(&self, fill: Fill<'_>) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Piece(piece) => {
                    let value = std::str::from_utf8(piece.bytes(fill)?).ok()?;
                    text.push_str(&serde_json::to_string(value).ok()?);
                }
            }
        }
        Some(text)
    }

    /// What stands before and after the echo in the bytes. `None` where it is not there, or the source lacks something.
    pub fn around_echo(&self, means: &Means) -> Option<(Vec<u8>, Vec<u8>)> {
        let at = self.parts.iter().position(|part| *part == Part::Piece(Piece::Echo))?;
        let side = |parts: &[Part]| {
            Self { parts: parts.to_vec(), written: String::new() }.resolve(Fill { means, echo: "", mac: "" })
        };
        Some((side(&self.parts[..at])?, side(&self.parts[at + 1..])?))
    }
}

/// True for what is meant as a piece; anything else in braces is text.
fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::place::Params;
    use crate::signature::secret::Secret;

    fn means() -> Means {
        Means {
            verify_token: Some(Secret::new(b"vt".to_vec())),
            params: Params::new(vec![("key".into(), vec!["p\"k".into()])]),
            url: Some("https://x/in".into()),
            ..Means::default()
        }
    }

    const ALL: [&str; 5] = [Piece::ECHO, Piece::MAC, Piece::VERIFY_TOKEN, Piece::URL_BASE, Piece::PARAM];

    #[test]
    fn pieces_are_filled_and_other_braces_are_text() {
        let means = means();
        let fill = Fill { means: &means, echo: "e", mac: "m" };
        let resolved = |text| Wording::parse(text, &ALL).expect("a wording").text(fill);
        assert_eq!(resolved("{echo}{verify_token}{url.base}").as_deref(), Some("evthttps://x/in"));
        assert_eq!(resolved("{param.key}|{mac}").as_deref(), Some("p\"k|m"));
        assert_eq!(resolved("{ \"a\": {\"b\":1} {").as_deref(), Some("{ \"a\": {\"b\":1} {"));
        assert_eq!(resolved("{param.other}"), None, "the source has no such parameter");
        let json = Wording::parse(r#"{"a":{echo},"b":{param.key}}"#, &ALL).expect("a wording");
        assert_eq!(json.json(fill).as_deref(), Some(r#"{"a":"e","b":"p\"k"}"#));
    }

    #[test]
    fn an_unknown_piece_is_a_fault() {
        let wrong = |text, known: &[&'static str]| Wording::parse(text, known).expect_err("a fault");
        assert_eq!(wrong("{ecko}", &ALL), "{ecko} is not known here, did you mean {echo}?");
        assert_eq!(wrong("{verify_token}", &[Piece::ECHO]), "{verify_token} is not known here, write {echo}");
    }
}
