//! The OpenAPI 3.1 document of the HTTP API at `/api/openapi.json`, and a page that shows it at `/api/docs`.
//!
//! Schemas and their descriptions come from the descriptors of the contracts, so they cannot differ from the responses. The
//! operations are listed here; `tests/it/openapi.rs` compares them with the routes.

mod schema;

use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::access::{HttpRoutes, Requirement};
use crate::dashboard;
use crate::ingest::{self, MAX_SEND_EVENTS};
use crate::proto::json::descriptor;
use schema::Schemas;

const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
const PAGE_SECURITY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds the routes. They tell what this repository tells: no key is required.
pub(crate) fn add_routes(routes: HttpRoutes) -> HttpRoutes {
    let document = document().to_string();
    let file = |media_type: &'static str, content: String| {
        get(async move || {
            let headers = [
                (CONTENT_TYPE, media_type),
                (CACHE_CONTROL, "no-cache"),
                (CONTENT_SECURITY_POLICY, PAGE_SECURITY),
            ];
            (headers, content).into_response()
        })
    };
    routes
        .route("/api/openapi.json", Requirement::Open, file("application/json", document))
        .route("/api/docs", Requirement::Open, file("text/html; charset=utf-8", PAGE.to_owned()))
        .route("/api/docs.js", Requirement::Open, file("text/javascript; charset=utf-8", SCRIPT.to_owned()))
}

/// The document.
fn document() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = serde_json::Map::new();
    add_health(&mut paths, &mut schemas);
    add_ingest(&mut paths, &mut schemas);
    add_panels(&mut paths, &mut schemas);
    add_explore(&mut paths, &mut schemas);
    add_events(&mut paths, &mut schemas);
    add_people(&mut paths, &mut schemas);
    add_insights(&mut paths, &mut schemas);
    add_catalogue(&mut paths, &mut schemas);
    add_session(&mut paths);
    for (path, summary, media_type) in [
        ("/api/openapi.json", "This document", "application/json"),
        ("/api/docs", "This document as a page", "text/html"),
        ("/api/docs.js", "The script of the page", "text/javascript"),
    ] {
        paths.insert(
            path.to_owned(),
            json!({ "get": operation(summary, json!({ "200": content(media_type, json!({})) })) }),
        );
    }
    schemas.0.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millrace",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The HTTP API. The gRPC services are described by gRPC reflection.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas.0 },
    })
}

/// RFC 9457.
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a request failed (RFC 9457).",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "Names the thing, the value and the way out." },
        },
        "required": ["status", "detail"],
    })
}

/// An operation whose other responses are problem documents.
fn operation(summary: &str, mut responses: Value) -> Value {
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    responses["default"] = content("application/problem+json", problem);
    responses["default"]["description"] = "Why the request failed.".into();
    json!({ "summary": summary, "responses": responses })
}

fn content(media_type: &str, schema: Value) -> Value {
    json!({ "description": "", "content": { media_type: { "schema": schema } } })
}

fn add_health(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    let text = || content("text/plain", json!({ "type": "string" }));
    let probe = |summary, responses| json!({ "get": operation(summary, responses) });
    paths.insert("/livez".to_owned(), probe("Whether the process runs", json!({ "200": text() })));
    paths.insert(
        "/readyz".to_owned(),
        probe("Whether events are accepted", json!({ "200": text(), "503": text() })),
    );
    paths.insert(
        "/metrics".to_owned(),
        probe("Metrics in Prometheus's text format", json!({ "200": text() })),
    );
    let health = schemas.reference(&descriptor("Health"));
    // src/health/http.rs writes these fields differently.
    let schema = &mut schemas.0["Health"];
    schema["properties"]["status"] = json!({ "type": "string", "enum": ["ok", "degraded", "down"] });
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.remove("uptime");
        fields.insert("uptime_seconds".to_owned(), json!({ "type": "number" }));
    }
    let responses = json!({ "200": content("application/json", health) });
    paths.insert("/health".to_owned(), probe("The health of the server and its parts", responses));
}

fn add_ingest(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    let event = schemas.reference(&descriptor("Event"));
    schemas.0["Event"]["required"] = json!(["event_name", "timestamp"]);
    let result = schemas.reference(&descriptor("SendEventsResponse"));
    let events = json!({ "type": "array", "items": event, "maxItems": MAX_SEND_EVENTS });
    let mut post = operation("Sends events", json!({ "200": content("application/json", result.clone()) }));
    post["description"] = "At most one of properties and properties_json may be set. The body may be compressed: gzip, zstd or br."
        .into();
    let mut rejected = content("application/json", result);
    rejected["description"] = "Every event is rejected, or the body is invalid.".into();
    rejected["content"]["application/problem+json"] =
        json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    post["responses"]["400"] = rejected;
    post["parameters"] = json!([{
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A request that is sent again with the same key counts its events once.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 256 },
    }, {
        "name": "Millrace-Sent-To-Another-Server",
        "in": "header",
        "description": "Whether the request was sent to another server of the same ClickHouse and not acknowledged. Its events with an \
            event_id, or with an Idempotency-Key, then count once.",
        "schema": { "type": "boolean" },
    }]);
    post["requestBody"] = json!({ "required": true, "content": {
        "application/json": { "schema": events },
        "text/plain": { "schema": { "type": "string", "description": "The same JSON, for navigator.sendBeacon." } },
        "application/x-ndjson": { "schema": { "type": "string", "description": "An event per line." } },
    } });
    paths.insert("/events".to_owned(), json!({ "post": post }));

    let success = json!({ "type": "object", "properties": { "success": { "type": "boolean" } }, "required": ["success"] });
    for (path, call) in ingest::segment::paths() {
        let mut post = operation(
            &format!("Segment's tracking API: {call}"),
            json!({ "200": content("application/json", success.clone()) }),
        );
        let schema = match call {
            "batch" => json!({
                "type": "object",
                "properties": { "batch": { "type": "array", "items": { "type": "object" } }, "sentAt": { "type": "string" } },
                "required": ["batch"],
            }),
            "track" => json!({
                "type": "object",
                "properties": { "event": { "type": "string", "minLength": 1 } },
                "required": ["event"],
            }),
            _ => json!({ "type": "object" }),
        };
        post["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        paths.insert(path.to_owned(), json!({ "post": post }));
    }

    let mut post = operation(
        "OpenTelemetry's logs (OTLP/HTTP)",
        json!({ "200": content("application/json", json!({ "type": "object" })) }),
    );
    let request = json!({ "type": "object", "description": "ExportLogsServiceRequest of OTLP." });
    post["requestBody"] = json!({ "required": true, "content": {
        "application/json": { "schema": request },
        "application/x-protobuf": { "schema": { "type": "string", "format": "binary" } },
    } });
    paths.insert("/v1/logs".to_owned(), json!({ "post": post }));
}

/// The log-in of people.
fn add_session(paths: &mut serde_json::Map<String, Value>) {
    let text = || json!({ "type": "string" });
    let caller = json!({
        "type": ["object", "null"],
        "description": "Who the caller is; null without valid credentials, and on a server without keys.",
        "properties": {
            "project": text(),
            "scope": text(),
            "key_id": { "type": ["string", "null"] },
            "can_log_out": { "type": "boolean" },
            "name": { "type": "string", "description": "Of a person who has logged in without a key, like role and projects." },
            "role": { "type": "string", "enum": ["viewer", "editor", "admin"], "description": "In the current project." },
            "projects": { "type": "array", "items": text() },
        },
    });
    let session = json!({
        "type": "object",
        "properties": {
            "required": { "type": "boolean", "description": "Whether the server requires keys." },
            "log_in": { "type": "array", "items": { "type": "string", "enum": ["key", "oidc"] } },
            "oidc": {
                "type": "object",
                "description": "The OpenID Connect provider, if there is one.",
                "properties": { "name": text(), "url": text() },
            },
            "problem": { "type": "string", "description": "Why a person whom a proxy names has no role." },
            "caller": caller,
        },
    });
    let cookie = json!({ "204": { "description": "The header Set-Cookie has the session." } });
    let mut log_in = operation("Logs in with a read or admin key", cookie.clone());
    let key = json!({ "type": "object", "properties": { "key": text() }, "required": ["key"] });
    log_in["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": key } } });
    let get = operation("Who the caller is", json!({ "200": content("application/json", session) }));
    let operations = json!({ "get": get, "post": log_in, "delete": operation("Logs out", cookie) });
    paths.insert("/api/session".to_owned(), operations);

    let chosen = json!({ "204": { "description": "The header Set-Cookie has the choice." } });
    let mut choose = operation("Chooses the project whose panels a person reads", chosen);
    let project = json!({ "type": "object", "properties": { "project": text() }, "required": ["project"] });
    choose["requestBody"] =
        json!({ "required": true, "content": { "application/json": { "schema": project } } });
    paths.insert("/api/session/project".to_owned(), json!({ "put": choose }));

    let redirect =
        |to: &str| json!({ "303": { "description": format!("Leads to {to}. 404 without a provider.") } });
    let begin = operation("Logs a person in with OpenID Connect", redirect("the provider"));
    paths.insert("/api/session/oidc".to_owned(), json!({ "get": begin }));
    let complete = operation("Where the provider sends the browser back", redirect("the page"));
    paths.insert("/api/session/oidc/callback".to_owned(), json!({ "get": complete }));
}

fn add_panels(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    let list = schemas.reference(&descriptor("ListPanelsResponse"));
    let get = operation("Lists the panels", json!({ "200": content("application/json", list) }));
    paths.insert("/api/panels".to_owned(), json!({ "get": get }));

    let parameter = |name: &str, place: &str, description: &str, schema: Value| json!({ "name": name, "in": place, "required": place == "path", "description": description, "schema": schema });
    let text = || json!({ "type": "string" });
    let names = dashboard::request::query_values();
    let query = [
        parameter(
            "range",
            "query",
            "The time range; 1h by default.",
            json!({ "type": "string", "enum": names.ranges }),
        ),
        parameter("from", "query", "Start of the range instead: a date, or a time in RFC 3339.", text()),
        parameter("to", "query", "End of the range, with from; now by default.", text()),
        parameter("time_zone", "query", "An IANA time zone; UTC by default.", text()),
        parameter(
            "bucket",
            "query",
            "The width of buckets.",
            json!({ "type": "string", "enum": names.buckets }),
        ),
        parameter(
            "filter",
            "query",
            "dimension:value. Several values of a dimension mean any of them, several dimensions all of them.",
            json!({ "type": "array", "items": { "type": "string" } }),
        ),
        json!({
            "name": "parameters",
            "in": "query",
            "description": "The parameters of the panel, such as limit=10.",
            "schema": { "type": "object", "additionalProperties": { "type": "string" } },
        }),
    ];
    let compare = parameter(
        "compare",
        "query",
        "The earlier period to compare with.",
        json!({ "type": "string", "enum": names.comparisons }),
    );
    let result = schemas.reference(&descriptor("QueryPanelResponse"));
    let mut get = operation("Queries any panel", json!({ "200": content("application/json", result) }));
    let name = parameter("name", "path", "The panel's name.", text());
    get["parameters"] = [name].into_iter().chain(query.clone()).chain([compare]).collect();
    paths.insert("/api/panels/{name}".to_owned(), json!({ "get": get }));

    // WatchPanelsResponse has a field for each built-in panel, named like the panel.
    let update = descriptor("WatchPanelsResponse");
    let typed = update.fields().filter_map(|field| match field.kind() {
        prost_reflect::Kind::Message(message) if message.name().starts_with("Get") => {
            Some((field.name().replace('_', "-"), message))
        }
        _ => None,
    });
    let (panels, messages): (Vec<_>, Vec<_>) = typed.unzip();
    let results: Vec<_> = messages.iter().map(|message| schemas.reference(message)).collect();
    let responses = json!({ "200": content("application/json", json!({ "anyOf": results })) });
    let mut get = operation("Queries a built-in panel, with a typed result", responses);
    let name = parameter("name", "path", "The panel's name.", json!({ "type": "string", "enum": panels }));
    get["parameters"] = [name].into_iter().chain(query).collect();
    paths.insert("/api/dashboard/{name}".to_owned(), json!({ "get": get }));
}

/// The queries of Explore.
fn add_explore(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    for (path, summary, request, response) in [
        ("trend", "Figures over time of any events", "QueryTrendRequest", "QueryTrendResponse"),
        ("funnel", "How many go from step to step", "QueryFunnelRequest", "QueryFunnelResponse"),
        ("retention", "How many come back", "QueryRetentionRequest", "QueryRetentionResponse"),
        ("paths", "What visitors do before or after an event", "QueryPathsRequest", "QueryPathsResponse"),
        ("people", "The people that a figure counts", "ListPeopleRequest", "ListPeopleResponse"),
        ("sql", "The result of an SQL statement", "QuerySqlRequest", "QuerySqlResponse"),
    ] {
        let response = schemas.reference(&descriptor(response));
        let mut post = operation(summary, json!({ "200": content("application/json", response) }));
        let request = schemas.reference(&descriptor(request));
        post["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": request } } });
        paths.insert(format!("/api/query/{path}"), json!({ "post": post }));
    }
}

fn add_events(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    let parameter = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    let text = || json!({ "type": "string" });
    let number =
        |minimum: u32, maximum: u32| json!({ "type": "integer", "minimum": minimum, "maximum": maximum });
    let filters = [
        parameter(
            "filter",
            "field:value. Several values of a field mean any of them, several fields all of them.",
            json!({ "type": "array", "items": { "type": "string" } }),
        ),
        parameter("filter_json", "An EventFilter as JSON, for every other condition.", text()),
    ];

    let page = schemas.reference(&descriptor("SearchEventsResponse"));
    let mut get = operation(
        "Searches stored events, the newest first",
        json!({ "200": content("application/json", page) }),
    );
    let ranges = dashboard::request::query_values().ranges;
    let range = [
        parameter("range", "The time range; 7d by default.", json!({ "type": "string", "enum": ranges })),
        parameter("from", "Start of the range instead: a date, or a time in RFC 3339.", text()),
        parameter("to", "End of the range, with from; now by default.", text()),
        parameter("time_zone", "An IANA time zone; UTC by default.", text()),
    ];
    let paging = [
        parameter("page_size", "Events per page; 50 by default.", number(1, 500)),
        parameter(
            "page_token",
            "next_page_token of the page before, with the same filter and range.",
            text(),
        ),
    ];
    get["parameters"] = range.into_iter().chain(filters.clone()).chain(paging).collect();
    paths.insert("/api/events".to_owned(), json!({ "get": get }));

    schemas.reference(&descriptor("TailEventsResponse"));
    let mut get = operation(
        "Follows events as they are accepted",
        json!({ "200": content("text/event-stream", text()) }),
    );
    get["description"] =
        "Server-sent events that do not end. The data of each is a TailEventsResponse as JSON.".into();
    let limits = [
        parameter("max_per_second", "At most this many events per second; 20 by default.", number(1, 1_000)),
        parameter("recent", "How many stored events come first; 100 by default.", number(0, 100)),
    ];
    get["parameters"] = filters.into_iter().chain(limits).collect();
    paths.insert("/api/events/tail".to_owned(), json!({ "get": get }));

    let list = schemas.reference(&descriptor("ListRejectedEventsResponse"));
    let mut get =
        operation("Lists the last rejected events", json!({ "200": content("application/json", list) }));
    get["parameters"] = json!([parameter("limit", "How many; 100 by default.", number(1, 1_000))]);
    paths.insert("/api/events/rejected".to_owned(), json!({ "get": get }));

    let list = schemas.reference(&descriptor("ListSourcesResponse"));
    let get = operation("Lists who sends events", json!({ "200": content("application/json", list) }));
    paths.insert("/api/sources".to_owned(), json!({ "get": get }));
}

fn add_people(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    let text = || json!({ "type": "string" });
    let field = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    let page = |max: u32| {
        let size = json!({ "type": "integer", "minimum": 0, "maximum": max });
        [
            field("page_size", "The largest number of results; 0 for the default.", size),
            field("page_token", "next_page_token of the previous page.", text()),
        ]
    };
    let id = json!({ "name": "id", "in": "path", "required": true, "description": "A user_id or a session_id.", "schema": text() });
    let search = [
        field("search", "The beginning of an id.", text()),
        field("trait", "The name of a trait; with value.", text()),
        field("value", "The value of the trait.", text()),
    ];
    let mut add = |path: &str, summary: &str, message: &str, parameters: Vec<Value>| {
        let result = schemas.reference(&descriptor(message));
        let mut get = operation(summary, json!({ "200": content("application/json", result) }));
        get["parameters"] = parameters.into();
        paths.insert(path.to_owned(), json!({ "get": get }));
    };
    let search = search.into_iter().chain(page(100)).collect();
    add("/api/people", "Finds people by id or by a trait", "SearchPeopleResponse", search);
    add("/api/people/{id}", "What is known about a person", "GetPersonResponse", vec![id.clone()]);
    let below = |max| [id.clone()].into_iter().chain(page(max)).collect();
    add("/api/people/{id}/sessions", "The sessions of a person", "ListSessionsResponse", below(100));
    add("/api/people/{id}/timeline", "The events of a person", "GetTimelineResponse", below(1_000));
}

/// Insights and dashboards.
fn add_insights(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    for (path, message, list) in [
        ("insights", "Insight", "ListInsightsResponse"),
        ("dashboards", "Dashboard", "ListDashboardsResponse"),
        ("annotations", "Annotation", "ListAnnotationsResponse"),
    ] {
        let list = schemas.reference(&descriptor(list));
        let get =
            operation(&format!("Lists the {path}"), json!({ "200": content("application/json", list) }));
        paths.insert(format!("/api/{path}"), json!({ "get": get }));

        let schema = schemas.reference(&descriptor(message));
        let word = message.to_lowercase();
        let mut document = content("application/json", schema.clone());
        document["headers"] = json!({ "ETag": {
            "description": "The version of the file. Absent without a file.",
            "schema": { "type": "string" },
        } });
        let name = json!({
            "name": "name",
            "in": "path",
            "required": true,
            "description": format!("The name of the {word}."),
            "schema": { "type": "string" },
        });
        let if_match = json!({
            "name": "If-Match",
            "in": "header",
            "description": "The ETag of the version that is changed. Required if there is a file.",
            "schema": { "type": "string" },
        });
        let get = operation(&format!("Returns the {word}"), json!({ "200": document.clone() }));
        let mut put = operation(&format!("Saves the {word}"), json!({ "200": document }));
        put["description"] =
            "428 if there is a file and no If-Match, 412 if the file has changed since then.".into();
        put["parameters"] = json!([if_match.clone()]);
        put["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        let deleted = json!({ "204": { "description": "The file is deleted." } });
        let mut delete = operation(&format!("Deletes the {word}"), deleted);
        delete["parameters"] = json!([if_match]);
        let operations = json!({ "parameters": [name], "get": get, "put": put, "delete": delete });
        paths.insert(format!("/api/{path}/{{name}}"), operations);
    }
}

/// What there is to ask about.
fn add_catalogue(paths: &mut serde_json::Map<String, Value>, schemas: &mut Schemas) {
    let field = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    let text = |name: &str, description: &str| field(name, description, json!({ "type": "string" }));
    let number = |name: &str, description: &str, maximum: u32| {
        field(name, description, json!({ "type": "integer", "minimum": 0, "maximum": maximum }))
    };
    let days = number("days", "How many days, today (UTC) included; 0 for the default.", 90);
    let limit = number("limit", "The largest number of results; 0 for the default.", 1_000);
    let prefix = text("prefix", "Only those that begin with this text.");
    let contains = text("contains", "Only those that contain this text.");
    let event_name = text("event_name", "Of this event; of all without it.");
    let mut name = text("field", "The field, as in a filter.");
    name["required"] = true.into();
    for (path, summary, message, parameters) in [
        (
            "events",
            "The names of the events",
            "ListEventNamesResponse",
            json!([prefix, contains, days, limit]),
        ),
        (
            "properties",
            "The keys of the properties",
            "ListPropertiesResponse",
            json!([event_name, contains, days, limit]),
        ),
        (
            "values",
            "The most frequent values of a field",
            "ListValuesResponse",
            json!([event_name, name, prefix, days, limit]),
        ),
    ] {
        let result = schemas.reference(&descriptor(message));
        let mut get = operation(summary, json!({ "200": content("application/json", result) }));
        get["parameters"] = parameters;
        paths.insert(format!("/api/catalogue/{path}"), json!({ "get": get }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_defined_and_described() {
        let document = document();
        let text = document.to_string();
        let mut references = 0;
        for reference in text.split("\"$ref\":\"").skip(1) {
            let pointer = reference.split('"').next().unwrap().trim_start_matches('#');
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{pointer}");
            references += 1;
        }
        assert!(references > 30, "{references}");
        let description = document.pointer("/components/schemas/Event/properties/event_name/description");
        assert!(
            description.and_then(Value::as_str).is_some_and(|text| !text.is_empty()),
            "from the contract"
        );
        let views = document.pointer("/components/schemas/Page/properties/views/type").unwrap();
        assert_eq!(views, "integer");
    }
}
