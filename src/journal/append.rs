//! The thread that owns the files: group commit, rolling to the next segment, deleting released ones, and getting well
//! after the disk failed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::error::JournalError;
use super::queue::{Generation, Group, Shared};
use super::segment::{self, Active, MARK_BYTES, Sealed, SegmentName};
use super::{JournalConfig, Lsn, Stats};

const FIRST_RETRY: Duration = Duration::from_millis(10);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The files, and how well the disk is.
#[derive(Debug)]
pub(super) struct Appender {
    shared: Arc<Shared>,
    dir: PathBuf,
    config: JournalConfig,
    sealed: VecDeque<Sealed>,
    /// None while the disk fails; a short one while it only lacks space.
    active: Option<Active>,
    durable_lsn: Lsn,
    released: Lsn,
    /// When the deletion of released segments is tried again, after one failed.
    delete_again: Option<Instant>,
    last_error: Option<JournalError>,
    recovery: Backoff,
    /// Of the appends that the last failure failed.
    failed: Generation,
}

/// When to try again, and how long to wait after that.
#[derive(Debug)]
struct Backoff {
    at: Option<Instant>,
    next: Duration,
}

impl Backoff {
    fn later(&mut self) {
        self.at = Some(Instant::now() + self.next);
        self.next = (self.next * 2).min(LAST_RETRY);
    }

    fn due(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    fn over(&mut self) {
        *self = Self { at: None, next: FIRST_RETRY };
    }
}

impl Appender {
    /// Continues a folder whose newest records are `sealed`, in a new segment that begins with `first`. Where that can't
    /// be made the journal starts out failed, and goes on trying: what is there can be read and released all the same.
    /// On a disk that is merely full it soon takes what leads to a release.
    pub(super) fn start(
        shared: Arc<Shared>,
        dir: PathBuf,
        config: JournalConfig,
        sealed: VecDeque<Sealed>,
        first: Lsn,
    ) -> Self {
        let durable_lsn = sealed.back().map_or(0, |newest| newest.last);
        let mut appender = Self {
            shared,
            dir,
            config,
            sealed,
            active: None,
            durable_lsn,
            released: 0,
            delete_again: None,
            last_error: None,
            recovery: Backoff { at: None, next: FIRST_RETRY },
            failed: Generation::default(),
        };
        match appender.create(first, config.segment_bytes) {
            Ok(()) => appender.drop_void(),
            Err(error) => appender.fail(error, Group::default()),
        }
        appender.publish();
        appender
    }

    /// Works until the journal is closed. Returns the error that kept the last appends from being taken, if one does.
    pub(super) fn run(mut self) -> Result<(), JournalError> {
        let _closed = CloseOnDrop(Arc::clone(&self.shared));
        loop {
            let wake_at = self.recovery.at.into_iter().chain(self.delete_again).min();
            let mut work = self.shared.wait(self.released, wake_at);
            if work.release_to > self.released || self.delete_again.is_some_and(|at| at <= Instant::now()) {
                self.release(work.release_to);
            }
            let idle = work.group.records.is_empty();
            while !work.group.records.is_empty() {
                self.commit(&mut work.group);
            }
            if work.closing && idle {
                return self.end();
            }
            if self.recovery.due() {
                if self.active.is_some() { self.make_whole() } else { self.recover() }
            }
        }
    }

    /// Makes the first records of the group durable: as many as the segment takes, with one sync.
    fn commit(&mut self, group: &mut Group) {
        let Some(active) = &mut self.active else {
            // The rest of a group whose first part failed was failed with it.
            unreachable!("appends are queued only while there is a segment");
        };
        let count = group.fitting(active.room());
        if count == 0 {
            let (first, payload) = &group.records[0];
            if let Err(error) = self.make_room(*first, payload.frame_bytes() + MARK_BYTES) {
                self.fail(error, std::mem::take(group));
            }
            return;
        }
        let frame_bytes = group.records[..count].iter().map(|(_, payload)| payload.frame_bytes()).sum();
        match active.append(&group.records[..count], &self.shared.faults) {
            Ok(last) => {
                self.durable_lsn = last;
                if active.lack().is_none() {
                    self.recovery.over();
                }
                self.shared.lock().written(frame_bytes, self.disk_bytes());
                self.publish();
                group.complete(count, &Ok(()));
            }
            Err(error) => self.fail(error, std::mem::take(group)),
        }
    }

    /// Room for so many bytes, of which the first are the record `first`: in the active segment, if it is a short one
    /// that can grow, or in the next.
    fn make_room(&mut self, first: Lsn, bytes: u64) -> Result<(), JournalError> {
        let whole = self.config.segment_bytes;
        let mut least = whole;
        if let Some(active) = &mut self.active
            && active.lack().is_some()
        {
            let needed = active.bytes() + bytes;
            if needed <= whole {
                active.grow(needed)?;
                self.opened();
                return Ok(());
            }
            // Every record of this group is reserved.
            least = bytes;
        }
        if let Some(full) = self.active.take() {
            self.sealed.push_back(full.seal());
        }
        self.create(first, least)?;
        self.opened();
        Ok(())
    }

    /// A short segment of at least `least` bytes, where the disk lacks the space for a whole one.
    fn create(&mut self, first: Lsn, least: u64) -> Result<(), JournalError> {
        let name = SegmentName { first, after: self.durable_lsn, salt: rand::random() };
        self.active = Some(Active::create(&self.dir, name, least, self.config.segment_bytes)?);
        Ok(())
    }

    /// There is an active segment: takes what it is for, and goes on trying where it is a short one.
    fn opened(&mut self) {
        let lack = self.active.as_ref().and_then(Active::lack).cloned();
        match lack {
            Some(lack) => {
                self.last_error = Some(lack.clone());
                self.recovery.later();
                self.shared.lock().open_for_reserved(lack);
            }
            None => {
                // The next wait stays as long as it was until an append has succeeded.
                self.recovery.at = None;
                self.shared.lock().reopen();
            }
        }
        self.publish();
    }

    /// The disk failed: nothing of this group counts, nothing that is queued behind it, and the segment is not written
    /// again.
    fn fail(&mut self, cause: JournalError, mut group: Group) {
        tracing::error!(error = %cause, appends = group.records.len(), "the journal can't write");
        self.last_error = Some(cause.clone());
        if let Some(active) = self.active.take() {
            self.sealed.push_back(active.abandon());
        }
        let disk_bytes = self.disk_bytes();
        let mut queue = self.shared.lock();
        let (mut queued, failed) = queue.fail(cause.clone());
        queue.set_disk_bytes(disk_bytes);
        drop(queue);
        self.failed = failed;
        self.recovery.later();
        self.publish();
        let outcome = Err(cause);
        group.complete(group.records.len(), &outcome);
        queued.complete(queued.records.len(), &outcome);
    }

    /// Begins a new segment, once every failed append has been seen to have failed.
    fn recover(&mut self) {
        let unseen = Arc::strong_count(&self.failed) - 1;
        if unseen > 0 {
            tracing::debug!(unseen, "failed appends wait to be seen by their callers");
            self.recovery.at = Some(Instant::now() + FIRST_RETRY);
            return;
        }
        // A new name at each try: what an earlier try may have left can then not be taken for this segment.
        let first = self.shared.lock().skip_lsn();
        match self.create(first, JournalConfig::MIN_SEGMENT_BYTES) {
            Ok(()) => {
                match self.active.as_ref().and_then(Active::lack) {
                    None => tracing::info!(first, "the journal takes appends again"),
                    Some(lack) => {
                        tracing::warn!(first, error = %lack, "the journal takes only what leads to a release");
                    }
                }
                self.drop_void();
                self.opened();
                // The last segment had to stay while there was no other.
                self.release(self.released);
            }
            Err(error) => {
                self.last_error = Some(error.clone());
                self.recovery.later();
                self.shared.lock().fail_again(error);
                self.publish();
            }
        }
    }

    /// Tries whether there is space again to make the short segment a whole one.
    fn make_whole(&mut self) {
        let Some(active) = &mut self.active else { return };
        match active.grow(self.config.segment_bytes) {
            Ok(()) => {
                tracing::info!("the disk has space again: the journal takes all appends");
                self.opened();
            }
            Err(error) if error.is_lack_of_space() => self.recovery.later(),
            Err(error) => self.fail(error, Group::default()),
        }
    }

    /// Deletes the segments that hold nothing from `up_to` on. One segment always stays, so that its name keeps the
    /// LSNs from beginning again.
    fn release(&mut self, up_to: Lsn) {
        self.released = up_to;
        self.delete_again = None;
        while let Some(oldest) = self.sealed.front().filter(|oldest| oldest.last < up_to) {
            if self.active.is_none() && self.sealed.len() == 1 {
                break;
            }
            if let Err(error) = segment::remove(&self.dir, oldest) {
                // Appends are not concerned.
                tracing::warn!(%error, "a released segment can't be deleted and is tried again");
                self.last_error = Some(error);
                self.delete_again = Some(Instant::now() + LAST_RETRY);
                break;
            }
            self.sealed.pop_front();
        }
        self.shared.lock().set_disk_bytes(self.disk_bytes());
        self.publish();
    }

    /// Deletes segments that hold nothing that counts. Only while there is an active one: see [`Appender::release`].
    fn drop_void(&mut self) {
        let dir = &self.dir;
        self.sealed.retain(|segment| {
            segment.last >= segment.name.first
                || segment::remove(dir, segment).is_err_and(|error| {
                    tracing::warn!(%error, "an empty segment can't be deleted");
                    true
                })
        });
    }

    fn disk_bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, Active::bytes);
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + active
    }

    fn publish(&self) {
        let active = self.active.as_ref().map(Active::name);
        let first = self.sealed.front().map(|segment| segment.name).or(active);
        self.shared.stats.send_replace(Stats {
            disk_bytes: self.disk_bytes(),
            max_bytes: self.config.max_bytes,
            segments: self.sealed.len() + usize::from(active.is_some()),
            first_lsn: first.map_or(self.durable_lsn + 1, |name| name.first),
            durable_lsn: self.durable_lsn,
            durable: self.active.as_ref().is_some_and(|active| active.lack().is_none()),
            last_error: self.last_error.as_ref().map(ToString::to_string),
        });
    }

    fn end(mut self) -> Result<(), JournalError> {
        let Some(active) = self.active.take() else {
            return Err(self.last_error.take().unwrap_or(JournalError::Closed));
        };
        // Everything is durable but the last mark; with it, a start need not guess at the tail.
        let sealed = active.seal();
        segment::cut(&sealed.path, sealed.bytes)
    }
}

/// However the thread ends, also by a panic, nobody goes on waiting for it.
struct CloseOnDrop(Arc<Shared>);

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
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::super::queue::{Allowance, Queue};
    use super::super::replay::Folder;
    use super::super::{Journal, Payload, PendingAppend, Record, Recovery};
    use super::*;

    const CONFIG: JournalConfig = JournalConfig {
        segment_bytes: 4096,
        max_bytes: 64 << 10,
        reserve_bytes: 4096,
        queue_bytes: 16 << 10,
    };

    fn open(dir: &Path) -> (Journal, Recovery) {
        Journal::open(dir, CONFIG).unwrap()
    }

    /// For a test that is the thread itself.
    fn without_thread(dir: &Path) -> (Arc<Shared>, Appender) {
        let shared = Arc::new(Shared::new(Queue::new(CONFIG, 1, 0)));
        let appender = Appender::start(Arc::clone(&shared), dir.to_owned(), CONFIG, VecDeque::new(), 1);
        (shared, appender)
    }

    fn queue(shared: &Shared, bytes: usize) -> Result<PendingAppend, JournalError> {
        let payload = Payload::new(1, vec![Bytes::from(vec![0; bytes])], bytes).unwrap();
        shared.submit(payload, Allowance::Ordinary).map_err(|(error, _)| error)
    }

    fn submit(journal: &Journal, payload: &'static str) -> PendingAppend {
        journal.submit(1, vec![Bytes::from_static(payload.as_bytes())]).unwrap()
    }

    fn payloads(recovery: impl Iterator<Item = Result<Record, JournalError>>) -> Vec<(Lsn, String)> {
        let record = |record: Result<Record, JournalError>| {
            let record = record.unwrap();
            (record.lsn, String::from_utf8(record.payload.to_vec()).unwrap())
        };
        recovery.map(record).collect()
    }

    /// As a process that is killed now would leave it.
    fn copy(dir: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    fn fail_syncs(journal: &Journal, count: usize) {
        journal.handle.shared.faults.failing_syncs.store(count, Ordering::SeqCst);
    }

    async fn until(journal: &Journal, durable: bool) {
        journal.watch().wait_for(|stats| stats.durable == durable).await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_sync_fails_its_group_and_nothing_of_it_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path());
        assert_eq!(submit(&journal, "kept").await.unwrap(), 1);
        fail_syncs(&journal, 1);
        let pending = submit(&journal, "failed");
        let error = pending.await.unwrap_err();
        assert!(matches!(error, JournalError::Disk { .. }), "{error}");
        until(&journal, true).await;
        assert!(journal.stats().last_error.is_some_and(|last| last.contains("os error 5")));
        let after = submit(&journal, "after").await.unwrap();
        assert!(after > 2, "the failed append's number is not given again");
        let crashed = copy(dir.path());
        let (_, recovery) = open(crashed.path());
        assert_eq!(payloads(recovery), [(1, "kept".to_owned()), (after, "after".to_owned())]);
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_told_by_the_state_and_to_every_append() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path());
        journal.handle.shared.faults.panics.store(true, Ordering::SeqCst);
        let error = submit(&journal, "in its hands").await.unwrap_err();
        assert!(matches!(error, JournalError::Panicked), "{error}");
        until(&journal, false).await;
        let last_error = journal.stats().last_error.expect("it says why");
        assert!(last_error.contains("thread has panicked"), "{last_error}");
        for refused in [journal.submit(1, vec![]), journal.submit_reserved(1, vec![])] {
            assert!(matches!(refused, Err(JournalError::Panicked)), "{refused:?}");
        }
        assert!(matches!(journal.room(1).await, Err(JournalError::Panicked)));
        assert!(matches!(journal.close().await, Err(JournalError::Panicked)));
    }

    #[test]
    fn appends_are_refused_until_every_failed_one_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut appender) = without_thread(dir.path());
        let (first, second) = (queue(&shared, 10).unwrap(), queue(&shared, 10).unwrap());
        shared.faults.failing_syncs.store(1, Ordering::SeqCst);
        appender.commit(&mut shared.wait(0, None).group);
        for unseen in [first, second] {
            appender.recover();
            assert!(matches!(queue(&shared, 10), Err(JournalError::Disk { .. })));
            assert!(!shared.stats.borrow().durable);
            drop(unseen);
        }
        appender.recover();
        assert!(shared.stats.borrow().durable);
        drop(queue(&shared, 10).unwrap());
    }

    #[test]
    fn what_is_queued_behind_a_failed_group_fails_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut appender) = without_thread(dir.path());
        let mut pending = vec![queue(&shared, 10).unwrap()];
        let mut group = shared.wait(0, None).group;
        pending.push(queue(&shared, 10).unwrap());
        shared.faults.failing_syncs.store(1, Ordering::SeqCst);
        appender.commit(&mut group);
        for append in pending {
            let outcome = append.now_or_never();
            assert!(matches!(outcome, Some(Err(JournalError::Disk { .. }))), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_disk_that_goes_on_failing_is_tried_again_until_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path());
        submit(&journal, "kept").await.unwrap();
        fail_syncs(&journal, 3);
        let mut failures = 0;
        let lsn = loop {
            until(&journal, true).await;
            match submit(&journal, "at last").await {
                Ok(lsn) => break lsn,
                Err(_) => failures += 1,
            }
        };
        assert_eq!(failures, 3);
        journal.close().await.unwrap();
        let (_, recovery) = open(dir.path());
        assert_eq!(payloads(recovery), [(1, "kept".to_owned()), (lsn, "at last".to_owned())]);
    }

    #[tokio::test]
    async fn a_folder_that_goes_away_fails_appends_and_heals_when_it_returns() {
        let dir = tempfile::tempdir().unwrap();
        let (home, away) = (dir.path().join("journal"), dir.path().join("away"));
        let (journal, _) = open(&home);
        submit(&journal, "kept").await.unwrap();
        fs::rename(&home, &away).unwrap();
        // The open file still takes these; the next segment can't be made.
        let full = Bytes::from(vec![0; 3000]);
        journal.append(2, vec![full.clone()]).await.unwrap();
        let error = journal.append(2, vec![full.clone()]).await.unwrap_err();
        assert!(error.to_string().contains(".journal: No such file"), "{error}");
        assert!(!journal.stats().durable);
        journal.room(1).await.unwrap_err();
        fs::rename(&away, &home).unwrap();
        until(&journal, true).await;
        journal.append(2, vec![full]).await.unwrap();
        journal.close().await.unwrap();
        let (_, recovery) = open(&home);
        assert_eq!(recovery.count(), 3);
    }

    #[tokio::test]
    async fn what_a_failed_append_left_is_void_even_where_the_file_could_not_be_cut() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path());
        submit(&journal, "kept").await.unwrap();
        let failed = submit(&journal, "failed").await.unwrap();
        journal.close().await.unwrap();
        // The folder as it would be if the second append had failed, its file could not be cut, and a third went well.
        let next = SegmentName { first: failed + 2, after: 1, salt: 5 };
        let mut active = segment::Active::create(dir.path(), next, 0, CONFIG.segment_bytes).unwrap();
        let third = Payload::new(1, vec![Bytes::from_static(b"third")], 10).unwrap();
        active.append(&[(next.first, third)], &segment::Faults::default()).unwrap();
        let (_, mut recovery) = open(dir.path());
        let recovered = payloads(&mut recovery);
        assert_eq!(recovered, [(1, "kept".to_owned()), (next.first, "third".to_owned())]);
        let report = recovery.report();
        assert_eq!((report.damaged_places, &report.torn_tail), (0, &None));
    }

    #[test]
    fn numbers_go_on_after_everything_was_released_and_the_disk_failed() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut appender) = without_thread(dir.path());
        let append = |appender: &mut Appender| {
            let pending = queue(&shared, 3000).unwrap();
            let mut group = shared.wait(0, None).group;
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
        let folder = Folder::inspect(dir.path()).unwrap();
        let kept: Vec<_> = folder.segments.iter().map(|segment| (segment.name.first, segment.last)).collect();
        assert_eq!(kept, [(3, 2)]);
    }
}
