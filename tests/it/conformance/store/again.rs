//! What is delivered once more.

use super::*;

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

on_every_store! {
    what_is_dead_or_waits_can_be_retried
    a_replay_is_a_delivery_of_its_own
}
