use http::HeaderMap;

use super::*;
use crate::document::{Faults, Table};
use crate::signature::algorithm::Hash;
use crate::signature::preset::Preset;
use crate::signature::request::{Head, PublicUrl};

const SCHEME: &str = "[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n[[challenge]]\nname = \"c\"\n";

fn faults(challenge: &str) -> String {
    let faults = Preset::from_file("own", "own.toml", &format!("{SCHEME}{challenge}")).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn means() -> Means {
    Means {
        key: Some(Secret::new(b"secret".to_vec())),
        verify_token: Some(Secret::new(b"vt-0123456789".to_vec())),
        params: Params::new(vec![("key".into(), vec!["pk".into(), "pk2".into()])]),
        url: Some("https://hooks.example.com/in".into()),
        learns: true,
    }
}

fn challenge(text: &str) -> Challenge {
    let file = format!("{SCHEME}{text}");
    let preset = Preset::from_file("own", "own.toml", &file).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    preset.profile.challenges[0].clone()
}

fn judge_with(
    challenge: &Challenge,
    query: &str,
    headers: &[(&str, &str)],
    body: &str,
    means: &Means,
) -> Result<Option<Wanted>, Rejection> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        map.append(name, value.parse().expect("a value"));
    }
    let url = PublicUrl { base: "", query: Some(query) };
    let head = Head { method: challenge.method.as_str(), url, headers: &map };
    challenge.judge(Contents { head, body: body.as_bytes(), json: body.as_bytes() }, means)
}

fn text_of(wanted: Result<Option<Wanted>, Rejection>) -> String {
    match wanted {
        Ok(Some(Wanted::Answer(Some(Answer { body: AnswerBody::Text(text) | AnswerBody::Json(text), .. })))) => text,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_value_is_echoed_as_its_shape_allows_and_else_refused() {
    let it = challenge("method = \"GET\"\necho = { query = \"c\", max = 8 }\nanswer = { text = \"{echo}\" }");
    let judge = |query| judge_with(&it, query, &[], "", &means());
    assert_eq!(text_of(judge("c=abc-_.~8")), "abc-_.~8");
    assert_eq!(judge("d=1"), Ok(None));
    for bad in ["c=", "c=%3Cscript%3E", "c=a%0d%0ab", "c=123456789", "c=%7B%22a%22%3A1%7D"] {
        assert!(matches!(judge(bad), Err(Rejection::ChallengeMalformed(_))), "{bad}");
    }
    assert!(matches!(judge("c=1&c=2"), Err(Rejection::HeaderConflict(_))));
    let json = challenge("method = \"GET\"\necho = { query = \"c\" }\nanswer = { json = '{\"c\":{echo}}' }");
    assert_eq!(text_of(judge_with(&json, "c=a", &[], "", &means())), r#"{"c":"a"}"#);
}

#[test]
fn every_condition_must_hold() {
    let it = challenge("when = [{ json = \"/type\", is = [\"a\", \"b\"] }, { header = \"X-K\" }]");
    let judge = |headers: &[(&str, &str)], body| judge_with(&it, "", headers, body, &means());
    assert_eq!(judge(&[("x-k", "1")], r#"{"type":"b"}"#), Ok(Some(Wanted::Answer(None))));
    for (headers, body) in [
        (&[("x-k", "1")][..], r#"{"type":"c"}"#),
        (&[("x-k", "")], r#"{"type":"a"}"#),
        (&[], r#"{"type":"a"}"#),
        (&[("x-k", "1")], ""),
    ] {
        assert_eq!(judge(headers, body), Ok(None), "{headers:?} {body}");
    }
    let padding = "x".repeat(Challenge::MAX_LEN);
    assert_eq!(judge(&[("x-k", "1")], &format!(r#"{{"type":"a","p":"{padding}"}}"#)), Ok(None), "too large");
}

#[test]
fn a_whole_body_is_compared_as_json() {
    let it = challenge("body = '{\"a\":[1,2],\"b\":null}'\nsigned = false");
    let judge = |body| judge_with(&it, "", &[], body, &means());
    assert_eq!(judge("{ \"b\": null, \"a\": [1, 2] }"), Ok(Some(Wanted::Answer(None))));
    for other in ["", "{}", "{\"a\":[1,2]}", "{\"a\":[2,1],\"b\":null}"] {
        assert_eq!(judge(other), Ok(None), "{other}");
    }
}

#[test]
fn the_verify_token_decides_and_a_parameter_may_be_a_list() {
    let it = challenge(
        "method = \"GET\"\nwhen = [{ query = \"t\", is = \"{verify_token}\" }, { query = \"k\", is = \"{param.key}\" }]\nanswer = { status = 204 }",
    );
    let judge = |query| judge_with(&it, query, &[], "", &means());
    assert!(matches!(judge("t=vt-0123456789&k=pk"), Ok(Some(_))));
    assert!(matches!(judge("t=vt-0123456789&k=pk2"), Ok(Some(_))));
    assert_eq!(judge("t=vt-0123456789&k=other"), Ok(None));
    assert!(matches!(judge("t=vt-0123456780&k=pk"), Err(Rejection::ClaimMismatch(_))));
    assert_eq!(judge("t=wrong&k=other"), Ok(None), "it is not this challenge in all else");
    assert_eq!(it.lacks(&means()), [""; 0]);
    assert_eq!(it.lacks(&Means::default()), ["verify_token", "params.key"]);
    let only = Challenges::new(std::slice::from_ref(&it), Means::default());
    assert!(!only.come_by(&Method::GET), "what lacks something is not answered");
}

#[test]
fn what_a_stranger_could_have_signed_is_known() {
    let it = challenge(
        "method = \"GET\"\necho = { query = \"c\", max = 16 }\nmac = { algorithm = \"hmac-sha256\", signs = \"v0:{echo}:x\" }\nanswer = { text = \"{mac}\" }",
    );
    let could = |text: &str| it.could_have_signed(Algorithm::Hmac(Hash::Sha256), text.as_bytes(), &means());
    assert!(could("v0:abc:x") && could("v0:0123456789abcdef:x"));
    for not in ["v0::x", "v0:abc:y", "abc", "v0:x", "v0:{\"a\":1}:x", "v0:0123456789abcdef0:x", ""] {
        assert!(!could(not), "{not}");
    }
    assert!(!it.could_have_signed(Algorithm::Hmac(Hash::Sha1), b"v0:abc:x", &means()), "by another algorithm");
    assert_eq!(it.lacks(&Means::default()), ["a secret"]);
}

#[test]
fn a_fault_says_where_and_what_instead() {
    let get = "method = \"GET\"\necho = { query = \"c\" }\n";
    for (text, wanted) in [
        ("", "own.toml:5:8: [challenge]: nothing tells it from an event"),
        ("method = \"PUT\"", "own.toml:6:10: [challenge]: method: \"PUT\" is not one of POST"),
        ("method = \"GET\"\nsigned = true", "own.toml:7:10: [challenge]: signed: the provider signs no GET"),
        ("method = \"GET\"\nwhen = [{ json = \"/a\" }]", "only a POST has a body to look into"),
        ("when = [{ claim = \"a\" }]", "a challenge is read before its signature"),
        ("when = [{ json = \"/a\", is = [] }]", "an empty list matches nothing"),
        ("when = [{ json = \"/a\", is = \"{echo}\" }]", "{echo} is not known here"),
        ("when = [{ json = \"/a\" }]\nbody = '{}'", "body already says all of it"),
        ("echo = { query = \"c\" }", "nothing is done with it, put {echo} into the answer"),
        ("echo = { query = \"c\", shape = \"any\" }", "shape: \"any\" is not known"),
        ("echo = { query = \"c\", max = 4096 }", "max: 4096 is not a whole number from 1 to 1024"),
        (&format!("{get}answer = {{ text = \"{{mac}}\" }}"), "{mac} is not known here"),
        (&format!("{get}answer = {{ text = \"{{echo}}\", json = '{{}}' }}"), "text or json"),
        (&format!("{get}answer = {{ json = '{{\"c\":\"{{echo}}\"}}' }}"), "each piece brings its own quotes"),
        (
            &format!("{get}answer = {{ headers = {{ \"Content-Type\" = \"{{echo}}\" }} }}"),
            "the gateway writes it itself",
        ),
        (&format!("{get}answer = {{ headers = {{ \"a b\" = \"{{echo}}\" }} }}"), "is not a header's name"),
        (&format!("{get}answer = {{ status = 302, text = \"{{echo}}\" }}"), "a whole number from 200 to 299"),
        (
            &format!("{get}mac = {{ algorithm = \"hmac-sha256\" }}\nanswer = {{ text = \"{{echo}}\" }}"),
            "put {mac} into the answer",
        ),
        (&format!("{get}mac = {{ algorithm = \"hmac-sha256\", signs = \"x\" }}"), "must have {echo} once"),
        (&format!("{get}mac = {{ algorithm = \"hmac-sha256\", encoding = \"text\" }}"), "\"text\" is not known"),
        (&format!("{get}mac = {{ algorithm = \"ed25519\" }}"), "\"ed25519\" is not known"),
        (
            "method = \"GET\"\necho = { query = \"c\", shape = \"text\" }\nmac = { algorithm = \"hmac-sha256\" }\nanswer = { text = \"{mac}\" }",
            "only an echo of the shape \"token\" or \"hex\" is",
        ),
        ("method = \"HEAD\"\nmac = { algorithm = \"sha256\" }", "it is computed of the echo"),
        (
            "when = [{ json = \"/t\", is = \"x\" }]\nvisit = { json = \"/u\", hosts = [\"a.example.com\"] }",
            "when compares with a parameter",
        ),
        ("when = [{ json = \"/t\", is = \"{param.t}\" }]\nvisit = { json = \"/u\", hosts = [] }", "`hosts` is missing"),
        ("learn = { header = \"X-H\" }", "what brings the secret cannot be signed by it yet"),
        ("when = [{ json = \"/a\" }]\nanwser = { status = 200 }", "unknown key `anwser`, did you mean `answer`?"),
        (
            "when = [{ json = \"/a\" }]\n[[challenge]]\nname = \"c\"\nmethod = \"HEAD\"",
            "another one is called \"c\" too",
        ),
    ] {
        let found = faults(text);
        assert!(found.contains(wanted), "{text}\n{found}");
    }
    let nameless = "[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n[[challenge]]\nmethod = \"HEAD\"";
    let found = Faults::default();
    let document = Table::parse("own.toml", nameless, &found);
    read_all(&crate::document::Reader::new(&document, "", &found), None, &[Method::POST]);
    assert!(found.into_sorted()[0].to_string().contains("`name` is missing"));
}

#[test]
fn what_a_provider_reads_is_a_short_text() {
    let faults = |line: &str| {
        let text = format!("{line}\n[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n");
        Preset::from_file("own", "own.toml", &text).err().unwrap_or_default()
    };
    for good in ["accepted_body = \"[accepted]\"", "accepted_body = '{\"code\":\"SUCCESS\"}'", "bare_refusals = true"] {
        assert_eq!(faults(good), [], "{good}");
    }
    let long = format!("accepted_body = \"{}\"", "x".repeat(257));
    for bad in ["accepted_body = \"\"", "accepted_body = \"<p>ok</p>\"", "accepted_body = \"a\\nb\"", &long] {
        assert!(faults(bad)[0].text.contains("is not 1 to 256 of visible ASCII"), "{bad}");
    }
}

#[test]
fn a_mac_is_no_way_to_a_token_or_a_public_key() {
    let challenge = "[[challenge]]\nname = \"c\"\nmethod = \"GET\"\necho = { query = \"c\" }\nmac = { algorithm = \"hmac-sha256\" }\nanswer = { text = \"{mac}\" }";
    for (scheme, wanted) in [
        ("algorithm = \"jwt\"\nalgorithms = [\"HS256\"]\nheader = \"X-S\"\nunsigned_body = true", "signed tokens"),
        ("algorithm = \"ed25519\"\nheader = \"X-S\"", "keys are public"),
    ] {
        let faults = Preset::from_file("own", "own.toml", &format!("[signature]\n{scheme}\n{challenge}"));
        let faults = faults.expect_err("a fault");
        assert!(faults.iter().any(|fault| fault.text.contains(wanted)), "{faults:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_request_breaks_one(query in "[a-c=&%0-9<>{}]{0,60}", body in proptest::collection::vec(0u8.., 0..100)) {
        let body = String::from_utf8_lossy(&body);
        for preset in Preset::all() {
            for challenge in &preset.profile.challenges {
                let _ = judge_with(challenge, &query, &[("x-hook-secret", "a b")], &body, &means());
            }
        }
    }
}
