//! Subscriptions to panels and to queries of Explore: each distinct query is computed by one task, no matter how many clients
//! subscribe to it.
//!
//! A query's task computes the result at once, and again when a batch has landed, when the panel's refresh interval has
//! passed, and when the panel's file or ClickHouse's address has changed. The subscribers share a `watch` channel, which
//! holds only the latest result: a slow reader skips results, and nothing queues up for it. The task ends when its last
//! subscriber leaves, when the panel is removed or no longer has the query's parameters, or at shutdown.
//!
//! Queries of Explore that read events are computed one at a time, and all of them together for `MILLRACE_WATCH_EXPLORE_SHARE`
//! percent of the time ([`share`]).
//!
//! | limit | at the limit |
//! | --- | --- |
//! | `MILLRACE_WATCH_MIN_INTERVAL_MS` between computations of a query on average, which is idle half of the time | the next one waits |
//! | 4 computations at once | other queries wait |
//! | 2,000 distinct queries | further ones are rejected |
//! | `MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT` distinct queries of a client | further ones of the client are rejected |
//! | 64 MiB for all results | a result that does not fit is dropped; the previous one stays, marked stale |

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::share::SharedTime;
use crate::error::Error;
use crate::explore::error::ExploreError;
use crate::explore::{self, Explore, QueryResult};
use crate::panels::{PanelError, PanelQuery, PanelResult, Panels};

pub(crate) mod landings;
mod share;

/// How many results are computed at once. Inserts and unary calls need the engine too.
const MAX_CONCURRENT_QUERIES: usize = 4;
/// How many distinct queries may have subscribers. A dashboard has about ten, for each range and time zone.
const MAX_ACTIVE_QUERIES: usize = 2_000;
/// Memory for the results of all subscribed queries.
const MEMORY_BUDGET_BYTES: usize = 64 << 20;
/// Delay before a failed query is retried. New data triggers a retry earlier.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How old the result of a query of Explore becomes without new events: its range moves on.
const EXPLORE_REFRESH: Duration = Duration::from_secs(60);

/// A query that can be subscribed to. Validated; equal queries ask for the same result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LiveQuery {
    Panel(PanelQuery),
    Explore(Box<explore::Query>),
}

/// The result of a query.
#[derive(Clone, Debug)]
pub(crate) enum LiveResult {
    Panel(Arc<PanelResult>),
    Explore(Arc<QueryResult>),
}

impl LiveResult {
    /// Whether a later result need not be sent to subscribers.
    fn shows_same(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Panel(result), Self::Panel(later)) => result.shows_same(later),
            (Self::Explore(result), Self::Explore(later)) => result.shows_same(later),
            _ => false,
        }
    }

    fn estimated_bytes(&self) -> usize {
        match self {
            Self::Panel(result) => result.estimated_bytes(),
            Self::Explore(result) => result.estimated_bytes(),
        }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LiveError {
    #[error(transparent)]
    Panel(#[from] PanelError),
    #[error(transparent)]
    Explore(#[from] ExploreError),
}

impl LiveError {
    /// Whether the query itself is at fault.
    fn is_invalid_query(&self) -> bool {
        match self {
            Self::Panel(error) => error.is_invalid_query(),
            Self::Explore(error) => error.is_invalid_query(),
        }
    }
}

impl From<LiveError> for Error {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Panel(error) => error.into(),
            LiveError::Explore(error) => error.into(),
        }
    }
}

/// The state of a subscribed query.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveUpdate {
    /// The latest result; `None` until the first has been computed.
    pub result: Option<LiveResult>,
    /// How long after the result the next one can follow, if it is computed at a distance.
    pub min_interval: Option<Duration>,
    /// Set while the last computation has failed. `result` is then the last one that succeeded.
    pub stale: Option<Stale>,
    /// Set if the query is no longer valid: its panel was removed or changed. There are no further updates.
    pub ended: Option<LiveError>,
}

impl LiveUpdate {
    /// Whether nothing has been computed yet.
    pub(crate) fn is_initial(&self) -> bool {
        self.result.is_none() && self.stale.is_none() && self.ended.is_none()
    }
}

/// Why a result is out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    /// The error of the last computation.
    pub reason: String,
    /// When the first computation failed after the last success.
    pub since: Timestamp,
}

/// Why a subscription is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// All clients together have reached the limit of 2,000.
    #[error(
        "{MAX_ACTIVE_QUERIES} distinct queries have subscribers, which is the maximum; subscribe to a query that others \
         use, or call QueryPanel"
    )]
    TooManyQueries,
    /// The client has reached its own limit.
    #[error(
        "this address has subscribed to {0} distinct queries, which is the maximum \
         (MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT); subscribe to fewer, or call QueryPanel"
    )]
    ClientQuotaExceeded(usize),
}

/// Identifies a client for its quota: an IPv4 address, or the /64 network of an IPv6 address, since a host can use any
/// address in it. Clients without an address share one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// The client at this address.
    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        }))
    }
}

/// Counts a subscription towards its client's quota until it is dropped.
#[derive(Debug)]
pub(crate) struct QuotaPermit {
    inner: Arc<Inner>,
    client: ClientAddress,
    query: LiveQuery,
}

/// The number of subscriptions by client and query. A query counts once for a client, however often it subscribes.
#[derive(Debug, Default)]
struct ClientQuotas(HashMap<ClientAddress, HashMap<LiveQuery, usize>>);

impl ClientQuotas {
    fn acquire(
        &mut self,
        client: ClientAddress,
        query: &LiveQuery,
        max: usize,
    ) -> Result<(), SubscribeError> {
        let queries = self.0.entry(client).or_default();
        if let Some(count) = queries.get_mut(query) {
            *count += 1;
        } else if queries.len() >= max {
            return Err(SubscribeError::ClientQuotaExceeded(max));
        } else {
            queries.insert(query.clone(), 1);
        }
        Ok(())
    }

    fn release(&mut self, client: ClientAddress, query: &LiveQuery) {
        let Some(queries) = self.0.get_mut(&client) else { return };
        if let Some(count) = queries.get_mut(query) {
            *count -= 1;
            if *count == 0 {
                queries.remove(query);
            }
        }
        if queries.is_empty() {
            self.0.remove(&client);
        }
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        self.inner.quotas().release(self.client, &self.query);
    }
}

/// Bytes of [`MEMORY_BUDGET_BYTES`], released on drop.
#[derive(Debug)]
struct MemoryReservation {
    inner: Arc<Inner>,
    bytes: usize,
}

impl MemoryReservation {
    fn acquire(inner: &Arc<Inner>, bytes: usize) -> Option<Self> {
        let fits = |reserved_bytes: usize| {
            reserved_bytes.checked_add(bytes).filter(|reserved_bytes| *reserved_bytes <= MEMORY_BUDGET_BYTES)
        };
        inner.reserved_bytes.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(Self { inner: Arc::clone(inner), bytes })
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.inner.reserved_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// The subscriptions of all clients. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Subscriptions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    panels: Panels,
    explore: Explore,
    /// The time of queries that read events.
    explore_time: SharedTime,
    /// Changes when a batch has landed.
    landed: watch::Receiver<u64>,
    /// `min_interval` while there are subscribers: the writer then flushes as often.
    demand: watch::Sender<Option<Duration>>,
    min_interval: Duration,
    max_per_client: usize,
    compute_permits: Semaphore,
    /// The sender of each query that has a task. Never locked across an await; locked before `quotas` if both are.
    active: Mutex<HashMap<LiveQuery, watch::Sender<LiveUpdate>>>,
    quotas: Mutex<ClientQuotas>,
    /// At most [`MEMORY_BUDGET_BYTES`].
    reserved_bytes: AtomicUsize,
    /// The tasks of `active`.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Subscriptions {
    /// Recomputes subscribed queries when `landed` changes, each at most every `min_interval`. A client may subscribe to
    /// `max_per_client` distinct queries. Queries of Explore that read events take `explore_percent` of the time. Cancelling
    /// `stop` ends all tasks.
    pub(crate) fn new(
        panels: Panels,
        (explore, explore_percent): (Explore, u32),
        landed: watch::Receiver<u64>,
        demand: watch::Sender<Option<Duration>>,
        min_interval: Duration,
        max_per_client: usize,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            panels,
            explore,
            explore_time: SharedTime::new(explore_percent),
            landed,
            demand,
            min_interval,
            max_per_client,
            compute_permits: Semaphore::new(MAX_CONCURRENT_QUERIES),
            active: Mutex::default(),
            quotas: Mutex::default(),
            reserved_bytes: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            stop,
        }))
    }

    /// Subscribes to a validated query. The channel holds no result until the first has been computed.
    /// The subscription counts towards the client's quota until the permit is dropped.
    pub(crate) fn subscribe(
        &self,
        query: LiveQuery,
        client: ClientAddress,
    ) -> Result<(watch::Receiver<LiveUpdate>, QuotaPermit), SubscribeError> {
        let mut active = self.0.active();
        let existing = active.get(&query);
        if existing.is_none() && active.len() >= MAX_ACTIVE_QUERIES {
            return Err(SubscribeError::TooManyQueries);
        }
        self.0.quotas().acquire(client, &query, self.0.max_per_client)?;
        let permit = QuotaPermit { inner: Arc::clone(&self.0), client, query: query.clone() };
        if let Some(sender) = existing {
            return Ok((sender.subscribe(), permit));
        }
        let (sender, receiver) = watch::channel(LiveUpdate::default());
        active.insert(query.clone(), sender.clone());
        let interval = Some(self.0.min_interval);
        self.0.demand.send_if_modified(|demand| std::mem::replace(demand, interval) != interval);
        let pace = Pace { interval: self.0.min_interval, due: Instant::now() };
        let task = QueryTask {
            inner: Arc::clone(&self.0),
            query,
            pace,
            sender,
            reservation: None,
            reads_events: true,
        };
        self.0.tasks.spawn(self.0.stop.clone().run_until_cancelled_owned(task.run()));
        Ok((receiver, permit))
    }

    /// The number of subscriptions of all clients, and of the distinct queries that they subscribe to.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let queries = self.0.active().len();
        (self.0.quotas().0.values().flat_map(HashMap::values).sum(), queries)
    }

    /// Waits until all tasks have ended. Call it after cancelling `stop`.
    pub(crate) async fn join(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    fn active(&self) -> MutexGuard<'_, HashMap<LiveQuery, watch::Sender<LiveUpdate>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quotas(&self) -> MutexGuard<'_, ClientQuotas> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a query may be computed again: on average every `interval`.
///
/// Batches are flushed as often, and land a little earlier or later than that. If two computations had to be a whole
/// interval apart, one late batch would delay all updates after it. So a computation may be early by half an interval; what it
/// gains is taken from the next.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    /// An interval after the last computation, if none had been early.
    due: Instant,
}

impl Pace {
    /// A computation starts.
    fn start(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval;
    }

    /// The earliest start of the next computation. Half of the time is idle, so that an expensive panel takes at most half
    /// of ClickHouse's time.
    fn next(self, started: Instant, elapsed: Duration) -> Instant {
        (self.due - self.interval / 2).max(started + 2 * elapsed)
    }
}

/// Computes one query for its subscribers.
struct QueryTask {
    inner: Arc<Inner>,
    query: LiveQuery,
    pace: Pace,
    sender: watch::Sender<LiveUpdate>,
    /// Memory of the result in `sender`.
    reservation: Option<MemoryReservation>,
    /// Whether the last result of a query of Explore was computed from events. Assumed before the first one.
    reads_events: bool,
}

impl QueryTask {
    async fn run(mut self) {
        let inner = Arc::clone(&self.inner);
        let mut landed = self.inner.landed.clone();
        let mut catalog = self.inner.panels.catalog();
        let mut endpoint = self.inner.panels.clickhouse().endpoint();
        loop {
            // Changes during the computation trigger another one.
            landed.mark_unchanged();
            catalog.mark_unchanged();
            endpoint.mark_unchanged();
            let permits = async {
                let turn = match self.is_expensive() {
                    true => Some(inner.explore_time.turn().await),
                    false => None,
                };
                (turn, inner.compute_permits.acquire().await)
            };
            let (turn, permit) = tokio::select! {
                permits = permits => permits,
                () = self.sender.closed() => {
                    if self.try_close() { return }
                    continue;
                }
            };
            let computed = self.compute().await;
            drop(permit);
            if let Some(turn) = turn {
                turn.end();
            }
            let Some((next, not_before)) = computed else { return };
            tokio::select! {
                () = self.sender.closed() => {
                    if self.try_close() { return }
                }
                // The senders live as long as the server. If one were dropped, its branch would be disabled.
                Ok(()) = landed.changed() => {}
                Ok(()) = catalog.changed() => {}
                Ok(()) = endpoint.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// Computes and publishes a result. Returns when to compute the next one without a trigger, and the earliest time for
    /// it with one. `None` if the query is no longer valid: its subscriptions have ended.
    async fn compute(&mut self) -> Option<(Instant, Instant)> {
        let started = Instant::now();
        self.pace.start(started);
        let computed = self.result().await;
        let elapsed = started.elapsed();
        let next = match computed {
            Ok(result) => {
                if let LiveResult::Explore(result) = &result {
                    self.reads_events = result.reads_events();
                }
                let min_interval = self.is_expensive().then(|| self.inner.explore_time.distance(elapsed));
                if let Err(error) = self.publish(result, min_interval) {
                    self.publish_stale(&error);
                }
                started + self.refresh_interval()
            }
            Err(error) if error.is_invalid_query() => {
                self.end(error);
                return None;
            }
            Err(error) => {
                self.publish_stale(&error);
                started + RETRY_DELAY
            }
        };
        Some((next, self.pace.next(started, elapsed)))
    }

    /// Whether it takes a part of the time of queries that read events.
    fn is_expensive(&self) -> bool {
        matches!(self.query, LiveQuery::Explore(_)) && self.reads_events
    }

    async fn result(&self) -> Result<LiveResult, LiveError> {
        let Inner { panels, explore, .. } = &*self.inner;
        match &self.query {
            LiveQuery::Panel(query) => {
                let result = panels.refresh(query).await?;
                panels.check_result(&result)?;
                Ok(LiveResult::Panel(result))
            }
            LiveQuery::Explore(query) => Ok(LiveResult::Explore(explore.refresh(query).await?)),
        }
    }

    /// When a result is computed again without new events.
    fn refresh_interval(&self) -> Duration {
        match &self.query {
            LiveQuery::Panel(query) => {
                self.inner.panels.panel(&query.panel).map_or(RETRY_DELAY, |panel| panel.refresh)
            }
            LiveQuery::Explore(_) => EXPLORE_REFRESH,
        }
    }

    fn publish(&mut self, result: LiveResult, min_interval: Option<Duration>) -> Result<(), LiveError> {
        let unchanged = {
            let update = self.sender.borrow();
            update.stale.is_none() && update.result.as_ref().is_some_and(|last| last.shows_same(&result))
        };
        if unchanged {
            return Ok(());
        }
        let bytes = result.estimated_bytes();
        if self.reservation.as_ref().is_none_or(|reservation| reservation.bytes != bytes) {
            // Reserved in addition to the previous result, which subscribers keep if the new one does not fit.
            let reservation = MemoryReservation::acquire(&self.inner, bytes)
                .ok_or(PanelError::MemoryExhausted(MEMORY_BUDGET_BYTES >> 20))?;
            self.reservation = Some(reservation);
        }
        self.sender.send_replace(LiveUpdate { result: Some(result), min_interval, ..LiveUpdate::default() });
        Ok(())
    }

    fn publish_stale(&mut self, error: &LiveError) {
        let reason = error.to_string();
        self.sender.send_if_modified(|update| match &mut update.stale {
            Some(stale) if stale.reason == reason => false,
            // A new reason does not change since when the result is stale.
            Some(stale) => {
                stale.reason = reason;
                true
            }
            None => {
                update.stale = Some(Stale { reason, since: Timestamp::now() });
                true
            }
        });
    }

    /// Removes the query, unless a client has subscribed in the meantime.
    fn try_close(&self) -> bool {
        let mut active = self.inner.active();
        // New receivers are only created under this lock.
        if self.sender.receiver_count() > 0 {
            return false;
        }
        self.remove(&mut active);
        true
    }

    /// Ends all subscriptions. A later subscriber starts a new task.
    fn end(&self, error: LiveError) {
        let mut active = self.inner.active();
        self.sender.send_replace(LiveUpdate { ended: Some(error), ..LiveUpdate::default() });
        self.remove(&mut active);
    }

    fn remove(&self, active: &mut HashMap<LiveQuery, watch::Sender<LiveUpdate>>) {
        active.remove(&self.query);
        if active.is_empty() {
            self.inner.demand.send_replace(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::ClickHouse;
    use crate::panels::PanelSources;
    use crate::panels::catalog::Catalog;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let client = |address: &str| ClientAddress::new(Some(address.parse().unwrap()));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("10.0.0.1"), client("::ffff:10.0.0.1"));
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_ne!(ClientAddress::new(None), client("::"));
    }

    #[test]
    fn a_quota_counts_each_distinct_query_of_a_client_once() {
        let [a, b] =
            ["10.0.0.1", "10.0.0.2"].map(|address| ClientAddress::new(Some(address.parse().unwrap())));
        let [x, y, z] = ["x", "y", "z"].map(|name| LiveQuery::Panel(PanelQuery::with_defaults(name)));
        let mut quotas = ClientQuotas::default();
        for query in [&x, &y, &x, &x] {
            assert_eq!(quotas.acquire(a, query, 2), Ok(()));
        }
        assert_eq!(quotas.acquire(a, &z, 2), Err(SubscribeError::ClientQuotaExceeded(2)));
        assert_eq!(quotas.acquire(b, &z, 2), Ok(()), "another client has its own quota");
        quotas.release(a, &y);
        assert_eq!(quotas.acquire(a, &z, 2), Ok(()));
        for query in [&x, &x, &x, &z] {
            quotas.release(a, query);
        }
        quotas.release(b, &z);
        assert!(quotas.0.is_empty());
    }

    /// The starts of computations that take `elapsed`, for batches that land at these times.
    fn starts(landed: impl IntoIterator<Item = u64>, elapsed: u64) -> Vec<u64> {
        let origin = Instant::now();
        let at = |millis: u64| origin + Duration::from_millis(millis);
        let mut pace = Pace { interval: Duration::from_millis(200), due: origin };
        let mut earliest = origin;
        let mut starts = Vec::new();
        for landed in landed {
            // A batch that landed before the last start is part of that computation.
            if starts.last().is_some_and(|last| landed <= *last) {
                continue;
            }
            let start = earliest.max(at(landed));
            pace.start(start);
            earliest = pace.next(start, Duration::from_millis(elapsed));
            starts.push((start - origin).as_millis() as u64);
        }
        starts
    }

    #[test]
    fn a_late_batch_does_not_delay_the_updates_after_it() {
        assert_eq!(starts([1_000, 1_290, 1_400, 1_600, 1_800], 10), [1_000, 1_290, 1_400, 1_600, 1_800]);
    }

    #[test]
    fn frequent_batches_are_shown_once_an_interval() {
        let starts = starts((0..100).map(|number| 20 * number), 10);
        assert_eq!(starts[..4], [0, 100, 300, 500]);
        assert!(starts.windows(3).all(|window| window[2] - window[0] >= 300), "{starts:?}");
    }

    #[test]
    fn an_expensive_query_is_idle_half_of_the_time() {
        assert_eq!(starts((0..100).map(|number| 20 * number), 300)[..3], [0, 600, 1_200]);
    }

    #[tokio::test]
    async fn cancellation_ends_the_tasks_of_active_subscriptions() {
        let (_endpoint, endpoint) = watch::channel(None);
        let (_catalog, catalog) = watch::channel(Arc::new(Catalog::built_in().unwrap()));
        let panels = Panels::new(
            ClickHouse::new(endpoint, "test"),
            PanelSources::default(),
            Duration::ZERO,
            catalog,
            |_| Ok(()),
        );
        let explore = Explore::for_tests(panels.clickhouse().clone());
        let (_landed, landed) = watch::channel(0);
        let stop = CancellationToken::new();
        let subscriptions = Subscriptions::new(
            panels,
            (explore, 10),
            landed,
            watch::channel(None).0,
            Duration::ZERO,
            1,
            stop.clone(),
        );
        let query = LiveQuery::Panel(PanelQuery::with_defaults("top_pages"));
        let (mut receiver, _permit) = subscriptions.subscribe(query, ClientAddress::new(None)).unwrap();
        receiver.changed().await.unwrap();
        assert!(receiver.borrow().stale.is_some(), "there is no ClickHouse");
        stop.cancel();
        subscriptions.join().await;
        assert!(subscriptions.0.tasks.is_empty());
    }
}
