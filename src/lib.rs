//! Millrace.
pub mod config;
pub mod event;
pub mod proto;
pub mod writer;
