//! `millrace migrate`: applies the schema, prints it, or rebuilds a rollup.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::clickhouse::rebuild::rebuild_rollup;
use crate::clickhouse::{ClickHouse, schema};
use crate::config::ClickHouseConfig;

/// Arguments of `millrace migrate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MigrateArgs {
    /// Print the schema instead of applying it
    #[arg(long)]
    print: bool,
    /// Rebuild a rollup from the events, also while a server is running: minutes, feature_minutes, page_minutes or
    /// country_minutes
    #[arg(long, value_name = "NAME", conflicts_with = "print")]
    rebuild: Option<String>,
    /// Data folder of the server
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    data_dir: PathBuf,
    #[command(flatten)]
    clickhouse: ClickHouseConfig,
}

/// Runs the command.
pub(crate) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let MigrateArgs { print, rebuild, data_dir, clickhouse: config } = args;
    if print {
        for (name, text) in schema::rendered_files(config.retention()?) {
            println!("-- {name}\n{text}");
        }
        return Ok(());
    }
    let retention = config.retention()?;
    let _rebuild_lock = rebuild.is_some().then(|| lock_rebuild(&data_dir)).transpose()?;
    if let Some(rollup) = &rebuild
        && config.clickhouse_url.is_empty()
        && let Some(clickhouse) = running_server(&config, &data_dir)?
    {
        return rebuild_with_progress(&clickhouse, rollup).await;
    }
    // A running server applies the schema itself, and owns the embedded database.
    let _lock = if config.clickhouse_url.is_empty() { Some(serve::lock_data_dir(&data_dir)?) } else { None };
    let stop = CancellationToken::new();
    let storage = serve::connect_storage(&config, &data_dir, stop.clone()).await?;
    let migrated = async {
        if let Some(rollup) = &rebuild {
            return rebuild_with_progress(&storage.clickhouse, rollup).await;
        }
        match schema::apply(&storage.clickhouse, retention).await?.as_slice() {
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
    Ok(Some(ClickHouse::new(endpoint, &config.clickhouse_database)))
}

async fn rebuild_with_progress(clickhouse: &ClickHouse, rollup: &str) -> anyhow::Result<()> {
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{wide_bar} {human_pos} of {human_len} events, {eta} left",
    )?);
    let started = std::time::Instant::now();
    let events = rebuild_rollup(clickhouse, rollup, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    println!("rebuilt {rollup} from {events} events in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
