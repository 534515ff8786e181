//! Events and deliveries: the same on every store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::clock::UnixMillis;
use hookward::database::postgres::{Limits, Postgres, parse_url};
use hookward::database::sqlite::Sqlite;
use hookward::dedup::{ClaimKeys, KeyMaker};
use hookward::store::{
    Accepted, Attempt, DeliveryFilter, EventFilter, Id, Leased, Message, NewEvent, Owed, PostgresStore, Remember, Room,
    Settlement, SqliteStore, State, Store, Verdict, Waiting,
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
        let url = shared_postgres().database().await;
        let node = || {
            let limits = Limits { connect: PATIENCE, answer: PATIENCE };
            let config = parse_url(&url).expect("a URL");
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
        owed: destinations.iter().map(|name| Owed::due(Arc::from(*name), wall(at))).collect(),
        emitted: None,
    }
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

const DEAD: Verdict = Verdict::Dead { possible_duplicate: true, reason: "exhausted" };

async fn an_event_comes_back_as_it_was_accepted(subject: Subject) {
    let given = event("source", None, &["a", "b"], 0);
    assert_eq!(subject.store.accept(given.clone()).await, Ok(Accepted::New));
    let kept = subject.store.event(given.id).await.expect("an answer").expect("the event");
    assert_eq!(kept.message, given.message);
    assert_eq!((kept.row.source.as_str(), kept.row.event_id.as_deref()), ("source", Some("evt_0")));
    assert_eq!((kept.row.accepted_at, kept.row.body_bytes), (wall(0), 4));
    let mut owed: Vec<_> = kept.deliveries.iter().map(|row| (row.destination.as_str(), row.state)).collect();
    owed.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(owed, [("a", State::Waiting), ("b", State::Waiting)]);
    let leased = subject.lease("a", 10, 0).await;
    assert_eq!(leased.len(), 1);
    assert_eq!((&leased[0].message, leased[0].event, leased[0].attempts), (&given.message, given.id, 0));
    assert!(!leased[0].possible_duplicate);
    assert_eq!(subject.store.event(Id::new(wall(0))).await, Ok(None));
    assert_eq!(subject.store.delivery(Id::new(wall(0))).await, Ok(None));
}

async fn a_known_event_is_kept_once(subject: Subject) {
    let accept = async |fingerprint, at| {
        let event = event("source", remember("x", fingerprint), &["a"], at);
        (event.id, subject.store.accept(event).await.expect("an answer"))
    };
    assert_eq!(accept(7, 0).await.1, Accepted::New);
    let (copy, outcome) = accept(7, SECOND).await;
    assert_eq!(outcome, Accepted::Duplicate { conflict: false });
    assert_eq!(subject.store.event(copy).await, Ok(None), "nothing of it was written");
    assert_eq!(accept(8, SECOND).await.1, Accepted::Duplicate { conflict: true });
    assert_eq!(subject.lease("a", 10, 2 * SECOND).await.len(), 1);
}

async fn an_event_is_remembered_until_its_time_is_over(subject: Subject) {
    let accept = async |at| subject.store.accept(event("source", remember("x", 7), &["a"], at)).await;
    assert_eq!(accept(0).await, Ok(Accepted::New));
    assert_eq!(accept(HOUR - 1).await, Ok(Accepted::Duplicate { conflict: false }));
    assert_eq!(accept(HOUR).await, Ok(Accepted::New));
}

async fn of_copies_at_once_one_is_kept(subject: Subject) {
    let copies = (0..40).map(|n| {
        let store = if n % 2 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
        tokio::spawn(async move { store.accept(event("source", remember("x", 7), &["a"], n)).await })
    });
    let mut new = 0;
    for copy in copies.collect::<Vec<_>>() {
        new += usize::from(copy.await.expect("no panic") == Ok(Accepted::New));
    }
    assert_eq!((new, subject.lease("a", 100, SECOND).await.len()), (1, 1));
}

async fn a_destination_gets_no_more_than_it_has_room_for(subject: Subject) {
    for at in [2, 0, 1] {
        subject.owe("a", at).await;
        subject.owe("b", at).await;
    }
    let leased = subject.store.lease(vec![room("a", 2), room("c", 5)], wall(10), LEASE).await.expect("leases");
    assert!(leased.iter().all(|leased| &*leased.destination == "a"), "nobody asked for b");
    let mut owed: Vec<i64> = leased.iter().map(|leased| leased.created_at.0 - NOW * 1000).collect();
    owed.sort_unstable();
    assert_eq!(owed, [0, 1], "the longest due first");
}

async fn what_is_not_due_is_not_leased(subject: Subject) {
    subject.owe("a", 5 * SECOND).await;
    assert!(subject.lease("a", 1, 5 * SECOND - 1).await.is_empty());
    assert_eq!(subject.lease("a", 1, 5 * SECOND).await.len(), 1);
}

async fn what_is_leased_is_not_leased_again(subject: Subject) {
    subject.owe("a", 0).await;
    assert_eq!(subject.lease("a", 1, 0).await.len(), 1);
    assert_eq!(subject.waiting(30 * SECOND - 1).await, []);
    assert!(subject.lease("a", 1, 30 * SECOND - 1).await.is_empty());
}

async fn an_ended_lease_comes_back_in_doubt(subject: Subject) {
    subject.owe("a", 0).await;
    let first = subject.lease("a", 1, 0).await.remove(0);
    let waiting = subject.waiting(30 * SECOND).await;
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].1 <= 30 * SECOND, "{waiting:?}");
    let second = subject.lease("a", 1, 30 * SECOND).await.remove(0);
    assert_eq!((second.id, second.possible_duplicate), (first.id, true));
    assert_ne!(second.token, first.token);
}

async fn of_a_lease_that_ended_only_a_success_counts(subject: Subject) {
    subject.owe("a", 0).await;
    let first = subject.lease("a", 1, 0).await.remove(0);
    subject.waiting(30 * SECOND).await;
    let second = subject.lease("a", 1, 30 * SECOND).await.remove(0);
    assert!(!subject.settle(&first, DEAD, 31 * SECOND).await);
    assert!(!subject.settle(&first, again(40 * SECOND), 32 * SECOND).await);
    assert_eq!(subject.state(first.id).await, State::Leased, "the other one has it");
    assert!(subject.settle(&first, Verdict::Delivered, 33 * SECOND).await);
    assert_eq!(subject.state(first.id).await, State::Delivered);
    assert!(!subject.settle(&second, DEAD, 34 * SECOND).await, "a success is never taken back");
    assert!(!subject.settle(&second, Verdict::Delivered, 35 * SECOND).await, "it is delivered already");
    assert_eq!(subject.state(first.id).await, State::Delivered);
    let log = subject.store.delivery(first.id).await.expect("an answer").expect("a delivery").attempts;
    assert_eq!(log.len(), 5, "every attempt is in the log");
}

async fn a_failed_attempt_is_due_again_when_it_says(subject: Subject) {
    let (_, delivery) = subject.owe("a", 0).await;
    let leased = subject.lease("a", 1, 0).await.remove(0);
    assert!(subject.settle(&leased, again(60 * SECOND), SECOND).await);
    assert_eq!(subject.waiting(2 * SECOND).await, [("a".into(), 60 * SECOND)]);
    assert!(subject.lease("a", 1, 60 * SECOND - 1).await.is_empty());
    let leased = subject.lease("a", 1, 60 * SECOND).await.remove(0);
    assert_eq!((leased.attempts, leased.possible_duplicate), (1, false));
    assert!(subject.settle(&leased, DEAD, 61 * SECOND).await);
    assert_eq!(subject.waiting(HOUR).await, []);
    let detail = subject.store.delivery(delivery).await.expect("an answer").expect("a delivery");
    assert_eq!((detail.row.state, detail.row.attempts, detail.row.at), (State::Dead, 2, wall(61 * SECOND + 7)));
    assert_eq!((detail.row.last_status, detail.row.last_error.as_deref()), (None, Some("no answer")));
    let started: Vec<i64> = detail.attempts.iter().map(|attempt| attempt.started_at.0 - NOW * 1000).collect();
    assert_eq!(started, [SECOND, 61 * SECOND], "the first one first");
}

async fn an_attempt_that_is_ours_does_not_count(subject: Subject) {
    subject.owe("a", 0).await;
    let leased = subject.lease("a", 1, 0).await.remove(0);
    let mut settled = settlement(&leased, again(SECOND), 0);
    settled.attempt.charged = false;
    assert_eq!(subject.store.settle(settled).await, Ok(true));
    assert_eq!(subject.lease("a", 1, SECOND).await[0].attempts, 0);
}

async fn every_destination_says_when_its_first_is_due(subject: Subject) {
    for (destination, at) in [("b", 3), ("a", 2), ("a", 1), ("c", 9)] {
        subject.owe(destination, at).await;
    }
    let leased = subject.lease("c", 1, 9).await.remove(0);
    let mut waiting = subject.waiting(9).await;
    waiting.sort();
    assert_eq!(waiting, [("a".into(), 1), ("b".into(), 3)]);
    subject.settle(&leased, Verdict::Delivered, 9).await;
    assert_eq!(subject.waiting(HOUR).await.len(), 2);
}

async fn two_leasers_never_get_the_same(subject: Subject) {
    for at in 0..200 {
        subject.owe(if at % 2 == 0 { "a" } else { "b" }, at).await;
    }
    let leasers = (0..8).map(|n| {
        let store = if n % 2 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
        tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                let leased = store.lease(vec![room("a", 7), room("b", 5)], wall(HOUR), LEASE).await.expect("leases");
                if leased.is_empty() {
                    return got;
                }
                got.extend(leased.into_iter().map(|leased| leased.id));
            }
        })
    });
    let mut all = Vec::new();
    for leaser in leasers.collect::<Vec<_>>() {
        all.extend(leaser.await.expect("no panic"));
    }
    // What another one was about to take is passed over, so a leaser may leave while there is some; none is lost.
    all.extend(subject.lease("a", 1000, HOUR).await.iter().map(|leased| leased.id));
    all.extend(subject.lease("b", 1000, HOUR).await.iter().map(|leased| leased.id));
    let different: HashSet<Id> = all.iter().copied().collect();
    assert_eq!((all.len(), different.len()), (200, 200));
}

async fn what_is_dead_or_waits_can_be_retried(subject: Subject) {
    let mut ids = Vec::new();
    for name in ["dead", "waiting", "leased", "delivered"] {
        ids.push(subject.owe(name, 0).await.1);
    }
    for (name, verdict) in [("dead", Some(DEAD)), ("leased", None), ("delivered", Some(Verdict::Delivered))] {
        let leased = subject.lease(name, 1, 0).await.remove(0);
        if let Some(verdict) = verdict {
            assert!(subject.settle(&leased, verdict, 0).await);
        }
    }
    let unknown = Id::new(wall(0));
    let asked = [&ids[..], &[unknown]].concat();
    let mut retried = subject.store.retry(asked, wall(HOUR)).await.expect("an answer");
    retried.sort_unstable();
    let mut wanted = ids[..2].to_vec();
    wanted.sort_unstable();
    assert_eq!(retried, wanted);
    let leased = subject.lease("dead", 1, HOUR).await.remove(0);
    assert_eq!((leased.id, leased.attempts, leased.created_at), (ids[0], 0, wall(HOUR)), "all attempts before it");
    assert!(leased.possible_duplicate, "what was in doubt is still");
    assert_eq!((subject.state(ids[2]).await, subject.state(ids[3]).await), (State::Leased, State::Delivered));
}

async fn a_replay_is_a_delivery_of_its_own(subject: Subject) {
    let (event, first) = subject.owe("a", 0).await;
    let leased = subject.lease("a", 1, 0).await.remove(0);
    subject.settle(&leased, Verdict::Delivered, 0).await;
    let to = vec![Arc::from("a"), Arc::from("b")];
    let made = subject.store.replay(event, to, wall(HOUR)).await.expect("an answer").expect("the event");
    assert_eq!(made.len(), 2);
    assert_eq!(subject.state(first).await, State::Delivered);
    let (a, b) = (subject.lease("a", 9, HOUR).await, subject.lease("b", 9, HOUR).await);
    assert_eq!([a[0].id, b[0].id], made[..], "in the order of the destinations");
    assert!(a[0].possible_duplicate && b[0].possible_duplicate);
    assert_eq!((a.len(), b.len(), a[0].event), (1, 1, event));
    assert_eq!(subject.store.replay(Id::new(wall(0)), vec![Arc::from("a")], wall(HOUR)).await, Ok(None));
}

async fn only_what_is_settled_and_old_is_purged(subject: Subject) {
    let mut events = Vec::new();
    for (name, at) in [("delivered", 0), ("dead", 1), ("waiting", 2), ("leased", 3), ("young", HOUR)] {
        events.push(subject.owe(name, at).await.0);
    }
    for (name, verdict) in [("delivered", Verdict::Delivered), ("dead", DEAD), ("young", Verdict::Delivered)] {
        let leased = subject.lease(name, 1, HOUR).await.remove(0);
        assert!(subject.settle(&leased, verdict, HOUR).await);
    }
    subject.lease("leased", 1, HOUR).await;
    // Of two destinations only one has it.
    let both = event("source", None, &["x", "y"], 4);
    events.push(both.id);
    subject.store.accept(both).await.expect("an answer");
    let leased = subject.lease("x", 1, HOUR).await.remove(0);
    subject.settle(&leased, Verdict::Delivered, HOUR).await;

    let purge = async |retention, most| subject.store.purge(wall(HOUR), Duration::from_millis(retention), most).await;
    assert_eq!(purge(HOUR as u64, 10).await, Ok(0), "the oldest is just not old enough");
    assert_eq!(purge(1, 1).await, Ok(1), "no more than asked");
    assert_eq!(purge(1, 10).await, Ok(1));
    assert_eq!(purge(1, 10).await, Ok(0));
    let mut left = Vec::new();
    for id in &events {
        left.push(subject.store.event(*id).await.expect("an answer").is_some());
    }
    assert_eq!(left, [false, false, true, true, true, true]);
    let stats = subject.store.stats().await.expect("an answer");
    assert_eq!((stats.events, stats.waiting, stats.leased, stats.delivered, stats.dead), (4, 2, 1, 2, 0));
    assert_eq!(subject.store.check().await, Ok(Vec::new()));
}

async fn what_is_forgotten_may_come_again(subject: Subject) {
    let accept = async |at| subject.store.accept(event("source", remember("x", 7), &["a"], at)).await;
    accept(0).await.expect("an answer");
    // A sweep takes a part of the keys at a time.
    for _ in 0..256 {
        subject.store.purge(wall(HOUR - 1), TTL, 1).await.expect("an answer");
    }
    assert_eq!(subject.store.stats().await.map(|stats| stats.dedup_keys), Ok(1));
    assert_eq!(accept(HOUR - 1).await, Ok(Accepted::Duplicate { conflict: false }));
    for _ in 0..256 {
        subject.store.purge(wall(2 * HOUR), TTL, 1).await.expect("an answer");
    }
    assert_eq!(subject.store.stats().await.map(|stats| stats.dedup_keys), Ok(0));
}

async fn lists_are_narrowed_by_what_is_asked(subject: Subject) {
    // Minutes, at an hour at which no other test makes ids: those go on from the latest within a second.
    let minute = |n: i64| 1000 * HOUR + n * 60 * SECOND;
    let minutes = |at: UnixMillis| (at.0 - wall(minute(0)).0) / (60 * SECOND);
    for (source, destination, at) in [("s", "a", 0), ("s", "b", 1), ("t", "a", 2), ("t", "b", 3)] {
        subject.store.accept(event(source, None, &[destination], minute(at))).await.expect("an answer");
    }
    let leased = subject.lease("a", 1, minute(0)).await.remove(0);
    subject.settle(&leased, DEAD, minute(4)).await;
    let deliveries = async |filter: DeliveryFilter| {
        let page = subject.store.deliveries(DeliveryFilter { limit: 10, ..filter }).await.expect("a page");
        page.data.iter().map(|row| minutes(row.created_at)).collect::<Vec<_>>()
    };
    let all = DeliveryFilter::default;
    assert_eq!(deliveries(all()).await, [3, 2, 1, 0], "the latest first");
    assert_eq!(deliveries(DeliveryFilter { source: Some("s".into()), ..all() }).await, [1, 0]);
    assert_eq!(deliveries(DeliveryFilter { destination: Some("b".into()), ..all() }).await, [3, 1]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(State::Dead), ..all() }).await, [0]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(State::Waiting), ..all() }).await, [3, 2, 1]);
    assert_eq!(
        deliveries(DeliveryFilter { state: Some(State::Dead), source: Some("t".into()), ..all() }).await,
        [0; 0]
    );
    assert_eq!(
        deliveries(DeliveryFilter { since: Some(wall(minute(1))), until: Some(wall(minute(3))), ..all() }).await,
        [2, 1]
    );
    assert_eq!(deliveries(DeliveryFilter { event: Some(leased.event), ..all() }).await, [0]);
    let dead = DeliveryFilter { event: Some(leased.event), state: Some(State::Waiting), ..all() };
    assert_eq!(deliveries(dead).await, [0; 0]);

    let events = async |filter: EventFilter| {
        let page = subject.store.events(EventFilter { limit: 10, ..filter }).await.expect("a page");
        page.data.iter().map(|row| minutes(row.accepted_at)).collect::<Vec<_>>()
    };
    let all = EventFilter::default;
    assert_eq!(events(all()).await, [3, 2, 1, 0]);
    assert_eq!(events(EventFilter { source: Some("t".into()), ..all() }).await, [3, 2]);
    assert_eq!(events(EventFilter { event_id: Some(format!("evt_{}", minute(1))), ..all() }).await, [1]);
    assert_eq!(events(EventFilter { since: Some(wall(minute(3))), ..all() }).await, [3]);
    assert_eq!(events(EventFilter { until: Some(wall(minute(1))), ..all() }).await, [0]);
}

async fn pages_follow_each_other_without_gap_or_overlap(subject: Subject) {
    for at in 0..7 {
        // Two in each millisecond.
        subject.owe("a", at / 2).await;
    }
    let (mut ids, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let filter = DeliveryFilter { after, limit: 3, ..DeliveryFilter::default() };
        let page = subject.store.deliveries(filter).await.expect("a page");
        ids.extend(page.data.iter().map(|row| row.id));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((pages, sorted.len(), &sorted), (3, 7, &ids));
    let page = subject.store.events(EventFilter { limit: 7, ..EventFilter::default() }).await.expect("a page");
    assert_eq!((page.data.len(), page.next), (7, None), "a page that is just full is the last");
}

async fn stats_count_what_waits_for_whom(subject: Subject) {
    for (destination, at) in [("a", 0), ("a", 1), ("b", 2)] {
        subject.owe(destination, at).await;
    }
    let leased = subject.lease("a", 1, 5).await.remove(0);
    subject.settle(&leased, DEAD, 5).await;
    let stats = subject.store.stats().await.expect("an answer");
    let each: Vec<_> = stats.destinations.iter().map(|of| (of.destination.as_str(), of.waiting, of.dead)).collect();
    assert_eq!(each, [("a", 1, 1), ("b", 1, 0)]);
    assert_eq!((stats.events, stats.waiting, stats.dead, stats.oldest_due), (3, 2, 1, Some(wall(1))));
    assert!(stats.bytes > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_had_leased_is_due_when_the_file_is_opened_again() {
    let Subject { store, other, _folder: folder } = Subject::sqlite().await;
    let subject = Subject { store, other, _folder: None };
    let (_, delivery) = subject.owe("a", 0).await;
    subject.lease("a", 1, SECOND).await;
    drop(subject);
    let folder = folder.expect("a file");
    let database = Sqlite::open(&folder.path().join("hookward.db")).expect("nobody has it");
    let store = Arc::new(Store::Sqlite(SqliteStore::new(database)));
    let again = Subject { other: Arc::clone(&store), store, _folder: Some(folder) };
    assert_eq!(again.waiting(2 * SECOND).await, [("a".into(), 0)], "long before its lease would have ended");
    let leased = again.lease("a", 1, 2 * SECOND).await.remove(0);
    assert_eq!((leased.id, leased.possible_duplicate), (delivery, true));
}

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

on_every_store! {
    an_event_comes_back_as_it_was_accepted
    a_known_event_is_kept_once
    an_event_is_remembered_until_its_time_is_over
    of_copies_at_once_one_is_kept
    a_destination_gets_no_more_than_it_has_room_for
    what_is_not_due_is_not_leased
    what_is_leased_is_not_leased_again
    an_ended_lease_comes_back_in_doubt
    of_a_lease_that_ended_only_a_success_counts
    a_failed_attempt_is_due_again_when_it_says
    an_attempt_that_is_ours_does_not_count
    every_destination_says_when_its_first_is_due
    two_leasers_never_get_the_same
    what_is_dead_or_waits_can_be_retried
    a_replay_is_a_delivery_of_its_own
    only_what_is_settled_and_old_is_purged
    what_is_forgotten_may_come_again
    lists_are_narrowed_by_what_is_asked
    pages_follow_each_other_without_gap_or_overlap
    stats_count_what_waits_for_whom
}
