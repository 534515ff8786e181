//! What operators ask.

use super::*;

async fn lists_are_narrowed_by_what_is_asked(subject: Subject) {
    // Minutes, at an hour at which no other test makes ids: those go on from the latest within a second.
    let minute = |n: i64| 1000 * HOUR + n * 60 * SECOND;
    let minutes = |at: UnixMillis| (at.0 - wall(minute(0)).0) / (60 * SECOND);
    for (source, destination, at) in [("s", "a", 0), ("s", "b", 1), ("t", "a", 2), ("t", "b", 3)] {
        subject.store.accept(event(source, None, &[destination], minute(at))).await.expect("an answer");
    }
    let leased = subject.lease("a", 1, minute(0)).await.remove(0);
    subject.settle(&leased, DEAD, minute(4)).await;
    let deliveries = async |filter: DeliveryFilter| {
        let page = subject.store.deliveries(DeliveryFilter { limit: 10, ..filter }).await.expect("a page");
        page.data.iter().map(|row| minutes(row.created_at)).collect::<Vec<_>>()
    };
    let all = DeliveryFilter::default;
    assert_eq!(deliveries(all()).await, [3, 2, 1, 0], "the latest first");
    assert_eq!(deliveries(DeliveryFilter { source: Some("s".into()), ..all() }).await, [1, 0]);
    assert_eq!(deliveries(DeliveryFilter { destination: Some("b".into()), ..all() }).await, [3, 1]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(State::Dead), ..all() }).await, [0]);
    assert_eq!(deliveries(DeliveryFilter { state: Some(State::Waiting), ..all() }).await, [3, 2, 1]);
    assert_eq!(
        deliveries(DeliveryFilter { state: Some(State::Dead), source: Some("t".into()), ..all() }).await,
        [0; 0]
    );
    assert_eq!(
        deliveries(DeliveryFilter { since: Some(wall(minute(1))), until: Some(wall(minute(3))), ..all() }).await,
        [2, 1]
    );
    assert_eq!(deliveries(DeliveryFilter { event: Some(leased.event), ..all() }).await, [0]);
    let dead = DeliveryFilter { event: Some(leased.event), state: Some(State::Waiting), ..all() };
    assert_eq!(deliveries(dead).await, [0; 0]);

    let events = async |filter: EventFilter| {
        let page = subject.store.events(EventFilter { limit: 10, ..filter }).await.expect("a page");
        page.data.iter().map(|row| minutes(row.accepted_at)).collect::<Vec<_>>()
    };
    let all = EventFilter::default;
    assert_eq!(events(all()).await, [3, 2, 1, 0]);
    assert_eq!(events(EventFilter { source: Some("t".into()), ..all() }).await, [3, 2]);
    assert_eq!(events(EventFilter { event_id: Some(format!("evt_{}", minute(1))), ..all() }).await, [1]);
    assert_eq!(events(EventFilter { since: Some(wall(minute(3))), ..all() }).await, [3]);
    assert_eq!(events(EventFilter { until: Some(wall(minute(1))), ..all() }).await, [0]);
}

async fn pages_follow_each_other_without_gap_or_overlap(subject: Subject) {
    for at in 0..7 {
        // Two in each millisecond.
        subject.owe("a", at / 2).await;
    }
    let (mut ids, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let filter = DeliveryFilter { after, limit: 3, ..DeliveryFilter::default() };
        let page = subject.store.deliveries(filter).await.expect("a page");
        ids.extend(page.data.iter().map(|row| row.id));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((pages, sorted.len(), &sorted), (3, 7, &ids));
    let page = subject.store.events(EventFilter { limit: 7, ..EventFilter::default() }).await.expect("a page");
    assert_eq!((page.data.len(), page.next), (7, None), "a page that is just full is the last");
}

async fn stats_count_what_waits_for_whom(subject: Subject) {
    for (destination, at) in [("a", 0), ("a", 1), ("b", 2)] {
        subject.owe(destination, at).await;
    }
    let leased = subject.lease("a", 1, 5).await.remove(0);
    subject.settle(&leased, DEAD, 5).await;
    let stats = subject.store.stats().await.expect("an answer");
    let each: Vec<_> = stats.destinations.iter().map(|of| (of.destination.as_str(), of.waiting, of.dead)).collect();
    assert_eq!(each, [("a", 1, 1), ("b", 1, 0)]);
    assert_eq!((stats.events, stats.waiting, stats.dead, stats.oldest_due), (3, 2, 1, Some(wall(1))));
    assert!(stats.bytes > 0);
}

on_every_store! {
    lists_are_narrowed_by_what_is_asked
    pages_follow_each_other_without_gap_or_overlap
    stats_count_what_waits_for_whom
}
