//! How slow a client may be that holds a permit, or wants one.

use std::time::Duration;

/// How long a client may take for the next bytes, if it was fast enough before.
const STALL_GRACE: Duration = Duration::from_secs(10);
/// A client must manage so many bytes a second on average, beyond [`STALL_GRACE`]: slower than any network that an analyst sits
/// on, and faster than a client that moves a byte now and then to keep its permit.
const MIN_BYTES_PER_SECOND: u64 = 16 << 10;

/// How long one client may still be waited for. Bytes that it reads or sends earn time, up to [`STALL_GRACE`]; the time in which
/// it waits for the engine costs none.
#[derive(Debug)]
pub(super) struct StallTimeout {
    remaining: Duration,
}

impl StallTimeout {
    pub(super) fn new() -> Self {
        Self { remaining: STALL_GRACE }
    }

    /// How long the client may be waited for now.
    pub(super) fn remaining(&self) -> Duration {
        self.remaining
    }

    /// The client moved so many bytes after it was waited for.
    pub(super) fn record_transfer(&mut self, waited: Duration, bytes: usize) {
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1_000) / MIN_BYTES_PER_SECOND);
        self.remaining = self.remaining.saturating_sub(waited).saturating_add(earned).min(STALL_GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_and_trickling_clients_time_out_but_slow_networks_do_not() {
        let mut trickle = StallTimeout::new();
        trickle.record_transfer(Duration::ZERO, 1 << 30);
        assert_eq!(trickle.remaining(), STALL_GRACE, "a fast start buys no longer silence");
        for _ in 0..10 {
            trickle.record_transfer(Duration::from_secs(1), 1);
        }
        assert_eq!(trickle.remaining(), Duration::ZERO, "a byte a second");
        let mut slow = StallTimeout::new();
        for _ in 0..1_000 {
            slow.record_transfer(Duration::from_secs(1), 20 << 10);
        }
        assert_eq!(slow.remaining(), STALL_GRACE, "20 KiB a second");
    }
}
