//! Signs messages by the same scheme that verifies them.

use std::borrow::Cow;

use base64::Engine;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::algorithm::{Algorithm, KeyedHmac, Tag};
use super::encoding::BASE64URL;
use super::event_id::IdPlace;
use super::json::Pointer;
use super::place::{Contents, Context, Params, Place};
use super::private_key::PrivateKey;
use super::public_key::EcdsaForm;
use super::request::{Head, PublicUrl};
use super::secret::Secret;
use super::template::{Inputs, Source};
use super::token::TokenScheme;
use super::value::ValueParts;
use super::{Alternative, Document, KeyRole, Mechanism, Scheme, SignaturePlace};
use crate::clock::UnixTime;

/// A message to sign.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub id: &'a str,
    pub timestamp: UnixTime,
    pub method: &'a str,
    /// The whole URL that it is sent to.
    pub url: &'a str,
    /// What it carries beside the signature; where a scheme signs other headers, they must be among these.
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// A message with its signature, wherever the scheme puts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub url: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why a message cannot be signed, as a fragment.
type SignError = String;

impl Scheme {
    /// Signs a message with each of `secrets` that there is room for. Of several alternatives, the first one signs
    /// whose conditions the message can meet.
    ///
    /// What the scheme reads and the message lacks is filled in: the id, the timestamp, and with the id what has to be
    /// there and may be anything.
    ///
    /// # Errors
    /// Why a secret cannot sign, or what the message lacks.
    pub fn sign(&self, message: Message<'_>, secrets: &[Secret], params: &Params) -> Result<Signed, SignError> {
        let draft = self.draft(message, secrets, params)?;
        Ok(Signed { url: draft.url.into_owned(), headers: draft.headers, body: draft.body.into_owned() })
    }

    /// The headers of a signed message whose URL and body stay as they are: neither is copied.
    ///
    /// # Errors
    /// As [`Self::sign`], and where the signature would stand in the URL or in the body.
    pub fn sign_headers(
        &self,
        message: Message<'_>,
        secrets: &[Secret],
        params: &Params,
    ) -> Result<HeaderMap, SignError> {
        let draft = self.draft(message, secrets, params)?;
        if draft.body != message.body {
            return Err("its signature or time is part of the body".into());
        }
        if draft.url != message.url {
            return Err("its signature is part of the URL".into());
        }
        Ok(draft.headers)
    }

    fn draft<'a>(&self, message: Message<'a>, secrets: &[Secret], params: &Params) -> Result<Draft<'a>, SignError> {
        let mut why = String::new();
        for alternative in &self.alternatives {
            match alternative.sign(message, secrets, params) {
                Ok(signed) => return Ok(signed),
                Err(wrong) if why.is_empty() => why = wrong,
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// The public key beside a private one, where this scheme is verified with it.
    pub fn public_key_of(&self, secret: &Secret) -> Option<String> {
        self.alternatives.iter().any(Alternative::wants_public_key).then_some(())?;
        PrivateKey::read(secret.expose()).ok()?.public_text()
    }
}

impl Alternative {
    fn sign<'a>(&self, message: Message<'a>, secrets: &[Secret], params: &Params) -> Result<Draft<'a>, SignError> {
        let mut draft = Draft::new(message, &self.document)?;
        if self.reads_form() {
            // A form that is not called one is not read as one.
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            draft.headers.entry(CONTENT_TYPE).or_insert(form);
        }
        draft.meet(self, message, params)?;
        if self.for_each.is_some() {
            return draft.sign_each(self, message, secrets, params);
        }
        if let SignaturePlace::At(place @ Place::Json(_)) = &self.place {
            // Printed again with the signature in it, the JSON would no longer be the bytes that were signed.
            draft.put(place, "")?;
        }
        let texts = draft.sign_once(self, message, secrets, params)?;
        // Without a secret there is no signature; what else belongs to the message is there.
        if !texts.is_empty() {
            draft.place(self, &texts, &message.timestamp_text(self))?;
        }
        draft.finish(&self.document)
    }
}

impl Message<'_> {
    fn timestamp_text(&self, alternative: &Alternative) -> String {
        alternative
            .timestamp
            .as_ref()
            .map_or_else(|| self.timestamp.to_string(), |scheme| scheme.unit.format(self.timestamp))
    }
}

/// A message on its way to being signed.
struct Draft<'a> {
    method: &'a str,
    url: Cow<'a, str>,
    headers: HeaderMap,
    /// The body; where the JSON is only a part of it, that part.
    body: Cow<'a, [u8]>,
}

impl<'a> Draft<'a> {
    fn new(message: Message<'a>, document: &Document) -> Result<Self, SignError> {
        if *document != Document::Body && !super::json::is_json(message.body) {
            return Err("the body must be the JSON that is sent in the form".into());
        }
        Ok(Self {
            method: message.method,
            url: Cow::Borrowed(message.url),
            headers: message.headers.clone(),
            body: Cow::Borrowed(message.body),
        })
    }

    fn contents(&self) -> Contents<'_> {
        let head = Head { method: self.method, url: PublicUrl::split(&self.url), headers: &self.headers };
        Contents { head, body: &self.body, json: &self.body }
    }

    /// Adds what the scheme reads and the message lacks.
    fn meet(&mut self, alternative: &Alternative, message: Message<'_>, params: &Params) -> Result<(), SignError> {
        let timestamp = message.timestamp_text(alternative);
        if let Some(place) = alternative.timestamp.as_ref().and_then(|scheme| scheme.place.as_ref()) {
            self.fill(place, &timestamp)?;
        }
        for place in &alternative.ids {
            if let IdPlace::At(place @ Place::Header(_)) = place {
                self.fill(place, message.id)?;
                break;
            }
        }
        if alternative.for_each.is_some() {
            return Ok(());
        }
        for condition in &alternative.when {
            if let [is] = condition.is.as_slice() {
                let expected = self.resolved(is, params)?;
                self.fill(&condition.place, &expected)?;
            }
            let value = ValueParts::default();
            let context =
                Context { contents: self.contents(), value: &value, claims: &[], params, max_inflated: usize::MAX };
            if !condition.holds(&context).unwrap_or(false) {
                return Err(format!("the message must have {}, as the scheme's alternative says", condition.place));
            }
        }
        // After the conditions, which want one value where this would put any.
        for source in alternative.required_sources() {
            if let Source::At(place) = source {
                self.fill(place, message.id)?;
            }
        }
        for condition in &alternative.requires {
            if let ([is, ..], false) = (condition.is.as_slice(), matches!(condition.place, Place::Claim(_))) {
                let expected = self.resolved(is, params)?;
                self.fill(&condition.place, &expected)?;
            }
        }
        Ok(())
    }

    /// The text of a template that needs neither secret nor signature.
    fn resolved(&self, template: &super::Template, params: &Params) -> Result<String, SignError> {
        let value = ValueParts::default();
        let context =
            Context { contents: self.contents(), value: &value, claims: &[], params, max_inflated: usize::MAX };
        let bytes = template.resolve(&context, Inputs::default()).map_err(|error| error.to_string())?;
        String::from_utf8(bytes.concat()).map_err(|_| "what the scheme compares is no text".into())
    }

    /// The signature's text by each secret.
    fn sign_once(
        &mut self,
        alternative: &Alternative,
        message: Message<'_>,
        secrets: &[Secret],
        params: &Params,
    ) -> Result<Vec<String>, SignError> {
        let timestamp = message.timestamp_text(alternative);
        let mut texts = Vec::with_capacity(secrets.len());
        for secret in secrets {
            texts.push(match &alternative.mechanism {
                Mechanism::Pieces { algorithm, signs, key } => {
                    let signing = SigningKey::new(alternative, *algorithm, secret)?;
                    let value = ValueParts::at(&timestamp);
                    let contents = self.contents();
                    let context = Context { contents, value: &value, claims: &[], params, max_inflated: usize::MAX };
                    let secret = signing.secret();
                    let inputs = Inputs { id: message.id.as_bytes(), timestamp: timestamp.as_bytes(), secret };
                    let bytes = match algorithm {
                        Algorithm::Equal => super::template::Bytes::new(),
                        _ => signs.resolve(&context, inputs).map_err(|error| error.to_string())?,
                    };
                    let tag = signing.tag(*algorithm, *key, &bytes, contents.body)?;
                    alternative.encoding.encode(&tag)
                }
                Mechanism::Token(scheme) => self.token(alternative, scheme, message, secret, params)?,
                Mechanism::Bespoke(routine) => {
                    let mut headers = self.headers.clone();
                    let text = routine.sign(self.contents(), &mut headers, secret, message.timestamp)?;
                    self.headers = headers;
                    text
                }
                Mechanism::Nothing => return Err("it signs nothing, so it has no secret".into()),
            });
        }
        Ok(texts)
    }

    /// A token that says of the message what the scheme requires.
    fn token(
        &self,
        alternative: &Alternative,
        scheme: &TokenScheme,
        message: Message<'_>,
        secret: &Secret,
        params: &Params,
    ) -> Result<String, SignError> {
        let now = message.timestamp.0;
        let lifetime = scheme.max_lifetime.map_or(300, |most| i64::try_from(most.as_secs()).unwrap_or(300).min(300));
        let mut claims: Map<String, Value> = match alternative.place {
            // The token is all that is sent: what the body was to say is what it claims.
            SignaturePlace::Body => serde_json::from_slice(&self.body)
                .map_err(|error| format!("the body is no JSON object that a token could claim: {error}"))?,
            _ => Map::new(),
        };
        claims.insert("iat".into(), json!(now));
        claims.insert("exp".into(), json!(now.saturating_add(lifetime)));
        for condition in &alternative.requires {
            if let (Place::Claim(pointer), Some(is)) = (&condition.place, condition.is.first()) {
                let unset = is.params().iter().any(|(name, _)| params.values(name).is_empty());
                if !unset {
                    claims.insert(pointer.steps()[0].clone(), json!(self.resolved(is, params)?));
                }
            }
        }
        for place in &alternative.ids {
            if let IdPlace::At(Place::Claim(pointer)) = place {
                claims.insert(pointer.steps()[0].clone(), json!(message.id));
            }
        }
        let payload = if scheme.detached { String::new() } else { BASE64URL.encode(Value::from(claims).to_string()) };
        for algorithm in &scheme.algorithms {
            let header = BASE64URL.encode(json!({ "alg": algorithm.as_str(), "typ": "JWT" }).to_string());
            let signed = match scheme.detached {
                true => format!("{header}.{}", BASE64URL.encode(&self.body)),
                false => format!("{header}.{payload}"),
            };
            let Ok(key) = SigningKey::new(alternative, algorithm.0, secret) else { continue };
            if let Ok(tag) = key.tag_as(algorithm.0, EcdsaForm::Fixed, signed.as_bytes()) {
                return Ok(format!("{header}.{payload}.{}", BASE64URL.encode(&tag)));
            }
        }
        Err("the secret is no key for any algorithm of the token".into())
    }

    /// Signs each item of a batch for itself.
    fn sign_each(
        mut self,
        alternative: &Alternative,
        message: Message<'_>,
        secrets: &[Secret],
        params: &Params,
    ) -> Result<Self, SignError> {
        let pointer = alternative.for_each.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut whole: Value =
            serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let items = whole.pointer_mut(&pointer).and_then(Value::as_array_mut);
        for item in items.ok_or_else(|| format!("the body has no list at {pointer}"))? {
            let mut draft = Self {
                body: item.to_string().into_bytes().into(),
                headers: self.headers.clone(),
                method: self.method,
                url: self.url.clone(),
            };
            let texts = draft.sign_once(alternative, message, secrets, params)?;
            draft.place(alternative, &texts, &message.timestamp_text(alternative))?;
            *item = serde_json::from_slice(&draft.body).map_err(|error| error.to_string())?;
        }
        self.body = whole.to_string().into_bytes().into();
        self.finish(&alternative.document)
    }

    /// Puts the signatures where they belong.
    fn place(&mut self, alternative: &Alternative, texts: &[String], timestamp: &str) -> Result<(), SignError> {
        let parts = ValueParts::at(timestamp);
        let write = |texts: &[String]| match alternative.mechanism {
            Mechanism::Bespoke(_) => texts.first().cloned().unwrap_or_default(),
            _ => alternative.wrap(alternative.value.write(texts, &parts)),
        };
        match &alternative.place {
            SignaturePlace::Headers(names) => {
                let name = names.first().expect("a scheme has a header to write");
                self.put(&Place::Header(name.clone()), &write(texts))
            }
            SignaturePlace::Numbered(name) => {
                for (number, text) in texts.iter().enumerate() {
                    let name = HeaderName::from_bytes(format!("{name}{}", number + 1).as_bytes());
                    let name = name.map_err(|_| "the header's name is not one")?;
                    self.put(&Place::Header(name), &write(std::slice::from_ref(text)))?;
                }
                Ok(())
            }
            SignaturePlace::At(place) => self.put(place, &write(texts)),
            SignaturePlace::Body => {
                self.body = write(texts).into_bytes().into();
                Ok(())
            }
            SignaturePlace::Nowhere => Ok(()),
        }
    }

    /// Puts `text` at `place` unless something is there.
    fn fill(&mut self, place: &Place, text: &str) -> Result<(), SignError> {
        let found = place.read_contents(self.contents()).map_err(|error| error.to_string())?;
        let elsewhere = matches!(place, Place::Claim(_) | Place::Value(_));
        if found.is_some() || elsewhere { Ok(()) } else { self.put(place, text) }
    }

    /// Puts `text` at `place`, in the stead of what is there.
    fn put(&mut self, place: &Place, text: &str) -> Result<(), SignError> {
        match place {
            Place::Header(name) => {
                let value = HeaderValue::try_from(text)
                    .map_err(|_| format!("what belongs in {name} cannot stand in a header"))?;
                self.headers.insert(name.clone(), value);
            }
            Place::Query(name) => {
                let mark = if self.url.contains('?') { '&' } else { '?' };
                self.url.to_mut().push_str(&format!("{mark}{}", form_pair(name, text)));
            }
            Place::Form(name) => {
                let body = self.body.to_mut();
                if !body.is_empty() {
                    body.push(b'&');
                }
                body.extend_from_slice(form_pair(name, text).as_bytes());
            }
            Place::Json(pointer) => {
                let mut whole: Value =
                    serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))?;
                *reach(&mut whole, pointer)? = json!(text);
                self.body = whole.to_string().into_bytes().into();
            }
            Place::Claim(_) | Place::Value(_) => return Err(format!("nothing can be put at {place}")),
        }
        Ok(())
    }

    fn finish(mut self, document: &Document) -> Result<Self, SignError> {
        const BOUNDARY: &str = "hookward-form-boundary";
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        match document {
            Document::Body => {}
            Document::Form(name) => self.body = form_pair(name, &text(&self.body)).into_bytes().into(),
            Document::Multipart(name) => {
                self.body = format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{}\r\n--{BOUNDARY}--\r\n",
                    text(&self.body)
                )
                .into_bytes()
                .into();
                let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={BOUNDARY}"));
                self.headers.insert(CONTENT_TYPE, kind.map_err(|error| error.to_string())?);
            }
        }
        Ok(self)
    }
}

fn form_pair(name: &str, value: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!("{}={}", encode(name), encode(value))
}

/// The value at `pointer`, made on the way where objects lack it.
fn reach<'v>(whole: &'v mut Value, pointer: &Pointer) -> Result<&'v mut Value, SignError> {
    let mut value = whole;
    for step in pointer.steps() {
        value = match value {
            Value::Array(items) => {
                let index: Option<usize> = step.parse().ok();
                index
                    .and_then(|index| items.get_mut(index))
                    .ok_or_else(|| format!("the body has no item at {pointer}"))?
            }
            Value::Object(members) => members.entry(step.clone()).or_insert_with(|| json!({})),
            _ => return Err(format!("the body has no object on the way to {pointer}")),
        };
    }
    Ok(value)
}

impl Alternative {
    /// What is signed and must be there.
    fn required_sources(&self) -> Vec<&Source> {
        match &self.mechanism {
            Mechanism::Pieces { algorithm, signs, .. } if *algorithm != Algorithm::Equal => signs.required_sources(),
            _ => Vec::new(),
        }
    }
}

/// What a secret is to a signer.
enum SigningKey {
    Symmetric(Secret),
    Private(PrivateKey),
}

impl SigningKey {
    fn new(alternative: &Alternative, algorithm: Algorithm, secret: &Secret) -> Result<Self, SignError> {
        if algorithm.is_asymmetric() {
            let key = PrivateKey::read(secret.expose()).map_err(|why| format!("the secret {why}"))?;
            return Ok(Self::Private(key));
        }
        alternative.secret.derive(secret).map(Self::Symmetric).map_err(|why| format!("the secret {why}"))
    }

    fn secret(&self) -> &[u8] {
        match self {
            Self::Symmetric(secret) => secret.expose(),
            Self::Private(_) => &[],
        }
    }

    /// The tag of `pieces`, one after the other.
    fn tag(
        &self,
        algorithm: Algorithm,
        role: KeyRole,
        pieces: &[Cow<'_, [u8]>],
        body: &[u8],
    ) -> Result<Tag, SignError> {
        let slices = pieces.iter().map(|piece| piece.as_ref());
        match (algorithm, role, self) {
            (Algorithm::Hmac(hash), KeyRole::Body, _) => Ok(KeyedHmac::new(hash, body).tag(slices)),
            (Algorithm::Hmac(hash), KeyRole::Secret, Self::Symmetric(key)) => {
                Ok(KeyedHmac::new(hash, key.expose()).tag(slices))
            }
            _ => self.tag_as(algorithm, EcdsaForm::Der, &pieces.concat()),
        }
    }

    fn tag_as(&self, algorithm: Algorithm, form: EcdsaForm, message: &[u8]) -> Result<Tag, SignError> {
        match (algorithm, self) {
            (Algorithm::Hmac(hash), Self::Symmetric(key)) => {
                Ok(KeyedHmac::new(hash, key.expose()).tag([message].into_iter()))
            }
            (Algorithm::Digest(hash), _) => Ok(hash.digest([message].into_iter())),
            (Algorithm::Equal, Self::Symmetric(secret)) => Ok(Tag::from_slice(secret.expose())),
            (_, Self::Private(key)) => {
                let signature = key.sign(algorithm, form, message);
                signature.map(Tag::from_vec).ok_or_else(|| format!("this key cannot sign by {}", algorithm.as_str()))
            }
            _ => Err("the secret is no key for this algorithm".into()),
        }
    }
}
