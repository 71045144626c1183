//! Recovery of the writer's state from the journal: batches that have not landed, producer states, recent event ids.
//! Recovery keeps only the sizes of events. The inserter reads the events again when it inserts their batch.

use std::collections::VecDeque;

use uuid::Uuid;

use super::REQUEST_OVERHEAD_BYTES;
use super::batch_id::ServerNumber;
use super::flush_policy::{BatchLimits, BatchSize};
use super::producers::{Producers, producer_key};
use super::recent_ids::RecentIds;
use super::record::{MalformedRecord, Seal, Snapshot, SnapshotPart, WriterRecord};
use crate::journal::{JournalError, Lsn, Recovery};

/// The writer's state as of the last durable record.
pub(crate) struct RecoveredState {
    pub(super) producers: Producers,
    pub(super) recent_ids: RecentIds,
    /// Sealed batches that have not landed, oldest first.
    pub(super) sealed: VecDeque<Seal>,
    /// Batches formed from events without a seal, oldest first. Their seals must be written.
    pub(super) unsealed: VecDeque<Seal>,
    /// When the oldest event of these batches was received, in milliseconds since 1970 UTC.
    pub(super) oldest_received_ms: Option<i64>,
    /// Landed batches whose events are all still in the journal.
    pub(super) landed: Vec<Seal>,
    /// The first record of the last complete snapshot.
    pub(super) snapshot: Option<Lsn>,
    /// Bytes of events after that snapshot.
    pub(super) bytes_since_snapshot: u64,
    /// Where the journal is damaged and what was lost, for health.
    pub(super) damage: Option<String>,
}

impl RecoveredState {
    /// The lowest id of the batches that have not landed.
    pub(crate) fn lowest_batch_id(&self) -> Option<Uuid> {
        self.sealed.iter().chain(&self.unsealed).map(|seal| seal.batch_id).min()
    }
}

/// Why recovery failed. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    /// An undamaged record that this version cannot decode.
    #[error(
        "journal record {lsn} cannot be read: {source}; nothing was changed. Start the millrace version that wrote it. To \
         continue with this version, first let that version insert everything into ClickHouse, then stop it and move the \
         folder `journal` away"
    )]
    UnreadableRecord { lsn: Lsn, source: MalformedRecord },
    /// Frames of a newer format.
    #[error(
        "the journal holds {0} records in a newer format; nothing was changed. Start the millrace version that wrote them. \
         To continue with this version, first let that version insert everything into ClickHouse, then stop it and move \
         the folder `journal` away"
    )]
    NewerFormat(u64),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Reads the whole journal of a server. Blocks. Keeps the last `recent_event_ids` event ids.
///
/// # Errors
/// When a record cannot be decoded: continuing would release acknowledged events.
pub(crate) fn recover(
    mut recovery: Recovery,
    recent_event_ids: usize,
    limits: &BatchLimits,
    server: ServerNumber,
) -> Result<RecoveredState, RecoverError> {
    let mut builder = RecoveryBuilder::new(RecentIds::new(recent_event_ids));
    for record in &mut recovery {
        let record = record?;
        let decoded = WriterRecord::decode(record.kind, &record.payload)
            .map_err(|source| RecoverError::UnreadableRecord { lsn: record.lsn, source })?;
        builder
            .apply(record.lsn, decoded)
            .map_err(|source| RecoverError::UnreadableRecord { lsn: record.lsn, source })?;
    }
    let report = recovery.report();
    if report.unknown_versions > 0 {
        return Err(RecoverError::NewerFormat(report.unknown_versions));
    }
    let damage = report.damage.first().map(|first| match report.damage_count {
        1 => first.to_string(),
        count => format!("{first}; {count} damaged places in total"),
    });
    let mut recovered = builder.finish(limits, || server.new_batch_id());
    recovered.damage = damage;
    Ok(recovered)
}

/// Builds the state from the records, oldest first.
pub(super) struct RecoveryBuilder {
    producers: Producers,
    recent_ids: RecentIds,
    first_lsn: Option<Lsn>,
    /// LSN and size of the events records that are in no batch yet, in order.
    unbatched: VecDeque<(Lsn, BatchSize)>,
    /// When the events of `unbatched` were received.
    unbatched_received_ms: VecDeque<i64>,
    /// Batches that have not landed, in order, and when the oldest event of each was received.
    sealed: Vec<(Seal, i64)>,
    landed: Vec<Seal>,
    /// The first LSN of each batch, landed or not.
    batch_starts: Vec<Lsn>,
    snapshot: Option<Lsn>,
    bytes_since_snapshot: u64,
    /// The incomplete snapshot being read: its first record, the number of parts so far, and their bytes.
    partial_snapshot: Option<(Lsn, u16, Vec<u8>)>,
}

impl RecoveryBuilder {
    pub(super) fn new(recent_ids: RecentIds) -> Self {
        Self {
            producers: Producers::default(),
            recent_ids,
            first_lsn: None,
            unbatched: VecDeque::new(),
            unbatched_received_ms: VecDeque::new(),
            sealed: Vec::new(),
            landed: Vec::new(),
            batch_starts: Vec::new(),
            snapshot: None,
            bytes_since_snapshot: 0,
            partial_snapshot: None,
        }
    }

    /// # Errors
    /// When a complete snapshot cannot be decoded: the records that it replaces are released.
    pub(super) fn apply(&mut self, lsn: Lsn, record: WriterRecord) -> Result<(), MalformedRecord> {
        self.first_lsn.get_or_insert(lsn);
        match record {
            WriterRecord::Events(events) => {
                if !events.producer_id.is_empty() {
                    let key = producer_key(&events.project, &events.producer_id);
                    self.producers.restore(&key, events.sequence, events.received_at_ms);
                }
                self.recent_ids.insert(lsn, events.columns.explicit_ids().map(|(_, id)| id));
                self.bytes_since_snapshot += (events.columns.size_bytes() + REQUEST_OVERHEAD_BYTES) as u64;
                if !events.columns.is_empty() {
                    let rows = u64::from(events.columns.rows());
                    let size = BatchSize { events: rows, bytes: events.columns.batch_bytes() };
                    self.unbatched.push_back((lsn, size));
                    self.unbatched_received_ms.push_back(events.received_at_ms);
                }
            }
            WriterRecord::Seal(seal) => {
                let (size, received_at_ms) = self.claim_unbatched(seal);
                if size.events > 0 {
                    let events = if seal.events == 0 { size.events } else { seal.events };
                    self.sealed.push((Seal { events, ..seal }, received_at_ms));
                }
            }
            WriterRecord::Landed { batch_id, seal } => {
                let sealed = self.sealed.iter().position(|(seal, _)| seal.batch_id == batch_id);
                match (sealed, seal) {
                    (Some(at), _) => self.landed.push(self.sealed.remove(at).0),
                    // The seal is damaged, or was released together with the events.
                    (None, Some(seal)) if self.claim_unbatched(seal).0.events > 0 => self.landed.push(seal),
                    (None, _) => {}
                }
            }
            WriterRecord::Producers(producers) => {
                for (producer_id, last_durable_sequence, last_seen_ms) in producers {
                    self.producers.restore(&producer_id, last_durable_sequence, last_seen_ms);
                }
            }
            WriterRecord::SnapshotPart(part) => self.apply_snapshot_part(lsn, part)?,
        }
        Ok(())
    }

    /// Moves the events of a batch out of `unbatched`. Earlier events stay there: their own seal is damaged. Returns their
    /// size, and when the oldest was received.
    fn claim_unbatched(&mut self, seal: Seal) -> (BatchSize, i64) {
        let start = self.unbatched.partition_point(|(lsn, _)| *lsn < seal.first);
        let end = self.unbatched.partition_point(|(lsn, _)| *lsn <= seal.last);
        let mut size = BatchSize::default();
        for (_, record) in self.unbatched.drain(start..end.max(start)) {
            size += record;
        }
        let received = self.unbatched_received_ms.drain(start..end.max(start)).min();
        if size.events > 0 {
            self.batch_starts.push(seal.first);
        }
        (size, received.unwrap_or_default())
    }

    /// A snapshot takes effect only when it is complete: a crash or damage may have removed a part.
    fn apply_snapshot_part(&mut self, lsn: Lsn, part: SnapshotPart) -> Result<(), MalformedRecord> {
        let (first, mut bytes) = match self.partial_snapshot.take() {
            _ if part.index == 0 => (lsn, Vec::new()),
            Some((first, next, bytes)) if next == part.index && lsn == first + Lsn::from(next) => {
                (first, bytes)
            }
            _ => return Ok(()),
        };
        bytes.extend_from_slice(&part.bytes);
        if part.index + 1 < part.count {
            self.partial_snapshot = Some((first, part.index + 1, bytes));
            return Ok(());
        }
        let snapshot = Snapshot::decode(&bytes)?;
        self.producers = Producers::default();
        for (producer_id, last_durable_sequence, last_seen_ms) in snapshot.producers {
            self.producers.restore(&producer_id, last_durable_sequence, last_seen_ms);
        }
        snapshot.forgotten.into_iter().for_each(|hash| self.producers.restore_forgotten(hash));
        self.recent_ids.restore(lsn, snapshot.event_ids);
        self.snapshot = Some(first);
        self.bytes_since_snapshot = 0;
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        limits: &BatchLimits,
        new_batch_id: impl FnMut() -> Uuid,
    ) -> RecoveredState {
        self.producers.finish_restore();
        // A batch with a damaged seal is identified later, by its landed record.
        self.batch_starts.sort_unstable();
        let unbatched = form_batches(self.unbatched, &self.batch_starts, limits, new_batch_id);
        let first_lsn = self.first_lsn.unwrap_or_default();
        let received = self.sealed.iter().map(|(_, received_at_ms)| *received_at_ms);
        let oldest_received_ms = received.chain(self.unbatched_received_ms).min();
        let recovered = RecoveredState {
            producers: self.producers,
            recent_ids: self.recent_ids,
            sealed: self.sealed.into_iter().map(|(seal, _)| seal).collect(),
            unsealed: unbatched.into(),
            oldest_received_ms,
            // A partly released batch was covered by a checkpoint.
            landed: self.landed.into_iter().filter(|seal| seal.first >= first_lsn).collect(),
            snapshot: self.snapshot,
            bytes_since_snapshot: self.bytes_since_snapshot,
            damage: None,
        };
        if recovered.events() > 0 {
            tracing::info!(
                events = recovered.events(),
                "recovered events from the journal that are not in ClickHouse yet"
            );
        }
        recovered
    }
}

impl RecoveredState {
    /// The events that are not in ClickHouse yet.
    pub(super) fn events(&self) -> u64 {
        self.sealed.iter().chain(&self.unsealed).map(|seal| seal.events).sum()
    }
}

/// Groups unbatched records into batches. A batch is a range of records, so it must not span another batch.
fn form_batches(
    records: VecDeque<(Lsn, BatchSize)>,
    batch_starts: &[Lsn],
    limits: &BatchLimits,
    mut new_batch_id: impl FnMut() -> Uuid,
) -> Vec<Seal> {
    let batches_before = |lsn| batch_starts.partition_point(|&start| start < lsn);
    let mut batches: Vec<(Seal, BatchSize)> = Vec::new();
    for (lsn, size) in records {
        match batches.last_mut() {
            Some((seal, total))
                if !limits.is_full(*total) && batches_before(seal.last) == batches_before(lsn) =>
            {
                seal.last = lsn;
                *total += size;
            }
            _ => {
                // Its shard is chosen when it is sealed.
                let seal = Seal { batch_id: new_batch_id(), first: lsn, last: lsn, events: 0, shard: 0 };
                batches.push((seal, size));
            }
        }
    }
    batches.into_iter().map(|(seal, size)| Seal { events: size.events, ..seal }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{ValidationRules, validate};
    use crate::project::Project;
    use crate::properties::Properties;
    use crate::proto::v1;
    use crate::writer::columns::EventColumns;
    use crate::writer::record::EventsRecord;

    const LIMITS: BatchLimits = BatchLimits {
        flush_events: 100,
        flush_interval: Duration::from_secs(1),
        flush_min_interval: Duration::ZERO,
        concurrent_events: 1_000_000,
        max_bytes: 1 << 20,
        max_events: 100,
    };

    fn events(producer_id: &str, sequence: u64, rows: usize) -> WriterRecord {
        let rules =
            ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
        let event = v1::Event {
            event_name: "a".into(),
            timestamp: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            ..Default::default()
        };
        let (properties, project) = (Properties::built_in(), Project::default());
        let mut columns = EventColumns::new(&properties);
        for _ in 0..rows {
            columns.push(&validate(&event, &rules, &properties, 1_800_000_000_000).unwrap(), &project, 0);
        }
        WriterRecord::Events(Box::new(EventsRecord {
            project,
            producer_id: producer_id.into(),
            sequence,
            received_at_ms: 0,
            columns,
        }))
    }

    fn seal(id: u128, first: Lsn, last: Lsn, events: u64) -> Seal {
        Seal { batch_id: Uuid::from_u128(id), first, last, events, shard: 0 }
    }

    fn recover_from(records: impl IntoIterator<Item = (Lsn, WriterRecord)>) -> RecoveredState {
        let mut builder = RecoveryBuilder::new(RecentIds::new(10));
        for (lsn, record) in records {
            builder.apply(lsn, record).unwrap();
        }
        let mut next = 1_000;
        builder.finish(&LIMITS, || {
            next += 1;
            Uuid::from_u128(next)
        })
    }

    #[test]
    fn the_oldest_event_that_has_not_landed_is_known() {
        let received_at = |received_at_ms: i64| match events("", 0, 1) {
            WriterRecord::Events(mut record) => {
                record.received_at_ms = received_at_ms;
                WriterRecord::Events(record)
            }
            _ => unreachable!("events are events"),
        };
        let landed = || {
            [
                (1, received_at(10)),
                (2, WriterRecord::Seal(seal(1, 1, 1, 1))),
                (3, WriterRecord::Landed { batch_id: Uuid::from_u128(1), seal: None }),
            ]
        };
        assert_eq!(recover_from(landed()).oldest_received_ms, None);
        let sealed = [(4, received_at(30)), (5, WriterRecord::Seal(seal(2, 4, 4, 1)))];
        assert_eq!(recover_from(landed().into_iter().chain(sealed)).oldest_received_ms, Some(30));
        let unsealed =
            [(4, received_at(30)), (5, WriterRecord::Seal(seal(2, 4, 4, 1))), (6, received_at(20))];
        assert_eq!(recover_from(landed().into_iter().chain(unsealed)).oldest_received_ms, Some(20));
    }

    #[test]
    fn a_batch_with_a_lost_seal_is_resealed_without_overlapping_the_next_one() {
        // Record 3 was the seal of 1 and 2.
        let recovered = recover_from([
            (1, events("", 0, 1)),
            (2, events("", 0, 2)),
            (4, events("", 0, 3)),
            (5, WriterRecord::Seal(seal(7, 4, 4, 3))),
            (6, events("", 0, 4)),
        ]);
        assert_eq!(recovered.sealed, [seal(7, 4, 4, 3)]);
        assert_eq!(recovered.unsealed, [seal(1_001, 1, 2, 3), seal(1_002, 6, 6, 4)]);
    }

    #[test]
    fn a_landed_record_identifies_a_batch_with_a_lost_seal() {
        let landed = seal(7, 1, 1, 1);
        let recovered = recover_from([
            (1, events("", 0, 1)),
            (3, WriterRecord::Landed { batch_id: landed.batch_id, seal: Some(landed) }),
        ]);
        assert_eq!((recovered.events(), recovered.landed), (0, vec![landed]));
    }

    #[test]
    fn a_partly_released_batch_is_not_reconciled_again() {
        let landed = seal(7, 1, 4, 5);
        let recovered = recover_from([
            (3, events("", 0, 2)),
            (4, events("", 0, 1)),
            (5, WriterRecord::Seal(landed)),
            (6, WriterRecord::Landed { batch_id: landed.batch_id, seal: Some(landed) }),
        ]);
        assert_eq!((recovered.events(), recovered.landed), (0, vec![]));
    }

    #[test]
    fn an_incomplete_snapshot_is_ignored() {
        let encode = |snapshot: &Snapshot| match snapshot.encode(1 << 20).as_slice() {
            [part] => part[4..].to_vec(),
            _ => panic!("the snapshot has more than one part"),
        };
        let old = Snapshot {
            producers: vec![("a".into(), 5, 0)],
            event_ids: vec![Uuid::from_u128(1)],
            ..Default::default()
        };
        let new = Snapshot { producers: vec![("b".into(), 9, 0)], ..Default::default() };
        let part = |index, count, bytes: &[u8]| {
            WriterRecord::SnapshotPart(SnapshotPart { index, count, bytes: bytes.to_vec() })
        };
        let (old, new) = (encode(&old), encode(&new));
        let recovered =
            recover_from([(1, part(0, 2, &old[..3])), (2, part(1, 2, &old[3..])), (3, part(0, 2, &new))]);
        assert_eq!(recovered.snapshot, Some(1));
        assert_eq!(recovered.producers.get("a").map(|producer| producer.last_durable_sequence), Some(5));
        assert!(recovered.producers.get("b").is_none() && recovered.recent_ids.contains(Uuid::from_u128(1)));
        // A part without the earlier parts has no effect either.
        assert_eq!(recover_from([(2, part(1, 2, &old[3..]))]).snapshot, None);
    }

    #[test]
    fn a_snapshot_replaces_all_earlier_records() {
        let snapshot = Snapshot { producers: vec![("b".into(), 9, 0)], ..Default::default() };
        let bytes = snapshot.encode(1 << 20).remove(0)[4..].to_vec();
        let recovered = recover_from([
            (1, events("forgotten", 500, 1)),
            (2, WriterRecord::SnapshotPart(SnapshotPart { index: 0, count: 1, bytes })),
            (3, events("b", 10, 1)),
        ]);
        assert!(recovered.producers.get("forgotten").is_none(), "it may have restarted at sequence 1 since");
        assert_eq!(recovered.producers.get("b").map(|producer| producer.last_durable_sequence), Some(10));
    }
}
