//! Paytm's checksum: `base64(AES-128-CBC(hex(SHA-256(values | salt)) + salt))`.
//!
//! Source: paytmchecksum 1.5.1 on npm and its namesake on PyPI, whose verdicts tests/vectors/paytm.jsonl records.

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::signature::algorithm::Hash;
use crate::signature::encoding::encode_hex;
use crate::signature::form;
use crate::signature::key::Keyed;
use crate::signature::place::Contents;
use crate::signature::secret::Secret;

/// The same for every merchant and message.
const IV: [u8; 16] = *b"@@@@&&&&####$$$$";

/// The field that holds the checksum and is not part of it.
const FIELD: &str = "CHECKSUMHASH";

const SALT_LEN: usize = 4;

/// A checksum has 108 characters.
const MAX_CHECKSUM: usize = 256;

/// More fields than this are no payment.
const MAX_FIELDS: usize = 1024;

/// A merchant key, which is an AES-128 key as it stands.
pub fn keyed(secret: &Secret) -> Result<Keyed, &'static str> {
    if secret.expose().len() == 16 {
        Ok(Keyed::Secret(secret.clone()))
    } else {
        Err("is not a merchant key of 16 bytes")
    }
}

/// True if `candidate` decrypts to the digest of the form's fields and its own salt.
pub fn verify(contents: Contents<'_>, key: &Keyed, candidate: &str) -> bool {
    let Keyed::Secret(secret) = key else { return false };
    let Some(values) = values(contents.body) else { return false };
    // What does not decrypt is compared all the same: the time it takes must not tell good padding from bad.
    let plain =
        decrypt(secret, candidate).filter(|plain| plain.len() > SALT_LEN).unwrap_or_else(|| vec![0; 64 + SALT_LEN]);
    let (digest, salt) = plain.split_at(plain.len() - SALT_LEN);
    digest.ct_eq(digest_of(&values, salt).as_bytes()).into()
}

/// The checksum of the form's fields. The salt comes from the digest, so that equal forms have equal checksums.
pub fn sign(contents: Contents<'_>, secret: &Secret) -> Result<String, &'static str> {
    keyed(secret)?;
    let values = values(contents.body).ok_or("cannot sign this: the body is no form")?;
    let salt = &digest_of(&values, b"")[..SALT_LEN];
    let plain = format!("{}{salt}", digest_of(&values, salt.as_bytes()));
    encrypt(secret, plain.into_bytes()).ok_or("cannot encrypt")
}

/// The values in the order of their names, each followed by what separates it from the next.
fn values(body: &[u8]) -> Option<String> {
    let mut fields: Vec<_> = form::fields(body).take(MAX_FIELDS + 1).collect::<Option<_>>()?;
    if fields.len() > MAX_FIELDS {
        return None;
    }
    fields.retain(|(name, _)| name != FIELD);
    fields.sort();
    let mut text = String::new();
    for (_, value) in &fields {
        if !value.eq_ignore_ascii_case("null") {
            text.push_str(value);
        }
        text.push('|');
    }
    Some(text)
}

fn digest_of(values: &str, salt: &[u8]) -> String {
    encode_hex(&Hash::Sha256.digest([values.as_bytes(), salt].into_iter()))
}

fn decrypt(secret: &Secret, candidate: &str) -> Option<Vec<u8>> {
    if candidate.len() > MAX_CHECKSUM {
        return None;
    }
    let mut bytes = STANDARD.decode(candidate).ok()?;
    let key = UnboundCipherKey::new(&AES_128, secret.expose()).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let plain = key.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(&IV))).ok()?;
    Some(plain.to_vec())
}

fn encrypt(secret: &Secret, mut plain: Vec<u8>) -> Option<String> {
    let key = UnboundCipherKey::new(&AES_128, secret.expose()).ok()?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
    key.less_safe_encrypt(&mut plain, EncryptionContext::Iv128(FixedLength::from(&IV))).ok()?;
    Some(STANDARD.encode(plain))
}
