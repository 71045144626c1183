//! Log-in of people: a page sends a read or admin key once, or a person comes back from the provider ([`super::oidc`]), and the
//! browser presents a cookie from then on.
//!
//! The cookie is a random token of 256 bits. The server keeps its SHA-256, with the caller that it stands for, in memory: a
//! restart ends all sessions. A session also ends, with the streams that it has open, when its key is revoked or changed.
//!
//! # Requests that other pages forge
//!
//! Browsers do not send the cookie with requests that pages of other sites cause (`SameSite=Strict`), and scripts cannot read
//! it (`HttpOnly`). Another port or a sibling domain may be the same site, so that is not enough: the server also refuses
//! requests whose `Origin` or `Sec-Fetch-Site` is another origin's, see [`crate::edge::origin`]. Besides, the cookie counts
//! only for calls that read or manage; it never sends events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use rand::Rng as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use tokio_util::sync::CancellationToken;

use super::key::{KeyId, PresentedKey};
use super::keys::{AccessError, Credentials};
use super::oidc::{self, Oidc};
use super::{AccessControl, Caller, HttpRoutes, Requirement, Role, Scope, layer};
use crate::config::BasePath;
use crate::edge::tls::TlsSession;
use crate::error::{Error, ErrorCode};

const COOKIE_NAME: &str = "millrace_session";
/// A session that is not used for this long ends.
const IDLE_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// A session ends at this age.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A session of a person whom a provider has authenticated ends at this age: who has left is still known here until then.
pub(super) const LIFETIME_OF_PEOPLE: Duration = Duration::from_secs(12 * 3_600);
/// Of the choice of a project.
const PROJECT_COOKIE: &str = "millrace_project";
const PROJECT_COOKIE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3_600);
/// With more sessions, the one that was not used for the longest time ends.
const MAX_SESSIONS: usize = 10_000;
/// A key with the JSON around it is much shorter.
const MAX_BODY_BYTES: usize = 4 << 10;

/// The sessions of a server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<TokenHash, Session>>>);

type TokenHash = [u8; 32];

#[derive(Debug)]
struct Session {
    /// Its token is cancelled with that of the key, and at the end of the session.
    caller: Caller,
    started_at: Instant,
    used_at: Instant,
}

impl Session {
    fn is_valid(&self, now: Instant) -> bool {
        let lifetime = if self.caller.person.is_some() { LIFETIME_OF_PEOPLE } else { LIFETIME };
        now.duration_since(self.started_at) < lifetime
            && now.duration_since(self.used_at) < IDLE_LIFETIME
            && !self.caller.revoked.is_cancelled()
    }
}

impl Drop for Session {
    /// Ends its streams.
    fn drop(&mut self) {
        self.caller.revoked.cancel();
    }
}

impl Sessions {
    /// Nothing in here is inconsistent after a panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session, and returns its token.
    pub(super) fn begin(&self, caller: Caller, now: Instant) -> String {
        let token = BASE64_URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>());
        let mut sessions = self.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, session| session.is_valid(now));
        }
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_at).map(|(hash, _)| *hash);
            oldest.and_then(|oldest| sessions.remove(&oldest));
        }
        let revoked: CancellationToken = caller.revoked.child_token();
        let session = Session { caller: Caller { revoked, ..caller }, started_at: now, used_at: now };
        sessions.insert(hash(&token), session);
        token
    }

    /// The caller of a session.
    fn find(&self, token: &str, now: Instant) -> Option<Caller> {
        let (mut sessions, hash) = (self.lock(), hash(token));
        let session = sessions.get_mut(&hash)?;
        if !session.is_valid(now) {
            sessions.remove(&hash);
            return None;
        }
        session.used_at = now;
        Some(session.caller.clone())
    }

    fn end(&self, token: &str) {
        self.lock().remove(&hash(token));
    }

    /// The caller of the session that a request presents.
    pub(super) fn of_request(&self, headers: &HeaderMap) -> Option<Caller> {
        tokens(headers).find_map(|token| self.find(token, Instant::now()))
    }
}

fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

/// The tokens of the request's cookies: with a base path, there may be two.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    cookies(headers, COOKIE_NAME)
}

/// The project that the browser has chosen. It counts if the person has a role in it.
pub(super) fn chosen_project(headers: &HeaderMap) -> Option<&str> {
    cookies(headers, PROJECT_COOKIE).next()
}

/// The values of the request's cookies with this name.
pub(super) fn cookies<'r>(headers: &'r HeaderMap, wanted: &'static str) -> impl Iterator<Item = &'r str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
}

#[derive(Clone)]
struct LogIn {
    access: AccessControl,
    /// Where people log in without a key.
    oidc: Option<Arc<Oidc>>,
    /// Path of the cookie.
    base_path: BasePath,
}

/// The body of `POST /api/session`.
#[derive(Deserialize)]
struct LogInRequest {
    key: String,
}

/// The body of `PUT /api/session/project`.
#[derive(Deserialize)]
struct ProjectRequest {
    project: String,
}

/// Adds `/api/session`: POST logs in with a key, GET says who the caller is, DELETE logs out. And `/api/session/project`: PUT
/// chooses among the projects of a person. The routes for the log-in without a key are those of [`super::oidc`].
pub(crate) fn add_routes(
    routes: HttpRoutes,
    access: AccessControl,
    oidc: Option<Arc<Oidc>>,
    base_path: BasePath,
) -> HttpRoutes {
    let routes = oidc::routes::add_routes(routes, access.clone(), oidc.clone(), base_path.clone());
    let state = LogIn { access, oidc, base_path };
    routes
        .route(
            "/api/session",
            Requirement::Open,
            get(who_am_i).post(log_in).delete(log_out).with_state(state.clone()),
        )
        .route("/api/session/project", Requirement::Read, put(choose_project).with_state(state))
}

/// Whether callers have to log in, and who this one is.
async fn who_am_i(State(state): State<LogIn>, request: Request) -> Response {
    let authenticated = layer::authenticate(&state.access, Requirement::Read, &request);
    let problem = match &authenticated {
        Err(error @ AccessError::NoRole(_)) => Some(error.to_string()),
        _ => None,
    };
    let caller = authenticated.ok();
    let is_required = state.access.requires_keys();
    let has_session = state.access.sessions().of_request(request.headers()).is_some();
    let caller = caller.filter(|_| is_required).map(|caller| {
        let role = caller.person.as_ref().and_then(|person| person.role_in(&caller.project));
        // People whom a proxy names without groups have no key and no role, and read.
        let scope = caller.key.as_ref().map(|key| key.scope).or(role.map(Role::scope)).unwrap_or(Scope::Read);
        let mut json = serde_json::json!({
            "project": caller.project.to_string(),
            "scope": scope.as_str(),
            "key_id": caller.key.as_ref().map(|key| key.id.to_string()),
            "can_log_out": has_session,
        });
        if let (Some(person), Some(role)) = (&caller.person, role) {
            json["name"] = person.name.as_str().into();
            json["role"] = role.as_str().into();
            json["projects"] = person.projects().map(ToString::to_string).collect();
        }
        json
    });
    let mut body = serde_json::json!({ "required": is_required, "log_in": ["key"], "caller": caller });
    if let Some(oidc) = &state.oidc {
        body["log_in"] = serde_json::json!(["key", "oidc"]);
        body["oidc"] = serde_json::json!({ "name": oidc.provider_name(), "url": oidc.log_in_url() });
    }
    if let Some(problem) = problem {
        body["problem"] = problem.into();
    }
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn log_in(State(state): State<LogIn>, request: Request) -> Response {
    let cookie_end = cookie_attributes(&state.base_path, &request);
    let (id, caller) = match read_key(request).await.and_then(|key| check_key(&state.access, key)) {
        Ok(checked) => checked,
        Err(error) => return error.into_response(),
    };
    tracing::info!(key = %id, "logged in");
    let token = state.access.sessions().begin(caller, Instant::now());
    set_cookie(&format!("{COOKIE_NAME}={token}; Max-Age={}{cookie_end}", LIFETIME.as_secs()))
}

/// A cookie of the browser, and not of the session: people whom a proxy names have none.
async fn choose_project(State(state): State<LogIn>, request: Request) -> Response {
    let cookie_end = cookie_attributes(&state.base_path, &request);
    let person = Caller::of(request.extensions()).map(|caller| caller.person);
    let chosen = read_json(request, "{\"project\": \"shop\"}").await;
    let (person, ProjectRequest { project }) = match (person, chosen) {
        (Ok(person), Ok(chosen)) => (person, chosen),
        (Err(error), _) | (_, Err(error)) => return error.into_response(),
    };
    let Some(person) = person else {
        return Error::invalid("a key has one project; log in with another key").into_response();
    };
    if !person.projects().any(|known| known.as_str() == project) {
        let message = format!("{} has no role in the project {project:?}", person.name);
        return Error::new(ErrorCode::Forbidden, message).into_response();
    }
    let seconds = PROJECT_COOKIE_LIFETIME.as_secs();
    set_cookie(&format!("{PROJECT_COOKIE}={project}; Max-Age={seconds}{cookie_end}"))
}

/// The body as JSON of this form.
async fn read_json<T: serde::de::DeserializeOwned>(request: Request, form: &str) -> Result<T, Error> {
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await;
    let body = body.map_err(|error| Error::invalid(format!("the body cannot be read: {error}")))?;
    serde_json::from_slice(&body)
        .map_err(|_| Error::invalid(format!("the body is not JSON of the form {form}")))
}

async fn read_key(request: Request) -> Result<PresentedKey, Error> {
    let LogInRequest { key } = read_json(request, "{\"key\": \"mr_read_...\"}").await?;
    key.trim().parse().map_err(|error: super::key::MalformedKey| {
        let message = format!("this is not a key: {error}; paste all of what `millrace keys create` printed");
        Error::new(ErrorCode::Unauthenticated, message)
    })
}

/// The key must be one that reads.
fn check_key(access: &AccessControl, key: PresentedKey) -> Result<(KeyId, Caller), Error> {
    if !access.requires_keys() {
        return Err(Error::invalid("this server requires no keys, so there is nothing to log in to"));
    }
    let id = key.id.clone();
    Ok((id, access.authenticate(&Credentials::Key(key), Requirement::Read, None)?))
}

async fn log_out(State(state): State<LogIn>, request: Request) -> Response {
    for token in tokens(request.headers()) {
        state.access.sessions().end(token);
    }
    set_cookie(&format!("{COOKIE_NAME}=; Max-Age=0{}", cookie_attributes(&state.base_path, &request)))
}

/// Secure where the browser came over TLS. A proxy that ends TLS says so; a browser cannot be made to send that header.
fn cookie_attributes(base_path: &BasePath, request: &Request) -> String {
    let forwarded = request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let is_tls = forwarded || request.extensions().get::<TlsSession>().is_some();
    attributes(base_path, is_tls)
}

fn attributes(base_path: &BasePath, is_tls: bool) -> String {
    let secure = if is_tls { "; Secure" } else { "" };
    format!("; Path={base_path}; HttpOnly; SameSite=Strict{secure}")
}

/// The cookie of a person's session.
pub(super) fn cookie_of_person(token: &str, base_path: &BasePath, is_tls: bool) -> String {
    let seconds = LIFETIME_OF_PEOPLE.as_secs();
    format!("{COOKIE_NAME}={token}; Max-Age={seconds}{}", attributes(base_path, is_tls))
}

fn set_cookie(cookie: &str) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::people::{Grantee, Grants, Identity};
    use crate::project::Project;

    fn caller() -> Caller {
        Caller { project: Project::default(), key: None, person: None, revoked: CancellationToken::new() }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_old_or_ended() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let token = sessions.begin(caller(), now);
        assert_eq!(token.len(), 43);
        assert!(sessions.find("other", now).is_none());
        assert!(sessions.find(&token, now).is_some());
        assert!(sessions.find(&token, now + IDLE_LIFETIME).is_none());

        let token = sessions.begin(caller(), now);
        let mut at = now;
        while at + IDLE_LIFETIME / 2 < now + LIFETIME {
            at += IDLE_LIFETIME / 2;
            assert!(sessions.find(&token, at).is_some());
        }
        assert!(sessions.find(&token, now + LIFETIME).is_none());

        let token = sessions.begin(caller(), now);
        let open_stream = sessions.find(&token, now).unwrap().revoked;
        sessions.end(&token);
        assert!(open_stream.is_cancelled() && sessions.find(&token, now).is_none());

        let key = caller();
        let token = sessions.begin(key.clone(), now);
        let open_stream = sessions.find(&token, now).unwrap().revoked;
        key.revoked.cancel();
        assert!(open_stream.is_cancelled() && sessions.find(&token, now).is_none());
        assert!(sessions.lock().is_empty());
    }

    #[test]
    fn the_session_of_a_person_ends_after_twelve_hours_of_use() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let grants = Grants(vec![(Grantee::Everyone, Role::Viewer, vec![Project::default()])]);
        let person = grants.person(Identity::default()).unwrap();
        let token = sessions.begin(Arc::new(person).into(), now);
        let last = now + LIFETIME_OF_PEOPLE - Duration::from_secs(1);
        assert!(sessions.find(&token, last).is_some_and(|caller| caller.person.is_some()));
        assert!(sessions.find(&token, now + LIFETIME_OF_PEOPLE).is_none());
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let (sessions, now, key) = (Sessions::default(), Instant::now(), caller());
        let first = sessions.begin(key.clone(), now);
        let second = sessions.begin(key.clone(), now);
        assert!(sessions.find(&first, now + Duration::from_secs(1)).is_some());
        for _ in 2..=MAX_SESSIONS {
            sessions.begin(key.clone(), now + Duration::from_secs(2));
        }
        assert_eq!(sessions.lock().len(), MAX_SESSIONS);
        assert!(sessions.find(&second, now).is_none() && sessions.find(&first, now).is_some());
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("theme=dark; millrace_session=a"));
        headers.append(COOKIE, HeaderValue::from_static("millrace_session=b;x"));
        assert_eq!(tokens(&headers).collect::<Vec<_>>(), ["a", "b"]);
    }
}
