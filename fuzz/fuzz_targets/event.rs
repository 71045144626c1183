//! Arbitrary bytes as a request and as a journal record: decoding and validation do not panic, what is accepted obeys the
//! rules, and its columns read back as they were written.
//!
//! `cargo +nightly fuzz run event -- -max_total_time=600 -rss_limit_mb=1024`

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use millrace::internals::event::{MAX_EVENT_NAME_BYTES, MAX_ID_BYTES, MAX_PROPERTIES_BYTES, ValidationRules, validate};
use millrace_client::proto::v1;
use millrace::internals::project::Project;
use millrace::internals::properties::Properties;
use millrace::internals::writer::columns::EventColumns;
use millrace::internals::writer::record::WriterRecord;
use prost::Message;

const NOW_MS: i64 = 1_800_000_000_000;
const RULES: ValidationRules =
    ValidationRules { retention: Duration::from_secs(90 * 86_400), max_clock_skew: Duration::from_secs(600) };

fuzz_target!(|bytes: &[u8]| {
    if let Some((kind, payload)) = bytes.split_first() {
        // A record of the journal passed its checksum, but may still be of another version.
        let _unreadable_is_fine = WriterRecord::decode(*kind, payload);
    }
    if let Ok(mut event) = v1::Event::decode(bytes) {
        check_event(&event);
        // Few random bytes are a time within the retention.
        event.timestamp = Some(millrace::internals::proto::timestamp_from_millis(NOW_MS));
        check_event(&event);
    }
});

fn check_event(event: &v1::Event) {
    let Ok(valid) = validate(event, &RULES, &Properties::built_in(), NOW_MS) else {
        return;
    };
    assert!((1..=MAX_EVENT_NAME_BYTES).contains(&valid.event_name().len()));
    assert!(valid.session_id().len() <= MAX_ID_BYTES);
    assert!(valid.user_id().is_none_or(|id| (1..=MAX_ID_BYTES).contains(&id.len())));
    assert!(valid.country_code().iter().all(u8::is_ascii_uppercase));
    assert!(valid.properties().len() <= MAX_PROPERTIES_BYTES);
    assert!(valid.properties().starts_with('{') && valid.properties().ends_with('}'));
    let mut columns = EventColumns::new(&Properties::built_in());
    columns.push(&valid, &Project::default(), NOW_MS);
    columns.push(&valid, &Project::default(), NOW_MS);
    let mut record = Vec::new();
    columns.encode_to(&mut record);
    assert_eq!(EventColumns::decode(&record), Ok(columns.clone()));
    assert_eq!(columns.without_rows(&[0]).rows(), 1);
    let body = columns.clone().into_native(uuid::Uuid::max()).concat();
    assert_eq!(EventColumns::from_native(&body).map(|columns| columns.rows()), Ok(2));
}
