//! The event ids that producers gave lately, so that an event sent twice counts once, also without a producer_id.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// A window over the ids, in the order in which they were accepted.
#[derive(Debug)]
pub struct RecentIds {
    capacity: usize,
    seen: HashSet<Uuid>,
    /// The same ids with the journal record that holds each, oldest first.
    order: VecDeque<(u64, Uuid)>,
}

impl RecentIds {
    /// A window over the last `capacity` ids; the oldest is forgotten when another comes.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, seen: HashSet::new(), order: VecDeque::new() }
    }

    /// Whether the id is in the window.
    pub fn contains(&self, id: Uuid) -> bool {
        self.seen.contains(&id)
    }

    /// Notes the ids of the record `lsn`. Records come in ascending order.
    pub fn insert(&mut self, lsn: u64, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            if self.capacity > 0 && self.seen.insert(id) {
                self.order.push_back((lsn, id));
            }
        }
        while self.order.len() > self.capacity {
            self.forget_oldest();
        }
    }

    /// Takes back the ids of the record `lsn` and of all after it: they did not become durable.
    pub fn take_back(&mut self, lsn: u64) {
        while let Some(&(last, id)) = self.order.back()
            && last >= lsn
        {
            self.order.pop_back();
            self.seen.remove(&id);
        }
    }

    /// Forgets the ids of records before `lsn`.
    pub fn forget_before(&mut self, lsn: u64) {
        while self.order.front().is_some_and(|&(first, _)| first < lsn) {
            self.forget_oldest();
        }
    }

    /// The oldest record whose ids are in the window. The journal keeps it, so that a restart finds the ids again.
    pub fn oldest_record(&self) -> Option<u64> {
        self.order.front().map(|&(lsn, _)| lsn)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.seen.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut ids = RecentIds::new(2);
        ids.insert(1, [id(1)]);
        ids.insert(2, [id(2), id(3)]);
        assert!(!ids.contains(id(1)) && ids.contains(id(2)) && ids.contains(id(3)));
        assert_eq!(ids.oldest_record(), Some(2));
    }

    #[test]
    fn a_failed_record_leaves_no_trace() {
        let mut ids = RecentIds::new(10);
        ids.insert(1, [id(1)]);
        ids.insert(2, [id(2)]);
        ids.take_back(2);
        assert!(ids.contains(id(1)) && !ids.contains(id(2)));
    }

    #[test]
    fn a_window_of_none_remembers_none() {
        let mut ids = RecentIds::new(0);
        ids.insert(1, [id(1)]);
        assert!(!ids.contains(id(1)));
    }

    #[test]
    fn old_records_are_forgotten_together() {
        let mut ids = RecentIds::new(10);
        ids.insert(1, [id(1), id(2)]);
        ids.insert(2, [id(3)]);
        ids.forget_before(2);
        assert_eq!(ids.oldest_record(), Some(2));
    }
}
