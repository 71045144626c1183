//! Regular expressions with the semantics of ClickHouse's `match`, which uses RE2.

use regex::{Regex, RegexBuilder};

/// Compiles a pattern that matches anywhere in a text, and whose "." matches line breaks.
pub(crate) fn pattern(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&from_re2(pattern)).dot_matches_new_line(true).size_limit(1 << 20).build()
}

/// Translates what both syntaxes have with different meanings: in RE2, `\d`, `\w`, `\s` and `\b` are about ASCII only, and a
/// class contains neither classes nor operators.
fn from_re2(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    // Within a class: how many characters of it were read.
    let mut in_class: Option<usize> = None;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match (first, in_class) {
            ('\\', _) => {
                let escaped = rest[1..].chars().next();
                length += escaped.map_or(0, char::len_utf8);
                let ascii = escaped.and_then(|escaped| ascii_class(escaped, in_class.is_some()));
                translated.push_str(ascii.unwrap_or(&rest[..length]));
                in_class = in_class.map(|read| read + 1);
            }
            ('[', None) => {
                translated.push('[');
                if rest[1..].starts_with('^') {
                    translated.push('^');
                    length += 1;
                }
                in_class = Some(0);
            }
            ('[', Some(read)) => {
                match rest.find(":]").filter(|_| rest.starts_with("[:")) {
                    Some(end) => {
                        length = end + 2;
                        translated.push_str(&rest[..length]);
                    }
                    None => translated.push_str("\\["),
                }
                in_class = Some(read + 1);
            }
            // As the first character it is a member of the class.
            (']', Some(read)) if read > 0 => {
                translated.push(']');
                in_class = None;
            }
            (']' | '&' | '~', Some(read)) => {
                translated.push('\\');
                translated.push(first);
                in_class = Some(read + 1);
            }
            (first, read) => {
                translated.push(first);
                in_class = read.map(|read| read + 1);
            }
        }
        rest = &rest[length..];
    }
    translated
}

/// RE2's meaning of an escaped letter.
fn ascii_class(escaped: char, is_in_class: bool) -> Option<&'static str> {
    Some(match (escaped, is_in_class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('s', false) => "[\\t\\n\\f\\r ]",
        ('s', true) => "\\t\\n\\f\\r ",
        ('D', _) => "[^0-9]",
        ('W', _) => "[^0-9A-Za-z_]",
        ('S', _) => "[^\\t\\n\\f\\r ]",
        ('b', false) => "(?-u:\\b)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are those of ClickHouse 26.7.
    #[test]
    fn patterns_match_what_they_match_in_clickhouse() {
        for (text, re2, matches) in [
            ("é", r"^\w$", false),
            ("é", "^.$", true),
            ("٣", r"^\d$", false),
            ("É", "(?i)^é$", true),
            ("a\nb", "a.b", true),
            ("a\nb", "^b", false),
            ("a\nb", "a$", false),
            ("\u{b}", r"^\s$", false),
            ("aé", r"a\b", true),
            ("x", "[[a]x]", false),
            ("ax]", "[[a]x]", true),
            ("é", r"^\W$", true),
            ("é", r"^[\W]$", true),
            ("é", r"^[^\w]$", true),
            ("a", "[[:alpha:]]", true),
            ("]", "^[]]$", true),
            ("&", "^[a&&b]$", true),
        ] {
            assert_eq!(pattern(re2).unwrap().is_match(text), matches, "{text:?} {re2}");
        }
    }
}
