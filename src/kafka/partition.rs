//! The task of a partition: claims it, inserts what is sealed and has not landed, then cuts, seals and inserts batches until the
//! partition is taken away. See the table of states in docs/decisions/0014-kafka.md.
//!
//! | limit | when it is reached |
//! | --- | --- |
//! | messages fetched ahead: 4 MB | the client stops fetching |
//! | a batch: its share of MILLRACE_MAX_BUFFER_BYTES, 500,000 events | nothing is read until it is sealed |
//! | one batch in flight per partition, MILLRACE_INSERTS_IN_FLIGHT for all of them | the next one grows |

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::claim::{Claim, Lost, Owner, is_temporary};
use super::client::{Clients, Logged};
use super::record::{Seal, SealRecord, digest};
use super::seals::BatchContents;
use super::source::Member;
use super::status::KafkaStatus;
use crate::blocking::run_blocking;
use crate::clickhouse::ClickHouseError;
use crate::clickhouse::people::{self, Selection};
use crate::clickhouse::shards::Shards;
use crate::config::kafka::KafkaFormat;
use crate::ingest::kafka::{Message, MessageBatch, MessageDecoder};
use crate::writer::feed::Feed;
use crate::writer::flush_policy::{BatchLimits, BatchSize};
use crate::writer::{BatchInfo, BatchStore, ShardChoice, UnlandedBatches, WeakCopies};

/// Delay before a partition is claimed again after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Delay before a stopped partition is looked at again: somebody may have decided what to do.
const STOPPED_DELAY: Duration = Duration::from_secs(10);
/// Delay before a partition is claimed back. The group takes it away before, unless the other owner was the wrong one.
const FENCED_DELAY: Duration = Duration::from_secs(30);
/// How long a landed record waits for the next seal.
const LANDED_DELAY: Duration = Duration::from_secs(1);
/// How long a batch in flight is waited for when the partition is taken away.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
/// Messages that are decoded before other tasks get their turn: about a millisecond. A message of the journal has many events, and
/// counts as one for each of so many bytes.
const MESSAGES_PER_TURN: usize = 256;
const BYTES_PER_MESSAGE: usize = 512;
/// The smallest share of memory of a batch.
const MIN_BATCH_BYTES: u64 = 1 << 20;

/// What the partitions of a server share.
pub(super) struct Shared {
    pub(super) clients: Clients,
    pub(super) member: Arc<Member>,
    pub(super) store: BatchStore,
    pub(super) shards: Shards,
    pub(super) choose_shard: Mutex<ShardChoice>,
    /// Identifies ClickHouse in the seals.
    pub(super) store_id: Uuid,
    pub(super) unlanded: UnlandedBatches,
    pub(super) decoder: MessageDecoder,
    /// Compares batches of the journal with others.
    pub(super) copies: WeakCopies,
    pub(super) feed: Feed,
    pub(super) status: KafkaStatus,
    pub(super) limits: BatchLimits,
    /// Memory for the batches of all partitions.
    pub(super) max_buffer_bytes: u64,
    pub(super) demand: watch::Receiver<Option<Duration>>,
    /// Permits of inserts.
    pub(super) inserts: Arc<Semaphore>,
    /// What had landed at this time is durable in ClickHouse.
    pub(super) durable_before: watch::Receiver<Option<Instant>>,
    /// Number of partitions of this server.
    pub(super) owned: AtomicU64,
    /// Whether the machine of the embedded engine lost power since the server last ran: what landed before may be incomplete.
    pub(super) unclean_boot: bool,
}

pub(super) struct PartitionTask {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// Cancelled when the partition is taken away, or the server stops.
    pub(super) stop: CancellationToken,
}

/// Why the partition is no longer consumed.
enum Ended {
    /// It was taken away.
    Stopped,
    Lost(Lost),
}

impl From<Lost> for Ended {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Self {
        Self::Lost(error.into())
    }
}

/// The batch that messages are added to.
struct OpenBatch {
    events: MessageBatch,
    contents: BatchContents,
    oldest_ms: Option<i64>,
}

/// A sealed batch that is being inserted.
struct InFlight {
    seal: Seal,
    oldest_ms: Option<i64>,
    insert: JoinHandle<Result<(), ClickHouseError>>,
}

/// A batch in flight is not inserted by a process that does not know whether it owns the partition.
impl Drop for InFlight {
    fn drop(&mut self) {
        self.insert.abort();
    }
}

impl OpenBatch {
    fn new(task: &PartitionTask, topic_id: Uuid) -> Self {
        let mut decoder = task.shared.decoder.clone();
        if task.is_journal() {
            decoder.format = KafkaFormat::Journal;
        }
        let events = MessageBatch::new(decoder, &task.topic, topic_id, task.partition);
        Self { events, contents: BatchContents::default(), oldest_ms: None }
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let timestamp_ms = message.timestamp().to_millis();
        self.events.push(Message { offset: message.offset(), timestamp_ms, value: message.payload() });
        let contents = &mut self.contents;
        contents.last = message.offset();
        contents.messages += 1;
        contents.digest = digest(contents.digest, message.offset(), message.payload());
        contents.events = self.events.events();
        self.oldest_ms = self.oldest_ms.into_iter().chain(timestamp_ms).min();
    }

    /// A batch of messages without events is due as well.
    fn size(&self) -> BatchSize {
        let Self { contents: BatchContents { messages, events, .. }, .. } = self;
        BatchSize { events: u64::from(*messages.max(events)), bytes: self.events.bytes() }
    }
}

impl PartitionTask {
    /// Whether the messages are requests that servers have received.
    fn is_journal(&self) -> bool {
        self.shared.clients.settings.journal_topic() == Some(&*self.topic)
    }

    /// Counts the events of a batch that is going to be inserted.
    fn count(&self, events: u64) {
        let stats = self.shared.store.stats();
        match self.is_journal() {
            // They were counted as accepted when they were acknowledged.
            true => stats.count_unlanded(events),
            false => stats.count_accepted(events),
        }
    }

    /// The events of the batch are read again.
    fn uncount(&self, events: u64) {
        let stats = self.shared.store.stats();
        match self.is_journal() {
            true => stats.uncount_unlanded(events),
            false => stats.uncount_accepted(events),
        }
    }

    /// Runs until `stop`.
    pub(super) async fn run(self) {
        let (topic, partition) = (&*self.topic, self.partition);
        let status = &self.shared.status;
        status.update(topic, partition, |_| {});
        let mut told = String::new();
        while !self.stop.is_cancelled() {
            let Ended::Lost(lost) = self.own().await else { break };
            status.update(topic, partition, |status| status.oldest_ms = None);
            let delay = match &lost {
                Lost::Fenced => FENCED_DELAY,
                Lost::Failed(_) => RETRY_DELAY,
                Lost::Stopped(_) => STOPPED_DELAY,
            };
            let stopped = matches!(lost, Lost::Stopped(_)).then(|| lost.to_string());
            let text = lost.to_string();
            // One line for each reason.
            match &stopped {
                _ if text == told => {}
                Some(reason) => tracing::error!(topic, partition, "partition is not consumed: {reason}"),
                None => {
                    tracing::warn!(topic, partition, reason = text, "partition lost; it is claimed again")
                }
            }
            told = text;
            status.update(topic, partition, |status| status.stopped = stopped);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(delay) => {}
            }
        }
        status.remove(topic, partition);
        tracing::debug!(topic, partition, "partition released");
    }

    /// Claims the partition and consumes it.
    async fn own(&self) -> Ended {
        match self.claim().await {
            Ok(owner) => {
                let mut in_flight = None;
                let ended = self.consume(owner, &mut in_flight).await.unwrap_or_else(|ended| ended);
                // Whoever compares the batch with ClickHouse must be the only one who inserts it.
                if let Some(mut in_flight) = in_flight {
                    in_flight.insert.abort();
                    (&mut in_flight.insert).await.ok();
                    self.shared.unlanded.remove(in_flight.seal.batch_id);
                    self.uncount(u64::from(in_flight.seal.events));
                }
                ended
            }
            Err(ended) => ended,
        }
    }

    /// Waits for a future, unless the partition is taken away.
    async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Ended::Stopped),
            output = future => Ok(output),
        }
    }

    async fn claim(&self) -> Result<Owner, Ended> {
        self.unless_stopped(self.wait_for_clickhouse()).await?;
        let (shared, topic, partition) = (Arc::clone(&self.shared), Arc::clone(&self.topic), self.partition);
        let claim = run_blocking(move || Claim::new(&shared.clients, &topic, partition, shared.store_id));
        let mut claim = self.unless_stopped(claim).await??;
        // Before messages that are missing count as lost.
        claim.check_end()?;
        let seals: Vec<Seal> = claim.owner.state.unlanded().cloned().collect();
        for seal in seals {
            tracing::info!(topic = &*self.topic, partition, first = seal.first, last = seal.last, batch = %seal.batch_id,
                "storing a sealed batch of an earlier owner");
            self.store_again(&claim, &seal, false).await?;
            let owner = self.commit(claim.owner, vec![SealRecord::Landed(seal)]).await?;
            claim = Claim { owner, log: claim.log };
        }
        if self.shared.unclean_boot {
            let landed: Vec<Seal> = claim.owner.state.landed().cloned().collect();
            for seal in landed {
                self.store_again(&claim, &seal, true).await?;
            }
        }
        claim.check_start()?;
        let owner = claim.owner;
        let next = owner.state.next_offset();
        tracing::info!(topic = &*self.topic, partition, offset = next, "partition claimed");
        self.shared.status.update(&self.topic, partition, |status| {
            status.landed = Some(next);
            status.stopped = None;
        });
        Ok(owner)
    }

    /// While ClickHouse is away, nothing is claimed or read.
    async fn wait_for_clickhouse(&self) {
        while let Err(error) = self.shared.shards.first().version().await {
            tracing::debug!(%error, "waiting for ClickHouse");
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn commit(&self, owner: Owner, records: Vec<SealRecord>) -> Result<Owner, Lost> {
        run_blocking(move || owner.commit(&records)).await
    }

    /// Makes ClickHouse hold a batch that an earlier owner has sealed and may have inserted. One that has landed need not be in
    /// Kafka any more.
    async fn store_again(&self, claim: &Claim, seal: &Seal, has_landed: bool) -> Result<(), Ended> {
        let Seal { batch_id, events, .. } = *seal;
        let Shared { store, unlanded, status, shards, copies, .. } = &*self.shared;
        if store.is_dead_lettered(batch_id) {
            return Ok(());
        }
        let mut batch = self.unless_stopped(self.read_again(seal, claim.log.start)).await??;
        let OpenBatch { contents, oldest_ms, .. } = batch;
        if (contents.messages, contents.digest) != (seal.messages, seal.digest) {
            if has_landed {
                return Ok(());
            }
            let lost = seal.messages.saturating_sub(contents.messages);
            tracing::error!(
                topic = seal.topic,
                partition = self.partition,
                first = seal.first,
                last = seal.last,
                lost,
                "Kafka no longer has all messages of a batch; what is left is stored"
            );
            status.count_lost(u64::from(lost));
        }
        if !has_landed {
            batch.events.record(store.stats());
        }
        if batch.events.events() == 0 {
            return Ok(());
        }
        let events = u64::from(events);
        let confirmed_at = claim.owner.confirmed_at;
        unlanded.add([batch_id]);
        self.count(events);
        let may_be_elsewhere = batch.events.may_be_elsewhere();
        let columns = batch.events.into_records();
        let may_insert = move || confirmed_at.is_recent();
        let batch = info(seal, oldest_ms);
        let stored = async {
            store.try_store(batch, columns, true, Some(&may_insert)).await?;
            // Its id may be below the mark of the tables of people.
            for shard in shards.iter().skip(usize::from(seal.shard)).take(1) {
                people::add_events(shard, Selection::Batches(&[batch_id])).await?;
            }
            // A repair has restored what was removed from it.
            if may_be_elsewhere {
                copies.check(batch_id, seal.shard.into()).await;
            }
            Ok(())
        };
        let stored: Result<Result<(), ClickHouseError>, Ended> = self.unless_stopped(stored).await;
        unlanded.remove(batch_id);
        if !matches!(stored, Ok(Ok(()))) {
            self.uncount(events);
        }
        stored?.map_err(|error| {
            Lost::Failed(format!("a batch of an earlier owner cannot be stored: {error}"))
        })?;
        Ok(())
    }

    /// Reads the messages of a batch again, those that are left.
    async fn read_again(&self, seal: &Seal, log_start: i64) -> KafkaResult<OpenBatch> {
        let mut batch = OpenBatch::new(self, seal.partition.topic_id);
        if seal.last < log_start {
            return Ok(batch);
        }
        let first = seal.first.max(log_start);
        let reader = Reader::new(self.shared.clients.reader(&self.topic, self.partition, first)?);
        let mut stream = reader.0.stream();
        while let Some(next) = stream.next().await {
            match next {
                Ok(message) if message.offset() > seal.last => break,
                Ok(message) => {
                    batch.push(&message);
                    if message.offset() == seal.last {
                        break;
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {
                    // A new leader may show less for a moment.
                    let position = reader.0.position()?;
                    let position = position.find_partition(&self.topic, self.partition);
                    if position.and_then(|found| found.offset().to_raw()).is_some_and(|next| next > seal.last)
                    {
                        break;
                    }
                }
                Err(error) if is_temporary(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }

    /// Cuts, seals and inserts batches until the partition is taken away or lost.
    async fn consume(&self, mut owner: Owner, in_flight: &mut Option<InFlight>) -> Result<Ended, Ended> {
        let Self { shared, topic, partition, stop } = self;
        let topic_id = owner.state.partition().topic_id;
        let reader = Reader::new(shared.clients.reader(topic, *partition, owner.state.next_offset())?);
        let mut stream = reader.0.stream();
        let mut open = OpenBatch::new(self, topic_id);
        let mut demand = shared.demand.clone();
        let mut permit: Option<OwnedSemaphorePermit> = None;
        let mut acquiring: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>> = None;
        // Batches that have landed, and are to be recorded as such.
        let mut landed: Vec<SealRecord> = Vec::new();
        // First offsets of landed batches that may not be durable.
        let mut landed_at: VecDeque<(i64, Instant)> =
            owner.state.landed().map(|seal| (seal.first, Instant::now())).collect();
        let mut last_flush = Instant::now();
        let mut last_landing = Instant::now();
        let mut ticks = tokio::time::interval(LANDED_DELAY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let limits = self.limits();
            let size = open.size();
            let refresh = *demand.borrow_and_update();
            let due = limits.due_at(size, last_flush, refresh).filter(|_| in_flight.is_none());
            if due.is_some_and(|due| due <= Instant::now()) {
                if let Some(permit) = permit.take() {
                    let records = std::mem::take(&mut landed);
                    let next = OpenBatch::new(self, topic_id);
                    let batch = std::mem::replace(&mut open, next);
                    last_flush = Instant::now();
                    let (sealed, inserting) =
                        self.seal(owner, batch, records, &mut landed_at, permit).await?;
                    owner = sealed;
                    *in_flight = Some(inserting);
                    continue;
                }
                if acquiring.is_none() {
                    let permit = Arc::clone(&shared.inserts).acquire_owned();
                    acquiring = Some(Box::pin(permit.map(|permit| permit.expect("it is never closed"))));
                }
            }
            let oldest_ms = in_flight.as_ref().map_or(open.oldest_ms, |in_flight| in_flight.oldest_ms);
            shared.status.update(topic, *partition, |status| status.oldest_ms = oldest_ms);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                stored = join(in_flight) => {
                    let seal = self.landed(in_flight, stored)?;
                    landed_at.push_back((seal.first, Instant::now()));
                    landed.push(SealRecord::Landed(seal));
                    last_landing = Instant::now();
                }
                acquired = acquire(&mut acquiring) => permit = Some(acquired),
                _ = ticks.tick() => {
                    if !landed.is_empty() && last_landing.elapsed() >= LANDED_DELAY {
                        let mut records = std::mem::take(&mut landed);
                        records.extend(self.releasable(&owner, &mut landed_at));
                        owner = self.commit(owner, records).await?;
                    } else if landed.is_empty() {
                        let released = self.releasable(&owner, &mut landed_at);
                        if !released.is_empty() {
                            owner = self.commit(owner, released).await?;
                        }
                    }
                }
                next = stream.next(), if !limits.is_full(size) => {
                    let mut next = Some(next);
                    let mut left = MESSAGES_PER_TURN;
                    let mut bytes = 0;
                    while let Some(message) = next {
                        match message {
                            Some(Ok(message)) => {
                                bytes += message.payload_len();
                                open.push(&message);
                            }
                            Some(Err(KafkaError::PartitionEOF(_))) => {}
                            Some(Err(error)) if is_temporary(&error) => {}
                            Some(Err(error)) => return Err(error.into()),
                            None => return Err(Lost::Failed("the reader has ended".to_owned()).into()),
                        }
                        left -= 1;
                        if bytes > MESSAGES_PER_TURN * BYTES_PER_MESSAGE || limits.is_full(open.size()) {
                            left = 0;
                        }
                        // What is taken from the stream must get into the batch.
                        next = if left == 0 { None } else { stream.next().now_or_never() };
                    }
                    // The stream is no resource of the runtime, so it would never yield.
                    tokio::task::yield_now().await;
                }
                () = sleep_until(due) => {}
                // With a new subscription, a batch may be due sooner.
                Ok(()) = demand.changed() => {}
            }
        }
        // What is open is read again by the next owner.
        if in_flight.is_some()
            && let Ok(stored) = tokio::time::timeout(DRAIN_TIMEOUT, join(in_flight)).await
        {
            landed.push(SealRecord::Landed(self.landed(in_flight, stored)?));
        }
        if !landed.is_empty() {
            self.commit(owner, landed).await?;
        }
        Ok(Ended::Stopped)
    }

    /// The limits of a batch of this partition. Together, the partitions take the memory and the inserts of one writer.
    fn limits(&self) -> BatchLimits {
        let Shared { limits, max_buffer_bytes, owned, .. } = &*self.shared;
        let owned = owned.load(Relaxed).max(1);
        BatchLimits {
            // One batch is open, one in flight.
            max_bytes: limits.max_bytes.min(max_buffer_bytes / (2 * owned)).max(MIN_BATCH_BYTES),
            flush_min_interval: limits
                .flush_min_interval
                .saturating_mul(u32::try_from(owned).unwrap_or(u32::MAX)),
            ..*limits
        }
    }

    /// Seals the open batch, and starts its insert.
    async fn seal(
        &self,
        owner: Owner,
        mut batch: OpenBatch,
        mut records: Vec<SealRecord>,
        landed_at: &mut VecDeque<(i64, Instant)>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Owner, InFlight), Ended> {
        let Shared { unlanded, store, feed, choose_shard, copies, .. } = &*self.shared;
        records.extend(self.releasable(&owner, landed_at));
        let shard = choose_shard.lock().unwrap_or_else(PoisonError::into_inner).next();
        let shard = u16::try_from(shard).expect("there are few shards");
        let seal = owner.state.cut(batch.contents, shard, unlanded.new_id());
        let sealed = {
            let seal = seal.clone();
            run_blocking(move || owner.seal(records, seal)).await
        };
        let owner = match sealed {
            Ok(owner) => owner,
            Err(lost) => {
                unlanded.remove(seal.batch_id);
                return Err(lost.into());
            }
        };
        batch.events.record(store.stats());
        let events = u64::from(seal.events);
        self.count(events);
        batch.events.records().iter().for_each(|columns| feed.publish(columns));
        let OpenBatch { events: messages, oldest_ms, .. } = batch;
        let (store, batch, confirmed_at) = (store.clone(), info(&seal, oldest_ms), owner.confirmed_at);
        let copies = messages.may_be_elsewhere().then(|| copies.clone());
        let insert = tokio::spawn(async move {
            let may_insert = move || confirmed_at.is_recent();
            if events == 0 {
                return Ok(());
            }
            store.try_store(batch, messages.into_records(), false, Some(&may_insert)).await?;
            drop(permit);
            // Before it is recorded as landed: then nobody would compare it any more.
            if let Some(copies) = copies {
                copies.check(batch.batch_id, batch.shard).await;
            }
            Ok(())
        });
        Ok((owner, InFlight { seal, oldest_ms, insert }))
    }

    /// Takes the batch in flight, which was stored.
    fn landed(
        &self,
        in_flight: &mut Option<InFlight>,
        stored: Result<(), ClickHouseError>,
    ) -> Result<Seal, Ended> {
        let seal = in_flight.take().map(|in_flight| in_flight.seal.clone()).expect("it was waited for");
        let Shared { unlanded, status, member, .. } = &*self.shared;
        unlanded.remove(seal.batch_id);
        if let Err(error) = stored {
            self.shared.store.stats().uncount_accepted(u64::from(seal.events));
            return Err(Lost::Failed(format!("a batch cannot be inserted: {error}")).into());
        }
        status.count_landed(u64::from(seal.messages));
        status.update(&self.topic, self.partition, |status| status.landed = Some(seal.last + 1));
        let mut offset = TopicPartitionList::new();
        let added = offset.add_partition_offset(&self.topic, self.partition, Offset::Offset(seal.last + 1));
        // Only for those who look at the group: nothing reads it but the check for lost seals.
        if let Err(error) = added.and_then(|()| member.commit(&offset, CommitMode::Async)) {
            tracing::debug!(%error, "the offset of the group is not committed");
        }
        Ok(seal)
    }

    /// Tombstones of the batches that nobody has to read again.
    fn releasable(&self, owner: &Owner, landed_at: &mut VecDeque<(i64, Instant)>) -> Vec<SealRecord> {
        let Some(durable_before) = *self.shared.durable_before.borrow() else { return Vec::new() };
        let is_waiting =
            |first| landed_at.iter().any(|(waiting, at)| *waiting == first && *at >= durable_before);
        let released = owner.state.releasable(|seal| !is_waiting(seal.first));
        landed_at.retain(|(_, at)| *at >= durable_before);
        released
    }
}

fn info(seal: &Seal, oldest_ms: Option<i64>) -> BatchInfo {
    BatchInfo {
        batch_id: seal.batch_id,
        shard: seal.shard.into(),
        events: seal.events.into(),
        received_at_ms: oldest_ms.unwrap_or_default(),
    }
}

/// A reader, whose end blocks for a moment.
struct Reader(Arc<StreamConsumer<Logged>>);

impl Reader {
    fn new(consumer: StreamConsumer<Logged>) -> Self {
        Self(Arc::new(consumer))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let consumer = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || drop(consumer));
    }
}

/// The outcome of the batch in flight; pending while there is none. Cancel safe.
async fn join(in_flight: &mut Option<InFlight>) -> Result<(), ClickHouseError> {
    let Some(InFlight { insert, .. }) = in_flight else { return std::future::pending().await };
    match insert.await {
        Ok(stored) => stored,
        // It is aborted only after it was taken.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The permit that is waited for; pending while there is none. Cancel safe.
async fn acquire(
    acquiring: &mut Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
) -> OwnedSemaphorePermit {
    let Some(future) = acquiring else { return std::future::pending().await };
    let permit = future.await;
    *acquiring = None;
    permit
}

async fn sleep_until(due: Option<Instant>) {
    match due.filter(|due| *due > Instant::now()) {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
