//! Requests that the providers' own libraries signed or confirmed, or that they published: judged by the command and by
//! the running gateway.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::child::hookward;
use crate::support::{Gateway, Request, Upstream};

#[derive(Debug, Deserialize)]
struct Recorded {
    provider: String,
    case: String,
    secret: Value,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body_b64: String,
    now: i64,
    expect: String,
}

impl Recorded {
    fn base(&self) -> &str {
        self.url.split('?').next().expect("a URL")
    }

    fn query(&self) -> Option<&str> {
        self.url.split_once('?').map(|(_, query)| query)
    }

    fn is_good(&self) -> bool {
        self.expect == "accept"
    }

    fn request(&self) -> Request {
        let body = STANDARD.decode(&self.body_b64).expect("base64");
        let target = self.query().map_or("/in".to_owned(), |query| format!("/in?{query}"));
        let request = Request::post(&target).method(&self.method).body(&body);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// A source as an operator would write it for this provider and these secrets.
fn source(recorded: &Recorded, upstream: &str) -> String {
    let literal = |secret: &Value| format!("{{ literal = {secret} }}");
    let named = |(id, secret): (&String, &Value)| format!("{{ literal = {secret}, id = {} }}", json!(id));
    let (mut secrets, mut params) = (Vec::new(), Vec::new());
    match &recorded.secret {
        Value::Object(object) => {
            for (key, value) in object {
                match key.as_str() {
                    "primary" | "secondary" => secrets.push(named((key, value))),
                    "jwks" => secrets.push(literal(&json!(value.to_string()))),
                    "credentials" => secrets.extend(value.as_array().expect("a list").iter().map(literal)),
                    "keys" => secrets.extend(value.as_object().expect("secrets by id").iter().map(named)),
                    "certificates_by_url" => secrets.extend(value.as_object().expect("by URL").values().map(literal)),
                    "public_keys" => secrets.extend(
                        value
                            .as_array()
                            .expect("a list")
                            .iter()
                            .map(|key| format!("{{ literal = {}, id = {} }}", key["key"], key["key_identifier"])),
                    ),
                    "public_key_pem"
                    | "public_key_hex"
                    | "public_key_base64"
                    | "public_key_spki_base64"
                    | "api_secret" => {
                        secrets.push(literal(value));
                    }
                    "audience" | "email" | "api_key" | "public_key" | "app_key" | "webhook_id" => {
                        params.push(format!("{key} = {value}"))
                    }
                    // Said by the preset, or of no use to it.
                    "issuers" | "keyid" | "cert_host_pattern" => {}
                    other => panic!("{other} of {}", recorded.provider),
                }
            }
        }
        secret => secrets.push(literal(secret)),
    }
    let signs_url = [
        "mandrill",
        "contentful",
        "hubspot-v3",
        "jira-connect",
        "messagebird-jwt",
        "plivo-v2",
        "plivo-v3",
        "square",
        "trello",
        "twilio",
    ];
    let public_url = match signs_url.contains(&recorded.provider.as_str()) {
        true => format!("public_url = \"{}\"\n", recorded.base()),
        false => String::new(),
    };
    let params = if params.is_empty() { String::new() } else { format!("params = {{ {} }}\n", params.join(", ")) };
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"{}\"\nsecrets = [{}]\n{params}{public_url}allow = \"any\"\nupstream = \"{upstream}/\"\n",
        recorded.provider,
        secrets.join(", "),
    )
}

/// Every line of every file, with its text.
fn recorded() -> Vec<(Recorded, String)> {
    let mut files: Vec<_> = std::fs::read_dir("tests/vectors")
        .expect("the vectors")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("text"));
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.into_iter().map(|line| (serde_json::from_str(&line).expect("a recorded request"), line)).collect()
}

#[test]
fn the_command_judges_each_as_its_provider_does() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 1763);
    let mut child =
        hookward(&["verify", "--case", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: Vec<String> = recorded.iter().map(|(_, line)| format!("{line}\n")).collect();
    let writing = std::thread::spawn(move || stdin.write_all(lines.concat().as_bytes()));
    let output = child.wait_with_output().expect("its end");
    writing.join().expect("a writer").expect("all of it");
    assert_eq!(output.status.code(), Some(1), "some are rejected");
    let verdicts: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(verdicts.len(), recorded.len());
    for ((recorded, _), verdict) in recorded.iter().zip(verdicts) {
        let wanted = if recorded.is_good() { "accept" } else { "reject" };
        assert_eq!(verdict["verdict"], wanted, "{} {}: {verdict}", recorded.provider, recorded.case);
    }
}

/// Where our reason is another one than the recorded: recorded, ours, in how many cases, and why.
const OTHER_WORDS: [(&str, &str, usize, &str); 11] = [
    ("signature_mismatch", "signature_malformed", 67, "a signature of the wrong length is not compared at all"),
    ("signature_mismatch", "signature_missing", 7, "a list without an item of the scheme's version has no signature"),
    ("malformed_signature", "signature_malformed", 6, "the same in our words"),
    ("malformed_signature", "signature_missing", 4, "nothing in the header has the scheme's form"),
    ("malformed_signature", "timestamp_missing", 1, "what the value lacks is its timestamp"),
    ("signature_missing", "signature_malformed", 1, "`sha256=` alone is a bad bare signature of that provider"),
    ("missing_header", "timestamp_missing", 7, "we say which header"),
    ("missing_header", "event_id_missing", 6, "we say which header"),
    ("missing_header", "signature_missing", 3, "a header that the signature needs beside it"),
    ("token_mismatch", "signature_mismatch", 1, "a credential is compared like a signature"),
    ("token_mismatch", "signature_missing", 1, "another authentication scheme is none of ours"),
];

#[test]
fn the_reasons_are_those_recorded_but_for_a_few_words() {
    let lines: String = recorded().iter().map(|(_, line)| format!("{line}\n")).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lines).expect("a file");
    let output = hookward(&["verify", "--case", file.path().to_str().expect("a path")]).output().expect("the program");
    let verdicts = String::from_utf8(output.stdout).expect("text");
    let mut others: BTreeMap<(String, String), usize> = BTreeMap::new();
    for ((recorded, _), verdict) in recorded().iter().zip(verdicts.lines()) {
        let verdict: Value = serde_json::from_str(verdict).expect("JSON");
        if let (Some(wanted), Some(ours)) = (recorded.expect.strip_prefix("reject:"), verdict["reason"].as_str())
            && wanted != ours
        {
            *others.entry((wanted.to_owned(), ours.to_owned())).or_default() += 1;
        }
    }
    let known = OTHER_WORDS.map(|(wanted, ours, count, _)| ((wanted.to_owned(), ours.to_owned()), count));
    let known = BTreeMap::from(known);
    assert_eq!(others, known);
}

#[test]
fn each_line_gets_a_line_whatever_it_holds() {
    let mut child =
        hookward(&["verify", "--case", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program");
    let lines = "{}\nnot json\n{\"provider\":\"nobody\",\"secret\":\"x\",\"headers\":[],\"body_b64\":\"\",\"now\":0}\n{\"provider\":\"svix\",\"secret\":\"whsec_?\",\"headers\":[],\"body_b64\":\"\",\"now\":0}\n";
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.matches("\"verdict\":\"error\"").count(), 4, "{text}");
}

#[tokio::test]
async fn the_gateway_judges_each_as_its_provider_does() {
    let mut groups: BTreeMap<(String, String, String), Vec<Recorded>> = BTreeMap::new();
    for (recorded, _) in recorded() {
        let key = (recorded.provider.clone(), recorded.secret.to_string(), recorded.base().to_owned());
        groups.entry(key).or_default().push(recorded);
    }
    for ((provider, _, _), group) in groups {
        let upstream = Upstream::start().await;
        let text = source(&group[0], &upstream.url());
        let gateway = Gateway::from_text(&text, upstream);
        for recorded in group {
            gateway.set_now(recorded.now);
            let before = gateway.upstream.arrived().len();
            let status = gateway.send(recorded.request()).await.status;
            let name = format!("{provider} {}: {status}", recorded.case);
            assert_eq!((200..300).contains(&status), recorded.is_good(), "{name}");
            assert!(recorded.is_good() || (400..500).contains(&status), "{name}");
            assert!(recorded.is_good() || gateway.upstream.arrived().len() == before, "{name} reached the upstream");
        }
    }
}
