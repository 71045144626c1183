//! The id of a data folder, `server_id`: random, made at the first start. Sequences of producers are counted per data folder,
//! so producers behind a proxy compare this id to notice that they came to another server.
//!
//! A copy of the folder has the same id, but two servers must not. So `server_id.created` has the time at which the file
//! `server_id` was created on its file system, which a copy does not keep.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::atomic_file::{self, with_path};

/// Reads the id of the data folder, or makes one.
///
/// # Errors
/// When the file cannot be read or written, does not hold a UUID, or is a copy.
pub(crate) fn open(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join(FILE);
    let id = match read(&path)? {
        Some(id) => id,
        None => {
            let id = Uuid::new_v4().to_string();
            atomic_file::replace(&path, [&id, "\n"])?;
            std::fs::remove_file(data_dir.join(CREATED)).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(with_path(&data_dir.join(CREATED), error)),
            })?;
            id
        }
    };
    check_is_original(data_dir, &path)?;
    Ok(id)
}

/// The id of a data folder that another process may have made, copied or be using. A random one if it has none: a command then
/// is a server of its own.
///
/// # Errors
/// When the file cannot be read, or does not hold a UUID.
pub(crate) fn read_or_random(data_dir: &Path) -> io::Result<String> {
    Ok(read(&data_dir.join(FILE))?.unwrap_or_else(|| Uuid::new_v4().to_string()))
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Uuid::try_parse(text.trim()).map(|id| Some(id.to_string())).map_err(|error| {
            let expected =
                format!("{error}; a UUID is expected: restore the file, or delete it for a new id");
            with_path(path, io::Error::new(io::ErrorKind::InvalidData, expected))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(with_path(path, error)),
    }
}

const FILE: &str = "server_id";
const CREATED: &str = "server_id.created";

/// Not every file system knows when a file was created: then a copy is not noticed.
fn check_is_original(data_dir: &Path, path: &Path) -> io::Result<()> {
    let created = std::fs::metadata(path).and_then(|metadata| metadata.created());
    let Some(created) = created.ok().and_then(|at: SystemTime| at.duration_since(UNIX_EPOCH).ok()) else {
        return Ok(());
    };
    let created = created.as_nanos().to_string();
    let record = data_dir.join(CREATED);
    match std::fs::read_to_string(&record) {
        Ok(recorded) if recorded.trim() == created => Ok(()),
        Ok(_) => {
            let error = format!(
                "the data folder is a copy, and two servers with one id would confuse producers. If the original is still used, or its \
                 events are, start this server with an empty folder. If the original is gone for good, delete {} and start again",
                record.display()
            );
            Err(with_path(path, io::Error::new(io::ErrorKind::AlreadyExists, error)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            atomic_file::replace(&record, [created.as_str(), "\n"])
        }
        Err(error) => Err(with_path(&record, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = open(folder.path()).unwrap();
        assert_eq!(open(folder.path()).unwrap(), id);
        assert_ne!(open(other.path()).unwrap(), id);
        let copy = tempfile::tempdir().unwrap();
        let created = |folder: &Path| folder.join(FILE).metadata().unwrap().created().unwrap();
        std::fs::copy(folder.path().join(CREATED), copy.path().join(CREATED)).unwrap();
        std::fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        // File systems count the time in ticks of some milliseconds.
        while created(copy.path()) == created(folder.path()) {
            std::fs::remove_file(copy.path().join(FILE)).unwrap();
            std::fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        }
        let error = open(copy.path()).unwrap_err().to_string();
        assert!(error.contains("is a copy") && error.contains(CREATED), "{error}");
        std::fs::remove_file(copy.path().join(CREATED)).unwrap();
        assert_eq!(open(copy.path()).unwrap(), id, "restored from a backup");
        std::fs::write(folder.path().join("server_id"), "x").unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("server_id") && error.contains("a UUID is expected"), "{error}");
    }
}
