//! Events as columns, in the layout of ClickHouse's Native format.
//!
//! An event is encoded into columns once, when it is received. Everything after that copies whole columns: a journal record
//! holds them, a batch concatenates them, and an insert sends them.
//!
//! Layout, from ClickHouse's documentation of the Native format: a block is the number of its columns and of its rows
//! (LEB128), then for each column its name, its type and its values. A `String` value is its length (LEB128) and its bytes.
//! `Nullable` prepends one byte per row. A `UUID` is two little-endian halves, the high half first. `LowCardinality` columns
//! are sent as plain strings, which ClickHouse converts.

use bytes::Bytes;
use prost::encoding::{decode_varint, encode_varint};
use uuid::Uuid;

use crate::event::ValidEvent;

/// Names and types of an event's columns, in the order in which they are sent. ClickHouse computes `date`.
const COLUMNS: [(&str, &str); 9] = [
    ("event_name", "String"),
    ("timestamp", "DateTime64(3)"),
    ("session_id", "String"),
    ("user_id", "Nullable(String)"),
    ("device_type", "String"),
    ("country_code", "FixedString(2)"),
    ("properties", "String"),
    ("given_event_id", "UUID"),
    ("received_at", "DateTime64(3)"),
];

/// The last column: the batch id, which is known only when the batch is sealed.
const BATCH_COLUMN: (&str, &str) = ("batch", "UUID");
/// Rows per chunk of the batch column. All chunks share the same memory.
const BATCH_CHUNK_ROWS: usize = 4_096;

/// The column list of an INSERT.
pub const COLUMN_NAMES: &str = "event_name, timestamp, session_id, user_id, device_type, country_code, properties, \
                                given_event_id, received_at, batch";

/// How a buffer encodes its values.
#[derive(Clone, Copy)]
enum ValueLayout {
    /// This many bytes per row.
    Fixed(usize),
    /// A length (LEB128) and the bytes per row.
    Strings,
}

/// One buffer per column, and two for the nullable column: null map and values.
const BUFFER_LAYOUTS: [ValueLayout; 10] = [
    ValueLayout::Strings,   // event_name
    ValueLayout::Fixed(8),  // timestamp
    ValueLayout::Strings,   // session_id
    ValueLayout::Fixed(1),  // user_id's null map
    ValueLayout::Strings,   // user_id
    ValueLayout::Strings,   // device_type
    ValueLayout::Fixed(2),  // country_code
    ValueLayout::Strings,   // properties
    ValueLayout::Fixed(16), // event_id
    ValueLayout::Fixed(8),  // received_at
];
/// The index of each column's first buffer.
const COLUMN_STARTS: [usize; COLUMNS.len()] = [0, 1, 2, 3, 5, 6, 7, 8, 9];
const EVENT_ID_BUFFER: usize = 8;

/// Rows of the table `events`, column by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventColumns {
    rows: u32,
    buffers: [Vec<u8>; BUFFER_LAYOUTS.len()],
    /// Rows with an event id from the producer, ascending. Their ids are deduplicated.
    explicit_id_rows: Vec<u32>,
}

/// Why bytes cannot be decoded as [`EventColumns`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the event columns of a journal record are malformed: {0}")]
pub struct MalformedColumns(&'static str);

const TRUNCATED: MalformedColumns = MalformedColumns("they are truncated");

impl EventColumns {
    pub fn rows(&self) -> u32 {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Size of all values, without column names and the batch column.
    pub fn size_bytes(&self) -> usize {
        self.buffers.iter().map(Vec::len).sum()
    }

    /// Appends a row. An event without an id gets `new_id()`.
    pub fn push(&mut self, event: &ValidEvent<'_>, received_at_ms: i64, new_id: impl FnOnce() -> Uuid) {
        let [name, time, session, nulls, user, device, country, properties, id, received] = &mut self.buffers;
        write_string(name, event.event_name());
        time.extend_from_slice(&event.timestamp_ms().to_le_bytes());
        write_string(session, event.session_id());
        nulls.push(u8::from(event.user_id().is_none()));
        write_string(user, event.user_id().unwrap_or(""));
        write_string(device, event.device_type().as_str());
        country.extend_from_slice(&event.country_code());
        write_string(properties, event.properties());
        let event_id = event.event_id().inspect(|_| self.explicit_id_rows.push(self.rows));
        id.extend_from_slice(&native_uuid(event_id.unwrap_or_else(new_id)));
        received.extend_from_slice(&received_at_ms.to_le_bytes());
        self.rows += 1;
    }

    /// Rows and ids of the events with an id from the producer.
    pub fn explicit_ids(&self) -> impl Iterator<Item = (u32, Uuid)> + '_ {
        self.explicit_id_rows.iter().map(|&row| (row, self.event_id(row)))
    }

    fn event_id(&self, row: u32) -> Uuid {
        let at = row as usize * 16;
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.buffers[EVENT_ID_BUFFER][at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        Uuid::from_u64_pair(half(at), half(at + 8))
    }

    #[cfg(test)]
    pub(super) fn event_ids(&self) -> Vec<Uuid> {
        (0..self.rows).map(|row| self.event_id(row)).collect()
    }

    /// Appends the rows of `more`.
    pub fn append(&mut self, more: &Self) {
        for (buffer, more) in self.buffers.iter_mut().zip(&more.buffers) {
            buffer.extend_from_slice(more);
        }
        self.explicit_id_rows.extend(more.explicit_id_rows.iter().map(|row| row + self.rows));
        self.rows += more.rows;
    }

    /// A copy without the rows in `dropped`, which is ascending.
    pub fn without_rows(&self, dropped: &[u32]) -> Self {
        let mut kept = Self::default();
        let is_kept = |row: u32| dropped.binary_search(&row).is_err();
        for ((from, to), layout) in self.buffers.iter().zip(&mut kept.buffers).zip(BUFFER_LAYOUTS) {
            let mut rest = from.as_slice();
            for row in 0..self.rows {
                let length = match layout {
                    ValueLayout::Fixed(width) => width,
                    ValueLayout::Strings => {
                        encoded_string_len(rest).expect("the buffer holds a string for each row")
                    }
                };
                let (value, after) = rest.split_at(length);
                if is_kept(row) {
                    to.extend_from_slice(value);
                }
                rest = after;
            }
        }
        let mut next = 0;
        for row in (0..self.rows).filter(|&row| is_kept(row)) {
            if self.explicit_id_rows.binary_search(&row).is_ok() {
                kept.explicit_id_rows.push(next);
            }
            next += 1;
        }
        kept.rows = next;
        kept
    }

    /// The body of a batch's INSERT in the Native format, as consecutive chunks. Copies no event.
    pub fn into_native(self, batch_id: Uuid) -> Vec<Bytes> {
        let rows = self.rows as usize;
        let mut parts = Vec::with_capacity(2 * BUFFER_LAYOUTS.len() + rows / BATCH_CHUNK_ROWS + 2);
        let mut head = Vec::new();
        write_varint(&mut head, COLUMNS.len() + 1);
        write_varint(&mut head, rows);
        for (i, buffer) in self.buffers.into_iter().enumerate() {
            if let Some(column) = COLUMN_STARTS.iter().position(|&start| start == i) {
                write_column_header(&mut head, COLUMNS[column]);
                parts.push(Bytes::from(std::mem::take(&mut head)));
            }
            parts.push(Bytes::from(buffer));
        }
        write_column_header(&mut head, BATCH_COLUMN);
        parts.push(Bytes::from(head));
        let chunk = Bytes::from(native_uuid(batch_id).repeat(rows.min(BATCH_CHUNK_ROWS)));
        for first in (0..rows).step_by(BATCH_CHUNK_ROWS) {
            parts.push(chunk.slice(..(rows - first).min(BATCH_CHUNK_ROWS) * 16));
        }
        parts
    }

    /// Appends the journal's encoding: the number of rows, the rows with explicit ids, the length of each buffer, the
    /// buffers.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.size_bytes() + 64);
        write_varint(out, self.rows as usize);
        write_varint(out, self.explicit_id_rows.len());
        for &row in &self.explicit_id_rows {
            write_varint(out, row as usize);
        }
        for buffer in &self.buffers {
            write_varint(out, buffer.len());
        }
        for buffer in &self.buffers {
            out.extend_from_slice(buffer);
        }
    }

    /// Decodes the output of [`encode_to`](Self::encode_to). Other bytes are an error, or columns with complete rows.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, MalformedColumns> {
        let rows = read_varint(&mut bytes).ok_or(TRUNCATED)?;
        let rows = u32::try_from(rows).map_err(|_| MalformedColumns("the number of rows exceeds 32 bits"))?;
        let explicit_count = read_varint(&mut bytes).ok_or(TRUNCATED)?;
        if explicit_count > rows as usize {
            return Err(MalformedColumns("they have more explicit ids than rows"));
        }
        let mut explicit_id_rows = Vec::new();
        for _ in 0..explicit_count {
            let row = read_varint(&mut bytes).and_then(|row| u32::try_from(row).ok());
            match row {
                Some(row) if row < rows && explicit_id_rows.last().is_none_or(|&last| last < row) => {
                    explicit_id_rows.push(row);
                }
                _ => return Err(MalformedColumns("the rows with explicit ids are not ascending")),
            }
        }
        let mut lengths = [0; BUFFER_LAYOUTS.len()];
        for length in &mut lengths {
            *length = read_varint(&mut bytes).ok_or(TRUNCATED)?;
        }
        let mut columns = Self { rows, explicit_id_rows, ..Self::default() };
        for ((buffer, length), layout) in columns.buffers.iter_mut().zip(lengths).zip(BUFFER_LAYOUTS) {
            let (values, rest) = bytes.split_at_checked(length).ok_or(TRUNCATED)?;
            if !is_valid_buffer(values, rows, layout) {
                return Err(MalformedColumns("a column does not have exactly one value per row"));
            }
            *buffer = values.to_vec();
            bytes = rest;
        }
        if !bytes.is_empty() {
            return Err(MalformedColumns("they are followed by other bytes"));
        }
        Ok(columns)
    }
}

fn is_valid_buffer(mut buffer: &[u8], rows: u32, layout: ValueLayout) -> bool {
    match layout {
        ValueLayout::Fixed(width) => buffer.len() == rows as usize * width,
        ValueLayout::Strings => {
            for _ in 0..rows {
                match encoded_string_len(buffer) {
                    Some(length) => buffer = &buffer[length..],
                    None => return false,
                }
            }
            buffer.is_empty()
        }
    }
}

fn write_column_header(out: &mut Vec<u8>, (name, kind): (&str, &str)) {
    write_string(out, name);
    write_string(out, kind);
}

fn native_uuid(id: Uuid) -> [u8; 16] {
    let (high, low) = id.as_u64_pair();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    bytes
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    write_varint(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// LEB128, which is the encoding of Protobuf's varint.
fn write_varint(out: &mut Vec<u8>, number: usize) {
    encode_varint(number as u64, out);
}

fn read_varint(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(decode_varint(bytes).ok()?).ok()
}

/// The size of the first string in `buffer`, including its length prefix. `None` if it is truncated.
fn encoded_string_len(buffer: &[u8]) -> Option<usize> {
    let mut rest = buffer;
    let length = read_varint(&mut rest)?;
    let encoded = (buffer.len() - rest.len()).checked_add(length)?;
    (encoded <= buffer.len()).then_some(encoded)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{ValidationRules, validate};
    use crate::proto::v1;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn columns(events: &[v1::Event]) -> EventColumns {
        let rules =
            ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
        let mut columns = EventColumns::default();
        for event in events {
            columns.push(&validate(event, &rules, NOW_MS).unwrap(), NOW_MS, || Uuid::from_u128(7));
        }
        columns
    }

    fn events() -> impl Strategy<Value = Vec<v1::Event>> {
        let event = ("[a-z]{1,200}", proptest::option::of("[a-z]{1,3}"), proptest::option::of(any::<u128>()))
            .prop_map(|(name, user_id, id)| v1::Event {
                event_name: name.chars().take(128).collect(),
                timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
                session_id: name,
                user_id,
                event_id: id.map(|id| Uuid::from_u128(id).to_string()),
                ..Default::default()
            });
        proptest::collection::vec(event, 0..20)
    }

    proptest! {
        #[test]
        fn columns_round_trip(events in events()) {
            let columns = columns(&events);
            let mut bytes = Vec::new();
            columns.encode_to(&mut bytes);
            prop_assert_eq!(EventColumns::decode(&bytes), Ok(columns));
        }

        #[test]
        fn appending_equals_pushing_in_sequence(a in events(), b in events()) {
            let mut appended = columns(&a);
            appended.append(&columns(&b));
            prop_assert_eq!(appended, columns(&[a, b].concat()));
        }

        #[test]
        fn removing_rows_equals_never_pushing_them(events in events(), seed in any::<u32>()) {
            let dropped: Vec<u32> = (0..events.len() as u32).filter(|row| seed >> (row % 32) & 1 == 1).collect();
            let kept: Vec<_> =
                (0_u32..).zip(&events).filter(|(row, _)| !dropped.contains(row)).map(|(_, e)| e.clone()).collect();
            prop_assert_eq!(columns(&events).without_rows(&dropped), columns(&kept));
        }

        #[test]
        fn decoding_arbitrary_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(columns) = EventColumns::decode(&bytes) {
                prop_assert_eq!(columns.without_rows(&[]), columns);
            }
        }
    }

    #[test]
    fn explicit_event_ids_are_recorded() {
        let mut event = v1::Event {
            event_name: "a".into(),
            timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
            ..Default::default()
        };
        let without = event.clone();
        let id = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        event.event_id = Some(id.to_string());
        let columns = columns(&[without, event]);
        assert_eq!(columns.explicit_ids().collect::<Vec<_>>(), [(1, id)]);
    }

    #[test]
    fn column_names_match_the_columns_that_are_sent() {
        let names: Vec<_> = COLUMNS.iter().chain([&BATCH_COLUMN]).map(|(name, _)| *name).collect();
        assert_eq!(names.join(", "), COLUMN_NAMES);
    }

    #[test]
    fn a_block_starts_with_its_column_and_row_counts() {
        let native = columns(&[]).into_native(Uuid::nil()).concat();
        assert_eq!(&native[..13], b"\x0a\x00\x0aevent_name");
    }

    #[test]
    fn a_block_ends_with_the_batch_id_of_every_row() {
        let event = v1::Event {
            event_name: "a".into(),
            timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
            ..Default::default()
        };
        for rows in [1, BATCH_CHUNK_ROWS, BATCH_CHUNK_ROWS + 1, 3 * BATCH_CHUNK_ROWS - 1] {
            let id = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
            let native = columns(&vec![event.clone(); rows]).into_native(id).concat();
            let (before, ids) = native.split_at(native.len() - 16 * rows);
            assert!(before.ends_with(b"\x05batch\x04UUID"));
            let expected = [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8];
            assert!(ids.chunks(16).all(|id| id == expected));
        }
    }
}
