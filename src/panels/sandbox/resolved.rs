//! The check on what ClickHouse's analyzer took each name of a statement for.
//!
//! `EXPLAIN QUERY TREE` prints a node a line, with marks before names: "function_name: plus, function_type: …". Every place
//! where a mark stands counts, so an alias or a text that holds one can only add a name, never hide one.

use super::{Refusal, functions, shown};

/// Checks the lines of `EXPLAIN QUERY TREE run_passes = 1`. Tables are to be of `database`.
pub fn check(rows: &[String], database: &str) -> Result<(), Refusal> {
    if rows.is_empty() {
        return Err(Refusal::new(
            super::Place::Unknown,
            "ClickHouse does not say how it reads the statement",
        ));
    }
    for row in rows {
        for name in names(row, "function_name: ") {
            let (name, allowed) = match row.split_once("table_function_name: ") {
                Some((_, rest)) if first(rest) == name => (name, functions::table_function(name)),
                _ => (name, functions::function(name)),
            };
            allowed.map_err(|why| {
                Refusal::of_name(name, format!("the function {} is refused in panels: it {why}", shown(name)))
            })?;
        }
        for table in names(row, " table_name: ") {
            let own = table.strip_prefix(database).is_some_and(|rest| rest.starts_with('.'));
            // What a SELECT without FROM reads, one row without a meaning, and what a recursive WITH keeps its rows in. No
            // statement can name the latter: `syntax.rs` knows no such database.
            let of_clickhouse =
                table == "system.one" || table.starts_with("_temporary_and_external_tables._tmp_");
            if !own && !of_clickhouse {
                let message = format!(
                    "the table {} is refused: a panel reads tables of the database {database}",
                    shown(table)
                );
                return Err(Refusal::of_name(table.rsplit('.').next().unwrap_or(table), message));
            }
        }
    }
    Ok(())
}

fn names<'a>(row: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    row.match_indices(mark).map(|(at, mark)| first(&row[at + mark.len()..]))
}

fn first(rest: &str) -> &str {
    rest.split(',').next().unwrap_or(rest).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(row: &str) -> bool {
        check(&[row.to_owned()], "millrace").is_err()
    }

    #[test]
    fn an_alias_hides_no_name() {
        assert!(refused(
            "FUNCTION id: 2, alias: function_name: plus, function_name: file, function_type: ordinary"
        ));
        assert!(refused(
            "FUNCTION id: 2, alias: x, function_name: , function_name: file, function_type: ordinary"
        ));
        assert!(refused("TABLE id: 3, alias: x, table_name: millrace.events, table_name: system.users"));
        assert!(!refused("FUNCTION id: 2, alias: __table1, function_name: plus, function_type: ordinary"));
    }

    #[test]
    fn functions_tables_and_table_functions_have_their_lists() {
        assert!(refused("  TABLE_FUNCTION id: 3, table_function_name: file"));
        assert!(refused("  TABLE_FUNCTION id: 3, table_function_name: format"));
        assert!(!refused("  TABLE_FUNCTION id: 3, table_function_name: numbers"));
        assert!(refused("  FUNCTION id: 3, function_name: numbers, function_type: ordinary"));
        assert!(!refused("  TABLE id: 5, alias: __table1, table_name: millrace.events"));
        assert!(!refused("  TABLE id: 5, table_name: system.one"));
        assert!(refused("  TABLE id: 5, table_name: millrace2.events"));
    }
}
