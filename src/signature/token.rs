//! Signatures that are tokens: JWS in its compact form, and JWT's claims (RFC 7515, 7519, 7797).

use std::time::Duration;

use base64::Engine;
use serde::Deserialize;

use super::algorithm::{Algorithm, Hash, Tag};
use super::encoding::BASE64URL;
use super::json::{self, Pointer};
use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// Tokens longer than this are refused.
const MAX_TOKEN_LEN: usize = 16 * 1024;

/// What a scheme accepts of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScheme {
    /// What a token's `alg` may be, the first for signing; at least one.
    pub algorithms: Vec<TokenAlgorithm>,
    /// True if the token leaves its middle empty and signs the body in its place.
    pub detached: bool,
    /// How far the two clocks may be apart, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest time from `iat` to `exp`. Where there is one, both must be there.
    pub max_lifetime: Option<Duration>,
    /// True where `iat` is the scheme's timestamp, which has a tolerance of its own.
    pub issued_is_timestamp: bool,
}

/// An `alg` of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenAlgorithm(pub Algorithm);

impl TokenAlgorithm {
    /// The words of a token and of the scheme language. `none` is not among them.
    pub const WORDS: [(&'static str, Self); 8] = [
        ("HS256", Self(Algorithm::Hmac(Hash::Sha256))),
        ("HS384", Self(Algorithm::Hmac(Hash::Sha384))),
        ("HS512", Self(Algorithm::Hmac(Hash::Sha512))),
        ("RS256", Self(Algorithm::Rsa(Hash::Sha256))),
        ("RS384", Self(Algorithm::Rsa(Hash::Sha384))),
        ("RS512", Self(Algorithm::Rsa(Hash::Sha512))),
        ("ES256", Self(Algorithm::EcdsaP256(Hash::Sha256))),
        ("EdDSA", Self(Algorithm::Ed25519)),
    ];

    /// The word in a token.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(word, _)| word)
    }
}

/// A token, taken apart and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'t> {
    pub algorithm: TokenAlgorithm,
    pub key_id: Option<String>,
    /// What its signature covers: without the body, where that is detached.
    pub signed: &'t str,
    /// True if a detached body is signed as it is, not in base64url (RFC 7797).
    pub plain_body: bool,
    pub signature: Tag,
    /// Its claims, a JSON object; empty where the body is detached.
    pub claims: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct JoseHeader {
    alg: String,
    kid: Option<String>,
    b64: Option<bool>,
    crit: Option<Vec<String>>,
}

impl TokenScheme {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `SignatureMalformed` for what is no token, and for one without a signature; `AlgorithmNotAllowed` for one that
    /// is signed otherwise than the scheme says.
    pub fn parse<'t>(&self, token: &'t str) -> Result<Token<'t>, Rejection> {
        let malformed = |why: &str| Rejection::SignatureMalformed(why.to_owned());
        if token.len() > MAX_TOKEN_LEN {
            return Err(malformed("the token is too long"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            return Err(malformed("not a token of three parts"));
        };
        let decode = |text: &str| BASE64URL.decode(text).map_err(|_| malformed("a part of the token is not base64url"));
        let header: JoseHeader =
            serde_json::from_slice(&decode(header)?).map_err(|_| malformed("the token's header is not one"))?;
        if header.alg.eq_ignore_ascii_case("none") || signature.is_empty() {
            return Err(malformed("the token is not signed"));
        }
        if header.b64.is_some() && !header.crit.iter().flatten().any(|name| name == "b64") {
            return Err(malformed("the token's b64 is not among its critical headers"));
        }
        if header.crit.iter().flatten().any(|name| name != "b64") {
            return Err(malformed("the token has a critical header that we do not know"));
        }
        let algorithm = self.algorithms.iter().copied().find(|algorithm| algorithm.as_str() == header.alg);
        let algorithm = algorithm.ok_or(Rejection::AlgorithmNotAllowed)?;
        let claims = if self.detached {
            if !payload.is_empty() {
                return Err(malformed("the token has claims where the body is what it signs"));
            }
            Vec::new()
        } else {
            let claims = decode(payload)?;
            if !json::is_json(&claims) || claims.first() != Some(&b'{') {
                return Err(malformed("the token's claims are not a JSON object"));
            }
            claims
        };
        Ok(Token {
            algorithm,
            key_id: header.kid,
            signed: &token[..token.len() - signature.len() - 1],
            plain_body: self.detached && header.b64 == Some(false),
            signature: Tag::from_vec(decode(signature)?),
            claims,
        })
    }

    /// Judges `exp`, `nbf` and `iat`, each where it is there.
    ///
    /// # Errors
    /// `TimestampStale` once it has expired, `TimestampFuture` before it begins or was issued, `TimestampMalformed` for
    /// what is no time, `ClaimMismatch` where it lives too long.
    pub fn check_times(&self, claims: &[u8], now: UnixTime) -> Result<(), Rejection> {
        let time = |name: &str| numeric_date(claims, name);
        let (expires, not_before, issued) = (time("exp")?, time("nbf")?, time("iat")?);
        let leeway = i64::try_from(self.leeway.as_secs()).unwrap_or(i64::MAX);
        if let Some(age) = expires.map(|expires| now.seconds_since(expires)).filter(|age| *age > leeway) {
            return Err(Rejection::TimestampStale { age, tolerance: self.leeway });
        }
        for begins in [not_before, issued.filter(|_| !self.issued_is_timestamp)].into_iter().flatten() {
            let ahead = begins.seconds_since(now);
            if ahead > leeway {
                return Err(Rejection::TimestampFuture { ahead, tolerance: self.leeway });
            }
        }
        if let Some(most) = self.max_lifetime {
            let lifetime = match (expires, issued) {
                (Some(expires), Some(issued)) => expires.seconds_since(issued),
                _ => return Err(Rejection::ClaimMismatch("there is no claim exp or no claim iat".into())),
            };
            if lifetime > i64::try_from(most.as_secs()).unwrap_or(i64::MAX) {
                return Err(Rejection::ClaimMismatch(
                    "the token is good for longer than the provider makes them".into(),
                ));
            }
        }
        Ok(())
    }
}

/// A claim in seconds since the epoch, its fraction dropped.
fn numeric_date(claims: &[u8], name: &str) -> Result<Option<UnixTime>, Rejection> {
    let Some(value) = json::find(claims, &Pointer::member(name)) else { return Ok(None) };
    let whole = value.get().split('.').next().unwrap_or_default();
    match whole.parse() {
        Ok(seconds) => Ok(Some(UnixTime(seconds))),
        Err(_) => Err(Rejection::TimestampMalformed(format!("claim {name} is no number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Reason;

    fn scheme(max_lifetime: Option<Duration>) -> TokenScheme {
        let algorithms = vec![TokenAlgorithm(Algorithm::Hmac(Hash::Sha256))];
        TokenScheme {
            algorithms,
            detached: false,
            leeway: Duration::from_secs(5),
            max_lifetime,
            issued_is_timestamp: false,
        }
    }

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.eHg", BASE64URL.encode(header), BASE64URL.encode(claims))
    }

    fn reason(token: &str) -> Option<Reason> {
        scheme(None).parse(token).err().map(|rejection| rejection.reason())
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"HS256","kid":"k"}"#, r#"{"iss":"x"}"#);
        let scheme = scheme(None);
        let token = scheme.parse(&text).expect("a token");
        assert_eq!(token.key_id.as_deref(), Some("k"));
        assert_eq!(token.claims, br#"{"iss":"x"}"#);
        assert_eq!(format!("{}.eHg", token.signed), text);
        assert_eq!(&token.signature[..], b"xx");
    }

    #[test]
    fn a_token_says_its_algorithm_and_we_decide() {
        assert_eq!(reason(&token(r#"{"alg":"none"}"#, "{}")), Some(Reason::SignatureMalformed));
        assert_eq!(reason(&token(r#"{"alg":"HS512"}"#, "{}")), Some(Reason::AlgorithmNotAllowed));
        assert_eq!(reason(&token(r#"{"alg":"hs256"}"#, "{}")), Some(Reason::AlgorithmNotAllowed));
        assert_eq!(reason(&token(r#"{"alg":"HS256","crit":["x"]}"#, "{}")), Some(Reason::SignatureMalformed));
        for bad in ["", "a.b", "a.b.c.d", "..", "e30.e30.", &token(r#"{"alg":"HS256"}"#, "[]"), &token("{}", "{}")] {
            assert_eq!(reason(bad), Some(Reason::SignatureMalformed), "{bad}");
        }
        assert_eq!(reason(&"a".repeat(MAX_TOKEN_LEN + 1)), Some(Reason::SignatureMalformed));
    }

    #[test]
    fn times_are_judged_with_the_leeway_included() {
        let check = |claims: &str, now| {
            let judged = scheme(Some(Duration::from_secs(60))).check_times(claims.as_bytes(), UnixTime(now));
            judged.err().map(|rejection| rejection.reason())
        };
        let claims = r#"{"iat":100,"nbf":100,"exp":160.9}"#;
        assert_eq!(check(claims, 165), None);
        assert_eq!(check(claims, 166), Some(Reason::TimestampStale));
        assert_eq!(check(claims, 95), None);
        assert_eq!(check(claims, 94), Some(Reason::TimestampFuture));
        let judged_elsewhere = TokenScheme { issued_is_timestamp: true, ..scheme(None) };
        assert_eq!(judged_elsewhere.check_times(br#"{"iat":100}"#, UnixTime(1)), Ok(()));
        assert_eq!(check(r#"{"iat":100,"exp":161}"#, 100), Some(Reason::ClaimMismatch));
        assert_eq!(check(r#"{"iat":100}"#, 100), Some(Reason::ClaimMismatch));
        assert_eq!(check(r#"{"iat":100,"exp":"never"}"#, 100), Some(Reason::TimestampMalformed));
    }
}
