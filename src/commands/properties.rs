//! `millrace properties`: compares the declared promoted properties with the applied ones, or applies them.
//!
//! `apply` works with and without a running server, in steps that can be repeated after a failure: columns are added; the
//! server encodes every later event with them; columns that are no longer declared are dropped; the rollup is rebuilt. Stored
//! rows get their values from the columns' DEFAULT expressions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{migrate, serve};
use crate::clickhouse::promoted;
use crate::clickhouse::shards::Shards;
use crate::config::ClickHouseConfig;
use crate::properties::applied::{AppliedProperties, Declarations};
use crate::properties::{Properties, Role};

/// How long a running server may take to adopt the declarations. It first waits for batches that are being inserted.
const SERVER_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Arguments of `millrace properties`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PropertiesArgs {
    #[command(subcommand)]
    action: PropertiesAction,
    /// Data folder of the server
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    data_dir: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum PropertiesAction {
    /// Check the declarations, and show how they differ from the applied ones
    Check {
        #[command(flatten)]
        clickhouse: Box<ClickHouseConfig>,
    },
    /// Make the declarations effective, also while a server is running
    Apply {
        #[command(flatten)]
        clickhouse: Box<ClickHouseConfig>,
    },
}

/// How declarations differ from the applied ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    /// Another declaration under the same name.
    changed: Vec<String>,
    /// Whether a dimension or a measure is among them.
    rollup: bool,
}

impl Changes {
    fn between(applied: &Properties, declared: &Properties) -> Self {
        let mut changes = Self::default();
        let find = |properties: &Properties, name: &str| {
            properties.iter().find(|property| property.name == name).cloned()
        };
        for property in declared.iter() {
            match find(applied, &property.name) {
                Some(other) if other == *property => continue,
                Some(_) => changes.changed.push(property.name.clone()),
                None => changes.added.push(property.name.clone()),
            }
            changes.rollup |= property.role != Role::Column;
        }
        for property in applied.iter().filter(|property| find(declared, &property.name).is_none()) {
            changes.removed.push(property.name.clone());
            changes.rollup |= property.role != Role::Column;
        }
        changes
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Runs the command.
pub(crate) async fn run(args: PropertiesArgs) -> anyhow::Result<()> {
    let applied = AppliedProperties::new(&args.data_dir);
    let (PropertiesAction::Check { clickhouse } | PropertiesAction::Apply { clickhouse }) = &args.action;
    let declared = clickhouse.declared_properties()?;
    let Some(current) = applied.read()? else {
        println!(
            "{} has no events yet: the server uses the declarations from its first start",
            args.data_dir.display()
        );
        return Ok(());
    };
    let changes = Changes::between(&current.properties, &declared.properties);
    if changes.is_empty() && !applied.is_pending() && !applied.needs_rebuild() {
        println!("the declared properties are applied");
        return Ok(());
    }
    for (action, names) in
        [("add", &changes.added), ("remove", &changes.removed), ("change", &changes.changed)]
    {
        names.iter().for_each(|name| println!("{action} {name}"));
    }
    if let Some(name) = changes.changed.first() {
        bail!(
            "{name}: stored values were computed by the earlier declaration; give the property another `name`, or remove it \
             with one `apply` and add it with a second one"
        );
    }
    match &args.action {
        PropertiesAction::Check { .. } => Ok(()),
        PropertiesAction::Apply { clickhouse } => {
            apply(&args.data_dir, clickhouse, &applied, &declared, &changes).await
        }
    }
}

async fn apply(
    data_dir: &std::path::Path,
    config: &ClickHouseConfig,
    applied: &AppliedProperties,
    declared: &Declarations,
    changes: &Changes,
) -> anyhow::Result<()> {
    let _rebuild_lock = migrate::lock_rebuild(data_dir)?;
    let (_, properties) = watch::channel(Arc::new(declared.properties.clone()));
    let lock = serve::lock_data_dir(data_dir).ok();
    let is_running = lock.is_none();
    if is_running && config.clickhouse_url.is_empty() {
        let clickhouse = migrate::running_engine(config, data_dir, properties)?;
        return apply_to(&clickhouse.into(), is_running, applied, declared, changes).await;
    }
    let stop = CancellationToken::new();
    let storage = serve::connect_storage(config, data_dir, properties, stop.clone()).await?;
    let result = apply_to(&storage.shards, is_running, applied, declared, changes).await;
    stop.cancel();
    if let Some((_, supervisor_task)) = storage.engine {
        supervisor_task.await?;
    }
    result
}

async fn apply_to(
    shards: &Shards,
    is_running: bool,
    applied: &AppliedProperties,
    declared: &Declarations,
    changes: &Changes,
) -> anyhow::Result<()> {
    promoted::add_columns(shards, &declared.properties).await?;
    if changes.rollup {
        applied.set_needs_rebuild(true)?;
    }
    if is_running {
        applied.request(declared)?;
        let deadline = Instant::now() + SERVER_TIMEOUT;
        while applied.is_pending() {
            if Instant::now() >= deadline {
                applied.withdraw()?;
                bail!(
                    "the server has not adopted the declarations within {} s; see its log",
                    SERVER_TIMEOUT.as_secs()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    } else {
        applied.write(declared)?;
    }
    promoted::drop_columns(shards, &changes.removed).await?;
    if applied.needs_rebuild() {
        migrate::rebuild_with_progress(shards).await?;
        applied.set_needs_rebuild(false)?;
    }
    println!("applied");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(properties: &[(&str, &str)]) -> Properties {
        let text: String = properties
            .iter()
            .map(|(name, rest)| format!("[[property]]\nname = \"{name}\"\ntype = \"text\"\n{rest}\n"))
            .collect();
        Properties::parse(&text).unwrap()
    }

    #[test]
    fn changes_are_found_by_name() {
        let applied = declared(&[("same", ""), ("removed", ""), ("changed", "")]);
        let changes = Changes::between(
            &applied,
            &declared(&[("added", ""), ("same", ""), ("changed", "normalise = \"lower\"")]),
        );
        assert_eq!(
            changes,
            Changes {
                added: vec!["added".to_owned()],
                removed: vec!["removed".to_owned()],
                changed: vec!["changed".to_owned()],
                rollup: false
            }
        );
        assert!(Changes::between(&applied, &declared(&[("d", "role = \"dimension\"")])).rollup);
        assert!(Changes::between(&applied, &applied).is_empty());
    }
}
