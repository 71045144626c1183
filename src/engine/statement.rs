//! A minimal parser of ClickHouse's SQL. It determines the kind of a statement, its output format, and where the data of an
//! INSERT begins. Statements that it does not understand are passed to the engine, which reports what is invalid.
//!
//! A request must contain one statement. The library would also execute what follows a semicolon, so the parser rejects
//! this for all users before anything runs. Whitespace, comments and more semicolons may follow.

use prost::encoding::decode_varint;

use crate::clickhouse::lexer::{self, Lexer, Token};

/// Output format if neither the statement nor the request names one.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// How a statement is executed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// Returns rows, which can be streamed.
    Select {
        /// Format in the statement.
        format: Option<String>,
    },
    /// Returns few rows, which the library does not stream.
    Show {
        /// Format in the statement.
        format: Option<String>,
    },
    /// Is followed by data.
    Insert {
        /// Format of the data in the statement.
        format: Option<String>,
        /// Offset of the data in the text; the length of the text if it contains no data.
        data_start: usize,
    },
    /// Any other statement. Its result, if it has one, is not streamed.
    Other,
}

/// A statement at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) kind: StatementKind,
    /// Offset of its end: before its semicolon, and before FORMAT or VALUES of an INSERT with data.
    pub(super) end: usize,
}

/// Why a text is rejected. Positions are in bytes, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    /// A second statement. The message begins like ClickHouse's.
    #[error(
        "Multi-statements are not allowed: text follows the semicolon at position {0}; send one statement per request"
    )]
    MultipleStatements(usize),
    /// Data after an INSERT … SELECT, which the library would ignore.
    #[error(
        "the embedded engine does not read data after an INSERT … SELECT (at position {0}); insert the data directly with \
         INSERT INTO … FORMAT"
    )]
    DataAfterInsertSelect(usize),
}

/// Output format: that of the statement, or else the request's default, or else [`DEFAULT_FORMAT`].
pub(super) fn output_format<'a>(named: Option<&'a str>, default: Option<&'a str>) -> &'a str {
    named.or(default).unwrap_or(DEFAULT_FORMAT)
}

/// Parses the statement at the beginning of a text. The data of an INSERT may follow it.
pub(super) fn parse(text: &[u8]) -> Result<Statement, StatementError> {
    let mut tokens = TopLevelTokens { lexer: Lexer::new(text) };
    let Some(first) = tokens.next() else {
        return Ok(Statement { kind: StatementKind::Other, end: text.len() });
    };
    if first.is_keyword("INSERT") {
        return parse_insert(text, tokens);
    }
    let is_select =
        ["SELECT", "WITH", "FROM"].iter().any(|keyword| first.is_keyword(keyword)) || first.is_symbol(b'(');
    let is_show = ["SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"]
        .iter()
        .any(|keyword| first.is_keyword(keyword));
    let Clauses { format, end, has_insert } = parse_clauses(&mut tokens, text.len())?;
    let kind = match () {
        // WITH … INSERT INTO … SELECT.
        () if has_insert => StatementKind::Other,
        () if is_select => StatementKind::Select { format },
        () if is_show => StatementKind::Show { format },
        () => StatementKind::Other,
    };
    Ok(Statement { kind, end })
}

/// Header at the beginning of each chunk of a streamed result. Only that of the first chunk is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkHeader {
    /// No header.
    Empty,
    /// This number of lines.
    Lines(usize),
    /// Names and types of the columns in binary, as in `RowBinaryWithNamesAndTypes`.
    NamesAndTypes,
}

/// Header of a format that can be streamed; `None` for other formats. The library formats each chunk like a complete
/// result, so only formats whose chunks can be concatenated without their headers can be streamed.
pub(super) fn streaming_header(format: &str) -> Option<ChunkHeader> {
    match format {
        "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" | "CSV" | "JSONEachRow"
        | "JSONCompactEachRow" | "RowBinary" | "Native" | "LineAsString" | "Null" => Some(ChunkHeader::Empty),
        "TabSeparatedWithNames" | "TSVWithNames" | "CSVWithNames" => Some(ChunkHeader::Lines(1)),
        "TabSeparatedWithNamesAndTypes" | "TSVWithNamesAndTypes" => Some(ChunkHeader::Lines(2)),
        "RowBinaryWithNamesAndTypes" => Some(ChunkHeader::NamesAndTypes),
        _ => None,
    }
}

impl ChunkHeader {
    /// Length of the header of this chunk, in bytes.
    pub(super) fn length(self, chunk: &[u8]) -> usize {
        match self {
            Self::Empty => 0,
            Self::Lines(lines) => {
                let ends =
                    chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(pos, _)| pos + 1);
                ends.take(lines).last().unwrap_or(0)
            }
            Self::NamesAndTypes => names_and_types_length(chunk).unwrap_or(0),
        }
    }
}

fn names_and_types_length(chunk: &[u8]) -> Option<usize> {
    let mut rest = chunk;
    // ClickHouse's variable-length integers are those of Protocol Buffers.
    let columns = decode_varint(&mut rest).ok()?;
    for _ in 0..columns.checked_mul(2)? {
        let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        rest = rest.get(length..)?;
    }
    Some(chunk.len() - rest.len())
}

/// What [`parse_clauses`] finds.
struct Clauses {
    /// Name in the FORMAT clause.
    format: Option<String>,
    /// Offset of the statement's end.
    end: usize,
    /// Whether the statement contains INSERT INTO.
    has_insert: bool,
}

/// Reads a statement to its end. FORMAT is a clause only if a name follows, and then the end, a semicolon or SETTINGS.
/// Otherwise it is an identifier.
fn parse_clauses(tokens: &mut TopLevelTokens<'_>, length: usize) -> Result<Clauses, StatementError> {
    let (mut format, mut has_insert) = (None, false);
    let mut lookahead = tokens.next();
    while let Some(token) = lookahead {
        lookahead = tokens.next();
        if token.is_symbol(b';') {
            tokens.expect_only_semicolons(lookahead, token)?;
            return Ok(Clauses { format, end: token.start, has_insert });
        }
        has_insert |= token.is_keyword("INSERT") && lookahead.is_some_and(|next| next.is_keyword("INTO"));
        if token.is_keyword("FORMAT")
            && let Some(name) = lookahead.filter(is_name)
            && tokens.peek().is_none_or(|next| next.is_symbol(b';') || next.is_keyword("SETTINGS"))
        {
            format = Some(name_of(name));
        }
    }
    Ok(Clauses { format, end: length, has_insert })
}

fn parse_insert(text: &[u8], mut tokens: TopLevelTokens<'_>) -> Result<Statement, StatementError> {
    while let Some(token) = tokens.next() {
        if token.is_keyword("SELECT")
            || token.is_keyword("WITH")
            || token.is_keyword("FROM") && tokens.peek().is_none_or(|next| !next.is_keyword("INFILE"))
        {
            return parse_insert_select(text, tokens);
        }
        if token.is_keyword("WATCH") || token.is_keyword("INFILE") {
            let Clauses { end, .. } = parse_clauses(&mut tokens, text.len())?;
            return Ok(Statement { kind: StatementKind::Other, end });
        }
        if token.is_keyword("VALUES") {
            let kind = StatementKind::Insert { format: Some("Values".to_owned()), data_start: token.end() };
            return Ok(Statement { kind, end: token.start });
        }
        if token.is_keyword("FORMAT")
            && let Some(name) = tokens.next().filter(is_name)
        {
            let kind = StatementKind::Insert {
                format: Some(name_of(name)),
                data_start: skip_to_data(text, name.end()),
            };
            return Ok(Statement { kind, end: token.start });
        }
        if token.is_symbol(b';') {
            let next = tokens.next();
            tokens.expect_only_semicolons(next, token)?;
            return Ok(Statement {
                kind: StatementKind::Insert { format: None, data_start: text.len() },
                end: token.start,
            });
        }
    }
    Ok(Statement { kind: StatementKind::Insert { format: None, data_start: text.len() }, end: text.len() })
}

/// Parses an INSERT … SELECT. Its FORMAT would be that of data after it, which `input()` reads in a ClickHouse server.
fn parse_insert_select(text: &[u8], mut tokens: TopLevelTokens<'_>) -> Result<Statement, StatementError> {
    let mut rest = tokens.clone();
    let mut lookahead = rest.next();
    while let Some(token) = lookahead {
        lookahead = rest.next();
        if token.is_symbol(b';') {
            break;
        }
        // After the name of a format and a line break, any text but a semicolon or SETTINGS is data.
        if token.is_keyword("FORMAT")
            && let Some(name) = lookahead.filter(is_name)
            && let Some(data) =
                rest.clone().next().filter(|next| !next.is_symbol(b';') && !next.is_keyword("SETTINGS"))
            && text[name.end()..data.start].contains(&b'\n')
        {
            return Err(StatementError::DataAfterInsertSelect(data.start + 1));
        }
    }
    let Clauses { end, .. } = parse_clauses(&mut tokens, text.len())?;
    Ok(Statement { kind: StatementKind::Other, end })
}

/// Offset of the data: after the whitespace that follows the format's name, an optional semicolon, and one line break.
fn skip_to_data(text: &[u8], mut pos: usize) -> usize {
    while matches!(text.get(pos), Some(b' ' | b'\t' | b'\x0c')) {
        pos += 1;
    }
    if text.get(pos) == Some(&b';') {
        pos += 1;
    }
    if text.get(pos) == Some(&b'\r') {
        pos += 1;
    }
    if text.get(pos) == Some(&b'\n') {
        pos += 1;
    }
    pos
}

fn is_name(token: &Token<'_>) -> bool {
    token.kind == lexer::TokenKind::BareWord && !token.bytes[0].is_ascii_digit()
}

fn name_of(token: Token<'_>) -> String {
    String::from_utf8_lossy(token.bytes).into_owned()
}

/// Tokens outside parentheses. A parenthesized part is returned as its opening parenthesis.
#[derive(Clone)]
struct TopLevelTokens<'a> {
    lexer: Lexer<'a>,
}

impl<'a> TopLevelTokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.lexer.next()?;
        if token.is_symbol(b'(') {
            let mut depth = 1_usize;
            while depth > 0
                && let Some(token) = self.lexer.clone().next()
            {
                // A semicolon ends the statement even in an open parenthesis.
                if token.is_symbol(b';') {
                    break;
                }
                self.lexer.next();
                depth = depth + usize::from(token.is_symbol(b'(')) - usize::from(token.is_symbol(b')'));
            }
        }
        Some(token)
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    /// Checks that `next` and all tokens after it are semicolons.
    fn expect_only_semicolons(
        &mut self,
        mut next: Option<Token<'a>>,
        semicolon: Token<'_>,
    ) -> Result<(), StatementError> {
        while let Some(token) = next {
            if !token.is_symbol(b';') {
                return Err(StatementError::MultipleStatements(semicolon.start + 1));
            }
            next = self.next();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn insert_statement(
        end: usize,
        format: Option<&str>,
        data_start: usize,
    ) -> Result<Statement, StatementError> {
        Ok(Statement { kind: StatementKind::Insert { format: format.map(str::to_owned), data_start }, end })
    }

    fn kind(text: &str) -> StatementKind {
        parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).kind
    }

    fn select_kind(format: Option<&str>) -> StatementKind {
        StatementKind::Select { format: format.map(str::to_owned) }
    }

    #[test]
    fn an_insert_is_split_where_its_data_starts() {
        assert_eq!(parse(b"INSERT INTO t (a, b) FORMAT CSV\n1,2"), insert_statement(21, Some("CSV"), 32));
        assert_eq!(parse(b"insert into t values (1)"), insert_statement(14, Some("Values"), 20));
        assert_eq!(parse(b"INSERT INTO t FORMAT Native"), insert_statement(14, Some("Native"), 27));
        assert_eq!(parse(b"INSERT INTO t"), insert_statement(13, None, 13));
        let text = b"INSERT INTO t SETTINGS async_insert=0 FORMAT RowBinary \r\n\x01";
        assert_eq!(parse(text), insert_statement(38, Some("RowBinary"), 57));
    }

    #[test]
    fn keywords_in_quotes_comments_and_parentheses_are_ignored() {
        let text = b"/* SELECT */ INSERT INTO `values` (\"format\", ')') -- FORMAT x\n FORMAT TSV 1";
        assert_eq!(parse(text), insert_statement(63, Some("TSV"), text.len() - 1));
        assert_eq!(kind("SELECT (SELECT 1 FORMAT x), 'FORMAT y' FORMAT JSON"), select_kind(Some("JSON")));
    }

    #[test]
    fn an_insert_select_takes_no_data() {
        for text in
            ["INSERT INTO t SELECT 1", "INSERT INTO t WITH 1 AS x SELECT x", "INSERT INTO t FROM x SELECT y"]
        {
            assert_eq!(kind(text), StatementKind::Other, "{text}");
        }
        assert_eq!(kind("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"), StatementKind::Other);
        let with_data = parse(b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n1");
        assert_eq!(with_data, Err(StatementError::DataAfterInsertSelect(56)));
    }

    #[test]
    fn the_first_keyword_determines_the_statement_kind() {
        for text in [
            "SELECT 1",
            " with x as (select 1) select 1",
            "(SELECT 1) UNION ALL (SELECT 2)",
            "FROM t SELECT a",
        ] {
            assert_eq!(kind(text), select_kind(None), "{text}");
        }
        assert_eq!(kind("SHOW TABLES FORMAT CSV"), StatementKind::Show { format: Some("CSV".into()) });
        for text in ["CREATE TABLE t (a Int8)", "", "garbage", "OPTIMIZE TABLE t"] {
            assert_eq!(kind(text), StatementKind::Other, "{text}");
        }
    }

    #[test]
    fn format_is_a_clause_only_at_the_end_of_a_statement() {
        for text in [
            "SELECT format FROM t",
            "SELECT count() FROM t GROUP BY format ORDER BY n",
            "SELECT 1 AS format",
            "SELECT a format, b FROM t",
            "SELECT $x$ FORMAT CSV $x$",
            "SELECT 1 FORMAT CSV WHERE 1",
        ] {
            assert_eq!(kind(text), select_kind(None), "{text}");
        }
        for text in [
            "SELECT 1 FORMAT CSV",
            "SELECT format FROM t GROUP BY format FORMAT CSV;",
            "SELECT 1 FORMAT CSV SETTINGS max_threads = 1",
            "SELECT 1 SETTINGS max_threads = 1 FORMAT CSV -- end",
            "SELECT 1 format FORMAT CSV",
        ] {
            assert_eq!(kind(text), select_kind(Some("CSV")), "{text}");
        }
    }

    #[test]
    fn a_text_must_hold_one_statement() {
        for (text, end) in [
            ("SELECT 1;", 8),
            ("SELECT 1 ; -- done; SELECT 2", 9),
            ("SELECT 1;;\n; /* ; SELECT 2 /* ; */ ; */", 8),
            ("SELECT ';', `;`, \";\", $$;$$, $a$;$a$ -- ;", 41),
            ("SHOW TABLES;", 11),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|statement| statement.end), Ok(end), "{text}");
        }
        for text in [
            "SELECT 1; SELECT 2",
            "SELECT 1;;SELECT 2",
            "SELECT (1; SELECT 2",
            "SELECT 1 /* ; */; x",
            "SELECT 1 /* /* */ */ ; SELECT 2",
            "SELECT 1 # ' \n; SELECT '2'",
            "SELECT 1e--5\n; SELECT 2",
            "SELECT $a;b$ ; $a;b$",
            "SHOW TABLES; DROP TABLE t",
            "EXPLAIN AST INSERT INTO t VALUES (1); DROP TABLE t",
            "CREATE TABLE t (a Int8); DROP TABLE t",
            "INSERT INTO t; DROP TABLE t",
            "INSERT INTO t (a); DROP TABLE t; INSERT INTO t VALUES (1)",
            "INSERT INTO t SELECT 1; DROP TABLE t",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV; DROP TABLE t",
        ] {
            assert!(matches!(parse(text.as_bytes()), Err(StatementError::MultipleStatements(_))), "{text}");
        }
        // Data may hold anything.
        for text in ["INSERT INTO t VALUES ('a;b'); SELECT 1", "INSERT INTO t FORMAT CSV\na;b\n;SELECT 1"] {
            assert!(matches!(kind(text), StatementKind::Insert { .. }), "{text}");
        }
    }

    #[test]
    fn repeated_chunk_headers_are_measured() {
        assert_eq!(ChunkHeader::Lines(2).length(b"a\nb\nc\n"), 4);
        assert_eq!(ChunkHeader::NamesAndTypes.length(b"\x02\x01a\x02bc\x01d\x01erows"), 10);
        assert_eq!(ChunkHeader::NamesAndTypes.length(b"\x02\x01a\x7f"), 0);
    }

    proptest! {
        #[test]
        fn any_text_can_be_parsed(text in "(SELECT|INSERT INTO|FORMAT|VALUES|;|'|`|\\(|\\)|/\\*|\\*/|--|\n|x| |\\$){0,40}") {
            if let Ok(Statement { end, kind }) = parse(text.as_bytes()) {
                prop_assert!(end <= text.len());
                if let StatementKind::Insert { data_start, .. } = kind {
                    prop_assert!(end <= data_start && data_start <= text.len());
                }
            }
        }
    }
}
