//! Panels as JSON: `/api/panels`, `/api/panels/{name}` and `/api/dashboard/{name}`.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;

use super::heartbeat::DashboardState;
use super::{grpc, messages};
use crate::error::{Error, ErrorCode};
use crate::panels::range::TimeRange;
use crate::panels::{PanelQuery, Panels};
use crate::proto::json::to_json;
use crate::proto::v1;

/// The routes below `/api`.
pub(crate) fn routes(panels: Panels, state: watch::Receiver<DashboardState>) -> Router {
    Router::new()
        .route("/panels", get(async move |State(panels): State<Panels>| list_panels(&panels, &state)))
        .route("/panels/{name}", get(query_panel))
        .route("/dashboard/{name}", get(query_dashboard))
        .fallback(async || {
            Error::new(
                ErrorCode::NotFound,
                "unknown path; available: /api/panels, /api/panels/NAME and /api/dashboard/NAME",
            )
        })
        .with_state(panels)
}

fn list_panels(panels: &Panels, state: &watch::Receiver<DashboardState>) -> Response {
    let list = grpc::list_panels(panels, state);
    Json(to_json("ListPanelsResponse", &list)).into_response()
}

async fn query_panel(
    State(panels): State<Panels>,
    Path(name): Path<String>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Result<Response, Error> {
    let result = panels.query(parse_query(name, parameters)?).await?;
    let response = v1::QueryPanelResponse { table: Some(messages::table(&result)), frame: None };
    Ok(Json(to_json("QueryPanelResponse", &response)).into_response())
}

/// The typed message of a built-in panel, whose name may have hyphens instead of underscores.
async fn query_dashboard(
    State(panels): State<Panels>,
    Path(name): Path<String>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Result<Response, Error> {
    let panel = name.replace('-', "_");
    let result = panels.query(parse_query(panel.clone(), parameters)?).await?;
    let value = messages::typed_value(&result)?.ok_or_else(|| {
        Error::new(
            ErrorCode::NotFound,
            format!("the panel {panel:?} has no typed message; use /api/panels/{panel}"),
        )
    })?;
    // WatchPanelsResponse has a field for each built-in panel, named like the panel.
    let update = v1::WatchPanelsResponse { value: Some(value), ..Default::default() };
    Ok(Json(to_json("WatchPanelsResponse", &update)[&panel].take()).into_response())
}

fn parse_query(panel: String, mut parameters: BTreeMap<String, String>) -> Result<PanelQuery, Error> {
    let range = match parameters.remove("time_range").as_deref() {
        None | Some("1h") => TimeRange::Hour,
        Some("6h") => TimeRange::SixHours,
        Some("24h") => TimeRange::Day,
        Some("7d") => TimeRange::Week,
        Some(other) => {
            return Err(Error::invalid(format!(
                "time_range: {other:?} is invalid; expected 1h, 6h, 24h or 7d"
            )));
        }
    };
    let time_zone = parameters.remove("time_zone").filter(|zone| !zone.is_empty());
    Ok(PanelQuery { panel, range, time_zone, parameters })
}
