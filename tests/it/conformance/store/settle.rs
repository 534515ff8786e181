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

async fn what_it_was_signed_at_stays(subject: Subject) {
    let (_, id) = subject.owe("a", 0).await;
    for at in [5, 60] {
        let leased = subject.lease("a", 1, at * SECOND).await.remove(0);
        assert_eq!((leased.signed_at, leased.created_at), (wall(5 * SECOND), wall(0)));
        assert!(subject.settle(&leased, if at == 60 { DEAD } else { again(60 * SECOND) }, at * SECOND).await);
    }
    assert_eq!(subject.store.retry(vec![id], wall(HOUR)).await, Ok(vec![id]));
    let leased = subject.lease("a", 1, HOUR).await.remove(0);
    assert_eq!(leased.signed_at, wall(HOUR), "all attempts before it");
}

async fn a_dead_letter_says_why(subject: Subject) {
    let id = subject.emit_to("a", 0).await;
    let reason = async || subject.store.sent_delivery("a", id).await.expect("an answer").expect("it").row.reason;
    let exchange = Some(Bytes::from_static(b"{\"request\": 1}"));
    let failed = Attempt { exchange: exchange.clone(), ..attempt(Some(500), SECOND) };
    subject.attempt("a", again(SECOND), failed).await;
    assert_eq!(reason().await, None);
    let expired = Verdict::Dead { possible_duplicate: false, reason: "expired", consequence: Consequence::Fail };
    subject.attempt("a", expired, attempt(None, 2 * SECOND)).await;
    assert_eq!(reason().await.as_deref(), Some("expired"));
    let detail = subject.store.sent_delivery("a", id).await.expect("an answer").expect("it");
    let exchanges: Vec<_> = detail.attempts.iter().map(|(row, exchange)| (row.status, exchange.clone())).collect();
    assert_eq!(exchanges, [(Some(500), exchange), (None, None)]);
    subject.store.retry(vec![id], wall(HOUR)).await.expect("an answer");
    assert_eq!(reason().await, None);
}

async fn an_endpoint_fails_until_it_takes_something(subject: Subject) {
    for at in 0..4 {
        subject.emit_to("a", at).await;
    }
    assert_eq!(subject.failing().await, []);
    subject.attempt("a", again(HOUR), attempt(Some(500), SECOND)).await;
    let other = Subject { store: Arc::clone(&subject.other), other: Arc::clone(&subject.store), _folder: None };
    let last = other.attempt("a", DEAD, attempt(None, 5 * SECOND)).await;
    let wanted = Failing {
        endpoint: "a".into(),
        since: wall(SECOND),
        last_at: wall(5 * SECOND + 7),
        attempts: 2,
        last_status: None,
        last_error: Some("no answer".into()),
        last_event: last.event,
        gone: false,
        exhausted: false,
        warned: false,
    };
    assert_eq!(subject.failing().await, [wanted]);
    subject.attempt("a", Verdict::Delivered, attempt(Some(200), 6 * SECOND)).await;
    assert_eq!(subject.failing().await, []);
    // Not every provider takes 410 for an end: then it is tried again.
    subject.attempt("a", again(HOUR), attempt(Some(410), 7 * SECOND)).await;
    let failing = subject.failing().await;
    assert_eq!(
        (failing[0].since, failing[0].attempts, failing[0].gone),
        (wall(7 * SECOND), 1, false),
        "it begins anew"
    );
}

async fn who_is_gone_stays_so(subject: Subject) {
    let gone = Verdict::Dead { possible_duplicate: false, reason: "gone", consequence: Consequence::Fail };
    for (at, status, verdict) in [(0, 410, gone), (1, 500, again(HOUR))] {
        subject.emit_to("a", at).await;
        subject.attempt("a", verdict, attempt(Some(status), SECOND + at)).await;
    }
    let failing = subject.failing().await;
    assert_eq!((failing[0].gone, failing[0].last_status, failing[0].attempts), (true, Some(500), 2));
}

async fn what_is_cancelled_once_it_is_used_up_has_failed(subject: Subject) {
    let id = subject.emit_to("a", 0).await;
    subject.attempt("a", again(SECOND), attempt(Some(500), 0)).await;
    let leased = subject.attempt("a", used_up(Consequence::Cancel), attempt(Some(500), SECOND)).await;
    let row = subject.store.delivery(id).await.expect("an answer").expect("a delivery").row;
    assert_eq!((row.state, row.reason.as_deref(), row.attempts), (State::Cancelled, Some("exhausted"), 2));
    assert_eq!((row.at, row.last_status), (wall(SECOND + 7), Some(500)));
    assert_eq!(subject.tally("a", None).await.map(|tally| (tally.dead, tally.delivered)), Some((1, 0)));
    let failing = subject.failing().await.remove(0);
    assert_eq!((failing.attempts, failing.exhausted), (2, false));
    assert!(subject.lease("a", 9, HOUR).await.is_empty());
    assert!(!subject.settle(&leased, DEAD, 2 * SECOND).await, "its lease is over");
    assert_eq!(subject.store.retry(vec![id], wall(HOUR)).await, Ok(Vec::new()));
    let stats = subject.store.stats().await.expect("an answer");
    assert_eq!((stats.cancelled, stats.dead), (1, 0));
}

async fn an_endpoint_that_is_ended_is_remembered_until_it_takes_something(subject: Subject) {
    for at in 0..4 {
        subject.emit_to("a", at).await;
    }
    let ended = async || subject.failing().await.iter().map(|failing| failing.exhausted).collect::<Vec<_>>();
    subject.attempt("a", DEAD, attempt(Some(500), SECOND)).await;
    assert_eq!(ended().await, [false], "a dead letter alone ends nothing");
    let leased = subject.attempt("a", used_up(Consequence::Disable), attempt(None, 2 * SECOND)).await;
    assert_eq!((subject.state(leased.id).await, ended().await), (State::Dead, vec![true]));
    subject.attempt("a", again(3 * SECOND), attempt(Some(500), 3 * SECOND)).await;
    assert_eq!(ended().await, [true]);
    subject.attempt("a", Verdict::Delivered, attempt(Some(200), 4 * SECOND)).await;
    assert_eq!(subject.failing().await, []);
}

/// Also where several are settled in one step.
async fn nothing_of_ours_ends_an_endpoint(subject: Subject) {
    let mut ids = Vec::new();
    for (at, endpoint) in (0..).zip(["a", "a", "a", "b", "c", "c"]) {
        ids.push(subject.emit_to(endpoint, at).await);
    }
    let ends = used_up(Consequence::Disable);
    let rooms = ["a", "b", "c"].map(|endpoint| room(endpoint, 3)).to_vec();
    let leased = subject.store.lease(rooms, wall(SECOND), LEASE).await.expect("leases");
    let settling = leased.into_iter().map(|leased| {
        let n = ids.iter().position(|id| *id == leased.id).expect("one of them");
        let failed = attempt(None, SECOND + i64::try_from(n).expect("a few"));
        let settled = match n {
            // Others of it fail before and after.
            1 => counted(&leased, ends, failed),
            3 => counted(&leased, ends, Attempt { charged: false, ..failed }),
            _ => counted(&leased, DEAD, failed),
        };
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move { store.settle(settled).await })
    });
    for settled in settling.collect::<Vec<_>>() {
        assert_eq!(settled.await.expect("no panic"), Ok(true));
    }
    let failing = subject.failing().await;
    let shown: Vec<_> = failing.iter().map(|of| (&*of.endpoint, of.attempts, of.exhausted)).collect();
    assert_eq!(shown, [("a", 3, true), ("c", 2, false)]);
}

async fn what_is_not_the_endpoints_fault_does_not_count(subject: Subject) {
    for at in 0..2 {
        subject.emit_to("a", at).await;
    }
    subject.attempt("a", again(HOUR), Attempt { charged: false, ..attempt(None, SECOND) }).await;
    assert_eq!(subject.failing().await, []);
    let leased = subject.lease("a", 1, SECOND).await.remove(0);
    assert!(subject.settle(&leased, DEAD, SECOND).await, "one that is no endpoint's, or a test");
    // Whether a day without anything has a row is the store's affair.
    let tally = subject.tally("a", None).await.unwrap_or_default();
    assert_eq!((subject.failing().await, tally), (vec![], Tally::default()));
}

async fn what_did_not_apply_does_not_count(subject: Subject) {
    subject.emit_to("a", 0).await;
    let first = subject.lease("a", 1, 0).await.remove(0);
    subject.waiting(30 * SECOND).await;
    let second = subject.lease("a", 1, 30 * SECOND).await.remove(0);
    let late = |verdict| counted(&first, verdict, attempt(None, 31 * SECOND));
    assert_eq!(subject.store.settle(late(DEAD)).await, Ok(false));
    assert_eq!(subject.store.settle(late(again(HOUR))).await, Ok(false));
    assert_eq!((subject.failing().await, subject.tally("a", None).await), (vec![], None));
    let delivered = |leased: &Leased, at| counted(leased, Verdict::Delivered, attempt(Some(200), at));
    let (one, two) = tokio::join!(
        subject.store.settle(delivered(&first, 32 * SECOND)),
        subject.store.settle(delivered(&second, 33 * SECOND)),
    );
    assert!(one.expect("an answer") ^ two.expect("an answer"), "only one of them made it so");
    assert_eq!(subject.tally("a", None).await.map(|tally| tally.delivered), Some(1));
}

async fn days_are_counted_apart_and_added_up(subject: Subject) {
    let day = 24 * HOUR;
    let today = day_of(wall(0));
    for (at, verdict) in
        [(0, Verdict::Delivered), (day, Verdict::Delivered), (day, DEAD), (day + 1, Verdict::Delivered)]
    {
        subject.emit_to("a", at).await;
        let attempt = Attempt { duration: Duration::from_millis(10), ..attempt(Some(200), at) };
        subject.attempt("a", verdict, attempt).await;
    }
    let all = Tally {
        delivered: 3,
        dead: 1,
        duration: Duration::from_millis(30),
        last_delivered_at: Some(wall(day + 11)),
        last_dead_at: Some(wall(day + 10)),
    };
    assert_eq!(subject.tally("a", None).await, Some(all.clone()));
    let of_one = Tally { delivered: 2, duration: Duration::from_millis(20), ..all };
    assert_eq!(subject.tally("a", Some(today + 1)).await, Some(of_one));
    assert_eq!(subject.tally("a", Some(today + 2)).await, None);
    assert_eq!(subject.tally("b", None).await, None);
}

async fn nodes_count_together(subject: Subject) {
    const COUNT: i64 = 120;
    for at in 0..COUNT {
        subject.emit_to(if at % 2 == 0 { "a" } else { "b" }, at).await;
    }
    let rooms = vec![room("a", 200), room("b", 200)];
    let leased = subject.store.lease(rooms, wall(SECOND), LEASE).await.expect("leases");
    assert_eq!(leased.len() as i64, COUNT);
    let settling = leased.into_iter().enumerate().map(|(n, leased)| {
        let store = if n % 3 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
        let verdict = if n % 2 == 0 { DEAD } else { Verdict::Delivered };
        let dead = (verdict == DEAD, Arc::clone(&leased.destination));
        let settled = counted(&leased, verdict, attempt(Some(if n % 2 == 0 { 500 } else { 200 }), SECOND));
        tokio::spawn(async move { (dead, store.settle(settled).await) })
    });
    let mut wanted = std::collections::HashMap::<String, (u64, u64)>::new();
    for settled in settling.collect::<Vec<_>>() {
        let ((dead, endpoint), applied) = settled.await.expect("no panic");
        assert_eq!(applied, Ok(true));
        let counts = wanted.entry(endpoint.to_string()).or_default();
        *(if dead { &mut counts.0 } else { &mut counts.1 }) += 1;
    }
    for endpoint in ["a", "b"] {
        let tally = subject.tally(endpoint, None).await.expect("it did something");
        assert_eq!((tally.dead, tally.delivered), wanted[endpoint]);
        assert_eq!(tally.duration, Duration::from_millis(7 * wanted[endpoint].1));
    }
}

on_every_store! {
    of_a_lease_that_ended_only_a_success_counts
    a_failed_attempt_is_due_again_when_it_says
    an_attempt_that_is_ours_does_not_count
    what_it_was_signed_at_stays
    a_dead_letter_says_why
    an_endpoint_fails_until_it_takes_something
    who_is_gone_stays_so
    what_is_cancelled_once_it_is_used_up_has_failed
    an_endpoint_that_is_ended_is_remembered_until_it_takes_something
    nothing_of_ours_ends_an_endpoint
    what_is_not_the_endpoints_fault_does_not_count
    what_did_not_apply_does_not_count
    days_are_counted_apart_and_added_up
    nodes_count_together
}
