//! What goes, and what stays.

use super::*;

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

async fn bodies_answers_and_old_numbers_go_too(subject: Subject) {
    let (done, skipped) = (Owed { variant: 1, ..owed("a", 0) }, Owed { begin: Begin::Skipped("x"), ..owed("b", 0) });
    let variants = vec![Bytes::from_static(b"other")];
    let event = NewEvent { variants, ..emitted("t", vec![done, skipped], 0) };
    let id = event.id;
    let kept = Batch { idempotent: idempotent(1, 1), ..batch(vec![event]) };
    subject.store.keep(kept).await.expect("an answer");
    subject.attempt("a", Verdict::Delivered, attempt(Some(200), 0)).await;
    let purge = async |at| {
        let mut gone = 0;
        // Answers go a part at a time.
        for _ in 0..256 {
            gone += subject.store.purge(wall(at), Duration::from_secs(60), 9).await.expect("an answer");
        }
        gone
    };
    assert_eq!(purge(HOUR - 1).await, 1);
    assert_eq!(subject.store.event(id).await, Ok(None));
    assert_eq!(subject.store.check().await, Ok(Vec::new()), "no body without its event");
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(Some(replayed(1))));
    assert_eq!(purge(HOUR).await, 0);
    assert_eq!(subject.store.answered([1; 16], wall(0)).await, Ok(None), "its time is over");
    let days = |n: i64| n * 24 * HOUR;
    assert_eq!(purge(days(400)).await, 0);
    assert_eq!(subject.tally("a", None).await.map(|tally| tally.delivered), Some(1));
    assert_eq!(purge(days(401)).await, 0);
    assert_eq!(subject.tally("a", None).await, None);
}

on_every_store! {
    only_what_is_settled_and_old_is_purged
    what_is_forgotten_may_come_again
    bodies_answers_and_old_numbers_go_too
}
