//! Texts with placeholders, as `{event.id}`.

use crate::document::nearest;

/// A piece of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<W> {
    Literal(String),
    Word(W),
}

/// Takes a text apart. A placeholder is lower-case words with dots between them, in braces and nothing else, so that
/// braces of JSON need no escaping.
///
/// # Errors
/// A placeholder that is none of `words`, with the one that was most likely meant.
pub fn parse<W: Copy>(text: &str, words: &[(&'static str, W)]) -> Result<Vec<Piece<W>>, String> {
    let mut pieces = Vec::new();
    let (mut literal, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        literal.push_str(before);
        let Some(name) = placeholder(after) else {
            literal.push('{');
            rest = after;
            continue;
        };
        let Some((_, word)) = words.iter().find(|(known, _)| *known == name) else {
            return Err(unknown(name, words.iter().map(|(known, _)| *known)));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Word(*word));
        rest = &after[name.len() + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The name in front of the brace that ends it.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('}')?;
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_');
    (plain && !name.is_empty()).then_some(name)
}

fn unknown(name: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("there is no {{{name}}}, did you mean {{{near}}}?"),
        None => {
            let known: Vec<String> = known.map(|known| format!("{{{known}}}")).collect();
            format!("there is no {{{name}}}, write {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [(&str, u8); 2] = [("event.id", 1), ("event.type", 2)];

    #[test]
    fn braces_that_hold_anything_else_are_text() {
        let pieces = parse(r#"{"a":{},"b":{event.id},"{c}}":{"#, &[("event.id", 1), ("c", 3)]);
        let text = |text: &str| Piece::Literal(text.into());
        let all = [text(r#"{"a":{},"b":"#), Piece::Word(1), text(r#",""#), Piece::Word(3), text(r#"}":{"#)];
        assert_eq!(pieces, Ok(all.to_vec()));
        assert_eq!(parse::<u8>("", &WORDS), Ok(Vec::new()));
    }

    #[test]
    fn a_placeholder_that_nobody_knows_is_refused() {
        assert_eq!(parse("{event.typ}", &WORDS), Err("there is no {event.typ}, did you mean {event.type}?".into()));
        assert_eq!(parse("{x}", &WORDS), Err("there is no {x}, write {event.id}, {event.type}".into()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it_and_nothing_is_lost(text in "[{}a-b.é\"]{0,40}") {
            if let Ok(pieces) = parse(&text, &[("a", "{a}"), ("a.b", "{a.b}")]) {
                let joined: String = pieces.iter().map(|piece| match piece {
                    Piece::Literal(text) => text.as_str(),
                    Piece::Word(word) => word,
                }).collect();
                proptest::prop_assert_eq!(joined, text);
            }
        }
    }
}
