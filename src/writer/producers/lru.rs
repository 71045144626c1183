//! Producers in the order of their last request, oldest first. Every operation takes constant time, except for sorting.
//!
//! A doubly linked list through the slots of a vector.

use std::collections::HashMap;
use std::sync::Arc;

use super::ProducerState;

#[derive(Debug, Default)]
pub(super) struct Lru {
    slot_of: HashMap<Arc<str>, usize>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    oldest: Option<usize>,
    newest: Option<usize>,
    /// Counts slot accesses, to test for constant time.
    #[cfg(test)]
    pub(super) slot_accesses: usize,
}

#[derive(Debug)]
struct Slot {
    producer_id: Arc<str>,
    state: ProducerState,
    older: Option<usize>,
    newer: Option<usize>,
}

impl Lru {
    pub(super) fn len(&self) -> usize {
        self.slot_of.len()
    }

    pub(super) fn get(&self, producer_id: &str) -> Option<ProducerState> {
        self.slots[*self.slot_of.get(producer_id)?].as_ref().map(|slot| slot.state)
    }

    /// Does not change the order.
    pub(super) fn get_mut(&mut self, producer_id: &str) -> Option<&mut ProducerState> {
        let slot = *self.slot_of.get(producer_id)?;
        Some(&mut self.slot(slot).state)
    }

    /// Makes the producer the newest.
    pub(super) fn touch(&mut self, producer_id: &str) -> Option<&mut ProducerState> {
        let slot = *self.slot_of.get(producer_id)?;
        self.unlink(slot);
        self.link_newest(slot);
        Some(&mut self.slot(slot).state)
    }

    /// Adds an absent producer as the newest.
    pub(super) fn insert(&mut self, producer_id: &str, state: ProducerState) {
        let producer_id: Arc<str> = producer_id.into();
        let new = Slot { producer_id: Arc::clone(&producer_id), state, older: None, newer: None };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(new);
        self.slot_of.insert(producer_id, slot);
        self.link_newest(slot);
    }

    pub(super) fn remove(&mut self, producer_id: &str) {
        if let Some(slot) = self.slot_of.remove(producer_id) {
            self.unlink(slot);
            self.slots[slot] = None;
            self.free.push(slot);
        }
    }

    pub(super) fn oldest(&self) -> Option<(&Arc<str>, ProducerState)> {
        let slot = self.slots[self.oldest?].as_ref()?;
        Some((&slot.producer_id, slot.state))
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, ProducerState)> {
        let slot = |slot: usize| self.slots[slot].as_ref();
        std::iter::successors(self.oldest.and_then(slot), move |at| at.newer.and_then(slot))
            .map(|at| (&*at.producer_id, at.state))
    }

    /// Sorts all producers by the time of their last request.
    pub(super) fn sort(&mut self) {
        let mut slots: Vec<_> = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_some()).collect();
        slots.sort_by_key(|&slot| self.slots[slot].as_ref().map(|slot| slot.state.last_seen_ms));
        (self.oldest, self.newest) = (None, None);
        for slot in slots {
            self.link_newest(slot);
        }
    }

    fn link_newest(&mut self, slot: usize) {
        let older = self.newest.replace(slot);
        match older {
            Some(older) => self.slot(older).newer = Some(slot),
            None => self.oldest = Some(slot),
        }
        let linked = self.slot(slot);
        (linked.older, linked.newer) = (older, None);
    }

    fn unlink(&mut self, slot: usize) {
        let Slot { older, newer, .. } = *self.slot(slot);
        match older {
            Some(older) => self.slot(older).newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.slot(newer).older = older,
            None => self.newest = older,
        }
    }

    fn slot(&mut self, slot: usize) -> &mut Slot {
        #[cfg(test)]
        {
            self.slot_accesses += 1;
        }
        self.slots[slot].as_mut().expect("a linked slot holds a producer")
    }
}
