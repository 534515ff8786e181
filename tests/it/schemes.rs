//! Every example of docs/schemes.md signs and verifies as it stands.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use rcgen::{KeyPair, PKCS_ED25519};

use crate::support::child::{Serving, hookward};
use crate::support::{Gateway, Request, Upstream};

const SECRET: &str = "a-secret-of-more-than-16-bytes";
const JSON: &str = r#"{"id":"evt_1","order":{"id":"o1","amount":100},"meta":{},"items":[{"id":"a","state":"paid"},{"id":"b","state":"open"}]}"#;
const FORM: &str = "b=2&a=1+x&c=%26";

/// The TOML blocks of the page, with the heading that each stands under.
fn examples() -> Vec<(String, String)> {
    let page = std::fs::read_to_string("docs/schemes.md").expect("the page");
    let mut examples = Vec::new();
    let mut heading = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        }
        if line == "```toml" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            examples.push((heading.to_owned(), block.join("\n") + "\n"));
        }
    }
    examples
}

fn run(arguments: &[&str], secret: &str, input: &[u8]) -> Output {
    let mut command = hookward(arguments);
    command.env("ACME_SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    child.stdin.take().expect("a pipe").write_all(input).expect("a reader");
    child.wait_with_output().expect("its end")
}

/// Signs `body` by the scheme in `file`, and gives back the raw request.
fn sign(file: &str, secret: &str, headers: &[&str], query: &str, body: &Path) -> Vec<u8> {
    let url = format!("http://127.0.0.1:8080/in/acme{query}");
    let body = body.to_str().expect("a path");
    let mut arguments = vec!["sign", "--provider", file, "--secret-env", "acme=ACME_SECRET", "--body", body];
    arguments.extend(["--url", &url]);
    headers.iter().for_each(|header| arguments.extend(["--header", header]));
    let output = run(&arguments, secret, b"");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn verify(file: &str, secret: &str, request: &[u8]) -> (bool, String) {
    let url = "http://127.0.0.1:8080/in/acme";
    let arguments = ["verify", "--provider", file, "--secret-env", "acme=ACME_SECRET", "--url", url, "--explain"];
    let output = run(&arguments, secret, request);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// `bytes` with the last `from` turned into `to`, which is as long.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let at = bytes.windows(from.len()).rposition(|window| window == from).expect("it is there");
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

#[test]
fn each_example_of_the_page_signs_and_verifies() {
    let examples = examples();
    assert_eq!(examples.len(), 23);
    let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let (private, public) = (pair.serialize_pem(), pair.public_key_pem());
    for (heading, text) in examples.into_iter().filter(|(_, text)| !text.contains("signature = \"none\"")) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.toml");
        std::fs::write(&file, &text).expect("a file");
        let file = file.to_str().expect("a path");
        let (signing, verifying) = match text.contains("ed25519") {
            true => (private.as_str(), public.as_str()),
            false => (SECRET, SECRET),
        };
        let body = folder.path().join("body");
        std::fs::write(&body, if text.contains("form = ") { FORM } else { JSON }).expect("a file");
        let headers: &[&str] = match heading.as_str() {
            "Several keys at once" => &["X-Acme-Key: acme"],
            "Headers that the request names" => &["X-Acme-Signed: content-type,x-acme-time"],
            _ => &[],
        };
        let query = if text.contains("form = ") { "" } else { "?x=1" };
        let request = sign(file, signing, headers, query, &body);
        let (good, shown) = verify(file, verifying, &request);
        assert!(good, "{heading}\n{}\n{shown}", String::from_utf8_lossy(&request));

        let (from, to) = if text.contains("for_each") { ("paid", "void") } else { ("100", "700") };
        let (from, to) = if text.contains("form = ") { ("a=1", "a=7") } else { (from, to) };
        let changed = replaced(&request, from.as_bytes(), to.as_bytes());
        let unsigned = ["The secret itself, in a header"].contains(&heading.as_str());
        assert_eq!(verify(file, verifying, &changed).0, unsigned, "{heading}");
        let other = KeyPair::generate_for(&PKCS_ED25519).expect("a key").public_key_pem();
        let other = if text.contains("ed25519") { other.as_str() } else { "another-secret-of-16-bytes" };
        assert!(!verify(file, other, &request).0, "{heading}");
    }
}

#[tokio::test]
async fn the_handshakes_of_the_page_are_answered() {
    let handshakes: Vec<String> =
        examples().into_iter().filter(|(heading, _)| heading == "Handshakes").map(|(_, text)| text).collect();
    let get = |query: &str| Request::post(&format!("/in{query}")).method("GET");
    let asked: [(&str, Vec<(Request, &str)>); 4] = [
        ("", vec![]),
        (
            "verify_token = { env = \"OTHER\" }\n",
            vec![
                (get("?mode=subscribe&verify_token=another-secret-0123456789&challenge=c-1"), "c-1"),
                (Request::post("/in").method("HEAD"), ""),
            ],
        ),
        (
            "",
            vec![(
                get("?crc_token=abc"),
                r#"{"response_token":"sha256=Z30MFJ6+LkaQ3oRMug4cPJpL/QMHZwOYj/PsrN5fgeY="}"#,
            )],
        ),
        ("learned", vec![(Request::post("/in").header("X-Acme-Hook-Secret", "a-secret-of-acme-1"), "")]),
    ];
    assert_eq!(handshakes.len(), asked.len());
    for (text, (rest, requests)) in handshakes.into_iter().zip(asked) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.toml");
        std::fs::write(&file, &text).expect("a file");
        let learned = format!("secrets = [{{ file = \"{}\", learn = true }}]\n", folder.path().join("s").display());
        let rest = if rest == "learned" { &learned } else { rest };
        let gateway = Gateway::start(file.to_str().expect("a path"), rest).await;
        for (request, wanted) in requests {
            let reply = gateway.send(request).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, wanted), "{text}");
        }
        assert!(gateway.upstream.arrived().is_empty());
    }
}

#[test]
fn the_example_that_signs_nothing_is_sent_as_it_is_and_never_verified() {
    let (_, text) = examples().into_iter().find(|(heading, _)| heading == "Nothing at all").expect("the example");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, body) = (folder.path().join("acme.toml"), folder.path().join("body"));
    std::fs::write(&file, text).expect("a file");
    std::fs::write(&body, JSON).expect("a file");
    let (file, body) = (file.to_str().expect("a path"), body.to_str().expect("a path"));
    let arguments = ["sign", "--provider", file, "--body", body];
    let output = run(&arguments, "", b"");
    let request = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && request.ends_with(JSON), "{request}");
    let secret = [&arguments[..], &["--secret-env", "ACME_SECRET"]].concat();
    let output = run(&secret, SECRET, b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("it signs nothing"), "{output:?}");
    let (good, said) = verify(file, SECRET, request.as_bytes());
    assert!(!good && said.contains("signs nothing, so there is nothing to verify"), "{said}");
    let shown = run(&["providers", "show", file], "", b"");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for line in ["signature      none: a source needs url_token", "event type     header x-acme-event, not signed"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn the_example_of_a_new_provider_is_a_preset() {
    let (_, text) = examples().pop().expect("the last one");
    let preset = hookward::signature::preset::Preset::from_file("acme", "acme.toml", &text);
    let preset = preset.unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!((preset.name.as_str(), preset.aliases.len()), ("Acme", 1));
    assert_eq!(preset.profile.dedup.ttl.as_secs(), 4 * 86_400);
}

#[test]
fn an_example_is_a_source_of_ones_own_too() {
    let (_, text) = examples().into_iter().nth(1).expect("the one with a timestamp");
    let tables = ["signature", "timestamp", "event"];
    let own = tables.iter().fold(text, |text, table| text.replace(&format!("[{table}]"), &format!("[source.{table}]")));
    let file = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"acme\"\npath = \"/in\"\nsecrets = [{{ literal = \"{SECRET}\" }}]\nallow = \"any\"\nupstream = \"http://127.0.0.1:9/\"\n{own}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hookward.toml");
    std::fs::write(&path, file).expect("a file");
    let output = hookward(&["check", "-c", path.to_str().expect("a path")]).output().expect("the program");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("signed timestamp"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A gateway in front of an upstream, for one provider, on a port of its own.
fn serving(provider: &str, secret: &str, upstream: &str, more: &[&str]) -> (Serving, SocketAddr) {
    let path = format!("/in/{provider}");
    let mut arguments = vec!["serve", "--provider", provider, "--secret-env", "ACME_SECRET", "--upstream", upstream];
    arguments.extend(["--path", &path, "--listen", "127.0.0.1:0"]);
    arguments.extend(more);
    let mut gateway = Serving::start(hookward(&arguments).env("ACME_SECRET", secret));
    let address = gateway.address("gateway");
    (gateway, address)
}

#[tokio::test]
async fn send_signs_posts_once_and_shows_the_exchange() {
    let upstream = Upstream::start().await;
    let (gateway, address) = serving("stripe", SECRET, &upstream.url(), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("event.json");
    std::fs::write(&body, JSON).expect("a file");
    let url = format!("http://{address}/in/stripe");
    let arguments =
        ["send", "--provider", "stripe", "--secret-env", "ACME_SECRET", "--body", body.to_str().expect("a path"), &url];
    let sending = arguments.map(str::to_owned);
    let output = tokio::task::spawn_blocking(move || run(&sending.each_ref().map(String::as_str), SECRET, b""));
    let output = output.await.expect("its end");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("POST /in/stripe HTTP/1.1\r\n") && text.contains("HTTP/1.1 200 OK"), "{text}");
    assert_eq!(upstream.only().body, JSON.as_bytes());
    gateway.signal("TERM");
    gateway.end();
}

#[tokio::test]
async fn the_line_that_providers_show_prints_works_against_a_local_gateway() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl to run the line with");
        return;
    }
    for (provider, more) in [
        ("stripe", &[][..]),
        ("github", &[]),
        ("standard-webhooks", &[]),
        ("square", &["--public-url", "https://hooks.example.com/in/square"]),
        ("twilio", &["--public-url", "https://hooks.example.com/in/twilio"]),
    ] {
        let upstream = Upstream::start().await;
        let secret = if provider == "standard-webhooks" { "whsec_c2VjcmV0c2VjcmV0c2VjcmV0" } else { SECRET };
        let (gateway, address) = serving(provider, secret, &upstream.url(), more);
        let shown = hookward(&["providers", "show", provider]).output().expect("the program");
        let shown = String::from_utf8(shown.stdout).expect("text");
        let (_, line) = shown.split_once("Try it against a gateway on this machine\n\n").expect("a line");
        let line = line.replace("127.0.0.1:8080", &address.to_string());
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("event.json"), JSON).expect("a file");
        std::fs::write(folder.path().join("form.txt"), FORM).expect("a file");
        let program = Path::new(env!("CARGO_BIN_EXE_hookward")).parent().expect("a folder").to_owned();
        let variable = format!("{}_SECRET", provider.to_uppercase().replace('-', "_"));
        let output = tokio::task::spawn_blocking(move || {
            let paths = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &line]).current_dir(&folder).env("PATH", paths).env(variable, secret);
            shell.output().expect("a shell")
        });
        let output = output.await.expect("its end");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(" 200 "), "{provider}: {text}");
        assert_eq!(upstream.arrived().len(), 1, "{provider}: {text}");
        gateway.signal("TERM");
        gateway.end();
    }
}

#[test]
fn a_token_may_be_the_whole_body_or_sign_it_from_a_header() {
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    std::fs::write(&body, r#"{"event":"user.created","n":100}"#).expect("a file");
    for (algorithm, place, shown) in
        [("jwt", "in = \"body\"", "user.created"), ("jws-detached", "header = \"X-JWS\"", "accepted")]
    {
        let file = folder.path().join("acme.toml");
        let text = format!("[signature]\nalgorithm = \"{algorithm}\"\nalgorithms = [\"HS256\"]\n{place}\n");
        std::fs::write(&file, text).expect("a file");
        let file = file.to_str().expect("a path");
        let request = sign(file, SECRET, &[], "?x=1", &body);
        let (good, text) = verify(file, SECRET, &request);
        assert!(good && text.contains(shown), "{text}");
        let end = request.len() - 2;
        let changed = [&request[..end], b"xx"].concat();
        assert!(!verify(file, SECRET, &changed).0, "{algorithm}");
    }
}
