//! Kafka as a source of events; see docs/decisions/0014-kafka.md.
//!
//! 1. [`record`]: the bytes of the seals topic.
//! 2. [`seals`]: what they say about a partition.
//! 3. [`topic_id`]: the ids of topics, by which one that was created again is noticed.

pub(crate) mod record;
pub(crate) mod seals;
#[cfg(test)]
mod tests;
pub(crate) mod topic_id;
