//! `millrace migrate`: brings the database to the schema.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::clickhouse::schema;
use crate::config::ClickHouseConfig;

/// What to migrate.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Print the statements instead of carrying them out
    #[arg(long)]
    print: bool,
    /// The folder of the embedded database
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    data_dir: PathBuf,
    #[command(flatten)]
    clickhouse: ClickHouseConfig,
}

/// Runs the command.
pub async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let MigrateArgs { print, data_dir, clickhouse: config } = args;
    if print {
        for (name, text) in schema::rendered(config.retention_days) {
            println!("-- {name}\n{text}");
        }
        return Ok(());
    }
    // A server at work applies the schema itself, and holds the embedded database.
    let _lock = if config.clickhouse_url.is_empty() { Some(serve::lock(&data_dir)?) } else { None };
    let stop = CancellationToken::new();
    let storage = serve::connect(&config, &data_dir, stop.clone()).await?;
    let applied = schema::apply(&storage.clickhouse, config.retention_days).await;
    stop.cancel();
    if let Some((_, supervising)) = storage.engine {
        supervising.await?;
    }
    match applied?.as_slice() {
        [] => println!("the schema is up to date"),
        applied => applied.iter().for_each(|name| println!("applied {name}")),
    }
    Ok(())
}
