//! ClickHouse's tokens, after its src/Parsers/Lexer.cpp: where a comment, a quoted text or a statement ends is decided here
//! exactly as ClickHouse decides it.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    Name,
    /// A string literal, heredocs among them.
    Text,
    /// A number.
    Number,
    /// Anything else that stands alone: an operator of one character, a bracket, a comma.
    Sign,
    /// What ClickHouse refuses: a quote or a comment without its end, a stray character.
    Error,
}

/// A token that means something: neither blank nor comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its bytes, quotes included.
    pub bytes: &'a [u8],
    /// Where it begins.
    pub start: usize,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.bytes.eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// Whether it is this sign.
    pub fn is_sign(&self, sign: u8) -> bool {
        self.kind == Kind::Sign && self.bytes == [sign]
    }

    /// Where it ends.
    pub fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

/// The tokens of a text.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// What stood before, which decides what a dot is.
    before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Something that a dot can belong to.
    Operand,
    Dot,
    Other,
}

impl<'a> Lexer<'a> {
    /// The tokens of this text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, before: Before::Other }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Past blanks and comments. False at a comment without an end.
    fn skip(&mut self) -> bool {
        loop {
            let rest = self.rest();
            if rest.first().is_some_and(|byte| is_blank(*byte)) {
                self.at += 1;
            } else if [&b"--"[..], b"//", b"# ", b"#!"].iter().any(|mark| rest.starts_with(mark)) {
                self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") {
                match comment(rest) {
                    Some(length) => self.at += length,
                    None => return false,
                }
            } else {
                match wide_blank(rest) {
                    0 => return true,
                    length => self.at += length,
                }
            }
        }
    }

    fn token(&mut self) -> (Kind, usize) {
        let rest = self.rest();
        let first = rest[0];
        match first {
            b'\'' => quoted(rest, b'\'', Kind::Text),
            b'"' | b'`' => quoted(rest, first, Kind::Name),
            b'0'..=b'9' => self.number(),
            b'.' if self.before != Before::Operand && self.byte(self.at + 1).is_ascii_digit() => {
                let mut end = digits(rest, 1, true, false);
                end = exponent(rest, end, *b"eE");
                (Kind::Number, end)
            }
            b'x' | b'X' | b'b' | b'B' if self.byte(self.at + 1) == b'\'' => bytes_literal(rest),
            b'$' => dollar(rest),
            _ if is_word(first) => (Kind::Word, word(rest)),
            _ if rest.starts_with("‘".as_bytes()) => wide_quoted(rest, "’", Kind::Text),
            _ if rest.starts_with("“".as_bytes()) => wide_quoted(rest, "”", Kind::Name),
            _ if rest.starts_with("−".as_bytes()) => (Kind::Sign, 3),
            b'#' | b'\\' | 0..=31 | 127.. => (Kind::Error, 1),
            _ => (Kind::Sign, 1),
        }
    }

    /// A number, or a name that begins with a digit.
    fn number(&self) -> (Kind, usize) {
        let rest = self.rest();
        let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
        let mut end = 1;
        if self.before == Before::Dot {
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
        if !is_word(byte(end)) {
            return (Kind::Number, end);
        }
        while is_word(byte(end)) {
            end += 1;
        }
        let plain = rest[..end].iter().all(|byte| is_word(*byte));
        (if plain { Kind::Word } else { Kind::Error }, end)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let closed = self.skip();
        if self.at == self.text.len() {
            return None;
        }
        let (kind, length) = if closed { self.token() } else { (Kind::Error, self.rest().len()) };
        let token = Token { kind, bytes: &self.rest()[..length], start: self.at };
        self.before = match (kind, token.bytes) {
            (Kind::Sign, b".") => Before::Dot,
            (Kind::Word | Kind::Name | Kind::Number, _) | (Kind::Sign, b")" | b"]") => Before::Operand,
            _ => Before::Other,
        };
        self.at += length;
        Some(token)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of a blank beyond ASCII at the begin of the text, after ClickHouse's skipWhitespacesUTF8.
fn wide_blank(text: &[u8]) -> usize {
    const BLANKS: [&str; 23] = [
        "\u{85}", "\u{a0}", "\u{1680}", "\u{180e}", "\u{2000}", "\u{2001}", "\u{2002}", "\u{2003}",
        "\u{2004}", "\u{2005}", "\u{2006}", "\u{2007}", "\u{2008}", "\u{2009}", "\u{200a}", "\u{200b}",
        "\u{2028}", "\u{2029}", "\u{202f}", "\u{205f}", "\u{2060}", "\u{3000}", "\u{feff}",
    ];
    BLANKS.iter().find(|blank| text.starts_with(blank.as_bytes())).map_or(0, |blank| blank.len())
}

/// The length of the comment at the begin of the text. Comments nest.
fn comment(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (1_usize, 2);
    while at + 2 <= text.len() {
        match &text[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn quoted(text: &[u8], quote: u8, kind: Kind) -> (Kind, usize) {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte == b'\\' && at < text.len() {
            at += 1;
        } else if byte == quote {
            if text.get(at) != Some(&quote) {
                return (kind, at);
            }
            at += 1;
        }
    }
    (Kind::Error, text.len())
}

fn wide_quoted(text: &[u8], close: &str, kind: Kind) -> (Kind, usize) {
    let at = text.windows(close.len()).position(|window| window == close.as_bytes());
    at.map_or((Kind::Error, text.len()), |at| (kind, at + close.len()))
}

/// `x'41'` and `b'01'`.
fn bytes_literal(text: &[u8]) -> (Kind, usize) {
    let hex = text[0].eq_ignore_ascii_case(&b'x');
    let fits = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { matches!(byte, b'0' | b'1') };
    let end = 2 + text[2..].iter().take_while(|byte| fits(byte)).count();
    if text.get(end) == Some(&b'\'') { (Kind::Text, end + 1) } else { (Kind::Error, text.len()) }
}

/// A heredoc (`$tag$…$tag$`), or a name that begins with a dollar.
fn dollar(text: &[u8]) -> (Kind, usize) {
    let name = 1 + text[1..].iter().take_while(|byte| is_word(**byte)).count();
    if text.get(name) == Some(&b'$') {
        let (tag, rest) = text.split_at(name + 1);
        if let Some(at) = rest.windows(tag.len()).position(|window| window == tag) {
            return (Kind::Text, 2 * tag.len() + at);
        }
    }
    if name > 1 { (Kind::Word, word(text)) } else { (Kind::Sign, 1) }
}

fn word(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_word(**byte) || **byte == b'$').count()
}

/// The end of the digits from `at` on, which may be separated by underscores. `start`: none stood before.
fn digits(text: &[u8], mut at: usize, mut start: bool, hex: bool) -> usize {
    let is_digit = |at: usize| {
        text.get(at).is_some_and(|byte| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() })
    };
    while is_digit(at) || (!start && text.get(at) == Some(&b'_') && is_digit(at + 1)) {
        (at, start) = (at + 1, false);
    }
    at
}

fn exponent(text: &[u8], mut at: usize, marks: [u8; 2]) -> usize {
    if at + 1 < text.len() && marks.contains(&text[at]) {
        at += 1;
        if at + 1 < text.len() && matches!(text[at], b'-' | b'+') {
            at += 1;
        }
        at = digits(text, at, true, false);
    }
    at
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
        assert_eq!(tokens("a #b"), ["a", "#", "b"], "a comment needs a blank behind the sign");
        assert_eq!(tokens("a\u{a0}b\u{3000}c"), ["a", "b", "c"]);
    }

    #[test]
    fn quotes_hide_what_they_hold() {
        assert_eq!(tokens(r"'a\'b' 'a''b;' `x``y` "), [r"'a\'b'", "'a''b;'", "`x``y`"]);
        assert_eq!(tokens("“a;b” ‘c;d’ −"), ["“a;b”", "‘c;d’", "−"]);
        assert_eq!(tokens("x'4a' b'01' x"), ["x'4a'", "b'01'", "x"]);
        assert_eq!(tokens("$$a;b$$ $t$ ; $x$ $t$ c"), ["$$a;b$$", "$t$ ; $x$ $t$", "c"]);
        assert_eq!(tokens("$a;b$x"), ["$a", ";", "b$x"], "a tag is a word");
        for text in ["'a", "`a", "\"a", "x'4", "‘a", "/* a"] {
            assert!(Lexer::new(text.as_bytes()).all(|token| token.kind == Kind::Error), "{text}");
        }
    }

    #[test]
    fn numbers_end_where_clickhouse_ends_them() {
        assert_eq!(tokens("1.5e-3 0x1F 1_000, .5 t.1.2 1e--5"), {
            ["1.5e-3", "0x1F", "1_000", ",", ".5", "t", ".", "1", ".", "2", "1e-", "-", "5"]
        });
        assert_eq!(tokens("5file(1)"), ["5file", "(", "1", ")"]);
        assert_eq!(Lexer::new(b"1.file").next().unwrap().kind, Kind::Error);
    }

    proptest! {
        #[test]
        fn tokens_lie_in_order_and_within_any_text(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut end = 0;
            for token in Lexer::new(&text) {
                prop_assert!(token.start >= end && !token.bytes.is_empty());
                end = token.end();
            }
            prop_assert!(end <= text.len());
        }
    }
}
