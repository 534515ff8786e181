//! Events that are stored and delivered after: what senders are answered, and what arrives.

mod restart;

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, Request, Upstream, signed};

/// A gateway that stores its events in a file, which is gone with the folder.
struct Kept {
    gateway: Gateway,
    _folder: TempDir,
}

impl Kept {
    /// `rest` is added to its source.
    async fn start(rest: &str) -> Self {
        let (upstream, folder) = (Upstream::start().await, TempDir::new().expect("a folder"));
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"source\"\npath = \"/in\"\nprovider = \"vpn-enterprise\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nmode = \"store\"\nupstream = \"{}/app\"\n{rest}\n[store]\nurl = \"sqlite:{}\"\n",
            upstream.url(),
            folder.path().join("hookward.db").display()
        );
        Self { gateway: Gateway::from_text(&text, upstream), _folder: folder }
    }

    /// Sends a request, which is accepted.
    async fn accept(&self, request: Request) {
        assert_eq!(self.gateway.send(request).await.status, 200);
    }

    fn requests(&self, outcome: &str) -> f64 {
        let labels = format!("{{source=\"source\",outcome=\"{outcome}\",reason=\"\"}}");
        self.gateway.metric(&format!("hookward_gateway_requests_total{labels}"))
    }

    /// Waits until so many attempts ended well and none is under way.
    async fn delivered(&self, wanted: usize) {
        let begun = Instant::now();
        let line = "hookward_delivery_attempts_total{source=\"source\",outcome=\"delivered\"}";
        while self.gateway.metric(line) < wanted as f64 || self.gateway.metric("hookward_deliveries_in_flight") > 0.0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{wanted} deliveries");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The bodies that arrived, in their order.
    fn bodies(&self) -> Vec<String> {
        self.gateway.upstream.arrived().iter().map(|a| String::from_utf8_lossy(&a.body).into_owned()).collect()
    }
}

fn text(id: &str) -> String {
    format!("{{\"id\":\"{id}\"}}")
}

fn event(id: &str) -> Request {
    signed("vpn-enterprise", "", &text(id), NOW)
}

#[tokio::test]
async fn an_event_arrives_as_it_was_sent() {
    let kept = Kept::start("methods = [\"POST\", \"PUT\"]").await;
    let body = "{ \"id\" :\t\"a\",\r\n \"text\": \"\u{e4}\\u00e4 \u{1f40b}\" }\n";
    let request = signed("vpn-enterprise", "", body, NOW).method("PUT").target("/in?a=1&b=%20x&&a=%C3%A4");
    let request = request.header("X-App", "one").header("X-Other", "").header("X-App", "two, three");
    kept.accept(request.header("hookward-attempt", "9").header("Content-Type", "application/json")).await;
    kept.delivered(1).await;
    let arrived = kept.gateway.upstream.only();
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("PUT", "/app?a=1&b=%20x&&a=%C3%A4"));
    assert_eq!(arrived.body, body.as_bytes());
    let values: Vec<_> = arrived.headers.get_all("x-app").iter().collect();
    assert_eq!(values, ["one", "two, three"]);
    assert_eq!((arrived.header("x-other"), arrived.headers.contains_key("x-other")), ("", true));
    assert_eq!(arrived.header("content-type"), "application/json");
    assert_eq!((arrived.header("hookward-attempt"), arrived.header("hookward-event-id")), ("1", "a"));
    assert_eq!(arrived.header("host"), kept.gateway.upstream.address().to_string());
    assert!(arrived.header("hookward-verified").starts_with("vpn-enterprise"));
    assert!(!arrived.is_marked());
}

#[tokio::test]
async fn a_copy_is_accepted_and_not_delivered() {
    let kept = Kept::start("").await;
    kept.accept(event("a")).await;
    kept.accept(event("a")).await;
    kept.accept(signed("vpn-enterprise", "", "{\"id\":\"a\",\"n\":1}", NOW)).await;
    assert_eq!(kept.gateway.metric("hookward_gateway_dedup_conflicts_total{source=\"source\"}"), 1.0);
    assert_eq!((kept.requests("stored"), kept.requests("duplicate")), (1.0, 2.0));
    kept.accept(event("b")).await;
    kept.delivered(2).await;
    assert_eq!(kept.gateway.upstream.arrived().len(), 2);
}

#[tokio::test]
async fn it_is_known_for_as_long_as_the_source_says() {
    let kept = Kept::start("dedup_ttl = \"1h\"").await;
    kept.accept(event("a")).await;
    kept.gateway.set_now(NOW + 3599);
    kept.accept(event("a")).await;
    assert_eq!((kept.requests("stored"), kept.requests("duplicate")), (1.0, 1.0));
    kept.gateway.set_now(NOW + 3600);
    kept.accept(event("a")).await;
    kept.delivered(2).await;
    assert_eq!(kept.bodies(), [text("a"), text("a")]);
}

#[tokio::test]
async fn an_app_that_asks_for_time_gets_it_up_to_the_end_of_the_window() {
    for (asked, wait) in [("120", 120), ("3", 10), ("9999", 600)] {
        let retry = "retry = { initial = \"10s\", factor = 1, max = \"10s\", window = \"10m\", jitter = 0 }";
        let kept = Kept::start(retry).await;
        kept.gateway.upstream.plan([Act::Say(503, vec![("retry-after", asked)], "")]);
        kept.accept(event("a")).await;
        kept.gateway.upstream.wait_for(1).await;
        kept.delivered(0).await;
        kept.gateway.set_now(NOW + wait - 1);
        // Whatever else is due would be taken along with it.
        kept.accept(event("b")).await;
        kept.delivered(1).await;
        assert_eq!(kept.bodies(), [text("a"), text("b")], "not yet: {asked}");
        kept.gateway.set_now(NOW + wait);
        kept.delivered(2).await;
        assert_eq!(kept.bodies(), [text("a"), text("b"), text("a")], "{asked}");
        let attempts: Vec<_> =
            kept.gateway.upstream.arrived().iter().map(|a| a.header("hookward-attempt").to_owned()).collect();
        assert_eq!(attempts, ["1", "1", "2"]);
    }
}

#[tokio::test]
async fn senders_are_answered_as_the_source_says() {
    let kept = Kept::start("accepted = 202").await;
    for _ in 0..2 {
        assert_eq!(kept.gateway.send(event("a")).await.status, 202);
    }
    kept.delivered(1).await;
    let forged = event("b").body(b"{\"id\":\"c\"}");
    assert_eq!(kept.gateway.send(forged).await.status, 401);
    assert_eq!(kept.requests("stored"), 1.0);
}

#[tokio::test]
async fn a_source_that_only_judges_stores_what_it_would_refuse() {
    let kept = Kept::start("enforce = false").await;
    let forged = event("b").body(b"{\"id\":\"c\"}");
    for _ in 0..2 {
        kept.accept(forged.clone()).await;
    }
    kept.delivered(2).await;
    for arrived in kept.gateway.upstream.arrived() {
        assert_eq!(arrived.header("hookward-rejection"), "signature_mismatch");
        assert_eq!((arrived.header("hookward-verified"), &arrived.body[..]), ("", &b"{\"id\":\"c\"}"[..]));
    }
}

#[tokio::test]
async fn the_largest_body_arrives_whole() {
    let kept = Kept::start("").await;
    let padding = "x".repeat((1 << 20) - "{\"id\":\"a\",\"p\":\"\"}".len());
    let body = format!("{{\"id\":\"a\",\"p\":\"{padding}\"}}");
    kept.accept(signed("vpn-enterprise", "", &body, NOW)).await;
    kept.delivered(1).await;
    assert!(kept.gateway.upstream.only().body == body.as_bytes(), "byte for byte");
    let larger = signed("vpn-enterprise", "", &format!("{body} "), NOW);
    assert_eq!(kept.gateway.send(larger).await.status, 413);
}
