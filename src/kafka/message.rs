//! The bytes of a message of the journal's topic: the accepted events of one request.
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | version: 1 |
//! | 1 | flags: 1 if another server may have stored the events |
//! | | an [`EventsRecord`], as in the journal on disk |

use crate::writer::record::{EventsRecord, MalformedRecord, WriterRecord, kind};

const VERSION: u8 = 1;
const SENT_TO_ANOTHER_SERVER: u8 = 1;

/// A message of the journal.
#[derive(Debug, PartialEq)]
pub(crate) struct JournalMessage {
    pub(crate) sent_to_another_server: bool,
    pub(crate) record: EventsRecord,
}

/// Why a message is not one of the journal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedMessage {
    #[error("it has version {0}, this program knows version {VERSION}")]
    Version(u8),
    #[error("it is truncated")]
    Truncated,
    #[error(transparent)]
    Record(#[from] MalformedRecord),
}

/// A message with the bytes of a record.
pub(crate) fn encode(sent_to_another_server: bool, record: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(record.len() + 2);
    message.push(VERSION);
    message.push(if sent_to_another_server { SENT_TO_ANOTHER_SERVER } else { 0 });
    message.extend_from_slice(record);
    message
}

/// Decodes a message. Unknown flags are ignored.
pub(crate) fn decode(message: &[u8]) -> Result<JournalMessage, MalformedMessage> {
    match message {
        [VERSION, flags, record @ ..] => match WriterRecord::decode(kind::EVENTS, record)? {
            WriterRecord::Events(record) => Ok(JournalMessage {
                sent_to_another_server: flags & SENT_TO_ANOTHER_SERVER != 0,
                record: *record,
            }),
            _ => unreachable!("the kind is that of events"),
        },
        [VERSION] | [] => Err(MalformedMessage::Truncated),
        [version, ..] => Err(MalformedMessage::Version(*version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::columns::EventColumns;

    #[test]
    fn a_message_round_trips_and_others_are_told_apart() {
        let record = EventsRecord {
            project: "shop".parse().unwrap(),
            producer_id: "billing-1".into(),
            sequence: 7,
            received_at_ms: 5,
            columns: EventColumns::default(),
        };
        for sent_to_another_server in [false, true] {
            let message = encode(sent_to_another_server, &record.encode());
            let expected = JournalMessage { sent_to_another_server, record: record.clone() };
            assert_eq!(decode(&message), Ok(expected));
        }
        assert_eq!(decode(b"{}"), Err(MalformedMessage::Version(b'{')));
        assert_eq!(decode(&[]), Err(MalformedMessage::Truncated));
        assert!(matches!(decode(&[1, 0, 9]), Err(MalformedMessage::Record(_))));
    }
}
