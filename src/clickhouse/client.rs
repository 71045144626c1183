//! The handle through which everything asks ClickHouse.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::error::ClickHouseError;

/// How long an insert may take. A batch is tried again after it, under the same token.
const INSERT_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body is handed to the connection at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What an INSERT fails with when every later one will fail as well, until ClickHouse is restarted: an earlier write of
/// the deduplication log failed, as on a full disk (ClickHouse/ClickHouse#118350).
const BROKEN_UNTIL_RESTART: &str = "Cannot write to canceled buffer";

/// How inserts are done. The same on every try, so that ClickHouse makes the same blocks of the same bytes and knows a
/// repeat by its token. A batch is one block, but not one commit: each partition that it has events of, and each table of a
/// view, gets a part of its own, and an engine that dies in between leaves some of them. The retry adds those that are
/// missing: each table knows the parts that it has by the token.
const INSERT_SETTINGS: [(&str, &str); 11] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_insert", "enable"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_insert_threads", "1"),
    // Late events may be of as many weeks as the retention has; the default of 100 would refuse the batch.
    ("max_partitions_per_insert_block", "0"),
    ("max_insert_block_size", "1048576"),
    ("min_insert_block_size_rows", "1048576"),
    ("min_insert_block_size_bytes", "268435456"),
    ("input_format_parallel_parsing", "0"),
    ("wait_end_of_query", "1"),
];

/// Where ClickHouse is and who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its HTTP address.
    pub url: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A database of a ClickHouse. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    endpoint: watch::Receiver<Option<Endpoint>>,
    /// One connection pool for all; each use sets the address that holds then.
    client: Client,
    database: Arc<str>,
    /// Who is told that ClickHouse needs a restart.
    restart_requests: Option<mpsc::Sender<String>>,
}

impl ClickHouse {
    /// The database at this endpoint, which may be away for a while and come back elsewhere.
    pub fn new(endpoint: watch::Receiver<Option<Endpoint>>, database: &str) -> Self {
        Self { endpoint, client: Client::default(), database: database.into(), restart_requests: None }
    }

    /// Reports there, with the message, when an insert fails in a way that only a restart of ClickHouse ends.
    pub fn with_restart_requests(self, restart_requests: mpsc::Sender<String>) -> Self {
        Self { restart_requests: Some(restart_requests), ..self }
    }

    /// Where ClickHouse is; none while the embedded one is down.
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A client for statements in the database.
    pub fn client(&self) -> Result<Client, ClickHouseError> {
        Ok(self.server_client()?.with_database(&*self.database))
    }

    /// A client for statements that are of no database.
    pub fn server_client(&self) -> Result<Client, ClickHouseError> {
        match &*self.endpoint.borrow() {
            Some(Endpoint { url, user, password }) => {
                Ok(self.client.clone().with_url(url).with_user(user).with_password(password))
            }
            None => Err(ClickHouseError::engine_starting()),
        }
    }

    /// ClickHouse's version: the cheapest question there is.
    pub async fn version(&self) -> Result<String, ClickHouseError> {
        Ok(self.server_client()?.query("SELECT version()").fetch_one().await?)
    }

    /// Inserts a body in the Native format. A body with a token that was inserted before adds nothing.
    pub async fn insert_native(
        &self,
        table: &str,
        columns: &str,
        body: Vec<Bytes>,
        token: &str,
    ) -> Result<(), ClickHouseError> {
        let result = self.send_native(table, columns, body, token).await;
        if let Err(error) = &result
            && error.message.contains(BROKEN_UNTIL_RESTART)
            && let Some(restart_requests) = &self.restart_requests
        {
            // Full: it is told already.
            restart_requests.try_send(error.message.clone()).ok();
        }
        result
    }

    async fn send_native(
        &self,
        table: &str,
        columns: &str,
        body: Vec<Bytes>,
        token: &str,
    ) -> Result<(), ClickHouseError> {
        let statement = format!("INSERT INTO {table} ({columns}) FORMAT Native");
        let mut insert = self
            .client()?
            .insert_formatted_with(statement)
            .with_timeouts(Some(INSERT_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("insert_deduplication_token", token);
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(name, value);
        }
        for mut part in body {
            while !part.is_empty() {
                insert.send(part.split_to(part.len().min(CHUNK_BYTES))).await?;
            }
        }
        Ok(insert.end().await?)
    }
}
