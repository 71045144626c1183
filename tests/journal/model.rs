//! A model test of the journal under random appends, releases, crashes, torn tails, flipped bits, and disks that are full
//! or unavailable. Durable records that are not released are always recovered. No other record is, except for a contiguous
//! first part of a group whose sync had not returned. Damage loses only its own record, and is reported with its position.
//!
//! Crashes are simulated on copies of the real files. A killed process leaves everything that it has written: the copy is
//! not changed. A power cut may lose any part of the last group, whose sync had not returned: its mark is removed, and
//! the bytes before it are truncated and zeroed at random.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use millrace::internals::journal::frame::{FrameHeader, FrameType, MAGIC};
use millrace::internals::journal::recovery::RecoveryReport;
use millrace::internals::journal::{Journal, JournalConfig, JournalError, Lsn};
use proptest::prelude::*;
use proptest::sample::Index;

use super::disk_full::SmallDisk;

/// More than twice what a run writes.
const SMALL_DISK_MEGABYTES: usize = 8;

/// Small segments, so that a few records fill one.
const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 8192, max_bytes: 1 << 30, reserve_bytes: 0, queue_bytes: 1 << 20 };

#[derive(Clone, Debug)]
enum Operation {
    /// Submits records of these sizes together, and awaits them all.
    Append(Vec<usize>),
    /// Releases everything before one of the durable records.
    Release(Index),
    Close,
    /// Kills the process while it is idle.
    Kill,
    /// Kills the process while it writes records of these sizes.
    KillWriting(Vec<usize>),
    /// Cuts power before the last sync has returned: the last group is truncated, and these sectors are zeroed.
    PowerCut {
        length: Index,
        holes: Vec<Index>,
    },
    /// Closes the journal, and flips one bit for each item: frame, byte, bit.
    Flip(Vec<(Index, Index, u8)>),
    /// Moves the directory away while records of these sizes are appended, and then back.
    DiskGone(Vec<usize>),
    /// Fills the disk up to some free pages, appends records of these sizes, and then reserved ones. Optionally kills the
    /// process. Frees the space again.
    DiskFull {
        pages: u64,
        unreserved: Vec<usize>,
        reserved: Vec<usize>,
        kill: bool,
    },
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![3 => 0..200_usize, 1 => 200..3000_usize, 1 => Just(0)], 1..12)
}

fn op() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => sizes().prop_map(Operation::Append),
        3 => any::<Index>().prop_map(Operation::Release),
        1 => Just(Operation::Close),
        1 => Just(Operation::Kill),
        2 => sizes().prop_map(Operation::KillWriting),
        3 => (any::<Index>(), prop::collection::vec(any::<Index>(), 0..3))
            .prop_map(|(length, holes)| Operation::PowerCut { length, holes }),
        2 => prop::collection::vec((any::<Index>(), any::<Index>(), 0..8_u8), 1..4).prop_map(Operation::Flip),
        1 => sizes().prop_map(Operation::DiskGone),
        2 => (0..4_u64, sizes(), sizes(), any::<bool>()).prop_map(|(pages, unreserved, reserved, kill)| {
            Operation::DiskFull { pages, unreserved, reserved, kill }
        }),
    ]
}

/// The position and header of a frame in a segment.
#[derive(Clone, Debug)]
struct Frame {
    file: PathBuf,
    start: usize,
    bytes: usize,
    header: FrameHeader,
}

impl Frame {
    fn is_mark(&self) -> bool {
        self.header.frame_type == FrameType::Mark
    }

    fn is_last_of(&self, all: &[Self]) -> bool {
        all.last().is_some_and(|last| last.file == self.file && last.start == self.start)
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The frames of a segment, up to the first damaged one.
fn frames(file: &Path) -> Vec<Frame> {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let salt = u32::from_str_radix(&name[name.len() - 8..], 16).unwrap();
    let content = fs::read(file).unwrap();
    let (mut start, mut found) = (0, Vec::new());
    while let Some(header) = content[start..].first_chunk().and_then(|bytes| FrameHeader::decode(bytes, salt))
    {
        let bytes = header.frame_bytes();
        found.push(Frame { file: file.to_owned(), start, bytes, header });
        start += bytes;
    }
    found
}

/// In memory if possible: crashes are simulated anyway, and real syncs would take 20 times as long.
fn scratch_dir() -> PathBuf {
    let shared_memory = PathBuf::from("/dev/shm");
    if shared_memory.is_dir() { shared_memory } else { std::env::temp_dir() }
}

/// Copies the segments, oldest first, as a killed process would leave them.
fn copy(from: &Path, disk: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir_in(disk).unwrap();
    fs::create_dir(to.path().join("journal")).unwrap();
    for path in segments(from) {
        match fs::copy(&path, to.path().join("journal").join(path.file_name().unwrap())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {} // released concurrently
            copied => drop(copied.unwrap()),
        }
    }
    to
}

struct Model<'a> {
    /// The small disk, if it could be mounted.
    disk: Option<&'a Path>,
    temp_dir: tempfile::TempDir,
    journal: Journal,
    /// The payloads of all records that may be recovered.
    written: BTreeMap<Lsn, Vec<u8>>,
    /// Those that must be recovered.
    durable: BTreeSet<Lsn>,
    released: Lsn,
    appends: u64,
    /// Frames with a flipped bit: flipping it again could repair them.
    damaged: BTreeSet<(OsString, usize)>,
}

impl<'a> Model<'a> {
    fn new(disk: Option<&'a Path>) -> Self {
        let temp_dir = tempfile::tempdir_in(disk.unwrap_or(&scratch_dir())).unwrap();
        let (journal, recovery) = Journal::open(&temp_dir.path().join("journal"), CONFIG).unwrap();
        assert_eq!(recovery.count(), 0);
        Self {
            disk,
            temp_dir,
            journal,
            written: BTreeMap::new(),
            durable: BTreeSet::new(),
            released: 0,
            appends: 0,
            damaged: BTreeSet::new(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.temp_dir.path().join("journal")
    }

    /// Unique bytes that contain the magic of frame headers.
    fn payload(&mut self, size: usize) -> Vec<u8> {
        self.appends += 1;
        let mut random = self.appends.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut payload = Vec::with_capacity(size + 8);
        while payload.len() < size {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            payload.extend(MAGIC);
            payload.extend(&random.to_be_bytes()[..4]);
        }
        payload.truncate(size);
        payload
    }

    async fn wait_until_durable(&self) {
        let mut changes = self.journal.watch_stats();
        let durable_again = changes.wait_for(|stats| stats.durable);
        let durable_again = tokio::time::timeout(Duration::from_secs(10), durable_again).await;
        durable_again.unwrap_or_else(|_| panic!("not recovered: {:?}", self.journal.stats())).unwrap();
    }

    fn copy(&self) -> tempfile::TempDir {
        copy(&self.dir(), self.disk.unwrap_or(&scratch_dir()))
    }

    /// Submits records of these sizes, and returns the appends that were accepted.
    fn submit(
        &mut self,
        sizes: &[usize],
        reserved: bool,
    ) -> Vec<millrace::internals::journal::PendingAppend> {
        let mut pending = Vec::new();
        for &size in sizes {
            let payload = self.payload(size);
            let (head, tail) = payload.split_at(size / 3);
            let parts = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
            let submitted =
                if reserved { self.journal.submit_reserved(7, parts) } else { self.journal.submit(7, parts) };
            match submitted {
                Ok(append) => {
                    self.written.insert(append.lsn(), payload);
                    pending.push(append);
                }
                Err(JournalError::Disk { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        pending
    }

    async fn append(&mut self, sizes: &[usize], reserved: bool) {
        for append in self.submit(sizes, reserved) {
            let lsn = append.lsn();
            match append.await {
                Ok(same) => assert!(lsn == same && self.durable.insert(lsn)),
                Err(_) => assert!(self.written.remove(&lsn).is_some()),
            }
        }
    }

    /// Opens another directory, or the same one again, and checks the recovered records.
    fn reopen(&mut self, temp_dir: Option<tempfile::TempDir>) -> RecoveryReport {
        if let Some(temp_dir) = temp_dir {
            self.temp_dir = temp_dir;
        }
        let (journal, mut recovery) = Journal::open(&self.dir(), CONFIG).unwrap();
        self.journal = journal;
        let mut recovered = BTreeMap::new();
        for record in recovery.by_ref() {
            let record = record.unwrap();
            assert_eq!(record.kind, 7);
            assert!(recovered.last_key_value().is_none_or(|(last, _)| *last < record.lsn), "out of order");
            let written = self.written.get(&record.lsn);
            assert_eq!(written.map(Vec::as_slice), Some(&record.payload[..]), "record {}", record.lsn);
            recovered.insert(record.lsn, record.payload.to_vec());
        }
        let missing: Vec<_> = self.durable.iter().filter(|lsn| !recovered.contains_key(lsn)).collect();
        assert!(missing.is_empty(), "durable records {missing:?} are missing: {:?}", recovery.report());
        // Records that were not recovered now must not be recovered later.
        self.durable = recovered.keys().copied().filter(|lsn| *lsn >= self.released).collect();
        self.written = recovered;
        recovery.report().clone()
    }

    async fn run(&mut self, op: Operation) {
        match op {
            Operation::Append(sizes) => self.append(&sizes, false).await,
            Operation::Release(index) => {
                if !self.durable.is_empty() {
                    self.released = *index.get(&self.durable.iter().copied().collect::<Vec<_>>());
                    self.durable = self.durable.split_off(&self.released);
                    self.journal.release(self.released);
                }
            }
            Operation::Close => {
                self.journal.close().await.unwrap();
                let report = self.reopen(None);
                assert_eq!(report.torn_tail, None);
            }
            Operation::Kill => {
                let killed = self.copy();
                assert_eq!(self.reopen(Some(killed)).torn_tail, None);
            }
            Operation::KillWriting(sizes) => self.kill_writing(&sizes),
            Operation::PowerCut { length, holes } => self.power_cut(length, &holes),
            Operation::Flip(flips) => self.flip(&flips).await,
            Operation::DiskGone(sizes) => {
                let moved_dir = self.temp_dir.path().join("moved");
                fs::rename(self.dir(), &moved_dir).unwrap();
                self.append(&sizes, false).await;
                fs::rename(&moved_dir, self.dir()).unwrap();
                self.wait_until_durable().await;
            }
            Operation::DiskFull { pages, unreserved, reserved, kill } => {
                let Some(disk) = self.disk else { return };
                let ballast = disk.join("ballast");
                fs::write(&ballast, vec![0; (SMALL_DISK_MEGABYTES + 1) << 20]).unwrap_err();
                let filled = fs::OpenOptions::new().write(true).open(&ballast).unwrap();
                filled.set_len(filled.metadata().unwrap().len().saturating_sub(pages * 4096)).unwrap();
                // The space is freed only when the file is closed.
                drop(filled);
                self.append(&unreserved, false).await;
                for size in reserved {
                    self.append(&[size], true).await;
                    if !self.journal.stats().durable {
                        // Long enough to create a short segment, if the free space allows one.
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
                if kill {
                    let killed = copy(&self.dir(), &scratch_dir());
                    assert_eq!(self.reopen(Some(killed)).torn_tail, None);
                }
                fs::remove_file(&ballast).unwrap();
                self.wait_until_durable().await;
            }
        }
    }

    fn kill_writing(&mut self, sizes: &[usize]) {
        let mut pending = self.submit(sizes, false);
        let completed: Vec<_> = pending.iter_mut().filter_map(|append| append.now_or_never()).collect();
        self.durable.extend(completed.into_iter().map(Result::unwrap));
        let killed = self.copy();
        let submitted: Vec<_> = pending.iter().map(|append| append.lsn()).collect();
        self.reopen(Some(killed));
        self.assert_recovered_prefix(&submitted);
    }

    fn power_cut(&mut self, length: Index, holes: &[Index]) {
        let cut = self.copy();
        let newest = segments(&cut.path().join("journal")).pop().unwrap();
        let frames = frames(&newest);
        let Some((mark, before)) = frames.split_last() else { return };
        assert!(mark.is_mark());
        let group_start = before.iter().rposition(Frame::is_mark).map_or(0, |previous| previous + 1);
        let group: Vec<_> = before[group_start..].iter().map(|frame| frame.header.lsn).collect();
        let (start, end) = (before[group_start].start, mark.start);
        let mut content = fs::read(&newest).unwrap();
        content.truncate(start + length.index(end - start + 1));
        for hole in holes {
            let sector = hole.index(end / 512 + 1) * 512;
            let (from, to) = (sector.max(start), (sector + 512).min(content.len()));
            if from < to {
                content[from..to].fill(0);
            }
        }
        fs::write(&newest, content).unwrap();
        for lsn in &group {
            self.durable.remove(lsn);
        }
        self.reopen(Some(cut));
        self.assert_recovered_prefix(&group);
    }

    /// Checks that the recovered records of an unsynced group are contiguous.
    fn assert_recovered_prefix(&self, lsns: &[Lsn]) {
        let recovered = lsns.iter().filter(|lsn| self.written.contains_key(lsn)).count();
        assert!(lsns[..recovered].iter().all(|lsn| self.written.contains_key(lsn)), "{lsns:?}");
    }

    async fn flip(&mut self, flips: &[(Index, Index, u8)]) {
        self.journal.close().await.unwrap();
        let files = segments(&self.dir());
        let all: Vec<Frame> = files.iter().flat_map(|file| frames(file)).collect();
        if all.is_empty() {
            self.reopen(None);
            return;
        }
        let mut lost: BTreeMap<Lsn, Frame> = BTreeMap::new();
        for (frame, byte, bit) in flips {
            let frame = frame.get(&all);
            // Without the last mark, other damage in the last group looks like a torn tail.
            let last_mark = frame.is_mark() && files.last() == Some(&frame.file) && frame.is_last_of(&all);
            let position = (frame.file.file_name().unwrap().to_owned(), frame.start);
            if last_mark && flips.len() > 1 || !self.damaged.insert(position) {
                continue;
            }
            let mut content = fs::read(&frame.file).unwrap();
            content[frame.start + byte.index(frame.bytes)] ^= 1 << bit;
            fs::write(&frame.file, content).unwrap();
            if !frame.is_mark() && self.written.contains_key(&frame.header.lsn) {
                lost.insert(frame.header.lsn, frame.clone());
            }
        }
        for lsn in lost.keys() {
            self.durable.remove(lsn);
        }
        let before: Vec<_> = self.written.keys().copied().collect();
        let report = self.reopen(None);
        for lsn in before {
            // Released records may be deleted with their segment.
            let recovered = self.written.contains_key(&lsn);
            assert!(
                if lost.contains_key(&lsn) { !recovered } else { recovered || lsn < self.released },
                "record {lsn}"
            );
        }
        for (lsn, frame) in lost {
            let reported = report.damage.iter().any(|damage| {
                let (start, end) = (damage.offset, damage.offset + damage.bytes);
                damage.file == frame.file
                    && (start..end).contains(&(frame.start as u64))
                    && (frame.start + frame.bytes) as u64 <= end
                    && damage.lost.as_ref().is_some_and(|lost| lost.contains(&lsn))
            });
            assert!(reported, "record {lsn} at {frame:?} is not reported: {report:?}");
        }
    }
}

#[test]
fn recovery_matches_the_model() {
    let small = SmallDisk::mount(SMALL_DISK_MEGABYTES as u32);
    let disk = small.as_ref().map(SmallDisk::path);
    let config = ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..20))| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if let Some(disk) = disk {
                // Left over when proptest shrinks a failed run.
                fs::remove_file(disk.join("ballast")).ok();
            }
            let mut model = Model::new(disk);
            for op in ops {
                model.run(op).await;
            }
            model.run(Operation::Kill).await;
        });
    });
}
