//! The worker with a store, and servers that behave in one way or another.

use std::sync::Mutex;

use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::clock::Clock;
use crate::database::sqlite::Sqlite;
use crate::delivery::destination::{Destinations, Way};
use crate::delivery::rate::Rate;
use crate::delivery::signing::{Signing, TimedSecret};
use crate::egress::{Pool, Url};
use crate::schedule::{Schedule, Waits};
use crate::signature::preset::Preset;
use crate::store::{
    Consequence, DeliveryFilter, Emitted, Message, NewEvent, Owed, SqliteStore, State, Store, Trigger, Verdict,
};
use crate::telemetry::metrics::Metrics;

/// What an endpoint's server does with a request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(u16),
    Never,
}

/// A server that answers each request in the same way, and what it got.
async fn server(answer: Answer) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/in?a=1", listener.local_addr().expect("an address"));
    let got = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let (mut text, mut buffer) = (String::new(), [0; 4096]);
                while !text.ends_with('}') {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    if read == 0 {
                        return;
                    }
                    text.push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
                seen.lock().expect("no panic").push(text);
                match answer {
                    Answer::Status(status) => {
                        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                    Answer::Never => std::future::pending().await,
                }
            });
        }
    });
    (Url::parse(&url).expect("a URL"), got)
}

struct Subject {
    deliveries: Arc<Deliveries>,
    _folder: tempfile::TempDir,
}

impl Subject {
    fn new(max_in_flight: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Sqlite::open(&folder.path().join("hookward.db")).expect("nobody has it");
        let store = Arc::new(Store::Sqlite(SqliteStore::new(database)));
        let metrics = Arc::new(Metrics::new());
        let deliveries = Deliveries::new(store, Destinations::default(), Clock::System, metrics, max_in_flight);
        Self { deliveries, _folder: folder }
    }

    fn endpoint(&self, name: &str, url: &Url) -> Destination {
        let preset = Preset::find("standard-webhooks").expect("a preset");
        let signing = Signing {
            endpoint: name.into(),
            account: "default".into(),
            scheme: Arc::new(preset.profile.scheme.clone()),
            emission: Arc::new(preset.profile.emission.clone()),
            content_type: preset.profile.emission.content_type.clone(),
            secrets: vec![TimedSecret {
                secret: preset.profile.emission.secret.generate(|random| random.fill(1)),
                until: None,
            }],
            headers: HeaderMap::new(),
            authorization: None,
            success: None,
            heeds_gone: true,
        };
        Destination {
            name: name.into(),
            source: "sender".into(),
            url: url.clone(),
            pool: Pool::new(url.target.clone(), None, Duration::from_secs(5)),
            way: Way::Sign(Box::new(signing)),
            routed: false,
            timeout: Duration::from_secs(20),
            lease: Duration::from_secs(40),
            schedule: Schedule { waits: Waits::List(Vec::new()), window: Duration::from_secs(60), jitter: 0.0 },
            exhausted: Consequence::Fail,
            limit: 4,
            ordered: false,
            rate: None,
            metrics: self.deliveries.metrics.deliveries("sender"),
        }
    }

    fn put(&self, name: &str, url: &Url) {
        self.deliveries.put(Arc::new(self.endpoint(name, url)));
    }

    /// Accepts an event that is owed to `names`.
    async fn owe(&self, names: impl IntoIterator<Item = &str>, trigger: Trigger) {
        let now = self.deliveries.clock.millis();
        let owed = names.into_iter().map(|name| Owed { trigger, ..Owed::due(name.into(), now) });
        let event = NewEvent {
            id: crate::store::Id::new(now),
            source: "sender".into(),
            emitted: Some(Emitted { account: "default".into(), kind: "a.b".into() }),
            event_id: Some("wh_evt_1".into()),
            accepted_at: now,
            message: Message {
                method: "POST".into(),
                query: None,
                headers: bytes::Bytes::new(),
                body: b"{\"a\":1}".as_ref().into(),
            },
            remember: None,
            variants: Vec::new(),
            counted: Vec::new(),
            owed: owed.collect(),
        };
        self.deliveries.store.accept(event).await.expect("the store");
    }

    fn run(&self) -> CancellationToken {
        let drain = CancellationToken::new();
        tokio::spawn(Arc::clone(&self.deliveries).run(drain.clone(), Duration::ZERO));
        drain
    }

    /// How many deliveries are in `state`.
    async fn count(&self, state: State) -> usize {
        let filter = DeliveryFilter { state: Some(state), limit: 1000, ..DeliveryFilter::default() };
        self.deliveries.store.deliveries(filter).await.expect("a page").data.len()
    }

    async fn until(&self, state: State, count: usize) {
        let waited = timeout(Duration::from_secs(10), async {
            while self.count(state).await < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{} {state:?}, not {count}", self.count(state).await);
    }
}

#[tokio::test]
async fn what_waits_for_an_endpoint_is_delivered_once_it_is_put() {
    let (url, got) = server(Answer::Status(204)).await;
    let subject = Subject::new(8);
    subject.owe(["wh_1"], Trigger::Event).await;
    let drain = subject.run();
    let known = timeout(Duration::from_secs(5), async {
        while subject.deliveries.unknown() != [Arc::from("wh_1")] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    known.await.expect("nobody knows it");
    subject.put("wh_1", &url);
    subject.until(State::Delivered, 1).await;
    let got = got.lock().expect("no panic").pop().expect("a request");
    assert!(got.starts_with("POST /in?a=1 HTTP/1.1\r\n") && got.ends_with("{\"a\":1}"), "{got}");
    for line in ["webhook-id: ", "webhook-signature: v1,", "content-type: application/json"] {
        assert!(got.contains(line), "{got}");
    }
    drain.cancel();
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_of_at_once() {
    let (url, _) = server(Answer::Status(410)).await;
    let subject = Subject::new(8);
    subject.put("wh_1", &url);
    subject.owe(["wh_1"], Trigger::Event).await;
    let drain = subject.run();
    timeout(Duration::from_secs(5), subject.deliveries.gone()).await.expect("it is told of");
    subject.until(State::Dead, 1).await;
    drain.cancel();
}

/// Its schedule has no second attempt.
#[tokio::test]
async fn what_follows_from_the_last_attempt_is_its_destinations() {
    for (exhausted, state) in
        [(Consequence::Fail, State::Dead), (Consequence::Cancel, State::Cancelled), (Consequence::Disable, State::Dead)]
    {
        let (url, _) = server(Answer::Status(500)).await;
        let subject = Subject::new(8);
        let ends = exhausted == Consequence::Disable;
        subject.deliveries.put(Arc::new(Destination { exhausted, ..subject.endpoint("wh_1", &url) }));
        subject.owe(["wh_1"], Trigger::Event).await;
        let drain = subject.run();
        subject.until(state, 1).await;
        let failing = subject.deliveries.store.failing().await.expect("an answer");
        assert_eq!((failing[0].exhausted, failing[0].gone), (ends, false));
        let told = timeout(Duration::from_millis(if ends { 5000 } else { 50 }), subject.deliveries.gone()).await;
        assert_eq!(told.is_ok(), ends, "{exhausted:?}");
        drain.cancel();
    }
}

#[tokio::test]
async fn a_trial_is_one_attempt() {
    let failed = Verdict::Dead { possible_duplicate: false, reason: "exhausted", consequence: Consequence::Fail };
    for (status, verdict) in [(200, Verdict::Delivered), (410, failed)] {
        let (url, got) = server(Answer::Status(status)).await;
        let subject = Subject::new(8);
        subject.owe(["wh_1"], Trigger::Test).await;
        let room = Room { destination: "wh_1".into(), deliveries: 1, ordered: false };
        let now = subject.deliveries.clock.millis();
        let leased = subject.deliveries.store.lease(vec![room], now, Duration::from_secs(60)).await;
        let leased = leased.expect("the store").pop().expect("a delivery");
        let destination = Arc::new(subject.endpoint("wh_1", &url));
        let came = Arc::clone(&subject.deliveries).attempt_once(destination, leased).await;
        assert_eq!((came, got.lock().expect("no panic").len()), (verdict, 1));
    }
}

#[tokio::test]
async fn endpoints_that_never_answer_leave_room_for_those_that_do() {
    let ((dead, asked), (good, got)) = (server(Answer::Never).await, server(Answer::Status(200)).await);
    let dead_names: Vec<String> = (0..20).map(|number| format!("wh_dead_{number}")).collect();
    // With few attempts at once, one that has proved itself is served; with more, one that nobody knows is, too.
    for (max_in_flight, proven) in [(8, true), (64, false)] {
        let subject = Subject::new(max_in_flight);
        dead_names.iter().for_each(|name| subject.put(name, &dead));
        subject.put("wh_good", &good);
        let drain = subject.run();
        if proven {
            subject.owe(["wh_good"], Trigger::Event).await;
            subject.until(State::Delivered, 1).await;
        }
        for _ in 0..4 {
            subject.owe(dead_names.iter().map(String::as_str), Trigger::Event).await;
        }
        subject.deliveries.wake(&dead_names.iter().map(|name| name.as_str().into()).collect::<Vec<Arc<str>>>());
        let begun = got.lock().expect("no panic").len();
        for _ in 0..20 {
            subject.owe(["wh_good"], Trigger::Event).await;
        }
        subject.until(State::Delivered, 20 + usize::from(proven)).await;
        assert_eq!(got.lock().expect("no panic").len(), begun + 20);
        assert!(asked.lock().expect("no panic").len() <= 4 + 20, "one at a time");
        drain.cancel();
    }
}

#[tokio::test]
async fn an_attempt_that_panics_gives_back_its_place() {
    let (url, _) = server(Answer::Never).await;
    let subject = Subject::new(8);
    let destination = Arc::new(subject.endpoint("wh_1", &url));
    subject.deliveries.put(Arc::clone(&destination));
    let mut worker = Worker::new(Arc::clone(&subject.deliveries));
    worker.standings.entry("wh_1".into()).or_default().health.begin();
    let id = worker.attempts.spawn(async { panic!("as a test may") }).id();
    worker.running.insert(id, Running { destination, unproven: true });
    worker.unproven = 1;
    let ended = worker.attempts.join_next_with_id().await.expect("it is there");
    worker.note_end(ended);
    assert!(worker.standings["wh_1"].health.is_idle());
    assert_eq!((worker.unproven, worker.running.len()), (0, 0));
}

#[tokio::test]
async fn a_rate_bounds_room_and_says_when_there_is_some() {
    let (url, _) = server(Answer::Never).await;
    let subject = Subject::new(8);
    let rate = Rate { per_second: 1.0, burst: 2 };
    let destination = Destination { rate: Some(rate), ..subject.endpoint("wh_1", &url) };
    let at = Duration::from_secs;
    let mut standing = Standing::default();
    assert_eq!(room_for(&destination, None, at(1)), RoomFor::Some(1), "nobody knows it");
    standing.health.begin();
    standing.health.end(Sign::Well, 4, at(1), 0.0);
    assert_eq!(room_for(&destination, Some(&standing), at(1)), RoomFor::Some(2));
    standing.bucket.take(rate, at(1));
    standing.bucket.take(rate, at(1));
    let RoomFor::NoneUntil(opens) = room_for(&destination, Some(&standing), at(1)) else { panic!("there is none") };
    assert_eq!(opens.as_secs(), 2);
    assert_eq!(room_for(&destination, Some(&standing), opens), RoomFor::Some(1));
    let ordered = Destination { ordered: true, rate: None, ..subject.endpoint("wh_1", &url) };
    assert_eq!(room_for(&ordered, Some(&standing), at(1)), RoomFor::Some(1));
    standing.health.begin();
    assert_eq!(room_for(&ordered, Some(&standing), at(1)), RoomFor::NoneYet);
}

/// What a round costs: `cargo test --release --lib -- --ignored --nocapture a_round_costs`.
#[tokio::test]
#[ignore = "it measures"]
async fn a_round_costs() {
    let subject = Subject::new(512);
    let url = Url::parse("http://127.0.0.1:9/").expect("a URL");
    let names: Vec<Arc<str>> = (0..10_000).map(|number| format!("wh_{number}").into()).collect();
    names.iter().for_each(|name| subject.put(name, &url));
    let mut worker = Worker::new(Arc::clone(&subject.deliveries));
    let now = subject.deliveries.clock.millis();
    let due = || names.iter().take(1000).map(|name| (Arc::clone(name), now));
    let started = std::time::Instant::now();
    worker.agenda.replace(due());
    println!("a look at 1,000 of 10,000: {:?}", started.elapsed());
    let started = std::time::Instant::now();
    let rooms = worker.rooms(now).0;
    println!("a round with {} rooms: {:?}", rooms.len(), started.elapsed());
    let rounds = 100_000u32;
    let started = std::time::Instant::now();
    for _ in 0..rounds {
        // One attempt ends, and one more begins.
        worker.agenda.again(&names[0]);
        worker.unproven = 255;
        std::hint::black_box(worker.rooms(now));
    }
    println!("a round per attempt that ends: {:?}", started.elapsed() / rounds);
}

#[tokio::test]
async fn an_upstream_that_its_source_has_no_more_is_lost_and_a_strangers_is_not() {
    let subject = Subject::new(4);
    let url = Url::parse("http://127.0.0.1:9/in").expect("a URL");
    let upstream = |name: &str| Destination { source: "vs".into(), routed: true, ..subject.endpoint(name, &url) };
    let names = ["vs http://127.0.0.1:9/in", "vs env:SLACK as slack, route new"];
    subject.deliveries.apply(Destinations::new(names.map(upstream)));
    let former = "vs env:SLACK as slack, route former";
    // Another node may have those of a source that we do not know; endpoints are looked after elsewhere.
    subject.owe([names[1], former, "other http://127.0.0.1:9/in", "wh_1"], Trigger::Event).await;
    let mut worker = Worker::new(Arc::clone(&subject.deliveries));
    worker.look(subject.deliveries.clock.millis()).await.expect("the store");
    assert_eq!(worker.lost, HashSet::from([Arc::from(former)]));
    subject.deliveries.apply(Destinations::new([upstream(former)]));
    worker.look(subject.deliveries.clock.millis()).await.expect("the store");
    assert_eq!(worker.lost, HashSet::from([Arc::from(names[1])]));
}
