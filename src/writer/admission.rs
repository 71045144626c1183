//! Which requests are admitted: the next ones of their producers, without the events that were admitted before. Synchronous; both
//! journals decide by it.

use std::collections::HashSet;

use uuid::Uuid;

use super::columns::EventColumns;
use super::producers::{Producers, SequenceCheck, producer_key};
use super::recent_ids::RecentIds;
use super::{SubmitError, WriteRequest};

/// What was admitted.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) producers: Producers,
    pub(crate) recent_ids: RecentIds,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is written to the journal. Call [`Admission::record`] then.
    Next(NextRequest),
    /// All of its events were admitted before. They are durable when everything admitted so far is.
    Duplicate {
        /// Empty without a producer.
        producer_key: String,
    },
    /// It changes nothing.
    Rejected(SubmitError),
}

/// A request that is next for its producer.
#[derive(Debug)]
pub(crate) struct NextRequest {
    /// Empty without a producer.
    pub(crate) producer_key: String,
    /// Number of events that were admitted before.
    pub(crate) duplicates: u64,
    /// The other events; `None` if these are all.
    deduplicated: Option<Box<EventColumns>>,
}

impl NextRequest {
    /// The events to write.
    pub(crate) fn columns<'a>(&'a self, request: &'a WriteRequest) -> &'a EventColumns {
        self.deduplicated.as_deref().unwrap_or(&request.columns)
    }

    /// The same.
    pub(crate) fn into_columns(self, request: WriteRequest) -> EventColumns {
        self.deduplicated.map_or(request.columns, |columns| *columns)
    }
}

impl Admission {
    /// Checks the sequence of a request and the ids of its events.
    pub(crate) fn decide(&mut self, request: &WriteRequest) -> Decision {
        let WriteRequest { producer_id, sequence, start_new_numbering, received_at_ms, .. } = request;
        let numbered = !producer_id.is_empty();
        let producer_key = match numbered {
            true => producer_key(&request.project, producer_id).into_owned(),
            false => String::new(),
        };
        if numbered {
            let check = self.producers.check_sequence(
                &producer_key,
                *sequence,
                *start_new_numbering,
                *received_at_ms,
            );
            let (producer_id, sequence) = (producer_id.clone(), *sequence);
            match check {
                SequenceCheck::Next => {}
                SequenceCheck::Duplicate => {
                    self.producers.record_duplicate(&producer_key, *received_at_ms);
                    return Decision::Duplicate { producer_key };
                }
                SequenceCheck::Gap { expected } => {
                    return Decision::Rejected(SubmitError::SequenceGap { producer_id, sequence, expected });
                }
                SequenceCheck::Forgotten => {
                    return Decision::Rejected(SubmitError::ForgottenProducer { producer_id, sequence });
                }
                SequenceCheck::AtCapacity { retry_after } => {
                    return Decision::Rejected(SubmitError::TooManyProducers { retry_after });
                }
            }
        }
        let duplicate_rows = self.duplicate_rows(&request.columns);
        if duplicate_rows.len() == request.columns.rows() as usize && !numbered {
            return Decision::Duplicate { producer_key };
        }
        let deduplicated =
            (!duplicate_rows.is_empty()).then(|| Box::new(request.columns.without_rows(&duplicate_rows)));
        Decision::Next(NextRequest { producer_key, duplicates: duplicate_rows.len() as u64, deduplicated })
    }

    /// Records that a request was appended to the journal. `position` must ascend from call to call.
    pub(crate) fn record(&mut self, position: u64, request: &WriteRequest, next: &NextRequest) {
        if !next.producer_key.is_empty() {
            self.producers.record_admitted(&next.producer_key, request.sequence, request.received_at_ms);
        }
        self.recent_ids.insert(position, next.columns(request).explicit_ids().map(|(_, id)| id));
    }

    /// Rows whose explicit id was admitted before, or occurs earlier in the request.
    fn duplicate_rows(&self, columns: &EventColumns) -> Vec<u32> {
        let mut in_request: HashSet<Uuid> = HashSet::new();
        columns
            .explicit_ids()
            .filter(|&(_, id)| self.recent_ids.contains(id) || !in_request.insert(id))
            .map(|(row, _)| row)
            .collect()
    }
}
