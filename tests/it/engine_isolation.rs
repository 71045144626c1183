//! Isolation of the embedded engine: from the machine's files and network, and between its clients.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use millrace_client::proto::v1::Status;

use crate::common::{TIMEOUT, TestServer, event, events_request};
use crate::engine::EngineProcess;

/// Whether the kernel confines the engine. Prints a note if not, since the test is then skipped.
fn is_sandboxed(output: &[String]) -> bool {
    let sandboxed = output.iter().any(|line| line == "sandbox: enforced");
    if !sandboxed {
        eprintln!("NOT TESTED, the kernel does not confine the engine: {output:?}");
    }
    sandboxed
}

#[test]
fn a_statement_cannot_reach_outside_the_data_folder() {
    let engine = EngineProcess::start();
    if !is_sandboxed(&engine.output) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name).display().to_string();
    fs::write(path("secret"), "secret").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let inside = engine.folder.path().canonicalize().unwrap().join("linked");
    std::os::unix::fs::symlink(path("secret"), &inside).unwrap();
    for statement in [
        format!("SELECT file('{}')", path("secret")),
        format!("SELECT file('{}')", inside.display()),
        format!("SELECT * FROM file('{}', 'RawBLOB', 'a String')", path("secret")),
        "SELECT file('/etc/passwd')".into(),
        "SELECT * FROM file('/etc/passwd', 'TSVRaw', 'a String')".into(),
        "SELECT file('/proc/self/environ')".into(),
        "SELECT file('/proc/self/maps')".into(),
        format!("SELECT 'x' INTO OUTFILE '{}'", path("written")),
        format!("INSERT INTO FUNCTION file('{}', 'TSV', 'a String') SELECT 'x'", path("written")),
        format!("SELECT 'x' INTO OUTFILE '{}' TRUNCATE", path("secret")),
        format!("SELECT * FROM url('http://127.0.0.1:{port}/', 'RawBLOB', 'a String')"),
        format!("SELECT * FROM url('http://localhost:{port}/', 'RawBLOB', 'a String')"),
        format!("SELECT * FROM remote('127.0.0.1:{port}', 'system.one')"),
        format!("SELECT * FROM mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p')"),
        "SELECT * FROM executable('cat', 'TSV', 'a String', (SELECT 'x'))".into(),
    ] {
        // url() retries for minutes by default.
        let (status, response) = engine.post("/?http_max_tries=1", statement.as_bytes());
        assert_ne!(status, 200, "{statement}: {response}");
        assert!(!response.contains("root:") && !response.contains("secret\n"), "{statement}: {response}");
    }
    // Folders outside cannot be listed, so the pattern matches no file.
    let listed = format!("SELECT * FROM file('{}*', 'RawBLOB', 'a String')", path("secre"));
    assert_eq!(engine.post_ok("/", &listed), "");
    assert!(listener.accept().is_err(), "a statement opened a connection");
    assert!(!outside.path().join("written").exists());
    assert_eq!(fs::read_to_string(path("secret")).unwrap(), "secret");

    // The engine still works: merges, mutations, links between tables, sorts that spill to disk.
    engine
        .post_ok("/", "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a PARTITION BY a % 2");
    for _ in 0..3 {
        engine.post_ok("/", "INSERT INTO t SELECT number, toString(number) FROM numbers(100000)");
    }
    engine.post_ok("/", "OPTIMIZE TABLE t FINAL");
    engine.post_ok("/?mutations_sync=2", "ALTER TABLE t DELETE WHERE a < 1000");
    engine.post_ok("/", "CREATE TABLE copy AS t");
    engine.post_ok("/", "ALTER TABLE copy REPLACE PARTITION 1 FROM t");
    engine.post_ok("/", "RENAME TABLE copy TO copied");
    assert_eq!(engine.post_ok("/", "SELECT count() FROM copied"), "148500");
    let spilled = "SELECT count() FROM (SELECT a FROM t ORDER BY b) \
                   SETTINGS max_bytes_before_external_sort = 1000000, max_bytes_ratio_before_external_sort = 0";
    assert_eq!(engine.post_ok("/", spilled), "297000");
}

#[test]
fn stray_configuration_files_are_ignored() {
    let (home, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config =
        "<clickhouse><timezone>Asia/Tokyo</timezone><mark_cache_size>12345</mark_cache_size></clickhouse>";
    for path in ["config.xml", "clickhouse-local.xml"] {
        fs::write(directory.path().join(path), config).unwrap();
    }
    fs::create_dir(home.path().join(".clickhouse-local")).unwrap();
    fs::write(home.path().join(".clickhouse-local/config.xml"), config).unwrap();
    // The default path of the library is in HOME, which the test changes.
    let library = millrace::internals::config::default_engine_library();
    let mut engine = EngineProcess::start_with(|command| {
        command
            .env("MILLRACE_ENGINE_PASSWORD", "se'cret")
            .env("MILLRACE_ENGINE_LIB", &library)
            .env("HOME", home.path())
            .env("TZ", "Europe/Lisbon")
            .current_dir(directory.path())
    });
    assert_eq!(engine.post_ok("/", "SELECT timezone()"), "Europe/Lisbon");
    let cache = "SELECT value FROM system.server_settings WHERE name = 'mark_cache_size'";
    assert_ne!(engine.post_ok("/", cache), "12345");
    // A file that a statement writes to the working directory is removed by the next start.
    engine.post_ok("/", &format!("SELECT '{config}' INTO OUTFILE 'config.xml' FORMAT LineAsString"));
    let written = engine.folder.path().join("home/config.xml");
    assert!(written.exists());
    assert!(engine.restart_and_exit(&library).success());
    assert!(!written.exists());
}

#[test]
fn a_standalone_engine_requires_a_password() {
    let engine = EngineProcess::start_with(|command| command.env("MILLRACE_ENGINE_PASSWORD", ""));
    for headers in [&[][..], &[("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", "")][..]] {
        let (status, _, response) = engine.request("POST", "/", headers, b"SELECT 1");
        assert_eq!(status, 403, "{}", String::from_utf8_lossy(&response));
    }
    let generated = engine.output.iter().find_map(|line| line.strip_prefix("password of the user default: "));
    let headers =
        [("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", generated.expect("the password is printed"))];
    assert_eq!(engine.request("POST", "/", &headers, b"SELECT 1").0, 200);
}

#[test]
fn the_engine_has_a_memory_limit() {
    let limit = "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'";
    let engine = EngineProcess::start_with(|command| {
        command.env("MILLRACE_ENGINE_PASSWORD", "se'cret").env("MILLRACE_ENGINE_MEMORY_BYTES", "1073741824")
    });
    assert_eq!(engine.post_ok("/", limit), "1073741824");
    let (status, response) = engine.post("/", b"SELECT length(groupArray(number)) FROM numbers(300000000)");
    assert_ne!(status, 200);
    assert!(response.starts_with("Code: 241."), "{response}");
    let cores = std::thread::available_parallelism().unwrap().get().clamp(2, 16);
    let merges = "SELECT value FROM system.server_settings WHERE name = 'background_pool_size'";
    assert_eq!(engine.post_ok("/", merges), cores.to_string());

    let engine = EngineProcess::start();
    let default_limit: u64 = engine.post_ok("/", limit).parse().unwrap();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(default_limit > 0 && default_limit <= total * 1_024 / 4 * 3, "{default_limit} of {total} KiB");
}

#[tokio::test]
async fn health_reports_the_confinement_of_the_engine() {
    let server = TestServer::start();
    let sandbox = server.health().await.clickhouse.unwrap().engine_sandbox;
    if sandbox == "enforced" {
        // The server's own files, such as the journal, are outside the engine's data folder.
        server.ingest().await.send_events(events_request(vec![event("x")])).await.unwrap();
        server.wait_until_landed().await;
        let file = fs::read(server.data_dir().join("engine.json")).unwrap();
        let endpoint: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let text = |name: &str| endpoint[name].as_str().unwrap().to_owned();
        let client = clickhouse::Client::default().with_url(text("url")).with_user(text("user"));
        let client = client.with_password(text("password"));
        let journal = fs::read_dir(server.data_dir().join("journal")).unwrap().flatten();
        let mut files: Vec<_> = journal.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.push(server.data_dir().join("engine.json"));
        for path in files {
            let query = format!("SELECT length(file('{}'))", path.display());
            let error = client.query(&query).fetch_one::<u64>().await.unwrap_err();
            assert!(error.to_string().contains("Permission denied"), "{error}");
        }
    } else {
        eprintln!("NOT TESTED, the kernel does not confine the engine: {sandbox}");
    }
    drop(server);

    let mut server = TestServer::start_with(&[("MILLRACE_ENGINE_SANDBOX", "off")]);
    let health = server.health().await;
    assert_eq!(health.status(), Status::Ok, "an unconfined engine is not a fault");
    assert_eq!(health.clickhouse.unwrap().engine_sandbox, "off (MILLRACE_ENGINE_SANDBOX)");
    server.wait_for_log_line("embedded ClickHouse is not fully confined");
}

/// Sends a request, or its beginning, without reading the response.
fn start_request(engine: &EngineProcess, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&engine.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request).unwrap();
    stream
}

#[test]
fn slow_readers_and_writers_lose_their_permits() {
    let engine = EngineProcess::start();
    let credentials = "Authorization: Basic ZGVmYXVsdDpzZSdjcmV0\r\n"; // default:se'cret
    // Each kind of client takes twice the number of permits. These do not read their infinite results:
    let mut clients = Vec::new();
    for _ in 0..16 {
        let request =
            format!("GET /?query=SELECT+number+FROM+system.numbers HTTP/1.1\r\nHost: x\r\n{credentials}\r\n");
        clients.push(start_request(&engine, request.as_bytes()));
    }
    // These do not send the rest of their statement or data:
    engine.post_ok("/", "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for target in ["/", "/?query=INSERT+INTO+t+FORMAT+TSV"] {
        for _ in 0..16 {
            let request = format!(
                "POST {target} HTTP/1.1\r\nHost: x\r\n{credentials}Content-Length: 4000000\r\n\r\n1\n"
            );
            clients.push(start_request(&engine, request.as_bytes()));
        }
    }
    // These send more than a statement needs to get a permit, and then stop:
    let mut partial_body = "7\n".repeat(1 << 20).into_bytes();
    partial_body.truncate(1_300_000);
    for _ in 0..16 {
        let request = format!(
            "POST /?query=INSERT+INTO+t+FORMAT+TSV HTTP/1.1\r\nHost: x\r\n{credentials}Content-Length: 4000000\r\n\r\n"
        );
        let mut stream = start_request(&engine, request.as_bytes());
        stream.write_all(&partial_body).ok();
        clients.push(stream);
    }
    assert_eq!(engine.post_ok("/", "SELECT 1"), "1", "a permit is free before the timeout");
    assert_eq!(engine.post_ok("/", "SELECT count() FROM t"), "0", "truncated data is not inserted");
}

/// The URL in `engine.json` of the server, and a client that uses it as the user "default".
pub(crate) fn default_user_client(server: &TestServer) -> (String, clickhouse::Client) {
    let file = fs::read(server.data_dir().join("engine.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let text = |name: &str| endpoint[name].as_str().unwrap().to_owned();
    let client = clickhouse::Client::default().with_url(text("url")).with_user(text("user"));
    (text("url"), client.with_password(text("password")).with_database("millrace"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ad_hoc_sessions_do_not_affect_each_other() {
    let server =
        TestServer::start_with(&[("FLUSH_INTERVAL_MS", "20"), ("FLUSH_SIZE", "1"), ("PANEL_CACHE_MS", "0")]);
    let (_, client) = default_user_client(&server);
    let mut sent = 0;
    for statement in [
        "SET readonly = 2",
        "SET readonly = 1",
        "SET max_memory_usage = 1",
        "SET max_execution_time = 1, max_rows_to_read = 1",
        "SET insert_deduplication_token = 'x'",
        "SET max_insert_block_size = 1",
        "CREATE TEMPORARY TABLE events (a Int8)",
        "CREATE TEMPORARY TABLE minutes (a Int8)",
        "USE system",
        "SET limit = 1",
    ] {
        client.query(statement).execute().await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        sent += 3;
        server.ingest().await.send_events(events_request(vec![event("x"); 3])).await.unwrap();
        let health = server.wait_until_landed().await;
        assert_eq!(health.status(), Status::Ok, "after {statement}: {}", health.summary);
        let count = client.query("SELECT count() FROM events").fetch_one::<u64>().await;
        assert_eq!(count.unwrap_or_else(|error| panic!("after {statement}: {error}")), sent);
        let request = millrace_client::proto::v1::GetActiveUsersRequest::default();
        let users = server.dashboard().await.get_active_users(request).await;
        assert_eq!(
            users.unwrap_or_else(|error| panic!("after {statement}: {error}")).into_inner().active_users,
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_database_clients_do_not_delay_events_or_panels() {
    let server =
        TestServer::start_with(&[("FLUSH_INTERVAL_MS", "20"), ("FLUSH_SIZE", "1"), ("PANEL_CACHE_MS", "0")]);
    let (_, client) = default_user_client(&server);
    // More clients than permits, which do not read their results.
    let mut readers = Vec::new();
    for _ in 0..32 {
        let mut cursor = client.query("SELECT number FROM system.numbers").fetch_bytes("TSV").unwrap();
        readers.push(tokio::spawn(async move {
            let first = cursor.next().await;
            (cursor, first.is_ok())
        }));
    }
    for sent in 1..=20 {
        server.ingest().await.send_events(events_request(vec![event("x")])).await.unwrap();
        assert_eq!(server.wait_until_landed().await.events_inserted, sent);
        let request = millrace_client::proto::v1::GetActiveUsersRequest::default();
        server.dashboard().await.get_active_users(request).await.unwrap();
    }
    assert_eq!(server.health().await.status(), Status::Ok);
    // Slow clients lose their permits, so that another ad hoc query can run.
    assert_eq!(client.query("SELECT count() FROM events").fetch_one::<u64>().await.unwrap(), 20);
    drop(readers);
}
