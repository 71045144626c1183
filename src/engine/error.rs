//! Errors of requests to the engine, with ClickHouse's codes and in ClickHouse's format.

use std::io;

use super::library::LibraryError;
use super::statement::StatementError;

/// Code of a request whose user or password is wrong.
pub(super) const AUTHENTICATION_FAILED: i32 = 516;
/// Code of a failure that has no code.
const UNKNOWN_EXCEPTION: i32 = 1002;

/// Why a request fails. [`Self::response_text`] is what the client receives.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The engine cannot be used, or it rejected the statement.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// User and password do not match.
    #[error("{user}: Authentication failed: password is incorrect, or there is no user with such name")]
    Authentication {
        /// User of the request.
        user: String,
    },
    /// The text is not exactly one statement.
    #[error("Syntax error: {0}")]
    Statement(#[from] StatementError),
    /// Neither the URL nor the body contains a statement.
    #[error("the query is empty; send a statement in the body or in the query parameter")]
    EmptyQuery,
    /// The statement without its data exceeds the limit.
    #[error("the statement is larger than {} MiB; send data as the data of an INSERT", limit_bytes >> 20)]
    StatementTooLarge {
        /// Largest statement.
        limit_bytes: u64,
    },
    /// The library accepts statements in UTF-8 only.
    #[error(
        "the statement is not UTF-8 at byte {position}; write such bytes as '\\xFF', or send them as the data of an INSERT"
    )]
    NotUtf8 {
        /// Position of the first invalid byte, from 1.
        position: usize,
    },
    /// The library accepts statements without NUL only.
    #[error("the statement contains a NUL; write it as '\\0'")]
    NulByte,
    /// The client stopped sending, sent too slowly, or sent bytes that cannot be decompressed.
    #[error("the request body cannot be read: {0}")]
    Body(io::Error),
    /// The multipart body is malformed or too large.
    #[error("the multipart body cannot be read: {0}")]
    Multipart(multer::Error),
    /// INTO OUTFILE in a read-only request.
    #[error(
        "INTO OUTFILE writes a file on the server, which a read-only request may not do; the word is rejected anywhere in \
         the text"
    )]
    OutfileNotAllowed,
    /// INSERT in a read-only request.
    #[error("an INSERT needs a POST request without the readonly parameter")]
    ReadOnlyInsert,
    /// Content-Encoding that the engine does not decode.
    #[error("Content-Encoding: {name} is not supported by the embedded engine; use gzip, zstd or lz4")]
    ContentEncoding {
        /// Name in the header.
        name: String,
    },
    /// `compress` or `decompress`.
    #[error(
        "{parameter}=1 (ClickHouse's own block compression) is not supported by the embedded engine; use \
         Content-Encoding and Accept-Encoding with gzip, zstd or lz4"
    )]
    BlockCompression {
        /// Name of the parameter.
        parameter: &'static str,
    },
    /// Value of `readonly` that is not a number.
    #[error("readonly is {value:?}; use 0, 1 or 2")]
    InvalidReadonly {
        /// Value in the request.
        value: String,
    },
    /// Parameter whose name cannot be the name of a setting.
    #[error("{name:?} is not a setting; names consist of letters, digits and underscores")]
    InvalidSettingName {
        /// Name in the request.
        name: String,
    },
    /// The thread that ran the statement panicked.
    #[error("the statement ended without a result; the log of the engine has the reason")]
    NoResponse,
}

impl EngineError {
    /// Number of the error in ClickHouse's src/Common/ErrorCodes.cpp.
    pub(super) fn code(&self) -> i32 {
        self.code_and_name().0
    }

    /// The text that clients parse: "Code: 62. DB::Exception: … (SYNTAX_ERROR)".
    pub(super) fn response_text(&self) -> String {
        match self.code_and_name() {
            (code, Some(name)) => format!("Code: {code}. DB::Exception: {self}. ({name})"),
            (_, None) => self.to_string(),
        }
    }

    /// The name is `None` where the message is sent without code and name.
    fn code_and_name(&self) -> (i32, Option<&'static str>) {
        let (code, name) = match self {
            // The message has code and name already.
            Self::Library(LibraryError::Exception { code, .. }) => return (*code, None),
            // A code would blame the batch of an insert. Without one, the writer takes it for a fault of the engine.
            Self::Library(
                LibraryError::Missing { .. }
                | LibraryError::LoadFailed { .. }
                | LibraryError::ConnectFailed { .. },
            ) => return (UNKNOWN_EXCEPTION, None),
            Self::Library(LibraryError::NoResult | LibraryError::DataRejected) | Self::NoResponse => {
                (UNKNOWN_EXCEPTION, "UNKNOWN_EXCEPTION")
            }
            Self::Authentication { .. } => (AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED"),
            Self::Statement(_) | Self::EmptyQuery | Self::NotUtf8 { .. } | Self::NulByte => {
                (62, "SYNTAX_ERROR")
            }
            Self::StatementTooLarge { .. } => (229, "QUERY_IS_TOO_LARGE"),
            // As ClickHouse: an insert is not at fault for what happened to it on the way.
            Self::Body(error) if is_damaged_lz4(error) => (616, "LZ4_DECODER_FAILED"),
            Self::Body(_) => (95, "CANNOT_READ_FROM_SOCKET"),
            Self::Multipart(_) => (33, "CANNOT_READ_ALL_DATA"),
            Self::OutfileNotAllowed => (358, "INTO_OUTFILE_NOT_ALLOWED"),
            Self::ReadOnlyInsert => (164, "READONLY"),
            Self::ContentEncoding { .. } | Self::BlockCompression { .. } => (48, "NOT_IMPLEMENTED"),
            Self::InvalidReadonly { .. } => (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
            Self::InvalidSettingName { .. } => (115, "UNKNOWN_SETTING"),
        };
        (code, Some(name))
    }
}

/// Whether the body is damaged, rather than not received.
fn is_damaged_lz4(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<lz4_flex::frame::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_formatted_as_clickhouse_exceptions() {
        let error = EngineError::InvalidReadonly { value: "x".into() };
        assert_eq!(
            error.response_text(),
            "Code: 27. DB::Exception: readonly is \"x\"; use 0, 1 or 2. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"
        );
        let text = "Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)";
        let error = EngineError::from(LibraryError::exception(text.to_owned()));
        assert_eq!((error.code(), error.response_text().as_str()), (60, text));
    }

    #[test]
    fn an_unusable_engine_has_no_code_in_its_text() {
        let error = EngineError::from(LibraryError::ConnectFailed { data_dir: "/data".into() });
        assert_eq!(error.code(), UNKNOWN_EXCEPTION);
        assert!(!error.response_text().contains("Code:"), "{}", error.response_text());
    }
}
