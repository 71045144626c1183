//! The time of one execution: the standard parameters of its statement, and the span that its result covers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::buckets::{BucketRequest, Buckets};
use super::catalog::Panel;
use super::comparison::Compare;
use super::frame::Frame;
use super::query::{PanelError, PanelQuery};
use super::spec::{Chart, SpanStart};
use super::table::{Cell, Kind, ResultTable, date_of};
use super::wall_clock::{HourComparison, parse_time_zone};

/// The time-dependent parameters of one execution.
pub(super) struct TimeFrame {
    pub(super) now: Timestamp,
    zone: TimeZone,
    pub(super) zone_name: String,
    pub(super) buckets: Buckets,
    pub(super) hour: HourComparison,
    /// What is older is no longer stored. Seconds since 1970 UTC.
    stored_from: Option<i64>,
}

impl TimeFrame {
    pub(super) fn new(
        panel: &Panel,
        query: &PanelQuery,
        now: Timestamp,
        stored_from: Option<i64>,
    ) -> Result<Self, PanelError> {
        let zone = parse_time_zone(query.time_zone.as_deref())?;
        let request = BucketRequest { granularity: panel.granularity, width: query.bucket, stored_from };
        let buckets = Buckets::new(query.range, request, &zone, now)?;
        let zone_name = zone.iana_name().unwrap_or("UTC").to_owned();
        let hour = HourComparison::new(&zone, now);
        Ok(Self { now, zone, zone_name, buckets, hour, stored_from })
    }

    /// The time frame of an earlier period. A panel with a span of its own is compared with the span before it.
    pub(super) fn compared(
        &self,
        panel: &Panel,
        query: &PanelQuery,
        compare: Compare,
    ) -> Result<Self, PanelError> {
        let (mut buckets, mut now) = self.buckets.compared(compare, &self.zone, self.now);
        if compare == Compare::PreviousPeriod && panel.spec.span.is_some() {
            let seconds = match panel.spec.span.as_ref().map(|span| &span.start) {
                Some(SpanStart::Minutes(name)) => 60 * i64::from(query.span_minutes(panel, name)?),
                Some(SpanStart::Hour) | None => 3_600,
            };
            now = self.now.checked_sub(Span::new().seconds(seconds)).unwrap_or(self.now);
        }
        buckets.requested_start = self
            .stored_from
            .filter(|stored_from| buckets.starts[0] < *stored_from)
            .map(|_| buckets.starts[0]);
        let hour = HourComparison::new(&self.zone, now);
        Ok(Self { now, zone: self.zone.clone(), zone_name: self.zone_name.clone(), buckets, hour, ..*self })
    }

    /// The end of the minute that contains the present, in seconds since 1970 UTC.
    pub(super) fn minute_end(&self) -> i64 {
        self.now.as_second().div_euclid(60) * 60 + 60
    }

    /// A time that a template can name, in seconds since 1970 UTC.
    pub(super) fn moment(&self, name: &str) -> i64 {
        match name {
            "range_start" => self.buckets.starts[0],
            "range_end" => self.buckets.end,
            "hour_start" => self.hour.start,
            "minute_start" => self.minute_end() - 60,
            "week_ago_start" => self.hour.week_ago_start,
            "week_ago_minute" => self.hour.week_ago_now.div_euclid(60) * 60,
            // `minute_end`: the parser knows the names.
            _ => self.minute_end(),
        }
    }

    /// The start of the bucket that includes the present, or 0 if the range has ended.
    pub(super) fn running_bucket(&self) -> i64 {
        if self.buckets.is_running { self.buckets.last_start() } else { 0 }
    }

    /// What the result covers: the range, unless the panel has a span of its own.
    pub(super) fn span(&self, panel: &Panel, query: &PanelQuery) -> Result<(i64, i64), PanelError> {
        Ok(match panel.spec.span.as_ref().map(|span| &span.start) {
            None => (self.buckets.starts[0], self.buckets.end),
            Some(SpanStart::Hour) => (self.hour.start, self.minute_end()),
            Some(SpanStart::Minutes(name)) => {
                (self.minute_end() - 60 * i64::from(query.span_minutes(panel, name)?), self.minute_end())
            }
        })
    }

    /// Whether the result has the standard buckets.
    pub(super) fn has_buckets(panel: &Panel, frame: &Frame) -> bool {
        frame.time_column().is_some() && uses_buckets(panel)
    }

    /// The start of the bucket that includes the present, in seconds since 1970 UTC. If the panel makes its own buckets, they
    /// are as wide as most of the steps between their starts.
    pub(super) fn partial_from(&self, panel: &Panel, table: &ResultTable, frame: &Frame) -> Option<i64> {
        let column = frame.time_column()?;
        if uses_buckets(panel) {
            return self.buckets.is_running.then(|| self.buckets.last_start());
        }
        if !matches!(panel.chart, Chart::Line | Chart::Area | Chart::Stacked | Chart::Bar) {
            // The rows of a table may be events.
            return None;
        }
        let is_date = match table.kind(column) {
            Kind::Timestamp => false,
            Kind::Date => true,
            _ => return None,
        };
        let millis = |value: i64| if is_date { self.day_start(value) } else { Some(value) };
        let times: BTreeSet<i64> = table.column(column).filter_map(Cell::as_time).collect();
        let width = common_step(&times)?;
        let now = self.now.as_millisecond();
        let last = times.into_iter().rev().find(|&time| millis(time).is_some_and(|start| start <= now))?;
        let is_running = millis(last.checked_add(width)?)? > now;
        is_running.then(|| millis(last))?.map(|start| start.div_euclid(1_000))
    }

    /// The start of a day in the time zone, in milliseconds since 1970 UTC.
    fn day_start(&self, days: i64) -> Option<i64> {
        Some(date_of(days)?.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond())
    }
}

/// Whether the panel's statement has the standard parameter `buckets`, or a template with it.
fn uses_buckets(panel: &Panel) -> bool {
    let is_buckets = |parameter: &str| {
        let rest = parameter.trim_start().strip_prefix("buckets");
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    panel.statement.has_series() || panel.sql.split('{').skip(1).any(is_buckets)
}

/// The step that at least half of the neighbours have; the smallest if there are two.
fn common_step(times: &BTreeSet<i64>) -> Option<i64> {
    let mut counts = BTreeMap::<i64, usize>::new();
    for (before, after) in times.iter().zip(times.iter().skip(1)) {
        *counts.entry(after.checked_sub(*before)?).or_default() += 1;
    }
    let (step, count) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    (2 * count >= times.len() - 1).then_some(step)
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
            let time_frame =
                TimeFrame::new(&panel, &query, "2026-11-21T10:30:20Z".parse().unwrap(), None).unwrap();
            time_frame.span(&panel, &query).map(|(start, end)| end - start)
        };
        assert_eq!((span(None).unwrap(), span(Some("525600")).unwrap()), (3_600, 525_600 * 60));
        // The panel may change after the query has been validated.
        assert!(span(Some("4294967295")).unwrap_err().to_string().contains("from 1 to 525600"));
        assert!(span(Some("x")).is_err());
    }

    /// Bucket width and start of the running bucket at 10:30:20 UTC, for these times or dates.
    fn buckets(header: &str, statement: &str, kind: &str, times: &[&str]) -> (Option<i64>, Option<String>) {
        let panel = parse("p", &format!("-- title: T\n{header}\n{statement}")).unwrap();
        let rows: Vec<String> = times.iter().map(|time| format!("[\"{time}\"]")).collect();
        let result = format!(r#"{{"meta": [{{"name":"t","type":"{kind}"}}], "data": [{}]}}"#, rows.join(","));
        let table = ResultTable::from_json_compact(result.as_bytes()).unwrap();
        let query = PanelQuery { time_zone: Some("Europe/Madrid".into()), ..PanelQuery::with_defaults("p") };
        let frame = Frame::new(&panel, &query, &table).unwrap();
        let time_frame =
            TimeFrame::new(&panel, &query, "2026-11-21T10:30:20Z".parse().unwrap(), None).unwrap();
        let start = time_frame.partial_from(&panel, &table, &frame);
        let start = start.map(|second| Timestamp::from_second(second).unwrap().to_string());
        let minutes = time_frame.buckets.width.minutes();
        (TimeFrame::has_buckets(&panel, &frame).then_some(60 * minutes), start)
    }

    #[test]
    fn standard_buckets_have_a_nominal_width_and_the_last_is_running() {
        let statement = "SELECT roundDown(t, { buckets :Array(UInt32)})";
        let running = |start: &str| Some(start.to_owned());
        let times = ["2026-11-21T09:30:00Z", "2026-11-21T10:00:00Z"];
        assert_eq!(
            buckets("-- chart: line", statement, "DateTime('UTC')", &times),
            (Some(60), running("2026-11-21T10:30:00Z"))
        );
        assert_eq!(
            buckets("-- chart: bar\n-- grain: coarse", statement, "DateTime('UTC')", &times),
            (Some(3_600), running("2026-11-21T10:00:00Z"))
        );
        assert_eq!(buckets("-- chart: line", statement, "String", &["x"]), (None, None));
    }

    #[test]
    fn buckets_of_a_panel_are_running_if_their_width_includes_the_present() {
        let running = |chart: &str, kind: &str, times: &[&str]| {
            let (width, start) = buckets(&format!("-- chart: {chart}"), "SELECT 1", kind, times);
            assert_eq!(width, None);
            start
        };
        let quarters = ["2026-11-21T10:00:00Z", "2026-11-21T10:15:00Z", "2026-11-21T10:30:00Z"];
        let last = Some("2026-11-21T10:30:00Z".to_owned());
        for chart in ["line", "area", "stacked", "bar"] {
            assert_eq!(running(chart, "DateTime('UTC')", &quarters), last, "{chart}");
        }
        assert_eq!(running("table", "DateTime('UTC')", &quarters), None);
        assert_eq!(running("line", "DateTime('UTC')", &quarters[..2]), None, "the last one is complete");
        assert_eq!(running("line", "DateTime('UTC')", &quarters[2..]), None, "its width is unknown");
        let irregular =
            ["2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z", "2026-11-21T10:11:00Z", "2026-11-21T10:30:10Z"];
        assert_eq!(running("line", "DateTime('UTC')", &irregular), None);
        let future = [quarters[0], quarters[1], quarters[2], "2026-11-21T10:45:00Z"];
        assert_eq!(running("line", "DateTime('UTC')", &future), last);
        // Days start at midnight of the time zone.
        let days = ["2026-11-19", "2026-11-20", "2026-11-21"];
        assert_eq!(running("bar", "Date", &days).as_deref(), Some("2026-11-20T23:00:00Z"));
        assert_eq!(running("bar", "Date", &days[..2]), None);
        assert_eq!(running("bar", "String", &days), None);
    }
}
