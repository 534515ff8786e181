//! What customers registered, and what follows from a change of it.

use super::*;

async fn records(subject: &Subject, since: i64) -> Records {
    subject.other.records(since).await.expect("an answer")
}

async fn a_new_store_has_no_directory(subject: Subject) {
    assert_eq!(records(&subject, 0).await, Records { version: 0, changed: Vec::new() });
    assert_eq!(subject.failing().await, []);
}

async fn what_was_changed_since_is_told(subject: Subject) {
    let account = Record { kind: RecordKind::Account, ..record("x", Some("{}")) };
    let first = change(0, vec![account.clone(), record("x", Some("1")), record("y", Some("1"))]);
    assert_eq!(subject.change(first).await, Changed::Done { version: 1 });
    assert_eq!(subject.change(change(1, vec![record("x", Some("2"))])).await, Changed::Done { version: 2 });
    assert_eq!(subject.change(change(2, vec![record("y", None)])).await, Changed::Done { version: 3 });
    let changed = vec![account, record("x", Some("2")), record("y", None)];
    assert_eq!(records(&subject, 0).await, Records { version: 3, changed: changed.clone() }, "each as it is now");
    assert_eq!(records(&subject, 1).await, Records { version: 3, changed: changed[1..].to_vec() });
    assert_eq!(records(&subject, 3).await, Records { version: 3, changed: Vec::new() });
    assert_eq!(subject.change(change(3, vec![record("y", Some("3"))])).await, Changed::Done { version: 4 });
    assert_eq!(records(&subject, 3).await.changed, [record("y", Some("3"))], "a name may be used again");
}

async fn a_change_on_an_old_version_is_refused(subject: Subject) {
    subject.emit_to("a", 0).await;
    subject.change(change(0, vec![record("x", Some("1"))])).await;
    for version in [0, 2] {
        let late = Change {
            cancel: vec![("a".into(), "deleted")],
            events: vec![emitted("t", vec![owed("b", 0)], 0)],
            idempotent: idempotent(1, 1),
            ..change(version, vec![record("x", Some("2"))])
        };
        assert_eq!(subject.change(late).await, Changed::Outdated);
    }
    assert_eq!(records(&subject, 0).await, Records { version: 1, changed: vec![record("x", Some("1"))] });
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(None));
    assert_eq!(
        (subject.lease("a", 1, 0).await.len(), subject.lease("b", 1, 0).await.len()),
        (1, 0),
        "nothing was done"
    );
    let nothing = Change::new(0, wall(0));
    assert_eq!(subject.change(nothing).await, Changed::Outdated, "also where no document changes");
    assert_eq!(subject.change(Change::new(1, wall(0))).await, Changed::Done { version: 1 });
}

async fn of_changes_at_once_one_is_done(subject: Subject) {
    for version in 0..5 {
        let changes = ["p", "q", "r", "s"].into_iter().enumerate().map(|(n, name)| {
            let store = if n % 2 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
            tokio::spawn(async move { store.change(change(version, vec![record(name, Some("1"))])).await })
        });
        let mut done = 0;
        for change in changes.collect::<Vec<_>>() {
            match change.await.expect("no panic").expect("an answer") {
                Changed::Done { version: now } => {
                    assert_eq!(now, version + 1);
                    done += 1;
                }
                refused => assert_eq!(refused, Changed::Outdated),
            }
        }
        assert_eq!((done, records(&subject, version).await.changed.len()), (1, 1));
    }
}

/// Whatever is kept by a version of the directory is there before the next one is, and can be cancelled by it.
async fn nothing_is_kept_by_a_version_that_is_gone(subject: Subject) {
    for version in 0..20 {
        let at = 100 * version;
        let keeping = (0..6).map(|n| {
            let store = if n % 2 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
            let events = vec![emitted("t", vec![owed("a", at + n)], at + n)];
            tokio::spawn(async move { store.keep(Batch { directory: Some(version), ..batch(events) }).await })
        });
        let keeping: Vec<_> = keeping.collect();
        let cancel = vec![("a".into(), "deleted")];
        let deleting = Change { cancel, ..change(version, vec![record("a", None)]) };
        assert_eq!(subject.change(deleting).await, Changed::Done { version: version + 1 });
        for keeping in keeping {
            let kept = keeping.await.expect("no panic").expect("an answer");
            assert!(matches!(kept, BatchOutcome::Kept(_) | BatchOutcome::Outdated), "{kept:?}");
        }
        assert!(subject.lease("a", 99, HOUR).await.is_empty(), "nothing is left for what was deleted");
    }
}

async fn a_change_is_answered_once(subject: Subject) {
    let given = |version, request| Change {
        idempotent: idempotent(1, request),
        ..change(version, vec![record("x", Some("1"))])
    };
    assert_eq!(subject.change(given(0, 1)).await, Changed::Done { version: 1 });
    assert_eq!(subject.change(given(1, 1)).await, Changed::Replayed(replayed(1)));
    assert_eq!(subject.change(given(0, 2)).await, Changed::Replayed(replayed(1)), "before anything else is looked at");
    assert_eq!(records(&subject, 0).await.version, 1);
    let again = Batch { idempotent: idempotent(1, 3), ..batch(vec![emitted("t", Vec::new(), 0)]) };
    assert_eq!(subject.other.keep(again).await, Ok(BatchOutcome::Replayed(replayed(1))), "whatever else has its key");
}

async fn what_is_cancelled_is_never_leased(subject: Subject) {
    let (waiting, leased, other) =
        (subject.emit_to("a", 0).await, subject.emit_to("a", 1).await, subject.emit_to("b", 2).await);
    let delivered = subject.emit_to("a", -1).await;
    subject.attempt("a", Verdict::Delivered, attempt(Some(200), 0)).await;
    subject.attempt("a", again(5 * SECOND), attempt(Some(500), 0)).await;
    let under_way = subject.lease("a", 1, SECOND).await.remove(0);
    assert_eq!(under_way.id, leased);
    let cancel = vec![("a".into(), "deleted"), ("c".into(), "deleted")];
    let at = wall(2 * SECOND);
    assert_eq!(subject.change(Change { cancel, ..Change::new(0, at) }).await, Changed::Done { version: 0 });
    let row = subject.store.sent_delivery("a", waiting).await.expect("an answer").expect("it").row;
    assert_eq!((row.state, row.reason.as_deref(), row.at), (State::Cancelled, Some("deleted"), at));
    assert!(subject.lease("a", 9, HOUR).await.is_empty());
    assert_eq!(subject.store.due_now(waiting, "a", wall(HOUR)).await, Ok(false));
    assert_eq!(subject.store.retry(vec![waiting], wall(HOUR)).await, Ok(Vec::new()));
    let states = [subject.state(leased).await, subject.state(other).await, subject.state(delivered).await];
    assert_eq!(states, [State::Leased, State::Waiting, State::Delivered], "only what waits, and only for a");
    assert!(subject.settle(&under_way, again(HOUR), HOUR).await, "it settles as ever");
    assert_eq!(subject.lease("a", 9, HOUR).await.len(), 1);
    assert_eq!(subject.store.stats().await.map(|stats| stats.cancelled), Ok(1));
    let listed = DeliveryFilter { state: Some(State::Cancelled), limit: 9, ..DeliveryFilter::default() };
    let listed = subject.store.deliveries(listed).await.expect("a page").data;
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [waiting]);
}

async fn health_is_warned_of_cleared_and_forgotten(subject: Subject) {
    for (n, endpoint) in ["a", "b", "c"].into_iter().enumerate() {
        let at = i64::try_from(n).expect("a few");
        subject.emit_to(endpoint, at).await;
        subject.attempt(endpoint, DEAD, attempt(Some(500), SECOND + at)).await;
    }
    let health = vec![
        ("a".into(), Health::Warned),
        ("b".into(), Health::Cleared),
        ("c".into(), Health::Forgotten),
        ("d".into(), Health::Warned),
    ];
    assert_eq!(subject.change(Change { health, ..Change::new(0, wall(0)) }).await, Changed::Done { version: 0 });
    let failing = subject.failing().await;
    assert_eq!(failing.iter().map(|of| (&*of.endpoint, of.warned)).collect::<Vec<_>>(), [("a", true)]);
    let dead = async |endpoint| subject.tally(endpoint, None).await.map(|tally| tally.dead);
    assert_eq!([dead("a").await, dead("b").await, dead("c").await], [Some(1), Some(1), None]);
    subject.emit_to("a", 9).await;
    subject.attempt("a", DEAD, attempt(Some(500), 2 * SECOND)).await;
    assert!(subject.failing().await[0].warned, "until it takes something");
}

async fn what_is_to_be_told_is_kept_with_the_change(subject: Subject) {
    let events = vec![emitted("webhook.disabled", vec![owed("a", 0)], 0)];
    let told = Change { events, ..change(0, vec![record("x", Some("1"))]) };
    assert_eq!(subject.change(told).await, Changed::Done { version: 1 });
    assert_eq!(subject.lease("a", 9, 0).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_there_when_the_file_is_opened_again() {
    let Subject { store, other, _folder: folder } = Subject::sqlite().await;
    let subject = Subject { store, other, _folder: None };
    let given = Change { idempotent: idempotent(1, 1), ..change(0, vec![record("x", Some("1"))]) };
    subject.change(given).await;
    subject.emit_to("a", 0).await;
    subject.attempt("a", DEAD, attempt(Some(500), SECOND)).await;
    drop(subject);
    let folder = folder.expect("a file");
    let database = Sqlite::open(&folder.path().join("hookward.db")).expect("nobody has it");
    let store = Arc::new(Store::Sqlite(SqliteStore::new(database)));
    let again = Subject { other: Arc::clone(&store), store, _folder: Some(folder) };
    assert_eq!(records(&again, 0).await, Records { version: 1, changed: vec![record("x", Some("1"))] });
    assert_eq!(again.store.answered([1; 16], wall(0)).await, Ok(Some(replayed(1))));
    assert_eq!((again.failing().await.len(), again.tally("a", None).await.map(|tally| tally.dead)), (1, Some(1)));
}

on_every_store! {
    a_new_store_has_no_directory
    what_was_changed_since_is_told
    a_change_on_an_old_version_is_refused
    of_changes_at_once_one_is_done
    nothing_is_kept_by_a_version_that_is_gone
    a_change_is_answered_once
    what_is_cancelled_is_never_leased
    health_is_warned_of_cleared_and_forgotten
    what_is_to_be_told_is_kept_with_the_change
}
