//! Watching panels: one computation for each question, however many watch.
//!
//! A question that is watched has a task. It computes the answer at once, and again when a batch has landed, when the
//! panel's own time has passed, and when the panel's file or ClickHouse's address has changed. Those who watch share a
//! `watch` channel: it holds the newest value and no other, so a slow reader skips values and nothing queues up for it.
//! The task ends with the last of them.
//!
//! | bound | reached |
//! | --- | --- |
//! | `MILLRACE_WATCH_MIN_INTERVAL_MS` between two computations, and a pause as long as the last one took | what lands meanwhile is in the next one |
//! | four computations at a time | the others wait for their turn |
//! | 2,000 different questions | further ones are refused |
//! | `MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT` of them from one address | further ones of that address are refused |
//! | 64 MiB of values, as many bytes as their tables have | a question whose value finds no room keeps its last one, which is marked as stale |

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::messages;
use super::query::{PanelError, PanelQuery, PanelResult, Panels};
use crate::proto::{self, v1::watch_panels_response::Value};

/// How many answers are computed at a time: inserts and unary calls need the engine as well.
const MAX_CONCURRENT_QUERIES: usize = 4;
/// How many different questions are watched at a time. A dashboard asks about ten in each range and time zone.
const MAX_ACTIVE_QUERIES: usize = 2_000;
/// How many bytes the tables of all watched questions may have.
const MEMORY_BUDGET_BYTES: usize = 64 << 20;
/// How long after a failure the next try is, if nothing else happens before.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What a watcher sees of one question.
#[derive(Clone, Debug, Default)]
pub struct PanelUpdate {
    /// The last value that could be computed; none while there is none.
    pub value: Option<Arc<Value>>,
    /// Why it is not of now.
    pub stale: Option<Stale>,
}

/// A value that could not be computed anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Stale {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: prost_types::Timestamp,
}

/// There are too many different questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// Of all who watch.
    #[error(
        "{MAX_ACTIVE_QUERIES} different questions are watched already; watch panels that others watch, or ask QueryPanel"
    )]
    TooManyQueries,
    /// Of the one who asks.
    #[error(
        "this address watches {0} different questions already, and no address may watch more \
         (MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT); watch fewer, or ask QueryPanel"
    )]
    ClientQuotaExceeded(usize),
}

/// Who watches, as far as it can be told: an address. Of IPv6 the network, since a host has any number of addresses in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// The client at this address.
    pub fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        }))
    }
}

/// A client's share in a question. It is the client's for as long as this is held.
#[derive(Debug)]
pub struct QuotaPermit {
    inner: Arc<Inner>,
    client: ClientAddress,
    query: PanelQuery,
}

/// How often each client watches each question.
#[derive(Debug, Default)]
struct ClientQuotas(HashMap<ClientAddress, HashMap<PanelQuery, usize>>);

impl ClientQuotas {
    fn acquire(
        &mut self,
        client: ClientAddress,
        query: &PanelQuery,
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

    fn release(&mut self, client: ClientAddress, query: &PanelQuery) {
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

/// A part of the room for values.
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

/// The handle for watching: cheap to clone.
#[derive(Clone, Debug)]
pub struct Subscriptions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    panels: Panels,
    /// Changes when a batch has landed.
    landed: watch::Receiver<u64>,
    /// How often values are shown, while anybody watches: events are then flushed as often.
    demand: watch::Sender<Option<Duration>>,
    min_interval: Duration,
    max_per_client: usize,
    compute_permits: Semaphore,
    /// Locked for moments only, and never across an await; before `quotas`, where both are.
    active: Mutex<HashMap<PanelQuery, watch::Sender<PanelUpdate>>>,
    quotas: Mutex<ClientQuotas>,
    /// The bytes of the values.
    reserved_bytes: AtomicUsize,
}

impl Subscriptions {
    /// Panels that are computed at most every `min_interval`, when `landed` changes; of which a client may watch so many.
    pub fn new(
        panels: Panels,
        landed: watch::Receiver<u64>,
        demand: watch::Sender<Option<Duration>>,
        min_interval: Duration,
        max_per_client: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            panels,
            landed,
            demand,
            min_interval,
            max_per_client,
            compute_permits: Semaphore::new(MAX_CONCURRENT_QUERIES),
            active: Mutex::default(),
            quotas: Mutex::default(),
            reserved_bytes: AtomicUsize::new(0),
        }))
    }

    /// Watches a [checked](Panels::validate) question for a client, while the share is held. The first value may be none, until
    /// it is computed.
    pub fn subscribe(
        &self,
        query: PanelQuery,
        client: ClientAddress,
    ) -> Result<(watch::Receiver<PanelUpdate>, QuotaPermit), SubscribeError> {
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
        let (sender, receiver) = watch::channel(PanelUpdate::default());
        active.insert(query.clone(), sender.clone());
        let interval = Some(self.0.min_interval);
        self.0.demand.send_if_modified(|demand| std::mem::replace(demand, interval) != interval);
        let task =
            QueryTask { inner: Arc::clone(&self.0), query, sender, last_result: None, reservation: None };
        tokio::spawn(task.run());
        Ok((receiver, permit))
    }
}

impl Inner {
    fn active(&self) -> MutexGuard<'_, HashMap<PanelQuery, watch::Sender<PanelUpdate>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quotas(&self) -> MutexGuard<'_, ClientQuotas> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns one question that is watched.
struct QueryTask {
    inner: Arc<Inner>,
    query: PanelQuery,
    sender: watch::Sender<PanelUpdate>,
    /// The answer that was sent last.
    last_result: Option<Arc<PanelResult>>,
    /// The room that it takes.
    reservation: Option<MemoryReservation>,
}

impl QueryTask {
    async fn run(mut self) {
        let inner = Arc::clone(&self.inner);
        let mut landed = self.inner.landed.clone();
        let mut catalog = self.inner.panels.catalog();
        let mut endpoint = self.inner.panels.clickhouse().endpoint();
        loop {
            // What changes from here on asks for another computation.
            landed.mark_unchanged();
            catalog.mark_unchanged();
            endpoint.mark_unchanged();
            let permit = tokio::select! {
                permit = inner.compute_permits.acquire() => permit,
                () = self.sender.closed() => {
                    if self.try_close() { return }
                    continue;
                }
            };
            let (next, not_before) = self.compute().await;
            drop(permit);
            tokio::select! {
                () = self.sender.closed() => {
                    if self.try_close() { return }
                }
                // None of the senders goes while a watcher is served; if one did, time alone would be left.
                Ok(()) = landed.changed() => {}
                Ok(()) = catalog.changed() => {}
                Ok(()) = endpoint.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// Computes and tells who watches. Gives the times of the next computation: by itself, and the earliest.
    async fn compute(&mut self) -> (Instant, Instant) {
        let started = Instant::now();
        let result = self.inner.panels.refresh(&self.query).await;
        let elapsed = started.elapsed();
        let next = match result.and_then(|result| Ok((to_value(&self.query.panel, &result)?, result))) {
            Ok((value, result)) => {
                if let Err(error) = self.publish(value, result) {
                    self.publish_stale(&error);
                }
                let refresh =
                    self.inner.panels.panel(&self.query.panel).map_or(RETRY_DELAY, |panel| panel.refresh);
                started + refresh
            }
            Err(error) => {
                self.publish_stale(&error);
                started + RETRY_DELAY
            }
        };
        (next, started + self.inner.min_interval.max(2 * elapsed))
    }

    fn publish(&mut self, value: Value, result: Arc<PanelResult>) -> Result<(), PanelError> {
        let unchanged =
            self.last_result.as_ref().is_some_and(|last_result| last_result.table == result.table);
        if unchanged && self.sender.borrow().stale.is_none() {
            return Ok(());
        }
        let bytes = result.table.estimated_bytes();
        if self.reservation.as_ref().is_none_or(|reservation| reservation.bytes != bytes) {
            // The old value stays until there is room for the new one beside it.
            let reservation = MemoryReservation::acquire(&self.inner, bytes)
                .ok_or(PanelError::MemoryExhausted(MEMORY_BUDGET_BYTES >> 20))?;
            self.reservation = Some(reservation);
        }
        self.last_result = Some(result);
        self.sender.send_replace(PanelUpdate { value: Some(Arc::new(value)), stale: None });
        Ok(())
    }

    fn publish_stale(&mut self, error: &PanelError) {
        let reason = error.to_string();
        self.sender.send_if_modified(|update| match &mut update.stale {
            Some(stale) if stale.reason == reason => false,
            // It is stale since the first failure, whatever the reasons were.
            Some(stale) => {
                stale.reason = reason;
                true
            }
            none => {
                let since = proto::timestamp_from_millis(jiff::Timestamp::now().as_millisecond());
                *none = Some(Stale { reason, since });
                true
            }
        });
    }

    /// Ends the question, unless somebody came to watch it meanwhile.
    fn try_close(&self) -> bool {
        let mut active = self.inner.active();
        // Nobody subscribes without this lock.
        if self.sender.receiver_count() > 0 {
            return false;
        }
        active.remove(&self.query);
        if active.is_empty() {
            self.inner.demand.send_replace(None);
        }
        true
    }
}

fn to_value(panel: &str, result: &PanelResult) -> Result<Value, PanelError> {
    let message = messages::panel_value(panel, result)?;
    Ok(message.unwrap_or_else(|| Value::Table(result.table.to_proto(result.context.clone()))))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let [x, y, z] = ["x", "y", "z"].map(PanelQuery::with_defaults);
        let mut quotas = ClientQuotas::default();
        for query in [&x, &y, &x, &x] {
            assert_eq!(quotas.acquire(a, query, 2), Ok(()));
        }
        assert_eq!(quotas.acquire(a, &z, 2), Err(SubscribeError::ClientQuotaExceeded(2)));
        assert_eq!(quotas.acquire(b, &z, 2), Ok(()), "another client has its own share");
        quotas.release(a, &y);
        assert_eq!(quotas.acquire(a, &z, 2), Ok(()));
        for query in [&x, &x, &x, &z] {
            quotas.release(a, query);
        }
        quotas.release(b, &z);
        assert!(quotas.0.is_empty());
    }
}
