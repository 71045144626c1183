//! The thread that owns the files: group commit, rolling to the next segment, deleting released ones, and getting well
//! after the disk failed.

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

/// The files, and how well the disk is.
#[derive(Debug)]
pub(super) struct Appender {
    shared: Arc<SharedQueue>,
    dir: PathBuf,
    config: JournalConfig,
    sealed: VecDeque<SealedSegment>,
    /// None while the disk fails; a short one while it only lacks space.
    active: Option<ActiveSegment>,
    durable_lsn: Lsn,
    released_lsn: Lsn,
    /// When the deletion of released segments is tried again, after one failed.
    retry_delete_at: Option<Instant>,
    last_error: Option<JournalError>,
    retries: RetrySchedule,
    /// Of the appends that the last failure failed.
    failed_generation: Generation,
}

/// 10 ms, 20 ms, 40 ms and so on up to 1 s, without an end.
const RETRY_BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(MIN_RETRY_DELAY)
    .with_max_delay(MAX_RETRY_DELAY)
    .without_max_times();

/// The next retry, and the delays of those after it.
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
    /// Continues a folder whose newest records are `sealed`, in a new segment that begins with `first_lsn`. Where that can't
    /// be made the journal starts out failed, and goes on trying: what is there can be read and released all the same.
    /// On a disk that is merely full it soon takes what leads to a release.
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

    /// Works until the journal is closed. Returns the error that kept the last appends from being taken, if one does.
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

    /// Makes the first records of the group durable: as many as the segment takes, with one sync.
    fn commit(&mut self, group: &mut CommitGroup) {
        let Some(active) = &mut self.active else {
            // The rest of a group whose first part failed was failed with it.
            unreachable!("appends are queued only while there is a segment");
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
        match active.append(&group.records[..count], &self.shared.faults) {
            Ok(last) => {
                self.durable_lsn = last;
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

    /// Room for so many bytes, of which the first are the record `first_lsn`: in the active segment, if it is a short one
    /// that can grow, or in the next.
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
            // Every record of this group is reserved.
            min_bytes = bytes;
        }
        if let Some(full) = self.active.take() {
            self.sealed.push_back(full.seal());
        }
        self.create_segment(first_lsn, min_bytes)?;
        self.resume_appends();
        Ok(())
    }

    /// A short segment of at least `min_bytes` bytes, where the disk lacks the space for a whole one.
    fn create_segment(&mut self, first_lsn: Lsn, min_bytes: u64) -> Result<(), JournalError> {
        let name = SegmentName { first_lsn, durable_lsn: self.durable_lsn, salt: rand::random() };
        self.active = Some(ActiveSegment::create(&self.dir, name, min_bytes, self.config.segment_bytes)?);
        Ok(())
    }

    /// There is an active segment: takes what it is for, and goes on trying where it is a short one.
    fn resume_appends(&mut self) {
        let space_error = self.active.as_ref().and_then(ActiveSegment::space_error).cloned();
        match space_error {
            Some(space_error) => {
                self.last_error = Some(space_error.clone());
                self.retries.schedule_retry();
                self.shared.lock().open_reserved_only(space_error);
            }
            None => {
                // The next wait stays as long as it was until an append has succeeded.
                self.retries.retry_at = None;
                self.shared.lock().reopen();
            }
        }
        self.publish_stats();
    }

    /// The disk failed: nothing of this group counts, nothing that is queued behind it, and the segment is not written
    /// again.
    fn fail(&mut self, cause: JournalError, mut group: CommitGroup) {
        tracing::error!(error = %cause, appends = group.records.len(), "the journal can't write");
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

    /// Begins a new segment, once every failed append has been seen to have failed.
    fn retry_after_failure(&mut self) {
        let unobserved = Arc::strong_count(&self.failed_generation) - 1;
        if unobserved > 0 {
            tracing::debug!(unobserved, "failed appends wait to be seen by their callers");
            self.retries.retry_at = Some(Instant::now() + MIN_RETRY_DELAY);
            return;
        }
        // A new name at each try: what an earlier try may have left can then not be taken for this segment.
        let first_lsn = self.shared.lock().skip_lsn();
        match self.create_segment(first_lsn, JournalConfig::MIN_SEGMENT_BYTES) {
            Ok(()) => {
                match self.active.as_ref().and_then(ActiveSegment::space_error) {
                    None => tracing::info!(first_lsn, "the journal takes appends again"),
                    Some(space_error) => {
                        tracing::warn!(first_lsn, error = %space_error, "the journal takes only what leads to a release");
                    }
                }
                self.delete_empty_segments();
                self.resume_appends();
                // The last segment had to stay while there was no other.
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

    /// Tries whether there is space again to make the short segment a whole one.
    fn grow_to_full_size(&mut self) {
        let Some(active) = &mut self.active else { return };
        match active.grow(self.config.segment_bytes) {
            Ok(()) => {
                tracing::info!("the disk has space again: the journal takes all appends");
                self.resume_appends();
            }
            Err(error) if error.is_out_of_space() => self.retries.schedule_retry(),
            Err(error) => self.fail(error, CommitGroup::default()),
        }
    }

    /// Deletes the segments that hold nothing from `up_to` on. One segment always stays, so that its name keeps the
    /// LSNs from beginning again.
    fn release(&mut self, up_to: Lsn) {
        self.released_lsn = up_to;
        self.retry_delete_at = None;
        while let Some(oldest) = self.sealed.front().filter(|oldest| oldest.last_lsn < up_to) {
            if self.active.is_none() && self.sealed.len() == 1 {
                break;
            }
            if let Err(error) = segment::delete_segment(&self.dir, oldest) {
                // Appends are not concerned.
                tracing::warn!(%error, "a released segment can't be deleted and is tried again");
                self.last_error = Some(error);
                self.retry_delete_at = Some(Instant::now() + MAX_RETRY_DELAY);
                break;
            }
            self.sealed.pop_front();
        }
        self.shared.lock().set_disk_bytes(self.disk_bytes());
        self.publish_stats();
    }

    /// Deletes segments that hold nothing that counts. Only while there is an active one: see [`Appender::release`].
    fn delete_empty_segments(&mut self) {
        let dir = &self.dir;
        self.sealed.retain(|segment| {
            segment.last_lsn >= segment.name.first_lsn
                || segment::delete_segment(dir, segment).is_err_and(|error| {
                    tracing::warn!(%error, "an empty segment can't be deleted");
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
        // Everything is durable but the last mark; with it, a start need not guess at the tail.
        let sealed = active.seal();
        segment::truncate(&sealed.path, sealed.bytes)
    }
}

/// However the thread ends, also by a panic, nobody goes on waiting for it.
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

    /// For a test that is the thread itself.
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
        // As a process that is killed before the disk is well leaves it.
        drop(appender);
        let journal_dir = JournalDir::scan(dir.path()).unwrap();
        let kept: Vec<_> =
            journal_dir.segments.iter().map(|segment| (segment.name.first_lsn, segment.last_lsn)).collect();
        assert_eq!(kept, [(3, 2)]);
    }
}
