//! The catalogue as JSON: `/api/catalogue/events`, `/api/catalogue/properties` and `/api/catalogue/values`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Extensions;

use super::service::CatalogueService;
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::error::Error;
use crate::proto::json::to_json;
use crate::proto::v1;

/// The fields of the query of an address. Not all paths have all of them.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    event_name: String,
    field: String,
    prefix: String,
    contains: String,
    days: u32,
    limit: u32,
}

type QueryFields = Result<Query<Fields>, QueryRejection>;

/// Adds the routes.
pub(crate) fn add_routes(routes: HttpRoutes, catalogue: CatalogueService) -> HttpRoutes {
    let read = Requirement::Read;
    routes
        .route("/api/catalogue/events", read, get(event_names).with_state(catalogue.clone()))
        .route("/api/catalogue/properties", read, get(properties).with_state(catalogue.clone()))
        .route("/api/catalogue/values", read, get(values).with_state(catalogue))
}

async fn event_names(
    State(catalogue): State<CatalogueService>,
    fields: QueryFields,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Fields { prefix, contains, days, limit, .. } = parse(fields)?;
    let request = v1::ListEventNamesRequest { prefix, contains, days, limit };
    let response = catalogue.list_event_names(&Caller::of(&extensions)?, request).await?;
    Ok(Json(to_json("ListEventNamesResponse", &response)).into_response())
}

async fn properties(
    State(catalogue): State<CatalogueService>,
    fields: QueryFields,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Fields { event_name, contains, days, limit, .. } = parse(fields)?;
    let request = v1::ListPropertiesRequest { event_name, contains, days, limit };
    let response = catalogue.list_properties(&Caller::of(&extensions)?, request).await?;
    Ok(Json(to_json("ListPropertiesResponse", &response)).into_response())
}

async fn values(
    State(catalogue): State<CatalogueService>,
    fields: QueryFields,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Fields { event_name, field, prefix, days, limit, .. } = parse(fields)?;
    let request = v1::ListValuesRequest { event_name, field, prefix, days, limit };
    let response = catalogue.list_values(&Caller::of(&extensions)?, request).await?;
    Ok(Json(to_json("ListValuesResponse", &response)).into_response())
}

fn parse(fields: QueryFields) -> Result<Fields, Error> {
    fields.map(|Query(fields)| fields).map_err(|error| Error::invalid(error.body_text()))
}
