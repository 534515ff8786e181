//! Sources that only who knows the end of their URL can reach.

use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::client;
use crate::support::{Gateway, NOW, Reply, Request, SECRET, Upstream, signed, signed_with};

/// What the variable OTHER has.
const TOKEN: &str = "another-secret-0123456789";

const URL_TOKEN: &str = "url_token = { env = \"OTHER\" }";

fn path(token: &str) -> String {
    format!("/in/{token}")
}

/// A source that anybody signs nothing for, with `rest` in its table; `{app}` is its upstream.
async fn unsigned(rest: &str) -> (Gateway, TempDir) {
    let (app, folder) = (Upstream::start().await, TempDir::new().expect("a folder"));
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"source\"\npath = \"/in\"\nsignature = \"none\"\n{URL_TOKEN}\nallow = \"any\"\nupstream = \"{}/app\"\n{rest}\n[store]\nurl = \"sqlite:{}\"\n",
        app.url(),
        folder.path().join("hookward.db").display()
    );
    (Gateway::from_text(&text, app), folder)
}

/// An answer but for when it was given.
fn told(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let headers = reply.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    (reply.status, headers, reply.text())
}

#[tokio::test]
async fn who_knows_the_url_can_send() {
    // Seed checklist VAN-10 and VAN-11: an unguessable URL for services that sign nothing, forwarded to the handler.
    for mode in ["proxy", "store"] {
        let (gateway, _folder) = unsigned(&format!("mode = \"{mode}\"")).await;
        let check = br#"{"endpoint":"custom-1","status":"up"}"#;
        let request = Request::post(&format!("{}?check=1", path(TOKEN))).body(check);
        assert_eq!(gateway.send(request).await.status, 200, "{mode}");
        let arrived = loop {
            if let [arrived] = gateway.upstream.arrived().as_slice() {
                break arrived.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        assert_eq!((arrived.target.as_str(), &arrived.body[..]), ("/app?check=1", &check[..]), "{mode}");
        assert_eq!(arrived.header("hookward-verified"), "custom;key=none");
        let told = format!("{:?}", arrived.headers);
        assert!(!told.contains(TOKEN), "the upstream need not know it: {told}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_a_path_that_there_is_not() {
    let (gateway, _folder) = unsigned("").await;
    let unknown = told(&gateway.send(Request::post("/elsewhere").body(b"{}")).await);
    assert_eq!(unknown.0, 404);
    let (shorter, longer) = (&TOKEN[..TOKEN.len() - 1], format!("{TOKEN}0"));
    let (upper, slash) = (TOKEN.to_uppercase(), format!("{TOKEN}/"));
    let almost = format!("{shorter}8");
    for wrong in ["", shorter, &longer, &upper, &slash, &almost, "0123456789abcdef", "%61nother-secret-0123456789"] {
        for method in ["POST", "GET"] {
            let request = Request::post(&path(wrong)).method(method).body(b"{}");
            assert_eq!(told(&gateway.send(request).await), unknown, "{method} {wrong:?}");
        }
    }
    assert_eq!(told(&gateway.send(Request::post("/in").body(b"{}")).await), unknown, "the path alone is none");
    assert!(gateway.upstream.arrived().is_empty());
    let line = |source: &str, count: f64| {
        let labels = format!("{{source=\"{source}\",outcome=\"rejected\",reason=\"unknown_path\"}}");
        assert_eq!(gateway.metric(&format!("hookward_gateway_requests_total{labels}")), count, "{source}");
    };
    line("", 18.0);
    line("source", 0.0);
    assert_eq!(gateway.send(Request::post(&path(TOKEN)).body(b"{}")).await.status, 200);
    assert_eq!(gateway.send(Request::post(&path(TOKEN)).method("PUT").body(b"{}")).await.status, 405);
}

#[tokio::test]
async fn beside_a_signature_both_are_wanted() {
    let gateway = Gateway::start("stripe", URL_TOKEN).await;
    let body = r#"{"id":"evt_1"}"#;
    assert_eq!(gateway.send(signed("stripe", "", body, NOW)).await.status, 404, "the token is missing");
    let forged = signed_with("a-foreign-secret-0123456789", "stripe", "", body, NOW).target(&path(TOKEN));
    assert_eq!(gateway.send(forged).await.status, 401, "the signature is wrong");
    assert_eq!(gateway.send(signed("stripe", "", body, NOW).target(&path(TOKEN))).await.status, 200);
    assert_eq!(gateway.upstream.only().header("hookward-verified"), "stripe;key=1");
}

#[tokio::test]
async fn a_signed_url_is_the_one_with_the_token() {
    use hookward::clock::UnixTime;
    use hookward::signature::Message;
    use hookward::signature::place::Params;
    use hookward::signature::preset::Preset;
    use hookward::signature::secret::Secret;
    let sign = |url: &str| {
        let scheme = &Preset::find("square").expect("a preset").profile.scheme;
        let (body, headers) = (br#"{"event_id":"e1"}"#, http::HeaderMap::new());
        let message = Message { id: "", timestamp: UnixTime(NOW), method: "POST", url, headers: &headers, body };
        let signed = scheme.sign(message, &[Secret::new(SECRET.into())], &Params::default()).expect("a secret");
        signed.headers.iter().fold(Request::post(&path(TOKEN)).body(body), |request, (name, value)| {
            request.header(name.as_str(), value.to_str().expect("visible ASCII"))
        })
    };
    for rest in ["public_url = \"https://hooks.example.com/in\"", ""] {
        let gateway = Gateway::start("square", &format!("{URL_TOKEN}\n{rest}")).await;
        let scheme = if rest.is_empty() { "http" } else { "https" };
        let bare = sign(&format!("{scheme}://hooks.example.com/in"));
        assert_eq!(gateway.send(bare).await.status, 401, "{rest}");
        let whole = sign(&format!("{scheme}://hooks.example.com/in/{TOKEN}"));
        assert_eq!(gateway.send(whole).await.status, 200, "{rest}");
    }
}

#[tokio::test]
async fn sources_at_one_path_of_a_kind_are_told_apart_by_their_tokens() {
    let app = Upstream::start().await;
    let source = |name: &str, variable: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\npath = \"/in/{name}\"\nsignature = \"none\"\nurl_token = {{ env = \"{variable}\" }}\nallow = \"any\"\nupstream = \"{}/{name}\"\n",
            app.url()
        )
    };
    let text =
        format!("[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n{}{}", source("a", "OTHER"), source("b", "SECRET"));
    let gateway = Gateway::from_text(&text, app.clone());
    for (target, status) in [
        (format!("/in/a/{TOKEN}"), 200),
        (format!("/in/b/{SECRET}"), 200),
        (format!("/in/a/{SECRET}"), 404),
        (format!("/in/b/{TOKEN}"), 404),
    ] {
        assert_eq!(gateway.send(Request::post(&target).body(target.as_bytes())).await.status, status, "{target}");
    }
    let targets: Vec<String> = gateway.upstream.arrived().iter().map(|arrived| arrived.target.clone()).collect();
    assert_eq!(targets, ["/a", "/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_told_nowhere() {
    let (app, folder) = (Upstream::start().await, TempDir::new().expect("a folder"));
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"form\"\npath = \"/in\"\nsignature = \"none\"\n{URL_TOKEN}\nallow = \"any\"\nmode = \"store\"\nupstream = \"{}/app\"\n[store]\nurl = \"sqlite:{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntokens = [{{ name = \"ops\", env = \"ADMIN\", role = \"admin\" }}]\n[log]\nlevel = \"debug\"\n",
        app.url(),
        folder.path().join("hookward.db").display()
    );
    let config = file(&folder, "h.toml", &text);
    let config = config.to_str().expect("a path");
    let run = |arguments: &[&str]| {
        let output = hookward(arguments).env("OTHER", TOKEN).env("ADMIN", "an-admins-token-0123").output();
        let output = output.expect("the program");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let effective = run(&["config", "effective", "-c", config]);
    assert!(effective.contains("url_token = { env = \"OTHER\" }") && !effective.contains(TOKEN), "{effective}");
    let check = run(&["check", "-c", config]);
    assert!(check.contains("requests come to /in/ and its token") && !check.contains(TOKEN), "{check}");

    let mut command = hookward(&["serve", "-c", config]);
    let mut serving = Serving::start(command.env("OTHER", TOKEN).env("ADMIN", "an-admins-token-0123"));
    let (gateway, admin) = {
        let gateway = serving.address("gateway");
        (gateway, serving.address("admin"))
    };
    for (target, method, status) in [
        (path(TOKEN), "POST", 200),
        (path(TOKEN), "PUT", 405),
        (format!("/in/{}x", TOKEN), "POST", 404),
        (format!("//in/{TOKEN}"), "POST", 404),
    ] {
        let reply = client::send(gateway, Request::post(&target).method(method).body(b"{}")).await;
        assert_eq!(reply.status, status, "{method} {target}");
        assert!(!format!("{reply:?}").contains(TOKEN));
    }
    // An answer to a head that is not understood.
    let mangled = format!("POST {} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", path(TOKEN));
    let reply = client::send_raw(gateway, mangled.as_bytes()).await.expect("an answer");
    assert!(reply.status == 400 && !format!("{reply:?}").contains(TOKEN));
    serving.wait_for(&["Delivered webhook"]);
    for target in ["/metrics", "/api/events", "/api/deliveries", "/readyz"] {
        let request = Request::post(target).method("GET").header("Authorization", "Bearer an-admins-token-0123");
        let said = client::send(admin, request).await;
        assert!(said.status == 200 && !said.text().contains(TOKEN), "{target}: {}", said.text());
    }
    serving.signal("TERM");
    let (_, log) = serving.end();
    assert!(log.iter().any(|line| line.contains("unknown_path")), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains(TOKEN)), "{log:#?}");
}

#[tokio::test]
async fn the_sidecar_has_one_too() {
    let (app, folder) = (Upstream::start().await, TempDir::new().expect("a folder"));
    let provider = file(&folder, "form.toml", "signature = \"none\"\n");
    let (provider, upstream) = (provider.to_str().expect("a path"), app.url());
    let command = |more: &[&str]| {
        let base = ["serve", "--provider", provider, "--upstream", &upstream, "--listen", "127.0.0.1:0"];
        let mut command = hookward(&base.iter().chain(more).copied().collect::<Vec<_>>());
        command.env("OTHER", TOKEN).env("SHORT", "0123456789abcde");
        command
    };
    for (flags, wanted) in [
        (&["--url-token-env", "SHORT"][..], "is shorter than 16 bytes"),
        (&[], "it signs nothing, so anybody could send in its name"),
    ] {
        let output = command(flags).output().expect("the program");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.code() == Some(78) && said.contains(wanted), "{said}");
        assert!(!said.contains("0123456789abcde"), "{said}");
    }
    let mut serving = Serving::start(&mut command(&["--url-token-env", "OTHER"]));
    let gateway = serving.address("gateway");
    for (target, status) in [(format!("/{TOKEN}"), 200), ("/".to_owned(), 404)] {
        assert_eq!(client::send(gateway, Request::post(&target).body(b"{}")).await.status, status, "{target}");
    }
}
