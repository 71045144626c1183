//! How many connections there may be, and how much may be on its way to them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that connections leave to the journal, the dead letters, the engine's connections and the log.
const RESERVED_FILE_DESCRIPTORS: u64 = 256;
/// Refused connections are logged so often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// HTTP/2 windows of all connections together.
const TOTAL_WINDOW_BYTES: u32 = 32 << 20;
/// A connection's windows: the least is what HTTP/2 begins with, the most lets a fast producer run.
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=4 << 20;

/// How many connections the process can hold: the setting, or less where the limit of open files leaves less.
pub(super) fn connection_limit(configured: u64) -> usize {
    let files = raise_open_file_limit();
    let limit = configured.min(files.saturating_sub(RESERVED_FILE_DESCRIPTORS)).max(1);
    if limit < configured {
        tracing::warn!(
            "MILLRACE_MAX_CONNECTIONS: {configured} connections need {} open files, but the limit is {files} (ulimit -Hn); \
             at most {limit} are held",
            configured + RESERVED_FILE_DESCRIPTORS
        );
    }
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Raises the soft limit of open files to the hard one, which any process may, and gives it.
fn raise_open_file_limit() -> u64 {
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
pub(super) struct ConnectionLimiter {
    max_total: usize,
    max_per_address: usize,
    open: Arc<Mutex<OpenConnections>>,
}

#[derive(Default)]
struct OpenConnections {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    /// Refused since the last line of the log.
    rejected: u64,
    logged_at: Option<Instant>,
}

/// An open connection's place, which dropping gives back.
pub(super) struct ConnectionPermit {
    open: Arc<Mutex<OpenConnections>>,
    address: IpAddr,
}

impl ConnectionLimiter {
    pub(super) fn new(max_total: usize, max_per_address: usize) -> Self {
        Self { max_total, max_per_address, open: Arc::default() }
    }

    /// A place for a connection from this address, if there is one.
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
            "{} connections were closed at once: {} of {} are open (MILLRACE_MAX_CONNECTIONS), {from_address} of {} from \
             {address} (MILLRACE_MAX_CONNECTIONS_PER_ADDRESS)",
            self.rejected,
            self.total,
            limiter.max_total,
            limiter.max_per_address
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

/// What may be on its way to this server: bytes that it has promised to take.
#[derive(Default)]
pub(super) struct FlowControlBudget {
    reserved_bytes: Arc<Mutex<u32>>,
}

/// A connection's share, which dropping gives back.
pub(super) struct FlowControlWindow {
    reserved_bytes: Arc<Mutex<u32>>,
    pub(super) bytes: u32,
}

impl FlowControlBudget {
    /// A sixteenth of what is left: the first connections get much, and however many come, the sum has a bound.
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

/// Counters stay whole whatever happens to another thread.
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
        assert!(second.is_some() && limiter.try_acquire(a).is_none(), "two of one address");
        let third = limiter.try_acquire(b);
        assert!(third.is_some() && limiter.try_acquire(b).is_none(), "three in all");
        drop(first);
        let mapped = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let again = limiter.try_acquire(mapped);
        assert!(again.is_some(), "a place was given back");
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
