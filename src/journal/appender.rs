//! The journal thread, which owns the files: group commit, new segments, deletion of released ones, and recovery from disk
//! failures.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::config::JournalConfig;
use super::entry::Lsn;
use super::error::JournalError;
use super::queue::{CommitGroup, Generation, JournalStats, SharedQueue};
use super::segment::{self, ActiveSegment, MARK_BYTES, SealedSegment, SegmentName};

const MIN_RETRY_DELAY: Duration = Duration::from_millis(10);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The state of the journal thread.
#[derive(Debug)]
pub(super) struct Appender {
    shared: Arc<SharedQueue>,
    dir: PathBuf,
    config: JournalConfig,
    /// Oldest first.
    sealed: VecDeque<SealedSegment>,
    /// `None` while the disk fails; a short segment while the disk is full.
    active: Option<ActiveSegment>,
    durable_lsn: Lsn,
    released_lsn: Lsn,
    /// Set after the deletion of a released segment has failed.
    retry_delete_at: Option<Instant>,
    last_error: Option<JournalError>,
    retries: RetrySchedule,
    /// The appends that failed with the last disk failure.
    failed_generation: Generation,
}

/// 10 ms, 20 ms, 40 ms, ... 640 ms, then 1 s indefinitely.
const RETRY_BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(MIN_RETRY_DELAY)
    .with_max_delay(MAX_RETRY_DELAY)
    .without_max_times();

/// When to retry the creation or growth of the active segment.
#[derive(Debug)]
struct RetrySchedule {
    retry_at: Option<Instant>,
    delays: ExponentialBackoff,
}

impl RetrySchedule {
    fn new() -> Self {
        Self { retry_at: None, delays: RETRY_BACKOFF.build() }
    }

    fn schedule_retry(&mut self) {
        let delay = self.delays.next().expect("the number of retries is unlimited");
        self.retry_at = Some(Instant::now() + delay);
    }

    fn is_due(&self) -> bool {
        self.retry_at.is_some_and(|at| at <= Instant::now())
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Appender {
    /// Starts a new segment from `first_lsn` after the `sealed` ones. If it cannot be created, the journal starts in the
    /// failed state and retries; existing records can be read and released meanwhile. On a full disk it accepts reserved
    /// appends after the first retry.
    pub(super) fn start(
        shared: Arc<SharedQueue>,
        dir: PathBuf,
        config: JournalConfig,
        sealed: VecDeque<SealedSegment>,
        first_lsn: Lsn,
    ) -> Self {
        let durable_lsn = sealed.back().map_or(0, |newest| newest.last_lsn);
        let mut appender = Self {
            shared,
            dir,
            config,
            sealed,
            active: None,
            durable_lsn,
            released_lsn: 0,
            retry_delete_at: None,
            last_error: None,
            retries: RetrySchedule::new(),
            failed_generation: Generation::default(),
        };
        match appender.create_segment(first_lsn, config.segment_bytes) {
            Ok(()) => appender.delete_empty_segments(),
            Err(error) => appender.fail(error, CommitGroup::default()),
        }
        appender.publish_stats();
        appender
    }

    /// Runs until the journal is closed. Fails with the last error if the disk is failing at that time.
    pub(super) fn run(mut self) -> Result<(), JournalError> {
        let _close_on_drop = CloseOnDrop(Arc::clone(&self.shared));
        loop {
            let wake_at = self.retries.retry_at.into_iter().chain(self.retry_delete_at).min();
            let mut work = self.shared.wait_for_work(self.released_lsn, wake_at);
            if work.release_lsn > self.released_lsn
                || self.retry_delete_at.is_some_and(|at| at <= Instant::now())
            {
                self.release(work.release_lsn);
            }
            let idle = work.group.records.is_empty();
            while !work.group.records.is_empty() {
                self.commit(&mut work.group);
            }
            if work.closing && idle {
                return self.finish();
            }
            if self.retries.is_due() {
                if self.active.is_some() { self.grow_to_full_size() } else { self.retry_after_failure() }
            }
        }
    }

    /// Makes the first records of the group durable with one sync: as many as fit into the active segment.
    fn commit(&mut self, group: &mut CommitGroup) {
        let Some(active) = &mut self.active else {
            // After a failure in the middle of a group, `fail` has taken the rest of it.
            unreachable!("appends are queued only while there is an active segment");
        };
        let count = group.count_fitting(active.free_bytes());
        if count == 0 {
            let (first_lsn, payload) = &group.records[0];
            if let Err(error) = self.ensure_space(*first_lsn, payload.frame_bytes() + MARK_BYTES) {
                self.fail(error, std::mem::take(group));
            }
            return;
        }
        let frame_bytes = group.records[..count].iter().map(|(_, payload)| payload.frame_bytes()).sum();
        let started_at = Instant::now();
        match active.append(&group.records[..count], &self.shared.faults) {
            Ok(last_lsn) => {
                self.shared.commit_latency.observe(started_at.elapsed());
                self.durable_lsn = last_lsn;
                if active.space_error().is_none() {
                    self.retries.reset();
                }
                self.shared.lock().mark_written(frame_bytes, self.disk_bytes());
                self.publish_stats();
                group.complete(count, &Ok(()));
            }
            Err(error) => self.fail(error, std::mem::take(group)),
        }
    }

    /// Makes space for `bytes`, which start with the record `first_lsn`: grows the active segment if it is short, or seals
    /// it and creates the next one.
    fn ensure_space(&mut self, first_lsn: Lsn, bytes: u64) -> Result<(), JournalError> {
        let segment_bytes = self.config.segment_bytes;
        let mut min_bytes = segment_bytes;
        if let Some(active) = &mut self.active
            && active.space_error().is_some()
        {
            let needed = active.bytes() + bytes;
            if needed <= segment_bytes {
                active.grow(needed)?;
                self.resume_appends();
                return Ok(());
            }
            // While the segment is short, all records are reserved ones, for which the next may be short as well.
            min_bytes = bytes;
        }
        if let Some(full) = self.active.take() {
            self.sealed.push_back(full.seal());
        }
        self.create_segment(first_lsn, min_bytes)?;
        self.resume_appends();
        Ok(())
    }

    /// Creates the active segment; without enough disk space, a short one of at least `min_bytes`.
    fn create_segment(&mut self, first_lsn: Lsn, min_bytes: u64) -> Result<(), JournalError> {
        let name = SegmentName { first_lsn, durable_lsn: self.durable_lsn, salt: rand::random() };
        self.active = Some(ActiveSegment::create(&self.dir, name, min_bytes, self.config.segment_bytes)?);
        Ok(())
    }

    /// Accepts the appends that the active segment is for. If it is short, schedules the next attempt to grow it.
    fn resume_appends(&mut self) {
        let space_error = self.active.as_ref().and_then(ActiveSegment::space_error).cloned();
        match space_error {
            Some(space_error) => {
                self.last_error = Some(space_error.clone());
                self.retries.schedule_retry();
                self.shared.lock().open_reserved_only(space_error);
            }
            None => {
                // The delay of the next failure keeps growing until an append has succeeded: see `commit`.
                self.retries.retry_at = None;
                self.shared.lock().reopen();
            }
        }
        self.publish_stats();
    }

    /// Handles a disk failure: abandons the active segment, and fails this group and all queued appends.
    fn fail(&mut self, cause: JournalError, mut group: CommitGroup) {
        tracing::error!(error = %cause, appends = group.records.len(), "journal write failed");
        self.last_error = Some(cause.clone());
        if let Some(active) = self.active.take() {
            self.sealed.push_back(active.abandon());
        }
        let disk_bytes = self.disk_bytes();
        let mut queue = self.shared.lock();
        let (mut queued, failed_generation) = queue.fail(cause.clone());
        queue.set_disk_bytes(disk_bytes);
        drop(queue);
        self.failed_generation = failed_generation;
        self.retries.schedule_retry();
        self.publish_stats();
        let outcome = Err(cause);
        group.complete(group.records.len(), &outcome);
        queued.complete(queued.records.len(), &outcome);
    }

    /// Creates a new segment, unless callers have not yet observed the failure of their appends.
    fn retry_after_failure(&mut self) {
        let unobserved = Arc::strong_count(&self.failed_generation) - 1;
        if unobserved > 0 {
            tracing::debug!(unobserved, "waiting until callers have observed their failed appends");
            self.retries.retry_at = Some(Instant::now() + MIN_RETRY_DELAY);
            return;
        }
        // Each attempt uses a new name, so that the leftover of an earlier one is never confused with this segment.
        let first_lsn = self.shared.lock().skip_lsn();
        match self.create_segment(first_lsn, JournalConfig::MIN_SEGMENT_BYTES) {
            Ok(()) => {
                match self.active.as_ref().and_then(ActiveSegment::space_error) {
                    None => tracing::info!(first_lsn, "journal has recovered and accepts appends"),
                    Some(space_error) => {
                        tracing::warn!(first_lsn, error = %space_error, "disk full; journal accepts only reserved appends");
                    }
                }
                self.delete_empty_segments();
                self.resume_appends();
                // Without an active segment, the last sealed one could not be deleted.
                self.release(self.released_lsn);
            }
            Err(error) => {
                self.last_error = Some(error.clone());
                self.retries.schedule_retry();
                self.shared.lock().update_failure(error);
                self.publish_stats();
            }
        }
    }

    /// Grows the short segment to full size if the disk has enough space again.
    fn grow_to_full_size(&mut self) {
        let Some(active) = &mut self.active else { return };
        match active.grow(self.config.segment_bytes) {
            Ok(()) => {
                tracing::info!("disk has space again; journal accepts all appends");
                self.resume_appends();
            }
            Err(error) if error.is_out_of_space() => self.retries.schedule_retry(),
            Err(error) => self.fail(error, CommitGroup::default()),
        }
    }

    /// Deletes the segments that have no records from `up_to` on. Keeps at least one segment: a restart needs its name to
    /// continue the LSNs.
    fn release(&mut self, up_to: Lsn) {
        self.released_lsn = up_to;
        self.retry_delete_at = None;
        while let Some(oldest) = self.sealed.front().filter(|oldest| oldest.last_lsn < up_to) {
            if self.active.is_none() && self.sealed.len() == 1 {
                break;
            }
            if let Err(error) = segment::delete_segment(&self.dir, oldest) {
                // Appends can continue.
                tracing::warn!(%error, "cannot delete a released segment; retrying");
                self.last_error = Some(error);
                self.retry_delete_at = Some(Instant::now() + MAX_RETRY_DELAY);
                break;
            }
            self.sealed.pop_front();
        }
        self.shared.lock().set_disk_bytes(self.disk_bytes());
        self.publish_stats();
    }

    /// Deletes segments without valid records. Only with an active segment: see [`Appender::release`].
    fn delete_empty_segments(&mut self) {
        let dir = &self.dir;
        self.sealed.retain(|segment| {
            !segment.is_empty()
                || segment::delete_segment(dir, segment).is_err_and(|error| {
                    tracing::warn!(%error, "cannot delete an empty segment");
                    true
                })
        });
    }

    fn disk_bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, ActiveSegment::bytes);
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + active
    }

    fn publish_stats(&self) {
        let active = self.active.as_ref().map(ActiveSegment::name);
        let oldest = self.sealed.front().map(|segment| segment.name).or(active);
        self.shared.stats.send_replace(JournalStats {
            disk_bytes: self.disk_bytes(),
            max_bytes: self.config.max_bytes,
            segments: self.sealed.len() + usize::from(active.is_some()),
            first_lsn: oldest.map_or(self.durable_lsn + 1, |name| name.first_lsn),
            durable_lsn: self.durable_lsn,
            durable: self.active.as_ref().is_some_and(|active| active.space_error().is_none()),
            last_error: self.last_error.as_ref().map(ToString::to_string),
        });
    }

    fn finish(mut self) -> Result<(), JournalError> {
        let Some(active) = self.active.take() else {
            return Err(self.last_error.take().unwrap_or(JournalError::Closed));
        };
        // Syncs the last mark, so that the next start finds no torn tail.
        let sealed = active.seal();
        segment::truncate(&sealed.path, sealed.bytes)
    }
}

/// Fails all queued appends when the thread ends, even by a panic, so that no caller waits indefinitely.
struct CloseOnDrop(Arc<SharedQueue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let panicked = thread::panicking();
        let cause = if panicked { JournalError::Panicked } else { JournalError::Closed };
        if !panicked {
            self.0.close();
        }
        let (mut queued, _) = self.0.lock().fail(cause.clone());
        self.0.stats.send_modify(|stats| {
            stats.durable = false;
            if panicked {
                stats.last_error = Some(cause.to_string());
            }
        });
        queued.complete(queued.records.len(), &Err(cause));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::super::frame::Payload;
    use super::super::queue::{AppendClass, AppendQueue, PendingAppend};
    use super::super::recovery::JournalDir;
    use super::*;

    const CONFIG: JournalConfig = JournalConfig {
        segment_bytes: 4096,
        max_bytes: 64 << 10,
        reserve_bytes: 4096,
        queue_bytes: 16 << 10,
    };

    /// An appender that the test drives itself.
    fn appender_without_thread(dir: &Path) -> (Arc<SharedQueue>, Appender) {
        let shared = Arc::new(SharedQueue::new(AppendQueue::new(CONFIG, 1, 0)));
        let appender = Appender::start(Arc::clone(&shared), dir.to_owned(), CONFIG, VecDeque::new(), 1);
        (shared, appender)
    }

    fn enqueue(shared: &SharedQueue, bytes: usize) -> Result<PendingAppend, JournalError> {
        let payload = Payload::new(1, vec![Bytes::from(vec![0; bytes])], bytes).unwrap();
        shared.submit(payload, AppendClass::Normal).map_err(|(error, _)| error)
    }

    #[test]
    fn retry_delays_double_up_to_the_maximum() {
        let delays: Vec<_> = RETRY_BACKOFF.build().take(9).map(|delay| delay.as_secs_f32() * 1e3).collect();
        assert_eq!(
            delays.iter().map(|millis| millis.round()).collect::<Vec<_>>(),
            [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1000.0, 1000.0]
        );
    }

    #[test]
    fn appends_are_rejected_until_every_failed_append_was_observed() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut appender) = appender_without_thread(dir.path());
        let (first, second) = (enqueue(&shared, 10).unwrap(), enqueue(&shared, 10).unwrap());
        shared.faults.failing_syncs.store(1, Ordering::SeqCst);
        appender.commit(&mut shared.wait_for_work(0, None).group);
        for unobserved in [first, second] {
            appender.retry_after_failure();
            assert!(matches!(enqueue(&shared, 10), Err(JournalError::Disk { .. })));
            assert!(!shared.stats.borrow().durable);
            drop(unobserved);
        }
        appender.retry_after_failure();
        assert!(shared.stats.borrow().durable);
        drop(enqueue(&shared, 10).unwrap());
    }

    #[test]
    fn appends_queued_behind_a_failed_group_fail_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut appender) = appender_without_thread(dir.path());
        let mut pending = vec![enqueue(&shared, 10).unwrap()];
        let mut group = shared.wait_for_work(0, None).group;
        pending.push(enqueue(&shared, 10).unwrap());
        shared.faults.failing_syncs.store(1, Ordering::SeqCst);
        appender.commit(&mut group);
        for append in pending {
            let outcome = append.now_or_never();
            assert!(matches!(outcome, Some(Err(JournalError::Disk { .. }))), "{outcome:?}");
        }
    }

    #[test]
    fn lsns_continue_after_everything_was_released_and_the_disk_failed() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut appender) = appender_without_thread(dir.path());
        let append = |appender: &mut Appender| {
            let pending = enqueue(&shared, 3000).unwrap();
            let mut group = shared.wait_for_work(0, None).group;
            while !group.records.is_empty() {
                appender.commit(&mut group);
            }
            pending.lsn()
        };
        assert_eq!((append(&mut appender), append(&mut appender)), (1, 2));
        shared.faults.failing_syncs.store(1, Ordering::SeqCst);
        assert_eq!(append(&mut appender), 3);
        appender.release(10);
        // The process is killed before the disk has recovered.
        drop(appender);
        let journal_dir = JournalDir::scan(dir.path()).unwrap();
        let kept: Vec<_> =
            journal_dir.segments.iter().map(|segment| (segment.name.first_lsn, segment.last_lsn)).collect();
        assert_eq!(kept, [(3, 2)]);
    }
}
