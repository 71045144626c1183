//! Runs one statement on the engine. Everything here blocks, and runs on a thread that may.

use std::io::{self, Read, Write};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::account::Class;
use super::body::{BlockingBody, PieceSender};
use super::library::{Chunk, Connection, Summary};
use super::pool::{Pool, Wishes};
use super::request::{Asked, exception};
use super::statement::{self, Kind, Repeated, Statement};

/// How much of a body is read to find out where its data begins.
const HEAD_BYTES: u64 = 1 << 20;
/// The longest statement without data.
const MAX_STATEMENT_BYTES: u64 = 64 << 20;
/// How much data is given to the engine at once.
const PIECE_BYTES: usize = 1 << 20;
/// How many pieces of an answer may wait for the client. Beyond it the statement waits.
pub(super) const MAX_UNSENT: usize = 8;

/// How bytes are compressed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    /// The frame format. Only read: who takes it back takes zstd as well.
    Lz4,
}

impl Encoding {
    /// The name in a header.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Lz4 => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Undoes the compression of a body. Blocks, since some read ahead.
    fn reader(self, body: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Identity => Box::new(body),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        })
    }
}

/// A statement and where its answer goes.
pub(super) struct Job {
    pub(super) class: Class,
    pub(super) asked: Asked,
    pub(super) body: BlockingBody,
    pub(super) body_encoding: Encoding,
    pub(super) answer_encoding: Encoding,
    pub(super) head: oneshot::Sender<Result<Head, String>>,
    pub(super) pieces: mpsc::Sender<io::Result<Bytes>>,
}

/// What is known when the answer begins.
#[derive(Debug)]
pub(super) struct Head {
    /// The format of the answer; none where there is no answer.
    pub(super) format: Option<String>,
    /// What was read and written, where the statement has ended already.
    pub(super) summary: Option<(Summary, u128)>,
}

impl Job {
    /// Runs it. A client that went away ends it at its next piece.
    pub(super) fn run(self, pool: &Pool) {
        let started = Instant::now();
        let Self { class, asked, body, body_encoding, answer_encoding, head, pieces } = self;
        let pieces = PieceSender::new(pieces);
        let mut answer = Answer { head: Some(head), pieces, encoder: Encoder::new(answer_encoding), started };
        let read = body_encoding.reader(body).map_err(|error| broken_body(&error));
        let prepared = read.and_then(|mut body| Ok((prepare(asked, &mut *body)?, body)));
        let (prepared, body) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return answer.fail(error),
        };
        let outcome =
            pool.with(class, &prepared.wishes, |connection| prepared.run(connection, body, &mut answer));
        if let Err(error) = outcome {
            answer.fail(error);
        }
    }
}

struct Prepared {
    /// The statement's text, and data behind it where the statement takes data.
    text: Vec<u8>,
    statement: String,
    kind: Kind,
    default_format: Option<String>,
    params: Vec<(String, String)>,
    wishes: Wishes,
}

fn prepare(asked: Asked, body: &mut dyn Read) -> Result<Prepared, String> {
    let Asked { query, database, default_format, settings, params, readonly, .. } = asked;
    let mut text = query.into_bytes();
    let takes =
        |text: &[u8]| matches!(statement::look_at(text), Ok(Statement { kind: Kind::Takes { .. }, .. }));
    if !takes(&text) {
        // The rest of the statement, or all of it, is in the body; data may follow there.
        if !text.is_empty() {
            text.push(b'\n');
        }
        read_up_to(body, HEAD_BYTES, &mut text)?;
        if !takes(&text) {
            read_up_to(body, MAX_STATEMENT_BYTES, &mut text)?;
            if text.len() as u64 >= MAX_STATEMENT_BYTES {
                return Err(exception(229, "QUERY_IS_TOO_LARGE", "the statement has more than 64 MiB"));
            }
        }
    }
    if text.trim_ascii().is_empty() {
        return Err(exception(62, "SYNTAX_ERROR", "the query is empty"));
    }
    let Statement { kind, end } = statement::look_at(&text)
        .map_err(|refusal| exception(62, "SYNTAX_ERROR", &format!("Syntax error: {refusal}")))?;
    let statement = plain(&text[..end])?;
    let wishes = Wishes { database, settings, readonly };
    Ok(Prepared { text, statement, kind, default_format, params, wishes })
}

/// The statement as the library takes it: text without a NUL.
fn plain(statement: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(statement).map_err(|error| {
        let message = format!(
            "the statement is not UTF-8 at byte {}; write such bytes as '\\xFF', or send them as the data of an INSERT",
            error.valid_up_to() + 1
        );
        exception(62, "SYNTAX_ERROR", &message)
    })?;
    if text.contains('\0') {
        return Err(exception(62, "SYNTAX_ERROR", "the statement holds a NUL; write it as '\\0'"));
    }
    Ok(text.trim_end().to_owned())
}

fn read_up_to(body: &mut dyn Read, bytes: u64, text: &mut Vec<u8>) -> Result<(), String> {
    body.take(bytes).read_to_end(text).map(|_| ()).map_err(|error| broken_body(&error))
}

/// Whether the word is anywhere in the text. The engine does not count writing an answer to a file as writing. A word in
/// a quoted text is refused as well: what is quoted depends on more rules than are worth knowing here.
fn names_outfile(text: &[u8]) -> bool {
    const WORD: &[u8] = b"outfile";
    text.windows(WORD.len()).any(|window| window.eq_ignore_ascii_case(WORD))
}

pub(super) fn broken_body(error: &io::Error) -> String {
    exception(33, "CANNOT_READ_ALL_DATA", &format!("the request's body cannot be read: {error}"))
}

impl Prepared {
    fn run(
        &self,
        connection: &mut Connection,
        body: Box<dyn Read>,
        answer: &mut Answer,
    ) -> Result<(), String> {
        if self.wishes.readonly > 0 && names_outfile(&self.text) {
            return Err(exception(
                358,
                "INTO_OUTFILE_NOT_ALLOWED",
                "INTO OUTFILE writes a file of the server, which a reader may not; the word is refused anywhere in the text",
            ));
        }
        match &self.kind {
            Kind::Takes { format, data_at } => {
                if self.wishes.readonly > 0 {
                    return Err(exception(
                        164,
                        "READONLY",
                        "an INSERT needs POST, and a user that may write",
                    ));
                }
                let format = format.as_deref().or(self.default_format.as_deref()).unwrap_or("Values");
                let data = self.text[*data_at..].chain(body);
                self.take_data(connection, format, data, answer)
            }
            Kind::Selects { format } => {
                let format = statement::output_format(format.as_deref(), self.default_format.as_deref());
                match statement::streams(format) {
                    Some(repeated) => self.stream(connection, format, repeated, answer),
                    None => self.whole(connection, format, answer),
                }
            }
            Kind::Shows { format } => {
                let format = statement::output_format(format.as_deref(), self.default_format.as_deref());
                self.whole(connection, format, answer)
            }
            Kind::Acts => {
                let format = statement::output_format(None, self.default_format.as_deref());
                self.whole(connection, format, answer)
            }
        }
    }

    /// Runs a statement whose result is made before it is sent.
    fn whole(&self, connection: &mut Connection, format: &str, answer: &mut Answer) -> Result<(), String> {
        let result = connection.query(&self.statement, format, &self.params)?;
        answer.begin(Some(format), Some(result.summary()));
        answer.send(result, 0);
        Ok(())
    }

    fn take_data(
        &self,
        connection: &mut Connection,
        format: &str,
        mut data: impl Read,
        answer: &mut Answer,
    ) -> Result<(), String> {
        let mut insert = connection.insert(&self.statement, format, &self.params)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match data.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => insert.append(&piece[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Dropping the insert cancels it.
                Err(error) => return Err(broken_body(&error)),
            }
        }
        let done = insert.finish()?;
        answer.begin(None, Some(done.summary()));
        Ok(())
    }

    fn stream(
        &self,
        connection: &mut Connection,
        format: &str,
        repeated: Repeated,
        answer: &mut Answer,
    ) -> Result<(), String> {
        let mut stream = connection.stream(&self.statement, format, &self.params)?;
        // Errors mostly come with the first piece, which is when the status can still say so.
        let Some(first) = stream.next()? else {
            answer.begin(Some(format), Some(Summary::default()));
            return Ok(());
        };
        let second = stream.next()?;
        let whole = second.is_none().then(|| first.summary());
        answer.begin(Some(format), whole);
        if !answer.send(first, 0) {
            return Ok(());
        }
        let mut next = second;
        while let Some(piece) = next {
            let head = repeated.length(piece.bytes());
            if !answer.send(piece, head) {
                return Ok(());
            }
            next = stream.next()?;
        }
        Ok(())
    }
}

/// The way back to the client.
struct Answer {
    head: Option<oneshot::Sender<Result<Head, String>>>,
    pieces: PieceSender,
    encoder: Encoder,
    started: Instant,
}

impl Answer {
    fn begin(&mut self, format: Option<&str>, summary: Option<Summary>) {
        if let Some(head) = self.head.take() {
            let elapsed = self.started.elapsed().as_nanos();
            let summary = summary.map(|summary| (summary, elapsed));
            // A client that is gone is noticed at the next piece.
            head.send(Ok(Head { format: format.map(str::to_owned), summary })).ok();
        }
    }

    /// Sends a piece without its first bytes; false when nobody waits for it.
    fn send(&mut self, piece: Chunk, skip: usize) -> bool {
        // No copy: the bytes stay in the engine's buffer until they are sent.
        let piece = Bytes::from_owner(piece).slice(skip..);
        match self.encoder.encode(piece) {
            Ok(bytes) => bytes.is_empty() || self.pieces.blocking_send(Ok(bytes)).is_ok(),
            Err(error) => {
                self.pieces.blocking_send(Err(error)).ok();
                false
            }
        }
    }

    /// Tells an error: as the answer where none has begun, else by breaking the answer off, as ClickHouse does.
    fn fail(&mut self, error: String) {
        match self.head.take() {
            Some(head) => {
                head.send(Err(error)).ok();
            }
            None => {
                // In the encoding of the answer, whose end it is: a client reads what arrived, the message last.
                let told = self.encoder.encode(Bytes::from(format!("\n{error}\n")));
                for piece in
                    [told, self.encoder.finish()].into_iter().flatten().filter(|piece| !piece.is_empty())
                {
                    self.pieces.blocking_send(Ok(piece)).ok();
                }
                self.pieces.blocking_send(Err(io::Error::other(error))).ok();
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Ok(bytes) = self.encoder.finish()
            && !bytes.is_empty()
        {
            self.pieces.blocking_send(Ok(bytes)).ok();
        }
    }
}

/// Compresses an answer piece by piece.
enum Encoder {
    Identity,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(Option<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity | Encoding::Lz4 => Self::Identity,
            Encoding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()))
            }
            Encoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1).ok()),
        }
    }

    fn encode(&mut self, piece: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(piece),
            Self::Gzip(encoder) => {
                encoder.write_all(&piece)?;
                Ok(Bytes::from(std::mem::take(encoder.get_mut())))
            }
            Self::Zstd(Some(encoder)) => {
                encoder.write_all(&piece)?;
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
