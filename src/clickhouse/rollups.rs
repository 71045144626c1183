//! The rollups: their tables, the SELECTs that compute them, and the recomputation of a span of time.
//!
//! A SELECT is a file of `queries/rollups` with a placeholder for its source. The materialized view of the schema reads the
//! source table, a recomputation reads a part of it. So both compute the same rows.

use clickhouse::Client;

use super::ClickHouseError;
use super::template::render;

/// The events of a span, as the source of rows by minute.
const SPAN_EVENTS: &str = include_str!("../../queries/maintenance/span_events.sql");
/// The rows by minute of a span, as the source of rows at longer levels.
const SPAN_MINUTES: &str = include_str!("../../queries/maintenance/span_minutes.sql");
const DELETE_SPAN_MINUTES: &str = include_str!("../../queries/maintenance/delete_span_minutes.sql");
const DELETE_SPAN_LEVELS: &str = include_str!("../../queries/maintenance/delete_span_levels.sql");

/// A rollup: a table with a row per minute, and a table with rows at longer levels that is computed from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollup {
    pub(super) minutes_table: &'static str,
    pub(super) levels_table: &'static str,
    /// The column of both tables with the number of events behind a row.
    pub(super) count_column: &'static str,
    minutes_select: &'static str,
    levels_select: &'static str,
}

pub(super) const ROLLUPS: [Rollup; 0] = [];

/// Length of the shortest level, in seconds. `queries/maintenance` has the number too.
const QUARTER_HOUR_SECONDS: u32 = 15 * 60;
/// Length of the longest level, in seconds. A multiple of every other level, and a part of a day. `queries/maintenance` has
/// the number too.
const WINDOW_SECONDS: u32 = 360 * 60;

/// A span of time to recompute: whole quarter hours, not necessarily adjacent. At the longer levels it is the windows
/// around them.
#[derive(Clone, Debug)]
pub(super) struct RecomputeSpan {
    /// Ascending: Unix time divided by [`QUARTER_HOUR_SECONDS`].
    quarter_hours: Vec<u32>,
    /// Ascending: Unix time divided by [`WINDOW_SECONDS`].
    windows: Vec<u32>,
}

impl RecomputeSpan {
    /// One whole window.
    pub(super) fn of_window(window: u32) -> Self {
        let per_window = WINDOW_SECONDS / QUARTER_HOUR_SECONDS;
        Self::of_quarter_hours((window * per_window..(window + 1) * per_window).collect())
    }

    /// `quarter_hours` must be ascending and not empty.
    pub(super) fn of_quarter_hours(quarter_hours: Vec<u32>) -> Self {
        let per_window = WINDOW_SECONDS / QUARTER_HOUR_SECONDS;
        let mut windows: Vec<u32> = quarter_hours.iter().map(|quarter| quarter / per_window).collect();
        windows.dedup();
        Self { quarter_hours, windows }
    }

    /// Executes a statement with the parameters `start`, `end` and `quarter_hours`.
    async fn execute_on_quarter_hours(
        &self,
        client: &Client,
        statement: &str,
    ) -> Result<(), ClickHouseError> {
        let bounds = unix_bounds(&self.quarter_hours, QUARTER_HOUR_SECONDS);
        execute(client, statement, bounds, ("quarter_hours", &self.quarter_hours)).await
    }

    /// Executes a statement with the parameters `start`, `end` and `windows`.
    async fn execute_on_windows(&self, client: &Client, statement: &str) -> Result<(), ClickHouseError> {
        let bounds = unix_bounds(&self.windows, WINDOW_SECONDS);
        execute(client, statement, bounds, ("windows", &self.windows)).await
    }
}

/// The start of the first and the end of the last interval, in Unix seconds.
fn unix_bounds(intervals: &[u32], seconds: u32) -> (u32, u32) {
    (intervals[0] * seconds, (intervals[intervals.len() - 1] + 1) * seconds)
}

async fn execute(
    client: &Client,
    statement: &str,
    (start, end): (u32, u32),
    (name, intervals): (&str, &[u32]),
) -> Result<(), ClickHouseError> {
    let statement = client
        .query_raw(statement)
        .param("start", start)
        .param("end", end)
        .param(name, intervals)
        // A recomputation may write the very rows that were deleted before: they are not duplicates.
        .with_setting("insert_deduplicate", "0")
        .with_setting("deduplicate_insert", "disable")
        .with_setting("max_partitions_per_insert_block", "0")
        .with_setting("lightweight_deletes_sync", "2");
    Ok(statement.execute().await?)
}

fn render_select(select: &str, source: &str) -> String {
    render(select.trim_end(), [("source", source)])
}

impl Rollup {
    pub(super) fn tables(&self) -> [&'static str; 2] {
        [self.minutes_table, self.levels_table]
    }

    /// Computes the span's rows by minute from the events, into `target`.
    pub(super) async fn write_minute_rows(
        &self,
        client: &Client,
        target: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        let select = render_select(self.minutes_select, &format!("({SPAN_EVENTS})"));
        span.execute_on_quarter_hours(client, &format!("INSERT INTO {target}\n{select}")).await
    }

    /// Computes the span's rows at longer levels from the rows by minute of `minutes_table`, into `target`.
    pub(super) async fn write_level_rows(
        &self,
        client: &Client,
        target: &str,
        minutes_table: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        let minutes = render(SPAN_MINUTES, [("minutes_table", minutes_table)]);
        // The SELECT qualifies columns with the rollup's own table name.
        let source = format!("({minutes}) AS {}", self.minutes_table);
        let select = render_select(self.levels_select, &source);
        span.execute_on_windows(client, &format!("INSERT INTO {target}\n{select}")).await
    }

    /// Deletes the span's rows by minute. Returns when they are gone.
    pub(super) async fn delete_minute_rows(
        client: &Client,
        table: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        span.execute_on_quarter_hours(client, &render(DELETE_SPAN_MINUTES, [("table", table)])).await
    }

    /// Deletes the span's rows at longer levels. Returns when they are gone.
    pub(super) async fn delete_level_rows(
        client: &Client,
        table: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        span.execute_on_windows(client, &render(DELETE_SPAN_LEVELS, [("table", table)])).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_covers_its_quarter_hours_and_their_windows() {
        let day = 20_000 * 86_400;
        let first = day / QUARTER_HOUR_SECONDS;
        let span = RecomputeSpan::of_quarter_hours(vec![first, first + 1, first + 28]);
        assert_eq!(span.windows, [day / WINDOW_SECONDS, day / WINDOW_SECONDS + 1]);
        assert_eq!(
            unix_bounds(&span.quarter_hours, QUARTER_HOUR_SECONDS),
            (day, day + 29 * QUARTER_HOUR_SECONDS)
        );
        assert_eq!(unix_bounds(&span.windows, WINDOW_SECONDS), (day, day + 2 * WINDOW_SECONDS));
        assert_eq!(RecomputeSpan::of_window(day / WINDOW_SECONDS).quarter_hours.len(), 24);
    }

    #[test]
    fn every_select_reads_its_source_once() {
        for rollup in ROLLUPS {
            for select in [rollup.minutes_select, rollup.levels_select] {
                assert_eq!(select.matches("FROM {{source}}\n").count(), 1, "{select}");
            }
        }
    }

    #[test]
    fn the_sql_files_have_the_lengths_of_the_intervals() {
        let quarter_hour = format!(", {QUARTER_HOUR_SECONDS})");
        let window = format!(", {WINDOW_SECONDS})");
        for (file, length) in [
            (SPAN_EVENTS, &quarter_hour),
            (DELETE_SPAN_MINUTES, &quarter_hour),
            (super::super::batches::BATCH_QUARTER_HOURS, &quarter_hour),
            (SPAN_MINUTES, &window),
            (DELETE_SPAN_LEVELS, &window),
            (super::super::rebuild::WINDOW_EVENT_COUNTS, &window),
        ] {
            assert!(file.contains(length.as_str()), "{file}");
        }
    }
}
