#![doc = include_str!("../README.md")]

mod error;
mod producer;
pub mod proto;
mod queue;
mod request;
mod send_window;
mod task;

pub use error::ClientError;
pub use producer::{Producer, ProducerConfig};
pub use send_window::Totals;

#[cfg(test)]
mod tests;
