//! `GET /health` and `GET /readyz`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use super::HealthView;
use crate::access::{HttpRoutes, Requirement};
use crate::proto::json::to_json;
use crate::proto::v1;

/// Adds the routes `/health` and `/readyz`.
pub(crate) fn add_routes(routes: HttpRoutes, view: HealthView) -> HttpRoutes {
    let health = get(async |State(view): State<HealthView>| Json(health_json(&view.current())));
    routes.route("/readyz", Requirement::Open, get(readyz).with_state(view.clone())).route(
        "/health",
        Requirement::Read,
        health.with_state(view),
    )
}

/// 503 if no events are accepted.
async fn readyz(State(view): State<HealthView>) -> Response {
    let health = view.current();
    let status =
        if health.status() == v1::Status::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, format!("{}\n", health.summary)).into_response()
}

/// HealthService's message as people and scripts expect it: `status` is "ok", "degraded" or "down", and the time since the
/// start is the number `uptime_seconds`.
fn health_json(health: &v1::Health) -> Value {
    let mut json = to_json("Health", health);
    let status = match health.status() {
        v1::Status::Unspecified | v1::Status::Down => "down",
        v1::Status::Degraded => "degraded",
        v1::Status::Ok => "ok",
    };
    json["status"] = status.into();
    if let Some(fields) = json.as_object_mut() {
        fields.remove("uptime");
    }
    let uptime = health.uptime.unwrap_or_default();
    json["uptime_seconds"] = json!(uptime.seconds as f64 + f64::from(uptime.nanos / 1_000_000) / 1e3);
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_numbers_and_the_status_is_a_word() {
        let health = v1::Health {
            status: v1::Status::Degraded.into(),
            buffer_size: 7,
            last_flush: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            uptime: Some(prost_types::Duration { seconds: 3, nanos: 250_999_999 }),
            clickhouse: Some(v1::ClickHouseHealth { engine_restarts: 2, ..Default::default() }),
            ..Default::default()
        };
        let json = health_json(&health);
        assert_eq!((&json["status"], &json["buffer_size"]), (&json!("degraded"), &json!(7)));
        assert_eq!(
            (&json["last_flush"], &json["uptime_seconds"]),
            (&json!("2027-01-15T08:00:00Z"), &json!(3.25))
        );
        assert_eq!((&json["clickhouse"]["engine_restarts"], &json["uptime"]), (&json!(2), &Value::Null));
        for (status, word) in [(v1::Status::Ok, "ok"), (v1::Status::Down, "down")] {
            assert_eq!(
                health_json(&v1::Health { status: status.into(), ..Default::default() })["status"],
                word
            );
        }
    }
}
