//! From an app by way of a sender, over the net, by way of a gateway, to another app: each event once, byte for byte.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::crowd::wait_until;
use crate::support::site::own_ip;
use crate::support::telling::Teller;
use crate::support::upstream::Act;
use crate::support::{Gateway, Upstream};

const PROVIDERS: [&str; 3] = ["standard-webhooks", "stripe", "github"];

/// Written as nobody's library would write it.
fn data(number: usize) -> String {
    format!("{{ \"number\" : {number},\"price\":1.50, \"name\":\"\\u00e9/\u{1f980}\" }}")
}

/// A sender with one endpoint for each provider, and the gateway that these are.
struct Route {
    teller: Teller,
    gateway: Gateway,
    webhooks: Vec<String>,
}

impl Route {
    /// `source` is added to each source of the gateway, `tables` to its configuration.
    async fn start(source: &str, tables: &str) -> Self {
        let (teller, app) = (Teller::start("").await, Upstream::start().await);
        let address = SocketAddr::from((own_ip(), 8080));
        let mut text = format!("[gateway]\nlisten = \"{address}\"\nworkers = 2\n");
        let mut webhooks = Vec::new();
        for provider in PROVIDERS {
            // A wait that does not end by itself here, since the test has the clock.
            let retry = json!({"delays": ["1m", "1m", "1m"], "jitter": 0.0});
            let rest = json!({"provider": provider, "retry": retry, "timeout": "2s", "events": ["order.*"]});
            let webhook = teller.register(&format!("http://{address}/in/{provider}?from=hookward"), rest).await;
            let secret = webhook["secret"].as_str().expect("a secret");
            text.push_str(&format!(
                "[[source]]\nname = \"{provider}\"\npath = \"/in/{provider}\"\nprovider = \"{provider}\"\nsecrets = [{{ literal = \"{secret}\" }}]\nallow = \"any\"\nupstream = \"{}/{provider}\"\n{source}\n",
                app.url()
            ));
            webhooks.push(webhook["id"].as_str().expect("an id").to_owned());
        }
        let gateway = Gateway::from_text(&format!("{text}{tables}"), app);
        Self { teller, gateway, webhooks }
    }

    fn app(&self) -> &Upstream {
        &self.gateway.upstream
    }

    /// Tells an event with this number, and returns its id.
    async fn publish(&self, number: usize) -> String {
        // As text, since a value would be written anew.
        let body = format!("{{\"type\":\"order.paid\",\"data\":{}}}", data(number));
        let request = crate::support::Request::post("/events")
            .header("authorization", &format!("Bearer {}", crate::support::telling::ADMIN))
            .header("content-type", "application/json")
            .body(body.as_bytes());
        let reply = crate::support::client::send(self.teller.address(), request).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let json: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(json["event"]["webhook_ids"], json!(self.webhooks));
        json["event"]["id"].as_str().expect("an id").to_owned()
    }

    /// Moves both clocks on.
    fn pass(&self, seconds: i64) {
        self.teller.pass(seconds);
        self.gateway.set_now(self.teller.now());
    }

    /// Waits until each webhook has so many deliveries of this status.
    async fn reach(&self, status: &str, wanted: usize) {
        for webhook in &self.webhooks {
            self.teller.reach(webhook, status, wanted).await;
        }
    }

    /// What a webhook's deliveries were, with their bodies and attempts.
    async fn details(&self, webhook: &str) -> Vec<Value> {
        let mut details = Vec::new();
        for delivery in self.teller.deliveries(webhook, |_| true).await {
            let path = format!("/webhooks/{webhook}/deliveries/{}", delivery["id"].as_str().expect("an id"));
            details.push(self.teller.get(&path).await.json["delivery"].clone());
        }
        details
    }

    /// Every attempt was genuine to the gateway, which has refused nothing.
    fn check_that_all_were_verified(&self) {
        let gateway = self.gateway.app.gateway();
        let text = gateway.metrics.render(gateway.dedup.stats()).expect("text");
        let refused: Vec<&str> =
            text.lines().filter(|line| line.contains("outcome=\"rejected\"") && !line.ends_with(" 0")).collect();
        assert!(text.contains("hookward_gateway_requests_total{"), "{text}");
        assert!(refused.is_empty(), "{refused:#?}");
    }

    /// The app took each of `events` from each provider once, in the bytes that the sender shows, and nothing else.
    async fn check(&self, events: &[String]) {
        self.check_that_all_were_verified();
        let successes = self.app().successes();
        assert!(successes.values().all(|count| *count == 1), "{successes:?}");
        assert_eq!(successes.len(), events.len() * PROVIDERS.len());
        for (provider, webhook) in PROVIDERS.iter().zip(&self.webhooks) {
            let details = self.details(webhook).await;
            assert_eq!(details.len(), events.len());
            for (number, event) in events.iter().enumerate() {
                let found = details.iter().find(|detail| detail["event_id"] == **event);
                let body = found.and_then(|detail| detail["body"].as_str()).expect("what was sent");
                assert_eq!(body, expected(provider, event, &data(number)), "{provider}");
                assert!(successes.contains_key(&Bytes::from(body.to_owned())), "{provider}: {body}");
            }
        }
        for arrived in self.app().arrived() {
            let provider = arrived.target.trim_start_matches('/').split('?').next().expect("a path");
            assert_eq!(arrived.target, format!("/{provider}?from=hookward"));
            assert_eq!(arrived.header("hookward-verified"), format!("{provider};key=1"));
            assert!(events.iter().any(|event| *event == arrived.header("hookward-event-id")), "{arrived:?}");
        }
    }
}

/// An event as each provider writes it, at the moment of all tests.
fn expected(provider: &str, id: &str, data: &str) -> String {
    match provider {
        "standard-webhooks" => {
            format!("{{\"type\":\"order.paid\",\"timestamp\":\"2025-10-09T08:53:20.000Z\",\"data\":{data}}}")
        }
        "stripe" => format!(
            "{{\"id\":\"{id}\",\"object\":\"event\",\"type\":\"order.paid\",\"created\":1760000000,\"data\":{{\"object\":{data}}}}}"
        ),
        _ => data.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_first_gets_each_event_once_through_a_proxy() {
    let route = Route::start("", "").await;
    route.app().fail_first(|_| true);
    let mut events = Vec::new();
    for number in 0..5 {
        events.push(route.publish(number).await);
    }
    route.reach("retrying", events.len()).await;
    assert!(route.app().successes().is_empty());
    route.pass(60);
    route.reach("success", events.len()).await;
    route.check(&events).await;
    assert_eq!(route.app().arrived().len(), 2 * events.len() * PROVIDERS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sender_saw_no_success_of_is_a_duplicate_at_the_gateway() {
    let route = Route::start("", "").await;
    route.app().plan([Act::Hold(200), Act::Hold(200), Act::Hold(200)]);
    let events = [route.publish(0).await];
    // The sender's patience ends before the app's answer: nobody can tell it whether the app took it.
    route.reach("retrying", 1).await;
    assert!(route.app().successes().is_empty());
    for _ in PROVIDERS {
        route.app().release();
    }
    wait_until("the app to be done", || route.app().successes().len() == PROVIDERS.len()).await;
    route.pass(60);
    route.reach("success", 1).await;
    route.check(&events).await;
    assert_eq!(route.app().arrived().len(), PROVIDERS.len(), "the second attempts end at the gateway");
    for webhook in &route.webhooks {
        assert_eq!(route.details(webhook).await[0]["attempts"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_first_gets_each_event_once_from_a_store() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let store = format!("[store]\nurl = \"sqlite:{}\"\n", folder.path().join("gateway.db").display());
    let source = "mode = \"store\"\nretry = { delays = [\"1m\", \"1m\"], jitter = 0 }";
    let route = Route::start(source, &store).await;
    route.app().fail_first(|_| true);
    let mut events = Vec::new();
    for number in 0..5 {
        events.push(route.publish(number).await);
    }
    route.reach("success", events.len()).await;
    wait_until("first attempts", || route.app().arrived().len() == events.len() * PROVIDERS.len()).await;
    // What the gateway writes down last of them decides when it tries again.
    while route.app().successes().len() < events.len() * PROVIDERS.len() {
        route.pass(60);
        sleep(Duration::from_millis(50)).await;
        assert!(route.teller.now() < crate::support::NOW + 3600, "{:?}", route.app().successes());
    }
    route.check(&events).await;
    for webhook in &route.webhooks {
        assert!(
            route.details(webhook).await.iter().all(|detail| detail["attempts"] == 1),
            "the gateway takes all at once"
        );
    }
}
