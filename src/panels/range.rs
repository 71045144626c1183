//! From a time range and a time zone to the buckets of a panel.
//!
//! Buckets follow the wall clock of the time zone: an hour starts at minute 0, a day at midnight. When the clock is put
//! back, buckets of up to an hour are repeated: the repeated hour is a second bucket. A longer bucket becomes longer: a day
//! is always one bucket. When the clock is put forward, the bucket with the gap is shorter. The last bucket contains the
//! present and is incomplete.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::abbreviate;

/// UTC offsets of time zones are multiples of 15 minutes, so buckets of 15 minutes and more start on this grid.
const GRID_MINUTES: i64 = 15;
/// Buckets up to this width are repeated when the clock is put back.
const HOUR_MINUTES: i64 = 60;
/// Four times the largest backward clock change in use, two hours at Troll in Antarctica.
const LOOKBACK_SECONDS: i64 = 8 * 3_600;

/// How far back a query reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimeRange {
    /// The last hour.
    Hour,
    /// The last 6 hours.
    SixHours,
    /// The last 24 hours.
    Day,
    /// The last 7 days.
    Week,
}

/// The width of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum Granularity {
    /// 1 minute for an hour, 5 minutes for 6 hours, 15 minutes for a day, 2 hours for a week.
    #[default]
    Fine,
    /// A day for a week, otherwise an hour.
    Coarse,
}

impl TimeRange {
    fn minutes(self) -> i64 {
        match self {
            Self::Hour => 60,
            Self::SixHours => 6 * 60,
            Self::Day => 24 * 60,
            Self::Week => 7 * 24 * 60,
        }
    }

    /// The nominal width of a bucket. The first may be cut, and days with a clock change are longer or shorter.
    pub(super) fn bucket_minutes(self, granularity: Granularity) -> u32 {
        match (granularity, self) {
            (Granularity::Fine, Self::Hour) => 1,
            (Granularity::Fine, Self::SixHours) => 5,
            (Granularity::Fine, Self::Day) => 15,
            (Granularity::Fine, Self::Week) => 2 * 60,
            (Granularity::Coarse, Self::Week) => 24 * 60,
            (Granularity::Coarse, _) => 60,
        }
    }
}

/// The buckets of a query. They cover the whole range; the first may start before it. All queries of a range and a time
/// zone start at the same time: the first of the coarse buckets is cut there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// The start of each, ascending, in seconds since 1970 UTC. Never empty.
    pub starts: Vec<i64>,
    /// The end of the last, exclusive, in seconds since 1970 UTC: the start of the next minute.
    pub end: i64,
}

impl Buckets {
    /// The buckets of a range that ends at `now`.
    pub(crate) fn new(range: TimeRange, granularity: Granularity, zone: &TimeZone, now: Timestamp) -> Self {
        let now = now.as_second();
        let first = now - range.minutes() * 60;
        let starts_of =
            |granularity| bucket_starts(range.bucket_minutes(granularity).into(), zone, first, now);
        let mut starts = starts_of(granularity);
        if granularity == Granularity::Coarse {
            // Cut, so that all panels of a range cover the same span.
            starts[0] = starts_of(Granularity::Fine)[0];
        }
        Self { starts, end: now.div_euclid(60) * 60 + 60 }
    }

    /// The start of the last bucket, which contains the present.
    pub(crate) fn last_start(&self) -> i64 {
        self.starts[self.starts.len() - 1]
    }
}

/// The starts of the buckets of this width from the one that contains `first` to the one that contains `now`.
fn bucket_starts(width: i64, zone: &TimeZone, first: i64, now: i64) -> Vec<i64> {
    let grid = width.min(GRID_MINUTES) * 60;
    // Start before the bucket that contains `first`, and early enough that `highest` is right: after a clock change
    // before this point, the wall clock has caught up with its highest value again.
    let mut second = (first - width * 60 - LOOKBACK_SECONDS).div_euclid(grid) * grid;
    let mut starts = Vec::new();
    let mut previous = wall_clock_bucket(second - grid, width, zone);
    let mut highest = previous.number;
    while second <= now {
        let bucket = wall_clock_bucket(second, width, zone);
        let is_start = if width <= HOUR_MINUTES {
            bucket.number != previous.number || bucket.is_start
        } else {
            // Repeated wall-clock time belongs to the bucket in which the clock was put back.
            bucket.number > highest
        };
        if is_start {
            if second <= first {
                starts.clear();
            }
            starts.push(second);
        }
        highest = highest.max(bucket.number);
        previous = bucket;
        second += grid;
    }
    starts
}

/// The rollup levels above the minute, finest first.
const LEVEL_MINUTES: [i64; 3] = [15, 60, 360];
/// The levels for series, coarsest first. A fine bucket is at most two rows of level 60, so level 360 would save nothing.
const SERIES_LEVEL_MINUTES: [i64; 2] = [60, 15];

/// The rollup rows that make up a series: rows of one level up to `end`, rows of a minute from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesLevel {
    /// The coarsest level that divides every bucket but the last; 1 if only minutes do. The parameter `step`.
    pub minutes: i64,
    /// The start of the last bucket, or of the first one if the level is 1. The parameter `steps_end`. Seconds since 1970
    /// UTC.
    pub end: i64,
}

/// The fewest rollup rows that cover a range: level 360 in the middle, then levels 60 and 15 and minutes towards both
/// ends. Seconds since 1970 UTC, ascending from `from[0]` to `from[2]` and from `to[2]` to `to[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangePartition {
    /// Where levels 15, 60 and 360 start: the parameters `quarters_from`, `hours_from` and `six_hours_from`.
    pub from: [i64; 3],
    /// Where levels 15, 60 and 360 end: the parameters `quarters_to`, `hours_to` and `six_hours_to`.
    pub to: [i64; 3],
}

impl Buckets {
    /// The rollup rows of a panel with a value per bucket.
    pub(crate) fn series_level(&self) -> SeriesLevel {
        let last = self.last_start();
        let is_aligned = |minutes: &&i64| self.starts.iter().all(|start| start % (**minutes * 60) == 0);
        match SERIES_LEVEL_MINUTES.iter().find(is_aligned) {
            Some(&minutes) if self.starts.len() > 1 => SeriesLevel { minutes, end: last },
            _ => SeriesLevel { minutes: 1, end: self.starts[0] },
        }
    }

    /// The rollup rows of a panel with one value for the whole range.
    pub(crate) fn partition(&self) -> RangePartition {
        let (mut left, mut right) = (self.starts[0], self.end);
        let mut partition = RangePartition { from: [0; 3], to: [0; 3] };
        for (index, minutes) in LEVEL_MINUTES.into_iter().enumerate() {
            let width = minutes * 60;
            let (from, to) = ((left + width - 1).div_euclid(width) * width, right.div_euclid(width) * width);
            // If no row of this level fits, the finer levels cover everything up to `right`.
            (left, right) = if from < to { (from, to) } else { (right, right) };
            (partition.from[index], partition.to[index]) = (left, right);
        }
        partition
    }
}

struct WallClockBucket {
    /// Buckets since 1970 by the wall clock.
    number: i64,
    /// Whether the wall clock is at the first second of the bucket.
    is_start: bool,
}

fn wall_clock_bucket(second: i64, bucket_minutes: i64, zone: &TimeZone) -> WallClockBucket {
    let instant = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    // The wall clock's time as if it were UTC.
    let wall = second + i64::from(zone.to_offset(instant).seconds());
    let width = bucket_minutes * 60;
    WallClockBucket { number: wall.div_euclid(width), is_start: wall.rem_euclid(width) == 0 }
}

/// A time zone that the IANA database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time_zone: {0:?} is not a known time zone; use an IANA name such as \"Europe/Madrid\" or \"UTC\"")]
pub struct UnknownTimeZone(String);

/// The time zone with this IANA name; UTC for `None` and an empty name.
pub(crate) fn parse_time_zone(name: Option<&str>) -> Result<TimeZone, UnknownTimeZone> {
    match name {
        None | Some("") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| UnknownTimeZone(abbreviate(name))),
    }
}

/// The current hour, and the same hour and moment a week ago by the wall clock. Seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HourComparison {
    /// The start of the current hour.
    pub start: i64,
    /// The start of the same hour a week ago.
    pub week_ago_start: i64,
    /// The same moment a week ago.
    pub week_ago_now: i64,
}

impl HourComparison {
    /// The hour that contains `now`.
    pub(crate) fn new(zone: &TimeZone, now: Timestamp) -> Self {
        let wall = now.to_zoned(zone.clone());
        let into_hour = Span::new()
            .minutes(i64::from(wall.minute()))
            .seconds(i64::from(wall.second()))
            .nanoseconds(i64::from(wall.subsec_nanosecond()));
        let start = wall.checked_sub(into_hour).unwrap_or_else(|_| wall.clone());
        let week_ago = |instant: &jiff::Zoned| {
            let past = instant.checked_sub(Span::new().days(7));
            past.map_or_else(|_| instant.timestamp(), |past| past.timestamp())
        };
        Self {
            start: start.timestamp().as_second(),
            week_ago_start: week_ago(&start).as_second(),
            week_ago_now: week_ago(&wall).as_second(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn buckets(range: TimeRange, granularity: Granularity, zone: &str, now: &str) -> (Vec<String>, Vec<i64>) {
        let zone = TimeZone::get(zone).unwrap();
        let buckets = Buckets::new(range, granularity, &zone, now.parse().unwrap());
        let walls = buckets.starts.iter().map(|&second| {
            Timestamp::from_second(second).unwrap().to_zoned(zone.clone()).strftime("%d %H:%M").to_string()
        });
        let lengths = buckets.starts.windows(2).map(|pair| (pair[1] - pair[0]) / 60);
        (walls.collect(), lengths.collect())
    }

    #[test]
    fn buckets_span_the_range_and_end_at_the_present() {
        let (walls, lengths) = buckets(TimeRange::Hour, Granularity::Fine, "UTC", "2026-11-21T10:30:20Z");
        assert_eq!((walls.len(), walls[0].as_str(), walls[60].as_str()), (61, "21 09:30", "21 10:30"));
        assert!(lengths.iter().all(|&minutes| minutes == 1));
        for (range, count, width) in
            [(TimeRange::SixHours, 73, 5), (TimeRange::Day, 97, 15), (TimeRange::Week, 85, 120)]
        {
            let (walls, lengths) = buckets(range, Granularity::Fine, "UTC", "2026-11-21T10:30:20Z");
            assert_eq!(walls.len(), count, "{range:?}");
            assert!(lengths.iter().all(|&minutes| minutes == width));
        }
    }

    #[test]
    fn rollup_bounds_are_sorted_and_aligned_to_their_level() {
        for (range, granularity) in [
            (TimeRange::Hour, Granularity::Fine),
            (TimeRange::SixHours, Granularity::Fine),
            (TimeRange::Day, Granularity::Coarse),
            (TimeRange::Week, Granularity::Fine),
        ] {
            for (zone, now) in [
                ("UTC", "2026-11-21T10:30:20Z"),
                ("UTC", "2026-11-21T12:00:00Z"),
                ("UTC", "2026-11-21T11:59:59Z"),
                ("Asia/Kathmandu", "2026-11-21T00:14:00Z"),
                ("Europe/Madrid", "2026-10-25T04:30:00Z"),
            ] {
                let zone = TimeZone::get(zone).unwrap();
                let buckets = Buckets::new(range, granularity, &zone, now.parse().unwrap());
                let RangePartition { from, to } = buckets.partition();
                let bounds = [buckets.starts[0], from[0], from[1], from[2], to[2], to[1], to[0], buckets.end];
                assert!(bounds.is_sorted(), "{bounds:?}");
                for (index, minutes) in LEVEL_MINUTES.into_iter().enumerate() {
                    let whole = |bound: i64| bound % (minutes * 60) == 0;
                    assert!(
                        from[index] == to[index] || (whole(from[index]) && whole(to[index])),
                        "{bounds:?}"
                    );
                }
                let SeriesLevel { minutes, end } = buckets.series_level();
                assert!(minutes == 1 || buckets.starts.iter().all(|start| start % (minutes * 60) == 0));
                assert!(minutes == 1 || end == buckets.starts[buckets.starts.len() - 1]);
                assert!(minutes > 1 || end == buckets.starts[0]);
            }
        }
    }

    #[test]
    fn a_series_reads_the_coarsest_rollup_level_that_fits() {
        let level_minutes = |range, zone: &str| {
            let zone = TimeZone::get(zone).unwrap();
            Buckets::new(range, Granularity::Fine, &zone, "2026-11-21T10:30:20Z".parse().unwrap())
                .series_level()
                .minutes
        };
        assert_eq!(level_minutes(TimeRange::Hour, "UTC"), 1);
        assert_eq!(level_minutes(TimeRange::SixHours, "UTC"), 1);
        assert_eq!(level_minutes(TimeRange::Day, "UTC"), 15);
        assert_eq!(level_minutes(TimeRange::Week, "UTC"), 60);
        assert_eq!(level_minutes(TimeRange::Week, "Asia/Kolkata"), 15, "its offset is not a whole hour");
    }

    #[test]
    fn a_repeated_hour_is_two_buckets() {
        // Madrid puts the clock back from 3:00 to 2:00 on 2026-10-25 at 01:00 UTC.
        let (walls, lengths) =
            buckets(TimeRange::SixHours, Granularity::Coarse, "Europe/Madrid", "2026-10-25T04:30:00Z");
        assert_eq!(
            walls,
            ["25 00:30", "25 01:00", "25 02:00", "25 02:00", "25 03:00", "25 04:00", "25 05:00"]
        );
        assert_eq!(lengths, [30, 60, 60, 60, 60, 60], "the first is cut at the start of the range");
    }

    #[test]
    fn a_day_with_a_clock_change_is_longer_or_shorter() {
        let (_, autumn) =
            buckets(TimeRange::Week, Granularity::Coarse, "Europe/Madrid", "2026-10-28T12:00:00Z");
        assert_eq!(autumn.iter().filter(|&&minutes| minutes == 25 * 60).count(), 1, "{autumn:?}");
        let (walls, spring) =
            buckets(TimeRange::Week, Granularity::Coarse, "America/New_York", "2026-03-11T12:00:00Z");
        assert_eq!(spring.iter().filter(|&&minutes| minutes == 23 * 60).count(), 1, "{spring:?}");
        assert!(walls[1..].iter().all(|wall| wall.ends_with("00:00")), "{walls:?}");
    }

    // Clocks that are put back to midnight.
    #[test]
    fn a_day_with_a_repeated_midnight_is_one_bucket() {
        for (zone, now, long) in [
            ("America/Havana", "2026-11-03T12:00:00Z", "01 00:00"),
            ("Atlantic/Azores", "2026-10-27T12:00:00Z", "25 00:00"),
        ] {
            let (walls, lengths) = buckets(TimeRange::Week, Granularity::Coarse, zone, now);
            assert_eq!(walls.iter().filter(|wall| *wall == long).count(), 1, "{zone}: {walls:?}");
            let index = walls.iter().position(|wall| wall == long).unwrap();
            assert_eq!(lengths[index], 25 * 60, "{zone}: {lengths:?}");
        }
    }

    #[test]
    fn a_two_hour_bucket_contains_the_repeated_hour() {
        for zone in ["Europe/Madrid", "America/Havana", "Atlantic/Azores", "Antarctica/Troll"] {
            let now = if zone == "America/Havana" { "2026-11-03T12:00:00Z" } else { "2026-10-27T12:00:00Z" };
            let (walls, lengths) = buckets(TimeRange::Week, Granularity::Fine, zone, now);
            let mut labels = walls.clone();
            labels.dedup();
            assert_eq!(labels, walls, "{zone}");
            let longest = if zone == "Antarctica/Troll" { 240 } else { 180 };
            assert_eq!(
                lengths.iter().filter(|&&minutes| minutes == longest).count(),
                1,
                "{zone}: {lengths:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        /// For every time zone: buckets cover the range without gaps or overlaps and start at the same time in both
        /// granularities, a bucket of a day starts with the day, and buckets of two hours or more have distinct labels.
        #[test]
        fn buckets_cover_the_range_and_days_start_at_midnight(
            zone in select(jiff::tz::db().available().map(|name| name.to_string()).collect::<Vec<_>>()),
            from in 1_325_376_000_i64..2_145_916_800, // 2012 to 2037
            offset in 0_i64..8 * 86_400,
        ) {
            let zone = TimeZone::get(&zone).unwrap();
            // Up to 8 days after a clock change, if the zone has one.
            let change = zone.following(Timestamp::from_second(from).unwrap()).next();
            let now = change.map_or(from, |change| change.timestamp().as_second()) + offset;
            let instant = |second: i64| Timestamp::from_second(second).unwrap().to_zoned(zone.clone());
            for range in [TimeRange::Hour, TimeRange::SixHours, TimeRange::Day, TimeRange::Week] {
                for granularity in [Granularity::Fine, Granularity::Coarse] {
                    let now_timestamp = Timestamp::from_second(now).unwrap();
                    let buckets = Buckets::new(range, granularity, &zone, now_timestamp);
                    let SeriesLevel { minutes, end: steps_end } = buckets.series_level();
                    prop_assert!(minutes == 1 || buckets.starts.iter().all(|start| start % (minutes * 60) == 0));
                    prop_assert!(minutes > 1 || steps_end == buckets.starts[0]);
                    let fine = Buckets::new(range, Granularity::Fine, &zone, now_timestamp);
                    prop_assert_eq!((buckets.starts[0], buckets.end), (fine.starts[0], fine.end));
                    let Buckets { starts, end } = buckets;
                    let range_start = now - range.minutes() * 60;
                    prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
                    prop_assert!(starts[0] <= range_start && starts.get(1).is_none_or(|&next| next > range_start));
                    prop_assert!(starts[starts.len() - 1] <= now && now < end && end - now <= 60);
                    let width = i64::from(range.bucket_minutes(granularity));
                    if width > HOUR_MINUTES {
                        let label = |&start: &i64| wall_clock_bucket(start, width, &zone).number;
                        let labels: Vec<_> = starts.iter().map(label).collect();
                        prop_assert!(labels.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", labels);
                    }
                    if width == 24 * 60 {
                        // The first is cut.
                        for (&start, &next) in starts.iter().zip(starts[1..].iter().chain([&end])).skip(1) {
                            prop_assert_eq!(instant(start).start_of_day().unwrap().timestamp().as_second(), start);
                            prop_assert!(next == end || instant(next).date() > instant(start).date());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn unusual_offsets_follow_the_wall_clock() {
        let (walls, _) = buckets(TimeRange::Day, Granularity::Coarse, "Asia/Kolkata", "2026-11-21T10:10:00Z");
        assert!(walls[1..].iter().all(|wall| wall.ends_with(":00")), "{walls:?}");
        // Lord Howe moves its clock by half an hour.
        let (walls, lengths) =
            buckets(TimeRange::Day, Granularity::Coarse, "Australia/Lord_Howe", "2026-10-04T06:00:00Z");
        assert!(walls[1..].iter().filter(|wall| !wall.ends_with(":00")).count() <= 1, "{walls:?}");
        assert!(lengths.iter().all(|&minutes| minutes <= 60), "{lengths:?}");
    }

    #[test]
    fn buckets_are_unique_and_the_first_contains_the_start_of_the_range() {
        for zone in
            ["UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Chatham", "Africa/Cairo"]
        {
            for range in [TimeRange::Hour, TimeRange::SixHours, TimeRange::Day, TimeRange::Week] {
                for granularity in [Granularity::Fine, Granularity::Coarse] {
                    for day in 0..370 {
                        let now = Timestamp::from_second(1_767_225_600 + day * 86_400 + 12_345).unwrap();
                        let buckets = Buckets::new(range, granularity, &TimeZone::get(zone).unwrap(), now);
                        let range_start = now.as_second() - range.minutes() * 60;
                        assert!(buckets.starts.windows(2).all(|pair| pair[0] < pair[1]));
                        assert!(
                            buckets.starts[0] <= range_start
                                && buckets.starts.get(1).is_none_or(|&next| next > range_start)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_week_ago_follows_the_wall_clock() {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let now: Timestamp = "2026-10-28T12:34:56Z".parse().unwrap(); // 13:34:56 in winter time
        let hour = HourComparison::new(&zone, now);
        assert_eq!(now.as_second() - hour.start, 34 * 60 + 56);
        assert_eq!(hour.start - hour.week_ago_start, 7 * 86_400 + 3_600);
        assert_eq!(hour.week_ago_now - hour.week_ago_start, 34 * 60 + 56);
    }

    #[test]
    fn an_unknown_time_zone_is_named_in_the_error() {
        let error = parse_time_zone(Some("Mars/Olympus")).unwrap_err();
        assert!(error.to_string().contains("\"Mars/Olympus\""), "{error}");
        assert_eq!(parse_time_zone(Some("")).unwrap(), TimeZone::UTC);
    }
}
