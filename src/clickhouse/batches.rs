//! What is stored of a batch, by the column `batch`, and what it takes to repair it.
//!
//! Needed where a deduplication token cannot be trusted: it was forgotten, because too many inserts came after it, or lost
//! in a power cut.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::{Client, Row};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rollups::{QUARTER_SECONDS, ROLLUPS, RecomputeSpan, Rollup};
use super::{ClickHouse, ClickHouseError};

/// How many batches are looked up by one statement: they are listed in its address.
const BATCHES_PER_LOOKUP: usize = 250;
/// How many quarters are recomputed by one statement: ten days, where every quarter has events.
const QUARTERS_PER_RECOMPUTE: usize = 1_000;
/// How often it is looked whether what was under way has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long inserts and deletions that were under way may take to end; an insert takes half a minute at most.
const QUIESCENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of a batch is in `events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchPresence {
    /// No event.
    Absent,
    /// Every event, once.
    Complete,
    /// Some events, or some of them twice.
    Partial,
}

impl BatchPresence {
    /// From the number of events that a batch has and the number that is stored.
    pub fn from_counts(events: u64, stored: u64) -> Self {
        match stored {
            0 => Self::Absent,
            _ if stored == events => Self::Complete,
            _ => Self::Partial,
        }
    }
}

/// How many events of each of these batches are in `events`. Batches without any are left out. It says nothing about the
/// rollups: their parts are written after those of `events`.
pub async fn count_stored_events(
    clickhouse: &ClickHouse,
    batches: &[Uuid],
) -> Result<HashMap<Uuid, u64>, ClickHouseError> {
    #[derive(Row, Serialize, Deserialize)]
    struct StoredBatch {
        id: String,
        events: u64,
    }
    let client = clickhouse.client()?;
    let mut stored = HashMap::with_capacity(batches.len());
    for batches in batches.chunks(BATCHES_PER_LOOKUP) {
        let query = "SELECT toString(batch) AS id, count() AS events FROM events WHERE batch IN {batches:Array(UUID)} GROUP BY batch";
        let found: Vec<StoredBatch> = client.query_raw(query).param("batches", batches).fetch_all().await?;
        stored.extend(
            found.into_iter().filter_map(|batch| Some((Uuid::parse_str(&batch.id).ok()?, batch.events))),
        );
    }
    Ok(stored)
}

/// How many parts of this database's tables the engine found broken when it started, and set aside in `detached/`.
pub async fn count_broken_parts(clickhouse: &ClickHouse) -> Result<u64, ClickHouseError> {
    let query = "SELECT count() FROM system.detached_parts WHERE database = currentDatabase() AND reason LIKE 'broken%'";
    Ok(clickhouse.client()?.query_raw(query).fetch_one().await?)
}

/// Deletes every event of these batches, and returns when they are gone.
pub async fn delete_events(clickhouse: &ClickHouse, batches: &[Uuid]) -> Result<(), ClickHouseError> {
    for batches in batches.chunks(BATCHES_PER_LOOKUP) {
        let delete =
            clickhouse.client()?.query_raw("DELETE FROM events WHERE batch IN {batches:Array(UUID)}");
        delete.param("batches", batches).with_setting("lightweight_deletes_sync", "2").execute().await?;
    }
    Ok(())
}

/// A table beside `events` whose rows go into it past the views, and without a token.
#[derive(Debug)]
pub struct StagingTable<'a>(&'a ClickHouse);

impl<'a> StagingTable<'a> {
    const TABLE: &'static str = "events_repaired";

    /// Makes it. What an earlier one held is dropped.
    pub async fn create(clickhouse: &'a ClickHouse) -> Result<Self, ClickHouseError> {
        let staging = Self(clickhouse);
        staging.drop().await?;
        clickhouse.client()?.query_raw("CREATE TABLE events_repaired AS events").execute().await?;
        Ok(staging)
    }

    /// Inserts a batch in the Native format into it.
    pub async fn insert(
        &self,
        columns: &str,
        body: Vec<Bytes>,
        batch_id: Uuid,
    ) -> Result<(), ClickHouseError> {
        self.0.insert_native(Self::TABLE, columns, body, &batch_id.to_string()).await
    }

    /// Moves its rows into `events`, a partition at a time.
    pub async fn attach(self) -> Result<(), ClickHouseError> {
        let client = self.0.client()?;
        let partitions = "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() \
                          AND table = {table:String} ORDER BY partition_id";
        let partitions = client.query_raw(partitions).param("table", Self::TABLE);
        for id in partitions.fetch_all::<String>().await? {
            // Copies by hard links.
            let attach = format!("ALTER TABLE events ATTACH PARTITION ID '{id}' FROM {}", Self::TABLE);
            client.query_raw(&attach).execute().await?;
        }
        self.drop().await
    }

    async fn drop(&self) -> Result<(), ClickHouseError> {
        Ok(self.0.client()?.query_raw("DROP TABLE IF EXISTS events_repaired SYNC").execute().await?)
    }
}

/// Waits until ClickHouse carries out nothing any more that changes `events` or a rollup: an insert or a deletion of a
/// caller that is gone, or a deletion that goes on after the engine was started again. Merges do not count.
pub async fn wait_until_quiescent(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    poll_until_quiescent(&clickhouse.client()?).await
}

pub(super) async fn poll_until_quiescent(client: &Client) -> Result<(), ClickHouseError> {
    let rollups = ROLLUPS.iter().flat_map(|rollup| [rollup.minutes_table, rollup.levels_table]);
    let tables: Vec<&str> = ["events"].into_iter().chain(rollups).collect();
    let statements = format!(
        "SELECT count() FROM system.processes WHERE query_kind IN ('Insert', 'Delete', 'Alter') AND \
         current_database = currentDatabase() AND \
         match(query, '(?i)^(INSERT INTO|DELETE FROM|ALTER TABLE) ({})\\\\b')",
        tables.join("|")
    );
    let deletions = "SELECT count() FROM system.mutations WHERE NOT is_done AND database = currentDatabase() AND \
                     table IN {tables:Array(String)} AND command LIKE '%\\\\_row\\\\_exists%'";
    let count = async |query: &str| client.query_raw(query).param("tables", &tables).fetch_one::<u64>().await;
    let quiescent = async {
        while count(&statements).await? + count(deletions).await? > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    };
    let timed_out = || {
        ClickHouseError::unreachable("inserts or deletions that were under way did not end within a minute")
    };
    tokio::time::timeout(QUIESCENCE_TIMEOUT, quiescent).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Recomputes the rows of every rollup for the quarters of an hour that these batches have events in, and for the longer
/// steps that hold such a quarter. Returns the number of quarters.
///
/// Nothing may be inserted meanwhile. It can be repeated: rows are deleted before they are written.
pub async fn recompute_rollups(clickhouse: &ClickHouse, batches: &[Uuid]) -> Result<u64, ClickHouseError> {
    let client = clickhouse.client()?;
    let mut quarters = BTreeSet::new();
    for batches in batches.chunks(BATCHES_PER_LOOKUP) {
        let query = format!(
            "SELECT DISTINCT toUInt32(intDiv(toUnixTimestamp(timestamp), {QUARTER_SECONDS})) FROM events \
             WHERE batch IN {{batches:Array(UUID)}}"
        );
        quarters.extend(client.query_raw(&query).param("batches", batches).fetch_all::<u32>().await?);
    }
    let quarters: Vec<u32> = quarters.into_iter().collect();
    for quarters in quarters.chunks(QUARTERS_PER_RECOMPUTE) {
        let span = RecomputeSpan::of_quarters(quarters.to_vec());
        // Most of the time is waiting for deletions, which ClickHouse carries out in its background.
        try_join_all(ROLLUPS.iter().map(|rollup| recompute_rollup(&client, rollup, &span))).await?;
    }
    Ok(quarters.len() as u64)
}

async fn recompute_rollup(
    client: &Client,
    rollup: &Rollup,
    span: &RecomputeSpan,
) -> Result<(), ClickHouseError> {
    // The view of the steps is fed by what is written to the minutes, so the steps come last.
    Rollup::delete_minute_rows(client, rollup.minutes_table, span).await?;
    rollup.write_minute_rows(client, rollup.minutes_table, span).await?;
    Rollup::delete_level_rows(client, rollup.levels_table, span).await?;
    rollup.write_level_rows(client, rollup.levels_table, rollup.minutes_table, span).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_complete_only_with_every_event_once() {
        assert_eq!(BatchPresence::from_counts(3, 0), BatchPresence::Absent);
        assert_eq!(BatchPresence::from_counts(3, 2), BatchPresence::Partial);
        assert_eq!(BatchPresence::from_counts(3, 3), BatchPresence::Complete);
        assert_eq!(BatchPresence::from_counts(3, 6), BatchPresence::Partial);
    }
}
