//! Bodies as the provider might have signed this one.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};

use super::Cause;
use crate::signature::json;
use crate::signature::request::Head;

/// A body as it might have been when it was signed.
pub struct Variant {
    pub cause: Cause,
    /// What would have been done to it since, and the way out.
    pub detail: String,
    pub body: Vec<u8>,
}

/// A compressed body is not followed above this many bytes.
const MAX_INFLATED: u64 = 16 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Other bodies that the request may have had, the likeliest first.
pub fn variants(head: Head<'_>, body: &[u8]) -> impl Iterator<Item = Variant> {
    let mut variants = Vec::new();
    let mut add = |cause, detail: &str, changed: Option<Vec<u8>>| {
        if let Some(changed) = changed.filter(|changed| changed != body) {
            variants.push(Variant { cause, detail: detail.to_owned(), body: changed });
        }
    };
    let ends = |end: &[u8]| body.strip_suffix(end).map(<[u8]>::to_vec);
    let with = |end: &[u8]| Some([body, end].concat());
    add(Cause::NewlineAdded, "a newline was added at the body's end: pass the bytes on as they came", ends(b"\n"));
    add(Cause::NewlineAdded, "a newline was added at the body's end: pass the bytes on as they came", ends(b"\r\n"));
    add(
        Cause::NewlineRemoved,
        "the newline at the body's end was taken away: pass the bytes on as they came",
        with(b"\n"),
    );
    add(
        Cause::NewlineRemoved,
        "the newline at the body's end was taken away: pass the bytes on as they came",
        with(b"\r\n"),
    );
    let text = std::str::from_utf8(body).ok();
    let endings = "the body's line endings were changed: pass the bytes on as they came";
    add(Cause::LineEndings, endings, text.map(|text| text.replace("\r\n", "\n").into_bytes()));
    add(Cause::LineEndings, endings, text.map(|text| text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()));
    let mark = "a byte order mark was added before the body, or taken away";
    add(Cause::ByteOrderMark, mark, body.strip_prefix(BOM).map(<[u8]>::to_vec));
    add(Cause::ByteOrderMark, mark, Some([BOM, body].concat()));

    let charset = "the body's charset was changed, between Latin-1 and UTF-8: pass the bytes on as they came";
    let latin = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
    add(Cause::CharsetChanged, charset, text.and_then(latin));
    add(
        Cause::CharsetChanged,
        charset,
        Some(body.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()),
    );

    let compressed = "the body is compressed and was signed before: pass it on as it came, with its Content-Encoding";
    add(Cause::BodyCompressed, compressed, inflated(GzDecoder::new(body)));
    add(Cause::BodyCompressed, compressed, inflated(ZlibDecoder::new(body)));

    let length = head.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let cut = "the capture has more bytes than Content-Length says: what follows is not part of the body";
    add(Cause::BodyCut, cut, length.and_then(|length: usize| body.get(..length)).map(<[u8]>::to_vec));

    if json::is_json(body) {
        let text = text.unwrap_or_default();
        for (layout, name) in LAYOUTS {
            let laid = layout.map_or_else(|| text.to_owned(), |layout| lay_out(text, layout));
            for (escape, how) in ESCAPES {
                let detail = format!(
                    "the body was parsed and written again: as {name}{how} it matches; pass the bytes on as they came, before any JSON parser"
                );
                add(Cause::BodyReserialized, &detail, Some(escape(&laid).into_bytes()));
            }
        }
    }
    variants.into_iter()
}

fn inflated(decoder: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.take(MAX_INFLATED).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// What stands between the values of a document.
#[derive(Debug, Clone, Copy)]
struct Layout {
    between: &'static str,
    after_name: &'static str,
    /// Spaces a level, each value on a line of its own.
    indent: Option<usize>,
}

const LAYOUTS: [(Option<Layout>, &str); 5] = [
    (None, "it is"),
    (Some(Layout { between: ",", after_name: ":", indent: None }), "compact JSON"),
    (
        Some(Layout { between: ", ", after_name: ": ", indent: None }),
        "JSON with spaces after commas and colons (Python's default)",
    ),
    (Some(Layout { between: ",", after_name: ": ", indent: Some(2) }), "JSON indented by two spaces"),
    (Some(Layout { between: ",", after_name: ": ", indent: Some(4) }), "JSON indented by four spaces"),
];

type Escape = fn(&str) -> String;

const ESCAPES: [(Escape, &str); 5] = [
    (|text| text.to_owned(), ""),
    (escape_unicode, " with \\u escapes"),
    (unescape_unicode, " without \\u escapes"),
    (|text| text.replace("\\/", "/").replace('/', "\\/"), " with escaped slashes"),
    (|text| text.replace("\\/", "/"), " without escaped slashes"),
];

/// A JSON text with other space between its tokens; what stands in strings and numbers stays.
fn lay_out(text: &str, layout: Layout) -> String {
    let mut laid = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut depth) = (false, false, 0_usize);
    let mut characters = text.chars().peekable();
    let line = |laid: &mut String, depth: usize| {
        if let Some(indent) = layout.indent {
            laid.push('\n');
            laid.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    while let Some(c) = characters.next() {
        if in_string {
            laid.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => {
                in_string = true;
                laid.push(c);
            }
            '{' | '[' => {
                laid.push(c);
                while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    laid.push(close);
                } else {
                    depth += 1;
                    line(&mut laid, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut laid, depth);
                laid.push(c);
            }
            ',' => {
                laid.push_str(layout.between);
                line(&mut laid, depth);
            }
            ':' => laid.push_str(layout.after_name),
            _ => laid.push(c),
        }
    }
    laid
}

/// Every character outside ASCII as `\uXXXX`.
fn escape_unicode(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// Every `\uXXXX` of a character outside ASCII as itself.
fn unescape_unicode(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut units = Vec::new();
        while let Some(unit) = rest
            .strip_prefix("\\u")
            .and_then(|hex| u16::from_str_radix(hex.get(..4)?, 16).ok())
            .filter(|unit| *unit > 0x7f)
        {
            units.push(unit);
            rest = &rest[6..];
        }
        if units.is_empty() {
            plain.push_str(&rest[..2]);
            rest = &rest[2..];
        }
        plain.push_str(&String::from_utf16_lossy(&units));
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_changes_only_what_stands_between_values() {
        let text = "{ \"a\" : [1.50, {}, [ ]],\n \"b\\\"{,:\": \"x, y: z\" }";
        let laid = |index: usize| lay_out(text, LAYOUTS[index].0.expect("a layout"));
        assert_eq!(laid(1), r#"{"a":[1.50,{},[]],"b\"{,:":"x, y: z"}"#);
        assert_eq!(laid(2), r#"{"a": [1.50, {}, []], "b\"{,:": "x, y: z"}"#);
        assert_eq!(laid(3), "{\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"b\\\"{,:\": \"x, y: z\"\n}");
    }

    #[test]
    fn escapes_come_and_go() {
        let plain = "{\"a\":\"é 🚀 \\n\"}";
        let escaped = "{\"a\":\"\\u00e9 \\ud83d\\ude80 \\n\"}";
        assert_eq!(escape_unicode(plain), escaped);
        assert_eq!(unescape_unicode(escaped), plain);
        assert_eq!(unescape_unicode("\\u000a\\u00"), "\\u000a\\u00");
    }

    proptest::proptest! {
        #[test]
        fn no_body_breaks_it(text in ".{0,80}") {
            lay_out(&text, LAYOUTS[3].0.expect("a layout"));
            unescape_unicode(&text);
        }
    }
}
