//! Arbitrary text as the file of an insight, a dashboard or an annotation: reading it does not panic, and what is valid is read back
//! as it was from the file that is written for it.
//!
//! `cargo +nightly fuzz run insights -- -max_total_time=600 -rss_limit_mb=1024`

#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace::internals::insights::fuzz_file;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzz_file(text);
    }
});
