//! What was measured: the table, the file, and the comparison with the last kept result.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Settings;

/// Changes of more than this are named.
const NAMED_CHANGE: f64 = 0.1;

/// The figures in the order in which they were measured.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Figure {
    name: String,
    unit: String,
    runs: Vec<f64>,
}

impl Figure {
    fn median(&self) -> f64 {
        median(&self.runs)
    }

    fn higher_is_better(&self) -> bool {
        matches!(self.unit.as_str(), "events/s" | "ratio")
    }
}

impl Figures {
    /// Adds a figure that was measured once per run.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &str, runs: Vec<f64>) {
        let figure = Figure { name: name.into(), unit: unit.to_owned(), runs };
        eprintln!("  {:<44}{:>14} {}", figure.name, format_value(figure.median()), figure.unit);
        self.0.push(figure);
    }

    /// The median of a figure, if it was measured.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(Figure::median)
    }

    /// Adds the ratio of two figures, run by run: the runs alternate, so that both have the same conditions.
    pub(crate) fn add_ratio(&mut self, name: impl Into<String>, numerator: &str, denominator: &str) {
        let runs = |name: &str| &self.0.iter().find(|figure| figure.name == name).expect("a figure").runs;
        let ratios = runs(numerator).iter().zip(runs(denominator)).map(|(above, below)| above / below);
        let ratios = ratios.collect();
        self.add(name, "ratio", ratios);
    }

    /// Adds p50, p99 and maximum of times, in milliseconds.
    pub(crate) fn add_times(&mut self, name: &str, times: &mut [std::time::Duration]) {
        assert!(!times.is_empty(), "{name}: nothing was measured");
        times.sort_unstable();
        for (quantile, at) in
            [("p50", times.len() / 2), ("p99", times.len() * 99 / 100), ("max", times.len() - 1)]
        {
            self.add(format!("{name} {quantile}"), "ms", vec![times[at].as_secs_f64() * 1_000.0]);
        }
    }
}

/// All figures of one call, with what is needed to judge them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Result {
    date: String,
    commit: String,
    cores: usize,
    events: u64,
    /// Conditions of the run, from the environment variable NOTE.
    #[serde(default)]
    note: String,
    figures: Figures,
}

impl Result {
    pub(crate) fn now(settings: &Settings, figures: &Figures) -> Self {
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: commit(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            events: settings.events,
            note: std::env::var("NOTE").unwrap_or_default(),
            figures: figures.clone(),
        }
    }

    /// Writes the figures of every run to target/bench/latest.json.
    pub(crate) fn write_raw(&self) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
        std::fs::create_dir_all(&folder).unwrap();
        self.write(&folder.join("latest.json"));
    }

    /// Adds the result to benches/results, and returns its file.
    pub(crate) fn keep(&self) -> PathBuf {
        let name = format!("{}-{}.json", self.date.replace(':', ""), self.commit);
        let file = results_folder().join(name);
        self.write(&file);
        file
    }

    fn write(&self, file: &Path) {
        std::fs::write(file, serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let last = last_kept();
        println!("commit {}, {}, {} cores", self.commit, self.date, self.cores);
        match &last {
            Some(last) => {
                println!("compared with commit {}, {}, {} cores", last.commit, last.date, last.cores)
            }
            None => println!("benches/results has no kept result to compare with"),
        }
        println!("{:<44}{:>14} {:<9}{:>14}  {:>8}", "", "median", "", "last kept", "change");
        for figure in &self.figures.0 {
            let median = figure.median();
            let before = last.as_ref().and_then(|last| last.figures.median(&figure.name));
            let (before, change) = match before {
                Some(before) => (format_value(before), describe_change(figure, median / before - 1.0)),
                None => (String::new(), String::new()),
            };
            println!(
                "{:<44}{:>14} {:<9}{before:>14}  {change:>8}",
                figure.name,
                format_value(median),
                figure.unit
            );
        }
    }
}

fn describe_change(figure: &Figure, change: f64) -> String {
    let word = match (change.abs() > NAMED_CHANGE, (change > 0.0) == figure.higher_is_better()) {
        (false, _) => "",
        (true, true) => " better",
        (true, false) => " WORSE",
    };
    format!("{:+.0} %{word}", 100.0 * change)
}

fn last_kept() -> Option<Result> {
    let files = std::fs::read_dir(results_folder()).ok()?;
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    let newest = files.into_iter().max()?; // the names start with the date
    Some(serde_json::from_slice(&std::fs::read(newest).unwrap()).unwrap())
}

fn results_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results")
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    if changed { format!("{commit}-changed") } else { commit }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn format_value(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
