//! Browser, operating system, kind of device and library from a `User-Agent`.
//!
//! Distinguishes what most visitors use, by the tokens that browsers have sent for years. Everything else stays unknown:
//! a list of all agents would be outdated soon.

use http::HeaderMap;
use http::header::USER_AGENT;

/// The longest name of a library, in bytes.
const MAX_LIBRARY_BYTES: usize = 64;

/// What a user agent says; texts are empty if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UserAgent {
    pub(super) browser: &'static str,
    pub(super) os: &'static str,
    /// A value of `device_type`.
    pub(super) device_type: &'static str,
}

/// Token and browser. The first token that occurs decides: most browsers also name the ones that they are compatible with.
const BROWSERS: [(&str, &str); 13] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
    ("Safari/", "Safari"),
];
/// Token, operating system, and the kind of device that it runs on.
const SYSTEMS: [(&str, &str, &str); 8] = [
    ("iPhone", "iOS", "mobile"),
    ("iPad", "iOS", "tablet"),
    ("iPod", "iOS", "mobile"),
    ("Android", "Android", "tablet"), // phones also say "Mobile"
    ("Windows", "Windows", "desktop"),
    ("Macintosh", "macOS", "desktop"),
    ("CrOS", "ChromeOS", "desktop"),
    ("Linux", "Linux", "desktop"),
];
const PHONE: &str = "Mobile";

impl UserAgent {
    pub(super) fn parse(text: &str) -> Self {
        let browser = BROWSERS.iter().find(|(token, _)| text.contains(token));
        let system = SYSTEMS.iter().find(|(token, ..)| text.contains(token));
        let (_, os, device_type) = system.copied().unwrap_or_default();
        // An iPad says "Mobile" too.
        let is_phone = device_type == "tablet" && os == "Android" && text.contains(PHONE);
        Self {
            browser: browser.map_or("", |(_, browser)| browser),
            os,
            device_type: if is_phone { "mobile" } else { device_type },
        }
    }
}

/// The software that sent a request: a browser with its operating system, or the first product of the user agent, such as
/// "grpc-go/1.70.0". Empty if it is unknown.
pub(super) fn library(headers: &HeaderMap) -> String {
    let Some(Ok(text)) = headers.get(USER_AGENT).map(|value| value.to_str()) else { return String::new() };
    let UserAgent { browser, os, .. } = UserAgent::parse(text);
    if text.starts_with("Mozilla/") && !browser.is_empty() {
        return [browser, os].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    }
    // Only ASCII: `to_str` allows nothing else.
    let product = text.split_ascii_whitespace().next().unwrap_or_default();
    product.get(..MAX_LIBRARY_BYTES).unwrap_or(product).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_a_browser_or_the_first_product() {
        let long = "x".repeat(1_000);
        for (text, expected) in [
            ("grpc-go/1.70.0", "grpc-go/1.70.0"),
            ("millrace-client/0.1.0 tonic/0.14.2", "millrace-client/0.1.0"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
            ("Mozilla/5.0 (compatible)", "Mozilla/5.0"),
            (&long, &long[..MAX_LIBRARY_BYTES]),
            ("", ""),
        ] {
            let headers = [(USER_AGENT, text.parse().unwrap())].into_iter().collect();
            assert_eq!(library(&headers), expected, "{text}");
        }
        assert_eq!(library(&HeaderMap::new()), "");
    }

    #[test]
    fn common_browsers_are_distinguished() {
        const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (text, expected) in [
            (
                format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36"),
                ["Chrome", "Windows", "desktop"],
            ),
            (
                format!(
                    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
                ),
                ["Edge", "Windows", "desktop"],
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36"),
                ["Chrome", "Android", "mobile"],
            ),
            (
                format!(
                    "Mozilla/5.0 (Linux; Android 14; SM-X200) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Safari/537.36"
                ),
                ["Samsung Internet", "Android", "tablet"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1".to_owned(),
                ["Safari", "iOS", "mobile"],
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.35 Mobile/15E148 Safari/604.1".to_owned(),
                ["Chrome", "iOS", "tablet"],
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
                ["Firefox", "Linux", "desktop"],
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15".to_owned(),
                ["Safari", "macOS", "desktop"],
            ),
            ("curl/8.5.0".to_owned(), ["", "", ""]),
            (String::new(), ["", "", ""]),
        ] {
            let UserAgent { browser, os, device_type } = UserAgent::parse(&text);
            assert_eq!([browser, os, device_type], expected, "{text}");
        }
    }
}
