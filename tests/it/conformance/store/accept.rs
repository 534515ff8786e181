//! What is accepted is kept, once.

use super::*;

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

on_every_store! {
    an_event_comes_back_as_it_was_accepted
    a_known_event_is_kept_once
    an_event_is_remembered_until_its_time_is_over
    of_copies_at_once_one_is_kept
}
