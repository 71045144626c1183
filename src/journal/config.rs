//! The limits of a journal.

use super::frame::{HEADER_BYTES, MAX_PAYLOAD_BYTES};

/// Why a [`JournalConfig`] is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalConfigError {
    /// Below [`JournalConfig::MIN_SEGMENT_BYTES`].
    #[error(
        "segment_bytes: {segment_bytes} is too small; at least {} bytes are required",
        JournalConfig::MIN_SEGMENT_BYTES
    )]
    SegmentTooSmall {
        /// As configured.
        segment_bytes: u64,
    },
    /// A queue that admits nothing.
    #[error("queue_bytes: 0 would reject every append; at least 1 byte is required")]
    QueueEmpty,
    /// Not enough for the reserve, the active segment and one sealed segment.
    #[error(
        "max_bytes: {max_bytes} is too small; at least {min_bytes} bytes are required: two segments of {segment_bytes} \
         bytes and a reserve of {reserve_bytes} bytes"
    )]
    TooSmall {
        /// As configured.
        max_bytes: u64,
        /// The minimum for the other two values.
        min_bytes: u64,
        /// As configured.
        segment_bytes: u64,
        /// As configured.
        reserve_bytes: u64,
    },
}

/// The limits of a journal. See "Limits" in the module documentation for what happens at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Maximum size of a segment, the unit of deletion. Default 64 MiB, at least [`Self::MIN_SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// Maximum size on disk. Default 4 GiB, at least two segments and the reserve.
    pub max_bytes: u64,
    /// The part of `max_bytes` that only [`super::Journal::submit_reserved`] may use. Default 64 MiB. A full journal could
    /// never be released without space for the records that lead to a release.
    pub reserve_bytes: u64,
    /// Maximum size of the frames that are queued in memory. Default 32 MiB, at least 1.
    pub queue_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_bytes: 4 << 30, reserve_bytes: 64 << 20, queue_bytes: 32 << 20 }
    }
}

impl JournalConfig {
    /// Minimum of `segment_bytes`, one file system block: smaller segments would not save disk space.
    pub const MIN_SEGMENT_BYTES: u64 = 4096;

    pub(super) fn validate(&self) -> Result<(), JournalConfigError> {
        let Self { segment_bytes, max_bytes, reserve_bytes, queue_bytes } = *self;
        if segment_bytes < Self::MIN_SEGMENT_BYTES {
            return Err(JournalConfigError::SegmentTooSmall { segment_bytes });
        }
        if queue_bytes == 0 {
            return Err(JournalConfigError::QueueEmpty);
        }
        // The active segment cannot be released. A full one must leave space for the next segment.
        let min_bytes = segment_bytes.saturating_mul(2).saturating_add(reserve_bytes);
        if max_bytes < min_bytes {
            return Err(JournalConfigError::TooSmall { max_bytes, min_bytes, segment_bytes, reserve_bytes });
        }
        Ok(())
    }

    pub(super) fn max_payload_bytes(&self) -> usize {
        // A segment must also hold the record's header and the durability mark.
        let fits_segment = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX) - 2 * HEADER_BYTES;
        fits_segment.min(MAX_PAYLOAD_BYTES)
    }
}
