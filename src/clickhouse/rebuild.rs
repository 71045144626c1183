//! Rebuilds the rollup from the events while events are being inserted.
//!
//! 1. A new table is built next to the rollup, one day at a time, while inserts continue.
//! 2. Inserts are paused: `events` and `rollup` get a constraint that no row satisfies. ClickHouse rejects a new insert
//!    before it writes any of it, and the writer retries it. A running insert completes. `events` stays readable throughout.
//! 3. Days whose number of events has changed since they were read are built again: the newest one, and those with late
//!    events. The pause lasts as long as this takes.
//! 4. The new table replaces the partitions of the old one, one at a time. Panels read the old rows until then and the new
//!    rows from then on.
//! 5. The constraints are dropped, and inserts continue.
//!
//! Rows of days whose events have expired are kept: partitions of such days are not replaced, and the rows of the days
//! before the first complete one are copied into the new table.
//!
//! A rebuild that is killed leaves the rollup as it was, and possibly the constraints. Running it again completes it; a
//! server with the embedded database drops the constraints at its start ([`recover`]). A batch whose events were inserted
//! before the pause and whose rollup rows were not is rejected in the second insert: then, as after any failure of it, the
//! writer recomputes the batch's quarter hours from the events instead of inserting the rows, so that they count once.
//!
//! The new table is kept until the next start of the server or the next rebuild. ClickHouse does not sync a replaced
//! partition, so a power cut soon afterwards may leave it empty. [`recover`] compares the tables and reports a difference.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable as _};
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::rollups::{CompleteSince, DAY_SECONDS, ROLLUP, RecomputeSpan, RollupStatements, monday};
use super::schema::{self, PAUSE_CONSTRAINT, SchemaError};
use super::{ClickHouse, ClickHouseError};
use super::{batches, exclusive};

const DAY_EVENT_COUNTS: &str = include_str!("../../queries/maintenance/day_event_counts.sql");

/// The table in which the new rows are built.
const REBUILT: &str = "rollup_rebuilt";

/// For dropping the constraints at the end of a rebuild: nothing is inserted until that succeeds.
const RESUME_BACKOFF: ConstantBuilder =
    ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(30);
/// For one day of many events.
const DAY_TIMEOUT: Duration = Duration::from_secs(3 * 3_600);

/// Rebuilds the rollup. `progress` receives the events done and the total. Returns the number of events.
pub(crate) async fn rebuild_rollup(
    clickhouse: &ClickHouse,
    progress: impl Fn(u64, u64),
) -> Result<u64, SchemaError> {
    let client = clickhouse.client().map_err(statement_error)?;
    let built = async {
        // An earlier rebuild may have been interrupted, or a repair.
        resume_inserts(clickhouse).await?;
        exclusive::release_abandoned(clickhouse).await?;
        let complete = CompleteSince::query(&client).await?;
        let mut rebuild = Rebuild {
            statements: clickhouse.rollup_statements(),
            // Nothing of the next day expires while the rebuild runs.
            first_day: complete.first_day() + 1,
            day_counts: BTreeMap::new(),
            clickhouse: clickhouse.clone(),
            client,
        };
        rebuild.create_table().await?;
        rebuild.build_days(progress).await?;
        Ok(rebuild)
    };
    let mut rebuild = built.await.map_err(statement_error)?;
    let paused_at = Instant::now();
    let replaced = async {
        rebuild.pause_inserts().await?;
        rebuild.build_days(|_, _| {}).await?;
        rebuild.copy_incomplete_days().await?;
        rebuild.replace_partitions().await
    };
    let replaced = replaced.await.map_err(statement_error);
    // Also after a failure: nothing is inserted until then.
    resume_inserts_with_retries(clickhouse)
        .await
        .map_err(|error| SchemaError::InsertsStillPaused { error })?;
    replaced?;
    tracing::info!(paused_ms = paused_at.elapsed().as_millis(), "inserts resumed after the rebuild");
    Ok(rebuild.day_counts.values().sum())
}

/// Cleans up after rebuilds: resumes inserts if they are paused, and drops the new table unless the rollup has fewer events
/// than it has. Only while no rebuild can be running: right after the embedded engine has started.
pub(crate) async fn recover(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    if resume_inserts(clickhouse).await? {
        tracing::warn!("a rebuild was interrupted; inserts resumed, the rollup is unchanged");
    }
    let exists =
        "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {table:String}";
    let exists = clickhouse.server_client()?.query_raw(exists);
    let exists = exists.param("database", clickhouse.database()).param("table", REBUILT);
    if exists.fetch_one::<u64>().await? == 0 {
        return Ok(());
    }
    let client = clickhouse.client()?;
    let [current, expected] = event_counts(&client, 0).await?;
    if current < expected {
        tracing::error!(
            current,
            expected,
            "the rollup has lost events since its rebuild; run `millrace migrate --rebuild rollup` again"
        );
        return Ok(());
    }
    drop_table(&client).await
}

/// Drops the constraints that pause inserts. Returns whether there was one.
async fn resume_inserts(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    if !schema::inserts_are_paused(clickhouse).await? {
        return Ok(false);
    }
    let client = clickhouse.client()?;
    // First the rollup: events without their rows would be recomputed.
    for table in [ROLLUP, "events"] {
        let drop = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {PAUSE_CONSTRAINT}");
        client.query_raw(&drop).execute().await?;
    }
    Ok(true)
}

async fn resume_inserts_with_retries(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    (|| resume_inserts(clickhouse)).retry(RESUME_BACKOFF).sleep(tokio::time::sleep).await
}

fn statement_error(error: ClickHouseError) -> SchemaError {
    SchemaError::Statement { file: "rebuild of the rollup".to_owned(), error }
}

async fn drop_table(client: &Client) -> Result<(), ClickHouseError> {
    Ok(client.query_raw(&format!("DROP TABLE IF EXISTS {REBUILT}")).execute().await?)
}

/// The number of events behind the rows by minute of the rollup and of the new table, from a day on.
async fn event_counts(client: &Client, first_day: u32) -> Result<[u64; 2], ClickHouseError> {
    let count = async |table: &str| {
        let count = format!(
            "SELECT sum(events) FROM {table} \
             WHERE step = 1 AND event_name = '' AND start >= toDateTime({{start:UInt32}}, 'UTC')"
        );
        client.query_raw(&count).param("start", first_day * DAY_SECONDS).fetch_one::<u64>().await
    };
    Ok([count(ROLLUP).await?, count(REBUILT).await?])
}

struct Rebuild {
    clickhouse: ClickHouse,
    client: Client,
    statements: RollupStatements,
    /// The first day whose rows are computed again: Unix time in days. Those before it may have lost events.
    first_day: u32,
    /// Days already built, with the number of events each had when it was read.
    day_counts: BTreeMap<u32, u64>,
}

#[derive(Row, Serialize, Deserialize)]
struct DayCount {
    day: u32,
    events: u64,
}

impl Rebuild {
    async fn execute(&self, statement: &str) -> Result<(), ClickHouseError> {
        Ok(self.client.query_raw(statement).execute().await?)
    }

    /// Creates the new table, empty. Drops that of an earlier rebuild.
    async fn create_table(&self) -> Result<(), ClickHouseError> {
        drop_table(&self.client).await?;
        batches::create_copy(&self.clickhouse, REBUILT, ROLLUP).await
    }

    /// Adds the constraints, and waits for running inserts.
    async fn pause_inserts(&self) -> Result<(), ClickHouseError> {
        for table in ["events", ROLLUP] {
            let add = format!("ALTER TABLE {table} ADD CONSTRAINT IF NOT EXISTS {PAUSE_CONSTRAINT} CHECK 0");
            self.execute(&add).await?;
        }
        batches::wait_until_quiescent(&self.clickhouse).await
    }

    /// Builds the days that are missing, and those whose number of events has changed since they were read.
    async fn build_days(&mut self, progress: impl Fn(u64, u64)) -> Result<(), ClickHouseError> {
        // Counted before they are read, so that an event inserted in between shows as a change next time.
        let days = self.client.query_raw(DAY_EVENT_COUNTS).param("first_day", self.first_day);
        let days: Vec<DayCount> = days.fetch_all().await?;
        let total = days.iter().map(|day| day.events).sum();
        let mut done = 0;
        progress(done, total);
        for DayCount { day, events } in days {
            let previous = self.day_counts.get(&day).copied();
            if previous != Some(events) {
                let building = self.build_day(day, previous.is_some());
                let timed_out = || ClickHouseError::unreachable("a day of events took over three hours");
                tokio::time::timeout(DAY_TIMEOUT, building).await.map_err(|_| timed_out())??;
                self.day_counts.insert(day, events);
            }
            done += events;
            progress(done, total);
        }
        Ok(())
    }

    async fn build_day(&self, day: u32, has_rows: bool) -> Result<(), ClickHouseError> {
        let span = RecomputeSpan::of_days(vec![day]);
        match has_rows {
            true => self.statements.recompute(&self.client, "events", REBUILT, &span).await,
            false => self.statements.write(&self.client, "events", REBUILT, &span).await,
        }
    }

    /// Copies the rows of the days before the first complete one that share its partition.
    async fn copy_incomplete_days(&self) -> Result<(), ClickHouseError> {
        let copy = format!(
            "INSERT INTO {REBUILT} SELECT * FROM {ROLLUP} \
             WHERE start >= toDateTime({{monday:UInt32}}, 'UTC') AND start < toDateTime({{end:UInt32}}, 'UTC')"
        );
        let copy = self.client.query_raw(&copy);
        let copy = copy.param("monday", monday(self.first_day) * DAY_SECONDS);
        Ok(copy.param("end", self.first_day * DAY_SECONDS).execute().await?)
    }

    /// Replaces the partitions of the rollup with those of the new table, from the first complete day on.
    async fn replace_partitions(&self) -> Result<(), ClickHouseError> {
        let first_day = monday(self.first_day);
        let first_id = "SELECT toString(toYYYYMMDD(toDate({day:UInt32})))";
        let first_id: String = self.client.query_raw(first_id).param("day", first_day).fetch_one().await?;
        // Of both tables: a partition that the new one does not have is emptied. Ids are dates.
        let ids = batches::partition_ids(&self.client, &[ROLLUP, REBUILT]).await?;
        for id in ids.into_iter().filter(|id| *id >= first_id) {
            self.execute(&format!("ALTER TABLE {ROLLUP} REPLACE PARTITION ID '{id}' FROM {REBUILT}")).await?;
        }
        let [current, expected] = event_counts(&self.client, first_day).await?;
        if current != expected {
            return Err(ClickHouseError::unreachable(format!(
                "after its partitions were replaced, the rollup has {current} events instead of {expected}; the new rows \
                 are still in {REBUILT}"
            )));
        }
        Ok(())
    }
}
