use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn check(producers: &Producers, producer_id: &str, sequence: u64) -> SequenceCheck {
    producers.check_sequence(producer_id, sequence, false, 0)
}

#[test]
fn sequences_start_at_one() {
    let producers = Producers::default();
    assert_eq!(check(&producers, "a", 1), SequenceCheck::Next);
    assert_eq!(check(&producers, "a", 2), SequenceCheck::Gap { expected: 1 });
    assert_eq!(check(&producers, "a", 0), SequenceCheck::Duplicate, "sequences start at 1");
}

#[test]
fn an_in_flight_request_counts_as_a_duplicate() {
    let mut producers = Producers::default();
    producers.record_admitted("a", 1, 0);
    assert_eq!(check(&producers, "a", 1), SequenceCheck::Duplicate);
    assert_eq!(
        producers.check_sequence("a", 1, true, 0),
        SequenceCheck::Duplicate,
        "the new numbering has already started"
    );
    assert_eq!(check(&producers, "a", 2), SequenceCheck::Next);
    assert_eq!(producers.get("a").map(|state| state.last_durable_sequence), Some(0));
}

#[test]
fn a_request_that_did_not_become_durable_can_be_resent() {
    let mut producers = Producers::default();
    producers.record_admitted("a", 1, 0);
    producers.mark_durable("a", 1);
    producers.record_admitted("a", 2, 0);
    producers.record_admitted("a", 3, 0);
    producers.roll_back("a");
    assert_eq!(check(&producers, "a", 2), SequenceCheck::Next);
    producers.record_admitted("b", 1, 0);
    producers.roll_back("b");
    assert_eq!(producers.get("b"), None);
}

#[test]
fn idle_producers_expire_unless_a_request_is_in_flight() {
    let mut producers = Producers::default();
    producers.restore("idle", 5, 10);
    producers.restore("busy", 5, 20);
    producers.record_admitted("waiting", 1, 10);
    producers.expire_idle(15);
    assert_eq!(producers.get("idle"), None);
    assert!(producers.get("busy").is_some() && producers.get("waiting").is_some());
    producers.expire_idle(i64::MAX);
    assert!(producers.get("busy").is_none() && producers.get("waiting").is_some());
}

#[test]
fn a_forgotten_producer_must_start_a_new_numbering() {
    let mut producers = Producers::default();
    producers.restore("a", 5, 10);
    producers.expire_idle(15);
    for sequence in [1, 2, 5, 6] {
        assert_eq!(check(&producers, "a", sequence), SequenceCheck::Forgotten, "{sequence}");
    }
    assert_eq!(
        producers.check_sequence("a", 6, true, 20),
        SequenceCheck::Forgotten,
        "a new numbering starts at 1"
    );
    assert_eq!(producers.check_sequence("a", 1, true, 20), SequenceCheck::Next);
    // A first request that does not become durable changes nothing.
    producers.record_admitted("a", 1, 20);
    producers.roll_back("a");
    assert_eq!(check(&producers, "a", 1), SequenceCheck::Forgotten);
    producers.record_admitted("a", 1, 20);
    producers.mark_durable("a", 1);
    assert_eq!(
        (check(&producers, "a", 1), check(&producers, "a", 2)),
        (SequenceCheck::Duplicate, SequenceCheck::Next)
    );
}

#[test]
fn junk_producer_ids_do_not_evict_active_producers_and_cost_constant_time() {
    let mut producers = Producers::default();
    let active = 1_000;
    for n in 0..active {
        producers.record_admitted(&format!("active-{n}"), 1, 0);
        producers.mark_durable(&format!("active-{n}"), 1);
    }
    let (mut rejected, mut accepted) = (0, 0);
    for n in 0..100_000 {
        let (junk, now_ms) = (format!("junk-{n}"), 1 + n / 100);
        let accesses = producers.lru.slot_accesses;
        match producers.check_sequence(&junk, 1, false, now_ms) {
            SequenceCheck::Next => {
                accepted += 1;
                producers.record_admitted(&junk, 1, now_ms);
                producers.mark_durable(&junk, 1);
            }
            SequenceCheck::AtCapacity { retry_after } => {
                rejected += 1;
                assert_eq!(retry_after, Duration::from_secs(60));
            }
            other => panic!("{other:?}"),
        }
        assert!(producers.lru.slot_accesses - accesses <= 4, "{n}");
    }
    assert_eq!((accepted, rejected), (MAX_PRODUCERS - active, active));
    for n in 0..active {
        assert_eq!(producers.check_sequence(&format!("active-{n}"), 2, false, 2_000), SequenceCheck::Next);
        producers.record_admitted(&format!("active-{n}"), 2, 2_000);
        producers.mark_durable(&format!("active-{n}"), 2);
    }
    // After an hour, new junk evicts the oldest junk, but no producer that was active since.
    let later = 1_500 + HOUR_MS;
    for n in 0..50_000 {
        let (junk, accesses) = (format!("more-{n}"), producers.lru.slot_accesses);
        assert_eq!(producers.check_sequence(&junk, 1, false, later), SequenceCheck::Next);
        producers.record_admitted(&junk, 1, later);
        producers.mark_durable(&junk, 1);
        assert!(producers.lru.slot_accesses - accesses <= 8, "{n}");
    }
    assert!((0..active).all(|n| producers.get(&format!("active-{n}")).is_some()));
    assert_eq!(producers.check_sequence("junk-0", 1, false, later), SequenceCheck::Forgotten);
    assert_eq!(producers.lru.len(), MAX_PRODUCERS);
}

#[test]
fn a_wrong_clock_does_not_block_new_producers() {
    let mut producers = Producers::new(1, 1);
    producers.record_admitted("of 2099", 1, 1_000 * HOUR_MS);
    producers.mark_durable("of 2099", 1);
    assert_eq!(producers.check_sequence("new", 1, false, HOUR_MS), SequenceCheck::Next);
    assert!(matches!(
        producers.check_sequence("new", 1, false, 1_000 * HOUR_MS),
        SequenceCheck::AtCapacity { .. }
    ));
}

/// The same rules by linear search.
#[derive(Default)]
struct Model {
    /// Oldest first.
    states: Vec<(String, ProducerState)>,
    forgotten: Vec<String>,
}

impl Model {
    fn forget(&mut self, at: usize) {
        let (id, _) = self.states.remove(at);
        self.forgotten.retain(|known| *known != id);
        self.forgotten.push(id);
    }

    fn check_sequence(
        &self,
        id: &str,
        sequence: u64,
        start_new_numbering: bool,
        now_ms: i64,
        capacity: usize,
    ) -> SequenceCheck {
        if let Some((_, state)) = self.states.iter().find(|(known, _)| known == id) {
            return match sequence {
                s if s <= state.last_sequence => SequenceCheck::Duplicate,
                s if s == state.last_sequence + 1 => SequenceCheck::Next,
                _ => SequenceCheck::Gap { expected: state.last_sequence + 1 },
            };
        }
        let forgotten = self.forgotten.iter().any(|known| known == id);
        if forgotten && !(sequence == 1 && start_new_numbering) {
            return SequenceCheck::Forgotten;
        }
        if sequence > 1 {
            return SequenceCheck::Gap { expected: 1 };
        }
        if self.states.len() < capacity {
            return SequenceCheck::Next;
        }
        let oldest = self.states[0].1;
        if now_ms - oldest.last_seen_ms >= HOUR_MS && oldest.last_durable_sequence == oldest.last_sequence {
            return SequenceCheck::Next;
        }
        let wait_ms = (HOUR_MS - (now_ms - oldest.last_seen_ms)).clamp(1_000, 60_000);
        SequenceCheck::AtCapacity { retry_after: Duration::from_millis(wait_ms as u64) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { id: u8, ahead: u64, start_new_numbering: bool },
    Durable { id: u8 },
    RollBack { id: u8 },
    Wait { minutes: i64 },
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..8_u8;
    let step = prop_oneof![
        8 => (id.clone(), 0..3_u64, any::<bool>())
            .prop_map(|(id, ahead, start_new_numbering)| Step::Send { id, ahead, start_new_numbering }),
        6 => id.clone().prop_map(|id| Step::Durable { id }),
        1 => id.prop_map(|id| Step::RollBack { id }),
        3 => (1..50_i64).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn producers_behave_like_the_model(steps in steps()) {
        const CAPACITY: usize = 4;
        let (mut producers, mut model) = (Producers::new(CAPACITY, 100), Model::default());
        let mut now_ms = 0;
        for step in steps {
            now_ms += 1;
            match step {
                Step::Send { id, ahead, start_new_numbering } => {
                    let id = format!("p{id}");
                    let last = model.states.iter().find(|(known, _)| *known == id).map_or(0, |(_, p)| p.last_sequence);
                    let sequence = last + ahead;
                    let check = producers.check_sequence(&id, sequence.max(1), start_new_numbering, now_ms);
                    let sequence = sequence.max(1);
                    prop_assert_eq!(check, model.check_sequence(&id, sequence, start_new_numbering, now_ms, CAPACITY));
                    let known = model.states.iter().position(|(known, _)| *known == id);
                    match check {
                        SequenceCheck::Next => {
                            producers.record_admitted(&id, sequence, now_ms);
                            let state = match known {
                                Some(at) => model.states.remove(at).1,
                                None => {
                                    if model.states.len() == CAPACITY {
                                        model.forget(0);
                                    }
                                    ProducerState::default()
                                }
                            };
                            let state = ProducerState { last_sequence: sequence, last_seen_ms: now_ms, ..state };
                            model.states.push((id, state));
                        }
                        SequenceCheck::Duplicate => {
                            producers.record_duplicate(&id, now_ms);
                            let (id, state) = model.states.remove(known.unwrap());
                            model.states.push((id, ProducerState { last_seen_ms: now_ms, ..state }));
                        }
                        _ => {}
                    }
                }
                Step::Durable { id } => {
                    let id = format!("p{id}");
                    if let Some((_, state)) = model.states.iter_mut().find(|(known, _)| *known == id) {
                        state.last_durable_sequence = state.last_sequence;
                        producers.mark_durable(&id, state.last_sequence);
                    }
                }
                Step::RollBack { id } => {
                    let id = format!("p{id}");
                    producers.roll_back(&id);
                    if let Some((_, state)) = model.states.iter_mut().find(|(known, _)| *known == id) {
                        state.last_sequence = state.last_durable_sequence;
                    }
                    model.states.retain(|(_, state)| state.last_sequence > 0);
                }
                Step::Wait { minutes } => now_ms += minutes * 60_000,
                Step::Expire => {
                    let idle_since = now_ms - 2 * HOUR_MS;
                    producers.expire_idle(idle_since);
                    while model.states.first().is_some_and(|(_, state)| {
                        state.last_seen_ms < idle_since && state.last_sequence == state.last_durable_sequence
                    }) {
                        model.forget(0);
                    }
                }
            }
            let actual: Vec<_> = producers.iter().map(|(id, state)| (id.to_owned(), state)).collect();
            prop_assert_eq!(&actual, &model.states);
        }
    }

    /// Requests continue while the parts of a snapshot are written. After a crash, recovery starts at the first part.
    #[test]
    fn a_multipart_snapshot_and_later_records_restore_every_producer(
        before in proptest::collection::vec((0..3_000_u32, 0..400_000_i64), 0..3_000),
        between in proptest::collection::vec(proptest::collection::vec(0..4_000_u32, 0..400), 12),
    ) {
        enum Record { Events(String, u64, i64), States(Vec<(String, u64, i64)>), Forgotten(Vec<u64>) }
        const CAPACITY: usize = 1_500;
        let mut producers = Producers::new(CAPACITY, 100_000);
        let mut now_ms = 0;
        let send = |producers: &mut Producers, id: u32, now_ms: i64| {
            let id = format!("p{id}");
            let sequence = producers.get(&id).map_or(1, |state| state.last_durable_sequence + 1);
            let check = producers.check_sequence(&id, sequence, true, now_ms);
            (check == SequenceCheck::Next).then(|| {
                producers.record_admitted(&id, sequence, now_ms);
                producers.mark_durable(&id, sequence);
                Record::Events(id, sequence, now_ms)
            })
        };
        for (id, wait_ms) in before {
            now_ms += 1 + wait_ms;
            send(&mut producers, id, now_ms);
        }
        let states = producers.iter().map(|(id, state)| (id.to_owned(), state.last_durable_sequence, state.last_seen_ms));
        let mut records = vec![Record::States(states.collect()), Record::Forgotten(producers.forgotten().collect())];
        for ids in between {
            for id in ids {
                now_ms += 20_000;
                records.extend(send(&mut producers, id, now_ms));
            }
            producers.expire_idle(now_ms - 2 * HOUR_MS);
        }

        let mut restored = Producers::new(CAPACITY, 100_000);
        for record in records {
            match record {
                Record::Events(id, sequence, at_ms) => restored.restore(&id, sequence, at_ms),
                Record::States(states) => {
                    for (id, sequence, at_ms) in states {
                        restored.restore(&id, sequence, at_ms);
                    }
                }
                Record::Forgotten(hashes) => hashes.into_iter().for_each(|hash| restored.restore_forgotten(hash)),
            }
        }
        restored.finish_restore();
        restored.expire_idle(now_ms - 2 * HOUR_MS);
        let live: Vec<_> = producers.iter().map(|(id, _)| id.to_owned()).collect();
        let restored_states: BTreeMap<_, _> = restored.iter().collect();
        for (id, state) in producers.iter() {
            prop_assert_eq!(restored_states.get(id), Some(&state), "{}", id);
        }
        let kept: Vec<_> = restored.iter().map(|(id, _)| id).filter(|id| producers.get(id).is_some()).collect();
        prop_assert_eq!(kept, live, "the order differs");
        for id in (0..4_000).map(|id| format!("p{id}")) {
            let is_new = |producers: &Producers| producers.get(&id).is_none() && !producers.forgotten.contains(&id);
            prop_assert_eq!(is_new(&producers), is_new(&restored), "{}", id);
        }
    }
}
