//! Traffic of `millrace generate`, and servers that have received it.

use std::path::PathBuf;
use std::sync::Arc;

use millrace::internals::clickhouse::INSERT_SETTINGS;
use millrace_client::proto::v1;
use serde_json::value::RawValue;
use tokio::process::Command;

use crate::common::TestServer;

/// The most events in a request of SendEvents and `POST /events`.
pub(crate) const EVENTS_PER_REQUEST: usize = 500;
/// Events of a sample. It is sent repeatedly.
const SAMPLE_EVENTS: usize = 100_000;

/// A server on an empty folder with default settings.
pub(crate) fn start_server() -> TestServer {
    TestServer::start_with(&[("MILLRACE_LOG", "info")])
}

/// The same with TLS, and a certificate that is its own authority. Returns also the file of the authority.
pub(crate) fn start_tls_server() -> (TestServer, PathBuf) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&certificate, issued.cert.pem()).unwrap();
    std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let env = [
        ("MILLRACE_LOG", "info"),
        ("MILLRACE_TLS_CERT", certificate.to_str().unwrap()),
        ("MILLRACE_TLS_KEY", key.to_str().unwrap()),
    ];
    (TestServer::start_on(folder, &env), certificate)
}

/// Runs `millrace generate` with steady traffic, and waits for its end.
pub(crate) async fn generate(server: &TestServer, arguments: &[&str]) {
    let status = generate_command(server, arguments).status().await.unwrap();
    assert!(status.success(), "millrace generate {arguments:?}: {status}");
}

/// `millrace generate` with steady traffic.
pub(crate) fn generate_command(server: &TestServer, arguments: &[&str]) -> Command {
    generate_to(&server.url(), arguments)
}

/// The same for a URL.
pub(crate) fn generate_to(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args(["generate", "--scenario", "steady", "--target", url]).args(arguments);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    command
}

/// A client of the server's engine with the settings of the server's own inserts, instead of those of ad-hoc statements.
pub(crate) fn engine_client(server: &TestServer) -> clickhouse::Client {
    let endpoint = std::fs::read(server.data_dir().join("engine.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_slice(&endpoint).unwrap();
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut client = clickhouse::Client::default()
        .with_url(endpoint["url"].as_str().unwrap())
        .with_user(endpoint["user"].as_str().unwrap())
        .with_password(endpoint["password"].as_str().unwrap())
        .with_database("millrace")
        .with_compression(clickhouse::Compression::None);
    let cores = cores.to_string();
    let own_settings = [("priority", "1"), ("max_threads", cores.as_str()), ("max_block_size", "65409")];
    for (name, value) in own_settings.into_iter().chain(INSERT_SETTINGS) {
        client = client.with_setting(name, value);
    }
    client
}

/// Events of the last hour, as requests.
pub(crate) struct Sample {
    pub(crate) requests: Vec<v1::SendEventsRequest>,
    /// The same requests for `POST /events`.
    pub(crate) bodies: Vec<Arc<[u8]>>,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct JsonEvent {
    event_name: String,
    timestamp: String,
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    device_type: String,
    country_code: String,
    properties: Box<RawValue>,
}

impl Sample {
    /// Reads events from a server that has received generated traffic.
    pub(crate) async fn read(server: &TestServer) -> Self {
        let rows = engine_client(server)
            .query_raw(&format!(
                "SELECT event_name, concat(replaceOne(toString(timestamp), ' ', 'T'), 'Z'), session_id, user_id, device_type, \
                 country_code, properties FROM events ORDER BY received_at, timestamp LIMIT {SAMPLE_EVENTS}"
            ))
            .fetch_bytes("JSONCompactEachRow")
            .unwrap()
            .collect()
            .await
            .unwrap();
        let rows = std::str::from_utf8(&rows).unwrap();
        type Row = (String, String, String, Option<String>, String, String, String);
        let events: Vec<JsonEvent> = rows
            .lines()
            .map(|row| {
                let (event_name, timestamp, session_id, user_id, device_type, country_code, properties): Row =
                    serde_json::from_str(row).unwrap();
                let properties = RawValue::from_string(properties).unwrap();
                JsonEvent {
                    event_name,
                    timestamp,
                    session_id,
                    user_id,
                    device_type,
                    country_code,
                    properties,
                }
            })
            .collect();
        assert!(events.len() >= EVENTS_PER_REQUEST, "the sample has only {} events", events.len());
        let requests = events.chunks_exact(EVENTS_PER_REQUEST).map(|events| v1::SendEventsRequest {
            events: events.iter().map(to_message).collect(),
            ..Default::default()
        });
        let bodies =
            events.chunks_exact(EVENTS_PER_REQUEST).map(|events| serde_json::to_vec(events).unwrap().into());
        Self { requests: requests.collect(), bodies: bodies.collect() }
    }
}

fn to_message(event: &JsonEvent) -> v1::Event {
    let timestamp: jiff::Timestamp = event.timestamp.parse().unwrap();
    v1::Event {
        event_name: event.event_name.clone(),
        timestamp: Some(millrace::internals::proto::timestamp_from_millis(timestamp.as_millisecond())),
        session_id: event.session_id.clone(),
        user_id: event.user_id.clone(),
        device_type: event.device_type.clone(),
        country_code: event.country_code.clone(),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(event.properties.get().to_owned())),
        event_id: None,
    }
}
