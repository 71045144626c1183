//! Long runs, each made of one seed. `make simulate SEEDS=10000` runs many; a seed that fails is named and replayed with
//! `SIMULATE_SEED=N`, which prints each step.
//!
//! These seeds found what the state machine once did wrong; `model.rs` has the shortest way to each:
//!
//! | seed | what it found |
//! | --- | --- |
//! | 0 | one given event id kept every later record in the journal, until it was full for good |
//! | 3 | a server that started with a full journal never released anything |
//! | 36 | a landed batch whose record failed was sent again, after its token was forgotten |
//! | 1 | a landed batch was released before ClickHouse's files were synced, and a power cut lost it |

use std::panic::AssertUnwindSafe;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Insert, PRODUCERS, Step, World};

/// How often each thing goes wrong, different for each seed.
struct Weather {
    disk_fails: f64,
    kill: f64,
    power_cut: f64,
    insert_fails: f64,
    answer_lost: f64,
    /// Nothing lands for long stretches.
    outage: bool,
}

fn run(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut often = |most: f64| if random.random_bool(0.5) { 0.0 } else { random.random_range(0.0..most) };
    let weather = Weather {
        disk_fails: often(0.03),
        kill: often(0.02),
        power_cut: often(0.02),
        insert_fails: often(0.6),
        answer_lost: often(0.4),
        outage: often(1.0) > 0.5,
    };
    let mut world = World::new(seed, random.random_range(40..200));
    let steps = random.random_range(50..1_500);
    for number in 0..steps {
        let landing = !weather.outage || number / 150 % 2 == 0;
        world.apply(&step(&mut random, &weather, landing));
    }
    world.check();
}

fn step(random: &mut SmallRng, weather: &Weather, landing: bool) -> Step {
    if random.random_bool(weather.disk_fails) {
        return Step::DiskFails;
    }
    if random.random_bool(weather.kill) {
        return Step::Kill { kept: random.random_range(0..8) };
    }
    if random.random_bool(weather.power_cut) {
        return Step::PowerCut { kept: random.random_range(0..8) };
    }
    let rows = random.random_range(1..8);
    let with_ids = random.random_bool(0.3);
    let producer = random.random_range(0..PRODUCERS);
    match random.random_range(0..12) {
        0..3 => Step::Numbered { producer, rows, with_ids },
        3 => Step::Unnumbered { rows, with_ids, may_wait: random.random_bool(0.5) },
        4 => match random.random_range(0..3) {
            0 => Step::Resend { producer },
            1 => Step::RepeatedId { rows: rows % 3, back: random.random_range(0..5) },
            _ => Step::Wait { millis: random.random_range(1..3_000) },
        },
        5..8 => Step::Sync { records: random.random_range(1..12) },
        8 => Step::Flush,
        9..11 if !landing || random.random_bool(weather.insert_fails) => Step::Insert(Insert::Fails),
        9..11 if random.random_bool(weather.answer_lost) => Step::Insert(match random.random_range(0..3) {
            0 => Insert::AnswerLost,
            1 => Insert::Halfway,
            _ => Insert::EngineDies,
        }),
        9..11 => Step::Insert(Insert::Lands),
        _ if landing && random.random_bool(0.5) => Step::Redrive,
        _ => Step::Checkpoint,
    }
}

#[test]
fn seeds() {
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    if let Some(seed) = number("SIMULATE_SEED") {
        return run(seed);
    }
    let seeds = number("SIMULATE_SEEDS").unwrap_or(200);
    let failed: Vec<u64> = (0..seeds)
        .filter(|&seed| std::panic::catch_unwind(AssertUnwindSafe(|| run(seed))).is_err())
        .collect();
    println!("seeds {seeds}, failed {}", failed.len());
    assert!(failed.is_empty(), "replay with SIMULATE_SEED={}; all that failed: {failed:?}", failed[0]);
}
