//! From results to the contracts' messages.

use std::time::Duration;

use super::QueryResult;
use super::error::ExploreError;
use super::funnel::FunnelResult;
use super::funnel::result::{Durations, Figures};
use super::paths::PathsResult;
use super::people::PeopleResult;
use super::request::page_token;
use super::retention::{Cohort, RetentionResult, means};
use super::runner::Cost;
use super::trend::{Group, Line, Point, TrendResult};
use crate::dashboard::messages::context_message;
use crate::proto::{timestamp_from_millis, v1};

/// The result of a subscribed query.
pub(crate) fn watched_value(result: &QueryResult) -> Result<v1::watch_panels_response::Value, ExploreError> {
    use v1::watch_panels_response::Value;
    Ok(match result {
        QueryResult::Trend(result) => Value::Trend(trend(result)),
        QueryResult::Funnel(result) => Value::Funnel(funnel(result)),
        QueryResult::Retention(result) => Value::Retention(retention(result)),
        QueryResult::Paths(result) => Value::Paths(paths(result)),
        QueryResult::People(_) => {
            return Err(ExploreError::invalid("a list of people cannot be subscribed to"));
        }
    })
}

/// The result of a trend.
pub(crate) fn trend(result: &TrendResult) -> v1::QueryTrendResponse {
    v1::QueryTrendResponse {
        buckets: result.buckets.iter().map(|start| timestamp_from_millis(start * 1_000)).collect(),
        lines: result.lines.iter().map(trend_line).collect(),
        context: Some(context_message(&result.context)),
        cost: Some(cost(result.cost)),
    }
}

fn trend_line(line: &Line) -> v1::TrendLine {
    let (breakdown, is_other) = match &line.group {
        Group::Values(values) => (values.clone(), false),
        Group::Other => (Vec::new(), true),
    };
    v1::TrendLine {
        series: u32::try_from(line.series).unwrap_or(u32::MAX),
        breakdown,
        is_other,
        values: line.values.iter().map(trend_value).collect(),
        total: Some(trend_value(&line.total)),
    }
}

fn trend_value(point: &Point) -> v1::TrendValue {
    v1::TrendValue { value: point.value, compared_value: point.compared }
}

pub(crate) fn cost(cost: Cost) -> v1::QueryCost {
    v1::QueryCost {
        rows_read: cost.rows_read,
        bytes_read: cost.bytes_read,
        elapsed: prost_types::Duration::try_from(cost.elapsed).ok(),
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

fn duration(seconds: f64) -> Option<prost_types::Duration> {
    let duration = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    prost_types::Duration::try_from(duration).ok()
}

/// The result of a funnel.
pub(crate) fn funnel(result: &FunnelResult) -> v1::QueryFunnelResponse {
    let figures = |value: &str, figures: &Figures| funnel_result(value, figures, &result.buckets);
    v1::QueryFunnelResponse {
        overall: Some(figures("", &result.overall)),
        breakdown: result.breakdown.iter().map(|(value, found)| figures(value, found)).collect(),
        truncated_visitors: result.truncated,
        context: Some(context_message(&result.context)),
        cost: Some(cost(result.cost)),
    }
}

fn funnel_result(value: &str, figures: &Figures, buckets: &[i64]) -> v1::FunnelResult {
    let counts = figures.counts();
    let steps = counts.iter().enumerate().map(|(step, count)| {
        let previous = step.checked_sub(1);
        v1::FunnelStepResult {
            count: *count,
            from_first_pct: percent(*count, counts[0]),
            from_previous_pct: previous.and_then(|previous| percent(*count, counts[previous])),
            median_from_previous: previous
                .and_then(|previous| figures.times()[previous].quantile(0.5))
                .and_then(duration),
        }
    });
    let trend = buckets.iter().zip(figures.trend()).map(|(start, bucket)| v1::FunnelTrendPoint {
        bucket: Some(timestamp_from_millis(start * 1_000)),
        entered: bucket.entered,
        converted: bucket.converted,
        conversion_pct: percent(bucket.converted, bucket.entered),
        incomplete: bucket.running > 0,
    });
    v1::FunnelResult {
        value: value.to_owned(),
        steps: steps.collect(),
        trend: trend.collect(),
        time_to_convert: time_to_convert(figures.conversion()),
        running: figures.running(),
    }
}

fn time_to_convert(durations: &Durations) -> Option<v1::TimeToConvert> {
    let distribution = durations.distribution()?;
    Some(v1::TimeToConvert {
        average: duration(distribution.average),
        median: duration(distribution.median),
        p90: duration(distribution.p90),
        histogram: distribution.histogram,
        interval: duration(distribution.interval),
    })
}

/// The result of a retention.
pub(crate) fn retention(result: &RetentionResult) -> v1::QueryRetentionResponse {
    let cohorts = |value: &str, cohorts: &[Cohort]| v1::RetentionResult {
        value: value.to_owned(),
        cohorts: cohorts.iter().map(cohort).collect(),
        mean: means(cohorts, result.is_weighted)
            .into_iter()
            .map(|pct| v1::RetentionMeanValue { pct })
            .collect(),
    };
    v1::QueryRetentionResponse {
        overall: Some(cohorts("", &result.overall)),
        breakdown: result.breakdown.iter().map(|(value, found)| cohorts(value, found)).collect(),
        context: Some(context_message(&result.context)),
        cost: Some(cost(result.cost)),
    }
}

fn cohort(cohort: &Cohort) -> v1::RetentionCohort {
    let cell = |(period, cell): (usize, &super::retention::Cell)| {
        let visitors = if period == 0 { cohort.visitors } else { cell.visitors };
        v1::RetentionCell {
            visitors,
            pct: percent(visitors, cohort.visitors),
            incomplete: cell.is_incomplete,
        }
    };
    v1::RetentionCohort {
        start: Some(timestamp_from_millis(cohort.start * 1_000)),
        visitors: cohort.visitors,
        cells: cohort.cells.iter().enumerate().map(cell).collect(),
    }
}

/// The result of a paths query.
pub(crate) fn paths(result: &PathsResult) -> v1::QueryPathsResponse {
    let transitions = result.transitions.iter().map(|transition| v1::PathTransition {
        step: u32::try_from(transition.step).unwrap_or(u32::MAX),
        from: transition.from.clone(),
        to: transition.to.clone(),
        count: transition.count,
        average_time: duration(transition.average_ms / 1_000.0),
    });
    v1::QueryPathsResponse {
        transitions: transitions.collect(),
        paths: result.paths,
        truncated_visitors: result.truncated,
        context: Some(context_message(&result.context)),
        cost: Some(cost(result.cost)),
    }
}

/// A page of people.
pub(crate) fn people(result: &PeopleResult) -> v1::ListPeopleResponse {
    let last = result.people.last().filter(|_| result.has_more);
    v1::ListPeopleResponse {
        people: result
            .people
            .iter()
            .map(|person| v1::PersonSummary { id: person.id.clone(), events: person.events })
            .collect(),
        next_page_token: last.map_or_else(String::new, |person| page_token(&person.id)),
        total: result.total,
        cost: Some(cost(result.cost)),
    }
}
