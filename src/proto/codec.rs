//! tonic's codec for protobuf, except that an undecodable message is an error of the client.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use prost::Message;
use tokio_stream::Stream as _;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Status, Streaming};
use tonic_prost::ProstEncoder;

/// A type that is decoded from the bytes of a message: every prost message, and types that defer decoding.
pub trait FromWire: Sized {
    /// Decodes the message.
    ///
    /// # Errors
    /// INVALID_ARGUMENT if the bytes are not such a message.
    fn from_wire(message: Bytes) -> Result<Self, Status>;
}

impl<M: Message + Default> FromWire for M {
    fn from_wire(message: Bytes) -> Result<Self, Status> {
        M::decode(message)
            .map_err(|error| Status::invalid_argument(format!("the message cannot be decoded: {error}")))
    }
}

/// Like tonic-prost's codec, which fails with INTERNAL for undecodable bytes. That code means a bug in the server; this
/// codec fails with INVALID_ARGUMENT and names the field.
#[derive(Debug)]
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: FromWire + Send + 'static> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

/// See [`Codec`].
#[derive(Debug)]
pub(crate) struct MessageDecoder<U>(PhantomData<U>);

impl<U: FromWire> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::from_wire(message.copy_to_bytes(message.remaining())).map(Some)
    }
}

/// For the fuzzer: reads the frames of a gRPC body that arrives in chunks, and calls `f` with each message. Returns whether
/// the body ended without an error.
#[doc(hidden)]
pub fn fuzz_frames<U: FromWire + Send + 'static>(
    chunks: Vec<Bytes>,
    encoding: tonic::codec::CompressionEncoding,
    max_message_bytes: usize,
    mut f: impl FnMut(U),
) -> bool {
    let frames = chunks.into_iter().map(|chunk| Ok::<_, Status>(http_body::Frame::data(chunk)));
    let body = http_body_util::StreamBody::new(tokio_stream::iter(frames));
    let decoder = MessageDecoder(PhantomData);
    let mut messages = Streaming::new_request(decoder, body, Some(encoding), Some(max_message_bytes));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut messages).poll_next(&mut context) {
            Poll::Ready(Some(Ok(message))) => f(message),
            Poll::Ready(Some(Err(_))) => return false,
            Poll::Ready(None) => return true,
            // The chunks are there, but tokio's stream yields now and then.
            Poll::Pending => {}
        }
    }
}
