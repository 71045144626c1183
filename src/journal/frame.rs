//! Framing: how one record, or one durability mark, lies in a segment. Pure functions over bytes.
//!
//! A frame is a header of [`HEADER_BYTES`] and then the payload. Integers are little-endian.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0..4 | magic | `a7 6d 72 6a`: where a scan for the next frame stops |
//! | 4 | version | 1 |
//! | 5 | shape | 0 a record, 1 a durability mark |
//! | 6 | kind | the caller's; 0 in a mark |
//! | 7 | | 0 |
//! | 8..12 | length | of the payload; 0 in a mark |
//! | 12..20 | LSN | of the record; in a mark, of the last record that is durable |
//! | 20..24 | payload checksum | CRC-32C |
//! | 24..28 | header checksum | CRC-32C of bytes 0..24, begun from the segment's salt |
//!
//! The header has its own checksum, so that a record with a damaged payload can be stepped over by its length. The salt
//! is random for each segment and never leaves the disk: a sender who puts something like a frame inside a payload can
//! not make a reader, looking for the next frame after damage, take it for one.
//!
//! Later versions may change what follows the header, but not the header: that is what lets this reader step over them.

use std::io::IoSlice;

use bytes::Bytes;

use super::entry::Lsn;

/// Bytes of a frame's header, and of a whole mark.
pub const HEADER_BYTES: usize = 28;

/// The largest payload. A request of 4 MiB of the smallest events grows about fourfold as columns; what a reader has
/// to hold at once is bounded by this.
pub const MAX_PAYLOAD_BYTES: usize = 32 << 20;

/// The first bytes of a frame.
pub const MAGIC: [u8; 4] = [0xa7, b'm', b'r', b'j'];

/// The version this build writes.
pub const VERSION: u8 = 1;

const FRAME_TYPE_RECORD: u8 = 0;
const FRAME_TYPE_MARK: u8 = 1;
const CHECKSUMMED_BYTES: usize = 24;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// A caller's record.
    Record {
        /// What the caller calls it; opaque here.
        kind: u8,
    },
    /// Everything up to the mark's LSN was durable when the mark was written.
    Mark,
    /// Of a version or shape that this build does not know.
    Unknown {
        /// The version found.
        version: u8,
    },
}

/// A header whose checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub frame_type: FrameType,
    /// Bytes of payload that follow.
    pub payload_bytes: u32,
    /// Which record, or up to which record.
    pub lsn: Lsn,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// The header of a record.
    #[must_use]
    pub fn record(lsn: Lsn, kind: u8, payload_bytes: u32, payload_crc: u32) -> Self {
        Self { frame_type: FrameType::Record { kind }, payload_bytes, lsn, payload_crc }
    }

    /// A durability mark: everything up to `lsn` is on disk.
    #[must_use]
    pub fn mark(lsn: Lsn) -> Self {
        Self { frame_type: FrameType::Mark, payload_bytes: 0, lsn, payload_crc: 0 }
    }

    /// The header's bytes in the segment with this salt.
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

    /// The header in these bytes, if they are one of the segment with this salt. A length that no writer may use makes
    /// it none, whatever its checksum, so that a reader's memory stays bounded.
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

    /// Bytes of header and payload.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }
}

fn read_u32_le(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A payload in the parts the caller had it in, with what its header needs to say of it. Its checksum is computed on
/// the caller's thread, before the record joins the queue.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) kind: u8,
    parts: Vec<Bytes>,
    bytes: u32,
    crc: u32,
}

impl Payload {
    /// The payload, unless it is longer than a frame may be: then its length.
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

    /// The parts as they are written, without a copy.
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
