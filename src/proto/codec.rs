//! How messages are read: as tonic-prost does, but a message that cannot be decoded is the sender's fault.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// What can be read from the bytes of a message: messages as a whole, and what looks at the bytes itself.
pub trait FromWire: Sized {
    /// Reads it, or says what is wrong with the bytes.
    fn from_wire(message: Bytes) -> Result<Self, Status>;
}

impl<M: Message + Default> FromWire for M {
    fn from_wire(message: Bytes) -> Result<Self, Status> {
        M::decode(message)
            .map_err(|error| Status::invalid_argument(format!("the message is unreadable: {error}")))
    }
}

/// tonic-prost answers undecodable bytes with INTERNAL, which tells a client to report a defect of the server. This
/// answers INVALID_ARGUMENT with the field at fault.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

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
pub struct MessageDecoder<U>(PhantomData<U>);

impl<U: FromWire> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::from_wire(message.copy_to_bytes(message.remaining())).map(Some)
    }
}
