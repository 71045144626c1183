//! Millrace.
pub mod event;
pub mod proto;
pub mod writer;
