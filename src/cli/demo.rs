//! `hookward demo`: the whole of it on loopback, in one process, without a file that is left.
//!
//! The sender publishes events of the five seed providers, by webhooks that are registered over its API; their URLs are
//! the gateway's, whose upstream is a small app. Then come attacks, made of what was delivered. Every verdict is earned
//! by HTTP through the gateway.

mod api;
mod app;
mod attack;
mod folder;
mod provider;
mod published;
mod row;
mod stay;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::serve::EndSignals;
use super::{FAILURE, print};
use crate::app::{App, Plan, StartError};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::environment::Environment;
use crate::document::quoted;
use api::Api;
use app::DemoApp;
use attack::Attack;
use folder::Folder;
use provider::Provider;
use row::{Row, Tally};

/// Where `--stay` listens if it can, so that its lines can be typed again: the gateway and the sender.
const STAY_PORTS: (u16, u16) = (8080, 8081);

const NEXT: &str = "
Next: README.md puts it in front of your own app, and docs/sender.md tells your
customers. `hookward demo --stay` keeps this up, to try by hand.
";

/// How long what has begun may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Has every provider's event published, and attacks. 1 if any verdict is not what it should be.
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
    let mut end = (EndSignals::new()?, signal(SignalKind::hangup())?);
    let folder = Folder::new()?;
    let mut demo = Demo::start(&folder, stay).await?;
    let code = demo.show(stay, &mut end).await;
    demo.hookward.drain(DRAIN).await;
    code
}

/// Waits for whatever ends the demo, so that its folder goes with it. The end of its terminal is one of them.
async fn ended((end, hangup): &mut (EndSignals, Signal)) {
    tokio::select! {
        // Which one it was makes no difference.
        () = end.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Both roles, the app behind them, and who sends.
struct Demo {
    hookward: App,
    gateway: SocketAddr,
    api: Api,
    app: DemoApp,
    providers: Vec<Provider>,
}

impl Demo {
    async fn start(folder: &Folder, stay: bool) -> anyhow::Result<Self> {
        let app = DemoApp::start().await?;
        let token = provider::random_secret("token_");
        let providers = provider::all();
        let with_ports = |ports| start(&providers, app.address(), folder, &token, ports);
        let hookward = match with_ports(if stay { STAY_PORTS } else { (0, 0) }) {
            // Somebody else has one of them.
            Err(error) if error.downcast_ref().is_some_and(|error| matches!(error, StartError::Listen { .. })) => {
                with_ports((0, 0))?
            }
            started => started?,
        };
        let nobody = || anyhow::anyhow!("a listener of the demo does not listen");
        let gateway = hookward.address().ok_or_else(nobody)?;
        let api = Api::new(hookward.sender().ok_or_else(nobody)?, token);
        Ok(Self { gateway, api, app, providers, hookward })
    }

    /// Plays it, and stays if it is to. The exit code.
    async fn show(&self, stay: bool, end: &mut (EndSignals, Signal)) -> anyhow::Result<u8> {
        let is_right = tokio::select! {
            // What was under way then is not told.
            is_right = self.play() => is_right?,
            () = ended(end) => false,
        };
        match (is_right, stay) {
            (false, _) => return Ok(FAILURE),
            (true, false) => print(NEXT),
            (true, true) => tokio::select! {
                // What was not shown by then is not missed.
                failed = stay::stay(self) => match failed? {},
                () = ended(end) => {}
            },
        }
        Ok(0)
    }

    /// Prints the table. True if every verdict is what it should be.
    async fn play(&self) -> anyhow::Result<bool> {
        print(&format!(
            "Hookward in both its roles, and a small app, in one process on loopback:\n\n  \
             sender {} ──▶ gateway {} ──▶ app {}\n\n\
             For each provider a webhook is registered and an event published, both by the\n\
             sender's REST API. Then come attacks and mishaps, made of what was delivered;\n\
             the addresses that they claim stand in X-Forwarded-For, from trusted loopback.\n\n{}",
            self.api.address(),
            self.gateway,
            self.app.address(),
            row::HEAD,
        ));
        let mut tally = Tally::default();
        for provider in &self.providers {
            print(&format!("\n{}\n", provider.title()));
            let webhook = published::register(provider, self.gateway, &self.api).await?;
            let (outcome, delivered) = published::publish(provider, &webhook, &self.api, &self.app).await?;
            print(&tally.line(published::title(provider), Row::Played(outcome)));
            // Without a delivered request there is nothing to make attacks of, and the tally says so already.
            let Some(delivered) = delivered else { continue };
            for attack in Attack::ALL {
                let row = attack.play(provider, &delivered, self.gateway, &self.app).await?;
                print(&tally.line(attack.title(), row));
            }
        }
        print(&format!("\n{tally}\n"));
        if tally.is_right() {
            print("Whatever the app saw came byte for byte as it was sent, with hookward-verified.\n");
        }
        Ok(tally.is_right())
    }
}

/// Hookward as its operator would start it: every provider a source of the gateway, and a sender that may deliver to it.
fn start(
    providers: &[Provider],
    upstream: SocketAddr,
    folder: &Folder,
    token: &str,
    (gateway, sender): (u16, u16),
) -> anyhow::Result<App> {
    let mut text = format!(
        "[gateway]\nlisten = \"127.0.0.1:{gateway}\"\nworkers = 2\nclient_ip = {{ from = \"x-forwarded-for\", trusted_proxies = [\"127.0.0.1\"] }}\n\
         [sender]\nlisten = \"127.0.0.1:{sender}\"\ntokens = [{{ name = \"demo\", literal = \"{token}\", role = \"admin\" }}]\n\
         [egress]\nallow = [\"127.0.0.0/8\"]\nplain_http = true\n\
         [store]\nurl = {}\n",
        quoted(&folder.store()?),
    );
    for provider in providers {
        text.push_str(&provider.source(upstream));
    }
    let config = Config::parse("demo.toml", &text, &Environment::default())
        .map_err(|faults| anyhow::anyhow!("the demo's own configuration is broken: {}", faults[0]))?;
    Ok(App::start(Plan::from(config), Clock::System)?)
}
