//! The contracts of proto/millrace/v1, as generated at build time.

/// Messages and services of the package `millrace.v1`.
#[expect(clippy::allow_attributes, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("millrace.v1");
}

/// The encoded `FileDescriptorSet` of the contracts, served by gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
