//! What health and metrics say about Kafka.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The state of the source and of its partitions. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct KafkaStatus(Arc<Mutex<State>>);

/// The state at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Why nothing is consumed.
    pub(crate) error: Option<String>,
    /// By topic and number.
    pub(crate) partitions: BTreeMap<(String, i32), PartitionStatus>,
    /// Messages of landed batches, since the start of the server.
    pub(crate) landed_messages: u64,
    /// Messages that Kafka had deleted before their batch landed.
    pub(crate) lost_messages: u64,
}

/// A partition that this server consumes, or should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionStatus {
    /// The offset after the last one that has landed; `None` until it is known.
    pub(crate) landed: Option<i64>,
    /// The end of the log.
    pub(crate) end: Option<i64>,
    /// The timestamp of the oldest message in memory, in milliseconds since 1970 UTC.
    pub(crate) oldest_ms: Option<i64>,
    /// Why it is not consumed until somebody does something.
    pub(crate) stopped: Option<String>,
}

impl PartitionStatus {
    /// Messages that have not landed. Offsets without a message count too.
    pub(crate) fn lag(&self) -> Option<u64> {
        let lag = self.end?.saturating_sub(self.landed?);
        Some(lag.try_into().unwrap_or(0))
    }
}

#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "nothing is consumed"))]
impl KafkaStatus {
    /// A copy of the state.
    pub(crate) fn current(&self) -> State {
        self.lock().clone()
    }

    /// The first reason that something is not consumed.
    pub(crate) fn problem(&self) -> Option<String> {
        let state = self.lock();
        let stopped = state.partitions.iter().find_map(|((topic, partition), status)| {
            Some(format!("partition {partition} of {topic} is not consumed: {}", status.stopped.as_ref()?))
        });
        state.error.clone().or(stopped)
    }

    pub(super) fn set_error(&self, error: Option<String>) {
        self.lock().error = error;
    }

    pub(super) fn update(&self, topic: &str, partition: i32, update: impl FnOnce(&mut PartitionStatus)) {
        update(self.lock().partitions.entry((topic.to_owned(), partition)).or_default());
    }

    /// Like [`Self::update`], unless the partition was taken away.
    pub(super) fn update_known(
        &self,
        topic: &str,
        partition: i32,
        change: impl FnOnce(&mut PartitionStatus),
    ) {
        if let Some(status) = self.lock().partitions.get_mut(&(topic.to_owned(), partition)) {
            change(status);
        }
    }

    pub(super) fn remove(&self, topic: &str, partition: i32) {
        self.lock().partitions.remove(&(topic.to_owned(), partition));
    }

    pub(super) fn count_landed(&self, messages: u64) {
        self.lock().landed_messages += messages;
    }

    pub(super) fn count_lost(&self, messages: u64) {
        self.lock().lost_messages += messages;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
