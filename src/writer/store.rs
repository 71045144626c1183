//! Stores a sealed batch: in ClickHouse, or as a dead letter.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::sync::{OnceCell, RwLock};
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

use super::batch::{BatchBodies, BatchEncoder, insert_batch};
use super::columns::EventColumns;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::durability::Durability;
use super::reconcile::store_unconfirmed;
use super::stats::WriterStats;
use super::unlanded::UnlandedBatches;
use crate::blocking::run_blocking;
use crate::clickhouse::replicas::Replicas;
use crate::clickhouse::shards::Shards;
use crate::clickhouse::{ClickHouse, ClickHouseError, InsertFailure, batches, exclusive, people};
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

/// How long after its seal an earlier owner may insert a batch: it has a minute, and clocks differ.
const MAX_OWNER_DELAY: Duration = Duration::from_secs(120);

/// Whether this process may still insert a batch.
pub(crate) type MayInsert<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Inserts share it. A batch is compared and repaired under the exclusive lock, since nothing else may be inserted meanwhile.
pub(crate) type InsertLock = Arc<RwLock<()>>;

/// A shard, and who may insert into it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ShardStore {
    pub(super) clickhouse: ClickHouse,
    pub(super) insert_lock: InsertLock,
    /// Whether the tables of people are going to get the events of new batches.
    is_prepared: Arc<OnceCell<()>>,
    /// Whether its last insert failed. A batch that failed is repeated until it succeeds, which clears it.
    is_failing: Arc<AtomicBool>,
}

impl ShardStore {
    fn new(clickhouse: ClickHouse) -> Self {
        Self {
            clickhouse,
            insert_lock: InsertLock::default(),
            is_prepared: Arc::default(),
            is_failing: Arc::default(),
        }
    }

    pub(super) fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Relaxed);
    }

    /// Call it before anything lands. `unlanded` are the batches that may.
    pub(super) async fn prepare(&self, unlanded: &UnlandedBatches) -> Result<(), ClickHouseError> {
        let prepared =
            self.is_prepared.get_or_try_init(|| people::prepare(&self.clickhouse, unlanded.lowest_id()));
        prepared.await.copied()
    }

    /// Whether a batch has to be inserted under its token before it is compared: an earlier owner that was suspended may still
    /// insert it under its token, and a repair leaves none. Not if the token may have expired and the batch is stored.
    async fn may_have_other_owner(&self, batch_id: Uuid) -> Result<bool, ClickHouseError> {
        if age_of(batch_id).is_none_or(|age| age < MAX_OWNER_DELAY) {
            return Ok(true);
        }
        Ok(batches::count_stored_events(&self.clickhouse, &[batch_id]).await?.is_empty())
    }

    /// Whether a batch must be compared with what the shard has: its token is not enough.
    pub(super) fn compares(&self, batch_id: Uuid, outcome_unknown: bool) -> bool {
        match self.clickhouse.stores_tokens_with_rows() {
            true => age_of(batch_id).is_none_or(|age| age > TOKEN_MAX_AGE),
            false => outcome_unknown,
        }
    }
}

/// Chooses the shard of each batch when it is sealed: one after the other, except for those that are away or accept no inserts.
#[derive(Debug)]
pub(crate) struct ShardChoice {
    shards: Arc<[ShardStore]>,
    /// Of each shard; empty for the embedded engine.
    replicas: Vec<Replicas>,
    next: usize,
}

impl ShardChoice {
    pub(super) fn new(shards: Arc<[ShardStore]>, replicas: Vec<Replicas>) -> Self {
        Self { shards, replicas, next: 0 }
    }

    /// The number of a shard.
    pub(crate) fn next(&mut self) -> u32 {
        let count = self.shards.len();
        let is_usable = |shard: &usize| {
            !self.shards[*shard].is_failing.load(Relaxed)
                && self.replicas.get(*shard).is_none_or(Replicas::is_usable)
        };
        let usable = (0..count).map(|step| (self.next + step) % count).find(is_usable);
        let chosen = usable.unwrap_or(self.next % count);
        self.next = chosen + 1;
        u32::try_from(chosen).expect("there are few shards")
    }
}

/// Tokens of older batches may have expired. Replicated tables store 200,000 of them: those of 20 servers for a quarter of an
/// hour at the least.
pub(super) const TOKEN_MAX_AGE: Duration = Duration::from_secs(600);

/// The time since a batch got its id; `None` if that is in the future.
fn age_of(batch_id: Uuid) -> Option<Duration> {
    let (seconds, nanoseconds) = batch_id.get_timestamp()?.to_unix();
    let sealed_at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    SystemTime::now().duration_since(sealed_at).ok()
}

/// Stores sealed batches, several at a time. Cheap to clone; clones share the insert locks and the statistics.
#[derive(Clone, Debug)]
pub(crate) struct BatchStore {
    pub(super) shards: Arc<[ShardStore]>,
    pub(super) unlanded: UnlandedBatches,
    pub(super) encoder: BatchEncoder,
    pub(super) dead_letters: DeadLetters,
    pub(super) durability: Durability,
    pub(super) stats: Arc<WriterStats>,
}

/// What a seal says about its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchInfo {
    /// Also its deduplication token.
    pub(crate) batch_id: Uuid,
    /// The shard that gets it, from 0.
    pub(crate) shard: u32,
    /// Number of events. Its records may hold fewer if some are lost.
    pub(crate) events: u64,
    /// When its oldest event was received, in milliseconds since 1970 UTC.
    pub(crate) received_at_ms: i64,
}

impl BatchStore {
    /// For a command that replays dead letters while no server runs.
    pub(crate) fn for_replay(
        shards: &Shards,
        encoder: BatchEncoder,
        dead_letters: DeadLetters,
        durability: Durability,
    ) -> Self {
        let (unlanded, stats) = Default::default();
        Self { shards: Self::shards(shards), unlanded, encoder, dead_letters, durability, stats }
    }

    /// The shards of a ClickHouse.
    pub(super) fn shards(shards: &Shards) -> Arc<[ShardStore]> {
        shards.iter().cloned().map(ShardStore::new).collect()
    }

    #[cfg(feature = "kafka")]
    pub(crate) fn stats(&self) -> &WriterStats {
        &self.stats
    }

    /// Chooses the shards of batches. `replicas` are those of each shard.
    #[cfg(feature = "kafka")]
    pub(crate) fn shard_choice(&self, replicas: Vec<Replicas>) -> ShardChoice {
        ShardChoice::new(Arc::clone(&self.shards), replicas)
    }

    /// Whether the dead-letter folder has the batch: then its replay stores it.
    #[cfg(feature = "kafka")]
    pub(crate) fn is_dead_lettered(&self, batch_id: Uuid) -> bool {
        self.dead_letters.list().letters.iter().any(|letter| letter.batch_id == batch_id)
    }

    /// Returns once the batch is in ClickHouse or in the dead-letter folder. Retries until either succeeds.
    ///
    /// With `possibly_sent` an earlier insert may have had no response: then the batch is compared with what ClickHouse has, where its
    /// deduplication token is not enough.
    pub(crate) async fn store(&self, batch: BatchInfo, records: Vec<EventColumns>, possibly_sent: bool) {
        // Without a condition there is no failure.
        self.try_store(batch, records, possibly_sent, None).await.ok();
    }

    /// Like [`Self::store`], as long as `may_insert`, which is asked before each attempt. A batch that can be read again is not
    /// dead-lettered because ClickHouse accepts no inserts: that is an error, as is the end of the condition.
    pub(crate) async fn try_store(
        &self,
        batch: BatchInfo,
        records: Vec<EventColumns>,
        possibly_sent: bool,
        may_insert: Option<MayInsert<'_>>,
    ) -> Result<(), ClickHouseError> {
        let BatchInfo { batch_id, events, .. } = batch;
        let started_at = Instant::now();
        let encoding = tracing::info_span!(target: traces::TARGET, "encode");
        let body = self.encoder.encode(records, batch_id).instrument(encoding).await;
        let mut outcome_unknown = possibly_sent;
        loop {
            let inserted = self.insert_with_retries(batch, &body, &mut outcome_unknown, may_insert).await;
            let Err(error) = inserted else {
                tracing::debug!(batch = %batch_id, events, "batch landed");
                self.stats.count_inserted(events);
                self.stats.flush.observe(started_at.elapsed());
                let age_ms = jiff::Timestamp::now().as_millisecond() - batch.received_at_ms;
                self.stats.freshness.observe(Duration::from_millis(age_ms.try_into().unwrap_or(0)));
                return Ok(());
            };
            if may_insert.is_some() {
                if matches!(error.insert_failure(), InsertFailure::Unreachable | InsertFailure::Environment) {
                    return Err(error);
                }
                // Another server may insert it before this one has recorded that it is dead-lettered.
                outcome_unknown = true;
            }
            match self.write_dead_letter(batch, &body.events_native, error, outcome_unknown).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::error!(batch = %batch_id, %error, "cannot write a dead letter; the batch is retried");
                    tokio::time::sleep(FAULT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Inserts a batch with retries, and returns the last error. Sets `outcome_unknown` if an attempt got no response. From
    /// then on the deduplication token may not be enough: further attempts compare the batch with ClickHouse.
    async fn insert_with_retries(
        &self,
        batch @ BatchInfo { batch_id, .. }: BatchInfo,
        body: &BatchBodies,
        outcome_unknown: &mut bool,
        may_insert: Option<MayInsert<'_>>,
    ) -> Result<(), ClickHouseError> {
        let shard = self.shard(batch.shard)?;
        let mut delays = INSERT_BACKOFF.build();
        let first_attempt = Instant::now();
        loop {
            let attempted_at = Instant::now();
            let compares = shard.compares(batch_id, *outcome_unknown);
            let span = tracing::info_span!(
                target: traces::TARGET,
                "insert",
                compared = compares,
                otel.status_code = Empty,
                otel.status_description = Empty,
            );
            let attempt = self.attempt(shard, batch, body, compares, may_insert);
            let inserted = attempt.instrument(span.clone()).await;
            self.stats.insert.observe(attempted_at.elapsed());
            let Err(error) = inserted else {
                shard.set_failing(false);
                return Ok(());
            };
            traces::record_failure(&span, &error);
            self.stats.count_failed_insert();
            *outcome_unknown |= error.outcome_is_unknown();
            self.stats.set_insert_error(Some(error.insert_message()));
            if error.waits_for_repair() && first_attempt.elapsed() < REPAIR_TIMEOUT {
                // Not a failed attempt. If this server is the one that repairs, it was interrupted.
                let lock = shard.insert_lock.write().await;
                if let Err(error) = exclusive::release_own(&shard.clickhouse).await {
                    tracing::warn!(%error, "the constraint of an interrupted repair could not be dropped yet");
                }
                drop(lock);
                tokio::time::sleep(REPAIR_POLL_INTERVAL).await;
                continue;
            }
            let is_rejected = error.insert_failure() == InsertFailure::Rejected;
            // Other batches are not repeated here until they succeed: another server may take them over.
            if may_insert.is_none() {
                shard.set_failing(!is_rejected);
            }
            let Some(delay) = delays.next().filter(|_| !is_rejected) else {
                return Err(error);
            };
            tracing::warn!(batch = %batch_id, %error, delay_ms = delay.as_millis(), "insert failed; retrying");
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(
        &self,
        shard: &ShardStore,
        BatchInfo { batch_id, events, .. }: BatchInfo,
        body: &BatchBodies,
        compares: bool,
        may_insert: Option<MayInsert<'_>>,
    ) -> Result<(), ClickHouseError> {
        // After the wait for the lock.
        let check = || match may_insert.is_none_or(|may_insert| may_insert()) {
            true => Ok(()),
            false => Err(ClickHouseError::unreachable("the batch may belong to another server by now")),
        };
        shard.prepare(&self.unlanded).await?;
        if compares {
            let _exclusive = shard.insert_lock.write().await;
            check()?;
            if may_insert.is_some() && shard.may_have_other_owner(batch_id).await? {
                insert_batch(&shard.clickhouse, batch_id, body).await?;
            }
            let native = &body.events_native;
            store_unconfirmed(&shard.clickhouse, &self.durability, batch_id, events, native).await
        } else {
            let _shared = shard.insert_lock.read().await;
            check()?;
            insert_batch(&shard.clickhouse, batch_id, body).await
        }
    }

    /// The shard with a number.
    ///
    /// # Errors
    /// When the setting names fewer.
    pub(super) fn shard(&self, number: u32) -> Result<&ShardStore, ClickHouseError> {
        self.shards.get(number as usize).ok_or_else(|| {
            ClickHouseError::unreachable(format!(
                "CLICKHOUSE_URL names {} shards, but the batch belongs to shard {}; name that one too",
                self.shards.len(),
                number + 1
            ))
        })
    }

    async fn write_dead_letter(
        &self,
        BatchInfo { batch_id, shard, events, received_at_ms }: BatchInfo,
        body: &[Bytes],
        error: ClickHouseError,
        outcome_unknown: bool,
    ) -> io::Result<()> {
        let rejected = error.insert_failure() == InsertFailure::Rejected;
        let letter = DeadLetter {
            batch_id,
            dead_lettered_at: jiff::Timestamp::now().to_string(),
            received_at_ms: Some(received_at_ms),
            reason: error.insert_message(),
            code: error.code,
            events,
            bytes: body.iter().map(|part| part.len() as u64).sum(),
            rejected,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown,
            shard,
        };
        tracing::error!(batch = %batch_id, events, rejected, reason = letter.reason, "dead-lettering a batch");
        let bytes = letter.bytes;
        let (dead_letters, body) = (self.dead_letters.clone(), body.to_vec());
        run_blocking(move || dead_letters.put(&letter, &body)).await?;
        self.stats.count_dead_lettered(bytes);
        Ok(())
    }
}
