//! What is sent and not acknowledged: pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::ClientError;
use crate::proto::v1;

/// How many rejections are kept to be looked at.
const MAX_KEPT_REJECTIONS: usize = 100;
/// A server remembers a producer for so long at least (see ingest.proto). So it has not stored what was sent later than
/// this before it says that it does not know the producer.
const MIN_PRODUCER_RETENTION: Duration = Duration::from_secs(3_600);

/// What became of the events so far.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Events in acknowledged requests. Requests are acknowledged in order, so these are the first ones that were sent.
    pub acknowledged: u64,
    /// Events that are stored.
    pub accepted: u64,
    /// Events that the server refused.
    pub rejected: u64,
    /// Events that the server had already, mostly because their acknowledgement was lost.
    pub duplicates: u64,
    /// The first rejections.
    pub rejections: Vec<v1::Rejection>,
    /// How often the connection was made anew.
    pub reconnects: u64,
    /// How often the server did not know the producer any more, and its requests were numbered from 1 again.
    pub renumbered: u64,
    /// Events that may be stored twice: they were sent, more than an hour passed without an acknowledgement, and then the
    /// server did not know the producer any more. So they were sent again.
    pub possible_duplicates: u64,
    /// Why the producer ended.
    pub(super) failure: Option<ClientError>,
}

/// What the server says about the producer at a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProducerStatus {
    /// It has every request up to this one.
    DurableThrough(u64),
    /// It has never seen the producer, or has forgotten it.
    Unknown,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResumeOutcome {
    /// Events that turned out to be stored.
    pub(super) acknowledged: u64,
    /// Whether the producer was known before and the requests have new numbers.
    pub(super) renumbered: bool,
    /// Events that are sent again and may be stored.
    pub(super) possible_duplicates: u64,
}

/// Requests in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct SendWindow {
    last_sequence: u64,
    unacknowledged: VecDeque<SentRequest>,
}

#[derive(Debug)]
struct SentRequest {
    request: v1::StreamEventsRequest,
    /// When it was first sent under its number.
    first_sent_at: ClockReading,
}

/// A moment, by two clocks: one stands still while a machine sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) monotonic: Instant,
    pub(super) wall: SystemTime,
}

impl ClockReading {
    pub(super) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether less time than that passed for certain.
    fn is_certainly_within(self, limit: Duration, now: Self) -> bool {
        let wall_elapsed = now.wall.duration_since(self.wall);
        now.monotonic.saturating_duration_since(self.monotonic) < limit
            && wall_elapsed.is_ok_and(|elapsed| elapsed < limit)
    }
}

impl SendWindow {
    /// Takes what the server says at a connect: what it has is acknowledged, and where it does not know the producer, what
    /// is left is numbered from 1. An error is a server that lost what it had acknowledged, or a second producer with the
    /// same id.
    pub(super) fn resume(
        &mut self,
        status: ProducerStatus,
        now: ClockReading,
    ) -> Result<ResumeOutcome, ClientError> {
        let last_durable = match status {
            ProducerStatus::DurableThrough(last_durable) => last_durable,
            ProducerStatus::Unknown => return Ok(self.renumber(now)),
        };
        if self.last_sequence == 0 {
            self.last_sequence = last_durable;
        }
        let first = self.unacknowledged.front().map_or(self.last_sequence + 1, |sent| sent.request.sequence);
        if last_durable + 1 < first || last_durable > self.last_sequence {
            return Err(ClientError::Rejected(format!(
                "it says that the last request is {last_durable}, but {} was the last that it acknowledged and {} the last \
                 that was sent; a second producer may have the same producer_id",
                first - 1,
                self.last_sequence
            )));
        }
        Ok(ResumeOutcome { acknowledged: self.acknowledge(last_durable), ..ResumeOutcome::default() })
    }

    fn renumber(&mut self, now: ClockReading) -> ResumeOutcome {
        let mut resumed = ResumeOutcome::default();
        for (sent, sequence) in self.unacknowledged.iter_mut().zip(1..) {
            if !sent.first_sent_at.is_certainly_within(MIN_PRODUCER_RETENTION, now) {
                resumed.possible_duplicates += sent.request.events.len() as u64;
            }
            sent.first_sent_at = now; // from here on only the sending under the new number is uncertain
            resumed.renumbered |= sent.request.sequence != sequence;
            sent.request.sequence = sequence;
            sent.request.start_new_numbering = sequence == 1;
        }
        let last_sequence = self.unacknowledged.len() as u64;
        resumed.renumbered |= self.last_sequence != last_sequence;
        self.last_sequence = last_sequence;
        resumed
    }

    /// Numbers a request and keeps it. It is sent now.
    pub(super) fn push(
        &mut self,
        producer_id: &str,
        events: Vec<v1::Event>,
        now: ClockReading,
    ) -> &v1::StreamEventsRequest {
        self.last_sequence += 1;
        let request = v1::StreamEventsRequest {
            producer_id: producer_id.to_owned(),
            sequence: self.last_sequence,
            events,
            // Only a producer that the server does not know begins with 1: it is asked before.
            start_new_numbering: self.last_sequence == 1,
        };
        self.unacknowledged.push_back(SentRequest { request, first_sent_at: now });
        &self.unacknowledged[self.unacknowledged.len() - 1].request
    }

    /// Everything up to here is durable; gives how many events that were.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> u64 {
        let mut events = 0;
        while let Some(sent) = self.unacknowledged.pop_front_if(|sent| sent.request.sequence <= sequence) {
            events += sent.request.events.len() as u64;
        }
        events
    }

    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &v1::StreamEventsRequest> {
        self.unacknowledged.iter().map(|sent| &sent.request)
    }

    pub(super) fn len(&self) -> usize {
        self.unacknowledged.len()
    }
}

impl Totals {
    pub(super) fn add_response(&mut self, acknowledged: u64, response: v1::StreamEventsResponse) {
        self.acknowledged += acknowledged;
        self.accepted += response.accepted;
        self.rejected += response.rejected;
        self.duplicates += response.duplicates;
        let remaining = MAX_KEPT_REJECTIONS.saturating_sub(self.rejections.len());
        self.rejections.extend(response.rejections.into_iter().take(remaining));
    }

    pub(super) fn add_resume_outcome(&mut self, resumed: ResumeOutcome) {
        // Their acknowledgement was lost, so how many of them were refused is not known.
        self.acknowledged += resumed.acknowledged;
        self.accepted += resumed.acknowledged;
        self.renumbered += u64::from(resumed.renumbered);
        self.possible_duplicates += resumed.possible_duplicates;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize) -> Vec<v1::Event> {
        vec![v1::Event::default(); count]
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
        assert_eq!(window.resume(ProducerStatus::DurableThrough(7), now).unwrap(), ResumeOutcome::default());
        window.push("p", events(1), now);
        window.push("p", events(1), now);
        assert_eq!(sequences(&window), [(8, false), (9, false)]);
    }

    #[test]
    fn the_first_request_of_a_new_producer_starts_a_new_numbering() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        assert_eq!(window.resume(ProducerStatus::Unknown, now).unwrap(), ResumeOutcome::default());
        window.push("p", events(1), now);
        window.push("p", events(1), now);
        assert_eq!(sequences(&window), [(1, true), (2, false)]);
        // It did not arrive; this is no new numbering.
        assert_eq!(window.resume(ProducerStatus::Unknown, now).unwrap(), ResumeOutcome::default());
        assert_eq!(sequences(&window), [(1, true), (2, false)]);
    }

    #[test]
    fn only_unacknowledged_requests_remain_after_a_reconnect() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        for _ in 0..3 {
            window.push("p", events(10), now);
        }
        assert_eq!(window.resume(ProducerStatus::DurableThrough(2), now).unwrap().acknowledged, 20);
        assert_eq!(sequences(&window), [(3, false)]);
        assert_eq!(window.acknowledge(3), 10);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn an_inconsistent_last_sequence_is_an_error() {
        let (mut window, now) = (SendWindow::default(), ClockReading::now());
        window.push("p", events(1), now);
        window.push("p", events(1), now);
        window.acknowledge(1);
        assert!(window.resume(ProducerStatus::DurableThrough(0), now).is_err(), "it acknowledged 1");
        assert!(window.resume(ProducerStatus::DurableThrough(3), now).is_err(), "3 was never sent");
        assert!(window.resume(ProducerStatus::DurableThrough(1), now).is_ok());
    }

    #[test]
    fn a_forgotten_producer_renumbers_and_counts_possible_duplicates() {
        let (mut window, start) = (SendWindow::default(), ClockReading::now());
        window.resume(ProducerStatus::DurableThrough(57), start).unwrap();
        let idle = window.resume(ProducerStatus::Unknown, start).unwrap();
        assert_eq!(
            idle,
            ResumeOutcome { renumbered: true, ..ResumeOutcome::default() },
            "nothing was on its way"
        );
        window.resume(ProducerStatus::DurableThrough(57), start).unwrap();
        window.push("p", events(10), start);
        window.push("p", events(3), after(start, Duration::from_secs(2)));
        let now = after(start, MIN_PRODUCER_RETENTION);
        let resumed = window.resume(ProducerStatus::Unknown, now).unwrap();
        assert_eq!(resumed, ResumeOutcome { acknowledged: 0, renumbered: true, possible_duplicates: 10 });
        assert_eq!(sequences(&window), [(1, true), (2, false)]);
        assert_eq!(window.push("p", events(1), now).sequence, 3);
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
}
