//! The events themselves: [`search`] among the stored ones, [`tail`] of those that arrive, and the rejected ones
//! ([`crate::ingest::rejected`]). `grpc` and `http` have the same three calls.
//!
//! A tail gets its events from the writer's [feed](crate::writer::feed), right after they are synced in the journal. One task
//! compares them with the filters of all tails.

mod error;
pub(crate) mod grpc;
pub(crate) mod http;
mod page_token;
mod search;
mod tail;

pub(crate) use error::EventsError;
pub(crate) use search::Search;
pub(crate) use tail::Tails;
