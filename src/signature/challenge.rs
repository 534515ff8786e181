//! Requests by which a provider only asks whether somebody is there, or whether it is the right one. They are answered
//! by the gateway and never forwarded.
//!
//! Whoever knows the URL can send one, so a challenge repeats and signs nothing but values of a narrow shape.

mod reading;
mod shape;
mod visit;
mod wording;
mod words;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq;

use super::algorithm::{Algorithm, KeyedHmac, Tag};
use super::encoding::Encoding;
use super::place::{Contents, Params, Place};
use super::request::Head;
use super::secret::Secret;
use crate::rejection::Rejection;
use shape::Shape;
use visit::Visit;
use wording::{Fill, Piece, Wording};

pub use reading::read_all;

/// A request that is answered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What logs call it: kebab-case, and no sibling has it.
    pub name: String,
    pub method: Method,
    /// True where it is verified like any other message before it is answered.
    pub signed: bool,
    when: When,
    echo: Option<Echo>,
    mac: Option<Mac>,
    act: Act,
}

/// Which requests are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum When {
    /// All of these hold. There may be none.
    All(Vec<Condition>),
    /// The body says this, compared as JSON.
    Body(serde_json::Value),
}

/// A value of the request and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    place: Place,
    /// Any of these will do; where there are none, it must only be there.
    is: Vec<Wording>,
}

/// The value that the request asks to have back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Echo {
    place: Place,
    shape: Shape,
    /// In bytes.
    max: usize,
}

/// What is computed of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mac {
    /// An HMAC or a plain hash.
    algorithm: Algorithm,
    /// Has the echo once.
    signs: Wording,
    encoding: Encoding,
    prefix: String,
}

/// What is done about a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    /// It is answered so; `None`: as what was accepted is.
    Answer(Option<Form>),
    /// A URL that it names is visited first.
    Visit(Visit),
    /// It brings the secret, and may want something back.
    Learn(Place, Option<Form>),
}

/// How an answer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    status: StatusCode,
    headers: Vec<(HeaderName, Wording)>,
    body: FormBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FormBody {
    Empty,
    Text(Wording),
    Json(Wording),
}

/// What a source gives to the challenges of its provider.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// The key bytes of its first secret.
    pub key: Option<Secret>,
    pub verify_token: Option<Secret>,
    pub params: Params,
    /// The URL as the provider was given it, without its query.
    pub url: Option<String>,
    /// True where a secret may still be learned.
    pub learns: bool,
}

/// What a challenge that was met wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This answer; `None`: as what was accepted is answered.
    Answer(Option<Answer>),
    /// A visit to this URL, and then an answer as to what was accepted.
    Visit(String),
    /// This is the secret from now on; then this answer.
    Learn(Secret, Option<Answer>),
}

/// An answer, made of nothing but what a preset says and values of a narrow shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    Empty,
    Text(String),
    Json(String),
}

/// The challenges that a source answers, with what it gives to them.
#[derive(Debug, Default)]
pub struct Challenges {
    answered: Vec<Challenge>,
    means: Means,
}

/// A challenge that a request turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    pub name: String,
    /// True where the request was verified first.
    pub signed: bool,
    pub wanted: Wanted,
}

impl Challenges {
    /// Those of a provider's challenges for which `means` are enough.
    pub fn new(all: &[Challenge], means: Means) -> Self {
        let answered = all.iter().filter(|challenge| challenge.lacks(&means).is_empty()).cloned().collect();
        Self { answered, means }
    }

    /// The names of those that are answered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.answered.iter().map(|challenge| challenge.name.as_str())
    }

    /// What the source gives to them.
    pub fn means(&self) -> &Means {
        &self.means
    }

    /// True if one of them comes unsigned by `method`.
    pub fn come_by(&self, method: &Method) -> bool {
        self.answered.iter().any(|challenge| !challenge.signed && challenge.method == *method)
    }

    /// True if one of them comes unsigned and is told by its body.
    pub fn stand_in_bodies(&self) -> bool {
        self.answered.iter().any(|challenge| !challenge.signed && !challenge.is_in_head())
    }

    /// The one that comes unsigned and is told by this head alone.
    ///
    /// # Errors
    /// What [`Challenge::judge`] says.
    pub fn in_head(&self, head: Head<'_>) -> Result<Option<Met>, Rejection> {
        let contents = Contents { head, body: &[], json: &[] };
        self.find(contents, false, |challenge| !challenge.signed && challenge.is_in_head())
    }

    /// The one that comes unsigned, and is this whole request.
    ///
    /// # Errors
    /// What [`Challenge::judge`] says.
    pub fn unsigned(&self, contents: Contents<'_>) -> Result<Option<Met>, Rejection> {
        self.find(contents, false, |challenge| !challenge.signed)
    }

    /// The one that a request is whose signature is good.
    ///
    /// # Errors
    /// What [`Challenge::judge`] says.
    pub fn genuine(&self, contents: Contents<'_>) -> Result<Option<Met>, Rejection> {
        self.find(contents, true, |challenge| !challenge.learns())
    }

    /// True if a stranger could have had `text` signed by one of them, by `algorithm` and under the source's secret.
    pub fn could_have_signed(&self, algorithm: Algorithm, text: &[u8]) -> bool {
        self.answered.iter().any(|challenge| challenge.could_have_signed(algorithm, text, &self.means))
    }

    /// True if the answer of one of them is signed with the source's secret.
    pub fn are_keyed(&self) -> bool {
        self.answered.iter().any(Challenge::is_keyed)
    }

    /// The first that the request is. One that it is not quite is only said of it if it is no other.
    fn find(
        &self,
        contents: Contents<'_>,
        signed: bool,
        meant: impl Fn(&Challenge) -> bool,
    ) -> Result<Option<Met>, Rejection> {
        let mut refused = None;
        let by_method = |challenge: &&Challenge| challenge.method.as_str() == contents.head.method;
        for challenge in self.answered.iter().filter(by_method).filter(|challenge| meant(challenge)) {
            match challenge.judge(contents, &self.means) {
                Ok(Some(wanted)) => return Ok(Some(Met { name: challenge.name.clone(), signed, wanted })),
                Ok(None) => {}
                Err(rejection) => {
                    refused.get_or_insert(rejection);
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }
}

impl Challenge {
    /// Challenges are not looked for in bodies above this.
    pub const MAX_LEN: usize = 8192;

    /// What a source must give for it to be answered, and does not, in the words of its keys.
    pub fn lacks(&self, means: &Means) -> Vec<String> {
        let mut lacks = Vec::new();
        if self.is_keyed() && means.key.is_none() {
            lacks.push("a secret".to_owned());
        }
        if matches!(self.act, Act::Learn(..)) && !means.learns {
            lacks.push("a secret with learn = true".to_owned());
        }
        for piece in self.wordings().flat_map(Wording::pieces) {
            let lacked = match piece {
                Piece::VerifyToken if means.verify_token.is_none() => "verify_token".to_owned(),
                Piece::UrlBase if means.url.is_none() => "public_url".to_owned(),
                Piece::Param(name) if means.params.values(name).is_empty() => format!("params.{name}"),
                _ => continue,
            };
            if !lacks.contains(&lacked) {
                lacks.push(lacked);
            }
        }
        lacks
    }

    /// The parameters that it reads.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.wordings().flat_map(Wording::pieces).filter_map(|piece| match piece {
            Piece::Param(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// True where it goes by the source's `verify_token`.
    pub fn wants_verify_token(&self) -> bool {
        self.wordings().flat_map(Wording::pieces).any(|piece| *piece == Piece::VerifyToken)
    }

    /// True where it signs the URL.
    pub fn signs_url(&self) -> bool {
        self.wordings().flat_map(Wording::pieces).any(|piece| *piece == Piece::UrlBase)
    }

    /// True where it brings the secret.
    pub fn learns(&self) -> bool {
        matches!(self.act, Act::Learn(..))
    }

    /// True where its answer is signed with the source's secret.
    pub fn is_keyed(&self) -> bool {
        self.mac.as_ref().is_some_and(|mac| matches!(mac.algorithm, Algorithm::Hmac(_)))
    }

    /// True if it is told without a body.
    pub fn is_in_head(&self) -> bool {
        let places = match &self.when {
            When::Body(_) => return false,
            When::All(conditions) => conditions.iter().map(|condition| &condition.place),
        };
        let learned = match &self.act {
            Act::Learn(place, _) => Some(place),
            Act::Answer(_) | Act::Visit(_) => None,
        };
        !matches!(self.act, Act::Visit(_))
            && places.chain(self.echo.as_ref().map(|echo| &echo.place)).chain(learned).all(Place::is_in_head)
    }

    /// A body that is this challenge, where it is told by its whole body.
    pub fn example_body(&self) -> Option<String> {
        match &self.when {
            When::Body(body) => Some(body.to_string()),
            When::All(_) => None,
        }
    }

    /// What `contents` want done, if they are this challenge. The method is the caller's to compare.
    ///
    /// # Errors
    /// `ChallengeMalformed` where a value is not of its shape, `ClaimMismatch` where it names another verify token, or
    /// wants a URL visited that is none of the provider's, `HeaderConflict` where a value is there twice. Nothing of it
    /// may be repeated.
    pub fn judge(&self, contents: Contents<'_>, means: &Means) -> Result<Option<Wanted>, Rejection> {
        if contents.body.len() > Self::MAX_LEN || !self.is_meant(contents, means)? {
            return Ok(None);
        }
        let echo = match &self.echo {
            None => None,
            Some(echo) => match echo.place.read_contents(contents)? {
                None => return Ok(None),
                Some(value) if echo.shape.fits(value.as_bytes(), echo.max) => Some(value),
                Some(_) => return Err(self.malformed(&echo.place, echo.shape)),
            },
        };
        let echo = echo.as_deref().unwrap_or_default();
        let mac = match &self.mac {
            None => String::new(),
            Some(mac) => match mac.text(echo, means) {
                Some(text) => text,
                None => return Ok(None),
            },
        };
        let fill = Fill { means, echo, mac: &mac };
        match &self.act {
            Act::Answer(None) => Ok(Some(Wanted::Answer(None))),
            Act::Answer(Some(form)) => Ok(form.fill(fill).map(|answer| Wanted::Answer(Some(answer)))),
            Act::Visit(visit) => Ok(visit.url(contents)?.map(Wanted::Visit)),
            Act::Learn(place, form) => {
                let Some(secret) = place.read_contents(contents)? else { return Ok(None) };
                if !Shape::Token.fits(secret.as_bytes(), Echo::MAX) {
                    return Err(self.malformed(place, Shape::Token));
                }
                let answer = match form {
                    None => None,
                    Some(form) => match form.fill(fill) {
                        Some(answer) => Some(answer),
                        None => return Ok(None),
                    },
                };
                Ok(Some(Wanted::Learn(Secret::new(secret.as_bytes().to_vec()), answer)))
            }
        }
    }

    /// True if a stranger could have had `text` signed by this challenge, under the source's secret and by `algorithm`.
    pub fn could_have_signed(&self, algorithm: Algorithm, text: &[u8], means: &Means) -> bool {
        let (Some(mac), Some(echo)) = (&self.mac, &self.echo) else { return false };
        if !self.is_keyed() || mac.algorithm != algorithm {
            return false;
        }
        let Some((before, after)) = mac.signs.around_echo(means) else { return false };
        let middle = text.strip_prefix(before.as_slice()).and_then(|rest| rest.strip_suffix(after.as_slice()));
        middle.is_some_and(|middle| echo.shape.fits(middle, echo.max))
    }

    fn malformed(&self, place: &Place, shape: Shape) -> Rejection {
        Rejection::ChallengeMalformed(format!("{}: what stands in {place} is no {}", self.name, shape.as_str()))
    }

    fn is_meant(&self, contents: Contents<'_>, means: &Means) -> Result<bool, Rejection> {
        let conditions = match &self.when {
            When::Body(body) => {
                return Ok(serde_json::from_slice::<serde_json::Value>(contents.body).is_ok_and(|found| found == *body));
            }
            When::All(conditions) => conditions,
        };
        let mut stranger = false;
        for condition in conditions {
            let Some(found) = condition.place.read_contents(contents)? else { return Ok(false) };
            if condition.is.is_empty() && !found.is_empty() || condition.has(&found, means) {
                continue;
            }
            if !condition.is.iter().flat_map(Wording::pieces).any(|piece| *piece == Piece::VerifyToken) {
                return Ok(false);
            }
            stranger = true;
        }
        // It is this challenge in all else, so whoever set it up should hear why it is not answered.
        if stranger {
            return Err(Rejection::ClaimMismatch(format!("{}: it names another verify token", self.name)));
        }
        Ok(true)
    }

    fn wordings(&self) -> impl Iterator<Item = &Wording> {
        let conditions = match &self.when {
            When::All(conditions) => conditions.as_slice(),
            When::Body(_) => &[],
        };
        let form = match &self.act {
            Act::Answer(form) | Act::Learn(_, form) => form.as_ref(),
            Act::Visit(_) => None,
        };
        let answered = form.into_iter().flat_map(|form| {
            let body = match &form.body {
                FormBody::Empty => None,
                FormBody::Text(wording) | FormBody::Json(wording) => Some(wording),
            };
            form.headers.iter().map(|(_, wording)| wording).chain(body)
        });
        let signed = self.mac.iter().map(|mac| &mac.signs);
        conditions.iter().flat_map(|condition| &condition.is).chain(signed).chain(answered)
    }
}

impl Condition {
    /// True if `found` is one of what it may be. Compared in a time that only tells the lengths.
    fn has(&self, found: &str, means: &Means) -> bool {
        let same = |wanted: &[u8]| !wanted.is_empty() && bool::from(found.as_bytes().ct_eq(wanted));
        self.is.iter().fold(false, |matched, is| {
            let matches = match is.as_param() {
                Some(name) => means.params.values(name).iter().fold(false, |any, value| same(value.as_bytes()) | any),
                None => is.resolve(Fill { means, echo: "", mac: "" }).is_some_and(|wanted| same(&wanted)),
            };
            matches | matched
        })
    }
}

impl Echo {
    /// The most bytes, unless a preset says so.
    const MAX: usize = 256;
}

impl Mac {
    /// What is computed of `echo`, as the answer has it. `None` where the source lacks what it takes.
    fn text(&self, echo: &str, means: &Means) -> Option<String> {
        let signed = self.signs.resolve(Fill { means, echo, mac: "" })?;
        let tag: Tag = match self.algorithm {
            Algorithm::Hmac(hash) => {
                KeyedHmac::new(hash, means.key.as_ref()?.expose()).tag([signed.as_slice()].into_iter())
            }
            Algorithm::Digest(hash) => hash.digest([signed.as_slice()].into_iter()),
            _ => return None,
        };
        Some(format!("{}{}", self.prefix, self.encoding.encode(&tag)))
    }
}

impl Form {
    /// The answer. `None` where the source lacks what a piece stands for.
    fn fill(&self, fill: Fill<'_>) -> Option<Answer> {
        let header = |(name, wording): &(HeaderName, Wording)| {
            Some((name.clone(), HeaderValue::try_from(wording.text(fill)?).ok()?))
        };
        let headers = self.headers.iter().map(header).collect::<Option<_>>()?;
        let body = match &self.body {
            FormBody::Empty => AnswerBody::Empty,
            FormBody::Text(wording) => AnswerBody::Text(wording.text(fill)?),
            FormBody::Json(wording) => AnswerBody::Json(wording.json(fill)?),
        };
        Some(Answer { status: self.status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Faults, Table};
    use crate::signature::algorithm::Hash;
    use crate::signature::preset::Preset;
    use crate::signature::request::PublicUrl;
    use http::HeaderMap;

    const SCHEME: &str = "[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n[[challenge]]\nname = \"c\"\n";

    fn faults(challenge: &str) -> String {
        let faults = Preset::from_file("own", "own.toml", &format!("{SCHEME}{challenge}")).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    fn means() -> Means {
        Means {
            key: Some(Secret::new(b"secret".to_vec())),
            verify_token: Some(Secret::new(b"vt-0123456789".to_vec())),
            params: Params::new(vec![("key".into(), vec!["pk".into(), "pk2".into()])]),
            url: Some("https://hooks.example.com/in".into()),
            learns: true,
        }
    }

    fn challenge(text: &str) -> Challenge {
        let file = format!("{SCHEME}{text}");
        let preset = Preset::from_file("own", "own.toml", &file).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        preset.profile.challenges[0].clone()
    }

    fn judge_with(
        challenge: &Challenge,
        query: &str,
        headers: &[(&str, &str)],
        body: &str,
        means: &Means,
    ) -> Result<Option<Wanted>, Rejection> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let url = PublicUrl { base: "", query: Some(query) };
        let head = Head { method: challenge.method.as_str(), url, headers: &map };
        challenge.judge(Contents { head, body: body.as_bytes(), json: body.as_bytes() }, means)
    }

    fn text_of(wanted: Result<Option<Wanted>, Rejection>) -> String {
        match wanted {
            Ok(Some(Wanted::Answer(Some(Answer {
                body: AnswerBody::Text(text) | AnswerBody::Json(text), ..
            })))) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_value_is_echoed_as_its_shape_allows_and_else_refused() {
        let it = challenge("method = \"GET\"\necho = { query = \"c\", max = 8 }\nanswer = { text = \"{echo}\" }");
        let judge = |query| judge_with(&it, query, &[], "", &means());
        assert_eq!(text_of(judge("c=abc-_.~8")), "abc-_.~8");
        assert_eq!(judge("d=1"), Ok(None));
        for bad in ["c=", "c=%3Cscript%3E", "c=a%0d%0ab", "c=123456789", "c=%7B%22a%22%3A1%7D"] {
            assert!(matches!(judge(bad), Err(Rejection::ChallengeMalformed(_))), "{bad}");
        }
        assert!(matches!(judge("c=1&c=2"), Err(Rejection::HeaderConflict(_))));
        let json = challenge("method = \"GET\"\necho = { query = \"c\" }\nanswer = { json = '{\"c\":{echo}}' }");
        assert_eq!(text_of(judge_with(&json, "c=a", &[], "", &means())), r#"{"c":"a"}"#);
    }

    #[test]
    fn every_condition_must_hold() {
        let it = challenge("when = [{ json = \"/type\", is = [\"a\", \"b\"] }, { header = \"X-K\" }]");
        let judge = |headers: &[(&str, &str)], body| judge_with(&it, "", headers, body, &means());
        assert_eq!(judge(&[("x-k", "1")], r#"{"type":"b"}"#), Ok(Some(Wanted::Answer(None))));
        for (headers, body) in [
            (&[("x-k", "1")][..], r#"{"type":"c"}"#),
            (&[("x-k", "")], r#"{"type":"a"}"#),
            (&[], r#"{"type":"a"}"#),
            (&[("x-k", "1")], ""),
        ] {
            assert_eq!(judge(headers, body), Ok(None), "{headers:?} {body}");
        }
        let padding = "x".repeat(Challenge::MAX_LEN);
        assert_eq!(judge(&[("x-k", "1")], &format!(r#"{{"type":"a","p":"{padding}"}}"#)), Ok(None), "too large");
    }

    #[test]
    fn a_whole_body_is_compared_as_json() {
        let it = challenge("body = '{\"a\":[1,2],\"b\":null}'\nsigned = false");
        let judge = |body| judge_with(&it, "", &[], body, &means());
        assert_eq!(judge("{ \"b\": null, \"a\": [1, 2] }"), Ok(Some(Wanted::Answer(None))));
        for other in ["", "{}", "{\"a\":[1,2]}", "{\"a\":[2,1],\"b\":null}"] {
            assert_eq!(judge(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn the_verify_token_decides_and_a_parameter_may_be_a_list() {
        let it = challenge(
            "method = \"GET\"\nwhen = [{ query = \"t\", is = \"{verify_token}\" }, { query = \"k\", is = \"{param.key}\" }]\nanswer = { status = 204 }",
        );
        let judge = |query| judge_with(&it, query, &[], "", &means());
        assert!(matches!(judge("t=vt-0123456789&k=pk"), Ok(Some(_))));
        assert!(matches!(judge("t=vt-0123456789&k=pk2"), Ok(Some(_))));
        assert_eq!(judge("t=vt-0123456789&k=other"), Ok(None));
        assert!(matches!(judge("t=vt-0123456780&k=pk"), Err(Rejection::ClaimMismatch(_))));
        assert_eq!(judge("t=wrong&k=other"), Ok(None), "it is not this challenge in all else");
        assert_eq!(it.lacks(&means()), [""; 0]);
        assert_eq!(it.lacks(&Means::default()), ["verify_token", "params.key"]);
        let only = Challenges::new(std::slice::from_ref(&it), Means::default());
        assert!(!only.come_by(&Method::GET), "what lacks something is not answered");
    }

    #[test]
    fn what_a_stranger_could_have_signed_is_known() {
        let it = challenge(
            "method = \"GET\"\necho = { query = \"c\", max = 16 }\nmac = { algorithm = \"hmac-sha256\", signs = \"v0:{echo}:x\" }\nanswer = { text = \"{mac}\" }",
        );
        let could = |text: &str| it.could_have_signed(Algorithm::Hmac(Hash::Sha256), text.as_bytes(), &means());
        assert!(could("v0:abc:x") && could("v0:0123456789abcdef:x"));
        for not in ["v0::x", "v0:abc:y", "abc", "v0:x", "v0:{\"a\":1}:x", "v0:0123456789abcdef0:x", ""] {
            assert!(!could(not), "{not}");
        }
        assert!(!it.could_have_signed(Algorithm::Hmac(Hash::Sha1), b"v0:abc:x", &means()), "by another algorithm");
        assert_eq!(it.lacks(&Means::default()), ["a secret"]);
    }

    #[test]
    fn a_fault_says_where_and_what_instead() {
        let get = "method = \"GET\"\necho = { query = \"c\" }\n";
        for (text, wanted) in [
            ("", "own.toml:5:8: [challenge]: nothing tells it from an event"),
            ("method = \"PUT\"", "own.toml:6:10: [challenge]: method: \"PUT\" is not one of POST"),
            ("method = \"GET\"\nsigned = true", "own.toml:7:10: [challenge]: signed: the provider signs no GET"),
            ("method = \"GET\"\nwhen = [{ json = \"/a\" }]", "only a POST has a body to look into"),
            ("when = [{ claim = \"a\" }]", "a challenge is read before its signature"),
            ("when = [{ json = \"/a\", is = [] }]", "an empty list matches nothing"),
            ("when = [{ json = \"/a\", is = \"{echo}\" }]", "{echo} is not known here"),
            ("when = [{ json = \"/a\" }]\nbody = '{}'", "body already says all of it"),
            ("echo = { query = \"c\" }", "nothing is done with it, put {echo} into the answer"),
            ("echo = { query = \"c\", shape = \"any\" }", "shape: \"any\" is not known"),
            ("echo = { query = \"c\", max = 4096 }", "max: 4096 is not a whole number from 1 to 1024"),
            (&format!("{get}answer = {{ text = \"{{mac}}\" }}"), "{mac} is not known here"),
            (&format!("{get}answer = {{ text = \"{{echo}}\", json = '{{}}' }}"), "text or json"),
            (&format!("{get}answer = {{ json = '{{\"c\":\"{{echo}}\"}}' }}"), "each piece brings its own quotes"),
            (
                &format!("{get}answer = {{ headers = {{ \"Content-Type\" = \"{{echo}}\" }} }}"),
                "the gateway writes it itself",
            ),
            (&format!("{get}answer = {{ headers = {{ \"a b\" = \"{{echo}}\" }} }}"), "is not a header's name"),
            (&format!("{get}answer = {{ status = 302, text = \"{{echo}}\" }}"), "a whole number from 200 to 299"),
            (
                &format!("{get}mac = {{ algorithm = \"hmac-sha256\" }}\nanswer = {{ text = \"{{echo}}\" }}"),
                "put {mac} into the answer",
            ),
            (&format!("{get}mac = {{ algorithm = \"hmac-sha256\", signs = \"x\" }}"), "must have {echo} once"),
            (&format!("{get}mac = {{ algorithm = \"hmac-sha256\", encoding = \"text\" }}"), "\"text\" is not known"),
            (&format!("{get}mac = {{ algorithm = \"ed25519\" }}"), "\"ed25519\" is not known"),
            (
                "method = \"GET\"\necho = { query = \"c\", shape = \"text\" }\nmac = { algorithm = \"hmac-sha256\" }\nanswer = { text = \"{mac}\" }",
                "only an echo of the shape \"token\" or \"hex\" is",
            ),
            ("method = \"HEAD\"\nmac = { algorithm = \"sha256\" }", "it is computed of the echo"),
            (
                "when = [{ json = \"/t\", is = \"x\" }]\nvisit = { json = \"/u\", hosts = [\"a.example.com\"] }",
                "when compares with a parameter",
            ),
            (
                "when = [{ json = \"/t\", is = \"{param.t}\" }]\nvisit = { json = \"/u\", hosts = [] }",
                "`hosts` is missing",
            ),
            ("learn = { header = \"X-H\" }", "what brings the secret cannot be signed by it yet"),
            ("when = [{ json = \"/a\" }]\nanwser = { status = 200 }", "unknown key `anwser`, did you mean `answer`?"),
            (
                "when = [{ json = \"/a\" }]\n[[challenge]]\nname = \"c\"\nmethod = \"HEAD\"",
                "another one is called \"c\" too",
            ),
        ] {
            let found = faults(text);
            assert!(found.contains(wanted), "{text}\n{found}");
        }
        let nameless = "[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n[[challenge]]\nmethod = \"HEAD\"";
        let found = Faults::default();
        let document = Table::parse("own.toml", nameless, &found);
        read_all(&crate::document::Reader::new(&document, "", &found), None, &[Method::POST]);
        assert!(found.into_sorted()[0].to_string().contains("`name` is missing"));
    }

    #[test]
    fn a_mac_is_no_way_to_a_token_or_a_public_key() {
        let challenge = "[[challenge]]\nname = \"c\"\nmethod = \"GET\"\necho = { query = \"c\" }\nmac = { algorithm = \"hmac-sha256\" }\nanswer = { text = \"{mac}\" }";
        for (scheme, wanted) in [
            ("algorithm = \"jwt\"\nalgorithms = [\"HS256\"]\nheader = \"X-S\"\nunsigned_body = true", "signed tokens"),
            ("algorithm = \"ed25519\"\nheader = \"X-S\"", "keys are public"),
        ] {
            let faults = Preset::from_file("own", "own.toml", &format!("[signature]\n{scheme}\n{challenge}"));
            let faults = faults.expect_err("a fault");
            assert!(faults.iter().any(|fault| fault.text.contains(wanted)), "{faults:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_request_breaks_one(query in "[a-c=&%0-9<>{}]{0,60}", body in proptest::collection::vec(0u8.., 0..100)) {
            let body = String::from_utf8_lossy(&body);
            for preset in Preset::all() {
                for challenge in &preset.profile.challenges {
                    let _ = judge_with(challenge, &query, &[("x-hook-secret", "a b")], &body, &means());
                }
            }
        }
    }
}
