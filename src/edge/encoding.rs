//! `Content-Encoding` of HTTP request bodies: gzip, zstd and br, with a bounded output. gRPC messages are decompressed by
//! tonic.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::body::{BodyError, BodyPermit};

/// The value of `Accept-Encoding` in a response to an encoding that is not supported.
pub(crate) const ACCEPTED_ENCODINGS: &str = "gzip, zstd, br";
/// The largest window of a zstd frame, as a power of two: 8 MiB, the limit of RFC 9659. The decoder allocates the window
/// that the frame names, however short the frame is.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const CHUNK_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentEncoding {
    Identity,
    Gzip,
    Zstd,
    Brotli,
}

impl ContentEncoding {
    /// # Errors
    /// [`BodyError::UnknownEncoding`], also for a body that is compressed twice.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, BodyError> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        match name.as_str() {
            _ if values.next().is_some() => Err(BodyError::UnknownEncoding { name: format!("{name}, …") }),
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "br" => Ok(Self::Brotli),
            _ => Err(BodyError::UnknownEncoding { name: name.chars().take(40).collect() }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }

    /// Decompresses `body` into at most `max_bytes`. Before the output grows, its size is added to `permit`, which has the
    /// compressed body already.
    ///
    /// # Errors
    /// Invalid or truncated data, a larger output, or an exhausted budget of request bytes.
    pub(crate) fn decompress(
        self,
        body: Bytes,
        max_bytes: usize,
        permit: Option<&BodyPermit>,
    ) -> Result<Bytes, BodyError> {
        let invalid = |source: io::Error| BodyError::Decompress { encoding: self.name(), source };
        let limits = OutputLimits { compressed_bytes: body.len(), max_bytes, permit };
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => limits.read(MultiGzDecoder::new(&*body), invalid),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(invalid)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(invalid)?;
                limits.read(decoder, invalid)
            }
            Self::Brotli => limits.read(brotli_decompressor::Decompressor::new(&*body, 4 << 10), invalid),
        }
    }
}

struct OutputLimits<'a> {
    compressed_bytes: usize,
    max_bytes: usize,
    permit: Option<&'a BodyPermit>,
}

impl OutputLimits<'_> {
    fn read(
        self,
        mut decoder: impl Read,
        invalid: impl Fn(io::Error) -> BodyError,
    ) -> Result<Bytes, BodyError> {
        let mut output = Vec::new();
        loop {
            if let Some(permit) = self.permit {
                permit
                    .grow_to(self.compressed_bytes + output.len() + CHUNK_BYTES)
                    .map_err(BodyError::BudgetExhausted)?;
            }
            let read =
                decoder.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut output).map_err(&invalid)?;
            if output.len() > self.max_bytes {
                return Err(BodyError::TooLarge { max_bytes: self.max_bytes });
            }
            if read < CHUNK_BYTES {
                return Ok(output.into());
            }
        }
    }
}

/// For the fuzzer: decompresses a body with one of the encodings. `None` if it is rejected.
#[doc(hidden)]
pub fn fuzz_decompress(body: &[u8], encoding: u8, max_bytes: usize) -> Option<Bytes> {
    let encodings = [ContentEncoding::Gzip, ContentEncoding::Zstd, ContentEncoding::Brotli];
    let encoding = encodings[usize::from(encoding) % encodings.len()];
    encoding.decompress(Bytes::copy_from_slice(body), max_bytes, None).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MAX_BYTES: usize = 1 << 20;
    /// `"a".repeat(2_000_000)`, compressed with zlib.brotliCompressSync of Node.js.
    const BROTLI_TWO_MILLION_A: &[u8] = &[155, 127, 132, 30, 248, 37, 194, 226, 177, 64, 32, 135, 207, 3];

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zstd(data: &[u8]) -> Bytes {
        zstd::encode_all(data, 1).unwrap().into()
    }

    /// The simplest form of brotli: a metablock without compression.
    fn brotli_stored(data: &[u8]) -> Bytes {
        let length = u64::try_from(data.len() - 1).unwrap();
        assert!(length < 1 << 16);
        // Window of 64 KiB (bit 0), not last (0), four nibbles of length (00), the length, not compressed (1).
        let header = (length << 4) | (1 << 20);
        let mut encoded = header.to_le_bytes()[..3].to_vec();
        encoded.extend_from_slice(data);
        encoded.push(3); // the last metablock, empty
        encoded.into()
    }

    fn encoding(value: &str) -> Result<ContentEncoding, BodyError> {
        ContentEncoding::from_headers(&HeaderMap::from_iter([(CONTENT_ENCODING, value.parse().unwrap())]))
    }

    #[test]
    fn every_encoding_is_decompressed() {
        let text = br#"[{"event_name":"a"}]"#.repeat(100);
        let two_members = [gzip(&text[..7]), gzip(&text[7..])].concat().into();
        for (name, body) in [
            ("identity", Bytes::from(text.clone())),
            ("gzip", gzip(&text)),
            ("X-GZIP", two_members),
            ("zstd", zstd(&text)),
            ("br", brotli_stored(&text)),
        ] {
            let decompressed = encoding(name).unwrap().decompress(body, MAX_BYTES, None).unwrap();
            assert_eq!(decompressed, text, "{name}");
        }
    }

    #[test]
    fn the_output_is_bounded() {
        let zeros = vec![0; 64 << 20];
        for (encoding, body) in [
            (ContentEncoding::Gzip, gzip(&zeros)),
            (ContentEncoding::Zstd, zstd(&zeros)),
            (ContentEncoding::Brotli, Bytes::from_static(BROTLI_TWO_MILLION_A)),
        ] {
            assert!(body.len() < MAX_BYTES);
            let error = encoding.decompress(body, MAX_BYTES, None).unwrap_err();
            assert!(matches!(error, BodyError::TooLarge { max_bytes: MAX_BYTES }), "{encoding:?}: {error}");
        }
    }

    #[test]
    fn a_window_that_needs_much_memory_is_rejected() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"[]").unwrap();
        let body = encoder.finish().unwrap();
        let error = ContentEncoding::Zstd.decompress(body.into(), MAX_BYTES, None).unwrap_err();
        assert!(matches!(error, BodyError::Decompress { encoding: "zstd", .. }), "{error}");
    }

    #[test]
    fn damaged_data_is_an_error() {
        let text = [7; 5_000];
        for (encoding, body) in [
            (ContentEncoding::Gzip, gzip(&text)),
            (ContentEncoding::Zstd, zstd(&text)),
            (ContentEncoding::Brotli, brotli_stored(&text)),
        ] {
            for damaged in [body.slice(..body.len() - 1), body.slice(1..)] {
                let error = encoding.decompress(damaged, MAX_BYTES, None).unwrap_err().to_string();
                assert!(error.contains(encoding.name()), "{error}");
            }
        }
    }

    #[test]
    fn an_unknown_encoding_names_the_supported_ones() {
        for name in ["deflate", "gzip, br", "compress"] {
            let error = encoding(name).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(ACCEPTED_ENCODINGS), "{error}");
        }
    }
}
