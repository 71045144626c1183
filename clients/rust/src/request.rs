//! Requests as they are sent. An event is encoded once, when it is added: what is kept until the acknowledgement, and sent
//! again after a reconnect, are these bytes.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use crate::proto::v1;

/// The key of `StreamEventsRequest.events` on the wire: field 3, length-delimited.
const EVENTS_KEY: u8 = 3 << 3 | 2;

/// The events of a request that is not complete.
#[derive(Debug, Default)]
pub(crate) struct EventsBuffer {
    encoded: BytesMut,
    events: u64,
}

impl EventsBuffer {
    pub(crate) fn push(&mut self, event: &v1::Event) {
        self.encoded.put_u8(EVENTS_KEY);
        event.encode_length_delimited(&mut self.encoded).expect("the buffer grows");
        self.events += 1;
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn bytes(&self) -> usize {
        self.encoded.len()
    }

    /// Takes the events. The next ones likely need as much memory.
    pub(crate) fn take(&mut self) -> EncodedEvents {
        let next = BytesMut::with_capacity(self.encoded.len());
        let encoded = std::mem::replace(&mut self.encoded, next).freeze();
        EncodedEvents { encoded, events: std::mem::take(&mut self.events) }
    }
}

/// The events of a request. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct EncodedEvents {
    encoded: Bytes,
    events: u64,
}

impl EncodedEvents {
    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}

/// A `StreamEventsRequest`.
#[derive(Clone, Debug)]
pub(crate) struct EncodedRequest {
    pub(crate) producer_id: Arc<str>,
    pub(crate) sequence: u64,
    pub(crate) start_new_numbering: bool,
    pub(crate) sent_to_another_server: bool,
    pub(crate) events: EncodedEvents,
}

impl EncodedRequest {
    fn encode(&self, out: &mut EncodeBuf<'_>) {
        let other_fields = v1::StreamEventsRequest {
            producer_id: self.producer_id.to_string(),
            sequence: self.sequence,
            start_new_numbering: self.start_new_numbering,
            sent_to_another_server: self.sent_to_another_server,
            events: Vec::new(),
        };
        // Concatenated messages are one message with the fields of both.
        out.reserve(other_fields.encoded_len() + self.events.encoded.len());
        other_fields.encode(out).expect("the buffer has the capacity");
        out.put_slice(&self.events.encoded);
    }
}

/// The codec of StreamEvents: encoded requests, decoded responses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StreamEventsCodec;

type ResponseCodec = ProstCodec<v1::StreamEventsResponse, v1::StreamEventsResponse>;

impl Codec for StreamEventsCodec {
    type Encode = EncodedRequest;
    type Decode = v1::StreamEventsResponse;
    type Encoder = Self;
    type Decoder = <ResponseCodec as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ResponseCodec::default().decoder()
    }
}

impl Encoder for StreamEventsCodec {
    type Item = EncodedRequest;
    type Error = Status;

    fn encode(&mut self, request: EncodedRequest, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        request.encode(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoded_request_is_the_message() {
        let event = |name: &str| v1::Event { event_name: name.into(), ..Default::default() };
        let events = vec![event("a"), v1::Event::default(), event(&"b".repeat(300))];
        let mut buffer = EventsBuffer::default();
        events.iter().for_each(|event| buffer.push(event));
        assert_eq!(buffer.events(), 3);
        let encoded = buffer.take();
        assert_eq!((encoded.events(), buffer.events(), buffer.bytes()), (3, 0, 0));
        let message = v1::StreamEventsRequest {
            producer_id: "p".into(),
            sequence: 7,
            events,
            start_new_numbering: true,
            sent_to_another_server: true,
        };
        let other_fields = v1::StreamEventsRequest { events: Vec::new(), ..message.clone() };
        let bytes = [other_fields.encode_to_vec(), encoded.encoded.to_vec()].concat();
        assert_eq!(v1::StreamEventsRequest::decode(bytes.as_slice()).unwrap(), message);
    }
}
