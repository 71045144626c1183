//! The rows of the table `rollup`, computed from the events: for recomputations, rebuilds and upgrades.
//!
//! # Which rows are recomputed
//!
//! The rollup is kept longer than the events, so rows whose events have expired cannot be computed again and must not be
//! deleted. A [`RecomputeSpan`] therefore holds
//!
//! - quarter hours of which no event can have expired. Their rows of 1 and 15 minutes are computed from the events.
//! - the days around them, of which no row by minute can have expired. Their rows at longer levels are computed from the
//!   rows by minute, which are still there for the hours whose events are gone.
//!
//! `queries/maintenance/complete_since.sql` tells since when a table is complete.

use clickhouse::Client;

use super::ClickHouseError;
use super::template::render;
use crate::properties::{Properties, Role};

const MINUTES: &str = include_str!("../../queries/rollups/minutes.sql");
const ROWS: &str = include_str!("../../queries/rollups/rows.sql");
const EXCESS_VALUES: &str = include_str!("../../queries/rollups/excess_values.sql");
const LEVELS: &str = include_str!("../../queries/rollups/levels.sql");
const SPAN_EVENTS: &str = include_str!("../../queries/maintenance/span_events.sql");
const DELETE_SPAN: &str = include_str!("../../queries/maintenance/delete_span.sql");
const COMPLETE_SINCE: &str = include_str!("../../queries/maintenance/complete_since.sql");

/// The table of the rollup.
pub(super) const ROLLUP: &str = "rollup";

/// Length of the shortest longer level, in seconds. The .sql files have the number too.
const QUARTER_HOUR_SECONDS: u32 = 15 * 60;
/// Length of the longest level, in seconds. The .sql files have the number too.
pub(super) const DAY_SECONDS: u32 = 86_400;
const QUARTER_HOURS_PER_DAY: u32 = DAY_SECONDS / QUARTER_HOUR_SECONDS;

/// The statements that compute the rollup of the declared properties.
#[derive(Clone, Debug)]
pub(super) struct RollupStatements {
    /// The declared dimensions, in the order of their aliases D0, D1, ….
    dimensions: Vec<String>,
    measure: String,
    max_values: u64,
}

impl RollupStatements {
    /// A dimension has at most `max_values` values per project, event and day.
    pub(super) fn new(properties: &Properties, max_values: u64) -> Self {
        let measures = properties.iter().filter(|property| property.role == Role::Measure);
        let mut measures: Vec<String> = measures.map(|measure| format!("e.`{}`", measure.name)).collect();
        // An event has one measure: the others are NULL.
        measures.push("CAST(NULL, 'Nullable(Float64)')".to_owned());
        Self {
            dimensions: properties.dimensions().map(str::to_owned).collect(),
            measure: format!("coalesce({})", measures.join(", ")),
            max_values,
        }
    }

    /// `expression` of each dimension's name and alias, separated by commas.
    fn for_each_dimension(&self, expression: impl Fn(&str, &str) -> String) -> String {
        let dimensions = self.dimensions.iter().enumerate();
        let expressions: Vec<String> =
            dimensions.map(|(number, name)| expression(name, &format!("D{number}"))).collect();
        expressions.join(", ")
    }

    /// Computes a span's rows by minute from the table `events`, into `target`.
    fn insert_minutes(&self, events: &str, target: &str) -> String {
        let span_events = render(SPAN_EVENTS.trim_end(), [("events", events)]);
        let value = |name: &str| format!("toString(e.`{name}`)");
        let dimension = self.for_each_dimension(|name, alias| format!("grouping({alias}) = 0, '{name}'"));
        let dimension = format!("multiIf({dimension}, '')");
        let dimension_value = self.for_each_dimension(|_, alias| format!("grouping({alias}) = 0, {alias}"));
        let dimension_value = format!("multiIf({dimension_value}, '')");
        let sets = |time: &str| {
            self.for_each_dimension(|_, alias| format!("(project, event_name, {time}, {alias})"))
        };
        let excess = render(
            EXCESS_VALUES.trim_end(),
            [
                ("dimension", dimension.as_str()),
                ("value", &dimension_value),
                ("values", &self.for_each_dimension(|name, alias| format!("{} AS {alias}", value(name)))),
                ("day_sets", &sets("day")),
                ("events", &span_events),
                ("target", target),
                ("max_values", &self.max_values.to_string()),
            ],
        );
        let bounded = self.for_each_dimension(|name, alias| {
            let value = value(name);
            format!(
                "if((e.project, e.event_name, '{name}', e.date, {value}) IN ({excess}), '(other)', {value}) AS {alias}"
            )
        });
        let rows = render(
            ROWS.trim_end(),
            [
                ("measure", self.measure.as_str()),
                ("bounded_values", &bounded),
                ("events", &span_events),
            ],
        );
        let minutes = render(
            MINUTES.trim_end(),
            [
                ("rows", rows.as_str()),
                ("dimension", &dimension),
                ("value", &dimension_value),
                ("dimension_sets", &sets("start")),
            ],
        );
        format!("INSERT INTO {target}\n{minutes}")
    }

    /// Computes the rows of a span that `target` does not have, from the table `events`.
    pub(super) async fn write(
        &self,
        client: &Client,
        events: &str,
        target: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        span.execute(client, &self.insert_minutes(events, target)).await?;
        let levels = render(LEVELS.trim_end(), [("target", target)]);
        span.execute(client, &format!("INSERT INTO {target}\n{levels}")).await
    }

    /// Replaces the rows of a span with those computed from the table `events`. Can be repeated after a failure.
    pub(super) async fn recompute(
        &self,
        client: &Client,
        events: &str,
        target: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        span.execute(client, &render(DELETE_SPAN.trim_end(), [("target", target)])).await?;
        self.write(client, events, target, span).await
    }
}

/// Since when, in Unix seconds, the events and the rollup have lost no row to the retention.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompleteSince {
    pub(super) events: u32,
    pub(super) rollup: u32,
}

impl CompleteSince {
    pub(super) async fn query(client: &Client) -> Result<Self, ClickHouseError> {
        let query = async |table: &str| {
            client.query_raw(COMPLETE_SINCE).param("table", table).fetch_one::<u32>().await
        };
        Ok(Self { events: query("events").await?, rollup: query(ROLLUP).await? })
    }

    /// The first day of which every event is stored: Unix time divided by [`DAY_SECONDS`].
    pub(super) fn first_day(self) -> u32 {
        self.events.max(self.rollup).div_ceil(DAY_SECONDS)
    }
}

/// A span of time to recompute: whole quarter hours, not necessarily adjacent, and the days around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecomputeSpan {
    /// Ascending: Unix time divided by [`QUARTER_HOUR_SECONDS`].
    quarter_hours: Vec<u32>,
    /// Ascending: Unix time divided by [`DAY_SECONDS`].
    days: Vec<u32>,
}

impl RecomputeSpan {
    /// One whole day.
    pub(super) fn of_day(day: u32) -> Self {
        let quarter_hours = day * QUARTER_HOURS_PER_DAY..(day + 1) * QUARTER_HOURS_PER_DAY;
        Self { quarter_hours: quarter_hours.collect(), days: vec![day] }
    }

    /// Those of the quarter hours, which are ascending, that can be recomputed. `None` if none can.
    pub(super) fn of_quarter_hours(quarter_hours: &[u32], complete: CompleteSince) -> Option<Self> {
        let is_complete = |quarter: &u32| {
            let day_start = quarter / QUARTER_HOURS_PER_DAY * DAY_SECONDS;
            quarter * QUARTER_HOUR_SECONDS >= complete.events && day_start >= complete.rollup
        };
        let quarter_hours: Vec<u32> = quarter_hours.iter().copied().filter(is_complete).collect();
        let mut days: Vec<u32> = quarter_hours.iter().map(|quarter| quarter / QUARTER_HOURS_PER_DAY).collect();
        days.dedup();
        (!days.is_empty()).then_some(Self { quarter_hours, days })
    }

    /// Number of quarter hours.
    pub(super) fn quarter_hours(&self) -> usize {
        self.quarter_hours.len()
    }

    async fn execute(&self, client: &Client, statement: &str) -> Result<(), ClickHouseError> {
        let (start, end) = unix_bounds(&self.quarter_hours, QUARTER_HOUR_SECONDS);
        let (days_start, days_end) = unix_bounds(&self.days, DAY_SECONDS);
        let statement = client
            .query_raw(statement)
            .param("start", start)
            .param("end", end)
            .param("quarter_hours", &self.quarter_hours)
            .param("days_start", days_start)
            .param("days_end", days_end)
            .param("days", &self.days)
            // A recomputation may write the very rows that were deleted before: they are not duplicates.
            .with_setting("insert_deduplicate", "0")
            .with_setting("deduplicate_insert", "disable")
            .with_setting("max_partitions_per_insert_block", "0")
            .with_setting("lightweight_deletes_sync", "2");
        Ok(statement.execute().await?)
    }
}

/// The Monday of a day's week, with which its partition begins.
pub(super) fn monday(day: u32) -> u32 {
    // 1 January 1970 was a Thursday.
    day - (day + 3) % 7
}

/// The start of the first and the end of the last interval, in Unix seconds.
fn unix_bounds(intervals: &[u32], seconds: u32) -> (u32, u32) {
    (intervals[0] * seconds, (intervals[intervals.len() - 1] + 1) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u32 = 20_000;
    const FIRST: u32 = DAY * QUARTER_HOURS_PER_DAY;

    #[test]
    fn a_span_covers_its_quarter_hours_and_their_days() {
        let complete = CompleteSince { events: 0, rollup: 0 };
        let quarter_hours = [FIRST, FIRST + 1, FIRST + 97];
        let span = RecomputeSpan::of_quarter_hours(&quarter_hours, complete).unwrap();
        assert_eq!((span.quarter_hours.as_slice(), span.days.as_slice()), (&quarter_hours[..], &[DAY, DAY + 1][..]));
        let start = DAY * DAY_SECONDS;
        assert_eq!(unix_bounds(&span.quarter_hours, QUARTER_HOUR_SECONDS), (start, start + 98 * 900));
        assert_eq!(unix_bounds(&span.days, DAY_SECONDS), (start, start + 2 * DAY_SECONDS));
        assert_eq!(RecomputeSpan::of_day(DAY).quarter_hours(), 96);
    }

    #[test]
    fn quarter_hours_of_which_events_may_have_expired_are_left_alone() {
        let of = |quarter_hours: &[u32], events, rollup| {
            RecomputeSpan::of_quarter_hours(quarter_hours, CompleteSince { events, rollup })
                .map(|span| span.quarter_hours)
        };
        let start = DAY * DAY_SECONDS;
        assert_eq!(of(&[FIRST, FIRST + 1], start, start), Some(vec![FIRST, FIRST + 1]));
        assert_eq!(of(&[FIRST, FIRST + 1], start + 1, 0), Some(vec![FIRST + 1]));
        assert_eq!(of(&[FIRST, FIRST + 1], start + 1_801, 0), None);
        // Rows by minute of the day may have expired, so its longer levels cannot be computed.
        assert_eq!(of(&[FIRST, FIRST + 95, FIRST + 96], 0, start + 1), Some(vec![FIRST + 96]));
        assert_eq!(CompleteSince { events: start + 1, rollup: 0 }.first_day(), DAY + 1);
        assert_eq!(CompleteSince { events: 0, rollup: start }.first_day(), DAY);
    }

    #[test]
    fn a_week_begins_on_monday() {
        // Monday, 28 September 2026, is day 20,724.
        assert_eq!([20_724, 20_727, 20_730, 20_731].map(monday), [20_724, 20_724, 20_724, 20_731]);
    }

    #[test]
    fn every_dimension_has_its_rows() {
        let statements = RollupStatements::new(&Properties::built_in(), 5_000);
        let insert = statements.insert_minutes("events", "rollup");
        for (number, name) in Properties::built_in().dimensions().enumerate() {
            assert!(insert.contains(&format!("grouping(D{number}) = 0, '{name}'")), "{insert}");
            assert!(insert.contains(&format!("(project, event_name, start, D{number})")), "{insert}");
        }
        assert!(insert.contains("coalesce(e.`duration_ms`, CAST(NULL, 'Nullable(Float64)')) AS measure"));
        // Without any declaration.
        let statements = RollupStatements::new(&Properties::parse("").unwrap(), 1);
        assert_eq!(statements.dimensions, ["country_code", "device_type"]);
        assert_eq!(statements.measure, "coalesce(CAST(NULL, 'Nullable(Float64)'))");
    }

    #[test]
    fn the_sql_files_have_the_lengths_of_the_intervals() {
        let quarter_hour = format!(", {QUARTER_HOUR_SECONDS})");
        let day = format!(", {DAY_SECONDS})");
        for (file, length) in [
            (SPAN_EVENTS, &quarter_hour),
            (LEVELS, &quarter_hour),
            (EXCESS_VALUES, &quarter_hour),
            (DELETE_SPAN, &quarter_hour),
            (super::super::batches::BATCH_QUARTER_HOURS, &quarter_hour),
            (LEVELS, &day),
            (EXCESS_VALUES, &day),
            (DELETE_SPAN, &day),
        ] {
            assert!(file.contains(length.as_str()), "{file}");
        }
    }
}
