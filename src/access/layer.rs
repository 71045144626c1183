//! Checks requests before their handlers run, and ends them when their key is revoked or the deadline of their call has passed.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::key::PresentedKey;
use super::keys::{AccessError, Credentials};
use super::{AccessControl, Caller, Requirement, Scope, rpcs, session};
use crate::edge::tls::TlsSession;
use crate::error::{Error, ErrorCode};

/// The deadline of a call, as the time that is left: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
const GRPC_TIMEOUT: &str = "grpc-timeout";
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
    let _in_flight = match start_request(&caller) {
        Ok(permit) => permit,
        Err(error) => return http_error(error),
    };
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
    // The limit of streams covers uploads, which last as long as their stream.
    let is_upload = rpcs::is_upload(request.uri().path());
    let permit = if is_upload { Ok(None) } else { start_request(&caller) };
    let (_in_flight, timeout) = match permit.and_then(|permit| Ok((permit, timeout(&request)?))) {
        Ok(started) => started,
        Err(error) => return Status::from(error).into_http(),
    };
    let mut end: CallEnd = Box::pin(call_end(caller.revoked.clone(), timeout));
    request.extensions_mut().insert(caller);
    tokio::select! {
        biased;
        response = next.run(request) => {
            response.map(|body| Body::new(EndableBody { body, end: Some(end) }))
        }
        error = &mut end => Status::from(error).into_http(),
    }
}

fn start_request(caller: &Caller) -> Result<Option<OwnedSemaphorePermit>, Error> {
    caller.limits().map_or(Ok(None), |limits| limits.start_request())
}

/// Ends with the error that ends a call.
type CallEnd = Pin<Box<dyn Future<Output = Error> + Send>>;

/// Waits until the caller's key is revoked or the deadline has passed.
async fn call_end(revoked: CancellationToken, timeout: Option<Duration>) -> Error {
    let deadline = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = revoked.cancelled_owned() => AccessError::Revoked.into(),
        () = deadline => Error::new(ErrorCode::TimedOut, "the deadline of the call has passed (grpc-timeout)"),
    }
}

/// The time that the caller waits for the call, from the header `grpc-timeout`: up to eight digits and a unit.
fn timeout(request: &Request) -> Result<Option<Duration>, Error> {
    let Some(value) = request.headers().get(GRPC_TIMEOUT) else { return Ok(None) };
    let invalid = || {
        let value = String::from_utf8_lossy(value.as_bytes());
        Error::invalid(format!(
            "{GRPC_TIMEOUT}: {:?} is invalid; expected up to eight digits and a unit of H, M, S, m, u or n",
            value.chars().take(20).collect::<String>()
        ))
    };
    let text = value.to_str().map_err(|_| invalid())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(invalid)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    let duration = match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(invalid()),
    };
    Ok(Some(duration))
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
        Credentials::None | Credentials::Proxy if requirement.is_for_people() => {
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
            if requirement.is_for_people() && proxies.have_authenticated(peer.ip(), request.headers()) =>
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

/// The body of a call's response. Ends with an error when the key is revoked or the deadline has passed.
struct EndableBody {
    body: Body,
    /// `None` once the body has ended.
    end: Option<CallEnd>,
}

impl HttpBody for EndableBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        if let Poll::Ready(error) = end.as_mut().poll(cx) {
            self.end = None;
            // Ends the handler's stream.
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            let added = Status::from(error).add_header(&mut trailers);
            return Poll::Ready(added.is_ok().then(|| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.end = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.body.is_end_stream()
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
    fn deadlines_have_up_to_eight_digits_and_a_unit() {
        let parse = |value: &str| {
            timeout(&Request::builder().header(GRPC_TIMEOUT, value).body(Body::empty()).unwrap())
        };
        for (value, duration) in [
            ("2H", Duration::from_secs(7_200)),
            ("3M", Duration::from_secs(180)),
            ("4S", Duration::from_secs(4)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("0u", Duration::ZERO),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(parse(value).unwrap(), Some(duration), "{value}");
        }
        for value in ["", "5", "S", "123456789S", "1s", "-1S", "1 S", "+1S", "1é"] {
            let error = parse(value).unwrap_err();
            assert!(error.message.starts_with("grpc-timeout: "), "{value:?}: {}", error.message);
        }
        let none = timeout(&Request::new(Body::empty()));
        assert_eq!(none.unwrap(), None);
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
