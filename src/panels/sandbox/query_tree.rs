//! The check of the names that ClickHouse's analyzer has resolved.
//!
//! `EXPLAIN QUERY TREE` prints a node per line, with labels before names: "function_name: plus, function_type: …". Every
//! occurrence of a label counts, so an alias or a string that contains one can only add a name, never hide one.

use super::{Location, TABLES, Violation, functions};

/// Checks the rows of `EXPLAIN QUERY TREE run_passes = 1`. Tables must be [`TABLES`] of `database`.
pub fn check(rows: &[String], database: &str) -> Result<(), Violation> {
    if rows.is_empty() {
        return Err(Violation::new(Location::Unknown, "ClickHouse returned no query tree for the statement"));
    }
    for row in rows {
        for name in names_after(row, "function_name: ") {
            let (name, allowed) = match row.split_once("table_function_name: ") {
                Some((_, rest)) if until_comma(rest) == name => (name, functions::check_table_function(name)),
                _ => (name, functions::check_function(name)),
            };
            allowed.map_err(|reason| Violation::denied_function(name, reason))?;
        }
        for table in names_after(row, " table_name: ") {
            let name = table.strip_prefix(database).and_then(|rest| rest.strip_prefix('.'));
            let is_readable = name.is_some_and(|name| TABLES.contains(&name));
            // A SELECT without FROM reads system.one; a recursive WITH keeps its rows in a temporary table. A statement
            // cannot name either: `ast.rs` rejects their databases.
            let is_internal =
                table == "system.one" || table.starts_with("_temporary_and_external_tables._tmp_");
            if !is_readable && !is_internal {
                return Err(Violation::denied_table(table, database));
            }
        }
    }
    Ok(())
}

fn names_after<'a>(row: &'a str, label: &'a str) -> impl Iterator<Item = &'a str> {
    row.match_indices(label).map(|(at, label)| until_comma(&row[at + label.len()..]))
}

fn until_comma(rest: &str) -> &str {
    rest.split(',').next().unwrap_or(rest).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_rejected(row: &str) -> bool {
        check(&[row.to_owned()], "millrace").is_err()
    }

    #[test]
    fn an_alias_cannot_hide_a_name() {
        assert!(is_rejected(
            "FUNCTION id: 2, alias: function_name: plus, function_name: file, function_type: ordinary"
        ));
        assert!(is_rejected(
            "FUNCTION id: 2, alias: x, function_name: , function_name: file, function_type: ordinary"
        ));
        assert!(is_rejected("TABLE id: 3, alias: x, table_name: millrace.events, table_name: system.users"));
        assert!(!is_rejected(
            "FUNCTION id: 2, alias: __table1, function_name: plus, function_type: ordinary"
        ));
    }

    #[test]
    fn functions_tables_and_table_functions_have_separate_lists() {
        assert!(is_rejected("  TABLE_FUNCTION id: 3, table_function_name: file"));
        assert!(is_rejected("  TABLE_FUNCTION id: 3, table_function_name: format"));
        assert!(!is_rejected("  TABLE_FUNCTION id: 3, table_function_name: numbers"));
        assert!(is_rejected("  FUNCTION id: 3, function_name: numbers, function_type: ordinary"));
        assert!(!is_rejected("  TABLE id: 5, alias: __table1, table_name: millrace.events"));
        assert!(!is_rejected("  TABLE id: 5, table_name: system.one"));
        assert!(is_rejected("  TABLE id: 5, table_name: millrace2.events"));
        assert!(
            is_rejected("  TABLE id: 5, table_name: millrace.events_staging"),
            "row filters are only for events and rollup"
        );
    }
}
