//! Decodes and validates the events of a request into columns and rejections.

use std::sync::Arc;

use prost_types::Struct;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::rejected::{Payload, RejectedEvents, RejectedInRequest};
use super::user_agent;
use super::wire::{EventsRequest, decode_event};
use http::{Extensions, HeaderMap};

use crate::access::Caller;
use crate::error::{Error, ErrorCode};
use crate::event::{EventFields, PromotedBuffer, ValidationRules, validate_with};
use crate::properties::Properties;
use crate::proto::v1::{self, EventSource};
use crate::sources::{Sender, SourceCounts, SourceKey, Sources};
use crate::writer::columns::EventColumns;
use crate::writer::{RejectedByField, WriteRequest, Writer};

/// The longest `producer_id`, in bytes.
pub(super) const MAX_PRODUCER_ID_BYTES: usize = 128;
/// The most events in a request of SendEvents and `POST /events`.
pub const MAX_SEND_EVENTS: usize = 500;
/// The most events in a request of a stream: about 20 ms of work.
pub(super) const MAX_STREAM_EVENTS: usize = 20_000;
/// The largest encoded event, in bytes. 64 KiB of JSON hold at most 32,768 numbers, of eleven bytes each in a `Struct`.
pub(super) const MAX_EVENT_BYTES: usize = 384 << 10;
/// The most rejections in one response, and the most bytes of them. Further ones are only counted. A stream's responses have
/// fewer bytes, because those that its client does not read stay in the server's memory.
const MAX_REJECTIONS: usize = 1_000;
const MAX_REJECTION_BYTES: usize = 128 << 10;
const MAX_STREAM_REJECTION_BYTES: usize = 32 << 10;
/// How many bytes of rejections may wait to be sent, to the client of one stream and to all clients. Beyond that a response
/// only counts its rejections.
const STREAM_REJECTION_BUDGET_BYTES: usize = 1 << 20;
const TOTAL_REJECTION_BUDGET_BYTES: usize = 16 << 20;

/// Decodes requests for every handler; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ingester {
    /// The writer that the decoded requests are submitted to.
    pub writer: Writer,
    /// Who sends the events; `None` before [`Self::for_request`].
    caller: Option<Caller>,
    rules: ValidationRules,
    properties: watch::Receiver<Arc<Properties>>,
    total_rejection_budget: Arc<Semaphore>,
    rejected: RejectedEvents,
    sources: Sources,
    /// Where the events come from.
    source: EventSource,
    /// The sender's software; may be empty.
    library: String,
    /// Counts them; `None` before [`Self::for_request`].
    source_counts: Option<Arc<SourceCounts>>,
}

/// A validated request: the columns of its valid events, and the rejections of the others.
#[derive(Debug)]
pub(super) struct DecodedRequest {
    pub(super) request: WriteRequest,
    pub(super) rejected: u64,
    pub(super) rejections: Rejections,
}

/// The rejections of a response that was not sent yet, with the memory reserved for them.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    list: Vec<v1::Rejection>,
    bytes: usize,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Rejections {
    fn push(&mut self, rejection: v1::Rejection, max_bytes: usize) {
        let bytes = size_of::<v1::Rejection>() + rejection.field.len() + rejection.reason.len();
        if self.list.len() < MAX_REJECTIONS && self.bytes + bytes <= max_bytes {
            self.bytes += bytes;
            self.list.push(rejection);
        }
    }

    /// Adds the rejections of a further request, up to the limits of a unary response.
    pub(super) fn extend(&mut self, more: Self) {
        for rejection in more.list {
            self.push(rejection, MAX_REJECTION_BYTES);
        }
    }

    /// Releases the memory: the response is encoded next.
    pub(super) fn into_list(self) -> Vec<v1::Rejection> {
        self.list
    }

    /// Drops the list if a budget is exhausted.
    fn reserve_memory(mut self, budgets: [&Arc<Semaphore>; 2]) -> Self {
        let bytes = u32::try_from(self.bytes).expect("at most MAX_REJECTION_BYTES");
        for semaphore in budgets {
            match Arc::clone(semaphore).try_acquire_many_owned(bytes) {
                Ok(permit) => self._permits.push(permit),
                Err(_) => return Self::default(),
            }
        }
        self
    }
}

/// The limits on the rejections of one call.
#[derive(Clone, Debug)]
pub(super) struct RejectionBudget {
    /// Bytes that wait to be sent to the client of this call.
    in_flight: Arc<Semaphore>,
    /// Bytes per response.
    max_bytes: usize,
}

impl RejectionBudget {
    fn new(max_bytes: usize) -> Self {
        Self { in_flight: Arc::new(Semaphore::new(STREAM_REJECTION_BUDGET_BYTES)), max_bytes }
    }

    pub(super) fn for_unary() -> Self {
        Self::new(MAX_REJECTION_BYTES)
    }

    pub(super) fn for_stream() -> Self {
        Self::new(MAX_STREAM_REJECTION_BYTES)
    }
}

impl DecodedRequest {
    /// Sets `start_new_numbering`; an error unless the request is the first of a producer.
    pub(super) fn with_new_numbering(mut self, start_new_numbering: bool) -> Result<Self, Error> {
        let WriteRequest { producer_id, sequence, .. } = &self.request;
        if start_new_numbering && (producer_id.is_empty() || *sequence != 1) {
            return Err(Error::invalid(format!(
                "start_new_numbering: the request has producer_id {producer_id:?} and sequence {sequence}; a new numbering \
                 requires a producer_id and sequence 1"
            )));
        }
        self.request.start_new_numbering = start_new_numbering;
        Ok(self)
    }
}

impl Ingester {
    /// `rules` are those of the configuration; `properties` the declared ones. `rejected` keeps the rejected events, `sources` counts all.
    pub(crate) fn new(
        writer: Writer,
        rules: ValidationRules,
        properties: watch::Receiver<Arc<Properties>>,
        rejected: RejectedEvents,
        sources: Sources,
    ) -> Self {
        let total_rejection_budget = Arc::new(Semaphore::new(TOTAL_REJECTION_BUDGET_BYTES));
        let source = EventSource::Unspecified;
        Self {
            writer,
            caller: None,
            rules,
            properties,
            total_rejection_budget,
            rejected,
            sources,
            source,
            library: String::new(),
            source_counts: None,
        }
    }

    /// The ingester of a request's caller.
    ///
    /// # Errors
    /// `Internal` if the request was not checked.
    pub(super) fn for_request(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
        source: EventSource,
    ) -> Result<Self, Error> {
        let caller = Caller::of(extensions)?;
        let key_id = caller.key.as_ref().map(|key| key.id.to_string()).unwrap_or_default();
        let library = user_agent::library(headers);
        let key = SourceKey { source, key_id, library: library.clone() };
        let source_counts = Some(self.sources.get(&caller.project, key));
        Ok(Self { caller: Some(caller), source, library, source_counts, ..self.clone() })
    }

    /// Takes the cost of a request that cannot wait from the limits of the caller's key.
    pub(super) async fn take_tokens(&self, events: usize, bytes: usize) -> Result<(), Error> {
        match self.caller()?.limits() {
            Some(limits) => limits.try_take(events, bytes).await,
            None => Ok(()),
        }
    }

    /// Who sends the events.
    pub(super) fn caller(&self) -> Result<&Caller, Error> {
        self.caller
            .as_ref()
            .ok_or_else(|| Error::new(ErrorCode::Internal, "events have no sender; report this as a bug"))
    }

    /// Decodes and validates the events one at a time. `request_index` is the position of the request in its stream, from 0.
    pub(super) fn decode_request(
        &self,
        request_index: u64,
        request: EventsRequest,
        rejection_budget: &RejectionBudget,
    ) -> Result<DecodedRequest, Error> {
        let producer_id = request.producer_id.clone();
        let EventsRequest { start_new_numbering, sent_to_another_server, .. } = request;
        let mut decoder = self.decoder(request_index, producer_id, request.sequence, rejection_budget)?;
        decoder.request.sent_to_another_server = sent_to_another_server;
        decoder.request.columns.reserve(request.len(), request.message_bytes());
        let mut object = Struct::default();
        for (index, bytes) in (0_u32..).zip(request.events()) {
            if bytes.len() > MAX_EVENT_BYTES {
                let reason = format!("has {} bytes; the limit is {MAX_EVENT_BYTES}", bytes.len());
                decoder.reject(index, "event", reason, "", Payload::Unknown);
                continue;
            }
            let event = decode_event(bytes, &mut object)
                .map_err(|error| Error::invalid(format!("the message cannot be decoded: {error}")))?;
            decoder.push_event(index, event, None);
        }
        decoder.finish().with_new_numbering(start_new_numbering)
    }

    /// Starts a request whose events the caller decodes.
    pub(super) fn decoder<'a>(
        &'a self,
        request_index: u64,
        producer_id: String,
        sequence: u64,
        rejection_budget: &'a RejectionBudget,
    ) -> Result<RequestDecoder<'a>, Error> {
        let caller = self.caller()?;
        if caller.is_browser() && !producer_id.is_empty() {
            return Err(Error::new(
                ErrorCode::Forbidden,
                "producer_id: a browser key cannot number its requests; send event_id instead, which is deduplicated too",
            ));
        }
        check_producer_and_sequence(&producer_id, sequence)?;
        let received_at_ms = jiff::Timestamp::now().as_millisecond();
        let properties = Arc::clone(&self.properties.borrow());
        let columns = EventColumns::new(&properties);
        Ok(RequestDecoder {
            ingester: self,
            caller,
            properties,
            promoted_buffer: PromotedBuffer::default(),
            rejection_budget,
            request_index,
            request: WriteRequest {
                project: caller.project.clone(),
                producer_id,
                sequence,
                start_new_numbering: false,
                sent_to_another_server: false,
                received_at_ms,
                sender: self.source_counts.as_ref().map(|source| Sender {
                    source: Arc::clone(source),
                    key: caller.key.as_ref().map(|key| Arc::clone(&key.events_sent)),
                    received_at_ms,
                    events: Default::default(),
                }),
                columns,
            },
            rejected: 0,
            rejected_by_field: RejectedByField::default(),
            rejections: Rejections::default(),
            rejected_events: RejectedInRequest::new(self.source),
        })
    }
}

/// Collects the columns and rejections of one request.
pub(super) struct RequestDecoder<'a> {
    ingester: &'a Ingester,
    caller: &'a Caller,
    properties: Arc<Properties>,
    promoted_buffer: PromotedBuffer,
    rejection_budget: &'a RejectionBudget,
    request_index: u64,
    request: WriteRequest,
    rejected: u64,
    rejected_by_field: RejectedByField,
    rejections: Rejections,
    rejected_events: RejectedInRequest,
}

impl RequestDecoder<'_> {
    /// `text` is the event as it was sent, if it was sent as a text.
    pub(super) fn push_event<'e>(
        &mut self,
        index: u32,
        event: impl Into<EventFields<'e>>,
        text: Option<&str>,
    ) {
        let fields = event.into();
        let payload = text.map_or(Payload::Fields(fields), Payload::Text);
        let now_ms = self.request.received_at_ms;
        let buffer = std::mem::take(&mut self.promoted_buffer);
        match validate_with(fields, &self.ingester.rules, &self.properties, now_ms, buffer) {
            Ok(valid) if !self.caller.may_send(valid.event_name()) => {
                let reason = format!(
                    "{:?} is not one of the events that this key may send: {}",
                    valid.event_name(),
                    self.caller.key.as_ref().map(|key| key.events.join(", ")).unwrap_or_default()
                );
                self.promoted_buffer = valid.into_buffer();
                self.reject(index, "event_name", reason, fields.event_name, payload);
            }
            Ok(valid) => {
                if let Some(sender) = &mut self.request.sender {
                    sender.events[valid.device_type().index()] += 1;
                }
                self.request.columns.push(&valid, &self.request.project, now_ms);
                self.promoted_buffer = valid.into_buffer();
            }
            Err(error) => self.reject(index, error.field, error.reason, fields.event_name, payload),
        }
    }

    /// `event_name` and `payload` are those of the event, as far as they are known.
    pub(super) fn reject(
        &mut self,
        index: u32,
        field: &str,
        reason: String,
        event_name: &str,
        payload: Payload<'_>,
    ) {
        self.rejected_events.push(event_name, field, &reason, payload);
        self.rejected += 1;
        self.rejected_by_field.count(field);
        let field = field.to_owned();
        let rejection = v1::Rejection { request: self.request_index, index, field, reason };
        self.rejections.push(rejection, self.rejection_budget.max_bytes);
    }

    pub(super) fn finish(self) -> DecodedRequest {
        self.ingester.writer.stats().count_rejected(&self.rejected_by_field);
        if let Some(sender) = &self.request.sender {
            sender.count_rejected(self.rejected);
        }
        let Ingester { rejected, library, .. } = self.ingester;
        rejected.record(self.caller, library, self.request.received_at_ms, self.rejected_events);
        let rejections = self
            .rejections
            .reserve_memory([&self.rejection_budget.in_flight, &self.ingester.total_rejection_budget]);
        DecodedRequest { request: self.request, rejected: self.rejected, rejections }
    }
}

/// `alternative` ends the error text, for example ", or use UploadEvents".
pub(super) fn check_event_count(
    events: usize,
    max: usize,
    call: &str,
    alternative: &str,
) -> Result<(), Error> {
    if events > max {
        return Err(Error::invalid(format!(
            "events: {events} were sent; {call} takes at most {max}; split the request{alternative}"
        )));
    }
    Ok(())
}

fn check_producer_and_sequence(producer_id: &str, sequence: u64) -> Result<(), Error> {
    if producer_id.len() > MAX_PRODUCER_ID_BYTES {
        return Err(Error::invalid(format!(
            "producer_id has {} bytes; the limit is {MAX_PRODUCER_ID_BYTES}",
            producer_id.len()
        )));
    }
    if !producer_id.is_empty() && sequence == 0 {
        return Err(Error::invalid(format!(
            "sequence is missing; number the requests of producer_id {producer_id:?} from 1"
        )));
    }
    Ok(())
}
