//! The folder of panels: read when the server starts and whenever a file in it has changed.
//!
//! A file is a panel once ClickHouse has answered it. One that it refuses is reported with its line and ClickHouse's
//! message; where it had been a panel before, or has the name of a built-in one, that one stays.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalog::{self, BrokenPanel, Catalog, Panel};
use super::query::{Ask, Explain, PanelError, Panels};
use super::sandbox::{self, Place, Refusal};
use super::typed;
use crate::clickhouse::{ClickHouseError, ErrorKind};

/// How often the folder is looked at. Looking is a `stat` of each file, which also works where the system gives no notice
/// of changes, as on network drives and in containers.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file that is read as a panel.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// How many files are read as panels; those behind, by name, are reported.
const MAX_FILES: usize = 500;

/// How long after ClickHouse was too busy for a file it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What tells that a file has changed.
type Mark = (SystemTime, u64);

/// The task that keeps the catalogue like the folder.
pub struct Folder {
    path: PathBuf,
    panels: Panels,
    catalog: watch::Sender<Arc<Catalog>>,
    built_in: Catalog,
    /// What was found in each file, by name.
    seen: BTreeMap<String, Seen>,
    /// What is wrong with the folder itself.
    trouble: Option<BrokenPanel>,
}

/// A file as it was read last.
struct Seen {
    mark: Mark,
    /// When it is read again, though it has not changed: what ClickHouse said may pass.
    again: Option<Instant>,
    panel: Option<Arc<Panel>>,
    broken: Option<BrokenPanel>,
}

impl Folder {
    /// Keeps `catalog`, whose receiver the panels hold. It begins with the built-in panels.
    pub fn new(path: PathBuf, panels: Panels, catalog: watch::Sender<Arc<Catalog>>) -> Self {
        let built_in = (**catalog.borrow()).clone();
        Self { path, panels, catalog, built_in, seen: BTreeMap::new(), trouble: None }
    }

    /// Looks every second, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Takes in what has changed since the last look.
    async fn look(&mut self) {
        let path = self.path.clone();
        let found = match tokio::task::spawn_blocking(move || list(&path)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.report_folder(&error),
            Err(_) => return,
        };
        let mut changed = self.trouble.take().is_some();
        let count = self.seen.len();
        self.seen.retain(|name, _| found.contains_key(name));
        changed |= self.seen.len() != count;
        for (name, mark) in found {
            let now = Instant::now();
            let known = |seen: &Seen| seen.mark == mark && seen.again.is_none_or(|again| again > now);
            if !self.seen.get(&name).is_some_and(known) {
                changed |= self.take(name, mark).await;
            }
        }
        if changed {
            self.publish();
        }
    }

    /// Takes a new or changed file in. False where ClickHouse could not be asked: the next look asks again.
    async fn take(&mut self, name: String, mark: Mark) -> bool {
        let before = self.seen.get(&name).and_then(|seen| seen.panel.clone());
        let (panel, broken, again) = match self.read(&name, mark.1).await {
            Ok(panel) => (panel.map(Arc::new), None, None),
            Err(Refused::NotNow) => return false,
            Err(Refused::ForNow(broken)) => (before, Some(broken), Some(Instant::now() + ASK_AGAIN)),
            Err(Refused::Broken(broken)) => (before, Some(broken), None),
        };
        match (&broken, &panel) {
            (Some(broken), _) => tracing::warn!(
                panel = name,
                line = broken.line,
                reason = broken.message,
                "a panel's file is broken"
            ),
            (None, Some(_)) => tracing::info!(panel = name, "a panel was read from the folder"),
            (None, None) => {}
        }
        self.seen.insert(name, Seen { mark, again, panel, broken });
        true
    }

    /// Reads a file; none for the text of a built-in panel.
    async fn read(&self, name: &str, bytes: u64) -> Result<Option<Panel>, Refused> {
        let broken =
            |line, message| Refused::Broken(BrokenPanel { file: format!("{name}.sql"), line, message });
        if bytes > MAX_FILE_BYTES {
            return Err(broken(0, format!("the file has {bytes} bytes; {MAX_FILE_BYTES} are possible")));
        }
        let text = match tokio::fs::read_to_string(self.path.join(format!("{name}.sql"))).await {
            Ok(text) => text,
            // It is gone again, which the next look sees.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Refused::NotNow),
            Err(error) => return Err(broken(0, format!("the file cannot be read: {error}"))),
        };
        let panel = catalog::parse(name, &text).map_err(Refused::Broken)?;
        let built_in = self.built_in.panels.get(name);
        if built_in.is_some_and(|built_in| built_in.sql == panel.sql) {
            return Ok(None);
        }
        let refused = |error: PanelError| match error {
            PanelError::ClickHouse { source, .. }
                if matches!(source.kind, ErrorKind::Unreachable | ErrorKind::Transient)
                    && source.code.is_none() =>
            {
                Refused::NotNow
            }
            PanelError::ClickHouse { source, .. } => {
                let (line, message) = (line_of(&source.message, &text), in_words(&source));
                let told = BrokenPanel { file: format!("{name}.sql"), line, message };
                if source.kind == ErrorKind::Permanent {
                    Refused::Broken(told)
                } else {
                    Refused::ForNow(told)
                }
            }
            other => broken(0, other.to_string()),
        };
        let outside = |refusal: Refusal| {
            let line = match &refusal.place {
                Place::Line(line) => *line,
                Place::Name(name) => line_with(&text, name),
                Place::Unknown => 0,
            };
            broken(line, refusal.message)
        };
        let database = self.panels.clickhouse().database();
        sandbox::text::check(&panel.sql).map_err(outside)?;
        let syntax = self.panels.explain(&panel, Explain::Syntax).await.map_err(refused)?;
        sandbox::syntax::check(&syntax, database).map_err(outside)?;
        let resolved = self.panels.explain(&panel, Explain::Resolved).await.map_err(refused)?;
        sandbox::resolved::check(&resolved, database).map_err(outside)?;
        let answer = self.panels.compute(&panel, &Ask::of(name)).await.map_err(refused)?;
        for column in &panel.distinct {
            if answer.table.column(column).is_none() {
                return Err(broken(
                    line_with(&text, "distinct"),
                    format!("distinct: the answer has no column {column:?}"),
                ));
            }
        }
        if built_in.is_some() {
            // Typed calls read the answer's columns.
            typed::value(name, &answer).map_err(refused)?;
        }
        Ok(Some(panel))
    }

    fn report_folder(&mut self, error: &io::Error) {
        let broken = (error.kind() != io::ErrorKind::NotFound).then(|| BrokenPanel {
            file: self.path.display().to_string(),
            line: 0,
            message: format!("the folder of panels (MILLRACE_PANELS_DIR) cannot be read: {error}"),
        });
        if let Some(broken) = broken.as_ref().filter(|broken| self.trouble.as_ref() != Some(broken)) {
            tracing::warn!(reason = broken.message, "the panels of the folder stay as they were");
        }
        // A folder that is not there has no panels.
        let emptied = broken.is_none() && !std::mem::take(&mut self.seen).is_empty();
        if emptied || self.trouble != broken {
            self.trouble = broken;
            self.publish();
        }
    }

    fn publish(&self) {
        let mut catalog = self.built_in.clone();
        for (name, seen) in self.seen.iter().take(MAX_FILES) {
            if let Some(panel) = &seen.panel {
                catalog.panels.insert(name.clone(), Arc::clone(panel));
            }
            catalog.broken.extend(seen.broken.clone());
        }
        catalog.broken.extend(self.trouble.clone());
        if self.seen.len() > MAX_FILES {
            catalog.broken.push(BrokenPanel {
                file: self.path.display().to_string(),
                line: 0,
                message: format!(
                    "there are {} panels; the first {MAX_FILES} by name are shown",
                    self.seen.len()
                ),
            });
        }
        self.catalog.send_if_modified(|known| {
            let changed = **known != catalog;
            *known = Arc::new(catalog);
            changed
        });
    }
}

/// Why a file is no panel.
enum Refused {
    /// ClickHouse cannot be asked now.
    NotNow,
    /// ClickHouse refuses it, and may take it later.
    ForNow(BrokenPanel),
    /// It never will be as it is.
    Broken(BrokenPanel),
}

/// The .sql files of the folder, by name.
fn list(folder: &Path) -> io::Result<BTreeMap<String, Mark>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.starts_with('.'));
        let (Some(name), true) = (name, path.extension().is_some_and(|extension| extension == "sql")) else {
            continue;
        };
        // A file that goes while the folder is listed is not there.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_file() {
            found.insert(name.to_owned(), (metadata.modified()?, metadata.len()));
        }
    }
    Ok(found)
}

/// ClickHouse's message, and what it means for a panel where that is not plain.
fn in_words(error: &ClickHouseError) -> String {
    const READONLY: i32 = 164;
    let message = error.for_viewers();
    if error.code == Some(READONLY) {
        return format!(
            "a panel is one SELECT that reads tables; writes, settings, and functions that read files or open addresses \
             are refused: {message}"
        );
    }
    message
}

/// The line that ClickHouse's message names: "(line 5, col 8)", or the one with the name that it does not know.
fn line_of(message: &str, text: &str) -> u32 {
    let named = message.split_once("(line ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    named.unwrap_or_else(|| {
        let unknown = message.split('`').nth(1).or_else(|| message.split('\'').nth(1));
        unknown.map_or(0, |name| line_with(text, name))
    })
}

/// The first line behind the header that holds `part`, or else the first in all; 0 for none.
fn line_with(text: &str, part: &str) -> u32 {
    let with = |header: bool| {
        text.lines().position(|line| line.contains(part) && (header || !line.trim_start().starts_with("--")))
    };
    with(false).or_else(|| with(true)).map_or(0, |at| u32::try_from(at + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_that_clickhouse_names_or_the_one_with_the_unknown_name() {
        let text = "-- title: visitors\n-- chart: table\nSELECT\n    visitors\nFROM minutes";
        assert_eq!(line_of("Syntax error: failed at position 9 (SELEC) (line 3, col 1): SELEC", text), 3);
        assert_eq!(line_of("Unknown expression identifier `visitors` in scope SELECT", text), 4);
        assert_eq!(line_of("Memory limit exceeded", text), 0);
    }
}
