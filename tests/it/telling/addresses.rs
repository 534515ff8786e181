//! Where deliveries may go: what strangers may not have us connect to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::id;
use crate::support::Upstream;
use crate::support::telling::Teller;
use hookward::egress::Resolver;

const REFUSED: &str = include_str!("../../vectors/ssrf.txt");
const ALLOWED: &str = include_str!("../../vectors/ssrf-allowed.txt");

/// The lines of a file: section, URL, and the address that its name resolves to.
fn lines(text: &'static str) -> Vec<(&'static str, &'static str, Option<SocketAddr>)> {
    let mut section = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("# "), line.split_once(" -> ")) {
            (Some(name), _) => section = name,
            (None, Some((url, address))) => {
                lines.push((section, url, Some(SocketAddr::new(address.parse().expect("an address"), 443))));
            }
            (None, None) if line.is_empty() => {}
            (None, None) => lines.push((section, line, None)),
        }
    }
    lines
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[..end].split(':').next().unwrap_or_default()
}

/// Names that mean what the lines say; all others are public.
fn names(lines: Vec<(&'static str, &'static str, Option<SocketAddr>)>) -> Resolver {
    Resolver::Fixed(Arc::new(move |name, port| {
        let all = lines.iter().filter(|(_, url, _)| host(url).eq_ignore_ascii_case(name));
        let found: Vec<SocketAddr> = all.filter_map(|(_, _, address)| *address).collect();
        match found.is_empty() {
            true => Ok(vec![SocketAddr::from(([8, 8, 8, 8], port))]),
            false => Ok(found),
        }
    }))
}

/// X-09 of `docs/seeds.md`.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_forbidden_target_can_be_registered() {
    let lines = lines(REFUSED);
    let strict = Teller::with("", "", names(lines.clone())).await;
    let plain = Teller::with("", "[egress]\nplain_http = true", names(lines.clone())).await;
    let mut let_in = Vec::new();
    for (section, url, _) in &lines {
        for teller in [&strict, &plain] {
            let said = teller.post("/webhooks", &json!({ "url": url })).await;
            let refused = said.status == 422 && ["address_not_allowed", "validation"].contains(&said.code());
            // What stands there is refused for its scheme alone.
            if *section == "plain http" && std::ptr::eq(teller, &plain) {
                continue;
            }
            if !refused || said.pointer() != "/url" {
                let_in.push((section, url, said));
            }
        }
    }
    assert!(let_in.is_empty(), "{let_in:#?}");
    for (_, url, address) in &lines {
        let Some(address) = address else { continue };
        let said = strict.post("/webhooks", &json!({ "url": url })).await;
        said.refuses(422, "address_not_allowed");
        let address = address.ip().to_string();
        assert!(url.contains(&address) || !said.reply.text().contains(&address), "{said:?}");
    }
    assert_eq!(strict.get("/webhooks").await.json["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_cannot_be_moved_to_a_forbidden_target() {
    let teller = Teller::with(
        "",
        "",
        names(vec![("", "https://inside.example/", Some(SocketAddr::from(([10, 0, 0, 1], 443))))]),
    )
    .await;
    let webhook = teller.register("https://outside.example/", json!({})).await;
    let path = format!("/webhooks/{}", id(&webhook));
    for url in ["https://127.0.0.1/", "https://inside.example/", "http://outside.example/", "https://[::ffff:7f00:1]/"]
    {
        teller.patch(&path, &json!({ "url": url })).await.refuses(422, "address_not_allowed");
        teller.put(&path, &json!({ "url": url })).await.refuses(422, "address_not_allowed");
    }
    assert_eq!(teller.get(&path).await.json["webhook"]["url"], "https://outside.example/");
}

#[tokio::test(flavor = "multi_thread")]
async fn legitimate_endpoints_can_be_registered() {
    let lines = lines(ALLOWED);
    let strict = Teller::with("", "", names(lines.clone())).await;
    let plain = Teller::with("", "[egress]\nplain_http = true", names(lines.clone())).await;
    for (section, url, _) in lines {
        let teller = if section.starts_with("plain http") { &plain } else { &strict };
        let said = teller.post("/webhooks", &json!({ "url": url, "active": false })).await;
        assert_eq!(said.status, 201, "{section}: {url}: {said:?}");
    }
}

/// A name that is public when it is first asked for, and `later` from then on.
fn rebinding(later: Vec<SocketAddr>) -> (Resolver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver = Resolver::Fixed(Arc::new(move |_, port| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(vec![SocketAddr::from(([8, 8, 8, 8], port))]),
        _ => Ok(later.clone()),
    }));
    (resolver, asked)
}

/// X-09 of `docs/seeds.md`.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_moves_inside_is_refused_when_it_is_dialled() {
    let public = SocketAddr::from(([8, 8, 8, 8], 80));
    for also_public in [false, true] {
        let witness = Upstream::start().await;
        let mut later = vec![witness.address()];
        if also_public {
            later.insert(0, public);
        }
        let (resolver, asked) = rebinding(later);
        let teller = Teller::with("", "[egress]\nplain_http = true", resolver).await;
        let url = format!("http://moving.example:{}/", witness.address().port());
        let webhook = teller.register(&url, json!({"retry": {"delays": []}})).await;
        teller.publish("a", json!(1)).await;
        let log = teller.reach(id(&webhook), "failed", 1).await;
        assert_eq!((&log[0]["response_status"], &log[0]["attempts"]), (&Value::Null, &json!(1)));
        let said = teller.get(&format!("/webhooks/{}/deliveries/{}", id(&webhook), id(&log[0]))).await;
        let error = said.json["delivery"]["attempts_log"][0]["error"].as_str().expect("why");
        assert!(error.contains("not public") && error.contains("moving.example"), "{error}");
        assert!(!said.reply.text().contains("127.0.0.1"), "{said:?}");
        let tried = teller.post(&format!("/webhooks/{}/test", id(&webhook)), &json!({})).await;
        assert_eq!(tried.answers(200).json["success"], false);
        assert!(!tried.reply.text().contains("127.0.0.1"), "{tried:?}");
        assert!(asked.load(Ordering::Relaxed) >= 3, "it is asked for each time");
        assert_eq!(witness.arrived().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_allows_is_let_in_and_nothing_beside_it() {
    let receiver = Upstream::start().await;
    let address = receiver.address();
    let resolver = Resolver::Fixed(Arc::new(move |name, _| match name {
        "inside.example" | "app" => Ok(vec![address]),
        "metadata.example" => Ok(vec![SocketAddr::from(([169, 254, 169, 254], 80))]),
        _ => Err(io::ErrorKind::NotFound.into()),
    }));
    let teller = Teller::with("", "[egress]\nallow = [\"127.0.0.1/32\"]\nplain_http = true", resolver).await;
    let port = address.port();
    for name in ["127.0.0.1", "inside.example", "app"] {
        let webhook =
            teller.register(&format!("http://{name}:{port}/"), json!({"events": [name.replace('.', "-")]})).await;
        teller.publish(&name.replace('.', "-"), json!(1)).await;
        teller.reach(id(&webhook), "success", 1).await;
    }
    for url in
        ["http://127.0.0.2/", "http://10.0.0.1/", "http://metadata.example/", "http://[::1]/", "http://2130706433/"]
    {
        let said = teller.post("/webhooks", &json!({ "url": url })).await;
        said.refuses(422, "address_not_allowed");
    }
    assert_eq!(receiver.arrived().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_yet_can_be_registered() {
    let resolver = Resolver::Fixed(Arc::new(|_, _| Err(io::ErrorKind::NotFound.into())));
    let teller = Teller::with("", "", resolver).await;
    let webhook = teller.register("https://soon.example/", json!({"retry": {"delays": []}})).await;
    teller.publish("a", json!(1)).await;
    let log = teller.reach(id(&webhook), "failed", 1).await;
    assert!(log[0]["error"].as_str().expect("why").contains("soon.example"), "{}", log[0]);
}
