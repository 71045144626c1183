//! Arbitrary bytes as the body of `POST /events`, as an array and as lines, of Segment's API and of OpenTelemetry's logs, also
//! compressed, and as a request of a stream: nothing panics, every event is accepted or rejected, and the columns take no
//! more memory than was reserved.
//!
//! `cargo +nightly fuzz run http_events -- -max_total_time=600 -rss_limit_mb=1024 -dict=fuzz/http.dict`

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use millrace::internals::edge::fuzz_decompress;
use millrace::internals::event::ValidationRules;
use millrace::internals::ingest::{
    FuzzedRequest, MAX_SEND_EVENTS, http::fuzz_post_events, otlp::fuzz_logs, segment::fuzz_segment,
    wire::EventsRequest,
};
use millrace::internals::proto::codec::FromWire;

const NOW_MS: i64 = 1_800_000_000_000;
const RULES: ValidationRules =
    ValidationRules { retention: Duration::from_secs(90 * 86_400), max_clock_skew: Duration::from_secs(600) };
/// Below the default of the setting, so that compressed bodies reach it.
const MAX_BODY_BYTES: usize = 256 << 10;

fuzz_target!(|bytes: &[u8]| {
    let Some((reader, body)) = bytes.split_first() else { return };
    match reader % 8 {
        0 => {
            check_posted(body, false);
            // Few random bytes are an array; most then are no event.
            check_posted(&[b"[", body, b"]"].concat(), false);
            let fields = br#"[{"event_name":"a","timestamp":"2027-01-15T08:00:00Z","properties":{"#;
            check_posted(&[fields, body, b"}}]"].concat(), false);
        }
        1 => check_posted(body, true),
        2 => {
            if let Ok(request) = EventsRequest::from_wire(body.to_vec().into()) {
                assert_eq!(request.events().count(), request.len());
            }
        }
        3 => check(fuzz_segment(body, None, &RULES, NOW_MS)),
        4 => {
            if let Some((call, body)) = body.split_first() {
                check(fuzz_segment(body, Some(*call), &RULES, NOW_MS));
            }
        }
        5 => check(fuzz_logs(body, true, &RULES, NOW_MS)),
        6 => check(fuzz_logs(body, false, &RULES, NOW_MS)),
        _ => {
            let Some((encoding, body)) = body.split_first() else { return };
            if let Some(decompressed) = fuzz_decompress(body, *encoding, MAX_BODY_BYTES) {
                assert!(decompressed.len() <= MAX_BODY_BYTES);
                check_posted(&decompressed, encoding & 0x80 != 0);
            }
        }
    }
});

fn check_posted(body: &[u8], are_lines: bool) {
    let request = fuzz_post_events(body, are_lines, &RULES, NOW_MS);
    assert!(request.is_none_or(|request| request.events <= MAX_SEND_EVENTS));
    check(request);
}

fn check(request: Option<FuzzedRequest>) {
    if let Some(request) = request {
        assert_eq!(request.accepted + request.rejected, request.events, "{request:?}");
    }
}
