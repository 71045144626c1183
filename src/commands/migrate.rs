//! `millrace migrate`: applies the schema, prints it, or rebuilds the rollup.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::clickhouse::rebuild::rebuild_rollup;
use crate::clickhouse::upgrade::UpgradeProgress;
use crate::clickhouse::{ClickHouse, RetentionDays, schema};
use crate::config::ClickHouseConfig;
use crate::properties::Properties;

/// Arguments of `millrace migrate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MigrateArgs {
    /// Print the schema instead of applying it
    #[arg(long)]
    print: bool,
    /// Rebuild a table from the events, also while a server is running: the rollup
    #[arg(long, value_name = "TABLE", conflicts_with = "print")]
    rebuild: Option<RebuiltTable>,
    /// Data folder of the server
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    data_dir: PathBuf,
    #[command(flatten)]
    clickhouse: ClickHouseConfig,
}

/// What can be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RebuiltTable {
    /// The rollup
    Rollup,
}

/// Runs the command.
pub(crate) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let MigrateArgs { print, rebuild, data_dir, clickhouse: config } = args;
    if print {
        for (name, text) in schema::rendered_files(config.retention()?, &Properties::built_in()) {
            println!("-- {name}\n{text}");
        }
        return Ok(());
    }
    let retention = config.retention()?;
    let _rebuild_lock = rebuild.is_some().then(|| lock_rebuild(&data_dir)).transpose()?;
    if rebuild.is_some()
        && config.clickhouse_url.is_empty()
        && let Some(clickhouse) = running_server(&config, &data_dir)?
    {
        return rebuild_with_progress(&clickhouse).await;
    }
    // A running server applies the schema itself, and owns the embedded database.
    let _lock = if config.clickhouse_url.is_empty() { Some(serve::lock_data_dir(&data_dir)?) } else { None };
    let stop = CancellationToken::new();
    let storage = serve::connect_storage(&config, &data_dir, stop.clone()).await?;
    let migrated = async {
        if rebuild.is_some() {
            return rebuild_with_progress(&storage.clickhouse).await;
        }
        match apply_schema(&storage.clickhouse, retention).await?.as_slice() {
            [] => println!("the schema is up to date"),
            applied => applied.iter().for_each(|name| println!("applied {name}")),
        }
        Ok(())
    };
    let migrated = migrated.await;
    stop.cancel();
    if let Some((_, supervisor_task)) = storage.engine {
        supervisor_task.await?;
    }
    migrated
}

/// Applies the schema. An upgrade of the tables of an earlier version shows its progress on standard error.
pub(super) async fn apply_schema(
    clickhouse: &ClickHouse,
    retention: RetentionDays,
) -> anyhow::Result<Vec<&'static str>> {
    let bar = UpgradeBar::default();
    let show = |progress: &UpgradeProgress| {
        if !bar.show(progress) {
            eprintln!("upgrading the stored events: {progress}");
        }
    };
    Ok(schema::apply(clickhouse, retention, &show).await?)
}

/// The progress bar of an upgrade on standard error, if that is a terminal.
pub(super) struct UpgradeBar(ProgressBar);

impl Default for UpgradeBar {
    fn default() -> Self {
        let style = ProgressStyle::with_template("upgrading the stored events {wide_bar} {msg}");
        Self(ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl UpgradeBar {
    /// Returns false if it is not a terminal.
    pub(super) fn show(&self, progress: &UpgradeProgress) -> bool {
        self.0.set_length(progress.events);
        self.0.set_position(progress.events_done);
        self.0.set_message(progress.to_string());
        !self.0.is_hidden()
    }
}

impl Drop for UpgradeBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Two rebuilds at the same time would write to the same tables.
fn lock_rebuild(data_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data_dir)?;
    let path = data_dir.join("rebuild.lock");
    let file = File::create(&path).with_context(|| format!("{} could not be created", path.display()))?;
    file.try_lock().with_context(|| format!("another rebuild holds {}; wait for it", path.display()))?;
    Ok(file)
}

/// The embedded ClickHouse of the server that runs on this data folder, if one does.
fn running_server(config: &ClickHouseConfig, data_dir: &Path) -> anyhow::Result<Option<ClickHouse>> {
    if serve::lock_data_dir(data_dir).is_ok() {
        return Ok(None);
    }
    let path = serve::endpoint_file(data_dir);
    let text = std::fs::read(&path).with_context(|| format!("{} could not be read", path.display()))?;
    let (_, endpoint) = watch::channel(Some(serde_json::from_slice(&text)?));
    let (_, properties) = watch::channel(Arc::new(Properties::built_in()));
    let clickhouse = ClickHouse::new(endpoint, &config.clickhouse_database);
    Ok(Some(clickhouse.with_rollup(properties, config.rollup_values)))
}

async fn rebuild_with_progress(clickhouse: &ClickHouse) -> anyhow::Result<()> {
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{wide_bar} {human_pos} of {human_len} events, {eta} left",
    )?);
    let started = std::time::Instant::now();
    let events = rebuild_rollup(clickhouse, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    println!("rebuilt the rollup from {events} events in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
