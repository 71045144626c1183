//! Whether the machine may have lost what was not synced since the last run.
//!
//! A killed process loses nothing that it wrote: the kernel has it. A machine that goes down without warning does. The
//! data folder holds the boot in which it was last used, and whether that use ended cleanly; another boot after a use
//! that did not is an *unclean boot*.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The mark in the data folder.
#[derive(Clone, Debug)]
pub struct BootMarker {
    path: PathBuf,
    boot_id: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MarkerFile {
    /// The boot of the last use.
    boot_id: String,
    /// Whether everything had landed and was synced when it ended.
    clean: bool,
}

impl BootMarker {
    /// The mark of this data folder in this boot.
    ///
    /// # Errors
    /// When the kernel does not tell its boot.
    pub fn new(data_dir: &Path, boot_id_file: &Path) -> io::Result<Self> {
        let boot_id = fs::read_to_string(boot_id_file).map_err(|error| with_path(boot_id_file, error))?;
        Ok(Self { path: data_dir.join("boot.json"), boot_id: boot_id.trim().to_owned() })
    }

    /// Whether the machine went down since the folder was last used, and that use did not end cleanly. A folder without a
    /// mark counts as unclean: it is new, or was last used by a version that made none.
    ///
    /// # Errors
    /// When the mark cannot be read.
    pub fn is_unclean(&self) -> io::Result<bool> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(with_path(&self.path, error)),
        };
        let marker: MarkerFile =
            serde_json::from_slice(&text).map_err(|error| with_path(&self.path, error.into()))?;
        Ok(!marker.clean && marker.boot_id != self.boot_id)
    }

    /// The folder is in use in this boot.
    pub fn mark_in_use(&self) -> io::Result<()> {
        self.write(&MarkerFile { boot_id: self.boot_id.clone(), clean: false })
    }

    /// What has landed may be lost although the machine did not go down: the next start takes this boot for another one.
    pub fn mark_unclean(&self) -> io::Result<()> {
        self.write(&MarkerFile { boot_id: String::new(), clean: false })
    }

    /// Everything has landed and is synced.
    pub fn mark_clean(&self) -> io::Result<()> {
        self.write(&MarkerFile { boot_id: self.boot_id.clone(), clean: true })
    }

    /// Replaces the file as a whole. When this returns, it is on the disk.
    fn write(&self, marker: &MarkerFile) -> io::Result<()> {
        let text = serde_json::to_vec(marker)?;
        let draft = self.path.with_extension("draft");
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        });
        written.map_err(|error| with_path(&self.path, error))
    }
}

fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
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
        assert!(first.is_unclean().unwrap(), "nothing is known of a folder without a mark");
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
