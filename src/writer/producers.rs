//! Which request of which producer is the last one, so that a repeat is known as one.
//!
//! A producer is forgotten when it was idle for long ([`Producers::expire`]), or when all places are taken, another comes
//! and it was idle longest, for an hour at least. A new producer waits when all were active within that hour.
//!
//! What a forgotten producer sends is refused, since a repeat can't be told from a new request any more, until it says that
//! it starts a new numbering. To refuse also its sequence 1, which is how a new producer begins, the last
//! [`MAX_FORGOTTEN`] forgotten ones are remembered by a hash.
//!
//! Each operation takes a constant number of steps, [`Producers::settle`] apart, which belongs to a start.

mod forgotten;
mod lru;

use std::time::Duration;

use forgotten::Forgotten;
use lru::Lru;

/// How many producers are remembered.
pub const MAX_PRODUCERS: usize = 100_000;
/// How many forgotten producers are remembered as such. 9 MB, and at least four hours of nothing but new producers.
pub const MAX_FORGOTTEN: usize = 450_000;
/// A producer is remembered for so long after its last request, whatever others send. The contract promises it, and clients
/// rely on it.
pub const ACTIVE_FOR: Duration = Duration::from_secs(3_600);
/// The longest that a new producer is told to wait. Places may become free sooner than it can be foreseen.
const LONGEST_WAIT_MS: i64 = 60_000;
/// The place of one producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The last sequence that was handed to the journal.
    pub handed_over: u64,
    /// The last sequence that is durable.
    pub durable: u64,
    /// When its last request was received, in milliseconds since 1970 UTC.
    pub last_seen_ms: i64,
}

/// What a request's sequence says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is the next one.
    Next,
    /// It was handed over before. It is durable once everything that was handed over before now is.
    Repeat,
    /// Requests before it are missing.
    Gap {
        /// The sequence that should have come.
        expected: u64,
    },
    /// Its producer was forgotten: it may be a repeat.
    Forgotten,
    /// It is the first of a new producer, and all that are remembered were active lately.
    Full {
        /// When a place may be free.
        retry_after: Duration,
    },
}

/// The places of all producers. Owned by the writer's task.
#[derive(Debug)]
pub struct Producers {
    capacity: usize,
    places: Lru,
    forgotten: Forgotten,
}

impl Default for Producers {
    fn default() -> Self {
        Self::new(MAX_PRODUCERS, MAX_FORGOTTEN)
    }
}

impl Producers {
    /// No producers yet. So many are remembered, and so many forgotten ones as such.
    pub fn new(capacity: usize, forgotten: usize) -> Self {
        Self { capacity, places: Lru::default(), forgotten: Forgotten::new(forgotten) }
    }

    /// What `sequence` is for this producer. `new_numbering`: it says that it starts one.
    pub fn order(&self, producer_id: &str, sequence: u64, new_numbering: bool, now_ms: i64) -> Order {
        let Some(place) = self.places.get(producer_id) else {
            return self.order_of_unknown(producer_id, sequence, new_numbering, now_ms);
        };
        let expected = place.handed_over.saturating_add(1);
        match sequence.cmp(&expected) {
            std::cmp::Ordering::Equal => Order::Next,
            std::cmp::Ordering::Less => Order::Repeat,
            std::cmp::Ordering::Greater => Order::Gap { expected },
        }
    }

    fn order_of_unknown(&self, producer_id: &str, sequence: u64, new_numbering: bool, now_ms: i64) -> Order {
        match sequence {
            0 => Order::Repeat, // nothing is numbered 0
            1 if new_numbering || !self.forgotten.contains(producer_id) => match self.wait_ms(now_ms) {
                None => Order::Next,
                Some(ms) => Order::Full { retry_after: Duration::from_millis(ms.unsigned_abs()) },
            },
            _ if self.forgotten.contains(producer_id) => Order::Forgotten,
            _ => Order::Gap { expected: 1 },
        }
    }

    /// The place of a producer, if it is known.
    pub fn place(&self, producer_id: &str) -> Option<Place> {
        self.places.get(producer_id)
    }

    /// Notes that a request was handed to the journal.
    pub fn hand_over(&mut self, producer_id: &str, sequence: u64, now_ms: i64) {
        if let Some(place) = self.places.touch(producer_id) {
            place.handed_over = sequence;
            place.last_seen_ms = now_ms;
            return;
        }
        if self.places.len() >= self.capacity {
            self.forget_oldest();
        }
        let place = Place { handed_over: sequence, durable: 0, last_seen_ms: now_ms };
        self.places.insert(producer_id, place);
    }

    /// Notes a request that was handed over before: its producer is active.
    pub fn repeated(&mut self, producer_id: &str, now_ms: i64) {
        if let Some(place) = self.places.touch(producer_id) {
            place.last_seen_ms = now_ms;
        }
    }

    /// Notes that a request is durable.
    pub fn durable(&mut self, producer_id: &str, sequence: u64) {
        if let Some(place) = self.places.get_mut(producer_id) {
            place.durable = place.durable.max(sequence);
        }
    }

    /// Takes back what was handed over and did not become durable.
    pub fn take_back(&mut self, producer_id: &str) {
        if let Some(place) = self.places.get_mut(producer_id) {
            place.handed_over = place.durable;
            if place.durable == 0 {
                self.places.remove(producer_id);
            }
        }
    }

    /// Puts a producer where a record of the journal says it is. Records come in their order; then [`Self::settle`].
    pub fn restore(&mut self, producer_id: &str, durable: u64, last_seen_ms: i64) {
        let restored = Place { handed_over: durable, durable, last_seen_ms };
        match self.places.touch(producer_id) {
            Some(place) => *place = restored,
            None => self.places.insert(producer_id, restored),
        }
        // The journal may hold more producers than were remembered at any time.
        if self.places.len() > 2 * self.capacity {
            self.settle();
        }
    }

    /// Notes a forgotten producer that a record of the journal names.
    pub fn restore_forgotten(&mut self, hash: u64) {
        self.forgotten.insert_hash(hash);
    }

    /// Ends a restore: what is beyond the bound is forgotten, as it was before the restart.
    pub fn settle(&mut self) {
        self.places.sort();
        while self.places.len() > self.capacity {
            self.forget_oldest();
        }
    }

    /// Forgets the producers that sent nothing since then, and nothing that is still on its way.
    pub fn expire(&mut self, idle_since_ms: i64) {
        while self.places.oldest().is_some_and(|(_, place)| {
            place.last_seen_ms < idle_since_ms && place.handed_over == place.durable
        }) {
            self.forget_oldest();
        }
    }

    /// The place of each producer, longest idle first.
    pub fn places(&self) -> impl Iterator<Item = (&str, Place)> {
        self.places.iter()
    }

    /// The hashes of the producers that were forgotten, oldest first.
    pub fn forgotten(&self) -> impl Iterator<Item = u64> {
        self.forgotten.iter()
    }

    /// How long until a place may be free; none where one is.
    fn wait_ms(&self, now_ms: i64) -> Option<i64> {
        let (_, oldest) = self.places.oldest().filter(|_| self.places.len() >= self.capacity)?;
        let active_ms = ACTIVE_FOR.as_millis() as i64;
        let idle_ms = now_ms.saturating_sub(oldest.last_seen_ms);
        // Seen more than an hour from now: the clock was wrong then, and should not keep others out until it is right.
        let idle = idle_ms >= active_ms || idle_ms < -active_ms;
        if idle && oldest.handed_over == oldest.durable {
            return None;
        }
        Some((active_ms - idle_ms).clamp(1_000, LONGEST_WAIT_MS))
    }

    fn forget_oldest(&mut self) {
        if let Some((producer_id, _)) = self.places.oldest() {
            let producer_id = producer_id.clone();
            self.forgotten.insert(&producer_id);
            self.places.remove(&producer_id);
        }
    }
}

#[cfg(test)]
mod tests;
