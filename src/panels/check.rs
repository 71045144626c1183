//! Checks a statement and executes it: a panel's file before it becomes a panel, or the statement of an editor.

use super::catalog::{BrokenPanel, Panel};
use super::query::{Explain, PanelError, PanelQuery, PanelResult, Panels};
use super::sandbox::{self, Location, Violation};
use crate::clickhouse::{ClickHouseError, ErrorKind};

/// Why a statement has no result.
#[derive(Debug)]
pub(super) enum CheckError {
    /// ClickHouse is unreachable.
    Unavailable(ClickHouseError),
    /// ClickHouse cannot execute it now.
    Transient(BrokenPanel),
    /// It fails until it is changed.
    Permanent(BrokenPanel),
}

/// Passes a statement through the [`sandbox`], and executes it. `text` is that of the panel, which errors refer to by line.
pub(super) async fn check(
    panels: &Panels,
    panel: &Panel,
    text: &str,
    query: &PanelQuery,
) -> Result<PanelResult, CheckError> {
    let broken = |line, message| BrokenPanel { file: format!("{}.sql", panel.name), line, message };
    let panel_error = |error: PanelError| match error {
        PanelError::ClickHouse { source, .. }
            if matches!(source.kind, ErrorKind::Unreachable | ErrorKind::Transient)
                && source.code.is_none() =>
        {
            CheckError::Unavailable(source)
        }
        PanelError::ClickHouse { source, .. } => {
            let broken = broken(line_of_error(&source.message, text), describe_error(&source));
            if source.kind == ErrorKind::Permanent {
                CheckError::Permanent(broken)
            } else {
                CheckError::Transient(broken)
            }
        }
        PanelError::InvalidHeader { mismatch, .. } => {
            let (key, column) = mismatch.line();
            CheckError::Permanent(broken(header_line(text, key, column), mismatch.to_string()))
        }
        other => CheckError::Permanent(broken(0, other.to_string())),
    };
    let violation_error = |violation: Violation| {
        let line = match &violation.location {
            Location::Line(line) => *line,
            Location::Name(name) => line_containing(text, name),
            Location::Unknown => 0,
        };
        CheckError::Permanent(broken(line, violation.message))
    };
    let database = panels.clickhouse().database();
    let statement = panels.expanded(panel).map_err(panel_error)?;
    sandbox::tokens::check(&statement).map_err(violation_error)?;
    let ast = panels.explain(panel, Explain::Ast).await.map_err(panel_error)?;
    sandbox::ast::check(&ast, database).map_err(violation_error)?;
    let query_tree = panels.explain(panel, Explain::QueryTree).await.map_err(panel_error)?;
    sandbox::query_tree::check(&query_tree, database).map_err(violation_error)?;
    panels.compute(panel, query).await.map_err(panel_error)
}

/// ClickHouse's message for viewers, explained if it is about readonly=1.
fn describe_error(error: &ClickHouseError) -> String {
    const READONLY: i32 = 164;
    let message = error.viewer_message();
    if error.code == Some(READONLY) {
        return format!(
            "a panel is one SELECT that reads tables; writes, settings, and functions that read files or open addresses \
             are not allowed: {message}"
        );
    }
    message
}

/// The line in ClickHouse's message, "(line 5, col 8)", or the first line with the identifier that it quotes; 0 if
/// neither exists.
fn line_of_error(message: &str, text: &str) -> u32 {
    let named = message.split_once("(line ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    named.unwrap_or_else(|| {
        let unknown = message.split('`').nth(1).or_else(|| message.split('\'').nth(1));
        unknown.map_or(0, |name| line_containing(text, name))
    })
}

/// The first line of the statement that contains `part`, or else of the header; 0 if no line does.
fn line_containing(text: &str, part: &str) -> u32 {
    let with = |header: bool| {
        text.lines().position(|line| line.contains(part) && (header || !line.trim_start().starts_with("--")))
    };
    with(false).or_else(|| with(true)).map_or(0, |at| u32::try_from(at + 1).unwrap_or(u32::MAX))
}

/// The first line of the header with this key that names `part`; 0 if none does.
fn header_line(text: &str, key: &str, part: &str) -> u32 {
    let is_line = |line: &str| {
        let header = line.trim().strip_prefix("--").and_then(|comment| comment.split_once(':'));
        header.is_some_and(|(found, value)| found.trim() == key && value.contains(part))
    };
    text.lines().position(is_line).map_or(0, |at| u32::try_from(at + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_parsed_from_the_error_or_found_by_the_unknown_identifier() {
        let text = "-- title: visitors\n-- chart: table\nSELECT\n    visitors\nFROM minutes";
        assert_eq!(
            line_of_error("Syntax error: failed at position 9 (SELEC) (line 3, col 1): SELEC", text),
            3
        );
        assert_eq!(line_of_error("Unknown expression identifier `visitors` in scope SELECT", text), 4);
        assert_eq!(line_of_error("Memory limit exceeded", text), 0);
    }
}
