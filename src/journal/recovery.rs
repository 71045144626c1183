//! Recovery after a restart: the state of the directory, its records, and a report of damage.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::entry::{Damage, JournalRecord, SegmentEntry};
use super::error::JournalError;
use super::reader::{SegmentReader, ValidPrefix, find_valid_prefix};
use super::segment::{self, SealedSegment};

/// The torn tail of the newest segment: appends that were never acknowledged. Truncated by
/// [`super::ScannedJournal::start`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Path of the segment.
    pub file: PathBuf,
    /// Length of the segment without the tail.
    pub offset: u64,
    /// Length of the tail.
    pub bytes: u64,
}

/// What recovery found besides records.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Damaged ranges, oldest first; at most [`MAX_LISTED_DAMAGE`].
    pub damage: Vec<Damage>,
    /// Number of damaged ranges, including those that are not listed.
    pub damage_count: u64,
    /// Number of frames of later versions, which were skipped.
    pub unknown_versions: u64,
    /// `None` if the newest segment ended cleanly.
    pub torn_tail: Option<TornTail>,
}

/// Maximum length of [`RecoveryReport::damage`].
pub(crate) const MAX_LISTED_DAMAGE: usize = 1000;

impl RecoveryReport {
    fn add_damage(&mut self, damage: Damage) {
        tracing::warn!(%damage, "journal is damaged");
        self.damage_count += 1;
        if self.damage.len() < MAX_LISTED_DAMAGE {
            self.damage.push(damage);
        }
    }
}

/// A lazy iterator over the retained records, oldest first. Holds one record and one chunk in memory.
///
/// It reads the segments that existed when it was created, without later appends. Release only records that it has
/// yielded, until it ends. It ends after the first `Err`: an unreadable disk must not look like missing records.
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

    /// Reads these segments, each up to its `last_lsn`.
    pub(super) fn from_segments(segments: VecDeque<SealedSegment>) -> Self {
        Self { segments, current: None, report: RecoveryReport::default() }
    }

    /// The report so far; complete when the iterator has ended.
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

/// The journal directory as a restart finds it.
#[derive(Debug)]
pub(super) struct JournalDir {
    /// All segments, oldest first. The newest one ends before its torn tail.
    pub(super) segments: VecDeque<SealedSegment>,
    pub(super) damage: Vec<Damage>,
    pub(super) torn_tail: Option<TornTail>,
}

impl JournalDir {
    /// Lists the segments, and finds the torn tail of the newest one. Changes nothing.
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

    /// Truncates the torn tail, and syncs the newest segment.
    pub(super) fn truncate_torn_tail(&self) -> Result<(), JournalError> {
        let Some(newest) = self.segments.back() else { return Ok(()) };
        // Without a torn tail the segment still needs a sync: a killed process may have written records without one.
        segment::truncate(&newest.path, newest.bytes)?;
        if let Some(TornTail { file, offset, bytes }) = &self.torn_tail {
            tracing::info!(path = %file.display(), end = offset, bytes, "truncated the torn tail of the journal");
        }
        Ok(())
    }
}
