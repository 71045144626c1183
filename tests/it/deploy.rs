//! What is shipped for deployments, run by hand as an operator's machine would: Envoy in front, the service manager's
//! notifications, the container's health check.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use millrace_client::proto::v1;
use prost::Message as _;
use v1::watch_panels_response::Value;

use crate::common::{TIMEOUT, TestServer};
use crate::envoy::{Envoy, repository, succeeded};

/// The updates of a gRPC-Web stream, from a thread that reads it.
fn watch(envoy: &Envoy, panel: &str) -> mpsc::Receiver<v1::WatchPanelsResponse> {
    let query = v1::PanelQuery {
        panel: panel.into(),
        time_range: v1::TimeRange::TimeRange1h.into(),
        ..Default::default()
    };
    let message = v1::WatchPanelsRequest { queries: vec![query], ..Default::default() }.encode_to_vec();
    let body = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let head = format!(
        "POST /millrace.v1.DashboardService/WatchPanels HTTP/1.1\r\norigin: https://{}\r\nx-grpc-web: 1\r\n\
         content-type: application/grpc-web+proto\r\n",
        envoy.address
    );
    let mut connection = envoy.request(&head, &body);
    let head = connection.head();
    assert_eq!(head.first().map(String::as_str), Some("HTTP/1.1 200 OK"), "{head:?}");
    assert!(head.iter().any(|line| line.starts_with("strict-transport-security")), "{head:?}");
    let (sender, updates) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        loop {
            while bytes.len() < 5 {
                bytes.extend(connection.chunk());
            }
            let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
            while bytes.len() < 5 + length {
                bytes.extend(connection.chunk());
            }
            let frame: Vec<u8> = bytes.drain(..5 + length).collect();
            assert_eq!(frame[0], 0, "the stream goes on");
            if sender.send(v1::WatchPanelsResponse::decode(&frame[5..]).unwrap()).is_err() {
                return;
            }
        }
    });
    updates
}

fn wait_for_users(updates: &mpsc::Receiver<v1::WatchPanelsResponse>, users: u64) {
    loop {
        let update = updates.recv_timeout(TIMEOUT).expect("the stream is open");
        if matches!(update.value, Some(Value::ActiveUsers(value)) if value.active_users == users) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_live_panels_pass_through_the_shipped_envoy() {
    let server = TestServer::start();
    let envoy = Envoy::start(&[&server.address]);
    envoy.wait_until_serving();
    let updates = watch(&envoy, "active_users");
    wait_for_users(&updates, 0);

    let now = jiff::Timestamp::now();
    let events = format!(r#""events":[{{"event_name":"a","timestamp":"{now}","session_id":"s1"}}]"#);
    let sent = envoy.grpcurl(&["-d", &format!("{{{events}}}"), "millrace.v1.IngestService/SendEvents"]);
    assert!(String::from_utf8_lossy(&sent.stdout).contains(r#""accepted": "1""#), "{sent:?}");
    wait_for_users(&updates, 1);

    let events = events.replace("s1", "s2");
    let first = format!(r#"{{"producer_id":"p","sequence":1,"start_new_numbering":true,{events}}}"#);
    let second = format!(r#"{{"producer_id":"p","sequence":2,{}}}"#, events.replace("s2", "s3"));
    let streamed = envoy.grpcurl(&[
        "-H",
        "millrace-producer-id: p",
        "-d",
        &format!("{first}{second}"),
        "millrace.v1.IngestService/StreamEvents",
    ]);
    assert!(
        String::from_utf8_lossy(&streamed.stdout).contains(r#""lastDurableSequence": "2""#),
        "{streamed:?}"
    );
    wait_for_users(&updates, 3);

    let status = |head: &str, body: &[u8]| envoy.request(head, body).head().remove(0);
    let body = format!(r#"[{{"event_name":"a","timestamp":"{now}","session_id":"s4"}}]"#);
    let post = "POST /events?key=hidden_in_query HTTP/1.1\r\nauthorization: Bearer hidden_in_header\r\n\
                content-type: application/json\r\n";
    assert_eq!(status(post, body.as_bytes()), "HTTP/1.1 200 OK");
    wait_for_users(&updates, 4);
    for path in ["/metrics", "/millrace.v1.AdminService/ListKeys", "//metrics", "/x/../metrics"] {
        assert_eq!(status(&format!("GET {path} HTTP/1.1\r\n"), b""), "HTTP/1.1 404 Not Found", "{path}");
    }
    let underscore = status("GET /livez HTTP/1.1\r\nx_header: 1\r\n", b"");
    assert_eq!(underscore, "HTTP/1.1 400 Bad Request");

    let deadline = Instant::now() + TIMEOUT;
    // Written when a request has ended, and flushed at intervals.
    while !envoy.read("access.log").contains(r#""path":"/events""#) {
        assert!(Instant::now() < deadline, "{}", envoy.read("access.log"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let log = envoy.read("access.log");
    assert!(!log.contains("hidden_in"), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_when_the_server_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let receive = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = TestServer::start_with(&env);
    let mut seen = vec![receive(), receive(), receive()];
    seen.sort();
    assert_eq!(seen, ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    assert!(server.stop().0.success());
    while receive() != "STOPPING=1" {}
}

#[test]
fn systemd_accepts_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("NOT TESTED: the systemd unit; there is no systemd-analyze");
        return;
    }
    let shipped = std::fs::read_to_string(repository().join("deploy/systemd/millrace.service")).unwrap();
    let unit = shipped.replace("/usr/bin/millrace", env!("CARGO_BIN_EXE_millrace"));
    assert_ne!(unit, shipped);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millrace.service");
    std::fs::write(&path, unit).unwrap();
    let verified = succeeded(Command::new("systemd-analyze").arg("verify").arg(&path));
    let complaints = String::from_utf8_lossy(&verified.stderr);
    assert!(!complaints.contains("millrace.service"), "{complaints}");
}

#[test]
fn the_health_check_of_the_image_fails_unless_events_are_accepted() {
    let dockerfile = std::fs::read_to_string(repository().join("Dockerfile")).unwrap();
    let (_, check) = dockerfile.split_once("HEALTHCHECK").unwrap();
    let line = check.lines().find_map(|line| line.trim().strip_prefix("CMD ")).unwrap();
    let command: Vec<String> = serde_json::from_str(line).unwrap();
    let run = |address: &str| {
        let target = format!("/dev/tcp/{}", address.replace(':', "/"));
        let script = command[2].replace("/dev/tcp/127.0.0.1/8080", &target);
        assert_ne!(script, command[2]);
        Command::new(&command[0])
            .args([&command[1], &script])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    let server = TestServer::start();
    assert!(run(&server.address));
    let address = server.address.clone();
    drop(server);
    assert!(TcpStream::connect(&address).is_err() && !run(&address));
}

#[test]
fn the_compose_files_mount_what_is_shipped() {
    for (name, mounts_at_least) in [("docker-compose.yml", 6), ("docker-compose.cluster.yml", 5)] {
        let compose = std::fs::read_to_string(repository().join(name)).unwrap();
        // Of volumes and of configs.
        let mounts: Vec<&str> = compose
            .lines()
            .filter_map(|line| {
                line.trim().strip_prefix("- ./").or_else(|| Some(line.split_once("{ file: ./")?.1))
            })
            .collect();
        assert!(mounts.len() >= mounts_at_least, "{name}: {mounts:?}");
        for mount in mounts {
            let path = mount.split([':', ' ']).next().unwrap();
            assert!(repository().join(path).exists(), "{name}: {path}");
        }
        let ports = compose.lines().filter(|line| line.trim().starts_with("- \"") && line.contains(":"));
        assert!(
            ports.clone().all(|port| port.contains("127.0.0.1:")),
            "{name}: {:?}",
            ports.collect::<Vec<_>>()
        );
    }
}

/// `CLICKHOUSE_URL` names the shards and replicas in the order of ClickHouse's own list.
#[test]
fn the_compose_file_of_the_cluster_names_its_replicas_in_their_order() {
    let compose = std::fs::read_to_string(repository().join("docker-compose.cluster.yml")).unwrap();
    let config = std::fs::read_to_string(repository().join("deploy/cluster/clickhouse.xml")).unwrap();
    let (_, url) = compose.split_once("CLICKHOUSE_URL: ").unwrap();
    let url = url.lines().next().unwrap();
    let (_, shards) = config.split_once("<remote_servers").unwrap();
    let shards: Vec<String> = shards
        .split("<shard>")
        .skip(1)
        .map(|shard| {
            let hosts = shard.split("</shard>").next().unwrap().split("<host>").skip(1);
            let urls = hosts.map(|host| format!("http://{}:8123", host.split('<').next().unwrap()));
            urls.collect::<Vec<_>>().join(",")
        })
        .collect();
    assert_eq!(shards.len(), 2);
    assert_eq!(url, shards.join(";"));
}
