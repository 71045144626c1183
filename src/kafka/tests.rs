//! The seals of partitions under compaction, crashes and zombies.

use std::collections::HashMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::record::{PartitionId, Seal, SealRecord};
use super::seals::{BatchContents, PartitionState, SealConflict, SealLog};

const STORE: Uuid = Uuid::from_u128(9);
const PARTITION: PartitionId = PartitionId { topic_id: Uuid::from_u128(1), partition: 0 };

/// A topic: keys with values, in the order of their commits.
#[derive(Clone, Debug, Default)]
struct Topic(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Topic {
    fn commit(&mut self, record: &SealRecord) {
        self.0.push(record.encode());
    }

    fn read(&self) -> SealLog {
        let mut log = SealLog::default();
        for (key, value) in &self.0 {
            log.apply(SealRecord::decode(key, value.as_deref()).unwrap()).unwrap();
        }
        log
    }

    fn state(&self) -> Option<PartitionState> {
        self.read().state(PARTITION).unwrap()
    }

    /// Keeps the last record of each key among the first `count`, as Kafka's cleaner does. The records behind stay. With
    /// `expire`, the tombstones among the first `count` go as well: the values that they delete went in an earlier pass.
    fn compact(&mut self, count: usize, expire: bool) {
        let count = count.min(self.0.len());
        let last: HashMap<Vec<u8>, usize> =
            self.0[..count].iter().enumerate().map(|(index, (key, _))| (key.clone(), index)).collect();
        let mut index = 0;
        self.0.retain(|(key, value)| {
            let kept = index >= count || (last[key] == index && !(expire && value.is_none()));
            index += 1;
            kept
        });
    }
}

fn new_state(first: i64) -> PartitionState {
    PartitionState::new(PARTITION, "events".to_owned(), STORE, first)
}

/// Commits a record and applies it.
fn commit(topic: &mut Topic, state: &mut PartitionState, record: &SealRecord) {
    topic.commit(record);
    state.apply(record).unwrap();
}

fn cut(state: &PartitionState, last: i64) -> Seal {
    state.cut(BatchContents { last, messages: 1, events: 1, digest: 0 }, 0, Uuid::now_v7())
}

#[test]
fn an_empty_topic_knows_no_partition() {
    assert_eq!(Topic::default().state(), None);
}

#[test]
fn a_batch_begins_after_the_one_before_even_where_offsets_have_no_message() {
    let (mut topic, mut state) = (Topic::default(), new_state(40));
    let start = state.start();
    commit(&mut topic, &mut state, &start);
    assert_eq!(topic.state(), Some(state.clone()));
    for last in [41, 77] {
        let seal = cut(&state, last);
        commit(&mut topic, &mut state, &SealRecord::Sealed(seal));
    }
    let ranges: Vec<_> = state.unlanded().map(|seal| (seal.first, seal.last)).collect();
    assert_eq!(ranges, [(40, 41), (42, 77)]);
    assert_eq!(state.next_offset(), 78);
    assert_eq!(topic.state(), Some(state));
}

#[test]
fn batches_land_in_any_order_and_are_released_from_the_oldest_on_but_the_newest() {
    let (mut topic, mut state) = (Topic::default(), new_state(0));
    let seals: Vec<Seal> = [9, 19, 29]
        .into_iter()
        .map(|last| {
            let seal = cut(&state, last);
            commit(&mut topic, &mut state, &SealRecord::Sealed(seal.clone()));
            seal
        })
        .collect();
    commit(&mut topic, &mut state, &SealRecord::Landed(seals[1].clone()));
    assert_eq!(state.releasable(|_| true), []);
    commit(&mut topic, &mut state, &SealRecord::Landed(seals[0].clone()));
    commit(&mut topic, &mut state, &SealRecord::Landed(seals[2].clone()));
    assert_eq!(state.releasable(|seal| seal.first > 0), []);
    let released = state.releasable(|_| true);
    assert_eq!(released.iter().map(SealRecord::first).collect::<Vec<_>>(), [0, 10]);
    for record in &released {
        commit(&mut topic, &mut state, record);
    }
    topic.compact(usize::MAX, true);
    assert_eq!(topic.0.len(), 1);
    assert_eq!(topic.state().unwrap().next_offset(), 30);
}

#[test]
fn a_hole_an_overlap_or_two_batches_at_an_offset_are_conflicts() {
    let state = new_state(0);
    let first = cut(&state, 9);
    for (other, conflict) in [
        (
            Seal { first: 11, last: 19, ..first.clone() },
            SealConflict::NotAdjacent { partition: PARTITION, next: 10, first: 11 },
        ),
        (
            Seal { first: 9, last: 19, ..first.clone() },
            SealConflict::NotAdjacent { partition: PARTITION, next: 10, first: 9 },
        ),
    ] {
        let mut log = SealLog::default();
        log.apply(SealRecord::Sealed(first.clone())).unwrap();
        log.apply(SealRecord::Sealed(other)).unwrap();
        assert_eq!(log.state(PARTITION), Err(conflict));
    }
    let changed = Seal { last: 8, ..first.clone() };
    for record in [SealRecord::Sealed(changed.clone()), SealRecord::Landed(changed)] {
        let mut log = SealLog::default();
        log.apply(SealRecord::Sealed(first.clone())).unwrap();
        assert_eq!(log.apply(record), Err(SealConflict::Changed { partition: PARTITION, first: 0 }));
    }
}

#[test]
fn the_owner_cannot_skip_a_step() {
    let mut state = new_state(0);
    let seal = cut(&state, 9);
    let wrong = |step| Err(SealConflict::WrongStep { partition: PARTITION, first: 0, step });
    let released = SealRecord::Released { partition: PARTITION, first: 0 };
    assert_eq!(state.apply(&SealRecord::Landed(seal.clone())), wrong("landed"));
    state.apply(&SealRecord::Sealed(seal.clone())).unwrap();
    assert_eq!(state.apply(&released), wrong("released"));
    state.apply(&SealRecord::Landed(seal.clone())).unwrap();
    assert_eq!(state.apply(&SealRecord::Landed(seal.clone())), wrong("landed"));
    // It is the newest.
    assert_eq!(state.apply(&released), wrong("released"));
    assert_eq!(
        state.apply(&new_state(10).start()),
        Err(SealConflict::WrongStep { partition: PARTITION, first: 10, step: "started" })
    );
}

#[test]
fn a_topic_that_was_created_again_is_known_by_its_name() {
    let mut log = SealLog::default();
    log.apply(SealRecord::Sealed(cut(&new_state(0), 9))).unwrap();
    let again = PartitionId { topic_id: Uuid::from_u128(2), ..PARTITION };
    log.apply(PartitionState::new(again, "events".to_owned(), STORE, 0).start()).unwrap();
    assert_eq!(
        log.former_ids("events", again.topic_id).into_iter().collect::<Vec<_>>(),
        [PARTITION.topic_id]
    );
    assert!(log.former_ids("others", again.topic_id).is_empty());
    assert_eq!(log.state(again).unwrap().unwrap().next_offset(), 0);
}

#[test]
fn a_restart_gives_up_what_was_sealed_and_replaces_all_records() {
    let (mut topic, mut state) = (Topic::default(), new_state(0));
    for last in [9, 19] {
        let seal = cut(&state, last);
        commit(&mut topic, &mut state, &SealRecord::Sealed(seal));
    }
    let landed = state.unlanded().next().cloned().unwrap();
    commit(&mut topic, &mut state, &SealRecord::Landed(landed));
    let again = PartitionId { topic_id: Uuid::from_u128(2), ..PARTITION };
    for (partition, first) in [(PARTITION, 100), (PARTITION, 0), (again, 0)] {
        let mut topic = topic.clone();
        let (records, given_up) = topic.read().restart(partition, "events", first);
        assert_eq!(given_up.iter().map(|seal| seal.first).collect::<Vec<_>>(), [10]);
        for record in &records {
            topic.commit(record);
        }
        let log = topic.read();
        let state = log.state(partition).unwrap().unwrap();
        assert_eq!((state.next_offset(), state.store()), (first, Uuid::nil()));
        assert_eq!((state.unlanded().count(), state.landed().count()), (0, 0));
        assert!(log.former_ids("events", partition.topic_id).is_empty());
    }
}

/// A process that owns the partition, or believes so.
struct Owner {
    epoch: u32,
    state: PartitionState,
}

/// Kafka and ClickHouse as far as the protocol needs them.
#[derive(Default)]
struct World {
    /// Offsets of the messages.
    messages: Vec<i64>,
    seals: Topic,
    /// Of the last producer that was initialised. Transactions of earlier ones fail.
    epoch: u32,
    /// The offsets that were inserted first under each token.
    inserted: HashMap<Uuid, Vec<i64>>,
}

impl World {
    /// Fences earlier owners and reads the seals.
    fn take_over(&mut self) -> Owner {
        self.epoch += 1;
        let state = self.seals.state().unwrap_or_else(|| {
            let state = new_state(0);
            self.seals.commit(&state.start());
            state
        });
        Owner { epoch: self.epoch, state }
    }

    /// Whether the owner is still the owner afterwards. If the response is lost, it must start again.
    fn commit(&mut self, owner: &mut Owner, record: &SealRecord, response_is_lost: bool) -> bool {
        if owner.epoch != self.epoch {
            return false;
        }
        self.seals.commit(record);
        if response_is_lost {
            return false;
        }
        owner.state.apply(record).unwrap();
        true
    }

    /// Reads the messages of a batch and inserts them, which has no effect the second time.
    fn insert(&mut self, seal: &Seal) {
        let offsets: Vec<i64> = self
            .messages
            .iter()
            .copied()
            .filter(|offset| (seal.first..=seal.last).contains(offset))
            .collect();
        let stored = self.inserted.entry(seal.batch_id).or_insert_with(|| offsets.clone());
        assert_eq!(*stored, offsets, "other messages under the same token");
    }

    fn land_all(&mut self, owner: &mut Owner) {
        for seal in owner.state.unlanded().cloned().collect::<Vec<_>>() {
            self.insert(&seal);
            assert!(self.commit(owner, &SealRecord::Landed(seal), false));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Produce(u8),
    TakeOver,
    Cut { owner: prop::sample::Index, messages: u8, response_is_lost: bool },
    Insert { owner: prop::sample::Index, batch: prop::sample::Index },
    Land { owner: prop::sample::Index, batch: prop::sample::Index, response_is_lost: bool },
    Release { owner: prop::sample::Index },
    Compact { count: prop::sample::Index, expire: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Produce),
        1 => Just(Step::TakeOver),
        4 => (index(), any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(owner, messages, response_is_lost)| Step::Cut { owner, messages, response_is_lost }),
        4 => (index(), index()).prop_map(|(owner, batch)| Step::Insert { owner, batch }),
        4 => (index(), index(), prop::bool::weighted(0.1))
            .prop_map(|(owner, batch, response_is_lost)| Step::Land { owner, batch, response_is_lost }),
        2 => index().prop_map(|owner| Step::Release { owner }),
        1 => (index(), any::<bool>()).prop_map(|(count, expire)| Step::Compact { count, expire }),
    ]
}

proptest! {
    /// Owners crash, are fenced and go on as zombies, lose responses, and read a topic that is compacted. At the end every
    /// message is in ClickHouse once.
    #[test]
    fn every_message_is_inserted_once(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::default();
        let mut owners = vec![world.take_over()];
        let mut next_offset = 0;
        for step in steps {
            match step {
                // Every third offset has no message, as after transactions of the producers.
                Step::Produce(count) => for _ in 0..count % 8 {
                    world.messages.push(next_offset);
                    next_offset += if next_offset % 3 == 1 { 2 } else { 1 };
                },
                Step::TakeOver => {
                    let owner = world.take_over();
                    owners.push(owner);
                }
                Step::Cut { owner, messages, response_is_lost } => {
                    let index = owner.index(owners.len());
                    let first = owners[index].state.next_offset();
                    let unread: Vec<i64> = world.messages.iter().copied().filter(|offset| *offset >= first).collect();
                    let count = usize::from(messages % 8).min(unread.len());
                    if count > 0 {
                        let seal = cut(&owners[index].state, unread[count - 1]);
                        if !world.commit(&mut owners[index], &SealRecord::Sealed(seal), response_is_lost) {
                            owners[index] = world.take_over();
                        }
                    }
                }
                Step::Insert { owner, batch } => {
                    let state = &owners[owner.index(owners.len())].state;
                    let seals: Vec<Seal> = state.unlanded().cloned().collect();
                    if !seals.is_empty() {
                        world.insert(&seals[batch.index(seals.len())]);
                    }
                }
                Step::Land { owner, batch, response_is_lost } => {
                    let index = owner.index(owners.len());
                    let seals: Vec<Seal> = owners[index].state.unlanded().cloned().collect();
                    if !seals.is_empty() {
                        let seal = seals[batch.index(seals.len())].clone();
                        world.insert(&seal);
                        if !world.commit(&mut owners[index], &SealRecord::Landed(seal), response_is_lost) {
                            owners[index] = world.take_over();
                        }
                    }
                }
                Step::Release { owner } => {
                    let index = owner.index(owners.len());
                    for record in owners[index].state.releasable(|_| true) {
                        if !world.commit(&mut owners[index], &record, false) {
                            break;
                        }
                    }
                }
                Step::Compact { count, expire } => {
                    let count = count.index(world.seals.0.len() + 1);
                    world.seals.compact(count, false);
                    world.seals.compact(if expire { count / 2 } else { 0 }, true);
                }
            }
            // The state of the owner is what the topic says.
            if let Some(owner) = owners.iter().find(|owner| owner.epoch == world.epoch) {
                prop_assert_eq!(Some(owner.state.clone()), world.seals.state());
            }
        }
        let mut owner = world.take_over();
        world.land_all(&mut owner);
        if let Some(&last) = world.messages.last().filter(|last| **last >= owner.state.next_offset()) {
            let seal = cut(&owner.state, last);
            prop_assert!(world.commit(&mut owner, &SealRecord::Sealed(seal), false));
            world.land_all(&mut owner);
        }
        let mut inserted: Vec<i64> = world.inserted.values().flatten().copied().collect();
        inserted.sort_unstable();
        prop_assert_eq!(inserted, world.messages);
    }
}
