//! The protocol of seals with real brokers.

use std::time::{Duration, Instant};

use millrace::internals::kafka::{
    BatchContents, PartitionId, PartitionState, Seal, SealLog, SealRecord, digest, topic_ids,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use uuid::Uuid;

use super::broker::KafkaCluster;
use super::{
    commit_transaction, consumer_at, next_message, produce_events, producer, transactional_producer,
};
use crate::common::TIMEOUT;

/// An owner of partition 0 of the topic "events".
struct Owner {
    config: ClientConfig,
    producer: BaseProducer,
    state: PartitionState,
}

impl Owner {
    /// Fences the owner before, then reads what it has committed.
    fn take_over(config: &ClientConfig) -> Self {
        let producer = transactional_producer(config, "millrace-events-0");
        let (log, _) = read_seals(config, &producer);
        let topic_id = topic_ids(producer.client(), &["events"], TIMEOUT).unwrap()[0];
        let partition = PartitionId { topic_id, partition: 0 };
        if let Some(state) = log.state(partition).unwrap() {
            return Self { config: config.clone(), producer, state };
        }
        let state = PartitionState::new(partition, "events".to_owned(), Uuid::nil(), 0);
        let mut owner = Self { config: config.clone(), producer, state };
        owner.commit(&[owner.state.start()]).unwrap();
        owner
    }

    /// Commits records in one transaction, then applies them.
    fn commit(&mut self, records: &[SealRecord]) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        for (key, value) in records.iter().map(SealRecord::encode) {
            let mut record = BaseRecord::to("seals").partition(0).key(&key);
            record.payload = value.as_ref();
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        commit_transaction(&self.producer)?;
        for record in records {
            self.state.apply(record).unwrap();
        }
        Ok(())
    }

    /// Reads the next messages and cuts a batch of them.
    fn cut(&self, messages: u32) -> Seal {
        let consumer = consumer_at(&self.config, &[("events", 0, self.state.next_offset())]);
        let (mut last, mut sum) = (0, 0);
        for _ in 0..messages {
            let message = next_message(&consumer).unwrap().unwrap();
            last = message.offset();
            sum = digest(sum, last, message.payload());
        }
        self.state.cut(BatchContents { last, messages, events: messages, digest: sum }, 0, Uuid::now_v7())
    }
}

/// The seals of finished transactions, and how many records they are. Transactions that others have open are waited for.
fn read_seals(config: &ClientConfig, producer: &BaseProducer) -> (SealLog, usize) {
    let (first, end) = producer.client().fetch_watermarks("seals", 0, TIMEOUT).unwrap();
    let consumer = consumer_at(config, &[("seals", 0, first)]);
    let (mut log, mut records) = (SealLog::default(), 0);
    loop {
        if let Some(message) = next_message(&consumer).unwrap() {
            log.apply(SealRecord::decode(message.key().unwrap(), message.payload()).unwrap()).unwrap();
            records += 1;
            continue;
        }
        // Negative until the first record, of which there may be none.
        let position = consumer.position().unwrap().find_partition("seals", 0).unwrap().offset().to_raw();
        if position.unwrap().max(first) >= end {
            return (log, records);
        }
    }
}

/// Reads the messages of a batch again.
fn read_batch(config: &ClientConfig, seal: &Seal) -> (u32, u32) {
    let consumer = consumer_at(config, &[("events", 0, seal.first)]);
    let (mut messages, mut sum) = (0, 0);
    while let Some(message) = next_message(&consumer).unwrap().filter(|message| message.offset() <= seal.last)
    {
        messages += 1;
        sum = digest(sum, message.offset(), message.payload());
    }
    (messages, sum)
}

#[tokio::test]
async fn a_new_owner_goes_on_where_the_fenced_one_was() {
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("events", 1, &[]).await;
    // Compacted at every opportunity.
    let compacted = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "100"),
        ("delete.retention.ms", "100"),
    ];
    kafka.create_topic("seals", 1, &compacted).await;
    produce_events(&producer(&config), "events", 0, 10_000);

    let mut zombie = Owner::take_over(&config);
    for _ in 0..4 {
        let seal = zombie.cut(1_000);
        zombie.commit(&[SealRecord::Sealed(seal)]).unwrap();
    }
    let cut_and_not_sealed = zombie.cut(500);

    let mut owner = Owner::take_over(&config);
    assert_eq!(owner.state, zombie.state);
    assert!(zombie.commit(&[SealRecord::Sealed(cut_and_not_sealed)]).is_err());
    for seal in owner.state.unlanded().cloned().collect::<Vec<_>>() {
        assert_eq!(read_batch(&config, &seal), (seal.messages, seal.digest));
        owner.commit(&[SealRecord::Landed(seal)]).unwrap();
    }
    for _ in 0..6 {
        let seal = owner.cut(1_000);
        owner.commit(&[SealRecord::Sealed(seal.clone())]).unwrap();
        owner.commit(&[SealRecord::Landed(seal)]).unwrap();
    }
    let released = owner.state.releasable(|_| true);
    assert_eq!(released.len(), 9);
    owner.commit(&released).unwrap();

    // The start, ten seals, ten that landed and nine released, until the cleaner has removed all but a few.
    let deadline = Instant::now() + TIMEOUT;
    while read_seals(&config, &owner.producer).1 > 15 {
        assert!(Instant::now() < deadline, "not compacted");
        std::thread::sleep(Duration::from_millis(100));
        // The cleaner leaves the active segment alone; a record after `segment.ms` begins a new one.
        let seal = owner.state.landed().last().cloned().unwrap();
        owner.producer.begin_transaction().unwrap();
        let (key, value) = SealRecord::Landed(seal).encode();
        owner.producer.send(BaseRecord::to("seals").partition(0).key(&key).payload(&value.unwrap())).unwrap();
        commit_transaction(&owner.producer).unwrap();
    }
    let next = Owner::take_over(&config);
    assert_eq!(next.state, owner.state);
    assert_eq!(next.state.next_offset(), 10_000);
}
