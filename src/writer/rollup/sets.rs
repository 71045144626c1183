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

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(hashes: impl IntoIterator<Item = u64>) -> (SetEncoder, Vec<u32>) {
        let mut numbering = Numbering::default();
        let numbers: Vec<u32> = hashes.into_iter().map(|hash| numbering.number_of(hash)).collect();
        let mut encoder = SetEncoder::new(numbering);
        let mut distinct = Vec::new();
        encoder.collect_distinct(numbers.into_iter().chain([NONE]), &mut distinct);
        (encoder, distinct)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn encoded(
        hashes: impl IntoIterator<Item = u64>,
        encode: impl Fn(&mut SetEncoder, &[u32], &mut Vec<u8>),
    ) -> String {
        let (mut encoder, numbers) = encoder(hashes);
        let mut out = Vec::new();
        encode(&mut encoder, &numbers, &mut out);
        hex(&out)
    }

    /// The expected bytes are those of ClickHouse: `SELECT hex(groupBitmapState(toUInt32(…))) FROM numbers(…)`.
    #[test]
    fn sets_are_encoded_as_by_clickhouse() {
        assert_eq!(encoded([], SetEncoder::encode_all), "0000");
        assert_eq!(encoded([0, 3, 6, 3], SetEncoder::encode_all), "0003000000000300000006000000");
        assert_eq!(
            encoded((0..33).map(|n| n * n), SetEncoder::encode_all),
            "01523A30000001000000000020001000000000000100040009001000190024003100400051006400790090\
             00A900C400E10000012101440169019001B901E401110240027102A402D902100349038403C1030004"
        );
    }

    #[test]
    fn few_hashes_are_stored_and_more_are_only_counted() {
        let few = |encoder: &mut SetEncoder, numbers: &[u32], out: &mut Vec<u8>| encoder.encode_few(numbers, out);
        assert_eq!(encoded([], few), "00");
        assert_eq!(encoded([0x0102, 7, 0x0102], few), "0202010000000000000700000000000000");
        assert_eq!(encoded(0..100, few).len(), 2 * (1 + 100 * 8));
        assert_eq!(encoded(0..101, few), "65");
    }

    #[test]
    fn a_sixteenth_of_the_hashes_is_sampled_by_other_bits() {
        let sampled = [5 << 24, (1 << 60) | (6 << 24), (7 << 24) | (1 << 45)];
        assert_eq!(encoded(sampled, SetEncoder::encode_sampled), "00020500000007000000");
    }

    #[test]
    fn large_sets_have_lists_and_bitmaps_of_their_elements() {
        // 5,000 elements in the first container, 2 in the second; sorted through the bitmap.
        let hashes = (0..5_000_u64).rev().map(|n| n * 13).chain([70_000, 70_001]);
        let (mut encoder, numbers) = encoder(hashes);
        let mut out = Vec::new();
        encoder.encode_all(&numbers, &mut out);
        let header = 8 + 2 * 4 + 2 * 4;
        assert_eq!(out.len(), 1 + 2 + header + 8_192 + 2 * 2);
        let body = &out[3..];
        assert_eq!(body[..16], [0x3a, 0x30, 0, 0, 2, 0, 0, 0, 0, 0, 0x87, 0x13, 1, 0, 1, 0]);
        let bitmap = &body[header..header + 8_192];
        let set = |bit: usize| bitmap[bit / 8] >> (bit % 8) & 1 == 1;
        assert!((0..65_000).all(|bit| set(bit) == (bit % 13 == 0)));
        assert_eq!(body[header + 8_192..], [0x70, 0x11, 0x71, 0x11]);
    }
}
