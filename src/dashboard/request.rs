//! From requests, over gRPC and HTTP, to panel queries.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::error::Error;
use crate::panels::buckets::BucketWidth;
use crate::panels::comparison::Compare;
use crate::panels::filter::{Filters, InvalidFilter};
use crate::panels::range::{Interval, TimeRange};
use crate::panels::wall_clock::parse_time_zone;
use crate::panels::{PanelError, PanelQuery, abbreviate};
use crate::project::Project;
use crate::proto::v1;

/// The fields that requests for a panel have in common. Some requests lack some of them.
#[derive(Debug, Default)]
pub(super) struct QueryFields {
    pub(super) panel: String,
    pub(super) time_range: i32,
    pub(super) interval: Option<v1::Interval>,
    pub(super) bucket: i32,
    pub(super) compare: i32,
    pub(super) filters: Vec<v1::Filter>,
    pub(super) time_zone: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
}

impl QueryFields {
    /// The query for events of a project. It is not validated.
    pub(super) fn into_query(self, project: Project) -> Result<PanelQuery, Error> {
        let filters = self.filters.into_iter().map(|v1::Filter { dimension, values }| (dimension, values));
        Ok(PanelQuery {
            project,
            panel: self.panel,
            range: parse_range(self.time_range, self.interval, TimeRange::Hour)?,
            bucket: bucket(self.bucket)?,
            compare: compare(self.compare)?,
            filters: parse_filters(filters)?,
            time_zone: self.time_zone.filter(|zone| !zone.is_empty()),
            parameters: self.parameters,
        })
    }
}

fn parse_filters(filters: impl IntoIterator<Item = (String, Vec<String>)>) -> Result<Filters, Error> {
    Ok(Filters::parse(filters).map_err(|error: InvalidFilter| PanelError::from(error))?)
}

/// The range of a query about events, and its time zone. The last 7 days by default.
pub(crate) fn query_range(range: Option<v1::QueryRange>) -> Result<(TimeRange, Option<String>), Error> {
    let v1::QueryRange { time_range, interval, time_zone } = range.unwrap_or_default();
    Ok((parse_range(time_range, interval, TimeRange::Week)?, time_zone.filter(|zone| !zone.is_empty())))
}

fn parse_range(
    time_range: i32,
    interval: Option<v1::Interval>,
    default: TimeRange,
) -> Result<TimeRange, Error> {
    use v1::TimeRange as Message;
    let preset = match Message::try_from(time_range) {
        Ok(Message::Unspecified) => None,
        Ok(Message::TimeRange1h) => Some(TimeRange::Hour),
        Ok(Message::TimeRange6h) => Some(TimeRange::SixHours),
        Ok(Message::TimeRange24h) => Some(TimeRange::Day),
        Ok(Message::TimeRange7d) => Some(TimeRange::Week),
        Ok(Message::TimeRange30d) => Some(TimeRange::ThirtyDays),
        Ok(Message::TimeRange90d) => Some(TimeRange::NinetyDays),
        Ok(Message::Today) => Some(TimeRange::Today),
        Ok(Message::Yesterday) => Some(TimeRange::Yesterday),
        Ok(Message::ThisWeek) => Some(TimeRange::ThisWeek),
        Ok(Message::ThisMonth) => Some(TimeRange::ThisMonth),
        Err(_) => {
            return Err(Error::invalid(format!(
                "time_range: {time_range} is invalid; expected TIME_RANGE_1H, TIME_RANGE_6H, TIME_RANGE_24H, \
                 TIME_RANGE_7D, TIME_RANGE_30D, TIME_RANGE_90D, TIME_RANGE_TODAY, TIME_RANGE_YESTERDAY, \
                 TIME_RANGE_THIS_WEEK or TIME_RANGE_THIS_MONTH"
            )));
        }
    };
    match (preset, interval) {
        (preset, None) => Ok(preset.unwrap_or(default)),
        (None, Some(v1::Interval { start, end })) => {
            let start = start.ok_or_else(|| Error::invalid("interval: the start is missing"))?;
            Ok(TimeRange::Interval(Interval { start: start.seconds, end: end.map(end_second) }))
        }
        (Some(_), Some(_)) => {
            Err(Error::invalid("time_range and interval are both set; a query has one range"))
        }
    }
}

/// The first whole second that is not before an end.
fn end_second(end: prost_types::Timestamp) -> i64 {
    end.seconds.saturating_add(i64::from(end.nanos > 0))
}

pub(crate) fn bucket(bucket: i32) -> Result<Option<BucketWidth>, Error> {
    Ok(match v1::Bucket::try_from(bucket) {
        Ok(v1::Bucket::Unspecified) => None,
        Ok(v1::Bucket::Minute) => Some(BucketWidth::Minute),
        Ok(v1::Bucket::Bucket5Minutes) => Some(BucketWidth::FiveMinutes),
        Ok(v1::Bucket::QuarterHour) => Some(BucketWidth::QuarterHour),
        Ok(v1::Bucket::HalfHour) => Some(BucketWidth::HalfHour),
        Ok(v1::Bucket::Hour) => Some(BucketWidth::Hour),
        Ok(v1::Bucket::Bucket2Hours) => Some(BucketWidth::TwoHours),
        Ok(v1::Bucket::Bucket6Hours) => Some(BucketWidth::SixHours),
        Ok(v1::Bucket::Day) => Some(BucketWidth::Day),
        Ok(v1::Bucket::Week) => Some(BucketWidth::Week),
        Err(_) => {
            let message =
                format!("bucket: {bucket} is invalid; expected a value such as BUCKET_HOUR or BUCKET_DAY");
            return Err(Error::invalid(message));
        }
    })
}

/// A width for a response.
pub(super) fn bucket_message(width: BucketWidth) -> v1::Bucket {
    match width {
        BucketWidth::Minute => v1::Bucket::Minute,
        BucketWidth::FiveMinutes => v1::Bucket::Bucket5Minutes,
        BucketWidth::QuarterHour => v1::Bucket::QuarterHour,
        BucketWidth::HalfHour => v1::Bucket::HalfHour,
        BucketWidth::Hour => v1::Bucket::Hour,
        BucketWidth::TwoHours => v1::Bucket::Bucket2Hours,
        BucketWidth::SixHours => v1::Bucket::Bucket6Hours,
        BucketWidth::Day => v1::Bucket::Day,
        BucketWidth::Week => v1::Bucket::Week,
    }
}

pub(crate) fn compare(compare: i32) -> Result<Option<Compare>, Error> {
    match v1::Compare::try_from(compare) {
        Ok(v1::Compare::Unspecified) => Ok(None),
        Ok(v1::Compare::PreviousPeriod) => Ok(Some(Compare::PreviousPeriod)),
        Ok(v1::Compare::WeekAgo) => Ok(Some(Compare::WeekAgo)),
        Err(_) => Err(Error::invalid(format!(
            "compare: {compare} is invalid; expected COMPARE_PREVIOUS_PERIOD or COMPARE_WEEK_AGO"
        ))),
    }
}

/// The ranges of HTTP queries.
const RANGES: [(&str, TimeRange); 10] = [
    ("1h", TimeRange::Hour),
    ("6h", TimeRange::SixHours),
    ("24h", TimeRange::Day),
    ("7d", TimeRange::Week),
    ("30d", TimeRange::ThirtyDays),
    ("90d", TimeRange::NinetyDays),
    ("today", TimeRange::Today),
    ("yesterday", TimeRange::Yesterday),
    ("this_week", TimeRange::ThisWeek),
    ("this_month", TimeRange::ThisMonth),
];

/// The query of an HTTP request. What is not listed here is a parameter of the panel:
///
/// | parameter | value |
/// | --- | --- |
/// | `range`, or `time_range` | one of [`RANGES`], or with `-` for `_`, as in the page's address |
/// | `from`, `to` | RFC 3339, or a date in the time zone; `to` includes its day; now by default |
/// | `bucket` | `auto`, or a name of [`BucketWidth::ALL`] |
/// | `compare` | `none`, `previous` or `week_ago` |
/// | `filter` | `dimension:value`, any number of times; several values of a dimension mean any of them |
/// | `time_zone` | an IANA name |
pub(super) fn parse_http(
    project: Project,
    panel: String,
    fields: Vec<(String, String)>,
) -> Result<PanelQuery, Error> {
    let mut parameters = BTreeMap::new();
    let mut filters = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in fields {
        if name != "filter" {
            parameters.insert(name, value);
            continue;
        }
        let (dimension, value) = value.split_once(':').ok_or_else(|| {
            Error::invalid(format!(
                "filter: {:?} is invalid; expected a dimension and a value, such as country_code:DE",
                abbreviate(&value)
            ))
        })?;
        filters.entry(dimension.to_owned()).or_default().push(value.to_owned());
    }
    let mut take = |name: &str| parameters.remove(name).filter(|value| !value.is_empty());
    let (range, time_zone) = http_range(&mut take)?;
    let bucket = take("bucket").filter(|bucket| bucket != "auto");
    let bucket = bucket.map(|name| {
        let known = BucketWidth::ALL.into_iter().find(|(_, known, _)| *known == name);
        known.map(|(width, ..)| width).ok_or_else(|| expected_one_of("bucket", &name, bucket_names()))
    });
    let compare = match take("compare").as_deref() {
        None | Some("none") => None,
        Some("previous") => Some(Compare::PreviousPeriod),
        Some("week_ago") => Some(Compare::WeekAgo),
        Some(other) => return Err(expected_one_of("compare", other, COMPARISONS)),
    };
    Ok(PanelQuery {
        project,
        panel,
        range: range.unwrap_or(TimeRange::Hour),
        bucket: bucket.transpose()?,
        compare,
        filters: parse_filters(filters)?,
        time_zone,
        parameters,
    })
}

/// The range of an HTTP request, if it has one, and its time zone. `take` removes a parameter that is not empty.
pub(crate) fn http_range(
    take: &mut impl FnMut(&str) -> Option<String>,
) -> Result<(Option<TimeRange>, Option<String>), Error> {
    let time_zone = take("time_zone");
    let zone = parse_time_zone(time_zone.as_deref()).map_err(PanelError::from)?;
    let (range, time_range, from, to) = (take("range"), take("time_range"), take("from"), take("to"));
    let named = match (range, time_range) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("range and time_range are both given; a query has one range"));
        }
        (Some(name), None) => Some(("range", name)),
        (None, name) => name.map(|name| ("time_range", name)),
    };
    let range = match (named, from, to) {
        (None, None, None) => None,
        (Some((key, name)), None, None) => {
            let known = RANGES.into_iter().find(|(known, _)| *known == name.replace('-', "_"));
            Some(known.ok_or_else(|| expected_one_of(key, &name, RANGES.map(|(name, _)| name)))?.1)
        }
        (None, Some(from), to) => {
            let end = to.map(|to| parse_time("to", &to, &zone, 1)).transpose()?;
            Some(TimeRange::Interval(Interval { start: parse_time("from", &from, &zone, 0)?, end }))
        }
        (Some((key, _)), ..) => {
            return Err(Error::invalid(format!(
                "{key} and from or to are both given; a query has one range"
            )));
        }
        (None, None, Some(_)) => return Err(Error::invalid("to is given without from")),
    };
    Ok((range, time_zone))
}

/// The values that the fields of a query over HTTP have.
pub(crate) struct QueryValues {
    pub(crate) ranges: Vec<&'static str>,
    pub(crate) buckets: Vec<&'static str>,
    pub(crate) comparisons: Vec<&'static str>,
}

/// What [`parse_http`] accepts, for the OpenAPI document.
pub(crate) fn query_values() -> QueryValues {
    QueryValues {
        ranges: RANGES.map(|(name, _)| name).into(),
        buckets: bucket_names().collect(),
        comparisons: COMPARISONS.into(),
    }
}

const COMPARISONS: [&str; 3] = ["none", "previous", "week_ago"];

fn bucket_names() -> impl Iterator<Item = &'static str> {
    std::iter::once("auto").chain(BucketWidth::ALL.iter().map(|(_, name, _)| *name))
}

fn expected_one_of<'a>(key: &str, value: &str, names: impl IntoIterator<Item = &'a str>) -> Error {
    let names: Vec<&str> = names.into_iter().collect();
    Error::invalid(format!("{key}: {:?} is invalid; expected one of {}", abbreviate(value), names.join(", ")))
}

/// A time in RFC 3339, or the start of a date and of a number of days after it. Seconds since 1970 UTC.
fn parse_time(key: &str, text: &str, zone: &TimeZone, days: i64) -> Result<i64, Error> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second() + i64::from(days > 0 && time.subsec_nanosecond() > 0));
    }
    let start = text.parse::<Date>().and_then(|date| {
        date.checked_add(Span::new().try_days(days)?)?
            .to_zoned(zone.clone())
            .map(|start| start.timestamp().as_second())
    });
    start.map_err(|_| {
        Error::invalid(format!(
            "{key}: {:?} is invalid; expected a date such as 2026-11-21, or a time such as 2026-11-21T10:30:00Z",
            abbreviate(text)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(query: &str) -> Result<PanelQuery, String> {
        let fields = query.split('&').filter(|field| !field.is_empty()).map(|field| {
            let (name, value) = field.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        parse_http(Project::default(), "p".into(), fields.collect()).map_err(|error| error.message)
    }

    #[test]
    fn http_queries_have_ranges_buckets_comparisons_and_filters() {
        let range = |query: &str| http(query).unwrap().range;
        assert_eq!(
            (range(""), range("time_range=24h"), range("range=30d")),
            (TimeRange::Hour, TimeRange::Day, TimeRange::ThirtyDays)
        );
        assert_eq!(range("range=this-week"), range("range=this_week"));
        let interval = |query: &str| match range(query) {
            TimeRange::Interval(Interval { start, end }) => (start, end),
            other => panic!("{other:?}"),
        };
        assert_eq!(interval("from=2026-11-21T00:00:00Z"), (1_795_219_200, None));
        // A date as the end includes its day; days are those of the time zone.
        assert_eq!(interval("from=2026-11-21&to=2026-11-21"), (1_795_219_200, Some(1_795_305_600)));
        assert_eq!(interval("from=2026-11-21&time_zone=Europe/Madrid").0, 1_795_219_200 - 3_600);
        assert_eq!(
            interval("from=2026-11-21T00:00:00Z&to=2026-11-21T01:00:00.5Z").1,
            Some(1_795_219_200 + 3_601)
        );
        let query = http("bucket=6h&compare=week_ago&filter=a:x&filter=b:y:z&filter=a:w&limit=5").unwrap();
        assert_eq!((query.bucket, query.compare), (Some(BucketWidth::SixHours), Some(Compare::WeekAgo)));
        let filters = [("a".into(), vec!["w".into(), "x".into()]), ("b".into(), vec!["y:z".into()])];
        assert_eq!(query.filters, Filters::parse(filters).unwrap());
        assert_eq!(query.parameters, BTreeMap::from([("limit".into(), "5".into())]));
    }

    #[test]
    fn an_invalid_http_query_names_the_field_and_what_is_possible() {
        for (query, part) in [
            ("range=2h", "range: \"2h\" is invalid; expected one of 1h, 6h, 24h"),
            ("from=yesterday", "from: \"yesterday\" is invalid; expected a date"),
            ("time_range=2h", "time_range: \"2h\" is invalid; expected one of 1h, 6h, 24h"),
            ("range=1h&time_range=6h", "range and time_range are both given"),
            ("time_range=1h&from=2026-11-21", "time_range and from or to"),
            ("from=2026-11-21&to=x", "to: \"x\""),
            ("range=1h&from=2026-11-21", "a query has one range"),
            ("to=2026-11-21", "to is given without from"),
            ("bucket=3h", "bucket: \"3h\" is invalid; expected one of auto, 1m, 5m"),
            ("compare=last_year", "expected one of none, previous, week_ago"),
            ("filter=DE", "such as country_code:DE"),
            ("filter=country_code:", "a value of country_code is empty"),
            ("time_zone=Mars", "\"Mars\" is not a known time zone"),
        ] {
            let message = http(query).unwrap_err();
            assert!(message.contains(part), "{query}: {message}");
        }
    }

    #[test]
    fn a_request_has_one_range() {
        let fields = |time_range: v1::TimeRange, interval: Option<v1::Interval>| QueryFields {
            time_range: time_range.into(),
            interval,
            ..QueryFields::default()
        };
        let query =
            |fields: QueryFields| fields.into_query(Project::default()).map_err(|error| error.message);
        let start = prost_types::Timestamp { seconds: 60, nanos: 0 };
        let interval =
            v1::Interval { start: Some(start), end: Some(prost_types::Timestamp { seconds: 90, nanos: 1 }) };
        let parsed = query(fields(v1::TimeRange::Unspecified, Some(interval))).unwrap().range;
        assert_eq!(parsed, TimeRange::Interval(Interval { start: 60, end: Some(91) }));
        assert!(query(fields(v1::TimeRange::TimeRange1h, Some(interval))).unwrap_err().contains("one range"));
        let empty = Some(v1::Interval::default());
        assert_eq!(
            query(fields(v1::TimeRange::Unspecified, empty)).unwrap_err(),
            "interval: the start is missing"
        );
        assert!(
            query(QueryFields { time_range: 99, ..QueryFields::default() })
                .unwrap_err()
                .contains("TIME_RANGE_90D")
        );
        assert!(
            query(QueryFields { bucket: 99, ..QueryFields::default() }).unwrap_err().contains("BUCKET_DAY")
        );
        assert!(
            query(QueryFields { compare: 99, ..QueryFields::default() })
                .unwrap_err()
                .contains("COMPARE_WEEK_AGO")
        );
    }
}
