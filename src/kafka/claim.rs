//! The ownership of a partition: fencing, reading its seals, and committing further ones. Everything here blocks.
//!
//! An [`Owner`] is lost with the first commit that fails, whether it was fenced or only got no response: what it knew about the
//! partition is dropped with it, and the partition is claimed again.

use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use super::client::{Clients, Logged, REQUEST_TIMEOUT};
use super::record::{PartitionId, Seal, SealRecord};
use super::seals::{PartitionState, SealLog};
use super::topic_id::topic_ids;
use crate::config::kafka::KafkaConfig;

/// Time for a commit. Brokers that restart take some.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for reading the seals. Transactions that a dead server left open hide what is behind them for 10 s.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// A server claims a partition that is not consumed at most every second.
const MAX_RESTARTS: u32 = 10;
/// An owner that has not committed for longer may have been replaced long enough for ClickHouse to forget a token.
const MAX_OWNERSHIP_AGE: Duration = Duration::from_secs(60);

/// The clock that goes on while the machine or the process is suspended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspendable(Duration);

impl Suspendable {
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// Whether an owner that committed then may still insert.
    pub(super) fn is_recent(self) -> bool {
        Self::now().0.saturating_sub(self.0) < MAX_OWNERSHIP_AGE
    }
}

/// The right to cut batches of a partition, until another process claims it.
pub(super) struct Owner {
    clients: Clients,
    topic: String,
    producer: BaseProducer<Logged>,
    pub(super) state: PartitionState,
    /// When the ownership was last confirmed.
    pub(super) confirmed_at: Suspendable,
}

/// A claimed partition.
pub(super) struct Claim {
    pub(super) owner: Owner,
    /// First offset and end of the partition's log.
    pub(super) log: Range<i64>,
}

/// Why a partition is not owned, or no longer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Lost {
    /// Another process has claimed it.
    #[error("another server has claimed it")]
    Fenced,
    /// It is claimed again.
    #[error("{0}")]
    Failed(String),
    /// It waits for a person.
    #[error("{0}")]
    Stopped(String),
}

impl From<KafkaError> for Lost {
    fn from(error: KafkaError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Claim {
    /// Fences all earlier owners of a partition, and reads its seals. A partition without any begins at its first message.
    pub(super) fn new(clients: &Clients, topic: &str, partition: i32, store: Uuid) -> Result<Self, Lost> {
        let producer = clients.fencing_producer(topic, partition)?;
        let confirmed_at = Suspendable::now();
        let log = read_seals(clients, &producer)?;
        let topic_id = topic_ids(producer.client(), &[topic], REQUEST_TIMEOUT)?[0];
        let id = PartitionId { topic_id, partition };
        let (first, end) = producer.client().fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        let owner = |producer, state| {
            let (clients, topic) = (clients.clone(), topic.to_owned());
            Owner { clients, topic, producer, state, confirmed_at }
        };
        let resume = |offset: i64| resume(topic, partition, offset);
        let conflict =
            |error| Lost::Stopped(format!("its seals contradict each other: {error}; {}", resume(first)));
        let state = log.state(id).map_err(conflict)?;
        let Some(state) = state else {
            if !log.former_ids(topic, topic_id).is_empty() {
                return Err(Lost::Stopped(format!(
                    "the topic was deleted and created again; {}",
                    resume(first)
                )));
            }
            if let Some(offset) = committed_offset(clients, topic, partition)? {
                return Err(Lost::Stopped(format!(
                    "the group {} has consumed it up to offset {offset}, but {} does not know it: restore that topic; or, if \
                     these events are not in ClickHouse or may be there twice, {}; or {}",
                    clients.settings.kafka_group,
                    clients.settings.kafka_seals_topic,
                    resume(first),
                    resume(offset)
                )));
            }
            let state = PartitionState::new(id, topic.to_owned(), store, first);
            let owner = owner(producer, state);
            let start = owner.state.start();
            return Ok(Self { owner: owner.commit(&[start])?, log: first..end });
        };
        let mut owner = owner(producer, state);
        if owner.state.store().is_nil() {
            owner.state = owner.state.with_store(store);
            let start = owner.state.start();
            owner = owner.commit(&[start])?;
        }
        if owner.state.store() != store {
            let next = owner.state.next_offset();
            return Err(Lost::Stopped(format!(
                "its events are in another ClickHouse ({}, this one is {store}): use that one, or another KAFKA_SEALS_TOPIC and \
                 KAFKA_GROUP; or {}",
                owner.state.store(),
                resume(next)
            )));
        }
        Ok(Self { owner, log: first..end })
    }

    /// Checks that the messages of all batches are in the log, as far as retention has left them.
    pub(super) fn check_end(&self) -> Result<(), Lost> {
        let (next, end) = (self.owner.state.next_offset(), self.log.end);
        if next > end {
            return Err(Lost::Stopped(format!(
                "it was consumed up to offset {}, but ends at {}: Kafka has lost messages; {}",
                next - 1,
                end - 1,
                self.owner.resume(end)
            )));
        }
        Ok(())
    }

    /// Checks that retention has left the next message.
    pub(super) fn check_start(&self) -> Result<(), Lost> {
        let (next, start) = (self.owner.state.next_offset(), self.log.start);
        if next < start {
            return Err(Lost::Stopped(format!(
                "Kafka has deleted the messages from offset {next} to {} before they were read; {}",
                start - 1,
                self.owner.resume(start)
            )));
        }
        Ok(())
    }
}

/// What an operator does to go on at an offset.
fn resume(topic: &str, partition: i32, offset: i64) -> String {
    format!(
        "to go on at offset {offset}, run `millrace kafka continue --topic {topic} --partition {partition} --offset {offset}`"
    )
}

impl Owner {
    fn resume(&self, offset: i64) -> String {
        resume(&self.topic, self.state.partition().partition, offset)
    }

    /// Commits records in one transaction, and applies them.
    pub(super) fn commit(mut self, records: &[SealRecord]) -> Result<Self, Lost> {
        if let Err(error) = self.commit_transaction(records) {
            let fenced = self.producer.client().fatal_error().is_some() || is_fenced(&error);
            return Err(match fenced {
                true => Lost::Fenced,
                false => Lost::Failed(format!("its seals cannot be written: {error}")),
            });
        }
        self.confirmed_at = Suspendable::now();
        for record in records {
            self.state.apply(record).map_err(|error| Lost::Failed(error.to_string()))?;
        }
        Ok(self)
    }

    /// Commits the seal of a batch after `before`, if the topic is still the one that the messages were read from.
    pub(super) fn seal(self, mut before: Vec<SealRecord>, seal: Seal) -> Result<Self, Lost> {
        let topic_id = topic_ids(self.producer.client(), &[&self.topic], REQUEST_TIMEOUT)?[0];
        if topic_id != self.state.partition().topic_id {
            return Err(Lost::Failed("the topic was created again".to_owned()));
        }
        before.push(SealRecord::Sealed(seal));
        self.commit(&before)
    }

    fn commit_transaction(&self, records: &[SealRecord]) -> Result<(), KafkaError> {
        let topic = &self.clients.settings.kafka_seals_topic;
        write(&self.producer, topic, records)
    }
}

fn is_fenced(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    )
}

/// Makes a partition begin again at an offset; see [`SealLog::restart`].
#[derive(Clone, Debug)]
pub(crate) struct Restart {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Also if batches are given up with it.
    pub(crate) may_give_up: bool,
}

impl Restart {
    /// Returns the batches that are given up: if there are any, and they may not be, nothing else is done.
    pub(crate) fn run(&self, settings: KafkaConfig) -> anyhow::Result<Vec<Seal>> {
        let clients = Clients::new(settings);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_once(&clients) {
                // A server that looks at the partition again claims it meanwhile.
                Err(error)
                    if attempts < MAX_RESTARTS
                        && error.downcast_ref::<KafkaError>().is_some_and(is_fenced) => {}
                restarted => return restarted,
            }
        }
    }

    fn try_once(&self, clients: &Clients) -> anyhow::Result<Vec<Seal>> {
        let &Self { ref topic, partition, offset, may_give_up } = self;
        let producer = clients.fencing_producer(topic, partition)?;
        let log = read_seals(clients, &producer)?;
        let topic_id = topic_ids(producer.client(), &[topic], REQUEST_TIMEOUT)?[0];
        let (first, end) = producer.client().fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        anyhow::ensure!(
            (first..=end).contains(&offset),
            "--offset: {offset} is not an offset of partition {partition} of {topic}: it has {first} to {end}"
        );
        let (records, given_up) = log.restart(PartitionId { topic_id, partition }, topic, offset);
        if given_up.is_empty() || may_give_up {
            write(&producer, &clients.settings.kafka_seals_topic, &records)?;
        }
        Ok(given_up)
    }
}

/// Writes records in one transaction.
fn write(producer: &BaseProducer<Logged>, topic: &str, records: &[SealRecord]) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    for (key, value) in records.iter().map(SealRecord::encode) {
        let mut record = BaseRecord::to(topic).partition(0).key(&key);
        record.payload = value.as_ref();
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    // Without this wait, the one of `commit_transaction` takes 100 ms however fast the broker is.
    let deadline = Instant::now() + COMMIT_TIMEOUT;
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(200));
    }
    producer.commit_transaction(COMMIT_TIMEOUT)
}

/// Reads the seals up to the end that they have now.
fn read_seals(clients: &Clients, producer: &BaseProducer<Logged>) -> Result<SealLog, Lost> {
    let topic = &clients.settings.kafka_seals_topic;
    let (first, end) = producer.client().fetch_watermarks(topic, 0, REQUEST_TIMEOUT)?;
    let mut log = SealLog::default();
    if first == end {
        return Ok(log);
    }
    let reader = clients.blocking_reader(topic, 0, first)?;
    let deadline = Instant::now() + READ_TIMEOUT;
    loop {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let malformed = |error: &dyn std::fmt::Display| {
                    let offset = message.offset();
                    Lost::Stopped(format!("the record at offset {offset} of {topic} cannot be used: {error}"))
                };
                let key = message.key().unwrap_or_default();
                let record = SealRecord::decode(key, message.payload()).map_err(|error| malformed(&error))?;
                log.apply(record).map_err(|error| malformed(&error))?;
            }
            // At the end of finished transactions.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                let position = reader.position()?;
                let position = position.find_partition(topic, 0).and_then(|found| found.offset().to_raw());
                // Negative before the first record.
                if position.unwrap_or(first).max(first) >= end {
                    return Ok(log);
                }
            }
            Some(Err(error)) if is_temporary(&error) => {}
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        if Instant::now() >= deadline {
            return Err(Lost::Failed(format!(
                "{topic} could not be read within {} s",
                READ_TIMEOUT.as_secs()
            )));
        }
    }
}

/// The offset that the group has committed, for those who look at the group.
fn committed_offset(clients: &Clients, topic: &str, partition: i32) -> Result<Option<i64>, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, partition);
    let committed = clients.requester()?.committed_offsets(wanted, REQUEST_TIMEOUT)?;
    let offset = committed.find_partition(topic, partition).map(|found| found.offset());
    Ok(match offset {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    })
}

/// Whether the client tries again by itself.
pub(super) fn is_temporary(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::RequestTimedOut
        )
    )
}
