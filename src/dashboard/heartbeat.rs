//! Heartbeats of WatchPanels, and the state that they report: the version of the list of panels, and whether there are
//! events.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::messages;
use crate::clickhouse::ClickHouseError;
use crate::insights::Library;
use crate::panels::Panels;
use crate::panels::catalog::Catalog;
use crate::proto::{self, v1};

/// A client that receives nothing for 12 s has lost the connection: this allows one late heartbeat.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often the table of events is checked until it has a row. Another server may write to the same ClickHouse.
const EVENTS_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a check may take. The start of the server waits for the first one.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Returns a row if there is any event.
const HAS_EVENTS: &str = include_str!("../../queries/maintenance/has_events.sql");

/// What heartbeats report to all clients of a dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DashboardState {
    /// Identifies the list of panels.
    pub panels_version: String,
    /// Identifies the insights and dashboards.
    pub insights_version: String,
    /// Whether any event has been stored. True until ClickHouse has said that there is none: a server whose database is
    /// unreachable is not a new one.
    pub has_events: bool,
}

/// Keeps the state up to date.
#[derive(Debug)]
pub(crate) struct DashboardStateTask {
    panels: Panels,
    insights: watch::Receiver<Arc<Library>>,
    /// Changes when a batch has landed.
    landed: watch::Receiver<u64>,
    /// Whether an event is known to have been stored. Stays true when the retention removes it.
    found: bool,
    state: watch::Sender<DashboardState>,
}

impl DashboardStateTask {
    /// Determines the state, and returns the task that keeps it up to date. `landed` changes when a batch has landed.
    pub(crate) async fn start(
        panels: Panels,
        insights: watch::Receiver<Arc<Library>>,
        landed: watch::Receiver<u64>,
    ) -> (Self, watch::Receiver<DashboardState>) {
        let panels_version = version(&panels.catalog().borrow());
        let insights_version = insights.borrow().version.clone();
        let (state, receiver) =
            watch::channel(DashboardState { panels_version, insights_version, has_events: true });
        let mut task = Self { panels, insights, landed, found: false, state };
        if let Some(found) = check_events(&task.panels).await {
            task.set_found(found);
        }
        (task, receiver)
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut catalog = self.panels.catalog();
        catalog.mark_changed();
        self.insights.mark_changed();
        loop {
            // ClickHouse may not respond. The check is one of the branches, so that it delays neither the stop nor the others.
            let next_check = async {
                tokio::time::sleep(EVENTS_CHECK_INTERVAL).await;
                check_events(&self.panels).await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // The senders live as long as the server. If one were dropped, its branch would be disabled.
                Ok(()) = catalog.changed() => {
                    let version = version(&catalog.borrow_and_update());
                    self.update(|state| state.panels_version = version);
                }
                Ok(()) = self.insights.changed() => {
                    let version = self.insights.borrow_and_update().version.clone();
                    self.update(|state| state.insights_version = version);
                }
                Ok(()) = self.landed.changed(), if !self.found => self.set_found(true),
                checked = next_check, if !self.found => {
                    if let Some(found) = checked {
                        self.set_found(found);
                    }
                }
            }
        }
    }

    fn set_found(&mut self, found: bool) {
        self.found = found;
        self.update(|state| state.has_events = found);
    }

    fn update(&self, change: impl FnOnce(&mut DashboardState)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }
}

/// Whether there are events; `None` if ClickHouse has not said so in time.
async fn check_events(panels: &Panels) -> Option<bool> {
    match tokio::time::timeout(CHECK_TIMEOUT, query_has_events(panels)).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot check whether there are events");
            None
        }
        Err(_) => {
            tracing::debug!(timeout = ?CHECK_TIMEOUT, "ClickHouse has not said in time whether there are events");
            None
        }
    }
}

async fn query_has_events(panels: &Panels) -> Result<bool, ClickHouseError> {
    let row = panels.clickhouse().client()?.query(HAS_EVENTS).fetch_optional::<u8>().await?;
    Ok(row.is_some())
}

/// Identifies the list of panels.
fn version(catalog: &Catalog) -> String {
    list_version(&messages::list_response(catalog))
}

/// A checksum of the list and its length. Equal lists have equal versions, also in other builds of the server.
pub(super) fn list_version(list: &v1::ListPanelsResponse) -> String {
    let encoded = list.encode_to_vec();
    format!("{:08x}-{:x}", crc32c::crc32c(&encoded), encoded.len())
}

/// A heartbeat at once, then every 5 seconds and whenever the state changes.
pub(super) fn heartbeats(state: watch::Receiver<DashboardState>) -> impl Stream<Item = v1::Heartbeat> + Send {
    let mut interval = tokio::time::interval(INTERVAL);
    // A client that did not read for a while gets one heartbeat for it.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    futures_util::stream::unfold((interval, state), next_heartbeat)
}

async fn next_heartbeat(
    (mut interval, mut state): (Interval, watch::Receiver<DashboardState>),
) -> Option<(v1::Heartbeat, (Interval, watch::Receiver<DashboardState>))> {
    tokio::select! {
        _ = interval.tick() => {}
        Ok(()) = state.changed() => interval.reset(),
    }
    let DashboardState { panels_version, insights_version, has_events } = state.borrow_and_update().clone();
    let server_time = Some(proto::timestamp_from_millis(Timestamp::now().as_millisecond()));
    Some((v1::Heartbeat { server_time, panels_version, has_events, insights_version }, (interval, state)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::clickhouse::{ClickHouse, Endpoint};
    use crate::panels::PanelSources;

    /// The built-in panels on this ClickHouse; `None` while the engine is down.
    fn panels(endpoint: Option<Endpoint>) -> Panels {
        let (_, endpoint) = watch::channel(endpoint);
        let (_, catalog) = watch::channel(Arc::new(Catalog::built_in().unwrap()));
        Panels::new(
            ClickHouse::new(endpoint, "millrace"),
            PanelSources::default(),
            Duration::ZERO,
            catalog,
            |_| Ok(()),
        )
    }

    fn insights() -> watch::Receiver<Arc<Library>> {
        watch::channel(Arc::default()).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_clickhouse_that_never_responds_delays_neither_start_nor_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Endpoint { url, user: "default".into(), ..Endpoint::default() };
        let started = Instant::now();
        let (_landed, landed) = watch::channel(0);
        let (task, state) = DashboardStateTask::start(panels(Some(endpoint)), insights(), landed).await;
        assert!(state.borrow().has_events, "unknown counts as true");
        assert!(started.elapsed() <= CHECK_TIMEOUT + Duration::from_millis(10), "{:?}", started.elapsed());
        drop(listener.accept().await.unwrap());

        let stop = CancellationToken::new();
        let task = tokio::spawn(task.run(stop.clone()));
        let _connection = listener.accept().await.unwrap(); // the second check is running
        stop.cancel();
        let stopping = Instant::now();
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("the task ends").unwrap();
        assert!(stopping.elapsed() < CHECK_TIMEOUT, "{:?}", stopping.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_event_is_reported_when_it_lands() {
        let (landed_sender, landed) = watch::channel(0);
        let (state, mut receiver) = watch::channel(DashboardState {
            panels_version: String::new(),
            insights_version: String::new(),
            has_events: false,
        });
        // Without an engine every check fails, so that only the landed batch can report the event.
        let task =
            DashboardStateTask { panels: panels(None), insights: insights(), landed, found: false, state };
        let stop = CancellationToken::new();
        let task = tokio::spawn(task.run(stop.clone()));
        receiver.wait_for(|state| !state.panels_version.is_empty()).await.unwrap();
        let started = Instant::now();
        landed_sender.send_replace(1);
        let reported =
            tokio::time::timeout(EVENTS_CHECK_INTERVAL, receiver.wait_for(|state| state.has_events));
        drop(reported.await.expect("the landed batch reports it").unwrap());
        assert_eq!(started.elapsed(), Duration::ZERO);
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_sent_at_once_every_five_seconds_and_on_changes() {
        let state =
            DashboardState { panels_version: "a".into(), insights_version: String::new(), has_events: false };
        let (sender, receiver) = watch::channel(state);
        let mut heartbeats = std::pin::pin!(heartbeats(receiver));
        let started = Instant::now();
        let mut next = async || {
            let heartbeat = heartbeats.next().await.unwrap();
            (started.elapsed().as_secs(), heartbeat.panels_version, heartbeat.has_events)
        };
        assert_eq!(next().await, (0, "a".into(), false));
        assert_eq!(next().await, (5, "a".into(), false));
        tokio::time::sleep(Duration::from_secs(2)).await;
        sender.send_modify(|state| state.has_events = true);
        assert_eq!(next().await, (7, "a".into(), true));
        assert_eq!(next().await, (12, "a".into(), true));
        sender.send_modify(|state| state.panels_version = "b".into());
        assert_eq!(next().await, (12, "b".into(), true));
        // Not read for a minute.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(next().await.0, 72);
        assert_eq!(next().await.0, 77);
        drop(sender);
        assert_eq!(next().await.0, 82, "the last state is still reported");
    }

    #[test]
    fn the_version_identifies_the_list() {
        let built_in = Catalog::built_in().unwrap();
        assert_eq!(version(&built_in), version(&built_in.clone()));
        let mut fewer = built_in.clone();
        fewer.panels.remove("top_pages");
        assert_ne!(version(&built_in), version(&fewer));
        let list = v1::ListPanelsResponse { has_events: true, ..Default::default() };
        assert_eq!(list_version(&list), "7c8117d3-2", "the version does not depend on the build");
    }
}
