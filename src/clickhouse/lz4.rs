//! The body of an INSERT as an LZ4 frame.

use std::collections::VecDeque;
use std::io::Write as _;

use bytes::Bytes;
use clickhouse::error::Error;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::client::CHUNK_BYTES;

/// Compresses a body while it is sent, so that the frame is never in memory as a whole. An attempt that is refused at once has
/// compressed a single chunk.
pub(super) struct Lz4Body {
    rest: VecDeque<Bytes>,
    /// `None` after the end of the frame.
    encoder: Option<FrameEncoder<Vec<u8>>>,
}

impl Lz4Body {
    pub(super) fn new(body: Vec<Bytes>) -> Self {
        // The checksums are those of the compressed blocks: ClickHouse refuses a damaged one before it parses its values.
        let info = FrameInfo::new().block_size(BlockSize::Max256KB).block_checksums(true);
        Self { rest: body.into(), encoder: Some(FrameEncoder::with_frame_info(info, Vec::new())) }
    }

    /// Compresses the next [`CHUNK_BYTES`] of the body: up to 2 ms of processor time. `None` after the end.
    pub(super) fn next_chunk(mut self) -> Result<(Self, Option<Bytes>), Error> {
        let failed = |error| Error::Compression(Box::new(error));
        let Some(mut encoder) = self.encoder.take() else { return Ok((self, None)) };
        let mut missing = CHUNK_BYTES;
        while let Some(mut buffer) = self.rest.pop_front() {
            let part = buffer.split_to(buffer.len().min(missing));
            encoder.write_all(&part).map_err(failed)?;
            missing -= part.len();
            if !buffer.is_empty() {
                self.rest.push_front(buffer);
            }
            if missing == 0 {
                let chunk = std::mem::take(encoder.get_mut());
                self.encoder = Some(encoder);
                return Ok((self, Some(chunk.into())));
            }
        }
        let chunk = encoder.finish().map_err(|error| failed(error.into()))?;
        Ok((self, Some(chunk.into())))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn compressed(body: Vec<Bytes>) -> Vec<Bytes> {
        let (mut body, mut chunks) = (Lz4Body::new(body), Vec::new());
        while let (rest, Some(chunk)) = body.next_chunk().unwrap() {
            body = rest;
            chunks.push(chunk);
        }
        chunks
    }

    fn decompressed(frame: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        lz4_flex::frame::FrameDecoder::new(frame).read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn buffers_of_any_size_become_one_frame() {
        let text = |bytes: usize| Bytes::from("a page view, ".repeat(bytes / 13 + 1)).slice(..bytes);
        for sizes in [
            vec![],
            vec![0],
            vec![1, 0, 5],
            vec![CHUNK_BYTES],
            vec![10, 3 * CHUNK_BYTES, 10],
            vec![1_000; 5_000],
        ] {
            let body: Vec<Bytes> = sizes.iter().map(|bytes| text(*bytes)).collect();
            let chunks = compressed(body.clone());
            assert_eq!(decompressed(&chunks.concat()).unwrap(), body.concat(), "{sizes:?}");
            // One per CHUNK_BYTES, and the end of the frame.
            assert_eq!(chunks.len(), body.concat().len() / CHUNK_BYTES + 1, "{sizes:?}");
        }
    }

    #[test]
    fn a_changed_byte_of_a_block_is_noticed() {
        // Noise, which is stored as it is, and text.
        let noise = (0..10_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_769).to_be_bytes());
        for body in [noise.collect::<Vec<u8>>(), "a page view, ".repeat(10_000).into_bytes()] {
            let frame = compressed(vec![body.into()]).concat();
            for at in (0..frame.len()).step_by(97) {
                let mut damaged = frame.clone();
                damaged[at] ^= 0x10;
                assert!(decompressed(&damaged).is_err(), "byte {at} of {}", frame.len());
            }
        }
    }
}
