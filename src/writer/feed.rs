//! The events of durable requests, for those who follow them before they are in ClickHouse.
//!
//! While nobody follows a project, a request costs an atomic read. Otherwise its columns are copied into a bounded channel, and
//! what does not fit is only counted: the writer never waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::columns::EventColumns;
use crate::project::Project;

/// Requests that may wait to be read. Further ones are only counted.
const MAX_REQUESTS: usize = 1_024;
/// Bytes of columns that may wait, besides.
const MAX_BYTES: usize = 16 << 20;

/// Where the writer publishes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Number of followers.
    followed: AtomicUsize,
    /// Held for a few comparisons only.
    followers: Mutex<Vec<(Project, Arc<AtomicU64>)>>,
    requests: mpsc::Sender<DurableRequest>,
    bytes: Arc<Semaphore>,
}

/// The events of a request that were just made durable.
#[derive(Debug)]
pub(crate) struct DurableRequest {
    pub(crate) columns: EventColumns,
    _permit: OwnedSemaphorePermit,
}

/// Keeps the events of a project coming. Dropping it ends that.
#[derive(Debug)]
#[must_use = "dropping it ends the feed"]
pub(crate) struct Follower {
    feed: Feed,
    project: Project,
    missed: Arc<AtomicU64>,
}

impl Feed {
    /// A feed, and where its requests are read.
    pub(crate) fn new() -> (Self, mpsc::Receiver<DurableRequest>) {
        let (requests, receiver) = mpsc::channel(MAX_REQUESTS);
        let shared = Shared {
            followed: AtomicUsize::new(0),
            followers: Mutex::default(),
            requests,
            bytes: Arc::new(Semaphore::new(MAX_BYTES)),
        };
        (Self(Arc::new(shared)), receiver)
    }

    /// Follows a project. `missed` counts the events that did not fit into the channel.
    pub(crate) fn follow(&self, project: Project, missed: Arc<AtomicU64>) -> Follower {
        self.followers().push((project.clone(), Arc::clone(&missed)));
        self.0.followed.fetch_add(1, Relaxed);
        Follower { feed: self.clone(), project, missed }
    }

    /// Publishes the events of a durable request.
    pub(crate) fn publish(&self, columns: &EventColumns) {
        if self.0.followed.load(Relaxed) > 0 {
            self.publish_followed(columns);
        }
    }

    fn publish_followed(&self, columns: &EventColumns) {
        let Some(project) = columns.project() else { return };
        let followers = self.followers();
        if followers.iter().all(|(followed, _)| followed != project) {
            return;
        }
        let bytes = u32::try_from(columns.size_bytes()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0.bytes).try_acquire_many_owned(bytes).ok();
        match permit.zip(self.0.requests.try_reserve().ok()) {
            Some((permit, slot)) => {
                slot.send(DurableRequest { columns: columns.clone(), _permit: permit });
            }
            None => {
                for (_, missed) in followers.iter().filter(|(followed, _)| followed == project) {
                    missed.fetch_add(u64::from(columns.rows()), Relaxed);
                }
            }
        }
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Vec<(Project, Arc<AtomicU64>)>> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let Self { feed, project, missed } = self;
        let mut followers = feed.followers();
        let own = followers.iter().position(|(other, count)| other == project && Arc::ptr_eq(count, missed));
        if let Some(own) = own {
            followers.swap_remove(own);
            feed.0.followed.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventFields, ValidationRules, validate};
    use crate::properties::Properties;

    fn columns(project: &Project, events: usize) -> EventColumns {
        let properties = Properties::built_in();
        let mut columns = EventColumns::new(&properties);
        let retention = std::time::Duration::from_secs(86_400);
        let rules = ValidationRules { retention, max_clock_skew: retention };
        let timestamp = Some(prost_types::Timestamp::default());
        let event = EventFields { event_name: "page_view", timestamp, ..EventFields::default() };
        for _ in 0..events {
            columns.push(&validate(event, &rules, &properties, 0).unwrap(), project, 7);
        }
        columns
    }

    #[test]
    fn only_followed_projects_are_published_and_what_does_not_fit_is_counted() {
        let (feed, mut requests) = Feed::new();
        let (one, other): (Project, Project) = ("one".parse().unwrap(), "other".parse().unwrap());
        feed.publish(&columns(&one, 1));
        assert!(requests.try_recv().is_err(), "nobody follows");
        let missed = Arc::new(AtomicU64::new(0));
        let follower = feed.follow(one.clone(), Arc::clone(&missed));
        feed.publish(&columns(&other, 1));
        feed.publish(&columns(&one, 2));
        assert_eq!(requests.try_recv().unwrap().columns.rows(), 2);
        assert!(requests.try_recv().is_err());
        for _ in 0..MAX_REQUESTS {
            feed.publish(&columns(&one, 1));
        }
        assert_eq!(missed.load(Relaxed), 0);
        feed.publish(&columns(&one, 3));
        assert_eq!(missed.load(Relaxed), 3);
        drop(follower);
        requests.try_recv().unwrap();
        feed.publish(&columns(&one, 1));
        assert_eq!((requests.len(), missed.load(Relaxed)), (MAX_REQUESTS - 1, 3));
    }
}
