//! Reading back after a start: the folder made ready, its records, and what was found damaged.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::entry::{Damage, JournalRecord, SegmentEntry};
use super::error::JournalError;
use super::reader::{SegmentReader, ValidPrefix, find_valid_prefix};
use super::segment::{self, SealedSegment};

/// An end of the newest segment that was cut off: appends that were never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Its length now.
    pub offset: u64,
    /// What was cut off.
    pub bytes: u64,
}

/// What reading back found beside the records.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// The damaged places, oldest first; at most [`MAX_LISTED_DAMAGE`], the further ones are only counted.
    pub damage: Vec<Damage>,
    /// How many damaged places there are.
    pub damage_count: u64,
    /// Frames of later versions, which were stepped over.
    pub unknown_versions: u64,
    /// The cut end, if one was cut.
    pub torn_tail: Option<TornTail>,
}

/// How many damaged places a [`RecoveryReport`] lists.
pub const MAX_LISTED_DAMAGE: usize = 1000;

impl RecoveryReport {
    fn add_damage(&mut self, damage: Damage) {
        tracing::warn!(%damage, "the journal is damaged");
        self.damage_count += 1;
        if self.damage.len() < MAX_LISTED_DAMAGE {
            self.damage.push(damage);
        }
    }
}

/// The retained records, oldest first, read as they are asked for: an iterator that holds one record and one chunk.
///
/// It reads the segments that were there at the start; what is appended later is not in it. Read it to its end before
/// releasing beyond what was read. After an `Err` it ends: a disk that can't be read is not a record less.
#[derive(Debug)]
pub struct Recovery {
    segments: VecDeque<SealedSegment>,
    current: Option<(PathBuf, SegmentReader<File>)>,
    report: RecoveryReport,
}

impl Recovery {
    pub(super) fn new(journal_dir: &JournalDir) -> Self {
        let mut report =
            RecoveryReport { torn_tail: journal_dir.torn_tail.clone(), ..RecoveryReport::default() };
        journal_dir.damage.iter().for_each(|damage| report.add_damage(damage.clone()));
        let segments = journal_dir.segments.iter().filter(|segment| !segment.is_empty()).cloned().collect();
        Self { segments, current: None, report }
    }

    /// The records of these segments.
    pub(super) fn from_segments(segments: VecDeque<SealedSegment>) -> Self {
        Self { segments, current: None, report: RecoveryReport::default() }
    }

    /// What was found so far; complete once the iterator has ended.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    fn next_record(&mut self) -> Result<Option<JournalRecord>, JournalError> {
        loop {
            let Some((path, reader)) = &mut self.current else {
                let Some(segment) = self.segments.pop_front() else { return Ok(None) };
                self.current = Some((segment.path.clone(), open_segment(&segment)?));
                continue;
            };
            match reader.next().map_err(|error| JournalError::disk(path, error))? {
                Some(SegmentEntry::Record(record)) => return Ok(Some(record)),
                Some(SegmentEntry::Mark) => {}
                Some(SegmentEntry::Unknown) => self.report.unknown_versions += 1,
                Some(SegmentEntry::Damage { offset, bytes, lost, kind }) => {
                    self.report.add_damage(Damage { file: path.clone(), offset, bytes, lost, kind });
                }
                None => self.current = None,
            }
        }
    }
}

impl Iterator for Recovery {
    type Item = Result<JournalRecord, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_record();
        if next.is_err() {
            self.segments.clear();
            self.current = None;
        }
        next.transpose()
    }
}

pub(super) fn open_segment(segment: &SealedSegment) -> Result<SegmentReader<File>, JournalError> {
    let file = File::open(&segment.path).map_err(|error| JournalError::disk(&segment.path, error))?;
    Ok(SegmentReader::new(file, segment.name.salt, segment.name.first_lsn, segment.last_lsn))
}

/// The folder as a start finds it.
#[derive(Debug)]
pub(super) struct JournalDir {
    /// All segments, sealed, oldest first.
    pub(super) segments: VecDeque<SealedSegment>,
    pub(super) damage: Vec<Damage>,
    pub(super) torn_tail: Option<TornTail>,
}

impl JournalDir {
    /// Lists the segments, and finds where the newest one's torn tail begins.
    pub(super) fn scan(dir: &Path) -> Result<Self, JournalError> {
        let mut damage = Vec::new();
        let mut segments = VecDeque::from(segment::list_segments(dir, &mut damage)?);
        let mut torn_tail = None;
        if let Some(newest) = segments.back_mut() {
            let found = find_valid_prefix(&mut open_segment(newest)?, newest.name);
            let ValidPrefix { end, last_lsn } =
                found.map_err(|error| JournalError::disk(&newest.path, error))?;
            if newest.bytes > end {
                let bytes = newest.bytes - end;
                torn_tail = Some(TornTail { file: newest.path.clone(), offset: end, bytes });
            }
            (newest.bytes, newest.last_lsn) = (end, last_lsn);
        }
        Ok(Self { segments, damage, torn_tail })
    }

    /// Cuts off the torn tail.
    pub(super) fn truncate_torn_tail(&self) -> Result<(), JournalError> {
        let Some(newest) = self.segments.back() else { return Ok(()) };
        // Also where nothing is torn: what a killed process wrote and did not sync is about to be believed.
        segment::truncate(&newest.path, newest.bytes)?;
        if let Some(TornTail { file, offset, bytes }) = &self.torn_tail {
            tracing::info!(path = %file.display(), end = offset, bytes, "cut the torn tail of the journal");
        }
        Ok(())
    }
}
