//! The wall clock of a time zone: days, buckets on its grid, and the same moment on an earlier day.
//!
//! Buckets follow the wall clock: an hour starts at minute 0, a day at midnight, a week on Monday. When the clock is put back,
//! buckets of up to an hour are repeated: the repeated hour is a second bucket. A longer bucket becomes longer: a day is always
//! one bucket. When the clock is put forward, the bucket with the gap is shorter.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::abbreviate;

/// UTC offsets of time zones are multiples of 15 minutes, so buckets of 15 minutes and more start on this grid.
const GRID_MINUTES: i64 = 15;
/// Buckets up to this width are repeated when the clock is put back.
pub(super) const HOUR_MINUTES: i64 = 60;
/// A day of 24 hours.
pub(super) const DAY_MINUTES: i64 = 24 * 60;
/// Four times the largest backward clock change in use, two hours at Troll in Antarctica.
const LOOKBACK_SECONDS: i64 = 8 * 3_600;
/// 1970-01-01 was a Thursday, three days after a Monday.
const MONDAY_OFFSET_SECONDS: i64 = 3 * 86_400;

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

/// The start of the minute after the one that contains `second`.
pub(super) fn minute_after(second: i64) -> i64 {
    second.div_euclid(60) * 60 + 60
}

pub(super) fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

pub(super) fn wall_date(second: i64, zone: &TimeZone) -> Date {
    instant(second).to_zoned(zone.clone()).date()
}

pub(super) fn add_days(date: Date, days: i64) -> Date {
    Span::new().try_days(days).ok().and_then(|days| date.checked_add(days).ok()).unwrap_or(date)
}

/// Midnight, or the first moment of a day without one.
pub(super) fn day_start(date: Date, zone: &TimeZone) -> i64 {
    date.to_zoned(zone.clone()).map_or(0, |start| start.timestamp().as_second())
}

/// The number of days if both bounds are midnights of the wall clock.
pub(super) fn whole_days(start: i64, end: i64, zone: &TimeZone) -> Option<i64> {
    let (first, last) = (wall_date(start, zone), wall_date(end, zone));
    let is_whole = day_start(first, zone) == start && day_start(last, zone) == end;
    is_whole.then(|| i64::from(first.until(last).map_or(0, |span| span.get_days()))).filter(|days| *days > 0)
}

/// The same time of the wall clock, days earlier.
pub(super) fn days_earlier(second: i64, days: i64, zone: &TimeZone) -> i64 {
    let wall = instant(second).to_zoned(zone.clone());
    let earlier = Span::new().try_days(days).ok().and_then(|days| wall.checked_sub(days).ok());
    earlier.map_or(second - days * 86_400, |earlier| earlier.timestamp().as_second())
}

/// The starts of the buckets of this width from the one that contains `first` to the one that contains `last`.
pub(super) fn bucket_starts(width: i64, zone: &TimeZone, first: i64, last: i64) -> Vec<i64> {
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

pub(super) struct WallClockBucket {
    /// Buckets since 1970 by the wall clock.
    pub(super) number: i64,
    /// Whether the wall clock is at the first second of the bucket.
    pub(super) is_start: bool,
}

pub(super) fn wall_clock_bucket(second: i64, bucket_minutes: i64, zone: &TimeZone) -> WallClockBucket {
    // The wall clock's time as if it were UTC.
    let wall = second + i64::from(zone.to_offset(instant(second)).seconds());
    let wall = if bucket_minutes > DAY_MINUTES { wall + MONDAY_OFFSET_SECONDS } else { wall };
    let width = bucket_minutes * 60;
    WallClockBucket { number: wall.div_euclid(width), is_start: wall.rem_euclid(width) == 0 }
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
    use super::super::buckets::Granularity;
    use super::super::buckets::tests::buckets;
    use super::super::range::TimeRange;
    use super::*;

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
