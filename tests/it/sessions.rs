//! Log-in of people: sessions, and the header of a proxy that has authenticated them.

use std::sync::Arc;

use millrace_client::proto::v1;
use serde_json::{Value, json};
use tonic::{Code, Request};

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request_with, next_update};
use crate::keys::{create_key, id_of, keys_command};

fn call(server: &TestServer, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let headers = format!("content-type: application/json\r\n{headers}");
    let (head, body) = http_request_with(server, method, path, &headers, body.as_bytes());
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, String::from_utf8(body).unwrap())
}

fn log_in(server: &TestServer, key: &str, headers: &str) -> (u16, String, String) {
    call(server, "POST", "/api/session", headers, &json!({ "key": key }).to_string())
}

/// The header line of the cookie that a response sets.
fn cookie_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    format!("cookie: theme=dark; {}\r\n", line.split(';').next().unwrap())
}

fn who_am_i(server: &TestServer, headers: &str) -> Value {
    let (status, _, body) = call(server, "GET", "/api/session", headers, "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// How a stream ends.
async fn end_of(stream: &mut tonic::Streaming<v1::WatchPanelsResponse>) -> Code {
    loop {
        match next_update(stream).await {
            Ok(update) => assert!(update.is_some(), "the stream ended without a status"),
            Err(status) => return status.code(),
        }
    }
}

#[tokio::test]
async fn a_read_key_begins_a_session_that_reads_until_it_ends() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let create = |scope: &str| create_key(folder.path(), &["--scope", scope, "--project", "shop"]);
    let [write, read, admin] = ["write", "read", "admin"].map(create);
    let server = TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_BASE_PATH", "/stats")]);
    assert_eq!(who_am_i(&server, ""), json!({ "required": true, "log_in": ["key"], "caller": null }));

    for (key, status, part) in [
        ("mr_read_x", 401, "this is not a key"),
        (write.as_str(), 403, "the scope write; this call needs the scope read or admin"),
    ] {
        let (found, head, body) = log_in(&server, key, "");
        assert!(found == status && body.contains(part) && !head.contains("set-cookie"), "{head}{body}");
    }
    let (status, _, body) = call(&server, "POST", "/api/session", "", "key");
    assert!(status == 400 && body.contains("not JSON of the form"), "{body}");
    let (status, _, body) = log_in(&server, &read, "origin: https://evil.example\r\n");
    assert!(status == 403 && body.contains("evil.example"), "{body}");

    let (status, head, _) = log_in(&server, &read, "");
    assert_eq!(status, 204);
    assert!(head.contains("; Path=/stats/; HttpOnly; SameSite=Strict\r\n"), "{head}");
    let (_, secure, _) = log_in(&server, &read, "x-forwarded-proto: https\r\n");
    assert!(secure.contains("; SameSite=Strict; Secure"), "{secure}");
    let cookie = cookie_of(&head);
    let caller = who_am_i(&server, &cookie)["caller"].clone();
    assert_eq!(
        caller,
        json!({ "project": "shop", "scope": "read", "key_id": id_of(&read), "can_log_out": true })
    );
    assert_eq!(call(&server, "GET", "/api/panels", &cookie, "").0, 200);
    assert_eq!(call(&server, "GET", "/stats/api/panels", &cookie, "").0, 200);
    assert_eq!(call(&server, "GET", "/api/panels", "", "").0, 401);
    // The cookie sends nothing, not even an administrator's.
    let (_, head, _) = log_in(&server, &admin, "");
    assert_eq!(call(&server, "POST", "/events", &cookie_of(&head), "[]").0, 401);

    // A stream of the session ends with it, and so does one whose key is revoked.
    let mut dashboard = server.dashboard().await;
    let mut watch = async |cookie: &str| {
        let query = v1::PanelQuery { panel: "active_users".into(), ..Default::default() };
        let mut request = Request::new(v1::WatchPanelsRequest { queries: vec![query], ..Default::default() });
        let cookie = cookie.trim_end().strip_prefix("cookie: ").unwrap();
        request.metadata_mut().insert("cookie", cookie.parse().unwrap());
        dashboard.watch_panels(request).await
    };
    let mut ended = watch(&cookie).await.unwrap().into_inner();
    let (status, head, _) = call(&server, "DELETE", "/api/session", &cookie, "");
    assert!(status == 204 && head.contains("millrace_session=; Max-Age=0; Path=/stats/"), "{head}");
    assert_eq!(end_of(&mut ended).await, Code::Unauthenticated);
    assert_eq!(call(&server, "GET", "/api/panels", &cookie, "").0, 401);
    assert_eq!(who_am_i(&server, &cookie)["caller"], Value::Null);

    let (_, head, _) = log_in(&server, &read, "");
    let cookie = cookie_of(&head);
    let mut revoked = watch(&cookie).await.unwrap().into_inner();
    assert!(keys_command(folder.path(), &["revoke", id_of(&read)]).0);
    assert_eq!(end_of(&mut revoked).await, Code::Unauthenticated);
    assert_eq!(who_am_i(&server, &cookie)["caller"], Value::Null);
    let log = server.log();
    assert!(!log.contains(cookie.split("millrace_session=").nth(1).unwrap().trim_end()));
}

#[tokio::test]
async fn without_keys_there_is_nothing_to_log_in_to() {
    let server = TestServer::start();
    assert_eq!(who_am_i(&server, "")["required"], false);
    let key = format!("mr_read_abcdefghij_{}", "x".repeat(49));
    assert_eq!(log_in(&server, &key, "").0, 401, "its checksum is wrong");
}

#[tokio::test]
async fn the_header_of_a_trusted_proxy_reads_and_does_nothing_else() {
    let ada = "x-forwarded-user: ada\r\n";
    let start = |proxies: &str| {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        create_key(folder.path(), &["--scope", "admin"]);
        let env = [
            ("MILLRACE_TRUSTED_HEADER", "X-Forwarded-User"),
            ("MILLRACE_TRUSTED_PROXIES", proxies),
            ("MILLRACE_PROJECT", "shop"),
        ];
        TestServer::start_on(folder, &env)
    };
    let server = start("10.0.0.0/8, 127.0.0.0/8");
    assert_eq!(call(&server, "GET", "/api/panels", "", "").0, 401);
    assert_eq!(call(&server, "GET", "/api/panels", ada, "").0, 200);
    assert_eq!(call(&server, "POST", "/events", ada, "[]").0, 401);
    assert_eq!(
        who_am_i(&server, ada)["caller"],
        json!({ "project": "shop", "scope": "read", "key_id": null, "can_log_out": false })
    );
    let mut request = Request::new(events_request(vec![event("page_view")]));
    request.metadata_mut().insert("x-forwarded-user", "ada".parse().unwrap());
    let sent = tokio::time::timeout(TIMEOUT, server.ingest().await.send_events(request)).await.unwrap();
    assert_eq!(sent.unwrap_err().code(), Code::Unauthenticated);

    // From any other address it is ignored.
    let server = start("10.0.0.0/8");
    assert_eq!(call(&server, "GET", "/api/panels", ada, "").0, 401);
    assert_eq!(who_am_i(&server, ada)["caller"], Value::Null);
}
