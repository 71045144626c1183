//! Reads the frames of one segment in order, and skips damage.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::entry::{DamageKind, JournalRecord, Lsn, MAX_LSN, SegmentEntry};
use super::frame::{FrameHeader, FrameType, HEADER_BYTES};
use super::read_buffer::ReadBuffer;
use super::segment::SegmentName;

/// Reads the entries of one segment. Its memory is bounded by the largest frame and one chunk.
#[derive(Debug)]
pub struct SegmentReader<R> {
    buffer: ReadBuffer<R>,
    salt: u32,
    /// LSN of the next record, unless records are missing.
    expected: Lsn,
    /// The last LSN to read: from the next segment's name, or `Lsn::MAX` for the newest segment.
    limit: Lsn,
}

impl<R: Read> SegmentReader<R> {
    /// Reads the records `first` to `limit` of a segment with this salt; with `Lsn::MAX`, to the end of the segment.
    pub fn new(source: R, salt: u32, first: Lsn, limit: Lsn) -> Self {
        Self { buffer: ReadBuffer::new(source), salt, expected: first, limit }
    }

    /// End of the last entry in the file.
    pub fn offset(&self) -> u64 {
        self.buffer.offset()
    }

    /// The last LSN that was read or reported as lost.
    pub fn last_lsn(&self) -> Lsn {
        self.expected - 1
    }

    /// The next entry; `None` at the end of the segment, or after the record `limit`.
    ///
    /// # Errors
    /// Errors of the source. Damage is an entry, not an error.
    #[expect(
        clippy::should_implement_trait,
        reason = "callers use `?`, which Option<Result<_>> needs a transpose for"
    )]
    pub fn next(&mut self) -> io::Result<Option<SegmentEntry>> {
        if self.expected > self.limit {
            return Ok(None);
        }
        let offset = self.buffer.offset();
        let Some(header) = self.read_header()? else {
            return self.resync(offset);
        };
        if header.frame_type == FrameType::Mark {
            let lost = self.skip_to(header.lsn + 1);
            if lost.is_some() {
                return Ok(Some(SegmentEntry::Damage {
                    offset,
                    bytes: 0,
                    lost,
                    kind: DamageKind::MissingRecords,
                }));
            }
            self.buffer.consume(HEADER_BYTES);
            return Ok(Some(SegmentEntry::Mark));
        }
        if let Some(lost) = self.skip_to(header.lsn) {
            return Ok(Some(SegmentEntry::Damage {
                offset,
                bytes: 0,
                lost: Some(lost),
                kind: DamageKind::MissingRecords,
            }));
        }
        self.read_frame(offset, &header)
    }

    /// Decodes the header at the start of the buffer, if it is valid and its LSN is possible here.
    fn read_header(&mut self) -> io::Result<Option<FrameHeader>> {
        self.buffer.fill(HEADER_BYTES)?;
        let Some(bytes) = self.buffer.bytes().first_chunk() else { return Ok(None) };
        Ok(FrameHeader::decode(bytes, self.salt).filter(|header| {
            // A mark has the LSN of the record before it. A frame of a later version may be a record or a mark.
            let earliest = match header.frame_type {
                FrameType::Record { .. } => self.expected,
                FrameType::Mark | FrameType::Unknown { .. } => self.expected - 1,
            };
            (earliest..=self.limit.min(MAX_LSN)).contains(&header.lsn)
        }))
    }

    /// Reads the frame with this header at `offset`.
    fn read_frame(&mut self, offset: u64, header: &FrameHeader) -> io::Result<Option<SegmentEntry>> {
        let wanted = header.frame_bytes();
        let available = self.buffer.fill(wanted)?;
        if available < wanted {
            return Ok(Some(self.damage_to_end(offset, available, DamageKind::Truncated)));
        }
        self.expected = self.expected.max(header.lsn + 1);
        let payload = &self.buffer.bytes()[HEADER_BYTES..wanted];
        let entry = match header.frame_type {
            FrameType::Record { kind } if crc32c::crc32c(payload) == header.payload_crc => {
                SegmentEntry::Record(JournalRecord {
                    lsn: header.lsn,
                    kind,
                    payload: Bytes::copy_from_slice(payload),
                })
            }
            FrameType::Record { .. } => SegmentEntry::Damage {
                offset,
                bytes: wanted as u64,
                lost: Some(header.lsn..=header.lsn),
                kind: DamageKind::ChecksumMismatch,
            },
            FrameType::Mark | FrameType::Unknown { .. } => SegmentEntry::Unknown,
        };
        self.buffer.consume(wanted);
        Ok(Some(entry))
    }

    /// Scans for the next valid header, since there is none at `offset`.
    fn resync(&mut self, offset: u64) -> io::Result<Option<SegmentEntry>> {
        let available = self.buffer.fill(1)?;
        if available == 0 {
            return Ok(match self.limit {
                Lsn::MAX => None,
                _ => Some(self.damage_to_end(offset, 0, DamageKind::MissingRecords)),
            });
        }
        self.buffer.consume(1);
        while self.buffer.seek_magic()? {
            if let Some(header) = self.read_header()? {
                let next = if header.frame_type == FrameType::Mark { header.lsn + 1 } else { header.lsn };
                let lost = self.skip_to(next);
                let bytes = self.buffer.offset() - offset;
                return Ok(Some(SegmentEntry::Damage {
                    offset,
                    bytes,
                    lost,
                    kind: DamageKind::InvalidHeader,
                }));
            }
            self.buffer.consume(1);
        }
        Ok(Some(self.damage_to_end(offset, 0, DamageKind::InvalidHeader)))
    }

    /// Reports the rest of the segment as damaged: from `offset` to the end of the file.
    fn damage_to_end(&mut self, offset: u64, available: usize, kind: DamageKind) -> SegmentEntry {
        self.buffer.consume(available);
        let lost = if self.limit == Lsn::MAX { None } else { self.skip_to(self.limit + 1) };
        SegmentEntry::Damage { offset, bytes: self.buffer.offset() - offset, lost, kind }
    }

    /// Makes `next` the expected LSN, and returns the LSNs that are missing before it.
    fn skip_to(&mut self, next: Lsn) -> Option<RangeInclusive<Lsn>> {
        let missing = (next > self.expected).then(|| self.expected..=next - 1);
        self.expected = self.expected.max(next);
        missing
    }
}

/// The part of the newest segment before its torn tail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ValidPrefix {
    /// Length in bytes.
    pub(super) end: u64,
    /// The last record in it; `durable_lsn` of the segment's name if there is none.
    pub(super) last_lsn: Lsn,
}

/// Finds where the torn tail of the newest segment starts: at the first hole after the last mark. A hole before that mark
/// is damage. See "Torn or damaged" in mod.rs.
pub(super) fn find_valid_prefix<R: Read>(
    reader: &mut SegmentReader<R>,
    name: SegmentName,
) -> io::Result<ValidPrefix> {
    let mut prefix = ValidPrefix { end: 0, last_lsn: name.durable_lsn };
    let mut contiguous = true;
    while let Some(entry) = reader.next()? {
        contiguous = match entry {
            SegmentEntry::Mark => true,
            SegmentEntry::Record(_) | SegmentEntry::Unknown => contiguous,
            SegmentEntry::Damage { .. } => false,
        };
        if contiguous && reader.last_lsn() >= name.first_lsn {
            prefix = ValidPrefix { end: reader.offset(), last_lsn: reader.last_lsn() };
        }
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::super::read_buffer::CHUNK_BYTES;
    use super::*;

    const SALT: u32 = 77;

    fn record(lsn: Lsn, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader::record(lsn, 5, payload.len() as u32, crc32c::crc32c(payload));
        [&header.encode(SALT)[..], payload].concat()
    }

    fn mark(lsn: Lsn) -> Vec<u8> {
        FrameHeader::mark(lsn).encode(SALT).to_vec()
    }

    /// Three records and a mark, two records and a mark; and the offset of each frame.
    fn segment() -> (Vec<u8>, Vec<usize>) {
        let frames = [
            record(1, b"one"),
            record(2, b"two, which is longer"),
            record(3, b""),
            mark(3),
            record(4, b"four"),
            record(5, b"five"),
            mark(5),
        ];
        let starts = frames.iter().scan(0, |at, frame| {
            *at += frame.len();
            Some(*at - frame.len())
        });
        (frames.concat(), starts.collect())
    }

    fn read_entries(bytes: &[u8], first: Lsn, limit: Lsn) -> Vec<SegmentEntry> {
        let mut reader = SegmentReader::new(bytes, SALT, first, limit);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    type DamageSummary = (u64, u64, Option<RangeInclusive<Lsn>>, DamageKind);

    /// The LSNs of the records, and the damage.
    fn read(bytes: &[u8], limit: Lsn) -> (Vec<Lsn>, Vec<DamageSummary>) {
        let (mut lsns, mut damage) = (Vec::new(), Vec::new());
        for entry in read_entries(bytes, 1, limit) {
            match entry {
                SegmentEntry::Record(record) => lsns.push(record.lsn),
                SegmentEntry::Damage { offset, bytes, lost, kind } => {
                    damage.push((offset, bytes, lost, kind))
                }
                SegmentEntry::Mark | SegmentEntry::Unknown => {}
            }
        }
        (lsns, damage)
    }

    fn valid_prefix_of(bytes: &[u8]) -> ValidPrefix {
        let mut reader = SegmentReader::new(bytes, SALT, 1, Lsn::MAX);
        find_valid_prefix(&mut reader, SegmentName { first_lsn: 1, durable_lsn: 0, salt: SALT }).unwrap()
    }

    #[test]
    fn records_round_trip() {
        let (bytes, _) = segment();
        let all = read_entries(&bytes, 1, Lsn::MAX);
        assert_eq!(
            all[1],
            SegmentEntry::Record(JournalRecord {
                lsn: 2,
                kind: 5,
                payload: Bytes::from_static(b"two, which is longer")
            })
        );
        assert_eq!(read(&bytes, Lsn::MAX), (vec![1, 2, 3, 4, 5], vec![]));
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn entries_above_the_limit_are_ignored_and_not_reported_as_damage() {
        let (mut bytes, starts) = segment();
        bytes[starts[4] + 3] ^= 1;
        bytes.truncate(starts[5] + 2);
        assert_eq!(read(&bytes, 3), (vec![1, 2, 3], vec![]));
    }

    #[test]
    fn a_damaged_payload_loses_one_record_and_is_skipped_by_length() {
        let (mut bytes, starts) = segment();
        bytes[starts[1] + HEADER_BYTES] ^= 0x10;
        let damage =
            (starts[1] as u64, (starts[2] - starts[1]) as u64, Some(2..=2), DamageKind::ChecksumMismatch);
        assert_eq!(read(&bytes, 5), (vec![1, 3, 4, 5], vec![damage]));
    }

    #[test]
    fn a_damaged_header_loses_one_record_and_the_next_is_found() {
        for at in 0..HEADER_BYTES {
            let (mut bytes, starts) = segment();
            bytes[starts[1] + at] ^= 0x10;
            let damage =
                (starts[1] as u64, (starts[2] - starts[1]) as u64, Some(2..=2), DamageKind::InvalidHeader);
            assert_eq!(read(&bytes, 5), (vec![1, 3, 4, 5], vec![damage]), "byte {at}");
        }
    }

    #[test]
    fn a_damaged_mark_loses_no_record() {
        let (mut bytes, starts) = segment();
        bytes[starts[3] + 9] ^= 0x10;
        let damage = (starts[3] as u64, HEADER_BYTES as u64, None, DamageKind::InvalidHeader);
        assert_eq!(read(&bytes, 5), (vec![1, 2, 3, 4, 5], vec![damage]));
    }

    #[test]
    fn a_mark_after_damage_identifies_the_lost_records() {
        let (mut bytes, starts) = segment();
        bytes[starts[2]] ^= 0x10;
        let (_, damage) = read(&bytes, 5);
        assert_eq!(damage, [(starts[2] as u64, HEADER_BYTES as u64, Some(3..=3), DamageKind::InvalidHeader)]);
    }

    #[test]
    fn a_truncated_file_reports_the_missing_records() {
        let (bytes, starts) = segment();
        let truncated = &bytes[..starts[4] + HEADER_BYTES + 1];
        let damage = (starts[4] as u64, HEADER_BYTES as u64 + 1, Some(4..=5), DamageKind::Truncated);
        assert_eq!(read(truncated, 5), (vec![1, 2, 3], vec![damage]));
        let between = (starts[4] as u64, 0, Some(4..=5), DamageKind::MissingRecords);
        assert_eq!(read(&bytes[..starts[4]], 5), (vec![1, 2, 3], vec![between]));
    }

    #[test]
    fn frames_of_a_later_version_are_skipped() {
        let later =
            FrameHeader { frame_type: FrameType::Unknown { version: 2 }, ..FrameHeader::record(2, 0, 6, 0) };
        let bytes = [record(1, b"one"), later.encode(SALT).to_vec(), b"future".to_vec(), record(3, b"three")];
        let all = read_entries(&bytes.concat(), 1, 3);
        assert_eq!(all[1], SegmentEntry::Unknown);
        assert_eq!(read(&bytes.concat(), 3), (vec![1, 3], vec![]));
    }

    #[test]
    fn a_frame_inside_a_payload_is_not_found_without_the_salt() {
        let forged = FrameHeader::record(2, 5, 4, crc32c::crc32c(b"evil")).encode(SALT + 1);
        let carrier = record(1, &[&forged[..], b"evil"].concat());
        let mut bytes = [carrier, record(2, b"honest")].concat();
        bytes[0] ^= 1;
        let (lsns, damage) = read(&bytes, 2);
        assert_eq!((lsns, damage[0].2.clone()), (vec![2], Some(1..=1)));
    }

    #[test]
    fn an_out_of_order_record_is_skipped() {
        let bytes = [record(1, b"one"), record(1, b"again"), record(2, b"two")].concat();
        let (lsns, damage) = read(&bytes, 2);
        assert_eq!((lsns, damage.len()), (vec![1, 2], 1));
    }

    #[test]
    fn an_lsn_above_the_maximum_is_not_a_record() {
        let bytes = [record(MAX_LSN + 1, b"too large"), record(1, b"one"), mark(1)].concat();
        let (lsns, damage) = read(&bytes, Lsn::MAX);
        assert_eq!((lsns, damage.len()), (vec![1], 1));
        assert_eq!(valid_prefix_of(&bytes).last_lsn, 1);
    }

    #[test]
    fn a_torn_tail_is_truncated_at_its_first_hole() {
        let (bytes, starts) = segment();
        for length in 0..=bytes.len() {
            let ValidPrefix { end, last_lsn } = valid_prefix_of(&bytes[..length]);
            let complete =
                starts.iter().copied().chain([bytes.len()]).rfind(|&start| start <= length).unwrap();
            assert_eq!(end, complete as u64, "truncated to {length} bytes");
            assert_eq!(
                last_lsn,
                [0, 1, 2, 3, 3, 4, 5, 5][starts.iter().filter(|&&start| start < complete).count()]
            );
        }
        // Of the last group, record 4 and the mark are missing; record 5 is intact.
        let mut torn = bytes[..starts[6]].to_vec();
        torn[starts[4]..starts[5]].fill(0);
        assert_eq!(valid_prefix_of(&torn), ValidPrefix { end: starts[4] as u64, last_lsn: 3 });
    }

    #[test]
    fn a_hole_before_the_last_mark_is_damage_and_not_a_torn_tail() {
        let (mut bytes, starts) = segment();
        bytes[starts[4]..starts[6]].fill(0);
        assert_eq!(valid_prefix_of(&bytes), ValidPrefix { end: bytes.len() as u64, last_lsn: 5 });
        bytes[..starts[6]].fill(0);
        assert_eq!(valid_prefix_of(&bytes), ValidPrefix { end: bytes.len() as u64, last_lsn: 5 });
        assert_eq!(valid_prefix_of(&bytes[..starts[6]]), ValidPrefix { end: 0, last_lsn: 0 });
    }

    #[test]
    fn frames_larger_than_a_chunk_are_read_completely() {
        let large = vec![9; CHUNK_BYTES * 2 + 17];
        let mut bytes = [record(1, &large), record(2, &large), record(3, b"small")].concat();
        assert_eq!(read(&bytes, 3), (vec![1, 2, 3], vec![]));
        bytes[5] ^= 1;
        let (lsns, damage) = read(&bytes, 3);
        assert_eq!((lsns, damage[0].1), (vec![2, 3], (HEADER_BYTES + large.len()) as u64));
    }
}
