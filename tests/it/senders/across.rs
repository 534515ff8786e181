//! Each seed provider's sender and gateway together: from an app by way of a sender, over the net, by way of a gateway, to
//! another app, over the whole schedule.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use hookward::clock::{UnixMillis, UnixTime};
use hookward::schedule::Schedule;
use hookward::signature::Message;
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::site::own_ip;
use crate::support::telling::{ADMIN, Teller};
use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, Request, Upstream, client};

/// A secret that every provider here can sign with.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// Written as nobody's library would write it.
const DATA: &str =
    "{ \"eventName\" : \"n\",\"price\":1.50, \"createdAt\":\"2025-10-09T08:53:20Z\",\"name\":\"\\u00e9/\u{1f980}\" }";

/// A sender with one webhook of a provider, and the gateway in front of the app that it is for.
struct Route {
    teller: Teller,
    gateway: Gateway,
    webhook: String,
}

impl Route {
    /// `source` is added to the gateway's source.
    async fn start(provider: &'static str, source: &str) -> Self {
        let (teller, app) = (Teller::start("").await, Upstream::start().await);
        let address = SocketAddr::from((own_ip(), 8080));
        let text = format!(
            "[gateway]\nlisten = \"{address}\"\nworkers = 2\n[[source]]\nname = \"{provider}\"\npath = \"/in\"\nprovider = \"{provider}\"\nsecrets = [{{ literal = \"{SECRET}\" }}]\nallow = \"any\"\nupstream = \"{}/app\"\n{source}\n",
            app.url()
        );
        let gateway = Gateway::from_text(&text, app);
        let mut webhook = json!({ "provider": provider, "retry": { "jitter": 0.0 } });
        if provider == "vinsight" {
            let rotated = teller.post("/account/secrets/vinsight/rotate", &json!({ "secret": SECRET })).await;
            assert_eq!(rotated.status, 200, "{rotated:?}");
        } else {
            webhook["secret"] = SECRET.into();
        }
        let webhook = teller.register(&format!("http://{address}/in"), webhook).await;
        let webhook = webhook["id"].as_str().expect("an id").to_owned();
        Self { teller, gateway, webhook }
    }

    fn app(&self) -> &Upstream {
        &self.gateway.upstream
    }

    /// Tells an event, whose type every provider here has or may have.
    async fn publish(&self) {
        // As text, since a value would be written anew.
        let body = format!("{{\"type\":\"seed.event\",\"data\":{DATA}}}");
        let request = Request::post("/events")
            .header("authorization", &format!("Bearer {ADMIN}"))
            .header("content-type", "application/json")
            .body(body.as_bytes());
        let reply = client::send(self.teller.address(), request).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
    }

    /// The delivery, once so many attempts were made at it.
    async fn attempted(&self, times: u32) -> Value {
        let made = self.teller.deliveries(&self.webhook, |all| all[0]["attempts"] == times).await;
        made[0].clone()
    }

    /// Sets both clocks to so many seconds after the event.
    fn set_age(&self, seconds: i64) {
        self.teller.pass(NOW + seconds - self.teller.now());
        self.gateway.set_now(self.teller.now());
    }
}

/// Seconds between an event and each attempt at it, by the preset.
fn offsets(provider: &str) -> Vec<i64> {
    let schedule = Preset::find(provider).expect("a preset").profile.emission.schedule.clone();
    let schedule = Schedule { jitter: 0.0, ..schedule };
    let (born, mut now, mut offsets) = (UnixMillis(0), UnixMillis(0), vec![0]);
    let mut attempt = NonZeroU32::MIN;
    while let Some(due) = schedule.next(attempt, born, now, None, 0.0) {
        offsets.push(due.0 / 1000);
        (now, attempt) = (due, attempt.saturating_add(1));
    }
    offsets
}

/// X-01, X-02, X-03: every attempt but the last fails at the app. Each verifies at the gateway under the tolerance that the
/// preset recommends, with the same body; the app takes the event once, and one more copy ends at the gateway.
async fn whole_schedule(provider: &'static str, attempts: usize, last: i64, source: &str) {
    let offsets = offsets(provider);
    assert_eq!((offsets.len(), offsets.last()), (attempts, Some(&last)), "{provider}: {offsets:?}");
    let route = Route::start(provider, source).await;
    let before = route.app().arrived().len();
    route.app().plan(vec![Act::Answer(500); attempts - 1]);
    route.publish().await;
    for (number, offset) in (1_u32..).zip(&offsets) {
        route.set_age(*offset);
        let delivery = route.attempted(number).await;
        let (status, answer) = if number as usize == attempts { ("success", 200) } else { ("retrying", 500) };
        assert_eq!(
            (&delivery["status"], &delivery["response_status"]),
            (&json!(status), &json!(answer)),
            "{provider} {number}"
        );
    }
    let arrived = route.app().arrived().split_off(before);
    assert_eq!(arrived.len(), attempts, "X-02 {provider}: the gateway lets each of them through");
    assert!(arrived.iter().all(|one| one.body == arrived[0].body), "X-01 {provider}");
    assert!(arrived.iter().all(|one| one.header("hookward-verified") == format!("{provider};key=1")), "{provider}");
    let path =
        format!("/webhooks/{}/deliveries/{}", route.webhook, text(&route.attempted(attempts as u32).await["id"]));
    let shown = route.teller.get(&path).await.json["delivery"].clone();
    assert_eq!(shown["body"].as_str().map(str::as_bytes), Some(&arrived[0].body[..]), "X-01 {provider}");
    assert!(text(&shown["body"]).contains("\"price\":1.50"), "{provider}: values are as they were written");
    let resent = route.teller.post(&format!("{path}/resend"), &json!({})).await;
    assert_eq!(resent.status, 202, "{resent:?}");
    route.teller.reach(&route.webhook, "success", 2).await;
    assert_eq!(route.app().successes().values().sum::<usize>(), 1, "X-03 {provider}: once, however often it is sent");
    assert_eq!(route.app().arrived().len(), before + attempts, "X-03 {provider}");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn vgs_over_its_whole_schedule() {
    // Its timestamp is frozen: what the documentation's 60 s would refuse is what `tolerance` is for.
    whole_schedule("vgs", 8, 99_305, "tolerance = \"28h\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vpn_enterprise_over_its_whole_schedule() {
    whole_schedule("vpn-enterprise", 17, 259_200, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vinsight_over_its_whole_schedule() {
    whole_schedule("vinsight", 10, 272_105, "dedup_ttl = \"4d\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cyberark_over_its_whole_schedule() {
    whole_schedule("cyberark-vaas", 31, 86_400, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vantastatus_over_its_whole_schedule() {
    whole_schedule("vantastatus", 5, 4_860, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_webhooks_over_its_whole_schedule() {
    whole_schedule("standard-webhooks", 10, 272_105, "").await;
}

/// X-08: the old secret alone verifies only where a message has room for two signatures.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_follows_a_new_secret_at_its_own_pace() {
    const NEXT: &str = "whsec_NzY1NDMyMTBmZWRjYmE5ODc2NTQzMjEw";
    for (provider, has_room) in [
        ("vgs", true),
        ("standard-webhooks", true),
        ("vpn-enterprise", false),
        ("vinsight", false),
        ("cyberark-vaas", false),
        ("vantastatus", false),
    ] {
        for (secrets, verifies) in [
            (format!("[{{ literal = \"{SECRET}\" }}]"), has_room),
            (format!("[{{ literal = \"{NEXT}\" }}]"), true),
            (format!("[{{ literal = \"{SECRET}\" }}, {{ literal = \"{NEXT}\" }}]"), true),
        ] {
            let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
            let rotation = json!({ "secret": NEXT, "overlap_seconds": 3600 });
            let mut input = json!({ "provider": provider });
            if provider == "vinsight" {
                let path = "/account/secrets/vinsight/rotate";
                assert_eq!(teller.post(path, &json!({ "secret": SECRET })).await.status, 200);
                teller.register(&receiver.url(), input).await;
                assert_eq!(teller.post(path, &rotation).await.status, 200);
            } else {
                input["secret"] = SECRET.into();
                let webhook = teller.register(&receiver.url(), input).await;
                let path = format!("/webhooks/{}/rotate-secret", text(&webhook["id"]));
                assert_eq!(teller.post(&path, &rotation).await.status, 200);
            }
            let tested = receiver.arrived().len();
            teller.publish("seed.event", json!({ "id": 1 })).await;
            crate::support::crowd::wait_until("the delivery", || receiver.arrived().len() > tested).await;
            let sent = receiver.arrived().pop().expect("it arrived");
            let gateway = Gateway::start(provider, &format!("secrets = {secrets}")).await;
            let request = sent.headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()));
            let request = request.fold(Request::post("/in"), |request, (name, value)| {
                request.header(name.as_str(), value.to_str().expect("visible ASCII"))
            });
            let reply = gateway.send(request.body(&sent.body)).await;
            assert_eq!(reply.status, if verifies { 200 } else { 401 }, "X-08 {provider}: {secrets}");
        }
    }
}

/// X-11: section 8 of the checklist on the sending side; `seeds::known_answers` has the receiving one.
#[test]
fn known_answers_are_what_is_signed() {
    const VGS: &str = r#"{"event":"proxy.upstream_error","occurrence":10}"#;
    const VPN: &str = r#"{"type":"user.created","data":{"user_id":"usr_456","email":"newuser@example.com"}}"#;
    const CYBERARK: &str = r#"{"events":[{"eventType":"CertificateExpiration","eventName":"Certificate Expiration","message":"Certificate api.example.com expires on 2025-02-01T00:00:00Z","criticality":1,"createdAt":"2025-01-15T12:45:00Z"}]}"#;
    const CYBERARK_TEST: &str = r####"{"events":[{"message":"### VAAS: TESTING CONNECTION... OK ###"}]}"####;
    const VANTA: &str = r#"{"id":"wh_evt_9f82a1c4d7e6","event":"endpoint.down","timestamp":"2025-01-14T08:32:17Z","webhook_id":"wh_3b71f092","account_id":"acc_vanta_prod_001","data":{"endpoint_id":"ep_msk_api_04","endpoint_name":"MSK-API-PROD","url":"https://api.example.ru/v2/health","previous_status":"up","current_status":"down","last_success":"2025-01-14T08:27:01Z","first_failure":"2025-01-14T08:32:17Z","failure_count":3,"last_response_code":502,"last_response_time_ms":null,"check_interval_sec":60,"group":"production"}}"#;
    const VINSIGHT: (&str, &str) = ("584af7dfa7f130fa3dbe15f5a805bae4", r#"{"test":"json"}"#);
    let cases = [
        (
            "vgs",
            "vgs_kat_secret",
            1_736_843_537,
            VGS,
            "vgs-signature",
            "t=1736843537,v0=343d2098ae55448e074bcd2c2bb002da579ef050abe632885df1cf036e22bbfe",
        ),
        (
            "vgs-timestamped",
            "vgs_kat_secret",
            1_736_843_537,
            VGS,
            "vgs-signature",
            "t=1736843537,v0=c7c2f28f3dfaacee130d8ba3ffd3b89ed3e216bb22fb9c0e86321266f8a1cf8e",
        ),
        (
            "vpn-enterprise",
            "whsec_vpn_kat_secret",
            0,
            VPN,
            "x-vpn-signature",
            "sha256=dadaab332341487bc98d1d8cb821365dcaf6c01bbde86c442a7c28949184d209",
        ),
        (
            "vinsight",
            VINSIGHT.0,
            0,
            VINSIGHT.1,
            "x-signature",
            "33ed67a6f675f2dc414c8933657c50c105a6b816108e7a4fed763dc917b9ba06",
        ),
        (
            "vinsight-prose",
            VINSIGHT.0,
            0,
            VINSIGHT.1,
            "x-signature",
            "07d51dcea20ab37ccccb335e5f1373f3a2f74ef246fe9d4878b1b2d490481235",
        ),
        (
            "cyberark-vaas",
            "cyberark_kat_secret",
            1_736_945_100,
            CYBERARK,
            "vaas-signature",
            "FpGMlZ1a3tqKdIHXPD1UK1_6nJWX8emPKYYBPszCN2k",
        ),
        (
            "cyberark-vaas-timestamped",
            "cyberark_kat_secret",
            1_736_945_100,
            CYBERARK,
            "vaas-signature",
            "q2t7IXNJPXMMqpY1Nwm3PX1FVHlQjjTr14dk1gBhcys",
        ),
        (
            "cyberark-vaas",
            "cyberark_kat_secret",
            1_736_945_100,
            CYBERARK_TEST,
            "vaas-signature",
            "McJmKXzvmfntwJXvSLA8pgT-PoryvNKCiIbZoXyJ-gk",
        ),
        (
            "vantastatus",
            "vanta_kat_secret",
            1_736_837_537,
            VANTA,
            "x-vantastatus-signature",
            "sha256=1e70400b845532433de0972b319a35488a9cd488d6352e50558b29237d6ebb99",
        ),
        (
            "standard-webhooks",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "webhook-signature",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];
    for (provider, secret, timestamp, body, header, wanted) in cases {
        let scheme = &Preset::find(provider).expect("a preset").profile.scheme;
        let headers = HeaderMap::new();
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: UnixTime(timestamp),
            method: "POST",
            url: "https://example.com/",
            headers: &headers,
            body: body.as_bytes(),
        };
        let signed = scheme.sign_headers(message, &[Secret::new(secret.into())], &Params::default());
        let signed = signed.unwrap_or_else(|why| panic!("{provider}: {why}"));
        assert_eq!(signed[header], wanted, "X-11 {provider}");
    }
}

/// X-04: what each preset remembers, at least as long as its sender goes on.
#[test]
fn events_are_remembered_for_longer_than_they_are_sent() {
    for provider in ["vgs", "vpn-enterprise", "cyberark-vaas", "vantastatus", "standard-webhooks"] {
        let profile = &Preset::find(provider).expect("a preset").profile;
        assert!(profile.dedup.ttl > profile.emission.schedule.span(), "X-04 {provider}");
        assert!(profile.dedup.ttl >= Duration::from_secs(24 * 3600), "X-04 {provider}");
    }
}
