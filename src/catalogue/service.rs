//! The calls of CatalogueService, for gRPC and HTTP.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::names;
use super::properties::{self, Key, KeysOf};
use super::task::Mark;
use super::values;
use crate::access::Caller;
use crate::explore::error::ExploreError;
use crate::explore::messages::cost;
use crate::explore::runner::Runner;
use crate::filter::field::OwnField;
use crate::filter::{Field, check_event_name};
use crate::properties::{Properties, PropertyType, Role};
use crate::proto::{timestamp_from_millis, v1};

const DAY_SECONDS: i64 = 86_400;
const MAX_DAYS: u32 = 90;
const MAX_LIMIT: u32 = 1_000;
const MAX_SEARCH_BYTES: usize = 500;

/// Answers questions about what there is to ask about. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CatalogueService {
    runner: Runner,
    mark: Mark,
    properties: watch::Receiver<Arc<Properties>>,
}

/// What all lists have in common. Times are in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing {
    pub(super) now: i64,
    /// The start of the first day that is counted.
    pub(super) since: i64,
    pub(super) limit: usize,
}

impl Listing {
    fn new(days: u32, default_days: u32, limit: u32, default_limit: u32) -> Result<Self, ExploreError> {
        let number = |name: &str, given: u32, default: u32, max: u32| match given {
            0 => Ok(default),
            given if given <= max => Ok(given),
            given => Err(ExploreError::Invalid(format!("{name}: {given} is given; expected 1 to {max}"))),
        };
        let days = number("days", days, default_days, MAX_DAYS)?;
        let limit = number("limit", limit, default_limit, MAX_LIMIT)?;
        let now = Timestamp::now().as_second();
        let today = now - now.rem_euclid(DAY_SECONDS);
        Ok(Self { now, since: today - i64::from(days - 1) * DAY_SECONDS, limit: limit as usize })
    }
}

fn check_search(name: &str, text: &str) -> Result<(), ExploreError> {
    if text.len() <= MAX_SEARCH_BYTES {
        return Ok(());
    }
    let (bytes, text) = (text.len(), crate::panels::abbreviate(text));
    Err(ExploreError::Invalid(format!(
        "{name}: {text:?} has {bytes} bytes; the maximum is {MAX_SEARCH_BYTES}"
    )))
}

fn seconds(time: i64) -> Option<prost_types::Timestamp> {
    Some(timestamp_from_millis(time * 1_000))
}

impl CatalogueService {
    pub(crate) fn new(runner: Runner, mark: Mark, properties: watch::Receiver<Arc<Properties>>) -> Self {
        Self { runner, mark, properties }
    }

    /// ListEventNames.
    pub(crate) async fn list_event_names(
        &self,
        caller: &Caller,
        request: v1::ListEventNamesRequest,
    ) -> Result<v1::ListEventNamesResponse, ExploreError> {
        let listing = Listing::new(request.days, 30, request.limit, 100)?;
        check_search("prefix", &request.prefix)?;
        check_search("contains", &request.contains)?;
        let mut execution = self.runner.start(&caller.id(), &caller.project).await?;
        let (names, total) =
            names::list(&listing, &request.prefix, &request.contains, &mut execution).await?;
        let day = |(start, events)| v1::EventNameDay { start: seconds(start), events };
        let names = names.into_iter().map(|name| v1::EventName {
            name: name.name,
            events: name.events,
            days: name.days.into_iter().map(day).collect(),
            first_seen: seconds(name.first_seen),
            last_seen: seconds(name.last_seen),
            stopped_since: name.has_stopped.then(|| timestamp_from_millis(name.last_seen * 1_000)),
        });
        Ok(v1::ListEventNamesResponse { names: names.collect(), total, cost: Some(cost(execution.cost)) })
    }

    /// ListProperties.
    pub(crate) async fn list_properties(
        &self,
        caller: &Caller,
        request: v1::ListPropertiesRequest,
    ) -> Result<v1::ListPropertiesResponse, ExploreError> {
        let listing = Listing::new(request.days, 7, request.limit, 100)?;
        check_search("contains", &request.contains)?;
        let event_name = check_event_name(&request.event_name)?;
        let declared = Arc::clone(&self.properties.borrow());
        let mut execution = self.runner.start(&caller.id(), &caller.project).await?;
        let mut other_events = 0;
        let mut listed = Vec::new();
        if !event_name.is_empty() {
            let of_event = KeysOf::Event(&event_name, *self.mark.borrow());
            let (keys, others) =
                properties::list(&listing, &request.contains, of_event, &mut execution).await?;
            other_events += others;
            listed.extend(keys.into_iter().map(|key| property(key, true, &event_name, &declared)));
        }
        let (keys, others) =
            properties::list(&listing, &request.contains, KeysOf::Others(&event_name), &mut execution)
                .await?;
        let of_event: HashSet<String> = listed.iter().map(|property| property.key.clone()).collect();
        if event_name.is_empty() {
            other_events += others;
        }
        let others = keys.into_iter().filter(|key| !of_event.contains(&key.name));
        listed.extend(others.map(|key| property(key, false, &event_name, &declared)));
        let contains = request.contains.to_lowercase();
        let own = OwnField::ALL.iter().map(|(name, _)| *name).filter(|name| name.contains(&contains));
        listed.extend(own.map(|name| v1::CatalogueProperty {
            key: name.to_owned(),
            field: name.to_owned(),
            is_own: true,
            of_event: true,
            ..Default::default()
        }));
        Ok(v1::ListPropertiesResponse { properties: listed, other_events, cost: Some(cost(execution.cost)) })
    }

    /// ListValues.
    pub(crate) async fn list_values(
        &self,
        caller: &Caller,
        request: v1::ListValuesRequest,
    ) -> Result<v1::ListValuesResponse, ExploreError> {
        let listing = Listing::new(request.days, 7, request.limit, 50)?;
        check_search("prefix", &request.prefix)?;
        let event_name = check_event_name(&request.event_name)?;
        let declared = Arc::clone(&self.properties.borrow());
        let field = Field::parse(&request.field, &declared)
            .map_err(|source| ExploreError::Field { name: "field", source })?;
        let mut execution = self.runner.start(&caller.id(), &caller.project).await?;
        let found = if field == Field::Own(OwnField::EventName) {
            let (names, _) = names::list(&listing, &request.prefix, "", &mut execution).await?;
            let names = names.into_iter().filter(|name| event_name.is_empty() || name.name == event_name);
            let names = names.filter(|name| name.events > 0).map(|name| (name.name, name.events));
            values::Values {
                values: names.collect(),
                start: listing.since * 1_000,
                end: None,
                is_from_rollup: true,
                others: 0,
            }
        } else {
            values::list(&listing, &event_name, &field, &request.prefix, &declared, &mut execution).await?
        };
        let values = found.values.into_iter().map(|(value, events)| v1::FieldValue { value, events });
        Ok(v1::ListValuesResponse {
            values: values.collect(),
            start: Some(timestamp_from_millis(found.start)),
            end: Some(timestamp_from_millis(found.end.unwrap_or(listing.now * 1_000))),
            from_rollup: found.is_from_rollup,
            other_events: found.others,
            cost: Some(cost(execution.cost)),
        })
    }
}

fn property(key: Key, of_event: bool, event_name: &str, declared: &Properties) -> v1::CatalogueProperty {
    let declared = declared.iter().find(|property| {
        property.key() == key.name && (event_name.is_empty() || !of_event || property.applies_to(event_name))
    });
    let total = key.events;
    let share = |events: u64| if total == 0 { 0.0 } else { 100.0 * events as f64 / total as f64 };
    v1::CatalogueProperty {
        field: declared.map_or_else(|| format!("properties.{}", key.name), |property| property.name.clone()),
        is_own: false,
        of_event,
        events: total,
        is_estimate: key.is_estimate,
        type_flips: key.type_flips(),
        types: key
            .types
            .iter()
            .map(|(name, events)| v1::PropertyTypeCount {
                r#type: json_type(name).into(),
                events: *events,
                share_pct: share(*events),
            })
            .collect(),
        first_seen: Some(timestamp_from_millis(key.first_seen)),
        last_seen: Some(timestamp_from_millis(key.last_seen)),
        declared: declared.map(|property| v1::DeclaredProperty {
            name: property.name.clone(),
            r#type: match property.kind {
                PropertyType::Text => v1::JsonType::String,
                PropertyType::Number => v1::JsonType::Number,
            }
            .into(),
            role: match property.role {
                Role::Column => v1::DeclaredRole::Column,
                Role::Dimension => v1::DeclaredRole::Dimension,
                Role::Measure => v1::DeclaredRole::Measure,
            }
            .into(),
        }),
        key: key.name,
    }
}

/// The names are those of queries/catalogue/properties.sql.
fn json_type(name: &str) -> v1::JsonType {
    match name {
        "string" => v1::JsonType::String,
        "number" => v1::JsonType::Number,
        "boolean" => v1::JsonType::Boolean,
        "object" => v1::JsonType::Object,
        "array" => v1::JsonType::Array,
        "null" => v1::JsonType::Null,
        _ => v1::JsonType::Unspecified,
    }
}
