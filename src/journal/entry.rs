//! The entries of a segment, as [`super::reader`] yields them: records, durability marks and damage.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use bytes::Bytes;

/// Log sequence number: 1 for the first record of a journal, one more for each further record.
pub type Lsn = u64;

/// The largest LSN. A frame or file name with a larger one is damaged: if it were accepted, a value near `u64::MAX` would
/// leave no LSNs for further records.
pub(crate) const MAX_LSN: Lsn = u64::MAX / 2;

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Assigned by [`super::Journal::submit`].
    pub lsn: Lsn,
    /// Set by the caller; opaque to the journal.
    pub kind: u8,
    /// The caller's parts, concatenated.
    pub payload: Bytes,
}

/// Why bytes of a segment, or a file, are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// No valid frame header. Skipped by scanning for the next one.
    InvalidHeader,
    /// The header is valid, the payload is not. Skipped by the length in the header.
    ChecksumMismatch,
    /// The file ends inside a frame.
    Truncated,
    /// Gap between the LSNs of two valid frames, or before the end of the segment.
    MissingRecords,
    /// The file has the suffix of a segment but not a valid name. It was not read.
    InvalidFileName,
}

/// The next bytes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum SegmentEntry {
    /// A record with valid checksums.
    Record(JournalRecord),
    /// A durability mark.
    Mark,
    /// A frame of a later version, which was skipped.
    Unknown,
    /// Bytes that were skipped. See [`Damage`].
    Damage {
        /// Start in the file.
        offset: u64,
        /// Length; 0 for [`DamageKind::MissingRecords`].
        bytes: u64,
        /// Records that were lost.
        lost: Option<RangeInclusive<Lsn>>,
        /// The kind of damage.
        kind: DamageKind,
    },
}

/// A damaged range of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Path of the segment.
    pub file: PathBuf,
    /// Start of the damaged frame in the file.
    pub offset: u64,
    /// Length up to the next valid frame, or to the end of the file.
    pub bytes: u64,
    /// Records that were lost; `None` if only a durability mark was damaged.
    pub lost: Option<RangeInclusive<Lsn>>,
    /// The kind of damage.
    pub kind: DamageKind,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DamageKind::InvalidHeader => "no valid frame header",
            DamageKind::ChecksumMismatch => "checksum mismatch in the payload",
            DamageKind::Truncated => "the file ends inside a frame",
            DamageKind::MissingRecords => "records are missing",
            DamageKind::InvalidFileName => "invalid segment file name; the file was not read",
        };
        write!(f, "{}: byte {}: {kind}", self.file.display(), self.offset)?;
        match &self.lost {
            Some(lost) if lost.start() == lost.end() => write!(f, "; record {} is lost", lost.start()),
            Some(lost) => write!(f, "; records {} to {} are lost", lost.start(), lost.end()),
            None => write!(f, "; no record is lost"),
        }
    }
}
