//! One event in several spellings, and two that look alike: what the running gateway forwards of them.

use hookward::clock::UnixTime;
use hookward::signature;
use hookward::signature::place::Params;
use hookward::signature::secret::Secret;
use http::HeaderMap;

use crate::support::{Gateway, NOW, Request, SECRET};
use crate::vectors::scheme;

/// What `provider` sends to `target`, signed for the public URL.
fn sent(provider: &str, method: &str, target: &str, body: &str) -> Request {
    let url = format!("https://hooks.example.com{target}");
    let headers = HeaderMap::new();
    let message = signature::Message {
        id: "an-id",
        timestamp: UnixTime(NOW),
        method,
        url: &url,
        headers: &headers,
        body: body.as_bytes(),
    };
    let signed =
        scheme(provider).sign(message, &[Secret::new(SECRET.into())], &Params::default()).expect("a signature");
    let target = signed.url.strip_prefix("https://hooks.example.com").expect("our URL");
    let request = Request::post(target).method(method).body(&signed.body);
    signed
        .headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name.as_str(), value.to_str().expect("visible ASCII")))
}

const PUBLIC_URL: &str = "public_url = \"https://hooks.example.com/in\"";

#[tokio::test]
async fn two_requests_without_a_body_are_told_apart_by_their_queries() {
    let gateway = Gateway::start("hubspot-v3", PUBLIC_URL).await;
    for target in ["/in?userId=1", "/in?userId=2", "/in?userId=1"] {
        assert_eq!(gateway.send(sent("hubspot-v3", "GET", target, "")).await.status, 200, "{target}");
    }
    let arrived: Vec<String> = gateway.upstream.arrived().into_iter().map(|arrived| arrived.target).collect();
    assert_eq!(arrived, ["/app?userId=1", "/app?userId=2"]);
}

#[tokio::test]
async fn a_form_that_was_written_again_is_the_same_event() {
    let gateway = Gateway::start("twilio", PUBLIC_URL).await;
    let first = sent("twilio", "POST", "/in", "Body=hi&From=1");
    for body in ["Body=hi&From=1", "From=1&Body=hi", "%42ody=hi&From=1", "Body=hi&&From=1"] {
        assert_eq!(gateway.send(first.clone().body(body.as_bytes())).await.status, 200, "{body}");
    }
    assert_eq!(gateway.upstream.arrived().len(), 1);
    assert_eq!(gateway.send(sent("twilio", "POST", "/in", "Body=ho&From=1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 2, "another text is another event");
}

#[tokio::test]
async fn a_nonce_and_a_timestamp_that_changed_places_are_the_same_event() {
    let gateway = Gateway::start("wechat-official-account", "").await;
    let query = |timestamp: &str, nonce: &str| {
        // The token of the source is another one: the three are sorted.
        let mut parts = [SECRET, timestamp, nonce];
        parts.sort_unstable();
        let hash: String = sha1(&parts.concat());
        format!("/in?signature={hash}&timestamp={timestamp}&nonce={nonce}")
    };
    for target in [query("1760000000", "1320562132"), query("1320562132", "1760000000")] {
        let request = Request::post(&target).header("Content-Type", "text/xml").body(b"<xml/>");
        assert_eq!(gateway.send(request).await.status, 200, "{target}");
    }
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

fn sha1(text: &str) -> String {
    use sha1::{Digest, Sha1};
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
