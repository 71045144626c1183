//! The dashboard page, which is part of the binary.
//!
//! `build.rs` takes in what `make page` has built in web/dist, gzipped. A binary that was built without it serves a line
//! that says so.

use std::io::Read as _;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// A file of the page.
struct Asset {
    /// Where it is served.
    path: &'static str,
    media_type: &'static str,
    gzipped: &'static [u8],
    /// In quotes, as the header wants it.
    etag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/web_assets.rs"));

/// Nothing comes from elsewhere, and no other site shows the page within its own.
const CONTENT_SECURITY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'");
/// Files below /assets have a name of their own for each content.
const CACHE_IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const CACHE_REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The routes of the page.
pub(crate) fn routes() -> Router {
    let mut router = Router::new();
    for asset in ASSETS {
        router = router.route(asset.path, get(async |headers: HeaderMap| asset.respond(&headers)));
    }
    if ASSETS.is_empty() {
        router = router
            .route("/", get(async || "the dashboard page is not in this binary; `make build` builds both\n"));
    }
    router
}

impl Asset {
    fn respond(&self, request_headers: &HeaderMap) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static(self.etag));
        let immutable = self.path.starts_with("/assets/");
        headers.insert(CACHE_CONTROL, if immutable { CACHE_IMMUTABLE } else { CACHE_REVALIDATE });
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if request_headers.get(IF_NONE_MATCH).is_some_and(|etag| etag == self.etag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(CONTENT_SECURITY_POLICY, CONTENT_SECURITY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let accepted =
            request_headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accepted.contains("gzip") {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return (headers, self.gzipped).into_response();
        }
        let mut decompressed = Vec::new();
        flate2::read::GzDecoder::new(self.gzipped)
            .read_to_end(&mut decompressed)
            .expect("the build gzipped it");
        (headers, decompressed).into_response()
    }
}
