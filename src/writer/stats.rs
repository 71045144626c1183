//! The writer's statistics, for health and metrics. Only the writer's tasks change them, except for the rejected events.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::dead_letter::DeadLetterSummary;
use crate::counters::Histogram;

/// Counters since the start of the server, and current faults.
#[derive(Debug)]
pub(crate) struct WriterStats {
    started: Instant,
    /// When the writer's task last ran, in milliseconds since `started`.
    heartbeat_ms: AtomicU64,
    journal_damage: Mutex<Option<String>>,
    sync_error: Mutex<Option<String>>,
    accepted: AtomicU64,
    rejected: [AtomicU64; REJECTED_FIELDS.len()],
    duplicates: AtomicU64,
    inserted: AtomicU64,
    failed_inserts: AtomicU64,
    /// When the oldest event of the journal that has not landed was received, in milliseconds since 1970 UTC; 0 for none.
    oldest_unlanded_ms: AtomicI64,
    /// From the submission of a request to its acknowledgement.
    pub(crate) acknowledgement: Histogram,
    /// One attempt to insert a batch.
    pub(crate) insert: Histogram,
    /// From the start of the encoding of a batch to its landing, retries included.
    pub(crate) flush: Histogram,
    /// From the receipt of the oldest event of a batch to its landing: from then on panels show it.
    pub(crate) freshness: Histogram,
    /// Accepted events that are not in ClickHouse, including those in dead letters.
    unlanded: AtomicU64,
    dead_letter_bytes: AtomicU64,
    /// Milliseconds since 1970 UTC; 0 before the first flush.
    last_flush_ms: AtomicI64,
    insert_error: Mutex<Option<String>>,
    disk_full: Mutex<Option<String>>,
    kafka_stalled: Mutex<Option<String>>,
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
            rejected: Default::default(),
            duplicates: AtomicU64::default(),
            inserted: AtomicU64::default(),
            failed_inserts: AtomicU64::default(),
            oldest_unlanded_ms: AtomicI64::default(),
            acknowledgement: Histogram::default(),
            insert: Histogram::default(),
            flush: Histogram::default(),
            freshness: Histogram::default(),
            unlanded: AtomicU64::default(),
            dead_letter_bytes: AtomicU64::default(),
            last_flush_ms: AtomicI64::default(),
            insert_error: Mutex::default(),
            disk_full: Mutex::default(),
            kafka_stalled: Mutex::default(),
            landed: watch::Sender::default(),
        }
    }
}

impl WriterStats {
    /// Time since the last iteration of the writer's task. An idle task iterates every 500 ms.
    pub(crate) fn time_since_heartbeat(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.heartbeat_ms.load(Relaxed)))
    }
    /// Damage that recovery found in the journal. Stays until the next start.
    pub(crate) fn journal_damage(&self) -> Option<String> {
        self.journal_damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Why a checkpoint could not sync ClickHouse's files. Stays until the next start.
    pub(crate) fn sync_error(&self) -> Option<String> {
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

    /// Events acknowledged as accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }
    /// Events rejected as invalid.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected_by_field().map(|(_, events)| events).sum()
    }
    /// The same by the field that is invalid.
    pub(crate) fn rejected_by_field(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REJECTED_FIELDS.iter().zip(&self.rejected).map(|(field, events)| (*field, events.load(Relaxed)))
    }
    /// Attempts to insert a batch that failed.
    pub(crate) fn failed_inserts(&self) -> u64 {
        self.failed_inserts.load(Relaxed)
    }
    /// When the oldest event was received that is not in ClickHouse, in milliseconds since 1970 UTC: of the journal or of the dead
    /// letters.
    pub(crate) fn oldest_unlanded_ms(&self, dead_letters: &DeadLetterSummary) -> Option<i64> {
        let unlanded = Some(self.oldest_unlanded_ms.load(Relaxed)).filter(|&ms| ms != 0);
        unlanded.into_iter().chain(dead_letters.oldest_event_ms).min()
    }
    /// Events dropped as duplicates.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }
    /// Events that landed in ClickHouse, including replayed dead letters.
    pub(crate) fn inserted(&self) -> u64 {
        self.inserted.load(Relaxed)
    }
    /// Accepted events that are not in ClickHouse, including recovered events and those in dead letters.
    pub(crate) fn unlanded(&self) -> u64 {
        self.unlanded.load(Relaxed)
    }
    /// Size of all bodies in the dead-letter folder.
    pub(crate) fn dead_letter_bytes(&self) -> u64 {
        self.dead_letter_bytes.load(Relaxed)
    }
    /// When a batch last landed, in milliseconds since 1970 UTC; `None` before the first.
    pub(crate) fn last_flush_ms(&self) -> Option<i64> {
        Some(self.last_flush_ms.load(Relaxed)).filter(|&ms| ms != 0)
    }
    /// Why the last insert failed; `None` after a success.
    pub(crate) fn insert_error(&self) -> Option<String> {
        self.insert_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Why the journal accepts no events; `None` while it does.
    pub(crate) fn disk_full(&self) -> Option<String> {
        self.disk_full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Why no events are accepted now: the journal on disk is full, or Kafka as the journal confirms nothing.
    pub(crate) fn refusal(&self) -> Option<String> {
        let stalled = self.kafka_stalled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.disk_full().or(stalled)
    }
    /// The number of landed batches. Changes with each.
    pub(crate) fn landed(&self) -> watch::Receiver<u64> {
        self.landed.subscribe()
    }

    pub(crate) fn count_rejected(&self, events: &RejectedByField) {
        for (total, events) in self.rejected.iter().zip(events.0) {
            total.fetch_add(events, Relaxed);
        }
    }
    pub(super) fn count_failed_insert(&self) {
        self.failed_inserts.fetch_add(1, Relaxed);
    }
    pub(super) fn set_oldest_unlanded_ms(&self, received_at_ms: Option<i64>) {
        self.oldest_unlanded_ms.store(received_at_ms.unwrap_or(0), Relaxed);
    }
    pub(crate) fn count_accepted(&self, events: u64) {
        self.count_received(events);
        self.count_unlanded(events);
    }
    /// Accepted events that another server may insert.
    pub(crate) fn count_received(&self, events: u64) {
        self.accepted.fetch_add(events, Relaxed);
    }
    /// Events that a server has accepted, and this one inserts.
    pub(crate) fn count_unlanded(&self, events: u64) {
        self.unlanded.fetch_add(events, Relaxed);
    }
    pub(crate) fn count_duplicates(&self, events: u64) {
        self.duplicates.fetch_add(events, Relaxed);
    }
    /// Counts events found at startup, in the journal or in dead letters.
    pub(super) fn count_recovered(&self, events: u64) {
        self.unlanded.fetch_add(events, Relaxed);
    }
    /// Corrects the count for events found twice: in the journal and in a dead letter.
    pub(super) fn uncount_recovered(&self, events: u64) {
        let subtract = |unlanded: u64| Some(unlanded.saturating_sub(events));
        self.unlanded.fetch_update(Relaxed, Relaxed, subtract).ok();
    }
    /// Accepted events that are read again later, perhaps by another server.
    #[cfg(feature = "kafka")]
    pub(crate) fn uncount_accepted(&self, events: u64) {
        let subtract = |total: u64| Some(total.saturating_sub(events));
        self.accepted.fetch_update(Relaxed, Relaxed, subtract).ok();
        self.uncount_unlanded(events);
    }
    /// Events that are read again later, perhaps by another server.
    #[cfg(feature = "kafka")]
    pub(crate) fn uncount_unlanded(&self, events: u64) {
        self.uncount_recovered(events);
    }
    pub(super) fn set_dead_letter_bytes(&self, bytes: u64) {
        self.dead_letter_bytes.store(bytes, Relaxed);
    }
    pub(super) fn count_dead_lettered(&self, bytes: u64) {
        self.dead_letter_bytes.fetch_add(bytes, Relaxed);
    }
    pub(super) fn count_inserted(&self, events: u64) {
        self.inserted.fetch_add(events, Relaxed);
        self.uncount_recovered(events);
        self.last_flush_ms.store(jiff::Timestamp::now().as_millisecond(), Relaxed);
        self.set_insert_error(None);
        self.landed.send_modify(|batches| *batches += 1);
    }
    pub(super) fn set_insert_error(&self, error: Option<String>) {
        *self.insert_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
    #[cfg(feature = "kafka")]
    pub(crate) fn set_kafka_stalled(&self, stalled: Option<String>) {
        *self.kafka_stalled.lock().unwrap_or_else(PoisonError::into_inner) = stalled;
    }
    pub(super) fn set_disk_full(&self, full: Option<String>) {
        *self.disk_full.lock().unwrap_or_else(PoisonError::into_inner) = full;
    }
}

/// The fields by which rejected events are counted: the fields of an event, and the event itself. All others count as the
/// last one, so that no sender can make the server count by a text of its own.
const REJECTED_FIELDS: [&str; 9] = [
    "event",
    "event_id",
    "event_name",
    "timestamp",
    "user_id",
    "session_id",
    "country_code",
    "properties",
    "other",
];

/// Rejected events of a request by field.
#[derive(Debug, Default)]
pub(crate) struct RejectedByField([u64; REJECTED_FIELDS.len()]);

impl RejectedByField {
    pub(crate) fn count(&mut self, field: &str) {
        // The JSON of an event that is not an object has no field.
        let field = if field.is_empty() { "event" } else { field };
        let other = REJECTED_FIELDS.len() - 1;
        let index = REJECTED_FIELDS.iter().position(|known| *known == field).unwrap_or(other);
        self.0[index] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_events_are_counted_by_known_fields_only() {
        let stats = WriterStats::default();
        let mut rejected = RejectedByField::default();
        for field in ["", "timestamp", "timestamp", "made up by a sender"] {
            rejected.count(field);
        }
        stats.count_rejected(&rejected);
        let counts: Vec<_> = stats.rejected_by_field().filter(|(_, events)| *events > 0).collect();
        assert_eq!(counts, [("event", 1), ("timestamp", 2), ("other", 1)]);
        assert_eq!(stats.rejected(), 4);
    }
}
