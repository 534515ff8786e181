//! Events and deliveries: the same on every store.

macro_rules! suite {
    ($store:ident: $($case:ident)*) => {
        mod $store {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Subject::$store().await).await;
            }
        )*}
    };
}

/// What holds of every store.
macro_rules! on_every_store {
    ($($case:ident)*) => {
        suite! { sqlite: $($case)* }
        suite! { postgres: $($case)* }
    };
}

mod accept;
mod again;
mod directory;
mod keep;
mod lease;
mod lists;
mod occurrences;
mod ordered;
mod purge;
mod sent;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::clock::UnixMillis;
use hookward::database::postgres::{Limits, Postgres, parse_url};
use hookward::database::sqlite::Sqlite;
use hookward::dedup::{ClaimKeys, KeyMaker};
use hookward::store::{
    Accepted, Attempt, Batch, BatchOutcome, Begin, Change, Changed, Consequence, Counted, DeliveryFilter, Emitted,
    EventFilter, Failing, Health, Id, Idempotent, Leased, Message, NewEvent, Owed, Owing, PostgresStore, Record,
    RecordKind, Records, Remember, Replayed, Room, SentEventFilter, SentFilter, Settlement, SqliteStore, State, Store,
    Tally, Trigger, Unrecovered, Verdict, Waiting, day_of,
};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::support::NOW;
use crate::support::client::PATIENCE;
use crate::support::services::shared_postgres;

const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(3600);
const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

/// A store under test, as two nodes see it. Times are milliseconds since the test began.
struct Subject {
    store: Arc<Store>,
    /// Another node's, where there can be one.
    other: Arc<Store>,
    _folder: Option<TempDir>,
}

impl Subject {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Sqlite::open(&folder.path().join("hookward.db")).expect("a new file");
        let store = Arc::new(Store::Sqlite(SqliteStore::new(database)));
        Self { other: Arc::clone(&store), store, _folder: Some(folder) }
    }

    async fn postgres() -> Self {
        Self::of(&shared_postgres().database().await)
    }

    /// The two nodes of a PostgreSQL database.
    fn of(url: &str) -> Self {
        let node = || {
            let limits = Limits { connect: PATIENCE, answer: PATIENCE };
            let config = parse_url(url).expect("a URL");
            let database = Postgres::new(config, limits, Handle::current()).expect("no TLS");
            Arc::new(Store::Postgres(Box::new(PostgresStore::new(&database))))
        };
        Self { store: node(), other: node(), _folder: None }
    }

    /// Accepts an event for one destination, which is new; its only delivery.
    async fn owe(&self, destination: &str, at: i64) -> (Id, Id) {
        let event = event("source", None, &[destination], at);
        let id = event.id;
        assert_eq!(self.store.accept(event).await, Ok(Accepted::New));
        (id, self.deliveries_of(id).await[0])
    }

    async fn deliveries_of(&self, event: Id) -> Vec<Id> {
        let filter = DeliveryFilter { event: Some(event), limit: 100, ..DeliveryFilter::default() };
        self.store.deliveries(filter).await.expect("a page").data.iter().map(|row| row.id).collect()
    }

    async fn lease(&self, destination: &str, most: usize, at: i64) -> Vec<Leased> {
        self.store.lease(vec![room(destination, most)], wall(at), LEASE).await.expect("leases")
    }

    async fn settle(&self, leased: &Leased, verdict: Verdict, at: i64) -> bool {
        self.store.settle(settlement(leased, verdict, at)).await.expect("an answer")
    }

    async fn waiting(&self, at: i64) -> Vec<(String, i64)> {
        let waiting = self.store.waiting(wall(at)).await.expect("an answer");
        let shown = |Waiting { destination, due_at }| (String::from(&*destination), due_at.0 - NOW * 1000);
        waiting.into_iter().map(shown).collect()
    }

    /// Keeps an event of ours with these deliveries.
    async fn emit(&self, owed: Vec<Owed>, at: i64) -> Id {
        let event = emitted("invoice.paid", owed, at);
        let id = event.id;
        assert_eq!(self.store.accept(event).await, Ok(Accepted::New));
        id
    }

    /// Keeps an event of ours for one endpoint; its only delivery.
    async fn emit_to(&self, endpoint: &str, at: i64) -> Id {
        let owed = owed(endpoint, at);
        let id = owed.id;
        self.emit(vec![owed], at).await;
        id
    }

    /// Leases the next one of an endpoint and settles it, so that it counts.
    async fn attempt(&self, endpoint: &str, verdict: Verdict, attempt: Attempt) -> Leased {
        let at = attempt.started_at;
        let mut leased = self.store.lease(vec![room(endpoint, 1)], at, LEASE).await.expect("leases");
        let leased = leased.pop().expect("one is due");
        let settlement = counted(&leased, verdict, attempt);
        assert_eq!(self.store.settle(settlement).await, Ok(true));
        leased
    }

    async fn failing(&self) -> Vec<Failing> {
        self.store.failing().await.expect("an answer")
    }

    async fn tally(&self, endpoint: &str, since_day: Option<i64>) -> Option<Tally> {
        let asked = vec![Arc::from(endpoint), Arc::from("another")];
        self.store.tallies(asked, since_day).await.expect("an answer").remove(endpoint)
    }

    async fn change(&self, change: Change) -> Changed {
        self.store.change(change).await.expect("an answer")
    }

    async fn state(&self, delivery: Id) -> State {
        self.store.delivery(delivery).await.expect("an answer").expect("a delivery").row.state
    }
}

fn wall(at: i64) -> UnixMillis {
    UnixMillis(NOW * 1000 + at)
}

fn room(destination: &str, deliveries: usize) -> Room {
    Room { destination: destination.into(), deliveries, ordered: false }
}

fn remember(id: &str, fingerprint: u64) -> Option<Remember> {
    let key = KeyMaker::shared().key(&[b"source", id.as_bytes()]);
    Some(Remember { keys: ClaimKeys { key, guard: None, fingerprint }, ttl: TTL })
}

fn event(source: &str, remember: Option<Remember>, destinations: &[&str], at: i64) -> NewEvent {
    let message = Message {
        method: "POST".into(),
        query: Some("a=%20b".into()),
        headers: Bytes::from_static(b"x-a: 1\r\nx-b: \xff\r\n"),
        body: Bytes::from_static(b"\x00\xff{}"),
    };
    NewEvent {
        id: Id::new(wall(at)),
        source: source.into(),
        event_id: Some(format!("evt_{at}")),
        accepted_at: wall(at),
        message,
        remember,
        variants: Vec::new(),
        counted: Vec::new(),
        owed: destinations.iter().map(|name| Owed::due(Arc::from(*name), wall(at))).collect(),
        emitted: None,
    }
}

fn owed(endpoint: &str, at: i64) -> Owed {
    Owed::due(endpoint.into(), wall(at))
}

fn emitted(kind: &str, owed: Vec<Owed>, at: i64) -> NewEvent {
    let emitted = Some(Emitted { account: "account".into(), kind: kind.into() });
    NewEvent { emitted, owed, ..event("sender", None, &[], at) }
}

fn batch(events: Vec<NewEvent>) -> Batch {
    Batch { events, directory: None, idempotent: None }
}

/// Digests of a request, and its answer for an hour.
fn idempotent(key: u8, request: u8) -> Option<Idempotent> {
    let response = Bytes::from(format!("answer to {request}"));
    Some(Idempotent { key: [key; 16], request: [request; 16], response, until: wall(HOUR) })
}

fn replayed(request: u8) -> Replayed {
    Replayed { request: [request; 16], response: format!("answer to {request}").into() }
}

fn counted(leased: &Leased, verdict: Verdict, attempt: Attempt) -> Settlement {
    let endpoint = Some(Arc::clone(&leased.destination));
    Settlement { id: leased.id, token: leased.token, verdict, attempt, endpoint }
}

fn record(id: &str, document: Option<&'static str>) -> Record {
    let document = document.map(|text| Bytes::from_static(text.as_bytes()));
    Record { kind: RecordKind::Endpoint, account: "account".into(), id: id.into(), document }
}

/// Brings the directory from `version` to the next.
fn change(version: i64, records: Vec<Record>) -> Change {
    Change { records, ..Change::new(version, wall(0)) }
}

fn attempt(status: Option<u16>, at: i64) -> Attempt {
    let error = status.is_none().then(|| "no answer".to_owned());
    Attempt { started_at: wall(at), duration: Duration::from_millis(7), status, error, charged: true, exchange: None }
}

fn settlement(leased: &Leased, verdict: Verdict, at: i64) -> Settlement {
    let status = matches!(verdict, Verdict::Delivered).then_some(200);
    Settlement { id: leased.id, token: leased.token, verdict, attempt: attempt(status, at), endpoint: None }
}

fn again(at: i64) -> Verdict {
    Verdict::Again { due_at: wall(at), possible_duplicate: false }
}

const DEAD: Verdict = used_up(Consequence::Fail);

const fn used_up(consequence: Consequence) -> Verdict {
    Verdict::Dead { possible_duplicate: true, reason: "exhausted", consequence }
}
