//! The embedded ClickHouse: its library in a process of its own, behind ClickHouse's HTTP protocol.
//!
//! `millrace engine` loads the library (`library.rs`) and serves the protocol (`front.rs`); `millrace serve` starts it as
//! a supervised child (`child.rs`) and talks to it exactly as it would to a server. So there is one storage path, a crash
//! of the engine does not take the server down, and every ClickHouse client can read the embedded database.

mod account;
mod body;
mod child;
mod execute;
mod front;
mod library;
pub mod memory;
mod pace;
mod pool;
mod request;
pub mod sandbox;
mod statement;

use std::path::PathBuf;

pub use account::USER;
pub use child::{
    CONFINEMENT, Engine, PASSWORD_VARIABLE, READY, SERVER_KEY_VARIABLE, StartError, SupervisorConfig, start,
};
pub use front::{Front, FrontConfig, FrontError, router};
pub use library::{Library, LibraryError};

/// The version of the engine library that this Millrace is made for.
pub const VERSION: &str = "26.7.3-stable.1";

/// Where `make engine` puts the library.
pub fn default_library() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from(".cache")).join("millrace/engine").join(VERSION).join("libchdb.so")
}
