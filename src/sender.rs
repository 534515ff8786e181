//! The role that tells: an app hands over what happened, everyone who asked for it gets it, signed.
//!
//! `publish` keeps an event and all that is owed of it in one step; `delivery` does the rest. What customers registered
//! is the `directory`; `upkeep` draws the consequences of what deliveries came to.

mod again;
mod answer;
pub mod api;
mod bodies;
mod catalogue;
mod catalogues;
mod checks;
mod destination;
mod directory;
mod emitter;
mod endpoint;
mod event;
mod fanout;
mod history;
mod name;
mod publish;
mod refusal;
mod resource;
mod secret;
mod secrets;
mod trial;
mod upkeep;
mod vault;
mod vinsight;
mod webhook;
mod webhooks;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::delivery::Deliveries;
use crate::store::Store;
use crate::telemetry::metrics::SenderMetrics;
use crate::telemetry::sampling::Sampler;
use directory::Directory;

pub use catalogue::EventType;
pub use destination::Builder;
pub use emitter::{Emitter, Emitters};
pub use name::{DEFAULT_ACCOUNT, check_name};
pub use refusal::{Code, Refusal};
pub use upkeep::Operations;
pub use vault::Vault;

/// What emitted events have as their source: in logs, metrics and lists.
pub const SOURCE: &str = "sender";

/// What an operator decides for all accounts.
#[derive(Debug)]
pub struct Settings {
    /// The provider of webhooks that name none.
    pub provider: String,
    /// How many webhooks an account may have, unless its own settings say otherwise.
    pub max_webhooks: u32,
    /// The longest content of an event, in bytes.
    pub max_body: usize,
    /// Only events of known types may be emitted, unless an account's own settings say otherwise.
    pub strict_event_types: bool,
    /// Types that every account has.
    pub event_types: Vec<Arc<EventType>>,
    /// How long events are kept, and with them ids that their makers chose.
    pub retention: Duration,
    /// From where deliveries come, as customers' firewalls are told.
    pub egress_ips: Vec<IpAddr>,
}

/// The sender.
#[derive(Debug)]
pub struct Sender {
    store: Arc<Store>,
    deliveries: Arc<Deliveries>,
    directory: Directory,
    vault: Arc<Vault>,
    settings: Settings,
    operations: Option<Operations>,
    clock: Clock,
    metrics: Arc<SenderMetrics>,
    sampler: Sampler,
}

impl Sender {
    /// A sender that knows nothing yet: call [`Self::open`] next.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the program that it works with")]
    pub fn new(
        store: Arc<Store>,
        deliveries: Arc<Deliveries>,
        vault: Vault,
        builder: Builder,
        settings: Settings,
        operations: Option<Operations>,
        clock: Clock,
        metrics: Arc<SenderMetrics>,
    ) -> Self {
        let vault = Arc::new(vault);
        let (kept, owed, sealed) = (Arc::clone(&store), Arc::clone(&deliveries), Arc::clone(&vault));
        let directory = Directory::new(kept, owed, sealed, builder, clock.clone());
        let sampler = Sampler::default();
        Self { store, deliveries, directory, vault, settings, operations, clock, metrics, sampler }
    }

    /// Learns what the store has.
    ///
    /// # Errors
    /// If it cannot be asked, or was sealed with another key.
    pub async fn open(&self) -> Result<(), Refusal> {
        self.directory.refresh().await?;
        self.directory.seal_anew().await
    }

    /// What a webhook's provider may be.
    fn emitters(&self) -> &Emitters {
        self.directory.builder().emitters()
    }
}
