//! What a template writes: JSON, and not too much of it.

use std::io;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value};

use super::{MAX_MADE, MAX_OUTPUT};

/// How deep arrays and objects may stand in each other: as deep as JSON is read.
const MAX_NESTING: usize = 128;

/// What a template has written, up to the longest message.
#[derive(Debug, Default)]
pub struct Limited(Vec<u8>);

/// How many bytes of values were written so far, also into text that a template keeps for later.
#[derive(Debug, Default)]
struct Written(usize);

impl Limited {
    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_OUTPUT - self.0.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a value as JSON. Text that was captured is JSON already, and stands as it is.
pub fn write(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let mut text = String::new();
    match value.as_str() {
        Some(captured) if value.is_safe() => text.push_str(captured),
        _ => push(&mut text, value, 0)?,
    }
    let written = state.get_or_insert_extension(Written::default());
    written.0 += text.len();
    if written.0 > MAX_MADE {
        return Err(too_long());
    }
    output.write_str(&text).map_err(|_| too_long())
}

/// A value as JSON text.
pub fn to_json(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    push(&mut text, value, 0)?;
    Ok(text)
}

/// What does not fit into a message need not be made.
pub fn too_long() -> Error {
    Error::new(ErrorKind::WriteFailure, "too long")
}

fn push(text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_NESTING {
        return Err(Error::new(ErrorKind::BadSerialization, "nested too deep"));
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => text.push_str("null"),
        ValueKind::Bool | ValueKind::Number => push_plain(text, value)?,
        ValueKind::String => {
            let plain = value.as_str().unwrap_or_default();
            if plain.len() > MAX_MADE {
                return Err(too_long());
            }
            push_plain(text, plain)?;
        }
        ValueKind::Seq | ValueKind::Iterable => {
            text.push('[');
            for (at, item) in value.try_iter()?.checked().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                push(text, &item?, depth + 1)?;
            }
            text.push(']');
        }
        ValueKind::Map => {
            text.push('{');
            for (at, name) in value.try_iter()?.checked().enumerate() {
                let name = name?;
                if at > 0 {
                    text.push(',');
                }
                match name.as_str() {
                    Some(name) => push_plain(text, name)?,
                    None => return Err(Error::new(ErrorKind::NonKey, "a name is text")),
                }
                text.push(':');
                push(text, &value.get_item(&name)?, depth + 1)?;
            }
            text.push('}');
        }
        _ => return Err(Error::new(ErrorKind::BadSerialization, "no JSON stands for it")),
    }
    if text.len() > MAX_MADE { Err(too_long()) } else { Ok(()) }
}

fn push_plain(text: &mut String, value: impl serde::Serialize) -> Result<(), Error> {
    let written = serde_json::to_string(&value);
    text.push_str(&written.map_err(|_| Error::new(ErrorKind::BadSerialization, "no JSON stands for it"))?);
    Ok(())
}

/// JSON without the spaces between its parts. Names, their order and how numbers are written stay.
pub fn compact(json: &[u8]) -> Vec<u8> {
    let (mut within, mut escaped) = (false, false);
    let keep = |byte: &&u8| {
        let is_space = !within && byte.is_ascii_whitespace();
        match (**byte, escaped) {
            (b'"', false) => within = !within,
            (b'\\', false) => {
                escaped = within;
                return true;
            }
            _ => {}
        }
        escaped = false;
        !is_space
    };
    json.iter().filter(keep).copied().collect()
}
