//! Queries as JSON: the requests of ExploreService as bodies of `POST /api/query/{trend,funnel,retention,paths,people}`.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};

use super::Explore;
use super::grpc::Answerable;
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::edge::body;
use crate::proto::json::{from_body, to_json};
use crate::proto::v1;

/// Adds the routes.
pub(crate) fn add_routes(routes: HttpRoutes, explore: &Explore, max_body_bytes: usize) -> HttpRoutes {
    let query = |routes: HttpRoutes, path: &str, methods| routes.route(path, Requirement::Read, methods);
    let routes = query(routes, "/api/query/trend", answer::<v1::QueryTrendRequest>(explore, max_body_bytes));
    let routes =
        query(routes, "/api/query/funnel", answer::<v1::QueryFunnelRequest>(explore, max_body_bytes));
    let routes =
        query(routes, "/api/query/retention", answer::<v1::QueryRetentionRequest>(explore, max_body_bytes));
    let routes = query(routes, "/api/query/paths", answer::<v1::QueryPathsRequest>(explore, max_body_bytes));
    query(routes, "/api/query/people", answer::<v1::ListPeopleRequest>(explore, max_body_bytes))
}

fn answer<R: Answerable>(
    explore: &Explore,
    max_body_bytes: usize,
) -> MethodRouter<(), std::convert::Infallible> {
    let explore = explore.clone();
    post(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts.extensions).map_err(IntoResponse::into_response)?;
        let body = body::read(&parts, body, max_body_bytes).await.map_err(IntoResponse::into_response)?;
        let request: R = from_body(R::REQUEST, &body).map_err(IntoResponse::into_response)?;
        let response = explore.answer(&caller, request).await.map_err(IntoResponse::into_response)?;
        Ok::<_, Response>(Json(to_json(R::RESPONSE, &response)))
    })
}
