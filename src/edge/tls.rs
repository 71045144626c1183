//! TLS on the port: 1.2 and later, with ALPN for HTTP/2 and HTTP/1.1.
//!
//! [`TlsWatcher`] follows the files while the server runs. A new certificate is for new connections; those that are open
//! keep theirs. Files that cannot be used, such as a certificate whose key is not there yet, leave everything as it is, and
//! health says so.
//!
//! Each set of files has tickets of its own: a session that began with an earlier certificate begins anew. With client
//! certificates there are no tickets, so that each connection is checked against the current authorities.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, ServerConnection};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use webpki::EndEntityCert;

use crate::blocking::run_blocking;
use crate::config::TlsFiles;
use crate::file_stamp::FileStamp;

/// A client that has not completed the handshake by then is disconnected.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the files are checked for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Preferred first.
const ALPN_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The content type of a handshake record, with which a connection begins (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// To a client that does not begin a handshake.
const PLAIN_RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\n\
    content-length: 53\r\n\
    connection: close\r\n\r\n\
    This port expects TLS; use https:// instead of http.\n";
/// How much of a plain request is read, so that closing the connection does not discard the response.
const MAX_PLAIN_BYTES: u64 = 64 << 10;

/// Why TLS cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{setting}: {path} cannot be read: {error}; a PEM file is expected", path = path.display())]
    File { setting: &'static str, path: PathBuf, error: pem::Error },
    #[error("{setting}: {path} has no certificate; a PEM file with one is expected", path = path.display())]
    NoCertificate { setting: &'static str, path: PathBuf },
    #[error(
        "MILLRACE_TLS_CERT, MILLRACE_TLS_KEY: {certificate} and {key} cannot be used together: {error}",
        certificate = certificate.display(), key = key.display()
    )]
    Pair { certificate: PathBuf, key: PathBuf, error: rustls::Error },
    #[error("MILLRACE_TLS_CLIENT_CA: {path} has an unusable certificate: {error}", path = path.display())]
    ClientCa { path: PathBuf, error: rustls::Error },
    #[error("MILLRACE_TLS_CLIENT_CA: {path} cannot be used: {error}", path = path.display())]
    Verifier { path: PathBuf, error: VerifierBuilderError },
    #[error("TLS cannot be used: {0}")]
    Provider(rustls::Error),
}

/// Why a connection was not accepted. Logged at debug level only: any client can cause it.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("timed out after {} s waiting for the TLS handshake", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the client does not speak TLS")]
    Plain,
    #[error("TLS handshake: {0}")]
    Io(#[from] std::io::Error),
}

/// The TLS session of a request's connection. In the extensions of requests over TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsSession {
    /// The DNS names and URIs of the client's certificate, which was verified; empty without one.
    pub(crate) client_names: Arc<[String]>,
}

/// Accepts TLS connections with the current certificate. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
}

/// Follows the files of certificates and keys.
pub(crate) struct TlsWatcher {
    files: TlsFiles,
    sender: watch::Sender<Arc<ServerConfig>>,
    /// Why the files cannot be used; empty if they can.
    problem: watch::Sender<String>,
    stamps: [Option<FileStamp>; 3],
}

impl Tls {
    /// Reads the files.
    pub(crate) fn open(files: TlsFiles) -> Result<(Self, TlsWatcher), TlsError> {
        let stamps = stamps(&files);
        let (sender, config) = watch::channel(Arc::new(read(&files)?));
        Ok((Self { config }, TlsWatcher { files, sender, problem: watch::Sender::default(), stamps }))
    }

    /// Completes the handshake. `None` if the peer closes the connection before it begins.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<Option<(TlsStream<TcpStream>, TlsSession)>, HandshakeError> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.handshake(stream));
        handshake.await.map_err(|_| HandshakeError::Timeout)?
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
    ) -> Result<Option<(TlsStream<TcpStream>, TlsSession)>, HandshakeError> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(None);
        }
        if first[0] != HANDSHAKE_RECORD {
            stream.write_all(PLAIN_RESPONSE).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(MAX_PLAIN_BYTES), &mut tokio::io::sink()).await?;
            return Err(HandshakeError::Plain);
        }
        let config = Arc::clone(&self.config.borrow());
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let session = TlsSession { client_names: client_names(stream.get_ref().1) };
        Ok(Some((stream, session)))
    }
}

fn client_names(connection: &ServerConnection) -> Arc<[String]> {
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    let Some(Ok(certificate)) = certificate.map(EndEntityCert::try_from) else {
        return Arc::default();
    };
    certificate.valid_dns_names().chain(certificate.valid_uri_names()).map(str::to_owned).collect()
}

fn stamps(files: &TlsFiles) -> [Option<FileStamp>; 3] {
    let client_ca = files.client_ca.as_deref();
    [FileStamp::of(&files.certificate), FileStamp::of(&files.key), client_ca.and_then(FileStamp::of)]
}

fn read_certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File { setting, path: path.to_owned(), error };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    match certificates.is_empty() {
        true => Err(TlsError::NoCertificate { setting, path: path.to_owned() }),
        false => Ok(certificates),
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let TlsFiles { certificate, key, client_ca } = files;
    let chain = read_certificates("MILLRACE_TLS_CERT", certificate)?;
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
        setting: "MILLRACE_TLS_KEY",
        path: key.clone(),
        error,
    })?;
    let provider = Arc::new(ring::default_provider());
    // TLS 1.2 and 1.3.
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in read_certificates("MILLRACE_TLS_CLIENT_CA", path)? {
                roots.add(root).map_err(|error| TlsError::ClientCa { path: path.clone(), error })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                // Others present a key.
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::Verifier { path: path.clone(), error })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(|error| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        error,
    })?;
    config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).into();
    if client_ca.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Provider)?;
    }
    Ok(config)
}

impl TlsWatcher {
    /// Why the files cannot be used now; empty if they can.
    pub(crate) fn problem(&self) -> watch::Receiver<String> {
        self.problem.subscribe()
    }

    /// Follows the files until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let (files, known) = (self.files.clone(), self.stamps);
            let changed = run_blocking(move || {
                // Before reading: files that change meanwhile are read again.
                let current = stamps(&files);
                (current != known).then(|| (current, read(&files)))
            });
            if let Some((stamps, read)) = changed.await {
                self.stamps = stamps;
                self.adopt(read);
            }
        }
    }

    fn adopt(&self, read: Result<ServerConfig, TlsError>) {
        let problem = match read {
            Ok(config) => {
                self.sender.send_replace(Arc::new(config));
                tracing::info!(path = %self.files.certificate.display(), "certificate reloaded");
                String::new()
            }
            Err(error) => format!("{error}; the earlier certificate stays in use; correct the files"),
        };
        if !problem.is_empty() {
            tracing::error!("TLS: {problem}");
        }
        self.problem.send_replace(problem);
    }
}
