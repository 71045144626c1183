//! Promoted properties: the DEFAULT expressions of ClickHouse give the values that the writer extracts.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use millrace::internals::properties::{Properties, PropertyType, PropertyValue};
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use crate::common::{TestServer, event};

const DECLARATIONS: &str = r#"
[[property]]
name = "path"
property = "a"
type = "text"
normalise = "path"
[[property]]
name = "domain"
property = "a"
type = "text"
events = ["view", "it's"]
normalise = "domain"
[[property]]
name = "low"
property = "a"
type = "text"
normalise = "lower"
[[property]]
name = "plain"
property = "a"
type = "text"
[[property]]
name = "n"
type = "number"
min = -1.5
max = 1e6
"#;

/// JSON with pieces of addresses, escapes and numbers.
fn random_json(random: &mut StdRng) -> String {
    const PIECES: [&str; 26] = [
        "https:",
        "//",
        "/",
        "/",
        "?",
        "#",
        "@",
        ":",
        "www.",
        "Example",
        ".com",
        "12",
        "0190b3e2-1b7a-7c3e-9a3b-2f1d5c6e7f80",
        "deadbeef1",
        "abcdefgh12345678",
        "ä",
        "\\n",
        "\\u00e9",
        "😀",
        "\\\"",
        "\\\\",
        "'",
        "x_y-z",
        "ftp+a:",
        " ",
        "%20",
    ];
    let text: String = (0..random.random_range(0..9)).map(|_| *PIECES.choose(random).unwrap()).collect();
    let repeated = "long/".repeat(if random.random_bool(0.05) { 150 } else { 0 });
    let number =
        ["1", "-1.5", "-1.6", "1e6", "1000001", "\"3\"", "null", "true", "[1]", "{\"a\":\"x\"}", "0.1"];
    let a = match random.random_range(0..10) {
        0 => (*number.choose(random).unwrap()).to_owned(),
        _ => format!("\"{text}{repeated}\""),
    };
    match random.random_range(0..4) {
        0 => format!("{{\"a\":{a}}}"),
        1 => format!("{{\"n\":{},\"a\":{a},\"a\":\"second\"}}", number.choose(random).unwrap()),
        2 => format!("{{\"x\":{{\"a\":\"nested\"}},\"a\":{a},\"n\":{}}}", number.choose(random).unwrap()),
        _ => format!("{{\"\\u0061\":{a}}}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn default_expressions_equal_the_extracted_values() {
    let server = TestServer::start();
    let properties = Properties::parse(DECLARATIONS).unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let rows: Vec<(&str, String)> = (0..3_000)
        .map(|_| (*["view", "it's", "other"].choose(&mut random).unwrap(), random_json(&mut random)))
        .collect();
    let columns: Vec<String> = properties
        .iter()
        .map(|property| format!("toString({}) AS {}", property.default_expression(), property.name))
        .collect();
    for chunk in rows.chunks(500) {
        let values: Vec<String> = chunk
            .iter()
            .enumerate()
            .map(|(row, (name, json))| format!("({row}, {}, {})", quoted(name), quoted(json)))
            .collect();
        let statement = format!(
            "SELECT {} FROM values('row UInt32, event_name String, properties String', {}) ORDER BY row FORMAT JSONCompactEachRow",
            columns.join(", "),
            values.join(", ")
        );
        let response = server.sql(&statement).await;
        let found: Vec<Vec<Option<String>>> =
            response.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(found.len(), chunk.len());
        for ((event_name, json), found) in chunk.iter().zip(found) {
            let mut expected: Vec<Option<String>> = properties
                .iter()
                .map(|property| (property.kind == PropertyType::Text).then(String::new))
                .collect();
            properties.extract(event_name, json, |index, value| {
                expected[index] = Some(match value {
                    PropertyValue::Text(text) => text.into_owned(),
                    PropertyValue::Number(number) => number.to_string(),
                });
            });
            assert_eq!(found, expected, "{event_name} {json}");
        }
    }
}

fn declarations(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("[[property]]\nname = \"{name}\"\ntype = \"text\"\nrole = \"dimension\"\n"))
        .collect()
}

fn apply(server: &TestServer, file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["properties", "apply", "--data-dir"])
        .arg(server.data_dir())
        .env("MILLRACE_PROPERTIES_FILE", file)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The events of each value of each dimension, from the rollup and from `properties`.
async fn assert_dimensions(server: &TestServer, names: &[&str]) {
    let from_rollup = server
        .sql(
            "SELECT dimension, value, sum(events) FROM rollup WHERE step = 1 AND dimension NOT IN ('', 'country_code', \
             'device_type') GROUP BY ALL ORDER BY ALL",
        )
        .await;
    let keys: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let from_events = server
        .sql(&format!(
            "SELECT dimension, JSONExtractString(properties, dimension) AS value, count() FROM events ARRAY JOIN \
             [{}] AS dimension WHERE value != '' GROUP BY ALL ORDER BY ALL",
            keys.join(", ")
        ))
        .await;
    assert_eq!(from_rollup, from_events);
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_are_added_and_removed_while_events_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("properties.toml");
    std::fs::write(&file, declarations(&["plan"])).unwrap();
    let server = TestServer::start_with(&[("MILLRACE_PROPERTIES_FILE", file.to_str().unwrap())]);
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let stop = CancellationToken::new();
    let sending = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut sent = 0_u64;
            while !stop.is_cancelled() {
                let properties =
                    format!(r#"{{"plan":"p{}","release":"r{}","team":"t{}"}}"#, sent % 3, sent % 5, sent % 7);
                let properties_kind = Some(v1::event::PropertiesKind::PropertiesJson(properties));
                producer.send(v1::Event { properties_kind, ..event("deploy") }).await.unwrap();
                sent += 1;
                if sent.is_multiple_of(100) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            let totals = producer.close().await.unwrap();
            assert_eq!((totals.accepted, totals.rejected), (sent, 0));
            sent
        }
    });
    server.wait_for_health("events are stored", |health| health.events_inserted > 1_000).await;
    let mut names = vec!["plan"];
    for (declared, printed) in [
        (vec!["plan", "release", "team"], "add release\nadd team\n"),
        (vec!["release", "team"], "remove plan\n"),
    ] {
        std::fs::write(&file, declarations(&declared)).unwrap();
        let output = apply(&server, &file);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.starts_with(printed), "{output:?}\n{}", server.log());
        let before = server.health().await.events_inserted;
        server.wait_for_health("more are stored", |health| health.events_inserted > before + 1_000).await;
        names = declared;
    }
    assert_eq!(
        String::from_utf8_lossy(&apply(&server, &file).stdout),
        "the declared properties are applied\n"
    );
    stop.cancel();
    let sent = sending.await.unwrap();
    // On a slow machine a batch waits for the rebuild as a dead letter, which is deleted after it has landed.
    server
        .wait_for_health("landed, without dead letters", |health| {
            health.buffer_size == 0
                && health.dead_letters.as_ref().is_some_and(|letters| letters.batches == 0)
        })
        .await;
    assert_eq!(server.sql_numbers("SELECT count() FROM events").await, [sent]);
    assert_dimensions(&server, &names).await;
    let stored = server
        .sql("SELECT countIf(release = JSONExtractString(properties, 'release')) = count() FROM events")
        .await;
    assert_eq!(stored, "1", "old rows have the value by the column's default");

    std::fs::write(&file, declarations(&["release"]).replace("\"dimension\"", "\"column\"")).unwrap();
    let refused = apply(&server, &file);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("release: stored values"), "{error}");
}
