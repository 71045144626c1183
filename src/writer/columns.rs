//! Events as columns, in the layout of ClickHouse's Native format.
//!
//! An event is written into the columns once, when it is received. From then on events move as columns: a journal
//! record holds them, a batch is made by putting columns behind each other, and an insert sends them, without an event
//! being taken apart again.
//!
//! Layout, from ClickHouse's documentation of the Native format: a block is the number of its columns and of its rows
//! (LEB128), then for each column its name, its type and its values. A `String` value is its length (LEB128) and its
//! bytes; `Nullable` puts a byte for each row in front; a `UUID` is two little-endian halves, the high one first. Low
//! cardinality columns are sent as plain strings, which ClickHouse converts.

use bytes::Bytes;
use uuid::Uuid;

use crate::event::ValidEvent;

/// The columns of an event, in the order in which they are sent. `date` is computed by ClickHouse.
const COLUMNS: [(&str, &str); 9] = [
    ("event_name", "String"),
    ("timestamp", "DateTime64(3)"),
    ("session_id", "String"),
    ("user_id", "Nullable(String)"),
    ("device_type", "String"),
    ("country_code", "FixedString(2)"),
    ("properties", "String"),
    ("event_id", "UUID"),
    ("received_at", "DateTime64(3)"),
];

/// The column that comes last: the batch's id, which an event does not have before it is in one.
const BATCH_COLUMN: (&str, &str) = ("batch", "UUID");
/// The batch's id is sent in pieces of so many rows, all of which are the same memory.
const BATCH_CHUNK_ROWS: usize = 4_096;

/// The columns by name, as an INSERT lists them.
pub const COLUMN_NAMES: &str = "event_name, timestamp, session_id, user_id, device_type, country_code, properties, event_id, received_at, batch";

/// How a buffer holds its values.
#[derive(Clone, Copy)]
enum ValueLayout {
    /// So many bytes a row.
    Fixed(usize),
    /// Strings.
    Strings,
}

/// The buffers: one a column, but two for the nullable one (its null map, then its values).
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
/// The buffer that begins each column.
const COLUMN_STARTS: [usize; COLUMNS.len()] = [0, 1, 2, 3, 5, 6, 7, 8, 9];
const EVENT_ID_BUFFER: usize = 8;

/// Rows of `events`, a buffer a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventColumns {
    rows: u32,
    buffers: [Vec<u8>; BUFFER_LAYOUTS.len()],
    /// The rows whose id the producer gave, ascending.
    explicit_id_rows: Vec<u32>,
}

/// Bytes that are no [`EventColumns`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the columns of a journal record are not readable: {0}")]
pub struct MalformedColumns(&'static str);

impl EventColumns {
    /// The number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The size of the values, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.buffers.iter().map(Vec::len).sum()
    }

    /// Adds an event. One without an id gets `new_id`.
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

    /// The ids that producers gave, with their rows.
    pub fn explicit_ids(&self) -> impl Iterator<Item = (u32, Uuid)> + '_ {
        self.explicit_id_rows.iter().map(|&row| (row, self.event_id(row)))
    }

    /// The id of a row.
    fn event_id(&self, row: u32) -> Uuid {
        let at = row as usize * 16;
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.buffers[EVENT_ID_BUFFER][at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        Uuid::from_u64_pair(half(at), half(at + 8))
    }

    /// The ids of all rows.
    #[cfg(test)]
    pub(super) fn event_ids(&self) -> Vec<Uuid> {
        (0..self.rows).map(|row| self.event_id(row)).collect()
    }

    /// Puts the rows of `more` behind these.
    pub fn append(&mut self, more: &Self) {
        for (buffer, more) in self.buffers.iter_mut().zip(&more.buffers) {
            buffer.extend_from_slice(more);
        }
        self.explicit_id_rows.extend(more.explicit_id_rows.iter().map(|row| row + self.rows));
        self.rows += more.rows;
    }

    /// These without some rows, which are given ascending.
    pub fn without_rows(&self, dropped: &[u32]) -> Self {
        let mut kept = Self::default();
        let keeps = |row: u32| dropped.binary_search(&row).is_err();
        for ((from, to), values) in self.buffers.iter().zip(&mut kept.buffers).zip(BUFFER_LAYOUTS) {
            let mut rest = from.as_slice();
            for row in 0..self.rows {
                let length = match values {
                    ValueLayout::Fixed(width) => width,
                    ValueLayout::Strings => {
                        encoded_string_len(rest).expect("the buffer holds a string for each row")
                    }
                };
                let (value, after) = rest.split_at(length);
                if keeps(row) {
                    to.extend_from_slice(value);
                }
                rest = after;
            }
        }
        let mut next = 0;
        for row in (0..self.rows).filter(|&row| keeps(row)) {
            if self.explicit_id_rows.binary_search(&row).is_ok() {
                kept.explicit_id_rows.push(next);
            }
            next += 1;
        }
        kept.rows = next;
        kept
    }

    /// The body of an INSERT of a batch in the Native format, as parts to be sent one after the other.
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

    /// Adds these to a journal record: the rows, the given ids, each buffer's length, then the buffers.
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

    /// Reads what [`encode_to`](Self::encode_to) wrote. Whatever the bytes are, it gives columns whose every row is whole
    /// or an error.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, MalformedColumns> {
        let short = MalformedColumns("they end early");
        let rows = read_varint(&mut bytes).ok_or(short)?;
        let rows = u32::try_from(rows).map_err(|_| MalformedColumns("there are too many rows"))?;
        let explicit_count = read_varint(&mut bytes).ok_or(MalformedColumns("they end early"))?;
        if explicit_count > rows as usize {
            return Err(MalformedColumns("there are more ids than rows"));
        }
        let mut explicit_id_rows = Vec::new();
        for _ in 0..explicit_count {
            let row = read_varint(&mut bytes).and_then(|row| u32::try_from(row).ok());
            match row {
                Some(row) if row < rows && explicit_id_rows.last().is_none_or(|&last| last < row) => {
                    explicit_id_rows.push(row);
                }
                _ => return Err(MalformedColumns("the rows of the ids are out of order")),
            }
        }
        let mut lengths = [0; BUFFER_LAYOUTS.len()];
        for length in &mut lengths {
            *length = read_varint(&mut bytes).ok_or(MalformedColumns("they end early"))?;
        }
        let mut columns = Self { rows, explicit_id_rows, ..Self::default() };
        for ((buffer, length), values) in columns.buffers.iter_mut().zip(lengths).zip(BUFFER_LAYOUTS) {
            let (value, rest) = bytes.split_at_checked(length).ok_or(MalformedColumns("they end early"))?;
            if !is_valid_buffer(value, rows, values) {
                return Err(MalformedColumns("a column does not hold a value for each row"));
            }
            *buffer = value.to_vec();
            bytes = rest;
        }
        if !bytes.is_empty() {
            return Err(MalformedColumns("something follows them"));
        }
        Ok(columns)
    }
}

fn is_valid_buffer(mut buffer: &[u8], rows: u32, values: ValueLayout) -> bool {
    match values {
        ValueLayout::Fixed(width) => buffer.len() == rows as usize * width,
        ValueLayout::Strings => {
            for _ in 0..rows {
                match encoded_string_len(buffer) {
                    Some(span) => buffer = &buffer[span..],
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

fn write_varint(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(length);
        }
    }
    None
}

/// How many bytes the first string of `buffer` takes, its length included.
fn encoded_string_len(buffer: &[u8]) -> Option<usize> {
    let mut rest = buffer;
    let length = read_varint(&mut rest)?;
    let span = (buffer.len() - rest.len()).checked_add(length)?;
    (span <= buffer.len()).then_some(span)
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
