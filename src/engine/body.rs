//! The body of a request, read by a thread that may block.

use std::io::{self, Read};

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

/// How many pieces of a body may wait for the engine. Beyond it the client waits.
const MAX_UNREAD: usize = 8;

/// A body that a blocking thread reads.
pub(super) struct BlockingBody {
    pieces: mpsc::Receiver<Result<Bytes, axum::Error>>,
    rest: Bytes,
}

impl BlockingBody {
    pub(super) fn new(body: Body) -> Self {
        let (sender, pieces) = mpsc::channel(MAX_UNREAD);
        tokio::spawn(async move {
            let mut stream = body.into_data_stream();
            while let Some(piece) = stream.next().await {
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Self { pieces, rest: Bytes::new() }
    }
}

impl Read for BlockingBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(out.len()));
        out[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}
