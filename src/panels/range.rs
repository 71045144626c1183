//! Time ranges: from a preset or an interval to its bounds.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::wall_clock::{DAY_MINUTES, add_days, day_start, minute_after, wall_date, whole_days};

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
    #[error(
        "bucket: {width} makes about {buckets} buckets of this range; the maximum is 1000, so ask for {instead} or wider"
    )]
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

pub(super) fn rfc3339(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// How far a comparison is shifted into the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// Days of the wall clock.
    Days(i64),
    Seconds(i64),
}

/// A range at a point in time, in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResolvedRange {
    /// Inclusive.
    pub(super) start: i64,
    /// An instant in the last bucket.
    pub(super) last: i64,
    /// Exclusive, a whole minute.
    pub(super) end: i64,
    /// The length that determines the width of buckets. That of a calendar range is its full length, so that the width stays
    /// the same while it grows.
    pub(super) minutes: i64,
    /// Whether it ends now.
    pub(super) is_running: bool,
    /// The distance to the previous period.
    pub(super) previous: Shift,
}

impl TimeRange {
    /// Checks the bounds of an interval.
    pub(crate) fn check(self, now: Timestamp) -> Result<(), InvalidRange> {
        match self {
            Self::Interval(interval) => interval.check(now.as_second()),
            _ => Ok(()),
        }
    }

    /// Its bounds at a point in time, in seconds since 1970 UTC: from the first, up to but without the second.
    pub(crate) fn bounds(self, zone: &TimeZone, now: i64) -> Result<(i64, i64), InvalidRange> {
        self.resolve(zone, now).map(|range| (range.start, range.end))
    }

    pub(super) fn resolve(self, zone: &TimeZone, now: i64) -> Result<ResolvedRange, InvalidRange> {
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

#[cfg(test)]
mod tests {
    use super::super::buckets::tests::{interval, plain};
    use super::super::buckets::{BucketWidth, Buckets};
    use super::*;

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
        let past =
            plain(interval("2026-11-01T00:00:00Z", "2026-11-11T00:00:00Z"), "UTC", "2026-11-21T10:30:20Z");
        assert_eq!((past.starts.len(), past.width, past.is_running), (120, BucketWidth::TwoHours, false));
        assert_eq!(rfc3339(past.end), "2026-11-11T00:00:00Z");
        let future =
            plain(interval("2026-11-21T10:00:00Z", "2026-11-22T00:00:00Z"), "UTC", "2026-11-21T10:30:20Z");
        assert_eq!((rfc3339(future.end), future.is_running), ("2026-11-21T10:31:00Z".to_owned(), true));
        let part =
            plain(interval("2026-11-21T09:00:30Z", "2026-11-21T09:30:01Z"), "UTC", "2026-11-21T10:30:20Z");
        assert_eq!(
            (rfc3339(part.starts[0]), rfc3339(part.end)),
            ("2026-11-21T09:00:00Z".into(), "2026-11-21T09:31:00Z".into())
        );
    }

    #[test]
    fn invalid_ranges_are_named() {
        let now: Timestamp = "2026-11-21T10:30:20Z".parse().unwrap();
        let error = |start: i64, end: Option<i64>| {
            TimeRange::Interval(Interval { start, end }).check(now).unwrap_err().to_string()
        };
        assert_eq!(
            error(60, Some(60)),
            "interval: the end, 1970-01-01T00:01:00Z, must be after the start, 1970-01-01T00:01:00Z"
        );
        assert!(error(now.as_second() + 1, None).contains("2026-11-21T10:30:21Z, is in the future"));
        assert_eq!(error(0, Some(4_000 * 86_400)), "interval: it has 4000 days; the maximum is 10 years");
        for (start, end) in [(i64::MIN, None), (0, Some(i64::MAX)), (-1, Some(5))] {
            assert!(error(start, end).contains("out of range"));
        }
    }
}
