//! What is signed: pieces joined verbatim, as in `{id}.{timestamp}.{body}`.

use super::Piece;

/// The signed bytes of a scheme, as the pieces that make them.
///
/// Invariant: at least one piece, and no `{…}` that is not one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Piece(Piece),
}

/// The values that fill a [`Template`].
#[derive(Debug, Clone, Copy)]
pub struct Pieces<'a> {
    pub body: &'a [u8],
    pub id: &'a [u8],
    pub timestamp: &'a [u8],
    pub secret: &'a [u8],
}

impl Template {
    /// Reads a template: literal text with `{body}`, `{id}`, `{timestamp}` or `{secret}` in it.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("\"{text}\" has a `{{` without its `}}`"))?;
            parts.push(Part::Piece(Piece::named(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        if parts.iter().all(|part| matches!(part, Part::Literal(_))) {
            return Err(format!("\"{text}\" signs nothing of the message, for example \"{{timestamp}}.{{body}}\""));
        }
        Ok(Self(parts))
    }

    /// True if `piece` is among the signed pieces.
    pub fn has(&self, piece: Piece) -> bool {
        self.0.contains(&Part::Piece(piece))
    }

    /// Hands the signed bytes to `update`, part by part.
    pub fn feed(&self, pieces: Pieces<'_>, mut update: impl FnMut(&[u8])) {
        for part in &self.0 {
            update(match part {
                Part::Literal(literal) => literal,
                Part::Piece(Piece::Body) => pieces.body,
                Part::Piece(Piece::Id) => pieces.id,
                Part::Piece(Piece::Timestamp) => pieces.timestamp,
                Part::Piece(Piece::Secret) => pieces.secret,
            });
        }
    }

    /// Refuses templates in which two different messages could have the same signed bytes.
    ///
    /// # Errors
    /// What to write instead, as a fragment.
    pub fn check_unambiguous(&self) -> Result<(), &'static str> {
        for (place, part) in self.0.iter().enumerate() {
            match (part, self.0.get(place + 1)) {
                (Part::Piece(Piece::Body), Some(_)) => {
                    return Err("{body} must be the last piece of signs: what follows it could be part of a body");
                }
                (Part::Piece(_), Some(Part::Piece(_))) => {
                    return Err("two pieces of signs stand side by side: put a separator such as \".\" between them");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// True if `id` could swallow what follows it: with `{id}.{timestamp}`, an id that has a dot
    /// would let two different messages have the same signed bytes.
    pub fn is_ambiguous_with(&self, id: &str) -> bool {
        self.0.windows(2).any(|pair| match pair {
            [Part::Piece(Piece::Id), Part::Literal(next)] => {
                // Also across the id's end: with `{id}::{body}`, an id that ends in a colon has two readings.
                let followed = [id.as_bytes(), next].concat();
                followed.windows(next.len()).take(id.len()).any(|window| window == next.as_slice())
            }
            _ => false,
        })
    }
}

impl Piece {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "body" => Ok(Self::Body),
            "id" => Ok(Self::Id),
            "timestamp" => Ok(Self::Timestamp),
            "secret" => Ok(Self::Secret),
            _ => Err(format!("{{{name}}} is not a piece, write {{body}}, {{id}}, {{timestamp}} or {{secret}}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let mut bytes = Vec::new();
        let pieces = Pieces { body: b"B", id: b"I", timestamp: b"1", secret: b"S" };
        Template::parse(template).expect("a template").feed(pieces, |part| bytes.extend_from_slice(part));
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn pieces_are_joined_verbatim() {
        assert_eq!(filled("v0:{timestamp}:{body}"), "v0:1:B");
        assert_eq!(filled("{id}.{timestamp}.{body}"), "I.1.B");
        assert_eq!(filled("{secret}"), "S");
    }

    #[test]
    fn a_template_without_a_message_is_refused() {
        for bad in ["", "fixed", "{body", "{bdy}", "{}"] {
            assert!(Template::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pieces_that_could_run_together_are_refused() {
        let check = |text| Template::parse(text).expect("a template").check_unambiguous().is_ok();
        assert!(check("{id}.{timestamp}.{body}") && check("v0:{timestamp}:{body}") && check("{secret}"));
        assert!(!check("{body}.{id}") && !check("{id}{body}") && !check("{body}{body}"));
    }

    #[test]
    fn an_id_that_has_the_next_literal_is_ambiguous() {
        let template = Template::parse("{id}.{timestamp}.{body}").expect("a template");
        assert!(template.is_ambiguous_with("msg.1"));
        assert!(!template.is_ambiguous_with("msg_1"));
        let template = Template::parse("{id}::{body}").expect("a template");
        assert!(template.is_ambiguous_with("evt:") && template.is_ambiguous_with("e::v"));
        assert!(!template.is_ambiguous_with("e:v"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "[{}a-z.]{0,40}") {
            let _ = Template::parse(&text);
        }
    }
}
