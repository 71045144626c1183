//! The API of the journal on real files.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millrace::internals::journal::frame::HEADER_BYTES;
use millrace::internals::journal::{Journal, JournalConfig, JournalError, JournalRecord};

const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 4096, max_bytes: 20_000, reserve_bytes: 2_000, queue_bytes: 8_000 };

fn bytes(length: usize) -> Vec<Bytes> {
    vec![Bytes::from(vec![7; length])]
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn appended_records_are_recovered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovery) = Journal::open(dir.path(), CONFIG).unwrap();
    assert_eq!(recovery.count(), 0);
    let parts = vec![Bytes::from_static(b"in "), Bytes::from_static(b"parts")];
    assert_eq!(journal.append(1, parts).await.unwrap(), 1);
    assert_eq!(journal.append(255, vec![]).await.unwrap(), 2);
    journal.close().await.unwrap();
    journal.close().await.unwrap();
    assert!(matches!(journal.append(1, vec![]).await, Err(JournalError::Closed)));

    let (journal, mut recovery) = Journal::open(dir.path(), CONFIG).unwrap();
    let recovered: Vec<_> = recovery.by_ref().map(Result::unwrap).collect();
    assert_eq!(recovered[0], JournalRecord { lsn: 1, kind: 1, payload: Bytes::from_static(b"in parts") });
    assert_eq!(recovered[1], JournalRecord { lsn: 2, kind: 255, payload: Bytes::new() });
    assert_eq!((recovered.len(), recovery.report().damage_count), (2, 0));
    assert_eq!(recovery.report().torn_tail, None);
    assert_eq!(journal.stats().durable_lsn, 2);
    assert_eq!(journal.append(1, vec![]).await.unwrap(), 3);
}

#[tokio::test]
async fn dropping_the_journal_writes_submitted_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    let pending: Vec<_> = (0..5).map(|_| journal.submit(1, bytes(100)).unwrap()).collect();
    drop(journal);
    for append in pending {
        append.await.unwrap();
    }
}

#[tokio::test]
async fn repeated_opens_leave_no_files_and_never_reuse_an_lsn() {
    let dir = tempfile::tempdir().unwrap();
    let (mut last, mut before) = (0, None);
    for round in 0..5 {
        let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
        assert!(segments(dir.path()).len() <= 1 + usize::from(round > 2), "{:?}", segments(dir.path()));
        let newest = segments(dir.path()).pop();
        assert!(newest > before, "the name of an empty segment is not reused: {newest:?} after {before:?}");
        before = newest;
        if round == 2 {
            last = journal.append(1, bytes(10)).await.unwrap();
        }
        journal.close().await.unwrap();
    }
    let (journal, recovery) = Journal::open(dir.path(), CONFIG).unwrap();
    assert_eq!(recovery.map(|record| record.unwrap().lsn).collect::<Vec<_>>(), [last]);
    assert!(journal.append(1, bytes(10)).await.unwrap() > last);
}

#[tokio::test]
async fn released_segments_are_deleted_and_lsns_continue() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    for _ in 0..4 {
        journal.append(1, bytes(3_000)).await.unwrap();
    }
    assert_eq!((journal.stats().segments, journal.stats().first_lsn), (4, 1));
    journal.release(3);
    let mut changes = journal.watch_stats();
    let stats = changes.wait_for(|stats| stats.segments == 2).await.unwrap().clone();
    assert_eq!((stats.first_lsn, stats.durable_lsn), (3, 4));
    assert_eq!(segments(dir.path()).len(), 2);
    journal.release(u64::MAX);
    changes.wait_for(|stats| stats.segments == 1).await.unwrap();
    journal.close().await.unwrap();
    let (journal, recovery) = Journal::open(dir.path(), CONFIG).unwrap();
    assert_eq!(
        recovery.map(|record| record.unwrap().lsn).collect::<Vec<_>>(),
        [4],
        "the last segment is kept"
    );
    assert_eq!(journal.append(1, vec![]).await.unwrap(), 5);
}

#[tokio::test]
async fn a_full_journal_keeps_its_reserve_and_accepts_after_a_release() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    let mut last_lsn = 0;
    let full = loop {
        match journal.append(1, bytes(1_800)).await {
            Ok(lsn) => last_lsn = lsn,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, JournalError::Full { max_bytes: 18_000, .. }), "{full}");
    assert_eq!(last_lsn, 9);
    let landed = journal.submit_reserved(2, bytes(1_000)).unwrap().await.unwrap();
    assert_eq!(landed, 10);
    assert!(matches!(journal.submit_reserved(2, bytes(3_000)), Err(JournalError::Full { .. })));

    let waiting = tokio::spawn({
        let journal = journal.clone();
        async move { journal.wait_for_space(1_800).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    journal.release(landed);
    waiting.await.unwrap().unwrap();
    journal.append(1, bytes(1_800)).await.unwrap();
}

#[tokio::test]
async fn concurrent_appends_wait_for_the_queue_and_become_durable() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { max_bytes: 1 << 20, ..CONFIG };
    let (journal, _) = Journal::open(dir.path(), config).unwrap();
    let appends = (0..200).map(|_| {
        let journal = journal.clone();
        tokio::spawn(async move { journal.append(1, bytes(500)).await.unwrap() })
    });
    let mut lsns = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        lsns.push(append.await.unwrap());
    }
    lsns.sort_unstable();
    assert_eq!(lsns, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_must_fit_into_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    let max_bytes = 4096 - 2 * HEADER_BYTES;
    let error = journal.append(1, bytes(max_bytes + 1)).await.unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { bytes: 4041, max_bytes: 4040 }), "{error}");
    journal.append(1, bytes(max_bytes)).await.unwrap();
    journal.append(1, bytes(max_bytes)).await.unwrap();
}

#[tokio::test]
async fn bit_flips_are_reported_and_lose_only_their_record() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    for _ in 0..3 {
        journal.append(1, bytes(100)).await.unwrap();
    }
    journal.close().await.unwrap();
    let file = segments(dir.path()).remove(0);
    let mut content = fs::read(&file).unwrap();
    let second = (100 + 2 * HEADER_BYTES) as u64;
    content[second as usize + HEADER_BYTES + 50] ^= 4;
    fs::write(&file, content).unwrap();

    let (_journal, mut recovery) = Journal::open(dir.path(), CONFIG).unwrap();
    assert_eq!(recovery.by_ref().map(|record| record.unwrap().lsn).collect::<Vec<_>>(), [1, 3]);
    let damage = &recovery.report().damage;
    assert_eq!((damage.len(), damage[0].offset, damage[0].lost.clone()), (1, second, Some(2..=2)));
    let message = damage[0].to_string();
    assert!(
        message.ends_with(".journal: byte 156: checksum mismatch in the payload; record 2 is lost"),
        "{message}"
    );
}

#[tokio::test]
async fn a_missing_segment_is_reported_with_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    for _ in 0..3 {
        journal.append(1, bytes(3_000)).await.unwrap();
    }
    journal.close().await.unwrap();
    fs::remove_file(segments(dir.path()).remove(1)).unwrap();
    let (_journal, mut recovery) = Journal::open(dir.path(), CONFIG).unwrap();
    assert_eq!(recovery.by_ref().map(|record| record.unwrap().lsn).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(recovery.report().damage[0].lost, Some(2..=2));
}

#[test]
fn an_invalid_configuration_is_rejected_with_the_minimum() {
    let dir = tempfile::tempdir().unwrap();
    for (config, message) in [
        (JournalConfig { max_bytes: 10_191, ..CONFIG }, "at least 10192 bytes are required"),
        (JournalConfig { segment_bytes: 4_095, ..CONFIG }, "at least 4096 bytes are required"),
        (JournalConfig { queue_bytes: 0, ..CONFIG }, "at least 1 byte is required"),
    ] {
        let error = Journal::open(dir.path(), config).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test]
async fn durable_records_are_readable_during_appends() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { max_bytes: 1 << 20, ..CONFIG };
    let (journal, _) = Journal::open(dir.path(), config).unwrap();
    for round in 0..50_u64 {
        let pending: Vec<_> = (0..4).map(|_| journal.submit(1, bytes(300)).unwrap()).collect();
        let (first, last) = (round * 3 + 1, journal.stats().durable_lsn);
        if first <= last {
            let read: Vec<_> =
                journal.read(first..=last).unwrap().map(|record| record.unwrap().lsn).collect();
            assert_eq!(read, (first..=last).collect::<Vec<_>>());
        }
        for append in pending {
            append.await.unwrap();
        }
    }
}

/// As the writer does: it reads batches for retries while landed ones are released.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn retained_records_are_readable_during_releases() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { max_bytes: 16 << 20, ..CONFIG };
    let (journal, _) = Journal::open(dir.path(), config).unwrap();
    let reader = journal.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    // The lowest LSN that the reader still needs.
    let wanted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let reader_wanted = std::sync::Arc::clone(&wanted);
    let reading = tokio::task::spawn_blocking(move || {
        let mut reads = 0_u64;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let newest = reader.stats().durable_lsn;
            if newest > 0 {
                reader_wanted.store(newest, std::sync::atomic::Ordering::SeqCst);
                let read = reader.read(newest..=newest).expect("the directory can be listed");
                assert_eq!(read.map(|record| record.unwrap().lsn).collect::<Vec<_>>(), [newest]);
                reads += 1;
            }
        }
        reads
    });
    for _ in 0..1_000 {
        // Each record fills a segment. The last 20 are kept, and those that the reader needs.
        let lsn = journal.append(1, bytes(4_000)).await.unwrap();
        journal.release(lsn.saturating_sub(20).min(wanted.load(std::sync::atomic::Ordering::SeqCst)));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(reading.await.unwrap() > 0);
}

#[tokio::test]
async fn an_overfull_journal_still_accepts_reserved_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), JournalConfig { max_bytes: 60_000, ..CONFIG }).unwrap();
    for _ in 0..40 {
        journal.append(1, bytes(1_000)).await.unwrap();
    }
    journal.close().await.unwrap();

    let (journal, _) = Journal::open(dir.path(), CONFIG).unwrap();
    assert!(matches!(journal.submit(1, bytes(10)), Err(JournalError::Full { .. })));
    for _ in 0..2 {
        let landed = journal.submit_reserved(2, bytes(100)).unwrap().await.unwrap();
        assert!(landed > 40);
        assert!(matches!(journal.submit(1, bytes(10)), Err(JournalError::Full { .. })));
    }
    assert!(matches!(journal.submit_reserved(2, bytes(2_000)), Err(JournalError::Full { .. })));
    journal.release(41);
    journal.wait_for_space(10).await.unwrap();
    journal.append(1, bytes(10)).await.unwrap();
}
