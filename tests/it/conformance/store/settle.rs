//! What became of a lease.

use super::*;

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

on_every_store! {
    of_a_lease_that_ended_only_a_success_counts
    a_failed_attempt_is_due_again_when_it_says
    an_attempt_that_is_ours_does_not_count
}
