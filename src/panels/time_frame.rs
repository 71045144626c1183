//! The time of one execution: the standard parameters of its statement, and the span that its result covers.

use jiff::Timestamp;

use super::catalog::Panel;
use super::query::{PanelError, PanelQuery};
use super::range::{Buckets, HourComparison, parse_time_zone};
use super::spec::SpanStart;

/// The time-dependent parameters of one execution.
pub(super) struct TimeFrame {
    pub(super) now: Timestamp,
    pub(super) zone_name: String,
    pub(super) buckets: Buckets,
    pub(super) hour: HourComparison,
}

impl TimeFrame {
    pub(super) fn new(panel: &Panel, query: &PanelQuery) -> Result<Self, PanelError> {
        Self::at(panel, query, Timestamp::now())
    }

    fn at(panel: &Panel, query: &PanelQuery, now: Timestamp) -> Result<Self, PanelError> {
        let zone = parse_time_zone(query.time_zone.as_deref())?;
        let buckets = Buckets::new(query.range, panel.granularity, &zone, now);
        let zone_name = zone.iana_name().unwrap_or("UTC").to_owned();
        Ok(Self { now, zone_name, buckets, hour: HourComparison::new(&zone, now) })
    }

    /// Where the result starts: with the range, unless the panel has a span of its own.
    pub(super) fn span_start(&self, panel: &Panel, query: &PanelQuery) -> Result<i64, PanelError> {
        Ok(match panel.spec.span.as_ref().map(|span| &span.start) {
            None => self.buckets.starts[0],
            Some(SpanStart::Hour) => self.hour.start,
            Some(SpanStart::Minutes(name)) => {
                self.buckets.end - 60 * i64::from(query.span_minutes(panel, name)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::parse;
    use super::*;

    fn panel(header: &str) -> Panel {
        parse("p", &format!("-- title: T\n-- chart: number\n{header}\nSELECT 1")).unwrap()
    }

    #[test]
    fn a_span_of_its_own_starts_minutes_before_the_end() {
        let panel = panel("-- parameter: m UInt32 = 60 from 1 to 525600\n-- span: m \"last {m} minutes\"");
        let span = |minutes: Option<&str>| {
            let parameters = minutes.map(|minutes| ("m".to_owned(), minutes.to_owned()));
            let query =
                PanelQuery { parameters: parameters.into_iter().collect(), ..PanelQuery::with_defaults("p") };
            let time_frame = TimeFrame::at(&panel, &query, "2026-11-21T10:30:20Z".parse().unwrap()).unwrap();
            time_frame.span_start(&panel, &query).map(|start| time_frame.buckets.end - start)
        };
        assert_eq!((span(None).unwrap(), span(Some("525600")).unwrap()), (3_600, 525_600 * 60));
        // The panel may change after the query has been validated.
        assert!(span(Some("4294967295")).unwrap_err().to_string().contains("from 1 to 525600"));
        assert!(span(Some("x")).is_err());
    }
}
