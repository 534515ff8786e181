//! `hookward demo`: the whole of it on loopback, in one process, without a file.
//!
//! A small app is the upstream; in front of it the gateway runs with the five seed providers as sources; senders
//! sign real payloads by the same presets, and then attack. Every verdict is earned by HTTP through the gateway.

mod app;
mod scenario;
mod sender;
mod stay;

use std::net::SocketAddr;

use super::{FAILURE, print};
use crate::app::{App, Plan};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::environment::Environment;
use app::DemoApp;
use scenario::{Row, Scenario};
use sender::Sender;

/// Where `--stay` listens if it can, so that its lines can be typed again.
const STAY_PORT: u16 = 8080;

/// Runs every sender through every scenario. 1 if any verdict is not what it should be.
pub fn run(stay: bool) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start a runtime: {error}");
            return FAILURE;
        }
    };
    match runtime.block_on(demo(stay)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            FAILURE
        }
    }
}

async fn demo(stay: bool) -> anyhow::Result<u8> {
    let app = DemoApp::start().await?;
    let senders = sender::all();
    let gateway = start_gateway(&senders, app.address(), stay)?;
    let address = gateway.address().ok_or_else(|| anyhow::anyhow!("the demo's gateway does not listen"))?;
    print(&format!(
        "Hookward stands on {} in front of a small app on {}.\nEach request is real HTTP; client addresses come by X-Forwarded-For from trusted loopback.\n",
        address,
        app.address()
    ));
    let (mut right, mut wrong, mut not_applicable) = (0, 0, 0);
    for sender in &senders {
        print(&format!("\n{}\n", sender.title()));
        for scenario in Scenario::ALL {
            match scenario.play(sender, address, &app).await? {
                Row::NotApplicable(why) => {
                    not_applicable += 1;
                    print(&line(' ', scenario.title(), "n/a", "", why));
                }
                Row::Played(outcome) => {
                    let mark = if outcome.as_wanted { '✓' } else { '✗' };
                    *(if outcome.as_wanted { &mut right } else { &mut wrong }) += 1;
                    print(&line(mark, scenario.title(), outcome.verdict, &outcome.status, &outcome.app));
                    if let Some(wanted) = outcome.wanted {
                        print(&format!("      wanted: {wanted}\n"));
                    }
                }
            }
        }
    }
    print(&format!("\n{right} verdicts as they should be, {wrong} not, {not_applicable} not applicable.\n"));
    if stay && wrong == 0 {
        stay::stay(&gateway, &app, &senders).await?;
    } else {
        print("Next: put it in front of your own app, see README.md, or `hookward demo --stay` to try by hand.\n");
    }
    Ok(if wrong == 0 { 0 } else { FAILURE })
}

fn line(mark: char, request: &str, verdict: &str, status: &str, app: &str) -> String {
    format!("  {mark} {request:<36} {verdict:<11} {status:<24} {app}\n")
}

/// The gateway with every sender as a source.
fn start_gateway(senders: &[Sender], upstream: SocketAddr, stay: bool) -> anyhow::Result<App> {
    let with_port = |port: u16| {
        let mut text = format!(
            "[gateway]\nlisten = \"127.0.0.1:{port}\"\nworkers = 2\nclient_ip = {{ from = \"x-forwarded-for\", trusted_proxies = [\"127.0.0.1\"] }}\n"
        );
        for sender in senders {
            text.push_str(&sender.source(upstream));
        }
        let config = Config::parse("demo.toml", &text, &Environment::default())
            .map_err(|faults| anyhow::anyhow!("the demo's own configuration is broken: {}", faults[0]))?;
        Ok(App::start(Plan::from(config), Clock::System)?)
    };
    if stay && let Ok(app) = with_port(STAY_PORT) {
        return Ok(app);
    }
    with_port(0)
}
