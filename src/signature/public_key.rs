//! Public keys, as providers hand them out: PEM, base64, hex, certificates, JWK and JWKS.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use super::algorithm::{Algorithm, Hash};
use super::encoding::{BASE64URL, decode_hex};

/// What kind of key it is, which decides what it can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Ed25519,
    P256,
    /// 2048 to 8192 bits.
    Rsa,
}

/// A public key that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub kind: KeyKind,
    /// As aws-lc-rs reads it: a raw key, a point, or the DER of a SubjectPublicKeyInfo or an RSAPublicKey.
    bytes: Vec<u8>,
    /// Its id, where what it came in says one.
    pub id: Option<String>,
    /// The one JWS algorithm that it is for, where what it came in says one.
    pub token_algorithm: Option<String>,
}

/// How an ECDSA signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcdsaForm {
    /// ASN.1 DER.
    Der,
    /// Both numbers one after the other, 32 bytes each, as in JWS.
    Fixed,
}

impl PublicKey {
    /// The keys that `text` holds: one, but for a JWKS.
    ///
    /// # Errors
    /// What was wanted, as a fragment; never the text.
    pub fn read(text: &[u8]) -> Result<Vec<Self>, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| NO_KEY)?.trim();
        if text.starts_with('{') {
            return read_jwks(text);
        }
        let bytes = if let Some(pem) = text.strip_prefix("-----BEGIN ") {
            let (label, rest) = pem.split_once("-----").ok_or(NO_KEY)?;
            let (encoded, _) = rest.split_once("-----END").ok_or(NO_KEY)?;
            let der = STANDARD.decode(encoded.split_ascii_whitespace().collect::<String>()).map_err(|_| NO_KEY)?;
            match label {
                "CERTIFICATE" => {
                    let certificate = CertificateDer::from(der);
                    let certificate = webpki::EndEntityCert::try_from(&certificate).map_err(|_| NO_CERTIFICATE)?;
                    certificate.subject_public_key_info().as_ref().to_vec()
                }
                "PUBLIC KEY" | "RSA PUBLIC KEY" => der,
                _ => return Err(NO_KEY),
            }
        } else if text.len() == 64 || text.len() == 130 {
            decode_hex(text.as_bytes()).ok_or(NO_KEY)?.to_vec()
        } else {
            let encoded = text.strip_prefix("whpk_").unwrap_or(text);
            STANDARD.decode(encoded.split_ascii_whitespace().collect::<String>()).map_err(|_| NO_KEY)?
        };
        Ok(vec![Self::from_bytes(bytes, &[KeyKind::Ed25519, KeyKind::P256, KeyKind::Rsa])?])
    }

    /// True if `text` is a public key: nothing that anybody may know is ever a secret.
    pub fn is_one(text: &[u8]) -> bool {
        let text = text.trim_ascii();
        (text.starts_with(b"-----BEGIN ") || text.starts_with(b"{")) && Self::read(text).is_ok()
    }

    /// A key of the first of `kinds` that `bytes` are.
    fn from_bytes(bytes: Vec<u8>, kinds: &[KeyKind]) -> Result<Self, &'static str> {
        let reads = |kind: &&KeyKind| match kind {
            KeyKind::Ed25519 => ParsedPublicKey::new(&ED25519, &bytes).is_ok(),
            KeyKind::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &bytes).is_ok(),
            KeyKind::Rsa => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &bytes).is_ok(),
        };
        let kind = *kinds.iter().find(reads).ok_or(NO_KEY)?;
        match kind {
            KeyKind::Ed25519 => refuse_small_order(&bytes[bytes.len().saturating_sub(32)..])?,
            KeyKind::P256 => {}
            // Its length tells a short key; aws-lc-rs judges the exact size at every signature.
            KeyKind::Rsa if bytes.len() < 256 => return Err("is an RSA key of fewer than 2048 bits"),
            KeyKind::Rsa => {}
        }
        Ok(Self { kind, bytes, id: None, token_algorithm: None })
    }

    /// The key, ready to verify signatures made by `algorithm`. `None` if it is a key for something else.
    pub fn verifying(&self, algorithm: Algorithm, form: EcdsaForm) -> Option<ParsedPublicKey> {
        let (kind, verification): (_, &'static dyn VerificationAlgorithm) = match (algorithm, form) {
            (Algorithm::Ed25519, _) => (KeyKind::Ed25519, &ED25519),
            (Algorithm::EcdsaP256(Hash::Sha256), EcdsaForm::Der) => (KeyKind::P256, &ECDSA_P256_SHA256_ASN1),
            (Algorithm::EcdsaP256(Hash::Sha256), EcdsaForm::Fixed) => (KeyKind::P256, &ECDSA_P256_SHA256_FIXED),
            (Algorithm::EcdsaP256(Hash::Sha1), EcdsaForm::Der) => (KeyKind::P256, &ECDSA_P256_SHA1_ASN1),
            (Algorithm::Rsa(Hash::Sha1), _) => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            (Algorithm::Rsa(Hash::Sha256), _) => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rsa(Hash::Sha384), _) => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rsa(Hash::Sha512), _) => (KeyKind::Rsa, &RSA_PKCS1_2048_8192_SHA512),
            _ => return None,
        };
        if self.kind == kind { ParsedPublicKey::new(verification, &self.bytes).ok() } else { None }
    }
}

const NO_KEY: &str = "is not a public key: PEM, base64 of its DER or of its raw bytes, hex, a certificate, JWK or JWKS";
const NO_CERTIFICATE: &str = "is not an X.509 certificate";

/// Refuses points of small order: under such a key one signature is good for many messages.
///
/// Source: the encodings of the eight torsion points of edwards25519, canonical or not, without their sign bits
/// (Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", 2020, table 1).
fn refuse_small_order(raw: &[u8]) -> Result<(), &'static str> {
    const LOW: [u8; 32] = [0; 32];
    const TOP: [u8; 32] = {
        let mut bytes = [0xff; 32];
        bytes[31] = 0x7f;
        bytes
    };
    const fn with_first(mut bytes: [u8; 32], first: u8) -> [u8; 32] {
        bytes[0] = first;
        bytes
    }
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let weak = [
        LOW,
        with_first(LOW, 1),
        with_first(TOP, 0xec),
        with_first(TOP, 0xed),
        with_first(TOP, 0xee),
        ORDER_8[0],
        ORDER_8[1],
    ];
    let mut unsigned = raw.to_vec();
    if let Some(last) = unsigned.last_mut() {
        *last &= 0x7f;
    }
    if weak.iter().any(|weak| weak[..] == unsigned[..]) {
        return Err("is an Ed25519 key of small order, under which one signature fits many messages");
    }
    Ok(())
}

/// A key of a JWKS (RFC 7517). What the set has beyond this is not read.
#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// The keys of a JWKS, or of one JWK, that can verify. Keys of other kinds are passed over.
fn read_jwks(text: &str) -> Result<Vec<PublicKey>, &'static str> {
    let keys = match serde_json::from_str::<Jwks>(text) {
        Ok(set) => set.keys,
        Err(_) => vec![serde_json::from_str::<Jwk>(text).map_err(|_| NO_KEY)?],
    };
    let mut readable = Vec::new();
    for jwk in keys.into_iter().filter(|jwk| jwk.usage.as_deref().is_none_or(|usage| usage == "sig")) {
        let Some((kind, bytes)) = jwk.kind_and_bytes() else { continue };
        let key = PublicKey::from_bytes(bytes, &[kind])?;
        readable.push(PublicKey { id: jwk.kid, token_algorithm: jwk.alg, ..key });
    }
    if readable.is_empty() {
        Err("is a JWKS without a key that could verify: Ed25519, P-256 or RSA")
    } else {
        Ok(readable)
    }
}

impl Jwk {
    /// The key's bytes. `None` for a kind that nothing here verifies with.
    fn kind_and_bytes(&self) -> Option<(KeyKind, Vec<u8>)> {
        let number = |text: &Option<String>| BASE64URL.decode(text.as_deref()?).ok();
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Some((KeyKind::Ed25519, number(&self.x)?)),
            ("EC", Some("P-256")) => {
                let (x, y) = (number(&self.x)?, number(&self.y)?);
                Some((KeyKind::P256, [&[4][..], &x, &y].concat()))
            }
            ("RSA", _) => {
                let components = RsaPublicKeyComponents { n: number(&self.n)?, e: number(&self.e)? };
                let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
                Some((KeyKind::Rsa, key.as_ref().to_vec()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::encoding::encode_hex;

    const ED25519_HEX: &str = "79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664";

    fn kind(text: &str) -> Result<KeyKind, &'static str> {
        PublicKey::read(text.as_bytes()).map(|keys| keys[0].kind)
    }

    #[test]
    fn one_key_is_read_in_each_form() {
        let raw = decode_hex(ED25519_HEX.as_bytes()).expect("hex");
        let spki = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &raw].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, BASE64URL.encode(&raw));
        for text in [ED25519_HEX, &STANDARD.encode(&raw), &STANDARD.encode(&spki), &pem, &jwk] {
            assert_eq!(kind(text), Ok(KeyKind::Ed25519), "{text}");
        }
        assert!(PublicKey::is_one(pem.as_bytes()));
        assert!(!PublicKey::is_one(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        let mut order_8 = [0; 32];
        let hex = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
        order_8.copy_from_slice(&decode_hex(hex.as_bytes()).expect("hex"));
        let mut negative = order_8;
        negative[31] |= 0x80;
        for weak in [[0; 32], one, order_8, negative] {
            let refused = kind(&encode_hex(&weak)).expect_err("a weak key");
            assert!(refused.contains("small order") || refused == NO_KEY, "{refused}");
            let refused = kind(&STANDARD.encode(weak)).expect_err("a weak key");
            assert!(refused.contains("small order") || refused == NO_KEY, "{refused}");
        }
        assert!(refuse_small_order(&order_8).is_err() && refuse_small_order(&negative).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "x", "-----BEGIN PUBLIC KEY-----", "{}", r#"{"keys":[]}"#, &"0".repeat(63), &"zz".repeat(32)] {
            assert!(kind(bad).is_err(), "{bad:?}");
        }
        let short = r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#;
        assert_eq!(kind(short), Err("is an RSA key of fewer than 2048 bits"));
    }
}
