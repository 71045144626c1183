//! A sliding view over a source of bytes, no larger than the largest frame and a chunk.

use std::io::{self, Read};

use super::frame::MAGIC;

/// The bytes of a source that are being looked at.
#[derive(Debug)]
pub(super) struct ReadBuffer<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    /// Of `bytes[start]` in the source.
    offset: u64,
}

/// How much is read at once.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

impl<R: Read> ReadBuffer<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, bytes: Vec::new(), start: 0, offset: 0 }
    }

    /// Where in the source [`ReadBuffer::bytes`] begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Looks at `min_bytes` bytes at least, unless the source ends before. Returns how many there are.
    pub(super) fn fill(&mut self, min_bytes: usize) -> io::Result<usize> {
        let available = self.bytes().len();
        if available >= min_bytes {
            return Ok(available);
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let missing = (min_bytes - available).max(CHUNK_BYTES);
        self.source.by_ref().take(missing as u64).read_to_end(&mut self.bytes)?;
        Ok(self.bytes.len())
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Goes to the next place that begins as a frame does; false, and at the end, if there is none.
    pub(super) fn seek_magic(&mut self) -> io::Result<bool> {
        loop {
            let filled = self.fill(MAGIC.len())?;
            if let Some(at) = self.bytes().windows(MAGIC.len()).position(|four| four == MAGIC) {
                self.consume(at);
                return Ok(true);
            }
            if filled < MAGIC.len() {
                self.consume(filled);
                return Ok(false);
            }
            self.consume(filled - (MAGIC.len() - 1));
        }
    }
}
