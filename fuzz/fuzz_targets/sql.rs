//! Arbitrary text as a panel's statement, and as ClickHouse's answers about it: no check panics, and what the check of the
//! text accepts is, for a parser that has nothing in common with it, one SELECT that calls no function off the list.
//!
//! `cargo +nightly fuzz run sql -- -max_total_time=600 -rss_limit_mb=1024 -dict=fuzz/sql.dict`

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use millrace::internals::clickhouse::lexer::Lexer;
use millrace::internals::panels::sandbox::{ast, functions, query_tree, tokens};
use sqlparser::ast::{Expr, Statement, TableFactor, Visit, Visitor, visit_expressions};
use sqlparser::dialect::ClickHouseDialect;
use sqlparser::parser::Parser;

fuzz_target!(|bytes: &[u8]| {
    let mut end = 0;
    for token in Lexer::new(bytes) {
        assert!(token.start >= end && !token.bytes.is_empty());
        end = token.end();
    }
    let Ok(sql) = std::str::from_utf8(bytes) else {
        return;
    };
    let rows: Vec<String> = sql.lines().map(str::to_owned).collect();
    let _any_verdict_is_fine = (ast::check(&rows, "millrace"), query_tree::check(&rows, "millrace"));
    if tokens::check(sql).is_err() {
        return;
    }
    // The other parser knows less of ClickHouse; what it cannot read says nothing.
    let Ok(statements) = Parser::new(&ClickHouseDialect {})
        .with_recursion_limit(50)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements())
    else {
        return;
    };
    assert_eq!(statements.len(), 1, "{sql}");
    assert!(matches!(statements[0], Statement::Query(_)), "{sql}");
    let _all_were_visited = visit_expressions(&statements, |expression| {
        if let Expr::Function(call) = expression {
            check_function_name(&call.name.to_string(), sql);
        }
        ControlFlow::<()>::Continue(())
    });
    let _all_were_visited = statements.visit(&mut TableFunctions { sql });
});

struct TableFunctions<'a> {
    sql: &'a str,
}

impl Visitor for TableFunctions<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor {
            check_function_name(&name.to_string(), self.sql);
        }
        ControlFlow::Continue(())
    }
}

fn check_function_name(name: &str, sql: &str) {
    let base_name = name.trim_matches(['`', '"']);
    let base_name = base_name.rsplit('.').next().unwrap_or(base_name).trim_matches(['`', '"']);
    let allowed = functions::check_function(base_name).is_ok()
        || functions::check_table_function(base_name).is_ok()
        || functions::is_type(base_name)
        || tokens::is_keyword(base_name);
    assert!(allowed, "{name} in {sql}");
}
