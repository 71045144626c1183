//! Code that build.rs generates from proto/millrace/v1.

pub mod codec;
pub mod json;

/// Messages and services of the package `millrace.v1`.
#[expect(clippy::allow_attributes, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("millrace.v1");
}

/// The server of IngestService. Its requests are decoded event by event: see [`crate::ingest::wire`].
#[expect(clippy::allow_attributes, reason = "generated code")]
pub mod ingest_server {
    include!(concat!(env!("OUT_DIR"), "/ingest/millrace.v1.rs"));
}

/// The encoded `FileDescriptorSet` of the contracts, served by gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Converts Unix milliseconds to a protobuf timestamp.
pub fn timestamp_from_millis(millis: i64) -> prost_types::Timestamp {
    let nanos =
        i32::try_from(millis.rem_euclid(1_000)).expect("rem_euclid(1_000) is below 1,000") * 1_000_000;
    prost_types::Timestamp { seconds: millis.div_euclid(1_000), nanos }
}
