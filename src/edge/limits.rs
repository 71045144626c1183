//! How many connections there may be, and how much may be on its way to them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that connections leave to the journal, the dead letters, the engine's connections and the log.
const RESERVED_FILES: u64 = 256;
/// Refused connections are logged so often at most.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// HTTP/2 windows of all connections together.
const ALL_WINDOWS_BYTES: u32 = 32 << 20;
/// A connection's windows: the least is what HTTP/2 begins with, the most lets a fast producer run.
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=4 << 20;

/// How many connections the process can hold: the setting, or less where the limit of open files leaves less.
pub(super) fn connections(wanted: u64) -> usize {
    let files = raise_open_files();
    let most = wanted.min(files.saturating_sub(RESERVED_FILES)).max(1);
    if most < wanted {
        tracing::warn!(
            "MILLRACE_MAX_CONNECTIONS: {wanted} connections need {} open files, but the limit is {files} (ulimit -Hn); \
             at most {most} are held",
            wanted + RESERVED_FILES
        );
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Raises the soft limit of open files to the hard one, which any process may, and gives it.
fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// The open connections.
pub(super) struct Connections {
    most: usize,
    most_per_address: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    /// Refused since the last line of the log.
    refused: u64,
    logged: Option<Instant>,
}

/// An open connection's place, which dropping gives back.
pub(super) struct Place {
    open: Arc<Mutex<Open>>,
    address: IpAddr,
}

impl Connections {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self { most, most_per_address, open: Arc::default() }
    }

    /// A place for a connection from this address, if there is one.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = lock(&self.open);
        let of_address = open.addresses.get(&address).copied().unwrap_or_default();
        if open.total >= self.most || of_address >= self.most_per_address {
            open.refuse(self, address, of_address);
            return None;
        }
        open.total += 1;
        *open.addresses.entry(address).or_default() += 1;
        Some(Place { open: Arc::clone(&self.open), address })
    }
}

impl Open {
    fn refuse(&mut self, limits: &Connections, address: IpAddr, of_address: usize) {
        self.refused += 1;
        if self.logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY) {
            return;
        }
        tracing::warn!(
            "{} connections were closed at once: {} of {} are open (MILLRACE_MAX_CONNECTIONS), {of_address} of {} from \
             {address} (MILLRACE_MAX_CONNECTIONS_PER_ADDRESS)",
            self.refused,
            self.total,
            limits.most,
            limits.most_per_address
        );
        (self.refused, self.logged) = (0, Some(Instant::now()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.total -= 1;
        if let Some(count) = open.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(&self.address);
            }
        }
    }
}

/// What may be on its way to this server: bytes that it has promised to take.
#[derive(Default)]
pub(super) struct Windows {
    given: Arc<Mutex<u32>>,
}

/// A connection's share, which dropping gives back.
pub(super) struct Window {
    given: Arc<Mutex<u32>>,
    pub(super) bytes: u32,
}

impl Windows {
    /// A sixteenth of what is left: the first connections get much, and however many come, the sum has a bound.
    pub(super) fn take(&self) -> Window {
        let mut given = lock(&self.given);
        let share = ALL_WINDOWS_BYTES.saturating_sub(*given) / 16;
        let bytes = share.clamp(*WINDOW_BYTES.start(), *WINDOW_BYTES.end());
        *given = given.saturating_add(bytes);
        Window { given: Arc::clone(&self.given), bytes }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut given = lock(&self.given);
        *given = given.saturating_sub(self.bytes);
    }
}

/// Counters stay whole whatever happens to another thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_address() {
        let connections = Connections::new(3, 2);
        let [a, b] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let first = connections.admit(a).unwrap();
        let second = connections.admit(a);
        assert!(second.is_some() && connections.admit(a).is_none(), "two of one address");
        let third = connections.admit(b);
        assert!(third.is_some() && connections.admit(b).is_none(), "three in all");
        drop(first);
        let mapped = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let again = connections.admit(mapped);
        assert!(again.is_some(), "a place was given back");
        assert!(connections.admit(a).is_none(), "the same address in IPv6");
        drop((again, second, third));
        assert_eq!(lock(&connections.open).addresses.len(), 0);
    }

    #[test]
    fn windows_have_a_bound_together() {
        let windows = Windows::default();
        let taken: Vec<_> = (0..1_000).map(|_| windows.take()).collect();
        assert_eq!(taken[0].bytes, 2 << 20);
        let sum: u64 = taken.iter().map(|window| u64::from(window.bytes)).sum();
        assert!(sum < u64::from(ALL_WINDOWS_BYTES) + 1_000 * 65_535, "{sum}");
        drop(taken);
        assert_eq!(windows.take().bytes, 2 << 20);
    }
}
