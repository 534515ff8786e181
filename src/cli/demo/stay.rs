//! `hookward demo --stay`: keeps the demo up, for trying by hand.

use std::convert::Infallible;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::Demo;
use super::app::Seen;
use crate::cli::print;
use crate::telemetry::logging::{self, Format};

/// How often the app is asked what it saw.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Shows each request as the app gets it, for ever.
pub async fn stay(demo: &Demo) -> anyhow::Result<Infallible> {
    print(&instructions(demo));
    logging::start(tracing::Level::INFO, Format::Auto)?;
    let secret_headers: Vec<HeaderName> = demo
        .providers
        .iter()
        .flat_map(|provider| provider.preset.profile.scheme.alternatives())
        .flat_map(|alternative| alternative.signature_headers().iter().cloned())
        .chain([AUTHORIZATION])
        .collect();
    demo.app.take_seen();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for seen in demo.app.take_seen() {
            print(&as_it_came(&seen, &secret_headers));
        }
    }
}

fn instructions(demo: &Demo) -> String {
    let Some(provider) = demo.providers.iter().find(|provider| provider.preset.slug == "vantastatus") else {
        return String::new();
    };
    format!(
        "\nBoth roles stay up; Ctrl-C ends them. What reaches the app is shown below,
signatures masked. In another terminal:

  api='http://{sender}'; token='{token}'

  # publish an event: signed by the sender, checked by the gateway, to the app
  curl -i $api/events -H \"Authorization: Bearer $token\" \\
       -H 'Content-Type: application/json' \\
       -d '{{\"type\": \"{kind}\", \"data\": {{\"endpoint_id\": \"ep_by_hand\"}}}}'

  # what became of each event
  curl -s $api/events -H \"Authorization: Bearer $token\"

  # the same by hand: a genuine request; twice to see a duplicate
  url='http://{gateway}{path}'
  body='{{\"id\":\"by_hand_1\",\"event\":\"endpoint.up\"}}'; t=$(date +%s)
  sig=$(printf %s \"$body\" |
        openssl dgst -sha256 -hmac '{secret}' |
        sed 's/.* //')
  curl -i $url -d \"$body\" -H 'Content-Type: application/json' \\
       -H \"X-VantaStatus-Timestamp: $t\" \\
       -H \"X-VantaStatus-Signature: sha256=$sig\"

  # from an address that is not on the list, and without a signature
  curl -i $url -d \"$body\" -H 'X-Forwarded-For: 198.51.100.66'
  curl -i $url -d \"$body\"
\n",
        sender = demo.api.address(),
        token = demo.api.token(),
        kind = provider.kind,
        gateway = demo.gateway,
        path = provider.path(),
        secret = provider.secret,
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
