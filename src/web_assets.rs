//! The dashboard page, embedded in the binary.
//!
//! `build.rs` embeds the output of `make page` in web/dist, gzipped. A binary without it serves a hint instead.

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
    /// Path of the URL.
    path: &'static str,
    media_type: &'static str,
    gzipped: &'static [u8],
    /// With quotes, as in the header.
    etag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/web_assets.rs"));

/// Only resources of this server may be loaded, and no other site may embed the page.
const CONTENT_SECURITY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'");
/// For files in /assets, whose names contain a hash of their content.
const CACHE_IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const CACHE_REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// One route for each file of the page.
pub(crate) fn routes() -> Router {
    let mut router = Router::new();
    for asset in ASSETS {
        router = router.route(asset.path, get(async |headers: HeaderMap| asset.respond(&headers)));
    }
    if ASSETS.is_empty() {
        router = router.route(
            "/",
            get(async || "this binary was built without the dashboard page; `make build` includes it\n"),
        );
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
            .expect("build.rs writes valid gzip");
        (headers, decompressed).into_response()
    }
}
