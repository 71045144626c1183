//! When a landed batch is safe from a power cut.
//!
//! ClickHouse answers an insert before its files are synced: a killed process loses nothing, a power cut may. So the
//! journal keeps a landed batch until a checkpoint, and after an unclean boot the batches that it still has are compared
//! with what ClickHouse has (`reconcile.rs`).

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::insert::run_blocking;

/// How long the files of a server on this machine may take to be written back: the kernel begins after 30 s
/// (`vm.dirty_expire_centisecs`) and looks every 5 s (`vm.dirty_writeback_centisecs`); the rest is for a slow disk.
const WRITEBACK_DELAY: Duration = Duration::from_secs(120);

/// How landed batches become safe from a power cut. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Durability {
    /// The file system of this folder is synced: the embedded ClickHouse keeps its files there. It stays open, since the
    /// kernel tells an error to those who had the file system open when it happened, once.
    Sync(Arc<File>),
    /// The files are another process's; after this time the kernel has written them back, if they are on this machine.
    Wait(Duration),
}

impl Durability {
    /// For the embedded ClickHouse, which keeps its files in this folder.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn for_embedded(folder: &Path) -> io::Result<Self> {
        Ok(Self::Sync(Arc::new(File::open(folder)?)))
    }

    /// For a ClickHouse server.
    pub fn for_server() -> Self {
        Self::Wait(WRITEBACK_DELAY)
    }

    /// Whether a full journal ends the wait: then nothing that was promised is lost without a power cut.
    pub(super) fn is_best_effort(&self) -> bool {
        matches!(self, Self::Wait(_))
    }

    /// Returns once all that had landed before the call is safe.
    pub(super) async fn wait_until_durable(self) -> io::Result<()> {
        match self {
            Self::Sync(_) => self.sync().await,
            Self::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }

    /// Syncs what can be synced from here: nothing of a server.
    pub(super) async fn sync(&self) -> io::Result<()> {
        match self {
            Self::Sync(folder) => {
                let folder = Arc::clone(folder);
                run_blocking(move || Ok(rustix::fs::syncfs(&*folder)?)).await
            }
            Self::Wait(_) => Ok(()),
        }
    }
}
