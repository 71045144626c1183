//! The time that a query is about.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::ExploreError;
use super::rows::Span;
use crate::panels::PanelSources;
use crate::panels::buckets::{BucketRequest, BucketWidth, Buckets, Granularity};
use crate::panels::query::ResultContext;
use crate::panels::range::TimeRange;
use crate::panels::template::Source;
use crate::panels::wall_clock::parse_time_zone;

/// The range of a query, and the width of its buckets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueryTime {
    pub(crate) range: TimeRange,
    /// `None` for the width that fits the range.
    pub(crate) bucket: Option<BucketWidth>,
    /// An IANA name; `None` is UTC.
    pub(crate) time_zone: Option<String>,
}

/// The same at a moment.
#[derive(Clone, Debug)]
pub(super) struct TimeFrame {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
    pub(super) buckets: Buckets,
}

impl QueryTime {
    /// Checks what does not depend on the moment.
    pub(super) fn validate(&self) -> Result<(), ExploreError> {
        parse_time_zone(self.time_zone.as_deref())?;
        Ok(self.range.check(Timestamp::now())?)
    }

    /// The range at a moment. Events that are no longer stored are cut off.
    pub(super) fn resolve(
        &self,
        sources: &PanelSources,
        source: Source,
        now: Timestamp,
    ) -> Result<TimeFrame, ExploreError> {
        let zone = parse_time_zone(self.time_zone.as_deref())?;
        let stored_from = sources.stored_from(Some(source), now);
        let request = BucketRequest { granularity: Granularity::Fine, width: self.bucket, stored_from };
        let buckets = Buckets::new(self.range, request, &zone, now)?;
        Ok(TimeFrame { now, zone, buckets })
    }
}

impl TimeFrame {
    pub(super) fn span(&self) -> Span {
        Span { start: self.buckets.starts[0], end: self.buckets.end }
    }

    pub(super) fn context(&self, source: Source, approximate: bool) -> ResultContext {
        let buckets = &self.buckets;
        ResultContext {
            range_start: buckets.starts[0],
            range_end: buckets.end,
            time_zone: self.zone.iana_name().unwrap_or("UTC").to_owned(),
            computed_at: self.now,
            approximate,
            partial_from: buckets.is_running.then(|| buckets.last_start()),
            bucket: Some(buckets.width),
            source: Some(source),
            requested_start: buckets.requested_start,
            span: None,
        }
    }
}
