//! Events that go where their source's routes lead, by what they say.

use std::time::{Duration, Instant, SystemTime};

use hookward::config::Config;
use hookward::config::environment::Environment;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::client;
use crate::support::upstream::{Act, Arrived};
use crate::support::{Gateway, NOW, Request, SECRET, Upstream, signed};

/// A gateway with a source of VantaStatus, an app behind it, and what its routes lead to.
struct Routed {
    gateway: Gateway,
    /// What `{other}` in the routes is.
    other: Upstream,
    _folder: TempDir,
}

impl Routed {
    /// `mode` is `proxy` or `store`; in `routes`, `{app}` and `{other}` are the two upstreams.
    async fn start(mode: &str, routes: &str) -> Self {
        Self::of("vantastatus", mode, routes).await
    }

    async fn of(provider: &str, mode: &str, routes: &str) -> Self {
        let (app, other, folder) =
            (Upstream::start().await, Upstream::start().await, TempDir::new().expect("a folder"));
        let routes = routes.replace("{app}", &app.url()).replace("{other}", &other.url());
        let store = folder.path().join("hookward.db");
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"{provider}\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nmode = \"{mode}\"\n{routes}\n[store]\nurl = \"sqlite:{}\"\n",
            store.display()
        );
        Self { gateway: Gateway::from_text(&text, app), other, _folder: folder }
    }

    /// Sends an event, and waits until nothing of it is under way.
    async fn send(&self, request: Request) -> u16 {
        let status = self.gateway.send(request).await.status;
        let stored = self.outcome("stored", "") > 0.0;
        let begun = Instant::now();
        let attempts = "hookward_delivery_attempts_total{source=\"source\",outcome=\"delivered\"}";
        let settled = || !stored || self.gateway.metric(attempts) >= self.outcome("stored", "");
        while !settled() || (stored && self.gateway.metric("hookward_deliveries_in_flight") > 0.0) {
            assert!(begun.elapsed() < Duration::from_secs(20), "what was stored is delivered");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        status
    }

    fn outcome(&self, outcome: &str, reason: &str) -> f64 {
        let labels = format!("{{source=\"source\",outcome=\"{outcome}\",reason=\"{reason}\"}}");
        self.gateway.metric(&format!("hookward_gateway_requests_total{labels}"))
    }

    /// The ids of the events that arrived at the app, and where.
    fn at_app(&self) -> Vec<(String, String)> {
        ids(&self.gateway.upstream)
    }

    fn at_other(&self) -> Vec<(String, String)> {
        ids(&self.other)
    }
}

fn ids(upstream: &Upstream) -> Vec<(String, String)> {
    let id = |arrived: &Arrived| arrived.header("hookward-event-id").to_owned();
    upstream.arrived().iter().map(|arrived| (id(arrived), arrived.target.clone())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(id, target)| ((*id).to_owned(), (*target).to_owned())).collect()
}

/// One of VantaStatus's events, as its documentation has them.
fn body(id: &str, kind: &str, group: &str) -> String {
    json!({
        "id": id, "event": kind, "timestamp": "2025-01-14T08:32:17Z", "webhook_id": "wh_3b71f092", "account_id": "acc_vanta_prod_001",
        "data": {
            "endpoint_id": "ep_msk_api_04", "endpoint_name": "MSK-API-PROD", "url": "https://api.example.ru/v2/health",
            "previous_status": "up", "current_status": "down", "last_success": "2025-01-14T08:27:01Z",
            "first_failure": "2025-01-14T08:32:17Z", "failure_count": 3, "last_response_code": 502, "last_response_time_ms": null,
            "check_interval_sec": 60, "group": group
        }
    })
    .to_string()
}

fn event(id: &str, kind: &str, group: &str) -> Request {
    signed("vantastatus", "", &body(id, kind, group), NOW)
}

const MODES: [&str; 2] = ["proxy", "store"];

#[tokio::test]
async fn only_what_a_filter_names_is_forwarded() {
    // Seed checklist VAN-93: `endpoint.down` only, and a second rule for `endpoint.up`.
    for mode in MODES {
        let routes = "[[source.route]]\ntype = \"endpoint.down\"\nupstream = \"{app}/down\"\n[[source.route]]\ntype = [\"endpoint.up\"]\nupstream = \"{app}/up\"\n[[source.route]]\ndrop = true\n";
        let routed = Routed::start(mode, routes).await;
        for (id, kind) in
            [("a", "endpoint.down"), ("b", "endpoint.up"), ("c", "endpoint.degraded"), ("d", "endpoint.down2")]
        {
            assert_eq!(routed.send(event(id, kind, "production")).await, 200, "{mode} {kind}");
        }
        assert_eq!(routed.at_app(), pairs(&[("a", "/down"), ("b", "/up")]), "{mode}");
        assert_eq!(routed.outcome("dropped", ""), 2.0, "{mode}");
    }
}

#[tokio::test]
async fn groups_go_to_upstreams_of_their_own() {
    // Seed checklist VAN-22 and VAN-94: production and staging, told by `data.group`.
    for mode in MODES {
        let routes = "upstream = \"{app}/rest\"\n[[source.route]]\njson = { \"/data/group\" = \"production\" }\nupstream = \"{other}/OPS\"\n[[source.route]]\njson = { \"/data/group\" = [\"staging\", \"test\"] }\nupstream = \"{other}/QA\"\n";
        let routed = Routed::start(mode, routes).await;
        for (id, group) in [("a", "production"), ("b", "staging"), ("c", "test"), ("d", "Production"), ("e", "")] {
            assert_eq!(routed.send(event(id, "endpoint.down", group)).await, 200);
        }
        assert_eq!(routed.at_other(), pairs(&[("a", "/OPS"), ("b", "/QA"), ("c", "/QA")]), "{mode}");
        assert_eq!(routed.at_app(), pairs(&[("d", "/rest"), ("e", "/rest")]), "{mode}");
    }
}

#[tokio::test]
async fn an_event_that_is_routed_arrives_as_any_other() {
    for mode in MODES {
        let routes =
            "upstream = \"{app}/rest\"\n[[source.route]]\ntype = \"endpoint.*\"\nupstream = \"{other}/down\"\n";
        let routed = Routed::start(mode, routes).await;
        let request = event("a", "endpoint.down", "production").target("/in?x=1").header("X-App", "kept");
        assert_eq!(routed.send(request).await, 200);
        let arrived = routed.other.only();
        assert_eq!((arrived.target.as_str(), arrived.header("x-app")), ("/down?x=1", "kept"), "{mode}");
        assert_eq!(arrived.body, body("a", "endpoint.down", "production").as_bytes());
        assert_eq!(arrived.header("hookward-verified"), "vantastatus;key=1");
        assert!(arrived.header("x-vantastatus-signature").starts_with("sha256="));
        assert_eq!(arrived.header("host"), routed.other.address().to_string());
    }
}

#[tokio::test]
async fn all_conditions_of_a_route_must_hold_and_the_first_route_counts() {
    let routes = "upstream = \"{app}/rest\"\n[[source.route]]\ntype = \"endpoint.down\"\njson = { \"/data/group\" = \"production\", \"/data/failure_count\" = 3, \"/data/last_response_code\" = [500, 502] }\nupstream = \"{app}/first\"\n[[source.route]]\ntype = \"endpoint.*\"\njson = { \"/data/group\" = \"production\" }\nupstream = \"{app}/second\"\n";
    let routed = Routed::start("proxy", routes).await;
    for (id, kind, group) in
        [("a", "endpoint.down", "production"), ("b", "endpoint.up", "production"), ("c", "endpoint.down", "staging")]
    {
        assert_eq!(routed.send(event(id, kind, group)).await, 200);
    }
    assert_eq!(routed.at_app(), pairs(&[("a", "/first"), ("b", "/second"), ("c", "/rest")]));
}

#[tokio::test]
async fn nothing_is_routed_before_it_is_verified() {
    for mode in MODES {
        let routes =
            "[[source.route]]\ntype = \"endpoint.down\"\nupstream = \"{app}/down\"\n[[source.route]]\ndrop = true\n";
        let routed = Routed::start(mode, routes).await;
        for kind in ["endpoint.down", "endpoint.up"] {
            let forged = event("a", kind, "production").body(body("b", kind, "production").as_bytes());
            assert_eq!(routed.send(forged).await, 401, "{mode} {kind}");
        }
        assert!(routed.at_app().is_empty() && routed.outcome("dropped", "") == 0.0, "{mode}");
        assert_eq!(routed.outcome("rejected", "signature_mismatch"), 2.0);
    }
}

#[tokio::test]
async fn what_is_only_judged_is_routed_too() {
    let routes = "enforce = false\n[[source.route]]\ntype = \"endpoint.down\"\nupstream = \"{app}/down\"\n[[source.route]]\ndrop = true\n";
    let routed = Routed::start("proxy", routes).await;
    for (id, kind) in [("a", "endpoint.down"), ("b", "endpoint.up")] {
        let forged = event(id, kind, "production").without("x-vantastatus-signature");
        assert_eq!(routed.send(forged).await, 200);
    }
    let arrived = routed.gateway.upstream.only();
    assert_eq!((arrived.target.as_str(), arrived.header("hookward-rejection")), ("/down", "signature_missing"));
}

#[tokio::test]
async fn a_repeat_is_a_repeat_whichever_way_it_took() {
    for mode in MODES {
        let routes =
            "upstream = \"{app}/rest\"\n[[source.route]]\ntype = \"endpoint.down\"\nupstream = \"{other}/down\"\n";
        let routed = Routed::start(mode, routes).await;
        for _ in 0..2 {
            assert_eq!(routed.send(event("a", "endpoint.down", "production")).await, 200);
        }
        assert_eq!((routed.at_other().len(), routed.outcome("duplicate", "")), (1, 1.0), "{mode}");
    }
}

#[tokio::test]
async fn what_is_dropped_is_not_remembered() {
    let routes = "accepted = 202\nupstream = \"{app}/rest\"\n[[source.route]]\ntype = \"endpoint.up\"\ndrop = true\n";
    let routed = Routed::start("proxy", routes).await;
    for _ in 0..2 {
        assert_eq!(routed.send(event("a", "endpoint.up", "production")).await, 202, "as whatever is accepted");
    }
    assert_eq!((routed.outcome("dropped", ""), routed.outcome("duplicate", "")), (2.0, 0.0));
}

const SLACK: &str = "upstream = \"{app}/rest\"\n[[source.route]]\nname = \"alarm\"\ntype = \"endpoint.down\"\ntemplate = \"slack\"\nmetadata = { channel = \"#prod-incidents\" }\nupstream = \"{other}/services/T0/B0/X?sig=1\"\n";

#[tokio::test]
async fn a_template_makes_a_message_of_an_event() {
    // Seed checklist VAN-22: production tells Slack, in the provider's own words for it (VAN-90).
    for mode in MODES {
        let routed = Routed::start(mode, SLACK).await;
        let request =
            event("a", "endpoint.down", "production").target("/in?x=1").header("Content-Encoding", "identity");
        assert_eq!(routed.send(request.header("User-Agent", "VantaStatus/1").header("Cookie", "c=1")).await, 200);
        let arrived = routed.other.only();
        assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("POST", "/services/T0/B0/X?sig=1"), "{mode}");
        let message: Value = serde_json::from_slice(&arrived.body).expect("JSON");
        assert_eq!(message["channel"], "#prod-incidents");
        assert_eq!(message["blocks"][0]["text"]["text"], "🔴 MSK-API-PROD is DOWN");
        assert_eq!(message["blocks"][1]["fields"][1]["text"], "*Status:*\n502 Bad Gateway (3 failures)");

        assert_eq!(arrived.header("content-type"), "application/json");
        assert_eq!(arrived.header("content-length"), arrived.body.len().to_string());
        assert_eq!(arrived.header("hookward-event-id"), "a");
        assert_eq!(
            (arrived.header("hookward-source"), arrived.header("hookward-verified")),
            ("source", "vantastatus;key=1")
        );
        assert!(arrived.header("user-agent").starts_with("Hookward/"));
        for lie in
            ["x-vantastatus-signature", "x-vantastatus-timestamp", "content-encoding", "cookie", "x-forwarded-for"]
        {
            assert!(!arrived.headers.contains_key(lie), "{mode} {lie}");
        }
        assert_eq!(routed.send(event("b", "endpoint.up", "production")).await, 200);
        assert_eq!(routed.at_app(), pairs(&[("b", "/rest")]), "what takes no route arrives as it came");
        assert!(routed.gateway.upstream.only().headers.contains_key("x-vantastatus-signature"));
    }
}

#[tokio::test]
async fn a_providers_refusal_of_the_message_is_tried_again() {
    let routed = Routed::start("proxy", SLACK).await;
    routed.other.plan([Act::Answer(500)]);
    assert_eq!(routed.send(event("a", "endpoint.down", "production")).await, 500);
    assert_eq!(routed.send(event("a", "endpoint.down", "production")).await, 200);
    let arrived = routed.other.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0].body, arrived[1].body);
}

#[tokio::test]
async fn one_url_may_be_told_different_things() {
    let route = |name: &str| {
        format!(
            "[[source.route]]\nname = \"{name}\"\njson = {{ \"/data/group\" = \"{name}\" }}\ntemplate = \"slack\"\nmetadata = {{ channel = \"#{name}\" }}\nupstream = \"{{other}}/hook\"\n"
        )
    };
    for mode in MODES {
        let routes = format!("upstream = \"{{app}}/rest\"\n{}{}", route("production"), route("staging"));
        let routed = Routed::start(mode, &routes).await;
        for group in ["production", "staging"] {
            assert_eq!(routed.send(event(group, "endpoint.down", group)).await, 200);
        }
        for arrived in routed.other.arrived() {
            let message: Value = serde_json::from_slice(&arrived.body).expect("JSON");
            assert_eq!(message["channel"], format!("#{}", arrived.header("hookward-event-id")), "{mode}");
        }
        assert_eq!(routed.other.arrived().len(), 2);
    }
}

/// A template that fails where an event does not say how often.
const OWN: &str = "{ \"text\": {{ type ~ \" from \" ~ webhook_id }}, \"count\": {{ data.count + 1 }} }";

fn own_template(folder: &TempDir, text: &str) -> String {
    let file = folder.path().join("pager.json.jinja");
    std::fs::write(&file, text).expect("a file");
    format!("[[source.route]]\ntemplate = {{ file = \"{}\" }}\nupstream = \"{{app}}/pager\"\n", file.display())
}

#[tokio::test]
async fn an_event_that_a_template_fails_on_is_sent_again_by_its_provider() {
    let folder = TempDir::new().expect("a folder");
    let routed = Routed::of("stripe", "proxy", &own_template(&folder, OWN)).await;
    let good = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"count":1}}}"#;
    assert_eq!(routed.send(signed("stripe", "", good, NOW)).await, 200);
    assert_eq!(routed.gateway.upstream.only().body, br#"{"text":"invoice.paid from source","count":2}"#.as_slice());
    let odd = r#"{"id":"evt_2","type":"invoice.paid","data":{"object":{"count":{}}}}"#;
    for _ in 0..2 {
        assert_eq!(routed.send(signed("stripe", "", odd, NOW)).await, 502, "its claim is given back");
    }
    assert_eq!(routed.outcome("failed", "template_failed"), 2.0);
    assert_eq!(routed.at_app().len(), 1, "nothing is sent that is no message");
}

#[tokio::test]
async fn a_stored_event_that_a_template_fails_on_is_a_dead_letter() {
    let folder = TempDir::new().expect("a folder");
    let routed = Routed::of("stripe", "store", &own_template(&folder, OWN)).await;
    let odd = r#"{"id":"evt_2","type":"invoice.paid","data":{"object":{"count":{}}}}"#;
    assert_eq!(routed.gateway.send(signed("stripe", "", odd, NOW)).await.status, 200);
    let line = "hookward_delivery_attempts_total{source=\"source\",outcome=\"dead\"}";
    let begun = Instant::now();
    while routed.gateway.metric(line) < 1.0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "a dead letter");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(routed.at_app().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_a_secret_is_told_nowhere() {
    let (app, other, folder) = (Upstream::start().await, Upstream::start().await, TempDir::new().expect("a folder"));
    other.plan([Act::Answer(404)]);
    let secret = format!("{}/services/T0/B0/a-part-that-is-secret?sig=also-secret", other.url());
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"vanta\"\npath = \"/in\"\nprovider = \"vantastatus\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nmode = \"store\"\nretry = {{ delays = [\"1ms\"], window = \"1m\", jitter = 0 }}\nupstream = \"{}/app\"\n[[source.route]]\nname = \"slack\"\ntype = \"endpoint.down\"\ntemplate = \"slack\"\nupstream = {{ env = \"SLACK_URL\" }}\n[store]\nurl = \"sqlite:{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntokens = [{{ name = \"ops\", env = \"ADMIN\", role = \"admin\" }}]\n[log]\nlevel = \"debug\"\n",
        app.url(),
        folder.path().join("hookward.db").display()
    );
    let config = file(&folder, "h.toml", &text);
    let config = config.to_str().expect("a path");
    let command = |arguments: &[&str]| {
        let mut command = hookward(arguments);
        command.env("SECRET", SECRET).env("SLACK_URL", &secret).env("ADMIN", "an-admins-token-0123");
        command
    };
    for arguments in [&["config", "effective", "-c", config][..], &["check", "-c", config]] {
        let output = command(arguments).output().expect("the program");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("SLACK_URL") && !said.contains("-secret"), "{said}");
    }
    let mut serving = Serving::start(&mut command(&["serve", "-c", config]));
    let gateway = serving.address("gateway");
    let admin = serving.address("admin");
    let text = body("a", "endpoint.down", "production");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let request = signed("vantastatus", "", &text, i64::try_from(now).expect("a time"));
    assert_eq!(client::send(gateway, request).await.status, 200);
    let line = serving.wait_for(&["Destination did not take webhook"]);
    assert!(line.contains("\"destination\":\"env:SLACK_URL as slack, route slack\""), "{line}");
    serving.wait_for(&["Delivered webhook"]);
    for target in ["/metrics", "/api/events", "/api/deliveries", "/api/store/stats"] {
        let request = Request::post(target).method("GET").header("Authorization", "Bearer an-admins-token-0123");
        let said = client::send(admin, request).await;
        assert!(said.status == 200 && !said.text().contains("-secret"), "{target}: {}", said.text());
    }
    serving.signal("TERM");
    let (_, log) = serving.end();
    assert!(!log.iter().any(|line| line.contains("-secret")), "{log:#?}");
    assert_eq!(other.arrived().len(), 2);
    assert_eq!(other.arrived()[1].target, "/services/T0/B0/a-part-that-is-secret?sig=also-secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_replayed_to_where_it_went_with_the_template_in_force() {
    let folder = TempDir::new().expect("a folder");
    let template = folder.path().join("pager.json.jinja");
    std::fs::write(&template, "{{ data.none.at_all + 1 }}").expect("a file");
    let (app, other) = (Upstream::start().await, Upstream::start().await);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"github\"\npath = \"/in\"\nprovider = \"github\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nmode = \"store\"\nupstream = \"{}/app\"\n[[source.route]]\ntype = \"push\"\ntemplate = {{ file = \"{}\" }}\nupstream = \"{}/pager\"\n[store]\nurl = \"sqlite:{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntokens = [{{ name = \"ops\", env = \"ADMIN\", role = \"admin\" }}]\n",
        app.url(),
        template.display(),
        other.url(),
        folder.path().join("hookward.db").display()
    );
    let config = file(&folder, "h.toml", &text);
    let mut command = hookward(&["serve", "-c", config.to_str().expect("a path")]);
    let mut serving = Serving::start(command.env("SECRET", SECRET).env("ADMIN", "an-admins-token-0123"));
    let (gateway, admin) = (serving.address("gateway"), serving.address("admin"));
    let ask = async |method: &str, target: &str| -> Value {
        let request = Request::post(target).method(method).header("Authorization", "Bearer an-admins-token-0123");
        let said = client::send(admin, request).await;
        serde_json::from_slice(&said.body).unwrap_or_else(|_| panic!("{target}: {}", said.text()))
    };
    let push = signed("github", "1", r#"{"ref":"main"}"#, NOW).header("X-GitHub-Event", "push");
    assert_eq!(client::send(gateway, push).await.status, 200);
    let line = serving.wait_for(&["is a dead letter"]);
    assert!(line.contains("the template pager fails: line 1"), "{line}");
    // The line is written before the store has it.
    let dead = loop {
        let dead = ask("GET", "/api/deliveries?state=dead").await;
        match dead["data"].as_array().and_then(|rows| rows.first().cloned()) {
            Some(row) => break row,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let (delivery, event) = (dead["id"].as_str().expect("an id"), dead["event"].as_str().expect("one"));

    std::fs::write(&template, "{{ type ~ \": \" ~ data.ref }}").expect("a file");
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    ask("POST", &format!("/api/deliveries/{delivery}/retry")).await;
    serving.wait_for(&["Delivered webhook"]);
    assert_eq!(other.only().body, b"\"push: main\"".as_slice());
    let replayed = ask("POST", &format!("/api/events/{event}/replay")).await;
    assert_eq!(replayed["deliveries"].as_array().map(Vec::len), Some(1), "{replayed}");
    serving.wait_for(&["Delivered webhook"]);
    assert_eq!((other.arrived().len(), app.arrived().len()), (2, 0));
    assert!(other.arrived()[1].is_marked());
}

/// The TOML blocks of docs/routing.md.
fn blocks() -> Vec<String> {
    let page = std::fs::read_to_string("docs/routing.md").expect("the page");
    let (mut lines, mut blocks) = (page.lines(), Vec::new());
    while let Some(line) = lines.next() {
        if line == "```toml" {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n") + "\n");
        }
    }
    blocks
}

#[test]
fn the_examples_of_the_page_are_good() {
    let [whole, last, slack] = <[String; 3]>::try_from(blocks()).expect("three examples");
    let (source, routes) = whole.split_once("[[source.route]]").expect("routes");
    let own = source.lines().filter(|line| !line.starts_with("upstream")).collect::<Vec<_>>().join("\n");
    let environment =
        Environment::from([("VANTA_SECRET", SECRET), ("SLACK_URL", "https://hooks.slack.com/services/T000/B000/XXXX")]);
    for text in [whole.clone(), format!("{own}\n{last}"), format!("{source}[[source.route]]{routes}{slack}")] {
        let config = Config::parse("h.toml", &text, &environment).unwrap_or_else(|faults| panic!("{text}{faults:#?}"));
        // What is shown as the configuration in force is one.
        let again = Config::parse("effective.toml", &config.effective, &environment);
        let again = again.unwrap_or_else(|faults| panic!("{}{faults:#?}", config.effective));
        assert_eq!(again.effective, config.effective);
    }
    let config = Config::parse("h.toml", &whole, &environment).expect("a good file");
    let page = std::fs::read_to_string("docs/routing.md").expect("the page");
    let said: Vec<String> = config.about.iter().map(|(source, line)| format!("source \"{source}\": {line}")).collect();
    let shown = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("what check says");
    for line in shown.lines() {
        assert!(said.iter().any(|said| said == line), "{line} is not in {said:#?}");
    }
}

#[tokio::test]
async fn a_header_tells_the_type_where_the_provider_writes_it_there() {
    let routes = "upstream = \"{app}/rest\"\n[[source.route]]\ntype = [\"push\", \"pull_request*\"]\nupstream = \"{app}/code\"\n";
    let routed = Routed::of("github", "proxy", routes).await;
    for (id, kind) in [("1", Some("push")), ("2", Some("pull_request_review")), ("3", Some("issues")), ("4", None)] {
        let request = signed("github", id, &format!("{{\"n\":{id}}}"), NOW);
        let request = kind.map_or(request.clone(), |kind| request.header("X-GitHub-Event", kind));
        assert_eq!(routed.send(request).await, 200);
    }
    assert_eq!(routed.at_app(), pairs(&[("1", "/code"), ("2", "/code"), ("3", "/rest"), ("4", "/rest")]));
}
