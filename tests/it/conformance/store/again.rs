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

async fn a_replay_has_the_body_that_each_had(subject: Subject) {
    let variants = vec![Bytes::from_static(b"other")];
    let had = vec![owed("a", 0), Owed { variant: 1, ..owed("b", 0) }];
    let event = NewEvent { variants, ..emitted("t", had, 0) };
    let (known, own) = (event.id, event.message.body.clone());
    subject.store.accept(event).await.expect("an answer");
    for name in ["a", "b"] {
        let leased = subject.lease(name, 1, 0).await.remove(0);
        subject.settle(&leased, Verdict::Delivered, 0).await;
    }
    let to = ["a", "b", "c"].map(Arc::from).to_vec();
    subject.store.replay(known, to, wall(HOUR)).await.expect("an answer").expect("the event");
    for (name, body) in [("a", &own[..]), ("b", b"other"), ("c", &own[..])] {
        assert_eq!(subject.lease(name, 9, HOUR).await[0].message.body, body, "{name}");
    }
}

async fn an_event_is_owed_anew(subject: Subject) {
    let variants = vec![Bytes::from_static(b"other")];
    let event = NewEvent { variants, ..emitted("invoice.paid", vec![owed("a", 0)], 0) };
    let known = event.id;
    subject.store.accept(event).await.expect("an answer");
    let resent = Owed { variant: 1, trigger: Trigger::Resend, ..owed("b", SECOND) };
    let skipped = Owed { begin: Begin::Skipped("disabled"), ..owed("b", SECOND) };
    let asked = vec![(known, resent.clone()), (Id::new(wall(0)), owed("b", SECOND)), (known, skipped.clone())];
    assert_eq!(subject.store.owe(asked, wall(SECOND), None).await, Ok(Owing::Done(vec![true, false, true])));
    let leased = subject.lease("b", 9, SECOND).await;
    assert_eq!(leased.len(), 1);
    assert_eq!((leased[0].id, leased[0].event, &leased[0].message.body[..]), (resent.id, known, &b"other"[..]));
    assert_eq!((leased[0].kind.as_deref(), leased[0].created_at), (Some("invoice.paid"), wall(SECOND)));
    assert!(leased[0].possible_duplicate);
    let row = subject.store.sent_delivery("b", resent.id).await.expect("an answer").expect("it").row;
    assert_eq!((row.trigger, row.state), (Trigger::Resend, State::Leased));
    assert_eq!(subject.state(skipped.id).await, State::Skipped);
}

async fn what_is_owed_anew_is_answered_once(subject: Subject) {
    let event = subject.emit(Vec::new(), 0).await;
    let owe = async |event, request| {
        subject.other.owe(vec![(event, owed("a", 0))], wall(0), idempotent(1, request)).await.expect("an answer")
    };
    assert_eq!(owe(Id::new(wall(0)), 1).await, Owing::Done(vec![false]));
    assert_eq!(owe(event, 2).await, Owing::Done(vec![true]), "what came to nothing was not answered");
    assert_eq!(owe(event, 3).await, Owing::Replayed(replayed(2)));
    assert_eq!(subject.lease("a", 9, 0).await.len(), 1);
    assert_eq!(subject.store.owe(Vec::new(), wall(0), idempotent(2, 1)).await, Ok(Owing::Done(Vec::new())));
}

async fn what_waits_can_be_made_due(subject: Subject) {
    let id = subject.emit_to("a", 0).await;
    let due_now = async |endpoint, at| subject.other.due_now(id, endpoint, wall(at)).await.expect("an answer");
    subject.attempt("a", again(HOUR), attempt(Some(500), SECOND)).await;
    assert!(!due_now("b", 2 * SECOND).await, "it is not b's");
    assert!(subject.lease("a", 1, 2 * SECOND).await.is_empty());
    assert!(due_now("a", 2 * SECOND).await);
    let leased = subject.lease("a", 1, 2 * SECOND).await.remove(0);
    assert_eq!((leased.attempts, leased.signed_at, leased.created_at), (1, wall(SECOND), wall(0)), "as they are");
    assert!(!due_now("a", 3 * SECOND).await, "it is leased");
    subject.settle(&leased, DEAD, 3 * SECOND).await;
    assert!(!due_now("a", 4 * SECOND).await, "it is dead");
}

on_every_store! {
    what_is_dead_or_waits_can_be_retried
    a_replay_is_a_delivery_of_its_own
    a_replay_has_the_body_that_each_had
    an_event_is_owed_anew
    what_is_owed_anew_is_answered_once
    what_waits_can_be_made_due
}
