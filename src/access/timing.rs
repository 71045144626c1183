//! Whether the time of a refusal tells what is wrong with a key. `make timing-test` measures 100,000 look-ups of each kind; a
//! test run only checks that all are refused.

use std::time::Instant;

use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::key::{self, PresentedKey};
use super::keys::{AccessError, Credentials};
use super::{AccessControl, KeyFile, KeyOptions, LimitSettings, Requirement, Scope};
use crate::project::Project;

/// The slowest look-ups that are left out, of all kinds together: interrupts of the machine, not the code.
const CROPPED: f64 = 0.01;
/// Below it, the difference of two means is not significant: the bound of leakage tests (ISO/IEC 17825), a probability of
/// 1 in 100,000 for each pair.
const MAX_T: f64 = 4.5;

const LOOK_UPS_PER_TABLE: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// And with it the secret.
    Id,
    FirstByte,
    LastByte,
}

const ALL: [Wrong; 3] = [Wrong::Id, Wrong::FirstByte, Wrong::LastByte];

impl Wrong {
    /// A key with a valid checksum, and without this fault a valid one.
    fn of(self, valid: &str) -> String {
        let secret = valid.rfind('_').unwrap() + 1;
        let changed = match self {
            Self::Id => return key::generate(Scope::Write, None).text,
            Self::FirstByte => secret,
            Self::LastByte => secret + key::SECRET_CHARS - 1,
        };
        let mut bytes = valid.as_bytes()[..secret + key::SECRET_CHARS].to_vec();
        let others = (b'a'..=b'z').filter(|byte| *byte != bytes[changed]).collect::<Vec<_>>();
        bytes[changed] = *others.choose(&mut rand::rng()).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let checksum = key::checksum(&text);
        text + &checksum
    }
}

struct Sample {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    fn of(nanoseconds: &[f64]) -> Self {
        let count = nanoseconds.len() as f64;
        let mean = nanoseconds.iter().sum::<f64>() / count;
        let squares: f64 = nanoseconds.iter().map(|time| (time - mean).powi(2)).sum();
        Self { count, mean, variance: squares / (count - 1.0) }
    }

    /// Welch's t.
    fn t(&self, other: &Self) -> f64 {
        (self.mean - other.mean) / (self.variance / self.count + other.variance / other.count).sqrt()
    }
}

#[test]
fn a_refusal_takes_the_same_time_whatever_is_wrong() {
    let setting = std::env::var("TIMING_LOOKUPS").ok();
    let look_ups =
        setting.as_ref().map_or(1_000, |number| number.parse().expect("TIMING_LOOKUPS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path());
    let options = || KeyOptions {
        name: String::new(),
        scope: Scope::Write,
        project: Project::default(),
        origins: Vec::new(),
        events: Vec::new(),
        limits: LimitSettings::default(),
        certificates: Vec::new(),
    };
    let valid: Vec<String> = (0..20).map(|_| file.create(options()).unwrap().1.text).collect();
    let open = || AccessControl::open(file.clone(), Project::default(), None).unwrap().0;
    let look_up = |access: &AccessControl, presented: PresentedKey| {
        access.authenticate(&Credentials::Key(presented), Requirement::Write, None).map(|_| ())
    };
    assert!(valid.iter().all(|text| look_up(&open(), text.parse().unwrap()).is_ok()));

    // Parsed before: that depends on the text alone, and is faster for a text that the processor has seen before. In the order
    // of the measurement, so that the kinds do not lie in memory differently.
    let mut rng = rand::rng();
    let mut texts: Vec<(usize, String)> = (0..ALL.len() * look_ups)
        .map(|number| number % ALL.len())
        .map(|kind| (kind, ALL[kind].of(valid.choose(&mut rng).unwrap())))
        .collect();
    texts.shuffle(&mut rng);
    let mut presented: Vec<(usize, PresentedKey)> =
        texts.iter().map(|(kind, text)| (*kind, text.parse().unwrap())).collect();
    let mut times = ALL.map(|_| Vec::with_capacity(look_ups));
    while !presented.is_empty() {
        // Each has hash tables of another random order, in which other look-ups meet other keys.
        let access = open();
        for (kind, presented) in presented.drain(presented.len().saturating_sub(LOOK_UPS_PER_TABLE)..) {
            let started_at = Instant::now();
            let refused = look_up(&access, presented);
            let time = started_at.elapsed();
            assert!(matches!(refused, Err(AccessError::Unknown(_))), "{:?}: {refused:?}", ALL[kind]);
            times[kind].push(time.as_nanos() as f64);
        }
    }

    let mut all = times.concat();
    all.sort_unstable_by(f64::total_cmp);
    let slowest = all[((1.0 - CROPPED) * all.len() as f64) as usize];
    let samples =
        times.map(|times| Sample::of(&times.into_iter().filter(|time| *time < slowest).collect::<Vec<_>>()));
    for (wrong, Sample { count, mean, variance }) in ALL.iter().zip(&samples) {
        println!(
            "{:<10} {count:>7} look-ups  mean {mean:8.1} ns  deviation {:7.1} ns",
            format!("{wrong:?}"),
            variance.sqrt()
        );
    }
    let pairs = [(0, 1), (0, 2), (1, 2)].map(|(one, other)| {
        let t = samples[one].t(&samples[other]);
        println!("{:<10} {:<10} Welch's t {t:6.2}", format!("{:?}", ALL[one]), format!("{:?}", ALL[other]));
        t
    });
    // A busy machine must not fail a test run.
    assert!(
        setting.is_none() || pairs.iter().all(|t| t.abs() < MAX_T),
        "the kinds differ by more than chance"
    );
}
