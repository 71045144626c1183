//! Kafka as the journal: writes each request that this server receives as one message, and acknowledges it when Kafka has it. All
//! servers consume the topic into ClickHouse, so no acknowledged event depends on this server or its disk.
//!
//! Which requests are admitted is decided as by the writer's state ([`Admission`]), for the time of this process. Messages of
//! a producer have its key and so are in one partition. Requests are acknowledged in the order in which they were admitted: each when it
//! and all earlier ones are in Kafka, as with the journal on disk.
//!
//! The client never gives up a message, so the order has no gaps. If Kafka refuses one nevertheless, the task ends, and with it the
//! process: producers take the next one for another server, and send again what was not acknowledged.
//!
//! | limit | when it is reached |
//! | --- | --- |
//! | bytes in memory (`MILLRACE_MAX_BUFFER_BYTES`), 4,096 requests | streams wait; unary calls are rejected with a retry delay |
//! | Kafka has confirmed nothing for five seconds | streams wait; unary calls are rejected with a retry delay, those that wait fail |
//! | `max.message.bytes` of the topic | the request is rejected |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::client::{Clients, Logged};
use super::journal_topic::{self, JournalTopic};
use super::message::encode;
use crate::config::kafka::KafkaConfig;
use crate::writer::admission::{Admission, Decision};
use crate::writer::producers::Producers;
use crate::writer::recent_ids::RecentIds;
use crate::writer::record::EventsRecord;
use crate::writer::{
    Ack, AckSender, JournalQueue, ProducerQuery, Stopping, Submission, SubmitError, WriteRequest, WriterStats,
};

/// Maximum number of requests that wait for Kafka.
const MAX_PENDING: usize = 4_096;
/// Requests of streams that are received while no more are admitted. Unary ones between them are rejected.
const MAX_WAITING: usize = 64;
/// The journal counts as stalled after this time without a confirmation.
const STALLED_AFTER: Duration = Duration::from_secs(5);
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// Delay before a failed start is repeated.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// In this time after the start, producers may send again what an earlier process has written. Not all of them can tell that it was
/// another one.
const YOUNG: Duration = Duration::from_secs(600);
/// What a message takes besides its key and value, at most.
const MESSAGE_OVERHEAD_BYTES: u64 = 1_024;
/// Columns take up to four times the bytes of the message that they were decoded from.
const COLUMNS_PER_MESSAGE_BYTE: u64 = 4;

/// What the journal needs of the server.
pub(crate) struct JournalDependencies {
    pub(crate) settings: KafkaConfig,
    /// `MILLRACE_MAX_MESSAGE_BYTES`.
    pub(crate) max_request_bytes: u64,
    /// `MILLRACE_RECENT_EVENT_IDS`.
    pub(crate) recent_event_ids: usize,
    pub(crate) producer_idle_timeout: Duration,
    pub(crate) stats: Arc<WriterStats>,
}

/// The largest message that a request becomes.
pub(super) fn largest_message(max_request_bytes: u64) -> u64 {
    max_request_bytes * COLUMNS_PER_MESSAGE_BYTE + (1 << 20)
}

/// Writes what is submitted until `stop` is cancelled and everything is acknowledged.
///
/// # Errors
/// When Kafka refuses a message. What was not acknowledged may be in Kafka.
pub(crate) async fn run(
    dependencies: JournalDependencies,
    mut queue: JournalQueue,
    stop: CancellationToken,
) -> Result<(), String> {
    let JournalDependencies { settings, max_request_bytes, recent_event_ids, producer_idle_timeout, stats } =
        dependencies;
    let clients = Clients::new(settings);
    let mut task = JournalTask {
        state: JournalState::new(recent_event_ids),
        topic: clients.settings.kafka_journal_topic.clone(),
        clients: clients.clone(),
        kafka: None,
        waiting: VecDeque::new(),
        progress_at: Instant::now(),
        producer_idle_timeout,
        stats: Arc::clone(&stats),
    };
    let mut connecting = Box::pin(connect(&clients, largest_message(max_request_bytes), &stats));
    let (mut draining, mut closed) = (false, false);
    let mut ticks = tokio::time::interval(TICK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !closed || (task.kafka.is_some() && !(task.state.is_empty() && task.waiting.is_empty())) {
        let receives =
            !closed && (task.may_admit() || (task.stalled().is_some() && task.waiting.len() < MAX_WAITING));
        tokio::select! {
            biased;
            () = stop.cancelled(), if !draining => {
                queue.submissions.close();
                draining = true;
                // What waits for the first connection was not written.
                closed = task.kafka.is_none();
            }
            kafka = &mut connecting, if task.kafka.is_none() => {
                task.kafka = Some(kafka);
                task.progress_at = Instant::now();
            }
            delivered = task.state.next_delivered() => task.delivered(delivered)?,
            Some(query) = queue.producer_queries.recv() => {
                // After the requests that were submitted before: they change the answer.
                while let Ok(submission) = queue.submissions.try_recv() {
                    task.receive(submission);
                }
                task.waiting.push_back(Waiting::Query(query));
            }
            _ = ticks.tick() => task.tick(),
            next = queue.submissions.recv(), if receives => match next {
                Some(submission) => task.receive(submission),
                None => closed = true,
            },
        }
        task.admit_waiting()?;
    }
    for waiting in task.waiting.drain(..) {
        if let Waiting::Request(submission) = waiting {
            submission.reply.send(Err(SubmitError::Stopping(Stopping)), &stats);
        }
    }
    tracing::info!("every accepted event is in Kafka");
    Ok(())
}

/// A client and what is known of the topic. Retries until the brokers respond and the topic can be used.
async fn connect(
    clients: &Clients,
    largest_message: u64,
    stats: &WriterStats,
) -> (FutureProducer<Logged>, JournalTopic) {
    let mut told = None;
    loop {
        let started = Instant::now();
        let connected = async {
            let topic = journal_topic::prepare(clients, largest_message).await?;
            let producer = clients.journal_producer(topic.max_message_bytes);
            Ok::<_, String>((producer.map_err(|error| error.to_string())?, topic))
        };
        match connected.await {
            Ok(connected) => {
                stats.set_kafka_stalled(None);
                return connected;
            }
            Err(error) => {
                let error =
                    format!("Kafka cannot be used as the journal: {}", clients.explain(error, started));
                if told.as_ref() != Some(&error) {
                    tracing::error!("{error}");
                }
                stats.set_kafka_stalled(Some(error.clone()));
                told = Some(error);
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// What is not admitted yet.
enum Waiting {
    Request(Box<Submission>),
    Query(ProducerQuery),
}

struct JournalTask {
    state: JournalState,
    clients: Clients,
    topic: String,
    /// `None` until the topic can be used.
    kafka: Option<(FutureProducer<Logged>, JournalTopic)>,
    /// In the order in which it was submitted.
    waiting: VecDeque<Waiting>,
    /// When Kafka confirmed a message, or the first one was sent after that.
    progress_at: Instant,
    producer_idle_timeout: Duration,
    stats: Arc<WriterStats>,
}

impl JournalTask {
    fn may_admit(&self) -> bool {
        self.kafka.is_some() && self.waiting.is_empty() && self.state.len() < MAX_PENDING
    }

    /// Why Kafka confirms nothing, if it is so.
    fn stalled(&self) -> Option<String> {
        if (self.kafka.is_some() && self.state.is_empty()) || self.progress_at.elapsed() < STALLED_AFTER {
            return None;
        }
        // Until the first connection, its error is more precise.
        let not_connected = self.kafka.is_none().then(|| self.stats.refusal()).flatten();
        Some(not_connected.unwrap_or_else(|| {
            let stalled = format!(
                "Kafka has confirmed nothing for more than {} s; check that the brokers are running, and that the partitions of {} have \
                 as many replicas in sync as min.insync.replicas",
                STALLED_AFTER.as_secs(),
                self.topic
            );
            self.clients.explain(stalled, self.progress_at)
        }))
    }

    fn receive(&mut self, submission: Submission) {
        match self.stalled().filter(|_| !submission.may_wait) {
            Some(stalled) => submission.reply.send(Err(SubmitError::Busy(stalled)), &self.stats),
            None => self.waiting.push_back(Waiting::Request(Box::new(submission))),
        }
    }

    fn admit_waiting(&mut self) -> Result<(), String> {
        while let Some((producer, topic)) = self.kafka.as_ref().filter(|_| self.state.len() < MAX_PENDING)
            && let Some(waiting) = self.waiting.pop_front()
        {
            let submission = match waiting {
                Waiting::Request(submission) => *submission,
                Waiting::Query(query) => {
                    self.state.query(query);
                    continue;
                }
            };
            if self.state.is_empty() {
                self.progress_at = Instant::now();
            }
            let produce = |key: &str, message: &[u8]| {
                let mut record = FutureRecord::<str, [u8]>::to(&self.topic).payload(message);
                record.key = (!key.is_empty()).then_some(key);
                producer.send_result(record).map_err(|(error, _)| refused(&self.topic, &error))
            };
            self.state.admit(submission, topic.max_message_bytes, &self.topic, &self.stats, produce)?;
        }
        Ok(())
    }

    fn delivered(&mut self, delivered: Option<OwnedDeliveryResult>) -> Result<(), String> {
        if let Some(Err((error, _))) = delivered {
            return Err(refused(&self.topic, &error));
        }
        self.progress_at = Instant::now();
        self.state.confirm(&self.stats);
        Ok(())
    }

    fn tick(&mut self) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let idle_ms = i64::try_from(self.producer_idle_timeout.as_millis()).unwrap_or(i64::MAX);
        self.state.admission.producers.expire_idle(now_ms.saturating_sub(idle_ms));
        let stalled = self.stalled();
        if let Some(stalled) = &stalled {
            self.state.fail_calls(stalled, &self.stats);
        }
        // Until the first connection, its error is more precise.
        if self.kafka.is_some() || stalled.is_some() {
            self.stats.set_kafka_stalled(stalled);
        }
    }
}

fn refused(topic: &str, error: &rdkafka::error::KafkaError) -> String {
    format!("Kafka refuses a message of the journal (topic {topic}): {error}")
}

/// What is answered when everything before it is in Kafka.
enum Pending<D> {
    Request(PendingRequest<D>),
    Query(ProducerQuery),
}

/// A request that was admitted and is not acknowledged.
struct PendingRequest<D> {
    /// `None` if there is nothing to write.
    delivery: Option<D>,
    /// Empty without a producer.
    producer_key: String,
    /// `None` for a duplicate request, and without a producer.
    sequence: Option<u64>,
    accepted: u64,
    duplicates: u64,
    may_wait: bool,
    /// `None` after a call has failed.
    reply: Option<AckSender>,
    _permit: OwnedSemaphorePermit,
}

/// The decisions: which requests are admitted, and when they are acknowledged. `D` is the delivery of a message.
struct JournalState<D = DeliveryFuture> {
    admission: Admission,
    /// In the order in which they were admitted.
    pending: VecDeque<Pending<D>>,
    admitted: u64,
    started: Instant,
}

impl<D> JournalState<D> {
    fn new(recent_event_ids: usize) -> Self {
        let admission =
            Admission { producers: Producers::default(), recent_ids: RecentIds::new(recent_event_ids) };
        Self { admission, pending: VecDeque::new(), admitted: 0, started: Instant::now() }
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn len(&self) -> usize {
        self.pending.len()
    }

    /// Writes a request by `produce`, which gets key and value, or replies why not.
    fn admit(
        &mut self,
        Submission { request, may_wait, permit, reply }: Submission,
        max_message_bytes: u64,
        topic: &str,
        stats: &WriterStats,
        produce: impl FnOnce(&str, &[u8]) -> Result<D, String>,
    ) -> Result<(), String> {
        let events = u64::from(request.columns.rows());
        let next = match self.admission.decide(&request) {
            Decision::Next(next) => next,
            Decision::Duplicate { producer_key } => {
                self.push(PendingRequest {
                    delivery: None,
                    producer_key,
                    sequence: None,
                    accepted: 0,
                    duplicates: events,
                    may_wait,
                    reply: Some(reply),
                    _permit: permit,
                });
                return Ok(());
            }
            Decision::Rejected(error) => {
                reply.send(Err(error), stats);
                return Ok(());
            }
        };
        let columns = next.columns(&request);
        let accepted = u64::from(columns.rows());
        let WriteRequest { project, producer_id, sequence, received_at_ms, .. } = &request;
        let delivery = if accepted == 0 {
            None
        } else {
            let record =
                EventsRecord::encode_fields(project, producer_id, *sequence, *received_at_ms, columns);
            let has_ids = columns.explicit_ids().next().is_some();
            let may_be_elsewhere = has_ids && self.started.elapsed() < YOUNG;
            let message = encode(request.sent_to_another_server || may_be_elsewhere, &record);
            let bytes = (message.len() + next.producer_key.len()) as u64 + MESSAGE_OVERHEAD_BYTES;
            if bytes > max_message_bytes {
                let error = format!(
                    "it takes {bytes} bytes, and max.message.bytes of the topic {topic} is {max_message_bytes}"
                );
                reply.send(Err(SubmitError::TooLarge(error)), stats);
                return Ok(());
            }
            Some(produce(&next.producer_key, &message)?)
        };
        self.admitted += 1;
        self.admission.record(self.admitted, &request, &next);
        self.push(PendingRequest {
            delivery,
            sequence: (!next.producer_key.is_empty()).then_some(request.sequence),
            producer_key: next.producer_key,
            accepted,
            duplicates: next.duplicates,
            may_wait,
            reply: Some(reply),
            _permit: permit,
        });
        Ok(())
    }

    fn push(&mut self, request: PendingRequest<D>) {
        self.pending.push_back(Pending::Request(request));
    }

    /// Answers a query once everything that its producer has sent is in Kafka. With a lower sequence the producer, if it has been at
    /// another server meanwhile, would give numbers that are taken to other requests, which would then count as duplicates.
    fn query(&mut self, (key, reply): ProducerQuery) {
        let state = self.admission.producers.get(&key);
        if state.is_some_and(|state| state.last_sequence != state.last_durable_sequence) {
            self.pending.push_back(Pending::Query((key, reply)));
        } else {
            // An error means that the caller no longer waits.
            reply.send(state).ok();
        }
    }

    /// Answers the oldest request or query: it is in Kafka, as all earlier ones are.
    fn confirm(&mut self, stats: &WriterStats) {
        let request = match self.pending.pop_front() {
            Some(Pending::Request(request)) => request,
            Some(Pending::Query((key, reply))) => {
                reply.send(self.admission.producers.get(&key)).ok();
                return;
            }
            None => return,
        };
        let PendingRequest { producer_key, sequence, accepted, duplicates, reply, .. } = request;
        let producers = &mut self.admission.producers;
        if let Some(sequence) = sequence {
            producers.mark_durable(&producer_key, sequence);
        }
        let durable = producers.get(&producer_key).map_or(0, |producer| producer.last_durable_sequence);
        let last_durable_sequence = sequence.unwrap_or(durable);
        stats.count_received(accepted);
        stats.count_duplicates(duplicates);
        if let Some(reply) = reply {
            reply.send(Ok(Ack { accepted, duplicates, last_durable_sequence }), stats);
        }
    }

    /// Fails the unary calls that have waited for long. Their events may be stored later.
    fn fail_calls(&mut self, reason: &str, stats: &WriterStats) {
        let is_old = |reply: &mut AckSender| reply.submitted_at.elapsed() >= STALLED_AFTER;
        for pending in &mut self.pending {
            if let Pending::Request(PendingRequest { may_wait: false, reply, .. }) = pending
                && let Some(reply) = reply.take_if(is_old)
            {
                reply.send(Err(SubmitError::Disk(reason.to_owned())), stats);
            }
        }
    }
}

impl JournalState {
    /// The outcome of the oldest request, `None` if it had nothing to write; pending while there is no request. Cancel safe.
    async fn next_delivered(&mut self) -> Option<OwnedDeliveryResult> {
        let delivery = match self.pending.front_mut() {
            Some(Pending::Request(request)) => request.delivery.as_mut()?,
            Some(Pending::Query(_)) => return None,
            None => return std::future::pending().await,
        };
        // The client is alive, and completes each delivery.
        let delivered = delivery.await.expect("the producer reports every delivery");
        Some(delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::decode;
    use super::*;
    use crate::event::{EventFields, ValidationRules, validate};
    use crate::properties::Properties;
    use crate::writer::PendingAck;
    use crate::writer::columns::EventColumns;
    use futures_util::FutureExt as _;
    use tokio::sync::{Semaphore, oneshot};

    const TOPIC: &str = "journal";

    struct Journal {
        state: JournalState<()>,
        stats: WriterStats,
        messages: Vec<(String, Vec<u8>)>,
    }

    impl Journal {
        fn new() -> Self {
            Self { state: JournalState::new(100), stats: WriterStats::default(), messages: Vec::new() }
        }

        fn submit(&mut self, producer_id: &str, sequence: u64, ids: &[&str]) -> PendingAck {
            self.submit_limited(producer_id, sequence, ids, 1 << 20)
        }

        fn submit_limited(
            &mut self,
            producer_id: &str,
            sequence: u64,
            ids: &[&str],
            max_bytes: u64,
        ) -> PendingAck {
            let properties = Properties::built_in();
            let mut columns = EventColumns::new(&properties);
            let day = Duration::from_secs(86_400);
            let rules = ValidationRules { retention: day, max_clock_skew: day };
            for event_id in ids {
                let timestamp = Some(prost_types::Timestamp::default());
                let event = EventFields { event_name: "a", event_id, timestamp, ..EventFields::default() };
                let event = validate(event, &rules, &properties, 0).unwrap();
                columns.push(&event, &"shop".parse().unwrap(), 0);
            }
            let request = WriteRequest {
                project: "shop".parse().unwrap(),
                producer_id: producer_id.to_owned(),
                sequence,
                start_new_numbering: false,
                sent_to_another_server: false,
                received_at_ms: 0,
                sender: None,
                columns,
            };
            let (reply, ack) = AckSender::for_test();
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let submission = Submission { request, may_wait: true, permit, reply };
            let messages = &mut self.messages;
            let produce = |key: &str, message: &[u8]| {
                messages.push((key.to_owned(), message.to_owned()));
                Ok(())
            };
            self.state.admit(submission, max_bytes, TOPIC, &self.stats, produce).unwrap();
            ack
        }

        fn confirm(&mut self) {
            self.state.confirm(&self.stats);
        }
    }

    fn accepted(
        accepted: u64,
        duplicates: u64,
        last_durable_sequence: u64,
    ) -> Option<Result<Ack, SubmitError>> {
        Some(Ok(Ack { accepted, duplicates, last_durable_sequence }))
    }

    #[test]
    fn duplicates_and_gaps_are_answered_as_by_the_writer() {
        let mut journal = Journal::new();
        let one = journal.submit("p", 1, &["", ""]);
        let two = journal.submit("p", 2, &[""]);
        // A duplicate waits for what was admitted before.
        let again = journal.submit("p", 1, &["", ""]);
        let gap = journal.submit("p", 4, &[""]).now_or_never();
        let expected = SubmitError::SequenceGap { producer_id: "p".into(), sequence: 4, expected: 3 };
        assert_eq!(gap, Some(Err(expected)));
        assert_eq!(journal.messages.len(), 2);
        assert!(journal.messages.iter().all(|(key, _)| key == "shop\0p"));
        journal.confirm();
        assert_eq!(one.now_or_never(), accepted(2, 0, 1));
        journal.confirm();
        assert_eq!(two.now_or_never(), accepted(1, 0, 2));
        journal.confirm();
        assert_eq!(again.now_or_never(), accepted(0, 2, 2));
        assert_eq!((journal.stats.accepted(), journal.stats.duplicates()), (3, 2));
        assert_eq!(journal.stats.unlanded(), 0, "whoever consumes them counts them");
    }

    #[test]
    fn a_producer_learns_its_sequence_when_its_requests_are_in_kafka() {
        let mut journal = Journal::new();
        let query = |journal: &mut Journal, key: &str| {
            let (reply, state) = oneshot::channel();
            journal.state.query((key.to_owned(), reply));
            state.map(|state| state.unwrap().map(|state| state.last_durable_sequence))
        };
        let first = journal.submit("p", 1, &[""]);
        let mut state = query(&mut journal, "shop\0p");
        assert_eq!(query(&mut journal, "shop\0q").now_or_never(), Some(None), "it is not known");
        assert_eq!((&mut state).now_or_never(), None, "otherwise 1 could be used for another request");
        journal.confirm();
        assert_eq!(first.now_or_never(), accepted(1, 0, 1));
        journal.confirm();
        assert_eq!(state.now_or_never(), Some(Some(1)));
    }

    #[test]
    fn ids_count_once_and_requests_without_events_need_no_message() {
        let id = "0192f5a0-0000-7000-8000-000000000001";
        let mut journal = Journal::new();
        let first = journal.submit("", 0, &[id, ""]);
        let second = journal.submit("", 0, &[id]);
        let third = journal.submit("p", 1, &[id]);
        let next = journal.submit("p", 2, &[""]);
        assert_eq!(journal.messages.len(), 2);
        assert_eq!(journal.messages[0].0, "");
        // An earlier process may have written the event with the id.
        let is_flagged = |(_, message): &(String, Vec<u8>)| decode(message).unwrap().sent_to_another_server;
        assert_eq!(journal.messages.iter().map(is_flagged).collect::<Vec<_>>(), [true, false]);
        for _ in 0..4 {
            journal.confirm();
        }
        assert_eq!(first.now_or_never(), accepted(2, 0, 0));
        assert_eq!(second.now_or_never(), accepted(0, 1, 0));
        assert_eq!(third.now_or_never(), accepted(0, 1, 1));
        assert_eq!(next.now_or_never(), accepted(1, 0, 2));
    }

    #[test]
    fn a_request_that_is_too_large_changes_nothing() {
        let mut journal = Journal::new();
        let error = journal.submit_limited("p", 1, &[""], 100).now_or_never().unwrap().unwrap_err();
        assert!(error.to_string().contains("max.message.bytes of the topic journal is 100"), "{error}");
        assert!(matches!(error, SubmitError::TooLarge(_)));
        let first = journal.submit("p", 1, &[""]);
        journal.confirm();
        assert_eq!(first.now_or_never(), accepted(1, 0, 1));
    }
}
