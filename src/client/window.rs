//! What is sent and not acknowledged: pure.

use std::collections::VecDeque;

use super::ClientError;
use crate::proto::v1;

/// How many rejections are kept to be looked at.
const KEPT_REJECTIONS: usize = 100;

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
    /// Why the producer ended.
    pub(super) failure: Option<ClientError>,
}

/// Requests in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Window {
    last_sequence: u64,
    unacknowledged: VecDeque<v1::StreamEventsRequest>,
}

impl Window {
    /// The server has everything up to here, as it says at a connect. What it has is acknowledged; gives how many events
    /// that were. An error is a server that lost what it had acknowledged, or a second producer with the same id.
    pub(super) fn resume(&mut self, last_durable: u64) -> Result<u64, ClientError> {
        if self.last_sequence == 0 {
            self.last_sequence = last_durable;
        }
        let first = self.unacknowledged.front().map_or(self.last_sequence + 1, |request| request.sequence);
        if last_durable + 1 < first || last_durable > self.last_sequence {
            return Err(ClientError::Refused(format!(
                "it says that the last request is {last_durable}, but {} was the last that it acknowledged and {} the last \
                 that was sent; a second producer may have the same producer_id",
                first - 1,
                self.last_sequence
            )));
        }
        Ok(self.acknowledge(last_durable))
    }

    /// Numbers a request and keeps it.
    pub(super) fn push(&mut self, producer_id: &str, events: Vec<v1::Event>) -> &v1::StreamEventsRequest {
        self.last_sequence += 1;
        let producer_id = producer_id.to_owned();
        self.unacknowledged.push_back(v1::StreamEventsRequest {
            producer_id,
            sequence: self.last_sequence,
            events,
        });
        &self.unacknowledged[self.unacknowledged.len() - 1]
    }

    /// Everything up to here is durable; gives how many events that were.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> u64 {
        let mut events = 0;
        while let Some(request) = self.unacknowledged.pop_front_if(|request| request.sequence <= sequence) {
            events += request.events.len() as u64;
        }
        events
    }

    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &v1::StreamEventsRequest> {
        self.unacknowledged.iter()
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize) -> Vec<v1::Event> {
        vec![v1::Event::default(); count]
    }

    #[test]
    fn requests_are_numbered_from_where_the_server_is() {
        let mut window = Window::default();
        assert_eq!(window.resume(7).unwrap(), 0);
        assert_eq!(window.push("p", events(1)).sequence, 8);
        assert_eq!(window.push("p", events(1)).sequence, 9);
    }

    #[test]
    fn after_a_reconnect_only_what_the_server_lacks_is_left() {
        let mut window = Window::default();
        for _ in 0..3 {
            window.push("p", events(10));
        }
        assert_eq!(window.resume(2).unwrap(), 20);
        assert_eq!(window.unacknowledged().map(|request| request.sequence).collect::<Vec<_>>(), [3]);
        assert_eq!(window.acknowledge(3), 10);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_server_that_forgot_or_knows_too_much_is_noticed() {
        let mut window = Window::default();
        window.push("p", events(1));
        window.push("p", events(1));
        window.acknowledge(1);
        assert!(window.resume(0).is_err(), "it acknowledged 1");
        assert!(window.resume(3).is_err(), "3 was never sent");
        assert!(window.resume(1).is_ok());
    }
}
