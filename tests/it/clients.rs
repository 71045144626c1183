//! Clients that others wrote, in other languages. `make test` brings them; where they are is in MILLRACE_TEST_TOOLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Server;

fn tools() -> PathBuf {
    let tools = std::env::var_os("MILLRACE_TEST_TOOLS");
    PathBuf::from(tools.expect("MILLRACE_TEST_TOOLS names the clients that `make test` brings; run that"))
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("ok"), "{command:?}: {}\n{said}", output.status);
}

fn python() -> PathBuf {
    tools().join("python/bin/python")
}

#[test]
fn grpcurl_needs_no_proto_files() {
    let server = Server::start();
    let path = format!("{}:{}", tools().join("go/bin").display(), std::env::var("PATH").unwrap());
    succeeds(
        Command::new(clients().join("grpcurl.sh"))
            .env("PATH", path)
            .env("MILLRACE_TEST_ADDR", &server.address),
    );
}

#[test]
fn python_with_generated_stubs() {
    let server = Server::start();
    let stubs = tempfile::tempdir().unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let generated = Command::new(python())
        .args(["-m", "grpc_tools.protoc", "-I", proto.to_str().unwrap()])
        .arg(format!("--python_out={}", stubs.path().display()))
        .arg(format!("--grpc_python_out={}", stubs.path().display()))
        .args(
            ["event", "ingest", "dashboard", "health"]
                .map(|name| proto.join(format!("millrace/v1/{name}.proto"))),
        )
        .status()
        .unwrap();
    assert!(generated.success());
    succeeds(
        Command::new(python())
            .arg(clients().join("grpcio_client.py"))
            .env("MILLRACE_TEST_STUBS", stubs.path())
            .env("MILLRACE_TEST_ADDR", &server.address),
    );
}

/// How a ClickHouse client reaches the embedded engine.
fn endpoint(server: &Server) -> [(&'static str, String); 2] {
    let file = std::fs::read(server.data_dir().join("engine.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let text = |key: &str| endpoint[key].as_str().unwrap().to_owned();
    [("CLICKHOUSE_TEST_URL", text("url")), ("CLICKHOUSE_TEST_PASSWORD", text("password"))]
}

#[test]
fn clickhouse_connect_reads_and_writes_the_embedded_database() {
    let server = Server::start();
    succeeds(
        Command::new(python()).arg(clients().join("clickhouse_connect_client.py")).envs(endpoint(&server)),
    );
}

#[test]
fn clickhouse_client_for_node_reads_and_writes_the_embedded_database() {
    let server = Server::start();
    succeeds(Command::new("node").arg(tools().join("node/clickhouse_client.mjs")).envs(endpoint(&server)));
}
