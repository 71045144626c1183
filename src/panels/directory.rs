//! The panels folder: its files are loaded at the start and whenever they change.
//!
//! A file becomes a panel when it has passed the sandbox and ClickHouse has executed it. A file that fails is reported with
//! its line and the reason. The previous version of the panel stays, or the built-in panel of the same name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalog::{self, BrokenPanel, Catalog, Panel};
use super::check::{CheckError, check};
use super::query::{PanelQuery, Panels};

/// How often the folder is scanned. A scan is one `stat` per file. Unlike inotify, it also works on network drives and
/// container mounts.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// How long the start of the server waits for the first scan. ClickHouse may be unreachable.
const FIRST_SCAN_TIMEOUT: Duration = Duration::from_secs(5);
/// Larger files are rejected.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// Further files, in the order of their names, are ignored and reported.
const MAX_FILES: usize = 500;
/// Delay before a file is retried that ClickHouse was too busy to execute.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Modification time and size: a file is loaded again when they change.
type FileVersion = (SystemTime, u64);

/// Keeps the catalog up to date with the panels folder.
pub(crate) struct DirectoryWatcher {
    path: PathBuf,
    panels: Panels,
    catalog: watch::Sender<Arc<Catalog>>,
    built_in: Catalog,
    /// By panel name.
    files: BTreeMap<String, FileState>,
    /// Why the folder cannot be read.
    directory_error: Option<BrokenPanel>,
}

/// The result of loading a file.
struct FileState {
    version: FileVersion,
    /// Whether the last scan did not find it.
    missing: bool,
    /// When an unchanged file is loaded again, after an error that may be temporary.
    retry_at: Option<Instant>,
    /// The last usable version. `None` if there was none, or if the file equals the built-in panel.
    panel: Option<Arc<Panel>>,
    broken: Option<BrokenPanel>,
}

impl DirectoryWatcher {
    /// Starts the task that updates `catalog` until `stop` is cancelled. Returns when the folder has been scanned once, so that
    /// the first clients find its panels, but after [`FIRST_SCAN_TIMEOUT`] at the latest.
    ///
    /// `catalog` initially holds the built-in panels, and `panels` must read from it.
    pub(crate) async fn start(
        path: PathBuf,
        panels: Panels,
        catalog: watch::Sender<Arc<Catalog>>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let (first_scan, scanned) = oneshot::channel();
        let task = tokio::spawn(Self::new(path, panels, catalog).run(first_scan, stop));
        if tokio::time::timeout(FIRST_SCAN_TIMEOUT, scanned).await.is_err() {
            tracing::warn!("the panels folder is not loaded yet; its panels become available later");
        }
        task
    }

    fn new(path: PathBuf, panels: Panels, catalog: watch::Sender<Arc<Catalog>>) -> Self {
        let built_in = (**catalog.borrow()).clone();
        Self { path, panels, catalog, built_in, files: BTreeMap::new(), directory_error: None }
    }

    /// Scans the folder every second until `stop` is cancelled.
    async fn run(mut self, first_scan: oneshot::Sender<()>, stop: CancellationToken) {
        let mut first_scan = Some(first_scan);
        let mut ticks = tokio::time::interval(SCAN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // Not cancelled, so that its blocking task is always joined.
            let found = self.list_files().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.apply(found) => {}
            }
            if let Some(first_scan) = first_scan.take() {
                // The receiver is gone after its timeout.
                first_scan.send(()).ok();
            }
        }
    }

    async fn list_files(&self) -> io::Result<BTreeMap<String, FileVersion>> {
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || list_sql_files(&path)).await;
        found.map_err(io::Error::other).flatten()
    }

    /// Loads new and changed files, and publishes the catalog if it has changed.
    async fn apply(&mut self, found: io::Result<BTreeMap<String, FileVersion>>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.report_directory_error(&error),
        };
        let mut changed = self.directory_error.take().is_some();
        let count = self.files.len();
        // An editor may remove a file before it renames the new one into place. Only two scans in a row that miss a file remove
        // its panel, because that ends all of its subscriptions.
        self.files.retain(|name, file| {
            let missing = !found.contains_key(name);
            let was_missing = std::mem::replace(&mut file.missing, missing);
            !(missing && was_missing)
        });
        changed |= self.files.len() != count;
        for (name, version) in found {
            let now = Instant::now();
            let is_current = |file: &FileState| {
                file.version == version && file.retry_at.is_none_or(|retry_at| retry_at > now)
            };
            if !self.files.get(&name).is_some_and(is_current) {
                changed |= self.load(name, version).await;
            }
        }
        if changed {
            self.publish();
        }
    }

    /// Loads a file. Returns false if nothing has changed because ClickHouse is unreachable; the next scan retries.
    async fn load(&mut self, name: String, version: FileVersion) -> bool {
        let previous = self.files.get(&name).and_then(|file| file.panel.clone());
        let (panel, broken, retry_at) = match self.read_panel(&name, version.1).await {
            Ok(panel) => (panel.map(Arc::new), None, None),
            Err(LoadError::Unavailable) => return false,
            Err(LoadError::Transient(broken)) => (previous, Some(broken), Some(Instant::now() + RETRY_DELAY)),
            Err(LoadError::Permanent(broken)) => (previous, Some(broken), None),
        };
        match (&broken, &panel) {
            (Some(broken), _) => tracing::warn!(
                panel = name,
                line = broken.line,
                reason = broken.message,
                "panel file is broken"
            ),
            (None, Some(_)) => tracing::info!(panel = name, "panel loaded"),
            (None, None) => {}
        }
        self.files.insert(name, FileState { version, missing: false, retry_at, panel, broken });
        true
    }

    /// Reads, checks and executes a file. Returns `None` if it equals the built-in panel of its name.
    async fn read_panel(&self, name: &str, bytes: u64) -> Result<Option<Panel>, LoadError> {
        let broken =
            |line, message| LoadError::Permanent(BrokenPanel { file: format!("{name}.sql"), line, message });
        if bytes > MAX_FILE_BYTES {
            return Err(broken(0, format!("the file has {bytes} bytes; the maximum is {MAX_FILE_BYTES}")));
        }
        let text = match tokio::fs::read_to_string(self.path.join(format!("{name}.sql"))).await {
            Ok(text) => text,
            // Deleted since the scan; the next scans remove the panel.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoadError::Unavailable),
            Err(error) => return Err(broken(0, format!("the file cannot be read: {error}"))),
        };
        let panel = catalog::parse(name, &text).map_err(LoadError::Permanent)?;
        let built_in = self.built_in.panels.get(name);
        if built_in.is_some_and(|built_in| built_in.sql == panel.sql) {
            return Ok(None);
        }
        let result = check(&self.panels, &panel, &text, &PanelQuery::with_defaults(name)).await?;
        if built_in.is_some() {
            // The typed calls of the built-in panel read its columns.
            self.panels.check_result(&result).map_err(|error| broken(0, error.to_string()))?;
        }
        Ok(Some(Panel { comparable: result.frame.is_comparable(), ..panel }))
    }

    fn report_directory_error(&mut self, error: &io::Error) {
        let broken = Some(BrokenPanel {
            file: self.path.display().to_string(),
            line: 0,
            message: format!("MILLRACE_PANELS_DIR: the folder cannot be read: {error}"),
        });
        if self.directory_error != broken {
            tracing::warn!(%error, "panels folder is unreadable; keeping the loaded panels");
            self.directory_error = broken;
            self.publish();
        }
    }

    fn publish(&self) {
        let mut catalog = self.built_in.clone();
        for (name, file) in self.files.iter().take(MAX_FILES) {
            if let Some(panel) = &file.panel {
                catalog.panels.insert(name.clone(), Arc::clone(panel));
            }
            catalog.broken.extend(file.broken.clone());
        }
        catalog.broken.extend(self.directory_error.clone());
        if self.files.len() > MAX_FILES {
            catalog.broken.push(BrokenPanel {
                file: self.path.display().to_string(),
                line: 0,
                message: format!(
                    "the folder has {} panels; only the first {MAX_FILES} by name are available",
                    self.files.len()
                ),
            });
        }
        self.catalog.send_if_modified(|current| {
            let changed = **current != catalog;
            *current = Arc::new(catalog);
            changed
        });
    }
}

/// Why a file is not a panel.
enum LoadError {
    /// ClickHouse is unreachable, or the file has been deleted.
    Unavailable,
    /// ClickHouse cannot execute it now.
    Transient(BrokenPanel),
    /// It fails until it is changed.
    Permanent(BrokenPanel),
}

impl From<CheckError> for LoadError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Unavailable(_) => Self::Unavailable,
            CheckError::Transient(broken) => Self::Transient(broken),
            CheckError::Permanent(broken) => Self::Permanent(broken),
        }
    }
}

/// The `.sql` files of a folder, by name without the extension. Hidden files are ignored. A missing folder counts as an empty
/// one.
fn list_sql_files(directory: &Path) -> io::Result<BTreeMap<String, FileVersion>> {
    let mut found = BTreeMap::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.starts_with('.'));
        let (Some(name), true) = (name, path.extension().is_some_and(|extension| extension == "sql")) else {
            continue;
        };
        // Deleted since read_dir.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_file() {
            found.insert(name.to_owned(), (metadata.modified()?, metadata.len()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::PanelSources;
    use super::*;
    use crate::clickhouse::ClickHouse;

    #[tokio::test]
    async fn a_panel_is_removed_when_two_scans_in_a_row_miss_its_file() {
        let (catalog_sender, catalog) = watch::channel(Arc::new(Catalog::built_in().unwrap()));
        let (_, endpoint) = watch::channel(None);
        let panels = Panels::new(
            ClickHouse::new(endpoint, "millrace"),
            PanelSources::default(),
            Duration::ZERO,
            catalog.clone(),
            |_| Ok(()),
        );
        let mut watcher = DirectoryWatcher::new(PathBuf::from("panels"), panels, catalog_sender);
        // ClickHouse is unreachable, so a file could not be loaded.
        let version = (SystemTime::UNIX_EPOCH, 1);
        let panel = catalog::parse("mine", "-- title: x\n-- chart: line\nSELECT 1").unwrap();
        let panel = Some(Arc::new(panel));
        let file = FileState { version, missing: false, retry_at: None, panel, broken: None };
        watcher.files.insert("mine".into(), file);
        watcher.publish();
        let present = || Ok(BTreeMap::from([("mine".to_owned(), version)]));
        for (scan, listed) in [
            (Ok(BTreeMap::new()), true),
            (present(), true),
            (Ok(BTreeMap::new()), true),
            (Err(io::ErrorKind::PermissionDenied.into()), true),
            (Ok(BTreeMap::new()), false),
        ] {
            watcher.apply(scan).await;
            assert_eq!(catalog.borrow().panels.contains_key("mine"), listed);
        }
    }

    #[test]
    fn a_missing_folder_counts_as_an_empty_one() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(list_sql_files(&parent.path().join("gone")).unwrap(), BTreeMap::new());
    }
}
