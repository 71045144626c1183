//! Who sends events, how many, and when the last ones came. For people who look for events that do not arrive.
//!
//! Kept in memory, so that counting costs a few additions per request. Keys and protocols are few; the names of libraries come
//! from the senders, so a project has at most [`MAX_SOURCES`] of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::counters::EventCounts;
use crate::event::DeviceType;
use crate::project::Project;
use crate::proto::{timestamp_from_millis, v1};
use v1::EventSource;

/// Sources that are counted separately in a project.
const MAX_SOURCES: usize = 200;
/// The library of all that is beyond [`MAX_SOURCES`].
const OTHER: &str = "(other)";

/// The sources of all projects. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    by_project: Arc<Mutex<HashMap<Project, CountsByKey>>>,
    since: Timestamp,
}

type CountsByKey = HashMap<SourceKey, Arc<SourceCounts>>;

/// What is counted separately.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey {
    pub(crate) source: EventSource,
    /// Empty without a key.
    pub(crate) key_id: String,
    /// What the sender calls its software; may be empty.
    pub(crate) library: String,
}

/// The events of a source.
#[derive(Debug, Default)]
pub(crate) struct SourceCounts {
    accepted: [Counted; DeviceType::ALL.len()],
    rejected: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    events: AtomicU64,
    /// Milliseconds since 1970 UTC; meaningless without events.
    last_ms: AtomicI64,
}

/// The sender of a request: counts the request's events when they are acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) source: Arc<SourceCounts>,
    /// The counts of its key; `None` without one.
    pub(crate) key: Option<Arc<EventCounts>>,
    pub(crate) received_at_ms: i64,
    /// The valid events by device.
    pub(crate) events: [u64; DeviceType::ALL.len()],
}

impl Counted {
    fn add(&self, events: u64, now_ms: i64) {
        if events > 0 {
            self.events.fetch_add(events, Relaxed);
            self.last_ms.fetch_max(now_ms, Relaxed);
        }
    }

    fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    fn last_ms(&self) -> Option<i64> {
        (self.events() > 0).then(|| self.last_ms.load(Relaxed))
    }
}

impl Sender {
    /// The request is durable, and `accepted` of its events were not there before.
    pub(crate) fn count_acknowledged(&self, accepted: u64) {
        for (counted, events) in self.source.accepted.iter().zip(self.events) {
            counted.add(events, self.received_at_ms);
        }
        if let Some(key) = &self.key {
            key.count_accepted(accepted);
        }
    }

    /// The request had invalid events.
    pub(crate) fn count_rejected(&self, events: u64) {
        self.source.rejected.add(events, self.received_at_ms);
        if let Some(key) = &self.key {
            key.count_rejected(events);
        }
    }
}

impl Sources {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self { by_project: Arc::default(), since }
    }

    /// The counts of a source.
    pub(crate) fn get(&self, project: &Project, key: SourceKey) -> Arc<SourceCounts> {
        let mut projects = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        let own = projects.entry(project.clone()).or_default();
        let is_known = own.contains_key(&key) || own.len() < MAX_SOURCES;
        let key = if is_known { key } else { SourceKey { library: OTHER.to_owned(), ..key } };
        Arc::clone(own.entry(key).or_default())
    }

    /// Those of a project that sent something.
    pub(crate) fn list(&self, project: &Project) -> v1::ListSourcesResponse {
        let projects = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        let own = projects.get(project).into_iter().flatten();
        let mut sources: Vec<_> = own
            .map(|(key, counts)| source(key, counts))
            .filter(|source| source.accepted + source.rejected > 0)
            .collect();
        sources.sort_by(|a, b| {
            let order = |source: &v1::Source| (source.accepted + source.rejected, source.key_id.clone());
            order(b).cmp(&order(a)).then_with(|| a.library.cmp(&b.library))
        });
        v1::ListSourcesResponse { sources, since: Some(timestamp_from_millis(self.since.as_millisecond())) }
    }
}

fn source(key: &SourceKey, counts: &SourceCounts) -> v1::Source {
    let SourceKey { source, key_id, library } = key.clone();
    let counted = DeviceType::ALL.into_iter().zip(&counts.accepted);
    let mut devices: Vec<_> = counted
        .filter_map(|(device, counted)| {
            let last_ms = counted.last_ms()?;
            Some(v1::SourceDevice {
                device_type: device.as_str().to_owned(),
                accepted: counted.events(),
                last_accepted_at: Some(timestamp_from_millis(last_ms)),
            })
        })
        .collect();
    devices.sort_by_key(|device| std::cmp::Reverse(device.accepted));
    let last_ms = counts.accepted.iter().filter_map(Counted::last_ms).max();
    v1::Source {
        source: source.into(),
        key_id,
        library,
        accepted: devices.iter().map(|device| device.accepted).sum(),
        last_accepted_at: last_ms.map(timestamp_from_millis),
        rejected: counts.rejected.events(),
        last_rejected_at: counts.rejected.last_ms().map(timestamp_from_millis),
        devices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(library: &str) -> SourceKey {
        SourceKey { source: EventSource::Http, key_id: "k".to_owned(), library: library.to_owned() }
    }

    fn sender(source: Arc<SourceCounts>, received_at_ms: i64, events: [u64; 4]) -> Sender {
        Sender { source, key: None, received_at_ms, events }
    }

    #[test]
    fn a_source_has_its_events_by_device_and_its_rejections() {
        let sources = Sources::new(Timestamp::UNIX_EPOCH);
        let project = Project::default();
        let counts = sources.get(&project, key("curl/8"));
        assert_eq!(sources.list(&project).sources, [], "nothing was sent");
        sender(Arc::clone(&counts), 2_000, [1, 3, 0, 0]).count_acknowledged(4);
        // Sent before, acknowledged after.
        sender(Arc::clone(&counts), 1_000, [5, 0, 0, 0]).count_acknowledged(0);
        sender(sources.get(&project, key("curl/8")), 3_000, [0; 4]).count_rejected(2);
        let list = sources.list(&project).sources;
        let [source] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!((source.accepted, source.rejected), (9, 2));
        assert_eq!(source.last_accepted_at, Some(timestamp_from_millis(2_000)));
        assert_eq!(source.last_rejected_at, Some(timestamp_from_millis(3_000)));
        let devices: Vec<_> =
            source.devices.iter().map(|device| (device.device_type.as_str(), device.accepted)).collect();
        assert_eq!(devices, [("desktop", 6), ("mobile", 3)]);
        assert_eq!(sources.list(&"other".parse().unwrap()).sources, []);
    }

    #[test]
    fn senders_that_change_their_name_cost_bounded_memory() {
        let sources = Sources::new(Timestamp::UNIX_EPOCH);
        let project = Project::default();
        for number in 0..1_000 {
            let counts = sources.get(&project, key(&format!("made-up/{number}")));
            sender(counts, 1, [1, 0, 0, 0]).count_acknowledged(1);
        }
        let list = sources.list(&project).sources;
        assert_eq!(list.len(), MAX_SOURCES + 1);
        assert_eq!((list[0].library.as_str(), list[0].accepted), (OTHER, 800));
    }
}
