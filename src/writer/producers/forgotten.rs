//! The most recently forgotten producers, as hashes: enough to tell a returning producer from a new one.

use std::collections::HashMap;

/// A ring of hashes in insertion order. At capacity, each new hash evicts the oldest.
#[derive(Debug)]
pub(super) struct ForgottenProducers {
    capacity: usize,
    /// [`TOMBSTONE`] where a hash was inserted again later.
    hashes: Vec<u64>,
    next_position: usize,
    position_of: HashMap<u64, usize>,
}

const TOMBSTONE: u64 = 0;

impl ForgottenProducers {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, hashes: Vec::new(), next_position: 0, position_of: HashMap::new() }
    }

    pub(super) fn contains(&self, producer_id: &str) -> bool {
        self.position_of.contains_key(&hash(producer_id))
    }

    pub(super) fn insert(&mut self, producer_id: &str) {
        self.insert_hash(hash(producer_id));
    }

    pub(super) fn insert_hash(&mut self, hash: u64) {
        if self.capacity == 0 {
            return;
        }
        if let Some(previous) = self.position_of.insert(hash, self.next_position) {
            self.hashes[previous] = TOMBSTONE;
        }
        if self.next_position == self.hashes.len() {
            self.hashes.push(hash);
        } else {
            let oldest = std::mem::replace(&mut self.hashes[self.next_position], hash);
            if oldest != TOMBSTONE {
                self.position_of.remove(&oldest);
            }
        }
        self.next_position = (self.next_position + 1) % self.capacity;
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let (newer, older) = self.hashes.split_at(self.next_position.min(self.hashes.len()));
        older.iter().chain(newer).copied().filter(|&hash| hash != TOMBSTONE)
    }
}

/// FNV-1a. Journals contain its values, so that it must not change. Its collisions are no security problem: a client
/// that can send as one producer can send as any.
fn hash(producer_id: &str) -> u64 {
    let hash = producer_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    if hash == TOMBSTONE { 1 } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_hash_is_evicted_and_reinsertion_refreshes_it() {
        let mut forgotten = ForgottenProducers::new(3);
        for id in ["a", "b", "c", "a", "d"] {
            forgotten.insert(id);
        }
        assert!(["a", "c", "d"].iter().all(|id| forgotten.contains(id)) && !forgotten.contains("b"));
        assert_eq!(forgotten.iter().count(), 3);
        forgotten.insert("a");
        forgotten.insert("a");
        assert!(forgotten.contains("a") && forgotten.contains("d"));
        assert_eq!(forgotten.position_of.len(), forgotten.iter().count());
    }

    #[test]
    fn the_hash_function_is_stable() {
        assert_eq!(
            (hash(""), hash("a"), hash("foobar")),
            (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8)
        );
    }
}
