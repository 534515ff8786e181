//! A raw HTTP request, as a capture or a hand writes it.

use std::io::{self, Read};

use http::{HeaderMap, HeaderName, HeaderValue};

/// More headers than this are no webhook.
const MAX_HEADERS: usize = 100;

/// A request as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRequest {
    pub method: String,
    /// What stands between method and version.
    pub target: String,
    pub headers: HeaderMap,
    /// Everything behind the blank line.
    pub body: Vec<u8>,
}

impl RawRequest {
    /// Reads standard input to its end.
    ///
    /// # Errors
    /// What is wrong with it, for the terminal.
    pub fn from_stdin() -> Result<Self, String> {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(|error| format!("cannot read standard input: {error}"))?;
        Self::parse(&bytes)
    }

    /// Reads a request line, headers, a blank line and a body. Lines may end in a newline alone.
    ///
    /// # Errors
    /// What is wrong with it, for the terminal.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(bytes);
        let length = match parsed.map_err(|error| format!("standard input is not a raw HTTP request: {error}"))? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => {
                return Err("the raw HTTP request has no blank line after its headers".into());
            }
        };
        let mut map = HeaderMap::new();
        for header in request.headers.iter() {
            let wrong = || format!("the header {} is not one", header.name);
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| wrong())?;
            map.append(name, HeaderValue::from_bytes(header.value).map_err(|_| wrong())?);
        }
        if map.contains_key(http::header::TRANSFER_ENCODING) {
            return Err("the body is in chunks: give the bytes themselves, without Transfer-Encoding".into());
        }
        Ok(Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers: map,
            body: bytes[length..].to_vec(),
        })
    }

    /// The whole URL: the one given, with the request's query where it has none; else what the request says, as https.
    pub fn url(&self, given: Option<&str>) -> String {
        let query = self.target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        match given {
            Some(url) if url.contains('?') => url.to_owned(),
            Some(url) => format!("{url}{query}"),
            None if self.target.contains("://") => self.target.clone(),
            None => {
                let host = self.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                format!("https://{host}{}", self.target)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_to_its_last_byte() {
        let raw = RawRequest::parse(b"POST /in?x=1 HTTP/1.1\r\nHost: h\r\nX-A:  b \r\n\r\n{}\n").expect("a request");
        assert_eq!((raw.method.as_str(), raw.target.as_str(), raw.body.as_slice()), ("POST", "/in?x=1", &b"{}\n"[..]));
        assert_eq!(raw.headers["x-a"], "b");
        assert_eq!(raw.url(None), "https://h/in?x=1");
        assert_eq!(raw.url(Some("http://g/p")), "http://g/p?x=1");
        assert_eq!(raw.url(Some("http://g/p?y")), "http://g/p?y");
        assert!(RawRequest::parse(b"POST / HTTP/1.1\nHost: h\n\nbody").is_ok(), "newlines alone");
    }

    #[test]
    fn what_is_no_request_says_why() {
        for bad in
            ["", "{}", "POST / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"]
        {
            assert!(RawRequest::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
