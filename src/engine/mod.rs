//! The embedded ClickHouse: a library in a separate process, behind ClickHouse's HTTP protocol.
//!
//! `millrace engine` loads the library (`library.rs`) and serves the protocol (`http.rs`). `millrace serve` runs it as a
//! supervised child (`supervisor.rs`) and uses it as it would use a ClickHouse server. So there is one storage path, a
//! crash of the engine does not crash the server, and any ClickHouse client can query the embedded database.
//!
//! A request passes through `http.rs`, `request.rs` (URL and headers), `body.rs`, `execute.rs` (on a blocking thread),
//! `statement.rs` (the kind of the statement), `pool.rs` (permits and connections) and `library.rs`.

mod accounts;
mod body;
mod cancel;
mod error;
mod execute;
mod http;
mod library;
pub(crate) mod memory;
mod pool;
mod request;
pub(crate) mod sandbox;
mod stall;
mod statement;
mod supervisor;

pub(crate) use self::http::{EngineServer, EngineServerConfig, router};
pub(crate) use accounts::DEFAULT_USER;
pub(crate) use library::Library;
pub(crate) use supervisor::{
    CONFINEMENT_PREFIX, EngineHandle, PASSWORD_ENV, READY_PREFIX, SERVER_KEY_ENV, SupervisorConfig, start,
};

/// Version of the engine library. `make engine` downloads it; `library.rs` has the types of its header.
pub(crate) const VERSION: &str = "26.7.3-stable.1";

/// The running program, also after an upgrade has replaced or deleted its file: a restarted engine has the version of its
/// server.
fn own_executable() -> std::io::Result<std::path::PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { "/proc/self/exe".into() })
}
