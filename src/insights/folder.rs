//! The folder: its files are read when they change, and written when an insight or a dashboard is saved. Everything here blocks.
//!
//! A file that is not valid is reported with its line and the reason. Its previous version stays, or the built-in one of its name.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::document::{self, Document};
use super::error::InsightError;
use super::{Broken, Library, yaml};
use crate::atomic_file;
use crate::file_stamp::FileStamp;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1;

const MAX_FILE_BYTES: u64 = 256 << 10;
/// Further files of a folder, in the order of their names, are reported instead of read.
const MAX_FILES: usize = 1_000;
/// The same for files beyond this size, all together: a list has them all.
const MAX_TOTAL_BYTES: u64 = 16 << 20;
const EXTENSION: &str = "yaml";
/// Files are for everybody who can enter the folder: for an editor, for git.
const FILE_MODE: u32 = 0o644;

/// The folder and what was read from it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    properties: watch::Receiver<Arc<Properties>>,
    insights: Files<v1::Insight>,
    dashboards: Files<v1::Dashboard>,
    annotations: Files<v1::Annotation>,
    built_in: Arc<Library>,
}

/// The files of one kind.
#[derive(Debug)]
struct Files<D> {
    /// By name.
    files: BTreeMap<String, FileState<D>>,
    /// Why the folder, or a file because of its name, is not read.
    problems: Vec<Broken>,
}

/// A file that was read.
#[derive(Debug)]
struct FileState<D> {
    stamp: FileStamp,
    /// The last valid version.
    document: Option<Arc<D>>,
    broken: Option<Broken>,
}

impl<D> Default for Files<D> {
    fn default() -> Self {
        Self { files: BTreeMap::new(), problems: Vec::new() }
    }
}

impl Folder {
    pub(super) fn new(
        path: PathBuf,
        properties: watch::Receiver<Arc<Properties>>,
        built_in: Arc<Library>,
    ) -> Self {
        Self {
            path,
            properties,
            insights: Files::default(),
            dashboards: Files::default(),
            annotations: Files::default(),
            built_in,
        }
    }

    /// Reads what has changed, and returns everything.
    pub(super) fn scan(&mut self) -> Library {
        let properties = Arc::clone(&self.properties.borrow());
        self.insights.scan(&self.path, &properties);
        self.dashboards.scan(&self.path, &properties);
        self.annotations.scan(&self.path, &properties);
        let mut library = (*self.built_in).clone();
        self.insights.add_to(&mut library.insights, &mut library.broken_insights);
        self.dashboards.add_to(&mut library.dashboards, &mut library.broken_dashboards);
        self.annotations.add_to(&mut library.annotations, &mut library.broken_annotations);
        library.read_only_insights = is_read_only::<v1::Insight>(&self.path);
        library.read_only_dashboards = is_read_only::<v1::Dashboard>(&self.path);
        library.read_only_annotations = is_read_only::<v1::Annotation>(&self.path);
        library.set_version();
        library
    }

    /// Writes the file of a document that is valid, if `document.etag()` is that of the file.
    pub(super) fn save<D: Document>(&mut self, project: &Project, document: &D) -> Result<(), InsightError> {
        let name = document.name();
        let properties = Arc::clone(&self.properties.borrow());
        let text = document::render(document, &properties).map_err(|reason| {
            InsightError::Invalid(format!("the {} cannot be written as a file: {reason}", D::WORD))
        })?;
        if text.len() as u64 > MAX_FILE_BYTES {
            let bytes = text.len();
            return Err(InsightError::Invalid(format!(
                "the file would have {bytes} bytes; the maximum is {MAX_FILE_BYTES}"
            )));
        }
        let folder = self.path.join(D::FOLDER);
        let existing = self.check_version::<D>(project, name, document.etag())?;
        if existing.is_none() && !document.etag().is_empty() {
            return Err(InsightError::Deleted { word: D::WORD, name: name.to_owned() });
        }
        let not_written = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists => InsightError::ReadOnly { folder: self.path.clone(), source: error },
            _ => InsightError::Io(error),
        };
        std::fs::create_dir_all(&folder).map_err(not_written)?;
        let path = file_path(&folder, name);
        let files = list(&folder).map_err(InsightError::Io)?;
        let others = files.iter().filter(|(file, _)| !path.ends_with(file));
        let bytes: u64 = others.map(|(_, bytes)| bytes).sum();
        if existing.is_none() && files.len() >= MAX_FILES || bytes + text.len() as u64 > MAX_TOTAL_BYTES {
            return Err(InsightError::Full { folder, max_files: MAX_FILES, max_bytes: MAX_TOTAL_BYTES });
        }
        atomic_file::replace_with_mode(&path, [text], FILE_MODE).map_err(not_written)
    }

    /// Deletes the file of a document, if `etag` is its.
    pub(super) fn delete<D: Document>(
        &mut self,
        project: &Project,
        name: &str,
        etag: &str,
    ) -> Result<(), InsightError> {
        let folder = self.path.join(D::FOLDER);
        let word = D::WORD;
        if self.check_version::<D>(project, name, etag)?.is_none() {
            let name = name.to_owned();
            return Err(match D::of(&self.built_in).contains_key(&name) || super::is_computed::<D>(&name) {
                true => InsightError::BuiltIn { word, name },
                false if etag.is_empty() => InsightError::NotFound { word, name },
                false => InsightError::Deleted { word, name },
            });
        }
        std::fs::remove_file(file_path(&folder, name)).and_then(|()| atomic_file::sync_dir(&folder)).map_err(
            |error| match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    InsightError::ReadOnly { folder: self.path.clone(), source: error }
                }
                _ => InsightError::Io(error),
            },
        )
    }

    /// The etag of a file that the project may change; `None` without a file.
    ///
    /// # Errors
    /// It is not the given one, or the file is for another project.
    fn check_version<D: Document>(
        &self,
        project: &Project,
        name: &str,
        etag: &str,
    ) -> Result<Option<String>, InsightError> {
        document::check_name(name).map_err(InsightError::Invalid)?;
        let path = file_path(&self.path.join(D::FOLDER), name);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(InsightError::Io(error)),
        };
        let owner = project_of(&bytes);
        if owner.is_some_and(|owner| owner != project.as_str()) {
            return Err(InsightError::Taken { name: name.to_owned() });
        }
        let (word, name) = (D::WORD, name.to_owned());
        let current = etag_of(&bytes);
        match etag {
            "" => Err(InsightError::VersionRequired { word, name }),
            etag if etag != current => Err(InsightError::Changed { word, name }),
            _ => Ok(Some(current)),
        }
    }
}

impl<D: Document> Files<D> {
    fn scan(&mut self, root: &Path, properties: &Properties) {
        let folder = root.join(D::FOLDER);
        let broken = |file: &str, message: String| {
            let file = format!("{}/{file}", D::FOLDER);
            Broken::new(v1::BrokenInsightFile { file, message, ..Default::default() }, None)
        };
        let mut problems = Vec::new();
        let files = match list(&folder) {
            Ok(files) => files,
            Err(error) => {
                let message = format!("MILLRACE_INSIGHTS_DIR: the folder cannot be read: {error}");
                return self.set_problems(vec![broken("", message)]);
            }
        };
        let (mut files, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, _)| {
            file.strip_suffix(".yaml").is_some_and(|name| document::check_name(name).is_ok())
        });
        for (file, _) in others.iter().take(MAX_FILES) {
            let reason =
                "the file's name is invalid; expected 1 to 64 of a-z, 0-9, \"_\" and \"-\" before .yaml";
            problems.push(broken(file, reason.to_owned()));
        }
        let mut total = 0;
        let fitting = files.iter().take(MAX_FILES).take_while(|(_, bytes)| {
            total += bytes;
            total <= MAX_TOTAL_BYTES
        });
        let fitting = fitting.count();
        if fitting < files.len() {
            let count = files.len();
            problems.push(broken(
                "",
                format!(
                    "the folder has {count} files; only the first {fitting} by name are available: the maximum is {MAX_FILES} files \
                     and {MAX_TOTAL_BYTES} bytes"
                ),
            ));
            files.truncate(fitting);
        }
        let mut found = BTreeMap::new();
        for (file, _) in &files {
            // Deleted since the listing.
            let Some(stamp) = FileStamp::of(&folder.join(file)) else { continue };
            found.insert(file.trim_end_matches(".yaml").to_owned(), stamp);
        }
        self.files.retain(|name, _| found.contains_key(name));
        for (name, stamp) in found {
            if self.files.get(&name).is_none_or(|file| file.stamp != stamp) {
                self.load(&folder, name, stamp, properties);
            }
        }
        self.set_problems(problems);
    }

    fn load(&mut self, folder: &Path, name: String, stamp: FileStamp, properties: &Properties) {
        let previous = self.files.get(&name).and_then(|file| file.document.clone());
        let state = match load::<D>(folder, &name, properties) {
            Ok(document) => {
                tracing::info!(kind = D::WORD, name, "loaded");
                FileState { stamp, document: Some(Arc::new(document)), broken: None }
            }
            Err(broken) => {
                let v1::BrokenInsightFile { file, line, message, .. } = &broken.file;
                tracing::warn!(file, line, reason = message, "file is broken");
                FileState { stamp, document: previous, broken: Some(broken) }
            }
        };
        self.files.insert(name, state);
    }

    fn set_problems(&mut self, problems: Vec<Broken>) {
        if self.problems != problems {
            for Broken { file, .. } in &problems {
                tracing::warn!(file = file.file, reason = file.message, "file is not read");
            }
            self.problems = problems;
        }
    }

    fn add_to(&self, documents: &mut BTreeMap<String, Arc<D>>, broken: &mut Vec<Broken>) {
        for (name, file) in &self.files {
            if let Some(document) = &file.document {
                documents.insert(name.clone(), Arc::clone(document));
            }
            broken.extend(file.broken.clone());
        }
        broken.extend(self.problems.iter().cloned());
    }
}

/// Reads and checks a file.
fn load<D: Document>(folder: &Path, name: &str, properties: &Properties) -> Result<D, Broken> {
    let broken = |line, message, etag, project| {
        let file = format!("{}/{name}.{EXTENSION}", D::FOLDER);
        Broken::new(v1::BrokenInsightFile { file, line, message, etag }, project)
    };
    let bytes = read(&file_path(folder, name))
        .map_err(|error| broken(0, format!("the file cannot be read: {error}"), String::new(), None))?;
    let (etag, project) = (etag_of(&bytes), project_of(&bytes));
    let of_file = |line, message| broken(line, message, etag.clone(), project.clone());
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(of_file(
            0,
            format!("the file has more than {MAX_FILE_BYTES} bytes, which is the maximum"),
        ));
    }
    let text =
        str::from_utf8(&bytes).map_err(|error| of_file(0, format!("the file is not UTF-8: {error}")))?;
    let parsed = document::parse::<D>(text, properties);
    let mut document = parsed.map_err(|problem| of_file(problem.line, problem.message))?;
    document.set_origin(name, &etag, false);
    Ok(document)
}

/// The contents of a file, but at most one byte more than allowed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Identifies the contents of a file.
fn etag_of(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The project of a file, also if the rest of it is not valid.
fn project_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let project =
        match yaml::parse(&text).ok().map(|root| root.get("project").map(|entry| entry.value.clone())) {
            Some(node) => node.filter(|node| !node.is_null()).and_then(|node| match node.value {
                yaml::Value::Plain(project) | yaml::Value::Quoted(project) => Some(project),
                yaml::Value::List(_) | yaml::Value::Map(_) => None,
            }),
            None => text.lines().find_map(|line| Some(line.strip_prefix("project:")?.trim().to_owned())),
        };
    project.filter(|project| !project.is_empty())
}

fn file_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}

/// The files of a folder that are meant to be read, with their sizes, sorted. A missing folder counts as an empty one.
fn list(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_meant = path.extension().is_some_and(|extension| extension == EXTENSION || extension == "yml");
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        // Deleted since read_dir. Links are followed: a mounted configuration consists of them.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if is_meant && metadata.is_file() && !name.starts_with('.') {
            files.push((name, metadata.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn is_read_only<D: Document>(root: &Path) -> bool {
    check_writable(&root.join(D::FOLDER)).is_err()
}

/// Whether files can be written to a folder, or the folder can be created.
fn check_writable(folder: &Path) -> io::Result<()> {
    let mut at = folder;
    while at.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        at = match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
    }
    if !std::fs::metadata(at)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    use rustix::fs::Access;
    Ok(rustix::fs::access(at, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "title: x\ntrend: {series: [{}]}\n";

    /// A folder with these files, of which the server has none.
    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("insights")).unwrap();
        for (name, text) in files {
            std::fs::write(root.path().join("insights").join(name), text).unwrap();
        }
        let (_, properties) = watch::channel(Arc::new(Properties::built_in()));
        let folder = Folder::new(root.path().to_owned(), properties, Arc::default());
        (root, folder)
    }

    #[test]
    fn what_cannot_be_read_is_reported() {
        let large = format!("{FILE}#{}", " ".repeat(256 << 10));
        let (root, mut folder) = folder(&[
            ("a.yaml", FILE),
            ("b.yaml", &large),
            ("c d.yaml", FILE),
            ("e.yml", FILE),
            (".f.yaml", FILE),
            ("g.draft", FILE),
        ]);
        std::fs::write(root.path().join("insights/h.yaml"), b"title: \xff").unwrap();
        std::fs::create_dir(root.path().join("insights/i.yaml")).unwrap();
        let library = folder.scan();
        assert_eq!(library.insights.keys().collect::<Vec<_>>(), ["a"]);
        let broken: Vec<_> = library
            .broken_insights
            .iter()
            .map(|broken| (&*broken.file.file, &*broken.file.message))
            .collect();
        let parts = [
            ("insights/b.yaml", "more than 262144 bytes"),
            ("insights/h.yaml", "not UTF-8"),
            ("insights/c d.yaml", "the file's name is invalid"),
            ("insights/e.yml", "the file's name is invalid"),
        ];
        assert_eq!(broken.len(), parts.len(), "{broken:?}");
        for ((file, message), (expected, part)) in broken.iter().zip(parts) {
            assert!(*file == expected && message.contains(part), "{file}: {message}");
        }
    }

    #[test]
    fn the_files_of_a_folder_are_bounded() {
        let (root, mut folder) = folder(&[]);
        for number in 0..=MAX_FILES {
            std::fs::write(root.path().join(format!("insights/n{number:04}.yaml")), FILE).unwrap();
        }
        let library = folder.scan();
        assert_eq!((library.insights.len(), library.broken_insights.len()), (MAX_FILES, 1));
        assert!(library.broken_insights[0].file.message.contains("only the first 1000 by name"));
        let mut insight = (*library.insights["n0000"]).clone();
        insight.set_origin("new", "", false);
        let error = folder.save(&Project::default(), &insight).unwrap_err().to_string();
        assert!(error.contains("delete one first"), "{error}");
        // A file that is there can still be changed.
        insight.set_origin("n0000", &library.insights["n0000"].etag, false);
        folder.save(&Project::default(), &insight).unwrap();
    }

    #[test]
    fn a_file_is_of_its_project_also_if_it_is_not_valid() {
        for (text, project) in [
            ("title: x", None),
            ("project:", None),
            ("project: null", None),
            ("title: x\nproject: shop", Some("shop")),
            ("{\"project\": \"shop\"}", Some("shop")),
            ("title: [\nproject: shop", Some("shop")),
            ("title: x\ntrend: {project: shop}", None),
        ] {
            assert_eq!(project_of(text.as_bytes()).as_deref(), project, "{text}");
        }
    }
}
