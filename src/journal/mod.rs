//! The journal: an append-only, checksummed, segmented log on disk with group commit.
//!
//! *Durable* means that `fdatasync` has returned. A record is a `kind` byte and an opaque payload; the journal knows
//! neither its callers nor what a record means. [`Journal::submit`] assigns the next LSN (log sequence number) immediately;
//! the returned [`PendingAppend`] resolves when the record is durable. One thread owns the files: it takes all records
//! that are queued, writes them with one vectored write, syncs once, and completes them all.
//!
//! [`Journal::open`] returns the records of earlier processes as a [`Recovery`], and starts a new segment, so that
//! recovery never reads a file that is being written. [`Journal::read`] may read the active segment, but only up to the
//! LSN it is given. The journal does not lock its directory: the caller makes sure that only one process opens it.
//!
//! # Reading order
//!
//! Each file imports only files above it in this list:
//!
//! 1. [`entry`]: LSNs, records and damage.
//! 2. [`frame`]: the bytes of one record or durability mark.
//! 3. `config.rs`: the limits, [`JournalConfig`]. `error.rs`: [`JournalError`].
//! 4. `segment.rs`: segment files, their names, and the segment that is being written.
//! 5. `read_buffer.rs`, then [`reader`]: the entries of one segment, with damage skipped.
//! 6. [`recovery`]: the directory after a restart, and the records of all its segments.
//! 7. `queue.rs`: what callers and the journal thread share.
//! 8. `appender.rs`: the journal thread.
//! 9. This file: the handle.
//!
//! # On disk
//!
//! The directory holds segments; `segment.rs` describes their names. A segment is a sequence of frames without a header
//! (see [`frame`]). Each group of records is followed by a *durability mark*, which is written after the group's sync
//! has returned and before any caller is notified:
//!
//! ```text
//! 00000000000000000001-00000000000000000000-1c7f09aa.journal   1 2 3 mark(3) 4 mark(4) 5 6 ...
//! 00000000000000004711-00000000000000004710-93e1b05d.journal   4711 4712 mark(4712)
//! ```
//!
//! # Invariants
//!
//! 1. LSNs start at 1 and grow by one with each accepted submit. A process never assigns an LSN twice, even if the append
//!    failed; a later process never assigns the LSN of a durable record.
//! 2. Every segment but the newest was durable, up to its last valid record, before the next one was created.
//! 3. Records of a segment above the `AFTER` in the next segment's name are void: their append failed.
//! 4. Segments are deleted oldest first. Each deletion is durable before the next one. The last segment is never deleted.
//! 5. Everything before a mark in its segment was durable when the mark was written.
//!
//! # Torn or damaged
//!
//! A crash or a power cut can interrupt the write of a group. The newest segment then ends in a *torn tail*, in which any
//! page may be missing, not only the last ones. None of its records was acknowledged. Recovery truncates it at its first
//! hole and drops what follows: a caller that recovered the seventh request of a producer would conclude that the sixth
//! is stored. A flipped bit in a *durable* record is the opposite case: only that record is lost, and the records after
//! it must be kept.
//!
//! The marks tell the two cases apart. Up to the last valid mark of the newest segment, and anywhere in an older segment,
//! a hole is damage. It is reported with file, offset and lost LSNs, and skipped: by its length if the record's header is
//! intact, else by scanning for the next valid header. After the last mark, a hole is a torn tail, which is truncated,
//! synced, and reported with its length. The mark itself is not synced. It survives a crash of the process; if a power cut
//! loses it, its group is still intact. Only a power cut together with a flipped bit in the very last group loses more
//! than the damaged record.
//!
//! Frames of a later version are skipped and counted.
//!
//! # When the disk fails
//!
//! After a failed write or sync, the kernel may have dropped dirty pages, and it does not report that again. So the file
//! is closed, truncated to its durable length and never written again. The journal starts a new segment, and retries that
//! indefinitely with a backoff of 10 ms to 1 s. Meanwhile:
//!
//! - Every append of the group fails, and every append queued behind it: later records may depend on earlier ones, so
//!   none may become durable without them. A restart recovers none of them, with one exception: if the process dies
//!   before the file was truncated and the next segment was created, a contiguous first part of them may be recovered.
//! - [`Journal::submit`] fails immediately with the same cause, even if the disk works again, until every [`PendingAppend`]
//!   from before the failure has resolved or was dropped. Otherwise a caller could submit the next record of a series
//!   before it knows that an earlier one was lost. So poll every `PendingAppend`, or drop it.
//!
//! A full disk is such a failure as well, since no segment can be preallocated. But only releases free disk space, and a
//! caller can only release after it has appended further records. So the new segment may be a *short* one, which
//! preallocates what the disk still has, at most 1 MiB more than the next record needs. It accepts
//! [`Journal::submit_reserved`] under the rules above, and nothing else:
//!
//! | state | starts with | [`Journal::submit`] | [`Journal::submit_reserved`] | ends with |
//! | --- | --- | --- | --- | --- |
//! | open | a full-size segment | accepted | accepted | a failed write, sync or segment creation |
//! | short | a short segment after a failure | the disk's error | accepted; the segment grows, or another short one follows | enough space to grow to full size: open; or a failure |
//! | failed | a failure | its cause | its cause | all failed appends observed and a segment created: open or short |
//!
//! A short segment grows to full size in place, with the same backoff. On disk it looks like any other segment. While it
//! is the active one, [`JournalStats::durable`] is false.
//!
//! # Limits
//!
//! | limit | when it is reached |
//! | --- | --- |
//! | `max_bytes` less `reserve_bytes`, on disk and queued | [`Journal::submit`] and [`Journal::append`] return [`JournalError::Full`] until segments are released; [`Journal::wait_for_space`] waits for that |
//! | `max_bytes`, or the size that [`Journal::open`] found plus `reserve_bytes` if that is larger | [`Journal::submit_reserved`] returns [`JournalError::Full`] |
//! | `queue_bytes`, in memory | [`Journal::submit`] returns [`JournalError::Busy`], [`Journal::append`] waits, until the next sync. An empty queue accepts one larger record. [`Journal::submit_reserved`] has `reserve_bytes` more |
//! | a payload of `segment_bytes` less two headers, or of [`frame::MAX_PAYLOAD_BYTES`] | [`JournalError::TooLarge`] |
//! | memory of a [`Recovery`] | one frame and one chunk; at most [`recovery::MAX_LISTED_DAMAGE`] damaged places are listed, further ones are counted |
//!
//! The active segment is preallocated, so the directory may take `segment_bytes` more disk space than `max_bytes`.

mod appender;
mod config;
pub(crate) mod entry;
mod error;
pub(crate) mod frame;
mod queue;
mod read_buffer;
pub(crate) mod reader;
pub(crate) mod recovery;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use tokio::sync::watch;

use crate::counters::Histogram;
use appender::Appender;
pub use config::JournalConfig;
pub use entry::{JournalRecord, Lsn};
pub use error::JournalError;
use frame::{HEADER_BYTES, Payload};
pub(crate) use queue::JournalStats;
pub use queue::PendingAppend;
use queue::{AppendClass, AppendQueue, SharedQueue};
use recovery::JournalDir;
pub(crate) use recovery::Recovery;

/// A cheap, cloneable handle. When the last one is dropped, the journal thread writes what is queued and exits;
/// [`Journal::close`] also waits for that.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

/// A directory that was scanned and has not been changed yet.
#[derive(Debug)]
pub struct ScannedJournal {
    dir: PathBuf,
    config: JournalConfig,
    journal_dir: JournalDir,
}

impl ScannedJournal {
    /// Truncates the torn tail of the newest segment, syncs the rest of it, and starts a new segment.
    ///
    /// # Errors
    /// When the tail cannot be truncated and synced: it is then unknown whether the scanned records are durable. When the
    /// thread cannot be spawned. A full disk is not an error: the journal then starts in the failed state.
    pub fn start(self) -> Result<Journal, JournalError> {
        let Self { dir, config, journal_dir } = self;
        journal_dir.truncate_torn_tail()?;
        let segments = journal_dir.segments;
        // The name of an empty newest segment is not reused.
        let next_lsn = segments.back().map_or(1, |newest| newest.last_lsn.max(newest.name.first_lsn) + 1);
        let disk_bytes = segments.iter().map(|segment| segment.bytes).sum();
        let shared = Arc::new(SharedQueue::new(AppendQueue::new(config, next_lsn, disk_bytes)));
        let appender = Appender::start(Arc::clone(&shared), dir.clone(), config, segments, next_lsn);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || appender.run())
            .map_err(|error| JournalError::disk(&dir, error))?;
        let max_payload_bytes = config.max_payload_bytes();
        let inner = Inner { dir, shared, max_payload_bytes, thread: Mutex::new(Some(thread)) };
        Ok(Journal { inner: Arc::new(inner) })
    }
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    shared: Arc<SharedQueue>,
    max_payload_bytes: usize,
    thread: Mutex<Option<JoinHandle<Result<(), JournalError>>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Journal {
    /// Opens the journal in `dir`: [`Journal::scan`] and [`ScannedJournal::start`] in one, for callers that need not
    /// see the records before the directory is changed.
    ///
    /// # Errors
    /// See [`Journal::scan`] and [`ScannedJournal::start`].
    pub fn open(dir: &Path, config: JournalConfig) -> Result<(Self, Recovery), JournalError> {
        let (scanned, recovery) = Self::scan(dir, config)?;
        Ok((scanned.start()?, recovery))
    }

    /// Scans the journal in `dir` without changing it. Creates the directory if it is missing. Blocks for tens of
    /// milliseconds, since it reads the newest segment completely.
    ///
    /// # Errors
    /// When the configuration is invalid, and when the directory cannot be created or read.
    pub fn scan(dir: &Path, config: JournalConfig) -> Result<(ScannedJournal, Recovery), JournalError> {
        config.validate()?;
        create_dir_durably(dir)?;
        let journal_dir = JournalDir::scan(dir)?;
        let recovery = Recovery::new(&journal_dir);
        Ok((ScannedJournal { dir: dir.to_owned(), config, journal_dir }, recovery))
    }

    /// Appends a record, whose payload is the concatenation of `parts`, and waits until it is durable. Waits while the
    /// queue is full.
    ///
    /// # Errors
    /// The record is not durable and will not be. If this future is dropped, the outcome is unknown.
    pub async fn append(&self, kind: u8, parts: Vec<Bytes>) -> Result<Lsn, JournalError> {
        let mut payload = self.build_payload(kind, parts)?;
        let mut changes = self.inner.shared.stats.subscribe();
        loop {
            match self.inner.shared.submit(payload, AppendClass::Normal) {
                Ok(pending) => return pending.await,
                Err((JournalError::Busy { .. }, returned)) => payload = returned,
                Err((error, _)) => return Err(error),
            }
            changes.changed().await.map_err(|_| JournalError::Closed)?;
        }
    }

    /// Queues a record under the next LSN, and returns before it is durable. LSNs have the order of the calls.
    ///
    /// # Errors
    /// Nothing was queued, and no LSN was assigned.
    pub fn submit(&self, kind: u8, parts: Vec<Bytes>) -> Result<PendingAppend, JournalError> {
        let payload = self.build_payload(kind, parts)?;
        self.inner.shared.submit(payload, AppendClass::Normal).map_err(|(error, _)| error)
    }

    /// Like [`Journal::submit`], for records that lead to a release: they may use `reserve_bytes`, and a short segment
    /// accepts them.
    ///
    /// # Errors
    /// Nothing was queued, and no LSN was assigned.
    pub fn submit_reserved(&self, kind: u8, parts: Vec<Bytes>) -> Result<PendingAppend, JournalError> {
        let payload = self.build_payload(kind, parts)?;
        self.inner.shared.submit(payload, AppendClass::Reserved).map_err(|(error, _)| error)
    }

    fn build_payload(&self, kind: u8, parts: Vec<Bytes>) -> Result<Payload, JournalError> {
        let max_bytes = self.inner.max_payload_bytes;
        Payload::new(kind, parts, max_bytes)
            .map_err(|bytes| JournalError::TooLarge { bytes: bytes as u64, max_bytes: max_bytes as u64 })
    }

    /// Waits until a payload of this size would be accepted. Another caller may use the space first, so submit in a loop.
    ///
    /// # Errors
    /// Immediately if waiting does not help: the disk fails, or the journal is closed.
    pub async fn wait_for_space(&self, payload_bytes: usize) -> Result<(), JournalError> {
        let mut changes = self.inner.shared.stats.subscribe();
        loop {
            match self.inner.shared.check_admission((HEADER_BYTES + payload_bytes) as u64) {
                Err(JournalError::Full { .. } | JournalError::Busy { .. }) => {}
                result => return result,
            }
            changes.changed().await.map_err(|_| JournalError::Closed)?;
        }
    }

    /// Reads records, oldest first, also during appends. They must be durable and not released. Blocks on file reads.
    ///
    /// # Errors
    /// When the directory cannot be read. An item is an error when its segment cannot be read.
    pub fn read(
        &self,
        lsns: RangeInclusive<Lsn>,
    ) -> Result<impl Iterator<Item = Result<JournalRecord, JournalError>> + use<>, JournalError> {
        let (first_lsn, last_lsn) = lsns.into_inner();
        // `scan` has reported files with invalid names.
        let mut segments = VecDeque::from(segment::list_segments(&self.inner.dir, &mut Vec::new())?);
        for segment in &mut segments {
            // Later records may be partially written, and would look damaged.
            segment.last_lsn = segment.last_lsn.min(last_lsn);
        }
        segments.retain(|segment| !segment.is_empty() && segment.last_lsn >= first_lsn);
        let is_before_range = move |record: &Result<JournalRecord, JournalError>| {
            record.as_ref().is_ok_and(|record| record.lsn < first_lsn)
        };
        Ok(Recovery::from_segments(segments).skip_while(is_before_range))
    }

    /// Releases all records below `up_to`. Does not wait; segments without later records are deleted soon.
    /// Released records in other segments are still recovered after a restart.
    pub fn release(&self, up_to: Lsn) {
        self.inner.shared.release(up_to);
    }

    /// The current stats.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        self.inner.shared.stats.borrow().clone()
    }

    /// The time that writes and syncs of groups of records take: what every acknowledgement waits for.
    pub(crate) fn commit_latency(&self) -> &Histogram {
        &self.inner.shared.commit_latency
    }

    /// A receiver of the stats, which change with each sync, new segment, release, failure and recovery of the disk.
    #[must_use]
    pub fn watch_stats(&self) -> watch::Receiver<JournalStats> {
        self.inner.shared.stats.subscribe()
    }

    /// Rejects further appends, makes queued records durable, and joins the journal thread. Later calls return immediately.
    ///
    /// # Errors
    /// When the disk fails. Queued appends have then failed with the same error.
    pub async fn close(&self) -> Result<(), JournalError> {
        self.inner.shared.close();
        let thread = self.inner.thread.lock().expect("no code that holds this lock panics").take();
        let Some(thread) = thread else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        // Both errors mean a panic, which the panic hook has logged.
        joined.map_err(|_| JournalError::Panicked)?.map_err(|_| JournalError::Panicked)?
    }
}

/// Creates the directory and its missing parents, and syncs each directory that got a new entry.
fn create_dir_durably(dir: &Path) -> Result<(), JournalError> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).count();
    fs::create_dir_all(dir).map_err(|error| JournalError::disk(dir, error))?;
    // The parent is synced even if nothing was created: the process that created `dir` may have crashed before its sync.
    for parent in dir.ancestors().skip(1).take(missing.max(1)) {
        segment::sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}
