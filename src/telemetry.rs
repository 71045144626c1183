//! The log: `tracing` to standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

/// The log filter does not parse.
#[derive(Debug, thiserror::Error)]
#[error(
    "MILLRACE_LOG (--log): {filter:?} is invalid: must be error, warn, info, debug or trace, also per module"
)]
pub(crate) struct InvalidLogFilter {
    filter: String,
    source: ParseError,
}

/// Installs the global subscriber. Call once.
pub(crate) fn init(config: &LogConfig) -> Result<(), InvalidLogFilter> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| InvalidLogFilter { filter: config.filter.clone(), source })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
