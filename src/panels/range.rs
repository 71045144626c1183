//! From a time range and a time zone to the buckets of a panel, and to the rollup rows that cover them.
//!
//! Buckets follow the wall clock of the time zone: an hour starts at minute 0, a day at midnight, a week on Monday. When the
//! clock is put back, buckets of up to an hour are repeated: the repeated hour is a second bucket. A longer bucket becomes
//! longer: a day is always one bucket. When the clock is put forward, the bucket with the gap is shorter. If the range ends
//! now, the last bucket contains the present and is incomplete.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::abbreviate;

/// UTC offsets of time zones are multiples of 15 minutes, so buckets of 15 minutes and more start on this grid.
const GRID_MINUTES: i64 = 15;
/// Buckets up to this width are repeated when the clock is put back.
const HOUR_MINUTES: i64 = 60;
/// A day of 24 hours.
const DAY_MINUTES: i64 = 24 * 60;
/// Four times the largest backward clock change in use, two hours at Troll in Antarctica.
const LOOKBACK_SECONDS: i64 = 8 * 3_600;
/// 1970-01-01 was a Thursday, three days after a Monday.
const MONDAY_OFFSET_SECONDS: i64 = 3 * 86_400;

/// The most buckets of a range whose width is chosen by its length: 130 days, 65 hours of half hours.
const MAX_AUTO_BUCKETS: i64 = 130;
/// The most buckets that a query may ask for.
const MAX_BUCKETS: i64 = 1_000;
/// The longest interval: 10 years.
const MAX_INTERVAL_SECONDS: i64 = 3_653 * 86_400;

/// How far back a query reaches. All but `Yesterday` and `Interval` end now.
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
    /// The last 30 days.
    ThirtyDays,
    /// The last 90 days.
    NinetyDays,
    /// From midnight.
    Today,
    /// The day before today.
    Yesterday,
    /// From Monday.
    ThisWeek,
    /// From the first day of the month.
    ThisMonth,
    /// Any interval.
    Interval(Interval),
}

/// A range with bounds of its own, in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Interval {
    /// Inclusive.
    pub start: i64,
    /// Exclusive; `None` for now.
    pub end: Option<i64>,
}

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

/// The period that a result is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    /// The period of the same length before the range.
    PreviousPeriod,
    /// The same period a week earlier.
    WeekAgo,
}

impl Compare {
    /// The label of the earlier value of a figure.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::PreviousPeriod => "previous period",
            Self::WeekAgo => "a week earlier",
        }
    }
}

/// Why a range is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// It ends at or before its start.
    #[error("interval: the end, {end}, must be after the start, {start}")]
    Empty {
        /// In RFC 3339.
        start: String,
        /// In RFC 3339.
        end: String,
    },
    /// It starts in the future.
    #[error("interval: the start, {0}, is in the future; ranges end now at the latest")]
    InFuture(String),
    /// It is longer than 10 years.
    #[error("interval: it has {days} days; the maximum is 10 years")]
    TooLong {
        /// Its length.
        days: i64,
    },
    /// A bound cannot be represented.
    #[error("interval: a bound is out of range; expected a time between the years 1970 and 2100")]
    OutOfRange,
    /// It ends before what is stored begins.
    #[error("interval: it ends before {0}, and what is older is no longer stored")]
    Expired(String),
    /// The buckets are too narrow.
    #[error("bucket: {width} makes about {buckets} buckets of this range; the maximum is 1000, so ask for {instead} or wider")]
    TooManyBuckets {
        /// The width that was asked for.
        width: &'static str,
        /// How many there would be.
        buckets: i64,
        /// The narrowest width that is possible.
        instead: &'static str,
    },
}

impl Interval {
    /// Bounds in the years 1970 to 2100, so that arithmetic with them cannot fail.
    const POSSIBLE: std::ops::Range<i64> = 0..4_102_444_800;

    fn check(self, now: i64) -> Result<(), InvalidRange> {
        let Self { start, end } = self;
        if !Self::POSSIBLE.contains(&start) || end.is_some_and(|end| !Self::POSSIBLE.contains(&end)) {
            return Err(InvalidRange::OutOfRange);
        }
        if let Some(end) = end.filter(|end| *end <= start) {
            return Err(InvalidRange::Empty { start: rfc3339(start), end: rfc3339(end) });
        }
        if start > now {
            return Err(InvalidRange::InFuture(rfc3339(start)));
        }
        let length = end.unwrap_or(now) - start;
        if length > MAX_INTERVAL_SECONDS {
            return Err(InvalidRange::TooLong { days: length / 86_400 });
        }
        Ok(())
    }
}

fn rfc3339(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// How far a comparison is shifted into the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shift {
    /// Days of the wall clock.
    Days(i64),
    Seconds(i64),
}

/// A range at a point in time, in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
struct ResolvedRange {
    /// Inclusive.
    start: i64,
    /// An instant in the last bucket.
    last: i64,
    /// Exclusive, a whole minute.
    end: i64,
    /// The length that determines the width of buckets. That of a calendar range is its full length, so that the width stays
    /// the same while it grows.
    minutes: i64,
    /// Whether it ends now.
    is_running: bool,
    /// The distance to the previous period.
    previous: Shift,
}

impl TimeRange {
    /// Checks the bounds of an interval.
    pub(crate) fn check(self, now: Timestamp) -> Result<(), InvalidRange> {
        match self {
            Self::Interval(interval) => interval.check(now.as_second()),
            _ => Ok(()),
        }
    }

    fn resolve(self, zone: &TimeZone, now: i64) -> Result<ResolvedRange, InvalidRange> {
        let end = minute_after(now);
        let sliding = |minutes: i64, previous| ResolvedRange {
            start: now - minutes * 60,
            last: now,
            end,
            minutes,
            is_running: true,
            previous,
        };
        let days = |days: i64| sliding(days * DAY_MINUTES, Shift::Days(days));
        let today = wall_date(now, zone);
        let calendar = |first: Date, days: i64, previous_days: i64| ResolvedRange {
            start: day_start(first, zone),
            previous: Shift::Days(previous_days),
            ..sliding(days * DAY_MINUTES, Shift::Days(0))
        };
        Ok(match self {
            Self::Hour => sliding(60, Shift::Seconds(3_600)),
            Self::SixHours => sliding(6 * 60, Shift::Seconds(6 * 3_600)),
            Self::Day => days(1),
            Self::Week => days(7),
            Self::ThirtyDays => days(30),
            Self::NinetyDays => days(90),
            Self::Today => calendar(today, 1, 1),
            Self::Yesterday => {
                let end = day_start(today, zone);
                let yesterday = calendar(add_days(today, -1), 1, 1);
                ResolvedRange { last: end - 1, end, is_running: false, ..yesterday }
            }
            Self::ThisWeek => {
                let monday = add_days(today, -i64::from(today.weekday().to_monday_zero_offset()));
                calendar(monday, 7, 7)
            }
            Self::ThisMonth => {
                let first = today.first_of_month();
                let previous_days = i64::from(add_days(first, -1).day());
                calendar(first, i64::from(today.days_in_month()), previous_days)
            }
            Self::Interval(interval) => {
                interval.check(now)?;
                let Interval { start, end: given } = interval;
                let past_end = given.filter(|given| *given <= now);
                let end = past_end.map_or(end, |given| minute_after(given - 1));
                let last = past_end.map_or(now, |given| given - 1);
                let previous = match whole_days(start, given.unwrap_or(end), zone) {
                    Some(days) => Shift::Days(days),
                    None => Shift::Seconds(end - start),
                };
                let minutes = (given.unwrap_or(end) - start + 59) / 60;
                ResolvedRange { start, last, end, minutes, is_running: past_end.is_none(), previous }
            }
        })
    }
}

/// The start of the minute after the one that contains `second`.
fn minute_after(second: i64) -> i64 {
    second.div_euclid(60) * 60 + 60
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

fn wall_date(second: i64, zone: &TimeZone) -> Date {
    instant(second).to_zoned(zone.clone()).date()
}

fn add_days(date: Date, days: i64) -> Date {
    Span::new().try_days(days).ok().and_then(|days| date.checked_add(days).ok()).unwrap_or(date)
}

/// Midnight, or the first moment of a day without one.
fn day_start(date: Date, zone: &TimeZone) -> i64 {
    date.to_zoned(zone.clone()).map_or(0, |start| start.timestamp().as_second())
}

/// The number of days if both bounds are midnights of the wall clock.
fn whole_days(start: i64, end: i64, zone: &TimeZone) -> Option<i64> {
    let (first, last) = (wall_date(start, zone), wall_date(end, zone));
    let is_whole = day_start(first, zone) == start && day_start(last, zone) == end;
    is_whole.then(|| i64::from(first.until(last).map_or(0, |span| span.get_days()))).filter(|days| *days > 0)
}

/// The same time of the wall clock, days earlier.
fn days_earlier(second: i64, days: i64, zone: &TimeZone) -> i64 {
    let wall = instant(second).to_zoned(zone.clone());
    let earlier = Span::new().try_days(days).ok().and_then(|days| wall.checked_sub(days).ok());
    earlier.map_or(second - days * 86_400, |earlier| earlier.timestamp().as_second())
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
    previous: Shift,
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
            Some(width) => {
                let buckets = stored_minutes / width.minutes();
                if buckets > MAX_BUCKETS {
                    let fits = |(_, _, minutes): &(_, _, i64)| stored_minutes / minutes <= MAX_BUCKETS;
                    let instead = BucketWidth::ALL.into_iter().find(fits).map_or("1w", |(_, name, _)| name);
                    return Err(InvalidRange::TooManyBuckets { width: width.name(), buckets, instead });
                }
                width
            }
        };
        // All panels of a range cover the same span, so the first of wide buckets is cut.
        let first = bucket_starts(auto.minutes(), zone, start, start)[0].max(stored_from);
        let mut starts = bucket_starts(width.minutes(), zone, first, last);
        starts[0] = first;
        Ok(Self { starts, end, width, is_running, requested_start, previous })
    }

    /// The start of the last bucket, which contains the present if the range ends now.
    pub(crate) fn last_start(&self) -> i64 {
        self.starts[self.starts.len() - 1]
    }

    /// The buckets of an earlier period, which correspond to these one to one. There are fewer if they would reach into these.
    /// Also returns the time that corresponds to `now`.
    pub(crate) fn compared(&self, compare: Compare, zone: &TimeZone, now: Timestamp) -> (Self, Timestamp) {
        let shift = match compare {
            Compare::WeekAgo => Shift::Days(7),
            Compare::PreviousPeriod => self.previous,
        };
        let width = self.width.minutes();
        let round_up = |value: i64, unit: i64| (value + unit - 1).div_euclid(unit) * unit;
        let first = self.starts[0];
        let shift = if width >= DAY_MINUTES {
            // Days, of different lengths, correspond to days.
            let days = match shift {
                Shift::Days(days) => days,
                Shift::Seconds(seconds) => round_up(seconds, 86_400) / 86_400,
            };
            Shift::Days(round_up(days, width / DAY_MINUTES))
        } else {
            // Shorter buckets keep their lengths, also if the clock was changed since.
            Shift::Seconds(match shift {
                Shift::Days(days) => first - days_earlier(first, days, zone),
                Shift::Seconds(seconds) => round_up(seconds, width * 60),
            })
        };
        let earlier = |second: i64| match shift {
            Shift::Days(days) => days_earlier(second, days, zone),
            Shift::Seconds(seconds) => second - seconds,
        };
        let limit = if compare == Compare::PreviousPeriod { first } else { i64::MAX };
        let earlier_starts = self.starts.iter().map(|start| earlier(*start));
        let starts: Vec<i64> = earlier_starts.filter(|start| *start < limit).collect();
        let is_running = self.is_running && starts.len() == self.starts.len();
        let end = earlier(self.end).min(limit);
        let compared_now = Timestamp::from_second(earlier(now.as_second())).unwrap_or(now);
        (Self { starts, end, is_running, requested_start: None, ..self.clone() }, compared_now)
    }

    /// The rollup rows of a panel with a value per bucket.
    pub(crate) fn series_rows(&self) -> Vec<RollupRow> {
        let ends = self.starts[1..].iter().copied().chain([self.end]);
        self.starts.iter().zip(ends).flat_map(|(start, end)| rollup_rows(*start, end)).collect()
    }
}

/// The starts of the buckets of this width from the one that contains `first` to the one that contains `last`.
fn bucket_starts(width: i64, zone: &TimeZone, first: i64, last: i64) -> Vec<i64> {
    let grid = width.min(GRID_MINUTES) * 60;
    // Start before the bucket that contains `first`, and early enough that `highest` is right: after a clock change
    // before this point, the wall clock has caught up with its highest value again.
    let mut second = (first - width * 60 - LOOKBACK_SECONDS).div_euclid(grid) * grid;
    let mut starts = Vec::new();
    let mut previous = wall_clock_bucket(second - grid, width, zone);
    let mut highest = previous.number;
    while second <= last {
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

/// The levels of the rollup in minutes, coarsest first. Each divides the one before.
const LEVEL_MINUTES: [u16; 5] = [1_440, 360, 60, 15, 1];

/// The level in minutes, and the start in seconds since 1970 UTC, of rows of the rollup.
pub(crate) type RollupRow = (u16, i64);

/// The fewest rows of the rollup that cover a span of whole minutes, ascending.
pub(crate) fn rollup_rows(start: i64, end: i64) -> Vec<RollupRow> {
    let mut rows = Vec::new();
    let mut second = start;
    while second < end {
        let fits = |minutes: &u16| {
            let width = i64::from(*minutes) * 60;
            second.rem_euclid(width) == 0 && second + width <= end
        };
        let minutes = LEVEL_MINUTES.into_iter().find(fits).unwrap_or(1);
        rows.push((minutes, second));
        second += i64::from(minutes) * 60;
    }
    rows
}

struct WallClockBucket {
    /// Buckets since 1970 by the wall clock.
    number: i64,
    /// Whether the wall clock is at the first second of the bucket.
    is_start: bool,
}

fn wall_clock_bucket(second: i64, bucket_minutes: i64, zone: &TimeZone) -> WallClockBucket {
    // The wall clock's time as if it were UTC.
    let wall = second + i64::from(zone.to_offset(instant(second)).seconds());
    let wall = if bucket_minutes > DAY_MINUTES { wall + MONDAY_OFFSET_SECONDS } else { wall };
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
        let request = BucketRequest { granularity, ..BucketRequest::default() };
        let buckets = Buckets::new(range, request, &zone, now.parse().unwrap()).unwrap();
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

    fn plain(range: TimeRange, zone: &str, now: &str) -> Buckets {
        let zone = TimeZone::get(zone).unwrap();
        Buckets::new(range, BucketRequest::default(), &zone, now.parse().unwrap()).unwrap()
    }

    fn second(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_second()
    }

    fn interval(start: &str, end: &str) -> TimeRange {
        TimeRange::Interval(Interval { start: second(start), end: Some(second(end)) })
    }

    #[test]
    fn a_width_is_chosen_by_the_length_of_the_range() {
        let days = |days: i64, granularity| BucketWidth::for_length(days * DAY_MINUTES, granularity);
        let fine = |number| days(number, Granularity::Fine);
        assert_eq!(BucketWidth::for_length(60, Granularity::Fine), BucketWidth::Minute);
        assert_eq!(BucketWidth::for_length(6 * 60, Granularity::Fine), BucketWidth::FiveMinutes);
        assert_eq!([fine(1), fine(2), fine(4)], [BucketWidth::QuarterHour, BucketWidth::HalfHour, BucketWidth::Hour]);
        assert_eq!([fine(7), fine(30), fine(31)], [BucketWidth::TwoHours, BucketWidth::SixHours, BucketWidth::SixHours]);
        assert_eq!([fine(90), fine(400), fine(3_653)], [BucketWidth::Day, BucketWidth::Week, BucketWidth::Week]);
        let coarse = |number| days(number, Granularity::Coarse);
        assert_eq!([coarse(1), coarse(7), coarse(90)], [BucketWidth::Hour, BucketWidth::Day, BucketWidth::Day]);
        assert_eq!(coarse(400), BucketWidth::Week);
    }

    #[test]
    fn calendar_ranges_are_those_of_the_time_zone() {
        let now = "2026-11-21T22:30:20Z"; // Saturday, 23:30 in Madrid
        let bounds = |range, zone| {
            let Buckets { starts, end, is_running, .. } = plain(range, zone, now);
            (rfc3339(starts[0]), rfc3339(end), is_running)
        };
        let running = |start: &str| (start.to_owned(), "2026-11-21T22:31:00Z".to_owned(), true);
        assert_eq!(bounds(TimeRange::Today, "UTC"), running("2026-11-21T00:00:00Z"));
        assert_eq!(bounds(TimeRange::Today, "Europe/Madrid"), running("2026-11-20T23:00:00Z"));
        assert_eq!(bounds(TimeRange::ThisWeek, "Europe/Madrid"), running("2026-11-15T23:00:00Z"));
        assert_eq!(bounds(TimeRange::ThisMonth, "Asia/Tokyo"), running("2026-10-31T15:00:00Z"));
        let yesterday = ("2026-11-19T23:00:00Z".to_owned(), "2026-11-20T23:00:00Z".to_owned(), false);
        assert_eq!(bounds(TimeRange::Yesterday, "Europe/Madrid"), yesterday);
    }

    #[test]
    fn an_interval_in_the_past_has_no_running_bucket() {
        let past = plain(interval("2026-11-01T00:00:00Z", "2026-11-11T00:00:00Z"), "UTC", "2026-11-21T10:30:20Z");
        assert_eq!((past.starts.len(), past.width, past.is_running), (120, BucketWidth::TwoHours, false));
        assert_eq!(rfc3339(past.end), "2026-11-11T00:00:00Z");
        let future = plain(interval("2026-11-21T10:00:00Z", "2026-11-22T00:00:00Z"), "UTC", "2026-11-21T10:30:20Z");
        assert_eq!((rfc3339(future.end), future.is_running), ("2026-11-21T10:31:00Z".to_owned(), true));
        let part = plain(interval("2026-11-21T09:00:30Z", "2026-11-21T09:30:01Z"), "UTC", "2026-11-21T10:30:20Z");
        assert_eq!((rfc3339(part.starts[0]), rfc3339(part.end)), ("2026-11-21T09:00:00Z".into(), "2026-11-21T09:31:00Z".into()));
    }

    #[test]
    fn invalid_ranges_are_named() {
        let now: Timestamp = "2026-11-21T10:30:20Z".parse().unwrap();
        let error = |start: i64, end: Option<i64>| {
            TimeRange::Interval(Interval { start, end }).check(now).unwrap_err().to_string()
        };
        assert_eq!(error(60, Some(60)), "interval: the end, 1970-01-01T00:01:00Z, must be after the start, 1970-01-01T00:01:00Z");
        assert!(error(now.as_second() + 1, None).contains("2026-11-21T10:30:21Z, is in the future"));
        assert_eq!(error(0, Some(4_000 * 86_400)), "interval: it has 4000 days; the maximum is 10 years");
        for (start, end) in [(i64::MIN, None), (0, Some(i64::MAX)), (-1, Some(5))] {
            assert!(error(start, end).contains("out of range"));
        }
        let buckets = |range, request| Buckets::new(range, request, &TimeZone::UTC, now).unwrap_err().to_string();
        let minutes = BucketRequest { width: Some(BucketWidth::Minute), ..BucketRequest::default() };
        assert_eq!(
            buckets(TimeRange::Week, minutes),
            "bucket: 1m makes about 10080 buckets of this range; the maximum is 1000, so ask for 15m or wider"
        );
        let expired = BucketRequest { stored_from: Some(now.as_second() - 86_400), ..BucketRequest::default() };
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

    fn previous(range: TimeRange, zone: &str, now: &str) -> (Buckets, Buckets, Timestamp) {
        let zone = TimeZone::get(zone).unwrap();
        let now = now.parse().unwrap();
        let buckets = Buckets::new(range, BucketRequest::default(), &zone, now).unwrap();
        let (earlier, earlier_now) = buckets.compared(Compare::PreviousPeriod, &zone, now);
        (buckets, earlier, earlier_now)
    }

    #[test]
    fn the_previous_period_ends_at_the_same_moment() {
        let now = "2026-11-21T10:30:20Z";
        let (_, earlier, earlier_now) = previous(TimeRange::Today, "UTC", now);
        assert_eq!((rfc3339(earlier.starts[0]), rfc3339(earlier.end)), ("2026-11-20T00:00:00Z".into(), "2026-11-20T10:31:00Z".into()));
        assert_eq!(earlier_now.to_string(), "2026-11-20T10:30:20Z");
        let (_, earlier, _) = previous(TimeRange::ThisMonth, "UTC", now);
        assert_eq!((rfc3339(earlier.starts[0]), rfc3339(earlier.end)), ("2026-10-01T00:00:00Z".into(), "2026-10-21T10:31:00Z".into()));
        // Three hours and a bit, in buckets of 5 minutes.
        let uneven = interval("2026-11-21T06:00:00Z", "2026-11-21T09:02:00Z");
        let (_, earlier, _) = previous(uneven, "UTC", now);
        assert_eq!((rfc3339(earlier.starts[0]), rfc3339(earlier.end)), ("2026-11-21T02:55:00Z".into(), "2026-11-21T05:57:00Z".into()));
        // February has fewer days than 31 March.
        let (buckets, earlier, _) = previous(TimeRange::ThisMonth, "UTC", "2026-03-31T12:00:00Z");
        assert_eq!((buckets.starts.len(), earlier.starts.len(), earlier.end), (123, 112, buckets.starts[0]));
        assert!(!earlier.is_running);
    }

    #[test]
    fn days_correspond_to_days_although_the_clock_changed() {
        // Madrid put the clock back on 2026-10-25.
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let now: Timestamp = "2026-11-21T10:30:20Z".parse().unwrap();
        let buckets = Buckets::new(TimeRange::NinetyDays, BucketRequest::default(), &zone, now).unwrap();
        let (earlier, _) = buckets.compared(Compare::WeekAgo, &zone, now);
        assert_eq!(earlier.starts.len(), buckets.starts.len());
        assert!(earlier.starts.iter().all(|start| instant(*start).to_zoned(zone.clone()).hour() == 0));
        let (earlier, _) = buckets.compared(Compare::PreviousPeriod, &zone, now);
        assert!(earlier.starts.iter().all(|start| instant(*start).to_zoned(zone.clone()).hour() == 0));
        assert!(earlier.end <= buckets.starts[0]);
    }

    #[test]
    fn few_rows_cover_a_range() {
        let rows = |range, zone: &str| plain(range, zone, "2026-11-21T10:30:20Z").series_rows();
        let count = |range, zone: &str| rows(range, zone).len();
        assert_eq!(count(TimeRange::Hour, "UTC"), 61);
        // 96 quarter hours and a running minute.
        assert_eq!(count(TimeRange::Day, "UTC"), 97);
        // Two hours are two rows; the offset of India is not a whole hour.
        assert_eq!(count(TimeRange::Week, "UTC"), 84 * 2 + 3);
        assert!(count(TimeRange::Week, "Asia/Kolkata") < 84 * 5 + 10);
        // A day is one row, and none in Madrid: 6-hour rows and hours.
        assert_eq!(count(TimeRange::NinetyDays, "UTC"), 90 + 1 + 4 + 2 + 1);
        assert!(count(TimeRange::NinetyDays, "Europe/Madrid") < 91 * 10);
        assert_eq!(rollup_rows(0, 86_400), [(1_440, 0)]);
        assert_eq!(rollup_rows(60, 60), []);
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

    const SLIDING: [TimeRange; 6] =
        [TimeRange::Hour, TimeRange::SixHours, TimeRange::Day, TimeRange::Week, TimeRange::ThirtyDays, TimeRange::NinetyDays];

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
            prop_assert!(buckets.starts.len() <= 1_002, "{}", buckets.starts.len());
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
                        let (request, zone) =
                            (BucketRequest { granularity, ..BucketRequest::default() }, TimeZone::get(zone).unwrap());
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
