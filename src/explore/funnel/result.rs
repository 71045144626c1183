//! Adds up the chains of all visitors of a funnel.

use std::collections::HashMap;

use super::matching::Chain;

/// Values of a breakdown that are told apart while chains are added up. Of more, only the first ones get figures of their own.
const MAX_VALUES: usize = 10_000;

/// How many intervals the distribution of the time to convert has.
const INTERVALS: usize = 20;

/// What chains are added up for.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) steps: usize,
    pub(super) window_ms: i64,
    /// The starts of the buckets of entries, in seconds since 1970 UTC.
    pub(super) buckets: Vec<i64>,
    /// Milliseconds since 1970 UTC.
    pub(super) now: i64,
}

/// A funnel, or one value of its breakdown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Visitors by the number of steps that they reached, at least one.
    reached: Vec<u64>,
    /// From each step to the next one.
    times: Vec<Durations>,
    /// From the first to the last step.
    conversion: Durations,
    /// By bucket: who entered, who of them converted, and who still can.
    trend: Vec<Bucket>,
    running: u64,
}

/// The entries of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) entered: u64,
    pub(crate) converted: u64,
    pub(crate) running: u64,
}

/// A sample of durations in seconds: all up to a million, then an evenly spaced part of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Durations {
    /// A relative precision of 10^-7 is enough for durations, and takes half the memory.
    seconds: Vec<f32>,
    /// Every how many-th is kept, as a power of two.
    stride_exponent: u32,
    count: u64,
}

const MAX_DURATIONS: usize = 1 << 20;

/// The distribution of durations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) average: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
    /// Intervals of equal length from 0.
    pub(crate) histogram: Vec<u64>,
    /// In seconds.
    pub(crate) interval: f64,
}

impl Durations {
    fn add(&mut self, milliseconds: i64) {
        if self.count.is_multiple_of(1 << self.stride_exponent) {
            self.seconds.push(milliseconds as f32 / 1_000.0);
            if self.seconds.len() == MAX_DURATIONS {
                let mut index = 0;
                self.seconds.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride_exponent += 1;
            }
        }
        self.count += 1;
    }

    /// The nearest-rank quantile, in seconds.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.seconds.clone();
        let rank = ((share * sorted.len() as f64).ceil() as usize).max(1) - 1;
        (rank < sorted.len()).then(|| f64::from(*sorted.select_nth_unstable_by(rank, f32::total_cmp).1))
    }

    /// `None` without durations.
    pub(crate) fn distribution(&self) -> Option<Distribution> {
        let longest = self.seconds.iter().copied().fold(0.0, f32::max);
        let interval = (f64::from(longest) / INTERVALS as f64).ceil().max(1.0);
        let mut histogram = vec![0; INTERVALS];
        for seconds in &self.seconds {
            let index = (f64::from(*seconds) / interval) as usize;
            histogram[index.min(INTERVALS - 1)] += 1 << self.stride_exponent;
        }
        let sum: f64 = self.seconds.iter().map(|seconds| f64::from(*seconds)).sum();
        Some(Distribution {
            average: sum / self.seconds.len() as f64,
            median: self.quantile(0.5)?,
            p90: self.quantile(0.9)?,
            histogram,
            interval,
        })
    }
}

impl Figures {
    fn new(shape: &Shape) -> Self {
        Self {
            reached: vec![0; shape.steps],
            times: vec![Durations::default(); shape.steps - 1],
            conversion: Durations::default(),
            trend: vec![Bucket::default(); shape.buckets.len()],
            running: 0,
        }
    }

    fn add(&mut self, chain: &Chain, shape: &Shape) {
        let entry = chain[0].time;
        let is_converted = chain.len() == shape.steps;
        let is_running = !is_converted && entry + shape.window_ms > shape.now;
        self.reached[chain.len() - 1] += 1;
        for (times, pair) in self.times.iter_mut().zip(chain.windows(2)) {
            times.add(pair[1].time - pair[0].time);
        }
        if is_converted {
            self.conversion.add(chain[chain.len() - 1].time - entry);
        }
        self.running += u64::from(is_running);
        // Entries are in the range, so there is a bucket.
        let bucket = shape.buckets.partition_point(|start| start * 1_000 <= entry).saturating_sub(1);
        let bucket = &mut self.trend[bucket];
        bucket.entered += 1;
        bucket.converted += u64::from(is_converted);
        bucket.running += u64::from(is_running);
    }

    /// How many reached each step.
    pub(crate) fn counts(&self) -> Vec<u64> {
        let mut counts = self.reached.clone();
        for step in (1..counts.len()).rev() {
            counts[step - 1] += counts[step];
        }
        counts
    }

    /// Memory use in bytes.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let durations = self.times.iter().chain([&self.conversion]);
        let durations: usize = durations.map(|durations| durations.seconds.capacity()).sum();
        4 * durations + size_of::<Bucket>() * self.trend.len()
    }

    fn entered(&self) -> u64 {
        self.reached.iter().sum()
    }

    /// From each step to the next one.
    pub(crate) fn times(&self) -> &[Durations] {
        &self.times
    }

    pub(crate) fn conversion(&self) -> &Durations {
        &self.conversion
    }

    pub(crate) fn trend(&self) -> &[Bucket] {
        &self.trend
    }

    /// Entries that can still convert.
    pub(crate) fn running(&self) -> u64 {
        self.running
    }

    fn merge(&mut self, other: &Self) {
        self.reached.iter_mut().zip(&other.reached).for_each(|(sum, count)| *sum += count);
        for (bucket, other) in self.trend.iter_mut().zip(&other.trend) {
            bucket.entered += other.entered;
            bucket.converted += other.converted;
            bucket.running += other.running;
        }
        self.running += other.running;
        let durations =
            self.times.iter_mut().zip(&other.times).chain([(&mut self.conversion, &other.conversion)]);
        for (sum, other) in durations {
            // A sampled duration stands for several.
            for seconds in &other.seconds {
                for _ in 0..1 << other.stride_exponent {
                    sum.add((f64::from(*seconds) * 1_000.0) as i64);
                }
            }
        }
    }
}

/// All figures of a funnel.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    shape: Shape,
    pub(super) overall: Figures,
    by_value: HashMap<String, Figures>,
    /// The values beyond [`MAX_VALUES`].
    rest: Option<Figures>,
}

impl Totals {
    pub(super) fn new(shape: Shape) -> Self {
        let overall = Figures::new(&shape);
        Self { shape, overall, by_value: HashMap::new(), rest: None }
    }

    /// Adds the chain of a visitor.
    pub(super) fn add(&mut self, chain: &Chain) {
        self.overall.add(chain, &self.shape);
    }

    /// Adds it to a value of the breakdown.
    pub(super) fn add_to(&mut self, value: &str, chain: &Chain) {
        let has_room = self.by_value.len() < MAX_VALUES;
        let figures = match self.by_value.get_mut(value) {
            Some(figures) => figures,
            None if has_room => {
                self.by_value.entry(value.to_owned()).or_insert_with(|| Figures::new(&self.shape))
            }
            None => self.rest.get_or_insert_with(|| Figures::new(&self.shape)),
        };
        figures.add(chain, &self.shape);
    }

    /// The top values by their entries, and the others together as `other`.
    pub(super) fn top(self, limit: usize, other: &str) -> (Figures, Vec<(String, Figures)>) {
        let mut values: Vec<(String, Figures)> = self.by_value.into_iter().collect();
        values.sort_by(|a, b| b.1.entered().cmp(&a.1.entered()).then_with(|| a.0.cmp(&b.0)));
        let mut rest = self.rest;
        for (_, figures) in values.drain(limit.min(values.len())..) {
            rest.get_or_insert_with(|| Figures::new(&self.shape)).merge(&figures);
        }
        values.extend(rest.map(|rest| (other.to_owned(), rest)));
        (self.overall, values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::Event;
    use super::*;

    fn chain(times: &[i64]) -> Chain {
        times.iter().map(|time| Event { time: *time, matches: 0, index: 0 }).collect()
    }

    fn totals() -> Totals {
        Totals::new(Shape { steps: 3, window_ms: 10_000, buckets: vec![0, 60], now: 70_000 })
    }

    #[test]
    fn entries_are_counted_in_their_bucket_and_may_still_run() {
        let mut totals = totals();
        for times in [&[0, 1_000, 3_000][..], &[59_999, 60_500], &[60_000], &[60_001]] {
            totals.add(&chain(times));
        }
        let figures = &totals.overall;
        assert_eq!(figures.counts(), [4, 2, 1]);
        assert_eq!(figures.running(), 1);
        let bucket = |entered, converted, running| Bucket { entered, converted, running };
        assert_eq!(figures.trend(), [bucket(2, 1, 0), bucket(2, 0, 1)]);
        let median = figures.times()[0].quantile(0.5).unwrap();
        assert!((median - 0.501).abs() < 1e-6, "{median}");
        assert_eq!(figures.times()[1].quantile(0.5), Some(2.0));
        assert_eq!(figures.conversion().distribution().map(|distribution| distribution.average), Some(3.0));
    }

    #[test]
    fn other_values_are_added_up() {
        let mut totals = totals();
        for (value, entries) in [("a", 3), ("b", 1), ("c", 2)] {
            for _ in 0..entries {
                totals.add_to(value, &chain(&[0, 1]));
            }
        }
        let (_, values) = totals.top(1, "(other)");
        let counts: Vec<(String, Vec<u64>)> =
            values.into_iter().map(|(value, figures)| (value, figures.counts())).collect();
        assert_eq!(counts, [("a".to_owned(), vec![3, 3, 0]), ("(other)".to_owned(), vec![3, 3, 0])]);
    }

    #[test]
    fn many_durations_are_sampled_evenly() {
        let mut durations = Durations::default();
        for second in 0..3_000_000 {
            durations.add(second * 1_000);
        }
        assert!(durations.seconds.len() < MAX_DURATIONS);
        let median = durations.quantile(0.5).unwrap();
        assert!((median - 1_500_000.0).abs() < 10.0, "{median}");
        let distribution = durations.distribution().unwrap();
        let counted: u64 = distribution.histogram.iter().sum();
        assert!(counted.abs_diff(3_000_000) < 10, "{counted}");
    }
}
