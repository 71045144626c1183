//! The minimum transfer rate of a client that holds a permit or is about to get one.

use std::time::Duration;

/// Maximum time without a transfer.
const STALL_GRACE: Duration = Duration::from_secs(10);
/// Minimum average rate beyond [`STALL_GRACE`]. Any usable network is faster; a client that transfers a byte now and then
/// to keep its permit is slower.
const MIN_BYTES_PER_SECOND: u64 = 16 << 10;

/// How much longer the engine waits for a client. Transferred bytes add time, up to [`STALL_GRACE`]. Only the time in which
/// the engine waits for the client is subtracted.
#[derive(Debug)]
pub(super) struct StallTimeout {
    remaining: Duration,
}

impl StallTimeout {
    pub(super) fn new() -> Self {
        Self { remaining: STALL_GRACE }
    }

    /// Maximum time to wait for the next transfer.
    pub(super) fn remaining(&self) -> Duration {
        self.remaining
    }

    /// Records that the client transferred `bytes` after the engine had waited for `waited`.
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
        assert_eq!(trickle.remaining(), STALL_GRACE, "a fast start does not extend the grace");
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
