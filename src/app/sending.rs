//! The sender as a part of the running program.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::StartError;
use super::stores::vault;
use crate::clock::Clock;
use crate::config::{EgressConfig, OperationsConfig, SenderConfig, StoreConfig};
use crate::delivery::destination::{Destination, Way};
use crate::delivery::signing::{Signing, TimedSecret};
use crate::egress::{Exit, Pool, Resolver, Roots};
use crate::gateway::keep::Keeper;
use crate::sender::api::{Api, Listener};
use crate::sender::{Builder, Code, Emitter, Emitters, Operations, SOURCE, Sender, Settings};
use crate::store::Consequence;
use crate::telemetry::metrics::Metrics;

/// By which deliveries know whoever is told what becomes of webhooks.
const OPERATIONS: &str = "sender operations";

/// How long a start waits for the store, which a server may still be on its way up with.
const PATIENCE: Duration = Duration::from_secs(2);

/// What answers the sender's API and looks after endpoints.
#[derive(Debug)]
pub struct Sending {
    pub address: SocketAddr,
    pub api: Api,
    pub drain: CancellationToken,
    answering: JoinHandle<()>,
    keeping_up: JoinHandle<()>,
}

/// What a sender is made of.
pub struct Parts<'a> {
    pub config: &'a SenderConfig,
    pub egress: &'a EgressConfig,
    pub resolver: &'a Resolver,
    pub store: &'a StoreConfig,
    pub keeper: &'a Keeper,
    pub metrics: &'a Metrics,
    pub clock: &'a Clock,
}

impl Sending {
    /// Starts it on `runtime`.
    ///
    /// # Errors
    /// If there is nobody to trust, or the store has what cannot be read. A store that is not there yet is none.
    pub fn start(parts: Parts<'_>, listener: Listener, runtime: &Handle) -> Result<Self, StartError> {
        let Parts { config, egress, resolver, store, keeper, metrics, clock } = parts;
        let exit = egress.exit().map_err(|error| StartError::Sender(format!("[egress]: {error}")))?;
        let exit = Exit { resolver: resolver.clone(), ..exit };
        let delivery_metrics = metrics.deliveries(SOURCE);
        let operations = config.operations.as_ref().map(|operations| {
            let destination = Arc::new(destination_of(operations, &exit, metrics));
            let name = Arc::clone(&destination.name);
            keeper.deliveries.put(destination);
            Operations { destination: name }
        });
        let builder = Builder::new(
            config.emitters.clone(),
            exit,
            config.disable_after,
            config.max_in_flight,
            config.templates.iter().map(|own| own.template.clone()).collect(),
            delivery_metrics,
        );
        let settings = Settings {
            provider: config.provider.clone(),
            max_webhooks: config.max_webhooks,
            max_body: config.max_body,
            strict_event_types: config.strict_event_types,
            event_types: config.event_types.clone(),
            retention: store.retention,
            egress_ips: config.egress_ips.clone(),
        };
        let sender = Arc::new(Sender::new(
            Arc::clone(&keeper.store),
            Arc::clone(&keeper.deliveries),
            vault(&config.keys, &store.url).map_err(StartError::Sender)?,
            builder,
            settings,
            operations,
            clock.clone(),
            metrics.sender(),
        ));
        open(&sender, runtime)?;
        let (address, drain) = (listener.address(), CancellationToken::new());
        let api = Api::new(Arc::clone(&sender), config.tokens.clone());
        let answering = runtime.spawn(listener.run(api.clone().router(), drain.clone()));
        let keeping_up = runtime.spawn(sender.keep_up(drain.clone()));
        Ok(Self { address, api, drain, answering, keeping_up })
    }

    /// Stops accepting, and waits for what has begun.
    pub async fn drain(&mut self) {
        self.drain.cancel();
        // What a panic left undone is found in the store.
        let _ = (&mut self.answering).await;
        let _ = (&mut self.keeping_up).await;
    }

    /// Waits for its end, which does not come unless it was told to.
    ///
    /// # Errors
    /// If it panicked.
    pub async fn ended(&mut self) -> io::Result<()> {
        tokio::select! {
            // Neither is asked again once it has ended.
            ended = &mut self.answering => ended.map_err(io::Error::other),
            ended = &mut self.keeping_up => ended.map_err(io::Error::other),
        }
    }
}

/// Learns what the store has. What cannot be read ends the start; a store that does not answer is asked again later.
fn open(sender: &Arc<Sender>, runtime: &Handle) -> Result<(), StartError> {
    let (report, opened) = std::sync::mpsc::channel();
    let sender = Arc::clone(sender);
    runtime.spawn(async move {
        // Nobody waits any more once it has taken too long.
        let _ = report.send(sender.open().await);
    });
    match opened.recv_timeout(PATIENCE) {
        Ok(Err(refusal)) if refusal.code == Code::Failed => Err(StartError::Sender(refusal.to_string())),
        Ok(Ok(())) => Ok(()),
        Ok(Err(refusal)) => {
            warn!(error = %refusal, "The store does not answer yet: the sender waits for it");
            Ok(())
        }
        Err(_) => {
            warn!("The store does not answer yet: the sender waits for it");
            Ok(())
        }
    }
}

/// Whoever is told what becomes of webhooks. It is the operator's own, so no guard judges its address.
fn destination_of(config: &OperationsConfig, exit: &Exit, metrics: &Metrics) -> Destination {
    let Emitter { scheme, emission, .. } = &**Emitters::standard();
    let roots = exit.roots.clone().or_else(|| Roots::system().ok());
    let unguarded = Exit { answers: exit.answers, ..Exit::unguarded(roots, exit.connect_timeout) };
    let signing = Signing {
        endpoint: OPERATIONS.into(),
        account: "hookward".into(),
        scheme: Arc::clone(scheme),
        emission: Arc::clone(emission),
        content_type: emission.content_type.clone(),
        secrets: vec![TimedSecret { secret: config.secret.clone(), until: None }],
        headers: http::HeaderMap::new(),
        authorization: None,
        success: None,
        heeds_gone: false,
    };
    Destination {
        name: OPERATIONS.into(),
        source: SOURCE.into(),
        pool: Pool::through(unguarded, config.url.target.clone()),
        url: config.url.clone(),
        timeout: emission.timeout,
        lease: emission.timeout + Duration::from_secs(10),
        schedule: emission.schedule.clone(),
        exhausted: Consequence::Fail,
        limit: 4,
        ordered: false,
        rate: None,
        metrics: metrics.deliveries(SOURCE),
        way: Way::Sign(Box::new(signing)),
        routed: false,
    }
}
