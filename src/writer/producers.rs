//! Which request of which producer is the last one, so that a repeat is known as one.

use std::collections::HashMap;

/// How many producers are remembered. Beyond it a new producer takes the place of the one that was idle longest: its
/// repeats would then be taken for gaps and be refused, never doubled.
pub const MAX_PRODUCERS: usize = 100_000;

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
}

/// The places of all producers. Owned by the writer's task.
#[derive(Debug, Default)]
pub struct Producers {
    places: HashMap<String, Place>,
}

impl Producers {
    /// What `sequence` is for this producer.
    pub fn order(&self, producer_id: &str, sequence: u64) -> Order {
        let expected = self.place(producer_id).map_or(0, |place| place.handed_over).saturating_add(1);
        match sequence.cmp(&expected) {
            std::cmp::Ordering::Equal => Order::Next,
            std::cmp::Ordering::Less => Order::Repeat,
            std::cmp::Ordering::Greater => Order::Gap { expected },
        }
    }

    /// The place of a producer, if it is known.
    pub fn place(&self, producer_id: &str) -> Option<Place> {
        self.places.get(producer_id).copied()
    }

    /// Notes that a request was handed to the journal.
    pub fn hand_over(&mut self, producer_id: &str, sequence: u64, now_ms: i64) {
        if let Some(place) = self.places.get_mut(producer_id) {
            place.handed_over = sequence;
            place.last_seen_ms = now_ms;
            return;
        }
        if self.places.len() >= MAX_PRODUCERS {
            self.forget_longest_idle();
        }
        let place = Place { handed_over: sequence, durable: 0, last_seen_ms: now_ms };
        self.places.insert(producer_id.to_owned(), place);
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

    /// Puts a producer where the journal says it is.
    pub fn restore(&mut self, producer_id: String, durable: u64, last_seen_ms: i64) {
        self.places.insert(producer_id, Place { handed_over: durable, durable, last_seen_ms });
    }

    /// Forgets the producers that sent nothing since then, and nothing that is still on its way.
    pub fn expire(&mut self, idle_since_ms: i64) {
        self.places
            .retain(|_, place| place.last_seen_ms >= idle_since_ms || place.handed_over != place.durable);
    }

    /// The place of each producer.
    pub fn places(&self) -> impl Iterator<Item = (&str, Place)> {
        self.places.iter().map(|(id, place)| (id.as_str(), *place))
    }

    fn forget_longest_idle(&mut self) {
        let idle = self.places.iter().filter(|(_, place)| place.handed_over == place.durable);
        if let Some(id) = idle.min_by_key(|(_, place)| place.last_seen_ms).map(|(id, _)| id.clone()) {
            self.places.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_begins_with_one() {
        let producers = Producers::default();
        assert_eq!(producers.order("a", 1), Order::Next);
        assert_eq!(producers.order("a", 2), Order::Gap { expected: 1 });
        assert_eq!(producers.order("a", 0), Order::Repeat, "nothing is numbered 0");
    }

    #[test]
    fn a_request_on_its_way_is_a_repeat_already() {
        let mut producers = Producers::default();
        producers.hand_over("a", 1, 0);
        assert_eq!(producers.order("a", 1), Order::Repeat);
        assert_eq!(producers.order("a", 2), Order::Next);
        assert_eq!(producers.place("a").map(|place| place.durable), Some(0));
    }

    #[test]
    fn what_did_not_become_durable_may_come_again() {
        let mut producers = Producers::default();
        producers.hand_over("a", 1, 0);
        producers.durable("a", 1);
        producers.hand_over("a", 2, 0);
        producers.hand_over("a", 3, 0);
        producers.take_back("a");
        assert_eq!(producers.order("a", 2), Order::Next);
        producers.hand_over("b", 1, 0);
        producers.take_back("b");
        assert_eq!(producers.place("b"), None);
    }

    #[test]
    fn idle_producers_expire_but_not_with_a_request_on_its_way() {
        let mut producers = Producers::default();
        producers.restore("idle".into(), 5, 10);
        producers.restore("busy".into(), 5, 20);
        producers.hand_over("waiting", 1, 10);
        producers.expire(15);
        assert_eq!(producers.place("idle"), None);
        assert!(producers.place("busy").is_some() && producers.place("waiting").is_some());
    }
}
