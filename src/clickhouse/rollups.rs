//! Recomputing the rows of a rollup for a piece of time, from what its view reads.

use clickhouse::Client;

use super::{ClickHouseError, schema};

/// A rollup by the minute, and the one of longer steps that is made of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollup {
    pub(super) minutes_table: &'static str,
    pub(super) levels_table: &'static str,
    /// The column of both that counts the events that a row was made of.
    pub(super) count_column: &'static str,
}

/// All of them.
pub(super) const ROLLUPS: [Rollup; 4] = [
    Rollup { minutes_table: "minutes", levels_table: "session_steps", count_column: "events" },
    Rollup { minutes_table: "feature_minutes", levels_table: "feature_steps", count_column: "events" },
    Rollup { minutes_table: "page_minutes", levels_table: "page_steps", count_column: "views" },
    Rollup { minutes_table: "country_minutes", levels_table: "country_steps", count_column: "views" },
];

/// The shortest step, in seconds.
pub(super) const QUARTER_SECONDS: u32 = 15 * 60;
/// The longest step, in seconds. Every other is a part of it, and it is a part of a day.
pub(super) const WINDOW_SECONDS: u32 = 360 * 60;

/// A piece of time, made of whole quarters of an hour. Times are in seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct RecomputeSpan {
    /// Its quarters, ascending: their starts divided by [`QUARTER_SECONDS`].
    quarters: Vec<u32>,
    /// The windows that they lie in: their starts divided by [`WINDOW_SECONDS`].
    windows: Vec<u32>,
}

impl RecomputeSpan {
    /// One whole window.
    pub(super) fn of_window(window: u32) -> Self {
        let quarters_per_window = WINDOW_SECONDS / QUARTER_SECONDS;
        Self::of_quarters((window * quarters_per_window..(window + 1) * quarters_per_window).collect())
    }

    /// These quarters, which are ascending, and not none.
    pub(super) fn of_quarters(quarters: Vec<u32>) -> Self {
        let mut windows: Vec<u32> =
            quarters.iter().map(|quarter| quarter / (WINDOW_SECONDS / QUARTER_SECONDS)).collect();
        windows.dedup();
        Self { quarters, windows }
    }

    /// The condition that a time is in one of the quarters.
    fn quarters_condition(&self, time: &str) -> String {
        listed_condition(time, QUARTER_SECONDS, &self.quarters)
    }

    /// The condition that a time is in one of the windows.
    fn windows_condition(&self, time: &str) -> String {
        listed_condition(time, WINDOW_SECONDS, &self.windows)
    }

    /// The condition that a date is one of those of the piece, or between them.
    fn dates_condition(&self, date: &str) -> String {
        let [first, last] = [self.windows[0], self.windows[self.windows.len() - 1]];
        let day = |window: u32| format!("toDate(toDateTime({}, 'UTC'))", window * WINDOW_SECONDS);
        format!("{date} >= {} AND {date} <= {}", day(first), day(last))
    }
}

/// The condition that a time, divided by `unit`, is listed; with bounds that the primary key is read by.
fn listed_condition(time: &str, unit: u32, listed: &[u32]) -> String {
    let (from, to) = (listed[0] * unit, (listed[listed.len() - 1] + 1) * unit);
    let listed: Vec<String> = listed.iter().map(u32::to_string).collect();
    format!(
        "{time} >= toDateTime({from}, 'UTC') AND {time} < toDateTime({to}, 'UTC') AND \
         intDiv(toUnixTimestamp({time}), {unit}) IN ({})",
        listed.join(", ")
    )
}

async fn execute(client: &Client, statement: &str) -> Result<(), ClickHouseError> {
    // The same rows may be written twice, after they were deleted: they are no repeat.
    let statement = client
        .query_raw(statement)
        .with_setting("insert_deduplicate", "0")
        .with_setting("deduplicate_insert", "disable")
        .with_setting("max_partitions_per_insert_block", "0")
        .with_setting("lightweight_deletes_sync", "2");
    Ok(statement.execute().await?)
}

impl Rollup {
    /// Writes the rows by the minute into `target`, from the events.
    pub(super) async fn write_minute_rows(
        &self,
        client: &Client,
        target: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        let source = format!(
            "FROM (SELECT * FROM events WHERE {} AND {})\n",
            span.dates_condition("date"),
            span.quarters_condition("timestamp")
        );
        let select = schema::view_select(self.minutes_table).replacen("FROM events\n", &source, 1);
        execute(client, &format!("INSERT INTO {target} {select}")).await
    }

    /// Writes the rows of the steps into `target`, from the rows by the minute in `minutes_table`.
    pub(super) async fn write_level_rows(
        &self,
        client: &Client,
        target: &str,
        minutes_table: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        let name = self.minutes_table;
        // The view's columns are of the rollup, under its name.
        let source = format!(
            "FROM (SELECT * FROM {minutes_table} WHERE {}) AS {name}\n",
            span.windows_condition("minute")
        );
        let select = schema::view_select(self.levels_table).replacen(&format!("FROM {name}\n"), &source, 1);
        execute(client, &format!("INSERT INTO {target} {select}")).await
    }

    /// Deletes the piece's rows by the minute, and returns when they are gone.
    pub(super) async fn delete_minute_rows(
        client: &Client,
        table: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        execute(client, &format!("DELETE FROM {table} WHERE {}", span.quarters_condition("minute"))).await
    }

    /// The same for the rows of the steps.
    pub(super) async fn delete_level_rows(
        client: &Client,
        table: &str,
        span: &RecomputeSpan,
    ) -> Result<(), ClickHouseError> {
        execute(client, &format!("DELETE FROM {table} WHERE {}", span.windows_condition("start"))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_covers_its_quarters_and_their_windows() {
        let day = 20_000 * 86_400;
        let span = RecomputeSpan::of_quarters(vec![
            day / QUARTER_SECONDS,
            day / QUARTER_SECONDS + 1,
            day / QUARTER_SECONDS + 28,
        ]);
        assert_eq!(span.windows, [day / WINDOW_SECONDS, day / WINDOW_SECONDS + 1]);
        assert!(span.quarters_condition("t").starts_with(&format!(
            "t >= toDateTime({day}, 'UTC') AND t < toDateTime({}, 'UTC') AND ",
            day + 29 * QUARTER_SECONDS
        )));
        assert!(
            span.windows_condition("t")
                .contains(&format!("t < toDateTime({}, 'UTC')", day + 2 * WINDOW_SECONDS))
        );
        assert_eq!(RecomputeSpan::of_window(day / WINDOW_SECONDS).quarters.len(), 24);
    }
}
