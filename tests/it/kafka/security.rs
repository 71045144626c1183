//! Brokers with TLS, logins and access control: the rights of docs/kafka.md suffice, and health says why a server is not let in.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use millrace_client::proto::v1;
use tempfile::TempDir;
use v1::Status;

use super::broker::{KafkaCluster, PASSWORD, SecureAddresses, USER};
use super::source::{PARTITIONS, TOPIC, folder, produce, wait_for_events};
use crate::clients::python;
use crate::common::{TestServer, event, events_request};
use crate::tls::{Authority, Files};

/// Those of docs/kafka.md.
const RIGHTS: [&str; 5] = [
    "topic:literal:events:READ",
    "group:literal:millrace:READ",
    "topic:literal:millrace-seals:READ,WRITE,CREATE,DESCRIBE_CONFIGS",
    "topic:literal:millrace-journal:READ,WRITE,CREATE,DESCRIBE_CONFIGS",
    "transactional_id:prefixed:millrace-seals-:WRITE",
];

fn grant(kafka: &KafkaCluster, rights: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/kafka_acls.py");
    let output =
        Command::new(python()).arg(script).args([&kafka.addresses(), USER]).args(rights).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A cluster with a topic of events, and what its clients need.
struct Secured {
    kafka: KafkaCluster,
    addresses: SecureAddresses,
    files: Files,
    password: String,
    folder: Arc<TempDir>,
}

impl Secured {
    async fn start() -> Self {
        let files = Files::new(&Authority::new());
        let (kafka, addresses) = KafkaCluster::start_secured(&files);
        kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
        let folder = folder();
        let password = text(&folder.path().join("password"));
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        Self { kafka, addresses, files, password, folder }
    }

    /// Starts a server that consumes the topic and has its journal in Kafka.
    fn server(&self, settings: &[(&str, &str)]) -> TestServer {
        let authority = text(&self.files.authority());
        let common = [
            ("KAFKA_TOPICS", TOPIC),
            ("MILLRACE_JOURNAL", "kafka"),
            ("KAFKA_SSL_CA_FILE", &authority),
            ("MILLRACE_LOG", "info,millrace::kafka=debug"),
        ];
        TestServer::start_on(Arc::clone(&self.folder), &[&common, settings].concat())
    }

    /// Settings of a login with a password.
    fn login<'a>(&'a self, mechanism: &'a str) -> [(&'a str, &'a str); 5] {
        [
            ("KAFKA_BROKERS", self.addresses.sasl_ssl.as_str()),
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", mechanism),
            ("KAFKA_SASL_USERNAME", USER),
            ("KAFKA_SASL_PASSWORD_FILE", &self.password),
        ]
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_suffice_with_each_kind_of_login() {
    let secured = Secured::start().await;
    grant(&secured.kafka, &RIGHTS);
    let (certificate, key) = (text(&secured.files.certificate()), text(&secured.files.key()));
    let by_certificate = [
        ("KAFKA_BROKERS", secured.addresses.ssl.as_str()),
        ("KAFKA_SECURITY_PROTOCOL", "ssl"),
        ("KAFKA_SSL_CERTIFICATE_FILE", &certificate),
        ("KAFKA_SSL_KEY_FILE", &key),
    ];
    let (scram, plain) = (secured.login("scram-sha-512"), secured.login("plain"));
    let mut stored = 0;
    for settings in [&scram[..], &plain, &by_certificate] {
        produce(&secured.kafka.client_config(), stored..stored + 60);
        let server = secured.server(settings);
        server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
        let events = (0..40).map(|_| event("page_view")).collect();
        server.ingest().await.send_events(events_request(events)).await.unwrap();
        stored += 100;
        wait_for_events(&server, stored).await;
        assert_eq!(server.sql_numbers("SELECT count() FROM events").await, [stored]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_why_a_server_is_not_let_in() {
    let secured = Secured::start().await;
    let login = secured.login("scram-sha-512");
    let wrong_password = text(&secured.folder.path().join("wrong"));
    std::fs::write(&wrong_password, "wrong").unwrap();
    let other = Files::new(&Authority::new());
    let other_authority = text(&other.authority());
    for (change, reason) in [
        (("KAFKA_SASL_PASSWORD_FILE", wrong_password.as_str()), "Authentication failed"),
        (("KAFKA_SASL_PASSWORD_FILE", "/nowhere"), "KAFKA_SASL_PASSWORD_FILE: /nowhere: No such file"),
        (("KAFKA_SSL_CA_FILE", &other_authority), "certificate verify failed"),
        // Nothing was granted.
        (("KAFKA_GROUP", "millrace"), "authorization failed"),
    ] {
        let server = secured.server(&[&login[..], &[change]].concat());
        // Neither the journal nor the source gets in; each says so when it has tried.
        let is_told = |health: &v1::Health| {
            let source = health.kafka.as_ref().is_some_and(|kafka| kafka.error.contains(reason));
            source && health.status() == Status::Down && health.summary.contains(reason)
        };
        server.wait_for_health(reason, is_told).await;
    }
}
