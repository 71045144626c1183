//! The exclusive right to insert into a ClickHouse that several servers share.
//!
//! A repair compares batches with `events` and recomputes rows of the rollup from it: nobody else may insert meanwhile. Within a
//! server a lock sees to that. Between servers a constraint on `events` and `rollup` does, which only the statements of its holder
//! satisfy: they have its id as the setting `log_comment`. ClickHouse adds a constraint of a name only once, so one server at a time
//! holds it. An insert of another server fails before any of it is written, and is repeated when the constraint is gone.
//!
//! A server that was killed while it held the constraint drops it when it starts again. If it never does,
//! `millrace migrate --rebuild rollup` drops it, and computes the rows again that the repair may have deleted.

use std::time::Duration;

use tokio::time::Instant;

use super::rollups::ROLLUP;
use super::{ClickHouse, ClickHouseError};

/// The constraint of the holder.
pub(super) const REPAIR_CONSTRAINT: &str = "inserts_wait_for_a_repair";
const HOLDER: &str = include_str!("../../queries/maintenance/repair_holder.sql");

const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long the repair of another server may take before this server reports it and tries again later.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);
/// ClickHouse's code for a constraint that exists already.
const ILLEGAL_COLUMN: i32 = 44;

/// Runs an operation while no other server inserts. Its statements must be those of the handle that it gets.
///
/// Nothing is shared with the embedded engine: then the operation just runs.
pub(crate) async fn exclusively<T, E: From<ClickHouseError>>(
    clickhouse: &ClickHouse,
    operation: impl AsyncFnOnce(&ClickHouse) -> Result<T, E>,
) -> Result<T, E> {
    let Some(server_id) = clickhouse.shared_as() else {
        return operation(clickhouse).await;
    };
    let holder = clickhouse.with_settings([("log_comment", server_id)]);
    acquire(&holder, server_id).await?;
    let result = operation(&holder).await;
    // If it fails, the next insert finds the constraint and drops it.
    if let Err(error) = release(&holder).await {
        tracing::warn!(%error, "other servers cannot insert: the constraint of a repair could not be dropped yet");
    }
    result
}

/// Drops the constraint if this server holds it. Call it only while this server repairs nothing.
pub(crate) async fn release_own(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    let Some(server_id) = clickhouse.shared_as() else { return Ok(()) };
    // In the order in which they were added: the rollup may lack it.
    if holder_of(clickhouse, "events").await? == server_id {
        release(clickhouse).await?;
    }
    Ok(())
}

/// Waits until no server repairs. Then, or after a minute, drops the constraint of a server that is gone.
pub(super) async fn release_abandoned(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    let started = Instant::now();
    loop {
        let server = holder_of(clickhouse, "events").await?;
        if server.is_empty() {
            return Ok(());
        }
        if started.elapsed() >= ACQUIRE_TIMEOUT {
            tracing::warn!(server, "dropping the constraint of a repair that has not ended");
            return release(clickhouse).await;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn acquire(clickhouse: &ClickHouse, server_id: &str) -> Result<(), ClickHouseError> {
    let started = Instant::now();
    // A UUID.
    let check = format!("{REPAIR_CONSTRAINT} CHECK getSetting('log_comment') = '{server_id}'");
    let add = async |table: &str, condition: &str| {
        let add = format!("ALTER TABLE {table} ADD CONSTRAINT {condition} {check}");
        clickhouse.client()?.query_raw(&add).execute().await.map_err(ClickHouseError::from)
    };
    loop {
        match add("events", "").await {
            Ok(()) => break,
            Err(error) if error.code == Some(ILLEGAL_COLUMN) => {}
            Err(error) => return Err(error),
        }
        let server = holder_of(clickhouse, "events").await?;
        if server == server_id {
            // An earlier repair was interrupted.
            break;
        }
        if started.elapsed() >= ACQUIRE_TIMEOUT {
            return Err(ClickHouseError::unreachable(format!(
                "the server {server} has been repairing batches for a minute or more, and nobody else can insert; if it is gone for good, \
                 run `millrace migrate --rebuild rollup`"
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    add(ROLLUP, "IF NOT EXISTS").await
}

async fn release(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    // First the rollup: events without their rows would be recomputed.
    for table in [ROLLUP, "events"] {
        let drop = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {REPAIR_CONSTRAINT}");
        clickhouse.client()?.query_raw(&drop).execute().await?;
    }
    Ok(())
}

/// The server that has the constraint on the table; empty if there is none.
async fn holder_of(clickhouse: &ClickHouse, table: &str) -> Result<String, ClickHouseError> {
    let query = clickhouse.server_client()?.query_raw(HOLDER);
    let holder =
        query.param("database", clickhouse.database()).param("table", table).fetch_optional().await?;
    Ok(holder.unwrap_or_default())
}
