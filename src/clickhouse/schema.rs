//! The schema: numbered files, applied once each.
//!
//! A file's statements and the row that says that it was applied are separate steps, and a process may be killed between
//! any two: the next start applies the whole file again. So every statement must be one that can be carried out twice
//! (`IF NOT EXISTS`, `ADD COLUMN IF NOT EXISTS`, …); a test applies each file twice.

use clickhouse::Row;
use serde::Deserialize;

use super::{ClickHouse, ClickHouseError, ErrorKind, retention};

/// The files of queries/schema, in their order.
const SCHEMA_FILES: &[(&str, &str)] = &[
    ("0001_events", include_str!("../../queries/schema/0001_events.sql")),
    ("0002_minutes", include_str!("../../queries/schema/0002_minutes.sql")),
    ("0003_feature_minutes", include_str!("../../queries/schema/0003_feature_minutes.sql")),
    ("0004_page_minutes", include_str!("../../queries/schema/0004_page_minutes.sql")),
    ("0005_country_minutes", include_str!("../../queries/schema/0005_country_minutes.sql")),
];

/// What all tables have in common; `{{table_settings}}` in the files.
///
/// - `non_replicated_deduplication_window`: the tokens of so many inserts are remembered, so a batch that is sent again adds
///   nothing. An insert begins every 100 ms at most, so they are those of a quarter of an hour at least.
/// - `ttl_only_drop_parts`: rows expire by the part, and none is rewritten for it; `materialize_ttl_recalculate_only`: a new
///   retention neither.
/// - `min_rows_to_fsync_after_merge`: a merged part is on the disk before the parts it was made of are deleted. Without it
///   a power cut could cost rows of any age. Inserts are not synced: the journal keeps what was inserted a short while ago.
/// - `max_suspicious_broken_parts`: after a power cut the newest parts are broken. ClickHouse sets them aside and starts
///   however many there are; what they held is inserted again from the journal (`writer/reconcile.rs`).
const TABLE_SETTINGS: &str = "non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, \
    materialize_ttl_recalculate_only = 1, min_rows_to_fsync_after_merge = 1, max_suspicious_broken_parts = 1000000, \
    max_suspicious_broken_parts_bytes = 1000000000000";

/// The constraint of `events` that holds inserts back while a rebuild ends: no row fulfils it.
pub(super) const PAUSE_CONSTRAINT: &str = "inserts_wait_for_a_rebuild";

/// Remembers what was applied.
const CREATE_MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
    (name String, checksum UInt32, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) \
    ENGINE = MergeTree ORDER BY name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// Why the schema is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// ClickHouse did not carry a statement out.
    #[error("{file}: {source}")]
    Statement {
        /// The file, or what was being done.
        file: String,
        /// What ClickHouse said.
        source: ClickHouseError,
    },
    /// A rebuild did not end.
    #[error(
        "the table events has the constraint {PAUSE_CONSTRAINT}: a rebuild is under way or was interrupted; let it end, or start \
         `millrace migrate --rebuild NAME` again"
    )]
    RebuildUnfinished,
    /// Inserts could not be let in again.
    #[error(
        "the table events still has the constraint {PAUSE_CONSTRAINT}, so nothing is inserted: {source}; start \
         `millrace migrate --rebuild NAME` again"
    )]
    InsertsStillPaused {
        /// What ClickHouse said.
        source: ClickHouseError,
    },
    /// There is no such rollup.
    #[error("--rebuild: {name:?} is not known; one of {known} is possible")]
    UnknownRollup {
        /// What was asked.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file was changed after it was applied.
    #[error(
        "the schema file {name} differs from the one that was applied; put a change into a new file, or start the \
         version that made this database"
    )]
    FileChanged {
        /// The file.
        name: String,
    },
}

impl SchemaError {
    /// Whether ClickHouse did not answer at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Statement { source, .. } if source.kind == ErrorKind::Unreachable)
    }
}

#[derive(Row, Deserialize)]
struct AppliedFile {
    name: String,
    checksum: u32,
}

/// The files as they are applied, for reading.
pub fn rendered_files(retention_days: u64) -> impl Iterator<Item = (&'static str, String)> {
    SCHEMA_FILES.iter().map(move |(name, text)| (*name, render(text, retention_days)))
}

/// Brings the database to the schema; gives the names of the files that were applied now.
pub async fn apply(clickhouse: &ClickHouse, retention_days: u64) -> Result<Vec<&'static str>, SchemaError> {
    let statement_error = |file: &str| {
        let file = file.to_owned();
        move |source: ClickHouseError| SchemaError::Statement { file, source }
    };
    let database = format!("CREATE DATABASE IF NOT EXISTS `{}`", clickhouse.database());
    let server = clickhouse.server_client().map_err(statement_error("database"))?;
    server.query_raw(&database).execute().await.map_err(|e| statement_error("database")(e.into()))?;
    let client = clickhouse.client().map_err(statement_error("schema_migrations"))?;
    let known = async {
        client.query_raw(CREATE_MIGRATIONS_TABLE).execute().await?;
        client.query_raw("SELECT name, checksum FROM schema_migrations").fetch_all::<AppliedFile>().await
    };
    let known = known.await.map_err(|e| statement_error("schema_migrations")(e.into()))?;
    if inserts_are_paused(clickhouse).await.map_err(statement_error("schema_migrations"))? {
        return Err(SchemaError::RebuildUnfinished);
    }

    let mut applied = Vec::new();
    for (name, text) in SCHEMA_FILES {
        // Without the retention, which may change.
        let checksum = crc32c::crc32c(render(text, 0).as_bytes());
        match known.iter().find(|known| known.name == *name) {
            Some(known) if known.checksum == checksum => continue,
            Some(_) => return Err(SchemaError::FileChanged { name: (*name).to_owned() }),
            None => {}
        }
        for statement in split_statements(&render(text, retention_days)) {
            client.query_raw(statement).execute().await.map_err(|e| statement_error(name)(e.into()))?;
        }
        let record = client
            .query_raw(
                "INSERT INTO schema_migrations (name, checksum) SELECT {name:String}, {checksum:UInt32}",
            )
            .param("name", name)
            .param("checksum", checksum);
        record.execute().await.map_err(|e| statement_error(name)(e.into()))?;
        applied.push(*name);
    }
    retention::apply(&client, retention_days)
        .await
        .map_err(|e| statement_error("RETENTION_DAYS")(e.into()))?;
    Ok(applied)
}

/// Whether inserts are held back. The database need not be there yet.
pub(super) async fn inserts_are_paused(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    let tables = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'events' AND \
                  position(create_table_query, {constraint:String}) > 0";
    let tables = clickhouse.server_client()?.query_raw(tables).param("database", clickhouse.database());
    Ok(tables.param("constraint", PAUSE_CONSTRAINT).fetch_one::<u64>().await? > 0)
}

/// The SELECT of the view that fills a table.
pub(super) fn view_select(table: &str) -> String {
    let head = format!("CREATE MATERIALIZED VIEW IF NOT EXISTS {table}_view TO {table} AS\n");
    // No view says how long anything is kept.
    let all: Vec<String> = rendered_files(0).map(|(_, text)| text).collect();
    let view = all
        .iter()
        .flat_map(|text| split_statements(text))
        .find_map(|statement| Some(statement.split_once(&head)?.1));
    // The last statement of a file keeps its semicolon.
    view.map(|select| format!("{}\n", select.trim_end_matches(';'))).expect("every rollup has its view")
}

fn render(text: &str, retention_days: u64) -> String {
    text.replace("{{retention_days}}", &retention_days.to_string())
        .replace("{{table_settings}}", TABLE_SETTINGS)
}

/// The statements of a file: each ends with a semicolon at the end of a line.
fn split_statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
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
            .collect();
        on_disk.sort();
        let listed: Vec<String> = SCHEMA_FILES.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(listed, on_disk);
        for (number, (name, _)) in (1..).zip(SCHEMA_FILES) {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
    }

    #[test]
    fn every_table_with_a_ttl_is_created_with_the_retention() {
        let all: String = rendered_files(7).map(|(_, text)| text).collect();
        assert!(!all.contains("{{"));
        for (table, column) in retention::TTL_TABLES {
            assert!(all.contains(&format!("CREATE TABLE IF NOT EXISTS {table}\n")), "{table}");
            assert!(all.contains(&format!("TTL {column} + toIntervalDay(7)")), "{table}");
        }
    }

    #[test]
    fn every_rollup_has_a_view_whose_source_can_be_replaced() {
        for rollup in crate::clickhouse::rollups::ROLLUPS {
            let (minutes_table, levels_table) = (rollup.minutes_table, rollup.levels_table);
            assert_eq!(
                view_select(minutes_table)
                    .matches(
                        "FROM events
"
                    )
                    .count(),
                1,
                "{minutes_table}"
            );
            assert_eq!(
                view_select(levels_table)
                    .matches(&format!(
                        "FROM {minutes_table}
"
                    ))
                    .count(),
                1,
                "{levels_table}"
            );
        }
    }

    #[test]
    fn a_file_is_split_into_statements() {
        let text = "-- a; b\nCREATE x;\n\nCREATE y;\n";
        assert_eq!(split_statements(text).collect::<Vec<_>>(), ["-- a; b\nCREATE x", "CREATE y"]);
    }
}
