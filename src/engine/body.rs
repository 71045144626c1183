//! Request and response bodies, between the connection's async task and the blocking thread that runs the statement.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stall::StallTimeout;

/// Capacity of the channel between a body's task and its reader. When it is full, nothing is read from the client.
const MAX_UNREAD_CHUNKS: usize = 8;

/// A chunk of a body, or `None` for its end. The end is explicit, since a channel that closes without it means that the
/// body is truncated.
type ReceivedChunk = io::Result<Option<Bytes>>;

/// A request body, for a blocking thread.
pub(super) struct BodyReader {
    chunks: mpsc::Receiver<ReceivedChunk>,
    /// Chunks that [`Self::prefetch`] received.
    prefetched: VecDeque<Bytes>,
    current: Bytes,
    ended: bool,
}

/// The tasks that receive request bodies, one for each [`BodyReader`].
#[derive(Default)]
pub(super) struct BodyTasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl BodyTasks {
    /// Starts to receive a body. The task ends with the body, after a stall, with its reader, or in [`Self::close`].
    pub(super) fn read(&self, body: Body) -> BodyReader {
        let (sender, chunks) = mpsc::channel(MAX_UNREAD_CHUNKS);
        let stop = self.stop.clone();
        self.tracker.spawn(async move { stop.run_until_cancelled(receive(body, sender)).await });
        BodyReader { chunks, prefetched: VecDeque::new(), current: Bytes::new(), ended: false }
    }

    /// Stops the tasks and waits for their end. Bodies that are not complete end with an `UnexpectedEof`.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl BodyReader {
    /// Waits until `bytes` bytes have arrived, or the whole body. Needs no blocking thread.
    pub(super) async fn prefetch(&mut self, bytes: usize) -> io::Result<()> {
        let mut prefetched_bytes = 0;
        while !self.ended && prefetched_bytes < bytes {
            match chunk_or_truncated(self.chunks.recv().await)? {
                Some(chunk) => {
                    prefetched_bytes += chunk.len();
                    self.prefetched.push_back(chunk);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }
}

async fn receive(body: Body, sender: mpsc::Sender<ReceivedChunk>) {
    let mut stream = body.into_data_stream();
    let mut stall_timeout = StallTimeout::new();
    loop {
        let waiting_since = Instant::now();
        let received = tokio::select! {
            () = sender.closed() => return,
            received = tokio::time::timeout(stall_timeout.remaining(), stream.next()) => received,
        };
        let chunk = match received {
            Ok(Some(Ok(bytes))) => {
                stall_timeout.record_transfer(waiting_since.elapsed(), bytes.len());
                Ok(Some(bytes))
            }
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => Ok(None),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends too slowly")),
        };
        let ended = !matches!(chunk, Ok(Some(_)));
        if sender.send(chunk).await.is_err() || ended {
            return;
        }
    }
}

fn chunk_or_truncated(received: Option<ReceivedChunk>) -> ReceivedChunk {
    received.unwrap_or_else(|| {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is truncated, since the engine is stopping"))
    })
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if let Some(prefetched) = self.prefetched.pop_front() {
                self.current = prefetched;
            } else if self.ended {
                return Ok(0);
            } else {
                match chunk_or_truncated(self.chunks.blocking_recv())? {
                    Some(chunk) => self.current = chunk,
                    None => self.ended = true,
                }
            }
        }
        let chunk = self.current.split_to(self.current.len().min(out.len()));
        out[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }
}

/// Sends the chunks of a response from a blocking thread. The client must read them within the [`StallTimeout`].
pub(super) struct ChunkSender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    stall_timeout: StallTimeout,
    runtime: Handle,
}

/// The client closed the connection, or reads too slowly.
#[derive(Debug)]
pub(super) struct ClientGone;

impl ChunkSender {
    /// Must be called on a thread of the runtime.
    pub(super) fn new(sender: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { sender, stall_timeout: StallTimeout::new(), runtime: Handle::current() }
    }

    /// Sends a chunk. Blocks while the channel is full.
    pub(super) fn blocking_send(&mut self, chunk: io::Result<Bytes>) -> Result<(), ClientGone> {
        let bytes = chunk.as_ref().map_or(0, Bytes::len);
        let chunk = match self.sender.try_send(chunk) {
            Ok(()) => {
                self.stall_timeout.record_transfer(std::time::Duration::ZERO, bytes);
                return Ok(());
            }
            Err(TrySendError::Closed(_)) => return Err(ClientGone),
            Err(TrySendError::Full(chunk)) => chunk,
        };
        let waiting_since = Instant::now();
        let sending = tokio::time::timeout(self.stall_timeout.remaining(), self.sender.send(chunk));
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => {
                self.stall_timeout.record_transfer(waiting_since.elapsed(), bytes);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(ClientGone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_reader(chunks: mpsc::Receiver<ReceivedChunk>) -> BodyReader {
        BodyReader { chunks, prefetched: VecDeque::new(), current: Bytes::new(), ended: false }
    }

    fn silent_body() -> Body {
        Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>())
    }

    #[test]
    fn a_truncated_body_is_an_unexpected_eof() {
        let (sender, chunks) = mpsc::channel(4);
        sender.blocking_send(Ok(Some(Bytes::from_static(b"1\n2")))).unwrap();
        drop(sender);
        let mut read = Vec::new();
        let error = body_reader(chunks).read_to_end(&mut read).unwrap_err();
        assert_eq!((read.as_slice(), error.kind()), (b"1\n2".as_slice(), io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn prefetched_chunks_are_read_first_and_the_end_is_remembered() {
        let mut body = BodyTasks::default().read(Body::from("statement"));
        body.prefetch(1 << 20).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            body.read_to_string(&mut text).map(|_| text)
        });
        assert_eq!(read.await.unwrap().unwrap(), "statement");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_times_out() {
        let error = BodyTasks::default().read(silent_body()).prefetch(1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn tasks_end_with_their_readers_or_when_closed() {
        let tasks = BodyTasks::default();
        drop(tasks.read(silent_body()));
        tasks.tracker.close();
        tasks.tracker.wait().await;
        tasks.tracker.reopen();
        let mut body = tasks.read(silent_body());
        tasks.close().await;
        assert_eq!(body.prefetch(1).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
