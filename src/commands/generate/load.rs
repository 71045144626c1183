//! The load at a time, relative to an average of 1: a daily and a weekly wave. A function of time alone, so that a backfilled
//! hour and the same hour of live traffic have the same load.

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 1970-01-01 was a Thursday: this is the first Monday.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;

/// Load in the middle of each hour of the day (UTC).
const DAY_CURVE: [f64; 24] = [
    0.45, 0.38, 0.34, 0.32, 0.35, 0.45, 0.62, 0.85, 1.1, 1.3, 1.4, 1.42, 1.38, 1.45, 1.55, 1.6, 1.55, 1.45,
    1.3, 1.2, 1.1, 0.95, 0.78, 0.6,
];
/// Load at noon of each day of the week, from Monday.
const WEEK_CURVE: [f64; 7] = [1.12, 1.18, 1.18, 1.14, 1.0, 0.66, 0.72];

/// The load at a time in milliseconds since 1970 UTC.
pub(super) fn load_at(at_ms: i64) -> f64 {
    let hours = at_ms.rem_euclid(DAY_MS) as f64 / HOUR_MS as f64;
    let days = (at_ms - FIRST_MONDAY_MS).rem_euclid(7 * DAY_MS) as f64 / DAY_MS as f64;
    interpolate(&DAY_CURVE, hours - 0.5) * interpolate(&WEEK_CURVE, days - 0.5)
}

/// A point on the lines that connect the values of a periodic curve; `position` 0 is the first value.
fn interpolate(curve: &[f64], position: f64) -> f64 {
    let position = position.rem_euclid(curve.len() as f64);
    let index = position as usize % curve.len();
    let fraction = position.fract();
    curve[index] * (1.0 - fraction) + curve[(index + 1) % curve.len()] * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const WEEK_MS: i64 = 7 * DAY_MS;
    /// A Monday.
    const MONDAY_MS: i64 = FIRST_MONDAY_MS + 2_970 * WEEK_MS;

    #[test]
    fn the_load_has_no_steps() {
        for at_ms in (MONDAY_MS..MONDAY_MS + WEEK_MS).step_by(1_000) {
            let change = (load_at(at_ms) - load_at(at_ms - 1_000)).abs();
            assert!(change < 0.000_2, "{change} within the second at {at_ms}");
        }
    }

    #[test]
    fn the_average_of_a_week_is_one_and_every_week_is_the_same() {
        let minutes = (MONDAY_MS..MONDAY_MS + WEEK_MS).step_by(MINUTE_MS as usize);
        let average = minutes.clone().map(load_at).sum::<f64>() / minutes.clone().count() as f64;
        assert!((average - 1.0).abs() < 0.01, "{average}");
        assert!(minutes.into_iter().all(|at_ms| load_at(at_ms) == load_at(at_ms - 52 * WEEK_MS)));
    }

    #[test]
    fn nights_and_weekends_are_quiet() {
        let tuesday = MONDAY_MS + DAY_MS;
        let saturday = MONDAY_MS + 5 * DAY_MS;
        assert!(load_at(tuesday + 15 * HOUR_MS) > 4.0 * load_at(tuesday + 3 * HOUR_MS));
        assert!(load_at(tuesday + 12 * HOUR_MS) > 1.5 * load_at(saturday + 12 * HOUR_MS));
    }
}
