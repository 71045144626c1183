//! The check of the tree that ClickHouse's parser makes of a statement.
//!
//! `EXPLAIN AST` prints a node per row, indented by one space more than its parent: the node's kind, then its name or value,
//! then its alias. Names contain no line breaks, which `tokens.rs` checks, so each row is one node.

use super::{Location, Violation, abbreviate_name, functions};

/// The kinds of nodes that a SELECT consists of.
const NODE_KINDS: [&str; 29] = [
    "ArrayJoin",
    "Asterisk",
    "Collation",
    "ColumnsExceptTransformer",
    "ColumnsListMatcher",
    "ColumnsRegexpMatcher",
    "ColumnsReplaceTransformer",
    "ColumnsReplaceTransformer::Replacement",
    "ColumnsTransformerList",
    "ExpressionList",
    "Function",
    "Identifier",
    "InterpolateElement",
    "Literal",
    "OrderByElement",
    "QualifiedAsterisk",
    "SampleRatio",
    "SelectIntersectExceptQuery",
    "SelectQuery",
    "SelectWithUnionQuery",
    "Subquery",
    "TableExpression",
    "TableIdentifier",
    "TableJoin",
    "TablesInSelectQuery",
    "TablesInSelectQueryElement",
    "WindowDefinition",
    "WindowListElement",
    "WithElement",
];

/// Functions whose second argument may be a table's name.
const IN_FUNCTIONS: [&str; 8] =
    ["in", "notin", "globalin", "globalnotin", "nullin", "notnullin", "globalnullin", "globalnotnullin"];

/// Functions whose first argument is the name of an aggregate.
const AGGREGATE_NAME_FUNCTIONS: [&str; 3] = ["arrayreduce", "arrayreduceinranges", "initializeaggregation"];

/// Functions whose second argument is the name of a type.
const TYPE_NAME_FUNCTIONS: [&str; 6] =
    ["cast", "_cast", "accuratecast", "accuratecastornull", "accuratecastordefault", "reinterpret"];

/// A row of the tree.
struct Node<'a> {
    kind: &'a str,
    /// Its name or value, alias and number of children.
    rest: &'a str,
    /// An index into the tree's nodes.
    parent: Option<usize>,
    /// Its position among its parent's children, from 0.
    child_index: usize,
}

impl Node<'_> {
    /// The name, without alias and number of children.
    fn name(&self) -> &str {
        let end = [" (alias ", " (children "].iter().filter_map(|label| self.rest.find(label)).min();
        &self.rest[..end.unwrap_or(self.rest.len())]
    }
}

/// Checks the rows of `EXPLAIN AST`. Tables must be in `database`.
pub fn check(rows: &[String], database: &str) -> Result<(), Violation> {
    let nodes = parse_tree(rows)?;
    if nodes.first().is_none_or(|first| first.kind != "SelectWithUnionQuery") {
        return Err(not_a_select(rows.first().map_or("", String::as_str)));
    }
    for at in 0..nodes.len() {
        check_node(&nodes, at, database)?;
    }
    Ok(())
}

fn not_a_select(what: &str) -> Violation {
    Violation::new(
        Location::Unknown,
        format!("a panel is one SELECT, not {:?}", abbreviate_name(what.trim())),
    )
}

fn parse_tree(rows: &[String]) -> Result<Vec<Node<'_>>, Violation> {
    let mut nodes: Vec<Node<'_>> = Vec::with_capacity(rows.len());
    let mut path: Vec<(usize, usize)> = Vec::new();
    for row in rows {
        let line = row.trim_start_matches(' ');
        let depth = row.len() - line.len();
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        path.truncate(depth);
        let child_index = path.last_mut().map_or(0, |(_, children)| {
            *children += 1;
            *children - 1
        });
        if path.len() != depth || (depth == 0 && !nodes.is_empty()) {
            return Err(not_a_select(line));
        }
        nodes.push(Node { kind, rest, parent: path.last().map(|(at, _)| *at), child_index });
        path.push((nodes.len() - 1, 0));
    }
    Ok(nodes)
}

fn check_node(nodes: &[Node<'_>], at: usize, database: &str) -> Result<(), Violation> {
    let node = &nodes[at];
    let parent = node.parent.map(|parent| &nodes[parent]);
    let parent_kind = parent.map_or("", |parent| parent.kind);
    if NODE_KINDS.binary_search(&node.kind).is_err() {
        return Err(match node.kind {
            "Set" => Violation::at_name(
                "SETTINGS",
                "a panel is one SELECT without SETTINGS; all panels have the same limits",
            ),
            "ColumnsApplyTransformer" => Violation::at_name(
                "APPLY",
                "APPLY is not allowed in panels: it names a function without calling it; call the function per column",
            ),
            _ => not_a_select(node.kind),
        });
    }
    match node.kind {
        // The further children of SelectWithUnionQuery are FORMAT and INTO OUTFILE.
        _ if parent_kind == "SelectWithUnionQuery"
            && (node.kind != "ExpressionList" || node.child_index > 0) =>
        {
            Err(Violation::at_name(
                "FORMAT",
                "a panel is one SELECT without FORMAT and INTO OUTFILE; the caller chooses the format",
            ))
        }
        "TableIdentifier" => check_table(node.name(), database),
        "Function" if parent_kind == "TableExpression" => {
            let name = node.name();
            functions::check_table_function(name).map_err(|reason| Violation::denied_function(name, reason))
        }
        "Function" => {
            let name = node.name();
            functions::check_function(name).map_err(|reason| Violation::denied_function(name, reason))
        }
        _ if parent_kind == "ExpressionList" => check_argument(nodes, node, database),
        _ => Ok(()),
    }?;
    // The name of a function in an argument is allowed here, but the argument may have to be a literal.
    if node.kind == "Function" && parent_kind == "ExpressionList" {
        check_argument(nodes, node, database)
    } else {
        Ok(())
    }
}

/// A table must be in the database. A name without a database is in it too, or is defined by the statement (WITH, an alias).
fn check_table(name: &str, database: &str) -> Result<(), Violation> {
    let (table_database, table) = name.split_once('.').unwrap_or((database, name));
    let is_plain_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
    };
    if table_database == database && is_plain_name(table) {
        return Ok(());
    }
    Err(Violation::denied_table(name, database))
}

/// Checks a node that may be a direct argument of a function.
fn check_argument(nodes: &[Node<'_>], node: &Node<'_>, database: &str) -> Result<(), Violation> {
    let list = node.parent.map(|list| &nodes[list]);
    let Some((list, function)) = list
        .and_then(|list| Some((list, &nodes[list.parent?])))
        .filter(|(_, function)| function.kind == "Function")
    else {
        return Ok(());
    };
    // The second list holds parameters, as in quantile(0.9)(x).
    if list.child_index > 0 {
        return Ok(());
    }
    let caller = function.name().to_ascii_lowercase();
    let name = node.name();
    if AGGREGATE_NAME_FUNCTIONS.contains(&caller.as_str()) && node.child_index == 0 {
        let aggregate = (node.kind == "Literal").then(|| unquoted(name)).flatten();
        let base = aggregate.map(|aggregate| aggregate.split('(').next().unwrap_or(aggregate));
        if !base.is_some_and(functions::is_aggregate) {
            let message = format!(
                "{} takes the quoted name of an aggregate function that panels may call",
                function.name()
            );
            return Err(Violation::at_name(function.name(), message));
        }
    }
    if TYPE_NAME_FUNCTIONS.contains(&caller.as_str()) && node.child_index == 1 && node.kind != "Literal" {
        let message =
            format!("{} takes the name of a type as a literal, not as an expression", function.name());
        return Err(Violation::at_name(function.name(), message));
    }
    if node.kind != "Identifier" {
        return Ok(());
    }
    if IN_FUNCTIONS.contains(&caller.as_str()) && node.child_index == 1 && name.contains('.') {
        return check_table(name, database);
    }
    // ClickHouse resolves the name to a function if there is no such column.
    let reason =
        if functions::is_higher_order(&caller) { functions::check_function(name).err() } else { None };
    match reason {
        Some(reason) if !reason.is_unlisted() => {
            let message = format!(
                "{} would call the function {}, which {reason}; rename the column, or qualify it with its table",
                function.name(),
                abbreviate_name(name)
            );
            Err(Violation::at_name(name, message))
        }
        _ => Ok(()),
    }
}

fn unquoted(literal: &str) -> Option<&str> {
    literal.strip_prefix('\'')?.strip_suffix('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(rows: &str) -> Vec<String> {
        rows.lines().map(str::to_owned).collect()
    }

    fn violation_message(rows: &str) -> String {
        check(&tree(rows), "millrace").expect_err(rows).message
    }

    const HEAD: &str = "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n   \
                        ExpressionList (children 1)\n";

    #[test]
    fn node_kinds_are_sorted() {
        assert!(NODE_KINDS.is_sorted());
    }

    #[test]
    fn an_alias_cannot_hide_a_function_or_a_table() {
        assert!(
            violation_message(&format!("{HEAD}    Function file (alias count) (children 1)"))
                .contains("function file")
        );
        assert!(
            violation_message(&format!("{HEAD}    Function file (alias x (alias count)) (children 1)"))
                .contains("function file")
        );
        assert!(
            violation_message(&format!("{HEAD}    TableIdentifier system.users (alias millrace.x)"))
                .contains("system.users")
        );
        assert!(
            check(
                &tree(&format!("{HEAD}    TableIdentifier millrace.events (alias system.one)")),
                "millrace"
            )
            .is_ok()
        );
        assert!(check(&tree(&format!("{HEAD}    TableIdentifier tables")), "millrace").is_ok());
    }

    #[test]
    fn unknown_nodes_are_rejected() {
        assert!(
            violation_message("ParallelWithQuery 2 SelectWithUnionQuery (children 2)").contains("one SELECT")
        );
        assert!(violation_message(&format!("{HEAD}    Novelty x")).contains("Novelty"));
        assert!(violation_message(&format!("{HEAD}    ColumnsApplyTransformer")).contains("APPLY"));
        assert!(violation_message(&format!("{HEAD}   Set")).contains("SETTINGS"));
        assert!(violation_message(&format!("{HEAD} Identifier CSV")).contains("FORMAT"));
        assert!(violation_message(&format!("{HEAD}SelectWithUnionQuery")).contains("one SELECT"));
        assert!(violation_message("").contains("one SELECT"));
    }

    #[test]
    fn a_function_passed_as_an_argument_is_checked() {
        let call = |caller: &str, argument: &str| {
            format!(
                "{HEAD}    Function {caller} (children 1)\n     ExpressionList (children 2)\n      {argument}"
            )
        };
        assert!(
            violation_message(&call("arrayMap", "Identifier file (alias x)"))
                .contains("would call the function file")
        );
        assert!(check(&tree(&call("lower", "Identifier file")), "millrace").is_ok(), "a column");
        assert!(check(&tree(&call("arrayMap", "Identifier lower")), "millrace").is_ok());
        assert!(check(&tree(&call("arraySum", "Identifier amounts")), "millrace").is_ok());
        assert!(
            violation_message(&call("arrayReduce", "Literal 'aggThrow'")).contains("name of an aggregate")
        );
        assert!(
            violation_message(&call("arrayReduce", "Function concat (children 1)"))
                .contains("name of an aggregate")
        );
        assert!(check(&tree(&call("arrayReduce", "Literal 'quantile(0.5)'")), "millrace").is_ok());
        assert!(
            violation_message(&call("CAST", "Identifier x\n      Function concat (children 1)"))
                .contains("name of a type")
        );
        assert!(
            violation_message(&call("in", "Identifier x\n      Identifier system.users"))
                .contains("system.users")
        );
    }
}
