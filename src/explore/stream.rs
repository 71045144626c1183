//! Decodes streamed rows of events: a key of a group, a time, a mask, and texts, in the format RowBinary.

use super::error::ExploreError;
use super::runner::{Execution, Statement};

/// Most texts of a row.
const MAX_TEXTS: usize = 2;

/// A row of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) key: u64,
    /// Milliseconds since 1970 UTC.
    pub(super) time: i64,
    pub(super) matches: u32,
    pub(super) texts: [&'a str; MAX_TEXTS],
    pub(super) text_count: usize,
}

/// Joins rows that are cut by the ends of chunks.
#[derive(Debug)]
struct Decoder {
    /// The beginning of a row.
    rest: Vec<u8>,
    texts: usize,
}

const FIXED_BYTES: usize = 20;

impl Execution<'_> {
    /// Reads the rows of a statement that are sorted by key, each with this many texts: `add` gets every row with the group of its
    /// key, `finish` every complete group, which it leaves empty for the next one.
    pub(super) async fn for_each_group<G: Default>(
        &mut self,
        statement: &Statement,
        texts: usize,
        mut add: impl FnMut(&mut G, &Row<'_>),
        mut finish: impl FnMut(&mut G),
    ) -> Result<(), ExploreError> {
        let mut group = G::default();
        let mut key = None;
        let mut decoder = Decoder::new(texts);
        self.stream(statement, |chunk| {
            decoder.decode(chunk, |row| {
                if key.replace(row.key).is_some_and(|previous| previous != row.key) {
                    finish(&mut group);
                }
                add(&mut group, &row);
            })
        })
        .await?;
        decoder.finish()?;
        if key.is_some() {
            finish(&mut group);
        }
        Ok(())
    }
}

impl Decoder {
    /// For rows with this many texts.
    fn new(texts: usize) -> Self {
        Self { rest: Vec::new(), texts }
    }

    /// Calls `found` with each complete row.
    fn decode(&mut self, chunk: &[u8], mut found: impl FnMut(Row<'_>)) -> Result<(), ExploreError> {
        let joined;
        let mut bytes = chunk;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(chunk);
            joined = std::mem::take(&mut self.rest);
            bytes = &joined;
        }
        while let Some((row, length)) = self.row(bytes)? {
            found(row);
            bytes = &bytes[length..];
        }
        self.rest = bytes.to_vec();
        Ok(())
    }

    /// Checks that the stream ended after a row.
    fn finish(&self) -> Result<(), ExploreError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(ExploreError::InvalidResult(format!("{} bytes are left", self.rest.len())))
    }

    fn row<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Row<'a>, usize)>, ExploreError> {
        let (Some(key), Some(time), Some(matches)) =
            (bytes.get(0..8), bytes.get(8..16), bytes.get(16..FIXED_BYTES))
        else {
            return Ok(None);
        };
        let mut row = Row {
            key: u64::from_le_bytes(array(key)),
            time: i64::from_le_bytes(array(time)),
            matches: u32::from_le_bytes(array(matches)),
            texts: [""; MAX_TEXTS],
            text_count: self.texts,
        };
        let mut at = FIXED_BYTES;
        for text in row.texts.iter_mut().take(self.texts) {
            let Some((length, start)) = varint(bytes, at) else { return Ok(None) };
            let Some(bytes) = bytes.get(start..start + length) else { return Ok(None) };
            *text = std::str::from_utf8(bytes)
                .map_err(|error| ExploreError::InvalidResult(format!("a text is not UTF-8: {error}")))?;
            at = start + length;
        }
        Ok(Some((row, at)))
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("callers take slices of this length")
}

/// A LEB128 number at an offset, and the offset of its end.
fn varint(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *bytes.get(at)?;
        number |= usize::from(byte & 0x7f) << shift;
        at += 1;
        if byte & 0x80 == 0 {
            return Some((number, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_be_cut_anywhere() {
        let long = "x".repeat(300);
        let rows = [(1_u64, -5_i64, 7_u32, "a", "é"), (2, 1 << 40, 0, "", &long)];
        let mut bytes = Vec::new();
        for (key, time, matches, first, second) in rows {
            bytes.extend(key.to_le_bytes());
            bytes.extend(time.to_le_bytes());
            bytes.extend(matches.to_le_bytes());
            for text in [first, second] {
                let length = text.len();
                if length < 128 {
                    bytes.push(length as u8);
                } else {
                    bytes.extend([length as u8 | 0x80, (length >> 7) as u8]);
                }
                bytes.extend(text.as_bytes());
            }
        }
        for cut in 0..=bytes.len() {
            let mut decoder = Decoder::new(2);
            let mut found = Vec::new();
            for chunk in [&bytes[..cut], &bytes[cut..]] {
                decoder
                    .decode(chunk, |row| {
                        found.push((row.key, row.time, row.matches, row.texts.map(str::to_owned)));
                    })
                    .unwrap();
            }
            decoder.finish().unwrap();
            let expected = rows.map(|(key, time, matches, first, second)| {
                (key, time, matches, [first.to_owned(), second.to_owned()])
            });
            assert_eq!(found, expected);
        }
        let mut cut = Decoder::new(2);
        cut.decode(&bytes[..bytes.len() - 1], |_| {}).unwrap();
        assert!(cut.finish().is_err());
    }
}
