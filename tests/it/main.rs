//! Whole-program tests: the real binary, the real engine, real clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod backpressure;
mod clients;
mod common;
mod contention;
mod crash;
mod disk_full;
mod engine;
mod engine_isolation;
mod engine_supervision;
mod http;
mod ingest;
mod lifecycle;
mod operations;
mod outage;
mod panel_files;
mod panels;
mod rollups;
mod watch;
