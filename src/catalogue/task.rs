//! The task that counts the properties of landed events.
//!
//! A run counts the batches from the mark to below the lowest id that has not landed: all of those have landed, and later
//! ones have higher ids, so each batch is counted once. Sums are not idempotent: the range is recorded before the rows are
//! inserted, and after a failure or a crash the same range is inserted again with the same deduplication token.
//!
//! If several servers share the database, each counts its own batches: those with its number in their ids.
//!
//! The first run of a new catalogue counts everything that is stored. The events of a replayed dead letter, whose id is below the
//! mark, are not counted here; the rollup has them.

use std::time::Duration;

use tokio::io::AsyncBufReadExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bounds::{BoundedRows, KnownKeys, PropertyRow};
use super::count_properties;
use crate::clickhouse::shards::Shards;
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::writer::batch_id::ServerNumber;
use crate::writer::{UnlandedBatches, Writer};

const MARKS: &str = include_str!("../../queries/catalogue/marks.sql");
const SET_MARKS: &str = include_str!("../../queries/catalogue/set_marks.sql");
const KNOWN: &str = include_str!("../../queries/catalogue/known.sql");
const INSERT: &str = "INSERT INTO event_properties FORMAT JSONEachRow";
/// The index is on the number.
const SELECTED: &str = "toUInt128(events.batch) >= toUInt128({done:String}) AND toUInt128(events.batch) < toUInt128({target:String})";

/// Time between two runs. What has landed since the last run is counted when the properties of an event are listed.
const RUN_INTERVAL: Duration = Duration::from_secs(30);
/// Delay after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// What was counted. `None` until the server has read it.
pub(crate) type Mark = watch::Receiver<Option<Counted>>;

/// Which batches were counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Those with lower ids.
    below: Uuid,
    /// Only those of this server, if others count theirs.
    server: Option<ServerNumber>,
}

impl Counted {
    /// The condition of events that this server has still to count. `number` makes a parameter of the batch's number.
    pub(super) fn pending(&self, number: impl FnOnce(&str) -> String) -> String {
        let below = number(&self.below.as_u128().to_string());
        format!("toUInt128(events.batch) >= toUInt128({below}){}", of_server(self.server))
    }
}

/// The condition of the batches of a server.
fn of_server(server: Option<ServerNumber>) -> String {
    server.map_or_else(String::new, |server| {
        format!(" AND bitAnd(toUInt128(events.batch), toUInt128({})) = {}", u32::MAX, server.number())
    })
}

/// Counts properties.
pub(crate) struct CatalogueTask {
    /// The events of all are counted, and the counts stored on the first.
    shards: Shards,
    unlanded: UnlandedBatches,
    /// The number of landed batches.
    landed: watch::Receiver<u64>,
    /// Cancelled when no batch of an earlier process can land unnoticed.
    reconciled: CancellationToken,
    mark: watch::Sender<Option<Counted>>,
}

/// What is stored besides the counts.
struct Stored {
    /// The batches with ids below it were counted.
    done: Uuid,
    /// Up to where the next run counts, if it was begun.
    target: Uuid,
    /// Whether nothing was counted before: not even by another server.
    is_new: bool,
    known: KnownKeys,
}

/// Why properties could not be counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CountError {
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
    #[error("ClickHouse's result cannot be read: {0}")]
    Row(#[from] serde_json::Error),
    #[error("ClickHouse's result ends early: {0}")]
    Read(#[from] std::io::Error),
}

impl CatalogueTask {
    /// The task, and the mark that it moves.
    pub(crate) fn new(shards: Shards, writer: &Writer) -> (Self, Mark) {
        let (mark, receiver) = watch::channel(None);
        let task = Self {
            shards,
            unlanded: writer.unlanded_batches().clone(),
            landed: writer.stats().landed(),
            reconciled: writer.reconciled().clone(),
            mark,
        };
        (task, receiver)
    }

    /// Runs until `stop`. What is not counted then is counted after the next start.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            self.reconciled.cancelled().await;
            let stored = self.read_stored().await;
            self.publish(&stored);
            self.follow(stored).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Counts what has landed.
    ///
    /// # Errors
    /// When ClickHouse does not count. The next run does it.
    pub(crate) async fn run_once(&self) -> Result<(), CountError> {
        let mut stored = self.try_read_stored().await?;
        self.count_landed(&mut stored).await
    }

    fn clickhouse(&self) -> &ClickHouse {
        self.shards.first()
    }

    /// What tells the marks of this server from those of others. Empty if no other server counts.
    fn mark_owner(&self) -> &str {
        self.clickhouse().shared_as().unwrap_or_default()
    }

    /// `None` if no other server counts.
    fn server(&self) -> Option<ServerNumber> {
        self.clickhouse().shared_as().map(|_| self.unlanded.server())
    }

    fn publish(&self, stored: &Stored) {
        self.mark.send_replace(Some(Counted { below: stored.done, server: self.server() }));
    }

    async fn read_stored(&self) -> Stored {
        loop {
            match self.try_read_stored().await {
                Ok(stored) => return stored,
                Err(error) => report("cannot read the catalogue; retrying", &error),
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn try_read_stored(&self) -> Result<Stored, CountError> {
        let client = self.clickhouse().client()?;
        let marks = client.query_raw(MARKS).param("server", self.mark_owner());
        let marks = marks.fetch_optional::<(String, String)>().await.map_err(ClickHouseError::from)?;
        let any = client.query_raw("SELECT countIf(done > 0) > 0 FROM catalogue_marks").fetch_one::<bool>();
        let is_new = !any.await.map_err(ClickHouseError::from)?;
        // The columns are UInt128.
        let id = |number: &str| Uuid::from_u128(number.parse().unwrap_or(0));
        let (done, target) = marks.map_or_else(Default::default, |(done, target)| (id(&done), id(&target)));
        let mut known = KnownKeys::default();
        let rows =
            client.query_raw(KNOWN).fetch_bytes("JSONCompactEachRow").map_err(ClickHouseError::from)?;
        let mut lines = rows.lines();
        while let Some(line) = lines.next_line().await? {
            let (project, event_name, name): (String, String, String) = serde_json::from_str(&line)?;
            known.add(project, event_name, &name);
        }
        Ok(Stored { done, target, is_new, known })
    }

    /// Counts what has landed. Never returns.
    async fn follow(&self, mut stored: Stored) {
        let mut landed = self.landed.clone();
        // Batches of an earlier process may have landed after its last run.
        landed.mark_changed();
        loop {
            if landed.changed().await.is_err() {
                // The writer is gone.
                return std::future::pending().await;
            }
            let delay = match self.count_landed(&mut stored).await {
                Ok(()) => RUN_INTERVAL,
                Err(error) => {
                    report("cannot count the properties of events; retrying", &error);
                    landed.mark_changed();
                    RETRY_DELAY
                }
            };
            sleep(delay).await;
        }
    }

    async fn count_landed(&self, stored: &mut Stored) -> Result<(), CountError> {
        if stored.target != stored.done {
            // It may have been inserted.
            self.count_range(stored).await?;
        }
        // Before the events are read: what lands meanwhile may not be among them.
        let target = self.unlanded.lowest_id();
        if target < stored.done {
            // The clock was set back: ids begin at a lower number again. Batches of the time in between count twice.
            stored.done = target;
        }
        stored.target = target;
        self.set_marks(stored).await?;
        self.count_range(stored).await
    }

    /// Counts the batches between the marks, and moves the first to the second.
    async fn count_range(&self, stored: &mut Stored) -> Result<(), CountError> {
        let started = Instant::now();
        let (done, target) = (stored.done.as_u128().to_string(), stored.target.as_u128().to_string());
        let servers = of_server(self.server().filter(|_| !stored.is_new));
        let statement =
            format!("{}\nORDER BY events DESC", count_properties(&format!("{SELECTED}{servers}")));
        let mut bounded = BoundedRows::default();
        for shard in self.shards.iter() {
            let rows = shard.client()?.query_raw(&statement).param("done", &done).param("target", &target);
            let rows = rows
                // Nobody waits for it. Panels and inserts do not share their processors with more than one thread of it.
                .with_setting("max_threads", "1")
                // An error after the first rows is an error of the response.
                .with_setting("wait_end_of_query", "1")
                .with_setting("output_format_json_quote_64bit_integers", "0")
                .with_setting("max_bytes_before_external_group_by", "268435456")
                .with_setting("max_bytes_before_external_sort", "268435456")
                .fetch_bytes("JSONEachRow")
                .map_err(ClickHouseError::from)?;
            let mut lines = rows.lines();
            while let Some(line) = lines.next_line().await? {
                let row: PropertyRow = serde_json::from_str(&line)?;
                bounded.add(row, &mut stored.known)?;
            }
        }
        let lines = bounded.into_lines()?;
        if !lines.is_empty() {
            self.insert(lines, &format!("catalogue-{done}-{target}{}", self.mark_owner())).await?;
        }
        stored.done = stored.target;
        stored.is_new = false;
        self.publish(stored);
        self.set_marks(stored).await?;
        tracing::debug!(mark = %stored.done, elapsed_ms = started.elapsed().as_millis(), "properties counted");
        Ok(())
    }

    async fn insert(&self, lines: Vec<u8>, token: &str) -> Result<(), ClickHouseError> {
        self.clickhouse().insert(INSERT, vec![lines.into()], token).await
    }

    async fn set_marks(&self, stored: &Stored) -> Result<(), ClickHouseError> {
        let set = self.clickhouse().client()?.query_raw(SET_MARKS);
        let set = set
            .param("done", stored.done.as_u128().to_string())
            .param("target", stored.target.as_u128().to_string())
            .param("server", self.mark_owner())
            .with_setting("insert_deduplicate", "0")
            .with_setting("deduplicate_insert", "disable");
        Ok(set.execute().await?)
    }
}

fn report(message: &str, error: &CountError) {
    tracing::warn!(%error, "{message}");
}
