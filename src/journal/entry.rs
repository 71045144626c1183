//! What a segment holds, as its reader yields it: records, durability marks, and damage.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use bytes::Bytes;

/// A record's place in the order of appends: 1 for the first one ever, one more for each.
pub type Lsn = u64;

/// No record has a larger one. A frame or a file that says so is damaged: numbers near the end of `u64` would be taken
/// for a place in the order, and leave none to go on with.
pub const MAX_LSN: Lsn = u64::MAX / 2;

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its place in the order of appends.
    pub lsn: Lsn,
    /// What the caller called it.
    pub kind: u8,
    /// The caller's bytes.
    pub payload: Bytes,
}

/// What is wrong at a damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// No frame's header here: found the next one by scanning.
    InvalidHeader,
    /// The header is whole, the payload is not: stepped over by its length.
    ChecksumMismatch,
    /// The file ends within a frame.
    Truncated,
    /// Records are missing, though all that is there is whole.
    MissingRecords,
    /// The file's name is not a segment's: it was not read.
    InvalidFileName,
}

/// What a segment's next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum SegmentEntry {
    /// A whole record.
    Record(JournalRecord),
    /// A durability mark.
    Mark,
    /// A frame of a later version, stepped over.
    Unknown,
    /// Something else: `bytes` from `offset` on.
    Damage {
        /// Where it begins.
        offset: u64,
        /// How far it goes.
        bytes: u64,
        /// The records this cost.
        lost: Option<RangeInclusive<Lsn>>,
        /// What is wrong.
        kind: DamageKind,
    },
}

/// A place that did not hold what was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub file: PathBuf,
    /// Where the damaged frame begins.
    pub offset: u64,
    /// Up to the next frame that could be read.
    pub bytes: u64,
    /// The records this cost; none where it hit a durability mark.
    pub lost: Option<RangeInclusive<Lsn>>,
    /// What is wrong there.
    pub kind: DamageKind,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DamageKind::InvalidHeader => "no valid record header",
            DamageKind::ChecksumMismatch => "the record's checksum is wrong",
            DamageKind::Truncated => "the file ends within a record",
            DamageKind::MissingRecords => "records are missing",
            DamageKind::InvalidFileName => "not the name of a journal segment, the file was not read",
        };
        write!(f, "{}: byte {}: {kind}", self.file.display(), self.offset)?;
        match &self.lost {
            Some(lost) if lost.start() == lost.end() => write!(f, "; record {} is lost", lost.start()),
            Some(lost) => write!(f, "; records {} to {} are lost", lost.start(), lost.end()),
            None => write!(f, "; no record is lost"),
        }
    }
}
