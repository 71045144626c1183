//! The buckets of a panel: from a time range, a time zone and a width to their starts. See [`wall_clock`](super::wall_clock)
//! for where they start. If the range ends now, the last bucket contains the present and is incomplete.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::levels::{RollupRow, rollup_rows};
use super::range::{InvalidRange, ResolvedRange, Shift, TimeRange, rfc3339};
use super::wall_clock::{DAY_MINUTES, bucket_starts};

/// The most buckets of a range whose width is chosen by its length: 130 days, 65 hours of half hours.
const MAX_AUTO_BUCKETS: i64 = 130;
/// The most buckets that a query may ask for.
const MAX_BUCKETS: i64 = 1_000;

/// The width of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BucketWidth {
    Minute,
    FiveMinutes,
    QuarterHour,
    HalfHour,
    Hour,
    TwoHours,
    SixHours,
    Day,
    Week,
}

impl BucketWidth {
    /// Each with its name in HTTP queries and its minutes, ascending.
    pub(crate) const ALL: [(Self, &str, i64); 9] = [
        (Self::Minute, "1m", 1),
        (Self::FiveMinutes, "5m", 5),
        (Self::QuarterHour, "15m", 15),
        (Self::HalfHour, "30m", 30),
        (Self::Hour, "1h", 60),
        (Self::TwoHours, "2h", 120),
        (Self::SixHours, "6h", 360),
        (Self::Day, "1d", DAY_MINUTES),
        (Self::Week, "1w", 7 * DAY_MINUTES),
    ];

    /// The nominal width. The first bucket may be cut, and days with a clock change are longer or shorter.
    pub(crate) fn minutes(self) -> i64 {
        Self::ALL.into_iter().find(|(width, ..)| *width == self).map_or(1, |(.., minutes)| minutes)
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(width, ..)| *width == self).map_or("", |(_, name, _)| name)
    }

    /// The width for a range of this length.
    fn for_length(minutes: i64, granularity: Granularity) -> Self {
        let fits = |(width, _, bucket_minutes): &(Self, &str, i64)| {
            let allowed = granularity == Granularity::Fine || matches!(width, Self::Hour | Self::Day);
            // A coarse panel has days where a fine one has hours.
            let max_buckets = if granularity == Granularity::Coarse && *width == Self::Hour {
                MAX_AUTO_BUCKETS / 2
            } else {
                MAX_AUTO_BUCKETS
            };
            allowed && minutes <= bucket_minutes * max_buckets
        };
        Self::ALL.into_iter().find(fits).map_or(Self::Week, |(width, ..)| width)
    }
}

/// The width of buckets if a query does not ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum Granularity {
    /// 1 minute for an hour, 5 minutes for 6 hours, 15 minutes for a day, 2 hours for a week.
    #[default]
    Fine,
    /// An hour up to 65 hours, a day up to 130 days, a week beyond.
    Coarse,
}

/// The buckets of a query. They cover the whole range; the first may start before it. All queries of a range and a time
/// zone start at the same time: the first of wide buckets is cut there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// The start of each, ascending, in seconds since 1970 UTC. Never empty.
    pub starts: Vec<i64>,
    /// The end of the last, exclusive, in seconds since 1970 UTC: a whole minute.
    pub end: i64,
    /// The nominal width.
    pub width: BucketWidth,
    /// Whether the last contains the present.
    pub is_running: bool,
    /// The start of the range if it is before what is stored.
    pub requested_start: Option<i64>,
    /// The distance to the previous period.
    pub(super) previous: Shift,
}

/// What a query says about buckets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BucketRequest {
    /// The width if none is asked for.
    pub granularity: Granularity,
    /// The width that is asked for.
    pub width: Option<BucketWidth>,
    /// What is older is no longer stored. Seconds since 1970 UTC.
    pub stored_from: Option<i64>,
}

/// Suggests the narrowest width of which there are few enough, with room for the buckets that are cut at both ends and for the
/// hours that a change of the clock repeats.
fn too_many_buckets(width: BucketWidth, buckets: i64, stored_minutes: i64) -> InvalidRange {
    const ROOM: i64 = 32;
    let fits = |(_, _, minutes): &(_, _, i64)| stored_minutes / minutes <= MAX_BUCKETS - ROOM;
    let instead = BucketWidth::ALL.into_iter().find(fits).map_or("1w", |(_, name, _)| name);
    InvalidRange::TooManyBuckets { width: width.name(), buckets, instead }
}

impl Buckets {
    /// The buckets of a range at `now`.
    pub(crate) fn new(
        range: TimeRange,
        request: BucketRequest,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Self, InvalidRange> {
        let now = now.as_second();
        let resolved = range.resolve(zone, now)?;
        let ResolvedRange { last, end, minutes, is_running, previous, .. } = resolved;
        let stored_from = request.stored_from.unwrap_or(i64::MIN);
        if end <= stored_from {
            return Err(InvalidRange::Expired(rfc3339(stored_from)));
        }
        let requested_start = Some(resolved.start).filter(|start| *start < stored_from);
        let start = resolved.start.max(stored_from);
        let stored_minutes = if requested_start.is_some() { (end - start) / 60 } else { minutes };
        let auto = BucketWidth::for_length(minutes, Granularity::Fine);
        let width = match request.width {
            None => BucketWidth::for_length(minutes, request.granularity),
            // Before they are computed. The exact number depends on where the buckets begin.
            Some(width) if stored_minutes / width.minutes() > MAX_BUCKETS => {
                return Err(too_many_buckets(width, stored_minutes / width.minutes(), stored_minutes));
            }
            Some(width) => width,
        };
        // All panels of a range cover the same span, so the first of wide buckets is cut.
        let first = bucket_starts(auto.minutes(), zone, start, start)[0].max(stored_from);
        let mut starts = bucket_starts(width.minutes(), zone, first, last);
        starts[0] = first;
        if starts.len() as i64 > MAX_BUCKETS {
            return Err(too_many_buckets(width, starts.len() as i64, stored_minutes));
        }
        Ok(Self { starts, end, width, is_running, requested_start, previous })
    }

    /// The start of the last bucket, which contains the present if the range ends now.
    pub(crate) fn last_start(&self) -> i64 {
        self.starts[self.starts.len() - 1]
    }

    /// The rollup rows of a panel with a value per bucket.
    pub(crate) fn series_rows(&self) -> Vec<RollupRow> {
        let ends = self.starts[1..].iter().copied().chain([self.end]);
        self.starts.iter().zip(ends).flat_map(|(start, end)| rollup_rows(*start, end)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::comparison::Compare;
    use super::super::range::Interval;
    use super::super::wall_clock::{HOUR_MINUTES, wall_clock_bucket};
    use super::*;

    /// The starts by the wall clock, and the lengths in minutes.
    pub(in crate::panels) fn buckets(
        range: TimeRange,
        granularity: Granularity,
        zone: &str,
        now: &str,
    ) -> (Vec<String>, Vec<i64>) {
        let zone = TimeZone::get(zone).unwrap();
        let request = BucketRequest { granularity, ..BucketRequest::default() };
        let buckets = Buckets::new(range, request, &zone, now.parse().unwrap()).unwrap();
        let walls = buckets.starts.iter().map(|&second| {
            Timestamp::from_second(second).unwrap().to_zoned(zone.clone()).strftime("%d %H:%M").to_string()
        });
        let lengths = buckets.starts.windows(2).map(|pair| (pair[1] - pair[0]) / 60);
        (walls.collect(), lengths.collect())
    }

    pub(in crate::panels) fn plain(range: TimeRange, zone: &str, now: &str) -> Buckets {
        let zone = TimeZone::get(zone).unwrap();
        Buckets::new(range, BucketRequest::default(), &zone, now.parse().unwrap()).unwrap()
    }

    fn second(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_second()
    }

    pub(in crate::panels) fn interval(start: &str, end: &str) -> TimeRange {
        TimeRange::Interval(Interval { start: second(start), end: Some(second(end)) })
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
    fn a_width_is_chosen_by_the_length_of_the_range() {
        let days = |days: i64, granularity| BucketWidth::for_length(days * DAY_MINUTES, granularity);
        let fine = |number| days(number, Granularity::Fine);
        assert_eq!(BucketWidth::for_length(60, Granularity::Fine), BucketWidth::Minute);
        assert_eq!(BucketWidth::for_length(6 * 60, Granularity::Fine), BucketWidth::FiveMinutes);
        assert_eq!(
            [fine(1), fine(2), fine(4)],
            [BucketWidth::QuarterHour, BucketWidth::HalfHour, BucketWidth::Hour]
        );
        assert_eq!(
            [fine(7), fine(30), fine(31)],
            [BucketWidth::TwoHours, BucketWidth::SixHours, BucketWidth::SixHours]
        );
        assert_eq!(
            [fine(90), fine(400), fine(3_653)],
            [BucketWidth::Day, BucketWidth::Week, BucketWidth::Week]
        );
        let coarse = |number| days(number, Granularity::Coarse);
        assert_eq!(
            [coarse(1), coarse(7), coarse(90)],
            [BucketWidth::Hour, BucketWidth::Day, BucketWidth::Day]
        );
        assert_eq!(coarse(400), BucketWidth::Week);
    }

    #[test]
    fn buckets_that_are_not_possible_are_named() {
        let now: Timestamp = "2026-11-21T10:30:20Z".parse().unwrap();
        let buckets =
            |range, request| Buckets::new(range, request, &TimeZone::UTC, now).unwrap_err().to_string();
        let minutes = BucketRequest { width: Some(BucketWidth::Minute), ..BucketRequest::default() };
        assert_eq!(
            buckets(TimeRange::Week, minutes),
            "bucket: 1m makes about 10080 buckets of this range; the maximum is 1000, so ask for 15m or wider"
        );
        let expired =
            BucketRequest { stored_from: Some(now.as_second() - 86_400), ..BucketRequest::default() };
        let old = interval("2026-11-01T00:00:00Z", "2026-11-11T00:00:00Z");
        assert!(buckets(old, expired).contains("ends before 2026-11-20T10:30:20Z"));
    }

    #[test]
    fn a_range_begins_with_what_is_stored() {
        let now = "2026-11-21T10:30:20Z".parse().unwrap();
        let stored_from = Some(second("2026-11-01T00:00:00Z"));
        for width in [None, Some(BucketWidth::Week)] {
            let request = BucketRequest { stored_from, width, ..BucketRequest::default() };
            let buckets = Buckets::new(TimeRange::NinetyDays, request, &TimeZone::UTC, now).unwrap();
            assert_eq!(Some(buckets.starts[0]), stored_from);
            assert_eq!(buckets.requested_start, Some(second("2026-08-23T10:30:20Z")));
            let buckets = Buckets::new(TimeRange::Week, request, &TimeZone::UTC, now).unwrap();
            assert_eq!(buckets.requested_start, None);
        }
    }

    const SLIDING: [TimeRange; 6] = [
        TimeRange::Hour,
        TimeRange::SixHours,
        TimeRange::Day,
        TimeRange::Week,
        TimeRange::ThirtyDays,
        TimeRange::NinetyDays,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        /// For every range, width and time zone, also on days with a clock change: the rows of the rollup cover every minute
        /// of each bucket exactly once, are aligned to their level, and buckets of a comparison are earlier and in order.
        #[test]
        fn rows_cover_every_minute_exactly_once(
            zone in select(jiff::tz::db().available().map(|name| name.to_string()).collect::<Vec<_>>()),
            from in 1_325_376_000_i64..2_145_916_800, // 2012 to 2037
            offset in 0_i64..8 * 86_400,
            length in 60_i64..400 * 86_400,
            ends_before in 0_i64..2 * 86_400,
            preset in select(vec![None, Some(TimeRange::Today), Some(TimeRange::Yesterday), Some(TimeRange::ThisWeek),
                                  Some(TimeRange::ThisMonth), Some(TimeRange::Day), Some(TimeRange::Hour)]),
            width in select(vec![None, Some(BucketWidth::Hour), Some(BucketWidth::SixHours), Some(BucketWidth::Day), Some(BucketWidth::Week)]),
            stored_days in select(vec![None, Some(5), Some(100)]),
            compare in select(vec![Compare::PreviousPeriod, Compare::WeekAgo]),
        ) {
            let zone = TimeZone::get(&zone).unwrap();
            let change = zone.following(Timestamp::from_second(from).unwrap()).next();
            let now = change.map_or(from, |change| change.timestamp().as_second()) + offset;
            let start = now - ends_before - length;
            let end = (ends_before > 0).then_some(now - ends_before);
            let range = preset.unwrap_or(TimeRange::Interval(Interval { start, end }));
            let stored_from = stored_days.map(|days: i64| (now - days * 86_400).div_euclid(86_400) * 86_400);
            let request = BucketRequest { width, stored_from, ..BucketRequest::default() };
            let now = Timestamp::from_second(now).unwrap();
            let Ok(buckets) = Buckets::new(range, request, &zone, now) else { return Ok(()) };
            prop_assert!(buckets.starts.windows(2).all(|pair| pair[0] < pair[1]) && buckets.last_start() < buckets.end);
            prop_assert!(buckets.starts.len() <= 1_000, "{}", buckets.starts.len());
            let mut covered_to = buckets.starts[0];
            for (minutes, start) in buckets.series_rows() {
                let width = i64::from(minutes) * 60;
                prop_assert_eq!((start, start.rem_euclid(width)), (covered_to, 0));
                covered_to = start + width;
                // A row belongs to one bucket.
                let bucket = buckets.starts.partition_point(|bucket| *bucket <= start);
                prop_assert!(buckets.starts.get(bucket).is_none_or(|next| covered_to <= *next));
            }
            prop_assert_eq!(covered_to, buckets.end);
            let total = rollup_rows(buckets.starts[0], buckets.end);
            prop_assert!(total.len() <= buckets.series_rows().len());
            prop_assert_eq!(total.iter().map(|(minutes, _)| i64::from(*minutes) * 60).sum::<i64>(), buckets.end - buckets.starts[0]);
            let (earlier, earlier_now) = buckets.compared(compare, &zone, now);
            prop_assert!(earlier.starts.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", earlier);
            prop_assert!(earlier.starts.len() <= buckets.starts.len() && !earlier.starts.is_empty());
            prop_assert!(earlier.last_start() < earlier.end && earlier_now < now);
            prop_assert!(earlier.starts.iter().chain([&earlier.end]).all(|start| start % 60 == 0));
            if compare == Compare::PreviousPeriod {
                prop_assert!(earlier.end <= buckets.starts[0]);
            }
        }

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
            for range in SLIDING {
                for granularity in [Granularity::Fine, Granularity::Coarse] {
                    let now_timestamp = Timestamp::from_second(now).unwrap();
                    let request = BucketRequest { granularity, ..BucketRequest::default() };
                    let buckets = Buckets::new(range, request, &zone, now_timestamp).unwrap();
                    let fine = Buckets::new(range, BucketRequest::default(), &zone, now_timestamp).unwrap();
                    prop_assert_eq!((buckets.starts[0], buckets.end), (fine.starts[0], fine.end));
                    let Buckets { starts, end, width, .. } = buckets;
                    let range_start = range.resolve(&zone, now).unwrap().start;
                    prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
                    prop_assert!(starts[0] <= range_start && starts.get(1).is_none_or(|&next| next > range_start));
                    prop_assert!(starts[starts.len() - 1] <= now && now < end && end - now <= 60);
                    let width = width.minutes();
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
    fn buckets_are_unique_and_the_first_contains_the_start_of_the_range() {
        for zone in
            ["UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Chatham", "Africa/Cairo"]
        {
            for range in [TimeRange::Hour, TimeRange::SixHours, TimeRange::Day, TimeRange::Week] {
                for granularity in [Granularity::Fine, Granularity::Coarse] {
                    for day in 0..370 {
                        let now = Timestamp::from_second(1_767_225_600 + day * 86_400 + 12_345).unwrap();
                        let (request, zone) = (
                            BucketRequest { granularity, ..BucketRequest::default() },
                            TimeZone::get(zone).unwrap(),
                        );
                        let buckets = Buckets::new(range, request, &zone, now).unwrap();
                        let range_start = range.resolve(&zone, now.as_second()).unwrap().start;
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
}
