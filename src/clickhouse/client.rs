//! The handle for every statement and insert that goes to ClickHouse.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::{Client, Compression};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};

use super::cluster::{self, Shard};
use super::error::{ClickHouseError, ErrorKind};
use super::lz4::Lz4Body;
use super::rollups::RollupStatements;
use crate::blocking::run_blocking;
use crate::properties::Properties;

/// Values of a dimension per project, event and day that the rollup distinguishes, unless MILLRACE_ROLLUP_VALUES says
/// otherwise.
pub(crate) const DEFAULT_ROLLUP_VALUES: u64 = 5_000;

/// Deadline for sending a chunk of an insert, and for its response. After it the outcome of the insert is unknown: the next
/// attempt compares the batch with ClickHouse (`writer/reconcile.rs`).
const INSERT_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for a server. An insert into replicated tables must not be disconnected while the server repeats its commit in Keeper:
/// some versions then forget the rows and remember the token (ClickHouse/ClickHouse#112149).
const SERVER_INSERT_TIMEOUT: Duration = Duration::from_secs(180);
/// Size of the chunks in which a body is sent.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Message of a failed INSERT after which every later one fails too, until ClickHouse is restarted: an earlier write of the
/// deduplication log failed, for example on a full disk (ClickHouse/ClickHouse#118350).
const BROKEN_UNTIL_RESTART: &str = "Cannot write to canceled buffer";

/// Settings of every insert. They are the same on every attempt, so that ClickHouse forms the same blocks from the same
/// bytes and recognizes a duplicate by its token. A body is one block, but not one commit: it becomes a part per partition,
/// and an engine crash in between leaves some of them. The retry adds those that are missing, because each table remembers the
/// tokens of its parts.
pub const INSERT_SETTINGS: [(&str, &str); 12] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_insert", "enable"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_insert_threads", "1"),
    // Late events may be of as many weeks as the retention has. The default of 100 would reject the batch.
    ("max_partitions_per_insert_block", "0"),
    ("max_insert_block_size", "1048576"),
    ("min_insert_block_size_rows", "1048576"),
    ("min_insert_block_size_bytes", "268435456"),
    ("input_format_parallel_parsing", "0"),
    // A column that the table lacks is an error. By default ClickHouse drops its values without a word.
    ("input_format_skip_unknown_fields", "0"),
    ("wait_end_of_query", "1"),
];

/// The response to a statement, or an error if there is none within the limit.
pub(crate) async fn within<T, E: Into<ClickHouseError>>(
    limit: Duration,
    statement: impl Future<Output = Result<T, E>>,
) -> Result<T, ClickHouseError> {
    match tokio::time::timeout(limit, statement).await {
        Ok(response) => response.map_err(Into::into),
        Err(_) => Err(ClickHouseError::unreachable(format!("no response within {} s", limit.as_secs()))),
    }
}

/// Address and credentials of a ClickHouse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// HTTP address, such as `http://127.0.0.1:8123`.
    pub url: String,
    /// ClickHouse user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// A JSON Web Token instead of user and password; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub access_token: String,
}

impl Endpoint {
    /// A client with the connections of another one.
    pub(super) fn client(&self, connections: &Client) -> Client {
        let client = connections.clone().with_url(&self.url);
        match self.access_token.as_str() {
            "" => client.with_user(&self.user).with_password(&self.password),
            token => client.with_access_token(token),
        }
    }
}

/// A database in ClickHouse. Cheap to clone; clones share one connection pool.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    endpoint: watch::Receiver<Option<Endpoint>>,
    /// Holds the connection pool. Each use sets the current endpoint.
    client: Client,
    /// Whether requests and results are compressed.
    is_compressed: bool,
    database: Arc<str>,
    /// Receives the error message when ClickHouse needs a restart.
    restart_requests: Option<mpsc::Sender<String>>,
    /// The declared properties: the columns of `events`, and the dimensions and measures of the rollup.
    properties: watch::Receiver<Arc<Properties>>,
    rollup_values: u64,
    insert_timeout: Duration,
    /// `None` for the embedded engine, which nobody else uses.
    shared: Option<Shared>,
    /// Settings of every statement.
    settings: Arc<[(&'static str, String)]>,
    /// The shard that this is, of a cluster.
    shard: Option<Shard>,
    /// The database of each shard, if this one reads all shards of a cluster.
    read_shards: Option<Arc<str>>,
}

/// A server of ClickHouse.
#[derive(Clone, Debug)]
struct Shared {
    /// The id of this server of Millrace.
    server_id: Arc<str>,
    /// Notified when an insert got no response.
    insert_failed: Arc<Notify>,
}

impl ClickHouse {
    /// The endpoint may disappear for a while and return at another address.
    pub fn new(endpoint: watch::Receiver<Option<Endpoint>>, database: &str) -> Self {
        let (_, properties) = watch::channel(Arc::new(Properties::built_in()));
        Self {
            endpoint,
            client: uncompressed_client(),
            is_compressed: false,
            database: database.into(),
            restart_requests: None,
            properties,
            rollup_values: DEFAULT_ROLLUP_VALUES,
            insert_timeout: INSERT_TIMEOUT,
            shared: None,
            settings: [].into(),
            shard: None,
            read_shards: None,
        }
    }

    /// For a server, whose inserts may take longer, and which other servers of Millrace may use too. `insert_failed` is notified
    /// when one got no response.
    pub(crate) fn with_server(self, server_id: &str, insert_failed: Arc<Notify>) -> Self {
        let shared = Some(Shared { server_id: server_id.into(), insert_failed });
        Self { insert_timeout: SERVER_INSERT_TIMEOUT, shared, ..self }
    }

    /// Compresses inserts and results with LZ4.
    pub(crate) fn with_compression(self) -> Self {
        Self { client: self.client.with_compression(Compression::Lz4), is_compressed: true, ..self }
    }

    /// The id of this server of Millrace, if others may use the same ClickHouse.
    pub(crate) fn shared_as(&self) -> Option<&str> {
        self.shared.as_ref().map(|shared| &*shared.server_id)
    }

    /// A database with the tables of all shards, through the same server.
    pub(super) fn reading(&self, database: &str) -> Self {
        Self { database: database.into(), read_shards: Some(Arc::clone(&self.database)), ..self.clone() }
    }

    /// The database of each shard, if this one reads all shards of a cluster.
    pub(crate) fn read_shards(&self) -> Option<&str> {
        self.read_shards.as_deref()
    }

    /// The same database, with further settings of every statement.
    pub(super) fn with_settings(
        &self,
        settings: impl IntoIterator<Item = (&'static str, impl Into<String>)>,
    ) -> Self {
        let settings = settings.into_iter().map(|(name, value)| (name, value.into()));
        Self { settings: self.settings.iter().cloned().chain(settings).collect(), ..self.clone() }
    }

    /// For a shard of a cluster.
    pub(super) fn with_shard(self, shard: Shard) -> Self {
        Self { shard: Some(shard), ..self }.with_settings(cluster::SHARD_SETTINGS)
    }

    /// Which shard this is; `None` without a cluster.
    pub(super) fn shard(&self) -> Option<&Shard> {
        self.shard.as_ref()
    }

    /// Whether a repeated insert adds nothing even if ClickHouse was killed during the first one: its tables are replicated, and
    /// Keeper stores the token with the rows.
    pub(crate) fn stores_tokens_with_rows(&self) -> bool {
        self.shard.is_some()
    }

    /// A statement that creates, alters or drops a table: on a cluster, of all servers.
    pub(super) fn ddl<'a>(&self, statement: &'a str) -> Cow<'a, str> {
        match &self.shard {
            Some(shard) => shard.cluster.render(statement, &self.database).into(),
            None => statement.into(),
        }
    }

    /// Sets the declared properties instead of the built-in ones, and how many values of a dimension the rollup
    /// distinguishes per project, event and day.
    pub(crate) fn with_rollup(
        self,
        properties: watch::Receiver<Arc<Properties>>,
        rollup_values: u64,
    ) -> Self {
        Self { properties, rollup_values, ..self }
    }

    /// The declared properties.
    pub(super) fn properties(&self) -> Arc<Properties> {
        Arc::clone(&self.properties.borrow())
    }

    /// The statements that compute the rollup.
    pub(super) fn rollup_statements(&self) -> RollupStatements {
        RollupStatements::new(&self.properties.borrow(), self.rollup_values)
    }

    /// Sends the error message of an insert that only a restart of ClickHouse can fix.
    pub fn with_restart_requests(self, restart_requests: mpsc::Sender<String>) -> Self {
        Self { restart_requests: Some(restart_requests), ..self }
    }

    /// The current endpoint. `None` while the embedded engine is down.
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A client whose statements run in the database. Fails while the embedded engine is down.
    pub fn client(&self) -> Result<Client, ClickHouseError> {
        Ok(self.server_client()?.with_database(&*self.database))
    }

    /// A client without a database: it may not exist yet. Fails while the embedded engine is down.
    pub fn server_client(&self) -> Result<Client, ClickHouseError> {
        match &*self.endpoint.borrow() {
            Some(endpoint) => {
                let client = endpoint.client(&self.client);
                Ok(self
                    .settings
                    .iter()
                    .fold(client, |client, (name, value)| client.with_setting(*name, value)))
            }
            None => Err(ClickHouseError::engine_starting()),
        }
    }

    /// ClickHouse's version. The cheapest query, so also a ping.
    pub async fn version(&self) -> Result<String, ClickHouseError> {
        Ok(self.server_client()?.query("SELECT version()").fetch_one().await?)
    }

    /// Inserts a body in the Native format, which names its columns. Adds nothing if `token` was inserted before.
    pub async fn insert_native(
        &self,
        table: &str,
        body: Vec<Bytes>,
        token: &str,
    ) -> Result<(), ClickHouseError> {
        let result = self.insert(&format!("INSERT INTO {table} FORMAT Native"), body, token).await;
        if let Err(error) = &result
            && error.message.contains(BROKEN_UNTIL_RESTART)
            && let Some(restart_requests) = &self.restart_requests
        {
            // A full channel already holds a request.
            restart_requests.try_send(error.message.clone()).ok();
        }
        if let (Err(error), Some(shared)) = (&result, &self.shared)
            && error.kind == ErrorKind::Unreachable
        {
            shared.insert_failed.notify_one();
        }
        result
    }

    /// Makes one attempt at an INSERT with this body. Adds nothing if `token` was inserted before.
    pub(crate) async fn insert(
        &self,
        statement: &str,
        body: Vec<Bytes>,
        token: &str,
    ) -> Result<(), ClickHouseError> {
        let mut client = self.client()?;
        if self.is_compressed {
            // Not `Compression::Lz4`, which is ClickHouse's own block format for an INSERT: the crate would compress on this
            // thread, and the engine's HTTP interface decodes HTTP's encodings only.
            client = client.with_compression(Compression::None).with_header("Content-Encoding", "lz4");
        }
        let mut insert = client
            .insert_formatted_with(statement)
            .with_timeouts(Some(self.insert_timeout), Some(self.insert_timeout))
            .with_setting("insert_deduplication_token", token);
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(name, value);
        }
        if self.is_compressed {
            let mut body = Lz4Body::new(body);
            while let (returned, Some(chunk)) = run_blocking(move || body.next_chunk()).await? {
                body = returned;
                insert.send(chunk).await?;
            }
        } else {
            for mut buffer in body {
                while !buffer.is_empty() {
                    insert.send(buffer.split_to(buffer.len().min(CHUNK_BYTES))).await?;
                }
            }
        }
        Ok(insert.end().await?)
    }
}

/// A client without compression, which the crate would otherwise use.
pub(super) fn uncompressed_client() -> Client {
    Client::default().with_compression(Compression::None)
}
