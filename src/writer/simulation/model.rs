//! Random interleavings, which proptest generates and shrinks to the shortest one that violates a guarantee. Also the
//! shortest interleavings that reproduce faults of earlier versions.

use proptest::prelude::*;
use uuid::Uuid;

use super::{INSERT, InsertOutcome, MAX_INSERTS_IN_FLIGHT, PRODUCERS, SEAL, Simulation, SimulationStep};

fn step() -> impl Strategy<Value = SimulationStep> {
    let insert = prop_oneof![
        4 => Just(InsertOutcome::Success),
        1 => Just(InsertOutcome::ResponseLost),
        1 => Just(InsertOutcome::Partial),
        1 => Just(InsertOutcome::EngineCrash),
        2 => Just(InsertOutcome::Failure),
    ];
    prop_oneof![
        6 => (0..PRODUCERS, 1..6_usize, any::<bool>())
            .prop_map(|(producer, rows, with_ids)| SimulationStep::Numbered { producer, rows, with_ids }),
        2 => (0..PRODUCERS).prop_map(|producer| SimulationStep::Resend { producer }),
        4 => (1..6_usize, any::<bool>(), any::<bool>())
            .prop_map(|(rows, with_ids, may_wait)| SimulationStep::Unnumbered { rows, with_ids, may_wait }),
        2 => (0..3_usize, 0..5_usize).prop_map(|(rows, nth_newest)| SimulationStep::DuplicateId { rows, nth_newest }),
        8 => (1..10_usize).prop_map(|records| SimulationStep::Sync { records }),
        1 => Just(SimulationStep::DiskFailure),
        4 => Just(SimulationStep::Flush),
        6 => (0..MAX_INSERTS_IN_FLIGHT, insert)
            .prop_map(|(nth_oldest, outcome)| SimulationStep::Insert { nth_oldest, outcome }),
        2 => Just(SimulationStep::Replay),
        2 => Just(SimulationStep::Checkpoint),
        1 => (1..5_000_u64).prop_map(|millis| SimulationStep::Wait { millis }),
        1 => (0..5_usize).prop_map(|surviving_records| SimulationStep::Kill { surviving_records }),
        1 => (0..5_usize).prop_map(|surviving_records| SimulationStep::PowerCut { surviving_records }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_events_land_exactly_once_and_the_journal_drains(
        seed in any::<u64>(),
        window in 40..100_usize,
        steps in proptest::collection::vec(step(), 0..250),
    ) {
        let mut simulation = Simulation::new(seed, window);
        for step in &steps {
            simulation.apply(step);
        }
        simulation.assert_guarantees();
    }
}

/// Makes a request of five events durable, and seals its batch durably.
fn seal_batch(simulation: &mut Simulation) {
    simulation.apply(&SimulationStep::Numbered { producer: 0, rows: 5, with_ids: false });
    simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    simulation.apply(&SimulationStep::Flush);
    simulation.apply(&SimulationStep::Sync { records: usize::MAX });
}

/// Sends requests until the journal is full. Nothing lands.
fn fill_journal(simulation: &mut Simulation) {
    for _ in 0..200 {
        simulation.apply(&SimulationStep::Numbered { producer: 0, rows: 5, with_ids: false });
        simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    }
    assert!(simulation.server.deferred.is_some(), "the journal is full");
}

#[test]
fn an_event_id_does_not_pin_the_journal() {
    let mut simulation = Simulation::new(1, 100);
    simulation.apply(&SimulationStep::Unnumbered { rows: 1, with_ids: true, may_wait: false });
    for _ in 0..500 {
        seal_batch(&mut simulation);
        simulation.apply(&INSERT);
        simulation.apply(&SimulationStep::Checkpoint);
        assert!(simulation.server.deferred.is_none(), "the journal is full although every batch lands");
    }
    simulation.assert_guarantees();
}

#[test]
fn a_server_started_with_a_full_journal_accepts_events_again() {
    let mut simulation = Simulation::new(1, 100);
    fill_journal(&mut simulation);
    simulation.apply(&SimulationStep::Kill { surviving_records: 0 });
    simulation.assert_guarantees();
}

#[test]
fn repeated_restarts_do_not_exhaust_the_journal_reserve() {
    let mut simulation = Simulation::new(1, 100);
    fill_journal(&mut simulation);
    for _ in 0..200 {
        simulation.apply(&SimulationStep::Kill { surviving_records: usize::MAX });
        simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    }
    simulation.assert_guarantees();
}

#[test]
fn a_damaged_last_seal_loses_no_event() {
    let mut simulation = Simulation::new(1, 100);
    for _ in 0..3 {
        seal_batch(&mut simulation);
    }
    // Nothing was sent yet. Damages the last seal, and then each seal that replaces it.
    for _ in 0..3 {
        simulation.journal.damage_last(SEAL);
        simulation.apply(&SimulationStep::Kill { surviving_records: 0 });
        simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    }
    simulation.assert_guarantees();
}

#[test]
fn a_damaged_first_seal_loses_no_event() {
    let mut simulation = Simulation::new(1, 100);
    for _ in 0..3 {
        seal_batch(&mut simulation);
    }
    simulation.journal.damage_first(SEAL);
    simulation.apply(&SimulationStep::Kill { surviving_records: 0 });
    simulation.assert_guarantees();
}

#[test]
fn a_deferred_request_keeps_its_event_count() {
    let mut simulation = Simulation::new(1, 100);
    simulation.apply(&SimulationStep::Unnumbered { rows: 1, with_ids: true, may_wait: false });
    simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    for _ in 0..200 {
        simulation.apply(&SimulationStep::Numbered { producer: 0, rows: 5, with_ids: false });
        if simulation.server.deferred.is_some() {
            break;
        }
    }
    // Replaces the deferred request with one that contains a duplicate id.
    simulation.server.deferred = None;
    let mut rows = simulation.new_rows(3, true);
    rows.push(super::SentRow { id: Uuid::from_u128(1), explicit: true });
    simulation.submit(None, 0, rows, true);
    assert!(simulation.server.deferred.is_some(), "the journal has no space for it");
    simulation.assert_guarantees();
}

#[test]
fn a_landed_batch_whose_record_failed_is_not_resent_after_its_token_expired() {
    let mut simulation = Simulation::new(1, 2);
    for _ in 0..3 {
        seal_batch(&mut simulation);
        simulation.apply(&INSERT);
        simulation.apply(&SimulationStep::DiskFailure);
    }
    simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    simulation.apply(&SimulationStep::Kill { surviving_records: 0 });
    simulation.assert_guarantees();
}

/// Seeds with this remainder have four inserts in flight.
const FOUR_IN_FLIGHT: u64 = 3;

#[test]
fn a_batch_beside_others_must_be_large_and_have_a_free_insert() {
    let mut simulation = Simulation::new(FOUR_IN_FLIGHT, 100);
    let send = |simulation: &mut Simulation, rows: usize| {
        simulation.apply(&SimulationStep::Numbered { producer: 0, rows, with_ids: false });
        simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    };
    send(&mut simulation, 5);
    assert!(simulation.server.state.due_at(None).is_some());
    seal_batch(&mut simulation);
    for in_flight in 1..4 {
        assert_eq!(simulation.server.insert_attempts.len(), in_flight);
        send(&mut simulation, 11);
        assert_eq!(simulation.server.state.due_at(None), None, "it grows while {in_flight} are in flight");
        send(&mut simulation, 1);
        assert!(simulation.server.state.due_at(None).is_some());
        simulation.apply(&SimulationStep::Flush);
        assert_eq!(simulation.server.state.due_at(None), None, "its seal is not durable");
        simulation.apply(&SimulationStep::Sync { records: usize::MAX });
    }
    assert_eq!(simulation.server.insert_attempts.len(), 4);
    send(&mut simulation, 12);
    assert_eq!(simulation.server.state.due_at(None), None);
    simulation.assert_guarantees();
}

#[test]
fn every_batch_in_flight_is_compared_after_a_crash() {
    for seed in (FOUR_IN_FLIGHT..200).step_by(4) {
        let mut simulation = Simulation::new(seed, 100);
        for _ in 0..4 {
            seal_batch(&mut simulation);
        }
        for nth_oldest in 0..4 {
            let outcome = InsertOutcome::EngineCrash;
            simulation.apply(&SimulationStep::Insert { nth_oldest, outcome });
        }
        simulation.apply(&SimulationStep::Kill { surviving_records: usize::MAX });
        simulation.assert_guarantees();
    }
}

#[test]
fn a_repair_counts_no_events_of_another_batch_twice() {
    let mut simulation = Simulation::new(FOUR_IN_FLIGHT, 100);
    seal_batch(&mut simulation);
    seal_batch(&mut simulation);
    for outcome in [InsertOutcome::Partial, InsertOutcome::Success] {
        for nth_oldest in [0, 1] {
            simulation.apply(&SimulationStep::Insert { nth_oldest, outcome });
        }
    }
    simulation.assert_guarantees();
}
