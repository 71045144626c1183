//! Inserts of an owner that was replaced meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::broker::KafkaCluster;
use millrace_client::proto::v1;

use super::source::{PARTITIONS, TOPIC, assert_exact, folder, lag, produce, start, wait_for_events};
use crate::common::{TIMEOUT, TestClickHouse, free_address, send_signal};
use crate::replicas::name_engine;

/// A network between a server and ClickHouse that can hold inserts back, and delivers them later.
#[derive(Clone)]
struct SlowNetwork {
    engine: Arc<str>,
    client: Client<HttpConnector, Full<Bytes>>,
    is_slow: watch::Sender<bool>,
    held: Arc<AtomicU64>,
    delivered: Arc<AtomicU64>,
}

impl SlowNetwork {
    /// Returns its address too.
    async fn start(engine: &str) -> (Self, String) {
        let network = Self {
            engine: engine.into(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            is_slow: watch::Sender::new(false),
            held: Arc::default(),
            delivered: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepting = network.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let network = accepting.clone();
                // What has arrived here is delivered, even if its sender is gone.
                let service = service_fn(move |request| {
                    let delivery = tokio::spawn(network.clone().deliver(request));
                    async move { delivery.await.unwrap() }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                tokio::spawn(async move { drop(serving.await) });
            }
        });
        (network, url)
    }

    async fn deliver(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let is_insert =
            request.uri().query().is_some_and(|query| query.contains("insert_deduplication_token"));
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let is_held = is_insert && *self.is_slow.borrow();
        if is_held {
            self.held.fetch_add(1, Relaxed);
            self.is_slow.subscribe().wait_for(|is_slow| !is_slow).await.unwrap();
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("{}{path}", self.engine).parse().unwrap();
        let request = Request::from_parts(head, Full::new(body));
        let response = self.client.request(request).await.map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if is_held {
            assert!(head.status.is_success(), "{body:?}");
            self.delivered.fetch_add(1, Relaxed);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The first server seals batches and sends their events, which do not arrive. It is suspended, the second one stores the batches,
/// and then the events arrive.
#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_arrives_after_another_server_has_stored_its_batch_adds_nothing() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let (clickhouse_folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let engine = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, clickhouse_folder.path());
    let (network, url) = SlowNetwork::start(&engine).await;
    let many = ("MILLRACE_INSERTS_IN_FLIGHT", "4");
    let (first_folder, second_folder) = (folder(), folder());
    let first = start(&kafka, &first_folder, &[("CLICKHOUSE_URL", &url), many]);
    name_engine(&first, &engine);
    produce(&kafka.client_config(), 0..1_200);
    wait_for_events(&first, 1_200).await;

    network.is_slow.send_replace(true);
    produce(&kafka.client_config(), 1_200..6_000);
    wait_until("inserts in flight", || network.held.load(Relaxed) >= 4).await;
    send_signal(first.pid(), "STOP");
    let second = start(&kafka, &second_folder, &[("CLICKHOUSE_URL", &engine), many]);
    name_engine(&second, &engine);
    wait_for_events(&second, 6_000).await;
    let settled = |health: &v1::Health| lag(health) == Some(0) && health.buffer_size == 0;
    // Its repairs have ended too.
    second.wait_for_health("without lag", settled).await;
    let again = second.log().matches("storing a sealed batch of an earlier owner").count();
    assert!(again >= 4, "{again} batches:\n{}", second.log());

    let held = network.held.load(Relaxed);
    network.is_slow.send_replace(false);
    wait_until("delivered", || network.delivered.load(Relaxed) == held).await;
    assert_exact(&second, 6_000).await;
    // Then it goes on, and consumes its share.
    send_signal(first.pid(), "CONT");
    for server in [&first, &second] {
        server
            .wait_for_health("an owner", |health| {
                health.kafka.as_ref().is_some_and(|kafka| kafka.partitions.len() == PARTITIONS as usize / 2)
            })
            .await;
    }
    produce(&kafka.client_config(), 6_000..7_200);
    wait_for_events(&second, 7_200).await;
    assert_exact(&second, 7_200).await;
}
