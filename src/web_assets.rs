//! The dashboard page, embedded in the binary.
//!
//! `build.rs` embeds the output of `make page` in web/dist, gzipped. A binary without it serves a hint instead.
//!
//! The page has views with paths of their own. A browser that navigates to one gets the HTML, so an unknown path is not an
//! error there.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::access::HttpRoutes;
use crate::config::{self, BasePath};

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
const CONTENT_SECURITY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self'; worker-src 'self'; object-src 'none'; \
     base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
);
/// For files in /assets, whose names contain a hash of their content.
const CACHE_IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const CACHE_REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// The files whose names contain a hash.
const HASHED_FILES: &str = "/assets/";
/// The tag of the page's HTML that other URLs are relative to. build.rs checks that the HTML has it.
const BASE_TAG: &str = "<base href=\"/\" />";

/// The page below a path.
#[derive(Clone)]
pub(crate) struct Page {
    /// The HTML; `None` if the page is not built.
    index: Option<Arc<PageFile>>,
}

impl Page {
    /// The page for a server that browsers reach at `base_path`.
    pub(crate) fn new(base_path: &BasePath) -> Self {
        let index = ASSETS.iter().find(|asset| asset.path == "/").map(|asset| {
            let file = PageFile::new(asset);
            Arc::new(if base_path.is_root() { file } else { file.with_base(base_path) })
        });
        Self { index }
    }

    /// Adds a route for each file.
    pub(crate) fn add_routes(&self, routes: HttpRoutes) -> HttpRoutes {
        let page = self.clone();
        let index = get(async move |headers: HeaderMap| page.respond(&headers));
        let mut routes = routes.file("/", index);
        for asset in ASSETS.iter().filter(|asset| asset.path != "/") {
            let file = Arc::new(PageFile::new(asset));
            let file = get(async move |headers: HeaderMap| file.respond(&headers));
            routes = routes.file(asset.path, file);
        }
        routes
    }

    /// Whether a request for an unknown path is for a view of the page, which has its own routes.
    ///
    /// A program that looks for a metric or a file must not take the page for it: paths of the server, and those whose first
    /// segment has a dot like files and gRPC services, are not views.
    pub(crate) fn has_view(method: &Method, path: &str, headers: &HeaderMap) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        let accepts_html =
            |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("text/html"));
        (method == Method::GET || method == Method::HEAD)
            && !first.contains('.')
            && !config::is_own_path(first)
            && headers.get_all(ACCEPT).iter().any(accepts_html)
    }

    /// The HTML.
    pub(crate) fn respond(&self, request_headers: &HeaderMap) -> Response {
        match &self.index {
            Some(index) => index.respond(request_headers),
            None => {
                "this binary was built without the dashboard page; `make build` includes it\n".into_response()
            }
        }
    }
}

/// A file of the page, as it is served.
struct PageFile {
    immutable: bool,
    vary: HeaderValue,
    media_type: &'static str,
    gzipped: Cow<'static, [u8]>,
    etag: HeaderValue,
}

impl PageFile {
    fn new(asset: &Asset) -> Self {
        // The path of a view has the HTML for browsers only.
        let vary = if asset.path == "/" { "accept, accept-encoding" } else { "accept-encoding" };
        Self {
            immutable: asset.path.starts_with(HASHED_FILES),
            vary: HeaderValue::from_static(vary),
            media_type: asset.media_type,
            gzipped: Cow::Borrowed(asset.gzipped),
            etag: HeaderValue::from_static(asset.etag),
        }
    }

    /// The HTML with URLs below another path.
    fn with_base(self, base_path: &BasePath) -> Self {
        let html = String::from_utf8(self.decompressed()).expect("index.html is UTF-8");
        let html = html.replacen(BASE_TAG, &format!("<base href=\"{base_path}\" />"), 1);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(html.as_bytes()).expect("a vector takes any bytes");
        let gzipped = encoder.finish().expect("a vector takes any bytes");
        let etag = format!("\"{:08x}\"", crc32c::crc32c(html.as_bytes()));
        let etag = HeaderValue::try_from(etag).expect("hexadecimal digits are valid in a header");
        Self { gzipped: Cow::Owned(gzipped), etag, ..self }
    }

    fn decompressed(&self) -> Vec<u8> {
        let mut decompressed = Vec::new();
        GzDecoder::new(&*self.gzipped).read_to_end(&mut decompressed).expect("the file is valid gzip");
        decompressed
    }

    fn respond(&self, request_headers: &HeaderMap) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, if self.immutable { CACHE_IMMUTABLE } else { CACHE_REVALIDATE });
        headers.insert(VARY, self.vary.clone());
        if request_headers.get(IF_NONE_MATCH) == Some(&self.etag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(CONTENT_SECURITY_POLICY, CONTENT_SECURITY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        let accepted =
            request_headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accepted.contains("gzip") {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return match &self.gzipped {
                Cow::Borrowed(gzipped) => (headers, *gzipped).into_response(),
                Cow::Owned(gzipped) => (headers, gzipped.clone()).into_response(),
            };
        }
        (headers, self.decompressed()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_replaces_the_one_of_the_html() {
        let html = b"<head><base href=\"/\" /><script src=\"./assets/a.js\"></script></head>";
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(html).unwrap();
        let gzipped: &'static [u8] = encoder.finish().unwrap().leak();
        let asset = Asset { path: "/", media_type: "text/html; charset=utf-8", gzipped, etag: "\"1\"" };
        let file = PageFile::new(&asset).with_base(&"/tools/millrace".parse().unwrap());
        let html = String::from_utf8(file.decompressed()).unwrap();
        assert!(html.contains("<base href=\"/tools/millrace/\" />"), "{html}");
        assert_ne!(file.etag, "\"1\"", "a browser must not keep the HTML of another path");
    }

    #[test]
    fn views_are_unknown_paths_that_a_browser_navigates_to() {
        let has_view = |method: Method, path: &str, accept: Option<&'static str>| {
            let headers =
                accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))).into_iter().collect();
            Page::has_view(&method, path, &headers)
        };
        const HTML: Option<&str> = Some("text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(has_view(Method::GET, "/panels/top_pages", HTML) && has_view(Method::HEAD, "/x", HTML));
        assert!(!has_view(Method::POST, "/panels/top_pages", HTML));
        for path in [
            "/assets/index-gone.js",
            "/events/",
            "/livez/x",
            "/api",
            "/healthz",
            "/metrics",
            "/favicon.ico",
            "/millrace.v1.DashboardService/ListPanels",
        ] {
            assert!(!has_view(Method::GET, path, HTML), "{path}");
        }
        assert!(has_view(Method::GET, "/panels/v1.0", HTML), "a panel's name is not the first segment");
        assert!(!has_view(Method::GET, "/favicon.ico", Some("image/*,*/*;q=0.8")));
        assert!(!has_view(Method::GET, "/panels/top_pages", None));
    }
}
