//! The embedded ClickHouse: its library in a process of its own, behind ClickHouse's HTTP protocol.
//!
//! `millrace engine` loads the library (`library.rs`) and serves the protocol (`http.rs`); `millrace serve` starts it as
//! a supervised child (`supervisor.rs`) and talks to it exactly as it would to a server. So there is one storage path, a crash
//! of the engine does not take the server down, and every ClickHouse client can read the embedded database.

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

/// The version of the engine library that this Millrace is made for.
pub const VERSION: &str = "26.7.3-stable.1";
