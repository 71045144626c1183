//! Kafka as a source of events.
//!
//! 1. [`topic_id`]: the ids of topics, by which one that was created again is noticed.

pub(crate) mod topic_id;
