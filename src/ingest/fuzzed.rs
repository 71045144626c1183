//! For the fuzz targets: what every reader of events does with a request, without a writer.

use crate::event::{ValidationRules, validate};
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1;
use crate::writer::columns::EventColumns;

/// What became of a request's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuzzedRequest {
    /// Events in the request.
    pub events: usize,
    pub accepted: usize,
    pub rejected: usize,
}

/// Validates events into columns.
pub(super) struct FuzzedDecoder<'r> {
    rules: &'r ValidationRules,
    now_ms: i64,
    properties: Properties,
    project: Project,
    columns: EventColumns,
    accepted: usize,
    rejected: usize,
}

impl<'r> FuzzedDecoder<'r> {
    pub(super) fn new(rules: &'r ValidationRules, now_ms: i64) -> Self {
        let properties = Properties::built_in();
        let columns = EventColumns::new(&properties);
        let project = Project::default();
        Self { rules, now_ms, properties, project, columns, accepted: 0, rejected: 0 }
    }

    /// `None` is an event that could not be read.
    pub(super) fn push(&mut self, event: Option<&v1::Event>) {
        let valid = event.and_then(|event| validate(event, self.rules, &self.properties, self.now_ms).ok());
        match valid {
            Some(valid) => {
                self.columns.push(&valid, &self.project, self.now_ms);
                self.accepted += 1;
            }
            None => self.rejected += 1,
        }
    }

    /// `max_columns_bytes` is the memory that was reserved before the events were read.
    pub(super) fn finish(self, events: usize, max_columns_bytes: usize) -> FuzzedRequest {
        let bytes = self.columns.size_bytes();
        assert!(
            bytes <= max_columns_bytes,
            "{bytes} bytes of columns; the upper bound was {max_columns_bytes}"
        );
        FuzzedRequest { events, accepted: self.accepted, rejected: self.rejected }
    }
}
