//! `hookward verify --explain` names what was done to a request.

use std::io::Write;
use std::process::Stdio;

use hookward::clock::UnixTime;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use hookward::signature::{Message, Signed};
use http::HeaderMap;

use crate::support::child::hookward;

const NOW: i64 = 1_760_000_000;
const SECRET: &str = "a-secret-of-more-than-16-bytes";
const BODY: &str = "{\"id\":\"evt_1\",\"name\":\"Zoë\",\"url\":\"https://x/\",\"n\":[1,2.50]}";

/// An own scheme, as a preset file.
fn own(signature: &str, rest: &str) -> String {
    format!("[signature]\n{signature}\n{rest}")
}

/// A message as `preset` signs it, a slug or a file's text.
fn signed(preset: &str, secret: &str, body: &[u8], url: &str, now: i64) -> Signed {
    let preset = match preset.contains('\n') {
        true => Preset::from_file("own", "own.toml", preset).unwrap_or_else(|faults| panic!("{faults:?}")),
        false => Preset::find(preset).expect("a preset").clone(),
    };
    let headers = HeaderMap::new();
    let message = Message { id: "evt_1", timestamp: UnixTime(now), method: "POST", url, headers: &headers, body };
    preset.profile.scheme.sign(message, &[Secret::new(secret.into())], &Params::default()).expect("a usable secret")
}

/// A request as a capture holds it.
fn raw(signed: &Signed, more: &str, body: &[u8]) -> Vec<u8> {
    let target = signed.url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
    let mut raw = format!("POST {target} HTTP/1.1\r\nHost: gateway.example\r\n{more}").into_bytes();
    for (name, value) in &signed.headers {
        raw.extend_from_slice(format!("{name}: ").as_bytes());
        raw.extend_from_slice(value.as_bytes());
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(body);
    raw
}

/// What the command prints, and its exit code. `preset` is a slug, or the text of a file.
fn explain(preset: &str, secrets: &[(&str, &str)], more: &[&str], request: &[u8]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = match preset.contains('\n') {
        true => {
            let file = folder.path().join("own.toml");
            std::fs::write(&file, preset).expect("a file");
            file.to_str().expect("a path").to_owned()
        }
        false => preset.to_owned(),
    };
    let now = NOW.to_string();
    let mut arguments = vec!["verify", "--provider", &provider, "--explain", "--now", &now];
    for (name, _) in secrets {
        arguments.extend(["--secret-env", name]);
    }
    arguments.extend(more);
    let mut command = hookward(&arguments);
    command.envs(secrets.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    child.stdin.take().expect("a pipe").write_all(request).expect("a reader");
    let output = child.wait_with_output().expect("its end");
    let text = String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code())
}

/// A fault, planted: the scheme and secret it is verified with, the request, and the cause that must come first.
struct Planted {
    preset: String,
    secret: String,
    more: Vec<&'static str>,
    request: Vec<u8>,
    cause: &'static str,
}

fn planted(preset: &str, secret: &str, request: Vec<u8>, cause: &'static str) -> Planted {
    Planted { preset: preset.into(), secret: secret.into(), more: Vec::new(), request, cause }
}

/// Faults of the body: signed as `before`, received as `after`.
fn body(before: &[u8], after: &[u8], cause: &'static str) -> Planted {
    let signed = signed("stripe", SECRET, before, "", NOW);
    planted("stripe", SECRET, raw(&signed, "", after), cause)
}

/// Faults of the secret: signed with one, verified with another.
fn secret(preset: &str, theirs: &str, ours: &str, cause: &'static str) -> Planted {
    let signed = signed(preset, theirs, BODY.as_bytes(), "", NOW);
    planted(preset, ours, raw(&signed, "", BODY.as_bytes()), cause)
}

/// Faults of the scheme: signed by one, verified by another.
fn scheme(theirs: &str, ours: &str, cause: &'static str) -> Planted {
    let signed = signed(theirs, SECRET, BODY.as_bytes(), "", NOW);
    planted(ours, SECRET, raw(&signed, "", BODY.as_bytes()), cause)
}

/// Faults of the URL: signed for one, judged as another.
fn url(theirs: &str, ours: &'static str, header: &str) -> Planted {
    let signed = signed("square", SECRET, BODY.as_bytes(), theirs, NOW);
    let request = raw(&signed, header, BODY.as_bytes());
    Planted { more: vec!["--url", ours], ..planted("square", SECRET, request, "url_differs") }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn all() -> Vec<Planted> {
    let text = BODY.as_bytes();
    let latin: Vec<u8> = BODY.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    let spaced = BODY.replace("\":", "\": ").replace(",\"", ", \"").replace("1,2", "1, 2");
    let own_hex = own("algorithm = \"hmac-sha256\"\nheader = \"x-sig\"", "");
    let with = |line: &str| own(&format!("algorithm = \"hmac-sha256\"\nheader = \"x-sig\"\n{line}"), "");
    let timed = |line: &str, time: &str| {
        own(
            &format!("algorithm = \"hmac-sha256\"\nheader = \"x-sig\"\n{line}"),
            &format!("[timestamp]\nheader = \"x-time\"\ntolerance = \"5m\"\n{time}"),
        )
    };
    let hex_secret = "00112233445566778899aabbccddeeff";
    let good = signed("stripe", SECRET, text, "", NOW);
    let cut = {
        let mut cut = signed("github", SECRET, text, "", NOW);
        let value = cut.headers["x-hub-signature-256"].to_str().expect("text")[..50].to_owned();
        cut.headers.insert("x-hub-signature-256", value.parse().expect("a value"));
        cut
    };
    let aged = |seconds: i64| raw(&signed("stripe", SECRET, text, "", NOW + seconds), "", text);
    vec![
        body(text, &[text, b"\n"].concat(), "newline_added"),
        body(&[text, b"\r\n"].concat(), text, "newline_removed"),
        body(b"a\nb\n", b"a\r\nb\r\n", "line_endings"),
        body(text, &[b"\xef\xbb\xbf", text].concat(), "byte_order_mark"),
        body(text, spaced.as_bytes(), "body_reserialized"),
        body(spaced.as_bytes(), text, "body_reserialized"),
        body(BODY.replace('ë', "\\u00eb").as_bytes(), text, "body_reserialized"),
        body(BODY.replace('/', "\\/").as_bytes(), text, "body_reserialized"),
        body(&latin, text, "charset_changed"),
        body(text, &gzipped(text), "body_compressed"),
        planted(
            "stripe",
            SECRET,
            raw(&good, &format!("Content-Length: {}\r\n", text.len()), &[text, b"--more--"].concat()),
            "body_cut",
        ),
        planted("stripe", SECRET, raw(&good, "", b""), "body_empty"),
        secret("stripe", SECRET, &format!("{SECRET}\n"), "secret_padding"),
        secret("stripe", SECRET, &format!("\"{SECRET}\""), "secret_padding"),
        secret("stripe", "whsec_c2VjcmV0c2VjcmV0", "c2VjcmV0c2VjcmV0", "secret_prefix"),
        secret("stripe", SECRET, "another-secret-of-16-bytes", "other_secret"),
        planted(
            "adyen-platform",
            hex_secret,
            {
                let theirs = own("algorithm = \"hmac-sha256\"\nheader = \"HmacSignature\"\nencoding = \"base64\"", "");
                raw(&signed(&theirs, hex_secret, text, "", NOW), "", text)
            },
            "secret_decoding",
        ),
        url("https://hooks.example.com/in/square", "http://hooks.example.com/in/square", ""),
        url("https://hooks.example.com/in/square", "https://hooks.example.com:8443/in/square", ""),
        url(
            "https://hooks.example.com/in/square",
            "http://10.0.0.7:8080/in/square",
            "X-Forwarded-Host: hooks.example.com\r\n",
        ),
        url(
            "https://hooks.example.com/api/in/square",
            "https://hooks.example.com/in/square",
            "X-Forwarded-Prefix: /api\r\n",
        ),
        planted("github", SECRET, raw(&cut, "", text), "signature_cut"),
        scheme(&with("encoding = \"base64\""), &own_hex, "signature_encoding"),
        scheme(&own_hex.replace("sha256", "sha512"), &own_hex, "algorithm"),
        scheme(&timed("signs = \"{timestamp}.{body}\"", ""), &timed("signs = \"{body}\"", ""), "signed_content"),
        scheme(
            &timed("signs = \"{timestamp}.{body}\"", "unit = \"ms\""),
            &timed("signs = \"{timestamp}.{body}\"", ""),
            "time_unit",
        ),
        scheme("vgs", "vgs-timestamped", "other_provider"),
        planted("stripe", SECRET, aged(-301), "timestamp_old"),
        planted("stripe", SECRET, aged(301), "timestamp_ahead"),
        planted(
            "github",
            "whsec_c2VjcmV0c2VjcmV0",
            raw(&signed("svix", "whsec_b3RoZXJvdGhlcm90aGVy", text, "", NOW), "", text),
            "other_header",
        ),
    ]
}

#[test]
fn the_true_cause_comes_first() {
    for (place, planted) in all().into_iter().enumerate() {
        let (text, code) = explain(&planted.preset, &[("SECRET", &planted.secret)], &planted.more, &planted.request);
        let first = text.lines().find(|line| line.starts_with("  1. ")).unwrap_or_default();
        assert!(first.ends_with(&format!("({})", planted.cause)), "{place}: {} is not first in\n{text}", planted.cause);
        assert_eq!(code, Some(1), "{text}");
        assert!(!text.contains(planted.secret.trim()), "{place} shows the secret:\n{text}");
        let good = signed("stripe", SECRET, BODY.as_bytes(), "", NOW);
        let signature = good.headers["stripe-signature"].to_str().expect("text").rsplit('=').next().expect("a value");
        let received = String::from_utf8_lossy(&planted.request).contains(signature);
        assert!(received || !text.contains(signature), "{place} shows a usable signature:\n{text}");
    }
}

#[test]
fn of_several_secrets_it_names_the_one_that_matches() {
    let request = raw(&signed("stripe", SECRET, BODY.as_bytes(), "", NOW), "", BODY.as_bytes());
    let (text, code) = explain("stripe", &[("LIVE", "the-live-secret-of-16-bytes"), ("TEST", SECRET)], &[], &request);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("It is TEST that matches, and not LIVE"), "{text}");
}

#[test]
fn what_was_signed_is_shown_piece_by_piece() {
    let request = raw(&signed("stripe", SECRET, BODY.as_bytes(), "", NOW), "", BODY.as_bytes());
    let (text, _) = explain("stripe", &[("SECRET", SECRET)], &[], &request);
    assert!(text.contains("{timestamp}  1760000000   from header stripe-signature"), "{text}");
    assert!(text.contains(&format!("{{body}}       {BODY}   from the body")), "{text}");
    let (text, _) = explain(
        "hubspot-v1",
        &[("SECRET", SECRET)],
        &[],
        &raw(&signed("hubspot-v1", SECRET, b"{}", "", NOW), "", b"{}"),
    );
    assert!(text.contains("(the secret)") && !text.contains(SECRET), "{text}");
}

#[test]
fn a_usable_signature_is_shown_only_when_asked_for() {
    let good = signed("github", SECRET, BODY.as_bytes(), "", NOW);
    let signature =
        good.headers["x-hub-signature-256"].to_str().expect("text").trim_start_matches("sha256=").to_owned();
    let mut bad = good.clone();
    bad.headers.insert("x-hub-signature-256", format!("sha256={}", "0".repeat(64)).parse().expect("a value"));
    let request = raw(&bad, "", BODY.as_bytes());
    let (text, _) = explain("github", &[("SECRET", SECRET)], &[], &request);
    assert!(!text.contains(&signature), "{text}");
    let (text, _) = explain("github", &[("SECRET", SECRET)], &["--show-computed"], &request);
    assert!(text.contains(&signature), "{text}");
}

#[test]
fn what_cannot_be_judged_says_what_is_missing() {
    let request = b"POST / HTTP/1.1\r\n\r\n";
    let (text, code) = explain("google-pubsub", &[], &[], request);
    assert!(text.contains("nothing is fetched here") && code == Some(2), "{text}");
    let (text, code) = explain("livekit", &[("SECRET", SECRET)], &[], request);
    assert!(text.contains("--param api_key=") && code == Some(2), "{text}");
    let (text, code) = explain("strip", &[("SECRET", SECRET)], &[], request);
    assert!(text.contains("did you mean \"stripe\"?") && code == Some(2), "{text}");
    let (text, code) = explain("stripe", &[("SECRET", SECRET)], &[], b"{}");
    assert!(text.contains("not a raw HTTP request") && code == Some(2), "{text}");
    let (text, code) = explain("[signature]\nalgoritm = \"hmac-sha256\"\n", &[("SECRET", SECRET)], &[], request);
    assert!(text.contains("own.toml:2:1") && text.contains("did you mean `algorithm`?") && code == Some(2), "{text}");
}
