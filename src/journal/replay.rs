//! Reading back after a start: the folder made ready, its records, and what was found damaged.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::Lsn;
use super::error::JournalError;
use super::reader::{Record, SegmentReader, Step, Tail, What, tail};
use super::segment::{self, Sealed};

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
    pub what: What,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Header => "no valid record header",
            What::Payload => "the record's checksum is wrong",
            What::Cut => "the file ends within a record",
            What::Missing => "records are missing",
            What::Name => "not the name of a journal segment, the file was not read",
        };
        write!(f, "{}: byte {}: {what}", self.file.display(), self.offset)?;
        match &self.lost {
            Some(lost) if lost.start() == lost.end() => write!(f, "; record {} is lost", lost.start()),
            Some(lost) => write!(f, "; records {} to {} are lost", lost.start(), lost.end()),
            None => write!(f, "; no record is lost"),
        }
    }
}

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
pub struct Report {
    /// The damaged places, oldest first; at most [`MAX_DAMAGE_LISTED`], the further ones are only counted.
    pub damage: Vec<Damage>,
    /// How many damaged places there are.
    pub damaged_places: u64,
    /// Frames of later versions, which were stepped over.
    pub unknown_versions: u64,
    /// The cut end, if one was cut.
    pub torn_tail: Option<TornTail>,
}

/// How many damaged places a [`Report`] lists.
pub const MAX_DAMAGE_LISTED: usize = 1000;

impl Report {
    fn add(&mut self, damage: Damage) {
        tracing::warn!(%damage, "the journal is damaged");
        self.damaged_places += 1;
        if self.damage.len() < MAX_DAMAGE_LISTED {
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
    segments: VecDeque<Sealed>,
    current: Option<(PathBuf, SegmentReader<File>)>,
    report: Report,
}

impl Recovery {
    pub(super) fn new(folder: &Folder) -> Self {
        let mut report = Report { torn_tail: folder.torn_tail.clone(), ..Report::default() };
        folder.damage.iter().for_each(|damage| report.add(damage.clone()));
        let segments = folder.segments.iter().filter(|segment| !segment.is_void()).cloned().collect();
        Self { segments, current: None, report }
    }

    /// The records of these segments.
    pub(super) fn of(segments: VecDeque<Sealed>) -> Self {
        Self { segments, current: None, report: Report::default() }
    }

    /// What was found so far; complete once the iterator has ended.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    fn advance(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let Some((path, reader)) = &mut self.current else {
                let Some(segment) = self.segments.pop_front() else { return Ok(None) };
                self.current = Some((segment.path.clone(), open(&segment)?));
                continue;
            };
            match reader.next().map_err(|error| JournalError::disk(path, error))? {
                Some(Step::Record(record)) => return Ok(Some(record)),
                Some(Step::Mark) => {}
                Some(Step::Unknown) => self.report.unknown_versions += 1,
                Some(Step::Damage { offset, bytes, lost, what }) => {
                    self.report.add(Damage { file: path.clone(), offset, bytes, lost, what });
                }
                None => self.current = None,
            }
        }
    }
}

impl Iterator for Recovery {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.segments.clear();
            self.current = None;
        }
        next.transpose()
    }
}

pub(super) fn open(segment: &Sealed) -> Result<SegmentReader<File>, JournalError> {
    let file = File::open(&segment.path).map_err(|error| JournalError::disk(&segment.path, error))?;
    Ok(SegmentReader::new(file, segment.name.salt, segment.name.first, segment.last))
}

/// The folder as a start finds it.
#[derive(Debug)]
pub(super) struct Folder {
    /// All segments, sealed, oldest first.
    pub(super) segments: VecDeque<Sealed>,
    pub(super) damage: Vec<Damage>,
    pub(super) torn_tail: Option<TornTail>,
}

impl Folder {
    /// Lists the segments, and finds where the newest one's torn tail begins.
    pub(super) fn inspect(dir: &Path) -> Result<Self, JournalError> {
        let mut damage = Vec::new();
        let mut segments = VecDeque::from(segment::list(dir, &mut damage)?);
        let mut torn_tail = None;
        if let Some(newest) = segments.back_mut() {
            let found = tail(&mut open(newest)?, newest.name);
            let Tail { end, last } = found.map_err(|error| JournalError::disk(&newest.path, error))?;
            if newest.bytes > end {
                let bytes = newest.bytes - end;
                torn_tail = Some(TornTail { file: newest.path.clone(), offset: end, bytes });
            }
            (newest.bytes, newest.last) = (end, last);
        }
        Ok(Self { segments, damage, torn_tail })
    }

    /// Cuts off the torn tail.
    pub(super) fn cut(&self) -> Result<(), JournalError> {
        let Some(newest) = self.segments.back() else { return Ok(()) };
        // Also where nothing is torn: what a killed process wrote and did not sync is about to be believed.
        segment::cut(&newest.path, newest.bytes)?;
        if let Some(TornTail { file, offset, bytes }) = &self.torn_tail {
            tracing::info!(path = %file.display(), end = offset, bytes, "cut the torn tail of the journal");
        }
        Ok(())
    }
}
