//! ClickHouse's HTTP protocol, as the embedded engine serves it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::common::TIMEOUT;

const PASSWORD: &str = "se'cret";

/// A standalone engine. Dropping it kills its process.
pub(crate) struct EngineProcess {
    child: Child,
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
    /// The lines on its standard output before it was ready.
    pub(crate) output: Vec<String>,
}

impl EngineProcess {
    pub(crate) fn start() -> Self {
        Self::start_with(|command| command.env("MILLRACE_ENGINE_PASSWORD", PASSWORD))
    }

    /// Starts an engine whose command `configure` has changed.
    pub(crate) fn start_with(configure: impl Fn(&mut Command) -> &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command
            .args(["engine", "--exit-with-parent", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = configure(&mut command).spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut output = Vec::new();
        let address = loop {
            let mut line = String::new();
            let read = std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
            assert!(read > 0, "the engine exited before it was ready: {output:?}");
            match line.trim().strip_prefix("listening on http://") {
                Some(address) => break address.to_owned(),
                None => output.push(line.trim().to_owned()),
            }
        };
        Self { child, address, folder, output }
    }

    /// Sends a request. Returns the response's status, its head in lower case, and its body, or [`TRUNCATED`].
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let end =
            response.windows(4).position(|window| window == b"\r\n\r\n").expect("the response has a head");
        let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
        let status = head[9..12].parse().unwrap();
        let mut body = response[end + 4..].to_vec();
        if head.contains("transfer-encoding: chunked") {
            body = decode_chunked(&body).unwrap_or_else(|| TRUNCATED.to_vec());
        }
        (status, head, body)
    }

    pub(crate) fn post(&self, target: &str, body: &[u8]) -> (u16, String) {
        let credentials = [("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", PASSWORD)];
        let (status, _, body) = self.request("POST", target, &credentials, body);
        (status, String::from_utf8_lossy(&body).trim_end().to_owned())
    }

    pub(crate) fn post_ok(&self, target: &str, body: &str) -> String {
        let (status, response) = self.post(target, body.as_bytes());
        assert_eq!(status, 200, "{target} {body}: {response}");
        response
    }
}

impl EngineProcess {
    /// Kills the process, and runs another engine on its data folder that exits as soon as it has started.
    pub(crate) fn restart_and_exit(&mut self, library: &std::path::Path) -> std::process::ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Its standard input is at the end, so it exits.
        Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["engine", "--exit-with-parent", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.folder.path())
            .env("MILLRACE_ENGINE_LIB", library)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap()
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn decoded(encoding: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match encoding {
        "gzip" => flate2::read::MultiGzDecoder::new(body).read_to_end(&mut plain)?,
        "zstd" => zstd::stream::read::Decoder::new(body)?.read_to_end(&mut plain)?,
        "lz4" => lz4_flex::frame::FrameDecoder::new(body).read_to_end(&mut plain)?,
        other => panic!("{other}"),
    };
    Ok(plain)
}

/// Stands for the body of a chunked response without its terminating chunk.
const TRUNCATED: &[u8] = b"the response is truncated";

fn decode_chunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + length)?);
        rest = rest.get(end + 2 + length + 2..)?;
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_http_protocol_matches_clickhouse() {
    let engine = EngineProcess::start();
    let credentials = ("Authorization", "Basic ZGVmYXVsdDpzZSdjcmV0"); // default:se'cret
    assert_eq!(engine.request("GET", "/ping", &[], b"").2, b"Ok.\n");
    let (status, head, body) = engine.request("GET", "/?query=SELECT+1&query_id=q1", &[credentials], b"");
    assert_eq!((status, body.as_slice()), (200, b"1\n".as_slice()));
    for header in [
        "x-clickhouse-query-id: q1",
        "x-clickhouse-format: tabseparated",
        "x-clickhouse-timezone: ",
        "x-clickhouse-summary: {",
    ] {
        assert!(head.contains(header), "{head} lacks {header}");
    }
    // Wrong credentials, and a GET request that is not read-only.
    let (status, head, body) = engine.request("POST", "/", &[], b"SELECT 1");
    assert_eq!(status, 403);
    assert!(
        head.contains("x-clickhouse-exception-code: 516") && body.starts_with(b"Code: 516. DB::Exception: ")
    );
    let (status, _, body) = engine.request("GET", "/?query=CREATE+DATABASE+d", &[credentials], b"");
    assert_eq!(status, 500, "{}", String::from_utf8_lossy(&body));
    assert!(body.starts_with(b"Code: 164."));
    // Errors have ClickHouse's codes and statuses.
    for (query, status, code) in [
        ("SELECT * FROM nowhere", 404, "Code: 60."),
        ("SELEC 1", 400, "Code: 62."),
        ("SELECT 1 FORMAT Nonsense", 404, "Code: 73."),
        ("SELECT toUInt8('x')", 400, "Code: 6."),
    ] {
        let (found, response) = engine.post("/", query.as_bytes());
        assert_eq!(found, status, "{query}: {response}");
        assert!(response.starts_with(code), "{query}: {response}");
    }
    // Settings and the database apply to one statement.
    assert_eq!(engine.post_ok("/?max_threads=3", "SELECT getSetting('max_threads')"), "3");
    assert_ne!(engine.post_ok("/", "SELECT getSetting('max_threads')"), "3");
    assert_eq!(engine.post_ok("/?database=system", "SELECT currentDatabase()"), "system");
    assert_eq!(engine.post_ok("/", "SELECT currentDatabase()"), "default");
    assert_eq!(engine.post("/?no_such_setting=1", b"SELECT 1").0, 404);
    // Query parameters in the URL and in a multipart body.
    assert_eq!(engine.post_ok("/?param_x=a%5Ctb", "SELECT {x:String}"), "a\\tb");
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {n:UInt8} + 1\r\n\
                     --b\r\nContent-Disposition: form-data; name=\"param_n\"\r\n\r\n41\r\n--b--\r\n";
    let headers = [credentials, ("Content-Type", "multipart/form-data; boundary=b")];
    assert_eq!(engine.request("POST", "/", &headers, multipart.as_bytes()).2, b"42\n");
    // Statements other than SELECT.
    engine.post_ok("/", "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a");
    assert_eq!(engine.post_ok("/", "EXISTS t"), "1");
    assert!(engine.post_ok("/?default_format=JSONEachRow", "DESCRIBE t").contains("\"name\":\"a\""));
    assert!(engine.post_ok("/", "SHOW TABLES").contains('t'));
}

#[test]
fn data_can_be_inserted_and_selected_in_any_format() {
    let engine = EngineProcess::start();
    engine.post_ok("/", "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a");
    engine.post_ok("/?query=INSERT+INTO+t+FORMAT+CSV", "1,\"x\"\n2,\"y\"\n");
    engine.post_ok("/", "INSERT INTO t FORMAT JSONEachRow {\"a\":3,\"b\":\"z\"}");
    engine.post_ok("/", "INSERT INTO t (a, b) VALUES (4, 'q;'), (5, 'FORMAT CSV')");
    assert_eq!(engine.post_ok("/", "SELECT count(), sum(a) FROM t"), "5\t15");
    let credentials = [("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", PASSWORD)];
    for format in
        ["Native", "RowBinary", "RowBinaryWithNamesAndTypes", "Parquet", "TSVWithNamesAndTypes", "Arrow"]
    {
        engine.post_ok("/", "CREATE OR REPLACE TABLE copy AS t");
        let query =
            format!("SELECT number::UInt32 AS a, toString(number) AS b FROM numbers(200000) FORMAT {format}");
        let (status, _, whole) = engine.request("POST", "/", &credentials, query.as_bytes());
        assert_eq!(status, 200, "{format}");
        let (status, output) = engine.post(&format!("/?query=INSERT+INTO+copy+FORMAT+{format}"), &whole);
        assert_eq!((status, output.as_str()), (200, ""), "{format}");
        assert_eq!(
            engine.post_ok("/", "SELECT count(), sum(a) FROM copy"),
            "200000\t19999900000",
            "{format}"
        );
    }
    // Compressed requests and responses.
    let headers = [credentials[0], credentials[1], ("Content-Encoding", "gzip")];
    let body = gzip(b"INSERT INTO t FORMAT TSV\n6\tgzip\n");
    assert_eq!(engine.request("POST", "/", &headers, &body).0, 200);
    let headers = [credentials[0], credentials[1], ("Content-Encoding", "zstd")];
    let body = zstd::encode_all(&b"INSERT INTO t FORMAT TSV\n7\tzstd\n"[..], 1).unwrap();
    assert_eq!(engine.request("POST", "/", &headers, &body).0, 200);
    for accepted in ["gzip", "zstd", "lz4"] {
        let headers = [credentials[0], credentials[1], ("Accept-Encoding", accepted)];
        let query = b"SELECT number FROM numbers(100000)";
        let (_, head, _) = engine.request("POST", "/?enable_http_compression=0", &headers, query);
        assert!(!head.contains("content-encoding"), "{head}");
        let (_, head, body) = engine.request("POST", "/", &headers, query);
        assert!(head.contains(&format!("content-encoding: {accepted}")), "{head}");
        let plain = String::from_utf8(decoded(accepted, &body).unwrap()).unwrap();
        assert_eq!(plain.lines().count(), 100_000);
        assert_eq!(plain.lines().last(), Some("99999"));
    }
    // An error in a result without bytes is reported.
    let (status, response) =
        engine.post("/", b"SELECT throwIf(number = 3000000) FROM numbers(4000000) FORMAT Null");
    assert_ne!(status, 200, "{response}");
    // An invalid row rejects the whole body.
    let (status, output) = engine.post("/?query=INSERT+INTO+t+FORMAT+CSV", b"8,\"x\"\nnine,\"y\"\n");
    assert_eq!(status, 400, "{output}");
    assert_eq!(engine.post_ok("/", "SELECT count() FROM t"), "7");
    // A response that fails after its beginning has no regular end.
    let (status, _, body) =
        engine.request("POST", "/", &credentials, b"SELECT throwIf(number = 3000000) FROM numbers(4000000)");
    if status == 200 {
        assert_eq!(body, TRUNCATED);
    } else {
        assert!(body.starts_with(b"Code: 395."));
    }
}

/// A second statement is not executed, also in read-only requests, and data is not parsed as a statement.
#[test]
fn a_request_must_hold_one_statement() {
    let engine = EngineProcess::start();
    engine.post_ok("/", "CREATE TABLE t (a Int64, b String) ENGINE = MergeTree ORDER BY a");
    let second = "CREATE TABLE second (a Int8) ENGINE = Memory";
    for first in [
        "SELECT 1;",
        "SELECT 1 FORMAT JSON;",
        "SHOW TABLES;",
        "EXPLAIN AST INSERT INTO t VALUES (1);",
        "CREATE TABLE IF NOT EXISTS other (a Int8) ENGINE = Memory;",
        "INSERT INTO t SELECT 1, '';",
        "INSERT INTO t (a);",
        "SELECT 1 /* /* ; */ ; */ ;;",
        "SELECT 1 -- '\n;",
        "SELECT 'a\\';' ;",
    ] {
        for target in ["/", "/?readonly=1", "/?readonly=2"] {
            let (status, response) = engine.post(target, format!("{first} {second}").as_bytes());
            assert_eq!(status, 400, "{first}: {response}");
            assert!(
                response.starts_with("Code: 62.") && response.contains("Multi-statements are not allowed"),
                "{response}"
            );
        }
    }
    assert_eq!(engine.post_ok("/", "EXISTS second"), "0");
    assert_eq!(engine.post_ok("/", "SELECT count() FROM t"), "0");
    // One statement in the URL and one in the body.
    let target = format!("/?query={}", "SHOW+TABLES;");
    assert_eq!(engine.post(&target, second.as_bytes()).0, 400);
    // Semicolons are allowed at the end, and in quotes, comments and heredocs.
    for (text, response) in [
        ("SELECT 1;", "1"),
        ("SELECT 1 ; -- done; SELECT 2", "1"),
        ("SELECT 1;;\n/* ; /* ; */ ; */", "1"),
        ("SELECT ';' || $$;$$ || $x$;$x$", ";;;"),
        ("SELECT a FROM (SELECT 1 AS a);", "1"),
    ] {
        assert_eq!(engine.post_ok("/", text), response, "{text}");
    }
    engine.post_ok("/", "INSERT INTO t VALUES (1, 'a;b'), (2, '; SELECT 1');");
    engine.post_ok("/", "INSERT INTO t FORMAT TSV\n3\t; DROP TABLE t\n");
    engine.post_ok("/?query=INSERT+INTO+t+FORMAT+CSV", "4,\"x;y\"\n");
    assert_eq!(engine.post_ok("/", "SELECT count(), sum(a) FROM t"), "4\t10");
    // The library would silently ignore this data.
    let (status, response) =
        engine.post("/", b"INSERT INTO t SELECT * FROM input('a Int64, b String') FORMAT CSV\n5,x");
    assert_eq!(status, 400, "{response}");
    assert!(response.contains("INSERT INTO … FORMAT"), "{response}");
}

#[test]
fn a_column_may_be_named_format() {
    let engine = EngineProcess::start();
    engine.post_ok("/", "CREATE TABLE t (format String, n Int64) ENGINE = MergeTree ORDER BY n");
    engine.post_ok("/", "INSERT INTO t VALUES ('CSV', 1), ('JSON', 2)");
    assert_eq!(engine.post_ok("/", "SELECT format FROM t ORDER BY n"), "CSV\nJSON");
    assert_eq!(
        engine.post_ok("/", "SELECT format, sum(n) AS n FROM t GROUP BY format ORDER BY n DESC LIMIT 1"),
        "JSON\t2"
    );
    assert_eq!(
        engine.post_ok("/", "SELECT format FROM t WHERE n = 1 FORMAT JSONEachRow;"),
        "{\"format\":\"CSV\"}"
    );
    let with_settings = "SELECT format FROM t WHERE n = 1 FORMAT JSONEachRow SETTINGS max_threads = 1";
    assert_eq!(engine.post_ok("/", with_settings), "{\"format\":\"CSV\"}");
}

#[test]
fn a_statement_is_executed_verbatim_or_rejected() {
    let engine = EngineProcess::start();
    for text in [b"SELECT hex('\xff')".as_slice(), b"SHOW TABLES LIKE '\xfe'", b"INSERT INTO t SELECT '\xff'"]
    {
        let (status, response) = engine.post("/", text);
        assert_eq!(status, 400, "{response}");
        assert!(response.starts_with("Code: 62.") && response.contains("not UTF-8 at byte"), "{response}");
    }
    assert_eq!(engine.post_ok("/", "SELECT hex('\\xFF')"), "FF");
    // Data may contain any bytes.
    engine.post_ok("/", "CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a");
    assert_eq!(engine.post("/", b"INSERT INTO t FORMAT RowBinary\n\x01\xff"), (200, String::new()));
    assert_eq!(engine.post_ok("/", "SELECT hex(a) FROM t"), "FF");
}

/// An error after the beginning of a compressed response is compressed as well, so that a client can read it.
#[test]
fn an_error_in_a_compressed_response_is_readable() {
    let engine = EngineProcess::start();
    for encoding in ["gzip", "zstd", "lz4"] {
        let mut stream = TcpStream::connect(&engine.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let query = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)";
        let head = format!(
            "POST /?enable_http_compression=1&max_block_size=65536 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             X-ClickHouse-User: default\r\nX-ClickHouse-Key: {PASSWORD}\r\nAccept-Encoding: {encoding}\r\n\
             Content-Length: {}\r\n\r\n{query}",
            query.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        assert!(response.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response[..end]));
        let mut body = Vec::new();
        let mut rest = &response[end + 4..];
        // The terminating chunk is missing.
        while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
            assert_ne!(length, 0, "the response is complete");
            body.extend_from_slice(&rest[at + 2..at + 2 + length]);
            rest = &rest[at + 2 + length + 2..];
        }
        let plain = decoded(encoding, &body).unwrap_or_else(|error| panic!("{encoding}: {error}"));
        let last = plain.len().saturating_sub(1_000);
        let output = String::from_utf8_lossy(&plain[last..]).into_owned();
        assert!(output.contains("Code: 395."), "{encoding}: {output}");
    }
}

#[test]
fn a_repeated_token_is_deduplicated_and_readers_run_during_inserts() {
    let engine = EngineProcess::start();
    engine.post_ok(
        "/",
        "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100",
    );
    for _ in 0..3 {
        engine.post_ok("/?insert_deduplication_token=one&async_insert=0", "INSERT INTO t FORMAT TSV\n1\n2\n");
    }
    engine.post_ok("/?insert_deduplication_token=two&async_insert=0", "INSERT INTO t FORMAT TSV\n1\n2\n");
    assert_eq!(engine.post_ok("/", "SELECT count() FROM t"), "4");
    // Readers of infinite results delay neither inserts nor each other.
    let readers: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(&engine.address).unwrap();
            let head = "GET /?query=SELECT+number+FROM+system.numbers HTTP/1.1\r\nHost: x\r\n\
                        Authorization: Basic ZGVmYXVsdDpzZSdjcmV0\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let mut status_line = [0; 12];
            stream.read_exact(&mut status_line).unwrap();
            assert_eq!(&status_line, b"HTTP/1.1 200");
            stream
        })
        .collect();
    engine.post_ok("/", "INSERT INTO t VALUES (5)");
    assert_eq!(engine.post_ok("/", "SELECT max(a) FROM t"), "5");
    drop(readers);
}
