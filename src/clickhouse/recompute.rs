//! Recomputing the rows of a rollup for a piece of time, from what its view reads.

use clickhouse::Client;

use super::{ClickHouseError, schema};

/// A rollup by the minute, and the one of longer steps that is made of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollup {
    pub(super) minutes: &'static str,
    pub(super) steps: &'static str,
    /// The column of both that counts the events that a row was made of.
    pub(super) count: &'static str,
}

/// All of them.
pub(super) const ROLLUPS: [Rollup; 4] = [
    Rollup { minutes: "minutes", steps: "session_steps", count: "events" },
    Rollup { minutes: "feature_minutes", steps: "feature_steps", count: "events" },
    Rollup { minutes: "page_minutes", steps: "page_steps", count: "views" },
    Rollup { minutes: "country_minutes", steps: "country_steps", count: "views" },
];

/// The shortest step, in seconds.
pub(super) const QUARTER: u32 = 15 * 60;
/// The longest step, in seconds. Every other is a part of it, and it is a part of a day.
pub(super) const WINDOW: u32 = 360 * 60;

/// A piece of time, made of whole quarters of an hour. Times are in seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Its quarters, ascending: their starts divided by [`QUARTER`].
    quarters: Vec<u32>,
    /// The windows that they lie in: their starts divided by [`WINDOW`].
    windows: Vec<u32>,
}

impl Piece {
    /// One whole window.
    pub(super) fn window(window: u32) -> Self {
        let each = WINDOW / QUARTER;
        Self::quarters((window * each..(window + 1) * each).collect())
    }

    /// These quarters, which are ascending, and not none.
    pub(super) fn quarters(quarters: Vec<u32>) -> Self {
        let mut windows: Vec<u32> = quarters.iter().map(|quarter| quarter / (WINDOW / QUARTER)).collect();
        windows.dedup();
        Self { quarters, windows }
    }

    /// The condition that a time is in one of the quarters.
    fn in_quarters(&self, time: &str) -> String {
        among(time, QUARTER, &self.quarters)
    }

    /// The condition that a time is in one of the windows.
    fn in_windows(&self, time: &str) -> String {
        among(time, WINDOW, &self.windows)
    }

    /// The condition that a date is one of those of the piece, or between them.
    fn on_dates(&self, date: &str) -> String {
        let [first, last] = [self.windows[0], self.windows[self.windows.len() - 1]];
        let day = |window: u32| format!("toDate(toDateTime({}, 'UTC'))", window * WINDOW);
        format!("{date} >= {} AND {date} <= {}", day(first), day(last))
    }
}

/// The condition that a time, divided by `unit`, is listed; with bounds that the primary key is read by.
fn among(time: &str, unit: u32, listed: &[u32]) -> String {
    let (from, to) = (listed[0] * unit, (listed[listed.len() - 1] + 1) * unit);
    let listed: Vec<String> = listed.iter().map(u32::to_string).collect();
    format!(
        "{time} >= toDateTime({from}, 'UTC') AND {time} < toDateTime({to}, 'UTC') AND \
         intDiv(toUnixTimestamp({time}), {unit}) IN ({})",
        listed.join(", ")
    )
}

async fn run(client: &Client, statement: &str) -> Result<(), ClickHouseError> {
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
    pub(super) async fn write_minutes(
        &self,
        client: &Client,
        target: &str,
        piece: &Piece,
    ) -> Result<(), ClickHouseError> {
        let source = format!(
            "FROM (SELECT * FROM events WHERE {} AND {})\n",
            piece.on_dates("date"),
            piece.in_quarters("timestamp")
        );
        let select = schema::select_of_view(self.minutes).replacen("FROM events\n", &source, 1);
        run(client, &format!("INSERT INTO {target} {select}")).await
    }

    /// Writes the rows of the steps into `target`, from the rows by the minute in `minutes`.
    pub(super) async fn write_steps(
        &self,
        client: &Client,
        target: &str,
        minutes: &str,
        piece: &Piece,
    ) -> Result<(), ClickHouseError> {
        let name = self.minutes;
        // The view's columns are of the rollup, under its name.
        let source =
            format!("FROM (SELECT * FROM {minutes} WHERE {}) AS {name}\n", piece.in_windows("minute"));
        let select = schema::select_of_view(self.steps).replacen(&format!("FROM {name}\n"), &source, 1);
        run(client, &format!("INSERT INTO {target} {select}")).await
    }

    /// Deletes the piece's rows by the minute, and returns when they are gone.
    pub(super) async fn delete_minutes(
        client: &Client,
        table: &str,
        piece: &Piece,
    ) -> Result<(), ClickHouseError> {
        run(client, &format!("DELETE FROM {table} WHERE {}", piece.in_quarters("minute"))).await
    }

    /// The same for the rows of the steps.
    pub(super) async fn delete_steps(
        client: &Client,
        table: &str,
        piece: &Piece,
    ) -> Result<(), ClickHouseError> {
        run(client, &format!("DELETE FROM {table} WHERE {}", piece.in_windows("start"))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_holds_its_quarters_and_the_longest_steps_around_them() {
        let day = 20_000 * 86_400;
        let piece = Piece::quarters(vec![day / QUARTER, day / QUARTER + 1, day / QUARTER + 28]);
        assert_eq!(piece.windows, [day / WINDOW, day / WINDOW + 1]);
        assert!(piece.in_quarters("t").starts_with(&format!(
            "t >= toDateTime({day}, 'UTC') AND t < toDateTime({}, 'UTC') AND ",
            day + 29 * QUARTER
        )));
        assert!(piece.in_windows("t").contains(&format!("t < toDateTime({}, 'UTC')", day + 2 * WINDOW)));
        assert_eq!(Piece::window(day / WINDOW).quarters.len(), 24);
    }
}
