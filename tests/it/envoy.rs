//! The real Envoy with the shipped configuration.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use crate::common::{TIMEOUT, free_address};

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tool(path: &str) -> PathBuf {
    let tools = std::env::var_os("MILLRACE_TEST_TOOLS");
    PathBuf::from(tools.expect("MILLRACE_TEST_TOOLS is set by `make test`, which installs the tools"))
        .join(path)
}

pub(crate) fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}: {text}");
    output
}

const SHIPPED_SERVER: &str = "address: millrace, port_value: 8080";
/// The lines of an endpoint up to its address.
const ENDPOINT: &str = "              - endpoint:\n                  address: ";

/// Envoy with the shipped configuration; only the addresses, the number of servers and the folder of the certificate are others.
pub(crate) struct Envoy {
    child: Child,
    /// `localhost:PORT`, the name in its certificate.
    pub(crate) address: String,
    admin: String,
    certificates: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Envoy {
    pub(crate) fn start(servers: &[&str]) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let folder = certificates.path();
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("tls.crt"), issued.cert.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), issued.signing_key.serialize_pem()).unwrap();
        let shipped = std::fs::read_to_string(repository().join("envoy/envoy.yaml")).unwrap();
        let (listen, admin) = (free_address(), free_address());
        let mut config = shipped.replace("/etc/envoy/certificates", folder.to_str().unwrap());
        let socket_address = |address: &str| {
            let (host, port) = address.rsplit_once(':').unwrap();
            format!("address: {host}, port_value: {port}")
        };
        let endpoint = format!("{ENDPOINT}{{ socket_address: {{ {SHIPPED_SERVER} }} }}\n");
        let endpoints: String =
            servers.iter().map(|server| endpoint.replace(SHIPPED_SERVER, &socket_address(server))).collect();
        for (from, to) in [
            ("address: 0.0.0.0, port_value: 8443", socket_address(&listen)),
            ("address: 127.0.0.1, port_value: 9901", socket_address(&admin)),
            (&endpoint, endpoints),
        ] {
            assert_eq!(config.matches(from).count(), 1, "{from}");
            config = config.replace(from, &to);
        }
        let path = folder.join("envoy.yaml");
        std::fs::write(&path, config).unwrap();
        succeeded(Command::new(tool("python/bin/envoy")).args(["--mode", "validate", "-c"]).arg(&path));
        let log = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
        let child = Command::new(tool("python/bin/envoy"))
            .args(["--concurrency", "1", "--use-dynamic-base-id", "-c"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log("access.log"))
            .stderr(log("envoy.log"))
            .spawn()
            .unwrap();
        let port = listen.rsplit_once(':').unwrap().1;
        Self { child, address: format!("localhost:{port}"), admin, certificates }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.certificates.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// What it reports about itself.
    pub(crate) fn log(&self) -> String {
        self.read("envoy.log")
    }

    /// Waits until requests are balanced over this number of servers.
    pub(crate) async fn wait_until_healthy(&self, servers: usize) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let clusters = self.admin("/clusters");
            if clusters.matches("::health_flags::healthy").count() == servers {
                return;
            }
            assert!(Instant::now() < deadline, "{clusters}\n{}", self.log());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// A page of the admin port; empty before Envoy listens there.
    fn admin(&self, path: &str) -> String {
        let mut page = String::new();
        if let Ok(mut stream) = TcpStream::connect(&self.admin) {
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut page).unwrap();
        }
        page
    }

    pub(crate) fn grpcurl(&self, arguments: &[&str]) -> Output {
        let (options, method) = arguments.split_at(arguments.len() - 1);
        Command::new(tool("go/bin/grpcurl"))
            .arg("-cacert")
            .arg(self.file("tls.crt"))
            .args(options)
            .arg(&self.address)
            .args(method)
            .output()
            .unwrap()
    }

    pub(crate) fn wait_until_serving(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.grpcurl(&["grpc.health.v1.Health/Check"]).status.success() {
            assert!(Instant::now() < deadline, "Envoy never serves:\n{}", self.read("envoy.log"));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// An HTTP/1.1 request over TLS, as a browser without HTTP/2 sends it.
    pub(crate) fn request(&self, head: &str, body: &[u8]) -> TlsConnection {
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-servername",
                "localhost",
                "-alpn",
                "http/1.1",
            ])
            .args(["-connect", &self.address, "-CAfile"])
            .arg(self.file("tls.crt"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let length = body.len();
        let head = format!("{head}host: {}\r\ncontent-length: {length}\r\n\r\n", self.address);
        child.stdin.as_mut().unwrap().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        TlsConnection { child, reader }
    }
}

pub(crate) struct TlsConnection {
    child: Child,
    reader: BufReader<std::process::ChildStdout>,
}

impl Drop for TlsConnection {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl TlsConnection {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn head(&mut self) -> Vec<String> {
        let lines = std::iter::repeat_with(|| self.line());
        lines.take_while(|line| !line.is_empty()).collect()
    }

    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let size = self.line();
        let mut chunk = vec![0; usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("{size:?}"))];
        self.reader.read_exact(&mut chunk).unwrap();
        assert_eq!(self.line(), "");
        chunk
    }
}
