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

use super::recompute::{Piece, ROLLUPS, Rollup, WINDOW};
use super::schema::{self, HOLD_BACK, SchemaError};
use super::{ClickHouse, ClickHouseError, batches};

/// How often, and how far apart, it is tried to let inserts in again.
const LET_IN_RETRIES: u32 = 30;
const LET_IN_AGAIN: Duration = Duration::from_secs(1);
/// A window of many events takes its time.
const WINDOW_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Rebuilds a rollup and its steps; `progress` is told the events done and the events in all.
pub async fn rebuild(
    clickhouse: &ClickHouse,
    rollup: &str,
    progress: impl Fn(u64, u64),
) -> Result<u64, SchemaError> {
    let Some(known) = ROLLUPS.into_iter().find(|known| known.minutes == rollup) else {
        let known = ROLLUPS.map(|known| known.minutes).join(", ");
        return Err(SchemaError::UnknownRollup { name: rollup.to_owned(), known });
    };
    let client = clickhouse.client().map_err(failed(rollup))?;
    let mut work = Work { client, rollup: known, built: BTreeMap::new() };
    let built = async {
        // Where an earlier rebuild was cut off.
        let_in(clickhouse).await?;
        work.prepare().await?;
        work.build(progress).await
    };
    built.await.map_err(failed(rollup))?;
    let held_back = Instant::now();
    let replaced = async {
        work.hold_back().await?;
        work.build(|_, _| {}).await?;
        work.replace().await
    };
    let replaced = replaced.await.map_err(failed(rollup));
    // Whether it worked or not: nothing is inserted until then.
    surely_let_in(clickhouse).await.map_err(|source| SchemaError::HeldBack { source })?;
    replaced?;
    tracing::info!(rollup, ms = held_back.elapsed().as_millis(), "inserts waited for the end of the rebuild");
    Ok(work.built.values().sum())
}

/// Finishes what a rebuild left: lets inserts in again, and drops the tables that were kept to be compared. Only
/// for a ClickHouse in which no rebuild can be at work: one that was just started.
pub async fn recover(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    if let_in(clickhouse).await? {
        tracing::warn!("a rebuild was cut off; the rollup is as it was, and events are inserted again");
    }
    let client = clickhouse.client()?;
    let tables =
        "SELECT name FROM system.tables WHERE database = {database:String} AND endsWith(name, '_rebuilt')";
    let tables = clickhouse.server()?.query_raw(tables).param("database", clickhouse.database());
    let tables: Vec<String> = tables.fetch_all().await?;
    for rollup in ROLLUPS {
        for table in [rollup.minutes, rollup.steps] {
            if !tables.contains(&rebuilt(table)) {
                continue;
            }
            let [now, then] = rollup.sums(&client, table).await?;
            if now < then {
                tracing::error!(
                    table,
                    rollup = rollup.minutes,
                    "a rollup has fewer events than when it was rebuilt; start `millrace migrate --rebuild NAME` again"
                );
                continue;
            }
            drop_rebuilt(&client, table).await?;
        }
    }
    Ok(())
}

/// Lets inserts in again; false where they were not held back.
async fn let_in(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    if !schema::is_held_back(clickhouse).await? {
        return Ok(false);
    }
    let drop = format!("ALTER TABLE events DROP CONSTRAINT IF EXISTS {HOLD_BACK}");
    clickhouse.client()?.query_raw(&drop).execute().await?;
    Ok(true)
}

/// The same with patience.
async fn surely_let_in(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    let mut tries = 0;
    loop {
        match let_in(clickhouse).await {
            Err(_) if tries < LET_IN_RETRIES => tries += 1,
            let_in => return let_in,
        }
        tokio::time::sleep(LET_IN_AGAIN).await;
    }
}

fn failed(rollup: &str) -> impl Fn(ClickHouseError) -> SchemaError {
    let file = format!("rebuild of {rollup}");
    move |source| SchemaError::Statement { file: file.clone(), source }
}

/// The table that a rollup is built in.
fn rebuilt(table: &str) -> String {
    format!("{table}_rebuilt")
}

async fn drop_rebuilt(client: &Client, table: &str) -> Result<(), ClickHouseError> {
    Ok(client.query_raw(&format!("DROP TABLE IF EXISTS {}", rebuilt(table))).execute().await?)
}

impl Rollup {
    /// The events that the rows of a table and of the one built beside it were made of.
    async fn sums(&self, client: &Client, table: &str) -> Result<[u64; 2], ClickHouseError> {
        let sum = |table: &str| {
            let sum = format!("SELECT sum({}) FROM {table}", self.count);
            let query = client.query_raw(&sum);
            async move { query.fetch_one::<u64>().await }
        };
        Ok([sum(table).await?, sum(&rebuilt(table)).await?])
    }
}

struct Work {
    client: Client,
    rollup: Rollup,
    /// The windows that are built, each with its number of events when it was read.
    built: BTreeMap<u32, u64>,
}

#[derive(Row, Serialize, Deserialize)]
struct Window {
    window: u32,
    events: u64,
}

impl Work {
    async fn run(&self, statement: &str) -> Result<(), ClickHouseError> {
        Ok(self.client.query_raw(statement).execute().await?)
    }

    /// Makes the empty tables.
    async fn prepare(&self) -> Result<(), ClickHouseError> {
        for table in [self.rollup.minutes, self.rollup.steps] {
            drop_rebuilt(&self.client, table).await?;
            self.run(&format!("CREATE TABLE {} AS {table}", rebuilt(table))).await?;
        }
        Ok(())
    }

    /// Lets no insert begin, and waits for those that are under way.
    async fn hold_back(&self) -> Result<(), ClickHouseError> {
        self.run(&format!("ALTER TABLE events ADD CONSTRAINT IF NOT EXISTS {HOLD_BACK} CHECK 0")).await?;
        batches::unchanging(&self.client).await
    }

    /// Builds the windows that have not been, and those that have another number of events than when they were read.
    async fn build(&mut self, progress: impl Fn(u64, u64)) -> Result<(), ClickHouseError> {
        // Counted before they are read: an event that comes in between makes a difference the next time.
        let windows = format!(
            "SELECT toUInt32(intDiv(toUnixTimestamp(timestamp), {WINDOW})) AS window, count() AS events FROM events \
             GROUP BY window ORDER BY window"
        );
        let windows: Vec<Window> = self.client.query_raw(&windows).fetch_all().await?;
        let all = windows.iter().map(|window| window.events).sum();
        let mut done = 0;
        progress(done, all);
        for Window { window, events: counted } in windows {
            let before = self.built.get(&window).copied();
            if before != Some(counted) {
                let write = self.write(window, before.is_some());
                let late = || ClickHouseError::unreachable("six hours of events took over an hour");
                tokio::time::timeout(WINDOW_TIMEOUT, write).await.map_err(|_| late())??;
                self.built.insert(window, counted);
            }
            done += counted;
            progress(done, all);
        }
        Ok(())
    }

    async fn write(&self, window: u32, again: bool) -> Result<(), ClickHouseError> {
        let piece = Piece::window(window);
        let [minutes, steps] = [self.rollup.minutes, self.rollup.steps].map(rebuilt);
        if again {
            Rollup::delete_minutes(&self.client, &minutes, &piece).await?;
            Rollup::delete_steps(&self.client, &steps, &piece).await?;
        }
        self.rollup.write_minutes(&self.client, &minutes, &piece).await?;
        self.rollup.write_steps(&self.client, &steps, &minutes, &piece).await
    }

    /// Puts the new tables' partitions in the place of the old ones.
    async fn replace(&self) -> Result<(), ClickHouseError> {
        for table in [self.rollup.minutes, self.rollup.steps] {
            let partitions = "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() \
                              AND table IN ({old:String}, {new:String}) ORDER BY partition_id";
            let partitions = self.client.query_raw(partitions).param("old", table);
            for id in partitions.param("new", rebuilt(table)).fetch_all::<String>().await? {
                // One that is not in the new table is emptied by it.
                let replace =
                    format!("ALTER TABLE {table} REPLACE PARTITION ID '{id}' FROM {}", rebuilt(table));
                self.run(&replace).await?;
            }
            let [now, then] = self.rollup.sums(&self.client, table).await?;
            if now != then {
                return Err(ClickHouseError::unreachable(format!(
                    "{table} holds {now} events and not {then} after its partitions were replaced; the rebuilt table is \
                     kept as {}",
                    rebuilt(table)
                )));
            }
        }
        Ok(())
    }
}
