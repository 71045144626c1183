//! Templates in panel statements, for SQL that several panels share. Panel files are expanded when they are parsed, so
//! ClickHouse never sees a template. A user-defined function of ClickHouse would need more rights than SELECT.
//!
//! | template | value |
//! | --- | --- |
//! | `{{distinct_count(capped_count, set_bits)}}` | a distinct count, from two columns of the statement |

use crate::clickhouse::template::render;

/// A distinct count from the two sets of a rollup (docs/decisions/0003-rollups.md):
///
/// - `capped_count` is `uniqUpToMerge(100)`: exact up to 100
///   ([`MAX_EXACT_DISTINCT`](super::query::MAX_EXACT_DISTINCT)), and 101 for every larger count.
/// - `set_bits` is `groupBitmapMerge`: each value sets one of 2^20 bits. Linear counting estimates the number of values
///   from the number of set bits (Whang et al., 1990). A set whose bits are all set counts as one with a bit left, since
///   log(0) is infinite.
///
/// One line, so that the lines in ClickHouse's errors are those of the file.
const DISTINCT_COUNT: &str = "if({{capped_count}} <= 100, {{capped_count}}, \
     greatest(101, toUInt64(round(-1048576 * log(1 - least({{set_bits}}, 1048575) / 1048576)))))";

const DISTINCT_COUNT_START: &str = "{{distinct_count(";
const END: &str = ")}}";

/// A template with wrong arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {{{{distinct_count(capped_count, set_bits)}}}} with the names of two columns")]
pub(super) struct TemplateError {
    /// The line in the file, from 1.
    pub(super) line: usize,
}

/// Expands the templates of a panel's file. Other double braces stay: `format` uses them in its patterns.
pub(super) fn expand(text: &str) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, call)) = rest.split_once(DISTINCT_COUNT_START) {
        let Some((capped_count, set_bits, after)) = parse_arguments(call) else {
            let start = text.len() - call.len();
            return Err(TemplateError { line: text[..start].matches('\n').count() + 1 });
        };
        expanded.push_str(before);
        expanded.push_str(&render(DISTINCT_COUNT, [("capped_count", capped_count), ("set_bits", set_bits)]));
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Two column names, and the text after the template.
fn parse_arguments(call: &str) -> Option<(&str, &str, &str)> {
    let (arguments, after) = call.split_once(END)?;
    let (capped_count, set_bits) = arguments.split_once(',')?;
    let (capped_count, set_bits) = (capped_count.trim(), set_bits.trim());
    let is_column = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
    };
    (is_column(capped_count) && is_column(set_bits)).then_some((capped_count, set_bits, after))
}

#[cfg(test)]
mod tests {
    use super::super::query::MAX_EXACT_DISTINCT;
    use super::*;

    #[test]
    fn a_template_expands_with_its_columns() {
        let expanded =
            expand("SELECT\n  {{distinct_count(a.capped, bits)}} AS users, {{distinct_count(x,y)}}").unwrap();
        assert_eq!(
            expanded,
            "SELECT\n  if(a.capped <= 100, a.capped, greatest(101, toUInt64(round(-1048576 * log(1 - least(bits, 1048575) / \
             1048576))))) AS users, if(x <= 100, x, greatest(101, toUInt64(round(-1048576 * log(1 - least(y, 1048575) / \
             1048576)))))"
        );
        assert!(DISTINCT_COUNT.contains(&format!("<= {MAX_EXACT_DISTINCT},")));
        assert!(DISTINCT_COUNT.contains(&format!("greatest({},", MAX_EXACT_DISTINCT + 1)));
    }

    #[test]
    fn other_braces_stay() {
        for text in ["SELECT {limit:UInt16}", "SELECT format('{{{}}}', 'x')", "SELECT {{unknown(a, b)}}"] {
            assert_eq!(expand(text).unwrap(), text);
        }
    }

    #[test]
    fn invalid_arguments_are_reported_with_their_line() {
        for call in ["a", "a, b, c", "a, count(b)", ", b", "a, b", "a, 'b'"] {
            let end = if call == "a, b" { "}" } else { ")}}" };
            let text = format!("SELECT 1,\n  {{{{distinct_count({call}{end}");
            assert_eq!(expand(&text), Err(TemplateError { line: 2 }), "{text}");
        }
        let message = TemplateError { line: 1 }.to_string();
        assert!(message.contains("{{distinct_count(capped_count, set_bits)}}"), "{message}");
    }
}
