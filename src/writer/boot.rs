//! Detects that the machine may have lost writes that were not synced.
//!
//! A killed process loses nothing that it wrote, since the kernel holds it. A machine that goes down without warning may
//! lose everything that was not synced. The marker in the data folder holds the id of the boot in which the folder was last
//! used, and whether that use ended cleanly. A different boot id after a use that did not end cleanly is an *unclean boot*.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, with_path};

/// The marker of a data folder, `boot.json`, as seen from the current boot.
#[derive(Clone, Debug)]
pub(crate) struct BootMarker {
    path: PathBuf,
    boot_id: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MarkerFile {
    /// The boot of the last use. Empty matches no boot.
    boot_id: String,
    /// Whether all batches had landed and were synced when that use ended.
    clean: bool,
}

impl BootMarker {
    /// `boot_id_file` is the kernel's, `/proc/sys/kernel/random/boot_id`.
    ///
    /// # Errors
    /// When `boot_id_file` cannot be read.
    pub(crate) fn new(data_dir: &Path, boot_id_file: &Path) -> io::Result<Self> {
        let boot_id = fs::read_to_string(boot_id_file).map_err(|error| with_path(boot_id_file, error))?;
        Ok(Self { path: data_dir.join("boot.json"), boot_id: boot_id.trim().to_owned() })
    }

    /// Whether the machine was restarted since the folder was last used, and that use did not end cleanly. A folder without
    /// a marker counts as unclean: it is new, or was last used by a version without markers.
    ///
    /// # Errors
    /// When the marker exists and cannot be read or parsed.
    pub(crate) fn is_unclean(&self) -> io::Result<bool> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(with_path(&self.path, error)),
        };
        let marker: MarkerFile =
            serde_json::from_slice(&text).map_err(|error| with_path(&self.path, error.into()))?;
        Ok(!marker.clean && marker.boot_id != self.boot_id)
    }

    /// Marks the folder as in use: if the machine goes down from here on, the next boot is unclean.
    pub(crate) fn mark_in_use(&self) -> io::Result<()> {
        self.write(&MarkerFile { boot_id: self.boot_id.clone(), clean: false })
    }

    /// Makes the next start an unclean boot although the machine stays up: landed batches may be lost.
    pub(crate) fn mark_unclean(&self) -> io::Result<()> {
        self.write(&MarkerFile { boot_id: String::new(), clean: false })
    }

    /// Marks the use as cleanly ended: all batches have landed and are synced.
    pub(crate) fn mark_clean(&self) -> io::Result<()> {
        self.write(&MarkerFile { boot_id: self.boot_id.clone(), clean: true })
    }

    fn write(&self, marker: &MarkerFile) -> io::Result<()> {
        atomic_file::replace(&self.path, [serde_json::to_vec(marker)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_boot_is_unclean_unless_the_last_shutdown_was_clean() {
        let folder = tempfile::tempdir().unwrap();
        let boot = |id: &str| {
            let file = folder.path().join(id);
            fs::write(&file, format!("{id}\n")).unwrap();
            BootMarker::new(folder.path(), &file).unwrap()
        };
        let (first, second) = (boot("first"), boot("second"));
        assert!(first.is_unclean().unwrap(), "a folder without a marker is unclean");
        first.mark_in_use().unwrap();
        assert!(!first.is_unclean().unwrap() && second.is_unclean().unwrap());
        first.mark_clean().unwrap();
        assert!(!second.is_unclean().unwrap());
        second.mark_in_use().unwrap();
        assert!(first.is_unclean().unwrap());
        second.mark_unclean().unwrap();
        assert!(second.is_unclean().unwrap());
    }

    #[test]
    fn an_unreadable_marker_is_reported_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("boot.json"), "{").unwrap();
        let marker = BootMarker::new(folder.path(), Path::new("/proc/sys/kernel/random/boot_id")).unwrap();
        assert!(marker.is_unclean().unwrap_err().to_string().contains("boot.json"));
    }
}
