//! A genuine message, what can be changed of it without its secret, and how it is judged.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookward::clock::UnixTime;
use hookward::rejection::Reason;
use hookward::signature::place::Params;
use hookward::signature::secret::Secret;
use hookward::signature::{self, Signed};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::support::NOW;
use crate::vectors::{judge, scheme, verifier};

pub const URL: &str = "https://hooks.example.com/in";

/// A message, and who judges it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// A preset, or a document.
    pub scheme: String,
    /// What verifies.
    pub secret: String,
    pub method: String,
    pub signed: Signed,
    pub now: i64,
}

impl Message {
    /// One that the provider's own library signed or confirmed: `case` of `tests/vectors/{provider}.jsonl`.
    pub fn recorded(provider: &str, case: &str) -> Self {
        let file = std::fs::read_to_string(format!("tests/vectors/{provider}.jsonl")).expect("the vectors");
        let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).expect("a recorded request"));
        let found = lines.into_iter().find(|line| line["case"] == case).unwrap_or_else(|| panic!("{provider} {case}"));
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let secret = match &found["secret"] {
            Value::Object(object) => match object.get("certificates_by_url") {
                Some(Value::Object(certificates)) => text(certificates.values().next().expect("a certificate")),
                _ => {
                    text(object.values().find(|value| value.as_str().is_some_and(|key| key.len() > 50)).expect("a key"))
                }
            },
            secret => text(secret),
        };
        let header = |pair: &Value| {
            let (name, value) = (text(&pair[0]).to_ascii_lowercase(), text(&pair[1]));
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::try_from(value).expect("a value"))
        };
        let headers = found["headers"].as_array().expect("a list").iter().map(header).collect();
        let body = STANDARD.decode(text(&found["body_b64"])).expect("base64");
        Self {
            scheme: provider.to_owned(),
            secret,
            method: text(&found["method"]),
            signed: Signed { url: text(&found["url"]), headers, body },
            now: found["now"].as_i64().expect("a time"),
        }
    }

    /// One that the scheme itself signed.
    pub fn made(text: &str, secret: &str, body: &str) -> Self {
        let headers = HeaderMap::new();
        let (timestamp, params) = (UnixTime(NOW), Params::default());
        let message = signature::Message {
            id: "",
            timestamp,
            method: "POST",
            url: URL,
            headers: &headers,
            body: body.as_bytes(),
        };
        let signed = scheme(text).sign(message, &[Secret::new(secret.into())], &params).expect("a signature");
        Self { scheme: text.to_owned(), secret: secret.to_owned(), method: "POST".into(), signed, now: NOW }
    }

    pub fn judge(&self) -> Result<(), Reason> {
        let verifier = verifier(scheme(&self.scheme), &[("main", &self.secret)]);
        let verifier = verifier.unwrap_or_else(|(_, why)| panic!("{}: the key {why}", self.scheme));
        judge(&verifier, &self.method, &self.signed, self.now).map(|_| ())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.signed.body).expect("text")
    }

    /// With `to` where `from` stands in the body.
    pub fn body(mut self, from: &str, to: &str) -> Self {
        assert!(self.text().contains(from), "{from} is not in {}", self.text());
        self.signed.body = self.text().replacen(from, to, 1).into_bytes();
        self
    }

    /// With more members at the end of the JSON object that the body is.
    pub fn members(mut self, more: &str) -> Self {
        let object = self.text().trim_end().strip_suffix('}').expect("an object");
        self.signed.body = format!("{object},{more}}}").into_bytes();
        self
    }

    /// With more bytes behind the body.
    pub fn behind(mut self, more: impl AsRef<[u8]>) -> Self {
        self.signed.body.extend_from_slice(more.as_ref());
        self
    }

    /// With `to` where `from` stands in the URL.
    pub fn url(mut self, from: &str, to: &str) -> Self {
        assert!(self.signed.url.contains(from), "{from} is not in {}", self.signed.url);
        self.signed.url = self.signed.url.replacen(from, to, 1);
        self
    }

    pub fn query(mut self, query: &str) -> Self {
        assert!(!self.signed.url.contains('?'), "{} has one", self.signed.url);
        self.signed.url = format!("{}?{query}", self.signed.url);
        self
    }

    pub fn header(mut self, name: impl TryInto<HeaderName, Error: std::fmt::Debug>, value: &str) -> Self {
        let name = name.try_into().expect("a name");
        self.signed.headers.insert(name, HeaderValue::try_from(value).expect("a value"));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.signed.headers.remove(name).expect("a header");
        self
    }

    pub fn value(&self, name: &str) -> &str {
        self.signed.headers[name].to_str().expect("visible ASCII")
    }

    pub fn kind(self, kind: &str) -> Self {
        self.header(CONTENT_TYPE, kind)
    }

    /// Sent to who verifies by another scheme.
    pub fn to(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }
}

/// What it is, a genuine message, what becomes of it, and why that is refused.
pub type Row = (&'static str, Message, fn(Message) -> Message, Reason);

pub fn check(rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for (what, genuine, forge, reason) in rows {
        assert_eq!(genuine.judge(), Ok(()), "{what}: the genuine one");
        let forged = forge(genuine.clone());
        assert_ne!(forged, genuine, "{what}");
        let verdict = forged.judge();
        if verdict != Err(reason) {
            wrong.push(format!("{what}: {verdict:?}, not {reason:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
