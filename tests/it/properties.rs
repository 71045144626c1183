//! Promoted properties: the DEFAULT expressions of ClickHouse give the values that the writer extracts.

use millrace::internals::properties::{Properties, PropertyType, PropertyValue};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::common::TestServer;

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
