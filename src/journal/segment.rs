//! Segment files: their names, and how they are created, written, truncated and deleted.
//!
//! A segment has no header. Its metadata is in its name, which the file system changes atomically:
//!
//! `FIRST-AFTER-SALT.journal`
//!
//! - `FIRST`, 20 digits: the lowest LSN that a record in it may have. Unique, so the names sort like the LSNs.
//! - `AFTER`, 20 digits: the last durable LSN when the segment was created. Records above it in older segments are void:
//!   their append failed.
//! - `SALT`, 8 hex digits: the seed of the header checksums (see [`super::frame`]).
//!
//! A new segment is preallocated with `fallocate`, without changing its length. So a full disk is detected there and not
//! in the middle of a group, and the length of the file is the end of the written data. Preallocation has no measurable
//! cost. Writing zeros ahead would make a sync 30 % faster, but would write every byte twice.
//!
//! If the disk has no space for a full-size segment, a *short* one is created with the space that is left. It can grow
//! later, and looks like any other segment on disk.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::entry::{Damage, DamageKind, Lsn, MAX_LSN};
use super::error::{JournalError, is_out_of_space};
use super::frame::{FrameHeader, HEADER_BYTES, Payload};

const SUFFIX: &str = ".journal";

/// Maximum number of buffers in one vectored write (Linux: `IOV_MAX`).
const MAX_SLICES: usize = 1024;

/// Maximum space that a short segment preallocates beyond the next record: enough for thousands of the records that lead
/// to a release, and little enough to leave space for other users of the disk.
const SHORT_SEGMENT_BYTES: u64 = 1 << 20;

/// The common allocation unit of file systems.
const BLOCK_BYTES: u64 = 4096;

/// The metadata in a segment's name: `FIRST`, `AFTER` and `SALT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentName {
    pub(super) first_lsn: Lsn,
    pub(super) durable_lsn: Lsn,
    pub(super) salt: u32,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:020}-{:08x}{SUFFIX}", self.first_lsn, self.durable_lsn, self.salt)
    }
}

impl SegmentName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.strip_suffix(SUFFIX)?.split('-');
        let first_lsn = fields.next()?.parse().ok()?;
        let durable_lsn = fields.next()?.parse().ok()?;
        let salt = u32::from_str_radix(fields.next()?, 16).ok()?;
        let parsed = Self { first_lsn, durable_lsn, salt };
        // Only the canonical spelling is valid, so that no two files are the same segment.
        (parsed.to_string() == name && durable_lsn < first_lsn && first_lsn <= MAX_LSN).then_some(parsed)
    }
}

/// A segment that is not written any more.
#[derive(Clone, Debug)]
pub(super) struct SealedSegment {
    pub(super) name: SegmentName,
    pub(super) path: PathBuf,
    /// The last valid record; `name.durable_lsn` if there is none.
    pub(super) last_lsn: Lsn,
    pub(super) bytes: u64,
}

impl SealedSegment {
    /// Whether it has no valid record.
    pub(super) fn is_empty(&self) -> bool {
        self.last_lsn < self.name.first_lsn
    }
}

/// Lists the segments of the directory, oldest first. Each `last_lsn` is an upper bound from the name of the next segment;
/// the newest segment has `Lsn::MAX`. Files with invalid names are added to `damage`.
pub(super) fn list_segments(
    dir: &Path,
    damage: &mut Vec<Damage>,
) -> Result<Vec<SealedSegment>, JournalError> {
    let mut found: Vec<SealedSegment> = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| JournalError::disk(dir, error))? {
        let entry = entry.map_err(|error| JournalError::disk(dir, error))?;
        let (path, file_name) = (entry.path(), entry.file_name());
        let file_name = file_name.to_string_lossy();
        if let Some(name) = SegmentName::parse(&file_name) {
            match entry.metadata() {
                Ok(metadata) => {
                    found.push(SealedSegment { name, path, last_lsn: Lsn::MAX, bytes: metadata.len() })
                }
                // The journal thread may delete released segments concurrently.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(JournalError::disk(&path, error)),
            }
        } else if file_name.ends_with(SUFFIX) {
            damage.push(Damage {
                file: path,
                offset: 0,
                bytes: 0,
                lost: None,
                kind: DamageKind::InvalidFileName,
            });
        }
    }
    found.sort_by_key(|segment| segment.name);
    for older in 1..found.len() {
        found[older - 1].last_lsn = found[older].name.durable_lsn;
    }
    Ok(found)
}

/// Makes created and deleted entries of the directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| JournalError::disk(dir, error))
}

/// Deletes a segment durably, so that a crash never leaves a gap between older and newer segments.
pub(super) fn delete_segment(dir: &Path, segment: &SealedSegment) -> Result<(), JournalError> {
    match fs::remove_file(&segment.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::disk(&segment.path, error))
        }
        _ => sync_dir(dir),
    }
}

/// Truncates a file durably to `bytes`, and frees the space that was preallocated beyond them.
pub(super) fn truncate(path: &Path, bytes: u64) -> Result<(), JournalError> {
    let truncate = |path| {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_data()
    };
    truncate(path).map_err(|error| JournalError::disk(path, error))
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct ActiveSegment {
    name: SegmentName,
    path: PathBuf,
    file: File,
    /// Offset of the next frame. Everything before it is durable, except the last mark.
    end: u64,
    /// Offset up to which space is preallocated.
    preallocated_bytes: u64,
    /// Full size, from the configuration.
    segment_bytes: u64,
    /// Set while this is a short segment: why it could not be preallocated at full size.
    space_error: Option<JournalError>,
    last_lsn: Lsn,
}

impl ActiveSegment {
    /// Creates an empty segment of `segment_bytes`, durable in its directory. Without enough disk space it is a short
    /// one of at least `min_bytes`.
    pub(super) fn create(
        dir: &Path,
        name: SegmentName,
        min_bytes: u64,
        segment_bytes: u64,
    ) -> Result<Self, JournalError> {
        let path = dir.join(name.to_string());
        let create = || {
            let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            let path = path.clone();
            let mut segment = Self {
                name,
                path,
                file,
                end: 0,
                preallocated_bytes: 0,
                segment_bytes,
                space_error: None,
                last_lsn: name.durable_lsn,
            };
            segment.preallocate(min_bytes)?;
            segment.file.sync_all()?;
            Ok(segment)
        };
        let created = create().map_err(|error| JournalError::disk(&path, error));
        let synced = created.and_then(|segment| sync_dir(dir).map(|()| segment));
        match synced {
            Ok(segment) => Ok(segment),
            Err(error) => {
                // If it can't be deleted, it does no harm: it is empty, and its name is not reused.
                if let Err(remove_error) = fs::remove_file(&path) {
                    tracing::debug!(path = %path.display(), error = %remove_error, "cannot delete unfinished segment");
                }
                Err(error)
            }
        }
    }

    pub(super) fn name(&self) -> SegmentName {
        self.name
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Preallocated bytes that are not written yet.
    pub(super) fn free_bytes(&self) -> u64 {
        self.preallocated_bytes - self.end
    }

    /// The disk's error if this is a short segment.
    pub(super) fn space_error(&self) -> Option<&JournalError> {
        self.space_error.as_ref()
    }

    /// Grows a short segment to full size or, without enough disk space, to at least `min_bytes`. After an error the
    /// segment is still usable with the space that it had.
    pub(super) fn grow(&mut self, min_bytes: u64) -> Result<(), JournalError> {
        self.preallocate(min_bytes).map_err(|error| JournalError::disk(&self.path, error))
    }

    fn preallocate(&mut self, min_bytes: u64) -> io::Result<()> {
        let mut space_error = None;
        let mut extra_bytes = self.segment_bytes - min_bytes;
        loop {
            match self.try_preallocate(min_bytes + extra_bytes) {
                Ok(()) => {
                    self.space_error = space_error;
                    return Ok(());
                }
                Err(error) if is_out_of_space(&error) && extra_bytes > 0 => {
                    space_error.get_or_insert(JournalError::disk(&self.path, error));
                    extra_bytes = if extra_bytes > BLOCK_BYTES {
                        (extra_bytes / 2).min(SHORT_SEGMENT_BYTES)
                    } else {
                        0
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn try_preallocate(&mut self, bytes: u64) -> io::Result<()> {
        let blocks = self.file.metadata()?.blocks();
        let Err(error) = preallocate(&self.file, bytes) else {
            self.preallocated_bytes = bytes;
            return Ok(());
        };
        if self.file.metadata()?.blocks() > blocks {
            // A failed fallocate on ext4 keeps all remaining disk space allocated. Other writers need it to reach a release.
            self.file.set_len(self.end)?;
            if preallocate(&self.file, self.preallocated_bytes).is_err() {
                self.preallocated_bytes = self.end;
            }
        }
        Err(error)
    }

    /// Writes these records, syncs them, and writes a durability mark. Returns the last LSN.
    ///
    /// After an error the file must not be written again: its content beyond [`ActiveSegment::bytes`] is undefined.
    pub(super) fn append(
        &mut self,
        records: &[(Lsn, Payload)],
        faults: &FaultInjector,
    ) -> Result<u64, JournalError> {
        let Some(&(last_lsn, _)) = records.last() else { return Ok(self.last_lsn) };
        let written = self.append_frames(records, last_lsn, faults);
        let end = written.map_err(|error| JournalError::disk(&self.path, error))?;
        self.end = end;
        self.last_lsn = last_lsn;
        Ok(last_lsn)
    }

    fn append_frames(
        &self,
        records: &[(Lsn, Payload)],
        last_lsn: Lsn,
        faults: &FaultInjector,
    ) -> io::Result<u64> {
        let headers: Vec<_> =
            records.iter().map(|(lsn, payload)| payload.header(*lsn, self.name.salt)).collect();
        let mut slices = Vec::with_capacity(records.len() * 2);
        for (header, (_, payload)) in headers.iter().zip(records) {
            slices.push(IoSlice::new(header));
            slices.extend(payload.slices());
        }
        let end = write_all_at(&self.file, &mut slices, self.end)?;
        faults.before_sync()?;
        rustix::fs::fdatasync(&self.file)?;
        // The mark is not synced. See "Torn or damaged" in mod.rs.
        let mark = FrameHeader::mark(last_lsn).encode(self.name.salt);
        write_all_at(&self.file, &mut [IoSlice::new(&mark)], end)
    }

    /// Seals the segment, and frees the preallocated space that was not used.
    pub(super) fn seal(self) -> SealedSegment {
        if let Err(error) = self.file.set_len(self.end) {
            // Costs only disk space, and only until the segment is released.
            tracing::warn!(path = %self.path.display(), %error, "cannot free unused space of a sealed segment");
        }
        SealedSegment { name: self.name, path: self.path, last_lsn: self.last_lsn, bytes: self.end }
    }

    /// Seals the segment after a failed append: closes the file, and truncates it to its durable length through a new file
    /// descriptor. If that fails, the name of the next segment makes the failed tail void.
    pub(super) fn abandon(self) -> SealedSegment {
        let Self { name, path, file, end, last_lsn, .. } = self;
        drop(file);
        if let Err(error) = truncate(&path, end) {
            tracing::warn!(%error, "cannot truncate a segment after a failed append");
        }
        SealedSegment { name, path, last_lsn, bytes: end }
    }
}

/// Allocates the file's first `bytes` without changing its length.
fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // File systems without fallocate report a full disk at the write.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Length of a durability mark.
pub(super) const MARK_BYTES: u64 = HEADER_BYTES as u64;

/// Writes all slices at `offset`, and returns the offset after them.
fn write_all_at(file: &File, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<u64> {
    while !slices.is_empty() {
        let count = slices.len().min(MAX_SLICES);
        match rustix::io::pwritev(file, &slices[..count], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut slices, written);
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(offset)
}

/// Lets tests fail a sync. Empty in other builds.
#[derive(Debug, Default)]
pub(super) struct FaultInjector {
    #[cfg(test)]
    pub(super) failing_syncs: std::sync::atomic::AtomicUsize,
    #[cfg(test)]
    pub(super) panic_on_sync: std::sync::atomic::AtomicBool,
}

impl FaultInjector {
    #[cfg(not(test))]
    fn before_sync(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn before_sync(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        assert!(!self.panic_on_sync.load(SeqCst), "injected panic of the journal thread");
        match self.failing_syncs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(Errno::IO.into()),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const SEGMENT_BYTES: u64 = 1 << 20;

    fn name(first_lsn: Lsn, durable_lsn: Lsn) -> SegmentName {
        SegmentName { first_lsn, durable_lsn, salt: 0xc0ffee }
    }

    fn record(lsn: Lsn, bytes: &'static [u8]) -> (Lsn, Payload) {
        (lsn, Payload::new(1, vec![Bytes::from_static(bytes)], 100).unwrap())
    }

    #[test]
    fn a_segment_name_round_trips_and_sorts_by_first_lsn() {
        let ten = name(10, 9);
        assert_eq!(ten.to_string(), "00000000000000000010-00000000000000000009-00c0ffee.journal");
        assert_eq!(SegmentName::parse(&ten.to_string()), Some(ten));
        assert!(name(9, 8).to_string() < ten.to_string());
        for other in [
            "",
            "x.journal",
            "10-9-c0ffee.journal",
            "00000000000000000010-00000000000000000010-00c0ffee.journal",
            "00000000000000000010-00000000000000000009-00c0ffee-1.journal",
            "09223372036854775808-00000000000000000009-00c0ffee.journal",
            "00000000000000000010-00000000000000000009-00c0ffee.journal.old",
        ] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn segments_are_listed_in_order_and_unreadable_names_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        for segment in [name(30, 20), name(1, 0), name(11, 10)] {
            fs::write(dir.path().join(segment.to_string()), b"12345").unwrap();
        }
        fs::write(dir.path().join("11.journal"), b"").unwrap();
        fs::write(dir.path().join("README"), b"").unwrap();
        let mut damage = Vec::new();
        let found = list_segments(dir.path(), &mut damage).unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.name.first_lsn, one.last_lsn, one.bytes)).collect();
        assert_eq!(found, [(1, 10, 5), (11, 20, 5), (30, Lsn::MAX, 5)]);
        assert_eq!(damage.len(), 1);
        assert_eq!(
            (damage[0].kind, damage[0].file.file_name()),
            (DamageKind::InvalidFileName, Some("11.journal".as_ref()))
        );
    }

    #[test]
    fn a_segment_preallocates_space_and_releases_the_unused_part() {
        let dir = tempfile::tempdir().unwrap();
        let faults = FaultInjector::default();
        let mut active = ActiveSegment::create(dir.path(), name(1, 0), SEGMENT_BYTES, SEGMENT_BYTES).unwrap();
        let path = active.path.clone();
        let metadata = || fs::metadata(&path).unwrap();
        assert_eq!(metadata().len(), 0);
        if metadata().blocks() == 0 {
            eprintln!("NOT TESTED: this file system does not support fallocate");
        }
        assert_eq!(active.append(&[record(1, b"a"), record(2, b"bc")], &faults).unwrap(), 2);
        let bytes = 3 * HEADER_BYTES as u64 + 3;
        assert_eq!((active.bytes(), metadata().len()), (bytes, bytes));
        let sealed = active.seal();
        assert_eq!((sealed.last_lsn, sealed.bytes), (2, bytes));
        assert!(metadata().blocks() * 512 <= 64 << 10, "{} blocks are still allocated", metadata().blocks());
    }

    #[test]
    fn one_append_may_exceed_the_vectored_write_limit() {
        let dir = tempfile::tempdir().unwrap();
        let mut active = ActiveSegment::create(dir.path(), name(1, 0), SEGMENT_BYTES, SEGMENT_BYTES).unwrap();
        let records: Vec<_> = (1..=2000).map(|lsn| record(lsn, b"payload")).collect();
        active.append(&records, &FaultInjector::default()).unwrap();
        let expected = 2000 * (HEADER_BYTES + 7) + HEADER_BYTES;
        assert_eq!(fs::metadata(&active.path).unwrap().len(), expected as u64);
    }

    #[test]
    fn a_failed_sync_truncates_the_file_to_its_durable_end() {
        let dir = tempfile::tempdir().unwrap();
        let faults = FaultInjector::default();
        let mut active = ActiveSegment::create(dir.path(), name(1, 0), SEGMENT_BYTES, SEGMENT_BYTES).unwrap();
        active.append(&[record(1, b"durable")], &faults).unwrap();
        let (path, durable) = (active.path.clone(), fs::read(&active.path).unwrap());
        faults.failing_syncs.store(1, std::sync::atomic::Ordering::SeqCst);
        let error = active.append(&[record(2, b"lost")], &faults).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(fs::read(&path).unwrap().len() > durable.len(), "the failed record was written");
        let sealed = active.abandon();
        assert_eq!((sealed.last_lsn, sealed.bytes), (1, durable.len() as u64));
        assert_eq!(fs::read(&path).unwrap(), durable);
    }

    #[test]
    fn a_missing_directory_is_an_error_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = ActiveSegment::create(&missing, name(1, 0), SEGMENT_BYTES, SEGMENT_BYTES).unwrap_err();
        assert!(error.to_string().contains("missing/00000000000000000001"), "{error}");
    }
}
