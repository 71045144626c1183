//! The connection of commands that ask a running server.

use anyhow::Context as _;
use clap::Args;
use millrace_client::ProducerConfig;
use tonic::Request;
use tonic::transport::Channel;

/// Where the server is, and the key for it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectionArgs {
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    address: String,
    /// A key with the scope read or admin, for a server that requires keys
    #[arg(
        long,
        env = "MILLRACE_KEY",
        value_name = "KEY",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    key: String,
    /// PEM file with the authority of the server's certificate, for an https URL. Without it, those of the system are trusted
    #[arg(long, env = "MILLRACE_CA", value_name = "FILE", default_value = "", hide_default_value = true)]
    ca: String,
}

impl ConnectionArgs {
    /// Connects to the server.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let mut config = ProducerConfig::new(&self.address);
        if !self.ca.is_empty() {
            let pem = std::fs::read(&self.ca).with_context(|| {
                format!("MILLRACE_CA (--ca): {} cannot be read; a PEM file is expected", self.ca)
            })?;
            config = config.ca_certificate(pem);
        }
        config.endpoint()?.connect().await.with_context(|| {
            format!("cannot connect to {}; check that `millrace serve` is running there", self.address)
        })
    }

    /// A request with the key.
    pub(crate) fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        if !self.key.is_empty() {
            let bearer = format!("Bearer {}", self.key).parse();
            let bearer = bearer.context("MILLRACE_KEY (--key): a key has only letters, digits and _")?;
            request.metadata_mut().insert("authorization", bearer);
        }
        Ok(request)
    }
}
