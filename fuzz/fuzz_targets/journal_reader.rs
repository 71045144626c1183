//! Arbitrary bytes as a journal segment: the reader does not panic, looks at every byte once, yields nothing but what
//! stands there with right checksums, and a folder holding them opens, and opens again to the same records.
//!
//! Random bytes alone would never get past a checksum. So the input describes pieces: raw bytes, and frames that are
//! right or wrong in one of their fields but have a right header checksum.
//!
//! `cargo +nightly fuzz run journal_reader -- -max_total_time=600 -rss_limit_mb=512`

#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use millrace::journal::reader::{SegmentReader, Step};
use millrace::journal::record::{Header, Shape};
use millrace::journal::{Journal, JournalConfig, Lsn, Record};

const SALT: u32 = 0x0bad_5eed;
const FIRST: Lsn = 3;
const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 4096, max_bytes: 1 << 30, reserve_bytes: 0, queue_bytes: 1 };

#[derive(Arbitrary, Debug)]
enum Piece {
    Raw(Vec<u8>),
    /// The next record.
    Record {
        kind: u8,
        payload: Vec<u8>,
    },
    /// One whose header says what it likes.
    Frame {
        kind: u8,
        version: Option<u8>,
        lsn: u64,
        length: u32,
        crc: Option<u32>,
        payload: Vec<u8>,
    },
    /// One of another segment: a right frame, but for the salt.
    Foreign {
        payload: Vec<u8>,
    },
    Mark,
    MarkOf {
        lsn: u64,
    },
    /// One bit of what stands so far.
    Flip {
        at: u16,
        bit: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    pieces: Vec<Piece>,
    limit: Option<u8>,
    through_a_folder: bool,
}

fuzz_target!(|input: Input| {
    let content = content(&input.pieces);
    let limit = input.limit.map_or(Lsn::MAX, |records| FIRST - 1 + u64::from(records));
    read(&content, limit);
    if input.through_a_folder {
        open_twice(&content);
    }
});

fn content(pieces: &[Piece]) -> Vec<u8> {
    let (mut content, mut next) = (Vec::new(), FIRST);
    for piece in pieces {
        match piece {
            Piece::Raw(bytes) => content.extend(bytes),
            Piece::Record { kind, payload } => {
                content.extend(frame(next, *kind, payload, SALT));
                next += 1;
            }
            Piece::Frame { kind, version, lsn, length, crc, payload } => {
                let crc = crc.unwrap_or_else(|| crc32c::crc32c(payload));
                let mut header = Header::record(*lsn, *kind, *length, crc);
                if let Some(version) = version {
                    header.shape = Shape::Unknown { version: *version };
                }
                content.extend(header.encode(SALT));
                content.extend(payload);
            }
            Piece::Foreign { payload } => content.extend(frame(next, 0, payload, !SALT)),
            Piece::Mark => content.extend(Header::mark(next - 1).encode(SALT)),
            Piece::MarkOf { lsn } => content.extend(Header::mark(*lsn).encode(SALT)),
            Piece::Flip { at, bit } => {
                if let Some(byte) = content.get_mut(usize::from(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }
    content
}

fn frame(lsn: Lsn, kind: u8, payload: &[u8], salt: u32) -> Vec<u8> {
    let header = Header::record(lsn, kind, payload.len() as u32, crc32c::crc32c(payload));
    [&header.encode(salt)[..], payload].concat()
}

/// Each step begins where the one before ended, and a record is what stands there.
fn read(content: &[u8], limit: Lsn) {
    let mut reader = SegmentReader::new(content, SALT, FIRST, limit);
    let (mut before, mut last) = (0, FIRST - 1);
    while let Some(step) = reader.next().expect("a slice can be read") {
        let (from, to) = (before as usize, reader.offset() as usize);
        assert!(from <= to && to <= content.len());
        match step {
            Step::Record(record) => {
                assert!(record.lsn > last && record.lsn <= limit, "{} after {last}, to {limit}", record.lsn);
                assert_eq!(content[from..to], frame(record.lsn, record.kind, &record.payload, SALT));
                last = record.lsn;
            }
            Step::Mark | Step::Unknown => assert!(from < to),
            Step::Damage { offset, bytes, lost, .. } => {
                assert_eq!((offset, offset + bytes), (before, reader.offset()));
                assert!(bytes > 0 || lost.is_some(), "a step that goes nowhere");
                if let Some(lost) = lost {
                    assert!(lost.start() > &last && lost.end() <= &limit, "{lost:?} after {last}");
                    last = *lost.end();
                }
            }
        }
        before = reader.offset();
    }
}

fn open_twice(content: &[u8]) {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.expect("a folder can be made");
    let segment = dir.path().join(format!("{FIRST:020}-{:020}-{SALT:08x}.journal", 0));
    fs::write(segment, content).expect("the segment can be written");
    let first = recover(dir.path());
    for record in &first {
        let stands = frame(record.lsn, record.kind, &record.payload, SALT);
        assert!(content.windows(stands.len()).any(|window| window == stands), "{record:?} was never written");
    }
    assert_eq!(first, recover(dir.path()));
}

fn recover(dir: &Path) -> Vec<Record> {
    let (_journal, recovery) = Journal::open(dir, CONFIG).expect("damage is no error");
    let records: Vec<_> = recovery.map(|record| record.expect("damage is no error")).collect();
    assert!(records.is_sorted_by(|one, next| one.lsn < next.lsn));
    records
}
