//! The folder of the batches that ClickHouse did not take.
//!
//! A dead letter is two files: `ID.native`, the bytes that were to be inserted, and `ID.json`, which says when, why and
//! how many. The second is written last and is what makes the first count; both are synced before the batch is let go.
//! The bytes and the id are those of the sealed batch, so bringing it back can't insert twice.
//!
//! A letter is either *waiting* (ClickHouse was not there; the redriver brings it back by itself) or *refused*
//! (ClickHouse does not accept what is in it; a person looks at it, and `millrace dead-letters replay` tries it again).
//!
//! The functions block on the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is known of a batch that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The batch's id, which is its deduplication token.
    pub batch_id: Uuid,
    /// When it was set aside, as RFC 3339.
    pub set_aside_at: String,
    /// Why: the last error.
    pub reason: String,
    /// ClickHouse's error code, where it answered.
    pub code: Option<i32>,
    /// How many events it holds.
    pub events: u64,
    /// The size of its Native bytes.
    pub bytes: u64,
    /// Whether ClickHouse refused what is in it, so that only a person brings it back.
    pub refused: bool,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    folder: PathBuf,
}

impl DeadLetters {
    /// The dead letters of a data folder; the folder is made where it is missing.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("dead-letters");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Where the letters lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a batch. When this returns, it is on the disk.
    pub fn put(&self, letter: &DeadLetter, body: &[Bytes]) -> io::Result<()> {
        self.write(&self.body_path(letter.batch_id), |file| {
            body.iter().try_for_each(|part| file.write_all(part))
        })?;
        self.write_letter(letter)
    }

    /// Marks a refused letter as waiting, so that it is tried again.
    pub fn retry(&self, letter: &DeadLetter) -> io::Result<()> {
        self.write_letter(&DeadLetter { refused: false, ..letter.clone() })
    }

    /// Marks a letter as refused.
    pub fn refuse(&self, letter: &DeadLetter, code: Option<i32>, reason: String) -> io::Result<()> {
        self.write_letter(&DeadLetter { refused: true, code, reason, ..letter.clone() })
    }

    /// All letters, oldest first. A file that is no letter is an error that names it: it may hold events.
    pub fn list(&self) -> io::Result<Vec<DeadLetter>> {
        let mut letters = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = match fs::read(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // just brought back
                Err(error) => return Err(named(&path, error)),
            };
            let letter: DeadLetter =
                serde_json::from_slice(&text).map_err(|error| named(&path, error.into()))?;
            letters.push(letter);
        }
        letters.sort_by(|a, b| (&a.set_aside_at, a.batch_id).cmp(&(&b.set_aside_at, b.batch_id)));
        Ok(letters)
    }

    /// The bytes of a letter.
    pub fn body(&self, batch_id: Uuid) -> io::Result<Bytes> {
        let path = self.body_path(batch_id);
        fs::read(&path).map(Bytes::from).map_err(|error| named(&path, error))
    }

    /// Removes a letter whose batch has landed.
    pub fn remove(&self, batch_id: Uuid) -> io::Result<()> {
        fs::remove_file(self.letter_path(batch_id))?;
        fs::remove_file(self.body_path(batch_id))?;
        self.sync_folder()
    }

    fn write_letter(&self, letter: &DeadLetter) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(letter)?;
        self.write(&self.letter_path(letter.batch_id), |file| file.write_all(&text))
    }

    /// Writes a file beside its place and moves it there, so that it is whole or not there.
    fn write(&self, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let draft = path.with_extension("draft");
        let written = File::create(&draft).and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()
        });
        if let Err(error) = written.and_then(|()| fs::rename(&draft, path)) {
            fs::remove_file(&draft).ok(); // the first error is the one to tell
            return Err(named(path, error));
        }
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn body_path(&self, batch_id: Uuid) -> PathBuf {
        self.folder.join(format!("{batch_id}.native"))
    }

    fn letter_path(&self, batch_id: Uuid) -> PathBuf {
        self.folder.join(format!("{batch_id}.json"))
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(n: u128, set_aside_at: &str) -> DeadLetter {
        DeadLetter {
            batch_id: Uuid::from_u128(n),
            set_aside_at: set_aside_at.into(),
            reason: "no answer".into(),
            code: None,
            events: 3,
            bytes: 5,
            refused: false,
        }
    }

    #[test]
    fn letters_are_listed_oldest_first_and_keep_their_bytes() {
        let data_dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(data_dir.path()).unwrap();
        let (young, old) = (letter(1, "2026-01-02T00:00:00Z"), letter(2, "2026-01-01T00:00:00Z"));
        for letter in [&young, &old] {
            letters.put(letter, &[Bytes::from_static(b"na"), Bytes::from_static(b"tiv")]).unwrap();
        }
        assert_eq!(letters.list().unwrap(), [old.clone(), young]);
        assert_eq!(letters.body(old.batch_id).unwrap(), "nativ");
        letters.remove(old.batch_id).unwrap();
        assert_eq!(letters.list().unwrap().len(), 1);
    }

    #[test]
    fn a_refused_letter_can_be_tried_again() {
        let data_dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(data_dir.path()).unwrap();
        letters.put(&letter(1, "t"), &[]).unwrap();
        letters.refuse(&letter(1, "t"), Some(27), "bad".into()).unwrap();
        let refused = letters.list().unwrap().remove(0);
        assert!(refused.refused && refused.code == Some(27));
        letters.retry(&refused).unwrap();
        assert!(!letters.list().unwrap()[0].refused);
    }

    #[test]
    fn a_file_that_is_no_letter_is_named() {
        let data_dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(data_dir.path()).unwrap();
        fs::write(letters.folder().join("x.json"), "{").unwrap();
        assert!(letters.list().unwrap_err().to_string().contains("x.json"));
    }
}
