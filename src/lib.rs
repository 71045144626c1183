//! Millrace.
pub mod proto;
