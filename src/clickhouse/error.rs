//! Errors of ClickHouse, and what they mean: whether to retry, whether a batch is at fault, what a viewer may see.

use clickhouse::error::Error;

use super::exclusive::REPAIR_CONSTRAINT;
use super::schema::PAUSE_CONSTRAINT;

/// A statement that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClickHouseError {
    /// Whether a retry can succeed.
    pub kind: ErrorKind,
    /// ClickHouse's error code. `None` if something else failed: the connection, a proxy, the decoding.
    pub code: Option<i32>,
    /// ClickHouse's message, or why there is none. May contain values of rows: see [`ClickHouseError::viewer_message`].
    pub message: String,
}

/// Whether a retry can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No response. [`ClickHouseError::outcome_is_unknown`] says whether the statement may have been executed.
    Unreachable,
    /// A retry may succeed.
    Transient,
    /// ClickHouse rejects the statement or its data. A retry fails too.
    Permanent,
    /// The statement exceeded a limit on time, memory or rows.
    LimitExceeded,
}

/// Why an insert failed: because of its batch, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertFailure {
    /// No response. ClickHouse may have the batch.
    Unreachable,
    /// ClickHouse, or a proxy, accepts no insert now, whatever the batch.
    Environment,
    /// Unclear: ClickHouse is overloaded, or the batch has too many partitions or needs too much memory.
    Transient,
    /// ClickHouse rejects the contents of the batch. A retry fails too.
    Rejected,
}

/// Codes that are about the statement or its data, so that a retry fails too. Every unlisted code counts as transient: one
/// retry too many is better than a batch that waits for a person. Names and numbers are from ClickHouse's
/// src/Common/ErrorCodes.cpp.
const PERMANENT_CODES: &[(i32, &str)] = &[
    (6, "CANNOT_PARSE_TEXT"),
    (7, "INCORRECT_NUMBER_OF_COLUMNS"),
    (16, "NO_SUCH_COLUMN_IN_TABLE"),
    (26, "CANNOT_PARSE_QUOTED_STRING"),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
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

/// Codes of statements that exceeded a limit.
const LIMIT_CODES: &[(i32, &str)] = &[
    (158, "TOO_MANY_ROWS"),
    (159, "TIMEOUT_EXCEEDED"),
    (160, "TOO_SLOW"),
    (241, "MEMORY_LIMIT_EXCEEDED"),
    (307, "TOO_MANY_BYTES"),
    (396, "TOO_MANY_ROWS_OR_BYTES"),
];

/// Codes of inserts that fail whatever the batch: permissions, users, tables, disks, connections, bodies that were damaged on
/// the way, the cluster. They go away when a person or ClickHouse fixes the cause.
const ENVIRONMENT_CODES: &[(i32, &str)] = &[
    (40, "CHECKSUM_DOESNT_MATCH"),
    (60, "UNKNOWN_TABLE"),
    (74, "CANNOT_READ_FROM_FILE_DESCRIPTOR"),
    (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"),
    (76, "CANNOT_OPEN_FILE"),
    (81, "UNKNOWN_DATABASE"),
    (95, "CANNOT_READ_FROM_SOCKET"),
    (96, "CANNOT_WRITE_TO_SOCKET"),
    (164, "READONLY"),
    (173, "CANNOT_ALLOCATE_MEMORY"),
    (192, "UNKNOWN_USER"),
    (193, "WRONG_PASSWORD"),
    (194, "REQUIRED_PASSWORD"),
    (195, "IP_ADDRESS_NOT_ALLOWED"),
    (201, "QUOTA_EXCEEDED"),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    (209, "SOCKET_TIMEOUT"),
    (210, "NETWORK_ERROR"),
    (218, "TABLE_IS_DROPPED"),
    (225, "NO_ZOOKEEPER"),
    (236, "ABORTED"),
    (242, "TABLE_IS_READ_ONLY"),
    (243, "NOT_ENOUGH_SPACE"),
    (254, "NO_ACTIVE_REPLICAS"),
    (271, "CANNOT_DECOMPRESS"),
    (285, "TOO_FEW_LIVE_REPLICAS"),
    (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE"),
    (291, "DATABASE_ACCESS_DENIED"),
    (294, "CANNOT_WRITE_TO_FILE"),
    (319, "UNKNOWN_STATUS_OF_INSERT"),
    (392, "QUERY_IS_PROHIBITED"),
    (394, "QUERY_WAS_CANCELLED"),
    (497, "ACCESS_DENIED"),
    (516, "AUTHENTICATION_FAILED"),
    (616, "LZ4_DECODER_FAILED"),
    (620, "QUERY_NOT_ALLOWED"),
    (700, "USER_SESSION_LIMIT_EXCEEDED"),
    (720, "USER_EXPIRED"),
    (734, "CANNOT_WRITE_AFTER_BUFFER_CANCELED"),
    (735, "QUERY_WAS_CANCELLED_BY_CLIENT"),
    (749, "TCP_CONNECTION_LIMIT_REACHED"),
    (762, "HTTP_CONNECTION_LIMIT_REACHED"),
    (774, "TABLE_IS_PERMANENTLY_READ_ONLY"),
    (999, "KEEPER_EXCEPTION"),
];

/// Codes of inserts that fail before any of their rows is stored, besides [`PERMANENT_CODES`]: the block of an insert is
/// complete and checked before the first part is written.
const NOTHING_STORED_CODES: &[(i32, &str)] = &[
    (60, "UNKNOWN_TABLE"),
    (81, "UNKNOWN_DATABASE"),
    (192, "UNKNOWN_USER"),
    (193, "WRONG_PASSWORD"),
    (194, "REQUIRED_PASSWORD"),
    (195, "IP_ADDRESS_NOT_ALLOWED"),
    (201, "QUOTA_EXCEEDED"),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    (252, "TOO_MANY_PARTS"),
    (291, "DATABASE_ACCESS_DENIED"),
    (392, "QUERY_IS_PROHIBITED"),
    (469, "VIOLATED_CONSTRAINT"),
    (516, "AUTHENTICATION_FAILED"),
    (620, "QUERY_NOT_ALLOWED"),
    (700, "USER_SESSION_LIMIT_EXCEEDED"),
    (720, "USER_EXPIRED"),
    (749, "TCP_CONNECTION_LIMIT_REACHED"),
    (762, "HTTP_CONNECTION_LIMIT_REACHED"),
];

/// Codes whose messages contain only names and types of the statement, and limits. Every other message may contain values of
/// a row, a file or an address.
const VIEWER_SAFE_CODES: &[i32] = &[
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

/// Begins the message of an error after which a batch is stored in part.
const STORED_IN_PART: &str = "events are stored without their rollup rows: ";
const STARTING_MESSAGE: &str = "the embedded ClickHouse is starting";

impl ClickHouseError {
    /// Whether an insert may have been executed, in full or in part. Its block becomes a part per partition, so an error in the
    /// middle, such as a lack of memory, leaves some of them.
    pub fn outcome_is_unknown(&self) -> bool {
        let never_sent = self.message.contains("Connection refused") || self.message == STARTING_MESSAGE;
        match self.code {
            None => !never_sent || self.message.starts_with(STORED_IN_PART),
            Some(code) => {
                self.kind != ErrorKind::Permanent
                    && NOTHING_STORED_CODES.iter().all(|(listed, _)| *listed != code)
            }
        }
    }

    /// The error of the second insert of a batch, whose first one has succeeded.
    pub(crate) fn of_rollup_insert(self) -> Self {
        Self { code: None, message: format!("{STORED_IN_PART}{}", self.message), ..self }
    }

    /// The embedded engine is down. Nothing was sent.
    pub(super) fn engine_starting() -> Self {
        Self::unreachable(STARTING_MESSAGE)
    }

    /// The message for viewers of panels: ClickHouse's, if it cannot contain values, else only its code. The full message is
    /// for the log.
    pub fn viewer_message(&self) -> String {
        match (self.code, self.kind) {
            (Some(code), _) if VIEWER_SAFE_CODES.contains(&code) => {
                // The rest quotes constants that were computed while the statement was executed: values.
                let end = [": while executing", ": While executing"]
                    .iter()
                    .filter_map(|mark| self.message.find(mark))
                    .min();
                self.message[..end.unwrap_or(self.message.len())].to_owned()
            }
            (Some(code), _) => {
                let name = exception_name(&self.message).map_or_else(String::new, |name| format!(", {name}"));
                format!(
                    "ClickHouse rejected the query (code {code}{name}); the message is in the server's log"
                )
            }
            (None, ErrorKind::Unreachable) => self.message.clone(),
            (None, _) => "ClickHouse's response could not be read; it is in the server's log".to_owned(),
        }
    }

    /// An error without a response from ClickHouse.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unreachable, code: None, message: message.into() }
    }

    /// Whether an insert was rejected because a server repairs batches (`exclusive.rs`).
    pub(crate) fn waits_for_repair(&self) -> bool {
        self.message.contains(REPAIR_CONSTRAINT)
    }

    /// The message for operators of what inserts wait for.
    pub(crate) fn insert_message(&self) -> String {
        if !self.waits_for_repair() {
            return self.to_string();
        }
        let server = self.message.split_once("getSetting('log_comment') = '").map(|(_, rest)| rest);
        let server = server.and_then(|rest| rest.split('\'').next()).unwrap_or("another");
        format!(
            "inserts wait until the server {server} has repaired batches; if that server is gone for good, run \
             `millrace migrate --rebuild rollup`"
        )
    }

    /// Interprets the error of an insert.
    pub fn insert_failure(&self) -> InsertFailure {
        let is_environment = |code| ENVIRONMENT_CODES.iter().any(|(listed, _)| *listed == code);
        match (self.kind, self.code) {
            (ErrorKind::Unreachable, _) => InsertFailure::Unreachable,
            (_, Some(code)) if is_environment(code) => InsertFailure::Environment,
            _ if self.message.contains(PAUSE_CONSTRAINT) || self.waits_for_repair() => {
                InsertFailure::Environment
            }
            // ClickHouse always sends a code. Without one, a proxy responded or the connection broke in the middle.
            (_, None) => InsertFailure::Environment,
            (ErrorKind::Permanent, _) => InsertFailure::Rejected,
            (ErrorKind::Transient | ErrorKind::LimitExceeded, _) => InsertFailure::Transient,
        }
    }

    fn from_exception(message: String) -> Self {
        let code = exception_code(&message);
        let listed = |codes: &[(i32, &str)]| codes.iter().any(|(listed, _)| Some(*listed) == code);
        let kind = if listed(PERMANENT_CODES) {
            ErrorKind::Permanent
        } else if listed(LIMIT_CODES) {
            ErrorKind::LimitExceeded
        } else {
            ErrorKind::Transient
        };
        Self { kind, code, message }
    }
}

impl From<Error> for ClickHouseError {
    fn from(error: Error) -> Self {
        match error {
            Error::BadResponse(message) => Self::from_exception(message.trim().to_owned()),
            Error::TimedOut => Self::unreachable("ClickHouse did not respond in time"),
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
fn exception_code(message: &str) -> Option<i32> {
    let digits = message.split_once("Code: ")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The name in "… (CANNOT_PARSE_TEXT) (version 26.7.2.1)".
fn exception_name(message: &str) -> Option<&str> {
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
    fn a_batch_without_its_rollup_rows_has_an_unknown_outcome() {
        for error in [ClickHouseError::engine_starting(), ClickHouseError::unreachable("Connection refused")]
        {
            assert!(!error.outcome_is_unknown());
            assert!(error.of_rollup_insert().outcome_is_unknown());
        }
        let rejected = ClickHouseError::from_exception("Code: 469. DB::Exception: Constraint x".into());
        assert!(!rejected.outcome_is_unknown());
        let rejected = rejected.of_rollup_insert();
        assert!(rejected.outcome_is_unknown() && rejected.insert_failure() != InsertFailure::Rejected);
    }

    #[test]
    fn a_batch_is_not_at_fault_while_inserts_wait_for_a_rebuild() {
        let violated = |constraint: &str| {
            let message = format!("Code: 469. DB::Exception: Constraint `{constraint}` is violated");
            ClickHouseError::from_exception(message).insert_failure()
        };
        assert_eq!(violated(PAUSE_CONSTRAINT), InsertFailure::Environment);
        assert_eq!(violated(REPAIR_CONSTRAINT), InsertFailure::Environment);
        let message = "Code: 469. DB::Exception: Constraint `inserts_wait_for_a_repair` for table m.events is violated at row 1. \
            Expression: (getSetting('log_comment') = '01890a5d'). Column values: .";
        let message = ClickHouseError::from_exception(message.into()).insert_message();
        assert!(message.contains("until the server 01890a5d has"), "{message}");
        assert_eq!(violated("own"), InsertFailure::Transient);
    }

    #[test]
    fn the_code_determines_whether_to_retry() {
        let data = "Code: 117. DB::Exception: Unexpected data. (INCORRECT_DATA) (version 26.7.2.1)";
        assert_eq!(kind(data), (ErrorKind::Permanent, Some(117)));
        assert_eq!(kind("Code: 252. DB::Exception: Too many parts."), (ErrorKind::Transient, Some(252)));
        assert_eq!(kind("Code: 241. DB::Exception: Memory limit"), (ErrorKind::LimitExceeded, Some(241)));
        assert_eq!(kind("<html>bad gateway</html>"), (ErrorKind::Transient, None));
    }

    #[test]
    fn an_insert_fails_because_of_its_batch_or_its_environment() {
        let failure =
            |message: &str| ClickHouseError::from(Error::BadResponse(message.into())).insert_failure();
        let cases = [
            ("Code: 117. DB::Exception: (INCORRECT_DATA)", InsertFailure::Rejected),
            ("Code: 164. DB::Exception: (READONLY)", InsertFailure::Environment),
            ("Code: 497. DB::Exception: (ACCESS_DENIED)", InsertFailure::Environment),
            ("Code: 60. DB::Exception: (UNKNOWN_TABLE)", InsertFailure::Environment),
            ("Code: 243. DB::Exception: (NOT_ENOUGH_SPACE)", InsertFailure::Environment),
            ("Code: 252. DB::Exception: (TOO_MANY_PARTS)", InsertFailure::Transient),
            ("Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED)", InsertFailure::Transient),
            // A damaged length of a compressed block, or a body without its end.
            ("Code: 33. DB::Exception: (CANNOT_READ_ALL_DATA)", InsertFailure::Transient),
            ("Code: 40. DB::Exception: (CHECKSUM_DOESNT_MATCH)", InsertFailure::Environment),
            ("Code: 271. DB::Exception: (CANNOT_DECOMPRESS)", InsertFailure::Environment),
            ("Code: 616. DB::Exception: (LZ4_DECODER_FAILED)", InsertFailure::Environment),
            ("Code: 100000. DB::Exception: of a later version", InsertFailure::Transient),
            ("<html>bad gateway</html>", InsertFailure::Environment),
        ];
        for (message, expected) in cases {
            assert_eq!(failure(message), expected, "{message}");
        }
        assert_eq!(ClickHouseError::unreachable("x").insert_failure(), InsertFailure::Unreachable);
    }

    #[test]
    fn an_insert_that_fails_while_it_writes_has_an_unknown_outcome() {
        let is_unknown =
            |message: &str| ClickHouseError::from(Error::BadResponse(message.into())).outcome_is_unknown();
        for code in [33, 241, 243, 616, 999, 1_001, 100_000] {
            assert!(is_unknown(&format!("Code: {code}. DB::Exception: x")), "{code}");
        }
        for code in [117, 16, 252, 469, 516, 60] {
            assert!(!is_unknown(&format!("Code: {code}. DB::Exception: x")), "{code}");
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        // PERMANENT and ENVIRONMENT overlap: missing permissions are permanent for a panel, and not the fault of a batch.
        for lists in [[PERMANENT_CODES, LIMIT_CODES], [ENVIRONMENT_CODES, LIMIT_CODES]] {
            let mut codes: Vec<i32> = lists.concat().iter().map(|(code, _)| *code).collect();
            codes.sort_unstable();
            let before = codes.len();
            codes.dedup();
            assert_eq!(codes.len(), before);
        }
    }

    #[test]
    fn viewer_messages_contain_no_values() {
        let shown =
            |message: &str| ClickHouseError::from(Error::BadResponse(message.into())).viewer_message();
        let parse = "Code: 6. DB::Exception: Cannot parse string 'root:x:0' as UInt8: while executing 'FUNCTION \
                     toUInt8('root:x:0')'. (CANNOT_PARSE_TEXT) (version 26.7.2.1 (official build))";
        assert_eq!(
            shown(parse),
            "ClickHouse rejected the query (code 6, CANNOT_PARSE_TEXT); the message is in the server's log"
        );
        assert!(
            shown("Code: 210. DB::NetException: Connection refused (10.0.0.5:9000). (NETWORK_ERROR)")
                .ends_with("log")
        );
        let executing =
            "Code: 43. DB::Exception: Illegal type String: while executing 'FUNCTION f('root')'. (ILLEGAL)";
        assert_eq!(shown(executing), "Code: 43. DB::Exception: Illegal type String");
        assert!(shown("Code: 47. DB::Exception: Unknown expression identifier `a`").contains("`a`"));
        assert!(!shown("<html>bad gateway 10.0.0.5</html>").contains("10.0.0.5"));
        assert_eq!(ClickHouseError::unreachable("no route").viewer_message(), "no route");
    }
}
