//! The log, which `tracing` writes to standard error, and the export of traces.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{Directive, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogFormat, TelemetryConfig};
#[cfg(feature = "traces")]
use crate::traces::otlp::Exporter;

/// A setting of the log or of traces is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The log filter does not parse.
    #[error(
        "MILLRACE_LOG (--log): {filter:?} is invalid: must be error, warn, info, debug or trace, also per module"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The address of the collector cannot be used.
    #[error(
        "MILLRACE_TRACES_ENDPOINT (--traces-endpoint): {endpoint:?} cannot be used: {reason}; expected the gRPC address \
         of a collector, such as http://127.0.0.1:4317"
    )]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What runs beside the log until the process ends.
pub(crate) struct Telemetry {
    #[cfg(feature = "traces")]
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Exports the last spans.
    pub(crate) async fn shutdown(self) {
        #[cfg(feature = "traces")]
        if let Some(exporter) = self.exporter {
            crate::blocking::run_blocking(move || exporter.shutdown()).await;
        }
    }
}

/// Installs the global subscriber. Call once, in the runtime.
pub(crate) fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| TelemetryError::Filter { filter: config.filter.clone(), source })?;
    // Spans are exported, not logged.
    let without_spans: Directive = format!("{}=off", crate::traces::TARGET).parse().expect("it is valid");
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let log = match config.format {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let subscriber =
        tracing_subscriber::registry().with(log.with_filter(filter.add_directive(without_spans)));
    #[cfg(feature = "traces")]
    {
        let exporter = traces_endpoint(config).map(open_exporter).transpose()?;
        // Without an exporter no layer at all: even an absent one would enable the spans.
        match &exporter {
            Some(exporter) => subscriber.with(exporter.layer()).init(),
            None => subscriber.init(),
        }
        Ok(Telemetry { exporter })
    }
    #[cfg(not(feature = "traces"))]
    {
        if let Some(endpoint) = traces_endpoint(config) {
            let reason = "this program was built without the feature \"traces\"".to_owned();
            return Err(TelemetryError::Endpoint { endpoint: endpoint.to_owned(), reason });
        }
        subscriber.init();
        Ok(Telemetry {})
    }
}

fn traces_endpoint(config: &TelemetryConfig) -> Option<&str> {
    Some(config.traces_endpoint.trim()).filter(|endpoint| !endpoint.is_empty())
}

#[cfg(feature = "traces")]
fn open_exporter(endpoint: &str) -> Result<Exporter, TelemetryError> {
    let invalid = |reason: String| TelemetryError::Endpoint { endpoint: endpoint.to_owned(), reason };
    match endpoint.parse::<http::Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => {}
        Ok(_) => {
            return Err(invalid(
                "it is not an http:// URL; reach a collector with TLS through a local one".into(),
            ));
        }
        Err(error) => return Err(invalid(error.to_string())),
    }
    Exporter::new(endpoint).map_err(|error| invalid(error.to_string()))
}
