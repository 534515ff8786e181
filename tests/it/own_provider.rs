//! docs/own-provider.md as it stands: the file that it writes signs, verifies, sends and receives.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use hookward::clock::UnixTime;
use hookward::egress::Resolver;
use hookward::signature::Message;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use hyper::HeaderMap;
use serde_json::json;
use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::client::{self, Request};
use crate::support::site::own_ip;
use crate::support::telling::{LOOPBACK, Teller};
use crate::support::{Gateway, NOW, SECRET, Upstream};

/// The blocks of the page in a language, without their fences.
fn blocks(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string("docs/own-provider.md").expect("the page");
    let (fence, mut lines, mut blocks) = (format!("```{language}"), page.lines(), Vec::new());
    while let Some(line) = lines.next() {
        if line == fence {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

fn parcelbird() -> String {
    let [provider, _, _] = blocks("toml").try_into().expect("a provider, a gateway, a sender");
    assert!(provider.starts_with("# parcelbird.toml\n"), "{provider}");
    provider
}

/// A folder in which each TOML block of the page is a file, called as its first line says.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for block in blocks("toml") {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# ")).expect("its name");
        file(&folder, name, &block);
    }
    folder
}

/// Runs a line as a shell would in `folder`, where `hookward` is this one.
fn shell(line: &str, folder: &Path) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_hookward")).parent().expect("a folder");
    let paths = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-ec", line]).current_dir(folder).env_clear().env("PATH", paths);
    shell.env("PARCELBIRD_SECRET", SECRET).env("HOOKWARD_TOKEN", "a-token-of-more-than-16-bytes");
    shell.output().expect("a shell")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_lines_of_the_page_do_what_it_says() {
    let (folder, console) = (folder(), blocks("console").concat());
    let lines: Vec<&str> = console.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(lines.len(), 5);
    let output = shell(&lines.join("\n"), folder.path());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for wanted in [
        "Parcelbird (parcelbird)",
        "provider = \"./parcelbird.toml\"",
        "hookward sign --provider ./parcelbird.toml --secret-env PARCELBIRD_SECRET",
        "hmac-sha512",
        "accepted",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
    // The same request with another parcel, and under another secret.
    let verify = "hookward verify --provider ./parcelbird.toml --secret-env PARCELBIRD_SECRET --explain";
    for (line, wanted) in [
        (
            format!(
                "export PARCELBIRD_SECRET=pb_a-secret-of-more-than-16-bytes; sed s/P-7/P-8/ request.txt | {verify}"
            ),
            "signature_mismatch",
        ),
        (
            format!("export PARCELBIRD_SECRET=pb_another-secret-of-16-bytes; {verify} < request.txt"),
            "signature_mismatch",
        ),
    ] {
        let output = shell(&line, folder.path());
        assert!(!output.status.success() && text(&output).contains(wanted), "{line}\n{}", text(&output));
    }
}

#[test]
fn its_configurations_are_good_and_a_fault_in_the_provider_is_shown_where_it_is() {
    let folder = folder();
    for (name, wanted) in [
        ("gateway.toml", "source \"parcels\": its provider is \"parcelbird\", from ./parcelbird.toml"),
        ("gateway.toml", "the provider tries again for 7h11m"),
        (
            "sender.toml",
            "webhooks may have provider \"parcelbird\", from ./parcelbird.toml: a delivery is tried for 7h11m",
        ),
    ] {
        let output = shell(&format!("hookward check -c {name}"), folder.path());
        assert!(output.status.success() && text(&output).contains(wanted), "{wanted}\n{}", text(&output));
    }
    for name in ["gateway.toml", "sender.toml"] {
        // What is in force is a configuration again.
        let line = format!(
            "hookward config effective -c {name} > effective.toml; hookward config effective -c effective.toml > again.toml; cmp effective.toml again.toml; cat again.toml"
        );
        let output = shell(&line, folder.path());
        assert!(output.status.success() && text(&output).contains("\"./parcelbird.toml\""), "{}", text(&output));
    }
    file(&folder, "parcelbird.toml", &parcelbird().replace("\"10s\"", "\"ten\""));
    for name in ["gateway.toml", "sender.toml"] {
        let output = shell(&format!("hookward check -c {name}"), folder.path());
        let said = text(&output);
        assert_eq!(output.status.code(), Some(78), "{said}");
        let wanted = "error: ./parcelbird.toml:26:11: [sender]: timeout: \"ten\" is not a duration, for example \"5m\" (units: ms, s, m, h, d)\n  26 | timeout = \"ten\"\n     |           ^\n1 error in the configuration\n";
        assert_eq!(said, wanted);
    }
}

/// Sends what the upstream got once more, with another body if there is one.
async fn again(gateway: &Gateway, arrived: &crate::support::upstream::Arrived, body: &[u8]) -> u16 {
    let headers = ["content-type", "x-parcelbird-signature", "x-parcelbird-sent-at", "x-parcelbird-delivery"];
    let request =
        headers.iter().fold(Request::post("/in/parcels"), |request, name| request.header(name, arrived.header(name)));
    client::send(gateway.address(), request.body(body)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sender_sends_by_the_file_the_gateway_takes_by_it() {
    let (folder, app) = (folder(), Upstream::start().await);
    let provider = folder.path().join("parcelbird.toml").display().to_string();
    let lines = format!("providers = [\"{provider}\"]\nprovider = \"parcelbird\"\n");
    let teller = Teller::start_in(folder, &lines, LOOPBACK, Resolver::System);
    let address = SocketAddr::from((own_ip(), 8080));
    let webhook = teller.register(&format!("http://{address}/in/parcels"), json!({})).await;
    let (id, secret) = (webhook["id"].as_str().expect("an id"), webhook["secret"].as_str().expect("a secret"));
    assert!(secret.starts_with("pb_") && secret.len() == 3 + 43, "{secret}");
    assert_eq!((&webhook["provider"], &webhook["timeout"]), (&json!("parcelbird"), &json!("10s")));
    assert_eq!(webhook["success"], json!([200, 202]));
    let gateway = Gateway::from_text(
        &format!(
            "[gateway]\nlisten = \"{address}\"\n[[source]]\nname = \"parcels\"\npath = \"/in/parcels\"\nprovider = \"{provider}\"\nsecrets = [{{ literal = \"{secret}\" }}]\nallow = \"any\"\nupstream = \"{}/parcels\"\n",
            app.url()
        ),
        app,
    );
    let app = &gateway.upstream;
    app.fail_first(|_| true);
    let event = teller.publish("parcel.delivered", json!({"id": "P-7"})).await;
    let event = event["id"].as_str().expect("an id");
    teller.reach(id, "retrying", 1).await;
    assert!(app.successes().is_empty());
    teller.pass(60);
    gateway.set_now(teller.now());
    teller.reach(id, "success", 1).await;

    let arrived = app.arrived();
    assert_eq!(arrived.len(), 2);
    let body =
        format!("{{\"event\":\"{event}\",\"kind\":\"parcel.delivered\",\"at\":{NOW},\"parcel\":{{\"id\":\"P-7\"}}}}");
    for (number, arrived) in arrived.iter().enumerate() {
        assert_eq!(arrived.body, body, "attempt {}", number + 1);
        for (name, value) in [
            ("x-parcelbird-delivery", event),
            ("x-parcelbird-sent-at", &(NOW + 60 * i64::try_from(number).expect("it is small")).to_string()),
            ("x-parcelbird-kind", "parcel.delivered"),
            ("x-parcelbird-attempt", &(number + 1).to_string()),
            ("hookward-verified", "parcelbird;key=1"),
            ("hookward-event-id", event),
        ] {
            assert_eq!(arrived.header(name), value, "{name}");
        }
        let signature = arrived.header("x-parcelbird-signature");
        assert!(signature.len() == 3 + 128 && signature.starts_with("v1="), "{signature}");
    }
    // Who took it on the way sends it again: as it was, and with another parcel.
    assert_eq!(again(&gateway, &arrived[1], body.as_bytes()).await, 200);
    assert_eq!(again(&gateway, &arrived[1], body.replace("P-7", "P-8").as_bytes()).await, 401);
    assert_eq!(app.arrived().len(), 2, "a duplicate goes no further, and neither does a forgery");
}

/// A webhook as the provider in `text` would send it.
fn signed(text: &str, event: &str) -> Request {
    let preset = Preset::from_file("parcelbird", "parcelbird.toml", text).unwrap_or_else(|faults| panic!("{faults:?}"));
    let (headers, timestamp) = (HeaderMap::new(), UnixTime(hookward::clock::Clock::System.now().0));
    let message = Message { id: event, timestamp, method: "POST", url: "", headers: &headers, body: b"{}" };
    let signed = preset.profile.scheme.sign(message, &[Secret::new(SECRET.into())], &Params::default());
    let signed = signed.expect("a usable secret");
    signed.headers.iter().fold(Request::post("/in").body(&signed.body), |request, (name, value)| {
        request.header(name.as_str(), value.to_str().expect("visible ASCII"))
    })
}

#[tokio::test]
async fn a_gateway_reads_it_again_on_sighup() {
    let (folder, upstream, text) = (TempDir::new().expect("a folder"), Upstream::start().await, parcelbird());
    let provider = file(&folder, "parcelbird.toml", &text);
    let mut serving = Serving::start(
        hookward(&["serve", "-c"])
            .arg(file(
                &folder,
                "h.toml",
                &format!(
                    "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"parcels\"\npath = \"/in\"\nprovider = \"{}\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"provider\"\nupstream = \"{}\"\n",
                    provider.display(),
                    upstream.url()
                ),
            ))
            .env("SECRET", SECRET),
    );
    let gateway = serving.address("gateway");
    assert_eq!(client::send(gateway, signed(&text, "evt_1")).await.status, 403, "we are not Parcelbird");

    let here = text.replace("198.51.100.0/24", "127.0.0.0/8");
    file(&folder, "parcelbird.toml", &here);
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(client::send(gateway, signed(&here, "evt_1")).await.status, 200);

    file(&folder, "parcelbird.toml", &here.replace("hmac-sha512", "hmac-sha513"));
    serving.signal("HUP");
    let refused = serving.wait_for(&["not taken over"]);
    assert!(refused.contains("parcelbird.toml:7:13: [signature]: algorithm:"), "{refused}");
    assert_eq!(client::send(gateway, signed(&here, "evt_2")).await.status, 200);

    let other = here.replace("hmac-sha512", "hmac-sha256");
    file(&folder, "parcelbird.toml", &other);
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(client::send(gateway, signed(&here, "evt_3")).await.status, 401);
    assert_eq!(client::send(gateway, signed(&other, "evt_3")).await.status, 200);
}

#[tokio::test]
async fn a_sidecar_takes_the_file_as_its_provider() {
    let (folder, upstream) = (TempDir::new().expect("a folder"), Upstream::start().await);
    let provider = file(&folder, "parcelbird.toml", &parcelbird());
    let provider = provider.to_str().expect("a plain path");
    let arguments =
        ["serve", "--provider", provider, "--secret-env", "SECRET", "--path", "/in", "--listen", "127.0.0.1:0"];
    let mut serving = Serving::start(hookward(&arguments).args(["--upstream", &upstream.url()]).env("SECRET", SECRET));
    let gateway = serving.address("gateway");
    assert_eq!(client::send(gateway, signed(&parcelbird(), "evt_1")).await.status, 200);
    assert_eq!(client::send(gateway, signed(&parcelbird(), "evt_2").body(b"[]")).await.status, 401);
    let arrived = upstream.only();
    assert_eq!(
        (arrived.header("hookward-source"), arrived.header("hookward-verified")),
        ("parcelbird", "parcelbird;key=1")
    );
}
