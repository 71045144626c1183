//! The HTTP client for requests to the provider.
//!
//! It follows no redirects: the provider's addresses come from its metadata, and a redirect could lead requests with secrets
//! elsewhere, or into the network of the server. It sends nothing without TLS but to loopback addresses. The authorities are
//! those of the system; `SSL_CERT_FILE` names others.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use openidconnect::url::Url;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio_rustls::rustls::crypto::ring;

use crate::access::people_file::is_confidential;

/// Of a request with its response. People wait for it.
const DEADLINE: Duration = Duration::from_secs(10);
/// Metadata, keys and tokens are much smaller.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{url} is without TLS; only https:// is used")]
    NotConfidential { url: String },
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} sends a response that cannot be read: {reason}")]
    Response { url: String, reason: String },
    #[error("{url} does not respond within {} s", DEADLINE.as_secs())]
    Silent { url: String },
}

#[derive(Debug)]
pub(super) struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl HttpClient {
    /// # Errors
    /// When the system has no certificates of authorities.
    pub(super) fn new() -> std::io::Result<Self> {
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider())?;
        Ok(Self(Client::builder(TokioExecutor::new()).build(tls.https_or_http().enable_http1().build())))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Without its query: it is for a log.
        let url = request.uri().to_string().split('?').next().unwrap_or_default().to_owned();
        if !Url::parse(&url).is_ok_and(|url| is_confidential(&url)) {
            return Err(HttpError::NotConfidential { url });
        }
        let exchange = async {
            let response = self.0.request(request.map(|body| Full::new(Bytes::from(body)))).await;
            let response = response
                .map_err(|error| HttpError::Unreachable { url: url.clone(), reason: with_causes(&error) })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
            let body =
                body.map_err(|error| HttpError::Response { url: url.clone(), reason: error.to_string() })?;
            Ok(HttpResponse::from_parts(head, body.to_bytes().to_vec()))
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .unwrap_or_else(|_| Err(HttpError::Silent { url: url.clone() }))
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// An error with what has caused it: hyper's messages say little.
pub(super) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let of_cause = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&of_cause) {
            text = format!("{text}: {of_cause}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Responds once to any request. Returns the URL.
    async fn respond(response: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            assert!(connection.read(&mut [0; 4_096]).await.unwrap() > 0);
            // The client may stop reading.
            connection.write_all(&response).await.ok();
        });
        url
    }

    async fn get(url: &str) -> Result<HttpResponse, HttpError> {
        HttpClient::new().unwrap().call(http::Request::get(url).body(Vec::new()).unwrap()).await
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let head =
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let response = get(&respond(head.into()).await).await.unwrap();
        assert_eq!(response.status(), 307);
    }

    #[tokio::test]
    async fn responses_are_bounded() {
        let mut response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 2 << 20).into_bytes();
        response.resize(3 << 20, b'x');
        let error = get(&respond(response).await).await.unwrap_err().to_string();
        assert!(error.contains("length limit exceeded"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_sent_without_tls() {
        let error = get("http://192.0.2.1/token?code=secret").await.unwrap_err().to_string();
        assert_eq!(error, "http://192.0.2.1/token is without TLS; only https:// is used");
        let error = get("http://127.0.0.1:1/").await.unwrap_err().to_string();
        assert!(
            error.contains("http://127.0.0.1:1/ cannot be reached: ") && error.contains("refused"),
            "{error}"
        );
    }
}
