//! Settings of Kafka as a source of events and as the journal. They exist in every build, so that one without Kafka can say so.

use clap::{Args, ValueEnum};

use super::ConfigConflict;
use crate::project::Project;

/// Which topics are consumed, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct KafkaConfig {
    /// Kafka brokers whose topics are consumed, comma-separated: host:9092. Empty for none
    #[arg(
        long,
        env = "KAFKA_BROKERS",
        value_name = "ADDRESSES",
        default_value = "",
        hide_default_value = true
    )]
    pub kafka_brokers: String,
    /// Topics with events, comma-separated
    #[arg(long, env = "KAFKA_TOPICS", value_name = "NAMES", default_value = "", hide_default_value = true)]
    pub kafka_topics: String,
    /// Consumer group. It decides which server consumes which partitions, and shows the lag
    #[arg(long, env = "KAFKA_GROUP", value_name = "NAME", default_value = "millrace")]
    pub kafka_group: String,
    /// Where events that the server receives are kept until they are in ClickHouse: disk for the data folder, kafka for
    /// KAFKA_JOURNAL_TOPIC, so that a server that is lost with its disk loses none
    #[arg(long, env = "MILLRACE_JOURNAL", value_name = "WHERE", default_value = "disk")]
    pub journal: JournalKind,
    /// Topic of the events that the servers receive, with MILLRACE_JOURNAL=kafka. Created if it is missing
    #[arg(long, env = "KAFKA_JOURNAL_TOPIC", value_name = "NAME", default_value = "millrace-journal")]
    pub kafka_journal_topic: String,
    /// What a message is: json for an event or an array of events as of POST /events, event for the Protobuf message
    /// millrace.v1.Event
    #[arg(long, env = "KAFKA_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub kafka_format: KafkaFormat,
    /// Project of the events. Empty for MILLRACE_PROJECT
    #[arg(long, env = "KAFKA_PROJECT", value_name = "NAME", default_value = "", hide_default_value = true)]
    pub kafka_project: String,
    /// Topic that defines the batches of the others: compacted, with one partition. Created if it is missing
    #[arg(long, env = "KAFKA_SEALS_TOPIC", value_name = "NAME", default_value = "millrace-seals")]
    pub kafka_seals_topic: String,
    /// How to connect to the brokers
    #[arg(
        long,
        env = "KAFKA_SECURITY_PROTOCOL",
        value_name = "PROTOCOL",
        default_value = "plaintext",
        ignore_case = true
    )]
    pub kafka_security_protocol: SecurityProtocol,
    /// How to log in at the brokers, with sasl_plaintext and sasl_ssl
    #[arg(
        long,
        env = "KAFKA_SASL_MECHANISM",
        value_name = "MECHANISM",
        default_value = "scram-sha-512",
        ignore_case = true
    )]
    pub kafka_sasl_mechanism: SaslMechanism,
    /// User at the brokers
    #[arg(
        long,
        env = "KAFKA_SASL_USERNAME",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub kafka_sasl_username: String,
    /// File with the password of that user, read again with each new connection of a partition
    #[arg(
        long,
        env = "KAFKA_SASL_PASSWORD_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub kafka_sasl_password_file: String,
    /// PEM file with the authorities of the brokers' certificates. Empty for those of the system
    #[arg(
        long,
        env = "KAFKA_SSL_CA_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub kafka_ssl_ca_file: String,
    /// PEM file with the certificate by which brokers know this server, and its chain. Empty for none
    #[arg(
        long,
        env = "KAFKA_SSL_CERTIFICATE_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub kafka_ssl_certificate_file: String,
    /// PEM file with the key of that certificate
    #[arg(
        long,
        env = "KAFKA_SSL_KEY_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub kafka_ssl_key_file: String,
}

/// Where received events are kept until they are in ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JournalKind {
    /// In the data folder
    Disk,
    /// In a topic of Kafka
    Kafka,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KafkaFormat {
    /// An event or an array of events, as of POST /events
    Json,
    /// The Protobuf message millrace.v1.Event
    Event,
    /// The accepted events of a request: a message of the journal
    #[value(skip)]
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "nothing is consumed"))]
    Journal,
}

/// How to connect to brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum SecurityProtocol {
    /// Without encryption and login
    Plaintext,
    /// TLS
    Ssl,
    /// Login without encryption
    SaslPlaintext,
    /// TLS and login
    SaslSsl,
}

/// How to log in at brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SaslMechanism {
    /// The password itself
    Plain,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

impl SecurityProtocol {
    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl KafkaConfig {
    /// Whether topics are consumed.
    pub(crate) fn is_enabled(&self) -> bool {
        !self.kafka_brokers.trim().is_empty()
    }

    /// The topic of the journal; `None` if that is on disk.
    pub(crate) fn journal_topic(&self) -> Option<&str> {
        (self.journal == JournalKind::Kafka).then_some(self.kafka_journal_topic.as_str())
    }

    /// The topics that are consumed, each once: that of the journal too.
    pub(crate) fn topics(&self) -> Vec<&str> {
        let mut topics = self.event_topics();
        topics.extend(self.journal_topic());
        topics
    }

    /// The topics of others, each once.
    fn event_topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> =
            self.kafka_topics.split(',').map(str::trim).filter(|topic| !topic.is_empty()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The project of the events, which is `default` if the setting is empty.
    pub(crate) fn project(&self, default: &Project) -> Result<Project, ConfigConflict> {
        match self.kafka_project.trim() {
            "" => Ok(default.clone()),
            name => name.parse().map_err(|_| ConfigConflict::KafkaProject { name: name.to_owned() }),
        }
    }

    /// Checks the relations between the settings.
    pub(super) fn validate(&self) -> Result<(), ConfigConflict> {
        if !self.is_enabled() {
            if self.journal == JournalKind::Kafka {
                return Err(ConfigConflict::JournalWithoutBrokers);
            }
            return match self.event_topics().is_empty() {
                true => Ok(()),
                false => {
                    Err(ConfigConflict::Incomplete { present: "KAFKA_TOPICS", missing: "KAFKA_BROKERS" })
                }
            };
        }
        if !cfg!(feature = "kafka") {
            return Err(ConfigConflict::BuiltWithoutKafka);
        }
        if self.topics().is_empty() {
            return Err(ConfigConflict::Incomplete { present: "KAFKA_BROKERS", missing: "KAFKA_TOPICS" });
        }
        if self.topics().contains(&self.kafka_seals_topic.as_str()) {
            return Err(ConfigConflict::SealsAreEvents { topic: self.kafka_seals_topic.clone() });
        }
        if let Some(topic) = self.journal_topic().filter(|topic| self.event_topics().contains(topic)) {
            return Err(ConfigConflict::JournalIsEvents { topic: topic.to_owned() });
        }
        self.incomplete_login()
            .or_else(|| self.incomplete_tls())
            .map_or(Ok(()), |(present, missing)| Err(ConfigConflict::Incomplete { present, missing }))
    }

    /// A setting of the login without the one that it needs.
    fn incomplete_login(&self) -> Option<(&'static str, &'static str)> {
        let user = (!self.kafka_sasl_username.is_empty(), !self.kafka_sasl_password_file.is_empty());
        match (self.kafka_security_protocol.has_login(), user) {
            (true, (false, _)) => Some(("KAFKA_SECURITY_PROTOCOL with SASL", "KAFKA_SASL_USERNAME")),
            (true, (true, false)) => Some(("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE")),
            (false, (true, _)) => Some(("KAFKA_SASL_USERNAME", "KAFKA_SECURITY_PROTOCOL with SASL")),
            (false, (false, true)) => Some(("KAFKA_SASL_PASSWORD_FILE", "KAFKA_SASL_USERNAME")),
            (true, (true, true)) | (false, (false, false)) => None,
        }
    }

    /// A setting of TLS without the one that it needs: otherwise the connection would be without it.
    fn incomplete_tls(&self) -> Option<(&'static str, &'static str)> {
        let files = [
            ("KAFKA_SSL_CA_FILE", &self.kafka_ssl_ca_file),
            ("KAFKA_SSL_CERTIFICATE_FILE", &self.kafka_ssl_certificate_file),
            ("KAFKA_SSL_KEY_FILE", &self.kafka_ssl_key_file),
        ];
        let present = files.map(|(name, file)| (!file.is_empty()).then_some(name));
        match present {
            [_, Some(certificate), None] => Some((certificate, "KAFKA_SSL_KEY_FILE")),
            [_, None, Some(key)] => Some((key, "KAFKA_SSL_CERTIFICATE_FILE")),
            _ if self.kafka_security_protocol.has_tls() => None,
            _ => present.into_iter().flatten().next().map(|file| (file, "KAFKA_SECURITY_PROTOCOL with SSL")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        kafka: KafkaConfig,
    }

    fn validated(args: &[&str]) -> Result<KafkaConfig, String> {
        let command_line = ["millrace"].iter().chain(args);
        let config = Cli::try_parse_from(command_line).map_err(|error| error.to_string())?.kafka;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_build_without_kafka_does_not_start_with_brokers() {
        let result = validated(&["--kafka-brokers", "localhost:9092", "--kafka-topics", "b, a,,b"]);
        match cfg!(feature = "kafka") {
            true => assert_eq!(result.unwrap().topics(), ["a", "b"]),
            false => assert!(result.unwrap_err().contains("built without Kafka")),
        }
        assert!(validated(&[]).is_ok());
        assert!(validated(&["--kafka-topics", "a"]).unwrap_err().contains("KAFKA_BROKERS"));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn the_topic_of_the_journal_is_consumed_besides_the_others() {
        let brokers = ["--journal", "kafka", "--kafka-brokers", "localhost:9092"];
        assert_eq!(validated(&brokers).unwrap().topics(), ["millrace-journal"]);
        let more = [&brokers[..], &["--kafka-topics", "a"]].concat();
        assert_eq!(validated(&more).unwrap().topics(), ["a", "millrace-journal"]);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn settings_that_need_each_other_are_named() {
        let with = |more: &[&str]| {
            let brokers = ["--kafka-brokers", "localhost:9092"];
            validated(&[&brokers[..], more].concat()).unwrap_err()
        };
        assert!(with(&[]).contains("KAFKA_BROKERS is set without KAFKA_TOPICS"));
        assert!(with(&["--kafka-topics", "millrace-seals"]).contains("millrace-seals"));
        let journal = ["--journal", "kafka"];
        assert!(validated(&journal).unwrap_err().contains("KAFKA_BROKERS (--kafka-brokers) is empty"));
        assert!(
            with(&[&journal[..], &["--kafka-topics", "millrace-journal"]].concat())
                .contains("millrace-journal")
        );
        assert!(
            with(&[&journal[..], &["--kafka-journal-topic", "millrace-seals"]].concat())
                .contains("KAFKA_SEALS_TOPIC")
        );
        let topics = ["--kafka-topics", "a"];
        let login = ["--kafka-security-protocol", "SASL_SSL"];
        assert!(with(&[topics, login].concat()).contains("KAFKA_SASL_USERNAME"));
        let user = ["--kafka-sasl-username", "u"];
        assert!(with(&[topics, login, user].concat()).contains("KAFKA_SASL_PASSWORD_FILE"));
        assert!(with(&[topics, user].concat()).contains("KAFKA_SECURITY_PROTOCOL"));
        assert!(with(&[topics, ["--kafka-format", "avro"]].concat()).contains("json, event"));
        assert!(with(&[topics, ["--kafka-ssl-ca-file", "f"]].concat()).contains("KAFKA_SECURITY_PROTOCOL"));
        let tls = ["--kafka-security-protocol", "ssl"];
        let certificate = ["--kafka-ssl-certificate-file", "f"];
        assert!(with(&[topics, tls, certificate].concat()).contains("KAFKA_SSL_KEY_FILE"));
        let key = ["--kafka-ssl-key-file", "f"];
        assert!(with(&[topics, tls, key].concat()).contains("KAFKA_SSL_CERTIFICATE_FILE"));
        assert!(with(&[topics, certificate, key].concat()).contains("KAFKA_SECURITY_PROTOCOL"));
    }
}
