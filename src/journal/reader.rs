//! Reading one segment's bytes: its frames in order, with damage stepped over. Pure but for `read`.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::record::{HEADER_BYTES, Header, Shape};
use super::segment::SegmentName;
use super::window::Window;
use super::{Lsn, MAX_LSN};

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order of appends.
    pub lsn: Lsn,
    /// What the caller called it.
    pub kind: u8,
    /// The caller's bytes.
    pub payload: Bytes,
}

/// What is wrong at a damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// No frame's header here: found the next one by scanning.
    Header,
    /// The header is whole, the payload is not: stepped over by its length.
    Payload,
    /// The file ends within a frame.
    Cut,
    /// Records are missing, though all that is there is whole.
    Missing,
    /// The file's name is not a segment's: it was not read.
    Name,
}

/// What a segment's next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole record.
    Record(Record),
    /// A durability mark.
    Mark,
    /// A frame of a later version, stepped over.
    Unknown,
    /// Something else: `bytes` from `offset` on.
    Damage {
        /// Where it begins.
        offset: u64,
        /// How far it goes.
        bytes: u64,
        /// The records this cost.
        lost: Option<RangeInclusive<Lsn>>,
        /// What is wrong.
        what: What,
    },
}

/// Reads the frames of one segment, in memory bounded by the largest frame.
#[derive(Debug)]
pub struct SegmentReader<R> {
    window: Window<R>,
    salt: u32,
    /// The next record's LSN, if none is missing.
    expected: Lsn,
    /// The last record that counts: known from the next segment's name, `Lsn::MAX` where there is none.
    limit: Lsn,
}

impl<R: Read> SegmentReader<R> {
    /// A reader of a segment with this salt, of the records `first` to `limit` (`Lsn::MAX`: as many as there are).
    pub fn new(source: R, salt: u32, first: Lsn, limit: Lsn) -> Self {
        Self { window: Window::new(source), salt, expected: first, limit }
    }

    /// How far the steps so far went.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// The last record that the steps so far read, or know to be missing.
    pub fn last(&self) -> Lsn {
        self.expected - 1
    }

    /// The next step, or `None` where nothing that counts is left.
    ///
    /// # Errors
    /// What the source's `read` says.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of Result<Option<_>> reads worse than this"
    )]
    pub fn next(&mut self) -> io::Result<Option<Step>> {
        if self.expected > self.limit {
            return Ok(None);
        }
        let offset = self.window.offset();
        let Some(header) = self.header()? else {
            return self.resync(offset);
        };
        if header.shape == Shape::Mark {
            let lost = self.skip_to(header.lsn + 1);
            if lost.is_some() {
                return Ok(Some(Step::Damage { offset, bytes: 0, lost, what: What::Missing }));
            }
            self.window.consume(HEADER_BYTES);
            return Ok(Some(Step::Mark));
        }
        if let Some(lost) = self.skip_to(header.lsn) {
            return Ok(Some(Step::Damage { offset, bytes: 0, lost: Some(lost), what: What::Missing }));
        }
        self.frame(offset, &header)
    }

    /// The valid header at the window's start, if there is one that can be next.
    fn header(&mut self) -> io::Result<Option<Header>> {
        self.window.fill(HEADER_BYTES)?;
        let Some(bytes) = self.window.bytes().first_chunk() else { return Ok(None) };
        Ok(Header::decode(bytes, self.salt).filter(|header| {
            // A mark speaks of records before it. A later version's frame may be either.
            let earliest = match header.shape {
                Shape::Record { .. } => self.expected,
                Shape::Mark | Shape::Unknown { .. } => self.expected - 1,
            };
            (earliest..=self.limit.min(MAX_LSN)).contains(&header.lsn)
        }))
    }

    /// Reads what belongs to a header that can be next.
    fn frame(&mut self, offset: u64, header: &Header) -> io::Result<Option<Step>> {
        let wanted = header.frame_bytes();
        let available = self.window.fill(wanted)?;
        if available < wanted {
            return Ok(Some(self.at_end(offset, available, What::Cut)));
        }
        self.expected = self.expected.max(header.lsn + 1);
        let payload = &self.window.bytes()[HEADER_BYTES..wanted];
        let step = match header.shape {
            Shape::Record { kind } if crc32c::crc32c(payload) == header.payload_crc => {
                Step::Record(Record { lsn: header.lsn, kind, payload: Bytes::copy_from_slice(payload) })
            }
            Shape::Record { .. } => Step::Damage {
                offset,
                bytes: wanted as u64,
                lost: Some(header.lsn..=header.lsn),
                what: What::Payload,
            },
            Shape::Mark | Shape::Unknown { .. } => Step::Unknown,
        };
        self.window.consume(wanted);
        Ok(Some(step))
    }

    /// There is no header at `offset`: finds the next one.
    fn resync(&mut self, offset: u64) -> io::Result<Option<Step>> {
        let available = self.window.fill(1)?;
        if available == 0 {
            return Ok(match self.limit {
                Lsn::MAX => None,
                _ => Some(self.at_end(offset, 0, What::Missing)),
            });
        }
        self.window.consume(1);
        while self.window.seek_magic()? {
            if let Some(header) = self.header()? {
                let next = if header.shape == Shape::Mark { header.lsn + 1 } else { header.lsn };
                let lost = self.skip_to(next);
                let bytes = self.window.offset() - offset;
                return Ok(Some(Step::Damage { offset, bytes, lost, what: What::Header }));
            }
            self.window.consume(1);
        }
        Ok(Some(self.at_end(offset, 0, What::Header)))
    }

    /// Nothing can be read from `offset` to the end, which is `available` further on.
    fn at_end(&mut self, offset: u64, available: usize, what: What) -> Step {
        self.window.consume(available);
        let lost = if self.limit == Lsn::MAX { None } else { self.skip_to(self.limit + 1) };
        Step::Damage { offset, bytes: self.window.offset() - offset, lost, what }
    }

    /// Expects `next`, and says which records are missing before it.
    fn skip_to(&mut self, next: Lsn) -> Option<RangeInclusive<Lsn>> {
        let missing = (next > self.expected).then(|| self.expected..=next - 1);
        self.expected = self.expected.max(next);
        missing
    }
}

/// How far a segment that was being written when the process ended can be believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) end: u64,
    pub(super) last: Lsn,
}

/// Finds that out. See "Torn or damaged" in mod.rs: up to the last mark everything was durable, whatever it looks like
/// now; beyond it nothing after the first hole may count.
pub(super) fn tail<R: Read>(reader: &mut SegmentReader<R>, name: SegmentName) -> io::Result<Tail> {
    let mut tail = Tail { end: 0, last: name.after };
    let mut whole = true;
    while let Some(step) = reader.next()? {
        whole = match step {
            Step::Mark => true,
            Step::Record(_) | Step::Unknown => whole,
            Step::Damage { .. } => false,
        };
        if whole && reader.last() >= name.first {
            tail = Tail { end: reader.offset(), last: reader.last() };
        }
    }
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::super::window::CHUNK_BYTES;
    use super::*;

    const SALT: u32 = 77;

    fn record(lsn: Lsn, payload: &[u8]) -> Vec<u8> {
        let header = Header::record(lsn, 5, payload.len() as u32, crc32c::crc32c(payload));
        [&header.encode(SALT)[..], payload].concat()
    }

    fn mark(lsn: Lsn) -> Vec<u8> {
        Header::mark(lsn).encode(SALT).to_vec()
    }

    /// Three records and their mark, two and theirs.
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

    fn steps(bytes: &[u8], first: Lsn, limit: Lsn) -> Vec<Step> {
        let mut reader = SegmentReader::new(bytes, SALT, first, limit);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    type Place = (u64, u64, Option<RangeInclusive<Lsn>>, What);

    /// LSNs of the records, and the damage.
    fn read(bytes: &[u8], limit: Lsn) -> (Vec<Lsn>, Vec<Place>) {
        let (mut lsns, mut damage) = (Vec::new(), Vec::new());
        for step in steps(bytes, 1, limit) {
            match step {
                Step::Record(record) => lsns.push(record.lsn),
                Step::Damage { offset, bytes, lost, what } => damage.push((offset, bytes, lost, what)),
                Step::Mark | Step::Unknown => {}
            }
        }
        (lsns, damage)
    }

    fn tail_of(bytes: &[u8]) -> Tail {
        let mut reader = SegmentReader::new(bytes, SALT, 1, Lsn::MAX);
        tail(&mut reader, SegmentName { first: 1, after: 0, salt: SALT }).unwrap()
    }

    #[test]
    fn records_read_back_as_written() {
        let (bytes, _) = segment();
        let all = steps(&bytes, 1, Lsn::MAX);
        assert_eq!(
            all[1],
            Step::Record(Record { lsn: 2, kind: 5, payload: Bytes::from_static(b"two, which is longer") })
        );
        assert_eq!(read(&bytes, Lsn::MAX), (vec![1, 2, 3, 4, 5], vec![]));
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn what_is_above_the_limit_is_void_and_no_damage() {
        let (mut bytes, starts) = segment();
        bytes[starts[4] + 3] ^= 1;
        bytes.truncate(starts[5] + 2);
        assert_eq!(read(&bytes, 3), (vec![1, 2, 3], vec![]));
    }

    #[test]
    fn a_damaged_payload_costs_its_record_and_is_stepped_over_by_length() {
        let (mut bytes, starts) = segment();
        bytes[starts[1] + HEADER_BYTES] ^= 0x10;
        let damage = (starts[1] as u64, (starts[2] - starts[1]) as u64, Some(2..=2), What::Payload);
        assert_eq!(read(&bytes, 5), (vec![1, 3, 4, 5], vec![damage]));
    }

    #[test]
    fn a_damaged_header_costs_its_record_and_the_next_one_is_found() {
        for at in 0..HEADER_BYTES {
            let (mut bytes, starts) = segment();
            bytes[starts[1] + at] ^= 0x10;
            let damage = (starts[1] as u64, (starts[2] - starts[1]) as u64, Some(2..=2), What::Header);
            assert_eq!(read(&bytes, 5), (vec![1, 3, 4, 5], vec![damage]), "byte {at}");
        }
    }

    #[test]
    fn a_damaged_mark_costs_no_record() {
        let (mut bytes, starts) = segment();
        bytes[starts[3] + 9] ^= 0x10;
        let damage = (starts[3] as u64, HEADER_BYTES as u64, None, What::Header);
        assert_eq!(read(&bytes, 5), (vec![1, 2, 3, 4, 5], vec![damage]));
    }

    #[test]
    fn a_mark_after_damage_tells_what_was_lost() {
        let (mut bytes, starts) = segment();
        bytes[starts[2]] ^= 0x10;
        let (_, damage) = read(&bytes, 5);
        assert_eq!(damage, [(starts[2] as u64, HEADER_BYTES as u64, Some(3..=3), What::Header)]);
    }

    #[test]
    fn a_file_that_ends_early_says_which_records_are_gone() {
        let (bytes, starts) = segment();
        let cut = &bytes[..starts[4] + HEADER_BYTES + 1];
        let damage = (starts[4] as u64, HEADER_BYTES as u64 + 1, Some(4..=5), What::Cut);
        assert_eq!(read(cut, 5), (vec![1, 2, 3], vec![damage]));
        let between = (starts[4] as u64, 0, Some(4..=5), What::Missing);
        assert_eq!(read(&bytes[..starts[4]], 5), (vec![1, 2, 3], vec![between]));
    }

    #[test]
    fn a_later_version_is_stepped_over() {
        let later = Header { shape: Shape::Unknown { version: 2 }, ..Header::record(2, 0, 6, 0) };
        let bytes = [record(1, b"one"), later.encode(SALT).to_vec(), b"future".to_vec(), record(3, b"three")];
        let all = steps(&bytes.concat(), 1, 3);
        assert_eq!(all[1], Step::Unknown);
        assert_eq!(read(&bytes.concat(), 3), (vec![1, 3], vec![]));
    }

    #[test]
    fn a_frame_inside_a_payload_is_not_found_without_the_salt() {
        let forged = Header::record(2, 5, 4, crc32c::crc32c(b"evil")).encode(SALT + 1);
        let carrier = record(1, &[&forged[..], b"evil"].concat());
        let mut bytes = [carrier, record(2, b"honest")].concat();
        bytes[0] ^= 1;
        let (lsns, damage) = read(&bytes, 2);
        assert_eq!((lsns, damage[0].2.clone()), (vec![2], Some(1..=1)));
    }

    #[test]
    fn a_record_out_of_order_is_not_taken_for_one() {
        let bytes = [record(1, b"one"), record(1, b"again"), record(2, b"two")].concat();
        let (lsns, damage) = read(&bytes, 2);
        assert_eq!((lsns, damage.len()), (vec![1, 2], 1));
    }

    #[test]
    fn a_number_that_leaves_none_to_go_on_with_is_not_a_record() {
        let bytes = [record(MAX_LSN + 1, b"end of days"), record(1, b"one"), mark(1)].concat();
        let (lsns, damage) = read(&bytes, Lsn::MAX);
        assert_eq!((lsns, damage.len()), (vec![1], 1));
        assert_eq!(tail_of(&bytes).last, 1);
    }

    #[test]
    fn a_tail_with_a_hole_is_cut_at_the_hole() {
        let (bytes, starts) = segment();
        for cut in 0..=bytes.len() {
            let Tail { end, last } = tail_of(&bytes[..cut]);
            let whole = starts.iter().copied().chain([bytes.len()]).rfind(|&start| start <= cut).unwrap();
            assert_eq!(end, whole as u64, "cut at {cut}");
            assert_eq!(last, [0, 1, 2, 3, 3, 4, 5, 5][starts.iter().filter(|&&start| start < whole).count()]);
        }
        // Record 4 is missing from the last group, record 5 is there, their mark is not.
        let mut torn = bytes[..starts[6]].to_vec();
        torn[starts[4]..starts[5]].fill(0);
        assert_eq!(tail_of(&torn), Tail { end: starts[4] as u64, last: 3 });
    }

    #[test]
    fn a_hole_before_the_last_mark_is_damage_and_not_a_torn_tail() {
        let (mut bytes, starts) = segment();
        bytes[starts[4]..starts[6]].fill(0);
        assert_eq!(tail_of(&bytes), Tail { end: bytes.len() as u64, last: 5 });
        bytes[..starts[6]].fill(0);
        assert_eq!(tail_of(&bytes), Tail { end: bytes.len() as u64, last: 5 });
        assert_eq!(tail_of(&bytes[..starts[6]]), Tail { end: 0, last: 0 });
    }

    #[test]
    fn frames_larger_than_a_chunk_are_read_whole() {
        let large = vec![9; CHUNK_BYTES * 2 + 17];
        let mut bytes = [record(1, &large), record(2, &large), record(3, b"small")].concat();
        assert_eq!(read(&bytes, 3), (vec![1, 2, 3], vec![]));
        bytes[5] ^= 1;
        let (lsns, damage) = read(&bytes, 3);
        assert_eq!((lsns, damage[0].1), (vec![2, 3], (HEADER_BYTES + large.len()) as u64));
    }
}
