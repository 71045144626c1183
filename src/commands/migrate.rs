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
use crate::clickhouse::cluster::Cluster;
use crate::clickhouse::rebuild::rebuild_rollup;
use crate::clickhouse::shards::Shards;
use crate::clickhouse::upgrade::UpgradeProgress;
use crate::clickhouse::{ClickHouse, RetentionDays, schema};
use crate::config::ClickHouseConfig;
use crate::properties::Properties;
use crate::properties::applied::AppliedProperties;

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
        let properties = config.declared_properties()?.properties;
        let cluster = config.cluster()?.map(Cluster::new);
        let database = &config.clickhouse_database;
        for (name, text) in
            schema::rendered_files(config.retention()?, &properties, database, cluster.as_ref())
        {
            println!("-- {name}\n{text}");
        }
        return Ok(());
    }
    let retention = config.retention()?;
    let _rebuild_lock = rebuild.is_some().then(|| lock_rebuild(&data_dir)).transpose()?;
    let is_running = || serve::lock_data_dir(&data_dir).is_err();
    if rebuild.is_some() && config.clickhouse_url.is_empty() && is_running() {
        let properties = applied_properties(&config, &data_dir)?;
        return rebuild_with_progress(&running_engine(&config, &data_dir, properties)?.into()).await;
    }
    // A running server applies the schema itself, and owns the embedded database.
    let _lock = if config.clickhouse_url.is_empty() { Some(serve::lock_data_dir(&data_dir)?) } else { None };
    let stop = CancellationToken::new();
    let properties = applied_properties(&config, &data_dir)?;
    let storage = serve::connect_storage(&config, &data_dir, properties, stop.clone()).await?;
    let migrated = async {
        if rebuild.is_some() {
            return rebuild_with_progress(&storage.shards).await;
        }
        match apply_schema(&storage.shards, retention).await?.as_slice() {
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
    shards: &Shards,
    retention: RetentionDays,
) -> anyhow::Result<Vec<&'static str>> {
    let bar = UpgradeBar::default();
    let show = |progress: &UpgradeProgress| {
        if !bar.show(progress) {
            eprintln!("upgrading the stored events: {progress}");
        }
    };
    Ok(schema::apply(shards, retention, &show).await?)
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

/// The properties that the data folder works with; the declared ones in a folder without any.
pub(super) fn applied_properties(
    config: &ClickHouseConfig,
    data_dir: &Path,
) -> anyhow::Result<watch::Receiver<Arc<Properties>>> {
    let declared = config.declared_properties()?;
    let applied = AppliedProperties::new(data_dir).read()?.unwrap_or(declared);
    Ok(watch::channel(Arc::new(applied.properties)).1)
}

/// Two rebuilds at the same time would write to the same tables.
pub(super) fn lock_rebuild(data_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data_dir)?;
    let path = data_dir.join("rebuild.lock");
    let file = File::create(&path).with_context(|| format!("{} could not be created", path.display()))?;
    file.try_lock().with_context(|| format!("another rebuild holds {}; wait for it", path.display()))?;
    Ok(file)
}

/// The embedded ClickHouse of the server that runs on this data folder.
pub(super) fn running_engine(
    config: &ClickHouseConfig,
    data_dir: &Path,
    properties: watch::Receiver<Arc<Properties>>,
) -> anyhow::Result<ClickHouse> {
    let path = serve::endpoint_file(data_dir);
    let text = std::fs::read(&path).with_context(|| format!("{} could not be read", path.display()))?;
    let (_, endpoint) = watch::channel(Some(serde_json::from_slice(&text)?));
    let clickhouse = ClickHouse::new(endpoint, &config.clickhouse_database);
    Ok(clickhouse.with_rollup(properties, config.rollup_values))
}

pub(super) async fn rebuild_with_progress(shards: &Shards) -> anyhow::Result<()> {
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{wide_bar} {human_pos} of {human_len} events, {eta} left",
    )?);
    let started = std::time::Instant::now();
    let mut events = 0;
    // One after the other: the rows of a shard come from its own events.
    for clickhouse in shards.iter() {
        events += rebuild_rollup(clickhouse, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await?;
    }
    bar.finish_and_clear();
    println!("rebuilt the rollup from {events} events in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
