//! From results to the contracts' messages.

use super::runner::Cost;
use super::trend::{Group, Line, Point, TrendResult};
use crate::dashboard::messages::context_message;
use crate::proto::{timestamp_from_millis, v1};

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

pub(super) fn cost(cost: Cost) -> v1::QueryCost {
    v1::QueryCost {
        rows_read: cost.rows_read,
        bytes_read: cost.bytes_read,
        elapsed: prost_types::Duration::try_from(cost.elapsed).ok(),
    }
}
