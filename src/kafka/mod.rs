//! Kafka as a source of events, and as the journal; see docs/decisions/0014-kafka.md and 0016-kafka-journal.md.
//!
//! 1. `source`: joins the consumer group, and has a task for each partition.
//! 2. `partition`: claims a partition, and cuts, seals and inserts batches of it.
//! 3. `claim`: the ownership of a partition: fencing, and transactions that write seals.
//! 4. `record`: the bytes of the seals topic. `seals`: what they say about a partition.
//! 5. `topic_id`: the ids of topics, by which one that was created again is noticed. `topics`: those that the server creates.
//!
//! As the journal: `journal` writes what this server receives to a topic, which all servers consume like the others. `journal_topic`
//! creates and checks it, `message` has the bytes of its messages.
//!
//! `ingest/kafka.rs` decodes the messages. All but the `status` is part of the feature `kafka`.

#[cfg(feature = "kafka")]
pub(crate) mod claim;
#[cfg(feature = "kafka")]
mod client;
#[cfg(feature = "kafka")]
pub(crate) mod journal;
#[cfg(feature = "kafka")]
mod journal_topic;
#[cfg(feature = "kafka")]
pub(crate) mod message;
#[cfg(feature = "kafka")]
mod partition;
#[cfg(feature = "kafka")]
pub(crate) mod record;
#[cfg(feature = "kafka")]
pub(crate) mod seals;
#[cfg(feature = "kafka")]
pub(crate) mod source;
pub(crate) mod status;
#[cfg(feature = "kafka")]
#[cfg(test)]
mod tests;
#[cfg(feature = "kafka")]
pub(crate) mod topic_id;
#[cfg(feature = "kafka")]
mod topics;
