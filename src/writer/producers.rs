//! Which request of which producer is the last one, so that a repeat is known as one.
//!
//! A producer is forgotten when it was idle for long ([`Producers::expire_idle`]), or when all places are taken, another comes
//! and it was idle longest, for an hour at least. A new producer waits when all were active within that hour.
//!
//! What a forgotten producer sends is refused, since a repeat can't be told from a new request any more, until it says that
//! it starts a new numbering. To refuse also its sequence 1, which is how a new producer begins, the last
//! [`MAX_FORGOTTEN_PRODUCERS`] forgotten ones are remembered by a hash.
//!
//! Each operation takes a constant number of steps, [`Producers::finish_restore`] apart, which belongs to a start.

mod forgotten;
mod lru;

use std::time::Duration;

use forgotten::ForgottenProducers;
use lru::Lru;

/// How many producers are remembered.
pub const MAX_PRODUCERS: usize = 100_000;
/// How many forgotten producers are remembered as such. 9 MB, and at least four hours of nothing but new producers.
pub const MAX_FORGOTTEN_PRODUCERS: usize = 450_000;
/// A producer is remembered for so long after its last request, whatever others send. The contract promises it, and clients
/// rely on it.
pub const MIN_PRODUCER_RETENTION: Duration = Duration::from_secs(3_600);
/// The longest that a new producer is told to wait. Places may become free sooner than it can be foreseen.
const MAX_RETRY_DELAY_MS: i64 = 60_000;
/// The place of one producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    /// The last sequence that was handed to the journal.
    pub last_sequence: u64,
    /// The last sequence that is durable.
    pub last_durable_sequence: u64,
    /// When its last request was received, in milliseconds since 1970 UTC.
    pub last_seen_ms: i64,
}

/// What a request's sequence says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceCheck {
    /// It is the next one.
    Next,
    /// It was handed over before. It is durable once everything that was handed over before now is.
    Duplicate,
    /// Requests before it are missing.
    Gap {
        /// The sequence that should have come.
        expected: u64,
    },
    /// Its producer was forgotten: it may be a repeat.
    Forgotten,
    /// It is the first of a new producer, and all that are remembered were active lately.
    AtCapacity {
        /// When a place may be free.
        retry_after: Duration,
    },
}

/// The places of all producers. Owned by the writer's task.
#[derive(Debug)]
pub struct Producers {
    capacity: usize,
    lru: Lru,
    forgotten: ForgottenProducers,
}

impl Default for Producers {
    fn default() -> Self {
        Self::new(MAX_PRODUCERS, MAX_FORGOTTEN_PRODUCERS)
    }
}

impl Producers {
    /// No producers yet. So many are remembered, and so many forgotten ones as such.
    pub fn new(capacity: usize, forgotten: usize) -> Self {
        Self { capacity, lru: Lru::default(), forgotten: ForgottenProducers::new(forgotten) }
    }

    /// What `sequence` is for this producer. `start_new_numbering`: it says that it starts one.
    pub fn check_sequence(
        &self,
        producer_id: &str,
        sequence: u64,
        start_new_numbering: bool,
        now_ms: i64,
    ) -> SequenceCheck {
        let Some(state) = self.lru.get(producer_id) else {
            return self.check_unknown_producer(producer_id, sequence, start_new_numbering, now_ms);
        };
        let expected = state.last_sequence.saturating_add(1);
        match sequence.cmp(&expected) {
            std::cmp::Ordering::Equal => SequenceCheck::Next,
            std::cmp::Ordering::Less => SequenceCheck::Duplicate,
            std::cmp::Ordering::Greater => SequenceCheck::Gap { expected },
        }
    }

    fn check_unknown_producer(
        &self,
        producer_id: &str,
        sequence: u64,
        start_new_numbering: bool,
        now_ms: i64,
    ) -> SequenceCheck {
        match sequence {
            0 => SequenceCheck::Duplicate, // nothing is numbered 0
            1 if start_new_numbering || !self.forgotten.contains(producer_id) => {
                match self.retry_delay_ms(now_ms) {
                    None => SequenceCheck::Next,
                    Some(ms) => {
                        SequenceCheck::AtCapacity { retry_after: Duration::from_millis(ms.unsigned_abs()) }
                    }
                }
            }
            _ if self.forgotten.contains(producer_id) => SequenceCheck::Forgotten,
            _ => SequenceCheck::Gap { expected: 1 },
        }
    }

    /// The place of a producer, if it is known.
    pub fn get(&self, producer_id: &str) -> Option<ProducerState> {
        self.lru.get(producer_id)
    }

    /// Notes that a request was handed to the journal.
    pub fn record_admitted(&mut self, producer_id: &str, sequence: u64, now_ms: i64) {
        if let Some(state) = self.lru.touch(producer_id) {
            state.last_sequence = sequence;
            state.last_seen_ms = now_ms;
            return;
        }
        if self.lru.len() >= self.capacity {
            self.forget_oldest();
        }
        let state = ProducerState { last_sequence: sequence, last_durable_sequence: 0, last_seen_ms: now_ms };
        self.lru.insert(producer_id, state);
    }

    /// Notes a request that was handed over before: its producer is active.
    pub fn record_duplicate(&mut self, producer_id: &str, now_ms: i64) {
        if let Some(state) = self.lru.touch(producer_id) {
            state.last_seen_ms = now_ms;
        }
    }

    /// Notes that a request is durable.
    pub fn mark_durable(&mut self, producer_id: &str, sequence: u64) {
        if let Some(state) = self.lru.get_mut(producer_id) {
            state.last_durable_sequence = state.last_durable_sequence.max(sequence);
        }
    }

    /// Takes back what was handed over and did not become durable.
    pub fn roll_back(&mut self, producer_id: &str) {
        if let Some(state) = self.lru.get_mut(producer_id) {
            state.last_sequence = state.last_durable_sequence;
            if state.last_durable_sequence == 0 {
                self.lru.remove(producer_id);
            }
        }
    }

    /// Puts a producer where a record of the journal says it is. Records come in their order; then [`Self::finish_restore`].
    pub fn restore(&mut self, producer_id: &str, last_durable_sequence: u64, last_seen_ms: i64) {
        let restored =
            ProducerState { last_sequence: last_durable_sequence, last_durable_sequence, last_seen_ms };
        match self.lru.touch(producer_id) {
            Some(state) => *state = restored,
            None => self.lru.insert(producer_id, restored),
        }
        // The journal may hold more producers than were remembered at any time.
        if self.lru.len() > 2 * self.capacity {
            self.finish_restore();
        }
    }

    /// Notes a forgotten producer that a record of the journal names.
    pub fn restore_forgotten(&mut self, hash: u64) {
        self.forgotten.insert_hash(hash);
    }

    /// Ends a restore: what is beyond the bound is forgotten, as it was before the restart.
    pub fn finish_restore(&mut self) {
        self.lru.sort();
        while self.lru.len() > self.capacity {
            self.forget_oldest();
        }
    }

    /// Forgets the producers that sent nothing since then, and nothing that is still on its way.
    pub fn expire_idle(&mut self, idle_since_ms: i64) {
        while self.lru.oldest().is_some_and(|(_, state)| {
            state.last_seen_ms < idle_since_ms && state.last_sequence == state.last_durable_sequence
        }) {
            self.forget_oldest();
        }
    }

    /// The place of each producer, longest idle first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ProducerState)> {
        self.lru.iter()
    }

    /// The hashes of the producers that were forgotten, oldest first.
    pub fn forgotten(&self) -> impl Iterator<Item = u64> {
        self.forgotten.iter()
    }

    /// How long until a place may be free; none where one is.
    fn retry_delay_ms(&self, now_ms: i64) -> Option<i64> {
        let (_, oldest) = self.lru.oldest().filter(|_| self.lru.len() >= self.capacity)?;
        let active_ms = MIN_PRODUCER_RETENTION.as_millis() as i64;
        let idle_ms = now_ms.saturating_sub(oldest.last_seen_ms);
        // Seen more than an hour from now: the clock was wrong then, and should not keep others out until it is right.
        let idle = idle_ms >= active_ms || idle_ms < -active_ms;
        if idle && oldest.last_sequence == oldest.last_durable_sequence {
            return None;
        }
        Some((active_ms - idle_ms).clamp(1_000, MAX_RETRY_DELAY_MS))
    }

    fn forget_oldest(&mut self) {
        if let Some((producer_id, _)) = self.lru.oldest() {
            let producer_id = producer_id.clone();
            self.forgotten.insert(&producer_id);
            self.lru.remove(&producer_id);
        }
    }
}

#[cfg(test)]
mod tests;
