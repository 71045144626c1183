//! What ClickHouse's errors mean for who asked.

use clickhouse::error::Error;

/// An answer that was no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClickHouseError {
    /// Whether asking again can help.
    pub kind: ErrorKind,
    /// ClickHouse's error code, where it answered.
    pub code: Option<i32>,
    /// What it said.
    pub message: String,
}

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There was no answer. The statement may have been carried out.
    Unreachable,
    /// It answered that it can't now.
    Transient,
    /// It refuses what is in the statement or its data, and would again.
    Permanent,
    /// The statement passed a bound on time, memory or rows.
    TooExpensive,
}

/// The codes that stay what they are however often a statement is sent: it is about the statement or its data. Every
/// other code counts as transient, since setting a batch aside for a person is worse than one try too many. Names and
/// numbers are those of ClickHouse's src/Common/ErrorCodes.cpp.
const PERMANENT: &[(i32, &str)] = &[
    (6, "CANNOT_PARSE_TEXT"),
    (7, "INCORRECT_NUMBER_OF_COLUMNS"),
    (16, "NO_SUCH_COLUMN_IN_TABLE"),
    (26, "CANNOT_PARSE_QUOTED_STRING"),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
    (33, "CANNOT_READ_ALL_DATA"),
    (36, "BAD_ARGUMENTS"),
    (38, "CANNOT_PARSE_DATE"),
    (41, "CANNOT_PARSE_DATETIME"),
    (42, "NUMBER_OF_ARGUMENTS_DOESNT_MATCH"),
    (43, "ILLEGAL_TYPE_OF_ARGUMENT"),
    (44, "ILLEGAL_COLUMN"),
    (46, "UNKNOWN_FUNCTION"),
    (47, "UNKNOWN_IDENTIFIER"),
    (50, "UNKNOWN_TYPE"),
    (53, "TYPE_MISMATCH"),
    (62, "SYNTAX_ERROR"),
    (69, "ARGUMENT_OUT_OF_BOUND"),
    (70, "CANNOT_CONVERT_TYPE"),
    (72, "CANNOT_PARSE_NUMBER"),
    (117, "INCORRECT_DATA"),
    (130, "CANNOT_READ_ARRAY_FROM_TEXT"),
    (131, "TOO_LARGE_STRING_SIZE"),
    (164, "READONLY"),
    (190, "SIZES_OF_ARRAYS_DONT_MATCH"),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN"),
    (376, "CANNOT_PARSE_UUID"),
    (456, "UNKNOWN_QUERY_PARAMETER"),
    (457, "BAD_QUERY_PARAMETER"),
    (497, "ACCESS_DENIED"),
];

/// The codes that say that a statement passed a bound.
const TOO_EXPENSIVE: &[(i32, &str)] = &[
    (158, "TOO_MANY_ROWS"),
    (159, "TIMEOUT_EXCEEDED"),
    (160, "TOO_SLOW"),
    (241, "MEMORY_LIMIT_EXCEEDED"),
    (307, "TOO_MANY_BYTES"),
    (396, "TOO_MANY_ROWS_OR_BYTES"),
];

/// The codes whose messages speak of the statement (its names and types) and of bounds. Every other message may hold
/// values: of a row, of a file, of an address.
const TOLD: &[i32] = &[
    42,  // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
    43,  // ILLEGAL_TYPE_OF_ARGUMENT
    44,  // ILLEGAL_COLUMN
    46,  // UNKNOWN_FUNCTION
    47,  // UNKNOWN_IDENTIFIER
    50,  // UNKNOWN_TYPE
    53,  // TYPE_MISMATCH
    60,  // UNKNOWN_TABLE
    62,  // SYNTAX_ERROR
    81,  // UNKNOWN_DATABASE
    158, // TOO_MANY_ROWS
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    164, // READONLY
    179, // MULTIPLE_EXPRESSIONS_FOR_ALIAS
    184, // ILLEGAL_AGGREGATION
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    207, // AMBIGUOUS_IDENTIFIER
    215, // NOT_AN_AGGREGATE
    241, // MEMORY_LIMIT_EXCEEDED
    307, // TOO_MANY_BYTES
    386, // NO_COMMON_TYPE
    396, // TOO_MANY_ROWS_OR_BYTES
    403, // INVALID_JOIN_ON_EXPRESSION
    456, // UNKNOWN_QUERY_PARAMETER
    457, // BAD_QUERY_PARAMETER
];

impl ClickHouseError {
    /// What may be said to those who look at panels: ClickHouse's message where it can hold no values, else its code. The
    /// whole message is for the log.
    pub fn for_viewers(&self) -> String {
        match (self.code, self.kind) {
            (Some(code), _) if TOLD.contains(&code) => {
                // While it is executed, constants of the statement are values that something has computed.
                let end = [": while executing", ": While executing"]
                    .iter()
                    .filter_map(|mark| self.message.find(mark))
                    .min();
                self.message[..end.unwrap_or(self.message.len())].to_owned()
            }
            (Some(code), _) => {
                let name = name_in(&self.message).map_or_else(String::new, |name| format!(", {name}"));
                format!("ClickHouse refused it (code {code}{name}); its message is in the server's log")
            }
            (None, ErrorKind::Unreachable) => self.message.clone(),
            (None, _) => "ClickHouse's answer cannot be read; what it was is in the server's log".to_owned(),
        }
    }

    /// No answer.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unreachable, code: None, message: message.into() }
    }

    fn answered(message: String) -> Self {
        let code = code_in(&message);
        let listed = |codes: &[(i32, &str)]| codes.iter().any(|(listed, _)| Some(*listed) == code);
        let kind = if listed(PERMANENT) {
            ErrorKind::Permanent
        } else if listed(TOO_EXPENSIVE) {
            ErrorKind::TooExpensive
        } else {
            ErrorKind::Transient
        };
        Self { kind, code, message }
    }
}

impl From<Error> for ClickHouseError {
    fn from(error: Error) -> Self {
        match error {
            Error::BadResponse(message) => Self::answered(message.trim().to_owned()),
            Error::TimedOut => Self::unreachable("ClickHouse gave no answer in time"),
            Error::Network(source) => {
                // The innermost cause is what an operator can act on ("Connection refused").
                let mut cause: &dyn std::error::Error = source.as_ref();
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                Self::unreachable(format!("ClickHouse cannot be reached: {cause}"))
            }
            other => Self { kind: ErrorKind::Transient, code: None, message: other.to_string() },
        }
    }
}

/// The code in "Code: 60. DB::Exception: …".
fn code_in(message: &str) -> Option<i32> {
    let digits = message.split_once("Code: ")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The name in "… (CANNOT_PARSE_TEXT) (version 26.7.2.1)".
fn name_in(message: &str) -> Option<&str> {
    let plain = |name: &&str| {
        name.len() > 2
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'))
    };
    message.rsplit('(').filter_map(|rest| rest.split(')').next()).find(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(message: &str) -> (ErrorKind, Option<i32>) {
        let error = ClickHouseError::from(Error::BadResponse(message.into()));
        (error.kind, error.code)
    }

    #[test]
    fn the_code_says_whether_to_try_again() {
        let data = "Code: 117. DB::Exception: Unexpected data. (INCORRECT_DATA) (version 26.7.2.1)";
        assert_eq!(kind(data), (ErrorKind::Permanent, Some(117)));
        assert_eq!(kind("Code: 252. DB::Exception: Too many parts."), (ErrorKind::Transient, Some(252)));
        assert_eq!(kind("Code: 241. DB::Exception: Memory limit"), (ErrorKind::TooExpensive, Some(241)));
        assert_eq!(kind("<html>bad gateway</html>"), (ErrorKind::Transient, None));
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<i32> = PERMANENT.iter().chain(TOO_EXPENSIVE).map(|(code, _)| *code).collect();
        codes.sort_unstable();
        let before = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), before);
    }

    #[test]
    fn viewers_are_told_nothing_that_can_hold_a_value() {
        let told = |message: &str| ClickHouseError::from(Error::BadResponse(message.into())).for_viewers();
        let parse = "Code: 6. DB::Exception: Cannot parse string 'root:x:0' as UInt8: while executing 'FUNCTION \
                     toUInt8('root:x:0')'. (CANNOT_PARSE_TEXT) (version 26.7.2.1 (official build))";
        assert_eq!(
            told(parse),
            "ClickHouse refused it (code 6, CANNOT_PARSE_TEXT); its message is in the server's log"
        );
        assert!(
            told("Code: 210. DB::NetException: Connection refused (10.0.0.5:9000). (NETWORK_ERROR)")
                .ends_with("log")
        );
        let executing =
            "Code: 43. DB::Exception: Illegal type String: while executing 'FUNCTION f('root')'. (ILLEGAL)";
        assert_eq!(told(executing), "Code: 43. DB::Exception: Illegal type String");
        assert!(told("Code: 47. DB::Exception: Unknown expression identifier `a`").contains("`a`"));
        assert!(!told("<html>bad gateway 10.0.0.5</html>").contains("10.0.0.5"));
        assert_eq!(ClickHouseError::unreachable("away").for_viewers(), "away");
    }
}
