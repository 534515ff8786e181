//! A body without its `Content-Encoding`.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::header::single;
use crate::rejection::Rejection;

/// The body as it was before its `Content-Encoding`, at most `max` bytes of it.
///
/// # Errors
/// `BodyTooLarge` above `max` bytes; `SignatureMalformed` where the body is not what its header says, or the coding
/// is none of gzip, deflate and identity.
pub fn inflate<'a>(headers: &HeaderMap, body: &'a [u8], max: usize) -> Result<Cow<'a, [u8]>, Rejection> {
    match single(headers, &CONTENT_ENCODING)? {
        None => Ok(Cow::Borrowed(body)),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(Cow::Borrowed(body)),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => {
            let mut decoder = GzDecoder::new(body);
            let decoded = read(&mut decoder, max)?;
            whole(decoded, decoder.get_ref())
        }
        Some(coding) if coding.eq_ignore_ascii_case("deflate") => {
            let mut decoder = ZlibDecoder::new(body);
            let decoded = read(&mut decoder, max)?;
            whole(decoded, decoder.get_ref())
        }
        Some(_) => Err(Rejection::SignatureMalformed("the body's Content-Encoding is none we know".into())),
    }
}

/// What was decoded, if nothing is left behind it: some receivers read on there, and others do not.
fn whole<'a>(decoded: Vec<u8>, left: &[u8]) -> Result<Cow<'a, [u8]>, Rejection> {
    if left.is_empty() {
        return Ok(Cow::Owned(decoded));
    }
    Err(Rejection::SignatureMalformed("something follows the compressed body".into()))
}

fn read(decoder: impl Read, max: usize) -> Result<Vec<u8>, Rejection> {
    let mut decoded = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    match decoder.take(limit).read_to_end(&mut decoded) {
        Ok(_) if decoded.len() > max => Err(Rejection::BodyTooLarge),
        Ok(_) => Ok(decoded),
        Err(_) => Err(Rejection::SignatureMalformed("the body is not what its Content-Encoding says".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn decoded(coding: &str, body: &[u8], max: usize) -> Result<Vec<u8>, Rejection> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().expect("a value"));
        inflate(&headers, body, max).map(Cow::into_owned)
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let bomb = gzip(&vec![0; 10_000]);
        assert!(bomb.len() < 100);
        assert_eq!(decoded("gzip", &bomb, 10_000).map(|body| body.len()), Ok(10_000));
        assert_eq!(decoded("GZIP", &bomb, 9_999), Err(Rejection::BodyTooLarge));
    }

    #[test]
    fn a_body_that_is_not_what_its_header_says_is_refused() {
        assert_eq!(decoded("identity", b"x", 9), Ok(b"x".to_vec()));
        let twice = [gzip(b"x"), gzip(b"y")].concat();
        assert!(decoded("gzip", &twice, 9).is_err(), "two members");
        assert!(decoded("gzip", &[gzip(b"x"), b"y".to_vec()].concat(), 9).is_err(), "trailing bytes");
        for (coding, body) in [("gzip", &b"x"[..]), ("deflate", b"x"), ("br", b"x"), ("gzip", &gzip(b"xyz")[..20])] {
            assert!(matches!(decoded(coding, body, 9), Err(Rejection::SignatureMalformed(_))), "{coding}");
        }
    }
}
