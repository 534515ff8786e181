//! HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530).
//!
//! What is signed is listed in `Signature-Input`. Only signatures that cover the digest of the body count, and the
//! parts that may be covered beside it are those of a request that a gateway sees as they were sent.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq;

use crate::clock::UnixTime;
use crate::rejection::Rejection;
use crate::signature::algorithm::{Algorithm, Hash};
use crate::signature::header::single;
use crate::signature::key::Keyed;
use crate::signature::place::{Contents, Context};
use crate::signature::private_key::PrivateKey;
use crate::signature::public_key::{EcdsaForm, KeyKind, PublicKey};
use crate::signature::request::{Head, UrlPart};
use crate::signature::secret::Secret;
use crate::signature::value::ValueParts;

const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The label of what we sign.
const LABEL: &str = "sig";

/// A public key under the one algorithm that its kind has here.
pub fn keyed(public: Option<&PublicKey>) -> Result<Keyed, &'static str> {
    let key = public.ok_or("is not a public key")?;
    let algorithm = match key.kind {
        KeyKind::Ed25519 => Algorithm::Ed25519,
        KeyKind::P256 => Algorithm::EcdsaP256(Hash::Sha256),
        KeyKind::Rsa => Algorithm::Rsa(Hash::Sha256),
    };
    let key = key.verifying(algorithm, EcdsaForm::Fixed).ok_or("is a key for another algorithm")?;
    Ok(Keyed::Public(Arc::new(key)))
}

/// Adds `created`, `keyid` and the whole of the parameters to what the signature's value says.
///
/// The first entry of `Signature-Input` is read: a provider that lists more signs for others too.
pub fn read_head<'v>(head: Head<'v>, parts: &mut ValueParts<'v>) -> Result<(), Rejection> {
    let missing = |name: &HeaderName| Rejection::SignatureMissing(format!("no header {name}"));
    let input = single(head.headers, &SIGNATURE_INPUT)?.ok_or_else(|| missing(&SIGNATURE_INPUT))?;
    single(head.headers, &CONTENT_DIGEST)?.ok_or_else(|| missing(&CONTENT_DIGEST))?;
    let malformed = || Rejection::SignatureMalformed("Signature-Input is not one".into());
    let (label, params) = input.split_once('=').ok_or_else(malformed)?;
    if parts.named("label").is_some_and(|signed| signed != label) {
        return Err(Rejection::SignatureMalformed("Signature and Signature-Input have no label in common".into()));
    }
    let (_, after) = components(params).ok_or_else(malformed)?;
    for parameter in after.split(';').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("created", time)) => parts.add("created", time)?,
            // Whoever sets an end of its own wants it kept, and the time is not known here.
            Some(("expires", _)) => {
                return Err(Rejection::SignatureMalformed("a signature with `expires` is not read".into()));
            }
            Some(("keyid", id)) => {
                let id = id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).ok_or_else(malformed)?;
                parts.key_id = Some(id);
            }
            _ => {}
        }
    }
    parts.add("params", params)
}

/// Splits `("a" "b");x=1` into the names and what follows them.
fn components(params: &str) -> Option<(Vec<&str>, &str)> {
    let (list, after) = params.strip_prefix('(')?.split_once(')')?;
    let names: Option<Vec<&str>> =
        list.split(' ').filter(|name| !name.is_empty()).map(|name| name.strip_prefix('"')?.strip_suffix('"')).collect();
    Some((names?, after))
}

/// True if `candidate` signs what `Signature-Input` lists, and the digest in it is the body's.
pub fn verify(context: &Context<'_, '_>, key: &Keyed, candidate: &str) -> Result<bool, Rejection> {
    let contents = context.contents;
    let (Keyed::Public(key), Some(params)) = (key, context.value.named("params")) else { return Ok(false) };
    let signature = STANDARD.decode(candidate);
    let signature = signature.map_err(|_| Rejection::SignatureMalformed("not base64".into()))?;
    let base = signature_base(contents, params)?;
    let good = key.verify_sig(base.as_bytes(), &signature).is_ok();
    Ok(good && is_digest_of(contents)?)
}

/// The signature base.
///
/// Source: RFC 9421, 2.5.
fn signature_base(contents: Contents<'_>, params: &str) -> Result<String, Rejection> {
    let malformed = |why: &str| Rejection::SignatureMalformed(why.to_owned());
    let (names, _) = components(params).ok_or_else(|| malformed("Signature-Input is not one"))?;
    if !names.contains(&CONTENT_DIGEST.as_str()) {
        return Err(malformed("the signature does not cover the Content-Digest"));
    }
    if names.iter().enumerate().any(|(place, name)| names[..place].contains(name)) {
        return Err(malformed("the signature lists a part twice"));
    }
    let (head, mut base) = (contents.head, String::new());
    for name in &names {
        let value = match *name {
            "@method" => head.method.to_owned(),
            "@target-uri" => head.url.part(UrlPart::Full).concat(),
            "@authority" => head.url.part(UrlPart::Host).concat().to_ascii_lowercase(),
            "@path" => head.url.part(UrlPart::Path).concat(),
            "@query" => format!("?{}", head.url.query.unwrap_or_default()),
            name => {
                let header = name.parse().map_err(|_| malformed("the signature covers what we cannot read"))?;
                let value = single(head.headers, &header)?;
                let value =
                    value.ok_or_else(|| Rejection::SignatureMissing(format!("no header {name}, which is signed")))?;
                value.trim().to_owned()
            }
        };
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {params}"));
    Ok(base)
}

/// True if every digest in `Content-Digest` whose algorithm is good is the body's, and there is one.
fn is_digest_of(contents: Contents<'_>) -> Result<bool, Rejection> {
    let digests = single(contents.head.headers, &CONTENT_DIGEST)?.unwrap_or_default();
    let mut found = false;
    for digest in digests.split(',') {
        let (name, value) = digest.trim().split_once('=').unwrap_or_default();
        let hash = match name {
            "sha-256" => Hash::Sha256,
            "sha-512" => Hash::Sha512,
            _ => continue,
        };
        let expected = format!(":{}:", STANDARD.encode(hash.digest([contents.body].into_iter())));
        if !bool::from(expected.as_bytes().ct_eq(value.as_bytes())) {
            return Ok(false);
        }
        found = true;
    }
    Ok(found)
}

/// Signs the body's digest, adding `Content-Digest` and `Signature-Input`.
pub fn sign(
    contents: Contents<'_>,
    headers: &mut HeaderMap,
    secret: &Secret,
    now: UnixTime,
) -> Result<String, &'static str> {
    let key = PrivateKey::read(secret.expose())?;
    let header = |text: String| HeaderValue::try_from(text).map_err(|_| "cannot stand in a header");
    let digest = STANDARD.encode(Hash::Sha256.digest([contents.body].into_iter()));
    headers.insert(CONTENT_DIGEST, header(format!("sha-256=:{digest}:"))?);
    let params = format!("(\"content-digest\");created={now}");
    headers.insert(SIGNATURE_INPUT, header(format!("{LABEL}={params}"))?);
    let head = Head { headers, ..contents.head };
    let base = signature_base(Contents { head, ..contents }, &params).map_err(|_| "cannot sign this")?;
    let algorithms = [Algorithm::Ed25519, Algorithm::EcdsaP256(Hash::Sha256), Algorithm::Rsa(Hash::Sha256)];
    let signature = algorithms.into_iter().find_map(|algorithm| key.sign(algorithm, EcdsaForm::Fixed, base.as_bytes()));
    Ok(format!("{LABEL}=:{}:", STANDARD.encode(signature.ok_or("is a key for another algorithm")?)))
}
