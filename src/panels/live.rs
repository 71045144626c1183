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

use super::query::{Answer, Ask, PanelError, Panels};
use super::typed;
use crate::proto::{self, v1::watch_panels_response::Value};

/// How many answers are computed at a time: inserts and unary calls need the engine as well.
const COMPUTING: usize = 4;
/// How many different questions are watched at a time. A dashboard asks about ten in each range and time zone.
const MAX_WATCHED: usize = 2_000;
/// How many bytes the tables of all watched questions may have.
const MAX_HELD_BYTES: usize = 64 << 20;
/// How long after a failure the next try is, if nothing else happens before.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What a watcher sees of one question.
#[derive(Clone, Debug, Default)]
pub struct Update {
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
pub enum TooMany {
    /// Of all who watch.
    #[error(
        "{MAX_WATCHED} different questions are watched already; watch panels that others watch, or ask QueryPanel"
    )]
    Watched,
    /// Of the one who asks.
    #[error(
        "this address watches {0} different questions already, and no address may watch more \
         (MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT); watch fewer, or ask QueryPanel"
    )]
    OfClient(usize),
}

/// Who watches, as far as it can be told: an address. Of IPv6 the network, since a host has any number of addresses in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(Option<IpAddr>);

impl Client {
    /// The client at this address.
    pub fn of(address: Option<IpAddr>) -> Self {
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
pub struct Share {
    live: Arc<Inner>,
    client: Client,
    ask: Ask,
}

/// How often each client watches each question.
#[derive(Debug, Default)]
struct Shares(HashMap<Client, HashMap<Ask, usize>>);

impl Shares {
    fn take(&mut self, client: Client, ask: &Ask, most: usize) -> Result<(), TooMany> {
        let questions = self.0.entry(client).or_default();
        if let Some(count) = questions.get_mut(ask) {
            *count += 1;
        } else if questions.len() >= most {
            return Err(TooMany::OfClient(most));
        } else {
            questions.insert(ask.clone(), 1);
        }
        Ok(())
    }

    fn give_back(&mut self, client: Client, ask: &Ask) {
        let Some(questions) = self.0.get_mut(&client) else { return };
        if let Some(count) = questions.get_mut(ask) {
            *count -= 1;
            if *count == 0 {
                questions.remove(ask);
            }
        }
        if questions.is_empty() {
            self.0.remove(&client);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.live.shares().give_back(self.client, &self.ask);
    }
}

/// A part of the room for values.
#[derive(Debug)]
struct Room {
    live: Arc<Inner>,
    bytes: usize,
}

impl Room {
    fn take(live: &Arc<Inner>, bytes: usize) -> Option<Self> {
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= MAX_HELD_BYTES);
        live.held.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(Self { live: Arc::clone(live), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.live.held.fetch_sub(self.bytes, Relaxed);
    }
}

/// The handle for watching: cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    panels: Panels,
    /// Changes when a batch has landed.
    landed: watch::Receiver<u64>,
    /// How often values are shown, while anybody watches: events are then flushed as often.
    attention: watch::Sender<Option<Duration>>,
    min_interval: Duration,
    max_per_client: usize,
    turns: Semaphore,
    /// Locked for moments only, and never across an await; before `shares`, where both are.
    watched: Mutex<HashMap<Ask, watch::Sender<Update>>>,
    shares: Mutex<Shares>,
    /// The bytes of the values.
    held: AtomicUsize,
}

impl Live {
    /// Panels that are computed at most every `min_interval`, when `landed` changes; of which a client may watch so many.
    pub fn new(
        panels: Panels,
        landed: watch::Receiver<u64>,
        attention: watch::Sender<Option<Duration>>,
        min_interval: Duration,
        max_per_client: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            panels,
            landed,
            attention,
            min_interval,
            max_per_client,
            turns: Semaphore::new(COMPUTING),
            watched: Mutex::default(),
            shares: Mutex::default(),
            held: AtomicUsize::new(0),
        }))
    }

    /// Watches a [checked](Panels::check) question for a client, while the share is held. The first value may be none, until
    /// it is computed.
    pub fn watch(&self, ask: Ask, client: Client) -> Result<(watch::Receiver<Update>, Share), TooMany> {
        let mut watched = self.0.watched();
        let known = watched.get(&ask);
        if known.is_none() && watched.len() >= MAX_WATCHED {
            return Err(TooMany::Watched);
        }
        self.0.shares().take(client, &ask, self.0.max_per_client)?;
        let share = Share { live: Arc::clone(&self.0), client, ask: ask.clone() };
        if let Some(sender) = known {
            return Ok((sender.subscribe(), share));
        }
        let (sender, receiver) = watch::channel(Update::default());
        watched.insert(ask.clone(), sender.clone());
        let interval = Some(self.0.min_interval);
        self.0.attention.send_if_modified(|attention| std::mem::replace(attention, interval) != interval);
        let task = Task { live: Arc::clone(&self.0), ask, sender, shown: None, room: None };
        tokio::spawn(task.run());
        Ok((receiver, share))
    }
}

impl Inner {
    fn watched(&self) -> MutexGuard<'_, HashMap<Ask, watch::Sender<Update>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns one question that is watched.
struct Task {
    live: Arc<Inner>,
    ask: Ask,
    sender: watch::Sender<Update>,
    /// The answer that was sent last.
    shown: Option<Arc<Answer>>,
    /// The room that it takes.
    room: Option<Room>,
}

impl Task {
    async fn run(mut self) {
        let live = Arc::clone(&self.live);
        let mut landed = self.live.landed.clone();
        let mut catalog = self.live.panels.catalog();
        let mut endpoint = self.live.panels.clickhouse().endpoint();
        loop {
            // What changes from here on asks for another computation.
            landed.mark_unchanged();
            catalog.mark_unchanged();
            endpoint.mark_unchanged();
            let turn = tokio::select! {
                turn = live.turns.acquire() => turn,
                () = self.sender.closed() => {
                    if self.end() { return }
                    continue;
                }
            };
            let (next, pause) = self.compute().await;
            drop(turn);
            tokio::select! {
                () = self.sender.closed() => {
                    if self.end() { return }
                }
                // None of the senders goes while a watcher is served; if one did, time alone would be left.
                Ok(()) = landed.changed() => {}
                Ok(()) = catalog.changed() => {}
                Ok(()) = endpoint.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::time::sleep_until(pause).await;
        }
    }

    /// Computes and tells who watches. Gives the times of the next computation: by itself, and the earliest.
    async fn compute(&mut self) -> (Instant, Instant) {
        let started = Instant::now();
        let result = self.live.panels.ask_anew(&self.ask).await;
        let took = started.elapsed();
        let next = match result.and_then(|answer| Ok((shape(&self.ask.panel, &answer)?, answer))) {
            Ok((value, answer)) => {
                if let Err(error) = self.show(value, answer) {
                    self.show_stale(&error);
                }
                let refresh =
                    self.live.panels.panel(&self.ask.panel).map_or(TRY_AGAIN, |panel| panel.refresh);
                started + refresh
            }
            Err(error) => {
                self.show_stale(&error);
                started + TRY_AGAIN
            }
        };
        (next, started + self.live.min_interval.max(2 * took))
    }

    fn show(&mut self, value: Value, answer: Arc<Answer>) -> Result<(), PanelError> {
        let same = self.shown.as_ref().is_some_and(|shown| shown.table == answer.table);
        if same && self.sender.borrow().stale.is_none() {
            return Ok(());
        }
        let bytes = answer.table.weight();
        if self.room.as_ref().is_none_or(|room| room.bytes != bytes) {
            // The old value stays until there is room for the new one beside it.
            let room = Room::take(&self.live, bytes).ok_or(PanelError::NoRoom(MAX_HELD_BYTES >> 20))?;
            self.room = Some(room);
        }
        self.shown = Some(answer);
        self.sender.send_replace(Update { value: Some(Arc::new(value)), stale: None });
        Ok(())
    }

    fn show_stale(&mut self, error: &PanelError) {
        let reason = error.to_string();
        self.sender.send_if_modified(|update| match &mut update.stale {
            Some(stale) if stale.reason == reason => false,
            // It is stale since the first failure, whatever the reasons were.
            Some(stale) => {
                stale.reason = reason;
                true
            }
            none => {
                let since = proto::timestamp(jiff::Timestamp::now().as_millisecond());
                *none = Some(Stale { reason, since });
                true
            }
        });
    }

    /// Ends the question, unless somebody came to watch it meanwhile.
    fn end(&self) -> bool {
        let mut watched = self.live.watched();
        // Nobody subscribes without this lock.
        if self.sender.receiver_count() > 0 {
            return false;
        }
        watched.remove(&self.ask);
        if watched.is_empty() {
            self.live.attention.send_replace(None);
        }
        true
    }
}

fn shape(panel: &str, answer: &Answer) -> Result<Value, PanelError> {
    let typed = typed::value(panel, answer)?;
    Ok(typed.unwrap_or_else(|| Value::Table(answer.table.to_proto(answer.context.clone()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_them() {
        let client = |address: &str| Client::of(Some(address.parse().unwrap()));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("10.0.0.1"), client("::ffff:10.0.0.1"));
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_ne!(Client::of(None), client("::"));
    }

    #[test]
    fn a_share_counts_each_question_of_a_client_once() {
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| Client::of(Some(address.parse().unwrap())));
        let [x, y, z] = ["x", "y", "z"].map(Ask::of);
        let mut shares = Shares::default();
        for ask in [&x, &y, &x, &x] {
            assert_eq!(shares.take(a, ask, 2), Ok(()));
        }
        assert_eq!(shares.take(a, &z, 2), Err(TooMany::OfClient(2)));
        assert_eq!(shares.take(b, &z, 2), Ok(()), "another client has its own share");
        shares.give_back(a, &y);
        assert_eq!(shares.take(a, &z, 2), Ok(()));
        for ask in [&x, &x, &x, &z] {
            shares.give_back(a, ask);
        }
        shares.give_back(b, &z);
        assert!(shares.0.is_empty());
    }
}
