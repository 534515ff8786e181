//! What a verification costs above the cryptography that is in it.
//!
//! `cargo bench --bench verify -- --rounds 20 --millis 70 --schemes github,stripe`
//!
//! A verification is `Verifier::inspect` and `Verifier::verify`, as the gateway calls them for a request of 1 KiB; the
//! bare primitive is the same library over the bytes that are signed, with the tag already decoded. Both take turns in
//! slices of 100 us, and a round's figure is the median of its slices, so that a slice in which the core was taken away
//! does not count. What counts is the difference within a round, over many rounds. A busy sibling of the core slows
//! ordinary code by half and SHA instructions hardly at all: where the figures spread, the least are the quiet ones.

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;

use hookward::clock::UnixTime;
use hookward::signature::encoding::{Encoding, encode_hex};
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::request::{Head, PublicUrl};
use hookward::signature::secret::Secret;
use hookward::signature::{Message, Signed, Verifier};

/// How long one side runs before it is the other's turn.
const SLICE: Duration = Duration::from_micros(100);

const BODY_LEN: usize = 1 << 10;

const ID: &str = "evt_1PqRs2TuVwXyZ0123456789a";
const NOW: UnixTime = UnixTime(1_795_000_000);
const URL: &str = "https://hooks.example.com/in/bench";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// Measures what a verification costs beside the bare primitive.
#[derive(Debug, Parser)]
struct Cli {
    /// How often each scheme is measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Milliseconds that each side of a scheme has in each round
    #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    millis: u64,
    /// Only these, as in `github,stripe`
    #[arg(long, value_delimiter = ',')]
    schemes: Vec<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if !cli.bench {
        eprintln!("Nothing is measured without --bench, which `cargo bench` gives");
        return Ok(());
    }
    let mut subjects = subjects()?;
    subjects.retain(|subject| cli.schemes.is_empty() || cli.schemes.iter().any(|slug| slug == subject.slug));
    for _ in 0..cli.rounds {
        for subject in &mut subjects {
            let round = subject.measure(Duration::from_millis(cli.millis));
            subject.rounds.push(round);
        }
    }
    print!("{}", table(&subjects));
    Ok(())
}

/// A message of one scheme, and what judges it.
struct Subject {
    slug: &'static str,
    computation: String,
    verifier: Verifier,
    message: Signed,
    bare: Bare,
    rounds: Vec<Round>,
}

/// Nanoseconds for each time.
#[derive(Clone, Copy)]
struct Round {
    bare: f64,
    verification: f64,
}

/// The primitive, with all that does not change from message to message already done.
struct Bare {
    key: BareKey,
    signed: Vec<u8>,
    tag: Vec<u8>,
}

enum BareKey {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    Public(ParsedPublicKey),
}

impl Bare {
    fn verify(&self) -> bool {
        let (signed, tag) = black_box((&self.signed[..], &self.tag[..]));
        match &self.key {
            BareKey::HmacSha1(state) => state.clone().chain_update(signed).verify_slice(tag).is_ok(),
            BareKey::HmacSha256(state) => state.clone().chain_update(signed).verify_slice(tag).is_ok(),
            BareKey::Public(key) => key.verify_sig(signed, tag).is_ok(),
        }
    }
}

impl Subject {
    fn new(scheme: &Scheme) -> anyhow::Result<Self> {
        let preset = Preset::find(scheme.slug).map_err(|why| anyhow!(why))?;
        let (url, body) = (URL, (scheme.body)());
        let (params, headers) = (Params::default(), usual_headers(&body));
        let message = Message { id: ID, timestamp: NOW, method: "POST", url, headers: &headers, body: &body };
        let secrets = [Secret::new(scheme.keys.signing.clone().into_bytes())];
        let message = preset.profile.scheme.sign(message, &secrets, &params).map_err(|why| anyhow!(why))?;
        let text = message.headers.get(scheme.header).context("it is not where it should be")?.to_str()?;
        let tag = scheme.encoding.decode(text.rsplit(scheme.before).next().unwrap_or(text).as_bytes(), None);
        let bare = Bare {
            key: (scheme.keys.bare)()?,
            signed: (scheme.signs)(&message),
            tag: tag.context("it is not encoded as it should be")?.to_vec(),
        };
        let secrets = [("1".to_owned(), Secret::new(scheme.keys.verifying.clone().into_bytes()))];
        let verifier = Verifier::new(preset.profile.scheme.clone(), &secrets, params, 1 << 20)
            .map_err(|(_, why)| anyhow!("the key {why}"))?;
        let computation = preset.profile.scheme.alternatives()[0].computation();
        let subject = Self { slug: scheme.slug, computation, verifier, message, bare, rounds: Vec::new() };
        ensure!(subject.message.body.len() == BODY_LEN, "the body has another length");
        ensure!(subject.bare.verify(), "the primitive judges other bytes");
        ensure!(subject.verify(), "the message is refused");
        Ok(subject)
    }

    fn verify(&self) -> bool {
        let Signed { url, headers, body } = black_box(&self.message);
        let head = Head { method: "POST", url: PublicUrl::split(url), headers };
        let Ok(claimed) = self.verifier.inspect(head) else { return false };
        black_box(self.verifier.verify(&claimed, head, body, NOW, None)).is_ok()
    }

    /// Both in turns, until each has had `time`.
    fn measure(&self, time: Duration) -> Round {
        let (bare, verification) = (|| self.bare.verify(), || self.verify());
        let (bare_times, verification_times) = (times_in_slice(bare), times_in_slice(verification));
        let (mut bares, mut verifications) = (Vec::new(), Vec::new());
        let started = Instant::now();
        while started.elapsed() < 2 * time {
            bares.push(nanoseconds(bare, bare_times));
            verifications.push(nanoseconds(verification, verification_times));
        }
        Round { bare: median(bares), verification: median(verifications) }
    }
}

/// How often `run` fits into a slice.
fn times_in_slice(run: impl Fn() -> bool) -> u32 {
    let one = median((0..9).map(|_| nanoseconds(&run, 10)).collect());
    (SLICE.as_nanos() as f64 / one).clamp(1.0, 10_000.0) as u32
}

/// What `run` takes on average.
fn nanoseconds(run: impl Fn() -> bool, times: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..times {
        assert!(run(), "what was good a moment ago is refused");
    }
    started.elapsed().as_nanos() as f64 / f64::from(times)
}

/// A scheme that is measured.
struct Scheme {
    slug: &'static str,
    keys: Keys,
    /// Where the signature stands, what stands before it there, and how it is written.
    header: &'static str,
    before: &'static str,
    encoding: Encoding,
    /// The bytes that are signed, made without the product.
    signs: fn(&Signed) -> Vec<u8>,
    body: fn() -> Vec<u8>,
}

/// The key as the signer, the verifier and the primitive want it.
struct Keys {
    signing: String,
    verifying: String,
    bare: Box<dyn Fn() -> anyhow::Result<BareKey>>,
}

fn subjects() -> anyhow::Result<Vec<Subject>> {
    let schemes = [
        Scheme {
            slug: "github",
            keys: secret(|| Ok(BareKey::HmacSha256(Hmac::new_from_slice(SECRET.as_bytes())?))),
            header: "x-hub-signature-256",
            before: "sha256=",
            encoding: Encoding::Hex,
            signs: |message| message.body.clone(),
            body: json,
        },
        Scheme {
            slug: "standard-webhooks",
            keys: secret(|| {
                let key = STANDARD.decode(SECRET.trim_start_matches("whsec_"))?;
                Ok(BareKey::HmacSha256(Hmac::new_from_slice(&key)?))
            }),
            header: "webhook-signature",
            before: "v1,",
            encoding: Encoding::Base64,
            signs: |message| [format!("{ID}.{NOW}.").as_bytes(), &message.body].concat(),
            body: json,
        },
        Scheme {
            slug: "stripe",
            keys: secret(|| Ok(BareKey::HmacSha256(Hmac::new_from_slice(SECRET.as_bytes())?))),
            header: "stripe-signature",
            before: "v1=",
            encoding: Encoding::Hex,
            signs: |message| [format!("{NOW}.").as_bytes(), &message.body].concat(),
            body: json,
        },
        Scheme {
            slug: "twilio",
            keys: secret(|| Ok(BareKey::HmacSha1(Hmac::new_from_slice(SECRET.as_bytes())?))),
            header: "x-twilio-signature",
            before: " ",
            encoding: Encoding::Base64,
            signs: |_| {
                let mut fields = sms();
                fields.sort();
                let fields: String = fields.into_iter().map(|(name, value)| format!("{name}{value}")).collect();
                format!("{URL}{fields}").into_bytes()
            },
            body: form,
        },
        Scheme {
            slug: "discord",
            keys: ed25519()?,
            header: "x-signature-ed25519",
            before: " ",
            encoding: Encoding::Hex,
            signs: |message| [NOW.to_string().as_bytes(), &message.body].concat(),
            body: json,
        },
        Scheme {
            slug: "sendgrid",
            keys: p256()?,
            header: "x-twilio-email-event-webhook-signature",
            before: " ",
            encoding: Encoding::Base64,
            signs: |message| [NOW.to_string().as_bytes(), &message.body].concat(),
            body: json,
        },
        Scheme {
            slug: "kick",
            keys: rsa()?,
            header: "kick-event-signature",
            before: " ",
            encoding: Encoding::Base64,
            signs: |message| {
                let timestamp = message.headers["kick-event-message-timestamp"].as_bytes();
                [ID.as_bytes(), b".", timestamp, b".", &message.body].concat()
            },
            body: json,
        },
    ];
    schemes.iter().map(|scheme| Subject::new(scheme).context(scheme.slug)).collect()
}

fn secret(bare: impl Fn() -> anyhow::Result<BareKey> + 'static) -> Keys {
    Keys { signing: SECRET.to_owned(), verifying: SECRET.to_owned(), bare: Box::new(bare) }
}

/// The public key in hex, as Discord shows it.
fn ed25519() -> anyhow::Result<Keys> {
    let pair = Ed25519KeyPair::generate()?;
    let public = pair.public_key().as_ref().to_vec();
    Ok(Keys {
        signing: pem("PRIVATE KEY", pair.to_pkcs8()?.as_ref()),
        verifying: encode_hex(&public),
        bare: Box::new(move || Ok(BareKey::Public(ParsedPublicKey::new(&ED25519, &public)?))),
    })
}

/// The public key in base64, as SendGrid shows it.
fn p256() -> anyhow::Result<Keys> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    Ok(Keys {
        signing: pem("PRIVATE KEY", pair.to_pkcs8v1()?.as_ref()),
        verifying: STANDARD.encode(public.as_ref()),
        bare: Box::new(move || Ok(BareKey::Public(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public.as_ref())?))),
    })
}

/// The public key in PEM, as Kick publishes it.
fn rsa() -> anyhow::Result<Keys> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der()?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    Ok(Keys {
        signing: pem("PRIVATE KEY", private.as_ref()),
        verifying: pem("PUBLIC KEY", public.as_ref()),
        bare: Box::new(move || {
            Ok(BareKey::Public(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())?))
        }),
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// What a request has beside what its scheme wants.
fn usual_headers(body: &[u8]) -> HeaderMap {
    let json = body.starts_with(b"{");
    let usual = [
        ("host", "hooks.example.com"),
        ("user-agent", "Provider-Webhooks/1.0"),
        ("accept", "*/*"),
        ("content-type", if json { "application/json" } else { "application/x-www-form-urlencoded" }),
        ("content-length", "1024"),
    ];
    usual.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).into_iter().collect()
}

/// An event with its id in front, as Stripe writes it.
fn json() -> Vec<u8> {
    let (before, after) = (format!(r#"{{"id":"{ID}","type":"bench","data":{{"padding":""#), r#""}}"#);
    let padding = "x".repeat(BODY_LEN - before.len() - after.len());
    [before, padding, after.to_owned()].concat().into_bytes()
}

/// An SMS that came in, as Twilio says it.
fn form() -> Vec<u8> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        sms().into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(&value))).collect();
    pairs.join("&").into_bytes()
}

/// Its fields, which make a form of 1 KiB.
fn sms() -> Vec<(&'static str, String)> {
    [
        ("ToCountry", "US".to_owned()),
        ("ToState", "CA".to_owned()),
        ("SmsMessageSid", format!("SM{:032}", 1)),
        ("NumMedia", "0".to_owned()),
        ("ToCity", "SAN FRANCISCO".to_owned()),
        ("FromZip", "10001".to_owned()),
        ("SmsSid", format!("SM{:032}", 1)),
        ("FromState", "NY".to_owned()),
        ("SmsStatus", "received".to_owned()),
        ("FromCity", "NEW YORK".to_owned()),
        ("Body", format!("Hello, {}", "x".repeat(596))),
        ("FromCountry", "US".to_owned()),
        ("To", "+14155550123".to_owned()),
        ("ToZip", "94105".to_owned()),
        ("NumSegments", "1".to_owned()),
        ("MessageSid", format!("SM{:032}", 1)),
        ("AccountSid", format!("AC{:032}", 1)),
        ("From", "+12125550123".to_owned()),
        ("ApiVersion", "2010-04-01".to_owned()),
    ]
    .into()
}

/// One line for each scheme, in nanoseconds.
fn table(subjects: &[Subject]) -> String {
    let mut text = format!(
        "{:<18} {:<18} {:>9} {:>12} {:>12} {:>17} {:>7}\n",
        "scheme", "computation", "bare ns", "verify ns", "above it ns", "[min, max]", "ratio"
    );
    for Subject { slug, computation, rounds, .. } in subjects {
        let over = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
        let mut above = over(|round| round.verification - round.bare);
        above.sort_by(f64::total_cmp);
        let span = format!("[{:.0}, {:.0}]", above[0], above[above.len() - 1]);
        let bare = median(over(|round| round.bare));
        let verification = median(over(|round| round.verification));
        let ratio = median(over(|round| round.verification / round.bare));
        let above = median(above);
        // A String takes every character.
        let _ = writeln!(
            text,
            "{slug:<18} {computation:<18} {bare:>9.0} {verification:>12.0} {above:>12.0} {span:>17} {ratio:>7.2}"
        );
    }
    text
}

/// Of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
