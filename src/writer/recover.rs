//! What the journal says at the start: which batches are still to be inserted, where each producer is, which ids were
//! seen. Only sizes and places are kept; the events themselves are read again when their batch's turn comes.

use std::collections::VecDeque;

use uuid::Uuid;

use super::batch::{Limits, Size};
use super::insert::Batch;
use super::producers::Producers;
use super::recent_ids::RecentIds;
use super::record::{Record, Seal};
use crate::journal::{JournalError, Recovery};

/// The state that the journal holds.
pub(super) struct Recovered {
    pub(super) producers: Producers,
    pub(super) ids: RecentIds,
    /// Batches that were sealed and have not landed, oldest first.
    pub(super) sealed: VecDeque<Batch>,
    /// Batches made of the events that were in none, oldest first. Their seals are to be written.
    pub(super) unsealed: VecDeque<Batch>,
    /// The events in both.
    pub(super) events: u64,
}

/// Reads the journal from its begin to its end.
pub(super) fn recover(
    recovery: Recovery,
    ids: RecentIds,
    limits: &Limits,
) -> Result<Recovered, JournalError> {
    let mut reader =
        Reader { producers: Producers::default(), ids, loose: VecDeque::new(), sealed: Vec::new() };
    for record in recovery {
        let record = record?;
        match Record::decode(record.kind, &record.payload) {
            Ok(decoded) => reader.read(record.lsn, decoded),
            Err(error) => tracing::error!(lsn = record.lsn, %error, "a journal record is passed over"),
        }
    }
    Ok(reader.finish(limits))
}

struct Reader {
    producers: Producers,
    ids: RecentIds,
    /// Events that are in no batch yet: record and size, in order.
    loose: VecDeque<(u64, Size)>,
    /// Batches that have not landed, in order.
    sealed: Vec<(Seal, Size)>,
}

impl Reader {
    fn read(&mut self, lsn: u64, record: Record) {
        match record {
            Record::Events(events) => {
                if !events.producer_id.is_empty() {
                    self.producers.restore(&events.producer_id, events.sequence, events.received_at_ms);
                }
                self.ids.insert(lsn, events.columns.given_ids().map(|(_, id)| id));
                if !events.columns.is_empty() {
                    let events_in_it = u64::from(events.columns.rows());
                    let size = Size { events: events_in_it, bytes: events.columns.bytes() as u64 };
                    self.loose.push_back((lsn, size));
                }
            }
            Record::Seal(seal) => {
                let mut size = Size::default();
                while let Some((_, record)) = self.loose.pop_front_if(|(lsn, _)| *lsn <= seal.last) {
                    size += record;
                }
                if size.events > 0 {
                    self.sealed.push((seal, size));
                }
            }
            Record::Landed(batch_id) => self.sealed.retain(|(seal, _)| seal.batch_id != batch_id),
            Record::Producers(places) => {
                for (producer_id, durable, last_seen_ms) in places {
                    self.producers.restore(&producer_id, durable, last_seen_ms);
                }
            }
            Record::Forgotten(hashes) => {
                hashes.into_iter().for_each(|hash| self.producers.restore_forgotten(hash));
            }
        }
    }

    fn finish(mut self, limits: &Limits) -> Recovered {
        self.producers.settle();
        let batch = |(seal, size): (Seal, Size)| Batch { seal, events: size.events, columns: None };
        let loose = into_batches(self.loose, limits);
        let events = self.sealed.iter().chain(&loose).map(|(_, size)| size.events).sum();
        if events > 0 {
            tracing::info!(events, "the journal holds events that are not in ClickHouse yet");
        }
        Recovered {
            producers: self.producers,
            ids: self.ids,
            sealed: self.sealed.into_iter().map(batch).collect(),
            unsealed: loose.into_iter().map(batch).collect(),
            events,
        }
    }
}

fn into_batches(records: VecDeque<(u64, Size)>, limits: &Limits) -> Vec<(Seal, Size)> {
    let mut batches: Vec<(Seal, Size)> = Vec::new();
    for (lsn, size) in records {
        match batches.last_mut() {
            Some((seal, total)) if !limits.is_full(*total) => {
                seal.last = lsn;
                *total += size;
            }
            _ => batches.push((Seal { batch_id: Uuid::now_v7(), first: lsn, last: lsn }, size)),
        }
    }
    batches
}
