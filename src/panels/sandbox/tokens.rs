//! The check of a statement's text, before ClickHouse gets it.

use super::{Location, Violation, abbreviate_name, denied_function_message, functions};
use crate::clickhouse::lexer::{Lexer, Token, TokenKind};

/// Keywords that a parenthesis may follow, in lower case and sorted. None is the name of a denied function.
const KEYWORDS: [&str; 63] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "both",
    "by",
    "case",
    "columns",
    "cube",
    "desc",
    "distinct",
    "div",
    "else",
    "end",
    "except",
    "exists",
    "fill",
    "filter",
    "following",
    "for",
    "from",
    "having",
    "ilike",
    "in",
    "interpolate",
    "intersect",
    "interval",
    "is",
    "join",
    "leading",
    "like",
    "limit",
    "materialized",
    "mod",
    "not",
    "offset",
    "on",
    "or",
    "over",
    "placing",
    "preceding",
    "prewhere",
    "qualify",
    "range",
    "regexp",
    "rollup",
    "rows",
    "select",
    "sets",
    "staleness",
    "step",
    "strict",
    "then",
    "to",
    "trailing",
    "union",
    "using",
    "when",
    "where",
    "with",
];

/// Whether this word before a parenthesis is a keyword and not a call.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

/// The start of messages about the statement as a whole.
const ONE_SELECT: &str = "a panel is one SELECT";

/// Checks the text of a panel, including its header.
pub fn check(sql: &str) -> Result<(), Violation> {
    let checker = TokenChecker { sql, tokens: Lexer::new(sql.as_bytes()).collect() };
    checker.check_start()?;
    for at in 0..checker.tokens.len() {
        checker.check_token(at)?;
    }
    Ok(())
}

/// The line of a byte offset, from 1.
fn line_at(sql: &str, at: usize) -> u32 {
    let breaks = sql.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks + 1).unwrap_or(u32::MAX)
}

struct TokenChecker<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
}

impl TokenChecker<'_> {
    fn violation(&self, at: usize, message: impl Into<String>) -> Violation {
        let start = self.tokens.get(at).map_or(self.sql.len(), |token| token.start);
        Violation::new(Location::Line(line_at(self.sql, start)), message)
    }

    fn is(&self, at: usize, keyword: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_keyword(keyword))
    }

    fn is_symbol(&self, at: usize, sign: u8) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_symbol(sign))
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The token as text. ClickHouse's lexer splits only between characters, except within errors.
    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).and_then(|token| std::str::from_utf8(token.bytes).ok()).unwrap_or_default()
    }

    fn check_start(&self) -> Result<(), Violation> {
        let first = (0..self.tokens.len()).find(|at| !self.is_symbol(*at, b'(')).unwrap_or(0);
        // After EXPLAIN AST, ClickHouse would parse WITH TOTALS as a clause of another statement.
        let clause = ["TOTALS", "ROLLUP", "CUBE"].iter().any(|word| self.is(first + 1, word));
        if self.is(first, "SELECT") || (self.is(first, "WITH") && !clause) {
            return Ok(());
        }
        Err(self.violation(
            first,
            format!(
                "{ONE_SELECT} that begins with SELECT or WITH, not with {:?}",
                abbreviate_name(self.word(first))
            ),
        ))
    }

    fn check_token(&self, at: usize) -> Result<(), Violation> {
        let token = self.tokens[at];
        match token.kind {
            TokenKind::Error => {
                let found = self.sql[token.start..].chars().next().unwrap_or(' ');
                Err(self.violation(
                    at,
                    format!("unterminated quote or comment, or invalid character, at {found:?}"),
                ))
            }
            TokenKind::Symbol if token.bytes == b";" => self.check_semicolon(at),
            TokenKind::Symbol if token.bytes == b"{" => self.check_parameter(at),
            TokenKind::StringLiteral => self.check_string(at),
            TokenKind::QuotedIdentifier => self.check_quoted_name(at),
            TokenKind::BareWord => self.check_word(at),
            TokenKind::Symbol | TokenKind::Number => Ok(()),
        }
    }

    fn check_semicolon(&self, at: usize) -> Result<(), Violation> {
        if (at..self.tokens.len()).all(|at| self.is_symbol(at, b';')) {
            return Ok(());
        }
        Err(self.violation(at, format!("{ONE_SELECT}; remove the statement after the semicolon")))
    }

    /// `{name:Type}`. A parameter of the type Identifier could insert any name into the statement.
    fn check_parameter(&self, at: usize) -> Result<(), Violation> {
        let invalid = || {
            self.violation(
                at,
                "braces contain a parameter with the type of a value, such as {limit:UInt16}, not Identifier",
            )
        };
        if self.kind(at + 1) != Some(TokenKind::BareWord) || !self.is_symbol(at + 2, b':') {
            return Err(invalid());
        }
        for at in at + 3..self.tokens.len() {
            let token = self.tokens[at];
            let allowed = match token.kind {
                TokenKind::BareWord => functions::is_type(self.word(at)),
                TokenKind::Symbol if token.bytes == b"}" => return Ok(()),
                TokenKind::Symbol => matches!(token.bytes, b"(" | b")" | b"," | b"="),
                TokenKind::StringLiteral | TokenKind::Number => true,
                TokenKind::QuotedIdentifier | TokenKind::Error => false,
            };
            if !allowed {
                return Err(invalid());
            }
        }
        Err(invalid())
    }

    fn check_string(&self, at: usize) -> Result<(), Violation> {
        const STATE: &[u8] = b"aggregatefunction";
        let bytes = self.tokens[at].bytes;
        if self.is_symbol(at + 1, b'(') {
            return Err(self.violation(
                at,
                "a string cannot be called; write the function's name without quotes, or in double quotes",
            ));
        }
        if bytes.windows(STATE.len()).any(|window| window.eq_ignore_ascii_case(STATE)) {
            return Err(self.violation(
                at,
                "casts to AggregateFunction are not allowed in panels; merge the states of a table instead",
            ));
        }
        Ok(())
    }

    fn check_quoted_name(&self, at: usize) -> Result<(), Violation> {
        let token = self.word(at);
        let inner = token.strip_prefix(['`', '"', '“']).and_then(|rest| rest.strip_suffix(['`', '"', '”']));
        let Some(name) = inner.filter(|name| {
            !name.is_empty()
                && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | '`' | '"' | '“' | '”'))
        }) else {
            return Err(self.violation(
                at,
                "a quoted name must not be empty or contain quotes, backslashes or line breaks",
            ));
        };
        if self.is_symbol(at + 1, b'(') { self.check_call(at, name) } else { Ok(()) }
    }

    fn check_word(&self, at: usize) -> Result<(), Violation> {
        let word = self.word(at);
        if word.contains('$') {
            return Err(self.violation(at, "a name that contains \"$\" must be quoted"));
        }
        if self.is(at, "INTO") && self.is(at + 1, "OUTFILE") {
            return Err(
                self.violation(at, format!("{ONE_SELECT} without INTO OUTFILE; its rows go to the caller"))
            );
        }
        let at_end =
            |at: usize| at >= self.tokens.len() || self.is_symbol(at, b';') || self.is(at, "SETTINGS");
        if self.is(at, "FORMAT") && self.kind(at + 1) == Some(TokenKind::BareWord) && at_end(at + 2) {
            return Err(self.violation(at, format!("{ONE_SELECT} without FORMAT; the caller chooses it")));
        }
        if self.is(at, "SETTINGS")
            && self.kind(at + 1) == Some(TokenKind::BareWord)
            && self.is_symbol(at + 2, b'=')
        {
            let setting = abbreviate_name(self.word(at + 1));
            let message =
                format!("{ONE_SELECT} without SETTINGS ({setting}); all panels have the same limits");
            return Err(self.violation(at, message));
        }
        if !is_keyword(word) && self.is_symbol(at + 1, b'(') { self.check_call(at, word) } else { Ok(()) }
    }

    fn check_call(&self, at: usize, name: &str) -> Result<(), Violation> {
        let table = functions::check_table_function(name);
        match functions::check_function(name) {
            Err(reason) if table.is_err() && !functions::is_type(name) => {
                // The reason for a table function of this name, if there is no function of the name.
                let table_reason = table.err().filter(|_| reason.is_unlisted());
                let reason = table_reason.filter(|reason| !reason.is_unlisted()).unwrap_or(reason);
                Err(self.violation(at, denied_function_message(name, reason)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::clickhouse::ClickHouse;
    use crate::panels::{PanelSources, Panels};
    use crate::panels::catalog::Catalog;

    fn violation(sql: &str) -> Violation {
        check(sql).expect_err(sql)
    }

    #[test]
    fn keywords_are_sorted_and_none_is_a_denied_function() {
        assert!(KEYWORDS.is_sorted());
        for keyword in KEYWORDS {
            let reason =
                functions::check_function(keyword).err().or(functions::check_table_function(keyword).err());
            assert!(reason.is_none_or(functions::Denied::is_unlisted), "{keyword}");
        }
    }

    #[test]
    fn built_in_panels_pass_the_token_check() {
        let (_, endpoint) = watch::channel(None);
        let catalog = Catalog::built_in().unwrap();
        let (_, catalog_receiver) = watch::channel(Arc::new(catalog.clone()));
        let sources = PanelSources::default();
        let clickhouse = ClickHouse::new(endpoint, "test");
        let panels = Panels::new(clickhouse, sources, Duration::ZERO, catalog_receiver, |_| Ok(()));
        for panel in catalog.panels.values() {
            let statement = panels.expanded(panel).unwrap();
            check(&statement).unwrap_or_else(|violation| panic!("{}: {violation}", panel.name));
        }
    }

    #[test]
    fn unlisted_functions_are_found_in_any_spelling() {
        for sql in [
            "SELECT file('/x')",
            "SELECT FILE ('/x')",
            "SELECT `file`('/x')",
            "SELECT \"file\" /* ( */ ('/x')",
            "SELECT “file”('/x')",
            "SELECT 1e--file('/x')",
            "SELECT 1 /* /* */ file('/x') */ + file\n('/x')",
            "SELECT a.file('/x')",
            "SELECT x -> file(x)",
            "SELECT * FROM url('http://x')",
            "SELECT $a b$, file('/x'), $a b$",
            "SELECT f(1)",
        ] {
            assert!(violation(sql).message.contains("not allowed in panels") || sql.contains('$'), "{sql}");
        }
    }

    #[test]
    fn a_violation_names_the_line() {
        let rejected = violation("-- title: x\nSELECT 1,\n  file('/x')");
        assert_eq!(rejected.location, Location::Line(3));
        assert_eq!(
            rejected.message,
            "the function file is not allowed in panels: it reads files of the server or opens network addresses"
        );
    }

    #[test]
    fn a_panel_is_one_select_and_nothing_else() {
        for (sql, part) in [
            ("INSERT INTO t SELECT 1", "begins with SELECT"),
            ("((EXPLAIN SELECT 1))", "begins with SELECT"),
            ("WITH TOTALS HAVING x", "begins with SELECT"),
            ("-- only a comment", "begins with SELECT"),
            ("SELECT 1; SELECT 2", "semicolon"),
            ("SELECT 1 FORMAT CSV", "FORMAT"),
            ("SELECT 1 FORMAT CSV SETTINGS a = 1", "FORMAT"),
            ("SELECT 1 INTO OUTFILE 'x'", "OUTFILE"),
            ("SELECT 1 SETTINGS max_threads = 1", "max_threads"),
            ("SELECT {x:Identifier}", "Identifier"),
            ("SELECT {x:Array(Identifier)}", "Identifier"),
            ("SELECT {x}", "parameter"),
            ("SELECT 1 AS `a\nb`", "quoted name"),
            ("SELECT 1 AS `a``b`", "quoted name"),
            ("SELECT * FROM 'file'('/x')", "cannot be called"),
            ("SELECT 'x", "unterminated"),
            ("SELECT '1'::AggregateFunction(sum, UInt8)", "AggregateFunction"),
            ("SELECT CAST('1', 'AGGREGATEFUNCTION(sum, UInt8)')", "AggregateFunction"),
        ] {
            let rejected = violation(sql);
            assert!(rejected.message.contains(part), "{sql}: {rejected}");
        }
        for sql in
            ["SELECT 1;", "SELECT 1; ; -- x", "SELECT format, settings FROM t", "SELECT 1 AS `share (%)`"]
        {
            check(sql).unwrap_or_else(|violation| panic!("{sql}: {violation}"));
        }
    }
}
