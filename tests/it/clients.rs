//! Third-party clients in other languages. `make test` installs them and sets MILLRACE_TEST_TOOLS to their folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::TestServer;

pub(crate) fn tools_dir() -> PathBuf {
    let tools = std::env::var_os("MILLRACE_TEST_TOOLS");
    PathBuf::from(
        tools.expect("MILLRACE_TEST_TOOLS is set by `make test`, which installs the clients; run that"),
    )
}

pub(crate) fn clients_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

pub(crate) fn assert_succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let output_text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && output_text.contains("ok"),
        "{command:?}: {}\n{output_text}",
        output.status
    );
}

pub(crate) fn python() -> PathBuf {
    tools_dir().join("python/bin/python")
}

#[test]
fn grpcurl_works_through_reflection() {
    let server = TestServer::start();
    let path = format!("{}:{}", tools_dir().join("go/bin").display(), std::env::var("PATH").unwrap());
    assert_succeeds(
        Command::new(clients_dir().join("grpcurl.sh"))
            .env("PATH", path)
            .env("MILLRACE_TEST_ADDR", &server.address),
    );
}

#[test]
fn a_python_client_works_with_generated_stubs() {
    let server = TestServer::start();
    let stubs = tempfile::tempdir().unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let generated = Command::new(python())
        .args(["-m", "grpc_tools.protoc", "-I", proto.to_str().unwrap()])
        .arg(format!("--python_out={}", stubs.path().display()))
        .arg(format!("--grpc_python_out={}", stubs.path().display()))
        .args(proto.join("millrace/v1").read_dir().unwrap().map(|file| file.unwrap().path()))
        .status()
        .unwrap();
    assert!(generated.success());
    assert_succeeds(
        Command::new(python())
            .arg(clients_dir().join("grpcio_client.py"))
            .env("MILLRACE_TEST_STUBS", stubs.path())
            .env("MILLRACE_TEST_ADDR", &server.address),
    );
}

/// Address and password of the embedded engine, for a ClickHouse client.
fn clickhouse_env(server: &TestServer) -> [(&'static str, String); 2] {
    let file = std::fs::read(server.data_dir().join("engine.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let text = |key: &str| endpoint[key].as_str().unwrap().to_owned();
    [("CLICKHOUSE_TEST_URL", text("url")), ("CLICKHOUSE_TEST_PASSWORD", text("password"))]
}

#[test]
fn clickhouse_connect_reads_and_writes_the_embedded_database() {
    let server = TestServer::start();
    assert_succeeds(
        Command::new(python())
            .arg(clients_dir().join("clickhouse_connect_client.py"))
            .envs(clickhouse_env(&server)),
    );
}

#[test]
fn clickhouse_node_client_reads_and_writes_the_embedded_database() {
    let server = TestServer::start();
    assert_succeeds(
        Command::new("node")
            .arg(tools_dir().join("node/clickhouse_client.mjs"))
            .envs(clickhouse_env(&server)),
    );
}
