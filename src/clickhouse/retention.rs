//! How long the tables keep their rows (RETENTION_DAYS, ROLLUP_RETENTION_DAYS), and how a change of it is applied.
//!
//! A part stores the expiry time computed when it was written, and merges trust the stored time. So a longer retention in
//! the table definition alone would not save old parts: a merge would drop them at their old time. When the retention
//! grows, TTL merges are stopped until the time of every part has been recomputed. A shorter retention applies to new parts
//! immediately; the times of old parts are recomputed in ClickHouse's background, and merges then drop what has expired.
//!
//! The process may be killed between the steps, so each completed change is recorded in `schema_retention`. The next start
//! compares the records with the definitions and completes what is missing.

use clickhouse::Row;
use serde::Deserialize;

use super::{ClickHouse, ClickHouseError};

pub(super) const CREATE_RETENTION_TABLE: &str =
    include_str!("../../queries/maintenance/schema_retention.sql");
const TABLE_RETENTIONS: &str = include_str!("../../queries/maintenance/table_retentions.sql");

/// How many days the rows of each table are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetentionDays {
    /// RETENTION_DAYS.
    pub events: u64,
    /// ROLLUP_RETENTION_DAYS.
    pub rollup: u64,
}

impl RetentionDays {
    /// The tables whose rows expire, the time from which the retention counts, and the days.
    pub(super) fn tables(self) -> [(&'static str, &'static str, u64); 3] {
        [
            ("events", "toDateTime(timestamp)", self.events),
            ("rollup", "start", self.rollup),
            ("event_properties", "day", self.rollup),
        ]
    }
}

#[derive(Row, Deserialize)]
struct TableRetention {
    name: String,
    engine_full: String,
    total_rows: u64,
    /// The recorded retention, which every part has at least; 0 if none was recorded.
    applied_days: u64,
}

/// What has to be done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetentionChange {
    /// Nothing.
    None,
    /// Only record it: definition and parts are right.
    Record,
    /// Shorten it: new parts expire earlier.
    Shorten,
    /// Extend it: every part expires later.
    Extend,
}

/// Compares the days in the table's definition, those recorded for its parts, and those in the configuration.
fn plan_change(defined: Option<u64>, applied: u64, has_rows: bool, days: u64) -> RetentionChange {
    // Without rows there are no parts that could expire too early.
    let part_days = if has_rows { applied } else { days };
    match defined {
        Some(defined) if defined == days && part_days == days => {
            if applied == days {
                RetentionChange::None
            } else {
                RetentionChange::Record
            }
        }
        // Parts written under this definition, or under an earlier one, may expire too early.
        Some(defined) if days > defined.min(part_days) => RetentionChange::Extend,
        Some(_) => RetentionChange::Shorten,
        None => RetentionChange::Extend,
    }
}

/// The days of `TTL column + toIntervalDay(30)` in a table's definition.
fn defined_days(engine_full: &str, column: &str) -> Option<u64> {
    let (_, rest) = engine_full.split_once(&format!("TTL {column} + toIntervalDay("))?;
    rest.split_once(')')?.0.parse().ok()
}

/// Applies the retention to every table. Returns when no part can expire too early.
pub(super) async fn apply(clickhouse: &ClickHouse, retention: RetentionDays) -> Result<(), ClickHouseError> {
    let client = &clickhouse.client()?;
    client.query_raw(&clickhouse.ddl(CREATE_RETENTION_TABLE.trim_end())).execute().await?;
    let retentions: Vec<TableRetention> = client.query_raw(TABLE_RETENTIONS).fetch_all().await?;
    let mut updated = Vec::new();
    for (table, column, days) in retention.tables() {
        let Some(current) = retentions.iter().find(|current| current.name == table) else { continue };
        let defined = defined_days(&current.engine_full, column);
        let modify = format!(
            "ALTER TABLE {table} MODIFY TTL {column} + toIntervalDay({days}) \
             SETTINGS materialize_ttl_after_modify = 0"
        );
        let execute = async |statement: &str| client.query_raw(statement).execute().await;
        match plan_change(defined, current.applied_days, current.total_rows > 0, days) {
            RetentionChange::None => continue,
            RetentionChange::Record => {}
            RetentionChange::Shorten => {
                tracing::info!(table, days, "shortening the retention");
                execute(&modify).await?;
                execute(&format!("ALTER TABLE {table} MATERIALIZE TTL SETTINGS mutations_sync = 0")).await?;
            }
            RetentionChange::Extend => {
                tracing::info!(
                    table,
                    days,
                    "extending the retention: recomputing the expiry time of every part"
                );
                // If a statement fails, merges stay stopped, so nothing expires too early. The next start continues.
                execute(&clickhouse.ddl(&format!("SYSTEM STOP TTL MERGES {table}"))).await?;
                execute(&modify).await?;
                // Recomputes times without rewriting rows (materialize_ttl_recalculate_only).
                execute(&format!("ALTER TABLE {table} MATERIALIZE TTL SETTINGS mutations_sync = 1")).await?;
                execute(&clickhouse.ddl(&format!("SYSTEM START TTL MERGES {table}"))).await?;
            }
        }
        updated.push((table, days));
    }
    for (table, days) in updated {
        let record = "INSERT INTO schema_retention (table_name, days) SELECT {table:String}, {days:UInt64}";
        client.query_raw(record).param("table", table).param("days", days).execute().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_could_expire_too_early_are_recomputed() {
        for (defined, applied, has_rows, days, needed) in [
            (Some(30), 0, false, 30, RetentionChange::Record),
            (Some(30), 30, true, 30, RetentionChange::None),
            (Some(30), 7, false, 30, RetentionChange::Record),
            (Some(30), 90, true, 30, RetentionChange::Shorten),
            (Some(90), 90, true, 30, RetentionChange::Shorten),
            (Some(30), 30, true, 90, RetentionChange::Extend),
            // Killed after the definition was changed.
            (Some(90), 30, true, 90, RetentionChange::Extend),
            // The same, and the setting has changed since.
            (Some(90), 7, true, 30, RetentionChange::Extend),
            // Killed after it was shortened and before that was recorded: new parts have 7 days.
            (Some(7), 90, true, 30, RetentionChange::Extend),
            // Never recorded, or without a TTL.
            (Some(30), 0, true, 30, RetentionChange::Extend),
            (None, 30, true, 30, RetentionChange::Extend),
        ] {
            assert_eq!(
                plan_change(defined, applied, has_rows, days),
                needed,
                "{defined:?} {applied} {has_rows} {days}"
            );
        }
    }

    #[test]
    fn retention_days_are_parsed_from_the_table_definition() {
        let full = "MergeTree PARTITION BY toMonday(date) ORDER BY x TTL toDateTime(timestamp) + toIntervalDay(30) \
                    SETTINGS a = 1";
        assert_eq!(defined_days(full, "toDateTime(timestamp)"), Some(30));
        assert_eq!(defined_days(full, "minute"), None);
    }
}
