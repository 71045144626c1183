//! What can go wrong, in the words a caller passes on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::config::JournalConfigError;

/// Why something was not made durable. Cloned to every append of a failed group.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    /// The disk refused. The journal goes on trying by itself, and takes appends again once it succeeds.
    #[error("journal {}: {source}; nothing is made durable until this disk takes writes again", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The bound on bytes on disk. Room comes when whole segments are released.
    #[error(
        "the journal is full: it holds {used_bytes} of at most {max_bytes} bytes; room comes when records that have \
         landed are released, or by a larger bound"
    )]
    Full {
        /// On disk and queued.
        used_bytes: u64,
        /// What this append may fill.
        max_bytes: u64,
    },
    /// The bound on bytes in memory. Room comes with the next sync.
    #[error(
        "the journal is behind: {queued_bytes} of at most {max_bytes} bytes wait for the disk; try again at once"
    )]
    Busy {
        /// Queued and being written.
        queued_bytes: u64,
        /// What this append may fill.
        max_bytes: u64,
    },
    /// The payload does not fit a segment, or passes [`super::frame::MAX_PAYLOAD_BYTES`].
    #[error("a journal record of {bytes} bytes is too large: at most {max_bytes} are possible; split it")]
    TooLarge {
        /// Of the payload.
        bytes: u64,
        /// The most a payload may have here.
        max_bytes: u64,
    },
    /// [`super::JournalConfig`] is invalid.
    #[error("journal configuration: {0}")]
    Config(#[from] JournalConfigError),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The thread that writes has panicked. The journal stays as it is until it is opened again.
    #[error(
        "the journal's thread has panicked, as the log says; nothing is made durable until the server is started again, \
         which loses nothing that was acknowledged"
    )]
    Panicked,
}

impl JournalError {
    pub(crate) fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether it is for lack of space: then something smaller may still succeed.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if is_out_of_space(source))
    }
}

pub(super) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
