//! Queries as JSON: `POST /api/query/{trend,funnel,retention,paths}` and `POST /api/people/list` with the requests of
//! ExploreService.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use prost::Message;

use super::Explore;
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::edge::body;
use crate::error::Error;
use crate::proto::json::{from_json, to_json};

/// Adds the routes.
pub(crate) fn add_routes(routes: HttpRoutes, explore: Explore, max_body_bytes: usize) -> HttpRoutes {
    let trend = {
        let explore = explore.clone();
        async move |request: Request| {
            let (caller, request) = read(request, "QueryTrendRequest", max_body_bytes).await?;
            let response =
                explore.answer_trend(&caller, request).await.map_err(IntoResponse::into_response)?;
            Ok::<_, Response>(respond("QueryTrendResponse", &response))
        }
    };
    routes.route("/api/query/trend", Requirement::Read, post(trend))
}

/// The caller and the message of a request.
async fn read<M: Message + Default>(
    request: Request,
    name: &str,
    max_bytes: usize,
) -> Result<(Caller, M), Response> {
    let (parts, body) = request.into_parts();
    let caller = Caller::of(&parts.extensions).map_err(IntoResponse::into_response)?;
    let body = body::read(&parts, body, max_bytes).await.map_err(IntoResponse::into_response)?;
    Ok((caller, parse(name, &body).map_err(IntoResponse::into_response)?))
}

fn parse<M: Message + Default>(name: &str, body: &[u8]) -> Result<M, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Error::invalid(format!("the body is not UTF-8: {error}")))?;
    from_json(name, text).map_err(|error| Error::invalid(format!("the body is not a {name}: {error}")))
}

fn respond(name: &str, message: &impl Message) -> Response {
    Json(to_json(name, message)).into_response()
}
