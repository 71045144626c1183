//! The limits of a key: events and bytes per second, open streams, requests in flight, events per day.
//!
//! The cost of a request is the number of its events and the size of its message, whatever becomes of them: it is known before
//! they are decoded. A stream whose key has no tokens left is not read, so HTTP/2 flow control slows its producer down. As soon
//! as more events than a burst wait on all streams of a key, and for requests that cannot wait, the error names the delay.
//!
//! The day is that of UTC. Its count survives a crash: blocks of events are reserved in a file before they are used, so a
//! restart gives away at most the rest of a block and never grants more than the limit.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::key::KeyId;
use crate::atomic_file;
use crate::blocking::run_blocking;
use crate::error::{Error, ErrorCode};

/// Blocks of the events of a day, and their minimum size. Each is a write of a file.
const BLOCKS_PER_DAY: u64 = 100;
const MIN_BLOCK: u64 = 1_000;
/// Delay before a retry when a stream or the burst is taken by others.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MS_PER_DAY: i64 = 86_400_000;

/// The limits of a key, as the file has them. Without a number there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitSettings {
    /// Events per second, on average
    #[arg(long, value_name = "EVENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events_per_second: Option<NonZeroU32>,
    /// Events at once; by default those of two seconds. A request with more is rejected
    #[arg(long, value_name = "EVENTS", requires = "events_per_second")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<NonZeroU32>,
    /// Bytes of requests per second, on average; twice as many at once. At least the largest request
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_second: Option<NonZeroU32>,
    /// Events per day (UTC)
    #[arg(long, value_name = "EVENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events_per_day: Option<u64>,
    /// Open streams of events
    #[arg(long, value_name = "STREAMS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_streams: Option<NonZeroU32>,
    /// Requests in flight, besides open streams
    #[arg(long, value_name = "REQUESTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_requests: Option<NonZeroU32>,
}

impl LimitSettings {
    fn burst(&self) -> Option<NonZeroU32> {
        self.events_per_second.map(|rate| self.burst.unwrap_or(rate.saturating_mul(TWO)))
    }
}

const TWO: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");

type Bucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// The limits of a key, and what is left of them.
#[derive(Debug)]
pub(crate) struct KeyLimits {
    id: KeyId,
    pub(super) settings: LimitSettings,
    events: Option<Bucket>,
    bytes: Option<Bucket>,
    streams: Option<Arc<Semaphore>>,
    requests: Option<Arc<Semaphore>>,
    /// Events that wait for tokens, on all streams.
    waiting: AtomicU64,
    /// Read from the file at the first request. Held while the file is written, so that its count never goes back.
    day: Arc<Mutex<Option<DayCount>>>,
    usage: UsageFile,
}

/// The events of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DayCount {
    /// Days since 1970 UTC.
    day: i64,
    /// Events that were let through; in the file, those that may have been.
    events: u64,
    /// Events that the file has reserved.
    #[serde(skip)]
    reserved: u64,
}

/// The file with the count of a key's day.
#[derive(Clone, Debug)]
pub(crate) struct UsageFile {
    path: PathBuf,
}

impl UsageFile {
    /// `folder` is the data folder.
    pub(crate) fn new(folder: &std::path::Path, id: &KeyId) -> Self {
        Self { path: folder.join("usage").join(format!("{id}.toml")) }
    }

    /// The count of an earlier process. A file that cannot be read counts as used up for today: a limit is not lifted by damage.
    fn read(&self) -> DayCount {
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::error!(path = %self.path.display(), %error, "the count of a key's day cannot be read; today counts as used up");
            DayCount { day: today(), events: u64::MAX, reserved: u64::MAX }
        };
        match std::fs::read_to_string(&self.path) {
            Ok(text) => match toml::from_str::<DayCount>(&text) {
                Ok(count) => DayCount { reserved: count.events, ..count },
                Err(error) => unreadable(&error),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => DayCount::default(),
            Err(error) => unreadable(&error),
        }
    }

    fn write(&self, count: DayCount) -> std::io::Result<()> {
        let folder = self.path.parent().expect("new() adds a folder");
        std::fs::create_dir_all(folder).map_err(|error| atomic_file::with_path(folder, error))?;
        let text = toml::to_string(&count).map_err(std::io::Error::other)?;
        atomic_file::replace(&self.path, [text])
    }
}

fn today() -> i64 {
    jiff::Timestamp::now().as_millisecond().div_euclid(MS_PER_DAY)
}

fn seconds_to_midnight() -> Duration {
    let now = jiff::Timestamp::now().as_millisecond();
    Duration::from_millis((MS_PER_DAY - now.rem_euclid(MS_PER_DAY)) as u64)
}

fn bucket(rate: NonZeroU32, burst: NonZeroU32) -> Bucket {
    RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(burst), MonotonicClock)
}

impl KeyLimits {
    /// Full buckets.
    pub(crate) fn new(id: KeyId, settings: LimitSettings, usage: UsageFile) -> Self {
        let events =
            settings.events_per_second.zip(settings.burst()).map(|(rate, burst)| bucket(rate, burst));
        let bytes = settings.bytes_per_second.map(|rate| bucket(rate, rate.saturating_mul(TWO)));
        let semaphore = |max: NonZeroU32| Arc::new(Semaphore::new(max.get() as usize));
        let (streams, requests) = (settings.max_streams.map(semaphore), settings.max_requests.map(semaphore));
        Self {
            id,
            settings,
            events,
            bytes,
            streams,
            requests,
            waiting: AtomicU64::new(0),
            day: Arc::default(),
            usage,
        }
    }

    /// Takes one of the key's streams until the permit is dropped.
    pub(crate) fn open_stream(&self) -> Result<Option<OwnedSemaphorePermit>, Error> {
        let Some(streams) = &self.streams else { return Ok(None) };
        let permit = Arc::clone(streams).try_acquire_owned();
        permit.map(Some).map_err(|_| {
            let max = self.settings.max_streams.map_or(0, NonZeroU32::get);
            self.busy(RETRY_DELAY, format!("has {max} open streams, as many as it may have"))
        })
    }

    /// Counts a request as in flight until the permit is dropped.
    pub(crate) fn start_request(&self) -> Result<Option<OwnedSemaphorePermit>, Error> {
        let Some(requests) = &self.requests else { return Ok(None) };
        let permit = Arc::clone(requests).try_acquire_owned();
        permit.map(Some).map_err(|_| {
            let max = self.settings.max_requests.map_or(0, NonZeroU32::get);
            self.busy(RETRY_DELAY, format!("has {max} requests in flight, as many as it may have"))
        })
    }

    /// Takes the cost of a request, or says when to retry.
    pub(crate) async fn try_take(&self, events: usize, bytes: usize) -> Result<(), Error> {
        if let Some(wait) = self.wait_for(&self.events, events, "events")? {
            let rate = self.settings.events_per_second.map_or(0, NonZeroU32::get);
            return Err(self.busy(wait, format!("may send {rate} events per second")));
        }
        if let Some(wait) = self.wait_for(&self.bytes, bytes, "bytes")? {
            let rate = self.settings.bytes_per_second.map_or(0, NonZeroU32::get);
            return Err(self.busy(wait, format!("may send {rate} bytes per second")));
        }
        self.take_of_day(events as u64).await
    }

    /// Takes the cost of a stream's request, and waits for it.
    pub(crate) async fn take(&self, events: usize, bytes: usize) -> Result<(), Error> {
        let burst = self.settings.burst().map_or(u64::MAX, |burst| u64::from(burst.get()));
        let waiting = self.waiting.fetch_add(events as u64, Relaxed) + events as u64;
        let _waiting = Waiting { total: &self.waiting, events: events as u64 };
        if waiting > burst && waiting > events as u64 {
            let rate = self.settings.events_per_second.map_or(0, NonZeroU32::get);
            let wait = Duration::from_millis(waiting * 1_000 / u64::from(rate.max(1)));
            return Err(self.busy(
                wait,
                format!("may send {rate} events per second, and more than a burst of {burst} waits"),
            ));
        }
        for (bucket, cost, unit) in [(&self.events, events, "events"), (&self.bytes, bytes, "bytes")] {
            while let Some(wait) = self.wait_for(bucket, cost, unit)? {
                tokio::time::sleep(wait).await;
            }
        }
        self.take_of_day(events as u64).await
    }

    /// Takes tokens of a bucket, or returns the time until there are enough.
    fn wait_for(&self, bucket: &Option<Bucket>, cost: usize, unit: &str) -> Result<Option<Duration>, Error> {
        let Some((bucket, cost)) =
            bucket.as_ref().zip(NonZeroU32::new(u32::try_from(cost).unwrap_or(u32::MAX)))
        else {
            return Ok(None);
        };
        match bucket.check_n(cost) {
            Ok(Ok(())) => Ok(None),
            Ok(Err(not_until)) => Ok(Some(not_until.wait_time_from(MonotonicClock.now()))),
            Err(capacity) => Err(Error::invalid(format!(
                "the request has {cost} {unit}; the key {} may send {} at once: send smaller requests",
                self.id, capacity.0
            ))),
        }
    }

    async fn take_of_day(&self, events: u64) -> Result<(), Error> {
        let Some(limit) = self.settings.events_per_day else { return Ok(()) };
        let mut day = Arc::clone(&self.day).lock_owned().await;
        let usage = self.usage.clone();
        let mut count = match *day {
            Some(count) => count,
            None => run_blocking(move || usage.read()).await,
        };
        let today = today();
        if count.day != today {
            count = DayCount { day: today, events: 0, reserved: 0 };
        }
        if count.events.saturating_add(events) > limit {
            *day = Some(count);
            return Err(self.busy(
                seconds_to_midnight(),
                format!("may send {limit} events per day (UTC), and has sent {}", count.events),
            ));
        }
        count.events += events;
        if count.events > count.reserved {
            count.reserved = (count.events + (limit / BLOCKS_PER_DAY).max(MIN_BLOCK)).min(limit);
            let (usage, reservation) = (self.usage.clone(), DayCount { events: count.reserved, ..count });
            // The write takes the lock along: it goes on when its caller leaves.
            let written = run_blocking(move || {
                usage.write(reservation)?;
                *day = Some(count);
                Ok(())
            });
            return written.await.map_err(|error: std::io::Error| {
                tracing::error!(%error, "the count of a key's day cannot be written");
                let message = format!(
                    "the daily limit of the key {} cannot be counted: the server cannot write its data folder",
                    self.id
                );
                Error::new(ErrorCode::Unavailable { retry_after: RETRY_DELAY }, message)
            });
        }
        *day = Some(count);
        Ok(())
    }

    fn busy(&self, retry_after: Duration, limit: String) -> Error {
        let seconds = retry_after.as_secs_f64();
        Error::new(
            ErrorCode::Busy { retry_after },
            format!("the key {} {limit}; retry in {seconds:.1} s", self.id),
        )
    }
}

/// Counts events as waiting until it is dropped.
struct Waiting<'a> {
    total: &'a AtomicU64,
    events: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.events, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;
    use crate::access::key::generate;

    fn limits(settings: LimitSettings, folder: &std::path::Path, id: &KeyId) -> KeyLimits {
        KeyLimits::new(id.clone(), settings, UsageFile::new(folder, id))
    }

    #[tokio::test]
    async fn requests_beyond_the_burst_are_told_when_to_retry() {
        let (folder, id) = (tempfile::tempdir().unwrap(), generate(Scope::Write, None).id);
        let settings = LimitSettings {
            events_per_second: NonZeroU32::new(1),
            burst: NonZeroU32::new(100),
            ..LimitSettings::default()
        };
        let limits = limits(settings, folder.path(), &id);
        limits.try_take(60, 1).await.unwrap();
        limits.try_take(40, 1).await.unwrap();
        let error = limits.try_take(100, 1).await.unwrap_err();
        let ErrorCode::Busy { retry_after } = error.code else { panic!("{error}") };
        assert!((95..=100).contains(&retry_after.as_secs()), "{error}");
        assert!(
            error.message.contains(&id.to_string()) && error.message.contains("1 events per second"),
            "{error}"
        );
        let error = limits.try_take(101, 1).await.unwrap_err();
        assert!(
            error.code == ErrorCode::Invalid && error.message.contains("may send 100 at once"),
            "{error}"
        );
        // On a stream, as many events as a burst may wait; one request always may.
        let first = limits.take(100, 1);
        tokio::pin!(first);
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(matches!(limits.take(1, 1).await.unwrap_err().code, ErrorCode::Busy { .. }));
    }

    #[tokio::test]
    async fn a_day_has_its_limit_also_after_a_crash() {
        let (folder, id) = (tempfile::tempdir().unwrap(), generate(Scope::Write, None).id);
        let settings = LimitSettings { events_per_day: Some(5_000), ..LimitSettings::default() };
        // The test must not run across midnight: then it starts again with a new day.
        loop {
            let day = today();
            let before = limits(settings.clone(), folder.path(), &id);
            before.try_take(1_500, 1).await.unwrap();
            // Dropped without a word, as by kill -9.
            let after = limits(settings.clone(), folder.path(), &id);
            let mut taken = 1_500;
            while after.try_take(100, 1).await.is_ok() {
                taken += 100;
            }
            let error = after.try_take(100, 1).await.unwrap_err();
            if today() != day {
                continue;
            }
            assert!((5_000 - MIN_BLOCK..=5_000).contains(&taken), "{taken}");
            assert!(error.message.contains("5000 events per day"), "{error}");
            std::fs::write(folder.path().join("usage").join(format!("{id}.toml")), "x").unwrap();
            assert!(limits(settings, folder.path(), &id).try_take(1, 1).await.is_err());
            return;
        }
    }
}
