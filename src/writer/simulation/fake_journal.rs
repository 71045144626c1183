//! An in-memory journal with the guarantees of the real one and simulated disk faults.

use std::collections::VecDeque;

use crate::journal::{JournalError, Lsn};
use crate::writer::record::WriterRecord;
use crate::writer::state::RecordLog;

/// Size of a frame header in the real journal.
const HEADER_BYTES: u64 = 24;

pub(super) struct FakeJournal {
    /// The durable records, followed by the pending ones.
    records: VecDeque<StoredRecord>,
    /// Number of records at the end that are not durable yet.
    pending: usize,
    next_lsn: Lsn,
    /// LSNs of damaged records are not assigned again.
    last_damaged_lsn: Lsn,
    next_segment: u64,
    segment_used_bytes: u64,
    /// Whether appends fail. Set by a failed sync, cleared by [`FakeJournal::repair`].
    failed: bool,
    pub(super) segment_bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) reserve_bytes: u64,
}

struct StoredRecord {
    lsn: Lsn,
    kind: u8,
    payload: Vec<u8>,
    segment: u64,
}

impl StoredRecord {
    fn bytes(&self) -> u64 {
        self.payload.len() as u64 + HEADER_BYTES
    }
}

impl FakeJournal {
    pub(super) fn new(segment_bytes: u64, max_bytes: u64, reserve_bytes: u64) -> Self {
        Self {
            records: VecDeque::new(),
            pending: 0,
            next_lsn: 1,
            last_damaged_lsn: 0,
            next_segment: 0,
            segment_used_bytes: 0,
            failed: false,
            segment_bytes,
            max_bytes,
            reserve_bytes,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.records.iter().map(StoredRecord::bytes).sum()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// A sync makes the oldest pending record durable.
    pub(super) fn complete_oldest(&mut self) {
        self.pending -= 1;
    }

    /// A sync fails, and no pending record becomes durable. Returns the number of failed appends.
    pub(super) fn fail_pending(&mut self) -> usize {
        let failed = std::mem::take(&mut self.pending);
        self.records.truncate(self.records.len() - failed);
        self.failed = true;
        self.roll_segment();
        failed
    }

    /// The disk accepts writes again. Call it after every failed append was reported.
    pub(super) fn repair(&mut self) {
        self.failed = false;
    }

    /// The process or the machine crashes. Of the pending records, the first `surviving_records` reach the disk.
    pub(super) fn crash(&mut self, surviving_records: usize) {
        let lost = self.pending.saturating_sub(surviving_records);
        self.records.truncate(self.records.len() - lost);
        (self.pending, self.failed) = (0, false);
        let last = self.records.back().map_or(self.next_lsn - 1, |last| last.lsn);
        self.next_lsn = last.max(self.last_damaged_lsn) + 1;
        self.roll_segment();
    }

    /// Damages the last record of this kind, which makes it unreadable.
    pub(super) fn damage_last(&mut self, kind: u8) {
        self.damage(self.records.iter().rposition(|record| record.kind == kind));
    }

    /// Damages the first record of this kind.
    pub(super) fn damage_first(&mut self, kind: u8) {
        self.damage(self.records.iter().position(|record| record.kind == kind));
    }

    fn damage(&mut self, at: Option<usize>) {
        assert_eq!(self.pending, 0, "only durable records can be damaged");
        if let Some(record) = at.and_then(|at| self.records.remove(at)) {
            self.last_damaged_lsn = self.last_damaged_lsn.max(record.lsn);
        }
    }

    fn roll_segment(&mut self) {
        self.next_segment += 1;
        self.segment_used_bytes = 0;
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (Lsn, WriterRecord)> + '_ {
        self.records.iter().map(|record| {
            let decoded =
                WriterRecord::decode(record.kind, &record.payload).expect("the state encoded the record");
            (record.lsn, decoded)
        })
    }

    fn push(&mut self, kind: u8, payload: Vec<u8>, max_bytes: u64) -> Result<Lsn, JournalError> {
        if self.failed {
            return Err(JournalError::Closed);
        }
        let bytes = payload.len() as u64 + HEADER_BYTES;
        let used_bytes = self.bytes();
        if used_bytes + bytes > max_bytes {
            return Err(JournalError::Full { used_bytes, max_bytes });
        }
        if self.segment_used_bytes + bytes > self.segment_bytes {
            self.roll_segment();
        }
        self.segment_used_bytes += bytes;
        let lsn = self.next_lsn;
        self.next_lsn += 1;
        self.records.push_back(StoredRecord { lsn, kind, payload, segment: self.next_segment });
        self.pending += 1;
        Ok(lsn)
    }
}

impl RecordLog for FakeJournal {
    fn append(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError> {
        self.push(kind, payload, self.max_bytes - self.reserve_bytes)
    }

    fn append_reserved(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError> {
        self.push(kind, payload, self.max_bytes)
    }

    /// Deletes complete segments, but not the current one.
    fn release(&mut self, up_to: Lsn) {
        while let Some(oldest) = self.records.front() {
            let segment = oldest.segment;
            let last = self.records.iter().take_while(|record| record.segment == segment).last();
            if segment == self.next_segment || last.is_none_or(|last| last.lsn >= up_to) {
                return;
            }
            self.records.retain(|record| record.segment != segment);
        }
    }
}
