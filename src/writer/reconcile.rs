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
//! - Nothing else inserts meanwhile. It waits for inserts that ClickHouse still carries out for a process that is gone.
//! - The batches are all those that may have been sent to ClickHouse and are not known to be on its disk: those that landed
//!   within the grace time, those that were sealed and have not landed, and dead letters that wait.
//! - Killed in the middle, it is run again with the same batches before anything else is inserted. So the journal keeps
//!   saying that the machine's start was unclean until this has returned `Ok`.
//! - What it wrote is no safer than any insert. Where ClickHouse is on this machine, its file system is synced before it
//!   returns; elsewhere the batches' grace time begins again.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Instant;

use uuid::Uuid;

use super::columns::{COLUMN_NAMES, EventColumns};
use super::insert::blocking;
use crate::clickhouse::batches::{self, Stored};
use crate::clickhouse::{ClickHouse, ClickHouseError, ErrorKind};
use crate::journal::JournalError;

/// A batch that ClickHouse is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its id.
    pub batch_id: Uuid,
    /// How many events it has.
    pub events: u64,
}

/// What was found and done.
#[derive(Debug, Default)]
pub struct Report {
    /// Batches that were there, every event once.
    pub complete: u64,
    /// Batches that were inserted again.
    pub repaired: Vec<Uuid>,
    /// Batches that ClickHouse refuses, and why. No event of them is stored: they are to be dead-lettered.
    pub refused: Vec<(Uuid, ClickHouseError)>,
    /// Batches that are not as expected although they were inserted, or that the journal no longer holds whole. What is
    /// stored of them stays; nothing more can be done.
    pub incomplete: Vec<Uuid>,
    /// Quarters of an hour whose rollup rows were recomputed.
    pub quarters: u64,
}

/// Why it could not be finished. Nothing may be inserted before it was run again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// ClickHouse did not carry something out.
    #[error("what ClickHouse holds cannot be compared with the journal: {0}")]
    ClickHouse(#[from] ClickHouseError),
    /// What was repaired may not be on the disk.
    #[error("{}: the file system of the embedded ClickHouse cannot be synced: {source}", folder.display())]
    Sync {
        /// The engine's folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal cannot be read.
    #[error("a batch that ClickHouse has lost cannot be read from the journal: {0}")]
    Journal(#[from] JournalError),
}

/// Checks and repairs; see the module. `folder` is where the embedded ClickHouse keeps its data; none for a server. `read` gives a
/// batch's events, as its seal has them.
pub async fn reconcile<F>(
    clickhouse: &ClickHouse,
    folder: Option<&Path>,
    expected: &[Expected],
    read: impl Fn(Uuid) -> F,
) -> Result<Report, ReconcileError>
where
    F: Future<Output = Result<EventColumns, JournalError>>,
{
    let mut report = Report::default();
    if expected.is_empty() {
        return Ok(report);
    }
    let started = Instant::now();
    tracing::warn!(
        batches = expected.len(),
        "the machine was not shut down cleanly; the newest batches are compared with ClickHouse"
    );
    batches::wait_for_inserts(clickhouse).await?;
    let ids: Vec<Uuid> = expected.iter().map(|batch| batch.batch_id).collect();
    let stored = batches::stored_events(clickhouse, &ids).await?;
    let stored_of = |batch_id| stored.get(&batch_id).copied().unwrap_or(0);
    let damaged: Vec<Expected> = expected
        .iter()
        .filter(|batch| Stored::of(batch.events, stored_of(batch.batch_id)) != Stored::Complete)
        .copied()
        .collect();
    report.complete = (expected.len() - damaged.len()) as u64;
    if !damaged.is_empty() {
        repair(clickhouse, &damaged, stored_of, &read, &mut report).await?;
    }
    report.quarters = batches::recompute_rollups(clickhouse, &ids).await?;
    if let Some(folder) = folder {
        let path = folder.to_owned();
        let synced = blocking(move || sync_file_system(&path)).await;
        synced.map_err(|source| ReconcileError::Sync { folder: folder.to_owned(), source })?;
    }
    tracing::warn!(
        complete = report.complete,
        repaired = report.repaired.len(),
        refused = report.refused.len(),
        incomplete = report.incomplete.len(),
        quarters = report.quarters,
        ms = started.elapsed().as_millis(),
        "ClickHouse holds what the journal says"
    );
    Ok(report)
}

/// Returns when everything that was written to the folder's file system before is on its disk.
pub fn sync_file_system(folder: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Makes `events` hold these batches exactly once.
async fn repair<F>(
    clickhouse: &ClickHouse,
    damaged: &[Expected],
    stored_of: impl Fn(Uuid) -> u64,
    read: &impl Fn(Uuid) -> F,
    report: &mut Report,
) -> Result<(), ReconcileError>
where
    F: Future<Output = Result<EventColumns, JournalError>>,
{
    let beside = batches::Beside::create(clickhouse).await?;
    let (mut again, mut to_delete) = (HashMap::new(), Vec::new());
    for &Expected { batch_id, events } in damaged {
        let (stored, columns) = (stored_of(batch_id), read(batch_id).await?);
        let readable = u64::from(columns.rows());
        if readable < events && stored >= readable && stored <= events {
            tracing::error!(batch = %batch_id, events, stored, readable, "a batch is incomplete, and the journal has no more of it");
            report.incomplete.push(batch_id);
            continue;
        }
        match beside.insert(COLUMN_NAMES, columns.into_native(batch_id), batch_id).await {
            Ok(()) => {
                again.insert(batch_id, readable);
            }
            Err(error) if error.kind == ErrorKind::Permanent => report.refused.push((batch_id, error)),
            Err(error) => return Err(error.into()),
        }
        if stored > 0 {
            to_delete.push(batch_id);
        }
    }
    batches::delete_events(clickhouse, &to_delete).await?;
    beside.attach().await?;
    let inserted: Vec<Uuid> = again.keys().copied().collect();
    let stored = batches::stored_events(clickhouse, &inserted).await?;
    for &Expected { batch_id, events } in damaged {
        let Some(&readable) = again.get(&batch_id) else { continue };
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
