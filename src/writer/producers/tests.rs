use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn order(producers: &Producers, producer_id: &str, sequence: u64) -> Order {
    producers.order(producer_id, sequence, false, 0)
}

#[test]
fn a_producer_begins_with_one() {
    let producers = Producers::default();
    assert_eq!(order(&producers, "a", 1), Order::Next);
    assert_eq!(order(&producers, "a", 2), Order::Gap { expected: 1 });
    assert_eq!(order(&producers, "a", 0), Order::Repeat, "nothing is numbered 0");
}

#[test]
fn a_request_on_its_way_is_a_repeat_already() {
    let mut producers = Producers::default();
    producers.hand_over("a", 1, 0);
    assert_eq!(order(&producers, "a", 1), Order::Repeat);
    assert_eq!(producers.order("a", 1, true, 0), Order::Repeat, "a new numbering begins once");
    assert_eq!(order(&producers, "a", 2), Order::Next);
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
    assert_eq!(order(&producers, "a", 2), Order::Next);
    producers.hand_over("b", 1, 0);
    producers.take_back("b");
    assert_eq!(producers.place("b"), None);
}

#[test]
fn idle_producers_expire_but_not_with_a_request_on_its_way() {
    let mut producers = Producers::default();
    producers.restore("idle", 5, 10);
    producers.restore("busy", 5, 20);
    producers.hand_over("waiting", 1, 10);
    producers.expire(15);
    assert_eq!(producers.place("idle"), None);
    assert!(producers.place("busy").is_some() && producers.place("waiting").is_some());
    producers.expire(i64::MAX);
    assert!(producers.place("busy").is_none() && producers.place("waiting").is_some());
}

#[test]
fn a_forgotten_producer_goes_on_only_with_a_new_numbering() {
    let mut producers = Producers::default();
    producers.restore("a", 5, 10);
    producers.expire(15);
    for sequence in [1, 2, 5, 6] {
        assert_eq!(order(&producers, "a", sequence), Order::Forgotten, "{sequence}");
    }
    assert_eq!(producers.order("a", 6, true, 20), Order::Forgotten, "a new numbering begins with 1");
    assert_eq!(producers.order("a", 1, true, 20), Order::Next);
    // A first request that fails on the disk changes nothing.
    producers.hand_over("a", 1, 20);
    producers.take_back("a");
    assert_eq!(order(&producers, "a", 1), Order::Forgotten);
    producers.hand_over("a", 1, 20);
    producers.durable("a", 1);
    assert_eq!((order(&producers, "a", 1), order(&producers, "a", 2)), (Order::Repeat, Order::Next));
}

#[test]
fn a_hundred_thousand_junk_ids_evict_nobody_active_and_cost_a_constant_number_of_steps() {
    let mut producers = Producers::default();
    let active = 1_000;
    for n in 0..active {
        producers.hand_over(&format!("active-{n}"), 1, 0);
        producers.durable(&format!("active-{n}"), 1);
    }
    let (mut refused, mut taken) = (0, 0);
    for n in 0..100_000 {
        let (junk, now_ms) = (format!("junk-{n}"), 1 + n / 100);
        let steps = producers.places.steps;
        match producers.order(&junk, 1, false, now_ms) {
            Order::Next => {
                taken += 1;
                producers.hand_over(&junk, 1, now_ms);
                producers.durable(&junk, 1);
            }
            Order::Full { retry_after } => {
                refused += 1;
                assert_eq!(retry_after, Duration::from_secs(60));
            }
            other => panic!("{other:?}"),
        }
        assert!(producers.places.steps - steps <= 4, "{n}");
    }
    assert_eq!((taken, refused), (MAX_PRODUCERS - active, active));
    for n in 0..active {
        assert_eq!(producers.order(&format!("active-{n}"), 2, false, 2_000), Order::Next);
        producers.hand_over(&format!("active-{n}"), 2, 2_000);
        producers.durable(&format!("active-{n}"), 2);
    }
    // An hour after the junk came, the first of it makes room, and still nobody who was active since.
    let later = 1_500 + HOUR_MS;
    for n in 0..50_000 {
        let (junk, steps) = (format!("more-{n}"), producers.places.steps);
        assert_eq!(producers.order(&junk, 1, false, later), Order::Next);
        producers.hand_over(&junk, 1, later);
        producers.durable(&junk, 1);
        assert!(producers.places.steps - steps <= 8, "{n}");
    }
    assert!((0..active).all(|n| producers.place(&format!("active-{n}")).is_some()));
    assert_eq!(producers.order("junk-0", 1, false, later), Order::Forgotten);
    assert_eq!(producers.places.len(), MAX_PRODUCERS);
}

#[test]
fn a_clock_that_was_wrong_keeps_nobody_out() {
    let mut producers = Producers::new(1, 1);
    producers.hand_over("of 2099", 1, 1_000 * HOUR_MS);
    producers.durable("of 2099", 1);
    assert_eq!(producers.order("new", 1, false, HOUR_MS), Order::Next);
    assert!(matches!(producers.order("new", 1, false, 1_000 * HOUR_MS), Order::Full { .. }));
}

/// What the rules say, by looking at everything.
#[derive(Default)]
struct Model {
    /// Oldest first.
    places: Vec<(String, Place)>,
    forgotten: Vec<String>,
}

impl Model {
    fn forget(&mut self, at: usize) {
        let (id, _) = self.places.remove(at);
        self.forgotten.retain(|known| *known != id);
        self.forgotten.push(id);
    }

    fn order(&self, id: &str, sequence: u64, new_numbering: bool, now_ms: i64, capacity: usize) -> Order {
        if let Some((_, place)) = self.places.iter().find(|(known, _)| known == id) {
            return match sequence {
                s if s <= place.handed_over => Order::Repeat,
                s if s == place.handed_over + 1 => Order::Next,
                _ => Order::Gap { expected: place.handed_over + 1 },
            };
        }
        let forgotten = self.forgotten.iter().any(|known| known == id);
        if forgotten && !(sequence == 1 && new_numbering) {
            return Order::Forgotten;
        }
        if sequence > 1 {
            return Order::Gap { expected: 1 };
        }
        if self.places.len() < capacity {
            return Order::Next;
        }
        let oldest = self.places[0].1;
        if now_ms - oldest.last_seen_ms >= HOUR_MS && oldest.durable == oldest.handed_over {
            return Order::Next;
        }
        let wait_ms = (HOUR_MS - (now_ms - oldest.last_seen_ms)).clamp(1_000, 60_000);
        Order::Full { retry_after: Duration::from_millis(wait_ms as u64) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { id: u8, ahead: u64, new_numbering: bool },
    Durable { id: u8 },
    TakeBack { id: u8 },
    Wait { minutes: i64 },
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..8_u8;
    let step = prop_oneof![
        8 => (id.clone(), 0..3_u64, any::<bool>())
            .prop_map(|(id, ahead, new_numbering)| Step::Send { id, ahead, new_numbering }),
        6 => id.clone().prop_map(|id| Step::Durable { id }),
        1 => id.prop_map(|id| Step::TakeBack { id }),
        3 => (1..50_i64).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn it_does_what_the_rules_say(steps in steps()) {
        const CAPACITY: usize = 4;
        let (mut producers, mut model) = (Producers::new(CAPACITY, 100), Model::default());
        let mut now_ms = 0;
        for step in steps {
            now_ms += 1;
            match step {
                Step::Send { id, ahead, new_numbering } => {
                    let id = format!("p{id}");
                    let last = model.places.iter().find(|(known, _)| *known == id).map_or(0, |(_, p)| p.handed_over);
                    let sequence = last + ahead;
                    let order = producers.order(&id, sequence.max(1), new_numbering, now_ms);
                    let sequence = sequence.max(1);
                    prop_assert_eq!(order, model.order(&id, sequence, new_numbering, now_ms, CAPACITY));
                    let known = model.places.iter().position(|(known, _)| *known == id);
                    match order {
                        Order::Next => {
                            producers.hand_over(&id, sequence, now_ms);
                            let place = match known {
                                Some(at) => model.places.remove(at).1,
                                None => {
                                    if model.places.len() == CAPACITY {
                                        model.forget(0);
                                    }
                                    Place::default()
                                }
                            };
                            model.places.push((id, Place { handed_over: sequence, last_seen_ms: now_ms, ..place }));
                        }
                        Order::Repeat => {
                            producers.repeated(&id, now_ms);
                            let (id, place) = model.places.remove(known.unwrap());
                            model.places.push((id, Place { last_seen_ms: now_ms, ..place }));
                        }
                        _ => {}
                    }
                }
                Step::Durable { id } => {
                    let id = format!("p{id}");
                    if let Some((_, place)) = model.places.iter_mut().find(|(known, _)| *known == id) {
                        place.durable = place.handed_over;
                        producers.durable(&id, place.handed_over);
                    }
                }
                Step::TakeBack { id } => {
                    let id = format!("p{id}");
                    producers.take_back(&id);
                    if let Some((_, place)) = model.places.iter_mut().find(|(known, _)| *known == id) {
                        place.handed_over = place.durable;
                    }
                    model.places.retain(|(_, place)| place.handed_over > 0);
                }
                Step::Wait { minutes } => now_ms += minutes * 60_000,
                Step::Expire => {
                    let idle_since = now_ms - 2 * HOUR_MS;
                    producers.expire(idle_since);
                    while model.places.first().is_some_and(|(_, place)| {
                        place.last_seen_ms < idle_since && place.handed_over == place.durable
                    }) {
                        model.forget(0);
                    }
                }
            }
            let places: Vec<_> = producers.places().map(|(id, place)| (id.to_owned(), place)).collect();
            prop_assert_eq!(&places, &model.places);
        }
    }

    /// Requests go on while a snapshot is written part by part; then the process dies, and reads the records from the
    /// first part on.
    #[test]
    fn a_snapshot_in_parts_and_the_records_since_hold_everything(
        before in proptest::collection::vec((0..3_000_u32, 0..400_000_i64), 0..3_000),
        between in proptest::collection::vec(proptest::collection::vec(0..4_000_u32, 0..400), 12),
    ) {
        enum Record { Events(String, u64, i64), Places(Vec<(String, u64, i64)>), Forgotten(Vec<u64>) }
        const CAPACITY: usize = 1_500;
        let mut producers = Producers::new(CAPACITY, 100_000);
        let mut now_ms = 0;
        let send = |producers: &mut Producers, id: u32, now_ms: i64| {
            let id = format!("p{id}");
            let sequence = producers.place(&id).map_or(1, |place| place.durable + 1);
            let order = producers.order(&id, sequence, true, now_ms);
            (order == Order::Next).then(|| {
                producers.hand_over(&id, sequence, now_ms);
                producers.durable(&id, sequence);
                Record::Events(id, sequence, now_ms)
            })
        };
        for (id, wait_ms) in before {
            now_ms += 1 + wait_ms;
            send(&mut producers, id, now_ms);
        }
        let places = producers.places().map(|(id, place)| (id.to_owned(), place.durable, place.last_seen_ms));
        let mut records = vec![Record::Places(places.collect()), Record::Forgotten(producers.forgotten().collect())];
        for ids in between {
            for id in ids {
                now_ms += 20_000;
                records.extend(send(&mut producers, id, now_ms));
            }
            producers.expire(now_ms - 2 * HOUR_MS);
        }

        let mut restored = Producers::new(CAPACITY, 100_000);
        for record in records {
            match record {
                Record::Events(id, sequence, at_ms) => restored.restore(&id, sequence, at_ms),
                Record::Places(places) => {
                    for (id, sequence, at_ms) in places {
                        restored.restore(&id, sequence, at_ms);
                    }
                }
                Record::Forgotten(hashes) => hashes.into_iter().for_each(|hash| restored.restore_forgotten(hash)),
            }
        }
        restored.settle();
        restored.expire(now_ms - 2 * HOUR_MS);
        let live: Vec<_> = producers.places().map(|(id, _)| id.to_owned()).collect();
        let again: BTreeMap<_, _> = restored.places().collect();
        for (id, place) in producers.places() {
            prop_assert_eq!(again.get(id), Some(&place), "{}", id);
        }
        let kept: Vec<_> = restored.places().map(|(id, _)| id).filter(|id| producers.place(id).is_some()).collect();
        prop_assert_eq!(kept, live, "in the same order");
        for id in (0..4_000).map(|id| format!("p{id}")) {
            let unseen = |of: &Producers| of.place(&id).is_none() && !of.forgotten.contains(&id);
            prop_assert_eq!(unseen(&producers), unseen(&restored), "{} was seen", id);
        }
    }
}
