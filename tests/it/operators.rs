//! What operators do over the admin API and at the command line.

mod command_line;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Duration;

use bytes::Bytes;
use hookward::access::{Role, Token, Tokens};
use hookward::admin::{Admin, Api};
use hookward::clock::{Clock, UnixMillis};
use hookward::database::postgres::{Limits, Postgres, parse_url};
use hookward::database::sqlite::Sqlite;
use hookward::delivery::Deliveries;
use hookward::delivery::destination::{Destination, Destinations, Way};
use hookward::delivery::schedule::{Schedule, Waits};
use hookward::egress::{Pool, Url};
use hookward::operators::Operators;
use hookward::signature::secret::Secret;
use hookward::store::{
    Accepted, Attempt, Consequence, DeliveryFilter, Id, Leased, Message, NewEvent, Owed, PostgresStore, Room,
    Settlement, SqliteStore, Store, Verdict,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::child::{Serving, file};
use crate::support::client::{Reply, Request, send};
use crate::support::{Gateway, NOW};

const OPS: &str = "ops-0123456789abcdef";
const READER: &str = "reader-0123456789abcdef";
const PUBLISHER: &str = "publisher-0123456789abcdef";

/// An admin listener with a store behind it. The source `stripe` has the destination `app`, `old` has none any more.
struct Server {
    address: SocketAddr,
    listening: JoinHandle<()>,
    store: Arc<Store>,
    folder: TempDir,
    _gateway: Gateway,
}

fn tokens() -> Tokens {
    let token = |name: &str, role, secret: &str| Token::new(name.into(), role, &Secret::new(secret.into()));
    Tokens::new(vec![
        token("ops", Role::Manage, OPS),
        token("reader", Role::Read, READER),
        token("publisher", Role::Publish, PUBLISHER),
    ])
}

fn open(folder: &TempDir) -> Arc<Store> {
    let database = Sqlite::open(&folder.path().join("hookward.db")).expect("nobody has it");
    Arc::new(Store::Sqlite(SqliteStore::new(database)))
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder);
        let gateway = Gateway::start("stripe", "").await;
        let metrics = Arc::clone(&gateway.app.gateway().metrics);
        let clock = Clock::Manual(Arc::new(AtomicI64::new(NOW + 7200)));
        let url = Url::parse("http://127.0.0.1:1/app").expect("a URL");
        let app = Destination {
            name: "app".into(),
            source: "stripe".into(),
            pool: Pool::new(url.target.clone(), None, Duration::from_secs(1)),
            url,
            timeout: Duration::from_secs(1),
            lease: Duration::from_secs(2),
            schedule: Schedule { waits: Waits::List(Vec::new()), window: Duration::from_secs(1), jitter: 0.0 },
            exhausted: Consequence::Fail,
            way: Way::Forward,
            routed: false,
            limit: 1,
            ordered: false,
            rate: None,
            metrics: metrics.deliveries("stripe"),
        };
        let destinations = Destinations::new([app]);
        // Nobody runs it: what is due stays due.
        let deliveries = Deliveries::new(Arc::clone(&store), destinations, clock.clone(), metrics, 1);
        let operators = Operators { store: Arc::clone(&store), deliveries: Some(deliveries), clock };
        let (address, listening) = serve(&gateway, Api::new(Some(operators), tokens()));
        Self { address, listening, store, folder, _gateway: gateway }
    }

    /// Accepts an event for `app`; the event and its delivery.
    async fn owe(&self, source: &str, at: i64) -> (Id, Id) {
        let event = new_event(source, at);
        let id = event.id;
        assert_eq!(self.store.accept(event).await, Ok(Accepted::New));
        let filter = DeliveryFilter { event: Some(id), limit: 1, ..DeliveryFilter::default() };
        (id, self.store.deliveries(filter).await.expect("a page").data[0].id)
    }

    async fn lease(&self) -> Leased {
        let room = Room { destination: "app".into(), deliveries: 1, ordered: false };
        let leased = self.store.lease(vec![room], millis(7200), Duration::from_secs(3600)).await;
        leased.expect("a store").pop().expect("something is due")
    }

    async fn settle(&self, leased: &Leased, verdict: Verdict) {
        let error = (!matches!(verdict, Verdict::Delivered)).then(|| "connection refused".to_owned());
        let duration = Duration::from_millis(12);
        let attempt =
            Attempt { started_at: millis(3600), duration, status: None, error, charged: true, exchange: None };
        let settlement = Settlement { id: leased.id, token: leased.token, verdict, attempt, endpoint: None };
        assert_eq!(self.store.settle(settlement).await, Ok(true));
    }

    /// So many dead letters of `stripe`, a second apart.
    async fn dead(&self, count: i64) -> Vec<Id> {
        let mut ids = Vec::new();
        for at in 0..count {
            ids.push(self.owe("stripe", at).await.1);
            let leased = self.lease().await;
            self.settle(
                &leased,
                Verdict::Dead { possible_duplicate: false, reason: "exhausted", consequence: Consequence::Fail },
            )
            .await;
        }
        ids
    }

    async fn ask(&self, method: &str, target: &str, body: &str) -> Reply {
        self.ask_as(OPS, method, target, body).await
    }

    async fn ask_as(&self, token: &str, method: &str, target: &str, body: &str) -> Reply {
        let request = Request::post(target).method(method).body(body.as_bytes());
        send(self.address, request.header("authorization", &format!("Bearer {token}"))).await
    }

    async fn good(&self, method: &str, target: &str, body: &str) -> Value {
        let reply = self.ask(method, target, body).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// A refusal's status, code and words.
    async fn refused(&self, method: &str, target: &str, body: &str) -> (u16, String, String) {
        problem(&self.ask(method, target, body).await)
    }
}

fn serve(gateway: &Gateway, api: Arc<Api>) -> (SocketAddr, JoinHandle<()>) {
    let admin = Admin::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = admin.address();
    let running = admin.run(Arc::clone(gateway.app.gateway()), Arc::new(AtomicBool::new(false)), api);
    (address, tokio::spawn(running))
}

fn problem(reply: &Reply) -> (u16, String, String) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let problem: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!((&problem["status"], problem["type"].as_str()), (&json!(reply.status), Some("about:blank")));
    let text = |name: &str| problem[name].as_str().expect("text").to_owned();
    (reply.status, text("code"), text("detail"))
}

fn millis(seconds: i64) -> UnixMillis {
    UnixMillis((NOW + seconds) * 1000)
}

fn new_event(source: &str, at: i64) -> NewEvent {
    let message = Message {
        method: "POST".into(),
        query: None,
        headers: Bytes::from_static(b"content-type: application/json\r\n"),
        body: Bytes::from_static(b"{\"paid\":true}"),
    };
    NewEvent {
        id: Id::new(millis(at)),
        source: source.into(),
        event_id: Some(format!("evt_{at}")),
        accepted_at: millis(at),
        message,
        remember: None,
        variants: Vec::new(),
        counted: Vec::new(),
        owed: vec![Owed::due("app".into(), millis(at))],
        emitted: None,
    }
}

fn ids(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().expect("a list");
    rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn events_are_listed_and_shown() {
    let server = Server::start().await;
    let (first, delivery) = server.owe("stripe", 0).await;
    let (second, _) = server.owe("stripe", 60).await;
    let page = server.good("GET", "/api/events?limit=1", "").await;
    assert_eq!((ids(&page), page["next"].as_str()), (vec![second.to_string()], Some(&*second.to_string())));
    let page = server.good("GET", &format!("/api/events?after={second}"), "").await;
    assert_eq!((ids(&page), page["next"].as_str()), (vec![first.to_string()], None));
    for query in ["event_id=evt_0", "until=2025-10-09T08:53:30Z", "source=stripe&until=2025-10-09T10:53:30%2B02:00"] {
        let page = server.good("GET", &format!("/api/events?{query}"), "").await;
        assert_eq!(ids(&page), [first.to_string()], "{query}");
    }
    let event = server.good("GET", &format!("/api/events/{first}"), "").await;
    assert_eq!(event["accepted_at"], "2025-10-09T08:53:20.000Z");
    assert_eq!(event["headers"], json!([["content-type", "application/json"]]));
    assert_eq!(event["body"], "{\"paid\":true}");
    assert_eq!(event["deliveries"][0]["id"], delivery.to_string());
    assert_eq!(event["deliveries"][0]["state"], "waiting");
}

#[tokio::test]
async fn deliveries_are_listed_and_shown_with_their_attempts() {
    let server = Server::start().await;
    let dead = server.dead(2).await;
    let (event, waiting) = server.owe("stripe", 60).await;
    let listed = async |query: &str| ids(&server.good("GET", &format!("/api/deliveries?{query}"), "").await);
    assert_eq!(listed("state=dead").await, [dead[1].to_string(), dead[0].to_string()]);
    assert_eq!(listed(&format!("event={event}")).await, [waiting.to_string()]);
    assert_eq!(listed("destination=app&since=2025-10-09T08:54:20Z").await, [waiting.to_string()]);
    assert_eq!(listed("source=github").await, [""; 0]);
    let delivery = server.good("GET", &format!("/api/deliveries/{}", dead[0]), "").await;
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("dead"), &json!(1)));
    let log = json!([{
        "started_at": "2025-10-09T09:53:20.000Z", "duration_ms": 12, "status": null, "error": "connection refused", "charged": true
    }]);
    assert_eq!(delivery["log"], log);
    let stats = server.good("GET", "/api/store/stats", "").await;
    assert_eq!((&stats["events"], &stats["dead"], &stats["waiting"]), (&json!(3), &json!(2), &json!(1)));
}

#[tokio::test]
async fn a_replay_makes_deliveries_to_what_the_source_has_now() {
    let server = Server::start().await;
    let (event, first) = server.owe("stripe", 0).await;
    let leased = server.lease().await;
    server.settle(&leased, Verdict::Delivered).await;
    for body in ["", "{}", "{\"destination\": \"app\"}"] {
        let replayed = server.good("POST", &format!("/api/events/{event}/replay"), body).await;
        assert_eq!(replayed["event"], event.to_string());
        assert_eq!(replayed["deliveries"].as_array().map(Vec::len), Some(1), "{replayed}");
        assert_ne!(replayed["deliveries"][0]["id"], first.to_string());
        assert_eq!(replayed["deliveries"][0]["destination"], "app");
    }
    let shown = server.good("GET", &format!("/api/events/{event}"), "").await;
    assert_eq!(shown["deliveries"].as_array().map(Vec::len), Some(4));
    let replay = |event: Id| format!("/api/events/{event}/replay");
    let (status, code, detail) = server.refused("POST", &replay(event), "{\"destination\": \"ap\"}").await;
    assert_eq!((status, code.as_str()), (404, "unknown_destination"));
    assert!(detail.contains("has no destination \"ap\", it has: app"), "{detail}");
    let (orphan, _) = server.owe("old", 1).await;
    let (status, code, detail) = server.refused("POST", &replay(orphan), "").await;
    assert_eq!((status, code.as_str()), (409, "no_destination"));
    assert!(detail.contains("source \"old\" has no destination now"), "{detail}");
    let (status, code, _) = server.refused("POST", &replay(Id([7; 16])), "").await;
    assert_eq!((status, code.as_str()), (404, "no_event"));
}

#[tokio::test]
async fn what_is_under_way_or_delivered_is_not_retried() {
    let server = Server::start().await;
    let dead = server.dead(1).await[0];
    let retry = |id: Id| format!("/api/deliveries/{id}/retry");
    assert_eq!(server.good("POST", &retry(dead), "").await, json!({"delivery": dead.to_string()}));
    let leased = server.lease().await;
    assert_eq!((leased.id, leased.attempts), (dead, 0));
    let (status, code, detail) = server.refused("POST", &retry(dead), "").await;
    assert_eq!((status, code.as_str()), (409, "leased"));
    assert!(detail.contains("under way"), "{detail}");
    server.settle(&leased, Verdict::Delivered).await;
    let (status, code, detail) = server.refused("POST", &retry(dead), "").await;
    assert_eq!((status, code.as_str()), (409, "delivered"));
    assert!(detail.contains("replay its event"), "{detail}");
    let (status, code, _) = server.refused("POST", &retry(Id([7; 16])), "").await;
    assert_eq!((status, code.as_str()), (404, "no_delivery"));
}

#[tokio::test]
async fn dead_letters_are_retried_in_parts() {
    let server = Server::start().await;
    server.dead(5).await;
    server.owe("stripe", 9).await;
    let first = server.good("POST", "/api/deliveries/retry", "{\"limit\": 3}").await;
    assert_eq!(first["retried"], 3);
    let next = first["next"].as_str().expect("more");
    let body = format!("{{\"limit\": 3, \"after\": \"{next}\"}}");
    let second = server.good("POST", "/api/deliveries/retry", &body).await;
    assert_eq!(second, json!({"retried": 2, "next": null}));
    let stats = server.good("GET", "/api/store/stats", "").await;
    assert_eq!((&stats["dead"], &stats["waiting"]), (&json!(0), &json!(6)));
    let none = server.good("POST", "/api/deliveries/retry", "{\"state\": \"dead\"}").await;
    assert_eq!(none, json!({"retried": 0, "next": null}));
    let (status, code, detail) = server.refused("POST", "/api/deliveries/retry", "{\"state\": \"leased\"}").await;
    assert_eq!((status, code.as_str()), (400, "bad_parameter"));
    assert!(detail.contains("that are leased cannot be retried"), "{detail}");
}

#[tokio::test]
async fn a_token_opens_what_its_role_allows() {
    let server = Server::start().await;
    let dead = server.dead(1).await[0];
    let retry = format!("/api/deliveries/{dead}/retry");
    assert_eq!(server.ask_as(READER, "GET", "/api/deliveries", "").await.status, 200);
    let (status, code, detail) = problem(&server.ask_as(READER, "POST", &retry, "").await);
    assert_eq!((status, code.as_str()), (403, "forbidden"));
    assert!(detail.contains("the token \"reader\" has the role read, which may only look"), "{detail}");
    for (method, target) in [("GET", "/api/deliveries"), ("POST", &*retry)] {
        assert_eq!(problem(&server.ask_as(PUBLISHER, method, target, "").await).0, 403);
        let wrong = server.ask_as("ops-0123456789abcdeg", method, target, "").await;
        assert_eq!((problem(&wrong).0, wrong.header("www-authenticate")), (401, Some("Bearer")));
        let none = send(server.address, Request::post(target).method(method)).await;
        assert_eq!((problem(&none).0, none.header("www-authenticate")), (401, Some("Bearer")));
    }
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(send(server.address, Request::post(open).method("GET")).await.status, 200, "{open}");
    }
    assert_eq!(server.ask_as(OPS, "POST", &retry, "").await.status, 200);
}

#[tokio::test]
async fn without_tokens_or_a_store_the_api_says_what_to_configure() {
    let gateway = Gateway::start("stripe", "").await;
    let api = Api::new(None, Tokens::default());
    let (address, _listening) = serve(&gateway, Arc::clone(&api));
    let request = Request::post("/api/events").method("GET").header("authorization", &format!("Bearer {OPS}"));
    let (status, code, detail) = problem(&send(address, request.clone()).await);
    assert_eq!((status, code.as_str()), (403, "no_tokens"));
    assert!(detail.contains("[admin] tokens = [{ name = \"ops\""), "{detail}");
    api.apply(tokens());
    let (status, code, detail) = problem(&send(address, request).await);
    assert_eq!((status, code.as_str()), (404, "no_store"));
    assert!(detail.contains("[store] url"), "{detail}");
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() {
    let server = Server::start().await;
    for (method, target, body, wanted) in [
        ("GET", "/api/events?sourc=x", "", "unknown query parameter \"sourc\", did you mean \"source\"?"),
        ("GET", "/api/events/12", "", "path: \"12\" is not an id: 32 hexadecimal digits, for example"),
        ("GET", "/api/events/", "", "path: \"\" is not an id"),
        ("GET", "/api/deliveries?since=2h", "", "\"since\": \"2h\" is not a time, for example"),
        ("GET", "/api/store/stats?x=1", "", "unknown query parameter \"x\", there is none here"),
        (
            "POST",
            "/api/deliveries/retry",
            "{\"stat\": \"dead\"}",
            "unknown body field \"stat\", did you mean \"state\"?",
        ),
        ("POST", "/api/deliveries/retry?state=dead", "", "unknown query parameter \"state\""),
        ("POST", "/api/deliveries/retry", "dead", "the body is not a JSON object"),
    ] {
        let (status, code, detail) = server.refused(method, target, body).await;
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{target}");
        assert!(detail.contains(wanted), "{target}\n wanted {wanted}\n found {detail}");
    }
    for target in ["/api", "/api/event", "/api/events/1/2", "/api/events/1/replay/3", "/api/store"] {
        assert_eq!(server.refused("GET", target, "").await.0, 404, "{target}");
    }
    let wrong = server.ask("POST", "/api/events", "").await;
    assert_eq!((problem(&wrong).0, wrong.header("allow")), (405, Some("GET")));
    let wrong = server.ask("GET", "/api/deliveries/retry", "").await;
    assert_eq!((problem(&wrong).0, wrong.header("allow")), (405, Some("POST")));
    let long = format!("{{\"source\": \"{}\"}}", "x".repeat(64 << 10));
    assert_eq!(server.refused("POST", "/api/deliveries/retry", &long).await.0, 413);
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_503() {
    let gateway = Gateway::start("stripe", "").await;
    let within = Duration::from_secs(1);
    let config = parse_url("postgres://nobody@127.0.0.1:1/none").expect("a URL");
    let limits = Limits { connect: within, answer: within };
    let database = Postgres::new(config, limits, tokio::runtime::Handle::current()).expect("no TLS");
    let store = Arc::new(Store::Postgres(Box::new(PostgresStore::new(&database))));
    let operators = Operators { store, deliveries: None, clock: Clock::System };
    let (address, _listening) = serve(&gateway, Api::new(Some(operators), tokens()));
    let request = Request::post("/api/events").method("GET").header("authorization", &format!("Bearer {OPS}"));
    let (status, code, detail) = problem(&send(address, request).await);
    assert_eq!((status, code.as_str()), (503, "store_unreachable"));
    assert!(detail.starts_with("postgres cannot be reached"), "{detail}");
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_on_sighup() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = file(&folder, "token", &format!("{OPS}\n"));
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"s\"\npath = \"/in\"\nprovider = \"stripe\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nupstream = \"http://127.0.0.1:1/\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntokens = [{{ name = \"ops\", file = \"{}\", role = \"manage\" }}]\n",
        token.display()
    );
    let mut serving = Serving::with_file(&file(&folder, "h.toml", &text));
    let address = serving.address("admin");
    let ask = async |token: &str| {
        let request = Request::post("/api/events").method("GET").header("authorization", &format!("Bearer {token}"));
        problem(&send(address, request).await)
    };
    assert_eq!((ask(OPS).await.0, ask(READER).await.0), (404, 401), "let in, and there is no store");
    file(&folder, "token", READER);
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!((ask(OPS).await.0, ask(READER).await.0), (401, 404));
}
