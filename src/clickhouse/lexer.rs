//! ClickHouse's lexer, ported from its src/Parsers/Lexer.cpp, so that comments, quoted text and statements end here exactly
//! where they end for ClickHouse.

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or an unquoted name.
    BareWord,
    /// A quoted name.
    QuotedIdentifier,
    /// A string literal, including heredocs.
    StringLiteral,
    /// A number.
    Number,
    /// A single character: an operator, a bracket, a comma.
    Symbol,
    /// What ClickHouse rejects: an unterminated quote or comment, a stray character.
    Error,
}

/// A significant token: not whitespace, not a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind.
    pub kind: TokenKind,
    /// Its bytes, quotes included.
    pub bytes: &'a [u8],
    /// Offset of its first byte.
    pub start: usize,
}

impl Token<'_> {
    /// Whether it is this keyword, in any case.
    pub fn is_keyword(&self, keyword: &str) -> bool {
        self.kind == TokenKind::BareWord && self.bytes.eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// Whether it is this symbol.
    pub fn is_symbol(&self, symbol: u8) -> bool {
        self.kind == TokenKind::Symbol && self.bytes == [symbol]
    }

    /// Offset after its last byte.
    pub fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

/// An iterator over the tokens of a text.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    pos: usize,
    /// Determines whether a dot begins a number or is an operator.
    previous: PreviousToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PreviousToken {
    /// A name, a number or a closing bracket: a dot after it is an operator.
    Operand,
    Dot,
    Other,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, pos: 0, previous: PreviousToken::Other }
    }

    fn byte(&self, pos: usize) -> u8 {
        self.text.get(pos).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.pos..]
    }

    /// Returns false at an unterminated comment.
    fn skip_whitespace_and_comments(&mut self) -> bool {
        loop {
            let rest = self.rest();
            if rest.first().is_some_and(|byte| is_whitespace(*byte)) {
                self.pos += 1;
            } else if [&b"--"[..], b"//", b"# ", b"#!"].iter().any(|mark| rest.starts_with(mark)) {
                self.pos += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") {
                match comment_length(rest) {
                    Some(length) => self.pos += length,
                    None => return false,
                }
            } else {
                match unicode_whitespace_length(rest) {
                    0 => return true,
                    length => self.pos += length,
                }
            }
        }
    }

    fn scan_token(&mut self) -> (TokenKind, usize) {
        let rest = self.rest();
        let first = rest[0];
        match first {
            b'\'' => quoted(rest, b'\'', TokenKind::StringLiteral),
            b'"' | b'`' => quoted(rest, first, TokenKind::QuotedIdentifier),
            b'0'..=b'9' => self.scan_number(),
            b'.' if self.previous != PreviousToken::Operand && self.byte(self.pos + 1).is_ascii_digit() => {
                let mut end = digits(rest, 1, true, false);
                end = exponent(rest, end, *b"eE");
                (TokenKind::Number, end)
            }
            b'x' | b'X' | b'b' | b'B' if self.byte(self.pos + 1) == b'\'' => bytes_literal(rest),
            b'$' => heredoc_or_word(rest),
            _ if is_word_byte(first) => (TokenKind::BareWord, word_length(rest)),
            _ if rest.starts_with("‘".as_bytes()) => unicode_quoted(rest, "’", TokenKind::StringLiteral),
            _ if rest.starts_with("“".as_bytes()) => unicode_quoted(rest, "”", TokenKind::QuotedIdentifier),
            _ if rest.starts_with("−".as_bytes()) => (TokenKind::Symbol, 3),
            b'#' | b'\\' | 0..=31 | 127.. => (TokenKind::Error, 1),
            _ => (TokenKind::Symbol, 1),
        }
    }

    /// Scans a number, or a name that begins with a digit.
    fn scan_number(&self) -> (TokenKind, usize) {
        let rest = self.rest();
        let byte = |pos: usize| rest.get(pos).copied().unwrap_or(0);
        let mut end = 1;
        if self.previous == PreviousToken::Dot {
            end = digits(rest, end, false, false);
        } else {
            let (mut hex, mut start) = (false, false);
            match (byte(0), byte(1), byte(2)) {
                (b'0', b'x' | b'X', digit) if digit.is_ascii_hexdigit() => {
                    (hex, start, end) = (true, true, 2)
                }
                (b'0', b'b' | b'B', b'0' | b'1') => (start, end) = (true, 2),
                _ => {}
            }
            end = digits(rest, end, start, hex);
            if byte(end) == b'.' {
                end = digits(rest, end + 1, true, hex);
            }
            end = exponent(rest, end, if hex { *b"pP" } else { *b"eE" });
        }
        if !is_word_byte(byte(end)) {
            return (TokenKind::Number, end);
        }
        while is_word_byte(byte(end)) {
            end += 1;
        }
        let plain = rest[..end].iter().all(|byte| is_word_byte(*byte));
        (if plain { TokenKind::BareWord } else { TokenKind::Error }, end)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let closed = self.skip_whitespace_and_comments();
        if self.pos == self.text.len() {
            return None;
        }
        let (kind, length) = if closed { self.scan_token() } else { (TokenKind::Error, self.rest().len()) };
        let token = Token { kind, bytes: &self.rest()[..length], start: self.pos };
        self.previous = match (kind, token.bytes) {
            (TokenKind::Symbol, b".") => PreviousToken::Dot,
            (TokenKind::BareWord | TokenKind::QuotedIdentifier | TokenKind::Number, _)
            | (TokenKind::Symbol, b")" | b"]") => PreviousToken::Operand,
            _ => PreviousToken::Other,
        };
        self.pos += length;
        Some(token)
    }
}

fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of the non-ASCII whitespace character at the start of the text, else 0. From ClickHouse's skipWhitespacesUTF8.
fn unicode_whitespace_length(text: &[u8]) -> usize {
    const WHITESPACE: [&str; 23] = [
        "\u{85}", "\u{a0}", "\u{1680}", "\u{180e}", "\u{2000}", "\u{2001}", "\u{2002}", "\u{2003}",
        "\u{2004}", "\u{2005}", "\u{2006}", "\u{2007}", "\u{2008}", "\u{2009}", "\u{200a}", "\u{200b}",
        "\u{2028}", "\u{2029}", "\u{202f}", "\u{205f}", "\u{2060}", "\u{3000}", "\u{feff}",
    ];
    WHITESPACE
        .iter()
        .find(|whitespace| text.starts_with(whitespace.as_bytes()))
        .map_or(0, |whitespace| whitespace.len())
}

/// Length of the comment at the start of the text. `None` if it is unterminated. Comments nest.
fn comment_length(text: &[u8]) -> Option<usize> {
    let (mut depth, mut pos) = (1_usize, 2);
    while pos + 2 <= text.len() {
        match &text[pos..pos + 2] {
            b"/*" => (depth, pos) = (depth + 1, pos + 2),
            b"*/" => (depth, pos) = (depth - 1, pos + 2),
            _ => pos += 1,
        }
        if depth == 0 {
            return Some(pos);
        }
    }
    None
}

fn quoted(text: &[u8], quote: u8, kind: TokenKind) -> (TokenKind, usize) {
    let mut pos = 1;
    while let Some(&byte) = text.get(pos) {
        pos += 1;
        if byte == b'\\' && pos < text.len() {
            pos += 1;
        } else if byte == quote {
            if text.get(pos) != Some(&quote) {
                return (kind, pos);
            }
            pos += 1;
        }
    }
    (TokenKind::Error, text.len())
}

fn unicode_quoted(text: &[u8], close: &str, kind: TokenKind) -> (TokenKind, usize) {
    let pos = text.windows(close.len()).position(|window| window == close.as_bytes());
    pos.map_or((TokenKind::Error, text.len()), |pos| (kind, pos + close.len()))
}

/// `x'41'` and `b'01'`.
fn bytes_literal(text: &[u8]) -> (TokenKind, usize) {
    let hex = text[0].eq_ignore_ascii_case(&b'x');
    let fits = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { matches!(byte, b'0' | b'1') };
    let end = 2 + text[2..].iter().take_while(|byte| fits(byte)).count();
    if text.get(end) == Some(&b'\'') {
        (TokenKind::StringLiteral, end + 1)
    } else {
        (TokenKind::Error, text.len())
    }
}

/// A heredoc (`$tag$…$tag$`), or a name that begins with a dollar sign.
fn heredoc_or_word(text: &[u8]) -> (TokenKind, usize) {
    let name = 1 + text[1..].iter().take_while(|byte| is_word_byte(**byte)).count();
    if text.get(name) == Some(&b'$') {
        let (tag, rest) = text.split_at(name + 1);
        if let Some(pos) = rest.windows(tag.len()).position(|window| window == tag) {
            return (TokenKind::StringLiteral, 2 * tag.len() + pos);
        }
    }
    if name > 1 { (TokenKind::BareWord, word_length(text)) } else { (TokenKind::Symbol, 1) }
}

fn word_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_word_byte(**byte) || **byte == b'$').count()
}

/// Returns the end of the digits at `pos`, which underscores may separate. `start`: no digit precedes them.
fn digits(text: &[u8], mut pos: usize, mut start: bool, hex: bool) -> usize {
    let is_digit = |pos: usize| {
        text.get(pos).is_some_and(|byte| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() })
    };
    while is_digit(pos) || (!start && text.get(pos) == Some(&b'_') && is_digit(pos + 1)) {
        (pos, start) = (pos + 1, false);
    }
    pos
}

fn exponent(text: &[u8], mut pos: usize, marks: [u8; 2]) -> usize {
    if pos + 1 < text.len() && marks.contains(&text[pos]) {
        pos += 1;
        if pos + 1 < text.len() && matches!(text[pos], b'-' | b'+') {
            pos += 1;
        }
        pos = digits(text, pos, true, false);
    }
    pos
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<&str> {
        Lexer::new(text.as_bytes()).map(|token| std::str::from_utf8(token.bytes).unwrap()).collect()
    }

    #[test]
    fn comments_of_all_kinds_are_skipped() {
        assert_eq!(tokens("a -- b\n c // d\n e # f\n g #! h\n i"), ["a", "c", "e", "g", "i"]);
        assert_eq!(tokens("a /* b /* c */ d */ e"), ["a", "e"], "comments nest");
        assert_eq!(tokens("a /* b /* c */ d"), ["a", "/* b /* c */ d"]);
        assert_eq!(tokens("a #b"), ["a", "#", "b"], "a # comment needs a space after the sign");
        assert_eq!(tokens("a\u{a0}b\u{3000}c"), ["a", "b", "c"]);
    }

    #[test]
    fn a_quoted_text_is_one_token() {
        assert_eq!(tokens(r"'a\'b' 'a''b;' `x``y` "), [r"'a\'b'", "'a''b;'", "`x``y`"]);
        assert_eq!(tokens("“a;b” ‘c;d’ −"), ["“a;b”", "‘c;d’", "−"]);
        assert_eq!(tokens("x'4a' b'01' x"), ["x'4a'", "b'01'", "x"]);
        assert_eq!(tokens("$$a;b$$ $t$ ; $x$ $t$ c"), ["$$a;b$$", "$t$ ; $x$ $t$", "c"]);
        assert_eq!(tokens("$a;b$x"), ["$a", ";", "b$x"], "a tag is a word");
        for text in ["'a", "`a", "\"a", "x'4", "‘a", "/* a"] {
            assert!(Lexer::new(text.as_bytes()).all(|token| token.kind == TokenKind::Error), "{text}");
        }
    }

    #[test]
    fn numbers_end_where_clickhouse_ends_them() {
        assert_eq!(tokens("1.5e-3 0x1F 1_000, .5 t.1.2 1e--5"), {
            ["1.5e-3", "0x1F", "1_000", ",", ".5", "t", ".", "1", ".", "2", "1e-", "-", "5"]
        });
        assert_eq!(tokens("5file(1)"), ["5file", "(", "1", ")"]);
        assert_eq!(Lexer::new(b"1.file").next().unwrap().kind, TokenKind::Error);
    }

    proptest! {
        #[test]
        fn tokens_are_ordered_and_within_the_text(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut end = 0;
            for token in Lexer::new(&text) {
                prop_assert!(token.start >= end && !token.bytes.is_empty());
                end = token.end();
            }
            prop_assert!(end <= text.len());
        }
    }
}
