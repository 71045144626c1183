//! Rebuilding a rollup from the events, also while events stream in.
//!
//! The rollup is built in tables beside it, a window of six hours at a time, while inserts go on. Then inserts are held
//! back for a short while: `events` gets a constraint that no row fulfils. A new insert is refused before anything of it is
//! written, and the writer tries it again later; one that is under way ends as it began, in `events` and in the rollups;
//! and `events` can be read throughout. The windows whose number of events has changed since they were read are built
//! again, and the new tables take the old ones' place, a partition at a time. So panels show the old figures until then and
//! the new ones from then on, and inserts wait as long as the newest window and late events take.
//!
//! A rebuild that was killed leaves the rollup as it was, and may leave the constraint: starting it again finishes it, and
//! a start of the server with the embedded database takes the constraint away. One batch is not exact: one that an engine
//! that died left halfway just before, in the events and not in the rollup, is counted by the rebuild and again when it is
//! sent again.
//!
//! The new tables stay until the next start of the server, or the next rebuild: ClickHouse does not sync a replaced
//! partition, so a power cut soon afterwards may leave it empty. The start compares, and says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::rollups::{ROLLUPS, RecomputeSpan, Rollup, WINDOW_SECONDS};
use super::schema::{self, PAUSE_CONSTRAINT, SchemaError};
use super::{ClickHouse, ClickHouseError, batches};

/// How often, and how far apart, it is tried to let inserts in again.
const RESUME_RETRIES: u32 = 30;
const RESUME_RETRY_DELAY: Duration = Duration::from_secs(1);
/// A window of many events takes its time.
const WINDOW_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Rebuilds a rollup and its steps; `progress` is told the events done and the events in all.
pub async fn rebuild_rollup(
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
        // Where an earlier rebuild was cut off.
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
    // Whether it worked or not: nothing is inserted until then.
    resume_inserts_with_retries(clickhouse)
        .await
        .map_err(|source| SchemaError::InsertsStillPaused { source })?;
    replaced?;
    tracing::info!(rollup, ms = paused_at.elapsed().as_millis(), "inserts waited for the end of the rebuild");
    Ok(rebuild.window_counts.values().sum())
}

/// Finishes what a rebuild left: lets inserts in again, and drops the tables that were kept to be compared. Only
/// for a ClickHouse in which no rebuild can be at work: one that was just started.
pub async fn recover(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    if resume_inserts(clickhouse).await? {
        tracing::warn!("a rebuild was cut off; the rollup is as it was, and events are inserted again");
    }
    let client = clickhouse.client()?;
    let tables =
        "SELECT name FROM system.tables WHERE database = {database:String} AND endsWith(name, '_rebuilt')";
    let tables = clickhouse.server_client()?.query_raw(tables).param("database", clickhouse.database());
    let tables: Vec<String> = tables.fetch_all().await?;
    for rollup in ROLLUPS {
        for table in [rollup.minutes_table, rollup.levels_table] {
            if !tables.contains(&rebuild_table(table)) {
                continue;
            }
            let [current, expected] = rollup.event_counts(&client, table).await?;
            if current < expected {
                tracing::error!(
                    table,
                    rollup = rollup.minutes_table,
                    "a rollup has fewer events than when it was rebuilt; start `millrace migrate --rebuild NAME` again"
                );
                continue;
            }
            drop_rebuild_table(&client, table).await?;
        }
    }
    Ok(())
}

/// Lets inserts in again; false where they were not held back.
async fn resume_inserts(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    if !schema::inserts_are_paused(clickhouse).await? {
        return Ok(false);
    }
    let drop = format!("ALTER TABLE events DROP CONSTRAINT IF EXISTS {PAUSE_CONSTRAINT}");
    clickhouse.client()?.query_raw(&drop).execute().await?;
    Ok(true)
}

/// The same with patience.
async fn resume_inserts_with_retries(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    let mut attempts = 0;
    loop {
        match resume_inserts(clickhouse).await {
            Err(_) if attempts < RESUME_RETRIES => attempts += 1,
            result => return result,
        }
        tokio::time::sleep(RESUME_RETRY_DELAY).await;
    }
}

fn statement_error(rollup: &str) -> impl Fn(ClickHouseError) -> SchemaError {
    let file = format!("rebuild of {rollup}");
    move |source| SchemaError::Statement { file: file.clone(), source }
}

/// The table that a rollup is built in.
fn rebuild_table(table: &str) -> String {
    format!("{table}_rebuilt")
}

async fn drop_rebuild_table(client: &Client, table: &str) -> Result<(), ClickHouseError> {
    Ok(client.query_raw(&format!("DROP TABLE IF EXISTS {}", rebuild_table(table))).execute().await?)
}

impl Rollup {
    /// The events that the rows of a table and of the one built beside it were made of.
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
    /// The windows that are built, each with its number of events when it was read.
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

    /// Makes the empty tables.
    async fn create_tables(&self) -> Result<(), ClickHouseError> {
        for table in [self.rollup.minutes_table, self.rollup.levels_table] {
            drop_rebuild_table(&self.client, table).await?;
            self.execute(&format!("CREATE TABLE {} AS {table}", rebuild_table(table))).await?;
        }
        Ok(())
    }

    /// Lets no insert begin, and waits for those that are under way.
    async fn pause_inserts(&self) -> Result<(), ClickHouseError> {
        self.execute(&format!("ALTER TABLE events ADD CONSTRAINT IF NOT EXISTS {PAUSE_CONSTRAINT} CHECK 0"))
            .await?;
        batches::poll_until_quiescent(&self.client).await
    }

    /// Builds the windows that have not been, and those that have another number of events than when they were read.
    async fn build_windows(&mut self, progress: impl Fn(u64, u64)) -> Result<(), ClickHouseError> {
        // Counted before they are read: an event that comes in between makes a difference the next time.
        let windows = format!(
            "SELECT toUInt32(intDiv(toUnixTimestamp(timestamp), {WINDOW_SECONDS})) AS window, count() AS events FROM events \
             GROUP BY window ORDER BY window"
        );
        let windows: Vec<WindowCount> = self.client.query_raw(&windows).fetch_all().await?;
        let all = windows.iter().map(|window| window.events).sum();
        let mut done = 0;
        progress(done, all);
        for WindowCount { window, events: counted } in windows {
            let before = self.window_counts.get(&window).copied();
            if before != Some(counted) {
                let building = self.build_window(window, before.is_some());
                let timed_out = || ClickHouseError::unreachable("six hours of events took over an hour");
                tokio::time::timeout(WINDOW_TIMEOUT, building).await.map_err(|_| timed_out())??;
                self.window_counts.insert(window, counted);
            }
            done += counted;
            progress(done, all);
        }
        Ok(())
    }

    async fn build_window(&self, window: u32, rebuilding: bool) -> Result<(), ClickHouseError> {
        let span = RecomputeSpan::of_window(window);
        let [minutes_table, levels_table] =
            [self.rollup.minutes_table, self.rollup.levels_table].map(rebuild_table);
        if rebuilding {
            Rollup::delete_minute_rows(&self.client, &minutes_table, &span).await?;
            Rollup::delete_level_rows(&self.client, &levels_table, &span).await?;
        }
        self.rollup.write_minute_rows(&self.client, &minutes_table, &span).await?;
        self.rollup.write_level_rows(&self.client, &levels_table, &minutes_table, &span).await
    }

    /// Puts the new tables' partitions in the place of the old ones.
    async fn replace_partitions(&self) -> Result<(), ClickHouseError> {
        for table in [self.rollup.minutes_table, self.rollup.levels_table] {
            let partitions = "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() \
                              AND table IN ({old:String}, {new:String}) ORDER BY partition_id";
            let partitions = self.client.query_raw(partitions).param("old", table);
            for id in partitions.param("new", rebuild_table(table)).fetch_all::<String>().await? {
                // One that is not in the new table is emptied by it.
                let replace =
                    format!("ALTER TABLE {table} REPLACE PARTITION ID '{id}' FROM {}", rebuild_table(table));
                self.execute(&replace).await?;
            }
            let [current, expected] = self.rollup.event_counts(&self.client, table).await?;
            if current != expected {
                return Err(ClickHouseError::unreachable(format!(
                    "{table} holds {current} events and not {expected} after its partitions were replaced; the rebuilt table is \
                     kept as {}",
                    rebuild_table(table)
                )));
            }
        }
        Ok(())
    }
}
