//! `millrace generate`: history that live traffic continues, and the progress on stderr.

use std::process::Output;

use crate::common::TestServer;

const RATE: u64 = 200;
/// Six standard deviations of the number of events in `BUCKET_SECONDS`: their variance is 8 times their expectation, since the
/// events of a session come together.
const BUCKET_SECONDS: u64 = 10;
const TOLERANCE: u64 = 760;

async fn generate(server: &TestServer, options: &[&str]) -> Output {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["generate", "--target", &server.url(), "--scenario", "steady", "--rate", &RATE.to_string()])
        .args(options)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    server.wait_until_landed().await;
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn live_traffic_continues_the_history_without_a_step() {
    let server = TestServer::start();
    let started_ms = jiff::Timestamp::now().as_millisecond();
    generate(&server, &["--backfill", "10m", "--duration", "12s"]).await;

    // Whole buckets of history, and of live traffic: each has the same expected number of events.
    let end_ms = server.sql_numbers("SELECT toUnixTimestamp64Milli(max(timestamp)) FROM events").await[0];
    assert!(end_ms > u64::try_from(started_ms).unwrap() + 10_000, "no live traffic until {end_ms}");
    let counts = server
        .sql(&format!(
            "SELECT count() FROM events WHERE timestamp > fromUnixTimestamp64Milli({end_ms}) - INTERVAL 8 MINUTE
             GROUP BY intDiv({end_ms} - toUnixTimestamp64Milli(timestamp), {BUCKET_SECONDS}000) AS age ORDER BY age"
        ))
        .await;
    let counts: Vec<u64> = counts.lines().map(|count| count.parse().unwrap()).collect();
    assert_eq!(counts.len(), 48, "{counts:?}");
    assert!(counts.iter().all(|count| count.abs_diff(RATE * BUCKET_SECONDS) < TOLERANCE), "{counts:?}");

    // As history, the seconds around the first run's start have the same events again: each is stored twice.
    generate(&server, &["--backfill", "10m"]).await;
    let copies = server
        .sql(&format!(
            "SELECT copies, count() > 4000 FROM (
                SELECT count() AS copies FROM events
                WHERE toUnixTimestamp64Milli(timestamp) BETWEEN {} AND {end_ms}
                GROUP BY timestamp, session_id, event_name, properties
             ) GROUP BY copies",
            started_ms - 60_000
        ))
        .await;
    assert_eq!(copies, "2\t1");
}

/// The client continues the numbering of a producer, so that a repeated upload is no duplicate of the first.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_with_the_same_producer_id_are_all_stored() {
    let server = TestServer::start();
    for upload in 1..=3_u64 {
        let output = generate(&server, &["--count", "2500", "--producer-id", "nightly"]).await;
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains("accepted 2500, rejected 0, duplicates 0"), "{stdout}");
        assert_eq!(server.sql_numbers("SELECT count() FROM events").await, [2_500 * upload]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_printed_without_a_terminal() {
    let server = TestServer::start();
    let output = generate(&server, &["--backfill", "10m", "--duration", "1s"]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line_with =
        |part: &str| stderr.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{stderr}"));
    line_with("history: sending about 120,000 events");
    line_with("live from now on, 200.0 events/s");
    let half_way = line_with("history: 50 %, ");
    assert!(
        half_way.contains(" of about 120,000 events, ") && half_way.contains(" events/s, about "),
        "{half_way}"
    );
    line_with("history: complete, ");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("sent ") && stdout.contains("rejected 0"), "{stdout}");
}
