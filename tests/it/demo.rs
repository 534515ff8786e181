//! `hookward demo` is the first thing that people see.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::{Serving, hookward};
use crate::support::{Request, client};

/// A line of its table: what happens, the verdict, the answer, how often the app saw it.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The rows of a provider's table.
fn rows<'a>(text: &'a str, provider: &str) -> Vec<Row<'a>> {
    let lines = text.lines().skip_while(|line| !line.ends_with(&format!("({provider})")));
    let rows = lines.skip(1).take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ✓ "));
    let row = |line: &'a str| {
        let mut columns = line[6..].split("  ").map(str::trim).filter(|column| !column.is_empty());
        let mut next = || columns.next().unwrap_or_else(|| panic!("{line}"));
        (next(), next(), next(), next())
    };
    rows.map(row).collect()
}

fn files(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).expect("a folder").count()
}

#[test]
fn both_roles_deliver_every_providers_event_and_attacks_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let output = hookward(&["demo"]).env("TMPDIR", folder.path()).output().expect("the program");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("45 verdicts as they should be, 0 not, 10 not applicable."), "{text}");
    let roles = text.lines().find(|line| line.contains("──▶")).expect("a line");
    assert!(["sender 127.0.0.1:", "gateway 127.0.0.1:", "app 127.0.0.1:"].iter().all(|role| roles.contains(role)));
    for provider in ["vgs", "vpn-enterprise", "vinsight", "cyberark-vaas", "vantastatus"] {
        let rows = rows(&text, provider);
        let published = match provider {
            "vpn-enterprise" => ("published, the app fails once", "delivered", "1 → 500, 2 → 200", "twice"),
            _ => ("published through the sender", "delivered", "attempt 1 → 200", "once"),
        };
        assert_eq!(rows[0], published, "{text}");
        for attack in [
            ("the same request once more", "duplicate", "200", "never"),
            ("its body changed on the way", "rejected", "401 Invalid signature", "never"),
            ("signed with another secret", "rejected", "401 Invalid signature", "never"),
        ] {
            assert!(rows.contains(&attack), "{provider} {attack:?} {text}");
        }
        let other_address = ("address not on the list", "rejected", "403 Forbidden", "never");
        let publishes_addresses = !["vpn-enterprise", "vinsight"].contains(&provider);
        assert_eq!(rows.contains(&other_address), publishes_addresses, "{provider} {text}");
    }
    for note in [
        "the second 1 s after the first: this webhook has a \"retry\" of its own",
        "this webhook was registered after the gateway answered a test event",
    ] {
        assert_eq!(text.matches(note).count(), 1, "{text}");
    }
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest < Some(80), "a line would wrap: {text}");
    assert_eq!(files(&folder), 0, "the store is gone");
}

#[test]
fn without_room_for_its_store_it_says_so() {
    let output = hookward(&["demo"]).env("TMPDIR", "/nonexistent").output().expect("the program");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("cannot make a folder for the demo, /nonexistent/hookward-demo-"), "{text}");
    assert!(text.contains("set TMPDIR"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn staying_up_it_delivers_what_is_published_by_hand() {
    let folder = TempDir::new().expect("a folder");
    let mut demo = Serving::start(hookward(&["demo", "--stay"]).env("TMPDIR", folder.path()));
    let line = demo.wait_for(&["api='http://", "token='"]);
    let [_, api, _, token, _] = line.split('\'').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let address = api.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
    demo.wait_for(&["curl -i $url -d \"$body\""]);
    let event = json!({"type": "endpoint.down", "data": {"endpoint_id": "ep_by_hand"}}).to_string();
    let publish = |token: &str| {
        Request::post("/events")
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(event.as_bytes())
    };
    assert_eq!(client::send(address, publish("token_of_somebody_else")).await.status, 401);
    let reply = client::send(address, publish(token)).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let id = answer["event"]["id"].as_str().expect("an id");

    demo.wait_for(&["--- POST /webhooks/vantastatus"]);
    demo.wait_for(&["x-vantastatus-signature: …"]);
    demo.wait_for(&["hookward-verified: vantastatus;key=1"]);
    demo.wait_for(&["hookward-event-id: ", id]);
    demo.wait_for(&["\"data\":{\"endpoint_id\":\"ep_by_hand\"}"]);
    assert_eq!(files(&folder), 1);
    demo.signal("INT");
    let (status, log) = demo.end();
    assert!(status.success(), "{log:#?}");
    assert_eq!(files(&folder), 0, "the store is gone");
}

#[test]
fn cut_short_it_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = TempDir::new().expect("a folder");
        let mut demo = Serving::start(hookward(&["demo"]).env("TMPDIR", folder.path()));
        demo.wait_for(&["published through the sender"]);
        assert_eq!(files(&folder), 1);
        demo.signal(signal);
        let (status, log) = demo.end();
        assert_eq!(status.code(), Some(1), "{log:#?}");
        assert_eq!(files(&folder), 0, "{signal}");
    }
}
