//! The check on the tree that ClickHouse's parser makes of a statement.
//!
//! `EXPLAIN AST` prints a node a row, one blank deeper than its parent: the kind of the node, its name or value, and then its
//! alias. Names hold no line breaks (`text.rs` sees to it), so a row is a node.

use super::{Refusal, functions, shown};

/// The kinds of nodes that a SELECT is made of.
const KINDS: [&str; 29] = [
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

/// Functions that look for a table behind their second argument.
const IN: [&str; 8] =
    ["in", "notin", "globalin", "globalnotin", "nullin", "notnullin", "globalnullin", "globalnotnullin"];

/// Functions whose first argument is the name of an aggregate.
const TAKES_AGGREGATE: [&str; 3] = ["arrayreduce", "arrayreduceinranges", "initializeaggregation"];

/// Functions whose second argument is the name of a type.
const TAKES_TYPE: [&str; 6] =
    ["cast", "_cast", "accuratecast", "accuratecastornull", "accuratecastordefault", "reinterpret"];

/// A row of the tree.
struct Node<'a> {
    kind: &'a str,
    /// Its name or value, alias and number of children included.
    rest: &'a str,
    parent: Option<usize>,
    /// Which child of its parent it is, from 0.
    nth: usize,
}

impl Node<'_> {
    /// The name, without alias and number of children.
    fn name(&self) -> &str {
        let end = [" (alias ", " (children "].iter().filter_map(|mark| self.rest.find(mark)).min();
        &self.rest[..end.unwrap_or(self.rest.len())]
    }
}

/// Checks the rows of `EXPLAIN AST`. Tables are to be of `database`.
pub fn check(rows: &[String], database: &str) -> Result<(), Refusal> {
    let nodes = read(rows)?;
    if nodes.first().is_none_or(|first| first.kind != "SelectWithUnionQuery") {
        return Err(not_a_select(rows.first().map_or("", String::as_str)));
    }
    for at in 0..nodes.len() {
        check_node(&nodes, at, database)?;
    }
    Ok(())
}

fn not_a_select(what: &str) -> Refusal {
    Refusal::new(super::Place::Unknown, format!("a panel is one SELECT, and not {:?}", shown(what.trim())))
}

fn read(rows: &[String]) -> Result<Vec<Node<'_>>, Refusal> {
    let mut nodes: Vec<Node<'_>> = Vec::with_capacity(rows.len());
    let mut path: Vec<(usize, usize)> = Vec::new();
    for row in rows {
        let line = row.trim_start_matches(' ');
        let depth = row.len() - line.len();
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        path.truncate(depth);
        let nth = path.last_mut().map_or(0, |(_, children)| {
            *children += 1;
            *children - 1
        });
        if path.len() != depth || (depth == 0 && !nodes.is_empty()) {
            return Err(not_a_select(line));
        }
        nodes.push(Node { kind, rest, parent: path.last().map(|(at, _)| *at), nth });
        path.push((nodes.len() - 1, 0));
    }
    Ok(nodes)
}

fn check_node(nodes: &[Node<'_>], at: usize, database: &str) -> Result<(), Refusal> {
    let node = &nodes[at];
    let parent = node.parent.map(|parent| &nodes[parent]);
    let parent_kind = parent.map_or("", |parent| parent.kind);
    if KINDS.binary_search(&node.kind).is_err() {
        return Err(match node.kind {
            "Set" => Refusal::of_name(
                "SETTINGS",
                "a panel is one SELECT, without SETTINGS: its bounds are those of every panel",
            ),
            "ColumnsApplyTransformer" => Refusal::of_name(
                "APPLY",
                "APPLY names a function without calling it and is refused in panels; call it for each column",
            ),
            _ => not_a_select(node.kind),
        });
    }
    match node.kind {
        // Its further children are FORMAT and INTO OUTFILE.
        _ if parent_kind == "SelectWithUnionQuery" && (node.kind != "ExpressionList" || node.nth > 0) => {
            Err(Refusal::of_name(
                "FORMAT",
                "a panel is one SELECT, without FORMAT and INTO OUTFILE: who asks chooses",
            ))
        }
        "TableIdentifier" => check_table(node.name(), database),
        "Function" if parent_kind == "TableExpression" => {
            let name = node.name();
            functions::table_function(name).map_err(|why| refused_function(name, why))
        }
        "Function" => {
            let name = node.name();
            functions::function(name).map_err(|why| refused_function(name, why))
        }
        _ if parent_kind == "ExpressionList" => check_argument(nodes, node, database),
        _ => Ok(()),
    }?;
    // A function as an argument has been checked by its name, and may still be in a place for a literal.
    if node.kind == "Function" && parent_kind == "ExpressionList" {
        check_argument(nodes, node, database)
    } else {
        Ok(())
    }
}

fn refused_function(name: &str, why: &str) -> Refusal {
    Refusal::of_name(name, format!("the function {} is refused in panels: it {why}", shown(name)))
}

/// A table, which has no database or the right one: whatever else a name without a database means (a WITH, an alias) is of
/// the statement itself.
fn check_table(name: &str, database: &str) -> Result<(), Refusal> {
    let (of, table) = name.split_once('.').unwrap_or((database, name));
    let plain = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
    };
    if of == database && plain(table) {
        return Ok(());
    }
    let message =
        format!("the table {} is refused: a panel reads tables of the database {database}", shown(name));
    Err(Refusal::of_name(name.rsplit('.').next().unwrap_or(name), message))
}

/// What stands directly in the arguments of a function.
fn check_argument(nodes: &[Node<'_>], node: &Node<'_>, database: &str) -> Result<(), Refusal> {
    let list = node.parent.map(|list| &nodes[list]);
    let Some((list, function)) = list
        .and_then(|list| Some((list, &nodes[list.parent?])))
        .filter(|(_, function)| function.kind == "Function")
    else {
        return Ok(());
    };
    // The second list holds parameters, as in quantile(0.9)(x).
    if list.nth > 0 {
        return Ok(());
    }
    let caller = function.name().to_ascii_lowercase();
    let name = node.name();
    if TAKES_AGGREGATE.contains(&caller.as_str()) && node.nth == 0 {
        let aggregate = (node.kind == "Literal").then(|| unquoted(name)).flatten();
        let base = aggregate.map(|aggregate| aggregate.split('(').next().unwrap_or(aggregate));
        if !base.is_some_and(functions::is_aggregate) {
            let message = format!(
                "{} takes the name of an aggregate in quotes, one that panels may call",
                function.name()
            );
            return Err(Refusal::of_name(function.name(), message));
        }
    }
    if TAKES_TYPE.contains(&caller.as_str()) && node.nth == 1 && node.kind != "Literal" {
        let message =
            format!("{} takes the name of a type as it is, not one that is computed", function.name());
        return Err(Refusal::of_name(function.name(), message));
    }
    if node.kind != "Identifier" {
        return Ok(());
    }
    if IN.contains(&caller.as_str()) && node.nth == 1 && name.contains('.') {
        return check_table(name, database);
    }
    // ClickHouse takes it for the function where there is no such column.
    let why = if functions::takes_functions(&caller) { functions::function(name).err() } else { None };
    match why {
        Some(why) if !why.starts_with("is not on the list") => {
            let message = format!(
                "{} would call the function {}, which {why}; give the column another name, or say whose it is",
                function.name(),
                shown(name)
            );
            Err(Refusal::of_name(name, message))
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

    fn refused(rows: &str) -> String {
        check(&tree(rows), "millrace").expect_err(rows).message
    }

    const HEAD: &str = "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n   \
                        ExpressionList (children 1)\n";

    #[test]
    fn kinds_are_sorted() {
        assert!(KINDS.is_sorted());
    }

    #[test]
    fn an_alias_hides_no_function_and_no_table() {
        assert!(
            refused(&format!("{HEAD}    Function file (alias count) (children 1)")).contains("function file")
        );
        assert!(
            refused(&format!("{HEAD}    Function file (alias x (alias count)) (children 1)"))
                .contains("function file")
        );
        assert!(
            refused(&format!("{HEAD}    TableIdentifier system.users (alias millrace.x)"))
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
    fn what_is_not_known_is_refused() {
        assert!(refused("ParallelWithQuery 2 SelectWithUnionQuery (children 2)").contains("one SELECT"));
        assert!(refused(&format!("{HEAD}    Novelty x")).contains("Novelty"));
        assert!(refused(&format!("{HEAD}    ColumnsApplyTransformer")).contains("APPLY"));
        assert!(refused(&format!("{HEAD}   Set")).contains("SETTINGS"));
        assert!(refused(&format!("{HEAD} Identifier CSV")).contains("FORMAT"));
        assert!(refused(&format!("{HEAD}SelectWithUnionQuery")).contains("one SELECT"));
        assert!(refused("").contains("one SELECT"));
    }

    #[test]
    fn a_function_that_is_given_to_another_is_found() {
        let call = |caller: &str, argument: &str| {
            format!(
                "{HEAD}    Function {caller} (children 1)\n     ExpressionList (children 2)\n      {argument}"
            )
        };
        assert!(
            refused(&call("arrayMap", "Identifier file (alias x)")).contains("would call the function file")
        );
        assert!(check(&tree(&call("lower", "Identifier file")), "millrace").is_ok(), "a column");
        assert!(check(&tree(&call("arrayMap", "Identifier lower")), "millrace").is_ok());
        assert!(check(&tree(&call("arraySum", "Identifier amounts")), "millrace").is_ok());
        assert!(refused(&call("arrayReduce", "Literal 'aggThrow'")).contains("name of an aggregate"));
        assert!(
            refused(&call("arrayReduce", "Function concat (children 1)")).contains("name of an aggregate")
        );
        assert!(check(&tree(&call("arrayReduce", "Literal 'quantile(0.5)'")), "millrace").is_ok());
        assert!(
            refused(&call("CAST", "Identifier x\n      Function concat (children 1)"))
                .contains("name of a type")
        );
        assert!(refused(&call("in", "Identifier x\n      Identifier system.users")).contains("system.users"));
    }
}
