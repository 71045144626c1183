//! Reconciliation: makes ClickHouse hold exactly the batches of the journal after an unclean boot or an interrupted insert.
//!
//! ClickHouse syncs neither the parts of an insert nor its log of deduplication tokens. A power cut can remove a landed
//! batch from some partitions, from `events` or from the rollup. A token can survive its part, and a part its
//! token. For recently inserted batches, neither the landed record nor the token can therefore be trusted. Each such
//! batch is counted by the column `batch`:
//!
//! | in `events` | action |
//! | --- | --- |
//! | every event, once | none |
//! | nothing | insert the batch again |
//! | some events, or some twice | delete its rows, then insert the batch again |
//!
//! A repair inserts into a staging table and attaches its partitions to `events`, which bypasses the deduplication tokens.
//! Afterwards the rollup rows of every quarter of an hour in which a batch has events are recomputed from `events`, even if
//! they look correct: a rollup that lost one batch and has another one twice has correct sums and wrong sets.
//!
//! # Preconditions
//!
//! - Nothing else of this server inserts at the same time, and other servers cannot (`clickhouse/exclusive.rs`). The function
//!   waits for inserts and mutations that ClickHouse still executes for an earlier process, or continues after a restart.
//! - `expected` contains every batch that may have been sent to ClickHouse and may not be durable there: batches that landed
//!   after the last checkpoint, sealed batches that have not landed, and waiting dead letters.
//! - After a crash in the middle, it runs again with the same batches before any other insert. The boot marker therefore
//!   stays unclean until it returns `Ok`.
//! - A repair is no more durable than any insert. The files of an embedded ClickHouse are synced before the function
//!   returns; for a server, the writeback delay starts again.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::columns::EventColumns;
use super::durability::Durability;
use crate::clickhouse::batches::{self, BatchPresence};
use crate::clickhouse::exclusive::exclusively;
use crate::clickhouse::{ClickHouse, ClickHouseError, ErrorKind};

/// A batch that ClickHouse must hold exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedBatch {
    pub batch_id: Uuid,
    /// Number of events, from the seal or the dead letter.
    pub events: u64,
}

/// The readable events of a batch.
#[derive(Clone, Debug)]
pub struct BatchBody {
    /// Number of events in `native`: fewer than expected if the journal is damaged.
    pub events: u64,
    /// The body of the INSERT in the Native format, in chunks.
    pub native: Vec<Bytes>,
}

impl BatchBody {
    pub fn from_columns(columns: EventColumns, batch_id: Uuid) -> Self {
        Self { events: u64::from(columns.rows()), native: columns.into_native(batch_id) }
    }
}

/// The outcome for each expected batch.
#[derive(Debug, Default)]
pub struct ReconcileReport {
    /// Number of batches that were complete, every event once.
    pub complete: u64,
    /// Batches that were inserted again and are complete now.
    pub repaired: Vec<Uuid>,
    /// Batches that ClickHouse does not accept, with its error. None of their events is stored; dead-letter them.
    pub rejected: Vec<(Uuid, ClickHouseError)>,
    /// Batches that are still incomplete after the insert, or of which the journal has lost events. Their stored events
    /// stay; no further repair is possible.
    pub incomplete: Vec<Uuid>,
    /// Number of quarters of an hour whose rollup rows were recomputed.
    pub quarter_hours: u64,
}

/// Why reconciliation failed. Run it again with the same batches before any other insert.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("cannot reconcile ClickHouse with the journal: {0}")]
    ClickHouse(#[from] ClickHouseError),
    /// Repaired batches may not be durable.
    #[error("cannot sync ClickHouse's files after reconciliation: {0}")]
    Sync(io::Error),
    /// The journal or a dead letter cannot be read.
    #[error("cannot read a batch that ClickHouse has lost: {0}")]
    Read(#[from] io::Error),
}

/// Compares and repairs the expected batches; see the module documentation. `load` reads the events of a damaged batch.
pub async fn reconcile<F>(
    clickhouse: &ClickHouse,
    durability: &Durability,
    expected: &[ExpectedBatch],
    load: impl Fn(Uuid) -> F,
) -> Result<ReconcileReport, ReconcileError>
where
    F: Future<Output = io::Result<BatchBody>>,
{
    if expected.is_empty() {
        return Ok(ReconcileReport::default());
    }
    let started = Instant::now();
    let ids: Vec<Uuid> = expected.iter().map(|batch| batch.batch_id).collect();
    let repair_all = async |clickhouse: &ClickHouse| -> Result<ReconcileReport, ReconcileError> {
        let mut report = ReconcileReport::default();
        batches::wait_until_quiescent(clickhouse).await?;
        let stored = batches::count_stored_events(clickhouse, &ids).await?;
        let stored_count = |batch_id| stored.get(&batch_id).copied().unwrap_or(0);
        let is_damaged = |batch: &ExpectedBatch| {
            BatchPresence::from_counts(batch.events, stored_count(batch.batch_id)) != BatchPresence::Complete
        };
        let damaged: Vec<ExpectedBatch> = expected.iter().copied().filter(is_damaged).collect();
        report.complete = (expected.len() - damaged.len()) as u64;
        if !damaged.is_empty() {
            repair(clickhouse, &damaged, stored_count, &load, &mut report).await?;
        }
        report.quarter_hours = batches::recompute_rollup(clickhouse, &ids).await?;
        durability.sync().await.map_err(ReconcileError::Sync)?;
        Ok(report)
    };
    let report = exclusively(clickhouse, repair_all).await?;
    tracing::info!(
        complete = report.complete,
        repaired = report.repaired.len(),
        rejected = report.rejected.len(),
        incomplete = report.incomplete.len(),
        quarter_hours = report.quarter_hours,
        elapsed_ms = started.elapsed().as_millis(),
        "reconciled ClickHouse with the journal"
    );
    Ok(report)
}

/// Makes ClickHouse hold one batch exactly once after an insert of unknown outcome. The token alone is not enough: an engine
/// that crashes during an insert may store the token of a part, in `events` or in a rollup, without the part.
pub(super) async fn store_unconfirmed(
    clickhouse: &ClickHouse,
    durability: &Durability,
    batch_id: Uuid,
    events: u64,
    native: &[Bytes],
) -> Result<(), ClickHouseError> {
    let load = async |_| Ok(BatchBody { events, native: native.to_vec() });
    let mut report =
        match reconcile(clickhouse, durability, &[ExpectedBatch { batch_id, events }], load).await {
            Ok(report) => report,
            Err(ReconcileError::ClickHouse(error)) => return Err(error),
            Err(ReconcileError::Read(error) | ReconcileError::Sync(error)) => {
                return Err(ClickHouseError::unreachable(error.to_string()));
            }
        };
    report.rejected.pop().map_or(Ok(()), |(_, error)| Err(error))
}

/// Makes `events` hold the damaged batches exactly once.
async fn repair<F>(
    clickhouse: &ClickHouse,
    damaged: &[ExpectedBatch],
    stored_count: impl Fn(Uuid) -> u64,
    load: &impl Fn(Uuid) -> F,
    report: &mut ReconcileReport,
) -> Result<(), ReconcileError>
where
    F: Future<Output = io::Result<BatchBody>>,
{
    let staging = batches::StagingTable::create(clickhouse).await?;
    let (mut reinserted, mut to_delete) = (HashMap::new(), Vec::new());
    for &ExpectedBatch { batch_id, events } in damaged {
        let (stored, body) = (stored_count(batch_id), load(batch_id).await?);
        let readable = body.events;
        if readable < events && stored >= readable && stored <= events {
            tracing::error!(
                batch = %batch_id, events, stored, readable,
                "a batch is incomplete; the damaged journal has no further events of it"
            );
            report.incomplete.push(batch_id);
            continue;
        }
        match staging.insert(body.native, batch_id).await {
            Ok(()) => {
                reinserted.insert(batch_id, readable);
            }
            Err(error) if error.kind == ErrorKind::Permanent => report.rejected.push((batch_id, error)),
            Err(error) => return Err(error.into()),
        }
        if stored > 0 {
            to_delete.push(batch_id);
        }
    }
    batches::delete_events(clickhouse, &to_delete).await?;
    staging.attach().await?;
    let inserted: Vec<Uuid> = reinserted.keys().copied().collect();
    let stored = batches::count_stored_events(clickhouse, &inserted).await?;
    for &ExpectedBatch { batch_id, events } in damaged {
        let Some(&readable) = reinserted.get(&batch_id) else { continue };
        let stored = stored.get(&batch_id).copied().unwrap_or(0);
        if stored == events {
            tracing::info!(batch = %batch_id, events, "repaired a batch");
            report.repaired.push(batch_id);
        } else {
            // ClickHouse drops events that have passed the retention as soon as they are inserted.
            tracing::error!(batch = %batch_id, events, readable, stored, "a batch is incomplete after its repair");
            report.incomplete.push(batch_id);
        }
    }
    Ok(())
}
