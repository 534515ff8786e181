//! A request as its provider sent it: what a scheme may read.

use http::HeaderMap;

/// What stands before a request's body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a str,
    pub url: PublicUrl<'a>,
    pub headers: &'a HeaderMap,
}

/// The URL that the provider calls: as it was given to the provider, with the query of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicUrl<'a> {
    /// Scheme, host and path, as in `https://hooks.example.com/in/twilio`.
    pub base: &'a str,
    /// Without the question mark, as received; `None` where there is none.
    pub query: Option<&'a str>,
}

/// A part of a URL that a scheme may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlPart {
    /// All of it.
    Full,
    /// Without the query.
    Base,
    /// Scheme, host and port.
    Origin,
    /// Host, and port where it is written.
    Host,
    Path,
    /// Path and query.
    Target,
    /// Without the question mark.
    Query,
}

impl UrlPart {
    /// The names in a template, after `url.`.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("base", Self::Base),
        ("origin", Self::Origin),
        ("host", Self::Host),
        ("path", Self::Path),
        ("target", Self::Target),
        ("query", Self::Query),
    ];

    /// True if the query is in it.
    pub fn has_query(self) -> bool {
        matches!(self, Self::Full | Self::Target | Self::Query)
    }
}

impl<'a> PublicUrl<'a> {
    /// Splits a whole URL at its query.
    pub fn split(text: &'a str) -> Self {
        match text.split_once('?') {
            Some((base, query)) => Self { base, query: Some(query) },
            None => Self { base: text, query: None },
        }
    }

    /// The pieces that make up a part, to be joined.
    pub fn part(&self, part: UrlPart) -> [&'a str; 3] {
        let (origin, path) = self.origin_and_path();
        let (mark, query) = self.query.map_or(("", ""), |query| ("?", query));
        match part {
            UrlPart::Full => [self.base, mark, query],
            UrlPart::Base => [self.base, "", ""],
            UrlPart::Origin => [origin, "", ""],
            UrlPart::Host => [origin.split_once("://").map_or(origin, |(_, host)| host), "", ""],
            UrlPart::Path => [path, "", ""],
            UrlPart::Target => [path, mark, query],
            UrlPart::Query => [query, "", ""],
        }
    }

    fn origin_and_path(&self) -> (&'a str, &'a str) {
        let after_scheme = self.base.find("://").map_or(0, |at| at + 3);
        match self.base[after_scheme..].find('/') {
            Some(at) => self.base.split_at(after_scheme + at),
            None => (self.base, "/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(url: &str, part: UrlPart) -> String {
        PublicUrl::split(url).part(part).concat()
    }

    #[test]
    fn a_url_is_taken_apart_without_changing_a_byte() {
        let url = "https://Hooks.example.com:8443/in/a%20b?x=1&x=%C3%A9";
        assert_eq!(part(url, UrlPart::Full), url);
        assert_eq!(part(url, UrlPart::Base), "https://Hooks.example.com:8443/in/a%20b");
        assert_eq!(part(url, UrlPart::Origin), "https://Hooks.example.com:8443");
        assert_eq!(part(url, UrlPart::Host), "Hooks.example.com:8443");
        assert_eq!(part(url, UrlPart::Path), "/in/a%20b");
        assert_eq!(part(url, UrlPart::Target), "/in/a%20b?x=1&x=%C3%A9");
        assert_eq!(part(url, UrlPart::Query), "x=1&x=%C3%A9");
    }

    #[test]
    fn an_empty_query_keeps_its_mark() {
        assert_eq!(part("https://x/a?", UrlPart::Full), "https://x/a?");
        assert_eq!(part("https://x/a", UrlPart::Target), "/a");
        assert_eq!(part("https://x", UrlPart::Path), "/");
    }
}
