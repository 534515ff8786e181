//! What a request calls its body.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::header::single;
use crate::rejection::Rejection;

/// The `Content-Type` of a request; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType<'h> {
    pub whole: &'h str,
    /// Type and subtype, in lower case.
    essence: String,
}

impl<'h> MediaType<'h> {
    /// Reads it.
    ///
    /// # Errors
    /// `HeaderConflict` where it is repeated.
    pub fn of(headers: &'h HeaderMap) -> Result<Self, Rejection> {
        let whole = single(headers, &CONTENT_TYPE)?.unwrap_or_default();
        Ok(Self { whole, essence: whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase() })
    }

    /// True for a form of `name=value` pairs.
    pub fn is_form(&self) -> bool {
        self.essence == "application/x-www-form-urlencoded"
    }

    /// True for a form of parts.
    pub fn is_multipart_form(&self) -> bool {
        self.essence == "multipart/form-data"
    }

    /// True where some upstream may take the body for a form, whatever else is said of it.
    pub fn could_be_form(&self) -> bool {
        let whole = self.whole.to_ascii_lowercase();
        whole.contains("urlencoded") || whole.contains("multipart")
    }

    /// True unless it names a charset in which ASCII or UTF-8 would be read otherwise.
    pub fn is_utf8(&self) -> bool {
        let mut charsets = self.whole.split(';').skip(1).filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        });
        charsets.all(|charset| {
            ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(text: &str) -> (bool, bool, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, text.parse().expect("a value"));
        let media = MediaType::of(&headers).expect("once");
        (media.is_form(), media.could_be_form(), media.is_utf8())
    }

    #[test]
    fn a_form_is_one_only_if_it_is_plainly_called_so() {
        assert_eq!(media("application/x-www-form-urlencoded; charset=UTF-8"), (true, true, true));
        assert_eq!(media("Application/X-WWW-Form-Urlencoded"), (true, true, true));
        assert_eq!(media("application/x-www-form-urlencoded, application/json"), (false, true, true));
        assert_eq!(media("application/json"), (false, false, true));
        assert_eq!(media("application/json; x=multipart/form-data"), (false, true, true));
    }

    #[test]
    fn another_charset_is_another_text() {
        assert!(media("text/plain; charset=\"utf-8\"").2);
        for bad in
            ["text/plain; charset=utf-16le", "text/plain;Charset=utf-7", "text/plain; charset=utf-8; charset=gbk"]
        {
            assert!(!media(bad).2, "{bad}");
        }
    }
}
