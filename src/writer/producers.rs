//! The last sequence of each producer, which identifies duplicate requests and gaps.
//!
//! A producer is forgotten after a long idle time ([`Producers::expire_idle`]). It is also forgotten when all slots are
//! taken, a new producer arrives, and it has been idle longest, for an hour or more. If all producers were active within the
//! last hour, the new producer is rejected with a retry delay.
//!
//! A request of a forgotten producer is rejected, since it may be a duplicate, until the producer starts a new
//! numbering. This includes sequence 1, with which a new producer starts: the last [`MAX_FORGOTTEN_PRODUCERS`]
//! forgotten producers are therefore kept as hashes.
//!
//! Each operation takes constant time, except for [`Producers::finish_restore`], which runs at recovery.

mod forgotten;
mod lru;

use std::borrow::Cow;
use std::time::Duration;

use forgotten::ForgottenProducers;
use lru::Lru;

use crate::project::Project;

/// Maximum number of producers whose state is kept.
pub const MAX_PRODUCERS: usize = 100_000;
/// Maximum number of forgotten producers that are kept as hashes. They take 9 MB, and cover at least four hours in
/// which every request comes from a new producer.
pub(crate) const MAX_FORGOTTEN_PRODUCERS: usize = 450_000;
/// Minimum time for which a producer's state is kept after its last request. Part of the contract; clients rely on it.
pub(crate) const MIN_PRODUCER_RETENTION: Duration = Duration::from_secs(3_600);
/// Maximum retry delay of a rejected new producer. A slot may become free earlier than predicted.
const MAX_RETRY_DELAY_MS: i64 = 60_000;

/// The key of a producer: its project and its id. In the default project it is the id alone, as in journals of earlier
/// versions. An id with a zero byte always has its project before it, so that no two producers have the same key.
pub(crate) fn producer_key<'a>(project: &Project, producer_id: &'a str) -> Cow<'a, str> {
    match project.as_str() {
        Project::DEFAULT if !producer_id.contains('\0') => Cow::Borrowed(producer_id),
        project => Cow::Owned(format!("{project}\0{producer_id}")),
    }
}

/// The state of one producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    /// The last sequence appended to the journal.
    pub last_sequence: u64,
    /// The last durable sequence: lower than `last_sequence` while requests are pending.
    pub last_durable_sequence: u64,
    /// When the last request was received, in milliseconds since 1970 UTC.
    pub last_seen_ms: i64,
}

/// The position of a request in its producer's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceCheck {
    Next,
    /// The request was admitted before. It is durable when everything admitted so far is.
    Duplicate,
    /// Earlier requests are missing.
    Gap {
        expected: u64,
    },
    /// The producer was forgotten, and the request may be a duplicate.
    Forgotten,
    /// The first request of a new producer, while all known producers were active within the last hour.
    AtCapacity {
        /// When a slot may be free.
        retry_after: Duration,
    },
}

/// The states of all producers. Owned by the writer's task.
#[derive(Debug)]
pub(crate) struct Producers {
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
    /// Keeps the state of `capacity` producers, and hashes of `forgotten_capacity` forgotten producers.
    pub(crate) fn new(capacity: usize, forgotten_capacity: usize) -> Self {
        Self { capacity, lru: Lru::default(), forgotten: ForgottenProducers::new(forgotten_capacity) }
    }

    /// Checks the sequence of a request. `start_new_numbering` is the request's flag.
    pub(crate) fn check_sequence(
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
            0 => SequenceCheck::Duplicate, // sequences start at 1
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

    pub(crate) fn get(&self, producer_id: &str) -> Option<ProducerState> {
        self.lru.get(producer_id)
    }

    /// Records that a request was appended to the journal.
    pub(crate) fn record_admitted(&mut self, producer_id: &str, sequence: u64, now_ms: i64) {
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

    /// Records a duplicate request, which shows that the producer is active.
    pub(crate) fn record_duplicate(&mut self, producer_id: &str, now_ms: i64) {
        if let Some(state) = self.lru.touch(producer_id) {
            state.last_seen_ms = now_ms;
        }
    }

    pub(crate) fn mark_durable(&mut self, producer_id: &str, sequence: u64) {
        if let Some(state) = self.lru.get_mut(producer_id) {
            state.last_durable_sequence = state.last_durable_sequence.max(sequence);
        }
    }

    /// Discards the sequences that did not become durable.
    pub(crate) fn roll_back(&mut self, producer_id: &str) {
        if let Some(state) = self.lru.get_mut(producer_id) {
            state.last_sequence = state.last_durable_sequence;
            if state.last_durable_sequence == 0 {
                self.lru.remove(producer_id);
            }
        }
    }

    /// Sets the state of a producer from a journal record. Call it in the order of the records, then
    /// [`Self::finish_restore`].
    pub(crate) fn restore(&mut self, producer_id: &str, last_durable_sequence: u64, last_seen_ms: i64) {
        let restored =
            ProducerState { last_sequence: last_durable_sequence, last_durable_sequence, last_seen_ms };
        match self.lru.touch(producer_id) {
            Some(state) => *state = restored,
            None => self.lru.insert(producer_id, restored),
        }
        // The journal may hold more producers than were known at any one time.
        if self.lru.len() > 2 * self.capacity {
            self.finish_restore();
        }
    }

    /// Adds a forgotten producer from a journal record.
    pub(crate) fn restore_forgotten(&mut self, hash: u64) {
        self.forgotten.insert_hash(hash);
    }

    /// Ends a restore: forgets the producers beyond the capacity, as before the restart.
    pub(crate) fn finish_restore(&mut self) {
        self.lru.sort();
        while self.lru.len() > self.capacity {
            self.forget_oldest();
        }
    }

    /// Forgets the producers whose last request is older than `idle_since_ms`, unless they have pending requests.
    pub(crate) fn expire_idle(&mut self, idle_since_ms: i64) {
        while self.lru.oldest().is_some_and(|(_, state)| {
            state.last_seen_ms < idle_since_ms && state.last_sequence == state.last_durable_sequence
        }) {
            self.forget_oldest();
        }
    }

    /// Longest idle first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, ProducerState)> {
        self.lru.iter()
    }

    /// The hashes of the forgotten producers, oldest first.
    pub(crate) fn forgotten(&self) -> impl Iterator<Item = u64> {
        self.forgotten.iter()
    }

    /// How long until a slot may be free; `None` if one is free or can be freed.
    fn retry_delay_ms(&self, now_ms: i64) -> Option<i64> {
        let (_, oldest) = self.lru.oldest().filter(|_| self.lru.len() >= self.capacity)?;
        let active_ms = MIN_PRODUCER_RETENTION.as_millis() as i64;
        let idle_ms = now_ms.saturating_sub(oldest.last_seen_ms);
        // A last request more than an hour in the future comes from a wrong clock. It must not block new producers.
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
