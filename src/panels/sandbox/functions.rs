//! The reviewed list of functions, functions.txt. Each heading is `= KIND: text`, followed by names.
//!
//! | kind | allowed |
//! | --- | --- |
//! | ordinary | in calls |
//! | aggregate | in calls, also with combinators (`sumIf`, `uniqUpToMerge`) |
//! | table | after FROM and JOIN |
//! | type | in casts and parameters |
//! | denied, denied-table | nowhere; the text is the reason |
//!
//! Names are compared case-insensitively, since ClickHouse does so for many of them. A test checks that no denied name is an
//! allowed one in another case.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The kind of a name on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Ordinary,
    Aggregate,
    Table,
    Type,
    Denied(&'static str),
}

const FUNCTION_LIST: &str = include_str!("functions.txt");

/// Suffixes of an aggregate's name, any number of them.
const COMBINATORS: [&str; 15] = [
    "argmax",
    "argmin",
    "array",
    "distinct",
    "foreach",
    "if",
    "map",
    "merge",
    "null",
    "ordefault",
    "ornull",
    "resample",
    "simplestate",
    "state",
    "tuple",
];

/// The list, by lower-case name. Functions and table functions are separate: `format` is a harmless function, but not a
/// harmless table function.
struct NameLists {
    functions: HashMap<String, NameKind>,
    tables: HashMap<String, NameKind>,
    types: HashMap<String, NameKind>,
}

static LISTS: LazyLock<NameLists> = LazyLock::new(|| {
    let mut lists = NameLists { functions: HashMap::new(), tables: HashMap::new(), types: HashMap::new() };
    let mut heading = "";
    for line in FUNCTION_LIST.lines().filter(|line| !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("= ") {
            heading = rest;
            continue;
        }
        let (kind, reason) = heading.split_once(": ").unwrap_or_default();
        for name in line.split_whitespace().map(str::to_ascii_lowercase) {
            let (names, kind) = match kind {
                "ordinary" => (&mut lists.functions, NameKind::Ordinary),
                "aggregate" => (&mut lists.functions, NameKind::Aggregate),
                "denied" => (&mut lists.functions, NameKind::Denied(reason)),
                "table" => (&mut lists.tables, NameKind::Table),
                "denied-table" => (&mut lists.tables, NameKind::Denied(reason)),
                "type" => (&mut lists.types, NameKind::Type),
                other => unreachable!("functions.txt has the heading {other:?}"),
            };
            names.insert(name, kind);
        }
    }
    lists
});

/// Why a panel may not use a function. The text continues "the function f is not allowed in panels: it …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No function of this name has been reviewed.
    #[error("is not on the list of allowed functions")]
    UnlistedFunction,
    /// No table function of this name has been reviewed.
    #[error("is not on the list of allowed table functions")]
    UnlistedTableFunction,
    /// It has been reviewed, with this reason.
    #[error("{0}")]
    Reviewed(&'static str),
}

impl Denied {
    /// Whether the name is missing from the list.
    pub fn is_unlisted(self) -> bool {
        matches!(self, Self::UnlistedFunction | Self::UnlistedTableFunction)
    }
}

/// Whether panels may call a function of this name.
pub fn check_function(name: &str) -> Result<(), Denied> {
    let lower = name.to_ascii_lowercase();
    match LISTS.functions.get(&lower) {
        Some(NameKind::Denied(reason)) => Err(Denied::Reviewed(reason)),
        Some(_) => Ok(()),
        None if is_combined_aggregate(&lower) => Ok(()),
        None => Err(Denied::UnlistedFunction),
    }
}

/// Whether panels may read a table function of this name.
pub fn check_table_function(name: &str) -> Result<(), Denied> {
    match LISTS.tables.get(&name.to_ascii_lowercase()) {
        Some(NameKind::Denied(reason)) => Err(Denied::Reviewed(reason)),
        Some(_) => Ok(()),
        None => Err(Denied::UnlistedTableFunction),
    }
}

/// Whether this is an allowed aggregate function, with or without combinators.
pub fn is_aggregate(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    LISTS.functions.get(&lower) == Some(&NameKind::Aggregate) || is_combined_aggregate(&lower)
}

/// Whether this is an allowed type.
pub fn is_type(name: &str) -> bool {
    LISTS.types.contains_key(&name.to_ascii_lowercase())
}

/// Whether an argument of this function can be the name of another function: `arrayMap(lower, names)`.
pub fn is_higher_order(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with("array") || lower.starts_with("map")
}

fn is_combined_aggregate(lower: &str) -> bool {
    COMBINATORS.iter().any(|combinator| {
        lower.strip_suffix(combinator).is_some_and(|base| {
            LISTS.functions.get(base) == Some(&NameKind::Aggregate)
                || (!base.is_empty() && is_combined_aggregate(base))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_allowed_with_combinators() {
        for name in [
            "sum",
            "COUNT",
            "sumIf",
            "uniqUpToMerge",
            "groupBitmapMergeState",
            "quantilesTDigestArrayIf",
            "sumOrNullDistinct",
            "argMaxSimpleState",
            "sumMap",
            "avgForEachResample",
            "sumArgMin",
        ] {
            assert!(is_aggregate(name) && check_function(name).is_ok(), "{name}");
        }
        for name in ["if", "fileIf", "ifIf", "lowerIf", "arrayIf", "Merge", ""] {
            assert!(!is_aggregate(name), "{name}");
        }
    }

    #[test]
    fn a_name_may_be_allowed_as_a_function_and_denied_as_a_table_function() {
        assert!(check_function("format").is_ok() && check_table_function("format").is_err());
        assert!(check_function("file").is_err() && check_table_function("FILE").is_err());
        assert!(check_function("numbers").is_err() && check_table_function("numbers").is_ok());
    }

    #[test]
    fn a_denied_name_is_not_allowed_in_another_case_or_role() {
        let mut kind = "";
        for line in FUNCTION_LIST.lines().filter(|line| !line.starts_with('#')) {
            if let Some(heading) = line.strip_prefix("= ") {
                kind = heading.split_once(": ").expect("a heading has words").0;
                continue;
            }
            for name in line.split_whitespace() {
                match kind {
                    "denied" => assert!(check_function(name).is_err() && !is_type(name), "{name}"),
                    "denied-table" => assert!(check_table_function(name).is_err(), "{name}"),
                    "ordinary" | "aggregate" => assert!(check_function(name).is_ok(), "{name}"),
                    "table" => assert!(check_table_function(name).is_ok(), "{name}"),
                    _ => assert!(is_type(name), "{name}"),
                }
            }
        }
    }
}
