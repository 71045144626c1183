//! People as JSON: `/api/people`, `/api/people/{id}`, and the sessions and the timeline below it.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Extensions;

use super::service::PeopleService;
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::error::Error;
use crate::proto::json::to_json;
use crate::proto::v1;

/// The fields of the query of an address. Not all paths have all of them.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    search: String,
    r#trait: String,
    value: String,
    page_size: u32,
    page_token: String,
}

type PathId = Result<Path<String>, PathRejection>;
type PageFields = Result<Query<Fields>, QueryRejection>;

/// Adds the routes.
pub(crate) fn add_routes(routes: HttpRoutes, people: PeopleService) -> HttpRoutes {
    let read = Requirement::Read;
    routes
        .route("/api/people", read, get(search).with_state(people.clone()))
        .route("/api/people/{id}", read, get(person).with_state(people.clone()))
        .route("/api/people/{id}/sessions", read, get(sessions).with_state(people.clone()))
        .route("/api/people/{id}/timeline", read, get(timeline).with_state(people))
}

async fn search(
    State(people): State<PeopleService>,
    fields: PageFields,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Fields { search, r#trait: trait_name, value: trait_value, page_size, page_token } = parse(fields)?;
    let request =
        v1::SearchPeopleRequest { id_prefix: search, trait_name, trait_value, page_size, page_token };
    let response = people.search_people(&Caller::of(&extensions)?.project, request).await?;
    Ok(Json(to_json("SearchPeopleResponse", &response)).into_response())
}

async fn person(
    State(people): State<PeopleService>,
    id: PathId,
    extensions: Extensions,
) -> Result<Response, Error> {
    let request = v1::GetPersonRequest { id: parse_id(id)? };
    let response = people.get_person(&Caller::of(&extensions)?.project, request).await?;
    Ok(Json(to_json("GetPersonResponse", &response)).into_response())
}

async fn sessions(
    State(people): State<PeopleService>,
    id: PathId,
    fields: PageFields,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Fields { page_size, page_token, .. } = parse(fields)?;
    let request = v1::ListSessionsRequest { id: parse_id(id)?, page_size, page_token };
    let response = people.list_sessions(&Caller::of(&extensions)?.project, request).await?;
    Ok(Json(to_json("ListSessionsResponse", &response)).into_response())
}

async fn timeline(
    State(people): State<PeopleService>,
    id: PathId,
    fields: PageFields,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Fields { page_size, page_token, .. } = parse(fields)?;
    let request = v1::GetTimelineRequest { id: parse_id(id)?, filter: None, page_size, page_token };
    let response = people.get_timeline(&Caller::of(&extensions)?.project, request).await?;
    Ok(Json(to_json("GetTimelineResponse", &response)).into_response())
}

/// axum's own response to an id that is not UTF-8 is not a problem document.
fn parse_id(id: PathId) -> Result<String, Error> {
    id.map(|Path(id)| id).map_err(|error| Error::invalid(format!("the person's id: {error}")))
}

fn parse(fields: PageFields) -> Result<Fields, Error> {
    fields.map(|Query(fields)| fields).map_err(|error| Error::invalid(error.body_text()))
}
