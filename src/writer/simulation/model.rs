//! Random interleavings that proptest makes up, and shrinks to the shortest one that breaks a promise.

use proptest::prelude::*;

use uuid::Uuid;

use super::{Insert, PRODUCERS, SEAL, Step, World};

fn step() -> impl Strategy<Value = Step> {
    let insert = prop_oneof![
        4 => Just(Insert::Lands),
        1 => Just(Insert::AnswerLost),
        1 => Just(Insert::Halfway),
        1 => Just(Insert::EngineDies),
        2 => Just(Insert::Fails),
    ];
    prop_oneof![
        6 => (0..PRODUCERS, 1..6_usize, any::<bool>())
            .prop_map(|(producer, rows, with_ids)| Step::Numbered { producer, rows, with_ids }),
        2 => (0..PRODUCERS).prop_map(|producer| Step::Resend { producer }),
        4 => (1..6_usize, any::<bool>(), any::<bool>())
            .prop_map(|(rows, with_ids, may_wait)| Step::Unnumbered { rows, with_ids, may_wait }),
        2 => (0..3_usize, 0..5_usize).prop_map(|(rows, back)| Step::RepeatedId { rows, back }),
        8 => (1..10_usize).prop_map(|records| Step::Sync { records }),
        1 => Just(Step::DiskFails),
        4 => Just(Step::Flush),
        6 => insert.prop_map(Step::Insert),
        2 => Just(Step::Redrive),
        2 => Just(Step::Checkpoint),
        1 => (1..5_000_u64).prop_map(|millis| Step::Wait { millis }),
        1 => (0..5_usize).prop_map(|kept| Step::Kill { kept }),
        1 => (0..5_usize).prop_map(|kept| Step::PowerCut { kept }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled_and_the_journal_empties(
        seed in any::<u64>(),
        window in 40..100_usize,
        steps in proptest::collection::vec(step(), 0..250),
    ) {
        let mut world = World::new(seed, window);
        for step in &steps {
            world.apply(step);
        }
        world.check();
    }
}

/// Many numbered requests, with nothing landing: the journal fills.
fn fill(world: &mut World) {
    for _ in 0..200 {
        world.apply(&Step::Numbered { producer: 0, rows: 5, with_ids: false });
        world.apply(&Step::Sync { records: usize::MAX });
    }
    assert!(world.server.held.is_some(), "the journal is full");
}

#[test]
fn an_event_id_does_not_keep_the_journal_from_emptying() {
    let mut world = World::new(1, 100);
    world.apply(&Step::Unnumbered { rows: 1, with_ids: true, may_wait: false });
    for _ in 0..500 {
        world.apply(&Step::Numbered { producer: 0, rows: 5, with_ids: false });
        world.apply(&Step::Sync { records: usize::MAX });
        world.apply(&Step::Flush);
        world.apply(&Step::Sync { records: usize::MAX });
        world.apply(&Step::Insert(Insert::Lands));
        world.apply(&Step::Checkpoint);
        assert!(world.server.held.is_none(), "the journal fills although everything lands");
    }
    world.check();
}

#[test]
fn a_server_that_starts_with_a_full_journal_takes_events_again() {
    let mut world = World::new(1, 100);
    fill(&mut world);
    world.apply(&Step::Kill { kept: 0 });
    world.check();
}

#[test]
fn many_restarts_with_a_full_journal_do_not_use_up_its_reserve() {
    let mut world = World::new(1, 100);
    fill(&mut world);
    for _ in 0..200 {
        world.apply(&Step::Kill { kept: usize::MAX });
        world.apply(&Step::Sync { records: usize::MAX });
    }
    world.check();
}

#[test]
fn a_damaged_seal_costs_no_event() {
    let mut world = World::new(1, 100);
    for _ in 0..3 {
        world.apply(&Step::Numbered { producer: 0, rows: 5, with_ids: false });
        world.apply(&Step::Sync { records: usize::MAX });
        world.apply(&Step::Flush);
        world.apply(&Step::Sync { records: usize::MAX });
    }
    // Nothing was sent yet. The last seal is damaged, and each one that is made in its place.
    for _ in 0..3 {
        world.disk.damage_last(SEAL);
        world.apply(&Step::Kill { kept: 0 });
        world.apply(&Step::Sync { records: usize::MAX });
    }
    world.check();
}

#[test]
fn a_damaged_seal_in_the_middle_costs_no_event() {
    let mut world = World::new(1, 100);
    for _ in 0..3 {
        world.apply(&Step::Numbered { producer: 0, rows: 5, with_ids: false });
        world.apply(&Step::Sync { records: usize::MAX });
        world.apply(&Step::Flush);
        world.apply(&Step::Sync { records: usize::MAX });
    }
    world.disk.damage_first(SEAL);
    world.apply(&Step::Kill { kept: 0 });
    world.check();
}

#[test]
fn a_request_that_had_to_wait_is_counted_as_it_came() {
    let mut world = World::new(1, 100);
    world.apply(&Step::Unnumbered { rows: 1, with_ids: true, may_wait: false });
    world.apply(&Step::Sync { records: usize::MAX });
    for _ in 0..200 {
        world.apply(&Step::Numbered { producer: 0, rows: 5, with_ids: false });
        if world.server.held.is_some() {
            break;
        }
    }
    // The held one goes, and one that repeats an id takes its place.
    world.server.held = None;
    let mut rows = world.new_rows(3, true);
    rows.push(super::Row { id: Uuid::from_u128(1), given: true });
    world.submit(None, 0, rows, true);
    assert!(world.server.held.is_some(), "it has to wait");
    world.check();
}

#[test]
fn a_landed_batch_that_could_not_be_recorded_is_not_sent_again_after_its_token_is_forgotten() {
    let mut world = World::new(1, 2);
    for _ in 0..3 {
        world.apply(&Step::Numbered { producer: 0, rows: 5, with_ids: false });
        world.apply(&Step::Sync { records: usize::MAX });
        world.apply(&Step::Flush);
        world.apply(&Step::Sync { records: usize::MAX });
        world.apply(&Step::Insert(Insert::Lands));
        world.apply(&Step::DiskFails);
    }
    world.apply(&Step::Sync { records: usize::MAX });
    world.apply(&Step::Kill { kept: 0 });
    world.check();
}
