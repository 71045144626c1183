//! From a request's events to columns and rejections.

use std::sync::Arc;

use prost::Message as _;
use rand::Rng;
use rand::rngs::ThreadRng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::wire::EventsRequest;
use crate::error::Error;
use crate::event::{Rules, validate};
use crate::proto::v1;
use crate::writer::columns::EventColumns;
use crate::writer::{Request, Writer};

/// The longest producer_id, in bytes.
pub(super) const MAX_PRODUCER_ID_BYTES: usize = 128;
/// How many events a request of a stream may hold: 20 ms of work.
pub(super) const MAX_STREAM_EVENTS: usize = 20_000;
/// The largest encoded event. 64 KiB of JSON are 32,768 numbers at most, which are eleven bytes each in a `Struct`.
const MAX_EVENT_BYTES: usize = 384 << 10;
/// How many rejections one response lists, and how many bytes of them; all of them are counted. The responses of a stream
/// list less: those that its client does not read wait in the server.
const MAX_REJECTIONS: usize = 1_000;
const MAX_REJECTION_BYTES: usize = 128 << 10;
const MAX_STREAM_REJECTION_BYTES: usize = 32 << 10;
/// How many bytes of rejections may be on their way to the client of one stream, and to all clients.
const STREAM_REJECTION_BYTES: usize = 1 << 20;
const ALL_REJECTION_BYTES: usize = 16 << 20;

/// What every handler needs to take a request in.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The one writer.
    pub writer: Writer,
    rules: Rules,
    all_rejections: Arc<Semaphore>,
}

/// A request after validation.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) request: Request,
    pub(super) rejected: u64,
    pub(super) rejections: Rejections,
}

/// Rejections on their way to a client, with the memory that is set aside for them.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    list: Vec<v1::Rejection>,
    bytes: usize,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Rejections {
    fn push(&mut self, rejection: v1::Rejection, most_bytes: usize) {
        let bytes = size_of::<v1::Rejection>() + rejection.field.len() + rejection.reason.len();
        if self.list.len() < MAX_REJECTIONS && self.bytes + bytes <= most_bytes {
            self.bytes += bytes;
            self.list.push(rejection);
        }
    }

    /// Adds those of a further request, as far as a response may list them.
    pub(super) fn extend(&mut self, more: Self) {
        for rejection in more.list {
            self.push(rejection, MAX_REJECTION_BYTES);
        }
    }

    /// For the response, which is written next.
    pub(super) fn into_list(self) -> Vec<v1::Rejection> {
        self.list
    }

    /// Where there is no memory for the list, the count has to do.
    fn charge(mut self, to: [&Arc<Semaphore>; 2]) -> Self {
        let bytes = u32::try_from(self.bytes).expect("it is bounded");
        for semaphore in to {
            match Arc::clone(semaphore).try_acquire_many_owned(bytes) {
                Ok(permit) => self._permits.push(permit),
                Err(_) => return Self::default(),
            }
        }
        self
    }
}

/// Who reads the rejections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// For those that are on their way to it.
    unread: Arc<Semaphore>,
    most_bytes: usize,
}

impl Client {
    fn new(most_bytes: usize) -> Self {
        Self { unread: Arc::new(Semaphore::new(STREAM_REJECTION_BYTES)), most_bytes }
    }

    /// The caller of a unary call.
    pub(super) fn unary() -> Self {
        Self::new(MAX_REJECTION_BYTES)
    }

    /// The client of a stream.
    pub(super) fn stream() -> Self {
        Self::new(MAX_STREAM_REJECTION_BYTES)
    }
}

impl Received {
    /// With what the producer says about its numbering.
    pub(super) fn new_numbering(mut self, new_numbering: bool) -> Result<Self, Error> {
        let Request { producer_id, sequence, .. } = &self.request;
        if new_numbering && (producer_id.is_empty() || *sequence != 1) {
            return Err(Error::invalid(format!(
                "start_new_numbering: the request has the producer_id {producer_id:?} and the sequence {sequence}; a new \
                 numbering is a producer's and begins with 1"
            )));
        }
        self.request.new_numbering = new_numbering;
        Ok(self)
    }
}

impl Receiver {
    /// What the handlers share.
    pub fn new(writer: Writer, rules: Rules) -> Self {
        Self { writer, rules, all_rejections: Arc::new(Semaphore::new(ALL_REJECTION_BYTES)) }
    }

    /// Decodes and validates the events of the `number`th request of a stream, one after the other.
    pub(super) fn receive(
        &self,
        number: u64,
        request: EventsRequest,
        client: &Client,
    ) -> Result<Received, Error> {
        let producer_id = request.producer_id.clone();
        let new_numbering = request.start_new_numbering;
        let mut receiving = self.begin(number, producer_id, request.sequence, client)?;
        let mut event = v1::Event::default();
        for (index, bytes) in (0_u32..).zip(request.events()) {
            if bytes.len() > MAX_EVENT_BYTES {
                let reason = format!("has {} bytes; at most {MAX_EVENT_BYTES} are allowed", bytes.len());
                receiving.reject(index, "event", reason);
                continue;
            }
            // Its strings keep their memory from one event to the next.
            event.clear();
            event
                .merge(bytes)
                .map_err(|error| Error::invalid(format!("the message is unreadable: {error}")))?;
            receiving.take(index, &event);
        }
        receiving.finish().new_numbering(new_numbering)
    }

    /// Begins a request whose events are decoded elsewhere.
    pub(super) fn begin<'a>(
        &'a self,
        number: u64,
        producer_id: String,
        sequence: u64,
        client: &'a Client,
    ) -> Result<Receiving<'a>, Error> {
        check_producer(&producer_id, sequence)?;
        let received_at_ms = jiff::Timestamp::now().as_millisecond();
        let columns = EventColumns::default();
        Ok(Receiving {
            receiver: self,
            client,
            number,
            request: Request { producer_id, sequence, new_numbering: false, received_at_ms, columns },
            rejected: 0,
            rejections: Rejections::default(),
            random: rand::rng(),
        })
    }
}

/// A request whose events come one after the other.
pub(super) struct Receiving<'a> {
    receiver: &'a Receiver,
    client: &'a Client,
    number: u64,
    request: Request,
    rejected: u64,
    rejections: Rejections,
    random: ThreadRng,
}

impl Receiving<'_> {
    pub(super) fn take(&mut self, index: u32, event: &v1::Event) {
        let now_ms = self.request.received_at_ms;
        match validate(event, &self.receiver.rules, now_ms) {
            Ok(valid) => self.request.columns.push(&valid, now_ms, || new_id(now_ms, &mut self.random)),
            Err(refusal) => self.reject(index, refusal.field, refusal.reason),
        }
    }

    pub(super) fn reject(&mut self, index: u32, field: &str, reason: String) {
        self.rejected += 1;
        let field = field.to_owned();
        let rejection = v1::Rejection { request: self.number, index, field, reason };
        self.rejections.push(rejection, self.client.most_bytes);
    }

    pub(super) fn finish(self) -> Received {
        self.receiver.writer.stats().count_rejected(self.rejected);
        let rejections = self.rejections.charge([&self.client.unread, &self.receiver.all_rejections]);
        Received { request: self.request, rejected: self.rejected, rejections }
    }
}

/// A UUID of version 7: it begins with the time, so that the column compresses well.
fn new_id(now_ms: i64, random: &mut impl Rng) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &random.random()).into_uuid()
}

/// Checks how many events a request holds.
pub(super) fn check_count(events: usize, most: usize, call: &str, instead: &str) -> Result<(), Error> {
    if events > most {
        return Err(Error::invalid(format!(
            "events: {events} were sent; {call} takes at most {most}: send them in parts{instead}"
        )));
    }
    Ok(())
}

fn check_producer(producer_id: &str, sequence: u64) -> Result<(), Error> {
    if producer_id.len() > MAX_PRODUCER_ID_BYTES {
        return Err(Error::invalid(format!(
            "producer_id has {} bytes; at most {MAX_PRODUCER_ID_BYTES} are allowed",
            producer_id.len()
        )));
    }
    if !producer_id.is_empty() && sequence == 0 {
        return Err(Error::invalid(format!(
            "sequence is missing; with the producer_id {producer_id:?} requests are numbered from 1"
        )));
    }
    Ok(())
}
