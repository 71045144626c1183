//! The reviewed list of functions, functions.txt: each heading is `= KIND: words`, and behind it stand names.
//!
//! | kind | |
//! | --- | --- |
//! | ordinary | may be called |
//! | aggregate | may be called, with combinators (`sumIf`, `uniqUpToMerge`) too |
//! | table | may stand behind FROM and JOIN |
//! | type | may stand in casts and parameters |
//! | refused, refused-table | may not; the words say why |
//!
//! Names are compared without regard to case, as ClickHouse does for many of them: no refused name is an allowed one in
//! other letters, which a test makes sure of.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a name on the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Aggregate,
    Table,
    Type,
    Refused(&'static str),
}

const LIST: &str = include_str!("functions.txt");

/// What can be put behind the name of an aggregate, again and again.
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

/// By name in small letters. Functions, and what stands behind FROM, are apart: `format` is harmless as one and not as the
/// other.
struct List {
    functions: HashMap<String, Kind>,
    tables: HashMap<String, Kind>,
    types: HashMap<String, Kind>,
}

static KNOWN: LazyLock<List> = LazyLock::new(|| {
    let mut list = List { functions: HashMap::new(), tables: HashMap::new(), types: HashMap::new() };
    let mut heading = "";
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("= ") {
            heading = rest;
            continue;
        }
        let (kind, words) = heading.split_once(": ").unwrap_or_default();
        for name in line.split_whitespace().map(str::to_ascii_lowercase) {
            let (names, kind) = match kind {
                "ordinary" => (&mut list.functions, Kind::Ordinary),
                "aggregate" => (&mut list.functions, Kind::Aggregate),
                "refused" => (&mut list.functions, Kind::Refused(words)),
                "table" => (&mut list.tables, Kind::Table),
                "refused-table" => (&mut list.tables, Kind::Refused(words)),
                "type" => (&mut list.types, Kind::Type),
                other => unreachable!("functions.txt has the heading {other:?}"),
            };
            names.insert(name, kind);
        }
    }
    list
});

/// Whether a function of this name may be called; else why not.
pub fn function(name: &str) -> Result<(), &'static str> {
    let lower = name.to_ascii_lowercase();
    match KNOWN.functions.get(&lower) {
        Some(Kind::Refused(why)) => Err(why),
        Some(_) => Ok(()),
        None if is_combined_aggregate(&lower) => Ok(()),
        None => Err("is not on the list of functions that panels may call"),
    }
}

/// Whether a table function of this name may be read; else why not.
pub fn table_function(name: &str) -> Result<(), &'static str> {
    match KNOWN.tables.get(&name.to_ascii_lowercase()) {
        Some(Kind::Refused(why)) => Err(why),
        Some(_) => Ok(()),
        None => Err("is not on the list of table functions that panels may read"),
    }
}

/// Whether this is an aggregate on the list, with or without combinators.
pub fn is_aggregate(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    KNOWN.functions.get(&lower) == Some(&Kind::Aggregate) || is_combined_aggregate(&lower)
}

/// Whether this is the name of a type of values.
pub fn is_type(name: &str) -> bool {
    KNOWN.types.contains_key(&name.to_ascii_lowercase())
}

/// Whether functions can be given to this one, and not only as lambdas: `arrayMap(lower, names)`.
pub fn takes_functions(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with("array") || lower.starts_with("map")
}

fn is_combined_aggregate(lower: &str) -> bool {
    COMBINATORS.iter().any(|combinator| {
        lower.strip_suffix(combinator).is_some_and(|base| {
            KNOWN.functions.get(base) == Some(&Kind::Aggregate)
                || (!base.is_empty() && is_combined_aggregate(base))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_known_with_their_combinators() {
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
            assert!(is_aggregate(name) && function(name).is_ok(), "{name}");
        }
        for name in ["if", "fileIf", "ifIf", "lowerIf", "arrayIf", "Merge", ""] {
            assert!(!is_aggregate(name), "{name}");
        }
    }

    #[test]
    fn the_same_name_may_be_harmless_as_a_function_only() {
        assert!(function("format").is_ok() && table_function("format").is_err());
        assert!(function("file").is_err() && table_function("FILE").is_err());
        assert!(function("numbers").is_err() && table_function("numbers").is_ok());
    }

    /// In other letters, with combinators, or as a type: no way around the list.
    #[test]
    fn what_is_refused_is_allowed_under_no_other_reading() {
        let mut kind = "";
        for line in LIST.lines().filter(|line| !line.starts_with('#')) {
            if let Some(heading) = line.strip_prefix("= ") {
                kind = heading.split_once(": ").expect("a heading has words").0;
                continue;
            }
            for name in line.split_whitespace() {
                match kind {
                    "refused" => assert!(function(name).is_err() && !is_type(name), "{name}"),
                    "refused-table" => assert!(table_function(name).is_err(), "{name}"),
                    "ordinary" | "aggregate" => assert!(function(name).is_ok(), "{name}"),
                    "table" => assert!(table_function(name).is_ok(), "{name}"),
                    _ => assert!(is_type(name), "{name}"),
                }
            }
        }
    }
}
