//! The levels of the rollup: which of its rows cover a span.

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

#[cfg(test)]
mod tests {
    use super::super::buckets::tests::plain;
    use super::super::range::TimeRange;
    use super::*;

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
}
