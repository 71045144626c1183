//! A real Apache Kafka for tests: brokers in KRaft mode on loopback ports, with their logs in a temporary folder.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use crate::common::{TIMEOUT, send_signal};
use crate::tls::Files;

/// Any value: the brokers of a cluster only have to agree on it.
const CLUSTER_ID: &str = "TWlsbHJhY2VUZXN0cw0KIQ";

/// Brokers that are controllers too. Dropping it kills them (SIGKILL).
pub(crate) struct KafkaCluster {
    brokers: Vec<Broker>,
    folder: TempDir,
}

/// A user of the brokers of [`KafkaCluster::start_secured`], who has no rights at first.
pub(super) const USER: &str = "millrace";
pub(super) const PASSWORD: &str = "correct-horse";

/// Addresses of a broker that lets nobody in without a login or a certificate.
pub(super) struct SecureAddresses {
    /// TLS and the user's password, by SCRAM-SHA-512 or PLAIN.
    pub(super) sasl_ssl: String,
    /// TLS and a certificate, with which everybody is the user.
    pub(super) ssl: String,
}

struct Broker {
    process: Child,
    port: u16,
}

impl KafkaCluster {
    /// Starts one broker and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::start_brokers(1)
    }

    /// Starts a broker that also listens with TLS, where it checks who somebody is and may do. The other address is for tests:
    /// there everything is allowed.
    pub(super) fn start_secured(files: &Files) -> (Self, SecureAddresses) {
        let ports = [free_port(), free_port()];
        let addresses = ports.map(|port| format!("127.0.0.1:{port}"));
        let folder = tempfile::tempdir().unwrap();
        let keystore = folder.path().join("broker.pem");
        let parts = [files.key(), files.certificate()].map(|file| std::fs::read_to_string(file).unwrap());
        std::fs::write(&keystore, parts.concat()).unwrap();
        let [sasl_ssl, ssl] = addresses;
        let settings = format!(
            "listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},SASL_SSL://{sasl_ssl},SSL://{ssl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
listener.name.ssl.ssl.principal.mapping.rules=RULE:^.*$/{USER}/
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
",
            keystore = keystore.display(),
            authority = files.authority().display(),
        );
        (Self::start_in(folder, 1, &settings), SecureAddresses { sasl_ssl, ssl })
    }

    /// Starts brokers, and waits until each of them knows all. With three, topics survive the loss of one.
    pub(crate) fn start_brokers(count: u16) -> Self {
        let listeners = "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n";
        Self::start_in(tempfile::tempdir().unwrap(), count, listeners)
    }

    fn start_in(folder: TempDir, count: u16, more_settings: &str) -> Self {
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let formats: Vec<Child> = (0..usize::from(count))
            .map(|index| format_storage(folder.path(), index, &ports, more_settings))
            .collect();
        for mut format in formats {
            assert!(format.wait().unwrap().success(), "{}", logs(folder.path()));
        }
        let brokers = (0..usize::from(count))
            .map(|index| Broker { process: spawn_broker(folder.path(), index), port: ports[index].0 })
            .collect();
        let mut cluster = Self { brokers, folder };
        cluster.wait_until_ready();
        cluster
    }

    /// Waits until each broker lists all brokers.
    pub(crate) fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        for index in 0..self.brokers.len() {
            let address = format!("127.0.0.1:{}", self.brokers[index].port);
            // Without a retry delay that grows: the broker answers a second after it was started.
            let client: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", address)
                .set("reconnect.backoff.max.ms", "100")
                .create()
                .unwrap();
            loop {
                let metadata = client.fetch_metadata(None, Duration::from_secs(1));
                if metadata.is_ok_and(|metadata| metadata.brokers().len() == self.brokers.len()) {
                    break;
                }
                let ended = self.brokers[index].process.try_wait().unwrap();
                assert!(
                    ended.is_none() && Instant::now() < deadline,
                    "broker {index} is not ready (ended: {ended:?}):\n{}",
                    self.logs()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// What a client needs to connect.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.addresses());
        // A suspended broker leaves its connections open: that it was replaced is only noticed when a request has timed out.
        config.set("socket.timeout.ms", "5000");
        config
    }

    /// The addresses of the brokers, with commas between them.
    pub(crate) fn addresses(&self) -> String {
        let addresses = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port));
        addresses.collect::<Vec<_>>().join(",")
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client_config().create().unwrap()
    }

    /// Creates a topic whose partitions are on up to three brokers.
    pub(crate) async fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let replicas = i32::try_from(self.brokers.len().min(3)).unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let results = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        assert_eq!(results, [Ok(name.to_owned())]);
    }

    pub(crate) async fn delete_topic(&self, name: &str) {
        let results = self.admin().delete_topics(&[name], &AdminOptions::new()).await.unwrap();
        assert_eq!(results, [Ok(name.to_owned())]);
    }

    /// Kills a broker without warning.
    pub(crate) fn kill(&mut self, index: usize) {
        self.brokers[index].process.kill().unwrap();
        self.brokers[index].process.wait().unwrap();
    }

    /// Starts a killed broker on its port and its logs.
    pub(crate) fn restart(&mut self, index: usize) {
        self.brokers[index].process = spawn_broker(self.folder.path(), index);
        self.wait_until_ready();
    }

    /// Suspends a broker: its connections stay open, and nothing is answered.
    pub(crate) fn pause(&self, index: usize) {
        send_signal(self.brokers[index].process.id(), "STOP");
    }

    pub(crate) fn resume(&self, index: usize) {
        send_signal(self.brokers[index].process.id(), "CONT");
    }

    /// The last lines of the brokers' logs.
    pub(crate) fn logs(&self) -> String {
        logs(self.folder.path())
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        for broker in &mut self.brokers {
            broker.process.kill().ok();
        }
        for broker in &mut self.brokers {
            broker.process.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- the brokers' logs:\n{}", self.logs());
        }
    }
}

fn logs(folder: &Path) -> String {
    let mut text = String::new();
    for entry in
        folder.read_dir().unwrap().flatten().filter(|entry| entry.path().extension() == Some("log".as_ref()))
    {
        let log = std::fs::read(entry.path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        text +=
            &format!("{}:\n{}\n", entry.path().display(), lines[lines.len().saturating_sub(40)..].join("\n"));
    }
    text
}

/// Writes the settings of a broker, of which `more` has placeholders for its ports, and formats its folder.
fn format_storage(folder: &Path, index: usize, ports: &[(u16, u16)], more: &str) -> Child {
    let (port, controller_port) = ports[index];
    let voters: Vec<String> =
        (1..).zip(ports).map(|(node, (_, port))| format!("{node}@127.0.0.1:{port}")).collect();
    let replicas = ports.len().min(3);
    let settings = format!(
        "process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
log.dirs={folder}/data-{index}
auto.create.topics.enable=false
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
min.insync.replicas={in_sync}
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.backoff.ms=200
{more}",
        node = index + 1,
        voters = voters.join(","),
        folder = folder.display(),
        in_sync = replicas.div_ceil(2),
        more = more
            .replace("{port}", &port.to_string())
            .replace("{controller_port}", &controller_port.to_string()),
    );
    std::fs::write(settings_file(folder, index), settings).unwrap();
    let log = File::create(folder.join(format!("format-{index}.log"))).unwrap();
    java()
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(settings_file(folder, index))
        // Nobody can log in as this user on a listener without TLS.
        .args(["--add-scram", &format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn spawn_broker(folder: &Path, index: usize) -> Child {
    let log =
        File::options().create(true).append(true).open(folder.join(format!("broker-{index}.log"))).unwrap();
    java()
        .arg("kafka.Kafka")
        .arg(settings_file(folder, index))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn settings_file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("broker-{index}.properties"))
}

/// A Java machine with Kafka's jars, which keeps its memory small and starts fast.
fn java() -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jars().join("*"))
        .stdin(Stdio::null());
    command
}

/// The folder of the jars, which are downloaded if they are missing.
fn jars() -> &'static Path {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/fetch_kafka.sh");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{script} failed");
        String::from_utf8(output.stdout).unwrap().trim_end().into()
    })
}

/// A port that is free. A broker must know its port before it starts, so none of those is taken that the system gives away
/// meanwhile: from 32768 on.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 16_000 + u16::try_from(std::process::id() % 400).unwrap() * 40;
    loop {
        let port = first + TAKEN.fetch_add(1, Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
