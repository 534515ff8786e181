//! Events that repeat: of which an endpoint is told.

use super::*;

const WINDOW: i64 = 300 * SECOND;

/// A delivery to `endpoint` if this is an occurrence of `of` that is told.
fn repeated(endpoint: &str, of: &str, at: i64) -> Counted {
    Counted {
        destination: endpoint.into(),
        of: of.into(),
        window: Duration::from_millis(WINDOW.unsigned_abs()),
        body: vec![Bytes::from(format!("{of} ")), Bytes::from_static(b" ")],
        owed: owed(endpoint, at),
    }
}

/// An event that endpoint `a` is told of if it is such an occurrence.
fn occurrence(of: &str, at: i64) -> NewEvent {
    NewEvent { counted: vec![repeated("a", of, at)], ..emitted("t", Vec::new(), at) }
}

impl Subject {
    /// Keeps them one after the other, and says which numbers endpoint `a` is told, in their order.
    async fn told(&self, events: Vec<NewEvent>) -> Vec<String> {
        for event in events {
            self.store.accept(event).await.expect("an answer");
        }
        self.bodies("a").await
    }

    /// What waits for an endpoint, the first one first. Leased, it is not said again.
    async fn bodies(&self, endpoint: &str) -> Vec<String> {
        let mut leased = self.lease(endpoint, 99, 9 * HOUR).await;
        leased.sort_by_key(|leased| leased.created_at);
        leased.iter().map(|leased| String::from_utf8_lossy(&leased.message.body).into_owned()).collect()
    }
}

/// In batches, of which some have several that are told.
async fn the_first_tenth_and_hundredth_are_told(subject: Subject) {
    let events: Vec<NewEvent> = (1..=1000).map(|at| occurrence("t", at)).collect();
    let ids: Vec<Id> = events.iter().map(|event| event.id).collect();
    for batch_of in events.chunks(125) {
        let kept = subject.store.keep(batch(batch_of.to_vec())).await;
        assert_eq!(kept, Ok(BatchOutcome::Kept(vec![Accepted::New; 125])));
    }
    assert_eq!(subject.waiting(0).await, [("a".into(), 1)], "it is due since the first");
    let mut leased = subject.lease("a", 99, HOUR).await;
    leased.sort_by_key(|leased| leased.created_at);
    let shown: Vec<_> = leased.iter().map(|leased| (leased.event, leased.message.body.clone())).collect();
    let wanted = [1, 10, 100, 1000].map(|n| (ids[n - 1], Bytes::from(format!("t {n} "))));
    assert_eq!(shown, wanted);
    let stats = subject.store.stats().await.expect("an answer");
    assert_eq!((stats.events, stats.leased + stats.waiting + stats.skipped), (1000, 4), "of the others only the event");
    for (n, variant) in [(1, 2), (2, 1), (10, 2), (999, 1)] {
        let next = subject.store.add_body(ids[n - 1], Bytes::from_static(b"x")).await;
        assert_eq!(next, Ok(Some(variant)), "of the others no body: {n}");
    }
}

async fn a_window_begins_with_its_first(subject: Subject) {
    let more = |count, at| std::iter::repeat_with(move || occurrence("t", at)).take(count);
    assert_eq!(subject.told(more(9, 0).collect()).await, ["t 1 "]);
    assert_eq!(subject.told(vec![occurrence("t", WINDOW - 1)]).await, ["t 10 "]);
    assert_eq!(subject.told(more(89, WINDOW - 1).collect()).await, [""; 0]);
    assert_eq!(subject.told(vec![occurrence("t", WINDOW)]).await, ["t 1 "], "and not the 100th");
    let earlier = subject.told(more(9, WINDOW - 5).collect()).await;
    assert_eq!(earlier, ["t 10 "], "clocks differ: it counts into the window that there is");
    assert_eq!(subject.told(vec![occurrence("t", 2 * WINDOW - 1)]).await, [""; 0]);
    assert_eq!(subject.told(vec![occurrence("t", 2 * WINDOW)]).await, ["t 1 "]);
}

async fn a_window_may_end_within_a_batch(subject: Subject) {
    let at = [0, 1, WINDOW - 1, WINDOW, WINDOW - 2, WINDOW + 1, 3 * WINDOW];
    let events = at.map(|at| occurrence("t", at)).to_vec();
    subject.store.keep(batch(events)).await.expect("an answer");
    assert_eq!(subject.bodies("a").await, ["t 1 "; 3]);
    subject.told(vec![occurrence("t", 3 * WINDOW + 1)]).await;
    let more = (2..10).map(|at| occurrence("t", 3 * WINDOW + at)).collect();
    assert_eq!(subject.told(more).await, ["t 10 "]);
}

async fn each_is_counted_for_itself(subject: Subject) {
    let long = "x".repeat(20_000);
    let of = ["t", "t\0invoice_1", "t\0invoice_2", &long];
    for at in 0..9 {
        let counted: Vec<Counted> = of.iter().map(|of| repeated("a", of, at)).chain([repeated("b", "t", at)]).collect();
        let event = NewEvent { counted, ..emitted("t", Vec::new(), at) };
        subject.store.accept(event).await.expect("an answer");
    }
    assert_eq!((subject.bodies("a").await.len(), subject.bodies("b").await), (4, vec!["t 1 ".to_owned()]));
    assert_eq!(subject.told(vec![occurrence(&long, 10)]).await, [format!("{long} 10 ")]);
    assert_eq!(subject.told(vec![occurrence("t\0invoice_1", 11)]).await, ["t\0invoice_1 10 "]);
}

async fn it_has_a_body_beside_the_others(subject: Subject) {
    let other = Owed { variant: 1, ..owed("plain", 0) };
    let counted = ["a", "b"]
        .map(|endpoint| Counted { owed: Owed { ordered: true, ..owed(endpoint, 0) }, ..repeated(endpoint, "t", 0) });
    let variants = vec![Bytes::from_static(b"plain")];
    let event = NewEvent { variants, counted: counted.to_vec(), ..emitted("t", vec![other], 0) };
    let (id, headers) = (event.id, event.message.headers.clone());
    subject.store.accept(event).await.expect("an answer");
    assert_eq!(subject.bodies("plain").await, ["plain"]);
    let leased = subject.other.lease(vec![room("a", 9)], wall(0), LEASE).await.expect("leases").remove(0);
    assert_eq!(
        (leased.id, &leased.message.body[..], leased.message.headers),
        (counted[0].owed.id, &b"t 1 "[..], headers)
    );
    assert_eq!((leased.kind.as_deref(), leased.possible_duplicate), (Some("t"), false));
    assert_eq!(subject.bodies("b").await, ["t 1 "]);
    assert_eq!(subject.store.add_body(id, Bytes::from_static(b"x")).await, Ok(Some(3)), "equal bodies are one");
    let row = subject.store.sent_delivery("a", leased.id).await.expect("an answer").expect("it").row;
    assert_eq!((row.variant, &row.body[..]), (2, &b"t 1 "[..]));
}

async fn what_is_not_kept_is_not_counted(subject: Subject) {
    subject.change(change(0, vec![record("e", Some("1"))])).await;
    let given = |version, remember| {
        let event = NewEvent { remember, ..occurrence("t", 0) };
        Batch { directory: Some(version), ..batch(vec![event]) }
    };
    assert_eq!(subject.store.keep(given(0, None)).await, Ok(BatchOutcome::Outdated));
    assert_eq!(subject.store.keep(given(1, remember("x", 7))).await, Ok(BatchOutcome::Kept(vec![Accepted::New])));
    let duplicate = Accepted::Duplicate { conflict: false };
    for _ in 0..20 {
        let again = subject.other.keep(given(1, remember("x", 7))).await;
        assert_eq!(again, Ok(BatchOutcome::Kept(vec![duplicate])));
    }
    let answered = Batch { idempotent: idempotent(1, 1), ..given(1, None) };
    subject.store.keep(answered.clone()).await.expect("an answer");
    for _ in 0..20 {
        assert_eq!(subject.other.keep(answered.clone()).await, Ok(BatchOutcome::Replayed(replayed(1))));
    }
    assert_eq!(subject.bodies("a").await, ["t 1 "]);
    assert_eq!(subject.told((0..7).map(|at| occurrence("t", at)).collect()).await, [""; 0], "that was the ninth");
    assert_eq!(subject.told(vec![occurrence("t", 8)]).await, ["t 10 "]);
}

/// Batches count several at once, in orders that differ.
async fn nodes_never_skip_or_repeat_a_number(subject: Subject) {
    const KEEPS: i64 = 100;
    let keeping = (0..KEEPS).map(|n| {
        let store = if n % 2 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
        let mut events: Vec<NewEvent> = ["t", "u", "t", "v", "t"].map(|of| occurrence(of, n)).to_vec();
        let mut counted: Vec<Counted> = ["c", "b", "a"].map(|endpoint| repeated(endpoint, "w", n)).to_vec();
        if n % 3 == 0 {
            counted.reverse();
            events.reverse();
        }
        events.push(NewEvent { counted, ..emitted("t", Vec::new(), n) });
        tokio::spawn(async move { store.keep(batch(events)).await })
    });
    for keeping in keeping.collect::<Vec<_>>() {
        assert_eq!(keeping.await.expect("no panic"), Ok(BatchOutcome::Kept(vec![Accepted::New; 6])));
    }
    let mut told = subject.bodies("a").await;
    told.sort_unstable();
    let mut wanted = vec!["t 1 ", "t 10 ", "t 100 "];
    for of in [["u 1 ", "u 10 ", "u 100 "], ["v 1 ", "v 10 ", "v 100 "], ["w 1 ", "w 10 ", "w 100 "]] {
        wanted.extend(of);
    }
    assert_eq!(told, wanted);
    assert_eq!(subject.bodies("c").await.len(), 3);
    // Of t there were 300, of the others 100: so no number was skipped, up to the next that is told.
    let more = (0..699).map(|_| occurrence("t", KEEPS)).chain((0..900).map(|_| occurrence("u", KEEPS)));
    subject.store.keep(batch(more.collect())).await.expect("an answer");
    assert_eq!(subject.bodies("a").await, ["u 1000 "]);
    assert_eq!(subject.told(vec![occurrence("t", KEEPS)]).await, ["t 1000 "]);
}

/// A minute after it is over, since the clocks of nodes differ.
async fn a_window_that_is_over_is_swept(subject: Subject) {
    let nine = |of: &'static str, at| (0..9).map(move |_| occurrence(of, at)).collect();
    let purge = async |at| subject.store.purge(wall(at), Duration::from_secs(3600), 9).await.expect("an answer");
    assert_eq!(subject.told(nine("t", 0)).await, ["t 1 "]);
    assert_eq!(subject.told(nine("u", SECOND)).await, ["u 1 "]);
    purge(WINDOW + 60 * SECOND - 1).await;
    assert_eq!(subject.told(vec![occurrence("t", 5)]).await, ["t 10 "], "whoever is late finds it");
    purge(WINDOW + 60 * SECOND).await;
    assert_eq!(subject.told(vec![occurrence("t", 5), occurrence("u", 5)]).await, ["t 1 ", "u 10 "]);
}

async fn what_is_forgotten_is_counted_anew(subject: Subject) {
    let both = |at| NewEvent {
        counted: ["a", "b"].map(|endpoint| repeated(endpoint, "t", at)).to_vec(),
        ..emitted("t", Vec::new(), at)
    };
    for at in 0..9 {
        subject.store.accept(both(at)).await.expect("an answer");
    }
    assert_eq!((subject.bodies("a").await.len(), subject.bodies("b").await.len()), (1, 1));
    for (health, version) in [(Health::Warned, 0), (Health::Cleared, 0)] {
        let health = vec![("a".into(), health), ("b".into(), health)];
        subject.change(Change { health, ..Change::new(version, wall(9)) }).await;
    }
    let deleted = Change { health: vec![("b".into(), Health::Forgotten)], ..change(0, vec![record("b", None)]) };
    assert_eq!(subject.change(deleted).await, Changed::Done { version: 1 });
    subject.store.accept(both(10)).await.expect("an answer");
    assert_eq!(
        (subject.bodies("a").await, subject.bodies("b").await),
        (vec!["t 10 ".to_owned()], vec!["t 1 ".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_when_the_file_is_opened_again() {
    let Subject { store, other, _folder: folder } = Subject::sqlite().await;
    let subject = Subject { store, other, _folder: None };
    assert_eq!(subject.told((0..9).map(|at| occurrence("t", at)).collect()).await, ["t 1 "]);
    drop(subject);
    let folder = folder.expect("a file");
    let database = Sqlite::open(&folder.path().join("hookward.db")).expect("nobody has it");
    let store = Arc::new(Store::Sqlite(SqliteStore::new(database)));
    let again = Subject { other: Arc::clone(&store), store, _folder: Some(folder) };
    // What was leased is due again with the start.
    assert_eq!(again.told(vec![occurrence("t", 9)]).await, ["t 1 ", "t 10 "]);
}

on_every_store! {
    the_first_tenth_and_hundredth_are_told
    a_window_begins_with_its_first
    a_window_may_end_within_a_batch
    each_is_counted_for_itself
    it_has_a_body_beside_the_others
    what_is_not_kept_is_not_counted
    nodes_never_skip_or_repeat_a_number
    a_window_that_is_over_is_swept
    what_is_forgotten_is_counted_anew
}
