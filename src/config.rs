//! Flags and their environment variables, parsed and validated once. Nothing else reads the environment.
//!
//! Each area has its own struct and receives only that. An invalid value stops the start with one line that names the
//! variable, the value and what is allowed: see [`explain_parse_error`].

pub(crate) mod kafka;

use std::collections::HashSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Args, ValueEnum};

use crate::clickhouse::RetentionDays;
use crate::clickhouse::replicas::Credentials;
use crate::project::Project;
use crate::properties::applied::{Declarations, PropertiesError};
use crate::writer::MAX_INSERTS_IN_FLIGHT;
use kafka::KafkaConfig;

/// The settings of `millrace serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeConfig {
    /// Address for gRPC, gRPC-Web and HTTP
    #[arg(long, env = "MILLRACE_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder of the journal, the dead letters and the embedded database
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Project of the events and panels of everyone without a key: a-z, 0-9, _ and -
    #[arg(long, env = "MILLRACE_PROJECT", value_name = "NAME", default_value = Project::DEFAULT)]
    pub project: Project,
    /// Without keys, listen on other addresses than loopback all the same: for a container whose port is published on loopback
    /// only
    #[arg(long, env = "MILLRACE_INSECURE_NO_KEYS", value_name = "true|false", default_value = "false",
          num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub insecure_no_keys: bool,
    /// Further address of GET /metrics, where nobody needs a key: for Prometheus. Empty for none
    #[arg(
        long,
        env = "MILLRACE_METRICS_LISTEN",
        value_name = "HOST:PORT",
        default_value = "",
        hide_default_value = true
    )]
    pub metrics_listen: OptionalAddress,
    /// Maximum size of a request message, in bytes
    #[arg(long, env = "MILLRACE_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value = "4194304",
          value_parser = |text: &str| parse_integer(text, 1_024..=8_388_608))]
    pub max_message_bytes: u64,
    /// How far an event's timestamp may be in the future, in milliseconds
    #[arg(long = "max-clock-skew-ms", env = "MILLRACE_MAX_CLOCK_SKEW_MS", value_name = "MS", default_value = "600000",
          value_parser = |text: &str| parse_millis(text, 0..=86_400_000))]
    pub max_clock_skew: Duration,
    /// Deadline of an orderly stop, in milliseconds. Anything left is inserted at the next start
    #[arg(long = "shutdown-grace-ms", env = "MILLRACE_SHUTDOWN_GRACE_MS", value_name = "MS", default_value = "10000",
          value_parser = |text: &str| parse_millis(text, 0..=600_000))]
    pub shutdown_grace: Duration,
    /// File that identifies the machine's boot. If it changed without a clean stop, ClickHouse is compared with the
    /// journal. For tests of power cuts
    #[arg(
        long,
        env = "MILLRACE_BOOT_ID_FILE",
        value_name = "FILE",
        default_value = "/proc/sys/kernel/random/boot_id"
    )]
    pub boot_id_file: PathBuf,
    /// Connections
    #[command(flatten)]
    pub edge: EdgeConfig,
    /// ClickHouse: the embedded engine or a server
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// The journal
    #[command(flatten)]
    pub journal: JournalSettings,
    /// The writer
    #[command(flatten)]
    pub writer: WriterConfig,
    /// Kafka
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// The panels
    #[command(flatten)]
    pub panels: PanelsConfig,
    /// The queries of Explore
    #[command(flatten)]
    pub explore: ExploreConfig,
    /// The log and traces
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// All of them as they were given.
    #[arg(skip)]
    pub settings: Vec<Setting>,
}

/// A setting as it was given, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The environment variable.
    pub name: String,
    /// `None` if it is secret.
    pub value: Option<String>,
    pub is_default: bool,
    pub description: String,
}

/// The settings of a command, in the order of their definition.
pub(crate) fn settings(command: &clap::Command, matches: &clap::ArgMatches) -> Vec<Setting> {
    let setting = |arg: &clap::Arg| {
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let value: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        Some(Setting {
            name: arg.get_env()?.to_string_lossy().into_owned(),
            value: (!arg.is_hide_env_values_set()).then(|| without_credentials(&value.join(" "))),
            is_default: matches.value_source(arg.get_id().as_str()) == Some(ValueSource::DefaultValue),
            description: arg.get_help().map_or_else(String::new, ToString::to_string),
        })
    };
    command.get_arguments().filter_map(setting).collect()
}

/// An address without user and password.
pub(crate) fn without_credentials(value: &str) -> String {
    if value.contains(',') {
        return value.split(',').map(|one| without_credentials(one.trim())).collect::<Vec<_>>().join(",");
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => value.to_owned(),
    }
}

impl ServeConfig {
    /// Checks the relations between settings.
    pub(crate) fn validate(&self) -> Result<(), ConfigConflict> {
        // Snapshots repeat the ids in the journal. A larger share would fill the journal with ids.
        let (ids, journal_bytes) = (self.writer.recent_event_ids, self.journal.journal_max_bytes);
        let bytes_per_id = EVENT_ID_BYTES * MIN_JOURNAL_TO_IDS_RATIO;
        if ids * bytes_per_id > journal_bytes {
            return Err(ConfigConflict::TooManyEventIds {
                ids,
                needed_bytes: ids * bytes_per_id,
                journal_bytes,
                max_ids: journal_bytes / bytes_per_id,
            });
        }
        let (message_bytes, buffer_bytes) = (self.max_message_bytes, self.writer.max_buffer_bytes);
        if buffer_bytes < message_bytes * MIN_BUFFER_TO_MESSAGE_RATIO {
            return Err(ConfigConflict::BufferTooSmall {
                buffer_bytes,
                message_bytes,
                needed_bytes: message_bytes * MIN_BUFFER_TO_MESSAGE_RATIO,
                max_message_bytes: buffer_bytes / MIN_BUFFER_TO_MESSAGE_RATIO,
            });
        }
        self.edge.tls.files()?;
        self.kafka.validate()?;
        self.kafka.project(&self.project)?;
        self.clickhouse.cluster()?;
        self.clickhouse.retention().map(|_| ())
    }
}

/// Two settings that are valid on their own and cannot be combined. The message is one line that names both and the way
/// out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigConflict {
    /// Snapshots of the event ids would fill the journal.
    #[error(
        "MILLRACE_RECENT_EVENT_IDS (--recent-event-ids): {ids} ids need a journal of at least {needed_bytes} bytes, but \
         MILLRACE_JOURNAL_MAX_BYTES (--journal-max-bytes) is {journal_bytes}: raise it, or remember at most {max_ids} ids"
    )]
    TooManyEventIds {
        /// MILLRACE_RECENT_EVENT_IDS.
        ids: u64,
        /// Minimum of MILLRACE_JOURNAL_MAX_BYTES for so many ids.
        needed_bytes: u64,
        /// MILLRACE_JOURNAL_MAX_BYTES.
        journal_bytes: u64,
        /// Maximum of MILLRACE_RECENT_EVENT_IDS for that journal.
        max_ids: u64,
    },
    /// One message could need more memory than the whole buffer.
    #[error(
        "MILLRACE_MAX_BUFFER_BYTES (--max-buffer-bytes): {buffer_bytes} is less than {MIN_BUFFER_TO_MESSAGE_RATIO} times \
         MILLRACE_MAX_MESSAGE_BYTES ({message_bytes}), so a single message could exceed it: raise it to {needed_bytes}, or \
         lower MILLRACE_MAX_MESSAGE_BYTES to {max_message_bytes}"
    )]
    BufferTooSmall {
        /// MILLRACE_MAX_BUFFER_BYTES.
        buffer_bytes: u64,
        /// MILLRACE_MAX_MESSAGE_BYTES.
        message_bytes: u64,
        /// Minimum of MILLRACE_MAX_BUFFER_BYTES for such messages.
        needed_bytes: u64,
        /// Maximum of MILLRACE_MAX_MESSAGE_BYTES for that buffer.
        max_message_bytes: u64,
    },
    /// Nothing tells how to read all shards.
    #[error(
        "CLICKHOUSE_URL (--clickhouse-url) has {shards} shards, separated by semicolons, but CLICKHOUSE_CLUSTER \
         (--clickhouse-cluster) is empty: name the cluster in ClickHouse's configuration that they form, or separate the addresses of \
         replicas by commas"
    )]
    ShardsWithoutCluster {
        /// Number of shards.
        shards: usize,
    },
    /// A cluster cannot be reached by its name alone.
    #[error(
        "CLICKHOUSE_CLUSTER (--clickhouse-cluster) is set without CLICKHOUSE_URL (--clickhouse-url): name the HTTP addresses of each \
         shard, in the cluster's order"
    )]
    ClusterWithoutUrl,
    /// TLS needs a certificate and its key, Kafka needs topics.
    #[error("{present} is set without {missing}: set it too, or neither")]
    Incomplete {
        /// A setting.
        present: &'static str,
        /// What it needs.
        missing: &'static str,
    },
    /// Two ways to say the same.
    #[error("{first} and {second} are both set: use one of them")]
    Both {
        /// A setting.
        first: &'static str,
        /// Another one.
        second: &'static str,
    },
    /// The Kafka client is a feature of the build.
    #[error(
        "KAFKA_BROKERS (--kafka-brokers) is set, but this program was built without Kafka: use the image, build it with \
         `make build FEATURES=kafka`, or unset KAFKA_BROKERS"
    )]
    BuiltWithoutKafka,
    /// The journal has nowhere to be.
    #[error(
        "MILLRACE_JOURNAL (--journal) is kafka, but KAFKA_BROKERS (--kafka-brokers) is empty: name the brokers, or use \
         MILLRACE_JOURNAL=disk"
    )]
    JournalWithoutBrokers,
    /// The messages of the journal are no events as of KAFKA_FORMAT.
    #[error(
        "KAFKA_TOPICS (--kafka-topics): {topic} is KAFKA_JOURNAL_TOPIC, which is consumed anyway: name only the topics of others"
    )]
    JournalIsEvents {
        /// The topic.
        topic: String,
    },
    /// The name is not one of a project.
    #[error("KAFKA_PROJECT (--kafka-project): {name:?} is not a project: 1 to 64 of a-z, 0-9, _ and -")]
    KafkaProject {
        /// As given.
        name: String,
    },
    /// The batches would be events.
    #[error(
        "{topic} is KAFKA_SEALS_TOPIC, which has no events: name another one in KAFKA_TOPICS or KAFKA_JOURNAL_TOPIC"
    )]
    SealsAreEvents {
        /// The topic.
        topic: String,
    },
    /// Events would be stored that no panel shows.
    #[error(
        "ROLLUP_RETENTION_DAYS (--rollup-retention-days): {rollup} is less than RETENTION_DAYS ({events}): raise it to at \
         least {events}, or lower RETENTION_DAYS"
    )]
    RollupExpiresFirst {
        /// RETENTION_DAYS.
        events: u64,
        /// ROLLUP_RETENTION_DAYS.
        rollup: u64,
    },
}

/// Size of an event id in a journal snapshot, and how many times all ids must fit into the journal.
const EVENT_ID_BYTES: u64 = 16;
const MIN_JOURNAL_TO_IDS_RATIO: u64 = 16;

/// An event encoded in 13 bytes takes 50 bytes as columns, so the buffer must be at least four times the largest message.
const MIN_BUFFER_TO_MESSAGE_RATIO: u64 = 4;

/// Limits on connections, and the hosts and origins that browsers may use.
#[derive(Args, Clone, Debug)]
pub(crate) struct EdgeConfig {
    /// Maximum number of open connections. Further ones are closed
    #[arg(long, env = "MILLRACE_MAX_CONNECTIONS", value_name = "CONNECTIONS", default_value = "2048",
          value_parser = |text: &str| parse_integer(text, 1..=1_000_000))]
    pub max_connections: u64,
    /// Maximum number of open connections from one IP address. A proxy counts as one
    #[arg(long, env = "MILLRACE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "CONNECTIONS", default_value = "512",
          value_parser = |text: &str| parse_integer(text, 1..=1_000_000))]
    pub max_connections_per_address: u64,
    /// Age at which a connection is asked to close, in milliseconds, +/- 10 %; 0 for never. Streams end with UNAVAILABLE
    /// once everything they sent is acknowledged; uploads may finish
    #[arg(long = "max-connection-age-ms", env = "MILLRACE_MAX_CONNECTION_AGE_MS", value_name = "MS",
          default_value = "3600000", value_parser = |text: &str| parse_millis(text, 0..=604_800_000))]
    pub max_connection_age: Duration,
    /// DNS names by which browsers and HTTP clients may reach the server, comma-separated; * for any. IP addresses and
    /// names without a dot are always allowed
    #[arg(
        long,
        env = "MILLRACE_ALLOWED_HOSTS",
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    pub allowed_hosts: String,
    /// Other origins whose pages may use the server, comma-separated (`https://example.com`). Needed behind a proxy that
    /// changes the Host header
    #[arg(
        long,
        env = "MILLRACE_ALLOWED_ORIGINS",
        value_name = "ORIGINS",
        default_value = "",
        hide_default_value = true
    )]
    pub allowed_origins: String,
    /// Path below which a proxy publishes the server, such as `/millrace`. Everything is served there and at the root
    #[arg(long, env = "MILLRACE_BASE_PATH", value_name = "PATH", default_value = "/")]
    pub base_path: BasePath,
    /// TLS
    #[command(flatten)]
    pub tls: TlsConfig,
    /// Header in which an authenticating proxy names the person, such as X-Forwarded-User. On a server with keys, such a
    /// request may read the panels of MILLRACE_PROJECT. Needs MILLRACE_TRUSTED_PROXIES
    #[arg(
        long,
        env = "MILLRACE_TRUSTED_HEADER",
        value_name = "HEADER",
        default_value = "",
        hide_default_value = true
    )]
    pub trusted_header: String,
    /// Addresses of the proxies whose header is trusted, comma-separated: 10.0.0.5 or 10.0.0.0/24
    #[arg(
        long,
        env = "MILLRACE_TRUSTED_PROXIES",
        value_name = "NETWORKS",
        default_value = "",
        hide_default_value = true
    )]
    pub trusted_proxies: String,
    /// File with the roles of people and, for log-in with OpenID Connect, the provider; deploy/people.toml is an example. Read at the
    /// start
    #[arg(
        long,
        env = "MILLRACE_PEOPLE_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub people_file: String,
}

/// Certificates of the port.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TlsConfig {
    /// PEM file with the server's certificate and its intermediate ones. With it, the port expects TLS; a new file is used
    /// without a restart
    #[arg(
        long,
        env = "MILLRACE_TLS_CERT",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_cert: String,
    /// PEM file with the private key of the certificate
    #[arg(
        long,
        env = "MILLRACE_TLS_KEY",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_key: String,
    /// PEM file with the authorities of client certificates. A client whose certificate has a name of a key
    /// (`millrace keys create --certificate`) needs no other credentials
    #[arg(
        long,
        env = "MILLRACE_TLS_CLIENT_CA",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_client_ca: String,
}

/// The files of a port with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
}

impl TlsConfig {
    /// The files; `None` without TLS.
    ///
    /// # Errors
    /// When one of them needs another that is not configured.
    pub(crate) fn files(&self) -> Result<Option<TlsFiles>, ConfigConflict> {
        let (present, missing) =
            match [&self.tls_cert, &self.tls_key, &self.tls_client_ca].map(|file| file.is_empty()) {
                [true, true, true] => return Ok(None),
                [false, false, is_without_ca] => {
                    return Ok(Some(TlsFiles {
                        certificate: (&self.tls_cert).into(),
                        key: (&self.tls_key).into(),
                        client_ca: (!is_without_ca).then(|| (&self.tls_client_ca).into()),
                    }));
                }
                [false, true, _] => ("MILLRACE_TLS_CERT", "MILLRACE_TLS_KEY"),
                [true, false, _] => ("MILLRACE_TLS_KEY", "MILLRACE_TLS_CERT"),
                [true, true, false] => ("MILLRACE_TLS_CLIENT_CA", "MILLRACE_TLS_CERT and MILLRACE_TLS_KEY"),
            };
        Err(ConfigConflict::Incomplete { present, missing })
    }
}

/// An address to listen on, or an empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OptionalAddress(pub(crate) Option<SocketAddr>);

impl std::str::FromStr for OptionalAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.trim() {
            "" => Ok(Self(None)),
            text => {
                text.parse().map(|address| Self(Some(address))).map_err(|_| InvalidValue::OptionalAddress)
            }
        }
    }
}

/// A path of URLs: `/` (or an empty text), or one or more segments. Printed with a slash at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BasePath(String);

/// The first segments of the server's own paths, and of paths that monitoring requests by convention.
const OWN_PATHS: [&str; 9] =
    ["api", "assets", "events", "health", "healthz", "livez", "metrics", "readyz", "v1"];
/// The packages of the gRPC services. Each service is the first segment of a path.
const GRPC_PACKAGES: [&str; 3] = ["millrace.", "grpc.", "opentelemetry."];

/// Whether a path with this first segment belongs to the server.
pub(crate) fn is_own_path(first: &str) -> bool {
    OWN_PATHS.contains(&first) || GRPC_PACKAGES.iter().any(|package| first.starts_with(package))
}

impl BasePath {
    /// Whether it is `/`.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path without a slash at the end; empty for `/`.
    pub(crate) fn prefix(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for BasePath {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let text = text.trim();
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        let is_segment = |segment: &str| !segment.is_empty() && segment.chars().all(is_plain);
        let is_relative = |segment: &str| matches!(segment, "." | "..");
        let mut segments = path.split('/').skip(1);
        let is_valid = (text.is_empty() || text.starts_with('/'))
            && segments.clone().all(|segment| is_segment(segment) && !is_relative(segment))
            && segments.next().is_none_or(|first| !is_own_path(first));
        if is_valid { Ok(Self(path.to_owned())) } else { Err(InvalidValue::BasePath) }
    }
}

impl std::fmt::Display for BasePath {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/", self.0)
    }
}

/// Which ClickHouse to use, and how long it keeps rows.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClickHouseConfig {
    /// HTTP address of a ClickHouse server, or those of its replicas, comma-separated. Of a cluster, those of each shard, separated by
    /// semicolons. Empty for the embedded engine
    #[arg(long, env = "CLICKHOUSE_URL", value_name = "URL", default_value = "", hide_default_value = true)]
    pub clickhouse_url: ClickHouseUrls,
    /// Name of a cluster in ClickHouse's configuration: tables are replicated and distributed over its shards. Empty for tables on one
    /// server
    #[arg(long, env = "CLICKHOUSE_CLUSTER", value_name = "NAME", default_value = "", hide_default_value = true,
          value_parser = parse_optional_identifier)]
    pub clickhouse_cluster: String,
    /// Database; created if it does not exist
    #[arg(long, env = "CLICKHOUSE_DATABASE", value_name = "NAME", default_value = "millrace",
          value_parser = parse_identifier)]
    pub clickhouse_database: String,
    /// User for inserts and the schema
    #[arg(long, env = "CLICKHOUSE_USER", value_name = "NAME", default_value = "default")]
    pub clickhouse_user: String,
    /// Password of that user
    #[arg(
        long,
        env = "CLICKHOUSE_PASSWORD",
        value_name = "PASSWORD",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    pub clickhouse_password: String,
    /// File with that password, read again when it changes. Instead of CLICKHOUSE_PASSWORD
    #[arg(
        long,
        env = "CLICKHOUSE_PASSWORD_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub clickhouse_password_file: String,
    /// File with a JSON Web Token for ClickHouse, read again when it changes. Instead of user and password
    #[arg(
        long,
        env = "CLICKHOUSE_TOKEN_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub clickhouse_token_file: String,
    /// User for panel queries on a ClickHouse server. Empty for the same user. It needs SELECT on the database only, and a
    /// profile without "readonly"
    #[arg(
        long,
        env = "CLICKHOUSE_PANEL_USER",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub clickhouse_panel_user: String,
    /// Password of the panel user
    #[arg(
        long,
        env = "CLICKHOUSE_PANEL_PASSWORD",
        value_name = "PASSWORD",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    pub clickhouse_panel_password: String,
    /// File with that password, read again when it changes. Instead of CLICKHOUSE_PANEL_PASSWORD
    #[arg(
        long,
        env = "CLICKHOUSE_PANEL_PASSWORD_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub clickhouse_panel_password_file: String,
    /// Compression of inserts and results between this server and a ClickHouse server
    #[arg(long, env = "CLICKHOUSE_COMPRESSION", value_name = "METHOD", default_value = "lz4")]
    pub clickhouse_compression: Compression,
    /// Days that events are kept. They expire by the week, so up to seven days later
    #[arg(long, env = "RETENTION_DAYS", value_name = "DAYS", default_value = "90",
          value_parser = |text: &str| parse_integer(text, 1..=3_650))]
    pub retention_days: u64,
    /// Days that the rollup of the events is kept, from which panels are computed. At least RETENTION_DAYS
    #[arg(long, env = "ROLLUP_RETENTION_DAYS", value_name = "DAYS", default_value = "400",
          value_parser = |text: &str| parse_integer(text, 1..=3_650))]
    pub rollup_retention_days: u64,
    /// Values of a dimension per project, event and day that the rollup distinguishes, such as pages. The others are
    /// "(other)"
    #[arg(long, env = "MILLRACE_ROLLUP_VALUES", value_name = "VALUES", default_value = "5000",
          value_parser = |text: &str| parse_integer(text, 1..=100_000))]
    pub rollup_values: u64,
    /// File that declares the promoted properties; a change takes effect with `millrace properties apply`. Empty for the
    /// built-in declarations
    #[arg(
        long,
        env = "MILLRACE_PROPERTIES_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub properties_file: String,
    /// Path of the engine library. Empty for the copy that `make engine` downloads
    #[arg(
        long = "engine-lib",
        env = "MILLRACE_ENGINE_LIB",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub engine_library: String,
    /// The embedded engine
    #[command(flatten)]
    pub engine: EngineConfig,
}

impl ClickHouseConfig {
    /// Reads the declared properties.
    pub(crate) fn declared_properties(&self) -> Result<Declarations, PropertiesError> {
        let file = Some(self.properties_file.as_str()).filter(|file| !file.is_empty());
        Declarations::read(file.map(Path::new))
    }

    /// The name of the cluster; `None` without one.
    ///
    /// # Errors
    /// When there is no address, or there are several shards without a cluster.
    pub(crate) fn cluster(&self) -> Result<Option<&str>, ConfigConflict> {
        match (self.clickhouse_cluster.as_str(), self.clickhouse_url.shards()) {
            ("", [] | [_]) => Ok(None),
            ("", shards) => Err(ConfigConflict::ShardsWithoutCluster { shards: shards.len() }),
            (_, []) => Err(ConfigConflict::ClusterWithoutUrl),
            (name, _) => Ok(Some(name)),
        }
    }

    /// The user for inserts and the schema.
    ///
    /// # Errors
    /// When there are two.
    pub(crate) fn credentials(&self) -> Result<Credentials, ConfigConflict> {
        let password = !self.clickhouse_password.is_empty();
        let file = !self.clickhouse_password_file.is_empty();
        let token = !self.clickhouse_token_file.is_empty();
        let both = |first, second| Err(ConfigConflict::Both { first, second });
        match (password, file, token) {
            (true, true, _) => both("CLICKHOUSE_PASSWORD", "CLICKHOUSE_PASSWORD_FILE"),
            (true, _, true) => both("CLICKHOUSE_PASSWORD", "CLICKHOUSE_TOKEN_FILE"),
            (_, true, true) => both("CLICKHOUSE_PASSWORD_FILE", "CLICKHOUSE_TOKEN_FILE"),
            (_, _, true) => Ok(Credentials::TokenFile(self.clickhouse_token_file.clone().into())),
            _ => Ok(password_of(
                &self.clickhouse_user,
                &self.clickhouse_password,
                &self.clickhouse_password_file,
            )),
        }
    }

    /// The user for panels; `None` if it is the same.
    ///
    /// # Errors
    /// When there are two passwords.
    pub(crate) fn panel_credentials(&self) -> Result<Option<Credentials>, ConfigConflict> {
        let (password, file) = (&self.clickhouse_panel_password, &self.clickhouse_panel_password_file);
        if !password.is_empty() && !file.is_empty() {
            let (first, second) = ("CLICKHOUSE_PANEL_PASSWORD", "CLICKHOUSE_PANEL_PASSWORD_FILE");
            return Err(ConfigConflict::Both { first, second });
        }
        let user = &self.clickhouse_panel_user;
        Ok((!user.is_empty()).then(|| password_of(user, password, file)))
    }

    /// How long rows are kept.
    ///
    /// # Errors
    /// When the rollup would expire before the events.
    pub(crate) fn retention(&self) -> Result<RetentionDays, ConfigConflict> {
        let retention = RetentionDays { events: self.retention_days, rollup: self.rollup_retention_days };
        if retention.rollup < retention.events {
            return Err(ConfigConflict::RollupExpiresFirst {
                events: retention.events,
                rollup: retention.rollup,
            });
        }
        Ok(retention)
    }
}

fn password_of(user: &str, password: &str, file: &str) -> Credentials {
    let user = user.to_owned();
    match file {
        "" => Credentials::Password { user, password: password.to_owned() },
        file => Credentials::PasswordFile { user, file: file.into() },
    }
}

/// The addresses of a ClickHouse server; none for the embedded engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClickHouseUrls(Vec<Arc<[String]>>);

impl ClickHouseUrls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses of each shard.
    pub(crate) fn shards(&self) -> &[Arc<[String]>] {
        &self.0
    }
}

impl std::str::FromStr for ClickHouseUrls {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut known = HashSet::new();
        let mut shards = Vec::new();
        for shard in text.split(';') {
            let addresses: Vec<String> = shard.split(',').map(parse_http_url).collect::<Result<_, _>>()?;
            if !addresses.iter().all(|address| known.insert(address.clone())) {
                return Err(InvalidValue::HttpUrlTwice);
            }
            shards.push(addresses.into());
        }
        Ok(Self(shards))
    }
}

/// Limits of the embedded engine.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineConfig {
    /// Memory limit of the embedded engine in bytes, at least 268435456. 0 for three quarters of the machine's memory, or
    /// of the cgroup's limit if that is lower
    #[arg(long = "engine-memory-bytes", env = "MILLRACE_ENGINE_MEMORY_BYTES", value_name = "BYTES", default_value = "0",
          value_parser = parse_engine_memory)]
    pub memory_bytes: u64,
    /// Confine the embedded engine's process to its data folder, without network, as far as the kernel can: on, or off to
    /// allow statements that read other files or URLs
    #[arg(
        long = "engine-sandbox",
        env = "MILLRACE_ENGINE_SANDBOX",
        value_name = "SWITCH",
        default_value = "on"
    )]
    pub sandbox: Switch,
}

/// An on/off setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Enabled
    On,
    /// Disabled
    Off,
}

impl std::fmt::Display for Switch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// Limits of the journal.
#[derive(Args, Clone, Debug)]
pub(crate) struct JournalSettings {
    /// Disk space in bytes for events that are not in ClickHouse yet (journal and dead letters). At the limit, requests are
    /// slowed down or rejected with a retry delay
    #[arg(long, env = "MILLRACE_JOURNAL_MAX_BYTES", value_name = "BYTES", default_value = "8589934592",
          value_parser = |text: &str| parse_integer(text, 268_435_456..=1_099_511_627_776_000))]
    pub journal_max_bytes: u64,
}

/// When events are flushed to ClickHouse, and how much memory they may use.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriterConfig {
    /// Number of events at which a batch is inserted
    #[arg(long, env = "FLUSH_SIZE", value_name = "EVENTS", default_value = "1000",
          value_parser = |text: &str| parse_integer(text, 1..=1_000_000))]
    pub flush_size: u64,
    /// Maximum time between inserts while there are events, in milliseconds
    #[arg(long = "flush-interval-ms", env = "FLUSH_INTERVAL_MS", value_name = "MS", default_value = "2000",
          value_parser = |text: &str| parse_millis(text, 10..=600_000))]
    pub flush_interval: Duration,
    /// Minimum time between the starts of two inserts, in milliseconds
    #[arg(long = "flush-min-interval-ms", env = "FLUSH_MIN_INTERVAL_MS", value_name = "MS", default_value = "100",
          value_parser = |text: &str| parse_millis(text, 0..=60_000))]
    pub flush_min_interval: Duration,
    /// Number of batches that may be inserted at the same time, once they have 100,000 events or are full. 0 for one per four cores, up
    /// to 4
    #[arg(long, env = "MILLRACE_INSERTS_IN_FLIGHT", value_name = "BATCHES", default_value = "0",
          value_parser = |text: &str| parse_integer(text, 0..=MAX_INSERTS_IN_FLIGHT as u64))]
    pub inserts_in_flight: u64,
    /// Memory in bytes for accepted events. At the limit, requests are slowed down or rejected with a retry delay
    #[arg(long, env = "MILLRACE_MAX_BUFFER_BYTES", value_name = "BYTES", default_value = "134217728",
          value_parser = |text: &str| parse_integer(text, 16_777_216..=68_719_476_736))]
    pub max_buffer_bytes: u64,
    /// Number of producer-given event ids that are remembered to drop duplicates. Each takes about 70 bytes of memory
    #[arg(long, env = "MILLRACE_RECENT_EVENT_IDS", value_name = "IDS", default_value = "1000000",
          value_parser = |text: &str| parse_integer(text, 0..=10_000_000))]
    pub recent_event_ids: u64,
    /// Hours without a request after which a producer's sequence is forgotten
    #[arg(long, env = "MILLRACE_PRODUCER_IDLE_HOURS", value_name = "HOURS", default_value = "168",
          value_parser = |text: &str| parse_integer(text, 1..=87_600))]
    pub producer_idle_hours: u64,
}

impl WriterConfig {
    /// Number of batches that may be inserted at the same time. ClickHouse takes about one core for an insert, and merges,
    /// panels and this process take the others.
    pub(crate) fn inserts_in_flight(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        match self.inserts_in_flight {
            0 => (cores / 4).clamp(1, MAX_INSERTS_IN_FLIGHT),
            chosen => chosen as usize,
        }
    }
}

/// Caching and limits of panels.
#[derive(Args, Clone, Debug)]
pub(crate) struct PanelsConfig {
    /// How long a panel's result is reused, in milliseconds. 0 to recompute each time
    #[arg(long = "panel-cache-ms", env = "PANEL_CACHE_MS", value_name = "MS", default_value = "3000",
          value_parser = |text: &str| parse_millis(text, 0..=3_600_000))]
    pub panel_cache: Duration,
    /// Folder of your own panels, one .sql file each. Changes are picked up while the server runs
    #[arg(long, env = "MILLRACE_PANELS_DIR", value_name = "FOLDER", default_value = "./queries/panels")]
    pub panels_dir: PathBuf,
    /// Folder of insights and dashboards, in insights/*.yaml and dashboards/*.yaml. Changes are picked up while the server
    /// runs; the page saves to it if it is writable
    #[arg(long, env = "MILLRACE_INSIGHTS_DIR", value_name = "FOLDER", default_value = "./insights")]
    pub insights_dir: PathBuf,
    /// Minimum time between two computations of a subscribed panel, on average, in milliseconds. While there are
    /// subscribers, events are also flushed this often, and up to 800 ms later if there are fewer than 100
    #[arg(long = "watch-min-interval-ms", env = "MILLRACE_WATCH_MIN_INTERVAL_MS", value_name = "MS",
          default_value = "200", value_parser = |text: &str| parse_millis(text, 50..=60_000))]
    pub watch_min_interval: Duration,
    /// Distinct queries (panel, range, time zone, parameters) that clients of one IP address may subscribe to. Behind a
    /// proxy, all clients have its address
    #[arg(long, env = "MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT", value_name = "QUERIES", default_value = "250",
          value_parser = |text: &str| parse_integer(text, 1..=2_000))]
    pub watch_max_queries_per_client: u64,
    /// Share of the time, in percent, that subscribed queries of Explore may take if they read events: one is computed at a
    /// time, all of them at a distance
    #[arg(long, env = "MILLRACE_WATCH_EXPLORE_SHARE", value_name = "PERCENT", default_value = "10",
          value_parser = |text: &str| parse_integer(text, 1..=100))]
    pub watch_explore_share: u64,
}

/// The budget of the queries of Explore, which may ask anything. Panels and inserts have their own permits and connections.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExploreConfig {
    /// Queries of Explore that run at a time; further ones wait up to 10 seconds
    #[arg(long = "explore-queries", env = "MILLRACE_EXPLORE_QUERIES", value_name = "QUERIES", default_value = "2",
          value_parser = |text: &str| parse_count(text, 1..=64))]
    pub concurrent_queries: usize,
    /// Queries of Explore that run and wait at a time with one key, or for one person
    #[arg(long = "explore-queries-per-key", env = "MILLRACE_EXPLORE_QUERIES_PER_KEY", value_name = "QUERIES",
          default_value = "8", value_parser = |text: &str| parse_count(text, 1..=64))]
    pub queries_per_caller: usize,
    /// Time that a statement of Explore may take, in milliseconds
    #[arg(long = "explore-timeout-ms", env = "MILLRACE_EXPLORE_TIMEOUT_MS", value_name = "MS", default_value = "30000",
          value_parser = |text: &str| parse_millis(text, 1_000..=3_600_000))]
    pub timeout: Duration,
    /// Memory that a statement of Explore may use, in bytes. From half of it on, groups and sorts spill to disk
    #[arg(long = "explore-memory-bytes", env = "MILLRACE_EXPLORE_MEMORY_BYTES", value_name = "BYTES",
          default_value = "1000000000",
          value_parser = |text: &str| parse_integer(text, 100_000_000..=1_000_000_000_000))]
    pub max_memory_bytes: u64,
    /// Rows that a statement of Explore may read. It is refused before it starts if it would read more. 0 for any number
    #[arg(long = "explore-max-rows", env = "MILLRACE_EXPLORE_MAX_ROWS", value_name = "ROWS", default_value = "500000000",
          value_parser = |text: &str| parse_integer(text, 0..=1_000_000_000_000))]
    pub max_rows: u64,
}

/// The log.
#[derive(Args, Clone, Debug)]
pub(crate) struct TelemetryConfig {
    /// Log filter: error, warn, info, debug or trace, also per module ("info,millrace::writer=debug")
    #[arg(long = "log", env = "MILLRACE_LOG", value_name = "FILTER", default_value = "info")]
    pub filter: String,
    /// Log format
    #[arg(long = "log-format", env = "MILLRACE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub format: LogFormat,
    /// Address of an OpenTelemetry collector that receives traces over OTLP (gRPC). Empty for no traces
    #[arg(
        long,
        env = "MILLRACE_TRACES_ENDPOINT",
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    pub traces_endpoint: String,
}

/// The compression of what goes to ClickHouse and comes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// LZ4 frames
    Lz4,
    /// No compression
    None,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text per event, for people
    Text,
    /// One JSON object per line
    Json,
}

/// Default path of the engine library, where `make engine` puts it: below `XDG_CACHE_HOME`, or else `HOME/.cache`.
pub fn default_engine_library() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(|| PathBuf::from(".cache"));
    cache.join("millrace/engine").join(crate::engine::VERSION).join("libchdb.so")
}

/// The socket of the service manager and the time in which its watchdog expects a sign of life, as sd_notify(3) and
/// sd_watchdog_enabled(3) define their variables. `None` without a service manager.
pub(crate) fn service_manager() -> Option<(OsString, Option<Duration>)> {
    let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?;
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_own = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number("WATCHDOG_USEC").filter(|&micros| is_own && micros > 0).map(Duration::from_micros);
    Some((socket, watchdog))
}

/// Variables that the isolated engine process inherits: time zone, loader path, and the two that control backtraces and
/// log output. Its own settings, [`ENGINE_VARIABLE_PREFIX`], are inherited as well.
const ENGINE_INHERITED_VARIABLES: [&str; 4] = ["TZ", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "RUST_LOG"];

/// Prefix of the engine command's variables.
const ENGINE_VARIABLE_PREFIX: &str = "MILLRACE_ENGINE_";

/// The part of this process's environment that the isolated engine process inherits.
pub(crate) fn engine_environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            ENGINE_INHERITED_VARIABLES.contains(&name) || name.starts_with(ENGINE_VARIABLE_PREFIX)
        })
    })
}

/// Why the value of one setting is invalid. Follows the setting and the value in [`explain_parse_error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidValue {
    #[error("must be a whole number from {} to {}", .0.start(), .0.end())]
    Integer(RangeInclusive<u64>),
    #[error("must be 0 or a whole number from {} to {}", .0.start(), .0.end())]
    EngineMemory(RangeInclusive<u64>),
    #[error(
        "must be an address like http://localhost:8123, several with commas between them, or empty for the embedded engine"
    )]
    HttpUrl,
    #[error("must not have the same address twice")]
    HttpUrlTwice,
    #[error("must be an address like 127.0.0.1:9464, or empty")]
    OptionalAddress,
    #[error("must be 1 to 64 letters, digits and underscores, and not begin with a digit")]
    Identifier,
    #[error(
        "must be / or a path like /millrace, of letters, digits and -._~, that does not begin with a path of the server: {} or a gRPC service",
        OWN_PATHS.join(", ")
    )]
    BasePath,
}

fn parse_integer(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, InvalidValue> {
    match text.trim().parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(InvalidValue::Integer(allowed)),
    }
}

fn parse_count(text: &str, allowed: RangeInclusive<u64>) -> Result<usize, InvalidValue> {
    let count = parse_integer(text, allowed.clone())?;
    usize::try_from(count).map_err(|_| InvalidValue::Integer(allowed))
}

fn parse_engine_memory(text: &str) -> Result<u64, InvalidValue> {
    const ALLOWED: RangeInclusive<u64> = crate::engine::memory::MIN_LIMIT_BYTES..=1_125_899_906_842_624;
    match text.trim() {
        "0" => Ok(0),
        text => parse_integer(text, ALLOWED).map_err(|_| InvalidValue::EngineMemory(ALLOWED)),
    }
}

fn parse_millis(text: &str, allowed: RangeInclusive<u64>) -> Result<Duration, InvalidValue> {
    parse_integer(text, allowed).map(Duration::from_millis)
}

fn parse_http_url(text: &str) -> Result<String, InvalidValue> {
    let text = text.trim();
    let uri: http::Uri = text.parse().map_err(|_| InvalidValue::HttpUrl)?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(InvalidValue::HttpUrl),
    }
}

fn parse_optional_identifier(text: &str) -> Result<String, InvalidValue> {
    if text.is_empty() { Ok(String::new()) } else { parse_identifier(text) }
}

fn parse_identifier(text: &str) -> Result<String, InvalidValue> {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let has_valid_start = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if is_plain && has_valid_start && text.len() <= 64 {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::Identifier)
    }
}

/// A rejected command line as one line: the variable, the flag, the value and what is allowed.
pub(crate) fn explain_parse_error(error: &clap::Error, command: &clap::Command) -> String {
    use std::error::Error as _;

    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let (Some(flag), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        let message = error.to_string();
        return message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    };
    let long = flag.trim_start_matches("--").split([' ', '=']).next().unwrap_or_default();
    let variable = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .find(|arg| arg.get_long() == Some(long))
        .and_then(|arg| arg.get_env())
        .map_or_else(String::new, |name| format!("{} ", name.to_string_lossy()));
    let reason = match (error.source(), text(ContextKind::ValidValue)) {
        (_, Some(values)) => format!(": must be one of {values}"),
        (Some(source), None) => format!(": {source}"),
        (None, None) => String::new(),
    };
    format!("{variable}(--{long}): {value:?} is invalid{reason}")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Serve(ServeConfig),
    }

    fn error_line(args: &[&str]) -> String {
        let command_line = ["millrace", "serve"].iter().chain(args);
        let error = Cli::try_parse_from(command_line).expect_err("the arguments are invalid");
        explain_parse_error(&error, &Cli::command())
    }

    #[test]
    fn the_command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    fn parsed(args: &[&str]) -> ServeConfig {
        let command_line = ["millrace", "serve"].iter().chain(args);
        let Command::Serve(config) =
            Cli::try_parse_from(command_line).expect("the arguments are valid").command;
        config
    }

    #[test]
    fn conflicting_settings_are_rejected_in_one_line() {
        assert_eq!(parsed(&[]).validate(), Ok(()));
        assert_eq!(parsed(&["--journal-max-bytes", "268435456"]).validate(), Ok(()));
        let many = parsed(&["--recent-event-ids", "10000000", "--journal-max-bytes", "1073741824"])
            .validate()
            .unwrap_err();
        assert_eq!(
            many.to_string(),
            "MILLRACE_RECENT_EVENT_IDS (--recent-event-ids): 10000000 ids need a journal of at least 2560000000 bytes, but \
             MILLRACE_JOURNAL_MAX_BYTES (--journal-max-bytes) is 1073741824: raise it, or remember at most 4194304 ids"
        );
    }

    #[test]
    fn the_rollup_is_kept_as_long_as_the_events() {
        let retention = parsed(&["--retention-days", "400"]).clickhouse.retention();
        assert_eq!(retention, Ok(RetentionDays { events: 400, rollup: 400 }));
        let line =
            parsed(&["--retention-days", "401"]).validate().expect_err("the rollup has 400 days").to_string();
        assert!(
            line.starts_with("ROLLUP_RETENTION_DAYS (--rollup-retention-days): 400 is less than"),
            "{line}"
        );
    }

    #[test]
    fn a_rejected_value_is_explained_in_one_line() {
        let cases = [
            (
                ["--flush-size", "0"],
                "FLUSH_SIZE (--flush-size): \"0\" is invalid: must be a whole number from 1 to 1000000",
            ),
            (
                ["--flush-interval-ms", "2s"],
                "FLUSH_INTERVAL_MS (--flush-interval-ms): \"2s\" is invalid: must be a whole number from 10 to 600000",
            ),
            (
                ["--metrics-listen", "9464"],
                "MILLRACE_METRICS_LISTEN (--metrics-listen): \"9464\" is invalid: must be an address like 127.0.0.1:9464, or \
                 empty",
            ),
            (
                ["--clickhouse-url", "localhost:8123"],
                "CLICKHOUSE_URL (--clickhouse-url): \"localhost:8123\" is invalid: must be an address like \
                 http://localhost:8123, several with commas between them, or empty for the embedded engine",
            ),
            (
                ["--log-format", "xml"],
                "MILLRACE_LOG_FORMAT (--log-format): \"xml\" is invalid: must be one of text, json",
            ),
        ];
        for (args, line) in cases {
            assert_eq!(error_line(&args), line);
        }
        assert!(error_line(&["--listen", "8080"]).starts_with("MILLRACE_LISTEN (--listen): \"8080\""));
        assert_eq!(error_line(&["--nonsense", "1"]), "unexpected argument '--nonsense' found");
    }

    #[test]
    fn a_base_path_has_plain_segments() {
        let prefix = |path: &str| path.parse().map(|path: BasePath| path.prefix().to_owned()).ok();
        for (path, expected) in [
            ("", ""),
            (" ", ""),
            ("/", ""),
            ("/millrace", "/millrace"),
            ("/a/b-c/", "/a/b-c"),
            ("/~x/v1.0", "/~x/v1.0"),
        ] {
            assert_eq!(prefix(path).as_deref(), Some(expected), "{path}");
        }
        for path in [
            "millrace",
            "//",
            "/a//b",
            "/a/../b",
            "/{x}",
            "/a b",
            "/\"x",
            "/api",
            "/assets/x",
            "/x?y",
            "/metrics",
            "/millrace.v1.DashboardService",
            "/grpc.health.v1.Health/x",
        ] {
            assert_eq!(prefix(path), None, "{path}");
        }
        assert_eq!(parsed(&["--base-path", "/x"]).edge.base_path.to_string(), "/x/");
        assert_eq!(parsed(&["--base-path", ""]).edge.base_path.to_string(), "/");
        let line = error_line(&["--base-path", "x"]);
        assert!(
            line.starts_with("MILLRACE_BASE_PATH (--base-path): \"x\" is invalid: must be / or a path"),
            "{line}"
        );
    }

    #[test]
    fn a_buffer_too_small_for_a_message_is_rejected_in_one_line() {
        assert_eq!(parsed(&["--max-buffer-bytes", "16777216"]).validate(), Ok(()));
        let args = ["--max-buffer-bytes", "16777216", "--max-message-bytes", "8388608"];
        let line = parsed(&args).validate().expect_err("one message could need 32 MiB").to_string();
        assert!(line.starts_with("MILLRACE_MAX_BUFFER_BYTES (--max-buffer-bytes): 16777216"), "{line}");
        assert!(
            line.contains("raise it to 33554432")
                && line.contains("lower MILLRACE_MAX_MESSAGE_BYTES to 4194304")
        );
    }

    #[test]
    fn operators_see_settings_as_they_were_given_but_no_secrets() {
        let matches = Cli::command()
            .try_get_matches_from([
                "millrace",
                "serve",
                "--clickhouse-url",
                "http://me:secret@db:8123/x",
                "--clickhouse-password",
                "secret",
            ])
            .unwrap();
        let command = Cli::command();
        let (serve, matches) =
            (command.find_subcommand("serve").unwrap(), matches.subcommand_matches("serve").unwrap());
        let all = settings(serve, matches);
        let find = |name: &str| all.iter().find(|setting| setting.name == name).unwrap();
        assert_eq!(find("CLICKHOUSE_URL").value.as_deref(), Some("http://db:8123/x"));
        assert!(!find("CLICKHOUSE_URL").is_default && !find("CLICKHOUSE_URL").description.is_empty());
        assert_eq!(find("CLICKHOUSE_PASSWORD").value, None);
        assert!(find("MILLRACE_LISTEN").is_default || std::env::var_os("MILLRACE_LISTEN").is_some());
        assert!(!format!("{all:?}").contains("secret"));
    }

    /// Operators read .env.example instead of the code.
    #[test]
    fn the_example_file_lists_every_variable_with_its_default() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").expect("there is a serve command");
        let mut expected: Vec<String> = serve
            .get_arguments()
            .filter_map(|arg| {
                let default: String =
                    arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
                Some(format!("{}={default}", arg.get_env()?.to_string_lossy()))
            })
            .collect();
        let settings = include_str!("../docs/settings.md");
        for arg in serve.get_arguments() {
            let Some(variable) = arg.get_env() else { continue };
            let name = variable.to_string_lossy();
            assert!(settings.contains(&format!("`{name}`")), "docs/settings.md lacks {name}");
        }
        let file = include_str!("../.env.example");
        let mut listed: Vec<&str> =
            file.lines().filter(|line| !line.starts_with('#') && line.contains('=')).collect();
        expected.sort();
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }
}
