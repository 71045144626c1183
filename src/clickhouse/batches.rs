//! Batches as ClickHouse stores them, identified by the column `batch`, and the operations that repair them.
//!
//! Needed where a deduplication token cannot be trusted: it has expired because of the number of later inserts, it was lost
//! in a power cut, or an insert got no response.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rollups::{CompleteSince, ROLLUP, RecomputeSpan};
use super::template::render;
use super::{ClickHouse, ClickHouseError};

const BATCH_EVENT_COUNTS: &str = include_str!("../../queries/maintenance/batch_event_counts.sql");
pub(super) const BATCH_QUARTER_HOURS: &str =
    include_str!("../../queries/maintenance/batch_quarter_hours.sql");
const COPIES: &str = include_str!("../../queries/maintenance/copies.sql");
const BROKEN_PARTS: &str = include_str!("../../queries/maintenance/broken_parts.sql");
const RUNNING_WRITES: &str = include_str!("../../queries/maintenance/running_writes.sql");
const PENDING_DELETES: &str = include_str!("../../queries/maintenance/pending_deletes.sql");
const PARTITIONS: &str = include_str!("../../queries/maintenance/partitions.sql");

/// Batches per statement: their ids are a parameter in the URL, 45 bytes each.
const BATCHES_PER_STATEMENT: usize = 250;
/// Quarter hours per recomputation, a parameter in the URL: at least ten days.
const QUARTER_HOURS_PER_RECOMPUTE: usize = 1_000;
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long running inserts and deletes may take to end. The client gives up after
/// `INSERT_TIMEOUT`, but ClickHouse may continue the insert.
const QUIESCENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of a batch `events` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchPresence {
    /// No event.
    Absent,
    /// Every event, once.
    Complete,
    /// Some of the events, or some of them twice.
    Partial,
}

impl BatchPresence {
    /// Compares the number of events that a batch has with the number that is stored.
    pub fn from_counts(events: u64, stored: u64) -> Self {
        match stored {
            0 => Self::Absent,
            _ if stored == events => Self::Complete,
            _ => Self::Partial,
        }
    }
}

/// Counts the stored events of each batch. Batches without any have no entry. Says nothing about the rollups, whose parts
/// are written after those of `events`.
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
    for batches in batches.chunks(BATCHES_PER_STATEMENT) {
        let found: Vec<StoredBatch> =
            client.query_raw(BATCH_EVENT_COUNTS).param("batches", batches).fetch_all().await?;
        stored.extend(
            found.into_iter().filter_map(|batch| Some((Uuid::parse_str(&batch.id).ok()?, batch.events))),
        );
    }
    Ok(stored)
}

/// Counts the parts of this database that the engine found broken at its start and moved to `detached/`.
pub(crate) async fn count_broken_parts(clickhouse: &ClickHouse) -> Result<u64, ClickHouseError> {
    Ok(clickhouse.client()?.query_raw(BROKEN_PARTS).fetch_one().await?)
}

/// Deletes every event of the batches. Returns when they are gone.
pub(crate) async fn delete_events(clickhouse: &ClickHouse, batches: &[Uuid]) -> Result<(), ClickHouseError> {
    for batches in batches.chunks(BATCHES_PER_STATEMENT) {
        let delete =
            clickhouse.client()?.query_raw("DELETE FROM events WHERE batch IN {batches:Array(UUID)}");
        delete.param("batches", batches).with_setting("lightweight_deletes_sync", "2").execute().await?;
    }
    Ok(())
}

/// How many events of a batch, by their given ids, other batches of any shard have too.
pub(crate) async fn count_copies(
    shard: &ClickHouse,
    reader: &ClickHouse,
    batch_id: Uuid,
) -> Result<u64, ClickHouseError> {
    let count = format!("SELECT count() FROM ({})", copies(shard, reader));
    let count = shard.client()?.query_raw(&count).param("batch", batch_id);
    Ok(count.fetch_one().await?)
}

/// Deletes the events of a batch that other batches have too, and recomputes the rollup for them. Nothing may be inserted meanwhile.
pub(crate) async fn delete_copies(
    shard: &ClickHouse,
    reader: &ClickHouse,
    batch_id: Uuid,
) -> Result<(), ClickHouseError> {
    // Before: nothing of the batch may be left.
    let quarter_hours = quarter_hours_of(shard, &[batch_id]).await?;
    let delete = format!(
        "DELETE FROM events WHERE toUInt128(batch) = toUInt128({{batch:UUID}}) AND given_event_id IN ({})",
        copies(shard, reader)
    );
    let delete = shard.client()?.query_raw(&delete).param("batch", batch_id);
    delete.with_setting("lightweight_deletes_sync", "2").execute().await?;
    recompute_quarter_hours(shard, quarter_hours).await?;
    Ok(())
}

fn copies(shard: &ClickHouse, reader: &ClickHouse) -> String {
    let table = |clickhouse: &ClickHouse| format!("`{}`.events", clickhouse.database());
    render(COPIES, [("events", table(shard)), ("all_events", table(reader))])
}

/// A copy of the empty table `events`. Its rows are attached to `events` past deduplication.
#[derive(Debug)]
pub(crate) struct StagingTable<'a>(&'a ClickHouse);

impl<'a> StagingTable<'a> {
    const TABLE: &'static str = "events_repaired";

    /// Creates the table, empty. Drops an earlier one.
    pub(crate) async fn create(clickhouse: &'a ClickHouse) -> Result<Self, ClickHouseError> {
        let staging = Self(clickhouse);
        staging.drop().await?;
        create_copy(clickhouse, Self::TABLE, "events").await?;
        Ok(staging)
    }

    /// Inserts a batch in the Native format.
    pub(crate) async fn insert(&self, body: Vec<Bytes>, batch_id: Uuid) -> Result<(), ClickHouseError> {
        self.0.insert_native(Self::TABLE, body, &batch_id.to_string()).await
    }

    /// Attaches the rows to `events`, one partition at a time, and drops the table.
    pub(crate) async fn attach(self) -> Result<(), ClickHouseError> {
        let client = self.0.client()?;
        for id in partition_ids(&client, &[Self::TABLE]).await? {
            // Hard links, not copies.
            let attach = format!("ALTER TABLE events ATTACH PARTITION ID '{id}' FROM {}", Self::TABLE);
            client.query_raw(&attach).execute().await?;
        }
        self.drop().await
    }

    async fn drop(&self) -> Result<(), ClickHouseError> {
        Ok(self.0.client()?.query_raw("DROP TABLE IF EXISTS events_repaired SYNC").execute().await?)
    }
}

/// Creates an empty table like another one. On a cluster it is not replicated: it lives only as long as an operation.
pub(super) async fn create_copy(
    clickhouse: &ClickHouse,
    copy: &str,
    table: &str,
) -> Result<(), ClickHouseError> {
    let client = clickhouse.client()?;
    let mut create = format!("CREATE TABLE {copy} AS {table}");
    if clickhouse.shard().is_some() {
        let engine = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}";
        let engine: String = client.query_raw(engine).param("table", table).fetch_one().await?;
        create.push_str(&format!(" ENGINE = {}", unreplicated(&engine)));
    }
    Ok(client.query_raw(&create).execute().await?)
}

/// `ReplicatedXMergeTree('path', 'replica', more) …` without replication.
fn unreplicated(engine: &str) -> String {
    let parts = || {
        let (name, rest) = engine.strip_prefix("Replicated")?.split_once('(')?;
        let (parameters, rest) = rest.split_once(')')?;
        // A path has no commas.
        let own: Vec<&str> = parameters.split(", ").skip(2).collect();
        let own = if own.is_empty() { String::new() } else { format!("({})", own.join(", ")) };
        Some(format!("{name}{own}{rest}"))
    };
    parts().unwrap_or_else(|| engine.to_owned())
}

/// The ids of all partitions that any of the tables has.
pub(super) async fn partition_ids(client: &Client, tables: &[&str]) -> Result<Vec<String>, ClickHouseError> {
    Ok(client.query_raw(PARTITIONS).param("tables", tables).fetch_all().await?)
}

/// Waits until nothing changes `events` or the rollup: no insert or delete of a client that is gone, and no delete that
/// continues after a restart of the engine. Merges do not count. Fails after [`QUIESCENCE_TIMEOUT`].
pub(crate) async fn wait_until_quiescent(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    let client = &clickhouse.client()?;
    let tables = ["events", ROLLUP];
    // Of a cluster's shard: on all of its replicas.
    let (processes, of_shard) = match clickhouse.shard() {
        Some(shard) => shard.processes(),
        None => ("system.processes".to_owned(), "1".to_owned()),
    };
    let running_writes = render(RUNNING_WRITES, [("processes", processes), ("of_shard", of_shard)]);
    let count =
        async |query: &str| client.query_raw(query).param("tables", &tables[..]).fetch_one::<u64>().await;
    let quiescent = async {
        // In this order: a statement that is aborted may leave a mutation, never the other way round.
        while count(&running_writes).await? + count(PENDING_DELETES).await? > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    };
    let timed_out = || {
        ClickHouseError::unreachable(
            "ClickHouse did not become idle within a minute: an insert or a delete is still running, or it does not respond",
        )
    };
    tokio::time::timeout(QUIESCENCE_TIMEOUT, quiescent).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Recomputes the rollup for the quarter hours in which the batches have events, and for the days around them. Returns the
/// number of quarter hours. Those of which events have expired keep their rows.
///
/// Nothing may be inserted meanwhile. It can be repeated after a failure: rows are deleted before they are written.
pub(crate) async fn recompute_rollup(
    clickhouse: &ClickHouse,
    batches: &[Uuid],
) -> Result<u64, ClickHouseError> {
    let quarter_hours = quarter_hours_of(clickhouse, batches).await?;
    recompute_quarter_hours(clickhouse, quarter_hours).await
}

async fn quarter_hours_of(
    clickhouse: &ClickHouse,
    batches: &[Uuid],
) -> Result<BTreeSet<u32>, ClickHouseError> {
    let client = clickhouse.client()?;
    let mut quarter_hours = BTreeSet::new();
    for batches in batches.chunks(BATCHES_PER_STATEMENT) {
        let query = client.query_raw(BATCH_QUARTER_HOURS).param("batches", batches);
        quarter_hours.extend(query.fetch_all::<u32>().await?);
    }
    Ok(quarter_hours)
}

async fn recompute_quarter_hours(
    clickhouse: &ClickHouse,
    quarter_hours: BTreeSet<u32>,
) -> Result<u64, ClickHouseError> {
    let client = clickhouse.client()?;
    let (statements, complete) = (clickhouse.rollup_statements(), CompleteSince::query(&client).await?);
    let quarter_hours: Vec<u32> = quarter_hours.into_iter().collect();
    let mut recomputed = 0;
    for chunk in quarter_hours.chunks(QUARTER_HOURS_PER_RECOMPUTE) {
        if let Some(span) = RecomputeSpan::of_quarter_hours(chunk, complete) {
            statements.recompute(&client, "events", ROLLUP, &span).await?;
            recomputed += span.quarter_hours();
        }
    }
    let skipped = quarter_hours.len() - recomputed;
    if skipped > 0 {
        tracing::warn!(
            quarter_hours = skipped,
            "rollup rows of quarter hours with expired events are not recomputed"
        );
    }
    Ok(recomputed as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_not_replicated() {
        assert_eq!(
            unreplicated(
                "ReplicatedMergeTree('/clickhouse/tables/{shard}/m/events', '{replica}') PARTITION BY toMonday(date)"
            ),
            "MergeTree PARTITION BY toMonday(date)"
        );
        assert_eq!(
            unreplicated("ReplicatedReplacingMergeTree('/a', '{replica}', version) ORDER BY name"),
            "ReplacingMergeTree(version) ORDER BY name"
        );
        assert_eq!(unreplicated("MergeTree ORDER BY a"), "MergeTree ORDER BY a");
    }

    #[test]
    fn a_batch_is_complete_only_with_every_event_once() {
        assert_eq!(BatchPresence::from_counts(3, 0), BatchPresence::Absent);
        assert_eq!(BatchPresence::from_counts(3, 2), BatchPresence::Partial);
        assert_eq!(BatchPresence::from_counts(3, 3), BatchPresence::Complete);
        assert_eq!(BatchPresence::from_counts(3, 6), BatchPresence::Partial);
    }
}
