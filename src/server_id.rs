//! The id of a data folder, `server_id`: random, made at the first start. Sequences of producers are counted per data folder,
//! so producers behind a proxy compare this id to notice that they came to another server.

use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::atomic_file::{self, with_path};

/// Reads the id of the data folder, or makes one.
///
/// # Errors
/// When the file cannot be read or written, or does not hold a UUID.
pub(crate) fn open(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join("server_id");
    match std::fs::read_to_string(&path) {
        Ok(text) => Uuid::try_parse(text.trim()).map(|id| id.to_string()).map_err(|error| {
            let expected =
                format!("{error}; a UUID is expected: restore the file, or delete it for a new id");
            with_path(&path, io::Error::new(io::ErrorKind::InvalidData, expected))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4().to_string();
            atomic_file::replace(&path, [&id, "\n"])?;
            Ok(id)
        }
        Err(error) => Err(with_path(&path, error)),
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
        std::fs::write(folder.path().join("server_id"), "x").unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("server_id") && error.contains("a UUID is expected"), "{error}");
    }
}
