//! Insights and dashboards as JSON: `/api/insights`, `/api/insights/{name}`, `/api/dashboards` and `/api/dashboards/{name}`.
//!
//! The version of a file is in the header `ETag`. `PUT` and `DELETE` name it in `If-Match`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ETAG, IF_MATCH};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode};

use super::{Insights, Presented};
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::edge::body;
use crate::error::Error;
use crate::proto::json::{from_body, to_json};
use crate::proto::v1;

/// Adds the routes.
pub(crate) fn add_routes(routes: HttpRoutes, insights: &Insights, max_body_bytes: usize) -> HttpRoutes {
    let list_insights = async |State(insights): State<Insights>, extensions: Extensions| {
        let caller = Caller::of(&extensions)?;
        Ok::<_, Error>(Json(to_json("ListInsightsResponse", &insights.list_insights(&caller))))
    };
    let list_dashboards = async |State(insights): State<Insights>, extensions: Extensions| {
        let caller = Caller::of(&extensions)?;
        Ok::<_, Error>(Json(to_json("ListDashboardsResponse", &insights.list_dashboards(&caller))))
    };
    let list_annotations = async |State(insights): State<Insights>, extensions: Extensions| {
        let caller = Caller::of(&extensions)?;
        Ok::<_, Error>(Json(to_json("ListAnnotationsResponse", &insights.list_annotations(&caller))))
    };
    let routes = routes
        .route("/api/annotations", Requirement::Read, get(list_annotations).with_state(insights.clone()))
        .route("/api/insights", Requirement::Read, get(list_insights).with_state(insights.clone()))
        .route("/api/dashboards", Requirement::Read, get(list_dashboards).with_state(insights.clone()));
    let routes = document::<v1::Insight>(routes, "/api/insights/{name}", insights, max_body_bytes);
    let routes = document::<v1::Annotation>(routes, "/api/annotations/{name}", insights, max_body_bytes);
    document::<v1::Dashboard>(routes, "/api/dashboards/{name}", insights, max_body_bytes)
}

fn document<D: Presented>(
    routes: HttpRoutes,
    path: &str,
    insights: &Insights,
    max_body_bytes: usize,
) -> HttpRoutes {
    let put = async move |State(insights): State<Insights>, name: Name, request: Request| {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts.extensions).map_err(IntoResponse::into_response)?;
        let body = body::read(&parts, body, max_body_bytes).await.map_err(IntoResponse::into_response)?;
        let document = parse::<D>(name, &parts.headers, &body).map_err(IntoResponse::into_response)?;
        let saved = insights.save(&caller, document).await.map_err(IntoResponse::into_response)?;
        Ok::<_, Response>(respond(&saved))
    };
    let read = get(get_document::<D>).with_state(insights.clone());
    let edit = axum::routing::put(put).delete(delete_document::<D>).with_state(insights.clone());
    routes.route(path, Requirement::Read, read).route(path, Requirement::Edit, edit)
}

/// axum's own response to a name that is not UTF-8 is not a problem document.
type Name = Result<Path<String>, PathRejection>;

fn parse_name(name: Name) -> Result<String, Error> {
    name.map(|Path(name)| name).map_err(|error| Error::invalid(format!("name: {error}")))
}

async fn get_document<D: Presented>(
    State(insights): State<Insights>,
    name: Name,
    extensions: Extensions,
) -> Result<Response, Error> {
    let document: D = insights.get(&Caller::of(&extensions)?.project, &parse_name(name)?)?;
    Ok(respond(&document))
}

async fn delete_document<D: Presented>(
    State(insights): State<Insights>,
    name: Name,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<StatusCode, Error> {
    let etag = if_match(&headers)?;
    insights.delete::<D>(&Caller::of(&extensions)?, parse_name(name)?, etag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The document of a body, with its name from the path and its version from the header.
fn parse<D: Presented>(name: Name, headers: &HeaderMap, body: &[u8]) -> Result<D, Error> {
    let name = parse_name(name)?;
    let mut document: D = from_body(D::MESSAGE, body)?;
    if !document.name().is_empty() && document.name() != name {
        let given = crate::panels::abbreviate(document.name());
        return Err(Error::invalid(format!("name: {given:?} is not the name of the path; leave it out")));
    }
    document.set_origin(&name, &if_match(headers)?, false);
    Ok(document)
}

/// The version that a request changes; empty without one.
fn if_match(headers: &HeaderMap) -> Result<String, Error> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(String::new()) };
    // A proxy that compresses responses makes an ETag weak.
    let etag = value.to_str().ok().map(|value| value.trim_start_matches("W/"));
    let etag = etag.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
    match etag {
        Some(etag) if !etag.is_empty() && !etag.contains('"') => Ok(etag.to_owned()),
        _ => Err(Error::invalid("If-Match: expected the value of one ETag, in quotes")),
    }
}

fn respond<D: Presented>(document: &D) -> Response {
    let mut response = Json(to_json(D::MESSAGE, document)).into_response();
    if let (false, Ok(etag)) =
        (document.etag().is_empty(), HeaderValue::try_from(format!("\"{}\"", document.etag())))
    {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
