//! A secret that the provider brings is kept once, and nothing else is let in before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::task::JoinSet;

use super::{get, refused};
use crate::support::child::{file, hookward};
use crate::support::{Gateway, NOW, Request, client, signed_with};

const HOOK_SECRET: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";

async fn gateway(provider: &str, path: &Path) -> Gateway {
    Gateway::start(provider, &format!("secrets = [{{ file = \"{}\", learn = true }}]", path.display())).await
}

fn handshake(secret: &str) -> Request {
    Request::post("/in").header("X-Hook-Secret", secret)
}

#[tokio::test]
async fn asanas_secret_is_learned_once_echoed_and_in_force_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("asana");
    let gateway = gateway("asana", &path).await;
    let event = |secret: &str| signed_with(secret, "asana", "", r#"{"events":[{"action":"added"}]}"#, NOW);
    refused(&gateway, event(HOOK_SECRET), 401).await;
    refused(&gateway, Request::post("/in").body(b"{}"), 401).await;
    let (shortest, longest) = ("a".repeat(16), "a".repeat(256));
    for bad in ["", &shortest[1..], "a secret of some words", "<script>alert(1)</script>", "v0:0123456789abcdef"] {
        refused(&gateway, handshake(bad), 400).await;
    }
    refused(&gateway, handshake(&format!("{longest}a")), 400).await;
    for good in [&shortest, &longest] {
        let other = self::gateway("asana", &folder.path().join(format!("of-{}", good.len()))).await;
        assert_eq!(other.send(handshake(good)).await.status, 200);
    }
    refused(&gateway, handshake("abc").header("X-Hook-Secret", "def"), 400).await;
    refused(&gateway, get("").header("X-Hook-Secret", HOOK_SECRET), 405).await;
    assert!(!path.exists());

    let reply = gateway.send(handshake(HOOK_SECRET)).await;
    assert_eq!((reply.status, reply.header("x-hook-secret")), (200, Some(HOOK_SECRET)));
    assert_eq!(fs::read_to_string(&path).expect("the file"), HOOK_SECRET);
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);

    // Nobody replaces it.
    refused(&gateway, handshake("another-secret-of-a-stranger"), 401).await;
    assert_eq!(fs::read_to_string(&path).expect("the file"), HOOK_SECRET);
    refused(&gateway, event("another-secret-of-a-stranger"), 401).await;
    assert_eq!(gateway.send(event(HOOK_SECRET)).await.status, 200);
    assert_eq!(gateway.upstream.only().header("hookward-verified"), "asana;key=1");

    // After a restart it is a secret like any other.
    let again = self::gateway("asana", &path).await;
    refused(&again, handshake("another-secret-of-a-stranger"), 401).await;
    assert_eq!(again.send(event(HOOK_SECRET)).await.status, 200);
}

#[tokio::test]
async fn of_many_that_come_at_once_one_is_learned() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("asana");
    let gateway = gateway("asana", &path).await;
    let mut sent = JoinSet::new();
    for number in 0..8 {
        sent.spawn(client::send(gateway.address(), handshake(&format!("secret-{number}-of-somebody"))));
    }
    let mut echoed = Vec::new();
    for reply in sent.join_all().await {
        match reply.status {
            200 => echoed.push(reply.header("x-hook-secret").expect("an echo").to_owned()),
            // Too late: before the first was kept, or after.
            status => assert!([401, 502].contains(&status), "{status}"),
        }
    }
    assert_eq!(echoed, [fs::read_to_string(&path).expect("the file")]);
}

#[tokio::test]
async fn notions_token_stands_in_its_first_body() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notion");
    let gateway = gateway("notion", &path).await;
    let token = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl";
    let brings = |token: &str| Request::post("/in").body(format!(r#"{{"verification_token":"{token}"}}"#).as_bytes());
    refused(&gateway, brings("a b"), 400).await;
    assert_eq!(gateway.send(brings(token)).await.status, 200);
    assert_eq!(fs::read_to_string(&path).expect("the file"), token);
    refused(&gateway, brings("secret_of_a_stranger"), 401).await;
    let event = signed_with(token, "notion", "", r#"{"id":"1","verification_token":"x"}"#, NOW);
    assert_eq!(gateway.send(event).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn a_secret_that_cannot_be_kept_is_not_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gone").join("asana");
    let gateway = gateway("asana", &path).await;
    let reply = gateway.send(handshake(HOOK_SECRET)).await;
    assert_eq!((reply.status, reply.header("x-hook-secret")), (502, None));
    refused(&gateway, signed_with(HOOK_SECRET, "asana", "", "{}", NOW), 401).await;
    // Somebody else has written it meanwhile: what is there stays.
    fs::create_dir(folder.path().join("gone")).expect("a folder");
    fs::write(&path, "what the other one learned").expect("a file");
    assert_eq!(gateway.send(handshake(HOOK_SECRET)).await.status, 502);
    assert_eq!(fs::read_to_string(&path).expect("the file"), "what the other one learned");
}

#[test]
fn check_warns_that_a_secret_could_be_planted() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |secrets: &str| {
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"s\"\npath = \"/in\"\nprovider = \"asana\"\nallow = \"any\"\nupstream = \"http://127.0.0.1:9/\"\nsecrets = [{secrets}]\n"
        );
        let path = file(&folder, "hookward.toml", &text);
        let output = hookward(&["check", "-c", path.to_str().expect("a path")]).output().expect("the program");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let path = folder.path().join("asana");
    let learns = format!("{{ file = \"{}\", learn = true }}", path.display());
    let (good, text) = check(&learns);
    assert!(good && text.contains("whoever knows the URL could plant one"), "{text}");
    fs::write(&path, HOOK_SECRET).expect("a file");
    let (good, text) = check(&learns);
    assert!(good && !text.contains("plant"), "{text}");
    for bad in [format!("{learns}, {{ literal = \"x\" }}"), "{ literal = \"x\", learn = true }".to_owned()] {
        let (good, text) = check(&bad);
        assert!(!good && text.contains("learn: it goes with one file and no other secret"), "{text}");
    }
}
