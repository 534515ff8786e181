//! Answers that are given again to the same request: `Idempotency-Key`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Sender;
use super::name;
use super::refusal::{Code, Refusal};
use super::vault::Vault;
use crate::clock::UnixMillis;
use crate::signature::encoding::encode_hex;
use crate::store::{Idempotent, Replayed};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What is answered: a status and JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// True if it was made for an earlier request.
    pub replayed: bool,
}

/// Which request it is, for one that came with an `Idempotency-Key`.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey {
    /// Digest of whose it is, what it asks for and the key.
    pub key: [u8; 16],
    /// Digest of its body.
    pub request: [u8; 16],
}

impl Answer {
    /// `status` with `body` as JSON.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("plain structs").into();
        Self { status, body, replayed: false }
    }

    /// As it is kept for `key`. It may have a secret in it, so it is sealed.
    pub fn keep(&self, key: RequestKey, vault: &Vault, now: UnixMillis) -> Idempotent {
        let plain = [&self.status.as_u16().to_be_bytes()[..], &self.body].concat();
        let response = vault.seal(&place(key.key), &plain).into();
        Idempotent { key: key.key, request: key.request, response, until: now.after(KEPT) }
    }

    /// The one that was kept, for the same request.
    ///
    /// # Errors
    /// If the key was used for another request.
    pub fn again(kept: &Replayed, key: RequestKey, vault: &Vault) -> Result<Self, Refusal> {
        if kept.request != key.request {
            let detail =
                "this Idempotency-Key was used for a request with another body: use a key once for each request";
            return Err(Refusal::new(Code::IdempotencyConflict, detail));
        }
        let unreadable = || Refusal::new(Code::Failed, "the answer that was kept cannot be read");
        let plain = vault.open(&place(key.key), &kept.response).map_err(|_| unreadable())?;
        let (status, body) = plain.split_first_chunk::<2>().ok_or_else(unreadable)?;
        let status = StatusCode::from_u16(u16::from_be_bytes(*status)).map_err(|_| unreadable())?;
        Ok(Self { status, body: Bytes::copy_from_slice(body), replayed: true })
    }
}

impl RequestKey {
    /// Of a request: whose it is, its method and path, its key and its body.
    pub fn new(account: &str, method: &str, path: &str, key: &[u8], body: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for part in [account.as_bytes(), method.as_bytes(), path.as_bytes(), key] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self { key: half(&digest.finalize()), request: half(&Sha256::digest(body)) }
    }

    /// The id of the event at this place of the request, where its maker gave none.
    pub fn event_id(&self, at: usize) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update((at as u64).to_be_bytes()).finalize();
        format!("{}{}", name::EVENT, encode_hex(&half(&digest)))
    }
}

impl Sender {
    /// What came of a request; where it was refused, what was answered to the same request before: once it was done, it
    /// may be in its own way.
    ///
    /// # Errors
    /// If it was refused, and was not answered before.
    pub async fn or_before(
        &self,
        outcome: Result<Answer, Refusal>,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        match outcome {
            Ok(answer) => Ok(answer),
            Err(refusal) => self.kept_answer(key).await?.ok_or(refusal),
        }
    }

    /// What was answered before to the request of this key.
    ///
    /// # Errors
    /// If the key was used for another request, or the store cannot be asked.
    pub(super) async fn kept_answer(&self, key: Option<RequestKey>) -> Result<Option<Answer>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        let kept = self.store.answered(key.key, self.clock.millis()).await?;
        kept.map(|kept| Answer::again(&kept, key, &self.vault)).transpose()
    }
}

fn half(digest: &[u8]) -> [u8; 16] {
    digest[..16].try_into().expect("SHA-256 gives 32 bytes")
}

fn place(key: [u8; 16]) -> String {
    format!("answer {:032x}", u128::from_be_bytes(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::secret::Secret;
    use serde_json::json;

    #[test]
    fn an_answer_is_given_again_to_the_same_request_only() {
        let vault = Vault::new(&[Secret::new(b"key".to_vec())]);
        let request = |path: &str, body: &[u8]| RequestKey::new("default", "POST", path, b"k", body);
        let answer = Answer::new(StatusCode::CREATED, &json!({"secret": "whsec_x"}));
        let kept = answer.keep(request("/webhooks", b"{}"), &vault, UnixMillis(0));
        assert!(!kept.response.windows(7).any(|part| part == b"whsec_x"));
        let kept = Replayed { request: kept.request, response: kept.response };
        let again = Answer::again(&kept, request("/webhooks", b"{}"), &vault).expect("the same");
        assert_eq!((again.status, &again.body, again.replayed), (StatusCode::CREATED, &answer.body, true));
        let other = Answer::again(&kept, request("/webhooks", b"{ }"), &vault).expect_err("another body");
        assert_eq!(other.code, Code::IdempotencyConflict);
        assert_ne!(request("/events", b"").key, request("/webhooks", b"").key);
    }
}
