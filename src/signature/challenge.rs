//! Requests by which a provider only asks whether somebody is there, or whether it is the right one. They are answered
//! by the gateway and never forwarded.
//!
//! Whoever knows the URL can send one, so a challenge repeats and signs nothing but values of a narrow shape.

mod answered;
mod reading;
mod shape;
#[cfg(test)]
mod tests;
mod visit;
mod wording;
mod words;

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq;

use super::algorithm::{Algorithm, KeyedHmac, Tag};
use super::encoding::Encoding;
use super::media_type::MediaType;
use super::place::{Contents, Params, Place};
use super::secret::Secret;
use crate::rejection::Rejection;
use shape::Shape;
use visit::Visit;
use wording::{Fill, Piece, Wording};

pub use answered::{Challenges, Met};
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

impl Challenge {
    /// Challenges are not looked for in bodies above this.
    pub const MAX_LEN: usize = 8192;

    /// A shorter secret is not learned, in bytes: it could be guessed.
    const SHORTEST_SECRET: usize = 16;

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
            Some(echo) => match read(&echo.place, contents)? {
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
                let Some(secret) = read(place, contents)? else { return Ok(None) };
                if secret.len() < Self::SHORTEST_SECRET || !Shape::Token.fits(secret.as_bytes(), Echo::MAX) {
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
            let Some(found) = read(&condition.place, contents)? else { return Ok(false) };
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

/// What stands at `place`. A field is only looked for where the body is said to be a form: what customers write may have
/// `&name=value` in it, and so may the JSON of an event that tells of it.
fn read<'a>(place: &Place, contents: Contents<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    let is_form = || MediaType::of(contents.head.headers).is_ok_and(|media_type| media_type.is_form());
    if place.form().is_some() && !is_form() { Ok(None) } else { place.read_contents(contents) }
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
