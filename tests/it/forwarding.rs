//! What reaches the upstream, and what comes back.

use crate::support::upstream::Act;
use crate::support::{Gateway, NOW, signed};

#[tokio::test]
async fn the_body_and_the_providers_headers_arrive_as_they_were_sent() {
    let gateway = Gateway::start("vpn-enterprise", "").await;
    let bodies =
        ["", "x", "{\"a\": null,\r\n\t\"b\":1.0e0}\n", "ünïcödé \u{0}\u{7f}", &"0123456789abcdef".repeat(8192)];
    for body in bodies {
        let request = signed("vpn-enterprise", "", body, NOW)
            .header("X-Custom", "one")
            .header("X-Custom", "two")
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "identity");
        assert_eq!(gateway.send(request).await.status, 200);
    }
    for (arrived, body) in gateway.upstream.arrived().iter().zip(bodies) {
        assert_eq!(arrived.body, body.as_bytes());
        assert_eq!(arrived.header("content-length"), body.len().to_string());
        assert_eq!(arrived.headers.get_all("x-custom").iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(arrived.header("content-encoding"), "identity");
        assert!(arrived.header("x-vpn-signature").starts_with("sha256="));
    }
}

#[tokio::test]
async fn framing_is_written_anew() {
    let gateway = Gateway::start("vpn-enterprise", "").await;
    let request = signed("vpn-enterprise", "", "hello", NOW).header("Transfer-Encoding", "chunked");
    let request = request.body(b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    assert_eq!(gateway.send(request).await.status, 200);
    let arrived = gateway.upstream.only();
    assert_eq!((arrived.header("content-length"), arrived.header("transfer-encoding")), ("5", ""));
    assert_eq!(arrived.body, &b"hello"[..]);
    assert_eq!(arrived.header("x-forwarded-for"), "127.0.0.1", "trailers are dropped");
}

#[tokio::test]
async fn the_upstream_gets_its_own_path_and_the_requests_query() {
    let gateway = Gateway::start("vpn-enterprise", "").await;
    for (query, body) in [("", "1"), ("?", "2"), ("?a=b&c=%20d?e", "3")] {
        gateway.send(signed("vpn-enterprise", "", body, NOW).target(&format!("/in{query}"))).await;
    }
    assert!(gateway.upstream.arrived().iter().all(|arrived| arrived.method == "POST"));
    let targets: Vec<_> = gateway.upstream.arrived().iter().map(|arrived| arrived.target.clone()).collect();
    assert_eq!(targets, ["/app", "/app?", "/app?a=b&c=%20d?e"]);
}

#[tokio::test]
async fn the_gateway_says_what_it_knows_and_nobody_says_it_for_it() {
    let gateway =
        Gateway::start("stripe", "secrets = [{ env = \"OTHER\", id = \"old\" }, { env = \"SECRET\", id = \"new\" }]")
            .await;
    let forged = [
        ("hookward-verified", "forged"),
        ("Hookward-Event-Id", "forged"),
        ("hookward-anything", "forged"),
        ("hookward_source", "forged"),
        ("x_forwarded_for", "forged"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Port", "1"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Original-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Dropped", "1"),
        ("Connection", "x-dropped, hookward-verified"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
    ];
    let request = signed("stripe", "", r#"{"id":"evt 1%"}"#, NOW);
    let request = forged.iter().fold(request, |request, (name, value)| request.header(name, value));
    assert_eq!(gateway.send(request).await.status, 200);
    let arrived = gateway.upstream.only();
    for (name, value) in [
        ("hookward-source", "source"),
        ("hookward-verified", "stripe;key=new"),
        ("hookward-event-id", "evt%201%25"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "hooks.example.com"),
    ] {
        assert_eq!(arrived.header(name), value, "{name}");
    }
    assert_eq!(arrived.header("host"), gateway.upstream.address().to_string());
    assert_eq!(arrived.header("x-request-id").len(), 32);
    assert_eq!(arrived.header("traceparent").len(), 55);
    for name in [
        "hookward-anything",
        "hookward_source",
        "x_forwarded_for",
        "x-forwarded-port",
        "forwarded",
        "x-original-url",
        "x-http-method-override",
        "x-dropped",
        "te",
        "upgrade",
        "connection",
    ] {
        assert!(!arrived.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn what_is_plain_is_passed_on() {
    let gateway = Gateway::start("vpn-enterprise", "pass_headers = [\"X-HTTP-Method-Override\"]").await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = signed("vpn-enterprise", "", "x", NOW).header("X-Request-ID", "req-1").header("Traceparent", parent);
    gateway.send(request.header("X-HTTP-Method-Override", "PUT")).await;
    let arrived = gateway.upstream.only();
    assert_eq!((arrived.header("x-request-id"), arrived.header("traceparent")), ("req-1", parent));
    assert_eq!(arrived.header("x-http-method-override"), "PUT");
    let digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(arrived.header("hookward-event-id"), digest);
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_clients() {
    let settings = "client_ip = { from = \"x-forwarded-for\", trusted_proxies = [\"127.0.0.1\"] }";
    let gateway = Gateway::with_settings("vpn-enterprise", settings, "").await;
    let request = signed("vpn-enterprise", "", "x", NOW).header("X-Forwarded-For", "203.0.113.7");
    gateway.send(request.header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "hooks.example.org")).await;
    let arrived = gateway.upstream.only();
    assert_eq!(arrived.header("x-forwarded-for"), "203.0.113.7");
    assert_eq!(arrived.header("x-forwarded-proto"), "https");
    assert_eq!(arrived.header("x-forwarded-host"), "hooks.example.org");
}

#[tokio::test]
async fn the_upstreams_answer_passes_but_for_what_would_mislead_a_sender() {
    for (upstream, client) in
        [(200, 200), (204, 204), (301, 502), (400, 400), (404, 404), (410, 502), (429, 429), (500, 500), (503, 503)]
    {
        let gateway = Gateway::start("vpn-enterprise", "").await;
        gateway.upstream.plan([Act::Say(upstream, vec![("location", "/elsewhere"), ("retry-after", "7")], "said")]);
        let reply = gateway.send(signed("vpn-enterprise", "", "x", NOW)).await;
        assert_eq!(reply.status, client, "{upstream}");
        let passed = reply.header("retry-after") == Some("7");
        assert_eq!(passed, upstream == client, "{upstream}: {reply:?}");
    }
}

#[tokio::test]
async fn a_source_can_have_its_own_idea_of_accepted() {
    // VGS-56, VGS-57: anything but 200 is a failure to VGS, its preset knows.
    for status in [200, 201, 202, 204] {
        let gateway = Gateway::start("vgs", "").await;
        gateway.upstream.plan([Act::Say(status, vec![], if status == 204 { "" } else { "body" })]);
        for _ in 0..2 {
            assert_eq!(gateway.send(signed("vgs", "", r#"{"id":"a"}"#, NOW)).await.status, 200, "{status}");
        }
        assert_eq!(gateway.upstream.arrived().len(), 1);
    }
    let gateway = Gateway::start("stripe", "accepted = 202").await;
    for _ in 0..2 {
        assert_eq!(gateway.send(signed("stripe", "", r#"{"id":"a"}"#, NOW)).await.status, 202);
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502_and_one_that_is_slow_504() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let gateway = Gateway::start("stripe", &format!("upstream = \"http://{free}/\"")).await;
    let event = || signed("stripe", "", r#"{"id":"evt_1"}"#, NOW);
    assert_eq!(gateway.send(event()).await.status, 502);
    let unreachable =
        r#"hookward_gateway_requests_total{source="source",outcome="failed",reason="upstream_unreachable"}"#;
    assert_eq!(gateway.metric(unreachable), 1.0);
    // It comes up, and the sender's retry is taken.
    let listener = tokio::net::TcpListener::bind(free).await.expect("the same port");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("the gateway");
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    });
    assert_eq!(gateway.send(event()).await.status, 200);

    let gateway = Gateway::start("stripe", "upstream_timeout = \"50ms\"").await;
    gateway.upstream.plan([Act::Hold(200)]);
    assert_eq!(gateway.send(event()).await.status, 504);
    assert_eq!(gateway.send(event()).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_costs_nothing() {
    let gateway = Gateway::start("stripe", "").await;
    gateway.upstream.plan([Act::Say(200, vec![("connection", "close")], "")]);
    for id in 0..20 {
        let reply = gateway.send(signed("stripe", "", &format!(r#"{{"id":"evt_{id}"}}"#), NOW)).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(gateway.upstream.arrived().len(), 20);
}

#[tokio::test]
async fn a_success_counts_also_when_its_body_never_comes() {
    for ending in ["stalls", "breaks off"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!(
            "upstream = \"http://{}/\"\nupstream_timeout = \"200ms\"",
            listener.local_addr().expect("an address")
        );
        let gateway = Gateway::start("stripe", &url).await;
        let app = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.expect("the gateway");
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").await;
            if ending == "stalls" {
                let _ = stream.read(&mut head).await;
            }
            // Nothing more is ever asked of it.
            listener
        });
        for _ in 0..2 {
            let reply = gateway.send(signed("stripe", "", r#"{"id":"evt_1"}"#, NOW)).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{ending}");
        }
        drop(app);
    }
}

#[tokio::test]
async fn of_a_chain_of_proxies_the_last_one_is_believed() {
    let settings = "client_ip = { from = \"x-forwarded-for\", trusted_proxies = [\"127.0.0.1\"] }";
    let gateway = Gateway::with_settings("vpn-enterprise", settings, "").await;
    let request = signed("vpn-enterprise", "", "x", NOW).header("X-Forwarded-Host", "evil.example");
    let request = request
        .header("X-Forwarded-Host", "also.evil.example, hooks.example.org")
        .header("X-Forwarded-Proto", "http, https");
    gateway.send(request.header("X-Request-Id", "mine").header("X-Request-Id", "second <b>")).await;
    let arrived = gateway.upstream.only();
    assert_eq!(arrived.header("x-forwarded-host"), "hooks.example.org");
    assert_eq!(arrived.header("x-forwarded-proto"), "https");
    assert_eq!(arrived.header("x-request-id").len(), 32, "of two none is taken");
}
