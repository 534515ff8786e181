//! Private keys, for signing what a public key verifies.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::algorithm::{Algorithm, Hash};
use super::encoding::decode_hex;
use super::public_key::EcdsaForm;

/// A private key: PKCS#8 in PEM, or an Ed25519 seed of 32 bytes in hex or base64, with or without `whsk_`.
pub struct PrivateKey {
    /// PKCS#8 in DER, or an Ed25519 seed.
    bytes: Vec<u8>,
}

const NO_KEY: &str = "is not a private key: PKCS#8 in PEM (-----BEGIN PRIVATE KEY-----), or an Ed25519 seed of 32 bytes in hex or base64";

impl PrivateKey {
    /// Reads one.
    ///
    /// # Errors
    /// What was wanted, as a fragment; never the text.
    pub fn read(text: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| NO_KEY)?.trim();
        if let Some(rest) = text.strip_prefix("-----BEGIN PRIVATE KEY-----") {
            let (encoded, _) = rest.split_once("-----END").ok_or(NO_KEY)?;
            let der = STANDARD.decode(encoded.split_ascii_whitespace().collect::<String>()).map_err(|_| NO_KEY)?;
            return Ok(Self { bytes: der });
        }
        let seed = text.strip_prefix("whsk_").unwrap_or(text);
        let seed = decode_hex(seed.as_bytes()).map(|seed| seed.to_vec()).or_else(|| STANDARD.decode(seed).ok());
        seed.filter(|seed| seed.len() == 32).map(|bytes| Self { bytes }).ok_or(NO_KEY)
    }

    /// The signature of `message`. `None` if it is a key for something else.
    pub fn sign(&self, algorithm: Algorithm, form: EcdsaForm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Ed25519 => Some(self.ed25519()?.sign(message).as_ref().to_vec()),
            Algorithm::EcdsaP256(Hash::Sha256) => {
                let signing = match form {
                    EcdsaForm::Der => &ECDSA_P256_SHA256_ASN1_SIGNING,
                    EcdsaForm::Fixed => &ECDSA_P256_SHA256_FIXED_SIGNING,
                };
                let pair = EcdsaKeyPair::from_pkcs8(signing, &self.bytes).ok()?;
                Some(pair.sign(&random, message).ok()?.as_ref().to_vec())
            }
            Algorithm::Rsa(hash) => {
                let encoding = match hash {
                    Hash::Sha256 => &RSA_PKCS1_SHA256,
                    Hash::Sha384 => &RSA_PKCS1_SHA384,
                    Hash::Sha512 => &RSA_PKCS1_SHA512,
                    Hash::Md5 | Hash::Sha1 => return None,
                };
                let pair = RsaKeyPair::from_pkcs8(&self.bytes).ok()?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            _ => None,
        }
    }

    /// The public key that verifies what this one signs, as [`super::public_key::PublicKey::read`] reads it.
    pub fn public_text(&self) -> Option<String> {
        if let Some(pair) = self.ed25519() {
            return Some(STANDARD.encode(pair.public_key()));
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.bytes) {
            return Some(super::encoding::encode_hex(pair.public_key().as_ref()));
        }
        let pair = RsaKeyPair::from_pkcs8(&self.bytes).ok()?;
        Some(STANDARD.encode(pair.public_key()))
    }

    fn ed25519(&self) -> Option<Ed25519KeyPair> {
        if self.bytes.len() == 32 {
            return Ed25519KeyPair::from_seed_unchecked(&self.bytes).ok();
        }
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::public_key::PublicKey;

    #[test]
    fn standard_webhooks_seeds_make_the_published_keys() {
        // Source: postel-sh/postel, compliance/vectors/_keys (read 2026-11-21).
        for (seed, public) in [
            ("whsk_zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0=", "/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic="),
            ("whsk_EhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhI=", "IEBA42TBDyvsnB/lAKHNTCR8idZQoB7X6CyrqGeHfCE="),
        ] {
            let key = PrivateKey::read(seed.as_bytes()).unwrap_or_else(|why| panic!("the key {why}"));
            assert_eq!(key.public_text().as_deref(), Some(public));
        }
    }

    #[test]
    fn each_kind_signs_what_its_public_key_verifies() {
        let p256 =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key").to_pkcs8v1().expect("PKCS#8");
        for (bytes, algorithm, form) in [
            (vec![7; 32], Algorithm::Ed25519, EcdsaForm::Der),
            (p256.as_ref().to_vec(), Algorithm::EcdsaP256(Hash::Sha256), EcdsaForm::Der),
            (p256.as_ref().to_vec(), Algorithm::EcdsaP256(Hash::Sha256), EcdsaForm::Fixed),
        ] {
            let key = PrivateKey { bytes };
            let text = key.public_text().expect("a public key");
            let public = PublicKey::read(text.as_bytes()).expect("our own").remove(0);
            let verifying = public.verifying(algorithm, form).expect("the same algorithm");
            let signature = key.sign(algorithm, form, b"message").expect("the same algorithm");
            assert!(verifying.verify_sig(b"message", &signature).is_ok(), "{algorithm:?}");
            assert!(verifying.verify_sig(b"massage", &signature).is_err(), "{algorithm:?}");
            assert!(key.sign(Algorithm::Rsa(Hash::Sha256), form, b"").is_none());
        }
    }
}
