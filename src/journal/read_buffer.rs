//! A sliding buffer over a segment file.

use std::io::{self, Read};

use super::frame::MAGIC;

/// The unconsumed bytes that were read from a source; at most the largest frame and one chunk.
#[derive(Debug)]
pub(super) struct ReadBuffer<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    /// Position of `bytes[start]` in the source.
    offset: u64,
}

/// Minimum size of a read.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

impl<R: Read> ReadBuffer<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, bytes: Vec::new(), start: 0, offset: 0 }
    }

    /// Position of [`ReadBuffer::bytes`] in the source.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Reads until at least `min_bytes` are buffered or the source ends. Returns the number of buffered bytes.
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

    /// Consumes everything before the next [`MAGIC`]. Returns false, with everything consumed, if there is no further one.
    pub(super) fn seek_magic(&mut self) -> io::Result<bool> {
        loop {
            let filled = self.fill(MAGIC.len())?;
            if let Some(at) = self.bytes().windows(MAGIC.len()).position(|window| window == MAGIC) {
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
