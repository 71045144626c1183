//! Topics that the server itself needs: created if they are missing, else their settings are checked.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use super::client::{Clients, REQUEST_TIMEOUT};

/// How long a new topic may take to be known.
const CREATION_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT))
}

/// Creates a topic with the brokers' replication factor, unless another server does at the same time. `what` it is, for the log.
pub(super) async fn create(
    clients: &Clients,
    name: &str,
    what: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), String> {
    let admin = clients.admin().map_err(|error| error.to_string())?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let created = admin.create_topics([&topic], &options()).await.map_err(|error| error.to_string())?;
    match created.into_iter().next() {
        Some(Ok(_)) => tracing::info!(topic = name, "created the topic of {what}"),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => {}
        Some(Err((_, error))) => return Err(format!("{name} cannot be created: {error}")),
    }
    Ok(())
}

/// Waits until a new topic is known: until `look` finds it.
pub(super) async fn wait_until_known<T, F>(name: &str, look: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    while started.elapsed() < CREATION_TIMEOUT {
        tokio::time::sleep(POLL_INTERVAL).await;
        if let Some(found) = look().await {
            return Ok(found);
        }
    }
    Err(format!("the new topic {name} is not there yet"))
}

/// The settings of a topic.
pub(super) async fn describe(clients: &Clients, name: &str) -> Result<ConfigResource, String> {
    let admin = clients.admin().map_err(|error| error.to_string())?;
    let resource = ResourceSpecifier::Topic(name);
    let described =
        admin.describe_configs([&resource], &options()).await.map_err(|error| error.to_string())?;
    let described = described.into_iter().next().ok_or("no response")?;
    described.map_err(|error| format!("{name} cannot be described: {error}"))
}
