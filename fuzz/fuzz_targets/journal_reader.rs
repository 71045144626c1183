//! Arbitrary bytes as a journal segment. The reader does not panic, its entries cover the segment without gaps or overlaps,
//! and it yields only records that are in the segment with valid checksums. A directory with the segment can be opened, and
//! opening it again recovers the same records.
//!
//! Random bytes alone would never pass a checksum. So the input is a list of fragments: raw bytes, and frames with a valid
//! header checksum whose other fields may be invalid.
//!
//! `cargo +nightly fuzz run journal_reader -- -max_total_time=600 -rss_limit_mb=512`

#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use millrace::internals::journal::entry::SegmentEntry;
use millrace::internals::journal::frame::{FrameHeader, FrameType};
use millrace::internals::journal::reader::SegmentReader;
use millrace::internals::journal::{Journal, JournalConfig, JournalRecord, Lsn};

const SALT: u32 = 0x0bad_5eed;
const FIRST_LSN: Lsn = 3;
const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 4096, max_bytes: 1 << 30, reserve_bytes: 0, queue_bytes: 1 };

#[derive(Arbitrary, Debug)]
enum Fragment {
    Raw(Vec<u8>),
    /// The next record.
    Record {
        kind: u8,
        payload: Vec<u8>,
    },
    /// A record with arbitrary header fields.
    Frame {
        kind: u8,
        version: Option<u8>,
        lsn: u64,
        length: u32,
        crc: Option<u32>,
        payload: Vec<u8>,
    },
    /// A valid frame of another segment, with another salt.
    Foreign {
        payload: Vec<u8>,
    },
    Mark,
    MarkAt {
        lsn: u64,
    },
    /// Flips one bit of the fragments so far.
    Flip {
        at: u16,
        bit: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    fragments: Vec<Fragment>,
    limit: Option<u8>,
    open_as_journal: bool,
}

fuzz_target!(|input: Input| {
    let content = build_segment(&input.fragments);
    let limit = input.limit.map_or(Lsn::MAX, |records| FIRST_LSN - 1 + u64::from(records));
    check_reader(&content, limit);
    if input.open_as_journal {
        check_recovery_is_stable(&content);
    }
});

fn build_segment(fragments: &[Fragment]) -> Vec<u8> {
    let (mut content, mut next) = (Vec::new(), FIRST_LSN);
    for fragment in fragments {
        match fragment {
            Fragment::Raw(bytes) => content.extend(bytes),
            Fragment::Record { kind, payload } => {
                content.extend(frame(next, *kind, payload, SALT));
                next += 1;
            }
            Fragment::Frame { kind, version, lsn, length, crc, payload } => {
                let crc = crc.unwrap_or_else(|| crc32c::crc32c(payload));
                let mut header = FrameHeader::record(*lsn, *kind, *length, crc);
                if let Some(version) = version {
                    header.frame_type = FrameType::Unknown { version: *version };
                }
                content.extend(header.encode(SALT));
                content.extend(payload);
            }
            Fragment::Foreign { payload } => content.extend(frame(next, 0, payload, !SALT)),
            Fragment::Mark => content.extend(FrameHeader::mark(next - 1).encode(SALT)),
            Fragment::MarkAt { lsn } => content.extend(FrameHeader::mark(*lsn).encode(SALT)),
            Fragment::Flip { at, bit } => {
                if let Some(byte) = content.get_mut(usize::from(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }
    content
}

fn frame(lsn: Lsn, kind: u8, payload: &[u8], salt: u32) -> Vec<u8> {
    let header = FrameHeader::record(lsn, kind, payload.len() as u32, crc32c::crc32c(payload));
    [&header.encode(salt)[..], payload].concat()
}

/// Each entry starts where the previous one ended, and a record has the bytes of the segment there.
fn check_reader(content: &[u8], limit: Lsn) {
    let mut reader = SegmentReader::new(content, SALT, FIRST_LSN, limit);
    let (mut before, mut last) = (0, FIRST_LSN - 1);
    while let Some(entry) = reader.next().expect("a slice can be read") {
        let (from, to) = (before as usize, reader.offset() as usize);
        assert!(from <= to && to <= content.len());
        match entry {
            SegmentEntry::Record(record) => {
                assert!(record.lsn > last && record.lsn <= limit, "{} after {last}, to {limit}", record.lsn);
                assert_eq!(content[from..to], frame(record.lsn, record.kind, &record.payload, SALT));
                last = record.lsn;
            }
            SegmentEntry::Mark | SegmentEntry::Unknown => assert!(from < to),
            SegmentEntry::Damage { offset, bytes, lost, .. } => {
                assert_eq!((offset, offset + bytes), (before, reader.offset()));
                assert!(bytes > 0 || lost.is_some(), "an entry without bytes or lost records");
                if let Some(lost) = lost {
                    assert!(lost.start() > &last && lost.end() <= &limit, "{lost:?} after {last}");
                    last = *lost.end();
                }
            }
        }
        before = reader.offset();
    }
}

fn check_recovery_is_stable(content: &[u8]) {
    let shared_memory = Path::new("/dev/shm");
    let dir = if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() };
    let dir = dir.expect("a directory can be created");
    let segment = dir.path().join(format!("{FIRST_LSN:020}-{:020}-{SALT:08x}.journal", 0));
    fs::write(segment, content).expect("the segment can be written");
    let first = recover(dir.path());
    for record in &first {
        let expected = frame(record.lsn, record.kind, &record.payload, SALT);
        assert!(content.windows(expected.len()).any(|window| window == expected), "{record:?} was never written");
    }
    assert_eq!(first, recover(dir.path()));
}

fn recover(dir: &Path) -> Vec<JournalRecord> {
    let (_journal, recovery) = Journal::open(dir, CONFIG).expect("damage is not an error");
    let records: Vec<_> = recovery.map(|record| record.expect("damage is not an error")).collect();
    assert!(records.is_sorted_by(|one, next| one.lsn < next.lsn));
    records
}
