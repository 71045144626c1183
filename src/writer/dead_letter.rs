//! The folder of the batches that ClickHouse did not take.
//!
//! A dead letter is two files: `ID.native`, the bytes that were to be inserted, and `ID.json`, which says when, why and
//! how many. The second is written last and is what makes the first count; both are synced before the batch is let go.
//! The bytes and the id are those of the sealed batch, so bringing it back can't insert twice.
//!
//! A letter is either *waiting* (the redriver tries it again when its next try is due) or *refused* (ClickHouse does not
//! accept what is in it, or answered too many tries with an error; a person looks at it, and
//! `millrace dead-letters replay` tries it again).
//!
//! # What a crash can leave
//!
//! The order of the steps, each durable before the next, makes every remainder decidable:
//!
//! | step | cut short after it | what is left | the batch |
//! | --- | --- | --- | --- |
//! | `put` 1: `ID.native` | | bytes without a letter | still sealed in the journal: it is released only after `put` |
//! | `put` 2: `ID.json` | | a letter | is this letter |
//! | `remove` 1: `ID.json` goes | | bytes without a letter | in ClickHouse: `remove` is called only then |
//! | `remove` 2: `ID.native` goes | | nothing | in ClickHouse |
//!
//! So bytes without a letter are never the only copy, and [`DeadLetters::load`] deletes them at the start, before anything
//! is written. Drafts (`*.draft`) are files that were not yet moved to their name, so they never counted; they go too. A
//! letter without bytes comes from no crash: it stays, and is reported.
//!
//! # The index
//!
//! All handles of a process share one index in memory. Own changes go to disk and index together; [`DeadLetters::refresh`]
//! finds what another process or a person changed. So looking at the letters costs no disk access.
//!
//! The functions that are not said to read the index block on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A try that is due later than this is due now: somebody set the clock back, or wrote the letter by hand.
const MAX_ATTEMPT_DELAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// What is known of a batch that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The batch's id, which is its deduplication token.
    pub batch_id: Uuid,
    /// When it was set aside, as RFC 3339.
    #[serde(rename = "set_aside_at")]
    pub dead_lettered_at: String,
    /// Why: the last error.
    pub reason: String,
    /// ClickHouse's error code, where it answered.
    pub code: Option<i32>,
    /// How many events it holds.
    pub events: u64,
    /// The size of its Native bytes.
    pub bytes: u64,
    /// Whether only a person brings it back.
    #[serde(rename = "refused")]
    pub rejected: bool,
    /// How many tries ClickHouse answered with an error that may be the batch's fault, since it was set aside or a person
    /// asked to try again.
    #[serde(default, rename = "tries")]
    pub attempts: u32,
    /// When the last of all tries was made since then, as RFC 3339.
    #[serde(default, rename = "last_try_at")]
    pub last_attempt_at: Option<String>,
    /// When the next try is due, as RFC 3339; at once where there is none.
    #[serde(default, rename = "next_try_at")]
    pub next_attempt_at: Option<String>,
    /// Whether an insert of it may have ended without an answer, so that ClickHouse may have the batch, or a part of it. It
    /// stays so, whatever later tries say.
    #[serde(default)]
    pub outcome_unknown: bool,
}

impl DeadLetter {
    /// The letter as if it had never been tried.
    pub fn untried(&self) -> Self {
        Self { rejected: false, attempts: 0, last_attempt_at: None, next_attempt_at: None, ..self.clone() }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let next: Option<Timestamp> = self.next_attempt_at.as_ref().and_then(|text| text.parse().ok());
        !self.rejected && next.is_none_or(|next| next <= now || next.duration_since(now) > MAX_ATTEMPT_DELAY)
    }
}

/// The letters, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterListing {
    /// The letters, oldest first.
    pub letters: Vec<DeadLetter>,
    /// The files that cannot be read, and why. They may hold events.
    pub problems: Vec<String>,
}

/// The letters in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// How many there are.
    pub letters: u64,
    /// How many of them are refused.
    pub rejected: u64,
    /// The events in them.
    pub events: u64,
    /// The bytes of all batches in the folder, also of letters that cannot be read.
    pub bytes: u64,
    /// Why the waiting letter that was tried last did not go in.
    pub last_error: Option<String>,
    /// What cannot be read, and why, in one line.
    pub problem: Option<String>,
}

/// What [`DeadLetters::load`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The folder. Cheap to clone; clones share the index.
#[derive(Clone, Debug)]
pub struct DeadLetters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Held while the folder is changed or scanned, so that a scan misses no change of this process.
    disk: Mutex<()>,
    /// Held for moments only, so that health can read it.
    index: Mutex<LetterIndex>,
    /// Names drafts, so that no two writers share one.
    draft_counter: AtomicU64,
}

#[derive(Debug, Default)]
struct LetterIndex {
    letters: BTreeMap<Uuid, IndexEntry>,
    /// The size of each `ID.native`.
    bodies: BTreeMap<PathBuf, u64>,
    /// What could not be read at the last scan.
    unreadable: BTreeMap<PathBuf, String>,
}

#[derive(Debug)]
struct IndexEntry {
    letter: DeadLetter,
    /// The file that the letter was read from or written to.
    version: Option<FileVersion>,
    /// Why its bytes could not be read at the last try.
    body_error: Option<String>,
}

/// Differs between any two files that had the same name, since each is written anew and moved there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), modified, bytes: metadata.len() }
    }
}

impl DeadLetters {
    /// The dead letters of a data folder; the folder is made where it is missing. The index is empty until it is loaded or
    /// refreshed.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("dead-letters");
        fs::create_dir_all(&folder)?;
        let shared = Inner {
            folder,
            disk: Mutex::default(),
            index: Mutex::default(),
            draft_counter: AtomicU64::new(0),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Where the letters lie.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Deletes what a crash left and reads the letters. Only for the one process that holds the data folder, before it
    /// sets a batch aside.
    pub fn load(&self) -> SweepReport {
        let disk = self.lock_disk();
        let swept = self.sweep().unwrap_or_default(); // the scan reports a folder that cannot be read
        drop(disk);
        self.refresh();
        swept
    }

    fn sweep(&self) -> io::Result<SweepReport> {
        let mut swept = SweepReport::default();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let path = entry.path();
            let is_leftover = match path.extension().and_then(|extension| extension.to_str()) {
                Some("draft") => true,
                // try_exists: where it cannot be told whether there is a letter, the bytes stay.
                Some("native") => matches!(path.with_extension("json").try_exists(), Ok(false)),
                _ => false,
            };
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            match is_leftover.then(|| fs::remove_file(&path)) {
                None => {}
                Some(Ok(())) => {
                    swept.files += 1;
                    swept.bytes += bytes;
                }
                Some(Err(error)) => {
                    tracing::warn!(file = %path.display(), %error, "what a crash left cannot be deleted");
                }
            }
        }
        Ok(swept)
    }

    /// Looks what is in the folder now. Only files that are new or changed are read.
    pub fn refresh(&self) {
        let _disk = self.lock_disk();
        let found = self.scan();
        let mut index = self.lock_index();
        match found {
            Ok(found) => {
                index.letters.retain(|id, _| found.present.contains(id));
                for (letter, version) in found.changed {
                    let entry = IndexEntry { version: Some(version), body_error: None, letter };
                    index.letters.insert(entry.letter.batch_id, entry);
                }
                (index.bodies, index.unreadable) = (found.bodies, found.unreadable);
            }
            Err(error) => {
                index.unreadable.insert(self.folder().to_owned(), error.to_string());
            }
        }
    }

    fn scan(&self) -> io::Result<FolderScan> {
        let known: BTreeMap<Uuid, FileVersion> = {
            let index = self.lock_index();
            index.letters.iter().filter_map(|(id, entry)| Some((*id, entry.version?))).collect()
        };
        let mut found = FolderScan::default();
        for entry in fs::read_dir(self.folder())? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some("json" | "native")) {
                continue;
            }
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // just brought back
                Err(error) => {
                    found.unreadable.insert(path, error.to_string());
                    continue;
                }
            };
            if extension == Some("native") {
                found.bodies.insert(path, metadata.len());
                continue;
            }
            let version = FileVersion::of(&metadata);
            let id_in_name: Option<Uuid> =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let Some(id) = id_in_name.filter(|id| known.get(id) == Some(&version)) {
                found.present.insert(id);
                continue;
            }
            let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<DeadLetter>(&text)?));
            match read {
                Ok(letter) if id_in_name == Some(letter.batch_id) => {
                    found.present.insert(letter.batch_id);
                    found.changed.push((letter, version));
                }
                Ok(letter) => {
                    let reason = format!("it is the letter of the batch {}", letter.batch_id);
                    found.unreadable.insert(path, reason);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    found.unreadable.insert(path, error.to_string());
                }
            }
        }
        Ok(found)
    }

    /// The letters and what could not be read. Reads the index.
    pub fn list(&self) -> DeadLetterListing {
        let index = self.lock_index();
        let mut letters: Vec<_> = index.letters.values().map(|entry| entry.letter.clone()).collect();
        letters.sort_by(|a, b| (&a.dead_lettered_at, a.batch_id).cmp(&(&b.dead_lettered_at, b.batch_id)));
        DeadLetterListing { letters, problems: index.problems() }
    }

    /// The letters in figures. Reads the index.
    pub fn summary(&self) -> DeadLetterSummary {
        let index = self.lock_index();
        let letters = || index.letters.values().map(|entry| &entry.letter);
        let attempted = letters().filter(|letter| !letter.rejected && letter.last_attempt_at.is_some());
        let mut problems = index.problems();
        let more = problems.len().saturating_sub(1);
        problems.truncate(1);
        DeadLetterSummary {
            letters: letters().count() as u64,
            rejected: letters().filter(|letter| letter.rejected).count() as u64,
            events: letters().map(|letter| letter.events).sum(),
            bytes: index.bodies.values().sum(),
            last_error: attempted
                .max_by_key(|letter| &letter.last_attempt_at)
                .map(|letter| letter.reason.clone()),
            problem: problems.pop().map(|first| match more {
                0 => first,
                more => format!("{first}; and {more} more"),
            }),
        }
    }

    /// The oldest letter whose next try is due. Reads the index.
    pub fn next_due(&self, now: Timestamp) -> Option<DeadLetter> {
        let index = self.lock_index();
        let due = index.letters.values().map(|entry| &entry.letter).filter(|letter| letter.is_due(now));
        due.min_by_key(|letter| (&letter.dead_lettered_at, letter.batch_id)).cloned()
    }

    /// Keeps a batch. When this returns, it is on the disk.
    pub fn put(&self, letter: &DeadLetter, body: &[Bytes]) -> io::Result<()> {
        let _disk = self.lock_disk();
        let path = self.body_path(letter.batch_id);
        self.write(&path, |file| body.iter().try_for_each(|part| file.write_all(part)))?;
        self.lock_index().bodies.insert(path, body.iter().map(|part| part.len() as u64).sum());
        self.write_letter(letter)
    }

    /// Notes what became of a try. The index has it also when the disk does not take it.
    pub fn update(&self, letter: DeadLetter) -> io::Result<()> {
        let _disk = self.lock_disk();
        if let Some(entry) = self.lock_index().letters.get_mut(&letter.batch_id) {
            entry.letter = letter.clone();
            entry.body_error = None;
        }
        self.write_letter(&letter)
    }

    /// Notes in the index alone that the bytes of a letter cannot be read, and when to try again.
    pub fn record_body_error(&self, batch_id: Uuid, error: String, next_attempt: Timestamp) {
        if let Some(entry) = self.lock_index().letters.get_mut(&batch_id) {
            entry.letter.next_attempt_at = Some(next_attempt.to_string());
            entry.body_error = Some(error);
        }
    }

    /// Makes a letter wait with all its tries before it, due at once.
    pub fn requeue(&self, letter: &DeadLetter) -> io::Result<()> {
        self.update(letter.untried())
    }

    /// The bytes of a letter.
    pub fn body(&self, batch_id: Uuid) -> io::Result<Bytes> {
        let path = self.body_path(batch_id);
        fs::read(&path).map(Bytes::from).map_err(|error| with_path(&path, error))
    }

    /// Removes a letter whose batch has landed.
    pub fn remove(&self, batch_id: Uuid) -> io::Result<()> {
        let _disk = self.lock_disk();
        fs::remove_file(self.letter_path(batch_id))?;
        self.lock_index().letters.remove(&batch_id);
        // Else a power cut could keep the letter and lose the bytes.
        self.sync_folder()?;
        let path = self.body_path(batch_id);
        fs::remove_file(&path)?;
        self.lock_index().bodies.remove(&path);
        self.sync_folder()
    }

    fn write_letter(&self, letter: &DeadLetter) -> io::Result<()> {
        let path = self.letter_path(letter.batch_id);
        let text = serde_json::to_vec_pretty(letter)?;
        self.write(&path, |file| file.write_all(&text))?;
        let version = fs::metadata(&path).ok().map(|metadata| FileVersion::of(&metadata));
        let entry = IndexEntry { letter: letter.clone(), version, body_error: None };
        self.lock_index().letters.insert(letter.batch_id, entry);
        Ok(())
    }

    /// Writes a file beside its place and moves it there, so that it is whole or not there.
    fn write(&self, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let number = self.0.draft_counter.fetch_add(1, Ordering::Relaxed);
        let draft = path.with_extension(format!("{}-{number}.draft", std::process::id()));
        let written = File::create(&draft).and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()
        });
        if let Err(error) = written.and_then(|()| fs::rename(&draft, path)) {
            fs::remove_file(&draft).ok(); // the first error is the one to tell
            return Err(with_path(path, error));
        }
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.folder())?.sync_all()
    }

    fn body_path(&self, batch_id: Uuid) -> PathBuf {
        self.folder().join(format!("{batch_id}.native"))
    }

    fn letter_path(&self, batch_id: Uuid) -> PathBuf {
        self.folder().join(format!("{batch_id}.json"))
    }

    fn lock_disk(&self) -> MutexGuard<'_, ()> {
        self.0.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_index(&self) -> MutexGuard<'_, LetterIndex> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LetterIndex {
    fn problems(&self) -> Vec<String> {
        let unreadable = self.unreadable.iter().map(|(path, error)| format!("{}: {error}", path.display()));
        unreadable.chain(self.letters.values().filter_map(|entry| entry.body_error.clone())).collect()
    }
}

/// What is in the folder.
#[derive(Default)]
struct FolderScan {
    present: BTreeSet<Uuid>,
    changed: Vec<(DeadLetter, FileVersion)>,
    bodies: BTreeMap<PathBuf, u64>,
    unreadable: BTreeMap<PathBuf, String>,
}

fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(n: u128, dead_lettered_at: &str) -> DeadLetter {
        DeadLetter {
            batch_id: Uuid::from_u128(n),
            dead_lettered_at: dead_lettered_at.into(),
            reason: "no answer".into(),
            code: None,
            events: 3,
            bytes: 5,
            rejected: false,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown: true,
        }
    }

    fn open_in_tempdir() -> (tempfile::TempDir, DeadLetters) {
        let data_dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(data_dir.path()).unwrap();
        (data_dir, letters)
    }

    /// The letters as another process sees them.
    fn reopen_and_list(data_dir: &tempfile::TempDir) -> Vec<DeadLetter> {
        let letters = DeadLetters::open(data_dir.path()).unwrap();
        letters.refresh();
        letters.list().letters
    }

    #[test]
    fn letters_are_listed_oldest_first_and_keep_their_bytes() {
        let (data_dir, letters) = open_in_tempdir();
        let (young, old) = (letter(1, "2026-01-02T00:00:00Z"), letter(2, "2026-01-01T00:00:00Z"));
        for letter in [&young, &old] {
            letters.put(letter, &[Bytes::from_static(b"na"), Bytes::from_static(b"tiv")]).unwrap();
        }
        assert_eq!(letters.list().letters, [old.clone(), young.clone()]);
        assert_eq!(reopen_and_list(&data_dir), [old.clone(), young]);
        assert_eq!((letters.summary().bytes, letters.summary().events), (10, 6));
        assert_eq!(letters.body(old.batch_id).unwrap(), "nativ");
        letters.remove(old.batch_id).unwrap();
        assert_eq!((letters.list().letters.len(), letters.summary().bytes), (1, 5));
        letters.refresh();
        assert_eq!((letters.list().letters.len(), letters.summary().bytes), (1, 5));
    }

    #[test]
    fn a_refresh_finds_changes_of_another_process() {
        let (data_dir, server) = open_in_tempdir();
        let rejected = DeadLetter { rejected: true, attempts: 24, code: Some(252), ..letter(1, "t") };
        server.put(&rejected, &[]).unwrap();
        server.put(&letter(2, "u"), &[]).unwrap();
        let person = DeadLetters::open(data_dir.path()).unwrap();
        person.refresh();
        person.requeue(&person.list().letters[0]).unwrap();
        person.remove(Uuid::from_u128(2)).unwrap();
        assert_eq!(server.summary().rejected, 1, "not looked at yet");
        server.refresh();
        let listed = server.list().letters;
        assert!(listed.len() == 1 && !listed[0].rejected && listed[0].attempts == 0, "{listed:?}");
    }

    #[test]
    fn the_oldest_due_letter_is_returned_first() {
        let (_data_dir, letters) = open_in_tempdir();
        let now: Timestamp = "2026-01-03T00:00:00Z".parse().unwrap();
        let at = |next: &str, n, aside: &str| DeadLetter {
            next_attempt_at: Some(next.into()),
            ..letter(n, aside)
        };
        letters.put(&at("2026-01-03T00:00:01Z", 1, "a"), &[]).unwrap();
        letters.put(&DeadLetter { rejected: true, ..letter(2, "b") }, &[]).unwrap();
        assert_eq!(letters.next_due(now), None);
        letters.put(&at("2026-01-02T23:59:59Z", 3, "d"), &[]).unwrap();
        letters.put(&at("2027-01-01T00:00:00Z", 4, "c"), &[]).unwrap();
        assert_eq!(
            letters.next_due(now).map(|letter| letter.batch_id),
            Some(Uuid::from_u128(4)),
            "nothing waits a year"
        );
        letters.remove(Uuid::from_u128(4)).unwrap();
        assert_eq!(letters.next_due(now).map(|letter| letter.batch_id), Some(Uuid::from_u128(3)));
    }

    #[test]
    fn letters_of_an_older_version_are_read() {
        let (data_dir, letters) = open_in_tempdir();
        letters.put(&letter(1, "t"), &[]).unwrap();
        let path = letters.letter_path(Uuid::from_u128(1));
        let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for new in ["tries", "last_try_at", "next_try_at", "outcome_unknown"] {
            text.as_object_mut().unwrap().remove(new);
        }
        fs::write(&path, text.to_string()).unwrap();
        assert_eq!(reopen_and_list(&data_dir), [DeadLetter { outcome_unknown: false, ..letter(1, "t") }]);
    }

    #[test]
    fn unreadable_files_are_reported_and_hide_no_letter() {
        let (_data_dir, letters) = open_in_tempdir();
        letters.put(&letter(1, "t"), &[]).unwrap();
        fs::write(letters.folder().join("x.json"), "{").unwrap();
        letters.refresh();
        let listing = letters.list();
        assert_eq!((listing.letters.len(), listing.problems.len()), (1, 1));
        assert!(letters.summary().problem.unwrap().contains("x.json: EOF"));
        letters.record_body_error(Uuid::from_u128(1), "1.native: gone".into(), Timestamp::now());
        assert!(letters.summary().problem.unwrap().ends_with("; and 1 more"));
        fs::remove_dir_all(letters.folder()).unwrap();
        letters.refresh();
        let listing = letters.list();
        assert!(
            listing.letters.len() == 1 && listing.problems.len() == 3,
            "what was known stays: {listing:?}"
        );
    }

    /// Every state that a crash can leave, by the table above.
    #[test]
    fn the_sweep_deletes_only_drafts_and_orphaned_bodies() {
        let (_data_dir, letters) = open_in_tempdir();
        letters.put(&letter(1, "t"), &[Bytes::from_static(b"kept")]).unwrap();
        fs::write(letters.body_path(Uuid::from_u128(2)), "orphan").unwrap();
        fs::write(letters.body_path(Uuid::from_u128(1)).with_extension("draft"), "of an older version")
            .unwrap();
        fs::write(letters.letter_path(Uuid::from_u128(1)).with_extension("7-0.draft"), "{").unwrap();
        fs::write(letters.folder().join("notes.txt"), "a person's").unwrap();
        fs::write(letters.body_path(Uuid::from_u128(3)), "of a letter that cannot be read").unwrap();
        fs::write(letters.letter_path(Uuid::from_u128(3)), "{").unwrap();
        assert_eq!(letters.load(), SweepReport { files: 3, bytes: 6 + 19 + 1 });
        assert_eq!(letters.load(), SweepReport::default());
        assert_eq!(letters.body(Uuid::from_u128(1)).unwrap(), "kept");
        assert!(
            letters.folder().join("notes.txt").exists() && letters.body_path(Uuid::from_u128(3)).exists()
        );
        assert_eq!(letters.summary().bytes, 4 + 31, "what cannot be read takes room, too");
    }
}
