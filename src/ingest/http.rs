//! `POST /events`: a JSON array of events, for what has no gRPC.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::value::RawValue;

use super::receive::{MAX_REJECTIONS, Receiver};
use crate::error::Error;
use crate::proto::json::{from_json, to_json};
use crate::proto::v1;

/// How many events one request may hold, as with SendEvents.
const MAX_EVENTS: usize = 500;

/// The route `/events`.
pub fn routes(receiver: Receiver, max_body_bytes: usize) -> Router {
    Router::new()
        .route("/events", post(take))
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .with_state(receiver)
}

async fn take(
    State(receiver): State<Receiver>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let body =
        body.map_err(|refused| Error::invalid(format!("the body cannot be read: {}", refused.body_text())))?;
    let elements: Vec<&RawValue> = serde_json::from_slice(&body).map_err(|error| {
        Error::invalid(format!(
            "the body is not a JSON array of events: {error}; send [{{\"event_name\": …}}, …]"
        ))
    })?;
    if elements.len() > MAX_EVENTS {
        return Err(Error::invalid(format!(
            "{} events were sent; at most {MAX_EVENTS} are taken: send them in parts, or use gRPC",
            elements.len()
        )));
    }
    let (mut events, mut places, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, element) in (0_u32..).zip(elements) {
        match from_json::<v1::Event>("Event", element.get()) {
            Ok(event) => {
                events.push(event);
                places.push(index);
            }
            Err(reason) => unreadable.push(v1::Rejection { index, reason, ..Default::default() }),
        }
    }
    let mut received = receiver.receive(0, String::new(), 0, &events)?;
    for rejection in &mut received.rejections {
        rejection.index = places[rejection.index as usize];
    }
    receiver.writer.stats().count_rejected(unreadable.len() as u64);
    let promise = receiver.writer.try_submit(received.request).await?;
    let receipt = promise.await?;
    let rejected = received.rejected + unreadable.len() as u64;
    let mut rejections = received.rejections;
    rejections.append(&mut unreadable);
    rejections.sort_by_key(|rejection| rejection.index);
    rejections.truncate(MAX_REJECTIONS);
    let none = receipt.accepted + receipt.duplicates == 0 && rejected > 0;
    let response = v1::SendEventsResponse {
        accepted: receipt.accepted,
        rejected,
        duplicates: receipt.duplicates,
        rejections,
        last_durable_sequence: 0,
    };
    let status = if none { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok((status, Json(to_json("SendEventsResponse", &response))).into_response())
}
