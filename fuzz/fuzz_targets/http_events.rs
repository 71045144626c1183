//! Arbitrary bytes as the body of `POST /events`, and as a request of a stream: neither panics, and every element is
//! accepted or rejected.
//!
//! `cargo +nightly fuzz run http_events -- -max_total_time=600 -rss_limit_mb=1024`

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use millrace::internals::event::ValidationRules;
use millrace::internals::ingest::{MAX_SEND_EVENTS, http, wire::EventsRequest};
use millrace::internals::proto::codec::FromWire;

const NOW_MS: i64 = 1_800_000_000_000;
const RULES: ValidationRules =
    ValidationRules { retention: Duration::from_secs(90 * 86_400), max_clock_skew: Duration::from_secs(600) };

fuzz_target!(|bytes: &[u8]| {
    check_body(bytes);
    // Few random bytes are an array; most then are no event.
    check_body(&[b"[", bytes, b"]"].concat());
    let fields = [br#"[{"event_name":"a","timestamp":"2027-01-15T08:00:00Z","properties":{"#, bytes, b"}}]"].concat();
    check_body(&fields);
    if let Ok(request) = EventsRequest::from_wire(bytes.to_vec().into()) {
        assert_eq!(request.events().count(), request.len());
    }
});

fn check_body(body: &[u8]) {
    if let Some([elements, accepted, rejected]) = http::fuzz_post_events(body, &RULES, NOW_MS) {
        assert_eq!(accepted + rejected, elements);
        assert!(elements <= MAX_SEND_EVENTS);
    }
}
