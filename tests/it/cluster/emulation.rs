//! A cluster of ClickHouse, emulated with one embedded engine per shard: those have neither Keeper nor the protocol of Distributed tables.
//!
//! In front of each engine is a proxy. It executes a statement with ON CLUSTER on every engine, with the engines of tables that do not
//! replicate, and makes a view of each Distributed table, which unites the engines' tables over HTTP in the Native format. So states of
//! aggregate functions do cross a wire. What is not tested: replication, Keeper, quorums, and what a shard computes for a Distributed
//! table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use regex::Regex;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::common::{TIMEOUT, TestClickHouse, free_address, serve_http};

/// The name in CLICKHOUSE_CLUSTER.
pub(crate) const CLUSTER: &str = "emulated";

/// Engines with a proxy each. Dropping it stops them.
pub(crate) struct EmulatedCluster {
    /// `None` for an engine that was stopped.
    engines: Vec<Option<TestClickHouse>>,
    folders: Vec<TempDir>,
    addresses: Vec<String>,
    /// CLICKHOUSE_URL.
    pub(crate) urls: String,
    proxies: Option<tokio::runtime::Runtime>,
}

impl EmulatedCluster {
    /// Starts so many shards. Blocks.
    pub(crate) fn start(shards: usize) -> Self {
        // Its runtime is not that of the test.
        std::thread::spawn(move || Self::start_here(shards)).join().unwrap()
    }

    fn start_here(shards: usize) -> Self {
        let proxies =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folders: Vec<TempDir> = (0..shards).map(|_| tempfile::tempdir().unwrap()).collect();
        let addresses: Vec<String> = (0..shards).map(|_| free_address()).collect();
        let engines = addresses.iter().zip(&folders).map(|(address, folder)| {
            Some(TestClickHouse::start_with(address, folder.path(), &["--engine-sandbox", "off"]))
        });
        let engines = engines.collect();
        let all: Arc<[String]> = addresses.iter().map(|address| format!("http://{address}")).collect();
        let urls = proxies.block_on(async {
            let mut urls = Vec::new();
            for own in 0..shards {
                let proxy = Proxy {
                    engines: Arc::clone(&all),
                    own,
                    client: Client::builder(TokioExecutor::new()).build_http(),
                };
                let deadline = Instant::now() + TIMEOUT;
                while let Err(error) = proxy.execute(own, "SELECT 1".to_owned()).await {
                    assert!(Instant::now() < deadline, "{error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                urls.push(format!("http://{}", listener.local_addr().unwrap()));
                tokio::spawn(serve_http(listener, move |request| proxy.clone().respond(request)));
            }
            urls.join(";")
        });
        Self { engines, folders, addresses, urls, proxies: Some(proxies) }
    }

    /// The address of an engine, past its proxy.
    pub(crate) fn engine(&self, shard: usize) -> String {
        format!("http://{}", self.addresses[shard])
    }

    /// Stops an engine. Returns when it has ended.
    pub(crate) fn stop(&mut self, shard: usize) {
        assert!(self.engines[shard].take().unwrap().stop().success());
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self, shard: usize) {
        let engine = TestClickHouse::start_with(
            &self.addresses[shard],
            self.folders[shard].path(),
            &["--engine-sandbox", "off"],
        );
        self.engines[shard] = Some(engine);
    }
}

impl Drop for EmulatedCluster {
    fn drop(&mut self) {
        // A runtime must not wait for its tasks inside another one.
        self.proxies.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    }
}

#[derive(Clone)]
struct Proxy {
    engines: Arc<[String]>,
    /// The index of its engine.
    own: usize,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Proxy {
    async fn respond(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
        let (mut head, body) = request.into_parts();
        let mut body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        // The body of an insert is its rows.
        if !head.uri.query().is_some_and(|query| query.contains("query=INSERT"))
            && let Ok(text) = std::str::from_utf8(&body)
        {
            if text.contains(" ON CLUSTER ") {
                return Ok(match self.execute_everywhere(text).await {
                    Ok(()) => Response::new(Full::default()),
                    Err(error) => {
                        let mut response = Response::new(Full::from(error));
                        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                        response
                    }
                });
            }
            body = on_one_engine(text).into();
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("{}{path}", self.engines[self.own]).parse().unwrap();
        head.headers.remove(hyper::header::CONTENT_LENGTH);
        let response = self.client.request(Request::from_parts(head, Full::new(body))).await;
        let (head, body) = response.map_err(|error| error.to_string())?.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    }

    async fn execute_everywhere(&self, statement: &str) -> Result<(), String> {
        let on_cluster = Regex::new(r" ON CLUSTER `\w+`").unwrap();
        let statement = on_one_engine(&on_cluster.replace(statement, ""));
        let distributed =
            Regex::new(r"^CREATE OR REPLACE TABLE `(\w+)`.`(\w+)` AS `(\w+)`.`\w+` ENGINE = Distributed")
                .unwrap();
        for engine in 0..self.engines.len() {
            match distributed.captures(&statement) {
                Some(names) => self.unite(engine, &names[1], &names[3], &names[2]).await?,
                None => drop(self.execute(engine, statement.clone()).await?),
            }
        }
        Ok(())
    }

    /// Creates a view of a table of all engines. A table of the other engines is one of the engine URL: its reader needs no rights but
    /// those on the view.
    async fn unite(&self, engine: usize, reading: &str, database: &str, table: &str) -> Result<(), String> {
        let describe = format!(
            "SELECT name, type FROM system.columns WHERE database = '{database}' AND table = '{table}'"
        );
        let columns = self.execute(engine, describe).await?;
        let columns: Vec<(&str, &str)> = columns.lines().filter_map(|line| line.split_once('\t')).collect();
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        let names = names.join(", ");
        // TabSeparated escapes quotes.
        let types: Vec<String> =
            columns.iter().map(|(name, kind)| format!("`{name}` {}", kind.replace("\\'", "'"))).collect();
        let mut parts = vec![format!("SELECT {names} FROM `{database}`.`{table}`")];
        self.execute(engine, "CREATE DATABASE IF NOT EXISTS peers".to_owned()).await?;
        for (peer, url) in self.engines.iter().enumerate().filter(|(peer, _)| *peer != engine) {
            let query = format!("SELECT {names} FROM `{database}`.`{table}` FORMAT Native");
            let url = format!(
                "{url}/?user=default&password={}&query={}",
                encoded(TestClickHouse::PASSWORD),
                encoded(&query)
            );
            let name = format!("{table}_{peer}");
            let create = format!(
                "CREATE OR REPLACE TABLE peers.{name} ({}) ENGINE = URL('{url}', 'Native')",
                types.join(", ")
            );
            self.execute(engine, create).await?;
            parts.push(format!("SELECT {names} FROM peers.{name}"));
        }
        let view = format!("CREATE OR REPLACE VIEW `{reading}`.`{table}` AS {}", parts.join(" UNION ALL "));
        self.execute(engine, view).await.map(drop)
    }

    async fn execute(&self, engine: usize, statement: String) -> Result<String, String> {
        let uri = format!("{}/?database=millrace", self.engines[engine]);
        // A database must exist, even for a statement that creates it.
        let uri = if statement.contains("CREATE DATABASE") || statement == "SELECT 1" {
            self.engines[engine].clone()
        } else {
            uri
        };
        let request = Request::post(uri)
            .header("x-clickhouse-user", "default")
            .header("x-clickhouse-key", TestClickHouse::PASSWORD)
            .body(Full::from(statement.clone()))
            .unwrap();
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(format!("{text} ({statement})")) }
    }
}

/// A value in the query of a URL.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A statement of a cluster's server for an engine that is a shard by itself.
fn on_one_engine(statement: &str) -> String {
    let engine = Regex::new(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?").unwrap();
    let processes = Regex::new(r"clusterAllReplicas\('\w+', (system\.processes)\)").unwrap();
    let shard = Regex::new(r"_shard_num = \d+").unwrap();
    let statement = engine.replace_all(statement, "$1(");
    let statement = statement
        .replace("replicated_deduplication_window = 200000", "non_replicated_deduplication_window = 10000");
    // Distributed tables have PREWHERE, views do not.
    let statement = statement.replace("PREWHERE", "WHERE");
    let statement = processes.replace_all(&statement, "$1");
    shard.replace_all(&statement, "1").into_owned()
}
