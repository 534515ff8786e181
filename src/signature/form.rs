//! Form fields: `name=value` pairs of a query or a body, and the parts of a multipart body.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::json;

/// Decodes one name or value: `+` is a space, `%XX` a byte. `None` where the bytes are not UTF-8.
fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if text.contains(&b'+') {
        let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        return Some(Cow::Owned(percent_decode(&spaced).decode_utf8().ok()?.into_owned()));
    }
    percent_decode(text).decode_utf8().ok()
}

/// The fields of `form` in their order, decoded. A field that is not UTF-8 comes as `None`.
///
/// Source: WHATWG URL, 5.1, but that bytes which are not UTF-8 are not replaced.
pub fn fields(form: &[u8]) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[pair.len()..]),
        };
        Some((decode(name)?, decode(value)?))
    })
}

/// What looking up a field that may stand there once comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    Nothing,
    Once(Cow<'a, str>),
    Repeated,
}

/// The value of the field called `name`.
pub fn find<'a>(form: &'a [u8], name: &str) -> Found<'a> {
    let mut found = Found::Nothing;
    for (_, value) in fields(form).flatten().filter(|(field, _)| field == name) {
        match found {
            Found::Nothing => found = Found::Once(value),
            _ => return Found::Repeated,
        }
    }
    found
}

/// True if every upstream reads the names in `read`, those that a scheme goes by, as this does: nothing else is taken for
/// one of them. Some ignore case or space around a name, end it at a NUL or a bracket, read dots and spaces as underscores;
/// and some take a semicolon for an ampersand.
pub fn is_unambiguous(form: &[u8], read: &[&str]) -> bool {
    if form.contains(&b';') {
        return false;
    }
    let read: Vec<(&str, String)> = read.iter().map(|name| (*name, folded(name))).collect();
    fields(form).all(|field| {
        field.is_some_and(|(name, _)| {
            let without_case = folded(&name);
            !read.iter().any(|(read, folded)| *folded == without_case && *read != name)
        })
    })
}

/// A name as the laxest upstream might read it.
fn folded(name: &str) -> String {
    let ignored = |c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}';
    let name = name.trim_start_matches(ignored).split(['\0', '[', ']']).next().unwrap_or_default();
    json::folded(name.trim_end_matches(ignored)).replace(['.', ' '], "_")
}

/// The content of the one part called `name` of a `multipart/form-data` body. `None` if there is none, or a second one,
/// and where parsers could differ over what its parts are called.
///
/// Source: RFC 7578. Of a part's headers only what names it is read.
pub fn multipart<'a>(content_type: &str, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let boundary =
        parameters(content_type)?.into_iter().find_map(|(name, value)| (name == "boundary").then_some(value))?;
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..])?;
    let mut found = None;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        let end = find_bytes(after, delimiter.as_bytes())?;
        let (part, after) = (&after[..end], &after[end + delimiter.len()..]);
        let blank = find_bytes(part, b"\r\n\r\n")?;
        if part_name(&part[..blank])? == name && found.replace(&part[blank + 4..]).is_some() {
            return None;
        }
        rest = after;
    }
    found.filter(|_| matches!(rest, b"--" | b"--\r\n"))
}

/// The name of a part, said once and plainly.
fn part_name(headers: &[u8]) -> Option<&str> {
    let headers = std::str::from_utf8(headers).ok()?;
    if headers.to_ascii_lowercase().contains("content-transfer-encoding") {
        return None;
    }
    let mut dispositions = headers.split("\r\n").filter_map(|header| {
        let (field, value) = header.split_once(':')?;
        field.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let disposition = dispositions.next()?;
    if dispositions.next().is_some() || disposition.split(';').next()?.trim() != "form-data" {
        return None;
    }
    parameters(disposition)?.into_iter().find_map(|(name, value)| (name == "name").then_some(value))
}

/// The parameters of a header's value, as in `form-data; name="json"`. `None` for anything that could be read in two
/// ways: a name twice, a star, a backslash, space around the equals sign.
fn parameters(value: &str) -> Option<Vec<(&str, &str)>> {
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    for parameter in value.split(';').skip(1) {
        let (name, value) = parameter.trim().split_once('=')?;
        let value = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if !plain
            || value.starts_with(' ')
            || value.contains(['\\', '"'])
            || parameters.iter().any(|(known, _)| *known == name)
        {
            return None;
        }
        parameters.push((name, value));
    }
    Some(parameters)
}

fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_once() {
        let found: Vec<_> = fields(b"a=1&b=%2B+%C3%A9&&c&d=%252B&e=x=y").flatten().collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        assert_eq!(found, [("a", "1"), ("b", "+ é"), ("c", ""), ("d", "%2B"), ("e", "x=y")]);
        assert_eq!(fields(b"a=%FF").next(), Some(None));
        assert_eq!(fields(b"a=%F&b=%").flatten().count(), 2);
    }

    #[test]
    fn a_repeated_field_has_no_value_of_its_own() {
        assert_eq!(find(b"a=1&b=2", "b"), Found::Once("2".into()));
        assert_eq!(find(b"a=1&a=1", "a"), Found::Repeated);
        assert_eq!(find(b"a=1", "b"), Found::Nothing);
    }

    #[test]
    fn a_part_is_found_by_its_name() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\ncontent-disposition: form-data; name=\"json\"\r\nContent-Type: application/json\r\n\r\n{\"b\":2}\r\n--x--\r\n";
        assert_eq!(multipart("multipart/form-data; boundary=x", body, "json"), Some(&b"{\"b\":2}"[..]));
        assert_eq!(multipart("multipart/form-data; boundary=\"x\"", body, "a"), Some(&b"1"[..]));
        let twice = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n2\r\n--x--";
        assert_eq!(
            multipart("multipart/form-data; boundary=x", twice, "a"),
            None,
            "which one counts is anyone's guess"
        );
        assert_eq!(multipart("multipart/form-data; boundary=x", body, "c"), None);
        assert_eq!(multipart("multipart/form-data; boundary=y", body, "a"), None);
        assert_eq!(multipart("multipart/form-data", body, "a"), None);
        assert_eq!(multipart("multipart/form-data; boundary=x; boundary=y", body, "a"), None);
    }

    #[test]
    fn names_that_an_upstream_could_take_for_one_are_found() {
        for good in ["a=1&b=2", "a=1&a=2", "", "a.b=1", "from=1&From=2", "c[]=1&c[]=2", "b=%3B"] {
            assert!(is_unambiguous(good.as_bytes(), &["a", "a.b"]), "{good}");
        }
        for bad in [
            "a=1&A=2",
            "a=1&+a=2",
            "a=1&a%00x=2",
            "a=1&a[]=2",
            "a.b=1&a_b=2",
            "%ff=1",
            "a%09=1",
            "%EF%BB%BFa=1",
            "a]=1",
            "x=1;a=2",
        ] {
            assert!(!is_unambiguous(bad.as_bytes(), &["a", "a.b"]), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(body in proptest::collection::vec(0u8.., 0..200), name in ".{0,4}") {
            let _ = fields(&body).count();
            let _ = find(&body, &name);
            let _ = multipart("multipart/form-data; boundary=x", &body, &name);
        }
    }
}
