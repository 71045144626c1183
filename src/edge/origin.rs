//! Rejects requests of browser pages from other origins: they must neither send events nor read panels.
//!
//! - *Host* protects against DNS rebinding: a page whose DNS name was pointed at this server is same-origin for the
//!   browser, but sends its own name as `Host`. Names with a dot, which an attacker could register, must be listed in
//!   `MILLRACE_ALLOWED_HOSTS`. IP addresses, `*.localhost`, and names without a dot (`localhost`, names of containers and of
//!   hosts in the same domain) cannot be registered, so they are always allowed.
//! - *Origin*: browsers send it with every POST, and with every request whose response a page of another origin may read.
//!   It must equal the host, or be listed in `MILLRACE_ALLOWED_ORIGINS`.
//! - *Sec-Fetch-Site* covers cross-site requests without `Origin`, such as images and scripts.
//!
//! Two kinds of requests are exempt: native gRPC clients, since no browser sends POST over HTTP/2 without `Origin`, and
//! probes of `/livez` and `/readyz`.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, Uri, Version};

use super::body::is_grpc;

/// Why a request is forbidden.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    /// `Host` or `:authority` names another server.
    #[error("Host: {host:?} is not a name of this server; if it should be, add it to MILLRACE_ALLOWED_HOSTS")]
    UnknownHost { host: String },
    /// `Origin` is neither this server nor configured.
    #[error(
        "Origin: {origin:?} is not the origin of this server; pages of other origins may not send events or read \
         panels. If the page is yours, add its origin to MILLRACE_ALLOWED_ORIGINS"
    )]
    CrossOrigin { origin: String },
    /// A browser's subresource request from another site, without `Origin`.
    #[error("Sec-Fetch-Site: pages of other sites may not send events or read panels")]
    CrossSite,
}

/// The allowed hosts and origins.
#[derive(Debug)]
pub(crate) struct OriginPolicy {
    /// Lower-case names, without ports.
    hosts: Vec<String>,
    any_host: bool,
    /// In lower case, as browsers send them.
    origins: Vec<String>,
}

impl OriginPolicy {
    /// Takes the comma-separated lists of the settings.
    pub(crate) fn new(hosts: &str, origins: &str) -> Self {
        let parse_list = |text: &str| -> Vec<String> {
            let words = text.split(',').map(|word| word.trim().trim_end_matches('/').to_ascii_lowercase());
            words.filter(|word| !word.is_empty()).collect()
        };
        let hosts = parse_list(hosts);
        Self { any_host: hosts.iter().any(|host| host == "*"), hosts, origins: parse_list(origins) }
    }

    /// Allows a request, or says why not.
    ///
    /// # Errors
    /// The first of its headers that is not allowed.
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<(), OriginError> {
        let probe = matches!(uri.path(), "/livez" | "/readyz");
        if probe && (method == Method::GET || method == Method::HEAD) {
            return Ok(());
        }
        let origin = headers.get(ORIGIN);
        if version == Version::HTTP_2 && method == Method::POST && origin.is_none() && is_grpc(headers) {
            return Ok(());
        }
        // HTTP/2 has the host in `:authority`. If a request has both, both must be allowed.
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let hosts = || authority.into_iter().chain(headers.get_all(HOST).iter().map(|host| host.as_bytes()));
        if let Some(host) = hosts().find(|host| !self.allows_host(host)) {
            return Err(OriginError::UnknownHost { host: String::from_utf8_lossy(host).into_owned() });
        }
        if let Some(origin) = origin {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            if self.origins.contains(&origin) {
                return Ok(());
            }
            let is_same = |host: &[u8]| is_same_origin(&origin, host);
            if headers.get_all(ORIGIN).iter().count() > 1 || hosts().next().is_none() || !hosts().all(is_same)
            {
                return Err(OriginError::CrossOrigin { origin });
            }
            return Ok(());
        }
        let header = |name: &str| headers.get(name).map(|value| value.as_bytes());
        let cross_site = matches!(header("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
        if cross_site && header("sec-fetch-mode") != Some(b"navigate") {
            return Err(OriginError::CrossSite);
        }
        Ok(())
    }

    fn allows_host(&self, host: &[u8]) -> bool {
        let Ok(authority) = http::uri::Authority::try_from(host) else {
            return false;
        };
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        self.any_host
            || !name.contains('.')
            || address.parse::<std::net::IpAddr>().is_ok()
            || name.ends_with(".localhost")
            || self.hosts.contains(&name)
    }
}

/// Whether `origin` is `http://HOST` or `https://HOST`. Default ports may be omitted on either side.
fn is_same_origin(origin: &str, host: &[u8]) -> bool {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    [("http://", ":80"), ("https://", ":443")].into_iter().any(|(scheme, port)| {
        let without_port = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_owned();
        origin
            .strip_prefix(scheme)
            .is_some_and(|authority| !authority.is_empty() && without_port(authority) == without_port(&host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &OriginPolicy, request: &str) -> Result<(), OriginError> {
        let mut lines = request.split(" | ");
        let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
        let mut headers = HeaderMap::new();
        let mut version = Version::HTTP_11;
        for line in lines {
            if line == "h2" {
                version = Version::HTTP_2;
                continue;
            }
            let (name, value) = line.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        policy.check(&method.parse().unwrap(), &uri.parse().unwrap(), version, &headers)
    }

    #[test]
    fn clients_and_same_origin_pages_are_allowed() {
        let policy = OriginPolicy::new("analytics.example.com, Other.Example", "https://Public.example/");
        for request in [
            "GET /api/panels | host: 127.0.0.1:8080",
            "GET / | host: localhost:8080 | sec-fetch-site: none | sec-fetch-mode: navigate",
            "GET / | host: localhost:8080 | sec-fetch-site: cross-site | sec-fetch-mode: navigate",
            "GET /api/panels | host: [::1]:8080",
            "GET /api/panels | host: 10.1.2.3",
            "GET /api/panels | host: millrace:8080",
            "GET /api/panels | host: app.localhost",
            "GET /api/panels | host: OTHER.example:80",
            "GET /api/panels", // HTTP/1.0
            "GET /readyz | host: pod.cluster.local",
            "POST /events | host: localhost:5173 | origin: http://localhost:5173 | sec-fetch-site: same-origin",
            "POST /events | host: analytics.example.com | origin: https://analytics.example.com",
            "POST /events | host: analytics.example.com:443 | origin: https://analytics.example.com",
            "POST /events | host: 127.0.0.1:8080 | origin: https://public.example",
            "POST http://millrace.svc.cluster.local:8080/x | h2 | content-type: application/grpc+proto",
            "POST http://127.0.0.1:8080/x | h2 | content-type: application/grpc-web+proto | origin: http://127.0.0.1:8080",
        ] {
            assert_eq!(check(&policy, request), Ok(()), "{request}");
        }
    }

    #[test]
    fn cross_origin_pages_are_rejected() {
        let policy = OriginPolicy::new("analytics.example.com", "https://public.example");
        for (request, part) in [
            ("GET /api/panels | host: evil.example", "MILLRACE_ALLOWED_HOSTS"),
            ("GET / | host: evil.example:8080", "MILLRACE_ALLOWED_HOSTS"),
            ("GET /health | host: 127.0.0.1.evil.example", "MILLRACE_ALLOWED_HOSTS"),
            ("GET /api/panels | host: 127.0.0.1@evil.example", "MILLRACE_ALLOWED_HOSTS"),
            ("GET /api/panels | host: localhost | host: evil.example", "MILLRACE_ALLOWED_HOSTS"),
            ("GET http://evil.example/api/panels | host: localhost", "MILLRACE_ALLOWED_HOSTS"),
            ("GET http://evil.example/api/panels | h2", "MILLRACE_ALLOWED_HOSTS"),
            (
                "POST /events | host: 127.0.0.1:8080 | origin: https://evil.example",
                "MILLRACE_ALLOWED_ORIGINS",
            ),
            ("POST /events | host: 127.0.0.1:8080 | origin: null", "MILLRACE_ALLOWED_ORIGINS"),
            (
                "POST /events | host: 127.0.0.1:8080 | origin: http://127.0.0.1:3000",
                "MILLRACE_ALLOWED_ORIGINS",
            ),
            (
                "POST /events | host: localhost:8080 | origin: http://127.0.0.1:8080",
                "MILLRACE_ALLOWED_ORIGINS",
            ),
            ("POST /events | origin: http://", "MILLRACE_ALLOWED_ORIGINS"),
            (
                "POST /x | host: localhost | origin: http://localhost | origin: http://evil.example",
                "MILLRACE_ALLOWED_ORIGINS",
            ),
            (
                "POST http://localhost/x | h2 | content-type: application/grpc | origin: http://evil.example",
                "MILLRACE_ALLOWED_ORIGINS",
            ),
            ("POST /x | host: evil.example | content-type: application/grpc", "MILLRACE_ALLOWED_HOSTS"),
            (
                "GET /api/panels | host: localhost | sec-fetch-site: cross-site | sec-fetch-mode: no-cors",
                "Sec-Fetch",
            ),
        ] {
            let reason = check(&policy, request).expect_err(request).to_string();
            assert!(reason.contains(part), "{request}: {reason}");
        }
    }

    #[test]
    fn a_wildcard_allows_any_host() {
        assert_eq!(check(&OriginPolicy::new("*", ""), "GET /api/panels | host: some.example"), Ok(()));
    }
}
