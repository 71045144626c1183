//! Events as JSON: `/api/events`, `/api/events/tail` (server-sent events), `/api/events/rejected` and `/api/sources`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Extensions;
use tokio_stream::StreamExt as _;

use super::EventsError;
use super::grpc::EventsHandler;
use super::search::PageRequest;
use crate::access::{Caller, HttpRoutes, Requirement};
use crate::dashboard::request::http_range;
use crate::edge;
use crate::error::Error;
use crate::panels::abbreviate;
use crate::panels::range::TimeRange;
use crate::proto::json::{from_json, to_json};
use crate::proto::v1;
use v1::event_filter::Condition;

/// Adds the routes below `/api/events`.
pub(crate) fn add_routes(routes: HttpRoutes, handler: EventsHandler) -> HttpRoutes {
    routes
        .route("/api/events", Requirement::Read, get(search).with_state(handler.clone()))
        .route("/api/events/tail", Requirement::Read, get(tail).with_state(handler.clone()))
        .route("/api/events/rejected", Requirement::Read, get(rejected).with_state(handler.clone()))
        .route("/api/sources", Requirement::Read, get(sources).with_state(handler))
}

/// The parameters of a request. What is not taken is not known.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Removes a parameter; `None` if it is missing or empty.
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1).filter(|value| !value.is_empty())
    }

    fn take_number(&mut self, name: &str) -> Result<Option<u32>, Error> {
        let invalid =
            |value: &str| Error::invalid(format!("{name}: {:?} is not a whole number", abbreviate(value)));
        self.take(name).map(|value| value.parse().map_err(|_| invalid(&value))).transpose()
    }

    /// `filter` is `field:value`, any number of times: several values of a field mean any of them. `filter_json` is an
    /// EventFilter. Both together have to be met.
    fn take_filter(&mut self) -> Result<Option<v1::EventFilter>, Error> {
        let mut by_field = BTreeMap::<String, Vec<String>>::new();
        while let Some(at) = self.0.iter().position(|(name, _)| name == "filter") {
            let (_, filter) = self.0.remove(at);
            let (field, value) = filter.split_once(':').ok_or_else(|| {
                Error::invalid(format!(
                    "filter: {:?} is invalid; expected a field and a value, such as country_code:DE",
                    abbreviate(&filter)
                ))
            })?;
            by_field.entry(field.to_owned()).or_default().push(value.to_owned());
        }
        let mut filters: Vec<_> = by_field
            .into_iter()
            .map(|(field, values)| {
                let operator = v1::FieldOperator::Is.into();
                let condition = Condition::Field(v1::FieldCondition { field, operator, values });
                v1::EventFilter { condition: Some(condition) }
            })
            .collect();
        if let Some(json) = self.take("filter_json") {
            let parsed = from_json("EventFilter", &json);
            filters.push(parsed.map_err(|error| EventsError::FilterJson(error.to_string()))?);
        }
        let all = Condition::All(v1::EventFilterList { filters });
        Ok(Some(v1::EventFilter { condition: Some(all) }))
    }

    fn finish(self, known: &str) -> Result<(), Error> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::invalid(format!(
                "{:?} is not a parameter, or given twice; there are {known}",
                abbreviate(name)
            ))),
        }
    }
}

async fn search(
    State(handler): State<EventsHandler>,
    Query(fields): Query<Vec<(String, String)>>,
    extensions: Extensions,
) -> Result<Response, Error> {
    let project = Caller::of(&extensions)?.project;
    let mut parameters = Parameters(fields);
    let filter = parameters.take_filter()?;
    let (range, time_zone) = http_range(&mut |name| parameters.take(name))?;
    let request = PageRequest {
        filter,
        range: range.unwrap_or(TimeRange::Week),
        time_zone,
        page_size: parameters.take_number("page_size")?,
        page_token: parameters.take("page_token").unwrap_or_default(),
    };
    parameters.finish("range, from, to, time_zone, filter, filter_json, page_size and page_token")?;
    let page = handler.search.page(&project, request).await?;
    Ok(Json(to_json("SearchEventsResponse", &page)).into_response())
}

async fn tail(
    State(handler): State<EventsHandler>,
    Query(fields): Query<Vec<(String, String)>>,
    extensions: Extensions,
) -> Result<Response, Error> {
    let Caller { project, revoked, .. } = Caller::of(&extensions)?;
    let mut parameters = Parameters(fields);
    let request = v1::TailEventsRequest {
        filter: parameters.take_filter()?,
        max_per_second: parameters.take_number("max_per_second")?,
        recent: parameters.take_number("recent")?,
    };
    parameters.finish("filter, filter_json, max_per_second and recent")?;
    let stop = edge::connection_shutdown(&extensions, &handler.stop);
    let messages = handler.tails.start(project, request).await?;
    let ended = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = revoked.cancelled() => {}
        }
    };
    let messages = futures_util::StreamExt::take_until(messages, Box::pin(ended));
    let events = messages.map(|message| {
        Ok::<_, Infallible>(Event::default().data(to_json("TailEventsResponse", &message).to_string()))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn rejected(
    State(handler): State<EventsHandler>,
    Query(fields): Query<Vec<(String, String)>>,
    extensions: Extensions,
) -> Result<Response, Error> {
    let project = Caller::of(&extensions)?.project;
    let mut parameters = Parameters(fields);
    let limit = parameters.take_number("limit")?;
    parameters.finish("limit")?;
    let list = handler.list_rejected(&project, limit)?;
    Ok(Json(to_json("ListRejectedEventsResponse", &list)).into_response())
}

async fn sources(State(handler): State<EventsHandler>, extensions: Extensions) -> Result<Response, Error> {
    let project = Caller::of(&extensions)?.project;
    Ok(Json(to_json("ListSourcesResponse", &handler.list_sources(&project))).into_response())
}
