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

use std::collections::HashMap;
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
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "{MAX_WATCHED} different questions are watched already; watch panels that others watch, or ask QueryPanel"
)]
pub struct TooMany;

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
    turns: Semaphore,
    /// Locked for moments only, and never across an await.
    watched: Mutex<HashMap<Ask, watch::Sender<Update>>>,
}

impl Live {
    /// Panels that are computed at most every `min_interval`, when `landed` changes.
    pub fn new(
        panels: Panels,
        landed: watch::Receiver<u64>,
        attention: watch::Sender<Option<Duration>>,
        min_interval: Duration,
    ) -> Self {
        let (turns, watched) = (Semaphore::new(COMPUTING), Mutex::default());
        Self(Arc::new(Inner { panels, landed, attention, min_interval, turns, watched }))
    }

    /// Watches a [checked](Panels::check) question. The first value may be none, until it is computed.
    pub fn watch(&self, ask: Ask) -> Result<watch::Receiver<Update>, TooMany> {
        let mut watched = self.0.watched();
        if let Some(sender) = watched.get(&ask) {
            return Ok(sender.subscribe());
        }
        if watched.len() >= MAX_WATCHED {
            return Err(TooMany);
        }
        let (sender, receiver) = watch::channel(Update::default());
        watched.insert(ask.clone(), sender.clone());
        let interval = Some(self.0.min_interval);
        self.0.attention.send_if_modified(|attention| std::mem::replace(attention, interval) != interval);
        let task = Task { live: Arc::clone(&self.0), ask, sender, shown: None };
        tokio::spawn(task.run());
        Ok(receiver)
    }
}

impl Inner {
    fn watched(&self) -> MutexGuard<'_, HashMap<Ask, watch::Sender<Update>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns one question that is watched.
struct Task {
    live: Arc<Inner>,
    ask: Ask,
    sender: watch::Sender<Update>,
    /// The answer that was sent last.
    shown: Option<Arc<Answer>>,
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
                self.show(value, answer);
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

    fn show(&mut self, value: Value, answer: Arc<Answer>) {
        let same = self.shown.as_ref().is_some_and(|shown| shown.table == answer.table);
        if same && self.sender.borrow().stale.is_none() {
            return;
        }
        self.shown = Some(answer);
        self.sender.send_replace(Update { value: Some(Arc::new(value)), stale: None });
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
