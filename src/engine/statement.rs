//! Just enough of ClickHouse's SQL to know what a statement is: whether it answers, whether data follows it, and in which
//! format. What is not understood is given to the engine as it is, which says what is wrong with it.

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
    /// It takes data: the statement up to its FORMAT, the format, and where in the text the data begins.
    Takes {
        /// The statement without its format.
        statement: String,
        /// The format of the data, where it is named.
        format: Option<String>,
        /// The data's first byte.
        data_at: usize,
    },
    /// Everything else.
    Acts,
}

/// The output format of an answer.
pub(super) fn output_format<'a>(named: Option<&'a str>, default: Option<&'a str>) -> &'a str {
    named.or(default).unwrap_or(DEFAULT_FORMAT)
}

/// Looks at the text of a statement, which may be followed by data.
pub(super) fn look_at(text: &[u8]) -> Kind {
    let mut words = Words { text, at: 0 };
    let Some(first) = words.next() else {
        return Kind::Acts;
    };
    if first.is("INSERT") {
        return insert(text, words);
    }
    let selects = ["SELECT", "WITH", "("].iter().any(|word| first.is(word));
    let shows = ["SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"].iter().any(|word| first.is(word));
    if !selects && !shows {
        return Kind::Acts;
    }
    // The last FORMAT that stands outside of parentheses is the statement's.
    let mut format = None;
    while let Some(word) = words.next() {
        if word.is("FORMAT")
            && let Some(name) = words.next()
            && name.is_name()
        {
            format = Some(name.to_string());
        }
    }
    if selects { Kind::Selects { format } } else { Kind::Shows { format } }
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

fn insert(text: &[u8], mut words: Words<'_>) -> Kind {
    let statement = |end: usize| String::from_utf8_lossy(&text[..end]).trim_end().to_owned();
    let mut end = text.len();
    while let Some(word) = words.next() {
        if word.is("SELECT") || word.is("WITH") || word.is("WATCH") || word.is("INFILE") {
            return Kind::Acts;
        }
        if word.is("VALUES") {
            return Kind::Takes {
                statement: statement(word.start),
                format: Some("Values".to_owned()),
                data_at: words.at,
            };
        }
        if word.is("FORMAT")
            && let Some(name) = words.next()
            && name.is_name()
        {
            return Kind::Takes {
                statement: statement(word.start),
                format: Some(name.to_string()),
                data_at: after_line(text, words.at),
            };
        }
        if word.is(";") {
            end = word.start;
        }
    }
    Kind::Takes { statement: statement(end), format: None, data_at: text.len() }
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

/// A word, a sign, a quoted piece, or all that stands in parentheses.
struct Word<'a> {
    bytes: &'a [u8],
    start: usize,
}

impl Word<'_> {
    fn is(&self, word: &str) -> bool {
        self.bytes.eq_ignore_ascii_case(word.as_bytes())
    }

    fn is_name(&self) -> bool {
        self.bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
    }
}

impl std::fmt::Display for Word<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&String::from_utf8_lossy(self.bytes))
    }
}

struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Word<'a>> {
        self.skip_blanks_and_comments();
        let start = self.at;
        let first = *self.text.get(start)?;
        match first {
            b'\'' | b'"' | b'`' => self.skip_quoted(first),
            b'(' => self.skip_parentheses(),
            byte if is_word(byte) => {
                while self.text.get(self.at).is_some_and(|&byte| is_word(byte)) {
                    self.at += 1;
                }
            }
            _ => self.at += 1,
        }
        let bytes = if first == b'(' { &self.text[start..=start] } else { &self.text[start..self.at] };
        Some(Word { bytes, start })
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            if rest.first().is_some_and(u8::is_ascii_whitespace) {
                self.at += 1;
            } else if rest.starts_with(b"--") || rest.starts_with(b"#!") || rest.starts_with(b"# ") {
                self.skip_past(b"\n");
            } else if rest.starts_with(b"/*") {
                self.skip_past(b"*/");
            } else {
                return;
            }
        }
    }

    fn skip_past(&mut self, mark: &[u8]) {
        let rest = &self.text[self.at..];
        self.at += rest
            .windows(mark.len())
            .position(|window| window == mark)
            .map_or(rest.len(), |at| at + mark.len());
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at = (self.at + 1).min(self.text.len());
            } else if byte == quote {
                return;
            }
        }
    }

    fn skip_parentheses(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.skip_blanks_and_comments();
            match self.text.get(self.at) {
                None => return,
                Some(&quote @ (b'\'' | b'"' | b'`')) => self.skip_quoted(quote),
                Some(b'(') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b')') => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                }
                Some(_) => self.at += 1,
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(statement: &str, format: Option<&str>, data_at: usize) -> Kind {
        Kind::Takes { statement: statement.into(), format: format.map(str::to_owned), data_at }
    }

    #[test]
    fn an_insert_is_cut_where_its_data_begins() {
        assert_eq!(
            look_at(b"INSERT INTO t (a, b) FORMAT CSV\n1,2"),
            takes("INSERT INTO t (a, b)", Some("CSV"), 32)
        );
        assert_eq!(look_at(b"insert into t values (1)"), takes("insert into t", Some("Values"), 20));
        assert_eq!(look_at(b"INSERT INTO t FORMAT Native"), takes("INSERT INTO t", Some("Native"), 27));
        assert_eq!(look_at(b"INSERT INTO t"), takes("INSERT INTO t", None, 13));
        assert_eq!(
            look_at(b"INSERT INTO t SETTINGS async_insert=0 FORMAT RowBinary \r\n\x01"),
            takes("INSERT INTO t SETTINGS async_insert=0", Some("RowBinary"), 57)
        );
    }

    #[test]
    fn words_in_quotes_comments_and_parentheses_do_not_count() {
        let text = b"/* SELECT */ INSERT INTO `values` (\"format\", ')') -- FORMAT x\n FORMAT TSV 1";
        let statement = "/* SELECT */ INSERT INTO `values` (\"format\", ')') -- FORMAT x";
        assert_eq!(look_at(text), takes(statement, Some("TSV"), text.len() - 1));
        assert_eq!(
            look_at(b"SELECT (SELECT 1 FORMAT x), 'FORMAT y' FORMAT JSON"),
            Kind::Selects { format: Some("JSON".into()) }
        );
    }

    #[test]
    fn an_insert_of_a_select_acts() {
        assert_eq!(look_at(b"INSERT INTO t SELECT 1"), Kind::Acts);
        assert_eq!(look_at(b"INSERT INTO t WITH 1 AS x SELECT x"), Kind::Acts);
    }

    #[test]
    fn the_first_word_says_whether_a_statement_answers() {
        for text in ["SELECT 1", " with x as (select 1) select 1", "(SELECT 1) UNION ALL (SELECT 2)"] {
            assert_eq!(look_at(text.as_bytes()), Kind::Selects { format: None }, "{text}");
        }
        assert_eq!(look_at(b"SHOW TABLES FORMAT CSV"), Kind::Shows { format: Some("CSV".into()) });
        for text in ["CREATE TABLE t (a Int8)", "", "garbage", "OPTIMIZE TABLE t"] {
            assert_eq!(look_at(text.as_bytes()), Kind::Acts, "{text}");
        }
    }

    #[test]
    fn the_heads_of_pieces_are_measured() {
        assert_eq!(Repeated::Lines(2).length(b"a\nb\nc\n"), 4);
        assert_eq!(Repeated::NamesAndTypes.length(b"\x02\x01a\x02bc\x01d\x01erows"), 10);
        assert_eq!(Repeated::NamesAndTypes.length(b"\x02\x01a\x7f"), 0);
    }

    #[test]
    fn unended_pieces_end_with_the_text() {
        for text in ["SELECT '", "SELECT (1", "/* x", "SELECT 'a\\", "INSERT INTO t ("] {
            look_at(text.as_bytes());
        }
    }
}
