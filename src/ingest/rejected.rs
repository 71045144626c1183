//! The last rejected events of each project, and how many there were. For people who look for events that do not arrive.
//!
//! A flood of invalid events costs little: a request records at most [`MAX_PER_REQUEST`] of them and counts the others, and takes
//! the lock once. Projects are those of keys, so there are few.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::Caller;
use crate::event::{EventFields, MAX_EVENT_NAME_BYTES, PropertiesSource};
use crate::project::Project;
use crate::proto::{timestamp_from_millis, v1};
use v1::EventSource;

/// Rejections that are kept of a project.
pub(crate) const MAX_REJECTED: usize = 1_000;
/// Bytes of all kept rejections. Beyond that, the oldest ones of the project that has the most are dropped.
const MAX_BYTES: usize = 16 << 20;
/// Rejections of a request that are kept.
const MAX_PER_REQUEST: usize = 100;
/// Libraries that are listed for a reason.
const MAX_LIBRARIES: usize = 5;
/// Reasons that are counted separately in a project.
const MAX_REASONS: usize = 200;
const MAX_PAYLOAD_BYTES: usize = 500;
const MAX_REASON_BYTES: usize = 500;
const MAX_FIELD_BYTES: usize = 128;
/// The reason of all that is beyond [`MAX_REASONS`].
const OTHER: &str = "(other)";

/// The rejected events of all projects. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct RejectedEvents(Arc<Mutex<Projects>>);

#[derive(Debug, Default)]
struct Projects {
    by_name: HashMap<Project, Rejected>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Rejected {
    /// The newest one last.
    events: VecDeque<v1::RejectedEvent>,
    bytes: usize,
    counts: HashMap<Reason, Counted>,
    total: u64,
}

/// The rejections for a reason.
#[derive(Debug)]
struct Counted {
    events: u64,
    /// Milliseconds since 1970 UTC.
    first_ms: i64,
    last_ms: i64,
    libraries: Vec<String>,
}

/// What is counted separately.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reason {
    source: EventSource,
    field: String,
    text: String,
}

/// The rejections of one request.
#[derive(Debug)]
pub(super) struct RejectedInRequest {
    source: EventSource,
    events: Vec<v1::RejectedEvent>,
    counts: HashMap<Reason, u64>,
    total: u64,
}

/// A rejected event, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    /// As it was sent.
    Text(&'a str),
    /// As it was decoded.
    Fields(EventFields<'a>),
    /// Neither.
    Unknown,
}

impl RejectedInRequest {
    pub(super) fn new(source: EventSource) -> Self {
        Self { source, events: Vec::new(), counts: HashMap::new(), total: 0 }
    }

    pub(super) fn push(&mut self, event_name: &str, field: &str, reason: &str, payload: Payload<'_>) {
        self.total += 1;
        let known =
            Reason { source: self.source, field: cut(field, MAX_FIELD_BYTES), text: without_values(reason) };
        if self.counts.len() < MAX_REASONS || self.counts.contains_key(&known) {
            *self.counts.entry(known).or_default() += 1;
        } else {
            let other = Reason { source: self.source, field: String::new(), text: OTHER.to_owned() };
            *self.counts.entry(other).or_default() += 1;
        }
        if self.events.len() < MAX_PER_REQUEST {
            self.events.push(v1::RejectedEvent {
                time: None,
                key_id: String::new(),
                source: self.source.into(),
                event_name: cut(event_name, MAX_EVENT_NAME_BYTES),
                field: cut(field, MAX_FIELD_BYTES),
                reason: cut(reason, MAX_REASON_BYTES),
                payload: payload.render(),
                library: String::new(),
            });
        }
    }
}

impl Payload<'_> {
    fn render(self) -> String {
        match self {
            Self::Text(text) => cut(text, MAX_PAYLOAD_BYTES),
            Self::Unknown => String::new(),
            Self::Fields(fields) => {
                let EventFields {
                    event_name, timestamp, session_id, user_id, device_type, country_code, ..
                } = fields;
                let timestamp = timestamp.map(|at| at.to_string()).unwrap_or_default();
                let mut object = serde_json::Map::new();
                for (name, value) in [
                    ("event_name", event_name),
                    ("timestamp", &timestamp),
                    ("session_id", session_id),
                    ("user_id", user_id),
                    ("device_type", device_type),
                    ("country_code", country_code),
                    ("event_id", fields.event_id),
                ] {
                    if !value.is_empty() {
                        object.insert(name.to_owned(), cut(value, MAX_PAYLOAD_BYTES).into());
                    }
                }
                match fields.properties {
                    PropertiesSource::None => {}
                    PropertiesSource::Json(text) => {
                        object.insert("properties_json".to_owned(), cut(text, MAX_PAYLOAD_BYTES).into());
                    }
                    PropertiesSource::Struct(properties) => {
                        // Values may be nested deep: their number tells enough.
                        let keys: Vec<_> =
                            properties.fields.keys().take(20).map(|key| cut(key, MAX_FIELD_BYTES)).collect();
                        object.insert("properties_keys".to_owned(), keys.into());
                    }
                }
                cut(&serde_json::Value::Object(object).to_string(), MAX_PAYLOAD_BYTES)
            }
        }
    }
}

impl RejectedEvents {
    /// Adds those of a request. `library` is the sender's software; may be empty.
    pub(super) fn record(&self, caller: &Caller, library: &str, now_ms: i64, rejected: RejectedInRequest) {
        if rejected.total == 0 {
            return;
        }
        let key_id = caller.key.as_ref().map(|key| key.id.to_string()).unwrap_or_default();
        let mut projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Projects { by_name, bytes } = &mut *projects;
        let own = by_name.entry(caller.project.clone()).or_default();
        own.total += rejected.total;
        for (reason, events) in rejected.counts {
            let is_known = own.counts.len() < MAX_REASONS || own.counts.contains_key(&reason);
            let reason = match is_known {
                true => reason,
                false => Reason { field: String::new(), text: OTHER.to_owned(), ..reason },
            };
            let first = Counted { events: 0, first_ms: now_ms, last_ms: now_ms, libraries: Vec::new() };
            let count = own.counts.entry(reason).or_insert(first);
            count.events += events;
            count.last_ms = now_ms;
            let is_new = !library.is_empty() && count.libraries.iter().all(|known| known != library);
            if is_new && count.libraries.len() < MAX_LIBRARIES {
                count.libraries.push(library.to_owned());
            }
        }
        for event in rejected.events {
            let event = v1::RejectedEvent {
                time: Some(timestamp_from_millis(now_ms)),
                key_id: key_id.clone(),
                library: library.to_owned(),
                ..event
            };
            own.bytes += size_bytes(&event);
            *bytes += size_bytes(&event);
            own.events.push_back(event);
            if own.events.len() > MAX_REJECTED {
                *bytes -= own.drop_oldest();
            }
        }
        while *bytes > MAX_BYTES {
            let Some(largest) = by_name.values_mut().max_by_key(|project| project.bytes) else { return };
            *bytes -= largest.drop_oldest();
        }
    }

    /// The newest ones of a project.
    pub(crate) fn list(&self, project: &Project, limit: usize) -> v1::ListRejectedEventsResponse {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rejected) = projects.by_name.get(project) else {
            return v1::ListRejectedEventsResponse::default();
        };
        let mut counts: Vec<_> = rejected
            .counts
            .iter()
            .map(|(reason, count)| v1::RejectionCount {
                field: reason.field.clone(),
                reason: reason.text.clone(),
                source: reason.source.into(),
                events: count.events,
                last_at: Some(timestamp_from_millis(count.last_ms)),
                first_at: Some(timestamp_from_millis(count.first_ms)),
                libraries: count.libraries.clone(),
            })
            .collect();
        counts.sort_by(|a, b| {
            b.events
                .cmp(&a.events)
                .then_with(|| (&a.field, &a.reason, a.source).cmp(&(&b.field, &b.reason, b.source)))
        });
        v1::ListRejectedEventsResponse {
            events: rejected.events.iter().rev().take(limit).cloned().collect(),
            counts,
            total: rejected.total,
        }
    }
}

impl Rejected {
    /// Returns its size.
    fn drop_oldest(&mut self) -> usize {
        let bytes = self.events.pop_front().map_or(0, |event| size_bytes(&event));
        self.bytes -= bytes;
        bytes
    }
}

fn size_bytes(event: &v1::RejectedEvent) -> usize {
    let texts =
        [&event.key_id, &event.event_name, &event.field, &event.reason, &event.payload, &event.library];
    size_of::<v1::RejectedEvent>() + texts.into_iter().map(String::len).sum::<usize>()
}

/// The start of a text.
fn cut(text: &str, max_bytes: usize) -> String {
    text[..text.floor_char_boundary(max_bytes)].to_owned()
}

/// A reason without what differs between events: quoted texts, and words with digits.
fn without_values(reason: &str) -> String {
    const VALUE: &str = "…";
    let mut text = String::with_capacity(reason.len().min(MAX_REASON_BYTES));
    let mut rest = reason;
    while !rest.is_empty() && text.len() < MAX_REASON_BYTES {
        let length = match rest.strip_prefix('"') {
            Some(quoted) => match end_of_quoted(quoted) {
                Some(end) => {
                    text.push_str(VALUE);
                    end + 2
                }
                None => rest.len(),
            },
            None => {
                let first = rest.chars().next().map_or(0, char::len_utf8);
                let end = rest[first..].find([' ', '"']).map_or(rest.len(), |end| first + end);
                let word = &rest[..end];
                let value = word.trim_start();
                match value.bytes().any(|byte| byte.is_ascii_digit()) {
                    true => {
                        text.push_str(&word[..word.len() - value.len()]);
                        text.push_str(VALUE);
                        text.push_str(&value[value.trim_end_matches([';', ',', ':', '.']).len()..]);
                    }
                    false => text.push_str(word),
                }
                end
            }
        };
        rest = &rest[length..];
    }
    text
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}
