//! librdkafka's simulated brokers, which can be told to fail. They need no Java, and start within milliseconds.

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::Producer;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{commit, committed_values, produce_events, producer, transactional_producer};

#[test]
fn the_client_was_built_with_encryption_login_and_compression() {
    let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
    for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "gzip", "snappy", "lz4", "zstd"] {
        assert!(features.split(',').any(|built| built == feature), "{feature} is not in {features}");
    }
}

fn mock() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    (cluster, config)
}

#[test]
fn simulated_brokers_store_messages_and_transactions() {
    let (cluster, config) = mock();
    cluster.create_topic("events", 1, 1).unwrap();
    produce_events(&producer(&config), "events", 0, 1_000);
    assert_eq!(committed_values(&config, "events").len(), 1_000);
}

#[test]
fn a_client_can_bring_its_own_simulated_broker() {
    let producer = producer(ClientConfig::new().set("test.mock.num.brokers", "1"));
    let cluster = producer.client().mock_cluster().unwrap();
    cluster.create_topic("events", 1, 1).unwrap();
    produce_events(&producer, "events", 0, 10);
}

#[test]
fn a_failed_commit_is_reported() {
    let (cluster, config) = mock();
    cluster.create_topic("seals", 1, 1).unwrap();
    let producer = transactional_producer(&config, "millrace-events-0");
    commit(&producer, "seals", "first").unwrap();
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    assert!(commit(&producer, "seals", "second").is_err());
    assert!(producer.client().fatal_error().is_some());
}
