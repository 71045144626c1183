//! Normalisations of text properties, in Rust and as the same expression in ClickHouse's SQL.

use std::borrow::Cow;

/// The longest value of a text column, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 500;
/// A segment of this many letters and digits, with at least one digit, is an id.
const MIN_ID_CHARS: usize = 16;
/// A segment of this many hexadecimal digits, with at least one decimal digit, is a hash.
const MIN_HASH_CHARS: usize = 8;

/// What is done with a text before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalisation {
    /// Nothing, apart from the limit of 500 characters.
    #[default]
    None,
    /// The path of an address, with ids replaced.
    Path,
    /// The host of an address.
    Domain,
    /// ASCII letters in lower case.
    Lower,
}

impl Normalisation {
    /// Normalises a value. Borrows it if nothing changes.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        let normalised = match self {
            Self::None => Cow::Borrowed(text),
            Self::Path => path(text),
            Self::Domain => domain(text),
            Self::Lower => lower(text),
        };
        match normalised.char_indices().nth(MAX_TEXT_CHARS) {
            None => normalised,
            Some((end, _)) => match normalised {
                Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
                Cow::Owned(mut text) => {
                    text.truncate(end);
                    Cow::Owned(text)
                }
            },
        }
    }

    /// The same as a SQL expression of a String expression.
    pub fn sql(self, text: &str) -> String {
        let normalised = match self {
            Self::None => text.to_owned(),
            Self::Path => format!(
                "ifNull(nullIf(arrayStringConcat(arrayMap(s -> if(match(s, '^[0-9]+$') \
                 OR match(s, '^[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}}$') \
                 OR (match(s, '[0-9]') AND match(s, '^([0-9a-fA-F]{{{MIN_HASH_CHARS},}}|[0-9a-zA-Z_]{{{MIN_ID_CHARS},}})$')), \
                 ':id', s), splitByChar('/', replaceRegexpOne(extract({text}, '^[^?#]*'), \
                 '^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*', ''))), '/'), ''), if(empty({text}), '', '/'))"
            ),
            Self::Domain => format!(
                "replaceRegexpOne(lower(extract({text}, \
                 '^(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?(?:[^/?#@]*@)?([^/?#:]*)')), '^www\\\\.', '')"
            ),
            Self::Lower => format!("lower({text})"),
        };
        format!("substringUTF8({normalised}, 1, {MAX_TEXT_CHARS})")
    }
}

/// The length of `scheme:` at the start, if it is followed by `//`.
fn without_scheme(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("//") {
        return Some(rest);
    }
    let (scheme, rest) = text.split_once("://")?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    is_scheme.then_some(rest)
}

fn path(text: &str) -> Cow<'_, str> {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let address = &text[..end];
    let path = match without_scheme(address) {
        Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
        None => address,
    };
    if path.is_empty() && !text.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.split('/').any(is_id) {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> =
        path.split('/').map(|segment| if is_id(segment) { ":id" } else { segment }).collect();
    Cow::Owned(segments.join("/"))
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    if !bytes.iter().any(u8::is_ascii_digit) {
        return is_uuid(bytes);
    }
    bytes.iter().all(u8::is_ascii_digit)
        || (bytes.len() >= MIN_HASH_CHARS && bytes.iter().all(u8::is_ascii_hexdigit))
        || (bytes.len() >= MIN_ID_CHARS
            && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        || is_uuid(bytes)
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn domain(text: &str) -> Cow<'_, str> {
    let rest = without_scheme(text).unwrap_or(text);
    let rest = match rest.find(['/', '?', '#', '@']) {
        Some(at) if rest.as_bytes()[at] == b'@' => &rest[at + 1..],
        _ => rest,
    };
    let host = &rest[..rest.find(['/', '?', '#', ':']).unwrap_or(rest.len())];
    match lower(host) {
        Cow::Borrowed(host) => Cow::Borrowed(host.strip_prefix("www.").unwrap_or(host)),
        Cow::Owned(host) => Cow::Owned(host.strip_prefix("www.").map(str::to_owned).unwrap_or(host)),
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_neither_host_nor_query_nor_ids() {
        for (address, path) in [
            ("/pricing", "/pricing"),
            ("/pricing?plan=pro#top", "/pricing"),
            ("https://shop.example/orders/1234/items?x=1", "/orders/:id/items"),
            ("//shop.example/a", "/a"),
            ("https://shop.example", "/"),
            ("/u/9f86d081884c7d65/0190b3e2-1b7a-7c3e-9a3b-2f1d5c6e7f80", "/u/:id/:id"),
            ("/c/deadbeef", "/c/deadbeef"),
            ("/c/deadbee1", "/c/:id"),
            ("/p/01HF7YAT00AAAAAAAAAAAAAAAA/", "/p/:id/"),
            ("/blog/2026/how-to-sell-1000-shoes", "/blog/:id/how-to-sell-1000-shoes"),
            ("/a/abcdefab-abcd-abcd-abcd-abcdefabcdef", "/a/:id"),
            ("", ""),
            ("?a", "/"),
            ("mailto:x@example.com", "mailto:x@example.com"),
        ] {
            assert_eq!(Normalisation::Path.apply(address), path, "{address}");
        }
    }

    #[test]
    fn a_domain_has_neither_port_nor_user_nor_www() {
        for (address, domain) in [
            ("https://www.Google.com/search?q=a", "google.com"),
            ("http://user:secret@news.example:8080/a@b", "news.example"),
            ("t.co/abc", "t.co"),
            ("localhost:3000", "localhost"),
            ("//www.example.org", "example.org"),
            ("", ""),
        ] {
            assert_eq!(Normalisation::Domain.apply(address), domain, "{address}");
        }
    }

    #[test]
    fn values_are_cut_to_the_limit() {
        let long = "ä".repeat(MAX_TEXT_CHARS + 1);
        for normalisation in [Normalisation::None, Normalisation::Path, Normalisation::Lower] {
            assert_eq!(normalisation.apply(&long).chars().count(), MAX_TEXT_CHARS, "{normalisation:?}");
        }
        assert_eq!(Normalisation::Lower.apply("ÄBc"), "Äbc", "ASCII only, as ClickHouse's lower");
    }
}
