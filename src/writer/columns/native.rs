//! Reading and writing of ClickHouse's Native format, as far as Millrace's own blocks need it.

use prost::encoding::{decode_varint, encode_varint};
use uuid::Uuid;

use super::{MalformedColumns, TRUNCATED};

pub(crate) fn write_column_header(out: &mut Vec<u8>, name: &str, kind: &str) {
    write_string(out, name.as_bytes());
    write_string(out, kind.as_bytes());
}

/// Two little-endian halves, the high half first.
pub(super) fn native_uuid(id: Uuid) -> [u8; 16] {
    let (high, low) = id.as_u64_pair();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    bytes
}

pub(crate) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    write_varint(out, text.len());
    out.extend_from_slice(text);
}

/// LEB128, which is the encoding of Protobuf's varint.
pub(crate) fn write_varint(out: &mut Vec<u8>, number: usize) {
    encode_varint(number as u64, out);
}

pub(super) fn read_varint(bytes: &mut &[u8]) -> Option<usize> {
    if let Some((&byte, rest)) = bytes.split_first()
        && byte < 0x80
    {
        *bytes = rest;
        return Some(usize::from(byte));
    }
    usize::try_from(decode_varint(bytes).ok()?).ok()
}

/// Reads the values of a block one after the other.
pub(super) struct NativeReader<'a>(&'a [u8]);

impl<'a> NativeReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], MalformedColumns> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, MalformedColumns> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.bytes(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, MalformedColumns> {
        Ok(Uuid::from_u64_pair(self.u64()?, self.u64()?))
    }

    pub(super) fn varint(&mut self) -> Result<usize, MalformedColumns> {
        read_varint(&mut self.0).ok_or(TRUNCATED)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], MalformedColumns> {
        let length = self.varint()?;
        self.bytes(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, MalformedColumns> {
        std::str::from_utf8(self.string()?).map_err(|_| MalformedColumns("a text is not UTF-8"))
    }

    /// The encoding of `rows` strings.
    pub(super) fn strings(&mut self, rows: usize) -> Result<&'a [u8], MalformedColumns> {
        let start = self.0;
        for _ in 0..rows {
            self.string()?;
        }
        Ok(&start[..start.len() - self.0.len()])
    }
}

/// Iterates over the strings of a column.
pub(super) struct Strings<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = read_varint(&mut self.0)?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}
