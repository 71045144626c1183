//! The schema: numbered files, each applied once.
//!
//! Applying a file and recording that it was applied are separate steps, and the process may be killed between any two
//! statements: the next start then applies the whole file again. So every statement must be idempotent (`IF NOT EXISTS`,
//! `ADD COLUMN IF NOT EXISTS`, …). A test applies each file twice.

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::cluster::{self, Cluster, ShardError};
use super::shards::Shards;
use super::upgrade::{self, UpgradeProgress};
use super::{
    ClickHouse, ClickHouseError, ErrorKind, RetentionDays, promoted, requirements, retention, schema_lock,
    template,
};
use crate::properties::Properties;

/// The files of `queries/schema`, in the order in which they are applied.
const SCHEMA_FILES: &[(&str, &str)] = &[
    ("0006_one_rollup", ONE_ROLLUP),
    ("0007_whole_weeks", include_str!("../../queries/schema/0007_whole_weeks.sql")),
    ("0008_people", include_str!("../../queries/schema/0008_people.sql")),
    ("0009_catalogue", include_str!("../../queries/schema/0009_catalogue.sql")),
    ("0010_several_servers", include_str!("../../queries/schema/0010_several_servers.sql")),
];
const ONE_ROLLUP: &str = include_str!("../../queries/schema/0006_one_rollup.sql");

/// Files of which nothing is left once 0006 is applied. They are recorded as applied, so that no version applies them again.
const SUPERSEDED_FILES: [&str; 5] =
    ["0001_events", "0002_minutes", "0003_feature_minutes", "0004_page_minutes", "0005_country_minutes"];

/// Settings of every table: `{{table_settings}}` in the files.
///
/// - `non_replicated_deduplication_window`: how many insert tokens a table remembers, so that a batch that is sent again
///   adds nothing. Inserts begin at least 100 ms apart, so the tokens go back a quarter of an hour or more.
/// - `ttl_only_drop_parts`: rows expire by whole parts, and no part is rewritten. `materialize_ttl_recalculate_only`: nor is
///   it rewritten for a new retention.
/// - `min_rows_to_fsync_after_merge`: a merged part is synced before its source parts are deleted. Without it, a power cut
///   could lose rows of any age. Inserts are not synced: the journal still has recent batches.
/// - `max_suspicious_broken_parts`: after a power cut the newest parts are broken. ClickHouse moves them to `detached/` and
///   starts, no matter how many there are. Their rows are inserted again from the journal (`writer/reconcile.rs`).
const TABLE_SETTINGS: &str = "non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, \
    materialize_ttl_recalculate_only = 1, min_rows_to_fsync_after_merge = 1, max_suspicious_broken_parts = 1000000, \
    max_suspicious_broken_parts_bytes = 1000000000000";

/// Of a cluster's tables: Keeper remembers insert tokens for a week, and as many as several servers insert in hours.
const REPLICATED_TABLE_SETTINGS: &str = "replicated_deduplication_window = 200000, \
    replicated_deduplication_window_seconds = 604800, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, \
    min_rows_to_fsync_after_merge = 1, max_suspicious_broken_parts = 1000000, max_suspicious_broken_parts_bytes = 1000000000000";

/// The constraint on `events` and `rollup` that pauses inserts at the end of a rebuild: no row satisfies it.
pub(super) const PAUSE_CONSTRAINT: &str = "inserts_wait_for_a_rebuild";

const CREATE_MIGRATIONS_TABLE: &str = include_str!("../../queries/maintenance/schema_migrations.sql");
const INSERTS_PAUSED: &str = include_str!("../../queries/maintenance/inserts_paused.sql");

/// Why the schema could not be applied, or a rollup not rebuilt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// ClickHouse did not execute a statement.
    #[error("{file}: {error}")]
    Statement {
        /// The schema file, or the operation.
        file: String,
        /// ClickHouse's error. Not a `source`: the message has it already.
        error: ClickHouseError,
    },
    /// ClickHouse lacks what inserts need.
    #[error("{0}")]
    TooOld(String),
    /// Another server is at it.
    #[error("{0}")]
    Locked(String),
    /// A shard cannot be used.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A rebuild has not finished.
    #[error(
        "the tables have the constraint {PAUSE_CONSTRAINT}: a rebuild is running or was interrupted; wait for it, or \
         run `millrace migrate --rebuild rollup` again"
    )]
    RebuildUnfinished,
    /// Inserts could not be resumed at the end of a rebuild.
    #[error(
        "the tables still have the constraint {PAUSE_CONSTRAINT}, so nothing is inserted: {error}; run \
         `millrace migrate --rebuild rollup` again"
    )]
    InsertsStillPaused {
        /// ClickHouse's error.
        error: ClickHouseError,
    },
    /// What an interrupted rebuild left could not be cleaned up.
    #[error("an interrupted rebuild could not be cleaned up: {0}")]
    RebuildNotCleanedUp(ClickHouseError),
    /// The upgrade of the tables of an earlier version copies them.
    #[error(
        "the upgrade of the stored events needs up to {needed} bytes of free disk space, and {free} are free; nothing was \
         changed: free space, or start the version that created this database"
    )]
    NoSpaceForUpgrade {
        /// Estimated size of the copy.
        needed: u64,
        /// Free bytes of the disk.
        free: u64,
    },
    /// A file was changed after it had been applied.
    #[error(
        "the schema file {name} differs from the one that was applied; put the change into a new file, or start the \
         version that created this database"
    )]
    FileChanged {
        /// Name of the file.
        name: String,
    },
}

impl SchemaError {
    /// Whether ClickHouse did not respond at all, or another server is at it.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Locked(_)) || self.is_unreachable()
    }

    fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Statement { error, .. }
                | Self::RebuildNotCleanedUp(error)
                | Self::Shard(ShardError::ClickHouse(error))
                if error.kind == ErrorKind::Unreachable
        )
    }
}

#[derive(Row, Deserialize)]
struct AppliedFile {
    name: String,
    checksum: u32,
}

/// The name and text of every file, with placeholders filled in, and of what a cluster needs besides. For display.
pub(crate) fn rendered_files(
    retention: RetentionDays,
    properties: &Properties,
    database: &str,
    cluster: Option<&Cluster>,
) -> Vec<(&'static str, String)> {
    let rendered = |text| render(text, "events", retention, properties, cluster.is_some());
    let Some(cluster) = cluster else {
        return SCHEMA_FILES.iter().map(|(name, text)| (*name, rendered(text))).collect();
    };
    let whole =
        |statements: Vec<String>| statements.iter().map(|statement| format!("{statement};\n")).collect();
    let on_cluster = |text: &str| cluster.render(text.trim_end(), database);
    let creation = vec![
        on_cluster(&create_database(database)),
        on_cluster(CREATE_MIGRATIONS_TABLE),
        on_cluster(retention::CREATE_RETENTION_TABLE),
        cluster::shard_statement(cluster, database),
    ];
    let files = SCHEMA_FILES.iter().map(|(name, text)| {
        let statements = split_statements(&rendered(text)).map(on_cluster).collect();
        (*name, whole(statements))
    });
    [("database", whole(creation))]
        .into_iter()
        .chain(files)
        .chain([("reading all shards", whole(cluster::reading_statements(cluster, database)))])
        .collect()
}

fn create_database(database: &str) -> String {
    format!("CREATE DATABASE IF NOT EXISTS `{database}`")
}

/// Creates the database if needed, upgrades the tables of an earlier version, applies the files that are missing, and applies
/// the retention. Returns the names of the files that were applied now.
///
/// Nothing may be inserted meanwhile. An upgrade takes time: `progress` receives how far it is.
pub(crate) async fn apply(
    shards: &Shards,
    retention: RetentionDays,
    progress: &impl Fn(&UpgradeProgress),
) -> Result<Vec<&'static str>, SchemaError> {
    let clickhouse = shards.first();
    for shard in shards.iter() {
        let version = shard.version().await.map_err(statement_error("version"))?;
        requirements::check_version(&version).map_err(SchemaError::TooOld)?;
    }
    let server = clickhouse.server_client().map_err(statement_error("database"))?;
    let database = create_database(clickhouse.database());
    let database = server.query_raw(&clickhouse.ddl(&database)).execute().await;
    database.map_err(|e| statement_error("database")(e.into()))?;
    schema_lock::locked(clickhouse, apply_locked(shards, retention, progress)).await
}

fn statement_error(file: &str) -> impl FnOnce(ClickHouseError) -> SchemaError {
    let file = file.to_owned();
    move |error| SchemaError::Statement { file, error }
}

async fn apply_locked(
    shards: &Shards,
    retention: RetentionDays,
    progress: &impl Fn(&UpgradeProgress),
) -> Result<Vec<&'static str>, SchemaError> {
    let clickhouse = shards.first();
    let client = clickhouse.client().map_err(statement_error("schema_migrations"))?;
    let rendered = |text, events| {
        render(text, events, retention, &clickhouse.properties(), clickhouse.shard().is_some())
    };
    if clickhouse.shard().is_none() {
        // Tables of a cluster are newer than those that are upgraded.
        let create_tables = rendered(ONE_ROLLUP, upgrade::UPGRADED);
        let create_tables: Vec<String> = split_statements(&create_tables).map(str::to_owned).collect();
        upgrade::upgrade(clickhouse, &create_tables, progress).await?;
    }
    let known = async {
        client.query_raw(&clickhouse.ddl(CREATE_MIGRATIONS_TABLE.trim_end())).execute().await?;
        client.query_raw("SELECT name, checksum FROM schema_migrations").fetch_all::<AppliedFile>().await
    };
    let known = known.await.map_err(|e| statement_error("schema_migrations")(e.into()))?;
    if inserts_are_paused(clickhouse).await.map_err(statement_error("schema_migrations"))? {
        return Err(SchemaError::RebuildUnfinished);
    }

    let mut applied = Vec::new();
    for name in SUPERSEDED_FILES {
        if !known.iter().any(|known| known.name == name) {
            // Without a checksum: a version that still has the file stops at its start, before it inserts.
            record_file(&client, name, 0).await.map_err(statement_error(name))?;
        }
    }
    for (name, text) in SCHEMA_FILES {
        // Not of the rendered file: the retention and the promoted properties may change.
        let checksum = crc32c::crc32c(text.as_bytes());
        match known.iter().find(|known| known.name == *name) {
            Some(known) if known.checksum == checksum => continue,
            Some(_) => return Err(SchemaError::FileChanged { name: (*name).to_owned() }),
            None => {}
        }
        for statement in split_statements(&rendered(text, "events")) {
            let executed = client.query_raw(&clickhouse.ddl(statement)).execute().await;
            executed.map_err(|e| statement_error(name)(e.into()))?;
        }
        record_file(&client, name, checksum).await.map_err(statement_error(name))?;
        applied.push(*name);
    }
    promoted::add_columns(shards, &clickhouse.properties())
        .await
        .map_err(statement_error("promoted properties"))?;
    for shard in shards.iter() {
        retention::apply(shard, retention).await.map_err(statement_error("RETENTION_DAYS"))?;
    }
    if let Some(shard) = clickhouse.shard() {
        let cluster = &shard.cluster;
        let statement = cluster::shard_statement(cluster, clickhouse.database());
        let created = client.query_raw(&statement).execute().await;
        created.map_err(|e| statement_error("shard")(e.into()))?;
    }
    for clickhouse in shards.iter() {
        if let Some(shard) = clickhouse.shard() {
            shard.check_number(clickhouse).await?;
        }
    }
    Ok(applied)
}

async fn record_file(client: &Client, name: &str, checksum: u32) -> Result<(), ClickHouseError> {
    let record = "INSERT INTO schema_migrations (name, checksum) SELECT {name:String}, {checksum:UInt32}";
    Ok(client.query_raw(record).param("name", name).param("checksum", checksum).execute().await?)
}

/// Whether a rebuild has paused inserts. The database need not exist yet.
pub(super) async fn inserts_are_paused(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    let tables = clickhouse.server_client()?.query_raw(INSERTS_PAUSED);
    let tables = tables.param("database", clickhouse.database()).param("constraint", PAUSE_CONSTRAINT);
    Ok(tables.fetch_one::<u64>().await? > 0)
}

fn render(
    text: &str,
    events: &str,
    retention: RetentionDays,
    properties: &Properties,
    is_replicated: bool,
) -> String {
    let table_settings = if is_replicated { REPLICATED_TABLE_SETTINGS } else { TABLE_SETTINGS };
    let values = [
        ("events", events.to_owned()),
        ("retention_days", retention.events.to_string()),
        ("rollup_retention_days", retention.rollup.to_string()),
        ("table_settings", table_settings.to_owned()),
        ("promoted_columns", promoted::column_definitions(properties)),
    ];
    template::render(text, values)
}

/// The statements of a file. Each ends with a semicolon at the end of a line that is not a comment.
fn split_statements(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            end += line.len();
            if !line.starts_with("--") && line.trim_end().ends_with(';') {
                let statement = rest[..end].trim().trim_end_matches(';');
                rest = &rest[end..];
                return Some(statement);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_files_are_numbered_without_gaps_and_all_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/schema");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        on_disk.sort();
        let all = SUPERSEDED_FILES.into_iter().chain(SCHEMA_FILES.iter().map(|(name, _)| *name));
        let listed: Vec<String> = all.map(|name| format!("{name}.sql")).collect();
        assert_eq!(listed, on_disk);
        for (number, name) in (1..).zip(listed) {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
    }

    #[test]
    fn every_table_with_a_ttl_is_created_with_its_retention() {
        let retention = RetentionDays { events: 7, rollup: 9 };
        let all: String = rendered_files(retention, &Properties::built_in(), "millrace", None)
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert!(!all.contains("{{"));
        for (table, column, days) in retention.tables() {
            assert!(all.contains(&format!("CREATE TABLE IF NOT EXISTS {table}\n")), "{table}");
            assert!(all.contains(&format!("TTL {column} + toIntervalDay({days})")), "{table}");
        }
    }

    #[test]
    fn a_file_is_split_into_statements() {
        let text = "-- a; b;\n-- c\nCREATE x;\n\nCREATE y;\n-- d\n";
        assert_eq!(split_statements(text).collect::<Vec<_>>(), ["-- a; b;\n-- c\nCREATE x", "CREATE y"]);
    }
}
