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
mod error;
mod execute;
mod http;
mod library;
pub mod memory;
mod pool;
mod request;
pub mod sandbox;
mod stall;
mod statement;
mod supervisor;

pub use self::http::{EngineServer, EngineServerConfig, EngineServerError, router};
pub use accounts::DEFAULT_USER;
pub use library::{Library, LibraryError};
pub use supervisor::{
    CONFINEMENT_PREFIX, EngineHandle, PASSWORD_ENV, READY_PREFIX, SERVER_KEY_ENV, StartError,
    SupervisorConfig, start,
};

/// Version of the engine library. `make engine` downloads it; `library.rs` has the types of its header.
pub const VERSION: &str = "26.7.3-stable.1";
