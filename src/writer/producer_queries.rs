//! Queries for the last sequence of a producer that wait until it is certain.
//!
//! The answer must cover the requests that were received before. With a lower sequence, a producer that has been at another server
//! meanwhile would give numbers that are taken to other requests, which would then count as duplicates.

use super::ProducerQuery;
use super::producers::Producers;

#[derive(Debug, Default)]
pub(super) struct ProducerQueries(Vec<WaitingQuery>);

#[derive(Debug)]
struct WaitingQuery {
    query: ProducerQuery,
    /// The highest sequence that was received before.
    received: u64,
}

impl ProducerQueries {
    /// `waiting` are the keys and sequences of received requests that have not been admitted.
    pub(super) fn push<'a>(
        &mut self,
        query: ProducerQuery,
        producers: &Producers,
        waiting: impl Iterator<Item = (&'a str, u64)>,
    ) {
        let (key, _) = &query;
        let admitted = producers.get(key).map_or(0, |producer| producer.last_sequence);
        let waiting = waiting.filter(|(waiting, _)| waiting == key).map(|(_, sequence)| sequence);
        let received = waiting.max().unwrap_or(0).max(admitted);
        self.0.push(WaitingQuery { query, received });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Answers those for which nothing is outstanding any more. `is_waiting` tells whether a request of a producer has not been admitted.
    pub(super) fn answer(&mut self, producers: &Producers, is_waiting: impl Fn(&str) -> bool) {
        let is_certain = |WaitingQuery { query: (key, _), received }: &WaitingQuery| {
            let producer = producers.get(key).unwrap_or_default();
            // Requests fail too.
            let is_final = !is_waiting(key) && producer.last_sequence == producer.last_durable_sequence;
            producer.last_durable_sequence >= *received || is_final
        };
        let is_over = |waiting: &WaitingQuery| is_certain(waiting) || waiting.query.1.is_closed();
        let (over, waiting) = std::mem::take(&mut self.0).into_iter().partition(is_over);
        self.0 = waiting;
        for WaitingQuery { query: (key, reply), .. } in over {
            // An error means that the caller no longer waits.
            reply.send(producers.get(&key)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::writer::producers::ProducerState;

    /// The last durable sequence of an answer.
    fn answered(answer: &mut oneshot::Receiver<Option<ProducerState>>) -> Option<Option<u64>> {
        let answer = answer.now_or_never()?;
        Some(answer.unwrap().map(|producer| producer.last_durable_sequence))
    }

    fn ask(
        queries: &mut ProducerQueries,
        producers: &Producers,
        waiting: &[(&str, u64)],
    ) -> oneshot::Receiver<Option<ProducerState>> {
        let (reply, answer) = oneshot::channel();
        queries.push(("p".to_owned(), reply), producers, waiting.iter().copied());
        answer
    }

    #[test]
    fn an_answer_covers_what_was_received_before() {
        let (mut queries, mut producers) = (ProducerQueries::default(), Producers::default());
        let mut first = ask(&mut queries, &producers, &[("q", 7)]);
        queries.answer(&producers, |key| key == "q");
        assert_eq!(answered(&mut first), Some(None), "nothing of it was received");

        producers.record_admitted("p", 1, 0);
        let mut of_admitted = ask(&mut queries, &producers, &[]);
        let mut of_waiting = ask(&mut queries, &producers, &[("p", 2)]);
        queries.answer(&producers, |_| true);
        assert_eq!((answered(&mut of_admitted), answered(&mut of_waiting)), (None, None));
        producers.mark_durable("p", 1);
        queries.answer(&producers, |_| true);
        assert_eq!((answered(&mut of_admitted), answered(&mut of_waiting)), (Some(Some(1)), None));
        // Later requests do not delay it.
        producers.record_admitted("p", 2, 0);
        producers.record_admitted("p", 3, 0);
        producers.mark_durable("p", 2);
        queries.answer(&producers, |_| false);
        assert_eq!(answered(&mut of_waiting), Some(Some(2)));
        assert!(queries.is_empty());
    }

    #[test]
    fn what_fails_is_not_waited_for() {
        let (mut queries, mut producers) = (ProducerQueries::default(), Producers::default());
        producers.record_admitted("p", 1, 0);
        producers.mark_durable("p", 1);
        producers.record_admitted("p", 2, 0);
        let mut rolled_back = ask(&mut queries, &producers, &[]);
        let mut rejected = ask(&mut queries, &producers, &[("p", u64::MAX)]);
        queries.answer(&producers, |_| true);
        assert_eq!((answered(&mut rolled_back), answered(&mut rejected)), (None, None));
        producers.roll_back("p");
        queries.answer(&producers, |_| false);
        assert_eq!((answered(&mut rolled_back), answered(&mut rejected)), (Some(Some(1)), Some(Some(1))));
        drop(ask(&mut queries, &producers, &[("p", 2)]));
        queries.answer(&producers, |_| true);
        assert!(queries.is_empty(), "its caller has left");
    }
}
