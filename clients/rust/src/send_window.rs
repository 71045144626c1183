//! The requests that were sent and not acknowledged. Pure: time is passed in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::ClientError;
use crate::proto::v1;
use crate::request::{EncodedEvents, EncodedRequest};

/// How many rejections [`Totals`] keeps.
const MAX_KEPT_REJECTIONS: usize = 100;
/// A server remembers a producer for at least this long after its last request (see ingest.proto). If it does not know the
/// producer, it has not stored what was sent within this time.
const MIN_PRODUCER_RETENTION: Duration = Duration::from_secs(3_600);

/// Counts of a producer's events since it was connected.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Events in acknowledged requests. Requests are acknowledged in order, so these are the first events that were sent.
    pub acknowledged: u64,
    /// Events that are stored.
    pub accepted: u64,
    /// Events that the server rejected as invalid.
    pub rejected: u64,
    /// Events that the server had already stored, by their `event_id` or because their acknowledgement was lost.
    pub duplicates: u64,
    /// The first 100 rejections.
    pub rejections: Vec<v1::Rejection>,
    /// How often the stream was lost.
    pub reconnects: u64,
    /// How often the requests were renumbered, because the server had forgotten the producer, or because a proxy sent the
    /// producer to another server.
    pub renumbered: u64,
    /// Events that may be stored twice: they were sent again after they had been unacknowledged for an hour and the server
    /// had forgotten the producer, or because they had been sent to another server.
    pub possible_duplicates: u64,
    /// Why the producer failed.
    pub(crate) failure: Option<ClientError>,
}

/// What the server knows of the producer when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProducerStatus {
    /// Every request up to this sequence is durable.
    DurableThrough(u64),
    /// The producer is new, or the server has forgotten it.
    Unknown,
}

/// The effect of a [`ProducerStatus`] on the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResumeOutcome {
    /// Events in requests that are durable although their acknowledgement was lost.
    pub(crate) acknowledged: u64,
    /// Whether the requests have new numbers: the server had forgotten the producer, or is another one.
    pub(crate) renumbered: bool,
    /// Events that are sent again although the server may have stored them.
    pub(crate) possible_duplicates: u64,
}

/// Unacknowledged requests in the order of their sequences.
#[derive(Debug, Default)]
pub(crate) struct SendWindow {
    /// Of the last request that was sent; 0 before the first.
    last_sequence: u64,
    /// The server that the sequences are for; empty before the first, and for servers that have no id.
    server_id: String,
    /// Whether requests were sent to a server for which their sequences were not meant.
    lost_numbering: bool,
    unacknowledged: VecDeque<SentRequest>,
}

#[derive(Debug)]
struct SentRequest {
    request: EncodedRequest,
    /// When it was first sent under its current sequence.
    first_sent_at: ClockReading,
}

/// A moment by two clocks: the monotonic one stops while the machine is suspended, the wall clock can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

impl ClockReading {
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether less than `limit` has passed by both clocks, and the wall clock was not set back.
    fn is_certainly_within(self, limit: Duration, now: Self) -> bool {
        let wall_elapsed = now.wall.duration_since(self.wall);
        now.monotonic.saturating_duration_since(self.monotonic) < limit
            && wall_elapsed.is_ok_and(|elapsed| elapsed < limit)
    }
}

impl SendWindow {
    /// Drops the requests that are durable. If the server does not know the producer, renumbers the others from 1; if it is
    /// another server, after its last durable sequence.
    ///
    /// Fails if the server lost what it had acknowledged, or if it has requests that were not sent from here, which happens
    /// when two producers use one id.
    pub(crate) fn resume(
        &mut self,
        status: ProducerStatus,
        server_id: &str,
        now: ClockReading,
    ) -> Result<ResumeOutcome, ClientError> {
        let is_other_server = std::mem::take(&mut self.lost_numbering) || !self.is_from_server(server_id);
        server_id.clone_into(&mut self.server_id);
        let last_durable = match status {
            ProducerStatus::DurableThrough(last_durable) if is_other_server => {
                return Ok(self.renumber(last_durable, is_other_server, now));
            }
            ProducerStatus::DurableThrough(last_durable) => last_durable,
            ProducerStatus::Unknown => return Ok(self.renumber(0, is_other_server, now)),
        };
        if self.last_sequence == 0 {
            self.last_sequence = last_durable;
        }
        let first_sent = self.unacknowledged.front().map(|sent| sent.request.sequence);
        let last_acknowledged = first_sent.map_or(self.last_sequence, |sequence| sequence - 1);
        if !(last_acknowledged..=self.last_sequence).contains(&last_durable) {
            let last_sent = self.last_sequence;
            return Err(ClientError::SequenceMismatch { last_durable, last_acknowledged, last_sent });
        }
        Ok(ResumeOutcome { acknowledged: self.acknowledge(last_durable), ..ResumeOutcome::default() })
    }

    /// Whether the sequences are for this server. Servers without an id are one server.
    pub(crate) fn is_from_server(&self, server_id: &str) -> bool {
        self.server_id.is_empty() || server_id.is_empty() || self.server_id == server_id
    }

    /// Another server received the requests. It may have stored them.
    pub(crate) fn lose_numbering(&mut self) {
        self.lost_numbering = true;
    }

    /// Numbers the requests after `last_durable`.
    fn renumber(&mut self, last_durable: u64, is_other_server: bool, now: ClockReading) -> ResumeOutcome {
        let mut resumed = ResumeOutcome::default();
        for (sent, sequence) in self.unacknowledged.iter_mut().zip(last_durable + 1..) {
            if is_other_server || !sent.first_sent_at.is_certainly_within(MIN_PRODUCER_RETENTION, now) {
                resumed.possible_duplicates += sent.request.events.events();
            }
            sent.first_sent_at = now; // it counts from the new sequence on
            resumed.renumbered |= sent.request.sequence != sequence;
            sent.request.sequence = sequence;
            sent.request.start_new_numbering = sequence == 1;
            sent.request.sent_to_another_server |= is_other_server;
        }
        let last_sequence = last_durable + self.unacknowledged.len() as u64;
        resumed.renumbered |= self.last_sequence != last_sequence;
        self.last_sequence = last_sequence;
        resumed
    }

    /// Numbers a request that is sent now, and keeps it until it is acknowledged.
    pub(crate) fn push(
        &mut self,
        producer_id: &Arc<str>,
        events: EncodedEvents,
        now: ClockReading,
    ) -> &EncodedRequest {
        self.last_sequence += 1;
        let request = EncodedRequest {
            producer_id: Arc::clone(producer_id),
            sequence: self.last_sequence,
            events,
            // `resume` leaves 0 only for a producer that the server does not know.
            start_new_numbering: self.last_sequence == 1,
            sent_to_another_server: false,
        };
        self.unacknowledged.push_back(SentRequest { request, first_sent_at: now });
        &self.unacknowledged[self.unacknowledged.len() - 1].request
    }

    /// Drops the requests up to `sequence`, which are durable, and returns the number of their events.
    pub(crate) fn acknowledge(&mut self, sequence: u64) -> u64 {
        let mut events = 0;
        while let Some(sent) = self.unacknowledged.pop_front_if(|sent| sent.request.sequence <= sequence) {
            events += sent.request.events.events();
        }
        events
    }

    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = &EncodedRequest> {
        self.unacknowledged.iter().map(|sent| &sent.request)
    }

    pub(crate) fn len(&self) -> usize {
        self.unacknowledged.len()
    }
}

impl Totals {
    pub(crate) fn add_response(&mut self, acknowledged: u64, response: v1::StreamEventsResponse) {
        self.acknowledged += acknowledged;
        self.accepted += response.accepted;
        self.rejected += response.rejected;
        self.duplicates += response.duplicates;
        let remaining = MAX_KEPT_REJECTIONS.saturating_sub(self.rejections.len());
        self.rejections.extend(response.rejections.into_iter().take(remaining));
    }

    pub(crate) fn add_resume_outcome(&mut self, resumed: ResumeOutcome) {
        // Their responses were lost, and with them the number of rejected events.
        self.acknowledged += resumed.acknowledged;
        self.accepted += resumed.acknowledged;
        self.renumbered += u64::from(resumed.renumbered);
        self.possible_duplicates += resumed.possible_duplicates;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::EventsBuffer;

    fn push(window: &mut SendWindow, events: usize, now: ClockReading) -> u64 {
        let mut buffer = EventsBuffer::default();
        for _ in 0..events {
            buffer.push(&v1::Event::default());
        }
        window.push(&"p".into(), buffer.take(), now).sequence
    }

    fn after(start: ClockReading, elapsed: Duration) -> ClockReading {
        ClockReading { monotonic: start.monotonic + elapsed, wall: start.wall + elapsed }
    }

    fn sequences(window: &SendWindow) -> Vec<(u64, bool)> {
        window.unacknowledged().map(|request| (request.sequence, request.start_new_numbering)).collect()
    }

    #[test]
    fn numbering_continues_after_the_last_durable_sequence() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        assert_eq!(
            window.resume(ProducerStatus::DurableThrough(7), "", now).unwrap(),
            ResumeOutcome::default()
        );
        push(&mut window, 1, now);
        push(&mut window, 1, now);
        assert_eq!(sequences(&window), [(8, false), (9, false)]);
    }

    #[test]
    fn the_first_request_of_a_new_producer_starts_a_new_numbering() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        assert_eq!(window.resume(ProducerStatus::Unknown, "", now).unwrap(), ResumeOutcome::default());
        push(&mut window, 1, now);
        push(&mut window, 1, now);
        assert_eq!(sequences(&window), [(1, true), (2, false)]);
        // The request did not arrive, so the numbering is the same.
        assert_eq!(window.resume(ProducerStatus::Unknown, "", now).unwrap(), ResumeOutcome::default());
        assert_eq!(sequences(&window), [(1, true), (2, false)]);
    }

    #[test]
    fn only_unacknowledged_requests_remain_after_a_reconnect() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        for _ in 0..3 {
            push(&mut window, 10, now);
        }
        assert_eq!(window.resume(ProducerStatus::DurableThrough(2), "", now).unwrap().acknowledged, 20);
        assert_eq!(sequences(&window), [(3, false)]);
        assert_eq!(window.acknowledge(3), 10);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn an_inconsistent_last_sequence_is_an_error() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        push(&mut window, 1, now);
        push(&mut window, 1, now);
        window.acknowledge(1);
        assert!(window.resume(ProducerStatus::DurableThrough(0), "", now).is_err(), "it acknowledged 1");
        assert!(window.resume(ProducerStatus::DurableThrough(3), "", now).is_err(), "3 was never sent");
        assert!(window.resume(ProducerStatus::DurableThrough(1), "", now).is_ok());
    }

    #[test]
    fn a_forgotten_producer_renumbers_and_counts_possible_duplicates() {
        let (mut window, start) = (SendWindow::default(), ClockReading::now());
        window.resume(ProducerStatus::DurableThrough(57), "", start).unwrap();
        let idle = window.resume(ProducerStatus::Unknown, "", start).unwrap();
        assert_eq!(
            idle,
            ResumeOutcome { renumbered: true, ..ResumeOutcome::default() },
            "nothing was unacknowledged"
        );
        window.resume(ProducerStatus::DurableThrough(57), "", start).unwrap();
        push(&mut window, 10, start);
        push(&mut window, 3, after(start, Duration::from_secs(2)));
        let now = after(start, MIN_PRODUCER_RETENTION);
        let resumed = window.resume(ProducerStatus::Unknown, "", now).unwrap();
        assert_eq!(resumed, ResumeOutcome { acknowledged: 0, renumbered: true, possible_duplicates: 10 });
        assert_eq!(sequences(&window), [(1, true), (2, false)]);
        assert_eq!(push(&mut window, 1, now), 3);
    }

    #[test]
    fn clock_jumps_make_the_elapsed_time_uncertain() {
        let start = ClockReading::now();
        let after_sleep = ClockReading { wall: start.wall + MIN_PRODUCER_RETENTION, ..start };
        let clock_set_back = ClockReading { wall: start.wall - Duration::from_secs(1), ..start };
        assert!(start.is_certainly_within(MIN_PRODUCER_RETENTION, start));
        assert!(
            !start.is_certainly_within(MIN_PRODUCER_RETENTION, after_sleep)
                && !start.is_certainly_within(MIN_PRODUCER_RETENTION, clock_set_back)
        );
    }

    #[test]
    fn another_server_gets_new_numbers_and_no_event_counts_as_durable_there() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        window.resume(ProducerStatus::Unknown, "a", now).unwrap();
        for _ in 0..3 {
            push(&mut window, 10, now);
        }
        window.acknowledge(1);
        // It has a sequence from an earlier visit, which happens to be one that was sent to the other server.
        let moved = ResumeOutcome { acknowledged: 0, renumbered: true, possible_duplicates: 20 };
        assert_eq!(window.resume(ProducerStatus::DurableThrough(2), "b", now).unwrap(), moved);
        assert_eq!(sequences(&window), [(3, false), (4, false)]);
        // The same server again.
        let resumed = window.resume(ProducerStatus::DurableThrough(3), "b", now).unwrap();
        assert_eq!(resumed, ResumeOutcome { acknowledged: 10, ..ResumeOutcome::default() });
        // Back to the first one, after it has lost its data.
        assert_eq!(window.resume(ProducerStatus::Unknown, "a", now).unwrap().possible_duplicates, 10);
        assert_eq!(sequences(&window), [(1, true)]);
    }

    #[test]
    fn a_stream_that_went_to_another_server_acknowledges_nothing() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        window.resume(ProducerStatus::DurableThrough(7), "a", now).unwrap();
        push(&mut window, 10, now);
        assert!(window.is_from_server("a") && window.is_from_server("") && !window.is_from_server("b"));
        window.lose_numbering();
        // The first server does not have the request, the other one may have it.
        assert_eq!(
            window.resume(ProducerStatus::DurableThrough(7), "a", now).unwrap().possible_duplicates,
            10
        );
        assert_eq!(sequences(&window), [(8, false)]);
        assert_eq!(window.resume(ProducerStatus::DurableThrough(8), "a", now).unwrap().acknowledged, 10);
    }
}
