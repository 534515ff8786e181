//! What is due for whom, as far as is known: a hint of what the store has.
//!
//! A name is queued for when it is worth while to ask the store for it, or parked while only an attempt that ends can
//! make room. Each step costs the logarithm of how many there are, however many wait for room.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;

/// The hints.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: HashMap<Arc<str>, Entry>,
    queue: BTreeSet<(UnixMillis, Arc<str>)>,
    /// By the destination whose next end they wait for.
    parked: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Those for which there is no room beside others of which nothing good is known.
    unproven: VecDeque<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    /// When the first of it is due.
    due_at: UnixMillis,
    /// Its place in the queue.
    queued_at: Option<UnixMillis>,
}

impl Agenda {
    /// Something is due for `name` then. What is known to be due earlier stays so.
    pub fn learn(&mut self, name: Arc<str>, due_at: UnixMillis) {
        match self.entries.get(&name) {
            Some(entry) if entry.due_at <= due_at => {}
            _ => self.queue(name, due_at, due_at),
        }
    }

    /// All that there is, in the stead of all that was known.
    pub fn replace(&mut self, all: impl Iterator<Item = (Arc<str>, UnixMillis)>) {
        *self = Self::default();
        all.for_each(|(name, due_at)| self.queue(name, due_at, due_at));
    }

    /// Takes the name out of the queue that was due first, if its time has come. It is still known.
    pub fn next(&mut self, now: UnixMillis) -> Option<Arc<str>> {
        let first = self.queue.first().filter(|(at, _)| *at <= now)?;
        let first = first.clone();
        self.queue.remove(&first);
        if let Some(entry) = self.entries.get_mut(&first.1) {
            entry.queued_at = None;
        }
        Some(first.1)
    }

    /// More may be due for a name that was taken out: it has its place again.
    pub fn again(&mut self, name: &Arc<str>) {
        if let Some(due_at) = self.entries.get(name).map(|entry| entry.due_at) {
            self.queue(Arc::clone(name), due_at, due_at);
        }
    }

    /// There is no room for a name that was taken out until then.
    pub fn put_off(&mut self, name: Arc<str>, until: UnixMillis) {
        if let Some(due_at) = self.entries.get(&name).map(|entry| entry.due_at) {
            self.queue(name, due_at, until);
        }
    }

    /// There is no room for a name that was taken out until an attempt at `destination` ends.
    pub fn park(&mut self, name: Arc<str>, destination: &Arc<str>) {
        self.parked.entry(Arc::clone(destination)).or_default().push(name);
    }

    /// An attempt at `destination` has ended: those that waited for it have their places again.
    pub fn free(&mut self, destination: &str) {
        for name in self.parked.remove(destination).unwrap_or_default() {
            if self.entries.get(&name).is_some_and(|entry| entry.queued_at.is_none()) {
                self.again(&name);
            }
        }
    }

    /// There is no room for a name that was taken out, since nothing good is known of its destination.
    pub fn park_unproven(&mut self, name: Arc<str>) {
        self.unproven.push_back(name);
    }

    /// Takes out the one of these that has waited for longest.
    pub fn next_unproven(&mut self) -> Option<Arc<str>> {
        loop {
            let name = self.unproven.pop_front()?;
            if self.entries.get(&name).is_some_and(|entry| entry.queued_at.is_none()) {
                return Some(name);
            }
        }
    }

    /// Nothing is due for a name any more.
    pub fn forget(&mut self, name: &Arc<str>) {
        if let Some(Entry { queued_at: Some(at), .. }) = self.entries.remove(name) {
            self.queue.remove(&(at, Arc::clone(name)));
        }
    }

    /// How long after `now` there is somebody in the queue; zero where there is one already, `None` where there is none.
    pub fn wait(&self, now: UnixMillis) -> Option<Duration> {
        self.queue.first().map(|(at, _)| at.since(now))
    }

    fn queue(&mut self, name: Arc<str>, due_at: UnixMillis, at: UnixMillis) {
        let entry = Entry { due_at, queued_at: Some(at) };
        if let Some(Entry { queued_at: Some(before), .. }) = self.entries.insert(Arc::clone(&name), entry) {
            self.queue.remove(&(before, Arc::clone(&name)));
        }
        self.queue.insert((at, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> UnixMillis {
        UnixMillis(millis)
    }

    fn taken(agenda: &mut Agenda, now: i64) -> Vec<String> {
        std::iter::from_fn(|| agenda.next(at(now))).map(|name| name.to_string()).collect()
    }

    #[test]
    fn those_that_were_due_first_come_first_and_nobody_before_its_time() {
        let mut agenda = Agenda::default();
        for (name, due_at) in [("b", 20), ("a", 10), ("c", 30), ("b", 25), ("c", 5)] {
            agenda.learn(name.into(), at(due_at));
        }
        assert_eq!(agenda.wait(at(0)), Some(Duration::from_millis(5)));
        assert_eq!(taken(&mut agenda, 19), ["c", "a"]);
        assert_eq!((taken(&mut agenda, 20), agenda.wait(at(20))), (vec!["b".to_owned()], None));
    }

    #[test]
    fn one_that_is_parked_is_not_asked_about_until_something_ends() {
        let mut agenda = Agenda::default();
        agenda.learn("old name".into(), at(1));
        let name = agenda.next(at(1)).expect("it is due");
        agenda.park(name, &"new name".into());
        assert!(taken(&mut agenda, 9).is_empty());
        agenda.free("another");
        assert!(taken(&mut agenda, 9).is_empty());
        agenda.free("new name");
        assert_eq!(taken(&mut agenda, 9), ["old name"]);
        agenda.free("new name");
        assert!(taken(&mut agenda, 9).is_empty(), "once");
    }

    #[test]
    fn those_that_nobody_knows_well_are_taken_out_one_by_one() {
        let mut agenda = Agenda::default();
        for name in ["a", "b", "c"] {
            agenda.learn(name.into(), at(1));
        }
        while let Some(name) = agenda.next(at(1)) {
            agenda.park_unproven(name);
        }
        agenda.learn("b".into(), at(0));
        assert_eq!(agenda.next_unproven().as_deref(), Some("a"));
        assert_eq!(agenda.next_unproven().as_deref(), Some("c"), "b is in the queue again");
        assert_eq!((agenda.next_unproven(), taken(&mut agenda, 1)), (None, vec!["b".to_owned()]));
    }

    #[test]
    fn one_that_is_put_off_keeps_its_place_before_later_ones() {
        let mut agenda = Agenda::default();
        agenda.learn("a".into(), at(1));
        agenda.learn("b".into(), at(2));
        let name = agenda.next(at(5)).expect("it is due");
        agenda.put_off(name, at(50));
        assert_eq!(taken(&mut agenda, 5), ["b"]);
        agenda.again(&"b".into());
        assert_eq!(agenda.wait(at(5)), Some(Duration::ZERO));
        assert_eq!(taken(&mut agenda, 50), ["b", "a"]);
    }

    #[test]
    fn what_is_forgotten_or_replaced_is_gone() {
        let mut agenda = Agenda::default();
        agenda.learn("a".into(), at(1));
        agenda.forget(&"a".into());
        agenda.again(&"a".into());
        assert!(taken(&mut agenda, 9).is_empty());
        agenda.learn("a".into(), at(1));
        agenda.park("a".into(), &"a".into());
        agenda.park_unproven("a".into());
        agenda.replace([("b".into(), at(3))].into_iter());
        agenda.free("a");
        assert_eq!(agenda.next_unproven(), None);
        assert_eq!(taken(&mut agenda, 9), ["b"]);
    }

    #[test]
    fn a_round_with_many_destinations_costs_no_more_than_those_it_serves() {
        let mut agenda = Agenda::default();
        let names: Vec<Arc<str>> = (0..10_000).map(|number| format!("wh_{number}").into()).collect();
        agenda.replace(names.iter().take(1000).map(|name| (Arc::clone(name), at(1))));
        // All of them wait for room; an attempt that ends brings back one, and the next round sees that one only.
        while let Some(name) = agenda.next(at(1)) {
            agenda.park(Arc::clone(&name), &name);
        }
        for name in names.iter().take(1000) {
            agenda.free(name);
            assert_eq!(taken(&mut agenda, 1), [&**name]);
        }
    }
}
