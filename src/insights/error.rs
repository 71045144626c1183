//! Why an insight or a dashboard cannot be returned or saved.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorCode};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsightError {
    /// There is none that the caller may see.
    #[error("there is no {word} {name:?}; the list has all names")]
    NotFound { word: &'static str, name: String },
    #[error("{0}")]
    Invalid(String),
    /// The file has changed.
    #[error(
        "conflict: the file of the {word} {name:?} has changed since this version; load it again and repeat the change"
    )]
    Changed { word: &'static str, name: String },
    /// The file has been deleted.
    #[error(
        "conflict: the file of the {word} {name:?} has been deleted since this version; save it without an etag to make it \
         again"
    )]
    Deleted { word: &'static str, name: String },
    /// There is a file, and the request names no version.
    #[error("conflict: there is a file of the {word} {name:?}; give its etag, or choose another name")]
    VersionRequired { word: &'static str, name: String },
    /// The file is for another project.
    #[error("the name {name:?} is taken; choose another one")]
    Taken { name: String },
    #[error(
        "project: the {word} is for {project:?}, which is not your project {own:?}; leave it empty for every project"
    )]
    OtherProject { word: &'static str, project: String, own: String },
    #[error("the {word} {name:?} is built in and cannot be deleted; save one of this name to replace it")]
    BuiltIn { word: &'static str, name: String },
    #[error(
        "{} is full: the maximum is {max_files} files and {max_bytes} bytes; delete one first", folder.display()
    )]
    Full { folder: PathBuf, max_files: usize, max_bytes: u64 },
    /// The folder is not writable.
    #[error(
        "nothing can be saved: MILLRACE_INSIGHTS_DIR (--insights-dir): {} is not writable: {source}; allow it, or change \
         the files where they come from",
        folder.display()
    )]
    ReadOnly { folder: PathBuf, source: std::io::Error },
    #[error("MILLRACE_INSIGHTS_DIR (--insights-dir): {0}")]
    Io(std::io::Error),
    /// A bug.
    #[error("{0}; report this as a bug")]
    Internal(String),
}

impl From<InsightError> for Error {
    fn from(error: InsightError) -> Self {
        let code = match &error {
            InsightError::NotFound { .. } => ErrorCode::NotFound,
            InsightError::Invalid(_) | InsightError::OtherProject { .. } | InsightError::Full { .. } => {
                ErrorCode::Invalid
            }
            InsightError::Changed { .. } | InsightError::Deleted { .. } | InsightError::Taken { .. } => {
                ErrorCode::Conflict
            }
            InsightError::VersionRequired { .. } => ErrorCode::VersionRequired,
            InsightError::BuiltIn { .. } | InsightError::ReadOnly { .. } => ErrorCode::Forbidden,
            InsightError::Io(_) => ErrorCode::Unavailable { retry_after: Duration::from_secs(1) },
            InsightError::Internal(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
