//! TLS on the port: versions, protocols, replaced certificates, and clients that present certificates.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use millrace_client::{Producer, ProducerConfig, proto::v1};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use v1::dashboard_service_client::DashboardServiceClient;
use v1::health_service_client::HealthServiceClient;
use v1::ingest_service_client::IngestServiceClient;

use crate::common::{TIMEOUT, TestServer, event, events_request};
use crate::keys::{create_key, id_of, keys_command};

/// Issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Issued {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // To OpenSSL a certificate with the name of its issuer is its own issuer.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, names: Vec<SanType>) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// For a server on 127.0.0.1.
    fn issue_for_server(&self) -> Issued {
        self.issue(vec![SanType::IpAddress([127, 0, 0, 1].into())])
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(Ia5String::try_from(name).unwrap())
}

/// The files of a server with TLS.
pub(crate) struct Files(Arc<TempDir>);

impl Files {
    pub(crate) fn new(authority: &Authority) -> Self {
        let files = Self(Arc::new(tempfile::tempdir().unwrap()));
        let issued = authority.issue_for_server();
        std::fs::write(files.certificate(), issued.certificate).unwrap();
        std::fs::write(files.key(), issued.key).unwrap();
        std::fs::write(files.authority(), authority.0.pem()).unwrap();
        files
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.path().join("server.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.path().join("server.key")
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    fn start(&self, data_dir: Arc<TempDir>, client_ca: Option<&Path>) -> TestServer {
        let path = |path: PathBuf| path.into_os_string().into_string().unwrap();
        let (certificate, key) = (path(self.certificate()), path(self.key()));
        let client_ca = client_ca.map(|client_ca| path(client_ca.to_owned())).unwrap_or_default();
        let env = [
            ("MILLRACE_TLS_CERT", certificate.as_str()),
            ("MILLRACE_TLS_KEY", &key),
            ("MILLRACE_TLS_CLIENT_CA", &client_ca),
        ];
        TestServer::start_on(data_dir, &env)
    }

    fn endpoint(&self, server: &TestServer, identity: Option<&Issued>) -> Endpoint {
        let ca = Certificate::from_pem(std::fs::read(self.authority()).unwrap());
        let mut tls = ClientTlsConfig::new().ca_certificate(ca);
        if let Some(Issued { certificate, key }) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        Endpoint::from_shared(format!("https://{}", server.address)).unwrap().tls_config(tls).unwrap()
    }

    async fn channel(&self, server: &TestServer, identity: Option<&Issued>) -> Channel {
        self.endpoint(server, identity).connect().await.unwrap()
    }

    /// Connects without gRPC.
    async fn handshake(
        &self,
        server: &TestServer,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> TlsStream<tokio::net::TcpStream> {
        self.try_handshake(server, versions, protocols).await.unwrap()
    }

    async fn try_handshake(
        &self,
        server: &TestServer,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.authority()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn served_certificate(&self, server: &TestServer) -> CertificateDer<'static> {
        let stream = self.handshake(server, &[&TLS13], &[]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }
}

fn new_folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

async fn health(channel: Channel) -> v1::Health {
    HealthServiceClient::new(channel).check(v1::CheckRequest {}).await.unwrap().into_inner().health.unwrap()
}

#[tokio::test]
async fn tls_1_2_and_1_3_serve_http_2_and_http_1() {
    let files = Files::new(&Authority::new());
    let folder = new_folder();
    let mut server = files.start(Arc::clone(&folder), None);
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (offered, chosen) in [(&[&b"http/1.1"[..], b"h2"][..], &b"h2"[..]), (&[b"http/1.1"], b"http/1.1")]
        {
            let stream = files.handshake(&server, &[version], offered).await;
            let connection = stream.get_ref().1;
            assert_eq!(connection.protocol_version(), Some(expected));
            assert_eq!(connection.alpn_protocol(), Some(chosen));
        }
        let mut stream = files.handshake(&server, &[version], &[b"http/1.1"]).await;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("ok\n"), "{response}");
        assert!(response.contains("strict-transport-security: max-age=31536000"), "{response}");
    }
    assert_eq!(health(files.channel(&server, None).await).await.status(), v1::Status::Ok);

    // The command, with a key and the authority.
    let key = create_key(folder.path(), &["--scope", "write"]);
    server.wait_for_log_line("keys reloaded");
    let generate = |key: &str, ca: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["generate", "--count", "10", "--target", &format!("https://{}", server.address)])
            .env("MILLRACE_KEY", key)
            .env("MILLRACE_CA", ca)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (sent, stderr) = generate(&key, &files.authority());
    assert!(sent, "{stderr}");
    let (sent, stderr) = generate("", &files.authority());
    assert!(!sent && stderr.contains("a key is required"), "{stderr}");
    let other = Files::new(&Authority::new());
    let (sent, stderr) = generate(&key, &other.authority());
    assert!(!sent && stderr.contains("certificate"), "{stderr}");
}

#[tokio::test]
async fn older_versions_and_other_protocols_are_refused() {
    let files = Files::new(&Authority::new());
    let server = files.start(new_folder(), None);
    let error = files.try_handshake(&server, &[&TLS13], &[b"spdy/3"]).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    // rustls cannot offer them, so that OpenSSL does; its default security level would not either.
    for (version, accepted) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let output = Command::new("openssl")
            .args(["s_client", "-brief", "-cipher", "DEFAULT:@SECLEVEL=0", version])
            .args(["-connect", &server.address])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&output.stderr);
        assert_eq!(report.contains("CONNECTION ESTABLISHED"), accepted, "{version}: {report}");
        assert_eq!(report.contains("SSL alert number"), !accepted, "{version}: {report}");
    }
}

#[tokio::test]
async fn clients_that_do_not_speak_tls_are_told_and_those_that_stall_are_disconnected() {
    let files = Files::new(&Authority::new());
    let mut server = files.start(new_folder(), None);
    let address = server.address.clone();
    let connect = || {
        let stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    };
    let mut stalled = connect();
    // The beginning of a record of 512 bytes.
    stalled.write_all(&[22, 3, 1, 2, 0]).unwrap();

    let mut plain = connect();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut response = String::new();
    plain.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 400") && response.contains("use https://"), "{response}");
    plain.shutdown(std::net::Shutdown::Both).ok();

    // Until the server closes the connection.
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).ok();
    assert_eq!(rest, b"");
    server.wait_for_log_line("waiting for the TLS handshake");
}

#[tokio::test]
async fn a_certificate_is_replaced_under_open_streams() {
    const STREAMS: usize = 200;
    let authority = Authority::new();
    let files = Files::new(&authority);
    let mut server = files.start(new_folder(), None);
    let ca = authority.0.pem();
    let mut producers: Vec<Producer> = Vec::new();
    for _ in 0..STREAMS {
        let config = ProducerConfig::new(format!("https://{}", server.address)).ca_certificate(&ca);
        producers.push(config.connect().await.unwrap());
    }
    let send_on_all = async || {
        for producer in &producers {
            producer.send(event("page_view")).await.unwrap();
            let totals = tokio::time::timeout(TIMEOUT, producer.flush()).await.unwrap().unwrap();
            assert_eq!(totals.reconnects, 0);
        }
    };
    send_on_all().await;
    let first = files.served_certificate(&server).await;

    // A certificate whose key is not there yet.
    let second = authority.issue_for_server();
    std::fs::write(files.certificate(), &second.certificate).unwrap();
    server.wait_for_log_line("cannot be used together");
    assert_eq!(files.served_certificate(&server).await, first);
    let channel = files.channel(&server, None).await;
    let wait_for = async |status: v1::Status| {
        let deadline = std::time::Instant::now() + TIMEOUT;
        loop {
            let health = health(channel.clone()).await;
            if health.status() == status {
                return health.summary;
            }
            assert!(std::time::Instant::now() < deadline, "{health:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let summary = wait_for(v1::Status::Degraded).await;
    assert!(summary.contains("the certificate cannot be replaced"), "{summary}");

    std::fs::write(files.key(), &second.key).unwrap();
    server.wait_for_log_line("certificate reloaded");
    assert_eq!(files.served_certificate(&server).await, der(&second));
    wait_for(v1::Status::Ok).await;
    send_on_all().await;
    for producer in producers {
        let totals = producer.close().await.unwrap();
        assert_eq!((totals.accepted, totals.reconnects), (2, 0));
    }
}

#[tokio::test]
async fn client_certificates_stand_for_keys() {
    let (server_authority, client_authority) = (Authority::new(), Authority::new());
    let files = Files::new(&server_authority);
    let client_ca = files.0.path().join("clients.pem");
    std::fs::write(&client_ca, client_authority.0.pem()).unwrap();
    let folder = new_folder();
    let writer = ["--scope", "write", "--certificate", "spiffe://example/shop"];
    let writer_key = create_key(folder.path(), &writer);
    create_key(folder.path(), &["--scope", "read", "--certificate", "reader.example"]);
    let (created, _, stderr) = keys_command(folder.path(), &[&["create"][..], &writer].concat());
    assert!(!created && stderr.contains("has too"), "{stderr}");
    let server = files.start(Arc::clone(&folder), Some(&client_ca));

    let shop = client_authority.issue(vec![dns("shop.example"), uri("spiffe://example/shop")]);
    let reader = client_authority.issue(vec![dns("reader.example")]);
    let unknown = client_authority.issue(vec![dns("unknown.example")]);
    let send = async |identity: Option<&Issued>| {
        let mut ingest = IngestServiceClient::new(files.channel(&server, identity).await);
        let sent = ingest.send_events(events_request(vec![event("page_view")])).await;
        sent.map(|sent| sent.into_inner().accepted)
    };
    assert_eq!(send(Some(&shop)).await.unwrap(), 1);
    assert_eq!(send(Some(&reader)).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(send(None).await.unwrap_err().code(), Code::Unauthenticated);
    let error = send(Some(&unknown)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("unknown.example"), "{error}");
    let mut dashboard = DashboardServiceClient::new(files.channel(&server, Some(&reader)).await);
    dashboard.list_panels(v1::ListPanelsRequest::default()).await.unwrap();

    // The same name from another authority.
    let forged = server_authority.issue(vec![uri("spiffe://example/shop")]);
    let refused = match files.endpoint(&server, Some(&forged)).connect().await {
        // With TLS 1.3 the client learns of it with the first response.
        Ok(channel) => {
            let mut ingest = IngestServiceClient::new(channel);
            ingest.send_events(events_request(vec![event("page_view")])).await.is_err()
        }
        Err(_) => true,
    };
    assert!(refused);

    assert!(keys_command(folder.path(), &["revoke", id_of(&writer_key)]).0);
    let deadline = std::time::Instant::now() + TIMEOUT;
    while let Ok(accepted) = send(Some(&shop)).await {
        assert!(accepted == 1 && std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn incomplete_or_unusable_files_prevent_the_start() {
    let files = Files::new(&Authority::new());
    let start = |certificate: &Path, key: &Path, client_ca: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("MILLRACE_DATA_DIR", files.0.path().join("data"))
            .env("MILLRACE_TLS_CERT", certificate)
            .env("MILLRACE_TLS_KEY", key)
            .env("MILLRACE_TLS_CLIENT_CA", client_ca)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let none = Path::new("");
    let (certificate, key) = (files.certificate(), files.key());
    for (error, parts) in [
        (start(&certificate, none, none), ["MILLRACE_TLS_CERT", "without MILLRACE_TLS_KEY"]),
        (start(none, &key, none), ["MILLRACE_TLS_KEY", "without MILLRACE_TLS_CERT"]),
        (start(none, none, &certificate), ["MILLRACE_TLS_CLIENT_CA", "without MILLRACE_TLS_CERT"]),
        (start(Path::new("/nowhere.pem"), &key, none), ["MILLRACE_TLS_CERT", "/nowhere.pem"]),
        (start(&key, &key, none), ["MILLRACE_TLS_CERT", "has no certificate"]),
        (start(&certificate, &certificate, none), ["MILLRACE_TLS_KEY", "server.pem"]),
        (start(&certificate, &key, &key), ["MILLRACE_TLS_CLIENT_CA", "has no certificate"]),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}
