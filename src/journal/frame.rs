//! Framing: the bytes of one record or one durability mark in a segment. Pure functions over bytes.
//!
//! A frame is a header of [`HEADER_BYTES`], followed by the payload. Integers are little-endian.
//!
//! | bytes | field | value |
//! | --- | --- | --- |
//! | 0..4 | magic | `a7 6d 72 6a`, found by a scan for the next frame |
//! | 4 | version | 1 |
//! | 5 | type | 0 for a record, 1 for a durability mark |
//! | 6 | kind | set by the caller; 0 in a mark |
//! | 7 | reserved | 0 |
//! | 8..12 | length | of the payload; 0 in a mark |
//! | 12..20 | LSN | of the record; in a mark, of the last durable record |
//! | 20..24 | payload checksum | CRC-32C |
//! | 24..28 | header checksum | CRC-32C of bytes 0..24, seeded with the salt of the segment |
//!
//! The header has its own checksum, so that a record with a damaged payload can be skipped by its length. The salt is
//! random for each segment and never leaves the disk. So a client cannot forge a frame inside a payload: a scan for the
//! next frame after damage rejects its header checksum.
//!
//! Later versions may change what follows the header, but not the header, so that this reader can skip their frames.

use std::io::IoSlice;

use bytes::Bytes;

use super::entry::Lsn;

/// Length of a frame's header, and of a complete mark.
pub const HEADER_BYTES: usize = 28;

/// Maximum length of a payload, and so of a reader's buffer. A 4 MiB request of the smallest events needs about 16 MiB as
/// columns.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 32 << 20;

/// The first bytes of a frame.
pub const MAGIC: [u8; 4] = [0xa7, b'm', b'r', b'j'];

/// The version that this build writes.
pub(crate) const VERSION: u8 = 1;

const FRAME_TYPE_RECORD: u8 = 0;
const FRAME_TYPE_MARK: u8 = 1;
const CHECKSUMMED_BYTES: usize = 24;

/// The version and type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// A caller's record.
    Record {
        /// Set by the caller; opaque to the journal.
        kind: u8,
    },
    /// A durability mark: all records up to its LSN were durable when it was written.
    Mark,
    /// A version or type that this build does not know.
    Unknown {
        /// The version found.
        version: u8,
    },
}

/// A decoded header with a valid checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// From the version, type and kind bytes.
    pub frame_type: FrameType,
    /// Length of the payload that follows the header.
    pub payload_bytes: u32,
    /// Of the record; in a mark, of the last durable record.
    pub lsn: Lsn,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// A record's header.
    #[must_use]
    pub fn record(lsn: Lsn, kind: u8, payload_bytes: u32, payload_crc: u32) -> Self {
        Self { frame_type: FrameType::Record { kind }, payload_bytes, lsn, payload_crc }
    }

    /// A durability mark: all records up to `lsn` are durable.
    #[must_use]
    pub fn mark(lsn: Lsn) -> Self {
        Self { frame_type: FrameType::Mark, payload_bytes: 0, lsn, payload_crc: 0 }
    }

    /// Encodes the header for the segment with this salt.
    #[must_use]
    pub fn encode(&self, salt: u32) -> [u8; HEADER_BYTES] {
        let (version, frame_type, kind) = match self.frame_type {
            FrameType::Record { kind } => (VERSION, FRAME_TYPE_RECORD, kind),
            FrameType::Mark => (VERSION, FRAME_TYPE_MARK, 0),
            FrameType::Unknown { version } => (version, FRAME_TYPE_RECORD, 0),
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&[version, frame_type, kind, 0]);
        bytes[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(salt, &bytes[..CHECKSUMMED_BYTES]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a header of the segment with this salt. `None` if a checksum or the magic is wrong, and for lengths above
    /// [`MAX_PAYLOAD_BYTES`], so that the memory of a reader stays bounded.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES], salt: u32) -> Option<Self> {
        if bytes[..4] != MAGIC
            || crc32c::crc32c_append(salt, &bytes[..CHECKSUMMED_BYTES]) != read_u32_le(bytes, 24)
        {
            return None;
        }
        let frame_type = match (bytes[4], bytes[5]) {
            (VERSION, FRAME_TYPE_RECORD) => FrameType::Record { kind: bytes[6] },
            (VERSION, FRAME_TYPE_MARK) => FrameType::Mark,
            (version, _) => FrameType::Unknown { version },
        };
        let payload_bytes = read_u32_le(bytes, 8);
        let lsn = u64::from(read_u32_le(bytes, 12)) | u64::from(read_u32_le(bytes, 16)) << 32;
        let header = Self { frame_type, payload_bytes, lsn, payload_crc: read_u32_le(bytes, 20) };
        (payload_bytes as usize <= MAX_PAYLOAD_BYTES && (frame_type != FrameType::Mark || payload_bytes == 0))
            .then_some(header)
    }

    /// Length of header and payload.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }
}

fn read_u32_le(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A payload in the caller's parts, with the values for its header. The checksum is computed on the caller's thread,
/// before the record is queued.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) kind: u8,
    parts: Vec<Bytes>,
    bytes: u32,
    crc: u32,
}

impl Payload {
    /// Fails with the payload's length if that is larger than `max_bytes`.
    pub(super) fn new(kind: u8, parts: Vec<Bytes>, max_bytes: usize) -> Result<Self, usize> {
        let bytes = parts.iter().map(Bytes::len).sum::<usize>();
        if bytes > max_bytes.min(MAX_PAYLOAD_BYTES) {
            return Err(bytes);
        }
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        Ok(Self { kind, parts, bytes: bytes as u32, crc })
    }

    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.bytes)
    }

    pub(super) fn header(&self, lsn: Lsn, salt: u32) -> [u8; HEADER_BYTES] {
        FrameHeader::record(lsn, self.kind, self.bytes, self.crc).encode(salt)
    }

    /// The parts for a vectored write, without a copy.
    pub(super) fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 0x5eed_5a17;

    #[test]
    fn a_header_round_trips() {
        for header in [
            FrameHeader::record(1, 0, 0, 0),
            FrameHeader::record(u64::MAX, 255, MAX_PAYLOAD_BYTES as u32, u32::MAX),
            FrameHeader::mark(0x0123_4567_89ab_cdef),
            FrameHeader { frame_type: FrameType::Unknown { version: 9 }, ..FrameHeader::record(7, 0, 40, 3) },
        ] {
            assert_eq!(FrameHeader::decode(&header.encode(SALT), SALT), Some(header));
        }
    }

    #[test]
    fn the_on_disk_layout_is_stable() {
        let bytes = FrameHeader::record(0x0102, 7, 3, 0xaabb_ccdd).encode(0);
        assert_eq!(
            bytes[..CHECKSUMMED_BYTES],
            [0xa7, b'm', b'r', b'j', 1, 0, 7, 0, 3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0xdd, 0xcc, 0xbb, 0xaa]
        );
        assert_eq!(bytes[CHECKSUMMED_BYTES..], crc32c::crc32c(&bytes[..CHECKSUMMED_BYTES]).to_le_bytes());
    }

    #[test]
    fn any_flipped_bit_in_a_header_is_detected() {
        let good = FrameHeader::record(42, 1, 100, 99).encode(SALT);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bad, SALT), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_another_segment_is_rejected() {
        assert_eq!(FrameHeader::decode(&FrameHeader::mark(1).encode(SALT + 1), SALT), None);
    }

    #[test]
    fn a_header_with_an_invalid_length_is_rejected_despite_a_valid_checksum() {
        let too_long = FrameHeader::record(1, 0, MAX_PAYLOAD_BYTES as u32 + 1, 0);
        assert_eq!(FrameHeader::decode(&too_long.encode(SALT), SALT), None);
        let long_mark = FrameHeader { payload_bytes: 1, ..FrameHeader::mark(1) };
        assert_eq!(FrameHeader::decode(&long_mark.encode(SALT), SALT), None);
    }

    #[test]
    fn the_checksum_covers_all_parts_of_a_payload() {
        let parts = vec![Bytes::from_static(b"mill"), Bytes::new(), Bytes::from_static(b"race")];
        let payload = Payload::new(3, parts, 8).unwrap();
        assert_eq!(
            payload.header(5, SALT),
            FrameHeader::record(5, 3, 8, crc32c::crc32c(b"millrace")).encode(SALT)
        );
        assert_eq!(payload.frame_bytes(), HEADER_BYTES as u64 + 8);
        assert_eq!(payload.slices().map(|slice| slice.len()).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(Payload::new(3, vec![Bytes::from_static(b"123456789")], 8).unwrap_err(), 9);
    }
}
