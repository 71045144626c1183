//! Checks requests before their handlers run, and ends them when their key is revoked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use super::key::PresentedKey;
use super::keys::{AccessError, Credentials};
use super::{AccessControl, Caller, Requirement, Scope, rpcs, session};
use crate::edge::tls::TlsSession;
use crate::error::{Error, ErrorCode};

/// The parameter of a beacon's URL that has its key: `navigator.sendBeacon` sends no headers.
const KEY_PARAMETER: &str = "key";

/// Checks a request for an HTTP route.
pub(super) async fn check_http(
    State((access, requirement)): State<(AccessControl, Requirement)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match authenticate(&access, requirement, &request) {
        Ok(caller) => caller,
        Err(error) => return http_error(error.into()),
    };
    let revoked = caller.revoked.clone();
    request.extensions_mut().insert(caller);
    match revoked.run_until_cancelled_owned(next.run(request)).await {
        Some(response) => response,
        None => http_error(AccessError::Revoked.into()),
    }
}

/// Checks a call of gRPC. Inside the layer of gRPC-Web, which encodes the response.
pub(crate) async fn check_rpc(
    State(access): State<AccessControl>,
    mut request: Request,
    next: Next,
) -> Response {
    let requirement = rpcs::requirement(request.uri().path());
    let caller = match authenticate(&access, requirement, &request) {
        Ok(caller) => caller,
        Err(error) => return Status::from(Error::from(error)).into_http(),
    };
    let revoked = caller.revoked.clone();
    request.extensions_mut().insert(caller);
    match revoked.clone().run_until_cancelled_owned(next.run(request)).await {
        Some(response) => response.map(|body| {
            Body::new(RevocableBody { body, revoked: Some(Box::pin(revoked.cancelled_owned())) })
        }),
        None => Status::from(Error::from(AccessError::Revoked)).into_http(),
    }
}

fn http_error(error: Error) -> Response {
    let is_unauthenticated = error.code == ErrorCode::Unauthenticated;
    let mut response = error.into_response();
    if is_unauthenticated {
        let challenge = HeaderValue::from_static("Bearer realm=\"millrace\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

pub(super) fn authenticate(
    access: &AccessControl,
    requirement: Requirement,
    request: &Request,
) -> Result<Caller, AccessError> {
    if !access.requires_keys() || requirement == Requirement::Open {
        // Whatever the request presents.
        return access.authenticate(&Credentials::None, requirement, None);
    }
    let headers = request.headers();
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let presented = credentials(access, requirement, request)?;
    let session = match presented {
        // Who has logged in has chosen a key, and with it a project.
        Credentials::None | Credentials::Proxy
            if matches!(requirement, Requirement::Read | Requirement::Admin) =>
        {
            access.sessions().of_request(headers)
        }
        _ => None,
    };
    let caller = match (session, &presented) {
        (None, Credentials::Proxy) => {
            let person = access.trusted_proxies().and_then(|proxies| proxies.person(headers));
            person.transpose()?.map(|person| Caller::from(Arc::new(person)))
        }
        (session, _) => session,
    };
    let caller = caller.map(|caller| caller.in_project(session::chosen_project(headers)));
    let credentials = caller.as_ref().map_or(presented, Credentials::Session);
    access.authenticate(&credentials, requirement, origin)
}

/// The first credentials that the request presents. Others are not tried: a wrong key is an error.
fn credentials<'r>(
    access: &AccessControl,
    requirement: Requirement,
    request: &'r Request,
) -> Result<Credentials<'r>, AccessError> {
    if let Some(value) = request.headers().get(AUTHORIZATION) {
        return Ok(Credentials::Key(parse_authorization(value)?));
    }
    if requirement == Requirement::BrowserWrite
        && let Some(key) = parse_parameter(request.uri())?
    {
        return Ok(Credentials::Key(key));
    }
    if let Some(tls) = request.extensions().get::<TlsSession>()
        && !tls.client_names.is_empty()
    {
        return Ok(Credentials::Certificate(&tls.client_names));
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    match (access.trusted_proxies(), peer) {
        (Some(proxies), Some(ConnectInfo(peer)))
            if matches!(requirement, Requirement::Read | Requirement::Admin)
                && proxies.have_authenticated(peer.ip(), request.headers()) =>
        {
            Ok(Credentials::Proxy)
        }
        _ => Ok(Credentials::None),
    }
}

fn parse_authorization(value: &HeaderValue) -> Result<PresentedKey, AccessError> {
    let malformed = |reason: &str| AccessError::Malformed(reason.to_owned());
    let text = value.to_str().map_err(|_| malformed("the value is not ASCII"))?;
    let (scheme, credentials) = text.split_once(' ').ok_or_else(|| malformed("the value has no scheme"))?;
    let credentials = credentials.trim();
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        credentials.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64_STANDARD.decode(credentials).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(|| malformed("the credentials are not Base64"))?;
        decoded.split(':').next().unwrap_or_default().to_owned()
    } else {
        return Err(malformed("the scheme is unknown"));
    };
    key.parse()
        .map_err(|error: super::key::MalformedKey| malformed(&format!("the key is malformed: {error}")))
}

/// Only browser keys may be in a URL: it ends up in logs of proxies.
fn parse_parameter(uri: &Uri) -> Result<Option<PresentedKey>, AccessError> {
    let query = uri.query().unwrap_or_default();
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let Some((_, text)) = parameters.find(|(name, _)| name == KEY_PARAMETER) else { return Ok(None) };
    let malformed = |reason: String| AccessError::Malformed(format!("the parameter key: {reason}"));
    let key: PresentedKey =
        text.parse().map_err(|error: super::key::MalformedKey| malformed(error.to_string()))?;
    match key.scope {
        Scope::Browser => Ok(Some(key)),
        scope => Err(malformed(format!("a key with the scope {scope} must not be in a URL"))),
    }
}

/// The body of a call's response. Ends with UNAUTHENTICATED when the key is revoked.
struct RevocableBody {
    body: Body,
    /// `None` once the body has ended.
    revoked: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl HttpBody for RevocableBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(revoked) = &mut self.revoked else { return Poll::Ready(None) };
        if revoked.as_mut().poll(cx).is_ready() {
            self.revoked = None;
            // Ends the handler's stream.
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            let status = Status::from(Error::from(AccessError::Revoked));
            let added = status.add_header(&mut trailers);
            return Poll::Ready(added.is_ok().then(|| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.revoked = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.revoked.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::key;

    #[test]
    fn keys_are_read_from_bearer_and_basic() {
        let key = key::generate(Scope::Write, None);
        let basic = BASE64_STANDARD.encode(format!("{}:", key.text));
        for value in
            [format!("Bearer {}", key.text), format!("bearer  {}", key.text), format!("Basic {basic}")]
        {
            let presented = parse_authorization(&value.parse().unwrap()).unwrap();
            assert!(presented.id == key.id && presented.hash == key.hash);
        }
        for (value, part) in [
            (key.text.as_str(), "no scheme"),
            ("Digest a", "scheme is unknown"),
            ("Basic ?", "not Base64"),
            ("Bearer mr_x", "does not have the form"),
            (&format!("Bearer {}", &key.text[..key.text.len() - 1]), "does not have the form"),
        ] {
            let error = parse_authorization(&value.parse().unwrap()).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains(&key.text[20..]), "{error}");
        }
    }

    #[test]
    fn only_browser_keys_may_be_in_a_url() {
        let uri = |key: &str| format!("/events?x=1&key={key}").parse::<Uri>().unwrap();
        let browser = key::generate(Scope::Browser, None);
        assert!(parse_parameter(&uri(&browser.text)).unwrap().unwrap().id == browser.id);
        let write = key::generate(Scope::Write, None);
        let error = parse_parameter(&uri(&write.text)).err().unwrap().to_string();
        assert!(error.contains("must not be in a URL"), "{error}");
        assert!(parse_parameter(&"/events".parse().unwrap()).unwrap().is_none());
    }
}
