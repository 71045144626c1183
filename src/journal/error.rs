//! The errors of the journal. Their texts reach clients and the health summary.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::config::JournalConfigError;

/// Why a record was not made durable. Cloned for every append of a failed group.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    /// A file operation failed. The journal retries automatically, and accepts appends once it succeeds.
    #[error("journal {}: {source}; nothing is made durable until this disk accepts writes again", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system call.
        source: Arc<io::Error>,
    },
    /// The maximum size on disk is reached. Ends when whole segments are released.
    #[error(
        "the journal is full: it holds {used_bytes} of at most {max_bytes} bytes; space is freed when records that \
         have landed are released; or raise MILLRACE_JOURNAL_MAX_BYTES"
    )]
    Full {
        /// On disk and queued.
        used_bytes: u64,
        /// The maximum for this class of append.
        max_bytes: u64,
    },
    /// The queue in memory is full. Ends with the next sync.
    #[error(
        "the journal is behind: {queued_bytes} of at most {max_bytes} bytes wait for the disk; retry immediately"
    )]
    Busy {
        /// Queued and being written.
        queued_bytes: u64,
        /// The maximum for this class of append.
        max_bytes: u64,
    },
    /// The payload does not fit into a segment, or is larger than [`super::frame::MAX_PAYLOAD_BYTES`].
    #[error("a journal record of {bytes} bytes is too large; the maximum is {max_bytes} bytes")]
    TooLarge {
        /// Length of the payload.
        bytes: u64,
        /// The maximum for the configured segment size.
        max_bytes: u64,
    },
    /// [`super::JournalConfig`] is invalid.
    #[error("journal configuration: {0}")]
    Config(#[from] JournalConfigError),
    /// [`super::Journal::close`] was called.
    #[error("the journal is closed")]
    Closed,
    /// The journal thread has panicked. The journal stays unusable until it is opened again.
    #[error(
        "the journal thread has panicked (see the log); nothing is made durable until the server is restarted, which \
         loses nothing that was acknowledged"
    )]
    Panicked,
}

impl JournalError {
    pub(crate) fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the disk or quota is full, so that a smaller write may still succeed.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if is_out_of_space(source))
    }
}

pub(super) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
