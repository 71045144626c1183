//! The typed answers of the built-in panels, from their tables.

use super::query::{PanelError, PanelResult};
use super::table::Cell;
use crate::proto::{self, v1};
use v1::watch_panels_response::Value;

/// Reads the cells of one row by the names of their columns.
struct Row<'a> {
    result: &'a PanelResult,
    cells: &'a [Cell],
}

impl Row<'_> {
    fn cell(&self, column: &str) -> Result<&Cell, PanelError> {
        let at = self.result.table.column_index(column).and_then(|at| self.cells.get(at));
        at.ok_or_else(|| invalid_result(format!("there is no column {column}")))
    }

    fn count(&self, column: &str) -> Result<u64, PanelError> {
        match self.cell(column)? {
            Cell::UInt(value) => Ok(*value),
            other => Err(invalid_result(format!("{column} is {other:?}, not a count"))),
        }
    }

    fn number(&self, column: &str) -> Result<Option<f64>, PanelError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Float(value) => Ok(Some(*value)),
            Cell::UInt(value) => Ok(Some(*value as f64)),
            Cell::Int(value) => Ok(Some(*value as f64)),
            other => Err(invalid_result(format!("{column} is {other:?}, not a number"))),
        }
    }

    fn text(&self, column: &str) -> Result<String, PanelError> {
        match self.cell(column)? {
            Cell::Text(value) => Ok(value.clone()),
            other => Err(invalid_result(format!("{column} is {other:?}, not a text"))),
        }
    }

    fn timestamp(&self, column: &str) -> Result<Option<prost_types::Timestamp>, PanelError> {
        match self.cell(column)? {
            Cell::Timestamp(millis) => Ok(Some(proto::timestamp_from_millis(*millis))),
            other => Err(invalid_result(format!("{column} is {other:?}, not an instant"))),
        }
    }

    fn incomplete(&self) -> Result<bool, PanelError> {
        Ok(self.count("incomplete")? == 1)
    }
}

fn invalid_result(reason: String) -> PanelError {
    PanelError::InvalidResult { panel: "of the built-in kind".into(), reason }
}

fn rows<T>(
    result: &PanelResult,
    read: impl Fn(&Row<'_>) -> Result<T, PanelError>,
) -> Result<Vec<T>, PanelError> {
    result.table.rows.iter().map(|cells| read(&Row { result, cells })).collect()
}

/// The single row of a panel that has one.
fn row(result: &PanelResult) -> Result<Row<'_>, PanelError> {
    let cells = result.table.rows.first().ok_or_else(|| invalid_result("there is no row".into()))?;
    Ok(Row { result, cells })
}

/// The message of a built-in panel's answer; none where the panel has none of its own.
pub fn panel_value(panel: &str, result: &PanelResult) -> Result<Option<Value>, PanelError> {
    Ok(Some(match panel {
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

/// See the contract.
pub fn active_users(result: &PanelResult) -> Result<v1::GetActiveUsersResponse, PanelError> {
    Ok(v1::GetActiveUsersResponse {
        active_users: row(result)?.count("active_now")?,
        series: rows(result, |row| {
            Ok(v1::ActiveUsersPoint {
                bucket: row.timestamp("bucket_start")?,
                active_users: row.count("active_users")?,
                incomplete: row.incomplete()?,
            })
        })?,
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn signup_funnel(result: &PanelResult) -> Result<v1::GetSignupFunnelResponse, PanelError> {
    let buckets = rows(result, |row| {
        Ok(v1::SignupFunnelBucket {
            bucket: row.timestamp("bucket_start")?,
            started: row.count("started")?,
            completed: row.count("completed")?,
            conversion_pct: row.number("conversion_pct")?,
            incomplete: row.incomplete()?,
        })
    })?;
    let started: u64 = buckets.iter().map(|bucket| bucket.started).sum();
    let completed: u64 = buckets.iter().map(|bucket| bucket.completed).sum();
    let conversion_pct =
        (started > 0).then(|| (10_000.0 * completed as f64 / started as f64).round() / 100.0);
    Ok(v1::GetSignupFunnelResponse {
        buckets,
        started,
        completed,
        conversion_pct,
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn top_features(result: &PanelResult) -> Result<v1::GetTopFeaturesResponse, PanelError> {
    Ok(v1::GetTopFeaturesResponse {
        features: rows(result, |row| {
            Ok(v1::Feature {
                feature: row.text("feature")?,
                unique_users: row.count("unique_users")?,
                events: row.count("events")?,
            })
        })?,
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn error_rate(result: &PanelResult) -> Result<v1::GetErrorRateResponse, PanelError> {
    Ok(v1::GetErrorRateResponse {
        points: rows(result, |row| {
            Ok(v1::ErrorRatePoint {
                bucket: row.timestamp("bucket_start")?,
                errors: row.count("errors")?,
                events: row.count("events")?,
                error_rate_pct: row.number("error_rate_pct")?.unwrap_or(0.0),
                incomplete: row.incomplete()?,
            })
        })?,
        threshold_pct: row(result)?.number("threshold_pct")?.unwrap_or(0.0),
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn live_visitors(result: &PanelResult) -> Result<v1::GetLiveVisitorsResponse, PanelError> {
    let row = row(result)?;
    Ok(v1::GetLiveVisitorsResponse {
        total_views: row.count("total_views")?,
        unique_visitors: row.count("unique_visitors")?,
        avg_duration_ms: row.number("avg_duration_ms")?.unwrap_or(0.0),
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn top_pages(result: &PanelResult) -> Result<v1::GetTopPagesResponse, PanelError> {
    Ok(v1::GetTopPagesResponse {
        pages: rows(result, |row| {
            Ok(v1::Page {
                page_url: row.text("page_url")?,
                views: row.count("views")?,
                visitors: row.count("visitors")?,
                avg_duration_ms: row.number("avg_duration_ms")?.unwrap_or(0.0),
            })
        })?,
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn traffic_by_country(result: &PanelResult) -> Result<v1::GetTrafficByCountryResponse, PanelError> {
    Ok(v1::GetTrafficByCountryResponse {
        points: rows(result, |row| {
            Ok(v1::CountryPoint {
                bucket: row.timestamp("bucket_start")?,
                country_code: row.text("country_code")?,
                views: row.count("views")?,
                visitors: row.count("visitors")?,
                incomplete: row.incomplete()?,
            })
        })?,
        context: Some(result.context.clone()),
    })
}

/// See the contract.
pub fn traffic_anomaly(result: &PanelResult) -> Result<v1::GetTrafficAnomalyResponse, PanelError> {
    let row = row(result)?;
    Ok(v1::GetTrafficAnomalyResponse {
        current_views: row.count("current_views")?,
        previous_views: row.count("previous_views")?,
        change_pct: row.number("change_pct")?,
        context: Some(result.context.clone()),
    })
}
