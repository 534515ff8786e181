//! Batches, of our own events: all of one or nothing.

use super::*;

async fn a_batch_is_kept_with_its_bodies(subject: Subject) {
    let other = Owed { variant: 2, trigger: Trigger::Test, ..owed("b", 0) };
    let variants = vec![Bytes::from_static(b"first"), Bytes::from_static(b"second")];
    let first = NewEvent { variants, ..emitted("invoice.paid", vec![owed("a", 0), other], 0) };
    let second = emitted("invoice.due", vec![owed("a", 1)], 1);
    let kept = subject.store.keep(batch(vec![first.clone(), second])).await;
    assert_eq!(kept, Ok(BatchOutcome::Kept(vec![Accepted::New, Accepted::New])));
    let a = subject.lease("a", 5, SECOND).await;
    assert_eq!(a.len(), 2);
    let of_first = a.iter().find(|leased| leased.event == first.id).expect("it");
    assert_eq!((of_first.event_id.as_deref(), of_first.kind.as_deref()), (Some("evt_0"), Some("invoice.paid")));
    assert_eq!(of_first.message, first.message);
    let b = subject.lease("b", 5, SECOND).await.remove(0);
    assert_eq!((&b.message.body[..], &b.message.headers), (&b"second"[..], &first.message.headers));
}

async fn what_is_not_ours_has_no_kind(subject: Subject) {
    subject.owe("a", 0).await;
    let leased = subject.lease("a", 1, 0).await.remove(0);
    assert_eq!((leased.event_id.as_deref(), leased.kind), (Some("evt_0"), None));
}

async fn a_batch_by_an_old_directory_is_refused(subject: Subject) {
    let given = |version| Batch {
        directory: Some(version),
        idempotent: idempotent(1, 1),
        ..batch(vec![NewEvent { remember: remember("x", 7), ..emitted("t", vec![owed("a", 0)], 0) }])
    };
    subject.change(change(0, vec![record("e", Some("1"))])).await;
    assert_eq!(subject.other.keep(given(0)).await, Ok(BatchOutcome::Outdated));
    assert!(subject.lease("a", 1, SECOND).await.is_empty(), "nothing of it was kept");
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(None));
    assert_eq!(subject.other.keep(given(1)).await, Ok(BatchOutcome::Kept(vec![Accepted::New])));
}

async fn a_request_is_answered_once(subject: Subject) {
    let keep = async |request, at| {
        let events = vec![emitted("t", vec![owed("a", at)], at)];
        let idempotent = idempotent(1, request).map(|known| Idempotent { until: wall(at + HOUR), ..known });
        subject.store.keep(Batch { idempotent, ..batch(events) }).await.expect("an answer")
    };
    let new = BatchOutcome::Kept(vec![Accepted::New]);
    assert_eq!(keep(1, 0).await, new);
    assert_eq!(keep(1, 1).await, BatchOutcome::Replayed(replayed(1)));
    assert_eq!(keep(2, HOUR - 1).await, BatchOutcome::Replayed(replayed(1)), "whoever asks compares the digests");
    assert_eq!(subject.other.answered([1; 16], wall(HOUR - 1)).await, Ok(Some(replayed(1))));
    assert_eq!(subject.other.answered([2; 16], wall(0)).await, Ok(None));
    assert_eq!(subject.lease("a", 9, HOUR).await.len(), 1);
    assert_eq!(subject.store.answered([1; 16], wall(HOUR)).await, Ok(None), "its time is over");
    assert_eq!(keep(2, HOUR).await, new);
    assert_eq!(subject.store.answered([1; 16], wall(HOUR)).await, Ok(Some(replayed(2))));
}

async fn of_requests_at_once_one_is_kept(subject: Subject) {
    let requests = (0..40).map(|n: u8| {
        let store = if n.is_multiple_of(2) { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
        let events = vec![emitted("t", vec![owed("a", n.into())], n.into())];
        // Two keys, so that neither has a group for itself.
        let batch = Batch { idempotent: idempotent(n / 2 % 2, n), ..batch(events) };
        tokio::spawn(async move { (n, store.keep(batch).await.expect("an answer")) })
    });
    let (mut kept, mut answers) = (Vec::new(), Vec::new());
    for request in requests.collect::<Vec<_>>() {
        match request.await.expect("no panic") {
            (n, BatchOutcome::Kept(_)) => kept.push(n),
            (n, BatchOutcome::Replayed(replayed)) => answers.push((n, replayed)),
            (_, BatchOutcome::Outdated) => panic!("there is no directory"),
        }
    }
    assert_eq!((kept.len(), subject.lease("a", 100, SECOND).await.len()), (2, 2));
    let answer_to = |n: u8| kept.iter().find(|kept| *kept / 2 % 2 == n / 2 % 2).map(|kept| replayed(*kept));
    assert!(answers.iter().all(|(n, replayed)| Some(replayed) == answer_to(*n).as_ref()), "{answers:?}");
}

async fn what_came_to_nothing_is_not_answered(subject: Subject) {
    let copy = || NewEvent { remember: remember("x", 7), ..emitted("t", vec![owed("a", 0)], 0) };
    let duplicate = Accepted::Duplicate { conflict: false };
    subject.store.accept(copy()).await.expect("an answer");
    let given = Batch { idempotent: idempotent(1, 1), ..batch(vec![copy()]) };
    assert_eq!(subject.store.keep(given).await, Ok(BatchOutcome::Kept(vec![duplicate])));
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(None));
    let with_another = Batch { idempotent: idempotent(1, 2), ..batch(vec![copy(), emitted("t", vec![], 1)]) };
    assert_eq!(subject.store.keep(with_another).await, Ok(BatchOutcome::Kept(vec![duplicate, Accepted::New])));
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(None), "it would say that both are new");
    let new = Batch { idempotent: idempotent(1, 3), ..batch(vec![emitted("t", vec![], 1)]) };
    assert_eq!(subject.store.keep(new).await, Ok(BatchOutcome::Kept(vec![Accepted::New])));
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(Some(replayed(3))));
}

async fn a_copy_within_a_batch_is_a_duplicate(subject: Subject) {
    let copy = |fingerprint, at| {
        let remember = remember("x", fingerprint);
        NewEvent { remember, ..emitted("t", vec![owed("a", at)], at) }
    };
    let given = batch(vec![copy(7, 0), emitted("t", vec![owed("a", 1)], 1), copy(7, 2)]);
    let outcomes = vec![Accepted::New, Accepted::New, Accepted::Duplicate { conflict: false }];
    assert_eq!(subject.store.keep(given).await, Ok(BatchOutcome::Kept(outcomes)));
    assert_eq!(subject.lease("a", 9, SECOND).await.len(), 2);
}

async fn a_batch_may_be_larger_than_a_group(subject: Subject) {
    let events = (0..1500).map(|at| emitted("t", vec![owed("a", at)], at)).collect();
    let empty = subject.store.keep(batch(Vec::new()));
    let (large, empty) = tokio::join!(subject.store.keep(batch(events)), empty);
    assert_eq!(large, Ok(BatchOutcome::Kept(vec![Accepted::New; 1500])));
    assert_eq!(empty, Ok(BatchOutcome::Kept(Vec::new())));
    assert_eq!(subject.lease("a", 9999, HOUR).await.len(), 1500);
}

async fn what_is_skipped_is_never_leased(subject: Subject) {
    let skipped = Owed { begin: Begin::Skipped("disabled"), ..owed("a", 0) };
    let id = skipped.id;
    subject.emit(vec![skipped], 0).await;
    assert_eq!(subject.waiting(HOUR).await, []);
    assert!(subject.lease("a", 1, HOUR).await.is_empty());
    assert_eq!(subject.store.retry(vec![id], wall(HOUR)).await, Ok(Vec::new()));
    assert_eq!(subject.state(id).await, State::Skipped);
    let row = subject.store.sent_delivery("a", id).await.expect("an answer").expect("it stands in the log").row;
    assert_eq!((row.reason.as_deref(), row.at, row.attempts), (Some("disabled"), wall(0), 0));
    assert_eq!(subject.store.stats().await.map(|stats| (stats.skipped, stats.waiting)), Ok((1, 0)));
}

/// Also where nobody has looked yet, and the leases of the dead are still to end.
async fn what_begins_leased_is_ours_until_its_lease_ends(subject: Subject) {
    let ours = |at| Owed { begin: Begin::Leased { token: 5, until: wall(at + 30 * SECOND) }, ..owed("a", at) };
    let (first, second) = (ours(0), ours(1));
    subject.emit(vec![first.clone()], 0).await;
    subject.emit(vec![second.clone()], 1).await;
    assert_eq!(subject.waiting(SECOND).await, []);
    assert!(subject.lease("a", 9, SECOND).await.is_empty());
    let settled = Settlement {
        id: first.id,
        token: 5,
        verdict: again(HOUR),
        attempt: attempt(Some(500), SECOND),
        endpoint: None,
    };
    assert_eq!(subject.store.settle(settled).await, Ok(true));
    subject.waiting(31 * SECOND).await;
    let leased = subject.lease("a", 9, 31 * SECOND).await.remove(0);
    assert_eq!((leased.id, leased.possible_duplicate, leased.signed_at), (second.id, true, wall(1)));
    let leased = subject.lease("a", 9, HOUR).await.remove(0);
    assert_eq!((leased.id, leased.signed_at), (first.id, wall(0)), "it was leased from the beginning");
}

on_every_store! {
    a_batch_is_kept_with_its_bodies
    what_is_not_ours_has_no_kind
    a_batch_by_an_old_directory_is_refused
    a_request_is_answered_once
    of_requests_at_once_one_is_kept
    what_came_to_nothing_is_not_answered
    a_copy_within_a_batch_is_a_duplicate
    a_batch_may_be_larger_than_a_group
    what_is_skipped_is_never_leased
    what_begins_leased_is_ours_until_its_lease_ends
}
