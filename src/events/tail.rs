//! Live events: compared with the filters of all tails by one task, and sampled to what each reader takes.
//!
//! Limits: the writer's [feed](crate::writer::feed) holds 16 MiB of events. What does not fit was never compared, and is counted
//! for every tail of the project. A tail holds 1,000 events of 1 MiB in all; what does not fit, or exceeds its rate, is left out
//! and counted. Neither the writer nor another tail waits for a slow reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::search::check_range;
use super::{EventsError, Search};
use crate::filter::Filter;
use crate::filter::field::OwnField;
use crate::filter::matches::{EventFields, Matcher};
use crate::project::Project;
use crate::proto::{timestamp_from_millis, v1};
use crate::writer::columns::EventRow;
use crate::writer::feed::{DurableRequest, Feed, Follower};

/// Tails at once.
const MAX_TAILS: usize = 64;
const DEFAULT_PER_SECOND: u32 = 20;
const MAX_PER_SECOND: u32 = 1_000;
/// Both the default and the maximum.
const MAX_RECENT: u32 = 100;
/// Events that wait for a reader, and their bytes.
const MAX_WAITING_EVENTS: usize = 1_000;
const MAX_WAITING_BYTES: usize = 1 << 20;
/// Bytes of an event besides its texts, estimated.
const EVENT_OVERHEAD_BYTES: usize = 256;
/// Events per message.
const MAX_MESSAGE_EVENTS: usize = 100;
/// How often a reader is told what was left out while no event is sent.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// The task lets others run after so many comparisons.
const ROWS_PER_YIELD: usize = 256;

impl EventFields for EventRow<'_> {
    fn own(&self, field: OwnField) -> &str {
        match field {
            OwnField::EventName => self.event_name(),
            OwnField::SessionId => self.session_id,
            OwnField::UserId => self.user_id,
            OwnField::DeviceType => self.device_type(),
            OwnField::CountryCode => self.country_code(),
        }
    }

    fn promoted_text(&self, name: &str) -> &str {
        EventRow::promoted_text(self, name)
    }

    fn promoted_number(&self, name: &str) -> Option<f64> {
        EventRow::promoted_number(self, name)
    }

    fn properties(&self) -> &str {
        self.properties
    }
}

fn message(row: &EventRow<'_>) -> v1::AcceptedEvent {
    v1::AcceptedEvent {
        event_id: row.event_id.map(|id| id.to_string()).unwrap_or_default(),
        event_name: row.event_name().to_owned(),
        timestamp: Some(timestamp_from_millis(row.timestamp_ms)),
        received_at: Some(timestamp_from_millis(row.received_at_ms)),
        session_id: row.session_id.to_owned(),
        user_id: (!row.user_id.is_empty()).then(|| row.user_id.to_owned()),
        device_type: row.device_type().to_owned(),
        country_code: row.country_code().to_owned(),
        properties_json: row.properties.to_owned(),
    }
}

fn size_bytes(event: &v1::AcceptedEvent) -> usize {
    EVENT_OVERHEAD_BYTES + event.session_id.len() + event.properties_json.len()
}

/// What a reader and the task share.
#[derive(Debug, Default)]
struct Counts {
    skipped: AtomicU64,
    unexamined: Arc<AtomicU64>,
    waiting_bytes: AtomicUsize,
}

/// Starts tails. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tails {
    feed: Feed,
    search: Search,
    new_tails: mpsc::Sender<Tail>,
    permits: Arc<Semaphore>,
    /// Matching events that tails were not sent, because they came too fast for them.
    skipped: Arc<AtomicU64>,
}

/// A tail, as the task has it.
#[derive(Debug)]
struct Tail {
    project: Project,
    matcher: Matcher,
    rate: Rate,
    events: mpsc::Sender<v1::AcceptedEvent>,
    counts: Arc<Counts>,
    /// That of all tails.
    skipped: Arc<AtomicU64>,
}

/// A token bucket: a second's events at once, and as many per second after that.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    tokens: f64,
    refilled_at: Instant,
}

impl Rate {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second, refilled_at: now }
    }

    fn try_take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * self.per_second).min(self.per_second);
        self.refilled_at = now;
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}

impl Tail {
    fn offer(&mut self, row: &EventRow<'_>, now: Instant) {
        if !self.matcher.matches(row) {
            return;
        }
        if self.events.capacity() > 0 && self.rate.try_take(now) {
            let event = message(row);
            let bytes = size_bytes(&event);
            let fits = self.counts.waiting_bytes.load(Relaxed) + bytes <= MAX_WAITING_BYTES;
            if fits && self.events.try_send(event).is_ok() {
                self.counts.waiting_bytes.fetch_add(bytes, Relaxed);
                return;
            }
        }
        for skipped in [&self.counts.skipped, &*self.skipped] {
            skipped.fetch_add(1, Relaxed);
        }
    }
}

/// Compares durable events with the filters of the tails.
pub(crate) struct TailTask {
    requests: mpsc::Receiver<DurableRequest>,
    new_tails: mpsc::Receiver<Tail>,
    tails: Vec<Tail>,
}

impl TailTask {
    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(tail) = self.new_tails.recv() => self.add(tail),
                Some(request) = self.requests.recv() => self.compare(&request).await,
                else => return,
            }
        }
    }

    fn add(&mut self, tail: Tail) {
        self.tails.retain(|tail| !tail.events.is_closed());
        self.tails.push(tail);
    }

    async fn compare(&mut self, request: &DurableRequest) {
        // A tail is added before its project is followed, so it is here if the request was published for it.
        while let Ok(tail) = self.new_tails.try_recv() {
            self.add(tail);
        }
        let Some(project) = request.columns.project() else { return };
        self.tails.retain(|tail| !tail.events.is_closed());
        let mut now = Instant::now();
        for (index, row) in (1..).zip(request.columns.iter()) {
            for tail in self.tails.iter_mut().filter(|tail| tail.project == *project) {
                tail.offer(&row, now);
            }
            if index % ROWS_PER_YIELD == 0 {
                tokio::task::yield_now().await;
                now = Instant::now();
            }
        }
    }
}

impl Tails {
    /// The handle and its task. `requests` are those of the feed.
    pub(crate) fn new(
        feed: Feed,
        requests: mpsc::Receiver<DurableRequest>,
        search: Search,
    ) -> (Self, TailTask) {
        let (new_tails, receiver) = mpsc::channel(MAX_TAILS);
        let tails = Self {
            feed,
            search,
            new_tails,
            permits: Arc::new(Semaphore::new(MAX_TAILS)),
            skipped: Arc::default(),
        };
        (tails, TailTask { requests, new_tails: receiver, tails: Vec::new() })
    }

    /// How many follow events.
    pub(crate) fn open(&self) -> usize {
        MAX_TAILS - self.permits.available_permits()
    }

    /// Matching events that tails were not sent, because they came too fast for them.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// Follows the events of a project. The first message has stored events.
    pub(super) async fn start(
        &self,
        project: Project,
        request: v1::TailEventsRequest,
    ) -> Result<impl Stream<Item = v1::TailEventsResponse> + Send + use<>, EventsError> {
        let per_second = request.max_per_second.unwrap_or(DEFAULT_PER_SECOND);
        check_range("max_per_second", per_second, 1, MAX_PER_SECOND)?;
        let recent = request.recent.unwrap_or(MAX_RECENT);
        check_range("recent", recent, 0, MAX_RECENT)?;
        let filter = self.search.parse_filter(request.filter.as_ref())?;
        let matcher = Matcher::new(&filter)?;
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| EventsError::TooManyTails(MAX_TAILS))?;
        let (sender, events) = mpsc::channel(MAX_WAITING_EVENTS);
        let counts = Arc::new(Counts::default());
        let rate = Rate::new(per_second, Instant::now());
        let tail = Tail {
            project: project.clone(),
            matcher,
            rate,
            events: sender,
            counts: Arc::clone(&counts),
            skipped: Arc::clone(&self.skipped),
        };
        // An error means that the server is stopping: the stream ends at once.
        self.new_tails.send(tail).await.ok();
        let follower = self.feed.follow(project.clone(), Arc::clone(&counts.unexamined));
        let mut report = tokio::time::interval(COUNT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reader = Reader {
            recent: Some(Recent {
                search: self.search.clone(),
                project,
                filter,
                limit: recent as usize,
                since_ms: jiff::Timestamp::now().as_millisecond(),
            }),
            shown: Vec::new(),
            events,
            counts,
            report,
            _follower: follower,
            _permit: permit,
        };
        Ok(futures_util::stream::unfold(reader, async |mut reader| {
            let message = reader.next().await?;
            Some((message, reader))
        }))
    }
}

/// The stored events of a tail that are still to be read.
struct Recent {
    search: Search,
    project: Project,
    filter: Filter,
    limit: usize,
    /// When the tail began. Stored events were received before, live ones became durable after it.
    since_ms: i64,
}

/// The reader's end of a tail.
struct Reader {
    /// `None` after the first message.
    recent: Option<Recent>,
    /// Stored events of the first message that may also come as live ones: received before the tail began, durable after it.
    shown: Vec<v1::AcceptedEvent>,
    events: mpsc::Receiver<v1::AcceptedEvent>,
    counts: Arc<Counts>,
    report: tokio::time::Interval,
    _follower: Follower,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next message; `None` when the task has ended.
    async fn next(&mut self) -> Option<v1::TailEventsResponse> {
        if let Some(recent) = self.recent.take() {
            return Some(self.first(recent).await);
        }
        loop {
            let mut events = Vec::new();
            tokio::select! {
                received = self.events.recv_many(&mut events, MAX_MESSAGE_EVENTS) => if received == 0 {
                    return None;
                },
                _ = self.report.tick() => {}
            }
            let bytes = events.iter().map(size_bytes).sum();
            self.counts.waiting_bytes.fetch_sub(bytes, Relaxed);
            events.retain(|event| !self.was_shown(event));
            let message = v1::TailEventsResponse {
                events,
                skipped: self.counts.skipped.swap(0, Relaxed),
                unexamined: self.counts.unexamined.swap(0, Relaxed),
                recent_problem: String::new(),
            };
            if message != v1::TailEventsResponse::default() {
                return Some(message);
            }
        }
    }

    async fn first(&mut self, recent: Recent) -> v1::TailEventsResponse {
        let Recent { search, project, filter, limit, since_ms } = recent;
        let (events, recent_problem) = match limit {
            0 => (Vec::new(), String::new()),
            _ => match search.recent(&project, &filter, limit, since_ms).await {
                Ok(events) => (events, String::new()),
                Err(error) => (Vec::new(), error.to_string()),
            },
        };
        self.shown.clone_from(&events);
        v1::TailEventsResponse { events, recent_problem, ..v1::TailEventsResponse::default() }
    }

    /// Whether a live event was in the first message, since it was stored while that was read. Its id may be new to the reader.
    fn was_shown(&mut self, event: &v1::AcceptedEvent) -> bool {
        let Some(last) = self.shown.iter().map(received_ms).max() else { return false };
        if received_ms(event) > last {
            return false;
        }
        let same = |shown: &v1::AcceptedEvent| {
            *event == v1::AcceptedEvent { event_id: event.event_id.clone(), ..shown.clone() }
        };
        let at = self.shown.iter().position(same);
        at.map(|at| self.shown.swap_remove(at)).is_some()
    }
}

fn received_ms(event: &v1::AcceptedEvent) -> i64 {
    event.received_at.map_or(0, |at| at.seconds * 1_000 + i64::from(at.nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_allows_a_burst_of_a_second() {
        let now = Instant::now();
        let mut rate = Rate::new(20, now);
        let taken = |rate: &mut Rate, now: Instant| (0..100).filter(|_| rate.try_take(now)).count();
        assert_eq!(taken(&mut rate, now), 20);
        assert_eq!(taken(&mut rate, now + Duration::from_millis(500)), 10);
        assert_eq!(taken(&mut rate, now + Duration::from_secs(60)), 20);
    }
}
