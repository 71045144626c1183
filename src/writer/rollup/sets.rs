//! Sets of visitors and sessions, and the encodings of ClickHouse's aggregate states for them.

use super::*;

/// The number of an event without a visitor or session.
pub(super) const NONE: u32 = u32::MAX;

/// A set has this many bits. A visitor sets the bit of the low bits of its hash.
const SET_BITS: u64 = 1 << 20;
/// The states of `uniqUpTo(100)` are exact up to this number.
const FEW: usize = 100;
/// `groupBitmap` stores sets of up to this many elements as a list (AggregateFunctionGroupBitmapData.h).
const SMALL_SET: usize = 32;
/// Sets with more elements are sorted through a bitmap.
const SORT_BY_BITMAP: usize = 1_024;
/// A container of a roaring bitmap with more elements is a bitmap of 65,536 bits, otherwise a list.
const MAX_LIST_CONTAINER: usize = 4_096;
const CONTAINER_BITS: u32 = 1 << 16;
/// The first number of a roaring bitmap without runs, in the portable format.
const ROARING_COOKIE: u32 = 12_346;

/// Numbers the distinct hashes of a batch.
#[derive(Default)]
pub(super) struct Numbering {
    hashes: Vec<u64>,
    lookup: HashTable<u32>,
}

impl Numbering {
    pub(super) fn number_of(&mut self, hash: u64) -> u32 {
        let Self { hashes, lookup } = self;
        let number = hashes.len() as u32;
        let entry =
            lookup.entry(hash, |&number| hashes[number as usize] == hash, |&number| hashes[number as usize]);
        let number = *entry.or_insert(number).get();
        if number as usize == hashes.len() {
            hashes.push(hash);
        }
        number
    }
}

/// Encodes sets of numbers.
pub(super) struct SetEncoder {
    hashes: Vec<u64>,
    /// The last set that each number was added to.
    stamps: Vec<u32>,
    stamp: u32,
    bits: Vec<u32>,
    bitmap: Vec<u64>,
}

impl SetEncoder {
    pub(super) fn new(numbering: Numbering) -> Self {
        let stamps = vec![0; numbering.hashes.len()];
        Self { hashes: numbering.hashes, stamps, stamp: 0, bits: Vec::new(), bitmap: Vec::new() }
    }

    /// Appends the distinct numbers, without [`NONE`].
    pub(super) fn collect_distinct(&mut self, numbers: impl Iterator<Item = u32>, distinct: &mut Vec<u32>) {
        self.stamp += 1;
        for number in numbers {
            if let Some(stamp) = self.stamps.get_mut(number as usize)
                && *stamp != self.stamp
            {
                *stamp = self.stamp;
                distinct.push(number);
            }
        }
    }

    /// `groupBitmap` of the low bits of the hashes.
    pub(super) fn encode_all(&mut self, numbers: &[u32], out: &mut Vec<u8>) {
        let hashes = &self.hashes;
        self.bits.clear();
        self.bits.extend(numbers.iter().map(|&number| (hashes[number as usize] % SET_BITS) as u32));
        self.encode_bits(out);
    }

    /// `groupBitmap` of other bits of one sixteenth of the hashes.
    pub(super) fn encode_sampled(&mut self, numbers: &[u32], out: &mut Vec<u8>) {
        let hashes = &self.hashes;
        self.bits.clear();
        let sampled = numbers.iter().map(|&number| hashes[number as usize]).filter(|hash| hash >> 60 == 0);
        self.bits.extend(sampled.map(|hash| ((hash >> 24) % SET_BITS) as u32));
        self.encode_bits(out);
    }

    /// `uniqUpTo(100)` of the hashes: their number, and the hashes unless there are more.
    pub(super) fn encode_few(&self, numbers: &[u32], out: &mut Vec<u8>) {
        out.push(numbers.len().min(FEW + 1) as u8);
        if numbers.len() <= FEW {
            let hashes = numbers.iter().flat_map(|&number| self.hashes[number as usize].to_le_bytes());
            out.extend(hashes);
        }
    }

    fn encode_bits(&mut self, out: &mut Vec<u8>) {
        self.sort_bits();
        if self.bits.len() <= SMALL_SET {
            out.extend_from_slice(&[0, self.bits.len() as u8]);
            out.extend(self.bits.iter().flat_map(|bit| bit.to_le_bytes()));
            return;
        }
        out.push(1);
        encode_roaring(&self.bits, out);
    }

    fn sort_bits(&mut self) {
        if self.bits.len() < SORT_BY_BITMAP {
            self.bits.sort_unstable();
            self.bits.dedup();
            return;
        }
        self.bitmap.resize((SET_BITS / 64) as usize, 0);
        self.bits.iter().for_each(|bit| self.bitmap[*bit as usize / 64] |= 1 << (bit % 64));
        self.bits.clear();
        for (at, word) in self.bitmap.iter_mut().enumerate() {
            let mut word = std::mem::take(word);
            while word != 0 {
                self.bits.push(at as u32 * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
    }
}

/// Appends the length and the portable format of a roaring bitmap (github.com/RoaringBitmap/RoaringFormatSpec) of ascending
/// numbers.
fn encode_roaring(numbers: &[u32], out: &mut Vec<u8>) {
    let containers = || numbers.chunk_by(|a, b| a / CONTAINER_BITS == b / CONTAINER_BITS);
    let container_bytes = |container: &[u32]| match container.len() <= MAX_LIST_CONTAINER {
        true => container.len() * 2,
        false => CONTAINER_BITS as usize / 8,
    };
    let count = containers().count();
    let header_bytes = 8 + 8 * count;
    let bytes = header_bytes + containers().map(container_bytes).sum::<usize>();
    crate::writer::columns::native::write_varint(out, bytes);
    out.reserve(bytes);
    out.extend_from_slice(&ROARING_COOKIE.to_le_bytes());
    out.extend_from_slice(&(count as u32).to_le_bytes());
    for container in containers() {
        out.extend_from_slice(&((container[0] / CONTAINER_BITS) as u16).to_le_bytes());
        out.extend_from_slice(&((container.len() - 1) as u16).to_le_bytes());
    }
    let mut offset = header_bytes;
    for container in containers() {
        out.extend_from_slice(&(offset as u32).to_le_bytes());
        offset += container_bytes(container);
    }
    for container in containers() {
        let low = container.iter().map(|number| number % CONTAINER_BITS);
        if container.len() <= MAX_LIST_CONTAINER {
            out.extend(low.flat_map(|number| (number as u16).to_le_bytes()));
            continue;
        }
        let start = out.len();
        out.resize(start + CONTAINER_BITS as usize / 8, 0);
        low.for_each(|number| out[start + number as usize / 8] |= 1 << (number % 8));
    }
}
