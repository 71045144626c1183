//! When a landed batch survives a power cut.
//!
//! ClickHouse acknowledges an insert before its files are synced: a killed process loses nothing, a power cut may. The
//! journal therefore keeps a landed batch until a checkpoint. After an unclean boot, the batches that it still holds are
//! compared with ClickHouse (`reconcile.rs`).

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::blocking::run_blocking;

/// Upper bound for the kernel's writeback of files on this machine: dirty pages expire after 30 s
/// (`vm.dirty_expire_centisecs`), the flusher runs every 5 s (`vm.dirty_writeback_centisecs`), the rest is for a slow disk.
const WRITEBACK_DELAY: Duration = Duration::from_secs(120);

/// How a checkpoint makes landed batches durable. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Durability {
    /// Syncs the file system of the embedded ClickHouse's folder.
    Sync(Arc<SyncedFolder>),
    /// Waits for the writeback of files that another process owns. If they are on this machine, they are on disk then.
    Wait(Duration),
}

/// A folder whose file system is synced. It stays open because the kernel reports a writeback error once to each file that
/// was open when the error occurred.
#[derive(Debug)]
pub struct SyncedFolder {
    folder: File,
    /// The first error of a sync. The kernel does not report it again, and what it was about stays lost: every later sync
    /// fails with it too, whoever asked for the first one.
    error: OnceLock<String>,
}

impl SyncedFolder {
    /// Blocks.
    fn sync(&self) -> io::Result<()> {
        if let Some(error) = self.error.get() {
            return Err(io::Error::other(format!("an earlier sync failed: {error}")));
        }
        let synced = rustix::fs::syncfs(&self.folder).map_err(io::Error::from);
        if let Err(error) = &synced {
            self.error.get_or_init(|| error.to_string());
        }
        synced
    }
}

impl Durability {
    /// For an embedded ClickHouse with its files in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn for_embedded(folder: &Path) -> io::Result<Self> {
        Ok(Self::Sync(Arc::new(SyncedFolder { folder: File::open(folder)?, error: OnceLock::new() })))
    }

    /// For a ClickHouse server whose files cannot be synced from here.
    pub fn for_server() -> Self {
        Self::Wait(WRITEBACK_DELAY)
    }

    /// Whether a full journal may skip the checkpoint. Skipping it loses events only in a power cut.
    pub(super) fn is_best_effort(&self) -> bool {
        matches!(self, Self::Wait(_))
    }

    /// Returns once every batch that landed before the call is durable.
    pub(crate) async fn wait_until_durable(self) -> io::Result<()> {
        match self {
            Self::Sync(_) => self.sync().await,
            Self::Wait(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
        }
    }

    /// Syncs the embedded ClickHouse's files. Does nothing for a server.
    pub(super) async fn sync(&self) -> io::Result<()> {
        match self {
            Self::Sync(folder) => {
                let folder = Arc::clone(folder);
                run_blocking(move || folder.sync()).await
            }
            Self::Wait(_) => Ok(()),
        }
    }
}
