//! Arbitrary bytes as the body of a gRPC call, in chunks, plain and compressed, read as requests of events and of logs: nothing
//! panics, and no message is larger than the limit.
//!
//! `cargo +nightly fuzz run grpc_frames -- -max_total_time=600 -rss_limit_mb=1024`

#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace::internals::ingest::{otlp::LogsRequest, wire::EventsRequest};
use millrace::internals::proto::codec::fuzz_frames;
use tonic::codec::CompressionEncoding;

const MAX_MESSAGE_BYTES: usize = 256 << 10;

fuzz_target!(|input: (bool, bool, Vec<Vec<u8>>)| {
    let (is_zstd, are_logs, chunks) = input;
    let chunks = chunks.into_iter().map(Into::into).collect();
    let encoding = if is_zstd { CompressionEncoding::Zstd } else { CompressionEncoding::Gzip };
    if are_logs {
        fuzz_frames(chunks, encoding, MAX_MESSAGE_BYTES, |_: LogsRequest| {});
        return;
    }
    fuzz_frames(chunks, encoding, MAX_MESSAGE_BYTES, |request: EventsRequest| {
        assert!(request.message_bytes() <= MAX_MESSAGE_BYTES);
        assert_eq!(request.events().count(), request.len());
    });
});
