//! The typed answers of the built-in panels, from their tables.

use super::query::{Answer, PanelError};
use super::table::Cell;
use crate::proto::{self, v1};
use v1::watch_panels_response::Value;

/// Reads the cells of one row by the names of their columns.
struct Row<'a> {
    answer: &'a Answer,
    cells: &'a [Cell],
}

impl Row<'_> {
    fn cell(&self, column: &str) -> Result<&Cell, PanelError> {
        let at = self.answer.table.column(column).and_then(|at| self.cells.get(at));
        at.ok_or_else(|| unreadable(format!("there is no column {column}")))
    }

    fn count(&self, column: &str) -> Result<u64, PanelError> {
        match self.cell(column)? {
            Cell::UInt(value) => Ok(*value),
            other => Err(unreadable(format!("{column} is {other:?}, not a count"))),
        }
    }

    fn number(&self, column: &str) -> Result<Option<f64>, PanelError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Float(value) => Ok(Some(*value)),
            Cell::UInt(value) => Ok(Some(*value as f64)),
            Cell::Int(value) => Ok(Some(*value as f64)),
            other => Err(unreadable(format!("{column} is {other:?}, not a number"))),
        }
    }

    fn text(&self, column: &str) -> Result<String, PanelError> {
        match self.cell(column)? {
            Cell::Text(value) => Ok(value.clone()),
            other => Err(unreadable(format!("{column} is {other:?}, not a text"))),
        }
    }

    fn instant(&self, column: &str) -> Result<Option<prost_types::Timestamp>, PanelError> {
        match self.cell(column)? {
            Cell::Instant(millis) => Ok(Some(proto::timestamp(*millis))),
            other => Err(unreadable(format!("{column} is {other:?}, not an instant"))),
        }
    }

    fn incomplete(&self) -> Result<bool, PanelError> {
        Ok(self.count("incomplete")? == 1)
    }
}

fn unreadable(reason: String) -> PanelError {
    PanelError::Answer { panel: "of the built-in kind".into(), reason }
}

fn rows<T>(answer: &Answer, read: impl Fn(&Row<'_>) -> Result<T, PanelError>) -> Result<Vec<T>, PanelError> {
    answer.table.rows.iter().map(|cells| read(&Row { answer, cells })).collect()
}

/// The single row of a panel that has one.
fn row(answer: &Answer) -> Result<Row<'_>, PanelError> {
    let cells = answer.table.rows.first().ok_or_else(|| unreadable("there is no row".into()))?;
    Ok(Row { answer, cells })
}

/// The message of a built-in panel's answer; none where the panel has none of its own.
pub fn value(panel: &str, answer: &Answer) -> Result<Option<Value>, PanelError> {
    Ok(Some(match panel {
        "active_users" => Value::ActiveUsers(active_users(answer)?),
        "signup_funnel" => Value::SignupFunnel(signup_funnel(answer)?),
        "top_features" => Value::TopFeatures(top_features(answer)?),
        "error_rate" => Value::ErrorRate(error_rate(answer)?),
        "live_visitors" => Value::LiveVisitors(live_visitors(answer)?),
        "top_pages" => Value::TopPages(top_pages(answer)?),
        "traffic_by_country" => Value::TrafficByCountry(traffic_by_country(answer)?),
        "traffic_anomaly" => Value::TrafficAnomaly(traffic_anomaly(answer)?),
        _ => return Ok(None),
    }))
}

/// See the contract.
pub fn active_users(answer: &Answer) -> Result<v1::GetActiveUsersResponse, PanelError> {
    Ok(v1::GetActiveUsersResponse {
        active_users: row(answer)?.count("active_now")?,
        series: rows(answer, |row| {
            Ok(v1::ActiveUsersPoint {
                bucket: row.instant("bucket_start")?,
                active_users: row.count("active_users")?,
                incomplete: row.incomplete()?,
            })
        })?,
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn signup_funnel(answer: &Answer) -> Result<v1::GetSignupFunnelResponse, PanelError> {
    let buckets = rows(answer, |row| {
        Ok(v1::SignupFunnelBucket {
            bucket: row.instant("bucket_start")?,
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
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn top_features(answer: &Answer) -> Result<v1::GetTopFeaturesResponse, PanelError> {
    Ok(v1::GetTopFeaturesResponse {
        features: rows(answer, |row| {
            Ok(v1::Feature {
                feature: row.text("feature")?,
                unique_users: row.count("unique_users")?,
                events: row.count("events")?,
            })
        })?,
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn error_rate(answer: &Answer) -> Result<v1::GetErrorRateResponse, PanelError> {
    Ok(v1::GetErrorRateResponse {
        points: rows(answer, |row| {
            Ok(v1::ErrorRatePoint {
                bucket: row.instant("bucket_start")?,
                errors: row.count("errors")?,
                events: row.count("events")?,
                error_rate_pct: row.number("error_rate_pct")?.unwrap_or(0.0),
                incomplete: row.incomplete()?,
            })
        })?,
        threshold_pct: row(answer)?.number("threshold_pct")?.unwrap_or(0.0),
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn live_visitors(answer: &Answer) -> Result<v1::GetLiveVisitorsResponse, PanelError> {
    let row = row(answer)?;
    Ok(v1::GetLiveVisitorsResponse {
        total_views: row.count("total_views")?,
        unique_visitors: row.count("unique_visitors")?,
        avg_duration_ms: row.number("avg_duration_ms")?.unwrap_or(0.0),
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn top_pages(answer: &Answer) -> Result<v1::GetTopPagesResponse, PanelError> {
    Ok(v1::GetTopPagesResponse {
        pages: rows(answer, |row| {
            Ok(v1::Page {
                page_url: row.text("page_url")?,
                views: row.count("views")?,
                visitors: row.count("visitors")?,
                avg_duration_ms: row.number("avg_duration_ms")?.unwrap_or(0.0),
            })
        })?,
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn traffic_by_country(answer: &Answer) -> Result<v1::GetTrafficByCountryResponse, PanelError> {
    Ok(v1::GetTrafficByCountryResponse {
        points: rows(answer, |row| {
            Ok(v1::CountryPoint {
                bucket: row.instant("bucket_start")?,
                country_code: row.text("country_code")?,
                views: row.count("views")?,
                visitors: row.count("visitors")?,
                incomplete: row.incomplete()?,
            })
        })?,
        context: Some(answer.context.clone()),
    })
}

/// See the contract.
pub fn traffic_anomaly(answer: &Answer) -> Result<v1::GetTrafficAnomalyResponse, PanelError> {
    let row = row(answer)?;
    Ok(v1::GetTrafficAnomalyResponse {
        current_views: row.count("current_views")?,
        previous_views: row.count("previous_views")?,
        change_pct: row.number("change_pct")?,
        context: Some(answer.context.clone()),
    })
}
