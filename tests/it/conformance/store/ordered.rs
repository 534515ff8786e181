//! Destinations that get one delivery at a time, the oldest first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use super::*;

impl Subject {
    /// Owes an ordered endpoint one event for each time; the deliveries.
    async fn emit_in_order(&self, endpoint: &str, times: impl IntoIterator<Item = i64>) -> Vec<Id> {
        let mut ids = Vec::new();
        for at in times {
            let owed = Owed { ordered: true, ..owed(endpoint, at) };
            ids.push(owed.id);
            self.emit(vec![owed], at).await;
        }
        // Other tests turn the clock back and forth, by which ids are made anew.
        ids.sort_unstable();
        ids
    }

    async fn lease_next(&self, endpoint: &str, at: i64) -> Option<Leased> {
        lease_next(&self.store, endpoint, at).await
    }
}

async fn lease_next(store: &Store, endpoint: &str, at: i64) -> Option<Leased> {
    let room = Room { ordered: true, ..room(endpoint, 5) };
    let mut leased = store.lease(vec![room], wall(at), LEASE).await.expect("leases");
    assert!(leased.len() < 2, "one at a time");
    leased.pop()
}

/// Leases and settles on both nodes at once until `count` were had. They come in the order in which they were had, and
/// never was there another at the same time.
async fn lease_all(subject: &Subject, count: usize) -> Vec<Id> {
    let at_once = Arc::new(AtomicUsize::new(0));
    let got = Arc::new(Mutex::new(Vec::new()));
    let mut leasers = JoinSet::new();
    for n in 0..6 {
        let store = Arc::clone(if n % 2 == 0 { &subject.store } else { &subject.other });
        let (at_once, got) = (Arc::clone(&at_once), Arc::clone(&got));
        leasers.spawn(async move {
            while got.lock().expect("no panic").len() < count {
                let Some(leased) = lease_next(&store, "a", SECOND).await else { continue };
                assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0, "another has one");
                got.lock().expect("no panic").push(leased.id);
                at_once.fetch_sub(1, Ordering::SeqCst);
                assert_eq!(store.settle(settlement(&leased, Verdict::Delivered, SECOND)).await, Ok(true));
            }
        });
    }
    timeout(PATIENCE, leasers.join_all()).await.expect("none is left waiting");
    let got = got.lock().expect("no panic");
    got.clone()
}

async fn the_oldest_goes_first_and_alone(subject: Subject) {
    let ids = subject.emit_in_order("a", [0, 0, 0]).await;
    for id in ids {
        let leased = subject.lease_next("a", SECOND).await.expect("the next");
        assert_eq!(leased.id, id);
        assert!(lease_next(&subject.other, "a", SECOND).await.is_none(), "while another is leased");
        assert!(subject.settle(&leased, Verdict::Delivered, SECOND).await);
    }
    assert!(subject.lease_next("a", SECOND).await.is_none());
}

async fn nothing_overtakes_one_that_waits_for_its_retry(subject: Subject) {
    let ids = subject.emit_in_order("a", [0, 1]).await;
    let others = subject.emit_in_order("b", [2]).await;
    let leased = subject.lease_next("a", SECOND).await.expect("the first");
    assert!(subject.settle(&leased, again(60 * SECOND), SECOND).await);
    assert!(subject.lease_next("a", 60 * SECOND - 1).await.is_none(), "its retry is not due");
    assert_eq!(
        subject.lease_next("b", 2 * SECOND).await.map(|leased| leased.id),
        Some(others[0]),
        "b has its own order"
    );
    let again = subject.lease_next("a", 60 * SECOND).await.expect("the first again");
    assert_eq!(again.id, ids[0]);
    assert!(subject.settle(&again, DEAD, 60 * SECOND).await);
    assert_eq!(
        subject.lease_next("a", 60 * SECOND).await.map(|leased| leased.id),
        Some(ids[1]),
        "a dead one blocks nobody"
    );
}

async fn an_older_one_that_comes_late_waits_for_the_lease(subject: Subject) {
    let older = Owed { ordered: true, ..owed("a", 0) };
    let ids = subject.emit_in_order("a", [2 * SECOND]).await;
    let leased = subject.lease_next("a", 3 * SECOND).await.expect("the one that is there");
    subject.emit(vec![older.clone()], 0).await;
    assert!(lease_next(&subject.other, "a", 3 * SECOND).await.is_none());
    assert_eq!(leased.id, ids[0]);
    subject.settle(&leased, Verdict::Delivered, 3 * SECOND).await;
    assert_eq!(subject.lease_next("a", 3 * SECOND).await.map(|leased| leased.id), Some(older.id));
}

async fn an_ended_lease_keeps_its_place(subject: Subject) {
    let ids = subject.emit_in_order("a", [0, 1]).await;
    subject.lease_next("a", SECOND).await.expect("the first");
    subject.waiting(31 * SECOND).await;
    let leased = subject.lease_next("a", 31 * SECOND).await.expect("the first again");
    assert_eq!((leased.id, leased.possible_duplicate), (ids[0], true));
}

async fn rooms_of_both_kinds_go_together(subject: Subject) {
    let first = subject.emit_in_order("a", [0, 1]).await[0];
    for at in [0, 1] {
        subject.emit_to("b", at).await;
    }
    let rooms = vec![room("b", 9), Room { ordered: true, ..room("a", 9) }, Room { ordered: true, ..room("c", 9) }];
    let leased = subject.store.lease(rooms, wall(SECOND), LEASE).await.expect("leases");
    let to = |name: &str| leased.iter().filter(|leased| &*leased.destination == name).map(|l| l.id).collect::<Vec<_>>();
    assert_eq!((to("a"), to("b").len(), leased.len()), (vec![first], 2, 3));
    let none = Room { ordered: true, ..room("a", 0) };
    subject.settle(leased.iter().find(|leased| leased.id == first).expect("it"), Verdict::Delivered, SECOND).await;
    assert_eq!(subject.store.lease(vec![none], wall(SECOND), LEASE).await.map(|leased| leased.len()), Ok(0), "no room");
}

async fn two_nodes_never_lease_for_one_at_once(subject: Subject) {
    const COUNT: usize = 60;
    let ids = subject.emit_in_order("a", (0..COUNT as i64).map(|at| at / 7)).await;
    assert_eq!(lease_all(&subject, COUNT).await, ids, "in their order");
}

/// Ids that appear out of order, since nodes have clocks of their own, tempt two nodes to take different ones.
async fn late_comers_never_make_two_at_once(subject: Subject) {
    const COUNT: usize = 60;
    let store = Arc::clone(&subject.other);
    let emitting = tokio::spawn(async move {
        let mut owed: Vec<Owed> =
            (0..COUNT as i64).map(|at| Owed { ordered: true, ..owed("a", 2 * SECOND * at) }).collect();
        while let Some(youngest) = owed.pop() {
            store.accept(emitted("t", vec![youngest], 0)).await.expect("an answer");
        }
    });
    let got = lease_all(&subject, COUNT).await;
    assert_eq!(got.len(), COUNT);
    emitting.await.expect("no panic");
}

async fn an_endpoint_may_become_ordered(subject: Subject) {
    let mut ids = Vec::new();
    for at in [2, 0, 1] {
        ids.push(subject.emit_to("a", 2 * SECOND * at).await);
    }
    ids.sort_unstable();
    let leased = subject.lease("a", 1, HOUR).await.remove(0);
    assert_eq!(leased.id, ids[0]);
    let order = Change { order: vec!["a".into()], ..Change::new(0, wall(HOUR)) };
    assert_eq!(subject.change(order).await, Changed::Done { version: 0 });
    assert!(subject.lease_next("a", HOUR).await.is_none(), "what was leased before is in its way too");
    subject.settle(&leased, again(HOUR), HOUR).await;
    assert_eq!(subject.lease_next("a", HOUR).await.map(|leased| leased.id), Some(ids[0]));
}

async fn what_nobody_made_ordered_goes_when_nothing_else_waits(subject: Subject) {
    let before = [subject.emit_to("a", 0).await, subject.emit_to("a", 2 * SECOND).await];
    let after = subject.emit_in_order("a", [4 * SECOND]).await;
    for id in [after[0], before[0], before[1]] {
        let leased = subject.lease_next("a", HOUR).await.expect("one");
        assert_eq!(leased.id, id);
        assert!(subject.lease_next("a", HOUR).await.is_none(), "one at a time all the same");
        subject.settle(&leased, Verdict::Delivered, HOUR).await;
    }
    subject.emit_in_order("a", [6 * SECOND, 6 * SECOND]).await;
    assert_eq!(subject.lease("a", 5, HOUR).await.len(), 2, "and back again, all at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_is_about_to_lease_for_is_passed_over() {
    let url = shared_postgres().database().await;
    let subject = Subject::of(&url);
    let (a, b) = (subject.emit_in_order("a", [0]).await[0], subject.emit_in_order("b", [0]).await[0]);
    let (another, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let begin = "BEGIN; SELECT pg_advisory_xact_lock(1752132967, hashtext('a'))";
    another.batch_execute(begin).await.expect("nobody has it");
    let rooms = ["a", "b"].map(|name| Room { ordered: true, ..room(name, 1) }).to_vec();
    let leased = subject.store.lease(rooms, wall(SECOND), LEASE).await.expect("leases");
    assert_eq!(leased.iter().map(|leased| leased.id).collect::<Vec<_>>(), [b]);
    another.batch_execute("COMMIT").await.expect("a connection");
    assert_eq!(subject.lease_next("a", SECOND).await.map(|leased| leased.id), Some(a));
}

on_every_store! {
    the_oldest_goes_first_and_alone
    nothing_overtakes_one_that_waits_for_its_retry
    an_older_one_that_comes_late_waits_for_the_lease
    an_ended_lease_keeps_its_place
    rooms_of_both_kinds_go_together
    two_nodes_never_lease_for_one_at_once
    late_comers_never_make_two_at_once
    an_endpoint_may_become_ordered
    what_nobody_made_ordered_goes_when_nothing_else_waits
}
