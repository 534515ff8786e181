//! Why a signature does not match: what usually goes wrong is tried, one thing at a time.
//!
//! A finding says what would have to be otherwise for the signature to match, so it is proved and not guessed, but for
//! those that a look at the request tells.

mod body;
mod url;

use std::fmt;

use super::algorithm::{Algorithm, Hash};
use super::encoding::Encoding;
use super::place::Params;
use super::preset::Preset;
use super::request::{Head, PublicUrl};
use super::secret::{Secret, SecretForm};
use super::template::{NamedPieces, Template};
use super::timestamp::{TimeUnit, Tolerance};
use super::{Mechanism, Scheme, Verifier};
use crate::clock::UnixTime;
use crate::quantity::format_duration;
use crate::rejection::{Reason, Rejection};

/// A request that was refused, and what it was judged by.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'r> {
    pub scheme: &'r Scheme,
    /// The preset's slug, where there is one.
    pub provider: &'r str,
    /// The secrets as they were given, by name.
    pub secrets: &'r [(String, Secret)],
    pub params: &'r Params,
    pub head: Head<'r>,
    pub body: &'r [u8],
    pub now: UnixTime,
    pub rejection: &'r Rejection,
}

/// What is likely wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub cause: Cause,
    /// What it is in this request, and the way out. Never a secret, nor a signature.
    pub detail: String,
}

/// The kinds of what goes wrong, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    NewlineAdded,
    NewlineRemoved,
    LineEndings,
    ByteOrderMark,
    BodyReserialized,
    CharsetChanged,
    BodyCompressed,
    BodyCut,
    SecretDecoding,
    SecretPadding,
    SecretPrefix,
    UrlDiffers,
    OtherProvider,
    SignatureCut,
    SignatureEncoding,
    Algorithm,
    SignedContent,
    TimeUnit,
    TimestampOld,
    TimestampAhead,
    OtherHeader,
    BodyEmpty,
    OtherSecret,
}

impl Cause {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewlineAdded => "newline_added",
            Self::NewlineRemoved => "newline_removed",
            Self::LineEndings => "line_endings",
            Self::ByteOrderMark => "byte_order_mark",
            Self::BodyReserialized => "body_reserialized",
            Self::CharsetChanged => "charset_changed",
            Self::BodyCompressed => "body_compressed",
            Self::BodyCut => "body_cut",
            Self::SecretDecoding => "secret_decoding",
            Self::SecretPadding => "secret_padding",
            Self::SecretPrefix => "secret_prefix",
            Self::UrlDiffers => "url_differs",
            Self::SignatureCut => "signature_cut",
            Self::SignatureEncoding => "signature_encoding",
            Self::Algorithm => "algorithm",
            Self::SignedContent => "signed_content",
            Self::OtherProvider => "other_provider",
            Self::TimeUnit => "time_unit",
            Self::TimestampOld => "timestamp_old",
            Self::TimestampAhead => "timestamp_ahead",
            Self::OtherHeader => "other_header",
            Self::BodyEmpty => "body_empty",
            Self::OtherSecret => "other_secret",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is likely wrong with a request that was refused, the surest first; never empty for a signature that does not
/// match.
pub fn diagnose(refused: &Refused<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match refused.rejection.reason() {
        Reason::TimestampStale | Reason::TimestampFuture => findings.extend(refused.about_time()),
        Reason::TimestampMalformed => findings.extend(refused.about_unit()),
        Reason::SignatureMissing | Reason::EventIdMissing | Reason::TimestampMissing => {
            findings.extend(refused.other_headers());
            findings.extend(refused.other_providers());
        }
        Reason::SignatureMalformed | Reason::SignatureMismatch | Reason::UnknownKey | Reason::ClaimMismatch => {
            findings.extend(refused.other_encodings());
            findings.extend(refused.bodies());
            findings.extend(refused.secrets());
            findings.extend(refused.urls());
            findings.extend(refused.contents());
            findings.extend(refused.other_providers());
            findings.extend(refused.cut_signature());
            findings.extend(refused.about_unit());
            if findings.is_empty() {
                findings.extend(refused.by_looking());
            }
        }
        _ => {}
    }
    findings.sort_by_key(|finding| finding.cause);
    findings.dedup_by_key(|finding| finding.cause);
    findings
}

impl Refused<'_> {
    /// True if the signature matches under such a scheme, with such secrets and such a message. Its time is not asked.
    fn matches(&self, scheme: &Scheme, secrets: &[(String, Secret)], head: Head<'_>, body: &[u8]) -> bool {
        let ageless = scheme.altered(|alternative| {
            if let Some(timestamp) = &mut alternative.timestamp {
                timestamp.tolerance = Tolerance { past: None, future: None };
            }
        });
        let Ok(verifier) = Verifier::new(ageless, secrets, self.params.clone(), usize::MAX >> 1) else { return false };
        let judged = verifier
            .inspect(head)
            .and_then(|claimed| verifier.verify(&claimed, head, body, self.now, None).map(|_| ()));
        judged.is_ok()
    }

    fn matches_as_it_is(&self, scheme: &Scheme) -> bool {
        self.matches(scheme, self.secrets, self.head, self.body)
    }

    fn bodies(&self) -> Option<Finding> {
        body::variants(self.head, self.body)
            .find(|variant| self.matches(self.scheme, self.secrets, self.head, &variant.body))
            .map(|variant| Finding { cause: variant.cause, detail: variant.detail })
    }

    fn urls(&self) -> Option<Finding> {
        if !self.scheme.signs_url() {
            return None;
        }
        let url = url::variants(self.head).find(|url| {
            self.matches(self.scheme, self.secrets, Head { url: PublicUrl::split(url), ..self.head }, self.body)
        })?;
        let base = url.split('?').next().unwrap_or_default();
        let detail = format!("the URL that was signed is {url}: write public_url = \"{base}\"");
        Some(Finding { cause: Cause::UrlDiffers, detail })
    }

    fn secrets(&self) -> Option<Finding> {
        for (name, secret) in self.secrets {
            for variant in secret_texts(secret) {
                let given = [(name.clone(), variant.secret)];
                if self.matches(self.scheme, &given, self.head, self.body) {
                    return Some(Finding {
                        cause: variant.cause,
                        detail: format!("the secret {name} {}", variant.detail),
                    });
                }
                for form in [SecretForm::Utf8, SecretForm::Base64, SecretForm::Hex, SecretForm::Whsec] {
                    let scheme = self.scheme.altered(|alternative| alternative.secret = form);
                    if scheme != *self.scheme && self.matches(&scheme, &given, self.head, self.body) {
                        let detail = format!(
                            "the secret {name} signs when it is read as \"{}\"{}: write secret = \"{}\" in [source.signature], or give it in the form the provider shows",
                            form.as_str(),
                            if variant.detail.is_empty() {
                                String::new()
                            } else {
                                format!(", and it {}", variant.detail)
                            },
                            form.as_str()
                        );
                        return Some(Finding { cause: Cause::SecretDecoding, detail });
                    }
                }
            }
        }
        None
    }

    fn other_encodings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (word, encoding) in Encoding::WORDS {
            let scheme = self.scheme.altered(|alternative| alternative.encoding = encoding);
            if scheme != *self.scheme && self.matches_as_it_is(&scheme) {
                let detail = format!("the signature is written in {word}: write encoding = \"{word}\"");
                findings.push(Finding { cause: Cause::SignatureEncoding, detail });
            }
        }
        for hash in [Hash::Sha256, Hash::Sha1, Hash::Sha512, Hash::Sha384, Hash::Md5] {
            let scheme = self.scheme.altered(|alternative| match &mut alternative.mechanism {
                Mechanism::Pieces { algorithm: Algorithm::Hmac(known), .. } => *known = hash,
                Mechanism::Pieces { algorithm: Algorithm::Digest(known), .. } => *known = hash,
                _ => {}
            });
            if scheme != *self.scheme && self.matches_as_it_is(&scheme) {
                let word = scheme.alternatives()[0].computation();
                let detail = format!("the signature is made by {word}: write algorithm = \"{word}\"");
                findings.push(Finding { cause: Cause::Algorithm, detail });
            }
        }
        findings
    }

    fn contents(&self) -> Option<Finding> {
        const USUAL: [&str; 9] = [
            "{body}",
            "{timestamp}.{body}",
            "{timestamp}:{body}",
            "{timestamp}{body}",
            "{body}{timestamp}",
            "{id}.{timestamp}.{body}",
            "{id}{timestamp}{body}",
            "{url}{body}",
            "{method}{url}{body}",
        ];
        USUAL.into_iter().find_map(|text| {
            let signs = Template::parse(text, &NamedPieces::new()).ok()?;
            let scheme = self.scheme.altered(|alternative| {
                if let Mechanism::Pieces { signs: known, .. } = &mut alternative.mechanism {
                    *known = signs.clone();
                }
            });
            let found = scheme != *self.scheme && self.matches_as_it_is(&scheme);
            let detail = format!("what was signed is {text}, and not what the scheme says: write signs = \"{text}\"");
            found.then_some(Finding { cause: Cause::SignedContent, detail })
        })
    }

    /// Presets under which the request would have been good.
    fn other_providers(&self) -> Option<Finding> {
        let preset = Preset::all().find(|preset| {
            preset.slug != self.provider
                && preset.profile.scheme.alternatives() != self.scheme.alternatives()
                && self.matches_as_it_is(&preset.profile.scheme)
        })?;
        let detail =
            format!("under the preset of {} the signature matches: write provider = \"{}\"", preset.name, preset.slug);
        Some(Finding { cause: Cause::OtherProvider, detail })
    }

    /// Signature headers of other providers that the request has.
    fn other_headers(&self) -> Option<Finding> {
        let mut known = Preset::all().filter(|preset| preset.slug != self.provider).flat_map(|preset| {
            let headers =
                preset.profile.scheme.alternatives().iter().flat_map(|alternative| alternative.signature_headers());
            headers.map(move |header| (preset, header))
        });
        let (preset, header) = known
            .find(|(_, header)| *header != http::header::AUTHORIZATION && self.head.headers.contains_key(*header))?;
        let wanted = self.scheme.alternatives()[0].to_string();
        let detail = format!(
            "the request has the header {header}, as {} sends it (provider = \"{}\"), and no {wanted}",
            preset.name, preset.slug
        );
        Some(Finding { cause: Cause::OtherHeader, detail })
    }

    /// A signature that is only the beginning of the right one.
    fn cut_signature(&self) -> Option<Finding> {
        let verifier = Verifier::new(self.scheme.clone(), self.secrets, self.params.clone(), usize::MAX >> 1).ok()?;
        let cut = verifier.explain(self.head, self.body).iter().any(|explanation| {
            explanation.candidates.iter().any(|candidate| {
                candidate.len() >= 8
                    && explanation.computed.iter().any(|(_, computed)| {
                        computed.expose().len() > candidate.len() && computed.expose().starts_with(candidate.as_bytes())
                    })
            })
        });
        let detail =
            "the signature is the beginning of the right one: it was cut off on the way, or when it was copied";
        cut.then(|| Finding { cause: Cause::SignatureCut, detail: detail.into() })
    }

    fn about_time(&self) -> Option<Finding> {
        match self.rejection {
            Rejection::TimestampStale { age, tolerance } => Some(Finding {
                cause: Cause::TimestampOld,
                detail: format!(
                    "the signature is good, and the message is {age} s old where {} are allowed: it was kept or sent again, this clock is fast, or the provider's retries keep the first time (then raise tolerance)",
                    format_duration(*tolerance)
                ),
            }),
            Rejection::TimestampFuture { ahead, tolerance } => Some(Finding {
                cause: Cause::TimestampAhead,
                detail: format!(
                    "the signature is good, and the message is {ahead} s ahead of this clock where {} are allowed: set this clock by NTP",
                    format_duration(*tolerance)
                ),
            }),
            _ => None,
        }
    }

    /// A timestamp that is written in another unit than the scheme says.
    fn about_unit(&self) -> Option<Finding> {
        let by_name = [
            (TimeUnit::Seconds, "seconds"),
            (TimeUnit::Milliseconds, "milliseconds"),
            (TimeUnit::Iso8601, "an ISO 8601 date"),
            (TimeUnit::Iso8601Utc, "an ISO 8601 date without an offset"),
            (TimeUnit::Rfc1123, "an RFC 1123 date"),
        ];
        let word = |unit| TimeUnit::WORDS.iter().find(|(_, known)| *known == unit).map_or("", |(word, _)| word);
        by_name.into_iter().find_map(|(unit, name)| {
            let scheme = self.scheme.altered(|alternative| {
                if let Some(timestamp) = &mut alternative.timestamp {
                    timestamp.unit = unit;
                }
            });
            let found = scheme != *self.scheme && self.is_near(&scheme) && self.matches_as_it_is(&scheme);
            let detail = format!("the timestamp is {name}: write unit = \"{}\" in [source.timestamp]", word(unit));
            found.then_some(Finding { cause: Cause::TimeUnit, detail })
        })
    }

    /// True if the timestamp reads as a moment of our days.
    fn is_near(&self, scheme: &Scheme) -> bool {
        const TEN_YEARS: i64 = 10 * 366 * 86_400;
        let Ok(verifier) = Verifier::new(scheme.clone(), self.secrets, self.params.clone(), usize::MAX >> 1) else {
            return false;
        };
        verifier.explain(self.head, self.body).iter().any(|explanation| {
            explanation.timestamp.as_ref().is_some_and(|(_, time)| self.now.seconds_since(*time).abs() < TEN_YEARS)
        })
    }

    /// What is left when nothing that was tried makes the signature match.
    fn by_looking(&self) -> Option<Finding> {
        if self.body.is_empty() && self.head.method != "GET" {
            let detail = "the body is empty: something before this consumed it, or the capture lost it";
            return Some(Finding { cause: Cause::BodyEmpty, detail: detail.into() });
        }
        let detail = "nothing that usually goes wrong explains it: most likely the secret is another endpoint's or another environment's, or the body was changed on the way";
        Some(Finding { cause: Cause::OtherSecret, detail: detail.into() })
    }
}

/// A secret as it might have been meant.
struct SecretText {
    cause: Cause,
    detail: &'static str,
    secret: Secret,
}

fn secret_texts(secret: &Secret) -> Vec<SecretText> {
    let given = secret.expose();
    let trimmed = given.trim_ascii();
    let unquoted = trimmed
        .strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .or_else(|| trimmed.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")));
    let after_prefix = trimmed.iter().position(|byte| *byte == b'_').map(|at| &trimmed[at + 1..]);
    let mut texts = vec![SecretText { cause: Cause::SecretDecoding, detail: "", secret: secret.clone() }];
    let mut add = |cause, detail, bytes: &[u8]| {
        if bytes != given && !bytes.is_empty() {
            texts.push(SecretText { cause, detail, secret: Secret::new(bytes.to_vec()) });
        }
    };
    add(Cause::SecretPadding, "has space or a newline around it: take it away", trimmed);
    add(Cause::SecretPadding, "has quotes around it: take them away", unquoted.unwrap_or_default());
    add(Cause::SecretPrefix, "signs without its prefix: leave that out", after_prefix.unwrap_or_default());
    add(Cause::SecretPrefix, "signs with whsec_ before it: give it whole", &[b"whsec_", trimmed].concat());
    texts
}
