//! A text column as a dictionary of its distinct values and an index per row, as ClickHouse's `LowCardinality` has them.

use hashbrown::HashTable;
use twox_hash::XxHash3_64;

use super::native::{NativeReader, read_varint, write_varint};
use super::{MalformedColumns, TRUNCATED};

/// Serialization versions and flags of ClickHouse's `SerializationLowCardinality`: a dictionary for this block only.
const KEYS_VERSION: u64 = 1;
const HAS_ADDITIONAL_KEYS: u64 = 1 << 9;
const NEEDS_GLOBAL_DICTIONARY: u64 = 1 << 8;

/// Distinct texts in the order of their first occurrence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dictionary {
    /// The texts, each with its length (LEB128): the encoding of a `String` column.
    encoded: Vec<u8>,
    /// Start and end of each text in `encoded`, without the length.
    ranges: Vec<(u32, u32)>,
    lookup: HashTable<u32>,
}

/// A column of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextColumn {
    dictionary: Dictionary,
    /// For each row, the index of its text.
    indexes: Vec<u32>,
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Dictionary {}

impl Dictionary {
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn get(&self, index: u32) -> &[u8] {
        let (start, end) = self.ranges[index as usize];
        &self.encoded[start as usize..end as usize]
    }

    /// The index of a text, which is added if it is new.
    fn intern(&mut self, text: &[u8]) -> u32 {
        let Self { encoded, ranges, lookup } = self;
        let text_at = |index: u32| {
            let (start, end) = ranges[index as usize];
            &encoded[start as usize..end as usize]
        };
        // A few texts are compared faster than hashed.
        const SMALL: usize = 4;
        if ranges.len() <= SMALL {
            if let Some(index) = (0..ranges.len() as u32).find(|&index| text_at(index) == text) {
                return index;
            }
        } else if let Some(&index) = lookup.find(hash(text), |&index| text_at(index) == text) {
            return index;
        }
        let index = ranges.len() as u32;
        if ranges.len() == SMALL {
            for index in 0..index {
                lookup.insert_unique(hash(text_at(index)), index, |&index| hash(text_at(index)));
            }
        }
        if ranges.len() >= SMALL {
            lookup.insert_unique(hash(text), index, |&index| hash(text_at(index)));
        }
        write_varint(encoded, text.len());
        let start = encoded.len() as u32;
        encoded.extend_from_slice(text);
        ranges.push((start, encoded.len() as u32));
        index
    }
}

fn hash(text: &[u8]) -> u64 {
    XxHash3_64::oneshot(text)
}

impl TextColumn {
    pub(crate) fn push(&mut self, text: &[u8]) {
        let index = self.dictionary.intern(text);
        self.indexes.push(index);
    }

    /// Appends the same text `rows` times.
    pub(crate) fn push_repeated(&mut self, text: &[u8], rows: usize) {
        if rows > 0 {
            let index = self.dictionary.intern(text);
            self.indexes.resize(self.indexes.len() + rows, index);
        }
    }

    pub(crate) fn append(&mut self, more: &Self) {
        let new_indexes: Vec<u32> =
            (0..more.dictionary.len() as u32).map(|index| self.dictionary.intern(more.dictionary.get(index))).collect();
        self.indexes.extend(more.indexes.iter().map(|&index| new_indexes[index as usize]));
    }

    /// A copy of the rows for which `kept` is true.
    pub(crate) fn filter(&self, kept: impl Fn(u32) -> bool) -> Self {
        let mut filtered = Self::default();
        for (row, &index) in (0..).zip(&self.indexes) {
            if kept(row) {
                filtered.push(self.dictionary.get(index));
            }
        }
        filtered
    }

    pub(crate) fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    pub(crate) fn indexes(&self) -> &[u32] {
        &self.indexes
    }

    pub(crate) fn get(&self, row: usize) -> &[u8] {
        self.dictionary.get(self.indexes[row])
    }

    /// Size in memory, without the lookup table.
    pub(crate) fn size_bytes(&self) -> usize {
        self.dictionary.encoded.len() + self.dictionary.len() * 12 + self.indexes.len() * 4
    }

    /// Appends the encoding in ClickHouse's Native format: type `LowCardinality(String)`, or `LowCardinality(FixedString(N))`
    /// if all texts have `fixed_width` bytes.
    pub(crate) fn write_native(&self, fixed_width: Option<usize>, out: &mut Vec<u8>) {
        out.extend_from_slice(&KEYS_VERSION.to_le_bytes());
        if self.indexes.is_empty() {
            return;
        }
        let width = IndexWidth::of(self.dictionary.len());
        out.extend_from_slice(&(width as u64 | HAS_ADDITIONAL_KEYS).to_le_bytes());
        out.extend_from_slice(&(self.dictionary.len() as u64).to_le_bytes());
        match fixed_width {
            None => out.extend_from_slice(&self.dictionary.encoded),
            Some(_) => (0..self.dictionary.len() as u32)
                .for_each(|index| out.extend_from_slice(self.dictionary.get(index))),
        }
        out.extend_from_slice(&(self.indexes.len() as u64).to_le_bytes());
        width.write(&self.indexes, out);
    }

    /// Reads what [`Self::write_native`] writes.
    pub(super) fn read_native(
        reader: &mut NativeReader<'_>,
        rows: usize,
        fixed_width: Option<usize>,
    ) -> Result<Self, MalformedColumns> {
        const UNKNOWN: MalformedColumns = MalformedColumns("a dictionary has an unknown layout");
        if reader.u64()? != KEYS_VERSION {
            return Err(UNKNOWN);
        }
        if rows == 0 {
            return Ok(Self::default());
        }
        let kind = reader.u64()?;
        if kind & NEEDS_GLOBAL_DICTIONARY != 0 || kind & HAS_ADDITIONAL_KEYS == 0 {
            return Err(UNKNOWN);
        }
        let width = IndexWidth::from_byte(kind as u8).ok_or(UNKNOWN)?;
        let count = usize::try_from(reader.u64()?).map_err(|_| UNKNOWN)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(match fixed_width {
                None => reader.string()?,
                Some(width) => reader.bytes(width)?,
            });
        }
        if reader.u64()? != rows as u64 {
            return Err(MalformedColumns("a column does not have exactly one value per row"));
        }
        let indexes = width.read(reader.bytes(rows * width.bytes())?);
        Self::from_keys(&keys, &indexes)
    }

    /// Appends the journal's encoding: the number of texts, the texts, and an index per row.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        write_varint(out, self.dictionary.len());
        out.extend_from_slice(&self.dictionary.encoded);
        IndexWidth::of(self.dictionary.len()).write(&self.indexes, out);
    }

    /// Decodes the output of [`Self::encode_to`].
    pub(crate) fn decode(bytes: &mut &[u8], rows: usize) -> Result<Self, MalformedColumns> {
        let count = read_varint(bytes).ok_or(TRUNCATED)?;
        let mut reader = NativeReader::new(bytes);
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(reader.string()?);
        }
        let width = IndexWidth::of(count);
        let indexes = width.read(reader.bytes(rows.checked_mul(width.bytes()).ok_or(TRUNCATED)?)?);
        *bytes = reader.rest();
        Self::from_keys(&keys, &indexes)
    }

    fn from_keys(keys: &[&[u8]], indexes: &[u32]) -> Result<Self, MalformedColumns> {
        let mut dictionary = Dictionary::default();
        let interned: Vec<u32> = keys.iter().map(|key| dictionary.intern(key)).collect();
        let index_of = |&index: &u32| interned.get(index as usize).copied();
        let indexes: Option<Vec<u32>> = indexes.iter().map(index_of).collect();
        let indexes = indexes.ok_or(MalformedColumns("a row refers to a text that the dictionary does not have"))?;
        Ok(Self { dictionary, indexes })
    }
}

/// The width of indexes, by the number of texts. The values are ClickHouse's.
#[derive(Clone, Copy)]
enum IndexWidth {
    U8 = 0,
    U16 = 1,
    U32 = 2,
}

impl IndexWidth {
    fn of(texts: usize) -> Self {
        match texts {
            0..=0x100 => Self::U8,
            0x101..=0x1_0000 => Self::U16,
            _ => Self::U32,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::U8, Self::U16, Self::U32].into_iter().find(|&width| width as u8 == byte)
    }

    fn bytes(self) -> usize {
        1 << self as u8
    }

    fn write(self, indexes: &[u32], out: &mut Vec<u8>) {
        match self {
            Self::U8 => out.extend(indexes.iter().map(|&index| index as u8)),
            Self::U16 => out.extend(indexes.iter().flat_map(|&index| (index as u16).to_le_bytes())),
            Self::U32 => out.extend(indexes.iter().flat_map(|&index| index.to_le_bytes())),
        }
    }

    fn read(self, bytes: &[u8]) -> Vec<u32> {
        match self {
            Self::U8 => bytes.iter().copied().map(u32::from).collect(),
            Self::U16 => bytes.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
            Self::U32 => bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        }
    }
}
