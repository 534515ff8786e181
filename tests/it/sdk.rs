//! What the sender delivers is accepted by the libraries that customers verify with, as they come from npm and PyPI.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::support::Upstream;
use crate::support::api::Api;
use crate::support::crowd::wait_until;
use crate::support::packages::{LOCKS, node, python};
use crate::support::upstream::Arrived;

/// A library, the provider whose webhooks it verifies, and whether such a webhook may be signed with two secrets.
const LIBRARIES: [(&str, &str, bool); 4] = [
    ("@octokit/webhooks-methods", "github", false),
    ("standardwebhooks", "standard-webhooks", true),
    ("stripe", "stripe", true),
    ("svix", "svix", true),
];

/// An endpoint on this machine.
const LOOPBACK: &str = "allow = [\"127.0.0.0/8\"]\nplain_http = true";

/// Data whose bytes come out otherwise where somebody reads them and writes them again.
fn data() -> [String; 5] {
    [
        "{\"name\":\"Grüße an 世界 🎉\",\"escaped\":\"\\u00e9\\ud83d\\ude00\\/\\u003c\"}".into(),
        "{\"amount\":1.0,\"many\":[1e5,1E+2,-0.0,0.10,12345678901234567890],\"deep\":{\"a\":[{\"b\":[[2.50]]}]}}"
            .into(),
        "{ \"z\" : 1,\n\t\"a\":\"\",  \"a2\" : null }".into(),
        format!("{{\"text\":\"{}\"}}", "x".repeat(64 * 1024)),
        "{}".into(),
    ]
}

/// The libraries of one registry behind a program that asks them.
struct Receiver {
    libraries: &'static [&'static str],
    start: fn() -> Option<Command>,
}

const RECEIVERS: [Receiver; 2] = [
    Receiver { libraries: &["@octokit/webhooks-methods", "standardwebhooks", "stripe", "svix"], start: node },
    Receiver { libraries: &["standardwebhooks", "stripe", "svix"], start: python_receiver },
];

fn python_receiver() -> Option<Command> {
    let mut python = python("requirements.txt")?;
    python.arg(format!("{LOCKS}/receiver.py"));
    Some(python)
}

/// A delivery as a receiver has it.
#[derive(Debug, Clone)]
struct Received {
    library: &'static str,
    secret: String,
    headers: Map<String, Value>,
    body: Vec<u8>,
}

impl Received {
    fn new(library: &'static str, secret: &str, arrived: &Arrived) -> Self {
        let text = |name: &str| (name.to_owned(), arrived.header(name).into());
        let headers = arrived.headers.keys().map(|name| text(name.as_str())).collect();
        Self { library, secret: secret.into(), headers, body: arrived.body.to_vec() }
    }

    /// The beginning of it, for whoever reads why a test failed.
    fn show(&self) -> String {
        let Self { library, secret, headers, body } = self;
        format!("{library} with {secret}, {headers:?}, {:.400}", String::from_utf8_lossy(body))
    }

    fn with_secret(&self, secret: &str) -> Self {
        Self { secret: secret.into(), ..self.clone() }
    }

    /// The same with one thing changed that is signed, or that signs.
    fn forgeries(&self) -> Vec<Self> {
        let mut body = self.clone();
        let at = body.body.iter().rposition(u8::is_ascii_alphanumeric).unwrap_or_default();
        body.body[at] = another(body.body[at]);
        let mut shorter = self.clone();
        shorter.body.pop();
        let mut secret = self.secret.clone().into_bytes();
        let middle = secret.len() / 2;
        secret[middle] = another(secret[middle]);
        let mut forgeries = vec![body, shorter, self.with_secret(str::from_utf8(&secret).expect("ASCII"))];
        for (name, value) in &self.headers {
            let value = value.as_str().expect("a string");
            let changed = match name.as_str() {
                "svix-id" | "webhook-id" => format!("{value}0"),
                "svix-timestamp" | "webhook-timestamp" => later(value),
                "stripe-signature" => {
                    let (time, rest) = value.strip_prefix("t=").and_then(|rest| rest.split_once(',')).expect("a time");
                    format!("t={},{rest}", later(time))
                }
                _ => continue,
            };
            let mut forgery = self.clone();
            forgery.headers.insert(name.clone(), changed.into());
            forgeries.push(forgery);
        }
        forgeries
    }
}

/// Another letter or digit, which base64 has too.
fn another(byte: u8) -> u8 {
    if byte == b'a' { b'b' } else { b'a' }
}

/// A second later: well within what any library tolerates.
fn later(time: &str) -> String {
    (time.parse::<i64>().expect("seconds") + 1).to_string()
}

/// What the libraries of one registry say of each: `None` to accept it, else why they do not.
fn judge(mut receiver: Command, received: &[Received]) -> Vec<Option<String>> {
    let mut lines = String::new();
    for Received { library, secret, headers, body } in received {
        let case =
            json!({"library": library, "secret": secret, "headers": headers, "body_base64": STANDARD.encode(body)});
        lines.push_str(&format!("{case}\n"));
    }
    let piped = receiver.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("a program that has just run");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It answers while it reads.
    let writing = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("its end");
    let wrong = || String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", wrong());
    writing.join().expect("no panic").unwrap_or_else(|error| panic!("{error}: {}", wrong()));
    let verdicts = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let verdicts: Vec<Option<String>> = verdicts
        .map(|line| {
            let verdict: Value = serde_json::from_slice(line).expect("JSON lines");
            (verdict["ok"] != true).then(|| verdict["error"].as_str().expect("why").to_owned())
        })
        .collect();
    assert_eq!(verdicts.len(), received.len(), "{}", wrong());
    verdicts
}

/// Asks all receivers that there are, each for the libraries that it has.
fn check(received: &[Received], judged: impl Fn(&Received, Option<String>)) {
    for receiver in &RECEIVERS {
        let Some(command) = (receiver.start)() else { continue };
        let own = received.iter().filter(|received| receiver.libraries.contains(&received.library));
        let own: Vec<Received> = own.cloned().collect();
        assert!(!own.is_empty(), "nothing is asked of {:?}", receiver.libraries);
        for (received, verdict) in own.iter().zip(judge(command, &own)) {
            judged(received, verdict);
        }
    }
}

fn accept(received: &[Received]) {
    check(received, |received, verdict| assert_eq!(verdict, None, "{}", received.show()));
}

/// It must be the signature that does not match, rather than something that the library cannot read.
fn refuse(received: &[Received]) {
    check(received, |received, verdict| {
        let verdict = verdict.unwrap_or_else(|| panic!("accepted: {}", received.show()));
        assert!(verdict.contains("matching") || verdict == "verify returned false", "{verdict}: {}", received.show());
    });
}

/// An endpoint for each library.
struct Endpoint {
    library: &'static str,
    path: String,
    webhook: String,
    secret: String,
    takes_two: bool,
}

impl Endpoint {
    /// Registers all of them; `more` is what else there is to a webhook of a provider.
    async fn register_all(api: &Api, upstream: &Upstream, more: fn(&str) -> Value) -> Vec<Self> {
        let mut endpoints = Vec::new();
        for (library, provider, takes_two) in LIBRARIES {
            let path = format!("/{provider}");
            let mut webhook = more(provider);
            webhook["url"] = format!("{}{path}", upstream.url()).into();
            webhook["provider"] = provider.into();
            let answer = api.ask("POST", "/webhooks", &webhook.to_string()).await;
            let text = |name: &str| answer["webhook"][name].as_str().expect("a string").to_owned();
            endpoints.push(Self { library, path, webhook: text("id"), secret: text("secret"), takes_two });
        }
        endpoints
    }

    /// What it got of `arrived`.
    fn received(&self, arrived: &[Arrived]) -> Vec<Received> {
        let own = arrived.iter().filter(|arrived| arrived.target == self.path);
        own.map(|arrived| Received::new(self.library, &self.secret, arrived)).collect()
    }
}

async fn publish(api: &Api, data: &str) {
    let event = format!("{{\"type\":\"order.paid\",\"data\":{data}}}");
    let answer = api.ask("POST", "/events", &event).await;
    let told = answer["event"]["webhook_ids"].as_array().map(Vec::len);
    assert_eq!(told, Some(LIBRARIES.len()), "{answer}");
}

/// So many requests, once they have come.
async fn arrivals(upstream: &Upstream, count: usize) -> Vec<Arrived> {
    wait_until("deliveries", || upstream.arrived().len() >= count).await;
    upstream.arrived()
}

fn nobody_is_here() -> bool {
    RECEIVERS.iter().all(|receiver| (receiver.start)().is_none())
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_accepted_by_stock_libraries_and_changed_ones_are_not() {
    if nobody_is_here() {
        return;
    }
    let upstream = Upstream::start().await;
    let api = Api::start(LOOPBACK, "");
    let endpoints = Endpoint::register_all(&api, &upstream, |_| json!({})).await;
    let data = data();
    for data in &data {
        publish(&api, data).await;
    }
    let raw = r#"{"type":"order.paid","raw":"{\"id\" : \"evt_own\", \"n\":1.00}","content_type":"application/json"}"#;
    api.ask("POST", "/events", raw).await;
    for endpoint in &endpoints {
        let tried = api.ask("POST", &format!("/webhooks/{}/test", endpoint.webhook), "").await;
        assert_eq!(tried["success"], true, "{tried}");
    }
    let each = data.len() + 2;
    let arrived = arrivals(&upstream, each * endpoints.len()).await;
    let mut all = Vec::new();
    for endpoint in &endpoints {
        let received = endpoint.received(&arrived);
        assert_eq!(received.len(), each, "{}", endpoint.path);
        for data in &data {
            let has = |received: &Received| received.body.windows(data.len()).any(|part| part == data.as_bytes());
            assert!(received.iter().any(has), "{}: {data:.200}", endpoint.path);
        }
        all.extend(received);
    }
    accept(&all);
    refuse(&all.iter().flat_map(Received::forgeries).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_secrets_overlap_the_old_and_the_new_one_verify() {
    if nobody_is_here() {
        return;
    }
    let upstream = Upstream::start().await;
    let api = Api::start(LOOPBACK, "");
    let own = |provider: &str| match provider {
        "standard-webhooks" | "svix" => json!({"secret": format!("whsec_{}", STANDARD.encode([7; 32]))}),
        _ => json!({"secret": "a-secret-of-the-customer's-own"}),
    };
    let endpoints = Endpoint::register_all(&api, &upstream, own).await;
    let mut fresh = Vec::new();
    for endpoint in &endpoints {
        let answer = api.ask("POST", &format!("/webhooks/{}/rotate-secret", endpoint.webhook), "").await;
        fresh.push(answer["secret"].as_str().expect("a secret").to_owned());
    }
    publish(&api, "{\"overlap\":true}").await;
    let arrived = arrivals(&upstream, endpoints.len()).await;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (endpoint, fresh) in endpoints.iter().zip(&fresh) {
        assert_ne!(*fresh, endpoint.secret, "{}", endpoint.path);
        let [received] = &endpoint.received(&arrived)[..] else { panic!("{}: {arrived:#?}", endpoint.path) };
        let old = if endpoint.takes_two { &mut good } else { &mut bad };
        old.push(received.clone());
        good.push(received.with_secret(fresh));
        bad.extend(received.with_secret(fresh).forgeries());
    }
    accept(&good);
    refuse(&bad);
    // Without an overlap the old ones are good for nothing any more.
    let mut last = Vec::new();
    for endpoint in &endpoints {
        let path = format!("/webhooks/{}/rotate-secret", endpoint.webhook);
        let answer = api.ask("POST", &path, "{\"overlap_seconds\":0}").await;
        last.push(answer["secret"].as_str().expect("a secret").to_owned());
    }
    publish(&api, "{\"overlap\":false}").await;
    let arrived = arrivals(&upstream, 2 * endpoints.len()).await;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for ((endpoint, fresh), last) in endpoints.iter().zip(&fresh).zip(&last) {
        let [_, received] = &endpoint.received(&arrived)[..] else { panic!("{}: {arrived:#?}", endpoint.path) };
        good.push(received.with_secret(last));
        bad.extend([received.clone(), received.with_secret(fresh)]);
    }
    accept(&good);
    refuse(&bad);
}
