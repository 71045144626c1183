//! Notifications to the service manager, systemd: the protocol of sd_notify(3), one datagram for each.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::config;

/// Tells the service manager about the state of the server. Without one, it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct ServiceManager {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The service manager that has started the server.
    pub(crate) fn from_environment() -> Self {
        let Some((path, watchdog)) = config::service_manager() else {
            return Self { socket: None, watchdog: None };
        };
        match connect(&path) {
            Ok(socket) => Self { socket: Some(Arc::new(socket)), watchdog },
            Err(error) => {
                tracing::warn!(%error, socket = %path.display(), "the service manager cannot be notified");
                Self { socket: None, watchdog: None }
            }
        }
    }

    /// Sends one notification, such as `READY=1`.
    pub(crate) fn notify(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, state, "the service manager cannot be notified");
        }
    }

    /// Sends a sign of life twice per period of the watchdog while `is_alive`, until the task is dropped. `None` without a
    /// watchdog.
    pub(crate) fn start_watchdog(
        &self,
        is_alive: impl Fn() -> bool + Send + 'static,
    ) -> Option<AbortOnDropHandle<()>> {
        let mut ticks = tokio::time::interval(self.watchdog? / 2);
        let manager = self.clone();
        let task = tokio::spawn(async move {
            loop {
                ticks.tick().await;
                if is_alive() {
                    manager.notify("WATCHDOG=1");
                }
            }
        });
        Some(AbortOnDropHandle::new(task))
    }
}

/// `path` begins with `@` for the abstract namespace.
fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}
