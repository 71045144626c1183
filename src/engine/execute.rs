//! Runs a statement on the engine, on a blocking thread.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use tokio::sync::{mpsc, oneshot};

use super::accounts::Workload;
use super::body::{BodyReader, ChunkSender};
use super::cancel::RunningStatement;
use super::error::EngineError;
use super::library::{Connection, ResultChunk, StatementSummary};
use super::pool::{ConnectionPool, SessionSettings};
use super::request::HttpRequest;
use super::statement::{self, ChunkHeader, Statement, StatementKind};

/// First part of a body, which is searched for the data of an INSERT. If the data does not begin there, up to
/// [`MAX_STATEMENT_BYTES`] are read.
const STATEMENT_HEAD_BYTES: u64 = 1 << 20;
/// Largest statement, without the data of an INSERT.
const MAX_STATEMENT_BYTES: u64 = 64 << 20;
/// Size of the chunks in which an INSERT's data is appended.
const INSERT_CHUNK_BYTES: usize = 1 << 20;
/// Capacity of a response's channel, in chunks. When it is full, the statement waits for the client.
pub(super) const MAX_UNSENT_CHUNKS: usize = 8;

/// Compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    Identity,
    Gzip,
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl ContentEncoding {
    /// Name in the response's Content-Encoding header.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }

    /// Decompresses a body. Blocks, since some decoders read ahead.
    fn decode(self, body: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Identity => Box::new(body),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        })
    }
}

/// A request and the channels of its response.
pub(super) struct StatementJob {
    pub(super) workload: Workload,
    pub(super) request: HttpRequest,
    pub(super) running: RunningStatement,
    pub(super) body: BodyReader,
    pub(super) body_encoding: ContentEncoding,
    pub(super) response_encoding: ContentEncoding,
    /// Receives the head, or the error if the statement fails before its response begins.
    pub(super) head: oneshot::Sender<Result<ResponseHead, EngineError>>,
    pub(super) chunks: mpsc::Sender<io::Result<Bytes>>,
}

/// What the response's headers contain.
#[derive(Debug)]
pub(super) struct ResponseHead {
    /// Format of the body. `None` for an INSERT, which has no body.
    pub(super) format: Option<String>,
    /// Counters and duration, if the statement has ended before the response begins.
    pub(super) summary: Option<(StatementSummary, Duration)>,
}

impl StatementJob {
    /// Runs the statement and sends its response. If the client is gone, the statement is cancelled at the next chunk.
    pub(super) fn execute(self, pool: &ConnectionPool) {
        let started = Instant::now();
        let Self { workload, request, running, body, body_encoding, response_encoding, head, chunks } = self;
        let chunks = ChunkSender::new(chunks);
        let mut response = ResponseWriter {
            head: Some(head),
            chunks,
            encoder: ResponseEncoder::new(response_encoding),
            started,
        };
        let decoded = body_encoding.decode(body).map_err(EngineError::Body);
        let prepared = decoded.and_then(|mut body| Ok((prepare(request, &mut *body)?, body)));
        let (prepared, body) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return response.fail(error),
        };
        let outcome = pool.with_connection(workload, &prepared.session, |connection| {
            let mark = connection.mark.clone();
            running.run(mark.as_deref(), || prepared.execute(connection, body, &mut response))
        });
        if let Err(error) = outcome {
            response.fail(error);
        }
    }
}

struct PreparedStatement {
    /// The statement, followed by the first part of an INSERT's data.
    text: Vec<u8>,
    /// The statement without data and semicolon.
    statement: String,
    kind: StatementKind,
    default_format: Option<String>,
    params: Vec<(String, String)>,
    session: SessionSettings,
}

fn prepare(request: HttpRequest, body: &mut dyn Read) -> Result<PreparedStatement, EngineError> {
    let HttpRequest { query, database, default_format, settings, params, readonly, .. } = request;
    let mut text = query.into_bytes();
    let is_insert = |text: &[u8]| {
        matches!(statement::parse(text), Ok(Statement { kind: StatementKind::Insert { .. }, .. }))
    };
    if !is_insert(&text) {
        // The body continues the statement, and then contains its data, if it is an INSERT.
        if !text.is_empty() {
            text.push(b'\n');
        }
        read_up_to(body, STATEMENT_HEAD_BYTES, &mut text)?;
        if !is_insert(&text) {
            read_up_to(body, MAX_STATEMENT_BYTES, &mut text)?;
            if text.len() as u64 >= MAX_STATEMENT_BYTES {
                return Err(EngineError::StatementTooLarge { limit_bytes: MAX_STATEMENT_BYTES });
            }
        }
    }
    if text.trim_ascii().is_empty() {
        return Err(EngineError::EmptyQuery);
    }
    let Statement { kind, end } = statement::parse(&text)?;
    let statement = statement_text(&text[..end])?;
    let session = SessionSettings { database, settings, readonly };
    Ok(PreparedStatement { text, statement, kind, default_format, params, session })
}

/// The statement as the library accepts it: UTF-8 without NUL.
fn statement_text(statement: &[u8]) -> Result<String, EngineError> {
    let text = std::str::from_utf8(statement)
        .map_err(|error| EngineError::NotUtf8 { position: error.valid_up_to() + 1 })?;
    if text.contains('\0') {
        return Err(EngineError::NulByte);
    }
    Ok(text.trim_end().to_owned())
}

fn read_up_to(body: &mut dyn Read, bytes: u64, text: &mut Vec<u8>) -> Result<(), EngineError> {
    body.take(bytes).read_to_end(text).map(|_| ()).map_err(EngineError::Body)
}

/// Whether the text contains the word OUTFILE. ClickHouse's `readonly` does not cover INTO OUTFILE. The word is rejected in
/// quotes as well, so that the check does not depend on how ClickHouse quotes.
fn mentions_outfile(text: &[u8]) -> bool {
    const WORD: &[u8] = b"outfile";
    text.windows(WORD.len()).any(|window| window.eq_ignore_ascii_case(WORD))
}

impl PreparedStatement {
    fn execute(
        &self,
        connection: &mut Connection,
        body: Box<dyn Read>,
        response: &mut ResponseWriter,
    ) -> Result<(), EngineError> {
        if self.session.readonly > 0 && mentions_outfile(&self.text) {
            return Err(EngineError::OutfileNotAllowed);
        }
        match &self.kind {
            StatementKind::Insert { format, data_start } => {
                if self.session.readonly > 0 {
                    return Err(EngineError::ReadOnlyInsert);
                }
                let format = format.as_deref().or(self.default_format.as_deref()).unwrap_or("Values");
                let data = self.text[*data_start..].chain(body);
                self.insert(connection, format, data, response)
            }
            StatementKind::Select { format } => {
                let format = statement::output_format(format.as_deref(), self.default_format.as_deref());
                match statement::streaming_header(format) {
                    Some(header) => self.execute_streaming(connection, format, header, response),
                    None => self.execute_buffered(connection, format, response),
                }
            }
            StatementKind::Show { format } => {
                let format = statement::output_format(format.as_deref(), self.default_format.as_deref());
                self.execute_buffered(connection, format, response)
            }
            StatementKind::Other => {
                let format = statement::output_format(None, self.default_format.as_deref());
                self.execute_buffered(connection, format, response)
            }
        }
    }

    /// Runs a statement and sends its result when it is complete.
    fn execute_buffered(
        &self,
        connection: &mut Connection,
        format: &str,
        response: &mut ResponseWriter,
    ) -> Result<(), EngineError> {
        let result = connection.query(&self.statement, format, &self.params)?;
        response.send_head(Some(format), Some(result.summary()));
        response.send(result, 0);
        Ok(())
    }

    fn insert(
        &self,
        connection: &mut Connection,
        format: &str,
        mut data: impl Read,
        response: &mut ResponseWriter,
    ) -> Result<(), EngineError> {
        let mut insert = connection.insert(&self.statement, format, &self.params)?;
        let mut chunk = vec![0; INSERT_CHUNK_BYTES];
        loop {
            match data.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => insert.append(&chunk[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Dropping the insert cancels it.
                Err(error) => return Err(EngineError::Body(error)),
            }
        }
        let result = insert.finish()?;
        response.send_head(None, Some(result.summary()));
        Ok(())
    }

    fn execute_streaming(
        &self,
        connection: &mut Connection,
        format: &str,
        header: ChunkHeader,
        response: &mut ResponseWriter,
    ) -> Result<(), EngineError> {
        let mut stream = connection.stream(&self.statement, format, &self.params)?;
        // Most errors occur before the first chunk, when the HTTP status can still report them. The second chunk tells
        // whether the first is the last, so that the headers can contain the summary.
        let Some(first) = stream.next()? else {
            response.send_head(Some(format), Some(StatementSummary::default()));
            return Ok(());
        };
        let second = stream.next()?;
        let summary = second.is_none().then(|| first.summary());
        response.send_head(Some(format), summary);
        if !response.send(first, 0) {
            return Ok(());
        }
        let mut next = second;
        while let Some(chunk) = next {
            let header_length = header.length(chunk.bytes());
            if !response.send(chunk, header_length) {
                return Ok(());
            }
            next = stream.next()?;
        }
        Ok(())
    }
}

/// Sends the head and the chunks of a response. Dropping it sends what the encoder still buffers.
struct ResponseWriter {
    head: Option<oneshot::Sender<Result<ResponseHead, EngineError>>>,
    chunks: ChunkSender,
    encoder: ResponseEncoder,
    started: Instant,
}

impl ResponseWriter {
    fn send_head(&mut self, format: Option<&str>, summary: Option<StatementSummary>) {
        if let Some(head) = self.head.take() {
            let summary = summary.map(|summary| (summary, self.started.elapsed()));
            // If the client is gone, sending the next chunk fails.
            head.send(Ok(ResponseHead { format: format.map(str::to_owned), summary })).ok();
        }
    }

    /// Sends a chunk without its first `skip` bytes. False if the client is gone.
    fn send(&mut self, chunk: ResultChunk, skip: usize) -> bool {
        // Not copied: the bytes stay in the library's buffer until they are sent.
        let chunk = Bytes::from_owner(chunk).slice(skip..);
        match self.encoder.encode(chunk) {
            Ok(bytes) => bytes.is_empty() || self.chunks.blocking_send(Ok(bytes)).is_ok(),
            Err(error) => {
                self.chunks.blocking_send(Err(error)).ok();
                false
            }
        }
    }

    /// Sends an error. If the response has begun, it ends with the message and without the terminating chunk, as
    /// ClickHouse's responses do.
    fn fail(&mut self, error: EngineError) {
        match self.head.take() {
            Some(head) => {
                head.send(Err(error)).ok();
            }
            None => {
                // Encoded like the rest of the response, so that a client that decodes what arrived can read it.
                let text = error.response_text();
                let before = self.encoder.end_block();
                let encoded = self.encoder.encode(Bytes::from(format!("\n{text}\n")));
                let chunks = [before, encoded, self.encoder.finish()];
                for chunk in chunks.into_iter().flatten().filter(|chunk| !chunk.is_empty()) {
                    self.chunks.blocking_send(Ok(chunk)).ok();
                }
                self.chunks.blocking_send(Err(io::Error::other(text))).ok();
            }
        }
    }
}

impl Drop for ResponseWriter {
    fn drop(&mut self) {
        if let Ok(bytes) = self.encoder.finish()
            && !bytes.is_empty()
        {
            self.chunks.blocking_send(Ok(bytes)).ok();
        }
    }
}

/// Compresses a response chunk by chunk.
enum ResponseEncoder {
    Identity,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// `None` if the encoder could not be created, which fails at the first chunk.
    Zstd(Option<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Lz4(FrameEncoder<Vec<u8>>),
}

impl ResponseEncoder {
    fn new(encoding: ContentEncoding) -> Self {
        match encoding {
            ContentEncoding::Identity => Self::Identity,
            ContentEncoding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()))
            }
            ContentEncoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1).ok()),
            ContentEncoding::Lz4 => {
                let info = FrameInfo::new().block_size(BlockSize::Max256KB).block_checksums(true);
                Self::Lz4(FrameEncoder::with_frame_info(info, Vec::new()))
            }
        }
    }

    fn encode(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(chunk),
            Self::Gzip(encoder) => {
                encoder.write_all(&chunk)?;
                Ok(Bytes::from(std::mem::take(encoder.get_mut())))
            }
            Self::Zstd(Some(encoder)) => {
                encoder.write_all(&chunk)?;
                Ok(Bytes::from(std::mem::take(encoder.get_mut())))
            }
            Self::Zstd(None) => Err(io::Error::other("the zstd encoder cannot be created")),
            Self::Lz4(encoder) => {
                encoder.write_all(&chunk)?;
                Ok(Bytes::from(std::mem::take(encoder.get_mut())))
            }
        }
    }

    /// Ends the current block, if the client decodes one at a time: it looks for an error in the last one.
    fn end_block(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Lz4(encoder) => {
                encoder.flush()?;
                Ok(Bytes::from(std::mem::take(encoder.get_mut())))
            }
            Self::Identity | Self::Gzip(_) | Self::Zstd(_) => Ok(Bytes::new()),
        }
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        match std::mem::replace(self, Self::Identity) {
            Self::Identity | Self::Zstd(None) => Ok(Bytes::new()),
            Self::Gzip(encoder) => encoder.finish().map(Bytes::from),
            Self::Zstd(Some(encoder)) => encoder.finish().map(Bytes::from),
            Self::Lz4(encoder) => Ok(Bytes::from(encoder.finish()?)),
        }
    }
}
