//! Insights and dashboards: queries of Explore with a name, and grids of panels and insights, as files.
//!
//! A file is the message of the contracts, [`v1::Insight`], [`v1::Dashboard`] or [`v1::Annotation`], as YAML: [`yaml`] parses it into a tree that
//! knows its lines, [`read`] makes a message of the tree and [`mod@write`] a file of a message, and [`document`] says what is valid: a
//! query is checked by the same functions as a request. [`folder`] keeps the files, [`layout`] the grid.

mod document;
mod error;
mod folder;
pub(crate) mod grpc;
pub(crate) mod http;
mod layout;
mod read;
mod write;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::blocking::run_blocking;
use crate::error::Error;
use crate::explore::request::Scope;
use crate::panels::Panels;
use crate::panels::catalog::Catalog;
use crate::panels::spec::Size;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1;
use document::Document;
use error::InsightError;
use folder::Folder;
use layout::Grid;

/// How often the folder is scanned. A scan is one `stat` per file.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// The insights that are compiled in: names and files.
const BUILT_IN: [(&str, &str); 1] =
    [(SIGNUP_CONVERSION, include_str!("../../queries/insights/signup_conversion.yaml"))];
const SIGNUP_CONVERSION: &str = "signup_conversion";
/// The dashboard of all panels. It is computed from the panels unless there is a file of this name.
const DEFAULT_DASHBOARD: &str = "default";

/// All insights, dashboards and annotations at one point in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Library {
    /// By name.
    insights: BTreeMap<String, Arc<v1::Insight>>,
    /// By name. Without the computed one.
    dashboards: BTreeMap<String, Arc<v1::Dashboard>>,
    /// By name.
    annotations: BTreeMap<String, Arc<v1::Annotation>>,
    broken_insights: Vec<Broken>,
    broken_dashboards: Vec<Broken>,
    broken_annotations: Vec<Broken>,
    /// Changes with any file.
    pub(crate) version: String,
    /// Whether the folder of insights is not writable.
    read_only_insights: bool,
    /// Whether the folder of dashboards is not writable.
    read_only_dashboards: bool,
    /// Whether the folder of annotations is not writable.
    read_only_annotations: bool,
}

/// A file that is not valid.
#[derive(Clone, Debug, PartialEq)]
struct Broken {
    file: v1::BrokenInsightFile,
    /// The project that it is for; `None` for every project.
    project: Option<String>,
}

impl Broken {
    fn new(file: v1::BrokenInsightFile, project: Option<String>) -> Self {
        Self { file, project }
    }
}

impl Library {
    fn set_version(&mut self) {
        let mut hash = Sha256::new();
        let mut add = |parts: [&str; 4]| {
            for part in parts {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        };
        self.insights.values().for_each(|insight| add(["insight", &insight.name, &insight.etag, ""]));
        self.dashboards
            .values()
            .for_each(|dashboard| add(["dashboard", &dashboard.name, &dashboard.etag, ""]));
        self.annotations
            .values()
            .for_each(|annotation| add(["annotation", &annotation.name, &annotation.etag, ""]));
        let broken =
            self.broken_insights.iter().chain(&self.broken_dashboards).chain(&self.broken_annotations);
        for Broken { file, .. } in broken {
            add(["broken", &file.file, &file.etag, &file.message]);
        }
        self.version = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    }
}

/// Insights, dashboards and annotations. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Insights {
    /// Locked by blocking calls only, never across an await.
    folder: Arc<Mutex<Folder>>,
    library: Arc<watch::Sender<Arc<Library>>>,
    properties: watch::Receiver<Arc<Properties>>,
    panels: Panels,
}

impl Insights {
    /// Reads the folder.
    pub(crate) async fn open(
        path: PathBuf,
        panels: Panels,
        properties: watch::Receiver<Arc<Properties>>,
    ) -> Result<Self, Error> {
        let mut built_in = Library::default();
        for (name, text) in BUILT_IN {
            let insight = document::parse::<v1::Insight>(text, &properties.borrow());
            let mut insight =
                insight.map_err(|problem| InsightError::Internal(format!("{name}: {problem}")))?;
            insight.set_origin(name, "", true);
            built_in.insights.insert(name.to_owned(), Arc::new(insight));
        }
        let built_in = Arc::new(built_in);
        let (library, _) = watch::channel(Arc::clone(&built_in));
        let folder = Folder::new(path, properties.clone(), built_in);
        let insights =
            Self { folder: Arc::new(Mutex::new(folder)), library: Arc::new(library), properties, panels };
        insights.in_folder(|_| Ok(())).await?;
        Ok(insights)
    }

    /// Scans the folder every second until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SCAN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.in_folder(|_| Ok(())).await {
                tracing::warn!(%error, "the folder of insights was not scanned");
            }
        }
    }

    /// What there is. Changes are published.
    pub(crate) fn library(&self) -> watch::Receiver<Arc<Library>> {
        self.library.subscribe()
    }

    /// Does something in the folder, scans it, and publishes what there is then. One after the other.
    async fn in_folder<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Folder) -> Result<T, InsightError> + Send + 'static,
    ) -> Result<T, InsightError> {
        let insights = self.clone();
        run_blocking(move || {
            let mut folder = insights.folder.lock().unwrap_or_else(PoisonError::into_inner);
            let result = act(&mut folder);
            let library = folder.scan();
            insights.library.send_if_modified(|current| {
                let changed = **current != library;
                *current = Arc::new(library);
                changed
            });
            result
        })
        .await
    }

    /// All that a project may see.
    fn list<D: Presented>(&self, project: &Project, library: &Library) -> Vec<D> {
        let mut documents: BTreeMap<&str, D> = BTreeMap::new();
        let computed = self.computed::<D>();
        for document in computed.iter().chain(D::of(library).values().map(|document| &**document)) {
            documents.insert(document.name(), document.clone());
        }
        let visible = documents.into_values().filter(|document| may_see(project, document.project()));
        visible.map(|document| document.present(self, project, library)).collect()
    }

    fn get<D: Presented>(&self, project: &Project, name: &str) -> Result<D, InsightError> {
        let library = Arc::clone(&self.library.borrow());
        let document = D::of(&library).get(name).map(|document| (**document).clone());
        let document = document.or_else(|| self.computed::<D>().filter(|computed| computed.name() == name));
        let visible = document.filter(|document| may_see(project, document.project()));
        visible
            .map(|document| document.present(self, project, &library))
            .ok_or_else(|| InsightError::NotFound { word: D::WORD, name: crate::panels::abbreviate(name) })
    }

    fn computed<D: Presented>(&self) -> Option<D> {
        D::computed(&self.panels.catalog().borrow())
    }

    /// Saves a document of a caller.
    async fn save<D: Presented>(&self, caller: &Caller, document: D) -> Result<D, Error> {
        let project = caller.project.clone();
        document::check_name(document.name()).map_err(InsightError::Invalid)?;
        let properties = Arc::clone(&self.properties.borrow());
        document.check(&Scope { project: &project, properties: &properties })?;
        if !may_see(&project, document.project()) {
            let (given, own) = (document.project().to_owned(), project.to_string());
            return Err(InsightError::OtherProject { word: D::WORD, project: given, own }.into());
        }
        let name = document.name().to_owned();
        let saved_for = project.clone();
        self.in_folder(move |folder| folder.save(&saved_for, &document)).await?;
        tracing::info!(kind = D::WORD, name, caller = caller.id(), "saved");
        Ok(self.get(&project, &name)?)
    }

    /// Deletes the file of a document of a caller.
    async fn delete<D: Presented>(&self, caller: &Caller, name: String, etag: String) -> Result<(), Error> {
        let (project, deleted) = (caller.project.clone(), name.clone());
        self.in_folder(move |folder| folder.delete::<D>(&project, &deleted, &etag)).await?;
        tracing::info!(kind = D::WORD, name, caller = caller.id(), "deleted");
        Ok(())
    }
}

/// Reads a text as each kind of file, for fuzzing.
///
/// # Panics
/// What was read from a text is read differently from the file that is written for it.
pub fn fuzz_file(text: &str) {
    fn check<D: Document>(text: &str, properties: &Properties) {
        if let Ok(document) = document::parse::<D>(text, properties) {
            document::render(&document, properties).expect("a valid document can be written");
        }
    }
    let properties = Properties::built_in();
    check::<v1::Insight>(text, &properties);
    check::<v1::Dashboard>(text, &properties);
    check::<v1::Annotation>(text, &properties);
}

/// Whether a project sees what is for `owner`.
fn may_see(project: &Project, owner: &str) -> bool {
    owner.is_empty() || owner == project.as_str()
}

/// Whether there is a document of this name without a file, which is computed.
fn is_computed<D: Document>(name: &str) -> bool {
    D::FOLDER == v1::Dashboard::FOLDER && name == DEFAULT_DASHBOARD
}

/// A document as a caller gets it.
trait Presented: Document {
    /// The one that is computed unless there is a file of its name.
    fn computed(catalog: &Catalog) -> Option<Self>;

    /// With what the server sets.
    fn present(self, insights: &Insights, project: &Project, library: &Library) -> Self;
}

impl Presented for v1::Insight {
    fn computed(_: &Catalog) -> Option<Self> {
        None
    }

    fn present(self, _: &Insights, _: &Project, _: &Library) -> Self {
        self
    }
}

impl Presented for v1::Annotation {
    fn computed(_: &Catalog) -> Option<Self> {
        None
    }

    fn present(self, _: &Insights, _: &Project, _: &Library) -> Self {
        self
    }
}

impl Presented for v1::Dashboard {
    /// All panels in their order. The sign-up conversion, which is made of people and cannot exceed 100 %, is in the place of
    /// the sign-up funnel.
    fn computed(catalog: &Catalog) -> Option<Self> {
        use v1::dashboard_item::Content;
        let mut panels: Vec<_> = catalog.panels.values().collect();
        panels.sort_by_key(|panel| (panel.spec.order(), panel.name.clone()));
        let items = panels.into_iter().map(|panel| {
            let content = match panel.name.as_str() {
                "signup_funnel" if panel.built_in => Content::Insight(SIGNUP_CONVERSION.to_owned()),
                name => Content::Panel(name.to_owned()),
            };
            v1::DashboardItem { content: Some(content), ..Default::default() }
        });
        Some(Self {
            name: DEFAULT_DASHBOARD.to_owned(),
            title: "Overview".to_owned(),
            description: "All panels".to_owned(),
            items: items.collect(),
            built_in: true,
            ..Default::default()
        })
    }

    fn present(mut self, insights: &Insights, project: &Project, library: &Library) -> Self {
        let catalog = Arc::clone(&insights.panels.catalog().borrow());
        let mut grid = Grid::default();
        for item in &mut self.items {
            // Valid, because the file is.
            item.placement = item.layout.filter(|layout| grid.take(*layout).is_ok());
        }
        for item in &mut self.items {
            let (width, height) = default_size(item, &catalog, library);
            item.placement = item.placement.or_else(|| Some(grid.place(width, height)));
            item.error = why_missing(item, &catalog, project, library).unwrap_or_default();
        }
        self
    }
}

/// Columns and rows of an item without a layout.
fn default_size(item: &v1::DashboardItem, catalog: &Catalog, library: &Library) -> (u32, u32) {
    use v1::dashboard_item::Content;
    use v1::insight::Query;
    const SMALL: (u32, u32) = (3, 4);
    const MEDIUM: (u32, u32) = (6, 4);
    const LARGE: (u32, u32) = (12, 4);
    match &item.content {
        Some(Content::Panel(name)) => {
            match catalog.panels.get(name).map(|panel| panel.spec.size(panel.chart)) {
                Some(Size::Small) => SMALL,
                Some(Size::Large) => LARGE,
                Some(Size::Medium) | None => MEDIUM,
            }
        }
        Some(Content::Insight(name)) => {
            match library.insights.get(name).and_then(|insight| insight.query.as_ref()) {
                Some(Query::Retention(_) | Query::Paths(_)) => LARGE,
                _ => MEDIUM,
            }
        }
        Some(Content::Retention(_) | Content::Paths(_)) => LARGE,
        Some(Content::Trend(_) | Content::Funnel(_)) | None => MEDIUM,
    }
}

/// Why the panel or the insight of an item cannot be shown.
fn why_missing(
    item: &v1::DashboardItem,
    catalog: &Catalog,
    project: &Project,
    library: &Library,
) -> Option<String> {
    use v1::dashboard_item::Content;
    match &item.content {
        Some(Content::Panel(name)) if !catalog.panels.contains_key(name) => {
            let name = crate::panels::abbreviate(name);
            Some(format!("there is no panel {name:?}; change the item, or add the panel's file"))
        }
        Some(Content::Insight(name)) => {
            let insight = library.insights.get(name).filter(|insight| may_see(project, &insight.project));
            insight.is_none().then(|| {
                format!("there is no insight {name:?}; change the item, or add insights/{name}.yaml")
            })
        }
        _ => None,
    }
}
