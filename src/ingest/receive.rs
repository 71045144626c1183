//! From a request's events to columns and rejections.

use rand::Rng;
use uuid::Uuid;

use crate::error::Error;
use crate::event::{Rules, validate};
use crate::proto::v1;
use crate::writer::columns::EventColumns;
use crate::writer::{Request, Writer};

/// The longest producer_id, in bytes.
pub(super) const MAX_PRODUCER_ID_BYTES: usize = 128;
/// How many rejections one answer lists; all of them are counted.
pub(super) const MAX_REJECTIONS: usize = 1_000;

/// What every door needs to take a request in.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The one writer.
    pub writer: Writer,
    /// The rules of the configuration.
    pub rules: Rules,
}

/// A request after validation.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) request: Request,
    pub(super) rejected: u64,
    pub(super) rejections: Vec<v1::Rejection>,
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
    /// Validates the events of the `number`th request of a stream.
    pub(super) fn receive(
        &self,
        number: u64,
        producer_id: String,
        sequence: u64,
        events: &[v1::Event],
    ) -> Result<Received, Error> {
        check_producer(&producer_id, sequence)?;
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let mut columns = EventColumns::default();
        let mut rejections = Vec::new();
        let mut rejected = 0;
        let mut random = rand::rng();
        for (index, event) in (0_u32..).zip(events) {
            match validate(event, &self.rules, now_ms) {
                Ok(valid) => columns.push(&valid, now_ms, || new_id(now_ms, &mut random)),
                Err(refusal) => {
                    rejected += 1;
                    if rejections.len() < MAX_REJECTIONS {
                        rejections.push(v1::Rejection {
                            request: number,
                            index,
                            field: refusal.field.to_owned(),
                            reason: refusal.reason,
                        });
                    }
                }
            }
        }
        self.writer.stats().count_rejected(rejected);
        let request =
            Request { producer_id, sequence, new_numbering: false, received_at_ms: now_ms, columns };
        Ok(Received { request, rejected, rejections })
    }
}

/// A UUID of version 7: it begins with the time, so that the column compresses well.
fn new_id(now_ms: i64, random: &mut impl Rng) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &random.random()).into_uuid()
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
