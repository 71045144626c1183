//! `GET /api/session/oidc` sends a browser to the provider; `GET /api/session/oidc/callback` is where it comes back.
//!
//! Both respond with redirects. When a log-in fails, the page is told by the parameter `log_in_error`, one of a few codes: a text
//! in the URL could be anybody's. The log has the reason.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::provider::{LogInError, Oidc, Pending};
use super::{CALLBACK_PATH, LOG_IN_PATH};
use crate::access::session;
use crate::access::{AccessControl, HttpRoutes, Requirement};
use crate::config::BasePath;
use crate::error::{Error, ErrorCode};

const COOKIE_NAME: &str = "millrace_log_in";
/// How long a person may take at the provider.
const COOKIE_SECONDS: u32 = 600;
/// A longer address of the page is not returned to: the cookie must stay below the 4 KiB that browsers keep.
const MAX_RETURN_BYTES: usize = 1_500;
const ERROR_PARAMETER: &str = "log_in_error";

#[derive(Clone)]
struct LogIn {
    access: AccessControl,
    oidc: Option<Arc<Oidc>>,
    base_path: BasePath,
}

/// Adds both routes. Without a provider they respond with 404.
pub(crate) fn add_routes(
    routes: HttpRoutes,
    access: AccessControl,
    oidc: Option<Arc<Oidc>>,
    base_path: BasePath,
) -> HttpRoutes {
    let state = LogIn { access, oidc, base_path };
    routes.route(LOG_IN_PATH, Requirement::Open, get(begin).with_state(state.clone())).route(
        CALLBACK_PATH,
        Requirement::Open,
        get(complete).with_state(state),
    )
}

impl LogIn {
    fn oidc(&self) -> Result<&Arc<Oidc>, Error> {
        let missing = "log-in with OpenID Connect is not configured (MILLRACE_PEOPLE_FILE)";
        self.oidc.as_ref().ok_or_else(|| Error::new(ErrorCode::NotFound, missing))
    }

    /// A path of the page, and never of another host.
    fn return_path(&self, requested: Option<&str>) -> String {
        let base = self.base_path.to_string();
        let is_own = |path: &&str| {
            path.len() <= MAX_RETURN_BYTES
                && path.starts_with(&base)
                && !path.starts_with("//")
                && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        };
        requested.filter(is_own).map_or(base, str::to_owned)
    }

    /// Sets a cookie of the log-in, or removes it.
    fn cookie(&self, oidc: &Oidc, value: &str, seconds: u32) -> String {
        let Self { base_path, .. } = self;
        let secure = if is_tls(oidc) { "; Secure" } else { "" };
        // Lax: the browser comes back from the provider's site.
        format!(
            "{COOKIE_NAME}={value}; Max-Age={seconds}; Path={base_path}{}; HttpOnly; SameSite=Lax{secure}",
            &LOG_IN_PATH[1..]
        )
    }

    fn failure(&self, oidc: &Oidc, error: &LogInError, return_to: Option<&str>) -> Response {
        tracing::warn!(code = error.code(), "log-in with OpenID Connect failed: {error}");
        let path = self.return_path(return_to);
        let separator = if path.contains('?') { '&' } else { '?' };
        let location = format!("{path}{separator}{ERROR_PARAMETER}={}", error.code());
        redirect(&location, &[self.cookie(oidc, "", 0)])
    }
}

/// Whether browsers come over TLS.
fn is_tls(oidc: &Oidc) -> bool {
    oidc.settings.public_url.scheme() == "https"
}

#[derive(Deserialize)]
struct BeginParameters {
    /// Path of the page with its parameters.
    #[serde(rename = "return")]
    return_to: Option<String>,
}

async fn begin(
    State(state): State<LogIn>,
    Query(parameters): Query<BeginParameters>,
) -> Result<Response, Error> {
    let oidc = state.oidc()?;
    let return_to = state.return_path(parameters.return_to.as_deref());
    let (url, pending) = match oidc.begin(return_to.clone()) {
        Ok(begun) => begun,
        Err(error) => return Ok(state.failure(oidc, &error, Some(&return_to))),
    };
    let internal = |error: serde_json::Error| Error::new(ErrorCode::Internal, error.to_string());
    let value = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&pending).map_err(internal)?);
    Ok(redirect(url.as_str(), &[state.cookie(oidc, &value, COOKIE_SECONDS)]))
}

/// What the provider adds to the redirect URI.
#[derive(Deserialize)]
struct CallbackParameters {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    /// The issuer (RFC 9207).
    iss: Option<String>,
}

async fn complete(
    State(state): State<LogIn>,
    Query(parameters): Query<CallbackParameters>,
    request: Request,
) -> Result<Response, Error> {
    let oidc = state.oidc()?;
    let Some(pending) = pending_of(request.headers()) else {
        return Ok(state.failure(oidc, &LogInError::Expired, None));
    };
    let return_to = pending.return_to.clone();
    let completed = match check(oidc, parameters, &pending) {
        Ok(code) => oidc.complete(code, pending).await,
        Err(error) => Err(error),
    };
    let person = match completed {
        Ok(person) => Arc::new(person),
        Err(error) => return Ok(state.failure(oidc, &error, Some(&return_to))),
    };
    let projects: Vec<_> = person.projects().map(ToString::to_string).collect();
    tracing::info!(person = ?person.name, ?projects, "logged in");
    let token = state.access.sessions().begin(person.into(), Instant::now());
    let session = session::cookie_of_person(&token, &state.base_path, is_tls(oidc));
    Ok(redirect(&state.return_path(Some(&return_to)), &[session, state.cookie(oidc, "", 0)]))
}

/// The code, if the response belongs to the browser's log-in.
fn check(oidc: &Oidc, parameters: CallbackParameters, pending: &Pending) -> Result<String, LogInError> {
    let CallbackParameters { code, state, error, error_description, iss } = parameters;
    let (found, expected) = (state.unwrap_or_default(), pending.state.secret());
    if !bool::from(found.as_bytes().ct_eq(expected.as_bytes())) || expected.is_empty() {
        return Err(LogInError::State);
    }
    if let Some(issuer) = iss.filter(|issuer| *issuer != oidc.settings.issuer) {
        return Err(LogInError::Issuer(issuer));
    }
    match (code, error) {
        (Some(code), None) => Ok(code),
        (_, error) => {
            let words = [error, error_description].into_iter().flatten().collect::<Vec<_>>().join(": ");
            Err(LogInError::Refused(format!("{words:?}")))
        }
    }
}

/// The log-in that the browser has begun.
fn pending_of(headers: &HeaderMap) -> Option<Pending> {
    let value = session::cookies(headers, COOKIE_NAME).next()?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(value).ok()?).ok()
}

fn redirect(location: &str, cookies: &[String]) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    for cookie in cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok()) {
        headers.append(SET_COOKIE, cookie);
    }
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address has the code.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::KeyFile;
    use crate::project::Project;

    #[test]
    fn the_browser_returns_to_the_page_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let (access, _) = AccessControl::open(KeyFile::new(folder.path()), Project::default(), None).unwrap();
        let log_in =
            |base: &str| LogIn { access: access.clone(), oidc: None, base_path: base.parse().unwrap() };
        let (root, below) = (log_in("/"), log_in("/stats"));
        for path in ["/", "/?range=6h&filter=page:/a", "/ui-kit"] {
            assert_eq!(root.return_path(Some(path)), path);
        }
        assert_eq!(below.return_path(Some("/stats/?range=6h")), "/stats/?range=6h");
        let long = format!("/{}", "a".repeat(MAX_RETURN_BYTES));
        for path in
            ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nx: y", "/ä", "", &long]
        {
            assert_eq!(root.return_path(Some(path)), "/", "{path:?}");
        }
        assert_eq!(below.return_path(Some("/other")), "/stats/");
        assert_eq!(root.return_path(None), "/");
    }
}
