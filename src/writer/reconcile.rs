//! Makes ClickHouse hold exactly what the journal says, after the machine went down without warning.
//!
//! ClickHouse syncs neither the parts of an insert nor its log of deduplication tokens. A power cut can take a batch that
//! had landed, in some partitions, in `events` or in some of the rollups; and a token can survive its part, or a part its
//! token. So neither "it had landed" nor the batch's token can be trusted for what was inserted a short while before, and
//! each of these batches is looked up by the column `batch`:
//!
//! | in `events` | then |
//! | --- | --- |
//! | every event, once | it stays |
//! | nothing | it is inserted again |
//! | some events, or some twice | its rows are deleted, then it is inserted again |
//!
//! It is inserted into a table beside `events`, whose partitions are then attached: so no token has a say, and the views of
//! the rollups do not see it. Afterwards the rollups' rows of every quarter of an hour that a batch has events in are recomputed from `events`, whether
//! or not they look right: a rollup that lost one batch and got another twice has the right sums and the wrong sets.
//!
//! # What it relies on
//!
//! - Nothing else inserts meanwhile. It waits for inserts and deletions that ClickHouse still carries out for a process that
//!   is gone, or that its engine goes on with after a restart.
//! - The batches are all those that may have been sent to ClickHouse and are not known to be on its disk: those that landed
//!   within the grace time, those that were sealed and have not landed, and dead letters that wait.
//! - Killed in the middle, it is run again with the same batches before anything else is inserted. So the journal keeps
//!   saying that the machine's start was unclean until this has returned `Ok`.
//! - What it wrote is no safer than any insert. Where ClickHouse is on this machine, its file system is synced before it
//!   returns; elsewhere the batches' grace time begins again.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::columns::{COLUMN_NAMES, EventColumns};
use super::durability::Durability;
use crate::clickhouse::batches::{self, BatchPresence};
use crate::clickhouse::{ClickHouse, ClickHouseError, ErrorKind};

/// A batch that ClickHouse is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedBatch {
    /// Its id.
    pub batch_id: Uuid,
    /// How many events it has.
    pub events: u64,
}

/// The events of a batch, as they are to be inserted.
#[derive(Clone, Debug)]
pub struct BatchBody {
    /// How many there are. Fewer than expected where the journal is damaged.
    pub events: u64,
    /// The body of the INSERT in the Native format.
    pub native: Vec<Bytes>,
}

impl BatchBody {
    /// Of these columns.
    pub fn from_columns(columns: EventColumns, batch_id: Uuid) -> Self {
        Self { events: u64::from(columns.rows()), native: columns.into_native(batch_id) }
    }
}

/// What was found and done.
#[derive(Debug, Default)]
pub struct ReconcileReport {
    /// Batches that were there, every event once.
    pub complete: u64,
    /// Batches that were inserted again.
    pub repaired: Vec<Uuid>,
    /// Batches that ClickHouse refuses, and why. No event of them is stored: they are to be dead-lettered.
    pub rejected: Vec<(Uuid, ClickHouseError)>,
    /// Batches that are not as expected although they were inserted, or that the journal no longer holds whole. What is
    /// stored of them stays; nothing more can be done.
    pub incomplete: Vec<Uuid>,
    /// Quarters of an hour whose rollup rows were recomputed.
    pub quarter_hours: u64,
}

/// Why it could not be finished. Nothing may be inserted before it was run again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// ClickHouse did not carry something out.
    #[error("what ClickHouse holds cannot be compared with the journal: {0}")]
    ClickHouse(#[from] ClickHouseError),
    /// What was repaired may not be on the disk.
    #[error("ClickHouse's files cannot be synced: {0}")]
    Sync(io::Error),
    /// The journal or a dead letter cannot be read.
    #[error("a batch that ClickHouse has lost cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Checks and repairs; see the module. `read` gives a batch's events, as its seal has them.
pub async fn reconcile<F>(
    clickhouse: &ClickHouse,
    durability: &Durability,
    expected: &[ExpectedBatch],
    read: impl Fn(Uuid) -> F,
) -> Result<ReconcileReport, ReconcileError>
where
    F: Future<Output = io::Result<BatchBody>>,
{
    let mut report = ReconcileReport::default();
    if expected.is_empty() {
        return Ok(report);
    }
    let started = Instant::now();
    batches::wait_until_quiescent(clickhouse).await?;
    let ids: Vec<Uuid> = expected.iter().map(|batch| batch.batch_id).collect();
    let stored = batches::count_stored_events(clickhouse, &ids).await?;
    let stored_count = |batch_id| stored.get(&batch_id).copied().unwrap_or(0);
    let damaged: Vec<ExpectedBatch> = expected
        .iter()
        .filter(|batch| {
            BatchPresence::from_counts(batch.events, stored_count(batch.batch_id)) != BatchPresence::Complete
        })
        .copied()
        .collect();
    report.complete = (expected.len() - damaged.len()) as u64;
    if !damaged.is_empty() {
        repair(clickhouse, &damaged, stored_count, &read, &mut report).await?;
    }
    report.quarter_hours = batches::recompute_rollups(clickhouse, &ids).await?;
    durability.sync().await.map_err(ReconcileError::Sync)?;
    tracing::warn!(
        complete = report.complete,
        repaired = report.repaired.len(),
        rejected = report.rejected.len(),
        incomplete = report.incomplete.len(),
        quarters = report.quarter_hours,
        ms = started.elapsed().as_millis(),
        "ClickHouse holds what the journal says"
    );
    Ok(report)
}

/// Makes ClickHouse hold one batch exactly once whose earlier insert may have ended halfway. Its token alone does not do:
/// an engine that dies in the middle may remember the token of a part, of `events` or of a rollup, that it does not have.
pub(super) async fn store_unconfirmed(
    clickhouse: &ClickHouse,
    durability: &Durability,
    batch_id: Uuid,
    events: u64,
    native: &[Bytes],
) -> Result<(), ClickHouseError> {
    let read = async |_| Ok(BatchBody { events, native: native.to_vec() });
    let mut report =
        match reconcile(clickhouse, durability, &[ExpectedBatch { batch_id, events }], read).await {
            Ok(report) => report,
            Err(ReconcileError::ClickHouse(error)) => return Err(error),
            Err(ReconcileError::Read(error) | ReconcileError::Sync(error)) => {
                return Err(ClickHouseError::unreachable(error.to_string()));
            }
        };
    report.rejected.pop().map_or(Ok(()), |(_, error)| Err(error))
}

/// Makes `events` hold these batches exactly once.
async fn repair<F>(
    clickhouse: &ClickHouse,
    damaged: &[ExpectedBatch],
    stored_count: impl Fn(Uuid) -> u64,
    read: &impl Fn(Uuid) -> F,
    report: &mut ReconcileReport,
) -> Result<(), ReconcileError>
where
    F: Future<Output = io::Result<BatchBody>>,
{
    let staging = batches::StagingTable::create(clickhouse).await?;
    let (mut reinserted, mut to_delete) = (HashMap::new(), Vec::new());
    for &ExpectedBatch { batch_id, events } in damaged {
        let (stored, body) = (stored_count(batch_id), read(batch_id).await?);
        let readable = body.events;
        if readable < events && stored >= readable && stored <= events {
            tracing::error!(batch = %batch_id, events, stored, readable, "a batch is incomplete, and the journal has no more of it");
            report.incomplete.push(batch_id);
            continue;
        }
        match staging.insert(COLUMN_NAMES, body.native, batch_id).await {
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
            tracing::info!(batch = %batch_id, events, "a batch was inserted again");
            report.repaired.push(batch_id);
        } else {
            // Events that are older than the retention by now are dropped as soon as they are inserted.
            tracing::error!(batch = %batch_id, events, readable, stored, "a batch is not complete after it was inserted again");
            report.incomplete.push(batch_id);
        }
    }
    Ok(())
}
