//! Stores a sealed batch: in ClickHouse, or as a dead letter.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::sync::RwLock;
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

use super::batch::{BatchBodies, BatchEncoder, insert_batch};
use super::columns::EventColumns;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::durability::Durability;
use super::reconcile::store_unconfirmed;
use super::stats::WriterStats;
use crate::blocking::run_blocking;
use crate::clickhouse::{ClickHouse, ClickHouseError, InsertFailure, exclusive};
use crate::traces;

/// Retries of a failed insert before its batch is dead-lettered. Each delay is 250 ms, 500 ms and 1 s, plus up to as much
/// again at random, so that several servers do not retry in lockstep.
const INSERT_BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_factor(2.0)
    .with_max_times(3)
    .with_jitter();
/// Delay before a batch that could be neither inserted nor dead-lettered is tried again.
const FAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long inserts wait for another server's repair before that counts as a failure.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(60);
const REPAIR_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Inserts share it. A batch is compared and repaired under the exclusive lock, since nothing else may be inserted meanwhile.
pub(crate) type InsertLock = Arc<RwLock<()>>;

/// Stores sealed batches, several at a time. Cheap to clone; clones share the insert lock and the statistics.
#[derive(Clone)]
pub(crate) struct BatchStore {
    pub(super) clickhouse: ClickHouse,
    pub(super) encoder: BatchEncoder,
    pub(super) dead_letters: DeadLetters,
    pub(super) durability: Durability,
    pub(super) insert_lock: InsertLock,
    pub(super) stats: Arc<WriterStats>,
}

impl BatchStore {
    /// Returns once the batch is in ClickHouse or in the dead-letter folder. Retries until either succeeds.
    ///
    /// `events` is the number in the seal; `records` may hold fewer if some are lost. `received_at_ms` is the time of receipt
    /// of the oldest event. With `possibly_sent` the batch is compared with what ClickHouse has, instead of relying on its
    /// deduplication token: an earlier insert may have had no response, or its token may have expired.
    pub(crate) async fn store(
        &self,
        batch_id: Uuid,
        events: u64,
        received_at_ms: i64,
        records: Vec<EventColumns>,
        possibly_sent: bool,
    ) {
        let started_at = Instant::now();
        let encoding = tracing::info_span!(target: traces::TARGET, "encode");
        let body = self.encoder.encode(records, batch_id).instrument(encoding).await;
        let mut outcome_unknown = possibly_sent;
        loop {
            let Err(error) = self.insert_with_retries(batch_id, events, &body, &mut outcome_unknown).await
            else {
                tracing::debug!(batch = %batch_id, events, "batch landed");
                self.stats.count_inserted(events);
                self.stats.flush.observe(started_at.elapsed());
                let age_ms = jiff::Timestamp::now().as_millisecond() - received_at_ms;
                self.stats.freshness.observe(Duration::from_millis(age_ms.try_into().unwrap_or(0)));
                return;
            };
            match self
                .write_dead_letter(
                    batch_id,
                    events,
                    received_at_ms,
                    &body.events_native,
                    error,
                    outcome_unknown,
                )
                .await
            {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(batch = %batch_id, %error, "cannot write a dead letter; the batch is retried");
                    tokio::time::sleep(FAULT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Inserts a batch with retries, and returns the last error. Sets `outcome_unknown` if an attempt got no response. From
    /// then on the deduplication token is not enough: every further attempt compares the batch with ClickHouse.
    async fn insert_with_retries(
        &self,
        batch_id: Uuid,
        events: u64,
        body: &BatchBodies,
        outcome_unknown: &mut bool,
    ) -> Result<(), ClickHouseError> {
        let mut delays = INSERT_BACKOFF.build();
        let first_attempt = Instant::now();
        loop {
            let attempted_at = Instant::now();
            let span = tracing::info_span!(
                target: traces::TARGET,
                "insert",
                compared = *outcome_unknown,
                otel.status_code = Empty,
                otel.status_description = Empty,
            );
            let attempt = async {
                match *outcome_unknown {
                    true => {
                        let _exclusive = self.insert_lock.write().await;
                        let native = &body.events_native;
                        store_unconfirmed(&self.clickhouse, &self.durability, batch_id, events, native).await
                    }
                    false => {
                        let _shared = self.insert_lock.read().await;
                        insert_batch(&self.clickhouse, batch_id, body).await
                    }
                }
            };
            let inserted = attempt.instrument(span.clone()).await;
            self.stats.insert.observe(attempted_at.elapsed());
            let Err(error) = inserted else { return Ok(()) };
            traces::record_failure(&span, &error);
            self.stats.count_failed_insert();
            *outcome_unknown |= error.outcome_is_unknown();
            self.stats.set_insert_error(Some(error.to_string()));
            if error.waits_for_repair() && first_attempt.elapsed() < REPAIR_TIMEOUT {
                // Not a failed attempt. If this server is the one that repairs, it was interrupted.
                let exclusive = self.insert_lock.write().await;
                if let Err(error) = exclusive::release_own(&self.clickhouse).await {
                    tracing::warn!(%error, "the constraint of an interrupted repair could not be dropped yet");
                }
                drop(exclusive);
                tokio::time::sleep(REPAIR_POLL_INTERVAL).await;
                continue;
            }
            let is_rejected = error.insert_failure() == InsertFailure::Rejected;
            let Some(delay) = delays.next().filter(|_| !is_rejected) else {
                return Err(error);
            };
            tracing::warn!(batch = %batch_id, %error, delay_ms = delay.as_millis(), "insert failed; retrying");
            tokio::time::sleep(delay).await;
        }
    }

    async fn write_dead_letter(
        &self,
        batch_id: Uuid,
        events: u64,
        received_at_ms: i64,
        body: &[Bytes],
        error: ClickHouseError,
        outcome_unknown: bool,
    ) -> io::Result<()> {
        let rejected = error.insert_failure() == InsertFailure::Rejected;
        let letter = DeadLetter {
            batch_id,
            dead_lettered_at: jiff::Timestamp::now().to_string(),
            received_at_ms: Some(received_at_ms),
            reason: error.message,
            code: error.code,
            events,
            bytes: body.iter().map(|part| part.len() as u64).sum(),
            rejected,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown,
        };
        tracing::error!(batch = %batch_id, events, rejected, reason = letter.reason, "dead-lettering a batch");
        let bytes = letter.bytes;
        let (dead_letters, body) = (self.dead_letters.clone(), body.to_vec());
        run_blocking(move || dead_letters.put(&letter, &body)).await?;
        self.stats.count_dead_lettered(bytes);
        Ok(())
    }
}
