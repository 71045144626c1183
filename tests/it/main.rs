//! Whole-program tests: the real binary, the real engine, real clients.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod backpressure;
mod clients;
mod common;
mod contention;
mod correctness;
mod crash;
mod dead_letters;
mod deploy;
mod disk_full;
mod edge;
mod engine;
mod engine_isolation;
mod engine_supervision;
mod flood;
mod frames;
mod generate;
mod h2;
mod http;
mod ingest;
mod key_limits;
mod keys;
mod lifecycle;
mod metrics;
mod openapi;
mod operations;
mod otlp;
mod outage;
mod page;
mod panel_files;
mod panel_limits;
mod panel_sandbox;
mod panels;
mod power_cut;

mod producers;
mod projects;
mod properties;
mod reconcile;
mod rollup_assertions;
mod rollups;
mod segment;
mod sessions;
mod tls;
mod upgrade;
mod watch_panels;
