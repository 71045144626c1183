//! The journal against a model of it, under random appends, releases, crashes, torn tails, flipped bits, and disks that
//! fill up or go away: what was durable and not released is always recovered, nothing else ever is, and damage costs its own
//! record and is reported where it is.
//!
//! Crashes are made on copies of the real files. A killed process leaves what it has written: the copy as it is. A power
//! cut leaves of the last group, whose sync had not returned, any part: its mark goes, and the bytes before it are cut
//! and holed at random.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use millrace::journal::frame::{FrameHeader, FrameType, MAGIC};
use millrace::journal::recovery::RecoveryReport;
use millrace::journal::{Journal, JournalConfig, JournalError, Lsn};
use proptest::prelude::*;
use proptest::sample::Index;

use super::disk_full::SmallDisk;

/// More than all a run writes, twice.
const SMALL_DISK_MEGABYTES: usize = 8;

/// Small segments, so that a few records fill one.
const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 8192, max_bytes: 1 << 30, reserve_bytes: 0, queue_bytes: 1 << 20 };

#[derive(Clone, Debug)]
enum Operation {
    /// Records of these sizes, submitted together, all awaited.
    Append(Vec<usize>),
    /// Up to one of the records there are.
    Release(Index),
    Close,
    /// The process is killed with nothing under way.
    Kill,
    /// The process is killed while it writes records of these sizes.
    KillWriting(Vec<usize>),
    /// Power is cut before the last sync returned: this much of the last group is there, but for these sectors.
    PowerCut {
        length: Index,
        holes: Vec<Index>,
    },
    /// Closed, and bits flipped in as many frames.
    Flip(Vec<(Index, Index, u8)>),
    /// The folder is not there while these are appended, and then it is again.
    DiskGone(Vec<usize>),
    /// The disk has so many pages left while these are appended, and then these as reserved ones; perhaps the process is
    /// killed then; and then there is space again.
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

/// A frame as it lies in a segment.
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

    /// Whether this is the last of them.
    fn is_last_of(&self, all: &[Self]) -> bool {
        all.last().is_some_and(|last| last.file == self.file && last.start == self.start)
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The frames of a segment up to the first that is damaged.
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

/// In memory where that is possible: the crashes are made by hand, and real syncs would take 20 times as long.
fn scratch_dir() -> PathBuf {
    let shared_memory = PathBuf::from("/dev/shm");
    if shared_memory.is_dir() { shared_memory } else { std::env::temp_dir() }
}

/// Copies what is there, oldest first, as a kill would leave it.
fn copy(from: &Path, disk: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir_in(disk).unwrap();
    fs::create_dir(to.path().join("journal")).unwrap();
    for path in segments(from) {
        match fs::copy(&path, to.path().join("journal").join(path.file_name().unwrap())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {} // released meanwhile
            copied => drop(copied.unwrap()),
        }
    }
    to
}

struct Model<'a> {
    /// The small disk, if one could be had.
    disk: Option<&'a Path>,
    temp_dir: tempfile::TempDir,
    journal: Journal,
    /// Everything that may be recovered, with its bytes.
    written: BTreeMap<Lsn, Vec<u8>>,
    /// What of it must be.
    durable: BTreeSet<Lsn>,
    released: Lsn,
    appends: u64,
    /// Where bits were flipped already: once more could mend them.
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

    /// Bytes that no other record has, with what looks like a frame's beginning among them.
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
        durable_again.unwrap_or_else(|_| panic!("it does not get well: {:?}", self.journal.stats())).unwrap();
    }

    /// As a kill would leave it.
    fn copy(&self) -> tempfile::TempDir {
        copy(&self.dir(), self.disk.unwrap_or(&scratch_dir()))
    }

    /// Submits these, and returns what is not known to be durable.
    fn submit(&mut self, sizes: &[usize], reserved: bool) -> Vec<millrace::journal::PendingAppend> {
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

    /// Goes on with another folder, or this one again, and checks what comes back.
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
        assert!(missing.is_empty(), "{missing:?} were durable and not released: {:?}", recovery.report());
        // What is not recovered now must never be.
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
                let away = self.temp_dir.path().join("away");
                fs::rename(self.dir(), &away).unwrap();
                self.append(&sizes, false).await;
                fs::rename(&away, self.dir()).unwrap();
                self.wait_until_durable().await;
            }
            Operation::DiskFull { pages, unreserved, reserved, kill } => {
                let Some(disk) = self.disk else { return };
                let ballast = disk.join("ballast");
                fs::write(&ballast, vec![0; (SMALL_DISK_MEGABYTES + 1) << 20]).unwrap_err();
                let filled = fs::OpenOptions::new().write(true).open(&ballast).unwrap();
                filled.set_len(filled.metadata().unwrap().len().saturating_sub(pages * 4096)).unwrap();
                // Space is only given back once nobody has it open.
                drop(filled);
                self.append(&unreserved, false).await;
                for size in reserved {
                    self.append(&[size], true).await;
                    if !self.journal.stats().durable {
                        // Until it has begun a short segment; whether it can depends on what it had reserved.
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

    /// Of records whose sync did not return, what is recovered has no hole.
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
            // Without the very last mark, other damage in the last group is taken for a torn tail.
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
            // What is released may be gone with its segment.
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
                // A run that failed, while it is made smaller, leaves it.
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
