//! The bodies of a request and of its result, between the connection's task and a thread that may block.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::pace::Pace;

/// How many pieces of a body may wait for the engine. Beyond it the client waits.
const MAX_UNREAD: usize = 8;

/// A piece of a body, or its end. A channel that closes before the end means that the body was cut off.
type Piece = io::Result<Option<Bytes>>;

/// A body that a blocking thread reads.
pub(super) struct BlockingBody {
    pieces: mpsc::Receiver<Piece>,
    /// What has arrived before a thread reads.
    arrived: VecDeque<Bytes>,
    rest: Bytes,
    ended: bool,
}

impl BlockingBody {
    pub(super) fn new(body: Body) -> Self {
        let (sender, pieces) = mpsc::channel(MAX_UNREAD);
        tokio::spawn(pump(body, sender));
        Self { pieces, arrived: VecDeque::new(), rest: Bytes::new(), ended: false }
    }

    /// Waits until the body is complete or so many bytes of it have arrived, without a thread. An error is about the
    /// client.
    pub(super) async fn arrived(&mut self, bytes: usize) -> io::Result<()> {
        let mut ahead = 0;
        while !self.ended && ahead < bytes {
            match piece(self.pieces.recv().await)? {
                Some(piece) => {
                    ahead += piece.len();
                    self.arrived.push_back(piece);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }
}

async fn pump(body: Body, sender: mpsc::Sender<Piece>) {
    let mut stream = body.into_data_stream();
    let mut pace = Pace::new();
    loop {
        let waiting = Instant::now();
        let piece = match tokio::time::timeout(pace.left(), stream.next()).await {
            Ok(Some(Ok(bytes))) => {
                pace.moved(waiting.elapsed(), bytes.len());
                Ok(Some(bytes))
            }
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => Ok(None),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends it too slowly")),
        };
        let ended = !matches!(piece, Ok(Some(_)));
        if sender.send(piece).await.is_err() || ended {
            return;
        }
    }
}

fn piece(received: Option<Piece>) -> Piece {
    received.unwrap_or_else(|| {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut off; the engine is stopping"))
    })
}

impl Read for BlockingBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if let Some(arrived) = self.arrived.pop_front() {
                self.rest = arrived;
            } else if self.ended {
                return Ok(0);
            } else {
                match piece(self.pieces.blocking_recv())? {
                    Some(piece) => self.rest = piece,
                    None => self.ended = true,
                }
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(out.len()));
        out[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// Sends a result's pieces from a blocking thread to a client, which must read them at a bearable [`Pace`].
pub(super) struct PieceSender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    pace: Pace,
    runtime: Handle,
}

/// The client is gone, or too slow.
#[derive(Debug)]
pub(super) struct NobodyReads;

impl PieceSender {
    /// To be called on a thread of the runtime.
    pub(super) fn new(sender: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { sender, pace: Pace::new(), runtime: Handle::current() }
    }

    /// Sends a piece, and blocks while too many are unread.
    pub(super) fn blocking_send(&mut self, piece: io::Result<Bytes>) -> Result<(), NobodyReads> {
        let bytes = piece.as_ref().map_or(0, Bytes::len);
        let piece = match self.sender.try_send(piece) {
            Ok(()) => {
                self.pace.moved(std::time::Duration::ZERO, bytes);
                return Ok(());
            }
            Err(TrySendError::Closed(_)) => return Err(NobodyReads),
            Err(TrySendError::Full(piece)) => piece,
        };
        let waiting = Instant::now();
        let sending = tokio::time::timeout(self.pace.left(), self.sender.send(piece));
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => {
                self.pace.moved(waiting.elapsed(), bytes);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(NobodyReads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: mpsc::Receiver<Piece>) -> BlockingBody {
        BlockingBody { pieces, arrived: VecDeque::new(), rest: Bytes::new(), ended: false }
    }

    #[test]
    fn a_body_that_is_cut_off_is_no_complete_body() {
        let (sender, pieces) = mpsc::channel(4);
        sender.blocking_send(Ok(Some(Bytes::from_static(b"1\n2")))).unwrap();
        drop(sender);
        let mut read = Vec::new();
        let error = body(pieces).read_to_end(&mut read).unwrap_err();
        assert_eq!((read.as_slice(), error.kind()), (b"1\n2".as_slice(), io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn what_has_arrived_is_read_first_and_the_end_is_kept() {
        let mut body = BlockingBody::new(Body::from("statement"));
        body.arrived(1 << 20).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            body.read_to_string(&mut text).map(|_| text)
        });
        assert_eq!(read.await.unwrap().unwrap(), "statement");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_waited_for() {
        let stream = futures_util::stream::pending::<io::Result<Bytes>>();
        let error = BlockingBody::new(Body::from_stream(stream)).arrived(1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
