//! The paths that the server has for browsers: the page and its views, also below a path.

use millrace_client::proto::v1;
use prost::Message as _;

use crate::common::{TestServer, http_request, http_request_with};

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A gRPC-Web call of ListPanels. Returns the head of the response and the first message.
fn list_panels(server: &TestServer, path: &str) -> (String, v1::ListPanelsResponse) {
    let empty_message = [0; 5];
    let content_type = "application/grpc-web+proto";
    let (head, body) = http_request(server, "POST", path, content_type, &empty_message);
    assert!(head.to_lowercase().contains("content-type: application/grpc-web+proto"), "{head}");
    // Chunked: the size of the chunk, then the flag and the length of the message.
    let start = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap() + 2;
    let length = u32::from_be_bytes(body[start + 1..start + 5].try_into().unwrap()) as usize;
    (head, v1::ListPanelsResponse::decode(&body[start + 5..start + 5 + length]).unwrap())
}

#[tokio::test]
async fn a_browser_gets_the_page_for_its_views_and_404_for_missing_files() {
    let server = TestServer::start();
    let (root, page) = http_request_with(&server, "GET", "/", HTML, b"");
    assert_eq!(status(&root), 200);
    for path in ["/panels/top_pages", "/panels/top_pages?range=24h", "/uikit"] {
        let (head, view) = http_request_with(&server, "GET", path, HTML, b"");
        assert_eq!(status(&head), 200, "{path}: {head}");
        assert!(view == page, "{path} is not the page");
    }
    for (method, path, headers) in [
        ("GET", "/assets/index-gone.js", HTML),
        ("GET", "/panels/top_pages", "Accept: */*\r\n"),
        ("GET", "/favicon-gone.ico", ""),
        ("POST", "/panels/top_pages", HTML),
        ("GET", "/api/nothing", HTML),
        ("GET", "/healthz", HTML),
        ("GET", "/metrics/x", HTML),
        ("GET", "/livez/x", HTML),
    ] {
        let (head, body) = http_request_with(&server, method, path, headers, b"");
        assert_eq!(status(&head), 404, "{method} {path}: {head}");
        assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{head}");
        assert!(String::from_utf8_lossy(&body).contains("unknown path"), "{method} {path}");
    }
    let (unknown, _) =
        http_request(&server, "POST", "/millrace.v1.Nothing/Call", "application/grpc-web+proto", b"");
    assert!(unknown.contains("grpc-status: 12"), "{unknown}");
    if root.to_lowercase().contains("content-type: text/html") {
        for header in [
            "vary: accept, accept-encoding",
            "base-uri 'self'",
            "form-action 'none'",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert!(root.contains(header), "{header}: {root}");
        }
    } else {
        println!("NOT TESTED: the headers of the page; the binary was built without it");
    }
}

#[tokio::test]
async fn everything_is_served_below_the_base_path_and_at_the_root() {
    let server = TestServer::start_with(&[("MILLRACE_BASE_PATH", "/tools/millrace/")]);
    let (head, page) = http_request_with(&server, "GET", "/", HTML, b"");
    if head.to_lowercase().contains("content-type: text/html") {
        let html = String::from_utf8_lossy(&page);
        assert!(html.contains("<base href=\"/tools/millrace/\" />"), "{html}");
    } else {
        println!("NOT TESTED: the URLs of the page; the binary was built without it");
    }
    for base in ["", "/tools/millrace"] {
        for path in ["/", "/panels/top_pages"] {
            let (head, view) = http_request_with(&server, "GET", &format!("{base}{path}"), HTML, b"");
            assert_eq!(status(&head), 200, "{base}{path}: {head}");
            assert!(view == page, "{base}{path} is not the page");
        }
        let get =
            |path: &str| status(&http_request_with(&server, "GET", &format!("{base}{path}"), "", b"").0);
        assert_eq!((get("/health"), get("/livez"), get("/api/panels")), (200, 200, 200), "{base}");
        assert_eq!((get("/assets/gone.js"), get("/api/nothing")), (404, 404), "{base}");
        let event = r#"[{"event_name":"x","timestamp":"2020-01-01T00:00:00Z"}]"#;
        let (head, _) =
            http_request(&server, "POST", &format!("{base}/events"), "application/json", event.as_bytes());
        assert_eq!(status(&head), 400, "the event is too old: {head}");
        let (_, list) = list_panels(&server, &format!("{base}/millrace.v1.DashboardService/ListPanels"));
        assert!(list.panels.iter().any(|panel| panel.name == "top_pages"), "{base}: {list:?}");
    }
    let (without_slash, _) = http_request_with(&server, "GET", "/tools/millrace", HTML, b"");
    assert_eq!(status(&without_slash), 200);
    // The check of the origin is the same below the path.
    let foreign = "Origin: https://evil.example\r\n";
    let (head, _) = http_request_with(&server, "GET", "/tools/millrace/api/panels", foreign, b"");
    assert_eq!(status(&head), 403, "{head}");
}
