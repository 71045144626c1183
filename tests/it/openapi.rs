//! The OpenAPI document has every route, and the server has every operation of the document.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::clients::tools_dir;
use crate::common::{TestServer, http_request};

/// The paths of the server, which its log lists, apart from those of the page and of gRPC.
fn registered_paths(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| line.split("route path=").nth(1));
    let paths = lines.map(|line| line.split_whitespace().next().unwrap().trim_matches('"').to_owned());
    paths.filter(|path| !matches!(path.as_str(), "/api" | "/api/{*path}")).collect()
}

#[tokio::test]
async fn the_document_has_every_route_and_the_server_every_operation() {
    let server = TestServer::start();
    let get = |path: &str| http_request(&server, "GET", path, "text/plain", b"");
    let (head, body) = get("/api/openapi.json");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/json"), "{head}");
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let registered = registered_paths(&server.log());
    assert!(registered.len() > 8, "{registered:?}");
    for path in &registered {
        assert!(paths.contains_key(path), "{path} is not in the document; add it to src/openapi");
    }
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let path = path
                .replace("insights/{name}", "insights/signup_conversion")
                .replace("dashboards/{name}", "dashboards/default")
                .replace("panels/{name}", "panels/top_pages")
                .replace("{name}", "top-pages")
                .replace("{id}", "nobody");
            if path == "/api/events/tail" {
                // It does not end; tests/it/events.rs reads it.
                continue;
            }
            let (head, body) = http_request(&server, &method.to_uppercase(), &path, "application/json", b"");
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            let expected = match method.as_str() {
                "get" if path.starts_with("/api/session/oidc") => 404, // without a provider
                "get" if path.starts_with("/api/people/") => 404,      // nobody
                "get" | "delete" if path.starts_with("/api/annotations/") => 404, // none
                "get" if path == "/api/catalogue/values" => 400,       // without a field
                "get" => 200,
                "delete" if path.ends_with("/signup_conversion") || path.ends_with("/default") => 403, // built in
                "delete" => 204,
                _ => 400, // an empty body
            };
            assert_eq!(status, expected, "{method} {path}: {}", String::from_utf8_lossy(&body));
        }
    }
    let health: Value = serde_json::from_slice(&get("/health").1).unwrap();
    let schema = &document["components"]["schemas"]["Health"]["properties"];
    for field in health.as_object().unwrap().keys() {
        assert!(schema[field].is_object(), "{field} of /health is not in the document");
    }
    let (head, page) = get("/api/docs");
    assert!(head.to_lowercase().contains("content-security-policy: default-src 'self'"), "{head}");
    assert!(String::from_utf8_lossy(&page).contains("docs.js"));
}

/// Not among them: whether every request that the schema allows is accepted, since events have more rules than a schema.
const CHECKS: [&str; 7] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
];

/// Schemathesis cannot negate schemas that contain themselves, like filters, unless they are the whole body: whether it tries is
/// random. The coverage phase sends these operations invalid bodies all the same.
const CONFIG: &str = r#"[[operations]]
include-path-regex = "^/api/(query|insights|dashboards)"
phases.fuzzing.generation.mode = "positive"
"#;

/// `make api-test` sends more requests to each operation.
#[test]
fn requests_of_every_shape_get_the_responses_of_the_document() {
    let examples = std::env::var("API_EXAMPLES").unwrap_or_else(|_| "3".to_owned());
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), CONFIG).unwrap();
    let output = Command::new(tools_dir().join("python/bin/schemathesis"))
        .args([
            "run",
            &format!("{}/api/openapi.json", server.url()),
            "--no-color",
            "--phases",
            "coverage,fuzzing",
            // Its responses do not end.
            "--exclude-path",
            "/api/events/tail",
        ])
        .args(["--checks", &CHECKS.join(",")])
        .args(["--max-examples", &examples, "--generation-database", "none"])
        // They are about its own generators.
        .args(["--suppress-health-check", "all"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let report = [output.stdout, output.stderr].concat();
    let report = String::from_utf8_lossy(&report);
    assert!(output.status.success(), "{report}");
    let requests = report.lines().find(|line| line.contains(" generated, ")).expect("a summary");
    println!("{}", requests.trim());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
