//! A gateway in front of which every provider stands at once.

use hookward::signature::preset::Preset;
use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::client;
use crate::support::everyone::Everyone;
use crate::support::{Request, Upstream};

#[tokio::test]
async fn every_provider_has_a_source_and_none_lets_a_stranger_in() {
    let (upstream, folder) = (Upstream::start().await, TempDir::new().expect("a folder"));
    let everyone = Everyone::in_front_of(&upstream.url());
    let text = format!("[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n{}", everyone.sources);
    let config = file(&folder, "hookward.toml", &text);
    let serve = &mut hookward(&["serve", "-c", config.to_str().expect("a plain path")]);
    let mut serving = Serving::start(serve.envs(everyone.environment.iter().cloned()));
    let address = serving.address("gateway");
    for preset in Preset::all() {
        for body in [&b""[..], b"{}", b"[]", b"null", b"\xff{", br#"{"a":{"b":[1,{"c":null}]}}"#, b"a=b&c=%zz"] {
            let request = Request::post(&format!("/in/{}", preset.slug)).body(body);
            let reply = client::send(address, request).await;
            // Some ask unsigned whether anybody is there, and of some a key would have to be fetched.
            let challenge = reply.status == 200 && !preset.profile.challenges.is_empty();
            assert!(challenge || (400..500).contains(&reply.status), "{}: {reply:?}", preset.slug);
        }
    }
    assert!(upstream.arrived().is_empty(), "{:?}", upstream.arrived());
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success());
    let panicked: Vec<&String> = log.iter().filter(|line| line.contains("panic")).collect();
    assert!(panicked.is_empty(), "{panicked:?}");
}
