//! What is due is leased, to one at a time.

use std::collections::HashSet;

use super::*;

async fn a_destination_gets_no_more_than_it_has_room_for(subject: Subject) {
    for at in [2, 0, 1] {
        subject.owe("a", at).await;
        subject.owe("b", at).await;
    }
    let leased = subject.store.lease(vec![room("a", 2), room("c", 5)], wall(10), LEASE).await.expect("leases");
    assert!(leased.iter().all(|leased| &*leased.destination == "a"), "nobody asked for b");
    let mut owed: Vec<i64> = leased.iter().map(|leased| leased.created_at.0 - NOW * 1000).collect();
    owed.sort_unstable();
    assert_eq!(owed, [0, 1], "the longest due first");
}

async fn what_is_not_due_is_not_leased(subject: Subject) {
    subject.owe("a", 5 * SECOND).await;
    assert!(subject.lease("a", 1, 5 * SECOND - 1).await.is_empty());
    assert_eq!(subject.lease("a", 1, 5 * SECOND).await.len(), 1);
}

async fn what_is_leased_is_not_leased_again(subject: Subject) {
    subject.owe("a", 0).await;
    assert_eq!(subject.lease("a", 1, 0).await.len(), 1);
    assert_eq!(subject.waiting(30 * SECOND - 1).await, []);
    assert!(subject.lease("a", 1, 30 * SECOND - 1).await.is_empty());
}

async fn an_ended_lease_comes_back_in_doubt(subject: Subject) {
    subject.owe("a", 0).await;
    let first = subject.lease("a", 1, 0).await.remove(0);
    let waiting = subject.waiting(30 * SECOND).await;
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].1 <= 30 * SECOND, "{waiting:?}");
    let second = subject.lease("a", 1, 30 * SECOND).await.remove(0);
    assert_eq!((second.id, second.possible_duplicate), (first.id, true));
    assert_ne!(second.token, first.token);
}

async fn every_destination_says_when_its_first_is_due(subject: Subject) {
    for (destination, at) in [("b", 3), ("a", 2), ("a", 1), ("c", 9)] {
        subject.owe(destination, at).await;
    }
    let leased = subject.lease("c", 1, 9).await.remove(0);
    let mut waiting = subject.waiting(9).await;
    waiting.sort();
    assert_eq!(waiting, [("a".into(), 1), ("b".into(), 3)]);
    subject.settle(&leased, Verdict::Delivered, 9).await;
    assert_eq!(subject.waiting(HOUR).await.len(), 2);
}

async fn two_leasers_never_get_the_same(subject: Subject) {
    for at in 0..200 {
        subject.owe(if at % 2 == 0 { "a" } else { "b" }, at).await;
    }
    let leasers = (0..8).map(|n| {
        let store = if n % 2 == 0 { Arc::clone(&subject.store) } else { Arc::clone(&subject.other) };
        tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                let leased = store.lease(vec![room("a", 7), room("b", 5)], wall(HOUR), LEASE).await.expect("leases");
                if leased.is_empty() {
                    return got;
                }
                got.extend(leased.into_iter().map(|leased| leased.id));
            }
        })
    });
    let mut all = Vec::new();
    for leaser in leasers.collect::<Vec<_>>() {
        all.extend(leaser.await.expect("no panic"));
    }
    // What another one was about to take is passed over, so a leaser may leave while there is some; none is lost.
    all.extend(subject.lease("a", 1000, HOUR).await.iter().map(|leased| leased.id));
    all.extend(subject.lease("b", 1000, HOUR).await.iter().map(|leased| leased.id));
    let different: HashSet<Id> = all.iter().copied().collect();
    assert_eq!((all.len(), different.len()), (200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_had_leased_is_due_when_the_file_is_opened_again() {
    let Subject { store, other, _folder: folder } = Subject::sqlite().await;
    let subject = Subject { store, other, _folder: None };
    let (_, delivery) = subject.owe("a", 0).await;
    subject.lease("a", 1, SECOND).await;
    drop(subject);
    let folder = folder.expect("a file");
    let database = Sqlite::open(&folder.path().join("hookward.db")).expect("nobody has it");
    let store = Arc::new(Store::Sqlite(SqliteStore::new(database)));
    let again = Subject { other: Arc::clone(&store), store, _folder: Some(folder) };
    assert_eq!(again.waiting(2 * SECOND).await, [("a".into(), 0)], "long before its lease would have ended");
    let leased = again.lease("a", 1, 2 * SECOND).await.remove(0);
    assert_eq!((leased.id, leased.possible_duplicate), (delivery, true));
}

on_every_store! {
    a_destination_gets_no_more_than_it_has_room_for
    what_is_not_due_is_not_leased
    what_is_leased_is_not_leased_again
    an_ended_lease_comes_back_in_doubt
    every_destination_says_when_its_first_is_due
    two_leasers_never_get_the_same
}
