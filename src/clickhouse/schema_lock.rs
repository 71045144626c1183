//! One server at a time applies the schema to a ClickHouse that several share.
//!
//! The lock is a table, which ClickHouse creates only once. On a cluster its only replica has a fixed name, which Keeper creates only
//! once, whichever server is asked. Its holder changes its comment every few seconds: a lock that has not changed for a while is of a
//! server that is gone.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::schema::SchemaError;
use super::{ClickHouse, ClickHouseError};

const TABLE: &str = "schema_lock";
const LOCK_STATE: &str = include_str!("../../queries/maintenance/schema_lock.sql");
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// A lock that is older is dropped.
const MAX_AGE_SECONDS: u64 = 30;
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long a server waits for another one. Then it says so, and tries again.
const MAX_POLLS: u32 = 120;

/// ClickHouse's codes for a table, or a replica of one, that exists already.
const EXISTS: [i32; 2] = [57, 253];

#[derive(Row, Deserialize)]
struct LockState {
    comment: String,
    age_seconds: u64,
}

/// Waits until no other server applies the schema, then does it.
///
/// # Errors
/// As the work, and when another server has been at it for a minute.
pub(super) async fn locked<T>(
    clickhouse: &ClickHouse,
    work: impl Future<Output = Result<T, SchemaError>>,
) -> Result<T, SchemaError> {
    let Some(server_id) = clickhouse.shared_as() else {
        return work.await;
    };
    let lock_error = |error| SchemaError::Statement { file: TABLE.to_owned(), error };
    acquire(clickhouse, server_id).await.map_err(lock_error)?.map_err(SchemaError::Locked)?;
    let result = tokio::select! {
        result = work => result,
        error = renew(clickhouse, server_id) => Err(lock_error(error)),
    };
    let released = clickhouse.client().map_err(lock_error)?.query_raw(&drop_lock()).execute().await;
    released.map_err(|error| lock_error(error.into()))?;
    result
}

fn drop_lock() -> String {
    format!("DROP TABLE IF EXISTS {TABLE} SYNC")
}

async fn acquire(clickhouse: &ClickHouse, server_id: &str) -> Result<Result<(), String>, ClickHouseError> {
    let engine = match clickhouse.shard() {
        Some(_) => format!(
            "ReplicatedMergeTree('/clickhouse/tables/{{shard}}/{}/{TABLE}', 'lock')",
            clickhouse.database()
        ),
        None => "MergeTree".to_owned(),
    };
    let create = format!(
        "CREATE TABLE {TABLE} (nothing UInt8) ENGINE = {engine} ORDER BY nothing COMMENT '{server_id}'"
    );
    let client = clickhouse.client()?;
    let mut holder = String::new();
    for _ in 0..MAX_POLLS {
        match client.query_raw(&create).execute().await.map_err(ClickHouseError::from) {
            Ok(()) => return Ok(Ok(())),
            Err(error) if error.code.is_some_and(|code| EXISTS.contains(&code)) => {}
            Err(error) => return Err(error),
        }
        let state = client.query_raw(LOCK_STATE).param("table", TABLE).fetch_optional::<LockState>().await?;
        if let Some(LockState { comment, age_seconds }) = state {
            if comment.starts_with(server_id) || age_seconds > MAX_AGE_SECONDS {
                client.query_raw(&drop_lock()).execute().await?;
                continue;
            }
            holder = comment;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let holder = if holder.is_empty() { "through another replica".to_owned() } else { format!("({holder})") };
    Ok(Err(format!(
        "another server applies the schema {holder}; if none does, DROP TABLE {}.{TABLE} on the replica that has it",
        clickhouse.database()
    )))
}

/// Returns only when that fails.
async fn renew(clickhouse: &ClickHouse, server_id: &str) -> ClickHouseError {
    for number in 1_u64.. {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        let renew = format!("ALTER TABLE {TABLE} MODIFY COMMENT '{server_id} {number}'");
        let renewed = async { Ok(clickhouse.client()?.query_raw(&renew).execute().await?) };
        if let Err(error) = renewed.await {
            return error;
        }
    }
    unreachable!("a server does not live so long")
}
