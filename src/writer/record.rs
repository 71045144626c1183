//! What the writer keeps in the journal.
//!
//! | kind | payload |
//! | --- | --- |
//! | events | producer id, sequence, time of receipt, then the columns of the accepted events |
//! | seal | batch id, first and last record, number of events: the events records in that range are one batch, for good |
//! | landed | the same: ClickHouse has the batch, or it is a dead letter |
//! | producers | the durable sequence of every producer; written by earlier versions only |
//! | snapshot | one part of a [`Snapshot`]: its number, how many parts there are, then its bytes |
//!
//! A landed record repeats the range, so that a batch whose seal was damaged is still known to have landed.
//!
//! Numbers are little-endian. A kind that is not known is an error: the journal was written by a newer version.

use uuid::Uuid;

use super::columns::{EventColumns, MalformedColumns};

/// The kinds of records.
pub mod kind {
    /// Accepted events.
    pub const EVENTS: u8 = 1;
    /// A sealed batch.
    pub const SEAL: u8 = 2;
    /// A batch that needs nothing more.
    pub const LANDED: u8 = 3;
    /// The sequences of the producers, as earlier versions wrote them.
    pub const PRODUCERS: u8 = 4;
    /// A part of a snapshot.
    pub const SNAPSHOT: u8 = 5;
}

/// A record, read back.
#[derive(Debug, PartialEq)]
pub enum WriterRecord {
    /// Accepted events.
    Events(Box<EventsRecord>),
    /// A sealed batch.
    Seal(Seal),
    /// A batch that needs nothing more. Earlier versions wrote its id alone.
    Landed {
        /// The batch.
        batch_id: Uuid,
        /// Its seal, where the record repeats it.
        seal: Option<Seal>,
    },
    /// The sequences of the producers: id, durable sequence, last seen (ms).
    Producers(Vec<(String, u64, i64)>),
    /// A part of a snapshot.
    SnapshotPart(SnapshotPart),
}

/// Accepted events of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsRecord {
    /// The producer; empty for none.
    pub producer_id: String,
    /// The request's number.
    pub sequence: u64,
    /// When it was received, in milliseconds since 1970 UTC.
    pub received_at_ms: i64,
    /// The events.
    pub columns: EventColumns,
}

/// A batch: its id, and the range of the records whose events it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The batch's id, which is its deduplication token.
    pub batch_id: Uuid,
    /// The first record.
    pub first: u64,
    /// The last record.
    pub last: u64,
    /// How many events the batch holds; 0 where an earlier version did not say.
    pub events: u64,
}

/// What a restart must know although the records it came from are gone: it takes the place of every record before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The sequences of the producers: id, last submitted sequence, last seen (ms), in ascending order of last seen.
    pub producers: Vec<(String, u64, i64)>,
    /// Hashes of producers that were forgotten, oldest first.
    pub forgotten: Vec<u64>,
    /// The event ids that producers gave lately, oldest first.
    pub event_ids: Vec<Uuid>,
}

/// A part of a snapshot, as one record holds it. The parts of a snapshot follow each other without a record between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Its number, from 0.
    pub index: u16,
    /// How many there are.
    pub count: u16,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedRecord {
    /// It was written by a newer version.
    #[error("the record has the kind {0}, which this version does not know; start the version that wrote it")]
    UnknownKind(u8),
    /// It ends early.
    #[error("a record of the kind {0} ends early")]
    Truncated(u8),
    /// A producer id is no text.
    #[error("a producer id is not UTF-8")]
    ProducerId,
    /// Its columns cannot be read.
    #[error(transparent)]
    Columns(#[from] MalformedColumns),
}

impl EventsRecord {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        Self::encode_fields(&self.producer_id, self.sequence, self.received_at_ms, &self.columns)
    }

    /// The payload of a record with these fields.
    pub fn encode_fields(
        producer_id: &str,
        sequence: u64,
        received_at_ms: i64,
        columns: &EventColumns,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(columns.size_bytes() + producer_id.len() + 96);
        write_string(&mut out, producer_id);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&received_at_ms.to_le_bytes());
        columns.encode_to(&mut out);
        out
    }
}

impl Seal {
    /// The payload of a seal record and of a landed record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.batch_id.as_bytes().to_vec();
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out
    }

    fn read(reader: &mut PayloadReader<'_>) -> Result<Self, MalformedRecord> {
        Ok(Self {
            batch_id: Uuid::from_bytes(reader.read_array()?),
            first: u64::from_le_bytes(reader.read_array()?),
            last: u64::from_le_bytes(reader.read_array()?),
            events: if reader.rest.is_empty() { 0 } else { u64::from_le_bytes(reader.read_array()?) },
        })
    }
}

impl Snapshot {
    /// The payloads of its records, in order, with so many bytes of it in each at most.
    pub fn encode(&self, part_bytes: usize) -> Vec<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.event_ids.len() * 16 + self.producers.len() * 64 + 16);
        bytes.extend_from_slice(&(self.producers.len() as u64).to_le_bytes());
        for (producer_id, sequence, last_seen_ms) in &self.producers {
            write_string(&mut bytes, producer_id);
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&last_seen_ms.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.forgotten.len() as u64).to_le_bytes());
        for hash in &self.forgotten {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
        for id in &self.event_ids {
            bytes.extend_from_slice(id.as_bytes());
        }
        let parts: Vec<&[u8]> = bytes.chunks(part_bytes).collect();
        let count = u16::try_from(parts.len()).expect("the number of event ids is bounded");
        (0..count)
            .zip(parts)
            .map(|(part, bytes)| {
                let mut payload = Vec::with_capacity(bytes.len() + 4);
                payload.extend_from_slice(&part.to_le_bytes());
                payload.extend_from_slice(&count.to_le_bytes());
                payload.extend_from_slice(bytes);
                payload
            })
            .collect()
    }

    /// Reads the bytes of all parts, one behind the other.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRecord> {
        let mut reader = PayloadReader { kind: kind::SNAPSHOT, rest: bytes };
        let count = u64::from_le_bytes(reader.read_array()?);
        let mut producers = Vec::new();
        for _ in 0..count {
            producers.push(reader.read_producer()?);
        }
        let count = u64::from_le_bytes(reader.read_array()?);
        let mut forgotten = Vec::new();
        for _ in 0..count {
            forgotten.push(u64::from_le_bytes(reader.read_array()?));
        }
        if !reader.rest.len().is_multiple_of(16) {
            return Err(MalformedRecord::Truncated(kind::SNAPSHOT));
        }
        let event_ids = reader.rest.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok()).collect();
        Ok(Self { producers, forgotten, event_ids })
    }
}

impl WriterRecord {
    /// Reads a payload back.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self, MalformedRecord> {
        let mut reader = PayloadReader { kind, rest: payload };
        match kind {
            kind::EVENTS => Ok(Self::Events(Box::new(EventsRecord {
                producer_id: reader.read_string()?,
                sequence: u64::from_le_bytes(reader.read_array()?),
                received_at_ms: i64::from_le_bytes(reader.read_array()?),
                columns: EventColumns::decode(reader.rest)?,
            }))),
            kind::SEAL => Ok(Self::Seal(Seal::read(&mut reader)?)),
            kind::LANDED if payload.len() == 16 => {
                Ok(Self::Landed { batch_id: Uuid::from_bytes(reader.read_array()?), seal: None })
            }
            kind::LANDED => {
                let seal = Seal::read(&mut reader)?;
                Ok(Self::Landed { batch_id: seal.batch_id, seal: Some(seal) })
            }
            kind::PRODUCERS => {
                let mut producers = Vec::new();
                while !reader.rest.is_empty() {
                    producers.push(reader.read_producer()?);
                }
                Ok(Self::Producers(producers))
            }
            kind::SNAPSHOT => Ok(Self::SnapshotPart(SnapshotPart {
                index: u16::from_le_bytes(reader.read_array()?),
                count: u16::from_le_bytes(reader.read_array()?),
                bytes: reader.rest.to_vec(),
            })),
            other => Err(MalformedRecord::UnknownKind(other)),
        }
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("a producer id was checked to be short");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct PayloadReader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> PayloadReader<'a> {
    fn read_bytes(&mut self, length: usize) -> Result<&'a [u8], MalformedRecord> {
        let (bytes, rest) =
            self.rest.split_at_checked(length).ok_or(MalformedRecord::Truncated(self.kind))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRecord> {
        let mut array = [0; N];
        array.copy_from_slice(self.read_bytes(N)?);
        Ok(array)
    }

    fn read_string(&mut self) -> Result<String, MalformedRecord> {
        let length = u16::from_le_bytes(self.read_array()?);
        let text = self.read_bytes(usize::from(length))?;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| MalformedRecord::ProducerId)
    }

    fn read_producer(&mut self) -> Result<(String, u64, i64), MalformedRecord> {
        Ok((
            self.read_string()?,
            u64::from_le_bytes(self.read_array()?),
            i64::from_le_bytes(self.read_array()?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { batch_id: Uuid::from_u128(5), first: 3, last: 9, events: 11 };

    #[test]
    fn every_kind_round_trips() {
        let events = EventsRecord {
            producer_id: "billing-1".into(),
            sequence: 7,
            received_at_ms: -1,
            columns: EventColumns::default(),
        };
        let part = SnapshotPart { index: 1, count: 3, bytes: vec![7, 8] };
        let cases = [
            (kind::EVENTS, events.encode(), WriterRecord::Events(Box::new(events))),
            (kind::SEAL, SEAL.encode(), WriterRecord::Seal(SEAL)),
            (kind::LANDED, SEAL.encode(), WriterRecord::Landed { batch_id: SEAL.batch_id, seal: Some(SEAL) }),
            (kind::SNAPSHOT, vec![1, 0, 3, 0, 7, 8], WriterRecord::SnapshotPart(part)),
        ];
        for (kind, payload, record) in cases {
            assert_eq!(WriterRecord::decode(kind, &payload), Ok(record));
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        assert_eq!(
            WriterRecord::decode(kind::SEAL, &SEAL.encode()[..32]),
            Ok(WriterRecord::Seal(Seal { events: 0, ..SEAL }))
        );
        assert_eq!(
            WriterRecord::decode(kind::LANDED, SEAL.batch_id.as_bytes()),
            Ok(WriterRecord::Landed { batch_id: SEAL.batch_id, seal: None })
        );
        let mut producers = Vec::new();
        write_string(&mut producers, "a");
        producers.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            WriterRecord::decode(kind::PRODUCERS, &producers),
            Ok(WriterRecord::Producers(vec![("a".into(), 1, 2)]))
        );
    }

    #[test]
    fn a_large_snapshot_is_split_into_parts_and_reassembled() {
        let snapshot = Snapshot {
            producers: vec![("a".to_owned(), 1, 2), ("b".to_owned(), 3, -4)],
            forgotten: vec![7, u64::MAX],
            event_ids: (0..1_100_000).map(Uuid::from_u128).collect(),
        };
        let payloads = snapshot.encode(8 << 20);
        assert_eq!(payloads.len(), 3);
        let mut bytes = Vec::new();
        for (number, payload) in (0_u16..).zip(&payloads) {
            let Ok(WriterRecord::SnapshotPart(part)) = WriterRecord::decode(kind::SNAPSHOT, payload) else {
                panic!("it is a part of a snapshot");
            };
            assert_eq!((part.index, part.count), (number, 3));
            bytes.extend_from_slice(&part.bytes);
        }
        assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
    }

    #[test]
    fn truncated_and_unknown_records_are_errors() {
        assert_eq!(WriterRecord::decode(kind::SEAL, &[0; 20]), Err(MalformedRecord::Truncated(kind::SEAL)));
        assert_eq!(WriterRecord::decode(99, &[]), Err(MalformedRecord::UnknownKind(99)));
        assert_eq!(Snapshot::decode(&[0; 9]), Err(MalformedRecord::Truncated(kind::SNAPSHOT)));
    }
}
