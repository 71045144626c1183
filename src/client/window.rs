//! What is sent and not acknowledged: pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::ClientError;
use crate::proto::v1;

/// How many rejections are kept to be looked at.
const KEPT_REJECTIONS: usize = 100;
/// A server remembers a producer for so long at least (see ingest.proto). So it has not stored what was sent later than
/// this before it says that it does not know the producer.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

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
    pub maybe_doubled: u64,
    /// Why the producer ended.
    pub(super) failure: Option<ClientError>,
}

/// What the server says about the producer at a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has every request up to this one.
    UpTo(u64),
    /// It has never seen the producer, or has forgotten it.
    No,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resumed {
    /// Events that turned out to be stored.
    pub(super) acknowledged: u64,
    /// Whether the producer was known before and the requests have new numbers.
    pub(super) renumbered: bool,
    /// Events that are sent again and may be stored.
    pub(super) maybe_doubled: u64,
}

/// Requests in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Window {
    last_sequence: u64,
    unacknowledged: VecDeque<Unacknowledged>,
}

#[derive(Debug)]
struct Unacknowledged {
    request: v1::StreamEventsRequest,
    /// When it was first sent under its number.
    first_sent: At,
}

/// A moment, by two clocks: one stands still while a machine sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) steady: Instant,
    pub(super) wall: SystemTime,
}

impl At {
    pub(super) fn now() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether less time than that passed for certain.
    fn is_within(self, limit: Duration, now: Self) -> bool {
        let by_wall = now.wall.duration_since(self.wall);
        now.steady.saturating_duration_since(self.steady) < limit
            && by_wall.is_ok_and(|passed| passed < limit)
    }
}

impl Window {
    /// Takes what the server says at a connect: what it has is acknowledged, and where it does not know the producer, what
    /// is left is numbered from 1. An error is a server that lost what it had acknowledged, or a second producer with the
    /// same id.
    pub(super) fn resume(&mut self, known: Known, now: At) -> Result<Resumed, ClientError> {
        let last_durable = match known {
            Known::UpTo(last_durable) => last_durable,
            Known::No => return Ok(self.renumber(now)),
        };
        if self.last_sequence == 0 {
            self.last_sequence = last_durable;
        }
        let first = self.unacknowledged.front().map_or(self.last_sequence + 1, |sent| sent.request.sequence);
        if last_durable + 1 < first || last_durable > self.last_sequence {
            return Err(ClientError::Refused(format!(
                "it says that the last request is {last_durable}, but {} was the last that it acknowledged and {} the last \
                 that was sent; a second producer may have the same producer_id",
                first - 1,
                self.last_sequence
            )));
        }
        Ok(Resumed { acknowledged: self.acknowledge(last_durable), ..Resumed::default() })
    }

    fn renumber(&mut self, now: At) -> Resumed {
        let mut resumed = Resumed::default();
        for (sent, sequence) in self.unacknowledged.iter_mut().zip(1..) {
            if !sent.first_sent.is_within(REMEMBERED_FOR, now) {
                resumed.maybe_doubled += sent.request.events.len() as u64;
            }
            sent.first_sent = now; // from here on only the sending under the new number is uncertain
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
        now: At,
    ) -> &v1::StreamEventsRequest {
        self.last_sequence += 1;
        let request = v1::StreamEventsRequest {
            producer_id: producer_id.to_owned(),
            sequence: self.last_sequence,
            events,
            // Only a producer that the server does not know begins with 1: it is asked before.
            start_new_numbering: self.last_sequence == 1,
        };
        self.unacknowledged.push_back(Unacknowledged { request, first_sent: now });
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
    pub(super) fn add(&mut self, acknowledged: u64, answer: v1::StreamEventsResponse) {
        self.acknowledged += acknowledged;
        self.accepted += answer.accepted;
        self.rejected += answer.rejected;
        self.duplicates += answer.duplicates;
        let room = KEPT_REJECTIONS.saturating_sub(self.rejections.len());
        self.rejections.extend(answer.rejections.into_iter().take(room));
    }

    pub(super) fn resumed(&mut self, resumed: Resumed) {
        // Their acknowledgement was lost, so how many of them were refused is not known.
        self.acknowledged += resumed.acknowledged;
        self.accepted += resumed.acknowledged;
        self.renumbered += u64::from(resumed.renumbered);
        self.maybe_doubled += resumed.maybe_doubled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize) -> Vec<v1::Event> {
        vec![v1::Event::default(); count]
    }

    fn after(start: At, passed: Duration) -> At {
        At { steady: start.steady + passed, wall: start.wall + passed }
    }

    fn numbers(window: &Window) -> Vec<(u64, bool)> {
        window.unacknowledged().map(|request| (request.sequence, request.start_new_numbering)).collect()
    }

    #[test]
    fn requests_are_numbered_from_where_the_server_is() {
        let (mut window, now) = (Window::default(), At::now());
        assert_eq!(window.resume(Known::UpTo(7), now).unwrap(), Resumed::default());
        window.push("p", events(1), now);
        window.push("p", events(1), now);
        assert_eq!(numbers(&window), [(8, false), (9, false)]);
    }

    #[test]
    fn a_new_producer_says_so_with_its_first_request() {
        let (mut window, now) = (Window::default(), At::now());
        assert_eq!(window.resume(Known::No, now).unwrap(), Resumed::default());
        window.push("p", events(1), now);
        window.push("p", events(1), now);
        assert_eq!(numbers(&window), [(1, true), (2, false)]);
        // It did not arrive; this is no new numbering.
        assert_eq!(window.resume(Known::No, now).unwrap(), Resumed::default());
        assert_eq!(numbers(&window), [(1, true), (2, false)]);
    }

    #[test]
    fn after_a_reconnect_only_what_the_server_lacks_is_left() {
        let (mut window, now) = (Window::default(), At::now());
        for _ in 0..3 {
            window.push("p", events(10), now);
        }
        assert_eq!(window.resume(Known::UpTo(2), now).unwrap().acknowledged, 20);
        assert_eq!(numbers(&window), [(3, false)]);
        assert_eq!(window.acknowledge(3), 10);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_server_that_lost_requests_or_knows_too_much_is_noticed() {
        let (mut window, now) = (Window::default(), At::now());
        window.push("p", events(1), now);
        window.push("p", events(1), now);
        window.acknowledge(1);
        assert!(window.resume(Known::UpTo(0), now).is_err(), "it acknowledged 1");
        assert!(window.resume(Known::UpTo(3), now).is_err(), "3 was never sent");
        assert!(window.resume(Known::UpTo(1), now).is_ok());
    }

    #[test]
    fn a_producer_that_was_forgotten_numbers_from_one_and_counts_what_may_be_doubled() {
        let (mut window, start) = (Window::default(), At::now());
        window.resume(Known::UpTo(57), start).unwrap();
        let idle = window.resume(Known::No, start).unwrap();
        assert_eq!(idle, Resumed { renumbered: true, ..Resumed::default() }, "nothing was on its way");
        window.resume(Known::UpTo(57), start).unwrap();
        window.push("p", events(10), start);
        window.push("p", events(3), after(start, Duration::from_secs(2)));
        let now = after(start, REMEMBERED_FOR);
        let resumed = window.resume(Known::No, now).unwrap();
        assert_eq!(resumed, Resumed { acknowledged: 0, renumbered: true, maybe_doubled: 10 });
        assert_eq!(numbers(&window), [(1, true), (2, false)]);
        assert_eq!(window.push("p", events(1), now).sequence, 3);
    }

    #[test]
    fn a_clock_that_was_set_back_or_stood_still_makes_nothing_certain() {
        let start = At::now();
        let slept = At { wall: start.wall + REMEMBERED_FOR, ..start };
        let set_back = At { wall: start.wall - Duration::from_secs(1), ..start };
        assert!(start.is_within(REMEMBERED_FOR, start));
        assert!(!start.is_within(REMEMBERED_FOR, slept) && !start.is_within(REMEMBERED_FOR, set_back));
    }
}
