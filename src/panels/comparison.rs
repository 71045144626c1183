//! The buckets of the earlier period that a result is compared with.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::buckets::Buckets;
use super::range::Shift;
use super::wall_clock::{DAY_MINUTES, days_earlier};

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

impl Buckets {
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
}

#[cfg(test)]
mod tests {
    use super::super::buckets::BucketRequest;
    use super::super::buckets::tests::interval;
    use super::super::range::{TimeRange, rfc3339};
    use super::super::wall_clock::instant;
    use super::*;

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
        assert_eq!(
            (rfc3339(earlier.starts[0]), rfc3339(earlier.end)),
            ("2026-11-20T00:00:00Z".into(), "2026-11-20T10:31:00Z".into())
        );
        assert_eq!(earlier_now.to_string(), "2026-11-20T10:30:20Z");
        let (_, earlier, _) = previous(TimeRange::ThisMonth, "UTC", now);
        assert_eq!(
            (rfc3339(earlier.starts[0]), rfc3339(earlier.end)),
            ("2026-10-01T00:00:00Z".into(), "2026-10-21T10:31:00Z".into())
        );
        // Three hours and a bit, in buckets of 5 minutes.
        let uneven = interval("2026-11-21T06:00:00Z", "2026-11-21T09:02:00Z");
        let (_, earlier, _) = previous(uneven, "UTC", now);
        assert_eq!(
            (rfc3339(earlier.starts[0]), rfc3339(earlier.end)),
            ("2026-11-21T02:55:00Z".into(), "2026-11-21T05:57:00Z".into())
        );
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
}
