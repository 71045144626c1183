//! What the writer keeps in the journal.
//!
//! | kind | payload |
//! | --- | --- |
//! | events | producer id, sequence, time of receipt, then the columns of the accepted events |
//! | seal | batch id, first and last record: the events records in that range are one batch, for ever |
//! | landed | batch id: ClickHouse has the batch, or it lies among the dead letters |
//! | producers | the places of some producers: a part of a snapshot, so that older records may go |
//! | forgotten | hashes of producers that were forgotten: the last parts of a snapshot |
//!
//! Numbers are little-endian. A kind that is not known is an error: the journal was written by a newer version.

use uuid::Uuid;

use super::columns::{EventColumns, MalformedColumns};
use super::producers::Part;

/// The kinds of records.
pub mod kind {
    /// Accepted events.
    pub const EVENTS: u8 = 1;
    /// A sealed batch.
    pub const SEAL: u8 = 2;
    /// A batch that needs nothing more.
    pub const LANDED: u8 = 3;
    /// The places of the producers.
    pub const PRODUCERS: u8 = 4;
    /// Producers that were forgotten.
    pub const FORGOTTEN: u8 = 7;
}

/// A record, read back.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// Accepted events.
    Events(Box<Events>),
    /// A sealed batch.
    Seal(Seal),
    /// A batch that needs nothing more.
    Landed(Uuid),
    /// The places of the producers: id, durable sequence, last seen (ms).
    Producers(Vec<(String, u64, i64)>),
    /// Hashes of producers that were forgotten.
    Forgotten(Vec<u64>),
}

/// Accepted events of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
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
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedRecord {
    /// It was written by a newer version.
    #[error("the record has the kind {0}, which this version does not know; start the version that wrote it")]
    UnknownKind(u8),
    /// It ends early.
    #[error("a record of the kind {0} ends early")]
    Short(u8),
    /// A producer id is no text.
    #[error("a producer id is not UTF-8")]
    ProducerId,
    /// Its columns cannot be read.
    #[error(transparent)]
    Columns(#[from] MalformedColumns),
}

impl Events {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.columns.bytes() + self.producer_id.len() + 96);
        put_text(&mut out, &self.producer_id);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.received_at_ms.to_le_bytes());
        self.columns.write_to(&mut out);
        out
    }
}

impl Seal {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.batch_id.as_bytes().to_vec();
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out
    }
}

/// The payload of a landed record.
pub fn encode_landed(batch_id: Uuid) -> Vec<u8> {
    batch_id.as_bytes().to_vec()
}

/// The payload of a producers record.
pub fn encode_producers<'a>(places: impl Iterator<Item = (&'a str, u64, i64)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (producer_id, sequence, last_seen_ms) in places {
        put_text(&mut out, producer_id);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&last_seen_ms.to_le_bytes());
    }
    out
}

/// The kind and the payload of a part of a snapshot.
pub fn encode_part(part: &Part<'_>) -> (u8, Vec<u8>) {
    match part {
        Part::Producers(places) => (kind::PRODUCERS, encode_producers(places.iter().copied())),
        Part::Forgotten(hashes) => {
            (kind::FORGOTTEN, hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect())
        }
    }
}

impl Record {
    /// Reads a payload back.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self, MalformedRecord> {
        let mut reader = Reader { kind, rest: payload };
        match kind {
            kind::EVENTS => Ok(Self::Events(Box::new(Events {
                producer_id: reader.text()?,
                sequence: u64::from_le_bytes(reader.array()?),
                received_at_ms: i64::from_le_bytes(reader.array()?),
                columns: EventColumns::read_from(reader.rest)?,
            }))),
            kind::SEAL => Ok(Self::Seal(Seal {
                batch_id: Uuid::from_bytes(reader.array()?),
                first: u64::from_le_bytes(reader.array()?),
                last: u64::from_le_bytes(reader.array()?),
            })),
            kind::LANDED => Ok(Self::Landed(Uuid::from_bytes(reader.array()?))),
            kind::PRODUCERS => {
                let mut places = Vec::new();
                while !reader.rest.is_empty() {
                    places.push((
                        reader.text()?,
                        u64::from_le_bytes(reader.array()?),
                        i64::from_le_bytes(reader.array()?),
                    ));
                }
                Ok(Self::Producers(places))
            }
            kind::FORGOTTEN => {
                let mut hashes = Vec::new();
                while !reader.rest.is_empty() {
                    hashes.push(u64::from_le_bytes(reader.array()?));
                }
                Ok(Self::Forgotten(hashes))
            }
            other => Err(MalformedRecord::UnknownKind(other)),
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("a producer id was checked to be short");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Reader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedRecord> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(MalformedRecord::Short(self.kind))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRecord> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn text(&mut self) -> Result<String, MalformedRecord> {
        let length = u16::from_le_bytes(self.array()?);
        let text = self.take(usize::from(length))?;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| MalformedRecord::ProducerId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_as_it_was_written() {
        let events = Events {
            producer_id: "billing-1".into(),
            sequence: 7,
            received_at_ms: -1,
            columns: EventColumns::default(),
        };
        let seal = Seal { batch_id: Uuid::from_u128(5), first: 3, last: 9 };
        let places = vec![("a".to_owned(), 1, 2), ("b".to_owned(), 3, -4)];
        let producers = encode_producers(places.iter().map(|(id, s, t)| (id.as_str(), *s, *t)));
        let forgotten = encode_part(&Part::Forgotten(vec![7, u64::MAX]));
        let cases = [
            (forgotten.0, forgotten.1, Record::Forgotten(vec![7, u64::MAX])),
            (kind::EVENTS, events.encode(), Record::Events(Box::new(events))),
            (kind::SEAL, seal.encode(), Record::Seal(seal)),
            (kind::LANDED, encode_landed(seal.batch_id), Record::Landed(seal.batch_id)),
            (kind::PRODUCERS, producers, Record::Producers(places)),
        ];
        for (kind, payload, record) in cases {
            assert_eq!(Record::decode(kind, &payload), Ok(record));
        }
    }

    #[test]
    fn a_short_or_unknown_record_says_so() {
        assert_eq!(Record::decode(kind::SEAL, &[0; 20]), Err(MalformedRecord::Short(kind::SEAL)));
        assert_eq!(Record::decode(99, &[]), Err(MalformedRecord::UnknownKind(99)));
    }
}
