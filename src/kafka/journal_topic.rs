//! The topic of the journal: created if it is missing, else checked.

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::client::{Clients, REQUEST_TIMEOUT};
use super::topics;
use crate::blocking::run_blocking;

const PARTITIONS: i32 = 12;
/// Seven days. It must be longer than the longest outage of ClickHouse.
const RETENTION_MS: &str = "604800000";

/// What is known of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JournalTopic {
    /// `max.message.bytes`.
    pub(super) max_message_bytes: u64,
}

/// Creates the topic if it is missing, and checks that no acknowledged event gets lost in it. `largest_message` is in bytes.
///
/// # Errors
/// With the way out.
pub(super) async fn prepare(clients: &Clients, largest_message: u64) -> Result<JournalTopic, String> {
    let name = clients.settings.kafka_journal_topic.clone();
    let replicas = match replicas(clients).await? {
        Some(replicas) => replicas,
        None => {
            let largest = largest_message.to_string();
            let settings = [
                ("cleanup.policy", "delete"),
                ("retention.ms", RETENTION_MS),
                ("retention.bytes", "-1"),
                ("unclean.leader.election.enable", "false"),
                ("max.message.bytes", &largest),
            ];
            topics::create(clients, &name, "the journal", PARTITIONS, &settings).await?;
            topics::wait_until_known(&name, || async { replicas(clients).await.ok().flatten() }).await?
        }
    };
    let described = topics::describe(clients, &name).await?;
    let value = |key: &str| described.get(key).and_then(|entry| entry.value.as_deref());
    let (policy, bytes) = (value("cleanup.policy"), value("max.message.bytes"));
    let topic = check(&name, policy, bytes, largest_message)?;
    if replicas >= 3 && value("min.insync.replicas") == Some("1") {
        tracing::warn!(
            topic = name,
            "the topic of the journal has min.insync.replicas=1, so that events are acknowledged which one broker has alone: set it to 2"
        );
    }
    Ok(topic)
}

/// Checks the settings of the topic.
fn check(
    name: &str,
    cleanup_policy: Option<&str>,
    max_message_bytes: Option<&str>,
    largest_message: u64,
) -> Result<JournalTopic, String> {
    let policy = cleanup_policy.unwrap_or("?");
    if policy != "delete" {
        return Err(format!(
            "the topic {name} has cleanup.policy={policy}, so that Kafka would delete events of a producer when newer ones come: set \
             it to delete"
        ));
    }
    let max_message_bytes = max_message_bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    if max_message_bytes < largest_message {
        return Err(format!(
            "the topic {name} has max.message.bytes={max_message_bytes}, which is too small for a request of \
             MILLRACE_MAX_MESSAGE_BYTES: set it to {largest_message}"
        ));
    }
    Ok(JournalTopic { max_message_bytes })
}

/// The smallest number of replicas of a partition; `None` if there is no such topic.
async fn replicas(clients: &Clients) -> Result<Option<usize>, String> {
    let clients = clients.clone();
    let found = run_blocking(move || -> KafkaResult<Option<usize>> {
        let name = &clients.settings.kafka_journal_topic;
        let metadata = clients.requester()?.fetch_metadata(Some(name), REQUEST_TIMEOUT)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        let partitions = topic.into_iter().flat_map(|topic| topic.partitions());
        Ok(partitions.map(|partition| partition.replicas().len()).min())
    });
    found.await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_lose_events_are_refused() {
        let check = |policy, bytes| check("j", Some(policy), Some(bytes), 1_000);
        assert_eq!(check("delete", "1000"), Ok(JournalTopic { max_message_bytes: 1_000 }));
        assert!(check("compact", "1000").unwrap_err().contains("cleanup.policy=compact"));
        assert!(check("compact,delete", "1000").is_err());
        let error = check("delete", "999").unwrap_err();
        assert!(error.contains("max.message.bytes=999") && error.contains("set it to 1000"), "{error}");
    }
}
