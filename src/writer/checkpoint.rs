//! When a landed batch is safe from a power cut.
//!
//! ClickHouse answers an insert before its files are synced: a killed process loses nothing, a power cut may. So the
//! journal keeps a landed batch until a checkpoint, and after an unclean boot the batches that it still has are compared
//! with what ClickHouse has.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::insert::blocking;

/// How long the files of a server on this machine may take to be written back: the kernel begins after 30 s
/// (`vm.dirty_expire_centisecs`) and looks every 5 s (`vm.dirty_writeback_centisecs`); the rest is for a slow disk.
pub const WRITE_BACK: Duration = Duration::from_secs(120);

/// How landed batches become safe from a power cut.
#[derive(Clone, Debug)]
pub enum Durability {
    /// The file system that holds this folder is synced: the embedded ClickHouse keeps its files there.
    Sync(PathBuf),
    /// The files are another process's; after this time the kernel has written them back.
    Wait(Duration),
}

impl Durability {
    /// Whether a full journal ends the wait: then nothing that was promised is lost without a power cut.
    pub(super) fn yields(&self) -> bool {
        matches!(self, Self::Wait(_))
    }

    /// Returns once all that had landed before the call is safe.
    pub(super) async fn wait(self) -> io::Result<()> {
        match self {
            Self::Sync(folder) => {
                blocking(move || {
                    let folder = File::open(folder)?;
                    Ok(rustix::fs::syncfs(&folder)?)
                })
                .await
            }
            Self::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}
