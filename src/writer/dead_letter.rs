//! The folder of dead-lettered batches: those that could not be inserted into ClickHouse.
//!
//! A dead letter is two files: the body `ID.native`, which is the body of the INSERT, and the letter `ID.json` with its
//! metadata. The letter is written last; a body without a letter does not count. Both are synced before the journal releases
//! the batch. Body and id are those of the sealed batch, so a replay can recognize it by its
//! token or by the column `batch`.
//!
//! A letter is either *waiting* (the replayer retries it when its next attempt is due) or *rejected* (ClickHouse does not
//! accept its contents, or too many attempts failed; a person examines it and runs `millrace dead-letters replay`).
//!
//! # Crash safety
//!
//! Each step is durable before the next one starts, so every state that a crash can leave is unambiguous:
//!
//! | last completed step | left in the folder | the batch is |
//! | --- | --- | --- |
//! | `put` 1: write `ID.native` | a body without a letter | still in the journal, which releases it only after `put` |
//! | `put` 2: write `ID.json` | a letter with its body | this letter |
//! | `remove` 1: delete `ID.json` | a body without a letter | in ClickHouse: `remove` is called only then |
//! | `remove` 2: delete `ID.native` | nothing | in ClickHouse |
//!
//! A body without a letter is therefore never the only copy. [`DeadLetters::load`] deletes such bodies at startup, before
//! anything is written, together with temporary files (`*.draft`). No crash leaves a letter without a body: such a letter
//! stays and is reported.
//!
//! # The index
//!
//! All handles of a process share one index in memory, so that listing and counting letters costs no disk access. A change
//! by this process updates disk and index together. [`DeadLetters::refresh`] finds changes by other processes and people.
//!
//! Functions block on the disk unless their documentation says that they read the index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::atomic_file::{self, with_path};

/// A next attempt further in the future is due now: the clock was set back, or the letter was edited by hand.
const MAX_ATTEMPT_DELAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// The metadata of a dead-lettered batch, as `ID.json` holds it. Fields keep the JSON keys of earlier versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeadLetter {
    /// The id of the batch, which is also its deduplication token.
    pub batch_id: Uuid,
    /// When the batch was dead-lettered, as RFC 3339.
    #[serde(rename = "set_aside_at")]
    pub dead_lettered_at: String,
    /// When its oldest event was received, in milliseconds since 1970 UTC. Earlier versions did not store it.
    #[serde(default)]
    pub received_at_ms: Option<i64>,
    /// The message of the last error.
    pub reason: String,
    /// ClickHouse's error code; `None` if ClickHouse did not respond.
    pub code: Option<i32>,
    /// Number of events in the batch.
    pub events: u64,
    /// Size of the body.
    pub bytes: u64,
    /// Whether the replayer skips the letter until a person requeues it.
    #[serde(rename = "refused")]
    pub rejected: bool,
    /// Failed attempts whose error the batch itself may have caused, since it was dead-lettered or last requeued.
    #[serde(default, rename = "tries")]
    pub attempts: u32,
    /// Time of the last attempt since then, counted or not, as RFC 3339.
    #[serde(default, rename = "last_try_at")]
    pub last_attempt_at: Option<String>,
    /// When the next attempt is due, as RFC 3339; `None` means now.
    #[serde(default, rename = "next_try_at")]
    pub next_attempt_at: Option<String>,
    /// Whether an insert may have ended without a response, so that ClickHouse may hold the batch or a part of it. Later
    /// failures do not clear it. Set before each attempt; an attempt that gets a response restores the earlier value.
    #[serde(default)]
    pub outcome_unknown: bool,
    /// The shard of ClickHouse that gets the batch, from 0.
    #[serde(default)]
    pub shard: u32,
}

impl DeadLetter {
    /// A copy without attempts: waiting, and due now.
    pub(crate) fn untried(&self) -> Self {
        Self { rejected: false, attempts: 0, last_attempt_at: None, next_attempt_at: None, ..self.clone() }
    }

    /// When its oldest event was received, or at the latest, in milliseconds since 1970 UTC.
    fn oldest_event_ms(&self) -> Option<i64> {
        let dead_lettered_at = || self.dead_lettered_at.parse::<Timestamp>().ok();
        self.received_at_ms.or_else(|| dead_lettered_at().map(Timestamp::as_millisecond))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let next: Option<Timestamp> = self.next_attempt_at.as_ref().and_then(|text| text.parse().ok());
        !self.rejected && next.is_none_or(|next| next <= now || next.duration_since(now) > MAX_ATTEMPT_DELAY)
    }
}

/// All letters, and the files that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadLetterListing {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
    /// Paths and errors of the files that cannot be read. They may hold events.
    pub problems: Vec<String>,
}

/// Totals over all letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadLetterSummary {
    /// Number of letters, waiting or rejected.
    pub letters: u64,
    /// Number of rejected letters.
    pub rejected: u64,
    /// Events in all letters.
    pub events: u64,
    /// Size of all bodies, including those of unreadable letters.
    pub bytes: u64,
    /// When the oldest of these events was received, in milliseconds since 1970 UTC.
    pub oldest_event_ms: Option<i64>,
    /// The error of the waiting letter with the most recent attempt.
    pub last_error: Option<String>,
    /// Path and error of the first unreadable file, and how many others there are.
    pub problem: Option<String>,
}

/// What [`DeadLetters::load`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SweepReport {
    /// Number of files.
    pub files: u64,
    /// Total size of these files.
    pub bytes: u64,
}

/// The folder `dead-letters` of a data folder. Cheap to clone; clones share the index.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Held while the folder is changed or scanned, so that a scan misses no change of this process.
    disk: Mutex<()>,
    /// Never held during disk access, so that readers of the index do not wait for the disk.
    index: Mutex<LetterIndex>,
}

#[derive(Debug, Default)]
struct LetterIndex {
    letters: BTreeMap<Uuid, IndexEntry>,
    /// Paths and sizes of the `ID.native` files.
    bodies: BTreeMap<PathBuf, u64>,
    /// Paths and errors of the last scan.
    unreadable: BTreeMap<PathBuf, String>,
}

#[derive(Debug)]
struct IndexEntry {
    letter: DeadLetter,
    /// The version of `ID.json` that holds `letter`; `None` if it is unknown.
    version: Option<FileVersion>,
    /// Why the last attempt could not read the body.
    body_error: Option<String>,
}

/// Tells versions of a file apart: every update replaces the file with a new inode.
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
    /// Creates the folder if it is missing. The index is empty until [`Self::load`] or [`Self::refresh`].
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("dead-letters");
        fs::create_dir_all(&folder).map_err(|error| with_path(&folder, error))?;
        Ok(Self(Arc::new(Inner { folder, disk: Mutex::default(), index: Mutex::default() })))
    }

    /// Absolute or relative, as the data folder was given.
    pub(crate) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Deletes the remains of a crash and fills the index. Only for the process that holds the lock of the data folder,
    /// before its first [`Self::put`].
    pub(crate) fn load(&self) -> SweepReport {
        let disk = self.lock_disk();
        let swept = self.sweep().unwrap_or_default(); // the scan reports an unreadable folder
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
                Some(atomic_file::TEMPORARY_EXTENSION) => true,
                // `try_exists`: if the letter cannot be checked, the body stays.
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
                    tracing::warn!(file = %path.display(), %error, "cannot delete a leftover dead-letter file");
                }
            }
        }
        Ok(swept)
    }

    /// Updates the index from the folder. Reads only letters that are new or changed.
    pub(crate) fn refresh(&self) {
        let _disk = self.lock_disk();
        let scan = self.scan();
        let mut index = self.lock_index();
        match scan {
            Ok(scan) => {
                index.letters.retain(|id, _| scan.present.contains(id));
                for (letter, version) in scan.changed {
                    let entry = IndexEntry { version: Some(version), body_error: None, letter };
                    index.letters.insert(entry.letter.batch_id, entry);
                }
                (index.bodies, index.unreadable) = (scan.bodies, scan.unreadable);
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
        let mut scan = FolderScan::default();
        for entry in fs::read_dir(self.folder())? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some("json" | "native")) {
                continue;
            }
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed meanwhile
                Err(error) => {
                    scan.unreadable.insert(path, error.to_string());
                    continue;
                }
            };
            if extension == Some("native") {
                scan.bodies.insert(path, metadata.len());
                continue;
            }
            let version = FileVersion::of(&metadata);
            let id_in_name: Option<Uuid> =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let Some(id) = id_in_name.filter(|id| known.get(id) == Some(&version)) {
                scan.present.insert(id);
                continue;
            }
            let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<DeadLetter>(&text)?));
            match read {
                Ok(letter) if id_in_name == Some(letter.batch_id) => {
                    scan.present.insert(letter.batch_id);
                    scan.changed.push((letter, version));
                }
                Ok(letter) => {
                    let reason = format!("the file name does not match its batch_id {}", letter.batch_id);
                    scan.unreadable.insert(path, reason);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    scan.unreadable.insert(path, error.to_string());
                }
            }
        }
        Ok(scan)
    }

    /// Reads the index.
    pub(crate) fn list(&self) -> DeadLetterListing {
        let index = self.lock_index();
        let mut letters: Vec<_> = index.letters.values().map(|entry| entry.letter.clone()).collect();
        letters.sort_by(|a, b| (&a.dead_lettered_at, a.batch_id).cmp(&(&b.dead_lettered_at, b.batch_id)));
        DeadLetterListing { letters, problems: index.problems() }
    }

    /// Reads the index.
    pub(crate) fn summary(&self) -> DeadLetterSummary {
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
            oldest_event_ms: letters().filter_map(DeadLetter::oldest_event_ms).min(),
            last_error: attempted
                .max_by_key(|letter| &letter.last_attempt_at)
                .map(|letter| letter.reason.clone()),
            problem: problems.pop().map(|first| match more {
                0 => first,
                more => format!("{first}; and {more} more"),
            }),
        }
    }

    /// The oldest letter whose next attempt is due. Reads the index.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<DeadLetter> {
        let index = self.lock_index();
        let due = index.letters.values().map(|entry| &entry.letter).filter(|letter| letter.is_due(now));
        due.min_by_key(|letter| (&letter.dead_lettered_at, letter.batch_id)).cloned()
    }

    /// Stores a batch. On success it survives a power cut.
    pub(crate) fn put(&self, letter: &DeadLetter, body: &[Bytes]) -> io::Result<()> {
        let _disk = self.lock_disk();
        let path = self.body_path(letter.batch_id);
        atomic_file::replace(&path, body)?;
        self.lock_index().bodies.insert(path, body.iter().map(|part| part.len() as u64).sum());
        self.write_letter(letter)
    }

    /// Replaces the metadata of a letter. The index is updated even if the write fails.
    pub(crate) fn update(&self, letter: DeadLetter) -> io::Result<()> {
        let _disk = self.lock_disk();
        if let Some(entry) = self.lock_index().letters.get_mut(&letter.batch_id) {
            entry.letter = letter.clone();
            entry.body_error = None;
        }
        self.write_letter(&letter)
    }

    /// Records, in the index only, that the body of a letter cannot be read, and when the next attempt is due.
    pub(crate) fn record_body_error(&self, batch_id: Uuid, error: String, next_attempt: Timestamp) {
        if let Some(entry) = self.lock_index().letters.get_mut(&batch_id) {
            entry.letter.next_attempt_at = Some(next_attempt.to_string());
            entry.body_error = Some(error);
        }
    }

    /// Resets the attempts of a letter and makes it due now, also if it was rejected. Does nothing if the letter is gone:
    /// another process may have replayed it. Its current state is read first, which that process may have changed.
    pub(crate) fn requeue(&self, batch_id: Uuid) -> io::Result<()> {
        let path = self.letter_path(batch_id);
        let letter: DeadLetter = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| with_path(&path, error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(with_path(&path, error)),
        };
        self.update(letter.untried())
    }

    /// Reads the body of a letter.
    pub(crate) fn body(&self, batch_id: Uuid) -> io::Result<Bytes> {
        let path = self.body_path(batch_id);
        fs::read(&path).map(Bytes::from).map_err(|error| with_path(&path, error))
    }

    /// Deletes a letter whose batch has landed. The landed rows must be synced.
    pub(crate) fn remove(&self, batch_id: Uuid) -> io::Result<()> {
        let _disk = self.lock_disk();
        let letter = self.letter_path(batch_id);
        fs::remove_file(&letter).map_err(|error| with_path(&letter, error))?;
        self.lock_index().letters.remove(&batch_id);
        // Without this sync, a power cut could keep the letter and lose the body.
        self.sync_folder()?;
        let body = self.body_path(batch_id);
        fs::remove_file(&body).map_err(|error| with_path(&body, error))?;
        self.lock_index().bodies.remove(&body);
        self.sync_folder()
    }

    fn write_letter(&self, letter: &DeadLetter) -> io::Result<()> {
        let path = self.letter_path(letter.batch_id);
        atomic_file::replace(&path, [serde_json::to_vec_pretty(letter)?])?;
        let version = fs::metadata(&path).ok().map(|metadata| FileVersion::of(&metadata));
        let entry = IndexEntry { letter: letter.clone(), version, body_error: None };
        self.lock_index().letters.insert(letter.batch_id, entry);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        atomic_file::sync_dir(self.folder()).map_err(|error| with_path(self.folder(), error))
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

#[derive(Default)]
struct FolderScan {
    /// Every readable letter, including those in `changed`.
    present: BTreeSet<Uuid>,
    /// Letters whose file differs from the index.
    changed: Vec<(DeadLetter, FileVersion)>,
    bodies: BTreeMap<PathBuf, u64>,
    unreadable: BTreeMap<PathBuf, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(n: u128, dead_lettered_at: &str) -> DeadLetter {
        DeadLetter {
            batch_id: Uuid::from_u128(n),
            dead_lettered_at: dead_lettered_at.into(),
            received_at_ms: None,
            reason: "no response".into(),
            code: None,
            events: 3,
            bytes: 5,
            rejected: false,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown: true,
            shard: 0,
        }
    }

    fn open_in_tempdir() -> (tempfile::TempDir, DeadLetters) {
        let data_dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(data_dir.path()).unwrap();
        (data_dir, letters)
    }

    /// Lists the letters as another process would.
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
        person.requeue(person.list().letters[0].batch_id).unwrap();
        person.requeue(Uuid::from_u128(99)).unwrap();
        assert!(
            !person.letter_path(Uuid::from_u128(99)).exists(),
            "a letter that was replayed meanwhile stays gone"
        );
        person.remove(Uuid::from_u128(2)).unwrap();
        assert_eq!(server.summary().rejected, 1, "the index is not refreshed yet");
        server.refresh();
        let listed = server.list().letters;
        assert!(listed.len() == 1 && !listed[0].rejected && listed[0].attempts == 0, "{listed:?}");
    }

    #[test]
    fn the_oldest_due_letter_is_returned_first() {
        let (_data_dir, letters) = open_in_tempdir();
        let now: Timestamp = "2026-01-03T00:00:00Z".parse().unwrap();
        let at = |next: &str, n, dead_lettered_at: &str| DeadLetter {
            next_attempt_at: Some(next.into()),
            ..letter(n, dead_lettered_at)
        };
        letters.put(&at("2026-01-03T00:00:01Z", 1, "a"), &[]).unwrap();
        letters.put(&DeadLetter { rejected: true, ..letter(2, "b") }, &[]).unwrap();
        assert_eq!(letters.next_due(now), None);
        letters.put(&at("2026-01-02T23:59:59Z", 3, "d"), &[]).unwrap();
        letters.put(&at("2027-01-01T00:00:00Z", 4, "c"), &[]).unwrap();
        assert_eq!(
            letters.next_due(now).map(|letter| letter.batch_id),
            Some(Uuid::from_u128(4)),
            "an attempt in a year is due now"
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
            "known letters stay listed: {listing:?}"
        );
    }

    /// Covers every state in the table "Crash safety".
    #[test]
    fn the_sweep_deletes_only_temporary_files_and_orphaned_bodies() {
        let (_data_dir, letters) = open_in_tempdir();
        letters.put(&letter(1, "t"), &[Bytes::from_static(b"kept")]).unwrap();
        fs::write(letters.body_path(Uuid::from_u128(2)), "orphan").unwrap();
        fs::write(letters.body_path(Uuid::from_u128(1)).with_extension("draft"), "by an older version")
            .unwrap();
        fs::write(letters.letter_path(Uuid::from_u128(1)).with_extension("json.7f00.draft"), "{").unwrap();
        fs::write(letters.folder().join("notes.txt"), "by a person").unwrap();
        fs::write(letters.body_path(Uuid::from_u128(3)), "body of an unreadable letter").unwrap();
        fs::write(letters.letter_path(Uuid::from_u128(3)), "{").unwrap();
        assert_eq!(letters.load(), SweepReport { files: 3, bytes: 6 + 19 + 1 });
        assert_eq!(letters.load(), SweepReport::default());
        assert_eq!(letters.body(Uuid::from_u128(1)).unwrap(), "kept");
        assert!(
            letters.folder().join("notes.txt").exists() && letters.body_path(Uuid::from_u128(3)).exists()
        );
        assert_eq!(letters.summary().bytes, 4 + 28, "bodies of unreadable letters are counted");
    }
}
