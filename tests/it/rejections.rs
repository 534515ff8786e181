//! What is turned away, with which status, and that none of it reaches the upstream.

use crate::support::client::send_raw;
use crate::support::{Gateway, NOW, Request, signed, signed_with};

/// Sends a request that must be refused, and then the genuine one, which must not be.
async fn refused(gateway: &Gateway, request: Request, status: u16, text: &str) {
    let before = gateway.upstream.arrived().len();
    let reply = gateway.send(request.clone()).await;
    assert_eq!((reply.status, reply.text().as_str()), (status, text), "{request:?}");
    assert_eq!(gateway.upstream.arrived().len(), before, "it reached the upstream: {request:?}");
}

async fn accepted(gateway: &Gateway, request: Request) {
    let before = gateway.upstream.arrived().len();
    assert_eq!(gateway.send(request.clone()).await.status, 200, "{request:?}");
    assert_eq!(gateway.upstream.arrived().len(), before + 1, "{request:?}");
}

#[tokio::test]
async fn one_change_to_a_genuine_request_is_enough() {
    let gateway = Gateway::start("stripe", "").await;
    let body = r#"{"id":"evt_1"}"#;
    let genuine = signed("stripe", "", body, NOW);
    let signature = genuine.value("stripe-signature").to_owned();
    let with_signature = |value: &str| genuine.clone().without("stripe-signature").header("Stripe-Signature", value);

    let invalid = "Invalid signature";
    refused(&gateway, genuine.clone().without("stripe-signature"), 401, invalid).await;
    refused(&gateway, with_signature(""), 401, invalid).await;
    refused(&gateway, genuine.clone().body(br#"{"id":"evt_2"}"#), 401, invalid).await;
    refused(&gateway, genuine.clone().body(format!("{body}\n").as_bytes()), 401, invalid).await;
    refused(&gateway, signed_with("another-secret-0123456789", "stripe", "", body, NOW), 401, invalid).await;
    refused(&gateway, with_signature(&signature.replace("v1=", "v0=")), 401, invalid).await;
    refused(&gateway, with_signature(&signature[..signature.len() - 2]), 401, invalid).await;
    refused(&gateway, with_signature(&format!("{signature}00")), 401, invalid).await;
    refused(&gateway, with_signature(&signature.replace(&NOW.to_string(), "soon")), 401, "Invalid timestamp").await;
    refused(&gateway, with_signature(signature.split_once(',').expect("two items").1), 401, "Invalid timestamp").await;
    refused(&gateway, genuine.clone().header("Stripe-Signature", &signature), 400, "Bad Request").await;
    refused(&gateway, genuine.clone().target("/in/"), 404, "Not Found").await;
    refused(&gateway, genuine.clone().target("/IN"), 404, "Not Found").await;
    refused(&gateway, genuine.clone().target("/%69n"), 404, "Not Found").await;
    refused(&gateway, genuine.clone().target("http://hooks.example.com/in"), 400, "Bad Request").await;
    refused(&gateway, genuine.clone().header("Host", "a").header("Host", "b"), 400, "Bad Request").await;
    let wrong_method = gateway.send(genuine.clone().method("PUT")).await;
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, Some("POST")));
    accepted(&gateway, genuine).await;
}

#[tokio::test]
async fn the_tolerance_ends_where_it_says() {
    let gateway = Gateway::start("stripe", "").await;
    let at = |offset: i64| signed("stripe", "", &format!(r#"{{"id":"evt_{offset}"}}"#), NOW + offset);
    accepted(&gateway, at(-300)).await;
    accepted(&gateway, at(300)).await;
    refused(&gateway, at(-301), 401, "Stale timestamp").await;
    refused(&gateway, at(301), 401, "Stale timestamp").await;
    // What is stale and not authentic is not called stale.
    let forged = signed_with("another-secret-0123456789", "stripe", "", "{}", NOW - 301);
    refused(&gateway, forged, 401, "Invalid signature").await;
}

#[tokio::test]
async fn an_event_id_must_be_one() {
    let gateway = Gateway::start("stripe", "").await;
    for body in ["{}", "not json", "", r#"{"id":null}"#, r#"{"id":{}}"#, r#"{"id":""}"#] {
        refused(&gateway, signed("stripe", "", body, NOW), 400, "Bad Request").await;
    }
    accepted(&gateway, signed("stripe", "", r#"{"id":"evt_1"}"#, NOW)).await;
}

#[tokio::test]
async fn a_body_is_bounded_in_size_and_time() {
    let gateway = Gateway::with_settings("vpn-enterprise", "body_timeout = \"200ms\"", "max_body = \"1KiB\"").await;
    let body = |length: usize| "x".repeat(length);
    accepted(&gateway, signed("vpn-enterprise", "", &body(1024), NOW)).await;
    refused(&gateway, signed("vpn-enterprise", "", &body(1025), NOW), 413, "Payload Too Large").await;
    // Megabytes that are on their way already do not keep the answer from arriving.
    refused(&gateway, signed("vpn-enterprise", "", &body(3 << 20), NOW), 413, "Payload Too Large").await;
    let chunked = signed("vpn-enterprise", "", &body(1025), NOW).header("Transfer-Encoding", "chunked");
    let chunked = chunked.body(format!("401\r\n{}\r\n0\r\n\r\n", body(1025)).as_bytes());
    refused(&gateway, chunked, 413, "Payload Too Large").await;
    // Where the head says it, no byte of the body is waited for.
    let promised = signed("vpn-enterprise", "", "", NOW).header("Content-Length", "1025");
    refused(&gateway, promised, 413, "Payload Too Large").await;
    let short = signed("vpn-enterprise", "", "x", NOW).header("Content-Length", "2");
    refused(&gateway, short, 408, "Request Timeout").await;
}

#[tokio::test]
async fn addresses_are_judged_before_the_body() {
    let settings = "client_ip = { from = \"x-forwarded-for\", trusted_proxies = [\"127.0.0.1\"] }";
    let gateway = Gateway::with_settings("vantastatus", settings, "allow = \"provider\"").await;
    let genuine = signed("vantastatus", "", r#"{"id":"a"}"#, NOW);
    let from = |address: &str| genuine.clone().header("X-Forwarded-For", address);
    refused(&gateway, genuine.clone(), 403, "Forbidden").await;
    refused(&gateway, from("91.234.57.0"), 403, "Forbidden").await;
    refused(&gateway, from("91.234.56.1, 198.51.100.1"), 403, "Forbidden").await;
    refused(&gateway, from("nonsense"), 400, "Bad Request").await;
    // Only the head is sent: the answer comes all the same.
    let head = "POST /in HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    let reply = send_raw(gateway.address(), head.as_bytes()).await.expect("an answer");
    assert_eq!(reply.status, 403);
    accepted(&gateway, from("198.51.100.1, 91.234.56.255")).await;
}

#[tokio::test]
async fn the_proxy_protocol_is_required_where_it_is_configured() {
    let settings = "client_ip = { from = \"proxy-protocol\", trusted_proxies = [\"127.0.0.1\"] }";
    let gateway = Gateway::with_settings("vantastatus", settings, "allow = \"provider\"").await;
    let request = signed("vantastatus", "", r#"{"id":"a"}"#, NOW).header("X-Forwarded-For", "91.234.56.1").bytes();
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x5b\xea\x38\x07\x0a\0\0\x01\x13\x88\0\x50";
    for (header, status) in [
        (&b""[..], None),
        (b"PROXY nonsense\r\n", None),
        (b"PROXY UNKNOWN\r\n", Some(403)),
        (b"PROXY TCP4 198.51.100.1 127.0.0.1 5000 80\r\n", Some(403)),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Some(403)),
        (b"PROXY TCP4 91.234.56.1 127.0.0.1 5000 80\r\n", Some(200)),
        (v2, Some(200)),
    ] {
        let reply = send_raw(gateway.address(), &[header, &request].concat()).await;
        assert_eq!(reply.map(|reply| reply.status), status, "{header:?}");
    }
    assert_eq!(gateway.upstream.only().header("x-forwarded-for"), "91.234.56.1");
}

#[tokio::test]
async fn headers_can_be_held_against_the_signed_body() {
    let body = r#"{"id":"a","event":"endpoint.down","webhook_id":"wh_1"}"#;
    let genuine = signed("vantastatus", "", body, NOW);
    let checked = Gateway::start("vantastatus", "cross_check = \"enforce\"").await;
    refused(&checked, genuine.clone().header("X-VantaStatus-Event", "endpoint.up"), 400, "Bad Request").await;
    refused(&checked, genuine.clone().header("X-VantaStatus-Webhook-ID", "wh_2"), 400, "Bad Request").await;
    let right =
        genuine.clone().header("X-VantaStatus-Event", "endpoint.down").header("X-VantaStatus-Webhook-ID", "wh_1");
    accepted(&checked, right).await;
    let unchecked = Gateway::start("vantastatus", "").await;
    accepted(&unchecked, genuine.header("X-VantaStatus-Event", "endpoint.up")).await;
}

#[tokio::test]
async fn a_refusal_tells_nothing_and_is_counted_by_its_reason() {
    let gateway = Gateway::start("stripe", "").await;
    let genuine = signed("stripe", "", r#"{"id":"evt_1"}"#, NOW);
    let tag = genuine.value("stripe-signature").split("v1=").nth(1).expect("a tag").to_owned();
    let reply = gateway
        .send(genuine.without("stripe-signature").header("Stripe-Signature", &format!("t={NOW},v1={}", "0".repeat(64))))
        .await;
    let everything = format!("{:?}{}", reply.headers, reply.text());
    assert!(
        !everything.contains(&tag) && !everything.contains("stripe") && !everything.contains("app"),
        "{everything}"
    );
    let line = r#"hookward_gateway_requests_total{source="source",outcome="rejected",reason="signature_mismatch"}"#;
    assert_eq!(gateway.metric(line), 1.0);
}

#[tokio::test]
async fn a_source_that_does_not_enforce_judges_counts_and_forwards() {
    let gateway = Gateway::start("stripe", "enforce = false").await;
    let forged = signed("stripe", "", r#"{"id":"evt_1"}"#, NOW)
        .body(br#"{"id":"evt_2"}"#)
        .header("hookward-verified", "stripe;key=1");
    for _ in 0..2 {
        assert_eq!(gateway.send(forged.clone()).await.status, 200);
    }
    for arrived in gateway.upstream.arrived() {
        assert_eq!(arrived.header("hookward-rejection"), "signature_mismatch");
        assert_eq!(arrived.header("hookward-verified"), "");
        assert_eq!(arrived.body, br#"{"id":"evt_2"}"#[..]);
    }
    assert_eq!(gateway.upstream.arrived().len(), 2, "what is not verified is not remembered either");
    let line = r#"hookward_gateway_shadow_rejections_total{source="source",reason="signature_mismatch"}"#;
    assert_eq!(gateway.metric(line), 2.0);
    let line = r#"hookward_gateway_requests_total{source="source",outcome="forwarded",reason=""}"#;
    assert_eq!(gateway.metric(line), 2.0);
    assert_eq!(gateway.send(signed("stripe", "", r#"{"id":"evt_3"}"#, NOW)).await.status, 200);
    assert_eq!(gateway.upstream.arrived()[2].header("hookward-verified"), "stripe;key=1");
}

#[tokio::test]
async fn heads_that_promise_a_body_take_no_room_from_others() {
    let gateway = Gateway::with_settings("vpn-enterprise", "max_buffered = \"1MiB\"", "").await;
    let head = format!(
        "POST /in HTTP/1.1\r\nHost: x\r\nX-VPN-Signature: {}\r\nContent-Length: 1048576\r\n\r\n",
        "0".repeat(64)
    );
    let mut promising = Vec::new();
    for _ in 0..4 {
        let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.expect("a listener");
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("a connection");
        promising.push(stream);
    }
    while gateway.metric("hookward_gateway_requests_in_flight") < 4.0 {
        tokio::task::yield_now().await;
    }
    accepted(&gateway, signed("vpn-enterprise", "", &"x".repeat(100_000), NOW)).await;
    // What has arrived does take room.
    let mut arriving = tokio::net::TcpStream::connect(gateway.address()).await.expect("a listener");
    let half = [head.as_bytes(), &vec![b'x'; 1_000_000]].concat();
    tokio::io::AsyncWriteExt::write_all(&mut arriving, &half).await.expect("a connection");
    while gateway.app.gateway().buffered() < 1_000_000 {
        tokio::task::yield_now().await;
    }
    let reply = gateway.send(signed("vpn-enterprise", "", &"y".repeat(100_000), NOW)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    drop(arriving);
    while gateway.app.gateway().buffered() > 0 {
        tokio::task::yield_now().await;
    }
    accepted(&gateway, signed("vpn-enterprise", "", &"z".repeat(100_000), NOW)).await;
}

#[tokio::test]
async fn what_is_no_request_at_all_is_counted_too() {
    let gateway = Gateway::start("stripe", "").await;
    let many = format!("POST /in HTTP/1.1\r\n{}\r\n", "X-A: 1\r\n".repeat(150));
    assert_eq!(send_raw(gateway.address(), many.as_bytes()).await.map(|reply| reply.status), Some(431));
    assert_eq!(send_raw(gateway.address(), b"nonsense\r\n\r\n").await.map(|reply| reply.status), Some(400));
    for reason in ["headers_too_large", "malformed_request"] {
        let line = format!(r#"hookward_gateway_requests_total{{source="",outcome="rejected",reason="{reason}"}}"#);
        while gateway.metric(&line) < 1.0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn requests_that_could_be_cut_up_differently_end_their_connection() {
    let gateway = Gateway::start("vpn-enterprise", "").await;
    let genuine = signed("vpn-enterprise", "", "hello", NOW);
    let text = String::from_utf8(genuine.bytes()).expect("text");
    let chunked = text
        .replace("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n")
        .replace("\r\n\r\nhello", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let cases = [
        chunked.replace("Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding"),
        chunked.replace("chunked\r\n", "chunked\r\nContent-Length: 5\r\n"),
        text.replacen("\r\n", "\n", 1),
        text.replace("POST /in", "POST /in#x"),
        chunked.replace("5\r\nhello", "5\nhello"),
    ];
    for case in &cases {
        let reply = send_raw(gateway.address(), case.as_bytes()).await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status == 400), "{case:?}: {reply:?}");
    }
    assert_eq!(gateway.upstream.arrived().len(), 0);
    let line = r#"hookward_gateway_requests_total{source="",outcome="rejected",reason="malformed_request"}"#;
    // The count follows the end of the connection, which the client may see first.
    while gateway.metric(line) < 4.0 {
        tokio::task::yield_now().await;
    }
    for (case, count) in [(&text, 1), (&chunked, 1)] {
        assert_eq!(send_raw(gateway.address(), case.as_bytes()).await.map(|reply| reply.status), Some(200));
        assert_eq!(gateway.upstream.arrived().len(), count);
    }
}
