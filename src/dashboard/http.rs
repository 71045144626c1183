//! Panels as JSON: `/api/panels`, `/api/panels/{name}`, `/api/dashboard/{name}` and `POST /api/query/sql`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::Extensions;
use tokio::sync::watch;

use super::frame::frame;
use super::heartbeat::DashboardState;
use super::request::parse_http;
use super::{grpc, messages};
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::edge::body;
use crate::error::{Error, ErrorCode};
use crate::panels::Panels;
use crate::panels::sql::SqlQueries;
use crate::proto::json::{from_body, to_json};
use crate::proto::v1;

/// Adds the routes below `/api`.
pub(crate) fn add_routes(
    routes: HttpRoutes,
    panels: Panels,
    sql: SqlQueries,
    state: watch::Receiver<DashboardState>,
    max_body_bytes: usize,
) -> HttpRoutes {
    let list = async move |State(panels): State<Panels>| list_panels(&panels, &state);
    let unknown = async || {
        Error::new(
            ErrorCode::NotFound,
            "unknown path; available: /api/panels, /api/panels/NAME and /api/dashboard/NAME",
        )
    };
    let sql = async move |request: Request| query_sql(&sql, request, max_body_bytes).await;
    routes
        .route("/api/query/sql", Requirement::Edit, post(sql))
        .route("/api/panels", Requirement::Read, get(list).with_state(panels.clone()))
        .route("/api/panels/{name}", Requirement::Read, get(query_panel).with_state(panels.clone()))
        .route("/api/dashboard/{name}", Requirement::Read, get(query_dashboard).with_state(panels))
        .route("/api", Requirement::Open, any(unknown))
        .route("/api/{*path}", Requirement::Open, any(unknown))
}

fn list_panels(panels: &Panels, state: &watch::Receiver<DashboardState>) -> Response {
    let list = grpc::list_panels(panels, state);
    Json(to_json("ListPanelsResponse", &list)).into_response()
}

async fn query_panel(
    State(panels): State<Panels>,
    name: Result<Path<String>, PathRejection>,
    Query(fields): Query<Vec<(String, String)>>,
    extensions: Extensions,
) -> Result<Response, Error> {
    let query = parse_http(Caller::of(&extensions)?.project, parse_name(name)?, fields)?;
    // A table has no comparison.
    let is_compared = query.compare.is_some();
    let result = panels.query(query).await?;
    let frame = is_compared.then(|| frame(&result));
    let response = v1::QueryPanelResponse { table: Some(messages::table(&result)), frame };
    Ok(Json(to_json("QueryPanelResponse", &response)).into_response())
}

async fn query_sql(sql: &SqlQueries, request: Request, max_body_bytes: usize) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let project = Caller::of(&parts.extensions).map_err(IntoResponse::into_response)?.project;
    let body = body::read(&parts, body, max_body_bytes).await.map_err(IntoResponse::into_response)?;
    let request = from_body("QuerySqlRequest", &body).map_err(IntoResponse::into_response)?;
    let response = grpc::query_sql(sql, project, request).await.map_err(IntoResponse::into_response)?;
    Ok(Json(to_json("QuerySqlResponse", &response)).into_response())
}

/// axum's own response to a name that is not UTF-8 is not a problem document.
fn parse_name(name: Result<Path<String>, PathRejection>) -> Result<String, Error> {
    name.map(|Path(name)| name).map_err(|error| Error::invalid(format!("the panel's name: {error}")))
}

/// The typed message of a built-in panel, whose name may have hyphens instead of underscores.
async fn query_dashboard(
    State(panels): State<Panels>,
    name: Result<Path<String>, PathRejection>,
    Query(fields): Query<Vec<(String, String)>>,
    extensions: Extensions,
) -> Result<Response, Error> {
    let panel = parse_name(name)?.replace('-', "_");
    let query = parse_http(Caller::of(&extensions)?.project, panel.clone(), fields)?;
    if query.compare.is_some() {
        return Err(Error::invalid(format!(
            "compare: the typed message of a panel has no comparison; use /api/panels/{panel}"
        )));
    }
    let result = panels.query(query).await?;
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
