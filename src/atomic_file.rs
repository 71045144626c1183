//! Atomic replacement of a file: after a crash the path holds the old contents or the new ones, never a part of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Extension of temporary files. A crash can leave one behind; nothing reads it.
pub(crate) const TEMPORARY_EXTENSION: &str = "draft";

/// Creates or replaces the file at `path` with the concatenated `chunks`. Only the owner can read it (mode 0600). Blocks.
///
/// The contents are written to a temporary file in the same folder, which is synced and then renamed; the folder is synced
/// last. On success the new contents survive a power cut. The temporary name is random, so that processes that replace the
/// same file do not disturb each other; the last rename wins.
///
/// # Errors
/// Any failed step. The message starts with `path`. The file is unchanged, unless only the sync of the folder failed.
pub(crate) fn replace(path: &Path, chunks: impl IntoIterator<Item: AsRef<[u8]>>) -> io::Result<()> {
    replace_with_mode(path, chunks, 0o600)
}

/// Like [`replace`], for a file with other permissions, of which the process's umask takes its part.
pub(crate) fn replace_with_mode(
    path: &Path,
    chunks: impl IntoIterator<Item: AsRef<[u8]>>,
    mode: u32,
) -> io::Result<()> {
    let temporary = temporary_path(path);
    let renamed = write_and_sync(&temporary, chunks, mode).and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // The first error is the one to report.
        fs::remove_file(&temporary).ok();
    }
    renamed.and_then(|()| sync_dir(parent_dir(path))).map_err(|error| with_path(path, error))
}

/// Syncs a folder, so that created, renamed and deleted entries survive a power cut. Blocks.
pub(crate) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The same error, with the path in front of its message.
pub(crate) fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn write_and_sync(path: &Path, chunks: impl IntoIterator<Item: AsRef<[u8]>>, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    for chunk in chunks {
        file.write_all(chunk.as_ref())?;
    }
    file.sync_all()
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.{TEMPORARY_EXTENSION}", rand::random::<u64>()));
    name.into()
}

/// The folder of a file. A bare file name is in the current folder.
fn parent_dir(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_replaced_file_has_the_new_contents_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "a longer old text").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, ["new ", "text"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new text");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_failed_replacement_names_the_path_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = replace(&path, ["text"]).unwrap_err();
        assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn a_bare_file_name_is_in_the_current_folder() {
        assert_eq!(parent_dir(Path::new("boot.json")), Path::new("."));
        assert_eq!(parent_dir(Path::new("data/boot.json")), Path::new("data"));
    }
}
