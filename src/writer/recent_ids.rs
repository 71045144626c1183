//! Deduplication of events by the id that the producer assigned. Also works without a `producer_id`.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// A window over the most recently admitted event ids.
///
/// Recovery restores it from the journal: from the last snapshot and the events records after it.
#[derive(Debug)]
pub(crate) struct RecentIds {
    capacity: usize,
    seen: HashSet<Uuid>,
    /// The same ids with the LSN of the record that holds each, oldest first.
    order: VecDeque<(u64, Uuid)>,
}

impl RecentIds {
    /// Size of one id in a snapshot.
    pub(crate) const SNAPSHOT_BYTES: u64 = 16;

    /// At `capacity` ids, each new id evicts the oldest. A capacity of 0 turns deduplication off.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, seen: HashSet::new(), order: VecDeque::new() }
    }

    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.seen.contains(&id)
    }

    /// Adds the ids of the record `lsn`. LSNs must ascend from call to call.
    pub(crate) fn insert(&mut self, lsn: u64, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            if self.capacity > 0 && self.seen.insert(id) {
                self.order.push_back((lsn, id));
            }
        }
        while self.order.len() > self.capacity {
            if let Some((_, id)) = self.order.pop_front() {
                self.seen.remove(&id);
            }
        }
    }

    /// Removes the ids of the record `lsn` and of all later records, which did not become durable.
    pub(crate) fn roll_back(&mut self, lsn: u64) {
        while let Some(&(last, id)) = self.order.back()
            && last >= lsn
        {
            self.order.pop_back();
            self.seen.remove(&id);
        }
    }

    /// Replaces the window with the ids of a snapshot whose last record is `lsn`.
    pub(crate) fn restore(&mut self, lsn: u64, ids: impl IntoIterator<Item = Uuid>) {
        self.seen.clear();
        self.order.clear();
        self.insert(lsn, ids);
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Uuid> + '_ {
        self.order.iter().map(|&(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn the_oldest_id_is_evicted_first() {
        let mut ids = RecentIds::new(2);
        ids.insert(1, [id(1)]);
        ids.insert(2, [id(2), id(3)]);
        assert!(!ids.contains(id(1)) && ids.contains(id(2)) && ids.contains(id(3)));
        assert_eq!(ids.iter().collect::<Vec<_>>(), [id(2), id(3)]);
    }

    #[test]
    fn ids_of_a_failed_record_are_removed() {
        let mut ids = RecentIds::new(10);
        ids.insert(1, [id(1)]);
        ids.insert(2, [id(2)]);
        ids.roll_back(2);
        assert!(ids.contains(id(1)) && !ids.contains(id(2)));
    }

    #[test]
    fn a_window_of_zero_capacity_stores_nothing() {
        let mut ids = RecentIds::new(0);
        ids.insert(1, [id(1)]);
        assert!(!ids.contains(id(1)));
    }

    #[test]
    fn a_snapshot_replaces_the_window() {
        let mut ids = RecentIds::new(10);
        ids.insert(1, [id(1), id(2)]);
        ids.restore(5, [id(2), id(3)]);
        ids.insert(6, [id(4)]);
        assert_eq!(ids.iter().collect::<Vec<_>>(), [id(2), id(3), id(4)]);
    }
}
