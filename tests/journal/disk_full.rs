//! The journal on a full disk: a small tmpfs for each test.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use millrace::internals::journal::{Journal, JournalConfig, JournalError, Lsn};

/// On the 4 MiB disk, two segments fit beside the ballast file, a third does not.
const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 1 << 20, max_bytes: 1 << 30, reserve_bytes: 0, queue_bytes: 1 << 20 };

/// A mounted tmpfs, unmounted when dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, with the reason on stderr, if mounting is not permitted.
    pub(crate) fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                eprintln!(
                    "NOT TESTED: a full disk needs a small tmpfs, and mounting one failed: {}",
                    stderr.trim()
                );
                None
            }
            Err(error) => {
                eprintln!("NOT TESTED: a full disk needs a small tmpfs, and `mount` cannot be run: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} is still mounted",
            self.0.path().display()
        );
    }
}

async fn wait_until_durable(journal: &Journal) {
    let mut changes = journal.watch_stats();
    let durable_again = changes.wait_for(|stats| stats.durable);
    tokio::time::timeout(Duration::from_secs(10), durable_again)
        .await
        .expect("the journal recovers automatically")
        .unwrap();
}

#[tokio::test]
async fn nothing_is_acked_on_a_full_disk_and_service_resumes_with_free_space() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let dir = disk.path().join("journal");
    let ballast = disk.path().join("ballast");
    let payload = Bytes::from(vec![1; 100_000]);
    let (journal, _) = Journal::open(&dir, CONFIG).unwrap();
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();

    let mut acknowledged = Vec::new();
    let error = loop {
        match journal.append(1, vec![payload.clone()]).await {
            Ok(lsn) => acknowledged.push(lsn),
            Err(error) => break error,
        }
    };
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    assert!(matches!(error, JournalError::Disk { .. }), "{error}");
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert!(!journal.stats().durable);
    assert!(journal.stats().last_error.is_some_and(|last| last.contains("No space left on device")));
    let error = journal.submit(1, vec![payload.clone()]).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");

    fs::remove_file(&ballast).unwrap();
    wait_until_durable(&journal).await;
    acknowledged.push(journal.append(1, vec![payload.clone()]).await.unwrap());

    // Fill the disk again. This time a release frees the space.
    while let Ok(lsn) = journal.append(1, vec![payload.clone()]).await {
        acknowledged.push(lsn);
    }
    let oldest_kept = acknowledged[acknowledged.len() / 2];
    journal.release(oldest_kept);
    wait_until_durable(&journal).await;
    acknowledged.push(journal.append(1, vec![payload.clone()]).await.unwrap());
    journal.close().await.unwrap();

    let (_journal, mut recovery) = Journal::open(&dir, CONFIG).unwrap();
    let recovered: Vec<_> = recovery.by_ref().map(|record| record.unwrap().lsn).collect();
    acknowledged.retain(|lsn| *lsn >= recovered[0]);
    assert!(recovered[0] <= oldest_kept);
    assert_eq!(recovered, acknowledged, "exactly the acknowledged records");
    assert_eq!(recovery.report().damage_count, 0);
}

/// Appends a reserved record, and retries until it is accepted.
async fn append_reserved(journal: &Journal, bytes: usize) -> Lsn {
    let appended = async {
        loop {
            match journal.submit_reserved(2, vec![Bytes::from(vec![2; bytes])]) {
                Ok(pending) => return pending.await.unwrap(),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), appended).await.expect("a reserved record is accepted")
}

#[tokio::test]
async fn a_full_disk_accepts_only_reserved_records() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let dir = disk.path().join("journal");
    let ballast = disk.path().join("ballast");
    let payload = Bytes::from(vec![1; 100_000]);
    let (journal, _) = Journal::open(&dir, CONFIG).unwrap();
    fs::write(&ballast, vec![0; 3 << 19]).unwrap();
    let mut acknowledged = Vec::new();
    while let Ok(lsn) = journal.append(1, vec![payload.clone()]).await {
        acknowledged.push(lsn);
    }
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());

    // The last record needs more than the short segment has preallocated.
    for bytes in [60, 60, 600_000] {
        acknowledged.push(append_reserved(&journal, bytes).await);
        assert!(!journal.stats().durable);
        assert!(journal.stats().last_error.is_some_and(|last| last.contains("No space left on device")));
        let error = journal.submit(1, vec![payload.clone()]).unwrap_err();
        assert!(error.to_string().contains("No space left on device"), "{error}");
        let error = journal.wait_for_space(1).await.unwrap_err();
        assert!(error.to_string().contains("No space left on device"), "{error}");
    }
    let killed = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, killed.path().join(path.file_name().unwrap())).unwrap();
    }
    let (_, recovery) = Journal::open(killed.path(), CONFIG).unwrap();
    assert_eq!(recovery.map(|record| record.unwrap().lsn).collect::<Vec<_>>(), acknowledged);

    let oldest_kept = acknowledged[acknowledged.len() - 1];
    journal.release(oldest_kept);
    wait_until_durable(&journal).await;
    acknowledged.push(journal.append(1, vec![payload.clone()]).await.unwrap());
    acknowledged.push(append_reserved(&journal, 60).await);
    journal.close().await.unwrap();

    let (_journal, mut recovery) = Journal::open(&dir, CONFIG).unwrap();
    let recovered: Vec<_> = recovery.by_ref().map(|record| record.unwrap().lsn).collect();
    acknowledged.retain(|lsn| *lsn >= recovered[0]);
    assert!(recovered[0] <= oldest_kept);
    assert_eq!(recovered, acknowledged, "exactly the acknowledged records");
    assert_eq!(recovery.report().damage_count, 0);
}

#[tokio::test]
async fn a_journal_opens_on_a_full_disk_and_can_be_released() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let dir = disk.path().join("journal");
    let (journal, _) = Journal::open(&dir, CONFIG).unwrap();
    journal.append(1, vec![Bytes::from(vec![1; 900_000])]).await.unwrap();
    journal.append(1, vec![Bytes::from(vec![1; 900_000])]).await.unwrap();
    journal.close().await.unwrap();
    fs::write(disk.path().join("ballast"), vec![0; 3 << 20]).unwrap_err();

    let (journal, recovery) = Journal::open(&dir, CONFIG).unwrap();
    assert!(!journal.stats().durable);
    assert_eq!(recovery.map(|record| record.unwrap().lsn).collect::<Vec<_>>(), [1, 2]);
    journal.release(2);
    journal.watch_stats().wait_for(|stats| stats.first_lsn == 2).await.unwrap();
    fs::remove_file(disk.path().join("ballast")).unwrap();
    wait_until_durable(&journal).await;
    assert!(journal.append(1, vec![]).await.unwrap() > 2);
}
