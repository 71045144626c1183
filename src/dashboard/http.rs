//! Panels as JSON: `/api/panels`, `/api/panels/{name}` and `/api/dashboard/{name}`.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::grpc;
use crate::error::{Error, Kind};
use crate::panels::range::TimeRange;
use crate::panels::{Ask, Panels, typed};
use crate::proto::json::to_json;
use crate::proto::v1;

/// The routes below `/api`.
pub fn routes(panels: Panels) -> Router {
    Router::new()
        .route("/panels", get(list))
        .route("/panels/{name}", get(query))
        .route("/dashboard/{name}", get(typed_panel))
        .fallback(async || {
            Error::new(Kind::NotFound, "there are /api/panels, /api/panels/NAME and /api/dashboard/NAME")
        })
        .with_state(panels)
}

async fn list(State(panels): State<Panels>) -> Response {
    let list = grpc::catalog(&panels.catalog().borrow());
    Json(to_json("ListPanelsResponse", &list)).into_response()
}

async fn query(
    State(panels): State<Panels>,
    Path(name): Path<String>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Result<Response, Error> {
    let answer = panels.ask(ask(name, parameters)?).await?;
    let table = Some(answer.table.to_proto(answer.context.clone()));
    Ok(Json(to_json("QueryPanelResponse", &v1::QueryPanelResponse { table })).into_response())
}

/// A built-in panel by its name with hyphens, as the JSON of its message.
async fn typed_panel(
    State(panels): State<Panels>,
    Path(name): Path<String>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Result<Response, Error> {
    let panel = name.replace('-', "_");
    let answer = panels.ask(ask(panel.clone(), parameters)?).await?;
    let value = typed::value(&panel, &answer)?.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("the panel {panel:?} has no message of its own; ask /api/panels/{panel}"),
        )
    })?;
    // The panel's message is the field of its name in the update of a watched panel.
    let update = v1::WatchPanelsResponse { value: Some(value), ..Default::default() };
    Ok(Json(to_json("WatchPanelsResponse", &update)[&panel].take()).into_response())
}

fn ask(panel: String, mut parameters: BTreeMap<String, String>) -> Result<Ask, Error> {
    let range = match parameters.remove("time_range").as_deref() {
        None | Some("1h") => TimeRange::Hour,
        Some("6h") => TimeRange::SixHours,
        Some("24h") => TimeRange::Day,
        Some("7d") => TimeRange::Week,
        Some(other) => {
            return Err(Error::invalid(format!(
                "time_range: {other:?} is not known; 1h, 6h, 24h or 7d is expected"
            )));
        }
    };
    let time_zone = parameters.remove("time_zone").filter(|zone| !zone.is_empty());
    Ok(Ask { panel, range, time_zone, parameters })
}
