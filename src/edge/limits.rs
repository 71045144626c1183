//! Limits on connections, and on the data that may be in flight to the server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors reserved for the journal, the dead letters, connections to ClickHouse, and the log.
const RESERVED_FILE_DESCRIPTORS: u64 = 256;
/// Minimum interval between two log lines about rejected connections.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// HTTP/2 windows of all connections together. Exceeded only when every connection has the minimum.
const TOTAL_WINDOW_BYTES: u32 = 32 << 20;
/// HTTP/2 window of one connection: from the protocol's initial window to one that does not limit a fast producer.
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=4 << 20;

/// The maximum number of connections: as configured, or less if the open file limit requires it.
pub(super) fn connection_limit(configured: u64) -> usize {
    let files = raise_open_file_limit();
    let limit = configured.min(files.saturating_sub(RESERVED_FILE_DESCRIPTORS)).max(1);
    if limit < configured {
        tracing::warn!(
            "MILLRACE_MAX_CONNECTIONS: {configured} connections need {} open files, but the limit is {files} (ulimit -Hn); \
             using {limit}",
            configured + RESERVED_FILE_DESCRIPTORS
        );
    }
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Raises the soft open file limit to the hard one, which needs no privileges, and returns it.
fn raise_open_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the open file limit");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// Limits the open connections, in total and per address. Further ones are rejected.
pub(super) struct ConnectionLimiter {
    max_total: usize,
    max_per_address: usize,
    open: Arc<Mutex<OpenConnections>>,
}

#[derive(Default)]
struct OpenConnections {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    /// Connections rejected since the last log line.
    rejected: u64,
    logged_at: Option<Instant>,
}

/// Counts as an open connection until it is dropped.
pub(super) struct ConnectionPermit {
    open: Arc<Mutex<OpenConnections>>,
    address: IpAddr,
}

impl ConnectionLimiter {
    pub(super) fn new(max_total: usize, max_per_address: usize) -> Self {
        Self { max_total, max_per_address, open: Arc::default() }
    }

    /// Returns `None` at a limit. IPv4-mapped IPv6 addresses count as IPv4.
    pub(super) fn try_acquire(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let address = address.to_canonical();
        let mut open = lock(&self.open);
        let from_address = open.addresses.get(&address).copied().unwrap_or_default();
        if open.total >= self.max_total || from_address >= self.max_per_address {
            open.record_rejection(self, address, from_address);
            return None;
        }
        open.total += 1;
        *open.addresses.entry(address).or_default() += 1;
        Some(ConnectionPermit { open: Arc::clone(&self.open), address })
    }
}

impl OpenConnections {
    fn record_rejection(&mut self, limiter: &ConnectionLimiter, address: IpAddr, from_address: usize) {
        self.rejected += 1;
        if self.logged_at.is_some_and(|logged_at| logged_at.elapsed() < LOG_INTERVAL) {
            return;
        }
        tracing::warn!(
            rejected = self.rejected,
            open = self.total,
            max_open = limiter.max_total,
            %address,
            open_from_address = from_address,
            max_per_address = limiter.max_per_address,
            "connections rejected: MILLRACE_MAX_CONNECTIONS or MILLRACE_MAX_CONNECTIONS_PER_ADDRESS is reached"
        );
        (self.rejected, self.logged_at) = (0, Some(Instant::now()));
    }
}

impl Drop for ConnectionPermit {
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

/// The HTTP/2 windows of all connections: bytes that peers may send before the server has read them.
#[derive(Default)]
pub(super) struct FlowControlBudget {
    reserved_bytes: Arc<Mutex<u32>>,
}

/// The window of one connection, released when it is dropped.
pub(super) struct FlowControlWindow {
    reserved_bytes: Arc<Mutex<u32>>,
    pub(super) bytes: u32,
}

impl FlowControlBudget {
    /// Reserves a sixteenth of the rest, within [`WINDOW_BYTES`]: few connections get large windows, and many connections
    /// add only the minimum each.
    pub(super) fn reserve(&self) -> FlowControlWindow {
        let mut reserved_bytes = lock(&self.reserved_bytes);
        let quota = TOTAL_WINDOW_BYTES.saturating_sub(*reserved_bytes) / 16;
        let bytes = quota.clamp(*WINDOW_BYTES.start(), *WINDOW_BYTES.end());
        *reserved_bytes = reserved_bytes.saturating_add(bytes);
        FlowControlWindow { reserved_bytes: Arc::clone(&self.reserved_bytes), bytes }
    }
}

impl Drop for FlowControlWindow {
    fn drop(&mut self) {
        let mut reserved_bytes = lock(&self.reserved_bytes);
        *reserved_bytes = reserved_bytes.saturating_sub(self.bytes);
    }
}

/// Ignores poisoning: a panic cannot leave these counters inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn connections_are_limited_in_total_and_per_address() {
        let limiter = ConnectionLimiter::new(3, 2);
        let [a, b] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let first = limiter.try_acquire(a).unwrap();
        let second = limiter.try_acquire(a);
        assert!(second.is_some() && limiter.try_acquire(a).is_none(), "two from one address");
        let third = limiter.try_acquire(b);
        assert!(third.is_some() && limiter.try_acquire(b).is_none(), "three in total");
        drop(first);
        let mapped = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let again = limiter.try_acquire(mapped);
        assert!(again.is_some(), "a permit was released");
        assert!(limiter.try_acquire(a).is_none(), "the same address in IPv6");
        drop((again, second, third));
        assert_eq!(lock(&limiter.open).addresses.len(), 0);
    }

    #[test]
    fn flow_control_windows_share_one_limit() {
        let budget = FlowControlBudget::default();
        let reserved: Vec<_> = (0..1_000).map(|_| budget.reserve()).collect();
        assert_eq!(reserved[0].bytes, 2 << 20);
        let sum: u64 = reserved.iter().map(|window| u64::from(window.bytes)).sum();
        assert!(sum < u64::from(TOTAL_WINDOW_BYTES) + 1_000 * 65_535, "{sum}");
        drop(reserved);
        assert_eq!(budget.reserve().bytes, 2 << 20);
    }
}
