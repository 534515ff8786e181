//! `hookward demo --stay`: keeps the demo up, for trying by hand.

use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::app::{DemoApp, Seen};
use super::sender::Sender;
use crate::app::App;
use crate::cli::print;
use crate::telemetry::logging::{self, Format};

/// How often the app is asked what it saw.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Shows each request as the app gets it, until the process is interrupted.
pub async fn stay(gateway: &App, app: &DemoApp, senders: &[Sender]) -> anyhow::Result<()> {
    print(&instructions(gateway, senders));
    logging::start(tracing::Level::INFO, Format::Auto)?;
    let secret_headers: Vec<HeaderName> = senders
        .iter()
        .flat_map(|sender| sender.preset.profile.scheme.alternatives())
        .flat_map(|alternative| alternative.signature_headers().iter().cloned())
        .chain([AUTHORIZATION])
        .collect();
    app.take_seen();
    loop {
        tokio::select! {
            // Looking again later loses nothing.
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            () = tokio::time::sleep(LOOK_EVERY) => {
                for seen in app.take_seen() {
                    print(&as_it_came(&seen, &secret_headers));
                }
            }
        }
    }
}

fn instructions(gateway: &App, senders: &[Sender]) -> String {
    let Some(sender) = senders.iter().find(|sender| sender.preset.slug == "vantastatus") else {
        return String::new();
    };
    let Some(address) = gateway.address() else { return String::new() };
    let url = format!("http://{address}{}", sender.path());
    format!(
        "\nThe gateway stays up; Ctrl-C ends it. What reaches the app is shown below, signatures masked. In another terminal:\n
  # a genuine event: change the id to send another one, send it twice to see a duplicate
  body='{{\"id\":\"wh_evt_by_hand_1\",\"event\":\"endpoint.up\"}}'; t=$(date +%s)
  sig=$(printf %s \"$body\" | openssl dgst -sha256 -hmac '{secret}' | sed 's/.* //')
  curl -i {url} -H \"X-VantaStatus-Timestamp: $t\" -H \"X-VantaStatus-Signature: sha256=$sig\" \\
       -H 'X-Forwarded-For: {client}' -H 'Content-Type: application/json' -d \"$body\"

  # the same from an address that is not on the list, and without a signature
  curl -i {url} -H \"X-VantaStatus-Timestamp: $t\" -H \"X-VantaStatus-Signature: sha256=$sig\" -d \"$body\"
  curl -i {url} -H 'X-Forwarded-For: {client}' -d \"$body\"
\n",
        secret = sender.secret(),
        client = sender.address(),
    )
}

/// A request in the form in which it travels, with what proves it masked.
fn as_it_came(seen: &Seen, secret_headers: &[HeaderName]) -> String {
    let mut text = format!("--- {} {}\n", seen.parts.method, seen.parts.uri);
    for (name, value) in &seen.parts.headers {
        let value =
            if secret_headers.contains(name) { "…".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        text.push_str(&format!("{name}: {value}\n"));
    }
    format!("{text}\n{}\n---\n", String::from_utf8_lossy(&seen.body))
}
