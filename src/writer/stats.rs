//! The writer's figures, for health and metrics. The writer's tasks set them, everyone reads them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Counters since the start, and the state of the parts.
#[derive(Debug)]
pub struct WriterStats {
    started: Instant,
    /// When the writer's task last ran, in milliseconds since `started`.
    heartbeat_ms: AtomicU64,
    journal_damage: Mutex<Option<String>>,
    sync_error: Mutex<Option<String>>,
    accepted: AtomicU64,
    rejected: AtomicU64,
    duplicates: AtomicU64,
    inserted: AtomicU64,
    /// Accepted events that are not in ClickHouse, those among the dead letters included.
    unlanded: AtomicU64,
    dead_letter_bytes: AtomicU64,
    /// Milliseconds since 1970 UTC; 0 before the first flush.
    last_flush_ms: AtomicI64,
    insert_error: Mutex<Option<String>>,
    disk_full: Mutex<Option<String>>,
    landed: watch::Sender<u64>,
}

impl Default for WriterStats {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            heartbeat_ms: AtomicU64::default(),
            journal_damage: Mutex::default(),
            sync_error: Mutex::default(),
            accepted: AtomicU64::default(),
            rejected: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            inserted: AtomicU64::default(),
            unlanded: AtomicU64::default(),
            dead_letter_bytes: AtomicU64::default(),
            last_flush_ms: AtomicI64::default(),
            insert_error: Mutex::default(),
            disk_full: Mutex::default(),
            landed: watch::Sender::default(),
        }
    }
}

impl WriterStats {
    /// How long ago the writer's task last ran. It runs every half second at least.
    pub fn time_since_heartbeat(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.heartbeat_ms.load(Relaxed)))
    }
    /// What damage to the journal cost at the start; none where there was none.
    pub fn journal_damage(&self) -> Option<String> {
        self.journal_damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Why ClickHouse's files could not be synced; none while they could be.
    pub fn sync_error(&self) -> Option<String> {
        self.sync_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(super) fn set_sync_error(&self, error: String) {
        *self.sync_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
    pub(super) fn record_heartbeat(&self) {
        self.heartbeat_ms.store(self.started.elapsed().as_millis() as u64, Relaxed);
    }
    pub(super) fn set_journal_damage(&self, damage: Option<String>) {
        *self.journal_damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    /// Events accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }
    /// Events refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }
    /// Events dropped as duplicates.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }
    /// Events inserted into ClickHouse.
    pub fn inserted(&self) -> u64 {
        self.inserted.load(Relaxed)
    }
    /// Events that were accepted and are not in ClickHouse.
    pub fn unlanded(&self) -> u64 {
        self.unlanded.load(Relaxed)
    }
    /// Bytes in the dead-letter folder.
    pub fn dead_letter_bytes(&self) -> u64 {
        self.dead_letter_bytes.load(Relaxed)
    }
    /// When a batch last landed, in milliseconds since 1970 UTC.
    pub fn last_flush_ms(&self) -> Option<i64> {
        Some(self.last_flush_ms.load(Relaxed)).filter(|&ms| ms != 0)
    }
    /// Why the last insert failed; none when it succeeded.
    pub fn insert_error(&self) -> Option<String> {
        self.insert_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Why requests are held back; none when they are not.
    pub fn disk_full(&self) -> Option<String> {
        self.disk_full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Changes whenever a batch has landed in ClickHouse.
    pub fn landed(&self) -> watch::Receiver<u64> {
        self.landed.subscribe()
    }

    /// Counts refused events.
    pub fn count_rejected(&self, events: u64) {
        self.rejected.fetch_add(events, Relaxed);
    }
    pub(super) fn count_accepted(&self, events: u64) {
        self.accepted.fetch_add(events, Relaxed);
        self.unlanded.fetch_add(events, Relaxed);
    }
    pub(super) fn count_duplicates(&self, events: u64) {
        self.duplicates.fetch_add(events, Relaxed);
    }
    /// Events found at the start, in the journal or among the dead letters.
    pub(super) fn count_recovered(&self, events: u64) {
        self.unlanded.fetch_add(events, Relaxed);
    }
    /// Events that were found twice: in the journal and in a dead letter.
    pub(super) fn uncount_recovered(&self, events: u64) {
        let subtract = |unlanded: u64| Some(unlanded.saturating_sub(events));
        self.unlanded.fetch_update(Relaxed, Relaxed, subtract).ok();
    }
    pub(super) fn set_dead_letter_bytes(&self, bytes: u64) {
        self.dead_letter_bytes.store(bytes, Relaxed);
    }
    pub(super) fn count_dead_lettered(&self, bytes: u64) {
        self.dead_letter_bytes.fetch_add(bytes, Relaxed);
    }
    pub(super) fn count_inserted(&self, events: u64) {
        self.inserted.fetch_add(events, Relaxed);
        // A batch that was set aside just before a crash is found twice and may come in once.
        let subtract = |unlanded: u64| Some(unlanded.saturating_sub(events));
        self.unlanded.fetch_update(Relaxed, Relaxed, subtract).ok();
        self.last_flush_ms.store(jiff::Timestamp::now().as_millisecond(), Relaxed);
        self.set_insert_error(None);
        self.landed.send_modify(|batches| *batches += 1);
    }
    pub(super) fn set_insert_error(&self, error: Option<String>) {
        *self.insert_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
    pub(super) fn set_disk_full(&self, full: Option<String>) {
        *self.disk_full.lock().unwrap_or_else(PoisonError::into_inner) = full;
    }
}
