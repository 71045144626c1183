//! Rebuilds a rollup from the events while events are being inserted.
//!
//! 1. New tables are built next to the rollup, one window of six hours at a time, while inserts continue.
//! 2. Inserts are paused: `events` gets a constraint that no row satisfies. ClickHouse rejects a new insert before it
//!    writes any of it, and the writer retries it. A running insert completes, in `events` and in the rollups. `events`
//!    stays readable throughout.
//! 3. Windows whose number of events has changed since they were read are built again: the newest one, and those with late
//!    events. The pause lasts as long as this takes.
//! 4. The new tables replace the partitions of the old ones, one at a time. Panels read the old rows until then and the new
//!    rows from then on.
//! 5. The constraint is dropped, and inserts continue.
//!
//! A rebuild that is killed leaves the rollup as it was, and possibly the constraint. Running it again completes it; a
//! server with the embedded database drops the constraint at its start ([`recover`]). A batch whose
//! insert got no response is counted once: its retry recomputes the rollups from the events.
//!
//! The new tables are kept until the next start of the server or the next rebuild. ClickHouse does not sync a replaced
//! partition, so a power cut soon afterwards may leave it empty. [`recover`] compares the tables and reports a difference.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable as _};
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::batches;
use super::rollups::{ROLLUPS, RecomputeSpan, Rollup};
use super::schema::{self, PAUSE_CONSTRAINT, SchemaError};
use super::{ClickHouse, ClickHouseError};

pub(super) const WINDOW_EVENT_COUNTS: &str =
    include_str!("../../queries/maintenance/window_event_counts.sql");

/// For dropping the constraint at the end of a rebuild: nothing is inserted until that succeeds.
const RESUME_BACKOFF: ConstantBuilder =
    ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(30);
/// For one window of many events.
const WINDOW_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Rebuilds a rollup, named by its table of minutes. `progress` receives the events done and the total. Returns the number
/// of events.
pub(crate) async fn rebuild_rollup(
    clickhouse: &ClickHouse,
    rollup: &str,
    progress: impl Fn(u64, u64),
) -> Result<u64, SchemaError> {
    let Some(known) = ROLLUPS.into_iter().find(|known| known.minutes_table == rollup) else {
        let known = ROLLUPS.map(|known| known.minutes_table).join(", ");
        return Err(SchemaError::UnknownRollup { name: rollup.to_owned(), known });
    };
    let client = clickhouse.client().map_err(statement_error(rollup))?;
    let mut rebuild = RollupRebuild { client, rollup: known, window_counts: BTreeMap::new() };
    let built = async {
        // An earlier rebuild may have been interrupted.
        resume_inserts(clickhouse).await?;
        rebuild.create_tables().await?;
        rebuild.build_windows(progress).await
    };
    built.await.map_err(statement_error(rollup))?;
    let paused_at = Instant::now();
    let replaced = async {
        rebuild.pause_inserts().await?;
        rebuild.build_windows(|_, _| {}).await?;
        rebuild.replace_partitions().await
    };
    let replaced = replaced.await.map_err(statement_error(rollup));
    // Also after a failure: nothing is inserted until then.
    resume_inserts_with_retries(clickhouse)
        .await
        .map_err(|error| SchemaError::InsertsStillPaused { error })?;
    replaced?;
    tracing::info!(rollup, paused_ms = paused_at.elapsed().as_millis(), "inserts resumed after the rebuild");
    Ok(rebuild.window_counts.values().sum())
}

/// Cleans up after rebuilds: resumes inserts if they are paused, and drops the new tables unless the rollup has fewer events
/// than they have. Only while no rebuild can be running: right after the embedded engine has started.
pub(crate) async fn recover(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    if resume_inserts(clickhouse).await? {
        tracing::warn!("a rebuild was interrupted; inserts resumed, the rollup is unchanged");
    }
    let client = clickhouse.client()?;
    let tables =
        "SELECT name FROM system.tables WHERE database = {database:String} AND endsWith(name, '_rebuilt')";
    let tables = clickhouse.server_client()?.query_raw(tables).param("database", clickhouse.database());
    let tables: Vec<String> = tables.fetch_all().await?;
    for rollup in ROLLUPS {
        for table in rollup.tables() {
            if !tables.contains(&rebuild_table(table)) {
                continue;
            }
            let [current, expected] = rollup.event_counts(&client, table).await?;
            if current < expected {
                tracing::error!(
                    table,
                    rollup = rollup.minutes_table,
                    current,
                    expected,
                    "the rollup has lost events since its rebuild; run `millrace migrate --rebuild NAME` again"
                );
                continue;
            }
            drop_rebuild_table(&client, table).await?;
        }
    }
    Ok(())
}

/// Drops the constraint that pauses inserts. Returns whether there was one.
async fn resume_inserts(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    if !schema::inserts_are_paused(clickhouse).await? {
        return Ok(false);
    }
    let drop = format!("ALTER TABLE events DROP CONSTRAINT IF EXISTS {PAUSE_CONSTRAINT}");
    clickhouse.client()?.query_raw(&drop).execute().await?;
    Ok(true)
}

async fn resume_inserts_with_retries(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    (|| resume_inserts(clickhouse)).retry(RESUME_BACKOFF).sleep(tokio::time::sleep).await
}

fn statement_error(rollup: &str) -> impl Fn(ClickHouseError) -> SchemaError {
    let file = format!("rebuild of {rollup}");
    move |error| SchemaError::Statement { file: file.clone(), error }
}

/// The table in which the new rows of `table` are built.
fn rebuild_table(table: &str) -> String {
    format!("{table}_rebuilt")
}

async fn drop_rebuild_table(client: &Client, table: &str) -> Result<(), ClickHouseError> {
    Ok(client.query_raw(&format!("DROP TABLE IF EXISTS {}", rebuild_table(table))).execute().await?)
}

impl Rollup {
    /// The number of events behind the rows of `table`, and behind those of its new table.
    async fn event_counts(&self, client: &Client, table: &str) -> Result<[u64; 2], ClickHouseError> {
        let sum = |table: &str| {
            let sum = format!("SELECT sum({}) FROM {table}", self.count_column);
            let query = client.query_raw(&sum);
            async move { query.fetch_one::<u64>().await }
        };
        Ok([sum(table).await?, sum(&rebuild_table(table)).await?])
    }
}

struct RollupRebuild {
    client: Client,
    rollup: Rollup,
    /// Windows already built, with the number of events each had when it was read.
    window_counts: BTreeMap<u32, u64>,
}

#[derive(Row, Serialize, Deserialize)]
struct WindowCount {
    window: u32,
    events: u64,
}

impl RollupRebuild {
    async fn execute(&self, statement: &str) -> Result<(), ClickHouseError> {
        Ok(self.client.query_raw(statement).execute().await?)
    }

    /// Creates the new tables, empty. Drops those of an earlier rebuild.
    async fn create_tables(&self) -> Result<(), ClickHouseError> {
        for table in self.rollup.tables() {
            drop_rebuild_table(&self.client, table).await?;
            self.execute(&format!("CREATE TABLE {} AS {table}", rebuild_table(table))).await?;
        }
        Ok(())
    }

    /// Adds the constraint, and waits for running inserts.
    async fn pause_inserts(&self) -> Result<(), ClickHouseError> {
        self.execute(&format!("ALTER TABLE events ADD CONSTRAINT IF NOT EXISTS {PAUSE_CONSTRAINT} CHECK 0"))
            .await?;
        batches::poll_until_quiescent(&self.client).await
    }

    /// Builds the windows that are missing, and those whose number of events has changed since they were read.
    async fn build_windows(&mut self, progress: impl Fn(u64, u64)) -> Result<(), ClickHouseError> {
        // Counted before they are read, so that an event inserted in between shows as a change next time.
        let windows: Vec<WindowCount> = self.client.query_raw(WINDOW_EVENT_COUNTS).fetch_all().await?;
        let total = windows.iter().map(|window| window.events).sum();
        let mut done = 0;
        progress(done, total);
        for WindowCount { window, events } in windows {
            let previous = self.window_counts.get(&window).copied();
            if previous != Some(events) {
                let building = self.build_window(window, previous.is_some());
                let timed_out = || ClickHouseError::unreachable("six hours of events took over an hour");
                tokio::time::timeout(WINDOW_TIMEOUT, building).await.map_err(|_| timed_out())??;
                self.window_counts.insert(window, events);
            }
            done += events;
            progress(done, total);
        }
        Ok(())
    }

    async fn build_window(&self, window: u32, has_rows: bool) -> Result<(), ClickHouseError> {
        let span = RecomputeSpan::of_window(window);
        let [minutes_table, levels_table] = self.rollup.tables().map(rebuild_table);
        if has_rows {
            Rollup::delete_minute_rows(&self.client, &minutes_table, &span).await?;
            Rollup::delete_level_rows(&self.client, &levels_table, &span).await?;
        }
        self.rollup.write_minute_rows(&self.client, &minutes_table, &span).await?;
        self.rollup.write_level_rows(&self.client, &levels_table, &minutes_table, &span).await
    }

    /// Replaces every partition of the rollup with that of its new table.
    async fn replace_partitions(&self) -> Result<(), ClickHouseError> {
        for table in self.rollup.tables() {
            let new_table = rebuild_table(table);
            // Of both tables: a partition that the new one does not have is emptied.
            for id in batches::partition_ids(&self.client, &[table, &new_table]).await? {
                let replace = format!("ALTER TABLE {table} REPLACE PARTITION ID '{id}' FROM {new_table}");
                self.execute(&replace).await?;
            }
            let [current, expected] = self.rollup.event_counts(&self.client, table).await?;
            if current != expected {
                return Err(ClickHouseError::unreachable(format!(
                    "after its partitions were replaced, {table} has {current} events instead of {expected}; the new \
                     rows are still in {new_table}"
                )));
            }
        }
        Ok(())
    }
}
