//! How long the tables keep their rows (RETENTION_DAYS), and how that is changed.
//!
//! Each part stores when its rows expire, as computed when it was written, and merges believe what is stored. So a longer
//! retention alone would not keep old parts: a merge would drop them at their old time. When the retention grows, merges
//! that delete are stopped first, and start again when every part's time has been computed anew. A shorter retention
//! holds for new parts at once; the times of older ones are computed anew in ClickHouse's background, and its merges drop
//! what has expired.
//!
//! A process may be killed between the steps, so what has been done to the end is written down, in `schema_retention`;
//! the next start compares and does what is missing.

use clickhouse::{Client, Row};
use serde::Deserialize;

/// The tables that forget, and the time that says when.
pub(super) const TTL_TABLES: &[(&str, &str)] = &[
    ("events", "toDateTime(timestamp)"),
    ("minutes", "minute"),
    ("session_steps", "start"),
    ("feature_minutes", "minute"),
    ("feature_steps", "start"),
    ("page_minutes", "minute"),
    ("page_steps", "start"),
    ("country_minutes", "minute"),
    ("country_steps", "start"),
];

/// Remembers which retention the parts of each table were given. Synced, since it is trusted after a power cut.
const CREATE_RETENTION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_retention \
    (table_name String, days UInt64, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) \
    ENGINE = MergeTree ORDER BY table_name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// What is known of a table.
#[derive(Row, Deserialize)]
struct TableRetention {
    name: String,
    engine_full: String,
    /// How many rows it has.
    total_rows: u64,
    /// The retention that all parts have at least; 0 where it was never written down.
    applied_days: u64,
}

/// What a table needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetentionChange {
    /// It is as it should be.
    None,
    /// It is as it should be and that is to be written down.
    Record,
    /// New parts are to expire earlier.
    Shorten,
    /// All parts are to expire later.
    Extend,
}

/// Decides by the days that the table's definition says, those that its parts have, and those that are wished.
fn plan_change(defined: Option<u64>, applied: u64, has_rows: bool, days: u64) -> RetentionChange {
    // A table without rows has no parts that could expire too early.
    let part_days = if has_rows { applied } else { days };
    match defined {
        Some(defined) if defined == days && part_days == days => {
            if applied == days {
                RetentionChange::None
            } else {
                RetentionChange::Record
            }
        }
        // Parts written under the definition, or before it, may expire too early.
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

/// Makes every table keep its rows for so many days. Returns when parts that would expire too early no longer can.
pub(super) async fn apply(client: &Client, days: u64) -> clickhouse::error::Result<()> {
    client.query_raw(CREATE_RETENTION_TABLE).execute().await?;
    let states = "SELECT name, engine_full, ifNull(total_rows, 0) AS total_rows, applied.days AS applied_days \
                  FROM system.tables LEFT JOIN (SELECT table_name, argMax(days, applied_at) AS days FROM schema_retention \
                  GROUP BY table_name) AS applied ON applied.table_name = name WHERE database = currentDatabase()";
    let states: Vec<TableRetention> = client.query_raw(states).fetch_all().await?;
    let mut updated = Vec::new();
    for (table, column) in TTL_TABLES {
        let Some(state) = states.iter().find(|state| state.name == *table) else { continue };
        let defined = defined_days(&state.engine_full, column);
        let modify = format!(
            "ALTER TABLE {table} MODIFY TTL {column} + toIntervalDay({days}) SETTINGS materialize_ttl_after_modify = 0"
        );
        let execute = async |statement: &str| client.query_raw(statement).execute().await;
        match plan_change(defined, state.applied_days, state.total_rows > 0, days) {
            RetentionChange::None => continue,
            RetentionChange::Record => {}
            RetentionChange::Shorten => {
                tracing::info!(table, days, "the retention is shortened");
                execute(&modify).await?;
                execute(&format!("ALTER TABLE {table} MATERIALIZE TTL SETTINGS mutations_sync = 0")).await?;
            }
            RetentionChange::Extend => {
                tracing::info!(table, days, "the retention is extended; every part's time is computed anew");
                // They stay stopped when a statement fails: nothing is dropped too early, and the next start goes on.
                execute(&format!("SYSTEM STOP TTL MERGES {table}")).await?;
                execute(&modify).await?;
                // Computes the times alone: the rows are not rewritten (materialize_ttl_recalculate_only).
                execute(&format!("ALTER TABLE {table} MATERIALIZE TTL SETTINGS mutations_sync = 1")).await?;
                execute(&format!("SYSTEM START TTL MERGES {table}")).await?;
            }
        }
        updated.push(*table);
    }
    if !updated.is_empty() {
        let record = "INSERT INTO schema_retention (table_name, days) SELECT arrayJoin({tables:Array(String)}), {days:UInt64}";
        client.query_raw(record).param("tables", &updated).param("days", days).execute().await?;
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
            // The same, and the wish is another one now.
            (Some(90), 7, true, 30, RetentionChange::Extend),
            // Killed after it was shortened, before that was written down: new parts have 7 days.
            (Some(7), 90, true, 30, RetentionChange::Extend),
            // Never written down, or without a TTL.
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
        let full = "MergeTree PARTITION BY toMonday(date) ORDER BY x TTL toDateTime(timestamp) + toIntervalDay(30) SETTINGS a = 1";
        assert_eq!(defined_days(full, "toDateTime(timestamp)"), Some(30));
        assert_eq!(defined_days(full, "minute"), None);
    }
}
