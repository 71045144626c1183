//! The parameters of a request in ClickHouse's HTTP protocol: in the URL, in headers and in a multipart body.

use http::HeaderMap;
use http::request::Parts;

use super::error::EngineError;

/// A request without its body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HttpRequest {
    /// The statement, or its first part: the body continues it.
    pub(super) query: String,
    pub(super) database: Option<String>,
    pub(super) default_format: Option<String>,
    pub(super) query_id: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// ClickHouse settings for this statement, as names and values.
    pub(super) settings: Vec<(String, String)>,
    /// Query parameters (`param_x`), as names and values. Values are escaped as in ClickHouse's TabSeparated.
    pub(super) params: Vec<(String, String)>,
    /// Whether the response may be compressed according to Accept-Encoding. On by default, as in ClickHouse since 25.10.
    pub(super) compress_response: bool,
    /// ClickHouse's `readonly`: 0 allows anything, 1 only reads, 2 reads and changes of settings.
    pub(super) readonly: u8,
}

/// Parameters of the protocol that are accepted without effect. A session lasts for one statement, there are no progress
/// headers, and only its format determines whether a response is streamed.
const IGNORED_PARAMETERS: [&str; 12] = [
    "session_id",
    "session_timeout",
    "session_check",
    "quota_key",
    "role",
    "stacktrace",
    "buffer_size",
    "wait_end_of_query",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "close_session",
];

impl HttpRequest {
    /// Reads the URL and the headers. Credentials in headers override those in the URL; a database or format in the URL
    /// overrides that in the headers.
    pub(super) fn from_parts(parts: &Parts) -> Result<Self, EngineError> {
        let readonly = if parts.method == http::Method::POST { 0 } else { 2 };
        let mut request = Self { readonly, compress_response: true, ..Self::default() };
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            request.set_parameter(&name, value.into_owned())?;
        }
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        request.database = request.database.or_else(|| header("x-clickhouse-database"));
        request.default_format = request.default_format.or_else(|| header("x-clickhouse-format"));
        if let Some((user, password)) = credentials(&parts.headers) {
            request.user = Some(user);
            request.password = Some(password);
        }
        Ok(request)
    }

    /// Sets a parameter of the URL or of a multipart body. Parts of a statement are concatenated.
    pub(super) fn set_parameter(&mut self, name: &str, value: String) -> Result<(), EngineError> {
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value).filter(|name| !name.is_empty()),
            "default_format" => self.default_format = Some(value).filter(|name| !name.is_empty()),
            "query_id" => self.query_id = Some(value).filter(|id| !id.is_empty()),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "enable_http_compression" => self.compress_response = is_enabled(&value),
            "compress" if is_enabled(&value) => {
                return Err(EngineError::BlockCompression { parameter: "compress" });
            }
            "decompress" if is_enabled(&value) => {
                return Err(EngineError::BlockCompression { parameter: "decompress" });
            }
            "compress" | "decompress" => {}
            "readonly" => {
                let requested = value.parse().map_err(|_| EngineError::InvalidReadonly { value })?;
                // A GET request stays read-only.
                self.readonly = if self.readonly == 0 { requested } else { self.readonly };
            }
            _ if IGNORED_PARAMETERS.contains(&name) => {}
            _ => match name.strip_prefix("param_") {
                Some(param) => self.params.push((param.to_owned(), value)),
                None => {
                    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                        return Err(EngineError::InvalidSettingName { name: name.to_owned() });
                    }
                    self.settings.push((name.to_owned(), value));
                }
            },
        }
        Ok(())
    }
}

fn is_enabled(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

/// User and password in the headers of the protocol, or in basic authentication.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(user) = text("x-clickhouse-user") {
        return Some((user.to_owned(), text("x-clickhouse-key").unwrap_or_default().to_owned()));
    }
    use base64::Engine as _;
    let (scheme, encoded) = text("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<HttpRequest, EngineError> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        HttpRequest::from_parts(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_url_holds_the_query_settings_and_parameters() {
        let uri = "/?query=SELECT+1&database=d&default_format=JSON&max_threads=2&param_x=a%5Ctb&session_id=s&query_id=q";
        let request = parse_request("POST", uri, &[]).unwrap();
        assert_eq!(request.query, "SELECT 1");
        assert_eq!(
            (request.database.as_deref(), request.default_format.as_deref()),
            (Some("d"), Some("JSON"))
        );
        assert_eq!(request.settings, [("max_threads".into(), "2".into())]);
        assert_eq!(request.params, [("x".into(), "a\\tb".into())]);
        assert_eq!((request.query_id.as_deref(), request.readonly), (Some("q"), 0));
    }

    #[test]
    fn get_requests_are_readonly_and_cannot_override_it() {
        assert_eq!(parse_request("GET", "/?query=x&readonly=0", &[]).unwrap().readonly, 2);
        assert_eq!(parse_request("POST", "/?readonly=1", &[]).unwrap().readonly, 1);
        assert!(parse_request("POST", "/?readonly=x", &[]).is_err());
    }

    #[test]
    fn credentials_are_read_from_basic_auth_headers_and_the_url() {
        let basic = parse_request("POST", "/", &[("authorization", "Basic dTpwOnc=")]).unwrap();
        assert_eq!((basic.user.as_deref(), basic.password.as_deref()), (Some("u"), Some("p:w")));
        let named =
            parse_request("POST", "/", &[("x-clickhouse-user", "u"), ("x-clickhouse-key", "k")]).unwrap();
        assert_eq!((named.user.as_deref(), named.password.as_deref()), (Some("u"), Some("k")));
        let url = parse_request("POST", "/?user=u&password=w", &[]).unwrap();
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("u"), Some("w")));
    }

    #[test]
    fn invalid_settings_are_rejected_by_name() {
        let error = |uri| parse_request("POST", uri, &[]).unwrap_err().response_text();
        assert!(error("/?max_threads%3D1%3Bx=2").contains("UNKNOWN_SETTING"));
        assert!(error("/?decompress=1").contains("decompress=1"));
        assert!(parse_request("POST", "/?decompress=0", &[]).is_ok());
    }
}
