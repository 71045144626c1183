//! Code that build.rs generates from proto/millrace/v1 and third_party/opentelemetry-proto.

pub(crate) mod codec;
pub(crate) mod json;

/// Messages, clients and servers of the package `millrace.v1`. The messages and clients are those of the crate
/// `millrace-client`. The server of IngestService does not decode its requests as a whole: see [`crate::ingest::wire`].
#[expect(clippy::allow_attributes, reason = "generated code")]
#[allow(unreachable_pub, reason = "generated code")]
pub(crate) mod v1 {
    pub(crate) use millrace_client::proto::v1::*;

    tonic::include_proto!("millrace.v1");
}

/// Messages and servers of OTLP. The server of LogsService does not decode its requests as a whole: see
/// [`crate::ingest::otlp::wire`].
#[expect(clippy::allow_attributes, reason = "generated code")]
#[allow(unreachable_pub, dead_code, clippy::enum_variant_names, reason = "generated code")]
pub(crate) mod otlp {
    pub(crate) mod collector {
        pub(crate) mod logs {
            pub(crate) mod v1 {
                tonic::include_proto!("opentelemetry.proto.collector.logs.v1");
            }
        }
    }
    pub(crate) mod common {
        pub(crate) mod v1 {
            tonic::include_proto!("opentelemetry.proto.common.v1");
        }
    }
    pub(crate) mod logs {
        pub(crate) mod v1 {
            tonic::include_proto!("opentelemetry.proto.logs.v1");
        }
    }
    pub(crate) mod resource {
        pub(crate) mod v1 {
            tonic::include_proto!("opentelemetry.proto.resource.v1");
        }
    }
}

/// The encoded `FileDescriptorSet` of the contracts and of OTLP's logs, served by gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Converts Unix milliseconds to a protobuf timestamp.
pub fn timestamp_from_millis(millis: i64) -> prost_types::Timestamp {
    let nanos =
        i32::try_from(millis.rem_euclid(1_000)).expect("rem_euclid(1_000) is below 1,000") * 1_000_000;
    prost_types::Timestamp { seconds: millis.div_euclid(1_000), nanos }
}
