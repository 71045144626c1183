//! Tests of the whole journal with injected faults: failed syncs, a missing directory, and a panic of its thread.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::frame::Payload;
use super::segment::{ActiveSegment, FaultInjector, SegmentName};
use super::*;

const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 4096, max_bytes: 64 << 10, reserve_bytes: 4096, queue_bytes: 16 << 10 };

fn open(dir: &Path) -> (Journal, Recovery) {
    Journal::open(dir, CONFIG).unwrap()
}

fn submit(journal: &Journal, payload: &'static str) -> PendingAppend {
    journal.submit(1, vec![Bytes::from_static(payload.as_bytes())]).unwrap()
}

fn payloads(recovery: impl Iterator<Item = Result<JournalRecord, JournalError>>) -> Vec<(Lsn, String)> {
    let record = |record: Result<JournalRecord, JournalError>| {
        let record = record.unwrap();
        (record.lsn, String::from_utf8(record.payload.to_vec()).unwrap())
    };
    recovery.map(record).collect()
}

/// The directory as it would be if the process were killed now.
fn copy_dir(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn fail_syncs(journal: &Journal, count: usize) {
    journal.inner.shared.faults.failing_syncs.store(count, Ordering::SeqCst);
}

async fn wait_for_durable(journal: &Journal, durable: bool) {
    journal.watch_stats().wait_for(|stats| stats.durable == durable).await.unwrap();
}

#[tokio::test]
async fn records_of_a_failed_sync_are_not_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    assert_eq!(submit(&journal, "kept").await.unwrap(), 1);
    fail_syncs(&journal, 1);
    let pending = submit(&journal, "failed");
    let error = pending.await.unwrap_err();
    assert!(matches!(error, JournalError::Disk { .. }), "{error}");
    wait_for_durable(&journal, true).await;
    assert!(journal.stats().last_error.is_some_and(|last| last.contains("os error 5")));
    let after = submit(&journal, "after").await.unwrap();
    assert!(after > 2, "the LSN of the failed append is not reused");
    let crashed = copy_dir(dir.path());
    let (_, recovery) = open(crashed.path());
    assert_eq!(payloads(recovery), [(1, "kept".to_owned()), (after, "after".to_owned())]);
}

#[tokio::test]
async fn a_panic_of_the_journal_thread_is_reported_in_stats_and_to_every_append() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.inner.shared.faults.panic_on_sync.store(true, Ordering::SeqCst);
    let error = submit(&journal, "in flight").await.unwrap_err();
    assert!(matches!(error, JournalError::Panicked), "{error}");
    wait_for_durable(&journal, false).await;
    let last_error = journal.stats().last_error.expect("the stats have the error");
    assert!(last_error.contains("thread has panicked"), "{last_error}");
    for result in [journal.submit(1, vec![]), journal.submit_reserved(1, vec![])] {
        assert!(matches!(result, Err(JournalError::Panicked)), "{result:?}");
    }
    assert!(matches!(journal.wait_for_space(1).await, Err(JournalError::Panicked)));
    assert!(matches!(journal.close().await, Err(JournalError::Panicked)));
}

#[tokio::test]
async fn a_failing_disk_is_retried_until_it_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    submit(&journal, "kept").await.unwrap();
    fail_syncs(&journal, 3);
    let mut failures = 0;
    let lsn = loop {
        wait_for_durable(&journal, true).await;
        match submit(&journal, "recovered").await {
            Ok(lsn) => break lsn,
            Err(_) => failures += 1,
        }
    };
    assert_eq!(failures, 3);
    journal.close().await.unwrap();
    let (_, recovery) = open(dir.path());
    assert_eq!(payloads(recovery), [(1, "kept".to_owned()), (lsn, "recovered".to_owned())]);
}

#[tokio::test]
async fn a_missing_directory_fails_appends_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (journal_dir, moved_dir) = (dir.path().join("journal"), dir.path().join("moved"));
    let (journal, _) = open(&journal_dir);
    submit(&journal, "kept").await.unwrap();
    fs::rename(&journal_dir, &moved_dir).unwrap();
    // The open file still accepts these records, but the next segment cannot be created.
    let full = Bytes::from(vec![0; 3000]);
    journal.append(2, vec![full.clone()]).await.unwrap();
    let error = journal.append(2, vec![full.clone()]).await.unwrap_err();
    assert!(error.to_string().contains(".journal: No such file"), "{error}");
    assert!(!journal.stats().durable);
    journal.wait_for_space(1).await.unwrap_err();
    fs::rename(&moved_dir, &journal_dir).unwrap();
    wait_for_durable(&journal, true).await;
    journal.append(2, vec![full]).await.unwrap();
    journal.close().await.unwrap();
    let (_, recovery) = open(&journal_dir);
    assert_eq!(recovery.count(), 3);
}

#[tokio::test]
async fn a_failed_append_is_not_recovered_even_if_the_file_was_not_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    submit(&journal, "kept").await.unwrap();
    let failed = submit(&journal, "failed").await.unwrap();
    journal.close().await.unwrap();
    // As if the second append had failed, its file could not be truncated, and a third append had succeeded.
    let next = SegmentName { first_lsn: failed + 2, durable_lsn: 1, salt: 5 };
    let mut active = ActiveSegment::create(dir.path(), next, 0, CONFIG.segment_bytes).unwrap();
    let third = Payload::new(1, vec![Bytes::from_static(b"third")], 10).unwrap();
    active.append(&[(next.first_lsn, third)], &FaultInjector::default()).unwrap();
    let (_, mut recovery) = open(dir.path());
    let recovered = payloads(&mut recovery);
    assert_eq!(recovered, [(1, "kept".to_owned()), (next.first_lsn, "third".to_owned())]);
    let report = recovery.report();
    assert_eq!((report.damage_count, &report.torn_tail), (0, &None));
}
