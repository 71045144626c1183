//! The journal: an append-only, checksummed, segmented log on disk with group commit.
//!
//! *Durable* means that `fdatasync` has returned for it. A record is a small `kind` and opaque bytes; the journal knows
//! neither who appends nor what it means. [`Journal::submit`] gives a record its place in the order, its LSN (log
//! sequence number), at once; the returned [`PendingAppend`] resolves when it is durable. One thread owns the files: it
//! takes everything that was submitted since it last looked, writes it in one go, syncs once, and completes it all.
//!
//! [`Journal::open`] gives back what an earlier process left, as a [`Recovery`], and goes on in a new segment, so that
//! recovery never reads a file that is being written; [`Journal::read`] does, but not beyond what it was asked for. It
//! does not lock the folder: that only one
//! process has it open is the caller's to see to.
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
//! A folder of segments. `segment.rs` has the naming and why there is no segment header, [`frame`] the frames. A segment
//! is frames and nothing else, each group of records followed by a *durability mark*, written once the group's sync has
//! returned and before anybody is told:
//!
//! ```text
//! 00000000000000000001-00000000000000000000-1c7f09aa.journal   1 2 3 mark(3) 4 mark(4) 5 6 ...
//! 00000000000000004711-00000000000000004710-93e1b05d.journal   4711 4712 mark(4712)
//! ```
//!
//! # Invariants
//!
//! 1. LSNs begin with 1 and grow by one with each accepted submit. One that was given is never given again by this
//!    process, also when its append failed, and never by a later process if it was durable.
//! 2. Every segment but the newest was durable, as far as it counts, before the next one was made.
//! 3. What a segment holds above the `AFTER` in the next segment's name is void: it belongs to a failed append.
//! 4. Segments are deleted oldest first, each deletion durable before the next, and never the last one left.
//! 5. A mark is true: what lies before it in its segment was durable when it was written.
//!
//! # Torn or damaged
//!
//! A process may be killed, or power cut, in the middle of a group. Then the newest segment ends in a *torn tail*, in
//! which any page may be missing, not only the last ones. Nothing in it was acknowledged. It is cut at its first hole:
//! what comes behind a hole must not be recovered, since a caller that saw a producer's seventh request after a restart
//! would take the sixth for stored. A flipped bit in what *was* durable is the opposite: it costs its own record, and
//! what comes behind it must be kept.
//!
//! The marks tell the two apart. Up to the newest segment's last valid mark, and anywhere in an older segment, a hole is
//! damage: reported with file, offset and the LSNs it cost, and stepped over, by its length where the record's header is
//! whole, else by scanning for the next valid header. Beyond the last mark it is a torn tail: cut off, synced, and
//! reported with its length. The mark itself is not synced; a killed process leaves it behind all the same, and after
//! a power cut that loses it the group before it is still whole. Only a power cut and a flipped bit in the very last
//! group together cost more than the damaged record.
//!
//! Frames of a later version are stepped over, and counted.
//!
//! # When the disk fails
//!
//! After a failed write or sync the kernel may have dropped what it could not write and will not say so again. So the
//! file is closed and never written again, cut to what was durable, and a new segment is begun, tried again with growing
//! pauses (10 ms to 1 s) for as long as it takes. Meanwhile:
//!
//! - Every append of the group fails, and every append queued behind it: the order is a promise, and what follows a
//!   failed record in it may depend on it. None of them comes back after a restart, unless the process is killed before
//!   the file could be cut and the next segment made; then a first part of them, without a hole, may.
//! - [`Journal::submit`] fails at once with the same cause. This lasts, disk well or not, until every [`PendingAppend`]
//!   from before the failure has resolved at its caller or was dropped: else a caller could submit the next record
//!   of a row before it knows that the row has lost one. So: poll what you were given, or drop it.
//!
//! A full disk is such a failure too: no whole segment can be reserved. But what would make room on it are releases, and
//! these need records. So what is begun anew may be a *short* segment, with as much space as there is, 1 MiB at most
//! ahead. It takes what [`Journal::submit_reserved`] gives, after everything above, and nothing else:
//!
//! | state | begins | [`Journal::submit`] | [`Journal::submit_reserved`] | ends |
//! | --- | --- | --- | --- | --- |
//! | open | with a whole segment | taken | taken | with a failed write, sync or new segment |
//! | short | with a short segment, after a failure | the disk's error | taken; the segment grows with it, or another short one is begun | when the segment can be made a whole one: open; or with a failure |
//! | failed | with a failure | its cause | its cause | when every failed append was seen, and a segment could be made: open or short |
//!
//! A short segment is made a whole one in place, tried with the same pauses. On disk it is a segment as any other, and
//! [`JournalStats::durable`] is false while it is the active one.
//!
//! # Bounds
//!
//! | bound | when it is reached |
//! | --- | --- |
//! | `max_bytes` less `reserve_bytes`, on disk and queued | [`Journal::submit`] and [`Journal::append`] are told [`JournalError::Full`]; who can wait awaits [`Journal::wait_for_space`]; ends when segments are released |
//! | `max_bytes`, or if that is more, what [`Journal::open`] found and `reserve_bytes` | [`Journal::submit_reserved`] is told [`JournalError::Full`] |
//! | `queue_bytes`, in memory | [`Journal::submit`] is told [`JournalError::Busy`], [`Journal::append`] waits; ends with the next sync. One record larger than the bound is taken when the queue is empty. [`Journal::submit_reserved`] has `reserve_bytes` more |
//! | a payload of `segment_bytes` less two headers, or [`frame::MAX_PAYLOAD_BYTES`] | told [`JournalError::TooLarge`] |
//! | memory of a [`Recovery`] | one frame and one chunk; [`recovery::MAX_LISTED_DAMAGE`] damaged places are listed, more are counted |
//!
//! Besides, the active segment's space is reserved ahead: the folder may take `segment_bytes` more than `max_bytes`.

mod appender;
mod config;
pub mod entry;
mod error;
pub mod frame;
mod queue;
mod read_buffer;
pub mod reader;
pub mod recovery;
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

use appender::Appender;
pub use config::{JournalConfig, JournalConfigError};
pub use entry::{Damage, JournalRecord, Lsn, MAX_LSN};
pub use error::JournalError;
use frame::{HEADER_BYTES, Payload};
use queue::{AppendClass, AppendQueue, SharedQueue};
pub use queue::{JournalStats, PendingAppend};
use recovery::JournalDir;
pub use recovery::Recovery;

/// The handle: cheap to clone. When the last one is dropped, the thread writes what was submitted, and ends.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

/// A folder that was looked at and not yet changed.
#[derive(Debug)]
pub struct ScannedJournal {
    dir: PathBuf,
    config: JournalConfig,
    journal_dir: JournalDir,
}

impl ScannedJournal {
    /// Cuts the newest segment's torn tail, syncs what is left of it, and begins a new segment.
    ///
    /// # Errors
    /// When the tail can't be cut or synced: then what was read is not known to be durable. A disk that is merely full is
    /// no error: the journal then begins as failed.
    pub fn start(self) -> Result<Journal, JournalError> {
        let Self { dir, config, journal_dir } = self;
        journal_dir.truncate_torn_tail()?;
        let segments = journal_dir.segments;
        // An empty newest segment keeps its name: the next one's is beyond it.
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
    /// Opens the journal in this folder, which is made if there is none, and begins a new segment: [`Journal::scan`]
    /// and [`ScannedJournal::start`] in one, for callers that go on whatever the records say.
    ///
    /// # Errors
    /// Those of the two.
    pub fn open(dir: &Path, config: JournalConfig) -> Result<(Self, Recovery), JournalError> {
        let (scanned, recovery) = Self::scan(dir, config)?;
        Ok((scanned.start()?, recovery))
    }

    /// Looks at the journal in this folder, which is made if there is none, and changes nothing in it. Reads the newest
    /// segment to its end, so it blocks for some tens of milliseconds.
    ///
    /// # Errors
    /// When the configuration can't work, and when what is there can't be read.
    pub fn scan(dir: &Path, config: JournalConfig) -> Result<(ScannedJournal, Recovery), JournalError> {
        config.validate()?;
        create_dir_durably(dir)?;
        let journal_dir = JournalDir::scan(dir)?;
        let recovery = Recovery::new(&journal_dir);
        Ok((ScannedJournal { dir: dir.to_owned(), config, journal_dir }, recovery))
    }

    /// Appends a record, given in any number of parts, and waits until it is durable; also, first, while the queue is
    /// full.
    ///
    /// # Errors
    /// Then the record is not durable and will not be. When this future is dropped, that is unknown.
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

    /// Gives a record its place in the order, and returns before it is durable. The order of calls is the order of LSNs.
    ///
    /// # Errors
    /// Then it has no place: nothing was queued.
    pub fn submit(&self, kind: u8, parts: Vec<Bytes>) -> Result<PendingAppend, JournalError> {
        let payload = self.build_payload(kind, parts)?;
        self.inner.shared.submit(payload, AppendClass::Normal).map_err(|(error, _)| error)
    }

    /// The same for a record that leads to a release: it may use the reserve.
    ///
    /// # Errors
    /// Then it has no place: nothing was queued.
    pub fn submit_reserved(&self, kind: u8, parts: Vec<Bytes>) -> Result<PendingAppend, JournalError> {
        let payload = self.build_payload(kind, parts)?;
        self.inner.shared.submit(payload, AppendClass::Reserved).map_err(|(error, _)| error)
    }

    fn build_payload(&self, kind: u8, parts: Vec<Bytes>) -> Result<Payload, JournalError> {
        let max_bytes = self.inner.max_payload_bytes;
        Payload::new(kind, parts, max_bytes)
            .map_err(|bytes| JournalError::TooLarge { bytes: bytes as u64, max_bytes: max_bytes as u64 })
    }

    /// Waits until a payload of this size would be taken. Another caller may be quicker: submit, and wait again.
    ///
    /// # Errors
    /// At once, when waiting is no use: the disk fails, or the journal is closed.
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

    /// Reads durable records back, oldest first, while others are appended. They must not have been released. Blocks.
    ///
    /// # Errors
    /// When the folder can't be read; each item, when its segment can't.
    pub fn read(
        &self,
        lsns: RangeInclusive<Lsn>,
    ) -> Result<impl Iterator<Item = Result<JournalRecord, JournalError>> + use<>, JournalError> {
        let (first_lsn, last_lsn) = lsns.into_inner();
        // Names that are none were reported at the start.
        let mut segments = VecDeque::from(segment::list_segments(&self.inner.dir, &mut Vec::new())?);
        for segment in &mut segments {
            // What comes behind may be half written now, and would look damaged.
            segment.last_lsn = segment.last_lsn.min(last_lsn);
        }
        segments.retain(|segment| !segment.is_empty() && segment.last_lsn >= first_lsn);
        let before = move |record: &Result<JournalRecord, JournalError>| {
            record.as_ref().is_ok_and(|r| r.lsn < first_lsn)
        };
        Ok(Recovery::from_segments(segments).skip_while(before))
    }

    /// Everything before `up_to` may go. Segments that hold nothing else are deleted soon; the rest of it may be
    /// recovered once more.
    pub fn release(&self, up_to: Lsn) {
        self.inner.shared.release(up_to);
    }

    /// How the journal is.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        self.inner.shared.stats.borrow().clone()
    }

    /// The same, with a signal at every change: each sync, roll, release, failure and recovery.
    #[must_use]
    pub fn watch_stats(&self) -> watch::Receiver<JournalStats> {
        self.inner.shared.stats.subscribe()
    }

    /// Takes no more appends, makes what was submitted durable, and waits for the thread to end.
    ///
    /// # Errors
    /// When the disk fails: what was submitted was then told so too.
    pub async fn close(&self) -> Result<(), JournalError> {
        self.inner.shared.close();
        let thread = self.inner.thread.lock().expect("nothing that holds this lock panics").take();
        let Some(thread) = thread else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        // Both mean a panic, which the panic hook has reported.
        joined.map_err(|_| JournalError::Panicked)?.map_err(|_| JournalError::Panicked)?
    }
}

/// Makes the folder and those above it that are missing, and syncs each that got a new entry.
fn create_dir_durably(dir: &Path) -> Result<(), JournalError> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).count();
    fs::create_dir_all(dir).map_err(|error| JournalError::disk(dir, error))?;
    // The last one's parent is synced also where nothing was made: whoever made it may not have done so.
    for parent in dir.ancestors().skip(1).take(missing.max(1)) {
        segment::sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}
