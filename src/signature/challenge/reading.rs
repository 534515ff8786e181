//! Reads `[[challenge]]`.

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SET_COOKIE, TRANSFER_ENCODING,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, Method, StatusCode};

use super::visit::{PinnedHost, Visit};
use super::wording::{Piece, Wording};
use super::{Act, Challenge, Condition, Echo, Form, FormBody, Mac, Means, Shape, When};
use crate::document::{Node, Reader, Value};
use crate::signature::algorithm::Algorithm;
use crate::signature::encoding::Encoding;
use crate::signature::place::{Params, Place};
use crate::signature::scheme::{parse_header, read_whole_place};
use crate::signature::secret::Secret;
use crate::signature::{Mechanism, Scheme};

/// No echo is longer, whatever a preset says.
const MOST: i64 = 1024;

/// Headers that say how an answer is to be read: no challenge writes them.
const OURS: [HeaderName; 9] = [
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    LOCATION,
    SET_COOKIE,
    TRANSFER_ENCODING,
    X_CONTENT_TYPE_OPTIONS,
];

/// Every challenge that `root`'s document has, for a provider that signs by `scheme` and uses `methods`.
///
/// What is wrong with one is a fault, and it is left out.
pub fn read_all(root: &Reader<'_>, scheme: Option<&Scheme>, methods: &[Method]) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for reader in root.tables("challenge") {
        let (place, before) = (reader.place(), root.faults().count());
        let Some(challenge) = read(reader, scheme, methods) else { continue };
        let fault = |text: String| root.fault(place, text);
        if challenges.iter().any(|other| other.name == challenge.name) {
            fault(format!("challenge: another one is called \"{}\" too", challenge.name));
        } else if challenge.learns() && challenges.iter().any(Challenge::learns) {
            fault("challenge: only one can bring the secret".into());
        } else if root.faults().count() == before {
            challenges.push(challenge);
        }
    }
    challenges
}

fn read(reader: Reader<'_>, scheme: Option<&Scheme>, methods: &[Method]) -> Option<Challenge> {
    let name = reader.parse("name", parse_name);
    if !reader.has("name") {
        reader.missing("name", "\"url-verification\"");
    }
    let method = reader.parse("method", |text| match text {
        "POST" => Ok(Method::POST),
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "OPTIONS" => Ok(Method::OPTIONS),
        other => Err(format!("\"{other}\" is not one of POST, GET, HEAD, OPTIONS")),
    });
    let method = method.unwrap_or(Method::POST);
    let signed = reader.boolean("signed").unwrap_or(method == Method::POST);
    if signed && !methods.contains(&method) {
        let text = format!("signed: the provider signs no {method}, which is not among its methods");
        reader.fault(reader.place_of(if reader.has("signed") { "signed" } else { "method" }), text);
    }
    let when = read_when(&reader);
    let echo = reader.table("echo").and_then(read_echo);
    let mac = reader.table("mac").and_then(|inner| read_mac(inner, echo.as_ref(), scheme));
    let form = reader.table("answer").and_then(|inner| read_form(inner, echo.is_some(), mac.is_some()));
    let visit = reader.table("visit").and_then(read_visit);
    let learn = reader.table("learn").and_then(|inner| {
        let place = read_place(&inner);
        inner.finish();
        place
    });
    let fault = |key: &str, text: &str| reader.fault(reader.place_of(key), text);
    if reader.has("visit") && (reader.has("learn") || reader.has("answer")) {
        fault("visit", "visit: what is visited is answered as what was accepted, without learn and answer");
    }
    let act = match (visit, learn) {
        (Some(visit), _) => Act::Visit(visit),
        (None, Some(place)) => Act::Learn(place, form),
        (None, None) => Act::Answer(form),
    };
    if reader.has("mac") && !reader.has("echo") {
        fault("mac", "mac: it is computed of the echo, write echo = { query = \"challenge\" }");
    }
    let challenge = Challenge { name: name?, method, signed, when: when?, echo, mac, act };
    challenge.check(&reader);
    reader.finish();
    Some(challenge)
}

impl Challenge {
    /// What its parts say must hold together.
    fn check(&self, reader: &Reader<'_>) {
        let fault = |key: &str, text: &str| reader.fault(reader.place_of(key), text);
        let conditions = match &self.when {
            When::Body(_) => &[],
            When::All(conditions) => conditions.as_slice(),
        };
        let learned = match &self.act {
            Act::Learn(place, _) => Some(place),
            Act::Answer(_) | Act::Visit(_) => None,
        };
        let places = conditions.iter().map(|condition| &condition.place);
        let in_head = places.chain(self.echo.as_ref().map(|echo| &echo.place)).chain(learned).all(Place::is_in_head);
        let has_body = self.method == Method::POST;
        if !has_body && (!in_head || matches!(self.when, When::Body(_))) {
            fault("method", "method: only a POST has a body to look into");
        }
        let told = matches!(self.when, When::Body(_)) || !conditions.is_empty() || self.echo.is_some();
        if has_body && !told && learned.is_none() {
            fault("name", "nothing tells it from an event, write when = [{ json = \"/type\", is = \"ping\" }]");
        }
        let used = self.wordings().flat_map(Wording::pieces).any(|piece| *piece == Piece::Echo);
        if self.echo.is_some() && !used {
            fault("echo", "echo: nothing is done with it, put {echo} into the answer");
        }
        let answered = match &self.act {
            Act::Answer(Some(form)) | Act::Learn(_, Some(form)) => form.uses(&Piece::Mac),
            _ => false,
        };
        if self.mac.is_some() && !answered {
            fault("mac", "mac: nothing is done with it, put {mac} into the answer");
        }
        if matches!(self.act, Act::Visit(_)) {
            let whose = conditions.iter().flat_map(|condition| &condition.is).any(|is| is.as_param().is_some());
            if !self.signed || !whose {
                let text = "visit: who has a message signed must not choose what we call, so it is signed, and when compares with a parameter, as in { json = \"/TopicArn\", is = \"{param.topic_arn}\" }";
                fault("visit", text);
            }
        }
        if self.learns() && (self.signed || !has_body) {
            fault("learn", "learn: what brings the secret cannot be signed by it yet, write signed = false");
        }
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not 1 to 64 of a-z, 0-9 and '-', for example \"url-verification\""))
    }
}

fn read_when(reader: &Reader<'_>) -> Option<When> {
    let body = reader.parse("body", |text| serde_json::from_str(text).map_err(|error| format!("not JSON: {error}")));
    if reader.has("body") {
        if reader.has("when") {
            reader.fault(reader.place_of("when"), "when: body already says all of it, leave one of them out");
        }
        return body.map(When::Body);
    }
    let mut conditions = Vec::new();
    for inner in reader.tables("when") {
        let place = read_place(&inner);
        let texts = match inner.value("is") {
            Some(Value { node: Node::List(items), .. }) if items.is_empty() => {
                let text = "is: an empty list matches nothing, leave it out to want any value";
                inner.fault(inner.place_of("is"), text);
                Vec::new()
            }
            Some(Value { node: Node::List(_), .. }) => inner.texts("is").unwrap_or_default(),
            Some(_) => inner.text("is").into_iter().collect(),
            None => Vec::new(),
        };
        let mut is = Vec::with_capacity(texts.len());
        for text in texts {
            match Wording::parse(text.value, &[Piece::VERIFY_TOKEN, Piece::PARAM]) {
                Ok(_) if text.value.is_empty() => {
                    inner.fault(text.place, "is: an empty text is nothing to compare with");
                }
                Ok(wording) => is.push(wording),
                Err(wrong) => inner.fault(text.place, format!("is: {wrong}")),
            }
        }
        inner.finish();
        conditions.push(Condition { place: place?, is });
    }
    Some(When::All(conditions))
}

/// A place of the request itself.
fn read_place(reader: &Reader<'_>) -> Option<Place> {
    let place = read_whole_place(reader)?;
    if matches!(place, Place::Claim(_) | Place::Value(_)) {
        reader.fault(reader.place(), "a challenge is read before its signature: write header, query, form or json");
        return None;
    }
    Some(place)
}

fn read_echo(reader: Reader<'_>) -> Option<Echo> {
    let place = read_place(&reader);
    let shape = reader.choice("shape", &Shape::WORDS).unwrap_or(Shape::Token);
    let max = reader.integer("max", 1, MOST).and_then(|max| usize::try_from(max).ok()).unwrap_or(Echo::MAX);
    reader.finish();
    Some(Echo { place: place?, shape, max })
}

fn read_mac(reader: Reader<'_>, echo: Option<&Echo>, scheme: Option<&Scheme>) -> Option<Mac> {
    let words: Vec<(&'static str, Algorithm)> = Algorithm::WORDS
        .into_iter()
        .filter(|(_, algorithm)| matches!(algorithm, Algorithm::Hmac(_) | Algorithm::Digest(_)))
        .collect();
    let algorithm = reader.choice("algorithm", &words);
    if !reader.has("algorithm") {
        reader.missing("algorithm", "\"hmac-sha256\"");
    }
    let known = [Piece::ECHO, Piece::VERIFY_TOKEN, Piece::URL_BASE, Piece::PARAM];
    let signs = match reader.text("signs") {
        None => Wording::parse("{echo}", &known).ok(),
        Some(_) => reader.parse("signs", |text| {
            let wording = Wording::parse(text, &known)?;
            match wording.pieces().filter(|piece| **piece == Piece::Echo).count() {
                1 => Ok(wording),
                _ => Err(format!("\"{text}\" must have {{echo}} once")),
            }
        }),
    };
    let binary: Vec<(&'static str, Encoding)> =
        Encoding::WORDS.into_iter().filter(|(_, encoding)| *encoding != Encoding::Text).collect();
    let encoding = reader.choice("encoding", &binary).unwrap_or(Encoding::Hex);
    let prefix = reader.parse("prefix", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=:,".contains(c);
        if text.chars().all(plain) { Ok(text.to_owned()) } else { Err(format!("\"{text}\" is no plain text")) }
    });
    if echo.is_some_and(|echo| !matches!(echo.shape, Shape::Token | Shape::Hex)) {
        let text = "a stranger chooses what is signed: only an echo of the shape \"token\" or \"hex\" is";
        reader.fault(reader.place(), text);
    }
    if let (Some(Algorithm::Hmac(_)), Some(scheme)) = (algorithm, scheme)
        && !scheme.alternatives().iter().all(|alternative| matches!(alternative.mechanism, Mechanism::Pieces { .. }))
    {
        let text = "algorithm: this provider's messages are signed tokens, and so could be what a stranger has signed";
        reader.fault(reader.place_of("algorithm"), text);
    }
    if matches!(algorithm, Some(Algorithm::Hmac(_))) && scheme.is_some_and(Scheme::has_public_keys) {
        let text = "algorithm: this provider's keys are public, so there is none for an HMAC";
        reader.fault(reader.place_of("algorithm"), text);
    }
    reader.finish();
    Some(Mac { algorithm: algorithm?, signs: signs?, encoding, prefix: prefix.unwrap_or_default() })
}

fn read_form(reader: Reader<'_>, has_echo: bool, has_mac: bool) -> Option<Form> {
    let mut known = vec![Piece::PARAM];
    if has_mac {
        known.insert(0, Piece::MAC);
    }
    if has_echo {
        known.insert(0, Piece::ECHO);
    }
    let status =
        reader.integer("status", 200, 299).and_then(|status| StatusCode::from_u16(status.try_into().ok()?).ok());
    let text = reader.parse("text", |text| Wording::parse(text, &known));
    let json = reader.parse("json", |text| {
        let wording = Wording::parse(text, &known)?;
        let means = sample_means(&wording);
        let sample = wording.json(super::Fill { means: &means, echo: "echo", mac: "mac" }).unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(&sample) {
            Ok(_) => Ok(wording),
            Err(error) => Err(format!("it does not come out as JSON, each piece brings its own quotes: {error}")),
        }
    });
    if reader.has("text") && reader.has("json") {
        reader.fault(reader.place(), "an answer is text or json, leave one of them out");
    }
    let mut headers = Vec::new();
    if let Some(inner) = reader.table("headers") {
        for (name, value) in inner.as_table().entries() {
            let Node::Text(text) = &value.node else {
                inner.wrong_kind(name, value, "a text");
                continue;
            };
            let wording = Wording::parse(text, &known).and_then(|wording| {
                match text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                    true => Ok(wording),
                    false => Err("it is not visible ASCII".to_owned()),
                }
            });
            match (parse_header(name), wording) {
                (Ok(name), _) if OURS.contains(&name) => {
                    inner.fault(value.place.clone(), format!("{name}: the gateway writes it itself"));
                }
                (Ok(name), Ok(wording)) => headers.push((name, wording)),
                (Err(wrong), _) => inner.fault(value.place.clone(), wrong),
                (_, Err(wrong)) => inner.fault(value.place.clone(), format!("{name}: {wrong}")),
            }
        }
    }
    let body = match (text, json) {
        (Some(wording), _) if wording.as_str().is_empty() => FormBody::Empty,
        (Some(wording), _) => FormBody::Text(wording),
        (None, Some(wording)) => FormBody::Json(wording),
        (None, None) => FormBody::Empty,
    };
    reader.finish();
    Some(Form { status: status.unwrap_or(StatusCode::OK), headers, body })
}

/// A source that lacks nothing of what `wording` asks for.
fn sample_means(wording: &Wording) -> Means {
    let params = wording.pieces().filter_map(|piece| match piece {
        Piece::Param(name) => Some((name.clone(), vec!["param".to_owned()])),
        _ => None,
    });
    Means {
        params: Params::new(params.collect()),
        verify_token: Some(Secret::new(b"token".to_vec())),
        ..Means::default()
    }
}

fn read_visit(reader: Reader<'_>) -> Option<Visit> {
    let mut hosts = Vec::new();
    for text in reader.texts("hosts").unwrap_or_default() {
        match PinnedHost::parse(text.value) {
            Ok(host) => hosts.push(host),
            Err(wrong) => reader.fault(text.place, format!("hosts: {wrong}")),
        }
    }
    if hosts.is_empty() {
        reader.missing("hosts", "[\"sns.{region}.amazonaws.com\"]");
    }
    let path_begins = match reader.has("path_begins") {
        false => Some("/".to_owned()),
        true => reader.parse("path_begins", |text| match text.starts_with('/') {
            true => Ok(text.to_owned()),
            false => Err(format!("\"{text}\" does not begin with a slash")),
        }),
    };
    let parameter = reader.parse("parameter", |text| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is no parameter, for example \"Action=ConfirmSubscription\"")),
    });
    let place = read_place(&reader);
    reader.finish();
    Some(Visit { place: place?, hosts, path_begins: path_begins?, parameter })
}

impl Form {
    fn uses(&self, piece: &Piece) -> bool {
        let body = match &self.body {
            FormBody::Empty => None,
            FormBody::Text(wording) | FormBody::Json(wording) => Some(wording),
        };
        self.headers.iter().map(|(_, wording)| wording).chain(body).flat_map(Wording::pieces).any(|used| used == piece)
    }
}
