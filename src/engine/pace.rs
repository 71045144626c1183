//! How slow a client may be that holds a permit, or wants one.

use std::time::Duration;

/// How long a client may take for the next bytes, if it was fast enough before.
const GRACE: Duration = Duration::from_secs(10);
/// A client must manage so many bytes a second on average, beyond [`GRACE`]: slower than any network that an analyst sits
/// on, and faster than a client that moves a byte now and then to keep its permit.
const SLOWEST_BYTES_PER_SECOND: u64 = 16 << 10;

/// How long one client may still be waited for. Bytes that it reads or sends earn time, up to [`GRACE`]; the time in which
/// it waits for the engine costs none.
#[derive(Debug)]
pub(super) struct Pace {
    left: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { left: GRACE }
    }

    /// How long the client may be waited for now.
    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// The client moved so many bytes after it was waited for.
    pub(super) fn moved(&mut self, waited: Duration, bytes: usize) {
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1_000) / SLOWEST_BYTES_PER_SECOND);
        self.left = self.left.saturating_sub(waited).saturating_add(earned).min(GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_a_trickle_end_a_client_but_a_slow_network_does_not() {
        let mut trickle = Pace::new();
        trickle.moved(Duration::ZERO, 1 << 30);
        assert_eq!(trickle.left(), GRACE, "a fast start buys no longer silence");
        for _ in 0..10 {
            trickle.moved(Duration::from_secs(1), 1);
        }
        assert_eq!(trickle.left(), Duration::ZERO, "a byte a second");
        let mut slow = Pace::new();
        for _ in 0..1_000 {
            slow.moved(Duration::from_secs(1), 20 << 10);
        }
        assert_eq!(slow.left(), GRACE, "20 KiB a second");
    }
}
