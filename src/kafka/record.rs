//! The records of the seals topic, which is compacted: of several records with the same key it keeps the last.
//!
//! | record | key | value |
//! | --- | --- | --- |
//! | start | partition, first offset | where the consumption of a partition begins |
//! | sealed | partition, first offset | a [`Seal`] |
//! | landed | the same as sealed | the same seal: the batch is in ClickHouse or in the dead-letter folder |
//! | released | the same as sealed | none: the batch is durable in ClickHouse, and nothing will read the seal again |
//!
//! A landed record repeats the seal, since compaction removes the sealed one. The first batch replaces the start, which has its
//! key.
//!
//! ```text
//! key    version  topic id (16)  partition (4)  first offset (8)                       big-endian
//! value  version  kind  length of the topic's name (2)  name  last offset (8)  batch id (16)  messages (4)
//!        events (4)  digest of the messages (4)  shard (2)  store (16)  CRC-32C of key and value (4)   little-endian
//! ```
//!
//! A start has no more than version, kind, name, store and checksum. An unknown version or kind is an error: a newer version
//! wrote it.

use uuid::Uuid;

const VERSION: u8 = 1;
const START: u8 = 0;
const SEALED: u8 = 1;
const LANDED: u8 = 2;
const KEY_BYTES: usize = 29;
const CRC_BYTES: usize = 4;

/// A partition of a topic that may be deleted and created again: then it has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    pub topic_id: Uuid,
    pub partition: i32,
}

/// Defines a batch: the messages of a partition from `first` to `last`, which never change, and the token under which they are
/// inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    pub partition: PartitionId,
    /// Name of the topic, by which a topic that was created again is found.
    pub topic: String,
    /// The offset after the last one of the batch before, whether there is a message or not.
    pub first: i64,
    /// Offset of the last message, inclusive.
    pub last: i64,
    /// The id of the batch, which is also its deduplication token.
    pub batch_id: Uuid,
    /// Number of messages between `first` and `last`, and their [`digest`]. Kafka may have deleted or compacted them since.
    pub messages: u32,
    /// Number of valid events in them. Further inserts are compared with this number, even if the rules have changed since.
    pub events: u32,
    pub digest: u32,
    /// The shard of ClickHouse that gets the batch.
    pub shard: u16,
    /// The ClickHouse that gets the batch. Another one does not know the token.
    pub store: Uuid,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealRecord {
    /// The store is nil if the next owner decides it.
    Start {
        partition: PartitionId,
        topic: String,
        first: i64,
        store: Uuid,
    },
    Sealed(Seal),
    Landed(Seal),
    Released {
        partition: PartitionId,
        first: i64,
    },
}

/// Why a record cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSeal {
    #[error("version {0}, written by a newer version of Millrace")]
    UnknownVersion(u8),
    #[error("unknown kind {0}, written by a newer version of Millrace")]
    UnknownKind(u8),
    #[error("it has a wrong length")]
    Length,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its offsets or the name of its topic are invalid")]
    Field,
}

/// Adds a message to the digest of a batch, which starts with 0. A message without a value is another one than an empty message.
#[must_use]
pub fn digest(digest: u32, offset: i64, value: Option<&[u8]>) -> u32 {
    let digest = crc32c::crc32c_append(digest, &offset.to_le_bytes());
    let digest = crc32c::crc32c_append(digest, &[u8::from(value.is_some())]);
    crc32c::crc32c_append(digest, value.unwrap_or_default())
}

impl SealRecord {
    pub fn partition(&self) -> PartitionId {
        match self {
            Self::Start { partition, .. } | Self::Released { partition, .. } => *partition,
            Self::Sealed(seal) | Self::Landed(seal) => seal.partition,
        }
    }

    pub fn first(&self) -> i64 {
        match self {
            Self::Start { first, .. } | Self::Released { first, .. } => *first,
            Self::Sealed(seal) | Self::Landed(seal) => seal.first,
        }
    }

    /// Encodes key and value.
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = encode_key(self.partition(), self.first());
        let value = match self {
            Self::Start { topic, store, .. } => encode_value(START, topic, &key, store.as_bytes()),
            Self::Sealed(seal) => encode_value(SEALED, &seal.topic, &key, &seal.fields()),
            Self::Landed(seal) => encode_value(LANDED, &seal.topic, &key, &seal.fields()),
            Self::Released { .. } => return (key, None),
        };
        (key, Some(value))
    }

    /// # Errors
    /// Nothing of the record may be used: the partition, or all partitions if the key is malformed, must not be consumed.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, MalformedSeal> {
        let (partition, first) = decode_key(key)?;
        let Some(value) = value else { return Ok(Self::Released { partition, first }) };
        let (&[version, kind], _) = value.split_first_chunk().ok_or(MalformedSeal::Length)?;
        if version != VERSION {
            return Err(MalformedSeal::UnknownVersion(version));
        }
        let (fields, crc) = value.split_last_chunk::<CRC_BYTES>().ok_or(MalformedSeal::Length)?;
        if checksum(key, fields) != u32::from_le_bytes(*crc) {
            return Err(MalformedSeal::Checksum);
        }
        let mut reader = Reader(fields.get(2..).ok_or(MalformedSeal::Length)?);
        let length = usize::from(u16::from_le_bytes(reader.array()?));
        let topic = std::str::from_utf8(reader.bytes(length)?).map_err(|_| MalformedSeal::Field)?.to_owned();
        let record = match kind {
            START => Self::Start { partition, topic, first, store: Uuid::from_bytes(reader.array()?) },
            SEALED => Self::Sealed(reader.seal(partition, topic, first)?),
            LANDED => Self::Landed(reader.seal(partition, topic, first)?),
            unknown => return Err(MalformedSeal::UnknownKind(unknown)),
        };
        if reader.0.is_empty() { Ok(record) } else { Err(MalformedSeal::Length) }
    }
}

impl Seal {
    /// The fields of the value after the name.
    fn fields(&self) -> Vec<u8> {
        let mut out = self.last.to_le_bytes().to_vec();
        out.extend_from_slice(self.batch_id.as_bytes());
        out.extend_from_slice(&self.messages.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&self.digest.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(self.store.as_bytes());
        out
    }
}

fn encode_key(partition: PartitionId, first: i64) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.push(VERSION);
    key.extend_from_slice(partition.topic_id.as_bytes());
    key.extend_from_slice(&partition.partition.to_be_bytes());
    key.extend_from_slice(&first.to_be_bytes());
    key
}

fn decode_key(key: &[u8]) -> Result<(PartitionId, i64), MalformedSeal> {
    let mut reader = Reader(key);
    let [version] = reader.array()?;
    if version != VERSION {
        return Err(MalformedSeal::UnknownVersion(version));
    }
    let topic_id = Uuid::from_bytes(reader.array()?);
    let partition = i32::from_be_bytes(reader.array()?);
    let first = i64::from_be_bytes(reader.array()?);
    if !reader.0.is_empty() {
        return Err(MalformedSeal::Length);
    }
    if partition < 0 || first < 0 {
        return Err(MalformedSeal::Field);
    }
    Ok((PartitionId { topic_id, partition }, first))
}

fn encode_value(kind: u8, topic: &str, key: &[u8], fields: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).expect("the name of a topic has at most 249 bytes");
    let mut value = vec![VERSION, kind];
    value.extend_from_slice(&length.to_le_bytes());
    value.extend_from_slice(topic.as_bytes());
    value.extend_from_slice(fields);
    value.extend_from_slice(&checksum(key, &value).to_le_bytes());
    value
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], MalformedSeal> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(MalformedSeal::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedSeal> {
        let (array, rest) = self.0.split_first_chunk().ok_or(MalformedSeal::Length)?;
        self.0 = rest;
        Ok(*array)
    }

    fn seal(&mut self, partition: PartitionId, topic: String, first: i64) -> Result<Seal, MalformedSeal> {
        let seal = Seal {
            partition,
            topic,
            first,
            last: i64::from_le_bytes(self.array()?),
            batch_id: Uuid::from_bytes(self.array()?),
            messages: u32::from_le_bytes(self.array()?),
            events: u32::from_le_bytes(self.array()?),
            digest: u32::from_le_bytes(self.array()?),
            shard: u16::from_le_bytes(self.array()?),
            store: Uuid::from_bytes(self.array()?),
        };
        if seal.last < first || seal.last == i64::MAX { Err(MalformedSeal::Field) } else { Ok(seal) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        let partition = PartitionId { topic_id: Uuid::from_u128(7), partition: 3 };
        Seal {
            partition,
            topic: "events".to_owned(),
            first: 100,
            last: 199,
            batch_id: Uuid::from_u128(11),
            messages: 98,
            events: 97,
            digest: 0xaabb_ccdd,
            shard: 2,
            store: Uuid::from_u128(9),
        }
    }

    fn records() -> Vec<SealRecord> {
        let Seal { partition, topic, first, store, .. } = seal();
        vec![
            SealRecord::Start { partition, topic, first, store },
            SealRecord::Sealed(seal()),
            SealRecord::Landed(seal()),
            SealRecord::Released { partition, first },
        ]
    }

    #[test]
    fn every_kind_round_trips_under_one_key() {
        for record in records() {
            let (key, value) = record.encode();
            assert_eq!(key, records()[0].encode().0);
            assert_eq!(SealRecord::decode(&key, value.as_deref()), Ok(record));
        }
    }

    #[test]
    fn the_layout_is_stable() {
        let (key, value) = SealRecord::Sealed(Seal { batch_id: Uuid::from_u128(5), ..seal() }).encode();
        assert_eq!(key, [&[1][..], &[0; 15], &[7], &[0, 0, 0, 3], &[0, 0, 0, 0, 0, 0, 0, 100]].concat());
        let value = value.unwrap();
        let fields = [
            &[1, 1, 6, 0][..],
            b"events",
            &[199, 0, 0, 0, 0, 0, 0, 0],
            &[0; 15],
            &[5, 98, 0, 0, 0, 97, 0, 0, 0, 0xdd, 0xcc, 0xbb, 0xaa, 2, 0],
            &[0; 15],
            &[9],
        ]
        .concat();
        assert_eq!(value[..value.len() - CRC_BYTES], fields);
    }

    #[test]
    fn any_flipped_bit_is_detected() {
        for record in records() {
            let (key, value) = record.encode();
            let Some(value) = value else { continue };
            for bit in 0..(key.len() + value.len()) * 8 {
                let (mut key, mut value) = (key.clone(), value.clone());
                let (byte, mask) = (bit / 8, 1 << (bit % 8));
                if byte < key.len() {
                    key[byte] ^= mask
                } else {
                    value[byte - key.len()] ^= mask
                }
                assert!(SealRecord::decode(&key, Some(&value)).is_err(), "bit {bit} of {record:?}");
            }
        }
    }

    #[test]
    fn records_of_later_versions_are_named_as_such() {
        let (mut key, value) = SealRecord::Sealed(seal()).encode();
        let mut value = value.unwrap();
        value[0] = 2;
        assert_eq!(SealRecord::decode(&key, Some(&value)), Err(MalformedSeal::UnknownVersion(2)));
        key[0] = 9;
        assert_eq!(SealRecord::decode(&key, None), Err(MalformedSeal::UnknownVersion(9)));
    }

    #[test]
    fn offsets_that_cannot_be_are_rejected() {
        for (first, last) in [(5, 4), (5, i64::MAX), (-1, 4)] {
            let (key, value) = SealRecord::Sealed(Seal { first, last, ..seal() }).encode();
            assert_eq!(
                SealRecord::decode(&key, value.as_deref()),
                Err(MalformedSeal::Field),
                "{first} {last}"
            );
        }
    }

    #[test]
    fn the_digest_depends_on_offsets_values_and_their_absence() {
        let values = [(0, None), (0, Some(&b""[..])), (1, None), (0, Some(b"a")), (0, Some(b"b"))];
        let digests: Vec<u32> = values.iter().map(|(offset, value)| digest(0, *offset, *value)).collect();
        for (index, found) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(found), "{digests:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(key in prop::collection::vec(any::<u8>(), 0..64), value in prop::option::of(prop::collection::vec(any::<u8>(), 0..96))) {
            SealRecord::decode(&key, value.as_deref()).ok();
        }

        #[test]
        fn seals_round_trip(first in 0..i64::MAX - 2, length in 0..1_000_i64, topic in "[a-z.]{1,249}", messages: u32, events: u32, digest: u32, shard: u16) {
            let last = first.saturating_add(length).min(i64::MAX - 1);
            let record = SealRecord::Landed(Seal { topic, first, last, messages, events, digest, shard, ..seal() });
            let (key, value) = record.encode();
            prop_assert_eq!(SealRecord::decode(&key, value.as_deref()), Ok(record));
        }
    }
}
