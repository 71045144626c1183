//! Just enough of ClickHouse's SQL to know what a statement is: whether it answers, whether data follows it, and in which
//! format. What is not understood is given to the engine as it is, which says what is wrong with it.
//!
//! One request holds one statement. The library would carry out what stands behind a semicolon as well, so this is decided
//! here, for every caller, before anything runs; blanks, comments and further semicolons may follow.

use prost::encoding::decode_varint;

use crate::clickhouse::lexer::{self, Lexer, Token};

/// The format of an answer where nothing names one.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// What is to be done with a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// It answers with rows, which can be streamed.
    Select {
        /// The format it names.
        format: Option<String>,
    },
    /// It answers with few rows, which the engine does not stream.
    Show {
        /// The format it names.
        format: Option<String>,
    },
    /// It takes data: the format of the data, where it is named, and where in the text the data begins.
    Insert {
        /// The format of the data, where it is named.
        format: Option<String>,
        /// The data's first byte.
        data_start: usize,
    },
    /// Everything else.
    Other,
}

/// A statement in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// What is to be done with it.
    pub(super) kind: StatementKind,
    /// Where it ends: before its semicolon, and before the format of the data that it takes.
    pub(super) end: usize,
}

/// Why a text is no statement that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Something stands behind its semicolon.
    #[error(
        "Multi-statements are not allowed: something follows the semicolon at position {0}; send one statement a request"
    )]
    MultipleStatements(usize),
    /// Data in the text of an INSERT … SELECT, which the engine would pass over.
    #[error(
        "data follows the INSERT … SELECT at position {0}, which the embedded engine does not read; insert the data \
         itself, with INSERT INTO … FORMAT"
    )]
    DataAfterInsertSelect(usize),
}

/// The output format of an answer.
pub(super) fn output_format<'a>(named: Option<&'a str>, default: Option<&'a str>) -> &'a str {
    named.or(default).unwrap_or(DEFAULT_FORMAT)
}

/// Looks at the text of a statement, which may be followed by data.
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
    let (format, end, has_insert) = parse_clauses(&mut tokens, text.len())?;
    let kind = match () {
        // WITH … INSERT INTO … SELECT.
        () if has_insert => StatementKind::Other,
        () if is_select => StatementKind::Select { format },
        () if is_show => StatementKind::Show { format },
        () => StatementKind::Other,
    };
    Ok(Statement { kind, end })
}

/// What stands at the begin of every piece of a streamed answer and belongs only at the begin of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkHeader {
    /// Nothing.
    Empty,
    /// So many lines.
    Lines(usize),
    /// Names and types of the columns, as in `RowBinaryWithNamesAndTypes`.
    NamesAndTypes,
}

/// Whether an answer in this format can be streamed: the engine gives each piece as if it were a whole answer, so only
/// formats whose pieces can be put behind each other qualify. Others are made as a whole.
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
    /// How many bytes of this piece it takes.
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

/// Reads a statement to its end. FORMAT counts as its last clause only: with a name, and then the end, a semicolon or
/// SETTINGS. Gives the format, the end, and whether an INSERT is in it.
fn parse_clauses(
    tokens: &mut TopLevelTokens<'_>,
    length: usize,
) -> Result<(Option<String>, usize, bool), StatementError> {
    let (mut format, mut has_insert) = (None, false);
    let mut lookahead = tokens.next();
    while let Some(token) = lookahead {
        lookahead = tokens.next();
        if token.is_symbol(b';') {
            tokens.expect_only_semicolons(lookahead, token)?;
            return Ok((format, token.start, has_insert));
        }
        has_insert |= token.is_keyword("INSERT") && lookahead.is_some_and(|next| next.is_keyword("INTO"));
        if token.is_keyword("FORMAT")
            && let Some(name) = lookahead.filter(is_name)
            && tokens.peek().is_none_or(|next| next.is_symbol(b';') || next.is_keyword("SETTINGS"))
        {
            format = Some(name_of(name));
        }
    }
    Ok((format, length, has_insert))
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
            let (_, end, _) = parse_clauses(&mut tokens, text.len())?;
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

/// An INSERT … SELECT. The format that it names would be that of data behind it, which `input()` reads.
fn parse_insert_select(text: &[u8], mut tokens: TopLevelTokens<'_>) -> Result<Statement, StatementError> {
    let mut rest = tokens.clone();
    let mut lookahead = rest.next();
    while let Some(token) = lookahead {
        lookahead = rest.next();
        if token.is_symbol(b';') {
            break;
        }
        // Behind the name of a format stands data, which may look like anything.
        if token.is_keyword("FORMAT")
            && let Some(name) = lookahead.filter(is_name)
            && let Some(data) =
                rest.clone().next().filter(|next| !next.is_symbol(b';') && !next.is_keyword("SETTINGS"))
            && text[name.end()..data.start].contains(&b'\n')
        {
            return Err(StatementError::DataAfterInsertSelect(data.start + 1));
        }
    }
    let (_, end, _) = parse_clauses(&mut tokens, text.len())?;
    Ok(Statement { kind: StatementKind::Other, end })
}

/// Data begins behind the blanks that follow the format's name, and behind one line break.
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

/// The tokens that stand outside of parentheses; of what stands within, only the opening one.
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
                // A statement ends with its semicolon, whatever is open.
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

    /// Checks that `next` and all that follows are semicolons.
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
