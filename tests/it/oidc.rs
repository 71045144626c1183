//! Log-in of people with OpenID Connect, at a real provider, by an HTTP client that follows the redirects as a browser does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use millrace_client::proto::v1;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Request};

use crate::clients::tools_dir;
use crate::common::{TIMEOUT, TestServer, event, events_request, free_address, http_request_with};
use crate::keys::{authorized, create_key};
use crate::tls::{Authority, Files};

/// tests/clients/oidc_provider.mjs. Dropping it kills it.
struct Provider {
    child: Child,
    issuer: String,
    /// Open, because it prints more than the first line.
    _output: BufReader<ChildStdout>,
}

impl Provider {
    fn start(redirect_uri: &str, env: &[(&str, &str)]) -> Self {
        let folder = tools_dir().join("node");
        let mut child = Command::new("node")
            .arg("oidc_provider.mjs")
            .current_dir(folder)
            .env("REDIRECT_URI", redirect_uri)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut issuer = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut issuer).unwrap();
        assert!(issuer.contains("://127.0.0.1:"), "{issuer}; does oidc_provider.mjs run?");
        Self { child, issuer: issuer.trim().to_owned(), _output: output }
    }

    /// Changes what it does.
    fn set(&self, parameters: &str) {
        let url = format!("{}/test?{parameters}", self.issuer);
        assert_eq!(Browser::default().request("GET", &url, "").status, 200);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    /// Absolute.
    location: String,
    body: String,
}

/// A client with cookies. It follows no redirects on its own.
#[derive(Default)]
struct Browser {
    /// By host and name: value and path.
    cookies: BTreeMap<(String, String), (String, String)>,
}

impl Browser {
    fn request(&mut self, method: &str, url: &str, body: &str) -> Response {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let path = format!("/{path}");
        let sent = self.cookies.iter().filter(|((of, _), (_, below))| of == host && path.starts_with(below));
        let cookies: Vec<_> = sent.map(|((_, name), (value, _))| format!("{name}={value}")).collect();
        let content_type = match body.starts_with('{') {
            true => "application/json",
            false => "application/x-www-form-urlencoded",
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {}\r\ncontent-type: {content_type}\r\nconnection: \
             close\r\ncontent-length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        );
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let values = |wanted: &'static str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        for cookie in values("set-cookie") {
            let mut parts = cookie.split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let path = parts.find_map(|part| part.strip_prefix("path=").or(part.strip_prefix("Path=")));
            let key = (host.to_owned(), name.to_owned());
            if value.is_empty() {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, (value.to_owned(), path.unwrap_or("/").to_owned()));
            }
        }
        let location = values("location").next().unwrap_or_default();
        let location = match location.starts_with('/') {
            true => format!("http://{host}{location}"),
            false => location.to_owned(),
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head: head.to_owned(), location, body: body.to_owned() }
    }

    /// Follows redirects until one leads to a URL with `part`, which is returned.
    fn follow_until(&mut self, first: &str, part: &str) -> String {
        let mut url = first.to_owned();
        for _ in 0..10 {
            if url.contains(part) {
                return url;
            }
            let response = self.request("GET", &url, "");
            assert_eq!(response.status, 303, "{url}: {response:?}");
            url = response.location;
        }
        panic!("{first} does not lead to {part}");
    }

    fn cookie(&self, server: &TestServer, name: &str) -> Option<String> {
        self.cookies.get(&(server.address.clone(), name.to_owned())).map(|(value, _)| value.clone())
    }

    /// Begins a log-in, and returns the URL of the provider.
    fn begin(&mut self, server: &TestServer) -> String {
        let begun =
            self.request("GET", &format!("{}/api/session/oidc?return=/%3Frange%3D6h", server.url()), "");
        assert_eq!(begun.status, 303, "{begun:?}");
        begun.location
    }

    /// Logs in at the provider, and returns the URL that leads back to the server, with the code.
    fn authenticate(&mut self, provider_url: &str, account: &str) -> String {
        let form = self.follow_until(provider_url, "/interaction/");
        let posted = self.request("POST", &form, &format!("prompt=login&login={account}&password=x"));
        assert_eq!(posted.status, 303, "{posted:?}");
        self.follow_until(&posted.location, "/api/session/oidc/callback?")
    }

    /// The whole log-in. Returns the path where the browser is in the end.
    fn log_in(&mut self, server: &TestServer, account: &str) -> String {
        let provider_url = self.begin(server);
        let back = self.authenticate(&provider_url, account);
        self.come_back(server, &back)
    }

    fn come_back(&mut self, server: &TestServer, url: &str) -> String {
        let response = self.request("GET", url, "");
        assert_eq!(response.status, 303, "{response:?}");
        assert!(response.head.contains("cache-control: no-store"), "{}", response.head);
        assert_eq!(self.cookie(server, "millrace_log_in"), None, "it is used once");
        response.location.strip_prefix(&server.url()).unwrap().to_owned()
    }

    fn session(&mut self, server: &TestServer) -> Value {
        let response = self.request("GET", &format!("{}/api/session", server.url()), "");
        serde_json::from_str(&response.body).unwrap()
    }

    fn status_of(&mut self, server: &TestServer, method: &str, path: &str, body: &str) -> u16 {
        self.request(method, &format!("{}{path}", server.url()), body).status
    }

    /// A call of gRPC with the browser's cookies.
    fn with_cookies<T>(&self, server: &TestServer, message: T) -> Request<T> {
        let cookies = ["millrace_session", "millrace_project"].map(|name| {
            self.cookie(server, name).map_or_else(String::new, |value| format!("{name}={value}"))
        });
        let mut request = Request::new(message);
        request.metadata_mut().insert("cookie", cookies.join("; ").parse().unwrap());
        request
    }

    /// The page views of the current project.
    async fn views(&self, server: &TestServer) -> u64 {
        let request = v1::GetTopPagesRequest::default();
        let response = server.dashboard().await.get_top_pages(self.with_cookies(server, request)).await;
        views_in(&response.unwrap().into_inner())
    }
}

const GRANTS: &str = r#"
[[grant]]
group = "shop-viewers"
role = "viewer"
projects = ["shop"]

[[grant]]
group = "blog-editors"
role = "editor"
projects = ["blog"]

[[grant]]
group = "admins"
role = "admin"
projects = ["shop"]

[[grant]]
email_domain = "example.com"
role = "viewer"
projects = ["blog"]
"#;

/// Writes the file of people, with a key for it to be of use.
fn people_folder(oidc: &str) -> (Arc<TempDir>, String) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    create_key(folder.path(), &["--scope", "admin"]);
    let file = folder.path().join("people.toml");
    std::fs::write(folder.path().join("secret"), "a+secret/for tests\n").unwrap();
    std::fs::write(&file, format!("{GRANTS}\n{oidc}")).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (folder, path)
}

fn oidc_section(issuer: &str, address: &str, secret: &str) -> String {
    format!(
        "[oidc]\nissuer = \"{issuer}\"\nclient_id = \"millrace\"\n{secret}public_url = \"http://{address}\"\nprovider_name = \
         \"Test\"\n"
    )
}

const SECRET: &str = "client_secret_file = \"secret\"\n";

fn callback_of(address: &str) -> String {
    format!("http://{address}/api/session/oidc/callback")
}

/// A provider, and a server where its people log in.
async fn start() -> (Provider, TestServer) {
    let address = free_address();
    let provider = Provider::start(&callback_of(&address), &[]);
    let (folder, people) = people_folder(&oidc_section(&provider.issuer, &address, SECRET));
    let env = [("MILLRACE_LISTEN", address.as_str()), ("MILLRACE_PEOPLE_FILE", &people)];
    let mut server = TestServer::start_on(folder, &env);
    server.wait_for_log_line("people can log in with OpenID Connect");
    (provider, server)
}

#[tokio::test]
async fn people_have_the_roles_of_their_groups_until_they_log_out() {
    let (_provider, server) = start().await;
    let mut keys = BTreeMap::new();
    for project in ["shop", "blog", "ops"] {
        keys.insert(project, create_key(server.data_dir(), &["--scope", "write", "--project", project]));
    }
    let mut server = server;
    server.wait_for_log_line("keys reloaded");
    for (count, project) in [(1, "shop"), (2, "blog"), (4, "ops")] {
        let view = v1::Event {
            properties_kind: Some(v1::event::PropertiesKind::PropertiesJson("{\"page_url\":\"/a\"}".into())),
            ..event("page_view")
        };
        let events = vec![view; count];
        server.ingest().await.send_events(authorized(&keys[project], events_request(events))).await.unwrap();
    }
    for (count, project) in [(1, "shop"), (2, "blog"), (4, "ops")] {
        let key = create_key(server.data_dir(), &["--scope", "read", "--project", project]);
        wait_for_views(&server, &key, count).await;
    }

    let mut ada = Browser::default();
    let session = ada.session(&server);
    let url = format!("{}/api/session/oidc", server.url());
    assert_eq!(
        session,
        json!({ "required": true, "log_in": ["key", "oidc"], "oidc": { "name": "Test", "url": url }, "caller": null })
    );
    assert_eq!(ada.log_in(&server, "ada"), "/?range=6h");
    let caller = json!({
        "name": "ada", "project": "shop", "projects": ["shop", "blog"], "role": "viewer", "scope": "read", "key_id": null,
        "can_log_out": true,
    });
    assert_eq!(ada.session(&server)["caller"], caller);
    assert_eq!(ada.status_of(&server, "GET", "/api/panels", ""), 200);
    assert_eq!(ada.views(&server).await, 1);

    // Another project of hers, and one of others.
    let mut choose = |project: &str| {
        let body = json!({ "project": project }).to_string();
        ada.status_of(&server, "PUT", "/api/session/project", &body)
    };
    assert_eq!((choose("ops"), choose("default"), choose("x y")), (403, 403, 403));
    assert_eq!(choose("blog"), 204);
    let caller = ada.session(&server)["caller"].clone();
    assert_eq!(
        (&caller["project"], &caller["role"], &caller["scope"]),
        (&json!("blog"), &json!("editor"), &json!("read"))
    );
    assert_eq!(ada.views(&server).await, 2);
    // A browser may send any cookie.
    let key = (server.address.clone(), "millrace_project".to_owned());
    ada.cookies.insert(key, ("ops".into(), "/".into()));
    assert_eq!(ada.session(&server)["caller"]["project"], "shop");
    assert_eq!(ada.views(&server).await, 1);

    // Nobody sends events or manages keys with a session, but administrators manage.
    let mut root = Browser::default();
    assert_eq!(root.log_in(&server, "root"), "/?range=6h");
    assert_eq!(root.session(&server)["caller"]["scope"], "admin");
    for (browser, metrics) in [(&mut ada, 403), (&mut root, 200)] {
        assert_eq!(browser.status_of(&server, "POST", "/events", "[]"), 401);
        assert_eq!(browser.status_of(&server, "GET", "/metrics", ""), metrics);
    }
    let mut admin = v1::admin_service_client::AdminServiceClient::new(server.channel().await);
    let denied = admin.list_keys(ada.with_cookies(&server, v1::ListKeysRequest {})).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(
        denied.message(),
        "ada has the role viewer in the project shop; this call needs the role admin"
    );
    assert!(admin.list_keys(root.with_cookies(&server, v1::ListKeysRequest {})).await.is_ok());

    // A verified address counts, another does not.
    let mut mail = Browser::default();
    assert_eq!(mail.log_in(&server, "mail"), "/?range=6h");
    assert_eq!(mail.session(&server)["caller"]["projects"], json!(["blog"]));
    for account in ["nobody", "unverified", "stranger"] {
        let mut browser = Browser::default();
        assert_eq!(browser.log_in(&server, account), "/?range=6h&log_in_error=no_role");
        assert_eq!(browser.cookie(&server, "millrace_session"), None);
        assert_eq!(browser.session(&server)["caller"], Value::Null);
        assert_eq!(browser.status_of(&server, "GET", "/api/panels", ""), 401);
        server.wait_for_log_line(&format!("no grant of MILLRACE_PEOPLE_FILE is for \"{account}\""));
    }

    let token = ada.cookie(&server, "millrace_session").unwrap();
    assert_eq!(ada.status_of(&server, "DELETE", "/api/session", ""), 204);
    assert_eq!(ada.cookie(&server, "millrace_session"), None);
    ada.cookies.insert((server.address.clone(), "millrace_session".into()), (token.clone(), "/".into()));
    assert_eq!(ada.status_of(&server, "GET", "/api/panels", ""), 401);
    assert_eq!(ada.session(&server)["caller"], Value::Null);
    let log = server.log();
    assert!(!log.contains(&token) && !log.contains("a+secret"), "{log}");
}

fn views_in(response: &v1::GetTopPagesResponse) -> u64 {
    response.pages.iter().map(|page| page.views).sum()
}

/// Until what was sent is in the panels.
async fn wait_for_views(server: &TestServer, read_key: &str, count: u64) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let request = authorized(read_key, v1::GetTopPagesRequest::default());
        let found = server.dashboard().await.get_top_pages(request).await;
        if found.is_ok_and(|response| views_in(&response.into_inner()) == count) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "no views:\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The browser comes back with this URL, and gets no session.
fn assert_fails(server: &mut TestServer, browser: &mut Browser, url: &str, code: &str, reason: &str) {
    let end = browser.come_back(server, url);
    assert!(end.ends_with(&format!("log_in_error={code}")), "{end}, not {code}");
    server.wait_for_log_line(reason);
    assert_eq!(browser.cookie(server, "millrace_session"), None, "{reason}");
}

#[tokio::test]
async fn a_log_in_that_is_not_the_browsers_own_fails() {
    let (_provider, mut server) = start().await;
    let server = &mut server;

    // An attacker's code, which the attacker has sent to somebody as a link.
    let mut attacker = Browser::default();
    let begun = attacker.begin(server);
    let stolen = attacker.authenticate(&begun, "root");
    let mut victim = Browser::default();
    assert_fails(server, &mut victim, &stolen, "expired", "the browser has no log-in under way");
    victim.begin(server);
    assert_fails(server, &mut victim, &stolen, "expired", "state is another one");
    for state in ["", "&state="] {
        victim.begin(server);
        let url = format!("{}?code=x{state}", callback_of(&server.address));
        assert_fails(server, &mut victim, &url, "expired", "state is another one");
    }

    // Even with the right state, another browser does not have the verifier.
    let mut thief = Browser::default();
    let state_of = |url: &str| url.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let own = thief.begin(server);
    let url = stolen.replace(&state_of(&stolen), &state_of(&own));
    assert_fails(server, &mut thief, &url, "failed", "the provider does not accept the code: ");

    // A code is used once, also if the browser presents its cookie again.
    let mut browser = Browser::default();
    let begun = browser.begin(server);
    let pending = browser.cookies.clone();
    let back = browser.authenticate(&begun, "ada");
    assert_eq!(browser.come_back(server, &back), "/?range=6h");
    let mut replay = Browser { cookies: pending };
    assert_fails(server, &mut replay, &back, "failed", "invalid_grant");

    // A token for another log-in.
    let mut browser = Browser::default();
    let begun = browser.begin(server);
    let nonce = begun.split("nonce=").nth(1).unwrap().split('&').next().unwrap();
    let back = browser.authenticate(&begun.replace(nonce, "another"), "ada");
    assert_fails(server, &mut browser, &back, "failed", "Invalid nonce");

    // The response of another issuer (RFC 9207).
    let mut browser = Browser::default();
    let begun = browser.begin(server);
    let back = browser.authenticate(&begun, "ada");
    let (before, issuer) = back.split_once("&iss=").unwrap();
    assert!(issuer.starts_with("http%3A%2F%2F127.0.0.1"), "{issuer}");
    let url = format!("{before}&iss=http%3A%2F%2Fevil.example");
    assert_fails(
        server,
        &mut browser,
        &url,
        "failed",
        "the response is from the issuer \"http://evil.example\"",
    );

    // The person refuses, or the provider does.
    let begun = browser.begin(server);
    let url = format!(
        "{}?error=access_denied&error_description=not%0Ayou&state={}",
        callback_of(&server.address),
        state_of(&begun)
    );
    assert_fails(server, &mut browser, &url, "refused", r#"the provider refuses: "access_denied: not\nyou""#);
}

#[tokio::test]
async fn a_token_that_is_not_valid_logs_nobody_in() {
    let (provider, mut server) = start().await;
    let server = &mut server;
    for (change, reason) in [
        ("clock=-7200", "the ID token is not valid: Expired"),
        ("tamper=payload", "the ID token is not valid: Signature verification failed"),
        ("tamper=none", "the ID token is not valid: Signature verification failed: No signature found"),
    ] {
        let mut browser = Browser::default();
        provider.set(change);
        let begun = browser.begin(server);
        let back = browser.authenticate(&begun, "ada");
        assert_fails(server, &mut browser, &back, "failed", reason);
    }
    // The provider's new keys are fetched.
    provider.set("keys=new");
    assert_eq!(Browser::default().log_in(server, "ada"), "/?range=6h");
}

#[tokio::test]
async fn the_server_starts_without_the_provider_and_tries_again() {
    let (address, provider_address) = (free_address(), free_address());
    let issuer = format!("http://{provider_address}");
    let (folder, people) = people_folder(&oidc_section(&issuer, &address, ""));
    let env = [("MILLRACE_LISTEN", address.as_str()), ("MILLRACE_PEOPLE_FILE", &people)];
    let mut server = TestServer::start_on(folder, &env);
    server.wait_for_log_line(&format!("the OpenID Connect provider {issuer} cannot be used"));
    server.wait_for_log_line("health: people cannot log in: ");
    let mut browser = Browser::default();
    let url = format!("{}/api/session/oidc", server.url());
    assert_eq!(browser.come_back(&server, &url), "/?log_in_error=unavailable");

    // A client without a secret, whose claims are in the ID token.
    let callback = callback_of(&address);
    let port = provider_address.split(':').nth(1).unwrap();
    let _provider = Provider::start(&callback, &[("PORT", port), ("PUBLIC_CLIENT", "1")]);
    server.wait_for_log_line("people can log in with OpenID Connect");
    server.wait_for_log_line("health: ok");
    assert_eq!(browser.log_in(&server, "ada"), "/?range=6h");
    assert_eq!(browser.session(&server)["caller"]["projects"], json!(["shop", "blog"]));
}

#[tokio::test]
async fn the_providers_certificate_is_checked() {
    let address = free_address();
    let (authority, other) = (Files::new(&Authority::new()), Files::new(&Authority::new()));
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (certificate, key) = (path(authority.certificate()), path(authority.key()));
    let provider = Provider::start(
        &callback_of(&address),
        &[("TLS_CERT", certificate.as_str()), ("TLS_KEY", key.as_str())],
    );
    let (folder, people) = people_folder(&oidc_section(&provider.issuer, &address, SECRET));
    let start = |authorities: &str| {
        let env = [
            ("MILLRACE_LISTEN", address.as_str()),
            ("MILLRACE_PEOPLE_FILE", people.as_str()),
            ("SSL_CERT_FILE", authorities),
        ];
        TestServer::start_on(Arc::clone(&folder), &env)
    };
    let mut server = start(&path(other.authority()));
    server.wait_for_log_line("cannot be reached: client error (Connect): invalid peer certificate");
    let url = format!("{}/api/session/oidc", server.url());
    assert_eq!(Browser::default().come_back(&server, &url), "/?log_in_error=unavailable");
    drop(server);

    let mut server = start(&path(authority.authority()));
    server.wait_for_log_line("people can log in with OpenID Connect");
    assert!(Browser::default().begin(&server).starts_with(&provider.issuer));
}

#[tokio::test]
async fn a_proxy_may_name_the_groups_of_people() {
    let (folder, people) = people_folder("[proxy]\ngroups_header = \"X-Forwarded-Groups\"\n");
    let env = [
        ("MILLRACE_PEOPLE_FILE", people.as_str()),
        ("MILLRACE_TRUSTED_HEADER", "X-Forwarded-User"),
        ("MILLRACE_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let server = TestServer::start_on(folder, &env);
    let get = |path: &str, headers: &str| {
        let (head, body) = http_request_with(&server, "GET", path, headers, b"");
        (head.split(' ').nth(1).unwrap().to_owned(), String::from_utf8(body).unwrap())
    };
    let session = |headers: &str| -> Value { serde_json::from_str(&get("/api/session", headers).1).unwrap() };
    let ada = "x-forwarded-user: ada\r\nx-forwarded-groups: other,shop-viewers\r\nX-Forwarded-Groups: blog-editors\r\n";
    let caller = session(ada)["caller"].clone();
    assert_eq!((&caller["name"], &caller["projects"]), (&json!("ada"), &json!(["shop", "blog"])));
    assert_eq!((&caller["role"], &caller["can_log_out"]), (&json!("viewer"), &json!(false)));
    let blog = format!("{ada}cookie: millrace_project=blog\r\n");
    assert_eq!(
        (&session(&blog)["caller"]["project"], get("/api/panels", &blog).0.as_str()),
        (&json!("blog"), "200")
    );
    assert_eq!(get("/metrics", ada).0, "403");
    assert_eq!(get("/metrics", "x-forwarded-user: root\r\nx-forwarded-groups: admins\r\n").0, "200");
    for nobody in ["x-forwarded-user: bob\r\n", "x-forwarded-user: bob\r\nx-forwarded-groups: shop\r\n"] {
        let (status, body) = get("/api/panels", nobody);
        assert!(status == "403" && body.contains("bob has no role here"), "{body}");
        let session = session(nobody);
        assert_eq!(session["caller"], Value::Null);
        assert!(session["problem"].as_str().unwrap().contains("bob has no role"), "{session}");
    }
    assert_eq!(get("/api/panels", "x-forwarded-groups: admins\r\n").0, "401");
}

#[test]
fn unusable_settings_prevent_the_start_with_one_line() {
    let fails = |folder: Arc<TempDir>, people: &str| {
        let mut server = TestServer::spawn(
            std::path::Path::new(env!("CARGO_BIN_EXE_millrace")),
            folder,
            &[("MILLRACE_PEOPLE_FILE", people)],
        );
        assert!(!server.wait().success());
        server.log()
    };
    let (folder, people) = people_folder("[proxy]\ngroups_header = \"X-Groups\"\n");
    assert!(fails(folder, &people).contains("[proxy] without MILLRACE_TRUSTED_HEADER"));
    let (folder, people) = people_folder("[oidc]\nissuer = 1\n");
    let log = fails(folder, &people);
    assert!(log.contains("people.toml: line ") && log.trim_end().lines().count() == 1, "{log}");
    let (folder, people) = people_folder("");
    std::fs::remove_file(folder.path().join("keys.toml")).unwrap();
    assert!(fails(folder, &people).contains("make the first key with"));
}
