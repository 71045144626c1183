//! Conversions between panels and protobuf messages.

use super::frame::frame;
use super::request::bucket_message;
use crate::error::Error;
use crate::explore;
use crate::live::{LiveError, LiveResult, LiveUpdate};
use crate::panels::catalog::{Catalog, Panel};
use crate::panels::filter::EVENT_NAME;
use crate::panels::query::ResultContext;
use crate::panels::spec::{Chart, Size};
use crate::panels::table::{Cell, ResultTable};
use crate::panels::template::{Source, events_of};
use crate::panels::{PanelError, PanelResult};
use crate::properties::Properties;
use crate::proto::{self, v1};
use v1::watch_panels_response::Value;

/// The form of a result. `None` if the enum has no such value.
pub(crate) fn result_format(value: i32) -> Option<v1::ResultFormat> {
    v1::ResultFormat::try_from(value).ok()
}

/// The response of ListPanels, without `version` and `has_events`.
pub(crate) fn list_response(catalog: &Catalog) -> v1::ListPanelsResponse {
    let panels = catalog.panels.values().map(|panel| v1::Panel {
        name: panel.name.clone(),
        title: panel.title.clone(),
        description: panel.description.clone(),
        unit: panel.unit.clone(),
        chart: chart(panel.chart).into(),
        refresh: prost_types::Duration::try_from(panel.refresh).ok(),
        parameters: panel
            .parameters
            .iter()
            .map(|parameter| v1::PanelParameter {
                name: parameter.name.clone(),
                r#type: parameter.kind.name().to_owned(),
                default_value: parameter.default.clone(),
                description: parameter.description.clone(),
            })
            .collect(),
        sql: panel.sql.clone(),
        built_in: panel.built_in,
        spec: Some(spec(panel)),
        filterable: panel.statement.has_rows(),
        comparable: panel.comparable,
    });
    let broken = catalog.broken.iter().map(|broken| v1::BrokenPanel {
        file: broken.file.clone(),
        line: broken.line,
        message: broken.message.clone(),
    });
    v1::ListPanelsResponse { panels: panels.collect(), broken: broken.collect(), ..Default::default() }
}

/// The dimensions by which panels can be filtered, by name.
pub(crate) fn dimensions(properties: &Properties) -> Vec<v1::Dimension> {
    let mut names: Vec<&str> = std::iter::once(EVENT_NAME).chain(properties.dimensions()).collect();
    names.sort_unstable();
    let message =
        |name: &str| v1::Dimension { name: name.to_owned(), events: events_of(name, properties).to_vec() };
    names.into_iter().map(message).collect()
}

fn spec(panel: &Panel) -> v1::PanelSpec {
    let size = match panel.spec.size(panel.chart) {
        Size::Small => v1::PanelSize::Small,
        Size::Medium => v1::PanelSize::Medium,
        Size::Large => v1::PanelSize::Large,
    };
    v1::PanelSpec {
        order: panel.spec.order(),
        size: size.into(),
        top: panel.spec.top(panel.chart),
        events: panel.spec.events.clone(),
    }
}

fn chart(chart: Chart) -> v1::Chart {
    match chart {
        Chart::Number => v1::Chart::Number,
        Chart::Line => v1::Chart::Line,
        Chart::Area => v1::Chart::Area,
        Chart::Stacked => v1::Chart::Stacked,
        Chart::Bar => v1::Chart::Bar,
        Chart::HorizontalBar => v1::Chart::HorizontalBar,
        Chart::Table => v1::Chart::Table,
    }
}

/// The result of any panel as a table.
pub(crate) fn table(result: &PanelResult) -> v1::PanelTable {
    let ResultTable { columns, rows } = &result.table;
    v1::PanelTable {
        columns: columns
            .iter()
            .map(|column| v1::Column { name: column.name.clone(), r#type: column.type_name.clone() })
            .collect(),
        rows: rows
            .iter()
            .map(|row| v1::Row { values: row.iter().map(|cell| v1::Value { kind: value(cell) }).collect() })
            .collect(),
        context: Some(context(result)),
    }
}

fn value(cell: &Cell) -> Option<v1::value::Kind> {
    use v1::value::Kind;
    Some(match cell {
        Cell::Null => return None,
        Cell::Int(value) => Kind::Int64Value(*value),
        Cell::UInt(value) => Kind::Uint64Value(*value),
        Cell::Float(value) => Kind::DoubleValue(*value),
        Cell::Bool(value) => Kind::BoolValue(*value),
        Cell::Text(value) => Kind::StringValue(value.clone()),
        Cell::Timestamp(millis) => Kind::TimestampValue(proto::timestamp_from_millis(*millis)),
        date @ Cell::Date(_) => Kind::StringValue(date.to_string()),
    })
}

pub(super) fn context(result: &PanelResult) -> v1::PanelContext {
    context_message(&result.context)
}

/// What a result was computed for.
pub(crate) fn context_message(context: &ResultContext) -> v1::PanelContext {
    v1::PanelContext {
        range_start: Some(proto::timestamp_from_millis(context.range_start * 1_000)),
        range_end: Some(proto::timestamp_from_millis(context.range_end * 1_000)),
        time_zone: context.time_zone.clone(),
        computed_at: Some(proto::timestamp_from_millis(context.computed_at.as_millisecond())),
        approximate: context.approximate,
        partial_from: context.partial_from.map(|start| proto::timestamp_from_millis(start * 1_000)),
        span: context.span.clone().unwrap_or_default(),
        bucket_seconds: context.bucket.map_or(0, |bucket| 60 * u32::try_from(bucket.minutes()).unwrap_or(0)),
        bucket: context.bucket.map_or(v1::Bucket::Unspecified, bucket_message).into(),
        source: match context.source {
            None => v1::DataSource::Unspecified,
            Some(Source::Rollup) => v1::DataSource::Rollup,
            Some(Source::Events) => v1::DataSource::Events,
        }
        .into(),
        requested_start: context.requested_start.map(|start| proto::timestamp_from_millis(start * 1_000)),
    }
}

/// The update of a subscribed query for one subscriber, who calls the query `id`.
pub(crate) fn watch_response(
    id: String,
    panel: String,
    update: &LiveUpdate,
    format: v1::ResultFormat,
) -> v1::WatchPanelsResponse {
    if let Some(error) = &update.ended {
        return query_error(id, panel, Error::from(error.clone()));
    }
    let value = match &update.result {
        None => None,
        Some(result) => match watched_value(result, format) {
            Ok(value) => Some(value),
            Err(error) => return query_error(id, panel, error.into()),
        },
    };
    let stale = update.stale.as_ref();
    v1::WatchPanelsResponse {
        id,
        panel,
        value,
        stale_reason: stale.map(|stale| stale.reason.clone()),
        stale_since: stale.map(|stale| proto::timestamp_from_millis(stale.since.as_millisecond())),
        min_interval: update.min_interval.and_then(|interval| prost_types::Duration::try_from(interval).ok()),
        error: None,
        heartbeat: None,
    }
}

fn watched_value(result: &LiveResult, format: v1::ResultFormat) -> Result<Value, LiveError> {
    Ok(match (result, format) {
        (LiveResult::Panel(result), v1::ResultFormat::Frame) => Value::Frame(frame(result)),
        (LiveResult::Panel(result), v1::ResultFormat::Unspecified) => {
            typed_value(result)?.unwrap_or_else(|| Value::Table(table(result)))
        }
        (LiveResult::Explore(result), _) => explore::messages::watched_value(result)?,
    })
}

/// The end of a query that is not served.
pub(crate) fn query_error(id: String, panel: String, error: Error) -> v1::WatchPanelsResponse {
    let message = error.message.clone();
    let code = tonic::Status::from(error).code().into();
    v1::WatchPanelsResponse { id, panel, error: Some(v1::QueryError { code, message }), ..Default::default() }
}

/// The [`ResultCheck`](crate::panels::query::ResultCheck) of this API: the columns of a built-in panel's message exist and
/// have its types. Results of other panels pass.
pub(crate) fn check_result(result: &PanelResult) -> Result<(), PanelError> {
    typed_value(result).map(drop)
}

/// The typed message of a built-in panel; `None` for other panels.
pub(crate) fn typed_value(result: &PanelResult) -> Result<Option<Value>, PanelError> {
    Ok(Some(match result.panel.as_str() {
        "active_users" => Value::ActiveUsers(active_users(result)?),
        "signup_funnel" => Value::SignupFunnel(signup_funnel(result)?),
        "top_features" => Value::TopFeatures(top_features(result)?),
        "error_rate" => Value::ErrorRate(error_rate(result)?),
        "live_visitors" => Value::LiveVisitors(live_visitors(result)?),
        "top_pages" => Value::TopPages(top_pages(result)?),
        "traffic_by_country" => Value::TrafficByCountry(traffic_by_country(result)?),
        "traffic_anomaly" => Value::TrafficAnomaly(traffic_anomaly(result)?),
        _ => return Ok(None),
    }))
}

pub(super) fn active_users(result: &PanelResult) -> Result<v1::GetActiveUsersResponse, PanelError> {
    let [bucket, active_users, active_now, incomplete] =
        columns(result, ["bucket_start", "active_users", "active_now", "incomplete"])?;
    Ok(v1::GetActiveUsersResponse {
        active_users: first_row(result)?.count(active_now)?,
        series: map_rows(result, |row| {
            Ok(v1::ActiveUsersPoint {
                bucket: row.timestamp(bucket)?,
                active_users: row.count(active_users)?,
                incomplete: row.flag(incomplete)?,
            })
        })?,
        context: Some(context(result)),
    })
}

pub(super) fn signup_funnel(result: &PanelResult) -> Result<v1::GetSignupFunnelResponse, PanelError> {
    let [bucket, started, completed, conversion_pct, incomplete] =
        columns(result, ["bucket_start", "started", "completed", "conversion_pct", "incomplete"])?;
    let buckets = map_rows(result, |row| {
        Ok(v1::SignupFunnelBucket {
            bucket: row.timestamp(bucket)?,
            started: row.count(started)?,
            completed: row.count(completed)?,
            conversion_pct: row.number(conversion_pct)?,
            incomplete: row.flag(incomplete)?,
        })
    })?;
    let started: u64 = buckets.iter().map(|bucket| bucket.started).sum();
    let completed: u64 = buckets.iter().map(|bucket| bucket.completed).sum();
    // Two decimals, as in the buckets.
    let conversion_pct =
        (started > 0).then(|| (10_000.0 * completed as f64 / started as f64).round() / 100.0);
    Ok(v1::GetSignupFunnelResponse {
        buckets,
        started,
        completed,
        conversion_pct,
        context: Some(context(result)),
    })
}

pub(super) fn top_features(result: &PanelResult) -> Result<v1::GetTopFeaturesResponse, PanelError> {
    let [feature, unique_users, events] = columns(result, ["feature", "unique_users", "events"])?;
    Ok(v1::GetTopFeaturesResponse {
        features: map_rows(result, |row| {
            Ok(v1::Feature {
                feature: row.text(feature)?,
                unique_users: row.count(unique_users)?,
                events: row.count(events)?,
            })
        })?,
        context: Some(context(result)),
    })
}

pub(super) fn error_rate(result: &PanelResult) -> Result<v1::GetErrorRateResponse, PanelError> {
    let [bucket, errors, events, error_rate_pct, threshold_pct, incomplete] = columns(
        result,
        ["bucket_start", "errors", "events", "error_rate_pct", "threshold_pct", "incomplete"],
    )?;
    Ok(v1::GetErrorRateResponse {
        points: map_rows(result, |row| {
            Ok(v1::ErrorRatePoint {
                bucket: row.timestamp(bucket)?,
                errors: row.count(errors)?,
                events: row.count(events)?,
                error_rate_pct: row.number(error_rate_pct)?.unwrap_or(0.0),
                incomplete: row.flag(incomplete)?,
            })
        })?,
        threshold_pct: first_row(result)?.number(threshold_pct)?.unwrap_or(0.0),
        context: Some(context(result)),
    })
}

pub(super) fn live_visitors(result: &PanelResult) -> Result<v1::GetLiveVisitorsResponse, PanelError> {
    let [total_views, unique_visitors, avg_duration_ms] =
        columns(result, ["total_views", "unique_visitors", "avg_duration_ms"])?;
    let row = first_row(result)?;
    Ok(v1::GetLiveVisitorsResponse {
        total_views: row.count(total_views)?,
        unique_visitors: row.count(unique_visitors)?,
        avg_duration_ms: row.number(avg_duration_ms)?.unwrap_or(0.0),
        context: Some(context(result)),
    })
}

pub(super) fn top_pages(result: &PanelResult) -> Result<v1::GetTopPagesResponse, PanelError> {
    let [page_url, views, visitors, avg_duration_ms] =
        columns(result, ["page_url", "views", "visitors", "avg_duration_ms"])?;
    Ok(v1::GetTopPagesResponse {
        pages: map_rows(result, |row| {
            Ok(v1::Page {
                page_url: row.text(page_url)?,
                views: row.count(views)?,
                visitors: row.count(visitors)?,
                avg_duration_ms: row.number(avg_duration_ms)?.unwrap_or(0.0),
            })
        })?,
        context: Some(context(result)),
    })
}

pub(super) fn traffic_by_country(
    result: &PanelResult,
) -> Result<v1::GetTrafficByCountryResponse, PanelError> {
    let [bucket, country_code, views, visitors, incomplete] =
        columns(result, ["bucket_start", "country_code", "views", "visitors", "incomplete"])?;
    Ok(v1::GetTrafficByCountryResponse {
        points: map_rows(result, |row| {
            Ok(v1::CountryPoint {
                bucket: row.timestamp(bucket)?,
                country_code: row.text(country_code)?,
                views: row.count(views)?,
                visitors: row.count(visitors)?,
                incomplete: row.flag(incomplete)?,
            })
        })?,
        context: Some(context(result)),
    })
}

pub(super) fn traffic_anomaly(result: &PanelResult) -> Result<v1::GetTrafficAnomalyResponse, PanelError> {
    let [current_views, previous_views, change_pct] =
        columns(result, ["current_views", "previous_views", "change_pct"])?;
    let row = first_row(result)?;
    Ok(v1::GetTrafficAnomalyResponse {
        current_views: row.count(current_views)?,
        previous_views: row.optional_count(previous_views)?.unwrap_or(0),
        change_pct: row.number(change_pct)?,
        context: Some(context(result)),
    })
}

/// A column of a result, looked up once for all rows.
#[derive(Clone, Copy)]
struct ColumnRef {
    name: &'static str,
    index: usize,
}

fn columns<const N: usize>(
    result: &PanelResult,
    names: [&'static str; N],
) -> Result<[ColumnRef; N], PanelError> {
    let mut columns = names.map(|name| ColumnRef { name, index: 0 });
    for column in &mut columns {
        let index = result.table.column_index(column.name);
        column.index =
            index.ok_or_else(|| invalid_result(result, format!("there is no column {}", column.name)))?;
    }
    Ok(columns)
}

/// A row of a result, read by column.
struct RowReader<'a> {
    result: &'a PanelResult,
    cells: &'a [Cell],
}

impl RowReader<'_> {
    fn cell(&self, column: ColumnRef) -> &Cell {
        self.cells.get(column.index).unwrap_or(&Cell::Null)
    }

    fn mismatch(&self, column: ColumnRef, expected: &str) -> PanelError {
        let reason = format!("{} is {:?}, not {expected}", column.name, self.cell(column));
        invalid_result(self.result, reason)
    }

    fn count(&self, column: ColumnRef) -> Result<u64, PanelError> {
        match self.cell(column) {
            Cell::UInt(value) => Ok(*value),
            _ => Err(self.mismatch(column, "an unsigned integer")),
        }
    }

    fn optional_count(&self, column: ColumnRef) -> Result<Option<u64>, PanelError> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            _ => self.count(column).map(Some),
        }
    }

    fn number(&self, column: ColumnRef) -> Result<Option<f64>, PanelError> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            Cell::Float(value) => Ok(Some(*value)),
            Cell::UInt(value) => Ok(Some(*value as f64)),
            Cell::Int(value) => Ok(Some(*value as f64)),
            _ => Err(self.mismatch(column, "a number")),
        }
    }

    fn text(&self, column: ColumnRef) -> Result<String, PanelError> {
        match self.cell(column) {
            Cell::Text(value) => Ok(value.clone()),
            _ => Err(self.mismatch(column, "a string")),
        }
    }

    fn timestamp(&self, column: ColumnRef) -> Result<Option<prost_types::Timestamp>, PanelError> {
        match self.cell(column) {
            Cell::Timestamp(millis) => Ok(Some(proto::timestamp_from_millis(*millis))),
            _ => Err(self.mismatch(column, "a DateTime")),
        }
    }

    /// A comparison in SQL is a UInt8.
    fn flag(&self, column: ColumnRef) -> Result<bool, PanelError> {
        Ok(self.count(column)? == 1)
    }
}

fn map_rows<T>(
    result: &PanelResult,
    read: impl Fn(&RowReader<'_>) -> Result<T, PanelError>,
) -> Result<Vec<T>, PanelError> {
    result.table.rows.iter().map(|cells| read(&RowReader { result, cells })).collect()
}

fn first_row(result: &PanelResult) -> Result<RowReader<'_>, PanelError> {
    let cells = result.table.rows.first();
    let cells = cells.ok_or_else(|| invalid_result(result, "there is no row".to_owned()))?;
    Ok(RowReader { result, cells })
}

fn invalid_result(result: &PanelResult, reason: String) -> PanelError {
    PanelError::InvalidResult { panel: result.panel.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panels::frame::Frame;
    use crate::panels::query::ResultContext;

    fn result(panel: &str, json: &str) -> PanelResult {
        let context = ResultContext {
            range_start: 60,
            range_end: 120,
            time_zone: "UTC".into(),
            computed_at: jiff::Timestamp::UNIX_EPOCH,
            approximate: false,
            partial_from: None,
            bucket: None,
            source: None,
            requested_start: None,
            span: None,
        };
        let table = ResultTable::from_json_compact(json.as_bytes()).unwrap();
        PanelResult {
            panel: panel.into(),
            table,
            frame: Frame::default(),
            context,
            statistics: crate::panels::table::Statistics::default(),
            comparison: None,
        }
    }

    const FEATURES: &str = r#"{"meta": [{"name":"events","type":"UInt64"},{"name":"feature","type":"String"},
        {"name":"unique_users","type":"UInt64"}], "data": [[7,"search",3]]}"#;

    #[test]
    fn a_typed_value_reads_columns_by_name() {
        let Some(Value::TopFeatures(features)) = typed_value(&result("top_features", FEATURES)).unwrap()
        else {
            panic!("not top features");
        };
        let feature = v1::Feature { feature: "search".into(), unique_users: 3, events: 7 };
        assert_eq!(features.features, [feature]);
        assert_eq!(features.context.unwrap().range_end.unwrap().seconds, 120);
        assert_eq!(typed_value(&result("mine", FEATURES)).unwrap(), None);
    }

    #[test]
    fn a_result_without_the_columns_of_its_message_is_invalid() {
        let error = |json: &str| check_result(&result("top_features", json)).unwrap_err().to_string();
        assert_eq!(
            error(&FEATURES.replace("feature\"", "name\"")),
            "the result of the panel top_features is invalid: there is no column feature"
        );
        assert!(
            error(&FEATURES.replace("7", "-7")).contains("events is Float(-7.0), not an unsigned integer")
        );
        let no_rows = r#"{"meta": [{"name":"total_views","type":"UInt64"},{"name":"unique_visitors","type":"UInt64"},
            {"name":"avg_duration_ms","type":"Float64"}], "data": []}"#;
        let error = check_result(&result("live_visitors", no_rows)).unwrap_err();
        assert!(error.to_string().ends_with("there is no row"), "{error}");
    }
}
