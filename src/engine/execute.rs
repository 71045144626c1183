//! Runs one statement on the engine. Everything here blocks, and runs on a thread that may.

use std::io::{self, Read, Write};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::accounts::Workload;
use super::body::{BodyReader, ChunkSender};
use super::error::EngineError;
use super::library::{Connection, ResultChunk, StatementSummary};
use super::pool::{ConnectionPool, SessionSettings};
use super::request::HttpRequest;
use super::statement::{self, ChunkHeader, Statement, StatementKind};

/// How much of a body is read to find out where its data begins.
const STATEMENT_HEAD_BYTES: u64 = 1 << 20;
/// The longest statement without data.
const MAX_STATEMENT_BYTES: u64 = 64 << 20;
/// How much data is given to the engine at once.
const INSERT_CHUNK_BYTES: usize = 1 << 20;
/// How many pieces of an answer may wait for the client. Beyond it the statement waits.
pub(super) const MAX_UNSENT_CHUNKS: usize = 8;

/// How bytes are compressed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    Identity,
    Gzip,
    Zstd,
    /// The frame format. Only read: who takes it back takes zstd as well.
    Lz4,
}

impl ContentEncoding {
    /// The name in a header.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Lz4 => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Undoes the compression of a body. Blocks, since some read ahead.
    fn decode(self, body: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Identity => Box::new(body),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        })
    }
}

/// A statement and where its answer goes.
pub(super) struct StatementJob {
    pub(super) workload: Workload,
    pub(super) request: HttpRequest,
    pub(super) body: BodyReader,
    pub(super) body_encoding: ContentEncoding,
    pub(super) response_encoding: ContentEncoding,
    pub(super) head: oneshot::Sender<Result<ResponseHead, EngineError>>,
    pub(super) chunks: mpsc::Sender<io::Result<Bytes>>,
}

/// What is known when the answer begins.
#[derive(Debug)]
pub(super) struct ResponseHead {
    /// The format of the answer; none where there is no answer.
    pub(super) format: Option<String>,
    /// What was read and written, where the statement has ended already.
    pub(super) summary: Option<(StatementSummary, u128)>,
}

impl StatementJob {
    /// Runs it. A client that went away ends it at its next piece.
    pub(super) fn execute(self, pool: &ConnectionPool) {
        let started = Instant::now();
        let Self { workload, request, body, body_encoding, response_encoding, head, chunks } = self;
        let chunks = ChunkSender::new(chunks);
        let mut response = ResponseWriter {
            head: Some(head),
            chunks,
            encoder: ResponseEncoder::new(response_encoding),
            started,
        };
        let read = body_encoding.decode(body).map_err(EngineError::Body);
        let prepared = read.and_then(|mut body| Ok((prepare(request, &mut *body)?, body)));
        let (prepared, body) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return response.fail(error),
        };
        let outcome = pool.with_connection(workload, &prepared.session, |connection| {
            prepared.execute(connection, body, &mut response)
        });
        if let Err(error) = outcome {
            response.fail(error);
        }
    }
}

struct PreparedStatement {
    /// The statement's text, and data behind it where the statement takes data.
    text: Vec<u8>,
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
        // The rest of the statement, or all of it, is in the body; data may follow there.
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

/// The statement as the library takes it: text without a NUL.
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

/// Whether the word is anywhere in the text. The engine does not count writing an answer to a file as writing. A word in
/// a quoted text is refused as well: what is quoted depends on more rules than are worth knowing here.
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

    /// Runs a statement whose result is made before it is sent.
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
        // Errors mostly come with the first piece, which is when the status can still say so.
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
            let head = header.length(chunk.bytes());
            if !response.send(chunk, head) {
                return Ok(());
            }
            next = stream.next()?;
        }
        Ok(())
    }
}

/// The way back to the client.
struct ResponseWriter {
    head: Option<oneshot::Sender<Result<ResponseHead, EngineError>>>,
    chunks: ChunkSender,
    encoder: ResponseEncoder,
    started: Instant,
}

impl ResponseWriter {
    fn send_head(&mut self, format: Option<&str>, summary: Option<StatementSummary>) {
        if let Some(head) = self.head.take() {
            let elapsed = self.started.elapsed().as_nanos();
            let summary = summary.map(|summary| (summary, elapsed));
            // A client that is gone is noticed at the next piece.
            head.send(Ok(ResponseHead { format: format.map(str::to_owned), summary })).ok();
        }
    }

    /// Sends a piece without its first bytes; false when nobody waits for it.
    fn send(&mut self, chunk: ResultChunk, skip: usize) -> bool {
        // No copy: the bytes stay in the engine's buffer until they are sent.
        let chunk = Bytes::from_owner(chunk).slice(skip..);
        match self.encoder.encode(chunk) {
            Ok(bytes) => bytes.is_empty() || self.chunks.blocking_send(Ok(bytes)).is_ok(),
            Err(error) => {
                self.chunks.blocking_send(Err(error)).ok();
                false
            }
        }
    }

    /// Tells an error: as the answer where none has begun, else by breaking the answer off, as ClickHouse does.
    fn fail(&mut self, error: EngineError) {
        match self.head.take() {
            Some(head) => {
                head.send(Err(error)).ok();
            }
            None => {
                // In the encoding of the answer, whose end it is: a client reads what arrived, the message last.
                let text = error.response_text();
                let encoded = self.encoder.encode(Bytes::from(format!("\n{text}\n")));
                for chunk in
                    [encoded, self.encoder.finish()].into_iter().flatten().filter(|chunk| !chunk.is_empty())
                {
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

/// Compresses an answer piece by piece.
enum ResponseEncoder {
    Identity,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(Option<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl ResponseEncoder {
    fn new(encoding: ContentEncoding) -> Self {
        match encoding {
            ContentEncoding::Identity | ContentEncoding::Lz4 => Self::Identity,
            ContentEncoding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()))
            }
            ContentEncoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1).ok()),
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
            Self::Zstd(None) => Err(io::Error::other("zstd cannot be started")),
        }
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        match std::mem::replace(self, Self::Identity) {
            Self::Identity | Self::Zstd(None) => Ok(Bytes::new()),
            Self::Gzip(encoder) => encoder.finish().map(Bytes::from),
            Self::Zstd(Some(encoder)) => encoder.finish().map(Bytes::from),
        }
    }
}
