//! What customers ask.

use super::*;

/// Minutes, at an hour at which no other test makes ids: those go on from the latest within a second.
fn minute(n: i64) -> i64 {
    2000 * HOUR + n * 60 * SECOND
}

fn filter(endpoints: &[&str]) -> SentFilter {
    SentFilter { endpoints: endpoints.iter().map(|name| Arc::from(*name)).collect(), limit: 9, ..SentFilter::default() }
}

async fn a_log_is_narrowed_by_what_is_asked(subject: Subject) {
    let mut ids = Vec::new();
    for (n, endpoint, kind) in [(0, "a", "t"), (1, "a", "u"), (2, "b", "t"), (3, "a", "t"), (4, "c", "t")] {
        let owed = owed(endpoint, minute(n));
        ids.push(owed.id);
        subject.store.accept(emitted(kind, vec![owed], minute(n))).await.expect("an answer");
    }
    // What an upstream is owed is no customer's affair, whatever its name.
    subject.owe("a", minute(5)).await;
    subject.attempt("a", DEAD, attempt(Some(500), minute(6))).await;
    subject.attempt("a", again(minute(7)), attempt(Some(404), minute(6) + 1)).await;
    let sent = async |filter: SentFilter| {
        let page = subject.store.sent(filter).await.expect("a page");
        assert_eq!((page.total as usize, page.next), (page.rows.len(), None));
        let place = |id: Id| ids.iter().position(|known| *known == id).expect("one of them");
        page.rows.iter().map(|row| place(row.id)).collect::<Vec<_>>()
    };
    let all = || filter(&["a", "b"]);
    assert_eq!(sent(all()).await, [3, 2, 1, 0], "the latest first");
    assert_eq!(sent(filter(&["a"])).await, [3, 1, 0]);
    assert_eq!(sent(filter(&["nobody"])).await, [0; 0]);
    assert_eq!(sent(SentFilter { states: vec![State::Dead], ..all() }).await, [0]);
    assert_eq!(sent(SentFilter { states: vec![State::Dead, State::Leased], ..all() }).await, [0]);
    assert_eq!(sent(SentFilter { attempted: Some(true), ..all() }).await, [1, 0]);
    assert_eq!(sent(SentFilter { attempted: Some(false), ..all() }).await, [3, 2]);
    assert_eq!(sent(SentFilter { reasons: vec!["exhausted"], ..all() }).await, [0]);
    assert_eq!(sent(SentFilter { reasons: vec!["expired"], ..all() }).await, [0; 0]);
    assert_eq!(sent(SentFilter { kind: Some("u".into()), ..all() }).await, [1]);
    assert_eq!(sent(SentFilter { status: Some(404), ..filter(&["a"]) }).await, [1]);
    assert_eq!(sent(SentFilter { since: Some(wall(minute(1))), until: Some(wall(minute(3))), ..all() }).await, [2, 1]);
    let event = subject.store.sent(filter(&["b"])).await.expect("a page").rows[0].event;
    assert_eq!(sent(SentFilter { event: Some(event), ..all() }).await, [2]);
    assert_eq!(sent(SentFilter { event: Some(event), ..filter(&["a"]) }).await, [0; 0]);
}

async fn a_log_shows_what_was_sent_and_how_it_went(subject: Subject) {
    let variants = vec![Bytes::from_static(b"other")];
    let (own, other) = (owed("a", 0), Owed { variant: 1, trigger: Trigger::Test, ..owed("b", 0) });
    let (first, second) = (own.id, other.id);
    let event = NewEvent { variants, ..emitted("invoice.paid", vec![own, other], 0) };
    subject.store.accept(event.clone()).await.expect("an answer");
    for at in [SECOND, 2 * SECOND] {
        let exchange = Some(Bytes::from(format!("{at}")));
        subject.attempt("b", again(at), Attempt { exchange, ..attempt(Some(500), at) }).await;
    }
    let row = subject.store.sent_delivery("a", first).await.expect("an answer").expect("it").row;
    assert_eq!((&row.body, &row.event_body, row.variant), (&event.message.body, &event.message.body, 0));
    assert_eq!((row.last, row.state, row.trigger), (None, State::Waiting, Trigger::Event));
    let detail = subject.store.sent_delivery("b", second).await.expect("an answer").expect("it");
    let row = detail.row;
    assert_eq!((&row.body[..], &row.event_body, row.variant), (&b"other"[..], &event.message.body, 1));
    assert_eq!((row.event, &*row.event_id, &*row.kind, &*row.endpoint), (event.id, "evt_0", "invoice.paid", "b"));
    assert_eq!((row.attempts, row.created_at, row.at, row.trigger), (2, wall(0), wall(2 * SECOND), Trigger::Test));
    assert_eq!(row.last.map(|last| (last.started_at, last.status)), Some((wall(2 * SECOND), Some(500))));
    let log: Vec<_> = detail.attempts.into_iter().map(|(row, exchange)| (row.started_at, exchange)).collect();
    let wanted = [SECOND, 2 * SECOND].map(|at| (wall(at), Some(Bytes::from(format!("{at}")))));
    assert_eq!(log, wanted);
    assert_eq!(subject.store.sent_delivery("a", second).await, Ok(None), "it is not a's");
    let (_, upstream) = subject.owe("a", 3).await;
    assert_eq!(subject.store.sent_delivery("a", upstream).await, Ok(None), "it is no endpoint's");
}

async fn pages_of_a_log_know_the_whole_length(subject: Subject) {
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(subject.emit_to(["a", "b"][n % 2], n as i64 / 3).await);
    }
    ids.sort_unstable_by(|one, other| other.cmp(one));
    let (mut seen, mut after) = (Vec::new(), None);
    for (rows, more) in [(3, true), (3, true), (1, false)] {
        let page = SentFilter { after, limit: 3, ..filter(&["a", "b"]) };
        let page = subject.store.sent(page).await.expect("a page");
        assert_eq!((page.rows.len(), page.next.is_some(), page.total), (rows, more, 7));
        seen.extend(page.rows.iter().map(|row| row.id));
        after = page.next;
    }
    assert_eq!(seen, ids);
    let beyond = SentFilter { after: seen.last().copied(), ..filter(&["a", "b"]) };
    let beyond = subject.store.sent(beyond).await.expect("a page");
    assert_eq!((beyond.rows.len(), beyond.next, beyond.total), (0, None, 7));
    let full = SentFilter { limit: 7, ..filter(&["a", "b"]) };
    let full = subject.store.sent(full).await.expect("a page");
    assert_eq!((full.rows.len(), full.next, full.total), (7, None, 7), "a page that is just full is the last");
}

async fn an_account_has_its_events(subject: Subject) {
    let all =
        SentEventFilter { account: "account".into(), kind: None, since: None, until: None, after: None, limit: 9 };
    let mut ids = Vec::new();
    for (n, kind) in [(0, "t"), (1, "u"), (2, "t")] {
        let skipped = Owed { begin: Begin::Skipped("disabled"), ..owed("b", minute(n)) };
        let event = emitted(kind, vec![owed("a", minute(n)), owed("c", minute(n)), skipped], minute(n));
        ids.push(event.id);
        subject.store.accept(event).await.expect("an answer");
    }
    let others = Some(Emitted { account: "other".into(), kind: "t".into() });
    subject.store.accept(NewEvent { emitted: others, ..emitted("t", vec![], minute(3)) }).await.expect("an answer");
    subject.owe("a", minute(4)).await;
    let listed = async |filter: SentEventFilter| {
        let page = subject.store.sent_events(filter).await.expect("a page");
        let place = |id: Id| ids.iter().position(|known| *known == id).expect("one of them");
        (page.rows.iter().map(|row| place(row.id)).collect::<Vec<_>>(), page.next.map(place), page.total)
    };
    assert_eq!(listed(all.clone()).await, (vec![2, 1, 0], None, 3));
    assert_eq!(listed(SentEventFilter { kind: Some("t".into()), ..all.clone() }).await, (vec![2, 0], None, 2));
    let some = SentEventFilter { since: Some(wall(minute(1))), until: Some(wall(minute(2))), ..all.clone() };
    assert_eq!(listed(some).await, (vec![1], None, 1));
    assert_eq!(listed(SentEventFilter { limit: 2, ..all.clone() }).await, (vec![2, 1], Some(1), 3));
    assert_eq!(listed(SentEventFilter { limit: 2, after: Some(ids[1]), ..all.clone() }).await, (vec![0], None, 3));
    assert_eq!(listed(SentEventFilter { account: "nobody".into(), ..all }).await, (vec![], None, 0));

    let event_id = format!("evt_{}", minute(1));
    let found = subject.store.sent_event("account", &event_id).await.expect("an answer").expect("it");
    assert_eq!((found.id, &*found.event_id, &*found.kind), (ids[1], &*event_id, "u"));
    assert_eq!((found.accepted_at, &found.body[..]), (wall(minute(1)), &b"\x00\xff{}"[..]));
    assert_eq!(&found.headers[..], b"x-a: 1\r\nx-b: \xff\r\n");
    assert_eq!(found.deliveries, [(State::Waiting, 2), (State::Skipped, 1)]);
    assert_eq!(subject.store.sent_event("other", &event_id).await, Ok(None), "it is another's");
    assert_eq!(
        subject.store.sent_event("account", &format!("evt_{}", minute(4))).await,
        Ok(None),
        "it is no account's"
    );
}

async fn what_failed_is_recovered_once(subject: Subject) {
    let mut failed = Vec::new();
    for n in 0..5 {
        let owed = Owed { variant: u16::from(n == 1), ..owed("a", minute(n)) };
        let variants = vec![Bytes::from_static(b"other")];
        let event = NewEvent { variants, ..emitted("t", vec![owed.clone()], minute(n)) };
        failed.push((owed.id, event.id, owed.variant));
        subject.store.accept(event).await.expect("an answer");
        subject.attempt("a", if n == 4 { Verdict::Delivered } else { DEAD }, attempt(Some(500), minute(n))).await;
    }
    let unrecovered = async |states: &[State], since, until, after, limit| {
        let (since, until) = (wall(minute(since)), wall(minute(until)));
        let states = states.to_vec();
        let asked = Unrecovered { endpoint: "a".into(), states, reasons: Vec::new(), since, until, after, limit };
        subject.store.unrecovered(asked).await.expect("an answer")
    };
    let dead = &[State::Dead, State::Skipped];
    assert_eq!(unrecovered(dead, 0, 9, None, 9).await, failed[..4]);
    assert_eq!(unrecovered(dead, 1, 3, None, 9).await, failed[1..3]);
    assert_eq!(unrecovered(dead, 0, 9, None, 2).await, failed[..2]);
    assert_eq!(unrecovered(dead, 0, 9, Some(failed[1].0), 9).await, failed[2..4]);
    assert_eq!(unrecovered(&[State::Cancelled], 0, 9, None, 9).await, []);
    assert_eq!(unrecovered(&[], 0, 9, None, 9).await, []);

    // The first is owed again, and so is the second, whose delivery is dead too; the third went to another endpoint.
    let (again, dead_too, elsewhere) = (owed("a", minute(5)), owed("a", minute(5)), owed("b", minute(5)));
    let made = vec![(failed[0].1, again), (failed[1].1, dead_too.clone()), (failed[2].1, elsewhere)];
    subject.store.owe(made, wall(minute(5)), None).await.expect("an answer");
    assert_eq!(unrecovered(dead, 0, 9, None, 9).await, failed[2..4], "both wait");
    for leased in subject.lease("a", 9, minute(6)).await {
        let verdict = if leased.id == dead_too.id { DEAD } else { Verdict::Delivered };
        assert!(subject.settle(&leased, verdict, minute(6)).await);
    }
    let last = (dead_too.id, failed[1].1, 0);
    assert_eq!(unrecovered(dead, 0, 9, None, 9).await, [failed[2], failed[3], last], "of two for one event the last");
    assert_eq!(unrecovered(dead, 1, 2, None, 9).await, failed[1..2], "among those that were asked for");
}

on_every_store! {
    a_log_is_narrowed_by_what_is_asked
    a_log_shows_what_was_sent_and_how_it_went
    pages_of_a_log_know_the_whole_length
    an_account_has_its_events
    what_failed_is_recovered_once
}
