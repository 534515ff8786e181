//! All that customers registered, in memory: a copy of what the store has, and the way to change both.
//!
//! The store has the word. Whatever is decided by the copy names the version that it was decided by, and the store
//! refuses it if that one is over: then the copy is brought up to date, and it is decided again. So several nodes
//! agree without talking to each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::catalogue::{AccountSettings, EventType, Group};
use super::destination::{Builder, Known};
use super::endpoint::Endpoint;
use super::refusal::{Code, Refusal};
use super::secret::Secrets;
use super::vault::Vault;
use crate::clock::Clock;
use crate::delivery::Deliveries;
use crate::store::{Change, Changed, Record, RecordKind, Replayed, Store};

/// So often is decided anew before it is given up: each time somebody else was quicker.
const TRIES: usize = 32;

/// The directory.
#[derive(Debug)]
pub struct Directory {
    store: Arc<Store>,
    deliveries: Arc<Deliveries>,
    vault: Arc<Vault>,
    builder: Builder,
    clock: Clock,
    copy: RwLock<Copy>,
    /// Held while the copy is brought up to date.
    refreshing: Mutex<()>,
    /// Held while a change is decided and written: those of one process do not make each other outdated.
    changing: Mutex<()>,
}

/// What is known of the directory.
#[derive(Debug, Default)]
pub struct Copy {
    /// The store's, when it was looked at.
    pub version: i64,
    accounts: HashMap<Arc<str>, Account>,
    /// Whose each endpoint is.
    owners: HashMap<Arc<str>, Arc<str>>,
}

/// What one account has.
#[derive(Debug, Default)]
pub struct Account {
    pub settings: AccountSettings,
    /// By id, which is by age.
    pub endpoints: BTreeMap<Arc<str>, Arc<Known>>,
    /// By name.
    pub event_types: BTreeMap<String, Arc<EventType>>,
    /// By id.
    pub groups: BTreeMap<String, Arc<Group>>,
    /// Those that its endpoints share, by provider.
    pub secrets: BTreeMap<String, Secrets>,
}

/// What came of a change.
#[derive(Debug)]
pub enum Outcome<T> {
    Done(T),
    /// The same request was answered before.
    Replayed(Replayed),
}

impl Copy {
    /// What an account has; nothing yet, if it was never heard of.
    pub fn account(&self, name: &str) -> &Account {
        static NOTHING: std::sync::LazyLock<Account> = std::sync::LazyLock::new(Account::default);
        self.accounts.get(name).unwrap_or(&NOTHING)
    }

    /// An endpoint, whosever it is.
    pub fn endpoint(&self, id: &str) -> Option<&Arc<Known>> {
        self.accounts.get(self.owners.get(id)?)?.endpoints.get(id)
    }
}

impl Account {
    /// The secrets that its endpoints of a provider share; none if nobody asked for them yet.
    pub fn secrets(&self, provider: &str) -> &Secrets {
        static NONE: std::sync::LazyLock<Secrets> = std::sync::LazyLock::new(Secrets::default);
        self.secrets.get(provider).unwrap_or(&NONE)
    }

    /// Refuses it, by the name that it has, what it is not enabled for.
    ///
    /// # Errors
    /// Whom to ask.
    pub fn check_enabled(&self, name: &str) -> Result<(), Refusal> {
        if self.settings.notifications_enabled != Some(false) {
            return Ok(());
        }
        let detail = format!("account \"{name}\" is not enabled for notifications: contact support to have it enabled");
        Err(Refusal::new(Code::NotEnabled, detail))
    }

    /// The group with this id or name.
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name).or_else(|| self.groups.values().find(|group| group.name == name))
    }
}

impl Directory {
    /// The directory of `store`, of which nothing is known yet.
    pub fn new(
        store: Arc<Store>,
        deliveries: Arc<Deliveries>,
        vault: Arc<Vault>,
        builder: Builder,
        clock: Clock,
    ) -> Self {
        deliveries.follow(0);
        Self {
            store,
            deliveries,
            vault,
            builder,
            clock,
            copy: RwLock::default(),
            refreshing: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// The copy as it is. Do not hold it for long, and never across an `await`.
    pub fn read(&self) -> RwLockReadGuard<'_, Copy> {
        self.copy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What makes destinations of endpoints.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// Brings the copy up to date.
    ///
    /// # Errors
    /// If the store cannot be asked, or what it has cannot be read.
    pub async fn refresh(&self) -> Result<(), Refusal> {
        let _turn = self.refreshing.lock().await;
        let known = self.read().version;
        let records = self.store.records(known).await?;
        if records.version == known && records.changed.is_empty() {
            return Ok(());
        }
        let read: Vec<(Record, Option<Document>)> = records
            .changed
            .into_iter()
            .map(|record| self.open(&record).map(|document| (record, document)))
            .collect::<Result<_, _>>()?;
        let mut copy = self.copy.write().unwrap_or_else(PoisonError::into_inner);
        for (record, document) in read {
            self.apply(&mut copy, &record, document);
        }
        copy.version = records.version;
        self.deliveries.follow(records.version);
        Ok(())
    }

    /// Changes the directory as `decide` says, which sees it up to date and may be asked again.
    ///
    /// # Errors
    /// What `decide` refuses, or the store.
    pub async fn change<T>(
        &self,
        mut decide: impl FnMut(&Copy) -> Result<(Change, T), Refusal>,
    ) -> Result<Outcome<T>, Refusal> {
        let _turn = self.changing.lock().await;
        for _ in 0..TRIES {
            let (change, value) = {
                let copy = self.read();
                let (change, value) = decide(&copy)?;
                (Change { version: copy.version, ..change }, value)
            };
            match self.store.change(change).await? {
                Changed::Done { .. } => {
                    // It is on the disk: that the copy is old does not undo it.
                    if let Err(refusal) = self.refresh().await {
                        error!(error = %refusal, "The directory in memory is old until the store answers");
                    }
                    return Ok(Outcome::Done(value));
                }
                Changed::Replayed(replayed) => return Ok(Outcome::Replayed(replayed)),
                Changed::Outdated => self.refresh().await?,
            }
        }
        Err(Refusal::new(Code::StoreUnavailable, "too many changes at once: try again"))
    }

    /// Seals with the current key what a former one sealed, so that the former can be taken away. Where several nodes
    /// share a store, all of them must know the new key before one has it first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn seal_anew(&self) -> Result<(), Refusal> {
        let all = self.store.records(0).await?.changed;
        let old: Vec<&Record> = all.iter().filter(|record| self.is_outdated(record)).collect();
        if old.is_empty() {
            return Ok(());
        }
        let decided = self.change(|copy| {
            let again = |record: &&Record| {
                let Record { kind, account, id, .. } = record;
                let known = copy.account(account);
                match kind {
                    RecordKind::Endpoint => {
                        known.endpoints.get(id).map(|known| self.record(*kind, account, id, &known.endpoint))
                    }
                    _ => known.secrets.get(&**id).map(|secrets| self.record(*kind, account, id, secrets)),
                }
            };
            let records = old.iter().filter_map(again).collect();
            Ok((Change { records, ..Change::new(0, self.clock.millis()) }, ()))
        });
        decided.await?;
        info!(documents = old.len(), "What customers registered is sealed with the current key");
        Ok(())
    }

    fn is_outdated(&self, record: &Record) -> bool {
        let sealed = record.document.as_ref().filter(|_| is_sealed(record.kind));
        sealed.is_some_and(|sealed| self.vault.is_outdated(sealed))
    }

    /// A document as it is kept.
    pub fn record(&self, kind: RecordKind, account: &Arc<str>, id: &str, document: &impl Serialize) -> Record {
        let text = serde_json::to_vec(document).expect("plain structs");
        let bytes = if is_sealed(kind) { self.vault.seal(&place(kind, account, id), &text) } else { text };
        Record { kind, account: Arc::clone(account), id: id.into(), document: Some(bytes.into()) }
    }

    fn open(&self, record: &Record) -> Result<Option<Document>, Refusal> {
        let Some(bytes) = &record.document else { return Ok(None) };
        let broken = |why: String| {
            let detail = format!("what the store has of {:?} \"{}\" cannot be read: {why}", record.kind, record.id);
            Refusal::new(Code::Failed, detail)
        };
        let opened;
        let text = if is_sealed(record.kind) {
            let place = place(record.kind, &record.account, &record.id);
            opened = self.vault.open(&place, bytes).map_err(|error| broken(error.to_string()))?;
            &opened[..]
        } else {
            &bytes[..]
        };
        let document = match record.kind {
            RecordKind::Endpoint => Document::Endpoint(Box::new(parse(text).map_err(broken)?)),
            RecordKind::EventType => Document::EventType(parse(text).map_err(broken)?),
            RecordKind::Group => Document::Group(parse(text).map_err(broken)?),
            RecordKind::Account => Document::Account(parse(text).map_err(broken)?),
            RecordKind::Secret => Document::Secret(parse(text).map_err(broken)?),
        };
        Ok(Some(document))
    }

    fn apply(&self, copy: &mut Copy, record: &Record, document: Option<Document>) {
        let id = &record.id;
        let account = copy.accounts.entry(Arc::clone(&record.account)).or_default();
        match (record.kind, document) {
            (_, Some(Document::Endpoint(endpoint))) => {
                copy.owners.insert(Arc::clone(id), Arc::clone(&record.account));
                let known = Arc::new(self.builder.known(*endpoint, account));
                self.put(&known);
                account.endpoints.insert(Arc::clone(id), known);
            }
            (RecordKind::Endpoint, _) => {
                copy.owners.remove(id);
                account.endpoints.remove(id);
                self.deliveries.remove(id);
            }
            (_, Some(Document::EventType(kind))) => {
                account.event_types.insert(id.to_string(), Arc::new(kind));
            }
            (RecordKind::EventType, _) => {
                account.event_types.remove(&**id);
            }
            (_, Some(Document::Group(group))) => {
                account.groups.insert(id.to_string(), Arc::new(group));
                self.rebuild(account);
            }
            (RecordKind::Group, _) => {
                account.groups.remove(&**id);
                self.rebuild(account);
            }
            (_, Some(Document::Account(settings))) => {
                account.settings = settings;
                self.rebuild(account);
            }
            (_, Some(Document::Secret(secrets))) => {
                account.secrets.insert(id.to_string(), secrets);
                self.rebuild(account);
            }
            (RecordKind::Secret, _) => {
                account.secrets.remove(&**id);
                self.rebuild(account);
            }
            (RecordKind::Account, None) => {
                account.settings = AccountSettings::default();
                self.rebuild(account);
            }
        }
    }

    /// Its endpoints inherit what has changed.
    fn rebuild(&self, account: &mut Account) {
        let endpoints: Vec<Endpoint> = account.endpoints.values().map(|known| known.endpoint.clone()).collect();
        for endpoint in endpoints {
            let known = Arc::new(self.builder.known(endpoint, account));
            self.put(&known);
            account.endpoints.insert(known.endpoint.id.as_str().into(), known);
        }
    }

    fn put(&self, known: &Known) {
        match &known.destination {
            Ok(destination) if known.endpoint.is_active() => self.deliveries.put(Arc::clone(destination)),
            Err(why) if known.endpoint.is_active() => {
                warn!(endpoint.id = %known.id, error = %why, "Nothing can be delivered to webhook `{}`", known.id);
                self.deliveries.remove(&known.id);
            }
            _ => self.deliveries.remove(&known.id),
        }
    }
}

enum Document {
    Endpoint(Box<Endpoint>),
    EventType(EventType),
    Group(Group),
    Account(AccountSettings),
    Secret(Secrets),
}

/// True for documents that have secrets in them.
fn is_sealed(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Endpoint | RecordKind::Secret)
}

fn place(kind: RecordKind, account: &str, id: &str) -> String {
    let kind = if kind == RecordKind::Secret { "secret" } else { "endpoint" };
    format!("{kind} {account} {id}")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
