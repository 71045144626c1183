//! Just enough of ClickHouse's SQL to know what a statement is: whether it answers, whether data follows it, and in which
//! format. What is not understood is given to the engine as it is, which says what is wrong with it.
//!
//! One request holds one statement. The library would carry out what stands behind a semicolon as well, so this is decided
//! here, for every caller, before anything runs; blanks, comments and further semicolons may follow.

use crate::clickhouse::lexer::{self, Lexer, Token};

/// The format of an answer where nothing names one.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// What is to be done with a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It answers with rows, which can be streamed.
    Selects {
        /// The format it names.
        format: Option<String>,
    },
    /// It answers with few rows, which the engine does not stream.
    Shows {
        /// The format it names.
        format: Option<String>,
    },
    /// It takes data: the format of the data, where it is named, and where in the text the data begins.
    Takes {
        /// The format of the data, where it is named.
        format: Option<String>,
        /// The data's first byte.
        data_at: usize,
    },
    /// Everything else.
    Acts,
}

/// A statement in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// What is to be done with it.
    pub(super) kind: Kind,
    /// Where it ends: before its semicolon, and before the format of the data that it takes.
    pub(super) end: usize,
}

/// Why a text is no statement that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Something stands behind its semicolon.
    #[error(
        "Multi-statements are not allowed: something follows the semicolon at position {0}; send one statement a request"
    )]
    Several(usize),
    /// Data in the text of an INSERT … SELECT, which the engine would pass over.
    #[error(
        "data follows the INSERT … SELECT at position {0}, which the embedded engine does not read; insert the data \
         itself, with INSERT INTO … FORMAT"
    )]
    DataBehindSelect(usize),
}

/// The output format of an answer.
pub(super) fn output_format<'a>(named: Option<&'a str>, default: Option<&'a str>) -> &'a str {
    named.or(default).unwrap_or(DEFAULT_FORMAT)
}

/// Looks at the text of a statement, which may be followed by data.
pub(super) fn look_at(text: &[u8]) -> Result<Statement, Refusal> {
    let mut words = Words { lexer: Lexer::new(text) };
    let Some(first) = words.next() else {
        return Ok(Statement { kind: Kind::Acts, end: text.len() });
    };
    if first.is("INSERT") {
        return insert(text, words);
    }
    let selects = ["SELECT", "WITH", "FROM"].iter().any(|word| first.is(word)) || first.is_sign(b'(');
    let shows = ["SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"].iter().any(|word| first.is(word));
    let (format, end, inserts) = clauses(&mut words, text.len())?;
    let kind = match () {
        // WITH … INSERT INTO … SELECT.
        () if inserts => Kind::Acts,
        () if selects => Kind::Selects { format },
        () if shows => Kind::Shows { format },
        () => Kind::Acts,
    };
    Ok(Statement { kind, end })
}

/// What stands at the begin of every piece of a streamed answer and belongs only at the begin of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// Nothing.
    Nothing,
    /// So many lines.
    Lines(usize),
    /// Names and types of the columns, as in `RowBinaryWithNamesAndTypes`.
    NamesAndTypes,
}

/// Whether an answer in this format can be streamed: the engine gives each piece as if it were a whole answer, so only
/// formats whose pieces can be put behind each other qualify. Others are made as a whole.
pub(super) fn streams(format: &str) -> Option<Repeated> {
    match format {
        "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" | "CSV" | "JSONEachRow"
        | "JSONCompactEachRow" | "RowBinary" | "Native" | "LineAsString" | "Null" => Some(Repeated::Nothing),
        "TabSeparatedWithNames" | "TSVWithNames" | "CSVWithNames" => Some(Repeated::Lines(1)),
        "TabSeparatedWithNamesAndTypes" | "TSVWithNamesAndTypes" => Some(Repeated::Lines(2)),
        "RowBinaryWithNamesAndTypes" => Some(Repeated::NamesAndTypes),
        _ => None,
    }
}

impl Repeated {
    /// How many bytes of this piece it takes.
    pub(super) fn length(self, piece: &[u8]) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Lines(lines) => {
                let ends = piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
                ends.take(lines).last().unwrap_or(0)
            }
            Self::NamesAndTypes => names_and_types(piece).unwrap_or(0),
        }
    }
}

fn names_and_types(piece: &[u8]) -> Option<usize> {
    let mut rest = piece;
    let columns = take_number(&mut rest)?;
    for _ in 0..columns.checked_mul(2)? {
        let length = take_number(&mut rest)?;
        rest = rest.get(length..)?;
    }
    Some(piece.len() - rest.len())
}

/// A LEB128 number.
fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads a statement to its end. FORMAT counts as its last clause only: with a name, and then the end, a semicolon or
/// SETTINGS. Gives the format, the end, and whether an INSERT is in it.
fn clauses(words: &mut Words<'_>, length: usize) -> Result<(Option<String>, usize, bool), Refusal> {
    let (mut format, mut inserts) = (None, false);
    let mut ahead = words.next();
    while let Some(word) = ahead {
        ahead = words.next();
        if word.is_sign(b';') {
            words.only_semicolons(ahead, word)?;
            return Ok((format, word.start, inserts));
        }
        inserts |= word.is("INSERT") && ahead.is_some_and(|next| next.is("INTO"));
        if word.is("FORMAT")
            && let Some(name) = ahead.filter(is_name)
            && words.peek().is_none_or(|next| next.is_sign(b';') || next.is("SETTINGS"))
        {
            format = Some(name_of(name));
        }
    }
    Ok((format, length, inserts))
}

fn insert(text: &[u8], mut words: Words<'_>) -> Result<Statement, Refusal> {
    while let Some(word) = words.next() {
        if word.is("SELECT")
            || word.is("WITH")
            || word.is("FROM") && words.peek().is_none_or(|next| !next.is("INFILE"))
        {
            return insert_select(text, words);
        }
        if word.is("WATCH") || word.is("INFILE") {
            let (_, end, _) = clauses(&mut words, text.len())?;
            return Ok(Statement { kind: Kind::Acts, end });
        }
        if word.is("VALUES") {
            let kind = Kind::Takes { format: Some("Values".to_owned()), data_at: word.end() };
            return Ok(Statement { kind, end: word.start });
        }
        if word.is("FORMAT")
            && let Some(name) = words.next().filter(is_name)
        {
            let kind = Kind::Takes { format: Some(name_of(name)), data_at: after_line(text, name.end()) };
            return Ok(Statement { kind, end: word.start });
        }
        if word.is_sign(b';') {
            let next = words.next();
            words.only_semicolons(next, word)?;
            return Ok(Statement {
                kind: Kind::Takes { format: None, data_at: text.len() },
                end: word.start,
            });
        }
    }
    Ok(Statement { kind: Kind::Takes { format: None, data_at: text.len() }, end: text.len() })
}

/// An INSERT … SELECT. The format that it names would be that of data behind it, which `input()` reads.
fn insert_select(text: &[u8], mut words: Words<'_>) -> Result<Statement, Refusal> {
    let mut rest = words.clone();
    let mut ahead = rest.next();
    while let Some(word) = ahead {
        ahead = rest.next();
        if word.is_sign(b';') {
            break;
        }
        // Behind the name of a format stands data, which may look like anything.
        if word.is("FORMAT")
            && let Some(name) = ahead.filter(is_name)
            && let Some(data) = rest.clone().next().filter(|next| !next.is_sign(b';') && !next.is("SETTINGS"))
            && text[name.end()..data.start].contains(&b'\n')
        {
            return Err(Refusal::DataBehindSelect(data.start + 1));
        }
    }
    let (_, end, _) = clauses(&mut words, text.len())?;
    Ok(Statement { kind: Kind::Acts, end })
}

/// Data begins behind the blanks that follow the format's name, and behind one line break.
fn after_line(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\x0c')) {
        at += 1;
    }
    if text.get(at) == Some(&b';') {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

fn is_name(token: &Token<'_>) -> bool {
    token.kind == lexer::Kind::Word && !token.bytes[0].is_ascii_digit()
}

fn name_of(token: Token<'_>) -> String {
    String::from_utf8_lossy(token.bytes).into_owned()
}

/// The tokens that stand outside of parentheses; of what stands within, only the opening one.
#[derive(Clone)]
struct Words<'a> {
    lexer: Lexer<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.lexer.next()?;
        if token.is_sign(b'(') {
            let mut depth = 1_usize;
            while depth > 0
                && let Some(token) = self.lexer.clone().next()
            {
                // A statement ends with its semicolon, whatever is open.
                if token.is_sign(b';') {
                    break;
                }
                self.lexer.next();
                depth = depth + usize::from(token.is_sign(b'(')) - usize::from(token.is_sign(b')'));
            }
        }
        Some(token)
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    /// Checks that `next` and all that follows are semicolons.
    fn only_semicolons(&mut self, mut next: Option<Token<'a>>, semicolon: Token<'_>) -> Result<(), Refusal> {
        while let Some(token) = next {
            if !token.is_sign(b';') {
                return Err(Refusal::Several(semicolon.start + 1));
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

    fn takes(end: usize, format: Option<&str>, data_at: usize) -> Result<Statement, Refusal> {
        Ok(Statement { kind: Kind::Takes { format: format.map(str::to_owned), data_at }, end })
    }

    fn kind(text: &str) -> Kind {
        look_at(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).kind
    }

    fn selects(format: Option<&str>) -> Kind {
        Kind::Selects { format: format.map(str::to_owned) }
    }

    #[test]
    fn an_insert_is_cut_where_its_data_begins() {
        assert_eq!(look_at(b"INSERT INTO t (a, b) FORMAT CSV\n1,2"), takes(21, Some("CSV"), 32));
        assert_eq!(look_at(b"insert into t values (1)"), takes(14, Some("Values"), 20));
        assert_eq!(look_at(b"INSERT INTO t FORMAT Native"), takes(14, Some("Native"), 27));
        assert_eq!(look_at(b"INSERT INTO t"), takes(13, None, 13));
        let text = b"INSERT INTO t SETTINGS async_insert=0 FORMAT RowBinary \r\n\x01";
        assert_eq!(look_at(text), takes(38, Some("RowBinary"), 57));
    }

    #[test]
    fn words_in_quotes_comments_and_parentheses_do_not_count() {
        let text = b"/* SELECT */ INSERT INTO `values` (\"format\", ')') -- FORMAT x\n FORMAT TSV 1";
        assert_eq!(look_at(text), takes(63, Some("TSV"), text.len() - 1));
        assert_eq!(kind("SELECT (SELECT 1 FORMAT x), 'FORMAT y' FORMAT JSON"), selects(Some("JSON")));
    }

    #[test]
    fn an_insert_of_a_select_acts() {
        for text in
            ["INSERT INTO t SELECT 1", "INSERT INTO t WITH 1 AS x SELECT x", "INSERT INTO t FROM x SELECT y"]
        {
            assert_eq!(kind(text), Kind::Acts, "{text}");
        }
        assert_eq!(kind("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"), Kind::Acts);
        let with_data = look_at(b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n1");
        assert_eq!(with_data, Err(Refusal::DataBehindSelect(56)));
    }

    #[test]
    fn the_first_word_says_whether_a_statement_answers() {
        for text in [
            "SELECT 1",
            " with x as (select 1) select 1",
            "(SELECT 1) UNION ALL (SELECT 2)",
            "FROM t SELECT a",
        ] {
            assert_eq!(kind(text), selects(None), "{text}");
        }
        assert_eq!(kind("SHOW TABLES FORMAT CSV"), Kind::Shows { format: Some("CSV".into()) });
        for text in ["CREATE TABLE t (a Int8)", "", "garbage", "OPTIMIZE TABLE t"] {
            assert_eq!(kind(text), Kind::Acts, "{text}");
        }
    }

    #[test]
    fn format_is_a_clause_only_where_the_statement_ends() {
        for text in [
            "SELECT format FROM t",
            "SELECT count() FROM t GROUP BY format ORDER BY n",
            "SELECT 1 AS format",
            "SELECT a format, b FROM t",
            "SELECT $x$ FORMAT CSV $x$",
            "SELECT 1 FORMAT CSV WHERE 1",
        ] {
            assert_eq!(kind(text), selects(None), "{text}");
        }
        for text in [
            "SELECT 1 FORMAT CSV",
            "SELECT format FROM t GROUP BY format FORMAT CSV;",
            "SELECT 1 FORMAT CSV SETTINGS max_threads = 1",
            "SELECT 1 SETTINGS max_threads = 1 FORMAT CSV -- end",
            "SELECT 1 format FORMAT CSV",
        ] {
            assert_eq!(kind(text), selects(Some("CSV")), "{text}");
        }
    }

    #[test]
    fn a_text_holds_one_statement() {
        for (text, end) in [
            ("SELECT 1;", 8),
            ("SELECT 1 ; -- done; SELECT 2", 9),
            ("SELECT 1;;\n; /* ; SELECT 2 /* ; */ ; */", 8),
            ("SELECT ';', `;`, \";\", $$;$$, $a$;$a$ -- ;", 41),
            ("SHOW TABLES;", 11),
        ] {
            assert_eq!(look_at(text.as_bytes()).map(|statement| statement.end), Ok(end), "{text}");
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
            assert!(matches!(look_at(text.as_bytes()), Err(Refusal::Several(_))), "{text}");
        }
        // Data may hold anything.
        for text in ["INSERT INTO t VALUES ('a;b'); SELECT 1", "INSERT INTO t FORMAT CSV\na;b\n;SELECT 1"] {
            assert!(matches!(kind(text), Kind::Takes { .. }), "{text}");
        }
    }

    #[test]
    fn the_heads_of_pieces_are_measured() {
        assert_eq!(Repeated::Lines(2).length(b"a\nb\nc\n"), 4);
        assert_eq!(Repeated::NamesAndTypes.length(b"\x02\x01a\x02bc\x01d\x01erows"), 10);
        assert_eq!(Repeated::NamesAndTypes.length(b"\x02\x01a\x7f"), 0);
    }

    proptest! {
        #[test]
        fn any_text_can_be_looked_at(text in "(SELECT|INSERT INTO|FORMAT|VALUES|;|'|`|\\(|\\)|/\\*|\\*/|--|\n|x| |\\$){0,40}") {
            if let Ok(Statement { end, kind }) = look_at(text.as_bytes()) {
                prop_assert!(end <= text.len());
                if let Kind::Takes { data_at, .. } = kind {
                    prop_assert!(end <= data_at && data_at <= text.len());
                }
            }
        }
    }
}
